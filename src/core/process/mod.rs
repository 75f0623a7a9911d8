//! The life of one process, as a pure function.
//!
//! ```text
//!                 Start                      up for startsecs, or ready
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
//! for does not wait. The original has this pace because its loop turns once a second. What comes back with the processes
//! that it depends on keeps the pace, too: it is STARTING meanwhile, as if it waited for one more condition.
//!
//! The rules are those of Supervisor's `process.py` (`transition`, `spawn`, `finish`, `kill`), with three exceptions:
//! the moment of the exit decides what is "too quickly", a stop during BACKOFF resets the count of failures, and
//! SIGKILL is not repeated more often than once a second.
//!
//! What Supervisor does not have keeps its states and the ways between them:
//!
//! - A process that waits for others is STARTING ([`State::Waiting`]). If they fail it becomes FATAL by way of BACKOFF, and
//!   starts when its conditions hold after all ([`State::Parked`]).
//! - With `ready`, and for a job (`type=oneshot`), `startsecs` does not make it RUNNING. A job is EXITED after its end, by way
//!   of RUNNING.
//! - What has failed while it runs on ([`State::Failing`]) keeps its state until it has ended.
//!
//! [`step()`] is the table; `start`, `end` and `stop` are what follows from it.

mod end;
mod start;
mod step;
mod stop;

#[cfg(test)]
mod policy_model;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod policy_walk_tests;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod walk_tests;
#[cfg(test)]
mod walks;

pub use step::step;

use crate::model::config::{Level, ProcessConfig};
use crate::model::exit::ExitStatus;
use crate::model::probe::Health;
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

/// In [`State::Stopping`] and [`State::Failing`]: nothing follows but SIGKILL again. No list of signals is as long.
pub const KILLED: u8 = u8::MAX;

/// What is started by itself is not started sooner than this after its last start. The pauses of BACKOFF are longer.
pub const LEAST_START_INTERVAL: Duration = Duration::from_secs(1);

/// A deadline that never comes.
pub const NEVER: Monotonic = Monotonic(u64::MAX);

/// Where one process is in its life. A variant holds what is true only there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It was stopped, or has not been started yet.
    Stopped,
    /// STARTING: it waits until all that it depends on is as it wants it.
    Waiting {
        /// The end of `dependency_timeout`, or [`NEVER`]. If nothing else is in its way: when [`LEAST_START_INTERVAL`]
        /// has passed since its last start.
        give_up_at: Monotonic,
        /// Somebody asked for this start, so it comes as soon as nothing is in its way.
        is_asked: bool,
    },
    /// `pid` is `None` only between [`Effect::Spawn`] and its answer, which may take seconds where somebody holds up
    /// the creation of the program.
    Starting {
        /// The kernel's number of it.
        pid: Option<Pid>,
        /// When it is RUNNING, if nothing else decides that; else the end of `ready_timeout`, or of a job's `max_runtime`,
        /// or [`NEVER`].
        up_at: Monotonic,
        /// Its `ready` has succeeded, and `startsecs` are not over.
        is_ready: bool,
    },
    /// It is up. Only its end, a `Stop`, or what is found out about it changes that.
    Running {
        /// The kernel's number of it.
        pid: Pid,
        /// The end of `max_runtime`, or [`NEVER`].
        until: Monotonic,
    },
    /// It runs, has failed, and is to end: STARTING if it was never up, else RUNNING. Signals follow each other as in
    /// `Stopping`.
    Failing {
        /// The kernel's number of it.
        pid: Pid,
        /// The end of the present `stopwaitsecs`.
        kill_at: Monotonic,
        /// As in `Stopping`.
        then: u8,
        /// What went wrong.
        cause: Cause,
        /// Whether it was up before.
        was_up: bool,
    },
    /// Tried again at `retry_at`.
    Backoff {
        /// The end of the pause, which grows with each failure.
        retry_at: Monotonic,
    },
    /// The next stop signal at `kill_at`, or SIGKILL if `then` is past the last of `stopsignal_then`.
    Stopping {
        /// The kernel's number of it.
        pid: Pid,
        /// The end of the present `stopwaitsecs`.
        kill_at: Monotonic,
        /// What follows once it has ended.
        after: After,
        /// How many of `stopsignal_then` were sent; [`KILLED`] after SIGKILL.
        then: u8,
    },
    /// Started again at `start_at`, if that is set; else at rest.
    Exited {
        /// When it is started by itself.
        start_at: Option<Monotonic>,
    },
    /// It failed more than `startretries` times in a row, or was started too often.
    Fatal {
        /// The end of `retry_fatal_after`. `None`: only a `Start` changes this state.
        retry_at: Option<Monotonic>,
    },
    /// It is at rest for the sake of what it depends on, and starts when its conditions hold.
    Parked {
        /// FATAL, because they failed; else STOPPED, because they held no more.
        is_fatal: bool,
    },
    /// A signal could not be sent, so nobody knows whether it will end.
    Unknown {
        /// The number of the process that did not take the signal.
        pid: Pid,
    },
}

