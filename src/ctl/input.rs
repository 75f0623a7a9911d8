//! Standard input: typed, or from a pipe.
//!
//! It has a buffer of its own instead of the standard library's, because `fg` must know whether a line is buffered
//! before it waits for the descriptor.

use crate::ctl::interrupt::Interrupt;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::SIGINT;
use std::io;

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

#[cfg(test)]
mod tests {
    use super::*;

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
