//! `status`: print the states of processes.

use super::reread::tell_skipped_files;
use super::{Command, Completes, top, words};
use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::interrupt::Interrupt;
use crate::ctl::names;
use crate::ctl::orders;
use crate::ctl::records::{self, Members, Process};
use crate::ctl::render::{self, Row};
use crate::ctl::session::{Session, Style};
use crate::ctl::tables::{self, Shape, Table};
use crate::ctl::usage::{Column, Meter};
use crate::model::namespec::{self, Namespec};
use crate::model::state::ProcessState;
use crate::rpc::wire::Value;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::HashMap;
use std::time::Duration;

pub(super) const COMMAND: Command = Command {
    name: "status",
    forms: &[
        ("status", "Show all processes"),
        ("status <name> ...", "Show one process, or several"),
        ("status <gname>:*", "Show all processes of a group"),
        ("status '<pattern>'", "Show all processes whose name or group matches"),
        ("status --json ...", "Show them as JSON; of the tables below, all of each row"),
        ("status --watch[=SECONDS] ...", "Show them again and again; Ctrl-C ends"),
        (
            "status --columns[=LIST] ...",
            "Show columns: name, state, pid, cpu, memory, tasks, restarts, uptime",
        ),
        ("status _procs ...", "Show the daemon's own table of processes; with --long, all of each row"),
        ("status _infomap ...", "Show its table of what is alive"),
        ("status _prestart ...", "Show what was alive already when it started"),
    ],
    note: "",
    completes: Completes::Processes,
    run,
};

/// What the words ask for.
#[derive(Debug, Default, PartialEq)]
struct Request<'a> {
    names: Vec<&'a str>,
    table: Option<Table>,
    json: bool,
    long: bool,
    watch: Option<Duration>,
    /// What to show of what processes use; nothing if it is empty.
    columns: Vec<Column>,
}

impl Request<'_> {
    /// How a table is shown; JSON holds all of each row anyway.
    fn shape(&self) -> Shape {
        match (self.json, self.long) {
            (true, _) => Shape::Json,
            (false, true) => Shape::LongRows,
            (false, false) => Shape::Rows,
        }
    }
}

fn run(session: &mut Session, arguments: &str) -> Outcome {
    let words = words(arguments);
    let request = match parse(&words) {
        Ok(request) => request,
        Err(message) => return session.misused(&COMMAND, &message, Exit::GENERIC),
    };
    // Monitoring tells "cannot be asked" by this status, whatever the reason.
    session.check().map_err(|problem| problem.with_exit(Exit::STATUS_UNKNOWN))?;
    match request.watch {
        None => show(session, &request),
        Some(interval) => watch(session, &request, interval),
    }
}

fn parse<'a>(words: &[&'a str]) -> Result<Request<'a>, String> {
    let mut request = Request::default();
    for word in words {
        match *word {
            "--json" => request.json = true,
            "--long" => request.long = true,
            "--columns" => request.columns = Column::ALL.to_vec(),
            option if option.starts_with("--columns=") => {
                request.columns = Column::list(option.trim_start_matches("--columns="))?;
            }
            "--watch" => request.watch = Some(Duration::from_secs(2)),
            option if option.starts_with("--") => {
                let seconds = option.strip_prefix("--watch=").and_then(|seconds| seconds.parse::<f64>().ok());
                // A tenth of a second is more often than anybody can read; a day is as good as never.
                let seconds = seconds.filter(|seconds| (0.1..=86_400.0).contains(seconds));
                let seconds = seconds.ok_or_else(|| format!("Error: bad argument {option}"))?;
                request.watch = Some(Duration::from_secs_f64(seconds));
            }
            name => match Table::parse(name) {
                // The first one wins.
                Some(table) => request.table = request.table.or(Some(table)),
                None => request.names.push(name),
            },
        }
    }
    if request.long && request.table.is_none() {
        return Err("Error: --long needs one of _procs, _infomap, _prestart".into());
    }
    Ok(request)
}

fn show(session: &mut Session, request: &Request<'_>) -> Outcome {
    if let Some(table) = request.table {
        return tables::show(session, table, &request.names, request.shape());
    }
    if !request.columns.is_empty() {
        return show_columns(session, request);
    }
    let processes = session.daemon.all_process_info()?;
    let (shown, problems) = select(&request.names, &processes, session.settings.style);
    for (word, line) in &problems {
        session.complain(line, Exit::STATUS_UNKNOWN)?;
        orders::suggest(session, word);
    }
    if request.json {
        let lives = lives(session);
        session.screen.line(&render::status_json(&shown, &lives))?;
    } else {
        let rows: Vec<Row> = shown.iter().map(|process| Row::from(*process)).collect();
        let table = render::status_table(&rows, &session.screen);
        session.screen.drawn(table.as_bytes())?;
    }
    tell_skipped_files(session);
    if shown.iter().any(|process| is_stopped(process.state)) {
        session.fail(Exit::STATUS_NOT_RUNNING);
    }
    Ok(())
}

