//! The address of a daemon: parses a `serverurl` and connects to it.

use crate::model::percent;
use crate::rpc::client::http::{Connection, Transport};
use crate::rpc::client::{CallError, Login};
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// How long one address may take to accept a connection. A daemon that accepted may take as long as it likes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// A parsed `serverurl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The file of a unix socket.
    Unix(PathBuf),
    /// IPv6 addresses stand here without brackets.
    Inet {
        /// A host name or an address; IPv6 addresses have no brackets here.
        host: String,
        /// The TCP port.
        port: u16,
    },
}

impl Endpoint {
    /// Parses `unix://PATH` or `http://[USER@]HOST[:PORT][/ANYTHING]`. The port defaults to 80. The rest is ignored, as in
    /// Supervisor.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the URL.
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

    /// The name and password in a URL of the form `http://NAME:PASSWORD@HOST`.
    pub fn credentials(url: &str) -> Option<Login> {
        let authority = url.strip_prefix("http://")?.split(['/', '?', '#']).next()?;
        let (credentials, _) = authority.rsplit_once('@')?;
        let (username, password) = credentials.split_once(':')?;
        Some(Login { username: percent::decoded(username), password: percent::decoded(password) })
    }

    /// The URL with the password replaced by asterisks, for messages.
    pub fn shown(url: &str) -> String {
        if Endpoint::credentials(url).is_none() {
            return url.to_string();
        }
        let authority_end =
            url["http://".len()..].find(['/', '?', '#']).map_or(url.len(), |at| at + "http://".len());
        let (authority, path) = url.split_at(authority_end);
        // There are credentials, so there is an at sign, and a colon before it.
        let (credentials, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let name =
            credentials.strip_prefix("http://").and_then(|text| text.split(':').next()).unwrap_or_default();
        format!("http://{name}:********@{host}{path}")
    }

    /// The value of the `Host` header.
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

    #[test]
    fn credentials_of_a_url_are_used_and_not_shown() {
        for (url, login, shown) in [
            ("http://me:p%40ss@h:9001/x", Some(("me", "p@ss")), "http://me:********@h:9001/x"),
            ("http://me@h", None, "http://me@h"),
            ("http://h:9001", None, "http://h:9001"),
            ("unix:///a:b@c", None, "unix:///a:b@c"),
        ] {
            let found = Endpoint::credentials(url).map(|login| (login.username, login.password));
            assert_eq!(found, login.map(|(name, word)| (name.to_string(), word.to_string())), "{url}");
            assert_eq!(Endpoint::shown(url), shown);
        }
    }
}
