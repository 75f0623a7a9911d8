//! What programs wait for, how they become ready and well, and how they stop for each other: the manager is killed on
//! every one of these ways. The programs' own records say what has happened.

use super::*;
use std::cell::{Cell, RefCell};
use support::free_ports;

fn n_lines(daemon: &Daemon, file: &str) -> usize {
    daemon.read(file).lines().count()
}

/// Whether somebody has noted that a program began before it should have.
#[track_caller]
fn assert_nothing_wrong(daemon: &Daemon, point: usize) {
    assert_eq!(daemon.read("wrong"), "", "point {point}");
}

fn stop_if_up(daemon: &Daemon, name: &str) {
    if matches!(daemon.state_of(name), Running | Starting | ProcessState::Backoff) {
        daemon.call("supervisor.stopProcess", vec![text(name), flag(true)]);
    }
    until(&format!("{name} rests"), LONG, || {
        !matches!(daemon.state_of(name), Running | Starting | Stopping | ProcessState::Backoff)
    });
}

/// The program that waits: it notes if that which it waits for is not there.
fn waiter(condition: &str, check: &str) -> String {
    format!(
        "
[program:p]
command=/bin/sh -c '{check} || echo \"life $$ began too early\" >> wrong; echo $$ >> lives; exec sleep 1000'
directory=%(here)s
startsecs=0
autostart=false
autorestart=false
depends_on={condition}
"
    )
}

/// A start that waits until a dependency is ready. Nothing is started twice, and nothing too early.
fn waits_for_a_dependency(dependency: &str) {
    let db_is_there = "kill -0 $(cat db.ready)";
    let daemon = start(&format!("{dependency}{}", waiter("db", db_is_there)));
    let before = Cell::new((0, 0));
    at_points(
        &daemon,
        Share::Few,
        || {
            stop_if_up(&daemon, "p");
            stop_if_up(&daemon, "db");
            // Its next life removes the file as well, but a probe may be sooner and find the former one's.
            let _ = std::fs::remove_file(daemon.path("db.ready"));
            before.set((lives(&daemon).len(), n_lines(&daemon, "db.lives")));
        },
        || acknowledged(&daemon, "supervisor.startProcess", vec![text("p"), flag(true)]),
        |point, acknowledged| {
            let state = settled_state(&daemon, "p");
            let db = settled_state(&daemon, "db");
            assert!(matches!(state, Running | Stopped), "{state} after point {point}");
            assert!(state == Running || !acknowledged, "an acknowledged start was lost at point {point}");
            assert!(db == Running || state == Stopped, "it runs while db is {db} after point {point}");
            let (n_lives, n_db_lives) = before.get();
            let (expected, expected_db) = (usize::from(state == Running), usize::from(db == Running));
            until("p has written its pid", LONG, || lives(&daemon).len() >= n_lives + expected);
            assert_eq!(lives(&daemon).len(), n_lives + expected, "point {point}");
            assert_eq!(n_lines(&daemon, "db.lives"), n_db_lives + expected_db, "point {point}");
            assert_nothing_wrong(&daemon, point);
        },
    );
}

#[test]
fn a_start_waits_for_a_port_once() {
    let [port] = free_ports();
    waits_for_a_dependency(&format!(
        "
[program:db]
command=/usr/bin/perl -MSocket -e 'unlink \"db.ready\"; open L, \">>db.lives\"; print L \"$$\\n\"; close L; select(undef, undef, undef, 0.03); socket(S, AF_INET, SOCK_STREAM, 0); setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1); open R, \">db.ready\"; print R $$; close R; bind(S, sockaddr_in({port}, INADDR_LOOPBACK)) or die; listen(S, 9); while (1) {{ accept(C, S); close C }}'
directory=%(here)s
autostart=false
autorestart=false
ready=tcp:{port}
ready_interval=20ms
"
    ));
}

#[test]
fn a_start_waits_for_a_command_once() {
    waits_for_a_dependency(
        "
[program:db]
command=/bin/sh -c 'rm -f db.ready; echo $$ >> db.lives; sleep 0.03; echo $$ > db.ready; exec sleep 1002'
directory=%(here)s
autostart=false
autorestart=false
ready=exec:/bin/sh -c 'test -s db.ready'
ready_interval=20ms
",
    );
}

