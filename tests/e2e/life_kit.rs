//! Programs that keep records of their own, a server that counts who asks, and how tests of program life judge from both.

use crate::support::{Daemon, LONG, Side, Start, member, text, until, until_some};
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use supervisord::model::state::ProcessState;

/// Notes its start and its end in `record`, and does what files of its name say:
///
/// - `NAME.exit`: ends at once with that code;
/// - `NAME.once`: the same, and removes the file before;
/// - `NAME.short`: ends after a moment with that code;
/// - `NAME.sh`: runs that before it waits for its end;
/// - `NAME.slow`: takes so many seconds to stop.
const PROGRAM: &str = r#"
name=$1
note() { read now idle < /proc/uptime; echo "$now $name $1 $$" >> record; }
note start
end() { note term; if [ -f $name.slow ]; then sleep $(cat $name.slow); fi; note stop; [ -z "$child" ] || kill $child; exit 0; }
trap end TERM
if [ -f $name.exit ]; then code=$(cat $name.exit); note exit; exit $code; fi
if [ -f $name.once ]; then code=$(cat $name.once); rm $name.once; note exit; exit $code; fi
if [ -f $name.short ]; then code=$(cat $name.short); sleep 0.3; note exit; exit $code; fi
if [ -f $name.sh ]; then . ./$name.sh; fi
while :; do sleep 1000 & child=$!; wait $child; done
"#;

/// A line of the record.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// Seconds of the monotonic clock, in hundredths.
    pub at: f64,
    pub name: String,
    /// `start`, `term` (told to stop), `stop`, `exit`, or what the script of a test notes.
    pub what: String,
    pub pid: i32,
}

/// A section of such a program. `settings` are lines.
pub fn program(name: &str, settings: &str) -> String {
    section("program", name, settings)
}

pub fn section(kind: &str, name: &str, settings: &str) -> String {
    format!(
        "[{kind}:{name}]\ncommand=/bin/sh %(here)s/program {name}\ndirectory=%(here)s\nstartsecs=0\n{settings}\n"
    )
}

/// Like [`program`] without `startsecs`.
pub fn plain(name: &str, settings: &str) -> String {
    program(name, settings).replace("startsecs=0\n", "")
}

/// Starts a daemon with these files beside its configuration.
#[track_caller]
pub fn start_with(conf: &str, files: &[(&str, &str)]) -> Daemon {
    let mut daemon = Start::new(Side::under_test(), conf).prepare();
    std::fs::write(daemon.path("program"), PROGRAM).expect("the test's directory can be written");
    for (name, content) in files {
        put(&daemon, name, content);
    }
    daemon.start();
    daemon
}

/// Writes a file that somebody may be reading.
pub fn put(daemon: &Daemon, name: &str, content: &str) {
    let new = daemon.path(&format!("{name}.new"));
    std::fs::write(&new, content).expect("the test's directory can be written");
    std::fs::rename(new, daemon.path(name)).expect("the test's directory can be written");
}

pub fn drop_file(daemon: &Daemon, name: &str) {
    std::fs::remove_file(daemon.path(name)).expect("the file is there");
}

/// What all programs have noted, in order.
pub fn record(daemon: &Daemon) -> Vec<Note> {
    let complete = daemon.read("record");
    let complete = &complete[..complete.rfind('\n').map_or(0, |end| end + 1)];
    let note = |line: &str| {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_else(|| panic!("not a note: {line:?}"));
        Note {
            at: word().parse().expect("a time"),
            name: word().to_string(),
            what: word().to_string(),
            pid: word().parse().expect("a pid"),
        }
    };
    complete.lines().map(note).collect()
}

/// What one program has noted of one kind.
pub fn notes(daemon: &Daemon, name: &str, what: &str) -> Vec<Note> {
    let mut all = record(daemon);
    all.retain(|note| note.name == name && note.what == what);
    all
}

pub fn n_starts(daemon: &Daemon, name: &str) -> usize {
    notes(daemon, name, "start").len()
}

/// When a program noted something first.
#[track_caller]
pub fn first(daemon: &Daemon, name: &str, what: &str) -> f64 {
    notes(daemon, name, what).first().unwrap_or_else(|| panic!("{name} has noted no {what}")).at
}

/// Now, on the clock of the records.
pub fn uptime() -> f64 {
    let text = std::fs::read_to_string("/proc/uptime").expect("Linux has it");
    text.split(' ').next().and_then(|word| word.parse().ok()).expect("a number")
}

