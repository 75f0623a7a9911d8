//! `start`: start processes and wait until they run.

use super::{Command, Completes, carry_out};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::orders::Order;
use crate::ctl::session::Session;

pub(super) const COMMAND: Command = Command {
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
    carry_out(session, &COMMAND, Order::Start, arguments, Exit::INVALID_ARGS)
}
