//! Moves the output of programs to their logs while there is no manager.
//!
//! A manager that fails again and again is started with growing pauses. Programs must not wait for it: a pipe holds
//! little, and a program that writes into a full pipe blocks. So the keeper moves what arrives in the pipes to the
//! files that the manager left with it, in the same way as the manager: inside the kernel, to the end that the file has
//! at that moment. It starts when no manager is alive and ends before the next one is started, so a pipe never has two
//! readers and a file never two writers.
//!
//! What it does not do:
//!
//! - It knows no names and no limits, so it does not rotate. It goes on in the same file, and the next manager rotates
//!   that file before it writes the first byte.
//! - It does not transform output. Output that is changed on its way, read by others or written to several places is
//!   only gathered in the spool that the manager left with it. What exceeds the limit of the spool waits in the pipe,
//!   and so does everything while the disk is full.
//! - It does not write to a file that was deleted; nobody would find it.

use crate::keeper::run::Keeper;
use crate::model::time::Monotonic;
use crate::shm::layout::*;
use crate::sys::clock;
use crate::sys::memory::ReadOnly;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::pipe::SpliceFlags;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::*;
use std::time::Duration;

/// The most that one stream moves before others have their turn.
const BUDGET: usize = 1 << 20;

/// How long output gathers in the pipes before it is looked for again: waking up for each line would cost more
/// than moving it.
const GATHERING: Duration = Duration::from_millis(1);

/// Who has written so much since the last round may fill the pipe before the next, so that one comes at once.
const BUSY_BYTES: usize = 16 * 1024;

/// How long a log that takes nothing is left alone.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How much memory a spool may take before the program has to wait.
const MOST_SPOOLED: u64 = 16 << 20;

/// How many streams one round looks at.
const STREAMS_PER_ROUND: usize = 64;

/// Moves output while there is no manager.
pub struct Drain {
    /// Watches the pipes, each until it has been looked at (`EPOLLONESHOT`). Replaced by an empty one when a
    /// manager takes over: being watched costs the writers a little.
    epoll: OwnedFd,
    null: Option<OwnedFd>,
    is_watching: bool,
    /// Before this, nothing is to be looked for.
    next_round: Monotonic,
    /// When the streams that could not go on are watched again.
    try_again: Option<Monotonic>,
}

/// One stream of one process.
#[derive(Clone, Copy)]
struct StreamNumber {
    slot: u32,
    /// 0 for standard output, 1 for standard error.
    channel: u32,
}

/// How a turn at a stream ended.
enum Turn {
    Emptied(usize),
    More(usize),
    /// Nobody has the other end, or nothing is to be done with the stream.
    End,
    /// Its log takes nothing now.
    Stuck,
}

/// Where the output of a stream goes.
#[derive(Clone, Copy)]
enum Target<'a> {
    /// A log as others find it, or nothing at all.
    Log(BorrowedFd<'a>),
    /// Memory that nobody but managers knows.
    Spool(BorrowedFd<'a>),
}

/// What the keeper knows about streams.
#[derive(Clone, Copy)]
pub struct Shared<'a> {
    /// What the keeper itself writes, the vault among it.
    pub keeper: &'a KeeperMemory,
    /// What managers have written.
    pub manager: &'a ManagerMemory<ReadOnly>,
}

impl Drain {
    /// # Errors
    /// Out of descriptors.
    pub fn new() -> io::Result<Drain> {
        Ok(Drain {
            epoll: new_epoll()?,
            null: std::fs::OpenOptions::new().write(true).open("/dev/null").ok().map(OwnedFd::from),
            is_watching: false,
            next_round: Monotonic(0),
            try_again: None,
        })
    }

    /// Begins to watch every stream, unless that has begun.
    pub fn begin(&mut self, shared: Shared<'_>) {
        if self.is_watching {
            return;
        }
        self.is_watching = true;
        self.next_round = Monotonic(0);
        self.try_again = None;
        if !shared.finish_transfer() {
            self.try_later();
        }
        self.watch_all(shared);
    }

    /// Leaves all streams to a manager.
    pub fn end(&mut self) {
        if !std::mem::take(&mut self.is_watching) {
            return;
        }
        // Without room for another one the old one goes on: it is not looked at, and costs the writers a little.
        if let Ok(empty) = new_epoll() {
            self.epoll = empty;
        }
    }

    fn watch_all(&self, shared: Shared<'_>) {
        shared.streams().for_each(|stream| self.watch(stream, shared));
    }

    /// Moves what is in the pipes now, whoever has something.
    pub(super) fn move_all(&self, shared: Shared<'_>) {
        for stream in shared.streams() {
            if let Some((pipe, target)) = shared.ends(stream, self.null.as_ref()) {
                let _ = move_output(pipe, target);
            }
        }
    }

