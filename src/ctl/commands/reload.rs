//! `reload`: restart the daemon.

use super::{Command, Completes};
use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::login;
use crate::ctl::session::{Mode, Session, Style};
use crate::model::fault::FaultCode;
use crate::rpc::client::CallError;

pub(super) const COMMAND: Command = Command {
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
    warn(session);
    if session.mode == Mode::Interactive
        && !login::confirm(session, "Really restart the remote supervisord process y/N? ")?
    {
        return Ok(());
    }
    session.daemon.restart().map_err(already_shutting_down)?;
    Ok(session.screen.line("Restarted supervisord")?)
}

/// Tells people in the Go style, where a reload applies what changed, that this one restarts everything.
fn warn(session: &mut Session) {
    if session.settings.style != Style::Go || !session.screen.is_read() {
        return;
    }
    let n_running = session.known_processes().iter().filter(|process| process.pid != 0).count();
    let whom = match n_running {
        0 => return,
        1 => "the process that runs".to_string(),
        _ => format!("all {n_running} processes that run"),
    };
    session.screen.hint(&format!(
        "reload restarts supervisord with {whom}; update does not restart what did not change"
    ));
}

/// Gives a daemon on its way out the line that `reload` and `update` have for it.
pub(super) fn already_shutting_down(problem: CallError) -> CtlError {
    if problem.fault() == Some(FaultCode::ShutdownState.code()) {
        return CtlError::told("ERROR: already shutting down", Exit::GENERIC);
    }
    CtlError::Call(problem)
}
