use super::*;
use crate::model::probe::HttpProbe;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Instant;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn try_now(probe: &Probe) -> Result<(), String> {
    rt::block_on(try_once(probe, PATIENCE))
}

/// With a timeout that is to pass.
fn try_shortly(probe: &Probe) -> Result<(), String> {
    let (start, timeout) = (Instant::now(), Duration::from_millis(150));
    let result = rt::block_on(try_once(probe, timeout));
    assert!(start.elapsed() >= timeout);
    result
}

fn tcp_probe(host: &str, port: u16) -> Probe {
    Probe::Tcp { host: host.to_string(), port }
}

fn http_probe(port: u16) -> HttpProbe {
    let (host, path) = ("127.0.0.1".to_string(), "/health".to_string());
    HttpProbe { host, port, path, status: vec![(200, 399)], headers: Vec::new() }
}

fn listener(address: &str) -> (TcpListener, u16) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A port that nobody listens on: it was given to a socket that listened, so the kernel gives it to nobody soon.
fn dead_port() -> u16 {
    listener("127.0.0.1").1
}

/// Serves one connection: reads the request and does what the test says. What it has read is its result.
fn serve(answer: impl FnOnce(&mut TcpStream) + Send + 'static) -> (u16, JoinHandle<String>) {
    let (listener, port) = listener("127.0.0.1");
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut request).unwrap(), 0, "{request:?}");
        }
        answer(&mut stream);
        request
    });
    (port, thread)
}

/// What a probe says of a server that writes this.
fn answered_with(text: &'static [u8]) -> Result<(), String> {
    let (port, thread) = serve(move |stream| stream.write_all(text).unwrap());
    let result = try_now(&Probe::Http(http_probe(port)));
    thread.join().unwrap();
    result
}

#[test]
fn ports_that_accept_and_ports_that_do_not() {
    let (_listener, port) = listener("127.0.0.1");
    for host in ["127.0.0.1", "localhost", "LocalHost"] {
        assert_eq!(try_now(&tcp_probe(host, port)), Ok(()));
        assert_eq!(try_now(&tcp_probe(host, dead_port())).unwrap_err(), "connection refused", "{host}");
    }
    let error = try_now(&tcp_probe("no.such.name.invalid", port)).unwrap_err();
    assert!(error.starts_with("no.such.name.invalid"), "{error}");
}

#[test]
fn localhost_is_whichever_address_a_program_listens_on() {
    if TcpListener::bind(("::1", 0)).is_err() {
        println!("skipped: there is no IPv6");
        return;
    }
    let (listener, port) = listener("::1");
    assert_eq!(try_now(&tcp_probe("localhost", port)), Ok(()));
    assert_eq!(try_now(&tcp_probe("::1", port)), Ok(()));
    assert_eq!(try_now(&tcp_probe("127.0.0.1", port)).unwrap_err(), "connection refused");
    drop(listener);
    assert_eq!(try_now(&tcp_probe("localhost", port)).unwrap_err(), "connection refused");
}

