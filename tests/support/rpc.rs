//! HTTP and XML-RPC by hand: tests must be able to send what no client would.

use dxr::{Fault, FaultResponse, MethodCall, MethodResponse, TryFromValue, Value};
use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// A listener of a daemon.
#[derive(Clone, Debug)]
pub enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// The status line and the headers, as sent.
    pub head: String,
    pub body: String,
}

/// Longer than anything a daemon may take to answer, shorter than a test may hang.
const PATIENCE: Duration = Duration::from_secs(60);

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
            Address::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, PATIENCE)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
        })
    }

    /// Calls an XML-RPC method.
    ///
    /// # Errors
    /// If there is no well-formed answer. A fault is an answer.
    pub fn call(&self, method: &str, arguments: Vec<Value>) -> io::Result<Result<Value, Fault>> {
        let call = MethodCall { name: Cow::Borrowed(method), params: arguments };
        let body = call.to_xml().map_err(io::Error::other)?;
        let reply = http(self, &post(&body))?;
        if reply.status != 200 {
            return Err(io::Error::other(format!("{method} was answered with {}", reply.head)));
        }
        decode(&reply.body)
    }
}

fn decode(body: &str) -> io::Result<Result<Value, Fault>> {
    if let Ok(response) = MethodResponse::from_xml(body) {
        return Ok(Ok(response.value));
    }
    Ok(Err(FaultResponse::from_xml(body).map_err(io::Error::other)?.fault))
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
pub fn http(address: &Address, request: &[u8]) -> io::Result<Reply> {
    let mut connection = Connection::open(address)?;
    connection.send(request)?;
    connection.reply()
}

/// Both kinds of connection.
pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A connection that stays open, and what was read from it but not yet asked for.
pub struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(address: &Address) -> io::Result<Connection> {
        Ok(Connection { stream: address.connect()?, buffer: Vec::new() })
    }

    pub fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request)
    }

    /// Reads one answer: the head, and as much body as `Content-Length` announces.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let n_head = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.read_some()?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..n_head]).trim_end().to_string();
        let n_body = header(&head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0_usize);
        while self.buffer.len() < n_head + n_body {
            self.read_some()?;
        }
        let body = String::from_utf8_lossy(&self.buffer[n_head..n_head + n_body]).into_owned();
        self.buffer.drain(..n_head + n_body);
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("not a status line: {head}")))?;
        Ok(Reply { status, head, body })
    }

    fn read_some(&mut self) -> io::Result<()> {
        let mut chunk = [0; 65536];
        match self.stream.read(&mut chunk)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended within an answer")),
            n_bytes => {
                self.buffer.extend_from_slice(&chunk[..n_bytes]);
                Ok(())
            }
        }
    }
}

/// The value of a header, whose name is given in lower case.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// A member of a struct.
///
/// # Panics
/// If `value` is not a struct with that member of that type.
#[track_caller]
pub fn member<T: TryFromValue>(value: &Value, name: &str) -> T {
    let members = std::collections::HashMap::<String, Value>::try_from_value(value).expect("a struct");
    let value = members.get(name).unwrap_or_else(|| panic!("a member {name} in {members:?}"));
    T::try_from_value(value).unwrap_or_else(|error| panic!("member {name}: {error}"))
}

/// A string as an argument.
pub fn text(text: &str) -> Value {
    Value::String(text.to_string())
}

/// A boolean as an argument.
pub fn flag(flag: bool) -> Value {
    Value::Boolean(flag)
}

/// Different ports of 127.0.0.1 that were free a moment ago.
pub fn free_ports<const N: usize>() -> [u16; N] {
    // All are held until the last is known, so that they differ.
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("there is a free port"));
    listeners.map(|listener| listener.local_addr().expect("it is bound").port())
}
