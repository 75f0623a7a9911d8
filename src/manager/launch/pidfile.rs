//! Writes and removes the pidfile.

use crate::files::replace;
use std::io;
use std::path::Path;

/// The longest text that can be a pid and a newline, and some white space that somebody added.
const MOST_BYTES: u64 = 32;

/// Its mode, before the umask.
const MODE: u32 = 0o666;

/// Writes `pid` and a newline; at once, so that nobody reads half of it, wherever that can be had. A device, a link of
/// our own and a file that was put there for us stay and are written to.
///
/// # Errors
/// The system's; EPERM, with the reason, for what others could have put there.
pub fn write(path: &Path, pid: i32) -> io::Result<()> {
    replace::write(path, format!("{pid}\n").as_bytes(), MODE)
}

/// Removes it, if it is a file that still holds `pid`.
pub fn remove(path: &Path, pid: i32) {
    match replace::remove(path, MOST_BYTES, |bytes| holds(bytes, pid)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            ::log::warn!("could not remove pidfile {}: {error}", path.display());
        }
        _ => {}
    }
}

/// Whether a pidfile or a lock holds this pid.
pub fn holds(bytes: &[u8], pid: i32) -> bool {
    str::from_utf8(bytes).is_ok_and(|text| text.trim().parse() == Ok(pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_removed_only_if_it_is_ours() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("daemon.pid");
        write(&path, 123).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "123\n");
        remove(&path, 124);
        assert!(path.exists());
        remove(&path, 123);
        assert!(!path.exists());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
