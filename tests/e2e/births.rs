//! Programs whose users, or whose file systems, hold up their creation: nobody else notices, and they are given up.

use crate::start;
use crate::support::{Daemon, LONG, flag, has_root, kill, running, text, until, until_some, wait_gone};
use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use supervisord::model::state::ProcessState::{Backoff, Running, Starting, Stopped};

/// In no list of users.
const USER: u32 = 54321;

/// Whether this test can be somebody else; says why if not.
fn is_root() -> bool {
    has_root("takes root, to run programs as another user")
}

/// Something in the background that says in a line when it has begun, and ends with its standard input.
struct Helper(Child);

impl Helper {
    fn start(daemon: &Daemon, command: &mut Command) -> Option<Helper> {
        daemon.adopt(command);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut helper = Helper(command.spawn().expect("it can be started"));
        let mut line = String::new();
        let output = helper.0.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("it can be read");
        (line == "ready\n").then_some(helper)
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file of the user's which nobody can open, and so not execute, as long as this lives: somebody has a lease on it
/// (fcntl(2)), as its owner may, and does not give it up. The kernel takes it away after 45 seconds.
fn lease(daemon: &Daemon, file: &Path) -> Helper {
    const HOLD: &str = "
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
fcntl.fcntl(os.open(sys.argv[1], os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('ready', flush=True)
sys.stdin.read()
";
    let mut command = Command::new("python3");
    Helper::start(daemon, command.args(["-c", HOLD]).arg(file)).expect("a lease on an own file")
}

fn as_user(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &USER.to_string(), "--regid", &USER.to_string(), "--clear-groups", program]);
    command
}

/// A daemon with a program of the user's whose file can be leased, and one that is of no concern to it.
fn with_leasable() -> (Daemon, PathBuf) {
    let daemon = start(
        "[supervisord]
manager_watchdog_secs=3
[program:slow]
command=%(here)s/slow
user=54321
autostart=false
startsecs=0
startretries=100
[program:other]
command=sleep 1000
startsecs=0
",
    );
    let file = daemon.path("slow");
    std::fs::write(&file, "#!/bin/sh\necho \"$$ $(id -u)\" >> slow.ran\nexec sleep 1000\n").expect("written");
    let everybody = |path: &Path| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o1777)).expect("ours");
    };
    everybody(daemon.directory());
    everybody(&file);
    std::os::unix::fs::chown(&file, Some(USER), Some(USER)).expect("we are root");
    daemon.wait_for_state("other", Running, LONG);
    (daemon, file)
}

/// Starts the program, and returns its pid before it is executed.
fn start_slow(daemon: &Daemon) -> i32 {
    daemon.call("supervisor.startProcess", vec![text("slow"), flag(false)]);
    newborn(daemon)
}

/// A daemon, what holds the execution of its program up, and the program's pid. `None` without root.
fn held_up() -> Option<(Daemon, Helper, i32)> {
    if !is_root() {
        return None;
    }
    let (daemon, file) = with_leasable();
    let held = lease(&daemon, &file);
    let pid = start_slow(&daemon);
    Some((daemon, held, pid))
}

/// The process that is to become the program: another one beside the manager that bears its name.
fn newborn(daemon: &Daemon) -> i32 {
    until_some("a child that does not run its program yet", LONG, || {
        let below = crate::support::descendants(daemon.keeper());
        let manager = daemon.manager_now()?;
        below.into_iter().find(|process| is_newborn(process.pid) && process.pid != manager).map(|it| it.pid)
    })
}

/// Whether a process has not executed anything since it was created (`PF_FORKNOEXEC`).
fn is_newborn(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let flags = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(6)?.parse::<u64>().ok());
    let is_user = std::fs::read_to_string(format!("/proc/{pid}/status"))
        .is_ok_and(|status| status.contains(&format!("Uid:\t{USER}\t")));
    is_user && flags.is_some_and(|flags| flags & 0x40 != 0)
}

