//! Keys by the names that relatives of Supervisor have for them: [`schema::ALIASES`]. Each becomes the key of ours, so that
//! nobody who reads a document needs to know of them.

use crate::config::command;
use crate::config::document::{Document, Place};
use crate::config::error::ConfigError;
use crate::config::schema;
use crate::config::text::{repr, strip};
use crate::config::values::Parsed;
use crate::model::config::{Level, Message};

/// A key that was written by both of its names in one section.
pub(crate) struct Twice<'d> {
    pub section: &'d str,
    /// The name of the relative.
    pub alias: &'d str,
    pub place: Place,
    pub text: String,
}

/// Gives a document the keys that its aliases stand for.
pub(super) fn resolve(document: &mut Document) {
    for section in document.all_sections() {
        let written: Vec<(String, Place)> = document
            .own_keys(&section)
            .filter(|(name, _)| is_alias(&section, name))
            .map(|(name, place)| (name.to_string(), place))
            .collect();
        for (name, place) in written {
            let Some(alias) = schema::alias_named(&name) else { continue };
            // The key of ours counts, or the alias that came first.
            if document.has_own(&section, alias.key) {
                continue;
            }
            let Some(text) = document.own(&section, &name).map(|value| value.text.to_string()) else {
                continue;
            };
            match (alias.value)(&text) {
                Ok(value) => document.set_by_alias(&section, alias.key, &name, value, place),
                Err(text) => document.note_untranslatable(&section, &name, place, text),
            }
        }
    }
}

/// Whether a key of this section, or of `[DEFAULT]`, is one of ours by another name.
pub(super) fn is_alias(section: &str, name: &str) -> bool {
    let is_known = |key| section == Document::DEFAULT || schema::knows(section, key);
    schema::alias_named(name).is_some_and(|alias| is_known(alias.key))
}

/// Aliases that say nothing because the key of ours, or another alias of it, says it.
pub(crate) fn twice(document: &Document) -> Vec<Twice<'_>> {
    let sections = document.sections().chain([Document::DEFAULT]);
    let aliases = sections.flat_map(|section| {
        let names = document.own_keys(section).filter(move |(name, _)| is_alias(section, name));
        names.map(move |(name, place)| (section, name, place))
    });
    let is_superfluous = |(section, name, place): (_, _, Place)| {
        let alias = schema::alias_named(name)?;
        let counts = document.own(section, alias.key)?;
        (counts.place != place).then(|| Twice {
            section,
            alias: name,
            place,
            text: format!(
                "the same setting as {} in line {}, which counts: leave one of them out",
                document.written_name(section, alias.key),
                counts.place.line
            ),
        })
    };
    aliases.filter_map(is_superfluous).collect()
}

/// The same for the activity log.
pub(super) fn messages(document: &Document) -> Vec<Message> {
    let line = |twice: Twice<'_>| {
        let place = ConfigError {
            text: String::new(),
            file: Some(document.file(twice.place).name.clone()),
            line: Some(twice.place.line),
            section: Some(twice.section.to_string()),
            key: Some(twice.alias.to_string()),
        };
        let place = place.place().unwrap_or_default();
        Message { level: Level::Warn, text: format!("{place}: {}", twice.text) }
    };
    twice(document).into_iter().map(line).collect()
}

/// There a file that cannot be read is passed over.
pub(super) fn files_that_may_be_missing(text: &str) -> Parsed<String> {
    let files = text.split(',').map(strip).filter(|file| !file.is_empty());
    Ok(files.map(|file| format!("-{file}")).collect::<Vec<_>>().join(", "))
}

/// The value of an alias that means the same.
#[expect(clippy::unnecessary_wraps, reason = "as all the others in the table")]
pub(super) fn same(text: &str) -> Parsed<String> {
    Ok(text.to_string())
}

/// A list separated by blanks.
#[expect(clippy::unnecessary_wraps, reason = "as all the others in the table")]
pub(super) fn list_of_words(text: &str) -> Parsed<String> {
    Ok(text.split_whitespace().collect::<Vec<_>>().join(", "))
}

