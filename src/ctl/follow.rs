//! Follows logs: prints the bytes of one log, or of several, as they come.

use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::interrupt::Interrupt;
use crate::ctl::screen::Screen;
use crate::ctl::session::Session;
use crate::rpc::client::http::Stream;
use anstyle::{AnsiColor, Style};
use rustix::event::{PollFd, PollFlags, poll};
use std::io;

/// The longest line that is held back until it is complete.
const MAX_LINE: usize = 64 << 10;

/// Colours of the prefixes, taken in turns.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightRed,
];

/// A log that is followed.
pub(crate) struct Source {
    pub name: String,
    pub stream: Stream,
}

/// Prints what comes until Ctrl-C, or until every log has ended. Bytes of a single log pass through unchanged if that is no
/// terminal; lines of several get their log's name in front.
///
/// # Errors
/// If nobody reads the output any more.
pub(crate) fn follow(session: &mut Session, sources: Vec<Source>) -> Outcome {
    session.screen.decorates |= sources.len() > 1;
    let interrupt = Interrupt::catch();
    let mut followed = followed(session, sources);
    while !followed.is_empty() {
        if wait(&followed, interrupt.as_ref()).map_err(CtlError::Output)? == Wake::Interrupted {
            for log in &mut followed {
                log.finish(session)?;
            }
            return Ok(session.screen.line("")?);
        }
        for log in &mut followed {
            log.take(session)?;
        }
        for log in followed.extract_if(.., |log| log.ended.is_some()) {
            let reason = log.ended.unwrap_or_default();
            session.screen.hint(&format!("{}: the log stream ended: {reason}", log.name));
            session.fail(Exit::GENERIC);
        }
    }
    Ok(())
}

fn followed(session: &Session, sources: Vec<Source>) -> Vec<Followed> {
    let prefixed = sources.len() > 1;
    let width = sources.iter().map(|source| source.name.chars().count()).max().unwrap_or(0);
    let prefix = |index: usize, name: &str| {
        let style = Style::new().fg_color(Some(COLOURS[index % COLOURS.len()].into()));
        session.screen.styled(&format!("{:<width$} |", session.screen.shown(name)), style) + " "
    };
    let each = sources.into_iter().enumerate().map(|(index, source)| Followed {
        prefix: prefixed.then(|| prefix(index, &source.name)),
        name: source.name,
        stream: source.stream,
        unfinished: Vec::new(),
        ended: None,
    });
    each.collect()
}

struct Followed {
    name: String,
    /// `None`: bytes pass through.
    prefix: Option<String>,
    stream: Stream,
    /// The beginning of a line that goes on.
    unfinished: Vec<u8>,
    /// Why there is no more.
    ended: Option<String>,
}

impl Followed {
    /// Prints what is there. Reads only if there is something to read.
    fn take(&mut self, session: &mut Session) -> Outcome {
        if !self.stream.has_pending() && !is_readable(&self.stream) {
            return Ok(());
        }
        let mut bytes = Vec::new();
        match self.stream.advance(&mut bytes) {
            Ok(()) if self.stream.has_ended() => self.ended = Some("supervisord closed it".to_string()),
            Ok(()) => {}
            Err(problem) => self.ended = Some(problem.to_string()),
        }
        self.unfinished.extend_from_slice(&bytes);
        let Some(prefix) = &self.prefix else {
            let bytes = take_characters(&mut self.unfinished, &session.screen);
            return Ok(session.screen.bytes(&bytes)?);
        };
        let complete = match self.unfinished.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if self.unfinished.len() > MAX_LINE => self.unfinished.len(),
            None => 0,
        };
        let lines: Vec<u8> = self.unfinished.drain(..complete).collect();
        print_lines(session, &lines, prefix)?;
        if self.ended.is_some() { self.finish(session) } else { Ok(()) }
    }

    /// Prints a line that did not end.
    fn finish(&mut self, session: &mut Session) -> Outcome {
        let rest = std::mem::take(&mut self.unfinished);
        let Some(prefix) = &self.prefix else { return Ok(session.screen.bytes(&rest)?) };
        print_lines(session, &rest, prefix)
    }
}

fn print_lines(session: &mut Session, lines: &[u8], prefix: &str) -> Outcome {
    let lines = prefix_lines(&session.screen.shown_bytes(lines), prefix);
    Ok(session.screen.drawn(&lines)?)
}

/// Takes what can be printed by itself: everything, but for the beginning of a character whose rest is still to come if
/// the screen looks at characters.
pub(crate) fn take_characters(bytes: &mut Vec<u8>, screen: &Screen) -> Vec<u8> {
    let unfinished = if screen.filters() { beginning_at_end(bytes) } else { 0 };
    let rest = bytes.split_off(bytes.len() - unfinished);
    std::mem::replace(bytes, rest)
}

/// How many of the last bytes begin a character that goes on behind them.
fn beginning_at_end(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    let begins = |at: &usize| match std::str::from_utf8(&tail[*at..]) {
        Err(error) => error.valid_up_to() == 0 && error.error_len().is_none(),
        Ok(_) => false,
    };
    (0..tail.len()).find(begins).map_or(0, |at| tail.len() - at)
}

/// Puts the prefix before every line. The last one gets an end if it has none.
fn prefix_lines(lines: &[u8], prefix: &str) -> Vec<u8> {
    let mut text = Vec::new();
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        text.extend_from_slice(prefix.as_bytes());
        text.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        text.push(b'\n');
    }
    text
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    Readable,
    Interrupted,
}

/// Waits until a log has something, or Ctrl-C.
fn wait(followed: &[Followed], interrupt: Option<&Interrupt>) -> io::Result<Wake> {
    if followed.iter().any(|log| log.stream.has_pending()) {
        return Ok(Wake::Readable);
    }
    let mut fds: Vec<PollFd<'_>> =
        followed.iter().map(|log| PollFd::new(&log.stream, PollFlags::IN)).collect();
    fds.extend(interrupt.map(|interrupt| PollFd::new(interrupt, PollFlags::IN)));
    match poll(&mut fds, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(problem) => return Err(problem.into()),
    }
    let interrupted = interrupt.is_some() && fds.last().is_some_and(|fd| !fd.revents().is_empty());
    Ok(if interrupted { Wake::Interrupted } else { Wake::Readable })
}

/// Whether a read would not wait.
pub(crate) fn is_readable(stream: &Stream) -> bool {
    let mut fds = [PollFd::new(stream, PollFlags::IN)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut fds, Some(&now)), Ok(1..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_gets_a_prefix_and_an_end() {
        assert_eq!(prefix_lines(b"a\n\nb", "x | "), b"x | a\nx | \nx | b\n");
        assert_eq!(prefix_lines(b"", "x | "), b"");
    }
}
