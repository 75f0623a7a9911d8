//! The manager's end of what it shares with the keeper: it reads the ledger, deposits descriptors, and exchanges single
//! words. The records of processes are in [`slots`](crate::shm::slots).

use crate::model::config::ProcessConfig;
use crate::model::exit::ExitStatus;
use crate::model::time::{Monotonic, Wall};
use crate::shm::cursor::Cursor;
use crate::shm::handshake::{self, MANAGER_VARIABLE, entry_name, numbers_from};
use crate::shm::layout::*;
use crate::sys::memory::{Mapping, ReadOnly};
use crate::sys::{fd, process, signals};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::collections::HashSet;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::time::Duration;

/// The connection of a manager to its keeper.
pub struct Link {
    shared: Mapping<KeeperMemory<ReadOnly>>,
    pub(super) memory: Mapping<ManagerMemory>,
    deposits: OwnedFd,
    keeper_doorbell: OwnedFd,
    /// Every ledger entry below this number has been dealt with. What stands in shared memory follows from it.
    tail: AtomicU64,
    /// Entries below this number may have been dealt with before: what an earlier manager had noted was destroyed.
    replayed_before: u64,
    inherited: Inherited,
}

/// Which places of the vault still stand for a descriptor that this process inherited and nobody has taken over.
struct Inherited {
    /// A bit for each place that does not.
    spent: Box<[AtomicU64]>,
}

impl Inherited {
    fn all() -> Inherited {
        let n_places = ALL_PLACES;
        Inherited { spent: (0..n_places.div_ceil(64)).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Whether this is the first time for the place.
    fn spend(&self, place: Place) -> bool {
        let index = place.index() as usize;
        let bit = 1 << (index % 64);
        self.spent.get(index / 64).is_some_and(|word| word.fetch_or(bit, AcqRel) & bit == 0)
    }
}

/// Something from the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the ledger; the first one has 0.
    pub sequence: u64,
    /// Who ended, or who sent the signal.
    pub pid: i32,
    /// When, on the monotonic clock.
    pub monotonic: Monotonic,
    /// When, on the wall clock.
    pub wall: Wall,
    /// What happened.
    pub what: What,
}

/// What an entry of the ledger tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A child of the keeper ended.
    Exit {
        /// How it ended.
        status: ExitStatus,
        /// What it was called in `/proc`; empty if somebody knows the pid (see [`Link::set_known`]).
        name: String,
    },
    /// The keeper got a signal.
    Signal(i32),
}

/// Refuses memory of another version.
///
/// # Errors
/// `InvalidData`, which names the memory and both versions.
pub fn check_versions<K, M>(shared: &KeeperMemory<K>, memory: &ManagerMemory<M>) -> io::Result<()> {
    let versions = [
        (shared.magic.load(Acquire) == KEEPER_MAGIC, shared.layout.load(Relaxed), "keeper"),
        (memory.magic.load(Acquire) == MANAGER_MAGIC, memory.layout.load(Relaxed), "manager"),
    ];
    for (known, layout, whose) in versions {
        if !known || layout != LAYOUT {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the {whose}'s shared memory has layout {layout}, this version knows {LAYOUT}"),
            ));
        }
    }
    Ok(())
}

/// From where on the ledger is to be dealt with, and up to where that may be for the second time.
///
/// What shared memory says is believed if it can be true. If not, the last entry that went into a slot was dealt with, and
/// so was everything before it; whatever came later is dealt with again, as far as the ledger reaches back.
fn sound_tail(shared: &KeeperMemory<ReadOnly>, memory: &ManagerMemory) -> (u64, u64) {
    let head = shared.head.load(Acquire);
    let tail = memory.tail.load(Acquire);
    let reaches_back = head.saturating_sub(LEDGER_ENTRIES as u64);
    if (reaches_back..=head).contains(&tail) {
        return (tail, 0);
    }
    let used = memory.slots_used.load(Acquire).min(SLOTS as u32) as usize;
    let applied = memory.slots[..used].iter().map(|slot| {
        let record = &slot.records[(slot.current.load(Acquire) & 1) as usize];
        record.applied.load(Relaxed)
    });
    let applied = applied.filter(|applied| *applied <= head).max().unwrap_or(0);
    (applied.max(reaches_back), head)
}

