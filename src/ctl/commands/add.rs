//! `add`: activate configured groups.

use super::{Command, Completes, words};
use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::names;
use crate::ctl::session::Session;
use crate::model::fault::FaultCode;
use crate::rpc::client::CallError;
use glob::Pattern;

pub(super) const COMMAND: Command = Command {
    name: "add",
    forms: &[("add <name> ...", "Activate the groups of these names, or matching a pattern, as last read")],
    note: "",
    completes: Completes::InactiveGroups,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    for word in words(arguments) {
        for group in groups(session, word, |inuse| !inuse)? {
            add(session, &group)?;
        }
    }
    Ok(())
}

fn add(session: &mut Session, group: &str) -> Outcome {
    let (code, text) = match session.daemon.add_process_group(group) {
        Ok(()) => return Ok(session.screen.line(&format!("{group}: added process group"))?),
        Err(CallError::Fault { code, text }) => (code, text),
        Err(problem) => return Err(problem.into()),
    };
    match FaultCode::from_code(code) {
        Some(FaultCode::ShutdownState) => session.complain("ERROR: shutting down", Exit::GENERIC),
        // Not a failure, as in Supervisor: what was asked for is the case.
        Some(FaultCode::AlreadyAdded) => Ok(session.screen.line("ERROR: process group already active")?),
        Some(FaultCode::BadName) => {
            session.complain(&format!("ERROR: no such process/group: {group}"), Exit::GENERIC)?;
            suggest(session, group, |inuse| !inuse);
            Ok(())
        }
        _ => session.complain(&format!("ERROR: {group}: {text}"), Exit::GENERIC),
    }
}

/// The groups a word means: itself, or those of the last read configuration that match it and are in use or not,
/// as `wanted` likes it.
///
/// # Errors
/// A call that came to nothing.
pub(super) fn groups(
    session: &mut Session,
    word: &str,
    wanted: fn(bool) -> bool,
) -> Result<Vec<String>, CtlError> {
    // `group:*` means the group, as it does everywhere else.
    let word = word.strip_suffix(":*").or_else(|| word.strip_suffix(':')).unwrap_or(word);
    if !names::is_wildcard(word) {
        return Ok(vec![word.to_string()]);
    }
    let candidates = candidates(session, wanted);
    let pattern = Pattern::new(word).ok();
    let matching: Vec<String> = candidates
        .into_iter()
        .filter(|group| group == word || pattern.as_ref().is_some_and(|pattern| pattern.matches(group)))
        .collect();
    if matching.is_empty() {
        session.complain(&format!("ERROR: no matching process/group: {word}"), Exit::GENERIC)?;
        suggest(session, word, wanted);
    }
    Ok(matching)
}

/// Tells on standard error which group may have been meant.
pub(super) fn suggest(session: &mut Session, word: &str, wanted: fn(bool) -> bool) {
    let bare: String = word.chars().filter(|c| !"*?[]:".contains(*c)).collect();
    if let Some(group) = names::nearest(&bare, candidates(session, wanted).into_iter()) {
        session.screen.hint(&format!("  did you mean {group}?"));
    }
}

/// Groups by whether they are in use. Those no longer configured are known by their processes.
pub(super) fn candidates(session: &mut Session, wanted: fn(bool) -> bool) -> Vec<String> {
    let configured = session.daemon.all_config_info().unwrap_or_default();
    let mut groups: Vec<String> =
        configured.into_iter().filter(|process| wanted(process.inuse)).map(|process| process.group).collect();
    if wanted(true) {
        groups.extend(session.known_processes().iter().map(|process| process.group.clone()));
    }
    groups.sort();
    groups.dedup();
    groups
}
