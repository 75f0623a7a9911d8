//! The loop: waits for the next thing to happen, lets the core decide, does what it decided.
//!
//! Everything that can wake it is in [`Wake`]. Nothing in it blocks, and nothing but it changes a process.

use crate::control::request::Call;
use crate::core::process::{Circumstances, Effect, Event, Reach, StateChange, step};
use crate::http;
use crate::log::activity;
use crate::log::auto;
use crate::log::spec::{Context, StreamSpec};
use crate::manager::answers::Answers;
use crate::manager::boot::{AutoLogs, Boot};
use crate::manager::child::SpawnContext;
use crate::manager::events::Events;
use crate::manager::events::outlet::Written;
use crate::manager::info_map::InfoMap;
use crate::manager::procs::{Proc, ProcessManager, SlotId};
use crate::manager::requests::changes::LastReread;
use crate::manager::requests::views::ProcessListCache;
use crate::manager::requests::waiters::{Waiter, Wants};
use crate::manager::saved::{InForce, Saved};
use crate::manager::servers::Servers;
use crate::manager::shutdown::Life;
use crate::manager::sockets::Sockets;
use crate::manager::spawns::Spawns;
use crate::manager::streams::Specs;
use crate::manager::survivors::Adoption;
use crate::manager::thrift::Needs;
use crate::manager::upgrade::{Decision, Upgrade};
use crate::model::config::{
    ActivityLog, ChildLog, Config, DaemonConfig, GroupConfig, Level, ProcessConfig, StreamConfig,
};
use crate::model::signal::Signal;
use crate::model::stream::Stream;
use crate::model::time::{Monotonic, Wall};
use crate::rt;
use crate::rt::wait;
use crate::shm::handshake::drain_counter;
use crate::shm::link::{Entry, Link, What};
use crate::shm::slots::Owed;
use crate::sys::{clock, process, signals};
use futures_lite::{FutureExt, StreamExt};
use nix::errno::Errno;
use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// How many waiting requests are answered before signals and exits are looked at again.
const CALLS_PER_TURN: usize = 64;

/// How many exits and signals are dealt with before requests are looked at again. Programs that end as soon as
/// they are started would otherwise keep the loop busy for ever.
const ENTRIES_PER_TURN: usize = 32;

/// The daemon, as its manager sees it.
pub struct Daemon {
    pub link: Arc<Link>,
    pub boot: Boot,
    pub in_force: InForce,
    pub answers: Answers,
    pub procs: ProcessManager,
    pub life: Life,
    pub spawn_context: Arc<SpawnContext>,
    pub spawns: Spawns,
    /// How many descriptors all processes take.
    pub needs: Needs,
    pub http: http::Context,
    pub servers: Servers,
    pub events: Events,
    pub sockets: Sockets,
    pub upgrade: Upgrade,
    pub map: InfoMap,
    pub process_list: ProcessListCache,
    pub adoption: Adoption,
    pub last_reread: LastReread,
}

/// What has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Daemon,
    /// Another one takes over at once.
    Manager,
}

/// What ended the loop's waiting.
enum Wake {
    /// The ledger has grown.
    Ledger,
    Call(Option<Call>),
    /// A signal that was sent to the manager itself.
    Signal(i32),
    /// An event listener has written something.
    Listener,
    /// An adopted program has ended.
    Adopted,
    /// A program was created, and nobody waited for it.
    Born,
    /// Somebody's output is to become an event.
    Written(Option<Written>),
    Deadline,
}

/// Whether there may be more in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    None,
    More,
}

/// What the loop listens to.
pub struct Ears {
    pub doorbell: Arc<OwnedFd>,
    pub calls: async_channel::Receiver<Call>,
    pub signals: rt::Signals,
    /// Readable when an event listener has written something.
    pub listeners: Arc<OwnedFd>,
    /// Readable when an adopted program has ended.
    pub adopted: Arc<OwnedFd>,
    /// Calls that came before the loop began, in their order.
    pub postponed: Vec<Call>,
}

