//! No manager comes up, and programs go on as if there were one.

use crate::start;
use crate::support::{
    AS_PID_1, Daemon, LONG, Side, Start, assert_unbroken, kill, running, until, until_some,
};
use nix::sys::signal::Signal;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::fs;
use std::time::Duration;
use supervisord::model::state::ProcessState::Running;

/// Prints numbered lines as fast as a shell can: a pipe of the usual size is full after some 20 ms.
const QUICK_COUNTER: &str = "
[program:counter]
command=/bin/sh -c 'n=0; while :; do n=$((n+1)); echo \"line $n\"; done'
startsecs=0
stdout_logfile=%(here)s/counter.log
";

/// How long programs may take to print what is waited for: they compete with whatever else runs on the machine.
const PRINTING: Duration = LONG.saturating_mul(6);

/// Makes lines longer.
const PADDING: &str = "................................................................................\
    ................................................................................\
    ................................................................................";

/// Keeps every manager from coming up, by leaving too little memory for any, until it is dropped.
struct Outage {
    keeper: Pid,
    former: Rlimit,
}

impl Outage {
    fn begin(daemon: &Daemon) -> Outage {
        let keeper = Pid::from_raw(daemon.keeper()).expect("a pid is not 0");
        let little = Rlimit { current: Some(1 << 20), maximum: None };
        let former = prlimit(Some(keeper), Resource::As, little).expect("root may change limits");
        let manager = daemon.manager();
        kill(manager, Signal::SIGKILL);
        until("the manager is gone", LONG, || !running(manager));
        Outage { keeper, former }
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        let _ = prlimit(Some(self.keeper), Resource::As, self.former);
    }
}

fn size(daemon: &Daemon, name: &str) -> u64 {
    fs::metadata(daemon.path(name)).map_or(0, |metadata| metadata.len())
}

/// Waits until a file has grown by more than a pipe could hold for it.
fn wait_growth(daemon: &Daemon, name: &str) {
    let before = size(daemon, name);
    until(&format!("{name} grows"), PRINTING, || size(daemon, name) > before + (4 << 20));
}

#[test]
fn logs_go_on_while_no_manager_comes_up() {
    let daemon = start(&format!(
        "{QUICK_COUNTER}stdout_logfile_maxbytes=0
[program:silent]
command=/bin/sh -c 'n=0; while :; do n=$((n+1)); echo \"line $n\"; echo $n > silent; done'
directory=%(here)s
startsecs=0
stdout_logfile=NONE
[program:errors]
command=/bin/sh -c 'while :; do echo out; echo err >&2; sleep 0.01; done'
startsecs=0
stdout_logfile=%(here)s/both.log
redirect_stderr=true
[program:dressed]
command=/bin/sh -c 'n=0; while :; do n=$((n+1)); echo \"line $n {PADDING}\"; echo $n > dressed; done'
directory=%(here)s
startsecs=0
stdout_logfile=%(here)s/dressed.log
stdout_logfile_maxbytes=0
stdout_logfile_prefix=web
"
    ));
    daemon.wait_for_state("dressed", Running, LONG);
    let pids = ["counter", "silent", "errors", "dressed"].map(|name| daemon.pid_of(name));
    let outage = Outage::begin(&daemon);
    let before = (size(&daemon, "both.log"), daemon.read("silent"));
    for _ in 0..3 {
        wait_growth(&daemon, "counter.log");
    }
    until("the other log grows", LONG, || size(&daemon, "both.log") > before.0);
    until("who has no log is not blocked", LONG, || daemon.read("silent") != before.1);
    // Of the dressed lines a pipe holds 4000 at most, however large it is.
    let n_printed = || daemon.read("dressed").trim().parse::<usize>().unwrap_or(0);
    let so_far = n_printed();
    until("who has a dressed log is not blocked", PRINTING, || n_printed() > so_far + 6000);
    assert!(pids.iter().all(|pid| running(*pid)));
    drop(outage);

    until("a manager answers again", LONG, || daemon.answers());
    wait_growth(&daemon, "counter.log");
    assert_unbroken(&daemon.read("counter.log"));
    assert_eq!(["counter", "silent", "errors", "dressed"].map(|name| daemon.pid_of(name)), pids);
    // What is changed on its way has waited in memory.
    let n_last = until_some("a number", LONG, || Some(n_printed()).filter(|number| *number > 0));
    kill(daemon.pid_of("dressed"), Signal::SIGSTOP);
    let last = format!("web line {n_last} {PADDING}\n");
    until("all dressed lines arrive", PRINTING, || daemon.read("dressed.log").contains(&last));
    for (index, line) in daemon.read("dressed.log").lines().enumerate() {
        assert_eq!(line, format!("web line {} {PADDING}", index + 1), "a gap or a double");
    }
    kill(daemon.pid_of("dressed"), Signal::SIGCONT);
}

