//! How keeper and manager find each other: the variables that tell a freshly executed process what it is and which
//! descriptors it has, and the doorbells by which each wakes the other.

use crate::shm::layout::LedgerEntry;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::Ordering::*;

/// Tells a freshly executed process that it is a manager, and where its descriptors are.
pub const MANAGER_VARIABLE: &str = "SUPERVISORD_MANAGER";

/// Tells a manager that it is a candidate, which only checks whether it understands everything.
pub const CHECK_VARIABLE: &str = "SUPERVISORD_CHECK";

/// Reads the list of descriptors that `variable` hands to this process. It counts only if it begins with the
/// right pid: a program that we started may have inherited a variable of the same name from elsewhere.
pub fn numbers_from(variable: &str, pid: i32) -> Option<Vec<RawFd>> {
    let value = std::env::var(variable).ok()?;
    let mut numbers = value.split(' ').map(|word| word.parse::<i32>().ok());
    if numbers.next()?? != pid {
        return None;
    }
    numbers.collect()
}

/// Adds one to an eventfd, which wakes whoever waits for it.
pub fn ring(doorbell: &OwnedFd) {
    let _ = rustix::io::write(doorbell, &1_u64.to_ne_bytes());
}

/// Sets an eventfd back to zero.
pub fn drain_counter(doorbell: &OwnedFd) {
    let mut count = [0; 8];
    let _ = rustix::io::read(doorbell, &mut count);
}

/// Reads a name as the keeper wrote it.
pub fn entry_name<M>(entry: &LedgerEntry<M>) -> String {
    let bytes: Vec<u8> = entry.name.iter().map(|byte| byte.load(Relaxed)).collect();
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
