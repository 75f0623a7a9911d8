//! How long the client takes, the whole process included, beside the original in the same run.
//!
//! Where the original is not installed, only our own figures are printed.

#[path = "../tests/ctl_support/mod.rs"]
mod ctl_support;
#[path = "../tests/support/mod.rs"]
mod support;

use ctl_support::Supervised;
use std::time::{Duration, Instant};
use support::Side;

/// Runs of which the middle one counts.
const RUNS: usize = 11;

fn main() {
    for n_programs in [10, 1000] {
        status(n_programs);
    }
    restart_all();
}

fn status(n_programs: usize) {
    let programs = programs(n_programs);
    let ours = Supervised::start(Side::Ours, &programs, false);
    let our_time = middle(&ours, Side::Ours);
    println!("status of {n_programs}: {our_time:?}");
    if !Side::original_is_there() {
        return;
    }
    let theirs = Supervised::start(Side::Original, &programs, false);
    let mixed = middle(&theirs, Side::Ours);
    let their_time = middle(&theirs, Side::Original);
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

fn middle(daemon: &Supervised, client: Side) -> Duration {
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
    let daemon = Supervised::start(Side::Ours, &(programs(100) + slow), false);
    let begin = Instant::now();
    let (text, exit) = daemon.run(Side::Ours, "restart all");
    let n_lines = text.lines().filter(|line| line.ends_with(": started")).count();
    println!(
        "restart all of 100, the slowest takes a second: {:?} ({n_lines} started, exit {exit})",
        begin.elapsed()
    );
}
