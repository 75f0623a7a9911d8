//! The manager is killed every 0 to 20 ms while 48 programs start, log, crash, and are stopped and started by
//! clients; now and then another binary takes over. Afterwards the programs' own records say whether anything was
//! lost, doubled, torn or invented. `cargo bench --bench chaos` does the same for longer.
//!
//! Then the same happens to 60 programs that wait for each other.
//!
//! `CHAOS_SEED` repeats a run, as far as the machine lets it be repeated.

#[path = "chaos_support/check.rs"]
mod check;
#[path = "chaos_support/layer_program.rs"]
mod layer_program;
#[path = "chaos_support/layers.rs"]
mod layers;
#[path = "chaos_support/program.rs"]
mod program;
#[path = "chaos_support/run.rs"]
mod run;
#[path = "support/mod.rs"]
mod support;

use run::{Chaos, SHORT_CALM, run};
use std::time::Duration;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, name, kind] = arguments.as_slice()
        && word == "program"
    {
        program::run(name, kind);
    }
    if let [_, word, name, way, port] = arguments.as_slice()
        && word == "layer"
    {
        layer_program::run(name, way, port);
    }
    // What `cargo test` passes on, for example a filter or --list, has no meaning here.
    let seed = std::env::var("CHAOS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        u64::from(now.expect("it is after 1970").subsec_nanos())
    });
    println!("seed {seed}");
    let at_most = Duration::from_secs(7);
    let short = Chaos { under: &[], n_kills: 250, at_most, seed, n_follows: 0, longest_calm: SHORT_CALM };
    println!("{}", run(short).line());
    let as_pid_1 = Chaos { under: &support::AS_PID_1, n_kills: 120, ..short };
    println!("as PID 1: {}", run(as_pid_1).line());
    let at_most = Duration::from_secs(20);
    println!(
        "in layers: {}",
        layers::run(Chaos { n_kills: 60, at_most, longest_calm: layers::LONG_CALM, ..short })
    );
}
