//! Capture mode: what a program prints between two tokens is not for its log but for event listeners.

/// Begins captured data (Supervisor, events.py, ProcessCommunicationEvent).
pub const BEGIN: &[u8] = b"<!--XSUPERVISOR:BEGIN-->";
/// Ends it.
pub const END: &[u8] = b"<!--XSUPERVISOR:END-->";

/// A part of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// For the log.
    Text(&'a [u8]),
    /// What stood between the tokens, the last `capture_maxbytes` of it.
    Communication(Vec<u8>),
}

/// Finds the tokens, however the stream is cut into pieces. Only what may be the beginning of a token is held
/// back, and never longer than until the next byte tells.
#[derive(Debug)]
pub struct Capture {
    maxbytes: usize,
    /// Captured so far; `None` outside the tokens.
    captured: Option<Vec<u8>>,
    /// How many bytes of the awaited token were seen last.
    n_matched: usize,
    found: Found,
}

/// Where in the bytes that were fed last a capture began and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Before the last token that began one; `None` if there was none, or if it began in earlier bytes.
    pub before_begin: Option<usize>,
    /// Behind the last token that ended one; `None` if there was none.
    pub after_end: Option<usize>,
}

impl Capture {
    /// Outside the tokens; `maxbytes` is how much captured data keeps.
    pub fn new(maxbytes: u64) -> Capture {
        let maxbytes = usize::try_from(maxbytes).unwrap_or(usize::MAX);
        Capture { maxbytes, captured: None, n_matched: 0, found: Found::default() }
    }

    /// Where the tokens were in what was fed last.
    pub fn found(&self) -> Found {
        self.found
    }

    /// Whether anything is held back.
    pub fn is_holding(&self) -> bool {
        self.is_capturing() || self.n_matched > 0
    }

    /// Whether a token has begun and its partner not come yet.
    pub fn is_capturing(&self) -> bool {
        self.captured.is_some()
    }

    /// Takes the stream's next bytes apart.
    pub fn feed(&mut self, bytes: &[u8], mut part: impl FnMut(Part<'_>)) {
        let mut rest = bytes;
        self.found = Found::default();
        while !rest.is_empty() {
            let token = self.token();
            if self.n_matched == 0 {
                let plain = rest.iter().position(|byte| *byte == token[0]).unwrap_or(rest.len());
                self.data(&rest[..plain], &mut part);
                rest = &rest[plain..];
            }
            let n_same = rest.iter().zip(&token[self.n_matched..]).take_while(|(a, b)| a == b).count();
            self.n_matched += n_same;
            rest = &rest[n_same..];
            if self.n_matched == token.len() {
                let behind = bytes.len() - rest.len();
                match self.captured {
                    None => self.found.before_begin = behind.checked_sub(token.len()),
                    Some(_) => self.found.after_end = Some(behind),
                }
                self.toggle(&mut part);
            } else if !rest.is_empty() {
                // It was no token after all. A token's first byte does not occur in it again, so the next one
                // can begin no earlier than here.
                let n_matched = std::mem::take(&mut self.n_matched);
                self.data(&token[..n_matched], &mut part);
            }
        }
    }

    /// Ends the stream. What was held back is text; captured data whose end never came is given up, and its
    /// size returned.
    pub fn finish(&mut self, mut part: impl FnMut(Part<'_>)) -> Option<usize> {
        let held = &self.token()[..std::mem::take(&mut self.n_matched)];
        match self.captured.take() {
            Some(captured) => Some((captured.len() + held.len()).min(self.maxbytes)),
            None => {
                if !held.is_empty() {
                    part(Part::Text(held));
                }
                None
            }
        }
    }

    /// What is awaited.
    fn token(&self) -> &'static [u8] {
        if self.captured.is_some() { END } else { BEGIN }
    }

    fn toggle(&mut self, part: &mut impl FnMut(Part<'_>)) {
        self.n_matched = 0;
        self.captured = match self.captured.take() {
            Some(mut captured) => {
                captured.drain(..captured.len().saturating_sub(self.maxbytes));
                part(Part::Communication(captured));
                None
            }
            None => Some(Vec::new()),
        };
    }

    fn data(&mut self, bytes: &[u8], part: &mut impl FnMut(Part<'_>)) {
        match &mut self.captured {
            None if bytes.is_empty() => {}
            None => part(Part::Text(bytes)),
            Some(captured) => {
                // The last bytes are kept, as Supervisor means to; cutting at twice the size costs each byte
                // one copy at most.
                let newest = &bytes[bytes.len().saturating_sub(self.maxbytes)..];
                captured.extend_from_slice(newest);
                if captured.len() > self.maxbytes.saturating_mul(2) {
                    captured.drain(..captured.len() - self.maxbytes);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text in the clear, captured data in square brackets, an unfinished capture as its size.
    fn shown(maxbytes: u64, pieces: &[&[u8]]) -> String {
        let (mut capture, mut shown) = (Capture::new(maxbytes), Vec::new());
        let show = |shown: &mut Vec<u8>, part: Part<'_>| match part {
            Part::Text(text) => shown.extend_from_slice(text),
            Part::Communication(data) => shown.extend_from_slice(&[b"[", &data[..], b"]"].concat()),
        };
        pieces.iter().for_each(|piece| capture.feed(piece, |part| show(&mut shown, part)));
        let unfinished = capture.finish(|part| show(&mut shown, part));
        let shown = String::from_utf8(shown).unwrap();
        unfinished.map_or(shown.clone(), |size| format!("{shown}|{size}"))
    }

    /// `{` and `}` stand for the tokens. However the stream is cut, the result is the same.
    #[track_caller]
    fn check(maxbytes: u64, input: &str, expected: &str) {
        let token = |token: &'static [u8]| std::str::from_utf8(token).unwrap();
        let input = input.replace('{', token(BEGIN)).replace('}', token(END));
        for size in [1, 2, 7, 23, 24, 25, input.len().max(1)] {
            let pieces: Vec<&[u8]> = input.as_bytes().chunks(size).collect();
            assert_eq!(shown(maxbytes, &pieces), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn tokens_separate() {
        check(100, "", "");
        check(100, "plain", "plain");
        check(100, "a{b}c", "a[b]c");
        check(100, "{}{x}", "[][x]");
        check(100, "}a{b{c}d}", "<!--XSUPERVISOR:END-->a[b<!--XSUPERVISOR:BEGIN-->c]d<!--XSUPERVISOR:END-->");
        check(100, "<<!--XSUPERVISOR:BEGI{x}", "<<!--XSUPERVISOR:BEGI[x]");
        check(100, "a<!--XSUPERVISOR:BEGIN--", "a<!--XSUPERVISOR:BEGIN--");
    }

    #[test]
    fn the_last_bytes_are_kept() {
        check(3, "{abcdefghij}k", "[hij]k");
        check(3, "{ab}{cd}", "[ab][cd]");
    }

    #[test]
    fn an_unfinished_capture_is_told() {
        check(100, "a{bcd", "a|3");
        check(100, "a{", "a|0");
    }

    #[test]
    fn nothing_but_a_token_is_held_back() {
        let mut capture = Capture::new(10);
        let mut text = Vec::new();
        capture.feed(b"prompt> ", |part| text.push(format!("{part:?}")));
        assert_eq!(text.len(), 1);
    }
}
