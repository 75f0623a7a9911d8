//! Who is let in, and how much each client may occupy.
//!
//! `auth` checks the password; `hashing` limits the slow hashes that this takes, and `guesses` reports wrong passwords.
//! `origin` and `token` keep foreign web pages out. `admission` counts descriptors, `budget` memory.

pub(crate) mod auth;
pub(crate) mod guesses;
pub(crate) mod hashing;

pub(crate) mod origin;
pub(crate) mod token;

pub(crate) mod admission;
pub(crate) mod budget;
