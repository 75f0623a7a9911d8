//! Real programs that depend on each other: PostgreSQL, Redis, a migration, two services and a worker in Python, and
//! nginx in front of them.
//!
//! Nothing of this tries anything twice: a service that finds no database, or no table, records that and ends. So what
//! the programs tell, in a file of records and in the database itself, shows whether they were started and ended in
//! order. Where nothing may be noticed, clients ask through nginx all the time, and none of their requests may fail.

#[path = "../support/mod.rs"]
mod support;

mod load;
mod readme;
mod site;
mod trouble;

use load::Load;
use nix::sys::signal::Signal;
use site::{PG_ISREADY, Ports, postgresql, psql, site};
use std::thread;
use std::time::Duration;
use supervisord::model::state::ProcessState::{Exited, Running, Stopped};
use support::{Daemon, LONG, kill, until};

/// Database and programs together take their time on a busy machine.
const PATIENCE: Duration = LONG.saturating_mul(3);

const UP: [&str; 6] = ["db", "cache", "api", "web", "worker", "front"];

/// The records, and where the first of each stands.
fn records(daemon: &Daemon) -> Vec<String> {
    daemon.read("records").lines().map(str::to_string).collect()
}

#[track_caller]
fn place(records: &[String], start: &str) -> usize {
    let found = records.iter().position(|record| record.starts_with(start));
    found.unwrap_or_else(|| panic!("no record {start:?} in {records:#?}"))
}

#[track_caller]
fn assert_before(records: &[String], pairs: &[(&str, &str)]) {
    for (first, then) in pairs {
        assert!(place(records, first) < place(records, then), "{first:?} before {then:?} in {records:#?}");
    }
}

fn count(records: &[String], record: &str) -> usize {
    records.iter().filter(|line| line.starts_with(record)).count()
}

#[track_caller]
fn wait_up(daemon: &Daemon) {
    for name in UP {
        daemon.wait_for_state(name, Running, PATIENCE);
    }
    assert_eq!(daemon.state_of("migrate"), Exited);
}

/// No service has found something missing when it started, and none has lost it before its own end.
#[track_caller]
fn assert_nothing_was_missing(daemon: &Daemon) {
    let records = records(daemon);
    let bad: Vec<&String> =
        records.iter().filter(|line| line.contains(" FAILED") || line.contains(" orphaned")).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    // Behind the proxy somebody answered whenever it was asked.
    let nginx = daemon.read("nginx.log");
    assert!(!nginx.contains("connect() failed") && !nginx.contains("upstream"), "{nginx}");
}

/// What the programs tell of one life of the site, from its first record on.
#[track_caller]
fn assert_one_life(records: &[String]) {
    assert_before(
        records,
        &[
            ("api up", "worker up"),
            ("worker up", "worker down"),
            ("worker down", "api down"),
            ("web up", "web down"),
        ],
    );
    for name in ["api", "web"] {
        assert_eq!(count(records, &format!("{name} down front closed")), 1, "{records:#?}");
    }
    assert_eq!(records.len(), 6, "{records:#?}");
}

/// PostgreSQL ended in order so many times, and never found that it had not. That nobody needed it any more is in the
/// records; its log does not tell, as it may hear of the end of a client later than of its own.
#[track_caller]
fn assert_clean_ends(daemon: &Daemon, number: usize) {
    let log = daemon.read("db.log");
    assert_eq!(log.matches("database system is shut down").count(), number, "{log}");
    assert!(log.trim_end().ends_with("database system is shut down"), "{log}");
    assert!(!log.contains("was interrupted"), "{log}");
}