    /// Wakes the keeper once when the stream has something.
    fn watch(&self, stream: StreamNumber, shared: Shared<'_>) {
        let Some((pipe, _)) = shared.ends(stream, self.null.as_ref()) else { return };
        let data = epoll::EventData::new_u64(stream.packed());
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
        if epoll::modify(&self.epoll, pipe, data, flags) == Err(Errno::NOENT) {
            // One that cannot be watched waits for the next manager.
            let _ = epoll::add(&self.epoll, pipe, data, flags);
        }
    }

    /// What to wait for besides everything else; `None` while it is not due.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        (self.is_watching && clock::monotonic() >= self.next_round).then(|| self.epoll.as_fd())
    }

    /// When to look again even though nothing happens.
    pub fn deadline(&self) -> Option<Monotonic> {
        if !self.is_watching {
            return None;
        }
        let next_round = (clock::monotonic() < self.next_round).then_some(self.next_round);
        [next_round, self.try_again].into_iter().flatten().min()
    }

    /// Moves what has arrived.
    pub fn round(&mut self, shared: Shared<'_>) {
        if !self.is_watching {
            return;
        }
        let now = clock::monotonic();
        if self.try_again.is_some_and(|moment| moment <= now) {
            self.try_again = None;
            if !shared.finish_transfer() {
                self.try_later();
            }
            self.watch_all(shared);
        }
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); STREAMS_PER_ROUND];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let Ok((ready, _)) = epoll::wait(&self.epoll, &mut events, Some(&at_once)) else { return };
        if ready.is_empty() {
            // Nothing to wait for together with others: whoever comes next is attended to at once.
            return;
        }
        let mut is_busy = ready.len() == STREAMS_PER_ROUND;
        for event in ready {
            let stream = StreamNumber::unpacked(event.data.u64());
            let Some((pipe, target)) = shared.ends(stream, self.null.as_ref()) else { continue };
            match move_output(pipe, target) {
                Turn::Emptied(n_bytes) | Turn::More(n_bytes) => {
                    is_busy |= n_bytes >= BUSY_BYTES;
                    shared.keeper.drained.fetch_add(n_bytes as u64, Relaxed);
                    self.watch(stream, shared);
                }
                Turn::End => {}
                Turn::Stuck => self.try_later(),
            }
        }
        self.next_round = if is_busy { Monotonic(0) } else { clock::monotonic() + GATHERING };
    }

    fn try_later(&mut self) {
        self.try_again.get_or_insert_with(|| clock::monotonic() + TRY_AGAIN_AFTER);
    }
}

impl StreamNumber {
    fn packed(self) -> u64 {
        u64::from(self.slot) * 2 + u64::from(self.channel)
    }

    fn unpacked(packed: u64) -> StreamNumber {
        // Only `packed` makes these numbers, or they are checked by whoever uses the slot.
        StreamNumber { slot: (packed / 2) as u32, channel: (packed % 2) as u32 }
    }
}

