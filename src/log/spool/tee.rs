//! Reading what waits in a pipe without taking it out.
//!
//! Bytes that were read are lost if we are killed before they are written. So where bytes have to come into our memory and
//! have no [spool](crate::log::spool), they are first copied out of the pipe (`tee` shares the pages), then written, and
//! only then taken. A kill in between makes the next manager write them again, but loses none.
//!
//! Some sandboxes refuse `splice` and `tee` altogether. Without `splice`, bytes are read in order to take them. Without
//! `tee`, they are read before they are written, and what was read last is lost with us.
//!
//! The activity log uses the same means at level debug to show what the kernel is about to move to a log.

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags};
use std::cell::RefCell;
use std::fs::OpenOptions;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many bytes are copied at once; also the longest chunk of a PROCESS_LOG event.
pub const CHUNK: usize = 64 * 1024;

/// What a thread needs to copy bytes out of pipes.
#[derive(Default)]
struct TeeBuffer {
    /// Holds the copy for a moment; both ends of it.
    scratch: Option<(OwnedFd, OwnedFd)>,
    buffer: Vec<u8>,
}

thread_local! {
    static TEE_BUFFER: RefCell<TeeBuffer> = const { RefCell::new(TeeBuffer { scratch: None, buffer: Vec::new() }) };
}

/// Gives the first bytes in a pipe, at most [`CHUNK`], to `use_bytes`, and takes them out after that. Returns how many, or
/// 0 at the end of the pipe.
///
/// # Errors
/// EAGAIN if the pipe is empty. `use_bytes` was not called then.
pub fn consume(pipe: impl AsFd, use_bytes: impl FnOnce(&[u8])) -> Result<usize, Errno> {
    try_consume(pipe, |bytes| {
        use_bytes(bytes);
        Ok(())
    })
}

/// As [`consume`], for a `use_bytes` that can fail. Then the bytes stay in the pipe, unless they had to be read.
///
/// # Errors
/// Those of `use_bytes`, too.
pub fn try_consume(
    pipe: impl AsFd,
    use_bytes: impl FnOnce(&[u8]) -> Result<(), Errno>,
) -> Result<usize, Errno> {
    let mut tee = TEE_BUFFER.take();
    let mut result = tee.copy(&pipe);
    let is_taken = result.is_err_and(is_refusal);
    if is_taken {
        result = tee.read(&pipe);
    }
    if let Ok(n_bytes @ 1..) = result {
        let used = use_bytes(&tee.buffer[..n_bytes]);
        let taken = used.and_then(|()| if is_taken { Ok(()) } else { skip(&pipe, n_bytes) });
        result = taken.map(|()| n_bytes);
    }
    // Not given back before, so that `use_bytes` may read another pipe.
    TEE_BUFFER.set(tee);
    result
}

/// Whether a system call failed because it is forbidden or missing (seccomp(2), gVisor).
pub fn is_refusal(errno: Errno) -> bool {
    matches!(errno, Errno::PERM | Errno::ACCESS | Errno::NOSYS | Errno::INVAL)
}

/// Whether the kernel splices at all; to be asked once something was refused. A refusal is logged once.
pub fn kernel_splices() -> bool {
    static REFUSED: AtomicBool = AtomicBool::new(false);
    if REFUSED.load(Ordering::Relaxed) {
        // What is forbidden stays so.
        return false;
    }
    let refused = try_splice().err().filter(|errno| is_refusal(*errno));
    if let Some(errno) = refused
        && !REFUSED.swap(true, Ordering::Relaxed)
    {
        ::log::warn!(
            "the system refuses splice(2): {errno}; the output of programs goes through the manager's memory, which is \
             slower, and if the manager is killed the last 64 KiB of a stream may be missing or be there twice"
        );
    }
    refused.is_none()
}

