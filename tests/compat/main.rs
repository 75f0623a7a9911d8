//! The same commands against the original daemon and ours, with the original client and ours: the outputs and
//! exit statuses must be the same.
//!
//! A scenario is a configuration and the [`scenario::Step`]s of an operator. It is played on several sides at
//! the same time; what differs between two runs by nature (pids, times, directories) is replaced by a word before the
//! transcripts are compared.

#[path = "../support/mod.rs"]
mod support;

mod ctl;
mod end_to_end;
mod idioms;
mod life;
mod rpc;
mod scenario;
mod transcript;
