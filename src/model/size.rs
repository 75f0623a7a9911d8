//! Sizes in words.

/// A number of bytes in the largest unit of the configuration that leaves no more than one digit behind the point: `512MB`,
/// `1.5GB`.
pub fn in_bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")];
    let Some((unit, name)) = UNITS.iter().find(|(unit, _)| bytes >= *unit) else {
        return format!("{bytes}B");
    };
    // Rounded down to a tenth, without floats: a limit is exact in its own unit.
    let tenths = u128::from(bytes) * 10 / u128::from(*unit);
    match tenths % 10 {
        0 => format!("{}{name}", tenths / 10),
        tenth => format!("{}.{tenth}{name}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::in_bytes;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KB"),
            (512 << 20, "512MB"),
            ((512 << 20) + (300 << 10), "512.2MB"),
            (3 << 29, "1.5GB"),
            (u64::MAX, "17179869183.9GB"),
        ] {
            assert_eq!(in_bytes(bytes), text);
        }
    }
}
