//! Where output goes: two writers and what is known about the terminal behind them.

use anstyle::{AnsiColor, Style};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How long nothing happens before a progress line appears.
const PATIENCE: Duration = Duration::from_millis(700);

/// Standard output and standard error, or what a test puts in their place.
pub struct Screen {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    /// Whether colours may be used on standard output.
    pub colour: bool,
    /// Whether standard output is a terminal.
    pub terminal: bool,
    /// Columns of the terminal; 80 without one.
    pub width: usize,
    /// Whether a line can be drawn and wiped out again on standard error.
    progress: bool,
}

impl Screen {
    /// The real one.
    pub fn stdio() -> Screen {
        let out = io::stdout();
        let terminal = out.is_terminal();
        let size = rustix::termios::tcgetwinsize(&out).ok().filter(|size| size.ws_col > 0);
        Screen {
            terminal,
            colour: anstream::AutoStream::choice(&out) != anstream::ColorChoice::Never,
            width: size.map_or(80, |size| usize::from(size.ws_col)),
            progress: terminal && io::stderr().is_terminal(),
            out: Box::new(out),
            err: Box::new(io::stderr()),
        }
    }

    /// One that writes elsewhere and is no terminal.
    pub fn to(out: Box<dyn Write>, err: Box<dyn Write>) -> Screen {
        Screen { out, err, colour: false, terminal: false, width: 80, progress: false }
    }

    /// Writes a line to standard output.
    ///
    /// # Errors
    /// What the writer says, `BrokenPipe` mostly.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Writes bytes as they are to standard output, at once.
    ///
    /// # Errors
    /// What the writer says, `BrokenPipe` mostly.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.out.flush()
    }

    /// Writes a line of advice to standard error. If nobody reads it, nothing is lost.
    pub fn hint(&mut self, text: &str) {
        let _ = writeln!(self.err, "{text}");
    }

    /// `text` in a style, if colours may be used.
    pub fn styled(&self, text: &str, style: Style) -> String {
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_string() }
    }

    /// Starts to watch an operation that may take long.
    pub fn progress(&mut self, what: impl Into<String>) -> Progress<'_> {
        Progress { screen: self, what: what.into(), since: Instant::now(), shown: None }
    }
}

/// Draws `waiting for … (3 s)` while an operation lasts, on a terminal only, and wipes it out at the end.
pub struct Progress<'s> {
    screen: &'s mut Screen,
    what: String,
    since: Instant,
    /// The seconds the line shows.
    shown: Option<u64>,
}

impl Progress<'_> {
    /// To be called now and then.
    pub fn tick(&mut self) {
        let elapsed = self.since.elapsed();
        if !self.screen.progress || elapsed < PATIENCE || self.shown == Some(elapsed.as_secs()) {
            return;
        }
        self.shown = Some(elapsed.as_secs());
        let line = format!("waiting for {} ({} s)", self.what, elapsed.as_secs());
        let line: String = line.chars().take(self.screen.width.saturating_sub(1)).collect();
        let dim = Style::new().dimmed();
        let _ = write!(self.screen.err, "\r\x1b[K{}", self.screen.styled(&line, dim));
        let _ = self.screen.err.flush();
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(self.screen.err, "\r\x1b[K");
            let _ = self.screen.err.flush();
        }
    }
}

/// How the state of a process is drawn.
pub fn state_style(state: i64) -> Style {
    let colour = match state {
        20 => AnsiColor::Green,
        30 | 200 | 1000 => AnsiColor::Red,
        10 | 40 => AnsiColor::Yellow,
        _ => return Style::new().dimmed(),
    };
    Style::new().fg_color(Some(colour.into()))
}
