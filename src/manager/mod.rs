//! The manager: everything that decides and everything that is asynchronous.
//!
//! [`launch`] is what the process does that somebody started: it reads the configuration, goes to the
//! background if asked to, and becomes the keeper. The keeper starts a manager, and [`start`] brings it up,
//! afresh or in the place of one that died. [`procs::ProcessManager`] is the table of everything that is
//! supervised; [`daemon`] is the loop around it, the only place that changes it; [`requests`] is what clients
//! may ask the loop for.

pub mod launch;
pub mod lock;
pub mod pidfile;
pub mod standing;
mod strangers;

pub mod boot;
pub mod start;

pub mod answers;
pub mod daemon;
pub mod exit_when;
pub mod info_map;
pub mod interim;
pub mod procs;
pub mod requests;
pub mod resume;
pub mod saved;
pub mod servers;
pub mod shutdown;
pub mod survivors;
pub mod thrift;
pub mod unseen;
pub mod upgrade;
pub mod viewers;

pub mod births;
pub mod child;
pub mod describe;
pub mod sockets;
pub mod spawns;
pub mod streams;

pub mod events;

pub use launch::daemon_main;
pub use start::run_if_manager;
