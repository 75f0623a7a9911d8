//! `quit`: leave the shell.

use super::{Command, Completes};
use crate::ctl::error::Outcome;
use crate::ctl::session::Session;

pub const COMMAND: Command = Command {
    name: "quit",
    forms: &[("quit", "Leave the supervisor shell")],
    note: "",
    completes: Completes::Nothing,
    run,
};

/// Whatever stands behind it is ignored; the empty line is Supervisor's.
fn run(session: &mut Session, _arguments: &str) -> Outcome {
    session.leaving = true;
    Ok(session.screen.line("")?)
}
