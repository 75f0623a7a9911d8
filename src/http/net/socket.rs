//! The socket of one connected client, TCP or unix: reads, writes, and says who the peer is.

use crate::rt::{Async, Timer};
use futures_lite::future;
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketAddrAny, sockopt};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Socket {
    io: Async<OwnedFd>,
}

/// Clients that are counted together: those of one IPv4 address, of one IPv6 network of the size that a customer of a provider
/// has, or of one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    Ip(IpAddr),
    Uid(u32),
    Unknown,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Ip(IpAddr::V6(network)) => write!(f, "{network}/64"),
            Origin::Ip(address) => write!(f, "{address}"),
            Origin::Uid(uid) => write!(f, "uid {uid}"),
            Origin::Unknown => f.write_str("an unknown peer"),
        }
    }
}

/// The client at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Tcp(SocketAddr),
    /// The process that connected, as the kernel reports it.
    Unix {
        uid: u32,
        pid: i32,
    },
    Unknown,
}

impl Peer {
    /// The user at the other end of a unix socket.
    pub(crate) fn uid(&self) -> Option<u32> {
        match self {
            Peer::Unix { uid, .. } => Some(*uid),
            Peer::Tcp(_) | Peer::Unknown => None,
        }
    }

    /// The clients with which it is counted.
    pub(crate) fn origin(&self) -> Origin {
        match self {
            Peer::Tcp(address) => Origin::Ip(match address.ip() {
                IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
                ip @ IpAddr::V4(_) => ip,
            }),
            Peer::Unix { uid, .. } => Origin::Uid(*uid),
            Peer::Unknown => Origin::Unknown,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => write!(f, "{address}"),
            Peer::Unix { uid, pid } => write!(f, "uid {uid} pid {pid}"),
            Peer::Unknown => f.write_str("unknown peer"),
        }
    }
}

impl Socket {
    /// Takes over a socket that has just been accepted and does not block.
    ///
    /// # Errors
    /// If the reactor does not take it.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Socket> {
        // Answers leave at once, and a client that vanished without a word is noticed in the end. Both fail
        // on unix sockets, which need neither.
        let _ = sockopt::set_tcp_nodelay(&fd, true);
        let _ = sockopt::set_socket_keepalive(&fd, true);
        Ok(Socket { io: Async::new_nonblocking(fd)? })
    }

    pub(crate) fn peer(&self) -> Peer {
        match rustix::net::getpeername(&self.io) {
            Ok(Some(address)) => self.peer_at(address),
            Ok(None) | Err(_) => self.unix_peer(),
        }
    }

    fn peer_at(&self, address: SocketAddrAny) -> Peer {
        match SocketAddr::try_from(address) {
            // On a socket for all interfaces IPv4 clients come with mapped addresses.
            Ok(address) => Peer::Tcp(SocketAddr::new(unmapped(address.ip()), address.port())),
            Err(_) => self.unix_peer(),
        }
    }

    fn unix_peer(&self) -> Peer {
        match sockopt::socket_peercred(&self.io) {
            Ok(credentials) => {
                Peer::Unix { uid: credentials.uid.as_raw(), pid: credentials.pid.as_raw_nonzero().get() }
            }
            Err(_) => Peer::Unknown,
        }
    }

    /// Waits until there is something to read, or the end. Tries to read first, because most clients have sent a request
    /// before they are accepted.
    ///
    /// # Errors
    /// Those of `recv(2)`.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        let peek = |fd: &OwnedFd| Ok(rustix::net::recv(fd, &mut [0], RecvFlags::PEEK)?);
        self.io.read_with(peek).await.map(drop)
    }

    /// Reads what is available, and waits until something is. Returns 0 at the end.
    ///
    /// # Errors
    /// Those of `read(2)`.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.io.read_with(|fd| Ok(rustix::io::read(fd, &mut *buffer)?)).await
    }

    /// Writes as much as the kernel accepts, and waits until it accepts something. Returns how many bytes it accepted.
    ///
    /// # Errors
    /// Those of `send(2)`.
    pub(crate) async fn write(&self, bytes: &[u8], more_follows: bool) -> io::Result<usize> {
        let mut flags = SendFlags::NOSIGNAL;
        if more_follows {
            flags |= SendFlags::MORE;
        }
        self.io.write_with(|fd| Ok(rustix::net::send(fd, bytes, flags)?)).await
    }

    /// The number that the next descriptor of this process will get; `None` if none is free.
    pub(crate) fn lowest_free_descriptor(&self) -> Option<usize> {
        let probe = rustix::io::fcntl_dupfd_cloexec(&self.io, 0).ok()?;
        usize::try_from(probe.as_raw_fd()).ok()
    }

    /// Ends the output: the client reads its end.
    pub(crate) fn end_output(&self) {
        // If the client is gone already, it does not need to be told.
        let _ = rustix::net::shutdown(&self.io, Shutdown::Write);
    }

    /// Ends both directions: tasks that wait for this socket read its end.
    pub(crate) fn hang_up(&self) {
        let _ = rustix::net::shutdown(&self.io, Shutdown::Both);
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.get_ref().as_fd()
    }
}

fn unmapped(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Waits for `work` until `deadline`. `None` if the deadline passes.
pub(crate) async fn until<T>(deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::at(deadline).await;
        None
    };
    future::or(async { Some(work.await) }, late).await
}

/// Waits for `work`, but no longer than `limit`. `None` if that passes.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    until(Instant::now() + limit, work).await
}
