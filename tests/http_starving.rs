//! Clients on the network that do their worst for as long as they can, and those who must not notice: whoever asks by
//! the unix socket, whoever knows the password, and the programs.
//!
//! Each measure is compared with the same one before the attack. `STARVING_SECS` makes the attacks longer;
//! `--nocapture` shows the figures.

mod support;

use nix::sys::signal::Signal;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use support::{Address, Daemon, LONG, SLEEPER, Side, Start, free_ports, http, kill, until};

/// What is measured is the machine's: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So many programs are killed in turn; each has to live for a second before it comes back at once.
const N_PROGRAMS: usize = 4;
const LIFE: Duration = Duration::from_millis(1100);

/// How long an answer, or a program, may take at worst: far more than a busy machine needs, far less than it took.
const WORST: Duration = Duration::from_secs(8);

fn attack_length() -> Duration {
    let secs = std::env::var("STARVING_SECS").ok().and_then(|secs| secs.parse().ok());
    Duration::from_secs(secs.unwrap_or(4))
}

/// A daemon with few descriptors, an open server on the network, and programs that tell when they begin.
struct Victim {
    daemon: Daemon,
    network: SocketAddr,
    /// Number and pid of programs that have just begun, and when.
    begun: Receiver<(usize, i32, Instant)>,
    /// The pid of each, and since when.
    running: Vec<(i32, Instant)>,
}

impl Victim {
    fn start() -> Victim {
        let [port] = free_ports();
        let conf = format!(
            "
[inet_http_server]
port=127.0.0.1:{port}
[program:web]
command=/bin/sh -c 'echo hello; echo %(process_num)d $$ >%(here)s/begun; exec sleep 1000'
process_name=%(process_num)d
numprocs={N_PROGRAMS}
startsecs=0
autorestart=true
"
        );
        let mut daemon =
            Start::new(Side::under_test(), &conf).under(&["prlimit", "--nofile=1024:1024"]).prepare();
        let begun = listen_to(&daemon);
        daemon.start();
        let network = ([127, 0, 0, 1], port).into();
        let mut victim = Victim { daemon, network, begun, running: vec![(0, Instant::now()); N_PROGRAMS] };
        for _ in 0..N_PROGRAMS {
            victim.next_begin();
        }
        victim
    }

    #[track_caller]
    fn next_begin(&mut self) -> Instant {
        let (number, pid, at) = self.begun.recv_timeout(WORST).expect("a program begins");
        self.running[number] = (pid, at);
        at
    }

    /// Asks by the unix socket what `status` asks, and kills programs whenever one is old enough.
    #[track_caller]
    fn measure(&mut self, what: &str) -> Measured {
        let end = Instant::now() + attack_length();
        let mut measured = Measured::default();
        while Instant::now() < end {
            let begin = Instant::now();
            self.daemon.call("supervisor.getAllProcessInfo", vec![]);
            measured.answers.push(begin.elapsed());
            assert!(begin.elapsed() < WORST, "{what}: answered after {:?}", begin.elapsed());
            let old = self.running.iter().find(|(_, since)| since.elapsed() > LIFE);
            if let Some((pid, _)) = old {
                let begin = Instant::now();
                kill(*pid, Signal::SIGKILL);
                measured.restarts.push(self.next_begin() - begin);
            }
        }
        println!(
            "{what:24} answers {}   restarts {}",
            shown(&mut measured.answers),
            shown(&mut measured.restarts)
        );
        measured
    }
}

/// Reads what programs say when they begin.
fn listen_to(daemon: &Daemon) -> Receiver<(usize, i32, Instant)> {
    let path = daemon.path("begun");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // For both, so that it has no end while no program has it open.
    let file = File::options().read(true).write(true).open(path).unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(file).lines().map_while(Result::ok) {
            let (number, pid) = line.split_once(' ').unwrap();
            if sender.send((number.parse().unwrap(), pid.parse().unwrap(), Instant::now())).is_err() {
                return;
            }
        }
    });
    receiver
}

