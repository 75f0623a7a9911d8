//! How many calls per second are answered.
//!
//! `cargo bench --bench http` measures the HTTP side in front of a loop without programs (`seam`) and the whole
//! daemon (`ours`), each in a process of its own. Where the original is installed it is
//! measured in the same run, and the last column says how many times faster we are. At the end four clients ask
//! while 50 programs write as fast as they can.
//!
//! `HTTP_BENCH_ONLY=flood` measures only that.

#[path = "../tests/http/fake.rs"]
#[allow(dead_code)]
mod fake;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use supervisord::model::state::ProcessState;
use supervisord::rpc::server::reply::{self, Part, Reply};
use supervisord::rpc::wire;
use supervisord::rt;
use support::{Daemon, Side, Start, free_ports, post, until};

/// How long each number is measured.
const SPAN: Duration = Duration::from_secs(2);

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A daemon to be measured.
struct Measured {
    name: &'static str,
    address: String,
    socket: PathBuf,
    _guard: Guard,
}

/// What ends it.
enum Guard {
    Seam(Child),
    Whole(#[allow(dead_code)] Daemon),
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Guard::Seam(child) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// This program again, as the HTTP side of a daemon without programs.
fn seam(n_processes: usize) -> Measured {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["serve", &n_processes.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    let (address, socket) = (line(), line().into());
    Measured { name: "seam", address, socket, _guard: Guard::Seam(child) }
}

fn serve(n_processes: usize) {
    let mut daemon = fake::Daemon::with_processes(n_processes.saturating_sub(4));
    println!("{}", daemon.on_tcp(None));
    println!("{}", daemon.on_unix(None).display());
    rt::block_on(std::future::pending::<()>());
}

/// A whole daemon with its programs, and with more sections.
fn whole(side: Side, n_processes: usize, more: &str) -> Measured {
    let [port] = free_ports();
    let conf = format!(
        "[supervisord]\nminfds=10000\n[inet_http_server]\nport=127.0.0.1:{port}\n\
         [program:p]\ncommand=/bin/sleep 100000\nnumprocs={n_processes}\nprocess_name=p%(process_num)s\n\
         stdout_logfile=NONE\nstderr_logfile=NONE\n{more}"
    );
    let daemon = Start::new(side, &conf).ready();
    until("all programs run", Duration::from_secs(120), || daemon.n_in(ProcessState::Running) >= n_processes);
    let name = if side == Side::Ours { "ours" } else { "original" };
    let socket = daemon.path("s.sock");
    Measured { name, address: format!("127.0.0.1:{port}"), socket, _guard: Guard::Whole(daemon) }
}

/// One call. It does as little as possible, because it takes the time that is measured.
fn call(wire: &mut dyn Stream, request: &[u8], buffer: &mut Vec<u8>) {
    wire.write_all(request).unwrap();
    buffer.resize(4 << 20, 0);
    let mut filled = 0;
    let mut end = None;
    loop {
        filled += match wire.read(&mut buffer[filled..]).unwrap() {
            0 => panic!("connection closed"),
            n_bytes => n_bytes,
        };
        if end.is_none()
            && let Some(at) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n")
        {
            let head = std::str::from_utf8(&buffer[..at]).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
            end = Some(at + 4 + length.parse::<usize>().unwrap());
        }
        if end.is_some_and(|end| filled >= end) {
            return;
        }
    }
}

#[derive(Default)]
struct Figures {
    per_second: f64,
    p99: Duration,
}

fn measure(daemon: &Measured, tcp: bool, method: &'static str, n_clients: usize) -> Figures {
    let begin = Instant::now();
    let clients: Vec<_> = (0..n_clients)
        .map(|_| {
            let mut connection: Box<dyn Stream> = match tcp {
                true => Box::new(TcpStream::connect(&daemon.address).unwrap()),
                false => Box::new(UnixStream::connect(&daemon.socket).unwrap()),
            };
            std::thread::spawn(move || {
                // What is measured is the daemon, not how long this client waits for a processor.
                supervisord::sys::schedule::take_precedence();
                let request = post(&wire::encode_call(method, &[]));
                let (mut buffer, mut latencies) = (Vec::new(), Vec::new());
                while begin.elapsed() < SPAN {
                    let start = Instant::now();
                    call(&mut *connection, &request, &mut buffer);
                    latencies.push(start.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut latencies: Vec<Duration> =
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    let seconds = begin.elapsed().as_secs_f64();
    latencies.sort();
    Figures {
        per_second: latencies.len() as f64 / seconds,
        p99: latencies[(latencies.len() * 99 / 100).min(latencies.len() - 1)],
    }
}

/// How long it takes to put 1,000 processes into text.
fn encoding() {
    let (n_rounds, n_processes) = (50, 1000);
    let processes = fake::processes(n_processes);
    let begin = Instant::now();
    let mut n_bytes = 0;
    let mut spent_cloning = Duration::ZERO;
    for _ in 0..n_rounds {
        let start = Instant::now();
        let copy = processes.clone();
        spent_cloning += start.elapsed();
        let document = reply::encode(Ok(Reply::Processes(Arc::new(copy.into()))));
        n_bytes = document.head.len() + document.rest.len();
        if let Some(Part::Shared(text)) = &document.part {
            n_bytes += text.as_str().len();
        }
    }
    let each = (begin.elapsed() - spent_cloning) / n_rounds;
    println!(
        "{n_processes} processes become {n_bytes} bytes in {each:?}; {:?} to copy them",
        spent_cloning / n_rounds
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [serving, n_processes] = arguments.as_slice()
        && serving == "serve"
    {
        return serve(n_processes.parse().unwrap());
    }
    let only_flood = std::env::var("HTTP_BENCH_ONLY").is_ok_and(|only| only == "flood");
    if !only_flood {
        encoding();
    }
    println!("{:32}{:>10}{:>14}{:>12}{:>8}", "", "clients", "calls/s", "p99", "times");
    if !only_flood {
        methods();
    }
    flooded();
}

/// The original, if it is installed, and ours.
fn sides() -> Vec<Side> {
    let original = Side::original_is_there().then_some(Side::Original);
    original.into_iter().chain([Side::Ours]).collect()
}

/// 1,000 processes, and 50 more that fill their logs.
fn flooded() {
    println!("supervisor.getAllProcessInfo, 1,000 processes, while 50 more flood their logs");
    let flood = "[program:flood]\ncommand=yes\nnumprocs=50\nprocess_name=f%(process_num)s\n\
                 stdout_logfile_maxbytes=1MB\nstdout_logfile_backups=1\n";
    let mut first = None;
    for side in sides() {
        let daemon = whole(side, 1000, flood);
        let figures = measure(&daemon, false, "supervisor.getAllProcessInfo", 4);
        show(daemon.name, "unix", 4, &figures, &mut first);
    }
}

fn show(name: &str, transport: &str, n_clients: usize, figures: &Figures, first: &mut Option<f64>) {
    let times = figures.per_second / *first.get_or_insert(figures.per_second);
    let p99 = figures.p99.as_secs_f64() * 1000.0;
    println!("  {name:10}{transport:20}{n_clients:>10}{:>14.1}{p99:>10.2}ms{times:>8.1}", figures.per_second);
}

fn methods() {
    for (method, n_processes) in [
        ("supervisor.getState", 10),
        ("supervisor.getState", 1000),
        ("supervisor.getAllProcessInfo", 10),
        ("supervisor.getAllProcessInfo", 1000),
    ] {
        let mut daemons: Vec<Measured> =
            sides().into_iter().map(|side| whole(side, n_processes, "")).collect();
        daemons.push(seam(n_processes));
        println!("{method}, {n_processes} processes");
        for tcp in [false, true] {
            for n_clients in [1, 4, 16] {
                let mut first = None;
                for daemon in &daemons {
                    let figures = measure(daemon, tcp, method, n_clients);
                    show(daemon.name, if tcp { "tcp" } else { "unix" }, n_clients, &figures, &mut first);
                }
            }
        }
    }
}
