//! `version`: print the release of the daemon.

use super::{Command, Completes};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::session::Session;

pub(super) const COMMAND: Command = Command {
    name: "version",
    forms: &[("version", "Show the version of the remote supervisord")],
    note: "",
    completes: Completes::Nothing,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    if !arguments.is_empty() {
        return session.misused(&COMMAND, "Error: version accepts no arguments", Exit::GENERIC);
    }
    session.check()?;
    let version = session.daemon.supervisor_version()?;
    Ok(session.screen.line(&version)?)
}
