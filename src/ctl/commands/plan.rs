//! `update --plan`: show what `update` would do.

use crate::ctl::error::Outcome;
use crate::ctl::records::{Configured, Process, Reread};
use crate::ctl::session::Session;

/// What happens to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Remove,
    Restart,
    Add,
}

/// Prints a line for each group of a reread that is wanted: what would be stopped, what would be started.
///
/// # Errors
/// A call that came to nothing.
pub(super) fn print(session: &mut Session, reread: &Reread, wanted: &dyn Fn(&&String) -> bool) -> Outcome {
    let processes = session.daemon.all_process_info()?;
    let configured = session.daemon.all_config_info()?;
    let changes =
        [(Change::Remove, &reread.removed), (Change::Restart, &reread.changed), (Change::Add, &reread.added)];
    let mut lines = Vec::new();
    for (change, groups) in changes {
        lines.extend(
            groups.iter().filter(wanted).map(|group| describe(change, group, &processes, &configured)),
        );
    }
    if lines.is_empty() {
        return Ok(session.screen.line("No config updates to processes")?);
    }
    lines.iter().try_for_each(|line| Ok(session.screen.line(line)?))
}

fn describe(change: Change, group: &str, processes: &[Process], configured: &[Configured]) -> String {
    let (verb, stops, starts) = match change {
        Change::Remove => ("remove", true, false),
        Change::Restart => ("stop and add anew", true, true),
        Change::Add => ("add", false, true),
    };
    let running = processes.iter().filter(|process| stops && process.group == group && process.pid != 0);
    let running: Vec<String> = running.map(Process::namespec).collect();
    let started = configured.iter().filter(|process| starts && process.group == group && process.autostart);
    let started: Vec<String> = started.map(Configured::namespec).collect();
    let mut line = format!("{group}: would {verb} the group");
    for (words, names) in [("stopping", running), ("starting", started)] {
        if !names.is_empty() {
            line.push_str(&format!(", {words} {}", names.join(" ")));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_name_what_stops_and_what_starts() {
        let process =
            |name: &str, pid| Process { name: name.into(), group: "g".into(), pid, ..Process::default() };
        let processes = [process("a", 7), process("b", 0)];
        let configured =
            [Configured { name: "c".into(), group: "g".into(), autostart: true, ..Configured::default() }];
        for (change, expected) in [
            (Change::Remove, "g: would remove the group, stopping g:a"),
            (Change::Restart, "g: would stop and add anew the group, stopping g:a, starting g:c"),
            (Change::Add, "g: would add the group, starting g:c"),
        ] {
            assert_eq!(describe(change, "g", &processes, &configured), expected);
        }
    }
}