#[track_caller]
pub fn wait_starts(daemon: &Daemon, name: &str, count: usize) {
    until(&format!("{name} starts {count} times"), LONG, || n_starts(daemon, name) >= count);
}

/// Asserts how often a program was started; the last one may not have noted it yet.
#[track_caller]
pub fn assert_starts(daemon: &Daemon, name: &str, count: usize) {
    wait_starts(daemon, name, count);
    assert_eq!(n_starts(daemon, name), count, "starts of {name} in\n{}", daemon.read("record"));
}

#[track_caller]
pub fn wait_note(daemon: &Daemon, name: &str, what: &str) -> Note {
    until_some(&format!("{name} notes {what}"), LONG, || notes(daemon, name, what).into_iter().next())
}

/// The description of a process, as `status` shows it.
#[track_caller]
pub fn description(daemon: &Daemon, name: &str) -> String {
    member(&daemon.info(name), "description")
}

#[track_caller]
pub fn spawnerr(daemon: &Daemon, name: &str) -> String {
    member(&daemon.info(name), "spawnerr")
}

#[track_caller]
pub fn wait_description(daemon: &Daemon, name: &str, wanted: &str) {
    until(&format!("{name} is described as {wanted:?}"), LONG, || description(daemon, name).contains(wanted));
}

#[track_caller]
pub fn wait_state(daemon: &Daemon, name: &str, state: ProcessState) {
    daemon.wait_for_state(name, state, LONG);
}

/// Starts a process and waits for no answer.
#[track_caller]
pub fn begin(daemon: &Daemon, name: &str) {
    daemon.call("supervisor.startProcess", vec![text(name), crate::support::flag(false)]);
}

#[track_caller]
pub fn stop(daemon: &Daemon, name: &str) {
    daemon.call("supervisor.stopProcess", vec![text(name)]);
}

/// Kills a program that has noted its start.
#[track_caller]
pub fn crash(daemon: &Daemon, name: &str) {
    let pid = until_some(&format!("{name} runs"), LONG, || {
        let pid = daemon.pid_of(name);
        notes(daemon, name, "start").last().is_some_and(|note| note.pid == pid).then_some(pid)
    });
    crate::support::kill(pid, Signal::SIGKILL);
}

/// Asserts that no two lives of a program overlap: each start but the first comes after the end of the one before, as the
/// program noted it or as the kernel shows it.
#[track_caller]
pub fn assert_one_at_a_time(daemon: &Daemon, name: &str) {
    let alive: Vec<i32> = notes(daemon, name, "start")
        .into_iter()
        .map(|note| note.pid)
        .filter(|&pid| crate::support::cmdline(pid).ends_with(&format!("/program {name}")))
        .collect();
    assert!(alive.len() <= 1, "{name} runs more than once: {alive:?}\n{}", daemon.read("record"));
}

/// A server on 127.0.0.1 that counts who connects and answers with a status. It ends with the test's process.
pub struct Server {
    pub port: u16,
    n_asked: Arc<AtomicUsize>,
    status: Arc<AtomicU16>,
    last: Arc<Mutex<String>>,
}

impl Server {
    pub fn new(status: u16) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let server = Server {
            port,
            n_asked: Arc::default(),
            status: Arc::new(AtomicU16::new(status)),
            last: Arc::default(),
        };
        let (n_asked, status, last) = (server.n_asked.clone(), server.status.clone(), server.last.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &status, &last);
                n_asked.fetch_add(1, Ordering::SeqCst);
            }
        });
        server
    }

    /// How many have asked and been answered.
    pub fn n_asked(&self) -> usize {
        self.n_asked.load(Ordering::SeqCst)
    }

    pub fn answer_with(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// The head of the last request.
    pub fn last_head(&self) -> String {
        self.last.lock().expect("nobody panics with it").clone()
    }

    /// Waits until so many more have asked.
    #[track_caller]
    pub fn wait_asked(&self, more: usize) {
        let before = self.n_asked();
        until(&format!("{more} more ask"), LONG, || self.n_asked() >= before + more);
    }
}

fn answer(mut stream: TcpStream, status: &AtomicU16, last: &Mutex<String>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    *last.lock().expect("nobody panics with it") = String::from_utf8_lossy(&head).into_owned();
    let status = status.load(Ordering::SeqCst);
    let _ = write!(stream, "HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}
