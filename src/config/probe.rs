//! Ways to find out whether a process is ready or well: the values of `ready` and `health`.

use crate::config::command;
use crate::config::text::{repr, strip};
use crate::config::values::{self, Parsed};
use crate::model::config::FcgiAddress;
use crate::model::probe::{HttpProbe, Probe};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// What a probe can be, for errors.
const FORMS: &str = "tcp:[HOST:]PORT, unix:/path, http://host[:port]/path, exec:COMMAND, file:/path";
/// The descriptors on which a program can say that it is ready. More than these no program may have open usually.
const DESCRIPTORS: RangeInclusive<i32> = 3..=1023;
/// Where an address without a host is.
const HERE: &str = "127.0.0.1";
/// Headers that would make another request of ours.
const OUR_HEADERS: [&str; 3] = ["connection", "content-length", "transfer-encoding"];

/// Reads `ready`. `sockets` are handed to the program from descriptor 3 on.
pub(super) fn ready(text: &str, sockets: &[FcgiAddress]) -> Parsed<Probe> {
    let text = strip(text);
    let (form, rest) = text.split_once(':').unwrap_or((text, ""));
    match form {
        "notify" if text == "notify" => Ok(Probe::Notify),
        "log" => log(strip(rest)),
        "fd" => descriptor(rest, sockets).map(Probe::Fd),
        _ => asked(text, "ready", &format!("{FORMS}, log:REGEX, notify, fd:N")),
    }
}

/// Reads `health`, which has to be asked again and again.
pub(super) fn health(text: &str) -> Parsed<Probe> {
    let text = strip(text);
    let form = text.split(':').next().unwrap_or_default();
    if ["log", "notify", "fd"].contains(&form) {
        return Err(format!(
            "{form} says once that a process is ready, and never again that it is well (expected {FORMS}; a program that \
             reports by itself can have watchdog)"
        ));
    }
    asked(text, "health", FORMS)
}

/// What somebody has to go and see.
fn asked(text: &str, key: &str, forms: &str) -> Parsed<Probe> {
    let (form, rest) = text.split_once(':').unwrap_or((text, ""));
    match form {
        "tcp" => tcp(rest),
        "unix" => path(rest, "the socket").map(Probe::Unix),
        "file" => path(rest, "the file").map(Probe::File),
        "http" => http(text).map(Probe::Http),
        "https" => Err(format!(
            "https is not available yet: write {key}=exec:curl -fsS {}",
            text.split_whitespace().next().unwrap_or_default()
        )),
        "exec" => exec(strip(rest)),
        _ => Err(values::not_one_of(text, key, forms)),
    }
}

fn tcp(rest: &str) -> Parsed<Probe> {
    let address = strip(rest.strip_prefix("//").unwrap_or(rest));
    let (host, port) = host_and_port(address)?;
    Ok(Probe::Tcp { host, port })
}

/// `host:port`, `port`, `[IPv6 address]:port`.
fn host_and_port(address: &str) -> Parsed<(String, u16)> {
    let (host, port) = values::inet_address(address)?;
    if host.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '[' | ']')) {
        return Err(format!("{} is not the name or the address of a host", repr(&host)));
    }
    Ok((if host.is_empty() { HERE.to_string() } else { host }, port))
}

/// A path, also in the form of an address, `///path`.
fn path(rest: &str, what: &str) -> Parsed<PathBuf> {
    let rest = strip(rest);
    let path = rest.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(rest);
    if Path::new(path).is_absolute() {
        return Ok(PathBuf::from(path));
    }
    Err(format!(
        "the path of {what} is not absolute: {} (%(here)s is the directory of this file)",
        repr(rest)
    ))
}

fn exec(command: &str) -> Parsed<Probe> {
    match command::split(command) {
        Ok(words) if words.is_empty() => Err("no command follows exec:".to_string()),
        Ok(_) => Ok(Probe::Exec(command.to_string())),
        Err(why) => Err(format!("can't parse command {}: {why}", repr(command))),
    }
}

fn log(regex: &str) -> Parsed<Probe> {
    if regex.is_empty() {
        return Err("no regular expression follows log:".to_string());
    }
    match regex_lite::Regex::new(regex) {
        Ok(_) => Ok(Probe::Log(regex.to_string())),
        Err(error) => Err(format!("not a regular expression: {} ({error})", repr(regex))),
    }
}

