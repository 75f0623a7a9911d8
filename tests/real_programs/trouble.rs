//! What goes wrong by day and by night, and that everything comes back once it is mended.

use crate::load::Load;
use crate::site::{PG_ISREADY, Ports, configuration, postgresql, psql, site};
use crate::support::{Daemon, LONG, kill, member, until};
use crate::{PATIENCE, count, records, wait_up};
use nix::sys::signal::Signal;
use std::fs;
use supervisord::model::state::ProcessState::{Exited, Fatal, Running, Stopped};

/// No service has found something missing at its start; one that was up may have lost it.
#[track_caller]
fn assert_no_start_failed(daemon: &Daemon) {
    let records = records(daemon);
    assert!(!records.iter().any(|line| line.contains(" FAILED")), "{records:#?}");
}

#[track_caller]
fn assert_it_serves(ports: Ports) {
    let load = Load::on(ports.front);
    until("requests are answered", LONG, || load.n_answered() > 20);
    load.end();
}

fn description(daemon: &Daemon, name: &str) -> String {
    member(&daemon.info(name), "description")
}

/// A migration with a mistake: nothing that needs it starts. Once it has been run with success, all of that comes up, and
/// nobody has to start it.
#[test]
fn a_migration_that_fails_keeps_the_services_down_until_it_is_mended() {
    let Some(bin) = postgresql() else { return };
    let ports = Ports::free();
    let mut daemon = site(&bin, ports, PG_ISREADY);
    let migration = daemon.read("migrate.sql");
    fs::write(daemon.path("migrate.sql"), "create tabel orders;").expect("written");
    daemon.start();
    for name in ["migrate", "api", "web", "worker", "front"] {
        daemon.wait_for_state(name, Fatal, PATIENCE);
    }
    assert_eq!(description(&daemon, "migrate"), "Bad exit code 3");
    assert_eq!(description(&daemon, "api"), "depends on migrate, which is FATAL");
    assert_eq!(description(&daemon, "worker"), "depends on api, which is FATAL");
    assert_eq!(records(&daemon), [""; 0], "nothing was started in vain");
    // Whoever looks after it is told that it failed again, and then that it did not.
    daemon.ctl(&["start", "migrate"]).expect(7);
    fs::write(daemon.path("migrate.sql"), migration).expect("written");
    daemon.ctl(&["start", "migrate"]).expect(0);
    wait_up(&daemon);
    assert_it_serves(ports);
    assert_no_start_failed(&daemon);
}

/// A database that cannot start, and is mended.
#[test]
fn a_database_that_cannot_start_is_waited_for_until_it_is_mended() {
    let Some(bin) = postgresql() else { return };
    let ports = Ports::free();
    let mut daemon = site(&bin, ports, PG_ISREADY);
    let (settings, aside) = (daemon.path("db/data/postgresql.conf"), daemon.path("aside"));
    fs::rename(&settings, &aside).expect("root may");
    daemon.start();
    for name in ["db", "migrate", "api", "web", "worker", "front"] {
        daemon.wait_for_state(name, Fatal, PATIENCE);
    }
    assert_eq!(daemon.state_of("cache"), Running);
    // Somebody who takes one out by hand has the last word.
    daemon.ctl(&["stop", "front"]).expect(0);
    assert_eq!(daemon.state_of("front"), Stopped);
    fs::rename(&aside, &settings).expect("root may");
    daemon.ctl(&["start", "db"]).expect(0);
    for name in ["db", "api", "web", "worker"] {
        daemon.wait_for_state(name, Running, PATIENCE);
    }
    assert_eq!((daemon.state_of("migrate"), daemon.state_of("front")), (Exited, Stopped));
    daemon.ctl(&["start", "front"]).expect(0);
    assert_it_serves(ports);
    assert_no_start_failed(&daemon);
}

/// A service that hangs: its health is asked, it is killed as it does not hear, and the worker comes back after it.
#[test]
fn a_service_that_hangs_is_restarted() {
    let Some(bin) = postgresql() else { return };
    let ports = Ports::free();
    let mut daemon = site(&bin, ports, PG_ISREADY);
    daemon.start();
    wait_up(&daemon);
    let before = ["api", "worker"].map(|name| daemon.pid_of(name));
    let others = ["db", "cache", "web", "front"].map(|name| daemon.pid_of(name));
    kill(before[0], Signal::SIGSTOP);
    until("both are up again", PATIENCE, || {
        let now = ["api", "worker"].map(|name| daemon.pid_of(name));
        now.iter().zip(before).all(|(now, before)| ![0, before].contains(now))
    });
    wait_up(&daemon);
    daemon.wait_log("unhealthy: api (2 failures in a row; ");
    assert_eq!(["db", "cache", "web", "front"].map(|name| daemon.pid_of(name)), others);
    assert_it_serves(ports);
    assert_no_start_failed(&daemon);
}

/// A restart of the database by hand, and one because its configuration has changed: the services come back after it.
#[test]
fn a_restart_of_the_database_takes_the_services_along() {
    let Some(bin) = postgresql() else { return };
    let ports = Ports::free();
    let mut daemon = site(&bin, ports, PG_ISREADY);
    daemon.start();
    wait_up(&daemon);
    let wait_for_life = |daemon: &Daemon, number| {
        until("the services are up again", PATIENCE, || {
            ["api up", "web up", "worker up"].iter().all(|up| count(&records(daemon), up) == number)
        });
        wait_up(daemon);
        assert_it_serves(ports);
        assert_no_start_failed(daemon);
    };
    daemon.ctl(&["restart", "db"]).expect(0);
    wait_for_life(&daemon, 2);
    let changed = configuration(&bin, ports, PG_ISREADY).replace("db/data\n", "db/data -c work_mem=5MB\n");
    daemon.write_conf(&changed);
    let update = daemon.ctl(&["update"]).expect(0);
    assert_eq!(update.stdout, "db: stopped\ndb: updated process group\n");
    wait_for_life(&daemon, 3);
    assert_eq!(psql(&daemon, ports, "show work_mem").expect(0).stdout.trim(), "5MB");
}
