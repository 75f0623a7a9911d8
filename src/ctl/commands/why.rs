//! `why`: explain the state of a process: how it got there, what it did before, and what happens next.

use super::reread::tell_skipped_files;
use super::{Command, Completes, status, words};
use crate::ctl::daemon::text;
use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::life::Life;
use crate::ctl::orders;
use crate::ctl::records::{self, Members, Process};
use crate::ctl::render;
use crate::ctl::screen::state_style;
use crate::ctl::session::Session;
use crate::model::fault::FaultCode;
use crate::model::state::ProcessState;
use crate::model::stream::Stream;
use crate::rpc::client::CallError;

pub(super) const COMMAND: Command = Command {
    name: "why",
    forms: &[(
        "why <name> ...",
        "Show why processes are in their state, their last exits and what happens next",
    )],
    note: "",
    completes: Completes::Processes,
    run,
};

/// How many lines of a log are shown.
const LOG_LINES: usize = 10;
/// From how many bytes they are taken.
const LOG_BYTES: i64 = 4096;

fn run(session: &mut Session, arguments: &str) -> Outcome {
    session.check()?;
    let words = words(arguments);
    if words.is_empty() {
        return session.misused(&COMMAND, "Error: why requires a process name", Exit::GENERIC);
    }
    let processes = session.daemon.all_process_info()?;
    let (shown, problems) = status::select(&words, &processes, session.settings.style);
    for (word, line) in problems {
        session.complain(&line, Exit::GENERIC)?;
        orders::suggest(session, word);
    }
    for (index, process) in shown.into_iter().enumerate() {
        if index > 0 {
            session.screen.line("")?;
        }
        explain(session, process)?;
    }
    tell_skipped_files(session);
    Ok(())
}

fn explain(session: &mut Session, process: &Process) -> Outcome {
    let history = history(session, &process.namespec())?;
    let meaning = meaning(process, history.as_ref());
    let screen = &mut session.screen;
    let state = screen.styled(&screen.shown(&process.statename), state_style(process.state));
    let head = format!("{}: {state}, {}\n", screen.shown(&process.namespec()), screen.shown(&meaning));
    screen.drawn(head.as_bytes())?;
    match history {
        Some(history) => tell_history(session, process, &history)?,
        None => tell_last_exit(session, process)?,
    }
    show_log(session, process)
}

/// What a state means, with what the daemon says about it.
fn meaning(process: &Process, history: Option<&History>) -> String {
    let state = state(process);
    let waits = history.is_some_and(|history| !history.next.is_empty());
    let problem = if process.spawnerr.is_empty() { "" } else { ": " };
    let spawnerr = &process.spawnerr;
    if let Some(life) = history.and_then(|history| history.life.as_ref())
        && let Some(meaning) = meaning_of_life(process, life, waits)
    {
        return meaning;
    }
    match state {
        Some(ProcessState::Stopped) if process.start == 0 => "it was never started".to_string(),
        Some(ProcessState::Stopped) => "it was told to stop".to_string(),
        Some(ProcessState::Starting) => "it was started and has not run for startsecs yet".to_string(),
        Some(ProcessState::Running) => process.description.clone(),
        Some(ProcessState::Backoff) => {
            format!("it ended too soon and will be started again{problem}{spawnerr}")
        }
        Some(ProcessState::Stopping) => "it was told to stop and has not ended yet".to_string(),
        Some(ProcessState::Exited) if waits => {
            "it ended within a second of its start and waits to be started again".to_string()
        }
        Some(ProcessState::Exited) => "it ended by itself and will not be started again".to_string(),
        Some(ProcessState::Fatal) => format!("it could not be started and was given up{problem}{spawnerr}"),
        Some(ProcessState::Unknown) | None => "the daemon lost control of it".to_string(),
    }
}

