//! One regular file that logs are written to: size, rotation, and whatever others do to it meanwhile.
//!
//! Files are not opened in append mode, because the kernel does not splice into such a file. Every write names its
//! offset, which is the size of the file at that moment. So a truncation from outside leaves no hole, and what somebody
//! else appended stays. That needs one writer per file: streams that were given the same name (the stdout and stderr of a
//! program, say) share one [`SharedFile`] with its lock.

mod log_file;
mod piece;

use crate::log::drain::handoff;
use crate::log::sinks::file::log_file::LogFile;
use crate::log::sinks::file::piece::{Ending, append_length, splice_length};
use crate::log::sinks::open::{self, Facts, Identity};
use crate::shm::cursor::{SinkCursor, WriteIntent};
use rustix::io::Errno;
use rustix::pipe::SpliceFlags;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// When a file is full and how many older ones are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes; 0 never rotates.
    pub maxbytes: u64,
    /// 0 truncates the file instead of keeping it.
    pub backups: u32,
}

/// What a write did.
#[derive(Debug)]
pub struct Written {
    /// May be fewer than asked for, and 0 only if nothing was there to be written.
    pub n_bytes: usize,
    /// Whether it ended because the file was full, or because no more was allowed.
    pub was_cut: bool,
    /// Something worth a line in the activity log that did not keep the bytes from being written.
    pub notice: Option<String>,
}

/// Where the intent of a write is published, so that a successor knows of it if we are killed meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct IntentSlot {
    /// Where a successor finds the intent.
    pub cursor: &'static SinkCursor,
    /// How many bytes of the stream were written before.
    pub at: u64,
}

impl IntentSlot {
    /// Does a write while its intent is published. Whoever finds the intent sees from the file how far the write came.
    fn record(
        self,
        identity: Identity,
        offset: u64,
        length: usize,
        write: impl FnOnce() -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let IntentSlot { cursor, at } = self;
        let Identity { device, inode } = identity;
        cursor.begin_write(&WriteIntent { device, inode, offset, length: length as u64, at });
        let result = write();
        cursor.finish_write(at + result.unwrap_or(0) as u64);
        result
    }
}

/// A log file and its lock. Clones share the file.
#[derive(Clone, Debug)]
pub struct SharedFile(Arc<Mutex<LogFile>>);

/// Every open log file.
static OPEN_FILES: Mutex<OpenFiles> = Mutex::new(OpenFiles { by_name: None, sweep_at: 0 });

struct OpenFiles {
    /// By their resolved names. Closed ones stay until the next sweep.
    by_name: Option<HashMap<PathBuf, Weak<Mutex<LogFile>>>>,
    /// How many names there are when the closed ones are looked for: twice as many as were open the last time, so that
    /// a thousand logs are not looked through a thousand times.
    sweep_at: usize,
}

impl OpenFiles {
    fn insert(&mut self, name: PathBuf, file: &Arc<Mutex<LogFile>>) {
        let by_name = self.by_name.get_or_insert_default();
        if by_name.len() >= self.sweep_at {
            by_name.retain(|_, file| file.strong_count() > 0);
            self.sweep_at = 2 * by_name.len() + 16;
        }
        by_name.insert(name, Arc::downgrade(file));
    }
}

impl SharedFile {
    /// Takes over a just opened regular file, or joins those who have it open already.
    pub fn join(path: &Path, mode: u32, file: File, facts: Facts) -> SharedFile {
        // Of what was opened, not of what the path means by now.
        let name = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let name = name.unwrap_or_else(|_| path.to_path_buf());
        let mut open_files = OPEN_FILES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open_files.by_name.as_ref().and_then(|open| open.get(&name)?.upgrade()) {
            return SharedFile(known);
        }
        let shared = Arc::new(Mutex::new(LogFile::new(path, mode, file, facts)));
        open_files.insert(name, &shared);
        SharedFile(shared)
    }

