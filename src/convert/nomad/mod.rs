//! Job specifications for Nomad.

mod export;
mod hcl;
mod keys;
mod task;

use crate::convert::export::Format;

/// The row of [`FORMATS`](crate::convert::export::FORMATS).
pub(super) const FORMAT: Format =
    Format { name: "nomad", comment: "#", keys: keys::KEYS, export: export::export };
