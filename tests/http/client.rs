//! A plain client: raw bytes out, responses in.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use supervisord::rpc::wire::{self, Value, WireFault};

/// How long a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

pub struct Client {
    pub wire: Box<dyn Wire>,
    input: Vec<u8>,
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub minor: u8,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.headers.iter().find(named).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// The header that every request must have, unless `headers` bring it.
fn host_unless_in(headers: &str) -> &'static str {
    let is_host = |line: &str| line.to_ascii_lowercase().starts_with("host:");
    if headers.lines().any(is_host) { "" } else { "Host: localhost\r\n" }
}

impl Client {
    pub fn tcp(address: SocketAddr) -> Client {
        Client::over(TcpStream::connect(address).unwrap())
    }

    /// A client on a connection that was made already.
    pub fn over(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { wire: Box::new(stream), input: Vec::new() }
    }

    pub fn unix(path: &Path) -> Client {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { wire: Box::new(stream), input: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a request without a body and awaits the answer.
    pub fn get(&mut self, target: &str, headers: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\n{}{headers}\r\n", host_unless_in(headers)));
        self.response().unwrap()
    }

    pub fn post(&mut self, target: &str, headers: &str, body: impl AsRef<[u8]>) -> Response {
        let body = body.as_ref();
        let host = host_unless_in(headers);
        self.send(format!("POST {target} HTTP/1.1\r\n{host}Content-Length: {}\r\n{headers}\r\n", body.len()));
        self.send(body);
        self.response().unwrap()
    }

    /// Makes a call.
    pub fn call(&mut self, method: &str, params: &[Value]) -> Result<Value, WireFault> {
        let response = self.post("/RPC2", "Content-Type: text/xml\r\n", wire::encode_call(method, params));
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.header("content-type"), Some("text/xml"));
        wire::decode_response(&response.body).unwrap()
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 65536];
        match self.wire.read(&mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
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

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.input.windows(2).position(|window| window == b"\r\n") {
                let line = self.take(at + 2)?;
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            self.fill()?;
        }
    }

    /// Reads status line and headers.
    pub fn head(&mut self) -> io::Result<Response> {
        let line = self.line()?;
        let status = line[9..12].parse().unwrap_or_else(|_| panic!("{line:?}"));
        let minor = line.as_bytes()[7] - b'0';
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Response { status, minor, headers, body: Vec::new() });
            }
            let (name, value) = line.split_once(": ").unwrap();
            headers.push((name.to_string(), value.to_string()));
        }
    }

    /// The next chunk; empty at the end.
    pub fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = self.line()?;
        let length = usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("{line:?}"));
        let chunk = self.take(length)?;
        assert_eq!(self.take(2)?, b"\r\n");
        Ok(chunk)
    }

    /// Reads the next answer.
    pub fn response(&mut self) -> io::Result<Response> {
        let mut response = self.head()?;
        if response.status == 100 {
            return Ok(response);
        }
        if let Some(length) = response.header("content-length") {
            response.body = self.take(length.parse().unwrap())?;
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
