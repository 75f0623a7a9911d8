//! Turns the `command` of a program into a file that can be executed. Errors have Supervisor's texts.

use crate::config::repr;
use crate::model::fault::{Fault, FaultCode};
use crate::model::raw;
use nix::unistd::AccessFlags;
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where programs are looked for when no `PATH` says otherwise; Supervisor, options.py, get_path().
const DEFAULT_PATH: &str = "/bin:/usr/bin:/usr/local/bin";

/// A command that was split and whose file was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The file to execute; relative only together with a `directory`.
    pub file: PathBuf,
    /// Its words, the first one as written.
    pub words: Vec<String>,
}

/// Why a command cannot be executed. Prints as the text of `spawnerr`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    CannotParse {
        command: String,
        why: &'static str,
    },
    Empty,
    NotFound(String),
    IsDirectory(String),
    NotExecutable(String),
    NoPermission(String),
    /// There is no environment for it; the whole text.
    Environment(String),
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::CannotParse { command, why } => {
                write!(f, "can't parse command {}: {why}", repr(command))
            }
            CommandError::Empty => f.write_str("command is empty"),
            CommandError::NotFound(file) => write!(f, "can't find command {}", repr(file)),
            CommandError::IsDirectory(file) => write!(f, "command at {} is a directory", repr(file)),
            CommandError::NotExecutable(file) => write!(f, "command at {} is not executable", repr(file)),
            CommandError::NoPermission(file) => write!(f, "no permission to run command {}", repr(file)),
            CommandError::Environment(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for CommandError {}

impl CommandError {
    /// The fault for a client that asked for a start.
    pub fn fault(&self) -> Fault {
        let code = match self {
            CommandError::NotFound(_) => FaultCode::NoFile,
            _ => FaultCode::NotExecutable,
        };
        Fault::with(code, self.to_string())
    }
}

/// Splits a command and finds its file.
///
/// A word with a slash is a path, relative to `directory` (where the program will be when it is executed).
/// Another one is searched along `path`, going on where a candidate turns out not to be executable, as
/// execvp(3) does; the last problem is reported.
pub(crate) fn resolve(
    command: &str,
    directory: Option<&Path>,
    path: Option<&str>,
) -> Result<Command, CommandError> {
    let words =
        split(command).map_err(|why| CommandError::CannotParse { command: command.to_string(), why })?;
    let first = words.first().ok_or(CommandError::Empty)?.clone();
    if first.contains('/') {
        let place = directory.map_or_else(|| PathBuf::from(&first), |directory| directory.join(&first));
        check(&place, &first)?;
        return Ok(Command { file: PathBuf::from(first), words });
    }
    let mut problem = CommandError::NotFound(first.clone());
    for folder in path.unwrap_or(DEFAULT_PATH).split(':') {
        let file = Path::new(folder).join(&first);
        match check(&file, &file.to_string_lossy()) {
            Ok(()) => return Ok(Command { file, words }),
            Err(CommandError::NotFound(_)) => {}
            Err(other) => problem = other,
        }
    }
    Err(problem)
}

/// The first word of a command, if it can be split.
pub(crate) fn first_word(command: &str) -> Option<String> {
    split(command).ok()?.into_iter().next()
}

/// Whether a file can be executed; `shown` is how it is named if not.
fn check(file: &Path, shown: &str) -> Result<(), CommandError> {
    let file = &raw::path(file);
    let Ok(metadata) = file.metadata() else { return Err(CommandError::NotFound(shown.to_string())) };
    let wrong = if metadata.is_dir() {
        CommandError::IsDirectory
    } else if !has_execute_bit(&metadata) {
        CommandError::NotExecutable
    } else if nix::unistd::access(file, AccessFlags::X_OK).is_err() {
        CommandError::NoPermission
    } else {
        return Ok(());
    };
    Err(wrong(shown.to_string()))
}

fn has_execute_bit(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o111 != 0
}

/// A word as it stands in a command, so that [`split`] gives it back as it is.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}

/// Splits a command into words as Python's `shlex.split` does: quotes group, a backslash escapes, within
/// double quotes only `"` and itself. There are no comments and no expansions.
pub(crate) fn split(command: &str) -> Result<Vec<String>, &'static str> {
    const NO_CLOSING: &str = "No closing quotation";
    const NO_ESCAPED: &str = "No escaped character";
    let mut words = Vec::new();
    // `None` between words; an empty word is one that was quoted.
    let mut word: Option<String> = None;
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(NO_CLOSING)? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(NO_CLOSING)? {
                        '"' => break,
                        '\\' => match chars.next().ok_or(NO_ESCAPED)? {
                            c @ ('"' | '\\') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next().ok_or(NO_ESCAPED)?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_words_come_back() {
        for word in ["", "a", "a b", "it's", "\"'\\", "'", "$x `y` #z\n", "é"] {
            assert_eq!(split(&format!("sh {}", quoted(word))), Ok(vec!["sh".to_string(), word.to_string()]));
        }
    }

    #[test]
    fn commands_split_as_in_python() {
        for (command, expected) in [
            ("/bin/cat", Ok(vec!["/bin/cat"])),
            ("a  b\tc\nd", Ok(vec!["a", "b", "c", "d"])),
            ("sh -c 'a \"b\" #c'", Ok(vec!["sh", "-c", "a \"b\" #c"])),
            (r#"x "a\"b\\c\d" \  e"#, Ok(vec!["x", r#"a"b\c\d"#, " ", "e"])),
            ("x'y'\"z\" '' ", Ok(vec!["xyz", ""])),
            ("", Ok(vec![])),
            ("echo \"foo", Err("No closing quotation")),
            ("echo 'foo", Err("No closing quotation")),
            ("echo foo\\", Err("No escaped character")),
        ] {
            let expected = expected.map(|words| words.into_iter().map(str::to_string).collect::<Vec<_>>());
            assert_eq!(split(command), expected, "{command:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_supervisors_words() {
        for (command, expected) in [
            ("/bin/echo \"foo", "can't parse command '/bin/echo \"foo': No closing quotation"),
            ("", "command is empty"),
            ("/nope/cmd", "can't find command '/nope/cmd'"),
            ("surely-not-there", "can't find command 'surely-not-there'"),
            ("/tmp", "command at '/tmp' is a directory"),
            ("/etc/passwd", "command at '/etc/passwd' is not executable"),
        ] {
            assert_eq!(resolve(command, None, None).unwrap_err().to_string(), expected);
        }
        assert_eq!(resolve("sh", None, Some("/nope:/bin")).unwrap().file, Path::new("/bin/sh"));
        assert_eq!(resolve("./sh", Some(Path::new("/bin")), None).unwrap().file, Path::new("./sh"));
    }
}
