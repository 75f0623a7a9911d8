//! Sockets: opening them, accepting clients, time limits.

pub mod listen;

pub(crate) mod limits;
pub(crate) mod serve;
pub(crate) mod socket;
