//! An update, a scale or a start while an update is under way: the last word counts, and whoever gave it waits for it.

use crate::start;
use crate::support::{Daemon, LONG, Run, kill, member, until};
use dxr::Value;
use nix::sys::signal::Signal;
use std::fs;
use std::thread::scope;
use supervisord::model::state::ProcessState::{Fatal, Running, Starting, Stopped, Stopping};

const NOTHING: &str = "No config updates to processes\n";

/// So many processes, which go on when they are asked to stop, until there is a file `go`.
fn crew(number: usize, keys: &str) -> String {
    format!(
        "[program:q]\ncommand=/bin/sh -c \"trap 'while [ ! -e go ]; do sleep 0.02; done; exit 0' TERM; echo >> trapped; \
         while :; do sleep 0.02; done\"\ndirectory=%(here)s\nprocess_name=q_%(process_num)d\nnumprocs={number}\n\
         stopwaitsecs=600\nstartsecs=0\nautorestart=false\n{keys}"
    )
}

/// A daemon of three of them.
fn start_crew() -> Daemon {
    let daemon = start(&crew(3, ""));
    wait_trapped(&daemon, 3);
    daemon
}

/// Waits until so many run and have executed their traps: who has not would end by TERM.
fn wait_trapped(daemon: &Daemon, number: usize) {
    until("all trap TERM", LONG, || {
        daemon.read("trapped").lines().count() >= number && daemon.n_in(Running) >= number
    });
}

/// Gives one order, another one when that has begun to stop a process, and lets processes stop when that has arrived.
fn one_during_another(
    daemon: &Daemon,
    first: &[&str],
    second: impl FnOnce() -> Run + Send,
    has_arrived: impl Fn() -> bool,
) {
    scope(|scope| {
        let first = scope.spawn(|| daemon.ctl(first));
        daemon.wait_for_state("q:q_2", Stopping, LONG);
        let second = scope.spawn(second);
        until("the second order has arrived", LONG, has_arrived);
        assert!(!second.is_finished() && !first.is_finished(), "both wait for the end of a process");
        fs::write(daemon.path("go"), "").expect("written");
        for run in [first, second].map(|order| order.join().expect("no panic")) {
            assert_eq!(run.code, 0, "{run:?}");
        }
    });
}

fn plan(daemon: &Daemon) -> String {
    daemon.ctl(&["update", "--plan"]).stdout
}

fn starts(daemon: &Daemon, name: &str) -> usize {
    daemon.log().matches(&format!("spawned: '{name}'")).count()
}

fn wait_running(daemon: &Daemon, number: usize) {
    until("as many run as are configured", LONG, || daemon.n_in(Running) == number);
    assert_eq!(daemon.rows("supervisor.getAllProcessInfo").len(), number);
    assert_eq!(plan(daemon), NOTHING);
}

#[test]
fn who_was_going_and_is_wanted_again_comes_back() {
    let daemon = start_crew();
    daemon.write_conf(&crew(2, ""));
    let second = || {
        daemon.write_conf(&crew(3, ""));
        assert_eq!(plan(&daemon), "q:q_2: would add and start it: numprocs\n");
        daemon.ctl(&["update"])
    };
    one_during_another(&daemon, &["update"], second, || {
        daemon.read("supervisord.conf").contains("numprocs=3") && plan(&daemon) == NOTHING
    });
    wait_running(&daemon, 3);
    assert_eq!([starts(&daemon, "q_0"), starts(&daemon, "q_1"), starts(&daemon, "q_2")], [1, 1, 2]);
}

#[test]
fn who_was_going_and_is_wanted_again_comes_back_after_a_kill() {
    let daemon = start_crew();
    daemon.write_conf(&crew(2, ""));
    scope(|scope| {
        scope.spawn(|| daemon.ctl(&["update"]));
        daemon.wait_for_state("q:q_2", Stopping, LONG);
        daemon.write_conf(&crew(3, ""));
        scope.spawn(|| daemon.ctl(&["update"]));
        until("it has been told", LONG, || daemon.ctl(&["update", "--plan"]).stdout == NOTHING);
        kill(daemon.manager(), Signal::SIGKILL);
        until("a successor answers", LONG, || daemon.answers());
        fs::write(daemon.path("go"), "").expect("written");
    });
    wait_running(&daemon, 3);
}

#[test]
fn a_value_that_is_withdrawn_is_not_taken() {
    let daemon = start_crew();
    daemon.write_conf(&crew(3, "umask=077\n"));
    // Written before the second one, so that a plan says when that has been taken.
    let withdraws = || {
        daemon.write_conf(&crew(3, ""));
        daemon.ctl(&["update"])
    };
    let is_withdrawn =
        || daemon.read("supervisord.conf").ends_with("autorestart=false\n") && plan(&daemon) == NOTHING;
    one_during_another(&daemon, &["update"], withdraws, is_withdrawn);
    wait_running(&daemon, 3);
    let mask = |name: &str| {
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid_of(name))).expect("it runs");
        status.lines().find_map(|line| line.strip_prefix("Umask:")).map(|mask| mask.trim().to_string())
    };
    let before = mask("q:q_0");
    assert_ne!(before.as_deref(), Some("0077"));
    assert_eq!((mask("q:q_1"), mask("q:q_2")), (before.clone(), before));
}

#[test]
fn the_last_number_counts() {
    let daemon = start_crew();
    let number = || daemon.ctl(&["scale"]).stdout;
    let again = || daemon.ctl(&["scale", "q=3"]);
    one_during_another(&daemon, &["scale", "q=1"], again, || number().contains("3 processes"));
    wait_running(&daemon, 3);
}

