//! One finding of `check`, with its severity and place.

use crate::config::ConfigError;
use crate::config::section::Note;
use crate::model::config::Level;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is wrong, and something could be better. `--strict` lets it pass.
    Hint,
    /// The daemon starts, but something is probably not as it was meant.
    Warning,
    /// The daemon does not start, or does not act upon one of two settings that cannot both be meant.
    Error,
}

/// One finding, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether the daemon starts in spite of it.
    pub severity: Severity,
    /// What was found and what was expected, without the place.
    pub text: String,
    /// The file, as `-c` or an include named it; `None` if it is about no file.
    pub file: Option<PathBuf>,
    /// Counted from 1.
    pub line: Option<u32>,
    /// The header without its brackets.
    pub section: Option<String>,
    /// The key, in lower case.
    pub key: Option<String>,
}

impl From<ConfigError> for Problem {
    fn from(error: ConfigError) -> Problem {
        let ConfigError { text, file, line, section, key } = error;
        Problem { severity: Severity::Error, text, file, line, section, key }
    }
}

impl From<Note> for Problem {
    fn from(note: Note) -> Problem {
        let Note { message, file, line, section, key, .. } = note;
        let severity = if message.level == Level::Error { Severity::Error } else { Severity::Warning };
        Problem { severity, text: message.text, file, line, section, key }
    }
}

/// `/etc/x.conf:3: error: [program:x] autostart: not a valid boolean value: 'maybe'`, as compilers do.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        f.write_str(match self.severity {
            Severity::Error => "error: ",
            Severity::Warning => "warning: ",
            Severity::Hint => "hint: ",
        })?;
        // Some texts name the section themselves.
        if let Some(section) = &self.section
            && !self.text.starts_with(&format!("[{section}]"))
        {
            write!(f, "[{section}] ")?;
            if let Some(key) = &self.key {
                write!(f, "{key}: ")?;
            }
        }
        f.write_str(&self.text)
    }
}
