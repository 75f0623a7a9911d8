//! The manager: everything that decides and everything that is asynchronous.

pub mod rt;

/// x
pub fn run_if_manager() -> Option<u8> {
    None
}
