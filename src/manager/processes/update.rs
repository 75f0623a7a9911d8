//! Makes the active groups what the configuration says: process by process, and nothing that stays the same is touched.
//!
//! [`crate::config::update`] says what is to be done. A process that goes on gets its new configuration at once. One that
//! is restarted has it [next](super::proc::Next): it gets it when its program has ended, and starts again. One that
//! [leaves](Leaving) is taken out when it is at rest; some come back then, because their sockets are others.
//!
//! All of this is in the snapshot before anything is stopped, so a successor finishes what a killed manager had begun.

use crate::config::update::{self, GroupAction, GroupPlan, ProcessAction, UpdatePlan, changed_keys};
use crate::control::ask::Updated;
use crate::control::programs::Scaled;
use crate::control::request::Client;
use crate::core::process::{After, Event, State};
use crate::manager::boot::{AutoLogs, MemberChange};
use crate::manager::daemon::Daemon;
use crate::manager::processes::groups::create_auto_logs;
use crate::manager::processes::proc::Next;
use crate::manager::processes::{Group, Proc, SlotId};
use crate::manager::state_file::Pending;
use crate::manager::streams::stream_specs;
use crate::model::config::{ChildLog, GroupConfig, ProcessConfig};
use crate::model::state::ProcessState;
use crate::model::state_file::full_name;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::mem;
use std::sync::Arc;

/// Processes that are on their way to another configuration, and clients that wait for that.
#[derive(Debug, Default)]
pub struct Updates {
    leaving: HashMap<SlotId, Leaving>,
    /// Those of them that have come to rest.
    at_rest: Vec<SlotId>,
    /// Those that have another configuration from their next start on, because somebody asked for that alone.
    taken: BTreeSet<SlotId>,
    /// Those that a former manager was about to start with their new configuration.
    to_start: Vec<SlotId>,
    clients: Vec<Waiting>,
    /// What is to be added when something else has gone.
    additions: VecDeque<Addition>,
    /// How many of those have been.
    n_added: u64,
}

/// Groups of the configuration, by their names.
pub type ConfiguredGroups = HashMap<Arc<str>, Arc<GroupConfig>>;

/// The part of an update that waits until what the update takes away has gone.
#[derive(Debug)]
struct Addition {
    slots: HashSet<SlotId>,
    groups: HashSet<String>,
    plan: UpdatePlan,
}

/// A process that is taken out of its group when it is at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leaving {
    /// Whether it is added anew then, as it is configured.
    returns: bool,
    /// Whether it is started then.
    starts: bool,
}

/// A client that waits until all that was to be stopped has been.
#[derive(Debug)]
struct Waiting {
    slots: HashSet<SlotId>,
    groups: HashSet<String>,
    /// How many additions have to have been made.
    additions: u64,
    updated: Updated,
    asked: Asked,
}

/// Who waits, and for what answer.
#[derive(Debug)]
pub enum Asked {
    /// For what came of an update.
    Update(Client<Updated>),
    /// For the same as a part of what came of a scale.
    Scale(Client<Scaled>, Box<Scaled>),
}

impl Updates {
    /// Nobody is on the way to anything any more.
    pub fn clear(&mut self) {
        *self = Updates::default();
    }

    fn is_empty(&self) -> bool {
        self.leaving.is_empty() && self.clients.is_empty() && self.additions.is_empty()
    }

    fn is_done(&mut self, slot: SlotId) {
        self.clients.iter_mut().for_each(|client| {
            client.slots.remove(&slot);
        });
    }

    /// A group has become what the configuration says, or `problem` is why not.
    pub fn group_is_done(&mut self, group: &str, problem: Option<String>) {
        for client in self.clients.iter_mut().filter(|client| client.groups.contains(group)) {
            client.groups.remove(group);
            client.updated.problems.extend(problem.clone().map(|problem| (group.to_string(), problem)));
        }
    }
}

