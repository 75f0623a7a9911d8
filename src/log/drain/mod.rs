//! When a stream is drained, and who does it: its own pump, the thread for busy streams, the rounds of trying again, and
//! the keeper while there is no manager.

pub mod busy;
pub mod handoff;
pub mod pump;
pub mod retry;
