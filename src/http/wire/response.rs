//! Answers: a status, headers, and a body.

use crate::http::api::{EventStream, LogEvents};
use crate::http::guard::budget::Share;
use crate::http::live::follow::Follower;
use crate::rpc::server::logs::LogSlice;
use crate::rpc::server::reply::Document;
use std::io;

/// An answer to be sent.
#[derive(Debug)]
pub(crate) struct Response {
    pub status: u16,
    headers: Vec<(&'static str, String)>,
    pub body: Body,
    /// The share of the memory budget, if the body is large.
    _share: Option<Share>,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    Whole(Vec<u8>),
    /// The answer to an XML-RPC call. A part of it may still be in a log file.
    Document(Document),
    /// Part of a log, byte for byte.
    Log(LogSlice),
    /// A stream that ends when the client leaves.
    Live(Box<Live>),
}

/// A stream.
#[derive(Debug)]
pub(crate) enum Live {
    Log(Follower),
    LogEvents(LogEvents),
    Events(EventStream),
}

impl Body {
    /// How many descriptors it holds besides the connection.
    pub(crate) fn n_descriptors(&self) -> usize {
        let has_file = match self {
            Body::Whole(_) => false,
            Body::Document(document) => document.holds_file(),
            Body::Log(log) => log.holds_file(),
            Body::Live(live) => match &**live {
                Live::Log(follower) => follower.holds_file(),
                Live::LogEvents(events) => events.holds_file(),
                Live::Events(_) => false,
            },
        };
        usize::from(has_file)
    }
}

impl Live {
    /// Waits for the next piece.
    ///
    /// # Errors
    /// If a log cannot be read, or the daemon ends.
    pub(crate) async fn next(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Live::Log(follower) => follower.next().await,
            Live::LogEvents(events) => events.next().await,
            Live::Events(events) => events.next().await,
        }
    }
}

/// Whether the connection stays open after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    Keep,
    Close,
}

impl Response {
    pub(crate) fn new(status: u16, content_type: &str, body: Body) -> Response {
        let headers = vec![("Content-Type", content_type.to_string())];
        Response { status, headers, body, _share: None }
    }

    /// Holds the share of the memory budget until the body has been sent.
    pub(crate) fn with_share(self, share: Option<Share>) -> Response {
        Response { _share: share, ..self }
    }

    /// An error page with the text of Supervisor's.
    pub(crate) fn error(status: u16) -> Response {
        let message = tiny_http::StatusCode(status).default_reason_phrase();
        let page = format!(
            "<head>\r\n<title>Error response</title>\r\n</head>\r\n<body>\r\n<h1>Error response</h1>\r\n<p>Error \
             code {status}.\r\n<p>Message: {message}.\r\n</body>\r\n"
        );
        let response = Response::new(status, "text/html", Body::Whole(page.into_bytes())).private();
        if status == 503 { response.later() } else { response }
    }

    /// Asks the client to try again in a second.
    pub(crate) fn later(self) -> Response {
        self.with_header("Retry-After", "1")
    }

    /// Adds the headers that forbid storing the answer, and using it in pages of other sites.
    pub(crate) fn private(self) -> Response {
        self.guarded().ours().with_header("Cache-Control", "no-store")
    }

    /// Adds the headers that keep other sites from using the answer, and from learning that it was requested.
    pub(crate) fn ours(self) -> Response {
        self.with_header("Referrer-Policy", "no-referrer")
            .with_header("Cross-Origin-Resource-Policy", "same-origin")
    }

