//! `restart`: stop and start again, all at once or a few at a time.

use super::{Command, Completes, status, update, words};
use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::names;
use crate::ctl::orders::{self, Order};
use crate::ctl::records::{Process, ProcessChange};
use crate::ctl::session::{Session, Style};
use crate::ctl::tables::unsupported;
use crate::model::fault::FaultCode;
use crate::rpc::client::CallError;

pub(super) const COMMAND: Command = Command {
    name: "restart",
    forms: &[
        ("restart <name> ...", "Restart one process, or several at the same time"),
        ("restart <gname>:*", "Restart all processes of a group"),
        ("restart '<pattern>'", "Restart all processes whose name or group matches"),
        ("restart all", "Restart all processes"),
        (
            "restart --rolling[=N] ...",
            "Restart one by one, or N at a time, going on only when they are RUNNING",
        ),
        ("restart --reread ...", "Read the configuration again, and start these with what it says of them"),
    ],
    note: "Note: without --reread restart does not read the configuration again. For that, see reread and update.",
    completes: Completes::Processes,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    session.check()?;
    let (options, words): (Vec<&str>, Vec<&str>) =
        words(arguments).into_iter().partition(|word| word.starts_with("--"));
    if words.is_empty() {
        return session.misused(&COMMAND, "Error: restart requires a process name", Exit::GENERIC);
    }
    let (mut n_at_a_time, mut rereads) = (None, false);
    for option in options {
        match (option, parse_rolling(option)) {
            ("--reread", _) if !rereads => rereads = true,
            (_, Some(number)) if n_at_a_time.is_none() => n_at_a_time = Some(number),
            ("--reread", _) | (_, Some(_)) => {
                return session.misused(&COMMAND, "Error: too many options", Exit::GENERIC);
            }
            _ => return session.misused(&COMMAND, &format!("Error: bad argument {option}"), Exit::GENERIC),
        }
    }
    if rereads && !take_configuration(session, &words)? {
        return Ok(());
    }
    match n_at_a_time {
        Some(n_at_a_time) => {
            session.screen.decorates = true;
            rolling(session, &words, n_at_a_time)?;
        }
        None => at_once(session, &words)?,
    }
    if rereads { Ok(()) } else { tell_of_changes(session, &words) }
}

/// Lets those that are meant have what the file says by now. `false` if that was told to be impossible: then nothing is to be
/// restarted.
fn take_configuration(session: &mut Session, words: &[&str]) -> Result<bool, CtlError> {
    let names = expand(session, words)?;
    for name in &names {
        match session.daemon.take_configuration(name) {
            Ok(()) => {}
            Err(CallError::Fault { code, text }) if code == FaultCode::Failed.code() => {
                session.complain(&format!("ERROR: {text}"), Exit::GENERIC)?;
                return Ok(false);
            }
            Err(problem) if problem.fault() == Some(FaultCode::CantReread.code()) => {
                return Err(update::not_reread(session, problem));
            }
            Err(problem) => return Err(unsupported(problem)),
        }
    }
    Ok(!names.is_empty())
}

/// Tells that a process was restarted with its old configuration though the file has another one by now.
fn tell_of_changes(session: &mut Session, words: &[&str]) -> Outcome {
    // A daemon that cannot tell, or a file that is wrong, is no trouble of a restart.
    let Ok(changes) = session.daemon.preview_update() else { return Ok(()) };
    if changes.is_empty() {
        return Ok(());
    }
    let processes = session.daemon.all_process_info()?;
    let style = session.settings.style;
    let meant: Vec<&Process> = words.iter().flat_map(|word| find(word, &processes, style)).collect();
    let differs = |process: &&Process| {
        changes.iter().any(|change| {
            let is_member = |one: &ProcessChange| one.name == process.name;
            change.group == process.group
                && (change.action != "change" || change.processes.iter().any(is_member))
        })
    };
    let differing: Vec<String> = meant.into_iter().filter(differs).map(Process::namespec).collect();
    let hint = match &differing[..] {
        [] => return Ok(()),
        [name] => format!("{name}: the file differs: run update"),
        [name, rest @ ..] => format!("{name} and {} more: the file differs: run update", rest.len()),
    };
    session.screen.hint(&hint);
    Ok(())
}

/// Reads `--rolling` or `--rolling=N`, N at least 1.
fn parse_rolling(option: &str) -> Option<usize> {
    match option.strip_prefix("--rolling")? {
        "" => Some(1),
        number => number.strip_prefix('=')?.parse().ok().filter(|number| *number > 0),
    }
}

fn at_once(session: &mut Session, words: &[&str]) -> Outcome {
    orders::carry_out(session, Order::StopToRestart, words)?;
    // What was not running can be started all the same, and its failure to stop is none.
    orders::carry_out(session, Order::StartAgain, words)
}

/// Restarts a few at a time. The first that does not run afterwards ends it: what still runs is left in peace.
fn rolling(session: &mut Session, words: &[&str], n_at_a_time: usize) -> Outcome {
    let targets = expand(session, words)?;
    for (index, batch) in targets.chunks(n_at_a_time).enumerate() {
        let names: Vec<&str> = batch.iter().map(String::as_str).collect();
        at_once(session, &names)?;
        let mut failed = Vec::new();
        for name in &names {
            let process = session.daemon.process_info(name)?;
            if !orders::is_up(session, &process) {
                failed.push(*name);
            }
        }
        if !failed.is_empty() {
            let n_left = targets.len().saturating_sub((index + 1) * n_at_a_time);
            let line =
                format!("ERROR: not running after restart: {}; {n_left} not restarted", failed.join(", "));
            return session.complain(&line, Exit::NOT_RUNNING);
        }
    }
    Ok(())
}

/// The names of the single processes that words mean, each once, in the order of the words. Words that mean none are
/// told, and nothing is to be restarted then.
fn expand(session: &mut Session, words: &[&str]) -> Result<Vec<String>, CtlError> {
    let processes = session.daemon.all_process_info()?;
    let mut targets: Vec<String> = Vec::new();
    let mut unknown = false;
    for word in words {
        let found = find(word, &processes, session.settings.style);
        let found: Vec<String> = found.into_iter().map(Process::namespec).collect();
        if found.is_empty() {
            unknown = true;
            session.complain(&format!("{word}: ERROR (no such process)"), Exit::GENERIC)?;
            orders::suggest(session, word);
        }
        for name in found {
            if !targets.contains(&name) {
                targets.push(name);
            }
        }
    }
    Ok(if unknown { Vec::new() } else { targets })
}

fn find<'p>(word: &str, processes: &'p [Process], style: Style) -> Vec<&'p Process> {
    if word == "all" {
        return processes.iter().collect();
    }
    if names::is_wildcard(word) {
        return names::matching(word, processes);
    }
    status::named(word, processes, style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rolling_takes_a_number() {
        for (option, expected) in [
            ("--rolling", Some(1)),
            ("--rolling=3", Some(3)),
            ("--rolling=0", None),
            ("--rolling=x", None),
            ("--rollin", None),
            ("--rollings", None),
        ] {
            assert_eq!(parse_rolling(option), expected, "{option}");
        }
    }
}
