//! `run`: run a program once, and pass on its output and exit status.
//!
//! The output is what reaches the program's logs. Both are followed from where they end before the start; what was not
//! there before is read when the program has ended.

use super::{Command, Completes};
use crate::config::command;
use crate::ctl::daemon::text;
use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::follow::{is_readable, take_characters};
use crate::ctl::interrupt::Interrupt;
use crate::ctl::orders;
use crate::ctl::records::{self, Members};
use crate::ctl::session::Session;
use crate::ctl::tables::unsupported;
use crate::model::fault::FaultCode;
use crate::model::namespec::Namespec;
use crate::model::stream::Stream;
use crate::rpc::client::{CallError, Pending, http};
use crate::rpc::wire::Value;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(super) const COMMAND: Command = Command {
    name: "run",
    forms: &[
        ("run <name>", "Run a program once, show its output, and leave with its exit status"),
        ("run <name> -- <argument> ...", "Run it with more arguments behind those of its command"),
    ],
    note: "What it depends on is started first; nothing starts it again by itself. Ctrl-C stops it.",
    completes: Completes::Processes,
    run,
};

/// What a daemon sends of a log that is followed, before what comes anew.
const OLD_BYTES: u64 = 1024;

/// So long the rest of the output is waited for after the end of the program, if the log does not tell how much it is.
const QUIET: Duration = Duration::from_millis(300);

/// So long it is waited for at most.
const PATIENCE: Duration = Duration::from_secs(10);

fn run(session: &mut Session, arguments: &str) -> Outcome {
    // In the shell, quotes group as they do in a command of the configuration.
    let typed = session.exact_words.clone().map_or_else(|| command::split(arguments), Ok);
    let words = match &typed {
        Ok(words) => words,
        Err(why) => return session.misused(&COMMAND, &format!("Error: {why}"), Exit::GENERIC),
    };
    let (name, arguments) = match &words[..] {
        [] => return session.misused(&COMMAND, "Error: run requires a process name", Exit::GENERIC),
        [option, ..] if option.starts_with("--") => {
            return session.misused(&COMMAND, &format!("Error: bad argument {option}"), Exit::GENERIC);
        }
        [name] => (name, &[][..]),
        [name, dashes, arguments @ ..] if dashes == "--" => (name, arguments),
        _ => {
            let message = "Error: arguments for the program stand behind --";
            return session.misused(&COMMAND, message, Exit::GENERIC);
        }
    };
    session.check()?;
    let name = match session.process_info(name) {
        Ok(process) => process.namespec(),
        Err(problem) if problem.is_bad_name() => {
            session.complain(&format!("{name}: ERROR (no such process)"), Exit::GENERIC)?;
            orders::suggest(session, name);
            return Ok(());
        }
        Err(problem) => return Err(problem.into()),
    };
    run_once(session, &name, arguments)
}

fn run_once(session: &mut Session, name: &str, arguments: &[String]) -> Outcome {
    let interrupt = Interrupt::catch();
    let mut logs = Vec::new();
    for channel in Stream::ALL {
        logs.extend(Log::open(session, name, channel)?);
    }
    let arguments = arguments.iter().map(|argument| text(argument)).collect();
    let call = session.daemon.post("supervisord.runProcess", vec![text(name), Value::Array(arguments)])?;
    let mut call = Call::wait_for(call).map_err(CtlError::Output)?;
    let (interrupt, stop) = pass_on(session, name, &mut logs, &mut call, interrupt)?;
    let was_stopped = stop.is_some();
    let answer = call.answer();
    if answer.is_ok() {
        for log in &mut logs {
            log.finish(session, name)?;
        }
    }
    drop((interrupt, stop));
    let result = match answer {
        Ok(result) => result,
        Err(CallError::Fault { code, .. }) if code == FaultCode::AlreadyStarted.code() => {
            return session.complain(&format!("{name}: ERROR (already started)"), Exit::GENERIC);
        }
        Err(problem @ CallError::Fault { .. })
            if problem.fault() != Some(FaultCode::UnknownMethod.code()) =>
        {
            return session.complain(&format!("{name}: ERROR ({problem})"), Exit::GENERIC);
        }
        Err(problem) => {
            if matches!(problem, CallError::Broken(_)) {
                session
                    .screen
                    .hint(&format!("{name}: it goes on by itself; status tells how, tail shows its output"));
            }
            return Err(unsupported(problem));
        }
    };
    if was_stopped {
        session.fail(Exit::INTERRUPTED);
        return Ok(());
    }
    let result = Members::of(&result)?;
    let exit = result.get("exit").and_then(|_| u8::try_from(result.number("exit")).ok());
    match exit {
        Some(0) => {}
        Some(exit) => {
            // A signal is told, as a shell does: its number alone says little.
            let status = result.text("status");
            if !status.starts_with("exit status ") {
                session.screen.hint(&format!("{name}: {status}"));
            }
            session.fail(Exit(exit));
        }
        None => {
            let told = ["reason", "status"].map(|member| result.text(member));
            let why =
                told.into_iter().find(|text| !text.is_empty()).unwrap_or_else(|| "it did not run".into());
            session.complain(&format!("{name}: ERROR ({why})"), Exit::NOT_RUNNING)?;
        }
    }
    Ok(())
}

