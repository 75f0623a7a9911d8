//! Clients of a site that do not rest.

use crate::support::{Address, http};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const N_CLIENTS: usize = 4;

/// Clients that ask one after the other, each time on a connection of its own.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    n_answered: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Load {
    /// Begins. They wait until somebody listens; from then on each request counts.
    pub fn on(port: u16) -> Load {
        let shared = Arc::new(Shared::default());
        let clients = (0..N_CLIENTS).map(|number| {
            let shared = shared.clone();
            thread::spawn(move || {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                while TcpStream::connect(address).is_err() && !shared.is_over.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(5));
                }
                let path = if number % 2 == 0 { "/" } else { "/api/" };
                let request =
                    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
                while !shared.is_over.load(Ordering::Relaxed) {
                    match http(&Address::Tcp(address), request.as_bytes()) {
                        Ok(answer) if answer.status == 200 && !answer.body.is_empty() => {
                            shared.n_answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(answer) => shared.fail(format!("{path}: {} {}", answer.head, answer.text())),
                        Err(error) => shared.fail(format!("{path}: {error}")),
                    }
                }
            })
        });
        Load { clients: clients.collect(), shared }
    }

    /// How many requests were answered so far.
    pub fn n_answered(&self) -> usize {
        self.shared.n_answered.load(Ordering::Relaxed)
    }

    /// Ends, and says how many requests were answered.
    ///
    /// # Panics
    /// If one was not, or not with 200.
    #[track_caller]
    pub fn end(mut self) -> usize {
        self.stop();
        let failures = self.shared.failures.lock().expect("no client panics");
        let n_answered = self.n_answered();
        let few: Vec<&String> = failures.iter().take(5).collect();
        assert!(failures.is_empty(), "{} requests failed, {n_answered} did not: {few:#?}", failures.len());
        n_answered
    }

    fn stop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            // A client that panicked has said why.
            let _ = client.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn fail(&self, failure: String) {
        self.failures.lock().expect("no client panics").push(failure);
        // Otherwise there would be thousands of them.
        thread::sleep(Duration::from_millis(50));
    }
}
