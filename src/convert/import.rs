//! From the files of another program to a configuration.
//!
//! A [`Format`] is a row of [`FORMATS`]: it makes an [`Imported`] of one text, or of all files together where they belong
//! together. Values in it are as they stand in a configuration: [`escaped`], [`command`] and [`environment`] make them.
//! [`Imported::to_text`] writes the configuration.

use crate::config::dump;
use crate::convert::losses::Losses;
use crate::convert::{compose, pm2, procfile};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

/// A configuration in the making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Headers without their brackets, each with its keys and values.
    sections: Vec<(String, Settings)>,
    /// Where each section stands, to find one among ten thousand.
    places: HashMap<String, usize>,
}

/// Keys and values of a section, in the order of the file. A `%` in values is doubled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    list: Vec<(String, String)>,
    /// Where each key stands.
    places: HashMap<String, usize>,
}

/// One file to import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFile {
    /// As the command line names it.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// How a format is imported.
#[derive(Clone, Copy)]
pub enum Import {
    /// Each file says something of its own: its text, and its name.
    Each(fn(&str, &str, &mut Losses) -> Result<Imported, String>),
    /// The files belong together.
    Together(fn(&[InputFile], &mut Losses) -> Result<Imported, String>),
}

/// A format that can be imported.
pub struct Format {
    /// The word of the command line.
    pub name: &'static str,
    /// Makes a configuration of it.
    pub import: Import,
}

/// Every format, in the order of the help.
pub const FORMATS: &[Format] = &[
    crate::convert::systemd::IMPORT,
    Format { name: "procfile", import: Import::Each(procfile::import) },
    Format { name: "compose", import: Import::Each(compose::import) },
    Format { name: "pm2", import: Import::Each(pm2::import) },
];

/// The format of this name.
pub fn format(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

/// Makes a configuration of files.
///
/// # Errors
/// A file that is not of the format: its name, and what was expected.
pub fn import(format: &Format, files: &[InputFile], losses: &mut Losses) -> Result<Imported, String> {
    let imported = match format.import {
        Import::Together(import) => import(files, losses)?,
        Import::Each(import) => {
            let mut all = Imported::default();
            for file in files {
                all.add(import(&file.text, &file.name, losses)?, losses);
            }
            all
        }
    };
    if !imported.sections.iter().any(|(section, _)| section.contains("program:")) {
        return Err(no_program(losses));
    }
    Ok(imported)
}

impl Settings {
    /// Sets a key. The last value counts.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        match self.places.get(key) {
            Some(place) => self.list[*place].1 = value.into(),
            None => {
                self.places.insert(key.to_string(), self.list.len());
                self.list.push((key.to_string(), value.into()));
            }
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.places.get(key).map(|place| &*self.list[*place].1)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().map(|(key, value)| (&**key, &**value))
    }
}

impl Imported {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// Whether there is a section of this name.
    pub fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// The section of this name, made if it is missing.
    pub fn section(&mut self, name: &str) -> &mut Settings {
        let place = match self.places.get(name) {
            Some(place) => *place,
            None => {
                self.places.insert(name.to_string(), self.sections.len());
                self.sections.push((name.to_string(), Settings::default()));
                self.sections.len() - 1
            }
        };
        &mut self.sections[place].1
    }

    /// Adds a section, in place of one of the same name.
    pub fn put(&mut self, name: &str, settings: Settings) {
        *self.section(name) = settings;
    }

    /// Sets a key. The last value counts.
    pub fn set(&mut self, section: &str, key: &str, value: impl Into<String>) {
        self.section(section).set(key, value);
    }

    /// Takes over what another file says. A section that is there already is a loss.
    fn add(&mut self, other: Imported, losses: &mut Losses) {
        for (name, settings) in other.sections {
            if name.contains(':') && self.has(&name) {
                losses.note(
                    format!("[{name}]"),
                    "",
                    "another file makes a section of this name: rename one of them",
                );
                continue;
            }
            let section = self.section(&name);
            for (key, value) in settings.list {
                section.set(&key, value);
            }
        }
    }

