//! Finds out whether a program is ready, and whether it is well.
//!
//! Some probes ask: [`network`] makes one try over TCP, HTTP, a unix socket, or for a file, and [`exec`] judges a command
//! that was run for it. Others wait for what the program says by itself: in [`lines`] of its output, over the socket of
//! systemd's protocol ([`notify`]), or into a pipe ([`fd`]). What follows from an answer is decided elsewhere.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};

pub mod exec;
pub mod fd;
pub mod lines;
pub mod network;
pub mod notify;

/// Reads what there is, without waiting for more whatever the flags of the descriptor are. `None` if nothing is there;
/// 0 at the end, and if it cannot be read.
fn read_available(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Option<usize> {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        match poll(&mut [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)], Some(&at_once)) {
            Ok(0) => return None,
            Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => return Some(0),
        }
        match rustix::io::read(fd, &mut *buffer) {
            Ok(n_bytes) => return Some(n_bytes),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return None,
            Err(_) => return Some(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_never_waits() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let mut buffer = [0; 4];
        // Both ends would wait.
        assert_eq!(read_available(read.as_fd(), &mut buffer), None);
        rustix::io::write(&write, b"abcdef").unwrap();
        assert_eq!(read_available(read.as_fd(), &mut buffer), Some(4));
        assert_eq!(read_available(read.as_fd(), &mut buffer), Some(2));
        assert_eq!(read_available(read.as_fd(), &mut buffer), None);
        assert_eq!(read_available(write.as_fd(), &mut buffer), None);
        drop(write);
        assert_eq!(read_available(read.as_fd(), &mut buffer), Some(0));
    }
}
