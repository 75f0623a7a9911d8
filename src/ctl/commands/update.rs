//! `update`: read the configuration again and apply the differences.

use super::reload::already_shutting_down;
use super::reread::{place_of_problem, tell_skipped_files};
use super::{Command, Completes, plan, words};
use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::names;
use crate::ctl::records::{GroupChange, ProcessChange, Reread};
use crate::ctl::session::Session;
use crate::model::fault::FaultCode;
use crate::model::namespec;
use crate::model::state::ProcessState;
use crate::rpc::client::CallError;
use glob::Pattern;
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) const COMMAND: Command = Command {
    name: "update",
    forms: &[
        ("update", "Read the configuration again; add, remove, change and restart the processes it changes"),
        ("update all", "The same"),
        ("update --plan ...", "Only show what would happen, and because of which keys"),
        ("update <gname> ...", "The same for the groups of these names, or matching a pattern"),
    ],
    note: "",
    completes: Completes::AnyGroups,
    run,
};

/// How often a group that is still stopping is looked at again. There is no call that waits for it.
const STOPPING_POLL: Duration = Duration::from_millis(100);

fn run(session: &mut Session, arguments: &str) -> Outcome {
    let (options, words): (Vec<&str>, Vec<&str>) =
        words(arguments).into_iter().partition(|word| word.starts_with("--"));
    let plan_only = match options[..] {
        [] => false,
        ["--plan"] => true,
        [option, ..] => {
            return session.misused(&COMMAND, &format!("Error: bad argument {option}"), Exit::GENERIC);
        }
    };
    let is_all = words.is_empty() || words.contains(&"all");
    if is_all && let Some(changes) = by_process(session, None, plan_only)? {
        return finish(session, &changes, plan_only);
    }
    let reread = match session.daemon.reload_config() {
        Ok(reread) => reread,
        Err(problem) => return Err(not_reread(session, problem)),
    };
    let chosen = choose(session, &reread, &words)?;
    if !is_all && let Some(changes) = by_process(session, chosen.as_ref(), plan_only)? {
        return finish(session, &changes, plan_only);
    }
    // An original daemon knows whole groups only.
    let wanted = |group: &&String| chosen.as_ref().is_none_or(|chosen| chosen.contains(*group));
    if plan_only {
        return plan::print_groups(session, &reread, &wanted);
    }
    // One group's trouble does not keep the others from being updated.
    for group in reread.removed.iter().filter(wanted) {
        if stop(session, group)? && remove(session, group)? {
            session.screen.line(&format!("{group}: removed process group"))?;
        }
    }
    for group in reread.changed.iter().filter(wanted) {
        if stop(session, group)? && remove(session, group)? && add(session, group)? {
            session.screen.line(&format!("{group}: updated process group"))?;
        }
    }
    for group in reread.added.iter().filter(wanted) {
        if add(session, group)? {
            session.screen.line(&format!("{group}: added process group"))?;
        }
    }
    Ok(())
}

fn finish(session: &mut Session, changes: &[GroupChange], plan_only: bool) -> Outcome {
    tell_skipped_files(session);
    if plan_only {
        return plan::print(session, changes);
    }
    changes.iter().try_for_each(|change| tell(session, change))
}

/// What is told when the daemon has not read the configuration.
pub(super) fn not_reread(session: &mut Session, problem: CallError) -> CtlError {
    if problem.fault() == Some(FaultCode::CantReread.code()) {
        let hints = place_of_problem(session);
        return CtlError::Told { line: format!("error: {problem}"), hints, exit: Exit::GENERIC };
    }
    already_shutting_down(problem)
}

/// Lets the daemon update groups, process by process, or tell what it would do. `None` if it cannot.
fn by_process(
    session: &mut Session,
    chosen: Option<&BTreeSet<String>>,
    plan_only: bool,
) -> Result<Option<Vec<GroupChange>>, CtlError> {
    let groups: Vec<String> = chosen.into_iter().flatten().cloned().collect();
    if chosen.is_some() && groups.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let mut progress = session.screen.progress("update".to_string());
    let answer = session.daemon.update_groups(&groups, plan_only, &mut || progress.tick());
    drop(progress);
    match answer {
        Ok(changes) => Ok(Some(changes)),
        Err(problem) if problem.fault() == Some(FaultCode::UnknownMethod.code()) => Ok(None),
        Err(problem) => Err(not_reread(session, problem)),
    }
}

