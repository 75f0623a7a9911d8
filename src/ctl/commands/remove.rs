//! `remove`: deactivate groups that are not running.

use super::{Command, Completes, add, words};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::session::Session;
use crate::model::fault::FaultCode;
use crate::rpc::client::CallError;

pub(super) const COMMAND: Command = Command {
    name: "remove",
    forms: &[("remove <name> ...", "Deactivate the stopped groups of these names, or matching a pattern")],
    note: "",
    completes: Completes::Groups,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    for word in words(arguments) {
        for group in add::groups(session, word, |inuse| inuse)? {
            remove(session, &group)?;
        }
    }
    Ok(())
}

fn remove(session: &mut Session, group: &str) -> Outcome {
    let (code, text) = match session.daemon.remove_process_group(group) {
        Ok(()) => return Ok(session.screen.line(&format!("{group}: removed process group"))?),
        Err(CallError::Fault { code, text }) => (code, text),
        Err(problem) => return Err(problem.into()),
    };
    match FaultCode::from_code(code) {
        Some(FaultCode::StillRunning) => {
            session.complain(&format!("ERROR: process/group still running: {group}"), Exit::GENERIC)
        }
        Some(FaultCode::BadName) => {
            session.complain(&format!("ERROR: no such process/group: {group}"), Exit::GENERIC)?;
            add::suggest(session, group, |inuse| inuse);
            Ok(())
        }
        Some(FaultCode::ShutdownState) => Err(CallError::Fault { code, text }.into()),
        _ => session.complain(&format!("ERROR: {group}: {text}"), Exit::GENERIC),
    }
}
