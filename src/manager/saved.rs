//! What is in force, and whether the keeper has it for a successor.
//!
//! A manager that dies leaves the processes in their slots and everything else in a [`Snapshot`]. Each part of a snapshot
//! counts its changes, so nobody has to remember to write it again: [`Daemon::save`] compares the counts with those of
//! what the keeper holds, and writes if they differ.
//!
//! Some things must not be done before that: answering a client, starting a program of a new group, freeing a slot. They
//! take a [`Saved`], which only [`Daemon::save`] gives.

use crate::manager::boot::{ActiveGroup, Snapshot, deposit_snapshot};
use crate::manager::daemon::Daemon;
use crate::manager::processes::standing::Standing;
use crate::manager::texts::Texts;
use crate::model::config::{Config, GroupConfig, ProcessConfig};
use crate::model::state_file::{Overrides, Remembered, full_name};
use std::collections::HashSet;
use std::mem;
use std::sync::Arc;

/// That the keeper holds everything that has been decided, or that the log says why it does not: the daemon goes on
/// without a successor's knowledge rather than not at all.
#[derive(Debug)]
pub struct Saved(());

/// What is in force beside the groups and their sockets. It is changed by its methods alone, and each change is counted.
#[derive(Debug)]
pub struct InForce {
    /// The daemon's own settings. Its groups are those of the last reread.
    config: Arc<Config>,
    /// What the daemon's own exit status is to be.
    exit_status: u8,
    /// Which run of the daemon this is, counted from 1; managers of one run share it.
    generation: u32,
    /// Groups that are stopping in order to be taken out, and perhaps to be added as they are configured now.
    groups_updating: Vec<String>,
    /// Groups whose update is being carried out.
    unfinished_update: Vec<String>,
    /// Programs of a former daemon that were not taken over.
    in_the_way: Vec<Standing>,
    /// What people have changed until the daemon ends.
    until_end: Overrides,
    /// What they have changed for good, and what else outlives the daemon if there is a `state_file`.
    remembered: Remembered,
    /// Programs that are getting another number of processes.
    scaling: Vec<String>,
    /// What was put into words for the last snapshot, while more of them follow soon.
    texts: Texts,
    keeps_texts: bool,
    n_changes: u64,
    /// How often what is remembered has changed.
    n_remembered: u64,
    /// What the keeper holds; `None` before this manager knows.
    saved: Option<Versions>,
}

/// Which state of everything that stands in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Versions {
    in_force: u64,
    groups: u64,
    sockets: u64,
}

impl InForce {
    /// For a daemon that starts.
    pub fn begin(config: Config) -> InForce {
        InForce {
            config: Arc::new(config),
            exit_status: 0,
            generation: 1,
            groups_updating: Vec::new(),
            unfinished_update: Vec::new(),
            in_the_way: Vec::new(),
            until_end: Overrides::default(),
            remembered: Remembered::default(),
            scaling: Vec::new(),
            texts: Texts::default(),
            keeps_texts: false,
            n_changes: 0,
            n_remembered: 0,
            saved: None,
        }
    }

    /// As an earlier manager has left it, but for the configuration, which a resumed daemon has read anew.
    pub fn restore(config: Config, snapshot: &Snapshot) -> InForce {
        InForce {
            exit_status: snapshot.exit_status,
            generation: snapshot.generation,
            groups_updating: snapshot.groups_updating.clone(),
            unfinished_update: snapshot.unfinished_update.clone(),
            in_the_way: snapshot.in_the_way.clone(),
            until_end: snapshot.until_end.clone(),
            remembered: snapshot.remembered.clone(),
            scaling: snapshot.scaling.clone(),
            ..InForce::begin(config)
        }
    }

    /// The daemon's own settings, with the groups of the last reread, which need not be the active ones.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// What the daemon's exit status is to be.
    pub fn exit_status(&self) -> u8 {
        self.exit_status
    }

    /// Which run of the daemon this is, counted from 1.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Groups that are stopping in order to be taken out, and perhaps to be added as they are configured now.
    pub fn groups_updating(&self) -> &[String] {
        &self.groups_updating
    }

    /// Programs of a former daemon that nobody may be started beside.
    pub fn in_the_way(&self) -> &[Standing] {
        &self.in_the_way
    }

    /// Puts another configuration into force. Returns the old one.
    pub fn adopt(&mut self, config: Config) -> Arc<Config> {
        self.n_changes += 1;
        mem::replace(&mut self.config, Arc::new(config))
    }

