//! Finds out for the loop whether programs are ready and well: when to ask whom, and what came of it.
//!
//! A process is watched for one thing at a time: until it is RUNNING for its `ready`, from then on for its `health`. What
//! asks over the network, or for a file, is a task of the runtime unless the answer is there at once; what takes a command
//! is a child of the keeper, as programs are (`command`). What a program reports by itself comes over sockets and pipes
//! (`reports`). Results become events of the state machine, which decides what follows.
//!
//! Nothing here wakes the loop but the earliest of all moments at which somebody is to be asked, and answers. Checks of
//! health with the same interval fall together. Only so many are asked at once, the others wait until one has answered
//! (`queue`). A manager that takes over asks anew; what was found out before it is in the slots.

mod command;
mod queue;
mod reports;

use crate::core::process::{Event, Pid, State};
use crate::manager::daemon::Daemon;
use crate::manager::probes::command::Command;
use crate::manager::probes::queue::Queue;
use crate::manager::probes::reports::Reports;
use crate::manager::processes::{Proc, SlotId};
use crate::model::config::ProcessConfig;
use crate::model::probe::{Probe, next_probe};
use crate::model::time::Monotonic;
use crate::probe::network;
use crate::rt;
use crate::sys::clock;
use futures_lite::FutureExt;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How long one try for `ready` may take over the network, if `ready_interval` is not longer.
const ONE_TRY: Duration = Duration::from_secs(3);

/// The same for a command. It can take longer, but not hold up those of others until `ready_timeout`.
const ONE_COMMAND: Duration = Duration::from_secs(10);

/// So many tries begin in one turn of the loop.
const MOST_IN_A_TURN: usize = 64;

/// A try over the network, or for a file.
type Asks = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Who is watched, and what is under way.
pub struct Probes {
    watched: HashMap<SlotId, Watched>,
    /// When each of them needs attention next.
    due: BTreeSet<(Monotonic, SlotId)>,
    /// The commands that were started and have not ended, of which there is one for each process at most.
    commands: HashMap<SlotId, Command>,
    queue: Queue,
    /// Commands of a former manager whose ends have not been told. No other command is started for their processes.
    inherited: HashMap<SlotId, Pid>,
    /// Whose commands have ended in this turn of the loop.
    ended: Vec<SlotId>,
    reports: Reports,
    n_trials: u64,
    answers: (async_channel::Sender<Answer>, async_channel::Receiver<Answer>),
}

/// What a process is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Readiness,
    Health,
}

#[derive(Debug)]
struct Watched {
    what: What,
    pid: Pid,
    /// Its place in [`Probes::due`].
    due: Option<Monotonic>,
    trial: Option<Trial>,
}

/// A try under way.
#[derive(Debug)]
struct Trial {
    number: u64,
    began: Monotonic,
    /// Ends a task of the runtime when it is dropped; `None` for a command, and for what was answered at once.
    task: Option<async_channel::Sender<()>>,
}

/// What a task has found out.
#[derive(Debug)]
pub struct Answer {
    slot: SlotId,
    number: u64,
    found: Found,
}

#[derive(Debug)]
enum Found {
    /// Whether it is ready, or well.
    Judgement(Result<(), String>),
    /// A command was created; or why it was not.
    Created(Result<Pid, String>),
}

impl Probes {
    /// Nobody is watched.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Probes> {
        Ok(Probes {
            watched: HashMap::new(),
            due: BTreeSet::new(),
            commands: HashMap::new(),
            queue: Queue::default(),
            inherited: HashMap::new(),
            ended: Vec::new(),
            reports: Reports::new()?,
            n_trials: 0,
            answers: async_channel::unbounded(),
        })
    }

    /// When somebody has to be asked, or has taken too long.
    pub fn deadline(&self) -> Option<Monotonic> {
        if self.next_in_queue().is_some() {
            // At once: there has been room since this turn of the loop looked.
            return Some(Monotonic(0));
        }
        let first = self.due.first().map(|(at, _)| *at);
        first.into_iter().chain(self.reports.deadline()).min()
    }

    /// Waits for the next answer.
    pub async fn next_answer(&self) -> Option<Answer> {
        self.answers.1.recv().await.ok()
    }

    /// Readable when a program has reported something.
    pub fn readiness(&self) -> Arc<OwnedFd> {
        self.reports.readiness()
    }

    fn set_due(&mut self, slot: SlotId, due: Option<Monotonic>) {
        let Some(watched) = self.watched.get_mut(&slot) else { return };
        if let Some(before) = std::mem::replace(&mut watched.due, due) {
            self.due.remove(&(before, slot));
        }
        self.due.extend(due.map(|due| (due, slot)));
    }

    /// A try is under way.
    fn begin(&mut self, slot: SlotId, trial: Trial) {
        self.queue.n_asked += usize::from(trial.task.is_some());
        if let Some(watched) = self.watched.get_mut(&slot) {
            watched.trial = Some(trial);
        }
    }

    fn forget(&mut self, slot: SlotId) -> Option<Watched> {
        self.set_due(slot, None);
        self.queue.leave(slot);
        let watched = self.watched.remove(&slot)?;
        if watched.trial.as_ref().is_some_and(|trial| trial.task.is_some()) {
            self.queue.n_asked -= 1;
        }
        Some(watched)
    }
}

