//! Clients that mean no good, or break. Whatever they do, others are served and memory stays bounded.

use crate::fake::Daemon;
use crate::support::{Address, Client, LONG, http, post, until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use supervisord::http::Limits;
use supervisord::rpc::wire;

/// Memory and descriptors are counted for the whole process: one such test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn impatient() -> Limits {
    Limits {
        idle: Duration::from_secs(60),
        head: Duration::from_millis(300),
        body: Duration::from_millis(300),
        body_step: Duration::from_millis(300),
        memory: 3 * LONG,
        stall: Duration::from_millis(600),
        stall_when_short: Duration::from_millis(200),
        linger: Duration::from_millis(300),
        denial_delay: Duration::ZERO,
    }
}

/// Whoever makes others wait is not given up before a test ends: if they are served, then not because of that.
fn patient() -> Limits {
    Limits {
        head: 3 * LONG,
        body: 3 * LONG,
        body_step: 3 * LONG,
        memory: 3 * LONG,
        stall: 3 * LONG,
        ..Limits::default()
    }
}

/// Memory in use, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn n_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[track_caller]
fn is_served(address: SocketAddr) {
    let begin = Instant::now();
    assert_eq!(Client::tcp(address).get("/ok.html", "").text(), "OK");
    assert!(begin.elapsed() < LONG, "answered only after {:?}", begin.elapsed());
}

fn raise_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

#[test]
fn two_thousand_idle_clients_are_held_cheaply_and_served() {
    let _alone = alone();
    raise_descriptors();
    let mut daemon = Daemon::new();
    let socket = daemon.on_unix(None);
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let mut clients: Vec<Client> = (0..100).map(|_| Client::unix(&socket)).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/ok.html", "").status, 200));
    let (memory, n_threads) = (resident(), threads());
    clients.extend((0..1900).map(|_| Client::unix(&socket)));
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/ok.html", "").status, 200));
    let grown = resident().saturating_sub(memory);
    assert!(grown < 40 << 20, "grew by {grown} bytes");
    // Other tests run beside this one, but not by hundreds.
    assert!(threads() < n_threads + 100);
}

#[test]
fn slow_heads_and_bodies_are_given_up() {
    let mut daemon = Daemon::with_limits(0, impatient());
    let address = daemon.on_tcp(None);
    let mut silent = Client::tcp(address);
    for beginning in [
        "G",
        "GET / HTTP/1.1\r\nHost: x\r\nA: ",
        "POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n<",
        "POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ] {
        let mut client = Client::tcp(address);
        client.send(beginning);
        // One more byte now and then does not help.
        std::thread::sleep(Duration::from_millis(200));
        client.send("x");
        let response = client.response().unwrap();
        assert_eq!((response.status, response.header("connection")), (408, Some("close")), "{beginning:?}");
    }
    // Who says nothing is not in the way, and may still ask.
    assert_eq!(silent.get("/ok.html", "").status, 200);
}

#[test]
fn whoever_is_idle_longest_makes_room() {
    let _alone = alone();
    // The context looks at the limit once.
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(1024), maximum: before.maximum }).unwrap();
    let mut daemon = Daemon::new();
    setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum }).unwrap();
    let address = daemon.on_tcp(None);
    let mut first = Client::tcp(address);
    assert_eq!(first.get("/ok.html", "").status, 200);
    let mut others: Vec<Client> = Vec::new();
    for _ in 0..520 {
        let mut client = Client::tcp(address);
        assert_eq!(client.get("/ok.html", "").status, 200);
        others.push(client);
    }
    assert!(first.is_closed());
    assert_eq!(others.last_mut().unwrap().get("/ok.html", "").status, 200);
}

#[test]
fn resets_leave_nothing_behind() {
    let _alone = alone();
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(None);
    is_served(address);
    let before = n_descriptors();
    let body = wire::encode_call("supervisor.getAllProcessInfo", &[]);
    let request = format!("POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for _ in 0..1000 {
        let mut stream = TcpStream::connect(address).unwrap();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
    }
    is_served(address);
    until("all descriptors are closed", LONG, || n_descriptors() <= before + 10);
}

#[test]
fn a_burst_is_answered() {
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(None);
    let mut clients: Vec<Client> = (0..200).map(|_| Client::tcp(address)).collect();
    clients.iter_mut().for_each(|client| client.send("GET /ok.html HTTP/1.1\r\nHost: x\r\n\r\n"));
    clients.iter_mut().for_each(|client| assert_eq!(client.response().unwrap().status, 200));
}

