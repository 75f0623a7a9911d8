//! Ends the daemon without a manager.
//!
//! Stopping everything in order is the manager's job, and the keeper starts a manager for it if there is none. If that
//! manager does not come up, whoever asked for the end must not have to wait for a repair. Then the keeper stops the
//! programs itself, by what the last manager wrote down for each slot: which signal, to whom, how long to wait before
//! SIGKILL, and in which order. From then on no manager is started any more.

use crate::keeper::drain::{Drain, Shared};
use crate::keeper::run::{Keeper, Side, is_alive};
use crate::model::signal::Signal;
use crate::model::state::{ProcessState, SupervisorState};
use crate::model::time::Monotonic;
use crate::shm::layout::*;
use crate::sys::descent::{Identity, Tree};
use crate::sys::memory::ReadOnly;
use crate::sys::{clock, limits, pidfd, process, signals, tree};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::cell::OnceCell;
use std::collections::HashSet;
use std::ffi::CStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::*;
use std::time::Duration;

/// After so many managers that came up and died soon, while the end was due, the keeper ends the daemon itself.
const TRIES: u32 = 4;

/// How long a manager may take to hear of a request once there are as many as [`IMPATIENT_REQUESTS`].
const HEARING: Duration = Duration::from_secs(5);

/// How long after SIGKILL a process that is still there, because it hangs in the kernel, is checked again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Deaths within this time are dealt with together.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(10);

/// The grace period of a program about which nothing is known: Supervisor's default of `stopwaitsecs`.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// So long the keeper may be busy with one tree before it looks around.
const TURN: Duration = Duration::from_secs(1);

/// After so many looks what is left of trees is left alone.
const MOST_LOOKS_BEHIND: u32 = 100;

/// The longest list of files that are to be removed, in bytes.
const MAX_LIST: usize = 64 * 1024;

/// So many names are removed at most from the private directories of programs.
const MOST_CREDENTIALS: usize = 1 << 20;

/// The longest name of a file, in bytes (NAME_MAX, limits.h).
const MAX_NAME: usize = 255;

/// What the keeper knows of an end that was asked for.
#[derive(Default)]
pub struct End {
    /// The number in the ledger of the last signal that asked for it.
    asked_at: Option<u64>,
    n_asked: u32,
    /// The requests that no manager has heard of.
    unheard: Option<Unheard>,
    /// Set once the keeper does it itself.
    alone: Option<Phase>,
    /// How often it has looked for what programs left behind that are all gone.
    n_looks_behind: u32,
}

/// Requests that no manager has heard of.
#[derive(Clone, Copy)]
struct Unheard {
    /// The number of the first one in the ledger.
    first: u64,
    n_asked: u32,
    /// Until when the manager is waited for, once there are enough of them.
    until: Option<Monotonic>,
}

/// The groups of one priority are stopping.
#[derive(Clone, Copy)]
struct Phase {
    /// `None` before the first one.
    priority: Option<i64>,
    since: Monotonic,
    /// When to look again even though nothing happens.
    look_at: Monotonic,
}

impl Keeper {
    /// A signal asks for the end of the daemon; its number in the ledger is `sequence`.
    pub(super) fn note_exit_request(&mut self, sequence: u64) {
        self.end.asked_at = Some(sequence);
        self.end.n_asked += 1;
        self.count_unheard(sequence);
        if let Some(phase) = &mut self.end.alone {
            phase.look_at = Monotonic(0);
        } else if self.manager.is_none() {
            // The next manager is to do it, now.
            self.restart_at = clock::monotonic();
        }
    }

    /// Whether a manager has dealt with the ledger's entry of this number. A tail beyond the head was not written by one.
    fn is_heard(&self, sequence: u64) -> bool {
        let tail = self.manager_memory.get().tail.load(Acquire);
        (sequence + 1..=self.shared.get().head.load(Relaxed)).contains(&tail)
    }

