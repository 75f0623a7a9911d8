//! What clients see of processes: Supervisor's own fields, and more.

use crate::control::request::{ConfigInfo, Fact, Facts, ProcessInfo, Processes};
use crate::core::process::{LEAST_START_INTERVAL, State};
use crate::log::source::LogSource;
use crate::manager::daemon::Daemon;
use crate::manager::processes::Proc;
use crate::manager::requests::description::{description, further};
use crate::manager::spawn::jobs;
use crate::model::config::ChildLog;
use crate::model::exit::PastExit;
use crate::model::raw;
use crate::model::state::ProcessState;
use crate::model::stream::Stream;
use crate::model::time::Wall;
use crate::sys::clock;
use std::borrow::Cow;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Cache of the last full process list: the second it was built, the version of the table, and the list for as long as
/// any client reads it.
#[derive(Debug, Default)]
pub struct ProcessListCache(Option<((i64, u64), Weak<Processes>)>);

impl ProcessListCache {
    fn get(&self, moment: (i64, u64)) -> Option<Arc<Processes>> {
        self.0.as_ref().filter(|(then, _)| *then == moment).and_then(|(_, processes)| processes.upgrade())
    }

    fn set(&mut self, moment: (i64, u64), processes: &Arc<Processes>) {
        self.0 = Some((moment, Arc::downgrade(processes)));
    }

    fn clear(&mut self) {
        self.0 = None;
    }
}

impl Daemon {
    /// What `getProcessInfo` answers about a process at this moment.
    pub fn process_info(&self, proc: &Proc, now: Wall) -> ProcessInfo {
        let process = &proc.process;
        let path = |stream| match log_source(proc, stream) {
            LogSource::File(path) => path.to_string_lossy().into_owned(),
            _ => String::new(),
        };
        ProcessInfo {
            name: proc.config.name.to_string(),
            group: proc.group.to_string(),
            start: process.start.secs(),
            stop: process.stop.secs(),
            now: now.secs(),
            state: proc.state(),
            spawnerr: process.spawnerr.clone(),
            exitstatus: process.exit.map_or(0, |exit| exit.code()),
            stdout_logfile: path(Stream::Stdout),
            stderr_logfile: path(Stream::Stderr),
            pid: process.state.pid().unwrap_or(0),
            description: self.description(proc, now),
        }
    }

    fn description(&self, proc: &Proc, now: Wall) -> String {
        let plain = description(&proc.process, &proc.config.name, now);
        let further = further(&proc.process, &proc.config, &self.waits_for(proc), clock::monotonic());
        let note = note(proc);
        let separator = match plain.is_empty() {
            true => further.starts_with(", ").then_some(2),
            false => Some(0),
        };
        let disabled = match (self.is_disabled(proc), plain.is_empty() && further.is_empty()) {
            (false, _) => "",
            (true, true) => "disabled",
            (true, false) => ", disabled",
        };
        format!("{plain}{}{disabled}{note}", &further[separator.unwrap_or(0)..])
    }

    /// Whom it waits for; empty if it does not wait.
    pub fn waits_for(&self, proc: &Proc) -> String {
        if !matches!(proc.process.state, State::Waiting { .. }) {
            return String::new();
        }
        let slot = self.procs.member(&proc.group, &proc.config.name);
        slot.map(|slot| self.waiting_for(slot)).unwrap_or_default()
    }

    /// Everything about everybody, sorted by group and name; for a while the same one for all who ask. It lives as long
    /// as any of them reads it, so that nothing of it stays in an idle daemon.
    pub(super) fn all_process_info(&mut self) -> Arc<Processes> {
        let now = clock::wall();
        let moment = (now.secs(), self.procs.version());
        if let Some(processes) = self.process_list.get(moment) {
            return processes;
        }
        let mut infos: Vec<ProcessInfo> =
            self.procs.all().map(|(_, proc)| self.process_info(proc, now)).collect();
        infos.sort_by(|a, b| (&a.group, &a.name).cmp(&(&b.group, &b.name)));
        let processes = Arc::new(Processes::from(infos));
        // Whether an adopted program's output is logged may change without us.
        let keeps = !self.procs.all().any(|(_, proc)| proc.origin.adopted);
        if keeps {
            self.process_list.set(moment, &processes);
        } else {
            self.process_list.clear();
        }
        processes
    }

    /// The processes of the last reread, sorted by name alone.
    pub(super) fn all_config_info(&self) -> Vec<ConfigInfo> {
        let mut infos = Vec::new();
        for group in &self.in_force.config().groups {
            let inuse = self.procs.group(&group.name).is_some();
            for (index, process) in group.processes.iter().enumerate() {
                let logs = self
                    .procs
                    .member(&group.name, &process.name)
                    .and_then(|slot| self.procs.proc(slot))
                    .map(|proc| proc.logs.clone())
                    .unwrap_or_default();
                infos.push(ConfigInfo {
                    group: Arc::clone(group),
                    process: index,
                    inuse,
                    stdout_logfile: logs.stdout,
                    stderr_logfile: logs.stderr,
                });
            }
        }
        infos.sort_by(|a, b| a.group.processes[a.process].name.cmp(&b.group.processes[b.process].name));
        infos
    }
}