impl Daemon {
    /// Carries out a plan for the groups of the last reread. The client is answered when all that was to be stopped has been
    /// and has what comes after it.
    ///
    /// `names` are the groups that the client waits for, whoever has asked for what becomes of them; all if there is none.
    pub fn update_groups(&mut self, plan: UpdatePlan, names: Option<&[String]>, asked: Option<Asked>) {
        self.forget_taken();
        let configured = self.configured_groups_of(&plan);
        self.announce_plan(&plan, &configured);
        // A scale is finished as one, without what else an update would do.
        let is_scale = !self.in_force.scaling().is_empty();
        if !is_scale {
            let names = plan.groups.iter().map(|group| group.name.clone());
            let unfinished = self.in_force.unfinished_update().iter().cloned();
            let all: BTreeSet<String> = names.chain(unfinished).collect();
            self.in_force.carry_out_update(all.into_iter().collect());
        }
        // One before anything is stopped, so that a successor knows, and others as it goes.
        self.in_force.expect_snapshots(true);
        self.save();
        // What is new may want the port of what goes.
        let something_goes = plan.groups.iter().any(takes_away)
            || self.updates.leaving.values().any(|leaving| !leaving.returns)
            || !self.in_force.groups_updating().is_empty();
        let waits = !is_scale && something_goes && plan.groups.iter().any(adds);
        let updated = self.spawn_together(|daemon| daemon.carry_out_plan(plan, &configured, !waits));
        self.in_force.set_scaling(Vec::new());
        if waits {
            self.add_later(&updated.plan);
        }
        if asked.is_none() {
            self.in_force.expect_snapshots(false);
        }
        if let Some(asked) = asked {
            let n_additions = self.updates.additions.len();
            let (mut slots, mut groups) = (HashSet::new(), HashSet::new());
            let wanted: Option<HashSet<&str>> = names.map(|all| all.iter().map(String::as_str).collect());
            let is_wanted = |group: &str| wanted.as_ref().is_none_or(|wanted| wanted.contains(group));
            let updating = self.in_force.groups_updating().iter();
            groups.extend(updating.filter(|group| is_wanted(group)).cloned());
            // Nobody waits for the end of a single run.
            slots.extend(self.under_way(is_wanted));
            let additions = if waits { self.updates.n_added + n_additions as u64 } else { 0 };
            self.updates.clients.push(Waiting { slots, groups, additions, updated, asked });
        }
        self.progress_of_updates();
    }

    /// Lets what is new in a plan wait until all that goes has gone.
    fn add_later(&mut self, plan: &UpdatePlan) {
        let going = self.updates.leaving.iter().filter(|(_, leaving)| !leaving.returns);
        let slots = going.map(|(slot, _)| *slot).collect();
        let is_configured: HashSet<&str> =
            self.in_force.config().groups.iter().map(|group| &*group.name).collect();
        // Those that are replaced come back by themselves.
        let going =
            self.in_force.groups_updating().iter().filter(|name| !is_configured.contains(name.as_str()));
        let groups = going.cloned().collect();
        self.updates.additions.push_back(Addition { slots, groups, plan: plan.clone() });
    }

    /// Adds what has been waiting for the end of something else, in the order of the updates.
    fn progress_of_additions(&mut self) {
        while let Some(addition) = self.updates.additions.front() {
            let is_there = |group: &String| self.in_force.groups_updating().contains(group);
            if addition.slots.iter().any(|slot| self.updates.leaving.contains_key(slot))
                || addition.groups.iter().any(is_there)
            {
                return;
            }
            let Some(Addition { plan, .. }) = self.updates.additions.pop_front() else { return };
            self.updates.n_added += 1;
            let configured = self.configured_groups_of(&plan);
            let problems = self.spawn_together(|daemon| daemon.carry_out_additions(&plan, &configured));
            let n_added = self.updates.n_added;
            for client in self.updates.clients.iter_mut().filter(|client| client.additions == n_added) {
                client.updated.problems.extend(problems.iter().cloned());
            }
        }
        if !self.in_force.unfinished_update().is_empty() {
            self.in_force.update_is_carried_out();
        }
    }

    /// Adds the groups and processes that are new in a plan, and starts them when all are there. Returns groups, with what
    /// went wrong in them.
    fn carry_out_additions(
        &mut self,
        plan: &UpdatePlan,
        configured: &ConfiguredGroups,
    ) -> Vec<(String, String)> {
        let (mut problems, mut groups, mut members) = (Vec::new(), Vec::new(), Vec::new());
        for group in &plan.groups {
            let Some(config) = configured.get(&*group.name) else { continue };
            let is_there = self.procs.group(&group.name).is_some();
            match group.action {
                GroupAction::Add if !is_there => match self.add_group(config) {
                    Ok(()) => groups.push(&group.name),
                    Err(problem) => problems.push((group.name.clone(), problem)),
                },
                GroupAction::Change if is_there => {
                    let (added, failed) = self.add_new_members(group, config);
                    members.extend((!added.is_empty()).then_some(added));
                    problems.extend(failed.into_iter().map(|problem| (group.name.clone(), problem)));
                }
                _ => {}
            }
        }
        if groups.is_empty() && members.is_empty() {
            return problems;
        }
        // Whoever takes over after a crash has to know them before their programs run.
        let saved = self.save();
        groups.into_iter().for_each(|group| self.autostart(group, &saved));
        for mut slots in members {
            slots.retain(|slot| self.procs.proc(*slot).is_some_and(|proc| self.starts_by_itself(proc)));
            slots.sort_by_key(|slot| self.procs.proc(*slot).map(|proc| proc.config.priority));
            self.start_with_needs(&slots);
        }
        problems
    }

