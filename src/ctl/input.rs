//! Standard input: typed, or from a pipe.
//!
//! It has a buffer of its own instead of the standard library's, because `fg` must know whether a line is buffered
//! before it waits for the descriptor.

use crate::ctl::interrupt::Interrupt;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::SIGINT;
use std::io;
use std::time::Instant;

/// The longest line; what is longer comes in pieces.
const MAX_LINE: usize = 1 << 20;

/// Standard input, line by line.
#[derive(Default)]
pub(crate) struct Input {
    buffer: Vec<u8>,
    ended: bool,
}

impl Input {
    /// Waits for a line and returns it without its end; `None` at the end of input.
    ///
    /// # Errors
    /// What the descriptor says.
    pub(crate) fn read_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(line) = self.waiting_line() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            self.fill()?;
        }
    }

    /// The next line, if it is here already. At the end of input, what stands behind the last line end is one too.
    pub(crate) fn waiting_line(&mut self) -> Option<String> {
        let end = match self.buffer.iter().position(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if self.buffer.len() >= MAX_LINE || (self.ended && !self.buffer.is_empty()) => {
                self.buffer.len()
            }
            None => return None,
        };
        let line: Vec<u8> = self.buffer.drain(..end).collect();
        Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_string())
    }

    /// Reads once, which waits if nothing is there.
    ///
    /// # Errors
    /// What the descriptor says.
    pub(crate) fn fill(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        match rustix::io::read(io::stdin(), &mut bytes) {
            Ok(0) => self.ended = true,
            Ok(n_bytes) => self.buffer.extend_from_slice(&bytes[..n_bytes]),
            Err(rustix::io::Errno::INTR) => {}
            Err(problem) => return Err(problem.into()),
        }
        Ok(())
    }

    /// Whether there is no more to read.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended && self.buffer.is_empty()
    }

    /// Forgets that the end was seen: at a terminal, Ctrl-D ends one command and not the shell.
    pub(crate) fn reopen(&mut self) {
        self.ended = false;
    }

    /// Waits for a line that the terminal does not show, once it is ready for that and `ask` has been called. Ctrl-C ends the client, as everywhere, but not before the
    /// terminal shows again what is typed.
    ///
    /// # Errors
    /// What the descriptor says.
    pub(crate) fn read_secret(&mut self, ask: impl FnOnce() -> io::Result<()>) -> io::Result<Option<String>> {
        let interrupt = Interrupt::catch();
        let silence = Silence::begin();
        // Only now: whoever answers quickly must not see it either.
        ask()?;
        loop {
            if let Some(line) = self.waiting_line() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            if interrupted(interrupt.as_ref())? {
                drop((silence, interrupt));
                signal_hook::low_level::emulate_default_handler(SIGINT)?;
                return Ok(None);
            }
            self.fill()?;
        }
    }
}

/// Waits until something is typed; `true` if that is Ctrl-C.
fn interrupted(interrupt: Option<&Interrupt>) -> io::Result<bool> {
    let stdin = io::stdin();
    let mut fds = vec![PollFd::new(&stdin, PollFlags::IN)];
    fds.extend(interrupt.map(|interrupt| PollFd::new(interrupt, PollFlags::IN)));
    match poll(&mut fds, None) {
        Ok(_) => Ok(fds.get(1).is_some_and(|fd| !fd.revents().is_empty())),
        Err(rustix::io::Errno::INTR) => interrupted(interrupt),
        Err(problem) => Err(problem.into()),
    }
}

/// Keeps the terminal from showing what is typed, until dropped.
struct Silence(Option<Termios>);

