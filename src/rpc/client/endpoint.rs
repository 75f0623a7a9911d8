//! Where a daemon listens: `serverurl` read, and connected to.

use crate::rpc::client::CallError;
use crate::rpc::client::http::{Connection, Transport};
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// How long one address may take to accept a connection. A daemon that accepted may take as long as it likes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// A `serverurl` taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Unix(PathBuf),
    /// IPv6 addresses stand here without brackets.
    Inet {
        host: String,
        port: u16,
    },
}

impl Endpoint {
    /// Reads `unix://PATH` or `http://[USER@]HOST[:PORT][/ANYTHING]`. The port is 80 if there is none, as in every
    /// URL; what else stands there is ignored, as Supervisor ignores it.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn parse(url: &str) -> Result<Endpoint, String> {
        if let Some(path) = url.strip_prefix("unix://") {
            return if path.is_empty() {
                Err(format!("the server URL '{url}' names no socket file"))
            } else {
                Ok(Endpoint::Unix(PathBuf::from(path)))
            };
        }
        let Some(rest) = url.strip_prefix("http://") else {
            return Err(format!("unknown protocol in the server URL '{url}': it must be http:// or unix://"));
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) =
            split_port(authority).ok_or_else(|| format!("no valid port in the server URL '{url}'"))?;
        if host.is_empty() {
            return Err(format!("the server URL '{url}' names no host"));
        }
        Ok(Endpoint::Inet { host: host.to_string(), port })
    }

    /// What stands in the `Host` header.
    pub fn host_header(&self) -> String {
        match self {
            Endpoint::Unix(_) => "localhost".to_string(),
            Endpoint::Inet { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Endpoint::Inet { host, port } => format!("{host}:{port}"),
        }
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// [`CallError::Connect`] with what the last address said, [`CallError::Resolve`] if there is none.
    pub fn connect(&self) -> Result<Connection, CallError> {
        match self {
            Endpoint::Unix(path) => {
                let socket = UnixStream::connect(path).map_err(CallError::Connect)?;
                Ok(Connection::new(Transport::Unix(socket)))
            }
            Endpoint::Inet { host, port } => connect_inet(host, *port),
        }
    }
}

/// Splits `HOST[:PORT]`; `None` if the port is no port.
fn split_port(authority: &str) -> Option<(&str, u16)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        return match port.strip_prefix(':') {
            Some(port) => Some((host, port.parse().ok()?)),
            None => port.is_empty().then_some((host, 80)),
        };
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?)),
        None => Some((authority, 80)),
    }
}

fn connect_inet(host: &str, port: u16) -> Result<Connection, CallError> {
    let unknown = |problem| CallError::Resolve { host: host.to_string(), problem };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs().map_err(unknown)? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(socket) => {
                // A request leaves in one piece; waiting for more would only delay it.
                let _ = socket.set_nodelay(true);
                return Ok(Connection::new(Transport::Inet(socket)));
            }
            Err(problem) => last = problem,
        }
    }
    Err(CallError::Connect(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Option<Endpoint>) {
        assert_eq!(Endpoint::parse(url).ok(), expected, "{url:?}");
    }

    fn inet(host: &str, port: u16) -> Option<Endpoint> {
        Some(Endpoint::Inet { host: host.into(), port })
    }

    #[test]
    fn urls_are_taken_apart() {
        check("unix:///run/s.sock", Some(Endpoint::Unix("/run/s.sock".into())));
        check("unix://rel.sock", Some(Endpoint::Unix("rel.sock".into())));
        check("http://localhost:9001", inet("localhost", 9001));
        check("http://localhost", inet("localhost", 80));
        check("http://me:secret@host:1/RPC2", inet("host", 1));
        check("http://[::1]:9001/", inet("::1", 9001));
        check("http://[::1]", inet("::1", 80));
        check("unix://", None);
        check("http://", None);
        check("http://host:port", None);
        check("http://host:99999", None);
        check("gopher://x", None);
    }
}
