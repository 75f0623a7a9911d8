//! Asks for a page and looks at the status of the answer.

use crate::model::probe::HttpProbe;
use crate::probe::network::{connect, told};
use crate::rt::Async;
use futures_lite::AsyncWriteExt;
use std::fmt::Write;
use std::io::{ErrorKind, Read};
use std::net::{Ipv6Addr, TcpStream};
use std::time::Duration;

/// Longer heads of answers are not read.
const LONGEST_HEAD: usize = 16 << 10;

/// More fields of a head are not taken apart.
const MOST_FIELDS: usize = 128;

/// So much of what follows the head is read, and so long is waited for it.
const LONGEST_REST: u64 = 64 << 10;
pub(super) const REST_COMES: Duration = Duration::from_millis(200);

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    stream: Async<TcpStream>,
    status: u16,
    /// How much follows, as far as it is known.
    rest: Option<u64>,
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    n_bytes: usize,
    content_length: Option<u64>,
}

/// Asks, and waits for the head of the answer. Redirections are not followed.
pub(super) async fn ask(probe: &HttpProbe) -> Result<Answer, String> {
    let request = request(probe)?;
    let stream = connect(&probe.host, probe.port).await?;
    match (&stream).write_all(request.as_bytes()).await {
        // Who answers before everything was read has answered.
        Err(error) if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
            return Err(told(&error));
        }
        _ => {}
    }
    let mut bytes = Vec::new();
    loop {
        while let Some(head) = parse(&bytes)? {
            bytes.drain(..head.n_bytes);
            // What comes before the answer proper, such as 103.
            if !(100..200).contains(&head.status) || head.status == 101 {
                let rest = head.content_length.map(|length| length.saturating_sub(bytes.len() as u64));
                return Ok(Answer { stream, status: head.status, rest });
            }
        }
        if bytes.len() >= LONGEST_HEAD {
            return Err(format!("the head of the answer is longer than {} KiB", LONGEST_HEAD >> 10));
        }
        let mut piece = [0; 2048];
        let room = piece.len().min(LONGEST_HEAD - bytes.len());
        match stream.read_with(|mut stream| stream.read(&mut piece[..room])).await {
            Ok(0) if bytes.is_empty() => {
                return Err("the connection was closed without an answer".to_string());
            }
            Ok(0) => return Err("the answer ends before its head does".to_string()),
            Ok(n_bytes) => bytes.extend_from_slice(&piece[..n_bytes]),
            Err(error) => return Err(told(&error)),
        }
    }
}

impl Answer {
    /// Lets the rest of a short answer come, and forgets it: a server whose answer is cut off logs an error.
    pub(super) async fn hear_out(&self) -> Result<(), String> {
        let mut left = self.rest.unwrap_or(LONGEST_REST);
        let mut piece = [0; 2048];
        while (1..=LONGEST_REST).contains(&left) {
            match self.stream.read_with(|mut stream| stream.read(&mut piece)).await {
                Ok(0) | Err(_) => break,
                Ok(n_bytes) => left = left.saturating_sub(n_bytes as u64),
            }
        }
        Ok(())
    }

    /// Whether the status is one of those that are good.
    pub(super) fn judge(&self, probe: &HttpProbe) -> Result<(), String> {
        let status = self.status;
        if probe.status.iter().any(|(first, last)| (*first..=*last).contains(&status)) {
            return Ok(());
        }
        let ranges: Vec<String> = probe.status.iter().map(range).collect();
        Err(format!("status {status}, expected {}", ranges.join(", ")))
    }
}

fn range((first, last): &(u16, u16)) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// The head at the beginning of what has come; `None` if it is not complete.
fn parse(bytes: &[u8]) -> Result<Option<Head>, String> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    // What a browser puts up with says nothing against a server.
    let mut config = httparse::ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true);
    config.allow_obsolete_multiline_headers_in_responses(true);
    config.ignore_invalid_headers_in_responses(true);
    match config.parse_response(&mut response, bytes) {
        Ok(httparse::Status::Partial) => Ok(None),
        Ok(httparse::Status::Complete(n_bytes)) => {
            let length = response.headers.iter().find(|it| it.name.eq_ignore_ascii_case("content-length"));
            let length = length.and_then(|it| std::str::from_utf8(it.value).ok()?.trim().parse().ok());
            let has_none = matches!(response.code, Some(204 | 304));
            let content_length = if has_none { Some(0) } else { length };
            Ok(response.code.map(|status| Head { status, n_bytes, content_length }))
        }
        // The status was read before them.
        Err(httparse::Error::TooManyHeaders) => {
            let n_bytes = bytes.len();
            Ok(response.code.map(|status| Head { status, n_bytes, content_length: None }))
        }
        Err(_) => Err("the answer is not HTTP".to_string()),
    }
}

