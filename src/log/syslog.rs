//! The local syslog: a datagram per line to `/dev/log`, as the C library sends it (RFC 3164, local form).

use crate::log::stamp::Stamp;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Where the local syslog listens.
const SOCKET: &str = "/dev/log";

/// Facility user (1), severity info (6), as Supervisor sends everything.
const PRIORITY: u8 = 8 + 6;

/// What common syslog daemons accept by default; a longer line is cut.
const MAX_LINE: usize = 8 * 1024;

/// A connection to the local syslog.
#[derive(Debug)]
pub struct Syslog {
    socket: UnixDatagram,
    /// In front of every line.
    prefix: String,
}

impl Syslog {
    /// # Errors
    /// ENOENT or ECONNREFUSED if there is no syslog daemon.
    pub fn connect(prefix: &str) -> io::Result<Syslog> {
        Syslog::connect_to(Path::new(SOCKET), prefix)
    }

    fn connect_to(path: &Path, prefix: &str) -> io::Result<Syslog> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_nonblocking(true)?;
        Ok(Syslog { socket, prefix: prefix.to_string() })
    }

    /// Sends whole lines, one message each; returns how many bytes that took care of.
    ///
    /// # Errors
    /// EAGAIN if the daemon does not keep up; ECONNREFUSED and the like if it is gone.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut n_bytes = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match self.send(line.strip_suffix(b"\n").unwrap_or(line)) {
                Ok(()) => n_bytes += line.len(),
                Err(error) if n_bytes == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(n_bytes)
    }

    fn send(&self, line: &[u8]) -> io::Result<()> {
        if line.is_empty() {
            return Ok(());
        }
        // Whatever is not UTF-8 is sent lossily rather than not at all.
        let line = String::from_utf8_lossy(&line[..line.len().min(MAX_LINE)]);
        let (stamp, name) = (Stamp::now().syslog(), "supervisord");
        let message = format!("<{PRIORITY}>{stamp} {name}: {}{line}", self.prefix);
        self.socket.send(message.replace('\0', " ").as_bytes()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_per_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let syslog = Syslog::connect_to(&path, "web ").unwrap();
        assert_eq!(syslog.write(b"one\n\ntwo\xff\n").unwrap(), 10);
        for expected in [" supervisord: web one", " supervisord: web two\u{fffd}"] {
            let mut buffer = [0; 1000];
            let n_bytes = daemon.recv(&mut buffer).unwrap();
            let message = String::from_utf8(buffer[..n_bytes].to_vec()).unwrap();
            assert!(message.starts_with("<14>") && message.ends_with(expected), "{message}");
        }
    }

    #[test]
    fn a_daemon_that_went_away_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let syslog = Syslog::connect_to(&path, "").unwrap();
        drop(daemon);
        assert!(syslog.write(b"one\n").is_err());
    }
}
