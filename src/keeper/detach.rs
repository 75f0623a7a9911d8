//! A daemon that ends and leaves its programs running (`exitkillall=false`), and the start that resumes it.
//!
//! Programs cannot be given to another parent, so their keeper stays: without a manager, without a terminal, moving
//! their output to their logs. It listens on a socket beside the pidfile, which the last manager left with it. The next
//! `supervisord` with the same pidfile cannot get the lock, finds that socket, and hands over everything that a keeper
//! gets at its start: how it was started, its binary, arguments, environment and terminal. The keeper then executes
//! that binary in place, as in an upgrade, and starts a manager.
//!
//! Whoever waits for the daemon in the foreground cannot wait for a process that stays. So with `exitkillall=false` the
//! shell or the service manager has started a foreground proxy. It passes signals on, and ends with the status that the
//! keeper sends it.

use crate::keeper::boot::KEEPER_VARIABLE;
use crate::keeper::guard::GUARD_VARIABLE;
use crate::keeper::run::Keeper;
use crate::keeper::upgrade::Upgrade;
use crate::shm::layout::*;
use crate::sys::exec::{self, ExecStrings};
use crate::sys::{clock, fd, process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags,
};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::atomic::Ordering::*;
use std::time::Duration;

/// How long a client that connects may take to say what it wants. The programs' output waits meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);

/// Arguments and environment together are not longer than this; the kernel takes less.
const MOST_WORDS_BYTES: u64 = 8 << 20;

/// How long after the end of the daemon signals are taken to be about that end.
const QUIET: Duration = Duration::from_secs(5);

const MAGIC: [u8; 8] = *b"SUPVRSUM";

/// The keeper's answer to a successor that may go on.
pub const WELCOME: &[u8] = b"ok";

/// What a starting daemon hands over to the keeper of the daemon that it resumes.
pub struct Successor<'a> {
    /// How the daemon is started, as in [`Place::Boot`].
    pub boot: BorrowedFd<'a>,
    /// The binary that the keeper is to execute.
    pub binary: BorrowedFd<'a>,
    /// Each word followed by a zero.
    pub arguments: BorrowedFd<'a>,
    /// `KEY=value` each, followed by a zero.
    pub environment: BorrowedFd<'a>,
    /// The pipe on which the keeper reports by one byte: how the start went, or in the foreground how the daemon ended.
    pub status: BorrowedFd<'a>,
    /// Whether the starting process becomes the foreground proxy and waits for the end of the daemon.
    pub in_foreground: bool,
}

/// Hands everything over to a keeper without a daemon and returns its answer: [`WELCOME`], or why it refuses.
///
/// # Errors
/// The socket fails, or the keeper does not answer within ten seconds (`TimedOut`).
pub fn offer(keeper: &OwnedFd, successor: &Successor<'_>) -> io::Result<Vec<u8>> {
    let fds =
        [successor.boot, successor.binary, successor.arguments, successor.environment, successor.status];
    let stdio = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let fds: Vec<BorrowedFd<'_>> = fds.into_iter().chain(stdio).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(N_FDS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    // The space is for as many.
    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    let bytes = hello(successor.in_foreground);
    rustix::net::sendmsg(keeper, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    if !is_readable(keeper, PATIENCE.saturating_mul(5)) {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let mut answer = [0; 200];
    let (n_bytes, _) = rustix::net::recv(keeper, &mut answer[..], RecvFlags::empty())?;
    Ok(answer[..n_bytes].to_vec())
}

const N_FDS: usize = 8;

fn hello(in_foreground: bool) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&LAYOUT.to_ne_bytes());
    bytes[12] = u8::from(in_foreground);
    bytes
}

fn is_readable(fd: &OwnedFd, patience: Duration) -> bool {
    // Some seconds.
    let timeout = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
    matches!(poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timeout)), Ok(1))
}

