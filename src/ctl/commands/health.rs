//! `health`: whether all that should run is up and well.

use super::{Command, Completes, status, words};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::life::HealthLine;
use crate::ctl::orders;
use crate::ctl::records::Process;
use crate::ctl::session::Session;
use crate::ctl::tables::unsupported;
use anstyle::{AnsiColor, Style};

pub(super) const COMMAND: Command = Command {
    name: "health",
    forms: &[
        ("health", "Show how all processes are, in a word each"),
        ("health <name> ...", "Show how some are"),
        ("health --json ...", "Show it as JSON"),
    ],
    note: "It exits with 0 if all that should run is up and healthy, else with 1: for HEALTHCHECK of a container.",
    completes: Completes::Processes,
    run,
};

/// Between the columns.
const GAP: usize = 2;

fn run(session: &mut Session, arguments: &str) -> Outcome {
    let (options, names) = match super::options(words(arguments), &["--json"]) {
        Ok(parted) => parted,
        Err(message) => return session.misused(&COMMAND, &message, Exit::GENERIC),
    };
    // Whoever checks containers knows no other number for a failure.
    session.check().map_err(|problem| problem.with_exit(Exit::GENERIC))?;
    let lines = session.daemon.health().map_err(unsupported)?;
    let processes: Vec<Process> = lines
        .iter()
        .map(|line| Process { group: line.group.clone(), name: line.name.clone(), ..Process::default() })
        .collect();
    let (shown, problems) = status::select(&names, &processes, session.settings.style);
    for (word, line) in problems {
        session.complain(&line, Exit::GENERIC)?;
        orders::suggest(session, word);
    }
    let of = |process: &&Process| {
        lines.iter().find(|line| line.group == process.group && line.name == process.name)
    };
    // All of them are in order already.
    let shown: Vec<&HealthLine> =
        if names.is_empty() { lines.iter().collect() } else { shown.iter().filter_map(of).collect() };
    if options.is_empty() {
        show(session, &shown)?
    } else {
        show_json(session, &shown)?
    }
    if shown.iter().any(|line| !line.is_good()) {
        session.fail(Exit::GENERIC);
    }
    Ok(())
}

fn show(session: &mut Session, lines: &[&HealthLine]) -> Outcome {
    let width = lines.iter().map(|line| line.namespec().chars().count()).max().unwrap_or(0) + GAP;
    let screen = &mut session.screen;
    let mut text = String::new();
    for line in lines {
        let name = line.namespec();
        let name = format!("{:<width$}", screen.shown(&name));
        let word = screen.shown(&line.health);
        let gap = if line.reason.is_empty() { 0 } else { "unhealthy".len() + GAP };
        let word = screen.styled(&format!("{word:<gap$}"), style(&line.health));
        text.push_str(&format!("{name}{word}{}\n", screen.shown(&line.reason)));
    }
    Ok(screen.drawn(text.as_bytes())?)
}

fn style(word: &str) -> Style {
    let colour = match word {
        "healthy" | "running" | "finished" => AnsiColor::Green,
        "starting" | "waiting" => AnsiColor::Yellow,
        "stopped" => return Style::new().dimmed(),
        _ => AnsiColor::Red,
    };
    Style::new().fg_color(Some(colour.into()))
}

fn show_json(session: &mut Session, lines: &[&HealthLine]) -> Outcome {
    let row = |line: &&HealthLine| {
        let mut row = serde_json::to_value(line).unwrap_or_default();
        row["namespec"] = line.namespec().into();
        row
    };
    let rows: Vec<serde_json::Value> = lines.iter().map(row).collect();
    Ok(session.screen.line(&format!("{:#}", serde_json::Value::Array(rows)))?)
}
