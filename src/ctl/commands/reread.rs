//! `reread`: read the configuration again and print the differences.

use super::avail::shutting_down;
use super::{Command, Completes};
use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::records;
use crate::ctl::session::Session;
use crate::model::fault::FaultCode;
use crate::rpc::client::CallError;

pub(super) const COMMAND: Command = Command {
    name: "reread",
    forms: &[("reread", "Read the daemon's configuration files again, without adding or removing processes")],
    note: "",
    completes: Completes::Nothing,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    if !arguments.is_empty() {
        return session.misused(&COMMAND, "Error: reread accepts no arguments", Exit::GENERIC);
    }
    let reread = match session.daemon.reload_config() {
        Ok(reread) => reread,
        Err(CallError::Fault { code, text }) if code == FaultCode::CantReread.code() => {
            let hints = place_of_problem(session);
            return Err(CtlError::Told { line: format!("ERROR: {text}"), hints, exit: Exit::GENERIC });
        }
        Err(problem) => return Err(shutting_down(problem)),
    };
    tell_skipped_files(session);
    let with = |word: &'static str| move |group: &String| (group.clone(), word);
    let mut lines: Vec<(String, &str)> = reread.added.iter().map(with("available")).collect();
    lines.extend(reread.changed.iter().map(with("changed")));
    lines.extend(reread.removed.iter().map(with("disappeared")));
    lines.sort();
    if lines.is_empty() {
        return Ok(session.screen.line("No config updates to processes")?);
    }
    let text: String = lines.iter().map(|(group, word)| format!("{group}: {word}\n")).collect();
    Ok(session.screen.bytes(text.as_bytes())?)
}

/// Tells which files of the configuration were left out, if there are any.
pub(super) fn tell_skipped_files(session: &mut Session) {
    for file in session.daemon.skipped_files() {
        session.screen.hint(&format!("left out of the configuration: {file}"));
    }
}

/// Where the configuration was wrong that could not be read again: what the fault has no room for. Nothing from a daemon
/// that does not tell.
pub(super) fn place_of_problem(session: &mut Session) -> Vec<String> {
    let answer = session.daemon.call("supervisord.getConfigProblem", vec![]);
    let place = answer.and_then(|answer| records::text(&answer)).unwrap_or_default();
    if place.is_empty() { Vec::new() } else { vec![format!("  at {place}")] }
}
