//! `open`: talk to another daemon.

use super::{Command, Completes, find};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::session::Session;

pub(super) const COMMAND: Command = Command {
    name: "open",
    forms: &[("open <url>", "Connect to another supervisord, at http://host:port or unix:///path")],
    note: "",
    completes: Completes::Nothing,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    if !arguments.starts_with("http://") && !arguments.starts_with("unix://") {
        return session.complain("ERROR: url must be http:// or unix://", Exit::GENERIC);
    }
    session.switch(arguments)?;
    // A stranger's programs, or its absence, are no failure of opening, as in Supervisor.
    let before = session.exit;
    if let Some(status) = find("status") {
        (status.run)(session, "")?;
    }
    session.exit = before;
    Ok(())
}
