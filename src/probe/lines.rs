//! Waits for a line of a program's output that matches a regular expression.
//!
//! Output comes in pieces that end anywhere, so the beginning of a line waits for its end. What a former start has printed
//! says nothing about this one: each start, and each of its streams, has a [`Lines`] of its own.

use regex_lite::Regex;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

/// Of a longer line only the beginning is looked at, as soon as it is there.
const LONGEST: usize = 64 << 10;

/// Expressions that somebody uses: all instances of a program share one.
static COMPILED: LazyLock<Mutex<HashMap<String, Weak<Pattern>>>> = LazyLock::new(Default::default);

/// An expression, and what stands on each line that matches.
#[derive(Debug)]
struct Pattern {
    regex: Regex,
    /// Looking for this takes a hundredth of the time, and nearly all lines of a log do not have it.
    needle: String,
}

impl Pattern {
    fn matches(&self, line: &[u8]) -> bool {
        let line = String::from_utf8_lossy(line);
        line.contains(&self.needle) && self.regex.is_match(&line)
    }
}

/// The longest text that is on every line which matches, as far as that is easy to tell; empty otherwise.
fn needle(pattern: &str) -> String {
    // Alternatives, groups with their flags, sets, and counts.
    if pattern.contains(['|', '(', '[', '{']) {
        return String::new();
    }
    let (mut longest, mut run) = (String::new(), String::new());
    let mut letters = pattern.chars();
    loop {
        let letter = letters.next();
        match letter {
            // Itself, where others are kinds of letters and places.
            Some('\\') => match letters.next() {
                Some(escaped) if escaped.is_ascii_punctuation() && !matches!(escaped, '<' | '>') => {
                    run.push(escaped);
                    continue;
                }
                _ => {}
            },
            // The one before need not be there; with `+` it must, unless another one of these follows.
            Some('?' | '*' | '+') => drop(run.pop()),
            Some('.' | '^' | '$') | None => {}
            Some(letter) => {
                run.push(letter);
                continue;
            }
        }
        if run.len() > longest.len() {
            longest = std::mem::take(&mut run);
        }
        run.clear();
        if letter.is_none() {
            return longest;
        }
    }
}

/// Whether a line of one stream has matched yet.
#[derive(Debug)]
pub struct Lines {
    pattern: Arc<Pattern>,
    /// The beginning of a line whose end has not come.
    unfinished: Vec<u8>,
    /// Whether the rest of a line is passed over, because it was too long.
    skips: bool,
    has_matched: bool,
}

impl Lines {
    /// Waits for a line that matches. Anything before and behind the match may stand on it, unless `^` and `$` say
    /// otherwise.
    ///
    /// # Errors
    /// Why the pattern is none.
    pub fn new(pattern: &str) -> Result<Lines, String> {
        let pattern = compiled(pattern)?;
        Ok(Lines { pattern, unfinished: Vec::new(), skips: false, has_matched: false })
    }

    /// Takes the next bytes of the stream; whether a line has matched, now or before. What follows the match is not
    /// looked at.
    pub fn feed(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while !self.has_matched && !rest.is_empty() {
            match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    self.end_line(&rest[..end]);
                    rest = &rest[end + 1..];
                }
                None => {
                    self.keep(rest);
                    break;
                }
            }
        }
        self.has_matched
    }

    /// Says that the stream has ended: what is there counts as a line. Whether one has matched.
    pub fn finish(&mut self) -> bool {
        if !self.has_matched && !self.skips && !self.unfinished.is_empty() {
            self.end_line(b"");
        }
        self.unfinished = Vec::new();
        self.has_matched
    }

    /// Whether the beginning of a line has come, and not its end.
    pub fn is_in_line(&self) -> bool {
        self.skips || !self.unfinished.is_empty()
    }

    /// Whether a line has matched.
    pub fn has_matched(&self) -> bool {
        self.has_matched
    }

    fn end_line(&mut self, end: &[u8]) {
        if std::mem::take(&mut self.skips) {
            return;
        }
        if self.unfinished.is_empty() {
            self.look_at(end);
        } else {
            let mut line = std::mem::take(&mut self.unfinished);
            line.extend_from_slice(&end[..end.len().min(LONGEST)]);
            self.look_at(&line);
            // Its memory is for the next line, unless that was a giant.
            line.clear();
            self.unfinished = line;
        }
        if self.has_matched {
            self.unfinished = Vec::new();
        }
    }

    /// Keeps the beginning of a line for later.
    fn keep(&mut self, bytes: &[u8]) {
        if self.skips {
            return;
        }
        let room = LONGEST - self.unfinished.len();
        self.unfinished.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if self.unfinished.len() == LONGEST {
            let line = std::mem::take(&mut self.unfinished);
            self.look_at(&line);
            self.skips = true;
        }
    }

    fn look_at(&mut self, line: &[u8]) {
        let line = &line[..line.len().min(LONGEST)];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.has_matched |= self.pattern.matches(line);
    }
}

