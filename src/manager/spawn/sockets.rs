//! Listening sockets of programs: `socket` of `[fcgi-program:x]`, and `sockets` of any program.
//!
//! A socket is made when its group is added and closed when the group is removed, whatever its programs do
//! meanwhile: it lies with the keeper, so that neither a restart of a program nor the death of a manager ever
//! refuses a client. (Supervisor closes it with its last process and opens it again with the next.) All
//! processes of a group that name the same address share one socket.

use crate::files::socket::{self, SocketError as FileError, SocketSpec};
use crate::model::config::{FcgiAddress, FcgiSocket, GroupConfig, ProcessConfig};
use crate::shm::layout::Place;
use crate::shm::link::Link;
use crate::sys::inet;
use rustix::net::{SocketAddrUnix, SocketType};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// The queue of a socket whose configuration does not say; the kernel cuts it to its own limit
/// (`net.core.somaxconn`).
const BACKLOG: u16 = 4096;

/// Which socket lies where, for the next manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketRecord {
    place: u16,
    group: String,
    address: FcgiAddress,
    /// Device and inode of the file of a unix socket, to recognise it when it is to be removed.
    file: Option<(u64, u64)>,
}

/// The open sockets.
#[derive(Debug, Default)]
pub struct Sockets {
    open: Vec<(SocketRecord, OwnedFd)>,
    n_changes: u64,
}

/// What a process gets.
#[derive(Debug, Default)]
pub struct ForProcess<'a> {
    /// Its standard input, for FastCGI.
    pub stdin: Option<BorrowedFd<'a>>,
    /// From descriptor 3 on.
    pub listeners: Vec<BorrowedFd<'a>>,
}

/// A socket that could not be made.
#[derive(Debug)]
pub struct SocketError {
    url: String,
    /// FastCGI sockets have a name for their errors in Supervisor.
    is_fcgi: bool,
    why: String,
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_fcgi { "FastCGI socket" } else { "socket" };
        write!(f, "Could not create {kind} {}: {}", self.url, self.why)
    }
}

impl std::error::Error for SocketError {}

impl Sockets {
    /// Finds the sockets that an earlier manager left with the keeper.
    pub fn restore(records: Vec<SocketRecord>, link: &Link) -> Sockets {
        let take = |record: SocketRecord| {
            let fd = link.take(Place::Socket(record.place));
            if fd.is_none() {
                ::log::error!("the keeper does not hold socket {}", url(&record.address));
            }
            Some((record, fd?))
        };
        let sockets = Sockets { open: records.into_iter().filter_map(take).collect(), n_changes: 0 };
        // It was being made when the manager died, and nobody knows of it.
        for place in (0..Place::MAX_SOCKETS).filter(|place| sockets.is_free(*place)).map(Place::Socket) {
            if link.take(place).is_some() {
                let _ = link.drop_deposits(&[place]);
            }
        }
        sockets
    }

    /// As long as this is the same [`Sockets::records`] is.
    pub fn version(&self) -> u64 {
        self.n_changes
    }

    /// Which socket lies where.
    pub fn records(&self) -> Vec<SocketRecord> {
        self.open.iter().map(|(record, _)| record.clone()).collect()
    }

    /// Makes those sockets of a group that are not there yet.
    ///
    /// # Errors
    /// One could not be made. Those before it are there.
    pub fn open_for(&mut self, group: &GroupConfig, link: &Link) -> Result<(), SocketError> {
        for process in &group.processes {
            self.open_for_process(&group.name, process, link)?;
        }
        Ok(())
    }