#[test]
fn a_start_waits_for_a_job_that_is_done_once() {
    let job = "
[program:job]
command=/bin/sh -c 'rm -f done; echo $$ >> job.lives; sleep 0.03; echo done > done'
directory=%(here)s
type=oneshot
autostart=false
";
    let daemon = start(&format!("{job}{}", waiter("job:done", "test -s done")));
    let before = Cell::new((0, 0));
    at_points(
        &daemon,
        Share::Few,
        || {
            stop_if_up(&daemon, "p");
            until("the job has ended", LONG, || !matches!(daemon.state_of("job"), Starting | Stopping));
            // What was done before counts no more.
            for name in ["p", "job"] {
                daemon.call("supervisor.removeProcessGroup", vec![text(name)]);
            }
            for name in ["job", "p"] {
                daemon.call("supervisor.addProcessGroup", vec![text(name)]);
            }
            before.set((lives(&daemon).len(), n_lines(&daemon, "job.lives")));
        },
        || acknowledged(&daemon, "supervisor.startProcess", vec![text("p"), flag(true)]),
        |point, acknowledged| {
            let state = settled_state(&daemon, "p");
            let job = settled_state(&daemon, "job");
            assert!(matches!(state, Running | Stopped), "{state} after point {point}");
            assert!(matches!(job, ProcessState::Exited | Stopped), "the job is {job} after point {point}");
            assert!(state == Running || !acknowledged, "an acknowledged start was lost at point {point}");
            let (n_lives, n_job_lives) = before.get();
            let expected = usize::from(state == Running);
            until("p has written its pid", LONG, || lives(&daemon).len() >= n_lives + expected);
            assert_eq!(lives(&daemon).len(), n_lives + expected, "point {point}");
            let expected_job = usize::from(job == ProcessState::Exited);
            assert_eq!(n_lines(&daemon, "job.lives"), n_job_lives + expected_job, "point {point}");
            assert_nothing_wrong(&daemon, point);
        },
    );
}

/// What a program says once is heard, whoever is the manager then: otherwise it would be started again after its
/// `ready_timeout`.
fn becomes_ready(command: &str, ready: &str, share: Share) {
    let daemon = start(&format!(
        "
[program:p]
command={command}
directory=%(here)s
startsecs=0
autostart=false
autorestart=false
ready={ready}
ready_timeout=3s
stdout_logfile=%(here)s/p.log
"
    ));
    let n_lives = Cell::new(0);
    at_points(
        &daemon,
        share,
        || {
            stop_if_up(&daemon, "p");
            n_lives.set(lives(&daemon).len());
        },
        || acknowledged(&daemon, "supervisor.startProcess", vec![text("p"), flag(true)]),
        |point, acknowledged| {
            let state = settled_state(&daemon, "p");
            let expected = usize::from(state == Running);
            assert!(matches!(state, Running | Stopped), "{state} after point {point}");
            assert!(state == Running || !acknowledged, "an acknowledged start was lost at point {point}");
            assert_eq!(lives(&daemon).len(), n_lives.get() + expected, "point {point}");
            assert_alive(&daemon, expected, point);
        },
    );
}

#[test]
fn what_is_notified_is_heard() {
    let command = "/usr/bin/perl -MSocket -e 'open L, \">>lives\"; print L \"$$\\n\"; close L; socket(S, AF_UNIX, SOCK_DGRAM, 0); send(S, \"READY=1\", 0, pack_sockaddr_un($ENV{NOTIFY_SOCKET})); sleep 1000'";
    becomes_ready(command, "notify", Share::Fifth);
}

#[test]
fn what_is_written_into_the_pipe_is_heard() {
    let command = "/bin/sh -c 'echo $$ >> lives; sleep 0.01; echo >&3; exec 3>&-; exec sleep 1000'";
    becomes_ready(command, "fd:3", Share::Fifth);
}

#[test]
fn what_is_printed_is_heard_in_pieces() {
    let command =
        "/bin/sh -c 'echo $$ >> lives; printf \"now it is \"; sleep 0.03; echo ready; exec sleep 1000'";
    becomes_ready(command, "log:^now it is ready$", Share::Fifth);
}

#[test]
fn an_unhealthy_program_is_restarted_once() {
    let daemon = start(
        "
[program:p]
command=/bin/sh -c 'echo $$ >> lives; exec sleep 1000'
directory=%(here)s
startsecs=0
autostart=false
autorestart=false
health=exec:/bin/sh -c '! kill -0 $(cat sick)'
health_interval=50ms
health_start_period=100ms
health_retries=2
",
    );
    daemon.call("supervisor.startProcess", vec![text("p"), flag(true)]);
    let before = RefCell::new((0, 0, 0));
    at_points(
        &daemon,
        // Each takes a second, which is the pace of restarts.
        Share::Few,
        || {
            daemon.wait_for_state("p", Running, LONG);
            until("it has written its pid", LONG, || has_begun(&daemon));
            let pid = daemon.pid_of("p");
            *before.borrow_mut() = (lives(&daemon).len(), daemon.log().len(), pid);
        },
        || {
            // Nobody else is ill, however late he removes a file.
            fs::write(daemon.path("sick"), before.borrow().2.to_string())
                .expect("the directory is the test's");
            until("it lives again", LONG, || lives(&daemon).len() > before.borrow().0);
            false
        },
        |point, _| {
            daemon.wait_for_state("p", Running, LONG);
            let (n_lives, from, _) = *before.borrow();
            let pid = daemon.pid_of("p");
            assert_eq!(lives(&daemon).len(), n_lives + 1, "point {point}");
            assert_alive(&daemon, 1, point);
            let expected = [
                "exited: p (terminated by SIGTERM; not expected)".to_string(),
                format!("spawned: 'p' with pid {pid}"),
            ];
            assert_eq!(story(&daemon, from), expected, "point {point}");
            let log = daemon.log();
            assert!(!log.contains("reaped unknown"), "a command was forgotten at point {point}");
        },
    );
}

