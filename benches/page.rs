//! How fast the page is with many processes, and what open pages cost the daemon.
//!
//! `cargo bench --bench page [N]` starts a daemon with N quiet processes, 1,000 unless something else is asked for, and
//! has `tests/page/bench.js` measure in a browser: when the first rows are painted, when a change of state is seen, what
//! is sent while nothing changes, what 50 pages cost.

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;
use support::{Side, Start, finish, free_ports, page_script};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(600);

fn main() {
    let asked = std::env::args().skip(1).find_map(|word| word.parse::<usize>().ok());
    let n_processes = asked.unwrap_or(1000);
    let [port] = free_ports();
    let conf = format!(
        "[supervisord]\nminfds=10000\n[inet_http_server]\nport=127.0.0.1:{port}\n\
         [program:quiet]\ncommand=/bin/sleep 100000\nprocess_name=%(program_name)s_%(process_num)04d\n\
         numprocs={n_processes}\nstartsecs=0\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
    );
    let daemon = Start::new(Side::Ours, &conf).ready();
    let mut node = page_script(&daemon, "bench.js", port);
    node.env("PAGE_PROCESSES", n_processes.to_string());
    // It prints what it has measured as soon as it has.
    let mut node = node.spawn().expect("node is installed");
    assert_eq!(finish(&mut node, "the measurements", PATIENCE), 0, "bench.js failed");
}
