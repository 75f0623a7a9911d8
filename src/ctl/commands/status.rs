//! `status`: what the processes do.

use super::{Command, Completes, words};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::names;
use crate::ctl::records::Process;
use crate::ctl::render::{self, Row};
use crate::ctl::session::Session;
use crate::model::namespec::Namespec;
use crate::model::state::ProcessState;

pub const COMMAND: Command = Command {
    name: "status",
    forms: &[
        ("status", "Show all processes"),
        ("status <name> ...", "Show one process, or several"),
        ("status <gname>:*", "Show all processes of a group"),
        ("status '<pattern>'", "Show all processes whose name or group matches"),
        ("status --json [<name> ...]", "Show them as JSON"),
    ],
    note: "",
    completes: Completes::Processes,
    run,
};

/// What the words ask for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request<'a> {
    names: Vec<&'a str>,
    json: bool,
}

fn run(session: &mut Session, arguments: &str) -> Outcome {
    let mut request = Request::default();
    for word in words(arguments) {
        match word {
            "--json" => request.json = true,
            _ if word.starts_with("--") => {
                let message = format!("Error: unknown option {word}");
                return session.misused(&COMMAND, &message, Exit::GENERIC);
            }
            name => request.names.push(name),
        }
    }
    // Monitoring tells "cannot be asked" by this status, whatever the reason.
    session.check().map_err(|problem| problem.with_exit(Exit::STATUS_UNKNOWN))?;
    let processes = session.daemon.all_process_info()?;
    show(session, &request, &processes)
}

fn show(session: &mut Session, request: &Request<'_>, processes: &[Process]) -> Outcome {
    let (shown, problems) = select(&request.names, processes);
    for (word, line) in &problems {
        session.complain(line, Exit::STATUS_UNKNOWN)?;
        if let Some(name) = names::suggestion(word, processes) {
            session.screen.hint(&format!("  did you mean {name}?"));
        }
    }
    if request.json {
        session.screen.line(&render::status_json(&shown))?;
    } else {
        let rows: Vec<Row> = shown.iter().map(|process| Row::from(*process)).collect();
        let table = render::status_table(&rows, &session.screen);
        session.screen.bytes(table.as_bytes())?;
    }
    if shown.iter().any(|process| is_stopped(process.state)) {
        session.fail(Exit::STATUS_NOT_RUNNING);
    }
    Ok(())
}

/// Whether a state makes `status` fail: STOPPED, EXITED, FATAL and UNKNOWN do; BACKOFF, STARTING and STOPPING do not.
fn is_stopped(state: i64) -> bool {
    let state = i32::try_from(state).ok().and_then(ProcessState::from_code);
    state.is_some_and(ProcessState::is_stopped)
}

/// The processes the names mean, in their order and as often as they are named, and a line for every name that means
/// none.
fn select<'a, 'p>(names: &[&'a str], processes: &'p [Process]) -> (Vec<&'p Process>, Vec<(&'a str, String)>) {
    if names.is_empty() || names.contains(&"all") {
        return (processes.iter().collect(), Vec::new());
    }
    let (mut shown, mut problems) = (Vec::new(), Vec::new());
    for word in names {
        let namespec = Namespec::parse(word);
        let found: Vec<&Process> = if names::is_wildcard(word) {
            names::matching(word, processes)
        } else {
            let of_group = processes.iter().filter(|process| process.group == namespec.group);
            of_group
                .filter(|process| namespec.process.as_ref().is_none_or(|name| process.name == *name))
                .collect()
        };
        if found.is_empty() {
            let problem = match namespec.process {
                _ if names::is_wildcard(word) => format!("{word}: ERROR (no matching process)"),
                Some(_) => format!("{namespec}: ERROR (no such process)"),
                None => format!("{}: ERROR (no such group)", namespec.group),
            };
            problems.push((*word, problem));
        }
        shown.extend(found);
    }
    (shown, problems)
}
