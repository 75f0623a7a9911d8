//! Control groups of programs on the machine's own hierarchy. Where a controller is missing, the refusal is tested instead,
//! and the test says so.

use crate::start;
use crate::support::{Daemon, LONG, Side, Start, cmdline, member, until, until_some};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use supervisord::model::cgroup::Controller;
use supervisord::model::state::ProcessState::{Backoff, Exited, Fatal, Running, Stopped};
use supervisord::sys::cgroup::home;

/// The control group that a daemon started from here makes its own in, and the controllers there. `None`, with the reason
/// on standard error, where none can be made.
fn base(test: &str) -> Option<(PathBuf, Vec<Controller>)> {
    match home::find(0) {
        Ok(base) => Some((base.location.directory(), base.controllers)),
        Err(why) => {
            eprintln!("skipped: {test}: no control group can be made here: {why}");
            None
        }
    }
}

/// Whether a controller is there; says what is tested instead if not.
fn has(controllers: &[Controller], wanted: Controller, test: &str) -> bool {
    let has = controllers.contains(&wanted);
    if !has {
        eprintln!("{test}: no {} controller in cgroup v2 here; only its refusal is tested", wanted.name());
    }
    has
}

fn place(daemon: &Daemon, base: &Path, name: &str) -> PathBuf {
    base.join(format!("supervisord.{}", daemon.keeper())).join(name)
}

/// The control group of a process as the kernel names it.
fn group_of(pid: i32) -> String {
    supervisord::sys::cgroup::of_process(pid).unwrap_or_default()
}

fn wait_gone(directory: &Path) {
    until(&format!("{} is removed", directory.display()), LONG, || !directory.exists());
}

/// Each has its own, whatever its name, is born in it, and leaves nothing behind; whoever has no key has none.
#[test]
fn a_program_is_born_in_a_group_of_its_own_and_it_goes_with_the_program() {
    let Some((base, _)) = base("the group of a program") else { return };
    let mut daemon = start(
        "[program:plain]\ncommand=sleep 1000\n\
         [program:x]\ncommand=sh -c 'cat /proc/self/cgroup > %(here)s/born; sleep 1000 & exec sleep 1000'\n\
         memory_max=max\nstopasgroup=true\nkillasgroup=true\n\
         [program:odd]\nprocess_name=a@b.c\ncommand=sleep 1000\ncpu_weight=100\n",
    );
    for name in ["plain", "x", "odd:a@b.c"] {
        daemon.wait_for_state(name, Running, LONG);
    }
    let pid = daemon.pid_of("x");
    let home = format!("/supervisord.{}", daemon.keeper());
    assert!(group_of(pid).ends_with(&format!("{home}/x/1")), "{}", group_of(pid));
    until("it has told where it was born", LONG, || daemon.read("born").ends_with('\n'));
    assert!(daemon.read("born").contains(&format!("{home}/x/1\n")), "{}", daemon.read("born"));
    let odd = group_of(daemon.pid_of("odd:a@b.c"));
    assert!(odd.ends_with(&format!("{home}/odd@a%40b%2Ec/1")), "{odd}");
    assert_eq!(group_of(daemon.pid_of("plain")), group_of(daemon.manager()));
    let directory = place(&daemon, &base, "x");
    until("both of its processes are there", LONG, || {
        let both = supervisord::sys::cgroup::processes(&directory);
        both.len() == 2 && both.iter().all(|pid| cmdline(*pid) == "sleep 1000")
    });
    let why = daemon.ctl(&["why", "x"]).stdout;
    assert!(why.contains(&format!("control group: {}\n", directory.display())), "{why}");
    assert!(why.contains("tasks 2") && why.contains("processor time"), "{why}");
    let json = daemon.ctl(&["status", "--json", "x", "plain"]).stdout;
    assert_eq!(json.matches("\"cgroup\":").count(), 1, "{json}");
    daemon.ctl(&["stop", "x"]);
    daemon.wait_for_state("x", Stopped, LONG);
    wait_gone(&directory);
    let directory = place(&daemon, &base, "odd@a%40b%2Ec");
    assert!(directory.exists());
    daemon.ctl(&["shutdown"]);
    daemon.wait_exit();
    assert!(!directory.exists(), "{}", directory.display());
}