#[test]
fn sockets_are_closed_on_exec() {
    let (_listener, port) = listener("127.0.0.1");
    let stream = rt::block_on(connect("127.0.0.1", port)).unwrap();
    assert!(rustix::io::fcntl_getfd(&stream).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
fn a_socket_that_has_connected_to_itself_is_no_server() {
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .unwrap();
    rustix::net::bind(&socket, &"127.0.0.1:0".parse::<SocketAddr>().unwrap()).unwrap();
    let own = SocketAddr::try_from(rustix::net::getsockname(&socket).unwrap()).unwrap();
    rustix::net::connect(&socket, &own).unwrap();
    assert!(is_own_echo(&TcpStream::from(socket)));
    let (listener, _) = listener("127.0.0.1");
    let usual = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert!(!is_own_echo(&usual));
}

/// An address that does not answer at all: the queue of those who wait to be accepted is full.
fn silent() -> (TcpListener, Vec<TcpStream>) {
    let (listener, _) = listener("127.0.0.1");
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        waiting.push(stream);
        assert!(waiting.len() < 100);
    }
    (listener, waiting)
}

#[test]
fn addresses_are_tried_in_turn_and_a_silent_one_holds_nobody_up() {
    let (silent, _waiting) = silent();
    let silent = silent.local_addr().unwrap();
    let (good, port) = listener("127.0.0.1");
    let dead = SocketAddr::new(silent.ip(), dead_port());
    let good_address = good.local_addr().unwrap();
    for addresses in
        [vec![dead, good_address], vec![silent, good_address], vec![dead, silent, silent, good_address]]
    {
        let stream = rt::block_on(first_of(&addresses)).unwrap();
        assert_eq!(stream.get_ref().peer_addr().unwrap(), good_address, "{addresses:?}");
    }
    // One that answers at once leaves the others alone.
    drop(rt::block_on(first_of(&[good_address, silent])).unwrap());
    let error = rt::block_on(first_of(&[dead, dead])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(rt::block_on(first_of(&[])).is_err());
    assert_eq!(try_shortly(&tcp_probe("127.0.0.1", silent.port())).unwrap_err(), "no answer within 150ms");
    // Four connections to the good one, and no more.
    good.set_nonblocking(true).unwrap();
    assert_eq!(std::iter::from_fn(|| good.accept().ok()).count(), 4, "port {port}");
}

#[test]
fn what_servers_answer_and_what_that_means() {
    for (answer, expected) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"[..], Ok(())),
        (b"HTTP/1.0 200\r\n\r\n", Ok(())),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Ok(())),
        // Not followed: the address may be anywhere.
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", Ok(())),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\nwait", Err("status 503, expected 200-399")),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", Err("status 404, expected 200-399")),
        // What comes before the answer is none.
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Ok(())),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 No\r\n\r\n", Err("status 500, expected 200-399")),
        (b"HTTP/1.1 100 Continue\r\n\r\n", Err("the connection was closed without an answer")),
        (b"", Err("the connection was closed without an answer")),
        (b"HTTP/1.1 200 OK\r\nServer: x\r\n", Err("the answer ends before its head does")),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Err("the answer is not HTTP")),
        (b"\x15\x03\x01\x00\x02\x02\x46", Err("the answer is not HTTP")),
    ] {
        let expected = expected.map_err(str::to_string);
        assert_eq!(answered_with(answer), expected, "{}", String::from_utf8_lossy(answer));
    }
}

#[test]
fn statuses_are_good_if_the_probe_says_so() {
    for (ranges, status, expected) in [
        (&[(200, 200)][..], 200, Ok(())),
        (&[(200, 299), (404, 404)], 404, Ok(())),
        (&[(200, 299), (404, 404)], 302, Err("status 302, expected 200-299, 404")),
        (&[(401, 401)], 200, Err("status 200, expected 401")),
    ] {
        let (port, thread) = serve(move |stream| write!(stream, "HTTP/1.1 {status} X\r\n\r\n").unwrap());
        let probe = HttpProbe { status: ranges.to_vec(), ..http_probe(port) };
        assert_eq!(rt::block_on(http(&probe)), expected.map_err(str::to_string));
        thread.join().unwrap();
    }
}

#[test]
fn requests_arrive_as_they_are_meant() {
    let (port, thread) = serve(|stream| stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap());
    let headers = vec![("Host".to_string(), "example.org".to_string()), ("X-A".to_string(), "b".to_string())];
    let probe = HttpProbe { path: "/a b?c=d".to_string(), headers, ..http_probe(port) };
    assert_eq!(try_now(&Probe::Http(probe)), Ok(()));
    assert_eq!(
        thread.join().unwrap(),
        "GET /a%20b?c=d HTTP/1.1\r\nUser-Agent: supervisord\r\nAccept: */*\r\nConnection: close\r\nHost: example.org\r\n\
         X-A: b\r\n\r\n"
    );
}

#[test]
fn an_answer_may_come_in_pieces() {
    let (port, thread) = serve(|stream| {
        stream.set_nodelay(true).unwrap();
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" {
            stream.write_all(&[*byte]).unwrap();
        }
    });
    assert_eq!(try_now(&Probe::Http(http_probe(port))), Ok(()));
    thread.join().unwrap();
}

#[test]
fn answers_without_end_are_not_read_to_it() {
    // Fields for ever.
    let (port, thread) = serve(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(&[b"A: ".as_slice(), &[b'x'; 1000], b"\r\n"].concat()).is_ok() {}
    });
    let error = try_now(&Probe::Http(http_probe(port))).unwrap_err();
    assert_eq!(error, "the head of the answer is longer than 16 KiB");
    thread.join().unwrap();
    // A body for ever does not matter, whether it is sent fast or not at all.
    for is_fast in [true, false] {
        let (port, thread) = serve(move |stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            while is_fast && stream.write_all(&[b'x'; 1000]).is_ok() {}
            // Until the other side has gone.
            let _ = stream.read(&mut [0; 8]);
        });
        let start = Instant::now();
        assert_eq!(try_now(&Probe::Http(http_probe(port))), Ok(()));
        assert!(start.elapsed() < PATIENCE / 2);
        thread.join().unwrap();
    }
}

