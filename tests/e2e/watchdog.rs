//! A manager that hangs is replaced, and one that is only left alone is not.

use crate::start;
use crate::support::{Daemon, LONG, SLEEPER, kill, running, until, wait_gone};
use nix::sys::signal::Signal;
use supervisord::model::state::ProcessState::Running;

fn watched(seconds: u32) -> Daemon {
    let daemon = start(&format!("{SLEEPER}\n[supervisord]\nmanager_watchdog_secs={seconds}\n"));
    daemon.wait_for_state("sleeper", Running, LONG);
    daemon
}

fn stop_manager(daemon: &Daemon) -> i32 {
    let manager = daemon.manager();
    kill(manager, Signal::SIGSTOP);
    until("every thread of it stands still", LONG, || states(manager).iter().all(|state| *state == 'T'));
    manager
}

/// The states of a process' threads, as /proc names them.
fn states(pid: i32) -> Vec<char> {
    // It may have been replaced by now.
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let state = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    };
    tasks.flatten().filter_map(state).collect()
}

#[test]
fn a_client_that_waits_for_a_hung_manager_gets_another_one() {
    let daemon = watched(1);
    let program = daemon.pid_of("sleeper");
    let hung = stop_manager(&daemon);
    // It waits in the kernel's queue until somebody takes it.
    assert_eq!(daemon.pid_of("sleeper"), program);
    assert!(!running(hung));
    daemon.wait_log("the former manager did not react for 1 seconds and was killed");
}

#[test]
fn an_exit_that_a_hung_manager_does_not_see_is_dealt_with_by_another_one() {
    let daemon = watched(1);
    let program = daemon.pid_of("sleeper");
    let hung = stop_manager(&daemon);
    kill(program, Signal::SIGTERM);
    wait_gone(&[program, hung], LONG);
    daemon.wait_for_state("sleeper", Running, LONG);
    assert_ne!(daemon.pid_of("sleeper"), program);
    assert_eq!(daemon.log().matches("exited: sleeper (terminated by SIGTERM; not expected)").count(), 1);
}

#[test]
fn a_signal_that_a_hung_manager_does_not_hear_is_obeyed_by_another_one() {
    let mut daemon = watched(1);
    stop_manager(&daemon);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert!(daemon.alive().is_empty());
}

#[test]
fn nobody_is_replaced_while_nothing_happens_or_when_it_is_switched_off() {
    // In one of them nothing happens while the manager stands still, in the other one nobody watches.
    let (idle, unwatched) = (watched(1), watched(0));
    // What happened at the start is looked at once more when the interval is over.
    until("the keeper has looked", LONG, || idle.answers() && unwatched.answers());
    std::thread::sleep(std::time::Duration::from_millis(2500));
    let program = unwatched.pid_of("sleeper");
    let stopped = [stop_manager(&idle), stop_manager(&unwatched)];
    kill(program, Signal::SIGTERM);
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert!(stopped.iter().all(|pid| running(*pid)));
    stopped.iter().for_each(|pid| kill(*pid, Signal::SIGCONT));
    unwatched.wait_log("exited: sleeper");
    assert!([&idle, &unwatched].iter().all(|daemon| daemon.answers()));
    assert_eq!([idle.manager_now(), unwatched.manager_now()], stopped.map(Some));
}

/// The look that a request leads to is followed by another one, when the manager has been asleep for long.
#[test]
fn a_manager_that_sleeps_after_a_request_is_not_taken_for_a_hung_one() {
    let daemon = watched(1);
    daemon.call("supervisor.getState", vec![]);
    let manager = daemon.manager();
    let begun = std::time::Instant::now();
    until("three intervals have passed", LONG, || {
        assert_eq!(daemon.manager_now(), Some(manager), "{}", daemon.log());
        begun.elapsed() > std::time::Duration::from_millis(3500)
    });
    assert!(!daemon.log().contains("did not react"));
}

#[test]
fn a_busy_manager_is_not_taken_for_a_hung_one() {
    let daemon = watched(1);
    let manager = daemon.manager();
    let begun = std::time::Instant::now();
    while begun.elapsed() < std::time::Duration::from_millis(2500) {
        daemon.call("supervisor.getState", vec![]);
        daemon.signal(Signal::SIGUSR2);
    }
    assert_eq!(daemon.manager_now(), Some(manager));
}
