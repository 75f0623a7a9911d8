//! Percent-encoding: `%XX` for a byte that an address, a path or a form cannot hold (RFC 3986).

/// One byte of a decoded text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Byte {
    /// It was written as it is. This includes a percent sign without two digits after it.
    Plain(u8),
    /// It was written with a percent sign and two digits.
    Decoded(u8),
}

impl Byte {
    /// The byte, however it was written.
    pub fn value(self) -> u8 {
        match self {
            Byte::Plain(byte) | Byte::Decoded(byte) => byte,
        }
    }
}

/// The bytes of a text, decoded once.
pub fn bytes(text: &str) -> impl Iterator<Item = Byte> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (byte, tail) = rest.split_first()?;
        let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                rest = &tail[2..];
                // Two hexadecimal digits are at most 255.
                Some(Byte::Decoded((high * 16 + low) as u8))
            }
            _ => {
                rest = tail;
                Some(Byte::Plain(*byte))
            }
        }
    })
}

/// A text with every `%XX` decoded. Anything else stays as it is. Bytes that are not UTF-8 become U+FFFD.
pub fn decoded(text: &str) -> String {
    let bytes: Vec<u8> = bytes(text).map(Byte::value).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_code_stays() {
        for (text, expected) in [
            ("", ""),
            ("a%20b%2Fc", "a b/c"),
            ("%c3%BC", "ü"),
            ("%2541", "%41"),
            ("100%", "100%"),
            ("%4", "%4"),
            ("%zz%+1", "%zz%+1"),
            ("%ü", "%ü"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(decoded(text), expected, "{text}");
        }
        assert_eq!(bytes("%25%").collect::<Vec<_>>(), [Byte::Decoded(b'%'), Byte::Plain(b'%')]);
    }
}
