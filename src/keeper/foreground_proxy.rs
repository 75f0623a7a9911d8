//! The foreground proxy: the process that was started in the foreground, while the keeper is another one.
//!
//! It passes signals on to the keeper, and ends with the exit status that the keeper sends it. `detach` says why.

use crate::keeper::boot::block_signals;
use crate::model::signal::Signal;
use crate::sys::{pidfd, signals};
use rustix::event::{PollFd, PollFlags, poll};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};

/// Signals that wait to be passed on.
pub struct HeldSignals(OwnedFd);

/// Keeps signals from doing anything to this process. To be called before there is a daemon: whoever sees that
/// it is up may signal us at once.
///
/// # Errors
/// Out of descriptors.
pub fn hold_signals() -> io::Result<HeldSignals> {
    block_signals().map(HeldSignals)
}

/// Stands in for a keeper until the daemon has ended: the keeper writes the exit status as one byte into the pipe
/// `ended`. Returns that status, or 1 if the keeper was killed.
pub fn stand_in_for(HeldSignals(received): &HeldSignals, keeper: &OwnedFd, ended: &OwnedFd) -> u8 {
    loop {
        let mut fds = [PollFd::new(received, PollFlags::IN), PollFd::new(ended, PollFlags::IN)];
        if poll(&mut fds, None).is_err() {
            continue;
        }
        if !fds[0].revents().is_empty() {
            pass_on(received, keeper);
        }
        if !fds[1].revents().is_empty() {
            let mut status = [0];
            return match rustix::io::read(ended, &mut status) {
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
