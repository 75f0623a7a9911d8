//! Unix sockets that the configuration names: makes them, gives them to their owner, removes them.

use crate::files::location::{Location, Missing};
use crate::files::trust::Control;
use nix::sched::CloneFlags;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How often a stale socket is removed before whoever makes it wins.
const STALE_RETRIES: usize = 5;

/// What a socket file is to be.
#[derive(Clone, Copy, Debug)]
pub struct SocketSpec {
    /// Whether it carries streams, datagrams or packets.
    pub kind: SocketType,
    /// The permission bits, whatever the umask is.
    pub mode: u32,
    /// `None` leaves the user, or group, that we are.
    pub owner: (Option<u32>, Option<u32>),
    /// How many connections may wait.
    pub backlog: i32,
}

/// Why there is no socket.
#[derive(Debug)]
pub enum SocketError {
    /// Somebody listens on it.
    InUse,
    /// There is something else of that name, which stays.
    NotASocket,
    /// The last component is too long for an address (unix(7)).
    TooLong,
    /// It cannot be given to its owner.
    Chown(io::Error),
    /// It cannot get its mode.
    Chmod(io::Error),
    /// Somebody makes it again as often as we remove it.
    KeepsAppearing,
    /// A system call failed for another reason.
    Os(io::Error),
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketError::InUse => f.write_str("another program listens on it"),
            SocketError::NotASocket => f.write_str("it exists and is not a socket"),
            SocketError::TooLong => f.write_str("its name is too long for a socket"),
            SocketError::Chown(error) => write!(f, "Could not change ownership of socket file: {error}"),
            SocketError::Chmod(error) => write!(f, "Could not change permissions of socket file: {error}"),
            SocketError::KeepsAppearing => f.write_str("it keeps coming back"),
            SocketError::Os(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SocketError {}

impl From<io::Error> for SocketError {
    fn from(error: io::Error) -> SocketError {
        SocketError::Os(error)
    }
}

impl From<Errno> for SocketError {
    fn from(errno: Errno) -> SocketError {
        SocketError::Os(errno.into())
    }
}

/// A listening socket and what was found in its place.
#[derive(Debug)]
pub struct Bound {
    /// The listening socket, closed on exec.
    pub fd: OwnedFd,
    /// Whether a socket that nobody listened on was removed.
    pub removed_stale: bool,
    /// Device and inode of its file.
    pub identity: (u64, u64),
}

/// Makes a socket that listens. It gets its mode and owner where nobody else can reach it, and then its name, so
/// nobody can ever connect with rights that it is not meant to give, and nothing but the socket is given away.
///
/// # Errors
/// Why there is none. A socket that somebody listens on stays, and so does everything that is no socket.
pub fn listen(path: &Path, spec: &SocketSpec) -> Result<Bound, SocketError> {
    publish(path, spec, |fd| Ok(rustix::net::listen(fd, spec.backlog)?))
}

/// Makes a socket that receives datagrams from everybody, each with its sender. It is made as by [`listen`].
///
/// # Errors
/// As for [`listen`].
pub fn receive(path: &Path) -> Result<Bound, SocketError> {
    let spec = SocketSpec { kind: SocketType::DGRAM, mode: 0o666, owner: (None, None), backlog: 0 };
    // Before it has its name: what is sent before that has no sender.
    publish(path, &spec, |fd| Ok(sockopt::set_socket_passcred(fd, true)?))
}

/// Makes a socket, prepares it, and gives it its name.
fn publish(
    path: &Path,
    spec: &SocketSpec,
    prepare: impl FnOnce(&OwnedFd) -> io::Result<()>,
) -> Result<Bound, SocketError> {
    let at = Location::of(path, Missing::Fail)?;
    at.judge_directory()?;
    if SocketAddrUnix::new(Path::new(at.name())).is_err() {
        return Err(SocketError::TooLong);
    }
    let workshop = Workshop::beside(&at)?;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, spec.kind, SocketFlags::CLOEXEC, None)?;
    let made = workshop.make(&fd, spec)?;
    prepare(&fd)?;
    let mut removed_stale = false;
    for _ in 0..STALE_RETRIES {
        match workshop.publish(&at) {
            Ok(()) => return Ok(Bound { fd, removed_stale, identity: made }),
            Err(Errno::EXIST) => removed_stale |= remove_stale(&at, spec.kind)?,
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(SocketError::KeepsAppearing)
}

/// Device and inode of the socket of this name; `None` if there is none.
pub fn identity(path: &Path) -> Option<(u64, u64)> {
    let stat = Location::of(path, Missing::Fail).ok()?.stat().ok()?;
    (FileType::from_raw_mode(stat.st_mode) == FileType::Socket).then_some((stat.st_dev, stat.st_ino))
}

/// Removes the socket of this name, if it is still this one. If it cannot be removed, whoever needs the name next
/// finds it stale.
pub fn remove(path: &Path, expected: (u64, u64)) {
    if identity(path) == Some(expected)
        && let Ok(at) = Location::of(path, Missing::Fail)
    {
        let _ = at.unlink();
    }
}

/// Connects to the socket of this name, which may be a link only if we made it; however long the path is.
///
/// # Errors
/// The system's; ECONNREFUSED if nobody listens.
pub fn connect(path: &Path, kind: SocketType) -> io::Result<OwnedFd> {
    connect_at(&Location::of(path, Missing::Fail)?, kind)
}

fn connect_at(at: &Location, kind: SocketType) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None)?;
    let address = SocketAddrUnix::new(by_descriptor(at.directory(), at.name()))?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket)
}

