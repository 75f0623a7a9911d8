//! `health` and `watchdog`: how a program is found not to be well, and what follows.

use crate::events::{NOTER, heard, noter, payloads};
use crate::life_kit::*;
use crate::life_ready::{NOTIFIER_FILE, notifier};
use crate::support::{Daemon, LONG, member, sleeps, until};
use std::time::{Duration, Instant};
use supervisord::model::state::ProcessState::{Exited, Fatal, Running, Stopped};

/// A program that a server says to be well.
fn checked(name: &str, server: &Server, settings: &str) -> String {
    let port = server.port;
    let retries = if settings.contains("health_retries") { "" } else { "health_retries=3\n" };
    program(name, &format!("health=http://127.0.0.1:{port}/\nhealth_interval=100ms\n{retries}{settings}"))
}

fn count(daemon: &Daemon, text: &str) -> usize {
    daemon.log().matches(text).count()
}

#[test]
fn only_transitions_are_told_and_shown() {
    let server = Server::new(200);
    let listens = noter("l", "events=PROCESS_HEALTHY,PROCESS_UNHEALTHY\nbuffer_size=100");
    let daemon =
        start_with(&(listens + &checked("x", &server, "health_action=none\n")), &[("noter.py", NOTER)]);
    wait_state(&daemon, "l", Running);
    wait_description(&daemon, "x", ", healthy");
    let pid = daemon.pid_of("x");
    let shown = description(&daemon, "x");
    let (front, uptime) = shown.split_once(", uptime ").expect("an uptime");
    assert_eq!(front, format!("pid {pid}"));
    assert!(uptime.starts_with("0:00:") && uptime.ends_with(", healthy"), "{shown}");
    server.wait_asked(5);
    assert_eq!(count(&daemon, "INFO healthy: x\n"), 1);

    server.answer_with(503);
    wait_description(&daemon, "x", ", unhealthy: ");
    assert!(description(&daemon, "x").contains("503"), "{}", description(&daemon, "x"));
    server.wait_asked(5);
    assert_eq!(count(&daemon, "WARN unhealthy: x (3 failures in a row; "), 1, "{}", daemon.log());
    assert_eq!((daemon.state_of("x"), daemon.pid_of("x")), (Running, pid));

    server.answer_with(200);
    wait_description(&daemon, "x", ", healthy");
    until("three events were heard", LONG, || heard(&daemon, "l").len() == 3);
    let names: Vec<String> = heard(&daemon, "l")
        .iter()
        .filter_map(|line| line.split_once(" eventname:")?.1.split(' ').next().map(str::to_string))
        .collect();
    assert_eq!(names, ["PROCESS_HEALTHY", "PROCESS_UNHEALTHY", "PROCESS_HEALTHY"]);
    let payload = format!("processname:x groupname:x from_state:RUNNING pid:{pid}");
    assert_eq!(payloads(&daemon, "l"), [&*payload; 3]);
}

/// Two failures in a row are not three, however often that happens.
#[test]
fn it_takes_failures_in_a_row() {
    let server = Server::new(200);
    let daemon = start_with(&checked("x", &server, "health_retries=1000\n"), &[]);
    wait_description(&daemon, "x", ", healthy");
    server.answer_with(500);
    server.wait_asked(4);
    assert!(description(&daemon, "x").ends_with(", healthy"), "{}", description(&daemon, "x"));
    server.answer_with(200);
    server.wait_asked(2);
    assert_eq!(count(&daemon, "healthy: x"), 1);
    assert_starts(&daemon, "x", 1);
}

#[test]
fn the_first_check_comes_after_the_start_period() {
    let server = Server::new(200);
    let daemon = start_with(&checked("x", &server, "health_start_period=2s\n"), &[]);
    daemon.wait_log("INFO healthy: x");
    let pause = daemon.moment("healthy: x") - daemon.moment("success: x entered RUNNING");
    assert!(pause >= 1900, "the first check came after {pause} ms");
}

