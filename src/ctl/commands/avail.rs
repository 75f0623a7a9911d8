//! `avail`: list the configured processes.

use super::{Command, Completes};
use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::render;
use crate::ctl::session::Session;
use crate::model::fault::FaultCode;
use crate::rpc::client::CallError;

pub(super) const COMMAND: Command = Command {
    name: "avail",
    forms: &[("avail", "Show all configured processes")],
    note: "",
    completes: Completes::Nothing,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    if !arguments.is_empty() {
        return session.misused(&COMMAND, "Error: avail accepts no arguments", Exit::GENERIC);
    }
    let processes = session.daemon.all_config_info().map_err(shutting_down)?;
    let table: String = processes.iter().map(|process| render::avail_line(process) + "\n").collect();
    Ok(session.screen.bytes(table.as_bytes())?)
}

/// Gives a daemon on its way out the line that `avail` and `reread` have for it.
pub(super) fn shutting_down(problem: CallError) -> CtlError {
    if problem.fault() == Some(FaultCode::ShutdownState.code()) {
        return CtlError::told("ERROR: supervisor shutting down", Exit::GENERIC);
    }
    CtlError::Call(problem)
}
