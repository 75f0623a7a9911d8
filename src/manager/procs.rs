//! The table of everything that is supervised.

use crate::core::process::Process;
use crate::manager::births::Newborn;
use crate::manager::boot::AutoLogs;
use crate::manager::requests::waiters::Waiter;
use crate::manager::streams::Streams;
use crate::model::config::{GroupConfig, GroupKind, ProcessConfig};
pub use crate::model::exit::PastExit;
use crate::model::exit::{ExitStatus, Tally};
use crate::model::namespec;
use crate::model::state::ProcessState;
use crate::model::time::{Monotonic, Wall};
use crate::shm::slots::{Origin, SlotContent};
use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::Deref;
use std::sync::Arc;

/// The number of a slot in the memory shared with the keeper; with it a process is found at once.
pub type SlotId = u32;

/// Every process of every active group, and the ways to find one: by name, by pid, by deadline.
#[derive(Debug, Default)]
pub struct ProcessManager {
    /// In the order in which they were added.
    groups: Vec<Group>,
    group_by_name: HashMap<Arc<str>, usize>,
    /// Indexed by slot.
    procs: Vec<Option<Proc>>,
    free: Vec<SlotId>,
    by_pid: HashMap<i32, SlotId>,
    /// Pids that two processes have, because the kernel gave it to a new one before we heard of the end of
    /// the old one: the new one.
    shadowed: Vec<(i32, SlotId)>,
    deadlines: BTreeSet<(Monotonic, SlotId)>,
    /// How many processes are neither stopped nor at rest.
    active: usize,
    /// How many of them are event listeners.
    active_listeners: usize,
    /// How often something may have changed.
    version: u64,
    /// How often a group or a member came or went.
    groups_version: u64,
}

/// An active group.
#[derive(Debug)]
pub struct Group {
    pub config: Arc<GroupConfig>,
    /// In the order of the configuration.
    pub members: Vec<SlotId>,
    by_name: HashMap<Arc<str>, SlotId>,
    /// How many of them are STARTING, RUNNING, BACKOFF or STOPPING, or EXITED and about to be started again.
    pub active: usize,
}

/// One process. What is known of it is there for everybody to read (see [`Facts`]); it changes by what is said here.
#[derive(Debug)]
pub struct Proc {
    facts: Facts,
    pub streams: Streams,
    waiters: Vec<Waiter>,
}

/// What is known of a process. Nobody outside this file can write to it.
#[derive(Debug)]
pub struct Facts {
    pub config: Arc<ProcessConfig>,
    pub group: Arc<str>,
    pub is_listener: bool,
    pub process: Process,
    /// How often its program was started.
    pub starts: u32,
    /// One more than the number of the last ledger entry that went into it.
    pub applied: u64,
    /// The ledger's head when its program was created.
    pub born_at: u64,
    /// Where its program is from.
    pub origin: Origin,
    /// That of its configuration, once somebody wanted to know.
    pub fingerprint: OnceCell<u64>,
    /// What went wrong between the creation of its program and the first instruction.
    failure: Option<String>,
    /// Its program is being created, and the loop does not wait for that.
    pub newborn: Option<Newborn>,
    /// Why the last signal to it could not be sent; empty if it could.
    pub refused_signal: String,
    pub logs: AutoLogs,
    /// The last exits that this manager saw, the latest last.
    pub past: VecDeque<PastExit>,
    /// All the exits that this manager saw.
    pub tally: Tally,
    /// Since when it has been on its way back after an exit that nobody asked for.
    down_since: Option<Monotonic>,
}

impl Deref for Proc {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.facts
    }
}

/// So many exits of each process are remembered.
const PAST_EXITS: usize = 10;

impl Proc {
    pub fn new(config: Arc<ProcessConfig>, group: &GroupConfig, logs: AutoLogs) -> Proc {
        let facts = Facts {
            config,
            group: group.name.clone(),
            is_listener: matches!(group.kind, GroupKind::EventListener(_)),
            process: Process::default(),
            starts: 0,
            applied: 0,
            born_at: 0,
            origin: Origin::default(),
            fingerprint: OnceCell::new(),
            failure: None,
            newborn: None,
            refused_signal: String::new(),
            logs,
            past: VecDeque::new(),
            tally: Tally::default(),
            down_since: None,
        };
        Proc { facts, streams: Streams::default(), waiters: Vec::new() }
    }

