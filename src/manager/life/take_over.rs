//! A manager takes the place of one that died: it restores everything and finishes what was under way.

use crate::core::process::{Event, State};
use crate::manager::boot::{ActiveGroup, MemberChange};
use crate::manager::daemon::Daemon;
use crate::manager::inputs::LoopInputs;
use crate::manager::processes::{Proc, SlotId};
use crate::manager::requests::early_answers::EarlyAnswers;
use crate::manager::streams::Streams;
use crate::manager::streams::stream_specs;
use crate::rt;
use crate::shm::layout::Text;
use crate::shm::slots::{PendingEffects, SlotContent, SpawnRecord};
use crate::sys::process;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// What was under way when the former manager died.
pub struct Restored {
    /// How far each program's creation had come.
    spawned: Vec<(SlotId, SpawnRecord)>,
    /// Who is still to be started for the first time.
    to_start: Vec<SlotId>,
    /// What was decided and may not have been done, and for which program.
    pending: Vec<(SlotId, PendingEffects, i32)>,
}

impl Daemon {
    /// Takes the place of a manager that died.
    pub fn take_over(&mut self, active: Vec<ActiveGroup>, inputs: &mut LoopInputs) {
        self.life.restore(self.link.supervisor_state());
        self.restore_servers();
        // What happens to processes from here on is an event already.
        self.events.recall(&self.link);
        self.map.restore(self.in_force.config().supervisord.processinfomapfile.clone());
        self.go_on_with_state_file();
        let had_runs = active.iter().any(|group| !group.runs.is_empty());
        let had_changes = active.iter().any(|group| !group.changes.is_empty());
        let restored = self.restore(active);
        self.trust_snapshot();
        if had_changes {
            // Some have their other configuration by now.
            self.in_force.note_change();
        }
        if had_runs {
            // A run that had not begun is forgotten, and the next start of the process is none.
            self.in_force.note_single_run();
        }
        // What is said of an adopted program depends on its pipes, and of one that was being created on what follows.
        let tells_processes = !self.procs.all().any(|(_, proc)| proc.origin.adopted)
            && restored
                .spawned
                .iter()
                .all(|(_, record)| matches!(record, SpawnRecord::None | SpawnRecord::Announced));
        let mut early_answers = EarlyAnswers::begin(inputs, tells_processes);
        self.restore_reports();
        self.restore_credentials();
        self.restore_streams(|daemon| early_answers.answer(daemon));
        let n_running = self.procs.all().filter(|(_, proc)| proc.process.state.pid().is_some()).count();
        ::log::warn!(
            "the manager was replaced (start {}), {n_running} programs went on running",
            self.link.manager_starts()
        );
        if self.link.has_untold_failure() {
            ::log::error!("{}", self.upgrade_state());
            self.link.set_failure_told();
        }
        if self.link.former_hung() {
            let seconds = self.in_force.config().supervisord.manager_watchdog.as_secs();
            ::log::error!("the former manager did not react for {seconds} seconds and was killed");
        }
        self.revive(restored);
        self.continue_end();
        self.come_up();
    }

