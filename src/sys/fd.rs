//! Descriptors that arrive by number, and whether they stay open at exec.

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Takes over a descriptor that this process inherited under a known number; `None` if there is none.
///
/// # Safety
/// Nothing else in this process owns or closes what is open under this number: it was open when the process was executed
/// or forked, and is taken over once.
pub unsafe fn adopt(number: RawFd) -> Option<OwnedFd> {
    if number < 0 {
        return None;
    }
    // SAFETY: the borrow only lives for the one call that finds out whether the descriptor is open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_getfd(borrowed).ok()?;
    // SAFETY: it is open, and by this function's contract nobody else owns it.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Sets whether a descriptor is closed by exec.
///
/// # Errors
/// The system's; none is known for a descriptor that is open.
pub fn set_cloexec(fd: impl AsFd, closed: bool) -> io::Result<()> {
    let flags = if closed { FdFlags::CLOEXEC } else { FdFlags::empty() };
    fcntl_setfd(fd, flags)?;
    Ok(())
}

/// Makes exec close every descriptor from `first` on, whoever opened it.
///
/// # Errors
/// `/proc/self/fd` cannot be read where the kernel has no close_range(2) with flags.
pub fn close_at_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: close_range with CLOSE_RANGE_CLOEXEC only sets flags.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first as libc::c_uint,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC as libc::c_uint,
        )
    };
    if result == 0 {
        return Ok(());
    }
    // Linux before 5.11, or a filter that does not know the call: one by one.
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()) else {
            continue;
        };
        if number >= first {
            // SAFETY: the borrow only lives for this call; a number that is closed by now answers EBADF.
            let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
            let _ = fcntl_setfd(borrowed, FdFlags::CLOEXEC);
        }
    }
    Ok(())
}

/// Descriptors that whoever started this process left open: a lock, the pipe of an ssh session.
///
/// Like all that this process opens itself they are closed at the next exec, unless they are [kept](Strangers::keep).
#[derive(Debug)]
pub struct Strangers(Vec<RawFd>);

impl Strangers {
    /// Finds them, from 3 on. To be called before this process has opened anything itself: from then on everything that
    /// is open is nobody's.
    ///
    /// # Errors
    /// The system's, for reading `/proc/self/fd`.
    pub fn find() -> io::Result<Strangers> {
        close_at_exec_from(3)?;
        let entries = std::fs::read_dir("/proc/self/fd")?;
        let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
        let mut numbers: Vec<RawFd> = numbers.filter(|number| *number >= 3).collect();
        // The directory's own has been closed again.
        // SAFETY: the borrow only lives for the one call that finds out whether the descriptor is open.
        numbers.retain(|number| fcntl_getfd(unsafe { BorrowedFd::borrow_raw(*number) }).is_ok());
        Ok(Strangers(numbers))
    }

    /// Closes all of them but `wanted`, which are open across exec from now on; returns those of them that are there.
    pub fn keep(self, wanted: &[RawFd]) -> Vec<RawFd> {
        let (kept, others): (Vec<RawFd>, Vec<RawFd>) =
            self.0.into_iter().partition(|number| wanted.contains(number));
        for number in others {
            // SAFETY: by the contract of `find` it is nobody's in this process.
            drop(unsafe { OwnedFd::from_raw_fd(number) });
        }
        for number in &kept {
            // SAFETY: the borrow only lives for this call, and the descriptor is open.
            let _ = set_cloexec(unsafe { BorrowedFd::borrow_raw(*number) }, false);
        }
        kept
    }
}

/// Opens `/dev/null`.
///
/// # Errors
/// Out of descriptors, or there is none.
pub fn null() -> io::Result<OwnedFd> {
    Ok(std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?.into())
}

/// Points standard input, output and error at `/dev/null`.
///
/// # Errors
/// `/dev/null` cannot be opened.
pub fn detach_stdio() -> io::Result<()> {
    let null = null()?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

/// Opens `/dev/null` for those of the descriptors 0, 1 and 2 that are closed, so that nothing else ends up
/// under these numbers.
///
/// # Errors
/// `/dev/null` cannot be opened.
pub fn fill_stdio() -> io::Result<()> {
    loop {
        let file = null()?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&file);
        if number > 2 {
            return Ok(());
        }
        // Kept open for good under the number it got, as the standard streams are.
        let _ = std::os::fd::IntoRawFd::into_raw_fd(file);
        // SAFETY: it was opened just above and is not owned by anybody.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
        set_cloexec(borrowed, false)?;
    }
}

/// A second descriptor, close-on-exec, of whatever is open under a number that somebody else owns.
///
/// # Errors
/// EBADF if nothing is open under the number; EMFILE.
pub fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the borrow only lives for this call; a number that is closed answers EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    Ok(rustix::io::fcntl_dupfd_cloexec(borrowed, 3)?)
}

/// Makes room for so many descriptors, or for as many as may be open.
///
/// The kernel's table doubles when the next descriptor does not fit. A process with several threads waits meanwhile until none
/// of them can read the old one, 10 to 20 ms and more. So this is for a process that has only one yet.
pub fn make_room(number: u64) {
    use rustix::process::{Resource, getrlimit};
    let Ok(null) = null() else { return };
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let highest = RawFd::try_from(number.min(most)).unwrap_or(RawFd::MAX).saturating_sub(1);
    // Whoever gets less room waits later.
    let _ = rustix::io::fcntl_dupfd_cloexec(&null, highest);
}

/// Puts a second descriptor, open across exec, under a certain number, which must be unused.
///
/// # Errors
/// The system's, as dup2(2) says.
pub fn duplicate_to(fd: impl AsFd, number: RawFd) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: the number is nobody's by the contract above, so nothing that is owned gets closed.
    let result = unsafe { libc::dup2(fd.as_fd().as_raw_fd(), number) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_as_many_as_may_be_open() {
        let room = || {
            let status = std::fs::read_to_string("/proc/self/status").expect("/proc is there");
            let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).map(str::trim);
            size.and_then(|size| size.parse::<u64>().ok()).expect("it tells the size of the table")
        };
        let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
        let wanted = (2 * room()).min(most);
        make_room(wanted);
        assert!(room() >= wanted, "{} of {wanted}", room());
    }
}