    fn count_unheard(&mut self, sequence: u64) {
        let earlier = self.end.unheard.filter(|unheard| !self.is_heard(unheard.first));
        let mut unheard = earlier.unwrap_or(Unheard { first: sequence, n_asked: 0, until: None });
        unheard.n_asked += 1;
        if unheard.n_asked >= IMPATIENT_REQUESTS {
            unheard.until.get_or_insert_with(|| clock::monotonic() + HEARING);
        }
        self.end.unheard = Some(unheard);
    }

    /// Ends the daemon without its manager if that has not heard of several requests, and has had the time to.
    pub(super) fn end_without_deaf_manager(&mut self) {
        let is_over = |unheard: &Unheard| unheard.until.is_some_and(|until| until <= clock::monotonic());
        let Some(unheard) = self.end.unheard.filter(is_over) else { return };
        self.end.unheard = None;
        let Some(manager) = self.manager.filter(|_| !self.ends_alone()) else { return };
        // Who is being debugged is not deaf.
        if self.is_heard(unheard.first) || process::is_traced(manager.pid) {
            return;
        }
        tell("supervisord: the manager does not react; the keeper stops the programs itself\n");
        let _ = signals::send(manager.pid, Signal::KILL);
        self.end_alone();
    }

    /// Whether the keeper ends the daemon itself.
    pub(super) fn ends_alone(&self) -> bool {
        self.end.alone.is_some()
    }

    /// A manager has died, or could not even be started, and the next one is no more likely to come up: ends the
    /// daemon without one if that is due. Whether it does.
    pub(super) fn end_without_manager(&mut self, was_up: bool) -> bool {
        let memory = self.manager_memory.get();
        let not_heard = self.end.asked_at.is_some_and(|sequence| !self.is_heard(sequence));
        let is_due = not_heard || memory.supervisor_state() == Some(SupervisorState::Shutdown.code());
        if !is_due || (was_up && self.died_young < TRIES) {
            return false;
        }
        tell("supervisord: no manager comes up; the keeper stops the programs itself\n");
        self.end_alone();
        true
    }

    /// A manager could not even be created. Whoever waits for the daemon to come up is not let wait for better times.
    pub(super) fn do_without_manager(&mut self, error: &io::Error, now: Monotonic) -> Side {
        let is_first = self.manager_memory.get().ready.load(Acquire) == 0;
        if !is_first && !self.is_left_alone() {
            self.try_later(false, now);
            return Side::Keeper;
        }
        let advice = limits::advice(error);
        eprintln!("Error: the daemon's second process, the manager, cannot be created: {error}{advice}");
        if is_first {
            self.fail_to_start(2);
            return Side::Nobody;
        }
        self.detach(2);
        Side::Keeper
    }

    /// The daemon has never come up: leaves nothing behind, and says so to whoever waits for it.
    pub(super) fn fail_to_start(&mut self, status: u8) {
        Shared::of(self).remove_files();
        self.tell_launcher(status);
    }

    /// Ends the daemon without a manager.
    pub(super) fn end_alone(&mut self) {
        let now = clock::monotonic();
        self.end.alone = Some(Phase { priority: None, since: now, look_at: now });
    }

    pub(super) fn end_deadline(&self) -> Option<Monotonic> {
        let unheard = self.end.unheard.and_then(|unheard| unheard.until);
        self.end.alone.map(|phase| phase.look_at).or(unheard)
    }

    /// A child has died: what is left is looked at soon.
    pub(super) fn look_at_end_soon(&mut self) {
        let soon = clock::monotonic() + LOOK_AT_MOST_EVERY;
        if let Some(phase) = &mut self.end.alone {
            phase.look_at = phase.look_at.min(soon);
        }
    }

