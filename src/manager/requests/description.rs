//! The description of a process in `getProcessInfo`, as Supervisor words it.

use crate::core::process::Process;
use crate::model::state::ProcessState;
use crate::model::time::Wall;
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