#[test]
fn an_update_waits_for_what_another_one_has_begun() {
    let daemon = start_crew();
    daemon.write_conf(&crew(2, ""));
    scope(|scope| {
        let all: Vec<_> = (0..3).map(|_| scope.spawn(|| daemon.ctl(&["update", "q"]))).collect();
        daemon.wait_for_state("q:q_2", Stopping, LONG);
        until("all have arrived", LONG, || {
            daemon.log().matches("called supervisor.reloadConfig").count() >= 3
        });
        // A plan waits for nobody, and is answered behind them.
        assert_eq!(plan(&daemon), NOTHING);
        assert!(all.iter().all(|update| !update.is_finished()));
        fs::write(daemon.path("go"), "").expect("written");
        for update in all {
            assert_eq!(update.join().expect("no panic").code, 0);
        }
    });
    wait_running(&daemon, 2);
}

#[test]
fn what_an_update_takes_away_is_not_started() {
    let other = "[program:other]\ncommand=/bin/sleep 1000\ndirectory=%(here)s\n";
    let group = crew(1, "").replace("[program:q]", "[program:r]").replace("q_", "r_");
    let daemon = start(&format!("{}{group}{other}", crew(3, "")));
    daemon.wait_for_state("r:r_0", Running, LONG);
    wait_trapped(&daemon, 4);
    daemon.write_conf(&format!("{}{other}", crew(2, "")));
    scope(|scope| {
        let update = scope.spawn(|| daemon.ctl(&["update"]));
        for (name, why) in [
            ("q:q_2", "an update is taking it away"),
            ("r:r_0", "an update is taking its group away or replacing it"),
        ] {
            daemon.wait_for_state(name, Stopping, LONG);
            let arguments = vec![Value::String(name.into()), Value::Boolean(false)];
            let fault = daemon.try_call("supervisor.startProcess", arguments).expect_err("it is going");
            assert_eq!(fault.string(), format!("FAILED: {name}: {why}"));
            assert_ne!(daemon.ctl(&["run", name]).code, 0);
        }
        fs::write(daemon.path("go"), "").expect("written");
        assert_eq!(update.join().expect("no panic").code, 0);
    });
    wait_running(&daemon, 3);
}

#[test]
fn who_waits_for_nothing_any_more_starts() {
    let worker = |keys: &str| format!("[program:w]\ncommand=/bin/sleep 1000\n{keys}");
    let failing = |keys: &str| format!("[program:bk]\ncommand=/bin/false\nstartsecs=0\n{keys}");
    // It waits for one that is between two starts, or has failed because that has.
    for (keys, state) in
        [("restart_delay=600\nstartretries=50\nstartsecs=1\n", Starting), ("autostart=false\n", Starting)]
    {
        let bk = failing(keys).replace("startsecs=0\n", "");
        let daemon = start(&format!("{bk}{}", worker("depends_on=bk\n")));
        daemon.wait_for_state("w", state, LONG);
        daemon.write_conf(&format!("{bk}{}", worker("")));
        daemon.ctl(&["update"]);
        daemon.wait_for_state("w", Running, LONG);
    }
    let daemon = start(&format!("{}{}", failing("startretries=0\nstartsecs=1\n"), worker("depends_on=bk\n")));
    daemon.wait_for_state("w", Fatal, LONG);
    daemon.write_conf(&format!("{}{}", failing("startretries=0\nstartsecs=1\n"), worker("")));
    daemon.ctl(&["update"]);
    daemon.wait_for_state("w", Running, LONG);
    // Both go at once: the dependency and what it was for.
    let bk = "[program:bk]\ncommand=/bin/false\nrestart_delay=600\nstartretries=50\n";
    let daemon = start(&format!("{bk}{}", worker("depends_on=bk\n")));
    daemon.wait_for_state("w", Starting, LONG);
    daemon.write_conf(&worker(""));
    daemon.ctl(&["update"]);
    daemon.wait_for_state("w", Running, LONG);
    assert_eq!(member::<String>(&daemon.info("w"), "spawnerr"), "");
}

#[test]
fn who_is_at_rest_starts_if_the_change_is_for_that() {
    let conf = |off: &str, failed: &str, stopped: &str| {
        format!(
            "[program:off]\ncommand=/bin/sleep 1000\n{off}[program:failed]\ncommand=/bin/sleep 1000\n{failed}\
             [program:stopped]\ncommand=/bin/sleep 1000\n{stopped}"
        )
    };
    let ready = |condition: &str| format!("ready=file:{condition}\nready_timeout=3s\nstartretries=0\n");
    let daemon = start(&conf("autostart=false\n", &ready("/nonexistent"), ""));
    daemon.wait_for_state("failed", Fatal, LONG);
    daemon.ctl(&["stop", "stopped"]);
    daemon.write_conf(&conf("", &ready("/dev/null"), "startretries=9\n"));
    assert_eq!(
        plan(&daemon),
        "failed: would start it with the new configuration: ready\noff: would start it with the new configuration: \
         autostart\nstopped: would change it while it is at rest: startretries\n"
    );
    daemon.ctl(&["update"]);
    daemon.wait_for_state("off", Running, LONG);
    daemon.wait_for_state("failed", Running, LONG);
    assert_eq!(daemon.state_of("stopped"), Stopped);
    assert_eq!(plan(&daemon), NOTHING);
}
