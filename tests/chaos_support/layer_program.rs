//! A supervised program that becomes ready in its own way, fails at random, and keeps a record: `NAME.record` has a line
//! for each moment of each life, `NAME.lock` is locked while it lives. While there is a file `calm` nothing fails.

use crate::support::Random;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Where a program listens that is found ready over the network. Nobody else on the machine takes its port there meanwhile.
const OWN_HOST: &str = "127.0.7.1";

/// How a program becomes ready, and what others want of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Fd,
    Notify,
    Tcp,
    Exec,
    Log,
    /// Others wait until it is healthy.
    Healthy,
    /// Others wait until it is done.
    Job,
    /// It has to say that it is alive.
    Watched,
    /// It runs, and that is all.
    Plain,
}

impl Way {
    pub const ALL: [Way; 9] = [
        Way::Fd,
        Way::Notify,
        Way::Tcp,
        Way::Exec,
        Way::Log,
        Way::Healthy,
        Way::Job,
        Way::Watched,
        Way::Plain,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Way::Fd => "fd",
            Way::Notify => "notify",
            Way::Tcp => "tcp",
            Way::Exec => "exec",
            Way::Log => "log",
            Way::Healthy => "healthy",
            Way::Job => "job",
            Way::Watched => "watched",
            Way::Plain => "plain",
        }
    }

    /// What others want of it.
    pub fn condition(self) -> &'static str {
        match self {
            Way::Healthy => "healthy",
            Way::Job => "done",
            _ => "ready",
        }
    }

    /// The keys that say so.
    pub fn keys(self, name: &str, port: u16) -> String {
        match self {
            Way::Fd => "ready=fd:5\n".to_string(),
            Way::Notify => "ready=notify\n".to_string(),
            Way::Tcp => format!("ready=tcp:{OWN_HOST}:{port}\nready_interval=50ms\n"),
            Way::Exec => format!("ready=exec:/usr/bin/test -e {name}.ok\nready_interval=50ms\n"),
            Way::Log => format!("ready=log:^{name} is ready$\n"),
            Way::Healthy => format!(
                "startsecs=0\nhealth=exec:/usr/bin/test -e {name}.ok\nhealth_interval=100ms\nhealth_retries=2\n\
                 health_start_period=300ms\n"
            ),
            Way::Job => "type=oneshot\n".to_string(),
            Way::Watched => "ready=notify\nwatchdog=2s\n".to_string(),
            Way::Plain => "startsecs=0\n".to_string(),
        }
    }
}

/// A life as the program has recorded it. Moments are milliseconds of the wall clock.
#[derive(Clone, Debug, Default)]
pub struct Life {
    pub pid: u32,
    pub begin: u64,
    /// From then on it may be seen to be ready; for a health check: to be well.
    pub ready: Option<u64>,
    /// From then on it is not well, or silent.
    pub ill: Option<u64>,
    pub end: Option<u64>,
    pub code: Option<i32>,
}

/// The lives that a program has recorded.
///
/// # Panics
/// If two were at the same time, or a record is none.
pub fn lives(directory: &Path, name: &str) -> Vec<Life> {
    let text = fs::read_to_string(directory.join(format!("{name}.record"))).unwrap_or_default();
    let mut lives: Vec<Life> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, at, number] = words[..] else { panic!("the record of {name} has {line:?}") };
        let at: u64 = at.parse().expect("a moment");
        if what == "begin" {
            lives.push(Life { pid: number.parse().expect("a pid"), begin: at, ..Life::default() });
            continue;
        }
        let life = lives.last_mut().unwrap_or_else(|| panic!("{name} has {line:?} before its begin"));
        match what {
            "ready" => life.ready = Some(at),
            "ill" => life.ill = Some(at),
            "end" => {
                assert!(life.end.is_none(), "{name} ended twice: {line}");
                (life.end, life.code) = (Some(at), number.parse().ok());
            }
            _ => panic!("two of {name} lived at the same time: {line}"),
        }
    }
    lives
}

struct Record {
    file: File,
}

impl Record {
    fn note(&mut self, what: &str, number: u32) {
        let at =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970").as_millis();
        self.file
            .write_all(format!("{what} {at} {number}\n").as_bytes())
            .expect("the directory is the test's");
    }
}

fn notify(what: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let socket = UnixDatagram::unbound().expect("there are sockets");
    // Nobody can be there at the very end.
    let _ = socket.send_to(what.as_bytes(), path);
}

/// The program itself.
pub fn run(name: &str, way: &str, port: &str) -> ! {
    let way = Way::ALL.into_iter().find(|known| known.name() == way).expect("a way");
    let append = |suffix: &str| {
        let path = format!("{name}.{suffix}");
        OpenOptions::new().create(true).append(true).open(path).expect("the directory is the test's")
    };
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGTERM);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&mask), None).expect("signals can be blocked");
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK).expect("there are descriptors");
    let mut record = Record { file: append("record") };
    let pid = std::process::id();
    let lock = Flock::lock(append("lock"), FlockArg::LockExclusiveNonblock);
    if lock.is_err() {
        record.note("double", pid);
    }
    record.note("begin", pid);
    let mut random = Random::new(
        u64::from(pid) ^ (SystemTime::UNIX_EPOCH.elapsed().map_or(0, |age| age.as_nanos() as u64)),
    );
    let is_calm = || Path::new("calm").exists();
    let ok = format!("{name}.ok");
    let end = |record: &mut Record, code: i32| -> ! {
        let _ = fs::remove_file(&ok);
        record.note("end", code as u32);
        std::process::exit(code)
    };
    let pause = |record: &mut Record, millis: u64| {
        let until = Instant::now() + Duration::from_millis(millis);
        while Instant::now() < until {
            if matches!(signals.read_signal(), Ok(Some(_))) {
                end(record, 0);
            }
            std::thread::sleep(Duration::from_millis(5).min(until - Instant::now().min(until)));
        }
    };
    let starts_badly = !is_calm() && random.below(6) == 0;
    pause(&mut record, random.below(60));
    if starts_badly {
        end(&mut record, 3);
    }
    if way == Way::Job {
        end(&mut record, 0);
    }
    // Before it can be seen.
    record.note("ready", pid);
    let mut listener = None;
    match way {
        Way::Fd => {
            let pipe = File::options().write(true).open("/proc/self/fd/5");
            pipe.and_then(|mut pipe| pipe.write_all(b"\n")).expect("the daemon has opened it for us");
        }
        Way::Notify | Way::Watched => notify("READY=1"),
        Way::Tcp => {
            let port: u16 = port.parse().expect("a port");
            listener = TcpListener::bind((OWN_HOST, port)).ok();
        }
        Way::Exec | Way::Healthy => fs::write(&ok, "").expect("the directory is the test's"),
        Way::Log => {
            print!("{name} is ");
            std::io::stdout().flush().expect("somebody reads our output");
            pause(&mut record, random.below(40));
            println!("ready");
        }
        Way::Plain | Way::Job => {}
    }
    let mut n_turns = 500 + random.below(4000) / 10;
    let mut is_ill = false;
    loop {
        if way == Way::Watched && !is_ill {
            notify("WATCHDOG=1");
        }
        pause(&mut record, 50);
        if is_calm() {
            continue;
        }
        n_turns = n_turns.saturating_sub(5 + random.below(40));
        if n_turns == 0 && !is_ill {
            if matches!(way, Way::Healthy | Way::Watched) {
                is_ill = true;
                let _ = fs::remove_file(&ok);
                record.note("ill", pid);
            } else {
                drop(listener.take());
                end(&mut record, 1 + random.below(4) as i32);
            }
        }
    }
}
