//! `keeper`: show the two processes of the daemon.

use super::{Command, Completes};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::records::Members;
use crate::ctl::session::Session;
use crate::model::fault::FaultCode;

pub(super) const COMMAND: Command = Command {
    name: "keeper",
    forms: &[("keeper", "Show the daemon's two processes, and how often the manager was started")],
    note: "",
    completes: Completes::Nothing,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    if !arguments.is_empty() {
        return session.misused(&COMMAND, "Error: keeper accepts no arguments", Exit::GENERIC);
    }
    session.check()?;
    let answer = match session.daemon.call("supervisord.getKeeper", vec![]) {
        Ok(answer) => answer,
        Err(problem) if problem.fault() == Some(FaultCode::UnknownMethod.code()) => {
            return session.complain("ERROR: this daemon has no keeper", Exit::GENERIC);
        }
        Err(problem) => return Err(problem.into()),
    };
    let members = Members::of(&answer)?;
    for (label, name) in
        [("keeper", "keeper_pid"), ("manager", "manager_pid"), ("managers started", "manager_starts")]
    {
        session.screen.line(&format!("{label:<18}{}", members.number(name)))?;
    }
    for (label, name) in [
        ("version", "manager_version"),
        ("commit", "commit"),
        ("as Supervisor", "supervisor_version"),
        ("upgrade", "upgrade"),
    ] {
        // A daemon of an earlier release does not say all of it.
        if members.get(name).is_some() {
            session.screen.line(&format!("{label:<18}{}", members.text(name)))?;
        }
    }
    Ok(())
}
