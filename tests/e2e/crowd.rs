//! Many programs at the same moment: created side by side, told in order, and none of them sees another's descriptors.

use crate::start;
use crate::support::{Daemon, LONG, flag, kill, member, n_threads, text, until};
use dxr::{TryFromValue, Value};
use nix::sys::signal::Signal;
use std::collections::HashSet;
use supervisord::model::state::ProcessState::{Backoff, Fatal, Running};

const CROWD: usize = 60;

/// Each tells how many descriptors it has; `ls` has one more itself.
const COUNTING: &str = "
[program:n]
command=/bin/sh -c 'ls /proc/self/fd | wc -l; exec sleep 1000'
process_name=%(process_num)02d
numprocs=60
startsecs=0
stdout_logfile=%(here)s/%(process_num)02d.log
";

fn pids(daemon: &Daemon) -> Vec<i32> {
    let everybody = daemon.rows("supervisor.getAllProcessInfo");
    everybody.iter().map(|info| member(info, "pid")).filter(|pid| *pid != 0).collect()
}

/// The names in the lines `spawned: 'name' with pid …`.
fn spawned(daemon: &Daemon) -> Vec<String> {
    let name = |line: String| line.strip_prefix("spawned: '")?.split('\'').next().map(str::to_string);
    daemon.messages().into_iter().filter_map(|line| name(line.text)).collect()
}

/// The lines that all of them have written.
fn written(daemon: &Daemon) -> Vec<String> {
    let logs = (0..CROWD).map(|number| daemon.read(&format!("{number:02}.log")));
    logs.flat_map(|log| log.lines().map(str::to_string).collect::<Vec<_>>()).collect()
}

#[test]
fn a_crowd_that_dies_together_comes_back_together() {
    let daemon = start(COUNTING);
    let expected: Vec<String> = (0..CROWD).map(|number| format!("{number:02}")).collect();
    until("all have come to life", LONG, || written(&daemon).len() == CROWD);
    assert_eq!(spawned(&daemon), expected, "in the order of the configuration");

    let first = pids(&daemon);
    first.iter().for_each(|pid| kill(*pid, Signal::SIGKILL));
    until("all have come to life again", LONG, || written(&daemon).len() == 2 * CROWD);
    until("all are known to run", LONG, || pids(&daemon).len() == CROWD);
    let both: HashSet<i32> = first.into_iter().chain(pids(&daemon)).collect();
    assert_eq!(both.len(), 2 * CROWD, "all of them are others");
    let log = daemon.log();
    assert_eq!(log.matches("(terminated by SIGKILL; not expected)").count(), CROWD, "{log}");
    assert_eq!(spawned(&daemon).len(), 2 * CROWD);
    // 0, 1, 2 and the directory.
    assert!(written(&daemon).iter().all(|count| count == "4"), "{:?}", written(&daemon));
}

/// The threads are there for the crowd only.
#[test]
fn no_thread_is_left_when_the_crowd_has_started() {
    let daemon = start(
        "[program:x]\ncommand=sleep 1000\nautostart=false\nnumprocs=30\nprocess_name=%(process_num)d\n",
    );
    let manager = daemon.manager();
    // Other threads come with the first clients.
    until("all threads are there", LONG, || daemon.answers() && n_threads(manager) > 1);
    for _ in 0..2 {
        daemon.call("supervisor.startProcessGroup", vec![text("x"), flag(false)]);
        daemon.call("supervisor.stopProcessGroup", vec![text("x")]);
    }
    let n_before = n_threads(manager);
    for _ in 0..5 {
        daemon.call("supervisor.startProcessGroup", vec![text("x"), flag(false)]);
        daemon.call("supervisor.stopProcessGroup", vec![text("x")]);
    }
    until("no more threads than before", LONG, || n_threads(manager) <= n_before);
}

/// One of them cannot start; its answer stands in its place, and the others do not mind.
#[test]
fn a_group_is_answered_member_by_member() {
    let members: String = (0..8)
        .map(|number| {
            let command = if number == 3 { "/etc/passwd" } else { "sleep 1000" };
            format!("[program:m{number}]\ncommand={command}\nautostart=false\nstartsecs=0\n")
        })
        .collect();
    let daemon = start(&format!("{members}[group:g]\nprograms=m0,m1,m2,m3,m4,m5,m6,m7\n"));
    let answer = daemon.call("supervisor.startProcessGroup", vec![text("g")]);
    let answer = <Vec<Value>>::try_from_value(&answer).expect("an array");
    let named: Vec<(String, i32)> =
        answer.iter().map(|one| (member(one, "name"), member(one, "status"))).collect();
    // 80 is SUCCESS, 21 is NOT_EXECUTABLE.
    let expected: Vec<(String, i32)> =
        (0..8).map(|number| (format!("m{number}"), if number == 3 { 21 } else { 80 })).collect();
    assert_eq!(named, expected);
    assert_eq!(daemon.state_of("g:m7"), Running);
}

/// What fails in the child itself is told about the right one.
#[test]
fn in_a_crowd_everybody_has_its_own_failure() {
    let members: String = (0..12)
        .map(|number| {
            let directory = if number % 2 == 0 { "/tmp".to_string() } else { format!("/nonexistent/{number}") };
            format!("[program:m{number}]\ncommand=sleep 1000\nstartsecs=2\nstartretries=0\ndirectory={directory}\n")
        })
        .collect();
    let daemon = start(&members);
    for number in 0..12 {
        let name = format!("m{number}");
        let wanted = if number % 2 == 0 { Running } else { Fatal };
        daemon.wait_for_state(&name, wanted, LONG);
        if wanted == Fatal {
            let why: String = member(&daemon.info(&name), "spawnerr");
            assert_eq!(why, format!("couldn't chdir to /nonexistent/{number}: ENOENT"));
        }
    }
}

/// They all wait for the same moment.
#[test]
fn a_crowd_that_backs_off_tries_again_together() {
    let daemon = start(
        "
[program:n]
command=/bin/sh -c 'test -e %(here)s/open && exec sleep 1000; exit 1'
process_name=%(process_num)d
numprocs=20
startsecs=1
startretries=30
",
    );
    for number in 0..20 {
        daemon.wait_for_state(&format!("n:{number}"), Backoff, LONG);
    }
    std::fs::write(daemon.path("open"), "").expect("the test's directory can be written");
    for number in 0..20 {
        daemon.wait_for_state(&format!("n:{number}"), Running, LONG);
    }
}

/// Wherever in the middle of it the manager dies, nobody is forgotten and nobody runs twice.
#[test]
fn a_manager_that_dies_among_a_crowd_leaves_no_program_twice() {
    let daemon = start(&COUNTING.replace("stdout_logfile=", "autorestart=true\nstdout_logfile="));
    for round in 0_u64..12 {
        until("all run", LONG, || pids(&daemon).len() == CROWD);
        pids(&daemon).iter().for_each(|pid| kill(*pid, Signal::SIGKILL));
        // Another point each time, and the condition is the same at all of them.
        std::thread::sleep(std::time::Duration::from_millis(round * 3));
        if let Some(manager) = daemon.manager_now() {
            kill(manager, Signal::SIGKILL);
        }
        daemon.wait_answer();
    }
    until("each program runs once", LONG, || {
        let known: HashSet<i32> = pids(&daemon).into_iter().collect();
        let alive: HashSet<i32> = daemon.programs().iter().map(|program| program.pid).collect();
        known.len() == CROWD && known == alive
    });
}
