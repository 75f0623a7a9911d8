//! How many calls per second are answered.
//!
//! `cargo bench --bench http` measures the HTTP side in front of a loop without programs (`seam`) and the whole
//! daemon (`ours`), each in a process of its own. Where the original is installed (`SUPERVISOR_VENV`) it is
//! measured in the same run, and the last column says how many times faster we are. At the end four clients ask
//! while 50 programs write as fast as they can.
//!
//! `HTTP_BENCH_ONLY=flood` measures only that.

#[path = "../tests/http/fake.rs"]
#[allow(dead_code)]
mod fake;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use supervisord::rpc::server::reply::{self, Part, Reply};
use supervisord::rpc::wire;
use supervisord::rt;

/// How long each number is measured.
const SPAN: Duration = Duration::from_secs(2);

trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// A daemon to be measured.
struct Daemon {
    name: &'static str,
    child: Child,
    address: String,
    socket: PathBuf,
    _dir: Option<tempfile::TempDir>,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self._dir.is_some() {
            // A whole daemon stops its programs when it is asked to.
            let pid = rustix::process::Pid::from_child(&self.child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        } else {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// This program again, as the HTTP side of a daemon without programs.
fn seam(n_processes: usize) -> Daemon {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["serve", &n_processes.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    Daemon { name: "seam", address: line(), socket: line().into(), child, _dir: None }
}

fn serve(n_processes: usize) {
    let mut daemon = fake::Daemon::with_processes(n_processes.saturating_sub(4));
    println!("{}", daemon.on_tcp(None));
    println!("{}", daemon.on_unix(None).display());
    rt::block_on(std::future::pending::<()>());
}

/// A whole daemon with its programs.
fn whole(name: &'static str, program: &Path, n_processes: usize) -> Daemon {
    whole_with(name, program, n_processes, "")
}

/// The same with more sections.
fn whole_with(name: &'static str, program: &Path, n_processes: usize, more: &str) -> Daemon {
    let dir = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let here = dir.path().display();
    let conf = dir.path().join("supervisord.conf");
    let text = format!(
        "[supervisord]\nnodaemon=true\nlogfile={here}/log\npidfile={here}/pid\nchildlogdir={here}\nminfds=10000\n\
         [unix_http_server]\nfile={here}/sock\n[inet_http_server]\nport=127.0.0.1:{port}\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
         [program:p]\ncommand=/bin/sleep 100000\nnumprocs={n_processes}\nprocess_name=p%(process_num)s\n\
         stdout_logfile=NONE\nstderr_logfile=NONE\n{more}"
    );
    std::fs::write(&conf, text).unwrap();
    let child = Command::new(program).arg("-c").arg(&conf).stdout(Stdio::null()).spawn().unwrap();
    let socket = dir.path().join("sock");
    let daemon = Daemon { name, child, address: format!("127.0.0.1:{port}"), socket, _dir: Some(dir) };
    let deadline = Instant::now() + Duration::from_secs(120);
    while !all_running(&daemon.socket, n_processes) {
        assert!(Instant::now() < deadline, "{name} did not start {n_processes} programs");
        std::thread::sleep(Duration::from_millis(500));
    }
    daemon
}

fn all_running(socket: &Path, n_processes: usize) -> bool {
    let Ok(mut wire) = UnixStream::connect(socket) else { return false };
    let mut buffer = Vec::new();
    let body = call(&mut wire, &request("supervisor.getAllProcessInfo"), &mut buffer);
    body.windows(9).filter(|window| *window == b">RUNNING<").count() >= n_processes
}

fn request(method: &str) -> Vec<u8> {
    let body = wire::encode_call(method, &[]);
    format!(
        "POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One call; the body of the answer.
fn call<'a>(wire: &mut (impl Wire + ?Sized), request: &[u8], buffer: &'a mut Vec<u8>) -> &'a [u8] {
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
            end = Some((at + 4, at + 4 + length.parse::<usize>().unwrap()));
        }
        if let Some((begin, end)) = end
            && filled >= end
        {
            return &buffer[begin..end];
        }
    }
}

#[derive(Default)]
struct Figures {
    per_second: f64,
    p99: Duration,
}

fn measure(daemon: &Daemon, tcp: bool, method: &'static str, n_clients: usize) -> Figures {
    let begin = Instant::now();
    let clients: Vec<_> = (0..n_clients)
        .map(|_| {
            let mut wire: Box<dyn Wire> = match tcp {
                true => Box::new(TcpStream::connect(&daemon.address).unwrap()),
                false => Box::new(UnixStream::connect(&daemon.socket).unwrap()),
            };
            std::thread::spawn(move || {
                // What is measured is the daemon, not how long this client waits for a processor.
                supervisord::sys::schedule::take_precedence();
                let (request, mut buffer, mut latencies) = (request(method), Vec::new(), Vec::new());
                while begin.elapsed() < SPAN {
                    let start = Instant::now();
                    call(&mut *wire, &request, &mut buffer);
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
fn programs() -> Vec<(&'static str, PathBuf)> {
    let venv = std::env::var_os("SUPERVISOR_VENV").map(PathBuf::from);
    let original = venv.map(|venv| venv.join("bin/supervisord")).filter(|program| program.exists());
    let mut programs: Vec<_> = original.map(|program| ("original", program)).into_iter().collect();
    programs.push(("ours", env!("CARGO_BIN_EXE_supervisord").into()));
    programs
}

/// 1,000 processes, and 50 more that fill their logs.
fn flooded() {
    println!("supervisor.getAllProcessInfo, 1,000 processes, while 50 more flood their logs");
    let flood = "[program:flood]\ncommand=yes\nnumprocs=50\nprocess_name=f%(process_num)s\n\
                 stdout_logfile_maxbytes=1MB\nstdout_logfile_backups=1\n";
    let mut first = None;
    for (name, program) in programs() {
        let daemon = whole_with(name, &program, 1000, flood);
        let figures = measure(&daemon, false, "supervisor.getAllProcessInfo", 4);
        show(name, "unix", 4, &figures, &mut first);
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
        let mut daemons: Vec<Daemon> =
            programs().iter().map(|(name, program)| whole(name, program, n_processes)).collect();
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
