//! Everything the daemon shows of itself: what the loop answers to [`super::request::Request::Overview`], and what it tells
//! viewers as it happens.

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
    /// Everything that was told to viewers up to this number is in here.
    pub sequence: u64,
    pub daemon: DaemonView,
    /// Sorted by group and name.
    pub processes: Vec<ProcessView>,
}

/// The daemon itself.
#[derive(Clone, Debug, PartialEq)]
pub struct DaemonView {
    pub state: SupervisorState,
    pub identifier: String,
    /// What this machine is called among others.
    pub nodename: String,
    pub keeper_pid: i32,
    pub manager_pid: i32,
    /// How many managers this keeper has started.
    pub manager_starts: u32,
    /// The main configuration file.
    pub config: PathBuf,
}

/// What is known of a process.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessView {
    pub info: ProcessInfo,
    pub is_listener: bool,
    /// How often its program was created.
    pub starts: u32,
    /// Failed starts in a row.
    pub failures: u32,
    /// How it last ended, if it ever did.
    pub last_exit: Option<ExitStatus>,
    /// The last exits that this manager saw, the latest last.
    pub exits: Vec<PastExit>,
    /// All the exits that this manager saw.
    pub tally: Tally,
    /// How many bytes of output and error this manager has read.
    pub n_logged: [u64; 2],
    /// What is unusual about it; empty if nothing is.
    pub note: Cow<'static, str>,
    /// What happens by itself, and in what time.
    pub next: Option<(&'static str, Duration)>,
}

/// A change of one process' state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub at: Wall,
    pub group: Arc<str>,
    pub process: Arc<str>,
    pub from: ProcessState,
    pub to: ProcessState,
    /// What goes with it: the pid, the exit status or what went wrong.
    pub detail: String,
}

/// A process that is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alive {
    pub group: String,
    pub name: String,
    pub pid: i32,
}
