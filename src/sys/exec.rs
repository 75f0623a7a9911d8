//! Forks managers, and replaces the keeper in place. What is executed is always a binary that is open already, so it
//! does not matter what has become of the file.

use crate::sys::signals;
use std::ffi::{CString, c_char};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// The exit status of a child that could not become a manager, as shells have it.
const NOT_EXECUTED: i32 = 127;

/// Starts the manager from the keeper: an ordinary child that keeps every descriptor.
///
/// `file` is the binary, open; arguments and environment were prepared beforehand, so nothing is allocated.
///
/// # Errors
/// The child could not be created. If it could not execute, it ends with status 127.
pub fn start_manager(
    file: BorrowedFd<'_>,
    arguments: &ExecStrings,
    environment: &ExecStrings,
) -> io::Result<i32> {
    // SAFETY: the child only makes system calls, so it waits for no lock that another thread might hold.
    if let Some(pid) = unsafe { fork_manager() }? {
        return Ok(pid);
    }
    // SAFETY: in the child; everything was prepared beforehand, and it is ended if it cannot execute.
    unsafe {
        // A script's interpreter reads it through this very descriptor.
        libc::fcntl(file.as_raw_fd(), libc::F_SETFD, 0);
        exec_fd(file.as_raw_fd(), arguments, environment);
        libc::_exit(NOT_EXECUTED)
    }
}

/// Forks a manager that goes on in the keeper's own binary, without executing anything: that is there at once,
/// where loading and linking the binary anew takes longer than everything else a manager does to come up. No signal
/// is blocked in it, and all of them have their default action. It has all of the keeper's descriptors, those that
/// are closed at exec as well.
///
/// Returns twice: in the keeper with the manager's pid, and in the manager with `None`.
///
/// # Errors
/// The child could not be created.
///
/// # Safety
/// This process has a single thread, so that nobody holds a lock that the child would wait for in vain; or the child only
/// makes system calls.
pub unsafe fn fork_manager() -> io::Result<Option<i32>> {
    // SAFETY: by this function's contract. The child has nobody's handlers.
    unsafe {
        match libc::fork() {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                libc::setpgid(0, 0);
                signals::reset_all();
                Ok(None)
            }
            manager => Ok(Some(manager)),
        }
    }
}

/// Replaces this process by the binary that is open as `file`.
///
/// # Errors
/// Always, if it returns.
pub fn replace_self(file: impl AsFd, arguments: &ExecStrings, environment: &ExecStrings) -> io::Error {
    // SAFETY: valid null-terminated arrays; on success nothing of this process is left to be unsound.
    unsafe { exec_fd(file.as_fd().as_raw_fd(), arguments, environment) };
    io::Error::last_os_error()
}

/// # Safety
/// Executes: everything this process holds is gone on success.
unsafe fn exec_fd(file: RawFd, arguments: &ExecStrings, environment: &ExecStrings) {
    // SAFETY: `ExecStrings` are null-terminated arrays of C strings; the empty path with AT_EMPTY_PATH means
    // the descriptor itself.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file,
            c"".as_ptr(),
            arguments.pointers.as_ptr(),
            environment.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
}

/// Strings for exec, with the array of pointers to them made beforehand.
pub struct ExecStrings {
    /// Point into `strings`, whose heap parts do not move.
    pointers: Vec<*const c_char>,
    strings: Vec<CString>,
}

impl ExecStrings {
    /// Keeps the strings and makes the array of pointers that exec takes.
    pub fn new(strings: Vec<CString>) -> ExecStrings {
        ExecStrings { pointers: pointers(&strings), strings }
    }

    /// The words with blanks between them, as lists of processes show them.
    pub fn line(&self) -> Vec<u8> {
        self.strings.iter().map(|word| word.as_bytes()).collect::<Vec<_>>().join(&b' ')
    }

    /// Makes these strings, `KEY=value` each, the environment of this process.
    ///
    /// # Safety
    /// There is no other thread that might read the environment.
    pub unsafe fn become_environment(self) {
        unsafe extern "C" {
            static mut environ: *const *const c_char;
        }
        // Whoever looks for a variable reads them for as long as this process lives.
        let strings = std::mem::ManuallyDrop::new(self);
        // SAFETY: a null-terminated array of C strings that is never freed; nobody reads at the same time.
        unsafe { environ = strings.pointers.as_ptr() };
    }
}

/// Whether the binary that is open as `file` is the one this process runs.
pub fn is_own_binary(file: impl AsFd) -> bool {
    let same = |own: OwnedFd| -> io::Result<bool> {
        let (own, other) = (rustix::fs::fstat(own)?, rustix::fs::fstat(file)?);
        Ok((own.st_dev, own.st_ino) == (other.st_dev, other.st_ino))
    };
    open_own_binary().and_then(same).unwrap_or(false)
}

/// Opens the binary this process runs, so that it can be executed again even after it was replaced on disk.
///
/// # Errors
/// The system's: `/proc` is not mounted, or descriptors have run out.
pub fn open_own_binary() -> io::Result<OwnedFd> {
    // SAFETY: a valid path; a non-negative result is a fresh descriptor that nobody else owns.
    unsafe {
        let fd = libc::open(c"/proc/self/exe".as_ptr(), libc::O_PATH | libc::O_CLOEXEC);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// A null-terminated array for exec.
pub(super) fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}
