//! The local time of this machine.

/// A moment in the local time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// As people write it: 2026.
    pub year: i32,
    /// From 1.
    pub month: u32,
    /// From 1.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// Up to 60, for a leap second.
    pub second: u32,
    /// Seconds east of Greenwich.
    pub offset: i32,
}

/// The local time `secs` seconds after 1970 began in Greenwich.
///
/// The zone is the one of `TZ` or `/etc/localtime`, as localtime_r(3) finds it.
pub fn local_time(secs: i64) -> LocalTime {
    // SAFETY: `tm` consists of integers and one pointer, for which all zeros is a value.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to values that live across the call. The environment, which it reads, is not
    // changed by us once there are threads. It fails only for years beyond an i32, and then leaves the zeros.
    unsafe { libc::localtime_r(&secs, &mut tm) };
    // The C library keeps every field within the ranges of its man page, so none is negative.
    LocalTime {
        year: tm.tm_year + 1900,
        month: tm.tm_mon as u32 + 1,
        day: tm.tm_mday as u32,
        hour: tm.tm_hour as u32,
        minute: tm.tm_min as u32,
        second: tm.tm_sec as u32,
        offset: tm.tm_gmtoff as i32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_date_command() {
        for secs in [0, 951_782_400, 1_709_164_799, 4_000_000_000] {
            let output = std::process::Command::new("date")
                .args(["-d", &format!("@{secs}"), "+%Y-%m-%d %H:%M:%S"])
                .output()
                .unwrap();
            let t = local_time(secs);
            let ours = format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02}\n",
                t.year, t.month, t.day, t.hour, t.minute, t.second
            );
            assert_eq!(ours, String::from_utf8(output.stdout).unwrap());
        }
    }
}
