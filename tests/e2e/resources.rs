//! What programs may use and how the kernel ranks them: `limit_*`, `nice`, `ionice` and their kin.

use crate::start;
use crate::support::{Daemon, LONG, Side, Start, has_root, member, until};
use std::fs;
use std::process::Command;
use supervisord::model::state::ProcessState::{Fatal, Running};

fn proc_file(pid: i32, name: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default()
}

/// The soft and the hard limit that `/proc/PID/limits` names like this.
fn limits(pid: i32, name: &str) -> (String, String) {
    let text = proc_file(pid, "limits");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let mut words = line.split_whitespace().map(str::to_string);
    (words.next().unwrap_or_default(), words.next().unwrap_or_default())
}

/// A field of `/proc/PID/stat` by its number in proc(5).
fn stat(pid: i32, field: usize) -> String {
    let text = proc_file(pid, "stat");
    let behind = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    behind.split_whitespace().nth(field - 3).unwrap_or_default().to_string()
}

fn why(daemon: &Daemon, name: &str) -> String {
    daemon.wait_for_state(name, Fatal, LONG);
    member(&daemon.info(name), "spawnerr")
}

#[test]
fn limits_are_those_that_were_written_and_others_stay() {
    let daemon = start(
        "[program:x]\ncommand=sleep 1000\nlimit_nofile=300:400\nlimit_core=0\nlimit_nproc=5000\nlimit_stack=1MB:2MB\n\
         limit_as=2GB\nlimit_cpu=3600\nlimit_fsize=1GB\n[program:plain]\ncommand=sleep 1000\n",
    );
    daemon.wait_for_state("x", Running, LONG);
    daemon.wait_for_state("plain", Running, LONG);
    let (pid, plain) = (daemon.pid_of("x"), daemon.pid_of("plain"));
    for (name, soft, hard) in [
        ("Max open files", "300", "400"),
        ("Max core file size", "0", "0"),
        ("Max processes", "5000", "5000"),
        ("Max stack size", "1048576", "2097152"),
        ("Max address space", "2147483648", "2147483648"),
        ("Max cpu time", "3600", "3600"),
        ("Max file size", "1073741824", "1073741824"),
    ] {
        assert_eq!(limits(pid, name), (soft.to_string(), hard.to_string()), "{name}");
    }
    for name in ["Max data size", "Max locked memory", "Max pending signals"] {
        assert_eq!(limits(pid, name), limits(plain, name), "{name}");
    }
    assert_eq!(limits(plain, "Max open files"), limits(std::process::id() as i32, "Max open files"));
}

#[test]
fn ranks_are_those_that_were_written() {
    let daemon = start(
        "[program:x]\ncommand=sleep 1000\nnice=7\nionice=be:6\ncpu_affinity=0\ncpu_scheduling=batch\noom_score_adj=321\n\
         [program:idle]\ncommand=sleep 1000\nionice=idle\ncpu_scheduling=idle\n",
    );
    daemon.wait_for_state("x", Running, LONG);
    daemon.wait_for_state("idle", Running, LONG);
    let (pid, idle) = (daemon.pid_of("x"), daemon.pid_of("idle"));
    assert_eq!(stat(pid, 19), "7");
    assert_eq!((stat(pid, 41), stat(idle, 41)), ("3".into(), "5".into()), "SCHED_BATCH, SCHED_IDLE");
    until("its score is set", LONG, || proc_file(pid, "oom_score_adj").trim() == "321");
    let status = proc_file(pid, "status");
    assert!(status.lines().any(|line| line == "Cpus_allowed_list:\t0"), "{status}");
    let ionice = |pid: i32| {
        let output = Command::new("ionice").args(["-p", &pid.to_string()]).output().expect("ionice is there");
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    };
    assert_eq!((ionice(pid), ionice(idle)), ("best-effort: prio 6".into(), "idle".into()));
}

