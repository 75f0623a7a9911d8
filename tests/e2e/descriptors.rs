//! Many programs with few descriptors: a hard limit of 1,024 is what many systems have.

use crate::support::{Daemon, LONG, Side, Start, kill, member, text, until};
use nix::sys::signal::Signal;
use std::collections::HashMap;
use supervisord::model::state::ProcessState::Running;

/// So many programs with two logs each run under the original at that limit, whatever is configured: five descriptors
/// each, and 13 for itself.
const WITH_THE_ORIGINAL: usize = 202;

/// Programs that write down what they are told.
fn daemon_with(n_programs: usize) -> Daemon {
    let conf = format!(
        "
[supervisord]
loglevel=info
[program:n]
command=/bin/cat
process_name=%(process_num)d
numprocs={n_programs}
startsecs=0
startretries=0
stdout_logfile=%(here)s/%(process_num)d.out
stderr_logfile=%(here)s/%(process_num)d.err
"
    );
    Start::new(Side::under_test(), &conf).under(&["prlimit", "--nofile=1024:1024"]).ready()
}

/// How many processes are in each state.
fn states(daemon: &Daemon) -> HashMap<String, usize> {
    let mut states = HashMap::new();
    for info in daemon.rows("supervisor.getAllProcessInfo") {
        *states.entry(member::<String>(&info, "statename")).or_default() += 1;
    }
    states
}

fn say(daemon: &Daemon, number: usize, what: &str) {
    daemon.call("supervisor.sendProcessStdin", vec![text(&format!("n:{number}")), text(what)]);
}

#[test]
fn as_many_programs_run_as_under_the_original_and_lack_nothing() {
    let daemon = daemon_with(WITH_THE_ORIGINAL);
    let everybody = HashMap::from([("RUNNING".to_string(), WITH_THE_ORIGINAL)]);
    until("all are running", LONG, || states(&daemon) == everybody);
    assert!(!daemon.log().contains("open files"), "{}", daemon.log());
    let last = WITH_THE_ORIGINAL - 1;
    let mut expected = String::new();
    let mut talk = |daemon: &Daemon, what: &str| {
        expected += what;
        for number in [0, 100, last] {
            say(daemon, number, what);
        }
        for number in [0, 100, last] {
            let file = format!("{number}.out");
            until(&format!("{number} has written {what:?}"), LONG, || daemon.read(&file) == expected);
        }
    };
    talk(&daemon, "one\n");
    // Another manager gets by with as few.
    daemon.replace_manager();
    talk(&daemon, "two\n");
    // And so do the successors of programs.
    for number in [0, 100, last] {
        let name = format!("n:{number}");
        let pid = daemon.pid_of(&name);
        kill(pid, Signal::SIGKILL);
        until("it is started again", LONG, || ![0, pid].contains(&daemon.pid_of(&name)));
        daemon.wait_for_state(&name, Running, LONG);
    }
    talk(&daemon, "three\n");
}

#[test]
fn the_start_says_how_many_programs_the_limit_allows() {
    let daemon = daemon_with(400);
    daemon.wait_log(
        "WARN the hard limit of 1024 open files is enough for about 241 of the 400 configured processes",
    );
    until("none is on its way", LONG, || {
        let states = states(&daemon);
        states.get("RUNNING").unwrap_or(&0) + states.get("FATAL").unwrap_or(&0) == 400
    });
    assert!(states(&daemon)["RUNNING"] >= 241, "{:?}", states(&daemon));
    // Nobody who runs has no log.
    assert!(!daemon.log().contains("could not write log file"), "{}", daemon.log());
}
