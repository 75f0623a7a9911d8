//! Programs whose creation the loop does not wait for: pending spawns, and abandoned ones that may not have ended yet.

use crate::core::process::Event;
use crate::manager::daemon::Daemon;
use crate::manager::processes::{Proc, SlotId};
use crate::manager::spawn::jobs::{AbandonedSpawn, Created, Delivery, PATIENCE, PendingSpawn};
use crate::model::time::Monotonic;
use crate::sys::{clock, pidfd, process};
use std::sync::Arc;
use std::time::Duration;

/// So long whoever creates a program may take to notice that it has ended.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// A program that was about to be executed when its manager died is looked at for the first time after this time, and
/// after twice as long each further time: until it was executed or is given up.
const FIRST_LOOK: Duration = Duration::from_millis(1);

/// So many children of a process that were given up may hang in the kernel; then it gets no more until one has ended.
const MOST_ABANDONED: usize = 3;

impl Daemon {
    pub(super) fn leave(&mut self, slot: SlotId, delivery: Arc<Delivery>) {
        self.await_pending_spawn(slot, Some(delivery));
        let Some(proc) = self.procs.proc(slot) else { return };
        let waits_for =
            proc.pending_spawn.as_ref().map(|pending_spawn| pending_spawn.waits_for(&proc.config));
        ::log::debug!("not waiting for '{}': {}", proc.namespec(), waits_for.unwrap_or_default());
        self.show_process(slot);
    }

    /// Goes on with a program that the former manager was about to execute. Nobody reports when that happens.
    pub fn follow_pending_spawn(&mut self, slot: SlotId) {
        self.await_pending_spawn(slot, None);
    }

    fn await_pending_spawn(&mut self, slot: SlotId, delivery: Option<Arc<Delivery>>) {
        let since = clock::monotonic();
        let look_at = delivery.is_none().then_some(since + FIRST_LOOK);
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        proc.await_pending_spawn(PendingSpawn { delivery, since, look_at });
        self.spawns.waiting.push(slot);
    }

    /// When a pending spawn needs attention even though nothing happens.
    pub fn pending_spawn_deadline(&self) -> Option<Monotonic> {
        let pending =
            self.spawns.waiting.iter().filter_map(|slot| self.procs.proc(*slot)?.pending_spawn.as_ref());
        pending.map(PendingSpawn::deadline).min()
    }

    /// Takes in what has become of pending spawns.
    pub fn conclude_pending_spawns(&mut self) {
        for slot in self.spawns.waiting.clone() {
            self.conclude_pending_spawn(slot);
        }
        self.spawns.abandoned.retain(|abandoned| !abandoned.is_gone());
    }

    /// Takes in what has become of the pending spawn of one process, if it has one.
    pub fn conclude_pending_spawn(&mut self, slot: SlotId) {
        let Some(pending_spawn) = self.procs.proc(slot).and_then(|proc| proc.pending_spawn.as_ref()) else {
            return;
        };
        match &pending_spawn.delivery {
            Some(delivery) => {
                if let Some(outcome) = delivery.take() {
                    self.forget_pending_spawn(slot);
                    self.conclude(slot, outcome, Event::SpawnedLate);
                }
            }
            None => {
                let pid = self.link.spawned_pid(slot);
                if !process::has_not_executed(pid, self.link.keeper_pid()) {
                    // It was executed, or has ended, which the ledger tells.
                    self.forget_pending_spawn(slot);
                    self.begin_life(slot, Created { pid, failure: None, filter: None }, Event::SpawnedLate);
                }
            }
        }
    }

    /// As [`Daemon::conclude_pending_spawn`] for a program that is known to have been executed, because it has said
    /// something: whoever created it is about to say so, too.
    pub fn conclude_executed_spawn(&mut self, slot: SlotId) {
        let pending_spawn = self.procs.proc(slot).and_then(|proc| proc.pending_spawn.as_ref());
        let delivery = pending_spawn.and_then(|pending_spawn| pending_spawn.delivery.clone());
        let Some(outcome) = delivery.and_then(|delivery| delivery.wait(LAST_MOMENT)) else {
            return self.conclude_pending_spawn(slot);
        };
        self.forget_pending_spawn(slot);
        self.conclude(slot, outcome, Event::SpawnedLate);
    }

    /// Checks the pending spawns that are due, and gives up those that have taken too long.
    pub fn check_pending_spawns(&mut self) {
        let now = clock::monotonic();
        for slot in self.spawns.waiting.clone() {
            let Some(pending_spawn) = self.procs.proc_mut(slot).and_then(Proc::pending_spawn_mut) else {
                continue;
            };
            if now < pending_spawn.deadline() {
                continue;
            }
            let age = now.since(pending_spawn.since);
            if pending_spawn.delivery.as_ref().is_some_and(|delivery| !delivery.was_taken_up()) {
                // Others hold it up, until those are given up.
                pending_spawn.since = now;
                continue;
            }
            pending_spawn.look_at = pending_spawn.look_at.map(|_| now + age.max(FIRST_LOOK));
            self.conclude_pending_spawn(slot);
            if age >= PATIENCE {
                self.give_up(slot);
            }
        }
    }

