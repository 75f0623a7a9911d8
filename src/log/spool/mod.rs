//! Where the bytes of a stream lie while they are transformed: in memory that outlives us.
//!
//! What is read into our memory is lost with it. So the kernel moves a program's output from its pipe into a file
//! in memory that the keeper holds as well, the *spool*. From there we read, transform and write it, and a [`Cursor`] in
//! shared memory says how far that has come. A successor reads the same bytes again, from the last *replay point* (where
//! the transform held nothing back), and goes on with the very byte that is due.
//!
//! The file only grows: a position in it is how many bytes came before. What is not needed any more is given back
//! to the system, so an idle stream has no pages.
//!
//! Bytes that are read out of a stream for others are released only after their consumer acknowledged them (see
//! [`Receipt`]). Until then they stay here, and a successor delivers them again.

pub mod tee;
pub mod transfer;

use crate::shm::cursor::{Batch, Cursor};
use crate::sys::memory::{self, Sealed};
use rustix::fs::{FallocateFlags, fallocate, fstat};
use rustix::io::{Errno, pread, pwrite};
use rustix::pipe::SpliceFlags;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Memory is given back in pieces of this size, and when nothing is left.
const PIECE: u64 = 64 * 1024;

/// The size of a page, or a multiple of it: only whole ones are given back.
const PAGE: u64 = 64 * 1024;

/// How many bytes are kept at most because something is held back or not acknowledged, besides what a capture needs. If it
/// is more, a successor reads nothing of what is done again: what is held back then is lost if we are killed.
const MOST_KEPT: u64 = 4 << 20;

/// The spool of one stream.
#[derive(Debug)]
pub struct Spool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    file: OwnedFd,
    cursor: &'static Cursor,
    most_kept: u64,
    progress: Mutex<Progress>,
}

/// What we know beyond the cursor.
#[derive(Debug)]
struct Progress {
    /// Everything before it is in all sinks.
    done: u64,
    /// The last replay point before it.
    replay_from: u64,
    /// What was delivered and not acknowledged yet, the oldest first.
    deliveries: VecDeque<Delivery>,
    next_delivery: u64,
    /// Everything before it was given back.
    given_back: u64,
    /// The stream is closed: its cursor may be another's.
    is_closed: bool,
}

/// Something that was read out of the stream for others.
#[derive(Debug)]
struct Delivery {
    number: u64,
    /// Where the bytes begin that it comes from.
    begin: u64,
    /// The last replay point before it.
    replay_from: u64,
    is_acked: bool,
}

/// The means to acknowledge what was read out of a stream for others. A successor delivers again what was not
/// acknowledged.
#[derive(Debug)]
#[must_use]
pub struct Receipt {
    shared: Arc<Shared>,
    number: u64,
}

impl Spool {
    /// A file for a spool, empty.
    ///
    /// # Errors
    /// Out of descriptors, mostly.
    pub fn new_file() -> io::Result<OwnedFd> {
        let file = memory::new_file("supervisord-spool")?;
        // Its size is how much has ever come in.
        memory::seal(&file, Sealed::MayGrow);
        Ok(file)
    }

    /// A spool whose cursor says that everything before `done` is in the sinks, and that a successor reads from
    /// `replay_from` on. `capture_maxbytes` is how much a capture may hold back.
    pub fn new(
        file: OwnedFd,
        cursor: &'static Cursor,
        (replay_from, done): (u64, u64),
        capture_maxbytes: u64,
    ) -> Spool {
        let most_kept = capture_maxbytes.saturating_mul(2).saturating_add(MOST_KEPT);
        let progress = Progress {
            done,
            replay_from,
            deliveries: VecDeque::new(),
            next_delivery: 0,
            // What a predecessor left there, too.
            given_back: 0,
            is_closed: false,
        };
        Spool { shared: Arc::new(Shared { file, cursor, most_kept, progress: Mutex::new(progress) }) }
    }

    /// How many bytes have ever come in.
    pub fn head(&self) -> u64 {
        self.shared.head()
    }

    /// Lets the kernel move at most `max` bytes from a pipe into the spool; 0 is the pipe's end.
    ///
    /// # Errors
    /// EAGAIN if there is nothing.
    pub fn fill(&self, pipe: impl AsFd, max: usize) -> Result<usize, Errno> {
        // Nothing is given back meanwhile: that could be the page this goes to.
        let _progress = self.shared.lock();
        let mut head = self.shared.head();
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let spliced = rustix::io::retry_on_intr(|| {
            rustix::pipe::splice(&pipe, None, &self.shared.file, Some(&mut head), max, flags)
        });
        match spliced {
            Err(errno) if tee::is_refusal(errno) && !tee::kernel_splices() => {
                tee::try_consume(&pipe, |bytes| self.append(head, bytes))
            }
            result => result,
        }
    }

