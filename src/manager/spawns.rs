//! Creating the programs of processes: one by one, or several at a time where several are due.
//!
//! A thread that creates a program stands still until the program is executed, and so would all processors but one.
//! What is due at once (the start of a group, a crowd that died together) is therefore created by one thread for
//! each processor. The loop prepares one process after the other and hears in the same order how each went, so log
//! lines and events come as if there were no threads at all. They live as long as the crowd does: an idle daemon has
//! none of them. Logs are opened when the whole crowd runs: what programs write until then is in their pipes.
//!
//! One by one the loop creates them itself, if nobody can hold that up; else a thread does it (`births.rs`), and the
//! loop does not wait for it longer than for a moment.

use crate::config::command::{self, CommandError};
use crate::core::process::{Event, State};
use crate::manager::births::{
    Born, Delivery, Doomed, Job, Newborn, Outcome, PATIENCE, Recipe, Trouble, hire,
};
use crate::manager::child;
use crate::manager::daemon::{Daemon, stream_specs};
use crate::manager::procs::{Proc, SlotId};
use crate::manager::streams::ProgramEnds;
use crate::manager::thrift;
use crate::model::config::ProcessConfig;
use crate::model::time::Monotonic;
use crate::sys::errno::errno_name;
use crate::sys::mounts::Mounts;
use crate::sys::pipe::Ends;
use crate::sys::spawn::Spawner;
use crate::sys::{clock, pidfd, process, schedule};
use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// A crowd: fewer are created one by one sooner than threads are.
const CROWD: usize = 4;

/// More threads than this would wait for the loop, which prepares their work.
const MOST_THREADS: usize = 4;

/// So many programs for each thread are prepared ahead. Each takes descriptors.
const AHEAD: usize = 2;

/// So long the loop waits for a program that is created beside it: hundreds of times as long as it usually takes, and
/// not long for a client.
const MOMENT: Duration = Duration::from_millis(20);

/// So long the loop waits in all for those of a crowd that are late, and for each of them once that is used up.
const MOMENT_OF_CROWD: Duration = Duration::from_millis(200);
const LEAST_MOMENT: Duration = Duration::from_millis(2);

/// So many threads take the places of those of a crowd that hang. Beyond that the rest waits until they are given up.
const MOST_REPLACED: usize = 64;

/// As good as for ever.
const WITHOUT_END: Duration = Duration::from_secs(3600);

/// So long whoever creates a program may take to notice that it has ended.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// A program that was about to be executed when its manager died is looked at for the first time after this time, and
/// after twice as long each further time: until it was executed or is given up.
const FIRST_LOOK: Duration = Duration::from_millis(1);

/// So many children of a process that were given up may hang in the kernel; then it gets no more until one has ended.
const MOST_DOOMED: usize = 3;

/// What programs are created with.
pub struct Spawns {
    /// One for each thread; at least one.
    spawners: Vec<Spawner>,
    n_threads: usize,
    /// Where threads leave theirs at their end.
    home: (mpsc::Sender<Spawner>, mpsc::Receiver<Spawner>),
    mounts: Mounts,
    /// The program's file that was looked up last in this turn, and whether that is local: a crowd often has just one.
    looked_up: Option<(String, bool)>,
    /// The processes that wait for their programs, while [`Daemon::spawn_together`] gathers them.
    gathered: Option<Vec<SlotId>>,
    /// Those that have their programs and wait for the rest of the crowd to have theirs, so that nobody's program has to
    /// wait for somebody else's logs.
    unheard: Option<Vec<SlotId>>,
    /// The processes with a newborn.
    waiting: Vec<SlotId>,
    doomed: Vec<Doomed>,
    /// Rung when a program was created that the loop did not wait for.
    bell: (async_channel::Sender<()>, async_channel::Receiver<()>),
}

