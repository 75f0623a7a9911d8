//! What people change about programs besides the configuration: how many processes they have, and whether they start with the
//! daemon.

use crate::control::ask::Updated;

/// Another number of processes for a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// A program, or a program of a group (`group:program`).
    pub name: String,
    /// How many.
    pub amount: Amount,
}

/// How many processes a program is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    To(u32),
    /// So many more than it has; fewer if it is negative.
    By(i64),
}

impl Amount {
    /// `8`, `+2`, `-1`.
    pub fn parse(text: &str) -> Option<Amount> {
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        match text.strip_prefix(['+', '-']) {
            Some(digits) if is_number(digits) => text.parse().ok().map(Amount::By),
            None if is_number(text) => text.parse().ok().map(Amount::To),
            _ => None,
        }
    }

    /// The number that comes of it. `None` if that is negative, or more than any program can have.
    pub fn of(self, now: u32) -> Option<u32> {
        let number = match self {
            Amount::To(number) => i64::from(number),
            Amount::By(more) => i64::from(now).checked_add(more)?,
        };
        u32::try_from(number).ok().filter(|number| *number <= crate::model::state_file::MOST_PROCESSES)
    }
}

/// How many processes a program has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramNumber {
    /// The name of its section.
    pub program: String,
    /// The groups that it is a member of.
    pub groups: Vec<String>,
    /// As the files say it.
    pub configured: u32,
    /// As it is to be: that, or what it was scaled to.
    pub wanted: u32,
    /// How many processes there are, whatever their states.
    pub processes: u32,
    /// How long it stays scaled. `None` if it is not.
    pub kept: Option<Kept>,
}

/// How long a change holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It stands in the `state_file`.
    Saved,
    /// Until the daemon ends.
    UntilEnd,
    /// Until the daemon ends, because the `state_file` could not be written, for this reason.
    NotSaved(String),
}

impl Kept {
    /// The word for clients.
    pub fn word(&self) -> &'static str {
        match self {
            Kept::Saved => "saved",
            Kept::UntilEnd | Kept::NotSaved(_) => "until_end",
        }
    }

    /// Why it could not be written; empty if it was, or was not to be.
    pub fn problem(&self) -> &str {
        match self {
            Kept::NotSaved(why) => why,
            Kept::Saved | Kept::UntilEnd => "",
        }
    }
}

/// What came of a scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaled {
    /// The programs that were named.
    pub programs: Vec<ScaledProgram>,
    /// What was done to their groups.
    pub updated: Updated,
    /// How long it holds.
    pub kept: Kept,
}

/// A program that was given another number of processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaledProgram {
    /// The name of its section.
    pub program: String,
    /// How many processes it was to have before.
    pub before: u32,
    /// How many it is to have now.
    pub now: u32,
    /// As the files say it.
    pub configured: u32,
}

/// What came of enabling or disabling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enabled {
    /// Whether they start with the daemon from now on.
    pub starts: bool,
    /// The programs, and the single processes (`group:process`), of which that was said.
    pub names: Vec<String>,
    /// The namespecs of all processes of which it was said.
    pub processes: Vec<String>,
    /// How long it holds.
    pub kept: Kept,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_absolute_or_relative() {
        for (text, now, expected) in [
            ("8", 3, Some(8)),
            ("0", 3, Some(0)),
            ("+2", 3, Some(5)),
            ("-1", 3, Some(2)),
            ("-3", 3, Some(0)),
            ("-4", 3, None),
            ("+0", 3, Some(3)),
            ("100000", 3, Some(100_000)),
            ("100001", 3, None),
            ("+99999", 3, None),
            ("+9223372036854775807", 3, None),
        ] {
            assert_eq!(Amount::parse(text).unwrap().of(now), expected, "{text}");
        }
        for text in ["", "+", "-", "1.5", "x", "++1", " 1", "4294967296", "١", "99999999999999999999"] {
            assert_eq!(Amount::parse(text), None, "{text}");
        }
    }
}
