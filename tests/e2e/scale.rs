//! Other numbers of processes, enabling and disabling, `autostart=last`, and the file in which all of it outlives the daemon.

use crate::start;
use crate::support::{Daemon, LONG, Run, Side, Start, flag, kill, member, text, until, wait_gone};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use supervisord::model::state::ProcessState::{self, Running, Stopped};

/// Where the file is, in a section that continues the prelude's.
const FILE: &str = "[supervisord]\nstate_file=%(here)s/state.json\n";

const WEB: &str = "[program:web]\ncommand=sleep 1000\nnumprocs=3\nprocess_name=web_%(process_num)d\nstartsecs=0\n\
                   stopwaitsecs=5\n[program:db]\ncommand=sleep 1000\nstartsecs=0\n";

/// The two streams together and the status of the client.
#[track_caller]
fn check(run: &Run, stdout: &str, status: i32) {
    assert_eq!((run.stdout.as_str(), run.code), (stdout, status), "{run:?}");
}

/// The states of all processes and their pids.
fn pids(daemon: &Daemon) -> BTreeMap<String, i32> {
    let rows = daemon.rows("supervisor.getAllProcessInfo");
    let row = |it: &dxr::Value| {
        let (group, name): (String, String) = (member(it, "group"), member(it, "name"));
        (format!("{group}:{name}"), member::<i32>(it, "pid"))
    };
    rows.iter().map(row).collect()
}

