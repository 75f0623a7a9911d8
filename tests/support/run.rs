//! Running a command to its end, with a deadline.

use super::wait::{LONG, until_some};
use std::fmt;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// What a finished command left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The command as a person would type it.
    pub command: String,
    pub stdout: String,
    pub stderr: String,
    /// The exit status; 128 + the signal's number if it died by one, as in a shell.
    pub code: i32,
}

impl Run {
    /// # Panics
    /// Unless the exit status is `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Run {
        assert_eq!(self.code, code, "exit status of: {self}");
        self
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.command)?;
        f.write_str(&self.stdout)?;
        if !self.stderr.is_empty() {
            writeln!(f, "stderr: {}", self.stderr)?;
        }
        writeln!(f, "exit status {}", self.code)
    }
}

/// Runs `command` without input and waits for its end.
///
/// # Panics
/// If it cannot be started or takes longer than [`LONG`]; it is killed then.
#[track_caller]
pub fn run(command: &mut Command) -> Run {
    run_with_input(command, "")
}

/// [`run`] for a command that may take as long as `patience`.
#[track_caller]
pub fn run_within(command: &mut Command, patience: Duration) -> Run {
    run_to_end(command, "", patience)
}

/// [`run`] with something on standard input, which ends after it.
#[track_caller]
pub fn run_with_input(command: &mut Command, input: &str) -> Run {
    run_to_end(command, input, LONG)
}

#[track_caller]
fn run_to_end(command: &mut Command, input: &str, patience: Duration) -> Run {
    let text = typed(command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run {text}: {error}"));
    // Short enough for the pipe; a command that does not read it may be gone already.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let code = finish(&mut child, &text, patience);
    // Somebody in the background who kept the terminal would make a shell's user wait.
    let collect = |stream: Receiver<String>| {
        stream
            .recv_timeout(LONG)
            .unwrap_or_else(|_| panic!("after its end, the output of {text} is still held open"))
    };
    let (stdout, stderr) = (collect(stdout), collect(stderr));
    Run { command: text, stdout, stderr, code }
}

/// Waits for the end of `child` and gives its exit status as [`Run::code`] does.
///
/// # Panics
/// If it takes longer than `patience`; it is killed then.
#[track_caller]
pub fn finish(child: &mut Child, what: &str, patience: Duration) -> i32 {
    let guard = KillOnUnwind(child);
    code(until_some(what, patience, || guard.0.try_wait().expect("our own child can be waited for")))
}

/// A command that misses its deadline must not outlive the test.
struct KillOnUnwind<'a>(&'a mut Child);

impl Drop for KillOnUnwind<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    // A status without a code is a death by signal.
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

fn drain(stream: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            let _ = stream.read_to_end(&mut bytes);
        }
        // Nobody listens any more if the deadline passed.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

fn typed(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
