//! How far a child has come on its way to its program.

use crate::sys::spawn::{Program, bit, steps};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::*};

/// What the child was doing when it failed, or is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Entering its control group.
    Cgroup,
    /// Moving descriptors to where the program finds them.
    Descriptors,
    /// Confining it.
    Confinement,
    /// Setting the limits that programs are to see.
    Limits,
    /// Applying one of the program's own settings.
    Settings,
    /// It was known beforehand that it cannot become the user.
    Impossible,
    /// Setting the supplementary groups, setgroups(2).
    Groups,
    /// Setting the group, setresgid(2).
    Group,
    /// Setting the user, setresuid(2).
    User,
    /// Giving up capabilities.
    Capabilities,
    /// Changing to its working directory.
    Directory,
    /// Executing the program.
    Exec,
}

impl Stage {
    const ALL: [Stage; 12] = [
        Stage::Cgroup,
        Stage::Descriptors,
        Stage::Confinement,
        Stage::Limits,
        Stage::Settings,
        Stage::Impossible,
        Stage::Groups,
        Stage::Group,
        Stage::User,
        Stage::Capabilities,
        Stage::Directory,
        Stage::Exec,
    ];

    /// The name of the capability that it takes and the number of it; capabilities(7).
    pub(super) fn capability(self) -> Option<(&'static str, u32)> {
        match self {
            Stage::Groups | Stage::Group => Some(("CAP_SETGID", 6)),
            Stage::User => Some(("CAP_SETUID", 7)),
            _ => None,
        }
    }

    /// What stands behind the error if that capability is missing.
    pub(super) fn lack(self) -> &'static str {
        match self {
            Stage::Groups | Stage::Group => " (CAP_SETGID is missing)",
            Stage::User => " (CAP_SETUID is missing)",
            _ => "",
        }
    }
}

/// How far a child has come, for other threads to see; and their way to make it end.
#[derive(Debug, Default)]
pub struct Progress {
    /// One more than the place of the stage in [`Stage::ALL`]; 0 before the first one.
    stage: AtomicU8,
    pub(super) forbidden: AtomicBool,
    /// A bit for each step of its confinement that was refused and may be.
    pub(super) refused: AtomicU64,
}

impl Progress {
    /// The keys of a program's confinement that were wished for and could not be had.
    pub fn refused(&self, program: &Program) -> Vec<&'static str> {
        let refused = self.refused.load(Acquire);
        let steps = steps(program).iter().enumerate().filter(|(place, _)| refused & bit(*place) != 0);
        steps.map(|(_, step)| step.key).collect()
    }

    /// What the child is doing, or was doing last; `None` before it does anything.
    pub fn stage(&self) -> Option<Stage> {
        let number = usize::from(self.stage.load(Acquire));
        Stage::ALL.get(number.checked_sub(1)?).copied()
    }

    /// Sees to it that a child which has not come to its exec yet ends instead. One that has no pid yet is among
    /// them, so whoever finds none after this needs not kill it.
    pub fn forbid(&self) {
        self.forbidden.store(true, SeqCst);
    }

    pub(super) fn enter(&self, stage: Stage) {
        // The numbers of the variants are their places.
        self.stage.store(stage as u8 + 1, Release);
    }
}
