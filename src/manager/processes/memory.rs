//! How much memory programs with a `memory_limit` use, with all that they have started.
//!
//! They are measured every [`INTERVAL`], all at the same moments, by a thread beside the loop. Nothing wakes the daemon
//! unless such a program runs. How often in a row a program was over its limit is lost with a manager: its successor
//! counts anew.

use crate::core::process::Event;
use crate::manager::daemon::Daemon;
use crate::manager::processes::SlotId;
use crate::model::time::Monotonic;
use crate::rt;
use crate::sys::descent::{self, Tree};
use crate::sys::{clock, process};
use std::collections::HashMap;
use std::time::Duration;

/// The time between two measurements.
const INTERVAL: Duration = Duration::from_secs(5);

/// So many measurements in a row have to be over the limit.
const TIMES: u32 = 2;

/// What one program used: its slot, its pid, and bytes.
pub type Measured = (SlotId, i32, u64);

/// Who is measured, and what came of it.
#[derive(Debug)]
pub struct Memory {
    watched: HashMap<SlotId, Watched>,
    /// When they are measured next; `None` while nobody is, or a measurement is under way.
    next: Option<Monotonic>,
    is_under_way: bool,
    measured: (async_channel::Sender<Vec<Measured>>, async_channel::Receiver<Vec<Measured>>),
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    pid: i32,
    used: Option<u64>,
    n_over: u32,
}

impl Default for Memory {
    fn default() -> Memory {
        let (watched, next) = (HashMap::new(), None);
        Memory { watched, next, is_under_way: false, measured: async_channel::bounded(1) }
    }
}

impl Memory {
    /// When they are measured next.
    pub fn deadline(&self) -> Option<Monotonic> {
        self.next
    }

    /// Waits for what came of a measurement.
    pub async fn next_measured(&self) -> Vec<Measured> {
        // We hold the sender.
        self.measured.1.recv().await.unwrap_or_default()
    }

    /// How much a process' program used when it was measured last, in bytes.
    pub fn used(&self, slot: SlotId) -> Option<u64> {
        self.watched.get(&slot)?.used
    }

    fn plan(&mut self) {
        if self.watched.is_empty() {
            self.next = None;
        } else if self.next.is_none() && !self.is_under_way {
            self.next = Some(next_moment(clock::monotonic()));
        }
    }
}

/// The next moment of a grid that all programs have in common.
fn next_moment(now: Monotonic) -> Monotonic {
    let nanos = INTERVAL.as_nanos() as u64;
    Monotonic((now.0 / nanos + 1) * nanos)
}

impl Daemon {
    /// Begins or ends to measure a process, as its state says.
    pub fn follow_memory(&mut self, slot: SlotId) {
        let proc = self.procs.proc(slot).filter(|proc| proc.config.memory_limit.is_some());
        match proc.and_then(|proc| proc.process.state.pid()) {
            Some(pid) if self.memory.watched.get(&slot).is_some_and(|watched| watched.pid == pid) => {}
            Some(pid) => {
                self.memory.watched.insert(slot, Watched { pid, used: None, n_over: 0 });
                self.memory.plan();
            }
            None if self.memory.watched.remove(&slot).is_some() => self.memory.plan(),
            None => {}
        }
    }

    /// Measures, if that is due.
    pub fn measure_memory(&mut self) {
        if self.memory.next.is_none_or(|next| next > clock::monotonic()) {
            return;
        }
        self.memory.next = None;
        // Those whose groups were removed.
        self.memory.watched.retain(|slot, _| self.procs.proc(*slot).is_some());
        let trees = self.memory.watched.iter().map(|(slot, watched)| {
            // Orphans are looked for once for all of them.
            let tree = Tree { keeper: process::own_pid(), ..self.tree(*slot, watched.pid) };
            (*slot, watched.pid, tree)
        });
        let trees: Vec<(SlotId, i32, Tree)> = trees.collect();
        if trees.is_empty() {
            return;
        }
        let (keeper, programs) = (self.link.keeper_pid(), self.procs.pids());
        self.memory.is_under_way = true;
        let sender = self.memory.measured.0.clone();
        let measure = move || {
            // In a thread that has nothing else of the loop's.
            let is_program = |pid: i32| programs.contains(&pid);
            let mut adopted = descent::adopted(keeper, &is_program);
            let measure = |(slot, pid, mut tree): (SlotId, i32, Tree)| {
                tree.known.extend(adopted.remove(&tree.mark).unwrap_or_default());
                (slot, pid, tree.memory(&is_program))
            };
            trees.into_iter().map(measure).collect::<Vec<Measured>>()
        };
        let task = async move {
            // There is room: one measurement at a time.
            let _ = sender.send(rt::unblock(measure).await).await;
        };
        rt::spawn(task).detach();
    }

    /// Acts upon what was measured.
    pub fn take_measured(&mut self, measured: Vec<Measured>) {
        self.memory.is_under_way = false;
        for (slot, pid, used) in measured {
            let Some(watched) = self.memory.watched.get_mut(&slot).filter(|watched| watched.pid == pid)
            else {
                continue;
            };
            let limit = self.procs.proc(slot).and_then(|proc| proc.config.memory_limit);
            let Some(limit) = limit else { continue };
            watched.used = Some(used);
            watched.n_over = if used > limit.bytes { watched.n_over + 1 } else { 0 };
            if watched.n_over >= TIMES {
                watched.n_over = 0;
                self.apply(slot, Event::OverMemory(used));
            }
        }
        self.memory.plan();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_measured_at_the_same_moments() {
        let seconds = |seconds: u64| Monotonic(seconds * 1_000_000_000);
        for (now, next) in [(0, 5), (1, 5), (4, 5), (5, 10), (9, 10)] {
            assert_eq!(next_moment(seconds(now)), seconds(next));
        }
    }
}
