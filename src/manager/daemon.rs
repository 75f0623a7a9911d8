//! The loop: waits for the next thing to happen, lets the core decide, does what it decided.
//!
//! Everything that can wake it is a [`Wakeup`]. Nothing in it blocks, and nothing but it changes a process.

use crate::core::process::Event;
use crate::http;
use crate::log::activity;
use crate::manager::answers::Answers;
use crate::manager::boot::Boot;
use crate::manager::events::Events;
use crate::manager::inputs::{Backlog, LoopInputs, Wakeup};
use crate::manager::life::Life;
use crate::manager::life::servers::Servers;
use crate::manager::life::upgrade::{Decision, Upgrade};
use crate::manager::probes::Probes;
use crate::manager::processes::ProcessManager;
use crate::manager::processes::adoption::Adoption;
use crate::manager::processes::dependencies::Dependents;
use crate::manager::processes::info_map::InfoMap;
use crate::manager::processes::memory::Memory;
use crate::manager::processes::trees::Trees;
use crate::manager::processes::update::Updates;
use crate::manager::requests::changes::LastReread;
use crate::manager::requests::views::ProcessListCache;
use crate::manager::saved::InForce;
use crate::manager::spawn::Spawns;
use crate::manager::spawn::cgroups::CgroupEnd;
use crate::manager::spawn::context::SpawnContext;
use crate::manager::spawn::credentials::Credentials;
use crate::manager::spawn::sockets::Sockets;
use crate::manager::state_file::StateFile;
use crate::manager::streams::thrift::Needs;
use crate::model::config::{ActivityLog, Config, Level};
use crate::model::signal::Signal;
use crate::shm::handshake::drain_counter;
use crate::shm::link::{Entry, Link, What};
use crate::sys::{clock, signals};
use futures_lite::FutureExt;
use nix::errno::Errno;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// How many waiting requests are answered before signals and exits are looked at again.
const CALLS_PER_TURN: usize = 64;

/// How many exits and signals are dealt with before requests are looked at again. Programs that end as soon as
/// they are started would otherwise keep the loop busy for ever.
const ENTRIES_PER_TURN: usize = 32;

/// The daemon, as its manager sees it: what it was started with, and its parts, each of which alone writes its fields.
pub struct Daemon {
    /// The connection to the keeper.
    pub link: Arc<Link>,
    /// How the daemon was started.
    pub boot: Boot,
    /// The configuration in force, and what else a successor must know.
    pub in_force: InForce,
    /// Answers that wait until what they say is saved.
    pub answers: Answers,
    /// The table of groups and processes.
    pub procs: ProcessManager,
    /// Whether the daemon runs, or how far its end has come.
    pub life: Life,
    /// What is the same for every program that is created.
    pub spawn_context: Arc<SpawnContext>,
    /// What programs are created with.
    pub spawns: Spawns,
    /// How many descriptors all processes take.
    pub needs: Needs,
    /// What the HTTP side works with: its limits, the change feed, the figures.
    pub http: http::Context,
    /// The HTTP servers that accept clients.
    pub servers: Servers,
    /// Event listeners and their pools.
    pub events: Events,
    /// The listening sockets of programs.
    pub sockets: Sockets,
    /// The credentials of programs.
    pub credentials: Credentials,
    /// The upgrade that was asked for, if any.
    pub upgrade: Upgrade,
    /// The file that says which programs are alive (`processinfomapfile`).
    pub map: InfoMap,
    /// The list of all processes, shared by clients that ask within the same second.
    pub process_list: ProcessListCache,
    /// What processes depend on.
    pub dependents: Dependents,
    /// What is found out about programs: whether they are ready, and well.
    pub probes: Probes,
    /// Programs of a former daemon.
    pub adoption: Adoption,
    /// What programs with a wide `stop_scope` have started.
    pub trees: Trees,
    /// How much memory programs with a `memory_limit` use.
    pub memory: Memory,
    /// Processes that are on their way to another configuration.
    pub updates: Updates,
    /// The file in which what people have changed outlives the daemon.
    pub state_file: StateFile,
    /// What came of the last time when the configuration was read again.
    pub last_reread: LastReread,
}

/// What has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The daemon ends, and the keeper with it unless programs are left running.
    Daemon,
    /// Another one takes over at once.
    Manager,
}

impl Daemon {
    /// Runs until the daemon, or only this manager, is to end.
    pub async fn run(&mut self, inputs: &mut LoopInputs) -> End {
        loop {
            self.link.beat();
            let backlog = self.absorb_ledger();
            for call in std::mem::take(&mut inputs.postponed) {
                self.handle(call);
            }
            for _ in 0..CALLS_PER_TURN {
                let Ok(call) = inputs.calls.try_recv() else { break };
                self.handle(call);
            }
            self.fire_deadlines();
            self.fire_probes();
            self.go_on_sweeping();
            self.measure_memory();
            self.check_pending_spawns();
            self.progress_of_stops();
            self.progress_of_updates();
            if self.progress_of_end() && self.trees.are_swept() {
                return End::Daemon;
            }
            self.dispatch_events();
            self.show_dependents();
            self.save_state_file();
            let saved = self.save();
            let upgrade = if self.is_saved() { self.progress_of_upgrade() } else { Decision::GoOn };
            self.answers.send(saved);
            self.save_map();
            if upgrade == Decision::HandOver {
                return End::Manager;
            }
            if backlog == Backlog::Empty {
                let wakeup = self.wait(inputs).await;
                self.wake(wakeup, inputs);
            }
        }
    }