/// What follows the end of a process that is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It stays STOPPED.
    Rest,
    /// It is STARTING again: somebody asked for a start meanwhile, or for a restart.
    Start,
    /// It comes back by itself when the conditions that it depends on hold again. Until then it is STOPPED, or STARTING
    /// with `depends_restart=restart`.
    Return,
}

/// Why a process that runs is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `ready_timeout` is over.
    NotReady,
    /// `max_runtime` is over.
    Overtime,
    /// Its health check has failed too often.
    Unhealthy,
    /// It was silent on its notify socket for longer than `watchdog`.
    Silent,
    /// It used more memory than `memory_limit`.
    Memory,
}

impl Cause {
    /// All of them, in the order of their numbers in shared memory, which count from 1.
    pub const ALL: [Cause; 5] =
        [Cause::NotReady, Cause::Overtime, Cause::Unhealthy, Cause::Silent, Cause::Memory];
}

impl State {
    /// The name of this state for clients.
    pub fn kind(&self) -> ProcessState {
        match self {
            State::Stopped | State::Parked { is_fatal: false } => ProcessState::Stopped,
            State::Waiting { .. } | State::Starting { .. } | State::Failing { was_up: false, .. } => {
                ProcessState::Starting
            }
            State::Running { .. } | State::Failing { was_up: true, .. } => ProcessState::Running,
            State::Backoff { .. } => ProcessState::Backoff,
            State::Stopping { .. } => ProcessState::Stopping,
            State::Exited { .. } => ProcessState::Exited,
            State::Fatal { .. } | State::Parked { is_fatal: true } => ProcessState::Fatal,
            State::Unknown { .. } => ProcessState::Unknown,
        }
    }

    /// The process that is alive in this state.
    pub fn pid(&self) -> Option<Pid> {
        match self {
            State::Starting { pid, .. } => *pid,
            State::Running { pid, .. }
            | State::Failing { pid, .. }
            | State::Stopping { pid, .. }
            | State::Unknown { pid } => Some(*pid),
            State::Stopped
            | State::Waiting { .. }
            | State::Backoff { .. }
            | State::Exited { .. }
            | State::Fatal { .. }
            | State::Parked { .. } => None,
        }
    }

    /// When [`step()`] next needs a [`Event::Tick`]; `None` if only another event can change this state.
    pub fn deadline(&self) -> Option<Monotonic> {
        let deadline = match self {
            State::Waiting { give_up_at: at, .. }
            | State::Starting { pid: Some(_), up_at: at, .. }
            | State::Running { until: at, .. }
            | State::Failing { kill_at: at, .. }
            | State::Backoff { retry_at: at }
            | State::Stopping { kill_at: at, .. } => Some(*at),
            State::Exited { start_at: at } | State::Fatal { retry_at: at } => *at,
            State::Starting { pid: None, .. }
            | State::Stopped
            | State::Parked { .. }
            | State::Unknown { .. } => None,
        };
        deadline.filter(|at| *at != NEVER)
    }

