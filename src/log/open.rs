//! Opening what a log is written to, without being led astray.

use crate::log::device::Device;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The mode of a log whose name the user chose, before the umask.
pub const PLAIN_MODE: u32 = 0o666;
/// The mode of a log whose name we chose.
pub const PRIVATE_MODE: u32 = 0o600;

/// How many symbolic links in a row are followed, as in the kernel (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// Opens a log for writing, creating the file and its missing directories (0755).
///
/// It never blocks: a FIFO that nobody reads is an error (ENXIO). The file is not in append mode, because
/// the kernel does not splice into one that is; every writer names its offset instead.
///
/// # Errors
/// The system's; EPERM for a symbolic link that a root daemon finds in somebody else's name.
pub fn open_log(path: &Path, mode: u32) -> io::Result<File> {
    match open_following(path, mode, OFlags::empty()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_parent(path)?;
            open_following(path, mode, OFlags::empty())
        }
        other => other,
    }
}

/// Creates a log that must not exist yet.
///
/// # Errors
/// EEXIST if there is anything of that name, a dangling link included.
pub fn create_log(path: &Path, mode: u32) -> io::Result<File> {
    let flags = write_flags() | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    Ok(rustix::fs::open(path, flags, Mode::from_raw_mode(mode))?.into())
}

fn make_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => {
            DirBuilder::new().recursive(true).mode(0o755).create(parent)
        }
        _ => Ok(()),
    }
}

fn write_flags() -> OFlags {
    OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK
}

/// Opens `path`, following symbolic links by hand so that each can be judged by its owner first.
fn open_following(path: &Path, mode: u32, extra: OFlags) -> io::Result<File> {
    let flags = write_flags() | OFlags::CREATE | OFlags::NOFOLLOW | extra;
    let mut path = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        match rustix::fs::open(&path, flags, Mode::from_raw_mode(mode)) {
            Ok(fd) => return Ok(fd.into()),
            Err(Errno::LOOP) => path = trusted_link_target(&path)?,
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(Errno::LOOP.into())
}

/// Where the symbolic link at `path` leads, if we may follow it.
///
/// The link is held by a descriptor while it is judged and read, so nobody can exchange it in between.
fn trusted_link_target(path: &Path) -> io::Result<PathBuf> {
    let link = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = rustix::fs::fstat(&link)?;
    let ours = rustix::process::geteuid().as_raw();
    if ours == 0 && stat.st_uid != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("it is a symbolic link that belongs to user {}, not to root", stat.st_uid),
        ));
    }
    let target = rustix::fs::readlinkat(&link, "", Vec::new())?;
    let target = Path::new(std::ffi::OsStr::from_bytes(target.as_bytes()));
    Ok(path.parent().unwrap_or(Path::new("/")).join(target))
}

/// What tells one file from another, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
}

/// The facts about an open file that writing to it depends on.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    pub identity: Identity,
    pub size: u64,
    pub regular: bool,
    /// Whether any name still leads to it.
    pub linked: bool,
    /// The permission bits.
    pub mode: u32,
}

impl From<rustix::fs::Stat> for Facts {
    fn from(stat: rustix::fs::Stat) -> Facts {
        Facts {
            identity: Identity { device: stat.st_dev, inode: stat.st_ino },
            size: u64::try_from(stat.st_size).unwrap_or(0),
            regular: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
            linked: stat.st_nlink > 0,
            mode: stat.st_mode & 0o7777,
        }
    }
}

/// The facts about an open file.
///
/// # Errors
/// The system's, which for an open descriptor are the file system's own (EIO, ESTALE).
pub fn facts(fd: impl std::os::fd::AsFd) -> io::Result<Facts> {
    Ok(rustix::fs::fstat(fd)?.into())
}

/// The facts about whatever `path` leads to.
///
/// # Errors
/// The system's; ENOENT is the interesting one.
pub fn facts_at(path: &Path) -> io::Result<Facts> {
    Ok(rustix::fs::statat(rustix::fs::CWD, path, AtFlags::empty())?.into())
}

/// Empties a log file; one that is missing is empty already.
///
/// # Errors
/// The system's. Nothing happens to what is not a regular file, and that is no error.
pub fn clear_file(path: &Path) -> io::Result<()> {
    if Device::is_standard_stream(path) {
        // Our output may have been redirected to a file, but that is somebody else's.
        return Ok(());
    }
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => file,
        // ENXIO: a FIFO that nobody reads, or a socket.
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NXIO) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    if facts(&file)?.regular {
        rustix::fs::ftruncate(&file, 0)?;
    }
    Ok(())
}

/// A descriptor of our own for one of the daemon's standard streams.
///
/// # Errors
/// EBADF if the daemon was started without it.
pub fn duplicate(fd: impl std::os::fd::AsFd) -> io::Result<OwnedFd> {
    fd.as_fd().try_clone_to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn missing_directories_are_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c.txt");
        open_log(&path, PLAIN_MODE).unwrap();
        assert!(path.is_file());
        let mode = std::fs::metadata(dir.path().join("a/b")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }

    #[test]
    fn our_own_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("deep/real.txt", dir.path().join("link")).unwrap();
        std::fs::create_dir(dir.path().join("deep")).unwrap();
        open_log(&dir.path().join("link"), PLAIN_MODE).unwrap();
        assert!(dir.path().join("deep/real.txt").is_file());
    }

    #[test]
    fn root_does_not_follow_somebody_elses_link() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (link, victim) = (dir.path().join("link"), dir.path().join("victim"));
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(65534), Some(65534)).unwrap();
        let error = open_log(&link, PLAIN_MODE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        assert!(!victim.exists());
    }

    #[test]
    fn a_fifo_without_a_reader_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(open_log(&path, PLAIN_MODE).unwrap_err().raw_os_error(), Some(libc::ENXIO));
    }

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
