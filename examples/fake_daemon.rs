//! The HTTP side in front of a loop without programs, for trying clients against it.
//! `cargo run --example fake_daemon -- 10` for ten processes more than it has anyway. Prints where it listens.

#[path = "../tests/http/fake.rs"]
#[allow(dead_code)]
mod fake;

use supervisord::rt;

fn main() {
    let n_processes = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(0);
    let mut daemon = fake::Daemon::with_processes(n_processes);
    println!("http://{}", daemon.on_tcp(None));
    println!("unix://{}", daemon.on_unix(None).display());
    rt::block_on(std::future::pending::<()>());
}