#[test]
fn a_site_comes_up_and_goes_down_in_order_and_nothing_is_ever_missing() {
    let Some(bin) = postgresql() else { return };
    let ports = Ports::free();
    let mut daemon = site(&bin, ports, PG_ISREADY);
    // From the first moment at which the proxy listens.
    let load = Load::on(ports.front);
    daemon.start();
    wait_up(&daemon);
    until("requests are answered", LONG, || load.n_answered() > 50);
    load.end();
    // In the order in which the database heard of them.
    let lives = psql(&daemon, ports, "select who from lives order by id").expect(0).stdout;
    let mut lives: Vec<&str> = lives.lines().collect();
    assert_eq!(lives.remove(0), "migrate");
    lives.sort_unstable();
    assert_eq!(lives, ["api", "web"]);

    let stop = daemon.ctl(&["stop", "all"]).expect(0);
    assert_eq!(stop.stdout.lines().filter(|line| line.ends_with(": stopped")).count(), UP.len(), "{stop}");
    assert_one_life(&records(&daemon));
    assert_clean_ends(&daemon, 1);
    assert_eq!(daemon.state_of("db"), Stopped);

    // The same by an order, and its end with the daemon's.
    daemon.ctl(&["start", "all"]).expect(0);
    wait_up(&daemon);
    // And by a daemon that begins anew: everything ends and comes up.
    daemon.ctl(&["reload"]).expect(0);
    until("all are up anew", PATIENCE, || count(&records(&daemon), "worker up") == 3);
    wait_up(&daemon);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit_within(PATIENCE), 0);
    for life in 0..3 {
        assert_one_life(&records(&daemon)[6 * life..][..6]);
    }
    assert_eq!(count(&records(&daemon), ""), 18);
    assert_clean_ends(&daemon, 3);
    assert_nothing_was_missing(&daemon);
}

/// Whom a start needs is started with it, and nobody else; what is stopped takes nobody along.
#[test]
fn one_start_brings_up_what_it_needs() {
    let Some(bin) = postgresql() else { return };
    let ports = Ports::free();
    let mut daemon = site(&bin, ports, PG_ISREADY);
    daemon.start();
    wait_up(&daemon);
    daemon.ctl(&["stop", "all"]).expect(0);
    daemon.ctl(&["start", "worker"]).expect(0);
    for name in ["db", "api", "worker"] {
        assert_eq!(daemon.state_of(name), Running, "{name}");
    }
    for name in ["cache", "web", "front"] {
        assert_eq!(daemon.state_of(name), Stopped, "{name}");
    }
    // Its end is nobody's reason to end, as nothing depends on it.
    daemon.ctl(&["stop", "worker"]).expect(0);
    assert_eq!(daemon.state_of("api"), Running);
    daemon.ctl(&["shutdown"]).expect(0);
    assert_eq!(daemon.wait_exit_within(PATIENCE), 0);
    assert_nothing_was_missing(&daemon);
    assert_clean_ends(&daemon, 2);
}

/// While it comes up the manager dies again and again: everything is started once, in order.
#[test]
fn managers_that_die_meanwhile_do_not_disturb_the_order() {
    let Some(bin) = postgresql() else { return };
    let ports = Ports::free();
    let mut daemon = site(&bin, ports, PG_ISREADY);
    let load = Load::on(ports.front);
    daemon.start();
    for wait in ["worker up", "api up", "web up"]
        .map(|record| move |daemon: &Daemon| records(daemon).iter().any(|line| line == record))
    {
        // At once, and again while the next one takes over.
        until("something new is up", PATIENCE, || {
            daemon.replace_manager();
            thread::sleep(Duration::from_millis(150));
            wait(&daemon)
        });
    }
    wait_up(&daemon);
    until("requests are answered", LONG, || load.n_answered() > 50);
    load.end();
    let lines = records(&daemon);
    assert_eq!(lines.len(), 3, "each of them came up once: {lines:#?}");
    daemon.replace_manager();
    daemon.ctl(&["stop", "all"]).expect(0);
    assert_one_life(&records(&daemon));
    assert_clean_ends(&daemon, 1);
    assert_nothing_was_missing(&daemon);
}