/// The same where Supervisor's words would not be true of what it does not know; `None` where they are.
fn meaning_of_life(process: &Process, life: &Life, waits: bool) -> Option<String> {
    let spawnerr = &process.spawnerr;
    let because = if spawnerr.is_empty() { String::new() } else { format!(": {spawnerr}") };
    let again = if waits { "; it is tried again" } else { "" };
    Some(match state(process)? {
        ProcessState::Stopped if life.comes_back => {
            "it was stopped because what it depends on is not up, and comes back when its dependencies hold"
                .into()
        }
        // A stop that a client has asked for leaves what went wrong before.
        ProcessState::Stopped | ProcessState::Stopping if spawnerr.ends_with("(memory_limit)") => {
            let has_ended = process.pid == 0;
            format!("{}: it {spawnerr}", if has_ended { "it was stopped" } else { "it is being stopped" })
        }
        ProcessState::Starting if !life.waiting_for.is_empty() => {
            format!("it waits for {}", life.waiting_for)
        }
        ProcessState::Starting if life.is_failing => format!("it has failed and is to end{because}"),
        ProcessState::Starting if process.pid == 0 && !process.description.is_empty() => {
            format!("it is {}", process.description)
        }
        ProcessState::Starting if life.is_job => format!("it is a job and runs: {}", process.description),
        ProcessState::Starting if !life.ready.is_empty() => "it was started and is not ready yet".into(),
        ProcessState::Backoff => format!("it has failed and will be started again{because}"),
        ProcessState::Exited if life.is_job && spawnerr.is_empty() => "it is a job and is done".into(),
        ProcessState::Exited if waits => format!("it has ended and waits to be started again{because}"),
        ProcessState::Exited => format!("it has ended and will not be started again{because}"),
        ProcessState::Fatal if life.comes_back => {
            format!("it could not be started{because}; it comes back when its dependencies hold")
        }
        ProcessState::Fatal => format!("it could not be started and was given up{because}{again}"),
        _ => return None,
    })
}

fn state(process: &Process) -> Option<ProcessState> {
    i32::try_from(process.state).ok().and_then(ProcessState::from_code)
}

/// What our own daemons remember about a process.
struct History {
    /// In the order in which they happened.
    exits: Vec<PastExit>,
    /// What happens next, empty if nothing does by itself.
    next: String,
    /// Seconds until then; negative: no moment is set.
    next_in: i64,
    /// The same in milliseconds; `None` from a daemon that counts seconds only.
    next_in_ms: Option<i64>,
    /// What is unusual about it; empty if nothing is.
    note: String,
    /// What Supervisor does not know of it, if its configuration asks for any of that.
    life: Option<Life>,
}

struct PastExit {
    /// Seconds since 1970.
    at: i64,
    pid: i64,
    /// In the activity log's words.
    status: String,
    expected: bool,
    /// How long it had run, in milliseconds.
    lasted_ms: i64,
    /// What is known besides the status; empty if nothing is.
    reason: String,
    /// Who was left of its tree and was killed: `sh (12), sleep (13)`.
    left_behind: String,
}

