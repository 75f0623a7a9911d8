//! How units are written: sections and assignments, quoting, times. quadlet's files are written in the same way.

use crate::convert::losses::as_seen;
use crate::convert::units::is_text;
use crate::model::raw;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// The shortest time that is still one.
const SHORTEST: Duration = Duration::from_millis(1);

/// A unit in the making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::convert) struct Unit {
    sections: Vec<(&'static str, Vec<(String, String)>)>,
}

impl Unit {
    /// Adds an assignment to a section. Sections come in the order in which they get their first one.
    pub(in crate::convert) fn add(&mut self, section: &'static str, key: &str, value: impl Into<String>) {
        let at = self.sections.iter().position(|(name, _)| *name == section).unwrap_or_else(|| {
            self.sections.push((section, Vec::new()));
            self.sections.len() - 1
        });
        self.sections[at].1.push((key.to_string(), value.into()));
    }

    /// The text of the unit.
    pub(in crate::convert) fn to_text(&self) -> String {
        let mut text = String::new();
        for (at, (section, settings)) in self.sections.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}[{section}]", if at == 0 { "" } else { "\n" });
            for (key, value) in settings {
                let _ = writeln!(text, "{key}={value}");
            }
        }
        text
    }
}

/// What a person reads, such as a description: it may look a bit different.
pub(in crate::convert) fn title(text: &str) -> String {
    let seen: String = as_seen(text).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let seen = seen.trim();
    let whole = seen.trim_end_matches('\\');
    // A backslash at the end would take in the next line.
    percents_doubled(&format!("{whole}{}", "_".repeat(seen.len() - whole.len())))
}

/// A value that reaches to the end of its line and is read as it stands there. `None` if there is none that is read as this
/// text: nothing is unquoted in such values, blanks around them are cut off, and a backslash at their end takes in the
/// next line.
pub(in crate::convert) fn line(text: &str) -> Option<String> {
    let is_read_so =
        is_text(text) && !text.contains(char::is_control) && text.trim() == text && !text.ends_with('\\');
    is_read_so.then(|| percents_doubled(text))
}

/// Without the specifiers that a `%` begins.
fn percents_doubled(text: &str) -> String {
    text.replace('%', "%%")
}

/// A path as text.
pub(in crate::convert) fn shown(path: &Path) -> String {
    raw::text(raw::path(path).as_os_str())
}

/// A word of a list that is split at blanks.
pub(in crate::convert) fn word(text: &str) -> String {
    quoted(&percents_doubled(text))
}

/// The file of a command, in which no variable is expanded. systemd refuses one with a quote, a backslash or a control in its
/// name, so a shell executes it.
pub(in crate::convert) fn executable(file: &str) -> String {
    if !file.contains(|c: char| c.is_control() || matches!(c, '"' | '\'' | '\\')) {
        return word(file);
    }
    format!("/bin/sh -c {} {}", argument("exec \"$0\" \"$@\""), argument(file))
}

/// Any other word of a command. A single `;` would separate two commands.
pub(in crate::convert) fn argument(text: &str) -> String {
    if text == ";" { "\\;".to_string() } else { word(&text.replace('$', "$$")) }
}

fn quoted(text: &str) -> String {
    let is_letter = |c: char| !c.is_ascii() && !c.is_whitespace() && !c.is_control();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:=@%$^~".contains(c) || is_letter(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_string();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_ascii_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// `10s`, `500ms`; `0` for no time at all.
pub(in crate::convert) fn time(time: Duration) -> String {
    match (time.as_nanos(), time.subsec_millis(), time.subsec_micros()) {
        (0, ..) => "0".to_string(),
        (_, 0, 0) => format!("{}s", time.as_secs()),
        (_, _, micros) if micros % 1000 == 0 => format!("{}ms", time.as_millis()),
        _ => format!("{}us", time.as_micros()),
    }
}

/// A time that ends something. No time at all is the shortest one: systemd takes a 0 for no limit.
pub(in crate::convert) fn timeout(limit: Duration) -> String {
    time(limit.max(SHORTEST))
}

/// The name of a unit without its end: letters, digits and `:_.-` stay, the rest is escaped as systemd-escape(1) does.
pub(in crate::convert) fn unit_name(name: &str) -> String {
    let mut escaped = String::new();
    for (at, c) in name.char_indices() {
        let is_plain = c.is_ascii_alphanumeric() || ":_.-".contains(c);
        if is_plain && !(at == 0 && matches!(c, '.' | '-')) {
            escaped.push(c);
        } else {
            for byte in c.to_string().bytes() {
                let _ = write!(escaped, "\\x{byte:02x}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_systemd_reads_them() {
        for (text, expected) in [
            ("/bin/x", "/bin/x"),
            ("a b", "\"a b\""),
            ("", "\"\""),
            ("50%", "50%%"),
            ("$HOME", "$$HOME"),
            ("a\nb\u{1}", "\"a\\nb\\x01\""),
            ("\"q\" \\", "\"\\\"q\\\" \\\\\""),
            (";", "\\;"),
            ("a;b", "\"a;b\""),
            ("ä", "ä"),
            ("a\u{a0}b", "\"a\u{a0}b\""),
            ("\u{2003}", "\"\u{2003}\""),
        ] {
            assert_eq!(argument(text), expected, "{text:?}");
        }
        assert_eq!(executable("/it's"), r#"/bin/sh -c "exec \"$$0\" \"$$@\"" "/it's""#);
        assert_eq!((executable("/$x"), word("a$b")), ("/$x".to_string(), "a$b".to_string()));
    }

    #[test]
    fn a_line_is_read_as_it_stands_or_is_none() {
        for (text, expected) in [
            ("/srv/a b", Some("/srv/a b")),
            ("/srv/50%", Some("/srv/50%%")),
            ("/a\\b", Some("/a\\b")),
            ("/a\\", None),
            ("/a\\\\", None),
            ("/a ", None),
            (" a", None),
            ("/a\tb", None),
            ("/\u{10ffe9}", None),
        ] {
            assert_eq!(line(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_title_stays_on_its_line() {
        for (text, expected) in [
            ("web", "web"),
            ("foo\\", "foo_"),
            ("a\nb \\\\", "a b __"),
            (" 5% ", "5%%"),
            ("\u{10ffe9}", "\u{fffd}"),
        ] {
            assert_eq!(title(text), expected, "{text:?}");
        }
    }

    #[test]
    fn times_and_names() {
        for (millis, expected) in [(0, "0"), (1000, "1s"), (90_000, "90s"), (1500, "1500ms")] {
            assert_eq!(time(Duration::from_millis(millis)), expected);
        }
        assert_eq!(time(Duration::from_micros(1)), "1us");
        assert_eq!((timeout(Duration::ZERO), timeout(Duration::from_secs(2))), ("1ms".into(), "2s".into()));
        for (name, expected) in
            [("web", "web"), ("a b", "a\\x20b"), ("-x", "\\x2dx"), ("x@y", "x\\x40y"), ("ä", "\\xc3\\xa4")]
        {
            assert_eq!(unit_name(name), expected);
        }
    }
}
