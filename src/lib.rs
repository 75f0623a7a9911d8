//! Supervisor, the process manager, as one binary: the daemon, its client, and the keeper. With the keeper both can die
//! without a program noticing.
//!
//! Read `ARCHITECTURE.md` first. The modules stand in suggested reading order.

// Tests share modules of which each uses a part; the library alone can say that what it offers is used and
// described.
#![warn(unreachable_pub, missing_docs, clippy::missing_errors_doc)]

pub mod model;

pub mod core;

#[allow(unsafe_code)]
pub mod sys;

pub mod files;
pub mod rt;

pub mod probe;

pub mod config;

#[allow(unsafe_code)]
pub mod shm;

#[allow(unsafe_code)]
pub mod keeper;

pub mod log;

pub mod control;

pub mod rpc;

pub mod http;

pub mod manager;

pub mod check;
pub mod cli;
pub mod convert;
pub(crate) mod ctl;
pub(crate) mod pidproxy;
pub(crate) mod service;

/// Our own version: what `supervisord version`, `ctl keeper`, the metrics and so on say.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit of which this binary was built: twelve hexadecimal digits, `development` in a build for development, or
/// `unknown` if neither the checkout nor the builder said it.
pub const COMMIT: &str = env!("SUPERVISORD_COMMIT");
/// The release of Supervisor whose place this program takes: what `-v`, `ctl version` and `getSupervisorVersion` say.
/// Clients compare it to find out what they can ask for.
pub const SUPERVISOR_VERSION: &str = "4.3.0";