/// Clients that ask and never read.
fn stalled(address: SocketAddr, n_clients: usize, method: &str, params: &[wire::Value]) -> Vec<Client> {
    let body = wire::encode_call(method, params);
    let request = format!("POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let ask = |_| {
        let mut client = Client::tcp(address);
        client.send(&request);
        client
    };
    (0..n_clients).map(ask).collect()
}

#[test]
fn readers_that_stop_reading_a_log_cost_little() {
    let _alone = alone();
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(None);
    let log = daemon.log_of("a");
    std::fs::write(&log, vec![b'x'; 50 << 20]).unwrap();
    is_served(address);
    let before = resident();
    let params = [wire::Value::String("a".into()), wire::Value::Integer(0), wire::Value::Integer(0)];
    let _stalled = stalled(address, 20, "supervisor.readProcessStdoutLog", &params);
    for _ in 0..20 {
        is_served(address);
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 30 << 20, "grew by {grown} bytes");
    assert!(Path::new(&log).exists());
}

#[test]
fn readers_that_stop_reading_large_answers_are_thrown_out_when_memory_is_short() {
    let _alone = alone();
    let mut daemon = Daemon::with_limits(3000, impatient());
    let address = daemon.on_tcp(None);
    is_served(address);
    let before = resident();
    // Together 400 MB of answers.
    let stalled = stalled(address, 100, "supervisor.getAllProcessInfo", &[]);
    let call = wire::encode_call("supervisor.getAllProcessInfo", &[]);
    for _ in 0..3 {
        is_served(address);
        // Whoever stands still for a moment is taken for one of the others.
        until("a large answer comes", 3 * LONG, || {
            http(&Address::Tcp(address), &post(&call)).is_ok_and(|response| response.status == 200)
        });
        let grown = resident().saturating_sub(before);
        assert!(grown < 200 << 20, "grew by {grown} bytes");
    }
    drop(stalled);
}

#[test]
fn large_bodies_are_bounded_together() {
    let _alone = alone();
    let mut daemon = Daemon::with_limits(0, impatient());
    let address = daemon.on_tcp(None);
    is_served(address);
    let before = resident();
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut client = Client::tcp(address);
        client.send("POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n");
        // Whoever has to wait is given up in the meantime.
        let _ = client.wire.write_all(&vec![b'x'; 7_000_000]);
        clients.push(client);
    }
    is_served(address);
    let grown = resident().saturating_sub(before);
    assert!(grown < 150 << 20, "grew by {grown} bytes");
}

const ANNOUNCED: &str = "POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n";

/// A large body of somebody who means well.
#[track_caller]
fn a_large_body_is_taken(address: SocketAddr) {
    let begin = Instant::now();
    let body = " ".repeat(1 << 20) + &wire::encode_call("supervisor.getAllProcessInfo", &[]);
    assert_eq!(Client::tcp(address).post("/RPC2", "", body).status, 200);
    assert!(begin.elapsed() < LONG, "taken after {:?}", begin.elapsed());
}

#[test]
fn announcing_a_body_takes_no_memory_from_others() {
    let mut daemon = Daemon::with_limits(0, patient());
    let address = daemon.on_tcp(None);
    let mut announcing: Vec<Client> = (0..100).map(|_| Client::tcp(address)).collect();
    announcing.iter_mut().for_each(|client| client.send(ANNOUNCED));
    a_large_body_is_taken(address);
}

#[test]
fn bodies_that_do_not_come_give_their_memory_to_those_that_do() {
    let limits = Limits { stall_when_short: Duration::from_millis(200), ..patient() };
    let mut daemon = Daemon::with_limits(0, limits);
    let (address, socket) = (daemon.on_tcp(None), daemon.on_unix(None));
    // Together far more than there is; some are waiting for memory themselves, so writing may not end.
    let mut held = Vec::new();
    for _ in 0..4 {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let _ = (&stream).write_all(ANNOUNCED.as_bytes());
        let _ = (&stream).write_all(&vec![b' '; 7_000_000]);
        held.push(stream);
    }
    // Those on unix sockets have memory of their own.
    let begin = Instant::now();
    let body = " ".repeat(1 << 20) + &wire::encode_call("supervisor.getState", &[]);
    assert_eq!(Client::unix(&socket).post("/RPC2", "", body).status, 200);
    assert!(begin.elapsed() < LONG, "taken after {:?}", begin.elapsed());
    a_large_body_is_taken(address);
}

#[test]
fn a_body_has_to_come_in_time_all_along() {
    let limits = Limits { body_step: Duration::from_millis(400), ..patient() };
    let mut daemon = Daemon::with_limits(0, limits);
    let address = daemon.on_tcp(None);
    for beginning in ["", &" ".repeat(200_000)] {
        let mut client = Client::tcp(address);
        client.send(format!("{ANNOUNCED}{beginning}"));
        let begin = Instant::now();
        // Drops come all the time, until nobody takes them any more.
        while begin.elapsed() < LONG && client.wire.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(begin.elapsed() < LONG, "drops were taken for {:?}", begin.elapsed());
    }
}

