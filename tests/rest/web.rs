//! A daemon and the ways to ask it.

use crate::support::{Client, Daemon, LONG, Response, Side, Start, until_some};
use serde_json::Value;
use std::time::Instant;

/// Two programs that run, one that does not, and a group.
pub const PROGRAMS: &str = "\
[program:web]
command=/bin/sh -c 'echo out; echo err >&2; exec sleep 1000'
startsecs=0

[program:once]
command=/bin/sh -c 'exit 3'
startsecs=0
autostart=false
autorestart=false

[program:multi]
command=sleep 1000
process_name=%(program_name)s_%(process_num)d
numprocs=2
startsecs=0
";

/// A daemon with [`PROGRAMS`] and what else stands in `conf`.
#[track_caller]
pub fn start(conf: &str) -> Daemon {
    Start::new(Side::under_test(), &format!("{PROGRAMS}{conf}")).ready()
}

pub fn connect(daemon: &Daemon) -> Client {
    Client::unix(&daemon.path("s.sock"))
}

pub fn get(daemon: &Daemon, path: &str) -> Response {
    connect(daemon).get(path, "")
}

/// The JSON under a path.
#[track_caller]
pub fn json(daemon: &Daemon, path: &str) -> Value {
    let response = get(daemon, path);
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    parsed(&response)
}

#[track_caller]
pub fn parsed(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {}", response.text()))
}

/// Posts JSON, or nothing if that is empty.
pub fn post(daemon: &Daemon, path: &str, body: &str) -> Response {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    connect(daemon).post(path, kind, body)
}

/// Does something that has to succeed: what became of it.
#[track_caller]
pub fn act(daemon: &Daemon, path: &str, body: &str) -> Value {
    let response = post(daemon, path, body);
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    parsed(&response)
}

/// The process of this name.
#[track_caller]
pub fn process(daemon: &Daemon, name: &str) -> Value {
    json(daemon, &format!("/api/v1/processes/{name}"))
}

/// Waits until a process is in a state; what is known of it then.
#[track_caller]
pub fn wait_for(daemon: &Daemon, name: &str, state: &str) -> Value {
    until_some(&format!("{name} is {state}"), LONG, || {
        let process = process(daemon, name);
        (process["statename"] == state).then_some(process)
    })
}

/// A stream of server-sent events.
pub struct Events {
    client: Client,
    text: String,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Event {
    pub id: String,
    pub kind: String,
    pub data: Value,
}

impl Events {
    /// Opens a stream. `headers` are complete lines.
    #[track_caller]
    pub fn open(daemon: &Daemon, path: &str, headers: &str) -> Events {
        let mut client = connect(daemon);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"));
        let head = client.head().unwrap();
        assert_eq!(head.status, 200, "{path}");
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        Events { client, text: String::new() }
    }

    /// The next event.
    #[track_caller]
    pub fn next(&mut self) -> Event {
        self.try_next().expect("the stream goes on")
    }

    /// The same; `None` at the end of the stream.
    pub fn try_next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let found = line("data: ").map(|data| Event {
                    id: line("id: ").unwrap_or_default().to_string(),
                    kind: line("event: ").unwrap_or_default().to_string(),
                    data: serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}")),
                });
                self.text = rest.to_string();
                match found {
                    Some(event) => return Some(event),
                    // A comment.
                    None => continue,
                }
            }
            let chunk = self.client.chunk().ok().filter(|chunk| !chunk.is_empty())?;
            self.text.push_str(&String::from_utf8(chunk).unwrap());
        }
    }

    /// The next event that is wanted; others are passed over.
    #[track_caller]
    pub fn until(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        let deadline = Instant::now() + LONG;
        loop {
            let event = self.next();
            if wanted(&event) {
                return event;
            }
            assert!(Instant::now() < deadline, "waited in vain: {what}");
        }
    }

    /// The next change of a process to a state.
    #[track_caller]
    pub fn change(&mut self, process: &str, to: &str) -> Event {
        self.until(&format!("{process} becomes {to}"), |event| {
            event.kind == "change" && event.data["process"] == process && event.data["to"] == to
        })
    }
}
