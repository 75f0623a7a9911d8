//! An update restarts one process, changes another while it runs, and lets one come or go: the manager is killed on this way.
//! Another update brings it to its end, and everything has happened once.

use super::*;
use std::cell::Cell;

/// The configuration, which has two versions.
fn conf(version: usize) -> String {
    let program = |name: &str, keys: &str| {
        format!(
            "[program:{name}]\ncommand=/bin/sh -c 'echo $$ >> {name}.lives; exec sleep 1000'\ndirectory=%(here)s\n\
             startsecs=0\n{keys}\n"
        )
    };
    program("changes", &format!("environment=VERSION=\"{version}\""))
        + &program("goes-on", &format!("priority={version}"))
        + &program("still", "")
        + &program("crew", &format!("numprocs={}\nprocess_name=crew%(process_num)d", 1 + version % 2))
        + "[group:all]\nprograms=changes,goes-on,still,crew\n"
}

fn n_lives(daemon: &Daemon, name: &str) -> usize {
    daemon.read(&format!("{name}.lives")).lines().count()
}

fn version_of(pid: i32) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let version = environment.split(|byte| *byte == 0).find_map(|word| word.strip_prefix(b"VERSION="))?;
    String::from_utf8(version.to_vec()).ok()
}

#[test]
fn an_update_happens_once() {
    let daemon = start(&conf(0));
    let version = Cell::new(0);
    let before = Cell::new((0, 0, 0, 0));
    let update = || acknowledged(&daemon, "supervisord.updateGroups", vec![]);
    let pid = |name: &str| daemon.pid_of(&format!("all:{name}"));
    at_points(
        &daemon,
        Share::Fifth,
        || {
            until("all run", LONG, || {
                let n_crew = 1 + version.get() % 2;
                n_running(&daemon) == 3 + n_crew
                    && n_lives(&daemon, "changes") > 0
                    && n_lives(&daemon, "crew") > 0
                    && pid("goes-on") != 0
                    && pid("still") != 0
                    && version_of(pid("changes")) == Some(version.get().to_string())
            });
            let lives = (n_lives(&daemon, "changes"), n_lives(&daemon, "crew"));
            before.set((lives.0, lives.1, pid("goes-on"), pid("still")));
            version.set(version.get() + 1);
            daemon.write_conf(&conf(version.get()));
        },
        update,
        |point, _| {
            // Whatever has come of it, this one finds what is left to do.
            assert!(update(), "point {point}");
            let (n_changes, n_crew_lives, goes_on, still) = before.get();
            let n_crew = 1 + version.get() % 2;
            until(&format!("it has its version after point {point}"), LONG, || {
                version_of(pid("changes")) == Some(version.get().to_string())
                    && n_lives(&daemon, "changes") > n_changes
                    && n_lives(&daemon, "crew") >= n_crew_lives + n_crew - 1
            });
            until(&format!("as many run as are to after point {point}"), LONG, || {
                n_running(&daemon) == 3 + n_crew
            });
            assert_eq!(n_lives(&daemon, "changes"), n_changes + 1, "point {point}");
            assert_eq!(n_lives(&daemon, "crew"), n_crew_lives + n_crew - 1, "point {point}");
            assert_eq!((pid("goes-on"), pid("still")), (goes_on, still), "point {point}");
            let rows = daemon.rows("supervisor.getAllProcessInfo");
            assert_eq!(rows.len(), 3 + n_crew, "point {point}");
            let left = daemon.rows("supervisord.previewUpdate");
            assert_eq!(left.len(), 0, "point {point}: {left:?}");
        },
    );
}

/// A pool that is replaced, and of two groups one that goes and one that comes.
fn conf_of_groups(version: usize) -> String {
    let comes = if version.is_multiple_of(2) { "even" } else { "odd" };
    let keys = |name: &str, then: &str| {
        format!(
            "command=/bin/sh -c 'echo $$ >> {name}.lives; {then}exec sleep 1000'\ndirectory=%(here)s\nstartsecs=0\n"
        )
    };
    format!(
        "[eventlistener:pool]\nevents=TICK_3600\nbuffer_size={}\n{}[program:{comes}]\n{}[program:still]\n{}",
        10 + version,
        keys("pool", "echo READY; "),
        keys(comes, ""),
        keys("still", "")
    )
}

#[test]
fn an_update_exchanges_groups_once() {
    let daemon = start(&conf_of_groups(0));
    let version = Cell::new(0_usize);
    let before = Cell::new((0, 0, 0));
    let update = || acknowledged(&daemon, "supervisord.updateGroups", vec![]);
    let left = || daemon.rows("supervisord.previewUpdate").len();
    let to_do = Cell::new(0_usize);
    let comes = || if version.get().is_multiple_of(2) { "even" } else { "odd" };
    let lives = |name: &str| {
        fs::read_to_string(daemon.path(&format!("{name}.lives"))).map_or(0, |text| text.lines().count())
    };
    at_points(
        &daemon,
        Share::Fifth,
        || {
            until("all run", LONG, || {
                n_running(&daemon) == 3
                    && lives(comes()) > 0
                    && lives("pool") > 0
                    && daemon.pid_of("still") != 0
            });
            version.set(version.get() + 1);
            before.set((lives("pool"), lives(comes()), daemon.pid_of("still")));
            daemon.write_conf(&conf_of_groups(version.get()));
            to_do.set(left());
            assert_ne!(to_do.get(), 0);
        },
        update,
        |point, _| {
            // The successor finishes what was begun, all of it, and nothing else.
            until(&format!("all or nothing has happened after point {point}"), LONG, || {
                [0, to_do.get()].contains(&left())
            });
            assert!(update(), "point {point}");
            let (n_pools, n_comers, still) = before.get();
            until(&format!("who is new has come after point {point}"), LONG, || {
                n_running(&daemon) == 3 && lives("pool") > n_pools && lives(comes()) > n_comers
            });
            assert_eq!((lives("pool"), lives(comes())), (n_pools + 1, n_comers + 1), "point {point}");
            assert_eq!(daemon.pid_of("still"), still, "point {point}");
            let rows = daemon.rows("supervisor.getAllProcessInfo");
            assert_eq!(rows.len(), 3, "point {point}");
            assert_eq!(left(), 0, "point {point}");
        },
    );
}
