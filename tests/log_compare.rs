//! The same programs under our daemon and under the original: the logs must have the same names and modes and,
//! put together, the same bytes, except where a test says otherwise.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use supervisord::model::state::ProcessState;
use support::{Daemon, LONG, Side, Start};

/// A program called `x` that ends by itself.
fn conf(command: &str, keys: &str) -> String {
    let command = command.replace('%', "%%").replace('\n', "\n    ");
    format!(
        "[supervisord]\nloglevel=info\n[program:x]\ncommand={command}\nautorestart=false\nstartsecs=0\n{keys}\n"
    )
}

/// What a daemon leaves of its programs' logs.
#[derive(Debug, PartialEq)]
struct Logs {
    /// By the name without a rotation number: all of its files put together, oldest first.
    contents: BTreeMap<String, Vec<u8>>,
    /// By the full name.
    modes: BTreeMap<String, u32>,
}

fn run(side: Side, conf: &str) -> Logs {
    let mut daemon = Start::new(side, conf).ready();
    daemon.wait_for_state("x", ProcessState::Exited, LONG);
    let logs = logs_of(&daemon);
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    daemon.wait_exit();
    logs
}

fn logs_of(daemon: &Daemon) -> Logs {
    let mut numbered: BTreeMap<String, BTreeMap<i64, Vec<u8>>> = BTreeMap::new();
    let mut modes = BTreeMap::new();
    for entry in fs::read_dir(daemon.directory()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        let (base, number) = match name.rsplit_once('.') {
            Some((base, number)) if number.parse::<i64>().is_ok() => (base, number.parse().unwrap()),
            _ => (name.as_str(), 0),
        };
        if !base.starts_with("x") {
            continue;
        }
        modes.insert(masked(&name), fs::metadata(&path).unwrap().permissions().mode() & 0o7777);
        // The oldest has the highest number.
        numbered.entry(masked(base)).or_default().insert(-number, fs::read(&path).unwrap());
    }
    let contents = numbered.into_iter().map(|(base, files)| (base, files.into_values().flatten().collect()));
    Logs { contents: contents.collect(), modes }
}

/// The random letters of a name that was made up become stars.
fn masked(name: &str) -> String {
    match name.split_once("---supervisor-") {
        Some((front, back)) => format!("{front}---supervisor-********{}", &back[8..]),
        None => name.to_string(),
    }
}

#[track_caller]
fn check(command: &str, keys: &str) -> Logs {
    let conf = conf(command, keys);
    let (ours, theirs) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| run(Side::Original, &conf));
        (run(Side::Ours, &conf), theirs.join().unwrap())
    });
    assert_eq!(ours, theirs);
    ours
}

#[test]
fn automatic_names() {
    let logs = check("sh -c 'echo out; echo err >&2'", "");
    assert_eq!(logs.contents["x-stdout---supervisor-********.log"], b"out\n");
    assert_eq!(logs.contents["x-stderr---supervisor-********.log"], b"err\n");
}

#[test]
fn named_files_and_any_bytes() {
    let keys = "stdout_logfile=%(here)s/x.out\nstderr_logfile=%(here)s/x.err";
    check("sh -c 'head -c 3000000 /dev/zero; printf \"\\377\\376 no newline\"; echo err >&2'", keys);
}

#[test]
fn redirected_stderr() {
    let keys = "redirect_stderr=true\nstdout_logfile=%(here)s/x.out";
    check("sh -c 'echo one; echo two >&2; echo three'", keys);
}

#[test]
fn no_logs() {
    let logs = check("sh -c 'echo one; echo two >&2'", "stdout_logfile=NONE\nstderr_logfile=NONE");
    assert!(logs.contents.is_empty());
}

#[test]
fn two_streams_with_one_file() {
    let keys = "stdout_logfile=%(here)s/x.both\nstderr_logfile=%(here)s/x.both";
    let conf = conf("sh -c 'for i in 1 2 3 4 5 6 7 8 9; do echo out; echo err >&2; done'", keys);
    // In which order the two arrive is nobody's promise.
    let sorted = |side| {
        let text = String::from_utf8(run(side, &conf).contents["x.both"].clone()).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(Side::Ours), sorted(Side::Original));
}

#[test]
fn rotation_at_every_write() {
    // Every write waits until the one before has been logged, so that both daemons see the same pieces.
    let command = "sh -c 'for i in 1 2 3 4 5 6 7 8 9; do line=00000000$i; echo $line; until grep -qs $line x.out x.out.1; do \
                   sleep 0.02; done; done'";
    for (maxbytes, backups) in [(10, 3), (30, 1), (30, 10), (0, 3)] {
        let keys = format!(
            "stdout_logfile=%(here)s/x.out\nstdout_logfile_maxbytes={maxbytes}\nstdout_logfile_backups={backups}"
        );
        check(command, &keys);
    }
}

#[test]
fn terminal_sequences() {
    let strip = "stdout_logfile=%(here)s/x.out\n[supervisord]\nstrip_ansi=true";
    check("sh -c 'printf \"\\033[31mred\\033[0m plain \\033[2Kline\\n\"'", strip);
}

#[test]
fn captured_data_is_not_logged() {
    let keys = "stdout_logfile=%(here)s/x.out\nstdout_capture_maxbytes=1MB";
    // A trailing text longer than a token: the original never logs a shorter one.
    let tail = "y".repeat(40);
    let command = format!(
        "sh -c 'printf \"before<!--XSUPERVISOR:BEGIN-->secret<!--XSUPERVISOR:END-->after {tail}\\n\"'"
    );
    let conf = conf(&command, keys);
    let (ours, theirs) = (run(Side::Ours, &conf), run(Side::Original, &conf));
    let expected = format!("beforeafter {tail}\n");
    assert_eq!(String::from_utf8_lossy(&ours.contents["x.out"]), expected);
    // The original withholds the last bytes for good; what it has logged is the beginning.
    assert!(expected.as_bytes().starts_with(&theirs.contents["x.out"]));
}
