//! Parses the heads of requests, strictly.
//!
//! An ambiguous request is refused, and its connection is closed. If a proxy and we disagree on where a request ends, requests
//! can be smuggled.

/// The longest head that is accepted, in bytes.
pub(crate) const HEAD_MAX: usize = 16 << 10;

/// The most header lines that are accepted.
const HEADERS_MAX: usize = 64;

/// The longest body that is accepted, in bytes.
pub(crate) const BODY_MAX: u64 = 8 << 20;

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    /// 0 or 1: the version is HTTP/1.0 or HTTP/1.1.
    pub minor: u8,
    headers: Vec<(String, String)>,
}

/// How the body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body: the head has no length.
    Absent,
    Length(u64),
    Chunked,
}

/// The status with which a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub u16);

pub(crate) const BAD_REQUEST: Refusal = Refusal(400);
pub(crate) const TIMEOUT: Refusal = Refusal(408);
pub(crate) const TOO_LARGE: Refusal = Refusal(413);
const EXPECTATION_FAILED: Refusal = Refusal(417);
const HEAD_TOO_LARGE: Refusal = Refusal(431);
const NOT_IMPLEMENTED: Refusal = Refusal(501);

/// Headers that decide something and have one value. If a request has two of them, two readers may decide differently.
const AT_MOST_ONCE: [&str; 7] = [
    "authorization",
    "content-type",
    "expect",
    "host",
    "origin",
    "sec-fetch-site",
    crate::http::guard::token::HEADER,
];
pub(crate) const UNAVAILABLE: Refusal = Refusal(503);
const VERSION_NOT_SUPPORTED: Refusal = Refusal(505);

impl Head {
    /// Parses a head at the beginning of `bytes`. Returns the head and its length in bytes, or `None` if it is incomplete.
    ///
    /// # Errors
    /// If the head is malformed or too long.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Refusal> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let length = match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => return Ok(None),
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                return Err(HEAD_TOO_LARGE);
            }
            Err(httparse::Error::Version) => return Err(version_refusal(bytes)),
            Err(_) => return Err(BAD_REQUEST),
        };
        if length > HEAD_MAX {
            return Err(HEAD_TOO_LARGE);
        }
        if has_bare_line_feed(&bytes[..length]) {
            return Err(BAD_REQUEST);
        }
        let headers = request.headers.iter().map(owned).collect::<Result<_, _>>()?;
        let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
        else {
            // Complete heads have all three.
            return Err(BAD_REQUEST);
        };
        Ok(Some((Head { method: method.to_string(), target: target.to_string(), minor, headers }, length)))
    }

    /// The first value of a header.
    pub(crate) fn header(&self, name: &'static str) -> Option<&str> {
        self.values(name).next()
    }

    /// All values of a header, one for each line.
    pub(crate) fn values(&self, name: &'static str) -> impl Iterator<Item = &str> {
        let named = move |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.headers.iter().filter(named).map(|(_, value)| value.as_str())
    }

    /// Checks that no deciding header is repeated, and that there is a `Host` if there must be one (RFC 9112, 3.2).
    ///
    /// # Errors
    /// If one is repeated or missing.
    pub(crate) fn check_unambiguous(&self) -> Result<(), Refusal> {
        let is_repeated = |name: &&'static str| self.values(name).nth(1).is_some();
        let is_nameless = self.minor > 0 && self.header("host").is_none();
        if is_nameless || AT_MOST_ONCE.iter().any(is_repeated) { Err(BAD_REQUEST) } else { Ok(()) }
    }

    /// Whether one of the options of `Connection` is this one.
    fn has_connection_option(&self, option: &str) -> bool {
        self.values("connection")
            .flat_map(|value| value.split(','))
            .any(|sent| sent.trim().eq_ignore_ascii_case(option))
    }

    /// Whether the client wants to keep the connection.
    pub(crate) fn wants_keep_alive(&self) -> bool {
        match self.minor {
            0 => self.has_connection_option("keep-alive") && !self.has_connection_option("close"),
            _ => !self.has_connection_option("close"),
        }
    }

    /// How the body is delimited (RFC 9112, 6.3).
    ///
    /// # Errors
    /// If the headers are ambiguous, or the declared length is too large.
    pub(crate) fn framing(&self) -> Result<Framing, Refusal> {
        let encodings: Vec<&str> = self.values("transfer-encoding").collect();
        let lengths: Vec<&str> = self.values("content-length").collect();
        match (encodings.as_slice(), lengths.as_slice()) {
            ([], []) => Ok(Framing::Absent),
            ([], lengths) => length(lengths),
            ([encoding], []) if encoding.trim().eq_ignore_ascii_case("chunked") && self.minor > 0 => {
                Ok(Framing::Chunked)
            }
            ([_, ..], []) if self.minor > 0 => Err(NOT_IMPLEMENTED),
            _ => Err(BAD_REQUEST),
        }
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    ///
    /// # Errors
    /// If the client expects anything else.
    pub(crate) fn expects_continue(&self) -> Result<bool, Refusal> {
        match self.header("expect") {
            None => Ok(false),
            // Nothing was specified for 1.0 (RFC 9110, 10.1.1).
            Some(_) if self.minor == 0 => Ok(false),
            Some(value) if value.eq_ignore_ascii_case("100-continue") => Ok(true),
            Some(_) => Err(EXPECTATION_FAILED),
        }
    }

    /// The path without the query.
    pub(crate) fn path(&self) -> &str {
        self.target.split(['?', '#']).next().unwrap_or_default()
    }
}

