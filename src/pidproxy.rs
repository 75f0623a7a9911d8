//! `pidproxy PIDFILE COMMAND …`: stands in for a program that puts itself into the background.
//!
//! It runs the command and stays in the foreground, so that it can be supervised. It passes signals on to the process
//! whose pid the file holds. It ends with the command, or after a signal that asks for an end. With `-exit-daemon-stop` the
//! command may end first, as commands do that put themselves into the background. The proxy then ends with the process
//! that the file names, with status 1.
//!
//! As root it signals only processes that belong to the command: see [`may_signal`].

use crate::model::signal::Signal;
use crate::sys::{pidfd, process, signals, user};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use signal_hook::consts::SIGCHLD;
use signal_hook::iterator::Signals;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

const USAGE: &str = "Usage: pidproxy <pidfile name> <command> [<cmdarg1> ...]";

/// Of the Go versions.
const EXIT_WITH_DAEMON: [&str; 2] = ["-exit-daemon-stop", "--exit-daemon-stop"];

/// How long a pidfile may come after the end of the command, which often leaves before its daemon has written it.
const PIDFILE_COMES_WITHIN: Duration = Duration::from_secs(5);

/// The longest pidfile that is read, in bytes.
const PIDFILE_BYTES: u64 = 64;

/// Runs the proxy. `words` are the pidfile, the command and its arguments.
pub(crate) fn main(words: &[String]) -> ExitCode {
    let with_daemon = words.first().is_some_and(|word| EXIT_WITH_DAEMON.contains(&word.as_str()));
    let words = if with_daemon { &words[1..] } else { words };
    let [pidfile, command, arguments @ ..] = words else {
        println!("{USAGE}");
        return ExitCode::from(1);
    };
    // Before the command is started: its end must not be missed. As in Supervisor, pidproxy.py, all of these are passed on.
    let mut incoming = match Signals::new(signals::FOR_DAEMONS.into_iter().chain([SIGCHLD])) {
        Ok(incoming) => incoming,
        Err(error) => return failed("cannot watch for signals", &error),
    };
    let mut child = match Command::new(command).args(arguments).spawn() {
        Ok(child) => child,
        Err(error) => return failed(&format!("cannot run {command}"), &error),
    };
    // Linux' pids fit.
    let pid = child.id() as i32;
    let started = process::start_ticks(pid);
    let mut is_watching = false;
    for signal in incoming.forever() {
        if signal == SIGCHLD {
            match child.try_wait() {
                Ok(Some(_)) if !with_daemon => return ExitCode::SUCCESS,
                Ok(Some(_)) if !is_watching => {
                    is_watching = true;
                    let pidfile = pidfile.clone();
                    std::thread::spawn(move || end_with_daemon(&pidfile));
                }
                _ => {}
            }
            continue;
        }
        // Whoever could not be told to end goes on, and so do we: else it would run without anybody knowing.
        match pass_on(pidfile, signal, started) {
            Ok(()) if signals::asks_for_end(signal) => return ExitCode::SUCCESS,
            Ok(()) => {}
            Err(problem) => println!("{problem}"),
        }
    }
    ExitCode::SUCCESS
}

/// Ends this process when nobody is left whom the file names.
fn end_with_daemon(pidfile: &str) -> ! {
    let mut found = first_daemon(pidfile);
    let why = loop {
        match found {
            // Another pid may stand there by then.
            Ok(held) => {
                found = pidfd::wait(&held).map_err(|error| error.to_string()).and_then(|()| daemon(pidfile))
            }
            Err(why) => break why,
        }
    };
    println!("{pidfile}: {why}");
    std::process::exit(1)
}

/// The process that the file names, if it is alive.
///
/// # Errors
/// Why there is none.
fn daemon(pidfile: &str) -> Result<OwnedFd, String> {
    let pid = read_pid(pidfile)?.pid;
    let held = pidfd::hold(pid).map_err(|error| format!("process {pid}: {error}"))?;
    if pidfd::has_ended(&held) {
        return Err(format!("process {pid} has ended"));
    }
    Ok(held)
}

/// The same, for a file that is still to be written: [`PIDFILE_COMES_WITHIN`].
fn first_daemon(pidfile: &str) -> Result<OwnedFd, String> {
    let deadline = Instant::now() + PIDFILE_COMES_WITHIN;
    // Before the first look, so that nothing is missed. Without it there is one look.
    let changes = changes_beside(Path::new(pidfile));
    loop {
        let found = daemon(pidfile);
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(changes) = &changes else { return found };
        if found.is_ok() || left.is_zero() {
            return found;
        }
        let left = Timespec::try_from(left).map_err(|error| error.to_string())?;
        let _ = poll(&mut [PollFd::new(changes, PollFlags::IN)], Some(&left));
        // What changed does not matter; the file is looked at.
        let _ = rustix::io::read(changes, &mut [0; 4096]);
    }
}

/// Becomes readable when files in the directory of this one change.
fn changes_beside(pidfile: &Path) -> rustix::io::Result<OwnedFd> {
    let directory = pidfile.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&changes, directory, WatchFlags::CREATE | WatchFlags::MODIFY | WatchFlags::MOVED_TO)?;
    Ok(changes)
}

fn failed(what: &str, error: &std::io::Error) -> ExitCode {
    eprintln!("pidproxy: {what}: {error}");
    ExitCode::from(1)
}

/// Sends a signal to the process that the file names. One that has ended needs none.
///
/// # Errors
/// Why it did not get it.
fn pass_on(pidfile: &str, signal: i32, started: Option<u64>) -> Result<(), String> {
    let written = read_pid(pidfile).map_err(|why| format!("Can't read child pidfile {pidfile}: {why}"))?;
    let (pid, signal) = (written.pid, Signal::from_raw(signal));
    let sent = match pidfd::hold(pid) {
        Ok(held) => {
            // Looked at only now that nobody else can get the pid.
            may_signal(&written, started).map_err(|why| format!("Can't signal process {pid}: {why}"))?;
            pidfd::send(held, signal)
        }
        // Linux before 5.3.
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
            may_signal(&written, started).map_err(|why| format!("Can't signal process {pid}: {why}"))?;
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
fn may_signal(written: &Written, command: Option<u64>) -> Result<(), String> {
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
    if command.is_some_and(|command| started < command) {
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