    /// Takes over the groups of a configuration that was read again, to be added when somebody asks for that, and which of
    /// its files were left out.
    pub fn reread(&mut self, fresh: Config) {
        let Config { groups, skipped, programs, written, .. } = fresh;
        self.adopt(Config { groups, skipped, programs, written, ..(*self.config).clone() });
    }

    /// Puts other groups in the place of those of the same name.
    pub fn exchange_groups(&mut self, others: Vec<Arc<GroupConfig>>) {
        let mut groups = self.config.groups.clone();
        for other in others {
            if let Some(group) = groups.iter_mut().find(|group| group.name == other.name) {
                *group = other;
            }
        }
        self.adopt(Config { groups, ..(*self.config).clone() });
    }

    /// What people have changed until the daemon ends.
    pub fn until_end(&self) -> &Overrides {
        &self.until_end
    }

    /// What outlives the daemon if there is a `state_file`.
    pub fn remembered(&self) -> &Remembered {
        &self.remembered
    }

    /// As long as this is the same, so is what is remembered.
    pub fn n_remembered(&self) -> u64 {
        self.n_remembered
    }

    /// All that people have changed.
    pub fn overrides(&self) -> Overrides {
        self.remembered.overrides.with(&self.until_end)
    }

    /// Whether a process starts with the daemon, if somebody has said so.
    pub fn autostart_of(&self, group: &str, process: &ProcessConfig) -> Option<bool> {
        if self.until_end.autostart.is_empty() {
            return self.remembered.overrides.autostart_of(group, &process.name, &process.program);
        }
        self.overrides().autostart_of(group, &process.name, &process.program)
    }

    /// What people have changed is this from now on: until the daemon ends, and for good.
    pub fn set_overrides(&mut self, until_end: Overrides, for_good: Overrides) {
        self.n_changes += 1;
        self.until_end = until_end;
        if self.remembered.overrides != for_good {
            self.n_remembered += 1;
            self.remembered.overrides = for_good;
        }
    }

    /// What is remembered is what a file says.
    pub fn remember(&mut self, remembered: Remembered) {
        self.n_changes += 1;
        self.remembered = remembered;
    }

    /// What is remembered has to be written again, though it is the same.
    pub fn write_again(&mut self) {
        self.n_remembered += 1;
    }

    /// Another daemon begins: what was changed until the end of the former one is over, and a file says what was changed for
    /// good.
    pub fn forget_until_end(&mut self) {
        self.n_changes += 1;
        self.until_end = Overrides::default();
        self.remembered.overrides = Overrides::default();
    }

    /// Whether a process with `autostart=last` was wanted up when that was said last.
    pub fn was_wanted(&self, group: &str, process: &str) -> bool {
        let wanted = &self.remembered.wanted;
        wanted.is_empty() || wanted.get(&full_name(group, process)).copied().unwrap_or(true)
    }

    /// Remembers whether a process is wanted up.
    pub fn note_wanted(&mut self, group: &str, process: &str, is_wanted: bool) {
        if self.was_wanted(group, process) == is_wanted {
            return;
        }
        let name = full_name(group, process);
        if is_wanted {
            self.remembered.wanted.remove(&name);
        } else {
            self.remembered.wanted.insert(name, false);
        }
        self.n_changes += 1;
        self.n_remembered += 1;
    }

    /// Forgets whether processes were wanted up that are not there any more.
    pub fn forget_wanted(&mut self, is_gone: impl Fn(&str) -> bool) {
        let before = self.remembered.wanted.len();
        self.remembered.wanted.retain(|name, _| !is_gone(name));
        let changed = u64::from(self.remembered.wanted.len() < before);
        self.n_changes += changed;
        self.n_remembered += changed;
    }

    /// Programs that are getting another number of processes.
    pub fn scaling(&self) -> &[String] {
        &self.scaling
    }

    /// Remembers who is getting another number of processes, for as long as that takes.
    pub fn set_scaling(&mut self, programs: Vec<String>) {
        if self.scaling != programs {
            self.n_changes += 1;
            self.scaling = programs;
        }
    }

    /// What is to become of some process has changed.
    pub fn note_change(&mut self) {
        self.n_changes += 1;
    }

    /// No group is on its way to another configuration any more.
    pub fn end_all_updates(&mut self) {
        self.n_changes += 1;
        self.groups_updating.clear();
        self.unfinished_update.clear();
    }

    /// Several snapshots follow each other, or the last of them has been made.
    pub fn expect_snapshots(&mut self, many: bool) {
        self.keeps_texts = many;
        if !many {
            self.texts = Texts::default();
        }
    }

