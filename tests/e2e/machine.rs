//! The machine fails the daemon: no room for processes, no room on the disk, users and directories that disappear,
//! a clock that is set.

use crate::start;
use crate::support::{Daemon, LONG, Side, Start, flag, kill, member, running, text, until};
use nix::sys::signal::Signal;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use supervisord::model::state::ProcessState::{Exited, Fatal, Running, Stopped};

/// Starts the daemon by a shell that does something before: `exec "$@"` is the daemon.
fn after(script: &str, conf: &str) -> Daemon {
    Start::new(Side::under_test(), conf).under(&["/bin/sh", "-ec", script, "sh"]).prepare()
}

/// Whether `x` runs under another pid; while the daemon begins anew it does not say.
fn has_successor(daemon: &Daemon, before: i32) -> bool {
    let info = daemon.address().call("supervisor.getProcessInfo", vec![text("x")]);
    matches!(info, Ok(Ok(info)) if ![0, before].contains(&member::<i32>(&info, "pid")))
}

/// Where a file in the daemon's directory is for those who do not share its mounts.
fn inside(daemon: &Daemon, name: &str) -> PathBuf {
    let path = daemon.path(name);
    let path = path.strip_prefix("/").expect("the test's directory is absolute");
    PathBuf::from(format!("/proc/{}/root", daemon.pid())).join(path)
}

/// Root is exempt from this limit, so the daemon is somebody whom nobody else is.
#[test]
fn when_the_process_table_is_full_the_rest_gives_up_and_says_why() {
    let uid = 200_000 + std::process::id() % 100_000;
    let mut daemon = after(
        &format!(
            "cp \"$1\" supervisord; shift; chown {uid}:{uid} .
             exec prlimit --nproc=50:50 setpriv --reuid={uid} --regid={uid} --clear-groups ./supervisord \"$@\""
        ),
        "
[supervisord]
minprocs=20
[program:n]
command=sleep 1000
process_name=%(process_num)02d
numprocs=60
startsecs=0
startretries=1
stdout_logfile=NONE
stderr_logfile=NONE
",
    );
    daemon.start();
    until("none is on its way", LONG, || daemon.n_in(Running) + daemon.n_in(Fatal) == 60);
    let n_running = daemon.n_in(Running);
    assert!((10..50).contains(&n_running), "{n_running} are running");
    // Which ones depends on who came first when a thread of the daemon had ended.
    let mut without: Vec<String> = (0..60).map(|number| format!("{number:02}")).collect();
    without.retain(|name| daemon.state_of(&format!("n:{name}")) == Fatal);
    assert_eq!(without.len(), 60 - n_running);
    for name in &without {
        let why = format!("Too many processes in process table to spawn '{name}'");
        assert_eq!(member::<String>(&daemon.info(&format!("n:{name}")), "spawnerr"), why);
        assert!(daemon.log().contains(&format!("INFO spawnerr: {why}\n")), "{}", daemon.log());
    }
    let last = format!("n:{}", without.last().expect("at least ten have no room"));

    // As soon as there is room, it is used.
    let mut with = (0..60).map(|number| format!("{number:02}")).filter(|name| !without.contains(name));
    for name in with.by_ref().take(5) {
        daemon.call("supervisor.stopProcess", vec![text(&format!("n:{name}"))]);
    }
    daemon.call("supervisor.startProcess", vec![text(&last)]);
    assert_eq!(daemon.state_of(&last), Running);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
}

/// `/etc/passwd` is one of the test's own, for the daemon alone.
#[test]
fn a_user_who_is_deleted_between_reading_and_starting_is_named() {
    let mut daemon = after(
        "exec unshare --mount sh -ec 'mount --bind passwd /etc/passwd; exec \"$@\"' sh \"$@\"",
        "
[program:x]
command=sleep 1000
user=ghost
autostart=false
startretries=0
startsecs=1
stderr_logfile=%(here)s/x.log

[program:y]
command=sleep 1000
startsecs=0
",
    );
    let everybody = fs::read_to_string("/etc/passwd").expect("there are users");
    let ghost = "ghost:x:54321:54321::/nonexistent:/bin/false\n";
    fs::write(daemon.path("passwd"), format!("{everybody}{ghost}"))
        .expect("the test's directory can be written");
    daemon.start();
    daemon.call("supervisor.startProcess", vec![text("x")]);
    assert_eq!(daemon.state_of("x"), Running);
    daemon.call("supervisor.stopProcess", vec![text("x")]);

    fs::write(daemon.path("passwd"), everybody).expect("it is there");
    let fault =
        daemon.try_call("supervisor.startProcess", vec![text("x")]).expect_err("there is no such user");
    assert_eq!(fault.string(), "SPAWN_ERROR: x");
    assert_eq!(daemon.state_of("x"), Fatal);
    let why = "couldn't setuid to 54321: Can't find uid 54321";
    assert_eq!(member::<String>(&daemon.info("x"), "spawnerr"), why);
    assert!(daemon.read("x.log").contains(&format!("supervisor: {why}\n")), "{}", daemon.read("x.log"));
    assert_eq!(daemon.state_of("y"), Running);
}

