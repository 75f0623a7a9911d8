//! One process: what is known of it, and how that changes.

use crate::control::request::{self, Client};
use crate::core::process::{Process, State};
use crate::manager::boot::{AutoLogs, SingleRun};
use crate::manager::requests::waiters::Waiter;
use crate::manager::spawn::jobs::PendingSpawn;
use crate::manager::streams::Streams;
use crate::model::config::{GroupConfig, GroupKind, ProcessConfig};
pub use crate::model::exit::PastExit;
use crate::model::exit::{ExitStatus, MOST_LEFT_NAMED, Tally};
use crate::model::namespec;
use crate::model::state::ProcessState;
use crate::model::time::{Monotonic, Wall};
use crate::shm::slots::{Origin, SlotContent};
use crate::sys::syscall_filter::Filter;
use std::cell::OnceCell;
use std::collections::VecDeque;
use std::mem;
use std::ops::Deref;
use std::sync::Arc;

/// One process. What is known of it is there for everybody to read (see [`Facts`]); it changes by what is said here.
#[derive(Debug)]
pub struct Proc {
    facts: Facts,
    /// The pipes to its program, and where its output goes.
    pub streams: Streams,
    waiters: Vec<Waiter>,
    run: Option<Run>,
}

/// A single run of a process, by [`ask::Run`](struct@crate::control::ask::Run).
#[derive(Debug)]
pub struct Run {
    /// The configuration that it has otherwise.
    usual: Arc<ProcessConfig>,
    /// The exit that was the last one before it.
    pub last_exit: Option<PastExit>,
    /// Who waits for its end.
    pub client: Option<Client<request::Facts>>,
    /// Whether it was on its way up, or up.
    pub is_under_way: bool,
}

/// The configuration that a process gets when its program has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Next {
    /// What it is to be from then on.
    pub config: Arc<ProcessConfig>,
    /// Whether it is started then.
    pub starts: bool,
}

/// What is known of a process. Nobody outside this file can write to it.
#[derive(Debug)]
pub struct Facts {
    /// The configuration it was added with.
    pub config: Arc<ProcessConfig>,
    /// The name of its group.
    pub group: Arc<str>,
    /// Whether it is an event listener, so that its standard output is a protocol.
    pub is_listener: bool,
    /// Its state machine.
    pub process: Process,
    /// How often its program was started.
    pub starts: u32,
    /// One more than the number of the last ledger entry that went into it.
    pub applied: u64,
    /// The ledger's head when its program was created.
    pub spawn_head: u64,
    /// Where its program is from.
    pub origin: Origin,
    /// That of its configuration, once somebody wanted to know.
    pub fingerprint: OnceCell<u64>,
    /// What went wrong between the creation of its program and the first instruction.
    failure: Option<String>,
    /// What the system calls of its program are filtered by; kept for the next start.
    filter: Option<Filter>,
    /// Its program is being created, and the loop does not wait for that.
    pub pending_spawn: Option<PendingSpawn>,
    /// Why the last signal to it could not be sent; empty if it could.
    pub refused_signal: String,
    /// The files that stand for `AUTO` in its configuration.
    pub logs: AutoLogs,
    /// The last exits that this manager saw, the latest last.
    pub past: VecDeque<PastExit>,
    /// All the exits that this manager saw.
    pub tally: Tally,
    /// The configuration that it gets when its program has ended.
    pub next: Option<Next>,
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
    /// A process of a group that is being added, STOPPED.
    pub fn new(config: Arc<ProcessConfig>, group: &GroupConfig, logs: AutoLogs) -> Proc {
        let facts = Facts {
            config,
            group: group.name.clone(),
            is_listener: matches!(group.kind, GroupKind::EventListener(_)),
            process: Process::default(),
            starts: 0,
            applied: 0,
            spawn_head: 0,
            origin: Origin::default(),
            fingerprint: OnceCell::new(),
            failure: None,
            filter: None,
            pending_spawn: None,
            refused_signal: String::new(),
            logs,
            past: VecDeque::new(),
            tally: Tally::default(),
            next: None,
            down_since: None,
        };
        Proc { facts, streams: Streams::default(), waiters: Vec::new(), run: None }
    }

    /// From here to [`Proc::end_run`] it has another configuration, for a single run.
    pub fn begin_run(&mut self, config: ProcessConfig, client: Option<Client<request::Facts>>) {
        let usual = mem::replace(&mut self.facts.config, Arc::new(config));
        let last_exit = self.past.back().cloned();
        self.run = Some(Run { usual, last_exit, client, is_under_way: false });
    }

    /// It has its usual configuration again. Returns what there is to know of the run, if it was one.
    pub fn end_run(&mut self) -> Option<Run> {
        let run = self.run.take()?;
        self.facts.config = Arc::clone(&run.usual);
        Some(run)
    }

    /// It gets another configuration when its program has ended, or none after all.
    pub fn set_next(&mut self, next: Option<Next>) {
        self.facts.next = next;
    }

