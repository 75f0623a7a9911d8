//! The built binary against its specification: each file one side of it.
//!
//! The tests run programs of a few shell lines and look from outside: the terminal, the activity log, the logs of
//! the programs, /proc and the wire. Where a time matters, it is taken from the activity log or from what the
//! programs write, never from how long the test waited.

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod births;
mod cgroups;
mod confine_all;
mod confine_calls;
mod confine_files;
mod confine_kit;
mod confine_namespaces;
mod confine_rights;
mod copies;
mod credentials;
mod crowd;
mod descriptors;
mod environment;
mod environment_sources;
mod events;
mod exactly;
mod exit_when;
mod faults;
mod guard;
mod identity;
mod includes;
mod keeper;
mod life;
mod life_ctl;
mod life_health;
mod life_kit;
mod life_policy;
mod life_ready;
mod life_table;
mod life_takeover;
mod life_waits;
mod listing;
mod machine;
mod order;
mod outage;
mod pace;
mod pidproxy;
mod recovery;
mod relatives;
mod resources;
mod rotation;
mod said;
mod sample;
mod scale;
mod signals;
mod sockets;
mod start;
mod stop;
mod stop_scope;
mod superlance;
mod surroundings;
mod survivors;
mod update;
mod update_again;
mod update_matrix;
mod upgrade;
mod usage;
mod watchdog;
mod wire;

use support::{Daemon, Side, Start};

/// Starts the daemon under test and waits until it answers.
#[track_caller]
fn start(conf: &str) -> Daemon {
    Start::new(Side::under_test(), conf).ready()
}
