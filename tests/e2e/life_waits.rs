//! Waiting for dependencies: when it begins, what ends it, and what it survives.

use crate::life_kit::*;
use crate::support::{Daemon, LONG, flag, text, until};
use nix::sys::signal::Signal;
use std::time::Duration;
use supervisord::model::state::ProcessState::{Backoff, Exited, Fatal, Running, Starting, Stopped};

/// A database that is ready when the file `db.ready` is there.
const READY: &str = "ready=file:%(here)s/db.ready\nready_interval=100ms\n";

fn db(settings: &str) -> String {
    program("db", &format!("{READY}{settings}"))
}

fn app(settings: &str) -> String {
    program("app", &format!("depends_on=db\n{settings}"))
}

/// It waits: STARTING without a pid, and it has not been started.
#[track_caller]
fn assert_waits(daemon: &Daemon, name: &str, starts: usize) {
    assert_eq!((daemon.state_of(name), daemon.pid_of(name)), (Starting, 0));
    assert_eq!(n_starts(daemon, name), starts);
}

#[test]
fn it_waits_until_its_dependency_is_ready_and_says_for_whom() {
    let daemon = start_with(&(db("") + &app("")), &[]);
    wait_description(&daemon, "app", "waiting for db (STARTING)");
    wait_starts(&daemon, "db", 1);
    assert_waits(&daemon, "app", 0);
    put(&daemon, "db.ready", "");
    wait_state(&daemon, "app", Running);
    assert!(daemon.moment("success: db entered RUNNING") <= daemon.moment("spawned: 'app'"));
    assert_starts(&daemon, "db", 1);
}

/// It was ready once, and is not now: whoever starts now waits.
#[test]
fn a_condition_is_about_now_and_not_about_once() {
    let daemon = start_with(&(db("") + &app("autostart=false\n")), &[("db.ready", "")]);
    wait_state(&daemon, "db", Running);
    drop_file(&daemon, "db.ready");
    crash(&daemon, "db");
    wait_starts(&daemon, "db", 2);
    begin(&daemon, "app");
    wait_description(&daemon, "app", "waiting for db (STARTING)");
    assert_waits(&daemon, "app", 0);
    put(&daemon, "db.ready", "");
    wait_state(&daemon, "app", Running);
}

#[test]
fn a_wait_goes_on_through_restarts_of_the_dependency() {
    let daemon = start_with(&(db("startretries=20\n") + &app("")), &[]);
    wait_description(&daemon, "app", "waiting for db (STARTING)");
    for round in 2..4 {
        until("db has a pid", LONG, || daemon.pid_of("db") > 0);
        crash(&daemon, "db");
        wait_starts(&daemon, "db", round);
        assert_waits(&daemon, "app", 0);
    }
    // Somebody's restart is no end of it, either, and the stop in it is one for a moment only.
    crash(&daemon, "db");
    wait_description(&daemon, "app", "waiting for db (BACKOFF)");
    put(&daemon, "db.ready", "");
    wait_state(&daemon, "app", Running);
    assert_starts(&daemon, "app", 1);
}

#[test]
fn a_stop_or_a_restart_of_one_that_waits_leaves_no_second_copy() {
    let daemon = start_with(&(db("") + &app("")), &[]);
    wait_description(&daemon, "app", "waiting for db");
    daemon.ctl(&["stop", "app"]).expect(0);
    assert_eq!(daemon.state_of("app"), Stopped);
    put(&daemon, "db.ready", "");
    wait_state(&daemon, "db", Running);
    drop_file(&daemon, "db.ready");
    // It was stopped: nothing brings it back.
    crash(&daemon, "db");
    wait_starts(&daemon, "db", 2);
    assert_eq!((daemon.state_of("app"), n_starts(&daemon, "app")), (Stopped, 0));

    begin(&daemon, "app");
    wait_description(&daemon, "app", "waiting for db");
    for _ in 0..3 {
        stop(&daemon, "app");
        begin(&daemon, "app");
    }
    assert_waits(&daemon, "app", 0);
    put(&daemon, "db.ready", "");
    wait_state(&daemon, "app", Running);
    assert_starts(&daemon, "app", 1);
    assert_one_at_a_time(&daemon, "app");
}

