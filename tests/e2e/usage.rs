//! What processes use of the machine: `status --columns`, `top` and `supervisord.getUsage`.

use crate::start;
use crate::support::{LONG, kill, until};
use nix::sys::signal::Signal;
use supervisord::model::state::ProcessState::{Running, Stopped};

#[test]
fn columns_show_who_uses_what() {
    let daemon = start(
        "[program:busy]\ncommand=/bin/sh -c 'while :; do :; done'\n[program:idle]\ncommand=sleep 1000\n\
         [program:off]\ncommand=sleep 1000\nautostart=false\n",
    );
    daemon.wait_for_state("busy", Running, LONG);
    daemon.wait_for_state("idle", Running, LONG);
    let rows = || -> serde_json::Value {
        let run = daemon.ctl(&["status", "--columns", "--json"]);
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {}", run.stdout))
    };
    until("one of them is seen to be busy", LONG, || {
        let rows = rows();
        rows[0]["cpu_percent"].as_f64() > Some(20.0) && rows[1]["cpu_percent"].as_f64() < Some(20.0)
    });
    let rows = rows();
    assert_eq!(rows[1]["pid"], daemon.pid_of("idle"));
    assert_eq!((&rows[1]["tasks"], &rows[1]["restarts"]), (&1.into(), &0.into()));
    assert!(rows[1]["memory_bytes"].as_i64() > Some(100_000), "{rows}");
    assert_eq!((&rows[2]["pid"], &rows[2]["memory_bytes"]), (&0.into(), &0.into()));

    // A restart is counted, and lines are sorted as they are asked for.
    let before = daemon.pid_of("idle");
    kill(before, Signal::SIGKILL);
    until("it runs again", LONG, || ![0, before].contains(&daemon.pid_of("idle")));
    daemon.wait_for_state("idle", Running, LONG);
    let run = daemon.ctl(&["status", "--columns=restarts,name,state", "idle", "off"]);
    assert_eq!(
        (run.stdout.as_str(), run.code),
        ("RESTARTS  NAME  STATE\n       1  idle  RUNNING\n       0  off   STOPPED\n", 3)
    );
    let run = daemon.ctl(&["status", "--columns=nope"]);
    assert!(run.stdout.contains("there is no column 'nope'; the columns are name, state"), "{}", run.stdout);

    // Without a terminal it is shown once, the one that works first.
    let run = daemon.ctl(&["top"]);
    let names: Vec<&str> = run.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!((names[..2].to_vec(), names.len(), run.code), (vec!["NAME", "busy"], 4, 0));
    daemon.wait_for_state("off", Stopped, LONG);
}
