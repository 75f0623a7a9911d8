//! How long a client waits that asks just when the manager is killed, or when another binary takes over.

use crate::support::{Daemon, LONG, Side, Start, kill, running, text, until, until_some};
use nix::sys::signal::Signal;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const N_CLIENTS: usize = 16;

const CONF: &str = "
[supervisord]
silent=true
[program:p]
command=sleep 100000
process_name=%(process_num)d
numprocs=16
startsecs=0
";

/// A request and its answer.
#[derive(Clone, Copy, Debug)]
struct Served {
    asked: Instant,
    answered: Instant,
    failed: bool,
}

pub fn measure(n: usize) {
    let daemon = Start::new(Side::Ours, CONF).ready();
    let killed: Vec<Duration> = (0..n).map(|_| gap_of_kill(&daemon)).collect();
    print("control gap, kill -9", killed);
    let (gaps, n_requests, n_failed) = gaps_of_upgrades(&daemon, n.min(50));
    print("control gap, upgrade under 16 clients", gaps);
    println!("{n_requests} requests meanwhile, {n_failed} of them refused or failed");
}

fn print(what: &str, mut durations: Vec<Duration>) {
    durations.sort_unstable();
    let at = |share: f64| durations[((durations.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{what}: p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms", at(0.5), at(0.99), at(1.0));
}

fn ask(daemon: &Daemon) -> io::Result<()> {
    let answer = daemon.address().call("supervisor.getProcessInfo", vec![text("p:0")])?;
    answer.map(drop).map_err(|fault| io::Error::other(fault.to_string()))
}

/// From the kill to the first answer: what a client waits at most that comes at any moment.
fn gap_of_kill(daemon: &Daemon) -> Duration {
    let manager = until_some("a manager", LONG, || daemon.manager());
    until("it answers", LONG, || daemon.answers());
    kill(manager, Signal::SIGKILL);
    let begun = Instant::now();
    while ask(daemon).is_err() {}
    begun.elapsed()
}

/// The longest that any of the clients had to wait, for each upgrade; and how many requests there were, and how
/// many of them failed.
fn gaps_of_upgrades(daemon: &Daemon, n: usize) -> (Vec<Duration>, usize, usize) {
    let (is_over, served) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let mut windows = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..N_CLIENTS {
            scope.spawn(|| {
                let mut ours = Vec::new();
                while !is_over.load(Ordering::Acquire) {
                    let asked = Instant::now();
                    let failed = ask(daemon).is_err();
                    ours.push(Served { asked, answered: Instant::now(), failed });
                }
                served.lock().expect("nobody panics with it").append(&mut ours);
            });
        }
        for _ in 0..n {
            let begun = Instant::now();
            let before = until_some("a manager", LONG, || daemon.manager());
            daemon.signal(Signal::SIGUSR1);
            until("another manager", LONG, || daemon.manager().is_some_and(|manager| manager != before));
            std::thread::sleep(Duration::from_millis(100));
            windows.push((begun, Instant::now()));
            // The trial is ended by the candidate's death, or it would last half a minute.
            let candidate = until_some("the candidate", LONG, || daemon.manager());
            kill(candidate, Signal::SIGKILL);
            until("the candidate is gone", LONG, || !running(candidate));
            until("a manager answers", LONG, || daemon.answers());
        }
        is_over.store(true, Ordering::Release);
    });
    let served = served.into_inner().expect("nobody panics with it");
    let within = |served: &&Served, (begun, ended): &(Instant, Instant)| {
        served.answered >= *begun && served.asked <= *ended
    };
    let gap = |window: &(Instant, Instant)| {
        let waited = served.iter().filter(|served| within(served, window));
        waited.map(|served| served.answered - served.asked).max().unwrap_or_default()
    };
    let of_upgrades = |served: &&Served| {
        windows.iter().any(|(begun, ended)| served.asked >= *begun && served.answered <= *ended)
    };
    let counted: Vec<&Served> = served.iter().filter(of_upgrades).collect();
    let n_failed = counted.iter().filter(|served| served.failed).count();
    (windows.iter().map(gap).collect(), counted.len(), n_failed)
}