/// A server that writes head and body one after the other finds its connection open, and its answer taken.
#[test]
fn a_short_answer_is_heard_out() {
    let (port, thread) = serve(|stream| {
        stream.set_nodelay(true).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n").unwrap();
        for _ in 0..20 {
            stream.write_all(&[b'x'; 100]).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        // The other side goes in order, not with an error.
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    });
    assert_eq!(try_now(&Probe::Http(http_probe(port))), Ok(()));
    thread.join().unwrap();
}

#[test]
fn after_the_timeout_nothing_goes_on() {
    let (port, thread) = serve(|stream| {
        stream.write_all(b"HTTP/1.1 200 O").unwrap();
        assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0, "the other side has closed its socket");
    });
    assert_eq!(try_shortly(&Probe::Http(http_probe(port))).unwrap_err(), "no answer within 150ms");
    thread.join().unwrap();
    // Nor after the probe was given up.
    let (asked, was_asked) = mpsc::channel();
    let (port, thread) = serve(move |stream| {
        asked.send(()).unwrap();
        assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0);
    });
    let probe = Probe::Http(http_probe(port));
    let task = rt::spawn(async move { try_once(&probe, PATIENCE).await });
    was_asked.recv_timeout(PATIENCE).unwrap();
    rt::block_on(task.cancel());
    thread.join().unwrap();
}

#[test]
fn many_probes_at_once() {
    let (listener, port) = listener("127.0.0.1");
    rustix::net::listen(&listener, 1000).unwrap();
    let thread = std::thread::spawn(move || {
        for _ in 0..300 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                assert_eq!(stream.read(&mut byte).unwrap(), 1);
                request.push(byte[0]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        }
    });
    let probe = Probe::Http(http_probe(port));
    let tasks: Vec<_> = (0..300)
        .map(|_| {
            let probe = probe.clone();
            rt::spawn(async move { try_once(&probe, PATIENCE).await })
        })
        .collect();
    rt::block_on(async {
        for task in tasks {
            assert_eq!(task.join().await, Ok(()));
        }
    });
    thread.join().unwrap();
}

#[test]
fn unix_sockets_that_accept_and_those_that_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let probe = Probe::Unix(path.clone());
    assert_eq!(try_now(&probe).unwrap_err(), "it does not exist");
    let listener = UnixListener::bind(&path).unwrap();
    assert_eq!(try_now(&probe), Ok(()));
    drop(listener);
    assert_eq!(try_now(&probe).unwrap_err(), "connection refused");
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(try_now(&Probe::Unix(file)).unwrap_err(), "connection refused");
    // Longer than an address.
    let deep = directory.path().join("d".repeat(100)).join("e".repeat(100));
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::rename(&path, deep.join("stale")).unwrap();
    assert_eq!(try_now(&Probe::Unix(deep.join("stale"))).unwrap_err(), "connection refused");
    assert_eq!(try_now(&Probe::Unix(deep.join("none").join("s"))).unwrap_err(), "it does not exist");
}

#[test]
fn a_full_queue_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    while try_socket(&path) == Ok(Seen::There) {}
    assert_eq!(try_shortly(&Probe::Unix(path.clone())).unwrap_err(), "no answer within 150ms");
    let (go, told) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        told.recv().unwrap();
        listener.accept().unwrap();
        listener
    });
    let probe = Probe::Unix(path);
    let task = rt::spawn(async move { try_once(&probe, PATIENCE).await });
    go.send(()).unwrap();
    assert_eq!(rt::block_on(task.join()), Ok(()));
    drop(thread.join().unwrap());
}

#[test]
fn files_that_exist_and_those_that_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let says = |path: PathBuf| try_now(&Probe::File(path)).err().unwrap_or_default();
    assert_eq!(says(at("ready")), "it does not exist");
    std::fs::write(at("ready"), "").unwrap();
    std::os::unix::fs::symlink("ready", at("link")).unwrap();
    std::os::unix::fs::symlink("nothing", at("dangling")).unwrap();
    std::os::unix::fs::symlink("loop", at("loop")).unwrap();
    // Nobody writes to it, and nobody is waited for.
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for name in ["ready", "link", "fifo", "."] {
        assert_eq!(says(at(name)), "", "{name}");
    }
    assert_eq!(says(at("dangling")), "it does not exist");
    assert!(says(at("loop")).contains("symbolic link"), "{}", says(at("loop")));
    assert_eq!(says(at("ready/below")), "not a directory");
    std::fs::remove_file(at("ready")).unwrap();
    assert_eq!(says(at("ready")), "it does not exist");
}

