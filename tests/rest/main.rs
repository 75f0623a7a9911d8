//! The interface for pages and scripts, the streams, the metrics and the older addresses, of the built binary.

#[path = "../support/mod.rs"]
mod support;

mod web;

mod contract;
mod events;
mod life;
mod logs;
mod metrics;
mod old;
mod processes;
mod proxy;
mod safety;
