//! `status _procs`, `_infomap` and `_prestart`: the daemon's own tables, row by row.

use crate::ctl::commands::status_select;
use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::records::{self, Members, Process};
use crate::ctl::render::{self, Row};
use crate::ctl::session::Session;
use crate::rpc::client::CallError;
use crate::rpc::fault::FaultCode;
use crate::rpc::wire::Value;

/// A table of the daemon's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// What the configuration says and the daemon drives.
    Procs,
    /// What is alive.
    InfoMap,
    /// What was alive already when the daemon started.
    Prestart,
}

impl Table {
    /// Reads the word that stands for it.
    pub fn parse(word: &str) -> Option<Table> {
        match word {
            "_procs" => Some(Table::Procs),
            "_infomap" => Some(Table::InfoMap),
            "_prestart" => Some(Table::Prestart),
            _ => None,
        }
    }

    fn method(self) -> &'static str {
        match self {
            Table::Procs => "supervisor.getAllProcsProcessInfo",
            Table::InfoMap => "supervisor.getAllInfomapProcessInfo",
            Table::Prestart => "supervisor.getPrestartProcessInfo",
        }
    }
}

/// Members that stand in the row itself, or that every process has anyway.
const SHOWN: [&str; 13] = [
    "name",
    "group",
    "state",
    "statename",
    "description",
    "start",
    "stop",
    "now",
    "exitstatus",
    "spawnerr",
    "logfile",
    "stdout_logfile",
    "stderr_logfile",
];

/// Prints the rows of a table that have one of the names; with `long`, everything else the daemon says about them.
///
/// # Errors
/// A daemon without such tables, or a call that came to nothing.
pub fn show(session: &mut Session, table: Table, names: &[&str], long: bool) -> Outcome {
    let answer = session.daemon.call(table.method(), vec![]).map_err(unsupported)?;
    let values = records::array(&answer)?;
    let processes = values.iter().map(Process::read).collect::<Result<Vec<Process>, CallError>>()?;
    let (shown, problems) = status_select(names, &processes, session.settings.style);
    for (_, line) in problems {
        session.complain(&line, Exit::STATUS_UNKNOWN)?;
    }
    let rows: Vec<Row> = shown.iter().map(|process| Row::from(*process)).collect();
    let text = render::status_table(&rows, &session.screen);
    if !long {
        return Ok(session.screen.drawn(text.as_bytes())?);
    }
    for (line, process) in text.lines().zip(shown) {
        let index = processes.iter().position(|other| std::ptr::eq(other, process));
        let details = index.map_or(Ok(String::new()), |index| details(&values[index]))?;
        let separator = if details.is_empty() { "" } else { "  " };
        let details = session.screen.shown(&details);
        let line = format!("{line}{separator}{details}\n");
        session.screen.drawn(line.as_bytes())?;
    }
    Ok(())
}

/// Everything the row does not show, as `name=value` by name.
fn details(value: &Value) -> Result<String, CallError> {
    let members = Members::of(value)?;
    let pairs: Vec<String> = members
        .names()
        .filter(|name| !SHOWN.contains(name))
        .map(|name| match members.get(name) {
            Some(Value::Boolean(flag)) => format!("{name}={flag}"),
            _ => format!("{name}={}", members.text(name)),
        })
        .collect();
    Ok(pairs.join(" "))
}

/// Says what it means that the daemon does not know one of our own methods.
pub fn unsupported(problem: CallError) -> CtlError {
    if problem.fault() == Some(FaultCode::UnknownMethod.code()) {
        return CtlError::told(
            "ERROR: this supervisord cannot tell that: it is an original Supervisor, or older than this client",
            Exit::GENERIC,
        );
    }
    CtlError::Call(problem)
}