#[test]
fn startsecs_and_ready_timeout_begin_with_the_process() {
    let conf = db("")
        + &plain("slow", "depends_on=db\nstartsecs=2\n")
        + &program(
            "late",
            "depends_on=db\nready=file:%(here)s/late.ready\nready_interval=100ms\nready_timeout=2s\nstartretries=0\n",
        );
    let daemon = start_with(&conf, &[]);
    wait_description(&daemon, "late", "waiting for db");
    let since = first_wait(&daemon);
    // Longer than both of them.
    until("the wait has lasted", LONG, || uptime() > since + 2.5);
    assert_eq!((daemon.state_of("slow"), daemon.state_of("late")), (Starting, Starting));
    put(&daemon, "db.ready", "");
    wait_starts(&daemon, "late", 1);
    wait_state(&daemon, "slow", Running);
    let pause = daemon.moment("success: slow entered RUNNING") - daemon.moment("spawned: 'slow'");
    assert!(pause >= 1900, "startsecs were over after {pause} ms");
    wait_state(&daemon, "late", Fatal);
    let told = wait_note(&daemon, "late", "term").at - first(&daemon, "late", "start");
    assert!(told >= 1.9, "ready_timeout was over after {told} s");
}

/// When `db` began, which is when the others began to wait.
fn first_wait(daemon: &Daemon) -> f64 {
    wait_note(daemon, "db", "start").at
}

#[test]
fn one_whose_dependency_fails_is_fatal_and_comes_back() {
    let daemon = start_with(&(db("startretries=0\n") + &app("")), &[("db.exit", "1")]);
    wait_state(&daemon, "app", Fatal);
    assert_eq!(spawnerr(&daemon, "app"), "depends on db, which is FATAL");
    assert_eq!(description(&daemon, "app"), "depends on db, which is FATAL");
    drop_file(&daemon, "db.exit");
    put(&daemon, "db.ready", "");
    begin(&daemon, "db");
    wait_state(&daemon, "app", Running);
    assert_starts(&daemon, "app", 1);
}

#[test]
fn one_whose_dependency_fails_and_that_is_stopped_does_not_come_back() {
    let daemon = start_with(&(db("startretries=0\n") + &app("")), &[("db.exit", "1")]);
    wait_state(&daemon, "app", Fatal);
    let answer = daemon.call("supervisor.stopProcess", vec![text("app")]);
    assert_eq!(answer, flag(true));
    assert_eq!(daemon.state_of("app"), Stopped);
    drop_file(&daemon, "db.exit");
    put(&daemon, "db.ready", "");
    daemon.call("supervisor.startProcess", vec![text("db")]);
    daemon.replace_manager();
    assert_eq!((daemon.state_of("app"), n_starts(&daemon, "app")), (Stopped, 0));
}

#[test]
fn a_wait_has_a_limit_without_retries() {
    let daemon = start_with(&(db("") + &app("dependency_timeout=1500ms\nstartretries=5\n")), &[]);
    wait_state(&daemon, "app", Fatal);
    let why = "waited for its dependencies longer than 1.5s (dependency_timeout)";
    assert_eq!(spawnerr(&daemon, "app"), why);
    assert_eq!(daemon.log().matches("gave up: app").count(), 1);
    // The condition holds later: it comes.
    put(&daemon, "db.ready", "");
    wait_state(&daemon, "app", Running);
    assert_starts(&daemon, "app", 1);
}

#[test]
fn a_start_starts_what_is_needed_and_so_does_the_boot() {
    let conf = program("base", "autostart=false\n")
        + &program("db", "autostart=false\ndepends_on=base\n")
        + &program("cache", "autostart=false\n")
        + &program("mail", "autostart=false\n")
        + &program("app", "autostart=false\ndepends_on=db, cache, mail?\n")
        + &program("boot", "depends_on=cache\n");
    let daemon = start_with(&conf, &[]);
    wait_state(&daemon, "boot", Running);
    assert_eq!(daemon.state_of("cache"), Running, "the boot starts it though autostart=false");
    assert_eq!(daemon.state_of("db"), Stopped);
    daemon.ctl(&["start", "app"]).expect(0);
    for name in ["base", "db", "cache", "app"] {
        assert_eq!(daemon.state_of(name), Running, "{name}");
    }
    assert_eq!(daemon.state_of("mail"), Stopped, "what is soft is not started");
    for (one, other) in [("base", "db"), ("db", "app"), ("cache", "app")] {
        assert!(first(&daemon, one, "start") <= first(&daemon, other, "start"), "{one} before {other}");
    }
}

#[test]
fn a_restart_waits_as_a_start_does() {
    let daemon = start_with(&(db("startretries=20\n") + &app("")), &[("db.ready", "")]);
    wait_state(&daemon, "app", Running);
    drop_file(&daemon, "db.ready");
    crash(&daemon, "db");
    wait_starts(&daemon, "db", 2);
    stop(&daemon, "app");
    begin(&daemon, "app");
    wait_description(&daemon, "app", "waiting for db (STARTING)");
    assert_waits(&daemon, "app", 1);
    put(&daemon, "db.ready", "");
    wait_state(&daemon, "app", Running);
    assert_one_at_a_time(&daemon, "app");
}

