//! Lengths of time and sizes as systemd writes them: systemd.time(7), systemd.exec(5).

/// Microseconds of the units, by their names.
const UNITS: [(&str, u64); 28] = [
    ("us", 1),
    ("usec", 1),
    ("μs", 1),
    ("µs", 1),
    ("ms", 1000),
    ("msec", 1000),
    ("s", SECOND),
    ("sec", SECOND),
    ("second", SECOND),
    ("seconds", SECOND),
    ("", SECOND),
    ("m", 60 * SECOND),
    ("min", 60 * SECOND),
    ("minute", 60 * SECOND),
    ("minutes", 60 * SECOND),
    ("h", 3600 * SECOND),
    ("hr", 3600 * SECOND),
    ("hour", 3600 * SECOND),
    ("hours", 3600 * SECOND),
    ("d", DAY),
    ("day", DAY),
    ("days", DAY),
    ("w", 7 * DAY),
    ("week", 7 * DAY),
    ("weeks", 7 * DAY),
    ("M", 2_629_800 * SECOND),
    ("y", 31_557_600 * SECOND),
    ("year", 31_557_600 * SECOND),
];
const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    Micros(u64),
    Infinite,
}

/// `5min 20s`, `1.5h`, `90`, `infinity`.
pub(super) fn span(text: &str) -> Option<Span> {
    let mut rest = text.trim();
    if rest.eq_ignore_ascii_case("infinity") {
        return Some(Span::Infinite);
    }
    if rest.is_empty() {
        return None;
    }
    let mut micros: u64 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().ok()?;
        rest = rest[end..].trim_start();
        let end = rest.find(|c: char| c.is_ascii_digit() || c.is_whitespace()).unwrap_or(rest.len());
        let unit = &rest[..end];
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        // Saturates: a number that is too large means for ever anyway.
        micros = micros.saturating_add((number * *factor as f64) as u64);
        rest = rest[end..].trim_start();
    }
    Some(Span::Micros(micros))
}

/// As a configuration writes it: `90s`, `500ms`. Less than a millisecond is one.
pub(super) fn written(micros: u64) -> String {
    if micros.is_multiple_of(SECOND) {
        format!("{}s", micros / SECOND)
    } else {
        format!("{}ms", micros.div_ceil(1000))
    }
}

/// Whole seconds, rounded up.
pub(super) fn seconds(micros: u64) -> u64 {
    micros.div_ceil(SECOND)
}

/// `512M`, `1G`, `4096`, in bytes; `None` if it is something else, such as a share of all memory.
pub(super) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, factor) = match text.char_indices().next_back()? {
        (at, 'K') => (&text[..at], 1 << 10),
        (at, 'M') => (&text[..at], 1 << 20),
        (at, 'G') => (&text[..at], 1 << 30),
        (at, 'T') => (&text[..at], 1 << 40),
        (at, 'B') => (&text[..at], 1),
        _ => (text, 1_u64),
    };
    number.trim().parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (text, expected) in [
            ("5min 20s", Some(320 * SECOND)),
            ("90", Some(90 * SECOND)),
            ("1.5s", Some(1_500_000)),
            ("2h30min", Some(9000 * SECOND)),
            ("500ms", Some(500_000)),
            ("1 w", Some(7 * DAY)),
            ("", None),
            ("soon", None),
            ("5 parsecs", None),
            ("1..5s", None),
            ("-1", None),
        ] {
            assert_eq!(span(text), expected.map(Span::Micros), "{text:?}");
        }
        assert_eq!(span(" infinity "), Some(Span::Infinite));
        assert!(span("99999999999999999999y").is_some());
        assert_eq!((written(90 * SECOND), written(1500)), ("90s".to_string(), "2ms".to_string()));
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("512M", Some(512 << 20)),
            ("10", Some(10)),
            ("50%", None),
            ("", None),
            ("99999999999T", None),
            ("Gä", None),
        ] {
            assert_eq!(size(text), expected, "{text:?}");
        }
    }
}
