//! A daemon that answers what a test wants, for what a real one does only rarely.

use crate::support::text;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use supervisord::rpc::wire::{self, Value, WireFault};

/// What a call is answered with.
pub enum Reply {
    Value(Value),
    Fault(i32, &'static str),
    /// An HTTP status and nothing else.
    Http(u16),
}

type Handler = dyn Fn(&str, &[Value]) -> Reply + Send + Sync;

/// What a terminal must never get: sequences of C0 and C1, and marks that turn the direction of writing.
pub const HOSTILE: &str = "a\x1b]0;owned\x07\x1b[2J\u{9b}2J\u{85}\u{202e}\u{2066}\u{200f}\u{7f}\tb\u{202e}";

/// The same as it is shown instead.
pub const HARMLESS: &str = "a^[]0;owned^G^[[2J\u{fffd}2J\u{fffd}\u{fffd}\u{fffd}\u{fffd}^?\tb\u{fffd}";

/// Listens on a unix socket until dropped. Its configuration file names the socket.
pub struct Fake {
    folder: tempfile::TempDir,
    stop: Arc<AtomicBool>,
    /// Every call, as `method(arguments)`.
    pub calls: Arc<Mutex<Vec<String>>>,
}

struct Rules {
    handler: Box<Handler>,
    /// What `Authorization` must be.
    authorization: Option<String>,
    calls: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl Fake {
    /// Starts one that answers `getVersion` with `3.0` and everything else as the handler says.
    pub fn start(handler: impl Fn(&str, &[Value]) -> Reply + Send + Sync + 'static) -> Fake {
        Fake::start_with(None, handler)
    }

    /// Starts one that lets in who sends exactly this `Authorization`.
    pub fn start_with(
        authorization: Option<String>,
        handler: impl Fn(&str, &[Value]) -> Reply + Send + Sync + 'static,
    ) -> Fake {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("s")).unwrap();
        let here = folder.path().display();
        let conf = format!("[supervisorctl]\nserverurl=unix://{here}/s\nhistory_file={here}/history\n");
        std::fs::write(folder.path().join("conf"), conf).unwrap();
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let rules = Rules {
            handler: Box::new(handler),
            authorization,
            calls: Arc::clone(&calls),
            stop: Arc::clone(&stop),
        };
        let rules = Arc::new(rules);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if rules.stop.load(Ordering::SeqCst) {
                    return;
                }
                let rules = Arc::clone(&rules);
                std::thread::spawn(move || serve(connection, &rules));
            }
        });
        Fake { folder, stop, calls }
    }

    pub fn conf(&self) -> PathBuf {
        self.folder.path().join("conf")
    }

    pub fn history(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("history")).unwrap_or_default()
    }

    /// The URL the client prints in messages.
    pub fn url(&self) -> String {
        format!("unix://{}/s", self.folder.path().display())
    }

    /// What one of our clients prints on both streams and leaves.
    pub fn run(&self, line: &str) -> (String, String, i32) {
        self.told(super::ours(&self.conf()), line)
    }

    /// The same of our client by the name of the original's.
    pub fn run_as_supervisorctl(&self, line: &str) -> (String, String, i32) {
        self.told(super::as_supervisorctl(&self.conf()), line)
    }

    fn told(&self, mut client: Command, line: &str) -> (String, String, i32) {
        let output = client.args(line.split(' ')).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&self.url(), "URL");
        (text(output.stdout), text(output.stderr), output.status.code().unwrap())
    }

    /// The calls so far, without the check that most commands begin with.
    pub fn take_calls(&self) -> Vec<String> {
        let mut calls = std::mem::take(&mut *self.calls.lock().unwrap());
        calls.retain(|call| !call.starts_with("supervisor.getVersion"));
        calls
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener so that it sees that.
        let _ = UnixStream::connect(self.folder.path().join("s"));
    }
}

fn serve(mut connection: UnixStream, rules: &Rules) {
    while let Some((head, body)) = read_request(&mut connection) {
        let authorized = rules.authorization.as_ref().is_none_or(|wanted| {
            head.lines().any(|line| line.strip_prefix("Authorization: ") == Some(wanted.as_str()))
        });
        if !authorized {
            let _ = connection.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
            continue;
        }
        if ["short", "g:nolog"].iter().any(|name| head.starts_with(&format!("GET /logtail/{name}/"))) {
            let _ = connection
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nlast\r\n0\r\n\r\n");
            continue;
        }
        if head.starts_with("GET /logtail/hostile/") {
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            // The last character comes in two parts.
            let (one, two) = HOSTILE.as_bytes().split_at(HOSTILE.len() - 2);
            for part in [one, two, b"\nend\n"] {
                let _ = write!(connection, "{:x}\r\n", part.len());
                let _ = connection.write_all(part);
                let _ = connection.write_all(b"\r\n");
                std::thread::sleep(Duration::from_millis(100));
            }
            let _ = connection.write_all(b"0\r\n\r\n");
            continue;
        }
        if head.starts_with("GET /logtail/nolog/") {
            let _ = connection.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
            continue;
        }
        if head.starts_with("GET /logtail/") || head.starts_with("GET /mainlogtail") {
            return stream(&mut connection, rules);
        }
        if head.starts_with("GET ") {
            let _ = connection.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
            continue;
        }
        let _ = connection.write_all(&answer(&body, rules));
    }
}

/// Head and body of a request; `None` when the client has gone.
fn read_request(connection: &mut UnixStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut byte = [0; 1];
    while !bytes.ends_with(b"\r\n\r\n") {
        if connection.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    connection.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn answer(body: &[u8], rules: &Rules) -> Vec<u8> {
    let call = wire::decode_call(body).unwrap();
    let params: Vec<String> = call.params.iter().map(show).collect();
    rules.calls.lock().unwrap().push(format!("{}({})", call.method, params.join(",")));
    let reply = match (rules.handler)(&call.method, &call.params) {
        Reply::Fault(1, _) if call.method == "supervisor.getVersion" => {
            Reply::Value(Value::String("3.0".into()))
        }
        reply => reply,
    };
    let text = match reply {
        Reply::Value(value) => wire::encode_response(&value),
        Reply::Fault(code, text) => wire::encode_fault(&WireFault { code, text: text.into() }),
        Reply::Http(status) => {
            return format!("HTTP/1.1 {status} Oh\r\nContent-Length: 0\r\n\r\n").into_bytes();
        }
    };
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()).into_bytes()
}

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

/// A log that grows by a numbered line now and then.
fn stream(connection: &mut UnixStream, rules: &Rules) {
    let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for number in 1.. {
        let line = format!("line {number}\n");
        let chunk = format!("{:x}\r\n{line}\r\n", line.len());
        if connection.write_all(chunk.as_bytes()).is_err() || rules.stop.load(Ordering::SeqCst) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A struct.
pub fn structure<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Struct(
        members.into_iter().map(|(name, value)| (name.to_string(), value)).collect::<BTreeMap<_, _>>(),
    )
}

/// A process as `getProcessInfo` tells it.
pub fn process(group: &str, name: &str, state: i32, statename: &str, description: &str) -> Value {
    structure([
        ("group", text(group)),
        ("name", text(name)),
        ("state", Value::Integer(state)),
        ("statename", text(statename)),
        ("description", text(description)),
        ("pid", Value::Integer(if state == 20 { 4711 } else { 0 })),
    ])
}
