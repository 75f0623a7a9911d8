//! Stopping one program.

use crate::start;
use crate::support::{LONG, flag, running, text, until, wait_gone};
use std::time::{Duration, Instant};
use supervisord::model::state::ProcessState::{Backoff, Running, Starting, Stopped, Stopping};

/// Ignores TERM.
const STUBBORN: &str = "
[program:x]
command=/bin/sh -c 'trap \"\" TERM; echo ready; while :; do sleep 0.02; done'
startsecs=0
stopwaitsecs=1
stdout_logfile=%(here)s/x.log
";

#[test]
fn stopsignal_and_its_wording() {
    for (stopsignal, line) in [
        ("TERM", "WARN stopped: x (terminated by SIGTERM)"),
        ("INT", "WARN stopped: x (terminated by SIGINT)"),
        ("USR1", "WARN stopped: x (terminated by SIGUSR1)"),
        ("KILL", "WARN stopped: x (terminated by SIGKILL)"),
    ] {
        let daemon =
            start(&format!("[program:x]\ncommand=sleep 1000\nstartsecs=0\nstopsignal={stopsignal}\n"));
        daemon.wait_for_state("x", Running, LONG);
        daemon.call("supervisor.stopProcess", vec![text("x")]);
        assert_eq!(daemon.state_of("x"), Stopped);
        for line in ["INFO waiting for x to stop", line] {
            assert!(daemon.log().contains(line), "{line:?} is missing in\n{}", daemon.log());
        }
    }
}

#[test]
fn an_orderly_end_is_no_warning() {
    let daemon = start(
        "
[program:x]
command=/bin/sh -c 'trap \"echo bye; exit 0\" TERM; echo ready; while :; do sleep 0.02; done'
startsecs=0
stdout_logfile=%(here)s/x.log
",
    );
    until("it is ready", LONG, || daemon.read("x.log").contains("ready"));
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    assert_eq!(daemon.state_of("x"), Stopped);
    assert!(daemon.log().contains("INFO stopped: x (exit status 0)"), "{}", daemon.log());
    assert_eq!(daemon.read("x.log"), "ready\nbye\n");
}

#[test]
fn who_does_not_stop_is_killed_once_after_the_grace_period() {
    let daemon = start(&STUBBORN.replace("stopwaitsecs=1", "stopwaitsecs=4"));
    until("it is ready", LONG, || daemon.read("x.log").contains("ready"));
    let pid = daemon.pid_of("x");
    let begin = Instant::now();
    daemon.call("supervisor.stopProcess", vec![text("x"), flag(false)]);
    assert_eq!(daemon.state_of("x"), Stopping);
    daemon.wait_for_state("x", Stopped, LONG);
    assert!(begin.elapsed() >= Duration::from_secs(4), "it has four seconds");
    let log = daemon.log();
    assert!(log.contains(&format!("WARN killing 'x' ({pid}) with SIGKILL")), "{log}");
    assert_eq!(log.matches("with SIGKILL").count(), 1, "{log}");
    assert!(log.contains("WARN stopped: x (terminated by SIGKILL)"), "{log}");
}

/// The original repeats the signal with every pass of its loop then.
#[test]
fn without_a_grace_period_it_is_killed_at_once_and_once() {
    let daemon = start(&STUBBORN.replace("stopwaitsecs=1", "stopwaitsecs=0"));
    until("it is ready", LONG, || daemon.read("x.log").contains("ready"));
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    assert_eq!(daemon.log().matches("with SIGKILL").count(), 1, "{}", daemon.log());
}

#[test]
fn a_stop_directly_after_a_start_takes_effect() {
    let daemon = start("[program:x]\ncommand=sleep 1000\nautostart=false\nstartsecs=1\n");
    for _ in 0..100 {
        daemon.call("supervisor.startProcess", vec![text("x"), flag(false)]);
        let pid = daemon.pid_of("x");
        daemon.call("supervisor.stopProcess", vec![text("x")]);
        assert_eq!(daemon.state_of("x"), Stopped);
        assert!(!running(pid));
    }
    assert_eq!(daemon.log().matches("spawned: 'x'").count(), 100);
}

#[test]
fn a_stop_while_starting_and_while_backing_off() {
    let daemon = start(
        "
[program:starting]
command=sleep 1000
startsecs=60

[program:failing]
command=/bin/sh -c 'exit 1'
startsecs=60
startretries=1000
",
    );
    daemon.wait_for_state("starting", Starting, LONG);
    daemon.call("supervisor.stopProcess", vec![text("starting")]);
    assert_eq!(daemon.state_of("starting"), Stopped);
    daemon.wait_for_state("failing", Backoff, LONG);
    daemon.call("supervisor.stopProcess", vec![text("failing")]);
    assert_eq!(daemon.state_of("failing"), Stopped);
}

/// The original claims success and starts nothing.
#[test]
fn a_start_while_stopping_waits_for_the_end() {
    let daemon = start(STUBBORN);
    until("it is ready", LONG, || daemon.read("x.log").contains("ready"));
    let pid = daemon.pid_of("x");
    daemon.call("supervisor.stopProcess", vec![text("x"), flag(false)]);
    daemon.call("supervisor.startProcess", vec![text("x")]);
    assert_eq!(daemon.state_of("x"), Running);
    assert_ne!(daemon.pid_of("x"), pid);
    assert!(!running(pid));
}

/// The original answers NOT_RUNNING.
#[test]
fn a_stop_while_stopping_waits_as_well() {
    let daemon = start(&STUBBORN.replace("stopwaitsecs=1", "stopwaitsecs=4"));
    until("it is ready", LONG, || daemon.read("x.log").contains("ready"));
    daemon.call("supervisor.stopProcess", vec![text("x"), flag(false)]);
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    assert_eq!(daemon.state_of("x"), Stopped);
}

/// A program with a child in its process group.
fn family(keys: &str) -> String {
    format!(
        "
[program:x]
command=/bin/sh -c 'sleep 1000 & echo $! > child; wait'
directory=%(here)s
startsecs=0
{keys}
"
    )
}

#[test]
fn stopasgroup_stops_the_children_too() {
    let daemon = start(&family("stopasgroup=true\n"));
    until("it has a child", LONG, || daemon.read("child").ends_with('\n'));
    daemon.wait_for_state("x", Running, LONG);
    let child: i32 = daemon.read("child").trim().parse().expect("a pid");
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    wait_gone(&[child], LONG);
}

#[test]
fn without_stopasgroup_the_children_are_left_alone() {
    let daemon = start(&family(""));
    until("it has a child", LONG, || daemon.read("child").ends_with('\n'));
    daemon.wait_for_state("x", Running, LONG);
    let child: i32 = daemon.read("child").trim().parse().expect("a pid");
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    assert!(running(child));
    crate::support::kill(child, nix::sys::signal::Signal::SIGKILL);
}

/// The original only kills the group if its leader had to be killed.
#[test]
fn with_killasgroup_nobody_of_the_group_survives_the_leader() {
    let daemon = start(&family("killasgroup=true\n"));
    until("it has a child", LONG, || daemon.read("child").ends_with('\n'));
    daemon.wait_for_state("x", Running, LONG);
    let child: i32 = daemon.read("child").trim().parse().expect("a pid");
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    wait_gone(&[child], LONG);
}
