//! What is under way in a program's life goes on when the manager is killed, and when another binary takes over.

use crate::life_kit::*;
use crate::life_ready::{NOTIFIER_FILE, notifier};
use crate::support::{Daemon, LONG, free_ports, kill, text, until};
use nix::sys::signal::Signal;
use std::net::TcpListener;
use supervisord::model::state::ProcessState::{Backoff, Exited, Fatal, Running, Starting, Stopped};

/// Kills the manager, waits until the next one answers, and lets yet another one take over in order.
#[track_caller]
fn take_over(daemon: &Daemon) {
    let manager = daemon.replace_manager();
    daemon.signal(Signal::SIGUSR1);
    daemon.manager_after(manager);
    daemon.wait_answer();
}

#[test]
fn a_wait_goes_on() {
    let conf = program("db", "ready=file:%(here)s/db.ready\nready_interval=100ms\n")
        + &program("app", "depends_on=db\n");
    let daemon = start_with(&conf, &[]);
    wait_description(&daemon, "app", "waiting for db (STARTING)");
    wait_starts(&daemon, "db", 1);
    take_over(&daemon);
    assert_eq!(description(&daemon, "app"), "waiting for db (STARTING)");
    assert_starts(&daemon, "app", 0);
    // What happens while there is no manager is made up for.
    kill(daemon.manager(), Signal::SIGKILL);
    put(&daemon, "db.ready", "");
    wait_state(&daemon, "app", Running);
    assert_starts(&daemon, "app", 1);
    assert_starts(&daemon, "db", 1);
}

#[test]
fn a_wait_keeps_its_deadline() {
    let conf = program("db", "ready=file:%(here)s/never\n")
        + &program("app", "depends_on=db\ndependency_timeout=4s\n")
        + &program("later", "depends_on=db\ndependency_timeout=4s\nautostart=false\n");
    let daemon = start_with(&conf, &[]);
    wait_description(&daemon, "app", "waiting for db");
    take_over(&daemon);
    begin(&daemon, "later");
    wait_state(&daemon, "app", Fatal);
    // One whose time began after the change of managers is not over sooner.
    wait_state(&daemon, "later", Fatal);
    let log = daemon.log();
    let gave_up = |name: &str| log.find(&format!("gave up: {name} ")).expect("it gave up");
    assert!(gave_up("app") < gave_up("later"), "{log}");
    assert_starts(&daemon, "app", 0);
}

#[test]
fn whoever_is_not_ready_yet_can_become_ready() {
    let [port] = free_ports();
    let conf = program("tcp", &format!("ready=tcp:{port}\nready_interval=100ms\n"))
        + &program("log", "ready=log:^all ready$\nstdout_logfile=%(here)s/log.log\n")
        + &program("fd", "ready=fd:3\n")
        + &program("exec", "ready=exec:/bin/sh %(here)s/check\n")
        + &notifier("notify", "wait:go tell:READY=1", "ready=notify\n");
    let files = [
        NOTIFIER_FILE,
        (
            "log.sh",
            "echo noise; printf 'all '; note half; while [ ! -f go ]; do sleep 0.02; done; echo ready\n",
        ),
        ("fd.sh", "printf half >&3; note half; while [ ! -f go ]; do sleep 0.02; done; echo >&3\n"),
        ("check", "echo $$ >> checks; while [ ! -f go ]; do sleep 0.02; done\n"),
    ];
    let daemon = start_with(&conf, &files);
    let names = ["tcp", "log", "fd", "exec", "notify"];
    names.iter().for_each(|name| wait_starts(&daemon, name, 1));
    wait_note(&daemon, "log", "half");
    wait_note(&daemon, "fd", "half");
    until("the command runs", LONG, || !daemon.read("checks").is_empty());
    take_over(&daemon);
    for name in names {
        assert_eq!(daemon.state_of(name), Starting, "{name}");
        assert!(daemon.pid_of(name) > 0, "{name}");
    }
    until("the command runs anew", LONG, || daemon.read("checks").lines().count() >= 3);
    let checks: Vec<i32> = daemon.read("checks").lines().map(|line| line.parse().expect("a pid")).collect();
    until("only the last one is left", LONG, || {
        checks.iter().filter(|pid| crate::support::running(**pid)).count() == 1
    });
    let _tcp = TcpListener::bind(("127.0.0.1", port)).expect("the port is still free");
    put(&daemon, "go", "");
    names.iter().for_each(|name| wait_state(&daemon, name, Running));
    names.iter().for_each(|name| assert_starts(&daemon, name, 1));
}