/// Whether a line ends without a carriage return. Other readers may not end the line there (RFC 9112, 2.2), nor does
/// Supervisor. Line breaks at the beginning of `bytes` are skipped.
pub(crate) fn has_bare_line_feed(bytes: &[u8]) -> bool {
    let begin = bytes.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(bytes.len());
    let lines = &bytes[begin..];
    lines.iter().enumerate().any(|(at, byte)| *byte == b'\n' && (at == 0 || lines[at - 1] != b'\r'))
}

fn owned(header: &httparse::Header<'_>) -> Result<(String, String), Refusal> {
    let value = std::str::from_utf8(header.value).map_err(|_| BAD_REQUEST)?;
    Ok((header.name.to_string(), value.to_string()))
}

/// The refusal of an unknown version, or of something that is no version.
fn version_refusal(bytes: &[u8]) -> Refusal {
    let line =
        bytes.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    let version = line.trim_ascii().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let digits = version.strip_prefix(b"HTTP/");
    match digits {
        Some([b'0'..=b'9', b'.', b'0'..=b'9']) => VERSION_NOT_SUPPORTED,
        _ => BAD_REQUEST,
    }
}

/// The declared length. Only digits are accepted, and repeated values must be equal.
fn length(values: &[&str]) -> Result<Framing, Refusal> {
    let mut declared = values.iter().flat_map(|value| value.split(',')).map(str::trim);
    let first = declared.next().unwrap_or_default();
    if first.is_empty()
        || !first.bytes().all(|byte| byte.is_ascii_digit())
        || declared.any(|next| next != first)
    {
        return Err(BAD_REQUEST);
    }
    // Digits only: what does not fit is too large.
    match first.parse::<u64>() {
        Ok(length) if length <= BODY_MAX => Ok(Framing::Length(length)),
        _ => Err(TOO_LARGE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<(Head, usize)>, Refusal> {
        Head::parse(text.as_bytes())
    }

    fn with_headers(headers: &str) -> Head {
        parse(&format!("POST /RPC2 HTTP/1.1\r\n{headers}\r\n")).unwrap().unwrap().0
    }

    #[test]
    fn heads_are_read_and_the_rest_left() {
        let text = "\r\nGET /a?b HTTP/1.0\r\nHost:x\r\n\r\nrest";
        let (head, length) = parse(text).unwrap().unwrap();
        assert_eq!((head.method.as_str(), head.path(), head.minor), ("GET", "/a", 0));
        assert_eq!(head.header("HOST"), Some("x"));
        assert_eq!(&text[length..], "rest");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (text, expected) in [
            ("GET / HTTP/2.0\r\n\r\n", VERSION_NOT_SUPPORTED),
            ("GET / HTTP/1.2\r\n\r\n", VERSION_NOT_SUPPORTED),
            ("GET / FTP/1.1\r\n\r\n", BAD_REQUEST),
            ("GET /\r\n\r\n", BAD_REQUEST),
            ("\x16\x03\x01\x02\x00\x01", BAD_REQUEST),
            ("GET / HTTP/1.1\r\nno colon\r\n\r\n", BAD_REQUEST),
            ("GET / HTTP/1.1\r\nA : b\r\n\r\n", BAD_REQUEST),
            ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", BAD_REQUEST),
            ("GET / HTTP/1.1\nA: b\r\n\r\n", BAD_REQUEST),
            ("GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", BAD_REQUEST),
            ("GET / HTTP/1.1\r\nA: b\r\n\n", BAD_REQUEST),
            ("GET / HTTP/1.1\r\nA: b\n\n", BAD_REQUEST),
        ] {
            assert_eq!(parse(text), Err(expected), "{text:?}");
        }
        assert_eq!(Head::parse(b"GET / HTTP/1.1\r\nA: \xff\r\n\r\n"), Err(BAD_REQUEST));
        assert_eq!(parse("GET / HT"), Ok(None));
    }

    #[test]
    fn heads_are_bounded() {
        let long_line = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(HEAD_MAX));
        let many_lines = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1));
        for text in [&long_line, &long_line[..HEAD_MAX], &many_lines] {
            assert_eq!(parse(text), Err(HEAD_TOO_LARGE));
        }
    }

    #[test]
    fn what_decides_is_said_once() {
        for (version, headers, expected) in [
            (1, "Host: x\r\n", Ok(())),
            // What Supervisor's own client sends for a unix socket.
            (1, "Host: \r\n", Ok(())),
            (1, "Host: x\r\nCookie: a\r\nCookie: b\r\n", Ok(())),
            (0, "", Ok(())),
            (1, "", Err(BAD_REQUEST)),
            (1, "Host: x\r\nHost: x\r\n", Err(BAD_REQUEST)),
            (1, "Host: x\r\nhost: y\r\n", Err(BAD_REQUEST)),
            (0, "Host: x\r\nHost: y\r\n", Err(BAD_REQUEST)),
            (1, "Host: x\r\nAuthorization: Basic a\r\nAuthorization: Basic b\r\n", Err(BAD_REQUEST)),
            (1, "Host: x\r\nOrigin: a\r\nOrigin: b\r\n", Err(BAD_REQUEST)),
            (1, "Host: x\r\nX-Supervisord-Token: a\r\nX-Supervisord-Token: b\r\n", Err(BAD_REQUEST)),
        ] {
            let head = parse(&format!("GET / HTTP/1.{version}\r\n{headers}\r\n")).unwrap().unwrap().0;
            assert_eq!(head.check_unambiguous(), expected, "{version} {headers:?}");
        }
    }

    #[test]
    fn bodies_are_delimited_beyond_doubt_or_not_at_all() {
        for (headers, expected) in [
            ("", Ok(Framing::Absent)),
            ("Content-Length: 5\r\n", Ok(Framing::Length(5))),
            ("content-length:5\r\n", Ok(Framing::Length(5))),
            ("Content-Length: 5, 5\r\n", Ok(Framing::Length(5))),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Ok(Framing::Length(5))),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", Err(BAD_REQUEST)),
            ("Content-Length: 5, 6\r\n", Err(BAD_REQUEST)),
            ("Content-Length: -5\r\n", Err(BAD_REQUEST)),
            ("Content-Length: +5\r\n", Err(BAD_REQUEST)),
            ("Content-Length: 0x5\r\n", Err(BAD_REQUEST)),
            ("Content-Length:\r\n", Err(BAD_REQUEST)),
            ("Content-Length: 100000000000\r\n", Err(TOO_LARGE)),
            ("Content-Length: 99999999999999999999999999\r\n", Err(TOO_LARGE)),
            ("Transfer-Encoding: Chunked\r\n", Ok(Framing::Chunked)),
            ("Transfer-Encoding: gzip\r\n", Err(NOT_IMPLEMENTED)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(NOT_IMPLEMENTED)),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(NOT_IMPLEMENTED)),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Err(BAD_REQUEST)),
            ("Transfer-Encoding: x\r\nContent-Length: 5\r\n", Err(BAD_REQUEST)),
        ] {
            assert_eq!(with_headers(headers).framing(), expected, "{headers:?}");
        }
        let old = parse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap().unwrap().0;
        assert_eq!(old.framing(), Err(BAD_REQUEST));
    }

    #[test]
    fn connections_stay_as_the_version_says() {
        for (line, headers, expected) in [
            ("HTTP/1.1", "", true),
            ("HTTP/1.1", "Connection: Close\r\n", false),
            ("HTTP/1.1", "Connection: TE, close\r\n", false),
            ("HTTP/1.0", "", false),
            ("HTTP/1.0", "Connection: Keep-Alive\r\n", true),
            ("HTTP/1.0", "Connection: keep-alive, close\r\n", false),
        ] {
            let (head, _) = parse(&format!("GET / {line}\r\n{headers}\r\n")).unwrap().unwrap();
            assert_eq!(head.wants_keep_alive(), expected, "{line} {headers:?}");
        }
    }

    #[test]
    fn only_one_expectation_can_be_met() {
        assert_eq!(with_headers("").expects_continue(), Ok(false));
        assert_eq!(with_headers("Expect: 100-Continue\r\n").expects_continue(), Ok(true));
        assert_eq!(with_headers("Expect: tea\r\n").expects_continue(), Err(EXPECTATION_FAILED));
    }
}