#[test]
fn what_becomes_of_dependents_when_a_dependency_stops_or_restarts() {
    let conf = program("db", "")
        + &program("none", "depends_on=db\n")
        + &program("again", "depends_on=db\ndepends_restart=restart\n")
        + &program("down", "depends_on=db\ndepends_restart=stop\n")
        + &program("soft", "depends_on=db?\n");
    let daemon = start_with(&conf, &[]);
    let names = ["none", "again", "down", "soft"];
    names.iter().for_each(|name| wait_state(&daemon, name, Running));
    stop(&daemon, "db");
    wait_note(&daemon, "again", "stop");
    wait_note(&daemon, "down", "stop");
    wait_state(&daemon, "down", Stopped);
    // It is to come back and cannot: it has failed for the sake of what it depends on.
    wait_state(&daemon, "again", Fatal);
    assert_eq!(spawnerr(&daemon, "again"), "depends on db, which is STOPPED");
    assert_eq!((daemon.state_of("none"), daemon.state_of("soft")), (Running, Running));
    daemon.replace_manager();
    assert_eq!((daemon.state_of("again"), daemon.state_of("down")), (Fatal, Stopped));
    begin(&daemon, "db");
    wait_state(&daemon, "again", Running);
    wait_state(&daemon, "down", Running);
    for (name, starts) in [("none", 1), ("again", 2), ("down", 2), ("soft", 1)] {
        assert_starts(&daemon, name, starts);
    }
    // A crash: db is back in the same moment, and was away all the same.
    crash(&daemon, "db");
    wait_starts(&daemon, "again", 3);
    wait_starts(&daemon, "down", 3);
    names.iter().for_each(|name| wait_state(&daemon, name, Running));
    assert_eq!((n_starts(&daemon, "none"), n_starts(&daemon, "soft")), (1, 1));
    names.iter().for_each(|name| assert_one_at_a_time(&daemon, name));
    // What somebody has stopped stays down whatever happens to what it depends on.
    stop(&daemon, "again");
    stop(&daemon, "down");
    crash(&daemon, "db");
    wait_starts(&daemon, "db", 4);
    wait_state(&daemon, "db", Running);
    assert_eq!((daemon.state_of("again"), daemon.state_of("down")), (Stopped, Stopped));
}

#[test]
fn a_soft_dependency_orders_and_nothing_else() {
    let conf = db("startretries=0\nautostart=false\n") + &program("app", "depends_on=db?, nobody?\n");
    let daemon = start_with(&conf, &[]);
    wait_state(&daemon, "app", Running);
    assert_eq!(daemon.state_of("db"), Stopped, "it does without what is stopped or not there");
    // While it is on its way it is waited for.
    stop(&daemon, "app");
    begin(&daemon, "db");
    begin(&daemon, "app");
    wait_description(&daemon, "app", "waiting for db (STARTING)");
    // Its failure is an end of the wait.
    put(&daemon, "db.exit", "1");
    until("db has a pid", LONG, || daemon.pid_of("db") > 0);
    crash(&daemon, "db");
    wait_state(&daemon, "app", Running);
    wait_state(&daemon, "db", Fatal);
}

/// Programs in a chain and one beside it, whose ends take a while.
const CHAIN: [&str; 4] = ["base", "db", "app", "beside"];

fn chain() -> String {
    program("app", "depends_on=db\npriority=1\n")
        + &program("db", "depends_on=base\npriority=2\n")
        + &program("base", "priority=3\n")
        + &program("beside", "priority=2\n")
        + "[group:all]\nprograms=app,db,base,beside\n"
}

const SLOW: [(&str, &str); 2] = [("app.slow", "0.3"), ("db.slow", "0.3")];

#[track_caller]
fn assert_dependents_ended_first(daemon: &Daemon) {
    for (dependent, needed) in [("app", "db"), ("db", "base")] {
        let (ended, told) = (first(daemon, dependent, "stop"), first(daemon, needed, "term"));
        assert!(ended <= told, "{needed} was told to stop at {told}, {dependent} ended at {ended}");
    }
}

#[test]
fn a_shutdown_stops_dependents_first() {
    let mut daemon = start_with(&chain(), &SLOW);
    CHAIN.iter().for_each(|name| wait_state(&daemon, &format!("all:{name}"), Running));
    CHAIN.iter().for_each(|name| wait_starts(&daemon, name, 1));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert_dependents_ended_first(&daemon);
}

#[test]
fn every_stop_of_many_stops_dependents_first() {
    for words in [["stop", "all"], ["stop", "all:*"]] {
        let daemon = start_with(&chain(), &SLOW);
        CHAIN.iter().for_each(|name| wait_starts(&daemon, name, 1));
        daemon.ctl(&words).expect(0);
        assert_eq!(daemon.n_in(Stopped), 4);
        assert_dependents_ended_first(&daemon);
    }
}

