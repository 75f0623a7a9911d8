//! The client's side of XML-RPC: calls to one daemon over TCP or a unix socket.
//!
//! Blocking and single-threaded. Several calls can still be under way at the same time: [`Client::post`] sends a call
//! on a connection of its own and returns a [`Pending`] answer. A caller can post many calls and then collect the
//! answers in the order in which it shows them.

pub mod endpoint;
pub mod http;

use crate::model::fault::FaultCode;
use crate::rpc::client::endpoint::Endpoint;
use crate::rpc::client::http::{Answer, Connection, Stream};
use crate::rpc::wire::{self, Value, WireFault};
use base64::Engine;
use std::fmt;
use std::io;

/// The longest body of an answer, in bytes: enough for a whole log, and a faulty daemon cannot fill the client's memory.
const MAX_ANSWER: usize = 512 << 20;

/// The longest body of an answer that is not a success, in bytes.
const MAX_ERROR_BODY: usize = 64 << 10;

/// A function that is called about five times a second while the client waits for an answer.
pub type Tick<'a> = &'a mut dyn FnMut();

/// Why a call has no result.
#[derive(Debug)]
pub enum CallError {
    /// The connection could not be made. The kind of the error says whether no daemon listens (`NotFound`,
    /// `ConnectionRefused`) or this user may not connect (`PermissionDenied`).
    Connect(io::Error),
    /// The host name has no address.
    Resolve {
        /// As in the URL.
        host: String,
        /// What the resolver says.
        problem: io::Error,
    },
    /// The connection broke before the answer was complete.
    Broken(io::Error),
    /// The daemon requires a password, or rejected ours (HTTP 401).
    Unauthorized,
    /// The status is neither 200 nor 401.
    Http {
        /// The status, for example 404.
        status: u16,
        /// The text after the status.
        reason: String,
    },
    /// The daemon answered with a fault.
    Fault {
        /// `faultCode`; one of [`FaultCode`] if the daemon is of this release.
        code: i32,
        /// `faultString`, name included: `BAD_NAME: web`.
        text: String,
    },
    /// The answer is no XML-RPC, or not of the type that this method returns.
    Unexpected(String),
}