/// What happens to a process by itself, and in how long.
pub fn coming(proc: &Proc) -> Option<(&'static str, Duration)> {
    let what = match proc.process.state {
        // What it depends on holds, and it keeps the pace.
        State::Waiting { give_up_at, is_asked: false }
            if give_up_at.since(proc.process.started) <= LEAST_START_INTERVAL =>
        {
            "it is started"
        }
        State::Waiting { .. } => "its wait is over, and it is FATAL",
        State::Starting { .. } if proc.config.is_oneshot() => "it is stopped, because it runs too long",
        State::Starting { is_ready: false, .. } if proc.config.readiness.is_some() => {
            "it is stopped if it is not ready"
        }
        State::Starting { up_at, .. } if up_at.since(proc.process.started) < proc.config.startsecs => {
            "it is stopped, because it runs too long"
        }
        State::Starting { .. } => "it counts as RUNNING",
        State::Running { .. } => "it is stopped, because it runs too long",
        State::Fatal { retry_at: Some(_) } => "it is started again",
        State::Backoff { .. } | State::Exited { start_at: Some(_) } => "it is started again",
        State::Stopping { then, .. } | State::Failing { then, .. }
            if usize::from(then) < proc.config.stopsignal_then.len() =>
        {
            "it is sent its next stop signal if it has not ended"
        }
        State::Stopping { .. } | State::Failing { .. } => "it is killed with SIGKILL if it has not ended",
        _ => return None,
    };
    Some((what, proc.process.state.deadline()?.since(clock::monotonic())))
}

/// What a row of `status` says about a program beyond the usual.
fn note(proc: &Proc) -> Cow<'static, str> {
    match &proc.pending_spawn {
        Some(pending_spawn) => pending_spawn.waits_for(&proc.config).into(),
        None if proc.is_mute() => ", adopted, output not logged".into(),
        None => "".into(),
    }
}

/// The same as a whole sentence.
pub fn note_in_full(proc: &Proc) -> Cow<'static, str> {
    if let Some(pending_spawn) = &proc.pending_spawn {
        let since = clock::monotonic().since(pending_spawn.since).as_secs();
        let (what, patience) = (pending_spawn.waits_for(&proc.config), jobs::PATIENCE.as_secs());
        return format!(
            "its program does not run yet: {what} has taken {since} s; after {patience} s it is given up"
        )
        .into();
    }
    if proc.is_mute() {
        "it was adopted after its keeper was killed, and its output is not logged any more; a restart mends that"
    } else if proc.origin.adopted {
        "it was adopted after its keeper was killed; when it ends, its exit status may stay unknown"
    } else {
        ""
    }
    .into()
}

/// Everything to note about a process: also a signal that could not be sent, and a listener that gets no more events.
fn notes(proc: &Proc, why_unknown: Option<String>) -> Vec<String> {
    let mut notes: Vec<String> =
        Some(note_in_full(proc).to_string()).filter(|note| !note.is_empty()).into_iter().collect();
    if proc.state() == ProcessState::Unknown && !proc.refused_signal.is_empty() {
        notes.push(format!("a signal could not be sent to it: {}", proc.refused_signal));
    }
    notes.extend(why_unknown.filter(|_| proc.process.state.pid().is_some()));
    notes
}

/// `sh (12), sleep (13)`: who was left of a tree and was killed.
fn left_behind(exit: &PastExit) -> String {
    let named: Vec<String> = exit.left_behind.iter().map(|(pid, name)| format!("{name} ({pid})")).collect();
    named.join(", ")
}

/// What a process did before and what happens next.
pub(super) fn history(proc: &Proc, why_unknown: Option<String>) -> Facts {
    let exits = proc.past.iter().map(|exit| {
        let millis = i64::try_from(exit.lasted.as_millis()).unwrap_or(i64::MAX);
        let mut facts = vec![
            ("at", Fact::Number(exit.at.secs())),
            ("pid", Fact::Number(i64::from(exit.pid))),
            ("status", Fact::Text(exit.status.to_string())),
            ("expected", Fact::Flag(exit.expected)),
            ("lasted_ms", Fact::Number(millis)),
            ("reason", Fact::Text(exit.reason.clone())),
        ];
        if !exit.left_behind.is_empty() {
            facts.push(("left_behind", Fact::Text(left_behind(exit))));
        }
        facts
    });
    let (next, due, due_ms) = match coming(proc) {
        Some((what, delay)) => {
            // What XML-RPC has room for; nobody reads the milliseconds of more than 24 days.
            let fits = |number: u128| i64::from(i32::try_from(number).unwrap_or(i32::MAX));
            (what, fits(delay.as_millis().div_ceil(1000)), fits(delay.as_millis()))
        }
        None => ("", -1, -1),
    };
    vec![
        ("exits", Fact::List(exits.collect())),
        ("next", Fact::Text(next.to_string())),
        ("next_in", Fact::Number(due)),
        ("next_in_ms", Fact::Number(due_ms)),
        ("note", Fact::Text(notes(proc, why_unknown).join("; "))),
    ]
}

/// Where a stream of a process can be read, its memory included.
pub(super) fn readable_source(proc: &Proc, stream: Stream) -> LogSource {
    let open = match stream {
        Stream::Stdout => proc.streams.stdout(),
        Stream::Stderr => proc.streams.stderr(),
    };
    match open.map(|open| open.read_source()) {
        Some(LogSource::Memory(ring)) => LogSource::Memory(ring),
        // A file can be read although the process has never run.
        _ => log_source(proc, stream),
    }
}

/// The file that a stream of a process is logged to.
pub(super) fn log_source(proc: &Proc, stream: Stream) -> LogSource {
    let (config, auto) = match stream {
        Stream::Stdout => (&proc.config.stdout, &proc.logs.stdout),
        Stream::Stderr if proc.config.redirect_stderr => return LogSource::None,
        Stream::Stderr => (&proc.config.stderr, &proc.logs.stderr),
    };
    match &config.logfile {
        ChildLog::File(path) => LogSource::File(raw::path(path)),
        ChildLog::Auto => auto.clone().map_or(LogSource::None, LogSource::File),
        ChildLog::None => LogSource::None,
        ChildLog::Memory => LogSource::None,
    }
}
