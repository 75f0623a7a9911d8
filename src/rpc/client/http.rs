//! The part of HTTP/1.1 that a client of one daemon needs: one request, and one answer of known or chunked length or
//! without end.

use crate::rpc::client::Tick;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// The most that a status line and its headers may take.
const MAX_HEAD: usize = 64 << 10;
/// More headers than any daemon sends.
const MAX_HEADERS: usize = 64;
/// The longest line that announces a chunk, extensions included.
const MAX_CHUNK_LINE: usize = 256;

/// Time between two ticks.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// The two kinds of socket a daemon listens on.
pub enum Transport {
    /// A unix socket.
    Unix(UnixStream),
    /// A TCP connection.
    Inet(TcpStream),
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Unix(socket) => socket.read(buffer),
            Transport::Inet(socket) => socket.read(buffer),
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Transport::Unix(socket) => socket.as_fd(),
            Transport::Inet(socket) => socket.as_fd(),
        }
    }
}

/// An open connection on which no answer is being read.
pub struct Connection {
    transport: Transport,
}

/// A complete answer, and the connection it came on.
pub struct Answer {
    /// The status, for example 200.
    pub status: u16,
    /// The text after the status.
    pub reason: String,
    /// The body, without chunk headers.
    pub body: Vec<u8>,
    /// The connection it came over.
    pub connection: Connection,
    /// Whether the connection can carry another request.
    pub reusable: bool,
}

impl Connection {
    /// Wraps a transport over which nothing was sent yet.
    pub fn new(transport: Transport) -> Connection {
        Connection { transport }
    }

    /// Sends a whole request.
    ///
    /// # Errors
    /// What the socket says.
    pub fn send(&mut self, request: &[u8]) -> io::Result<()> {
        match &mut self.transport {
            Transport::Unix(socket) => socket.write_all(request),
            Transport::Inet(socket) => socket.write_all(request),
        }
    }

    /// Reads one whole answer. Its body may have `max_body` bytes, or `max_error_body` if the status is not 200.
    ///
    /// # Errors
    /// `ConnectionAborted` if the daemon closed the connection before the first byte, `UnexpectedEof` if it did so later,
    /// `InvalidData` if the answer is not HTTP or too long, and those of the socket.
    pub fn receive(
        self,
        tick: &mut Option<Tick<'_>>,
        max_body: usize,
        max_error_body: usize,
    ) -> io::Result<Answer> {
        let mut transport = self.transport;
        let mut input = Vec::new();
        let head = read_head(&mut transport, &mut input, tick)?;
        let limit = if head.status == 200 { max_body } else { max_error_body };
        let mut decoder = head.body.clone();
        let mut body = Vec::new();
        let mut ended = decoder.feed(&input, &mut body)?;
        let mut buffer = vec![0; 64 << 10];
        while !ended {
            if body.len() > limit {
                return Err(invalid("the answer is too long"));
            }
            wait_readable(&transport, tick)?;
            ended = match read(&mut transport, &mut buffer)? {
                0 if decoder.may_end_here() => true,
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n_bytes => decoder.feed(&buffer[..n_bytes], &mut body)?,
            };
        }
        let reusable = head.keep_alive && !matches!(head.body, Body::UntilClose);
        Ok(Answer {
            status: head.status,
            reason: head.reason,
            body,
            connection: Connection { transport },
            reusable,
        })
    }

    /// Reads the head of an answer that may never end.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub fn into_stream(self) -> io::Result<Stream> {
        let mut transport = self.transport;
        let mut input = Vec::new();
        let head = read_head(&mut transport, &mut input, &mut None)?;
        Ok(Stream { transport, head, pending: input, ended: false })
    }
}

/// An answer read as it comes.
pub struct Stream {
    transport: Transport,
    head: Head,
    /// Came together with the head.
    pending: Vec<u8>,
    ended: bool,
}

impl Stream {
    /// The status and its reason phrase.
    pub fn status(&self) -> (u16, &str) {
        (self.head.status, &self.head.reason)
    }

