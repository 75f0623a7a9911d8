//! Odd surroundings at the start: descriptors and variables of the caller, limits, and a system that lacks something.
//! Either the daemon runs all the same, or it says what is missing, ends with status 2 and leaves nothing behind.

use crate::support::{Daemon, LONG, Run, SLEEPER, Side, Start, has_root, kill, running, sleeps, until};
use nix::sys::signal::Signal;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use supervisord::model::state::ProcessState::Running;

/// A daemon that a shell starts after having done something: `exec "$@"` is the daemon.
fn after(script: &str, conf: &str) -> Start {
    Start::new(Side::under_test(), conf).under(&["/bin/sh", "-ec", script, "sh"])
}

/// Runs a daemon that cannot start: it says why, in one message, and leaves nothing.
#[track_caller]
fn refused(start: Start, says: &[&str]) {
    for background in ["nodaemon=false", "nodaemon=true"] {
        let daemon = start.clone().prepare();
        let conf = daemon.read("supervisord.conf").replace("nodaemon=true", background);
        fs::write(daemon.conf(), conf).expect("the test's directory can be written");
        let run: Run = crate::support::run(&mut daemon.command());
        assert_eq!(run.code, 2, "{background}: {run}");
        for part in says {
            assert!(run.stderr.contains(part), "{background}: {part:?} is missing: {run}");
        }
        assert!(!run.stderr.contains("panicked"), "{run}");
        let mut left: Vec<String> = fs::read_dir(daemon.directory())
            .expect("it is there")
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with("supervisord.pid") || name.ends_with(".sock"))
            .collect();
        left.sort();
        assert_eq!(left, Vec::<String>::new(), "{background}");
        assert!(daemon.alive().is_empty());
    }
}

fn is_root() -> bool {
    has_root("only root can make these surroundings")
}

/// What the descriptors of a process lead to.
fn descriptors(pid: i32) -> Vec<(i32, PathBuf)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("it is ours to look at");
    let number = |entry: &fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    entries.flatten().filter_map(|entry| Some((number(&entry)?, fs::read_link(entry.path()).ok()?))).collect()
}

fn holds(pid: i32, name: &str) -> bool {
    descriptors(pid).iter().any(|(_, target)| target.ends_with(name))
}

#[test]
fn what_the_caller_left_open_is_closed() {
    for conf in
        ["", "[supervisord]\nnodaemon=false\n", "[supervisord]\nexitkillall=false\nstartkillall=false\n"]
    {
        let start = after("exec 5>five 7>seven 9>nine; exec \"$@\"", &format!("{conf}{SLEEPER}"));
        let mut daemon = start.prepare();
        if conf.contains("nodaemon") {
            let run = crate::support::run(&mut daemon.command());
            assert_eq!(run.code, 0, "{run}");
        } else {
            daemon.spawn();
        }
        daemon.wait_ready();
        daemon.wait_for_state("sleeper", Running, LONG);
        let everybody = daemon.alive();
        assert!(everybody.len() >= 3, "{everybody:?}");
        for pid in everybody {
            for name in ["five", "seven", "nine"] {
                assert!(!holds(pid, name), "{conf}: {pid} holds {name}: {:?}", descriptors(pid));
            }
        }
    }
}

#[test]
fn a_descriptor_that_a_log_names_is_kept_for_it_and_no_other() {
    let conf = "
[program:writer]
command=/bin/sh -c 'echo begin; while read line; do echo $line; done'
startsecs=0
stdout_logfile=/dev/fd/4
stdout_logfile_maxbytes=0
stderr_logfile=/proc/self/fd/9
stderr_logfile_maxbytes=0
";
    let mut daemon = after("exec 4>four 5>five; exec \"$@\"", conf).prepare();
    daemon.start();
    until("what it said is where the caller wanted it", LONG, || daemon.read("four") == "begin\n");
    daemon.replace_manager();
    let line = vec![crate::support::text("writer"), crate::support::text("again\n")];
    daemon.call("supervisor.sendProcessStdin", line);
    until("a new manager writes there, too", LONG, || daemon.read("four") == "begin\nagain\n");
    for pid in [Some(daemon.keeper()), daemon.manager_now()].into_iter().flatten() {
        assert!(holds(pid, "four") && !holds(pid, "five"));
    }
    assert!(!holds(daemon.pid_of("writer"), "four"));
    // What is our own under that number is no log.
    let log = daemon.log();
    assert!(log.contains("no descriptor 9 was open for it when the daemon was started"), "{log}");
}

