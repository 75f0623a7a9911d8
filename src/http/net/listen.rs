//! Listening sockets: opening them, handing them to another process, and removing their files.

use crate::files::socket::{self, SocketError, SocketSpec};
use crate::model::config::{HttpAddress, HttpServerConfig, Owner};
use crate::sys::inet;
use nix::errno::Errno;
use rustix::net::{SocketAddrUnix, SocketType};
use std::fmt;
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// How many clients may wait to be accepted. As in Supervisor, http.py.
const BACKLOG: i32 = 1024;

/// A socket that clients can connect to.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    file: Option<SocketFile>,
}

/// The name of a unix socket, and the file that had this name when the socket was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode; `None` if there was no such file.
    identity: Option<(u64, u64)>,
}

impl Listener {
    /// Takes the descriptor out, to be handed to another process. The socket's file stays.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// A listener for a socket that an earlier process has opened for the same configuration. Changes nothing in the file
    /// system.
    pub fn from_fd(fd: OwnedFd, config: &HttpServerConfig) -> Listener {
        let file = match &config.address {
            HttpAddress::Inet { .. } => None,
            HttpAddress::Unix { file, .. } => {
                Some(SocketFile { path: file.clone(), identity: socket::identity(file) })
            }
        };
        Listener { fd, file }
    }

    /// A second handle to the same socket, to remove the file at exit while the first one serves.
    ///
    /// # Errors
    /// If there are no free descriptors.
    pub fn try_clone(&self) -> io::Result<Listener> {
        Ok(Listener { fd: self.fd.try_clone()?, file: self.file.clone() })
    }

    /// The file, if this is a unix socket.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }

    /// Removes the file of a unix socket, unless another file has its name now. For an orderly exit.
    pub fn remove_file(&self) {
        if let Some(SocketFile { path, identity: Some(identity) }) = &self.file {
            socket::remove(path, *identity);
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Why a listener could not be opened. Prints what Supervisor prints, without its `Error: `.
#[derive(Debug)]
pub enum ListenError {
    /// Somebody else listens at this address.
    InUse,
    /// The kernel refused.
    Os(io::Error),
    /// The path does not fit into the address of a unix socket.
    PathTooLong,
    /// The host name leads nowhere.
    Resolve {
        /// As configured.
        host: String,
        /// Why the name was not found.
        source: io::Error,
    },
    /// The name of the socket belongs to another kind of file.
    NotASocket(PathBuf),
    /// This user may not give the socket to the owner in `chown`.
    Chown {
        /// The socket.
        file: PathBuf,
        /// As configured.
        owner: Owner,
    },
    /// The file of a socket without a listener was removed several times and came back each time.
    KeepsAppearing(PathBuf),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CANNOT: &str = "Cannot open an HTTP server:";
        match self {
            ListenError::InUse => f.write_str(
                "Another program is already listening on a port that one of our HTTP servers is configured to \
                 use.  Shut this program down first before starting supervisord.",
            ),
            ListenError::Os(error) => match error.raw_os_error() {
                Some(number) => {
                    write!(f, "{CANNOT} socket.error reported errno.{:?} ({number})", Errno::from_raw(number))
                }
                None => write!(f, "{CANNOT} socket.error reported {error}"),
            },
            ListenError::PathTooLong => write!(f, "{CANNOT} socket.error reported AF_UNIX path too long"),
            ListenError::Resolve { host, source } => write!(f, "{CANNOT} cannot resolve host {host}: {source}"),
            ListenError::NotASocket(path) => {
                write!(f, "{CANNOT} {} exists and is not a socket", path.display())
            }
            ListenError::Chown { file, owner } => {
                let id = |id: Option<u32>| id.map_or(-1, i64::from);
                write!(
                    f,
                    "Not permitted to chown {} to uid/gid ({}, {}); adjust \"sockchown\" value in config file or \
                     on command line to values that the current user ({}) can successfully chown",
                    file.display(),
                    id(owner.uid),
                    id(owner.gid),
                    current_user()
                )
            }
            ListenError::KeepsAppearing(path) => {
                write!(f, "{CANNOT} the stale socket {} keeps coming back", path.display())
            }
        }
    }
}

impl std::error::Error for ListenError {}

impl From<rustix::io::Errno> for ListenError {
    fn from(errno: rustix::io::Errno) -> ListenError {
        match errno {
            rustix::io::Errno::ADDRINUSE => ListenError::InUse,
            errno => ListenError::Os(errno.into()),
        }
    }
}

fn current_user() -> String {
    let uid = nix::unistd::Uid::current();
    let known = nix::unistd::User::from_uid(uid).ok().flatten();
    known.map_or_else(|| uid.to_string(), |user| user.name)
}

/// Opens a socket that listens at the configured address.
///
/// # Errors
/// If that is not possible; no file is left behind.
pub fn open(config: &HttpServerConfig) -> Result<Listener, ListenError> {
    match &config.address {
        HttpAddress::Inet { host, port } => {
            Ok(Listener { fd: inet::listen(&resolve(host, *port)?, BACKLOG)?, file: None })
        }
        HttpAddress::Unix { file, chmod, chown } => {
            let (fd, identity) = open_unix(file, *chmod, *chown)?;
            Ok(Listener { fd, file: Some(SocketFile { path: file.clone(), identity: Some(identity) }) })
        }
    }
}

/// The address to bind. An empty host means all IPv4 interfaces, as in Supervisor; `::` means all interfaces.
fn resolve(host: &str, port: u16) -> Result<SocketAddr, ListenError> {
    if host.is_empty() {
        return Ok(SocketAddr::from(([0, 0, 0, 0], port)));
    }
    let failed = |source| ListenError::Resolve { host: host.to_string(), source };
    let found: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(failed)?.collect();
    inet::preferred(&found).ok_or_else(|| failed(io::Error::other("it has no address")))
}

fn open_unix(file: &Path, chmod: u32, chown: Owner) -> Result<(OwnedFd, (u64, u64)), ListenError> {
    if SocketAddrUnix::new(file).is_err() {
        return Err(ListenError::PathTooLong);
    }
    let owner = (chown.uid, chown.gid);
    let spec = SocketSpec { kind: SocketType::STREAM, mode: chmod & 0o7777, owner, backlog: BACKLOG };
    let bound = socket::listen(file, &spec).map_err(|error| match error {
        SocketError::InUse => ListenError::InUse,
        SocketError::NotASocket => ListenError::NotASocket(file.to_path_buf()),
        SocketError::TooLong => ListenError::PathTooLong,
        SocketError::KeepsAppearing => ListenError::KeepsAppearing(file.to_path_buf()),
        SocketError::Chown(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            ListenError::Chown { file: file.to_path_buf(), owner: chown }
        }
        SocketError::Chown(error) | SocketError::Chmod(error) | SocketError::Os(error) => {
            ListenError::Os(error)
        }
    })?;
    if bound.removed_stale {
        // Nobody to tell if stderr is closed.
        let _ = writeln!(io::stderr(), "Unlinking stale socket {}", file.display());
    }
    Ok((bound.fd, bound.identity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::net::UnixStream;

    fn unix(file: &Path) -> HttpServerConfig {
        HttpServerConfig {
            section: "unix_http_server".into(),
            address: HttpAddress::Unix { file: file.into(), chmod: 0o600, chown: Owner::default() },
            credentials: None,
            legacy_get_actions: false,
            allowed_hosts: Vec::new(),
        }
    }

    fn inet(host: &str, port: u16) -> HttpServerConfig {
        HttpServerConfig {
            section: "inet_http_server".into(),
            address: HttpAddress::Inet { host: host.into(), port },
            credentials: None,
            legacy_get_actions: false,
            allowed_hosts: Vec::new(),
        }
    }

    #[test]
    fn a_unix_socket_has_its_mode_and_leaves_no_temporary_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s");
        let listener = open(&unix(&file)).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        UnixStream::connect(&file).unwrap();
        listener.remove_file();
        assert!(!file.exists());
    }

    #[test]
    fn a_live_socket_is_left_alone_and_a_stale_one_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s");
        let first = open(&unix(&file)).unwrap();
        assert!(matches!(open(&unix(&file)), Err(ListenError::InUse)));
        drop(first);
        let second = open(&unix(&file)).unwrap();
        UnixStream::connect(&file).unwrap();
        drop(second);
    }

    #[test]
    fn what_is_no_socket_is_never_removed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("precious");
        std::fs::write(&file, "x").unwrap();
        assert!(matches!(open(&unix(&file)), Err(ListenError::NotASocket(_))));
        assert_eq!(std::fs::read(&file).unwrap(), b"x");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_handed_over_socket_keeps_listening_and_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s");
        let config = unix(&file);
        let before = file.clone();
        let fd = open(&config).unwrap().into_fd();
        let inode = before.metadata().unwrap().ino();
        let rebuilt = Listener::from_fd(fd, &config);
        assert_eq!(file.metadata().unwrap().ino(), inode);
        UnixStream::connect(&file).unwrap();

        // Somebody replaced the file: it is not ours to remove any more.
        std::fs::remove_file(&file).unwrap();
        let _other = open(&config).unwrap();
        rebuilt.remove_file();
        assert!(file.exists());
    }

    #[test]
    fn addresses_of_both_kinds_can_be_listened_on() {
        for host in ["127.0.0.1", "::1", "", "localhost"] {
            let listener = open(&inet(host, 0)).unwrap();
            let address = rustix::net::getsockname(&listener.fd).unwrap();
            let address = SocketAddr::try_from(address).unwrap();
            assert_eq!(address.is_ipv4(), host != "::1", "{host:?}");
        }
    }

    #[test]
    fn errors_read_like_the_original() {
        let taken = open(&inet("127.0.0.1", 0)).unwrap();
        let address = SocketAddr::try_from(rustix::net::getsockname(&taken.fd).unwrap()).unwrap();
        for (config, expected) in [
            (inet("127.0.0.1", address.port()), "Another program is already listening on a port"),
            (
                inet("192.0.2.1", 9001),
                "Cannot open an HTTP server: socket.error reported errno.EADDRNOTAVAIL (99)",
            ),
            (
                unix(Path::new("/nonexistent/s")),
                "Cannot open an HTTP server: socket.error reported errno.ENOENT (2)",
            ),
            (
                unix(Path::new(&format!("/tmp/{}", "x".repeat(105)))),
                "Cannot open an HTTP server: socket.error reported AF_UNIX path too long",
            ),
            (
                inet("no-such-host.invalid", 1),
                "Cannot open an HTTP server: cannot resolve host no-such-host.invalid",
            ),
        ] {
            let text = open(&config).unwrap_err().to_string();
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
