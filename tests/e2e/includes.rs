//! A configuration of many files, one of which somebody breaks (`include_errors=skip`).

use crate::support::{Daemon, LONG, Side, Start, until};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::fs;
use supervisord::model::state::ProcessState::Running;

/// A machine with several sites: each site's file includes the directory of its workers.
const MAIN: &str = "
[program-defaults]
startsecs=0
autorestart=true
stopwaitsecs=5
environment=APP_ENV=live
[program-defaults:worker]
environment=QUEUE=\"%(program_name)s\"
[include]
files=sites/*.conf
include_errors=skip
";
const N_SITES: usize = 10;
const N_WORKERS: usize = 9;

fn worker(site: usize, number: usize) -> String {
    format!("[program:worker-{site}-{number}]\ncommand=sleep 1000\ninherit=worker\n")
}

fn site(number: usize) -> String {
    let group = if number == 3 { "[group:third]\nprograms=web-3,worker-3-0\n" } else { "" };
    format!("[program:web-{number}]\ncommand=sleep 1000\n{group}[include]\nfiles=site-{number}.d\n")
}

/// A daemon with all of these files, 100 in all.
fn start() -> Daemon {
    let mut daemon = Start::new(Side::Ours, MAIN).prepare();
    for number in 0..N_SITES {
        let directory = daemon.path(&format!("sites/site-{number}.d"));
        fs::create_dir_all(&directory).expect("created");
        fs::write(daemon.path(&format!("sites/site-{number}.conf")), site(number)).expect("written");
        for n in 0..N_WORKERS {
            fs::write(directory.join(format!("worker-{n}.conf")), worker(number, n)).expect("written");
        }
    }
    daemon.start();
    until("all are up", LONG, || daemon.n_in(Running) == N_SITES * (N_WORKERS + 1));
    daemon
}

/// The pid of everything, by name.
fn pids(daemon: &Daemon) -> BTreeMap<String, i32> {
    let status = daemon.ctl(&["status"]);
    let pid = |line: &str| {
        let (name, rest) = line.split_once(' ')?;
        let (_, pid) = rest.split_once("pid ")?;
        Some((name.to_string(), pid.split(',').next()?.parse().ok()?))
    };
    status.stdout.lines().filter_map(pid).collect()
}

fn write(daemon: &Daemon, file: &str, text: &str) {
    fs::write(daemon.path(file), text).expect("written");
}

const LEFT_OUT: &str = "left out of the configuration: ";

/// What `status` says on standard error, with `DIR` for the directory.
fn told(daemon: &Daemon) -> String {
    daemon.ctl(&["status"]).stderr.replace(&daemon.directory().display().to_string(), "DIR")
}

#[test]
fn a_broken_file_touches_nothing() {
    let daemon = start();
    let before = pids(&daemon);
    assert_eq!(before.len(), 100);
    assert_eq!(told(&daemon), "");

    write(
        &daemon,
        "sites/site-4.d/worker-2.conf",
        &worker(4, 2).replace("sleep", "sleep\nstartsecs=soon\n;"),
    );
    daemon.ctl(&["reread"]).expect(0);
    let line = format!(
        "{LEFT_OUT}DIR/sites/site-4.d/worker-2.conf:3: [program:worker-4-2] startsecs: invalid literal for int() with base \
         10: 'soon'\n"
    );
    assert_eq!(told(&daemon), line);
    let update = daemon.ctl(&["update"]).expect(0);
    assert_eq!(update.stdout, "");
    assert_eq!(pids(&daemon), before);
    let errors: Vec<_> = daemon.messages().into_iter().filter(|line| line.level == "ERRO").collect();
    let is_told = |text: &str| text.contains("worker-2.conf:3: [program:worker-4-2] startsecs");
    assert!(errors.last().is_some_and(|error| is_told(&error.text)), "{errors:?}");

    // Another manager knows it as well, and what is asked in other ways.
    daemon.replace_manager();
    assert_eq!(told(&daemon), line);
    assert_eq!(pids(&daemon), before);
    let why = daemon.ctl(&["why", "web-1"]).expect(0);
    assert!(why.stderr.contains(LEFT_OUT), "{why}");
    let check = daemon.ctl(&["update", "--plan"]).expect(0);
    assert!(check.stderr.contains(LEFT_OUT) && !check.stdout.contains("worker-4-2"), "{check}");

    // Other files count meanwhile.
    write(&daemon, "sites/site-5.d/worker-0.conf", &worker(5, 0).replace("1000", "2000"));
    write(&daemon, "sites/site-5.d/new.conf", "[program:new]\ncommand=sleep 1000\n");
    fs::remove_file(daemon.path("sites/site-6.d/worker-0.conf")).expect("removed");
    daemon.ctl(&["update"]).expect(0);
    daemon.wait_for_state("new", Running, LONG);
    daemon.wait_for_state("worker-5-0", Running, LONG);
    let after = pids(&daemon);
    let mut expected = before.clone();
    expected.remove("worker-6-0");
    expected.extend(["new", "worker-5-0"].map(|name| (name.to_string(), after[name])));
    assert_ne!(after["worker-5-0"], before["worker-5-0"]);
    assert_eq!(after, expected);

    // What is mended is as it was.
    write(&daemon, "sites/site-4.d/worker-2.conf", &worker(4, 2));
    let update = daemon.ctl(&["update"]).expect(0);
    assert_eq!((update.stdout.as_str(), update.stderr.as_str()), ("", ""));
    assert_eq!(told(&daemon), "");
    assert_eq!(pids(&daemon), after);
}

#[test]
fn a_broken_file_of_a_site_keeps_its_group() {
    let daemon = start();
    let before = pids(&daemon);
    assert!(before.contains_key("third:web-3") && before.contains_key("third:worker-3-0"), "{before:?}");
    for broken in [
        // Not of the dialect, not text, and a value that is wrong.
        site(3).replace("[include]", "oops\n[include]").into_bytes(),
        [site(3).as_bytes(), b"; \xff\n"].concat(),
        site(3).replace("[group:third]", "[group:third]\npriority=high").into_bytes(),
    ] {
        fs::write(daemon.path("sites/site-3.conf"), &broken).expect("written");
        let update = daemon.ctl(&["update"]).expect(0);
        assert_eq!(update.stdout, "", "{}", String::from_utf8_lossy(&broken));
        assert!(update.stderr.contains("sites/site-3.conf:"), "{update}");
        assert_eq!(pids(&daemon), before);
    }
    write(&daemon, "sites/site-3.conf", &site(3));
    assert_eq!(daemon.ctl(&["update"]).expect(0).stdout, "");
    assert_eq!((pids(&daemon), told(&daemon)), (before, String::new()));
}

#[test]
fn errors_of_the_main_file_are_errors() {
    let daemon = start();
    let before = pids(&daemon);
    daemon.write_conf(&MAIN.replace("startsecs=0", "startsecs=soon"));
    let update = daemon.ctl(&["update"]).expect(1);
    assert!(update.stdout.contains("invalid literal for int() with base 10: 'soon'"), "{update}");
    assert_eq!(pids(&daemon), before);
}

#[test]
fn a_reload_starts_what_was_left_out_as_it_was() {
    let daemon = start();
    write(&daemon, "sites/site-4.d/worker-2.conf", "[program:worker-4-2]\noops\n");
    let before = daemon.pid_of("worker-4-2");
    daemon.signal(Signal::SIGHUP);
    let started = "spawned: 'worker-4-2' with pid";
    until("it was started again", LONG, || daemon.log().matches(started).count() == 2);
    daemon.wait_answer();
    until("all are up", LONG, || daemon.n_in(Running) == 100);
    assert_ne!(daemon.pid_of("worker-4-2"), before);
    assert!(told(&daemon).contains("worker-2.conf:2: "), "{}", told(&daemon));
}

#[test]
fn a_daemon_starts_without_a_broken_file() {
    let mut daemon = Start::new(Side::Ours, MAIN).prepare();
    fs::create_dir_all(daemon.path("sites")).expect("created");
    write(&daemon, "sites/a.conf", "[program:a]\ncommand=sleep 1000\n");
    write(&daemon, "sites/b.conf", "[program:b]\ncommand=sleep 1000\nautostart=maybe\n");
    write(&daemon, "sites/c.conf", "[group:g]\nprograms=a,b\n");
    daemon.start();
    daemon.wait_for_state("g:a", Running, LONG);
    assert_eq!(
        told(&daemon),
        format!("{LEFT_OUT}DIR/sites/b.conf:3: [program:b] autostart: not a valid boolean value: 'maybe'\n")
    );
    daemon.wait_log("[group:g] names unknown program or fcgi-program b; the group does without it");
    write(&daemon, "sites/b.conf", "[program:b]\ncommand=sleep 1000\n");
    daemon.ctl(&["update"]).expect(0);
    daemon.wait_for_state("g:b", Running, LONG);
    assert_eq!(told(&daemon), "");
}

#[test]
fn a_daemon_that_comes_back_leaves_a_broken_file_alone() {
    let conf = "[supervisord]\nexitkillall=false\nstartkillall=false\nprocessinfomapfile=%(here)s/map\n[include]\n\
                files=sites\ninclude_errors=skip\n";
    let mut daemon = Start::new(Side::Ours, conf).prepare();
    fs::create_dir_all(daemon.path("sites")).expect("created");
    for name in ["a", "b"] {
        write(&daemon, &format!("sites/{name}.conf"), &format!("[program:{name}]\ncommand=sleep 1000\n"));
    }
    daemon.start();
    until("both are up", LONG, || daemon.n_in(Running) == 2);
    let before = pids(&daemon);
    daemon.ctl(&["shutdown"]).expect(0);
    assert_eq!(daemon.wait_exit(), 0);
    write(&daemon, "sites/b.conf", "[program:b]\ncommand=sleep 1000\noops\n");
    daemon.start();
    daemon.wait_log("RUNNING state");
    until("both are up", LONG, || daemon.n_in(Running) == 2);
    assert_eq!(pids(&daemon), before);
    assert!(told(&daemon).contains("sites/b.conf:3: "), "{}", told(&daemon));
    // Nothing has been put off until somebody asks.
    assert_eq!(daemon.ctl(&["update"]).expect(0).stdout, "");
    assert_eq!(pids(&daemon), before);
}
