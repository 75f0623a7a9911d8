//! Pipes between the daemon and its programs.
//!
//! The daemon uses only one end of a pipe, the reading end of an output and the writing end of an input. The other end
//! is made anew for each start of the program, by opening ours through `/proc/self/fd`. So `O_NONBLOCK` on our end does
//! not affect the program's end, nor does what a former program did to its own: they are separate open file
//! descriptions of one pipe (pipe(7), proc(5)). An output reaches its end when every process that has the other end is
//! gone. A process that also keeps a program's end open decides when that is.

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// A pipe for a program's output: our reading end, non-blocking.
///
/// # Errors
/// Out of descriptors.
pub fn output() -> io::Result<OwnedFd> {
    let (read, _write) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&read, true)?;
    Ok(read)
}

/// A pipe for a program's input: our writing end, non-blocking.
///
/// # Errors
/// Out of descriptors.
pub fn input() -> io::Result<OwnedFd> {
    let (_read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&write, true)?;
    Ok(write)
}

/// Whether a program gets more than its own end of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Its own end alone.
    Own,
    /// Both ends, so that the pipe lives for as long as the program: without us it waits when the pipe is full
    /// instead of being killed by SIGPIPE, and nothing that is in it is lost.
    Both,
}

/// Opens the program's end of an output pipe whose reading end is `ours`.
///
/// # Errors
/// Out of descriptors, or `/proc` is not mounted.
pub fn writing_end(ours: impl AsFd, ends: Ends) -> io::Result<OwnedFd> {
    let flags = if ends == Ends::Both { OFlags::RDWR } else { OFlags::WRONLY };
    reopen(ours, flags)
}

/// Opens the program's end of an input pipe whose writing end is `ours`, empty: what a former program left
/// unread is not for its successor.
///
/// # Errors
/// As [`writing_end`].
pub fn reading_end(ours: impl AsFd, ends: Ends) -> io::Result<OwnedFd> {
    emptied(reopen(ours, reading(ends))?)
}

fn reading(ends: Ends) -> OFlags {
    let flags = if ends == Ends::Both { OFlags::RDWR } else { OFlags::RDONLY };
    flags | OFlags::NONBLOCK
}

/// An end of an input pipe without what a former program left unread, blocking.
fn emptied(end: OwnedFd) -> io::Result<OwnedFd> {
    let mut left_over = [0; 4096];
    while matches!(rustix::io::read(&end, &mut left_over), Ok(n) if n > 0) {}
    rustix::io::ioctl_fionbio(&end, false)?;
    Ok(end)
}

/// Opens our end of the pipe that is descriptor 0, 1 or 2 of a process, if it still is the pipe with this inode.
///
/// # Errors
/// `NotFound` if it is something else by now; others are the system's.
pub fn of_process(pid: i32, number: usize, inode: u64) -> io::Result<OwnedFd> {
    let flags = if number == 0 { OFlags::WRONLY } else { OFlags::RDONLY };
    open_at(Path::new(&format!("/proc/{pid}/fd/{number}")), inode, flags | OFlags::NONBLOCK)
}

/// Opens the writing end of the pipe with this inode by the name that it has in `/proc` with another process,
/// non-blocking.
///
/// # Errors
/// `NotFound` if that is something else by now; ENXIO if nobody has the other end.
pub fn input_at(path: &Path, inode: u64) -> io::Result<OwnedFd> {
    open_at(path, inode, OFlags::WRONLY | OFlags::NONBLOCK)
}

/// Whether the pipe with this inode can be opened by that name.
pub fn is_at(path: &Path, inode: u64) -> bool {
    open_at(path, inode, reading(Ends::Own)).is_ok()
}

/// As [`reading_end`], by the name that our end has with another process.
///
/// # Errors
/// `NotFound` if that is something else by now.
pub fn reading_end_at(path: &Path, inode: u64, ends: Ends) -> io::Result<OwnedFd> {
    emptied(open_at(path, inode, reading(ends))?)
}

fn open_at(path: &Path, inode: u64, flags: OFlags) -> io::Result<OwnedFd> {
    let is_it = |stat: &rustix::fs::Stat| {
        stat.st_ino == inode && rustix::fs::FileType::from_raw_mode(stat.st_mode).is_fifo()
    };
    // Looked at before it is opened: opening a device can have effects.
    if inode == 0 || !is_it(&rustix::fs::stat(path)?) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let end = rustix::fs::open(path, flags | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())?;
    if is_it(&rustix::fs::fstat(&end)?) { Ok(end) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// The inode of an open file; 0 if the system does not say.
pub fn inode(fd: impl AsFd) -> u64 {
    rustix::fs::fstat(fd).map_or(0, |stat| stat.st_ino)
}

/// Whether anybody has the writing end of a pipe whose reading end this is.
pub fn has_writer(ours: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut fds = [PollFd::new(&ours, PollFlags::empty())];
    !matches!(poll(&mut fds, Some(&at_once)), Ok(1)) || !fds[0].revents().contains(PollFlags::HUP)
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
            let end = writing_end(&ours, Ends::Own).unwrap();
            assert!(has_writer(&ours));
            rustix::io::write(&end, round).unwrap();
            let mut buffer = [0; 16];
            assert_eq!(rustix::io::read(&ours, &mut buffer), Ok(3));
            assert_eq!(rustix::io::read(&ours, &mut buffer), Err(rustix::io::Errno::AGAIN));
            drop(end);
            // A child that another test is just creating has all our descriptors until it executes its program.
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
            while has_writer(&ours) && std::time::Instant::now() < deadline {
                std::thread::yield_now();
            }
            assert_eq!(rustix::io::read(&ours, &mut buffer), Ok(0));
        }
    }

    #[test]
    fn who_has_both_ends_can_write_without_us_and_is_found_again() {
        let ours = output().unwrap();
        let end = writing_end(&ours, Ends::Both).unwrap();
        let inode = inode(&ours);
        drop(ours);
        rustix::io::write(&end, b"kept").unwrap();
        // Descriptor 1 of this process is whatever the test runner made it.
        assert!(of_process(std::process::id() as i32, 1, inode).is_err());
        let number = end.as_raw_fd() as usize;
        let again = of_process(std::process::id() as i32, number, inode).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(rustix::io::read(&again, &mut buffer), Ok(4));
        assert!(of_process(std::process::id() as i32, number, inode + 1).is_err());
    }

    #[test]
    fn an_input_does_not_keep_what_a_former_program_left() {
        let ours = input().unwrap();
        let first = reading_end(&ours, Ends::Own).unwrap();
        rustix::io::write(&ours, b"for the first").unwrap();
        drop(first);
        // As above: a child that another test is just creating is a reader, too.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while rustix::io::write(&ours, b"x") != Err(rustix::io::Errno::PIPE) {
            assert!(std::time::Instant::now() < deadline, "it still has a reader");
            std::thread::yield_now();
        }
        let second = reading_end(&ours, Ends::Own).unwrap();
        rustix::io::write(&ours, b"2").unwrap();
        let mut buffer = [0; 16];
        assert_eq!(rustix::io::read(&second, &mut buffer), Ok(1));
    }
}