/// What they use of the machine.
fn show_columns(session: &mut Session, request: &Request<'_>) -> Outcome {
    let mut meter = Meter::default();
    let mut usages = meter.look(session)?;
    if request.json || request.columns.contains(&Column::Cpu) {
        // A share of a processor takes two looks.
        pause(top::FIRST_LOOKS, None)?;
        usages = meter.look(session)?;
    }
    let shown = top::shown(session, &request.names, usages)?;
    if request.json {
        let rows = serde_json::to_value(&shown).unwrap_or_default();
        session.screen.line(&format!("{rows:#}"))?;
    } else {
        top::draw_plainly(session, &shown, &request.columns)?;
    }
    if shown.iter().any(|usage| is_stopped(usage.state)) {
        session.fail(Exit::STATUS_NOT_RUNNING);
    }
    Ok(())
}

/// What Supervisor does not know of processes, by namespec. None from a daemon that knows nothing of it either.
fn lives(session: &mut Session) -> HashMap<String, serde_json::Value> {
    let lives = session.daemon.lives(None).unwrap_or_default();
    let life = |life: &Value| {
        let members = Members::of(life).ok()?;
        let name = namespec::display(&members.text("group"), &members.text("name"));
        let mut life = records::json(life);
        if let Some(life) = life.as_object_mut() {
            life.retain(|name, _| !["group", "name"].contains(&name.as_str()));
        }
        Some((name, life))
    };
    lives.iter().filter_map(life).collect()
}

/// Shows it again and again, over itself on a terminal, until Ctrl-C.
fn watch(session: &mut Session, request: &Request<'_>, interval: Duration) -> Outcome {
    session.screen.decorates = true;
    let interrupt = Interrupt::catch();
    loop {
        // The status to leave with is that of what was shown last.
        session.exit = Exit::SUCCESS;
        if session.screen.terminal {
            session.screen.drawn(b"\x1b[H\x1b[2J")?;
        }
        show(session, request)?;
        if pause(interval, interrupt.as_ref())? {
            return Ok(());
        }
        if !session.screen.terminal {
            session.screen.line("")?;
        }
    }
}

/// Waits; `true` if Ctrl-C ended it.
pub(super) fn pause(interval: Duration, interrupt: Option<&Interrupt>) -> Result<bool, CtlError> {
    let Some(interrupt) = interrupt else {
        std::thread::sleep(interval);
        return Ok(false);
    };
    // At most a day, so both numbers fit.
    let timeout = Timespec { tv_sec: interval.as_secs() as i64, tv_nsec: interval.subsec_nanos().into() };
    let mut fds = [PollFd::new(interrupt, PollFlags::IN)];
    match poll(&mut fds, Some(&timeout)) {
        Ok(n_ready) => Ok(n_ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(problem) => Err(CtlError::Output(problem.into())),
    }
}

/// Whether a state makes `status` fail: STOPPED, EXITED, FATAL and UNKNOWN do; BACKOFF, STARTING and STOPPING do not.
fn is_stopped(state: i64) -> bool {
    let state = i32::try_from(state).ok().and_then(ProcessState::from_code);
    state.is_some_and(ProcessState::is_stopped)
}

/// The processes the names mean, in their order and as often as they are named, and a line for every name that means
/// none.
pub(crate) fn select<'a, 'p>(
    names: &[&'a str],
    processes: &'p [Process],
    style: Style,
) -> (Vec<&'p Process>, Vec<(&'a str, String)>) {
    if names.is_empty() || names.contains(&"all") {
        return (processes.iter().collect(), Vec::new());
    }
    let (mut shown, mut problems) = (Vec::new(), Vec::new());
    for word in names {
        let namespec = Namespec::parse(word);
        let found: Vec<&Process> = if names::is_wildcard(word) {
            names::matching(word, processes)
        } else {
            named(word, processes, style)
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

/// The processes that a name means: one, or those of a group.
pub(super) fn named<'p>(word: &str, processes: &'p [Process], style: Style) -> Vec<&'p Process> {
    let of = |namespec: Namespec| -> Vec<&'p Process> {
        let of_group = processes.iter().filter(|process| process.group == namespec.group);
        of_group
            .filter(|process| namespec.process.as_ref().is_none_or(|name| process.name == *name))
            .collect()
    };
    match of(Namespec::parse(word)) {
        found if found.is_empty() && style == Style::Go => {
            names::bearer(word, processes).map(|meant| of(Namespec::parse(&meant))).unwrap_or_default()
        }
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_tables_are_told_from_names() {
        let request = parse(&["a", "_infomap", "--long", "_procs", "b"]).unwrap();
        assert_eq!(
            (request.names, request.table, request.long),
            (vec!["a", "b"], Some(Table::InfoMap), true)
        );
        assert_eq!(parse(&["--watch=0.5"]).unwrap().watch, Some(Duration::from_millis(500)));
        assert_eq!(parse(&["--columns"]).unwrap().columns.len(), 8);
        assert_eq!(parse(&["--columns=pid,cpu"]).unwrap().columns, [Column::Pid, Column::Cpu]);
        for bad in ["--columns=nope", "--watch=0", "--watch=x", "--long", "--nope"] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }
}