    /// Goes on with the end; true once nothing runs any more.
    pub(super) fn progress_of_end(&mut self) -> bool {
        let now = clock::monotonic();
        let Some(mut phase) = self.end.alone.filter(|phase| phase.look_at <= now) else { return false };
        let programs = Programs { shared: Shared::of(self) };
        let Some(priority) = programs.alive().map(|slot| programs.priority(slot)).max() else {
            if programs.kill_what_trees_left() && self.end.n_looks_behind < MOST_LOOKS_BEHIND {
                self.end.n_looks_behind += 1;
                phase.look_at = now + LOOK_AT_MOST_EVERY;
                self.end.alone = Some(phase);
                return false;
            }
            self.leave_nothing_behind();
            return true;
        };
        if phase.priority != Some(priority) {
            phase = Phase { priority: Some(priority), since: now, look_at: now };
            programs.alive_of(priority).for_each(|slot| programs.ask_to_stop(slot));
        }
        let is_impatient = self.end.n_asked >= IMPATIENT_REQUESTS;
        phase.look_at = Monotonic(u64::MAX);
        for slot in programs.alive_of(priority) {
            let kill_at = programs.kill_at(slot, phase.since);
            let look_at = if now >= kill_at || is_impatient {
                programs.kill(slot);
                now + LOOK_AGAIN
            } else {
                kill_at
            };
            phase.look_at = phase.look_at.min(look_at);
            if programs.adopted(slot).is_some() {
                // No signal tells of its end.
                phase.look_at = phase.look_at.min(now + LOOK_AGAIN);
            }
        }
        self.end.alone = Some(phase);
        false
    }

    /// Everything has ended: what was written last goes to the logs, and our files go.
    fn leave_nothing_behind(&mut self) {
        // Not `Shared::of`, which would borrow all of us.
        let shared = Shared { keeper: self.shared.get(), manager: self.manager_memory.get() };
        self.drain.finish(shared);
        shared.remove_files();
    }

    /// Kills whoever a program left behind in its process group, if that is what its end means. To be called
    /// while the program is a zombie, so that the group's number is still its own.
    pub(super) fn kill_stragglers(&self, pid: i32) {
        if self.end.alone.is_none() {
            return;
        }
        let programs = Programs { shared: Shared::of(self) };
        let of_pid = |slot: &u32| programs.shared.manager.slots[*slot as usize].pid.load(Acquire) == pid;
        if let Some(slot) = programs.used().find(of_pid)
            && programs.flags(slot) & STOP_KILLS_GROUP != 0
        {
            // The rest of its tree is looked for once all programs have ended.
            let _ = signals::send_group(pid, Signal::KILL);
        }
    }
}

impl Keeper {
    /// Nobody else removes the credentials of a program that ends while there is no daemon.
    pub(super) fn remove_credentials_of(&self, pid: i32) {
        let shared = Shared::of(self);
        let Some(credentials) = shared.held(Place::Credentials) else { return };
        let programs = Programs { shared: Shared::of(self) };
        let of_pid = |slot: &u32| programs.shared.manager.slots[*slot as usize].pid.load(Acquire) == pid;
        if let Some(slot) = programs.used().find(of_pid) {
            let _ = tree::clear_beginning(credentials, format!("{slot}.").as_bytes(), MOST_CREDENTIALS);
        }
    }
}

/// The programs, as shared memory has them.
struct Programs<'a> {
    shared: Shared<'a>,
}