    /// Goes on where an earlier manager was with it.
    pub fn resume(&mut self, content: SlotContent) {
        self.facts.process = content.process;
        self.facts.starts = content.starts;
        self.facts.applied = content.applied;
        self.facts.born_at = content.born_at;
        self.facts.origin = content.origin;
    }

    /// Its program is about to be created, with the ledger's head there.
    pub fn creation_begins(&mut self, ledger_head: u64) {
        self.facts.born_at = ledger_head;
    }

    /// Its program was created. `failure` is what went wrong before the first instruction.
    pub fn program_created(&mut self, start_ticks: u64, generation: u32, failure: Option<String>) {
        self.facts.starts = self.starts.saturating_add(1);
        self.facts.fingerprint = OnceCell::new();
        self.facts.failure = failure;
        self.set_origin(start_ticks, generation);
    }

    /// Its program is one that this daemon has created.
    pub fn set_origin(&mut self, start_ticks: u64, generation: u32) {
        self.facts.origin = Origin { start_ticks, generation, adopted: false };
    }

    /// Its program is one that a former daemon has created.
    pub fn adopt(&mut self, fingerprint: u64, starts: u32, start_ticks: u64, generation: u32) {
        self.facts.fingerprint = fingerprint.into();
        self.facts.starts = starts;
        self.facts.origin = Origin { start_ticks, generation, adopted: true };
    }

    /// The adopted program has ended, and none came in its place.
    pub fn forget_origin(&mut self) {
        self.facts.origin = Origin::default();
    }

    /// Its program is being created, and the loop does not wait for that.
    pub fn await_newborn(&mut self, newborn: Newborn) {
        self.facts.newborn = Some(newborn);
    }

    pub fn newborn_mut(&mut self) -> Option<&mut Newborn> {
        self.facts.newborn.as_mut()
    }

    pub fn take_newborn(&mut self) -> Option<Newborn> {
        self.facts.newborn.take()
    }

    /// A signal to it could not be sent.
    pub fn signal_refused(&mut self, why: String) {
        self.facts.refused_signal = why;
    }

    /// Somebody waits for a change of its state.
    pub fn wait(&mut self, waiter: Waiter) {
        self.waiters.push(waiter);
    }

    /// Takes out those who wait for what `is_over` says of them.
    pub fn take_waiters(&mut self, mut is_over: impl FnMut(&mut Waiter) -> bool) -> Vec<Waiter> {
        self.waiters.extract_if(.., |waiter| is_over(waiter)).collect()
    }

    pub fn has_waiters(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// It has been on its way back since then, after an exit that nobody asked for.
    pub fn is_down(&mut self, since: Monotonic) {
        self.facts.down_since = Some(since);
    }

    /// It is not on its way back any more. Returns since when it was.
    pub fn is_not_down(&mut self) -> Option<Monotonic> {
        self.facts.down_since.take()
    }

    /// Remembers an exit, and forgets the oldest one.
    fn remember(&mut self, exit: PastExit) {
        if self.past.len() == PAST_EXITS {
            self.facts.past.pop_front();
        }
        self.facts.tally.count(exit.status);
        self.facts.past.push_back(exit);
    }

    /// The ledger has told that its program has ended. Returns what went wrong before its first instruction, if
    /// anything did.
    pub fn end_was_recorded(&mut self, sequence: u64) -> Option<String> {
        self.facts.applied = sequence + 1;
        self.facts.failure.take()
    }

    /// Remembers that its program has ended, before the state machine hears of it.
    pub fn remember_end(&mut self, pid: i32, status: ExitStatus, at: Wall, ended: Monotonic) {
        let lasted = ended.since(self.process.started);
        // As the state machine judges it: an end before `startsecs` is never what was expected.
        let too_soon = self.state() == ProcessState::Starting && lasted < self.config.startsecs;
        let expected = self.state() == ProcessState::Stopping
            || matches!(status, ExitStatus::Code(code) if !too_soon && self.config.exitcodes.contains(&code));
        self.remember(PastExit { at, pid, status, expected, lasted });
    }

    pub fn state(&self) -> ProcessState {
        self.process.state.kind()
    }

    /// Whether it keeps its group from being at rest.
    pub fn is_active(&self) -> bool {
        self.process.state.is_active()
    }

    /// Whether it runs and nothing it writes reaches its log.
    pub fn is_mute(&self) -> bool {
        self.origin.adopted && self.process.state.pid().is_some() && !self.streams.are_connected()
    }

    /// How the process is named where names have to be unique.
    pub fn namespec(&self) -> String {
        namespec::display(&self.group, &self.config.name)
    }
}

impl ProcessManager {
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// As long as this is the same nothing has changed, but for what an adopted program's pipes are connected to.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// As long as this is the same there are the same groups with the same members.
    pub fn groups_version(&self) -> u64 {
        self.groups_version
    }

