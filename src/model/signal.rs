//! Signals: numbers and names.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A signal number, 0 to 64. 0 is only accepted where a probe makes sense.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signal(i32);

/// Linux on x86-64 and ARM, signal(7).
const NAMES: [(i32, &str); 33] = [
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (4, "ILL"),
    (5, "TRAP"),
    (6, "ABRT"),
    (7, "BUS"),
    (8, "FPE"),
    (9, "KILL"),
    (10, "USR1"),
    (11, "SEGV"),
    (12, "USR2"),
    (13, "PIPE"),
    (14, "ALRM"),
    (15, "TERM"),
    (16, "STKFLT"),
    (17, "CHLD"),
    (18, "CONT"),
    (19, "STOP"),
    (20, "TSTP"),
    (21, "TTIN"),
    (22, "TTOU"),
    (23, "URG"),
    (24, "XCPU"),
    (25, "XFSZ"),
    (26, "VTALRM"),
    (27, "PROF"),
    (28, "WINCH"),
    (29, "IO"),
    (30, "PWR"),
    (31, "SYS"),
    (34, "RTMIN"),
    (64, "RTMAX"),
];

/// Second names of the same numbers.
const ALIASES: [(i32, &str); 3] = [(17, "CLD"), (29, "POLL"), (6, "IOT")];

const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

impl Signal {
    /// Reload: the daemon reads its configuration again and restarts what it runs.
    pub const HUP: Signal = Signal(1);
    /// Interrupt from a terminal. The daemon shuts down.
    pub const INT: Signal = Signal(2);
    /// Quit from a terminal. The daemon shuts down.
    pub const QUIT: Signal = Signal(3);
    /// Ends a process that nothing else has ended. It cannot be caught.
    pub const KILL: Signal = Signal(9);
    /// Makes a process stand still, and cannot be ignored.
    pub const STOP: Signal = Signal(19);
    /// The first of two signals whose meaning is up to the program.
    pub const USR1: Signal = Signal(10);
    /// The second of them. The daemon opens its logs again.
    pub const USR2: Signal = Signal(12);
    /// Asks a process to end. The default of `stopsignal`; the daemon shuts down.
    pub const TERM: Signal = Signal(15);
    /// Tells a parent that a child has ended.
    pub const CHLD: Signal = Signal(17);

    /// A signal the kernel reported, whatever its number.
    pub fn from_raw(number: i32) -> Signal {
        Signal(number)
    }

    /// The number for `kill(2)`.
    pub fn raw(self) -> i32 {
        self.0
    }

    /// Reads a number (0 to 64) or a name: any case, `SIG` optional, blanks around it ignored, `RTMIN+n` and
    /// `RTMAX-n` included. `None` if it is neither.
    pub fn parse(text: &str) -> Option<Signal> {
        let text = text.trim().to_ascii_uppercase();
        if let Ok(number) = text.parse::<i32>() {
            return (0..=RTMAX).contains(&number).then_some(Signal(number));
        }
        let name = text.strip_prefix("SIG").unwrap_or(&text);
        if let Some((number, _)) = NAMES.iter().chain(&ALIASES).find(|(_, known)| *known == name) {
            return Some(Signal(*number));
        }
        let (base, offset) = if let Some(offset) = name.strip_prefix("RTMIN+") {
            (RTMIN, offset.parse::<i32>().ok()?)
        } else if let Some(offset) = name.strip_prefix("RTMAX-") {
            (RTMAX, -offset.parse::<i32>().ok()?)
        } else {
            return None;
        };
        let number = base.checked_add(offset)?;
        (RTMIN..=RTMAX).contains(&number).then_some(Signal(number))
    }

    /// The name with `SIG`, if this number has one: `SIGTERM`.
    pub fn name(self) -> Option<String> {
        NAMES.iter().find(|(number, _)| *number == self.0).map(|(_, name)| format!("SIG{name}"))
    }

    /// The name Supervisor prints for a death by this signal: like [`Signal::name`], but 29 is `SIGPOLL`.
    pub fn wait_name(self) -> Option<String> {
        if self.0 == 29 { Some("SIGPOLL".into()) } else { self.name() }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(&name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_parse() {
        for (text, number) in [
            ("TERM", Some(15)),
            ("sigterm", Some(15)),
            (" SIGUSR1 ", Some(10)),
            ("9", Some(9)),
            ("0", Some(0)),
            ("64", Some(64)),
            ("40", Some(40)),
            ("65", None),
            ("-1", None),
            ("CLD", Some(17)),
            ("POLL", Some(29)),
            ("RTMIN", Some(34)),
            ("RTMIN+1", Some(35)),
            ("SIGRTMAX-2", Some(62)),
            ("RTMIN+99", None),
            ("SIG_DFL", None),
            ("FOO", None),
            ("", None),
        ] {
            assert_eq!(Signal::parse(text).map(Signal::raw), number, "{text:?}");
        }
    }
}