/// Managers are killed, and another binary takes over, while clients ask through the proxy.
#[test]
fn no_request_fails_while_managers_are_killed_and_replaced() {
    let Some(bin) = postgresql() else { return };
    let ports = Ports::free();
    let mut daemon = site(&bin, ports, PG_ISREADY);
    daemon.start();
    wait_up(&daemon);
    let pids = UP.map(|name| daemon.pid_of(name));
    let load = Load::on(ports.front);
    for _ in 0..10 {
        let before = load.n_answered();
        daemon.replace_manager();
        until("requests are answered", LONG, || load.n_answered() > before + 20);
    }
    let (manager, before) = (daemon.manager(), load.n_answered());
    daemon.ctl(&["upgrade"]).expect(0);
    assert_ne!(daemon.manager(), manager);
    wait_up(&daemon);
    until("requests are answered", LONG, || load.n_answered() > before + 100);
    load.end();
    assert_eq!(UP.map(|name| daemon.pid_of(name)), pids, "every program runs on");
    assert_eq!(records(&daemon).len(), 3);
    daemon.ctl(&["shutdown"]).expect(0);
    assert_eq!(daemon.wait_exit_within(PATIENCE), 0);
    assert_one_life(&records(&daemon));
    assert_clean_ends(&daemon, 1);
    assert_nothing_was_missing(&daemon);
}

/// The database is killed, the second time together with the manager: with `depends_restart=restart`, what depends on it
/// comes back by itself, once the database is ready again.
#[test]
fn a_crash_of_the_database_is_made_up_for() {
    let Some(bin) = postgresql() else { return };
    let ports = Ports::free();
    let mut daemon = site(&bin, ports, PG_ISREADY);
    daemon.start();
    wait_up(&daemon);
    for round in 1..=2 {
        let before = ["db", "api", "web", "worker"].map(|name| daemon.pid_of(name));
        let others = ["cache", "front"].map(|name| daemon.pid_of(name));
        let manager = (round == 2).then(|| daemon.manager());
        kill(before[0], Signal::SIGKILL);
        if let Some(manager) = manager {
            kill(manager, Signal::SIGKILL);
            daemon.manager_after(manager);
            daemon.wait_answer();
        }
        until("all are up again", PATIENCE, || {
            let now = ["db", "api", "web", "worker"].map(|name| daemon.pid_of(name));
            now.iter().zip(before).all(|(now, before)| *now != 0 && *now != before)
        });
        wait_up(&daemon);
        let records = records(&daemon);
        for name in ["api", "web", "worker"] {
            assert_eq!(count(&records, &format!("{name} up")), round + 1, "{records:#?}");
            assert_eq!(count(&records, &format!("{name} FAILED")), 0, "{records:#?}");
        }
        assert_eq!(["cache", "front"].map(|name| daemon.pid_of(name)), others, "they depend on it no more");
        // The migration has been done, and that still holds.
        let done = "select count(*) from lives where who = 'migrate'";
        assert_eq!(psql(&daemon, ports, done).expect(0).stdout.trim(), "1");
        let load = Load::on(ports.front);
        until("requests are answered", LONG, || load.n_answered() > 20);
        load.end();
    }
    daemon.ctl(&["shutdown"]).expect(0);
    assert_eq!(daemon.wait_exit_within(PATIENCE), 0);
    assert!(daemon.read("db.log").trim_end().ends_with("database system is shut down"));
}

/// A port that is open says less, as PostgreSQL refuses queries for a while after it has begun to listen. What comes too
/// early ends and is started again, so the site comes up all the same.
#[test]
fn a_port_that_is_open_is_enough_to_come_up() {
    let Some(bin) = postgresql() else { return };
    let ports = Ports::free();
    let mut daemon = site(&bin, ports, "tcp:DB_PORT");
    daemon.start();
    wait_up(&daemon);
    // Now PostgreSQL has something to repair before it serves anybody.
    let (db, api) = (daemon.pid_of("db"), daemon.pid_of("api"));
    kill(db, Signal::SIGKILL);
    until("the service was started again", PATIENCE, || ![0, api].contains(&daemon.pid_of("api")));
    wait_up(&daemon);
    let load = Load::on(ports.front);
    until("requests are answered", LONG, || load.n_answered() > 20);
    load.end();
    daemon.ctl(&["stop", "all"]).expect(0);
    assert!(daemon.read("db.log").trim_end().ends_with("database system is shut down"));
}
