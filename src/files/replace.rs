//! Small files that are written whole: pidfiles, tables, locks.

use crate::files::location::{Location, Missing};
use crate::files::open::{self, Opened};
use crate::files::trust::Control;
use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Writes a file at once or not at all. A link of that name is replaced, not followed.
///
/// # Errors
/// The system's, and one for anything that is neither a file nor a link: no device is ever replaced. Nothing has
/// changed then.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let at = Location::of(path, Missing::Fail)?;
    match at.stat() {
        Ok(stat) if !matches!(kind(&stat), FileType::RegularFile | FileType::Symlink) => {
            Err(io::Error::other("it is not a file"))
        }
        _ => rename_over(&at, bytes, mode),
    }
}

/// Writes a file at once or not at all, and so that it is still there when the machine has lost its power. A link of that name
/// is refused, and so is a directory in which others may exchange files.
///
/// # Errors
/// The system's, and one for what is not ours alone. Nothing has changed then.
pub fn replace_for_good(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let at = Location::of(path, Missing::Fail)?;
    if !is_safe_from_others(&at) {
        return Err(io::Error::other("others may write to its directory"));
    }
    if let Ok(stat) = at.stat() {
        let is_ours = stat.st_uid == super::location::our_uid();
        if kind(&stat) != FileType::RegularFile || !is_ours {
            return Err(io::Error::other("it is not a file of this user"));
        }
    }
    write_and_rename(&at, bytes, mode, Durable::Yes)
}

/// Reads a file that only we may write: its bytes, and when it was last written, in nanoseconds since 1970. `None` if nothing
/// is there.
///
/// # Errors
/// Why it is no file to believe.
pub fn read_ours(path: &Path, most: u64) -> Result<Option<(Vec<u8>, u64)>, String> {
    let at = match Location::of(path, Missing::Fail) {
        Ok(at) => at,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    // Whoever may rename files there can make one of ours this one, a log for example that holds a text of theirs.
    if !is_safe_from_others(&at) {
        return Err("others may write to its directory".to_string());
    }
    let file = match at.open(OFlags::RDONLY, 0) {
        Ok(fd) => {
            at.judge_open(&fd).map_err(|error| error.to_string())?;
            File::from(fd)
        }
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err("it is a symbolic link".to_string()),
        Err(errno) => return Err(io::Error::from(errno).to_string()),
    };
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a file".to_string());
    }
    if metadata.uid() != super::location::our_uid() {
        return Err(format!("it belongs to uid {}", metadata.uid()));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(format!("others may write to it (mode {:03o})", metadata.mode() & 0o777));
    }
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > most {
        return Err(format!("it is larger than {most} bytes"));
    }
    let seconds = u64::try_from(metadata.mtime()).unwrap_or(0);
    let at = seconds.saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec() as u64);
    Ok(Some((bytes, at)))
}

/// Gives a file another name in its directory, whose ending is `.bad`. Returns that name. An earlier one of that name is gone.
///
/// # Errors
/// The system's.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let at = Location::of(path, Missing::Fail)?;
    let mut name = OsString::from(at.name());
    name.push(".bad");
    at.rename(&name)?;
    Ok(path.with_file_name(name))
}

fn is_safe_from_others(at: &Location) -> bool {
    matches!(at.control(), Control::Ours | Control::Sticky)
}

/// Writes a file so that readers never see half of it, where that is possible: a plain file of our own is replaced in one
/// step. Anything else of that name (a device, a link, a file that was mounted or put there for us) is written in place,
/// and so is a file in a directory that takes no new ones.
///
/// # Errors
/// The system's; EPERM for what others could have put there.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let at = Location::of(path, Missing::Fail)?;
    let replaceable = match at.stat() {
        Ok(stat) => is_plainly_ours(&at, &stat),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if replaceable && rename_over(&at, bytes, mode).is_ok() {
        return Ok(());
    }
    match open::for_writing(path, mode, Missing::Fail)? {
        Opened::File(fd, _) => {
            rustix::fs::ftruncate(&fd, 0)?;
            File::from(fd).write_all(bytes)
        }
        Opened::Device(fd) | Opened::Stream(fd) => File::from(fd).write_all(bytes),
    }
}

/// Removes a file if what it holds is `ours`, of which at most `limit` bytes are read. Behind a link the file is
/// removed and the link stays. What cannot be removed (bound, or in a directory that refuses) is emptied.
///
/// # Errors
/// The system's. Nothing happens to what is no regular file, or not ours, and that is no error.
pub fn remove(path: &Path, limit: u64, ours: impl FnOnce(&[u8]) -> bool) -> io::Result<()> {
    let Some((file, stat)) = open::to_read(path)? else { return Ok(()) };
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    if !ours(&bytes) {
        return Ok(());
    }
    let mut at = Location::of(path, Missing::Fail)?;
    while let Some(next) = at.follow()? {
        at = next;
    }
    let found = at.stat()?;
    if (found.st_dev, found.st_ino) != (stat.st_dev, stat.st_ino) {
        return Ok(());
    }
    at.unlink().or_else(|error| {
        let Ok(Opened::File(fd, _)) = open::existing(path) else { return Err(error) };
        Ok(rustix::fs::ftruncate(&fd, 0)?)
    })
}

