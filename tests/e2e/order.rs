//! Groups and priorities: who is first.

use crate::start;
use crate::support::{Daemon, LONG, text, until};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use supervisord::model::state::ProcessState::Running;

/// Three priorities; the middle one takes its time to stop.
const PRIORITIES: &str = "
[supervisord]
loglevel=debug

[program:last]
command=sleep 1000
priority=30
startsecs=0

[program:first]
command=sleep 1000
priority=10
startsecs=0

[program:middle]
command=/bin/sh -c 'trap \"sleep 0.3; exit 0\" TERM; echo ready; while :; do sleep 0.02; done'
priority=20
startsecs=0
";

/// The names in the order in which lines with `start` name them.
fn names(daemon: &Daemon, start: &str) -> Vec<String> {
    let lines =
        daemon.messages().into_iter().filter_map(|line| Some(line.text.strip_prefix(start)?.to_string()));
    lines.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

#[test]
fn low_priorities_start_first_and_stop_last() {
    let mut daemon = start(PRIORITIES);
    for name in ["first", "middle", "last"] {
        daemon.wait_for_state(name, Running, LONG);
    }
    assert_eq!(names(&daemon, "spawned: '"), ["first", "middle", "last"]);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert_eq!(names(&daemon, "stopped: "), ["last", "middle", "first"]);
}

/// A group is only told to stop when the one after it is gone.
#[test]
fn a_shutdown_waits_for_each_group() {
    let mut daemon = start(PRIORITIES);
    for name in ["first", "middle", "last"] {
        daemon.wait_for_state(name, Running, LONG);
    }
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    let log = daemon.log();
    let place = |needle: &str| log.find(needle).unwrap_or_else(|| panic!("{needle:?} is missing in\n{log}"));
    assert!(place("stopped: last") < place("killing middle (pid"));
    assert!(place("stopped: middle") < place("killing first (pid"));
}

/// The original starts them as they stand in `programs`.
#[test]
fn within_a_group_the_members_have_their_priorities() {
    let mut daemon = start(
        "
[supervisord]
loglevel=debug
[program:a]
command=sleep 1000
priority=1
startsecs=0
[program:b]
command=sleep 1000
priority=2
startsecs=0
[program:c]
command=sleep 1000
priority=3
startsecs=0
[group:g]
programs=b,c,a
",
    );
    for name in ["g:a", "g:b", "g:c"] {
        daemon.wait_for_state(name, Running, LONG);
    }
    assert_eq!(names(&daemon, "spawned: '"), ["a", "b", "c"]);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    let log = daemon.log();
    let place = |needle: &str| log.find(needle).unwrap_or_else(|| panic!("{needle:?} is missing in\n{log}"));
    assert!(
        place("killing c (pid") < place("killing b (pid")
            && place("killing b (pid") < place("killing a (pid")
    );
}

#[test]
fn numbered_programs_come_in_order() {
    let daemon = start(
        "
[program:n]
command=sleep 1000
process_name=%(program_name)s_%(process_num)02d
numprocs=12
numprocs_start=5
startsecs=0
",
    );
    daemon.wait_for_state("n:n_16", Running, LONG);
    let expected: Vec<String> = (5..17).map(|number| format!("n_{number:02}")).collect();
    assert_eq!(names(&daemon, "spawned: '"), expected);
}

/// Each of them ends only when all have been told to.
#[test]
fn members_of_a_group_stop_side_by_side() {
    let daemon = start(
        "
[program:n]
command=/bin/sh -c 'trap \"echo told >> told; while [ $(wc -l < told) -lt 10 ]; do sleep 0.02; done; exit 0\" TERM; echo ready >> ready; while :; do sleep 0.02; done'
directory=%(here)s
process_name=%(process_num)d
numprocs=10
startsecs=0
stopwaitsecs=20
",
    );
    until("all are ready", LONG, || daemon.read("ready").lines().count() == 10);
    daemon.call("supervisor.stopProcessGroup", vec![text("n")]);
    let log = daemon.log();
    assert_eq!(log.matches("stopped: ").count(), 10, "{log}");
    assert_eq!(log.matches(" (exit status 0)").count(), 10, "{log}");
}

/// One after the other, as their priorities ask, but without a pause in between: it takes no longer than as many stops
/// that a client asks for. The original takes half a minute.
#[test]
fn a_hundred_groups_shut_down_without_a_pause() {
    // Somebody else on the machine may hold up one of the two. A pause would be there each time.
    const ATTEMPTS: usize = 5;
    let mut measured = Vec::new();
    let is_prompt = (0..ATTEMPTS).any(|_| {
        let (floor, took) = stop_a_hundred_groups();
        println!("100 stops by calls took {floor:?}, a shutdown of 100 groups {took:?}");
        measured.push((floor, took));
        took < 2 * floor
    });
    assert!(is_prompt, "as many calls and a shutdown took {measured:?}");
}

/// How long it takes a client, and how long at a shutdown.
fn stop_a_hundred_groups() -> (Duration, Duration) {
    let program = |name: &str, number: usize| {
        format!("[program:{name}{number}]\ncommand=sleep 1000\nstartsecs=0\npriority={number}\n")
    };
    let sections: String = (0..100).map(|number| program("p", number) + &program("asked", number)).collect();
    let mut daemon = start(&sections);
    for name in ["p99", "asked99"] {
        daemon.wait_for_state(name, Running, LONG);
    }
    let begin = Instant::now();
    for number in 0..100 {
        daemon.call("supervisor.stopProcess", vec![text(&format!("asked{number}"))]);
    }
    let floor = begin.elapsed();
    let n_stopped = names(&daemon, "stopped: ").len();
    let begin = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    let took = begin.elapsed();
    let expected: Vec<String> = (0..100).rev().map(|number| format!("p{number}")).collect();
    assert_eq!(names(&daemon, "stopped: ")[n_stopped..], expected);
    (floor, took)
}
