//! systemd's notification protocol, from the programs to us (sd_notify(3)): a socket, what comes through it, and whom a
//! message is from.
//!
//! All programs send to one socket, which the keeper holds while there is no manager: what is sent meanwhile waits in it.
//! So everything but making it works with any descriptor of it.

use crate::files::location::{Location, Missing};
use crate::files::socket;
use crate::files::trust::Control;
use crate::model::time::Monotonic;
use crate::sys::datagram::{self, Credentials};
use crate::sys::kin::{self, Kin};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longer messages are not read.
const LONGEST: usize = 8 << 10;

/// The longest path that a program can send to (unix(7): 108 bytes with the zero at the end).
const LONGEST_PATH: usize = 107;

/// The socket to which programs send.
#[derive(Debug)]
pub struct Socket {
    /// To be read with [`receive`]; closed on exec.
    pub fd: OwnedFd,
    path: PathBuf,
    identity: (u64, u64),
}

impl Socket {
    /// Makes the socket. Every user may send to it, so its directory must be one in which nobody else can exchange it.
    /// One that nobody reads from is replaced.
    ///
    /// # Errors
    /// The path cannot be one of a socket that programs send to, or is in use; others are the system's.
    pub fn bind(path: &Path) -> io::Result<Socket> {
        let refused = |why: String| Err(io::Error::new(ErrorKind::InvalidInput, why));
        let n_bytes = path.as_os_str().len();
        if n_bytes > LONGEST_PATH {
            return refused(format!(
                "its path has {n_bytes} bytes and programs can send to one of {LONGEST_PATH}: choose a shorter directory"
            ));
        }
        if !path.is_absolute() {
            return refused(
                "its path does not begin with a slash, and programs run in other directories".into(),
            );
        }
        match Location::of(path, Missing::Fail)?.control() {
            Control::Ours | Control::Sticky => {}
            Control::User(user) => {
                return refused(format!("user {user} could exchange it: choose a directory of our own"));
            }
            Control::Anyone => {
                return refused("anybody could exchange it: choose a directory of our own".into());
            }
        }
        let bound = socket::receive(path).map_err(|error| match error {
            socket::SocketError::Os(error) => error,
            error => io::Error::other(error.to_string()),
        })?;
        Ok(Socket { fd: bound.fd, path: path.to_path_buf(), identity: bound.identity })
    }

    /// Where programs find it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Device and inode of its file, for whoever removes it ([`crate::files::socket::remove`]).
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }
}

/// One message. While it is kept, its sender waits if it has asked for that (sd_notify_barrier(3)): to be dropped when
/// what it says has been done, and so have the messages before it.
#[derive(Debug)]
pub struct Message {
    /// Who has sent it.
    pub sender: Credentials,
    /// What it says; nothing if it was too long.
    pub notices: Notices,
    /// Whether it was longer than 8 KiB, and is ignored for that.
    pub is_too_long: bool,
    /// Closed when all is done.
    _barrier: Option<OwnedFd>,
}

