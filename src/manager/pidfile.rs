//! The pidfile.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Writes `pid` and a newline, at once or not at all: whoever reads it never sees half of it, and a link that
/// somebody put in its place is replaced, not followed.
pub fn write(path: &Path, pid: i32) -> io::Result<()> {
    let temporary = temporary_name(path, pid);
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o666).open(&temporary)?;
    let written = writeln!(file, "{pid}").and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Removes it, if it still holds `pid`.
pub fn remove(path: &Path, pid: i32) {
    let ours = fs::read_to_string(path).is_ok_and(|text| text.trim().parse() == Ok(pid));
    if ours && let Err(error) = fs::remove_file(path) {
        ::log::warn!("could not remove pidfile {}: {error}", path.display());
    }
}

fn temporary_name(path: &Path, pid: i32) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{pid}"));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_removed_only_if_it_is_ours() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("daemon.pid");
        write(&path, 123).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "123\n");
        remove(&path, 124);
        assert!(path.exists());
        remove(&path, 123);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
