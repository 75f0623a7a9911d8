//! `clear`: empty the logs of processes.

use super::{Command, Completes, carry_out, words};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::orders::Order;
use crate::ctl::session::Session;

pub(super) const COMMAND: Command = Command {
    name: "clear",
    forms: &[
        ("clear <name> ...", "Empty the logs of one process, or of several"),
        ("clear <gname>:*", "Empty the logs of all processes of a group"),
        ("clear '<pattern>'", "Empty the logs of all processes whose name or group matches"),
        ("clear all", "Empty the logs of all processes"),
    ],
    note: "Older, rotated files stay as they are.",
    completes: Completes::Processes,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    carry_out(session, &COMMAND, Order::Clear, &words(arguments), Exit::GENERIC)
}
