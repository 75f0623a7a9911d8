//! Points in time: [`Monotonic`] for decisions, [`Wall`] for display.

use serde::{Deserialize, Serialize};
use std::ops::{Add, Sub};
use std::time::Duration;

/// A point on the kernel's monotonic clock, in nanoseconds since boot.
///
/// Every delay is measured with it. It is the same clock in every process of this machine, so a value
/// written to shared memory by one manager means the same to the next. `std::time::Instant` hides its
/// number and cannot be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// The time from `earlier` to this point; zero if `earlier` is not before it.
    pub fn since(self, earlier: Monotonic) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Monotonic {
    type Output = Monotonic;

    fn add(self, delay: Duration) -> Monotonic {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        Monotonic(self.0.saturating_add(nanos))
    }
}

impl Sub<Duration> for Monotonic {
    type Output = Monotonic;

    fn sub(self, delay: Duration) -> Monotonic {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        Monotonic(self.0.saturating_sub(nanos))
    }
}

/// A point on the wall clock, in nanoseconds since 1970 (UTC). Only for showing; 0 means "never".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Wall(pub u64);

impl Wall {
    /// Whole seconds since 1970, truncated.
    pub fn secs(self) -> i64 {
        // u64 nanoseconds are at most 18,446,744,073 seconds, which fits.
        (self.0 / 1_000_000_000) as i64
    }

    /// Whole milliseconds since 1970, truncated.
    pub fn millis(self) -> i64 {
        // u64 nanoseconds are at most 18,446,744,073,709 milliseconds, which fits.
        (self.0 / 1_000_000) as i64
    }
}

/// A length of time as a configuration would write it: `500ms`, `60s`, `5m`, `2h`, `3d`.
pub fn in_short(time: Duration) -> String {
    // Unit and the least number of seconds that it is used for: `60s` and `90s` say more to people than `1m`.
    const UNITS: [(u64, u64, &str); 3] = [(86_400, 86_400, "d"), (3600, 3600, "h"), (60, 120, "m")];
    if time.subsec_nanos() != 0 {
        return match time.as_secs() {
            0 => format!("{}ms", time.as_millis()),
            _ => format!("{}s", time.as_secs_f64()),
        };
    }
    let seconds = time.as_secs();
    let unit = UNITS.iter().find(|(length, least, _)| seconds >= *least && seconds.is_multiple_of(*length));
    match unit {
        Some((length, _, unit)) => format!("{}{unit}", seconds / length),
        None => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_would() {
        for (millis, text) in [
            (0, "0s"),
            (500, "500ms"),
            (1500, "1.5s"),
            (60_000, "60s"),
            (90_000, "90s"),
            (300_000, "5m"),
            (3_600_000, "1h"),
            (5_400_000, "90m"),
            (172_800_000, "2d"),
        ] {
            assert_eq!(in_short(Duration::from_millis(millis)), text);
        }
    }
}
