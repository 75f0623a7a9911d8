//! Replaces the binary while every program runs on.
//!
//! The manager puts the new binary into the vault and asks for the upgrade. The keeper first starts this candidate in a
//! mode in which it only checks and ends: it must map the shared memory and understand the configuration. Only then the
//! manager makes room, and the candidate is started in its place. If the candidate does not come up, or dies soon, the
//! former binary is started again. After the trial the keeper follows, by exec in place: same pid, same children, same
//! descriptors.

use crate::keeper::run::Keeper;
use crate::model::time::Monotonic;
use crate::shm::handshake::ring;
use crate::shm::layout::*;
use crate::sys::{clock, exec, fd, signals};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering::*;
use std::time::Duration;

/// How long a candidate may take for its check, and then to come up.
const PATIENCE: Duration = Duration::from_secs(5);

/// A candidate that lives for so long stays.
const TRIAL: Duration = Duration::from_secs(30);

/// How far an upgrade has come, as the keeper knows it.
pub enum Upgrade {
    /// No upgrade is under way.
    None,
    /// The candidate checks whether it understands everything.
    Checking {
        /// The candidate, a child of the keeper.
        pid: i32,
        /// When it is killed; never again once it was.
        until: Monotonic,
    },
    /// It passed; the manager has not made room yet.
    Passed,
    /// It runs in the manager's place.
    OnTrial {
        /// When it must have come up.
        up_by: Monotonic,
        /// When the trial is passed.
        proved_at: Monotonic,
    },
}

impl Keeper {
    /// Starts the candidate's check, if the manager asks for one.
    pub(super) fn begin_upgrade(&mut self) {
        let wanted = self.manager_memory.get().upgrades_wanted.load(Acquire);
        if wanted == self.upgrades_begun {
            return;
        }
        self.upgrades_begun = wanted;
        // The binary was sent before this was asked, but perhaps after we looked for something that was sent.
        self.take_deposits();
        if matches!(self.upgrade, Upgrade::Checking { .. } | Upgrade::OnTrial { .. }) {
            // The manager asks only when none is under way; see there.
            return;
        }
        let started = self.candidate().and_then(|binary| {
            exec::start_manager(binary.as_fd(), &self.manager_arguments, &self.check_environment)
        });
        match started {
            Ok(pid) => {
                self.upgrade = Upgrade::Checking { pid, until: clock::monotonic() + PATIENCE };
                self.report(UPGRADE_CHECKING);
            }
            Err(_) => self.report(UPGRADE_REFUSED),
        }
    }

    /// A second descriptor of the binary in the vault.
    fn candidate(&self) -> std::io::Result<OwnedFd> {
        let held = self.shared.get().vault[Place::Candidate.index() as usize].load(Acquire) - 1;
        fd::duplicate(held)
    }

    fn report(&self, state: u32) {
        self.shared.get().upgrade.store((self.upgrades_begun << 8) | state, Release);
        ring(&self.manager_doorbell);
    }

    /// Whether this child is the candidate that does its check.
    pub(super) fn is_checking(&self, pid: i32) -> bool {
        matches!(self.upgrade, Upgrade::Checking { pid: candidate, .. } if candidate == pid)
    }

    /// The candidate's check has ended with this status, as wait(2) encodes it.
    pub(super) fn check_ended(&mut self, status: i32) {
        let was_killed = matches!(self.upgrade, Upgrade::Checking { until: Monotonic(u64::MAX), .. });
        let status = if was_killed { UPGRADE_NO_ANSWER } else { status };
        self.shared.get().upgrade_status.store(status, Release);
        if status == 0 {
            self.upgrade = Upgrade::Passed;
            self.report(UPGRADE_PASSED);
        } else {
            self.upgrade = Upgrade::None;
            self.report(UPGRADE_REFUSED);
        }
    }

    /// If the manager that has ended made room for the candidate, that is what is started next.
    pub(super) fn take_candidate(&mut self) -> bool {
        if !matches!(self.upgrade, Upgrade::Passed)
            || self.manager_memory.get().handing_over.load(Acquire) == 0
        {
            return false;
        }
        let Ok(candidate) = self.candidate() else { return false };
        self.former_binary = Some(std::mem::replace(&mut self.binary, candidate));
        self.binary_is_own = false;
        let now = clock::monotonic();
        self.upgrade = Upgrade::OnTrial { up_by: now + PATIENCE, proved_at: now + TRIAL };
        self.report(UPGRADE_ON_TRIAL);
        true
    }

    /// If a candidate is on trial, it has failed, with this status: the former binary is what is started next.
    pub(super) fn roll_back(&mut self, status: i32) -> bool {
        if !matches!(self.upgrade, Upgrade::OnTrial { .. }) {
            return false;
        }
        self.shared.get().upgrade_status.store(status, Release);
        if let Some(former) = self.former_binary.take() {
            self.binary = former;
            self.binary_is_own = exec::is_own_binary(&self.binary);
        }
        self.upgrade = Upgrade::None;
        self.report(UPGRADE_ROLLED_BACK);
        true
    }

    /// When the upgrade has to be looked at again even though nothing happens.
    pub(super) fn upgrade_deadline(&self) -> Option<Monotonic> {
        match self.upgrade {
            Upgrade::None | Upgrade::Passed => None,
            Upgrade::Checking { until, .. } => Some(until),
            Upgrade::OnTrial { up_by, .. } if !self.manager_is_up() => Some(up_by),
            Upgrade::OnTrial { proved_at, .. } => Some(proved_at),
        }
    }

    /// Ends waiting that has lasted too long, and trials that were passed.
    pub(super) fn watch_upgrade(&mut self) {
        if self.upgrade_deadline().is_none_or(|deadline| clock::monotonic() < deadline) {
            return;
        }
        match self.upgrade {
            Upgrade::None | Upgrade::Passed => {}
            Upgrade::Checking { pid, .. } => {
                let _ = signals::send(pid, crate::model::signal::Signal::KILL);
                // Its end is seen as that of any refusal.
                self.upgrade = Upgrade::Checking { pid, until: Monotonic(u64::MAX) };
            }
            Upgrade::OnTrial { .. } if self.manager_is_up() && self.manager.is_some() => self.follow(),
            Upgrade::OnTrial { .. } => {
                self.roll_back(UPGRADE_NO_ANSWER);
                if let Some(manager) = self.manager {
                    // Hung: the former one is started as soon as it is gone.
                    let _ = signals::send(manager.pid, crate::model::signal::Signal::KILL);
                }
            }
        }
    }

    /// Whether the manager that was started last has come up.
    pub(super) fn manager_is_up(&self) -> bool {
        self.manager_memory.get().manager_up.load(Acquire) == self.shared.get().manager_starts.load(Relaxed)
    }

    /// Becomes the new binary, in place. If that fails the old keeper simply goes on; it works with either.
    fn follow(&mut self) {
        self.upgrade = Upgrade::None;
        // It has the number under which the next keeper looks for its binary.
        drop(self.former_binary.take());
        self.report(UPGRADE_DONE);
        if fd::duplicate_to(&self.binary, self.binary_number).is_ok()
            && fd::set_cloexec(&self.deposits, false).is_ok()
        {
            exec::replace_self(&self.binary, &self.keeper_arguments, &self.keeper_environment);
            let _ = fd::set_cloexec(&self.deposits, true);
        }
    }
}
