//! What goes to a listener and what comes from it, on its way through the kernel.
//!
//! A manager that is killed between reading an answer and noting it, or between noting an event and writing it, would
//! leave a listener waiting for ever. So bytes move only by splice(2), between a pipe and a file in memory that the
//! keeper holds: a move is whole or has not happened, and the file shows which. The file's position is how much of an
//! event was sent. The file's size is how much was received. Only where splice(2) is forbidden are bytes copied.
//!
//! Unlike other memory files this one is not sealed against shrinking, because a reset cuts it back. Nobody maps it.

use crate::log::spool::tee;
use rustix::fs::{FallocateFlags, SeekFrom, fallocate, fstat, ftruncate, seek};
use rustix::io::{Errno, pread, pwrite};
use rustix::pipe::SpliceFlags;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The event's number and its length stand before it.
const HEADER: u64 = 16;
/// What was heard begins here. The room before it is never filled and takes no memory.
const INBOX: u64 = 1 << 40;
/// How much is moved at once, before others have their turn.
const HEAR_BYTES: usize = 64 * 1024;
/// Memory is given back in pieces of this size.
const PIECE: u64 = 256 * 1024;

/// The mailbox of one listener.
#[derive(Debug)]
pub struct Mailbox {
    file: OwnedFd,
}

/// How a look at a listener's output ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collected {
    /// The listener has written nothing.
    Nothing,
    /// There is more in the mailbox than before.
    Something,
    /// Nobody has the other end.
    End,
}

impl Mailbox {
    /// # Errors
    /// Out of descriptors, mostly.
    pub fn new() -> io::Result<Mailbox> {
        // Not sealed: it is made shorter when it is emptied, and nobody maps it.
        let file = crate::sys::memory::new_file("supervisord-mailbox")?;
        ftruncate(&file, INBOX)?;
        seek(&file, SeekFrom::Start(HEADER))?;
        Ok(Mailbox { file })
    }

    /// What an earlier manager left with the keeper.
    pub fn from_fd(file: OwnedFd) -> Mailbox {
        Mailbox { file }
    }

    /// Puts an event in, in the place of the one before. It counts once its number stands there.
    ///
    /// # Errors
    /// Out of memory.
    pub fn put(&self, number: u64, event: &[u8]) -> io::Result<()> {
        let mut written = 0;
        while written < event.len() {
            written += pwrite(&self.file, &event[written..], HEADER + written as u64)?;
        }
        seek(&self.file, SeekFrom::Start(HEADER))?;
        let header = [number.to_ne_bytes(), (event.len() as u64).to_ne_bytes()].concat();
        pwrite(&self.file, &header, 0)?;
        Ok(())
    }

    /// Number and length of the event in it.
    fn header(&self) -> (u64, u64) {
        let mut header = [0; HEADER as usize];
        let (mut number, mut length) = ([0; 8], [0; 8]);
        if pread(&self.file, &mut header, 0) == Ok(header.len()) {
            number.copy_from_slice(&header[..8]);
            length.copy_from_slice(&header[8..]);
        }
        (u64::from_ne_bytes(number), u64::from_ne_bytes(length))
    }

    /// Whether the event with this number is in it, sent or not.
    pub fn holds(&self, number: u64) -> bool {
        self.header().0 == number
    }

    /// How much of the event was not sent yet.
    pub fn n_unsent(&self) -> usize {
        let end = HEADER + self.header().1;
        let position = seek(&self.file, SeekFrom::Current(0)).unwrap_or(end);
        usize::try_from(end.saturating_sub(position)).unwrap_or(0)
    }

    /// Sends what was not sent yet.
    ///
    /// # Errors
    /// EAGAIN if the listener does not read now, EPIPE if it never will again.
    pub fn send(&self, pipe: BorrowedFd<'_>) -> Result<(), Errno> {
        loop {
            let n_unsent = self.n_unsent();
            if n_unsent == 0 {
                return Ok(());
            }
            let spliced = rustix::io::retry_on_intr(|| {
                rustix::pipe::splice(&self.file, None, pipe, None, n_unsent, SpliceFlags::NONBLOCK)
            });
            let result = match spliced {
                Err(errno) if is_refused(errno) => self.send_copy(pipe, n_unsent),
                result => result,
            };
            if result? == 0 {
                return Err(Errno::IO);
            }
        }
    }

    /// Sends some of what was not sent yet through our memory. A kill between the two steps sends it once more.
    fn send_copy(&self, pipe: BorrowedFd<'_>, n_unsent: usize) -> Result<usize, Errno> {
        let position = seek(&self.file, SeekFrom::Current(0))?;
        let mut bytes = vec![0; n_unsent.min(tee::CHUNK)];
        let n_read = pread(&self.file, &mut bytes, position)?;
        let n_sent = rustix::io::retry_on_intr(|| rustix::io::write(pipe, &bytes[..n_read]))?;
        seek(&self.file, SeekFrom::Start(position + n_sent as u64))?;
        Ok(n_sent)
    }

    /// Gives up what was not sent: it was meant for a program that has ended.
    pub fn skip(&self) {
        let _ = seek(&self.file, SeekFrom::Start(HEADER + self.header().1));
    }