#[derive(Default)]
struct Measured {
    answers: Vec<Duration>,
    restarts: Vec<Duration>,
}

fn quantile(sorted: &[Duration], share: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

fn shown(times: &mut [Duration]) -> String {
    times.sort();
    let ms = |share| quantile(times, share).as_secs_f64() * 1e3;
    format!(
        "{:5} times: median {:6.1} ms, 99 % {:6.1} ms, worst {:6.1} ms",
        times.len(),
        ms(0.5),
        ms(0.99),
        ms(1.0)
    )
}

/// The usual case must not be much slower than it was in peace; how much a busy machine adds is in both.
#[track_caller]
fn compare(what: &str, peace: &Measured, attacked: &Measured) {
    for (peace, attacked) in [(&peace.answers, &attacked.answers), (&peace.restarts, &attacked.restarts)] {
        let allowed = 10 * quantile(peace, 0.5) + Duration::from_millis(300);
        assert!(quantile(attacked, 0.5) < allowed, "{what}: {:?} of {allowed:?}", quantile(attacked, 0.5));
    }
}

/// Tells attackers to end, whatever becomes of the test: it waits for them.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A client that sends something and keeps the connection.
fn hold(address: SocketAddr, request: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_millis(1))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    Some(stream)
}

/// Holds `n_clients` connections, and makes each anew that was closed, until it is told to stop.
fn attack(address: SocketAddr, n_clients: usize, request: &str, stop: &AtomicBool) {
    let mut held: Vec<TcpStream> = Vec::new();
    while !stop.load(Relaxed) {
        held.retain_mut(|stream| match stream.read(&mut [0; 4096]) {
            Ok(n_bytes) => n_bytes > 0,
            Err(error) => matches!(error.kind(), std::io::ErrorKind::WouldBlock),
        });
        while held.len() < n_clients && !stop.load(Relaxed) {
            let Some(stream) = hold(address, request) else { break };
            held.push(stream);
        }
    }
}

fn raise_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// Attacks one after the other, `n_clients` at a time with a request each, and measures.
#[track_caller]
fn withstand(victim: &mut Victim, attacks: &[(&str, usize, String)]) {
    let peace = victim.measure("peace");
    let network = victim.network;
    for (what, n_clients, request) in attacks {
        let stop = AtomicBool::new(false);
        let attacked = std::thread::scope(|scope| {
            scope.spawn(|| attack(network, *n_clients, request, &stop));
            let _stop = Stop(&stop);
            victim.measure(what)
        });
        compare(what, &peace, &attacked);
    }
}

const ANNOUNCED: &str = "POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

#[test]
fn memory_cannot_be_taken_from_others() {
    let _alone = alone();
    raise_descriptors();
    let mut victim = Victim::start();
    // Announcing something takes nothing from the network's other clients, either.
    let announcing: Vec<_> = (0..20).map(|_| hold(victim.network, ANNOUNCED).unwrap()).collect();
    let begin = Instant::now();
    let answer = Address::Tcp(victim.network).call("supervisor.getAllProcessInfo", vec![]);
    assert!(answer.is_ok_and(|answer| answer.is_ok()) && begin.elapsed() < WORST, "{:?}", begin.elapsed());
    drop(announcing);
    let attacks = [
        ("8 MiB announced", 20, ANNOUNCED.to_string()),
        ("8 MiB begun", 20, format!("{ANNOUNCED}{}", " ".repeat(1_000_000))),
        ("answers not read", 700, get("/metrics")),
    ];
    withstand(&mut victim, &attacks);
}

