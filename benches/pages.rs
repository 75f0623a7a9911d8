//! What open pages cost the daemon.
//!
//! `cargo bench --bench pages` starts 1,000 processes and 50 clients that follow what happens, and tells: how large
//! the picture of everything is and how fast it comes, what the daemon works while nothing happens, how soon all clients
//! hear of a change, and what a restart of everybody costs with and without them.

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use support::{Daemon, Side, Start};

const N_PROCESSES: usize = 1000;
const N_PAGES: usize = 50;

/// How long the daemon is watched while nothing happens.
const IDLE: Duration = Duration::from_secs(30);

fn main() {
    let conf = format!(
        "[supervisord]\nminfds=8192\n[program:p]\ncommand=sleep 1000000\nprocess_name=p%(process_num)04d\n\
         numprocs={N_PROCESSES}\nstartsecs=0\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
    );
    let daemon = Start::new(Side::under_test(), &conf).ready();
    support::until("everybody runs", Duration::from_secs(120), || {
        ask(&daemon.path("s.sock"), "GET", "/readyz").0 == 200
    });
    let socket = daemon.path("s.sock");

    let begin = Instant::now();
    let (_, n_bytes) = ask(&socket, "GET", "/api/v1/processes");
    println!("picture of {N_PROCESSES} processes: {n_bytes} bytes in {:?}", begin.elapsed());
    restart_all(&daemon, "without pages");

    let told = Arc::new(AtomicU64::new(0));
    let (heard, hearing) = channel();
    for _ in 0..N_PAGES {
        let (socket, told, heard) = (socket.clone(), Arc::clone(&told), heard.clone());
        std::thread::spawn(move || follow(&socket, &told, || heard.send(Instant::now()).is_ok()));
    }
    // Until each has the picture and the first samples have been told.
    std::thread::sleep(Duration::from_secs(10));

    let (before, bytes_before) = (worked(&daemon), told.load(Ordering::Relaxed));
    std::thread::sleep(IDLE);
    let share = (worked(&daemon) - before).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    let n_bytes = told.load(Ordering::Relaxed) - bytes_before;
    println!("{N_PAGES} pages, nothing happens: {share:.2} % of a processor, {n_bytes} bytes sent");
    change(&socket, &hearing);
    restart_all(&daemon, "with pages");
}

/// Stops one process, and tells how soon everybody knows.
fn change(socket: &Path, hearing: &Receiver<Instant>) {
    while hearing.try_recv().is_ok() {}
    let begin = Instant::now();
    ask(socket, "POST", "/api/v1/processes/p:p0500/stop");
    let mut took: Vec<Duration> =
        hearing.iter().take(N_PAGES).map(|at| at.saturating_duration_since(begin)).collect();
    took.sort();
    println!(
        "a change is heard by the first page after {:?}, by the last after {:?}",
        took[0],
        took[N_PAGES - 1]
    );
    ask(socket, "POST", "/api/v1/processes/p:p0500/start");
}

fn restart_all(daemon: &Daemon, when: &str) {
    let (before, begin) = (worked(daemon), Instant::now());
    let (status, _) = ask(&daemon.path("s.sock"), "POST", "/api/v1/groups/p/restart");
    assert_eq!(status, 200);
    let took = begin.elapsed();
    println!(
        "restart of everybody {when}: {took:?}, of which the manager worked {:?}",
        worked(daemon) - before
    );
}

/// How long the manager's threads have been on a processor, from /proc/PID/task/TID/schedstat (nanoseconds).
fn worked(daemon: &Daemon) -> Duration {
    let manager = daemon.manager().expect("there is a manager");
    let tasks = std::fs::read_dir(format!("/proc/{manager}/task")).expect("it has threads").flatten();
    let nanos = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// Asks once: the status and the number of bytes of the answer.
fn ask(socket: &Path, method: &str, path: &str) -> (u16, usize) {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    write!(stream, "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        .expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    let status = std::str::from_utf8(&answer[9..12]).ok().and_then(|text| text.parse().ok());
    (status.expect("a status"), answer.len())
}

/// Follows what happens, and tells whenever a process begins to stop.
fn follow(socket: &PathBuf, told: &AtomicU64, mut heard: impl FnMut() -> bool) {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
    let mut buffer = vec![0; 1 << 20];
    while let Ok(n_bytes @ 1..) = stream.read(&mut buffer) {
        told.fetch_add(n_bytes as u64, Ordering::Relaxed);
        let stops = buffer[..n_bytes]
            .windows(br#""to":"STOPPING""#.len())
            .any(|window| window == b"\"to\":\"STOPPING\"");
        if stops && !heard() {
            return;
        }
    }
}
