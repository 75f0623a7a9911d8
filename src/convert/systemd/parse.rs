//! Unit files: sections, assignments with their places, continued lines, drop-ins, resets.

use crate::convert::import::InputFile;
use crate::convert::losses::Losses;
use crate::convert::systemd::words::{blank_separated, is_blank};
use std::path::Path;
use std::rc::Rc;

/// One assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    pub section: String,
    pub key: String,
    pub value: String,
    /// `web.service:12`.
    pub place: String,
    /// Whether something was made of it, or it was told.
    pub used: bool,
}

/// A unit with its drop-ins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnitFile {
    /// `web@.service`.
    pub name: String,
    pub directives: Vec<Directive>,
}

/// Ends of names that are units.
const KINDS: [&str; 11] = [
    "service",
    "socket",
    "timer",
    "target",
    "path",
    "mount",
    "automount",
    "swap",
    "slice",
    "scope",
    "device",
];

/// Puts files together to units, by name.
///
/// # Errors
/// A file is no unit.
pub(super) fn units(files: &[InputFile], losses: &mut Losses) -> Result<Vec<UnitFile>, String> {
    let mut units: Vec<UnitFile> = Vec::new();
    let mut drop_ins = Vec::new();
    for file in files {
        let path = Path::new(&file.name);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let folder = path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let of_unit = folder.as_deref().and_then(|folder| folder.strip_suffix(".d"));
        match (name.ends_with(".conf"), of_unit) {
            (true, Some(unit)) => drop_ins.push((name.clone(), unit.to_string(), file)),
            _ if !KINDS
                .iter()
                .any(|kind| name.strip_suffix(kind).is_some_and(|stem| stem.ends_with('.'))) =>
            {
                return Err(format!(
                    "{} is not the name of a unit: it must end with .service, .socket, .timer, .target or the like, or be \
                     a .conf in a directory such as web.service.d",
                    file.name
                ));
            }
            _ if units.iter().any(|unit| unit.name == name) => {
                losses.note(&file.name, "", "another file has the same name, and that one counts");
            }
            _ => units.push(UnitFile { name, directives: directives(file, losses)? }),
        }
    }
    drop_ins.sort_by(|a, b| a.0.cmp(&b.0));
    for (_, unit, file) in drop_ins {
        match units.iter_mut().find(|known| known.name == unit) {
            Some(known) => known.directives.extend(directives(file, losses)?),
            None => losses.note(&file.name, "", format!("there is no {unit} among the files")),
        }
    }
    Ok(units)
}

/// The assignments of a file.
fn directives(file: &InputFile, losses: &mut Losses) -> Result<Vec<Directive>, String> {
    let mut found = Vec::new();
    let mut section: Option<String> = None;
    for (number, line) in logical_lines(&file.text) {
        let place = format!("{}:{number}", file.name);
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = Some(name.to_string());
            continue;
        }
        let Some(section) = &section else {
            return Err(format!("{place}: expected a section such as [Unit], found {line:.100}"));
        };
        match line.split_once('=') {
            Some((key, value)) => found.push(Directive {
                section: section.clone(),
                key: key.trim_matches(is_blank).to_string(),
                value: value.trim_matches(is_blank).to_string(),
                place,
                used: false,
            }),
            None => losses.note(place, line, "it is no assignment, and systemd ignores it"),
        }
    }
    if section.is_none() {
        return Err(format!("{} is not a unit: it has no section such as [Unit]", file.name));
    }
    Ok(found)
}

/// Lines without comments, each with its number, those that end with a backslash together with what follows.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start_matches(is_blank);
        if line.starts_with(['#', ';']) || (line.is_empty() && open.is_none()) {
            continue;
        }
        let (start, mut joined) = open.take().unwrap_or((number, String::new()));
        match continued(line) {
            Some(part) => {
                joined.push_str(part);
                joined.push(' ');
                open = Some((start, joined));
            }
            None => {
                joined.push_str(line.trim_end_matches(is_blank));
                lines.push((start, joined));
            }
        }
    }
    lines.extend(open);
    lines
}

/// A line without the backslash by which the next one continues it. One that a backslash escapes is part of the value, and so
/// is one with blanks behind it.
fn continued(line: &str) -> Option<&str> {
    let backslashes = line.len() - line.trim_end_matches('\\').len();
    (backslashes % 2 == 1).then(|| &line[..line.len() - 1])
}

impl UnitFile {
    /// What stands in front of the end and of an `@`.
    pub(super) fn stem(&self) -> &str {
        let stem = self.name.rsplit_once('.').map_or(&*self.name, |(stem, _)| stem);
        stem.split('@').next().unwrap_or_default()
    }