/// What everybody else's programs and clients have while the process `held` waits to become its program.
#[track_caller]
fn check_nobody_waits(daemon: &Daemon, held: i32) {
    let manager = daemon.manager_now();
    let other = daemon.pid_of("other");
    kill(other, Signal::SIGKILL);
    until("the other program runs again", LONG, || ![0, other].contains(&daemon.pid_of("other")));
    assert_eq!(daemon.state_of("slow"), Starting);
    assert!(is_newborn(held), "a restart came only when the other program had been waited for");
    assert_eq!(daemon.manager_now(), manager, "the manager is the same");
}

fn description(daemon: &Daemon) -> String {
    crate::support::member(&daemon.info("slow"), "description")
}

#[test]
fn a_program_whose_execution_hangs_holds_up_nobody_and_is_given_up() {
    let Some((daemon, held, pid)) = held_up() else { return };
    assert_eq!(daemon.state_of("slow"), Starting);
    check_nobody_waits(&daemon, pid);
    until("it is said what it waits for", LONG, || description(&daemon).contains("executing"));
    let why = daemon.ctl(&["why", "slow"]).stdout;
    assert!(why.contains("its program does not run yet: executing ") && why.contains("as 54321"), "{why}");

    // Both at once: at the next try the reason is gone. If that has come already, the one after it tells the same.
    let given_up: String = until_some("it is given up", LONG * 2, || {
        let info = daemon.info("slow");
        let statename: String = crate::support::member(&info, "statename");
        (statename == "BACKOFF").then(|| crate::support::member(&info, "spawnerr"))
    });
    assert!(given_up.starts_with("gave up after 10 seconds of executing "), "{given_up}");
    wait_gone(&[pid], LONG);
    assert!(daemon.log().contains("killing it with SIGKILL"));

    held.end();
    daemon.wait_for_state("slow", Running, LONG);
    until("it has run", LONG, || daemon.read("slow.ran").lines().count() == 1);
    assert!(daemon.read("slow.ran").ends_with(" 54321\n"), "{}", daemon.read("slow.ran"));
    assert!(!daemon.log().contains("the former manager did not react"));
}

#[test]
fn a_stop_of_a_program_that_is_being_created_works_at_once() {
    let Some((daemon, held, pid)) = held_up() else { return };
    // It is in the hands of its user by now, who may do this, too.
    let stopped = as_user("kill").args(["-STOP", &pid.to_string()]).status();
    assert!(stopped.is_ok_and(|status| status.success()));
    check_nobody_waits(&daemon, pid);
    daemon.call("supervisor.stopProcess", vec![text("slow")]);
    assert_eq!(daemon.state_of("slow"), Stopped);
    // Neither its time to stop nor its time to begin was over.
    let log = daemon.log();
    assert!(!log.contains("killing 'slow'") && !log.contains("gave up after"), "{log}");
    wait_gone(&[pid], LONG);
    held.end();

    // The next one is another one, and runs once.
    daemon.ctl(&["start", "slow"]).expect(0);
    until("it has run", LONG, || daemon.read("slow.ran").lines().count() == 1);
    assert_eq!(daemon.read("slow.ran"), format!("{} 54321\n", daemon.pid_of("slow")));
}

#[test]
fn a_manager_that_takes_over_sees_who_does_not_run_yet() {
    let Some((daemon, held, pid)) = held_up() else { return };
    let manager = daemon.manager();
    kill(manager, Signal::SIGKILL);
    daemon.wait_log("the manager was replaced");
    assert_eq!(daemon.state_of("slow"), Starting);
    assert!(running(pid) && is_newborn(pid), "it was left alone");
    // One that dies in the middle of that leaves it to the next one.
    let manager = daemon.manager_after(manager);
    kill(manager, Signal::SIGKILL);
    held.end();
    daemon.wait_for_state("slow", Running, LONG);
    assert_eq!(daemon.pid_of("slow"), pid);
    until("it has run", LONG, || !daemon.read("slow.ran").is_empty());
    assert_eq!(daemon.read("slow.ran"), format!("{pid} 54321\n"), "once, and as the one it was");
    kill(pid, Signal::SIGKILL);
    until("its successor runs", LONG, || daemon.read("slow.ran").lines().count() == 2);
}

