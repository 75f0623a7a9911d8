//! Creates several programs that are due at once side by side, with one thread for each processor.

use crate::core::process::{Event, State};
use crate::manager::daemon::Daemon;
use crate::manager::processes::{Proc, SlotId};
use crate::manager::spawn::jobs::{Delivery, Job, Trouble};
use crate::sys::clock;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// A crowd: fewer are created one by one sooner than threads are.
const CROWD: usize = 4;

/// So many programs for each thread are prepared ahead. Each takes descriptors.
const AHEAD: usize = 2;

/// So long the loop waits in all for those of a crowd that are late, and for each of them once that is used up.
const MOMENT_OF_CROWD: Duration = Duration::from_millis(200);
const LEAST_MOMENT: Duration = Duration::from_millis(2);

/// So many threads take the places of those of a crowd that hang. Beyond that the rest waits until they are given up.
const MOST_REPLACED: usize = 64;

/// As good as for ever.
const WITHOUT_END: Duration = Duration::from_secs(3600);

impl Daemon {
    pub(super) fn spawn_all(&mut self, mut slots: Vec<SlotId>) {
        self.spawns.looked_up = None;
        // One that was gathered may have been told to stop since, or even to start again.
        slots.retain(|slot| self.procs.proc(*slot).is_some_and(waits_for_program));
        let mut seen = std::collections::HashSet::new();
        slots.retain(|slot| seen.insert(*slot));
        let rest = if slots.len() < CROWD || self.spawns.n_threads < 2 {
            slots
        } else {
            self.spawn_side_by_side(slots)
        };
        rest.into_iter().for_each(|slot| self.spawn_alone(slot));
    }

    /// Returns those that are left to do, if there can be no threads.
    fn spawn_side_by_side(&mut self, slots: Vec<SlotId>) -> Vec<SlotId> {
        self.spawns.unheard = Some(Vec::with_capacity(slots.len()));
        let rest = self.create_side_by_side(slots);
        for slot in self.spawns.unheard.take().into_iter().flatten() {
            self.begin_streams(slot);
            self.link.beat();
        }
        rest
    }

    /// The same, but for the logs.
    fn create_side_by_side(&mut self, slots: Vec<SlotId>) -> Vec<SlotId> {
        // When this is done the queue ends, and with it the threads.
        let (jobs, queue) = async_channel::unbounded();
        let n_threads = (0..self.spawns.n_threads).filter(|_| self.hire(&queue).is_ok()).count();
        if n_threads == 0 {
            return slots;
        }
        let mut crowd = Crowd { under_way: VecDeque::new(), queue, patience: MOMENT_OF_CROWD, n_replaced: 0 };
        let mut rank = None;
        for slot in slots {
            // Those that come first by priority have been created before the next ones are.
            let former = std::mem::replace(&mut rank, self.rank(slot));
            let most = if former == rank { n_threads * AHEAD - 1 } else { 0 };
            while crowd.under_way.len() > most {
                self.conclude_first(&mut crowd);
            }
            let mut job = self.prepare(slot);
            if job.is_err() && !crowd.under_way.is_empty() {
                // Perhaps for want of descriptors that those before still hold.
                while !crowd.under_way.is_empty() {
                    self.conclude_first(&mut crowd);
                }
                job = self.prepare(slot);
            }
            match job {
                Ok(job) => {
                    crowd.under_way.push_back((slot, Arc::clone(&job.delivery), job.may_hang()));
                    // The queue has no limit of its own, and we hold its other end.
                    let _ = jobs.try_send(job);
                }
                Err(why) => self.conclude(slot, Err(Trouble::Command(why)), Event::Spawned),
            }
        }
        while !crowd.under_way.is_empty() {
            self.conclude_first(&mut crowd);
        }
        Vec::new()
    }

    /// The priorities of a process: its group's and its own.
    fn rank(&self, slot: SlotId) -> Option<(i64, i64)> {
        let proc = self.procs.proc(slot)?;
        Some((self.procs.group(&proc.group)?.config.priority, proc.config.priority))
    }

    /// Waits for the oldest of those that are under way, but not long.
    fn conclude_first(&mut self, crowd: &mut Crowd) {
        let Some((slot, delivery, may_hang)) = crowd.under_way.pop_front() else { return };
        let began = clock::monotonic();
        let patience = if may_hang { crowd.patience.max(LEAST_MOMENT) } else { WITHOUT_END };
        if let Some(outcome) = delivery.wait(patience) {
            return self.conclude(slot, outcome, Event::Spawned);
        }
        crowd.patience = crowd.patience.saturating_sub(clock::monotonic().since(began));
        if delivery.was_taken_up() && crowd.n_replaced < MOST_REPLACED {
            // A thread hangs in it.
            crowd.n_replaced += usize::from(self.hire(&crowd.queue).is_ok());
        }
        self.leave(slot, delivery);
    }
}

/// What [`Daemon::create_side_by_side`] knows of its crowd.
struct Crowd {
    /// In the order in which they were prepared, with whether somebody can hold it up.
    under_way: VecDeque<(SlotId, Arc<Delivery>, bool)>,
    queue: async_channel::Receiver<Job>,
    /// How long the loop still waits for those that are late.
    patience: Duration,
    n_replaced: usize,
}

/// Whether a process is to get a program and nobody is about to create it.
fn waits_for_program(proc: &Proc) -> bool {
    matches!(proc.process.state, State::Starting { pid: None, .. }) && proc.pending_spawn.is_none()
}