    /// Adds the headers that forbid scripts, frames, and guessing the content type.
    pub(crate) fn guarded(self) -> Response {
        self.with_header("X-Content-Type-Options", "nosniff")
            .with_header("X-Frame-Options", "DENY")
            .with_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Response {
        self.headers.push((name, value.into()));
        self
    }

    /// The bytes of the head. `length` is that of the body. If it is not known (`None`), the body is chunked in HTTP/1.1 and
    /// ends with the connection in HTTP/1.0.
    pub(crate) fn head(&self, minor: u8, length: Option<usize>, persistence: Persistence) -> Vec<u8> {
        // The body is never given to tiny_http; an unknown length makes it announce chunks.
        let mut response = tiny_http::Response::new(
            tiny_http::StatusCode(self.status),
            Vec::new(),
            io::empty(),
            if minor == 0 { Some(length.unwrap_or(0)) } else { length },
            None,
        )
        .with_chunked_threshold(usize::MAX);
        let ours = ("Server", concat!("supervisord/", env!("CARGO_PKG_VERSION")).to_string());
        for (name, value) in self.headers.iter().chain([&ours]) {
            // Whatever is not ASCII has no place in a header and is left out.
            if let Ok(header) = tiny_http::Header::from_bytes(name.as_bytes(), value.as_bytes()) {
                response.add_header(header);
            }
        }
        let mut head = Vec::with_capacity(512);
        let version = tiny_http::HTTPVersion(1, minor);
        // Writing into memory cannot fail.
        let _ = response.raw_print(&mut head, version, &[], true, None);
        if minor == 0 && length.is_none() {
            remove_length(&mut head);
        }
        announce(&mut head, minor, persistence);
        head
    }
}

/// Removes the length that tiny_http adds to every answer in HTTP/1.0.
fn remove_length(head: &mut Vec<u8>) {
    const LINE: &[u8] = b"Content-Length: 0\r\n";
    if let Some(at) = head.windows(LINE.len()).position(|window| window == LINE) {
        head.drain(at..at + LINE.len());
    }
}

/// Adds the header `Connection` unless the version implies it. tiny_http drops such a header, so it is inserted before the empty
/// line.
fn announce(head: &mut Vec<u8>, minor: u8, persistence: Persistence) {
    let line = match (minor, persistence) {
        (0, Persistence::Keep) => "Connection: keep-alive\r\n\r\n",
        (1.., Persistence::Close) => "Connection: close\r\n\r\n",
        _ => return,
    };
    head.truncate(head.len() - 2);
    head.extend_from_slice(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(minor: u8, length: Option<usize>, persistence: Persistence) -> Vec<String> {
        let response = Response::new(200, "text/xml", Body::Whole(Vec::new()));
        let head = String::from_utf8(response.head(minor, length, persistence)).unwrap();
        assert!(head.ends_with("\r\n\r\n"));
        head.split("\r\n")
            .filter(|line| !line.is_empty() && !line.starts_with("Date: "))
            .map(str::to_string)
            .collect()
    }

    #[test]
    fn heads_say_how_the_body_ends_and_what_becomes_of_the_connection() {
        let server = concat!("Server: supervisord/", env!("CARGO_PKG_VERSION"));
        let kind = "Content-Type: text/xml";
        for (minor, length, persistence, expected) in [
            (1, Some(5), Persistence::Keep, vec!["HTTP/1.1 200 OK", kind, server, "Content-Length: 5"]),
            (
                1,
                None,
                Persistence::Close,
                vec!["HTTP/1.1 200 OK", kind, server, "Transfer-Encoding: chunked", "Connection: close"],
            ),
            (
                0,
                Some(0),
                Persistence::Keep,
                vec!["HTTP/1.0 200 OK", kind, server, "Content-Length: 0", "Connection: keep-alive"],
            ),
            (0, None, Persistence::Close, vec!["HTTP/1.0 200 OK", kind, server]),
        ] {
            assert_eq!(lines(minor, length, persistence), expected);
        }
    }

    #[test]
    fn error_pages_have_the_original_length() {
        for (status, length) in [(400, 136), (401, 137), (404, 134), (411, 140), (500, 146)] {
            match Response::error(status).body {
                Body::Whole(page) => assert_eq!(page.len(), length, "{status}"),
                body => panic!("{body:?}"),
            }
        }
    }
}
