//! A daemon that runs out of descriptors serves again as soon as it has some.

#[path = "http/fake.rs"]
#[allow(dead_code)]
mod fake;
mod support;

use fake::Daemon;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::TcpStream;
use std::time::Instant;
use support::{Client, LONG};

/// The only test of its binary: the limit is the process's.
#[test]
fn running_out_of_descriptors_is_survived() {
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(None);
    assert_eq!(Client::tcp(address).get("/ok.html", "").status, 200);

    let n_used = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(n_used + 20), maximum }).unwrap();
    // Both ends of each connection are ours. When no more can be made, the last ones wait to be accepted,
    // because accepting them takes descriptors too.
    let mut streams = Vec::new();
    while let Ok(stream) = TcpStream::connect(address) {
        streams.push(stream);
    }
    assert!(streams.len() > 5, "{}", streams.len());
    let mut last = Client::over(streams.pop().unwrap());
    last.send("GET /ok.html HTTP/1.1\r\nHost: x\r\n\r\n");
    drop(streams);
    let begin = Instant::now();
    assert_eq!(last.response().unwrap().status, 200);
    assert_eq!(Client::tcp(address).get("/ok.html", "").status, 200);
    assert!(begin.elapsed() < LONG, "served only after {:?}", begin.elapsed());
}
