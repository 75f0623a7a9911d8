//! Event listeners: the loop publishes an event, the core chooses the listeners, and the loop sends it to them.
//!
//! The loop reads the answers of listeners itself, without a detour through the tasks that pump logs, because a listener
//! waits for its next event until its answer was understood.

pub mod journal;
pub mod mailbox;
pub mod outlet;

use crate::core::events::payload;
use crate::core::events::pools::{Effect, Input, Pools};
use crate::core::events::protocol::Mood;
use crate::core::process::StateChange;
use crate::log::activity;
use crate::log::stream::{Output, StreamOutput};
use crate::log::transform::readable::readable;
use crate::manager::daemon::Daemon;
use crate::manager::events::journal::Journal;
use crate::manager::events::mailbox::Collected;
use crate::manager::events::outlet::{Inlet, Outlet, Written};
use crate::manager::processes::SlotId;
use crate::model::config::{GroupConfig, GroupKind};
use crate::model::event::Kind;
use crate::model::state::ProcessState;
use crate::model::stream::Stream;
use crate::model::time::Monotonic;
use crate::shm::link::Link;
use crate::sys::clock;
use rustix::event::epoll;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// How many pieces of output are turned into events before signals and exits are looked at again.
const PIECES_PER_TURN: usize = 256;

/// In so many rounds the output of a listener that has ended is read, 64 KiB each: more than a pipe holds.
const LAST_ROUNDS: u32 = 32;

/// How many blocks of lines may wait for our own standard output.
const PRINT_QUEUE: usize = 1024;

/// The events of this daemon.
pub struct Events {
    pools: Pools,
    /// Becomes readable when a listener has written something.
    readiness: Arc<OwnedFd>,
    inlet: Inlet,
    /// Where streams put what is to become an event.
    pub outlet: Outlet,
    /// `None` while there are no pools, and after it could not be kept.
    journal: Option<Journal>,
    printer: Option<async_channel::Sender<String>>,
}

impl Events {
    /// # Errors
    /// The system's.
    pub fn new(server: &str) -> io::Result<Events> {
        let (outlet, inlet) = outlet::channel();
        Ok(Events {
            pools: Pools::new(server),
            readiness: Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?),
            inlet,
            outlet,
            journal: None,
            printer: None,
        })
    }

    /// Why a listener gets no events any more, if that is so.
    pub fn why_unknown(&self, slot: SlotId) -> Option<String> {
        let offence = self.pools.offence(slot)?;
        Some(format!("as an event listener it is UNKNOWN and gets no events any more, because {offence}"))
    }

    /// Becomes readable when a listener has written something.
    pub fn readiness(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.readiness)
    }

    /// Waits until a program has written something for listeners.
    pub async fn next_written(&self) -> Option<Written> {
        self.inlet.next().await
    }

    /// When the loop has something to do for listeners even though nothing happens.
    pub fn deadline(&self) -> Option<Monotonic> {
        [self.next_tick(), self.pools.deadline()].into_iter().flatten().min()
    }

    /// The clock that goes forward shows this at the next tick, if the other clock is not set meanwhile.
    fn next_tick(&self) -> Option<Monotonic> {
        let (now, wall) = (clock::monotonic(), clock::wall());
        let tick = self.pools.next_tick(wall.secs())?;
        let nanos = u64::try_from(tick).ok()?.saturating_mul(1_000_000_000).saturating_sub(wall.0);
        Some(now + Duration::from_nanos(nanos))
    }
}

impl Daemon {
    /// Takes one input and does what follows from it.
    fn feed(&mut self, input: Input) {
        self.events.write_down(&input, &self.link);
        for effect in self.events.pools.step(input) {
            match effect {
                Effect::Log(level, text) => activity::write(level, &text),
                Effect::Send { slot, number, bytes } => self.send_event(slot, number, &bytes),
                Effect::Print(text) => self.events.print(text),
            }
        }
    }

    fn send_event(&mut self, slot: SlotId, number: u64, bytes: &[u8]) {
        let proc = self.procs.proc(slot);
        let delivered = proc.is_some_and(|proc| proc.streams.deliver(number, bytes).is_ok());
        if !delivered {
            self.feed(Input::Undelivered { slot });
        }
    }

    /// Puts something into the queues of those who asked for it.
    fn publish_event(&mut self, kind: Kind, payload: impl FnOnce() -> String) {
        if self.events.pools.wants(kind) {
            self.feed(Input::Publish { kind, payload: payload() });
        }
    }

