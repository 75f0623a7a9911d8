//! Parses what a listener writes to its standard output, byte by byte.
//!
//! As in Supervisor, dispatchers.py, PEventListenerDispatcher, with three differences: a result line must begin with
//! `RESULT `, its number must not be negative, and an empty result is complete at once. What is stored of a listener's
//! output has limits.

use serde::{Deserialize, Serialize};

/// What a listener says when it is ready for an event.
const READY: &[u8] = b"READY\n";
/// What an answer begins with.
const RESULT: &[u8] = b"RESULT ";
/// The longest line that can announce an answer.
const LINE_BYTES: usize = 1024;
/// The longest answer: more than any event, for handlers to which listeners send the event back.
const RESULT_BYTES: usize = 16 << 20;

/// Where a listener is in its conversation with us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mood {
    /// It broke the rules; only a restart of its program makes it good again.
    Unknown,
    /// It has answered, or has just been started. `READY` is due.
    #[default]
    Acknowledged,
    /// It has said `READY`, and may get an event.
    Ready,
    /// It has got an event. An answer is due.
    Busy,
}

impl Mood {
    /// The name in the log (Supervisor, states.py, EventListenerStates).
    pub fn name(self) -> &'static str {
        match self {
            Mood::Unknown => "UNKNOWN",
            Mood::Acknowledged => "ACKNOWLEDGED",
            Mood::Ready => "READY",
            Mood::Busy => "BUSY",
        }
    }
}

/// One listener's side of the conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    mood: Mood,
    /// What was said and is not complete.
    heard: Vec<u8>,
    /// How long the answer is to be, once it was announced.
    announced: Option<usize>,
    /// What made it UNKNOWN, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    offence: String,
}

/// Something complete that a listener said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// `READY`. It may get an event from now on.
    Ready,
    /// An answer. [`Conversation::settle`] says what came of it, before anything else is heard.
    Result(Vec<u8>),
    /// A line that announces no answer, where one was due. The listener is UNKNOWN now.
    NoResult(Vec<u8>),
    /// Something that is never said in this mood. The listener is UNKNOWN now.
    Nonsense(Mood),
}

impl Conversation {
    /// Where it is now.
    pub fn mood(&self) -> Mood {
        self.mood
    }

    /// Takes in what the listener wrote.
    pub fn hear(&mut self, bytes: &[u8]) {
        // Nobody listens to it any more.
        if self.mood != Mood::Unknown {
            self.heard.extend_from_slice(bytes);
        }
    }

    /// The next complete thing in what was heard, if there is one.
    pub fn next_said(&mut self) -> Option<Said> {
        match self.mood {
            Mood::Unknown => None,
            _ if self.heard.is_empty() && self.announced != Some(0) => None,
            Mood::Acknowledged if self.heard.starts_with(READY) => {
                self.heard.drain(..READY.len());
                self.mood = Mood::Ready;
                Some(Said::Ready)
            }
            // Not enough to tell, even if it cannot become what it should.
            Mood::Acknowledged if self.heard.len() < READY.len() => None,
            mood @ (Mood::Acknowledged | Mood::Ready) => {
                let wanted = match mood {
                    Mood::Ready => "although no event was sent to it",
                    _ => "where READY and a line end were due",
                };
                let offence = format!("it said {} {wanted}", quoted(&self.heard));
                self.give_up(offence);
                Some(Said::Nonsense(mood))
            }
            Mood::Busy => self.next_answer(),
        }
    }

    fn next_answer(&mut self) -> Option<Said> {
        if self.announced.is_none() {
            let line = match self.heard.iter().position(|byte| *byte == b'\n') {
                Some(end) => self.heard[..end].to_vec(),
                None if self.heard.len() <= LINE_BYTES => return None,
                None => self.heard[..LINE_BYTES].to_vec(),
            };
            let Some(n_bytes) = announced_length(&line) else {
                self.give_up(format!("it answered {} where RESULT and a length were due", quoted(&line)));
                return Some(Said::NoResult(line));
            };
            self.heard.drain(..=line.len());
            self.announced = Some(n_bytes);
        }
        let n_bytes = self.announced?;
        if self.heard.len() < n_bytes {
            return None;
        }
        self.announced = None;
        Some(Said::Result(self.heard.drain(..n_bytes).collect()))
    }

    /// Says what came of an answer: ACKNOWLEDGED, or UNKNOWN if it could not be handled.
    pub fn settle(&mut self, handled: bool) {
        match handled {
            true => self.mood = Mood::Acknowledged,
            false => self.give_up("its result handler did not understand an answer".to_string()),
        }
    }

    /// An event is sent to a READY listener.
    pub fn begin(&mut self) {
        self.mood = Mood::Busy;
    }

    /// The event could not be sent after all.
    pub fn withdraw(&mut self) {
        self.mood = Mood::Ready;
    }

    fn give_up(&mut self, offence: String) {
        *self = Conversation { mood: Mood::Unknown, offence, ..Conversation::default() };
    }

    /// What made it UNKNOWN, as a sentence without an end.
    pub fn offence(&self) -> Option<&str> {
        (self.mood == Mood::Unknown && !self.offence.is_empty()).then_some(&self.offence)
    }
}

/// The first line of what was said, within quotation marks and harmless.
fn quoted(said: &[u8]) -> String {
    let end = said.iter().position(|byte| *byte == b'\n').map_or(said.len(), |end| end + 1);
    format!("{:?}", String::from_utf8_lossy(&said[..end.min(LINE_BYTES)]))
}

