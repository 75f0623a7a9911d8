//! HTTP: listening, reading requests, answering them.
//!
//! The connection layer is our own, on the reactor: heads are read with httparse, answers are formatted by
//! tiny_http, whose server is not used. A request is read in `connection`, let in and led to its answer by
//! `site`, and the answer sent by `send`. Nothing here keeps state of the daemon: everything goes through
//! [`crate::control::request::Handle`].

pub mod listen;

mod context;
mod limits;
mod serve;

mod auth;
mod body;
mod connection;
mod guesses;
mod hashing;
mod origin;
mod request;
mod response;
mod send;
mod site;

mod input;

mod follow;
mod watch;

pub mod feed;
pub mod figures;
mod usage;

mod api;
mod assets;
mod query;
mod token;

mod bearer;
mod go;
mod health;
mod metrics;
mod old;

mod admission;
mod budget;
mod socket;

pub use context::Context;
pub use limits::Limits;
pub use serve::{announce, serve};
