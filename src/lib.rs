//! Supervisor, the process manager, as one binary: the daemon, its client and the keeper that lets both
//! of them die without a program noticing.
//!
//! Read `ARCHITECTURE.md` first. The modules stand in suggested reading order.

pub mod model;

pub mod cli;
pub mod config;

pub mod check;
pub mod core;

#[allow(unsafe_code)]
pub mod sys;

#[allow(unsafe_code)]
pub mod keeper;

pub mod files;
pub mod log;
pub mod manager;

pub mod http;
pub mod rpc;

pub mod ctl;
pub mod pidproxy;
