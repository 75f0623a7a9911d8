//! How long a client waits that asks just when the manager is killed, or when another binary takes over.

use crate::support::{Daemon, LONG, Side, Start, descendants, kill, text, until, until_some};
use nix::sys::signal::Signal;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const N_CLIENTS: usize = 16;

const IN_A_ROW: usize = 25;

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

/// How long nothing happens before a kill. Processors that have nothing to do need a while to wake up, and the more so
/// virtual ones.
const CALM: Duration = Duration::from_millis(50);

/// In turns with a server that has nothing to remember, so that both meet the same machine.
pub fn of_kills(n: usize) {
    let daemon = Start::new(Side::Ours, CONF).ready();
    let floor = Floor::start();
    for (calm, when) in [(Duration::ZERO, "as soon as there is an answer"), (CALM, "after 50 ms of calm")] {
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..n.div_ceil(IN_A_ROW) {
            bare.extend((0..IN_A_ROW).map(|_| floor.gap(calm)));
            ours.extend((0..IN_A_ROW).map(|_| gap_of_kill(&daemon, calm)));
        }
        print(&format!("gap of a bare server that is killed {when} and started again"), bare);
        print(&format!("control gap, kill -9 {when}"), ours);
    }
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..n.div_ceil(IN_A_ROW) {
        bare.extend(gaps_under_clients(IN_A_ROW, || floor.ask(), || floor.server()));
        ours.extend(gaps_under_clients(IN_A_ROW, || ask(&daemon), || daemon.manager_now()));
    }
    print("gap of a bare server that is killed under 16 clients and started again", bare);
    print("control gap, kill -9 under 16 clients", ours);
}

/// Each takes half a minute: so long is a binary on trial, and no other one accepted.
pub fn of_upgrades(n: usize) {
    let daemon = Start::new(Side::Ours, CONF).ready();
    let (gaps, n_requests, n_failed) = gaps_of_upgrades(&daemon, n);
    print("control gap, upgrade under 16 clients", gaps);
    println!("{n_requests} requests meanwhile, {n_failed} of them refused or failed");
}

/// Questions are answered while a manager takes over, everything else after that. So whoever does not cease to ask must
/// not keep it from its end.
pub fn of_orders(n: usize) {
    for n_programs in [16, 1000] {
        let conf = CONF.replace("numprocs=16", &format!("numprocs={n_programs}"));
        let daemon = Start::new(Side::Ours, &conf).ready();
        let gaps = gaps_of_orders_under_clients(&daemon, n);
        print(&format!("an order after kill -9 under 16 clients, {n_programs} programs"), gaps);
    }
}

