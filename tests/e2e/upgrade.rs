//! Another binary takes over while every program runs on.

use crate::start;
use crate::support::{COUNTER, Client, Daemon, LONG, assert_unbroken, flag, kill, post, text, until};
use dxr::{MethodCall, TryFromValue};
use nix::sys::signal::Signal;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use supervisord::model::state::ProcessState::Running;

fn counting() -> Daemon {
    let daemon = start(COUNTER);
    daemon.wait_for_state("counter", Running, LONG);
    daemon
}

/// A script in the daemon's directory that somebody could mistake for a new version.
fn impostor(daemon: &Daemon, text: &str) -> PathBuf {
    let path = daemon.path("impostor");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_copy_takes_over_and_no_program_notices() {
    let daemon = counting();
    let copy = daemon.path("copy");
    std::fs::copy(env!("CARGO_BIN_EXE_supervisord"), &copy).unwrap();
    let (keeper, manager, program) = (daemon.pid(), daemon.manager_now(), daemon.pid_of("counter"));

    let upgrade = daemon.ctl(&["upgrade", "--binary", copy.to_str().unwrap()]).expect(0);
    assert!(upgrade.stdout.contains("passed its check and takes over"), "{upgrade}");
    assert!(upgrade.stdout.contains("on trial"), "{upgrade}");

    let successor = daemon.manager();
    assert_ne!(Some(successor), manager);
    assert_eq!((daemon.pid(), daemon.pid_of("counter")), (keeper, program));
    assert_eq!(std::fs::read_link(format!("/proc/{successor}/exe")).unwrap(), copy);
    assert_unbroken(&daemon.read("counter.log"));
    let second = daemon.ctl(&["upgrade"]).expect(1);
    assert!(second.stdout.contains("another upgrade is under way"), "{second}");
}

#[test]
fn no_call_fails_while_another_binary_takes_over() {
    let daemon = counting();
    let before = daemon.manager();
    daemon.signal(Signal::SIGUSR1);
    until("another manager answers", LONG, || {
        // Every call on a connection of its own; one that is refused or broken off panics.
        daemon.call("supervisor.getState", vec![]);
        daemon.manager_now().is_some_and(|manager| manager != before)
    });
    daemon.wait_log("received SIGUSR1 indicating upgrade request");
    assert_unbroken(&daemon.read("counter.log"));
}

#[test]
fn what_cannot_take_over_is_refused_and_nothing_changes() {
    let daemon = counting();
    let manager = daemon.manager_now();
    for (text, why) in [
        ("#!/bin/sh\nexit 3\n", "was refused: it ended without a word (exit status 3)"),
        ("#!/bin/sh\nkill -SEGV $$\n", "was refused: it ended without a word (terminated by SIGSEGV"),
        ("this is not a program\n", "was refused: it ended without a word (exit status 127)"),
        // It never answers, and is given up after five seconds.
        ("#!/bin/sh\nexec sleep 1000\n", "did not answer in time"),
    ] {
        let path = impostor(&daemon, text);
        let upgrade = daemon.ctl(&["upgrade", "--binary", path.to_str().unwrap()]).expect(1);
        assert!(upgrade.stdout.contains(why), "{upgrade}");
    }
    let missing = daemon.ctl(&["upgrade", "--binary", "/nonexistent"]).expect(1);
    assert!(missing.stdout.contains("No such file or directory"), "{missing}");
    assert_eq!(daemon.manager_now(), manager);
    assert_unbroken(&daemon.read("counter.log"));
}

/// Whoever asked for the upgrade may be gone when the candidate has passed.
#[test]
fn an_upgrade_goes_on_although_the_manager_is_killed_meanwhile() {
    let daemon = counting();
    let (manager, program) = (daemon.manager(), daemon.pid_of("counter"));
    let (may_pass, real) = (daemon.path("may pass"), env!("CARGO_BIN_EXE_supervisord"));
    let slow = impostor(
        &daemon,
        &format!(
            "#!/bin/bash\nwhile [ -n \"$SUPERVISORD_CHECK\" -a ! -e '{}' ]; do sleep 0.02; done\n\
             exec -a 'supervisord: manager' {real}\n",
            may_pass.display()
        ),
    );
    std::thread::scope(|scope| {
        // Its connection breaks.
        scope.spawn(|| daemon.ctl(&["upgrade", "--binary", slow.to_str().unwrap()]));
        daemon.wait_log("impostor was asked for, checking it");
        kill(manager, Signal::SIGKILL);
        daemon.manager_after(manager);
        std::fs::write(&may_pass, "").unwrap();
    });
    daemon.wait_log("impostor passed its check and takes over");
    until("the candidate is in office", LONG, || daemon.ctl(&["keeper"]).stdout.contains("on trial"));
    assert_eq!(daemon.pid_of("counter"), program);
    assert_unbroken(&daemon.read("counter.log"));
}

#[test]
fn whoever_asked_for_it_asks_the_successor_how_it_went() {
    let daemon = counting();
    let binary = env!("CARGO_BIN_EXE_supervisord").to_string();
    let call = MethodCall { name: "supervisord.upgrade".into(), params: vec![dxr::Value::String(binary)] };
    let mut connection = Client::open(&daemon.address()).unwrap();
    connection.send(post(&call.to_xml().unwrap()));
    let reply = connection.response().unwrap();
    assert!(reply.text().contains("passed its check and takes over"), "{}", reply.text());
    assert_eq!(reply.header("connection"), Some("close"), "{}", reply.head);
    let state = daemon.call("supervisord.getUpgradeState", vec![]);
    let state = String::try_from_value(&state).unwrap();
    assert!(state.contains("on trial"), "{state}");
}

/// Something that passes the check and then does not do the work.
fn unfit(daemon: &Daemon, office: &str) -> PathBuf {
    let real = env!("CARGO_BIN_EXE_supervisord");
    impostor(
        daemon,
        &format!(
            "#!/bin/bash\n[ -n \"$SUPERVISORD_CHECK\" ] && exec -a 'supervisord: manager' {real}\n{office}\n"
        ),
    )
}

#[test]
fn one_that_fails_in_office_is_rolled_back() {
    let daemon = counting();
    let program = daemon.pid_of("counter");
    for (office, why) in [
        ("exit 9", "it ended without a word (exit status 9)"),
        ("kill -ABRT $$", "it ended without a word (terminated by SIGABRT"),
        // It has five seconds to come up.
        ("exec sleep 1000", "it did not answer in time"),
    ] {
        let path = unfit(&daemon, office);
        daemon.ctl(&["upgrade", "--binary", path.to_str().unwrap()]).expect(1);
        let keeper = daemon.ctl(&["keeper"]).expect(0);
        assert!(keeper.stdout.contains(&format!("runs again; the candidate failed: {why}")), "{keeper}");
        assert_eq!(daemon.pid_of("counter"), program);
        daemon.wait_log(&format!("runs again; the candidate failed: {why}"));
    }
    // It is said once.
    let manager = daemon.manager();
    kill(manager, Signal::SIGKILL);
    until("another manager", LONG, || daemon.log().matches("the manager was replaced").count() == 4);
    daemon.call("supervisor.stopProcess", vec![text("counter"), flag(true)]);
    assert_eq!(daemon.log().matches("runs again; the candidate failed").count(), 3);
    assert_unbroken(&daemon.read("counter.log"));
}