#[test]
fn what_follows_when_it_is_not_well() {
    let servers = [(); 4].map(|()| Server::new(200));
    let [restart, stops, none, signal] = &servers;
    let conf = checked("restart", restart, "autorestart=false\n")
        + &checked("stop", stops, "health_action=stop\nautorestart=true\n")
        + &checked("none", none, "health_action=none\n")
        + &checked("signal", signal, "health_action=signal:USR1\n");
    let daemon = start_with(&conf, &[("signal.sh", "trap 'note usr1' USR1\n"), ("restart.slow", "0.3")]);
    let names = ["restart", "stop", "none", "signal"];
    names.iter().for_each(|name| wait_description(&daemon, name, ", healthy"));
    names.iter().for_each(|name| wait_starts(&daemon, name, 1));
    servers.iter().for_each(|server| server.answer_with(503));
    // It is told to stop, keeps its state until it has ended, and is back, though autorestart=false.
    wait_note(&daemon, "restart", "term");
    restart.answer_with(200);
    wait_starts(&daemon, "restart", 2);
    wait_description(&daemon, "restart", ", healthy");
    let (ended, again) = (first(&daemon, "restart", "stop"), notes(&daemon, "restart", "start")[1].at);
    assert!(ended <= again, "{ended} {again}");
    assert_one_at_a_time(&daemon, "restart");

    wait_note(&daemon, "stop", "stop");
    wait_state(&daemon, "stop", Stopped);
    wait_note(&daemon, "signal", "usr1");
    until("it is told of none", LONG, || description(&daemon, "none").contains(", unhealthy"));
    none.wait_asked(5);
    signal.wait_asked(5);
    assert_eq!(notes(&daemon, "signal", "usr1").len(), 1, "the signal is sent once");
    for (name, starts) in [("stop", 1), ("none", 1), ("signal", 1)] {
        assert_starts(&daemon, name, starts);
    }
    assert_eq!(daemon.state_of("stop"), Stopped);
}

/// A restart for its health is an automatic one.
#[test]
fn restarts_for_the_health_are_limited() {
    let server = Server::new(503);
    let daemon = start_with(&checked("x", &server, "health_retries=1\nrestart_limit=2/60s\n"), &[]);
    wait_state(&daemon, "x", Fatal);
    assert_eq!(spawnerr(&daemon, "x"), "started 2 times within 60s, its restart_limit");
    // It may be told to stop before it notes its start.
    assert_eq!(count(&daemon, "INFO spawned: 'x' with pid"), 3);
}

#[test]
fn a_dead_process_is_not_probed() {
    let (server, clock) = (Server::new(200), Server::new(200));
    let conf = checked("x", &server, "autorestart=false\n") + &checked("ticker", &clock, "");
    let daemon = start_with(&conf, &[]);
    wait_description(&daemon, "x", ", healthy");
    wait_description(&daemon, "ticker", ", healthy");
    crash(&daemon, "x");
    wait_state(&daemon, "x", Exited);
    // One may have been under way.
    clock.wait_asked(2);
    let asked = server.n_asked();
    clock.wait_asked(8);
    assert_eq!(server.n_asked(), asked);
    assert_eq!(count(&daemon, "unhealthy: x"), 0);
}

#[test]
fn a_check_that_takes_too_long_has_failed() {
    let check = "echo $$ >> checks; echo thinking; exec sleep 1000\n";
    let conf = program(
        "x",
        "health=exec:/bin/sh %(here)s/check\nhealth_interval=100ms\nhealth_timeout=300ms\nhealth_retries=2\nhealth_action=none\n",
    );
    let daemon = start_with(&conf, &[("check", check)]);
    wait_description(&daemon, "x", ", unhealthy: no end within 300ms: thinking");
    let first_two = || daemon.read("checks").lines().take(2).map(str::to_string).collect::<Vec<_>>();
    until("the first two are gone", LONG, || {
        first_two().iter().all(|pid| !crate::support::running(pid.parse().expect("a pid")))
    });
    stop(&daemon, "x");
    until("the last one, too", LONG, || {
        daemon.read("checks").lines().all(|pid| !crate::support::running(pid.parse().expect("a pid")))
    });
}

