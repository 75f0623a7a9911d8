//! The daemon is not its programs' to read or to break: who may look at it, and what becomes of it when somebody writes
//! to its shared memory.

use crate::start;
use crate::support::{
    Daemon, LONG, SLEEPER, Side, Start, has_root, kill, parent, running, text, until, wait_gone,
};
use nix::sys::signal::Signal;
use std::fs::{self, File, OpenOptions};
use std::mem::offset_of;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;
use supervisord::model::state::ProcessState::Running;
use supervisord::shm::layout::{KeeperMemory, ManagerMemory};

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
    has_root("only root can start a daemon that drops privileges")
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
    daemon.start();
    daemon.wait_for_state("looker", Running, LONG);
    daemon
}

#[track_caller]
fn assert_closed(daemon: &Daemon) {
    let manager = daemon.manager();
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
        let manager = daemon.manager();
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

    daemon.start();
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
    daemon.start();
    let manager = daemon.manager();
    for pid in [daemon.keeper(), manager] {
        assert_eq!(belongs_to(pid), NOBODY);
        assert!(is_readable_by_nobody(pid));
    }
}

/// A daemon that replaces no manager because it hangs.
fn unwatched() -> Daemon {
    let daemon = start(&format!("[supervisord]\nmanager_watchdog_secs=0\n{SLEEPER}"));
    daemon.wait_for_state("sleeper", Running, LONG);
    daemon
}

/// Two memories that the keeper shares with managers, to be written to by somebody else.
struct Memories {
    keeper: File,
    manager: File,
}

fn memories(daemon: &Daemon) -> Memories {
    let pid = daemon.keeper();
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).expect("it is ours to look at");
    let mut found = [None, None];
    for path in descriptors.flatten().map(|entry| entry.path()) {
        let target = fs::read_link(&path).unwrap_or_default().to_string_lossy().into_owned();
        for (name, place) in ["keeper", "manager"].into_iter().zip(&mut found) {
            if target.starts_with(&format!("/memfd:supervisord-{name}")) {
                *place = OpenOptions::new().read(true).write(true).open(&path).ok();
            }
        }
    }
    let [keeper, manager] = found.map(|file| file.expect("the keeper has it open"));
    Memories { keeper, manager }
}

impl Memories {
    fn head(&self) -> u64 {
        let mut bytes = [0; 8];
        self.keeper.read_exact_at(&mut bytes, offset_of!(KeeperMemory, head) as u64).expect("it is there");
        u64::from_ne_bytes(bytes)
    }

    fn set_tail(&self, tail: u64) {
        let at = offset_of!(ManagerMemory, tail) as u64;
        self.manager.write_all_at(&tail.to_ne_bytes(), at).expect("it can be written to");
    }
}

#[test]
fn nobody_cuts_the_shared_memory_off() {
    let daemon = unwatched();
    let program = daemon.pid_of("sleeper");
    let memories = memories(&daemon);
    for file in [&memories.keeper, &memories.manager] {
        let length = file.metadata().expect("it is open").len();
        assert!(file.set_len(0).is_err() && file.set_len(length - 1).is_err());
    }
    // How it was started, and what is in force, cannot be changed at all.
    let descriptors = fs::read_dir(format!("/proc/{}/fd", daemon.keeper())).expect("it is ours to look at");
    for path in descriptors.flatten().map(|entry| entry.path()) {
        let target = fs::read_link(&path).unwrap_or_default().to_string_lossy().into_owned();
        if ["boot", "snapshot", "files"]
            .iter()
            .any(|name| target.starts_with(&format!("/memfd:supervisord-{name}")))
        {
            let file = OpenOptions::new().write(true).open(&path).expect("it is ours");
            assert!(file.set_len(0).is_err() && file.write_all_at(b"x", 0).is_err(), "{target}");
        }
    }
    daemon.replace_manager();
    assert_eq!(daemon.pid_of("sleeper"), program);
}

/// Stops the manager, lets the program end unseen, writes a tail, and kills the manager.
fn end_behind_a_tail(tail: impl FnOnce(&Memories) -> u64) -> Daemon {
    let daemon = unwatched();
    let program = daemon.pid_of("sleeper");
    let memories = memories(&daemon);
    let manager = daemon.manager();
    kill(manager, Signal::SIGSTOP);
    let head = memories.head();
    kill(program, Signal::SIGTERM);
    until("the keeper has written its end down", LONG, || {
        memories.head() > head && parent(program).is_none()
    });
    memories.set_tail(tail(&memories));
    kill(manager, Signal::SIGKILL);
    daemon.wait_log("the manager was replaced (start 2)");
    until("it runs again", LONG, || ![0, program].contains(&daemon.pid_of("sleeper")));
    daemon
}

#[test]
fn an_end_behind_a_tail_that_cannot_be_is_found_in_the_ledger() {
    let mut daemon = end_behind_a_tail(|_| u64::MAX / 2);
    assert_eq!(daemon.log().matches("exited: sleeper (terminated by SIGTERM; not expected)").count(), 1);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert!(daemon.alive().is_empty());
}

#[test]
fn an_end_that_somebody_has_passed_over_is_found_by_looking() {
    let mut daemon = end_behind_a_tail(Memories::head);
    assert_eq!(daemon.log().matches("exited: sleeper (").count(), 1);
    assert!(daemon.log().contains("exited: sleeper (exit status unknown"), "{}", daemon.log());
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn a_manager_does_not_mind_who_writes_over_its_tail() {
    let mut daemon = unwatched();
    for tail in [u64::MAX, u64::MAX / 2, 0] {
        let program = daemon.pid_of("sleeper");
        memories(&daemon).set_tail(tail);
        kill(program, Signal::SIGTERM);
        until("it runs again", LONG, || ![0, program].contains(&daemon.pid_of("sleeper")));
    }
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn a_third_request_ends_a_daemon_whose_manager_does_not_react() {
    let mut daemon = unwatched();
    let program = daemon.pid_of("sleeper");
    let manager = daemon.manager();
    kill(manager, Signal::SIGSTOP);
    let memories = memories(&daemon);
    for _ in 0..3 {
        let head = memories.head();
        daemon.signal(Signal::SIGTERM);
        until("the keeper has heard it", LONG, || memories.head() > head);
        assert!(running(program));
    }
    // It cannot be the manager's doing that this is believed.
    memories.set_tail(u64::MAX / 2);
    assert_eq!(daemon.wait_exit(), 0);
    assert!(daemon.alive().is_empty());
    assert!(daemon.read("stderr").contains("the manager does not react"), "{}", daemon.read("stderr"));
    assert!(!daemon.path("supervisord.pid").exists() && !daemon.path("supervisord.pid.lock").exists());
}
