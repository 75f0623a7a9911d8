//! Printing what was measured.

use std::time::Duration;

/// One line: the same thing measured for everybody.
pub struct Row {
    pub what: String,
    pub unit: Unit,
    /// `None` where there is none.
    pub floor: Option<f64>,
    pub ours: f64,
    pub original: Option<f64>,
    /// What ours should keep to.
    pub goal: Option<Goal>,
}

#[derive(Clone, Copy)]
pub enum Unit {
    Milliseconds,
    Kib,
    Times,
    Percent,
}

#[derive(Clone, Copy)]
pub enum Goal {
    /// Ours divided by the floor.
    Ratio(f64),
    /// In the row's unit.
    AtMost(f64),
    AtLeast(f64),
}

/// The value of a row for a time.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

pub struct Table {
    rows: Vec<[String; 7]>,
}

impl Table {
    pub fn begin() -> Table {
        let head = ["", "floor", "ours", "original", "ours/floor", "goal", ""];
        Table { rows: vec![head.map(str::to_string)] }
    }

    pub fn add(&mut self, row: Row) {
        let show = |value: f64| match row.unit {
            Unit::Milliseconds if value >= 1000.0 => format!("{:.2} s", value / 1000.0),
            Unit::Milliseconds => format!("{value:.2} ms"),
            Unit::Kib if value >= 1024.0 => format!("{:.1} MiB", value / 1024.0),
            Unit::Kib => format!("{value:.1} KiB"),
            Unit::Times => format!("{value:.0}"),
            Unit::Percent => format!("{value:.1} %"),
        };
        let ratio = row.floor.filter(|floor| *floor > 0.0).map(|floor| row.ours / floor);
        let (goal, met) = match row.goal {
            None => (String::new(), None),
            Some(Goal::AtMost(most)) => (format!("≤ {}", show(most)), Some(row.ours <= most)),
            Some(Goal::AtLeast(least)) => (format!("≥ {}", show(least)), Some(row.ours >= least)),
            Some(Goal::Ratio(most)) => (format!("≤ {most} × floor"), ratio.map(|ratio| ratio <= most)),
        };
        let verdict = met.map(|met| if met { "met" } else { "MISSED" }).unwrap_or_default();
        let optional = |value: Option<f64>| value.map_or("–".to_string(), show);
        self.rows.push([
            row.what,
            optional(row.floor),
            show(row.ours),
            optional(row.original),
            ratio.map_or("–".to_string(), |ratio| format!("{ratio:.2}")),
            goal,
            verdict.to_string(),
        ]);
    }

    pub fn print(&self) {
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..7).map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (text, &width))| {
                // The first column is read, the others are compared.
                if column == 0 { format!("{text:<width$}") } else { format!("{text:>width$}") }
            });
            println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
    }
}