    /// Adds the processes of a group that are new in its plan. Returns them, and what went wrong.
    fn add_new_members(
        &mut self,
        plan: &GroupPlan,
        configured: &Arc<GroupConfig>,
    ) -> (Vec<SlotId>, Vec<String>) {
        let by_name: HashMap<&str, &Arc<ProcessConfig>> =
            configured.processes.iter().map(|process| (&*process.name, process)).collect();
        let (mut problems, mut added) = (Vec::new(), Vec::new());
        for process in plan.processes.iter().filter(|process| process.action == ProcessAction::Add) {
            let Some(config) = by_name.get(&*process.name) else { continue };
            if self.procs.member(&plan.name, &process.name).is_some() {
                continue;
            }
            match self.add_member(configured, config) {
                Ok(slot) => added.push(slot),
                Err(problem) => problems.push(problem),
            }
        }
        if !added.is_empty() {
            self.procs.set_group_config(configured);
            self.reckon_descriptors();
            self.tell_of_cgroups(configured);
        }
        (added, problems)
    }

    /// The active groups as they will be once all that is under way has come to its end.
    pub fn coming_groups(&self) -> Vec<Arc<GroupConfig>> {
        let coming = |group: &Group| {
            let is_changing = |slot: &SlotId| self.is_going(*slot) || self.coming_config(*slot).is_some();
            if !group.members.iter().any(is_changing) {
                return Arc::clone(&group.config);
            }
            let members = group.members.iter().zip(&group.config.processes);
            let staying = members.filter(|(slot, _)| !self.is_going(**slot));
            let processes =
                staying.map(|(slot, config)| Arc::clone(self.coming_config(*slot).unwrap_or(config)));
            Arc::new(GroupConfig { processes: processes.collect(), ..GroupConfig::clone(&group.config) })
        };
        self.procs.groups().iter().map(coming).collect()
    }

    /// Whether a process is being taken away for good.
    fn is_going(&self, slot: SlotId) -> bool {
        self.updates.leaving.get(&slot).is_some_and(|leaving| !leaving.returns)
    }

    /// The configuration that a process gets as soon as what it does now is over.
    fn coming_config(&self, slot: SlotId) -> Option<&Arc<ProcessConfig>> {
        let proc = self.procs.proc(slot)?;
        // The others have it from their next start on, whenever that is.
        let is_soon =
            proc.is_in_run() || matches!(proc.process.state, State::Stopping { .. } | State::Unknown { .. });
        proc.next.as_ref().filter(|_| is_soon).map(|next| &next.config)
    }

