//! The life of one process, as a pure function.
//!
//! ```text
//!                 Start                      up for startsecs
//!   STOPPED ───────────────► STARTING ───────────────────────► RUNNING
//!      ▲  ▲                   │  ▲ │ └── Stop ──► STOPPING ◄── Stop ─┘ │
//!      │  │   spawn failed or │  │ │ (exits        │                  │ exits
//!      │  │ exits too quickly ▼  │ │  after        │ exits            ▼
//!      │  └─ Stop ────────── BACKOFF │  startsecs)  ▼               EXITED ──► STARTING (autorestart)
//!      │                      │      └────────────► ...
//!      │                      │ too many failures
//!      │                      ▼
//!      └── STOPPING        FATAL
//! ```
//!
//! The happy path: `Start` makes it STARTING and asks for a [`Effect::Spawn`]; the answer is [`Event::Spawned`]; once
//! it has stayed up for `startsecs` the [`Event::Tick`] at its deadline makes it RUNNING. `Stop` makes it STOPPING and
//! sends the stop signal; its exit makes it STOPPED, or STARTING again if somebody asked for a start meanwhile.
//!
//! No process is started automatically twice within a second. A program that ends sooner stays EXITED until
//! [`LEAST_START_INTERVAL`] has passed since its start; `Stop` makes it STOPPED meanwhile. A `Start` that somebody asks
//! for does not wait. The original has this pace because its loop turns once a second.
//!
//! The rules are those of Supervisor's `process.py` (`transition`, `spawn`, `finish`, `kill`), with three exceptions:
//! the moment of the exit decides what is "too quickly", a stop during BACKOFF resets the count of failures, and
//! SIGKILL is not repeated more often than once a second.

use crate::model::config::{Autorestart, Level, ProcessConfig};
use crate::model::exit::ExitStatus;
use crate::model::signal::Signal;
use crate::model::state::ProcessState;
use crate::model::time::{Monotonic, Wall};
use std::time::Duration;

/// A process number of the kernel.
pub type Pid = i32;

/// The text of `spawnerr` after an exit before `startsecs` were over.
pub const EXITED_TOO_QUICKLY: &str = "Exited too quickly (process log may have details)";

/// SIGKILL is repeated with the period of `stopwaitsecs`, but not faster than this.
const LEAST_KILL_INTERVAL: Duration = Duration::from_secs(1);

/// In [`State::Stopping`]: nothing follows but SIGKILL again. No list of signals is as long.
pub const KILLED: u8 = u8::MAX;

/// What is started by itself is not started sooner than this after its last start. The pauses of BACKOFF are longer.
pub const LEAST_START_INTERVAL: Duration = Duration::from_secs(1);

/// Where one process is in its life. A variant holds what is true only there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It was stopped, or has not been started yet.
    Stopped,
    /// `pid` is `None` only between [`Effect::Spawn`] and its answer, which may take seconds where somebody holds up
    /// the creation of the program. RUNNING once `up_at` has come.
    Starting {
        /// The kernel's number of it.
        pid: Option<Pid>,
        /// The end of `startsecs`.
        up_at: Monotonic,
    },
    /// It has been up for `startsecs`. Only its end or a `Stop` changes that.
    Running {
        /// The kernel's number of it.
        pid: Pid,
    },
    /// Tried again at `retry_at`.
    Backoff {
        /// The end of the pause, which is one second longer with each failure.
        retry_at: Monotonic,
    },
    /// The next stop signal at `kill_at`, or SIGKILL if `then` is past the last of `stopsignal_then`. `start_after` remembers
    /// a start that was asked for meanwhile.
    Stopping {
        /// The kernel's number of it.
        pid: Pid,
        /// The end of the present `stopwaitsecs`.
        kill_at: Monotonic,
        /// Whether it is STARTING again once it has ended.
        start_after: bool,
        /// How many of `stopsignal_then` were sent; [`KILLED`] after SIGKILL.
        then: u8,
    },
    /// Started again at `start_at`, if that is set; else at rest.
    Exited {
        /// When another start by itself is allowed: [`LEAST_START_INTERVAL`] after the last one.
        start_at: Option<Monotonic>,
    },
    /// It failed more than `startretries` times in a row. Only a `Start` changes that.
    Fatal,
    /// A signal could not be sent, so nobody knows whether it will end.
    Unknown {
        /// The number of the process that did not take the signal.
        pid: Pid,
    },
}