/// The group stays for as long as somebody is in it, under whichever manager, and goes with the last one: nothing else has
/// to happen then.
#[test]
fn the_last_one_that_was_left_behind_takes_the_group_along() {
    let Some((base, _)) = base("the last one of a group") else { return };
    let daemon = start(
        "[program:x]\ncommand=sh -c 'sleep 1000 & echo $! > %(here)s/left; exec sleep 1000'\npids_max=max\n",
    );
    for is_killed in [false, true] {
        daemon.wait_for_state("x", Running, LONG);
        let left: i32 = until_some("it has left one", LONG, || daemon.read("left").trim().parse().ok());
        daemon.ctl(&["stop", "x"]);
        daemon.wait_for_state("x", Stopped, LONG);
        let directory = place(&daemon, &base, "x");
        assert!(directory.exists() && group_of(left).ends_with("/x/1"), "{}", group_of(left));
        if is_killed {
            daemon.kill_manager();
            daemon.wait_for_state("x", Stopped, LONG);
        }
        kill(Pid::from_raw(left), Signal::SIGKILL).unwrap();
        wait_gone(&directory);
        fs::remove_file(daemon.path("left")).unwrap();
        daemon.ctl(&["start", "x"]);
    }
}

/// What a program leaves behind stays in its group, and the next start is in another one below the same.
#[test]
fn what_is_left_behind_stays_under_the_same_limits() {
    let Some((base, _)) = base("what is left behind") else { return };
    let daemon = start(
        "[program:x]\ncommand=sh -c 'sleep 1000 & echo $! > %(here)s/left; exec sleep 1000'\npids_max=max\n",
    );
    daemon.wait_for_state("x", Running, LONG);
    let left: i32 = until_some("it has left one", LONG, || daemon.read("left").trim().parse().ok());
    daemon.ctl(&["restart", "x"]);
    daemon.wait_for_state("x", Running, LONG);
    assert!(group_of(left).ends_with("/x/1"), "{}", group_of(left));
    assert!(group_of(daemon.pid_of("x")).ends_with("/x/2"), "{}", group_of(daemon.pid_of("x")));
    let directory = place(&daemon, &base, "x");
    daemon.ctl(&["stop", "x"]);
    daemon.wait_for_state("x", Stopped, LONG);
    assert!(directory.exists());
    // It takes both: the one that was left first, and the next one.
    supervisord::sys::cgroup::kill_all(&directory).unwrap();
    until("nothing is left", LONG, || !supervisord::sys::cgroup::is_populated(&directory));
    daemon.ctl(&["start", "x"]);
    daemon.wait_for_state("x", Running, LONG);
    assert!(group_of(daemon.pid_of("x")).ends_with("/x/1"), "{}", group_of(daemon.pid_of("x")));
    daemon.ctl(&["stop", "x"]);
    supervisord::sys::cgroup::kill_all(&directory).unwrap();
}

/// A manager that takes over finds every group again, and an end meanwhile is cleaned up, too.
#[test]
fn groups_survive_the_manager_and_an_upgrade() {
    let Some((base, _)) = base("groups and managers") else { return };
    let daemon = start(
        "[program:x]\ncommand=sleep 1000\npids_max=max\nautorestart=false\n\
         [program:y]\ncommand=sleep 1000\npids_max=max\n",
    );
    daemon.wait_for_state("x", Running, LONG);
    daemon.wait_for_state("y", Running, LONG);
    let (x, y) = (place(&daemon, &base, "x"), place(&daemon, &base, "y"));
    daemon.replace_manager();
    assert!(daemon.ctl(&["why", "x"]).stdout.contains("control group: "));
    let upgraded = daemon.ctl(&["upgrade"]);
    assert_eq!(upgraded.code, 0, "{}", upgraded.stdout);
    assert!(daemon.ctl(&["why", "y"]).stdout.contains("control group: "));
    let pid = daemon.pid_of("x");
    let manager = daemon.manager();
    // It never hears of the end of x; its successor does.
    for (pid, signal) in [(manager, Signal::SIGSTOP), (pid, Signal::SIGKILL), (manager, Signal::SIGKILL)] {
        kill(Pid::from_raw(pid), signal).unwrap();
    }
    daemon.manager_after(manager);
    daemon.wait_answer();
    daemon.wait_for_state("x", Exited, LONG);
    wait_gone(&x);
    daemon.ctl(&["stop", "y"]);
    wait_gone(&y);
}

