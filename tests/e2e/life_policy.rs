//! When a program is started again by itself, when not any more, jobs, and the longest time that a program may run.
//!
//! Pauses are held against lower bounds only. A program notes its start a moment after it; the first of two may take
//! longer for that than the second, which shortens what is seen of a pause.

use crate::events::{NOTER, heard, noter};
use crate::life_kit::*;
use crate::support::{Daemon, LONG, flag, text, until};
use std::time::Duration;
use supervisord::model::state::ProcessState::{Exited, Fatal, Running, Starting, Stopped};

/// What may be missing of a pause, in seconds.
const TOLERANCE: f64 = 0.3;

/// The pauses between what ends a life and the next start.
fn pauses(daemon: &Daemon, name: &str) -> Vec<f64> {
    let (starts, ends) = (notes(daemon, name, "start"), notes(daemon, name, "exit"));
    ends.iter().zip(starts.iter().skip(1)).map(|(end, start)| start.at - end.at).collect()
}

#[track_caller]
fn assert_pauses(daemon: &Daemon, name: &str, least: &[f64]) {
    let pauses = pauses(daemon, name);
    assert_eq!(pauses.len(), least.len(), "{name}: {pauses:?}");
    for (pause, least) in pauses.iter().zip(least) {
        assert!(*pause >= least - TOLERANCE, "{name}: {pauses:?} instead of {least:?}");
    }
}

const PAUSE: &str = "autorestart=true\nrestart_delay=1000s\n";

#[test]
fn a_start_comes_after_the_delay() {
    let conf = program("x", "autorestart=true\nrestart_delay=2s\n")
        + &program("alias", "autorestart=true\nrestartpause=2\n")
        + &program("jitter", "autorestart=true\nrestart_delay=2s\nrestart_jitter=50%\n");
    let files = [("x.once", "0"), ("alias.once", "0"), ("jitter.once", "0")];
    let daemon = start_with(&conf, &files);
    wait_state(&daemon, "x", Exited);
    assert!(description(&daemon, "x").contains(", next start in "), "{}", description(&daemon, "x"));
    for name in ["x", "alias", "jitter"] {
        wait_starts(&daemon, name, 2);
        assert_pauses(&daemon, name, &[2.0]);
    }
}

#[test]
fn back_off_grows_as_it_is_told() {
    let one = |name: &str, settings: &str| plain(name, &format!("startsecs=1\nstartretries=3\n{settings}"));
    let conf = one("linear", "")
        + &one("fixed", "restart_backoff=fixed\nrestart_delay=1s\n")
        + &one("doubled", "restart_backoff=exponential\nrestart_delay=500ms\n")
        + &one("bounded", "restart_backoff=exponential\nrestart_delay=1s\nrestart_delay_max=1500ms\n");
    let names = ["linear", "fixed", "doubled", "bounded"];
    let files = names.map(|name| (format!("{name}.exit"), "1"));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, code)| (name.as_str(), *code)).collect();
    let daemon = start_with(&conf, &files);
    wait_description(&daemon, "doubled", "2nd of 3");
    until("the pause is shown", LONG, || {
        let shown = description(&daemon, "bounded");
        // What is left of a pause never exceeds the bound.
        assert!(!shown.contains("next start in 3s") && !shown.contains("next start in 4s"), "{shown}");
        daemon.state_of("bounded") == Fatal
    });
    names.iter().for_each(|name| wait_state(&daemon, name, Fatal));
    assert_pauses(&daemon, "linear", &[1.0, 2.0, 3.0]);
    // The floor of a second from start to start holds for them, too.
    assert_pauses(&daemon, "fixed", &[1.0, 1.0, 1.0]);
    assert_pauses(&daemon, "doubled", &[0.9, 1.0, 2.0]);
    assert_pauses(&daemon, "bounded", &[1.0, 1.5, 1.5]);
    assert!(!description(&daemon, "linear").contains("next start"), "nothing is added without a key");
}

#[test]
fn failures_are_forgotten_when_it_has_run_for_long_enough() {
    let conf =
        program("short", "autorestart=true\nrestart_reset=60s\nstartretries=2\nrestart_backoff=fixed\n")
            + &program("usual", "autorestart=true\nstartretries=2\nrestart_backoff=fixed\n");
    let daemon = start_with(&conf, &[("short.short", "0"), ("usual.short", "0")]);
    // RUNNING is reached each time, and is not long enough.
    wait_state(&daemon, "short", Fatal);
    assert_starts(&daemon, "short", 3);
    wait_starts(&daemon, "usual", 5);
    assert_ne!(daemon.state_of("usual"), Fatal);
}