    /// Tells of a change of state.
    pub fn announce(&mut self, slot: SlotId, change: StateChange) {
        let Some(proc) = self.procs.proc(slot) else { return };
        let (name, group, is_listener) = (&proc.config.name, &proc.group, proc.is_listener);
        let kind = Kind::of_state(change.to);
        if self.events.pools.wants(kind) {
            let payload = payload::state_change(name, group, change);
            self.feed(Input::Publish { kind, payload });
        }
        if !is_listener {
            return;
        }
        self.feed(Input::Changed { slot, state: change.to });
        if !change.to.is_signallable() {
            self.feed(Input::Reaped { slot, now: clock::monotonic() });
        }
    }

    /// Tells of what a health check has found out.
    pub fn announce_health(&mut self, slot: SlotId, is_healthy: bool, pid: i32) {
        let Some(proc) = self.procs.proc(slot) else { return };
        let kind = if is_healthy { Kind::Healthy } else { Kind::Unhealthy };
        if self.events.pools.wants(kind) {
            let payload = payload::health(&proc.config.name, &proc.group, proc.state(), pid);
            self.feed(Input::Publish { kind, payload });
        }
    }

    /// A group was added: its own pool hears of that, too.
    pub fn announce_group(&mut self, group: &GroupConfig) {
        if let GroupKind::EventListener(config) = &group.kind {
            let slots = self.procs.group(&group.name).map(|group| group.members.clone()).unwrap_or_default();
            let name = |slot: SlotId| self.procs.proc(slot).map(|proc| (slot, proc.config.name.to_string()));
            let listeners = slots.into_iter().filter_map(name).collect();
            let (pool, config) = (group.name.to_string(), config.clone());
            self.feed(Input::Add { pool, config, listeners });
            self.events.wanted_changed();
        }
        self.publish_event(Kind::GroupAdded, || payload::group(&group.name));
    }

    /// A group is gone: its own pool does not hear of that any more.
    pub fn forget_pool(&mut self, group: &str) {
        if self.events.pools.members().any(|(pool, _)| pool == group) {
            self.feed(Input::Remove { pool: group.to_string() });
            self.events.wanted_changed();
        }
    }

    /// Announces to listeners that a group was taken out.
    pub fn announce_removal(&mut self, group: &str) {
        self.publish_event(Kind::GroupRemoved, || payload::group(group));
    }

    /// The daemon as a whole is up, or begins to stop.
    pub fn announce_state(&mut self, kind: Kind) {
        self.publish_event(kind, String::new);
    }

    /// What a client sends to listeners.
    pub fn announce_remote(&mut self, kind: &str, data: &str) {
        self.publish_event(Kind::RemoteCommunication, || payload::remote(kind, data));
    }

    /// Lets the outputs of a program flow.
    pub fn begin_streams(&mut self, slot: SlotId) {
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        proc.streams.begin(slot, proc.process.state.pid().unwrap_or(0), &self.events.outlet);
        if proc.is_listener {
            self.listen_to(slot);
        }
    }

