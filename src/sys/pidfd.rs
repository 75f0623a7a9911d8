//! Processes that are not our children, held by a descriptor. The descriptor watches and signals them, so a pid that
//! the kernel gave to another process is never taken for the former one.

use crate::model::exit::ExitStatus;
use crate::model::signal::Signal;
use crate::sys::process;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// A flag of pidfd_send_signal(2).
const PIDFD_SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;

/// Gets hold of the process that has this pid and was created at this moment, in clock ticks since boot.
///
/// # Errors
/// `NotFound`: there is none, or the pid is somebody else's by now. Others are the system's.
pub fn open(pid: i32, start_ticks: u64) -> io::Result<OwnedFd> {
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    // Negative numbers are no pids, and 0 is none.
    let number = (pid > 0).then_some(pid).and_then(Pid::from_raw).ok_or_else(gone)?;
    let pidfd = pidfd_open(number, PidfdFlags::NONBLOCK)
        .map_err(|errno| if errno == rustix::io::Errno::SRCH { gone() } else { errno.into() })?;
    // Looked at only now that the descriptor holds whoever has the pid.
    if process::start_ticks(pid) != Some(start_ticks) || has_ended(&pidfd) {
        return Err(gone());
    }
    Ok(pidfd)
}

/// Gets hold of the process that has this pid now, whoever it is: what is to be known of it is looked at afterwards.
///
/// # Errors
/// The system's.
pub fn hold(pid: i32) -> io::Result<OwnedFd> {
    let number = (pid > 0).then_some(pid).and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    Ok(pidfd_open(number, PidfdFlags::NONBLOCK)?)
}

/// Kills whoever has this pid now, if that turns out to be who is meant. `is_it` is asked when nobody else can get the
/// pid any more.
pub fn kill_if(pid: i32, is_it: impl Fn() -> bool) {
    match hold(pid) {
        Ok(held) if is_it() => drop(send(held, Signal::KILL)),
        // Linux before 5.3: the pid may become another's in between, in a moment.
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) && is_it() => {
            let _ = crate::sys::signals::send(pid, Signal::KILL);
        }
        _ => {}
    }
}

/// Whether a process of this pid is alive, whoever it is.
pub fn is_alive(pid: i32) -> bool {
    let number = (pid > 0).then_some(pid).and_then(Pid::from_raw);
    number.is_some_and(|pid| pidfd_open(pid, PidfdFlags::NONBLOCK).is_ok_and(|pidfd| !has_ended(&pidfd)))
}

/// Whether the process has ended.
pub fn has_ended(pidfd: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&at_once)), Ok(1))
}

/// Waits until the process has ended.
///
/// # Errors
/// The system's.
pub fn wait(pidfd: impl AsFd) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    loop {
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Sends a signal to the process.
///
/// # Errors
/// ESRCH if it has ended and was collected; EPERM.
pub fn send(pidfd: impl AsFd, signal: Signal) -> io::Result<()> {
    send_with(pidfd, signal, 0)
}

/// Sends a signal to the process group that the process leads.
///
/// # Errors
/// ESRCH if nobody is left in the group; EPERM. EINVAL if the kernel cannot do it and the leader has ended.
pub fn send_group(pidfd: impl AsFd, leader: i32, signal: Signal) -> io::Result<()> {
    let sent = send_with(&pidfd, signal, PIDFD_SIGNAL_PROCESS_GROUP);
    match sent {
        // Linux before 6.9. The group keeps its number for as long as its leader lives.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) && !has_ended(&pidfd) => {
            crate::sys::signals::send_group(leader, signal)
        }
        sent => sent,
    }
}

/// Whether anybody is left in the process group that the process leads, or led before it ended: for as long as
/// somebody is, its number is nobody else's. False where the kernel does not tell (Linux before 6.9).
pub fn leads_anybody(pidfd: impl AsFd) -> bool {
    send_with(pidfd, Signal::from_raw(0), PIDFD_SIGNAL_PROCESS_GROUP).is_ok()
}

fn send_with(pidfd: impl AsFd, signal: Signal, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: numbers, and a null pointer where the kernel then makes up the information itself.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_fd().as_raw_fd(),
            signal.raw(),
            std::ptr::null::<libc::siginfo_t>(),
            flags,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `struct pidfd_info` as of Linux 6.15 (`linux/pidfd.h`); later ones are longer, and the kernel fills in as
/// much as it is asked for.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    /// pid, tgid, ppid, then four pairs of user and group.
    ids: [u32; 11],
    exit_code: i32,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// How a process ended that somebody else has reaped. `None`: it has not been reaped yet, or the kernel is older
/// than Linux 6.15 and does not tell.
pub fn exit_status(pidfd: impl AsFd) -> Option<ExitStatus> {
    // _IOWR(0xFF, 11, struct pidfd_info)
    const PIDFD_GET_INFO: libc::c_ulong =
        (3 << 30) | ((size_of::<PidfdInfo>() as u64) << 16) | (0xff << 8) | 11;
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the structure is as large as the request says, and consists of numbers.
    let result = unsafe { libc::ioctl(pidfd.as_fd().as_raw_fd(), PIDFD_GET_INFO as _, &raw mut info) };
    (result == 0 && info.mask & PIDFD_INFO_EXIT != 0).then(|| ExitStatus::from_wait_status(info.exit_code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn whoever_got_the_pid_later_is_somebody_else() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = child.id() as i32;
        let ticks = process::start_ticks(pid).unwrap();
        assert_eq!(open(pid, ticks + 1).unwrap_err().kind(), io::ErrorKind::NotFound);
        let pidfd = open(pid, ticks).unwrap();
        assert!(!has_ended(&pidfd) && exit_status(&pidfd).is_none());
        send(&pidfd, Signal::TERM).unwrap();
        child.wait().unwrap();
        assert!(has_ended(&pidfd));
        assert_eq!(open(pid, ticks).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(send(&pidfd, Signal::TERM).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        // Older kernels do not tell; what they tell has to be true.
        let killed = ExitStatus::Signal { signal: Signal::TERM, core_dumped: false };
        assert!(exit_status(&pidfd).is_none_or(|status| status == killed));
    }

    #[test]
    fn pids_that_are_no_processes_are_not_found() {
        for pid in [0, -1, i32::MIN] {
            assert_eq!(open(pid, 1).unwrap_err().kind(), io::ErrorKind::NotFound);
            assert!(!is_alive(pid));
        }
    }
}
