//! What the end-to-end tests and the benches share: a daemon in a directory of its own that is gone, with
//! everything it started, when the test ends, however it ends.
//!
//! [`Daemon`] is the guard, [`Side`] says whose daemon or client is meant, [`Run`] is what a command left
//! behind, [`until`] is how a test waits. Nothing here sleeps for a fixed time and hopes.

// Every test crate uses its own part of this.
#![allow(dead_code, unused_imports)]

mod busyness;
mod daemon;
mod http;
mod page;
mod proc;
mod programs;
mod random;
mod rpc;
mod run;
mod side;
mod wait;

pub use busyness::Busyness;
pub use daemon::{AS_PID_1, Daemon, LogLine, Start};
pub use http::{Address, Client, Response, http, post};
pub use page::page_script;
pub use proc::{
    Descendant, Leftovers, cmdline, descendants, has_root, kill, n_threads, parent, proportional_kib,
    running, sleeps, sleeps_of_threads, wait_gone,
};
pub use programs::{COUNTER, SLEEPER, assert_unbroken};
pub use random::Random;
pub use rpc::{flag, free_ports, member, text};
pub use run::{Run, finish, run, run_within};
pub use side::Side;
pub use wait::{LONG, until, until_some, until_some_or};
