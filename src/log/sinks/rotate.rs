//! Making room for a new log file: `f` becomes `f.1`, `f.1` becomes `f.2`, and so on.

use crate::files::location::{Location, Missing};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

/// The name of the `number`th backup of `path`.
pub fn backup_name(path: &Path, number: u32) -> PathBuf {
    PathBuf::from(numbered(path.as_os_str(), number))
}

/// Renames `path` to its first backup after moving the older ones up; at most `backups` are kept.
///
/// Only the files below the first free number move. Supervisor moves all of them; ours gives the same names
/// whenever there is no gap, closes one that a killed predecessor left half way through, and so can simply
/// be done again: no interruption loses a backup but the oldest, whose time has come.
///
/// That one is removed rather than replaced: ext4 writes a file to the disk at once that takes another one's
/// name (`auto_da_alloc`, ext4(5)), and a program that logs fast waited for that at every rotation.
///
/// # Errors
/// The system's, for the rename that failed; those done before it stay.
pub fn shift(path: &Path, backups: u32) -> io::Result<()> {
    let at = Location::of(path, Missing::Fail)?;
    let name = |number| numbered(at.name(), number);
    let free = (1..=backups).find(|number| !at.has(&name(*number)));
    if free.is_none() {
        tolerate_absence(at.unlink_beside(&name(backups)))?;
    }
    for number in (1..free.unwrap_or(backups)).rev() {
        tolerate_absence(at.rename_beside(&name(number), &name(number + 1)))?;
    }
    tolerate_absence(at.rename(&name(1)))
}

fn numbered(name: &OsStr, number: u32) -> OsString {
    let mut numbered = name.to_os_string();
    numbered.push(format!(".{number}"));
    numbered
}

/// That somebody else has removed the file meanwhile is no trouble.
fn tolerate_absence(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{read_to_string, write};

    /// Shifts a file `f` beside the named backups, each holding its own name; what is there afterwards.
    #[track_caller]
    fn check(before: &[&str], backups: u32, after: &[(&str, &str)]) {
        let dir = tempfile::tempdir().unwrap();
        for name in before {
            write(dir.path().join(name), name).unwrap();
        }
        shift(&dir.path().join("f"), backups).unwrap();
        let mut found: Vec<(String, String)> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|e| (e.file_name().into_string().unwrap(), read_to_string(e.path()).unwrap()))
            .collect();
        found.sort();
        let expected: Vec<(String, String)> =
            after.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn backups_move_up_and_the_oldest_goes() {
        check(&["f"], 3, &[("f.1", "f")]);
        check(&["f", "f.1"], 3, &[("f.1", "f"), ("f.2", "f.1")]);
        check(&["f", "f.1", "f.2", "f.3"], 3, &[("f.1", "f"), ("f.2", "f.1"), ("f.3", "f.2")]);
        check(&["f", "f.1"], 1, &[("f.1", "f")]);
    }

    #[test]
    fn a_gap_is_closed_first() {
        check(&["f", "f.1", "f.3"], 3, &[("f.1", "f"), ("f.2", "f.1"), ("f.3", "f.3")]);
        check(&["f", "f.2"], 3, &[("f.1", "f"), ("f.2", "f.2")]);
    }

    #[test]
    fn a_vanished_file_is_tolerated() {
        check(&["f.1"], 2, &[("f.2", "f.1")]);
    }
}
