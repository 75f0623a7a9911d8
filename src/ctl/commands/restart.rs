//! `restart`: stop and start again, all at once or a few at a time.

use super::{Command, Completes, status, words};
use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::names;
use crate::ctl::orders::{self, Order};
use crate::ctl::records::Process;
use crate::ctl::session::{Session, Style};

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
    ],
    note: "Note: restart does not read the configuration again. For that, see reread and update.",
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
    match options[..] {
        [] => at_once(session, &words),
        [option] => match parse_rolling(option) {
            Some(n_at_a_time) => {
                session.screen.decorates = true;
                rolling(session, &words, n_at_a_time)
            }
            None => session.misused(&COMMAND, &format!("Error: bad argument {option}"), Exit::GENERIC),
        },
        _ => session.misused(&COMMAND, "Error: too many options", Exit::GENERIC),
    }
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

fn find(word: &str, processes: &[Process], style: Style) -> Vec<String> {
    if word == "all" {
        return processes.iter().map(Process::namespec).collect();
    }
    if names::is_wildcard(word) {
        return names::matching(word, processes).into_iter().map(Process::namespec).collect();
    }
    status::named(word, processes, style).into_iter().map(Process::namespec).collect()
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
