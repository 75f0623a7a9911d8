//! Things a log can be written to that are not regular files: terminals, FIFOs, the daemon's own output.
//!
//! They are never rotated, truncated or removed. Writing to them never blocks: a reader that does not read must not stop
//! the daemon.

use crate::files::open::StandardStream;
use crate::log::sinks::open;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::net::SendFlags;
use rustix::pipe::SpliceFlags;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// What fits into a pipe or terminal that poll(2) calls writable (PIPE_BUF, pipe(7)).
const SAFE_PIECE: usize = 4096;

/// An open device.
#[derive(Debug)]
pub struct Device {
    fd: OwnedFd,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A description of our own in non-blocking mode.
    Own,
    /// A pipe whose description others use, too: its mode is not ours to change.
    BorrowedPipe,
    /// The same for a terminal.
    BorrowedOther,
    Socket,
    /// The daemon's output was redirected to a file.
    File,
    /// `/dev/null` and the like, which take everything.
    Null,
}

impl Device {
    /// The device for a name that stands for one of the daemon's own descriptors; `None` for other names.
    ///
    /// # Errors
    /// EBADF if the daemon was started without that descriptor.
    pub fn standard_stream(path: &Path) -> io::Result<Option<Device>> {
        StandardStream::named(path).map(|stream| Device::borrowed(stream.duplicate()?)).transpose()
    }

    /// Takes over something that was opened by us in non-blocking mode.
    ///
    /// # Errors
    /// The system's.
    pub fn opened(fd: OwnedFd) -> io::Result<Device> {
        let kind = if is_null(&fd)? { Kind::Null } else { Kind::Own };
        Ok(Device { fd, kind })
    }

    /// Uses a descriptor whose description belongs to others, too.
    ///
    /// A pipe or terminal is opened again by its name in `/proc`, for a description of our own that may be
    /// non-blocking. After privileges were dropped that can be forbidden; then we ask before each write.
    ///
    /// # Errors
    /// The system's.
    pub fn borrowed(fd: OwnedFd) -> io::Result<Device> {
        let kind = match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Socket => Kind::Socket,
            _ if is_null(&fd)? => Kind::Null,
            FileType::Fifo => Kind::BorrowedPipe,
            _ => Kind::BorrowedOther,
        };
        if matches!(kind, Kind::BorrowedPipe | Kind::BorrowedOther) {
            let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            if let Ok(own) = rustix::fs::open(name, flags, Mode::empty()) {
                return Ok(Device { fd: own, kind: Kind::Own });
            }
        }
        Ok(Device { fd, kind })
    }

    /// Writes the beginning of `bytes`.
    ///
    /// # Errors
    /// EAGAIN if nobody takes them now.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let n_bytes = match self.kind {
            Kind::Null => bytes.len(),
            Kind::Own | Kind::File => rustix::io::retry_on_intr(|| rustix::io::write(&self.fd, bytes))?,
            Kind::Socket => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                rustix::net::send(&self.fd, bytes, flags)?
            }
            Kind::BorrowedPipe | Kind::BorrowedOther => {
                self.check_writable()?;
                rustix::io::write(&self.fd, &bytes[..bytes.len().min(SAFE_PIECE)])?
            }
        };
        Ok(n_bytes)
    }

    /// Moves at most `max` bytes from a pipe into a pipe, or into nothing.
    ///
    /// # Errors
    /// EAGAIN if either end cannot go on, EINVAL if this device is nothing to splice into.
    pub fn splice(&self, pipe: impl AsFd, max: usize) -> io::Result<usize> {
        if self.kind != Kind::Null && !self.is_pipe()? {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        Ok(rustix::pipe::splice(pipe, None, &self.fd, None, max, flags)?)
    }

    /// What is open there.
    ///
    /// # Errors
    /// The system's.
    pub fn facts(&self) -> io::Result<open::Facts> {
        open::facts(&self.fd)
    }

    fn is_pipe(&self) -> io::Result<bool> {
        let stat = rustix::fs::fstat(&self.fd)?;
        Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
    }

    fn check_writable(&self) -> io::Result<()> {
        let mut fds = [PollFd::new(&self.fd, PollFlags::OUT)];
        rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        match fds[0].revents() {
            events if events.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            // An error is told by the write itself.
            _ => Ok(()),
        }
    }
}

/// Whether this is `/dev/null` under whatever name.
fn is_null(fd: &OwnedFd) -> io::Result<bool> {
    let stat = rustix::fs::fstat(fd)?;
    // Fixed numbers, see the kernel's devices.txt: memory devices are 1, null is 3 among them.
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) == (1, 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pipe_says_so_and_stays_blocking_for_others() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let device = Device::borrowed(write.try_clone().unwrap()).unwrap();
        let mut written = 0;
        let error = loop {
            match device.write(&[b'x'; 5000]) {
                Ok(n_bytes) => written += n_bytes,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(written >= 30_000, "{written}");
        assert!(!rustix::fs::fcntl_getfl(&write).unwrap().contains(OFlags::NONBLOCK));
        drop(read);
    }

    #[test]
    fn a_borrowed_pipe_is_never_blocked_on() {
        let (_read, write) = rustix::pipe::pipe().unwrap();
        let device = Device { fd: write, kind: Kind::BorrowedPipe };
        while device.write(&[b'x'; 5000]).is_ok() {}
        assert_eq!(device.write(b"x").unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn null_takes_everything() {
        let null = std::fs::File::options().write(true).open("/dev/null").unwrap();
        let device = Device::opened(null.into()).unwrap();
        assert_eq!(device.write(b"abc").unwrap(), 3);
        let (read, write) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&write, b"12345").unwrap();
        assert_eq!(device.splice(&read, 100).unwrap(), 5);
    }
}
