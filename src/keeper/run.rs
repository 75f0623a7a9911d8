//! The keeper's loop.
//!
//! One poll waits for signals, for descriptors that are handed over, and for the manager's doorbell. The keeper's
//! memory does not grow: nothing in here allocates.

use crate::keeper::drain::{Drain, Shared};
use crate::keeper::end::End;
use crate::keeper::upgrade::Upgrade;
use crate::keeper::watch::Watch;
use crate::model::time::Monotonic;
use crate::shm::handshake::drain_counter;
use crate::shm::layout::*;
use crate::sys::exec::{self, ExecStrings};
use crate::sys::memory::{Mapping, ReadOnly};
use crate::sys::title::TitleArea;
use crate::sys::{clock, fd, signals};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::ffi::c_int;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering::*;
use std::time::Duration;

/// A manager that crashed after it had lived for this long is started again at once. One that somebody
/// killed is in any case.
const LIVED_LONG: Duration = Duration::from_secs(2);

/// After so many managers in a row that were killed before they were up, there is a pause. A manager gives its first
/// answers before that, so killing each manager that answers causes none.
const EARLY_KILLS: u32 = 8;

/// The pause before a manager that dies young is started again: doubled each time, up to the second value.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Looking for dead children that no signal told of costs time in proportion to their number, so it is done
/// at most this often.
const SWEEP_INTERVAL: Duration = Duration::from_millis(20);

/// Everything the keeper has, made by `boot`.
pub struct Keeper {
    /// The memory that the keeper writes.
    pub shared: Mapping<KeeperMemory>,
    /// The memory that managers write: hints, checked before they are used.
    pub manager_memory: Mapping<ManagerMemory<ReadOnly>>,
    /// The keeper's end of the socket on which descriptors arrive.
    pub deposits: OwnedFd,
    /// The eventfd that the manager rings when it wants something.
    pub doorbell: OwnedFd,
    /// The eventfd that the keeper rings when the ledger has grown.
    pub manager_doorbell: OwnedFd,
    /// A signalfd on which every signal arrives.
    pub signals: OwnedFd,
    /// The binary that managers run.
    pub binary: OwnedFd,
    /// The arguments of managers: their title, followed by the daemon's options.
    pub manager_arguments: ExecStrings,
    /// The environment of managers, with the variable that names their descriptors.
    pub manager_environment: ExecStrings,
    /// The environment of a candidate that only does its check.
    pub check_environment: ExecStrings,
    /// Our own, for the day we are replaced.
    pub keeper_arguments: ExecStrings,
    /// The environment of the next keeper, with the variable that names its descriptors.
    pub keeper_environment: ExecStrings,
    /// Under this number the next keeper looks for its binary.
    pub binary_number: RawFd,
    /// Managers run the binary that this process runs, so that they need not execute it.
    pub binary_is_own: bool,
    /// Nobody but root may look into this process; see `guard`.
    pub is_guarded: bool,
    /// Where managers that are not executed show their name.
    pub title: Option<TitleArea>,
    /// What ran before the candidate that is on trial.
    pub former_binary: Option<OwnedFd>,
    /// How far an upgrade has come.
    pub upgrade: Upgrade,
    /// How many of the upgrades that were asked for have been begun.
    pub upgrades_begun: u32,
    /// Where the process that the shell waits for learns how the start went; `None` once told, or if nobody
    /// waits.
    pub launched: Option<OwnedFd>,
    /// The manager that is alive; `None` from its end to the start of the next one.
    pub manager: Option<Manager>,
    /// The last manager has ended and is still to be reaped.
    pub dead_manager: Option<i32>,
    /// How many managers in a row died young.
    pub died_young: u32,
    /// How many managers in a row have ended before they were up.
    pub ended_early: u32,
    /// When the next manager is due, while there is none.
    pub restart_at: Monotonic,
    /// When all children were looked through last; see `SWEEP_INTERVAL`.
    pub last_sweep: Monotonic,
    /// Whether there may be dead children that no signal told of.
    pub sweep_due: bool,
    /// What moves output to logs while there is no manager.
    pub drain: Drain,
    /// What is known of an end that was asked for.
    pub end: End,
    /// What notices a manager that hangs.
    pub watch: Watch,
    /// Since when the programs run without a daemon.
    pub detached: Option<Monotonic>,
}

