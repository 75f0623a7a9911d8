//! The example of the README does what the README says, with a real database and the test's service in place of a shop's.

use crate::load::Load;
use crate::site::{Ports, furnish, postgresql};
use crate::support::{Daemon, LONG, Side, Start, until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use supervisord::model::state::ProcessState::{Exited, Running};

/// The block of configuration that has a dependency.
fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(path).expect("it is there");
    let blocks = text.split("```ini\n").skip(1).filter_map(|rest| rest.split("```").next());
    let found: Vec<&str> = blocks.filter(|block| block.contains("depends_on")).collect();
    let [example] = found[..] else { panic!("one block with depends_on, not {}", found.len()) };
    example.to_string()
}

/// Makes a command that executes `words`.
fn command(daemon: &Daemon, name: &str, words: &str) {
    let path = daemon.path(name);
    let here = daemon.directory().display();
    fs::write(&path, format!("#!/bin/sh\nexec {}\n", words.replace("HERE", &here.to_string())))
        .expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

#[test]
fn the_example_of_the_readme_runs() {
    let Some(bin) = postgresql() else { return };
    let ports = Ports::free();
    let mut example = example();
    for (written, here) in [
        ("/usr/lib/postgresql/15/bin", bin.to_string_lossy().into_owned()),
        ("/srv/shop", "%(here)s".to_string()),
        ("8001", ports.api.to_string()),
        ("8002", ports.web.to_string()),
    ] {
        assert!(example.contains(written), "{written}, which this test replaces");
        example = example.replace(written, &here);
    }
    // Where the programs find each other, and where the database's log is looked for.
    let conf = format!(
        "[supervisord]\nenvironment=PGHOST=\"%(here)s/db\",PGPORT=\"{}\",PGUSER=\"postgres\",\
         RECORDS=\"%(here)s/records\",FRONT=\"{}\"\n{example}\
         [program:db]\nstderr_logfile=%(here)s/db.log\n",
        ports.db, ports.front
    );
    let mut daemon = Start::new(Side::Ours, &conf).prepare();
    furnish(&daemon, &bin, ports);
    let (api, web) = (ports.api, ports.web);
    command(&daemon, "migrate", "psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -f HERE/migrate.sql");
    command(&daemon, "api", &format!("python3 HERE/service.py serve api {api}"));
    command(&daemon, "web", &format!("python3 HERE/service.py serve web {web}"));
    command(&daemon, "worker", &format!("python3 HERE/service.py work {api}"));
    daemon.start();
    for name in ["db", "api", "web", "worker"] {
        daemon.wait_for_state(name, Running, LONG * 3);
    }
    assert_eq!(daemon.state_of("migrate"), Exited);
    let load = Load::on(web);
    until("requests are answered", LONG, || load.n_answered() > 20);
    load.end();
    daemon.ctl(&["shutdown"]).expect(0);
    assert_eq!(daemon.wait_exit_within(LONG * 3), 0);
    let records = daemon.read("records");
    let place = |record: &str| {
        records.find(record).unwrap_or_else(|| panic!("no {record:?} in the records:\n{records}"))
    };
    assert!(place("api up") < place("worker up"), "{records}");
    assert!(place("worker down") < place("api down"), "{records}");
    assert!(!records.contains("FAILED") && !records.contains("orphaned"), "{records}");
    assert!(daemon.read("db.log").trim_end().ends_with("database system is shut down"));
}
