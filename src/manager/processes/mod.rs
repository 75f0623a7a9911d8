//! The table of groups and processes.
//!
//! [`apply`] lets a process take an event, [`groups`] adds and removes, [`update`] makes them what the configuration says. [`adoption`], [`standing`] and [`unseen`] find
//! what a former daemon has left; [`memory`] measures; [`trees`] signals what a program has started; [`single_run`] starts a process for
//! once; [`info_map`] writes down the same for the next daemon.

pub mod adoption;
pub mod apply;
pub mod dependencies;
pub mod groups;
pub mod info_map;
pub mod memory;
pub mod proc;
pub mod single_run;
pub mod standing;
pub mod trees;
pub mod unseen;
pub mod update;

use crate::core::process::Process;
use crate::model::config::{GroupConfig, GroupKind, ProcessConfig};
pub use crate::model::exit::PastExit;
use crate::model::time::Monotonic;
pub use proc::Proc;
use std::collections::{BTreeSet, HashMap, HashSet};
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
    /// The configuration it was added with.
    pub config: Arc<GroupConfig>,
    /// In the order of the configuration.
    pub members: Vec<SlotId>,
    by_name: HashMap<Arc<str>, SlotId>,
    /// How many of them are STARTING, RUNNING, BACKOFF or STOPPING, or EXITED and about to be started again.
    pub active: usize,
}

impl ProcessManager {
    /// The active groups, in the order in which they were added.
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

    /// The active group of this name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.group_by_name.get(name).map(|index| &self.groups[*index])
    }

    /// The process in a slot.
    pub fn proc(&self, slot: SlotId) -> Option<&Proc> {
        self.procs.get(slot as usize)?.as_ref()
    }

    /// The process in a slot, to be changed: counts as a change of the table.
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
                self.claim_pid(pid, slot, proc.spawn_head);
            }
            if let Some(deadline) = proc.process.state.deadline() {
                self.deadlines.insert((deadline, slot));
            }
            self.procs[slot as usize] = Some(proc);
        }
        self.group_by_name.insert(config.name.clone(), self.groups.len());
        self.groups.push(Group { config, members: slots, by_name, active });
    }

    /// Adds a process that has a slot to a group that is there.
    pub fn add_member(&mut self, group: &str, slot: SlotId, proc: Proc) {
        let Some(index) = self.group_by_name.get(group).copied() else { return };
        self.groups_changed();
        let group = &mut self.groups[index];
        Arc::make_mut(&mut group.config).processes.push(Arc::clone(&proc.config));
        group.members.push(slot);
        group.by_name.insert(proc.config.name.clone(), slot);
        self.procs[slot as usize] = Some(proc);
    }

    /// Gives a process another configuration. Its group says the same.
    pub fn set_config(&mut self, slot: SlotId, config: &Arc<ProcessConfig>) {
        self.groups_changed();
        let Some(proc) = self.procs.get_mut(slot as usize).and_then(Option::as_mut) else { return };
        proc.set_config(Arc::clone(config));
        let Some(group) = self.group_by_name.get(&proc.group).map(|index| &mut self.groups[*index]) else {
            return;
        };
        let place = group.members.iter().position(|member| *member == slot);
        let processes = &mut Arc::make_mut(&mut group.config).processes;
        if let Some(process) = place.and_then(|place| processes.get_mut(place)) {
            *process = Arc::clone(config);
        }
    }

    /// Takes over what a group's configuration says of the group itself, and the order of its processes. Those that it does
    /// not have come last.
    pub fn set_group_config(&mut self, config: &Arc<GroupConfig>) {
        let Some(index) = self.group_by_name.get(&config.name).copied() else { return };
        let group = &mut self.groups[index];
        let places: HashMap<&str, usize> =
            config.processes.iter().enumerate().map(|(place, process)| (&*process.name, place)).collect();
        let mut members: Vec<(SlotId, Arc<ProcessConfig>)> =
            group.members.iter().copied().zip(group.config.processes.iter().cloned()).collect();
        members.sort_by_key(|(_, process)| places.get(&*process.name).copied().unwrap_or(usize::MAX));
        let (slots, processes): (Vec<SlotId>, Vec<_>) = members.into_iter().unzip();
        let is_changed = group.members != slots
            || group.config.priority != config.priority
            || group.config.kind != config.kind;
        group.members = slots;
        let is_all = |processes: &[Arc<ProcessConfig>]| {
            processes.len() == config.processes.len()
                && processes.iter().zip(&config.processes).all(|(one, other)| Arc::ptr_eq(one, other))
        };
        group.config = if is_all(&processes) {
            Arc::clone(config)
        } else {
            Arc::new(GroupConfig { processes, ..GroupConfig::clone(config) })
        };
        if is_changed {
            self.groups_changed();
        }
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
        Arc::make_mut(&mut group.config).processes.retain(|process| *process.name != *name);
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
        proc.replace(process);
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
    pub fn claim_pid(&mut self, pid: i32, slot: SlotId, spawn_head: u64) {
        let Some(holder) = self.by_pid.get(&pid).copied() else {
            self.by_pid.insert(pid, slot);
            return;
        };
        let holder_spawn_head = self.proc(holder).map_or(0, |proc| proc.spawn_head);
        if holder_spawn_head <= spawn_head {
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

    /// The pids of all programs.
    pub fn pids(&self) -> HashSet<i32> {
        self.by_pid.keys().copied().collect()
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
