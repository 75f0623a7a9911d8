//! Taking terminal control sequences out of a stream, however it is cut into pieces.

/// Removes `ESC [` … up to the byte that ends the sequence.
///
/// Supervisor works on each piece alone and knows only some of the final bytes, so that others swallow text.
/// Ours keeps its place between pieces and ends a sequence as ECMA-48 does, at any byte from `@` to `~`; a
/// byte that has no business inside a sequence ends it, too, and stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strip(State);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After an ESC that is held back until it is clear whether it begins a sequence.
    Escape,
    /// Inside a sequence.
    Sequence,
}

const ESC: u8 = 0x1b;

impl Strip {
    /// Appends to `text` what is left of `bytes`.
    pub fn feed(&mut self, bytes: &[u8], text: &mut Vec<u8>) {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            match self.0 {
                State::Text => {
                    let plain = rest.iter().position(|byte| *byte == ESC).unwrap_or(rest.len());
                    text.extend_from_slice(&rest[..plain]);
                    if plain < rest.len() {
                        self.0 = State::Escape;
                    }
                    rest = rest.get(plain + 1..).unwrap_or_default();
                }
                State::Escape if byte == b'[' => (self.0, rest) = (State::Sequence, after),
                State::Escape => {
                    text.push(ESC);
                    self.0 = State::Text;
                }
                // Parameters and intermediates.
                State::Sequence if (0x20..0x40).contains(&byte) => rest = after,
                State::Sequence => {
                    self.0 = State::Text;
                    if (0x40..0x7f).contains(&byte) {
                        rest = after;
                    }
                }
            }
        }
    }

    /// Whether the next byte may be part of a sequence that has begun.
    pub fn is_inside(&self) -> bool {
        self.0 != State::Text
    }

    /// Ends the stream: an ESC that nothing followed was text.
    pub fn finish(&mut self, text: &mut Vec<u8>) {
        if self.0 == State::Escape {
            text.push(ESC);
        }
        self.0 = State::Text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The input must give the same whether it comes whole or byte by byte.
    #[track_caller]
    fn check(input: &str, expected: &str) {
        for size in [1, 2, 3, input.len().max(1)] {
            let (mut strip, mut text) = (Strip::default(), Vec::new());
            input.as_bytes().chunks(size).for_each(|piece| strip.feed(piece, &mut text));
            strip.finish(&mut text);
            assert_eq!(String::from_utf8_lossy(&text), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn sequences_go_and_text_stays() {
        check("", "");
        check("plain", "plain");
        check("\x1b[31mred\x1b[0m.", "red.");
        check("a\x1b[2K\x1b[1Gb", "ab");
        check("a\x1b[38;5;12Xb", "ab");
        check("\x1b[?25lhidden\x1b[?25h", "hidden");
        check("a\x1bb", "a\x1bb");
        check("a\x1b\x1b[1mb", "a\x1bb");
        check("end\x1b", "end\x1b");
        check("cut\x1b[3", "cut");
        check("broken\x1b[31\nnext", "broken\nnext");
    }
}
