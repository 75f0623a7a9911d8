//! Plain data that every layer may know: what the configuration says, the states a process can be in, the
//! names and numbers that go with them.
//!
//! Nothing here does any work beyond parsing and printing its own values. Start with [`config::Config`]
//! (what a file means) and [`state::ProcessState`] (what a process does).

pub mod colour;
pub mod config;
pub mod exit;
pub mod fault;
pub mod namespec;
pub mod raw;
pub mod signal;
pub mod state;
pub mod stream;
pub mod time;
pub mod visible;
