//! The errors of a configuration, each with its place.

use crate::config::text::repr;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// What is wrong, in Supervisor's words where it has some; without the place.
    pub text: String,
    /// The file, as it was named on the command line or found by an include.
    pub file: Option<PathBuf>,
    /// Counted from 1. The line of the key, or of the section's header if the key is missing.
    pub line: Option<u32>,
    /// The header without its brackets; `None` if it is about the whole file.
    pub section: Option<String>,
    /// The key, in lower case; `None` if it is about the whole section.
    pub key: Option<String>,
}

impl ConfigError {
    /// An error that belongs to no file, or whose text already says to which.
    pub fn plain(text: impl Into<String>) -> ConfigError {
        ConfigError { text: text.into(), file: None, line: None, section: None, key: None }
    }

    /// Whether both name the same line of the same file for the same key.
    pub(super) fn is_about_the_same_key_as(&self, other: &ConfigError) -> bool {
        let place =
            |error: &ConfigError| (error.line, error.key.clone(), error.section.clone(), error.file.clone());
        self.key.is_some() && self.line == other.line && place(self) == place(other)
    }

    /// Where the mistake is, for a person or an editor: `/etc/web.conf:12: [program:web] autostart`.
    pub fn place(&self) -> Option<String> {
        let file = self.file.as_ref()?;
        let mut place = file.display().to_string();
        if let Some(line) = self.line {
            place += &format!(":{line}");
        }
        if let Some(section) = &self.section {
            place += &format!(": [{section}]");
        }
        if let Some(key) = &self.key {
            place += &format!(" {key}");
        }
        Some(place)
    }
}

/// Supervisor names section and file only for some errors of programs; here all that have a section do.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if let (Some(section), Some(file)) = (&self.section, &self.file) {
            write!(f, " in section {} (file: {})", repr(section), repr(&file.to_string_lossy()))?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Everything that is wrong with a configuration, in the order in which Supervisor would have met it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// At least one.
    errors: Vec<ConfigError>,
}

impl ConfigErrors {
    /// `None` if there are none.
    pub fn new(errors: Vec<ConfigError>) -> Option<ConfigErrors> {
        (!errors.is_empty()).then_some(ConfigErrors { errors })
    }

    /// The one Supervisor would have stopped at.
    pub fn first(&self) -> &ConfigError {
        // Both ways to make one leave at least one error in it.
        &self.errors[0]
    }

    /// All of them, in the order in which Supervisor would have met them.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.errors.iter()
    }

    /// What a program that cannot start prints on stderr before it exits with status 2: Supervisor's two
    /// lines, with the place between them.
    pub fn usage_error(&self, progname: &str) -> String {
        let mut text = format!("Error: {}\n", self.first());
        if let Some(place) = self.first().place() {
            text += &format!("At {place}\n");
        }
        match self.errors.len() - 1 {
            0 => {}
            1 => text += "There is 1 more error; see the output of 'supervisord check'\n",
            more => text += &format!("There are {more} more errors; see the output of 'supervisord check'\n"),
        }
        text + &format!("For help, use {progname} -h\n")
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> ConfigErrors {
        ConfigErrors { errors: vec![error] }
    }
}

/// The first error: what a one-line answer, such as the fault of a reread, has room for.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first().fmt(f)
    }
}

impl std::error::Error for ConfigErrors {}