/// What a killed daemon left is removed by the next one in the same place.
#[test]
fn the_next_daemon_removes_what_is_left_of_a_killed_one() {
    let Some((base, _)) = base("stale groups") else { return };
    let mut first = start("[program:x]\ncommand=sleep 1000\npids_max=max\n");
    first.wait_for_state("x", Running, LONG);
    let stale = base.join(format!("supervisord.{}", first.keeper()));
    assert!(stale.exists());
    kill(Pid::from_raw(first.pid()), Signal::SIGKILL).unwrap();
    first.wait_exit();
    until("everything of it has ended", LONG, || !supervisord::sys::cgroup::is_populated(&stale));
    let second = start("[program:x]\ncommand=sleep 1000\npids_max=max\n");
    second.wait_for_state("x", Running, LONG);
    assert!(!stale.exists());
}

/// Limits are in force, or the refusal names the key and the reason: once in the log, in `check`, and as the reason of a
/// failed start if the program cannot do without.
#[test]
fn limits_are_in_force_or_refused_by_name() {
    let Some((base, controllers)) = base("limits") else { return };
    let keys = [
        ("memory_max", "64MB", Controller::Memory, "memory.max", "67108864"),
        ("memory_high", "32MB", Controller::Memory, "memory.high", "33554432"),
        ("cpu_max", "150%%", Controller::Cpu, "cpu.max", "150000 100000"),
        ("cpu_weight", "50", Controller::Cpu, "cpu.weight", "50"),
        ("pids_max", "20", Controller::Pids, "pids.max", "20"),
    ];
    let program = |(key, value, ..): &(&str, &str, Controller, &str, &str)| {
        format!(
            "[program:{key}]\ncommand=sleep 1000\n{key}={value}\n\
             [program:{key}_needed]\ncommand=sleep 1000\n{key}={value}\ncgroup_required=true\nstartretries=0\n"
        )
    };
    let conf: String = keys.iter().map(program).collect();
    let daemon = start(&conf);
    let check = daemon.command().args(["check", "-c"]).arg(daemon.conf()).output().unwrap();
    let check = String::from_utf8_lossy(&check.stdout).into_owned();
    for (key, _, controller, file, expected) in keys {
        daemon.wait_for_state(key, Running, LONG);
        let needed = format!("{key}_needed");
        if has(&controllers, controller, key) {
            daemon.wait_for_state(&needed, Running, LONG);
            let text = fs::read_to_string(place(&daemon, &base, key).join(file)).unwrap();
            assert_eq!(text.trim_end(), expected, "{key}");
            assert!(!check.contains(&format!("[program:{key}]")), "{check}");
            continue;
        }
        daemon.wait_for_state(&needed, Fatal, LONG);
        let place = base.display();
        let reason = format!("{key}: {place} offers no {} controller", controller.name());
        let spawnerr: String = member(&daemon.info(&needed), "spawnerr");
        assert!(spawnerr.starts_with(&reason), "{spawnerr}");
        daemon.wait_log(&format!("'{key}' starts without {reason}"));
        let told = "a daemon started from here cannot apply it, and the program starts without it";
        let line = check.lines().find(|line| line.contains(&format!("[program:{key}]"))).unwrap_or_default();
        assert!(line.contains(told), "{check}");
    }
}

