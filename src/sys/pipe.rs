//! Pipes between the daemon and its programs.
//!
//! Only one end of a pipe is kept, the reading end of an output and the writing end of an input. The other
//! end is made anew for each start of the program by opening the kept one through `/proc/self/fd`. So an
//! output reaches its end when the last program that had it is gone, and `O_NONBLOCK` on our end never shows
//! up on the program's: both are separate open file descriptions of one pipe (pipe(7), proc(5)).

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// A pipe for a program's output: our reading end, non-blocking.
pub fn output() -> io::Result<OwnedFd> {
    let (read, _write) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&read, true)?;
    Ok(read)
}

/// A pipe for a program's input: our writing end, non-blocking.
pub fn input() -> io::Result<OwnedFd> {
    let (_read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&write, true)?;
    Ok(write)
}

/// Opens the program's end of an output pipe whose reading end is `ours`.
pub fn writing_end(ours: impl AsFd) -> io::Result<OwnedFd> {
    reopen(ours, OFlags::WRONLY)
}

/// Opens the program's end of an input pipe whose writing end is `ours`, empty: what a former program left
/// unread is not for its successor.
pub fn reading_end(ours: impl AsFd) -> io::Result<OwnedFd> {
    let end = reopen(ours, OFlags::RDONLY | OFlags::NONBLOCK)?;
    let mut left_over = [0; 4096];
    while matches!(rustix::io::read(&end, &mut left_over), Ok(n) if n > 0) {}
    rustix::io::ioctl_fionbio(&end, false)?;
    Ok(end)
}

fn reopen(ours: impl AsFd, flags: OFlags) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", ours.as_fd().as_raw_fd());
    Ok(rustix::fs::open(path, flags | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_ends_when_its_last_writer_is_gone_and_begins_again() {
        let ours = output().unwrap();
        for round in [b"one", b"two"] {
            let end = writing_end(&ours).unwrap();
            rustix::io::write(&end, round).unwrap();
            let mut buffer = [0; 16];
            assert_eq!(rustix::io::read(&ours, &mut buffer), Ok(3));
            assert_eq!(rustix::io::read(&ours, &mut buffer), Err(rustix::io::Errno::AGAIN));
            drop(end);
            assert_eq!(rustix::io::read(&ours, &mut buffer), Ok(0));
        }
    }

    #[test]
    fn an_input_does_not_keep_what_a_former_program_left() {
        let ours = input().unwrap();
        let first = reading_end(&ours).unwrap();
        rustix::io::write(&ours, b"for the first").unwrap();
        drop(first);
        assert_eq!(rustix::io::write(&ours, b"x"), Err(rustix::io::Errno::PIPE));
        let second = reading_end(&ours).unwrap();
        rustix::io::write(&ours, b"2").unwrap();
        let mut buffer = [0; 16];
        assert_eq!(rustix::io::read(&second, &mut buffer), Ok(1));
    }
}
