//! Whole lines, and their formats: with a time, a prefix, or as JSON.

use crate::log::transform::stamp::Stamp;
use crate::model::config::Timestamps;
use std::time::SystemTime;

/// The longest line that is kept whole, in bytes without its newline. A longer one is cut into pieces of this
/// size, and every piece but the last is marked.
pub const MAX_LINE: usize = 16 * 1024;

/// At the end of a piece that the next one continues.
pub const CONTINUES: &str = " [continues]";

/// Collects bytes until a line is whole.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
}

/// A line without its newline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// What stands in it.
    pub bytes: &'a [u8],
    /// Whether this is a piece of a longer line, and not its last.
    pub continues: bool,
}

impl Lines {
    /// Calls `each` for every line that these bytes complete.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(end) if self.partial.is_empty() => cut(end, true, &mut each),
                Some(end) => {
                    let mut line = std::mem::take(&mut self.partial);
                    line.extend_from_slice(end);
                    cut(&line, true, &mut each);
                }
                None => self.begin(piece, &mut each),
            }
        }
    }

    /// Whether the beginning of a line is held back.
    pub fn is_holding(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Keeps the beginning of a line; what exceeds the longest one goes at once.
    fn begin(&mut self, bytes: &[u8], each: &mut impl FnMut(Line<'_>)) {
        self.partial.extend_from_slice(bytes);
        let n_done = cut_partial(&self.partial, each);
        self.partial.drain(..n_done);
    }

    /// Ends the stream: a line that was never ended is one.
    pub fn finish(&mut self, mut each: impl FnMut(Line<'_>)) {
        let line = std::mem::take(&mut self.partial);
        if !line.is_empty() {
            cut(&line, true, &mut each);
        }
    }
}

/// Hands on a line in pieces of the permitted length.
fn cut(line: &[u8], last: bool, each: &mut impl FnMut(Line<'_>)) {
    let mut rest = line;
    while rest.len() > MAX_LINE {
        let (piece, after) = rest.split_at(MAX_LINE);
        each(Line { bytes: piece, continues: true });
        rest = after;
    }
    if last {
        each(Line { bytes: rest, continues: false });
    }
}

/// The same for a line whose end has not come; how much of it is done with.
fn cut_partial(line: &[u8], each: &mut impl FnMut(Line<'_>)) -> usize {
    // At least one byte stays, so that the last piece is never empty.
    let n_pieces = line.len().saturating_sub(1) / MAX_LINE;
    cut(&line[..n_pieces * MAX_LINE + usize::from(n_pieces > 0)], false, each);
    n_pieces * MAX_LINE
}

/// How a line is written.
#[derive(Clone, Debug)]
pub enum LineFormat {
    /// A time, a prefix, and the line, with blanks between them.
    Text {
        /// How the time is written, if it is.
        timestamps: Timestamps,
        /// Empty for none.
        prefix: String,
    },
    /// One JSON object.
    Json {
        /// How the time is written; off stands for RFC 3339.
        timestamps: Timestamps,
        /// What else stands in each object.
        whose: Whose,
    },
}

/// Who wrote a line, for JSON.
#[derive(Clone, Debug)]
pub struct Whose {
    /// The section of the configuration.
    pub program: String,
    /// Its group.
    pub group: String,
    /// One instance of the program.
    pub process: String,
    /// `stdout` or `stderr`.
    pub stream: &'static str,
    /// From the configuration; empty for none.
    pub prefix: String,
}

impl LineFormat {
    /// Appends the formatted line and its newline. `pid` and `now` are those of its last piece.
    pub fn write(&self, line: Line<'_>, pid: i32, now: SystemTime, text: &mut Vec<u8>) {
        match self {
            LineFormat::Text { timestamps, prefix } => {
                if let Some(time) = time(timestamps, now, Stamp::supervisor) {
                    text.extend_from_slice(time.as_bytes());
                    text.push(b' ');
                }
                if !prefix.is_empty() {
                    text.extend_from_slice(prefix.as_bytes());
                    text.push(b' ');
                }
                text.extend_from_slice(line.bytes);
                if line.continues {
                    text.extend_from_slice(CONTINUES.as_bytes());
                }
            }
            LineFormat::Json { timestamps, whose } => {
                let time = time(timestamps, now, Stamp::rfc3339);
                write_json(whose, time.unwrap_or_else(|| Stamp::at(now).rfc3339()), line, pid, text);
            }
        }
        text.push(b'\n');
    }
}

fn time(timestamps: &Timestamps, now: SystemTime, default: fn(&Stamp) -> String) -> Option<String> {
    match timestamps {
        Timestamps::Off => None,
        Timestamps::Default => Some(default(&Stamp::at(now))),
        Timestamps::Format(format) => Some(Stamp::at(now).strftime(format)),
    }
}

fn write_json(whose: &Whose, time: String, line: Line<'_>, pid: i32, text: &mut Vec<u8>) {
    let line_text = String::from_utf8_lossy(line.bytes);
    let mut field = |name: &str, value: &str| {
        text.extend_from_slice(if name == "time" { b"{" } else { b"," });
        // Serialising a string into memory cannot fail.
        let _ = serde_json::to_writer(&mut *text, name);
        text.push(b':');
        let _ = serde_json::to_writer(&mut *text, value);
    };
    field("time", &time);
    field("program", &whose.program);
    field("group", &whose.group);
    field("process", &whose.process);
    field("stream", whose.stream);
    if !whose.prefix.is_empty() {
        field("prefix", &whose.prefix);
    }
    field("line", &line_text);
    text.extend_from_slice(format!(",\"pid\":{pid}").as_bytes());
    if line.continues {
        text.extend_from_slice(b",\"continues\":true");
    }
    text.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(pieces: &[&[u8]]) -> Vec<(usize, bool)> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        pieces
            .iter()
            .for_each(|piece| lines.feed(piece, |line| found.push((line.bytes.len(), line.continues))));
        lines.finish(|line| found.push((line.bytes.len(), line.continues)));
        found
    }

    #[test]
    fn lines_are_put_together() {
        assert_eq!(
            lines_of(&[b"one\ntw", b"o\n\nthr", b"e", b"e"]),
            [(3, false), (3, false), (0, false), (5, false)]
        );
        assert_eq!(lines_of(&[]), []);
        assert_eq!(lines_of(&[b"\n"]), [(0, false)]);
    }

    #[test]
    fn long_lines_are_cut_the_same_however_they_come() {
        let line = vec![b'x'; 2 * MAX_LINE + 5];
        let whole: Vec<u8> = [&line[..], b"\nnext\n"].concat();
        let expected = [(MAX_LINE, true), (MAX_LINE, true), (5, false), (4, false)];
        for size in [1000, 4096, MAX_LINE, whole.len()] {
            let pieces: Vec<&[u8]> = whole.chunks(size).collect();
            assert_eq!(lines_of(&pieces), expected, "in pieces of {size}");
        }
        let exact: Vec<u8> = [&line[..2 * MAX_LINE], b"\n"].concat();
        for size in [1000, MAX_LINE, exact.len()] {
            let pieces: Vec<&[u8]> = exact.chunks(size).collect();
            assert_eq!(lines_of(&pieces), [(MAX_LINE, true), (MAX_LINE, false)], "in pieces of {size}");
        }
    }

    fn formatted(format: &LineFormat, bytes: &[u8], continues: bool) -> String {
        let mut text = Vec::new();
        format.write(Line { bytes, continues }, 12, SystemTime::UNIX_EPOCH, &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn text_has_time_and_prefix() {
        let format = |timestamps, prefix: &str| LineFormat::Text { timestamps, prefix: prefix.to_string() };
        assert_eq!(formatted(&format(Timestamps::Off, "web"), b"hello", false), "web hello\n");
        assert_eq!(formatted(&format(Timestamps::Format("%s |".into()), ""), b"hello", false), "0 | hello\n");
        assert_eq!(formatted(&format(Timestamps::Off, "web"), b"hel", true), "web hel [continues]\n");
        let line = formatted(&format(Timestamps::Default, "web"), b"hello", false);
        assert_eq!((&line[19..], line.len()), (",000 web hello\n", 34));
    }

    #[test]
    fn json_is_json_whatever_the_line() {
        let whose = Whose {
            program: "web".into(),
            group: "g".into(),
            process: "web_1".into(),
            stream: "stdout",
            prefix: String::new(),
        };
        let format = LineFormat::Json { timestamps: Timestamps::Format("T".into()), whose };
        let line = formatted(&format, b"a \"b\" \\ \x01 \xff", true);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["line"], "a \"b\" \\ \u{1} \u{fffd}");
        assert_eq!(
            (&value["pid"], &value["continues"], &value["time"]),
            (&12.into(), &true.into(), &"T".into())
        );
    }
}
