//! What people change about programs besides the configuration, as our daemons tell it.

use crate::ctl::records::{self, GroupChange, Members};
use crate::rpc::client::CallError;
use crate::rpc::wire::Value;

/// How many processes a program has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub program: String,
    pub configured: i64,
    pub wanted: i64,
    pub processes: i64,
    /// `saved`, `until_end`, or empty if it is not scaled.
    pub kept: String,
}

/// What came of a scale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scaled {
    pub programs: Vec<ScaledProgram>,
    pub groups: Vec<GroupChange>,
    /// `saved` or `until_end`.
    pub kept: String,
    /// Why it could not be saved; empty if it was, or was not to be.
    pub problem: String,
}

/// A program that was given another number of processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScaledProgram {
    pub program: String,
    pub before: i64,
    pub now: i64,
    pub configured: i64,
}

/// What came of `enable` or `disable`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Enabled {
    /// Programs, and single processes as `group:process`.
    pub names: Vec<String>,
    /// The namespecs of all processes of which it was said.
    pub processes: Vec<String>,
    /// `saved` or `until_end`.
    pub kept: String,
    /// Why it could not be saved; empty if it was, or there is no file for it.
    pub problem: String,
}

impl Number {
    /// Reads one.
    ///
    /// # Errors
    /// [`CallError::Unexpected`] if it is no struct.
    pub(crate) fn read(value: &Value) -> Result<Number, CallError> {
        let members = Members::of(value)?;
        Ok(Number {
            program: members.text("program"),
            configured: members.number("configured"),
            wanted: members.number("wanted"),
            processes: members.number("processes"),
            kept: members.text("kept"),
        })
    }
}

impl Scaled {
    /// Reads one.
    ///
    /// # Errors
    /// [`CallError::Unexpected`] if it, or something in it, has another shape.
    pub(crate) fn read(value: &Value) -> Result<Scaled, CallError> {
        let members = Members::of(value)?;
        let program = |value: &Value| -> Result<ScaledProgram, CallError> {
            let members = Members::of(value)?;
            Ok(ScaledProgram {
                program: members.text("program"),
                before: members.number("before"),
                now: members.number("now"),
                configured: members.number("configured"),
            })
        };
        let list = |name| members.get(name).map_or(Ok(&[][..]), records::array);
        Ok(Scaled {
            programs: list("programs")?.iter().map(program).collect::<Result<_, _>>()?,
            groups: list("groups")?.iter().map(GroupChange::read).collect::<Result<_, _>>()?,
            kept: members.text("kept"),
            problem: members.text("problem"),
        })
    }
}

impl Enabled {
    /// Reads one.
    ///
    /// # Errors
    /// [`CallError::Unexpected`] if it, or something in it, has another shape.
    pub(crate) fn read(value: &Value) -> Result<Enabled, CallError> {
        let members = Members::of(value)?;
        let names = |list| -> Result<Vec<String>, CallError> {
            let list = members.get(list).map_or(Ok(&[][..]), records::array)?;
            list.iter().map(|it| Ok(Members::of(it)?.text("name"))).collect()
        };
        Ok(Enabled {
            names: names("names")?,
            processes: names("processes")?,
            kept: members.text("kept"),
            problem: members.text("problem"),
        })
    }
}
