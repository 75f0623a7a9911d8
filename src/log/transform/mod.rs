//! What becomes of a stream's bytes on their way through our memory.
//!
//! Captured data is taken out first, then terminal sequences; what is left is the text. Events and the debug
//! log get the text as it is. Files get it formatted line by line if that was asked for, and syslog gets whole lines.

pub mod capture;
pub mod lines;
pub mod readable;
pub mod stamp;
pub mod strip;

use crate::log::activity::{self, OUTPUT};
use crate::log::stream::StreamOutput;
use crate::log::transform::capture::{Capture, Part};
use crate::log::transform::lines::{LineFormat, Lines};
use crate::log::transform::readable::{bytes_repr, readable};
use crate::log::transform::strip::Strip;
use crate::model::config::Level;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What is asked of a stream beyond writing its bytes to a log.
#[derive(Clone, Debug, Default)]
pub struct TransformSpec {
    /// Whether terminal sequences are taken out.
    pub strip_ansi: bool,
    /// Bytes; 0 switches capture mode off.
    pub capture_maxbytes: u64,
    /// Whether the text is wanted for PROCESS_LOG events.
    pub events: bool,
    /// Whether somebody waits for a line of it: then little time is left for output to gather.
    pub is_awaited: bool,
    /// Whether these are the answers of an event listener.
    pub listener: bool,
    /// Whether somebody wants whole lines as they are.
    pub plain_lines: bool,
    /// How lines are written to files; `None`: as they come.
    pub line_format: Option<LineFormat>,
}

impl TransformSpec {
    /// Whether files get the very bytes of the program, and nobody else gets anything.
    pub fn is_transparent(&self) -> bool {
        !self.strip_ansi && self.line_format.is_none() && !self.plain_lines && !self.has_consumers()
    }

    /// Whether something is read out of the stream for others than logs.
    pub fn has_consumers(&self) -> bool {
        self.capture_maxbytes > 0 || self.events || self.listener
    }
}

/// What lines say besides what the program has written.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The process that writes.
    pub pid: i32,
    /// When it was read.
    pub now: SystemTime,
    /// Whether these bytes were transformed before, by a predecessor: only the state is wanted, and nothing is logged.
    pub is_replay: bool,
}

impl Moment {
    /// This moment, for what a process has written.
    pub fn now(pid: i32) -> Moment {
        Moment { pid, now: SystemTime::now(), is_replay: false }
    }

    /// The same moment as another manager saw it, in nanoseconds since the epoch.
    pub fn recorded(pid: i32, wall: u64) -> Moment {
        Moment { pid, now: SystemTime::UNIX_EPOCH + Duration::from_nanos(wall), is_replay: false }
    }