/// Tells what has become of a group, with the lines that an update of whole groups has.
fn tell(session: &mut Session, change: &GroupChange) -> Outcome {
    let group = &change.group;
    if !change.problem.is_empty() {
        return session.complain(&format!("ERROR: {group}: {}", change.problem), Exit::GENERIC);
    }
    let ends = |process: &&ProcessChange| matches!(process.action.as_str(), "remove" | "restart");
    let stopped: Vec<&ProcessChange> = change.processes.iter().filter(ends).collect();
    if change.action == "add" {
        return Ok(session.screen.line(&format!("{group}: added process group"))?);
    }
    if stopped.len() == change.members || change.action != "change" {
        session.screen.line(&format!("{group}: stopped"))?;
    } else {
        for process in stopped {
            session.screen.line(&format!("{}: stopped", namespec::display(group, &process.name)))?;
        }
    }
    let what = if change.action == "remove" { "removed" } else { "updated" };
    Ok(session.screen.line(&format!("{group}: {what} process group"))?)
}

/// The groups that the words name; `None` for all of them. Words that name none are told.
fn choose(
    session: &mut Session,
    reread: &Reread,
    words: &[&str],
) -> Result<Option<BTreeSet<String>>, CtlError> {
    if words.is_empty() || words.contains(&"all") {
        return Ok(None);
    }
    let active = session.daemon.all_process_info()?.into_iter().map(|process| process.group);
    let mut groups: BTreeSet<String> = active.collect();
    groups.extend([&reread.added, &reread.changed, &reread.removed].into_iter().flatten().cloned());
    let mut chosen = BTreeSet::new();
    for word in words {
        // `group:*` means the group, as it does everywhere else.
        let name = word.strip_suffix(":*").or_else(|| word.strip_suffix(':')).unwrap_or(word);
        let pattern = Pattern::new(name).ok().filter(|_| names::is_wildcard(name));
        let matches = |group: &&String| {
            *group == name || pattern.as_ref().is_some_and(|pattern| pattern.matches(group))
        };
        let found: Vec<String> = groups.iter().filter(matches).cloned().collect();
        if found.is_empty() {
            session.complain(&format!("ERROR: no such group: {word}"), Exit::GENERIC)?;
            if let Some(group) = names::nearest(name, groups.iter().cloned()) {
                session.screen.hint(&format!("  did you mean {group}?"));
            }
        }
        chosen.extend(found);
    }
    Ok(Some(chosen))
}

/// Stops a group; `false` if that was told to have failed.
fn stop(session: &mut Session, group: &str) -> Result<bool, CtlError> {
    let mut progress = session.screen.progress(format!("{group}:*"));
    let stopped = session.daemon.stop_process_group(group, &mut || progress.tick());
    drop(progress);
    let lines = match stopped {
        Ok(lines) => lines,
        Err(problem) => return refused(session, group, problem),
    };
    session.screen.line(&format!("{group}: stopped"))?;
    if lines.iter().any(|line| line.status == i64::from(FaultCode::Failed.code())) {
        session.complain(&format!("{group}: has problems; not removing"), Exit::GENERIC)?;
        return Ok(false);
    }
    Ok(true)
}

/// Removes a group, waiting for members that were stopping before we came; `false` if that was told to have failed.
fn remove(session: &mut Session, group: &str) -> Result<bool, CtlError> {
    loop {
        match session.daemon.remove_process_group(group) {
            Ok(()) => return Ok(true),
            Err(CallError::Fault { code, .. })
                if code == FaultCode::StillRunning.code() && is_stopping(session, group)? =>
            {
                std::thread::sleep(STOPPING_POLL);
            }
            Err(CallError::Fault { code, .. }) if code == FaultCode::StillRunning.code() => {
                session.complain(&format!("ERROR: process/group still running: {group}"), Exit::GENERIC)?;
                return Ok(false);
            }
            Err(problem) => return refused(session, group, problem),
        }
    }
}

/// Whether the members of a group that are not stopped yet are all about to be.
fn is_stopping(session: &mut Session, group: &str) -> Result<bool, CtlError> {
    let processes = session.daemon.all_process_info()?;
    let states = processes.iter().filter(|process| process.group == group);
    let states: Vec<Option<ProcessState>> =
        states.map(|process| ProcessState::from_code(i32::try_from(process.state).unwrap_or(-1))).collect();
    Ok(states
        .iter()
        .all(|state| state.is_some_and(|state| state.is_stopped() || state == ProcessState::Stopping)))
}

/// Adds a group; `false` if that was told to have failed.
fn add(session: &mut Session, group: &str) -> Result<bool, CtlError> {
    match session.daemon.add_process_group(group) {
        Ok(()) => Ok(true),
        Err(problem) => refused(session, group, problem),
    }
}

/// Tells what the daemon refused for one group. A daemon on its way out, or gone, ends the whole update.
fn refused(session: &mut Session, group: &str, problem: CallError) -> Result<bool, CtlError> {
    match problem {
        CallError::Fault { code, text } if code != FaultCode::ShutdownState.code() => {
            session.complain(&format!("ERROR: {group}: {text}"), Exit::GENERIC)?;
            Ok(false)
        }
        problem => Err(already_shutting_down(problem)),
    }
}
