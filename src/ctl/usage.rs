//! What processes use of the machine: read from the daemon, compared with what was read before, and shown in columns.

use crate::ctl::error::CtlError;
use crate::ctl::records::{self, Members};
use crate::ctl::screen::{Screen, state_style};
use crate::ctl::session::Session;
use crate::ctl::tables::unsupported;
use crate::model::namespec;
use serde::Serialize;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Instant;

/// Between the columns.
const GAP: usize = 2;

/// What one process uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Usage {
    pub namespec: String,
    pub state: i64,
    pub statename: String,
    /// 0 if it is not alive.
    pub pid: i64,
    /// Of one processor, between two looks at it; `None` after the first one.
    pub cpu_percent: Option<f64>,
    pub cpu_milliseconds: i64,
    pub memory_bytes: i64,
    pub tasks: i64,
    pub restarts: i64,
    /// Seconds since its start.
    pub uptime: i64,
}

/// What can be shown of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Name,
    State,
    Pid,
    Cpu,
    Memory,
    Tasks,
    Restarts,
    Uptime,
}

impl Column {
    pub(crate) const ALL: [Column; 8] = [
        Column::Name,
        Column::State,
        Column::Pid,
        Column::Cpu,
        Column::Memory,
        Column::Tasks,
        Column::Restarts,
        Column::Uptime,
    ];

    /// How it is called on the command line. In capital letters it is its heading.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Column::Name => "name",
            Column::State => "state",
            Column::Pid => "pid",
            Column::Cpu => "cpu",
            Column::Memory => "memory",
            Column::Tasks => "tasks",
            Column::Restarts => "restarts",
            Column::Uptime => "uptime",
        }
    }

    /// Reads a list of them; all of them if it is empty.
    ///
    /// # Errors
    /// What to tell of a word that names none.
    pub(crate) fn list(words: &str) -> Result<Vec<Column>, String> {
        if words.is_empty() {
            return Ok(Column::ALL.to_vec());
        }
        let column = |word: &str| {
            let known = Column::ALL.into_iter().find(|column| column.word() == word.trim());
            known.ok_or_else(|| {
                let words = Column::ALL.map(Column::word).join(", ");
                format!("Error: there is no column '{}'; the columns are {words}", word.trim())
            })
        };
        words.split(',').map(column).collect()
    }

    /// Whether numbers stand in it.
    fn is_of_numbers(self) -> bool {
        !matches!(self, Column::Name | Column::State)
    }

    fn text(self, usage: &Usage) -> String {
        let of_live = |text: String| if usage.pid > 0 { text } else { "-".into() };
        match self {
            Column::Name => usage.namespec.clone(),
            Column::State => usage.statename.clone(),
            Column::Pid => of_live(usage.pid.to_string()),
            Column::Cpu => of_live(usage.cpu_percent.map_or("-".into(), |percent| format!("{percent:.1}%"))),
            Column::Memory => of_live(size(usage.memory_bytes)),
            Column::Tasks => of_live(usage.tasks.to_string()),
            Column::Restarts => usage.restarts.to_string(),
            Column::Uptime => of_live(length(usage.uptime)),
        }
    }

    /// The order that is useful first: the largest number, or the first name.
    fn compare(self, one: &Usage, other: &Usage) -> Ordering {
        match self {
            Column::Name => one.namespec.cmp(&other.namespec),
            Column::State => one.state.cmp(&other.state),
            Column::Pid => other.pid.cmp(&one.pid),
            Column::Cpu => {
                let percent = |usage: &Usage| usage.cpu_percent.unwrap_or(-1.0);
                percent(other).total_cmp(&percent(one))
            }
            Column::Memory => other.memory_bytes.cmp(&one.memory_bytes),
            Column::Tasks => other.tasks.cmp(&one.tasks),
            Column::Restarts => other.restarts.cmp(&one.restarts),
            Column::Uptime => other.uptime.cmp(&one.uptime),
        }
    }
}

/// A size as people read it.
pub(crate) fn size(bytes: i64) -> String {
    const UNITS: [(&str, f64); 3] = [("G", 1_073_741_824.0), ("M", 1_048_576.0), ("K", 1024.0)];
    let bytes = bytes as f64;
    let (unit, length) = UNITS.into_iter().find(|(_, length)| bytes >= *length).unwrap_or(UNITS[2]);
    format!("{:.1}{unit}", bytes / length)
}

/// A number of seconds, as `status` shows it.
fn length(seconds: i64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!("{}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if days > 0 { format!("{days}d {clock}") } else { clock }
}

/// Sorts by one column; those that are alike, by their names.
pub(crate) fn sort(usages: &mut [Usage], by: Column, is_reversed: bool) {
    usages.sort_by(|one, other| {
        let order = by.compare(one, other);
        let order = if is_reversed { order.reverse() } else { order };
        order.then_with(|| one.namespec.cmp(&other.namespec))
    });
}

/// Looks at processes again and again.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// The processor time of each pid, and when it was asked for.
    before: HashMap<i64, (i64, Instant)>,
}

impl Meter {
    /// Asks the daemon about all processes, in its order.
    ///
    /// # Errors
    /// What the call says. A daemon that does not know the method is told of in plain words.
    pub(crate) fn look(&mut self, session: &mut Session) -> Result<Vec<Usage>, CtlError> {
        let answer = session.daemon.call("supervisord.getUsage", vec![]).map_err(unsupported)?;
        let now = Instant::now();
        let mut usages = Vec::new();
        for value in records::array(&answer)? {
            usages.push(read(&Members::of(value)?));
        }
        self.compare(&mut usages, now);
        Ok(usages)
    }