    /// Why a process cannot be started now: an update is taking it away. `None` if it can.
    pub fn why_no_start(&self, slot: SlotId) -> Option<&'static str> {
        let group = &self.procs.proc(slot)?.group;
        let is_updating = || self.in_force.groups_updating().iter().any(|updating| **updating == **group);
        match self.updates.leaving.get(&slot) {
            Some(Leaving { returns: false, .. }) => Some("an update is taking it away"),
            Some(Leaving { returns: true, .. }) => Some("an update is replacing it"),
            None if is_updating() => Some("an update is taking its group away or replacing it"),
            None => None,
        }
    }

    /// Leaves those that can be started now.
    pub fn retain_startable(&self, slots: &mut Vec<SlotId>) {
        let updating: HashSet<&str> = self.in_force.groups_updating().iter().map(String::as_str).collect();
        if self.updates.leaving.is_empty() && updating.is_empty() {
            return;
        }
        let is_updating = |slot| self.procs.proc(slot).is_some_and(|proc| updating.contains(&*proc.group));
        slots.retain(|slot| !self.updates.leaving.contains_key(slot) && !is_updating(*slot));
    }

    /// Processes of groups that are stopping because of an update.
    fn under_way(&self, is_wanted: impl Fn(&str) -> bool) -> HashSet<SlotId> {
        let is_under_way = |slot: SlotId, proc: &Proc| {
            let is_stopping = matches!(proc.process.state, State::Stopping { .. });
            !proc.is_in_run()
                && (self.updates.leaving.contains_key(&slot) || (proc.next.is_some() && is_stopping))
        };
        let all = self.procs.all().filter(|(slot, proc)| is_under_way(*slot, proc));
        all.filter(|(_, proc)| is_wanted(&proc.group)).map(|(slot, _)| slot).collect()
    }

    /// Whether an update of a process has not come to its end.
    fn is_on_its_way(&self, slot: SlotId) -> bool {
        self.updates.leaving.contains_key(&slot)
            || self.procs.proc(slot).is_some_and(|proc| proc.next.is_some())
    }

    /// Writes down what is going to be stopped, and what is to become of it.
    fn announce_plan(&mut self, plan: &UpdatePlan, configured: &ConfiguredGroups) {
        let updating: HashSet<&String> = self.in_force.groups_updating().iter().collect();
        let goes = |group: &&GroupPlan| matches!(group.action, GroupAction::Remove | GroupAction::Replace);
        let going = plan.groups.iter().filter(goes).map(|group| &group.name);
        let going: Vec<String> = going.filter(|name| !updating.contains(name)).cloned().collect();
        if !going.is_empty() {
            self.in_force.begin_update(going);
        }
        for group in plan.groups.iter().filter(|group| !goes(group)) {
            let Some(configured) = configured.get(&*group.name) else { continue };
            let configured: HashMap<&str, &Arc<ProcessConfig>> =
                configured.processes.iter().map(|process| (&*process.name, process)).collect();
            for process in &group.processes {
                let Some(slot) = self.procs.member(&group.name, &process.name) else { continue };
                match (process.action, configured.get(&*process.name)) {
                    (ProcessAction::Remove, _) => {
                        self.updates.leaving.insert(slot, Leaving { returns: false, starts: false });
                    }
                    (ProcessAction::Restart, Some(config)) => self.announce_restart(slot, config),
                    (ProcessAction::Apply, Some(config))
                        if self.is_restarted_for(slot, config) || self.coming_config(slot).is_some() =>
                    {
                        self.announce_restart(slot, config);
                    }
                    // It was to go for good, and is wanted again.
                    (ProcessAction::Add, Some(config)) if self.is_going(slot) => {
                        let starts = self.in_force.starts_by_itself(&group.name, config);
                        self.updates.leaving.insert(slot, Leaving { returns: true, starts });
                    }
                    _ => {}
                }
            }
            self.in_force.note_change();
        }
    }

    /// Whether what could be applied to a process that runs needs a restart now: it is about to be ready in another way than
    /// its program was told.
    fn is_restarted_for(&self, slot: SlotId, config: &ProcessConfig) -> bool {
        let probe =
            |config: &ProcessConfig| config.readiness.as_ref().map(|readiness| readiness.ready.clone());
        let is_starting = |proc: &&Proc| matches!(proc.process.state, State::Starting { .. });
        self.procs.proc(slot).filter(is_starting).is_some_and(|proc| probe(&proc.config) != probe(config))
    }

    fn announce_restart(&mut self, slot: SlotId, config: &Arc<ProcessConfig>) {
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        let old = proc.usual_config();
        // Who is at rest is started as if it were added now.
        let starts = match (&proc.next, proc.state()) {
            (Some(next), ProcessState::Stopping) => next.starts,
            (None, ProcessState::Stopping) => {
                matches!(proc.process.state, State::Stopping { after: After::Start, .. })
            }
            _ => proc.is_active() || self.in_force.starts_by_itself(&proc.group, config),
        };
        if old.sockets != config.sockets || old.fcgi_socket != config.fcgi_socket {
            self.updates.leaving.insert(slot, Leaving { returns: true, starts });
        } else {
            proc.set_next(Some(Next { config: Arc::clone(config), starts }));
        }
    }

    fn carry_out_plan(&mut self, mut plan: UpdatePlan, configured: &ConfiguredGroups, adds: bool) -> Updated {
        // Who no longer depends on what goes is not to hear of its end.
        for group in plan.groups.iter_mut().filter(|group| group.action == GroupAction::Change) {
            if let Some(configured) = configured.get(&*group.name) {
                self.change_group(group, configured);
            }
        }
        let goes = |group: &&GroupPlan| matches!(group.action, GroupAction::Remove | GroupAction::Replace);
        for group in plan.groups.iter().filter(goes) {
            for slot in self.last_first(&group.name) {
                self.apply(slot, Event::Stop);
            }
        }
        let problems = if adds { self.carry_out_additions(&plan, configured) } else { Vec::new() };
        Updated { plan, problems }
    }

    fn configured_group(&self, name: &str) -> Option<Arc<GroupConfig>> {
        self.in_force.config().groups.iter().find(|group| *group.name == *name).cloned()
    }

    /// Those groups of the configuration that are wanted, found in one pass.
    pub fn configured_groups(&self, is_wanted: impl Fn(&str) -> bool) -> ConfiguredGroups {
        let wanted = self.in_force.config().groups.iter().filter(|group| is_wanted(&group.name));
        wanted.map(|group| (Arc::clone(&group.name), Arc::clone(group))).collect()
    }

    fn configured_groups_of(&self, plan: &UpdatePlan) -> ConfiguredGroups {
        let names: HashSet<&str> = plan.groups.iter().map(|group| &*group.name).collect();
        self.configured_groups(|name| names.contains(name))
    }

    /// Changes those processes of a group that stay, and stops those that go.
    fn change_group(&mut self, plan: &mut GroupPlan, configured: &Arc<GroupConfig>) {
        let by_name: HashMap<&str, &Arc<ProcessConfig>> =
            configured.processes.iter().map(|process| (&*process.name, process)).collect();
        for process in plan.processes.iter_mut().filter(|process| process.action != ProcessAction::Add) {
            let Some(slot) = self.procs.member(&plan.name, &process.name) else { continue };
            if self.updates.leaving.contains_key(&slot) {
                self.apply(slot, Event::Stop);
                // It may have been at rest before.
                self.follow_update(slot);
            } else if self.procs.proc(slot).is_some_and(|proc| proc.next.is_some()) {
                process.action = ProcessAction::Restart;
                self.restart_with_next(slot);
            } else if let Some(config) = by_name.get(&*process.name) {
                self.apply_config(slot, config);
            }
        }
        self.procs.set_group_config(configured);
        if plan.keys.contains(&"priority") {
            self.tell_keeper_how_to_stop(&plan.name);
        }
    }

    fn tell_keeper_how_to_stop(&self, group: &str) {
        let Some(group) = self.procs.group(group) else { return };
        for slot in &group.members {
            if let Some(proc) = self.procs.proc(*slot) {
                self.link.set_stop(*slot, &proc.config, group.config.priority);
            }
        }
    }

    /// Lets a process have another configuration from its next start on.
    pub fn configure_next_start(&mut self, slot: SlotId, config: &Arc<ProcessConfig>) {
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        self.updates.taken.insert(slot);
        if proc.usual_config() == config {
            // The file says again what it said before.
            return self.forget_taken();
        }
        let starts = proc.next.as_ref().is_some_and(|next| next.starts);
        proc.set_next(Some(Next { config: Arc::clone(config), starts }));
        let lives =
            matches!(proc.process.state, State::Starting { .. }) || proc.process.state.pid().is_some();
        self.in_force.note_change();
        if !lives {
            self.take_next_config(slot);
            self.apply(slot, Event::Reconfigured);
        }
    }

    /// Processes that were to have another configuration from their next start on, and whose files say again what they said
    /// before, keep what they have.
    pub fn forget_taken(&mut self) {
        for slot in mem::take(&mut self.updates.taken) {
            let Some(proc) = self.procs.proc(slot).filter(|proc| proc.next.is_some()) else { continue };
            let group = self.in_force.config().groups.iter().find(|group| group.name == proc.group);
            let configured =
                group.and_then(|group| group.processes.iter().find(|it| it.name == proc.config.name));
            let is_as_before = configured.is_none_or(|configured| configured == proc.usual_config());
            if !is_as_before {
                self.updates.taken.insert(slot);
            } else if let Some(proc) = self.procs.proc_mut(slot)
                && proc.state() != ProcessState::Stopping
            {
                proc.set_next(None);
                self.in_force.note_change();
            }
        }
    }

    /// Ends a process that has another configuration next, so that it gets that.
    fn restart_with_next(&mut self, slot: SlotId) {
        let Some(proc) = self.procs.proc(slot) else { return };
        let starts = proc.next.as_ref().is_some_and(|next| next.starts);
        if proc.is_in_run() {
            // The run goes on, and gets nothing of this. What follows it is another configuration.
            return;
        }
        match proc.process.state {
            State::Starting { pid: Some(_), .. } | State::Running { .. } | State::Failing { .. } => {
                self.apply(slot, Event::Stop);
                if starts {
                    self.apply(slot, Event::Start);
                }
            }
            State::Stopping { .. } | State::Unknown { .. } => {}
            _ => {
                self.apply(slot, Event::Stop);
                self.take_next_config(slot);
                if starts {
                    self.start_with_needs(&[slot]);
                }
            }
        }
    }

    /// A process is not to be started when it gets its other configuration: somebody has stopped it.
    pub fn withdraw_start_after_update(&mut self, slot: SlotId) {
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        if let Some(next) = proc.next.clone().filter(|next| next.starts) {
            proc.set_next(Some(Next { starts: false, ..next }));
            self.in_force.note_change();
        }
        if let Some(leaving) = self.updates.leaving.get_mut(&slot) {
            leaving.starts = false;
            self.in_force.note_change();
        }
    }

    /// The program of a process has ended: it gets the configuration that it was to have next, if there is one.
    pub(super) fn take_next_config(&mut self, slot: SlotId) {
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        if let Some(next) = proc.next.clone() {
            proc.set_next(None);
            self.reconfigure(slot, &next.config, Alive::No);
            self.updates.is_done(slot);
        } else if proc.streams.are_outdated() {
            self.renew_streams(slot);
        }
    }

    /// A process goes on with another configuration.
    fn apply_config(&mut self, slot: SlotId, config: &Arc<ProcessConfig>) {
        let Some(proc) = self.procs.proc(slot) else { return };
        let (old, lives) = (Arc::clone(proc.usual_config()), proc.process.state.pid().is_some());
        self.reconfigure(slot, config, if lives { Alive::Yes } else { Alive::No });
        self.apply(slot, Event::Reconfigured);
        if old.dependencies != config.dependencies {
            // What it has been waiting for, or has failed of, may be no condition any more.
            self.apply(slot, Event::NeedsChanged);
        }
        self.show_process(slot);
        self.start_if_mended(slot, &old);
    }

    /// Starts a process at rest that another configuration is to bring up, though none of its keys takes a restart: it had
    /// failed with the old one, or was not to start by itself.
    fn start_if_mended(&mut self, slot: SlotId, old: &ProcessConfig) {
        let Some(proc) = self.procs.proc(slot) else { return };
        let is_mended = matches!(proc.process.state, State::Fatal { .. });
        let is_at_rest = is_mended || matches!(proc.state(), ProcessState::Stopped | ProcessState::Exited);
        if is_at_rest
            && self.starts_by_itself(proc)
            && (is_mended || !self.in_force.starts_by_itself(&proc.group, old))
        {
            self.start_with_needs(&[slot]);
        }
    }

    /// Gives a process another configuration, and all that was made from the old one follows.
    fn reconfigure(&mut self, slot: SlotId, config: &Arc<ProcessConfig>, alive: Alive) {
        let Some(proc) = self.procs.proc(slot) else { return };
        let (old, is_listener) = (Arc::clone(proc.usual_config()), proc.is_listener);
        let group_priority = self.procs.group(&proc.group).map_or(0, |group| group.config.priority);
        let keys = changed_keys(&old, config);
        // An update that was withdrawn while it was under way leaves none.
        if !keys.is_empty() {
            ::log::info!("'{}' has another configuration: {}", proc.namespec(), keys.join(", "));
        }
        let logs = self.auto_logs_of(proc, config);
        self.count_out(&old, is_listener);
        self.count_in(config, is_listener);
        self.procs.set_config(slot, config);
        if let Some(proc) = self.procs.proc_mut(slot) {
            proc.set_logs(logs);
        }
        self.link.set_stop(slot, config, group_priority);
        if old.dependencies != config.dependencies {
            self.reconnect(slot, &old);
        }
        self.follow_changed_probes(slot, &old, config);
        let is_heard_otherwise = old.is_ready_by_log() != config.is_ready_by_log();
        let is_logged_otherwise =
            is_heard_otherwise || (&old.stdout, &old.stderr) != (&config.stdout, &config.stderr);
        if alive == Alive::No && (is_logged_otherwise || old.redirect_stderr != config.redirect_stderr) {
            self.renew_streams(slot);
        } else if is_logged_otherwise {
            let strip_ansi = self.in_force.config().supervisord.strip_ansi;
            if let Some(proc) = self.procs.proc_mut(slot) {
                let specs = stream_specs(proc, strip_ansi);
                proc.streams.set_limits(&specs);
                if is_heard_otherwise {
                    proc.streams.outdate();
                }
            }
        }
    }

    /// The files that stand for `AUTO` in a configuration that a process is about to get: those that it has, as far as it
    /// still wants them.
    fn auto_logs_of(&self, proc: &Proc, config: &ProcessConfig) -> AutoLogs {
        let wants = |log: &ChildLog| *log == ChildLog::Auto;
        let (stdout, stderr) =
            (wants(&config.stdout.logfile), wants(&config.stderr.logfile) && !config.redirect_stderr);
        let kept = AutoLogs {
            stdout: proc.logs.stdout.clone().filter(|_| stdout),
            stderr: proc.logs.stderr.clone().filter(|_| stderr),
        };
        if kept.stdout.is_some() == stdout && kept.stderr.is_some() == stderr {
            return kept;
        }
        let mut missing = config.clone();
        if kept.stdout.is_some() {
            missing.stdout.logfile = ChildLog::None;
        }
        if kept.stderr.is_some() {
            missing.stderr.logfile = ChildLog::None;
        }
        let made = create_auto_logs(&self.in_force.config().supervisord, &missing);
        AutoLogs { stdout: kept.stdout.or(made.stdout), stderr: kept.stderr.or(made.stderr) }
    }

    /// Closes the pipes of a process that has no program. Its next one gets others, and logs as the configuration says.
    fn renew_streams(&mut self, slot: SlotId) {
        if let Some(proc) = self.procs.proc_mut(slot) {
            proc.streams.finish();
            proc.streams.close(slot, &self.link);
        }
    }

    /// A process has come to another state, or is no more: whoever waits for its update may go on.
    pub(super) fn follow_update(&mut self, slot: SlotId) {
        if self.updates.is_empty() {
            return;
        }
        let Some(proc) = self.procs.proc(slot) else { return };
        if self.updates.leaving.contains_key(&slot) {
            if !proc.is_active() && !self.updates.at_rest.contains(&slot) {
                self.updates.at_rest.push(slot);
            }
        } else if proc.next.is_none() {
            self.updates.is_done(slot);
        } else if let State::Unknown { .. } = proc.process.state {
            let (group, name) = (proc.group.to_string(), proc.config.name.clone());
            let text = format!("{name} could not be stopped: {}", proc.refused_signal);
            for client in &mut self.updates.clients {
                if client.slots.remove(&slot) {
                    client.updated.problems.push((group.clone(), text.clone()));
                }
            }
        }
    }

    /// A process has been taken out.
    pub(super) fn forget_update(&mut self, slot: SlotId) {
        self.updates.leaving.remove(&slot);
        self.updates.is_done(slot);
    }

    /// Goes on with updates: takes out who was to be stopped and has been, and adds who is to come instead.
    pub fn progress_of_updates(&mut self) {
        self.progress_of_group_updates();
        if !self.updates.at_rest.is_empty() && self.life.is_running() {
            let at_rest = mem::take(&mut self.updates.at_rest);
            self.take_out_leaving(at_rest);
        }
        if self.life.is_running() {
            self.progress_of_additions();
        }
        let n_added = self.updates.n_added;
        let is_over = |waiting: &mut Waiting| {
            waiting.slots.is_empty() && waiting.groups.is_empty() && waiting.additions <= n_added
        };
        let over: Vec<Waiting> = self.updates.clients.extract_if(.., is_over).collect();
        if !over.is_empty() && self.updates.is_empty() {
            // The last one is made before the answer leaves.
            self.save();
            self.in_force.expect_snapshots(false);
        }
        for Waiting { updated, asked, .. } in over {
            match asked {
                Asked::Update(client) => self.answers.post(client, Ok(updated)),
                Asked::Scale(client, scaled) => {
                    self.answer_when_saved(Pending::Scaled(client, Box::new(Scaled { updated, ..*scaled })));
                }
            }
        }
    }

    /// Takes out processes that have come to rest.
    fn take_out_leaving(&mut self, slots: Vec<SlotId>) {
        let mut leaving: BTreeMap<Arc<str>, Vec<Arc<str>>> = BTreeMap::new();
        let mut returning: BTreeSet<Arc<str>> = BTreeSet::new();
        for slot in slots {
            let Some(proc) = self.procs.proc(slot).filter(|proc| !proc.is_active()) else { continue };
            match self.updates.leaving.get(&slot) {
                None => {}
                Some(Leaving { returns: true, .. }) => {
                    returning.insert(Arc::clone(&proc.group));
                }
                Some(Leaving { returns: false, .. }) => {
                    let names = leaving.entry(Arc::clone(&proc.group)).or_default();
                    names.push(Arc::clone(&proc.config.name));
                }
            }
        }
        for (group, names) in leaving {
            let forgotten: HashSet<String> = names.iter().map(|name| full_name(&group, name)).collect();
            self.in_force.forget_wanted(|wanted| forgotten.contains(wanted));
            self.take_out_members(&group, &names);
            self.close_unused_sockets(&group);
        }
        returning.into_iter().for_each(|group| self.take_out_returning(&group));
    }

    /// Takes out those of a group that come back, when all of them are at rest, because they may share sockets.
    fn take_out_returning(&mut self, group: &str) {
        let members = self.procs.group(group).map(|group| group.members.clone()).unwrap_or_default();
        let returning: Vec<(SlotId, Leaving)> = members
            .into_iter()
            .filter_map(|member| Some((member, *self.updates.leaving.get(&member)?)))
            .filter(|(_, leaving)| leaving.returns)
            .collect();
        if returning.iter().any(|(slot, _)| self.procs.proc(*slot).is_some_and(Proc::is_active)) {
            return;
        }
        let named = returning.into_iter().filter_map(|(slot, leaving)| {
            let name = Arc::clone(&self.procs.proc(slot)?.config.name);
            Some((name, leaving.starts))
        });
        let named: Vec<(Arc<str>, bool)> = named.collect();
        let names: Vec<Arc<str>> = named.iter().map(|(name, _)| Arc::clone(name)).collect();
        self.take_out_members(group, &names);
        self.close_unused_sockets(group);
        self.come_back(group, &named);
    }

    fn come_back(&mut self, group: &str, names: &[(Arc<str>, bool)]) {
        let Some(configured) = self.configured_group(group) else { return };
        let mut to_start = Vec::new();
        for (name, starts) in names {
            let Some(process) = configured.processes.iter().find(|process| process.name == *name) else {
                continue;
            };
            match self.add_member(&configured, process) {
                Ok(slot) => to_start.extend(starts.then_some(slot)),
                Err(problem) => {
                    crate::crit!("could not add '{group}:{name}': {problem}");
                    for client in &mut self.updates.clients {
                        client.updated.problems.push((group.to_string(), problem.clone()));
                    }
                }
            }
        }
        self.procs.set_group_config(&configured);
        self.save();
        self.start_with_needs(&to_start);
    }

    fn close_unused_sockets(&mut self, group: &str) {
        let Some(members) = self.procs.group(group).map(|group| group.config.processes.clone()) else {
            return;
        };
        self.sockets.close_unused(group, &members, &self.link);
    }

    /// What a successor has to know of the members of a group that are on their way to another configuration.
    pub fn member_changes(&self, members: &[SlotId]) -> Vec<MemberChange> {
        let change = |slot: &SlotId| {
            let proc = self.procs.proc(*slot)?;
            let (next, leaving) = (proc.next.as_ref(), self.updates.leaving.get(slot));
            if next.is_none() && leaving.is_none() {
                return None;
            }
            Some(MemberChange {
                name: proc.config.name.to_string(),
                next: next.map(|next| Arc::clone(&next.config)),
                pid: proc.process.state.pid().unwrap_or(0),
                returns: leaving.is_some_and(|leaving| leaving.returns),
                starts: leaving.map_or(next.is_some_and(|next| next.starts), |leaving| leaving.starts),
            })
        };
        members.iter().filter_map(change).collect()
    }

    /// Remembers what a former manager was about to do with a process, whose state is known by now. Returns the configuration
    /// that it has, if that is another one than the snapshot says.
    pub fn restore_change(
        &mut self,
        slot: SlotId,
        proc: &mut Proc,
        change: &MemberChange,
    ) -> Option<Arc<ProcessConfig>> {
        let Some(config) = &change.next else {
            let leaving = Leaving { returns: change.returns, starts: change.starts };
            self.updates.leaving.insert(slot, leaving);
            return None;
        };
        if proc.process.state.pid().is_some_and(|pid| pid == change.pid) {
            proc.set_next(Some(Next { config: Arc::clone(config), starts: change.starts }));
            return None;
        }
        // Its program has ended, and the former manager knew of that.
        let logs = self.auto_logs_of(proc, config);
        proc.set_config(Arc::clone(config));
        proc.set_logs(logs);
        if change.starts && !proc.is_active() {
            self.updates.to_start.push(slot);
        }
        Some(Arc::clone(config))
    }

    /// Goes on with the updates of a former manager.
    pub fn go_on_updating(&mut self) {
        let to_start = mem::take(&mut self.updates.to_start);
        self.start_with_needs(&to_start);
        let all = self.procs.all().map(|(slot, _)| slot);
        let slots: Vec<SlotId> = all.filter(|slot| self.is_on_its_way(*slot)).collect();
        for slot in slots {
            if self.updates.leaving.contains_key(&slot) {
                self.apply(slot, Event::Stop);
                self.follow_update(slot);
                continue;
            }
            let Some(proc) = self.procs.proc(slot) else { continue };
            let starts = proc.next.as_ref().is_some_and(|next| next.starts);
            match proc.process.state {
                // It had been stopped, and was to be started again.
                State::Stopping { after: After::Rest, .. } if starts => self.apply(slot, Event::Start),
                // It has that from its next start on, whenever that is.
                State::Starting { .. } | State::Running { .. } | State::Failing { .. } if !starts => {}
                _ => self.restart_with_next(slot),
            }
        }
        let unfinished: HashSet<String> = self.in_force.unfinished_update().iter().cloned().collect();
        if !unfinished.is_empty() {
            let (active, configured) = (self.coming_groups(), &self.in_force.config().groups);
            let plan = update::plan(&active, configured, |group| unfinished.contains(group));
            self.update_groups(plan, None, None);
        }
        self.go_on_scaling();
    }
}

/// Whether a part of a group, or all of it, goes.
fn takes_away(group: &GroupPlan) -> bool {
    group.action == GroupAction::Remove
        || group.processes.iter().any(|process| process.action == ProcessAction::Remove)
}

/// Whether something in a group is new.
fn adds(group: &GroupPlan) -> bool {
    group.action == GroupAction::Add
        || group.processes.iter().any(|process| process.action == ProcessAction::Add)
}

/// Whether a process has a program while it gets another configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alive {
    Yes,
    No,
}