impl Keeper {
    /// Whether the manager that has just ended, or did not come up, leaves the programs to the keeper alone.
    pub(super) fn is_left_alone(&self) -> bool {
        self.manager_memory.get().detached.load(Acquire) == 1
    }

    /// Goes on without a manager, and without the terminal of whoever started the daemon. The launcher and the foreground
    /// proxy get this exit status.
    pub(super) fn detach(&mut self, status: u8) {
        self.detached = Some(clock::monotonic());
        self.upgrade = Upgrade::None;
        let shared = self.shared.get();
        shared.heeds_from.store(shared.head.load(Relaxed), Release);
        // Clients are to be refused instead of waiting for somebody who does not come.
        for number in 0..Place::MAX_LISTENERS {
            drop(self.take_out(Place::HttpListener(number)));
        }
        let _ = fd::detach_stdio();
        self.tell_launcher(status);
        self.tell_foreground_proxy(status);
    }

    /// Whether a manager may be started.
    pub(super) fn wants_manager(&self) -> bool {
        self.manager.is_none() && self.detached.is_none() && !self.ends_alone()
    }

    /// Tells the foreground proxy that the daemon has ended, and with which exit status.
    pub(super) fn tell_foreground_proxy(&mut self, status: u8) {
        if let Some(foreground_proxy) = self.take_out(Place::ForegroundProxy) {
            let _ = rustix::io::write(&foreground_proxy, &[status]);
        }
    }

