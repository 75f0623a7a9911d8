//! Programs live, clients give orders, and the manager is killed every few milliseconds.

use crate::check::{self, DRESS, Totals};
use crate::program::Kind;
use crate::support::{Daemon, LONG, Random, Side, Start, flag, text, until, until_some};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::mem::offset_of;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use supervisord::shm::layout::{KeeperMemory, ManagerMemory};

/// What is to be done to the daemon.
#[derive(Clone, Copy, Debug)]
pub struct Chaos<'a> {
    /// A command that starts it.
    pub under: &'a [&'a str],
    /// It ends after so many kills,
    pub n_kills: usize,
    /// or after this time.
    pub at_most: Duration,
    pub seed: u64,
    /// How often there is a pause of half a minute after an upgrade, so that the keeper follows.
    pub n_follows: usize,
    /// Kills come after at most this time.
    pub longest_calm: Duration,
}

/// What has happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    pub n_kills: usize,
    pub n_upgrades: usize,
    /// Orders that were acknowledged and obeyed.
    pub n_orders: usize,
    pub totals: Totals,
    pub seconds: f64,
}

const N_PROGRAMS: usize = 48;
const N_CLIENTS: usize = 4;

/// As long as managers are to live at most, unless they are to get further.
pub const SHORT_CALM: Duration = Duration::from_millis(20);

/// So long a candidate is left alone at most.
const LONGEST_CHECK_MICROS: u64 = 400_000;

/// One upgrade for so many kills.
const KILLS_PER_UPGRADE: u64 = 40;

impl Report {
    pub fn line(&self) -> String {
        let Report { n_kills, n_upgrades, n_orders, totals, seconds } = self;
        let Totals { n_lives, n_lines, n_statuses } = totals;
        format!(
            "{n_kills} kills and {n_upgrades} upgrades in {seconds:.0} s: {n_lives} lives, {n_statuses} exit statuses, \
             {n_lines} lines and {n_orders} acknowledged orders are as they should be"
        )
    }
}

fn name(number: usize) -> String {
    format!("p{number:02}")
}

fn kind(number: usize) -> Kind {
    if number.is_multiple_of(2) { Kind::Steady } else { Kind::Restless }
}

fn conf() -> String {
    let exe = std::env::current_exe().expect("we were executed");
    let program = |number: usize| {
        let name = name(number);
        format!(
            "
[program:{name}]
command={} program {name} {}
directory=%(here)s
startsecs=0
stopwaitsecs=120
autorestart=true
stdout_logfile=%(here)s/{name}.log
stdout_logfile_maxbytes=20KB
stdout_logfile_backups=100000
redirect_stderr=true
{}
",
            exe.display(),
            kind(number).name(),
            // Every third one goes through memory.
            if number.is_multiple_of(3) { format!("stdout_logfile_prefix={DRESS}") } else { String::new() },
        )
    };
    let programs: String = (0..N_PROGRAMS).map(program).collect();
    format!("[supervisord]\nlogfile_maxbytes=0\nsilent=true\nmanager_watchdog_secs=20\n{programs}")
}

/// Does it all.
///
/// # Panics
/// If anything is not as it should be.
pub fn run(chaos: Chaos<'_>) -> Report {
    let begun = Instant::now();
    let mut daemon = Start::new(Side::under_test(), &conf()).under(chaos.under).ready();
    let (is_over, n_orders) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut report = Report::default();
    std::thread::scope(|scope| {
        for number in 0..N_CLIENTS {
            let client = Client { daemon: &daemon, is_over: &is_over, n_orders: &n_orders };
            scope.spawn(move || client.give_orders(number, Random::new(chaos.seed + number as u64)));
        }
        // Clients must not wait for ever if this thread panics.
        let guard = SetAtEnd(&is_over);
        kill_again_and_again(&daemon, chaos, begun, &mut report);
        drop(guard);
    });
    until("a manager answers", LONG, || daemon.answers());
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0, "the daemon ends in order");
    until("nothing is left", LONG, || daemon.alive().is_empty());

    report.n_upgrades = daemon.log().matches("passed its check and takes over").count();
    let stories = check::stories(&daemon.log());
    for number in 0..N_PROGRAMS {
        let name = name(number);
        let story = stories.get(&name).map(Vec::as_slice).unwrap_or_default();
        let found = check::program(daemon.directory(), &name, kind(number), story);
        report.totals.n_lives += found.n_lives;
        report.totals.n_lines += found.n_lines;
        report.totals.n_statuses += found.n_statuses;
    }
    report.n_orders = n_orders.into_inner();
    report.seconds = begun.elapsed().as_secs_f64();
    report
}

/// Sets it even if somebody panics.
pub struct SetAtEnd<'a>(pub &'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Kills managers, and now and then lets another binary take over.
///
/// # Panics
/// If none comes.
pub fn kill_again_and_again(daemon: &Daemon, chaos: Chaos<'_>, begun: Instant, report: &mut Report) {
    let mut random = Random::new(chaos.seed);
    let victim = Victim::of(daemon);
    let mut died_young = false;
    let per_follow = chaos.n_kills / (chaos.n_follows + 1);
    while report.n_kills < chaos.n_kills && begun.elapsed() < chaos.at_most {
        std::thread::sleep(Duration::from_micros(random.below(chaos.longest_calm.as_micros() as u64)));
        let is_up = victim.is_up();
        if !is_up && died_young {
            // A second one in a row would only make the pauses grow.
            continue;
        }
        if is_up && random.below(KILLS_PER_UPGRADE) == 0 {
            // Refused while another one is on trial. The check of the candidate takes a while.
            daemon.signal(Signal::SIGUSR1);
            std::thread::sleep(Duration::from_micros(random.below(LONGEST_CHECK_MICROS)));
        }
        if chaos.n_follows > 0 && report.n_kills % per_follow == per_follow - 1 {
            until("a manager answers", LONG, || daemon.answers());
            daemon.signal(Signal::SIGUSR1);
            std::thread::sleep(Duration::from_secs(35));
        }
        let Some(pid) = victim.pid() else { continue };
        // The moment between looking and killing is far too short for the number to be used again.
        if nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok() {
            report.n_kills += 1;
            died_young = !is_up;
        }
    }
}