    /// Whether it is of a kind: `service`.
    pub(super) fn is(&self, kind: &str) -> bool {
        self.name.rsplit_once('.').is_some_and(|(_, end)| end == kind)
    }

    /// Whether it stands for several units: `web@.service`.
    pub(super) fn is_template(&self) -> bool {
        self.name.contains("@.")
    }

    /// The last value of a directive, which then counts as used. An empty one is none.
    pub(super) fn take(&mut self, section: &str, key: &str) -> Option<Directive> {
        self.take_all(section, key).pop()
    }

    /// All values of a directive since the last empty one.
    pub(super) fn take_all(&mut self, section: &str, key: &str) -> Vec<Directive> {
        let mut found = Vec::new();
        for directive in &mut self.directives {
            if directive.section == section && directive.key == key {
                directive.used = true;
                if directive.value.is_empty() {
                    found.clear();
                } else {
                    found.push(directive.clone());
                }
            }
        }
        found
    }

    /// Whether a directive is there with no value, as its last.
    pub(super) fn is_reset(&self, section: &str, key: &str) -> bool {
        let last =
            self.directives.iter().rfind(|directive| directive.section == section && directive.key == key);
        last.is_some_and(|directive| directive.value.is_empty())
    }

    /// The words of a list of names.
    pub(super) fn take_words(&mut self, section: &str, key: &str) -> Vec<(String, Rc<Directive>)> {
        let all: Vec<Rc<Directive>> = self.take_all(section, key).into_iter().map(Rc::new).collect();
        // A line of many words is there once.
        let words = |directive: &Rc<Directive>| -> Vec<(String, Rc<Directive>)> {
            blank_separated(&directive.value).map(|word| (word.to_string(), Rc::clone(directive))).collect()
        };
        all.iter().flat_map(words).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> InputFile {
        InputFile { name: name.to_string(), text: text.to_string() }
    }

    #[test]
    fn lines_continue_and_comments_in_them_are_skipped() {
        let text = "[Unit]\nA = b\\\n# no\n  c\n\n; no\n[Service]\nX=\nX=1\\";
        let mut losses = Losses::default();
        let found = directives(&file("x.service", text), &mut losses).expect("it is a unit");
        let found: Vec<String> =
            found.iter().map(|it| format!("{} [{}] {}={}", it.place, it.section, it.key, it.value)).collect();
        assert_eq!(
            found,
            ["x.service:2 [Unit] A=b c", "x.service:8 [Service] X=", "x.service:9 [Service] X=1"]
        );
        assert!(losses.is_empty());
    }

    #[test]
    fn a_line_continues_behind_an_odd_number_of_backslashes_at_its_very_end() {
        for (text, expected) in [
            ("A=a\\\nB=b", &["A=a B=b"][..]),
            ("A=a\\\\\nB=b", &["A=a\\\\", "B=b"]),
            ("A=a\\\\\\\nB=b", &["A=a\\\\ B=b"]),
            ("A=a\\ \nB=b", &["A=a\\", "B=b"]),
            ("A=a\\\r\nB=b", &["A=a B=b"]),
            ("A=a \\\n\\\nB=b", &["A=a   B=b"]),
            ("\u{a0}A=a\u{a0}", &["\u{a0}A=a\u{a0}"]),
        ] {
            let found: Vec<String> = logical_lines(text).into_iter().map(|(_, line)| line).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn drop_ins_come_last_and_an_empty_value_resets() {
        let files = [
            file("/etc/a.service.d/20.conf", "[Service]\nE=3\n"),
            file("/etc/a.service.d/10.conf", "[Service]\nE=\nE=2\n"),
            file("/etc/a.service", "[Service]\nE=1\n"),
        ];
        let mut losses = Losses::default();
        let mut units = units(&files, &mut losses).expect("they are units");
        let values: Vec<String> =
            units[0].take_all("Service", "E").into_iter().map(|directive| directive.value).collect();
        assert_eq!(values, ["2", "3"]);
        assert!(units[0].directives.iter().all(|directive| directive.used));
    }

    #[test]
    fn what_is_no_unit_is_refused() {
        for (name, text, expected) in [
            ("x.txt", "[Unit]\n", "x.txt is not the name of a unit"),
            ("x.service", "", "x.service is not a unit"),
            ("x.service", "A=1\n[Unit]\n", "x.service:1: expected a section such as [Unit], found A=1"),
        ] {
            let error = units(&[file(name, text)], &mut Losses::default()).expect_err(name);
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