/// What a process is to be watched for now, and of which program.
fn wanted(proc: &Proc) -> Option<(What, Pid)> {
    match proc.process.state {
        State::Starting { pid: Some(pid), is_ready: false, .. } => {
            let readiness = proc.config.readiness.as_ref()?;
            (!readiness.ready.is_reported()).then_some((What::Readiness, pid))
        }
        State::Running { pid, .. } => proc.config.health_check.is_some().then_some((What::Health, pid)),
        _ => None,
    }
}

fn probe(proc: &Proc, what: What) -> Option<&Probe> {
    match what {
        What::Readiness => proc.config.readiness.as_ref().map(|readiness| &readiness.ready),
        What::Health => proc.config.health_check.as_ref().map(|check| &check.health),
    }
}

impl Daemon {
    /// Watches a process for what its state asks for, and nothing else. Cheap for those that nothing is to be found out
    /// about.
    pub fn follow_probes(&mut self, slot: SlotId) {
        self.watch(slot, false);
    }

    /// Watches a process; one that `was_watched` is by a manager that takes over.
    fn watch(&mut self, slot: SlotId, was_watched: bool) {
        let Some(proc) = self.procs.proc(slot) else { return };
        let config = &proc.config;
        if config.readiness.is_none() && config.health_check.is_none() && config.watchdog.is_none() {
            return;
        }
        self.follow_reports(slot);
        let Some(proc) = self.procs.proc(slot) else { return };
        let wanted = wanted(proc);
        let current = self.probes.watched.get(&slot).map(|watched| (watched.what, watched.pid));
        if wanted == current {
            return;
        }
        let now = clock::monotonic();
        let period = proc.config.health_check.as_ref().map(|check| check.health_start_period);
        // RUNNING since then, as far as that can be told. Whose readiness was waited for has the whole period again.
        let since = if was_watched && proc.config.readiness.is_none() {
            proc.process.started + proc.config.startsecs
        } else {
            now
        };
        // One that has an answer already was watched by a former manager.
        let health = &proc.process.health;
        let knows = health.is_healthy.is_some() || health.failures > 0;
        let interval = proc.config.health_check.as_ref().map(|check| check.health_interval);
        if self.probes.forget(slot).is_some() {
            self.leave_command(slot);
        }
        let Some((what, pid)) = wanted else { return };
        let first = match what {
            What::Readiness => now,
            What::Health if knows => next_probe(now, interval.unwrap_or_default()),
            What::Health => now.max(since + period.unwrap_or_default()),
        };
        self.probes.watched.insert(slot, Watched { what, pid, due: None, trial: None });
        self.probes.set_due(slot, Some(first));
    }

    /// A manager has taken over: ends what its predecessor was trying, and goes on with everybody.
    pub fn go_on_probing(&mut self) {
        let slots: Vec<SlotId> = self.procs.all().map(|(slot, _)| slot).collect();
        for slot in slots {
            // Whether it is still asked by commands or not: the configuration may have changed meanwhile.
            self.end_inherited_command(slot);
            self.watch(slot, true);
        }
    }

    /// A process has another configuration. What is under way because of keys that have changed is given up; what follows
    /// is asked for when the process takes its next event.
    pub fn follow_changed_probes(&mut self, slot: SlotId, old: &ProcessConfig, new: &ProcessConfig) {
        if (&old.readiness, &old.health_check) != (&new.readiness, &new.health_check) {
            self.probes.forget(slot);
            self.leave_command(slot);
        }
        if old.watchdog != new.watchdog {
            self.forget_silence(slot);
        }
    }

    /// Nobody is to be found out about any more.
    pub fn forget_probes(&mut self, slot: SlotId) {
        self.probes.forget(slot);
        self.leave_command(slot);
        self.forget_reports(slot);
    }

