//! Twelve thousand kills of the manager, and how long clients wait at each. See `tests/chaos.rs` for the short one.
//!
//! `cargo bench --bench chaos -- [kills N] [pid1 N] [layers N] [gaps N] [orders N] [upgrades N]`: how often the
//! manager is killed under load, the same in a namespace of its own, and among programs that wait for each other; after how
//! many kills and upgrades the gap is measured; `orders` is the gap for those who do not only ask. By default all of it,
//! 12,000 kills together.

#[path = "../../tests/chaos_support/check.rs"]
mod check;
#[path = "../../tests/chaos_support/layer_program.rs"]
mod layer_program;
#[path = "../../tests/chaos_support/layers.rs"]
mod layers;
#[path = "../../tests/chaos_support/program.rs"]
mod program;
#[path = "../../tests/chaos_support/run.rs"]
mod run;
#[path = "../../tests/support/mod.rs"]
mod support;

mod gaps;

use run::{Chaos, SHORT_CALM, run};
use std::time::Duration;

fn main() {
    let arguments: Vec<String> = std::env::args().filter(|word| word != "--bench").collect();
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
    match arguments.get(1).map(String::as_str) {
        Some("floor") => gaps::floor(),
        Some("floor-server") => gaps::floor_server(),
        _ => {}
    }
    let asked = |word: &str| {
        let at = arguments.iter().position(|argument| argument == word)?;
        arguments.get(at + 1)?.parse::<usize>().ok()
    };
    let is_all = arguments.len() < 2;
    let wanted = |word, default| asked(word).or(is_all.then_some(default)).filter(|number| *number > 0);
    let seed = u64::from(std::process::id());
    let at_most = Duration::from_secs(4 * 3600);
    let kills = Chaos { under: &[], n_kills: 0, at_most, seed, n_follows: 0, longest_calm: SHORT_CALM };
    println!("seed {seed}");
    if let Some(n_gaps) = wanted("gaps", 200) {
        gaps::of_kills(n_gaps);
    }
    if let Some(n_orders) = wanted("orders", 50) {
        gaps::of_orders(n_orders);
    }
    if let Some(n_upgrades) = wanted("upgrades", 10) {
        gaps::of_upgrades(n_upgrades);
    }
    if let Some(n_kills) = wanted("kills", 8000) {
        println!("{}", run(Chaos { n_kills, n_follows: 2, ..kills }).line());
    }
    if let Some(n_kills) = wanted("pid1", 2000) {
        let as_pid_1 = Chaos { under: &support::AS_PID_1, n_kills, n_follows: 1, ..kills };
        println!("as PID 1: {}", run(as_pid_1).line());
    }
    if let Some(n_kills) = wanted("layers", 2000) {
        println!("in layers: {}", layers::run(Chaos { n_kills, longest_calm: layers::LONG_CALM, ..kills }));
    }
}
