//! `include_errors=skip`: what becomes of the programs whose files were left out.

use crate::config::error::ConfigError;
use crate::config::include::Files;
use crate::model::config::{Config, GroupConfig, GroupKind, Level, Message, SkippedFile};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// Puts the active groups whose files were left out back into a configuration just read, so that nothing becomes of them.
///
/// A program that would run a second time, because its `[group:x]` was left out and its own section was not, does not get a
/// group of its own. Groups that are not active lack the programs that were left out.
pub fn keep(active: &[Arc<GroupConfig>], mut fresh: Config) -> Config {
    if fresh.skipped.is_empty() {
        return fresh;
    }
    let lost = Lost::new(&fresh.skipped);
    let kept: HashMap<&str, &Arc<GroupConfig>> =
        active.iter().filter(|group| lost.concerns(group)).map(|group| (&*group.name, group)).collect();
    if kept.is_empty() {
        return fresh;
    }
    let programs = |group: &GroupConfig| -> Vec<Arc<str>> {
        group.processes.iter().map(|process| Arc::clone(&process.program)).collect()
    };
    let kept_programs: HashSet<Arc<str>> = kept.values().flat_map(|group| programs(group)).collect();
    let active_names: HashSet<&str> = active.iter().map(|group| &*group.name).collect();
    let runs_already = |group: &GroupConfig| {
        is_of_one_program(&group.kind)
            && !active_names.contains(&*group.name)
            && programs(group).iter().any(|program| kept_programs.contains(program))
    };
    fresh.groups.retain(|group| !kept.contains_key(&*group.name) && !runs_already(group));
    fresh.groups.extend(kept.values().map(|group| Arc::clone(group)));
    fresh.groups.sort_by(|a, b| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
    fresh
}

/// Whether a group is that of a program which no `[group:x]` names. The groups of listeners have their names from nothing
/// else, so that they cannot be there twice.
fn is_of_one_program(kind: &GroupKind) -> bool {
    matches!(kind, GroupKind::Program | GroupKind::FcgiProgram)
}

/// What was left out.
struct Lost<'c> {
    files: HashSet<&'c Path>,
    headers: HashSet<&'c str>,
}

impl Lost<'_> {
    fn new(skipped: &[SkippedFile]) -> Lost<'_> {
        Lost {
            files: skipped.iter().map(|skipped| &*skipped.file).collect(),
            headers: skipped
                .iter()
                .flat_map(|skipped| &skipped.sections)
                .map(|header| header.trim())
                .collect(),
        }
    }

    /// Whether something of a group was left out: where it stood when it was read, or where it stands now.
    fn concerns(&self, group: &GroupConfig) -> bool {
        let has = |kind: &str, name: &str| self.headers.contains(format!("{kind}:{name}").as_str());
        let kinds: &[&str] = match group.kind {
            GroupKind::EventListener(_) => &["eventlistener"],
            _ => &["program", "fcgi-program"],
        };
        let mut programs = group.processes.iter().map(|process| &process.program);
        group.files.0.iter().any(|file| self.files.contains(&**file))
            || (group.kind == GroupKind::Group && has("group", &group.name))
            || programs.any(|program| kinds.iter().any(|kind| has(kind, program)))
    }
}

/// The files that were left out, each with the first thing that is wrong in it.
pub(super) fn skipped(files: &Files<'_>) -> Vec<SkippedFile> {
    let skipped = files.left_out().iter().filter_map(|(file, errors)| {
        let first = errors.first()?;
        Some(SkippedFile {
            file: files.path(file),
            line: first.line,
            text: in_one_line(first),
            sections: files.headers(file),
        })
    });
    skipped.collect()
}

/// What is wrong, with section and key.
fn in_one_line(error: &ConfigError) -> String {
    let text = error.text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    match (&error.section, &error.key) {
        (Some(section), Some(key)) => format!("[{section}] {key}: {text}"),
        (Some(section), None) => format!("[{section}] {text}"),
        _ => text,
    }
}

