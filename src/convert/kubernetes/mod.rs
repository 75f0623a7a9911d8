//! Manifests for Kubernetes.

mod export;
mod keys;
mod pod;
mod probes;

use crate::convert::export::Format;

/// The row of [`FORMATS`](crate::convert::export::FORMATS).
pub(super) const FORMAT: Format =
    Format { name: "kubernetes", comment: "#", keys: keys::KEYS, export: export::export };
