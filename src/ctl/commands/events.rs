//! `events`: print events as they happen.

use super::tail::HOW_TO_END;
use super::{Command, Completes, words};
use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::interrupt::Interrupt;
use crate::ctl::names::Wildcard;
use crate::ctl::records::Process;
use crate::ctl::render;
use crate::ctl::session::Session;
use crate::model::namespec::{self, Namespec};
use crate::rpc::client::CallError;
use crate::rpc::client::http::Stream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;

pub(super) const COMMAND: Command = Command {
    name: "events",
    forms: &[(
        "events [<name> ...]",
        "Show the changes of all processes, or of some, as they happen; Ctrl-C ends",
    )],
    note: "",
    completes: Completes::Processes,
    run,
};

/// Where our own daemons tell events, one JSON object per line.
const PATH: &str = "/events";

/// How often a daemon without such a stream is asked.
const INTERVAL: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// The longest event that is waited for to end.
const MAX_EVENT: usize = 1 << 20;

fn run(session: &mut Session, arguments: &str) -> Outcome {
    session.check()?;
    let words: Vec<String> = words(arguments)
        .into_iter()
        .map(|word| session.bearer(word).unwrap_or_else(|| word.to_string()))
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let filter = Filter::parse(&words);
    match session.daemon.client.stream(PATH) {
        Ok(stream) => {
            session.screen.line(HOW_TO_END)?;
            listen(session, &filter, stream)
        }
        // An original daemon: what changes can still be seen by looking.
        Err(CallError::Http { status: 400..=499, .. }) => {
            session
                .screen
                .hint("this supervisord has no stream of events: asking for changes every second instead");
            session.screen.line(HOW_TO_END)?;
            compare(session, &filter)
        }
        Err(problem) => Err(problem.into()),
    }
}

/// Whose events are wanted.
struct Filter(Vec<Wanted>);

enum Wanted {
    Named(Namespec),
    Matching(Wildcard),
}

impl Filter {
    fn parse(words: &[&str]) -> Filter {
        if words.contains(&"all") {
            return Filter(Vec::new());
        }
        let wanted = |word: &&str| match Wildcard::parse(word).filter(|_| word.contains(['*', '?', '['])) {
            Some(wildcard) => Wanted::Matching(wildcard),
            None => Wanted::Named(Namespec::parse(word)),
        };
        Filter(words.iter().map(wanted).collect())
    }

    fn wants(&self, group: &str, process: &str) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|wanted| match wanted {
                Wanted::Named(name) => {
                    name.group == group && name.process.as_ref().is_none_or(|name| name == process)
                }
                Wanted::Matching(wildcard) => wildcard.matches(group, process),
            })
    }
}

/// Prints what the daemon tells until Ctrl-C or its end.
fn listen(session: &mut Session, filter: &Filter, mut stream: Stream) -> Outcome {
    let interrupt = Interrupt::catch();
    let mut buffer = Vec::new();
    loop {
        if !stream.has_pending() && wait(Some(&stream), interrupt.as_ref(), None)? {
            return Ok(session.screen.line("")?);
        }
        if stream.advance(&mut buffer).is_err() || stream.has_ended() || buffer.len() > MAX_EVENT {
            session.screen.hint("supervisord ended the stream of events");
            session.fail(Exit::GENERIC);
            return Ok(());
        }
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            if let Some(text) = event_line(&String::from_utf8_lossy(&line), filter) {
                session.screen.line(&text)?;
            }
        }
    }
}

/// What to print for a line of the stream. It may be a line of a server-sent event; lines that are no data, and events
/// of others, are not shown.
fn event_line(line: &str, filter: &Filter) -> Option<String> {
    let line = line.trim();
    let json = line.strip_prefix("data:").unwrap_or(line).trim();
    let event: serde_json::Value = serde_json::from_str(json).ok()?;
    let text = |name: &str| event.get(name).and_then(|value| value.as_str()).unwrap_or_default();
    let (group, process) = (text("group"), text("process"));
    if !process.is_empty() && !filter.wants(group, process) {
        return None;
    }
    let time = render::utc(event.get("at").and_then(serde_json::Value::as_i64).unwrap_or_default());
    let who = if process.is_empty() { group.to_string() } else { namespec::display(group, process) };
    let what = match (text("from"), text("to")) {
        ("", "") => text("event").to_string(),
        ("", to) => to.to_string(),
        (from, to) => format!("{from} -> {to}"),
    };
    let separator = if who.is_empty() { "" } else { ": " };
    let detail = text("detail");
    let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
    Some(format!("{time} {who}{separator}{what}{detail}"))
}

