//! The description of a process in `getProcessInfo`, as Supervisor words it.

use crate::core::process::{Process, State};
use crate::model::config::{NO_LIMIT, ProcessConfig};
use crate::model::state::ProcessState;
use crate::model::time::{Monotonic, Wall};
use crate::sys::localtime::local_time;

/// The description of a process, in Supervisor's words.
pub fn description(process: &Process, name: &str, now: Wall) -> String {
    match process.state.kind() {
        ProcessState::Running => {
            let pid = process.state.pid().unwrap_or(0);
            format!("pid {pid}, uptime {}", uptime(now.secs() - process.start.secs()))
        }
        ProcessState::Fatal | ProcessState::Backoff => {
            if process.spawnerr.is_empty() {
                format!("unknown error (try \"tail {name}\")")
            } else {
                process.spawnerr.clone()
            }
        }
        ProcessState::Stopped | ProcessState::Exited => {
            if process.start == Wall(0) || process.stop == Wall(0) {
                "Not started".to_string()
            } else {
                stop_time(process.stop)
            }
        }
        ProcessState::Starting | ProcessState::Stopping | ProcessState::Unknown => String::new(),
    }
}

/// What a description says beyond Supervisor's words, for a process whose configuration asks for it. Behind those words if
/// it begins with a comma, else in their place.
pub fn further(process: &Process, config: &ProcessConfig, waiting_for: &str, now: Monotonic) -> String {
    let soon = |at: Monotonic| at.since(now).as_millis().div_ceil(1000);
    match &process.state {
        State::Waiting { .. } if waiting_for.is_empty() => "waiting for its next start".to_string(),
        State::Waiting { .. } => format!("waiting for {waiting_for}"),
        State::Failing { .. } => {
            let separator = if process.state.kind() == ProcessState::Running { ", " } else { "" };
            format!("{separator}failed: {}", process.spawnerr)
        }
        State::Running { .. } if config.health_check.is_some() => match process.health.is_healthy {
            Some(true) => ", healthy".to_string(),
            Some(false) => format!(", unhealthy: {}", process.health.problem),
            None => String::new(),
        },
        State::Starting { pid: Some(pid), .. } if config.is_oneshot() => {
            let seconds = now.since(process.started).as_secs();
            format!("pid {pid}, running for {}", uptime(i64::try_from(seconds).unwrap_or(i64::MAX)))
        }
        State::Starting { .. } if !process.health.problem.is_empty() => {
            format!("not ready: {}", process.health.problem)
        }
        State::Backoff { retry_at } if !config.restart.is_default() => {
            let (next, most) = (process.failures, config.startretries);
            let of = if most == NO_LIMIT { String::new() } else { format!(" of {most}") };
            format!(", next start in {}s, {}{of}", soon(*retry_at), ordinal(next))
        }
        State::Exited { start_at: Some(at) } if !config.restart.is_default() => {
            format!(", next start in {}s", soon(*at))
        }
        State::Fatal { retry_at: Some(at) } => format!(", next start in {}s", soon(*at)),
        _ => String::new(),
    }
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (1, tens) if tens != 11 => "st",
        (2, tens) if tens != 12 => "nd",
        (3, tens) if tens != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// `H:MM:SS`, with days in front from 24 hours on.
fn uptime(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let days = match days {
        0 => String::new(),
        1 => "1 day, ".to_string(),
        _ => format!("{days} days, "),
    };
    format!("{days}{}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

/// `Nov 20 01:16 PM`, in English whatever the locale.
fn stop_time(stop: Wall) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let local = local_time(stop.secs());
    // Months count from 1; an impossible one would show as January.
    let month = MONTHS.get(local.month.wrapping_sub(1) as usize).unwrap_or(&MONTHS[0]);
    let (hour, half) = match local.hour {
        0 => (12, "AM"),
        hour @ 1..12 => (hour, "AM"),
        12 => (12, "PM"),
        hour => (hour - 12, "PM"),
    };
    format!("{month} {:02} {hour:02}:{:02} {half}", local.day, local.minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals() {
        let numbers = [1, 2, 3, 4, 11, 12, 13, 21, 102, 111];
        let words = ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"];
        assert_eq!(numbers.map(ordinal), words);
    }

    #[test]
    fn uptimes() {
        for (seconds, text) in [
            (-3, "0:00:00"),
            (5, "0:00:05"),
            (3599, "0:59:59"),
            (86_399, "23:59:59"),
            (86_400, "1 day, 0:00:00"),
            (183_845, "2 days, 3:04:05"),
            (8_640_000, "100 days, 0:00:00"),
        ] {
            assert_eq!(uptime(seconds), text);
        }
    }
}