impl Link {
    /// Connects to the keeper, if this process was started by one. Also returns the doorbell to wait for.
    pub fn inherit() -> Option<io::Result<(Link, OwnedFd)>> {
        let numbers = numbers_from(MANAGER_VARIABLE, process::own_parent())?;
        let [shared, memory, deposits, keeper_doorbell, doorbell] = <[i32; 5]>::try_from(numbers).ok()?;
        // SAFETY: the variable names this very process, so the keeper has left these numbers open in it, each for one
        // purpose; this is called once, before anything else is opened.
        let adopt =
            |number| unsafe { fd::adopt(number) }.ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF));
        let connect = || {
            // Memory of an earlier release is made longer, and a limit on the size of files is no reason to die of that.
            signals::ignore_write_signals();
            // Programs must not inherit any of this.
            fd::close_at_exec_from(3)?;
            let shared = Mapping::map(adopt(shared)?)?;
            let memory = Mapping::map(adopt(memory)?)?;
            check_versions(shared.get(), memory.get())?;
            let (tail, replayed_before) = sound_tail(shared.get(), memory.get());
            let link = Link {
                shared,
                memory,
                deposits: adopt(deposits)?,
                keeper_doorbell: adopt(keeper_doorbell)?,
                tail: AtomicU64::new(tail),
                replayed_before,
                inherited: Inherited::all(),
            };
            Ok((link, adopt(doorbell)?))
        };
        Some(connect())
    }

    /// The keeper's pid, which is the daemon's.
    pub fn keeper_pid(&self) -> i32 {
        self.shared.get().keeper_pid.load(Relaxed)
    }

    /// How many managers this keeper has started, this one included.
    pub fn manager_starts(&self) -> u32 {
        self.shared.get().manager_starts.load(Relaxed)
    }

    /// Takes a descriptor out of what this process inherited from the vault, which keeps its own. `None` if the vault
    /// held nothing there when it started this process, or if it has been taken already.
    pub fn take(&self, place: Place) -> Option<OwnedFd> {
        let held = self.shared.get().place(place.index())?.load(Acquire);
        if !self.inherited.spend(place) {
            return None;
        }
        // SAFETY: the keeper has read every deposit of our predecessors before it started this process, so this number is
        // open here since then; what this process has deposited itself counts as spent, as does what was taken.
        unsafe { fd::adopt(held - 1) }
    }

    /// Hands descriptors to the keeper. Once this returns they survive this process.
    ///
    /// # Errors
    /// The socket's; nothing was handed over then.
    pub fn deposit(&self, deposits: &[(Place, BorrowedFd<'_>)]) -> io::Result<()> {
        for (place, _) in deposits {
            // What stands there from now on is a number of the keeper's.
            self.inherited.spend(*place);
        }
        for some in deposits.chunks(message::MAX_PLACES) {
            let fds: Vec<BorrowedFd<'_>> = some.iter().map(|(_, fd)| *fd).collect();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(message::MAX_PLACES))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            // The buffer has room for MAX_PLACES, which `chunks` keeps to.
            ancillary.push(SendAncillaryMessage::ScmRights(&fds));
            self.send(message::DEPOSIT, some.iter().map(|(place, _)| *place), &mut ancillary)?;
        }
        Ok(())
    }

    /// Lets the keeper close what it holds in these places.
    ///
    /// # Errors
    /// The socket's. Messages before the one that failed have been sent.
    pub fn drop_deposits(&self, places: &[Place]) -> io::Result<()> {
        for some in places.chunks(message::MAX_PLACES) {
            self.send(message::DROP, some.iter().copied(), &mut SendAncillaryBuffer::default())?;
        }
        Ok(())
    }

    fn send(
        &self,
        operation: u32,
        places: impl Iterator<Item = Place>,
        ancillary: &mut SendAncillaryBuffer<'_, '_, '_>,
    ) -> io::Result<()> {
        let words = std::iter::once(operation).chain(places.map(Place::index));
        let bytes: Vec<u8> = words.flat_map(u32::to_ne_bytes).collect();
        loop {
            match sendmsg(&self.deposits, &[IoSlice::new(&bytes)], ancillary, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether there are ledger entries that have not been dealt with.
    pub fn has_entries(&self) -> bool {
        let tail = self.tail.load(Relaxed);
        let written = &self.memory.get().tail;
        if written.load(Relaxed) != tail {
            // Somebody else wrote there. The keeper goes by it.
            written.store(tail, Release);
        }
        tail < self.head()
    }

    /// Entries below this number may have been dealt with before, because it was lost how far an earlier manager had come.
    pub fn replayed_before(&self) -> u64 {
        self.replayed_before
    }

    /// The next ledger entry that has not been dealt with.
    pub fn next_entry(&self) -> Option<Entry> {
        if !self.has_entries() {
            return None;
        }
        let sequence = self.tail.load(Relaxed);
        let entry = &self.shared.get().ledger[(sequence % LEDGER_ENTRIES as u64) as usize];
        let status = entry.status.load(Relaxed);
        let what = if entry.kind.load(Relaxed) == ENTRY_SIGNAL {
            What::Signal(status)
        } else {
            What::Exit { status: ExitStatus::from_wait_status(status), name: entry_name(entry) }
        };
        Some(Entry {
            sequence,
            pid: entry.pid.load(Relaxed),
            monotonic: Monotonic(entry.monotonic.load(Relaxed)),
            wall: Wall(entry.wall.load(Relaxed)),
            what,
        })
    }

    /// Of whose ends the ledger still has to tell, by pid.
    pub fn ends_to_come(&self) -> HashSet<i32> {
        let entries = (self.tail.load(Relaxed)..self.head())
            .map(|sequence| &self.shared.get().ledger[(sequence % LEDGER_ENTRIES as u64) as usize]);
        let exits = entries.filter(|entry| entry.kind.load(Relaxed) == ENTRY_EXIT);
        exits.map(|entry| entry.pid.load(Relaxed)).collect()
    }

    /// Whether one of those says that the program with this pid has ended which was created when the ledger's head was
    /// at `spawn_head`. Until it does, nobody else can have the pid.
    pub fn tells_end(&self, pid: i32, spawn_head: u64) -> bool {
        let first = self.tail.load(Relaxed).max(spawn_head);
        (first..self.head()).any(|sequence| {
            let entry = &self.shared.get().ledger[(sequence % LEDGER_ENTRIES as u64) as usize];
            entry.kind.load(Relaxed) == ENTRY_EXIT && entry.pid.load(Relaxed) == pid
        })
    }

    /// The number the next new entry will have.
    pub fn head(&self) -> u64 {
        self.shared.get().head.load(Acquire)
    }

    /// Says that the entry with this number, and every one before it, has been dealt with.
    pub fn advance_past(&self, sequence: u64) {
        let memory = self.memory.get();
        let was_full = self.head() - sequence >= LEDGER_ENTRIES as u64;
        self.tail.store(sequence + 1, Relaxed);
        memory.tail.store(sequence + 1, Release);
        if was_full {
            self.ring();
        }
    }

    fn ring(&self) {
        handshake::ring(&self.keeper_doorbell);
    }

    /// Whether an earlier manager had come up: this one takes over.
    pub fn is_ready(&self) -> bool {
        self.memory.get().ready.load(Acquire) == 1
    }

    /// Says that this manager is up, and with the first one the daemon.
    pub fn set_ready(&self) {
        // Before: until then nobody relies on what an earlier one has left, and afterwards only on ours.
        self.memory.get().hints_by.store(self.manager_starts(), Release);
        self.memory.get().manager_up.store(self.manager_starts(), Release);
        self.memory.get().ready.store(1, Release);
        self.memory.get().detached.store(0, Release);
        self.ring();
    }

    /// Says what the keeper is to do with an output while there is no manager: a `DRAIN_*` of `layout`. `channel` is
    /// 0 for standard output, 1 for standard error.
    pub fn set_drain(&self, slot: u32, channel: u32, what: u32) {
        let Some(drains) = self.memory.get().drains.get(slot as usize) else { return };
        let shift = DRAIN_BITS * channel.min(1);
        let replace = |old: u32| Some(old & !(DRAIN_MASK << shift) | (what & DRAIN_MASK) << shift);
        // Never refuses.
        let _ = drains.fetch_update(AcqRel, Acquire, replace);
    }

    /// Says whether it is known whose program has this pid: then its end is told without its name.
    pub fn set_known(&self, pid: i32, is_known: bool) {
        let Some((word, bit)) = self.memory.get().known_pid(pid) else { return };
        if is_known {
            word.fetch_or(bit, Relaxed);
        } else {
            word.fetch_and(!bit, Relaxed);
        }
    }

    /// What [`Link::set_drain`] said last.
    pub fn drain(&self, slot: u32, channel: u32) -> u32 {
        let drains = self.memory.get().drains.get(slot as usize).map_or(0, |drains| drains.load(Acquire));
        drains >> (DRAIN_BITS * channel.min(1)) & DRAIN_MASK
    }

    /// Where an output with a spool is. `channel` as for [`Link::set_drain`].
    pub fn cursor(&self, slot: u32, channel: u32) -> Option<&Cursor> {
        self.memory.get().cursors.get(slot as usize)?.get(channel as usize)
    }

    /// Whether the keeper holds anything in a place by now.
    pub fn holds(&self, place: Place) -> bool {
        self.shared.get().place(place.index()).is_some_and(|held| held.load(Acquire) > 0)
    }

    /// Where a descriptor that the keeper holds by now can be opened by somebody of the same user.
    pub fn path_to(&self, place: Place) -> Option<PathBuf> {
        let number = self.shared.get().place(place.index())?.load(Acquire) - 1;
        (number >= 0).then(|| format!("/proc/{}/fd/{number}", self.keeper_pid()).into())
    }

    /// Says how the program of a slot is stopped if there is no manager to do it.
    pub fn set_stop(&self, slot: u32, config: &ProcessConfig, group_priority: i64) {
        let Some(hint) = self.memory.get().stops.get(slot as usize) else { return };
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        let flags = flag(config.stopasgroup, STOP_ASKS_GROUP) | flag(config.killasgroup, STOP_KILLS_GROUP);
        let flags = flags | flag(config.stop_scope.is_wide(), STOP_MEANS_TREE);
        // Signals are positive.
        hint.signal.store(config.stopsignal.raw() as u32, Relaxed);
        hint.flags.store(flags, Relaxed);
        hint.group_priority.store(group_priority, Relaxed);
        // The keeper alone sends the first signal only, and waits as long as for all of them.
        let n_signals = u32::try_from(config.stopsignal_then.len() + 1).unwrap_or(u32::MAX);
        let grace = config.stopwaitsecs.saturating_mul(n_signals);
        let grace = u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX);
        hint.grace.store(grace, Release);
    }

    /// Says how long a manager may take to react to something before it is replaced; zero: for ever.
    pub fn set_watchdog(&self, patience: Duration) {
        let millis = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        self.memory.get().watchdog_millis.store(millis, Release);
    }

    /// Shows that the manager's loop runs: begins another round.
    pub fn beat(&self) {
        // Only the loop writes it.
        let beats = &self.memory.get().beats;
        beats.store(beats.load(Relaxed).wrapping_add(1), Release);
    }

    /// Lets the keeper check whether the loop runs, because something was posted to it. Wakes the keeper only if no check
    /// has been asked for yet.
    pub fn expect_beat(&self) {
        let memory = self.memory.get();
        let next = self.shared.get().checks.load(Acquire).wrapping_add(1);
        if memory.watchdog_millis.load(Relaxed) != 0 && memory.check_wanted.swap(next, AcqRel) != next {
            self.ring();
        }
    }

    /// Whether the manager before this one was killed because it hung.
    pub fn former_hung(&self) -> bool {
        let hung = self.shared.get().hung.load(Acquire);
        hung != 0 && hung + 1 == self.manager_starts()
    }

    /// Whether the daemon had ended and left its programs running: this manager is to resume it.
    pub fn is_detached(&self) -> bool {
        self.memory.get().detached.load(Acquire) == 1
    }

    /// Signals with lower numbers in the ledger came before the daemon had ended last.
    pub fn heeds_from(&self) -> u64 {
        self.shared.get().heeds_from.load(Acquire)
    }

    /// Says that the end of this process leaves the programs to the keeper alone.
    pub fn set_detached(&self) {
        self.memory.get().detached.store(1, Release);
    }

    /// Says that the keeper is to end with this status as soon as this process has ended.
    pub fn say_goodbye(&self, status: u8) {
        self.memory.get().goodbye.store(u32::from(status) + 1, Release);
    }

    /// What the daemon was doing when it was last said; `None` before that.
    pub fn supervisor_state(&self) -> Option<i32> {
        self.memory.get().supervisor_state()
    }

    /// Remembers what the daemon is doing, as its number on the wire.
    pub fn set_supervisor_state(&self, code: i32) {
        self.memory.get().set_supervisor_state(code);
    }

    /// Asks the keeper to let a binary take over.
    ///
    /// # Errors
    /// It could not be handed over; nothing was asked for then.
    pub fn ask_for_upgrade(&self, binary: BorrowedFd<'_>) -> io::Result<()> {
        let memory = self.memory.get();
        memory.upgrade_report.set("");
        memory.handing_over.store(0, Release);
        self.deposit(&[(Place::Candidate, binary)])?;
        memory.upgrades_wanted.fetch_add(1, AcqRel);
        self.ring();
        Ok(())
    }

    /// How far the upgrade that was asked for last has come: one of `layout`'s `UPGRADE_*`.
    pub fn upgrade(&self) -> u32 {
        let told = self.shared.get().upgrade.load(Acquire);
        let wanted = self.memory.get().upgrades_wanted.load(Acquire);
        if told >> 8 == wanted & 0xff_ffff { told & 0xff } else { UPGRADE_CHECKING }
    }

    /// The binary that was left with the keeper, by its name. Once per process.
    pub fn candidate(&self) -> Option<PathBuf> {
        let candidate = self.take(Place::Candidate)?;
        std::fs::read_link(format!("/proc/self/fd/{}", candidate.as_raw_fd())).ok()
    }

    /// How the last candidate that failed has ended; `None` if it did not answer in time.
    pub fn upgrade_status(&self) -> Option<ExitStatus> {
        match self.shared.get().upgrade_status.load(Acquire) {
            UPGRADE_NO_ANSWER => None,
            status => Some(ExitStatus::from_wait_status(status)),
        }
    }

    /// Whether the last candidate has failed in office and that is not in the activity log yet.
    pub fn has_untold_failure(&self) -> bool {
        let memory = self.memory.get();
        self.upgrade() == UPGRADE_ROLLED_BACK
            && memory.failure_told.load(Acquire) != memory.upgrades_wanted.load(Acquire)
    }

    /// Says that it is.
    pub fn set_failure_told(&self) {
        let memory = self.memory.get();
        memory.failure_told.store(memory.upgrades_wanted.load(Acquire), Release);
    }

    /// What a candidate has to say for itself.
    pub fn upgrade_report(&self) -> String {
        self.memory.get().upgrade_report.get()
    }

    /// Leaves word why this candidate refuses.
    pub fn refuse_upgrade(&self, why: &str) {
        self.memory.get().upgrade_report.set(why);
    }

    /// Says whether this process is about to end in order to make room for a candidate.
    pub fn set_handing_over(&self, handing_over: bool) {
        self.memory.get().handing_over.store(u32::from(handing_over), Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_taken_over_once() {
        let inherited = Inherited::all();
        for place in [
            Place::Events,
            Place::Stdin(0),
            Place::Pidfd(SLOTS as u32 - 1),
            Place::Queue(SLOTS as u32 - 1, 1),
        ] {
            assert!(inherited.spend(place));
            assert!(!inherited.spend(place), "{place:?}");
        }
        assert!(inherited.spend(Place::Stdin(1)));
    }
}
