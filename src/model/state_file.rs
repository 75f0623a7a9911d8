//! What people have changed about programs besides the configuration, and the file in which it outlives the daemon
//! (`state_file`).
//!
//! The file is JSON. Its `version` is [`VERSION`] for as long as an older release can write back what a newer one has
//! added: fields that a release does not know are kept. A file with a higher version is neither used nor overwritten.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version that this release reads and writes.
pub const VERSION: u64 = 1;

/// A larger file is none of ours: a hundred thousand processes with the longest names fit in.
pub const MOST_BYTES: u64 = 64 << 20;

/// More processes than any program can have.
pub const MOST_PROCESSES: u32 = 100_000;

/// What is laid over a configuration when it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overrides {
    /// How many processes a program has, by the name of the program.
    #[serde(default)]
    pub numprocs: BTreeMap<String, u32>,
    /// Whether processes start with the daemon: by the name of a program, or by the [name](full_name) of a process, which
    /// goes before that of its program.
    #[serde(default)]
    pub autostart: BTreeMap<String, bool>,
}

impl Overrides {
    /// None at all.
    pub const NONE: &'static Overrides = &Overrides { numprocs: BTreeMap::new(), autostart: BTreeMap::new() };

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.numprocs.is_empty() && self.autostart.is_empty()
    }

    /// Whether a process starts with the daemon, if somebody has said so.
    pub fn autostart_of(&self, group: &str, process: &str, program: &str) -> Option<bool> {
        if self.autostart.is_empty() {
            return None;
        }
        let own = self.autostart.get(&full_name(group, process));
        own.or_else(|| self.autostart.get(program)).copied()
    }

    /// These with others over them.
    pub fn with(&self, above: &Overrides) -> Overrides {
        let mut all = self.clone();
        all.numprocs.extend(above.numprocs.iter().map(|(name, number)| (name.clone(), *number)));
        all.autostart.extend(above.autostart.iter().map(|(name, starts)| (name.clone(), *starts)));
        all
    }

    /// Whether some of it is about a program: its number, or its start.
    pub fn names_program(&self, program: &str) -> bool {
        self.numprocs.contains_key(program) || self.autostart.contains_key(program)
    }
}

/// The name of a process that no program can have.
pub fn full_name(group: &str, process: &str) -> String {
    format!("{group}:{process}")
}

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// What people have changed for good.
    #[serde(flatten)]
    pub overrides: Overrides,
    /// Whether processes with `autostart=last` were wanted up, by their [names](full_name). One that is missing was.
    #[serde(default)]
    pub wanted: BTreeMap<String, bool>,
    /// When schedules were last due, in seconds since 1970, by the names of their programs.
    #[serde(default)]
    pub last_runs: BTreeMap<String, u64>,
    /// What a newer release has written.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

/// What was found in a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// This.
    Remembered(Remembered),
    /// Something that only a newer release understands, with its version.
    Newer(u64),
}

impl Remembered {
    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        *self == Remembered::default()
    }

    /// Understands a file.
    ///
    /// # Errors
    /// Why it is none, or a torn one.
    pub fn parse(text: &str) -> Result<Found, String> {
        #[derive(Deserialize)]
        struct Written {
            version: u64,
            #[serde(flatten)]
            rest: serde_json::Map<String, serde_json::Value>,
        }
        let Written { version, rest } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if version > VERSION {
            return Ok(Found::Newer(version));
        }
        let found: Remembered =
            serde_json::from_value(serde_json::Value::Object(rest)).map_err(|error| error.to_string())?;
        let too_many = |(_, number): &(&String, &u32)| **number > MOST_PROCESSES;
        match found.overrides.numprocs.iter().find(too_many) {
            Some((program, number)) => {
                Err(format!("numprocs of {program:?} is {number}, and {MOST_PROCESSES} are possible"))
            }
            None => Ok(Found::Remembered(found)),
        }
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        #[derive(Serialize)]
        struct Written<'a> {
            version: u64,
            #[serde(flatten)]
            rest: &'a Remembered,
        }
        // Texts, numbers and maps with texts as keys always have a JSON form.
        let mut text =
            serde_json::to_string_pretty(&Written { version: VERSION, rest: self }).unwrap_or_default();
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Remembered {
        match Remembered::parse(text) {
            Ok(Found::Remembered(found)) => found,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut all = Remembered::default();
        all.overrides.numprocs.insert("web".into(), 8);
        all.overrides.autostart.insert("db".into(), false);
        all.overrides.autostart.insert("g:db_1".into(), true);
        all.wanted.insert("g:x".into(), false);
        all.last_runs.insert("backup".into(), 1_700_000_000);
        assert_eq!(read(&all.text()), all);
        assert_eq!(
            all.text(),
            "{\n  \"version\": 1,\n  \"numprocs\": {\n    \"web\": 8\n  },\n  \"autostart\": {\n    \"db\": false,\n    \
             \"g:db_1\": true\n  },\n  \"wanted\": {\n    \"g:x\": false\n  },\n  \"last_runs\": {\n    \"backup\": \
             1700000000\n  }\n}\n"
        );
    }

    #[test]
    fn older_and_newer_files_are_understood_as_far_as_that_goes() {
        for (text, expected) in [
            (r#"{"version": 1}"#, Ok(Found::Remembered(Remembered::default()))),
            (r#"{"version": 0, "wanted": {}}"#, Ok(Found::Remembered(Remembered::default()))),
            (r#"{"version": 2, "numprocs": "other"}"#, Ok(Found::Newer(2))),
        ] {
            assert_eq!(Remembered::parse(text), expected, "{text}");
        }
        let more = read(r#"{"version": 1, "numprocs": {"a": 2}, "later": [1, {"b": null}]}"#);
        assert_eq!(more.overrides.numprocs["a"], 2);
        let again: serde_json::Value = serde_json::from_str(&more.text()).unwrap();
        assert_eq!(again["later"], serde_json::json!([1, {"b": null}]));
    }

    #[test]
    fn what_is_torn_or_foreign_is_told() {
        for text in [
            "",
            "{",
            "[]",
            "{}",
            "null",
            r#"{"version": -1}"#,
            r#"{"version": "1"}"#,
            r#"{"version": 1, "numprocs": {"a": -1}}"#,
            r#"{"version": 1, "numprocs": {"a": 100001}}"#,
            r#"{"version": 1, "autostart": {"a": 1}}"#,
            r#"{"version": 1, "wanted": []}"#,
            r#"{"version": 1} {"#,
        ] {
            assert!(Remembered::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_process_goes_before_its_program() {
        let mut low = Overrides::default();
        low.autostart.insert("web".into(), false);
        low.numprocs.insert("web".into(), 2);
        let mut high = Overrides::default();
        high.autostart.insert("web:web_1".into(), true);
        high.numprocs.insert("web".into(), 3);
        let all = low.with(&high);
        assert_eq!(all.numprocs["web"], 3);
        for (group, process, program, expected) in [
            ("web", "web_0", "web", Some(false)),
            ("web", "web_1", "web", Some(true)),
            ("g", "web_1", "web", Some(false)),
            ("g", "x", "x", None),
        ] {
            assert_eq!(all.autostart_of(group, process, program), expected, "{group}:{process}");
        }
        assert!(all.names_program("web") && !all.names_program("web_1"));
        assert!(Overrides::NONE.is_empty() && !all.is_empty());
    }
}
