//! The client: `supervisord ctl`, and the binary when it is called `supervisorctl`.
//!
//! It knows the daemon by its wire protocol only, so it works with an original Supervisor as well. A
//! [`session::Session`] is one run. Each line becomes one of the [`commands`], whose calls go through
//! [`daemon::Daemon`] and whose output goes through [`screen::Screen`]. Lines and exit statuses ([`exit::Exit`]) that
//! scripts know are Supervisor's.

pub mod complete;
pub mod session;
pub mod shell;

pub mod commands;
pub mod orders;

pub mod names;
pub mod render;
pub mod tables;

pub mod daemon;
pub mod records;

pub mod follow;
pub mod input;
pub mod interrupt;

pub mod error;
pub mod exit;
pub mod login;
pub mod reach;
pub mod screen;

pub mod completions;
pub mod man;

mod run;

pub use run::{main, run_words};