#[test]
fn whoever_leaves_does_not_wait_for_its_refusal() {
    let _alone = alone();
    let limits = Limits { denial_delay: Duration::from_secs(600), ..Limits::default() };
    let mut daemon = Daemon::with_limits(0, limits);
    let address = daemon.on_tcp(Some(Daemon::credentials()));
    let mut known = Client::tcp(address);
    // user:123, then user:124
    assert_eq!(known.get("/ok.html", "Authorization: Basic dXNlcjoxMjM=\r\n").status, 200);
    let before = n_descriptors();
    for _ in 0..50 {
        Client::tcp(address).send("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dXNlcjoxMjQ=\r\n\r\n");
    }
    assert_eq!(known.get("/ok.html", "Authorization: Basic dXNlcjoxMjM=\r\n").status, 200);
    until("all descriptors are closed", LONG, || n_descriptors() <= before + 10);
}

#[test]
fn a_hundred_megabytes_of_garbage_are_not_read() {
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(None);
    let mut client = Client::tcp(address);
    let piece = vec![0xaa; 1 << 20];
    let n_taken = (0..100).take_while(|_| client.wire.write_all(&piece).is_ok()).count();
    assert!(n_taken < 100, "all of it was taken");
    let mut client = Client::tcp(address);
    client.send("POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n");
    assert_eq!(client.response().unwrap().status, 413);
    is_served(address);
}

#[test]
fn followers_that_leave_are_noticed_without_a_log_line() {
    let _alone = alone();
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(None);
    std::fs::write(daemon.log_of("a"), "hello\n").unwrap();
    is_served(address);
    let before = n_descriptors();
    let mut clients: Vec<Client> = (0..50).map(|_| Client::tcp(address)).collect();
    for client in &mut clients {
        client.send("GET /logtail/a HTTP/1.1\r\nHost: x\r\n\r\n");
        client.head().unwrap();
        assert_eq!(client.chunk().unwrap(), b"hello\n");
    }
    drop(clients);
    until("all descriptors are closed", LONG, || n_descriptors() <= before + 10);
}

/// How long it takes to read a head of which so many bytes come one by one.
fn dripping_head(address: SocketAddr, n_bytes: usize) -> Duration {
    let begin = Instant::now();
    let mut client = Client::tcp(address);
    client.send("GET /ok.html HTTP/1.1\r\nHost: x\r\nA: ");
    for _ in 0..n_bytes {
        client.send("x");
    }
    client.send("\r\n\r\n");
    assert_eq!(client.response().unwrap().text(), "OK");
    begin.elapsed()
}

/// Others may take the processors during one of both measurements: one good round of some is enough, and what grows with
/// the square has none.
#[track_caller]
fn assert_cheap(what: &str, measure: impl Fn() -> (Duration, Duration)) {
    let is_cheap = (0..5).any(|_| {
        let (floor, took) = measure();
        println!("{what}: {took:?}, and {floor:?} for as much elsewhere");
        took < 10 * floor
    });
    assert!(is_cheap, "{what} costs too much");
}

/// Beside what the loops of this test take for as much, on this machine and as busy as it is.
#[test]
fn small_chunks_and_dripping_heads_cost_little() {
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(None);
    let chunks = "1\r\n \r\n".repeat(1_000_000) + "0\r\n\r\n";
    assert_cheap("a million chunks", || {
        let begin = Instant::now();
        let lengths = chunks.split("\r\n").filter_map(|line| usize::from_str_radix(line, 16).ok());
        assert_eq!(lengths.sum::<usize>(), 1_000_000);
        let floor = begin.elapsed();
        let begin = Instant::now();
        let mut client = Client::tcp(address);
        client.send("POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(&chunks);
        assert_eq!(client.response().unwrap().status, 400);
        (floor, begin.elapsed())
    });
    // A hundred small heads have as many bytes; if all that has come were looked at for each byte, one large head
    // would take a hundred times as long.
    assert_cheap("a large head", || {
        ((0..100).map(|_| dripping_head(address, 140)).sum(), dripping_head(address, 14_000))
    });
}

#[test]
fn whoever_never_stops_asking_does_not_keep_others_waiting() {
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(None);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::tcp(address);
                let burst = "GET /ok.html HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    client.send(&burst);
                    (0..100).for_each(|_| assert_eq!(client.response().unwrap().status, 200));
                }
            });
        }
        for _ in 0..20 {
            is_served(address);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
