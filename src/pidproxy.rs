//! `pidproxy PIDFILE COMMAND …`: stands in for a program that puts itself into the background.
//!
//! It runs the command and stays in the foreground itself, so that it can be supervised. Signals go to the
//! process whose pid the file holds; its own life ends with the command's, or with a signal that asks for an
//! end.
//!
//! As root it signals only who has to do with the command: see [`may_signal`].

use crate::model::signal::Signal;
use crate::sys::{pidfd, process, signals, user};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
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
    // Linux' pids fit.
    let pid = child.id() as i32;
    for signal in incoming.forever() {
        if signal == SIGCHLD {
            if let Ok(Some(_)) = child.try_wait() {
                return ExitCode::SUCCESS;
            }
            continue;
        }
        // Whoever could not be told to end goes on, and so do we: else it would run without anybody knowing.
        match pass_on(pidfile, signal, pid) {
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
fn pass_on(pidfile: &str, signal: i32, command: i32) -> Result<(), String> {
    let written = read_pid(pidfile).map_err(|why| format!("Can't read child pidfile {pidfile}: {why}"))?;
    let (pid, signal) = (written.pid, Signal::from_raw(signal));
    let sent = match pidfd::hold(pid) {
        Ok(held) => {
            // Looked at only now that nobody else can get the pid.
            may_signal(&written, command).map_err(|why| format!("Can't signal process {pid}: {why}"))?;
            pidfd::send(held, signal)
        }
        // Linux before 5.3.
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
            may_signal(&written, command).map_err(|why| format!("Can't signal process {pid}: {why}"))?;
            signals::send(pid, signal)
        }
        Err(error) => Err(error),
    };
    match sent {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
            Err(format!("Can't signal process {pid}: {error}"))
        }
        _ => Ok(()),
    }
}

/// Root may signal everybody, and whoever writes the pidfile is not to have a share in that. So the process has to be
/// the command or descend from it; or it was started after the command, and whoever wrote its pid could have signalled
/// it himself. The kernel sees to the same for everybody but root.
///
/// # Errors
/// Why not.
fn may_signal(written: &Written, command: i32) -> Result<(), String> {
    if !user::is_root() || process::descends_from(written.pid, process::own_pid()) {
        return Ok(());
    }
    // Gone, and the rest of this is about nobody.
    let Some((uid, started)) = process::user(written.pid).zip(process::start_ticks(written.pid)) else {
        return Ok(());
    };
    if written.owner != 0 && written.owner != uid {
        return Err(format!("it belongs to user {uid}, and the pidfile to user {}", written.owner));
    }
    if process::start_ticks(command).is_some_and(|command| started < command) {
        return Err("it was there before the command was started".to_string());
    }
    Ok(())
}

/// What a pidfile holds, and whose it is.
struct Written {
    pid: i32,
    owner: u32,
}

/// Zero and negative numbers mean whole groups of processes to the kernel, and are refused.
fn read_pid(pidfile: &str) -> Result<Written, String> {
    let file = open(Path::new(pidfile))?;
    let facts = file.metadata().map_err(|error| error.to_string())?;
    if !facts.is_file() {
        return Err("it is no file".to_string());
    }
    if user::is_root() && facts.uid() == 0 && facts.nlink() > 1 {
        return Err("it has several names, so somebody else may have put it there".to_string());
    }
    let mut text = String::new();
    file.take(PIDFILE_BYTES).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let pid = text.trim().parse().ok().filter(|pid| *pid > 0);
    let pid = pid.ok_or_else(|| format!("it holds {text:?} and not a pid"))?;
    Ok(Written { pid, owner: facts.uid() })
}

/// Opens it without waiting for anybody, such as the writer of a FIFO. Root follows only links of its own.
fn open(pidfile: &Path) -> Result<File, String> {
    let link = pidfile.symlink_metadata().ok().filter(|facts| facts.is_symlink());
    if let Some(link) = link.as_ref().filter(|link| user::is_root() && link.uid() != 0) {
        return Err(format!("it is a symbolic link that belongs to user {}", link.uid()));
    }
    let follow = if link.is_none() { libc::O_NOFOLLOW } else { 0 };
    let mut options = File::options();
    let opened = options.read(true).custom_flags(libc::O_NONBLOCK | follow).open(pidfile);
    opened.map_err(|error| error.to_string())
}
