//! Judges a command that was run as a probe: how it has ended, and what it has printed.

use crate::model::exit::ExitStatus;
use crate::model::time::in_short;
use crate::model::visible::escaped;
use crate::probe::read_available;
use std::borrow::Cow;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// So much of the output is kept: its end, where the reason stands.
pub const KEPT: usize = 4096;

/// So much of a line is told, in characters.
const MOST_OF_A_LINE: usize = 200;

/// So much is read in one turn; the rest waits for the next.
const MOST_PIECES: usize = 16;

/// The end of what a command has printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Up to twice as much as is kept, so that it is not moved with each byte.
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Output {
    /// Reads what is in the pipe, without waiting; false at its end. Somebody whom the command has left behind may hold
    /// the pipe open, so nobody should wait for the end: when the command is gone, one more read is all.
    pub fn read(&mut self, pipe: BorrowedFd<'_>) -> bool {
        let mut piece = [0; KEPT];
        for _ in 0..MOST_PIECES {
            match read_available(pipe, &mut piece) {
                None => return true,
                Some(0) => return false,
                Some(n_bytes) => self.push(&piece[..n_bytes]),
            }
        }
        true
    }

    /// Adds what was printed.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(&bytes[bytes.len().saturating_sub(KEPT)..]);
        self.is_cut |= bytes.len() > KEPT;
        if self.bytes.len() >= 2 * KEPT {
            self.is_cut = true;
            self.bytes.drain(..self.bytes.len() - KEPT);
        }
    }

    /// The end of the output as text, for `why`: at most [`KEPT`] bytes, and whole lines if it was longer.
    pub fn text(&self) -> Cow<'_, str> {
        let from = self.bytes.len().saturating_sub(KEPT);
        let end = &self.bytes[from..];
        let is_cut = self.is_cut || from > 0;
        let first_line = end.iter().position(|byte| *byte == b'\n').filter(|_| is_cut);
        String::from_utf8_lossy(&end[first_line.map_or(0, |at| at + 1)..])
    }

    /// The last line with anything on it, harmless and not long; empty if there is none.
    pub fn last_line(&self) -> String {
        let text = self.text();
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let shown: String = line.chars().take(MOST_OF_A_LINE).collect();
        let dots = if shown.len() < line.len() { "..." } else { "" };
        format!("{}{dots}", escaped(&shown))
    }

    fn behind(&self, reason: String) -> String {
        match self.last_line() {
            line if line.is_empty() => reason,
            line => format!("{reason}: {line}"),
        }
    }
}

/// What a probe's command says with its end: exit code 0 is a success.
///
/// # Errors
/// Why it is none: `exit status 1: no such table`, `killed by SIGKILL`.
pub fn judge(status: ExitStatus, output: &Output) -> Result<(), String> {
    match status {
        ExitStatus::Code(0) => Ok(()),
        ExitStatus::Code(code) => Err(output.behind(format!("exit status {code}"))),
        ExitStatus::Signal { signal, .. } => Err(output.behind(format!("killed by {signal}"))),
        ExitStatus::Unknown => Err(output.behind("its exit status is unknown".to_string())),
    }
}

/// What is told of a command that was killed because it took too long: `no end within 3s: waiting for db`.
pub fn no_end(timeout: Duration, output: &Output) -> String {
    output.behind(format!("no end within {}", in_short(timeout)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::signal::Signal;
    use std::os::fd::AsFd;
    use std::process::{Command, Stdio};

    fn output(text: &[u8]) -> Output {
        let mut output = Output::default();
        output.push(text);
        output
    }

    #[test]
    fn reasons_are_short_and_end_with_the_last_line() {
        let signal = |number| ExitStatus::Signal { signal: Signal::from_raw(number), core_dumped: false };
        for (status, printed, expected) in [
            (ExitStatus::Code(0), "whatever\n", ""),
            (ExitStatus::Code(1), "", "exit status 1"),
            (ExitStatus::Code(1), "trying\nno such table\n\n  \n", "exit status 1: no such table"),
            (ExitStatus::Code(2), "\r\nunfinished", "exit status 2: unfinished"),
            (signal(9), "", "killed by SIGKILL"),
            (signal(11), "bad\n", "killed by SIGSEGV: bad"),
            (signal(35), "", "killed by signal 35"),
            (ExitStatus::Unknown, "", "its exit status is unknown"),
            // What steers a terminal does not.
            (ExitStatus::Code(1), "a\x1b[2Jb\n", "exit status 1: a\\x1b[2Jb"),
        ] {
            let told = judge(status, &output(printed.as_bytes())).err().unwrap_or_default();
            assert_eq!(told, expected, "{status} {printed:?}");
        }
        let late = |text: &[u8]| no_end(Duration::from_millis(2500), &output(text));
        assert_eq!(late(b""), "no end within 2.5s");
        assert_eq!(late(b"waiting for db\n"), "no end within 2.5s: waiting for db");
        let long = judge(ExitStatus::Code(1), &output("ü".repeat(1000).as_bytes())).unwrap_err();
        assert_eq!(long, format!("exit status 1: {}...", "ü".repeat(MOST_OF_A_LINE)));
        assert!(judge(ExitStatus::Code(1), &output(b"\xff\xfe bytes")).unwrap_err().ends_with(" bytes"));
    }

    #[test]
    fn only_the_end_is_kept() {
        let mut output = Output::default();
        for number in 0..100_000 {
            output.push(format!("line {number}\n").as_bytes());
            assert!(output.bytes.capacity() <= 8 * KEPT);
        }
        let text = output.text();
        assert!(text.len() <= KEPT && text.len() > KEPT - 20);
        assert!(text.starts_with("line ") && text.ends_with("\nline 99999\n"));
        assert_eq!(output.last_line(), "line 99999");
        output.push(&[b'x'; 100_000]);
        assert_eq!(output.text(), "x".repeat(KEPT));
        // What was never cut is whole.
        assert_eq!(super::tests::output(b"a\nb\n").text(), "a\nb\n");
    }

    /// The command is gone, and somebody whom it has left behind holds its output open.
    #[test]
    fn nobody_waits_for_those_whom_a_command_leaves_behind() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 1000 & echo $!; echo why it failed; exit 7"]).stdout(Stdio::piped());
        let mut child = shell.spawn().unwrap();
        let status = child.wait().unwrap();
        let pipe = child.stdout.take().unwrap();
        let mut output = Output::default();
        assert!(output.read(pipe.as_fd()), "it is open");
        let status = ExitStatus::Code(status.code().unwrap() as u8);
        assert_eq!(judge(status, &output).unwrap_err(), "exit status 7: why it failed");
        let sleeper: i32 = output.text().lines().next().unwrap().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(sleeper).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    #[test]
    fn a_turn_of_reading_has_an_end() {
        let mut command = Command::new("yes").stdout(Stdio::piped()).spawn().unwrap();
        let pipe = command.stdout.take().unwrap();
        let mut output = Output::default();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while output.bytes.is_empty() && std::time::Instant::now() < deadline {
            assert!(output.read(pipe.as_fd()));
        }
        assert!(output.text().starts_with("y\n"));
        command.kill().unwrap();
        command.wait().unwrap();
        while output.read(pipe.as_fd()) && std::time::Instant::now() < deadline {}
        assert!(!output.read(pipe.as_fd()), "it has ended");
    }
}