#[test]
fn a_program_that_is_deleted_while_it_runs_is_missed_when_it_is_to_come_back() {
    let daemon = start(
        "
[program:x]
command=%(here)s/home/program 1000
directory=%(here)s/home
autostart=false
autorestart=true
startsecs=0
startretries=0
",
    );
    fs::create_dir(daemon.path("home")).expect("the test's directory can be written");
    fs::copy("/bin/sleep", daemon.path("home/program")).expect("there is sleep");
    daemon.call("supervisor.startProcess", vec![text("x")]);
    let pid = daemon.pid_of("x");
    fs::remove_dir_all(daemon.path("home")).expect("it is there");
    assert!(running(pid), "who runs already does not mind");
    kill(pid, Signal::SIGKILL);
    daemon.wait_for_state("x", Fatal, LONG);
    let why: String = member(&daemon.info("x"), "spawnerr");
    assert_eq!(why, format!("can't find command '{}'", daemon.path("home/program").display()));
    assert!(daemon.answers());
}

/// The original stops everything to start again, and then dies of it.
#[test]
fn a_pidfile_whose_directory_is_gone_keeps_nobody_from_running_or_ending() {
    let conf = "
[supervisord]
pidfile=%(here)s/run/pid
[program:x]
command=sleep 1000
startsecs=0
";
    let mut daemon = Start::new(Side::under_test(), conf).prepare();
    fs::create_dir(daemon.path("run")).expect("the test's directory can be written");
    daemon.start();
    daemon.wait_for_state("x", Running, LONG);
    let keeper: i32 = daemon.read("run/pid").trim().parse().expect("a pid");
    let before = daemon.pid_of("x");
    fs::remove_dir_all(daemon.path("run")).expect("it is there");

    kill(keeper, Signal::SIGHUP);
    daemon.wait_log("CRIT cannot restart, the old configuration stays in force");
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains("cannot restart")).unwrap_or_default();
    assert!(line.contains("run/pid"), "{line}");
    assert_eq!(daemon.pid_of("x"), before);

    fs::create_dir(daemon.path("run")).expect("the test's directory can be written");
    kill(keeper, Signal::SIGHUP);
    until("it has begun anew", LONG, || has_successor(&daemon, before));
    assert_eq!(daemon.read("run/pid").trim(), keeper.to_string());
    fs::remove_dir_all(daemon.path("run")).expect("it is there");
    kill(keeper, Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert!(daemon.alive().is_empty());
}

/// A disk of 256 KiB for the daemon alone, in `disk`.
const SMALL_DISK: &str =
    "mkdir disk; exec unshare --mount sh -ec 'mount -t tmpfs -o size=256k none disk; exec \"$@\"' sh \"$@\"";

/// Fills the disk at once, and goes on as long as it is told to.
const WRITER: &str = "command=/bin/sh -c 'n=0; while :; do n=$((n+1)); echo \"$n $(head -c 2000 /dev/zero | tr \\\\0 x)\"; done'";

#[test]
fn a_full_disk_is_told_and_what_comes_later_is_logged_again() {
    let mut daemon = after(
        SMALL_DISK,
        &format!(
            "
[program:big]
{WRITER}
startsecs=0
stdout_logfile=%(here)s/disk/big.log
stdout_logfile_maxbytes=0
stderr_logfile=NONE

[program:small]
command=/bin/sh -c 'while :; do echo tick; sleep 0.05; done'
startsecs=0
stdout_logfile=%(here)s/small.log
"
        ),
    );
    daemon.start();
    daemon.wait_for_state("big", Running, LONG);
    until("the log says that the disk is full", LONG, || daemon.log().contains("No space left on device"));
    let line = daemon.log().lines().find(|line| line.contains("No space left")).map(str::to_string);
    assert!(line.as_ref().is_some_and(|line| line.contains("disk/big.log")), "{line:?}");
    let before = daemon.read("small.log").lines().count();
    until("others are logged as before", LONG, || daemon.read("small.log").lines().count() > before + 5);
    assert_eq!(daemon.state_of("big"), Running, "a log never stops its program");

    let big = inside(&daemon, "disk/big.log");
    fs::File::options().write(true).open(&big).and_then(|log| log.set_len(0)).expect("it can be emptied");
    until("there is room and it is used", LONG, || fs::metadata(&big).is_ok_and(|data| data.len() > 10_000));
    daemon.call("supervisor.stopProcess", vec![text("big")]);
    assert_eq!(daemon.state_of("big"), Stopped);
}