impl State {
    /// The name of this state for clients.
    pub fn kind(&self) -> ProcessState {
        match self {
            State::Stopped => ProcessState::Stopped,
            State::Starting { .. } => ProcessState::Starting,
            State::Running { .. } => ProcessState::Running,
            State::Backoff { .. } => ProcessState::Backoff,
            State::Stopping { .. } => ProcessState::Stopping,
            State::Exited { .. } => ProcessState::Exited,
            State::Fatal => ProcessState::Fatal,
            State::Unknown { .. } => ProcessState::Unknown,
        }
    }

    /// The process that is alive in this state.
    pub fn pid(&self) -> Option<Pid> {
        match self {
            State::Starting { pid, .. } => *pid,
            State::Running { pid } | State::Stopping { pid, .. } | State::Unknown { pid } => Some(*pid),
            State::Stopped | State::Backoff { .. } | State::Exited { .. } | State::Fatal => None,
        }
    }

    /// When [`step`] next needs a [`Event::Tick`]; `None` if only another event can change this state.
    pub fn deadline(&self) -> Option<Monotonic> {
        match self {
            State::Starting { pid: Some(_), up_at } => Some(*up_at),
            State::Backoff { retry_at } => Some(*retry_at),
            State::Stopping { kill_at, .. } => Some(*kill_at),
            State::Exited { start_at } => *start_at,
            State::Starting { pid: None, .. }
            | State::Stopped
            | State::Running { .. }
            | State::Fatal
            | State::Unknown { .. } => None,
        }
    }

    /// Whether something runs, or will by itself: only then is there anything to stop.
    pub fn is_active(&self) -> bool {
        match self {
            State::Starting { .. }
            | State::Running { .. }
            | State::Backoff { .. }
            | State::Stopping { .. } => true,
            State::Exited { start_at } => start_at.is_some(),
            State::Stopped | State::Fatal | State::Unknown { .. } => false,
        }
    }
}

/// One process: its state and what is remembered across states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Where it is in its life, with what is true only there.
    pub state: State,
    /// Failed starts in a row; Supervisor's `backoff`.
    pub failures: u32,
    /// When the last start was tried; never if 0.
    pub started: Monotonic,
    /// The same moment on the wall clock, for people; never if 0.
    pub start: Wall,
    /// When it last ended; never if 0. A new start leaves it alone.
    pub stop: Wall,
    /// How it last ended; `None` while it runs and after a failed start.
    pub exit: Option<ExitStatus>,
    /// What went wrong at the last start or exit; empty if nothing did.
    pub spawnerr: String,
}

impl Default for Process {
    fn default() -> Process {
        Process {
            state: State::Stopped,
            failures: 0,
            started: Monotonic(0),
            start: Wall(0),
            stop: Wall(0),
            exit: None,
            spawnerr: String::new(),
        }
    }
}

/// What can happen to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants it up: a client, or `autostart`.
    Start,
    /// Somebody wants it down.
    Stop,
    /// The daemon ends, and it is this process' turn.
    ShutDown,
    /// Do not wait for the rest of the grace period: send SIGKILL now.
    Escalate,
    /// The answer to [`Effect::Spawn`].
    Spawned(Pid),
    /// The same after it was held up for so long that the loop did not wait for it: it starts only now.
    SpawnedLate(Pid),
    /// The other answer to [`Effect::Spawn`]: nothing was created, or what was created was given up.
    SpawnFailed(String),
    /// A former daemon's program was found alive. `started` and `start` are the moment of its start.
    Adopted {
        /// The kernel's number of it.
        pid: Pid,
        /// On the monotonic clock.
        started: Monotonic,
        /// On the wall clock.
        start: Wall,
    },
    /// The kernel reported its end, at the moment of `now`. `why` names what failed between its creation and
    /// its first instruction.
    Exited {
        /// What the kernel reported of it.
        status: ExitStatus,
        /// A sentence for `spawnerr`; `None` if it was executed.
        why: Option<String>,
    },
    /// A signal could not be sent, for another reason than that it is gone.
    SignalFailed(String),
    /// Its deadline has come.
    Tick,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Effect {
    /// Create it, and answer with [`Event::Spawned`], [`Event::SpawnedLate`] or [`Event::SpawnFailed`].
    Spawn,
    /// The start that [`Effect::Spawn`] asked for is no longer wanted: make sure that the program never runs, and do not
    /// answer.
    Abandon,
    /// Send a signal. If that fails although the process is there, answer with [`Event::SignalFailed`].
    Kill {
        /// The process, or the process group that it leads.
        pid: Pid,
        /// A stop signal, or SIGKILL.
        signal: Signal,
        /// Whether its whole process group gets it.
        reach: Reach,
    },
    /// Kill what its leader left behind in the process group `pid`.
    KillStragglers {
        /// The number of the leader that has ended.
        pid: Pid,
    },
    /// Write this line to the activity log.
    Log(Level, String),
    /// Tell clients and listeners of a change.
    Publish(StateChange),
}