fn try_splice() -> Result<usize, Errno> {
    let (read_end, write_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let (_far_end, elsewhere) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    rustix::io::write(&write_end, b"x")?;
    rustix::pipe::splice(&read_end, None, &elsewhere, None, 1, SpliceFlags::NONBLOCK)
}

/// Gives the first bytes in a pipe, at most [`CHUNK`], to `use_bytes`, and leaves them there. Returns how many, or 0 at
/// the end of the pipe.
///
/// # Errors
/// EAGAIN if the pipe is empty. `use_bytes` was not called then.
pub fn peek(pipe: impl AsFd, use_bytes: impl FnOnce(&[u8])) -> Result<usize, Errno> {
    let mut tee = TEE_BUFFER.take();
    let result = tee.copy(&pipe);
    if let Ok(n_bytes @ 1..) = result {
        use_bytes(&tee.buffer[..n_bytes]);
    }
    TEE_BUFFER.set(tee);
    result
}

/// Takes so many bytes out of a pipe, of which we are the only reader and know that it holds them.
fn skip(pipe: impl AsFd, n_bytes: usize) -> Result<(), Errno> {
    let mut left = n_bytes;
    while left > 0 {
        left -= match discard(&pipe, left)? {
            0 => break,
            n_taken => n_taken,
        };
    }
    Ok(())
}

/// Takes at most `max` bytes out of a pipe and forgets them; 0 is its end.
///
/// # Errors
/// EAGAIN if it is empty.
pub fn discard(pipe: impl AsFd, max: usize) -> Result<usize, Errno> {
    static NULL: OnceLock<Option<OwnedFd>> = OnceLock::new();
    let open = || OpenOptions::new().write(true).open("/dev/null").ok().map(OwnedFd::from);
    let spliced = NULL
        .get_or_init(open)
        .as_ref()
        .map(|null| rustix::pipe::splice(&pipe, None, null, None, max, SpliceFlags::NONBLOCK));
    match spliced {
        Some(Ok(n_bytes)) => Ok(n_bytes),
        Some(Err(errno)) if !is_refusal(errno) => Err(errno),
        // There may be no /dev in a chroot, or no splice.
        Some(Err(_)) | None => rustix::io::read(pipe, &mut vec![0; max.min(CHUNK)]),
    }
}

impl TeeBuffer {
    /// Takes the first bytes out of a pipe into the buffer.
    fn read(&mut self, pipe: impl AsFd) -> Result<usize, Errno> {
        self.buffer.resize(CHUNK, 0);
        rustix::io::retry_on_intr(|| rustix::io::read(&pipe, &mut self.buffer[..]))
    }

    /// Copies the first bytes of a pipe into the buffer.
    fn copy(&mut self, pipe: impl AsFd) -> Result<usize, Errno> {
        self.buffer.resize(CHUNK, 0);
        if self.scratch.is_none() {
            self.scratch = Some(rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?);
        }
        // Just filled.
        let Some((read_end, write_end)) = &self.scratch else { return Err(Errno::INVAL) };
        let n_bytes = rustix::pipe::tee(pipe, write_end, CHUNK, SpliceFlags::NONBLOCK)?;
        let mut n_read = 0;
        while n_read < n_bytes {
            match rustix::io::read(read_end, &mut self.buffer[n_read..n_bytes]) {
                Ok(n) => n_read += n,
                Err(errno) => {
                    // Whatever is left in it belongs to no one now.
                    self.scratch = None;
                    return Err(errno);
                }
            }
        }
        Ok(n_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_until_they_were_used() {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).unwrap();
        rustix::io::ioctl_fionbio(&read, true).unwrap();
        rustix::io::write(&write, b"hello").unwrap();
        let waiting = || rustix::io::ioctl_fionread(&read).unwrap();
        let n_bytes = consume(&read, |bytes| {
            assert_eq!(bytes, b"hello");
            assert_eq!(waiting(), 5);
        });
        assert_eq!((n_bytes, waiting()), (Ok(5), 0));
        assert_eq!(consume(&read, |_| panic!()), Err(Errno::AGAIN));
        drop(write);
        // A child that another test is just creating has all our descriptors until it executes its program.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let at_end = loop {
            match consume(&read, |_| panic!()) {
                Err(Errno::AGAIN) if std::time::Instant::now() < deadline => std::thread::yield_now(),
                result => break result,
            }
        };
        assert_eq!(at_end, Ok(0));
    }

    #[test]
    fn a_full_pipe_is_consumed_piece_by_piece() {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let _ = rustix::pipe::fcntl_setpipe_size(&read, 1 << 18);
        let sent: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
        let n_sent = rustix::io::write(&write, &sent).unwrap();
        let mut seen = Vec::new();
        while consume(&read, |bytes| seen.extend_from_slice(bytes)).is_ok() {}
        assert!(seen == sent[..n_sent]);
    }
}