    /// Forgets everything.
    pub fn reset(&self) {
        let _ = ftruncate(&self.file, INBOX);
        let _ = pwrite(&self.file, &[0; HEADER as usize], 0);
        let _ = seek(&self.file, SeekFrom::Start(HEADER));
    }

    /// Takes in what the listener has written.
    pub fn collect(&self, pipe: BorrowedFd<'_>) -> Collected {
        let Ok(stat) = fstat(&self.file) else { return Collected::Nothing };
        // The file is never larger than what fits.
        let mut end = stat.st_size as u64;
        let flags = SpliceFlags::NONBLOCK;
        let result = rustix::io::retry_on_intr(|| {
            rustix::pipe::splice(pipe, None, &self.file, Some(&mut end), HEAR_BYTES, flags)
        });
        let result = match result {
            Err(errno) if is_refused(errno) => tee::try_consume(pipe, |bytes| {
                // Memory: all of them or none.
                pwrite(&self.file, bytes, end).map(drop)
            }),
            result => result,
        };
        match result {
            Ok(0) => Collected::End,
            Ok(_) => Collected::Something,
            Err(_) => Collected::Nothing,
        }
    }

    /// What was taken in after the first `n_heard` bytes.
    pub fn heard_after(&self, n_heard: u64) -> Vec<u8> {
        let end = fstat(&self.file).map_or(INBOX, |stat| stat.st_size as u64);
        let start = INBOX + n_heard;
        let mut bytes = vec![0; usize::try_from(end.saturating_sub(start)).unwrap_or(0)];
        let n_bytes = pread(&self.file, &mut bytes, start).unwrap_or(0);
        bytes.truncate(n_bytes);
        self.give_back(n_heard);
        bytes
    }

    /// Gives back the memory of what is not needed any more.
    fn give_back(&self, n_heard: u64) {
        let done = n_heard - n_heard % PIECE;
        if done > 0 && n_heard % PIECE < HEAR_BYTES as u64 {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = fallocate(&self.file, flags, INBOX, done);
        }
    }
}

fn is_refused(errno: Errno) -> bool {
    tee::is_refusal(errno) && !tee::kernel_splices()
}

impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pipe;

    #[test]
    fn an_event_is_sent_in_pieces_and_the_file_knows_how_far() {
        let mailbox = Mailbox::new().unwrap();
        let ours = pipe::input().unwrap();
        let theirs = pipe::reading_end(&ours, pipe::Ends::Own).unwrap();
        let event: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
        mailbox.put(7, &event).unwrap();
        let mut received = Vec::new();
        while mailbox.send(ours.as_fd()) == Err(Errno::AGAIN) {
            let before = mailbox.n_unsent();
            // Whoever takes over sees the same.
            let copy = Mailbox::from_fd(mailbox.file.try_clone().unwrap());
            assert!(copy.holds(7) && copy.n_unsent() == before && before > 0);
            let mut buffer = [0; 10_000];
            let n_bytes = rustix::io::read(&theirs, &mut buffer).unwrap();
            received.extend_from_slice(&buffer[..n_bytes]);
        }
        drop(ours);
        io::Read::read_to_end(&mut std::fs::File::from(theirs), &mut received).unwrap();
        assert!(received == event);
        assert_eq!(mailbox.n_unsent(), 0);
    }

    #[test]
    fn what_was_given_up_is_not_sent() {
        let mailbox = Mailbox::new().unwrap();
        assert_eq!(mailbox.n_unsent(), 0);
        mailbox.put(1, b"event").unwrap();
        mailbox.skip();
        assert_eq!(mailbox.n_unsent(), 0);
        mailbox.put(2, b"other").unwrap();
        assert_eq!((mailbox.n_unsent(), mailbox.holds(1), mailbox.holds(2)), (5, false, true));
    }

    #[test]
    fn answers_are_kept_until_they_were_heard() {
        let mailbox = Mailbox::new().unwrap();
        let ours = pipe::output().unwrap();
        let theirs = pipe::writing_end(&ours, pipe::Ends::Own).unwrap();
        assert_eq!(mailbox.collect(ours.as_fd()), Collected::Nothing);
        rustix::io::write(&theirs, b"READY\n").unwrap();
        assert_eq!(mailbox.collect(ours.as_fd()), Collected::Something);
        rustix::io::write(&theirs, b"RESULT").unwrap();
        assert_eq!(mailbox.collect(ours.as_fd()), Collected::Something);
        assert_eq!(mailbox.heard_after(0), b"READY\nRESULT");
        assert_eq!(mailbox.heard_after(6), b"RESULT");
        drop(theirs);
        assert_eq!(mailbox.collect(ours.as_fd()), Collected::End);
        let theirs = pipe::writing_end(&ours, pipe::Ends::Own).unwrap();
        for round in 0..40_u64 {
            let n_heard = 12 + round * 60_000;
            rustix::io::write(&theirs, &vec![round as u8; 60_000]).unwrap();
            assert_eq!(mailbox.collect(ours.as_fd()), Collected::Something);
            assert_eq!(mailbox.heard_after(n_heard), vec![round as u8; 60_000]);
        }
        let blocks = fstat(&mailbox.file).unwrap().st_blocks;
        assert!(blocks * 512 < 1 << 20, "{blocks} blocks are kept");
    }
}
