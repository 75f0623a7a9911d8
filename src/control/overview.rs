//! The state of the daemon and its processes, for JSON, the page and the metrics. The loop returns it for
//! [`ask::Overview`](struct@super::ask::Overview), and publishes changes of it to the feed.

use crate::control::request::ProcessInfo;
use crate::model::exit::{ExitStatus, PastExit, Tally};
use crate::model::state::{ProcessState, SupervisorState};
use crate::model::time::Wall;
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The daemon and some or all of its processes, at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Overview {
    /// The number of the last published change that is contained in this overview.
    pub sequence: u64,
    /// The daemon itself.
    pub daemon: DaemonView,
    /// Sorted by group and name.
    pub processes: Vec<ProcessView>,
}

/// The daemon itself.
#[derive(Clone, Debug, PartialEq)]
pub struct DaemonView {
    /// What the daemon does: run, restart or shut down.
    pub state: SupervisorState,
    /// The `identifier` of the configuration.
    pub identifier: String,
    /// The `nodename` of the configuration, or the host name.
    pub nodename: String,
    /// The pid of the keeper, which is the pid in the pidfile.
    pub keeper_pid: i32,
    /// The pid of the manager.
    pub manager_pid: i32,
    /// How many managers this keeper has started.
    pub manager_starts: u32,
    /// The main configuration file.
    pub config: PathBuf,
}

/// The state of one process.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessView {
    /// What `getProcessInfo` answers.
    pub info: ProcessInfo,
    /// Whether it is an event listener.
    pub is_listener: bool,
    /// How often its program was spawned.
    pub starts: u32,
    /// Failed starts in a row.
    pub failures: u32,
    /// How it last ended, if it ever did.
    pub last_exit: Option<ExitStatus>,
    /// The last exits that this manager saw, the latest last.
    pub exits: Vec<PastExit>,
    /// All the exits that this manager saw.
    pub tally: Tally,
    /// How many bytes of standard output and standard error this manager has read.
    pub n_logged: [u64; 2],
    /// A remark about anything unusual; empty if there is nothing.
    pub note: Cow<'static, str>,
    /// What will happen without a request, and how soon.
    pub next: Option<(&'static str, Duration)>,
}

/// A change of one process' state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When it changed.
    pub at: Wall,
    /// The group of the process.
    pub group: Arc<str>,
    /// The name of the process.
    pub process: Arc<str>,
    /// The state before.
    pub from: ProcessState,
    /// The state after.
    pub to: ProcessState,
    /// The detail of the new state: the pid, the exit status or what went wrong.
    pub detail: String,
}

/// A process that is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alive {
    /// The group of the process.
    pub group: String,
    /// The name of the process.
    pub name: String,
    /// The pid, always positive.
    pub pid: i32,
}
