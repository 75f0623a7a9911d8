//! Logs: what programs print, and what the daemon says about itself.
//!
//! A program's output passes these rooms in this order:
//!
//! - [`drain`] decides when a stream is read: at once, in batches while it is busy, again while a sink fails.
//! - [`stream`] decides which way its bytes go: straight from pipe to file, through a spool, through memory.
//! - [`spool`] is where bytes lie on their way, so that a successor can go on with them.
//! - [`transform`] is what becomes of them: captured data, terminal sequences, lines with a time or as JSON.
//! - [`sinks`] are where they end: files and their rotation, devices, memory, syslog here and on the network.
//!
//! [`source`] says where a log can be read. [`activity`] is the daemon's own log.

pub mod activity;
pub mod drain;
pub mod sinks;
pub mod source;
pub mod spool;
pub mod stream;
pub mod transform;
