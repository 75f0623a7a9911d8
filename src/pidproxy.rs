//! `pidproxy PIDFILE COMMAND …`: stands in for a program that puts itself into the background.
//!
//! It runs the command and stays in the foreground itself, so that it can be supervised. Signals go to the
//! process whose pid the file holds; its own life ends with the command's, or with a signal that asks for an
//! end.

use crate::model::signal::Signal;
use crate::sys::signals;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use std::io::Read;
use std::process::{Command, ExitCode};

/// What is passed on; Supervisor, pidproxy.py.
const PASSED_ON: [i32; 6] = [SIGTERM, SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGQUIT];

const USAGE: &str = "Usage: pidproxy <pidfile name> <command> [<cmdarg1> ...]";

/// The longest pidfile that is read, in bytes.
const PIDFILE_BYTES: u64 = 64;

/// Runs the proxy. `words` are the pidfile, the command and its arguments.
pub fn main(words: &[String]) -> ExitCode {
    let [pidfile, command, arguments @ ..] = words else {
        println!("{USAGE}");
        return ExitCode::from(1);
    };
    // Before the command is started: its end must not be missed.
    let mut incoming = match Signals::new(PASSED_ON.into_iter().chain([SIGCHLD])) {
        Ok(incoming) => incoming,
        Err(error) => return failed("cannot watch for signals", &error),
    };
    let mut child = match Command::new(command).args(arguments).spawn() {
        Ok(child) => child,
        Err(error) => return failed(&format!("cannot run {command}"), &error),
    };
    for signal in incoming.forever() {
        if signal == SIGCHLD {
            if let Ok(Some(_)) = child.try_wait() {
                return ExitCode::SUCCESS;
            }
            continue;
        }
        // Whoever could not be told to end goes on, and so do we: else it would run without anybody knowing.
        match pass_on(pidfile, signal) {
            Ok(()) if [SIGTERM, SIGINT, SIGQUIT].contains(&signal) => return ExitCode::SUCCESS,
            Ok(()) => {}
            Err(problem) => println!("{problem}"),
        }
    }
    ExitCode::SUCCESS
}

fn failed(what: &str, error: &std::io::Error) -> ExitCode {
    eprintln!("pidproxy: {what}: {error}");
    ExitCode::from(1)
}

/// Sends a signal to the process that the file names. One that has ended needs none.
///
/// # Errors
/// Why it did not get it.
fn pass_on(pidfile: &str, signal: i32) -> Result<(), String> {
    let pid = read_pid(pidfile).map_err(|why| format!("Can't read child pidfile {pidfile}: {why}"))?;
    match signals::send(pid, Signal::from_raw(signal)) {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
            Err(format!("Can't signal process {pid}: {error}"))
        }
        _ => Ok(()),
    }
}

/// Zero and negative numbers mean whole groups of processes to the kernel, and are refused.
fn read_pid(pidfile: &str) -> Result<i32, String> {
    let file = std::fs::File::open(pidfile).map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(PIDFILE_BYTES).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let pid = text.trim().parse().ok().filter(|pid| *pid > 0);
    pid.ok_or_else(|| format!("it holds {text:?} and not a pid"))
}