/// The number in `RESULT n`. As Python's `int` would, it overlooks blanks and a plus sign.
fn announced_length(line: &[u8]) -> Option<usize> {
    let number = std::str::from_utf8(line.strip_prefix(RESULT)?).ok()?.trim();
    let number = number.strip_prefix('+').unwrap_or(number);
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|n_bytes| is_number && *n_bytes <= RESULT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is understood, in words. An event is sent whenever the listener is READY; however the bytes are
    /// cut, the result is the same.
    #[track_caller]
    fn check(said: &[u8], expected: &str) {
        for size in [1, 2, 3, 7, said.len().max(1)] {
            let mut conversation = Conversation::default();
            let mut words = Vec::new();
            for piece in said.chunks(size) {
                conversation.hear(piece);
                while let Some(said) = conversation.next_said() {
                    words.push(match said {
                        Said::Ready => "ready".to_string(),
                        Said::Result(result) => {
                            conversation.settle(true);
                            format!("result {:?}", String::from_utf8_lossy(&result))
                        }
                        Said::NoResult(line) => format!("no result {:?}", String::from_utf8_lossy(&line)),
                        Said::Nonsense(_) => "nonsense".to_string(),
                    });
                }
                if conversation.mood == Mood::Ready {
                    conversation.begin();
                }
            }
            let words = format!("{} -> {}", words.join(", "), conversation.mood.name());
            assert_eq!(words, expected, "in pieces of {size}");
        }
    }

    /// The same for what a BUSY listener says.
    #[track_caller]
    fn check_busy(said: &[u8], expected: &str) {
        for size in [1, 2, 5, said.len().max(1)] {
            let mut conversation = Conversation { mood: Mood::Busy, ..Conversation::default() };
            let mut words = Vec::new();
            for piece in said.chunks(size) {
                conversation.hear(piece);
                while let Some(said) = conversation.next_said() {
                    if matches!(said, Said::Result(_)) {
                        conversation.settle(true);
                    }
                    words.push(match said {
                        Said::Ready => "ready".to_string(),
                        Said::Result(result) => format!("result {:?}", String::from_utf8_lossy(&result)),
                        Said::NoResult(line) => format!("no result {:?}", String::from_utf8_lossy(&line)),
                        Said::Nonsense(_) => "nonsense".to_string(),
                    });
                }
            }
            let words = format!("{} -> {}", words.join(", "), conversation.mood.name());
            assert_eq!(words, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn ready_is_said_exactly() {
        check(b"", " -> ACKNOWLEDGED");
        check(b"READY", " -> ACKNOWLEDGED");
        check(b"READY\n", "ready -> BUSY");
        check(b"hello\n", "nonsense -> UNKNOWN");
        check(b"READY\r\n", "nonsense -> UNKNOWN");
        check(b"ready\n", "nonsense -> UNKNOWN");
        check(b"\nREADY\n", "nonsense -> UNKNOWN");
        check(b"\0\0\0\0\0\0", "nonsense -> UNKNOWN");
        // Not enough to tell.
        check(b"bad", " -> ACKNOWLEDGED");
    }

    #[test]
    fn an_answer_has_the_announced_length() {
        check_busy(b"RESULT 2\nOK", "result \"OK\" -> ACKNOWLEDGED");
        check_busy(b"RESULT 2\nOKREADY\n", "result \"OK\", ready -> READY");
        check_busy(b"RESULT 4\nFAILREADY\n", "result \"FAIL\", ready -> READY");
        check_busy(b"RESULT  2 \r\nOK", "result \"OK\" -> ACKNOWLEDGED");
        check_busy(b"RESULT +2\nOK", "result \"OK\" -> ACKNOWLEDGED");
        check_busy(b"RESULT 0\n", "result \"\" -> ACKNOWLEDGED");
        check_busy(b"RESULT 0\nREADY\n", "result \"\", ready -> READY");
        check_busy(b"RESULT 5\nOK", " -> BUSY");
        // A newline too many is the beginning of what comes next.
        check_busy(b"RESULT 2\nOK\nREADY", "result \"OK\", nonsense -> UNKNOWN");
        check_busy(b"RESULT 3\nOK\nREADY\n", "result \"OK\\n\", ready -> READY");
        check_busy(b"RESULT 2\nOK\0\0\0\0\0\0", "result \"OK\", nonsense -> UNKNOWN");
    }

    #[test]
    fn what_announces_no_answer_is_told() {
        for line in [
            "OK",
            "",
            "RESULT",
            "RESULT x",
            "RESULT -1",
            "RESULT 2 3",
            "result 2",
            "RESULT:2",
            "XXXXXXX2",
            "RESULT 1_0",
            "RESULT 99999999999",
            "RESULT 99999999999999999999999",
            "RESULT +",
            "RESULT +-2",
        ] {
            check_busy(format!("{line}\n").as_bytes(), &format!("no result {line:?} -> UNKNOWN"));
        }
        check_busy(b"RESULT \xff\nx", "no result \"RESULT \u{fffd}\" -> UNKNOWN");
    }

    #[test]
    fn a_line_without_an_end_is_not_remembered_for_ever() {
        let mut conversation = Conversation { mood: Mood::Busy, ..Conversation::default() };
        conversation.hear(&[b'x'; LINE_BYTES]);
        assert_eq!(conversation.next_said(), None);
        conversation.hear(b"x");
        assert_eq!(conversation.next_said(), Some(Said::NoResult(vec![b'x'; LINE_BYTES])));
        conversation.hear(&[b'x'; 1 << 20]);
        assert_eq!(conversation.heard.len(), 0);
    }

    #[test]
    fn whoever_speaks_while_ready_breaks_the_rules() {
        let mut conversation = Conversation { mood: Mood::Ready, ..Conversation::default() };
        assert_eq!(conversation.next_said(), None);
        conversation.hear(b"R");
        assert_eq!(conversation.next_said(), Some(Said::Nonsense(Mood::Ready)));
        assert_eq!(conversation.mood(), Mood::Unknown);
    }
}