    /// Whether there will be no more.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether [`Stream::advance`] has something without reading, so that polling the descriptor would wait in
    /// vain.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Appends what came to `output`. Reads at most once, which waits if the descriptor is not readable.
    ///
    /// # Errors
    /// `InvalidData` if the chunks are not chunks, and what the socket says.
    pub fn advance(&mut self, output: &mut Vec<u8>) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        let mut input = std::mem::take(&mut self.pending);
        if input.is_empty() {
            input.resize(64 << 10, 0);
            let n_bytes = read(&mut self.transport, &mut input)?;
            if n_bytes == 0 {
                self.ended = true;
                return Ok(());
            }
            input.truncate(n_bytes);
        }
        self.ended = self.head.body.feed(&input, output)?;
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport.as_fd()
    }
}

/// What stands before a body.
struct Head {
    status: u16,
    reason: String,
    keep_alive: bool,
    body: Body,
}

/// Reads up to the end of the headers. `input` keeps what came after them.
fn read_head(
    transport: &mut Transport,
    input: &mut Vec<u8>,
    tick: &mut Option<Tick<'_>>,
) -> io::Result<Head> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        wait_readable(transport, tick)?;
        let n_bytes = read(transport, &mut buffer)?;
        if n_bytes == 0 {
            // Told apart, because a request that was not answered at all may be sent again.
            let silent = input.is_empty();
            let kind = if silent { io::ErrorKind::ConnectionAborted } else { io::ErrorKind::UnexpectedEof };
            return Err(kind.into());
        }
        input.extend_from_slice(&buffer[..n_bytes]);
        if let Some((head, n_bytes)) = parse_head(input)? {
            input.drain(..n_bytes);
            return Ok(head);
        }
        if input.len() > MAX_HEAD {
            return Err(invalid("the headers of the answer are too long"));
        }
    }
}

/// The head at the beginning of `input` and its length; `None` if it is not complete.
fn parse_head(input: &[u8]) -> io::Result<Option<(Head, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let n_bytes = match response.parse(input) {
        Ok(httparse::Status::Complete(n_bytes)) => n_bytes,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(invalid("the answer is not HTTP")),
    };
    let value = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.map(|header| String::from_utf8_lossy(header.value).trim().to_ascii_lowercase())
    };
    let body = if value("transfer-encoding").is_some_and(|encoding| encoding.contains("chunked")) {
        Body::chunked()
    } else {
        match value("content-length") {
            Some(length) => {
                Body::Length(length.parse().map_err(|_| invalid("the length of the answer is no number"))?)
            }
            None => Body::UntilClose,
        }
    };
    let keep_alive = match value("connection") {
        Some(words) => !words.contains("close"),
        None => response.version == Some(1),
    };
    let status = response.code.unwrap_or_default();
    let reason = response.reason.unwrap_or_default().to_string();
    Ok(Some((Head { status, reason, keep_alive, body }, n_bytes)))
}

/// What is left of a body.
#[derive(Clone, Debug)]
enum Body {
    Length(u64),
    Chunked(Chunk),
    UntilClose,
}

/// Where in a chunked body we are.
#[derive(Clone, Debug)]
enum Chunk {
    /// In the line that announces a chunk.
    Size(Vec<u8>),
    /// In a chunk of which this much is to come.
    Data(u64),
    /// In the line end behind a chunk: this many bytes of it are to come.
    DataEnd(u8),
    /// In the lines behind the last chunk; holds the length of the current one.
    Trailer(usize),
    End,
}

impl Body {
    fn chunked() -> Body {
        Body::Chunked(Chunk::Size(Vec::new()))
    }

    /// Decodes the next bytes. `true` if the body is complete.
    fn feed(&mut self, input: &[u8], output: &mut Vec<u8>) -> io::Result<bool> {
        match self {
            Body::UntilClose => {
                output.extend_from_slice(input);
                Ok(false)
            }
            Body::Length(left) => {
                output.extend_from_slice(take(input, left).0);
                Ok(*left == 0)
            }
            Body::Chunked(chunk) => feed_chunks(chunk, input, output),
        }
    }

    fn may_end_here(&self) -> bool {
        matches!(self, Body::UntilClose)
    }
}

/// Splits off at most `left` bytes and counts them.
fn take<'i>(input: &'i [u8], left: &mut u64) -> (&'i [u8], &'i [u8]) {
    let n_bytes = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
    *left -= n_bytes as u64;
    input.split_at(n_bytes)
}

