//! Things go wrong around the daemon: it says so, carries on and forgets nobody.

use crate::start;
use crate::support::{LONG, SLEEPER, Side, Start, flag, kill, member, running, text, until};
use dxr::Value;
use nix::sys::signal::Signal;
use std::fs;
use supervisord::model::state::ProcessState::{Fatal, Running, Stopped, Stopping};

/// The original runs 203 then.
#[test]
fn a_thousand_programs_under_a_soft_limit_of_1024_descriptors() {
    let conf = "
[program:n]
command=/bin/sh -c 'ulimit -n >> %(here)s/limits; exec sleep 1000'
process_name=%(process_num)d
numprocs=1000
startsecs=0
stdout_logfile=NONE
stderr_logfile=NONE
";
    let daemon = Start::new(Side::under_test(), conf).under(&["prlimit", "--nofile=1024:"]).ready();
    until("all are running", LONG, || daemon.n_in(Running) == 1000);
    until("all have come to life", LONG, || daemon.read("limits").lines().count() == 1000);
    assert!(daemon.read("limits").lines().all(|limit| limit == "1024"), "programs have the limit as it was");
}

#[test]
fn when_descriptors_run_out_the_programs_that_run_stay() {
    let conf = "
[supervisord]
minfds=64
[program:n]
command=sleep 1000
process_name=%(process_num)d
numprocs=100
startsecs=0
startretries=0
";
    let daemon = Start::new(Side::under_test(), conf).under(&["prlimit", "--nofile=100:100"]).ready();
    until("none is on its way", LONG, || daemon.n_in(Running) + daemon.n_in(Fatal) == 100);
    assert!(daemon.n_in(Running) > 5, "{} are running", daemon.n_in(Running));
    let fatal = (0..100).map(|number| format!("n:{number}")).find(|name| daemon.state_of(name) == Fatal);
    let fatal = fatal.expect("a hundred programs do not fit into a hundred descriptors");
    let spawnerr: String = member(&daemon.info(&fatal), "spawnerr");
    assert!(spawnerr.starts_with("too many open files to spawn"), "{spawnerr}");
}

#[test]
fn a_directory_that_disappears_is_named_when_the_program_comes_back() {
    let daemon = start(
        "
[program:x]
command=sleep 1000
directory=%(here)s/home
startsecs=0
autostart=false
stderr_logfile=%(here)s/err.log
autorestart=false
",
    );
    fs::create_dir(daemon.path("home")).expect("the test's directory can be written");
    daemon.call("supervisor.startProcess", vec![text("x")]);
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    fs::remove_dir(daemon.path("home")).expect("it is empty");
    // The answer is one or the other; the reason stands in the program's log.
    let _ = daemon.try_call("supervisor.startProcess", vec![text("x")]);
    let reason = format!("couldn't chdir to {}: ENOENT\n", daemon.path("home").display());
    until("the reason is logged", LONG, || daemon.read("err.log").contains(&reason));
}

