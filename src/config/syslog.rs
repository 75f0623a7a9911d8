//! Where messages to syslog go, and the keys that say what they are.

use crate::config::section::Section;
use crate::config::text::repr;
use crate::config::values::{self, Parsed};
use crate::model::syslog::{Facility, Protocol, Severity, SyslogOptions, SyslogTarget};
use std::net::Ipv6Addr;

const FACILITY: &str = "syslog_facility";

/// The longest name of a host (RFC 1035).
const MOST_HOST: usize = 253;

/// Reads the keys that the streams of a program share, and the severity of one of them.
pub(super) fn options(section: &Section<'_>, priority_key: &str) -> SyslogOptions {
    let tag = section.text("syslog_tag").map(|tag| tag.trim().to_string());
    SyslogOptions {
        facility: section.get(FACILITY, facility),
        severity: section.get(priority_key, |text| severity(priority_key, text)),
        tag: tag.filter(|tag| !tag.is_empty()),
    }
}

fn facility(text: &str) -> Parsed<Facility> {
    let expected =
        "KERN, USER, MAIL, DAEMON, AUTH, SYSLOG, LPR, NEWS, UUCP, CRON, AUTHPRIV, FTP or LOCAL0 to LOCAL7";
    Facility::named(text).ok_or_else(|| values::not_one_of(text, FACILITY, expected))
}

fn severity(key: &str, text: &str) -> Parsed<Severity> {
    let expected = "EMERG, ALERT, CRIT, ERR, WARNING, NOTICE, INFO or DEBUG";
    Severity::named(text).ok_or_else(|| values::not_one_of(text, key, expected))
}

/// What stands behind the `@` of a target on the network; `None` if the text does not look like one.
pub(super) fn remote(text: &str) -> Option<&str> {
    let (word, rest) = text.split_at_checked("syslog".len())?;
    let after = rest.trim_start();
    let is_one = word.eq_ignore_ascii_case("syslog") && after.len() < rest.len();
    after.strip_prefix('@').filter(|_| is_one)
}

/// Reads what stands behind the `@`: `[udp|tcp:]host[:port]`.
pub(super) fn target(text: &str) -> Parsed<SyslogTarget> {
    let wrong = |why: &str| {
        format!(
            "{} is not a target of syslog: {why}; write syslog @[udp|tcp:]host[:port]",
            repr(&format!("@{text}"))
        )
    };
    let text_of_target = text.trim();
    let (protocol, rest) = match text_of_target.split_once(':') {
        Some((word, rest)) if word.eq_ignore_ascii_case("udp") => (Protocol::Udp, rest),
        Some((word, rest)) if word.eq_ignore_ascii_case("tcp") => (Protocol::Tcp, rest),
        _ => (Protocol::Udp, text_of_target),
    };
    let (host, port) = host_and_port(rest).map_err(wrong)?;
    let port = match port {
        None => protocol.default_port(),
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => return Err(wrong("a port is a number from 1 to 65535")),
            Ok(port) => port,
        },
    };
    Ok(SyslogTarget { protocol, host, port })
}

fn host_and_port(text: &str) -> Result<(String, Option<&str>), &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("the bracket of an IPv6 address is not closed")?;
        host.parse::<Ipv6Addr>().map_err(|_| "only an IPv6 address stands in brackets")?;
        return match (rest, rest.strip_prefix(':')) {
            ("", _) => Ok((host.to_string(), None)),
            (_, Some(port)) => Ok((host.to_string(), Some(port))),
            (_, None) => Err("only a port may follow the address"),
        };
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    if port.is_some_and(|port| port.contains(':')) {
        return Err("an IPv6 address stands in brackets, and the protocol is udp or tcp");
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if host.is_empty() || host.len() > MOST_HOST || !host.chars().all(is_name) {
        return Err("it names no host");
    }
    if host.chars().all(|c| c.is_ascii_digit()) {
        return Err("a number alone is not a host");
    }
    Ok((host.to_string(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (text, expected) in [
            ("syslog @loghost", Ok("@udp:loghost:514")),
            ("SysLog\t @loghost:5514", Ok("@udp:loghost:5514")),
            ("syslog @udp:10.0.0.1", Ok("@udp:10.0.0.1:514")),
            ("syslog @TCP:log_host.example.org", Ok("@tcp:log_host.example.org:6514")),
            ("syslog @tcp:h:1", Ok("@tcp:h:1")),
            ("syslog @[::1]", Ok("@udp:[::1]:514")),
            ("syslog @tcp:[fe80::1]:99", Ok("@tcp:[fe80::1]:99")),
            ("syslog @ h ", Ok("@udp:h:514")),
            ("syslog @", Err("it names no host")),
            ("syslog @tcp:", Err("it names no host")),
            ("syslog @:514", Err("it names no host")),
            ("syslog @udp:514", Err("a number alone is not a host")),
            ("syslog @a b", Err("it names no host")),
            ("syslog @a/b", Err("it names no host")),
            ("syslog @h:0", Err("a port is a number from 1 to 65535")),
            ("syslog @h:65536", Err("a port is a number from 1 to 65535")),
            ("syslog @h:", Err("a port is a number from 1 to 65535")),
            ("syslog @sctp:h:514", Err("an IPv6 address stands in brackets, and the protocol is udp or tcp")),
            ("syslog @::1", Err("an IPv6 address stands in brackets, and the protocol is udp or tcp")),
            ("syslog @[::1", Err("the bracket of an IPv6 address is not closed")),
            ("syslog @[h]:1", Err("only an IPv6 address stands in brackets")),
            ("syslog @[::1]1", Err("only a port may follow the address")),
        ] {
            let found =
                target(remote(text).expect("a target on the network")).map(|target| target.to_string());
            match expected {
                Ok(expected) => assert_eq!(found.as_deref(), Ok(expected), "{text}"),
                Err(why) => {
                    assert!(found.as_ref().is_err_and(|error| error.contains(why)), "{text}: {found:?}")
                }
            }
        }
    }

    #[test]
    fn names_of_files_are_no_targets() {
        for text in [
            "syslog",
            "syslog@host",
            "syslog.log",
            "/syslog @host",
            "syslog host",
            "sysl",
            "syslogs @h",
            "sysloö",
        ] {
            assert_eq!(remote(text), None, "{text}");
        }
    }
}
