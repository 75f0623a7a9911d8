//! The two clocks, and wall time in this machine's time zone.

use crate::model::time::{Monotonic, Wall};
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now, on the clock that only goes forward.
pub fn monotonic() -> Monotonic {
    let now = clock_gettime(ClockId::Monotonic);
    // Seconds since boot are not negative and fit for 584 years.
    Monotonic(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

/// Now, on the clock on the wall.
pub fn wall() -> Wall {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Wall(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

/// A moment in this machine's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    pub year: i32,
    /// 1 to 12.
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
}

/// Converts seconds since 1970 to local time.
pub fn local(secs: i64) -> LocalTime {
    let time: libc::time_t = secs;
    let mut tm = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call; localtime_r fills the structure or leaves it zeroed,
    // which is a valid `tm` either way.
    let tm = unsafe {
        libc::localtime_r(&time, tm.as_mut_ptr());
        tm.assume_init()
    };
    LocalTime {
        year: tm.tm_year + 1900,
        month: (tm.tm_mon + 1) as u32,
        day: tm.tm_mday as u32,
        hour: tm.tm_hour as u32,
        minute: tm.tm_min as u32,
        second: tm.tm_sec as u32,
    }
}
