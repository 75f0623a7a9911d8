//! Waits for the line that a program writes into a pipe when it is ready, as s6 expects it (notification-fd).

use crate::probe::read_available;
use std::os::fd::BorrowedFd;

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

/// Reads what is in the pipe, without waiting. What stands on the line does not matter; what is not the end of one is
/// forgotten, so nothing has to be kept from one turn to the next.
pub fn read(pipe: BorrowedFd<'_>) -> Notification {
    let mut piece = [0; PIECE];
    for _ in 0..MOST_PIECES {
        match read_available(pipe, &mut piece) {
            None => return Notification::Waiting,
            Some(0) => return Notification::Closed,
            Some(n_bytes) if piece[..n_bytes].contains(&b'\n') => return Notification::Ready,
            Some(_) => {}
        }
    }
    Notification::Waiting
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
            assert_eq!(read(ours.as_fd()), Notification::Waiting);
            let mut seen = Notification::Waiting;
            for part in parts {
                rustix::io::write(&theirs, part.as_bytes()).unwrap();
                seen = read(ours.as_fd());
                if !part.contains('\n') {
                    assert_eq!(seen, Notification::Waiting, "{part:?}");
                }
            }
            drop(theirs);
            if seen == Notification::Waiting {
                seen = read(ours.as_fd());
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
            assert_eq!(read(ours.as_fd()), Notification::Waiting, "turn {turn}");
        }
        assert_eq!(read(ours.as_fd()), Notification::Ready);
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
        let mut seen = read(ours.as_fd());
        while seen == Notification::Waiting && std::time::Instant::now() < deadline {
            std::thread::yield_now();
            seen = read(ours.as_fd());
        }
        assert_eq!(seen, Notification::Ready);
        // The program has closed its end and lives on.
        while read(ours.as_fd()) != Notification::Closed && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(read(ours.as_fd()), Notification::Closed);
        assert!(child.try_wait().unwrap().is_none());
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