fn names(daemon: &Daemon) -> String {
    pids(daemon).into_keys().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn wait_states(daemon: &Daemon, wanted: &[(&str, ProcessState)]) {
    for (name, state) in wanted {
        daemon.wait_for_state(name, *state, LONG);
    }
}

/// Ends the daemon in order and starts it again.
#[track_caller]
fn reboot(daemon: &mut Daemon) {
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    daemon.start();
}

/// Lets the daemon begin anew with its configuration, and waits until it has.
#[track_caller]
fn reload(daemon: &Daemon) {
    let n_begun = || daemon.log().matches("supervisord started with pid").count();
    let before = n_begun();
    daemon.signal(Signal::SIGHUP);
    until("a new beginning", LONG, || n_begun() > before);
    daemon.wait_answer();
}

/// Kills keeper and programs without any warning, and starts the daemon again.
#[track_caller]
fn lose_power(daemon: &mut Daemon) {
    let mut all: Vec<i32> = daemon.programs().iter().map(|program| program.pid).collect();
    all.push(daemon.manager());
    kill(daemon.pid(), Signal::SIGKILL);
    daemon.wait_exit();
    wait_gone(&all, LONG);
    daemon.start();
}

fn state_file(daemon: &Daemon) -> serde_json::Value {
    serde_json::from_str(&daemon.read("state.json")).expect("the file is whole")
}

#[test]
fn a_scale_touches_the_difference_alone() {
    let daemon = start(WEB);
    let before = pids(&daemon);
    let run = daemon.ctl(&["scale", "web=5"]);
    check(&run, "web: scaled from 3 to 5\n", 0);
    assert!(run.stderr.contains("until the daemon ends; --save"), "{run:?}");
    assert_eq!(names(&daemon), "db:db web:web_0 web:web_1 web:web_2 web:web_3 web:web_4");
    wait_states(&daemon, &[("web:web_3", Running), ("web:web_4", Running)]);
    let grown = pids(&daemon);
    assert!(before.iter().all(|(name, pid)| grown[name] == *pid), "{before:?} {grown:?}");
    check(
        &daemon.ctl(&["scale"]),
        "db   1 process\nweb  5 processes, configured 3, until the daemon ends\n",
        0,
    );
    check(&daemon.ctl(&["scale", "web=-3", "db=0"]), "web: scaled from 5 to 2\ndb: scaled from 1 to 0\n", 0);
    let shrunk = pids(&daemon);
    assert_eq!(names(&daemon), "web:web_0 web:web_1");
    assert!(shrunk.iter().all(|(name, pid)| before[name] == *pid), "{before:?} {shrunk:?}");
    check(&daemon.ctl(&["scale", "web:web=+0", "db=+1"]), "web: 2 processes\ndb: scaled from 0 to 1\n", 0);
    wait_states(&daemon, &[("db", Running)]);
    // A reread and an update see the number, too, and nothing is different for them.
    check(&daemon.ctl(&["reread"]), "No config updates to processes\n", 0);
    check(&daemon.ctl(&["update"]), "", 0);
    check(&daemon.ctl(&["scale", "web"]), "web  2 processes, configured 3, until the daemon ends\n", 0);
    check(&daemon.ctl(&["scale", "web=3"]), "web: scaled from 2 to 3\n", 0);
    check(&daemon.ctl(&["scale", "web"]), "web  3 processes\n", 0);
}

#[test]
fn what_cannot_be_scaled_is_refused_as_a_whole() {
    let daemon = start(WEB);
    let before = pids(&daemon);
    for (arguments, expected) in [
        (&["web=5", "db=2"][..], "db can have one process at most"),
        (&["web=5", "nobody=2"], "no such program: nobody"),
        (&["web=5", "wbe=2"], "no such program: wbe"),
        (&["web=-4"], "web has 3 of 0 to 100000 processes"),
        (&["web=100001"], "so that cannot be"),
        (&["web=x"], "\"web=x\" is not NAME=NUMBER"),
        (&["web=1", "web=2"], "web is named twice"),
        (&["web=99999"], "there is room for"),
        (&["--save", "web=5"], "write state_file=PATH into [supervisord]"),
    ] {
        let run = daemon.ctl(&[&["scale"], arguments].concat());
        assert!(run.stdout.contains(expected) && run.code == 1, "{run:?}");
    }
    assert_eq!(pids(&daemon), before);
    check(&daemon.ctl(&["scale"]), "db   1 process\nweb  3 processes\n", 0);
    let hint = daemon.ctl(&["scale", "db=2"]).stdout;
    assert!(hint.contains("process_name=%(program_name)s_%(process_num)02d"), "{hint}");
}

#[test]
fn edits_that_were_not_taken_over_wait() {
    let daemon = start(WEB);
    let before = pids(&daemon);
    // What is edited meanwhile does not matter, though it is wrong.
    fs::write(daemon.conf(), "[program:web]\nnonsense").unwrap();
    daemon.call("supervisord.scale", vec![dxr::Value::Array(vec![text("web=4")])]);
    daemon.write_conf(&WEB.replace("command=sleep 1000", "command=sleep 2000"));
    check(&daemon.ctl(&["scale", "web=5"]), "web: scaled from 4 to 5\n", 0);
    let after = pids(&daemon);
    assert!(before.iter().all(|(name, pid)| after[name] == *pid), "{before:?} {after:?}");
    let command = |name: &str| crate::support::cmdline(after[name]);
    assert_eq!((command("web:web_0"), command("web:web_4")), ("sleep 1000".into(), "sleep 1000".into()));
    // The update takes them over, and the number stays.
    daemon.ctl(&["update"]).expect(0);
    assert_eq!(names(&daemon), "db:db web:web_0 web:web_1 web:web_2 web:web_3 web:web_4");
}

#[test]
fn members_listeners_and_fcgi_programs_are_scaled() {
    let daemon = start(
        "[program:a]\ncommand=sleep 1000\nprocess_name=a_%(process_num)d\nstartsecs=0\n[program:b]\ncommand=sleep 1000\n\
         startsecs=0\n[group:g]\nprograms=a,b\n\
         [eventlistener:ear]\ncommand=/bin/sh -c 'echo READY; read a; sleep 1000'\nevents=TICK_3600\n\
         process_name=ear_%(process_num)d\nstartsecs=0\n\
         [fcgi-program:f]\ncommand=sleep 1000\nsocket=unix://%(here)s/f.sock\nprocess_name=f_%(process_num)d\nstartsecs=0\n",
    );
    let before = pids(&daemon);
    daemon.ctl(&["scale", "g:a=2", "ear=3", "f=2"]).expect(0);
    let all = "ear:ear_0 ear:ear_1 ear:ear_2 f:f_0 f:f_1 g:a_0 g:a_1 g:b";
    assert_eq!(names(&daemon), all);
    wait_states(&daemon, &[("ear:ear_2", Running), ("f:f_1", Running), ("g:a_1", Running)]);
    daemon.ctl(&["scale", "a=1", "ear=1", "f=0"]).expect(0);
    assert_eq!(names(&daemon), "ear:ear_0 g:a_0 g:b");
    let after = pids(&daemon);
    assert!(after.iter().all(|(name, pid)| before[name] == *pid), "{before:?} {after:?}");
    daemon.ctl(&["scale", "f=1"]).expect(0);
    wait_states(&daemon, &[("f:f_0", Running)]);
}

#[test]
fn a_scale_outlives_the_manager_and_not_the_daemon_unless_it_is_saved() {
    let mut daemon = start(&format!("{FILE}{WEB}"));
    let run = daemon.ctl(&["scale", "--save", "web=4"]);
    check(&run, "web: scaled from 3 to 4\n", 0);
    assert_eq!(run.stderr, "");
    assert_eq!(state_file(&daemon)["numprocs"], serde_json::json!({"web": 4}));
    assert_eq!(fs::metadata(daemon.path("state.json")).unwrap().mode() & 0o777, 0o600);
    daemon.ctl(&["scale", "web=6", "db=0"]).expect(0);
    assert_eq!(state_file(&daemon)["numprocs"], serde_json::json!({"web": 4}));
    let before = pids(&daemon);
    daemon.replace_manager();
    assert_eq!(pids(&daemon), before);
    check(
        &daemon.ctl(&["scale"]),
        "db   0 processes, configured 1, until the daemon ends\nweb  6 processes, configured 3, until the daemon ends\n",
        0,
    );
    check(&daemon.ctl(&["reread"]), "No config updates to processes\n", 0);
    // A reload keeps both, the end of the daemon what was saved.
    reload(&daemon);
    reboot(&mut daemon);
    assert_eq!(names(&daemon), "db:db web:web_0 web:web_1 web:web_2 web:web_3");
    check(&daemon.ctl(&["scale", "--save", "web=3"]), "web: scaled from 4 to 3\n", 0);
    assert_eq!(state_file(&daemon)["numprocs"], serde_json::json!({}));
}

#[test]
fn without_a_file_a_scale_ends_with_the_daemon() {
    let mut daemon = start(WEB);
    daemon.ctl(&["scale", "web=1"]).expect(0);
    daemon.ctl(&["disable", "db"]).expect(0);
    daemon.replace_manager();
    assert_eq!(names(&daemon), "db:db web:web_0");
    reboot(&mut daemon);
    assert_eq!(names(&daemon), "db:db web:web_0 web:web_1 web:web_2");
    wait_states(&daemon, &[("db", Running)]);
}

#[test]
fn a_manager_that_is_killed_while_it_scales_is_replaced_by_one_that_goes_on() {
    let daemon = start(&format!(
        "{FILE}[program:web]\ncommand=/bin/sh -c 'trap \"while [ ! -e go ]; do sleep 0.02; done; exit 0\" TERM; echo >> trapped; \
         while :; do sleep 0.02; done'\ndirectory=%(here)s\nnumprocs=4\nprocess_name=web_%(process_num)d\nstartsecs=0\nstopwaitsecs=60\n"
    ));
    // Who has not executed its trap yet would end by TERM.
    until("all trap TERM", LONG, || daemon.read("trapped").lines().count() == 4 && daemon.n_in(Running) == 4);
    let before = pids(&daemon);
    let manager = daemon.manager();
    let client = daemon.address();
    let asking = std::thread::spawn(move || {
        let orders = dxr::Value::Array(vec![text("web=1")]);
        client.call("supervisord.scale", vec![orders, flag(true)])
    });
    wait_states(&daemon, &[("web:web_3", ProcessState::Stopping)]);
    assert_eq!(daemon.manager(), manager);
    daemon.replace_manager();
    fs::write(daemon.path("go"), "").unwrap();
    until("one is left", LONG, || names(&daemon) == "web:web_0");
    assert_eq!(pids(&daemon)["web:web_0"], before["web:web_0"]);
    let _ = asking.join();
    check(&daemon.ctl(&["scale"]), "web  1 process, configured 4, saved\n", 0);
    until("it is in the file", LONG, || {
        daemon.path("state.json").exists() && state_file(&daemon)["numprocs"] == serde_json::json!({"web": 1})
    });
}

#[test]
fn what_is_disabled_stays_down_and_can_be_started() {
    let conf = format!(
        "{FILE}{WEB}[program:front]\ncommand=sleep 1000\nstartsecs=0\nautostart=false\ndepends_on=db\n"
    );
    let mut daemon = start(&conf);
    check(&daemon.ctl(&["disable", "db", "web:web_1"]), "db: disabled\nweb:web_1: disabled\n", 0);
    wait_states(&daemon, &[("db", Running), ("web:web_1", Running)]);
    assert_eq!(state_file(&daemon)["autostart"], serde_json::json!({"db": false, "web:web_1": false}));
    assert!(daemon.ctl(&["status", "db"]).stdout.contains(", disabled\n"));
    assert!(daemon.ctl(&["why", "db"]).stdout.contains("\ndisabled: it does not start with the daemon"));
    assert!(daemon.ctl(&["status", "--json", "db"]).stdout.contains("\"disabled\": true"));
    // For an update it is what is in force.
    check(&daemon.ctl(&["reread"]), "No config updates to processes\n", 0);
    daemon.replace_manager();
    check(&daemon.ctl(&["reread"]), "No config updates to processes\n", 0);
    reload(&daemon);
    wait_states(&daemon, &[("db", Stopped), ("web:web_0", Running), ("web:web_1", Stopped)]);
    reboot(&mut daemon);
    wait_states(&daemon, &[("web:web_0", Running), ("web:web_2", Running)]);
    wait_states(&daemon, &[("db", Stopped), ("web:web_1", Stopped)]);
    // An edit of its section does not start it.
    daemon.write_conf(&conf.replace("numprocs=3", "numprocs=3\numask=1"));
    daemon.ctl(&["update"]).expect(0);
    wait_states(&daemon, &[("web:web_0", Running), ("web:web_1", Stopped)]);
    // What needs it starts it.
    daemon.ctl(&["start", "front"]).expect(0);
    wait_states(&daemon, &[("db", Running), ("front", Running)]);
    check(
        &daemon.ctl(&["disable", "--now", "db", "web*"]),
        "db: disabled\nweb: disabled\ndb: stopped\n  front depends on it and runs on\nweb:web_0: stopped\nweb:web_2: stopped\n",
        0,
    );
    assert_eq!(state_file(&daemon)["autostart"], serde_json::json!({"db": false, "web": false}));
    let run = daemon.ctl(&["enable", "--now", "all"]);
    assert!(run.stdout.starts_with("db: enabled\nfront: enabled\nweb: enabled\ndb: started\n"), "{run:?}");
    // What the files say anyway needs no entry.
    assert_eq!(state_file(&daemon)["autostart"], serde_json::json!({"front": true}));
    let run = daemon.ctl(&["disable", "dbb"]);
    assert!(run.stdout.contains("dbb: ERROR (no such process)") && run.code == 1, "{run:?}");
    assert!(run.stderr.contains("did you mean db?"), "{run:?}");
}

#[test]
fn autostart_last_starts_what_was_not_stopped_by_somebody() {
    let conf = format!(
        "{FILE}[program:a]\ncommand=sleep 1000\nautostart=last\nstartsecs=0\n\
         [program:b]\ncommand=sleep 1000\nautostart=last\nstartsecs=0\n\
         [program:c]\ncommand=sleep 1000\nstartsecs=0\n"
    );
    let mut daemon = start(&conf);
    wait_states(&daemon, &[("a", Running), ("b", Running), ("c", Running)]);
    assert!(!daemon.path("state.json").exists(), "nothing was said yet");
    daemon.ctl(&["stop", "b", "c"]).expect(0);
    until("it is written", LONG, || {
        daemon.path("state.json").exists()
            && state_file(&daemon)["wanted"] == serde_json::json!({"b:b": false})
    });
    reboot(&mut daemon);
    wait_states(&daemon, &[("a", Running), ("b", Stopped), ("c", Running)]);
    // A reload, an update and a kill of the manager make no difference.
    reload(&daemon);
    daemon.replace_manager();
    daemon.write_conf(&conf.replace("command=sleep 1000\nautostart", "command=sleep 2000\nautostart"));
    daemon.ctl(&["update"]).expect(0);
    wait_states(&daemon, &[("a", Running), ("b", Stopped), ("c", Running)]);
    lose_power(&mut daemon);
    wait_states(&daemon, &[("a", Running), ("b", Stopped), ("c", Running)]);
    // Whoever starts it wants it up, and a crash does not change that.
    daemon.ctl(&["start", "b"]).expect(0);
    daemon.ctl(&["stop", "a"]).expect(0);
    until("it is written", LONG, || state_file(&daemon)["wanted"] == serde_json::json!({"a:a": false}));
    lose_power(&mut daemon);
    wait_states(&daemon, &[("a", Stopped), ("b", Running), ("c", Running)]);
    // Enabling is a wish, too.
    daemon.ctl(&["enable", "a"]).expect(0);
    reboot(&mut daemon);
    wait_states(&daemon, &[("a", Running), ("b", Running)]);
}

#[test]
fn a_file_that_cannot_be_believed_is_told_and_does_no_harm() {
    let mut daemon = Start::new(Side::under_test(), &format!("{FILE}{WEB}")).prepare();
    let path = daemon.path("state.json");
    let all = "db:db web:web_0 web:web_1 web:web_2";
    let boot = |daemon: &mut Daemon, expected: &str, told: &str| {
        daemon.start();
        assert_eq!(names(daemon), expected);
        assert!(told.is_empty() || daemon.log().contains(told), "{}", daemon.log());
        let run = daemon.ctl(&["scale", "--save", "web=2"]);
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.wait_exit(), 0);
        run
    };
    // Torn.
    fs::write(&path, "{\"version\": 1, \"numpr").unwrap();
    boot(&mut daemon, all, "state.json cannot be understood (EOF").expect(0);
    assert_eq!(fs::read_to_string(daemon.path("state.json.bad")).unwrap(), "{\"version\": 1, \"numpr");
    assert_eq!(state_file(&daemon)["numprocs"], serde_json::json!({"web": 2}));
    // Newer.
    let newer = "{\"version\": 2, \"numprocs\": {\"web\": 1}}";
    fs::write(&path, newer).unwrap();
    let run = boot(&mut daemon, all, "a newer release has written it (version 2)");
    assert!(run.stdout.contains("the state_file is not used") && run.code == 1, "{run:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
    // With more in it than this release knows, and a program that is not there.
    fs::write(&path, "{\"version\": 1, \"numprocs\": {\"web\": 1, \"gone\": 7}, \"later\": [1]}").unwrap();
    boot(&mut daemon, "db:db web:web_0", "remembers what is not configured: gone; it is kept").expect(0);
    let kept = state_file(&daemon);
    assert_eq!((&kept["later"], &kept["numprocs"]["gone"]), (&serde_json::json!([1]), &serde_json::json!(7)));
    // Foreign.
    for (mode, told) in [(0o666, "others may write to it (mode 666)"), (0o600, "")] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let expected = if told.is_empty() { "db:db web:web_0 web:web_1" } else { all };
        boot(&mut daemon, expected, told);
    }
    fs::rename(&path, daemon.path("real")).unwrap();
    symlink("real", &path).unwrap();
    boot(&mut daemon, all, "it is a symbolic link");
    assert!(path.is_symlink());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    boot(&mut daemon, all, "it is not a file");
}

