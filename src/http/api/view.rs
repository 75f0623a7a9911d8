//! The JSON of processes, the daemon, and changes.

use crate::control::overview::{Change, DaemonView, Overview, ProcessView};
use crate::http::api::life::Life;
use crate::http::live::usage::{self, Usage};
use crate::model::exit::{ExitStatus, PastExit};
use crate::model::namespec;
use crate::model::state::ProcessState;
use serde::Serialize;

/// Encodes a value on one line. `None` if JSON cannot express it, which does not happen with the types here.
pub(crate) fn to_json(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}

/// One process.
#[derive(Debug, Serialize)]
pub(crate) struct Row<'a> {
    namespec: String,
    group: &'a str,
    name: &'a str,
    program: &'a str,
    kind: &'static str,
    state: i32,
    statename: &'static str,
    description: &'a str,
    spawnerr: &'a str,
    exitstatus: i32,
    pid: i32,
    start: i64,
    stop: i64,
    now: i64,
    logfile: &'a str,
    stdout_logfile: &'a str,
    stderr_logfile: &'a str,
    uptime_seconds: Option<i64>,
    restarts: u32,
    failures: u32,
    last_exit: Option<Exit>,
    why: String,
    note: &'a str,
    next: Option<Next>,
    cpu_percent: Option<f64>,
    memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exits: Option<Vec<Exit>>,
    #[serde(flatten)]
    life: Option<Life<'a>>,
}

/// One exit.
#[derive(Debug, Serialize)]
pub(crate) struct Exit {
    at: i64,
    pid: Option<i32>,
    text: String,
    code: Option<u8>,
    signal: Option<String>,
    core_dumped: bool,
    expected: Option<bool>,
    lasted_seconds: Option<f64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: String,
    /// Who was left of its tree and was killed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_behind: Vec<LeftBehind>,
}

/// Somebody whom a program left behind.
#[derive(Debug, Serialize)]
pub(crate) struct LeftBehind {
    pid: i32,
    name: String,
}

/// What will happen to a process without a request.
#[derive(Debug, Serialize)]
pub(crate) struct Next {
    what: &'static str,
    in_seconds: f64,
    at_ms: i64,
}

impl Exit {
    fn new(status: ExitStatus, at: i64) -> Exit {
        let (code, signal, core_dumped) = match status {
            ExitStatus::Code(code) => (Some(code), None, false),
            ExitStatus::Signal { signal, core_dumped } => {
                let name =
                    signal.wait_name().map_or_else(|| signal.raw().to_string(), |name| name.to_string());
                (None, Some(name), core_dumped)
            }
            ExitStatus::Unknown => (None, None, false),
        };
        let text = status.to_string();
        Exit {
            at,
            pid: None,
            text,
            code,
            signal,
            core_dumped,
            expected: None,
            lasted_seconds: None,
            reason: String::new(),
            left_behind: Vec::new(),
        }
    }

    fn past(exit: &PastExit) -> Exit {
        Exit {
            pid: Some(exit.pid),
            expected: Some(exit.expected),
            lasted_seconds: Some(rounded(exit.lasted.as_secs_f64(), 1000.0)),
            reason: exit.reason.clone(),
            left_behind: exit.left_behind.iter().map(LeftBehind::new).collect(),
            ..Exit::new(exit.status, exit.at.secs())
        }
    }
}

impl LeftBehind {
    fn new((pid, name): &(i32, String)) -> LeftBehind {
        LeftBehind { pid: *pid, name: name.clone() }
    }
}

fn rounded(number: f64, parts: f64) -> f64 {
    (number * parts).round() / parts
}

/// The row of a process.
pub(crate) fn row<'a>(process: &'a ProcessView, usage: &Usage) -> Row<'a> {
    let info = &process.info;
    let namespec = namespec::display(&info.group, &info.name);
    let used = usage.of(&namespec, info.pid);
    let last = process.exits.last().map(Exit::past);
    let is_alive = info.pid > 0;
    Row {
        group: &info.group,
        name: &info.name,
        program: &process.program,
        kind: if process.is_listener { "eventlistener" } else { "program" },
        state: info.state.code(),
        statename: info.state.name(),
        description: &info.description,
        spawnerr: &info.spawnerr,
        exitstatus: info.exitstatus,
        pid: info.pid,
        start: info.start,
        stop: info.stop,
        now: info.now,
        logfile: &info.stdout_logfile,
        stdout_logfile: &info.stdout_logfile,
        stderr_logfile: &info.stderr_logfile,
        uptime_seconds: is_alive.then(|| (info.now - info.start).max(0)),
        restarts: process.starts.saturating_sub(1),
        failures: process.failures,
        // A manager that took over has not seen the exit, but knows the status.
        last_exit: last.or_else(|| process.last_exit.map(|status| Exit::new(status, info.stop))),
        why: why(process),
        note: &process.note,
        next: process.next.map(|(what, delay)| Next {
            what,
            in_seconds: rounded(delay.as_secs_f64(), 1000.0),
            at_ms: crate::sys::clock::wall().millis().saturating_add(millis(delay)),
        }),
        cpu_percent: used.and_then(|used| used.cpu_percent),
        memory_bytes: used.map(|used| used.memory_bytes),
        exits: None,
        life: process.life.as_deref().map(Life::new),
        namespec,
    }
}