    fn lock(&self) -> MutexGuard<'_, LogFile> {
        // Every method leaves the file usable at every step, so a panic elsewhere does not matter.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves at most `max` bytes from a pipe into the file, up to the first line that ends at or after the rotation limit.
    ///
    /// They never enter our memory: a kill at any instant loses and doubles nothing.
    ///
    /// # Errors
    /// EAGAIN if the pipe is empty, EINVAL if this file system cannot splice, ENOSPC and the like; the bytes
    /// are in the pipe still.
    pub fn splice(&self, pipe: impl AsFd, max: usize, limits: Limits) -> io::Result<Written> {
        let mut length = 0;
        let written = self.lock().write_with(limits, |file, _, offset, room| {
            let ending;
            (length, ending) = splice_length(&pipe, max, room)?;
            let mut offset = offset;
            let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
            let n_bytes = rustix::pipe::splice(&pipe, None, file, Some(&mut offset), length, flags)?;
            Ok((n_bytes, if n_bytes == length { ending } else { Ending::Within }))
        });
        // A splice that does not wait ends early only if the pipe is empty, or the disk full.
        written.map(|written| Written { was_cut: written.n_bytes == length, ..written })
    }

    /// Appends the beginning of `bytes`, up to the first line that ends at or after the rotation limit.
    ///
    /// # Errors
    /// The system's; nothing was written then.
    pub fn append(&self, bytes: &[u8], limits: Limits) -> io::Result<Written> {
        self.append_as(bytes, limits, None)
    }

    /// As [`SharedFile::append`], and publishes the intent while nobody else can write to the file.
    ///
    /// # Errors
    /// As [`SharedFile::append`].
    pub fn append_as(&self, bytes: &[u8], limits: Limits, intent: Option<IntentSlot>) -> io::Result<Written> {
        self.lock().write_with(limits, |file, identity, offset, room| {
            let (length, ending) = append_length(bytes, room);
            let piece = &bytes[..length];
            let write = || rustix::io::retry_on_intr(|| rustix::io::pwrite(file, piece, offset));
            let n_bytes = match intent {
                Some(slot) => slot.record(identity, offset, length, write)?,
                None => write()?,
            };
            Ok((n_bytes, if n_bytes == length { ending } else { Ending::Within }))
        })
    }

    /// Opens the file of this name again, whatever has become of the one that is open.
    ///
    /// # Errors
    /// The system's; the old file stays in use.
    pub fn reopen(&self) -> io::Result<()> {
        self.lock().reopen()
    }

    /// From now on the output of this stream may be moved here while there is no manager. `held` is what the
    /// keeper has for it already.
    pub fn register(&self, stream: u64, held: Option<impl AsFd>) {
        let mut log_file = self.lock();
        let is_held =
            held.is_some_and(|held| open::facts(held).is_ok_and(|facts| facts.identity == log_file.identity));
        if is_held {
            handoff::confirm_log(stream);
        } else {
            handoff::register_log(&[stream], &log_file.file);
        }
        if !log_file.registered.contains(&stream) {
            log_file.registered.push(stream);
        }
    }

    /// Ends what [`SharedFile::register`] began.
    pub fn unregister(&self, stream: u64) {
        let mut log_file = self.lock();
        log_file.registered.retain(|registered| *registered != stream);
        handoff::release(stream);
    }

    /// Empties the file.
    ///
    /// # Errors
    /// The system's.
    pub fn clear(&self) -> io::Result<()> {
        let mut log_file = self.lock();
        log_file.follow_name()?;
        Ok(rustix::fs::ftruncate(&log_file.file, 0)?)
    }

    /// Cuts the file to the size it had when something was last known to be written completely.
    ///
    /// # Errors
    /// The system's.
    pub fn cut(&self, size: u64) -> io::Result<()> {
        Ok(rustix::fs::ftruncate(&self.lock().file, size)?)
    }

    /// Whether something stands after the last line's end.
    ///
    /// # Errors
    /// The system's; NotFound if another file has this name by now.
    pub fn ends_within_a_line(&self) -> io::Result<bool> {
        self.lock().ends_within_a_line()
    }

    /// The facts about the file that is open now.
    ///
    /// # Errors
    /// The system's.
    pub fn facts(&self) -> io::Result<Facts> {
        open::facts(&self.lock().file)
    }
}

#[cfg(test)]
mod tests;