impl Daemon {
    /// Runs until the daemon, or only this manager, is to end.
    pub async fn run(&mut self, ears: &mut Ears) -> End {
        loop {
            self.link.pulse();
            let rest = self.absorb_ledger();
            for call in std::mem::take(&mut ears.postponed) {
                self.handle(call);
            }
            for _ in 0..CALLS_PER_TURN {
                let Ok(call) = ears.calls.try_recv() else { break };
                self.handle(call);
            }
            self.fire_deadlines();
            self.look_after_newborns();
            self.progress_of_renewal();
            if self.progress_of_end() {
                return End::Daemon;
            }
            self.dispatch_events();
            let saved = self.save();
            let upgrade = if self.is_saved() { self.progress_of_upgrade() } else { Decision::GoOn };
            self.answers.send(saved);
            self.save_map();
            if upgrade == Decision::HandOver {
                return End::Manager;
            }
            if rest == Rest::None {
                let wake = self.wait(ears).await;
                self.wake(wake, ears);
            }
        }
    }

    fn wake(&mut self, wake: Wake, ears: &Ears) {
        match wake {
            Wake::Ledger => drain_counter(&ears.doorbell),
            Wake::Signal(number) => self.stray_signal(number),
            Wake::Deadline | Wake::Call(None) | Wake::Written(None) => {}
            Wake::Listener => self.hear_listeners(),
            Wake::Adopted => self.look_after_adopted(),
            Wake::Born => self.hear_births(),
            Wake::Written(Some(written)) => self.take_all_written(written),
            Wake::Call(Some(call)) => self.handle(call),
        }
    }

    /// Makes room for another manager: accepts nobody any more, and answers those who were accepted. Whoever
    /// comes now waits in the kernel's queue for the successor.
    pub async fn make_room(&mut self, ears: &mut Ears) {
        self.http.leave();
        self.servers.stop_accepting().await;
        self.answer_upgrade();
        self.answer_clients();
        let http = self.http.clone();
        let mut answered = pin!(http.drain(LAST_ANSWERS_BEFORE_SUCCESSOR));
        loop {
            let done = async {
                answered.as_mut().await;
                None
            };
            self.link.pulse();
            let Some(wake) = done.or(async { Some(self.wait(ears).await) }).await else { return };
            self.wake(wake, ears);
            self.absorb_ledger();
            self.fire_deadlines();
            self.look_after_newborns();
            self.answer_clients();
        }
    }

    async fn wait(&self, ears: &mut Ears) -> Wake {
        debug_assert!(self.answers.are_sent(), "a client waits for as long as the loop sleeps");
        let deadlines = [
            self.procs.next_deadline(),
            self.birth_deadline(),
            self.life.deadline(),
            self.events.deadline(),
            self.map.deadline(),
        ];
        let deadline = deadlines.into_iter().flatten().min();
        let timer = async {
            wait::until(deadline).await;
            Wake::Deadline
        };
        let ledger = async {
            wait::readable(&ears.doorbell).await;
            Wake::Ledger
        };
        let calls = async { Wake::Call(ears.calls.recv().await.ok()) };
        let signals = async { Wake::Signal(ears.signals.next().await.unwrap_or(0)) };
        let listeners = async {
            wait::readable(&ears.listeners).await;
            Wake::Listener
        };
        let adopted = async {
            wait::readable(&ears.adopted).await;
            Wake::Adopted
        };
        let born = async {
            self.spawns.ring().await;
            Wake::Born
        };
        let written = async { Wake::Written(self.events.next_written().await) };
        ledger.or(signals).or(timer).or(listeners).or(adopted).or(born).or(calls).or(written).await
    }

    /// Deals with what the keeper has recorded, in its order, up to [`ENTRIES_PER_TURN`].
    pub fn absorb_ledger(&mut self) -> Rest {
        self.spawn_together(|daemon| {
            for _ in 0..ENTRIES_PER_TURN {
                let Some(entry) = daemon.link.next_entry() else { return Rest::None };
                let sequence = entry.sequence;
                match entry.what {
                    What::Exit { .. } => daemon.exited(entry),
                    What::Signal(number) if sequence < daemon.link.heeds_from() => {
                        ::log::debug!("ignored signal {number}, which was about the end of the last run");
                    }
                    What::Signal(number) if daemon.may_be_done(sequence) && !asks_for_end(number) => {
                        ::log::debug!("ignored signal {number}, which may have been obeyed before");
                    }
                    What::Signal(number) => daemon.signalled(number),
                }
                daemon.link.advance_past(sequence);
            }
            Rest::More
        })
    }