fn feed_chunks(chunk: &mut Chunk, mut input: &[u8], output: &mut Vec<u8>) -> io::Result<bool> {
    while let (&[first, ref rest @ ..], false) = (input, matches!(chunk, Chunk::End)) {
        match chunk {
            Chunk::Size(line) => {
                input = rest;
                line.push(first);
                if line.len() > MAX_CHUNK_LINE {
                    return Err(invalid("a chunk of the answer has no length"));
                }
                if first == b'\n' {
                    *chunk = match chunk_size(line)? {
                        0 => Chunk::Trailer(0),
                        size => Chunk::Data(size),
                    };
                }
            }
            Chunk::Data(left) => {
                let (data, rest) = take(input, left);
                input = rest;
                output.extend_from_slice(data);
                if *left == 0 {
                    *chunk = Chunk::DataEnd(2);
                }
            }
            Chunk::DataEnd(left) => {
                input = rest;
                *left -= 1;
                if *left == 0 {
                    *chunk = Chunk::Size(Vec::new());
                }
            }
            Chunk::Trailer(length) => {
                input = rest;
                match first {
                    b'\n' if *length == 0 => *chunk = Chunk::End,
                    b'\n' => *length = 0,
                    b'\r' => {}
                    _ => *length += 1,
                }
            }
            Chunk::End => {}
        }
    }
    Ok(matches!(chunk, Chunk::End))
}

/// The length in a line like `1a;name=value`.
fn chunk_size(line: &[u8]) -> io::Result<u64> {
    let text = String::from_utf8_lossy(line);
    let digits = text.split(';').next().unwrap_or_default().trim();
    u64::from_str_radix(digits, 16).map_err(|_| invalid("a chunk of the answer has no length"))
}

/// Waits until there is something to read, ticking meanwhile.
fn wait_readable(transport: &Transport, tick: &mut Option<Tick<'_>>) -> io::Result<()> {
    let Some(tick) = tick else { return Ok(()) };
    loop {
        let mut fds = [PollFd::new(transport, PollFlags::IN)];
        match poll(&mut fds, Some(&TICK)) {
            Ok(0) => tick(),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(problem) => return Err(problem.into()),
        }
    }
}

/// `read(2)` that a signal does not end.
fn read(transport: &mut Transport, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match transport.read(buffer) {
            Err(problem) if problem.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes a body fed in pieces of `size` bytes.
    fn decode(mut body: Body, input: &[u8], size: usize) -> (Vec<u8>, bool) {
        let mut output = Vec::new();
        let mut ended = false;
        for piece in input.chunks(size) {
            ended = body.feed(piece, &mut output).unwrap();
        }
        (output, ended)
    }

    #[test]
    fn chunks_are_joined_wherever_reads_cut_them() {
        let input = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: 1\r\n\r\n";
        for size in 1..=input.len() {
            assert_eq!(decode(Body::chunked(), input, size), (b"hello world".to_vec(), true), "{size}");
        }
        assert_eq!(decode(Body::chunked(), b"5\r\nhel", 3), (b"hel".to_vec(), false));
    }

    #[test]
    fn a_chunk_without_a_length_is_an_error() {
        assert!(Body::chunked().feed(b"xyz\r\n", &mut Vec::new()).is_err());
        assert!(Body::chunked().feed(&[b'0'; 300], &mut Vec::new()).is_err());
    }

    #[test]
    fn bodies_of_known_length_end_there() {
        assert_eq!(decode(Body::Length(3), b"abcdef", 2), (b"abc".to_vec(), true));
        assert_eq!(decode(Body::Length(9), b"abc", 2), (b"abc".to_vec(), false));
    }

    #[test]
    fn heads_say_how_the_body_ends() {
        let (head, n_bytes) =
            parse_head(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap().unwrap();
        assert_eq!((head.status, head.keep_alive, n_bytes), (200, true, 38));
        assert!(matches!(head.body, Body::Length(5)));
        let (head, _) = parse_head(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n").unwrap().unwrap();
        assert_eq!((head.status, head.reason.as_str(), head.keep_alive), (404, "Not Found", false));
        assert!(matches!(head.body, Body::UntilClose));
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nContent-").unwrap().is_none());
        assert!(parse_head(b"220 ftp ready\r\n\r\n").is_err());
    }
}
