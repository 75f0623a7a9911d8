//! `signal`: send signals to processes.

use super::{Command, Completes, words};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::orders::{self, Order};
use crate::ctl::records::Process;
use crate::ctl::session::Session;
use crate::model::signal::Signal;

pub(super) const COMMAND: Command = Command {
    name: "signal",
    forms: &[
        ("signal <signal> <name> ...", "Send a signal to one process, or to each of several"),
        ("signal <signal> <gname>:*", "Send a signal to all processes of a group"),
        ("signal <signal> '<pattern>'", "Send a signal to all processes whose name or group matches"),
        ("signal <signal> all", "Send a signal to all processes"),
        ("signal <signal>,<signal> ...", "Send several signals, one after the other"),
    ],
    note: "",
    completes: Completes::SignalThenProcesses,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    session.check()?;
    let words = words(arguments);
    let [first, rest @ ..] = words.as_slice() else { return too_few(session) };
    if rest.is_empty() {
        return too_few(session);
    }
    let n_more = more_signals(session, rest);
    let (more, names) = rest.split_at(n_more);
    let signals = first.split(',').filter(|signal| !signal.is_empty()).chain(more.iter().copied());
    for signal in signals {
        orders::carry_out(session, Order::Signal(signal), names)?;
    }
    Ok(())
}

fn too_few(session: &mut Session) -> Outcome {
    session.misused(&COMMAND, "Error: signal requires a signal name and a process name", Exit::GENERIC)
}

/// How many words behind the first are signals too: those that name one and no process. The last word never is.
fn more_signals(session: &mut Session, words: &[&str]) -> usize {
    let candidates = words[..words.len() - 1].iter().take_while(|word| Signal::parse(word).is_some()).count();
    if candidates == 0 {
        return 0;
    }
    let names: Vec<String> = session.known_processes().iter().map(Process::namespec).collect();
    words[..candidates].iter().take_while(|word| !names.iter().any(|name| name == *word)).count()
}
