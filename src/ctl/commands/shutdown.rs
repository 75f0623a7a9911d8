//! `shutdown`: stop the daemon.

use super::{Command, Completes};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::login;
use crate::ctl::session::{Mode, Session};
use crate::model::fault::FaultCode;
use std::io::ErrorKind;

pub(super) const COMMAND: Command = Command {
    name: "shutdown",
    forms: &[("shutdown", "Shut the remote supervisord down")],
    note: "",
    completes: Completes::Nothing,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    if !arguments.is_empty() {
        return session.misused(&COMMAND, "Error: shutdown accepts no arguments", Exit::GENERIC);
    }
    if session.mode == Mode::Interactive
        && !login::confirm(session, "Really shut the remote supervisord process down y/N? ")?
    {
        return Ok(());
    }
    let Err(problem) = session.daemon.shutdown() else { return Ok(session.screen.line("Shut down")?) };
    if problem.fault() == Some(FaultCode::ShutdownState.code()) {
        // What was asked for happens already: no failure, as in Supervisor.
        return Ok(session.screen.line("ERROR: already shutting down")?);
    }
    let url = &session.daemon.url;
    let line = match problem.connect_kind() {
        Some(ErrorKind::ConnectionRefused) => format!("ERROR: {url} refused connection (already shut down?)"),
        Some(ErrorKind::NotFound) => format!("ERROR: {url} no such file (already shut down?)"),
        _ => return Err(problem.into()),
    };
    session.complain(&line, Exit::GENERIC)
}