    /// The socket on which a starting daemon connects to resume this one; `None` while it must not.
    pub(super) fn resume_listener(&self) -> Option<BorrowedFd<'_>> {
        self.shared.get().held(Place::Resume).filter(|_| self.detached.is_some() && !self.ends_alone())
    }

    /// The pipe to the foreground proxy: it reports an error once the proxy has ended.
    pub(super) fn foreground_proxy(&self) -> Option<BorrowedFd<'_>> {
        self.shared.get().held(Place::ForegroundProxy)
    }

    /// The foreground proxy has been killed. Whoever did that wanted the daemon to end.
    pub(super) fn lose_foreground_proxy(&mut self) {
        drop(self.take_out(Place::ForegroundProxy));
        self.record_signal(libc::SIGTERM as u32, 0);
    }

    /// A starting daemon has connected to resume this one. Returns only if it is refused.
    pub(super) fn take_resume_client(&mut self) {
        let Some(listener) = self.shared.get().held(Place::Resume) else { return };
        let Ok(client) = rustix::net::accept_with(listener, SocketFlags::CLOEXEC) else { return };
        let own_uid = rustix::process::geteuid();
        let is_trusted = rustix::net::sockopt::socket_peercred(&client)
            .is_ok_and(|peer| peer.uid == own_uid || peer.uid.is_root());
        if !is_trusted || !is_readable(&client, PATIENCE) {
            return;
        }
        match receive(&client) {
            Ok((in_foreground, handed_over)) => {
                if let Err(error) = self.resume(&client, in_foreground, handed_over) {
                    let _ = rustix::io::write(&client, error.to_string().as_bytes());
                }
            }
            Err(why) => drop(rustix::io::write(&client, why.as_bytes())),
        }
    }

    /// Becomes the keeper that somebody wants to start.
    fn resume(
        &mut self,
        client: &OwnedFd,
        in_foreground: bool,
        handed_over: [OwnedFd; N_FDS],
    ) -> io::Result<()> {
        let [boot, binary, arguments, environment, status, stdin, stdout, stderr] = handed_over;
        let arguments = ExecStrings::new(words(arguments)?);
        let mut environment = words(environment)?;
        let launched = if in_foreground { -1 } else { status.as_raw_fd() };
        environment.push(self.descriptors_for_successor(launched)?);
        // Once something was hidden it stays so, whoever goes on.
        let already = |word: &CString| word.as_bytes().starts_with(GUARD_VARIABLE.as_bytes());
        if self.is_guarded && !environment.iter().any(already) {
            environment.push(CString::new(format!("{GUARD_VARIABLE}={}", process::own_pid()))?);
        }
        let environment = ExecStrings::new(environment);
        let former = self.binary.try_clone()?;
        fd::set_cloexec(&self.deposits, false)?;
        fd::set_cloexec(&status, in_foreground)?;

        // From here on nothing can fail but exec.
        rustix::io::write(client, WELCOME)?;
        drop(self.put(Place::Boot, boot));
        if in_foreground {
            drop(self.put(Place::ForegroundProxy, status));
        } else {
            self.launched = Some(status);
        }
        let _ = rustix::stdio::dup2_stdin(&stdin);
        let _ = rustix::stdio::dup2_stdout(&stdout);
        let _ = rustix::stdio::dup2_stderr(&stderr);
        // It has the number under which the next keeper looks for its binary.
        drop(self.former_binary.take());
        let error = match fd::duplicate_to(&binary, self.binary_number) {
            Ok(()) => exec::replace_self(&binary, &arguments, &environment),
            Err(error) => error,
        };
        let _ = fd::duplicate_to(&former, self.binary_number);
        let _ = fd::set_cloexec(&self.deposits, true);
        // On the terminal of whoever wanted to resume.
        eprintln!("Error: the keeper cannot execute the new binary: {error}");
        self.detach(2);
        Ok(())
    }

    /// The variable that tells the next keeper its descriptors: as ours, but for who waits for its start.
    fn descriptors_for_successor(&self, launched: i32) -> io::Result<CString> {
        let own = std::env::var(KEEPER_VARIABLE).map_err(io::Error::other)?;
        let (numbers, _) = own.rsplit_once(' ').ok_or(io::ErrorKind::InvalidData)?;
        Ok(CString::new(format!("{KEEPER_VARIABLE}={numbers} {launched}"))?)
    }

    fn take_out(&mut self, place: Place) -> Option<OwnedFd> {
        let number = self.shared.get().place(place.index())?.swap(0, AcqRel);
        // SAFETY: the keeper owns what stands in a place, and the swap has taken it out.
        unsafe { fd::adopt(number - 1) }
    }

    /// Puts a descriptor into the vault, open across exec; what was there before comes out.
    fn put(&mut self, place: Place, held: OwnedFd) -> Option<OwnedFd> {
        let former = self.take_out(place);
        let _ = fd::set_cloexec(&held, false);
        if let Some(cell) = self.shared.get().place(place.index()) {
            cell.store(held.into_raw_fd() + 1, Release);
        }
        former
    }

    /// A signal while there is no daemon. A request to end is about the programs then.
    ///
    /// Only some time after the daemon's end: whoever signals every process of a name, or signals twice, means no
    /// second end.
    pub(super) fn hear_while_detached(&mut self, asks_for_end: bool) {
        let is_late = self.detached.is_some_and(|since| clock::monotonic() >= since + QUIET);
        if asks_for_end && is_late && !self.ends_alone() {
            self.end_alone();
        }
    }
}

/// # Errors
/// What to answer.
fn receive(client: &OwnedFd) -> Result<(bool, [OwnedFd; N_FDS]), String> {
    let mut bytes = [0; 64];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(N_FDS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(client, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags)
        .map_err(|errno| errno.to_string())?;
    let fds: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    let bytes = &bytes[..received.bytes];
    let in_foreground = bytes == hello(true);
    if !in_foreground && bytes != hello(false) {
        return Err(format!("it knows layout {LAYOUT} of the shared memory only"));
    }
    let fds = fds.try_into().map_err(|_| "descriptors are missing".to_string())?;
    Ok((in_foreground, fds))
}

/// Reads words that each end with a zero.
fn words(fd: OwnedFd) -> io::Result<Vec<CString>> {
    let mut file = File::from(fd);
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(MOST_WORDS_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes
        .split_inclusive(|byte| *byte == 0)
        .filter_map(|word| CString::from_vec_with_nul(word.to_vec()).ok())
        .collect())
}
