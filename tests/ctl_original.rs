//! Both clients against an original daemon: what they print and leave must be the same.
//!
//! Runs if `SUPERVISOR_VENV` names a Python environment with Supervisor 4.3.0; fails if it names anything else. Two
//! original daemons get the same configuration and the same commands, one from each client. Standard output and
//! exit status must agree.

mod ctl_support;
mod support;

use ctl_support::{Supervised, normalize};
use support::Side;

const PROGRAMS: &str = "
[program:cat]
command=/bin/cat
startsecs=0

[program:off]
command=/bin/sleep 1000
autostart=false
startsecs=0

[program:fails]
command=/bin/sh -c 'sleep 0.3; exit 1'
autostart=false
startsecs=10
startretries=0

[program:missing]
command=/nonexistent/program
autostart=false

[program:data]
command=/etc/passwd
autostart=false

[program:talk]
command=/bin/sh -c 'echo hello; echo oops >&2; exec sleep 1000'
startsecs=0

[program:multi]
command=/bin/sleep 1000
process_name=%(program_name)s_%(process_num)02d
numprocs=2
startsecs=0

[program:a]
command=/bin/sleep 1000
startsecs=0

[program:b]
command=/bin/sleep 1000
startsecs=0
autostart=false

[group:grp]
programs=a,b
priority=50
";

/// A command, or with `@` a change of the configuration: `@+name` adds a program, `@-name` drops it, `@!` breaks it, `@=`
/// mends it.
const STEPS: &[&str] = &[
    "version extra",
    "status cat",
    "status cat nope multi:* zz:* cat",
    "status off",
    "status grp:*",
    "status all nope",
    "start",
    "start cat",
    "start off",
    "start nope",
    "start nope:*",
    "start grp:nope",
    "start fails",
    "start missing",
    "start data",
    "start grp:*",
    "start grp:*",
    "stop",
    "stop off cat",
    "stop off",
    "stop nope",
    "stop nope:*",
    "stop multi:*",
    "stop cat cat",
    "restart",
    "restart cat nope",
    "restart off zz:*",
    "restart grp:*",
    "signal",
    "signal HUP",
    "signal CONT cat",
    "signal 18 off cat",
    "signal sigcont grp:*",
    "signal NOPE cat",
    "signal CONT nope",
    "signal CONT nope:*",
    "signal CONT fails",
    "signal CONT all",
    "pid",
    "pid all",
    "pid cat talk",
    "version",
    "tail",
    "tail talk",
    "tail -3 talk",
    "tail --3 talk",
    "tail -0 talk STDERR",
    "tail talk stderr",
    "tail talk foo",
    "tail nope",
    "tail multi:*",
    "tail -f",
    "tail -x talk",
    "tail -5 talk stdout more",
    "maintail foo",
    "maintail -5 more",
    "fg",
    "fg nope",
    "fg fails",
    "fg cat talk",
    "fg multi:*",
    "help nope",
    "? nope",
    "open foo",
    "quit now",
    "exit",
    "!ls",
    "pid nope",
    "pid fails",
    "pid multi:*",
    "avail",
    "avail x",
    "reread",
    "reread x",
    "add",
    "add nope",
    "add cat",
    "remove",
    "remove nope",
    "remove cat",
    "@+fresh",
    "reread",
    "add fresh",
    "status fresh",
    "stop fresh",
    "remove fresh",
    "add fresh",
    "@-fresh",
    "reread",
    "update nope",
    "update cat",
    "update fresh",
    "update",
    "@+fresh",
    "@+second",
    "update second",
    "update all",
    "@!",
    "reread",
    "@=",
    "update",
    "shutdown x",
    "reload x",
    "clear",
    "clear cat",
    "clear nope",
    "clear all",
    "nonsense",
    "status:cat",
    "stop all",
    "stop all",
    "status",
    "start all",
    "shutdown",
    "status",
    "start cat",
    "avail",
    "shutdown",
];

/// What is typed into both shells, one after the other.
const LINES: &str = "\n\nfoo\n  status:cat\n? nope\nshutdown\nn\nopen foo\nstop cat nope\nEOF\npid\n";

/// Runs steps against a daemon of its own; what was printed and left, step by step.
fn transcript(client: Side, daemon: &Supervised, steps: &[&str]) -> Vec<String> {
    let mut text = vec![format!("{:?}", daemon.piped(LINES, client))];
    for step in steps {
        if let Some(change) = step.strip_prefix('@') {
            daemon.change(change);
            continue;
        }
        let (output, exit) = daemon.run(client, step);
        let mut output = normalize(&output, daemon);
        if step.contains("*") || step.contains("all") {
            // The order in which several processes are done differs from time to time.
            output = sorted_lines(&output);
        }
        text.push(format!("$ {step}\n{output}$? {exit}\n"));
        if *step == "shutdown" {
            daemon.wait_until_gone();
        }
    }
    text
}

fn sorted_lines(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort();
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Plays steps with both clients, each on a daemon of its own, and compares.
fn compare(inet: bool, steps: &[&str]) {
    if std::env::var_os("SUPERVISOR_VENV").is_none() {
        return eprintln!("SUPERVISOR_VENV is not set: nothing to compare with");
    }
    let play = |client| transcript(client, &Supervised::start(Side::Original, PROGRAMS, inet), steps);
    let (theirs, ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| play(Side::Original));
        let ours = scope.spawn(|| play(Side::Ours));
        (theirs.join().unwrap(), ours.join().unwrap())
    });
    let differing: Vec<String> = theirs
        .iter()
        .zip(&ours)
        .filter(|(theirs, ours)| theirs != ours)
        .map(|(theirs, ours)| format!("--- the original client\n{theirs}+++ ours\n{ours}"))
        .collect();
    assert!(differing.is_empty(), "{} steps differ:\n{}", differing.len(), differing.join("\n"));
}

#[test]
fn clients_agree_over_a_unix_socket() {
    compare(false, STEPS);
}

#[test]
fn clients_agree_over_tcp() {
    compare(
        true,
        &[
            "status",
            "start off",
            "stop off",
            "signal HUP nope",
            "avail",
            "shutdown",
            "status",
            "pid",
            "avail",
            "shutdown",
        ],
    );
}