/// An address, with options like those of curl, or a command.
pub(super) fn probe(text: &str) -> Parsed<String> {
    let text = strip(text);
    if text.is_empty() || text.starts_with("tcp://") {
        return Ok(text.to_string());
    }
    if !text.starts_with("http://") && !text.starts_with("https://") {
        return Ok(format!("exec:{}", strip(text.strip_prefix("script://").unwrap_or(text))));
    }
    let wrong = |why: &str| {
        format!(
            "{why} in {}: only -H is understood here; write health=exec:curl and what else it needs",
            repr(text)
        )
    };
    let words = command::split(text).map_err(wrong)?;
    let mut words = words.into_iter();
    let mut probe = words.next().unwrap_or_default();
    while let Some(option) = words.next() {
        let header = match option.as_str() {
            "-H" | "--header" => words.next().ok_or_else(|| wrong(&format!("nothing follows {option}")))?,
            other => match other.strip_prefix("--header=").or_else(|| other.strip_prefix("-H")) {
                Some(header) => header.to_string(),
                None => return Err(wrong(&format!("the option {}", repr(other)))),
            },
        };
        let (name, value) = header.split_once(':').ok_or_else(|| wrong("a header without a colon"))?;
        let value = strip(value).replace('\\', "\\\\").replace('"', "\\\"");
        probe += &format!(" header.{}=\"{value}\"", strip(name));
    }
    Ok(probe)
}

/// `restart`, `stop`, or a command to run.
pub(super) fn health_action(text: &str) -> Parsed<String> {
    match strip(text).to_lowercase().as_str() {
        action @ ("restart" | "stop") => Ok(action.to_string()),
        _ => Err(format!(
            "no command is run: {} (expected restart or stop; write health_action=none and let an event listener for \
             PROCESS_UNHEALTHY run it)",
            repr(text)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn document(text: &str) -> Document {
        Document::parse(Path::new("x.conf"), text).expect("of the dialect")
    }

    #[test]
    fn aliases_become_keys_where_these_may_stand() {
        let document = document(
            "[supervisord]\nrestartpause=1\n[DEFAULT]\nrestartPause=2\n[program:a]\nRestartPause=3\n[program:b]\n\
             [eventlistener:c]\nliveness_check_timeout=4\nhealth_timeout=5\n[program:d]\nrestart_delay=6\n",
        );
        let delay = |section: &str| document.get(section, "restart_delay").map(|value| value.text);
        assert!(!document.has_own("supervisord", "restart_delay"));
        assert_eq!(
            [delay("program:a"), delay("program:b"), delay("program:d")],
            [Some("3"), Some("2"), Some("6")]
        );
        assert_eq!(document.get("eventlistener:c", "health_timeout").map(|value| value.text), Some("5"));
        let twice = twice(&document);
        let told: Vec<_> = twice.iter().map(|twice| (twice.section, twice.alias, twice.place.line)).collect();
        assert_eq!(told, [("eventlistener:c", "liveness_check_timeout", 9)]);
        assert_eq!(
            messages(&document)[0].text,
            "x.conf:9: [eventlistener:c] liveness_check_timeout: the same setting as health_timeout in line 10, which \
             counts: leave one of them out"
        );
        assert_eq!(document.written_name("program:a", "restart_delay"), "restartpause");
        assert_eq!(document.written_name("program:d", "restart_delay"), "restart_delay");
    }

    #[test]
    fn every_alias_is_of_a_key_and_none_is_one() {
        for alias in &schema::ALIASES {
            assert!(schema::knows("program:x", alias.key), "{}", alias.key);
            assert!(!schema::knows("program:x", alias.name), "{}", alias.name);
            assert_eq!(schema::alias_named(alias.name).map(|found| found.key), Some(alias.key));
        }
    }

    #[test]
    fn their_probes_are_ours() {
        for (text, expected) in [
            ("", ""),
            ("tcp://localhost:80", "tcp://localhost:80"),
            ("script:///bin/check -x 'a b'", "exec:/bin/check -x 'a b'"),
            ("/bin/check %(program_name)s", "exec:/bin/check %(program_name)s"),
            ("http://h/p", "http://h/p"),
            ("https://h/p", "https://h/p"),
            (
                "http://h/p -H 'X-A: b c' --header \"Y:\\\"\" -HZ:1 --header=W:2",
                "http://h/p header.X-A=\"b c\" header.Y=\"\\\"\" header.Z=\"1\" header.W=\"2\"",
            ),
        ] {
            assert_eq!(probe(text).as_deref(), Ok(expected), "{text}");
        }
        for (text, why) in [
            ("http://h/ -d @file", "the option '-d' in 'http://h/ -d @file': only -H is understood here"),
            ("http://h/ -H", "nothing follows -H in "),
            ("http://h/ -H X", "a header without a colon in "),
            ("http://h/ -H 'X", "No closing quotation in "),
        ] {
            let error = probe(text).unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
    }

    #[test]
    fn their_other_values_are_ours() {
        assert_eq!(list_of_words(" a:running  b ").as_deref(), Ok("a:running, b"));
        assert_eq!(health_action("Restart").as_deref(), Ok("restart"));
        assert!(
            health_action("/bin/x")
                .is_err_and(|text| text.starts_with("no command is run: '/bin/x' (expected "))
        );
    }
}
