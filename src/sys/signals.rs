//! Signals: sending and blocking them.

use crate::model::signal::Signal;
use std::io;

/// The signals that mean something to a daemon: whoever stands in for one passes them on to it.
pub const FOR_DAEMONS: [i32; 6] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];

/// Whether a signal asks a daemon to end.
pub fn asks_for_end(signal: i32) -> bool {
    [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT].contains(&signal)
}

/// Sends a signal to one process.
///
/// # Errors
/// ESRCH if there is no such process, or the number is not positive; EPERM.
pub fn send(pid: i32, signal: Signal) -> io::Result<()> {
    // 0 and negative numbers would reach whole groups, −1 everything.
    if pid <= 0 {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // SAFETY: kill(2) touches no memory of ours.
    check(unsafe { libc::kill(pid, signal.raw()) })
}

/// Sends a signal to a process group.
///
/// # Errors
/// ESRCH if there is no such group, or its number is not above 1; EPERM.
pub fn send_group(leader: i32, signal: Signal) -> io::Result<()> {
    // Group 0 would be our own, and −1 everything.
    if leader <= 1 {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // SAFETY: kill(2) touches no memory of ours.
    check(unsafe { libc::kill(-leader, signal.raw()) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Blocks every signal in this thread for as long as it lives.
pub struct Blocked {
    former: libc::sigset_t,
}

impl Blocked {
    /// Blocks all signals of this thread until the value is dropped.
    pub fn all() -> Blocked {
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        let mut former = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: the first call initialises the set that the second reads; `former` starts as a valid empty
        // set and is overwritten by the kernel.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), former.as_mut_ptr());
            Blocked { former: former.assume_init() }
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: restores a mask that the kernel gave us.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.former, std::ptr::null_mut());
        }
    }
}

/// Gives every signal its default action.
///
/// By the bare system call: the C library refuses the two signals that it keeps for itself, and whoever
/// started us may have ignored those, too.
///
/// # Safety
/// Handlers that anybody relies on are gone. Async-signal-safe.
pub unsafe fn default_dispositions() {
    // SAFETY: by this function's contract.
    unsafe { default_dispositions_of(Changed::ALL) };
}

/// The same for these signals only.
///
/// # Safety
/// As [`default_dispositions`].
pub unsafe fn default_dispositions_of(changed: Changed) {
    const DEFAULT: Disposition = [libc::SIG_DFL as u64, 0, 0, 0];
    let mut left = changed.0;
    while left != 0 {
        let signal = left.trailing_zeros() + 1;
        left &= left - 1;
        // SAFETY: the kernel reads one structure of 32 bytes; signals that cannot be changed answer EINVAL.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                DEFAULT.as_ptr(),
                std::ptr::null_mut::<u64>(),
                DISPOSITION_MASK_BYTES,
            );
        }
    }
}

/// The kernel's `struct sigaction`: handler, flags, restorer, mask.
type Disposition = [u64; 4];
const DISPOSITION_MASK_BYTES: usize = 8;

/// A set of signals that do not have their default action: signal n is bit n − 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed(u64);

impl Changed {
    const ALL: Changed = Changed(u64::MAX);

    /// The signals that this process ignores or handles now.
    pub fn here() -> Changed {
        let is_changed = |signal: &u32| {
            let mut disposition: Disposition = [0; 4];
            // SAFETY: the kernel writes one structure of 32 bytes and changes nothing.
            let result = unsafe {
                libc::syscall(
                    libc::SYS_rt_sigaction,
                    *signal,
                    std::ptr::null::<u64>(),
                    disposition.as_mut_ptr(),
                    DISPOSITION_MASK_BYTES,
                )
            };
            result != 0 || disposition[0] != libc::SIG_DFL as u64
        };
        Changed((1..=64_u32).filter(is_changed).fold(0, |set, signal| set | 1 << (signal - 1)))
    }
}

/// Gives every signal its default action and unblocks all of them, whatever this process inherited.
pub fn reset_all() {
    // SAFETY: no handler of this process is in use yet.
    unsafe { default_dispositions() };
    unblock_all();
}

/// Lets every signal through to the calling thread. Async-signal-safe.
pub fn unblock_all() {
    let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the first call initialises the set that the second reads.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

/// Lets a write to a closed pipe, or beyond a limit on the size of files, fail instead of ending this process.
pub fn ignore_write_signals() {
    for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
        // SAFETY: ignoring a signal runs no code of ours.
        unsafe {
            libc::signal(signal, libc::SIG_IGN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_found() {
        ignore_write_signals();
        let Changed(set) = Changed::here();
        for (signal, is_changed) in [(libc::SIGPIPE, true), (libc::SIGXFSZ, true), (libc::SIGWINCH, false)] {
            assert_eq!(set >> (signal - 1) & 1 == 1, is_changed, "{signal}");
        }
    }
}
