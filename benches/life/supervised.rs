//! The same under a daemon, ours or the original.

use crate::program::{Birth, Births, now, until_last};
use crate::support::{
    Daemon, Descendant, LONG, Side, Start, descendants, flag, kill, proportional_kib, sleeps_of_threads,
    text, until, until_some,
};
use nix::sys::signal::Signal;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use supervisord::model::state::ProcessState;

/// A daemon with a number of programs.
pub struct Supervised {
    births: Births,
    daemon: Daemon,
    /// From the daemon's start until the last program's first instruction.
    pub started: Duration,
    running: Vec<Birth>,
}

/// Twice the default of `manager_watchdog_secs`, and a little.
const LAST_LOOK: Duration = Duration::from_secs(65);

/// How many programs there are, and in how many groups.
#[derive(Clone, Copy)]
pub enum Crew {
    OneGroup(usize),
    Groups(usize),
    /// One group, and the soft limit on descriptors is as most systems have it.
    Limited(usize),
    /// One group of programs as most are: the C library is in memory once for all of them and the daemon. The others
    /// do without it.
    Ordinary(usize),
    /// As many groups, which depend on each other or do not, and have no logs.
    Depends(Shape, usize),
    /// One group, with these keys of each program.
    Keyed(&'static str, usize),
}

/// Who depends on whom.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    Nobody,
    /// Nobody, but each has a priority of its own: one after the other, as in a chain.
    OneByOne,
    /// Each on the one before.
    Chain,
    /// All on the first.
    Fan,
    /// Ten layers, each program on all of the layer before.
    Layers,
}

impl Shape {
    /// Line by line, the configuration of so many programs.
    fn sections(self, number: usize, command: &str) -> String {
        let in_layer = number.div_ceil(10).max(1);
        let depends = |at: usize| match self {
            Shape::Chain if at > 0 => format!("depends_on=p{}\n", at - 1),
            Shape::Fan if at > 0 => "depends_on=p0\n".to_string(),
            Shape::Layers if at >= in_layer => format!("depends_on=layer{}:*\n", at / in_layer - 1),
            _ => String::new(),
        };
        let program = |at: usize| {
            let priority = if matches!(self, Shape::OneByOne) { at } else { 999 };
            format!(
                "[program:p{at}]\ncommand={command}\nstartsecs=0\nautorestart=true\nstdout_logfile=NONE\n\
                 redirect_stderr=true\npriority={priority}\n{}",
                depends(at)
            )
        };
        let mut text: String = (0..number).map(program).collect();
        // Without dependencies, too, so that both have the same groups.
        for layer in 0..number.div_ceil(in_layer) {
            let members: Vec<String> =
                (layer * in_layer..number.min((layer + 1) * in_layer)).map(|at| format!("p{at}")).collect();
            text += &format!("[group:layer{layer}]\nprograms={}\n", members.join(","));
        }
        // Most of what is configured rests: so many cannot run, for want of descriptors.
        let depends = if matches!(self, Shape::Nobody | Shape::OneByOne) { "" } else { "depends_on=p0\n" };
        text += &format!(
            "[program:resting]\ncommand={command}\nprocess_name=resting%(process_num)d\nnumprocs={}\n\
             autostart=false\nstdout_logfile=NONE\nredirect_stderr=true\n{depends}",
            number * 3 / 2
        );
        text
    }
}

impl Crew {
    /// How many of them tell when they are born.
    fn n_births(self) -> usize {
        match self {
            Crew::OneGroup(number)
            | Crew::Groups(number)
            | Crew::Limited(number)
            | Crew::Keyed(_, number)
            | Crew::Depends(_, number) => number,
            Crew::Ordinary(_) => 0,
        }
    }