/// A call that a thread waits for.
struct Call {
    thread: JoinHandle<Result<Value, CallError>>,
    /// Readable once there is an answer.
    done: UnixStream,
}

impl Call {
    fn wait_for(pending: Pending) -> io::Result<Call> {
        let (done, tell) = UnixStream::pair()?;
        let wait = move || {
            let answer = pending.wait(None);
            drop(tell);
            answer
        };
        Ok(Call { thread: std::thread::Builder::new().spawn(wait)?, done })
    }

    fn answer(self) -> Result<Value, CallError> {
        self.thread.join().unwrap_or_else(|_| Err(CallError::Unexpected("it could not be read".into())))
    }
}

/// Prints what the logs have until the call is answered. Ctrl-C stops the program; a second one leaves it to that. Returns
/// what catches Ctrl-C, and the call that stops it if there was one.
fn pass_on(
    session: &mut Session,
    name: &str,
    logs: &mut [Log],
    call: &mut Call,
    mut interrupt: Option<Interrupt>,
) -> Result<(Option<Interrupt>, Option<Pending>), CtlError> {
    let mut stop = None;
    loop {
        let pending = logs.iter().any(Log::has_pending);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut fds = vec![PollFd::new(&call.done, PollFlags::IN)];
        fds.extend(interrupt.as_ref().map(|interrupt| PollFd::new(interrupt, PollFlags::IN)));
        fds.extend(logs.iter().filter_map(|log| Some(PollFd::new(log.stream.as_ref()?, PollFlags::IN))));
        match poll(&mut fds, pending.then_some(&now)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => fds.iter_mut().for_each(PollFd::clear_revents),
            Err(problem) => return Err(CtlError::Output(problem.into())),
        }
        let is_woken = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
        let (is_over, is_interrupted) = (is_woken(0), interrupt.is_some() && is_woken(1));
        drop(fds);
        for log in &mut *logs {
            log.take(session)?;
        }
        if is_over {
            return Ok((interrupt, stop));
        }
        if is_interrupted && stop.is_some() {
            return Err(CtlError::told(format!("{name}: is being stopped"), Exit::INTERRUPTED));
        }
        if is_interrupted {
            stop = session.daemon.post("supervisor.stopProcess", vec![text(name)]).ok();
            // From here on the next one counts.
            drop(interrupt.take());
            interrupt = Interrupt::catch();
        }
    }
}

/// One of the program's logs.
struct Log {
    channel: Stream,
    /// `None`: there was none before the start.
    stream: Option<http::Stream>,
    /// So many bytes are from before the start.
    n_old: usize,
    /// How long it was before the start, and how much has come since.
    begin: u64,
    n_new: u64,
    /// The beginning of a character that goes on.
    unfinished: Vec<u8>,
}

impl Log {
    /// Opens a log at its end; `None`, with a word on standard error, if the output does not come here.
    fn open(session: &mut Session, name: &str, channel: Stream) -> Result<Option<Log>, CtlError> {
        let begin = log_size(session, name, channel)?;
        let stream = match session.daemon.follow_process_log(name, channel) {
            Ok(stream) => Some(stream),
            Err(CallError::Http { status: 404, .. }) => None,
            Err(problem) => return Err(problem.into()),
        };
        if let Some(why) = is_elsewhere(session, name, channel)? {
            session.screen.hint(&format!("{name}: its {} is not shown: {why}", channel.name()));
            return Ok(None);
        }
        let begin = begin.filter(|_| stream.is_some()).unwrap_or(0);
        let n_old = begin.min(OLD_BYTES) as usize;
        Ok(Some(Log { channel, stream, n_old, begin, n_new: 0, unfinished: Vec::new() }))
    }

