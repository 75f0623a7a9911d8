//! What becomes of a stream's bytes on their way through our memory.
//!
//! Captured data is taken out first, then terminal sequences; what is left is the text. Events and the debug
//! log get it as it is, files too unless their lines are to be dressed up, and syslog gets it in whole lines.

use crate::log::activity;
use crate::log::capture::{Capture, Part};
use crate::log::lines::{Dress, Lines};
use crate::log::readable::{bytes_repr, readable};
use crate::log::stream::StreamOutput;
use crate::log::strip::Strip;
use crate::model::config::Level;
use std::sync::Arc;
use std::time::SystemTime;

/// What is asked of a stream beyond writing its bytes to a log.
#[derive(Clone, Debug, Default)]
pub struct ShapeSpec {
    pub strip_ansi: bool,
    /// Bytes; 0 switches capture mode off.
    pub capture_maxbytes: u64,
    /// Whether the text is wanted for PROCESS_LOG events.
    pub events: bool,
    /// Whether these are the answers of an event listener.
    pub listener: bool,
    /// Whether somebody wants whole lines as they are.
    pub plain_lines: bool,
    /// How lines are written to files; `None`: as they come.
    pub dress: Option<Dress>,
}

impl ShapeSpec {
    /// Whether files get the very bytes of the program, and nobody else gets anything.
    pub fn is_transparent(&self) -> bool {
        !self.strip_ansi && self.dress.is_none() && !self.has_consumers()
    }

    /// Whether something is read out of the stream for others than files.
    pub fn has_consumers(&self) -> bool {
        self.capture_maxbytes > 0 || self.events || self.listener || self.plain_lines
    }
}

/// The state of one stream's transformations.
#[derive(Debug)]
pub struct Shaper {
    spec: ShapeSpec,
    /// For messages, for example `'web' stdout`.
    whose: Arc<str>,
    strip: Strip,
    capture: Option<Capture>,
    dressed: Lines,
    plain: Lines,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Shaped {
    /// For files and memory.
    pub log: Vec<u8>,
    /// Whole lines for syslog, each with its newline.
    pub lines: Vec<u8>,
    pub output: Vec<StreamOutput>,
}

impl Shaper {
    pub fn new(spec: ShapeSpec, whose: Arc<str>) -> Shaper {
        let capture = (spec.capture_maxbytes > 0).then(|| Capture::new(spec.capture_maxbytes));
        let (strip, dressed, plain) = Default::default();
        Shaper { spec, whose, strip, capture, dressed, plain }
    }

    pub fn spec(&self) -> &ShapeSpec {
        &self.spec
    }

    /// Takes the stream's next bytes.
    pub fn feed(&mut self, bytes: &[u8], pid: i32) -> Shaped {
        let mut shaped = Shaped::default();
        if self.spec.listener {
            shaped.output.push(StreamOutput::Protocol(bytes.to_vec()));
        }
        match self.capture.take() {
            None => self.text(bytes, pid, &mut shaped),
            Some(mut capture) => {
                capture.feed(bytes, |part| self.part(part, pid, &mut shaped));
                self.capture = Some(capture);
            }
        }
        shaped
    }

    /// Ends the stream: whatever was held back goes out.
    pub fn finish(&mut self, pid: i32) -> Shaped {
        let mut shaped = Shaped::default();
        if let Some(mut capture) = self.capture.take() {
            if let Some(n_bytes) = capture.finish(|part| self.part(part, pid, &mut shaped)) {
                ::log::warn!("{} ended while capturing; {n_bytes} bytes were dropped", self.whose);
            }
            self.capture = Some(capture);
        }
        let mut held = Vec::new();
        self.strip.finish(&mut held);
        self.stripped(&held, pid, &mut shaped);
        let now = SystemTime::now();
        if let Some(dress) = &self.spec.dress {
            self.dressed.finish(|line| dress.write(line, pid, now, &mut shaped.log));
        }
        self.plain.finish(|line| {
            shaped.lines.extend_from_slice(line.bytes);
            shaped.lines.push(b'\n');
        });
        shaped
    }