#[test]
fn dependents_stop_first() {
    let program = |name: &str, more: &str| {
        format!(
            "
[program:{name}]
command=/bin/sh -c 'trap \"echo end {name} >> record; exit 0\" TERM; echo begin {name} >> record; while :; do sleep 0.01; done'
directory=%(here)s
startsecs=0
autorestart=false
{more}
"
        )
    };
    let conf = format!("{}{}", program("db", ""), program("app", "depends_on=db"));
    let daemon = start(&conf);
    let before = Cell::new(0);
    at_points(
        &daemon,
        Share::Few,
        || {
            // What a killed manager had begun to stop may still come to its end.
            until("both run", LONG, || {
                let both = ["db", "app"].map(|name| daemon.state_of(name));
                if both != [Running, Running] {
                    let _ = daemon.try_call("supervisor.startProcess", vec![text("app"), flag(true)]);
                    let _ = daemon.try_call("supervisor.startProcess", vec![text("db"), flag(true)]);
                }
                both == [Running, Running]
                    && ["db", "app"].iter().all(|name| {
                        daemon.read("record").lines().rfind(|line| line.ends_with(name))
                            == Some(&format!("begin {name}"))
                    })
            });
            before.set(n_lines(&daemon, "record"));
        },
        || acknowledged(&daemon, "supervisor.stopAllProcesses", vec![flag(true)]),
        |point, acknowledged| {
            let (app, db) = (settled_state(&daemon, "app"), settled_state(&daemon, "db"));
            let record = daemon.read("record");
            let since: Vec<&str> = record.lines().skip(before.get()).collect();
            assert!(!acknowledged || (app, db) == (Stopped, Stopped), "{app}, {db} after point {point}");
            assert!(
                ["end app", "end db"].starts_with(&since),
                "dependents do not stop first at point {point}: {since:?}"
            );
            assert!(app == Stopped || db == Running, "db stops alone at point {point}");
            let log = daemon.log();
            assert!(!log.contains("SIGKILL"), "point {point}");
        },
    );
}

/// A dependency that ends is up again in the same step. Whoever is to restart with it must not miss that.
#[test]
fn a_dependent_restarts_with_its_dependency() {
    let daemon = start(
        "
[program:db]
command=/bin/sh -c 'echo $$ >> db.lives; read line < trigger; exit 3'
directory=%(here)s
startsecs=0
autostart=false
autorestart=true
[program:p]
command=/bin/sh -c 'echo $$ >> lives; exec sleep 1000'
directory=%(here)s
startsecs=0
autostart=false
depends_on=db
depends_restart=restart
",
    );
    // No program is started before the FIFO that it reads is there.
    let mut trigger = fifo(&daemon);
    daemon.call("supervisor.startProcess", vec![text("p"), flag(true)]);
    let before = Cell::new((0, 0));
    at_points(
        &daemon,
        Share::Few,
        || {
            for (name, file) in [("db", "db.lives"), ("p", "lives")] {
                daemon.wait_for_state(name, Running, LONG);
                until("it has written its pid", LONG, || {
                    daemon.read(file).lines().last() == Some(&daemon.pid_of(name).to_string())
                });
            }
            // What lived for a second is started again at once.
            let age = || daemon.info("db");
            until("db has lived for a second", LONG, || {
                let info = age();
                support::member::<i32>(&info, "now") - support::member::<i32>(&info, "start") > 1
            });
            before.set((n_lines(&daemon, "db.lives"), lives(&daemon).len()));
        },
        || {
            trigger.write_all(b"end\n").expect("the test reads it, too, so it is open");
            until("db lives again", LONG, || n_lines(&daemon, "db.lives") > before.get().0);
            false
        },
        |point, _| {
            let (n_db, n_p) = before.get();
            until(&format!("p lives again after point {point}"), LONG, || lives(&daemon).len() > n_p);
            for name in ["db", "p"] {
                daemon.wait_for_state(name, Running, LONG);
            }
            assert_eq!(n_lines(&daemon, "db.lives"), n_db + 1, "point {point}");
            assert_eq!(lives(&daemon).len(), n_p + 1, "point {point}");
        },
    );
}