    /// Goes on with every process that was there before.
    pub fn revive(&mut self, Restored { spawned, to_start, pending }: Restored) {
        let slots: Vec<SlotId> = self.procs.all().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.note(slot);
            self.follow_memory(slot);
        }
        self.restore_events();
        self.note_unmet_needs();
        let of_adopted =
            |daemon: &Daemon, slot: SlotId| daemon.procs.proc(slot).is_some_and(|proc| proc.origin.adopted);
        let (later, at_once): (Vec<_>, Vec<_>) =
            pending.into_iter().partition(|(slot, ..)| of_adopted(self, *slot));
        for (slot, effects, last_pid) in at_once {
            self.do_pending(slot, effects, last_pid);
        }
        // What was under way when the last manager ended is finished first.
        for (slot, record) in spawned {
            match record {
                SpawnRecord::Created(pid) if process::has_not_executed(pid, self.link.keeper_pid()) => {
                    self.follow_pending_spawn(slot);
                }
                SpawnRecord::Created(pid) => {
                    let spawn_head = self.procs.proc(slot).map_or(0, |proc| proc.spawn_head);
                    self.procs.claim_pid(pid, slot, spawn_head);
                    self.note_origin(slot, pid);
                    self.apply(slot, Event::Spawned(pid));
                }
                SpawnRecord::Failed => {
                    self.tell_of_lost_needs(slot);
                    self.spawn_again(slot);
                }
                SpawnRecord::None | SpawnRecord::Announced => {}
            }
            self.begin_streams(slot);
        }
        self.resume_sweeps();
        self.find_unseen_ends();
        self.find_left_cgroups();
        self.restore_adopted();
        for (slot, effects, last_pid) in later {
            self.do_pending(slot, effects, last_pid);
        }
        self.start_with_needs(&to_start);
        self.go_on_probing();
        self.forget_all_ended_credentials();
        self.ask_all_conditions();
        self.continue_staged_stops();
        self.go_on_updating();
    }

    /// Rebuilds the table from the groups in force and what the slots say, without pipes and logs. Returns what was
    /// under way.
    pub fn restore(&mut self, active: Vec<ActiveGroup>) -> Restored {
        let restored = self.connect_together(|daemon| daemon.restore_table(active));
        if self.procs.all().any(|(_, proc)| proc.config.wants_cgroup()) {
            self.settle_cgroups();
        }
        restored
    }

    fn restore_table(&mut self, active: Vec<ActiveGroup>) -> Restored {
        let contents = self.link.contents();
        self.procs.reserve_slots(&contents.iter().map(|content| content.slot).collect::<Vec<_>>());
        // Entries are dealt with in their order, so everything before the last applied one is done.
        if let Some(applied) = contents.iter().map(|content| content.applied).max()
            && applied > 0
        {
            self.skip_ledger_before(applied);
        }
        // Several of a former release may have the same name, which was cut then: they came in their order.
        let mut by_name: HashMap<(String, String), VecDeque<SlotContent>> = HashMap::new();
        for content in contents {
            by_name.entry((content.group.clone(), content.name.clone())).or_default().push_back(content);
        }
        let (mut spawned, mut pending) = (Vec::new(), Vec::new());
        let mut to_start = Vec::new();
        for (number, mut group) in active.into_iter().enumerate() {
            let (mut members, mut others) = (Vec::new(), Vec::new());
            let changes: HashMap<&str, &MemberChange> =
                group.changes.iter().map(|change| (&*change.name, change)).collect();
            let logs = group.logs.into_iter().chain(std::iter::repeat_with(Default::default));
            for (place, (config, logs)) in group.config.processes.iter().zip(logs).enumerate() {
                let mut proc = Proc::new(Arc::clone(config), &group.config, logs);
                let key = (Text::cut(&group.config.name).to_string(), Text::cut(&config.name).to_string());
                let (slot, is_new) = match by_name.get_mut(&key).and_then(VecDeque::pop_front) {
                    Some(content) => {
                        spawned.push((content.slot, content.spawned));
                        pending.push((content.slot, content.pending, content.last_pid));
                        self.link.set_stop(content.slot, config, group.config.priority);
                        let (slot, is_new) = (content.slot, content.to_start);
                        proc.restore(content);
                        if let Some(change) = changes.get(&*config.name) {
                            let other = self.restore_change(slot, &mut proc, change);
                            if let Some(config) = other {
                                self.link.set_stop(slot, &config, group.config.priority);
                                others.push((place, config));
                            }
                        }
                        if let Some(run) = group.runs.iter().find(|run| *run.name == *config.name) {
                            Daemon::resume_run(&mut proc, run.command.clone());
                        }
                        (slot, is_new)
                    }
                    None => {
                        // Its group was being added: the slot had not been opened yet.
                        let Some(slot) = self.procs.unused_slot() else { continue };
                        let starts = self.starts_by_itself(&proc);
                        self.link.open_slot(slot, &proc.group, &proc.config.name, starts);
                        self.link.set_stop(slot, config, group.config.priority);
                        (slot, starts)
                    }
                };
                if is_new {
                    to_start.push((number, config.priority, slot));
                }
                self.count_in(&proc.config, proc.is_listener);
                members.push((slot, proc));
            }
            for (place, config) in others {
                Arc::make_mut(&mut group.config).processes[place] = config;
            }
            let slots: Vec<SlotId> = members.iter().map(|(slot, _)| *slot).collect();
            self.procs.add_group(group.config, members);
            self.connect(&slots);
        }
        self.reckon_descriptors();
        // Their groups were being removed, or had not been added yet.
        for content in by_name.into_values().flatten() {
            Streams::abandon(content.slot, &self.link);
            self.link.free_slot(content.slot);
            self.procs.release_slot(content.slot);
        }
        // Group by group, the most urgent first.
        to_start.sort_by_key(|(group, priority, _)| (*group, *priority));
        let to_start = to_start.into_iter().map(|(_, _, slot)| slot).collect();
        pending.retain(|(_, effects, _)| *effects != PendingEffects::default());
        Restored { spawned, to_start, pending }
    }

    /// Finds everybody's pipes again and opens the logs. With many programs that takes longer than everything else
    /// here, so `meanwhile` has its turn before each. Making threads comes after that.
    pub fn restore_streams(&mut self, mut meanwhile: impl FnMut(&mut Daemon)) {
        let slots: Vec<SlotId> = self.procs.all().map(|(slot, _)| slot).collect();
        for slot in slots {
            meanwhile(self);
            let Some(proc) = self.procs.proc_mut(slot) else { continue };
            let specs = stream_specs(proc, self.in_force.config().supervisord.strip_ansi);
            proc.streams.restore(slot, specs, &self.link);
            proc.streams.economize(slot, &self.link);
        }
        // Before anybody writes to a log.
        self.procs.all().for_each(|(_, proc)| proc.streams.finish_lines());
        self.procs.all().for_each(|(_, proc)| proc.streams.settle());
        rt::make_threads();
    }

    /// Says where a program is from whose creation was the last thing a manager did.
    fn note_origin(&mut self, slot: SlotId, pid: i32) {
        let start_ticks = process::start_ticks(pid).unwrap_or(0);
        if let Some(proc) = self.procs.proc_mut(slot) {
            proc.set_origin(start_ticks, self.in_force.generation());
        }
    }

    fn skip_ledger_before(&self, applied: u64) {
        while let Some(entry) = self.link.next_entry()
            && entry.sequence < applied
        {
            self.link.advance_past(entry.sequence);
        }
    }

    /// Does what the former manager was about to do: create a program.
    fn spawn_again(&mut self, slot: SlotId) {
        let waits = self
            .procs
            .proc(slot)
            .is_some_and(|proc| matches!(proc.process.state, State::Starting { pid: None, .. }));
        if waits {
            self.spawn(slot);
        }
    }
}
