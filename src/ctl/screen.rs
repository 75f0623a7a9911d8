//! Output: two writers, and what is known about the terminal behind them.

use crate::ctl::interrupt::{WIPE, Wiper};
use crate::model::colour::Colour;
use crate::model::visible;
use anstyle::{AnsiColor, Style};
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How long nothing happens before a progress line appears.
const PATIENCE: Duration = Duration::from_millis(700);

/// Standard output and standard error, or what a test puts in their place.
///
/// Text from daemons and programs never controls the terminal: control characters and marks of writing direction are
/// shown there instead. Only [`Screen::drawn`] passes on sequences, and only the client's own.
pub(crate) struct Screen {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    /// What the command line says about colours.
    pub colours: Colour,
    /// Whether the command at hand may be decorated, by colours and a line that tells of its progress.
    pub decorates: bool,
    /// Whether everything goes to the terminal as it is.
    pub raw: bool,
    /// Whether standard output is a terminal.
    pub terminal: bool,
    /// Columns of the terminal; 80 without one.
    pub width: usize,
    /// Whether standard error is a terminal.
    err_terminal: bool,
    /// Whether standard output takes colours and nobody has declined them.
    takes_colours: bool,
}

impl Screen {
    /// The real one.
    pub(crate) fn stdio() -> Screen {
        let out = io::stdout();
        let terminal = out.is_terminal();
        let size = rustix::termios::tcgetwinsize(&out).ok().filter(|size| size.ws_col > 0);
        Screen {
            terminal,
            takes_colours: anstream::AutoStream::choice(&out) != anstream::ColorChoice::Never,
            width: size.map_or(80, |size| usize::from(size.ws_col)),
            err_terminal: io::stderr().is_terminal(),
            ..Screen::to(Box::new(out), Box::new(io::stderr()))
        }
    }

    /// One that writes elsewhere and is no terminal.
    pub(crate) fn to(out: Box<dyn Write>, err: Box<dyn Write>) -> Screen {
        Screen {
            out,
            err,
            colours: Colour::Auto,
            decorates: false,
            raw: false,
            terminal: false,
            width: 80,
            err_terminal: false,
            takes_colours: false,
        }
    }

    /// Columns and lines of the terminal as it is now; 80 and 24 without one.
    pub(crate) fn size_now(&self) -> (usize, usize) {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        let size = size.filter(|size| self.terminal && size.ws_col > 0 && size.ws_row > 0);
        size.map_or((80, 24), |size| (usize::from(size.ws_col), usize::from(size.ws_row)))
    }

    /// Writes a line to standard output.
    ///
    /// # Errors
    /// What the writer says, `BrokenPipe` mostly.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Writes bytes to standard output, at once; as they are, unless it is a terminal.
    ///
    /// # Errors
    /// What the writer says, `BrokenPipe` mostly.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let shown = self.shown_bytes(bytes);
        self.out.write_all(&shown)?;
        self.out.flush()
    }

    /// The same to standard error.
    ///
    /// # Errors
    /// What the writer says, `BrokenPipe` mostly.
    pub(crate) fn error_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let shown = if self.err_terminal && !self.raw { for_terminal(bytes) } else { Cow::Borrowed(bytes) };
        self.err.write_all(&shown)?;
        self.err.flush()
    }

    /// Writes what was made of [shown](Screen::shown) parts and of our own sequences, as it is.
    ///
    /// # Errors
    /// What the writer says, `BrokenPipe` mostly.
    pub(crate) fn drawn(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.out.flush()
    }

    /// Whether what others say is changed before it is written.
    pub(crate) fn filters(&self) -> bool {
        self.terminal && !self.raw
    }

    /// A text of others, as it may be part of what is drawn.
    pub(crate) fn shown<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.filters() { visible::for_terminal(text) } else { Cow::Borrowed(text) }
    }

    /// The same for bytes, which need not be text.
    pub(crate) fn shown_bytes<'t>(&self, bytes: &'t [u8]) -> Cow<'t, [u8]> {
        if self.filters() { for_terminal(bytes) } else { Cow::Borrowed(bytes) }
    }

    /// Whether somebody reads the advice that [`Screen::hint`] writes.
    pub(crate) fn is_read(&self) -> bool {
        self.err_terminal
    }

    /// Writes a line of advice to standard error. If nobody reads it, nothing is lost.
    pub(crate) fn hint(&mut self, text: &str) {
        let text = if self.err_terminal && !self.raw { visible::for_terminal(text) } else { text.into() };
        let _ = writeln!(self.err, "{text}");
    }

    /// `text` in a style, if colours may be used.
    pub(crate) fn styled(&self, text: &str, style: Style) -> String {
        if self.has_colours() { format!("{style}{text}{style:#}") } else { text.to_string() }
    }

    fn has_colours(&self) -> bool {
        match self.colours {
            Colour::Always => true,
            Colour::Auto => self.decorates && self.takes_colours,
            Colour::Never => false,
        }
    }

    /// Whether a line can be drawn and wiped out again on standard error.
    fn has_progress(&self) -> bool {
        self.terminal && self.err_terminal && (self.decorates || self.colours == Colour::Always)
    }

    /// Starts to watch an operation that may take long.
    pub(crate) fn progress(&mut self, what: impl Into<String>) -> Progress<'_> {
        let what = visible::for_terminal(&what.into()).into_owned();
        Progress { screen: self, what, since: Instant::now(), shown: None, wiper: None }
    }
}

/// Bytes, which need not be text, without what would control a terminal.
fn for_terminal(bytes: &[u8]) -> Cow<'_, [u8]> {
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => match visible::for_terminal(text) {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        },
        Cow::Owned(text) => Cow::Owned(visible::for_terminal(&text).into_owned().into_bytes()),
    }
}

/// Draws `waiting for … (3 s)` while an operation lasts, on a terminal only, and wipes it out at the end.
pub(crate) struct Progress<'s> {
    screen: &'s mut Screen,
    what: String,
    since: Instant,
    /// The seconds the line shows.
    shown: Option<u64>,
    /// Wipes the line out if Ctrl-C ends us.
    wiper: Option<Wiper>,
}

impl Progress<'_> {
    /// To be called now and then.
    pub(crate) fn tick(&mut self) {
        let elapsed = self.since.elapsed();
        if !self.screen.has_progress() || elapsed < PATIENCE || self.shown == Some(elapsed.as_secs()) {
            return;
        }
        if self.shown.replace(elapsed.as_secs()).is_none() {
            self.wiper = Wiper::start();
        }
        let line = format!("waiting for {} ({} s)", self.what, elapsed.as_secs());
        let line: String = line.chars().take(self.screen.width.saturating_sub(1)).collect();
        let dim = Style::new().dimmed();
        let _ = write!(self.screen.err, "{WIPE}{}", self.screen.styled(&line, dim));
        let _ = self.screen.err.flush();
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if self.shown.is_some() {
            self.wiper = None;
            let _ = write!(self.screen.err, "{WIPE}");
            let _ = self.screen.err.flush();
        }
    }
}

/// How the state of a process is drawn.
pub(crate) fn state_style(state: i64) -> Style {
    let colour = match state {
        20 => AnsiColor::Green,
        30 | 200 | 1000 => AnsiColor::Red,
        10 | 40 => AnsiColor::Yellow,
        _ => return Style::new().dimmed(),
    };
    Style::new().fg_color(Some(colour.into()))
}
