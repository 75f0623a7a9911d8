//! Creates the programs of processes: one by one, or several at a time where several are due.
//!
//! A thread that creates a program stands still until the program is executed; with one thread all processors but one
//! would idle. So one thread for each processor creates what is due at once: the start of a group, programs that died
//! together. The loop prepares one process after the other and takes their outcomes in the same order, so log lines and
//! events come as if there were no threads at all. The threads live as long as the crowd does: an idle daemon has none of
//! them. Logs are opened when the whole crowd runs; what programs write until then waits in their pipes.
//!
//! A single program is created by the loop itself if nobody can hold that up. Otherwise a thread does it (`jobs.rs`), and
//! the loop waits for it no longer than [`MOMENT`].

pub mod cgroups;
mod confine;
pub mod context;
pub mod credentials;
mod crowd;
mod filters;
pub mod jobs;
mod pending;
pub mod sockets;

use crate::config::command::{self, CommandError};
use crate::core::process::Event;
use crate::manager::daemon::Daemon;
use crate::manager::processes::SlotId;
use crate::manager::spawn::cgroups::LeftCgroups;
use crate::manager::spawn::jobs::{AbandonedSpawn, Created, Delivery, Job, Outcome, Recipe, Trouble, hire};
use crate::manager::streams::ProgramEnds;
use crate::manager::streams::stream_specs;
use crate::manager::streams::thrift;
use crate::model::config::ProcessConfig;
use crate::sys::errno::errno_name;
use crate::sys::mounts::Mounts;
use crate::sys::pipe::Ends;
use crate::sys::spawn::Spawner;
use crate::sys::{process, schedule};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// More threads than this would wait for the loop, which prepares their work.
const MOST_THREADS: usize = 4;

/// So long the loop waits for a program that is created beside it: hundreds of times as long as it usually takes, and
/// not long for a client.
const MOMENT: Duration = Duration::from_millis(20);

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
    /// The processes with a pending spawn.
    waiting: Vec<SlotId>,
    abandoned: Vec<AbandonedSpawn>,
    /// Control groups of programs that have ended and left something behind.
    pub left_cgroups: LeftCgroups,
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
            abandoned: Vec::new(),
            left_cgroups: LeftCgroups::default(),
            bell: async_channel::bounded(1),
        })
    }

    /// Waits until there is something for [`Daemon::conclude_pending_spawns`].
    pub async fn ring(&self) {
        // We hold the sender.
        let _ = self.bell.1.recv().await;
    }

    /// One spawner, which goes [home](Spawns::home) afterwards.
    ///
    /// # Errors
    /// The system's.
    pub fn borrow_spawner(&mut self) -> io::Result<Spawner> {
        self.spawner()
    }

    /// Where a spawner goes that was borrowed.
    pub fn home(&self) -> mpsc::Sender<Spawner> {
        self.home.0.clone()
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
        let goes_elsewhere =
            config.directory.is_some() || context::changes_user(config) || context::asks_around(config);
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

    fn spawn_alone(&mut self, slot: SlotId) {
        self.spawns.looked_up = None;
        let job = match self.prepare(slot) {
            Ok(job) => job,
            Err(why) => return self.conclude(slot, Err(Trouble::Command(why)), Event::Spawned),
        };
        if job.may_hang() {
            return self.spawn_beside(job);
        }
        let created = self.spawns.spawner().map_err(Trouble::System).and_then(|mut spawner| {
            let created = job.carry_out(&mut spawner, &self.link);
            self.spawns.spawners.push(spawner);
            // The kernel has woken us on the processor that the program is on.
            thread::yield_now();
            created
        });
        self.conclude(slot, created, Event::Spawned);
    }

    /// Lets a thread create a program, and waits for it a moment.
    fn spawn_beside(&mut self, job: Job) {
        let (slot, delivery) = (job.slot, Arc::clone(&job.delivery));
        let (jobs, queue) = async_channel::bounded(1);
        if let Err(error) = self.hire(&queue) {
            return self.conclude(slot, Err(Trouble::System(error)), Event::Spawned);
        }
        // There is room for it, and we hold the other end.
        let _ = jobs.try_send(job);
        match delivery.wait(MOMENT) {
            Some(outcome) => self.conclude(slot, outcome, Event::Spawned),
            None => self.leave(slot, delivery),
        }
    }

    fn hire(&mut self, queue: &async_channel::Receiver<Job>) -> io::Result<()> {
        let spawner = self.spawns.spawner()?;
        hire(queue.clone(), spawner, self.spawns.home.0.clone(), Arc::clone(&self.link))
    }

    /// Tells the state machine how the creation of a program went.
    fn conclude(&mut self, slot: SlotId, outcome: Outcome, spawned: fn(i32) -> Event) {
        let why = match outcome {
            Ok(created) => return self.begin_life(slot, created, spawned),
            Err(Trouble::Abandoned) => return,
            Err(Trouble::Command(why)) => why,
            Err(Trouble::System(error)) => self.fork_error(slot, &error),
        };
        self.give_up_cgroup(slot);
        self.apply(slot, Event::SpawnFailed(why));
    }

    fn begin_life(&mut self, slot: SlotId, created: Created, spawned: fn(i32) -> Event) {
        let Created { pid, failure, filter } = created;
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        let wants_ticks = self.map.is_kept() || proc.config.stop_scope.is_wide();
        let start_ticks = if wants_ticks { process::start_ticks(pid).unwrap_or(0) } else { 0 };
        proc.program_created(start_ticks, self.in_force.generation(), failure, filter);
        let spawn_head = proc.spawn_head;
        self.procs.claim_pid(pid, slot, spawn_head);
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
        let config = Arc::clone(&self.procs.proc(slot).ok_or("no such process")?.config);
        self.provide_notify_socket(&config)?;
        self.settle_cgroups_for(&config);
        self.keep_cgroup(slot);
        let tree_mark = self.announce_tree(slot, &config);
        let notification =
            self.prepare_ready_pipe(slot, &config).map_err(|error| dispatcher_error(&config.name, &error))?;
        let copies = self.prepare_credentials(slot, &config)?;
        let ends = self.prepare_streams(slot);
        let proc = self.procs.proc_mut(slot).ok_or("no such process")?;
        let name = &proc.config.name;
        let recipe = if self.spawns.is_quick(&proc.config) {
            let program = self.spawn_context.program(&proc.config, &proc.group, None, None);
            let mut program = program.map_err(|error| error.to_string())?;
            program.confine = self.spawn_context.confine(&proc.config, None, None)?;
            Recipe::Ready(Box::new(program))
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
            notification,
            copies,
            tree_mark,
            delivery: Delivery::new(self.spawns.bell.0.clone()),
        };
        proc.creation_begins(self.link.head());
        // Thousands may be started in one turn.
        self.link.beat();
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
