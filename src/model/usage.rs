//! What programs use of the machine.

use std::time::Duration;

/// What a process has used of the machine so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Time on processors, in user and kernel mode.
    pub cpu: Duration,
    /// Memory that is in RAM, in bytes.
    pub resident: u64,
    /// Its threads.
    pub tasks: u32,
}
