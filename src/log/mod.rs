//! Logs: what programs print, and what the daemon says about itself.
//!
//! A program's stream goes `pump` (when) → `stream` (which way) → `shape` (what becomes of the bytes) → `sink`
//! and its kin (where to). What is shaped lies in a `spool` meanwhile, so that a successor can go on with it
//! (`recovery`). The daemon's own log is `activity`.

pub mod activity;

pub mod mill;
pub mod pump;
pub mod retry;
pub mod source;
pub mod spec;
pub mod stream;

pub mod custody;
pub mod peek;
pub mod recovery;
pub mod spool;
pub mod transfer;

pub mod capture;
pub mod lines;
pub mod readable;
pub mod shape;
pub mod strip;

pub mod sink;

pub mod device;
pub mod file;
pub mod memory;
pub mod remote;
pub mod syslog;

pub mod auto;
pub mod open;
pub mod rotate;
pub mod stamp;