#[test]
fn a_reload_stops_dependents_first_and_starts_them_last() {
    let daemon = start_with(&chain(), &SLOW);
    CHAIN.iter().for_each(|name| wait_starts(&daemon, name, 1));
    daemon.signal(Signal::SIGHUP);
    CHAIN.iter().for_each(|name| wait_starts(&daemon, name, 2));
    assert_dependents_ended_first(&daemon);
    let second = |name| notes(&daemon, name, "start")[1].at;
    assert!(second("base") <= second("db") && second("db") <= second("app"));
}

#[test]
fn a_stop_of_one_that_others_depend_on_stops_that_alone() {
    let daemon = start_with(&(program("db", "") + &app("")), &[]);
    wait_state(&daemon, "app", Running);
    daemon.ctl(&["stop", "db"]).expect(0);
    assert_eq!((daemon.state_of("db"), daemon.state_of("app")), (Stopped, Running));
}

/// What comes back with its dependency is not started faster than once a second.
#[test]
fn the_pace_holds_for_what_comes_back_with_its_dependency() {
    let conf = program("db", "") + &app("depends_restart=restart\n");
    let daemon = start_with(&conf, &[]);
    wait_state(&daemon, "app", Running);
    for _ in 0..2 {
        until("db is up", LONG, || daemon.pid_of("db") > 0);
        let before = n_starts(&daemon, "app");
        crash(&daemon, "db");
        wait_starts(&daemon, "app", before + 1);
    }
    for pair in notes(&daemon, "app", "start").windows(2) {
        // The first may have taken a while until it noted its start.
        assert!(pair[1].at - pair[0].at >= 0.6, "{pair:?}");
    }
}

/// The client adds one group after the other, and by name: app is there before db is. It was FATAL for that, and stayed so
/// because nobody started db.
#[test]
fn an_update_starts_what_it_adds_in_order() {
    let daemon = start_with(&program("other", ""), &[]);
    wait_state(&daemon, "other", Running);
    daemon.write_conf(&(program("other", "") + &app("") + &db("autostart=false\n")));
    daemon.ctl(&["update"]).expect(0);
    wait_description(&daemon, "app", "waiting for db (STARTING)");
    put(&daemon, "db.ready", "");
    wait_state(&daemon, "app", Running);
    assert_starts(&daemon, "other", 1);
}

#[test]
fn a_job_that_is_done_is_not_done_again() {
    let conf = program("job", "type=oneshot\nautostart=false\n")
        + &program("app", "depends_on=job:done\nautostart=false\n");
    let daemon = start_with(&conf, &[("job.short", "0")]);
    daemon.ctl(&["start", "app"]).expect(0);
    assert_eq!((daemon.state_of("job"), daemon.state_of("app")), (Exited, Running));
    assert!(first(&daemon, "job", "exit") <= first(&daemon, "app", "start"));
    daemon.ctl(&["restart", "app"]).expect(0);
    assert_starts(&daemon, "app", 2);
    assert_starts(&daemon, "job", 1);
}

#[test]
fn a_dependency_in_backoff_is_waited_for() {
    let conf = plain("db", "startsecs=1\nstartretries=5\n") + &app("");
    let daemon = start_with(&conf, &[("db.exit", "1")]);
    wait_state(&daemon, "db", Backoff);
    wait_description(&daemon, "app", "waiting for db (BACKOFF)");
    drop_file(&daemon, "db.exit");
    daemon.wait_for_state("app", Running, LONG + Duration::from_secs(5));
}

#[test]
fn a_name_or_a_pattern_means_all_that_it_matches() {
    let conf = program(
        "w",
        "numprocs=3\nprocess_name=%(program_name)s_%(process_num)d\nready=file:%(here)s/%(process_num)d.ready\n\
         ready_interval=100ms\n",
    ) + &program("name", "depends_on=w\n")
        + &program("pattern", "depends_on=w:*_2\n")
        + &program("one", "depends_on=w:w_0\n");
    let daemon = start_with(&conf, &[]);
    wait_description(&daemon, "name", "waiting for w:w_0 (STARTING), w:w_1 (STARTING), w:w_2 (STARTING)");
    put(&daemon, "0.ready", "");
    wait_state(&daemon, "one", Running);
    wait_description(&daemon, "name", "waiting for w:w_1 (STARTING), w:w_2 (STARTING)");
    put(&daemon, "1.ready", "");
    wait_description(&daemon, "name", "waiting for w:w_2 (STARTING)");
    assert_eq!(description(&daemon, "pattern"), "waiting for w:w_2 (STARTING)");
    assert_starts(&daemon, "name", 0);
    put(&daemon, "2.ready", "");
    wait_state(&daemon, "name", Running);
    wait_state(&daemon, "pattern", Running);
}