#[test]
fn a_start_without_room_for_a_manager_says_so() {
    if !is_root() {
        return;
    }
    // Root is exempt from this limit, so the daemon is somebody whom nobody else is.
    let uid = 300_000 + std::process::id() % 100_000;
    let script = format!(
        "cp \"$1\" supervisord; shift; chown {uid}:{uid} .
         exec setpriv --reuid={uid} --regid={uid} --clear-groups prlimit --nproc=LIMIT:LIMIT ./supervisord \"$@\""
    );
    let conf = format!("[supervisord]\nminprocs=1\n{SLEEPER}");
    for (limit, says) in [("1", "ulimit -u"), ("2", "ulimit -u")] {
        let start = after(&script.replace("LIMIT", limit), &conf);
        // In the background one process more waits.
        refused(start, &["Error: ", "Resource temporarily unavailable", says]);
    }
}

#[test]
fn a_keeper_without_a_manager_sleeps() {
    let conf = format!(
        "[supervisord]\nexitkillall=false\nstartkillall=false\nprocessinfomapfile=%(here)s/map\n{SLEEPER}"
    );
    let mut daemon = Start::new(Side::under_test(), &conf).ready();
    daemon.wait_for_state("sleeper", Running, LONG);
    let keeper = daemon.pid();
    daemon.ctl(&["shutdown"]).expect(0);
    daemon.wait_exit();
    let begun = Instant::now();
    let before = sleeps(keeper);
    until("some seconds have passed", LONG, || begun.elapsed() >= Duration::from_secs(2));
    let n_sleeps = sleeps(keeper) - before;
    // The end of the last manager is dealt with meanwhile.
    assert!(n_sleeps < 20, "an idle keeper woke up {n_sleeps} times in two seconds");
    kill(keeper, Signal::SIGKILL);
}

#[test]
fn without_proc_it_says_what_is_missing() {
    if !is_root() {
        return;
    }
    // The binary is found by its path, so that nothing else needs /proc.
    let start =
        after("exec unshare --mount sh -ec 'mount -t tmpfs none /proc; exec \"$@\"' sh \"$@\"", SLEEPER);
    refused(start, &["/proc/self/fd", "mount -t proc proc /proc"]);
}

#[test]
fn variables_that_are_not_for_us_change_nothing() {
    let conf = "
[program:shell]
command=/bin/sh -c 'env; exec sleep 1000'
startsecs=0
stdout_logfile=%(here)s/env.log
";
    let names = [
        ("SUPERVISORD_CHECK", "1"),
        ("SUPERVISORD_GUARD", "1"),
        ("SUPERVISORD_KEEPER", "1 2 3"),
        ("SUPERVISORD_MANAGER", "x"),
        ("ASYNC_STD_THREAD_COUNT", "100000"),
        ("RUST_MIN_STACK", "18446744073709551615"),
        ("BLOCKING_MAX_THREADS", "0"),
        ("ASYNC_GLOBAL_EXECUTOR_THREADS", "x"),
    ];
    let words: Vec<String> = names.iter().map(|(name, value)| format!("{name}='{value}'")).collect();
    let mut daemon = after(&format!("export {}; exec \"$@\"", words.join(" ")), conf).prepare();
    daemon.start();
    daemon.replace_manager();
    let manager = daemon.manager();
    assert!(crate::support::n_threads(manager) < 20);
    // They are for whoever they are meant for, as far as they are not our own.
    until("the program has printed them", LONG, || daemon.read("env.log").contains("PWD="));
    let seen = daemon.read("env.log");
    for (name, value) in names {
        assert_eq!(
            seen.contains(&format!("{name}={value}\n")),
            !name.starts_with("SUPERVISORD_"),
            "{name}: {seen}"
        );
    }
}

