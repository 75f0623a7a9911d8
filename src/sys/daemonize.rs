//! Going to the background, with the shell's prompt held back until the daemon is ready.

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
}

impl Launched {
    /// Waits for the daemon's word; a daemon that ends without one counts as failed with status 1.
    pub fn wait(mut self) -> u8 {
        let mut status = [1];
        match self.ready.read_exact(&mut status) {
            Ok(()) => status[0],
            Err(_) => 1,
        }
    }
}

/// Forks. Must be called while this process has a single thread.
pub fn fork() -> io::Result<Fork> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: there is a single thread (the contract above), so the child may go on as it likes.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(read);
            super::fd::set_cloexec(&write, false)?;
            rustix::process::setsid()?;
            Ok(Fork::Child(write))
        }
        _ => Ok(Fork::Parent(Launched { ready: std::fs::File::from(read) })),
    }
}