/// Takes what has come, `most` messages at most, without waiting. What is left is found by the next call. Descriptors
/// that come along are closed. Messages of which the kernel does not say who has sent them are left out.
///
/// A message leaves the socket when `take` has come back from it: if this process is killed before that, whoever has the
/// socket next finds it again.
///
/// # Errors
/// The system's.
pub fn receive(socket: impl AsFd, most: usize, mut take: impl FnMut(Message)) -> io::Result<()> {
    let mut buffer = vec![0; LONGEST];
    for _ in 0..most {
        let mut datagram = match datagram::peek(&socket, &mut buffer) {
            Ok(datagram) => datagram,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        };
        let is_too_long = datagram.is_cut;
        let notices =
            if is_too_long { Notices::default() } else { Notices::parse(&buffer[..datagram.n_bytes]) };
        // Each message must have one of its own, so that nobody can make us hold more.
        let is_barrier =
            notices == Notices { is_barrier: true, ..Notices::default() } && datagram.fds.len() == 1;
        let barrier = if is_barrier { datagram.fds.pop() } else { None };
        if let Some(sender) = datagram.sender {
            take(Message { sender, notices, is_too_long, _barrier: barrier });
        }
        // With it goes the last copy of its barrier.
        match datagram::receive(&socket, &mut buffer) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What a message says. Of assignments with the same name the first counts; unknown ones are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notices {
    /// `READY=1`: it has started, or has finished reloading.
    pub is_ready: bool,
    /// `RELOADING=1`: it reads its configuration, until it is ready again.
    pub is_reloading: bool,
    /// `STOPPING=1`: it is about to end.
    pub is_stopping: bool,
    /// `MONOTONIC_USEC=`: when it began to reload. A `READY=1` from before that is not the answer to a reload.
    pub since: Option<Monotonic>,
    /// `STATUS=`: a line for people, empty to take it back. It may contain anything but the end of a line.
    pub status: Option<String>,
    /// `WATCHDOG=`.
    pub watchdog: Option<WatchdogNotice>,
    /// `WATCHDOG_USEC=`: the time within which it will give signs of life from now on; zero switches that off.
    pub watchdog_interval: Option<Duration>,
    /// `EXTEND_TIMEOUT_USEC=`: whatever it is waited for may take so long from now on.
    pub extend_timeout: Option<Duration>,
    /// `MAINPID=`: another process is the main one. Whether it is one of the program's has to be asked.
    pub main_pid: Option<i32>,
    /// `ERRNO=`: the error it failed with.
    pub errno: Option<i32>,
    /// `BARRIER=1`: it waits until what it sent before was handled.
    pub is_barrier: bool,
}

/// What a program says to its watchdog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchdogNotice {
    /// It lives.
    Alive,
    /// It is not well, and asks for what follows when it gives no sign of life.
    Trigger,
}

impl Notices {
    /// Takes a message apart. Nothing is an error: what is not understood is passed over.
    pub fn parse(message: &[u8]) -> Notices {
        let mut notices = Notices::default();
        // Some senders count the zero at the end of their string.
        let message = message.strip_suffix(b"\0").unwrap_or(message);
        if message.contains(&0) {
            return notices;
        }
        for line in message.split(|byte| *byte == b'\n') {
            let mut parts = line.splitn(2, |byte| *byte == b'=');
            if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                notices.assign(name, value);
            }
        }
        notices
    }

    fn assign(&mut self, name: &[u8], value: &[u8]) {
        let text = String::from_utf8_lossy(value);
        match name {
            b"READY" => self.is_ready |= value == b"1",
            b"RELOADING" => self.is_reloading |= value == b"1",
            b"STOPPING" => self.is_stopping |= value == b"1",
            b"BARRIER" => self.is_barrier |= value == b"1",
            b"STATUS" => fill(&mut self.status, Some(text.into_owned())),
            b"WATCHDOG" => {
                let notice = match value {
                    b"1" => Some(WatchdogNotice::Alive),
                    b"trigger" => Some(WatchdogNotice::Trigger),
                    _ => None,
                };
                fill(&mut self.watchdog, notice);
            }
            b"WATCHDOG_USEC" => fill(&mut self.watchdog_interval, micros(&text)),
            b"EXTEND_TIMEOUT_USEC" => fill(&mut self.extend_timeout, micros(&text)),
            b"MONOTONIC_USEC" => {
                fill(&mut self.since, micros(&text).map(|since| Monotonic(0) + since));
            }
            b"MAINPID" => fill(&mut self.main_pid, number(&text).filter(|pid| *pid > 0)),
            b"ERRNO" => fill(&mut self.errno, number(&text)),
            _ => {}
        }
    }
}

fn fill<T>(place: &mut Option<T>, value: Option<T>) {
    if place.is_none() {
        *place = value;
    }
}

/// A number without a sign.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let text = text.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn micros(text: &str) -> Option<Duration> {
    number(text).map(Duration::from_micros)
}

/// A program that may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program<T> {
    /// How the caller calls it.
    pub name: T,
    /// As whom it runs.
    pub uid: u32,
}

/// Which program a message is from. `by_pid` says which one has this main process, if it may send; `only_of_user` which
/// one of those that may send runs as this user, if there is just one.
///
/// - A main process, or one that descends from it, speaks for its program, as whatever user.
/// - What a program has put into the background descends from nobody who is left. It speaks for the program in whose
///   process group or session it is, if it is of the same user: others of a session can enter a group, too.
/// - A process that is gone, as those that a shell starts to send one message, or that is not to be seen from here: it
///   can only be told by its user, so it speaks for the one program of that user. A process of that user could have
///   done anything to that program anyway.
/// - Everybody else is a stranger: `None`.
pub fn program_of<T>(
    sender: Credentials,
    by_pid: impl Fn(i32) -> Option<Program<T>>,
    only_of_user: impl FnOnce(u32) -> Option<T>,
) -> Option<T> {
    // Its number suffices, so that a program which ends at once is heard.
    if let Some(program) = by_pid(sender.pid) {
        return Some(program.name);
    }
    let line = kin::ancestry(sender.pid, |pid| by_pid(pid).is_some());
    program_by(sender, line.as_deref(), by_pid, only_of_user)
}

fn program_by<T>(
    sender: Credentials,
    line: Option<&[Kin]>,
    by_pid: impl Fn(i32) -> Option<Program<T>>,
    only_of_user: impl FnOnce(u32) -> Option<T>,
) -> Option<T> {
    let Some(line) = line else { return only_of_user(sender.uid) };
    if let Some(program) = line.iter().find_map(|kin| by_pid(kin.pid)) {
        return Some(program.name);
    }
    let groups = line.iter().flat_map(|kin| [kin.group, kin.session]);
    groups.filter_map(by_pid).find(|program| program.uid == sender.uid).map(|program| program.name)
}

#[cfg(test)]
mod tests;
