//! HTTP by hand: tests must be able to send what no client would.

use super::rpc::{decode, encode};
use super::wait::LONG;
use dxr::{Fault, Value};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longer than anything a daemon may take to answer, shorter than a test may hang.
const PATIENCE: Duration = LONG.saturating_mul(3);

/// A listener of a daemon.
#[derive(Clone, Debug)]
pub enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Address {
    /// A connection with time limits on reading and writing.
    pub fn connect(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
            Address::Tcp(address) => Box::new(limited(TcpStream::connect_timeout(address, PATIENCE)?)?),
        })
    }

    /// Calls an XML-RPC method on a fresh connection.
    ///
    /// # Errors
    /// If there is no well-formed answer. A fault is an answer.
    pub fn call(&self, method: &str, arguments: Vec<Value>) -> io::Result<Result<Value, Fault>> {
        Client::open(self)?.try_call(method, arguments)
    }
}

fn limited(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Both kinds of connection.
pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// The status line and the headers, as sent.
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header, whatever its name's case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// # Panics
    /// Unless the body is UTF-8.
    #[track_caller]
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is UTF-8")
    }
}

/// An XML-RPC request around `body`.
pub fn post(body: &str) -> Vec<u8> {
    format!("POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// Sends `request` as it is on a fresh connection and reads one answer.
///
/// # Errors
/// If nobody listens, or the connection ends before a whole answer.
pub fn http(address: &Address, request: &[u8]) -> io::Result<Response> {
    let mut client = Client::open(address)?;
    client.wire.write_all(request)?;
    client.response()
}

/// The header that every request must have, unless `headers` bring it.
fn host_unless_in(headers: &str) -> &'static str {
    let is_host = |line: &str| line.to_ascii_lowercase().starts_with("host:");
    if headers.lines().any(is_host) { "" } else { "Host: localhost\r\n" }
}

/// A connection that stays open: raw bytes out, answers in.
pub struct Client {
    pub wire: Box<dyn Stream>,
    /// What was read and not yet asked for.
    input: Vec<u8>,
}

impl Client {
    pub fn open(address: &Address) -> io::Result<Client> {
        Ok(Client { wire: address.connect()?, input: Vec::new() })
    }

    /// # Panics
    /// If nobody listens.
    #[track_caller]
    pub fn tcp(address: SocketAddr) -> Client {
        Client::open(&Address::Tcp(address)).unwrap_or_else(|error| panic!("connect to {address}: {error}"))
    }

    /// # Panics
    /// If nobody listens.
    #[track_caller]
    pub fn unix(path: &Path) -> Client {
        let address = Address::Unix(path.to_path_buf());
        Client::open(&address).unwrap_or_else(|error| panic!("connect to {}: {error}", path.display()))
    }

    /// A client on a connection that was made already.
    pub fn over(stream: TcpStream) -> Client {
        Client { wire: Box::new(limited(stream).expect("it is a socket")), input: Vec::new() }
    }

    /// # Panics
    /// If the other side has closed the connection. Where it may, write to `wire`.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.write_all(bytes.as_ref()).expect("the other side reads");
    }

    /// Sends a request without a body and awaits the answer. `headers` are complete lines.
    ///
    /// # Panics
    /// If there is no answer.
    #[track_caller]
    pub fn get(&mut self, target: &str, headers: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\n{}{headers}\r\n", host_unless_in(headers)));
        self.response().expect("an answer")
    }

    /// Sends a request with a body and awaits the answer. `headers` are complete lines.
    ///
    /// # Panics
    /// If there is no answer.
    #[track_caller]
    pub fn post(&mut self, target: &str, headers: &str, body: impl AsRef<[u8]>) -> Response {
        let body = body.as_ref();
        let host = host_unless_in(headers);
        self.send(format!("POST {target} HTTP/1.1\r\n{host}Content-Length: {}\r\n{headers}\r\n", body.len()));
        self.send(body);
        self.response().expect("an answer")
    }

    /// Calls an XML-RPC method.
    ///
    /// # Panics
    /// If there is no well-formed answer. A fault is an answer.
    #[track_caller]
    pub fn call(&mut self, method: &str, arguments: &[Value]) -> Result<Value, Fault> {
        self.try_call(method, arguments.to_vec()).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_call(&mut self, method: &str, arguments: Vec<Value>) -> io::Result<Result<Value, Fault>> {
        self.wire.write_all(&post(&encode(method, arguments)?))?;
        let response = self.response()?;
        if response.status != 200 || response.header("content-type") != Some("text/xml") {
            return Err(io::Error::other(format!("{method} was answered with {}", response.head)));
        }
        decode(&response.text())
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 65536];
        match self.wire.read(&mut buffer)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended within an answer")),
            n_bytes => {
                self.input.extend_from_slice(&buffer[..n_bytes]);
                Ok(())
            }
        }
    }

    fn take(&mut self, n_bytes: usize) -> io::Result<Vec<u8>> {
        while self.input.len() < n_bytes {
            self.fill()?;
        }
        let rest = self.input.split_off(n_bytes);
        Ok(std::mem::replace(&mut self.input, rest))
    }

    /// What stands before `end`, which is taken, too.
    fn take_until(&mut self, end: &[u8]) -> io::Result<String> {
        loop {
            if let Some(at) = self.input.windows(end.len()).position(|window| window == end) {
                let taken = self.take(at + end.len())?;
                return Ok(String::from_utf8_lossy(&taken[..at]).into_owned());
            }
            self.fill()?;
        }
    }

    /// Reads status line and headers.
    pub fn head(&mut self) -> io::Result<Response> {
        let head = self.take_until(b"\r\n\r\n")?;
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("not a status line: {head}")))?;
        Ok(Response { status, head, body: Vec::new() })
    }

    /// The next chunk; empty at the end.
    ///
    /// # Panics
    /// If what comes is no chunk.
    pub fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = self.take_until(b"\r\n")?;
        let length = usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("{line:?}"));
        let chunk = self.take(length)?;
        assert_eq!(self.take(2)?, b"\r\n");
        Ok(chunk)
    }

    /// Reads the next answer.
    pub fn response(&mut self) -> io::Result<Response> {
        let response = self.head()?;
        self.with_body(response)
    }

    /// Reads what belongs to a head: as much as it announces, in one piece or in chunks; else all that comes.
    pub fn with_body(&mut self, mut response: Response) -> io::Result<Response> {
        if response.status == 100 {
            return Ok(response);
        }
        if let Some(length) = response.header("content-length") {
            response.body = self.take(length.parse().map_err(io::Error::other)?)?;
        } else if response.header("transfer-encoding").is_some() {
            loop {
                let chunk = self.chunk()?;
                if chunk.is_empty() {
                    break;
                }
                response.body.extend(chunk);
            }
        } else {
            response.body = self.rest();
        }
        Ok(response)
    }

    /// Fills the buffer, whatever it takes.
    pub fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        buffer.copy_from_slice(&self.take(buffer.len())?);
        Ok(())
    }

    /// Everything until the server closes the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        // A reset after an error counts as the end too.
        while self.fill().is_ok() {}
        std::mem::take(&mut self.input)
    }

    pub fn is_closed(&mut self) -> bool {
        match self.fill() {
            Ok(()) => false,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        }
    }
}
