//! `status _procs`, `_infomap` and `_prestart`: the daemon's own tables, row by row.

use crate::ctl::commands::status_select;
use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::records::{self, Members, Process};
use crate::ctl::render::{self, Row};
use crate::ctl::session::Session;
use crate::model::fault::FaultCode;
use crate::rpc::client::CallError;
use crate::rpc::wire::Value;

/// A table of the daemon's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// What the configuration says and the daemon drives.
    Procs,
    /// What is alive.
    InfoMap,
    /// What was alive already when the daemon started.
    Prestart,
}

impl Table {
    /// Reads the word that stands for it.
    pub(crate) fn parse(word: &str) -> Option<Table> {
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

/// How a table is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Like `status`.
    #[default]
    Rows,
    /// With everything else the daemon says about each.
    LongRows,
    /// An array with an object for each, with everything.
    Json,
}

/// Prints the rows of a table that have one of the names.
///
/// # Errors
/// A daemon without such tables, or a call that came to nothing.
pub(crate) fn show(session: &mut Session, table: Table, names: &[&str], shape: Shape) -> Outcome {
    let answer = session.daemon.call(table.method(), vec![]).map_err(unsupported)?;
    let values = records::array(&answer)?;
    let processes = values.iter().map(Process::read).collect::<Result<Vec<Process>, CallError>>()?;
    let (shown, problems) = status_select(names, &processes, session.settings.style);
    for (_, line) in problems {
        session.complain(&line, Exit::STATUS_UNKNOWN)?;
    }
    let value_of = |process: &Process| {
        processes.iter().position(|other| std::ptr::eq(other, process)).map(|index| &values[index])
    };
    if shape == Shape::Json {
        let rows: Vec<_> = shown
            .iter()
            .filter_map(|process| Some(as_json(process, &Members::of(value_of(process)?).ok()?)))
            .collect();
        return Ok(session.screen.line(&format!("{:#}", serde_json::Value::Array(rows)))?);
    }
    let rows: Vec<Row> = shown.iter().map(|process| Row::from(*process)).collect();
    let text = render::status_table(&rows, &session.screen);
    if shape == Shape::Rows {
        return Ok(session.screen.drawn(text.as_bytes())?);
    }
    for (line, process) in text.lines().zip(shown) {
        let details = value_of(process).map_or(Ok(String::new()), details)?;
        let separator = if details.is_empty() { "" } else { "  " };
        let details = session.screen.shown(&details);
        let line = format!("{line}{separator}{details}\n");
        session.screen.drawn(line.as_bytes())?;
    }
    Ok(())
}

/// A row with all its members, as the daemon sends them, and those of `status --json` that it leaves out.
fn as_json(process: &Process, members: &Members<'_>) -> serde_json::Value {
    let mut row = render::status_row(process);
    for name in members.names() {
        row[name] = match members.get(name) {
            Some(Value::Boolean(flag)) => (*flag).into(),
            Some(Value::Integer(number)) => (*number).into(),
            Some(Value::Long(number)) => (*number).into(),
            Some(Value::Double(number)) => (*number).into(),
            _ => members.text(name).into(),
        };
    }
    row
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

/// Explains that the daemon lacks a method that Supervisor does not have either.
pub(crate) fn unsupported(problem: CallError) -> CtlError {
    if problem.fault() == Some(FaultCode::UnknownMethod.code()) {
        return CtlError::told(
            "ERROR: this supervisord does not know: it is an original Supervisor, or older than this client",
            Exit::GENERIC,
        );
    }
    CtlError::Call(problem)
}