impl Spawns {
    /// Must be made early, while low descriptor numbers are free.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Spawns> {
        let n_threads = schedule::n_processors().clamp(1, MOST_THREADS);
        let spawners = (0..n_threads).map(|_| Spawner::new()).collect::<io::Result<_>>()?;
        Ok(Spawns {
            spawners,
            n_threads,
            home: mpsc::channel(),
            mounts: Mounts::open(),
            looked_up: None,
            gathered: None,
            unheard: None,
            waiting: Vec::new(),
            doomed: Vec::new(),
            bell: async_channel::bounded(1),
        })
    }

    /// Waits until there is something for [`Daemon::hear_births`].
    pub async fn ring(&self) {
        // We hold the sender.
        let _ = self.bell.1.recv().await;
    }

    fn spawner(&mut self) -> io::Result<Spawner> {
        self.spawners.extend(self.home.1.try_iter());
        let spawner = self.spawners.pop().map_or_else(Spawner::new, Ok);
        // While some threads hung there were more of them.
        // The threads of a crowd may still have theirs when the next crowd comes.
        self.spawners.truncate(2 * self.n_threads);
        spawner
    }

    /// Whether nobody can hold up the creation of a program: no other user, and nothing to look up where a look may
    /// take long.
    fn is_quick(&mut self, config: &ProcessConfig) -> bool {
        let goes_elsewhere = config.directory.is_some() || child::changes_user(config);
        if goes_elsewhere || self.mounts.are_all_local() {
            return !goes_elsewhere;
        }
        let Some(file) = command::first_word(&config.command).filter(|file| file.starts_with('/')) else {
            return false;
        };
        match &self.looked_up {
            Some((known, is_local)) if *known == file => *is_local,
            _ => {
                let is_local = self.mounts.is_local_program(Path::new(&file));
                self.looked_up = Some((file, is_local));
                is_local
            }
        }
    }
}

impl Daemon {
    /// Does something that may let many processes start; their programs are created when it is done, side by side,
    /// in the order in which they came to it. Until then they are STARTING without a pid.
    pub fn spawn_together<T>(&mut self, act: impl FnOnce(&mut Daemon) -> T) -> T {
        if self.spawns.gathered.is_some() {
            // Somebody further out does it.
            return act(self);
        }
        self.spawns.gathered = Some(Vec::new());
        let result = act(self);
        while let Some(slots) = self.spawns.gathered.as_mut().map(std::mem::take)
            && !slots.is_empty()
        {
            self.spawn_all(slots);
        }
        self.spawns.gathered = None;
        result
    }

    /// Creates the program of a STARTING process, now or when [`Daemon::spawn_together`] comes to it, and tells the
    /// state machine how that went.
    pub fn spawn(&mut self, slot: SlotId) {
        match &mut self.spawns.gathered {
            Some(gathered) => gathered.push(slot),
            None => self.spawn_alone(slot),
        }
    }

    fn spawn_all(&mut self, mut slots: Vec<SlotId>) {
        self.spawns.looked_up = None;
        // One that was gathered may have been told to stop since, or even to start again.
        slots.retain(|slot| self.procs.proc(*slot).is_some_and(waits_for_program));
        let mut seen = std::collections::HashSet::new();
        slots.retain(|slot| seen.insert(*slot));
        let rest = if slots.len() < CROWD || self.spawns.n_threads < 2 {
            slots
        } else {
            self.spawn_side_by_side(slots)
        };
        rest.into_iter().for_each(|slot| self.spawn_alone(slot));
    }

    fn spawn_alone(&mut self, slot: SlotId) {
        self.spawns.looked_up = None;
        let job = match self.prepare(slot) {
            Ok(job) => job,
            Err(why) => return self.settle(slot, Err(Trouble::Command(why)), Event::Spawned),
        };
        if job.may_hang() {
            return self.spawn_beside(job);
        }
        let born = self.spawns.spawner().map_err(Trouble::System).and_then(|mut spawner| {
            let born = job.carry_out(&mut spawner, &self.link);
            self.spawns.spawners.push(spawner);
            // The kernel has woken us on the processor that the program is on.
            thread::yield_now();
            born
        });
        self.settle(slot, born, Event::Spawned);
    }

    /// Lets a thread create a program, and waits for it a moment.
    fn spawn_beside(&mut self, job: Job) {
        let (slot, delivery) = (job.slot, Arc::clone(&job.delivery));
        let (jobs, queue) = async_channel::bounded(1);
        if let Err(error) = self.hire(&queue) {
            return self.settle(slot, Err(Trouble::System(error)), Event::Spawned);
        }
        // There is room for it, and we hold the other end.
        let _ = jobs.try_send(job);
        match delivery.wait(MOMENT) {
            Some(outcome) => self.settle(slot, outcome, Event::Spawned),
            None => self.leave(slot, delivery),
        }
    }

