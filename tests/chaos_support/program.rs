//! A supervised program that keeps its own records: when it lived, what it wrote, and how it meant to end.
//!
//! In its working directory are, for a program called `n`: `n.lives` with a line for each life's beginning and
//! one for its end if it ended by itself; `n.counts` with a record per life that says how many lines it has written
//! to its standard output; `n.lock`, locked while it lives.

use crate::support::Random;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise, sigprocmask};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Bytes of a record in `n.counts`.
pub const COUNT_BYTES: usize = 16;

/// How a program lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It runs until it is stopped.
    Steady,
    /// It ends by itself, soon, in different ways.
    Restless,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Steady => "steady",
            Kind::Restless => "restless",
        }
    }
}

/// The program itself.
pub fn run(name: &str, kind: &str) -> ! {
    let append = |suffix: &str| {
        let path = format!("{name}.{suffix}");
        OpenOptions::new().create(true).append(true).open(path).expect("the directory is the test's")
    };
    let mut lives = append("lives");
    let pid = std::process::id();
    let lock = Flock::lock(append("lock"), FlockArg::LockExclusiveNonblock);
    if lock.is_err() {
        writeln!(lives, "double {pid}").expect("the directory is the test's");
    }
    let so_far = fs::read_to_string(format!("{name}.lives")).expect("it is open");
    let life = so_far.lines().filter(|line| line.starts_with("begin")).count();
    // Read and written by one process at a time, unless something is wrong.
    lives.write_all(format!("begin {pid}\n").as_bytes()).expect("the directory is the test's");
    let counts = File::options().create(true).truncate(false).write(true).open(format!("{name}.counts"));
    let counts = counts.expect("the directory is the test's");
    let mut random = Random::new(u64::from(pid) ^ (life as u64) << 32);
    let n_lines = if kind == Kind::Steady.name() { u64::MAX } else { random.below(120) };
    let mut stdout = std::io::stdout();
    for number in 1..=n_lines {
        let line = format!("{life} {number} {}\n", &"abcdefghijklmnopqrstuvwxyz"[..(number % 26) as usize]);
        // One write each, so that a line is in the pipe or is not.
        stdout.write_all(line.as_bytes()).expect("somebody reads our output");
        stdout.flush().expect("somebody reads our output");
        let record = format!("{number:0width$}\n", width = COUNT_BYTES - 1);
        counts.write_all_at(record.as_bytes(), (life * COUNT_BYTES) as u64).expect("the disk has room");
        std::thread::sleep(Duration::from_micros(random.below(8000)));
    }
    // Nobody may change our mind between the record and the end.
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), None).expect("signals can be blocked");
    if random.below(4) == 0 {
        let signal = [Signal::SIGUSR1, Signal::SIGALRM, Signal::SIGKILL][random.below(3) as usize];
        lives.write_all(format!("end {signal}\n").as_bytes()).expect("the directory is the test's");
        let mut ours = SigSet::empty();
        ours.add(signal);
        sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&ours), None).expect("signals can be unblocked");
        raise(signal).expect("it is ours to raise");
    }
    let code = random.below(6);
    lives.write_all(format!("end {code}\n").as_bytes()).expect("the directory is the test's");
    std::process::exit(code as i32);
}