fn millis(delay: std::time::Duration) -> i64 {
    i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)
}

/// The row of a process with its last exits, the latest first.
pub(crate) fn row_with_past<'a>(process: &'a ProcessView, usage: &Usage) -> Row<'a> {
    let exits = process.exits.iter().rev().map(Exit::past).collect();
    Row { exits: Some(exits), ..row(process, usage) }
}

/// The reason for the state of a process; empty if the state says it all.
fn why(process: &ProcessView) -> String {
    let info = &process.info;
    match (info.state, process.last_exit) {
        (ProcessState::Backoff | ProcessState::Fatal | ProcessState::Unknown, _) => info.spawnerr.clone(),
        (ProcessState::Exited, Some(status)) => {
            let expected = process.exits.last().is_some_and(|exit| exit.expected);
            let unexpected = if expected || process.exits.is_empty() { "" } else { "; not expected" };
            let reason = process.exits.last().map_or("", |exit| &exit.reason);
            let separator = if reason.is_empty() { "" } else { "; " };
            format!("{status}{unexpected}{separator}{reason}")
        }
        _ => String::new(),
    }
}

/// The daemon.
#[derive(Debug, Serialize)]
pub(crate) struct Daemon<'a> {
    version: &'static str,
    commit: &'static str,
    supervisor_version: &'static str,
    identification: &'a str,
    node: &'a str,
    state: i32,
    statename: &'static str,
    pid: i32,
    manager_pid: i32,
    manager_starts: u32,
    config: String,
    skipped_files: &'a [String],
}

pub(crate) fn daemon(daemon: &DaemonView) -> Daemon<'_> {
    Daemon {
        version: crate::VERSION,
        commit: crate::COMMIT,
        supervisor_version: crate::SUPERVISOR_VERSION,
        identification: &daemon.identifier,
        node: &daemon.nodename,
        state: daemon.state.code(),
        statename: daemon.state.name(),
        pid: daemon.keeper_pid,
        manager_pid: daemon.manager_pid,
        manager_starts: daemon.manager_starts,
        config: daemon.config.to_string_lossy().into_owned(),
        skipped_files: &daemon.skipped_files,
    }
}

/// The daemon and all its processes.
#[derive(Serialize)]
pub(crate) struct Snapshot<'a> {
    epoch: u64,
    sequence: u64,
    now: i64,
    daemon: Daemon<'a>,
    processes: Vec<Row<'a>>,
}

pub(crate) fn snapshot<'a>(overview: &'a Overview, epoch: u64, usage: &Usage) -> Snapshot<'a> {
    Snapshot {
        epoch,
        sequence: overview.sequence,
        now: crate::sys::clock::wall().secs(),
        daemon: daemon(&overview.daemon),
        processes: overview.processes.iter().map(|process| row(process, usage)).collect(),
    }
}

/// A change of state, as the timeline shows it.
#[derive(Serialize)]
pub(crate) struct Moment<'a> {
    at: i64,
    at_ms: i64,
    event: String,
    group: &'a str,
    process: &'a str,
    namespec: String,
    from: &'static str,
    to: &'static str,
    detail: &'a str,
}

impl Moment<'_> {
    pub(crate) fn new(change: &Change) -> Moment<'_> {
        Moment {
            at: change.at.secs(),
            at_ms: change.at.millis(),
            event: format!("PROCESS_STATE_{}", change.to.name()),
            group: &change.group,
            process: &change.process,
            namespec: namespec::display(&change.group, &change.process),
            from: change.from.name(),
            to: change.to.name(),
            detail: &change.detail,
        }
    }
}

/// A change of state, and the row of the process after it.
#[derive(Serialize)]
pub(crate) struct Changed<'a> {
    #[serde(flatten)]
    moment: Moment<'a>,
    row: &'a Row<'a>,
}

impl<'a> Changed<'a> {
    pub(crate) fn new(change: &'a Change, row: &'a Row<'a>) -> Changed<'a> {
        Changed { moment: Moment::new(change), row }
    }
}

/// The state of the daemon after it changed.
#[derive(Serialize)]
pub(crate) struct DaemonChanged<'a> {
    at: i64,
    event: String,
    daemon: Daemon<'a>,
}

impl DaemonChanged<'_> {
    pub(crate) fn new(at: i64, view: &DaemonView) -> DaemonChanged<'_> {
        let event = format!("SUPERVISOR_STATE_{}", view.state.name());
        DaemonChanged { at, event, daemon: daemon(view) }
    }
}

/// The usage of the processes for which it has changed.
#[derive(Serialize)]
pub(crate) struct UsageChanged<'a> {
    at: i64,
    event: &'static str,
    usage: Vec<Used<'a>>,
}

#[derive(Serialize)]
struct Used<'a> {
    namespec: &'a str,
    cpu_percent: Option<f64>,
    memory_bytes: u64,
}

impl Used<'_> {
    fn new((namespec, now): &usage::Changed) -> Used<'_> {
        Used { namespec, cpu_percent: now.cpu_percent, memory_bytes: now.memory_bytes }
    }
}

impl UsageChanged<'_> {
    pub(crate) fn new(at: i64, changed: &[usage::Changed]) -> UsageChanged<'_> {
        UsageChanged { at, event: "USAGE", usage: changed.iter().map(Used::new).collect() }
    }
}