    /// It has another configuration. During a single run that is the one it has afterwards.
    pub(super) fn set_config(&mut self, config: Arc<ProcessConfig>) {
        match &mut self.run {
            Some(run) => run.usual = config,
            None => self.facts.config = config,
        }
        if !self.origin.adopted {
            self.facts.fingerprint = OnceCell::new();
        }
    }

    /// The files that stand for `AUTO` in its configuration are these from now on.
    pub(super) fn set_logs(&mut self, logs: AutoLogs) {
        self.facts.logs = logs;
    }

    /// The configuration that it has unless it is in a single run.
    pub fn usual_config(&self) -> &Arc<ProcessConfig> {
        self.run.as_ref().map_or(&self.config, |run| &run.usual)
    }

    /// Whether it is in a single run.
    pub fn is_in_run(&self) -> bool {
        self.run.is_some()
    }

    /// Its single run, if there is one.
    pub fn run_mut(&mut self) -> Option<&mut Run> {
        self.run.as_mut()
    }

    /// What a successor has to know of a single run.
    pub fn single_run(&self) -> Option<SingleRun> {
        let command = self.config.command.clone();
        self.run.as_ref().map(|_| SingleRun { name: self.config.name.to_string(), command })
    }

    /// Goes on where an earlier manager was with it.
    pub fn restore(&mut self, content: SlotContent) {
        self.facts.process = content.process;
        self.facts.starts = content.starts;
        self.facts.applied = content.applied;
        self.facts.spawn_head = content.spawn_head;
        self.facts.origin = content.origin;
    }

    /// Puts a new state of affairs in the place of the old one. The table's counts and deadlines have to follow.
    pub(super) fn replace(&mut self, process: Process) {
        self.facts.process = process;
    }

    /// Its program is about to be created, with the ledger's head there.
    pub fn creation_begins(&mut self, ledger_head: u64) {
        self.facts.spawn_head = ledger_head;
    }

    /// Its program was created. `failure` is what went wrong before the first instruction.
    pub fn program_created(
        &mut self,
        start_ticks: u64,
        generation: u32,
        failure: Option<String>,
        filter: Option<Filter>,
    ) {
        self.facts.starts = self.starts.saturating_add(1);
        self.facts.fingerprint = OnceCell::new();
        self.facts.failure = failure;
        self.facts.filter = filter;
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
    pub fn await_pending_spawn(&mut self, pending_spawn: PendingSpawn) {
        self.facts.pending_spawn = Some(pending_spawn);
    }

    /// Its program that is being created, if the loop does not wait for it.
    pub fn pending_spawn_mut(&mut self) -> Option<&mut PendingSpawn> {
        self.facts.pending_spawn.as_mut()
    }

    /// Forgets that its program is being created, and returns what was known of that.
    pub fn take_pending_spawn(&mut self) -> Option<PendingSpawn> {
        self.facts.pending_spawn.take()
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

    /// Whether anybody waits for a change of its state.
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

    /// Remembers that its program has ended, before the state machine hears of it. `reason` is what is known besides the
    /// status.
    pub fn remember_end(&mut self, pid: i32, status: ExitStatus, reason: String, at: Wall, ended: Monotonic) {
        let lasted = ended.since(self.process.started);
        // As the state machine judges it: an end before it was up is never what was expected, nor one after it had failed.
        let has_failed = match self.process.state {
            State::Starting { .. } if self.config.is_oneshot() => false,
            State::Starting { is_ready, .. } => {
                lasted < self.config.startsecs || (self.config.readiness.is_some() && !is_ready)
            }
            State::Failing { .. } => true,
            _ => false,
        };
        // Whoever was ended because it had failed did not end by itself.
        let reason = match self.process.state {
            State::Failing { .. } if reason.is_empty() => self.process.spawnerr.clone(),
            _ => reason,
        };
        let expected = self.state() == ProcessState::Stopping
            || matches!(status, ExitStatus::Code(code) if !has_failed && self.config.exitcodes.contains(&code));
        self.remember(PastExit { at, pid, status, expected, lasted, reason, left_behind: Vec::new() });
    }

    /// Somebody was left of the program that had this pid, and was killed.
    pub fn remember_left_behind(&mut self, pid: i32, killed: impl Iterator<Item = (i32, String)>) {
        let is_it = |exit: &&mut PastExit| exit.pid == pid;
        if let Some(exit) = self.facts.past.iter_mut().rev().find(is_it) {
            let room = MOST_LEFT_NAMED.saturating_sub(exit.left_behind.len());
            exit.left_behind.extend(killed.take(room));
        }
    }

    /// Its state, as clients see it.
    pub fn state(&self) -> ProcessState {
        self.process.state.kind()
    }

    /// Whether it waits for what it depends on.
    pub fn is_waiting(&self) -> bool {
        matches!(self.process.state, State::Waiting { .. })
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
