//! Compose files, as `docker compose` reads them, in both directions.

mod export;
mod import;
mod interpolation;
mod keys;
mod limits;
mod read;
mod service;
mod settings;

pub(super) use import::import;

use crate::convert::export::Format;

/// The row of [`FORMATS`](crate::convert::export::FORMATS).
pub(super) const FORMAT: Format =
    Format { name: "compose", comment: "#", keys: keys::KEYS, export: export::export };