/// The manager that is alive.
#[derive(Clone, Copy)]
pub struct Manager {
    /// Its pid: a child of the keeper.
    pub pid: i32,
    /// When it was started.
    pub since: Monotonic,
}

/// Where a manager's start goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Keeper,
    /// In the child.
    Manager,
    /// Nowhere: there is no manager, and none was ever up.
    Nobody,
}

/// How a keeper's run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The daemon has ended, with this exit status.
    Ended(u8),
    /// This is not the keeper any more, but its child, which is to be a manager. Environment and descriptors are
    /// those of one that was executed.
    Manager,
}

impl Keeper {
    /// Keeps. Returns at the end of the daemon, and in each manager that was forked.
    pub fn run(mut self) -> Kept {
        let kept = self.keep();
        match kept {
            Kept::Ended(status) => self.tell_foreground_proxy(status),
            Kept::Manager => self.become_manager(),
        }
        kept
    }

    fn keep(&mut self) -> Kept {
        loop {
            if self.wants_manager() && clock::monotonic() >= self.restart_at {
                self.drain.end();
                match self.start_manager() {
                    Side::Keeper => {}
                    Side::Manager => return Kept::Manager,
                    Side::Nobody => return Kept::Ended(2),
                }
            }
            if self.manager.is_none() {
                self.reap_manager();
                self.drain_logs();
            }
            self.watch_clients();
            let ready = self.wait();
            if ready.signals {
                self.take_signals();
            }
            if ready.deposits {
                self.take_deposits();
            }
            if ready.doorbell {
                drain_counter(&self.doorbell);
                self.report_launch();
                self.begin_upgrade();
                self.note_check_wanted();
                // The manager may have made room for exits that are waiting.
                self.sweep_due = true;
            }
            if ready.foreground_proxy {
                self.lose_foreground_proxy();
            }
            if ready.resume_client {
                self.take_resume_client();
            }
            if ready.clients {
                self.client_came();
            }
            if let Some(status) = self.sweep() {
                return Kept::Ended(status);
            }
            if self.progress_of_end() {
                return Kept::Ended(0);
            }
            self.end_without_deaf_manager();
            self.watch_upgrade();
            self.watch_manager();
        }
    }

    fn start_manager(&mut self) -> Side {
        let now = clock::monotonic();
        let shared = self.shared.get();
        // Counted before: on a busy machine the manager may read its number, and say that it is up under it,
        // before we run again.
        shared.manager_starts.fetch_add(1, AcqRel);
        // Programs of our own user could let managers die young on purpose, to look at one that is being executed.
        let forks = self.binary_is_own && (self.died_young == 0 || self.is_guarded);
        let started = if forks {
            // SAFETY: the keeper has a single thread.
            unsafe { exec::fork_manager() }
        } else {
            // Another binary; or the last one died young, and this one begins with nothing that it might have died of.
            exec::start_manager(self.binary.as_fd(), &self.manager_arguments, &self.manager_environment)
                .map(Some)
        };
        match started {
            Ok(Some(pid)) => {
                shared.manager_pid.store(pid, Release);
                self.manager = Some(Manager { pid, since: now });
                self.expect_reaction();
            }
            Ok(None) => return Side::Manager,
            Err(error) => {
                shared.manager_starts.fetch_sub(1, AcqRel);
                return self.do_without_manager(&error, now);
            }
        }
        Side::Keeper
    }

    /// In a forked child: leaves nothing of the keeper but what an executed manager would have, too.
    fn become_manager(self) {
        // Every other descriptor of the keeper's own is closed with it.
        for handed_on in [self.doorbell, self.manager_doorbell] {
            let _ = handed_on.into_raw_fd();
        }
        // SAFETY: this process has a single thread, and whatever it knew of its arguments and its environment was
        // copied when the keeper was assembled.
        unsafe {
            self.manager_environment.become_environment();
            if let Some(title) = self.title {
                title.show(&self.manager_arguments);
            }
        }
    }