/// The lines for the activity log.
pub(super) fn messages(skipped: &[SkippedFile]) -> impl Iterator<Item = Message> {
    skipped.iter().map(|skipped| Message {
        level: Level::Error,
        text: format!("{skipped}; the file is left out, and its programs stay as they are"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::args::DaemonArgs;
    use crate::config::{Surroundings, diff, load};
    use std::fs;
    use tempfile::TempDir;

    /// Reads a main file that includes these.
    fn read(directory: &TempDir, files: &[(&str, &str)]) -> Config {
        let path = |name: &str| directory.path().join(name);
        let _ = fs::remove_dir_all(path("conf.d"));
        fs::create_dir(path("conf.d")).expect("created");
        fs::write(path("x.conf"), "[supervisord]\n[include]\nfiles=conf.d\ninclude_errors=skip\n")
            .expect("written");
        for (name, text) in files {
            fs::write(path("conf.d").join(name), text).expect("written");
        }
        let configuration = Some(path("x.conf").to_string_lossy().into_owned());
        let args = DaemonArgs { configuration, ..DaemonArgs::default() };
        load(&args, &Surroundings::of_this_process()).expect("it is right")
    }

    /// What is active, what stands in the files now, and what becomes of it: `+added ~changed -removed`.
    #[track_caller]
    fn check(active: &[(&str, &str)], now: &[(&str, &str)], n_skipped: usize, expected: &str) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let active = read(&directory, active).groups;
        let fresh = keep(&active, read(&directory, now));
        assert_eq!(fresh.skipped.len(), n_skipped, "{:?}", fresh.skipped);
        let found = diff(&active, &fresh.groups);
        let signed = |sign: &str, names: Vec<String>| -> Vec<String> {
            names.into_iter().map(|name| format!("{sign}{name}")).collect()
        };
        let all = [signed("+", found.added), signed("~", found.changed), signed("-", found.removed)];
        assert_eq!(all.concat().join(" "), expected);
    }

    const A: &str = "[program:a]\ncommand=a\n";
    const B: &str = "[program:b]\ncommand=b\n";
    const BROKEN_B: &str = "[program:b]\ncommand=b\nautostart=maybe\n";
    const GROUP: &str = "[group:g]\nprograms=a,b\n";

    #[test]
    fn programs_of_a_broken_file_stay() {
        check(&[("a", ""), ("a.conf", A), ("b.conf", B)], &[("a.conf", A), ("b.conf", BROKEN_B)], 1, "");
        check(&[("a.conf", A), ("b.conf", B)], &[("a.conf", A), ("b.conf", "oops")], 1, "");
        check(&[("a.conf", A), ("b.conf", B)], &[("a.conf", A)], 0, "-b");
        // It was elsewhere before.
        check(&[("all.conf", &format!("{A}{B}"))], &[("all.conf", A), ("b.conf", BROKEN_B)], 1, "");
        check(&[("a.conf", A)], &[("a.conf", &A.replace("=a", "=c")), ("b.conf", BROKEN_B)], 1, "~a");
        check(
            &[("e.conf", "[eventlistener:e]\ncommand=e\nevents=TICK_5\n")],
            &[("e.conf", "[eventlistener:e]\ncommand=e\nevents=TICK\n5\n")],
            1,
            "",
        );
    }

    #[test]
    fn members_run_once() {
        let active = [("a.conf", A), ("b.conf", B), ("g.conf", GROUP)];
        // The group is broken, and its programs are not.
        check(
            &active,
            &[("a.conf", A), ("b.conf", B), ("g.conf", "[group:g]\nprograms=a,b\npriority=x\n")],
            1,
            "",
        );
        check(&active, &[("a.conf", A), ("b.conf", B), ("g.conf", "[group:g]\nprograms=a,b\noops\n")], 1, "");
        // A program is broken, and its group is not.
        check(&active, &[("a.conf", A), ("b.conf", BROKEN_B), ("g.conf", GROUP)], 1, "");
        // The group is new.
        check(&active[..2], &[("a.conf", A), ("b.conf", BROKEN_B), ("g.conf", GROUP)], 1, "+g -a");
        // So is the program.
        check(&active[..1], &[("a.conf", A), ("b.conf", BROKEN_B)], 1, "");
    }

    #[test]
    fn what_stands_for_others_stays_with_them() {
        let far = "[program-defaults:far]\numask=022\n";
        let a = format!("{A}inherit=far\n");
        check(
            &[("a.conf", &a), ("far.conf", far)],
            &[("a.conf", &a), ("far.conf", "[program-defaults:far]\numask\n")],
            2,
            "",
        );
        // A value of the program is in the broken file.
        let more = "[program:a]\numask=022\n";
        check(&[("a.conf", A), ("b.conf", more)], &[("a.conf", A), ("b.conf", &format!("{more}x\n"))], 1, "");
    }

    #[test]
    fn one_line_tells_of_each_file() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = read(&directory, &[("a.conf", "[program:a]\ncommand=a\nx\ny\n"), ("b.conf", BROKEN_B)]);
        let here = directory.path().join("conf.d").display().to_string();
        let told: Vec<String> =
            config.skipped.iter().map(|file| file.to_string().replace(&here, "DIR")).collect();
        assert_eq!(
            told,
            [
                "DIR/a.conf:3: Source contains parsing errors: 'DIR/a.conf' [line  3]: 'x\\n' [line  4]: 'y\\n'",
                "DIR/b.conf:3: [program:b] autostart: not a valid boolean value: 'maybe'"
            ]
        );
        let errors = config.messages.iter().filter(|message| message.level == Level::Error);
        assert_eq!(errors.count(), 2);
    }
}
