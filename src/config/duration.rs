//! Lengths of time as the keys that Supervisor does not have write them: `500ms`, `10s`, `5m`, `1h`, `2d`, or seconds
//! without a unit.

use crate::config::text::{repr, strip};
use crate::config::values::{MAX_SECONDS, Parsed};
use std::time::Duration;

/// Nanoseconds of the units. What ends like another one stands before it.
const UNITS: [(&str, u128); 5] =
    [("ms", 1_000_000), ("s", SECOND), ("m", 60 * SECOND), ("h", 3600 * SECOND), ("d", 24 * 3600 * SECOND)];
const SECOND: u128 = 1_000_000_000;
/// So many digits behind the point say something.
const MOST_DIGITS: usize = 9;

/// A length of time, at most a century: people write enormous numbers to say "for ever".
pub(super) fn duration(text: &str) -> Parsed<Duration> {
    let found = UNITS.iter().find_map(|(unit, factor)| Some((strip(text).strip_suffix(unit)?, *factor)));
    let (number, factor) = found.unwrap_or((strip(text), SECOND));
    let nanoseconds = nanoseconds(strip(number), factor).ok_or_else(|| {
        format!(
            "not a valid time: {} (expected a number with ms, s, m, h or d behind it, such as 500ms or 10s, or a number of \
             seconds)",
            repr(text)
        )
    })?;
    let most = MAX_SECONDS.unsigned_abs() * SECOND;
    // A century of nanoseconds fits into 64 bits.
    Ok(Duration::from_nanos(nanoseconds.min(most) as u64))
}

/// A time that is not zero.
pub(super) fn some_time(text: &str) -> Parsed<Duration> {
    at_least(text, Duration::from_nanos(1), "more than 0")
}

/// The pause between two tries of something.
pub(crate) fn interval(text: &str) -> Parsed<Duration> {
    at_least(text, Duration::from_millis(10), "at least 10ms")
}

fn at_least(text: &str, least: Duration, expected: &str) -> Parsed<Duration> {
    match duration(text)? {
        time if time < least => Err(format!("{} is too short (expected a time of {expected})", repr(text))),
        time => Ok(time),
    }
}

/// A limit that zero switches off.
pub(super) fn limit(text: &str) -> Parsed<Option<Duration>> {
    Ok(Some(duration(text)?).filter(|time| !time.is_zero()))
}

fn nanoseconds(number: &str, factor: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || fraction.is_empty() {
        return None;
    }
    let whole = match whole {
        "" if number.starts_with('.') => 0,
        "" => return None,
        // More digits than fit are more than the longest time, too.
        digits => digits.parse::<u128>().unwrap_or(u128::MAX),
    };
    let fraction = &fraction[..fraction.len().min(MOST_DIGITS)];
    let power = 10_u128.pow(fraction.len() as u32);
    let part = fraction.parse::<u128>().ok()? * factor / power;
    Some(whole.saturating_mul(factor).saturating_add(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_their_units() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("2d", 172_800_000),
            ("7", 7_000),
            ("0", 0),
            ("0.25", 250),
            (".5", 500),
            ("1.5h", 5_400_000),
            ("0.0000000000001s", 0),
            (" 10 s ", 10_000),
            ("007", 7_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text:?}");
        }
        let century = Ok(Duration::from_secs(100 * 366 * 24 * 3600));
        assert_eq!(duration("999999999d"), century);
        assert_eq!(duration(&"9".repeat(100)), century);
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "", "s", ".", "5.", "1x", "-1", "+1", "1 000", "1_000", "1m30s", "1,5s", "1e3", "5M", "inf",
            "1.5.5",
        ] {
            let error = duration(text).unwrap_err();
            assert!(error.starts_with(&format!("not a valid time: '{text}' (expected ")), "{error}");
        }
    }

    #[test]
    fn what_is_too_short() {
        assert_eq!(some_time("1ms"), Ok(Duration::from_millis(1)));
        assert_eq!(some_time("0s"), Err("'0s' is too short (expected a time of more than 0)".into()));
        assert_eq!(interval("10ms"), Ok(Duration::from_millis(10)));
        assert_eq!(interval("0.009"), Err("'0.009' is too short (expected a time of at least 10ms)".into()));
        assert_eq!(limit("0"), Ok(None));
        assert_eq!(limit("1"), Ok(Some(Duration::from_secs(1))));
    }
}
