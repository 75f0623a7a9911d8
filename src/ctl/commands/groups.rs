//! `start-group` and `stop-group`: groups in the syntax of the Go versions.

use super::{Command, Completes, words};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::orders::{self, Order};
use crate::ctl::session::Session;

pub(super) const START: Command = Command {
    name: "start-group",
    forms: &[("start-group <gname> ...", "Start all processes of groups, like start <gname>:*")],
    note: "",
    completes: Completes::Groups,
    run: |session, arguments| run(session, &START, Order::START, arguments),
};

pub(super) const STOP: Command = Command {
    name: "stop-group",
    forms: &[("stop-group <gname> ...", "Stop all processes of groups, like stop <gname>:*")],
    note: "",
    completes: Completes::Groups,
    run: |session, arguments| run(session, &STOP, Order::Stop, arguments),
};

fn run(session: &mut Session, command: &Command, order: Order<'_>, arguments: &str) -> Outcome {
    session.check()?;
    let groups: Vec<String> = words(arguments).into_iter().map(as_namespec).collect();
    if groups.is_empty() {
        let message = format!("Error: {} requires a group name", command.name);
        return session.misused(command, &message, Exit::GENERIC);
    }
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    orders::carry_out(session, order, &groups)
}

/// `all` stays; everything else is a group, with or without its `:*`.
fn as_namespec(word: &str) -> String {
    match word {
        "all" => word.to_string(),
        _ => format!("{}:*", word.trim_end_matches(":*").trim_end_matches(':')),
    }
}