impl<'a> Shared<'a> {
    /// Both memories of a keeper.
    pub fn of(keeper: &Keeper) -> Shared<'_> {
        Shared { keeper: keeper.shared.get(), manager: keeper.manager_memory.get() }
    }

    /// What the vault holds in a place.
    pub(super) fn held(&self, place: Place) -> Option<BorrowedFd<'a>> {
        self.keeper.held(place)
    }

    /// Whether what stands in shared memory about streams is the last manager's. One of an older version leaves
    /// it as it was, and then it may be about other programs.
    pub(super) fn is_current(&self) -> bool {
        self.manager.hints_by.load(Acquire) >= self.manager.manager_up.load(Acquire)
    }

    /// Both streams of every slot that was ever used.
    fn streams(self) -> impl Iterator<Item = StreamNumber> {
        let used = self.manager.slots_used.load(Acquire).min(SLOTS as u32);
        (0..used).flat_map(|slot| [0, 1].map(|channel| StreamNumber { slot, channel }))
    }

    /// The pipe of a stream and what it goes to; `None` if it is to wait for a manager.
    fn ends<'b>(
        &self,
        stream: StreamNumber,
        null: Option<&'b OwnedFd>,
    ) -> Option<(BorrowedFd<'a>, Target<'b>)>
    where
        'a: 'b,
    {
        let drain = self.manager.drains.get(stream.slot as usize)?.load(Acquire);
        let pipe = match stream.channel {
            0 => Place::Stdout(stream.slot),
            _ => Place::Stderr(stream.slot),
        };
        let pipe = self.held(pipe)?;
        if !self.is_current() || self.transfer_owner() == Some(stream.packed()) {
            return None;
        }
        match drain >> (DRAIN_BITS * stream.channel) & DRAIN_MASK {
            DRAIN_TO_LOG => Some((pipe, Target::Log(self.log(stream)?))),
            DRAIN_TO_SPOOL => Some((pipe, Target::Spool(self.log(stream)?))),
            DRAIN_DISCARD => Some((pipe, Target::Log(null?.as_fd()))),
            _ => None,
        }
    }

    /// The log file of a stream.
    fn log(&self, stream: StreamNumber) -> Option<BorrowedFd<'a>> {
        self.held(Place::Log(stream.slot, stream.channel))
    }

    /// The stream whose bytes are in the transfer pipe; they are older than those in its own pipe.
    fn transfer_owner(&self) -> Option<u64> {
        let pipe = self.held(Place::Transfer(0))?;
        if rustix::io::ioctl_fionread(pipe).unwrap_or(0) == 0 {
            return None;
        }
        let note = self.held(Place::Transfer(2))?;
        let mut owner = [0; 8];
        match rustix::io::pread(note, &mut owner, 0) {
            // Streams are counted from 1 there; 0 is nobody.
            Ok(8) => u64::from_ne_bytes(owner).checked_sub(1),
            _ => None,
        }
    }

    /// Moves what a manager had put aside to the log it belongs to; false if it cannot go there now.
    fn finish_transfer(&self) -> bool {
        let Some(owner) = self.transfer_owner() else { return true };
        let stream = StreamNumber::unpacked(owner);
        let (Some(pipe), Some(log)) = (self.held(Place::Transfer(0)), self.log(stream)) else { return true };
        if !self.is_current() {
            return true;
        }
        !matches!(move_output(pipe, Target::Log(log)), Turn::Stuck)
    }
}

/// Moves what is in a pipe to the end of a file.
fn move_output(pipe: BorrowedFd<'_>, target: Target<'_>) -> Turn {
    let (Target::Log(log) | Target::Spool(log)) = target;
    let Ok(facts) = rustix::fs::fstat(log) else { return Turn::Stuck };
    let is_file = rustix::fs::FileType::from_raw_mode(facts.st_mode) == rustix::fs::FileType::RegularFile;
    let may_go_on = match target {
        Target::Log(_) => !is_file || facts.st_nlink > 0,
        // What was consumed is given back, so it is the blocks that tell how much it holds. Counted in units of 512
        // bytes, see stat(2).
        Target::Spool(_) => is_file && u64::try_from(facts.st_blocks).unwrap_or(0) * 512 < MOST_SPOOLED,
    };
    if !may_go_on {
        return Turn::Stuck;
    }
    // Read once: nobody else writes to it, or a little of what somebody appends now may be overwritten.
    let mut offset = u64::try_from(facts.st_size).unwrap_or(0);
    let mut n_moved = 0;
    while n_moved < BUDGET {
        let into = is_file.then_some(&mut offset);
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        match rustix::pipe::splice(pipe, None, log, into, BUDGET - n_moved, flags) {
            Ok(0) => return Turn::End,
            Ok(n_bytes) => n_moved += n_bytes,
            Err(Errno::AGAIN) => return Turn::Emptied(n_moved),
            Err(Errno::INTR) => {}
            // Where splicing is forbidden a spool takes copies: it is memory, which does not fail between two steps. A
            // log waits for the next manager.
            Err(Errno::PERM | Errno::ACCESS | Errno::NOSYS | Errno::INVAL)
                if matches!(target, Target::Spool(_)) =>
            {
                match copy(pipe, log, &mut offset) {
                    Ok(0) => return Turn::End,
                    Ok(n_bytes) => n_moved += n_bytes,
                    Err(Errno::AGAIN) => return Turn::Emptied(n_moved),
                    Err(_) => return Turn::Stuck,
                }
            }
            // A full disk, most often.
            Err(_) => return Turn::Stuck,
        }
    }
    Turn::More(n_moved)
}

/// Moves some bytes from a pipe to a place in a file by way of our stack.
fn copy(pipe: BorrowedFd<'_>, file: BorrowedFd<'_>, offset: &mut u64) -> Result<usize, Errno> {
    let mut bytes = [0; 16 * 1024];
    let n_read = rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut bytes))?;
    let mut n_written = 0;
    while n_written < n_read {
        let rest = &bytes[n_written..n_read];
        let n_bytes = rustix::io::retry_on_intr(|| rustix::io::pwrite(file, rest, *offset))?;
        n_written += n_bytes;
        *offset += n_bytes as u64;
    }
    Ok(n_read)
}

fn new_epoll() -> io::Result<OwnedFd> {
    Ok(epoll::create(epoll::CreateFlags::CLOEXEC)?)
}