    /// Asks those whose time has come, and gives up what takes too long.
    pub fn fire_probes(&mut self) {
        self.forget_ended_commands();
        let now = clock::monotonic();
        self.fire_watchdogs(now);
        while let Some((_, slot)) = self.probes.due.first().copied().filter(|(at, _)| *at <= now) {
            self.probes.set_due(slot, None);
            let is_under_way = self.probes.watched.get(&slot).is_some_and(|watched| watched.trial.is_some());
            if is_under_way {
                self.command_took_too_long(slot);
            } else {
                self.queue_trial(slot);
            }
        }
        // Those beyond have their turn when exits and requests have been looked at.
        for _ in 0..MOST_IN_A_TURN {
            let Some(slot) = self.probes.next_in_queue() else { break };
            self.probes.queue.leave(slot);
            self.begin_trial(slot, now);
        }
    }

    /// Lets a process be asked once there is room.
    fn queue_trial(&mut self, slot: SlotId) {
        let Some(proc) = self.procs.proc(slot) else { return };
        let Some(watched) = self.probes.watched.get(&slot) else { return };
        let is_command = matches!(probe(proc, watched.what), Some(Probe::Exec(_)));
        self.probes.queue.join(slot, is_command);
    }

    fn begin_trial(&mut self, slot: SlotId, now: Monotonic) {
        let Some(proc) = self.procs.proc(slot) else { return };
        let Some(watched) = self.probes.watched.get(&slot) else { return };
        let what = watched.what;
        let Some(probe) = probe(proc, what).cloned() else { return };
        let timeout = self.one_try(slot, what, now);
        self.probes.n_trials += 1;
        let number = self.probes.n_trials;
        let mut trial = Trial { number, began: now, task: None };
        if matches!(probe, Probe::Exec(_)) {
            self.probes.begin(slot, trial);
            return self.begin_command(slot, number, timeout);
        }
        let mut asks: Asks = Box::pin(async move { network::try_once(&probe, timeout).await });
        // Most answers on the same machine are there at once. They cost no thread's waking up.
        match asks.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => {
                self.probes.begin(slot, trial);
                self.end_trial(slot, number, result);
            }
            Poll::Pending => {
                trial.task = Some(self.wait_for_answer(slot, number, asks));
                self.probes.begin(slot, trial);
            }
        }
    }

    /// How long the next try may take.
    fn one_try(&self, slot: SlotId, what: What, now: Monotonic) -> Duration {
        let Some(proc) = self.procs.proc(slot) else { return ONE_TRY };
        match (what, &proc.config.readiness, &proc.config.health_check) {
            (What::Health, _, Some(check)) => check.health_timeout,
            (What::Readiness, Some(readiness), _) => {
                let end = proc.process.started + readiness.ready_timeout;
                match readiness.ready {
                    Probe::Exec(_) => ONE_COMMAND.max(readiness.ready_interval).min(end.since(now)),
                    _ => ONE_TRY.max(readiness.ready_interval).min(end.since(now)),
                }
            }
            _ => ONE_TRY,
        }
    }

    /// Lets the runtime wait for an answer. The task ends when what is returned is dropped.
    fn wait_for_answer(&self, slot: SlotId, number: u64, asks: Asks) -> async_channel::Sender<()> {
        let (task, end) = async_channel::bounded::<()>(1);
        let answers = self.probes.answers.0.clone();
        let asks = async move {
            let found = Found::Judgement(asks.await);
            // There is room, and without a loop nobody waits.
            let _ = answers.try_send(Answer { slot, number, found });
        };
        let is_dropped = async move {
            let _ = end.recv().await;
        };
        rt::spawn(asks.or(is_dropped)).detach();
        task
    }

    /// Takes in what a task has found out.
    pub fn take_answer(&mut self, Answer { slot, number, found }: Answer) {
        match found {
            Found::Judgement(result) => self.end_trial(slot, number, result),
            Found::Created(created) => self.command_was_created(slot, number, created),
        }
    }

    /// A try has come to its end.
    fn end_trial(&mut self, slot: SlotId, number: u64, result: Result<(), String>) {
        let Some(watched) = self.probes.watched.get_mut(&slot) else { return };
        let Some(trial) = watched.trial.take_if(|trial| trial.number == number) else { return };
        let what = watched.what;
        self.probes.queue.n_asked -= usize::from(trial.task.is_some());
        let Some(proc) = self.procs.proc(slot) else { return };
        let now = clock::monotonic();
        let next = match what {
            What::Readiness => {
                let interval = proc.config.readiness.as_ref().map(|readiness| readiness.ready_interval);
                (trial.began + interval.unwrap_or(ONE_TRY)).max(now)
            }
            What::Health => {
                let interval = proc.config.health_check.as_ref().map(|check| check.health_interval);
                next_probe(now, interval.unwrap_or(ONE_TRY))
            }
        };
        self.probes.set_due(slot, Some(next));
        self.apply(
            slot,
            match what {
                What::Readiness => Event::Readiness(result),
                What::Health => Event::Checked(result),
            },
        );
    }
}