#[test]
fn a_manager_that_takes_over_gives_up_who_never_runs() {
    let Some((daemon, _held, pid)) = held_up() else { return };
    assert!(as_user("kill").args(["-STOP", &pid.to_string()]).status().is_ok_and(|it| it.success()));
    kill(daemon.manager(), Signal::SIGKILL);
    daemon.wait_for_state("slow", Backoff, LONG * 2);
    wait_gone(&[pid], LONG);
}

/// Its manager ends by itself, with a thread that stands still in it.
#[test]
fn another_version_takes_over_who_does_not_run_yet() {
    let Some((daemon, held, pid)) = held_up() else { return };
    let manager = daemon.manager();
    daemon.ctl(&["upgrade"]).expect(0);
    daemon.manager_after(manager);
    assert_eq!(daemon.state_of("slow"), Starting);
    held.end();
    daemon.wait_for_state("slow", Running, LONG);
    until("it has run", LONG, || !daemon.read("slow.ran").is_empty());
    assert_eq!(daemon.read("slow.ran"), format!("{pid} 54321\n"));
}

#[test]
fn many_programs_at_once_do_not_wait_for_those_that_hang() {
    if !is_root() {
        return;
    }
    let (daemon, file) = with_leasable();
    let _held = lease(&daemon, &file);
    daemon.write_conf(
        "[program:slow]
command=%(here)s/slow
user=54321
startsecs=0
process_name=slow_%(process_num)d
numprocs=6
[program:quick]
command=sleep 1000
startsecs=0
process_name=quick_%(process_num)d
numprocs=6
",
    );
    daemon.ctl(&["update"]).expect(0);
    daemon.wait_for_state("quick:quick_5", Running, LONG);
    assert!(!daemon.log().contains("gave up after"), "they ran when one of the others was given up");
    assert_eq!(daemon.state_of("slow:slow_0"), Starting);
    daemon.ctl(&["stop", "slow:*"]).expect(0);
    assert_eq!(daemon.state_of("slow:slow_5"), Stopped);
}

/// A file system of the user's own that answers nothing, as long as its server lives. `None` where nobody may mount one.
fn mute_file_system(daemon: &Daemon, place: &Path) -> Option<(Helper, Unmount)> {
    const SERVE: &str = "exec 9<>/dev/fuse && mount -i -t fuse none \"$1\" \
                         -o fd=9,rootmode=40000,user_id=54321,group_id=0 && echo ready && exec cat";
    std::fs::create_dir(place).expect("the directory is ours");
    std::os::unix::fs::chown(place, Some(USER), Some(USER)).expect("we are root");
    let helper = Helper::start(daemon, Command::new("sh").args(["-c", SERVE, "sh"]).arg(place))?;
    Some((helper, Unmount(place.to_path_buf())))
}

struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_directory_that_does_not_answer_holds_up_nobody() {
    if !is_root() {
        return;
    }
    let daemon = start(
        "[supervisord]
manager_watchdog_secs=3
[program:slow]
command=/bin/sleep 1000
directory=%(here)s/mute
user=54321
autostart=false
[program:other]
command=sleep 1000
startsecs=0
",
    );
    std::fs::set_permissions(daemon.directory(), PermissionsExt::from_mode(0o755)).expect("ours");
    let Some((server, _unmount)) = mute_file_system(&daemon, &daemon.path("mute")) else {
        return println!("skipped: a file system cannot be mounted here");
    };
    daemon.wait_for_state("other", Running, LONG);
    let pid = start_slow(&daemon);
    check_nobody_waits(&daemon, pid);
    until("it is said what it waits for", LONG, || {
        description(&daemon).contains("changing to its directory")
    });
    daemon.ctl(&["stop", "slow"]).expect(0);
    assert_eq!(daemon.state_of("slow"), Stopped);
    wait_gone(&[pid], LONG);
    server.end();
}