#[test]
fn starts_by_itself_are_limited() {
    let conf = program("x", "autorestart=true\nrestart_limit=3/60s\n");
    let daemon = start_with(&conf, &[("x.exit", "0")]);
    wait_state(&daemon, "x", Fatal);
    assert_eq!(spawnerr(&daemon, "x"), "started 3 times within 60s, its restart_limit");
    // That of the boot is not counted.
    assert_starts(&daemon, "x", 4);
    drop_file(&daemon, "x.exit");
    // A person's start is none, either, and begins the count anew.
    begin(&daemon, "x");
    wait_state(&daemon, "x", Running);
    for round in 6..9 {
        crash(&daemon, "x");
        wait_starts(&daemon, "x", round);
    }
    crash(&daemon, "x");
    wait_state(&daemon, "x", Fatal);
    assert_starts(&daemon, "x", 8);
}

#[test]
fn never_giving_up() {
    let conf = plain("x", "startsecs=1\nstartretries=-1\nrestart_backoff=fixed\nrestart_delay=100ms\n");
    let daemon = start_with(&conf, &[("x.exit", "1")]);
    wait_starts(&daemon, "x", 6);
    assert_ne!(daemon.state_of("x"), Fatal);
    assert!(!daemon.log().contains("gave up"), "{}", daemon.log());
    wait_description(&daemon, "x", "th");
    stop(&daemon, "x");
    assert_eq!(daemon.state_of("x"), Stopped);
}

#[test]
fn some_exits_are_final() {
    let conf = program("up", "autorestart=true\nstay_down_exitcodes=3,4\n")
        + &plain("starting", "autorestart=true\nstartsecs=5\nstay_down_exitcodes=3\nretry_fatal_after=1s\n");
    let daemon = start_with(&conf, &[("up.short", "4"), ("starting.exit", "3")]);
    wait_state(&daemon, "up", Exited);
    wait_state(&daemon, "starting", Fatal);
    assert_eq!(spawnerr(&daemon, "starting"), "Bad exit code 3, one of stay_down_exitcodes");
    daemon.replace_manager();
    // Others are not.
    put(&daemon, "up.short", "5");
    begin(&daemon, "up");
    wait_starts(&daemon, "up", 3);
    assert_starts(&daemon, "starting", 1);
    assert_eq!(daemon.state_of("starting"), Fatal);
}

#[test]
fn a_fatal_one_is_tried_again() {
    let conf = program("x", "startretries=0\nretry_fatal_after=2s\n").replace("startsecs=0", "startsecs=1");
    let daemon = start_with(&conf, &[("x.exit", "1")]);
    wait_description(&daemon, "x", ", next start in ");
    wait_starts(&daemon, "x", 3);
    assert!(pauses(&daemon, "x").iter().all(|pause| *pause >= 2.0 - TOLERANCE), "{:?}", pauses(&daemon, "x"));
    assert!(daemon.log().matches("gave up: x").count() >= 2);
    drop_file(&daemon, "x.exit");
    wait_state(&daemon, "x", Running);
}

#[test]
fn a_stop_ends_the_wait_of_a_fatal_one() {
    let conf =
        program("x", "startretries=0\nretry_fatal_after=1000s\n").replace("startsecs=0", "startsecs=1");
    let daemon = start_with(&conf, &[("x.exit", "1")]);
    wait_description(&daemon, "x", ", next start in ");
    assert_eq!(daemon.call("supervisor.stopProcess", vec![text("x")]), flag(true));
    assert_eq!(daemon.state_of("x"), Stopped);
}

#[test]
fn a_stop_in_the_pause_after_an_exit_is_told() {
    let listens = noter("l", "events=PROCESS_STATE_STOPPED\nbuffer_size=100");
    let daemon = start_with(&(listens + &program("x", PAUSE)), &[("noter.py", NOTER), ("x.exit", "0")]);
    wait_state(&daemon, "l", Running);
    wait_state(&daemon, "x", Exited);
    wait_description(&daemon, "x", ", next start in ");
    assert_eq!(daemon.call("supervisor.stopProcess", vec![text("x")]), flag(true));
    assert_eq!(daemon.state_of("x"), Stopped);
    until("it was heard", LONG, || !heard(&daemon, "l").is_empty());
    assert!(
        heard(&daemon, "l")[0].ends_with("|processname:x groupname:x from_state:EXITED pid:0"),
        "{:?}",
        heard(&daemon, "l")
    );
    daemon.replace_manager();
    assert_eq!(daemon.state_of("x"), Stopped);
    assert_starts(&daemon, "x", 1);
    let fault = daemon.try_call("supervisor.stopProcess", vec![text("x")]).expect_err("a fault");
    assert_eq!(fault.code(), 70, "it is at rest now");
}

#[test]
fn a_start_by_a_person_does_not_wait() {
    let conf = program("x", PAUSE);
    let daemon = start_with(&conf, &[("x.once", "0")]);
    wait_description(&daemon, "x", ", next start in ");
    assert_eq!(daemon.call("supervisor.startProcess", vec![text("x")]), flag(true));
    assert_eq!(daemon.state_of("x"), Running);
    assert_starts(&daemon, "x", 2);
    crash(&daemon, "x");
    wait_state(&daemon, "x", Exited);
    daemon.ctl(&["restart", "x"]).expect(0);
    assert_eq!(daemon.state_of("x"), Running);
    assert_starts(&daemon, "x", 3);
}

