//! What monitoring asks for: health and metrics.

pub(crate) mod health;
pub(crate) mod metrics;

pub mod timings;
