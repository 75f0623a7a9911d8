//! A daemon with an idle client and a followed log does not wake while nothing happens.

#[path = "http/fake.rs"]
#[allow(dead_code)]
mod fake;
mod support;

use fake::Daemon;
use std::time::{Duration, Instant};
use support::{Client, sleeps_of_threads};

/// How often the other threads of this process have slept. The only test of its binary: there are no threads but
/// those of the daemon, and the one that runs the test.
fn n_sleeps() -> u64 {
    let own = rustix::thread::gettid().as_raw_nonzero().get();
    let threads = sleeps_of_threads(std::process::id() as i32);
    threads.into_iter().filter(|(thread, _)| *thread != own).map(|(_, n_sleeps)| n_sleeps).sum()
}

#[test]
fn an_idle_daemon_sleeps() {
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(None);
    std::fs::write(daemon.log_of("a"), "hello\n").unwrap();
    let mut idle = Client::tcp(address);
    assert_eq!(idle.get("/ok.html", "").status, 200);
    let mut follower = Client::tcp(address);
    follower.send("GET /logtail/a HTTP/1.1\r\nHost: x\r\n\r\n");
    follower.head().unwrap();
    assert_eq!(follower.chunk().unwrap(), b"hello\n");

    // What was just done may leave threads that wait for a while before they end.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let before = n_sleeps();
        std::thread::sleep(Duration::from_secs(2));
        if n_sleeps() == before {
            break;
        }
        assert!(Instant::now() < deadline, "it never comes to rest");
    }
    // It was asleep, not dead.
    assert_eq!(idle.get("/ok.html", "").status, 200);
}
