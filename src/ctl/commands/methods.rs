//! `methods`: list the XML-RPC methods of the daemon.

use super::{Command, Completes};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::session::Session;

pub(super) const COMMAND: Command = Command {
    name: "methods",
    forms: &[("methods", "Show the names of all XML-RPC methods of the daemon, one per line")],
    note: "",
    completes: Completes::Nothing,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    if !arguments.is_empty() {
        return session.misused(&COMMAND, "Error: methods accepts no arguments", Exit::GENERIC);
    }
    session.check()?;
    let names = session.daemon.list_methods()?;
    let text: String = names.iter().map(|name| format!("{name}\n")).collect();
    Ok(session.screen.bytes(text.as_bytes())?)
}
