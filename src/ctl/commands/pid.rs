//! `pid`: the process id of the daemon or of its children.

use super::{Command, Completes, words};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::names;
use crate::ctl::orders;
use crate::ctl::records::Process;
use crate::ctl::session::Session;
use crate::model::fault::FaultCode;

pub(super) const COMMAND: Command = Command {
    name: "pid",
    forms: &[
        ("pid", "Show the PID of supervisord"),
        ("pid <name> ...", "Show the PID of one process, or of each of several"),
        ("pid all", "Show the PID of every process, one per line"),
    ],
    note: "",
    completes: Completes::Processes,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    session.check()?;
    let words = words(arguments);
    if words.is_empty() {
        let pid = session.daemon.pid()?;
        return Ok(session.screen.line(&pid.to_string())?);
    }
    if words.contains(&"all") {
        let processes = session.daemon.all_process_info()?;
        let lines: String = processes.iter().map(|process| format!("{}\n", process.pid)).collect();
        return Ok(session.screen.bytes(lines.as_bytes())?);
    }
    for word in words {
        if names::is_wildcard(word) {
            matching(session, word)?;
        } else {
            one(session, word)?;
        }
    }
    Ok(())
}

fn one(session: &mut Session, name: &str) -> Outcome {
    match session.process_info(name) {
        Ok(process) => print(session, &process),
        Err(problem) if problem.fault() == Some(FaultCode::BadName.code()) => {
            session.complain(&format!("No such process {name}"), Exit::GENERIC)?;
            orders::suggest(session, name);
            Ok(())
        }
        Err(problem) => Err(problem.into()),
    }
}

fn matching(session: &mut Session, word: &str) -> Outcome {
    let processes: Vec<Process> =
        names::matching(word, session.known_processes()).into_iter().cloned().collect();
    if processes.is_empty() {
        return orders::no_match(session, word, Exit::GENERIC);
    }
    processes.iter().try_for_each(|process| print(session, process))
}

fn print(session: &mut Session, process: &Process) -> Outcome {
    if process.pid == 0 {
        session.fail(Exit::NOT_RUNNING);
    }
    Ok(session.screen.line(&process.pid.to_string())?)
}
