//! What programs report by themselves: over the notify socket, into a pipe of their own, by a line of their output.
//!
//! Socket and pipes are held by the keeper, too, so what is said while there is no manager is heard by the next one.

use crate::core::process::{Event, State};
use crate::files::socket;
use crate::log::spool::Receipt;
use crate::manager::daemon::Daemon;
use crate::manager::launch::lock;
use crate::manager::processes::{Proc, SlotId};
use crate::model::config::ProcessConfig;
use crate::model::probe::Probe;
use crate::model::stream::Stream;
use crate::model::time::Monotonic;
use crate::probe::fd::{self, Notification};
use crate::probe::lines::Lines;
use crate::probe::notify::{self, Notices, Program, Socket, WatchdogNotice};
use crate::shm::layout::Place;
use crate::shm::link::Link;
use crate::sys::{clock, pipe, user};
use rustix::event::epoll;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// So many messages are heard in one turn of the loop.
const MOST_MESSAGES: usize = 64;

/// A line that comes in more pieces is not heard from its beginning by a successor.
const MOST_RECEIPTS: usize = 256;

/// What a program gets at least to say that it is alive, after a manager has taken over. It may have been waiting for room in
/// the socket.
const MOMENT_TO_SPEAK: Duration = Duration::from_millis(50);

/// In place of a slot: the notify socket.
const SOCKET: u64 = u64::MAX;

/// What reports come in by.
pub(super) struct Reports {
    readiness: Arc<OwnedFd>,
    /// The notify socket, once a program wants it.
    socket: Option<Arc<OwnedFd>>,
    /// The reading ends of the pipes of those that are not ready yet.
    pipes: HashMap<SlotId, OwnedFd>,
    /// The lines of those that are ready when one matches: standard output, standard error.
    lines: HashMap<SlotId, [HeardLines; 2]>,
    /// Who runs and has the notify socket.
    senders: HashSet<SlotId>,
    watchdogs: HashMap<SlotId, Monotonic>,
    silences: BTreeSet<(Monotonic, SlotId)>,
}

/// The lines of one output.
#[derive(Debug)]
struct HeardLines {
    lines: Lines,
    /// For what has come of a line whose end has not.
    receipts: Vec<Receipt>,
}

impl HeardLines {
    fn new(pattern: &str) -> Result<HeardLines, String> {
        Ok(HeardLines { lines: Lines::new(pattern)?, receipts: Vec::new() })
    }

    /// What has come of them need not be read again.
    fn acknowledge(&mut self) {
        self.receipts.drain(..).for_each(Receipt::acknowledge);
    }
}

impl Reports {
    /// # Errors
    /// The system's.
    pub(super) fn new() -> io::Result<Reports> {
        Ok(Reports {
            readiness: Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?),
            socket: None,
            pipes: HashMap::new(),
            lines: HashMap::new(),
            senders: HashSet::new(),
            watchdogs: HashMap::new(),
            silences: BTreeSet::new(),
        })
    }

    pub(super) fn readiness(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.readiness)
    }

    /// When somebody has been silent for too long.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        self.silences.first().map(|(at, _)| *at)
    }

    fn hear(&self, fd: &OwnedFd, who: u64) {
        match epoll::add(&self.readiness, fd, epoll::EventData::new_u64(who), epoll::EventFlags::IN) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => ::log::error!("cannot hear what programs report: {errno}"),
        }
    }

    fn set_silence(&mut self, slot: SlotId, at: Option<Monotonic>, link: &Link) {
        let before = match at {
            Some(at) => self.watchdogs.insert(slot, at),
            None => self.watchdogs.remove(&slot),
        };
        if before != at {
            if let Some(before) = before {
                self.silences.remove(&(before, slot));
            }
            self.silences.extend(at.map(|at| (at, slot)));
        }
        // That of an earlier start may stand there: a former manager was killed before it could take it back.
        if before != at || link.alive_until(slot) != at {
            link.set_alive_until(slot, at);
        }
    }

    /// No line matters any more; whether one did.
    fn forget_lines(&mut self, slot: SlotId) -> bool {
        let Some(mut lines) = self.lines.remove(&slot) else { return false };
        lines.iter_mut().for_each(HeardLines::acknowledge);
        true
    }

    fn close_pipe(&mut self, slot: SlotId, link: &Link) {
        if let Some(pipe) = self.pipes.remove(&slot) {
            // The keeper's copy would go on reporting its end.
            let _ = epoll::delete(&self.readiness, &pipe);
            drop(pipe);
            // Only the keeper's is left, which would keep it open.
            let _ = link.drop_deposits(&[Place::ReadyPipe(slot)]);
        }
    }
}

