//! The client: `supervisord ctl`, and the binary when it is called `supervisorctl`.
//!
//! It knows the daemon by its wire protocol only, so it works with an original Supervisor as well. A
//! [`session::Session`] is one run. Each line becomes one of the [`commands`], whose calls go through
//! [`daemon::Daemon`] and whose output goes through [`screen::Screen`]. Lines and exit statuses ([`exit::Exit`]) that
//! scripts know are Supervisor's.

pub(crate) mod complete;
pub(crate) mod session;
pub(crate) mod shell;

pub(crate) mod commands;
pub(crate) mod orders;
mod programs;

pub(crate) mod dependents;
pub(crate) mod graph;
pub(crate) mod life;
pub(crate) mod names;
pub(crate) mod render;
pub(crate) mod tables;
mod usage;

pub(crate) mod daemon;
pub(crate) mod records;

pub(crate) mod follow;
pub(crate) mod input;
pub(crate) mod interrupt;

pub(crate) mod error;
pub(crate) mod exit;
pub(crate) mod login;
pub(crate) mod reach;
pub(crate) mod screen;

pub(crate) mod completions;
pub(crate) mod man;

mod run;

pub(crate) use run::main;