    fn hire(&mut self, queue: &async_channel::Receiver<Job>) -> io::Result<()> {
        let spawner = self.spawns.spawner()?;
        hire(queue.clone(), spawner, self.spawns.home.0.clone(), Arc::clone(&self.link))
    }

    /// Returns those that are left to do, if there can be no threads.
    fn spawn_side_by_side(&mut self, slots: Vec<SlotId>) -> Vec<SlotId> {
        self.spawns.unheard = Some(Vec::with_capacity(slots.len()));
        let rest = self.create_side_by_side(slots);
        for slot in self.spawns.unheard.take().into_iter().flatten() {
            self.begin_streams(slot);
            self.link.pulse();
        }
        rest
    }

    /// The same, but for the logs.
    fn create_side_by_side(&mut self, slots: Vec<SlotId>) -> Vec<SlotId> {
        // When this is done the queue ends, and with it the threads.
        let (jobs, queue) = async_channel::unbounded();
        let n_threads = (0..self.spawns.n_threads).filter(|_| self.hire(&queue).is_ok()).count();
        if n_threads == 0 {
            return slots;
        }
        let mut crowd = Crowd { under_way: VecDeque::new(), queue, patience: MOMENT_OF_CROWD, n_replaced: 0 };
        let mut rank = None;
        for slot in slots {
            // Those that come first by priority have been created before the next ones are.
            let former = std::mem::replace(&mut rank, self.rank(slot));
            let most = if former == rank { n_threads * AHEAD - 1 } else { 0 };
            while crowd.under_way.len() > most {
                self.settle_first(&mut crowd);
            }
            let mut job = self.prepare(slot);
            if job.is_err() && !crowd.under_way.is_empty() {
                // Perhaps for want of descriptors that those before still hold.
                while !crowd.under_way.is_empty() {
                    self.settle_first(&mut crowd);
                }
                job = self.prepare(slot);
            }
            match job {
                Ok(job) => {
                    crowd.under_way.push_back((slot, Arc::clone(&job.delivery), job.may_hang()));
                    // The queue has no limit of its own, and we hold its other end.
                    let _ = jobs.try_send(job);
                }
                Err(why) => self.settle(slot, Err(Trouble::Command(why)), Event::Spawned),
            }
        }
        while !crowd.under_way.is_empty() {
            self.settle_first(&mut crowd);
        }
        Vec::new()
    }

    /// The priorities of a process: its group's and its own.
    fn rank(&self, slot: SlotId) -> Option<(i64, i64)> {
        let proc = self.procs.proc(slot)?;
        Some((self.procs.group(&proc.group)?.config.priority, proc.config.priority))
    }

    /// Waits for the oldest of those that are under way, but not long.
    fn settle_first(&mut self, crowd: &mut Crowd) {
        let Some((slot, delivery, may_hang)) = crowd.under_way.pop_front() else { return };
        let began = clock::monotonic();
        let patience = if may_hang { crowd.patience.max(LEAST_MOMENT) } else { WITHOUT_END };
        if let Some(outcome) = delivery.wait(patience) {
            return self.settle(slot, outcome, Event::Spawned);
        }
        crowd.patience = crowd.patience.saturating_sub(clock::monotonic().since(began));
        if delivery.was_taken_up() && crowd.n_replaced < MOST_REPLACED {
            // A thread hangs in it.
            crowd.n_replaced += usize::from(self.hire(&crowd.queue).is_ok());
        }
        self.leave(slot, delivery);
    }

    /// Tells the state machine how the creation of a program went.
    fn settle(&mut self, slot: SlotId, outcome: Outcome, spawned: fn(i32) -> Event) {
        let why = match outcome {
            Ok(born) => return self.begin_life(slot, born, spawned),
            Err(Trouble::Abandoned) => return,
            Err(Trouble::Command(why)) => why,
            Err(Trouble::System(error)) => self.fork_error(slot, &error),
        };
        self.apply(slot, Event::SpawnFailed(why));
    }