    /// Whether it is unknown if an earlier manager has dealt with the ledger's entry of this number.
    fn may_be_done(&self, sequence: u64) -> bool {
        sequence < self.link.replayed_before()
    }

    fn exited(&mut self, entry: Entry) {
        let What::Exit { status, name } = entry.what else { return };
        let came_later = |slot| self.procs.proc(slot).is_some_and(|proc| proc.born_at > entry.sequence);
        if self.may_be_done(entry.sequence) && self.procs.slot_of_pid(entry.pid).is_none_or(came_later) {
            // An earlier program with this pid, or one whose end is known.
            return;
        }
        self.link.set_known(entry.pid, false);
        // Tests of others wait for this line, and expect what the program wrote before it.
        let announce = || ::log::debug!("received SIGCHLD indicating a child quit");
        if self.doomed_ended(entry.pid) {
            announce();
            return ::log::debug!("pid {}, which had been given up, is gone ({status})", entry.pid);
        }
        let Some(slot) = self.procs.release_pid(entry.pid).or_else(|| self.newborn_ended(entry.pid)) else {
            announce();
            ::log::info!("reaped unknown pid {} ({status})", entry.pid);
            ::log::debug!("pid {} was called '{name}'", entry.pid);
            return;
        };
        // What it wrote last stands in its log, and was heard, before anybody hears of its end.
        self.finish_streams(slot);
        announce();
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        let why = proc.end_was_recorded(entry.sequence);
        proc.remember_end(entry.pid, status, entry.wall, entry.monotonic);
        self.apply_at(slot, Event::Exited { status, why }, entry.monotonic, entry.wall);
    }

    /// A signal that was sent to the daemon, that is, to the keeper.
    fn signalled(&mut self, number: i32) {
        let signal = Signal::from_raw(number);
        match signal {
            Signal::TERM | Signal::INT | Signal::QUIT => {
                ::log::warn!("received {signal} indicating exit request");
                self.begin_shutdown();
                self.count_exit_request();
            }
            Signal::HUP if !self.life.is_running() => {
                ::log::warn!("ignored {signal} indicating restart request (shutdown in progress)");
            }
            Signal::HUP => {
                ::log::warn!("received {signal} indicating restart request");
                if let Err(problem) = self.begin_restart() {
                    crate::crit!("cannot restart, the old configuration stays in force: {problem}");
                }
            }
            Signal::USR2 => {
                ::log::info!("received {signal} indicating log reopen request");
                self.reopen_logs();
            }
            Signal::USR1 => {
                ::log::warn!("received {signal} indicating upgrade request");
                self.begin_upgrade(None, None);
            }
            _ => ::log::info!("received {signal}, which means nothing here"),
        }
    }

    /// Somebody sent a signal to the manager and not to the daemon. Tools that signal every process of a name
    /// or a control group reach both; the keeper has passed theirs on already.
    fn stray_signal(&self, number: i32) {
        let signal = Signal::from_raw(number);
        ::log::debug!(
            "ignored {signal} to the manager; signals are for the daemon, pid {}",
            self.link.keeper_pid()
        );
    }

    pub fn reopen_logs(&mut self) {
        match &self.in_force.config().supervisord.logfile {
            // Something else stands in for it.
            ActivityLog::File(path) if activity::path().as_ref() != Some(path) => self.set_up_activity_log(),
            _ => activity::reopen(),
        }
        ::log::info!("supervisord logreopen");
        for (_, proc) in self.procs.all() {
            proc.streams.reopen();
        }
    }

    fn fire_deadlines(&mut self) {
        let now = clock::monotonic();
        self.spawn_together(|daemon| {
            while let Some(slot) = daemon.procs.due(now) {
                let before = daemon.procs.next_deadline();
                daemon.apply(slot, Event::Tick);
                if daemon.procs.due(now) == Some(slot) && daemon.procs.next_deadline() == before {
                    daemon.procs.drop_deadline(slot);
                }
            }
        });
    }

