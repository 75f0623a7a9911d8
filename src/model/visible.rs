//! Makes foreign text harmless: control characters can steer terminals and begin new lines, and marks of writing
//! direction make a line read as another one. The result shows them and has no effect.

use std::borrow::Cow;
use std::fmt::Write;
use std::io::IsTerminal;

/// Whether a character is not shown but acts on the text around it: C0, DEL, C1, and characters that set or override the
/// direction of writing.
pub fn is_invisible(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text on one line, with invisible characters written as in a Rust string: `\n`, `\x1b`, `\u{202e}`.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escaped_but(text, &[])
}

/// The same, with these characters left as they are.
pub fn escaped_but<'t>(text: &'t str, kept: &[char]) -> Cow<'t, str> {
    let acts = |c: char| is_invisible(c) && !kept.contains(&c);
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        // Writing to a String cannot fail.
        let _ = match c {
            c if !acts(c) => out.write_char(c),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            c if c.is_ascii() => write!(out, "\\x{:02x}", u32::from(c)),
            c => write!(out, "\\u{{{:x}}}", u32::from(c)),
        };
    }
    Cow::Owned(out)
}

/// The text as a terminal may get it: C0 and DEL as `^[`, other invisible characters as U+FFFD. Tabs and ends of lines
/// stay.
pub fn for_terminal(text: &str) -> Cow<'_, str> {
    let acts = |c: char| is_invisible(c) && !matches!(c, '\t' | '\n' | '\r');
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            c if !acts(c) => out.push(c),
            '\x7f' => out.push_str("^?"),
            c if c.is_ascii() => {
                out.push('^');
                // A C0 character, so what is added gives one of `@A…Z[\]^_`.
                out.push(char::from(c as u8 + b'@'));
            }
            _ => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
    Cow::Owned(out)
}

/// The text for this stream: for a terminal as by [`for_terminal`], for anything else unchanged.
pub fn for_stream<'t>(stream: &impl IsTerminal, text: &'t str) -> Cow<'t, str> {
    if stream.is_terminal() { for_terminal(text) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_get_one_harmless_line() {
        assert_eq!(escaped("plain grüße"), "plain grüße");
        assert_eq!(
            escaped("a\n\x1b[41m\t\u{9b}2J\u{202e}\x7f\0"),
            "a\\n\\x1b[41m\\t\\u{9b}2J\\u{202e}\\x7f\\x00"
        );
        assert_eq!(escaped_but("a\n\x07", &['\n']), "a\n\\x07");
    }

    #[test]
    fn terminals_get_nothing_that_steers_them() {
        assert_eq!(for_terminal("a\tb\r\nc"), "a\tb\r\nc");
        assert_eq!(for_terminal("\x1b]0;x\x07\x1b[2J\x7f"), "^[]0;x^G^[[2J^?");
        assert_eq!(
            for_terminal("\u{9b}2J \u{85} \u{202e} \u{2066} \u{200f}"),
            "\u{fffd}2J \u{fffd} \u{fffd} \u{fffd} \u{fffd}"
        );
    }
}
