//! What processes depend on, in the loop: the graph follows the table, and whoever's conditions have changed is told.
//!
//! The graph holds all processes as soon as one of them depends on something, and nobody before: who does not use it pays
//! nothing. A change of one process may be followed by changes of its dependents, and those by more. They wait in a queue,
//! so a chain may be as long as it likes. Conditions are about what is so *now*; a manager that takes over asks everybody's
//! conditions once, and what was missed is made up for.

use crate::core::dependencies::{Change, Facts, Graph, Member, Standing, Verdict};
use crate::core::process::{Event, Process, State};
use crate::manager::daemon::Daemon;
use crate::manager::processes::{Proc, SlotId};
use crate::model::config::ProcessConfig;
use crate::model::exit::ExitStatus;
use std::collections::VecDeque;

/// So many of those that a process waits for are named.
const MOST_NAMED: usize = 3;

/// The graph, and who is still to be told of a change.
#[derive(Debug, Default)]
pub struct Dependents {
    /// Empty as long as nobody depends on anything.
    graph: Graph,
    /// How many processes depend on something.
    n_dependents: usize,
    changed: VecDeque<SlotId>,
    /// How many events are being taken, one inside the other.
    depth: u32,
    is_telling: bool,
}

impl Dependents {
    /// The graph, if anybody depends on anything.
    pub fn graph(&self) -> Option<&Graph> {
        (self.n_dependents > 0).then_some(&self.graph)
    }
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
        self.remember(&changes);
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
        let changes = self.dependents.graph.replace(&slots, &[]);
        self.remember(&changes);
        self.tell_dependents();
    }

    fn remember(&mut self, changes: &[Change]) {
        self.dependents.changed.extend(changes.iter().map(|change| change.id));
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

    /// A process is about to take an event.
    pub(super) fn begin_event(&mut self) {
        self.dependents.depth += 1;
    }

    /// It has taken the event: its dependents are told if that matters to them, once no other event is being taken.
    pub(super) fn end_event(&mut self, slot: SlotId) {
        self.dependents.depth -= 1;
        if self.dependents.n_dependents == 0 {
            return;
        }
        if let Some(proc) = self.procs.proc(slot) {
            let standing = standing(&proc.process, &proc.config);
            let changes = self.dependents.graph.set(slot, standing);
            self.remember(&changes);
        }
        if self.dependents.depth == 0 {
            self.tell_dependents();
        }
    }

    /// Tells all whose conditions have changed.
    pub fn tell_dependents(&mut self) {
        if self.dependents.is_telling || self.dependents.changed.is_empty() {
            return;
        }
        self.dependents.is_telling = true;
        self.spawn_together(|daemon| {
            while let Some(slot) = daemon.dependents.changed.pop_front() {
                daemon.apply(slot, Event::NeedsChanged);
                daemon.link.beat();
            }
        });
        self.dependents.is_telling = false;
        // What the creation of their programs has changed.
        if !self.dependents.changed.is_empty() {
            self.tell_dependents();
        }
    }

    /// A manager has taken over: everybody's conditions are asked once.
    pub fn ask_all_conditions(&mut self) {
        if self.dependents.n_dependents == 0 {
            return;
        }
        let all = self.procs.all();
        let slots: Vec<SlotId> =
            all.filter(|(_, proc)| depends(&proc.config)).map(|(slot, _)| slot).collect();
        self.dependents.changed.extend(slots);
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
