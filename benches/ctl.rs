//! How long the client takes, the whole process included, beside the original in the same run.
//!
//! `SUPERVISOR_VENV` names the original; without it only our own figures are printed.

#[path = "../tests/ctl_support/mod.rs"]
mod ctl_support;

use ctl_support::{Supervised, Whose};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Runs of which the middle one counts.
const RUNS: usize = 11;

fn main() {
    let venv = std::env::var_os("SUPERVISOR_VENV").map(PathBuf::from);
    for n_programs in [10, 1000] {
        status(n_programs, venv.as_deref());
    }
    restart_all();
}

fn status(n_programs: usize, venv: Option<&std::path::Path>) {
    let programs = programs(n_programs);
    let ours = Supervised::start(Whose::Ours, venv.unwrap_or("/".as_ref()), &programs, false);
    let our_time = middle(&ours, Whose::Ours);
    println!("status of {n_programs}: {our_time:?}");
    let Some(venv) = venv else { return };
    let theirs = Supervised::start(Whose::Theirs, venv, &programs, false);
    let mixed = middle(&theirs, Whose::Ours);
    let their_time = middle(&theirs, Whose::Theirs);
    let ratio = their_time.as_secs_f64() / our_time.as_secs_f64();
    println!("  the original: {their_time:?}, {ratio:.1} times as long; our client on its daemon: {mixed:?}");
}

/// Programs that do nothing, and one that is not started so that `status` has all of its work to do.
fn programs(n_programs: usize) -> String {
    let running = n_programs - 1;
    format!(
        "[program:p]\ncommand=/bin/sleep 1000\nprocess_name=%(program_name)s_%(process_num)04d\nnumprocs={running}\n\
         startsecs=0\nstdout_logfile=NONE\nstderr_logfile=NONE\n[program:off]\ncommand=/bin/true\nautostart=false\n"
    )
}

fn middle(daemon: &Supervised, client: Whose) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let begin = Instant::now();
            let (text, exit) = daemon.run(client, "status");
            assert!(exit == 3 && text.lines().count() >= 10, "{text}");
            begin.elapsed()
        })
        .collect();
    times.sort();
    times[RUNS / 2]
}

/// 100 programs, one of which takes a second to stop.
fn restart_all() {
    let slow = "[program:slow]\ncommand=/bin/sh -c 'trap \"sleep 1; exit\" TERM; while :; do sleep 0.1; done'\nstartsecs=0\n";
    let daemon = Supervised::start(Whose::Ours, "/".as_ref(), &(programs(100) + slow), false);
    let begin = Instant::now();
    let (text, exit) = daemon.run(Whose::Ours, "restart all");
    let n_lines = text.lines().filter(|line| line.ends_with(": started")).count();
    println!(
        "restart all of 100, the slowest takes a second: {:?} ({n_lines} started, exit {exit})",
        begin.elapsed()
    );
}
