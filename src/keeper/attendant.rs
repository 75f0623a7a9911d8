//! The process that was started in the foreground, when the keeper is another one: it stands in for the keeper.
//!
//! It passes signals on, and ends when the keeper tells it to, with the status that the keeper tells it. See `detach`.

use crate::keeper::boot::block_signals;
use crate::model::signal::Signal;
use crate::sys::{pidfd, signals};
use rustix::event::{PollFd, PollFlags, poll};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};

/// Signals that wait to be passed on.
pub struct Held(OwnedFd);

/// Keeps signals from doing anything to this process. To be called before there is a daemon: whoever sees that
/// it is up may signal us at once.
///
/// # Errors
/// Out of descriptors.
pub fn hold_signals() -> io::Result<Held> {
    block_signals().map(Held)
}

/// Stands in for a keeper until it says, by one byte on `told`, that the daemon has ended, and returns that: the
/// exit status.
pub fn attend(Held(received): &Held, keeper: &OwnedFd, told: &OwnedFd) -> u8 {
    loop {
        let mut fds = [PollFd::new(received, PollFlags::IN), PollFd::new(told, PollFlags::IN)];
        if poll(&mut fds, None).is_err() {
            continue;
        }
        if !fds[0].revents().is_empty() {
            pass_on(received, keeper);
        }
        if !fds[1].revents().is_empty() {
            let mut status = [0];
            return match rustix::io::read(told, &mut status) {
                Ok(1) => status[0],
                // The keeper has been killed, and the programs are on their own.
                _ => 1,
            };
        }
    }
}

fn pass_on(received: &OwnedFd, keeper: &OwnedFd) {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
    let size = size_of_val(&info);
    // SAFETY: the buffer is as large as stated, and the kernel writes whole structures.
    while unsafe { libc::read(received.as_raw_fd(), info.as_mut_ptr().cast(), size) } == size as isize {
        // SAFETY: the kernel filled it.
        let number = unsafe { info.assume_init_ref() }.ssi_signo as i32;
        if signals::FOR_DAEMONS.contains(&number) {
            let _ = pidfd::send(keeper, Signal::from_raw(number));
        }
    }
}