    fn open_for_process(
        &mut self,
        group: &str,
        process: &ProcessConfig,
        link: &Link,
    ) -> Result<(), SocketError> {
        let fcgi =
            process.fcgi_socket.iter().map(|FcgiSocket { address, backlog }| (address, *backlog, true));
        let others = process.sockets.iter().map(|address| (address, None, false));
        for (address, backlog, is_fcgi) in fcgi.chain(others) {
            if self.find(group, address).is_none() {
                let failed = |why| SocketError { url: url(address), is_fcgi, why };
                self.open(group, address, backlog.unwrap_or(BACKLOG), link).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn open(&mut self, group: &str, address: &FcgiAddress, backlog: u16, link: &Link) -> Result<(), String> {
        let most = Place::MAX_SOCKETS;
        let place = (0..most)
            .find(|place| self.is_free(*place))
            .ok_or_else(|| format!("there are {most} sockets, more cannot be kept"))?;
        ::log::info!("Creating socket {}", url(address));
        let (fd, file) = listen(address, backlog)?;
        link.deposit(&[(Place::Socket(place), fd.as_fd())]).map_err(|error| error.to_string())?;
        let record = SocketRecord { place, group: group.to_string(), address: address.clone(), file };
        self.n_changes += 1;
        self.open.push((record, fd));
        Ok(())
    }

    fn is_free(&self, place: u16) -> bool {
        self.open.iter().all(|(record, _)| record.place != place)
    }

    fn find(&self, group: &str, address: &FcgiAddress) -> Option<&OwnedFd> {
        let is_it = |record: &SocketRecord| record.group == group && record.address.is_same_place(address);
        self.open.iter().find(|(record, _)| is_it(record)).map(|(_, fd)| fd)
    }

    /// What a process of a group is to get, all of it made before.
    pub fn for_process(&self, group: &str, process: &ProcessConfig) -> ForProcess<'_> {
        let find = |address| self.find(group, address).map(AsFd::as_fd);
        ForProcess {
            stdin: process.fcgi_socket.as_ref().and_then(|socket| find(&socket.address)),
            listeners: process.sockets.iter().filter_map(find).collect(),
        }
    }

    /// Makes what a process needs and what could not be made before.
    ///
    /// # Errors
    /// It still cannot be made.
    pub fn ensure(&mut self, group: &str, process: &ProcessConfig, link: &Link) -> Result<(), SocketError> {
        self.open_for_process(group, process, link)
    }

    /// Closes the sockets of a group that none of its processes names, and removes their files. One that is named with other
    /// permissions is another socket.
    pub fn close_unused(&mut self, group: &str, members: &[Arc<ProcessConfig>], link: &Link) {
        let named: Vec<&FcgiAddress> = members
            .iter()
            .flat_map(|process| {
                process.sockets.iter().chain(process.fcgi_socket.iter().map(|it| &it.address))
            })
            .collect();
        self.close_those(|record| record.group == group && !named.contains(&&record.address), link);
    }

    /// Closes the sockets of a group and removes their files.
    pub fn close_group(&mut self, group: &str, link: &Link) {
        self.close_those(|record| record.group == group, link);
    }

    /// Closes everything and removes the files.
    pub fn close_all(&mut self, link: &Link) {
        self.close_those(|_| true, link);
    }

    fn close_those(&mut self, closed: impl Fn(&SocketRecord) -> bool, link: &Link) {
        for (record, _) in self.open.extract_if(.., |(record, _)| closed(record)) {
            self.n_changes += 1;
            ::log::info!("Closing socket {}", url(&record.address));
            if let FcgiAddress::Unix { path, .. } = &record.address
                && let Some(identity) = record.file
            {
                socket::remove(path, identity);
            }
            let _ = link.drop_deposits(&[Place::Socket(record.place)]);
        }
    }
}

/// As in the configuration file.
fn url(address: &FcgiAddress) -> String {
    match address {
        FcgiAddress::Tcp { host, port } if host.contains(':') => format!("tcp://[{host}]:{port}"),
        FcgiAddress::Tcp { host, port } => format!("tcp://{host}:{port}"),
        FcgiAddress::Unix { path, .. } => format!("unix://{}", path.display()),
    }
}

/// # Errors
/// In words.
fn listen(address: &FcgiAddress, backlog: u16) -> Result<(OwnedFd, Option<(u64, u64)>), String> {
    match address {
        FcgiAddress::Tcp { host, port } => {
            Ok((listen_tcp(host, *port, backlog).map_err(|error| error.to_string())?, None))
        }
        FcgiAddress::Unix { path, owner, mode } => {
            // Clients have to name it.
            SocketAddrUnix::new(path).map_err(|errno| io::Error::from(errno).to_string())?;
            let (kind, owner) = (SocketType::STREAM, (owner.uid, owner.gid));
            let spec = SocketSpec { kind, mode: mode & 0o7777, owner, backlog: i32::from(backlog) };
            let bound = socket::listen(path, &spec).map_err(|error| match error {
                FileError::NotASocket => format!("{} exists and is not a socket", path.display()),
                error => error.to_string(),
            })?;
            Ok((bound.fd, Some(bound.identity)))
        }
    }
}

fn listen_tcp(host: &str, port: u16, backlog: u16) -> io::Result<OwnedFd> {
    let host = if host.is_empty() || host == "*" { "0.0.0.0" } else { host };
    let found: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    let address =
        inet::preferred(&found).ok_or_else(|| io::Error::other(format!("{host} has no address")))?;
    Ok(inet::listen(&address, i32::from(backlog))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::Owner;
    use std::path::Path;

    fn unix(path: &Path, mode: u32) -> FcgiAddress {
        FcgiAddress::Unix { path: path.into(), owner: Owner::default(), mode }
    }

    #[test]
    fn what_is_no_socket_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("precious");
        std::fs::write(&path, "x").unwrap();
        let why = listen(&unix(&path, 0o700), 5).unwrap_err();
        assert!(why.ends_with("precious exists and is not a socket"), "{why}");
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
    }

    #[test]
    fn a_socket_that_somebody_uses_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let _theirs = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let why = listen(&unix(&path, 0o700), 5).unwrap_err();
        assert_eq!(why, "another program listens on it");
        std::os::unix::net::UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn what_cannot_be_bound_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let address = FcgiAddress::Tcp { host: "127.0.0.1".to_string(), port: 0 };
        let (taken, _) = listen(&address, 5).unwrap();
        let port = SocketAddr::try_from(rustix::net::getsockname(&taken).unwrap()).unwrap().port();
        let error = listen(&FcgiAddress::Tcp { host: "127.0.0.1".to_string(), port }, 5).unwrap_err();
        assert!(error.contains("in use"), "{error}");
        assert!(listen(&unix(&directory.path().join("no/s"), 0o700), 5).is_err());
    }
}
