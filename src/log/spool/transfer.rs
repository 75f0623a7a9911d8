//! The transfer pipe: a pipe between a busy program's pipe and its file.
//!
//! The kernel locks a pipe while it copies bytes from there to a file, and a program that writes fast spends its time
//! waiting for that lock. From pipe to pipe the kernel moves pages without copying them, which takes hardly any time.
//! Then the program goes on, while the bytes are copied from here.
//!
//! Nothing is lost if the daemon is killed. The keeper holds both ends as well, and a note of whose bytes are in the
//! pipe. The next manager finishes what it finds before it does anything else with that stream. Both steps happen inside
//! the kernel, so no byte can be in two places or in none.

use crate::sys::memory::{self, Sealed};
use rustix::pipe::{PipeFlags, SpliceFlags};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// As large as a busy program's pipe can be.
const SIZE: usize = 1 << 20;

/// The pipe, and whose bytes are in it.
#[derive(Debug)]
pub struct Transfer {
    read_end: OwnedFd,
    write_end: OwnedFd,
    /// Holds the number of the stream, eight bytes. It counts only while there is something in the pipe.
    note: File,
    /// What stands in the note.
    owner: u64,
}

/// The daemon's only one: the thread that drains busy streams is one, too.
static TRANSFER: OnceLock<Mutex<Transfer>> = OnceLock::new();

/// Makes busy streams use this from now on. Only the first call counts.
pub fn install(transfer: Transfer) {
    let _ = TRANSFER.set(Mutex::new(transfer));
}

/// The installed one, if there is.
pub fn installed() -> Option<MutexGuard<'static, Transfer>> {
    // Every method leaves it usable at every step.
    TRANSFER.get().map(|transfer| transfer.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Transfer {
    /// Makes an empty one.
    ///
    /// # Errors
    /// Out of descriptors, mostly.
    pub fn create() -> io::Result<Transfer> {
        let (read_end, write_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A smaller one works as well.
        let _ = rustix::pipe::fcntl_setpipe_size(&read_end, SIZE);
        let note = memory::new_file("log-transfer")?;
        memory::seal(&note, Sealed::MayGrow);
        Ok(Transfer { read_end, write_end, note: note.into(), owner: 0 })
    }

    /// Takes over what an earlier manager has left, in the order of [`Transfer::descriptors`].
    ///
    /// # Errors
    /// The system's, for reading the note.
    pub fn resume([read_end, write_end, note]: [OwnedFd; 3]) -> io::Result<Transfer> {
        for end in [&read_end, &write_end] {
            rustix::io::ioctl_fionbio(end, true)?;
        }
        let note = File::from(note);
        let mut number = [0; 8];
        // A note that was never written is empty.
        let owner = match note.read_at(&mut number, 0)? {
            8 => u64::from_ne_bytes(number),
            _ => 0,
        };
        Ok(Transfer { read_end, write_end, note, owner })
    }

    /// What has to survive us.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 3] {
        [self.read_end.as_fd(), self.write_end.as_fd(), self.note.as_fd()]
    }

    /// How many bytes are in it.
    pub fn waiting(&self) -> usize {
        rustix::io::ioctl_fionread(&self.read_end).unwrap_or(0) as usize
    }

    /// The stream whose bytes are in it; `None` if it is empty.
    pub fn owner(&self) -> Option<u64> {
        (self.waiting() > 0).then_some(self.owner)
    }

    /// Reserves it for the next bytes of a stream; `false` if another one's are in it.
    ///
    /// # Errors
    /// The system's, for writing the note.
    pub fn reserve(&mut self, stream: u64) -> io::Result<bool> {
        if self.waiting() > 0 {
            return Ok(false);
        }
        if self.owner != stream {
            // Unknown until it is certain: a note that was written half would name somebody else.
            self.owner = 0;
            self.note.write_all_at(&stream.to_ne_bytes(), 0)?;
            self.owner = stream;
        }
        Ok(true)
    }

    /// Moves at most `max` bytes out of a program's pipe into this one; 0 is the end of the program's pipe.
    ///
    /// # Errors
    /// EAGAIN if there is nothing.
    pub fn fill(&self, pipe: impl AsFd, max: usize) -> rustix::io::Result<usize> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        rustix::pipe::splice(pipe, None, &self.write_end, None, max, flags)
    }

    /// Where the bytes come out again.
    pub fn read_end(&self) -> BorrowedFd<'_> {
        self.read_end.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_finds_whose_bytes_there_are() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&write, b"hello").unwrap();
        let mut transfer = Transfer::create().unwrap();
        assert!(transfer.reserve(7).unwrap());
        assert_eq!(transfer.owner(), None);
        assert_eq!(transfer.fill(&read, 100).unwrap(), 5);
        assert!(!transfer.reserve(8).unwrap());
        let descriptors = transfer.descriptors().map(|fd| fd.try_clone_to_owned().unwrap());
        drop(transfer);
        let successor = Transfer::resume(descriptors).unwrap();
        assert_eq!((successor.owner(), successor.waiting()), (Some(7), 5));
    }
}
