//! The manager dies and nothing is lost.

use crate::start;
use crate::support::{
    AS_PID_1, COUNTER, LONG, Side, Start, assert_unbroken, flag, kill, member, running, text, until,
    wait_gone,
};
use nix::sys::signal::Signal;
use supervisord::model::state::ProcessState::{Exited, Running};

#[test]
fn programs_do_not_notice_the_death_of_the_manager() {
    let daemon = start(COUNTER);
    daemon.wait_for_state("counter", Running, LONG);
    let (keeper, before) = (daemon.pid(), daemon.info("counter"));
    until("some lines are logged", LONG, || assert_unbroken(&daemon.read("counter.log")) > 20);

    daemon.kill_manager();
    // At once: a client that comes in between waits in the backlog and is not refused.
    let status = daemon.ctl(&["status", "counter"]).expect(0);
    assert!(status.stdout.contains("RUNNING"), "{status}");

    let after = daemon.info("counter");
    assert_eq!(daemon.pid(), keeper);
    assert_eq!(member::<i32>(&after, "pid"), member::<i32>(&before, "pid"));
    assert_eq!(member::<i32>(&after, "start"), member::<i32>(&before, "start"), "the uptime goes on");
    let n_lines = assert_unbroken(&daemon.read("counter.log"));
    until("more lines are logged", LONG, || assert_unbroken(&daemon.read("counter.log")) > n_lines + 20);
    assert_eq!(daemon.log().matches("spawned: 'counter'").count(), 1);
}

#[test]
fn no_client_is_refused_while_the_manager_is_killed() {
    let daemon = start(COUNTER);
    daemon.wait_for_state("counter", Running, LONG);
    for _ in 0..20 {
        let before = daemon.manager();
        kill(before, Signal::SIGKILL);
        // A connection may break off if the dead manager had taken it; a new one is never refused.
        let answer = daemon.address().call("supervisor.getPID", vec![]);
        if let Err(error) = answer {
            assert_ne!(error.kind(), std::io::ErrorKind::ConnectionRefused);
            assert_ne!(error.kind(), std::io::ErrorKind::NotFound);
        }
        daemon.wait_answer();
    }
    assert_unbroken(&daemon.read("counter.log"));
}

/// Kills the manager again and again at odd moments, while one program counts and another one comes and goes.
fn survive(n_kills: usize, under: &[&str]) {
    let conf = format!(
        "{COUNTER}
[program:restless]
command=/bin/sh -c 'test -e enough && touch resting && exec sleep 1000; echo begin >> restless; sleep 0.02; echo end >> restless; exit 3'
directory=%(here)s
startsecs=0
autorestart=true
"
    );
    let daemon = Start::new(Side::under_test(), &conf).under(under).ready();
    daemon.wait_for_state("counter", Running, LONG);
    let counter = daemon.pid_of("counter");
    for round in 0..n_kills {
        daemon.replace_manager();
        // Another phase of everybody's rhythm in every round.
        std::thread::sleep(std::time::Duration::from_micros((round * 7919 % 30_000) as u64));
    }
    assert_eq!(daemon.pid_of("counter"), counter);
    assert_unbroken(&daemon.read("counter.log"));
    std::fs::write(daemon.path("enough"), "").expect("the test's directory can be written");
    until("the restless one rests", LONG, || daemon.path("resting").exists());

    // Every exit was seen and named as what it was, and no two of it ran at the same time.
    let written = daemon.read("restless");
    let alternating = written.lines().enumerate().all(|(at, line)| line == ["begin", "end"][at % 2]);
    assert!(alternating, "two of one program ran at the same time:\n{written}");
    let mut story: Vec<String> = daemon.messages().into_iter().map(|line| line.text).collect();
    story.retain(|text| text.starts_with("spawned: 'restless'") || text.starts_with("exited: restless"));
    // A manager killed between saying something and noting that it was said leaves it to be said again.
    story.dedup();
    for (at, pair) in story.chunks(2).enumerate() {
        let [spawned, exited] = pair else { continue };
        let in_turn = spawned.contains("spawned: 'restless'")
            && exited.contains("exited: restless (exit status 3; not expected)");
        assert!(
            in_turn,
            "a life is missing or doubled: {:#?}",
            &story[(2 * at).saturating_sub(4)..story.len().min(2 * at + 4)]
        );
    }
    assert_eq!(written.lines().count() / 2, story.len() / 2, "lives of the program against lives in the log");
}

#[test]
fn fifty_kills_later_nothing_is_lost() {
    survive(50, &[]);
}

#[test]
fn as_pid_1_nothing_is_lost_either() {
    survive(20, &AS_PID_1);
}

#[test]
#[ignore = "takes a minute; `make soak` runs it"]
fn a_thousand_kills_later_nothing_is_lost() {
    survive(1000, &[]);
}

#[test]
fn a_program_that_dies_together_with_the_manager_is_accounted_for() {
    let daemon = start(
        "
[program:a]
command=sleep 1000
startsecs=0
[program:b]
command=/bin/sh -c 'read line; exit 7'
startsecs=0
autorestart=false
",
    );
    daemon.wait_for_state("a", Running, LONG);
    daemon.wait_for_state("b", Running, LONG);
    let (a, b) = (daemon.pid_of("a"), daemon.pid_of("b"));
    let manager = daemon.manager();
    // It cannot see the deaths before its own.
    kill(manager, Signal::SIGSTOP);
    kill(a, Signal::SIGTERM);
    kill(b, Signal::SIGINT);
    wait_gone(&[a, b], LONG);
    kill(manager, Signal::SIGKILL);

    daemon.wait_for_state("b", Exited, LONG);
    daemon.wait_log("exited: b (terminated by SIGINT; not expected)");
    daemon.wait_log("exited: a (terminated by SIGTERM; not expected)");
    daemon.wait_for_state("a", Running, LONG);
    assert_ne!(daemon.pid_of("a"), a);
    assert_eq!(daemon.log().matches("exited: a ").count(), 1);
}

#[test]
fn a_stop_that_was_under_way_is_finished_by_the_next_manager() {
    let daemon = start(
        "
[program:stubborn]
command=/bin/sh -c 'trap \"\" TERM; echo ready; while :; do sleep 0.05; done'
startsecs=0
stopwaitsecs=2
stdout_logfile=%(here)s/stubborn.log
",
    );
    until("it ignores TERM", LONG, || daemon.read("stubborn.log").contains("ready"));
    let pid = daemon.pid_of("stubborn");
    let stop = vec![text("stubborn"), flag(false)];
    daemon.call("supervisor.stopProcess", stop);
    daemon.kill_manager();
    daemon.wait_log("stopped: stubborn (terminated by SIGKILL)");
    assert!(!running(pid));
}

#[test]
fn after_the_death_of_the_manager_the_daemon_still_shuts_down_in_order() {
    let mut daemon = start(COUNTER);
    daemon.wait_for_state("counter", Running, LONG);
    daemon.kill_manager();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert!(daemon.log().contains("stopped: counter (terminated by SIGTERM)"));
    assert!(!daemon.path("s.sock").exists() && !daemon.path("supervisord.pid").exists());
    // Whom the shell has started ends a moment after it.
    until("nobody is left", LONG, || daemon.alive().is_empty());
}

#[test]
fn programs_die_with_a_keeper_that_is_killed() {
    let mut daemon = start(COUNTER);
    daemon.wait_for_state("counter", Running, LONG);
    let everybody = daemon.alive();
    kill(daemon.pid(), Signal::SIGKILL);
    daemon.wait_exit();
    wait_gone(&everybody, LONG);
}