/// Neither what it says of itself nor where it keeps its files is what a supervisor lives of.
#[test]
fn with_everything_of_its_own_on_a_full_disk_the_daemon_goes_on() {
    let mut daemon = after(
        SMALL_DISK,
        &format!(
            "
[supervisord]
logfile=%(here)s/disk/supervisord.log
childlogdir=%(here)s/disk
[program:big]
{WRITER}
startsecs=0
stdout_logfile=%(here)s/disk/big.log
stdout_logfile_maxbytes=0
[program:x]
command=sleep 1000
startsecs=0
"
        ),
    );
    daemon.start();
    let full = || fs::metadata(inside(&daemon, "disk/big.log")).is_ok_and(|data| data.len() > 100_000);
    until("the disk is full", LONG, full);
    for _ in 0..20 {
        let pid = daemon.pid_of("x");
        kill(pid, Signal::SIGKILL);
        until("it is started again", LONG, || ![0, pid].contains(&daemon.pid_of("x")));
    }
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    daemon.call("supervisor.startProcess", vec![text("x")]);
    let x = daemon.pid_of("x");
    // The next manager finds the disk full at its start.
    kill(daemon.manager(), Signal::SIGKILL);
    daemon.wait_answer();
    assert_eq!(daemon.pid_of("x"), x);
    daemon.signal(Signal::SIGHUP);
    until("it has begun anew", LONG, || has_successor(&daemon, x));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    // What the shell has begun for its line ends with its pipe, a moment after the shell.
    until("nobody is left", LONG, || daemon.alive().is_empty());
}

/// Shifts the clock on the wall by the seconds in a file, for everybody who asks the C library.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    long result = syscall(SYS_clock_gettime, clock, now);
    const char *path = getenv("CLOCK_OFFSET");
    if (result == 0 && clock == CLOCK_REALTIME && path) {
        char text[32] = {0};
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            if (read(fd, text, sizeof text - 1) > 0) now->tv_sec += atol(text);
            close(fd);
        }
    }
    return (int)result;
}
"#;

/// A daemon whose clock stands on what the test writes to `offset`.
fn with_clock(conf: &str) -> Daemon {
    let mut daemon = after("export LD_PRELOAD=$PWD/shim.so CLOCK_OFFSET=$PWD/offset; exec \"$@\"", conf);
    fs::write(daemon.path("shim.c"), SHIM).expect("the test's directory can be written");
    set_clock(&daemon, 0);
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(daemon.path("shim.so"))
        .arg(daemon.path("shim.c"))
        .status();
    assert!(compiled.is_ok_and(|status| status.success()), "this test needs a C compiler called cc");
    daemon.start();
    daemon
}

/// Sets the daemon's clock so many seconds before or after the true time, at once.
fn set_clock(daemon: &Daemon, seconds: i64) {
    let (new, place) = (daemon.path("offset.new"), daemon.path("offset"));
    fs::write(&new, seconds.to_string())
        .and_then(|()| fs::rename(new, place))
        .expect("the directory can be written");
}

const DAY: i64 = 86_400;

