//! Adds groups and takes them out, with their members.

use crate::core::process::{Event, State};
use crate::log::sinks::auto;
use crate::manager::boot::AutoLogs;
use crate::manager::daemon::Daemon;
use crate::manager::processes::{Proc, SlotId};
use crate::manager::saved::Saved;
use crate::model::config::{ChildLog, DaemonConfig, GroupConfig, ProcessConfig, StreamConfig};
use crate::model::stream::Stream;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

impl Daemon {
    /// Adds a group and starts what is to start by itself.
    ///
    /// # Errors
    /// There are as many processes as there can be, or one of the group's sockets cannot be made.
    pub fn add_group(&mut self, config: &Arc<GroupConfig>) -> Result<(), String> {
        if let Err(error) = self.sockets.open_for(config, &self.link) {
            self.sockets.close_group(&config.name, &self.link);
            return Err(error.to_string());
        }
        let mut members = Vec::with_capacity(config.processes.len());
        for process in &config.processes {
            let Some(slot) = self.procs.unused_slot() else {
                members.into_iter().for_each(|(slot, _)| self.procs.release_slot(slot));
                return Err(too_many());
            };
            let logs = create_auto_logs(&self.in_force.config().supervisord, process);
            members.push((slot, Proc::new(Arc::clone(process), config, logs)));
        }
        for (slot, proc) in &members {
            self.link.open_slot(*slot, &proc.group, &proc.config.name, self.starts_by_itself(proc));
            self.link.set_stop(*slot, &proc.config, config.priority);
        }
        for (_, proc) in &members {
            self.count_in(&proc.config, proc.is_listener);
        }
        let slots: Vec<SlotId> = members.iter().map(|(slot, _)| *slot).collect();
        self.procs.add_group(Arc::clone(config), members);
        self.connect(&slots);
        self.reckon_descriptors();
        self.tell_of_cgroups(config);
        self.announce_group(config);
        self.show_group(&config.name);
        Ok(())
    }

    /// Starts those members of a group that are to start by themselves, the most urgent first, and what they need.
    /// Whoever takes over after a crash has to know the group before its programs run.
    pub fn autostart(&mut self, group: &str, saved: &Saved) {
        self.autostart_all(&[group.into()], &HashSet::new(), saved);
        // Whoever could not start because this group was not there starts now, with what it needs.
        let waits = self.missed_by(group);
        if !waits.is_empty() {
            self.start_with_needs(&waits);
        }
    }

    /// Who is FATAL for its dependencies' sake and needs a member of a group that will not come by itself.
    fn missed_by(&self, group: &str) -> Vec<SlotId> {
        let (Some(group), Some(graph)) = (self.procs.group(group), self.dependents.graph()) else {
            return Vec::new();
        };
        let at_rest =
            group.members.iter().filter(|slot| self.procs.proc(**slot).is_some_and(|it| !it.is_active()));
        let needed_by =
            at_rest.flat_map(|slot| graph.dependents(*slot)).filter(|dependent| !dependent.is_soft);
        let is_parked = |slot: &SlotId| {
            let proc = self.procs.proc(*slot);
            proc.is_some_and(|proc| matches!(proc.process.state, State::Parked { is_fatal: true }))
        };
        let waits: BTreeSet<SlotId> = needed_by.map(|dependent| dependent.id).filter(is_parked).collect();
        waits.into_iter().collect()
    }

    /// The members of a group that are to start by themselves, the most urgent first.
    fn starting_by_itself(&self, group: &str, at_rest: &HashSet<SlotId>) -> Vec<SlotId> {
        let Some(group) = self.procs.group(group) else { return Vec::new() };
        let mut slots: Vec<(i64, SlotId)> = group
            .members
            .iter()
            .filter_map(|slot| self.procs.proc(*slot).map(|proc| (*slot, proc)))
            .filter(|(slot, proc)| self.starts_by_itself(proc) && !at_rest.contains(slot))
            .map(|(slot, proc)| (proc.config.priority, slot))
            .collect();
        // Stable: equal priorities start in the order of the configuration.
        slots.sort_by_key(|(priority, _)| *priority);
        slots.into_iter().map(|(_, slot)| slot).collect()
    }

    /// Starts processes, and before them what they need and what will not come by itself.
    pub fn start_with_needs(&mut self, slots: &[SlotId]) {
        let mut slots = self.with_needs(slots);
        // What an update takes away is not brought up again by who needs it.
        self.retain_startable(&mut slots);
        self.spawn_together(|daemon| {
            for slot in slots {
                daemon.apply(slot, Event::Start);
            }
        });
    }

    /// The same for several groups that all are there, without those that are to stay at rest.
    pub fn autostart_all(&mut self, groups: &[Arc<str>], at_rest: &HashSet<SlotId>, _: &Saved) {
        let each = groups.iter().flat_map(|group| self.starting_by_itself(group, at_rest));
        let slots: Vec<SlotId> = each.collect();
        self.start_with_needs(&slots);
    }

