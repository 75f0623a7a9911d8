//! Listening on addresses of the network.

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// Which of a host's addresses to listen on. A name that has both kinds of address means what it has always meant to
/// Supervisor: IPv4.
pub fn preferred(found: &[SocketAddr]) -> Option<SocketAddr> {
    found.iter().find(|address| address.is_ipv4()).or(found.first()).copied()
}

/// Makes a socket that listens; `backlog` clients may wait to be accepted.
///
/// # Errors
/// The system's: EADDRINUSE if somebody else listens there.
pub fn listen(address: &SocketAddr, backlog: i32) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::sockopt::set_socket_reuseaddr(&fd, true)?;
    rustix::net::bind(&fd, address)?;
    rustix::net::listen(&fd, backlog)?;
    Ok(fd)
}
