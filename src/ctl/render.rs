//! Tables: how processes look on the screen and in JSON. Makes text, prints nothing.

use crate::ctl::records::{Configured, Process};
use crate::ctl::screen::{Screen, state_style};

/// The names' column is at least this wide, as in Supervisor.
const NAME_WIDTH: usize = 30;
/// Blanks between the names and the states.
const GAP: usize = 3;
/// The states' column.
const STATE_WIDTH: usize = 10;

/// One row: name, state and whatever describes it.
pub struct Row {
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

/// The table of `status`, every line with its end. Scripts split it at blanks; the widths are Supervisor's.
pub fn status_table(rows: &[Row], screen: &Screen) -> String {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).max(NAME_WIDTH) + GAP;
    let mut table = String::new();
    for row in rows {
        let state = format!("{:<STATE_WIDTH$}", row.statename);
        let state = screen.styled(&state, state_style(row.state));
        table.push_str(&format!("{:<width$}{state}{}\n", row.name, row.description));
    }
    table
}

/// What `status --json` prints: one array, an object for each process.
pub fn status_json(processes: &[&Process]) -> String {
    let rows: Vec<serde_json::Value> = processes
        .iter()
        .map(|process| {
            let mut row = serde_json::to_value(process).unwrap_or_default();
            row["namespec"] = process.namespec().into();
            row
        })
        .collect();
    format!("{:#}", serde_json::Value::Array(rows))
}

/// A line of `avail`.
pub fn avail_line(process: &Configured) -> String {
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
pub fn columns(words: &[&str], width: usize) -> String {
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
        screen.colour = true;
        let table = status_table(&[row("cat", "RUNNING", "x")], &screen);
        assert!(table.contains("\x1b[32mRUNNING   \x1b[0mx"), "{table:?}");
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
