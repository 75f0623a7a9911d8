//! How a process ended: exit status or signal, and the records of past exits.

use crate::model::signal::Signal;
use crate::model::time::Wall;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// One exit of a process, as `why` and REST show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastExit {
    /// When it ended.
    pub at: Wall,
    /// The number of the process that ended.
    pub pid: i32,
    /// What the kernel reported of its end.
    pub status: ExitStatus,
    /// Whether it was told to stop, or ended with one of `exitcodes`.
    pub expected: bool,
    /// The time from its start to its end.
    pub lasted: Duration,
    /// What is known of it besides the status: `killed by the kernel for want of memory (memory_max=64MB)`. Usually empty.
    pub reason: String,
    /// Who was left of its tree and had to be killed: pid and name of the first [`MOST_LEFT_NAMED`].
    pub left_behind: Vec<(i32, String)>,
}

/// So many of those whom a program left behind are named.
pub const MOST_LEFT_NAMED: usize = 20;

/// How often a process ended in each way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(Vec<(ExitStatus, u64)>);

impl Tally {
    /// Counts one more exit. It ignores whether a core file was written.
    pub fn count(&mut self, status: ExitStatus) {
        let status = match status {
            ExitStatus::Signal { signal, .. } => ExitStatus::Signal { signal, core_dumped: false },
            status => status,
        };
        match self.0.iter_mut().find(|(known, _)| *known == status) {
            Some((_, number)) => *number += 1,
            // There are 256 codes and 64 signals, so this does not grow for ever.
            None => self.0.push((status, 1)),
        }
    }

    /// Each status that occurred, with the number of its exits.
    pub fn iter(&self) -> impl Iterator<Item = (ExitStatus, u64)> {
        self.0.iter().copied()
    }
}

/// The status a process ended with, as the kernel reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It called `exit` with this value, 0 to 255.
    Code(u8),
    /// A signal ended it.
    Signal {
        /// Which one.
        signal: Signal,
        /// Whether the kernel wrote a core file.
        core_dumped: bool,
    },
    /// No process of the daemon saw the end, so the status is not known.
    Unknown,
}

impl ExitStatus {
    /// The exit code in Supervisor's terms: −1 for a death by signal and for an unknown status, which no
    /// `exitcodes` list can contain.
    pub fn code(self) -> i32 {
        match self {
            ExitStatus::Code(code) => i32::from(code),
            ExitStatus::Signal { .. } | ExitStatus::Unknown => -1,
        }
    }

    /// Decodes the status word of `wait(2)`.
    pub fn from_wait_status(status: i32) -> ExitStatus {
        // The layout is that of wait(2): low seven bits the signal, bit 7 the core flag, bits 8-15 the code.
        let signal = status & 0x7f;
        if signal == 0 {
            ExitStatus::Code(((status >> 8) & 0xff) as u8)
        } else {
            ExitStatus::Signal { signal: Signal::from_raw(signal), core_dumped: status & 0x80 != 0 }
        }
    }
}

/// The wording of the activity log: `exit status 3`, `terminated by SIGKILL`, `terminated by SIGSEGV (core
/// dumped)`. Signals without a name print as `signal 35`.
impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitStatus::Code(code) => write!(f, "exit status {code}"),
            ExitStatus::Signal { signal, core_dumped } => {
                match signal.wait_name() {
                    Some(name) => write!(f, "terminated by {name}")?,
                    None => write!(f, "terminated by signal {}", signal.raw())?,
                }
                if *core_dumped {
                    f.write_str(" (core dumped)")?;
                }
                Ok(())
            }
            ExitStatus::Unknown => f.write_str("exit status unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_statuses_decode_and_print() {
        for (status, code, text) in [
            (0x0000, 0, "exit status 0"),
            (0x0300, 3, "exit status 3"),
            (0xff00, 255, "exit status 255"),
            (0x0009, -1, "terminated by SIGKILL"),
            (0x008b, -1, "terminated by SIGSEGV (core dumped)"),
            (0x001d, -1, "terminated by SIGPOLL"),
            (0x0023, -1, "terminated by signal 35"),
        ] {
            let status = ExitStatus::from_wait_status(status);
            assert_eq!((status.code(), status.to_string().as_str()), (code, text));
        }
    }
}