    /// The configuration, with a list of losses at its head. A section of which a part cannot be written is left out as a
    /// whole: without that part a program might run as somebody else, or with more than it should have.
    ///
    /// # Errors
    /// No program is left.
    pub fn to_text(&self, origin: &str, losses: &mut Losses) -> Result<String, String> {
        let mut body = String::new();
        let (mut has_program, mut has_daemon) = (false, false);
        for (section, settings) in &self.sections {
            match section_text(section, settings) {
                Ok(text) => {
                    body += &text;
                    has_program |= section.contains("program:");
                    has_daemon |= section == "supervisord";
                }
                Err(what) => {
                    let why =
                        "no line of a configuration says that and nothing else, so the section is left out";
                    losses.note(format!("[{section}] {what}"), "", why);
                }
            }
        }
        if !has_program {
            return Err(no_program(losses));
        }
        let mut text = format!("; Imported from {origin} by supervisord.\n");
        let list = losses.to_comment(";", |_| true);
        if !list.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(text, ";\n{list}");
        }
        if !has_daemon {
            text += "\n[supervisord]\n";
        }
        Ok(text + &body)
    }
}

/// A section as it stands in a file.
///
/// # Errors
/// The part of it that cannot be written: a key, or empty for its name.
fn section_text(section: &str, settings: &Settings) -> Result<String, String> {
    if section.contains(|c: char| c.is_control() || c == ']') {
        return Err(String::new());
    }
    let mut text = format!("\n[{section}]\n");
    for (key, value) in settings.iter() {
        text += &dump::bare_line(key, value).ok_or(key)?;
    }
    Ok(text)
}

fn no_program(losses: &Losses) -> String {
    let why = losses.iter().next().map(|loss| format!(": {loss}")).unwrap_or_default();
    format!("there is no program in it{why}")
}

/// A text as a value means it: nothing is expanded in it.
pub fn escaped(text: &str) -> String {
    text.replace('%', "%%")
}

/// Words as a `command`, quoted so that each comes back as it is.
pub fn command<W: AsRef<str>>(words: &[W]) -> String {
    words.iter().map(|word| escaped(&quoted(word.as_ref()))).collect::<Vec<_>>().join(" ")
}

/// The same of words that are values already, in which `%(process_num)d` and the like are to be expanded.
pub fn command_of_values<W: AsRef<str>>(words: &[W]) -> String {
    words.iter().map(|word| quoted(word.as_ref())).collect::<Vec<_>>().join(" ")
}

/// The same as [`environment`] of values.
pub fn environment_of_values<'v>(variables: impl IntoIterator<Item = (&'v str, &'v str)>) -> String {
    let pairs = variables.into_iter().map(|(name, value)| format!("{name}={}", always_quoted(value)));
    pairs.collect::<Vec<_>>().join(",")
}

/// Variables as an `environment`: `A="1",B="x y"`.
pub fn environment<'v>(variables: impl IntoIterator<Item = (&'v str, &'v str)>) -> String {
    let pairs =
        variables.into_iter().map(|(name, value)| format!("{name}={}", escaped(&always_quoted(value))));
    pairs.collect::<Vec<_>>().join(",")
}

/// A word as the lexer of commands reads it back.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:=@%^~".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) { word.to_string() } else { always_quoted(word) }
}

/// The same between quotes. A `;` or `#` behind a blank would begin a comment, so the quotes end and begin in front of it.
fn always_quoted(word: &str) -> String {
    let mut text = String::from("\"");
    let mut after_blank = false;
    for c in word.chars() {
        if after_blank && matches!(c, ';' | '#') {
            text.push_str("\"\"");
        }
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
        after_blank = c.is_whitespace();
    }
    text.push('"');
    text
}

/// Names of programs become names of files, which have 255 bytes at most, with something before and behind.
const LONGEST_NAME: usize = 128;

/// A text that can be part of the name of a section or a process: what cannot becomes an underscore.
pub fn name(text: &str) -> String {
    let is_possible = |c: char| !c.is_whitespace() && !c.is_control() && !":/[]%,*?;#=\"'\\".contains(c);
    let mut name: String = text.chars().map(|c| if is_possible(c) { c } else { '_' }).collect();
    name.truncate(name.floor_char_boundary(LONGEST_NAME));
    if name.is_empty() { "program".to_string() } else { name }
}

