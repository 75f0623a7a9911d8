//! The daemon ends by itself, with the exit status of whoever was the reason.

use crate::support::{Daemon, LONG, SLEEPER, Side, Start, kill};
use nix::sys::signal::Signal;
use supervisord::model::state::ProcessState::Running;

fn start(exit_when: &str, programs: &str) -> Daemon {
    let conf = format!("[supervisord]\nexit_when={exit_when}\n{programs}");
    Start::new(Side::under_test(), &conf).spawn()
}

#[track_caller]
fn check(exit_when: &str, programs: &str, status: i32, reason: &str) {
    let mut daemon = start(exit_when, programs);
    assert_eq!(daemon.wait_exit(), status);
    let expected = format!("exiting with status {status} because {reason}");
    assert!(daemon.log().contains(&expected), "{expected}");
}

#[test]
fn any_exit_counts_even_one_that_is_restarted() {
    let once = "[program:once]\ncommand=sh -c 'exit 7'\nstartsecs=0\nautorestart=true\n";
    check("any_exit", &format!("{SLEEPER}{once}"), 7, "once has become EXITED (exit_when=any_exit)");
}

#[test]
fn a_signal_counts_as_in_a_shell() {
    let killed = "[program:killed]\ncommand=sh -c 'kill -9 $$'\nstartsecs=0\nautorestart=false\n";
    check("any_exit", &format!("{SLEEPER}{killed}"), 137, "killed has become EXITED");
}

#[test]
fn giving_up_is_a_failure() {
    let broken = "[program:broken]\ncommand=true\nstartretries=0\nstartsecs=1000\n";
    check("any_fatal", &format!("{SLEEPER}{broken}"), 1, "broken has become FATAL (exit_when=any_fatal)");
    let broken = "[program:broken]\ncommand=sh -c 'exit 4'\nstartretries=0\nstartsecs=1000\n";
    check("any_fatal", &format!("{SLEEPER}{broken}"), 4, "broken has become FATAL (exit_when=any_fatal)");
}

#[test]
fn the_last_one_decides_when_all_have_exited() {
    let programs = "[program:first]\ncommand=sh -c 'echo $$ >%(here)s/first; exit 3'\nstartsecs=0\nautorestart=false\n\
                    [program:last]\ncommand=sh -c 'until [ -s %(here)s/first ] && ! kill -0 $(cat %(here)s/first) 2>/dev/null; do sleep 0.05; done; exit 5'\nstartsecs=0\nautorestart=false\n\
                    [eventlistener:l]\ncommand=cat\nevents=TICK_3600\nstartsecs=0\n";
    check("all_exited", programs, 5, "last has become EXITED (exit_when=all_exited)");
}

#[test]
fn one_can_be_named_and_be_essential() {
    let two = "[program:one]\ncommand=sh -c 'exit 1'\nstartsecs=0\nautorestart=false\n\
               [program:two]\ncommand=sh -c 'sleep 0.3; exit 2'\nstartsecs=0\nautorestart=false\n";
    check("two", two, 2, "two has become EXITED (exit_when=two)");
    check("never", &format!("{two}essential=true\n"), 2, "two has become EXITED (essential=true)");
}

#[test]
fn the_status_survives_the_manager() {
    let stubborn = "[program:stubborn]\ncommand=sh -c 'trap \"\" TERM; : >%(here)s/deaf; while :; do sleep 0.1; done'\n\
                    startsecs=0\nstopwaitsecs=1000\n\
                    [program:once]\ncommand=sh -c 'until [ -e %(here)s/deaf ]; do sleep 0.05; done; exit 9'\nstartsecs=0\nautorestart=false\n";
    let mut daemon = start("once", stubborn);
    daemon.wait_log("waiting for stubborn to die");
    daemon.kill_manager();
    let stubborn = daemon.programs().into_iter().find(|program| program.cmdline.contains("trap"));
    kill(stubborn.expect("it still runs").pid, Signal::SIGKILL);
    assert_eq!(daemon.wait_exit(), 9);
}

#[test]
fn a_stop_by_hand_is_no_reason() {
    let daemon = start("any_exit", SLEEPER);
    daemon.wait_for_state("sleeper", Running, LONG);
    daemon.ctl(&["restart", "sleeper"]).expect(0);
    daemon.wait_for_state("sleeper", Running, LONG);
}
