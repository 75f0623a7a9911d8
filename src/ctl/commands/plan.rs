//! `update --plan`: show what `update` would do.

use crate::ctl::error::Outcome;
use crate::ctl::records::{Configured, GroupChange, Process, ProcessChange, Reread};
use crate::ctl::session::Session;
use crate::model::namespec;
use crate::model::state::ProcessState;

/// What happens to a group as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Remove,
    Restart,
    Add,
}

/// Prints what would happen, group by group and process by process, and because of which keys.
///
/// # Errors
/// A call that came to nothing.
pub(super) fn print(session: &mut Session, changes: &[GroupChange]) -> Outcome {
    let processes = session.daemon.all_process_info()?;
    let configured = session.daemon.all_config_info()?;
    let mut lines = Vec::new();
    for change in changes {
        let group = &change.group;
        match change.action.as_str() {
            "remove" => lines.push(describe(Change::Remove, group, &[], &processes, &configured)),
            "replace" => {
                lines.push(describe(Change::Restart, group, &change.keys, &processes, &configured));
            }
            "add" => lines.push(describe(Change::Add, group, &[], &processes, &configured)),
            _ => {
                if !change.keys.is_empty() {
                    lines.push(format!("{group}: would take over {} of the group", change.keys.join(", ")));
                }
                lines.extend(
                    change.processes.iter().map(|one| of_process(group, one, &processes, &configured)),
                );
            }
        }
    }
    finish(session, &lines)
}

/// The same for a daemon that knows only whole groups.
///
/// # Errors
/// A call that came to nothing.
pub(super) fn print_groups(
    session: &mut Session,
    reread: &Reread,
    wanted: &dyn Fn(&&String) -> bool,
) -> Outcome {
    let processes = session.daemon.all_process_info()?;
    let configured = session.daemon.all_config_info()?;
    let changes =
        [(Change::Remove, &reread.removed), (Change::Restart, &reread.changed), (Change::Add, &reread.added)];
    let mut lines = Vec::new();
    for (change, groups) in changes {
        lines.extend(
            groups.iter().filter(wanted).map(|group| describe(change, group, &[], &processes, &configured)),
        );
    }
    finish(session, &lines)
}

fn finish(session: &mut Session, lines: &[String]) -> Outcome {
    if lines.is_empty() {
        return Ok(session.screen.line("No config updates to processes")?);
    }
    lines.iter().try_for_each(|line| Ok(session.screen.line(line)?))
}

fn of_process(
    group: &str,
    change: &ProcessChange,
    processes: &[Process],
    configured: &[Configured],
) -> String {
    let is_it = |its_group: &str, name: &str| its_group == group && name == change.name;
    let runs = processes.iter().any(|process| is_it(&process.group, &process.name) && process.pid != 0);
    let starts = configured.iter().any(|process| is_it(&process.group, &process.name) && process.autostart);
    let has_failed = processes.iter().any(|process| {
        is_it(&process.group, &process.name) && process.statename == ProcessState::Fatal.name()
    });
    let is_mended = has_failed || change.keys.iter().any(|key| key == "autostart");
    let what = match (change.action.as_str(), runs, starts) {
        ("remove", true, _) => "would stop and remove it",
        ("remove", false, _) => "would remove it",
        ("restart", true, _) => "would restart it",
        ("restart", false, true) => "would start it with the new configuration",
        ("apply", false, true) if is_mended => "would start it with the new configuration",
        ("apply", true, _) => "would apply it while it runs",
        ("restart" | "apply", false, _) => "would change it while it is at rest",
        ("add", _, true) => "would add and start it",
        _ => "would add it",
    };
    let because =
        if change.keys.is_empty() { String::new() } else { format!(": {}", change.keys.join(", ")) };
    format!("{}: {what}{because}", namespec::display(group, &change.name))
}

fn describe(
    change: Change,
    group: &str,
    keys: &[String],
    processes: &[Process],
    configured: &[Configured],
) -> String {
    let (verb, stops, starts) = match change {
        Change::Remove => ("remove", true, false),
        Change::Restart => ("stop and add anew", true, true),
        Change::Add => ("add", false, true),
    };
    let running = processes.iter().filter(|process| stops && process.group == group && process.pid != 0);
    let running: Vec<String> = running.map(Process::namespec).collect();
    let started = configured.iter().filter(|process| starts && process.group == group && process.autostart);
    let started: Vec<String> = started.map(Configured::namespec).collect();
    let because = if keys.is_empty() { String::new() } else { format!(" ({})", keys.join(", ")) };
    let mut line = format!("{group}: would {verb} the group{because}");
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
        for (change, keys, expected) in [
            (Change::Remove, &[][..], "g: would remove the group, stopping g:a"),
            (Change::Restart, &[], "g: would stop and add anew the group, stopping g:a, starting g:c"),
            (
                Change::Restart,
                &["events"],
                "g: would stop and add anew the group (events), stopping g:a, starting g:c",
            ),
            (Change::Add, &[], "g: would add the group, starting g:c"),
        ] {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            assert_eq!(describe(change, "g", &keys, &processes, &configured), expected);
        }
        for (name, action, expected) in [
            ("a", "restart", "g:a: would restart it: command"),
            ("a", "apply", "g:a: would apply it while it runs: command"),
            ("a", "remove", "g:a: would stop and remove it: command"),
            ("b", "restart", "g:b: would change it while it is at rest: command"),
            ("b", "remove", "g:b: would remove it: command"),
            ("c", "add", "g:c: would add and start it: command"),
            ("d", "add", "g:d: would add it: command"),
        ] {
            let (name, action, keys) = (name.to_string(), action.to_string(), vec!["command".to_string()]);
            let change = ProcessChange { name, action, keys };
            assert_eq!(of_process("g", &change, &processes, &configured), expected);
        }
    }
}