    fn append(&self, head: u64, bytes: &[u8]) -> Result<(), Errno> {
        let mut n_written = 0;
        while n_written < bytes.len() {
            let place = head + n_written as u64;
            n_written += rustix::io::retry_on_intr(|| pwrite(&self.shared.file, &bytes[n_written..], place))?;
        }
        Ok(())
    }

    /// Reads bytes from a place on, as many as there are and fit.
    ///
    /// # Errors
    /// The system's.
    pub fn read(&self, from: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut n_read = 0;
        while n_read < buffer.len() {
            let place = from + n_read as u64;
            match rustix::io::retry_on_intr(|| pread(&self.shared.file, &mut buffer[n_read..], place))? {
                0 => break,
                n => n_read += n,
            }
        }
        Ok(n_read)
    }

    /// Publishes what is under way from now on.
    pub fn publish(&self, batch: &Batch) {
        let progress = self.shared.lock();
        if !progress.is_closed {
            self.shared.cursor.publish(batch);
        }
    }

    /// Publishes that everything before `done` is in the sinks, and the last replay point before it if there is a new one.
    /// With `receipt` something was read out for others since the last time: a receipt that is there stands for that, too;
    /// otherwise one is put there.
    pub fn advance(&self, done: u64, replay_from: Option<u64>, receipt: Option<&mut Option<Receipt>>) {
        let mut progress = self.shared.lock();
        if let Some(receipt @ None) = receipt {
            let (begin, replay_from) = (progress.done, progress.replay_from);
            *receipt = Some(self.shared.open_delivery(&mut progress, begin, replay_from));
        }
        progress.done = done;
        progress.replay_from = replay_from.unwrap_or(progress.replay_from);
        self.shared.publish(&mut progress);
    }

    /// A receipt for what a predecessor has delivered and nobody has acknowledged, from `begin` on.
    pub fn redeliver(&self, begin: u64) -> Receipt {
        let mut progress = self.shared.lock();
        let replay_from = progress.replay_from;
        self.shared.open_delivery(&mut progress, begin, replay_from)
    }

    /// Gives memory that is not needed any more back to the system.
    pub fn tidy(&self) {
        self.shared.give_back(&mut self.shared.lock());
    }

    /// Forgets everything, and does not touch the cursor any more.
    pub fn close(&self) {
        let mut progress = self.shared.lock();
        if !std::mem::replace(&mut progress.is_closed, true) {
            self.shared.cursor.reset();
        }
    }
}

impl AsFd for Spool {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.file.as_fd()
    }
}

impl Receipt {
    /// The consumer has it where it survives us.
    pub fn acknowledge(self) {
        let mut progress = self.shared.lock();
        if let Some(delivery) = progress.deliveries.iter_mut().find(|delivery| delivery.number == self.number)
        {
            delivery.is_acked = true;
        }
        self.shared.publish(&mut progress);
        self.shared.give_back(&mut progress);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        // Whole at every step.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn head(&self) -> u64 {
        // Sizes are not negative, and an open file of this kind always has one.
        fstat(&self.file).map_or(0, |stat| stat.st_size as u64)
    }

    fn open_delivery(self: &Arc<Self>, progress: &mut Progress, begin: u64, replay_from: u64) -> Receipt {
        let number = progress.next_delivery;
        progress.next_delivery += 1;
        progress.deliveries.push_back(Delivery { number, begin, replay_from, is_acked: false });
        Receipt { shared: Arc::clone(self), number }
    }

    /// Publishes what was acknowledged, and from where on a successor reads.
    fn publish(&self, progress: &mut Progress) {
        if progress.is_closed {
            return;
        }
        let (acked_to, replay_from) = progress.step(self.most_kept);
        // In this order: bytes may be released only after their consumer acknowledged them. Both only grow.
        if acked_to > self.cursor.acked_to.load(Acquire) {
            self.cursor.acked_to.store(acked_to, Release);
        }
        if replay_from > self.cursor.replay_from.load(Acquire) {
            self.cursor.replay_from.store(replay_from, Release);
        }
    }

