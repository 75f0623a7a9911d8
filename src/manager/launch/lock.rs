//! The lock that keeps a second daemon from running on the same pidfile.
//!
//! It is a file beside the pidfile, locked with flock(2) by a descriptor that the keeper holds, so it is
//! free again as soon as keeper and manager have ended, however they did. A pidfile that is no file (`/dev/null`, say)
//! has no lock beside it.

use crate::files::location::{Location, Missing};
use crate::files::open as files;
use crate::files::replace;
use crate::manager::launch::pidfile::holds;
use rustix::fs::{FileType, FlockOperation, OFlags, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

/// Somebody may remove the file between our opening and our locking it; this often in a row is not chance.
const TRIES: usize = 10;

/// The longest text of a pid that is read.
const PID_BYTES: u64 = 32;

/// What came of trying to take the lock.
#[derive(Debug)]
pub enum Taken {
    /// Nobody had it. It is held until the value and its copies are dropped.
    Ours(Lock),
    /// Another daemon runs; its pid, if it wrote it down already.
    Held {
        /// The pid in the file, if there is one.
        by: Option<i32>,
    },
    /// The pidfile is something that no lock can lie beside, a device for example.
    Nowhere,
}

/// The lock, for as long as its descriptor is open anywhere.
///
/// Dropping it does not unlock: a copy of the descriptor may be in another process, which goes on holding it.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Where the lock of a daemon with this pidfile is.
pub fn path_beside(pidfile: &Path) -> PathBuf {
    let mut name = pidfile.file_name().unwrap_or_default().to_os_string();
    name.push(".lock");
    pidfile.with_file_name(name)
}

/// Takes the lock beside a pidfile, without waiting.
///
/// # Errors
/// The file cannot be made. Nothing is known about other daemons then.
pub fn take(pidfile: &Path) -> io::Result<Taken> {
    if !can_have_neighbours(pidfile) {
        return Ok(Taken::Nowhere);
    }
    let at = Location::of(&path_beside(pidfile), Missing::Fail)?;
    for _ in 0..TRIES {
        let file = at.open(OFlags::RDWR | OFlags::CREATE, 0o644)?;
        if FileType::from_raw_mode(at.judge_open(&file)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it is not a file"));
        }
        let file = File::from(file);
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_at(&file, &at) => return Ok(Taken::Ours(Lock { file })),
            // A daemon that was ending removed it; what we locked has no name any more.
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(Taken::Held { by: read_pid(file) }),
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// Waits until whoever holds the lock has let go of it, at most for `patience`.
pub fn wait_until_free(pidfile: &Path, patience: Duration) {
    let Ok(Some((file, _))) = files::to_read(&path_beside(pidfile)) else { return };
    let (sender, freed) = mpsc::channel();
    // The system call has no time limit of its own. A thread that waits in vain ends with the process, which is
    // about to say that another daemon runs.
    let waiter = std::thread::Builder::new().spawn(move || {
        let _ = flock(&file, FlockOperation::LockExclusive);
        drop(file);
        let _ = sender.send(());
    });
    if let Ok(waiter) = waiter
        && freed.recv_timeout(patience).is_ok()
    {
        let _ = waiter.join();
    }
}

/// Whether a pidfile is a file, or will be one, so that others may lie beside it.
pub fn can_have_neighbours(pidfile: &Path) -> bool {
    files::facts_at(pidfile)
        // Whatever is wrong with one that we cannot look at, its lock says it.
        .map_or(true, |stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

/// Whether this is still the file of that name.
fn is_at(file: &File, at: &Location) -> bool {
    match (rustix::fs::fstat(file), at.stat()) {
        (Ok(ours), Ok(there)) => (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino),
        _ => false,
    }
}

fn read_pid(file: File) -> Option<i32> {
    let mut text = String::new();
    file.take(PID_BYTES).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

impl Lock {
    /// Writes down who holds it.
    ///
    /// # Errors
    /// The file cannot be written to; the lock is held all the same.
    pub fn write_pid(&mut self, pid: i32) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "{pid}")
    }

    /// A second descriptor that holds the lock, closed at exec as the first one is.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn share(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }

    /// The descriptor that holds the lock, to be kept open.
    pub fn into_fd(self) -> OwnedFd {
        self.file.into()
    }
}

/// Removes the file, at an orderly end, if it is the one that `keeper` holds.
pub fn remove(pidfile: &Path, keeper: i32) {
    let _ =
        replace::remove(&path_beside(pidfile), PID_BYTES, |bytes| bytes.is_empty() || holds(bytes, keeper));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_learns_who_was_first() {
        let directory = tempfile::tempdir().unwrap();
        let pidfile = directory.path().join("daemon.pid");
        let Taken::Ours(mut lock) = take(&pidfile).unwrap() else { panic!("nobody else has it") };
        lock.write_pid(4711).unwrap();
        assert!(matches!(take(&pidfile).unwrap(), Taken::Held { by: Some(4711) }));
        let fd = lock.into_fd();
        assert!(matches!(take(&pidfile).unwrap(), Taken::Held { by: Some(4711) }));
        let waiting = std::thread::spawn({
            let pidfile = pidfile.clone();
            move || wait_until_free(&pidfile, Duration::from_secs(20))
        });
        drop(fd);
        waiting.join().unwrap();
        assert!(matches!(take(&pidfile).unwrap(), Taken::Ours(_)));
    }
}