fn descriptor(text: &str, sockets: &[FcgiAddress]) -> Parsed<i32> {
    let expected = format!("{} to {}", DESCRIPTORS.start(), DESCRIPTORS.end());
    let number = values::any_integer(text).ok().and_then(|number| i32::try_from(number).ok());
    let Some(number) = number.filter(|number| DESCRIPTORS.contains(number)) else {
        return Err(format!("{} is no descriptor for this (expected a number from {expected})", repr(text)));
    };
    // There are fewer sockets than numbers.
    let first_free = DESCRIPTORS.start() + sockets.len() as i32;
    if number < first_free {
        return Err(format!("descriptor {number} is one of the sockets (expected {first_free} or more)"));
    }
    Ok(number)
}

/// `http://host:port/path status=200-399,418 header.NAME=VALUE`.
fn http(text: &str) -> Parsed<HttpProbe> {
    let words = command::split(text).map_err(|why| format!("can't parse {}: {why}", repr(text)))?;
    let (address, options) = words.split_first().ok_or("no address follows http:")?;
    let mut probe = http_address(address)?;
    for option in options {
        match option.split_once('=') {
            Some(("status", ranges)) => probe.status = statuses(ranges)?,
            Some((name, value)) if name.starts_with("header.") => {
                probe.headers.push(header(name.trim_start_matches("header."), value)?);
            }
            _ => {
                let expected = "status=200-399 or header.NAME=VALUE";
                return Err(format!(
                    "unknown option {} behind {address} (expected {expected})",
                    repr(option)
                ));
            }
        }
    }
    Ok(probe)
}

fn http_address(address: &str) -> Parsed<HttpProbe> {
    let wrong = |why: &str| format!("{why} in {} (expected http://host[:port]/path)", repr(address));
    let rest = address.strip_prefix("http://").ok_or_else(|| wrong("no host"))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    if authority.contains('@') {
        return Err(wrong("a name or password, which belongs into header.Authorization,"));
    }
    let is_plain = |c: char| c.is_ascii_graphic() && c != '#';
    if let Some(c) = target.chars().find(|c| !is_plain(*c)) {
        return Err(wrong(&format!("{}, which no path can hold as it is,", repr(&c.to_string()))));
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let with_port = if has_port { authority.to_string() } else { format!("{authority}:80") };
    if authority.is_empty() || authority.starts_with(':') {
        return Err(wrong("no host"));
    }
    let (host, port) = host_and_port(&with_port)?;
    let path = if target.starts_with('/') { target.to_string() } else { format!("/{target}") };
    Ok(HttpProbe { host, port, path, status: vec![(200, 399)], headers: Vec::new() })
}

/// `200-399,418`.
fn statuses(text: &str) -> Parsed<Vec<(u16, u16)>> {
    let status = |text: &str| {
        let is_number = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|status| is_number && (100..=599).contains(status))
    };
    let range = |item: &str| {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        Some((status(first)?, status(last)?)).filter(|(first, last)| first <= last)
    };
    let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
    ranges.ok_or_else(|| {
        format!("invalid status {} (expected for example 200-399,418, of 100 to 599)", repr(text))
    })
}