/// What is said while there is no manager is heard by the next one.
#[test]
fn whoever_becomes_ready_without_a_manager_is_ready() {
    let conf = program("log", "ready=log:^all ready$\nstdout_logfile=%(here)s/log.log\n")
        + &program("fd", "ready=fd:3\n")
        + &notifier("notify", "wait:go tell:READY=1 note:told", "ready=notify\n");
    let files = [
        NOTIFIER_FILE,
        ("log.sh", "while [ ! -f go ]; do sleep 0.02; done; echo all ready; note told\n"),
        ("fd.sh", "while [ ! -f go ]; do sleep 0.02; done; echo >&3; note told\n"),
    ];
    let daemon = start_with(&conf, &files);
    let names = ["log", "fd", "notify"];
    names.iter().for_each(|name| wait_starts(&daemon, name, 1));
    let manager = daemon.manager();
    kill(manager, Signal::SIGSTOP);
    put(&daemon, "go", "");
    names.iter().for_each(|name| _ = wait_note(&daemon, name, "told"));
    kill(manager, Signal::SIGKILL);
    names.iter().for_each(|name| wait_state(&daemon, name, Running));
    names.iter().for_each(|name| assert_starts(&daemon, name, 1));
}

#[test]
fn the_time_to_become_ready_goes_on() {
    let settings = "ready=file:%(here)s/never\nready_timeout=4s\nstartretries=0\n";
    let conf = program("x", settings) + &program("later", &format!("{settings}autostart=false\n"));
    let daemon = start_with(&conf, &[]);
    wait_starts(&daemon, "x", 1);
    take_over(&daemon);
    begin(&daemon, "later");
    wait_state(&daemon, "x", Fatal);
    wait_state(&daemon, "later", Fatal);
    let (one, other) = (first(&daemon, "x", "term"), first(&daemon, "later", "term"));
    assert!(one < other, "{one} {other}");
}

#[test]
fn failures_of_health_are_counted_on() {
    let server = Server::new(503);
    let conf = program(
        "x",
        &format!(
            "health=http://127.0.0.1:{}/\nhealth_interval=1s\nhealth_retries=3\nhealth_action=none\n",
            server.port
        ),
    );
    let daemon = start_with(&conf, &[]);
    until("it was asked twice", LONG, || server.n_asked() == 2);
    daemon.replace_manager();
    daemon.wait_log("WARN unhealthy: x (3 failures in a row; ");
    // The answer to the second one may have been lost with the manager.
    assert!(server.n_asked() <= 4, "it was asked {} times", server.n_asked());
    server.answer_with(200);
    wait_description(&daemon, "x", ", healthy");
    take_over(&daemon);
    assert!(description(&daemon, "x").ends_with(", healthy"), "{}", description(&daemon, "x"));
    server.wait_asked(2);
    assert_eq!(daemon.log().matches("INFO healthy: x").count(), 1);
    assert_starts(&daemon, "x", 1);
}

#[test]
fn the_time_before_the_first_check_goes_on() {
    let settings = "health=file:%(here)s/supervisord.conf\nhealth_start_period=4s\n";
    let conf = program("x", settings) + &program("later", &format!("{settings}autostart=false\n"));
    let daemon = start_with(&conf, &[]);
    wait_state(&daemon, "x", Running);
    take_over(&daemon);
    begin(&daemon, "later");
    daemon.wait_log("INFO healthy: later");
    let pause = |name: &str| {
        daemon.moment(&format!("healthy: {name}"))
            - daemon.moment(&format!("success: {name} entered RUNNING"))
    };
    assert!(pause("x") >= 3900 && pause("later") >= 3900, "{} {}", pause("x"), pause("later"));
    let log = daemon.log();
    assert!(log.find("healthy: x") < log.find("healthy: later"), "{log}");
}

#[test]
fn a_stop_in_layers_goes_on() {
    let conf = program("db", "") + &program("app", "depends_on=db\n") + &program("web", "depends_on=app\n");
    let daemon = start_with(&conf, &[("web.slow", "1"), ("app.slow", "1")]);
    ["db", "app", "web"].iter().for_each(|name| wait_starts(&daemon, name, 1));
    daemon.call("supervisor.stopAllProcesses", vec![crate::support::flag(false)]);
    wait_note(&daemon, "web", "term");
    daemon.replace_manager();
    wait_note(&daemon, "app", "term");
    take_over(&daemon);
    ["db", "app", "web"].iter().for_each(|name| wait_state(&daemon, name, Stopped));
    for (one, other) in [("web", "app"), ("app", "db")] {
        assert!(first(&daemon, one, "stop") <= first(&daemon, other, "term"), "{}", daemon.read("record"));
    }
    ["db", "app", "web"].iter().for_each(|name| assert_starts(&daemon, name, 1));
}

