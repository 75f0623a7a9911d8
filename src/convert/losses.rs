//! What a conversion could not say: nothing is dropped silently.

use crate::config::Setting;
use crate::config::schema;
use crate::model::raw;
use std::collections::HashSet;
use std::fmt::Write as _;

/// One thing that the other format cannot say, or not exactly.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Loss {
    /// `[program:x] key`, or a directive of the other format with its place: `web.service:12 MountFlags`.
    pub what: String,
    /// As it was written. Empty if it is secret, or if there is nothing to show.
    pub value: String,
    /// Why it is lost, and what to do instead.
    pub why: String,
}

/// Everything that a conversion could not say, in the order in which it was met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    list: Vec<Loss>,
    /// The same, to find one among ten thousand.
    known: HashSet<Loss>,
}

/// How much of a long value is shown.
const SHOWN: usize = 200;

impl Losses {
    /// Notes a loss. One that was noted before is not noted again.
    pub fn note(&mut self, what: impl Into<String>, value: impl Into<String>, why: impl Into<String>) {
        let loss = Loss { what: what.into(), value: value.into(), why: why.into() };
        if self.known.insert(loss.clone()) {
            self.list.push(loss);
        }
    }

    /// Notes that a setting is lost, without its value if that is secret.
    pub fn note_setting(&mut self, setting: &Setting, why: impl Into<String>) {
        let value = if setting.secret { "" } else { &*setting.value };
        self.note(format!("[{}] {}", setting.section, setting.key), value, why);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Loss> {
        self.list.iter()
    }

    /// Whether everything was said.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// A list with its count, for people. Empty if there are no losses.
    pub fn to_text(&self) -> String {
        self.lines(&mut self.list.iter(), "")
    }

    /// The same as comments: of the losses that `wanted` picks, each line behind a marker such as `#`.
    pub fn to_comment(&self, marker: &str, wanted: impl Fn(&Loss) -> bool) -> String {
        self.lines(&mut self.list.iter().filter(|loss| wanted(loss)), &format!("{marker} "))
    }

    fn lines(&self, losses: &mut dyn Iterator<Item = &Loss>, before: &str) -> String {
        let losses: Vec<&Loss> = losses.collect();
        let mut text = match losses.len() {
            0 => return String::new(),
            1 => format!("{before}1 setting could not be carried over exactly:\n"),
            n => format!("{before}{n} settings could not be carried over exactly:\n"),
        };
        for loss in losses {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{before}- {loss}");
        }
        text
    }
}

/// On one line: `[program:web] priority = 5: why, and what to do`.
impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&on_one_line(&self.what))?;
        if !self.value.is_empty() {
            write!(f, " = {}", on_one_line(&self.value))?;
        }
        write!(f, ": {}", on_one_line(&self.why))
    }
}

/// A text with the replacement character for each byte that is not UTF-8.
pub(in crate::convert) fn as_seen(text: &str) -> String {
    String::from_utf8_lossy(&raw::bytes(text)).into_owned()
}

/// Whether a character does not belong on a line: a control, or what YAML takes for the end of one.
fn is_no_part_of_a_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// A text with blanks for line ends and other controls.
pub(in crate::convert) fn without_line_ends(text: &str) -> String {
    as_seen(text).replace(is_no_part_of_a_line, " ")
}

/// A text without line ends and other controls, cut where it is too long to be read.
fn on_one_line(text: &str) -> String {
    let mut line: String = without_line_ends(text).chars().take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        line.push('…');
    }
    line
}

/// What a format makes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It says the same, by these words of the format.
    As(&'static str),
    /// It says a part, by these words. The format notes a loss for the rest.
    Partly(&'static str),
    /// It cannot say it: why, and what to do instead.
    Lost(&'static str),
    /// Nothing is lost, because it means nothing there: why.
    Moot(&'static str),
}

/// What a format makes of every key of the schema. A test finds keys that are missing.
pub type Table = &'static [(&'static str, Said)];

/// What a table says of a key; `None` if it forgot the key.
pub fn said(table: Table, key: &str) -> Option<Said> {
    let row = table.iter().find(|(name, _)| schema::same_key(name, key));
    row.map(|(_, said)| *said)
}

/// Notes a loss for each setting that a table calls lost and that says something else than its default.
pub fn walk(settings: &[Setting], table: Table, losses: &mut Losses) {
    for setting in settings.iter().filter(|setting| is_written(setting)) {
        match said(table, &setting.key) {
            Some(Said::Lost(why)) => losses.note_setting(setting, why),
            Some(Said::As(_) | Said::Partly(_) | Said::Moot(_)) => {}
            // A test keeps this from happening.
            None => losses.note_setting(setting, "this format does not know the key"),
        }
    }
}

/// Whether somebody wrote the setting, and something else than the default.
pub fn is_written(setting: &Setting) -> bool {
    let default = schema::default(&setting.section, &setting.key);
    setting.origin != crate::config::Origin::Default && default != Some(setting.value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_listed_once_on_one_line_each() {
        let mut losses = Losses::default();
        assert_eq!((losses.to_text().as_str(), losses.is_empty()), ("", true));
        losses.note("[program:x] priority", "5", "order it by hand");
        losses.note("[program:x] priority", "5", "order it by hand");
        losses.note("[program:y] command", "a\nb", "why");
        assert_eq!(
            losses.to_text(),
            "2 settings could not be carried over exactly:\n\
             - [program:x] priority = 5: order it by hand\n- [program:y] command = a b: why\n"
        );
        assert_eq!(
            losses.to_comment("#", |loss| loss.what.contains(":y")),
            "# 1 setting could not be carried over exactly:\n# - [program:y] command = a b: why\n"
        );
    }

    #[test]
    fn a_value_ends_no_comment() {
        for value in ["a\nb", "a\u{85}b", "a\u{2028}b", "a\u{2029}b"] {
            let loss = Loss { what: "x".into(), value: value.into(), why: "y".into() };
            assert_eq!(loss.to_string(), "x = a b: y", "{value:?}");
        }
        let loss = Loss { what: "x".into(), value: "\u{10ffe9}".into(), why: "y".into() };
        assert_eq!(loss.to_string(), "x = \u{fffd}: y");
    }

    #[test]
    fn long_values_are_cut() {
        let loss = Loss { what: "a".into(), value: "x".repeat(1000), why: "b".into() };
        assert_eq!(loss.to_string().chars().count(), SHOWN + "a = …: b".chars().count());
    }
}