    /// As users run them: with logs, without any delay of their own.
    fn conf(self, births: &Births) -> String {
        let words = births.command();
        let words: Vec<String> = match self {
            Crew::Ordinary(_) => vec!["/bin/sleep".into(), "1000000".into()],
            _ => words.iter().map(|word| word.display().to_string()).collect(),
        };
        let keys = if let Crew::Keyed(keys, _) = self { keys } else { "" };
        let here = births.directory();
        if !keys.is_empty() {
            std::fs::write(here.join("variables.env"), "A=1\nB='two'\n").expect("the directory is ours");
        }
        let program =
            births.command().first().map(|program| program.display().to_string()).unwrap_or_default();
        let keys = keys.replace("BIRTHS", &here.display().to_string()).replace("PROGRAM", &program);
        let section = |name: &str, numprocs: usize| {
            format!(
                "
[program:{name}]
command={}
process_name={name}%(process_num)d
numprocs={numprocs}
startsecs=0
autorestart=true
redirect_stderr=true
stdout_logfile=%(here)s/{name}%(process_num)d.log
{keys}",
                words.join(" ")
            )
        };
        let programs: String = match self {
            Crew::OneGroup(0) | Crew::Limited(0) | Crew::Ordinary(0) => String::new(),
            Crew::OneGroup(number)
            | Crew::Limited(number)
            | Crew::Keyed(_, number)
            | Crew::Ordinary(number) => section("p", number),
            Crew::Depends(shape, number) => shape.sections(number, &words.join(" ")),
            Crew::Groups(number) => (0..number).map(|number| section(&format!("p{number}"), 1)).collect(),
        };
        let minfds = if matches!(self, Crew::Limited(_)) { "" } else { "minfds=4096\n" };
        format!("[supervisord]\nloglevel=info\nsilent=true\n{minfds}{programs}")
    }
}

/// A second after the start was decided, which was a moment before the birth.
const OLD: Duration = Duration::from_millis(1010);

impl Supervised {
    /// Starts a daemon with programs and waits until they live and the daemon says so.
    pub fn new(side: Side, crew: Crew) -> Supervised {
        let mut births = Births::new();
        let mut start = Start::new(side, &crew.conf(&births));
        if let Crew::Limited(_) = crew {
            start = start.under(&["prlimit", "--nofile=1024:"]);
        }
        let begin = now();
        let mut daemon = start.spawn();
        let running = births.take(crew.n_births());
        let started = until_last(begin, &running);
        daemon.wait_ready();
        if let Crew::Ordinary(number) = crew {
            let is_asleep = |child: &Descendant| child.cmdline.starts_with("/bin/sleep");
            until("everybody sleeps", LONG, || {
                descendants(daemon.pid()).iter().filter(|child| is_asleep(child)).count() == number
            });
        }
        Supervised { births, daemon, started, running }
    }

    /// Kills the program that has lived longest; the time until its successor's first instruction.
    pub fn replace_one(&mut self) -> Duration {
        let Birth { pid, at, .. } = self.running.remove(0);
        wait_until_old(at);
        let begin = now();
        kill(pid, Signal::SIGKILL);
        let birth = self.births.next();
        self.running.push(birth);
        Duration::from_nanos(birth.at.saturating_sub(begin))
    }

    /// Kills all of them; the time until the last successor's first instruction.
    pub fn replace_all(&mut self) -> Duration {
        self.running.iter().for_each(|birth| wait_until_old(birth.at));
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
        // What the start left to do must be over: the keeper looks twice, each time after `manager_watchdog_secs`,
        // whether the manager has reacted to the last request.
        if self.daemon.manager_now().is_some() {
            std::thread::sleep(LAST_LOOK);
        }
        until_some("a quiet daemon", LONG, || {
            let before = self.sleeps();
            std::thread::sleep(Duration::from_millis(500));
            (self.sleeps() <= before + 1).then_some(())
        });
        let before = self.sleeps_of_threads();
        std::thread::sleep(period);
        let after = self.sleeps_of_threads();
        let woken = after.iter().map(|(thread, sleeps)| sleeps - before.get(thread).unwrap_or(&0));
        // A thread that has ended woke up to do so.
        let n_ended = before.keys().filter(|thread| !after.contains_key(thread)).count();
        woken.sum::<u64>() + n_ended as u64
    }

    fn sleeps(&self) -> u64 {
        self.sleeps_of_threads().into_values().sum()
    }

    fn sleeps_of_threads(&self) -> HashMap<i32, u64> {
        self.daemons().into_iter().flat_map(sleeps_of_threads).collect()
    }

    /// The processes that make up the daemon.
    fn daemons(&self) -> Vec<i32> {
        std::iter::once(self.daemon.pid()).chain(self.daemon.manager_now()).collect()
    }

    /// Kills the manager; the time until a client that connects at that moment is answered.
    pub fn control_gap(&self) -> Duration {
        let manager = self.daemon.manager();
        let begin = Instant::now();
        kill(manager, Signal::SIGKILL);
        // The first answer may still be cut off with the manager that was to give it.
        while !self.daemon.answers() {
            assert!(begin.elapsed() < LONG, "no manager came back");
        }
        begin.elapsed()
    }

