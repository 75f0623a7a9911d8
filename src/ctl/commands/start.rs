//! `start`: start processes and wait until they run.

use super::{Command, Completes, carry_out, options, words};
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
        ("start --no-deps ...", "Start them at once, without what they depend on"),
        ("start --no-wait ...", "Do not wait until they run, or until jobs have ended"),
    ],
    note: "",
    completes: Completes::Processes,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    match options(words(arguments), &["--no-deps", "--no-wait"]) {
        Ok((options, names)) => {
            let (alone, waits) = (options.contains(&"--no-deps"), !options.contains(&"--no-wait"));
            carry_out(session, &COMMAND, Order::Start { alone, waits }, &names, Exit::INVALID_ARGS)
        }
        Err(message) => session.misused(&COMMAND, &message, Exit::INVALID_ARGS),
    }
}
