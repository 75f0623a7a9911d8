//! A daemon that ends and leaves its programs running (`exitkillall=false`), and the start that resumes it.
//!
//! Programs cannot be given to another parent, so their keeper stays: without a manager, without a terminal, moving
//! their output to their logs. It listens on a socket beside the pidfile, which the last manager left with it. The next
//! `supervisord` with the same pidfile cannot get the lock, finds that socket, and hands over everything that a keeper
//! gets at its start: how it was started, its binary, arguments, environment and terminal. The keeper then executes
//! that binary in place, as in an upgrade, and starts a manager.
//!
//! Whoever waits for the daemon in the foreground cannot wait for a process that stays. So with `exitkillall=false` the
//! shell or the service manager has started an attendant. It passes signals on, and ends with the status that the keeper
//! sends it.

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

/// How long somebody who connects may take to say what they want. The programs' output waits meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);

/// Arguments and environment together are not longer than this; the kernel takes less.
const MOST_WORDS_BYTES: u64 = 8 << 20;

/// For so long after the end of the daemon signals are taken to be about that end.
const QUIET: Duration = Duration::from_secs(5);

const MAGIC: [u8; 8] = *b"SUPVRSUM";

/// The answer to somebody whose daemon may go on.
pub const WELCOME: &[u8] = b"ok";

/// What a daemon that resumes another one hands over.
pub struct Heir<'a> {
    pub boot: BorrowedFd<'a>,
    pub binary: BorrowedFd<'a>,
    /// Each word followed by a zero.
    pub arguments: BorrowedFd<'a>,
    pub environment: BorrowedFd<'a>,
    /// Where it is told how its start went, or, if it attends, how everything ended.
    pub told: BorrowedFd<'a>,
    pub attends: bool,
}

/// Offers an inheritance to a keeper and returns its answer: [`WELCOME`], or why not.
///
/// # Errors
/// It does not answer.
pub fn offer(keeper: &OwnedFd, heir: &Heir<'_>) -> io::Result<Vec<u8>> {
    let fds = [heir.boot, heir.binary, heir.arguments, heir.environment, heir.told];
    let stdio = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let fds: Vec<BorrowedFd<'_>> = fds.into_iter().chain(stdio).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(N_FDS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    // The space is for as many.
    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    let bytes = greeting(heir.attends);
    rustix::net::sendmsg(keeper, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    if !is_readable(keeper, PATIENCE.saturating_mul(5)) {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let mut answer = [0; 200];
    let (n_bytes, _) = rustix::net::recv(keeper, &mut answer[..], RecvFlags::empty())?;
    Ok(answer[..n_bytes].to_vec())
}

const N_FDS: usize = 8;

fn greeting(attends: bool) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&LAYOUT.to_ne_bytes());
    bytes[12] = u8::from(attends);
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

    /// Goes on without a manager, and without anything that belongs to whoever started the daemon. They are told
    /// this status.
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
        self.tell_attendant(status);
    }

    /// Whether a manager may be started.
    pub(super) fn wants_manager(&self) -> bool {
        self.manager.is_none() && self.detached.is_none() && !self.ends_alone()
    }

    /// Tells whoever attends the daemon in the foreground that it has ended.
    pub(super) fn tell_attendant(&mut self, status: u8) {
        if let Some(attendant) = self.take_out(Place::Attendant) {
            let _ = rustix::io::write(&attendant, &[status]);
        }
    }

    /// The descriptors that this part of the keeper waits for: whoever wants to resume the daemon, and the end of
    /// the attendant.
    pub(super) fn outsiders(&self) -> [Option<BorrowedFd<'_>>; 2] {
        let shared = self.shared.get();
        let resume = shared.held(Place::Resume).filter(|_| self.detached.is_some() && !self.ends_alone());
        [resume, shared.held(Place::Attendant)]
    }

    /// The attendant has been killed. Whoever did that wanted the daemon to end.
    pub(super) fn lose_attendant(&mut self) {
        drop(self.take_out(Place::Attendant));
        self.record_signal(libc::SIGTERM as u32, 0);
    }

    /// Somebody wants to resume the daemon. Returns only if that came to nothing.
    pub(super) fn take_guest(&mut self) {
        let Some(listener) = self.shared.get().held(Place::Resume) else { return };
        let Ok(guest) = rustix::net::accept_with(listener, SocketFlags::CLOEXEC) else { return };
        let own_uid = rustix::process::geteuid();
        let is_trusted = rustix::net::sockopt::socket_peercred(&guest)
            .is_ok_and(|peer| peer.uid == own_uid || peer.uid.is_root());
        if !is_trusted || !is_readable(&guest, PATIENCE) {
            return;
        }
        match receive(&guest) {
            Ok((attends, inheritance)) => {
                if let Err(error) = self.resume(&guest, attends, inheritance) {
                    let _ = rustix::io::write(&guest, error.to_string().as_bytes());
                }
            }
            Err(why) => drop(rustix::io::write(&guest, why.as_bytes())),
        }
    }

    /// Becomes the keeper that somebody wants to start.
    fn resume(&mut self, guest: &OwnedFd, attends: bool, inheritance: [OwnedFd; N_FDS]) -> io::Result<()> {
        let [boot, binary, arguments, environment, told, stdin, stdout, stderr] = inheritance;
        let arguments = ExecStrings::new(words(arguments)?);
        let mut environment = words(environment)?;
        let launched = if attends { -1 } else { told.as_raw_fd() };
        environment.push(self.descriptors_for_successor(launched)?);
        // Once something was hidden it stays so, whoever goes on.
        let already = |word: &CString| word.as_bytes().starts_with(GUARD_VARIABLE.as_bytes());
        if self.is_guarded && !environment.iter().any(already) {
            environment.push(CString::new(format!("{GUARD_VARIABLE}={}", process::own_pid()))?);
        }
        let environment = ExecStrings::new(environment);
        let former = self.binary.try_clone()?;
        fd::set_cloexec(&self.deposits, false)?;
        fd::set_cloexec(&told, attends)?;

        // From here on nothing can fail but exec.
        rustix::io::write(guest, WELCOME)?;
        drop(self.put(Place::Boot, boot));
        if attends {
            drop(self.put(Place::Attendant, told));
        } else {
            self.launched = Some(told);
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

    /// A signal, without a daemon. Whoever asks for the end by then means the programs.
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
fn receive(guest: &OwnedFd) -> Result<(bool, [OwnedFd; N_FDS]), String> {
    let mut bytes = [0; 64];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(N_FDS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(guest, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags)
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
    let attends = bytes == greeting(true);
    if !attends && bytes != greeting(false) {
        return Err(format!("it knows layout {LAYOUT} of the shared memory only"));
    }
    let fds = fds.try_into().map_err(|_| "descriptors are missing".to_string())?;
    Ok((attends, fds))
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
