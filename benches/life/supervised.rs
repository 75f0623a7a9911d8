//! The same under a daemon, ours or the original.

use crate::program::{Birth, Births, now, until_last};
use crate::support::{Daemon, LONG, Side, Start, descendants, kill, proportional_kib, sleeps, until_some};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// A daemon with a number of programs.
pub struct Supervised {
    births: Births,
    daemon: Daemon,
    /// From the daemon's start until the last program's first instruction.
    pub started: Duration,
    running: Vec<Birth>,
}

/// As users run them: with logs, without any delay of their own.
fn conf(births: &Births, number: usize) -> String {
    let [program, word, pipe] = births.command();
    let command = format!("{} {} {}", program.display(), word.display(), pipe.display());
    let mut conf = "[supervisord]\nloglevel=info\nminfds=4096\nsilent=true\n".to_string();
    if number > 0 {
        conf += &format!(
            "
[program:p]
command={command}
process_name=%(process_num)d
numprocs={number}
startsecs=0
autorestart=true
redirect_stderr=true
stdout_logfile=%(here)s/%(process_num)d.log
"
        );
    }
    conf
}

impl Supervised {
    /// Starts a daemon with `number` programs and waits until they live and the daemon says so.
    pub fn new(side: Side, number: usize) -> Supervised {
        let mut births = Births::new();
        let start = Start::new(side, &conf(&births, number));
        let begin = now();
        let mut daemon = start.spawn();
        let running = births.take(number);
        let started = until_last(begin, &running);
        daemon.wait_ready();
        Supervised { births, daemon, started, running }
    }

    /// Kills one program; the time until its successor's first instruction.
    pub fn replace_one(&mut self) -> Duration {
        let Birth { pid, .. } = self.running.pop().expect("there is a program");
        let begin = now();
        kill(pid, Signal::SIGKILL);
        let birth = self.births.next();
        self.running.push(birth);
        Duration::from_nanos(birth.at.saturating_sub(begin))
    }

    /// Kills all of them; the time until the last successor's first instruction.
    pub fn replace_all(&mut self) -> Duration {
        let begin = now();
        self.running.iter().for_each(|birth| kill(birth.pid, Signal::SIGKILL));
        self.running = self.births.take(self.running.len());
        until_last(begin, &self.running)
    }

    /// Tells the daemon to end; the time until it and everything else has.
    pub fn shut_down(mut self) -> Duration {
        let begin = Instant::now();
        self.daemon.signal(Signal::SIGTERM);
        let child = self.daemon.wait_exit_within(Duration::from_secs(300));
        assert_eq!(child, 0, "an orderly end");
        begin.elapsed()
    }

    /// Keeper and manager together, in KiB.
    pub fn memory_kib(&self) -> u64 {
        self.daemons().into_iter().map(proportional_kib).sum()
    }

    /// How often keeper and manager went to sleep within `period` while nothing happened.
    pub fn wake_ups(&self, period: Duration) -> u64 {
        // What the start left to do must be over.
        until_some("a quiet daemon", LONG, || {
            let before = self.sleeps();
            std::thread::sleep(Duration::from_millis(500));
            (self.sleeps() <= before + 1).then_some(())
        });
        let before = self.sleeps();
        std::thread::sleep(period);
        self.sleeps() - before
    }

    fn sleeps(&self) -> u64 {
        self.daemons().into_iter().map(sleeps).sum()
    }

    /// The processes that make up the daemon.
    fn daemons(&self) -> Vec<i32> {
        std::iter::once(self.daemon.pid()).chain(self.daemon.manager()).collect()
    }

    /// Kills the manager; the time until a client that connects at that moment is answered.
    pub fn control_gap(&self) -> Duration {
        let manager = until_some("a manager", LONG, || self.daemon.manager());
        let begin = Instant::now();
        kill(manager, Signal::SIGKILL);
        // The first answer may still be cut off with the manager that was to give it.
        while !self.daemon.answers() {
            assert!(begin.elapsed() < LONG, "no manager came back");
        }
        begin.elapsed()
    }

    /// How many programs are below the daemon.
    pub fn count(&self) -> usize {
        descendants(self.daemon.pid())
            .iter()
            .filter(|process| process.cmdline.contains(crate::program::WORD))
            .count()
    }
}