#[test]
fn a_file_that_cannot_be_written_is_told_to_whoever_changes_something() {
    let daemon = start(&format!("{FILE}{WEB}"));
    daemon.ctl(&["disable", "db"]).expect(0);
    // A directory in the place of the file cannot be replaced by one.
    fs::remove_file(daemon.path("state.json")).unwrap();
    fs::create_dir(daemon.path("state.json")).unwrap();
    let run = daemon.ctl(&["scale", "--save", "web=1"]);
    assert!(
        run.stdout.starts_with("web: scaled from 3 to 1\nERROR: it holds until the daemon ends"),
        "{run:?}"
    );
    assert_eq!(run.code, 1);
    daemon.wait_log("could not write state_file");
    assert_eq!(names(&daemon), "db:db web:web_0");
    fs::remove_dir(daemon.path("state.json")).unwrap();
    // The next attempt writes all of it.
    daemon.ctl(&["scale", "--save", "web=1"]).expect(0);
    let written = state_file(&daemon);
    assert_eq!(written["numprocs"], serde_json::json!({"web": 1}));
    assert_eq!(written["autostart"], serde_json::json!({"db": false}));
}

#[test]
fn an_upgrade_keeps_what_was_changed() {
    let daemon = start(WEB);
    daemon.ctl(&["scale", "web=1"]).expect(0);
    daemon.ctl(&["disable", "db"]).expect(0);
    let before = daemon.manager();
    daemon.call("supervisord.upgrade", vec![text("")]);
    daemon.manager_after(before);
    daemon.wait_answer();
    assert_eq!(names(&daemon), "db:db web:web_0");
    check(&daemon.ctl(&["scale", "web"]), "web  1 process, configured 3, until the daemon ends\n", 0);
    assert!(daemon.ctl(&["status", "db"]).stdout.contains("disabled"));
    check(&daemon.ctl(&["reread"]), "No config updates to processes\n", 0);
}

#[test]
fn a_daemon_that_goes_on_with_its_programs_knows_what_was_saved() {
    let mut daemon = start(&format!("{FILE}exitkillall=false\nstartkillall=false\n{WEB}"));
    daemon.ctl(&["scale", "--save", "web=4"]).expect(0);
    daemon.ctl(&["scale", "web=5"]).expect(0);
    daemon.ctl(&["disable", "db"]).expect(0);
    let before = pids(&daemon);
    daemon.signal(Signal::SIGTERM);
    daemon.wait_exit();
    daemon.start();
    // What held until the end of the daemon is over.
    until("the fifth is gone", LONG, || !pids(&daemon).contains_key("web:web_4"));
    let after = pids(&daemon);
    assert_eq!(names(&daemon), "db:db web:web_0 web:web_1 web:web_2 web:web_3");
    assert!(after.iter().all(|(name, pid)| before[name] == *pid), "{before:?} {after:?}");
    assert!(daemon.ctl(&["status", "db"]).stdout.contains("disabled"));
    check(&daemon.ctl(&["reread"]), "No config updates to processes\n", 0);
    daemon.ctl(&["stop", "all"]).expect(0);
}
