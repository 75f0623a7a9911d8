//! The state of the daemon and its processes, for JSON, the page and the metrics. The loop returns it for
//! [`ask::Overview`](struct@super::ask::Overview), and publishes changes of it to the feed.

use crate::control::request::ProcessInfo;
use crate::model::cgroup::CgroupUsage;
use crate::model::dependency::Dependency;
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
    /// The included files that were left out when it was last read, each with what is wrong in it (`include_errors=skip`).
    pub skipped_files: Vec<String>,
}

/// The state of one process.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessView {
    /// What `getProcessInfo` answers.
    pub info: ProcessInfo,
    /// The name of its program.
    pub program: Arc<str>,
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
    /// What Supervisor does not know of a process; `None` if its configuration uses nothing of that.
    pub life: Option<Box<LifeView>>,
}

/// What a process waits for, whether it is ready and well, and how it is restarted.
#[derive(Clone, Debug, PartialEq)]
pub struct LifeView {
    /// How it is, as `ctl health` says it.
    pub word: HealthWord,
    /// Why it is so; empty if that needs no words.
    pub reason: String,
    /// Whether it is a job (`type=oneshot`).
    pub is_oneshot: bool,
    /// Whom it waits for, `db (BACKOFF)`; empty if it does not wait.
    pub waiting_for: String,
    /// The items of its `depends_on`.
    pub needs: Vec<NeedView>,
    /// How it becomes ready, as its configuration says it: `tcp:127.0.0.1:5432`. `None` without `ready`.
    pub ready: Option<String>,
    /// How its health is checked. `None` without `health`.
    pub health: Option<HealthView>,
    /// How much memory it uses and may use. `None` without `memory_limit`.
    pub memory: Option<MemoryView>,
    /// What the last probe has found wrong; empty if nothing.
    pub problem: String,
    /// How often it was started by itself within the time of its `restart_limit`, and how often it may be.
    pub automatic_starts: Option<(usize, u32)>,
    /// After how many failed starts in a row it is given up. `None`: never.
    pub startretries: Option<u32>,
    /// What its keys about limits, ranks, groups, credentials and confinement say, as [`crate::model::given::given`] tells it.
    pub given: Vec<(&'static str, String)>,
    /// Its control group, while it is up and has one.
    pub cgroup: Option<CgroupView>,
    /// Whether somebody has disabled it, so that it does not start with the daemon.
    pub is_disabled: bool,
}

/// The control group of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupView {
    /// Its directory.
    pub directory: PathBuf,
    /// What is used in it.
    pub usage: CgroupUsage,
}

/// The memory of a process and all that it has started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryView {
    /// When it was measured last, in bytes. `None` if it does not run, or was not measured yet.
    pub used: Option<u64>,
    /// Its `memory_limit`, in bytes.
    pub limit: u64,
}

/// One item of `depends_on`.
#[derive(Clone, Debug, PartialEq)]
pub struct NeedView {
    /// The item: what it names, the condition, whether only the order matters.
    pub dependency: Dependency,
    /// Whether it holds; `Failed` if it does not and will not by itself.
    pub verdict: NeedVerdict,
    /// The namespecs of the processes that it stands for, and their states.
    pub processes: Vec<(String, ProcessState)>,
}

/// Whether an item of `depends_on` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeedVerdict {
    /// It does.
    Met,
    /// It may come to hold by itself.
    Unmet,
    /// Something rests in a state from which it will not come by itself.
    Failed,
}

/// What health checks have found out.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthView {
    /// How it is checked, as its configuration says it.
    pub probe: String,
    /// `None` before the first result that counts, and unless it is RUNNING.
    pub is_healthy: Option<bool>,
    /// Failures in a row; 0 unless it is RUNNING.
    pub failures: u32,
    /// How many failures in a row make it unhealthy.
    pub retries: u32,
}

/// A process in the graph of dependencies.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphNode {
    /// Its namespec.
    pub name: String,
    /// Its state.
    pub state: ProcessState,
    /// Whether it waits.
    pub is_waiting: bool,
    /// What it depends on.
    pub needs: Vec<NeedView>,
    /// The namespecs of those that depend on it directly.
    pub dependents: Vec<String>,
}

/// One line of `ctl health`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthLine {
    /// The group of the process.
    pub group: Arc<str>,
    /// Its name.
    pub process: Arc<str>,
    /// How it is.
    pub word: HealthWord,
    /// Why it is so; empty if that needs no words.
    pub reason: String,
}

/// How a process is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthWord {
    /// It is up, and its health check has succeeded.
    Healthy,
    /// It is up, and its health check has failed too often, or it has failed in another way and is to end.
    Unhealthy,
    /// It is up, and nobody checks its health.
    Running,
    /// It is on its way up, or nothing is known about its health yet.
    Starting,
    /// It waits for what it depends on.
    Waiting,
    /// It has ended as expected, and is not to run again by itself.
    Finished,
    /// It is not to run: nobody has started it, or somebody has stopped it.
    Stopped,
    /// It could not be started, or has ended as it should not.
    Failed,
}

impl HealthWord {
    /// The word.
    pub fn text(self) -> &'static str {
        match self {
            HealthWord::Healthy => "healthy",
            HealthWord::Unhealthy => "unhealthy",
            HealthWord::Running => "running",
            HealthWord::Starting => "starting",
            HealthWord::Waiting => "waiting",
            HealthWord::Finished => "finished",
            HealthWord::Stopped => "stopped",
            HealthWord::Failed => "failed",
        }
    }

    /// Whether such a process is no reason to call the whole unhealthy.
    pub fn is_good(self) -> bool {
        match self {
            HealthWord::Healthy | HealthWord::Running | HealthWord::Finished | HealthWord::Stopped => true,
            HealthWord::Unhealthy | HealthWord::Starting | HealthWord::Waiting | HealthWord::Failed => false,
        }
    }
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