    /// Lets a process take one event, now.
    pub fn apply(&mut self, slot: SlotId, event: Event) {
        self.apply_at(slot, event, clock::monotonic(), clock::wall());
    }

    fn apply_at(&mut self, slot: SlotId, event: Event, now: Monotonic, wall: Wall) {
        if matches!(event, Event::Stop | Event::ShutDown) {
            // It may run by now, and then it is to be asked.
            self.hear_birth(slot);
        }
        let may_start = self.life.may_start();
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        let config = Arc::clone(&proc.config);
        // Of our own children nobody gets the number before they are collected.
        let may_have_stragglers = !(proc.origin.adopted && matches!(event, Event::Exited { .. }))
            || self.adoption.leads_anybody(slot);
        let at = Circumstances { now, wall, may_start, may_have_stragglers };
        let ended = match &event {
            Event::Exited { status, .. } => Some(*status),
            _ => None,
        };
        let (process, effects) = step(proc.process.clone(), event, &config, at);
        self.procs.replace(slot, process);
        let (mut changes, mut owed) = (Vec::new(), Owed::default());
        // Said before it is committed: after a crash in between it is said twice rather than never.
        for effect in &effects {
            match effect {
                Effect::Log(level, text) => activity::write(*level, text),
                Effect::Publish(change) => {
                    self.announce(slot, *change);
                    changes.push(*change);
                }
                Effect::Kill { signal, reach, .. } => owed.signal = Some((*signal, *reach)),
                Effect::KillStragglers { .. } => owed.kill_stragglers = true,
                // Before it is committed: after a crash in between it is started again rather than running unknown.
                Effect::Abandon => self.abandon(slot),
                Effect::Spawn => {}
            }
        }
        self.commit_owing(slot, owed);
        self.show_changes(slot, &changes, now, wall);
        for effect in effects {
            match effect {
                Effect::Log(..) | Effect::Abandon => {}
                Effect::Publish(change) => self.publish(slot, change),
                // Committed before: after a crash in between it is sent twice rather than never.
                Effect::Kill { pid, signal, reach } => {
                    self.kill(slot, pid, signal, reach);
                    self.link.settle(slot);
                }
                Effect::KillStragglers { pid } => {
                    kill_stragglers(&config.name, pid, now);
                    self.link.settle(slot);
                }
                Effect::Spawn => self.spawn(slot),
            }
        }
        self.disappoint_waiters(slot);
        self.check_exit_condition(slot, &changes, ended);
    }

    /// Publishes a process' state to the memory that survives this manager.
    pub fn commit(&mut self, slot: SlotId) {
        self.commit_owing(slot, Owed::default());
    }

    /// The same, with what is about to be done because of it.
    fn commit_owing(&mut self, slot: SlotId, owed: Owed) {
        if let Some(proc) = self.procs.proc(slot) {
            let counts = (proc.starts, proc.applied);
            self.link.commit_owing(slot, &proc.process, proc.origin, counts, owed);
        }
        self.note(slot);
        self.save_map_in_long_turn();
    }

    fn publish(&mut self, slot: SlotId, change: StateChange) {
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        for mut waiter in proc.take_waiters(|_| true) {
            match waiter.sees(change.to) {
                Some(outcome) => waiter.answer(outcome, &mut self.answers),
                None => proc.wait(waiter),
            }
        }
    }

    /// Answers those who wait for a start that a later stop has withdrawn.
    fn disappoint_waiters(&mut self, slot: SlotId) {
        use crate::core::process::State;
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        if !proc.has_waiters() || matches!(proc.process.state, State::Stopping { start_after: true, .. }) {
            return;
        }
        let withdrawn = |waiter: &mut Waiter| waiter.wants == Wants::UpAfterStop;
        proc.take_waiters(withdrawn).into_iter().for_each(|waiter| waiter.give_up(&mut self.answers));
    }