/// The original corrects its deadlines step by step when the clock goes back, and forgets its pauses when it goes
/// forward.
#[test]
fn a_clock_that_is_set_changes_no_deadline() {
    let daemon = with_clock(
        "
[program:failing]
command=/bin/sh -c 'cut -d\" \" -f1 /proc/uptime >> moments; exit 1'
directory=%(here)s
startsecs=3
startretries=2

[program:lasting]
command=sleep 1000
startsecs=2

[program:stubborn]
command=/bin/sh -c 'trap \"\" TERM; echo ready; while :; do sleep 0.05; done'
startsecs=0
stopwaitsecs=1
autorestart=false
stdout_logfile=%(here)s/stubborn.log
",
    );
    let moments =
        || -> Vec<f64> { daemon.read("moments").lines().filter_map(|line| line.parse().ok()).collect() };
    until("the first failure", LONG, || moments().len() == 1);
    set_clock(&daemon, -DAY);
    until("the second failure", LONG, || moments().len() == 2);
    set_clock(&daemon, 2 * DAY);
    daemon.wait_for_state("failing", Fatal, LONG);
    let moments = moments();
    assert_eq!(moments.len(), 3, "a pause is neither forgotten nor endless: {moments:?}");
    assert!(moments[1] - moments[0] >= 0.9 && moments[2] - moments[1] >= 1.9, "{moments:?}");
    daemon.wait_for_state("lasting", Running, LONG);

    until("it ignores TERM", LONG, || daemon.read("stubborn.log").contains("ready"));
    daemon.call("supervisor.stopProcess", vec![text("stubborn"), flag(false)]);
    set_clock(&daemon, -DAY);
    daemon.wait_for_state("stubborn", Stopped, LONG);
    assert!(daemon.log().contains("stopped: stubborn (terminated by SIGKILL)"), "{}", daemon.log());

    // It was born tomorrow, and nobody is told that it is older than it is.
    daemon.call("supervisor.stopProcess", vec![text("lasting")]);
    set_clock(&daemon, DAY);
    daemon.call("supervisor.startProcess", vec![text("lasting")]);
    set_clock(&daemon, 0);
    let described: String = member(&daemon.info("lasting"), "description");
    assert!(described.contains("uptime 0:00:0"), "{described}");
    let pid = daemon.pid_of("lasting");
    kill(pid, Signal::SIGKILL);
    until("it runs again", LONG, || daemon.state_of("lasting") == Running && daemon.pid_of("lasting") != pid);
    let log = daemon.log();
    assert!(log.contains("exited: lasting (terminated by SIGKILL; not expected)"), "{log}");
    let dates: std::collections::HashSet<&str> = log.lines().filter_map(|line| line.get(..10)).collect();
    assert!(dates.len() >= 4, "the clock was not set: {log}");
}

/// So long as the manager is suspended the kernel and the keeper remember what happens.
#[test]
fn nothing_is_lost_while_the_manager_is_suspended() {
    let daemon = start(
        "
[program:n]
command=sleep 1000
process_name=%(process_num)d
numprocs=50
startsecs=0
autorestart=false
",
    );
    until("all run", LONG, || daemon.n_in(Running) == 50);
    let manager = daemon.manager();
    let programs: Vec<i32> = daemon.programs().iter().map(|program| program.pid).collect();
    kill(manager, Signal::SIGSTOP);
    programs.iter().for_each(|pid| kill(*pid, Signal::SIGKILL));
    until("the keeper has buried them", LONG, || programs.iter().all(|pid| !running(*pid)));
    daemon.signal(Signal::SIGUSR2);
    kill(manager, Signal::SIGCONT);
    until("all ends are known", LONG, || daemon.n_in(Exited) == 50);
    daemon.wait_log("received SIGUSR2 indicating log reopen request");
    assert_eq!(daemon.log().matches("exited: ").count(), 50);
    assert_eq!(daemon.manager_now(), Some(manager), "it is the same one");
}

#[test]
fn a_program_that_is_suspended_and_goes_on_is_none_the_wiser() {
    let daemon = start(
        "
[program:x]
command=/bin/sh -c 'n=0; while :; do n=$((n+1)); echo $n; sleep 0.01; done'
startsecs=0
stdout_logfile=%(here)s/x.log
",
    );
    let n_lines = || daemon.read("x.log").lines().count();
    until("it writes", LONG, || n_lines() > 3);
    let pid = daemon.pid_of("x");
    for _ in 0..3 {
        kill(pid, Signal::SIGSTOP);
        assert_eq!(daemon.state_of("x"), Running);
        let before = n_lines();
        kill(pid, Signal::SIGCONT);
        until("it writes again", LONG, || n_lines() > before + 3);
    }
    assert_eq!(daemon.pid_of("x"), pid);
    let log = daemon.read("x.log");
    let numbers: Vec<usize> = log.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(numbers.iter().zip(1..).all(|(number, expected)| *number == expected), "{numbers:?}");
}

/// The kernel makes one signal of many, and the ledger has to take them all.
#[test]
fn five_thousand_exits_within_a_second_are_all_seen() {
    let daemon = start(
        "
[program:n]
command=sleep 1000
process_name=%(process_num)d
numprocs=5000
startsecs=0
autorestart=false
redirect_stderr=true
stdout_logfile=NONE
",
    );
    let patience = LONG * 6;
    until("all run", patience, || daemon.n_in(Running) == 5000);
    let programs: Vec<i32> = daemon.programs().iter().map(|program| program.pid).collect();
    assert_eq!(programs.len(), 5000);
    programs.iter().for_each(|pid| kill(*pid, Signal::SIGKILL));
    until("all ends are known", patience, || daemon.n_in(Exited) == 5000);
    let log = daemon.log();
    assert_eq!(log.matches(" (terminated by SIGKILL; not expected)").count(), 5000);
    assert_eq!(daemon.state_of("n:4999"), Exited);
    assert!(daemon.programs().is_empty(), "no zombie is left");
}
