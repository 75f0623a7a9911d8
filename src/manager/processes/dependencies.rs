//! What processes depend on, in the loop: the graph follows the table, and whoever's conditions have changed is told.
//!
//! The graph holds all processes as soon as one of them depends on something, and nobody before: who does not use it pays
//! nothing. A change of one process may be followed by changes of its dependents, and those by more. They wait in a queue,
//! so a chain may be as long as it likes. Conditions are about what is so *now*; a manager that takes over asks everybody's
//! conditions once, and what was missed is made up for.

use crate::core::dependencies::{Active, Change, Facts, Graph, Member, Standing, StopOrder, Verdict};
use crate::core::process::{After, Event, Process, State};
use crate::manager::daemon::Daemon;
use crate::manager::processes::{Proc, SlotId};
use crate::model::config::ProcessConfig;
use crate::model::dependency::DependsRestart;
use crate::model::exit::ExitStatus;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

/// So many of those that a process waits for are named.
const MOST_NAMED: usize = 3;

/// The graph, and who is still to be told of a change.
#[derive(Debug, Default)]
pub struct Dependents {
    /// Empty as long as nobody depends on anything.
    graph: Graph,
    /// How many processes depend on something.
    n_dependents: usize,
    changed: VecDeque<Change>,
    /// How many of them, the last ones, a successor would not know of.
    n_unsaved: usize,
    /// Processes that come into the graph together, while they are gathered.
    gathered: Option<Vec<SlotId>>,
    /// How many events are being taken, one inside the other.
    depth: u32,
    is_telling: bool,
    /// The stops that go layer by layer.
    stops: Vec<StopOrder>,
    /// Those that look different to their dependents since the last turn of the loop.
    look_different: BTreeSet<SlotId>,
}

impl Dependents {
    /// The graph, if anybody depends on anything.
    pub fn graph(&self) -> Option<&Graph> {
        (self.n_dependents > 0).then_some(&self.graph)
    }
}

/// Whether a process restarts or stops with its dependencies.
fn minds(proc: &Proc) -> bool {
    proc.config.dependencies.depends_restart != DependsRestart::None
}

fn depends(config: &ProcessConfig) -> bool {
    !config.dependencies.depends_on.is_empty()
}

/// Where a process stands for its dependents.
fn standing(process: &Process, config: &ProcessConfig) -> Standing {
    let is_good = |status| matches!(status, ExitStatus::Code(code) if config.exitcodes.contains(&code));
    Standing::from(Facts {
        state: process.state.kind(),
        comes_again: matches!(
            process.state,
            State::Exited { start_at: Some(_) } | State::Fatal { retry_at: Some(_) }
        ),
        // What has run for too long has failed whatever its exit code is.
        was_expected: process.spawnerr.is_empty() && process.exit.is_some_and(is_good),
        is_healthy: process.health.is_healthy == Some(true),
    })
}

fn member(slot: SlotId, proc: &Proc) -> Member<'_> {
    Member {
        id: slot,
        group: &proc.group,
        program: &proc.config.program,
        name: &proc.config.name,
        dependencies: &proc.config.dependencies,
        standing: standing(&proc.process, &proc.config),
    }
}

impl Daemon {
    /// Processes have come into the table: those in these slots.
    pub fn connect(&mut self, slots: &[SlotId]) {
        if let Some(gathered) = &mut self.dependents.gathered {
            return gathered.extend(slots);
        }
        let procs = &self.procs;
        let come = || slots.iter().filter_map(|slot| Some((*slot, procs.proc(*slot)?)));
        let n_new = come().filter(|(_, proc)| depends(&proc.config)).count();
        let dependents = &mut self.dependents;
        let changes = if dependents.n_dependents == 0 && n_new > 0 {
            let all: Vec<Member<'_>> = procs.all().map(|(slot, proc)| member(slot, proc)).collect();
            dependents.graph.replace(&[], &all)
        } else if dependents.n_dependents > 0 {
            let come: Vec<Member<'_>> = come().map(|(slot, proc)| member(slot, proc)).collect();
            dependents.graph.replace(&[], &come)
        } else {
            Vec::new()
        };
        dependents.n_dependents += n_new;
        if dependents.n_dependents > 0 {
            dependents.look_different.extend(slots);
        }
        self.remember(&changes);
    }

