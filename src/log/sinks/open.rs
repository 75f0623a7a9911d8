//! What logs need to know of the files they are written to. How a name becomes a file is decided in
//! [`files`](crate::files).

use crate::files::open::{self, Opened};
use rustix::fs::FileType;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The mode of a log whose name the user chose, before the umask.
pub const PLAIN_MODE: u32 = 0o666;
/// The mode of a log whose name we chose.
pub const PRIVATE_MODE: u32 = 0o600;

/// What tells one file from another, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The number of the file system.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

/// The facts about an open file that writing to it depends on.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Which file it is.
    pub identity: Identity,
    /// In bytes.
    pub size: u64,
    /// Whether it is a regular file.
    pub regular: bool,
    /// Whether any name still leads to it.
    pub linked: bool,
    /// The permission bits.
    pub mode: u32,
    /// The user it belongs to.
    pub owner: u32,
}

impl From<rustix::fs::Stat> for Facts {
    fn from(stat: rustix::fs::Stat) -> Facts {
        Facts {
            identity: Identity { device: stat.st_dev, inode: stat.st_ino },
            size: u64::try_from(stat.st_size).unwrap_or(0),
            regular: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
            linked: stat.st_nlink > 0,
            mode: stat.st_mode & 0o7777,
            owner: stat.st_uid,
        }
    }
}

/// The facts about an open file.
///
/// # Errors
/// The system's, which for an open descriptor are the file system's own (EIO, ESTALE).
pub fn facts(fd: impl AsFd) -> io::Result<Facts> {
    Ok(rustix::fs::fstat(fd)?.into())
}

/// The facts about whatever `path` leads to, for who may open it.
///
/// # Errors
/// The system's; ENOENT is the interesting one.
pub fn facts_at(path: &Path) -> io::Result<Facts> {
    Ok(open::facts_at(path)?.into())
}

/// Empties a log file; one that is missing is empty already.
///
/// # Errors
/// The system's; EPERM, with the reason, for what others could have put there. Nothing happens to what is not a regular
/// file, and that is no error.
pub fn clear_file(path: &Path) -> io::Result<()> {
    if open::StandardStream::named(path).is_some() {
        // Our output may have been redirected to a file, but that is somebody else's.
        return Ok(());
    }
    match open::existing(path) {
        Ok(Opened::File(file, _)) => Ok(rustix::fs::ftruncate(&file, 0)?),
        Ok(Opened::Device(_) | Opened::Stream(_)) => Ok(()),
        // ENXIO: a FIFO that nobody reads, or a socket.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENXIO)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A descriptor of our own for one of the daemon's standard streams.
///
/// # Errors
/// EBADF if the daemon was started without it.
pub fn duplicate(fd: impl AsFd) -> io::Result<OwnedFd> {
    fd.as_fd().try_clone_to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clearing_touches_regular_files_only() {
        let dir = tempfile::tempdir().unwrap();
        let (file, fifo) = (dir.path().join("file"), dir.path().join("fifo"));
        std::fs::write(&file, "text").unwrap();
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [&file, &fifo, &dir.path().join("missing"), Path::new("/dev/null")] {
            clear_file(path).unwrap();
        }
        assert_eq!(std::fs::metadata(&file).unwrap().len(), 0);
        assert!(fifo.exists() && Path::new("/dev/null").exists());
    }
}