    fn has_pending(&self) -> bool {
        self.stream.as_ref().is_some_and(http::Stream::has_pending)
    }

    /// Prints what is there, without waiting; whether that was anything.
    fn take(&mut self, session: &mut Session) -> Result<bool, CtlError> {
        let Some(stream) = &mut self.stream else { return Ok(false) };
        if !stream.has_pending() && !is_readable(stream) {
            return Ok(false);
        }
        let mut bytes = Vec::new();
        if stream.advance(&mut bytes).is_err() || stream.has_ended() {
            self.stream = None;
        }
        let n_old = self.n_old.min(bytes.len());
        self.n_old -= n_old;
        self.n_new += (bytes.len() - n_old) as u64;
        self.unfinished.extend(bytes.drain(n_old..));
        let bytes = take_characters(&mut self.unfinished, &session.screen);
        self.print(session, &bytes)?;
        Ok(true)
    }

    fn print(&self, session: &mut Session, bytes: &[u8]) -> Outcome {
        match self.channel {
            Stream::Stdout => Ok(session.screen.bytes(bytes)?),
            Stream::Stderr => Ok(session.screen.error_bytes(bytes)?),
        }
    }

    /// The program has ended: prints the rest. How much that is tells the length of the log, unless it was rotated, or is in
    /// memory and full.
    fn finish(&mut self, session: &mut Session, name: &str) -> Outcome {
        if self.stream.is_none() && self.n_new == 0 {
            let rest = session.daemon.read_process_log(name, self.channel, 0);
            return self.print(session, rest.unwrap_or_default().as_bytes());
        }
        let end = log_size(session, name, self.channel)?.unwrap_or(0);
        let give_up_at = Instant::now() + PATIENCE;
        let mut quiet_until = Instant::now() + QUIET;
        let is_complete = |log: &Log| log.begin + log.n_new == end && log.n_old == 0;
        while self.stream.is_some() && !is_complete(self) {
            let is_missing = self.begin + self.n_new < end;
            let until = if is_missing { give_up_at } else { quiet_until };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            if !self.has_pending()
                && let Some(stream) = &self.stream
            {
                let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
                let mut fds = [PollFd::new(stream, PollFlags::IN)];
                if !matches!(poll(&mut fds, Some(&left)), Ok(1..) | Err(rustix::io::Errno::INTR)) {
                    break;
                }
            }
            if self.take(session)? {
                quiet_until = Instant::now() + QUIET;
            }
        }
        let rest = std::mem::take(&mut self.unfinished);
        self.print(session, &rest)?;
        if end < self.begin + self.n_new {
            session.screen.hint(&format!(
                "{name}: its log of {} was rotated, or is full; some of its output may be missing here",
                self.channel.name()
            ));
        }
        Ok(())
    }
}

/// How long a log is; `None` if there is none.
fn log_size(session: &mut Session, name: &str, channel: Stream) -> Result<Option<u64>, CtlError> {
    let method = match channel {
        Stream::Stdout => "supervisor.tailProcessStdoutLog",
        Stream::Stderr => "supervisor.tailProcessStderrLog",
    };
    let params = vec![text(name), Value::Integer(0), Value::Integer(0)];
    match session.daemon.call(method, params) {
        Ok(answer) => {
            let size = records::array(&answer)?.get(1).map_or(Ok(0), records::integer)?;
            Ok(u64::try_from(size).ok())
        }
        Err(CallError::Fault { .. }) => Ok(None),
        Err(problem) => Err(problem.into()),
    }
}

/// Why an output does not come to a log of its own; `None` if it does.
fn is_elsewhere(
    session: &mut Session,
    name: &str,
    channel: Stream,
) -> Result<Option<&'static str>, CtlError> {
    let answer = session.daemon.call("supervisor.getAllConfigInfo", vec![])?;
    let wanted = Namespec::parse(name);
    for process in records::array(&answer)? {
        let members = Members::of(process)?;
        if members.text("group") != wanted.group || Some(members.text("name")) != wanted.process {
            continue;
        }
        if channel == Stream::Stderr && members.flag("redirect_stderr") {
            return Ok(Some("it goes where its stdout goes (redirect_stderr)"));
        }
        let log = members.text(&format!("{}_logfile", channel.name()));
        return Ok((log == "none").then_some("it has no log (NONE)"));
    }
    Ok(None)
}
