//! What a message to syslog says about itself, and where messages go over the network.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A receiver of syslog messages, as `syslog @udp:host:514` names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SyslogTarget {
    /// How messages get there.
    pub protocol: Protocol,
    /// A name or an address. IPv6 addresses stand here without brackets.
    pub host: String,
    /// From 1 to 65535. See [`Protocol::default_port`].
    pub port: u16,
}

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// One datagram a message (RFC 5426).
    Udp,
    /// A stream of messages, each behind its length (RFC 6587).
    Tcp,
}

impl Protocol {
    /// The port of a target that names none: syslog's, and the one that supervisord in Go takes for TCP.
    pub fn default_port(self) -> u16 {
        match self {
            Protocol::Udp => 514,
            Protocol::Tcp => 6514,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Udp => "udp",
            Protocol::Tcp => "tcp",
        })
    }
}

impl fmt::Display for SyslogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SyslogTarget { protocol, host, port } = self;
        if host.contains(':') {
            write!(f, "@{protocol}:[{host}]:{port}")
        } else {
            write!(f, "@{protocol}:{host}:{port}")
        }
    }
}

/// Which part of a system a message is from, 0 to 23 (RFC 5424, table 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facility(u8);

/// How bad it is, 0 (the worst) to 7 (RFC 5424, table 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Severity(u8);

/// By their numbers; where a facility has two names, the first one counts.
const FACILITIES: [(&str, u8); 21] = [
    ("KERN", 0),
    ("KERNEL", 0),
    ("USER", 1),
    ("MAIL", 2),
    ("DAEMON", 3),
    ("AUTH", 4),
    ("SYSLOG", 5),
    ("LPR", 6),
    ("NEWS", 7),
    ("UUCP", 8),
    ("CRON", 9),
    ("AUTHPRIV", 10),
    ("FTP", 11),
    ("LOCAL0", 16),
    ("LOCAL1", 17),
    ("LOCAL2", 18),
    ("LOCAL3", 19),
    ("LOCAL4", 20),
    ("LOCAL5", 21),
    ("LOCAL6", 22),
    ("LOCAL7", 23),
];

const SEVERITIES: [(&str, u8); 12] = [
    ("EMERG", 0),
    ("ALERT", 1),
    ("CRIT", 2),
    ("CRITICAL", 2),
    ("ERR", 3),
    ("ERROR", 3),
    ("WARN", 4),
    ("WARNING", 4),
    ("NOTICE", 5),
    ("INFO", 6),
    ("DEBUG", 7),
    ("EMERGENCY", 0),
];

impl Facility {
    /// Messages of user programs: what the local syslog gets unless `syslog_facility` says otherwise.
    pub const USER: Facility = Facility(1);
    /// The first facility for local use: what a target on the network gets unless `syslog_facility` says otherwise.
    pub const LOCAL0: Facility = Facility(16);

    /// A facility by its name, in any case, with or without `LOG_` before it.
    pub fn named(name: &str) -> Option<Facility> {
        number(&FACILITIES, name).map(Facility)
    }
}

impl Severity {
    /// Normal but worth a look: what a target on the network gets unless a `syslog_*_priority` says otherwise.
    pub const NOTICE: Severity = Severity(5);
    /// Of interest only: what the local syslog gets unless a `syslog_*_priority` says otherwise.
    pub const INFO: Severity = Severity(6);

    /// A severity by its name, in any case, with or without `LOG_` before it.
    pub fn named(name: &str) -> Option<Severity> {
        number(&SEVERITIES, name).map(Severity)
    }
}

fn number(names: &[(&str, u8)], name: &str) -> Option<u8> {
    let name = name.trim().to_uppercase();
    let name = name.strip_prefix("LOG_").unwrap_or(&name);
    names.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// The number in angle brackets that a message begins with.
pub fn priority(facility: Facility, severity: Severity) -> u8 {
    // 191 at most.
    facility.0 * 8 + severity.0
}

/// The `syslog_*` keys of a program, for one of its streams. What is `None` was not written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyslogOptions {
    /// `syslog_facility`: which part of the system messages are from.
    pub facility: Option<Facility>,
    /// `syslog_stdout_priority` or `syslog_stderr_priority`: how bad the lines of this stream are.
    pub severity: Option<Severity>,
    /// Never empty.
    pub tag: Option<String>,
}

impl SyslogOptions {
    /// Whether none was written.
    pub fn are_default(&self) -> bool {
        *self == SyslogOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_every_spelling() {
        for (name, number) in
            [("local0", 16), ("LOG_Local7", 23), ("KERNEL", 0), (" authpriv ", 10), ("log_cron", 9)]
        {
            assert_eq!(Facility::named(name), Some(Facility(number)), "{name}");
        }
        for (name, number) in
            [("log_err", 3), ("Error", 3), ("CRITICAL", 2), ("warning", 4), ("LOG_EMERG", 0)]
        {
            assert_eq!(Severity::named(name), Some(Severity(number)), "{name}");
        }
        for name in ["", "LOG_", "local8", "LOG_LOG_ERR", "16"] {
            assert_eq!((Facility::named(name), Severity::named(name)), (None, None), "{name}");
        }
    }

    #[test]
    fn a_priority_is_made_of_both() {
        assert_eq!(priority(Facility::USER, Severity::INFO), 14);
        assert_eq!(priority(Facility::LOCAL0, Severity::NOTICE), 133);
        assert_eq!(priority(Facility(23), Severity(7)), 191);
    }

    #[test]
    fn a_target_is_shown_as_it_could_be_written() {
        let target = |host: &str, protocol: Protocol| SyslogTarget {
            protocol,
            host: host.to_string(),
            port: protocol.default_port(),
        };
        assert_eq!(target("loghost", Protocol::Udp).to_string(), "@udp:loghost:514");
        assert_eq!(target("::1", Protocol::Tcp).to_string(), "@tcp:[::1]:6514");
    }
}
