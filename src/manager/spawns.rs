//! Creating the programs of processes: one by one, or several at a time where several are due.
//!
//! A thread that creates a program stands still until the program is executed, and so would all processors but one.
//! What is due at once (the start of a group, a crowd that died together) is therefore created by one thread for
//! each processor. The loop prepares one process after the other and hears in the same order how each went, so log
//! lines and events come as if there were no threads at all. They live as long as the crowd does: an idle daemon has
//! none of them. Logs are opened when the whole crowd runs: what programs write until then is in their pipes.

use crate::core::process::Event;
use crate::keeper::link::{Link, Origin};
use crate::manager::daemon::{Daemon, stream_specs};
use crate::manager::procs::SlotId;
use crate::sys::errno::errno_name;
use crate::sys::pipe::Ends;
use crate::sys::process;
use crate::sys::schedule;
use crate::sys::spawn::{Program, Spawner, Stdio};
use std::cell::OnceCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

/// A crowd: fewer are created one by one sooner than threads are.
const CROWD: usize = 4;

/// More threads than this would wait for the loop, which prepares their work.
const MOST_THREADS: usize = 4;

/// So many programs for each thread are prepared ahead. Each takes descriptors.
const AHEAD: usize = 2;

/// What programs are created with.
pub struct Spawns {
    /// One for each thread; at least one.
    spawners: Vec<Spawner>,
    /// The processes that wait for their programs, while [`Daemon::spawn_together`] gathers them.
    gathered: Option<Vec<SlotId>>,
    /// Those that have their programs and wait for the rest of the crowd to have theirs, so that nobody's program has to
    /// wait for somebody else's logs.
    unheard: Option<Vec<SlotId>>,
}

impl Spawns {
    /// Must be made early, while low descriptor numbers are free.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Spawns> {
        let n_threads = schedule::n_processors().clamp(1, MOST_THREADS);
        let spawners = (0..n_threads).map(|_| Spawner::new()).collect::<io::Result<_>>()?;
        Ok(Spawns { spawners, gathered: None, unheard: None })
    }
}

/// A program that is ready to be created, with everything that takes.
struct Job {
    slot: SlotId,
    program: Program,
    stdin: OwnedFd,
    stdout: OwnedFd,
    /// `None`: where standard output goes.
    stderr: Option<OwnedFd>,
    listeners: Vec<OwnedFd>,
}

/// A program that was created.
struct Born {
    pid: i32,
    /// What went wrong before its first instruction.
    failure: Option<String>,
}

/// How the creation of a process' program went, once that is known.
type Answer = mpsc::Receiver<io::Result<Born>>;