    /// Hears a listener from now on.
    fn listen_to(&self, slot: SlotId) {
        let Some(pipe) = self.procs.proc(slot).and_then(|proc| proc.streams.stdout_pipe()) else { return };
        let data = epoll::EventData::new_u64(u64::from(slot));
        match epoll::add(&self.events.readiness, &pipe, data, epoll::EventFlags::IN) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => ::log::error!("cannot hear event listener in slot {slot}: {errno}"),
        }
    }

    fn stop_listening(&self, slot: SlotId) {
        if let Some(pipe) = self.procs.proc(slot).and_then(|proc| proc.streams.stdout_pipe()) {
            let _ = epoll::delete(&self.events.readiness, &pipe);
        }
    }

    /// Reads what listeners have written.
    pub fn hear_listeners(&mut self) {
        let mut events = Vec::with_capacity(64);
        let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let spare = rustix::buffer::spare_capacity(&mut events);
        if epoll::wait(&self.events.readiness, spare, Some(&at_once)).is_err() {
            return;
        }
        for event in events {
            // What `listen_to` stored.
            let slot = event.data.u64() as SlotId;
            self.hear(slot);
        }
    }

    fn hear(&mut self, slot: SlotId) {
        let Some(proc) = self.procs.proc(slot) else { return };
        let collected = proc.streams.collect();
        self.understand(slot);
        if collected == Collected::End {
            self.stop_listening(slot);
        } else if self.events.pools.mood(slot).is_none_or(|mood| mood == Mood::Unknown) {
            // Whatever it says goes to its log and nowhere else.
            self.stop_listening(slot);
            if let Some(proc) = self.procs.proc(slot) {
                proc.streams.begin_unheard(slot, &self.events.outlet);
            }
        }
    }

    /// Understands what a listener has written and was taken in.
    fn understand(&mut self, slot: SlotId) {
        let Some(n_heard) = self.events.pools.n_heard(slot) else { return };
        let Some(proc) = self.procs.proc(slot) else { return };
        let bytes = proc.streams.heard_after(n_heard);
        proc.streams.look_after(slot, &self.events.outlet);
        if !bytes.is_empty() {
            self.feed(Input::Heard { slot, bytes, now: clock::monotonic() });
        }
    }

    /// Reads the outputs of a program that has ended to their end.
    pub fn finish_streams(&mut self, slot: SlotId) {
        let Some(proc) = self.procs.proc(slot) else { return };
        let pid = proc.process.state.pid().unwrap_or(0);
        let is_listener = proc.is_listener;
        let mut n_rounds = 0;
        // A straggler may go on writing; a pipe is empty after some rounds.
        while is_listener && n_rounds < LAST_ROUNDS && self.collect_and_understand(slot) {
            n_rounds += 1;
        }
        let Some(proc) = self.procs.proc(slot) else { return };
        let last = proc.streams.finish();
        proc.streams.look_after(slot, &self.events.outlet);
        // What was read before comes first.
        self.take_rest_written();
        for (channel, output) in last {
            self.take_output(slot, pid, channel, output);
        }
    }

    /// Whether there was anything.
    fn collect_and_understand(&mut self, slot: SlotId) -> bool {
        let collected = self.procs.proc(slot).map(|proc| proc.streams.collect());
        self.understand(slot);
        collected == Some(Collected::Something)
    }

    /// Turns what programs have written into events.
    pub fn take_all_written(&mut self, first: Written) {
        self.take_written(first);
        for _ in 1..PIECES_PER_TURN {
            let Some(written) = self.events.inlet.try_next() else { break };
            self.take_written(written);
        }
        let n_left_out = self.events.inlet.take_left_out();
        if n_left_out > 0 {
            ::log::error!("{n_left_out} pieces of program output came too fast to become events");
        }
    }

    /// What is on its way here would not reach a successor.
    pub fn take_rest_written(&mut self) {
        while let Some(written) = self.events.inlet.try_next() {
            self.take_written(written);
        }
    }

    fn take_written(&mut self, written: Written) {
        let Written { slot, pid, channel, output } = written;
        self.take_output(slot, pid, channel, output);
    }

    fn take_output(&mut self, slot: SlotId, pid: i32, channel: Stream, output: Output) {
        let Output { pieces, receipt } = output;
        let is_event = |output: &StreamOutput| !matches!(output, StreamOutput::Log(_));
        let makes_events = pieces.iter().any(is_event) || self.makes_events(slot, channel);
        for output in pieces {
            let (kind, data) = match output {
                // Of a listener that is not heard any more; see `hear`.
                StreamOutput::Protocol(_) => continue,
                StreamOutput::Communication(data) => (outlet::communication(channel), data),
                StreamOutput::Log(data) => {
                    self.hear_lines(slot, channel, &data);
                    if !self.makes_events(slot, channel) {
                        continue;
                    }
                    (outlet::log(channel), data)
                }
            };
            let Some(proc) = self.procs.proc(slot).filter(|_| self.events.pools.wants(kind)) else {
                continue;
            };
            let (name, group, data) = (&proc.config.name, &proc.group, readable(&data));
            let payload = match kind {
                Kind::LogStdout | Kind::LogStderr => payload::log(name, group, pid, channel.name(), &data),
                _ => payload::communication(name, group, pid, &data),
            };
            self.feed(Input::Publish { kind, payload });
        }
        // A line of which only the beginning has come is nowhere, so a successor has to read it again; unless that would
        // make events twice.
        match receipt {
            // It is in the journal.
            Some(receipt) if makes_events => receipt.acknowledge(),
            Some(receipt) => self.keep_until_heard(slot, channel, receipt),
            None => {}
        }
    }

    /// Whether what a program writes becomes events by its configuration; it may be read for other reasons.
    fn makes_events(&self, slot: SlotId, channel: Stream) -> bool {
        self.procs.proc(slot).is_some_and(|proc| match channel {
            Stream::Stdout => proc.config.stdout.events_enabled,
            Stream::Stderr => proc.config.stderr.events_enabled,
        })
    }

    /// Sends what can be sent now, and ticks if it is time.
    pub fn dispatch_events(&mut self) {
        let secs = clock::wall().secs();
        if self.events.pools.needs_clock(secs) {
            self.feed(Input::Clock { secs });
        }
        let now = clock::monotonic();
        // A listener that cannot be written to is not asked again, so this ends.
        while self.events.pools.can_dispatch(now) {
            self.feed(Input::Dispatch { now });
        }
    }

    /// A member of a group is gone.
    pub fn forget_listener(&mut self, slot: SlotId) {
        if self.events.pools.has(slot) {
            self.feed(Input::RemoveListener { slot });
        }
    }

    /// A process has come to a group that is there already. If that is a pool, the process hears events from now on.
    pub fn add_listener(&mut self, slot: SlotId) {
        let Some(proc) = self.procs.proc(slot).filter(|proc| proc.is_listener) else { return };
        let (pool, name) = (proc.group.to_string(), proc.config.name.to_string());
        self.feed(Input::AddListener { pool, slot, name });
    }

    /// Finds the listeners that an earlier manager had, after a takeover.
    pub fn restore_events(&mut self) {
        let groups: Vec<_> = self.procs.groups().iter().map(|group| Arc::clone(&group.config)).collect();
        for group in groups {
            let GroupKind::EventListener(config) = &group.kind else { continue };
            let slots = self.procs.group(&group.name).map(|group| group.members.clone()).unwrap_or_default();
            // Some may have come or gone just before.
            let heard = self.events.pools.members().find(|(pool, _)| **pool == *group.name);
            let known = if let Some((_, mut heard)) = heard {
                let come = slots.iter().copied().filter(|slot| !heard.contains(slot)).collect::<Vec<_>>();
                heard.retain(|slot| !slots.contains(slot));
                heard.into_iter().for_each(|slot| self.forget_listener(slot));
                come.into_iter().for_each(|slot| self.add_listener(slot));
                true
            } else {
                false
            };
            if !known {
                let name = |slot: &SlotId| Some((*slot, self.procs.proc(*slot)?.config.name.to_string()));
                let listeners = slots.iter().filter_map(name).collect();
                let (pool, config) = (group.name.to_string(), config.clone());
                self.feed(Input::Add { pool, config, listeners });
            }
            for slot in slots {
                let state = self.procs.proc(slot).map_or(ProcessState::Stopped, |proc| proc.state());
                if !known {
                    if let Some(proc) = self.procs.proc(slot) {
                        proc.streams.reset_mailbox();
                    }
                    self.feed(Input::Changed { slot, state });
                }
                self.restore_listener(slot);
            }
        }
        self.events.wanted_changed();
    }
}