impl CallError {
    /// The number of the fault, if it is one.
    pub fn fault(&self) -> Option<i32> {
        match self {
            CallError::Fault { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the daemon knows no process or group of this name.
    pub fn is_bad_name(&self) -> bool {
        self.fault() == Some(FaultCode::BadName.code())
    }

    /// Whether the request was certainly not carried out, so that it may be sent again: the connection was closed before the
    /// first byte of an answer, or the daemon is out of room (503).
    pub fn was_not_heard(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        match self {
            CallError::Broken(problem) => {
                matches!(problem.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
            }
            CallError::Http { status, .. } => *status == 503,
            _ => false,
        }
    }

    /// The kind of the error that prevented a connection.
    pub fn connect_kind(&self) -> Option<io::ErrorKind> {
        match self {
            CallError::Connect(problem) => Some(problem.kind()),
            _ => None,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Connect(problem) => write!(f, "cannot connect: {}", plain(problem)),
            CallError::Resolve { host, problem } => {
                write!(f, "cannot find the address of '{host}': {}", plain(problem))
            }
            CallError::Broken(problem) => {
                write!(f, "the connection broke before the answer was complete: {}", plain(problem))
            }
            CallError::Unauthorized => f.write_str("the server requires authentication (HTTP 401)"),
            CallError::Http { status, reason } => write!(f, "the server answered HTTP {status} {reason}"),
            CallError::Fault { text, .. } => f.write_str(text),
            CallError::Unexpected(what) => write!(f, "the server's answer makes no sense: {what}"),
        }
    }
}

impl std::error::Error for CallError {}

/// The text of an I/O error without the number that Rust appends.
fn plain(problem: &io::Error) -> String {
    let text = problem.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

/// A user name and a password.
#[derive(Clone)]
pub struct Login {
    /// The name that the daemon's configuration asks for.
    pub username: String,
    /// The password, as it was typed.
    pub password: String,
}

/// Calls one daemon. Keeps its connection open between calls.
pub struct Client {
    endpoint: Endpoint,
    login: Option<Login>,
    idle: Option<Connection>,
}

impl Client {
    /// A client without a connection; the first call opens one.
    pub fn new(endpoint: Endpoint, login: Option<Login>) -> Client {
        Client { endpoint, login, idle: None }
    }

    /// Changes name and password from the next call on.
    pub fn set_login(&mut self, login: Login) {
        self.login = Some(login);
        self.idle = None;
    }

    /// The user name that is sent with each call, if there is one.
    pub fn username(&self) -> Option<&str> {
        self.login.as_ref().map(|login| login.username.as_str())
    }

    /// The address of the daemon.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Calls a method and waits for its result, however long that takes. `tick` is called about five times a
    /// second meanwhile.
    ///
    /// # Errors
    /// Any [`CallError`].
    pub fn call(
        &mut self,
        method: &str,
        params: Vec<Value>,
        mut tick: Option<Tick<'_>>,
    ) -> Result<Value, CallError> {
        let request = self.request(method, &params);
        if let Some(idle) = self.idle.take() {
            // A daemon may close a connection it has not heard from for a while. It has then not read the request
            // either, so it is safe to send it again.
            match self.exchange(idle, &request, &mut tick) {
                Err(problem) if problem.was_not_heard() => {}
                result => return result,
            }
        }
        let fresh = self.endpoint.connect()?;
        self.exchange(fresh, &request, &mut tick)
    }

    /// Sends a request and reads the answer; keeps the connection if it can be used again.
    fn exchange(
        &mut self,
        connection: Connection,
        request: &[u8],
        tick: &mut Option<Tick<'_>>,
    ) -> Result<Value, CallError> {
        let answer = Pending::send(connection, request)?.answer(tick)?;
        self.idle = answer.reusable.then_some(answer.connection);
        result(answer.status, answer.reason, &answer.body)
    }

    /// Sends a call on a connection of its own and does not wait.
    ///
    /// # Errors
    /// [`CallError::Connect`], [`CallError::Resolve`] and [`CallError::Broken`].
    pub fn post(&self, method: &str, params: Vec<Value>) -> Result<Pending, CallError> {
        let request = self.request(method, &params);
        Pending::send(self.endpoint.connect()?, &request)
    }

    /// Opens an answer that does not end, for example that of `/logtail/web/stdout`. The caller has percent-encoded `path`.
    ///
    /// # Errors
    /// [`CallError::Http`] with status 404 if there is no such log, and those of [`Client::post`].
    pub fn stream(&self, path: &str) -> Result<Stream, CallError> {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n{}\r\n",
            self.endpoint.host_header(),
            self.authorization()
        );
        let mut connection = self.endpoint.connect()?;
        connection.send(head.as_bytes()).map_err(CallError::Broken)?;
        let stream = connection.into_stream().map_err(CallError::Broken)?;
        match stream.status() {
            (200, _) => Ok(stream),
            (401, _) => Err(CallError::Unauthorized),
            (status, reason) => Err(CallError::Http { status, reason: reason.to_string() }),
        }
    }

    fn request(&self, method: &str, params: &[Value]) -> Vec<u8> {
        let body = wire::encode_call(method, params);
        let head = format!(
            "POST /RPC2 HTTP/1.1\r\nHost: {}\r\nUser-Agent: supervisorctl\r\nAccept: text/xml\r\n\
             Accept-Encoding: identity\r\nContent-Type: text/xml\r\n{}Content-Length: {}\r\n\r\n",
            self.endpoint.host_header(),
            self.authorization(),
            body.len()
        );
        [head.into_bytes(), body.into_bytes()].concat()
    }

    /// The header line that says who we are, or nothing.
    fn authorization(&self) -> String {
        match &self.login {
            None => String::new(),
            Some(Login { username, password }) => {
                let words =
                    base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
                format!("Authorization: Basic {words}\r\n")
            }
        }
    }
}

/// A call that was sent and whose answer has not been read.
pub struct Pending {
    connection: Connection,
}

impl Pending {
    fn send(mut connection: Connection, request: &[u8]) -> Result<Pending, CallError> {
        connection.send(request).map_err(CallError::Broken)?;
        Ok(Pending { connection })
    }

    /// Waits for the result. `tick` is called about five times a second meanwhile.
    ///
    /// # Errors
    /// Any [`CallError`] except [`CallError::Connect`] and [`CallError::Resolve`].
    pub fn wait(self, mut tick: Option<Tick<'_>>) -> Result<Value, CallError> {
        let answer = self.answer(&mut tick)?;
        result(answer.status, answer.reason, &answer.body)
    }

    fn answer(self, tick: &mut Option<Tick<'_>>) -> Result<Answer, CallError> {
        self.connection.receive(tick, MAX_ANSWER, MAX_ERROR_BODY).map_err(CallError::Broken)
    }
}

/// What an answer means.
fn result(status: u16, reason: String, body: &[u8]) -> Result<Value, CallError> {
    match status {
        200 => decode(body),
        401 => Err(CallError::Unauthorized),
        status => Err(CallError::Http { status, reason }),
    }
}

/// Reads the result or the fault out of an answer's body. Logs may hold bytes that are no UTF-8; they must not make the
/// rest unreadable.
fn decode(body: &[u8]) -> Result<Value, CallError> {
    match wire::decode_response(String::from_utf8_lossy(body).as_bytes()) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(WireFault { code, text })) => Err(CallError::Fault { code, text }),
        Err(problem) => Err(CallError::Unexpected(problem.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_faults_are_told_apart() {
        let result = decode(b"<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><int>7</int></value>\n</param>\n</params>\n</methodResponse>\n");
        assert_eq!(result.unwrap(), Value::Integer(7));
        let fault = decode(b"<?xml version='1.0'?>\n<methodResponse>\n<fault>\n<value><struct>\n<member>\n<name>faultCode</name>\n<value><int>10</int></value>\n</member>\n<member>\n<name>faultString</name>\n<value><string>BAD_NAME: x</string></value>\n</member>\n</struct></value>\n</fault>\n</methodResponse>\n");
        assert!(matches!(fault, Err(CallError::Fault { code: 10, text }) if text == "BAD_NAME: x"));
        assert!(matches!(decode(b"<html>"), Err(CallError::Unexpected(_))));
    }

    #[test]
    fn io_errors_lose_their_number() {
        assert_eq!(plain(&io::Error::from_raw_os_error(13)), "permission denied");
        assert_eq!(plain(&io::Error::other("out of Luck")), "out of Luck");
    }
}
