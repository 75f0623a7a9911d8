//! The conversions of numbers, as in C's printf and Python's `%`.

use super::Spec;

/// Formats one integer by a spec whose conversion is one of `d i u o x X e E f F g G`.
pub(super) fn format(spec: &Spec, number: i64) -> String {
    let magnitude = number.unsigned_abs();
    let body = match spec.conversion {
        'o' => prefixed(spec, "0o", format!("{magnitude:o}")),
        'x' => prefixed(spec, "0x", format!("{magnitude:x}")),
        'X' => prefixed(spec, "0X", format!("{magnitude:X}")),
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => ("", float(spec, magnitude as f64)),
        _ => ("", with_precision(spec, magnitude.to_string())),
    };
    let sign = match (number < 0, spec.plus, spec.blank) {
        (true, _, _) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    assemble(spec, sign, body)
}

fn prefixed<'p>(spec: &Spec, prefix: &'p str, digits: String) -> (&'p str, String) {
    (if spec.alternate { prefix } else { "" }, with_precision(spec, digits))
}

/// The precision of an integer is its least number of digits.
fn with_precision(spec: &Spec, digits: String) -> String {
    let missing = spec.precision.unwrap_or(0).saturating_sub(digits.len());
    "0".repeat(missing) + &digits
}

fn assemble(spec: &Spec, sign: &str, (prefix, digits): (&str, String)) -> String {
    let missing = spec.width.saturating_sub(sign.len() + prefix.len() + digits.len());
    if spec.left {
        format!("{sign}{prefix}{digits}{}", " ".repeat(missing))
    } else if spec.zero {
        format!("{sign}{prefix}{}{digits}", "0".repeat(missing))
    } else {
        format!("{}{sign}{prefix}{digits}", " ".repeat(missing))
    }
}

fn float(spec: &Spec, value: f64) -> String {
    let precision = spec.precision.unwrap_or(6);
    let text = match spec.conversion {
        'f' | 'F' => with_point(spec, format!("{value:.precision$}")),
        'e' | 'E' => scientific(spec, value, precision),
        _ => general(spec, value, precision.max(1)),
    };
    if spec.conversion.is_ascii_uppercase() { text.to_ascii_uppercase() } else { text }
}

/// The `#` flag keeps the point even if no digit follows it.
fn with_point(spec: &Spec, digits: String) -> String {
    if spec.alternate && !digits.contains('.') { digits + "." } else { digits }
}

/// `3.0e+00`: C writes at least two digits of exponent, Rust as few as possible.
fn scientific(spec: &Spec, value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{}e+{exponent:0>2}", with_point(spec, digits.to_string()))
}

/// The shorter of both notations with `precision` significant digits, without trailing zeros unless asked for.
fn general(spec: &Spec, value: f64, precision: usize) -> String {
    let scientific_text = format!("{value:.*e}", precision - 1);
    let exponent: usize = scientific_text.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    if exponent < precision {
        let digits = format!("{value:.*}", precision - 1 - exponent);
        return trimmed(spec, digits);
    }
    let (digits, _) = scientific_text.split_once('e').unwrap_or((&scientific_text, "0"));
    format!("{}e+{exponent:0>2}", trimmed(spec, digits.to_string()))
}

fn trimmed(spec: &Spec, digits: String) -> String {
    if spec.alternate {
        with_point(spec, digits)
    } else if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.').to_string()
    } else {
        digits
    }
}
