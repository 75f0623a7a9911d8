//! Plain data that every layer may know: the contents of a configuration, the states of a process, and the names and
//! numbers that belong to them.
//!
//! The code here only parses and prints its own values. Start with [`config::Config`] (the meaning of a file) and
//! [`state::ProcessState`] (the state of a process).

pub mod cgroup;
pub mod colour;
pub mod config;
pub mod confinement;
pub mod dependency;
pub mod event;
pub mod exit;
pub mod fault;
pub mod given;
pub mod namespec;
pub mod percent;
pub mod probe;
pub mod raw;
pub mod resources;
pub mod restart;
pub mod signal;
pub mod size;
pub mod state;
pub mod state_file;
pub mod stream;
pub mod syscalls;
pub mod syslog;
pub mod time;
pub mod usage;
pub mod visible;
