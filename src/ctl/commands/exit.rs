//! `exit`: leave the shell.

use super::{Command, Completes};
use crate::ctl::error::Outcome;
use crate::ctl::session::Session;

pub(super) const COMMAND: Command = Command {
    name: "exit",
    forms: &[("exit", "Leave the supervisor shell")],
    note: "",
    completes: Completes::Nothing,
    run,
};

/// Whatever stands behind it is ignored; the empty line is Supervisor's.
pub(super) fn run(session: &mut Session, _arguments: &str) -> Outcome {
    session.leaving = true;
    Ok(session.screen.line("")?)
}