#[test]
fn a_job_is_starting_while_it_runs_and_then_done() {
    let settings = "type=oneshot\nautostart=false\nautorestart=true\nstartsecs=1\n";
    let conf = plain("job", settings);
    let waits = "while [ ! -f go ]; do sleep 0.02; done; note exit; exit 0\n";
    let daemon = start_with(&conf, &[("job.sh", waits)]);
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| daemon.call("supervisor.startProcess", vec![text("job")]));
        let started = wait_note(&daemon, "job", "start").at;
        // Long past its startsecs.
        until("it has run for some time", LONG, || uptime() > started + 1.5);
        assert_eq!(daemon.state_of("job"), Starting);
        assert!(!answer.is_finished(), "a start of it waits for its end");
        put(&daemon, "go", "");
        assert_eq!(answer.join().expect("it was answered"), flag(true));
    });
    assert_eq!(daemon.state_of("job"), Exited);
    assert!(daemon.log().contains("exited: job (exit status 0; expected)"), "{}", daemon.log());
    // At any age, and it is not started again though autorestart=true.
    assert_eq!(daemon.call("supervisor.startProcess", vec![text("job")]), flag(true));
    assert_starts(&daemon, "job", 2);
    assert_eq!(daemon.state_of("job"), Exited);
}

#[test]
fn a_job_that_fails_is_tried_again_and_then_fatal() {
    let conf = program("twice", "type=oneshot\nautostart=false\nexitcodes=0,2\n")
        + &program("never", "type=oneshot\nautostart=false\nstartretries=1\n")
        + &program("other", "type=oneshot\nautostart=false\nexitcodes=0,2\n");
    let files =
        [("twice.once", "1"), ("twice.sh", "note exit; exit 0\n"), ("never.exit", "7"), ("other.exit", "2")];
    let daemon = start_with(&conf, &files);
    let fault = daemon.try_call("supervisor.startProcess", vec![text("never")]).expect_err("a fault");
    assert_eq!(fault.code(), 50);
    wait_state(&daemon, "never", Fatal);
    assert_starts(&daemon, "never", 2);
    assert_eq!(spawnerr(&daemon, "never"), "Bad exit code 7");
    assert_eq!(daemon.call("supervisor.startProcess", vec![text("other")]), flag(true));
    assert_eq!(daemon.state_of("other"), Exited);
    begin(&daemon, "twice");
    wait_state(&daemon, "twice", Exited);
    assert_starts(&daemon, "twice", 2);
}

#[test]
fn a_program_that_runs_for_too_long_has_failed() {
    let conf = program("again", "max_runtime=1s\nautorestart=unexpected\n")
        + &program("rests", "max_runtime=1s\nautorestart=false\n")
        + &program("job", "type=oneshot\nmax_runtime=1s\nstartretries=1\nautostart=false\n")
        + &program("short", "type=oneshot\nmax_runtime=1000s\n");
    let daemon = start_with(&conf, &[("again.slow", "0.2"), ("short.short", "0")]);
    wait_starts(&daemon, "again", 3);
    for (start, term) in notes(&daemon, "again", "start").iter().zip(notes(&daemon, "again", "term")) {
        assert!(term.at - start.at >= 1.0 - TOLERANCE, "{start:?} {term:?}");
    }
    // It has ended with 0, and that is a failure all the same.
    wait_state(&daemon, "rests", Exited);
    assert!(daemon.log().contains("exited: rests (exit status 0; not expected)"), "{}", daemon.log());
    assert!(daemon.log().contains("failed: rests (ran longer than 1s (max_runtime))"), "{}", daemon.log());
    let fault = daemon.try_call("supervisor.startProcess", vec![text("job")]).expect_err("a fault");
    assert_eq!(fault.code(), 50);
    daemon.wait_for_state("job", Fatal, LONG + Duration::from_secs(5));
    assert_starts(&daemon, "job", 2);
    assert_eq!(spawnerr(&daemon, "job"), "ran longer than 1s (max_runtime)");
    wait_state(&daemon, "short", Exited);
    assert_one_at_a_time(&daemon, "again");
}

/// One that storms does not slow the others, and its own starts keep the pace.
#[test]
fn a_storm_keeps_the_pace() {
    let conf = program("storm", "autorestart=true\n") + &program("x", "autorestart=true\n");
    let daemon = start_with(&conf, &[("storm.exit", "0")]);
    wait_starts(&daemon, "storm", 4);
    for pair in notes(&daemon, "storm", "start").windows(2) {
        assert!(pair[1].at - pair[0].at >= 1.0 - TOLERANCE, "{pair:?}");
    }
    assert_starts(&daemon, "x", 1);
    crash(&daemon, "x");
    wait_starts(&daemon, "x", 2);
}