    fn compare(&mut self, usages: &mut [Usage], now: Instant) {
        for usage in usages.iter_mut() {
            let before = self.before.get(&usage.pid);
            usage.cpu_percent = before.and_then(|(used, at)| {
                let passed = now.duration_since(*at).as_secs_f64() * 1000.0;
                // Of another process that had this number there may be more.
                let used = usage.cpu_milliseconds - used;
                (passed > 0.0 && used >= 0).then(|| used as f64 / passed * 100.0)
            });
        }
        let seen = usages.iter().filter(|usage| usage.pid > 0);
        self.before = seen.map(|usage| (usage.pid, (usage.cpu_milliseconds, now))).collect();
    }
}

fn read(members: &Members<'_>) -> Usage {
    let (start, now) = (members.number("start"), members.number("now"));
    Usage {
        namespec: namespec::display(&members.text("group"), &members.text("name")),
        state: members.number("state"),
        statename: members.text("statename"),
        pid: members.number("pid"),
        cpu_percent: None,
        cpu_milliseconds: members.number("cpu_milliseconds"),
        memory_bytes: members.number("memory_bytes"),
        tasks: members.number("tasks"),
        restarts: members.number("restarts"),
        uptime: (now - start).max(0),
    }
}

/// The heading and a line for each process, to be [drawn](Screen::drawn) as far as the screen is wide.
pub(crate) fn lines(usages: &[Usage], columns: &[Column], screen: &Screen) -> Vec<String> {
    let heading: Vec<String> = columns.iter().map(|column| column.word().to_uppercase()).collect();
    let cells: Vec<Vec<String>> = usages
        .iter()
        .map(|usage| columns.iter().map(|column| screen.shown(&column.text(usage)).into_owned()).collect())
        .collect();
    let width =
        |at: usize| cells.iter().chain([&heading]).map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let row = |cells: &[String], state: Option<i64>| {
        let mut line = String::new();
        for (at, ((cell, column), width)) in cells.iter().zip(columns).zip(&widths).enumerate() {
            let cell = match column.is_of_numbers() {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            };
            let is_last = at + 1 == columns.len();
            let cell = if is_last { cell.trim_end().to_string() } else { cell };
            match state.filter(|_| *column == Column::State) {
                Some(state) => line += &screen.styled(&cell, state_style(state)),
                None => line += &cell,
            }
            line += &" ".repeat(if is_last { 0 } else { GAP });
        }
        line
    };
    let rows = cells.iter().zip(usages).map(|(cells, usage)| row(cells, Some(usage.state)));
    [row(&heading, None)].into_iter().chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn usage(namespec: &str, pid: i64, cpu_milliseconds: i64, memory_bytes: i64) -> Usage {
        let namespec = namespec.to_string();
        Usage {
            namespec,
            pid,
            cpu_milliseconds,
            memory_bytes,
            statename: "RUNNING".into(),
            ..Usage::default()
        }
    }

    #[test]
    fn processor_time_is_what_was_used_between_two_looks_at_the_same_process() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        let mut first = [usage("a", 7, 1000, 0), usage("b", 8, 0, 0)];
        meter.compare(&mut first, start);
        assert_eq!(first[0].cpu_percent, None);
        // The second one has ended, and its number belongs to one that has used less.
        let mut second = [usage("a", 7, 1500, 0), usage("c", 9, 5, 0), usage("d", 0, 0, 0)];
        meter.compare(&mut second, start + Duration::from_secs(2));
        assert_eq!(second.map(|usage| usage.cpu_percent), [Some(25.0), None, None]);
    }

    #[test]
    fn the_largest_come_first_and_names_in_order() {
        let mut all = [usage("b", 1, 0, 5), usage("a", 2, 0, 5), usage("c", 3, 0, 9)];
        let names = |all: &[Usage]| all.iter().map(|usage| usage.namespec.clone()).collect::<String>();
        sort(&mut all, Column::Memory, false);
        assert_eq!(names(&all), "cab");
        sort(&mut all, Column::Memory, true);
        assert_eq!(names(&all), "abc");
        sort(&mut all, Column::Name, true);
        assert_eq!(names(&all), "cba");
    }

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let screen = Screen::to(Box::new(Vec::new()), Box::new(Vec::new()));
        let dead = Usage { pid: 0, restarts: 3, ..usage("gone", 0, 0, 0) };
        let columns = [Column::Name, Column::Pid, Column::Memory, Column::Restarts];
        let shown = lines(&[usage("a", 12345, 0, 3 << 20), dead], &columns, &screen);
        assert_eq!(
            shown,
            [
                "NAME    PID  MEMORY  RESTARTS",
                "a     12345    3.0M         0",
                "gone      -       -         3"
            ]
        );
        assert_eq!(Column::list("pid, name").unwrap(), [Column::Pid, Column::Name]);
        assert_eq!(Column::list("").unwrap().len(), 8);
        assert!(Column::list("pid,nope").unwrap_err().contains("'nope'"));
        assert_eq!([size(0), size(1 << 30), length(90_061)].join(" "), "0.0K 1.0G 1d 1:01:01");
    }
}