    /// Groups whose update a former manager may not have carried out.
    pub fn unfinished_update(&self) -> &[String] {
        &self.unfinished_update
    }

    /// An update of these groups begins to be carried out.
    pub fn carry_out_update(&mut self, groups: Vec<String>) {
        self.n_changes += 1;
        self.unfinished_update = groups;
    }

    /// The update has been carried out. That is no reason to make another snapshot: who reads that it has not finds nothing left to
    /// do.
    pub fn update_is_carried_out(&mut self) {
        self.unfinished_update.clear();
    }

    /// A single run has begun or ended.
    pub fn note_single_run(&mut self) {
        self.n_changes += 1;
    }

    /// Decides the daemon's exit status.
    pub fn exit_with(&mut self, status: u8) {
        self.n_changes += 1;
        self.exit_status = status;
    }

    /// Begins the run that follows this one.
    pub fn begin_run_after(&mut self, generation: u32) {
        self.n_changes += 1;
        self.generation = generation.saturating_add(1);
    }

    /// Remembers groups that are stopping in order to become what the configuration says.
    pub fn begin_update(&mut self, groups: impl IntoIterator<Item = String>) {
        self.n_changes += 1;
        self.groups_updating.extend(groups);
        self.groups_updating.dedup();
    }

    /// These groups are what the configuration says.
    pub fn end_updates(&mut self, groups: &HashSet<String>) {
        self.n_changes += 1;
        self.groups_updating.retain(|updating| !groups.contains(updating));
    }

    /// Remembers a process that nobody may be started beside.
    pub fn leave_standing(&mut self, standing: Standing) {
        self.n_changes += 1;
        self.in_the_way.push(standing);
    }

    /// Forgets those that are not there any more.
    pub fn forget_ended(&mut self) {
        let before = self.in_the_way.len();
        self.in_the_way.retain(Standing::lives);
        self.n_changes += u64::from(self.in_the_way.len() < before);
    }

    #[cfg(test)]
    /// The proof, where a test has nothing to save.
    pub fn saved_for_test() -> Saved {
        Saved(())
    }
}

impl Daemon {
    /// Leaves with the keeper what is in force now, unless it has that.
    pub fn save(&mut self) -> Saved {
        if self.is_saved() {
            return Saved(());
        }
        let snapshot = self.snapshot();
        let mut texts = mem::take(&mut self.in_force.texts);
        let deposited = deposit_snapshot(&self.link, &snapshot, &mut texts);
        if self.in_force.keeps_texts {
            self.in_force.texts = texts;
        }
        match deposited {
            Ok(()) => self.trust_snapshot(),
            Err(error) => ::log::error!("could not leave the configuration with the keeper: {error}"),
        }
        Saved(())
    }

    /// Whether a successor would find what is in force now.
    pub fn is_saved(&self) -> bool {
        self.in_force.saved == Some(self.versions())
    }

    /// What the keeper holds shows what is in force now: it was just written, or this manager was made from it.
    pub fn trust_snapshot(&mut self) {
        self.in_force.saved = Some(self.versions());
    }

    /// Saves what there is to save, and sends the answers that were waiting for it.
    pub fn answer_clients(&mut self) {
        let saved = self.save();
        self.answers.send(saved);
    }

    fn versions(&self) -> Versions {
        Versions {
            in_force: self.in_force.n_changes,
            groups: self.procs.groups_version(),
            sockets: self.sockets.version(),
        }
    }

    fn snapshot(&self) -> Snapshot {
        let active = self.procs.groups().iter().map(|group| ActiveGroup {
            config: Arc::clone(&group.config),
            logs: group
                .members
                .iter()
                .map(|slot| self.procs.proc(*slot).map(|proc| proc.logs.clone()).unwrap_or_default())
                .collect(),
            runs: group.members.iter().filter_map(|slot| self.procs.proc(*slot)?.single_run()).collect(),
            changes: self.member_changes(&group.members),
        });
        Snapshot {
            sockets: self.sockets.records(),
            exit_status: self.in_force.exit_status,
            generation: self.in_force.generation,
            groups_updating: self.in_force.groups_updating.clone(),
            unfinished_update: self.in_force.unfinished_update.clone(),
            in_the_way: self.in_force.in_the_way.clone(),
            until_end: self.in_force.until_end.clone(),
            remembered: self.in_force.remembered.clone(),
            scaling: self.in_force.scaling.clone(),
            config: (*self.in_force.config).clone(),
            active: active.collect(),
        }
    }
}