/// Where to find out who is the manager at this very moment: even before it can be told from a program that is
/// being created.
struct Victim {
    keeper: i32,
    /// What the keeper writes, and what the manager writes; see `keeper::layout`.
    keeper_memory: File,
    manager_memory: File,
    /// Its numbers are those of another namespace.
    is_elsewhere: bool,
}

impl Victim {
    fn of(daemon: &Daemon) -> Victim {
        let keeper = daemon.keeper();
        let open = |name: &str| {
            let entries = fs::read_dir(format!("/proc/{keeper}/fd")).expect("it runs");
            let is_it =
                |path: &PathBuf| fs::read_link(path).is_ok_and(|link| link.to_string_lossy().contains(name));
            let path = entries.flatten().map(|entry| entry.path()).find(is_it).expect("the keeper has it");
            File::open(path).expect("tests may look into their own daemon")
        };
        let (keeper_memory, manager_memory) =
            (open("memfd:supervisord-keeper"), open("memfd:supervisord-manager"));
        Victim { keeper, keeper_memory, manager_memory, is_elsewhere: daemon.pid() != keeper }
    }

    /// Whether the last manager that was started has come up.
    fn is_up(&self) -> bool {
        let is_there = number(&self.keeper_memory, offset_of!(KeeperMemory, manager_pid)) != 0;
        let starts = number(&self.keeper_memory, offset_of!(KeeperMemory, manager_starts));
        is_there && starts == number(&self.manager_memory, offset_of!(ManagerMemory, manager_up))
    }

    fn pid(&self) -> Option<i32> {
        match number(&self.keeper_memory, offset_of!(KeeperMemory, manager_pid)) {
            0 => None,
            pid if self.is_elsewhere => self.translated(pid),
            pid => Some(pid),
        }
    }

    /// Our number of a child of the keeper that bears this number in its namespace.
    fn translated(&self, pid: i32) -> Option<i32> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.keeper)).ok()?;
        let is_it = |child: &&str| {
            let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
            let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            numbers.and_then(|numbers| numbers.split_whitespace().last()?.parse().ok()) == Some(pid)
        };
        children.split_whitespace().find(is_it)?.parse().ok()
    }
}

fn number(memory: &File, offset: usize) -> i32 {
    let mut bytes = [0; 4];
    memory.read_exact_at(&mut bytes, offset as u64).expect("the memory is as large as its layout");
    i32::from_ne_bytes(bytes)
}

/// Stops and starts programs that nobody else commands.
struct Client<'a> {
    daemon: &'a Daemon,
    is_over: &'a AtomicBool,
    n_orders: &'a AtomicUsize,
}

impl Client<'_> {
    fn give_orders(&self, number: usize, mut random: Random) {
        while !self.is_over.load(Ordering::Acquire) {
            let program = number + N_CLIENTS * random.below((N_PROGRAMS / N_CLIENTS) as u64) as usize;
            let name = name(program);
            let n_lives = self.n_lives(&name);
            self.insist("supervisor.stopProcess", &name, "NOT_RUNNING");
            self.assert_not_running(&name, random.below(30));
            let at_rest = self.n_lives(&name);
            if kind(program) == Kind::Steady {
                assert!(at_rest <= n_lives + 1, "{name} was started without a cause");
            }
            self.insist("supervisor.startProcess", &name, "ALREADY_STARTED");
            until("it lives again", Duration::from_secs(60), || self.n_lives(&name) > at_rest);
            self.n_orders.fetch_add(2, Ordering::Relaxed);
        }
    }

    /// Gives an order until it is acknowledged, or has been carried out already.
    fn insist(&self, method: &str, name: &str, done: &str) {
        until_some(&format!("{method} {name}"), Duration::from_secs(120), || {
            match self.daemon.address().call(method, vec![text(name), flag(true)]) {
                Ok(Ok(_)) => Some(()),
                Ok(Err(fault)) if fault.string().starts_with(done) => Some(()),
                Ok(Err(fault)) => panic!("{method} {name}: {fault}"),
                Err(error) => {
                    let refused = matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound);
                    assert!(!refused, "a client was refused: {error}");
                    None
                }
            }
        });
    }

    fn assert_not_running(&self, name: &str, for_millis: u64) {
        let until = Instant::now() + Duration::from_millis(for_millis);
        let path = self.daemon.path(&format!("{name}.lock"));
        loop {
            assert!(is_free(&path), "{name} runs though its stop was acknowledged");
            if Instant::now() >= until {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn n_lives(&self, name: &str) -> usize {
        self.daemon.read(&format!("{name}.lives")).lines().filter(|line| line.starts_with("begin")).count()
    }
}

/// Whether nobody holds the lock. The try is over before anybody else may want it.
fn is_free(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => Flock::lock(file, FlockArg::LockSharedNonblock).is_ok(),
        // It was stopped before its first instruction.
        Err(_) => true,
    }
}