    /// Moves what programs write to their logs, in the place of a manager.
    fn drain_logs(&mut self) {
        // Not `Shared::of`, which would borrow all of us.
        let shared = Shared { keeper: self.shared.get(), manager: self.manager_memory.get() };
        self.drain.begin(shared);
        self.drain.round(shared);
    }

    /// Puts the next attempt off, longer each time, or gives up if the daemon is to end anyway. `was_up` says
    /// whether the last manager had come up.
    pub(super) fn try_later(&mut self, was_up: bool, now: Monotonic) {
        let doublings = self.died_young.min(16);
        self.died_young = self.died_young.saturating_add(1);
        if self.end_without_manager(was_up) {
            return;
        }
        self.restart_at = now + FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
    }

    fn wait(&self) -> Ready {
        let always = PollFd::new(&self.signals, PollFlags::IN);
        // What there is nothing to wait for at is replaced by the signals, which are waited for anyway.
        let maybe = |fd, flags| PollFd::from_borrowed_fd(fd, flags);
        let (resume_listener, foreground_proxy) = (self.resume_listener(), self.foreground_proxy());
        let mut fds = [
            always.clone(),
            PollFd::new(&self.deposits, PollFlags::IN),
            PollFd::new(&self.doorbell, PollFlags::IN),
            self.drain.fd().map_or(always.clone(), |fd| maybe(fd, PollFlags::IN)),
            self.watch.fd().map_or(always.clone(), |fd| maybe(fd, PollFlags::IN)),
            resume_listener.map_or(always.clone(), |fd| maybe(fd, PollFlags::IN)),
            // The end of its reader shows by itself.
            foreground_proxy.map_or(always, |fd| maybe(fd, PollFlags::empty())),
        ];
        let timeout = self.next_deadline().map(|deadline| {
            let rest = deadline.since(clock::monotonic());
            // Not negative, and at most LONGEST_PAUSE.
            rustix::event::Timespec { tv_sec: rest.as_secs() as i64, tv_nsec: i64::from(rest.subsec_nanos()) }
        });
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return Ready {
                signals: true,
                deposits: true,
                doorbell: true,
                clients: true,
                resume_client: false,
                foreground_proxy: false,
            };
        }
        let is = |index: usize| !fds[index].revents().is_empty();
        let (resume_client, foreground_proxy) =
            (resume_listener.is_some() && is(5), foreground_proxy.is_some() && is(6));
        Ready {
            signals: is(0),
            deposits: is(1),
            doorbell: is(2),
            clients: is(4),
            resume_client,
            foreground_proxy,
        }
    }

    fn next_deadline(&self) -> Option<Monotonic> {
        let restart = self.wants_manager().then_some(self.restart_at);
        let sweep = (self.sweep_due && !self.is_full()).then(|| self.last_sweep + SWEEP_INTERVAL);
        let watch = [self.upgrade_deadline(), self.end_deadline(), self.watch.deadline()];
        watch.into_iter().chain([restart, sweep, self.drain.deadline()]).flatten().min()
    }

    /// Reads every pending signal. A death is looked at at once, by its pid, which costs the same however
    /// many children there are; the signals of several deaths may have become one, so a sweep follows.
    fn take_signals(&mut self) {
        loop {
            let mut infos = [MaybeUninit::<libc::signalfd_siginfo>::uninit(); 16];
            // SAFETY: the buffer is as large as stated, and the kernel writes whole structures.
            let n_bytes = unsafe {
                libc::read(self.signals.as_raw_fd(), infos.as_mut_ptr().cast(), size_of_val(&infos))
            };
            if n_bytes <= 0 {
                return;
            }
            let count = n_bytes as usize / size_of::<libc::signalfd_siginfo>();
            for info in &infos[..count] {
                // SAFETY: the kernel filled the first `count`.
                let info = unsafe { info.assume_init_ref() };
                if info.ssi_signo == libc::SIGCHLD as u32 {
                    self.sweep_due = true;
                    self.look_at_end_soon();
                    let pid = info.ssi_pid as i32;
                    let managers = [self.manager.map(|manager| manager.pid), self.dead_manager];
                    if !managers.contains(&Some(pid)) && !self.is_checking(pid) {
                        self.record_exit(Which::Pid(pid));
                    }
                } else {
                    self.record_signal(info.ssi_signo, info.ssi_pid as i32);
                }
            }
        }
    }

    /// Looks for dead children of any pid, if that is due. The daemon's exit status if this was its end.
    fn sweep(&mut self) -> Option<u8> {
        let now = clock::monotonic();
        if let Some(manager) = self.manager
            && self.sweep_due
            && let Some(status) = wait_status(Which::Pid(manager.pid))
        {
            self.manager = None;
            // Its own predecessor, if that has died within the same interval, is not for the ledger.
            self.reap_manager();
            self.dead_manager = Some(manager.pid);
            // It is reaped in the next sweep.
            self.last_sweep = now;
            return self.manager_ended(manager, status.status, now);
        }
        if let Upgrade::Checking { pid, .. } = self.upgrade
            && self.sweep_due
            && let Some(dead) = wait_status(Which::Pid(pid))
        {
            reap(pid);
            self.check_ended(dead.status);
        }
        if !self.sweep_due || now < self.last_sweep + SWEEP_INTERVAL {
            return None;
        }
        self.sweep_due = false;
        self.last_sweep = now;
        self.reap_manager();
        while self.record_exit(Which::Any) {}
        // Without room they wait as zombies until the manager rings.
        self.sweep_due = self.is_full();
        None
    }

    /// Reaps the manager that has ended. Its successor comes first: the kernel holds whoever reaps a process until the
    /// last of its threads is done, which may take milliseconds if that waits for a processor.
    fn reap_manager(&mut self) {
        if let Some(pid) = self.dead_manager.take() {
            reap(pid);
        }
    }

    /// The manager is gone. Either it said goodbye, or it never came up, or it is started again.
    fn manager_ended(&mut self, manager: Manager, status: i32, now: Monotonic) -> Option<u8> {
        self.shared.get().manager_pid.store(0, Release);
        // What it deposited before it died counts.
        self.take_deposits();
        if self.is_left_alone() {
            // It either ended so, or could not resume such a daemon: its message is on the terminal.
            self.detach(if status & 0x7f == 0 { ((status >> 8) & 0xff) as u8 } else { 1 });
            return None;
        }
        let memory = self.manager_memory.get();
        let goodbye = memory.goodbye.load(Acquire);
        let ended = if goodbye != 0 {
            // Masked: the memory is the manager's, and an exit status has eight bits.
            Some((goodbye.wrapping_sub(1) & 0xff) as u8)
        } else if memory.ready.load(Acquire) == 0 {
            // Its message is on the terminal; a death by signal is an uncaught error.
            let code = if status & 0x7f == 0 { ((status >> 8) & 0xff) as u8 } else { 1 };
            let code = if code == 0 { 1 } else { code };
            self.fail_to_start(code);
            Some(code)
        } else {
            None
        };
        if let Some(code) = ended {
            self.tell_launcher(code);
            return Some(code);
        }
        if self.take_candidate() {
            self.died_young = 0;
            self.restart_at = now;
            return None;
        }
        let was_up = self.manager_is_up();
        // By somebody else. Who was not up yet is not to blame for that either, unless it happens again and again: then it
        // probably is what the kernel ends for want of memory.
        let killed = status & 0x7f == libc::SIGKILL && (was_up || self.ended_early < EARLY_KILLS);
        self.ended_early = if was_up { 0 } else { self.ended_early.saturating_add(1) };
        let lived_long = now.since(manager.since) >= LIVED_LONG;
        if killed || self.roll_back(status) || (was_up && lived_long) {
            self.died_young = 0;
            self.restart_at = now;
        } else {
            // It fails by itself, and the next one will probably do the same.
            self.try_later(was_up, now);
        }
        None
    }

    /// Tells whoever waits that the daemon is up, and leaves the terminal.
    fn report_launch(&mut self) {
        let is_up = self.manager_memory.get().ready.load(Acquire) == 1 && !self.is_left_alone();
        if self.launched.is_some() && is_up {
            let _ = fd::detach_stdio();
            self.tell_launcher(0);
        }
    }

    pub(super) fn tell_launcher(&mut self, status: u8) {
        if let Some(launched) = self.launched.take() {
            let _ = rustix::io::write(&launched, &[status]);
        }
    }

    /// Whether the ledger has no room. A tail that cannot be right counts as no room taken: the manager only
    /// harms itself with it.
    fn is_full(&self) -> bool {
        let head = self.shared.get().head.load(Relaxed);
        let tail = self.manager_memory.get().tail.load(Acquire);
        head.checked_sub(tail).is_some_and(|waiting| waiting >= LEDGER_ENTRIES as u64)
    }

    /// Whether the manager knows whose program this was, and so does not need its name.
    fn is_known(&self, pid: i32) -> bool {
        let known = self.manager_memory.get().known_pid(pid);
        known.is_some_and(|(word, bit)| word.load(Relaxed) & bit != 0)
    }

    /// Peeks at a dead child, writes its entry, publishes it and only then reaps it. Whether there was one.
    fn record_exit(&mut self, which: Which) -> bool {
        if self.is_full() {
            return false;
        }
        let Some(dead) = wait_status(which) else { return false };
        if self.manager.is_some_and(|manager| manager.pid == dead.pid) || self.is_checking(dead.pid) {
            // Dealt with in the next round of `run`.
            return false;
        }
        let name = if self.is_known(dead.pid) { [0; 16] } else { name_of(dead.pid) };
        self.kill_stragglers(dead.pid);
        if self.detached.is_some() {
            self.remove_credentials_of(dead.pid);
        }
        self.append(|entry| {
            entry.kind.store(ENTRY_EXIT, Relaxed);
            entry.pid.store(dead.pid, Relaxed);
            entry.status.store(dead.status, Relaxed);
            entry.user_micros.store(micros(dead.usage.ru_utime), Relaxed);
            entry.system_micros.store(micros(dead.usage.ru_stime), Relaxed);
            entry.max_resident.store(dead.usage.ru_maxrss.max(0) as u64, Relaxed);
            for (place, byte) in entry.name.iter().zip(name) {
                place.store(byte, Relaxed);
            }
        });
        reap(dead.pid);
        true
    }

    /// A full ledger loses a signal rather than an exit.
    pub(super) fn record_signal(&mut self, signal: u32, sender: i32) {
        let asks_for_end = signals::asks_for_end(signal as i32);
        if self.detached.is_some() {
            return self.hear_while_detached(asks_for_end);
        }
        if asks_for_end {
            self.note_exit_request(self.shared.get().head.load(Relaxed));
        }
        if self.is_full() {
            return;
        }
        self.append(|entry| {
            entry.kind.store(ENTRY_SIGNAL, Relaxed);
            entry.pid.store(sender, Relaxed);
            entry.status.store(signal as i32, Relaxed);
            for place in &entry.name {
                place.store(0, Relaxed);
            }
        });
    }

    /// Writes one entry, publishes it and wakes the manager.
    fn append(&mut self, fill: impl FnOnce(&LedgerEntry)) {
        let shared = self.shared.get();
        let sequence = shared.head.load(Relaxed);
        let entry = &shared.ledger[(sequence % LEDGER_ENTRIES as u64) as usize];
        entry.monotonic.store(clock::monotonic().0, Relaxed);
        entry.wall.store(clock::wall().0, Relaxed);
        fill(entry);
        shared.head.store(sequence + 1, Release);
        self.expect_reaction();
    }

    /// Takes in whatever lies in the socket.
    pub(super) fn take_deposits(&mut self) {
        loop {
            let mut bytes = [0; message::MAX_BYTES];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(message::MAX_PLACES))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            // Not close-on-exec: the next manager inherits them, and nobody else is started from here.
            let received = recvmsg(
                &self.deposits,
                &mut [IoSliceMut::new(&mut bytes)],
                &mut ancillary,
                RecvFlags::DONTWAIT,
            );
            let Ok(received) = received else { return };
            if received.bytes == 0 {
                return;
            }
            let fds = ancillary.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                _ => None,
            });
            self.carry_out(&bytes[..received.bytes], fds.flatten());
        }
    }

    fn carry_out(&self, bytes: &[u8], mut fds: impl Iterator<Item = OwnedFd>) {
        let mut numbers =
            bytes.chunks_exact(4).map(|four| u32::from_ne_bytes([four[0], four[1], four[2], four[3]]));
        let operation = numbers.next();
        for place in numbers {
            let shared = self.shared.get();
            let Some(place) = shared.place(place) else { continue };
            let held = match operation {
                Some(message::DEPOSIT) => match fds.next() {
                    Some(fd) => fd.into_raw_fd() + 1,
                    None => {
                        // Out of descriptors: the kernel left it out of the message.
                        shared.deposits_lost.fetch_add(1, Relaxed);
                        continue;
                    }
                },
                Some(message::DROP) => 0,
                _ => continue,
            };
            let former = place.swap(held, AcqRel);
            if former > 0 {
                // SAFETY: the vault owns what stands in its places, and this one was just taken out.
                drop(unsafe { OwnedFd::from_raw_fd(former - 1) });
            }
        }
    }
}