    /// Stops a program directly after its start, again and again: the share of stops that took effect.
    pub fn stops_after_start(&self, times: usize) -> f64 {
        let name = "x";
        let took_effect = |_: &usize| {
            self.daemon.call("supervisor.startProcess", vec![text(name), flag(false)]);
            let stopped = self.daemon.try_call("supervisor.stopProcess", vec![text(name)]);
            // Who says nothing of the stop, or lets it run on, has failed; the next round begins at rest.
            let at_rest = stopped.is_ok() && self.daemon.state_of(name) == ProcessState::Stopped;
            if !at_rest {
                until("the program is up", LONG, || self.daemon.state_of(name) == ProcessState::Running);
                self.daemon.call("supervisor.stopProcess", vec![text(name)]);
            }
            at_rest
        };
        (0..times).filter(took_effect).count() as f64 / times as f64
    }

    /// A daemon with one program that does not run yet.
    pub fn at_rest(side: Side) -> Supervised {
        let births = Births::new();
        let mut daemon = Start::new(side, "[program:x]\ncommand=sleep 1000\nautostart=false\n").spawn();
        daemon.wait_ready();
        Supervised { births, daemon, started: Duration::ZERO, running: Vec::new() }
    }

    /// A daemon with so many programs, a third of which run.
    pub fn configured(number: usize) -> Supervised {
        let births = Births::new();
        let mut daemon = Start::new(Side::Ours, &many(number, 0)).spawn();
        daemon.wait_ready();
        until("a third of them run", Duration::from_secs(120), || {
            daemon.n_in(ProcessState::Running) == number.div_ceil(3)
        });
        Supervised { births, daemon, started: Duration::ZERO, running: Vec::new() }
    }

    /// Reads the configuration again.
    pub fn reread(&self) -> Duration {
        let begin = Instant::now();
        self.daemon.call("supervisor.reloadConfig", vec![]);
        begin.elapsed()
    }

    /// Changes one program and updates. Exactly that one is stopped and started.
    pub fn update_one(&self, round: usize) -> Duration {
        let number = self.daemon.rows("supervisor.getAllProcessInfo").len();
        let starts = || self.daemon.log().matches("spawned: ").count();
        self.daemon.write_conf(&many(number, round + 1));
        let before = starts();
        let begin = Instant::now();
        self.daemon.call("supervisord.updateGroups", vec![]);
        let taken = begin.elapsed();
        until("one was started", LONG, || starts() > before);
        assert_eq!(starts(), before + 1, "exactly one was started");
        taken
    }

    /// Takes the second half of the programs out of the configuration, and adds it again.
    pub fn update_half(&self, version: usize) -> [Duration; 2] {
        let count = || self.daemon.rows("supervisor.getAllProcessInfo").len();
        let number = count();
        [number / 2, number].map(|number| {
            self.daemon.write_conf(&many(number, version));
            let begin = Instant::now();
            self.daemon.call("supervisord.updateGroups", vec![]);
            let taken = begin.elapsed();
            assert_eq!(count(), number, "programs that are configured");
            taken
        })
    }

    /// How many programs are below the daemon.
    pub fn count(&self) -> usize {
        let pipe = self.births.path().display().to_string();
        descendants(self.daemon.pid()).iter().filter(|process| process.cmdline.contains(&pipe)).count()
    }
}

/// So many programs, of which one differs from version to version.
fn many(number: usize, version: usize) -> String {
    let program = |at: usize| {
        let seconds = if at == 0 { 1000 + version } else { 1000 };
        format!(
            "[program:p{at}]\ncommand=/bin/sleep {seconds}\nautostart={}\nstartsecs=0\nstdout_logfile=NONE\n\
             redirect_stderr=true\nenvironment=A=\"1\",B=\"2\"\n",
            at.is_multiple_of(3)
        )
    };
    let programs: String = (0..number).map(program).collect();
    format!("[supervisord]\nminfds=4096\nsilent=true\n{programs}")
}

/// Waits until a program has lived for so long that it is restarted at once.
fn wait_until_old(birth: u64) {
    let age = Duration::from_nanos(now().saturating_sub(birth));
    std::thread::sleep(OLD.saturating_sub(age));
}
