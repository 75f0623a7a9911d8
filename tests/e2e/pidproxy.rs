//! `pidproxy`: supervising a program that puts itself into the background.

use crate::start;
use crate::support::{Daemon, LONG, Side, running, text, until, until_some, wait_gone};
use nix::sys::signal::Signal;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use supervisord::model::state::ProcessState::{Running, Stopped};

/// Starts the real program beside itself, and waits for it so that its own end is that of the program.
const LAUNCHER: &str = "\
#!/bin/sh
cd $(dirname $0)
./real & echo $! > real.pid
while kill -0 $(cat real.pid); do sleep 0.05; done
";

/// Writes down what it is told.
const REAL: &str = "\
#!/bin/sh
trap 'echo USR1 >> told' USR1
trap 'echo HUP >> told' HUP
trap 'echo TERM >> told; exit 0' TERM
echo ready >> told
while :; do sleep 0.05; done
";

/// A daemon with a program `x` that is not started yet. `command` is what stands before the pidfile.
fn with_proxy(command: &str) -> Daemon {
    let daemon = start(&format!(
        "
[program:x]
command={command} %(here)s/real.pid %(here)s/launcher
autostart=false
startsecs=0
stopwaitsecs=3
stdout_logfile=%(here)s/x.log
"
    ));
    for (name, script) in [("launcher", LAUNCHER), ("real", REAL)] {
        let path = daemon.path(name);
        fs::write(&path, script).expect("the test's directory can be written");
        let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        fs::set_permissions(path, mode).expect("it was just made");
    }
    daemon
}

fn binary() -> PathBuf {
    PathBuf::from(Side::under_test().daemon().get_program())
}

/// Starts it and waits for the real program: its pid.
fn real_program(daemon: &Daemon) -> i32 {
    daemon.call("supervisor.startProcess", vec![text("x")]);
    until("the real program is ready", LONG, || daemon.read("told").contains("ready"));
    until_some("a pid", LONG, || daemon.read("real.pid").trim().parse().ok())
}

#[test]
fn signals_reach_the_process_in_the_pidfile() {
    let daemon = with_proxy(&format!("{} pidproxy", binary().display()));
    let real = real_program(&daemon);
    for name in ["USR1", "HUP"] {
        daemon.call("supervisor.signalProcess", vec![text("x"), text(name)]);
        until("it was told", LONG, || daemon.read("told").contains(name));
    }
    assert_eq!(daemon.state_of("x"), Running);
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    assert!(daemon.log().contains("INFO stopped: x (exit status 0)"), "{}", daemon.log());
    wait_gone(&[real], LONG);
    assert!(daemon.read("told").ends_with("TERM\n"));
}

/// Its name says what it is to be, too.
#[test]
fn under_its_own_name_it_ends_with_its_command() {
    let daemon = with_proxy("%(here)s/pidproxy");
    std::os::unix::fs::symlink(binary(), daemon.path("pidproxy"))
        .expect("the test's directory can be written");
    let real = real_program(&daemon);
    crate::support::kill(real, Signal::SIGKILL);
    daemon.wait_log("exited: x (exit status 0; expected)");
}

/// As in the Go versions.
#[test]
fn it_can_end_with_the_process_instead_of_its_command() {
    let daemon = with_proxy(&format!("{} pidproxy -exit-daemon-stop", binary().display()));
    // The command ends at once and leaves the real program behind.
    let launcher =
        LAUNCHER.replace("while kill -0 $(cat real.pid); do sleep 0.05; done", "echo gone > launched");
    fs::write(daemon.path("launcher"), launcher).expect("it is there");
    let real = real_program(&daemon);
    until("the command has ended", LONG, || daemon.read("launched") == "gone\n");
    daemon.call("supervisor.signalProcess", vec![text("x"), text("HUP")]);
    until("it was told", LONG, || daemon.read("told").contains("HUP"));
    assert_eq!(daemon.state_of("x"), Running);
    crate::support::kill(real, Signal::SIGKILL);
    daemon.wait_log("exited: x (exit status 1; not expected)");
}

/// The end of the proxy would only hide that the program goes on.
#[test]
fn without_a_pid_it_stays_until_it_is_killed() {
    let daemon = with_proxy(&format!("{} pidproxy", binary().display()));
    let real = real_program(&daemon);
    // To the kernel this means everybody.
    fs::write(daemon.path("real.pid"), "-1\n").expect("it is there");
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    assert_eq!(daemon.state_of("x"), Stopped);
    assert!(daemon.log().contains("stopped: x (terminated by SIGKILL)"), "{}", daemon.log());
    assert!(daemon.read("x.log").contains("it holds \"-1\\n\" and not a pid"), "{}", daemon.read("x.log"));
    assert!(running(real));
    crate::support::kill(real, Signal::SIGKILL);
    wait_gone(&[real], LONG);
}

#[test]
fn without_a_command_it_says_how_it_is_used() {
    for words in [vec!["pidproxy"], vec!["pidproxy", "pidfile"]] {
        let output =
            Command::new(binary()).args(&words).stdin(Stdio::null()).output().expect("it can be run");
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("Usage: "), "{output:?}");
    }
}