/// Whom a signal is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The process alone.
    Process,
    /// Every member of the process group that it leads.
    ProcessGroup,
}

/// A change of state, with the values that belong to it at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The state that was left.
    pub from: ProcessState,
    /// The state that was entered.
    pub to: ProcessState,
    /// 0 if there is no process.
    pub pid: Pid,
    /// Failed starts so far, this one included.
    pub tries: u32,
    /// Whether an exit was expected.
    pub expected: bool,
}

/// The moment and the circumstances of a step.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The moment of the event, for deadlines.
    pub now: Monotonic,
    /// The same moment on the wall clock, for what is shown.
    pub wall: Wall,
    /// False once the daemon is on its way down: nothing is started any more.
    pub may_start: bool,
    /// False if nobody is left in the process group of a program that has ended and that somebody else has collected:
    /// the group's number may be another's by now.
    pub may_have_stragglers: bool,
}

/// Advances one process by one event. The only place where a state changes.
pub fn step(
    process: Process,
    event: Event,
    config: &ProcessConfig,
    at: Circumstances,
) -> (Process, Vec<Effect>) {
    let mut step = Step { process, config, at, effects: Vec::new() };
    step.run(event);
    (step.process, step.effects)
}

/// A step under way.
struct Step<'a> {
    process: Process,
    config: &'a ProcessConfig,
    at: Circumstances,
    effects: Vec<Effect>,
}

