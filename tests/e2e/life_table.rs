//! Each condition of `depends_on` against each way in which a dependency fails, comes back, or is not there any more.

use crate::life_kit::*;
use crate::support::{Daemon, LONG, text, until};
use supervisord::model::state::ProcessState::{Exited, Fatal, Running, Starting, Stopped};

const CONDITIONS: [&str; 4] = ["ready", "healthy", "done", "exited"];

/// One dependent for each condition, each with its own name.
fn dependents(settings: &str) -> String {
    let one = |condition: &&str| program(condition, &format!("depends_on=db:{condition}\n{settings}"));
    CONDITIONS.iter().map(one).collect()
}

/// What becomes of the dependents in the end: for each condition RUNNING, or why not. An empty text: it waits.
type Outcome = [Result<(), &'static str>; 4];

const UP: Result<(), &str> = Ok(());
const WAITS: Result<(), &str> = Err("");

#[track_caller]
fn assert_outcome(daemon: &Daemon, case: &str, outcome: Outcome) {
    for (condition, outcome) in CONDITIONS.iter().zip(outcome) {
        assert_one(daemon, case, condition, outcome);
    }
}

#[track_caller]
fn assert_one(daemon: &Daemon, case: &str, condition: &str, outcome: Result<(), &str>) {
    until(&format!("{case}: {condition} ends as {outcome:?}"), LONG, || match outcome {
        Ok(()) => daemon.state_of(condition) == Running,
        Err("") => {
            daemon.state_of(condition) == Starting
                && daemon.pid_of(condition) == 0
                && description(daemon, condition).starts_with("waiting for db (")
        }
        Err(why) => daemon.state_of(condition) == Fatal && spawnerr(daemon, condition) == why,
    });
    assert_starts(daemon, condition, usize::from(outcome.is_ok()));
}

const FATAL: Result<(), &str> = Err("depends on db, which is FATAL");
const EXITED: Result<(), &str> = Err("depends on db, which is EXITED");
const STOPPED: Result<(), &str> = Err("depends on db, which is STOPPED");

/// A database that can be checked: well as long as `db.ok` is there.
fn db(settings: &str) -> String {
    program(
        "db",
        &format!(
            "health=file:%(here)s/db.ok\nhealth_interval=100ms\nhealth_action=none\nautorestart=false\n{settings}"
        ),
    )
}

#[test]
fn a_dependency_that_fails_to_start() {
    for (case, conf, files, outcome) in [
        (
            "its command is not there",
            db("startretries=0\n").replace("/bin/sh", "/nonexistent/program"),
            vec![],
            [FATAL, FATAL, FATAL, UP],
        ),
        (
            "it exits too soon",
            db("startretries=0\nstartsecs=1\n").replacen("startsecs=0\n", "", 1),
            vec![("db.exit", "0")],
            [FATAL, FATAL, FATAL, UP],
        ),
        (
            "it is FATAL after retries",
            db("startretries=1\nstartsecs=1\n").replacen("startsecs=0\n", "", 1),
            vec![("db.exit", "1")],
            [FATAL, FATAL, FATAL, UP],
        ),
        (
            "it is not ready in time",
            db("startretries=0\nready=file:%(here)s/never\nready_interval=100ms\nready_timeout=500ms\n"),
            vec![],
            [FATAL, FATAL, FATAL, UP],
        ),
        ("it is unhealthy", db(""), vec![], [UP, WAITS, WAITS, WAITS]),
        ("it is well", db(""), vec![("db.ok", "")], [UP, UP, WAITS, WAITS]),
    ] {
        let daemon = start_with(&(conf + &dependents("")), &files);
        assert_outcome(&daemon, case, outcome);
    }
}

#[test]
fn a_dependency_that_ends() {
    for (case, code, outcome) in
        [("as expected", "0", [UP, EXITED, UP, UP]), ("wrongly", "3", [UP, EXITED, EXITED, UP])]
    {
        let ends = "while [ ! -f db.go ]; do sleep 0.05; done; note exit; exit $(cat db.go)\n";
        let daemon = start_with(&(db("") + &dependents("")), &[("db.sh", ends)]);
        assert_outcome(&daemon, "before", [UP, WAITS, WAITS, WAITS]);
        put(&daemon, "db.go", code);
        wait_state(&daemon, "db", Exited);
        assert_outcome(&daemon, case, outcome);
    }
}

#[test]
fn a_dependency_that_somebody_stops_and_starts_later() {
    let conf = db("ready=file:%(here)s/db.ready\nready_interval=100ms\n") + &dependents("");
    let daemon = start_with(&conf, &[]);
    assert_outcome(&daemon, "before", [WAITS; 4]);
    stop(&daemon, "db");
    assert_outcome(&daemon, "stopped", [STOPPED; 4]);
    assert_eq!(daemon.state_of("db"), Stopped);
    put(&daemon, "db.ready", "");
    put(&daemon, "db.ok", "");
    begin(&daemon, "db");
    wait_state(&daemon, "ready", Running);
    wait_state(&daemon, "healthy", Running);
    // These two are FATAL until the moment at which it has ended.
    assert_eq!((daemon.state_of("done"), daemon.state_of("exited")), (Fatal, Fatal));
    // An end as expected: told to stop it would be STOPPED, so it ends by itself.
    put(&daemon, "db.sh", "sleep 0.3; note exit; exit 0\n");
    daemon.ctl(&["restart", "db"]).expect(0);
    wait_state(&daemon, "db", Exited);
    for name in CONDITIONS {
        wait_state(&daemon, name, Running);
        assert_starts(&daemon, name, 1);
        assert_one_at_a_time(&daemon, name);
    }
}

#[test]
fn a_dependency_that_restarts_or_crashes_when_all_are_up() {
    for policy in ["none", "restart"] {
        let conf = db("").replace("autorestart=false", "autorestart=unexpected")
            + &program("ready", &format!("depends_on=db\ndepends_restart={policy}\n"))
            + &program("healthy", &format!("depends_on=db:healthy\ndepends_restart={policy}\n"));
        let daemon = start_with(&conf, &[("db.ok", "")]);
        let names = ["ready", "healthy"];
        names.iter().for_each(|name| wait_state(&daemon, name, Running));
        let mut starts = 1;
        for round in 0..2 {
            if round == 0 {
                crash(&daemon, "db");
            } else {
                daemon.ctl(&["restart", "db"]).expect(0);
            }
            starts += usize::from(policy == "restart");
            for name in names {
                wait_starts(&daemon, name, starts);
                wait_state(&daemon, name, Running);
            }
            wait_state(&daemon, "db", Running);
            until("db is well", LONG, || description(&daemon, "db").ends_with(", healthy"));
            for name in names {
                assert_starts(&daemon, name, starts);
                assert_one_at_a_time(&daemon, name);
            }
        }
    }
}

/// Nobody can depend on a job's being ready or well.
#[test]
fn a_job_that_fails_or_succeeds_the_second_time() {
    for (case, retries, file, job, outcome) in [
        ("at once", 0, ("db.exit", "0"), Exited, [UP, UP]),
        ("the second time", 3, ("db.once", "1"), Exited, [UP, UP]),
        ("never", 0, ("db.exit", "1"), Fatal, [FATAL, UP]),
        ("never, with a retry", 1, ("db.exit", "1"), Fatal, [FATAL, UP]),
    ] {
        let conf = program("db", &format!("type=oneshot\nstartretries={retries}\n"))
            + &program("done", "depends_on=db:done\n")
            + &program("exited", "depends_on=db:exited\n");
        let daemon = start_with(&conf, &[file, ("db.sh", "note exit; exit 0\n")]);
        if retries > 0 {
            let waits = || description(&daemon, "done") == "waiting for db (BACKOFF)";
            until("it is waited for meanwhile", LONG, || waits() || daemon.state_of("db") == job);
        }
        wait_state(&daemon, "db", job);
        for (condition, outcome) in ["done", "exited"].into_iter().zip(outcome) {
            assert_one(&daemon, case, condition, outcome);
        }
        assert_starts(&daemon, "db", if file.0 == "db.once" { 2 } else { retries + 1 });
    }
}

#[test]
fn a_dependency_that_is_taken_out_and_added_again() {
    let conf = db("ready=file:%(here)s/db.ready\nready_interval=100ms\n") + &dependents("");
    let daemon = start_with(&conf, &[("db.ok", "")]);
    assert_outcome(&daemon, "before", [WAITS; 4]);
    stop(&daemon, "db");
    daemon.call("supervisor.removeProcessGroup", vec![text("db")]);
    for name in CONDITIONS {
        wait_state(&daemon, name, Fatal);
        assert!(
            spawnerr(&daemon, name).starts_with("depends on db, which is "),
            "{}",
            spawnerr(&daemon, name)
        );
    }
    // One that begins now finds it gone.
    begin_and_fail(&daemon, "exited");
    assert_eq!(spawnerr(&daemon, "exited"), "depends on db, which is not there");
    daemon.call("supervisor.addProcessGroup", vec![text("db")]);
    until("it is started", LONG, || daemon.state_of("db") == Starting);
    put(&daemon, "db.ready", "");
    wait_state(&daemon, "ready", Running);
    wait_state(&daemon, "healthy", Running);
    for name in CONDITIONS {
        assert!(n_starts(&daemon, name) <= 1, "{name}");
        assert_one_at_a_time(&daemon, name);
    }
    // An update that would leave them without it is refused, and nothing changes.
    daemon.write_conf(&dependents(""));
    let update = daemon.ctl(&["update"]);
    assert!(update.stdout.contains("no program, group or process is named db"), "{update}");
    assert_eq!(daemon.state_of("ready"), Running);
}

#[track_caller]
fn begin_and_fail(daemon: &Daemon, name: &str) {
    let fault = daemon.try_call("supervisor.startProcess", vec![text(name), crate::support::flag(false)]);
    assert_eq!(fault.expect_err("a fault").code(), 50);
}