    fn give_back(&self, progress: &mut Progress) {
        let needed = self.cursor.replay_from.load(Acquire);
        if progress.is_closed || needed <= progress.given_back {
            return;
        }
        // Nobody moves anything in while we have the lock, so the rest of the last page can go, too.
        let is_all = needed == self.head();
        let end = if is_all { needed.next_multiple_of(PAGE) } else { needed - needed % PAGE };
        if is_all || end >= progress.given_back + PIECE {
            let begin = progress.given_back - progress.given_back % PAGE;
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = fallocate(&self.file, flags, begin, end - begin);
            progress.given_back = if is_all { needed } else { end };
        }
    }
}

impl Progress {
    /// What was acknowledged by now, and from where on a successor reads.
    fn step(&mut self, most_kept: u64) -> (u64, u64) {
        while self.deliveries.front().is_some_and(|delivery| delivery.is_acked) {
            self.deliveries.pop_front();
        }
        let first = self.deliveries.front().map(|delivery| (delivery.begin, delivery.replay_from));
        let (acked_to, replay_from) = first.unwrap_or((self.done, self.replay_from));
        if self.done - replay_from <= most_kept {
            return (acked_to, replay_from);
        }
        self.deliveries.clear();
        self.replay_from = self.done;
        (self.done, self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool() -> (Spool, OwnedFd, OwnedFd) {
        let cursor: &'static Cursor = Box::leak(Box::default());
        let (read, write) = rustix::pipe::pipe().unwrap();
        (Spool::new(Spool::new_file().unwrap(), cursor, (0, 0), 0), read, write)
    }

    fn acked_to_and_replay_from(spool: &Spool) -> (u64, u64) {
        let cursor = spool.shared.cursor;
        (cursor.acked_to.load(Acquire), cursor.replay_from.load(Acquire))
    }

    fn n_blocks(spool: &Spool) -> i64 {
        fstat(spool).unwrap().st_blocks
    }

    #[test]
    fn what_was_moved_in_can_be_read_and_given_back() {
        let (spool, read, write) = spool();
        let mut place = 0;
        for round in 0..100_u64 {
            let piece = vec![round as u8; 3001];
            rustix::io::write(&write, &piece).unwrap();
            assert_eq!(spool.fill(&read, 1 << 16), Ok(3001));
            assert_eq!(spool.fill(&read, 1 << 16), Err(Errno::AGAIN));
            let mut buffer = [0; 4000];
            assert_eq!(spool.read(place, &mut buffer), Ok(3001));
            assert_eq!(buffer[..3001], piece);
            place += 3001;
            spool.advance(place, Some(place), None);
            if round % 30 == 29 {
                spool.tidy();
                assert_eq!(n_blocks(&spool), 0);
            }
        }
        assert_eq!((spool.head(), acked_to_and_replay_from(&spool)), (place, (place, place)));
    }

    #[test]
    fn what_was_not_acknowledged_is_kept() {
        let (spool, ..) = spool();
        let mut first = None;
        spool.advance(10, Some(8), None);
        spool.advance(20, Some(20), Some(&mut first));
        spool.advance(30, Some(30), Some(&mut first));
        assert_eq!(acked_to_and_replay_from(&spool), (10, 8));
        let mut second = None;
        spool.advance(40, Some(40), Some(&mut second));
        spool.advance(50, Some(45), None);
        second.unwrap().acknowledge();
        assert_eq!(acked_to_and_replay_from(&spool), (10, 8));
        first.unwrap().acknowledge();
        assert_eq!(acked_to_and_replay_from(&spool), (50, 45));
    }

    #[test]
    fn what_is_held_back_for_ever_is_given_up() {
        let (spool, ..) = spool();
        let mut receipt = None;
        spool.advance(5, Some(5), None);
        spool.advance(5 + MOST_KEPT, None, Some(&mut receipt));
        assert_eq!(acked_to_and_replay_from(&spool), (5, 5));
        spool.advance(6 + MOST_KEPT, None, None);
        assert_eq!(acked_to_and_replay_from(&spool), (6 + MOST_KEPT, 6 + MOST_KEPT));
        receipt.unwrap().acknowledge();
        assert_eq!(acked_to_and_replay_from(&spool), (6 + MOST_KEPT, 6 + MOST_KEPT));
    }

    #[test]
    fn a_closed_spool_leaves_the_cursor_alone() {
        let (spool, ..) = spool();
        let mut receipt = None;
        spool.advance(5, Some(5), Some(&mut receipt));
        spool.close();
        receipt.unwrap().acknowledge();
        spool.advance(7, Some(7), None);
        assert_eq!(acked_to_and_replay_from(&spool), (0, 0));
    }
}