struct Ready {
    signals: bool,
    deposits: bool,
    doorbell: bool,
    clients: bool,
    resume_client: bool,
    foreground_proxy: bool,
}

/// Which child's end to ask the kernel for.
#[derive(Clone, Copy)]
enum Which {
    Pid(i32),
    Any,
}

/// A child that has ended and has not been reaped.
struct Dead {
    pid: i32,
    /// As wait(2) would encode it.
    status: i32,
    usage: libc::rusage,
}

/// Asks the kernel for a dead child without reaping it.
fn wait_status(which: Which) -> Option<Dead> {
    let (id_type, id) = match which {
        Which::Pid(pid) => (libc::P_PID, pid),
        Which::Any => (libc::P_ALL, 0),
    };
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both structures are valid when zeroed and are written by the kernel. The C library's waitid
    // has no usage, the system call does.
    unsafe {
        let result = libc::syscall(
            libc::SYS_waitid,
            id_type,
            id,
            info.as_mut_ptr(),
            libc::WEXITED | libc::WNOWAIT | libc::WNOHANG,
            usage.as_mut_ptr(),
        );
        let info = info.assume_init();
        let pid = info.si_pid();
        if result != 0 || pid == 0 {
            return None;
        }
        let status = match info.si_code {
            libc::CLD_EXITED => (info.si_status() & 0xff) << 8,
            libc::CLD_DUMPED => info.si_status() | 0x80,
            _ => info.si_status(),
        };
        Some(Dead { pid, status, usage: usage.assume_init() })
    }
}