    fn give_up(&mut self, slot: SlotId) {
        let Some(proc) = self.procs.proc(slot) else { return };
        let Some(pending_spawn) = &proc.pending_spawn else { return };
        let why = format!(
            "gave up after {} seconds of {}: a file system or its user holds it up",
            PATIENCE.as_secs(),
            pending_spawn.waits_for(&proc.config)
        );
        ::log::warn!("'{}': {why}; killing it with SIGKILL", proc.namespec());
        self.abandon(slot);
        self.apply(slot, Event::SpawnFailed(why));
    }

    /// Sees to it that what is being created for a process is never executed.
    pub fn abandon(&mut self, slot: SlotId) {
        let Some(pending_spawn) = self.forget_pending_spawn(slot) else { return };
        if pending_spawn.delivery.as_ref().is_none_or(|delivery| delivery.abandon()) {
            // If it has none yet it ends by itself.
            let pid = self.link.spawned_pid(slot);
            self.kill_abandoned(pid);
            self.spawns.abandoned.push(AbandonedSpawn { slot, pid, delivery: pending_spawn.delivery });
        }
        self.give_up_cgroup(slot);
    }

    /// Its end may stand in the ledger already, and the number be another's by now: it is signalled only as what it is.
    fn kill_abandoned(&self, pid: i32) {
        if pid > 0 && !self.procs.has_pid(pid) {
            pidfd::kill_if(pid, || process::is_child_of(pid, self.link.keeper_pid()));
        }
    }

    fn forget_pending_spawn(&mut self, slot: SlotId) -> Option<PendingSpawn> {
        self.spawns.waiting.retain(|waiting| *waiting != slot);
        self.procs.proc_mut(slot)?.take_pending_spawn()
    }

    /// The process whose pending spawn has this pid.
    pub fn pending_slot_of(&self, pid: i32) -> Option<SlotId> {
        self.spawns.waiting.iter().copied().find(|slot| self.is_pending_spawn(*slot, pid))
    }

    fn is_pending_spawn(&self, slot: SlotId, pid: i32) -> bool {
        let pending_spawn = self.procs.proc(slot).and_then(|proc| proc.pending_spawn.as_ref());
        // Until it begins the slot has the pid of its predecessor.
        pending_spawn.is_some_and(PendingSpawn::may_exist) && self.link.spawned_pid(slot) == pid
    }

    /// A child has ended whose pid belongs to no process. Returns the process whose pending spawn it was; the pid is that
    /// process' from now on.
    pub fn pending_spawn_ended(&mut self, pid: i32) -> Option<SlotId> {
        let slot = self.pending_slot_of(pid)?;
        let pending_spawn = self.forget_pending_spawn(slot)?;
        // Whoever created it hears of its end, too, at this moment.
        let outcome = pending_spawn.delivery.and_then(|delivery| delivery.wait(LAST_MOMENT));
        let outcome = outcome.unwrap_or(Ok(Created { pid, failure: None, filter: None }));
        self.conclude(slot, outcome, Event::SpawnedLate);
        self.procs.release_pid(pid)
    }

    /// Whether the child with this pid was an abandoned spawn.
    pub fn abandoned_spawn_ended(&mut self, pid: i32) -> bool {
        let is_it = |abandoned: &mut AbandonedSpawn| {
            abandoned.pid == pid || (abandoned.pid == 0 && abandoned.was(pid))
        };
        self.spawns.abandoned.extract_if(.., is_it).count() > 0
    }

    /// # Errors
    /// Too many that were given up hang in the kernel.
    pub(super) fn may_have_another(&mut self, slot: SlotId) -> Result<(), String> {
        self.spawns.abandoned.retain(|abandoned| !abandoned.is_gone());
        let of_slot = || self.spawns.abandoned.iter().filter(|abandoned| abandoned.slot == slot);
        // While one has no pid yet, the kernel is going to write it where the next one's would be.
        if of_slot().any(|abandoned| abandoned.pid == 0) || of_slot().count() >= MOST_ABANDONED {
            return Err(
                "its former tries were killed and have not ended: they hang in the kernel".to_string()
            );
        }
        Ok(())
    }
}

impl AbandonedSpawn {
    /// Whether nothing is left of it; what the keeper collects is told by the ledger.
    fn is_gone(&self) -> bool {
        self.pid == 0 && self.delivery.as_ref().is_none_or(|delivery| delivery.is_over())
    }

    fn was(&self, pid: i32) -> bool {
        let outcome = self.delivery.as_ref().and_then(|delivery| delivery.take());
        matches!(outcome, Some(Ok(created)) if created.pid == pid)
    }
}
