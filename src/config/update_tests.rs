//! What an update does, for every key.

use super::*;
use crate::config::args::DaemonArgs;
use crate::config::{Surroundings, parse};
use std::fmt::Write;
use std::path::Path;

fn groups(text: &str) -> Vec<Arc<GroupConfig>> {
    let text = format!("[supervisord]\n{text}");
    let around = Surroundings::of_this_process();
    parse(Path::new("/tmp/x.conf"), &text, &DaemonArgs::default(), &around).expect(&text).groups
}

/// A plan as text: `g ~ priority: a=apply(priority) b=restart(command,user)`.
fn shown(plan: &UpdatePlan) -> String {
    let mut text = String::new();
    for group in &plan.groups {
        let sign = match group.action {
            GroupAction::Remove => '-',
            GroupAction::Replace => '!',
            GroupAction::Change => '~',
            GroupAction::Add => '+',
        };
        let _ = write!(text, "{sign}{}", group.name);
        if !group.keys.is_empty() {
            let _ = write!(text, "({})", group.keys.join(","));
        }
        text.push(':');
        for process in &group.processes {
            let _ = write!(text, " {}={}", process.name, process.action.word());
            if !process.keys.is_empty() {
                let _ = write!(text, "({})", process.keys.join(","));
            }
        }
        text.push('\n');
    }
    text.trim_end().to_string()
}

#[track_caller]
fn check(active: &str, candidate: &str, expected: &str) {
    let (active, candidate) = (groups(active), groups(candidate));
    assert_eq!(shown(&plan(&active, &candidate, |_| true)), expected);
    let reread = super::super::diff(&active, &candidate);
    let is_in_reread = [reread.added, reread.changed, reread.removed].iter().any(|names| !names.is_empty());
    assert_eq!(is_in_reread, !expected.is_empty(), "a reread says otherwise");
}

#[test]
fn only_what_differs_is_touched() {
    let two = "[program:a]\ncommand=a\n[program:b]\ncommand=b\n";
    let grouped = format!("{two}[group:g]\nprograms=a,b\n");
    check(two, two, "");
    check(two, &two.replace("=b", "=c"), "~b: b=restart(command)");
    check(&grouped, &grouped.replace("command=b", "command=c"), "~g: b=restart(command)");
    check(&grouped, &grouped.replace("command=b", "command=b\npriority=1"), "~g: b=apply(priority)");
    check(&grouped, &format!("{grouped}priority=5\n"), "~g(priority):");
    check(two, &grouped, "-a: a=remove\n-b: b=remove\n+g: a=add b=add");
    check(&grouped, &grouped.replace("a,b", "a"), "~g: b=remove(programs)\n+b: b=add");
    check(
        "[program:a]\ncommand=a\n",
        "[program:a]\ncommand=b\nautostart=false\nuser=0\n",
        "~a: a=restart(command,autostart,user)",
    );
}

#[test]
fn the_highest_number_goes_first() {
    let with = |numprocs: u32| {
        format!("[program:a]\ncommand=a\nnumprocs={numprocs}\nprocess_name=%(process_num)02d\n")
    };
    check(&with(2), &with(4), "~a: 02=add(numprocs) 03=add(numprocs)");
    check(&with(4), &with(2), "~a: 03=remove(numprocs) 02=remove(numprocs)");
    let shifted = format!("{}numprocs_start=1\n", with(2));
    check(&with(2), &shifted, "~a: 00=remove(process_name) 02=add(process_name)");
    // Whoever says the number of processes differs when that does.
    let counting = |numprocs| with(numprocs).replace("command=a", "command=a %(numprocs)d");
    check(&counting(1), &counting(2), "~a: 00=restart(command) 01=add(numprocs)");
}

#[test]
fn what_belongs_to_the_whole_group_replaces_it() {
    let pool = "[eventlistener:e]\ncommand=e\nevents=TICK_5\n";
    check(pool, &format!("{pool}buffer_size=20\n"), "!e(buffer_size): e=restart");
    check(pool, &pool.replace("TICK_5", "TICK_60"), "!e(events): e=restart");
    check(pool, "[program:e]\ncommand=e\n", "!e(section): e=restart");
    check(pool, &format!("{pool}stopwaitsecs=1\n"), "~e: e=apply(stopwaitsecs)");
}

#[test]
fn some_changes_need_a_restart_only_now_and_then() {
    let program = |keys: &str| format!("[program:a]\ncommand=a\n{keys}\n");
    check(&program(""), &program("stop_scope=tree"), "~a: a=apply(stop_scope)");
    check(&program(""), &program("stop_scope=cgroup"), "~a: a=restart(stop_scope)");
    check(&program("stopasgroup=true"), &program(""), "~a: a=apply(stopasgroup)");
    check(&program("killasgroup=true"), &program(""), "~a: a=apply(killasgroup)");
    check(&program("watchdog=5"), &program("watchdog=6"), "~a: a=apply(watchdog)");
    check(&program("watchdog=5"), &program(""), "~a: a=apply(watchdog)");
    check(&program(""), &program("watchdog=5"), "~a: a=restart(watchdog)");
    check(&program("notify=true"), &program("notify=true\nwatchdog=5"), "~a: a=apply(watchdog)");
    check(&program("environment_file=/x"), &program(""), "~a: a=restart(environment_file)");
}

#[test]
fn only_wanted_groups_are_looked_at() {
    let active = groups("[program:a]\ncommand=a\n[program:b]\ncommand=b\n[program:c]\ncommand=c\n");
    let candidate = groups("[program:a]\ncommand=x\n[program:b]\ncommand=x\n[program:d]\ncommand=d\n");
    for (name, expected) in
        [("a", "~a: a=restart(command)"), ("c", "-c: c=remove"), ("d", "+d: d=add"), ("x", "")]
    {
        assert_eq!(shown(&plan(&active, &candidate, |group| group == name)), expected);
    }
}
