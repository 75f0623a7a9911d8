//! `enable` and `disable`: whether processes start with the daemon.

use super::scale::{UNTIL_END, tell_how_long};
use super::{Command, Completes, options, words};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::names;
use crate::ctl::orders::{self, Order};
use crate::ctl::programs::Enabled;
use crate::ctl::session::Session;
use crate::ctl::tables::unsupported;
use crate::model::fault::FaultCode;
use crate::model::namespec::Namespec;
use crate::model::state::ProcessState;
use crate::rpc::client::CallError;
use std::collections::HashSet;

/// `enable`.
pub(super) const ENABLE: Command = Command {
    name: "enable",
    forms: &[
        ("enable <name> ...", "Let processes start with the daemon, whatever autostart says"),
        ("enable <gname>:*", "All of a group; a program and a pattern mean all of theirs, all means all"),
        ("enable --now ...", "Start them, too"),
    ],
    note: "It outlives the daemon if that has a state_file.",
    completes: Completes::Processes,
    run: |session, arguments| run(session, &ENABLE, arguments, true),
};

/// `disable`.
pub(super) const DISABLE: Command = Command {
    name: "disable",
    forms: &[
        ("disable <name> ...", "Keep processes from starting with the daemon, whatever autostart says"),
        ("disable <gname>:*", "All of a group; a program and a pattern mean all of theirs, all means all"),
        ("disable --now ...", "Stop them, too"),
    ],
    note: "They can be started, and what depends on them starts them. It outlives the daemon if that has a state_file.",
    completes: Completes::Processes,
    run: |session, arguments| run(session, &DISABLE, arguments, false),
};

fn run(session: &mut Session, command: &Command, arguments: &str, starts: bool) -> Outcome {
    let (options, words) = match options(words(arguments), &["--now"]) {
        Ok(parted) => parted,
        Err(message) => return session.misused(command, &message, Exit::GENERIC),
    };
    if words.is_empty() {
        let text = format!("Error: {} requires a process name", command.name);
        return session.misused(command, &text, Exit::GENERIC);
    }
    session.check()?;
    let names = chosen(session, &words)?;
    if names.is_empty() {
        return Ok(());
    }
    let Enabled { names, processes, kept, problem } = match session.daemon.set_enabled(&names, starts) {
        Ok(enabled) => enabled,
        Err(CallError::Fault { code, text }) if code == FaultCode::BadName.code() => {
            let name = text.split_once(": ").map_or(text.as_str(), |(_, name)| name).to_string();
            session.complain(&format!("{name}: ERROR (no such process)"), Exit::GENERIC)?;
            orders::suggest(session, &name);
            return Ok(());
        }
        Err(CallError::Fault { code, text }) if code == FaultCode::Failed.code() => {
            let text = text.split_once(": ").map_or(text.as_str(), |(_, reason)| reason);
            return session.complain(&format!("ERROR: {text}"), Exit::GENERIC);
        }
        Err(problem) => return Err(unsupported(problem)),
    };
    let what = if starts { "enabled" } else { "disabled" };
    for name in &names {
        session.screen.line(&format!("{}: {what}", shortest(name)))?;
    }
    tell_how_long(session, &kept, &problem)?;
    if kept == "until_end" && problem.is_empty() {
        session.screen.hint(&format!("{UNTIL_END}: it has no state_file"));
    }
    if options.is_empty() { Ok(()) } else { now(session, &processes, starts) }
}

/// The names with those that patterns match in their places. A pattern that matches nothing is told.
fn chosen(session: &mut Session, words: &[&str]) -> Result<Vec<String>, crate::ctl::error::CtlError> {
    let mut chosen = Vec::new();
    for word in words {
        if *word == "all" || !names::is_wildcard(word) {
            chosen.push(word.to_string());
            continue;
        }
        let matching = orders::matching(session, word);
        if matching.is_empty() {
            orders::no_match(session, word, Exit::GENERIC)?;
        }
        chosen.extend(matching);
    }
    Ok(chosen)
}

/// `web` for `web:web`.
fn shortest(name: &str) -> String {
    if name.contains(':') { Namespec::parse(name).to_string() } else { name.to_string() }
}

/// Starts or stops those of whom it was said, as far as they are not there yet.
fn now(session: &mut Session, processes: &[String], starts: bool) -> Outcome {
    let meant: HashSet<&str> = processes.iter().map(String::as_str).collect();
    let all = session.daemon.all_process_info()?;
    let is_up = |state: i64| {
        let state = i32::try_from(state).ok().and_then(ProcessState::from_code);
        state.is_some_and(|state| state.is_running() || (!starts && state == ProcessState::Stopping))
    };
    let names = all.iter().filter(|it| is_up(it.state) != starts).map(|it| it.namespec());
    let names: Vec<String> = names.filter(|name| meant.contains(name.as_str())).collect();
    if names.is_empty() {
        return Ok(());
    }
    let words: Vec<&str> = names.iter().map(String::as_str).collect();
    orders::carry_out(session, if starts { Order::START } else { Order::Stop }, &words)
}
