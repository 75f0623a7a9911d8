//! HTTP: listening, reading requests, answering them.
//!
//! `net` accepts clients, and each gets a task (`connection`). `wire` reads its requests with httparse and writes the answers,
//! whose heads tiny_http formats; the server of tiny_http is not used. `guard` decides who is let in and how much each client
//! may occupy. `site` finds what a path leads to: `api` (JSON), `page` (the web interface), `compat` (older addresses),
//! `probe` (metrics and health), or XML-RPC in [`crate::rpc::server`]. `live` holds what never ends by itself: changes, usage
//! samples, and logs that are followed.
//!
//! Nothing here keeps state of the daemon: every request goes to the loop through [`crate::control::request::Handle`].

pub mod net;

mod answer;
mod connection;
mod context;
mod site;

mod guard;
mod wire;

pub mod live;

mod api;
mod compat;
mod page;
pub mod probe;

pub use context::Context;
pub use net::limits::Limits;
pub use net::serve::{announce, serve};
