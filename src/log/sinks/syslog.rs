//! The local syslog: a datagram per line to `/dev/log`, as the C library sends it (RFC 3164, local form).

use crate::log::transform::stamp::Stamp;
use crate::model::syslog::{Facility, Severity, SyslogOptions, priority};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Where the local syslog listens.
const SOCKET: &str = "/dev/log";

/// What common syslog daemons accept by default; a longer line is cut.
const MAX_LINE: usize = 8 * 1024;

/// What stands in front of every line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    priority: u8,
    /// What is called the sender, a colon, a blank, and what follows it.
    before: String,
}

impl Form {
    /// What a process prints. Where the configuration says nothing it is as Supervisor sends everything: facility USER,
    /// severity INFO, from `supervisord`, with the name of the process before the line. A tag stands for both names.
    pub fn new(options: &SyslogOptions, process: &str) -> Form {
        Form::with_prefix(options, &format!("{process} "))
    }

    /// What the daemon says about itself, as Supervisor sends it.
    pub fn of_daemon() -> Form {
        Form::with_prefix(&SyslogOptions::default(), "")
    }

    fn with_prefix(options: &SyslogOptions, prefix: &str) -> Form {
        let facility = options.facility.unwrap_or(Facility::USER);
        let severity = options.severity.unwrap_or(Severity::INFO);
        let before = match &options.tag {
            Some(tag) => format!("{tag}: "),
            None => format!("supervisord: {prefix}"),
        };
        Form { priority: priority(facility, severity), before }
    }
}

/// A connection to the local syslog.
#[derive(Debug)]
pub struct Syslog {
    socket: UnixDatagram,
    form: Form,
}

impl Syslog {
    /// Connects to the local syslog.
    ///
    /// # Errors
    /// ENOENT or ECONNREFUSED if there is no syslog daemon.
    pub fn connect(form: Form) -> io::Result<Syslog> {
        Syslog::connect_to(Path::new(SOCKET), form)
    }

    fn connect_to(path: &Path, form: Form) -> io::Result<Syslog> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_nonblocking(true)?;
        Ok(Syslog { socket, form })
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
        let (Form { priority, before }, stamp) = (&self.form, Stamp::now().syslog());
        let message = format!("<{priority}>{stamp} {before}{line}");
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
        let syslog = Syslog::connect_to(&path, Form::new(&SyslogOptions::default(), "web")).unwrap();
        assert_eq!(syslog.write(b"one\n\ntwo\xff\n").unwrap(), 10);
        for expected in [" supervisord: web one", " supervisord: web two\u{fffd}"] {
            let mut buffer = [0; 1000];
            let n_bytes = daemon.recv(&mut buffer).unwrap();
            let message = String::from_utf8(buffer[..n_bytes].to_vec()).unwrap();
            assert!(message.starts_with("<14>") && message.ends_with(expected), "{message}");
        }
    }

    #[test]
    fn each_option_changes_what_it_is_about() {
        let facility = Facility::named("local3");
        let tag = Some("shop".to_string());
        for (options, priority, before) in [
            (SyslogOptions::default(), 14, "supervisord: web "),
            (SyslogOptions { facility, ..SyslogOptions::default() }, 158, "supervisord: web "),
            (
                SyslogOptions { severity: Severity::named("err"), ..SyslogOptions::default() },
                11,
                "supervisord: web ",
            ),
            (SyslogOptions { tag, ..SyslogOptions::default() }, 14, "shop: "),
        ] {
            assert_eq!(Form::new(&options, "web"), Form { priority, before: before.to_string() });
        }
    }

    #[test]
    fn a_daemon_that_went_away_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let syslog = Syslog::connect_to(&path, Form::of_daemon()).unwrap();
        drop(daemon);
        assert!(syslog.write(b"one\n").is_err());
    }
}
