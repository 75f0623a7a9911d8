//! The daemon is not its programs' to read: who may look at it.

use crate::support::{Daemon, LONG, Side, Start, kill, text, until, until_some, wait_gone};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use supervisord::model::state::ProcessState::Running;

/// A user of the machine whom nobody else is at the moment of these tests.
const NOBODY: u32 = 65534;

const SECRET: &str = "only-root-knows-it";
/// What finds it and does not contain it.
const PATTERN: &str = "only-roo[t]-knows-it";

/// Who may look at a process: the owner of what the kernel tells of it.
fn belongs_to(pid: i32) -> u32 {
    fs::metadata(format!("/proc/{pid}/environ")).map_or(u32::MAX, |facts| facts.uid())
}

/// Whether a process of the daemon's user gets anything out of another one.
fn is_readable_by_nobody(pid: i32) -> bool {
    let script = format!("cat /proc/{pid}/environ || ls /proc/{pid}/fd/ || head -c 1 /proc/{pid}/maps");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", &script]);
    command.output().expect("setpriv can be run").status.success()
}

fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root can start a daemon that drops privileges");
    }
    is_root
}

/// A daemon that root starts and that becomes nobody, with a configuration that only root can read.
fn dropped(conf: &str) -> Daemon {
    let conf = format!(
        "[supervisord]\nuser=nobody\n
[program:other]
command=cat
autostart=false
environment=PASSWORD=\"{SECRET}\"
[program:looker]
command=/bin/sh -c 'while :; do grep -aq {PATTERN} /proc/$PPID/fd/* /proc/$PPID/environ && echo found; echo looked; read line; done'
startsecs=0
stdout_logfile=%(here)s/looker.log
{conf}"
    );
    let mut daemon = Start::new(Side::under_test(), &conf).prepare();
    fs::set_permissions(daemon.conf(), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    nix::unistd::chown(daemon.directory(), Some(NOBODY.into()), Some(NOBODY.into())).unwrap();
    daemon.spawn();
    daemon.wait_ready();
    daemon.wait_for_state("looker", Running, LONG);
    daemon
}

#[track_caller]
fn assert_closed(daemon: &Daemon) {
    let manager = until_some("a manager", LONG, || daemon.manager());
    for pid in [daemon.keeper(), manager] {
        assert_eq!(belongs_to(pid), 0, "{pid} can be read by its user");
        assert!(!is_readable_by_nobody(pid));
    }
}

#[test]
fn a_daemon_that_gave_up_root_is_closed_to_its_programs_whoever_manages() {
    if !is_root() {
        return;
    }
    let daemon = dropped("");
    assert_closed(&daemon);
    let program = daemon.pid_of("looker");
    assert_eq!(belongs_to(program), NOBODY, "programs are as open as ever");

    // Neither a kill nor an abort, which nobody may send, too, leads to a manager that is open.
    for (number, signal) in (2..).zip([Signal::SIGKILL, Signal::SIGABRT, Signal::SIGABRT, Signal::SIGABRT]) {
        let manager = until_some("a manager", LONG, || daemon.manager());
        kill(manager, signal);
        wait_gone(&[manager], LONG);
        daemon.wait_log(&format!("the manager was replaced (start {number})"));
        assert_closed(&daemon);
    }
    assert_eq!(daemon.pid_of("looker"), program);

    // What is sent to the program, and what it prints, passes.
    daemon.call("supervisor.sendProcessStdin", vec![text("looker"), text("again\n")]);
    until("it has looked twice", LONG, || daemon.read("looker.log").matches("looked").count() == 2);
    assert!(!daemon.read("looker.log").contains("found"), "{}", daemon.read("looker.log"));
}

/// The keeper executes a binary in place then.
#[test]
fn it_stays_closed_when_it_is_resumed_or_upgraded() {
    if !is_root() {
        return;
    }
    let mut daemon =
        dropped("[supervisord]\nexitkillall=false\nstartkillall=false\nprocessinfomapfile=%(here)s/map\n");
    let keeper = daemon.pid();
    assert_closed(&daemon);
    assert_eq!(belongs_to(daemon.started_pid()), 0, "nor can who stands in for the keeper be read");
    assert_ne!(daemon.started_pid(), keeper);
    daemon.ctl(&["shutdown"]).expect(0);
    daemon.wait_exit();
    assert_eq!(belongs_to(keeper), 0);

    daemon.spawn();
    daemon.wait_ready();
    assert_eq!(daemon.pid(), keeper);
    assert_closed(&daemon);

    daemon.ctl(&["upgrade"]);
    daemon.wait_log("the manager was replaced");
    assert_closed(&daemon);
}

#[test]
fn a_daemon_of_an_ordinary_user_stays_open_to_that_user() {
    if !is_root() {
        return;
    }
    let mut daemon = Start::new(Side::under_test(), "")
        .under(&[
            "/bin/sh",
            "-ec",
            "cp \"$1\" supervisord; shift; chown 65534 .
             exec setpriv --reuid=65534 --regid=65534 --clear-groups ./supervisord \"$@\"",
            "sh",
        ])
        .prepare();
    daemon.spawn();
    daemon.wait_ready();
    let manager = until_some("a manager", LONG, || daemon.manager());
    for pid in [daemon.keeper(), manager] {
        assert_eq!(belongs_to(pid), NOBODY);
        assert!(is_readable_by_nobody(pid));
    }
}