/// What the kernel refuses fails the start, by the name of its key.
#[test]
fn what_cannot_be_set_fails_the_start_and_is_named() {
    let daemon = start(
        "[program:processor]\ncommand=sleep 1000\ncpu_affinity=1023\nstartretries=0\n\
         [program:files]\ncommand=sleep 1000\nlimit_nofile=unlimited\nstartretries=0\n",
    );
    assert_eq!(why(&daemon, "processor"), "couldn't set cpu_affinity: EINVAL");
    let files = why(&daemon, "files");
    assert!(files.starts_with("couldn't set limit_nofile: E"), "{files}");
}

/// Without the right to raise anything, lowering works and raising names the capability.
#[test]
fn a_missing_capability_is_named() {
    if !has_root("takes root, to give up capabilities") {
        return;
    }
    let bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let conf = "[supervisord]\nuser=root\n[program:nice]\ncommand=sleep 1000\nnice=-5\nstartretries=0\n\
                [program:rank]\ncommand=sleep 1000\ncpu_scheduling=fifo:5\nstartretries=0\n\
                [program:score]\ncommand=sleep 1000\noom_score_adj=-900\nstartretries=0\n\
                [program:lower]\ncommand=sleep 1000\nlimit_nofile=200\nnice=19\n";
    let daemon = Start::new(Side::under_test(), conf).under(&bare).ready();
    daemon.wait_for_state("lower", Running, LONG);
    assert_eq!(limits(daemon.pid_of("lower"), "Max open files").0, "200");
    assert_eq!(why(&daemon, "nice"), "couldn't set nice: EACCES (CAP_SYS_NICE is missing)");
    assert_eq!(why(&daemon, "rank"), "couldn't set cpu_scheduling: EPERM (CAP_SYS_NICE is missing)");
    assert_eq!(why(&daemon, "score"), "couldn't set oom_score_adj: EACCES (CAP_SYS_RESOURCE is missing)");
}

/// `check` says beforehand what the kernel refuses at the start, and of nothing else.
#[test]
fn check_knows_what_will_be_refused() {
    if !has_root("takes root, to give up capabilities") {
        return;
    }
    let bare = [
        "prlimit",
        "--nproc=5000:6000",
        "--nofile=1000:4000",
        "setpriv",
        "--bounding-set=-all",
        "--inh-caps=-all",
    ];
    let keys = [
        ("nice=-5", true),
        ("nice=5", false),
        ("ionice=rt:3", true),
        ("ionice=be:0", false),
        ("cpu_scheduling=rr:5", true),
        ("cpu_scheduling=batch", false),
        ("oom_score_adj=-900", true),
        ("oom_score_adj=900", false),
        ("limit_nofile=4001", true),
        ("limit_nofile=4000", false),
        ("limit_nproc=5500:unlimited", true),
        ("limit_nproc=5500:6000", false),
        ("cpu_affinity=1000-1020", true),
        ("cpu_affinity=0,1020", false),
    ];
    let programs = keys.iter().enumerate().map(|(number, (key, _))| {
        format!("[program:p{number}]\ncommand=sleep 1000\nstartretries=0\n{key}\n")
    });
    let conf = format!("[supervisord]\nuser=root\n{}", programs.collect::<String>());
    let daemon = Start::new(Side::under_test(), &conf).under(&bare).ready();
    let said = Command::new(bare[0])
        .args(&bare[1..])
        .args([env!("CARGO_BIN_EXE_supervisord"), "check", "-c"])
        .arg(daemon.conf())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&said.stdout);
    for (number, (key, is_refused)) in keys.iter().enumerate() {
        let (name, option) = (format!("p{number}"), key.split('=').next().unwrap());
        if *is_refused {
            let why = why(&daemon, &name);
            assert!(why.starts_with(&format!("couldn't set {option}: E")), "{key}: {why}");
        } else {
            daemon.wait_for_state(&name, Running, LONG);
        }
        let line = format!("warning: [program:{name}] {option}: a daemon started from here cannot apply it");
        assert_eq!(said.contains(&line), *is_refused, "{key}: {said}");
    }
}