/// A file that others may not have made, and that no other name leads to.
fn is_plainly_ours(at: &Location, stat: &Stat) -> bool {
    kind(stat) == FileType::RegularFile
        && stat.st_nlink == 1
        && stat.st_uid == super::location::our_uid()
        && is_safe_from_others(at)
}

fn rename_over(at: &Location, bytes: &[u8], mode: u32) -> io::Result<()> {
    write_and_rename(at, bytes, mode, Durable::No)
}

/// Whether what was written outlives the machine's power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durable {
    Yes,
    No,
}

fn write_and_rename(at: &Location, bytes: &[u8], mode: u32, durable: Durable) -> io::Result<()> {
    at.judge_directory()?;
    let mut name = OsString::from(at.name());
    name.push(format!(".{}", std::process::id()));
    let temporary = at.sibling(&name)?;
    let create = || temporary.open(OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, mode);
    let file = match create() {
        // Left by somebody with our pid who was killed.
        Err(Errno::EXIST) => temporary.unlink().and_then(|()| Ok(create()?))?,
        other => other?,
    };
    let mut file = File::from(file);
    let written = file
        .write_all(bytes)
        .and_then(|()| if durable == Durable::Yes { file.sync_all() } else { Ok(()) })
        .and_then(|()| temporary.rename(at.name()));
    if written.is_err() {
        let _ = temporary.unlink();
        return written;
    }
    if durable == Durable::Yes {
        // Some file systems cannot do that for a directory. The name is there.
        let _ = rustix::fs::fsync(at.directory());
    }
    Ok(())
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const OURS: &[u8] = b"123\n";

    fn is_ours(bytes: &[u8]) -> bool {
        bytes == OURS
    }

    #[test]
    fn a_file_is_removed_only_if_it_is_ours() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("daemon.pid");
        write(&path, OURS, 0o644).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), OURS);
        remove(&path, 32, |bytes| bytes == b"124\n").unwrap();
        assert!(path.exists());
        remove(&path, 32, is_ours).unwrap();
        assert!(!path.exists());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_link_is_written_through_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (path, real) = (directory.path().join("link"), directory.path().join("real"));
        symlink("real", &path).unwrap();
        for _ in 0..2 {
            write(&path, OURS, 0o644).unwrap();
            assert_eq!(std::fs::read(&real).unwrap(), OURS);
            assert!(path.symlink_metadata().unwrap().is_symlink());
            remove(&path, 32, is_ours).unwrap();
            assert!(!real.exists() && path.symlink_metadata().is_ok());
        }
    }

    #[test]
    fn what_is_written_for_good_is_read_and_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        assert_eq!(read_ours(&path, 9), Ok(None));
        replace_for_good(&path, b"one", 0o600).unwrap();
        replace_for_good(&path, b"two", 0o600).unwrap();
        let (bytes, at) = read_ours(&path, 9).unwrap().unwrap();
        assert!(bytes == b"two" && at > 0);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read_ours(&path, 2).unwrap_err(), "it is larger than 2 bytes");
        assert_eq!(set_aside(&path).unwrap(), directory.path().join("state.bad"));
        assert!(read_ours(&path, 9) == Ok(None) && set_aside(&path).is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_others_could_exchange_is_neither_written_nor_read() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("real"), directory.path().join("link"));
        replace_for_good(&path, OURS, 0o600).unwrap();
        symlink("real", &link).unwrap();
        assert!(replace_for_good(&link, b"x", 0o600).is_err());
        assert_eq!(read_ours(&link, 9).unwrap_err(), "it is a symbolic link");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(directory.path(), open).unwrap();
        assert!(replace_for_good(&path, b"x", 0o600).is_err());
        assert_eq!(read_ours(&path, 9).unwrap_err(), "others may write to its directory");
        assert_eq!(std::fs::read(&path).unwrap(), OURS);
    }

    #[test]
    fn a_fifo_is_no_pidfile_and_does_not_make_us_wait() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(write(&path, OURS, 0o644).is_err());
        assert!(replace(&path, OURS, 0o644).is_err());
        remove(&path, 32, is_ours).unwrap();
        assert!(path.exists());
    }

    #[test]
    fn a_device_is_written_to_and_stays() {
        let path = Path::new("/dev/null");
        let before = rustix::fs::stat(path).unwrap();
        write(path, OURS, 0o644).unwrap();
        remove(path, 32, is_ours).unwrap();
        assert!(replace(path, OURS, 0o644).is_err());
        let after = rustix::fs::stat(path).unwrap();
        assert_eq!((before.st_ino, before.st_rdev), (after.st_ino, after.st_rdev));
    }
}