    /// Does what the former manager had decided and may not have done.
    pub fn do_owed(&mut self, slot: SlotId, owed: Owed, last_pid: i32) {
        let Some(proc) = self.procs.proc(slot) else { return };
        if owed.kill_stragglers {
            let age = Duration::from_nanos(clock::wall().0.saturating_sub(proc.process.stop.0));
            kill_stragglers(&proc.config.name, last_pid, clock::monotonic() - age);
        }
        if let (Some((signal, reach)), Some(pid)) = (owed.signal, proc.process.state.pid()) {
            self.kill(slot, pid, signal, reach);
        }
        if owed != Owed::default() {
            self.link.settle(slot);
        }
    }

    fn kill(&mut self, slot: SlotId, pid: i32, signal: Signal, reach: Reach) {
        let Err(error) = self.send_signal(slot, pid, signal, reach) else { return };
        if error.raw_os_error() == Some(libc::ESRCH) {
            let name = self.procs.proc(slot).map_or("", |proc| &proc.config.name);
            ::log::debug!(
                "unable to signal {name} (pid {pid}), it probably just exited on its own: [Errno 3] No such process"
            );
        } else {
            if let Some(proc) = self.procs.proc_mut(slot) {
                proc.signal_refused(in_words(&error));
            }
            self.apply(slot, Event::SignalFailed(error.to_string()));
        }
    }

    /// Adds a group and starts what is to start by itself.
    ///
    /// # Errors
    /// There are as many processes as there can be, or one of the group's sockets cannot be made.
    pub fn add_group(&mut self, config: &Arc<GroupConfig>) -> Result<(), String> {
        if let Err(error) = self.sockets.open_for(config, &self.link) {
            self.sockets.close_group(&config.name, &self.link);
            return Err(error.to_string());
        }
        let mut members = Vec::with_capacity(config.processes.len());
        for process in &config.processes {
            let Some(slot) = self.procs.unused_slot() else {
                members.into_iter().for_each(|(slot, _)| self.procs.release_slot(slot));
                return Err(format!(
                    "there are {} processes, more cannot be supervised",
                    crate::shm::layout::SLOTS
                ));
            };
            let logs = create_auto_logs(&self.in_force.config().supervisord, process);
            members.push((slot, Proc::new(Arc::clone(process), config, logs)));
        }
        for (slot, proc) in &members {
            self.link.open_slot(*slot, &proc.group, &proc.config.name, proc.config.autostart);
            self.link.set_stop(*slot, &proc.config, config.priority);
        }
        for (_, proc) in &members {
            self.count_in(&proc.config, proc.is_listener);
        }
        self.procs.add_group(Arc::clone(config), members);
        self.reckon_descriptors();
        self.announce_group(config);
        self.show_group(&config.name);
        Ok(())
    }

    /// Starts those members of a group that are to start by themselves, the most urgent first. Whoever takes over after
    /// a crash has to know the group before its programs run.
    pub fn autostart(&mut self, group: &str, saved: &Saved) {
        self.autostart_except(group, &HashSet::new(), saved);
    }

    /// The same without those that are to stay at rest.
    pub fn autostart_except(&mut self, group: &str, at_rest: &HashSet<SlotId>, _: &Saved) {
        let Some(group) = self.procs.group(group) else { return };
        let mut slots: Vec<(i64, SlotId)> = group
            .members
            .iter()
            .filter_map(|slot| self.procs.proc(*slot).map(|proc| (*slot, proc)))
            .filter(|(slot, proc)| proc.config.autostart && !at_rest.contains(slot))
            .map(|(slot, proc)| (proc.config.priority, slot))
            .collect();
        // Stable: equal priorities start in the order of the configuration.
        slots.sort_by_key(|(priority, _)| *priority);
        self.spawn_together(|daemon| {
            for (_, slot) in slots {
                daemon.apply(slot, Event::Start);
            }
        });
    }

    /// Takes out a group that is at rest.
    pub fn remove_group(&mut self, name: &str) {
        for slot in self.last_first(name) {
            self.end_pause(slot);
        }
        let Some((_, procs)) = self.procs.remove_group(name) else { return };
        self.forget_pool(name);
        self.sockets.close_group(name, &self.link);
        // First out of what a successor would restore, then out of the slots.
        let saved = self.save();
        procs.into_iter().for_each(|(slot, proc)| self.let_go(slot, proc, &saved));
    }

