//! What never ends by itself: changes of state, usage samples, logs that are followed.

pub mod feed;
pub(crate) mod usage;

pub(crate) mod follow;
pub(crate) mod watch;
