//! `scale`: give programs other numbers of processes.

use super::{Command, Completes, options, words};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::names;
use crate::ctl::programs::{Number, Scaled};
use crate::ctl::session::Session;
use crate::ctl::tables::unsupported;
use crate::model::fault::FaultCode;
use crate::rpc::client::CallError;

pub(super) const COMMAND: Command = Command {
    name: "scale",
    forms: &[
        ("scale <program>=<number> ...", "Give programs so many processes; the highest numbers stop first"),
        ("scale <program>=+<number> ...", "So many more than they have; =-<number> so many fewer"),
        ("scale --save ...", "Keep that beyond the daemon's end, in its state_file"),
        ("scale [<program> ...]", "Show how many they have, and how many are configured"),
    ],
    note: "A program of a group may be written as <group>:<program>. The number that is configured ends a change.",
    completes: Completes::Programs,
    run,
};

/// What is told of a change that ends with the daemon.
pub(super) const UNTIL_END: &str = "  this holds until the daemon ends";

fn run(session: &mut Session, arguments: &str) -> Outcome {
    let (options, words) = match options(words(arguments), &["--save"]) {
        Ok(parted) => parted,
        Err(message) => return session.misused(&COMMAND, &message, Exit::GENERIC),
    };
    let (orders, names): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.contains('='));
    let mixed = !orders.is_empty() && !names.is_empty();
    if mixed || (orders.is_empty() && !options.is_empty()) {
        let text = "Error: scale requires <program>=<number>, or only names";
        return session.misused(&COMMAND, text, Exit::GENERIC);
    }
    session.check()?;
    if orders.is_empty() { show(session, &names) } else { scale(session, &orders, !options.is_empty()) }
}

fn scale(session: &mut Session, orders: &[&str], save: bool) -> Outcome {
    let mut progress = session.screen.progress(orders.join(" "));
    let answer = session.daemon.scale(orders, save, &mut || progress.tick());
    drop(progress);
    let Scaled { programs, groups, kept, problem } = match answer {
        Ok(scaled) => scaled,
        Err(problem) => return refused(session, problem),
    };
    for it in &programs {
        let (program, now) = (&it.program, it.now);
        let what = if it.before == now {
            format!("{program}: {}", n_processes(now))
        } else {
            format!("{program}: scaled from {} to {now}", it.before)
        };
        session.screen.line(&what)?;
    }
    for group in groups.iter().filter(|group| !group.problem.is_empty()) {
        session.complain(&format!("ERROR: {}: {}", group.group, group.problem), Exit::GENERIC)?;
    }
    tell_how_long(session, &kept, &problem)?;
    if kept == "until_end" && !save && programs.iter().any(|it| it.now != it.configured) {
        session.screen.hint(&format!("{UNTIL_END}; --save keeps it in its state_file"));
    }
    Ok(())
}

/// Tells that a change could not be saved.
pub(super) fn tell_how_long(session: &mut Session, kept: &str, problem: &str) -> Outcome {
    if kept != "saved" && !problem.is_empty() {
        let text =
            format!("ERROR: it holds until the daemon ends, the state_file could not be written: {problem}");
        session.complain(&text, Exit::GENERIC)?;
    }
    Ok(())
}

fn n_processes(number: i64) -> String {
    if number == 1 { "1 process".to_string() } else { format!("{number} processes") }
}

/// Tells what the daemon does not do.
fn refused(session: &mut Session, problem: CallError) -> Outcome {
    let CallError::Fault { code, text } = problem else { return Err(unsupported(problem)) };
    match FaultCode::from_code(code) {
        Some(FaultCode::BadName) => {
            let name = text.rsplit_once(": ").map_or(text.as_str(), |(_, name)| name).to_string();
            session.complain(&format!("ERROR: no such program: {name}"), Exit::GENERIC)?;
            suggest(session, &name);
            Ok(())
        }
        Some(FaultCode::Failed | FaultCode::IncorrectParameters) => {
            let text = text.split_once(": ").map_or(text.as_str(), |(_, reason)| reason);
            session.complain(&format!("ERROR: {text}"), Exit::GENERIC)
        }
        _ => Err(unsupported(CallError::Fault { code, text })),
    }
}

fn suggest(session: &mut Session, name: &str) {
    let programs = session.daemon.programs(&[]).unwrap_or_default();
    let names = programs.into_iter().map(|it| it.program);
    if let Some(nearest) = names::nearest(name.rsplit(':').next().unwrap_or(name), names) {
        session.screen.hint(&format!("  did you mean {nearest}?"));
    }
}

fn show(session: &mut Session, names: &[&str]) -> Outcome {
    let numbers = match session.daemon.programs(names) {
        Ok(numbers) => numbers,
        Err(problem) => return refused(session, problem),
    };
    let width = numbers.iter().map(|it| it.program.chars().count()).max().unwrap_or(0);
    for it in &numbers {
        session.screen.line(&format!("{:<width$}  {}", it.program, in_words(it)))?;
    }
    Ok(())
}

fn in_words(it: &Number) -> String {
    let mut text = n_processes(it.wanted);
    if it.wanted != it.processes {
        text += &format!(" ({} now)", it.processes);
    }
    match it.kept.as_str() {
        "" => {}
        "saved" => text += &format!(", configured {}, saved", it.configured),
        _ => text += &format!(", configured {}, until the daemon ends", it.configured),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_with_what_is_configured_where_that_differs() {
        let number = |configured, wanted, processes, kept: &str| Number {
            program: "web".into(),
            configured,
            wanted,
            processes,
            kept: kept.into(),
        };
        for (it, expected) in [
            (number(1, 1, 1, ""), "1 process"),
            (number(3, 8, 8, "saved"), "8 processes, configured 3, saved"),
            (number(3, 0, 2, "until_end"), "0 processes (2 now), configured 3, until the daemon ends"),
        ] {
            assert_eq!(in_words(&it), expected);
        }
    }
}
