//! How long process life takes and what it costs: from a crash to the successor's first instruction, a thousand
//! programs started, killed and stopped, memory, wake-ups, and the gap when the manager is killed.
//!
//! Absolute times say more about the machine than about the daemon. So every time is measured three times in the
//! same run: for a bare loop of `posix_spawn`, `kill` and `wait` in this process (the floor), for our daemon, and
//! for the original, if it is installed. The ratios are what to compare.
//!
//! Usage: `cargo bench --bench life [-- [--short] [--self] [NAME…]]`; the names are those of `measure::ALL`.

#[path = "../../tests/support/mod.rs"]
mod support;

mod bare;
// Children between clone and exec.
#[allow(unsafe_code)]
mod confined;
mod measure;
mod program;
mod ready;
mod supervised;
mod table;

use measure::{Measure, Plan};
use table::Table;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if arguments.first().is_some_and(|word| word == program::WORD) {
        program::run(&arguments[1..]);
    }
    if arguments.first().is_some_and(|word| word == ready::WORD) {
        ready::run(&arguments[1..]);
    }
    let plan = if arguments.iter().any(|word| word == "--short") { Plan::SHORT } else { Plan::FULL };
    let wanted: Vec<&String> = arguments.iter().filter(|word| !word.starts_with("--")).collect();
    let measures =
        measure::ALL.iter().filter(|one| wanted.is_empty() || wanted.iter().any(|name| *name == one.name));

    let _program = program::choose(arguments.iter().any(|word| word == "--self"));
    let mut table = Table::begin();
    for Measure { name, take, .. } in measures {
        eprintln!("measuring: {name}");
        take(&plan).into_iter().for_each(|row| table.add(row));
    }
    table.print();
}