    fn part(&mut self, part: Part<'_>, pid: i32, shaped: &mut Shaped) {
        match part {
            Part::Text(text) => self.text(text, pid, shaped),
            Part::Communication(data) => {
                ::log::debug!("{} emitted a comm event", self.whose);
                let mut stripped = Vec::new();
                let data = if self.spec.strip_ansi {
                    Strip::default().feed(&data, &mut stripped);
                    stripped
                } else {
                    data
                };
                shaped.output.push(StreamOutput::Communication(data));
            }
        }
    }

    fn text(&mut self, bytes: &[u8], pid: i32, shaped: &mut Shaped) {
        if !self.spec.strip_ansi {
            return self.stripped(bytes, pid, shaped);
        }
        let mut text = Vec::with_capacity(bytes.len());
        self.strip.feed(bytes, &mut text);
        self.stripped(&text, pid, shaped);
    }

    fn stripped(&mut self, text: &[u8], pid: i32, shaped: &mut Shaped) {
        if text.is_empty() {
            return;
        }
        self.copy_to_activity_log(text);
        if self.spec.events {
            shaped.output.push(StreamOutput::Log(text.to_vec()));
        }
        match &self.spec.dress {
            None => shaped.log.extend_from_slice(text),
            Some(dress) => {
                let now = SystemTime::now();
                self.dressed.feed(text, |line| dress.write(line, pid, now, &mut shaped.log));
            }
        }
        if self.spec.plain_lines {
            self.plain.feed(text, |line| {
                shaped.lines.extend_from_slice(line.bytes);
                shaped.lines.push(b'\n');
            });
        }
    }

    /// As Supervisor does at level debug.
    fn copy_to_activity_log(&self, text: &[u8]) {
        if !activity::enabled(Level::Debug) {
            return;
        }
        let whose = &self.whose;
        if self.spec.listener {
            ::log::debug!("{whose} output:\n{}", bytes_repr(text));
        } else {
            ::log::debug!("{whose} output:\n{}", readable(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::Timestamps;

    fn shaper(spec: ShapeSpec) -> Shaper {
        Shaper::new(spec, "'web' stdout".into())
    }

    #[test]
    fn captured_data_is_neither_logged_nor_an_event_of_the_log() {
        let spec = ShapeSpec { capture_maxbytes: 100, events: true, ..ShapeSpec::default() };
        let shaped = shaper(spec).feed(b"a<!--XSUPERVISOR:BEGIN-->b<!--XSUPERVISOR:END-->c", 1);
        assert_eq!(shaped.log, b"ac");
        let log = |text: &[u8]| StreamOutput::Log(text.to_vec());
        assert_eq!(shaped.output, [log(b"a"), StreamOutput::Communication(b"b".to_vec()), log(b"c")]);
    }

    #[test]
    fn a_listeners_answers_are_untouched_but_its_log_is_stripped() {
        let spec = ShapeSpec { listener: true, strip_ansi: true, ..ShapeSpec::default() };
        let shaped = shaper(spec).feed(b"\x1b[1mREADY\n", 1);
        assert_eq!(shaped.log, b"READY\n");
        assert_eq!(shaped.output, [StreamOutput::Protocol(b"\x1b[1mREADY\n".to_vec())]);
    }

    #[test]
    fn lines_are_dressed_and_plain_at_once() {
        let dress = Dress::Text { timestamps: Timestamps::Off, prefix: "web".to_string() };
        let spec = ShapeSpec { plain_lines: true, dress: Some(dress), ..ShapeSpec::default() };
        let mut shaper = shaper(spec);
        let shaped = shaper.feed(b"one\ntw", 1);
        assert_eq!((&shaped.log[..], &shaped.lines[..]), (&b"web one\n"[..], &b"one\n"[..]));
        let shaped = shaper.finish(1);
        assert_eq!((&shaped.log[..], &shaped.lines[..]), (&b"web tw\n"[..], &b"tw\n"[..]));
    }

    #[test]
    fn what_was_held_back_goes_out_at_the_end() {
        let spec = ShapeSpec { capture_maxbytes: 100, strip_ansi: true, ..ShapeSpec::default() };
        let mut shaper = shaper(spec);
        assert_eq!(shaper.feed(b"end<!--XSUP", 1).log, b"end");
        assert_eq!(shaper.finish(1).log, b"<!--XSUP");
        assert_eq!(shaper.feed(b"\x1b", 1).log, b"");
        assert_eq!(shaper.finish(1).log, b"\x1b");
    }
}
