//! Times as logs show them.

use crate::sys::localtime::{LocalTime, local_time};
use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment on the wall clock in the local zone, with its milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Date and time of day, with the offset of the zone.
    pub local: LocalTime,
    /// Truncated, as Supervisor does.
    pub millis: u32,
    /// Truncated.
    pub micros: u32,
    /// Since 1970.
    pub secs: i64,
}

thread_local! {
    /// The last second that was converted: conversions come in bursts.
    static LAST: Cell<Option<(i64, LocalTime)>> = const { Cell::new(None) };
}

impl Stamp {
    /// The time now.
    pub fn now() -> Stamp {
        Stamp::at(SystemTime::now())
    }

    /// A clock before 1970 shows as 1970.
    pub fn at(moment: SystemTime) -> Stamp {
        let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        let secs = i64::try_from(since.as_secs()).unwrap_or(0);
        Stamp {
            local: cached_local_time(secs),
            millis: since.subsec_millis(),
            micros: since.subsec_micros(),
            secs,
        }
    }

    /// `2025-01-31 13:17:20,207`, the activity log's way.
    pub fn supervisor(&self) -> String {
        let t = &self.local;
        format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02},{:03}",
            t.year, t.month, t.day, t.hour, t.minute, t.second, self.millis
        )
    }

    /// `2025-01-31T13:17:20.207+01:00`, as RFC 3339 wants it, for machines.
    pub fn rfc3339(&self) -> String {
        self.with_fraction(format_args!("{:03}", self.millis))
    }

    /// The same with microseconds: `2025-01-31T13:17:20.207123+01:00`.
    pub fn rfc3339_micros(&self) -> String {
        self.with_fraction(format_args!("{:06}", self.micros))
    }

    fn with_fraction(&self, fraction: std::fmt::Arguments<'_>) -> String {
        let t = &self.local;
        let (sign, offset) = if t.offset < 0 { ('-', -t.offset) } else { ('+', t.offset) };
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{fraction}{sign}{:02}:{:02}",
            t.year,
            t.month,
            t.day,
            t.hour,
            t.minute,
            t.second,
            offset / 3600,
            offset % 3600 / 60
        )
    }

    /// `Jan 31 13:17:20`, as syslog wants it (RFC 3164).
    pub fn syslog(&self) -> String {
        let t = &self.local;
        let month = MONTHS[(t.month.clamp(1, 12) - 1) as usize];
        format!("{} {:2} {:02}:{:02}:{:02}", &month[..3], t.day, t.hour, t.minute, t.second)
    }

    /// Fills in a format for strftime(3). What is not understood stays as written.
    ///
    /// Names of months and days are English, whatever the locale. `%f` stands for six digits below the second,
    /// as in Python, and `%L` for three.
    pub fn strftime(&self, format: &str) -> String {
        let mut text = String::with_capacity(format.len() + 16);
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            match c {
                '%' => self.directive(chars.next(), &mut text),
                c => text.push(c),
            }
        }
        text
    }

    fn directive(&self, letter: Option<char>, text: &mut String) {
        use std::fmt::Write;
        let t = &self.local;
        let weekday = WEEKDAYS[self.weekday()];
        let month = MONTHS[(t.month.clamp(1, 12) - 1) as usize];
        let twelve = (t.hour + 11) % 12 + 1;
        // Writing to a String cannot fail.
        let _ = match letter {
            Some('Y') => write!(text, "{:04}", t.year),
            Some('y') => write!(text, "{:02}", t.year.rem_euclid(100)),
            Some('m') => write!(text, "{:02}", t.month),
            Some('d') => write!(text, "{:02}", t.day),
            Some('e') => write!(text, "{:2}", t.day),
            Some('j') => write!(text, "{:03}", self.day_of_year()),
            Some('H') => write!(text, "{:02}", t.hour),
            Some('I') => write!(text, "{twelve:02}"),
            Some('p') => write!(text, "{}", if t.hour < 12 { "AM" } else { "PM" }),
            Some('M') => write!(text, "{:02}", t.minute),
            Some('S') => write!(text, "{:02}", t.second),
            Some('f') => write!(text, "{:06}", self.millis * 1000),
            Some('L') => write!(text, "{:03}", self.millis),
            Some('s') => write!(text, "{}", self.secs),
            Some('z') => write!(text, "{}", &self.rfc3339()[23..].replace(':', "")),
            Some('F') => write!(text, "{:04}-{:02}-{:02}", t.year, t.month, t.day),
            Some('T') => write!(text, "{:02}:{:02}:{:02}", t.hour, t.minute, t.second),
            Some('D') => write!(text, "{:02}/{:02}/{:02}", t.month, t.day, t.year.rem_euclid(100)),
            Some('R') => write!(text, "{:02}:{:02}", t.hour, t.minute),
            Some('b' | 'h') => write!(text, "{}", &month[..3]),
            Some('B') => write!(text, "{month}"),
            Some('a') => write!(text, "{}", &weekday[..3]),
            Some('A') => write!(text, "{weekday}"),
            Some('n') => writeln!(text),
            Some('t') => write!(text, "\t"),
            Some('%') | None => write!(text, "%"),
            Some(other) => write!(text, "%{other}"),
        };
    }

    /// 0 is Sunday.
    fn weekday(&self) -> usize {
        // The first day of 1970 was a Thursday.
        let days = (self.secs + i64::from(self.local.offset)).div_euclid(86400);
        (days + 4).rem_euclid(7) as usize
    }

    fn day_of_year(&self) -> u32 {
        let t = &self.local;
        let leap = t.year % 4 == 0 && (t.year % 100 != 0 || t.year % 400 == 0);
        let before =
            [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][(t.month.clamp(1, 12) - 1) as usize];
        before + u32::from(leap && t.month > 2) + t.day
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

fn cached_local_time(secs: i64) -> LocalTime {
    LAST.with(|last| match last.get() {
        Some((known, local)) if known == secs => local,
        _ => {
            let local = local_time(secs);
            last.set(Some((secs, local)));
            local
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(offset: i32) -> Stamp {
        let local = LocalTime { year: 2024, month: 2, day: 29, hour: 13, minute: 7, second: 9, offset };
        Stamp { local, millis: 42, micros: 42_007, secs: 1_709_212_029 - i64::from(offset) }
    }

    #[test]
    fn the_three_ways() {
        assert_eq!(stamp(0).supervisor(), "2024-02-29 13:07:09,042");
        assert_eq!(stamp(0).rfc3339(), "2024-02-29T13:07:09.042+00:00");
        assert_eq!(stamp(0).rfc3339_micros(), "2024-02-29T13:07:09.042007+00:00");
        assert_eq!(stamp(-12600).rfc3339(), "2024-02-29T13:07:09.042-03:30");
        assert_eq!(stamp(0).syslog(), "Feb 29 13:07:09");
    }

    #[test]
    fn strftime_directives() {
        for (format, expected) in [
            ("%Y-%m-%d %H:%M:%S.%L", "2024-02-29 13:07:09.042"),
            ("%a %A %b %B %j", "Thu Thursday Feb February 060"),
            ("%I:%M %p, %y, %e, %s", "01:07 PM, 24, 29, 1709208429"),
            ("%F %T %D %R %z", "2024-02-29 13:07:09 02/29/24 13:07 +0100"),
            ("100%% %Q %", "100% %Q %"),
            ("%f", "042000"),
        ] {
            assert_eq!(stamp(3600).strftime(format), expected, "{format}");
        }
    }
}