#[test]
fn places_and_descriptors_cannot_be_taken_from_unix_sockets_and_programs() {
    let _alone = alone();
    raise_descriptors();
    let mut victim = Victim::start();
    let attacks = [
        ("page's events", 700, get("/api/v1/events")),
        ("events as lines", 700, get("/events")),
        ("logtail", 700, get("/logtail/web:0")),
        ("followed", 700, get("/api/v1/processes/web:0/logs/stdout/follow")),
        ("unfinished bodies", 700, format!("{ANNOUNCED}<")),
        ("half heads", 700, "GET / HTTP/1.1\r\nA: ".to_string()),
        ("idle", 700, String::new()),
    ];
    withstand(&mut victim, &attacks);
    let log = victim.daemon.log();
    let n_told = log
        .lines()
        .filter(|line| line.contains("could not be accepted") || line.contains("accepts no more clients"))
        .count();
    assert!(n_told <= 2, "{n_told} lines tell that clients are not accepted");
    assert!(!log.contains("spawnerr"), "a program could not be started");
}

/// A hash that takes long enough to be noticed, of `right`, and how long it takes a processor.
fn slow_hash() -> (String, Duration) {
    let cpu = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    for cost in 4..=15 {
        let begin = cpu();
        let hash = bcrypt::hash("right", cost).unwrap();
        let took = cpu() - begin;
        if took > Duration::from_millis(60) {
            return (hash, took);
        }
    }
    unreachable!("that takes seconds at the highest cost");
}

/// A daemon that lets `user` in, with a password that has this hash.
fn with_password(hash: &str) -> (Daemon, SocketAddr) {
    let [port] = free_ports();
    let conf = format!(
        "{SLEEPER}[inet_http_server]\nport=127.0.0.1:{port}\nusername=user\npassword={{BCRYPT}}{hash}\n"
    );
    (Start::new(Side::under_test(), &conf).ready(), SocketAddr::from(([127, 0, 0, 1], port)))
}

fn authorized(user: &str, password: &str) -> String {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("GET /ok.html HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {encoded}\r\nConnection: close\r\n\r\n")
}

/// Connects from another address of the loopback interface.
fn from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&fd, &SocketAddr::new(IpAddr::V4(Ipv4Addr::from(source)), 0)).unwrap();
    connect(&fd, &to).unwrap();
    TcpStream::from(fd)
}

/// The threads of a process that compute hashes, by how nice they are.
fn niceness_of_hashing(pid: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    let hashing = stats.filter(|stat| stat.contains("(aside)"));
    hashing.map(|stat| nice_of(&stat)).collect()
}

/// proc(5): the 19th field, of which two stand before the end of the name.
fn nice_of(stat: &str) -> i32 {
    stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(16).unwrap().parse().unwrap()
}