/// Prints what differs from one look to the next until Ctrl-C.
fn compare(session: &mut Session, filter: &Filter) -> Outcome {
    let interrupt = Interrupt::catch();
    let mut before = look(session, filter)?;
    loop {
        if wait(None, interrupt.as_ref(), Some(&INTERVAL))? {
            return Ok(session.screen.line("")?);
        }
        let now = look(session, filter)?;
        let text: String = changes(&before, &now).into_iter().map(|line| line + "\n").collect();
        session.screen.bytes(text.as_bytes())?;
        before = now;
    }
}

fn look(session: &mut Session, filter: &Filter) -> Result<BTreeMap<String, Process>, CtlError> {
    let processes = session.daemon.all_process_info()?.into_iter();
    let wanted = processes.filter(|process| filter.wants(&process.group, &process.name));
    Ok(wanted.map(|process| (process.namespec(), process)).collect())
}

/// One line for every process that differs.
fn changes(before: &BTreeMap<String, Process>, now: &BTreeMap<String, Process>) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, process) in now {
        let (time, state, pid) = (render::utc(process.now), &process.statename, process.pid);
        let pid_text = if pid == 0 { String::new() } else { format!(" (pid {pid})") };
        match before.get(name) {
            None => lines.push(format!("{time} {name}: added, {state}{pid_text}")),
            Some(old) if old.state != process.state => {
                lines.push(format!("{time} {name}: {} -> {state}{pid_text}", old.statename));
            }
            Some(old) if old.pid != pid => {
                lines.push(format!("{time} {name}: {state} again (pid {} -> {pid})", old.pid));
            }
            Some(_) => {}
        }
    }
    lines
        .extend(before.keys().filter(|name| !now.contains_key(*name)).map(|name| format!("{name}: removed")));
    lines
}

/// Waits for the stream or until the time is over; `true` if Ctrl-C ended it.
fn wait(
    stream: Option<&Stream>,
    interrupt: Option<&Interrupt>,
    timeout: Option<&Timespec>,
) -> Result<bool, CtlError> {
    let mut fds: Vec<PollFd<'_>> =
        interrupt.map(|interrupt| PollFd::new(interrupt, PollFlags::IN)).into_iter().collect();
    fds.extend(stream.map(|stream| PollFd::new(stream, PollFlags::IN)));
    match poll(&mut fds, timeout) {
        Ok(_) => Ok(interrupt.is_some() && fds.first().is_some_and(|fd| !fd.revents().is_empty())),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(problem) => Err(CtlError::Output(problem.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_become_lines() {
        let everything = Filter::parse(&[]);
        let line =
            r#"data: {"at":0,"group":"g","process":"a","from":"STARTING","to":"RUNNING","detail":"pid 7"}"#;
        let expected = "1970-01-01 00:00:00Z g:a: STARTING -> RUNNING (pid 7)";
        assert_eq!(event_line(line, &everything).as_deref(), Some(expected));
        assert_eq!(event_line(line, &Filter::parse(&["h:*"])), None);
        assert!(event_line(line, &Filter::parse(&["g:*", "x"])).is_some());
        assert_eq!(event_line(": comment", &everything), None);
        let other = r#"{"at":0,"event":"SUPERVISOR_STATE_CHANGE_STOPPING"}"#;
        assert_eq!(
            event_line(other, &everything).as_deref(),
            Some("1970-01-01 00:00:00Z SUPERVISOR_STATE_CHANGE_STOPPING")
        );
    }

    #[test]
    fn differences_become_lines() {
        let table = |state: i64, statename: &str, pid: i64| {
            let process = Process {
                name: "a".into(),
                group: "a".into(),
                state,
                statename: statename.into(),
                pid,
                ..Process::default()
            };
            BTreeMap::from([("a".to_string(), process)])
        };
        let running = table(20, "RUNNING", 7);
        assert_eq!(changes(&running, &running), Vec::<String>::new());
        assert_eq!(
            changes(&running, &table(0, "STOPPED", 0)),
            ["1970-01-01 00:00:00Z a: RUNNING -> STOPPED"]
        );
        assert_eq!(
            changes(&running, &table(20, "RUNNING", 8)),
            ["1970-01-01 00:00:00Z a: RUNNING again (pid 7 -> 8)"]
        );
        assert_eq!(changes(&running, &BTreeMap::new()), ["a: removed"]);
    }
}