/// Answers a system call with an error, for the daemon and whoever it starts.
fn without(call: libc::c_long, errno: i32, conf: &str) -> Daemon {
    let filter = format!(
        "import ctypes, os, struct, sys
program = b''.join(struct.pack('HBBI', *line) for line in [
    (0x20, 0, 0, 0), (0x15, 0, 1, {call}), (0x06, 0, 0, 0x00050000 | {errno}), (0x06, 0, 0, 0x7fff0000)])
buffer = ctypes.create_string_buffer(program)
sock_fprog = ctypes.create_string_buffer(struct.pack('HxxxxxxQ', 4, ctypes.addressof(buffer)))
prctl = ctypes.CDLL(None, use_errno=True).prctl
assert prctl(38, 1, 0, 0, 0) == 0 and prctl(22, 2, sock_fprog) == 0
os.execv(sys.argv[1], sys.argv[1:])"
    );
    let daemon = Start::new(Side::under_test(), conf).under(&["python3", "-c", &filter]).prepare();
    fs::write(daemon.path("filter.py"), &filter).expect("the test's directory can be written");
    daemon
}

#[test]
fn without_files_in_memory_it_runs_on_others() {
    let conf = "
[program:writer]
command=/bin/sh -c 'echo begin; while read line; do echo $line; done'
startsecs=0
stdout_logfile=%(here)s/writer.log
stdout_prefix=true
";
    let mut daemon = without(libc::SYS_memfd_create, libc::ENOSYS, conf);
    daemon.start();
    until("it has written", LONG, || daemon.read("writer.log").contains("begin"));
    let program = daemon.pid_of("writer");
    daemon.replace_manager();
    let line = vec![crate::support::text("writer"), crate::support::text("again\n")];
    daemon.call("supervisor.sendProcessStdin", line);
    until("it has written again", LONG, || daemon.read("writer.log").contains("again"));
    assert_eq!(daemon.pid_of("writer"), program);
    let held = descriptors(daemon.keeper());
    assert!(!held.iter().any(|(_, target)| target.to_string_lossy().contains("memfd")), "{held:?}");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert!(!running(program));
}

#[test]
fn without_clone3_it_says_what_to_do() {
    let daemon = without(libc::SYS_clone3, libc::EPERM, SLEEPER);
    let run = crate::support::run(&mut daemon.command());
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("clone3") && run.stderr.contains("seccomp"), "{run}");
    assert!(!run.stderr.contains("panicked"), "{run}");
    assert!(!daemon.path("supervisord.pid.lock").exists());

    let mut daemon = without(libc::SYS_clone3, libc::ENOSYS, SLEEPER);
    daemon.start();
    daemon.wait_for_state("sleeper", Running, LONG);
}

#[test]
fn a_limit_on_the_size_of_files_is_named_or_lifted() {
    let conf = "
[program:shell]
command=/bin/sh -c 'ulimit -Sf; exec sleep 1000'
startsecs=0
stdout_logfile=%(here)s/limit.log
stdout_prefix=true
";
    // In units of 512 bytes here.
    let mut daemon = after("ulimit -Sf 100000; exec \"$@\"", conf).prepare();
    daemon.start();
    until("the program has its limit", LONG, || daemon.read("limit.log").ends_with("100000\n"));
    drop(daemon);
    if !is_root() {
        return;
    }
    let start = after(
        "cp \"$1\" supervisord; ulimit -f 100000; shift; chown 65534 .
         exec setpriv --reuid=65534 --regid=65534 --clear-groups ./supervisord \"$@\"",
        conf,
    );
    refused(start, &["ulimit -f", "51200000 bytes"]);
}

#[test]
fn a_limit_on_the_address_space_is_named() {
    refused(after("ulimit -v 120000; exec \"$@\"", SLEEPER), &["ulimit -v", "122880000 bytes"]);
}
