//! Descriptors for a program beyond the first three: listening sockets, announced to it as in `sd_listen_fds(3)`, and a pipe
//! that it writes to when it is ready.

use std::ffi::{CString, c_char};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// The further descriptors that a child takes over.
pub(super) struct Listeners {
    /// Where they are, changed by the child, which moves them; and where they are to be.
    fds: Vec<(RawFd, RawFd)>,
    n_sockets: usize,
    /// `LISTEN_PID=` and room for a pid, which only the child knows, with the zero that ends it.
    pid: Vec<u8>,
    count: CString,
}

/// The number of the first listening socket, `SD_LISTEN_FDS_START`.
const FIRST: RawFd = 3;
const LISTEN_PID: &[u8] = b"LISTEN_PID=";
/// The digits of the largest pid, and a zero.
const PID_BYTES: usize = 11;

impl Listeners {
    /// Listening sockets from 3 on, and another descriptor with a number of its own, which must not be one of theirs.
    pub(super) fn new(listeners: &[BorrowedFd<'_>], other: Option<(BorrowedFd<'_>, RawFd)>) -> Listeners {
        let mut pid = LISTEN_PID.to_vec();
        pid.resize(LISTEN_PID.len() + PID_BYTES, 0);
        Listeners {
            fds: listeners
                .iter()
                .map(AsRawFd::as_raw_fd)
                .zip(FIRST..)
                .chain(other.map(|(fd, number)| (fd.as_raw_fd(), number)))
                .collect(),
            n_sockets: listeners.len(),
            pid,
            // Digits have no zero byte.
            count: CString::new(format!("LISTEN_FDS={}", listeners.len())).unwrap_or_default(),
        }
    }

    /// Puts the two variables into an environment for exec, if there is anything to announce.
    pub(super) fn announce(&self, environment: &mut Vec<*const c_char>) {
        if self.n_sockets > 0 {
            let end = environment.len().saturating_sub(1);
            environment.splice(end..end, [self.pid.as_ptr().cast(), self.count.as_ptr()]);
        }
    }

    /// Writes the calling process' pid to where the environment points.
    fn write_pid(&mut self) {
        // SAFETY: asks for a number.
        let mut rest = unsafe { libc::getpid() };
        let mut digits = [0_u8; PID_BYTES];
        let mut n_digits = 0;
        while rest > 0 && n_digits < PID_BYTES - 1 {
            digits[n_digits] = b'0' + (rest % 10) as u8;
            rest /= 10;
            n_digits += 1;
        }
        for (place, digit) in self.pid[LISTEN_PID.len()..].iter_mut().zip(digits[..n_digits].iter().rev()) {
            *place = *digit;
        }
    }

    /// The highest descriptor among them.
    pub(super) fn highest(&self) -> Option<RawFd> {
        self.fds.iter().map(|(source, _)| *source).max()
    }

    /// The highest number that one of them is to have; 2 if there are none.
    pub(super) fn highest_target(&self) -> RawFd {
        self.fds.iter().map(|(_, target)| *target).max().unwrap_or(2)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.fds.len()
    }

    /// Takes each with its number. Whether that worked.
    ///
    /// # Safety
    /// In the child only, with a table of descriptors of its own in which nothing but 0, 1 and 2 is needed.
    pub(super) unsafe fn take(&mut self) -> bool {
        let highest = self.fds.iter().map(|(_, target)| *target).max().unwrap_or(0);
        // First out of the way: one may stand where another is to go.
        for (fd, _) in &mut self.fds {
            // SAFETY: a copy with a number above all targets, closed by exec.
            *fd = unsafe { libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, highest + 1) };
        }
        if self.n_sockets > 0 {
            self.write_pid();
        }
        // SAFETY: numbers; a failed copy above is -1 and fails here.
        self.fds.iter().all(|(source, target)| unsafe { libc::dup2(*source, *target) } == *target)
    }
}
