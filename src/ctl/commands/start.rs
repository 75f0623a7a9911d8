//! `start`: start processes and wait until they run.

use super::{Command, Completes, words};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::orders::{self, Order};
use crate::ctl::session::Session;

pub const COMMAND: Command = Command {
    name: "start",
    forms: &[
        ("start <name> ...", "Start one process, or several at the same time"),
        ("start <gname>:*", "Start all processes of a group"),
        ("start '<pattern>'", "Start all processes whose name or group matches"),
        ("start all", "Start all processes"),
    ],
    note: "",
    completes: Completes::Processes,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    session.check()?;
    let words = words(arguments);
    if words.is_empty() {
        return session.misused(&COMMAND, "Error: start requires a process name", Exit::INVALID_ARGS);
    }
    orders::carry_out(session, Order::Start, &words)
}
