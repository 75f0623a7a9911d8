//! Bytes in places that hold text.

use std::borrow::Cow;
use std::fmt::Write;

/// The bytes as text if they are UTF-8, else `Undecodable: ` and how Python would write them down. Supervisor
/// does so in the debug log and in the payloads of PROCESS_LOG and PROCESS_COMMUNICATION events.
pub fn readable(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(format!("Undecodable: {}", bytes_repr(bytes))),
    }
}

/// A bytes literal of Python, for example `b'\xff\n'`.
pub fn bytes_repr(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut text = format!("b{quote}");
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            byte if char::from(byte) == quote => {
                text.push('\\');
                text.push(quote);
            }
            0x20..0x7f => text.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(text, "\\x{byte:02x}")),
        }
    }
    text.push(quote);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_python_does() {
        assert_eq!(readable("grüße".as_bytes()), "grüße");
        assert_eq!(readable(b"\xff\xfe\n"), "Undecodable: b'\\xff\\xfe\\n'");
        assert_eq!(bytes_repr(b"it's"), "b\"it's\"");
        assert_eq!(bytes_repr(b"it's \"so\"\t\\\r"), "b'it\\'s \"so\"\\t\\\\\\r'");
    }
}