    /// Takes out a group that is at rest.
    pub fn remove_group(&mut self, name: &str) {
        self.remove_groups(&[name]);
    }

    /// The same for several, with one snapshot for all of them.
    pub fn remove_groups(&mut self, names: &[impl AsRef<str>]) {
        let mut gone = Vec::new();
        for name in names.iter().map(AsRef::as_ref) {
            for slot in self.last_first(name) {
                self.end_pause(slot);
            }
            let Some((_, procs)) = self.procs.remove_group(name) else { continue };
            self.disconnect(procs.iter().map(|(slot, proc)| (*slot, proc)));
            self.forget_pool(name);
            self.sockets.close_group(name, &self.link);
            gone.extend(procs);
        }
        if gone.is_empty() {
            return;
        }
        // First out of what a successor would restore, then out of the slots.
        let saved = self.save();
        gone.into_iter().for_each(|(slot, proc)| self.let_go(slot, proc, &saved));
    }

    /// Takes out one process that is at rest; its group, too, if it was the last one.
    pub fn remove_member(&mut self, group: &str, name: &str) {
        if self.procs.group(group).is_some_and(|group| group.members.len() == 1) {
            return self.remove_group(group);
        }
        self.take_out_member(group, name);
    }

    /// Takes out one process that is at rest. Its group stays, though it may be empty.
    pub(super) fn take_out_member(&mut self, group: &str, name: &str) {
        self.take_out_members(group, &[name.into()]);
    }

    /// The same for several, with one snapshot for all of them.
    pub(super) fn take_out_members(&mut self, group: &str, names: &[Arc<str>]) {
        let mut gone = Vec::with_capacity(names.len());
        for name in names {
            if let Some(slot) = self.procs.member(group, name) {
                self.end_pause(slot);
            }
            let Some((slot, proc)) = self.procs.remove_member(group, name) else { continue };
            self.disconnect([(slot, &proc)]);
            self.forget_listener(slot);
            gone.push((slot, proc));
        }
        // First out of what a successor would restore, then out of the slots.
        let saved = self.save();
        gone.into_iter().for_each(|(slot, proc)| self.let_go(slot, proc, &saved));
    }

    /// Whoever is taken out is not started again.
    fn end_pause(&mut self, slot: SlotId) {
        self.apply(slot, Event::ShutDown);
    }

    /// Adds a process to a group that is there.
    ///
    /// # Errors
    /// There are as many processes as there can be, or one of its sockets cannot be made.
    pub(super) fn add_member(
        &mut self,
        group: &GroupConfig,
        process: &Arc<ProcessConfig>,
    ) -> Result<SlotId, String> {
        self.sockets.ensure(&group.name, process, &self.link).map_err(|error| error.to_string())?;
        let slot = self.procs.unused_slot().ok_or_else(too_many)?;
        let logs = create_auto_logs(&self.in_force.config().supervisord, process);
        let proc = Proc::new(Arc::clone(process), group, logs);
        self.link.open_slot(slot, &proc.group, &process.name, self.starts_by_itself(&proc));
        self.link.set_stop(slot, process, group.priority);
        self.count_in(process, proc.is_listener);
        self.procs.add_member(&group.name, slot, proc);
        self.connect(&[slot]);
        self.add_listener(slot);
        self.show_process(slot);
        Ok(slot)
    }

    fn let_go(&mut self, slot: SlotId, mut proc: Proc, _: &Saved) {
        self.forget_probes(slot);
        self.forget_update(slot);
        self.http.feed().publish_removed(&proc.group, &proc.config.name);
        self.unnote(slot);
        self.count_out(&proc.config, proc.is_listener);
        proc.streams.finish();
        proc.streams.close(slot, &self.link);
        self.link.free_slot(slot);
        self.remove_left_cgroups();
    }
}

fn too_many() -> String {
    format!("there are {} processes, more cannot be supervised", crate::shm::layout::SLOTS)
}

/// Makes up the files that stand for `AUTO`. A stream without one goes nowhere, and the log says so.
pub(super) fn create_auto_logs(config: &DaemonConfig, process: &ProcessConfig) -> AutoLogs {
    let create = |stream, target: &StreamConfig| {
        if target.logfile != ChildLog::Auto {
            return None;
        }
        auto::create(&config.childlogdir, &process.name, stream, &config.identifier)
            .inspect_err(|error| {
                let directory = config.childlogdir.display();
                ::log::error!("could not create a log for '{}' in {directory}: {error}", process.name);
            })
            .ok()
    };
    AutoLogs {
        stdout: create(Stream::Stdout, &process.stdout),
        stderr: if process.redirect_stderr { None } else { create(Stream::Stderr, &process.stderr) },
    }
}
