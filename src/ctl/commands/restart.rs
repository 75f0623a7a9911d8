//! `restart`: stop and start again.

use super::{Command, Completes, words};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::orders::{self, Order};
use crate::ctl::session::Session;

pub const COMMAND: Command = Command {
    name: "restart",
    forms: &[
        ("restart <name> ...", "Restart one process, or several at the same time"),
        ("restart <gname>:*", "Restart all processes of a group"),
        ("restart '<pattern>'", "Restart all processes whose name or group matches"),
        ("restart all", "Restart all processes"),
    ],
    note: "Note: restart does not read the configuration again. For that, see reread and update.",
    completes: Completes::Processes,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    session.check()?;
    let words = words(arguments);
    if words.is_empty() {
        return session.misused(&COMMAND, "Error: restart requires a process name", Exit::GENERIC);
    }
    orders::carry_out(session, Order::Stop, &words)?;
    // What was not running can be started all the same, and its failure to stop is none.
    orders::carry_out(session, Order::Start, &words)
}