/// As a file on a server that is gone: each try has its timeout, and all of them cost one thread.
#[test]
fn a_path_that_hangs_costs_one_thread() {
    let n_threads = || {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .filter(|entry| {
                let name = entry.as_ref().unwrap().path().join("comm");
                std::fs::read_to_string(name).is_ok_and(|name| name == "hangs-here\n")
            })
            .count()
    };
    let (end, told) = mpsc::channel::<()>();
    let mut told = Some(told);
    for _ in 0..50 {
        let told = told.take();
        let hangs = PATHS.ask("a path that hangs".into(), move || {
            rustix::thread::set_name(c"hangs-here").unwrap();
            let _ = told.ok_or("asked twice")?.recv();
            Ok(Seen::There)
        });
        let result = rt::block_on(within(Duration::from_millis(5), hangs));
        assert_eq!(result.unwrap_err(), "no answer within 5ms");
        assert!(n_threads() <= 1);
    }
    end.send(()).unwrap();
}

#[test]
fn other_probes_are_not_made_from_here() {
    for probe in [Probe::Exec("true".into()), Probe::Log("x".into()), Probe::Notify, Probe::Fd(3)] {
        assert!(try_now(&probe).is_err());
    }
}

#[test]
fn errors_are_told_in_few_words() {
    for (number, expected) in [
        (libc::ECONNREFUSED, "connection refused"),
        (libc::ECONNRESET, "connection reset"),
        (libc::ETIMEDOUT, "no answer"),
        (libc::ENOENT, "it does not exist"),
        (libc::EACCES, "permission denied"),
        (libc::ENETUNREACH, "network is unreachable"),
        (libc::EPROTOTYPE, "protocol wrong type for socket"),
    ] {
        assert_eq!(told(&io::Error::from_raw_os_error(number)), expected);
    }
    assert_eq!(told(&io::Error::other("a reason of ours")), "a reason of ours");
}

/// A process of its own makes a probe whose time limit is not used up, and then has nothing to do.
#[test]
fn a_probe_that_is_over_wakes_nobody() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", "--nocapture", "probe::network::tests::quiet_afterwards"]);
    command.env("PROBE_IS_QUIET", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("probes are over")));
    let pid = child.id();
    // Threads that were just woken come to rest.
    let start = Instant::now();
    let mut resting = (wakeups(pid), Instant::now());
    while resting.1.elapsed() < Duration::from_millis(100) {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(10));
        let now = wakeups(pid);
        if now != resting.0 {
            resting = (now, Instant::now());
        }
    }
    let rested = start.elapsed();
    std::thread::sleep(QUIET_TIMEOUT);
    let after = wakeups(pid);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(after, resting.0, "somebody was woken");
    assert!(rested < QUIET_TIMEOUT, "the limits of time had passed before: {rested:?}");
}

/// The limits of time of the probes there.
const QUIET_TIMEOUT: Duration = Duration::from_secs(4);

/// How often threads of a process have gone to sleep.
fn wakeups(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let status = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")));
    let number = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap_or("0").trim().parse::<u64>().unwrap()
    };
    status.filter_map(Result::ok).map(|text| number(&text)).sum()
}

#[test]
#[ignore = "is run by another test, in a process of its own"]
fn quiet_afterwards() {
    if std::env::var_os("PROBE_IS_QUIET").is_none() {
        return;
    }
    let (silent, _waiting) = silent();
    let silent = silent.local_addr().unwrap().port();
    // As in the daemon, whose loop is no thread of the runtime: such a thread would look at the timers by itself.
    let probes = async {
        for _ in 0..10 {
            // An answer that is waited for, and one that is given up.
            let (port, _) = serve(|stream| {
                std::thread::sleep(Duration::from_millis(5));
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            });
            assert_eq!(try_once(&Probe::Http(http_probe(port)), QUIET_TIMEOUT).await, Ok(()));
            let probe = tcp_probe("127.0.0.1", silent);
            let given_up = async {
                let soon = crate::sys::clock::monotonic() + Duration::from_millis(2);
                rt::wait::until(Some(soon)).await;
                Err("given up".to_string())
            };
            let result = try_once(&probe, QUIET_TIMEOUT).or(given_up).await;
            assert_eq!(result.unwrap_err(), "given up");
        }
    };
    rt::wait::block_on(probes).unwrap();
    println!("probes are over");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}