    pub fn group(&self, name: &str) -> Option<&Group> {
        self.group_by_name.get(name).map(|index| &self.groups[*index])
    }

    pub fn proc(&self, slot: SlotId) -> Option<&Proc> {
        self.procs.get(slot as usize)?.as_ref()
    }

    pub fn proc_mut(&mut self, slot: SlotId) -> Option<&mut Proc> {
        self.version += 1;
        self.procs.get_mut(slot as usize)?.as_mut()
    }

    /// A member of a group by its name.
    pub fn member(&self, group: &str, name: &str) -> Option<SlotId> {
        self.group(group)?.by_name.get(name).copied()
    }

    /// Every process, group by group.
    pub fn all(&self) -> impl Iterator<Item = (SlotId, &Proc)> {
        self.groups
            .iter()
            .flat_map(|group| &group.members)
            .filter_map(|slot| self.proc(*slot).map(|proc| (*slot, proc)))
    }

    /// How many processes are not at rest.
    pub fn active(&self) -> usize {
        self.active
    }

    /// The same without event listeners, which run as long as the daemon does.
    pub fn active_programs(&self) -> usize {
        self.active - self.active_listeners
    }

    /// A slot that nobody uses.
    ///
    /// `None` if there are as many processes as there can be.
    pub fn unused_slot(&mut self) -> Option<SlotId> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        if self.procs.len() >= crate::shm::layout::SLOTS {
            return None;
        }
        self.procs.push(None);
        Some(self.procs.len() as SlotId - 1)
    }

    /// Marks the slots that a former manager used, so that only others count as unused.
    pub fn reserve_slots(&mut self, used: &[SlotId]) {
        let len = used.iter().map(|slot| *slot as usize + 1).max().unwrap_or(0);
        self.procs.resize_with(len.max(self.procs.len()), || None);
        let used: std::collections::HashSet<SlotId> = used.iter().copied().collect();
        self.free = (0..self.procs.len() as SlotId).rev().filter(|slot| !used.contains(slot)).collect();
    }

    /// Gives back a slot that was reserved and is not needed.
    pub fn release_slot(&mut self, slot: SlotId) {
        self.free.push(slot);
    }

    /// Adds a group whose members have slots.
    pub fn add_group(&mut self, config: Arc<GroupConfig>, members: Vec<(SlotId, Proc)>) {
        self.groups_changed();
        let slots = members.iter().map(|(slot, _)| *slot).collect();
        let by_name = members.iter().map(|(slot, proc)| (proc.config.name.clone(), *slot)).collect();
        let active = members.iter().filter(|(_, proc)| proc.is_active()).count();
        self.active += active;
        if matches!(config.kind, GroupKind::EventListener(_)) {
            self.active_listeners += active;
        }
        for (slot, proc) in members {
            // The ledger does not tell of those that were adopted, so their pids stay out of it.
            if let Some(pid) = proc.process.state.pid().filter(|_| !proc.origin.adopted) {
                self.claim_pid(pid, slot, proc.born_at);
            }
            if let Some(deadline) = proc.process.state.deadline() {
                self.deadlines.insert((deadline, slot));
            }
            self.procs[slot as usize] = Some(proc);
        }
        self.group_by_name.insert(config.name.clone(), self.groups.len());
        self.groups.push(Group { config, members: slots, by_name, active });
    }