/// Until when a process has to say that it is alive from now on, where a former manager may have noted that.
///
/// A program may have been unable to say anything while nobody listened: it gets a moment for that. What was over long ago
/// was noted before a manager of a release that does not know watchdogs, and says nothing.
fn still_alive_until(noted: Option<Monotonic>, now: Monotonic, watchdog: Duration) -> Monotonic {
    match noted {
        Some(at) if is_recent(at, now, watchdog) => at.max(now + MOMENT_TO_SPEAK.min(watchdog)),
        _ => now + watchdog,
    }
}

fn is_recent(noted: Monotonic, now: Monotonic, watchdog: Duration) -> bool {
    noted + watchdog >= now
}

/// Where the notify socket of a daemon with this pidfile is.
fn socket_beside(pidfile: &Path) -> PathBuf {
    let mut name = pidfile.file_name().unwrap_or_default().to_os_string();
    name.push(".notify");
    pidfile.with_file_name(name)
}

/// The pattern of `ready=log:`, while that is waited for.
fn pattern(proc: &Proc) -> Option<&str> {
    match (&proc.process.state, &proc.config.readiness.as_ref()?.ready) {
        (State::Starting { is_ready: false, .. }, Probe::Log(pattern)) => Some(pattern),
        _ => None,
    }
}

impl Daemon {
    /// Hears a process as its state asks for.
    pub(super) fn follow_reports(&mut self, slot: SlotId) {
        let Some(proc) = self.procs.proc(slot) else { return };
        let state = &proc.process.state;
        let (is_up, lives) = (matches!(state, State::Running { .. }), state.pid().is_some());
        // One that is being stopped may be about to write: without a reader it would die of that, and not end as it should.
        if !lives && !matches!(state, State::Starting { is_ready: false, .. }) {
            self.probes.reports.close_pipe(slot, &self.link);
        }
        match pattern(proc) {
            None => {
                if self.probes.reports.forget_lines(slot) {
                    self.events.outlet.hear_lines_of(slot, false);
                }
            }
            // From the beginning of each start.
            Some(pattern) if state.pid().is_none() || !self.probes.reports.lines.contains_key(&slot) => {
                if let (Ok(stdout), Ok(stderr)) = (HeardLines::new(pattern), HeardLines::new(pattern)) {
                    self.probes.reports.forget_lines(slot);
                    self.probes.reports.lines.insert(slot, [stdout, stderr]);
                    self.events.outlet.hear_lines_of(slot, true);
                }
            }
            Some(_) => {}
        }
        if proc.config.wants_notify_socket() && lives {
            self.probes.reports.senders.insert(slot);
        } else {
            self.probes.reports.senders.remove(&slot);
        }
        match proc.config.watchdog.filter(|_| is_up) {
            None if proc.config.watchdog.is_none() => {}
            None => self.probes.reports.set_silence(slot, None, &self.link),
            Some(_) if self.probes.reports.watchdogs.contains_key(&slot) => {}
            Some(watchdog) => {
                let (noted, now) = (self.link.alive_until(slot), clock::monotonic());
                let at = still_alive_until(noted, now, watchdog);
                self.probes.reports.set_silence(slot, Some(at), &self.link);
                if noted.is_some_and(|noted| is_recent(noted, now, watchdog)) {
                    // Managers that die one after the other must not put it off for ever.
                    self.link.set_alive_until(slot, noted);
                }
            }
        }
    }

    /// Nobody has to say that it is alive.
    pub(super) fn forget_silence(&mut self, slot: SlotId) {
        self.probes.reports.set_silence(slot, None, &self.link);
    }

    pub(super) fn forget_reports(&mut self, slot: SlotId) {
        let reports = &mut self.probes.reports;
        reports.close_pipe(slot, &self.link);
        reports.set_silence(slot, None, &self.link);
        reports.senders.remove(&slot);
        if reports.forget_lines(slot) {
            self.events.outlet.hear_lines_of(slot, false);
        }
    }

    /// Makes the notify socket if a program is the first to want it.
    ///
    /// # Errors
    /// It cannot be made; the text is for `spawnerr`.
    pub fn provide_notify_socket(&mut self, config: &ProcessConfig) -> Result<(), String> {
        if !config.wants_notify_socket() || self.probes.reports.socket.is_some() {
            return Ok(());
        }
        let pidfile = &self.boot.config.supervisord.pidfile;
        if !lock::can_have_neighbours(pidfile) {
            return Err("there is no notify socket: it lies beside the pidfile, which is not a file".into());
        }
        let path = socket_beside(pidfile);
        let failed = |error: io::Error| format!("there is no notify socket {}: {error}", path.display());
        let socket = Socket::bind(&path).map_err(failed)?;
        self.link.deposit(&[(Place::Notify, socket.fd.as_fd())]).map_err(failed)?;
        self.use_notify_socket(socket.fd);
        self.list_files();
        Ok(())
    }