impl Job {
    /// Creates the program. A manager that dies meanwhile leaves a slot that says how far it came.
    fn carry_out(self, spawner: &mut Spawner, link: &Link) -> io::Result<Born> {
        let listeners: Vec<BorrowedFd<'_>> = self.listeners.iter().map(AsFd::as_fd).collect();
        let stdio = Stdio {
            stdin: self.stdin.as_fd(),
            stdout: self.stdout.as_fd(),
            stderr: self.stderr.as_ref().unwrap_or(&self.stdout).as_fd(),
            listeners: &listeners,
        };
        let (pid, failure) = spawner.spawn(&self.program, stdio, link.announce_birth(self.slot))?;
        Ok(Born { pid, failure: failure.map(|failure| failure.describe(&self.program)) })
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

    fn spawn_all(&mut self, slots: Vec<SlotId>) {
        let rest = if slots.len() < CROWD || self.spawns.spawners.len() < 2 {
            slots
        } else {
            self.spawn_side_by_side(slots)
        };
        rest.into_iter().for_each(|slot| self.spawn_alone(slot));
    }

    fn spawn_alone(&mut self, slot: SlotId) {
        let born = self.prepare(slot).and_then(|job| {
            // There is at least one, but while they all are at work; then everything is gathered.
            let spawner = self.spawns.spawners.first_mut().ok_or("nothing to create it with")?;
            let born = job.carry_out(spawner, &self.link).map_err(|error| self.fork_error(slot, &error));
            // The kernel has woken us on the processor that the program is on.
            thread::yield_now();
            born
        });
        self.settle(slot, born);
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
        let mut spawners = std::mem::take(&mut self.spawns.spawners);
        let link = Arc::clone(&self.link);
        let (jobs, queue) = async_channel::unbounded::<(Job, mpsc::SyncSender<io::Result<Born>>)>();
        let rest = thread::scope(|scope| {
            // Moved in: when this scope's work is done the queue ends, and with it the threads.
            let jobs = jobs;
            let started = spawners.iter_mut().map(|spawner| {
                let (queue, link) = (queue.clone(), &link);
                let work = move || {
                    while let Ok((job, answer)) = queue.recv_blocking() {
                        // Somebody waits for it.
                        let _ = answer.send(job.carry_out(spawner, link));
                    }
                };
                thread::Builder::new().spawn_scoped(scope, work)
            });
            let n_threads = started.filter(Result::is_ok).count();
            if n_threads == 0 {
                return slots;
            }
            let mut under_way = VecDeque::new();
            let mut rank = None;
            for slot in slots {
                // Those that come first by priority have been created before the next ones are.
                let former = std::mem::replace(&mut rank, self.rank(slot));
                let most = if former == rank { n_threads * AHEAD - 1 } else { 0 };
                while under_way.len() > most {
                    self.settle_first(&mut under_way);
                }
                let mut job = self.prepare(slot);
                if job.is_err() && !under_way.is_empty() {
                    // Perhaps for want of descriptors that those before still hold.
                    while !under_way.is_empty() {
                        self.settle_first(&mut under_way);
                    }
                    job = self.prepare(slot);
                }
                match job {
                    Ok(job) => {
                        let (sender, answer) = mpsc::sync_channel(1);
                        // The queue has no limit of its own, and this scope holds its other end.
                        let _ = jobs.try_send((job, sender));
                        under_way.push_back((slot, answer));
                    }
                    Err(why) => self.settle(slot, Err(why)),
                }
            }
            while !under_way.is_empty() {
                self.settle_first(&mut under_way);
            }
            Vec::new()
        });
        self.spawns.spawners = spawners;
        rest
    }

    /// The priorities of a process: its group's and its own.
    fn rank(&self, slot: SlotId) -> Option<(i64, i64)> {
        let proc = self.procs.proc(slot)?;
        Some((self.procs.group(&proc.group)?.config.priority, proc.config.priority))
    }

    /// Waits for the oldest of those that are under way.
    fn settle_first(&mut self, under_way: &mut VecDeque<(SlotId, Answer)>) {
        let Some((slot, answer)) = under_way.pop_front() else { return };
        let born = answer.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
        let born = born.map_err(|error| self.fork_error(slot, &error));
        self.settle(slot, born);
    }

    /// Tells the state machine how the creation of a program went.
    fn settle(&mut self, slot: SlotId, born: Result<Born, String>) {
        let keeps_map = self.keeps_map();
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        match born {
            Ok(Born { pid, failure }) => {
                proc.starts = proc.starts.saturating_add(1);
                proc.fingerprint = OnceCell::new();
                let start_ticks = if keeps_map { process::start_ticks(pid).unwrap_or(0) } else { 0 };
                proc.origin = Origin { start_ticks, generation: self.generation, adopted: false };
                proc.failure = failure;
                let born_at = proc.born_at;
                self.procs.claim_pid(pid, slot, born_at);
                self.link.set_known(pid, true);
                self.apply(slot, Event::Spawned(pid));
                self.show_process(slot);
                match &mut self.spawns.unheard {
                    Some(unheard) => unheard.push(slot),
                    None => self.begin_streams(slot),
                }
            }
            Err(why) => self.apply(slot, Event::SpawnFailed(why)),
        }
    }

    /// Makes ready everything that the creation of a process' program takes.
    ///
    /// # Errors
    /// What `spawnerr` is to say.
    fn prepare(&mut self, slot: SlotId) -> Result<Job, String> {
        let proc = self.procs.proc_mut(slot).ok_or("no such process")?;
        let name = &proc.config.name;
        let program = self.common.program(&proc.config, &proc.group).map_err(|error| error.to_string())?;
        if self.sockets.ensure(&proc.group, &proc.config, &self.link).map_err(|error| error.to_string())? {
            self.snapshot_is_old = true;
        }
        let sockets = self.sockets.for_process(&proc.group, &proc.config);
        let specs =
            proc.streams.are_missing().then(|| stream_specs(proc, self.config.supervisord.strip_ansi));
        let both = if self.common.dies_with.is_none() { Ends::Both } else { Ends::Own };
        let ends = proc
            .streams
            .prepare(slot, specs, both, &self.link)
            .map_err(|error| dispatcher_error(name, &error))?;
        let own =
            |fd: &BorrowedFd<'_>| fd.try_clone_to_owned().map_err(|error| dispatcher_error(name, &error));
        let job = Job {
            slot,
            program,
            stdin: sockets.stdin.as_ref().map(own).transpose()?.unwrap_or(ends.stdin),
            stdout: ends.stdout,
            stderr: ends.stderr,
            listeners: sockets.listeners.iter().map(own).collect::<Result<_, _>>()?,
        };
        proc.born_at = self.link.head();
        // Thousands may be started in one turn.
        self.link.pulse();
        Ok(job)
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