/// The request. Fields that are written replace ours of the same name.
fn request(probe: &HttpProbe) -> Result<String, String> {
    let is_v6 = probe.host.parse::<Ipv6Addr>().is_ok();
    let host = if is_v6 { format!("[{}]", probe.host) } else { probe.host.clone() };
    let host = if probe.port == 80 { host } else { format!("{host}:{}", probe.port) };
    let ours =
        [("Host", host.as_str()), ("User-Agent", "supervisord"), ("Accept", "*/*"), ("Connection", "close")];
    let is_replaced = |name: &str| probe.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    let mut request = format!("GET {} HTTP/1.1\r\n", encoded(&probe.path));
    let ours = ours.into_iter().filter(|(name, _)| !is_replaced(name));
    let theirs = probe.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in ours.chain(theirs) {
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() && c != ':');
        if !is_name || value.contains(['\r', '\n', '\0']) {
            return Err(format!("the header {name:?} cannot be sent: it is no name, or has several lines"));
        }
        // Writing to a String cannot fail.
        let _ = write!(request, "{name}: {value}\r\n");
    }
    request.push_str("\r\n");
    Ok(request)
}

/// A path as it can stand in a request: what would end it is encoded.
fn encoded(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        encoded.push('/');
    }
    for byte in path.bytes() {
        if byte.is_ascii_graphic() {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(host: &str, port: u16, headers: &[(&str, &str)]) -> HttpProbe {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let (host, path) = (host.to_string(), "/health?full=1".to_string());
        HttpProbe { host, port, path, status: vec![(200, 399)], headers }
    }

    #[test]
    fn requests_are_whole_and_hold_nothing_else() {
        assert_eq!(
            request(&probe("127.0.0.1", 8080, &[])).unwrap(),
            "GET /health?full=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: supervisord\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n"
        );
        let with = request(&probe("::1", 80, &[("X-Token", "a: b"), ("user-agent", "mine")])).unwrap();
        assert!(
            with.contains("Host: [::1]\r\n") && with.ends_with("X-Token: a: b\r\nuser-agent: mine\r\n\r\n")
        );
        assert!(!with.contains("User-Agent"));
        let host = request(&probe("::1", 81, &[("host", "example.org")])).unwrap();
        assert!(host.contains("host: example.org\r\n") && !host.contains("[::1]"));
        for bad in [("X", "a\r\nY: b"), ("X\r\nY", "b"), ("X Y", "b"), ("X:", "b"), ("", "b"), ("X", "\0")] {
            let error = request(&probe("h", 80, &[bad])).unwrap_err();
            assert!(error.contains("cannot be sent"), "{error}");
        }
        assert_eq!(encoded("/a b\r\nX: ü"), "/a%20b%0D%0AX:%20%C3%BC");
        assert_eq!(encoded("a"), "/a");
    }

    #[test]
    fn heads_are_read_as_far_as_they_go() {
        for (text, expected) in [
            ("", Ok(None)),
            ("HTTP/1.1 200 OK\r\n", Ok(None)),
            ("HTTP/1.1 200 OK\r\nA: b\r\n", Ok(None)),
            ("HTTP/1.1 200 OK\r\n\r\nbody", Ok(Some((200, "body", None)))),
            ("HTTP/1.0 503\r\nContent-Length: 7\r\n\r\n", Ok(Some((503, "", Some(7))))),
            ("HTTP/1.1 204 No\r\nContent-Length: 7\r\n\r\n", Ok(Some((204, "", Some(0))))),
            ("HTTP/1.1 200 OK\n\n", Ok(Some((200, "", None)))),
            // What some servers write is no reason to call them ill.
            ("HTTP/1.1 200 OK\r\nA : b\r\nno field at all\r\n\r\n", Ok(Some((200, "", None)))),
            ("SSH-2.0-OpenSSH_9.2\r\n", Err("the answer is not HTTP")),
            ("\x15\x03\x01", Err("the answer is not HTTP")),
            ("HTTP/1.1 abc\r\n\r\n", Err("the answer is not HTTP")),
        ] {
            let found = parse(text.as_bytes())
                .map(|head| head.map(|it| (it.status, &text[it.n_bytes..], it.content_length)));
            assert_eq!(found, expected.map_err(str::to_string), "{text:?}");
        }
        let many = format!("HTTP/1.1 418 T\r\n{}", "A: b\r\n".repeat(MOST_FIELDS + 2));
        assert_eq!(parse(many.as_bytes()).unwrap().map(|head| head.status), Some(418));
    }
}
