//! Signals to the daemon.

use crate::start;
use crate::support::{LONG, kill, running, text, until};
use nix::sys::signal::Signal;
use std::fs;
use supervisord::model::state::ProcessState::{Running, Stopped};

const TWO: &str = "
[program:one]
command=sleep 1000
startsecs=0

[program:two]
command=sleep 1000
startsecs=0
autostart=false
";

#[test]
fn term_int_and_quit_shut_down_in_order() {
    for (signal, name) in
        [(Signal::SIGTERM, "SIGTERM"), (Signal::SIGINT, "SIGINT"), (Signal::SIGQUIT, "SIGQUIT")]
    {
        let mut daemon = start(TWO);
        daemon.wait_for_state("one", Running, LONG);
        daemon.signal(signal);
        assert_eq!(daemon.wait_exit(), 0);
        let log = daemon.log();
        assert!(log.contains(&format!("WARN received {name} indicating exit request")), "{log}");
        assert!(log.contains("INFO waiting for one to die"), "{log}");
        assert!(log.contains("stopped: one (terminated by SIGTERM)"), "{log}");
        assert!(daemon.alive().is_empty());
    }
}

/// `killall` and other process managers send TERM to both processes of the daemon.
#[test]
fn term_to_keeper_and_manager_at_once_does_no_harm() {
    let mut daemon = start(TWO);
    daemon.wait_for_state("one", Running, LONG);
    let manager = daemon.manager();
    daemon.signal(Signal::SIGTERM);
    kill(manager, Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert!(daemon.log().contains("stopped: one (terminated by SIGTERM)"));
    assert!(daemon.alive().is_empty());
}

#[test]
fn a_second_term_does_not_cut_the_grace_period_short() {
    let mut daemon = start(
        "
[program:slow]
command=/bin/sh -c 'trap \"sleep 0.7; echo done; exit 0\" TERM; echo ready; while :; do sleep 0.05; done'
startsecs=0
stdout_logfile=%(here)s/slow.log
",
    );
    until("it traps TERM", LONG, || daemon.read("slow.log").contains("ready"));
    daemon.signal(Signal::SIGTERM);
    daemon.wait_log("received SIGTERM indicating exit request");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert_eq!(daemon.read("slow.log"), "ready\ndone\n");
    assert!(daemon.log().contains("stopped: slow (exit status 0)"), "{}", daemon.log());
}

/// The original only ever repeats itself.
#[test]
fn a_third_term_ends_the_grace_period() {
    let mut daemon = start(
        "
[program:stubborn]
command=/bin/sh -c 'trap \"\" TERM; echo ready; while :; do sleep 0.05; done'
startsecs=0
stopwaitsecs=600
stdout_logfile=%(here)s/stubborn.log
",
    );
    until("it ignores TERM", LONG, || daemon.read("stubborn.log").contains("ready"));
    for number in 1..=2 {
        daemon.signal(Signal::SIGTERM);
        // Signals of one kind that come too fast are one.
        until("the signal is logged", LONG, || daemon.log().matches("received SIGTERM").count() == number);
    }
    assert!(!daemon.log().contains("SIGKILL"), "two are not enough");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert!(daemon.log().contains("stopped: stubborn (terminated by SIGKILL)"), "{}", daemon.log());
}

#[test]
fn hup_reloads_with_the_same_pid() {
    let daemon = start(TWO);
    daemon.wait_for_state("one", Running, LONG);
    daemon.call("supervisor.startProcess", vec![text("two")]);
    let (keeper, one, two) = (daemon.pid(), daemon.pid_of("one"), daemon.pid_of("two"));

    daemon.write_conf(&format!("{TWO}\n[program:three]\ncommand=sleep 1000\nstartsecs=0\n"));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_log("WARN received SIGHUP indicating restart request");
    daemon.wait_for_state("three", Running, LONG);
    daemon.wait_for_state("one", Running, LONG);
    assert_eq!(daemon.pid(), keeper);
    assert_ne!(daemon.pid_of("one"), one);
    // Started by hand, and so not started again.
    assert_eq!(daemon.state_of("two"), Stopped);
    assert!(!running(one) && !running(two));
}

/// As in the original; else every reload would leave a few more.
#[test]
fn hup_removes_the_automatic_logs_of_before() {
    let daemon = start(TWO);
    daemon.wait_for_state("one", Running, LONG);
    let count = || {
        let names = fs::read_dir(daemon.directory()).expect("the test's directory can be read");
        names.flatten().filter(|entry| entry.file_name().to_string_lossy().contains("-stdout---")).count()
    };
    let (one, n_before) = (daemon.pid_of("one"), count());
    daemon.signal(Signal::SIGHUP);
    daemon.wait_log("WARN received SIGHUP indicating restart request");
    until("it has begun anew", LONG, || !running(one) && daemon.log().matches("success: one").count() == 2);
    assert_eq!(count(), n_before);
}

/// The original stops everything first and then dies of the error.
#[test]
fn hup_with_a_bad_configuration_keeps_the_old_one_running() {
    let daemon = start(TWO);
    daemon.wait_for_state("one", Running, LONG);
    let one = daemon.pid_of("one");
    daemon.write_conf("[program:one]\ncommand=sleep 1000\nstartsecs=soon\n");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_log("'soon'");
    assert!(daemon.answers());
    assert_eq!(daemon.state_of("one"), Running);
    assert_eq!(daemon.pid_of("one"), one);
}

#[test]
fn usr2_reopens_the_logs() {
    let daemon = start(
        "
[program:talker]
command=/bin/sh -c 'while :; do echo tick; sleep 0.02; done'
startsecs=0
stdout_logfile=%(here)s/talker.log
",
    );
    until("it talks", LONG, || daemon.read("talker.log").contains("tick"));
    for name in ["supervisord.log", "talker.log"] {
        fs::rename(daemon.path(name), daemon.path(&format!("{name}.old"))).expect("it is there");
    }
    daemon.signal(Signal::SIGUSR2);
    until("the activity log is opened anew", LONG, || daemon.path("supervisord.log").exists());
    // Said before the old file is let go.
    assert!(daemon.read("supervisord.log.old").contains("received SIGUSR2 indicating log reopen request"));
    until("it talks into the new file", LONG, || daemon.read("talker.log").contains("tick"));
}

/// The original dies of them without a word and leaves its programs behind.
#[test]
fn other_signals_are_survived() {
    let daemon = start(TWO);
    daemon.wait_for_state("one", Running, LONG);
    for signal in [Signal::SIGALRM, Signal::SIGPIPE, Signal::SIGVTALRM, Signal::SIGPROF] {
        daemon.signal(signal);
    }
    // A signal that comes later than those shows that they were survived.
    daemon.signal(Signal::SIGUSR2);
    daemon.wait_log("received SIGUSR2");
    assert!(running(daemon.pid()));
    assert_eq!(daemon.state_of("one"), Running);
}
