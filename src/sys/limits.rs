//! Resource limits.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;

/// A soft and a hard limit; `u64::MAX` is "unlimited".
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limit {
    pub soft: u64,
    pub hard: u64,
}

impl Limit {
    /// This limit, as far as a process with another one may set it.
    pub fn within(self, own: Option<Limit>) -> Limit {
        let hard = own.map_or(self.hard, |own| own.hard.min(self.hard));
        Limit { soft: self.soft.min(hard), hard }
    }
}

/// The limits the daemon cares about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    Descriptors,
    Processes,
}

impl Limited {
    fn resource(self) -> Resource {
        match self {
            Limited::Descriptors => Resource::RLIMIT_NOFILE,
            Limited::Processes => Resource::RLIMIT_NPROC,
        }
    }
}

/// The limit in force.
pub fn get(what: Limited) -> io::Result<Limit> {
    let (soft, hard) = getrlimit(what.resource())?;
    Ok(Limit { soft, hard })
}

/// Sets a limit.
pub fn set(what: Limited, limit: Limit) -> io::Result<()> {
    Ok(setrlimit(what.resource(), limit.soft, limit.hard)?)
}