    /// Whether something runs, or will by itself: only then is there anything to stop.
    pub fn is_active(&self) -> bool {
        match self {
            State::Waiting { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Failing { .. }
            | State::Backoff { .. }
            | State::Stopping { .. }
            | State::Parked { .. } => true,
            State::Exited { start_at: at } | State::Fatal { retry_at: at } => at.is_some(),
            State::Stopped | State::Unknown { .. } => false,
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
    /// When it was last started by itself, the latest last: as many as its `restart_limit` counts, and none without one.
    pub automatic_starts: Vec<Monotonic>,
    /// What the probes of the present start have found out.
    pub health: Health,
    /// Somebody started it without what it depends on, so it does not wait for that.
    pub is_alone: bool,
    /// It is to be stopped once all that depends on it is at rest.
    pub is_to_stop: bool,
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
            automatic_starts: Vec::new(),
            health: Health::default(),
            is_alone: false,
            is_to_stop: false,
        }
    }
}

/// What can happen to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants it up: a client, or `autostart`.
    Start,
    /// Somebody wants it up whatever it depends on.
    StartAlone,
    /// Somebody wants it down.
    Stop,
    /// The same, once all that depends on it is at rest. [`Event::Stop`] follows then.
    StopLater,
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
    /// [`Circumstances::needs`] is not what it was.
    NeedsChanged,
    /// It was not met for a moment at least, and may be met again.
    NeedsLost,
    /// Its `ready` was tried, or it has said that it is ready.
    Readiness(Result<(), String>),
    /// Its `health` was tried.
    Checked(Result<(), String>),
    /// It was silent on its notify socket for longer than `watchdog`.
    Silent,
    /// It and all that it has started use more memory than `memory_limit`, so many bytes, and did before.
    OverMemory(u64),
    /// It asks for more time, at least until then: to become ready, or to stop.
    Extend(Monotonic),
    /// It has another configuration, and goes on with that.
    Reconfigured,
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
        /// The process: alone, or with those that `reach` says.
        pid: Pid,
        /// A stop signal, or SIGKILL.
        signal: Signal,
        /// Who else gets it.
        reach: Reach,
    },
    /// Kill what is left of the process group `pid`, or of the whole tree of that program.
    KillStragglers {
        /// The number of the program that has ended, and of the group that it led.
        pid: Pid,
        /// Whether those outside the group are meant, too.
        reach: Reach,
    },
    /// Write this line to the activity log.
    Log(Level, String),
    /// Tell clients and listeners of a change.
    Publish(StateChange),
    /// Tell them that it is well, or that it is not.
    PublishHealth {
        /// Whether it is well.
        is_healthy: bool,
        /// The process that was asked.
        pid: Pid,
    },
}

/// Whom a signal is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The process alone.
    Process,
    /// Every member of the process group that it leads.
    ProcessGroup,
    /// It and all that it has started, in whatever group or session that is by now.
    Tree,
}

impl Reach {
    /// Whom the stop signals of a process reach.
    pub fn of_stop(config: &ProcessConfig) -> Reach {
        Reach::with(config.stopasgroup, config)
    }

    /// Whom its SIGKILL reaches.
    pub fn of_kill(config: &ProcessConfig) -> Reach {
        Reach::with(config.killasgroup, config)
    }

    fn with(is_wide: bool, config: &ProcessConfig) -> Reach {
        match (is_wide, config.stop_scope.is_wide()) {
            (false, _) => Reach::Process,
            (true, false) => Reach::ProcessGroup,
            (true, true) => Reach::Tree,
        }
    }
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

/// Whether all that a process depends on is as it wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs<'a> {
    /// It is.
    Met,
    /// It may come to be so by itself.
    Unmet,
    /// Something rests in another state. The text is for `spawnerr`.
    Failed(&'a str),
}

/// The moment and the circumstances of a step.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The moment of the event, for deadlines.
    pub now: Monotonic,
    /// The same moment on the wall clock, for what is shown.
    pub wall: Wall,
    /// False once the daemon is on its way down: nothing is started any more.
    pub may_start: bool,
    /// False if nobody is left in the process group of a program that has ended and that somebody else has collected:
    /// the group's number may be another's by now.
    pub may_have_stragglers: bool,
    /// Whether all that the process depends on is as it wants it.
    pub needs: Needs<'a>,
    /// Any number, for `restart_jitter`.
    pub chance: u32,
}

impl Circumstances<'_> {
    /// A moment of a daemon that runs, for a process that depends on nothing.
    pub fn at(now: Monotonic, wall: Wall) -> Circumstances<'static> {
        let (may_start, may_have_stragglers) = (true, true);
        Circumstances { now, wall, may_start, may_have_stragglers, needs: Needs::Met, chance: 0 }
    }
}
