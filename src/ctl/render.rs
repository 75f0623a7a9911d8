//! Tables: the text of processes for the screen and for JSON. Prints nothing itself.

use crate::ctl::records::{Configured, Process};
use crate::ctl::screen::{Screen, state_style};
use std::collections::HashMap;

/// The names' column is at least this wide, as in Supervisor.
const NAME_WIDTH: usize = 30;
/// Blanks between the names and the states.
const GAP: usize = 3;
/// The states' column.
const STATE_WIDTH: usize = 10;

/// One row: name, state and whatever describes it.
pub(crate) struct Row {
    pub name: String,
    pub state: i64,
    pub statename: String,
    pub description: String,
}

impl From<&Process> for Row {
    fn from(process: &Process) -> Row {
        Row {
            name: process.namespec(),
            state: process.state,
            statename: process.statename.clone(),
            description: process.description.clone(),
        }
    }
}

/// The table of `status`, to be [drawn](Screen::drawn), every line with its end. Scripts split it at blanks; the widths are
/// Supervisor's.
pub(crate) fn status_table(rows: &[Row], screen: &Screen) -> String {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).max(NAME_WIDTH) + GAP;
    let mut table = String::new();
    for row in rows {
        let state = format!("{:<STATE_WIDTH$}", screen.shown(&row.statename));
        let state = screen.styled(&state, state_style(row.state));
        let (name, description) = (screen.shown(&row.name), screen.shown(&row.description));
        table.push_str(&format!("{name:<width$}{state}{description}\n"));
    }
    table
}

/// What `status --json` prints: one array, an object for each process. `lives` is what Supervisor does not know of them, by
/// namespec; it stands under `life`.
pub(crate) fn status_json(processes: &[&Process], lives: &HashMap<String, serde_json::Value>) -> String {
    let row = |process: &&Process| {
        let mut row = status_row(process);
        if let Some(life) = lives.get(&process.namespec()) {
            row["life"] = life.clone();
        }
        row
    };
    let rows: Vec<serde_json::Value> = processes.iter().map(row).collect();
    format!("{:#}", serde_json::Value::Array(rows))
}

/// One of the objects.
pub(crate) fn status_row(process: &Process) -> serde_json::Value {
    let mut row = serde_json::to_value(process).unwrap_or_default();
    row["namespec"] = process.namespec().into();
    row
}

/// A moment as `2026-11-20 13:24:55Z`, from whole seconds since 1970. The client does not know the time zone of the
/// daemon, so it says which one it means.
pub(crate) fn utc(seconds: i64) -> String {
    let (days, second_of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a number of days since 1970. Years are counted from March, so that the leap day is
/// the last; 400 of them have 146,097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let since_march_0 = days + 719_468;
    let (era, day_of_era) = (since_march_0.div_euclid(146_097), since_march_0.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + next_year, month, day)
}

/// A line of `avail`.
pub(crate) fn avail_line(process: &Configured) -> String {
    format!(
        "{:<32} {:<9} {:<9} {}:{}",
        process.namespec(),
        if process.inuse { "in use" } else { "avail" },
        if process.autostart { "auto" } else { "manual" },
        process.group_prio,
        process.process_prio
    )
}

/// Words in columns, sorted downward, as many as `width` holds; every line with its end.
pub(crate) fn columns(words: &[&str], width: usize) -> String {
    let n_rows =
        (1..=words.len()).find(|n_rows| columns_width(words, *n_rows) <= width).unwrap_or(words.len());
    let widths = column_widths(words, n_rows.max(1));
    let mut text = String::new();
    for row in 0..n_rows {
        let cells: Vec<String> = (row..words.len())
            .step_by(n_rows)
            .zip(&widths)
            .map(|(index, width)| format!("{:<width$}", words[index]))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn column_widths(words: &[&str], n_rows: usize) -> Vec<usize> {
    let longest = |column: &[&str]| column.iter().map(|word| word.chars().count()).max().unwrap_or(0);
    words.chunks(n_rows).map(longest).collect()
}

fn columns_width(words: &[&str], n_rows: usize) -> usize {
    let widths = column_widths(words, n_rows);
    widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen() -> Screen {
        Screen::to(Box::new(std::io::sink()), Box::new(std::io::sink()))
    }

    fn row(name: &str, statename: &str, description: &str) -> Row {
        Row { name: name.into(), state: 20, statename: statename.into(), description: description.into() }
    }

    #[test]
    fn tables_have_the_widths_scripts_know() {
        let table = status_table(
            &[row("cat", "RUNNING", "pid 7, uptime 0:00:01"), row("b", "STARTING", "")],
            &screen(),
        );
        assert_eq!(
            table,
            "cat                              RUNNING   pid 7, uptime 0:00:01\n\
             b                                STARTING  \n"
        );
        let long = "a-name-that-is-longer-than-thirty-letters";
        assert_eq!(status_table(&[row(long, "RUNNING", "x")], &screen()), format!("{long}   RUNNING   x\n"));
    }

    #[test]
    fn colours_are_used_only_where_they_may() {
        let mut screen = screen();
        screen.colours = crate::model::colour::Colour::Always;
        let table = status_table(&[row("cat", "RUNNING", "x")], &screen);
        assert!(table.contains("\x1b[32mRUNNING   \x1b[0mx"), "{table:?}");
    }

    #[test]
    fn moments_are_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (1_795_181_095, "2026-11-20 13:24:55Z"),
            (4_107_542_399, "2100-02-28 23:59:59Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
        ] {
            assert_eq!(utc(seconds), expected);
        }
    }

    #[test]
    fn words_fill_columns_downward() {
        assert_eq!(columns(&["a", "bb", "c", "d", "e"], 6), "a   d\nbb  e\nc\n");
        assert_eq!(columns(&["a", "b"], 80), "a  b\n");
        assert_eq!(columns(&["toolong"], 3), "toolong\n");
        assert_eq!(columns(&[], 80), "");
    }

    #[test]
    fn avail_lines_look_like_supervisors() {
        let process = Configured {
            name: "a".into(),
            group: "grp".into(),
            inuse: true,
            group_prio: 50,
            process_prio: 20,
            ..Configured::default()
        };
        assert_eq!(avail_line(&process), "grp:a                            in use    manual    50:20");
    }
}
