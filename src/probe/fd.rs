//! Waits for the line that a program writes into a pipe when it is ready, as s6 expects it (notification-fd).

use crate::probe::read_available;
use rustix::pipe::{PipeFlags, SpliceFlags};
use std::os::fd::{BorrowedFd, OwnedFd};

/// So much is read in one turn; the rest waits for the next.
const MOST_PIECES: usize = 16;
const PIECE: usize = 1024;

/// What has come out of the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notification {
    /// Nothing that says anything: it may still come.
    Waiting,
    /// The end of a line, so the program is ready. Nothing more is expected.
    Ready,
    /// Every process that had the other end has closed it, and there was no line. None will come.
    Closed,
}

/// Looks what is in the pipe, without waiting. What stands on the line does not matter; what is not the end of one is
/// forgotten, so nothing has to be kept from one turn to the next. The end of a line stays in the pipe: whoever reads it
/// may be killed before that has had any effect, and its successor finds it again.
pub fn look(pipe: BorrowedFd<'_>) -> Notification {
    let mut piece = [0; PIECE];
    let aside = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok();
    for _ in 0..MOST_PIECES {
        // Without a way to look it is taken: better heard once than never.
        let n_there = aside.as_ref().and_then(|aside| copy(pipe, aside, &mut piece));
        if n_there.is_some_and(|n_there| piece[..n_there].contains(&b'\n')) {
            return Notification::Ready;
        }
        match read_available(pipe, &mut piece[..n_there.filter(|n_there| *n_there > 0).unwrap_or(PIECE)]) {
            None => return Notification::Waiting,
            Some(0) => return Notification::Closed,
            Some(n_bytes) if piece[..n_bytes].contains(&b'\n') => return Notification::Ready,
            Some(_) => {}
        }
    }
    Notification::Waiting
}

/// Copies what is next in the pipe and leaves it there: how many bytes these are. `None` if it cannot be copied.
fn copy(pipe: BorrowedFd<'_>, (theirs, ours): &(OwnedFd, OwnedFd), piece: &mut [u8; PIECE]) -> Option<usize> {
    match rustix::pipe::tee(pipe, ours, PIECE, SpliceFlags::NONBLOCK) {
        Ok(n_copied) if n_copied > 0 => rustix::io::read(theirs, &mut *piece).ok(),
        Ok(_) => Some(0),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::process::Command;

    #[test]
    fn a_line_however_it_comes_means_ready() {
        for (parts, expected) in [
            (&["\n"][..], Notification::Ready),
            (&["ready", "\n"], Notification::Ready),
            (&["", "ready\nand more"], Notification::Ready),
            (&["ready"], Notification::Closed),
            (&[], Notification::Closed),
        ] {
            let (ours, theirs) = rustix::pipe::pipe().unwrap();
            assert_eq!(look(ours.as_fd()), Notification::Waiting);
            let mut seen = Notification::Waiting;
            for part in parts {
                rustix::io::write(&theirs, part.as_bytes()).unwrap();
                seen = look(ours.as_fd());
                if !part.contains('\n') {
                    assert_eq!(seen, Notification::Waiting, "{part:?}");
                }
            }
            drop(theirs);
            if seen == Notification::Waiting {
                seen = look(ours.as_fd());
            }
            assert_eq!(seen, expected, "{parts:?}");
        }
    }

    #[test]
    fn who_writes_without_end_does_not_hold_us() {
        let (ours, theirs) = rustix::pipe::pipe().unwrap();
        let full = rustix::pipe::fcntl_setpipe_size(&theirs, 1 << 16).unwrap();
        let mut bytes = vec![b'x'; full];
        *bytes.last_mut().unwrap() = b'\n';
        assert_eq!(rustix::io::write(&theirs, &bytes).unwrap(), full);
        let n_turns = full / (MOST_PIECES * PIECE);
        assert!(n_turns > 1);
        for turn in 1..n_turns {
            assert_eq!(look(ours.as_fd()), Notification::Waiting, "turn {turn}");
        }
        assert_eq!(look(ours.as_fd()), Notification::Ready);
    }

    #[test]
    fn a_program_says_so_on_a_descriptor_of_its_choice() {
        let (ours, theirs) = std::io::pipe().unwrap();
        // Its standard output is the pipe, of which the shell makes its descriptor 3.
        let mut command = Command::new("sh");
        command.args(["-c", "exec 3>&1 1>&2; echo ready >&3; exec 3>&-; read line"]);
        let mut child = command.stdin(std::process::Stdio::piped()).stdout(theirs).spawn().unwrap();
        drop(command);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let mut seen = look(ours.as_fd());
        while seen == Notification::Waiting && std::time::Instant::now() < deadline {
            std::thread::yield_now();
            seen = look(ours.as_fd());
        }
        // The line stays for whoever looks next.
        assert_eq!((seen, look(ours.as_fd())), (Notification::Ready, Notification::Ready));
        assert_eq!(read_available(ours.as_fd(), &mut [0; 100]), Some("ready\n".len()));
        // The program has closed its end and lives on.
        while look(ours.as_fd()) != Notification::Closed && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(look(ours.as_fd()), Notification::Closed);
        assert!(child.try_wait().unwrap().is_none());
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