/// Whether a credential can have this name. Keys are written in small letters.
pub fn is_credential(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.len() <= LONGEST_NAME && name.chars().all(is_plain)
}

/// The names of programs, so that each gets one of its own.
#[derive(Default)]
pub struct Names {
    taken: HashSet<String>,
    /// The number that was put behind a name last.
    numbers: HashMap<String, u32>,
}

impl Names {
    /// The name, with a number behind it if it is taken: `web`, `web_2`, `web_3`.
    pub fn own(&mut self, wanted: &str) -> String {
        if self.taken.insert(wanted.to_string()) {
            return wanted.to_string();
        }
        let number = self.numbers.entry(wanted.to_string()).or_insert(1);
        loop {
            *number += 1;
            let own = format!("{wanted}_{number}");
            if self.taken.insert(own.clone()) {
                return own;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::args::DaemonArgs;
    use crate::config::{Surroundings, parse};
    use std::path::Path;

    const HARD: [&str; 14] = [
        "",
        "a b",
        "50%",
        "%(here)s",
        "a ; b",
        ";",
        "#x",
        " # ",
        "it's",
        "\"q\" \\ \\n",
        "$HOME",
        "ä=ö,x",
        "tab\tx",
        "`x`",
    ];

    #[test]
    fn every_name_is_given_once() {
        let mut names = Names::default();
        let own = ["a", "a_2", "a", "a", "b", "a_2"].map(|wanted| names.own(wanted));
        assert_eq!(own, ["a", "a_2", "a_3", "a_4", "b", "a_2_2"]);
    }

    #[test]
    fn no_value_becomes_a_section() {
        use crate::config::Document;
        use std::path::Path;

        let injected =
            "/a ;\n\"\"\"\n[program:evil]\ncommand=/bin/evil\nuser=root\nenvironment=\"\"\"\nA=\"1\"";
        for (section, key, value) in [
            ("program:x", "directory", injected),
            ("program:x", "user", "root\u{b}\n[program:evil]"),
            ("program:x]\n[program:evil", "user", "root"),
            ("program:x", "directory", " /a"),
        ] {
            let mut imported = Imported::default();
            imported.set("program:y", "command", "/bin/y");
            imported.set(section, "command", "/bin/x");
            imported.set(section, key, value);
            let mut losses = Losses::default();
            let text = imported.to_text("a test", &mut losses).unwrap();
            let document = Document::parse(Path::new("x"), &text).unwrap();
            let sections: Vec<&str> = document.sections().collect();
            match losses.iter().count() {
                0 => {
                    assert_eq!(sections, ["supervisord", "program:y", "program:x"], "{value:?}");
                    assert_eq!(document.get("program:x", key).map(|found| found.text), Some(value));
                }
                _ => assert_eq!(sections, ["supervisord", "program:y"], "{value:?}"),
            }
        }
        let mut imported = Imported::default();
        imported.set("program:x", "user", " root");
        assert!(imported.to_text("a test", &mut Losses::default()).is_err());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let words: Vec<&str> = ["/bin/x"].into_iter().chain(HARD).collect();
        let names: Vec<String> = (0..HARD.len()).map(|at| format!("V{at}")).collect();
        let variables = names.iter().map(String::as_str).zip(HARD);
        let mut imported = Imported::default();
        imported.set("program:x", "command", command(&words));
        imported.set("program:x", "environment", environment(variables));
        imported.set("program:x", "directory", escaped("/tmp/a ; b%"));
        let text = imported.to_text("a test", &mut Losses::default()).unwrap();
        let around = Surroundings::of_this_process();
        let config = parse(Path::new("/x.conf"), &text, &DaemonArgs::default(), &around).expect(&text);
        let process = &config.groups[0].processes[0];
        let found = crate::config::command::split(&process.command).expect("it can be split");
        assert_eq!(found, words, "{text}");
        for (name, value) in names.iter().zip(HARD) {
            assert_eq!(process.environment.get(name).map(String::as_str), Some(value), "{text}");
        }
        assert_eq!(process.directory.as_deref(), Some(Path::new("/tmp/a ; b%")));
    }
}
