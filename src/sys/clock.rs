//! The two clocks: monotonic and wall.

use crate::model::time::{Monotonic, Wall};
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now, on the clock that only goes forward.
pub fn monotonic() -> Monotonic {
    let now = clock_gettime(ClockId::Monotonic);
    // Seconds since boot are not negative and fit for 584 years.
    Monotonic(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

/// A moment in clock ticks since boot, as the kernel counts the starts of processes (`/proc/PID/stat`).
pub fn boot_ticks(moment: Monotonic) -> u64 {
    let boot = clock_gettime(ClockId::Boottime);
    // As in `monotonic`.
    let boot = boot.tv_sec as u64 * 1_000_000_000 + boot.tv_nsec as u64;
    let asleep = boot.saturating_sub(monotonic().0);
    let seconds = Duration::from_nanos(moment.0.saturating_add(asleep));
    let ticks = seconds.as_nanos() * u128::from(rustix::param::clock_ticks_per_second()) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
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