impl Daemon {
    /// Goes on where an earlier manager was in its conversation with a listener.
    fn restore_listener(&mut self, slot: SlotId) {
        if let Some((number, bytes)) = self.events.pools.under_way(slot)
            && let Some(proc) = self.procs.proc(slot)
            && proc.process.state.pid().is_some()
            && !proc.streams.restore_delivery(number)
        {
            self.send_event(slot, number, &bytes);
        }
        self.understand(slot);
    }
}

impl Events {
    /// Rebuilds the pools that an earlier manager left with the keeper.
    pub fn recall(&mut self, link: &Link) {
        match Journal::read(link) {
            Ok(Some(pools)) => {
                let server = self.pools.server().to_string();
                self.pools = pools;
                self.pools.rename_server(&server);
                self.begin_journal(link);
            }
            Ok(None) => {}
            Err(error) => ::log::error!("the events of the former manager are lost: {error}"),
        }
    }

    /// Keeps an input for a successor.
    fn write_down(&mut self, input: &Input, link: &Link) {
        match &mut self.journal {
            Some(journal) if journal.is_large() => self.begin_journal(link),
            None if matches!(input, Input::Add { .. }) => self.begin_journal(link),
            _ => {}
        }
        if let Some(Err(error)) = self.journal.as_mut().map(|journal| journal.append(input)) {
            ::log::error!("events are not kept for the next manager: {error}");
            self.journal = None;
        }
    }

    fn begin_journal(&mut self, link: &Link) {
        match Journal::begin(&self.pools, link) {
            Ok(journal) => self.journal = Some(journal),
            Err(error) => ::log::error!("events are not kept for the next manager: {error}"),
        }
    }

    fn wanted_changed(&self) {
        self.outlet.set_wanted(self.pools.wanted());
    }

    /// Changes how this daemon is called in events.
    pub fn rename_server(&mut self, server: &str) {
        self.pools.rename_server(server);
    }

    /// Writes to our standard output, on a thread of its own because nobody may be reading there.
    fn print(&mut self, text: String) {
        if self.printer.is_none() {
            let (printer, texts) = async_channel::bounded::<String>(PRINT_QUEUE);
            let print = move || {
                while let Ok(text) = texts.recv_blocking() {
                    let mut stdout = io::stdout().lock();
                    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
                }
            };
            match std::thread::Builder::new().name("stdout".to_string()).spawn(print) {
                Ok(_) => self.printer = Some(printer),
                Err(error) => return ::log::error!("cannot print to standard output: {error}"),
            }
        }
        if self.printer.as_ref().is_some_and(|printer| printer.try_send(text).is_err()) {
            ::log::debug!("standard output takes nothing, lines of programs were dropped");
        }
    }
}
