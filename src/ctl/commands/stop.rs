//! `stop`: stop processes and wait until they have ended.

use super::{Command, Completes, words};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::orders::{self, Order};
use crate::ctl::session::Session;

pub const COMMAND: Command = Command {
    name: "stop",
    forms: &[
        ("stop <name> ...", "Stop one process, or several at the same time"),
        ("stop <gname>:*", "Stop all processes of a group"),
        ("stop '<pattern>'", "Stop all processes whose name or group matches"),
        ("stop all", "Stop all processes"),
    ],
    note: "",
    completes: Completes::Processes,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    session.check()?;
    let words = words(arguments);
    if words.is_empty() {
        return session.misused(&COMMAND, "Error: stop requires a process name", Exit::GENERIC);
    }
    orders::carry_out(session, Order::Stop, &words)
}