#[test]
fn a_pidfile_that_somebody_removed_does_not_disturb_the_end() {
    let mut daemon = start(SLEEPER);
    daemon.wait_for_state("sleeper", Running, LONG);
    let pid = daemon.pid();
    fs::remove_file(daemon.path("supervisord.pid")).expect("it is there");
    kill(pid, Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert!(daemon.alive().is_empty());
}

/// It may belong to another daemon by then.
#[test]
fn a_pidfile_with_another_pid_is_left_alone() {
    let mut daemon = start(SLEEPER);
    let pid = daemon.pid();
    fs::write(daemon.path("supervisord.pid"), "1\n").expect("the test's directory can be written");
    kill(pid, Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert_eq!(daemon.read("supervisord.pid"), "1\n");
}

#[test]
fn a_program_that_is_suspended_is_running_and_can_be_killed() {
    let daemon = start("[program:x]\ncommand=sleep 1000\nstartsecs=0\nstopwaitsecs=1\n");
    daemon.wait_for_state("x", Running, LONG);
    let pid = daemon.pid_of("x");
    kill(pid, Signal::SIGSTOP);
    assert_eq!(daemon.state_of("x"), Running);
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    assert_eq!(daemon.state_of("x"), Stopped);
    assert!(!running(pid));
}

#[test]
fn a_manager_that_is_suspended_goes_on_where_it_was() {
    let daemon = start(SLEEPER);
    daemon.wait_for_state("sleeper", Running, LONG);
    let (manager, before) = (daemon.manager(), daemon.pid_of("sleeper"));
    kill(manager, Signal::SIGSTOP);
    kill(before, Signal::SIGKILL);
    kill(manager, Signal::SIGCONT);
    daemon.wait_log("exited: sleeper (terminated by SIGKILL; not expected)");
    until("another one runs", LONG, || ![0, before].contains(&daemon.pid_of("sleeper")));
    assert_eq!(daemon.manager_now(), Some(manager), "it is the same one");
}

/// What runs was read from the file when it was good.
#[test]
fn a_file_that_went_bad_does_not_keep_the_next_manager_from_coming() {
    let daemon = start(SLEEPER);
    daemon.wait_for_state("sleeper", Running, LONG);
    let (manager, sleeper) = (daemon.manager(), daemon.pid_of("sleeper"));
    daemon.write_conf("this is no line of an INI file\n");
    kill(manager, Signal::SIGKILL);
    daemon.wait_answer();
    assert_eq!(daemon.pid_of("sleeper"), sleeper);
    kill(sleeper, Signal::SIGKILL);
    until("it is started again", LONG, || ![0, sleeper].contains(&daemon.pid_of("sleeper")));
}

/// Only `reread` and `update` do that.
#[test]
fn a_new_manager_does_not_take_over_what_is_new_in_the_file() {
    let daemon = start(SLEEPER);
    daemon.wait_for_state("sleeper", Running, LONG);
    let (manager, sleeper) = (daemon.manager(), daemon.pid_of("sleeper"));
    daemon.write_conf(
        "[program:sleeper]\ncommand=sleep 2000\nstartsecs=0\n[program:new]\ncommand=sleep 1000\n",
    );
    kill(manager, Signal::SIGKILL);
    daemon.wait_answer();
    let status = daemon.ctl(&["status"]).expect(0).stdout;
    assert_eq!(status.lines().count(), 1, "{status}");
    let mut reread: Vec<String> =
        daemon.ctl(&["reread"]).expect(0).stdout.lines().map(str::to_string).collect();
    reread.sort();
    assert_eq!(reread, ["new: available", "sleeper: changed"]);
    assert_eq!(daemon.pid_of("sleeper"), sleeper);
}

/// A program that ends by itself at the moment it is to be stopped.
#[test]
fn an_exit_between_stop_and_signal_ends_in_stopped() {
    let daemon = start("[program:x]\ncommand=sleep 0.01\nstartsecs=0\nautostart=false\nautorestart=true\n");
    for _ in 0..50 {
        daemon.call("supervisor.startProcess", vec![text("x"), flag(false)]);
        std::thread::sleep(std::time::Duration::from_millis(7));
        match daemon.try_call("supervisor.stopProcess", vec![text("x")]) {
            Ok(answer) => assert_eq!(answer, Value::Boolean(true)),
            // It was between two lives; it must not begin another one then either.
            Err(fault) => panic!("{fault}: a program that is restarted over and over is always running"),
        }
        assert_eq!(daemon.state_of("x"), Stopped);
    }
}

#[test]
fn a_log_that_cannot_be_written_disturbs_nobody_else() {
    let daemon = start(
        "
[program:full]
command=/bin/sh -c 'while :; do echo a line for nobody; done'
startsecs=0
stdout_logfile=/dev/full
stdout_logfile_maxbytes=0

[program:good]
command=/bin/sh -c 'n=0; while :; do n=$((n+1)); echo \"line $n\"; sleep 0.01; done'
startsecs=0
stdout_logfile=%(here)s/good.log
",
    );
    daemon.wait_for_state("full", Running, LONG);
    until("the other one is logged", LONG, || daemon.read("good.log").lines().count() > 50);
    assert_eq!(daemon.state_of("full"), Running);
    daemon.call("supervisor.stopProcess", vec![text("full"), flag(false)]);
    assert_ne!(daemon.state_of("full"), Running);
    until("it stops", LONG, || daemon.state_of("full") == Stopped || daemon.state_of("full") != Stopping);
}

/// Hundreds that do nothing but end and are started again every time.
#[test]
fn a_storm_of_exits_leaves_time_to_answer() {
    let daemon = start(
        "
[program:n]
command=/bin/true
process_name=%(process_num)d
numprocs=300
startsecs=0
autorestart=true
stdout_logfile=NONE
stderr_logfile=NONE
",
    );
    until("there were a thousand exits", LONG * 3, || {
        assert!(daemon.answers());
        daemon.log().matches("exited: ").count() > 1000
    });
    daemon.call("supervisor.stopAllProcesses", vec![]);
    assert_eq!(daemon.n_in(Stopped), 300);
    let log = daemon.log();
    let ends = log.matches("exited: ").count() + log.matches("stopped: ").count();
    assert_eq!(log.matches("spawned: ").count(), ends, "every start has one end");
}