    /// Takes out one process that is at rest; its group, too, if it was the last one.
    pub fn remove_member(&mut self, group: &str, name: &str) {
        if self.procs.group(group).is_some_and(|group| group.members.len() == 1) {
            return self.remove_group(group);
        }
        if let Some(slot) = self.procs.member(group, name) {
            self.end_pause(slot);
        }
        let Some((slot, proc)) = self.procs.remove_member(group, name) else { return };
        self.forget_listener(slot);
        let saved = self.save();
        self.let_go(slot, proc, &saved);
    }

    /// Whoever is taken out is not started again.
    fn end_pause(&mut self, slot: SlotId) {
        self.apply(slot, Event::ShutDown);
    }

    fn let_go(&mut self, slot: SlotId, mut proc: Proc, _: &Saved) {
        self.http.feed().tell_removed(&proc.group, &proc.config.name);
        self.unnote(slot);
        self.count_out(&proc.config, proc.is_listener);
        proc.streams.finish();
        proc.streams.close(slot, &self.link);
        self.link.free_slot(slot);
    }
}

/// Whether a signal asks the daemon to end.
fn asks_for_end(number: i32) -> bool {
    matches!(Signal::from_raw(number), Signal::TERM | Signal::INT | Signal::QUIT)
}

/// What the two outputs of a process become.
pub fn stream_specs(proc: &Proc, strip_ansi: bool) -> Specs {
    let spec = |channel, auto: &Option<PathBuf>| {
        let context =
            Context { group: &proc.group, auto: auto.as_deref(), strip_ansi, listener: proc.is_listener };
        StreamSpec::new(&proc.config, channel, context)
    };
    Specs {
        stdout: spec(Stream::Stdout, &proc.logs.stdout),
        stderr: (!proc.config.redirect_stderr).then(|| spec(Stream::Stderr, &proc.logs.stderr)),
    }
}

/// Makes up the files that stand for `AUTO`. A stream without one goes nowhere, and the log says so.
fn create_auto_logs(config: &DaemonConfig, process: &ProcessConfig) -> AutoLogs {
    let create = |stream, target: &StreamConfig| {
        if target.logfile != ChildLog::Auto {
            return None;
        }
        auto::create(&config.childlogdir, &process.name, stream, &config.identifier)
            .inspect_err(|error| {
                let directory = config.childlogdir.display();
                ::log::error!("could not create a log for '{}' in {directory}: {error}", process.name);
            })
            .ok()
    };
    AutoLogs {
        stdout: create(Stream::Stdout, &process.stdout),
        stderr: if process.redirect_stderr { None } else { create(Stream::Stderr, &process.stderr) },
    }
}

/// What the system says, without its number.
pub fn in_words(error: &std::io::Error) -> String {
    error
        .raw_os_error()
        .map_or_else(|| error.to_string(), |number| Errno::from_raw(number).desc().to_string())
}

/// Kills what a program with `killasgroup`, which ended at `ended`, left behind in its process group, and says whom.
fn kill_stragglers(name: &str, leader: i32, ended: Monotonic) {
    // Signal 0 asks whether the group has any member; the search below is for the rare case that it has.
    if signals::send_group(leader, Signal::from_raw(0)).is_err() {
        return;
    }
    for straggler in process::left_behind(leader, ended) {
        ::log::warn!(
            "killing '{}' ({}) with SIGKILL, left behind in the process group of '{name}'",
            straggler.name,
            straggler.pid
        );
        straggler.kill(leader);
    }
}

/// Writes what came up before there was an activity log, the worst first.
pub fn flush_messages(config: &Config) {
    let mut messages = config.messages.clone();
    messages.sort_by_key(|message| std::cmp::Reverse(message.level.max(Level::Info)));
    for message in messages {
        activity::write(message.level, &message.text);
    }
}

/// How long answers may take before another manager takes over. Clients of idle connections wait as long.
const LAST_ANSWERS_BEFORE_SUCCESSOR: Duration = Duration::from_millis(15);

/// How long answers may take to leave before the daemon ends.
pub const LAST_ANSWERS: Duration = Duration::from_millis(500);