/// In a control group that is not the root the kernel wants the daemon out of the way before it passes a controller on;
/// without one nobody is moved.
#[test]
fn the_daemon_moves_out_of_the_way_only_for_controllers() {
    let Some((base, controllers)) = base("a daemon in a group of its own") else { return };
    let own = base.join(format!("test-daemon-{}", std::process::id()));
    fs::create_dir(&own).unwrap();
    // What can be passed on from there.
    for controller in &controllers {
        let _ = fs::write(base.join("cgroup.subtree_control"), format!("+{}", controller.name()));
    }
    let enter = format!("echo 0 > {}/cgroup.procs && exec \"$0\" \"$@\"", own.display());
    let conf =
        "[program:plain]\ncommand=sleep 1000\npriority=1\n[program:x]\ncommand=sleep 1000\npids_max=20\n";
    let mut daemon = Start::new(Side::under_test(), conf).under(&["sh", "-c", &enter]).ready();
    daemon.wait_for_state("plain", Running, LONG);
    daemon.wait_for_state("x", Running, LONG);
    let tail = format!("/supervisord.{}", daemon.keeper());
    let (of_daemon, of_x) = (group_of(daemon.manager()), group_of(daemon.pid_of("x")));
    assert!(of_x.ends_with(&format!("{tail}/x/1")), "{of_x}");
    if has(&controllers, Controller::Pids, "moving the daemon") {
        assert!(of_daemon.ends_with(&format!("{tail}/daemon.self")), "{of_daemon}");
        assert_eq!(group_of(daemon.keeper()), of_daemon);
        assert_eq!(group_of(daemon.pid_of("plain")), of_daemon);
    } else {
        assert!(of_daemon.ends_with(own.file_name().unwrap().to_str().unwrap()), "{of_daemon}");
    }
    // The next manager finds the place again.
    daemon.replace_manager();
    daemon.ctl(&["restart", "x"]);
    daemon.wait_for_state("x", Running, LONG);
    assert_eq!(group_of(daemon.pid_of("x")), of_x);
    daemon.ctl(&["shutdown"]);
    daemon.wait_exit();
    until("nothing of it is left", LONG, || supervisord::sys::cgroup::remove(&own));
}

/// Too many processes are refused by the kernel, and the end says so.
#[test]
fn a_program_that_reaches_pids_max_is_told_so() {
    let Some((_, controllers)) = base("pids_max") else { return };
    if !has(&controllers, Controller::Pids, "pids_max") {
        return;
    }
    let daemon = start(
        "[program:x]\ncommand=sh -c 'for i in 1 2 3 4 5 6; do sleep 1000 & done; exit 3'\npids_max=4\nstartretries=0\n\
         killasgroup=true\n",
    );
    until("it has ended", LONG, || [Fatal, Backoff].contains(&daemon.state_of("x")));
    let why = daemon.ctl(&["why", "x"]).stdout;
    assert!(why.contains("it could not create more processes (pids_max=4)"), "{why}");
}

/// An OOM kill is the reason of the end: in `why`, the log and the process' spawnerr.
#[test]
fn a_program_that_is_killed_for_want_of_memory_is_told_so() {
    let Some((_, controllers)) = base("memory_max") else { return };
    if !has(&controllers, Controller::Memory, "memory_max") {
        return;
    }
    let daemon = start(
        "[program:x]\ncommand=python3 -c 'x = bytearray(1 << 30)'\nmemory_max=32MB\nstartretries=0\n\
         stderr_logfile=NONE\n",
    );
    daemon.wait_for_state("x", Fatal, LONG);
    let reason = "killed by the kernel for want of memory (memory_max=32MB)";
    assert_eq!(member::<String>(&daemon.info("x"), "spawnerr"), reason);
    daemon.wait_log(&format!("'x': {reason}"));
    assert!(daemon.ctl(&["why", "x"]).stdout.contains(reason));
}