impl Silence {
    fn begin() -> Silence {
        let stdin = io::stdin();
        let Ok(before) = tcgetattr(&stdin) else { return Silence(None) };
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        let _ = tcsetattr(&stdin, OptionalActions::Flush, &quiet);
        Silence(Some(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
    }
}

/// What somebody has pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pressed {
    Key(char),
    Up,
    Down,
    /// Ctrl-C, Ctrl-D, or there is nobody any more.
    End,
}

/// The keys of a terminal, one by one and without being shown, until dropped.
pub(crate) struct Keys {
    before: Option<Termios>,
    /// Read and not looked at yet.
    bytes: Vec<u8>,
}

impl Keys {
    pub(crate) fn begin() -> Keys {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin).ok();
        if let Some(before) = &before {
            let mut quiet = before.clone();
            quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
            let _ = tcsetattr(&stdin, OptionalActions::Flush, &quiet);
        }
        Keys { before, bytes: Vec::new() }
    }

    /// Waits for the next one, at most until `deadline`: then there is `None`.
    ///
    /// # Errors
    /// What the descriptor says.
    pub(crate) fn wait(
        &mut self,
        deadline: Instant,
        interrupt: Option<&Interrupt>,
    ) -> io::Result<Option<Pressed>> {
        loop {
            if let Some(pressed) = self.take() {
                return Ok(Some(pressed));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // At most a day, so both numbers fit.
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let stdin = io::stdin();
            let mut fds = vec![PollFd::new(&stdin, PollFlags::IN)];
            fds.extend(interrupt.map(|interrupt| PollFd::new(interrupt, PollFlags::IN)));
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => return Ok(None),
                Ok(_) if fds.get(1).is_some_and(|fd| !fd.revents().is_empty()) => {
                    return Ok(Some(Pressed::End));
                }
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(problem) => return Err(problem.into()),
            }
            let mut bytes = [0; 64];
            match rustix::io::read(io::stdin(), &mut bytes) {
                Ok(0) => return Ok(Some(Pressed::End)),
                Ok(n_bytes) => self.bytes.extend_from_slice(&bytes[..n_bytes]),
                Err(rustix::io::Errno::INTR) => {}
                Err(problem) => return Err(problem.into()),
            }
        }
    }

    /// The first of what was read.
    fn take(&mut self) -> Option<Pressed> {
        const SEQUENCES: [(&[u8], Pressed); 4] = [
            (b"\x1b[A", Pressed::Up),
            (b"\x1b[B", Pressed::Down),
            (b"\x1bOA", Pressed::Up),
            (b"\x1bOB", Pressed::Down),
        ];
        if let Some((sequence, pressed)) = SEQUENCES.iter().find(|(bytes, _)| self.bytes.starts_with(bytes)) {
            self.bytes.drain(..sequence.len());
            return Some(*pressed);
        }
        let first = *self.bytes.first()?;
        self.bytes.remove(0);
        match first {
            3 | 4 => Some(Pressed::End),
            // Of another sequence nothing is a key.
            0x1b => {
                self.bytes.clear();
                None
            }
            first => Some(Pressed::Key(char::from(first))),
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_are_keys_and_other_sequences_are_none() {
        let mut keys = Keys { before: None, bytes: b"c\x1b[A\x1bOBX\x1b[3~".to_vec() };
        let pressed: Vec<Pressed> = std::iter::from_fn(|| keys.take()).collect();
        assert_eq!(pressed, [Pressed::Key('c'), Pressed::Up, Pressed::Down, Pressed::Key('X')]);
        assert!(keys.bytes.is_empty());
        keys.bytes = vec![4];
        assert_eq!(keys.take(), Some(Pressed::End));
    }

    #[test]
    fn lines_are_cut_where_they_end() {
        let mut input = Input { buffer: b"a\r\nb\nrest".to_vec(), ended: false };
        assert_eq!(input.waiting_line().as_deref(), Some("a"));
        assert_eq!(input.waiting_line().as_deref(), Some("b"));
        assert_eq!(input.waiting_line(), None);
        input.ended = true;
        assert_eq!(input.waiting_line().as_deref(), Some("rest"));
        assert!(input.has_ended());
    }
}