    fn wake(&mut self, wakeup: Wakeup, inputs: &LoopInputs) {
        match wakeup {
            Wakeup::Ledger => drain_counter(&inputs.doorbell),
            Wakeup::Signal(number) => self.stray_signal(number),
            Wakeup::Deadline | Wakeup::Call(None) | Wakeup::Written(None) | Wakeup::Answered(None) => {}
            Wakeup::Listener => self.hear_listeners(),
            Wakeup::Adopted => self.look_after_adopted(),
            Wakeup::Left => self.hear_of_left_cgroups(),
            Wakeup::Created => self.conclude_pending_spawns(),
            Wakeup::Reported => self.hear_reports(),
            Wakeup::Remembered(written) => self.state_file_written(written),
            Wakeup::Measured(measured) => self.take_measured(measured),
            Wakeup::Answered(Some(answer)) => self.take_answer(answer),
            Wakeup::Written(Some(written)) => self.take_all_written(written),
            Wakeup::Call(Some(call)) => self.handle(call),
        }
    }

    /// Makes room for another manager: accepts nobody any more, and answers those who were accepted. Whoever
    /// comes now waits in the kernel's queue for the successor.
    pub async fn make_room(&mut self, inputs: &mut LoopInputs) {
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
            self.link.beat();
            let Some(wakeup) = done.or(async { Some(self.wait(inputs).await) }).await else { break };
            self.wake(wakeup, inputs);
            self.absorb_ledger();
            self.fire_deadlines();
            self.check_pending_spawns();
            self.save_state_file();
            self.answer_clients();
        }
        // Two that write at the same time could leave the older text.
        self.finish_state_file().await;
        self.answer_clients();
    }

    /// Deals with what the keeper has recorded, in its order, up to [`ENTRIES_PER_TURN`].
    pub fn absorb_ledger(&mut self) -> Backlog {
        self.spawn_together(|daemon| {
            for _ in 0..ENTRIES_PER_TURN {
                let Some(entry) = daemon.link.next_entry() else { return Backlog::Empty };
                let sequence = entry.sequence;
                match entry.what {
                    What::Exit { .. } => daemon.exited(entry),
                    What::Signal(number) if sequence < daemon.link.heeds_from() => {
                        ::log::debug!("ignored signal {number}, which was about the end of the last run");
                    }
                    What::Signal(number)
                        if daemon.may_be_done(sequence) && !signals::asks_for_end(number) =>
                    {
                        ::log::debug!("ignored signal {number}, which may have been obeyed before");
                    }
                    What::Signal(number) => daemon.signalled(number),
                }
                daemon.link.advance_past(sequence);
            }
            Backlog::More
        })
    }

    /// Whether it is unknown if an earlier manager has dealt with the ledger's entry of this number.
    fn may_be_done(&self, sequence: u64) -> bool {
        sequence < self.link.replayed_before()
    }

    fn exited(&mut self, entry: Entry) {
        let What::Exit { status, name } = entry.what else { return };
        let came_later = |slot| self.procs.proc(slot).is_some_and(|proc| proc.spawn_head > entry.sequence);
        if self.may_be_done(entry.sequence) && self.procs.slot_of_pid(entry.pid).is_none_or(came_later) {
            // An earlier program with this pid, or one whose end is known. Of a probe's command nothing is known.
            self.probe_command_ended(entry.pid, status, entry.sequence);
            return;
        }
        self.link.set_known(entry.pid, false);
        // Tests of others wait for this line, and expect what the program wrote before it.
        let announce = || ::log::debug!("received SIGCHLD indicating a child quit");
        if self.abandoned_spawn_ended(entry.pid) {
            announce();
            return ::log::debug!("pid {}, which had been given up, is gone ({status})", entry.pid);
        }
        if self.probe_command_ended(entry.pid, status, entry.sequence) {
            return;
        }
        let Some(slot) = self.procs.release_pid(entry.pid).or_else(|| self.pending_spawn_ended(entry.pid))
        else {
            announce();
            // What a program leaves behind becomes the keeper's child whatever the keeper's pid is. Supervisor collects it as
            // PID 1 only, and only then anybody expects the line.
            let level = if self.link.keeper_pid() == 1 { Level::Info } else { Level::Debug };
            activity::write(level, &format!("reaped unknown pid {} ({status})", entry.pid));
            ::log::debug!("pid {} was called '{name}'", entry.pid);
            // It may have been the last one in its control group.
            self.remove_left_cgroups();
            return;
        };
        // What it wrote last stands in its log, and was heard, before anybody hears of its end.
        self.finish_streams(slot);
        announce();
        let CgroupEnd { oom, hint } = self.end_cgroup(slot, status);
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        let why = proc.end_was_recorded(entry.sequence).or_else(|| oom.clone());
        let reason = oom.or(hint).unwrap_or_default();
        proc.remember_end(entry.pid, status, reason, entry.wall, entry.monotonic);
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

    /// A signal was sent to the manager and not to the daemon. Tools that signal every process of a name
    /// or a control group reach both; the keeper has passed theirs on already.
    fn stray_signal(&self, number: i32) {
        let signal = Signal::from_raw(number);
        ::log::debug!(
            "ignored {signal} to the manager; signals are for the daemon, pid {}",
            self.link.keeper_pid()
        );
    }

    /// Opens the activity log and the logs of all programs anew by their names, as after a rotation by somebody else.
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
}

/// What the system says, without its number.
pub fn in_words(error: &std::io::Error) -> String {
    error
        .raw_os_error()
        .map_or_else(|| error.to_string(), |number| Errno::from_raw(number).desc().to_string())
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