#[test]
fn guessing_keeps_neither_the_right_password_out_nor_the_programs_from_the_processors() {
    let _alone = alone();
    raise_descriptors();
    let (hash, takes) = slow_hash();
    let (daemon, address) = with_password(&hash);
    let manager = daemon.manager();
    let usual =
        nice_of(&std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid_of("sleeper"))).unwrap());

    // Clients that are gone at once: nobody waits for their hashes.
    for n in 0..300 {
        from([127, 0, 0, 2], address).write_all(authorized("user", &n.to_string()).as_bytes()).unwrap();
    }
    let begin = Instant::now();
    let right =
        |password: &str| http(&Address::Tcp(address), authorized("user", password).as_bytes()).unwrap();
    // One that has begun is finished.
    assert_eq!(right("right").status, 200);
    let allowed = 20 * takes + Duration::from_secs(3);
    assert!(begin.elapsed() < allowed, "{:?} of {allowed:?}", begin.elapsed());
    println!("after 300 clients that left: {:?}, a hash takes {takes:?}", begin.elapsed());

    // Clients that stay, and are replaced when they have their answer.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let attackers: Vec<_> = (0..40)
            .map(|thread| {
                let stop = &stop;
                scope.spawn(move || {
                    let mut statuses = Vec::new();
                    for n in 0.. {
                        let mut stream = from([127, 0, 0, 2], address);
                        stream.write_all(authorized("user", &format!("{thread} {n}")).as_bytes()).unwrap();
                        let mut answer = String::new();
                        let _ = stream.read_to_string(&mut answer);
                        statuses.push(answer);
                        if stop.load(Relaxed) {
                            return statuses;
                        }
                    }
                    unreachable!("it goes on for ever");
                })
            })
            .collect();
        let ending = Stop(&stop);
        // A thread has the manager's precedence until it has given that up.
        until("a hash is computed, as nice as programs are", LONG, || {
            niceness_of_hashing(manager).contains(&usual)
        });
        let n_at_a_time = (std::thread::available_parallelism().unwrap().get() / 2).clamp(1, 2);
        let end = Instant::now() + attack_length();
        while Instant::now() < end {
            // One that ends while the next begins is still there.
            assert!(niceness_of_hashing(manager).len() <= 2 * n_at_a_time);
            // Known already, so without a hash; and somebody without a password is not kept out either.
            let begin = Instant::now();
            assert_eq!(right("right").status, 200);
            daemon.call("supervisor.getAllProcessInfo", vec![]);
            assert!(begin.elapsed() < WORST, "{:?}", begin.elapsed());
        }
        drop(ending);
        let answers: Vec<String> =
            attackers.into_iter().flat_map(|attacker| attacker.join().unwrap()).collect();
        let n_of = |status: &str| answers.iter().filter(|answer| answer.contains(status)).count();
        let (n_judged, n_busy) = (n_of(" 401 "), n_of(" 503 "));
        println!("{n_judged} guesses were judged, {n_busy} were sent away");
        assert!(n_judged > 0 && n_busy > 0 && n_judged + n_busy == answers.len());
        assert_eq!(n_of("Retry-After: "), n_busy);
    });

    // Another manager knows nothing yet: the right password is found among guesses of others.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if stop.load(Relaxed) {
                    return;
                }
                let mut stream = from([127, 0, 0, 2], address);
                let _ = stream.write_all(authorized("user", &n.to_string()).as_bytes());
                let _ = stream.read(&mut [0; 1]);
            }
        });
        let _stop = Stop(&stop);
        kill(manager, Signal::SIGKILL);
        let begin = Instant::now();
        until("the next manager lets the right password in", LONG, || {
            // The dying one may have accepted the client.
            http(&Address::Tcp(address), authorized("user", "right").as_bytes())
                .is_ok_and(|response| response.status == 200)
        });
        println!("after a kill: {:?}", begin.elapsed());
    });

    let n_told =
        daemon.log().lines().filter(|line| line.contains("WARN") && line.contains("wrong user name")).count();
    // At once, and perhaps a minute later; the killed manager's count is gone.
    assert!((1..=4).contains(&n_told), "{n_told} lines tell of wrong passwords");
    assert!(daemon.log().contains("[inet_http_server] refused a wrong user name or password from 127.0.0.2"));
}

#[test]
fn a_wrong_user_name_takes_no_hash_and_as_long_as_a_wrong_password() {
    let _alone = alone();
    let (hash, takes) = slow_hash();
    let (daemon, address) = with_password(&hash);
    let address = Address::Tcp(address);
    let manager = daemon.manager();
    let cpu = || {
        let stat = std::fs::read_to_string(format!("/proc/{manager}/stat")).unwrap();
        // proc(5): utime and stime, the 14th and the 15th field, in hundredths of a second.
        let fields = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().skip(11).take(2);
        Duration::from_millis(fields.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
    };
    let timed = |user: &str, password: &str| {
        let begin = Instant::now();
        assert_eq!(http(&address, authorized(user, password).as_bytes()).unwrap().status, 401);
        begin.elapsed()
    };
    let before = cpu();
    let name = (0..5).map(|n| timed("other", &n.to_string())).min().unwrap();
    let took = cpu() - before;
    println!("five wrong names took {took:?}, a hash {takes:?}");
    assert!(took < 2 * takes, "five wrong names took {took:?}, a hash {takes:?}");
    let password = (0..5).map(|n| timed("user", &n.to_string())).min().unwrap();
    let difference = password.abs_diff(name);
    println!("{name:?} for a name, {password:?} for a password");
    assert!(difference < takes, "{name:?} for a name, {password:?} for a password, {takes:?} for a hash");
}
