//! `fg`: attach to a process. Shows both its logs as they grow, and sends it what is typed.

use super::tail::HOW_TO_END;
use super::{Command, Completes, words};
use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::follow::{is_readable, take_characters};
use crate::ctl::interrupt::Interrupt;
use crate::ctl::names;
use crate::ctl::orders;
use crate::ctl::session::Session;
use crate::model::fault::FaultCode;
use crate::model::state::ProcessState;
use crate::model::stream::Stream;
use crate::rpc::client::CallError;
use crate::rpc::client::http;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;

pub(super) const COMMAND: Command = Command {
    name: "fg",
    forms: &[("fg <name>", "Connect to a process: see its output, type its input; Ctrl-C ends")],
    note: "",
    completes: Completes::Processes,
    run,
};

/// How often the process is looked at, if nothing else happens. There is no call that waits for its end.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };

fn run(session: &mut Session, arguments: &str) -> Outcome {
    session.check()?;
    let words = words(arguments);
    let name = match words[..] {
        [] => return session.misused(&COMMAND, "ERROR: no process name supplied", Exit::GENERIC),
        [word] if names::is_wildcard(word) => match &orders::matching(session, word)[..] {
            [] => return orders::no_match(session, word, Exit::GENERIC),
            [name] => name.clone(),
            _ => return session.complain("ERROR: too many process names supplied", Exit::GENERIC),
        },
        [name] => name.to_string(),
        _ => return session.complain("ERROR: too many process names supplied", Exit::GENERIC),
    };
    match session.process_info(&name) {
        Ok(process) if process.state == i64::from(ProcessState::Running.code()) => {
            attach(session, &process.namespec())
        }
        Ok(_) => session.complain("ERROR: process not running", Exit::GENERIC),
        Err(problem) if problem.fault() == Some(FaultCode::BadName.code()) => {
            session.complain("ERROR: bad process name supplied", Exit::GENERIC)?;
            orders::suggest(session, &name);
            Ok(())
        }
        Err(problem) => Err(problem.into()),
    }
}

/// A log of the process.
struct Log {
    stream: http::Stream,
    /// The beginning of a character that goes on.
    unfinished: Vec<u8>,
}

/// Why the attachment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D, or the end of what was piped in.
    InputEnded,
    ProcessGone,
}

fn attach(session: &mut Session, name: &str) -> Outcome {
    let mut streams = Vec::new();
    for channel in Stream::ALL {
        match session.daemon.follow_process_log(name, channel) {
            Ok(stream) => streams.push(Log { stream, unfinished: Vec::new() }),
            Err(CallError::Http { status: 404, .. }) => {
                session.screen.hint(&format!("{name}: there is no log of its {}", channel.name()));
            }
            Err(problem) => return Err(problem.into()),
        }
    }
    session.screen.line(HOW_TO_END)?;
    let interrupt = Interrupt::catch();
    let end = converse(session, name, &mut streams, interrupt.as_ref())?;
    drop(interrupt);
    session.input.reopen();
    match end {
        // The terminal has written `^C`.
        End::Interrupted if session.screen.terminal => session.screen.line("")?,
        End::ProcessGone => session.screen.line("Process got killed")?,
        End::Interrupted | End::InputEnded => {}
    }
    Ok(session.screen.line("Exiting foreground")?)
}

/// Passes bytes both ways until somebody ends it.
fn converse(
    session: &mut Session,
    name: &str,
    streams: &mut Vec<Log>,
    interrupt: Option<&Interrupt>,
) -> Result<End, CtlError> {
    loop {
        while let Some(line) = session.input.waiting_line() {
            match session.daemon.send_process_stdin(name, &format!("{line}\n")) {
                Ok(()) => {}
                Err(problem) if is_gone(&problem) => return Ok(End::ProcessGone),
                Err(problem) => return Err(problem.into()),
            }
        }
        if session.input.has_ended() {
            return Ok(End::InputEnded);
        }
        let woken = wait(streams, interrupt)?;
        if woken.interrupted {
            return Ok(End::Interrupted);
        }
        if woken.input {
            session.input.fill()?;
        }
        let printed = print(session, streams)?;
        if !printed && !woken.input && !still_runs(session, name)? {
            return Ok(End::ProcessGone);
        }
    }
}

/// Whether a refusal means that the process has ended, or closed its input.
fn is_gone(problem: &CallError) -> bool {
    let code = problem.fault().and_then(FaultCode::from_code);
    matches!(code, Some(FaultCode::NotRunning | FaultCode::NoFile | FaultCode::BadName))
}

fn still_runs(session: &mut Session, name: &str) -> Result<bool, CtlError> {
    match session.daemon.process_info(name) {
        Ok(process) => Ok(process.pid != 0),
        Err(problem) if is_gone(&problem) => Ok(false),
        Err(problem) => Err(problem.into()),
    }
}

/// Prints what the logs have; `false` if that is nothing. Logs that end are dropped.
fn print(session: &mut Session, streams: &mut Vec<Log>) -> Result<bool, CtlError> {
    let mut bytes = Vec::new();
    let mut got_some = false;
    streams.retain_mut(|Log { stream, unfinished }| {
        if !stream.has_pending() && !is_readable(stream) {
            return true;
        }
        let n_before = unfinished.len();
        let goes_on = stream.advance(unfinished).is_ok() && !stream.has_ended();
        got_some |= unfinished.len() > n_before;
        bytes.extend(if goes_on {
            take_characters(unfinished, &session.screen)
        } else {
            std::mem::take(unfinished)
        });
        goes_on
    });
    session.screen.bytes(&bytes)?;
    Ok(got_some)
}

struct Woken {
    input: bool,
    interrupted: bool,
}

/// Waits for output, input, Ctrl-C, or the time to look at the process.
fn wait(streams: &[Log], interrupt: Option<&Interrupt>) -> io::Result<Woken> {
    let stdin = io::stdin();
    let pending = streams.iter().any(|log| log.stream.has_pending());
    let patience = if pending { Timespec { tv_sec: 0, tv_nsec: 0 } } else { LOOK };
    let mut fds = vec![PollFd::new(&stdin, PollFlags::IN)];
    fds.extend(interrupt.map(|interrupt| PollFd::new(interrupt, PollFlags::IN)));
    fds.extend(streams.iter().map(|log| PollFd::new(&log.stream, PollFlags::IN)));
    match poll(&mut fds, Some(&patience)) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => fds.iter_mut().for_each(PollFd::clear_revents),
        Err(problem) => return Err(problem.into()),
    }
    let woken = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
    Ok(Woken { input: woken(0), interrupted: interrupt.is_some() && woken(1) })
}