impl Step<'_> {
    /// The table: every state against every event.
    fn run(&mut self, event: Event) {
        use State::*;
        match (self.process.state.clone(), event) {
            (Stopped | Exited { .. } | Fatal, Event::Start) => self.spawn(),
            (Stopping { pid, kill_at, then, .. }, Event::Start) => {
                self.process.state = Stopping { pid, kill_at, start_after: true, then };
            }
            // It is up or on its way, or nobody knows whether it still runs.
            (Starting { .. } | Running { .. } | Backoff { .. } | Unknown { .. }, Event::Start) => {}

            (Starting { pid: Some(pid), .. } | Running { pid }, Event::Stop | Event::ShutDown) => {
                self.stop(pid)
            }
            // It has not run one instruction of its own.
            (Starting { pid: None, .. }, Event::Stop | Event::ShutDown) => self.abandon(),
            (Backoff { .. }, Event::Stop) => self.stop_backoff(),
            (Exited { start_at: Some(_) }, Event::Stop) => self.stop_pause(),
            // It stays what it is, and is not started again.
            (Exited { start_at: Some(_) }, Event::ShutDown) => self.process.state = Exited { start_at: None },
            // BACKOFF -> FATAL: as in Supervisor, process.py, give_up(), which says nothing.
            (Backoff { .. }, Event::ShutDown) => {
                self.process.stop = self.at.wall;
                self.give_up();
            }
            // The last word counts: this stop withdraws a start that was waiting.
            (Stopping { pid, kill_at, then, .. }, Event::Stop | Event::ShutDown) => {
                self.process.state = Stopping { pid, kill_at, start_after: false, then };
            }
            (Stopped | Exited { start_at: None } | Fatal | Unknown { .. }, Event::Stop | Event::ShutDown) => {
            }

            (Stopping { pid, start_after, .. }, Event::Escalate) => self.kill(pid, start_after),
            // There is no grace period that could end.
            (
                Stopped
                | Starting { .. }
                | Running { .. }
                | Backoff { .. }
                | Exited { .. }
                | Fatal
                | Unknown { .. },
                Event::Escalate,
            ) => {}

            (Starting { pid: None, up_at }, Event::Spawned(pid)) => self.spawned(pid, up_at),
            (Starting { pid: None, .. }, Event::SpawnedLate(pid)) => self.spawned_late(pid),
            (Starting { pid: None, .. }, Event::SpawnFailed(why)) => {
                self.log(Level::Info, format!("spawnerr: {why}"));
                self.back_off(0, why);
            }

            (Stopped | Exited { .. } | Fatal, Event::Adopted { pid, started, start }) => {
                self.adopt(pid, started, start);
            }

            (Starting { pid: Some(pid), .. }, Event::Exited { status, why }) => {
                self.exited_while_starting(pid, status, why);
            }
            (Running { pid }, Event::Exited { status, why }) => self.exited(pid, status, why),
            (Stopping { pid, start_after, .. }, Event::Exited { status, .. }) => {
                self.stopped(pid, status, start_after);
            }
            (Unknown { pid }, Event::Exited { status, .. }) => self.stopped(pid, status, false),

            (
                Starting { pid: Some(pid), .. } | Running { pid } | Stopping { pid, .. },
                Event::SignalFailed(why),
            ) => {
                let name = &self.config.name;
                self.effects.push(Effect::Log(
                    Level::Critical,
                    format!("unknown problem killing {name} ({pid}):{why}"),
                ));
                self.change(Unknown { pid }, pid);
            }

            (Starting { pid: Some(pid), up_at }, Event::Tick) if self.at.now >= up_at => self.up(pid),
            (Backoff { retry_at }, Event::Tick) if self.at.now >= retry_at && self.at.may_start => {
                self.spawn()
            }
            (Exited { start_at: Some(start_at) }, Event::Tick)
                if self.at.now >= start_at && self.at.may_start =>
            {
                self.spawn()
            }
            (Stopping { pid, kill_at, start_after, then }, Event::Tick) if self.at.now >= kill_at => {
                self.insist(pid, start_after, then);
            }
            // Too early, or nothing to wait for.
            (
                Stopped
                | Starting { .. }
                | Running { .. }
                | Backoff { .. }
                | Stopping { .. }
                | Exited { .. }
                | Fatal
                | Unknown { .. },
                Event::Tick,
            ) => {}

            // These would be answers to questions nobody asked: only a live process can exit or fail to take a
            // signal, and only one at rest can get a program.
            (
                Stopped
                | Starting { pid: Some(_), .. }
                | Running { .. }
                | Backoff { .. }
                | Stopping { .. }
                | Exited { .. }
                | Fatal
                | Unknown { .. },
                Event::Spawned(_) | Event::SpawnedLate(_) | Event::SpawnFailed(_),
            )
            | (
                Stopped | Starting { pid: None, .. } | Backoff { .. } | Exited { .. } | Fatal,
                Event::Exited { .. } | Event::SignalFailed(_),
            )
            | (Unknown { .. }, Event::SignalFailed(_))
            | (
                Starting { .. } | Running { .. } | Backoff { .. } | Stopping { .. } | Unknown { .. },
                Event::Adopted { .. },
            ) => {}
        }
    }

    /// STOPPED, EXITED, FATAL or BACKOFF -> STARTING.
    fn spawn(&mut self) {
        if !self.at.may_start {
            return;
        }
        self.process.started = self.at.now;
        self.process.start = self.at.wall;
        self.process.exit = None;
        self.process.spawnerr.clear();
        let up_at = self.at.now + self.config.startsecs;
        self.change(State::Starting { pid: None, up_at }, 0);
        self.effects.push(Effect::Spawn);
    }

    fn spawned(&mut self, pid: Pid, up_at: Monotonic) {
        self.process.state = State::Starting { pid: Some(pid), up_at };
        self.log(Level::Info, format!("spawned: '{}' with pid {pid}", self.config.name));
        if self.config.startsecs.is_zero() {
            self.up(pid);
        }
    }

    /// What held it up is not to count as having stayed up.
    fn spawned_late(&mut self, pid: Pid) {
        self.process.started = self.at.now;
        self.process.start = self.at.wall;
        self.spawned(pid, self.at.now + self.config.startsecs);
    }

    /// STARTING -> STOPPING -> STOPPED at once: there is no program yet that could take a signal.
    fn abandon(&mut self) {
        self.log(Level::Debug, format!("Attempted to kill {}, which does not run yet.", self.config.name));
        self.effects.push(Effect::Abandon);
        self.change(State::Stopping { pid: 0, kill_at: self.at.now, start_after: false, then: 0 }, 0);
        self.process.failures = 0;
        self.process.stop = self.at.wall;
        self.change(State::Stopped, 0);
    }

    /// STOPPED, EXITED or FATAL -> RUNNING, without a start.
    fn adopt(&mut self, pid: Pid, started: Monotonic, start: Wall) {
        self.process.started = started;
        self.process.start = start;
        self.process.exit = None;
        self.process.spawnerr.clear();
        self.change(State::Running { pid }, pid);
        self.log(Level::Info, format!("adopted: '{}' with pid {pid}", self.config.name));
    }

    /// STARTING -> RUNNING: it has stayed up for long enough.
    fn up(&mut self, pid: Pid) {
        self.process.failures = 0;
        self.change(State::Running { pid }, pid);
        self.log(
            Level::Info,
            format!(
                "success: {} entered RUNNING state, process has stayed up for > than {} seconds (startsecs)",
                self.config.name,
                self.config.startsecs.as_secs()
            ),
        );
    }

    /// STARTING -> BACKOFF, and on to FATAL after too many failures in a row.
    ///
    /// The waits grow by a second each time: 1, 2, 3 …
    fn back_off(&mut self, pid: Pid, why: String) {
        self.process.failures = self.process.failures.saturating_add(1);
        self.process.spawnerr = why;
        let retry_at = self.at.now + Duration::from_secs(u64::from(self.process.failures));
        self.change(State::Backoff { retry_at }, pid);
        if self.process.failures > self.config.startretries {
            self.give_up();
            self.log(
                Level::Info,
                format!(
                    "gave up: {} entered FATAL state, too many start retries too quickly",
                    self.config.name
                ),
            );
        }
    }

    /// BACKOFF -> FATAL.
    fn give_up(&mut self) {
        self.process.failures = 0;
        self.change(State::Fatal, 0);
    }

    /// STARTING or RUNNING -> STOPPING.
    fn stop(&mut self, pid: Pid) {
        let signal = self.config.stopsignal;
        let reach = reach(self.config.stopasgroup);
        self.log_kill(pid, signal, reach);
        let kill_at = self.at.now + self.config.stopwaitsecs;
        self.change(State::Stopping { pid, kill_at, start_after: false, then: 0 }, pid);
        self.effects.push(Effect::Kill { pid, signal, reach });
    }

    /// BACKOFF -> STOPPED: nothing runs, so it is done at once.
    fn stop_backoff(&mut self) {
        self.log(Level::Debug, format!("Attempted to kill {}, which is in BACKOFF state.", self.config.name));
        self.process.failures = 0;
        self.process.stop = self.at.wall;
        self.change(State::Stopped, 0);
    }

    /// EXITED -> STOPPED: it is not started again.
    fn stop_pause(&mut self) {
        self.log(Level::Info, format!("{} is not started again: it was told to stop", self.config.name));
        self.change(State::Stopped, 0);
    }

    /// It has not ended in the time of a signal: the next one of its list has its turn, or SIGKILL.
    fn insist(&mut self, pid: Pid, start_after: bool, then: u8) {
        let Some(signal) = self.config.stopsignal_then.get(usize::from(then)).copied() else {
            return self.kill(pid, start_after);
        };
        let reach = reach(self.config.stopasgroup);
        self.log(Level::Info, format!("'{}' ({pid}) has not ended, next is {signal}", self.config.name));
        self.log_kill(pid, signal, reach);
        let kill_at = self.at.now + self.config.stopwaitsecs;
        self.process.state = State::Stopping { pid, kill_at, start_after, then: then.saturating_add(1) };
        self.effects.push(Effect::Kill { pid, signal, reach });
    }

    /// The grace period is over, or was cut short.
    fn kill(&mut self, pid: Pid, start_after: bool) {
        let reach = reach(self.config.killasgroup);
        self.log(Level::Warn, format!("killing '{}' ({pid}) with SIGKILL", self.config.name));
        self.log_kill(pid, Signal::KILL, reach);
        let kill_at = self.at.now + self.config.stopwaitsecs.max(LEAST_KILL_INTERVAL);
        self.process.state = State::Stopping { pid, kill_at, start_after, then: KILLED };
        self.effects.push(Effect::Kill { pid, signal: Signal::KILL, reach });
    }

    /// STARTING -> BACKOFF if it ended too soon, else -> RUNNING -> EXITED.
    fn exited_while_starting(&mut self, pid: Pid, status: ExitStatus, why: Option<String>) {
        let lived = self.at.now.since(self.process.started);
        if lived >= self.config.startsecs {
            // STARTING -> RUNNING: it had stayed up long enough, only its tick came later.
            self.process.failures = 0;
            self.change(State::Running { pid }, pid);
            return self.exited(pid, status, why);
        }
        self.process.stop = self.at.wall;
        self.process.exit = None;
        self.log(Level::Warn, format!("exited: {} ({status}; not expected)", self.config.name));
        self.kill_stragglers(pid);
        self.back_off(pid, why.unwrap_or_else(|| EXITED_TOO_QUICKLY.to_string()));
    }

    /// RUNNING -> EXITED, and on to STARTING if it is to be restarted.
    fn exited(&mut self, pid: Pid, status: ExitStatus, why: Option<String>) {
        let expected = self.expects(status);
        self.process.stop = self.at.wall;
        self.process.exit = Some(status);
        let name = &self.config.name;
        if expected {
            self.process.spawnerr.clear();
            self.log(Level::Info, format!("exited: {name} ({status}; expected)"));
        } else {
            self.process.spawnerr = why.unwrap_or_else(|| format!("Bad exit code {}", status.code()));
            self.log(Level::Warn, format!("exited: {name} ({status}; not expected)"));
        }
        let from = self.process.state.kind();
        self.process.state = State::Exited { start_at: None };
        self.publish(from, pid, expected);
        self.kill_stragglers(pid);
        let again = match self.config.autorestart {
            Autorestart::Always => true,
            Autorestart::Unexpected => !expected,
            Autorestart::Never => false,
        };
        if again {
            self.start_again();
        }
    }

    /// EXITED -> STARTING, unless its last start is too recent: then it waits.
    fn start_again(&mut self) {
        let start_at = self.process.started + LEAST_START_INTERVAL;
        if self.at.now >= start_at {
            self.spawn();
        } else if self.at.may_start {
            self.process.state = State::Exited { start_at: Some(start_at) };
        }
    }

    /// STOPPING or UNKNOWN -> STOPPED, and on to STARTING if a start is waiting.
    fn stopped(&mut self, pid: Pid, status: ExitStatus, start_after: bool) {
        let level = if self.expects(status) { Level::Info } else { Level::Warn };
        self.process.stop = self.at.wall;
        self.process.exit = Some(status);
        self.process.failures = 0;
        self.log(level, format!("stopped: {} ({status})", self.config.name));
        self.change(State::Stopped, pid);
        self.kill_stragglers(pid);
        if start_after {
            self.spawn();
        }
    }

    fn kill_stragglers(&mut self, pid: Pid) {
        if self.config.killasgroup && self.at.may_have_stragglers {
            self.effects.push(Effect::KillStragglers { pid });
        }
    }

    fn expects(&self, status: ExitStatus) -> bool {
        matches!(status, ExitStatus::Code(code) if self.config.exitcodes.contains(&code))
    }

    fn change(&mut self, to: State, pid: Pid) {
        let from = self.process.state.kind();
        self.process.state = to;
        self.publish(from, pid, false);
    }

    fn publish(&mut self, from: ProcessState, pid: Pid, expected: bool) {
        let to = self.process.state.kind();
        self.effects.push(Effect::Publish(StateChange {
            from,
            to,
            pid,
            tries: self.process.failures,
            expected,
        }));
    }

    fn log(&mut self, level: Level, text: String) {
        self.effects.push(Effect::Log(level, text));
    }

    fn log_kill(&mut self, pid: Pid, signal: Signal, reach: Reach) {
        let whom = match reach {
            Reach::Process => "",
            Reach::ProcessGroup => "process group ",
        };
        self.log(
            Level::Debug,
            format!("killing {} (pid {pid}) {whom}with signal {signal}", self.config.name),
        );
    }
}

fn reach(as_group: bool) -> Reach {
    if as_group { Reach::ProcessGroup } else { Reach::Process }
}