#[test]
fn pauses_go_on() {
    let conf = program("exited", "autorestart=true\nrestart_delay=8s\n")
        + &plain("fatal", "startsecs=1\nstartretries=0\nretry_fatal_after=8s\n")
        + &plain("backoff", "startsecs=1\nrestart_backoff=fixed\nrestart_delay=8s\n")
        + &program("later", "autorestart=true\nrestart_delay=8s\nautostart=false\n");
    let names = ["exited", "fatal", "backoff"];
    let files = [("exited.once", "0"), ("fatal.once", "1"), ("backoff.once", "1"), ("later.once", "0")];
    let daemon = start_with(&conf, &files);
    for (name, state) in names.into_iter().zip([Exited, Fatal, Backoff]) {
        wait_state(&daemon, name, state);
        wait_note(&daemon, name, "exit");
    }
    // The clock of the record.
    let now = || -> f64 {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
        uptime.split(' ').next().and_then(|seconds| seconds.parse().ok()).expect("seconds")
    };
    let last_exit = names.iter().map(|name| first(&daemon, name, "exit")).fold(0.0, f64::max);
    until("half of the pause is over", LONG, || now() - last_exit >= 4.0);
    // Another one whose pause has just begun: if all began anew, all would end together.
    begin(&daemon, "later");
    wait_note(&daemon, "later", "exit");
    wait_state(&daemon, "later", Exited);
    take_over(&daemon);
    for (name, state) in names.into_iter().zip([Exited, Fatal, Backoff]) {
        assert_eq!(daemon.state_of(name), state, "{name}");
    }
    wait_starts(&daemon, "later", 2);
    for name in names {
        assert_starts(&daemon, name, 2);
        let (exit, start) = (first(&daemon, name, "exit"), notes(&daemon, name, "start")[1].at);
        assert!(start - exit >= 7.7, "{name} came back after {} s", start - exit);
        assert!(start + 2.0 < notes(&daemon, "later", "start")[1].at, "the pause of {name} began anew");
    }
}

#[test]
fn starts_are_counted_on() {
    let daemon = start_with(&program("x", "autorestart=true\nrestart_limit=3/1h\n"), &[]);
    for round in 1..4 {
        assert_starts(&daemon, "x", round);
        until("it has a pid", LONG, || daemon.pid_of("x") > 0);
        crash(&daemon, "x");
        wait_starts(&daemon, "x", round + 1);
        daemon.replace_manager();
    }
    wait_state(&daemon, "x", Running);
    crash(&daemon, "x");
    wait_state(&daemon, "x", Fatal);
    assert_eq!(spawnerr(&daemon, "x"), "started 3 times within 1h, its restart_limit");
    assert_starts(&daemon, "x", 4);
}

#[test]
fn what_failed_for_its_dependency_comes_back_from_another_manager() {
    let conf = program("db", "autostart=false\nautorestart=false\n")
        + &program("app", "depends_on=db\n")
        + &program("down", "depends_on=db\ndepends_restart=stop\n");
    let daemon = start_with(&conf, &[]);
    ["db", "app", "down"].iter().for_each(|name| wait_state(&daemon, name, Running));
    stop(&daemon, "app");
    stop(&daemon, "db");
    wait_state(&daemon, "down", Stopped);
    let fault = daemon.try_call("supervisor.startProcess", vec![text("db"), crate::support::flag(false)]);
    assert!(fault.is_ok());
    wait_state(&daemon, "down", Running);
    stop(&daemon, "db");
    wait_state(&daemon, "down", Stopped);
    take_over(&daemon);
    begin(&daemon, "db");
    wait_state(&daemon, "down", Running);
    assert_eq!(daemon.state_of("app"), Stopped);
    assert_starts(&daemon, "down", 3);
}

/// A job and a program that is being stopped because it has failed.
#[test]
fn what_runs_to_its_end_does_so() {
    let waits = "while [ ! -f go ]; do sleep 0.02; done; note exit; exit 0\n";
    let conf = program("job", "type=oneshot\n")
        + &program("slow", "max_runtime=1s\nautorestart=false\nstopwaitsecs=60\n");
    let daemon = start_with(&conf, &[("job.sh", waits), ("slow.slow", "3")]);
    wait_note(&daemon, "slow", "term");
    take_over(&daemon);
    assert_eq!((daemon.state_of("job"), daemon.state_of("slow")), (Starting, Running));
    put(&daemon, "go", "");
    wait_state(&daemon, "job", Exited);
    wait_state(&daemon, "slow", Exited);
    assert!(daemon.log().contains("exited: slow (exit status 0; not expected)"), "{}", daemon.log());
    assert_starts(&daemon, "job", 1);
    assert_starts(&daemon, "slow", 1);
    assert_eq!(notes(&daemon, "slow", "term").len(), 1, "it was told once");
}