    fn use_notify_socket(&mut self, socket: OwnedFd) {
        self.probes.reports.hear(&socket, SOCKET);
        self.probes.reports.socket = Some(Arc::new(socket));
        let path = self.notify_path();
        Arc::make_mut(&mut self.spawn_context).notify_socket = path;
    }

    /// At the end of the daemon: removes the notify socket.
    pub fn remove_notify_socket(&self) {
        let Some(path) = self.notify_path() else { return };
        if let Some(identity) = socket::identity(&path) {
            socket::remove(&path, identity);
        }
    }

    /// Where the notify socket is, if there is one.
    pub fn notify_path(&self) -> Option<PathBuf> {
        let is_there = self.probes.reports.socket.is_some();
        is_there.then(|| socket_beside(&self.boot.config.supervisord.pidfile))
    }

    /// Makes the pipe into which a program is to say that it is ready, for one start: its end, and the number under which
    /// it finds that.
    ///
    /// # Errors
    /// Out of descriptors, or the keeper cannot be reached.
    pub fn prepare_ready_pipe(
        &mut self,
        slot: SlotId,
        config: &ProcessConfig,
    ) -> io::Result<Option<(OwnedFd, i32)>> {
        let Some(Probe::Fd(number)) = config.readiness.as_ref().map(|readiness| &readiness.ready) else {
            return Ok(None);
        };
        let ours = pipe::output()?;
        let theirs = pipe::writing_end(&ours, pipe::Ends::Own)?;
        self.link.deposit(&[(Place::ReadyPipe(slot), ours.as_fd())])?;
        self.probes.reports.hear(&ours, u64::from(slot));
        self.probes.reports.pipes.insert(slot, ours);
        Ok(Some((theirs, *number)))
    }

    /// Finds what a former manager heard programs by, before anybody's output is read.
    pub fn restore_reports(&mut self) {
        if let Some(socket) = self.link.take(Place::Notify) {
            self.use_notify_socket(socket);
        }
        let slots: Vec<SlotId> = self.procs.all().map(|(slot, _)| slot).collect();
        for slot in slots {
            let Some(proc) = self.procs.proc(slot) else { continue };
            let (readiness, watchdog) = (&proc.config.readiness, proc.config.watchdog);
            if readiness.is_none() && watchdog.is_none() && !proc.config.wants_notify_socket() {
                continue;
            }
            if matches!(readiness.as_ref().map(|readiness| &readiness.ready), Some(Probe::Fd(_)))
                && matches!(proc.process.state, State::Starting { is_ready: false, .. })
                && let Some(pipe) = self.link.take(Place::ReadyPipe(slot))
            {
                self.probes.reports.hear(&pipe, u64::from(slot));
                self.probes.reports.pipes.insert(slot, pipe);
            }
            self.follow_reports(slot);
        }
    }

    /// Hears what programs have reported.
    pub fn hear_reports(&mut self) {
        let mut events = Vec::with_capacity(MOST_MESSAGES);
        let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let spare = rustix::buffer::spare_capacity(&mut events);
        if epoll::wait(&self.probes.reports.readiness, spare, Some(&at_once)).is_err() {
            return;
        }
        for event in events {
            match event.data.u64() {
                SOCKET => self.hear_notices(),
                slot => self.hear_ready_pipe(slot as SlotId),
            }
        }
    }

    fn hear_ready_pipe(&mut self, slot: SlotId) {
        let Some(pipe) = self.probes.reports.pipes.get(&slot) else { return };
        let result = match fd::look(pipe.as_fd()) {
            Notification::Waiting => return,
            Notification::Ready => Ok(()),
            Notification::Closed => Err("it closed its descriptor without a line".to_string()),
        };
        match result {
            Ok(()) => self.conclude_executed_spawn(slot),
            Err(_) => self.conclude_pending_spawn(slot),
        }
        self.apply(slot, Event::Readiness(result));
        // Only now: a manager that is killed before leaves the line to its successor.
        self.probes.reports.close_pipe(slot, &self.link);
    }

    fn hear_notices(&mut self) {
        let Some(socket) = self.probes.reports.socket.clone() else { return };
        let heard = notify::receive(&*socket, MOST_MESSAGES, |message| {
            if message.is_too_long {
                ::log::warn!("ignored a notification of pid {}: it is too long", message.sender.pid);
            } else if let Some(slot) = self.sender(message.sender) {
                self.take_notices(slot, &message.notices);
            } else {
                ::log::debug!("ignored a notification of pid {}, a stranger", message.sender.pid);
            }
        });
        if let Err(error) = heard {
            ::log::error!("cannot hear what programs notify: {error}");
        }
    }