/// Asks for the history; `None` from a daemon that keeps none.
fn history(session: &mut Session, name: &str) -> Result<Option<History>, CtlError> {
    let answer = match session.daemon.call("supervisord.getProcessHistory", vec![text(name)]) {
        Ok(answer) => answer,
        Err(problem) if problem.fault() == Some(FaultCode::UnknownMethod.code()) => return Ok(None),
        Err(problem) => return Err(problem.into()),
    };
    let members = Members::of(&answer)?;
    let exits = match members.get("exits") {
        Some(exits) => records::array(exits)?.iter().map(past_exit).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    Ok(Some(History {
        exits,
        next: members.text("next"),
        next_in: members.number("next_in"),
        next_in_ms: members.get("next_in_ms").map(|_| members.number("next_in_ms")),
        note: members.text("note"),
        life: Life::read(&members)?,
    }))
}

fn past_exit(value: &crate::rpc::wire::Value) -> Result<PastExit, CallError> {
    let members = Members::of(value)?;
    Ok(PastExit {
        at: members.number("at"),
        pid: members.number("pid"),
        status: members.text("status"),
        expected: members.flag("expected"),
        lasted_ms: members.number("lasted_ms"),
        reason: members.text("reason"),
        left_behind: members.text("left_behind"),
    })
}

fn tell_history(session: &mut Session, process: &Process, history: &History) -> Outcome {
    if !history.note.is_empty() {
        session.screen.line(&format!("note: {}", history.note))?;
    }
    for line in history.life.iter().flat_map(Life::lines) {
        session.screen.line(&line)?;
    }
    if !history.exits.is_empty() {
        session.screen.line("last exits:")?;
    }
    for exit in &history.exits {
        let judgement = if exit.expected { "expected" } else { "not expected" };
        // Milliseconds are plenty; a float holds those of 285,000 years.
        let seconds = exit.lasted_ms as f64 / 1000.0;
        let time = render::utc(exit.at);
        let (pid, status) = (exit.pid, &exit.status);
        let reason = if exit.reason.is_empty() { String::new() } else { format!("; {}", exit.reason) };
        let line = format!("  {time}  pid {pid}: {status}, {judgement}, after {seconds:.1} s{reason}");
        session.screen.line(&line)?;
        if !exit.left_behind.is_empty() {
            session.screen.line(&format!("    left behind and killed: {}", exit.left_behind))?;
        }
    }
    let comes_back =
        history.life.as_ref().is_some_and(|life| life.comes_back || !life.waiting_for.is_empty());
    let starts = match state(process) {
        Some(ProcessState::Backoff | ProcessState::Exited | ProcessState::Fatal) => true,
        Some(ProcessState::Starting) => process.pid == 0 && !comes_back,
        _ => false,
    };
    match (history.next.as_str(), history.next_in) {
        (_, 0..) if starts && let Some(millis) = history.next_in_ms => {
            let attempt = history.life.as_ref().filter(|life| life.failures > 0).map(attempt);
            let attempt = attempt.unwrap_or_default();
            session.screen.line(&format!("next start in {}{attempt}", short(millis)))?;
        }
        // What runs goes on running.
        ("", _) if process.pid != 0 => {}
        ("", _) if comes_back => session.screen.line("next: it starts when its dependencies hold")?,
        ("", _) => session.screen.line("next: nothing until a client asks for it")?,
        (next, ..0) => session.screen.line(&format!("next: {next}"))?,
        (next, seconds) => session.screen.line(&format!("next: {next} in {seconds} s"))?,
    }
    Ok(())
}

/// Which start comes next after failures: `, retry 4 of 10`.
fn attempt(life: &Life) -> String {
    match life.startretries {
        ..0 => format!(", retry {}", life.failures),
        most => format!(", retry {} of {most}", life.failures),
    }
}

/// A time to wait: tenths of a second below ten seconds, else whole ones. Never shorter than it is.
fn short(millis: i64) -> String {
    match millis {
        ..10_000 => format!("{}.{}s", (millis + 99) / 1000, (millis + 99) / 100 % 10),
        _ => format!("{}s", (millis + 999) / 1000),
    }
}

/// What every daemon can tell.
fn tell_last_exit(session: &mut Session, process: &Process) -> Outcome {
    if process.stop == 0 {
        return Ok(());
    }
    let status = match (state(process), process.exitstatus) {
        // The daemon reports 0 there whatever it was.
        (Some(ProcessState::Backoff | ProcessState::Fatal), _) => String::new(),
        (_, -1) => ", terminated by a signal".to_string(),
        (_, status) => format!(", exit status {status}"),
    };
    Ok(session.screen.line(&format!("last exit: {}{status}", render::utc(process.stop)))?)
}

/// Shows the end of stderr, or of stdout if stderr has no log of its own or says nothing.
fn show_log(session: &mut Session, process: &Process) -> Outcome {
    for (channel, file) in
        [(Stream::Stderr, &process.stderr_logfile), (Stream::Stdout, &process.stdout_logfile)]
    {
        let Ok(log) = session.daemon.read_process_log(&process.namespec(), channel, -LOG_BYTES) else {
            continue;
        };
        let lines: Vec<&str> = log.lines().collect();
        // The first line of a cut log is most likely half a line.
        let first = usize::from(log.len() as i64 >= LOG_BYTES).max(lines.len().saturating_sub(LOG_LINES));
        if let Some(lines) = lines.get(first..).filter(|lines| !lines.is_empty()) {
            session.screen.line(&format!("last lines of its {} ({file}):", channel.name()))?;
            return lines.iter().try_for_each(|line| Ok(session.screen.line(&format!("  {line}"))?));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn times_to_wait() {
        for (millis, text) in [
            (0, "0.0s"),
            (1, "0.1s"),
            (600, "0.6s"),
            (601, "0.7s"),
            (950, "1.0s"),
            (9_999, "10.0s"),
            (10_001, "11s"),
        ] {
            assert_eq!(short(millis), text);
        }
    }
}
