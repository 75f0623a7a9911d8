//! Resource limits: reading and setting them.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::thread::CapabilitySet;
use std::io;

/// A soft and a hard limit; `u64::MAX` is "unlimited".
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limit {
    /// The limit in force; a process may raise its own up to the hard one.
    pub soft: u64,
    /// The ceiling, which only CAP_SYS_RESOURCE may raise.
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
    /// Open descriptors of a process: one more than the highest number.
    Descriptors,
    /// Processes and threads of a user.
    Processes,
    /// The size of a file, in bytes; one in memory is one.
    FileSize,
    /// The addresses of a process, in bytes.
    AddressSpace,
}

impl Limited {
    fn resource(self) -> Resource {
        match self {
            Limited::Descriptors => Resource::RLIMIT_NOFILE,
            Limited::Processes => Resource::RLIMIT_NPROC,
            Limited::FileSize => Resource::RLIMIT_FSIZE,
            Limited::AddressSpace => Resource::RLIMIT_AS,
        }
    }
}

/// What to do about an error of creating a process or a thread; empty, or to follow the error.
pub fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => {
            ".  Either the user or the control group has as many processes as it may (ulimit -u, pids.max), or there is \
             no room for their stacks (ulimit -v): raise the limit"
        }
        Some(libc::EPERM) => {
            ".  A sandbox that refuses clone3(2) should do so with ENOSYS, which lets us do without it: update the container \
             runtime, or change its seccomp profile"
        }
        _ => "",
    }
}

/// The limit in force.
///
/// # Errors
/// The system's; none is known for these limits.
pub fn get(what: Limited) -> io::Result<Limit> {
    let (soft, hard) = getrlimit(what.resource())?;
    Ok(Limit { soft, hard })
}

/// Whether this process could set the hard limit this high.
pub fn may_raise(what: Limited, hard: u64) -> bool {
    let most = std::fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|text| text.trim().parse().ok());
    let possible = what != Limited::Descriptors || most.is_none_or(|most: u64| hard <= most);
    let capabilities = rustix::thread::capabilities(None);
    let may = capabilities.is_ok_and(|own| own.effective.contains(CapabilitySet::SYS_RESOURCE));
    possible && may
}

/// Sets a limit.
///
/// # Errors
/// EPERM for a higher hard limit without CAP_SYS_RESOURCE; EINVAL for a soft limit above the hard one.
pub fn set(what: Limited, limit: Limit) -> io::Result<()> {
    Ok(setrlimit(what.resource(), limit.soft, limit.hard)?)
}