    fn sender(&self, sender: crate::sys::datagram::Credentials) -> Option<SlotId> {
        let uid_of = |proc: &Proc| proc.config.user.as_ref().map_or_else(user::current_uid, |user| user.uid);
        let by_pid = |pid| {
            // Between its creation and the state machine's knowing of it a program has its pid in the slot only.
            let known = self.procs.slot_of_pid(pid);
            let slot = known.or_else(|| self.pending_slot_of(pid))?;
            let proc = self.procs.proc(slot).filter(|proc| proc.config.wants_notify_socket())?;
            Some(Program { name: slot, uid: uid_of(proc) })
        };
        let only_of_user = |uid| {
            let is_its = |slot: &&SlotId| self.procs.proc(**slot).is_some_and(|proc| uid_of(proc) == uid);
            let mut found = self.probes.reports.senders.iter().filter(is_its);
            found.next().copied().filter(|_| found.next().is_none())
        };
        notify::program_of(sender, by_pid, only_of_user)
    }

    fn take_notices(&mut self, slot: SlotId, notices: &Notices) {
        self.conclude_executed_spawn(slot);
        let now = clock::monotonic();
        let Some(proc) = self.procs.proc(slot) else { return };
        let config = Arc::clone(&proc.config);
        if let Some(extension) = notices.extend_timeout {
            self.apply(slot, Event::Extend(now + extension));
            if config.watchdog.is_some() && self.probes.reports.watchdogs.contains_key(&slot) {
                self.probes.reports.set_silence(slot, Some(now + extension), &self.link);
            }
        }
        let waits = config.readiness.as_ref().is_some_and(|readiness| readiness.ready == Probe::Notify);
        if notices.is_ready && waits {
            self.apply(slot, Event::Readiness(Ok(())));
        }
        match (notices.watchdog, config.watchdog) {
            (Some(WatchdogNotice::Alive), Some(watchdog))
                if self.probes.reports.watchdogs.contains_key(&slot) =>
            {
                self.probes.reports.set_silence(slot, Some(now + watchdog), &self.link);
            }
            (Some(WatchdogNotice::Trigger), Some(_)) => self.apply(slot, Event::Silent),
            _ => {}
        }
    }

    /// Tells the state machines of those that have been silent for too long.
    pub(super) fn fire_watchdogs(&mut self, now: Monotonic) {
        if self.probes.reports.deadline().is_none_or(|at| at > now) {
            return;
        }
        // What they have said may not have been heard.
        self.hear_notices();
        while let Some((_, slot)) = self.probes.reports.silences.first().copied().filter(|(at, _)| *at <= now)
        {
            self.probes.reports.set_silence(slot, None, &self.link);
            self.apply(slot, Event::Silent);
        }
    }

    /// Takes what a program has written, if a line of it may say that it is ready.
    ///
    /// Everything that comes is of this start: what a former program wrote was taken before its end was dealt with. A reader
    /// may not know the new pid yet, so that says nothing.
    pub fn hear_lines(&mut self, slot: SlotId, channel: Stream, bytes: &[u8]) {
        let Some(lines) = self.probes.reports.lines.get_mut(&slot) else { return };
        if lines[usize::from(channel == Stream::Stderr)].lines.feed(bytes) {
            self.conclude_executed_spawn(slot);
            self.apply(slot, Event::Readiness(Ok(())));
        }
    }

    /// What was taken of an output need not be read again as soon as the last line in it has its end, or no line matters
    /// any more.
    pub fn keep_until_heard(&mut self, slot: SlotId, channel: Stream, receipt: Receipt) {
        let Some(lines) = self.probes.reports.lines.get_mut(&slot) else { return receipt.acknowledge() };
        let lines = &mut lines[usize::from(channel == Stream::Stderr)];
        if !lines.lines.is_in_line() || lines.receipts.len() >= MOST_RECEIPTS {
            // In their order: the older ones stand for what comes before.
            lines.acknowledge();
            return receipt.acknowledge();
        }
        lines.receipts.push(receipt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_outlive_managers() {
        let seconds = |seconds: u64| Monotonic(0) + Duration::from_secs(seconds);
        let watchdog = Duration::from_secs(30);
        for (noted, expected, why) in [
            (None, seconds(130), "nobody has noted one"),
            (Some(120), seconds(120), "it has not come"),
            (Some(100), seconds(100) + MOMENT_TO_SPEAK, "it comes now"),
            (Some(99), seconds(100) + MOMENT_TO_SPEAK, "it came while there was no manager"),
            (Some(60), seconds(130), "it is older than any silence that was seen"),
        ] {
            assert_eq!(still_alive_until(noted.map(seconds), seconds(100), watchdog), expected, "{why}");
        }
    }
}