/// The expression, made once for all who use it.
fn compiled(pattern: &str) -> Result<Arc<Pattern>, String> {
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = compiled.get(pattern).and_then(Weak::upgrade) {
        return Ok(known);
    }
    let regex = Regex::new(pattern).map_err(|error| error.to_string())?;
    let new = Arc::new(Pattern { regex, needle: needle(pattern) });
    compiled.retain(|_, known| known.strong_count() > 0);
    compiled.insert(pattern.to_string(), Arc::downgrade(&new));
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, pieces: &[&[u8]]) -> (bool, bool) {
        let mut lines = Lines::new(pattern).unwrap();
        let mut has_matched = false;
        for piece in pieces {
            has_matched = lines.feed(piece);
            assert_eq!(lines.has_matched(), has_matched);
        }
        (has_matched, lines.finish())
    }

    #[test]
    fn lines_match_when_they_are_complete() {
        for (pattern, pieces, while_open, at_end) in [
            ("ready", &[&b"not yet\nready\n"[..]][..], true, true),
            ("ready", &[b"not yet\n", b"still not\n"], false, false),
            // In pieces, with the end of the line in one of its own.
            ("^ready$", &[b"re", b"ad", b"y", b"\n"], true, true),
            ("listening on \\d+$", &[b"listening on 80", b"80\n"], true, true),
            // Not before the end, which may change what the line says.
            ("^ready$", &[b"ready"], false, true),
            ("^ready$", &[b"ready", b" or not\n"], false, false),
            // Not over several lines.
            ("a.*b", &[b"a\nb\n"], false, false),
            ("^$", &[b"a\n\n"], true, true),
            ("^$", &[b""], false, false),
            ("^ready$", &[b"ready\r\n"], true, true),
            ("^ready$", &[b"ready\r", b"\n"], true, true),
            // Terminal sequences are part of the line.
            ("^ready$", &[b"\x1b[32mready\x1b[0m\n"], false, false),
            ("ready", &[b"\x1b[32mready\x1b[0m\n"], true, true),
            // A character in two pieces, and bytes that are none.
            ("^gr\u{fc}n$", &[b"gr\xc3", b"\xbcn\n"], true, true),
            ("ready", &[b"\xff\xfe ready \xc3\n"], true, true),
            ("^.{2}$", &[b"a\xff\n"], true, true),
        ] {
            assert_eq!(matches(pattern, pieces), (while_open, at_end), "{pattern} in {pieces:?}");
        }
    }

    #[test]
    fn a_start_does_not_hear_its_predecessor() {
        let mut former = Lines::new("^ready$").unwrap();
        assert!(!former.feed(b"rea"));
        let mut next = Lines::new("^ready$").unwrap();
        assert!(!next.feed(b"dy\n"));
        assert!(next.feed(b"ready\n") && next.feed(b"whatever\n"));
    }

    #[test]
    fn long_lines_match_by_their_beginning() {
        let mut lines = Lines::new("^x+ready$").unwrap();
        let piece = [b'x'; 1000];
        for _ in 0..1000 {
            assert!(!lines.feed(&piece));
            assert!(lines.unfinished.capacity() <= 2 * LONGEST);
        }
        // The end of that line is no line.
        assert!(!lines.feed(b"ready\n"));
        assert!(lines.feed(b"xready\n"));
        // The beginning is looked at when it is there, whether or not the end comes; in one piece, too.
        let mut whole = vec![b'x'; LONGEST];
        whole[..5].copy_from_slice(b"ready");
        for feeds in [&whole[..], &[&whole[..], b"more\n"].concat()] {
            assert_eq!(matches("^ready", &[feeds]), (true, true));
            assert_eq!(matches("more|$^", &[feeds]), (false, false));
        }
        let (begun, rest) = whole.split_at(10);
        assert_eq!(matches("^ready", &[begun, &[rest, b"x\n"].concat()]), (true, true));
    }

    #[test]
    fn patterns_are_compiled_once_and_forgotten() {
        let pattern = "only in this test [0-9]+";
        let (one, other) = (Lines::new(pattern).unwrap(), Lines::new(pattern).unwrap());
        assert!(Arc::ptr_eq(&one.pattern, &other.pattern));
        drop((one, other));
        let _another = Lines::new("another only in this test").unwrap();
        assert!(!COMPILED.lock().unwrap().contains_key(pattern));
        let error = Lines::new("(").unwrap_err();
        assert!(!error.is_empty());
    }

    #[test]
    fn what_every_match_has_is_looked_for_first() {
        for (pattern, expected) in [
            ("ready to accept", "ready to accept"),
            ("^.*listening on .*:\\d+$", "listening on "),
            ("a\\.b\\\\c", "a.b\\c"),
            // Letters that need not be there, or are several.
            ("abcd?ef", "abc"),
            ("abcd*", "abc"),
            ("abcd+ef", "abc"),
            ("abc+?defg", "defg"),
            ("a+*", ""),
            ("\\bword\\b", "word"),
            ("gr\u{fc}n?", "gr\u{fc}"),
            ("\\<word\\>", "word"),
            ("", ""),
            ("ready|up", ""),
            ("(?i)ready", ""),
            ("rea{2}dy", ""),
        ] {
            assert_eq!(needle(pattern), expected, "{pattern}");
        }
    }

    proptest! {
        /// Looking for that first changes no answer.
        #[test]
        fn what_is_looked_for_first_is_on_every_line_that_matches(
            pattern in "([ab.]|\\\\[.db]|[ab][?*+]|[?*+]|\\^|\\$){0,6}",
            line in "[ab.1? ]{0,8}",
        ) {
            if let Ok(regex) = Regex::new(&pattern) {
                let fast = compiled(&pattern).unwrap();
                prop_assert_eq!(fast.matches(line.as_bytes()), regex.is_match(&line), "{} {}", pattern, line);
            }
        }

        /// However a stream is cut, the answer is that of its lines one by one.
        #[test]
        fn pieces_do_not_matter(text in "[ab\r\n]{0,60}", cuts in prop::collection::vec(0_usize..60, 0..8)) {
            let pattern = "^ab+a?$";
            let expected = {
                let regex = Regex::new(pattern).unwrap();
                let mut lines: Vec<&str> = text.split('\n').collect();
                if lines.last() == Some(&"") {
                    lines.pop();
                }
                lines.iter().any(|line| regex.is_match(line.strip_suffix('\r').unwrap_or(line)))
            };
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> =
                cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
            prop_assert_eq!(matches(pattern, &pieces).1, expected);
        }
    }
}
