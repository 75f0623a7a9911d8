//! `stop`: stop processes and wait until they have ended.

use super::{Command, Completes, carry_out, options, words};
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
        ("stop --dependents ...", "Stop what depends on them, too, and before them"),
    ],
    note: "",
    completes: Completes::Processes,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    match options(words(arguments), &["--dependents"]) {
        Ok((options, names)) => {
            let order = if options.is_empty() { Order::Stop } else { Order::StopWithDependents };
            carry_out(session, &COMMAND, order, &names, Exit::GENERIC)
        }
        Err(message) => session.misused(&COMMAND, &message, Exit::GENERIC),
    }
}