fn header(name: &str, value: &str) -> Parsed<(String, String)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_token) {
        return Err(format!("{} is not the name of a header", repr(name)));
    }
    if OUR_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(format!(
            "the header {name} cannot be set: it belongs to the way in which the request is sent"
        ));
    }
    if value.contains(char::is_control) {
        return Err(format!("a control character in the header {name}"));
    }
    Ok((name.to_string(), strip(value).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> FcgiAddress {
        FcgiAddress::Tcp { host: "localhost".into(), port: 1 }
    }

    fn tcp(host: &str, port: u16) -> Probe {
        Probe::Tcp { host: host.into(), port }
    }

    #[test]
    fn what_is_asked_for() {
        for (text, expected) in [
            ("tcp:8080", tcp("127.0.0.1", 8080)),
            (" tcp:DB:5432 ", tcp("db", 5432)),
            ("tcp://db:5432", tcp("db", 5432)),
            ("tcp:[::1]:1", tcp("::1", 1)),
            ("tcp:*:1", tcp("127.0.0.1", 1)),
            ("unix:/run/x.sock", Probe::Unix("/run/x.sock".into())),
            ("unix:///run/x.sock", Probe::Unix("/run/x.sock".into())),
            ("file:/run/a b", Probe::File("/run/a b".into())),
            ("exec: curl -f 'http://h/ x' ", Probe::Exec("curl -f 'http://h/ x'".into())),
        ] {
            assert_eq!(ready(text, &[]), Ok(expected.clone()), "{text}");
            assert_eq!(health(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_reported() {
        for (text, expected) in [
            ("notify", Probe::Notify),
            ("log: listening on [0-9]+", Probe::Log("listening on [0-9]+".into())),
            ("log:a:b", Probe::Log("a:b".into())),
            ("fd:4", Probe::Fd(4)),
        ] {
            assert_eq!(ready(text, &[socket()]), Ok(expected), "{text}");
            let refused = health(text).unwrap_err();
            assert!(refused.contains("never again that it is well"), "{refused}");
        }
    }

    #[test]
    fn addresses_of_http() {
        let probe = |host: &str, port, path: &str| HttpProbe {
            host: host.into(),
            port,
            path: path.into(),
            status: vec![(200, 399)],
            headers: vec![],
        };
        for (text, expected) in [
            ("http://localhost", probe("localhost", 80, "/")),
            ("http://H:8080/a?b=%20c", probe("h", 8080, "/a?b=%20c")),
            ("http://[::1]/x", probe("::1", 80, "/x")),
            ("http://[::1]:81", probe("::1", 81, "/")),
            ("http://h?x", probe("h", 80, "/?x")),
            (
                "http://h/ status=200,204,300-399 header.Host=a header.X-Y=\"b  c=d\"",
                HttpProbe {
                    status: vec![(200, 200), (204, 204), (300, 399)],
                    headers: vec![("Host".into(), "a".into()), ("X-Y".into(), "b  c=d".into())],
                    ..probe("h", 80, "/")
                },
            ),
        ] {
            assert_eq!(ready(text, &[]), Ok(Probe::Http(expected)), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let sockets = [socket(), socket()];
        for (text, expected) in [
            ("", "invalid 'ready' value '' (expected tcp:[HOST:]PORT, unix:/path, "),
            ("udp:1", "invalid 'ready' value 'udp:1' (expected "),
            ("notify:x", "invalid 'ready' value 'notify:x' (expected "),
            ("tcp:", "not a valid port number: '' "),
            ("tcp:x", "not a valid port number: 'x' "),
            ("tcp:h:0", "0 is below lower bound (1)"),
            ("tcp:h:80/x", "invalid literal for int() with base 10: '80/x'"),
            ("tcp:a b:80", "'a b' is not the name or the address of a host"),
            ("unix:run/x", "the path of the socket is not absolute: 'run/x' ("),
            ("unix:", "the path of the socket is not absolute: '' ("),
            ("file:~/x", "the path of the file is not absolute: '~/x' ("),
            ("exec:", "no command follows exec:"),
            ("exec:sh -c 'x", "can't parse command \"sh -c 'x\": No closing quotation"),
            ("log:", "no regular expression follows log:"),
            ("log:(a", "not a regular expression: '(a' ("),
            ("fd:2", "'2' is no descriptor for this (expected a number from 3 to 1023)"),
            ("fd:1024", "'1024' is no descriptor for this (expected "),
            ("fd:x", "'x' is no descriptor for this (expected "),
            ("fd:4", "descriptor 4 is one of the sockets (expected 5 or more)"),
            ("https://h/x -k", "https is not available yet: write ready=exec:curl -fsS https://h/x"),
            ("http:/h", "no host in 'http:/h' (expected http://host[:port]/path)"),
            ("http://", "no host in 'http://' (expected "),
            ("http://:80/", "no host in 'http://:80/' (expected "),
            ("http://u:p@h/", "a name or password, which belongs into header.Authorization, in "),
            ("http://h/#x", "'#', which no path can hold as it is, in "),
            ("http://h/é", "'é', which no path can hold as it is, in "),
            ("http://h:x/", "invalid literal for int() with base 10: 'x'"),
            ("http://h/ x", "unknown option 'x' behind http://h/ (expected status=200-399 or "),
            ("http://h/ status=200-", "invalid status '200-' (expected "),
            ("http://h/ status=300-200", "invalid status '300-200' (expected "),
            ("http://h/ status=99", "invalid status '99' (expected "),
            ("http://h/ status=600", "invalid status '600' (expected "),
            ("http://h/ header.=x", "'' is not the name of a header"),
            ("http://h/ 'header.a b=x'", "'a b' is not the name of a header"),
            ("http://h/ header.Content-Length=1", "the header Content-Length cannot be set: "),
            ("http://h/ header.X='a\u{1}b'", "a control character in the header X"),
            ("http://h/ 'x", "can't parse "),
        ] {
            let error = ready(text, &sockets).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        assert!(health("x").is_err_and(|error| error.starts_with("invalid 'health' value 'x' (expected ")));
        assert!(health("https://h").is_err_and(|error| error.contains("health=exec:curl -fsS https://h")));
    }
}