fn print(what: &str, mut durations: Vec<Duration>) {
    durations.sort_unstable();
    let at = |share: f64| durations[((durations.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{what}: p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms", at(0.5), at(0.99), at(1.0));
}

/// A server of single bytes, and its parent, which starts it again when it dies: what no supervisor can undercut that
/// executes something.
struct Floor {
    parent: Child,
    /// The directory of the socket.
    directory: tempfile::TempDir,
}

impl Floor {
    fn start() -> Floor {
        let directory = tempfile::tempdir().expect("there is a place for it");
        let listener = UnixListener::bind(directory.path().join("socket")).expect("it is free");
        let own = std::env::current_exe().expect("this runs");
        let mut command = Command::new(own);
        let parent = command.arg("floor").stdin(OwnedFd::from(listener)).spawn().expect("it is there");
        Floor { parent, directory }
    }

    fn ask(&self) -> io::Result<()> {
        let mut client = UnixStream::connect(self.directory.path().join("socket"))?;
        client.write_all(&[1])?;
        client.read_exact(&mut [0])
    }

    /// The pid of the server; `None` while there is none that answers.
    fn server(&self) -> Option<i32> {
        self.ask().ok()?;
        descendants(self.parent.id() as i32).first().map(|server| server.pid)
    }

    fn gap(&self, calm: Duration) -> Duration {
        let server = until_some("a server", LONG, || self.server());
        std::thread::sleep(calm);
        kill(server, Signal::SIGKILL);
        let begun = Instant::now();
        while self.ask().is_err() {}
        begun.elapsed()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // Its parent ends first, or it would start another one.
        let servers = descendants(self.parent.id() as i32);
        let _ = self.parent.kill();
        let _ = self.parent.wait();
        servers.iter().for_each(|server| kill(server.pid, Signal::SIGKILL));
    }
}

/// Starts the server whenever there is none. Does not return.
pub fn floor() -> ! {
    let own = std::env::current_exe().expect("this runs");
    loop {
        // It inherits the socket.
        let mut server = Command::new(&own).arg("floor-server").spawn().expect("it is there");
        server.wait().expect("it is our child");
    }
}

/// Serves on standard input. Does not return.
pub fn floor_server() -> ! {
    let socket = io::stdin().as_fd().try_clone_to_owned().expect("it is open");
    let listener = UnixListener::from(socket);
    loop {
        let Ok((mut client, _)) = listener.accept() else { continue };
        let mut byte = [0];
        if client.read_exact(&mut byte).is_ok() {
            let _ = client.write_all(&byte);
        }
    }
}

fn ask(daemon: &Daemon) -> io::Result<()> {
    let answer = daemon.address().call("supervisor.getProcessInfo", vec![text("p:0")])?;
    answer.map(drop).map_err(|fault| io::Error::other(fault.to_string()))
}

/// The manager, once it has answered and been left alone for a while.
fn manager_after(daemon: &Daemon, calm: Duration) -> i32 {
    let manager = daemon.manager();
    daemon.wait_answer();
    std::thread::sleep(calm);
    manager
}

/// From the kill to the first answer: what a client waits at most that comes at any moment.
fn gap_of_kill(daemon: &Daemon, calm: Duration) -> Duration {
    let manager = manager_after(daemon, calm);
    kill(manager, Signal::SIGKILL);
    let begun = Instant::now();
    while ask(daemon).is_err() {}
    begun.elapsed()
}

/// The longest that any of the clients had to wait, for each upgrade; and how many requests there were, and how
/// many of them failed.
fn gaps_of_upgrades(daemon: &Daemon, n: usize) -> (Vec<Duration>, usize, usize) {
    let (mut gaps, mut n_requests, mut n_failed) = (Vec::new(), 0, 0);
    for _ in 0..n {
        let served = served_during_upgrade(daemon);
        gaps.push(served.iter().map(|served| served.answered - served.asked).max().unwrap_or_default());
        n_requests += served.len();
        n_failed += served.iter().filter(|served| served.failed).count();
        // Until then no other one is accepted.
        until("the keeper has followed", Duration::from_secs(60), || {
            !daemon.ctl(&["keeper"]).stdout.contains("on trial")
        });
    }
    (gaps, n_requests, n_failed)
}

/// From each kill of whoever serves to the first answer to a question that was asked after it, by whichever of the
/// clients in a loop.
fn gaps_under_clients(
    n: usize,
    ask: impl Fn() -> io::Result<()> + Sync,
    server: impl Fn() -> Option<i32>,
) -> Vec<Duration> {
    let mut kills = Vec::new();
    let served = served_meanwhile(&ask, || {
        let mut former = None;
        for _ in 0..n {
            let other = until_some("another server", LONG, || server().filter(|pid| Some(*pid) != former));
            until("it answers", LONG, || ask().is_ok());
            std::thread::sleep(CALM);
            kills.push(Instant::now());
            kill(other, Signal::SIGKILL);
            // To look for the next one takes a processor that is wanted elsewhere now.
            std::thread::sleep(CALM);
            former = Some(other);
        }
    });
    let first_answer = |killed: &Instant| {
        let later = served.iter().filter(|served| !served.failed && served.asked >= *killed);
        let answered = later.map(|served| served.answered).min().expect("the clients went on");
        answered - *killed
    };
    kills.iter().map(first_answer).collect()
}

/// From each kill to the answer to somebody who wants something done.
fn gaps_of_orders_under_clients(daemon: &Daemon, n: usize) -> Vec<Duration> {
    let mut gaps = Vec::new();
    served_meanwhile(&|| ask(daemon), || {
        for _ in 0..n {
            let manager = manager_after(daemon, CALM);
            let begun = Instant::now();
            kill(manager, Signal::SIGKILL);
            daemon.call("supervisor.signalProcess", vec![text("p:0"), text("CONT")]);
            gaps.push(begun.elapsed());
        }
    });
    gaps
}

/// What clients in a loop get to see from shortly before an upgrade until shortly after it.
fn served_during_upgrade(daemon: &Daemon) -> Vec<Served> {
    served_meanwhile(&|| ask(daemon), || {
        let before = daemon.manager();
        daemon.signal(Signal::SIGUSR1);
        daemon.manager_after(before);
        std::thread::sleep(Duration::from_millis(200));
    })
}

/// What clients in a loop get to see while this happens.
fn served_meanwhile(ask: &(impl Fn() -> io::Result<()> + Sync), what: impl FnOnce()) -> Vec<Served> {
    let (is_over, served) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..N_CLIENTS {
            scope.spawn(|| {
                let mut ours = Vec::new();
                while !is_over.load(Ordering::Acquire) {
                    let asked = Instant::now();
                    let failed = ask().is_err();
                    ours.push(Served { asked, answered: Instant::now(), failed });
                }
                served.lock().expect("nobody panics with it").append(&mut ours);
            });
        }
        what();
        is_over.store(true, Ordering::Release);
    });
    served.into_inner().expect("nobody panics with it")
}