/// Whether this is a child of ours that has not ended.
pub(super) fn is_alive(pid: i32) -> bool {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the structure is valid when zeroed and is written by the kernel.
    unsafe {
        let flags = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
        // P_PID wants a number that is not negative; pids are not.
        libc::waitid(libc::P_PID, pid as libc::id_t, info.as_mut_ptr(), flags) == 0
            && info.assume_init().si_pid() == 0
    }
}

fn reap(pid: i32) {
    let mut status: c_int = 0;
    // SAFETY: a valid place for the status; this is the only process that waits for our children.
    while unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } < 0
        && std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted
    {}
}

fn micros(time: libc::timeval) -> u64 {
    time.tv_sec.max(0) as u64 * 1_000_000 + time.tv_usec.max(0) as u64
}

/// The name of a dead child, for those nobody asked for.
fn name_of(pid: i32) -> [u8; 16] {
    let mut path = [0; 32];
    let mut name = [0; 16];
    let written = {
        let mut rest = &mut path[..];
        // 6 + 10 + 5 bytes at most, and the last byte stays zero.
        std::io::Write::write_fmt(&mut rest, format_args!("/proc/{pid}/comm")).is_ok()
    };
    if !written {
        return name;
    }
    // SAFETY: the path is zero-terminated, the buffer is as large as stated, the descriptor is closed again.
    unsafe {
        let fd = libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC);
        if fd >= 0 {
            libc::read(fd, name.as_mut_ptr().cast(), name.len() - 1);
            libc::close(fd);
        }
    }
    if let Some(end) = name.iter().position(|byte| *byte == b'\n') {
        name[end..].fill(0);
    }
    name
}