    /// In nanoseconds since the epoch.
    pub fn wall(&self) -> u64 {
        let since = self.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// What is done to one stream, with its state. The state depends on the bytes that were fed and on nothing else, however
/// they were cut into pieces: so a successor can replay it.
#[derive(Debug)]
pub struct Transform {
    spec: TransformSpec,
    /// For messages, for example `'web' stdout`.
    whose: Arc<str>,
    strip: Strip,
    capture: Option<Capture>,
    formatted: Lines,
    plain: Lines,
    /// Whether nothing but the capture itself was held back when a capture ended last.
    capture_ended_alone: bool,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Transformed {
    /// For files and memory.
    pub log: Vec<u8>,
    /// Whole lines for syslog, each with its newline.
    pub lines: Vec<u8>,
    /// For others than logs, in order.
    pub output: Vec<StreamOutput>,
}

impl Transform {
    /// A transform that has seen nothing. `whose` is for messages.
    pub fn new(spec: TransformSpec, whose: Arc<str>) -> Transform {
        let capture = (spec.capture_maxbytes > 0).then(|| Capture::new(spec.capture_maxbytes));
        let (strip, formatted, plain) = Default::default();
        Transform { spec, whose, strip, capture, formatted, plain, capture_ended_alone: false }
    }

    /// What it was asked to do.
    pub fn spec(&self) -> &TransformSpec {
        &self.spec
    }

    /// Whether nothing is held back: a new transform would go on in the same way.
    pub fn holds_nothing_back(&self) -> bool {
        !self.holds_text() && self.capture.as_ref().is_none_or(|capture| !capture.is_holding())
    }

    fn holds_text(&self) -> bool {
        self.strip.is_inside() || self.formatted.is_holding() || self.plain.is_holding()
    }

    /// The last replay point in these bytes, which were just fed, counted from their beginning. `was_capturing` says whether
    /// a capture was open before them. There may be a later one that is not found.
    pub fn last_replay_point(&self, bytes: &[u8], was_capturing: bool) -> Option<usize> {
        if self.holds_nothing_back() {
            return Some(bytes.len());
        }
        let found = self.capture.as_ref().map(Capture::found).unwrap_or_default();
        let (begin, end) = if was_capturing && found.after_end.is_none() {
            return None;
        } else {
            let begin = found.after_end.unwrap_or(0);
            (begin, if self.is_capturing() { found.before_begin.unwrap_or(begin) } else { bytes.len() })
        };
        // A newline ends lines, sequences, and what may have become a token.
        let newline = bytes.get(begin..end)?.iter().rposition(|byte| *byte == b'\n');
        newline.map(|newline| begin + newline + 1).or(found.after_end.filter(|_| self.capture_ended_alone))
    }

    /// Whether what comes is captured.
    pub fn is_capturing(&self) -> bool {
        self.capture.as_ref().is_some_and(Capture::is_capturing)
    }

    /// Takes the stream's next bytes.
    pub fn feed(&mut self, bytes: &[u8], moment: Moment) -> Transformed {
        let mut out = Transformed::default();
        if self.spec.listener {
            out.output.push(StreamOutput::Protocol(bytes.to_vec()));
        }
        match self.capture.take() {
            None => self.text(bytes, moment, &mut out),
            Some(mut capture) => {
                capture.feed(bytes, |part| self.part(part, moment, &mut out));
                self.capture = Some(capture);
            }
        }
        out
    }

    /// Ends the stream: whatever was held back goes out.
    pub fn finish(&mut self, moment: Moment) -> Transformed {
        let mut out = Transformed::default();
        if let Some(mut capture) = self.capture.take() {
            if let Some(n_bytes) = capture.finish(|part| self.part(part, moment, &mut out)) {
                ::log::warn!("{} ended while capturing; {n_bytes} bytes were dropped", self.whose);
            }
            self.capture = Some(capture);
        }
        let mut held = Vec::new();
        self.strip.finish(&mut held);
        self.stripped(&held, moment, &mut out);
        if let Some(format) = &self.spec.line_format {
            self.formatted.finish(|line| format.write(line, moment.pid, moment.now, &mut out.log));
        }
        self.plain.finish(|line| {
            out.lines.extend_from_slice(line.bytes);
            out.lines.push(b'\n');
        });
        out
    }

    fn part(&mut self, part: Part<'_>, moment: Moment, out: &mut Transformed) {
        match part {
            Part::Text(text) => self.text(text, moment, out),
            Part::Communication(data) => {
                self.capture_ended_alone = !self.holds_text();
                if !moment.is_replay {
                    ::log::debug!("{} emitted a comm event", self.whose);
                }
                let mut stripped = Vec::new();
                let data = if self.spec.strip_ansi {
                    Strip::default().feed(&data, &mut stripped);
                    stripped
                } else {
                    data
                };
                out.output.push(StreamOutput::Communication(data));
            }
        }
    }

    fn text(&mut self, bytes: &[u8], moment: Moment, out: &mut Transformed) {
        if !self.spec.strip_ansi {
            return self.stripped(bytes, moment, out);
        }
        let mut text = Vec::with_capacity(bytes.len());
        self.strip.feed(bytes, &mut text);
        self.stripped(&text, moment, out);
    }

    fn stripped(&mut self, text: &[u8], moment: Moment, out: &mut Transformed) {
        if text.is_empty() {
            return;
        }
        if !moment.is_replay {
            copy_to_activity_log(text, &self.whose, self.spec.listener);
        }
        if self.spec.events {
            out.output.push(StreamOutput::Log(text.to_vec()));
        }
        match &self.spec.line_format {
            None => out.log.extend_from_slice(text),
            Some(format) => {
                let Moment { pid, now, .. } = moment;
                self.formatted.feed(text, |line| format.write(line, pid, now, &mut out.log));
            }
        }
        if self.spec.plain_lines {
            self.plain.feed(text, |line| {
                out.lines.extend_from_slice(line.bytes);
                out.lines.push(b'\n');
            });
        }
    }
}

/// As Supervisor does at level debug.
pub fn copy_to_activity_log(text: &[u8], whose: &str, listener: bool) {
    if !activity::enabled(Level::Debug) {
        return;
    }
    if listener {
        ::log::debug!(target: OUTPUT, "{whose} output:\n{}", bytes_repr(text));
    } else {
        ::log::debug!(target: OUTPUT, "{whose} output:\n{}", readable(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::Timestamps;

    fn transform(spec: TransformSpec) -> Transform {
        Transform::new(spec, "'web' stdout".into())
    }

    #[test]
    fn captured_data_is_neither_logged_nor_an_event_of_the_log() {
        let spec = TransformSpec { capture_maxbytes: 100, events: true, ..TransformSpec::default() };
        let out = transform(spec).feed(b"a<!--XSUPERVISOR:BEGIN-->b<!--XSUPERVISOR:END-->c", Moment::now(1));
        assert_eq!(out.log, b"ac");
        let log = |text: &[u8]| StreamOutput::Log(text.to_vec());
        assert_eq!(out.output, [log(b"a"), StreamOutput::Communication(b"b".to_vec()), log(b"c")]);
    }

    #[test]
    fn a_listeners_answers_are_untouched_but_its_log_is_stripped() {
        let spec = TransformSpec { listener: true, strip_ansi: true, ..TransformSpec::default() };
        let out = transform(spec).feed(b"\x1b[1mREADY\n", Moment::now(1));
        assert_eq!(out.log, b"READY\n");
        assert_eq!(out.output, [StreamOutput::Protocol(b"\x1b[1mREADY\n".to_vec())]);
    }

    #[test]
    fn lines_are_formatted_and_plain_at_once() {
        let format = LineFormat::Text { timestamps: Timestamps::Off, prefix: "web".to_string() };
        let spec = TransformSpec { plain_lines: true, line_format: Some(format), ..TransformSpec::default() };
        let mut transform = transform(spec);
        let out = transform.feed(b"one\ntw", Moment::now(1));
        assert_eq!((&out.log[..], &out.lines[..]), (&b"web one\n"[..], &b"one\n"[..]));
        let out = transform.finish(Moment::now(1));
        assert_eq!((&out.log[..], &out.lines[..]), (&b"web tw\n"[..], &b"tw\n"[..]));
    }

    #[test]
    fn what_was_held_back_goes_out_at_the_end() {
        let spec = TransformSpec { capture_maxbytes: 100, strip_ansi: true, ..TransformSpec::default() };
        let mut transform = transform(spec);
        assert_eq!(transform.feed(b"end<!--XSUP", Moment::now(1)).log, b"end");
        assert_eq!(transform.finish(Moment::now(1)).log, b"<!--XSUP");
        assert_eq!(transform.feed(b"\x1b", Moment::now(1)).log, b"");
        assert_eq!(transform.finish(Moment::now(1)).log, b"\x1b");
    }

    /// Feeds pieces one after the other; `{` and `}` stand for the tokens. The last replay point of each piece.
    fn replay_points(spec: &TransformSpec, pieces: &[&str]) -> Vec<Option<usize>> {
        let token = |token: &'static [u8]| std::str::from_utf8(token).unwrap();
        let mut transform = transform(spec.clone());
        let each = |piece: &&str| {
            let piece = piece.replace('{', token(crate::log::transform::capture::BEGIN));
            let piece = piece.replace('}', token(crate::log::transform::capture::END));
            let was_capturing = transform.is_capturing();
            let _ = transform.feed(piece.as_bytes(), Moment::now(1));
            transform.last_replay_point(piece.as_bytes(), was_capturing)
        };
        pieces.iter().map(each).collect()
    }

    #[test]
    fn clean_places_are_behind_lines_and_captures() {
        let format = LineFormat::Text { timestamps: Timestamps::Off, prefix: "web".to_string() };
        let formatted = TransformSpec { line_format: Some(format), ..TransformSpec::default() };
        let pieces = ["one\n", "tw", "o", "\nthr", "ee\nx\n"];
        assert_eq!(replay_points(&formatted, &pieces), [Some(4), None, None, Some(1), Some(5)]);

        let stripped = TransformSpec { strip_ansi: true, ..TransformSpec::default() };
        assert_eq!(replay_points(&stripped, &["ab", "a\x1b[3", "1mx"]), [Some(2), None, Some(3)]);
        assert_eq!(replay_points(&stripped, &["a\n\x1b"]), [Some(2)]);

        let captured = TransformSpec { capture_maxbytes: 100, ..formatted };
        let (n_begin, n_end) =
            (crate::log::transform::capture::BEGIN.len(), crate::log::transform::capture::END.len());
        let pieces = ["a\n{x\n", "y\n", "z}b\nc", "\n<!--", "-\n"];
        let places = [Some(2), None, Some(1 + n_end + 2), Some(1), Some(2)];
        assert_eq!(replay_points(&captured, &pieces), places);
        // Nothing but captures.
        assert_eq!(replay_points(&captured, &["{x}{y"]), [Some(n_begin + 1 + n_end)]);
        // A line goes on behind the capture.
        assert_eq!(replay_points(&captured, &["a{x}{y"]), [None]);
    }

    #[test]
    fn a_new_shaper_goes_on_from_a_clean_place() {
        let format = LineFormat::Text { timestamps: Timestamps::Off, prefix: "web".to_string() };
        let spec = TransformSpec {
            strip_ansi: true,
            capture_maxbytes: 50,
            events: true,
            plain_lines: true,
            line_format: Some(format),
            ..TransformSpec::default()
        };
        let text = "a\nb\x1b[1m<!--XSUPERVISOR:BEGIN-->c\nd<!--XSUPERVISOR:END-->\ne<!--XSUPERVISOR:BEGIN-->f\
                    <!--XSUPERVISOR:END--><!-\x1b\ng\n";
        let text = text.repeat(3).into_bytes();
        for cut in 0..=text.len() {
            let (first, second) = text.split_at(cut);
            let mut straight = transform(spec.clone());
            let _ = straight.feed(first, Moment::now(1));
            let Some(point) = straight.last_replay_point(first, false) else { continue };
            let mut anew = transform(spec.clone());
            let _ = anew.feed(&first[point..], Moment::now(1));
            let (expected, found) =
                (straight.feed(second, Moment::now(1)), anew.feed(second, Moment::now(1)));
            assert_eq!(
                (found.log, found.lines, found.output),
                (expected.log, expected.lines, expected.output)
            );
        }
    }
}