    fn begin_life(&mut self, slot: SlotId, Born { pid, failure }: Born, spawned: fn(i32) -> Event) {
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        let start_ticks = if self.map.is_kept() { process::start_ticks(pid).unwrap_or(0) } else { 0 };
        proc.program_created(start_ticks, self.in_force.generation(), failure);
        let born_at = proc.born_at;
        self.procs.claim_pid(pid, slot, born_at);
        self.link.set_known(pid, true);
        self.apply(slot, spawned(pid));
        self.show_process(slot);
        if let Some(proc) = self.procs.proc(slot) {
            proc.streams.leave_input(slot, &self.link);
        }
        match &mut self.spawns.unheard {
            Some(unheard) => unheard.push(slot),
            None => self.begin_streams(slot),
        }
    }

    /// Makes ready everything that the creation of a process' program takes.
    ///
    /// # Errors
    /// What `spawnerr` is to say.
    fn prepare(&mut self, slot: SlotId) -> Result<Job, String> {
        self.may_have_another(slot)?;
        self.nobody_stands_in_the_way(slot)?;
        let ends = self.prepare_streams(slot);
        let proc = self.procs.proc_mut(slot).ok_or("no such process")?;
        let name = &proc.config.name;
        let recipe = if self.spawns.is_quick(&proc.config) {
            let program = self.spawn_context.program(&proc.config, &proc.group);
            Recipe::Ready(Box::new(program.map_err(|error| error.to_string())?))
        } else {
            let (config, group) = (Arc::clone(&proc.config), Arc::clone(&proc.group));
            Recipe::Open { context: Arc::clone(&self.spawn_context), config, group }
        };
        self.sockets.ensure(&proc.group, &proc.config, &self.link).map_err(|error| error.to_string())?;
        let sockets = self.sockets.for_process(&proc.group, &proc.config);
        let ends = ends.map_err(|error| dispatcher_error(name, &error))?;
        let own =
            |fd: &BorrowedFd<'_>| fd.try_clone_to_owned().map_err(|error| dispatcher_error(name, &error));
        let job = Job {
            slot,
            recipe,
            stdin: sockets.stdin.as_ref().map(own).transpose()?.unwrap_or(ends.stdin),
            stdout: ends.stdout,
            stderr: ends.stderr,
            listeners: sockets.listeners.iter().map(own).collect::<Result<_, _>>()?,
            delivery: Delivery::new(self.spawns.bell.0.clone()),
        };
        proc.creation_begins(self.link.head());
        // Thousands may be started in one turn.
        self.link.pulse();
        Ok(job)
    }

    /// Makes ready the pipes of a process, if need be by doing without something else.
    fn prepare_streams(&mut self, slot: SlotId) -> io::Result<ProgramEnds> {
        loop {
            let proc = self.procs.proc_mut(slot).ok_or(io::ErrorKind::NotFound)?;
            let specs = proc
                .streams
                .are_missing()
                .then(|| stream_specs(proc, self.in_force.config().supervisord.strip_ansi));
            let both = if self.spawn_context.dies_with.is_none() { Ends::Both } else { Ends::Own };
            match proc.streams.prepare(slot, specs, both, &self.link) {
                Err(error) if thrift::is_shortage(&error) && self.economize_more() => {}
                result => return result,
            }
        }
    }

    /// As in Supervisor, process.py, spawn().
    fn fork_error(&self, slot: SlotId, error: &io::Error) -> String {
        let name = self.procs.proc(slot).map_or("", |proc| &proc.config.name);
        match error.raw_os_error() {
            Some(libc::EAGAIN) => format!("Too many processes in process table to spawn '{name}'"),
            other => {
                let errno = errno_name(other.unwrap_or(0));
                format!("unknown error during fork for '{name}': {errno}")
            }
        }
    }

    /// Looks for a program's file, if that can be done without waiting for anybody for long; whoever creates the
    /// program looks again.
    ///
    /// # Errors
    /// It cannot be executed.
    pub fn resolve_promptly(&mut self, config: &Arc<ProcessConfig>) -> Result<(), CommandError> {
        if self.spawns.mounts.are_all_local() || self.spawns.is_quick(config) {
            return self.spawn_context.resolve(config).map(drop);
        }
        let (sender, found) = mpsc::sync_channel(1);
        let (context, config) = (Arc::clone(&self.spawn_context), Arc::clone(config));
        let look = move || {
            // Nobody may wait for it any more.
            let _ = sender.send(context.resolve(&config).map(drop));
        };
        let looks = thread::Builder::new().name("lookup".into()).spawn(look);
        looks.ok().and_then(|_| found.recv_timeout(MOMENT).ok()).unwrap_or(Ok(()))
    }
}

