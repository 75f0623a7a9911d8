//! The two clocks.

use crate::model::time::{Monotonic, Wall};
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now, on the clock that only goes forward.
pub fn monotonic() -> Monotonic {
    let now = clock_gettime(ClockId::Monotonic);
    // Seconds since boot are not negative and fit for 584 years.
    Monotonic(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

/// How long this thread has worked.
pub fn own_thread() -> Duration {
    let worked = clock_gettime(ClockId::ThreadCPUTime);
    // Neither is negative, and a second has fewer nanoseconds than fit.
    Duration::new(worked.tv_sec as u64, worked.tv_nsec as u32)
}

/// Now, on the clock on the wall.
pub fn wall() -> Wall {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Wall(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}
