//! `reload`: restart the daemon.

use super::{Command, Completes};
use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::login;
use crate::ctl::session::{Mode, Session};
use crate::rpc::client::CallError;
use crate::rpc::fault::FaultCode;

pub const COMMAND: Command = Command {
    name: "reload",
    forms: &[(
        "reload",
        "Restart the remote supervisord: stop everything, read the configuration, start again",
    )],
    note: "To apply only what changed in the configuration, see update.",
    completes: Completes::Nothing,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    if !arguments.is_empty() {
        return session.misused(&COMMAND, "Error: reload accepts no arguments", Exit::GENERIC);
    }
    if session.mode == Mode::Interactive
        && !login::confirm(session, "Really restart the remote supervisord process y/N? ")?
    {
        return Ok(());
    }
    session.daemon.restart().map_err(already_shutting_down)?;
    Ok(session.screen.line("Restarted supervisord")?)
}

/// Gives a daemon on its way out the line that `reload` and `update` have for it.
pub fn already_shutting_down(problem: CallError) -> CtlError {
    if problem.fault() == Some(FaultCode::ShutdownState.code()) {
        return CtlError::told("ERROR: already shutting down", Exit::GENERIC);
    }
    CtlError::Call(problem)
}