/// What [`Daemon::create_side_by_side`] knows of its crowd.
struct Crowd {
    /// In the order in which they were prepared, with whether somebody can hold it up.
    under_way: VecDeque<(SlotId, Arc<Delivery>, bool)>,
    queue: async_channel::Receiver<Job>,
    /// How long the loop still waits for those that are late.
    patience: Duration,
    n_replaced: usize,
}

/// Those that the loop does not wait for.
impl Daemon {
    fn leave(&mut self, slot: SlotId, delivery: Arc<Delivery>) {
        self.await_newborn(slot, Some(delivery));
        let Some(proc) = self.procs.proc(slot) else { return };
        let waits_for = proc.newborn.as_ref().map(|newborn| newborn.waits_for(&proc.config));
        ::log::debug!("not waiting for '{}': {}", proc.namespec(), waits_for.unwrap_or_default());
        self.show_process(slot);
    }

    /// Goes on with a program that the former manager was about to execute. Nobody tells when that happens.
    pub fn follow_newborn(&mut self, slot: SlotId) {
        self.await_newborn(slot, None);
    }

    fn await_newborn(&mut self, slot: SlotId, delivery: Option<Arc<Delivery>>) {
        let since = clock::monotonic();
        let look_at = delivery.is_none().then_some(since + FIRST_LOOK);
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        proc.await_newborn(Newborn { delivery, since, look_at });
        self.spawns.waiting.push(slot);
    }

    /// When one of them needs attention even though nothing happens.
    pub fn birth_deadline(&self) -> Option<Monotonic> {
        let newborns = self.spawns.waiting.iter().filter_map(|slot| self.procs.proc(*slot)?.newborn.as_ref());
        newborns.map(Newborn::deadline).min()
    }

    /// Takes in what has become of those that the loop did not wait for.
    pub fn hear_births(&mut self) {
        for slot in self.spawns.waiting.clone() {
            self.hear_birth(slot);
        }
        self.spawns.doomed.retain(|doomed| !doomed.is_gone());
    }

    /// The same of one.
    pub fn hear_birth(&mut self, slot: SlotId) {
        let Some(newborn) = self.procs.proc(slot).and_then(|proc| proc.newborn.as_ref()) else { return };
        match &newborn.delivery {
            Some(delivery) => {
                if let Some(outcome) = delivery.take() {
                    self.forget_newborn(slot);
                    self.settle(slot, outcome, Event::SpawnedLate);
                }
            }
            None => {
                let pid = self.link.newborn(slot);
                if !process::has_not_executed(pid, self.link.keeper_pid()) {
                    // It was executed, or has ended, which the ledger tells.
                    self.forget_newborn(slot);
                    self.begin_life(slot, Born { pid, failure: None }, Event::SpawnedLate);
                }
            }
        }
    }

    /// Looks after those whose time has come.
    pub fn look_after_newborns(&mut self) {
        let now = clock::monotonic();
        for slot in self.spawns.waiting.clone() {
            let Some(newborn) = self.procs.proc_mut(slot).and_then(Proc::newborn_mut) else {
                continue;
            };
            if now < newborn.deadline() {
                continue;
            }
            let age = now.since(newborn.since);
            if newborn.delivery.as_ref().is_some_and(|delivery| !delivery.was_taken_up()) {
                // Others hold it up, until those are given up.
                newborn.since = now;
                continue;
            }
            newborn.look_at = newborn.look_at.map(|_| now + age.max(FIRST_LOOK));
            self.hear_birth(slot);
            if age >= PATIENCE {
                self.give_up(slot);
            }
        }
    }

    fn give_up(&mut self, slot: SlotId) {
        let Some(proc) = self.procs.proc(slot) else { return };
        let Some(newborn) = &proc.newborn else { return };
        let why = format!(
            "gave up after {} seconds of {}: a file system or its user holds it up",
            PATIENCE.as_secs(),
            newborn.waits_for(&proc.config)
        );
        ::log::warn!("'{}': {why}; killing it with SIGKILL", proc.namespec());
        self.abandon(slot);
        self.apply(slot, Event::SpawnFailed(why));
    }