    /// Takes a group out, with its processes, which must all be at rest.
    pub fn remove_group(&mut self, name: &str) -> Option<(Group, Vec<(SlotId, Proc)>)> {
        let index = self.group_by_name.remove(name)?;
        self.groups_changed();
        let group = self.groups.remove(index);
        for place in self.group_by_name.values_mut().filter(|place| **place > index) {
            *place -= 1;
        }
        let mut procs = Vec::new();
        for slot in &group.members {
            if let Some(proc) = self.procs[*slot as usize].take() {
                if let Some(deadline) = proc.process.state.deadline() {
                    self.deadlines.remove(&(deadline, *slot));
                }
                procs.push((*slot, proc));
            }
            self.free.push(*slot);
        }
        Some((group, procs))
    }

    /// Takes one process, which must be at rest, out of its group. From then on the group differs from what
    /// the file says, until it is added anew.
    pub fn remove_member(&mut self, group: &str, name: &str) -> Option<(SlotId, Proc)> {
        let index = *self.group_by_name.get(group)?;
        let group = &mut self.groups[index];
        let slot = group.by_name.remove(name)?;
        group.members.retain(|member| *member != slot);
        let mut config = (*group.config).clone();
        config.processes.retain(|process| *process.name != *name);
        group.config = Arc::new(config);
        self.groups_changed();
        self.drop_deadline(slot);
        self.free.push(slot);
        self.procs[slot as usize].take().map(|proc| (slot, proc))
    }

    fn groups_changed(&mut self) {
        self.version += 1;
        self.groups_version += 1;
    }

    /// Puts a new state of affairs in the place of the old one; the counts and deadlines follow.
    pub fn replace(&mut self, slot: SlotId, process: Process) {
        self.version += 1;
        let Some(proc) = self.procs.get_mut(slot as usize).and_then(Option::as_mut) else { return };
        let (before, after) = (proc.is_active(), process.state.is_active());
        let (old_deadline, new_deadline) = (proc.process.state.deadline(), process.state.deadline());
        proc.facts.process = process;
        let is_listener = proc.is_listener;
        if old_deadline != new_deadline {
            self.deadlines.extend(new_deadline.map(|deadline| (deadline, slot)));
            if let Some(deadline) = old_deadline {
                self.deadlines.remove(&(deadline, slot));
            }
        }
        if before != after {
            let index = self.group_by_name.get(&proc.group).copied();
            let group = index.map(|index| &mut self.groups[index].active);
            let listeners = is_listener.then_some(&mut self.active_listeners);
            for count in [Some(&mut self.active), group, listeners].into_iter().flatten() {
                *count = if after { *count + 1 } else { count.saturating_sub(1) };
            }
        }
    }

    /// Remembers whose pid this is from now on.
    ///
    /// If another process still has it, that one has ended and its exit comes first in the ledger.
    pub fn claim_pid(&mut self, pid: i32, slot: SlotId, born_at: u64) {
        let Some(holder) = self.by_pid.get(&pid).copied() else {
            self.by_pid.insert(pid, slot);
            return;
        };
        let holder_born_at = self.proc(holder).map_or(0, |proc| proc.born_at);
        if holder_born_at <= born_at {
            self.shadowed.push((pid, slot));
        } else {
            self.by_pid.insert(pid, slot);
            self.shadowed.push((pid, holder));
        }
    }

    /// Whose program has this pid.
    pub fn slot_of_pid(&self, pid: i32) -> Option<SlotId> {
        self.by_pid.get(&pid).copied()
    }

    /// Whether a process is known by this pid.
    pub fn has_pid(&self, pid: i32) -> bool {
        self.by_pid.contains_key(&pid)
    }

    /// Whose exit this is; the pid is free again afterwards.
    pub fn release_pid(&mut self, pid: i32) -> Option<SlotId> {
        let slot = self.by_pid.remove(&pid)?;
        if let Some(index) = self.shadowed.iter().position(|(shadowed, _)| *shadowed == pid) {
            let (_, next) = self.shadowed.swap_remove(index);
            self.by_pid.insert(pid, next);
        }
        Some(slot)
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// A process whose deadline has come.
    pub fn due(&self, now: Monotonic) -> Option<SlotId> {
        self.deadlines.first().filter(|(deadline, _)| *deadline <= now).map(|(_, slot)| *slot)
    }

    /// Forgets a deadline that came to nothing, so that it does not come again.
    pub fn drop_deadline(&mut self, slot: SlotId) {
        if let Some(deadline) = self.proc(slot).and_then(|proc| proc.process.state.deadline()) {
            self.deadlines.remove(&(deadline, slot));
        }
    }
}
