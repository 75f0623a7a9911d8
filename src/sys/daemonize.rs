//! Goes to the background. The shell's prompt is held back until the daemon is ready.

use crate::sys::process;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

/// Where [`fork`] returned.
pub enum Fork {
    /// In the process that the shell waits for.
    Parent(Launched),
    /// In the daemon to be. It writes one byte, its exit status, to this pipe when it is ready (0) or has
    /// failed; the descriptor survives exec.
    Child(OwnedFd),
}

/// The parent's end.
pub struct Launched {
    ready: std::fs::File,
    pid: i32,
}

impl Launched {
    /// Waits on a pipe that somebody else got the other end of.
    pub fn from_fd(ready: OwnedFd) -> Launched {
        Launched { ready: ready.into(), pid: 0 }
    }

    /// The pipe, and the pid of the daemon to be.
    pub fn into_parts(self) -> (OwnedFd, i32) {
        (self.ready.into(), self.pid)
    }

    /// Waits for the daemon's word; a daemon that ends without one counts as failed with status 1.
    pub fn wait(mut self) -> u8 {
        let mut status = [1];
        match self.ready.read_exact(&mut status) {
            Ok(()) => status[0],
            Err(_) => 1,
        }
    }
}

/// Forks.
///
/// # Errors
/// This process has more than one thread, so that the child might wait for a lock for ever; or the system's.
pub fn fork() -> io::Result<Fork> {
    if !process::has_a_single_thread() {
        return Err(io::Error::other("more threads than one"));
    }
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: there is a single thread, so the child may go on as it likes.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(read);
            super::fd::set_cloexec(&write, false)?;
            rustix::process::setsid()?;
            Ok(Fork::Child(write))
        }
        pid => Ok(Fork::Parent(Launched { ready: std::fs::File::from(read), pid })),
    }
}