/// Its check is still under way when it is restarted: the next one is a check, and no failure.
#[test]
fn a_check_of_the_life_before_is_no_failure_of_this_one() {
    let check = "echo $$ >> checks; if [ -f hang ]; then exec sleep 1000; fi\n";
    let conf = program(
        "x",
        "health=exec:/bin/sh %(here)s/check\nhealth_interval=100ms\nhealth_timeout=60s\nhealth_retries=1\n",
    );
    let daemon = start_with(&conf, &[("check", check)]);
    for round in 1..5 {
        wait_description(&daemon, "x", ", healthy");
        put(&daemon, "hang", "");
        // The one that hangs, not one that has just looked.
        until("a check hangs", LONG, || {
            let checks = daemon.read("checks");
            let last = checks.lines().last().and_then(|pid| pid.parse().ok()).unwrap_or(0);
            crate::support::cmdline(last) == "sleep 1000"
        });
        drop_file(&daemon, "hang");
        crash(&daemon, "x");
        wait_starts(&daemon, "x", round + 1);
        wait_state(&daemon, "x", Running);
    }
    wait_description(&daemon, "x", ", healthy");
    assert_eq!(count(&daemon, "unhealthy: x"), 0, "{}", daemon.log());
}

#[test]
fn one_that_is_silent_for_too_long_is_restarted() {
    let conf = notifier("x", "beat:quiet note:quiet", "watchdog=1s\n")
        + &notifier("more", "tell:WATCHDOG=1 tell:EXTEND_TIMEOUT_USEC=30000000 note:told", "watchdog=1s\n");
    let daemon = start_with(&conf, &[NOTIFIER_FILE]);
    wait_note(&daemon, "more", "told");
    // It lives for longer than that as long as it tells.
    let since = Instant::now();
    wait_starts(&daemon, "x", 1);
    until("it has lived for some time", LONG, || since.elapsed() > Duration::from_millis(2500));
    assert_starts(&daemon, "x", 1);
    put(&daemon, "quiet", "");
    let quiet = wait_note(&daemon, "x", "quiet").at;
    wait_starts(&daemon, "x", 2);
    let again = notes(&daemon, "x", "start")[1].at;
    assert!(again - quiet >= 0.8, "it was given {} s", again - quiet);
    assert!(daemon.log().contains("failed: x (no WATCHDOG=1 within 1s (watchdog))"), "{}", daemon.log());
    assert_starts(&daemon, "more", 1);
    assert_eq!(daemon.state_of("more"), Running);
}

/// What WATCHDOG_USEC and NOTIFY_SOCKET tell a program.
#[test]
fn the_socket_is_given_to_those_who_want_it() {
    let tells = "note \"socket=${NOTIFY_SOCKET:+yes}\"\n";
    let conf = program("plain", "") + &program("notify", "notify=true\n") + &program("dog", "watchdog=60s\n");
    let files = [("plain.sh", tells), ("notify.sh", tells), ("dog.sh", tells)];
    let daemon = start_with(&conf, &files);
    wait_note(&daemon, "notify", "socket=yes");
    wait_note(&daemon, "dog", "socket=yes");
    wait_note(&daemon, "plain", "socket=");
}

/// Twenty programs that are checked every second: the checks fall together, and nothing else wakes the loop.
#[test]
fn checks_of_many_wake_the_manager_once_a_second() {
    let twenty = |settings: &str| {
        format!(
            "[program:n]\ncommand=sleep 1000\nprocess_name=%(process_num)d\nnumprocs=20\nstartsecs=0\n{settings}"
        )
    };
    let daemon = start_with(&twenty("health=file:%(here)s/supervisord.conf\nhealth_interval=1s\n"), &[]);
    until("all are well", LONG, || {
        let rows = daemon.rows("supervisor.getAllProcessInfo");
        rows.iter().all(|info| member::<String>(info, "description").ends_with(", healthy"))
    });
    // Each thread that has to do with a round of checks wakes up for it, and not for each check.
    const ROUNDS: u64 = 5;
    let manager = daemon.manager();
    let least = (0..4)
        .map(|_| {
            let before = sleeps(manager);
            std::thread::sleep(Duration::from_secs(ROUNDS));
            sleeps(manager) - before
        })
        .min();
    let least = least.expect("four measurements");
    // Twenty tasks and their answers were about twenty wake-ups a second.
    assert!(least >= ROUNDS / 2, "they are checked at all: {least}");
    assert!(least <= 4 * ROUNDS, "twenty programs cost {least} wake-ups in {ROUNDS} rounds");
}