    /// Does something that may bring many processes into the table; they come into the graph when it is done, all at once.
    pub fn connect_together<T>(&mut self, act: impl FnOnce(&mut Daemon) -> T) -> T {
        self.dependents.gathered.get_or_insert_default();
        let result = act(self);
        if let Some(slots) = self.dependents.gathered.take() {
            self.connect(&slots);
        }
        result
    }

    /// Processes have left the table.
    pub fn disconnect<'a>(&mut self, gone: impl IntoIterator<Item = (SlotId, &'a Proc)>) {
        if self.dependents.n_dependents == 0 {
            return;
        }
        let mut slots = Vec::new();
        for (slot, proc) in gone {
            slots.push(slot);
            self.dependents.n_dependents -= usize::from(depends(&proc.config));
        }
        if self.dependents.n_dependents == 0 {
            self.dependents.graph = Graph::new();
            return;
        }
        // Afterwards nobody knows who depended on them.
        let graph = &self.dependents.graph;
        let orphans: Vec<SlotId> =
            slots.iter().flat_map(|slot| graph.dependents(*slot)).map(|dependent| dependent.id).collect();
        let changes = self.dependents.graph.replace(&slots, &[]);
        self.remember(&changes);
        orphans.into_iter().for_each(|slot| self.show_process(slot));
        self.tell_dependents();
    }

    /// A process depends on something else than before, when it had the configuration `old`.
    pub(super) fn reconnect(&mut self, slot: SlotId, old: &ProcessConfig) {
        let Some(proc) = self.procs.proc(slot) else { return };
        let (had, has) = (depends(old), depends(&proc.config));
        if self.dependents.n_dependents == 0 {
            return self.connect(&[slot]);
        }
        self.dependents.n_dependents -= usize::from(had);
        self.dependents.n_dependents += usize::from(has);
        if self.dependents.n_dependents == 0 {
            self.dependents.graph = Graph::new();
            return;
        }
        let changes = self.dependents.graph.replace(&[slot], &[member(slot, proc)]);
        self.dependents.look_different.insert(slot);
        self.remember(&changes);
    }

    fn remember(&mut self, changes: &[Change]) {
        self.dependents.n_unsaved += changes.len();
        self.dependents.changed.extend(changes);
    }

    /// Notes for a successor who is still to be told of a loss that may be made good by then. Whose dependency has
    /// changed is committed, so that a loss is noted if and only if there was one.
    pub(super) fn note_lost_needs(&mut self) {
        let n_saved = self.dependents.changed.len() - std::mem::take(&mut self.dependents.n_unsaved);
        for change in self.dependents.changed.range(n_saved..) {
            if change.verdict != Verdict::Met && self.procs.proc(change.id).is_some_and(minds) {
                self.link.set_needs_lost(change.id, true);
            }
        }
    }

    /// What holds for a process, and what has failed if something has.
    pub(super) fn verdict(&self, slot: SlotId) -> (Verdict, String) {
        let Some(graph) = self.dependents.graph() else { return (Verdict::Met, String::new()) };
        match graph.verdict(slot) {
            Verdict::Failed => {
                let failure = graph.failure(slot).map(|failure| failure.to_string());
                (Verdict::Failed, failure.unwrap_or_default())
            }
            verdict => (verdict, String::new()),
        }
    }

    /// A process has come to another state, and what follows from that is about to be done.
    pub(super) fn begin_event(&mut self, slot: SlotId) {
        self.dependents.depth += 1;
        // Now and not only at the end: a program that is back by then was away all the same.
        self.note_standing(slot);
    }

    fn note_standing(&mut self, slot: SlotId) {
        if self.dependents.n_dependents > 0
            && let Some(proc) = self.procs.proc(slot)
        {
            let standing = standing(&proc.process, &proc.config);
            if self.dependents.graph.standing(slot) != Some(standing) {
                self.dependents.look_different.insert(slot);
            }
            let changes = self.dependents.graph.set(slot, standing);
            self.remember(&changes);
        }
    }

    /// It has taken the event: its dependents are told if that matters to them, once no other event is being taken.
    pub(super) fn end_event(&mut self, slot: SlotId) {
        self.dependents.depth -= 1;
        if self.dependents.n_dependents == 0 {
            return;
        }
        self.note_standing(slot);
        if !self.dependents.stops.is_empty() && self.procs.proc(slot).is_none_or(|proc| !proc.is_active()) {
            self.dependents.stops.iter_mut().for_each(|stop| stop.at_rest(slot));
        }
        if self.dependents.depth == 0 {
            self.tell_dependents();
        }
    }

    /// The order in which processes are stopped: dependents before what they depend on, and else by priority.
    pub fn stop_order(&self, slots: impl IntoIterator<Item = SlotId>) -> StopOrder {
        let places: HashMap<&str, usize> = self
            .procs
            .groups()
            .iter()
            .enumerate()
            .map(|(place, group)| (&*group.config.name, place))
            .collect();
        let active = slots.into_iter().filter_map(|slot| {
            let proc = self.procs.proc(slot).filter(|proc| proc.is_active())?;
            let group = places.get(&*proc.group).copied()?;
            let group_priority = self.procs.groups()[group].config.priority;
            Some(Active { id: slot, group, group_priority, priority: proc.config.priority })
        });
        let empty = Graph::new();
        StopOrder::new(self.dependents.graph().unwrap_or(&empty), active)
    }

    /// Stops these processes, each when all of them that depend on it are at rest. A successor goes on with that.
    pub fn begin_staged_stop(&mut self, slots: &[SlotId]) {
        // The last dependents first: a manager that is killed meanwhile leaves an order in which nobody ends before those
        // that depend on him.
        let needs_first = self.with_needs(slots);
        let meant: HashSet<SlotId> = slots.iter().copied().collect();
        for slot in needs_first.into_iter().rev().filter(|slot| meant.contains(slot)) {
            self.apply(slot, Event::StopLater);
        }
        let order = self.stop_order(slots.iter().copied());
        self.dependents.stops.push(order);
        self.progress_of_stops();
    }

    /// Goes on with stops that a former manager had begun.
    pub fn continue_staged_stops(&mut self) {
        let waits = |proc: &Proc| proc.process.is_to_stop;
        // Those whose turn it was and that have not ended are waited for, as before.
        let has_had_its_turn =
            |proc: &Proc| matches!(proc.process.state, State::Stopping { after: After::Rest, .. });
        if self.procs.all().any(|(_, proc)| waits(proc)) {
            let all = self.procs.all().filter(|(_, proc)| waits(proc) || has_had_its_turn(proc));
            let slots: Vec<SlotId> = all.map(|(slot, _)| slot).collect();
            let order = self.stop_order(slots);
            self.dependents.stops.push(order);
            self.progress_of_stops();
        }
    }

    /// Stops whoever's turn it is.
    pub fn progress_of_stops(&mut self) {
        if self.dependents.stops.is_empty() {
            return;
        }
        let mut stops = std::mem::take(&mut self.dependents.stops);
        for stop in &mut stops {
            loop {
                let batch = stop.next(|slot| self.procs.proc(slot).is_some_and(Proc::is_active));
                if batch.is_empty() {
                    break;
                }
                for slot in batch {
                    // Unless somebody has started it meanwhile, which is the last word.
                    if self.procs.proc(slot).is_some_and(|proc| proc.process.is_to_stop) {
                        self.apply(slot, Event::Stop);
                    }
                }
            }
        }
        stops.retain(|stop| !stop.is_over());
        // Nobody begins another one meanwhile: requests are dealt with elsewhere.
        self.dependents.stops.append(&mut stops);
    }

    /// Tells all whose conditions have changed.
    pub fn tell_dependents(&mut self) {
        if self.dependents.is_telling {
            return;
        }
        // A round creates programs, and what that changes is told in the next one: a chain has a round for each link.
        while !self.dependents.changed.is_empty() {
            self.dependents.is_telling = true;
            self.spawn_together(Daemon::tell_those_that_wait);
            self.dependents.is_telling = false;
        }
    }

    fn tell_those_that_wait(&mut self) {
        while let Some(change) = self.dependents.changed.pop_front() {
            let is_lost = change.verdict != Verdict::Met;
            self.dependents.n_unsaved = self.dependents.n_unsaved.min(self.dependents.changed.len());
            self.apply(change.id, if is_lost { Event::NeedsLost } else { Event::NeedsChanged });
            if is_lost {
                self.told_of_lost_needs(change.id);
            }
            self.link.beat();
        }
    }

    /// Publishes what those look like now that depend on what has changed in this turn: whom they wait for and which of
    /// their conditions hold, though their own states are the same. Each is published once, however much has changed.
    pub fn show_dependents(&mut self) {
        let different = std::mem::take(&mut self.dependents.look_different);
        // Whoever comes later reads everything. The changes themselves were published, so nobody takes this for no news.
        if different.is_empty() || !self.http.feed().is_watched() {
            return;
        }
        let Some(graph) = self.dependents.graph() else { return };
        let dependents: BTreeSet<SlotId> =
            different.iter().flat_map(|slot| graph.dependents(*slot)).map(|dependent| dependent.id).collect();
        dependents.into_iter().for_each(|slot| self.show_process(slot));
    }

    /// A manager is about to go on with what its predecessor was doing: notes who is to be told of a loss, before any
    /// dependency comes up again. Who is not up, or about to be, has nothing to lose.
    pub fn note_unmet_needs(&self) {
        if self.dependents.n_dependents == 0 {
            return;
        }
        for (slot, proc) in self.procs.all().filter(|(_, proc)| depends(&proc.config) && minds(proc)) {
            let is_up = matches!(
                proc.process.state,
                State::Starting { .. } | State::Running { .. } | State::Failing { .. }
            );
            if !is_up {
                self.told_of_lost_needs(slot);
            } else if self.dependents.graph.verdict(slot) != Verdict::Met {
                self.link.set_needs_lost(slot, true);
            }
        }
    }

    /// Tells a process that a former manager was about to start if that is not to be any more.
    pub fn tell_of_lost_needs(&mut self, slot: SlotId) {
        if self.procs.proc(slot).is_some_and(|proc| depends(&proc.config) && minds(proc))
            && self.link.are_needs_lost(slot)
        {
            self.apply(slot, Event::NeedsLost);
            self.link.set_needs_lost(slot, false);
        }
    }

    fn told_of_lost_needs(&self, slot: SlotId) {
        if self.procs.proc(slot).is_some_and(minds) && self.link.are_needs_lost(slot) {
            self.link.set_needs_lost(slot, false);
        }
    }

    /// A manager has taken over: everybody's conditions are asked once.
    pub fn ask_all_conditions(&mut self) {
        if self.dependents.n_dependents == 0 {
            return;
        }
        let all = self.procs.all();
        let dependents = all.filter(|(_, proc)| depends(&proc.config));
        let graph = &self.dependents.graph;
        // Of a loss that is over the former manager may have told nobody.
        let verdict = |id, proc: &Proc| match graph.verdict(id) {
            Verdict::Met if minds(proc) && self.link.are_needs_lost(id) => Verdict::Unmet,
            verdict => verdict,
        };
        let changes = dependents.map(|(id, proc)| Change { id, verdict: verdict(id, proc) });
        let changes: Vec<Change> = changes.collect();
        self.dependents.changed.extend(changes);
        self.tell_dependents();
    }

    /// Everybody that is to be started so that these can start, themselves included, in the order in which they are to be
    /// started.
    pub fn with_needs(&self, slots: &[SlotId]) -> Vec<SlotId> {
        match self.dependents.graph() {
            Some(graph) => graph.to_start(slots),
            None => slots.to_vec(),
        }
    }

    /// Whom a process waits for: `db (BACKOFF)`. Empty if it does not wait.
    pub fn waiting_for(&self, slot: SlotId) -> String {
        let waits =
            self.procs.proc(slot).is_some_and(|proc| matches!(proc.process.state, State::Waiting { .. }));
        let graph = self.dependents.graph().filter(|_| waits);
        graph.map(|graph| graph.waiting_for(slot, MOST_NAMED).to_string()).unwrap_or_default()
    }
}
