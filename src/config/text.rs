//! Python's treatment of text, where users see it: quoting in messages, numbers, and which characters count as a blank.

/// Quotes a text the way Python's `repr` does. Messages that people search for are made of it.
pub fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if is_printable(c) => out.push(c),
            c => out.push_str(&escape(c)),
        }
    }
    out.push(quote);
    out
}

/// An approximation of `str.isprintable`: control characters and blanks other than U+0020 are not.
fn is_printable(c: char) -> bool {
    let soft_hyphen_or_zero_width = matches!(c as u32, 0xad | 0x200b..=0x200f | 0x2060..=0x2064 | 0xfeff);
    !c.is_control() && (c == ' ' || !c.is_whitespace()) && !soft_hyphen_or_zero_width
}

fn escape(c: char) -> String {
    match c as u32 {
        code @ 0..=0xff => format!("\\x{code:02x}"),
        code @ 0x100..=0xffff => format!("\\u{code:04x}"),
        code => format!("\\U{code:08x}"),
    }
}

/// Whether Python's `str.isspace` holds: Unicode's blanks and the four ASCII separators.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// `str.strip`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Reads an integer as Python's `int(text, 10)`: blanks around, a sign, single underscores between digits.
/// Numbers beyond 128 bits come out as the nearest one that fits.
///
/// # Errors
/// Python's text for the same input.
pub(super) fn integer(text: &str) -> Result<i128, String> {
    number(text, 10).ok_or_else(|| format!("invalid literal for int() with base 10: {}", repr(text)))
}

/// Reads an octal number as Python's `int(text, 8)`, which also accepts `0o` in front.
pub(super) fn octal(text: &str) -> Option<i128> {
    number(text, 8)
}

fn number(text: &str, radix: u32) -> Option<i128> {
    let text = strip(text);
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let prefixed =
        (radix == 8).then(|| digits.strip_prefix("0o").or_else(|| digits.strip_prefix("0O"))).flatten();
    // After a prefix Python allows one underscore.
    let digits = prefixed.map_or(digits, |rest| rest.strip_prefix('_').unwrap_or(rest));
    let mut value: i128 = 0;
    let mut after_digit = false;
    for c in digits.chars() {
        match c.to_digit(radix) {
            Some(digit) => {
                value = value.saturating_mul(i128::from(radix)).saturating_add(i128::from(digit));
                after_digit = true;
            }
            None if c == '_' && after_digit => after_digit = false,
            None => return None,
        }
    }
    after_digit.then_some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_pythons() {
        for (text, quoted) in [
            ("a", "'a'"),
            ("it's", "\"it's\""),
            ("\"it's\"", "'\"it\\'s\"'"),
            ("a\\b\n\t\r", "'a\\\\b\\n\\t\\r'"),
            ("\x01\u{7f}\u{a0}\u{2028}", "'\\x01\\x7f\\xa0\\u2028'"),
            ("ä😀", "'ä😀'"),
        ] {
            assert_eq!(repr(text), quoted);
        }
    }

    #[test]
    fn numbers_are_pythons() {
        for (text, value) in [
            ("5", Some(5)),
            (" +1_000\n", Some(1000)),
            ("-3", Some(-3)),
            ("007", Some(7)),
            ("", None),
            ("-", None),
            ("_1", None),
            ("1_", None),
            ("1__0", None),
            ("1.5", None),
            ("0x10", None),
            ("1 0", None),
        ] {
            assert_eq!(integer(text).ok(), value, "{text:?}");
        }
        assert_eq!(integer(&"9".repeat(100)), Ok(i128::MAX));
        for (text, value) in [
            ("022", Some(18)),
            ("0o22", Some(18)),
            ("0O_7", Some(7)),
            ("-1", Some(-1)),
            ("9", None),
            ("", None),
            ("0o", None),
        ] {
            assert_eq!(octal(text), value, "{text:?}");
        }
    }
}
