//! systemd's units: a service for each process, targets for groups and for everything, sockets.
//!
//! Out: `keys` says what becomes of each key, `export` makes the files, `service` and `surroundings` the section
//! `[Service]`, `links` what units say of each other, `template` one unit of several that differ by a number.

pub(super) mod export;
mod keys;
pub(super) mod links;
pub(super) mod service;
mod surroundings;
pub(super) mod template;
pub(super) mod text;

use crate::convert::export as out;

/// Units of systemd.
pub(super) const FORMAT: out::Format =
    out::Format { name: "systemd", comment: "#", keys: keys::KEYS, export: export::export };