impl Programs<'_> {
    fn used(&self) -> impl Iterator<Item = u32> {
        0..self.shared.manager.slots_used.load(Acquire).min(SLOTS as u32)
    }

    /// The slots whose programs run.
    fn alive(&self) -> impl Iterator<Item = u32> + '_ {
        self.used().filter(|slot| self.pid(*slot).is_some())
    }

    fn alive_of(&self, priority: i64) -> impl Iterator<Item = u32> + '_ {
        self.alive().filter(move |slot| self.priority(*slot) == priority)
    }

    fn slot(&self, slot: u32) -> &Slot<ReadOnly> {
        // Numbers come from `used`.
        &self.shared.manager.slots[slot as usize]
    }

    fn pid(&self, slot: u32) -> Option<i32> {
        if let Some(pidfd) = self.adopted(slot) {
            let pid = self.record(slot).pid.load(Relaxed);
            return (pid > 0 && !pidfd::has_ended(pidfd)).then_some(pid);
        }
        let slot = self.slot(slot);
        let is_used = matches!(slot.phase.load(Acquire) & 0xff, PHASE_SPAWNING | PHASE_RUNNING);
        let pid = slot.pid.load(Acquire);
        (is_used && pid > 0 && is_alive(pid)).then_some(pid)
    }

    /// Hold of a program that is not our child.
    fn adopted(&self, slot: u32) -> Option<BorrowedFd<'_>> {
        let is_adopted = self.record(slot).flags.load(Relaxed) & FLAG_ADOPTED != 0;
        self.shared.keeper.held(Place::Pidfd(slot)).filter(|_| is_adopted)
    }

    fn record(&self, slot: u32) -> &Record<ReadOnly> {
        let slot = self.slot(slot);
        &slot.records[(slot.current.load(Acquire) & 1) as usize]
    }

    fn hint(&self, slot: u32) -> Option<&StopHint<ReadOnly>> {
        self.shared.is_current().then(|| &self.shared.manager.stops[slot as usize])
    }

    fn priority(&self, slot: u32) -> i64 {
        self.hint(slot).map_or(0, |hint| hint.group_priority.load(Relaxed))
    }

    fn flags(&self, slot: u32) -> u32 {
        self.hint(slot).map_or(0, |hint| hint.flags.load(Relaxed))
    }

    /// When a manager wanted to kill it, if one had asked it to stop.
    fn stopping_until(&self, slot: u32) -> Option<Monotonic> {
        let record = self.record(slot);
        let is_stopping = record.state.load(Relaxed) == ProcessState::Stopping.code() as u32;
        is_stopping.then(|| Monotonic(record.deadline.load(Relaxed)))
    }

    fn ask_to_stop(&self, slot: u32) {
        let Some(pid) = self.pid(slot).filter(|_| self.stopping_until(slot).is_none()) else { return };
        let number = self.hint(slot).map_or(0, |hint| hint.signal.load(Relaxed));
        let signal = match i32::try_from(number) {
            Ok(number @ 1..=64) => Signal::from_raw(number),
            _ => Signal::TERM,
        };
        self.send(slot, pid, signal, self.flags(slot) & STOP_ASKS_GROUP != 0);
    }

    fn kill(&self, slot: u32) {
        if let Some(pid) = self.pid(slot) {
            self.send(slot, pid, Signal::KILL, self.flags(slot) & STOP_KILLS_GROUP != 0);
        }
    }

    /// Kills who is left of the trees of programs that have ended. Whether anybody was.
    fn kill_what_trees_left(&self) -> bool {
        let mut found = false;
        let programs = OnceCell::new();
        let is_program = |pid: i32| programs.get_or_init(|| self.programs()).contains(&pid);
        for slot in self.used().filter(|slot| self.reaches_tree(*slot, STOP_KILLS_GROUP)) {
            for mark in &self.shared.manager.tree_marks[slot as usize] {
                let mark = mark.load(Acquire);
                if mark != 0 {
                    let tree = Tree { mark, ..self.tree(slot) };
                    let ended = tree.end(TURN, &is_program);
                    found |= !ended.killed.is_empty() || !ended.is_over;
                }
            }
        }
        found
    }

    fn reaches_tree(&self, slot: u32, flag: u32) -> bool {
        const TREE: u32 = STOP_MEANS_TREE;
        self.flags(slot) & (TREE | flag) == TREE | flag
    }

    /// The tree of a slot, but for its program.
    fn tree(&self, slot: u32) -> Tree {
        Tree {
            mark: self.shared.manager.tree_marks[slot as usize][0].load(Acquire),
            keeper: process::own_pid(),
            is_anywhere: self.adopted(slot).is_some(),
            ..Tree::default()
        }
    }

    /// The pids of all programs that are alive.
    fn programs(&self) -> HashSet<i32> {
        self.alive().filter_map(|slot| self.pid(slot)).collect()
    }

    /// Sends a signal to a program, its descendants, and its group. Unlike everything else here this allocates memory.
    fn send_to_tree(&self, slot: u32, pid: i32, signal: Signal) {
        let tree = Tree { main: Identity::of(pid), group: pid, ..self.tree(slot) };
        let programs = self.programs();
        let is_program = |pid: i32| programs.contains(&pid);
        if signal == Signal::KILL {
            tree.end(TURN, &is_program);
        } else {
            let members = tree.members(&is_program);
            self.send(slot, pid, signal, false);
            tree.signal_descendants(&members, signal);
        }
    }

    fn send(&self, slot: u32, pid: i32, signal: Signal, group: bool) {
        if group && self.flags(slot) & STOP_MEANS_TREE != 0 {
            return self.send_to_tree(slot, pid, signal);
        }
        // It may have just ended.
        let _ = if let Some(pidfd) = self.adopted(slot) {
            if group { pidfd::send_group(pidfd, pid, signal) } else { pidfd::send(pidfd, signal) }
        } else if group {
            signals::send_group(pid, signal)
        } else {
            signals::send(pid, signal)
        };
    }

    fn kill_at(&self, slot: u32, asked: Monotonic) -> Monotonic {
        let grace =
            self.hint(slot).map_or(DEFAULT_GRACE, |hint| Duration::from_nanos(hint.grace.load(Relaxed)));
        self.stopping_until(slot).unwrap_or(asked + grace)
    }
}

