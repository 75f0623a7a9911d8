//! `stop`: stop processes and wait until they have ended.

use super::{Command, Completes, carry_out};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::orders::Order;
use crate::ctl::session::Session;

pub(super) const COMMAND: Command = Command {
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
    carry_out(session, &COMMAND, Order::Stop, arguments, Exit::GENERIC)
}