/// Removes a socket nobody listens on; whether there was one.
fn remove_stale(at: &Location, kind: SocketType) -> Result<bool, SocketError> {
    match at.stat() {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Socket => {}
        Ok(_) => return Err(SocketError::NotASocket),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    match connect_at(at, kind).map_err(|error| error.raw_os_error()) {
        // A full queue shows life, too, and so does a socket of another type.
        Ok(_) | Err(Some(libc::EAGAIN | libc::EPROTOTYPE)) => return Err(SocketError::InUse),
        Err(Some(libc::ECONNREFUSED | libc::ENOENT)) => {}
        Err(other) => {
            return Err(SocketError::Os(
                other.map_or(io::ErrorKind::Other.into(), io::Error::from_raw_os_error),
            ));
        }
    }
    match at.unlink() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(true),
    }
}

/// Where a socket is made: a directory, and a name in it that goes away with this value.
struct Workshop {
    directory: OwnedFd,
    name: OsString,
    /// The directory's name beside the socket, if it was made for this.
    own: Option<Location>,
}

impl Workshop {
    /// In the directory itself where nobody else can exchange what we make; elsewhere in one of our own in it.
    fn beside(at: &Location) -> Result<Workshop, SocketError> {
        // Short enough for an address, whatever the name is.
        let base = &at.name().as_bytes()[..at.name().len().min(80)];
        let mut name = OsStr::from_bytes(base).to_os_string();
        name.push(format!(".{}", std::process::id()));
        let beside = at.sibling(&name)?;
        if matches!(at.control(), Control::Ours | Control::Sticky) {
            // Left behind by a process that had our number before us, if at all.
            let _ = beside.unlink();
            let directory = at.directory().try_clone_to_owned()?;
            return Ok(Workshop { directory, name, own: None });
        }
        match rustix::fs::mkdirat(at.directory(), &name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let directory = beside.open(OFlags::PATH | OFlags::DIRECTORY, 0)?;
        let stat = rustix::fs::fstat(&directory)?;
        if stat.st_uid != super::location::our_uid() || stat.st_mode & 0o077 != 0 {
            return Err(super::location::refused("its temporary directory was exchanged".to_string()).into());
        }
        let name = OsString::from("socket");
        let _ = rustix::fs::unlinkat(&directory, &name, AtFlags::empty());
        Ok(Workshop { directory, name, own: Some(beside) })
    }

    /// Makes the file; its device and inode.
    fn make(&self, fd: &OwnedFd, spec: &SocketSpec) -> Result<(u64, u64), SocketError> {
        bind(fd, self.directory.as_fd(), &self.name, spec.mode)?;
        let at = |error: Errno| io::Error::from(error);
        let (uid, gid) = spec.owner;
        if (uid, gid) != (None, None) {
            let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
            rustix::fs::chownat(&self.directory, &self.name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|errno| SocketError::Chown(at(errno)))?;
        }
        let stat = rustix::fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW)?;
        let has = stat.st_mode & 0o7777;
        if has != spec.mode {
            let mode = Mode::from_raw_mode(spec.mode);
            match rustix::fs::chmodat(&self.directory, &self.name, mode, AtFlags::empty()) {
                Ok(()) => {}
                // A file system without modes. What lets in fewer than was asked for is no danger.
                Err(errno) if has & !spec.mode == 0 => {
                    let wanted = spec.mode;
                    ::log::warn!("a socket has mode {has:04o} instead of {wanted:04o}: {}", at(errno));
                }
                Err(errno) => return Err(SocketError::Chmod(at(errno))),
            }
        }
        Ok((stat.st_dev, stat.st_ino))
    }

    /// Gives the socket its name: EEXIST if something has it.
    fn publish(&self, at: &Location) -> Result<(), Errno> {
        let (from, to) = (&self.directory, at.directory());
        match rustix::fs::renameat_with(from, &self.name, to, at.name(), RenameFlags::NOREPLACE) {
            // Not on this file system, or not in this kernel: look first.
            Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) => match at.stat() {
                Ok(_) => Err(Errno::EXIST),
                Err(_) => rustix::fs::renameat(from, &self.name, to, at.name()),
            },
            other => other,
        }
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = rustix::fs::unlinkat(&self.directory, &self.name, AtFlags::empty());
        if let Some(own) = &self.own {
            let _ = rustix::fs::unlinkat(own.directory(), own.name(), AtFlags::REMOVEDIR);
        }
    }
}

