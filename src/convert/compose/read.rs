//! Values of compose files: times, sizes, words, and mappings that can also be lists.

use crate::config::command;
use crate::convert::tree::Node;
use std::time::Duration;

/// A time: `1m30s`, `500ms`, or nanoseconds without a unit.
pub(super) fn time(text: &str) -> Option<Duration> {
    // What ends like another one stands before it.
    const UNITS: [(&str, f64); 6] =
        [("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.trim();
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let (unit, factor) = UNITS.iter().find(|(unit, _)| {
            let after = &rest[end..];
            after.starts_with(unit) && !(*unit == "m" && after.starts_with("ms"))
        })?;
        seconds += number * factor;
        rest = &rest[end + unit.len()..];
    }
    if text.trim().is_empty() {
        return None;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

/// A time as we write it.
pub(super) fn our_time(time: Duration) -> String {
    match time.as_millis() {
        whole if whole.is_multiple_of(1000) => format!("{}s", whole / 1000),
        odd => format!("{odd}ms"),
    }
}

/// A size in bytes: `512m`, `1.5gb`, `1024`.
pub(super) fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    let shift = match text[end..].trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    let bytes = number * f64::from(1_u32 << 10).powi(shift / 10);
    // Rounded down, as the engine does; nobody has so much memory that this is not exact.
    (bytes <= 1e18).then_some(bytes as u64)
}

/// Bytes as we write them.
pub(super) fn our_size(bytes: u64) -> String {
    let units = [(30, "GB"), (20, "MB"), (10, "KB")];
    match units.into_iter().find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift)) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => bytes.to_string(),
    }
}

/// A command: a list of words, or a text that is split as a shell splits it. `None`: it says nothing.
///
/// # Errors
/// It is neither, or cannot be split.
pub(super) fn words(node: &Node) -> Result<Option<Vec<String>>, String> {
    match node {
        Node::Null => Ok(None),
        Node::Plain(text) | Node::Text(text) => command::split(text)
            .map(Some)
            .map_err(|why| format!("{text:?} cannot be split into words: {why}")),
        Node::List(items) => {
            let word = |item: &Node| match item.scalar() {
                Some(word) => Ok(word.to_string()),
                None => Err(format!("a word of a command is {}", item.kind())),
            };
            items.iter().map(word).collect::<Result<_, _>>().map(Some)
        }
        Node::Map(_) => Err("a command is a text or a list of words, and this is a mapping".to_string()),
    }
}

/// The texts of a list, or of a single text.
pub(super) fn texts(node: &Node) -> Vec<&str> {
    match node {
        Node::List(items) => items.iter().filter_map(Node::scalar).collect(),
        other => other.scalar().into_iter().collect(),
    }
}

/// The pairs of a mapping, or of a list of `NAME=VALUE`. A pair without a value has none.
pub(super) fn pairs(node: &Node) -> Vec<(String, Option<String>)> {
    match node {
        Node::Map(pairs) => {
            pairs.iter().map(|(name, value)| (name.clone(), value.scalar().map(str::to_string))).collect()
        }
        other => {
            let pair = |text: &str| match text.split_once('=') {
                Some((name, value)) => (name.to_string(), Some(value.to_string())),
                None => (text.to_string(), None),
            };
            texts(other).into_iter().map(pair).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read() {
        for (text, expected) in [
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("1.5s", Some(1_500)),
            ("2h", Some(7_200_000)),
            ("0", Some(0)),
            ("10", None),
            ("", None),
            ("x", None),
            ("1d", None),
            ("99999999999999999999999h", None),
        ] {
            assert_eq!(time(text), expected.map(Duration::from_millis), "{text}");
        }
        for (text, expected) in [
            ("512m", Some(512 << 20)),
            ("1.5gb", Some(3 << 29)),
            ("100", Some(100)),
            ("10 KiB", Some(10 << 10)),
            ("", None),
            ("x", None),
            ("9e9", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
        assert_eq!(
            (our_size(512 << 20), our_size(1000), our_size(0)),
            ("512MB".into(), "1000".into(), "0".into())
        );
    }
}