    /// Sees to it that what is being created for a process is never executed.
    pub fn abandon(&mut self, slot: SlotId) {
        let Some(newborn) = self.forget_newborn(slot) else { return };
        if newborn.delivery.as_ref().is_none_or(|delivery| delivery.abandon()) {
            // If it has none yet it ends by itself.
            let pid = self.link.newborn(slot);
            self.kill_newborn(pid);
            self.spawns.doomed.push(Doomed { slot, pid, delivery: newborn.delivery });
        }
    }

    /// Its end may stand in the ledger already, and the number be another's by now: it is signalled only as what it is.
    fn kill_newborn(&self, pid: i32) {
        if pid > 0 && !self.procs.has_pid(pid) {
            pidfd::kill_if(pid, || process::is_child_of(pid, self.link.keeper_pid()));
        }
    }

    fn forget_newborn(&mut self, slot: SlotId) -> Option<Newborn> {
        self.spawns.waiting.retain(|waiting| *waiting != slot);
        self.procs.proc_mut(slot)?.take_newborn()
    }

    /// Somebody has ended whose pid no process is known by: the process whose newborn it was, which has it from now on.
    pub fn newborn_ended(&mut self, pid: i32) -> Option<SlotId> {
        let is_it = |slot: &SlotId| {
            let newborn = self.procs.proc(*slot).and_then(|proc| proc.newborn.as_ref());
            // Until it begins the slot has the pid of its predecessor.
            newborn.is_some_and(Newborn::may_exist) && self.link.newborn(*slot) == pid
        };
        let slot = self.spawns.waiting.iter().copied().find(is_it)?;
        let newborn = self.forget_newborn(slot)?;
        // Whoever created it hears of its end, too, at this moment.
        let outcome = newborn.delivery.and_then(|delivery| delivery.wait(LAST_MOMENT));
        let outcome = outcome.unwrap_or(Ok(Born { pid, failure: None }));
        self.settle(slot, outcome, Event::SpawnedLate);
        self.procs.release_pid(pid)
    }

    /// Whether this was one that had been given up.
    pub fn doomed_ended(&mut self, pid: i32) -> bool {
        let is_it = |doomed: &mut Doomed| doomed.pid == pid || (doomed.pid == 0 && doomed.was(pid));
        self.spawns.doomed.extract_if(.., is_it).count() > 0
    }

    /// # Errors
    /// Too many that were given up hang in the kernel.
    fn may_have_another(&mut self, slot: SlotId) -> Result<(), String> {
        self.spawns.doomed.retain(|doomed| !doomed.is_gone());
        let of_slot = || self.spawns.doomed.iter().filter(|doomed| doomed.slot == slot);
        // While one has no pid yet, the kernel is going to write it where the next one's would be.
        if of_slot().any(|doomed| doomed.pid == 0) || of_slot().count() >= MOST_DOOMED {
            return Err(
                "its former tries were killed and have not ended: they hang in the kernel".to_string()
            );
        }
        Ok(())
    }
}

impl Doomed {
    /// Whether nothing is left of it; what the keeper collects is told by the ledger.
    fn is_gone(&self) -> bool {
        self.pid == 0 && self.delivery.as_ref().is_none_or(|delivery| delivery.is_over())
    }

    fn was(&self, pid: i32) -> bool {
        let outcome = self.delivery.as_ref().and_then(|delivery| delivery.take());
        matches!(outcome, Some(Ok(born)) if born.pid == pid)
    }
}

/// Whether a process is to get a program and nobody is about to create it.
fn waits_for_program(proc: &Proc) -> bool {
    matches!(proc.process.state, State::Starting { pid: None, .. }) && proc.newborn.is_none()
}

/// As in Supervisor, process.py, spawn().
fn dispatcher_error(name: &str, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => format!("too many open files to spawn '{name}'"),
        other => {
            let errno = errno_name(other.unwrap_or(0));
            format!("unknown error making dispatchers for '{name}': {errno}")
        }
    }
}