/// Binds a socket to a name in a directory that is held open. The mode comes from the socket's own and the umask, which
/// a thread of its own has for itself; where that is not allowed, the caller has to correct the mode.
fn bind(fd: &OwnedFd, directory: BorrowedFd<'_>, name: &OsStr, mode: u32) -> Result<(), SocketError> {
    // The kernel makes the file with the mode of the socket.
    let _ = rustix::fs::fchmod(fd, Mode::from_raw_mode(mode & 0o777));
    let relative = SocketAddrUnix::new(Path::new(name)).map_err(|_| SocketError::TooLong)?;
    let in_thread = || -> Result<(), Option<Errno>> {
        nix::sched::unshare(CloneFlags::CLONE_FS).map_err(|_| None)?;
        rustix::process::fchdir(directory).map_err(|_| None)?;
        rustix::process::umask(Mode::empty());
        rustix::net::bind(fd, &relative).map_err(Some)
    };
    let bound = std::thread::scope(|scope| {
        std::thread::Builder::new().spawn_scoped(scope, in_thread).map(|thread| thread.join())
    });
    match bound {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(Some(errno)))) => Err(errno.into()),
        // No threads, or none with a working directory of its own.
        _ => {
            let address =
                SocketAddrUnix::new(by_descriptor(directory, name)).map_err(|_| SocketError::TooLong)?;
            Ok(rustix::net::bind(fd, &address)?)
        }
    }
}

/// A short path to a name in a directory that is held open.
fn by_descriptor(directory: BorrowedFd<'_>, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
    use std::os::unix::net::UnixStream;

    const PLAIN: SocketSpec =
        SocketSpec { kind: SocketType::STREAM, mode: 0o640, owner: (None, None), backlog: 5 };

    #[test]
    fn a_socket_has_its_mode_and_takes_the_place_of_a_stale_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        for round in 0..2 {
            let bound = listen(&path, &SocketSpec { mode: 0o666, ..PLAIN }).unwrap();
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o666);
            assert_eq!(bound.removed_stale, round == 1);
            assert_eq!(identity(&path), Some(bound.identity));
            UnixStream::connect(&path).unwrap();
            assert!(matches!(listen(&path, &PLAIN), Err(SocketError::InUse)));
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing temporary is left");
        }
    }

    #[test]
    fn everybody_can_send_to_one_that_receives() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        for round in 0..2 {
            let bound = receive(&path).unwrap();
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o666);
            assert_eq!(bound.removed_stale, round == 1);
            assert!(sockopt::socket_passcred(&bound.fd).unwrap());
            assert!(matches!(receive(&path), Err(SocketError::InUse)));
            let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
            sender.send_to(b"hello", &path).unwrap();
            let mut buffer = [0; 8];
            assert_eq!(rustix::io::read(&bound.fd, &mut buffer).unwrap(), 5);
        }
    }

    #[test]
    fn what_is_no_socket_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("precious");
        std::fs::write(&path, "x").unwrap();
        assert!(matches!(listen(&path, &PLAIN), Err(SocketError::NotASocket)));
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_path_may_be_longer_than_an_address() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("d".repeat(100)).join("e".repeat(100));
        std::fs::create_dir_all(&deep).unwrap();
        let path = deep.join("s");
        let _bound = listen(&path, &PLAIN).unwrap();
        connect(&path, SocketType::STREAM).unwrap();
        assert!(matches!(listen(&deep.join("n".repeat(120)), &PLAIN), Err(SocketError::TooLong)));
    }

    #[test]
    fn in_somebody_elses_directory_only_the_socket_is_given_away() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can give files away");
            return;
        }
        const ALICE: u32 = 54_321;
        let directory = tempfile::tempdir().unwrap();
        let hers = directory.path().join("alice");
        std::fs::create_dir(&hers).unwrap();
        lchown(&hers, Some(ALICE), Some(ALICE)).unwrap();
        let path = hers.join("s");
        let _bound = listen(&path, &SocketSpec { owner: (Some(ALICE), None), ..PLAIN }).unwrap();
        let metadata = path.symlink_metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (ALICE, 0o640));
        assert_eq!(std::fs::read_dir(&hers).unwrap().count(), 1, "nothing temporary is left");
    }

    #[test]
    fn only_the_same_socket_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let first = listen(&path, &PLAIN).unwrap();
        std::fs::remove_file(&path).unwrap();
        let second = listen(&path, &PLAIN).unwrap();
        remove(&path, first.identity);
        assert_eq!(identity(&path), Some(second.identity));
        remove(&path, second.identity);
        assert!(!path.exists());
    }
}
