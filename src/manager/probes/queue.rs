//! Who waits to be asked because so many others are being asked.
//!
//! No timer looks after the queue: whoever is being asked answers, or is given up after its time, and then the next one has
//! its turn. The time of a try begins with the try.

use super::{Command, Probes};
use crate::manager::processes::SlotId;
use std::collections::{BTreeMap, HashMap};

/// So many are asked over the network, or looked at, at once.
const MOST_ASKED: usize = 64;

/// So many commands run at once.
const MOST_COMMANDS: usize = 8;

/// Those that wait, the first one first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Who are to be asked without a command.
    to_ask: BTreeMap<u64, SlotId>,
    /// Who are to be tried with a command.
    to_run: BTreeMap<u64, SlotId>,
    /// The number of each of them.
    numbers: HashMap<SlotId, u64>,
    n_ever: u64,
    /// How many are being asked without a command.
    pub(super) n_asked: usize,
}

impl Queue {
    /// Goes to the end, unless it waits already.
    pub(super) fn join(&mut self, slot: SlotId, is_command: bool) {
        if self.numbers.contains_key(&slot) {
            return;
        }
        self.n_ever += 1;
        self.numbers.insert(slot, self.n_ever);
        let line = if is_command { &mut self.to_run } else { &mut self.to_ask };
        line.insert(self.n_ever, slot);
    }

    /// Waits no more.
    pub(super) fn leave(&mut self, slot: SlotId) {
        if let Some(number) = self.numbers.remove(&slot) {
            self.to_ask.remove(&number);
            self.to_run.remove(&number);
        }
    }
}

impl Probes {
    /// The first of those that wait for which there is room.
    pub(super) fn next_in_queue(&self) -> Option<SlotId> {
        let asked = self.queue.to_ask.values().next().copied().filter(|_| self.queue.n_asked < MOST_ASKED);
        asked.or_else(|| {
            if self.queue.to_run.is_empty() {
                return None;
            }
            // Those that were killed have ended, or hang in the kernel: nobody waits for them.
            let n_running = self.commands.values().filter(|command| !command.is_over()).count();
            if n_running >= MOST_COMMANDS {
                return None;
            }
            let is_free = |slot: &&SlotId| {
                let is_of_former_start = |command: &Command| command.is_of_former_start();
                !self.inherited.contains_key(*slot)
                    && !self.commands.get(*slot).is_some_and(is_of_former_start)
            };
            self.queue.to_run.values().find(is_free).copied()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probes() -> Probes {
        Probes::new().expect("an epoll descriptor")
    }

    #[test]
    fn whoever_waits_first_is_asked_first() {
        let mut probes = probes();
        for slot in [7, 3, 5, 3] {
            probes.queue.join(slot, false);
        }
        probes.queue.leave(7);
        assert_eq!(probes.next_in_queue(), Some(3));
        probes.queue.leave(3);
        assert_eq!(probes.next_in_queue(), Some(5), "one that joins twice waits once");
        probes.queue.leave(5);
        assert_eq!(probes.next_in_queue(), None);
    }

    #[test]
    fn a_command_begins_when_the_one_of_a_former_manager_has_ended() {
        let mut probes = probes();
        probes.inherited.insert(1, 4711);
        probes.queue.join(1, true);
        assert_eq!(probes.next_in_queue(), None);
        probes.inherited.remove(&1);
        assert_eq!(probes.next_in_queue(), Some(1));
    }

    #[test]
    fn without_room_nobody_is_next() {
        let mut probes = probes();
        probes.queue.join(1, false);
        probes.queue.join(2, true);
        probes.queue.n_asked = MOST_ASKED;
        assert_eq!(probes.next_in_queue(), Some(2), "commands have room of their own");
        probes.queue.leave(2);
        assert_eq!(probes.next_in_queue(), None);
        assert_eq!(probes.deadline(), None, "nobody wakes the loop for one that has to wait");
        probes.queue.n_asked -= 1;
        assert_eq!(probes.next_in_queue(), Some(1));
    }
}
