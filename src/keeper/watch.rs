//! Notices a manager that hangs.
//!
//! A manager that has died is noticed at once. One that was stopped, or whose loop waits for something that never
//! comes, is not. So after something has happened for it (an entry in the ledger, a request, a client that nobody accepts,
//! its own start) the manager is expected to begin another round of its loop, which counts as a beat. If there is no beat
//! within `manager_watchdog_secs`, the keeper kills it, and the next manager finds everything in shared memory.
//!
//! Nothing is watched while nothing happens, so an idle daemon sleeps. Clients wake the keeper at most twice per
//! interval; any other thing that happens costs one more wake-up when the interval is over.

use crate::keeper::run::Keeper;
use crate::model::signal::Signal;
use crate::model::time::Monotonic;
use crate::shm::handshake::ring;
use crate::shm::layout::*;
use crate::sys::{clock, process, signals};
use rustix::event::{Timespec, epoll};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::*;
use std::time::Duration;

/// Watches over the manager.
pub struct Watch {
    /// The daemon's listening sockets, each until somebody connects (`EPOLLONESHOT`).
    clients: OwnedFd,
    /// The sockets are watched now.
    is_armed: bool,
    check: Option<Check>,
}

/// A check that is due: the manager must have reacted by then.
#[derive(Clone, Copy)]
struct Check {
    at: Monotonic,
    /// Its beats when this began.
    beats: u64,
    /// Which manager, counted as `manager_starts`.
    number: u32,
}

impl Watch {
    /// # Errors
    /// Out of descriptors.
    pub fn new() -> io::Result<Watch> {
        Ok(Watch { clients: epoll::create(epoll::CreateFlags::CLOEXEC)?, is_armed: false, check: None })
    }

    /// What to wait for besides everything else.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.is_armed.then(|| self.clients.as_fd())
    }

    /// When the next check is due; `None` if nothing is expected of the manager.
    pub fn deadline(&self) -> Option<Monotonic> {
        self.check.map(|check| check.at)
    }
}

impl Keeper {
    /// How long a manager may take; `None`: it is not watched. One of another version than ours may not know that
    /// it is.
    fn manager_patience(&self) -> Option<Duration> {
        let memory = self.manager_memory.get();
        let knows = memory.hints_by.load(Acquire) == self.shared.get().manager_starts.load(Relaxed);
        let starts = memory.ready.load(Acquire) == 1 && !self.manager_is_up();
        let patience = Duration::from_millis(u64::from(memory.watchdog_millis.load(Relaxed)));
        ((knows || starts) && self.manager.is_some() && !patience.is_zero()).then_some(patience)
    }

    /// Something has happened that the manager has to react to: rings its doorbell and plans a check.
    pub(super) fn expect_reaction(&mut self) {
        // First: its next beat may come at once, and the one after that not before something else happens.
        self.begin_to_watch();
        ring(&self.manager_doorbell);
    }

    fn begin_to_watch(&mut self) {
        if self.watch.check.is_some() {
            return;
        }
        let Some(patience) = self.manager_patience() else { return };
        self.watch.check = Some(Check {
            at: clock::monotonic() + patience,
            beats: self.manager_memory.get().beats.load(Acquire),
            number: self.shared.get().manager_starts.load(Relaxed),
        });
    }

    /// Plans a check if the manager has asked for one.
    pub(super) fn note_check_wanted(&mut self) {
        let wanted = self.manager_memory.get().check_wanted.load(Acquire);
        if wanted == self.shared.get().checks.load(Relaxed).wrapping_add(1) {
            self.expect_reaction();
        }
    }

    /// Waits for the next client, if there is anything to be gained from it.
    pub(super) fn watch_clients(&mut self) {
        if self.watch.is_armed || self.watch.check.is_some() || self.manager_patience().is_none() {
            return;
        }
        self.watch.is_armed = true;
        for number in 0..Place::MAX_LISTENERS {
            let Some(listener) = self.shared.get().held(Place::HttpListener(number)) else { continue };
            let data = epoll::EventData::new_u64(0);
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
            if epoll::modify(&self.watch.clients, listener, data, flags) == Err(rustix::io::Errno::NOENT) {
                let _ = epoll::add(&self.watch.clients, listener, data, flags);
            }
        }
    }

    /// Somebody has connected: the manager has to react.
    pub(super) fn client_came(&mut self) {
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 8];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let came = epoll::wait(&self.watch.clients, &mut events, Some(&at_once));
        if came.is_ok_and(|(events, _)| !events.is_empty()) {
            self.watch.is_armed = false;
            self.expect_reaction();
        }
    }

    /// Kills the manager if a check is due and it has not reacted.
    pub(super) fn watch_manager(&mut self) {
        let now = clock::monotonic();
        let Some(check) = self.watch.check.filter(|check| check.at <= now) else { return };
        self.watch.check = None;
        let checks = self.shared.get().checks.fetch_add(1, AcqRel).wrapping_add(1);
        let (shared, memory) = (self.shared.get(), self.manager_memory.get());
        let number = shared.manager_starts.load(Relaxed);
        let has_beaten = memory.beats.load(Acquire) != check.beats || number != check.number;
        let Some(manager) = self.manager.filter(|_| self.manager_patience().is_some()) else { return };
        if has_beaten {
            let is_wanted = memory.check_wanted.load(Acquire) == checks;
            let more = memory.tail.load(Acquire) != shared.head.load(Relaxed);
            if is_wanted || more || !self.manager_is_up() {
                // Whatever it was may have been dealt with long ago: a manager that sleeps has to be woken for a beat.
                self.expect_reaction();
            }
            return;
        }
        if process::is_traced(manager.pid) {
            // Somebody looks for the reason right now.
            return self.expect_reaction();
        }
        shared.hung.store(number, Release);
        // The rest is as if somebody else had killed it.
        let _ = signals::send(manager.pid, Signal::KILL);
    }
}