#[test]
fn a_log_that_grew_beyond_its_limit_is_rotated_by_the_next_manager() {
    let daemon = start(&format!("{QUICK_COUNTER}stdout_logfile_maxbytes=6MB\nstdout_logfile_backups=1000\n"));
    daemon.wait_for_state("counter", Running, LONG);
    let outage = Outage::begin(&daemon);
    until("more than the limit", PRINTING, || size(&daemon, "counter.log") > 8 << 20);
    drop(outage);
    until("a manager answers again", LONG, || daemon.answers());
    let part = |number: usize| format!("counter.log.{number}");
    until("the next manager rotates", LONG, || size(&daemon, "counter.log") < 6 << 20);
    let pid = daemon.pid_of("counter");
    kill(pid, Signal::SIGSTOP);
    let n_backups = (1..).take_while(|number| daemon.path(&part(*number)).exists()).count();
    assert!((1..=n_backups).any(|number| size(&daemon, &part(number)) > 8 << 20));
    let mut parts: Vec<String> = (1..=n_backups).rev().map(|number| daemon.read(&part(number))).collect();
    parts.push(daemon.read("counter.log"));
    assert_unbroken(&parts.concat());
    kill(pid, Signal::SIGCONT);
}

/// Three programs that write down when they were asked to stop, one of them not caring.
const OBEDIENT: &str = "
[program:first]
command=/bin/sh -c 'trap \"echo first >> stopped; exit 0\" TERM; echo up; while :; do sleep 0.02; done'
[program:second]
command=/bin/sh -c 'trap \"echo second >> stopped; exit 0\" HUP; trap \"\" TERM; echo up; while :; do sleep 0.02; done'
stopsignal=HUP
priority=2
[program:stubborn]
command=/bin/sh -c 'trap \"echo stubborn >> stopped\" TERM; echo up; while :; do sleep 0.02; done'
stopwaitsecs=1
priority=3
";

fn obedient() -> String {
    OBEDIENT.replace("\n[program:first]", "\n[program:first]\npriority=1").replace(
        "command=",
        "startsecs=0\nstdout_logfile=%(here)s/%(program_name)s.log\ndirectory=%(here)s\ncommand=",
    )
}

fn wait_up(daemon: &Daemon) {
    for name in ["first", "second", "stubborn"] {
        until("its traps are set", LONG, || daemon.read(&format!("{name}.log")).contains("up"));
    }
}

fn assert_ended(daemon: &mut Daemon, outage: Outage) {
    assert_eq!(daemon.wait_exit(), 0);
    assert_eq!(daemon.read("stopped"), "stubborn\nsecond\nfirst\n", "the highest priority number first");
    until("nothing is left", LONG, || daemon.alive().is_empty());
    for name in ["s.sock", "supervisord.pid", "supervisord.pid.lock"] {
        assert!(!daemon.path(name).exists(), "{name} is left");
    }
    drop(outage);
}

#[test]
fn without_a_manager_the_keeper_ends_in_order() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let mut daemon = start(&obedient());
        wait_up(&daemon);
        let outage = Outage::begin(&daemon);
        daemon.signal(signal);
        assert_ended(&mut daemon, outage);
        assert!(daemon.read("stderr").contains("the keeper stops the programs itself"));
    }
}

#[test]
fn without_a_manager_the_keeper_removes_the_credentials() {
    let conf = "[program:x]\ncommand=/bin/sh -c 'mkdir $CREDENTIALS_DIRECTORY/more; \
                echo $CREDENTIALS_DIRECTORY >found; exec sleep 1000'\ndirectory=%(here)s\ncredential.a=/etc/passwd\n";
    let mut daemon = start(conf);
    let found = until_some("it has its credentials", LONG, || {
        Some(daemon.read("found")).filter(|found| found.ends_with('\n'))
    });
    let directory = std::path::PathBuf::from(found.trim());
    assert!(directory.join("more").exists());
    let outage = Outage::begin(&daemon);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert!(daemon.read("stderr").contains("the keeper stops the programs itself"));
    assert!(!directory.parent().expect("it has one").exists());
    drop(outage);
}

#[test]
fn as_pid_1_without_a_manager_it_ends_in_order() {
    let mut daemon = Start::new(Side::under_test(), &obedient()).under(&AS_PID_1).ready();
    wait_up(&daemon);
    let outage = Outage::begin(&daemon);
    daemon.signal(Signal::SIGTERM);
    assert_ended(&mut daemon, outage);
}

#[test]
fn whoever_asks_often_does_not_wait_for_the_stubborn() {
    let conf = obedient().replace("stopwaitsecs=1", "stopwaitsecs=1000");
    let mut daemon = start(&conf);
    wait_up(&daemon);
    let outage = Outage::begin(&daemon);
    daemon.signal(Signal::SIGTERM);
    until("the stubborn one was asked", LONG, || daemon.read("stopped").contains("stubborn"));
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        daemon.signal(signal);
    }
    assert_eq!(daemon.wait_exit(), 0);
    // What its shell was waiting for ends by itself.
    until("nothing is left", LONG, || daemon.alive().is_empty());
    drop(outage);
}

#[test]
fn a_shutdown_that_lost_its_manager_goes_on_without_one() {
    let mut daemon = start(&obedient());
    wait_up(&daemon);
    let manager = daemon.manager();
    daemon.signal(Signal::SIGTERM);
    until("the stop has begun", LONG, || daemon.read("stopped").contains("stubborn"));
    kill(manager, Signal::SIGSTOP);
    let outage = Outage::begin(&daemon);
    assert_ended(&mut daemon, outage);
}
