//! The manager: everything that decides and everything that is asynchronous.

pub mod rt;