impl Shared<'_> {
    /// Removes the files that the manager would remove at an orderly end: pidfile, lock and sockets.
    pub(super) fn remove_files(&self) {
        if !self.is_current() {
            return;
        }
        let mut list = [0; MAX_LIST];
        let Some(held) = self.held(Place::Files) else { return };
        if let Some(credentials) = self.held(Place::Credentials) {
            let _ = tree::clear(credentials, MOST_CREDENTIALS);
        }
        let n_bytes = rustix::io::pread(held, &mut list[..MAX_LIST - 1], 0).unwrap_or(0);
        for path in list[..n_bytes].split_inclusive(|byte| *byte == 0) {
            // One that does not end with a zero did not fit.
            if let Ok(path) = CStr::from_bytes_with_nul(path) {
                let _ = unlink_without_links(path);
            }
        }
    }
}

/// Removes a file whose directory was named without links. If there is one on the way by now, somebody has exchanged a
/// directory, and nothing is removed.
fn unlink_without_links(path: &CStr) -> Result<(), Errno> {
    const FLAGS: OFlags =
        OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    let mut directory = rustix::fs::open(c"/", FLAGS, Mode::empty())?;
    let mut rest = path.to_bytes_with_nul().strip_prefix(b"/").ok_or(Errno::INVAL)?;
    while let Some(slash) = rest.iter().position(|byte| *byte == b'/') {
        let mut component = [0; MAX_NAME + 1];
        component.get_mut(..slash).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(&rest[..slash]);
        let name = CStr::from_bytes_until_nul(&component).map_err(|_| Errno::NAMETOOLONG)?;
        directory = rustix::fs::openat(&directory, name, FLAGS, Mode::empty())?;
        rest = &rest[slash + 1..];
    }
    let name = CStr::from_bytes_with_nul(rest).map_err(|_| Errno::INVAL)?;
    match rustix::fs::unlinkat(&directory, name, AtFlags::empty()) {
        // Only if it is empty.
        Err(Errno::ISDIR) => rustix::fs::unlinkat(&directory, name, AtFlags::REMOVEDIR),
        done => done,
    }
}

/// Writes to standard error: the terminal, or the container's log.
fn tell(text: &str) {
    // SAFETY: standard error is open for as long as the process lives; see `fd::fill_stdio`.
    let stderr = unsafe { BorrowedFd::borrow_raw(2) };
    let _ = rustix::io::write(stderr, text.as_bytes());
}

impl Drain {
    /// Moves what is left in the pipes.
    fn finish(&mut self, shared: Shared<'_>) {
        self.begin(shared);
        self.move_all(shared);
    }
}
