//! What the daemon's loop can be asked, and what it answers: the seam between the HTTP side, which only
//! speaks, and the manager, which decides.
//!
//! A [`Handle`] is what the HTTP side holds. It posts a [`Request`] to the loop and awaits the answer; a
//! request that waits for a program is answered by the very transition it waits for. [`super::ask`] pairs each request
//! with the type of its answer.

use crate::config::ConfigSource;
use crate::config::Reread;
use crate::control::ask::{self, Ask};
use crate::control::overview::{Alive, Overview};
use crate::log::source::LogSource;
use crate::model::config::GroupConfig;
use crate::model::fault::{Fault, FaultCode};
use crate::model::namespec::Namespec;
use crate::model::signal::Signal;
use crate::model::state::{ProcessState, SupervisorState};
use crate::model::stream::Stream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::*};
use std::sync::{Arc, OnceLock};

/// A question or an order for the daemon's loop.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    State,
    Pid,
    Identification,
    ProcessInfo(Target),
    AllProcessInfo,
    AllConfigInfo,
    /// Start one process, a group (`group:*`), or all of them.
    Start(Target, Wait),
    Stop(Target, Wait),
    Signal(Target, Signal),
    ReloadConfig,
    AddProcessGroup(String),
    RemoveProcessGroup(String),
    /// Forgets one process that does not run, or with `group:*` all of a group, until its group is added anew.
    RemoveProcess(Target),
    /// One of the daemon's tables, for looking inside. Answers rows.
    Table(Table),
    Shutdown,
    Restart,
    /// Where the activity log can be read.
    MainLog,
    /// Where the log of one stream of one process can be read.
    ProcessLog(Target, Stream),
    ClearLog,
    ClearProcessLogs(Target),
    SendProcessStdin(Target, Vec<u8>),
    SendRemoteCommEvent {
        kind: String,
        data: String,
    },
    /// Let another binary take over; `None` for what lies where the daemon was started from. Answers a text.
    Upgrade(Option<PathBuf>),
    /// How the last upgrade went, as a text.
    UpgradeState,
    /// Where the configuration was wrong when it was last read again, as a text; empty if nowhere.
    ConfigProblem,
    /// The last exits of a process and what happens next. Answers facts.
    ProcessHistory(Target),
    /// Keeper and manager. Answers facts.
    Keeper,
    /// Everything there is to show of the daemon and of one process, a group or all of them.
    Overview(Target),
    /// The same of the daemon alone. Answers an overview without processes.
    Daemon,
    /// Who is alive.
    Alive,
    /// How the configuration is read, and which groups are active.
    ConfigSource,
    /// What a bare name means if it may mean a process in a group of another name: see [`crate::model::namespec::bearer`]. Answers a
    /// text, the name itself if it means nothing else.
    ResolveName(String),
}

/// Whom a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Keeps the text as the client sent it, for the fault that quotes it.
    Name {
        sent: String,
        namespec: Namespec,
    },
    /// Every process of a group that is named without its `:*`.
    Group(String),
    All,
}

impl Target {
    /// The target of a call that takes a namespec.
    pub fn parse(sent: &str) -> Target {
        Target::Name { sent: sent.to_string(), namespec: Namespec::parse(sent) }
    }
}

/// How a client names it.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Name { sent, .. } => f.write_str(sent),
            Target::Group(group) => write!(f, "{group}:*"),
            Target::All => f.write_str("all"),
        }
    }
}

/// Whether an answer waits until what was asked for has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    Yes,
    No,
}

/// A table of the daemon's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// What the active configuration says and the state machine drives.
    Procs,
    /// What is alive.
    InfoMap,
    /// What was alive already when this run of the daemon began.
    Prestart,
}

/// What the loop answers. Which variant belongs to which request is said in [`super::ask`].
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Done: `true` on the wire.
    Done,
    State(SupervisorState),
    Number(i64),
    Text(String),
    Process(Box<ProcessInfo>),
    Processes(Arc<Processes>),
    /// Processes, each with more to say about it.
    Rows(Rows),
    Configs(Vec<ConfigInfo>),
    /// One line per process that a request for several was applied to.
    Bulk(Vec<BulkStatus>),
    Reread(Reread),
    Log(LogSource),
    Facts(Facts),
    Overview(Box<Overview>),
    Alive(Vec<Alive>),
    ConfigSource(Box<ConfigSource>),
}

/// Processes, each with more to say about it.
pub type Rows = Vec<(ProcessInfo, Facts)>;

/// A struct of the daemon's own methods: names and values.
pub type Facts = Vec<(&'static str, Fact)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    Text(String),
    Number(i64),
    Flag(bool),
    List(Vec<Facts>),
}

pub type Outcome = Result<Answer, Fault>;

/// `getProcessInfo`, with the clock still in full resolution.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessInfo {
    pub name: String,
    pub group: String,
    /// Whole seconds since 1970; 0 is never.
    pub start: i64,
    pub stop: i64,
    pub now: i64,
    pub state: ProcessState,
    pub spawnerr: String,
    pub exitstatus: i32,
    /// Empty when there is none.
    pub stdout_logfile: String,
    pub stderr_logfile: String,
    /// 0 when there is none.
    pub pid: i32,
    pub description: String,
}

/// What is known of several processes. Clients that ask within the same second while nothing changes share it, together
/// with its text.
#[derive(Debug)]
pub struct Processes {
    infos: Vec<ProcessInfo>,
    text: OnceLock<String>,
}

impl Processes {
    pub fn infos(&self) -> &[ProcessInfo] {
        &self.infos
    }

    /// How they stand on the wire, which only the first who asks has to `write`.
    pub fn text(&self, write: impl FnOnce(&[ProcessInfo]) -> String) -> &str {
        self.text.get_or_init(|| write(&self.infos))
    }
}

impl From<Vec<ProcessInfo>> for Processes {
    fn from(infos: Vec<ProcessInfo>) -> Processes {
        Processes { infos, text: OnceLock::new() }
    }
}

/// Their text follows from the rest.
impl PartialEq for Processes {
    fn eq(&self, other: &Processes) -> bool {
        self.infos == other.infos
    }
}

/// One process of the last read configuration, with what `getAllConfigInfo` says about it beyond that.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigInfo {
    pub group: Arc<GroupConfig>,
    /// Index into `group.processes`.
    pub process: usize,
    pub inuse: bool,
    /// The files in use, for a process whose automatic log names are known.
    pub stdout_logfile: Option<PathBuf>,
    pub stderr_logfile: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct BulkStatus {
    pub name: String,
    pub group: String,
    pub outcome: Result<(), Fault>,
}

impl BulkStatus {
    /// The `status` member: 80 or the fault's number.
    pub fn status(&self) -> i32 {
        match &self.outcome {
            Ok(()) => FaultCode::Success.code(),
            Err(fault) => fault.code.code(),
        }
    }

    /// The `description` member: `OK` or the fault's text.
    pub fn description(&self) -> String {
        match &self.outcome {
            Ok(()) => "OK".to_string(),
            Err(fault) => fault.to_string(),
        }
    }
}

/// One posted request and where its answer goes.
#[derive(Debug)]
pub struct Call {
    pub request: Request,
    /// Holds exactly one answer. The loop does not care whether anybody still listens.
    pub reply: async_channel::Sender<Outcome>,
}

/// The door to the daemon's loop. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    calls: async_channel::Sender<Call>,
    /// Told before each request that is posted.
    on_call: Option<Arc<dyn Fn() + Send + Sync>>,
    /// The daemon goes on with another loop when this one is gone.
    has_successor: Arc<AtomicBool>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("calls", &self.calls).finish_non_exhaustive()
    }
}

/// So many calls wait in the channel; whoever has another one waits before it. Its memory is there from the start.
const MOST_WAITING: usize = 128;

impl Handle {
    /// A door, and the end from which the loop takes what is posted.
    pub fn channel() -> (Handle, async_channel::Receiver<Call>) {
        let (calls, receiver) = async_channel::bounded(MOST_WAITING);
        (Handle { calls, on_call: None, has_successor: Arc::default() }, receiver)
    }

    /// Lets somebody know that a request is about to be posted, in the task that posts it.
    pub fn on_call(mut self, on_call: impl Fn() + Send + Sync + 'static) -> Handle {
        self.on_call = Some(Arc::new(on_call));
        self
    }

    /// Says that the end of the loop will not be the daemon's.
    pub fn announce_successor(&self) {
        self.has_successor.store(true, Release);
    }

    /// Asks the loop for something, and awaits the answer to it. As [`Handle::post`].
    ///
    /// # Errors
    /// The loop's fault; `SHUTDOWN_STATE` if the loop is gone and the daemon with it.
    pub async fn call<R: Ask>(&self, request: R) -> Result<R::Answer, Fault> {
        ask::typed::<R>(self.post(request.into_request()).await?)
    }

    /// Posts a request and awaits its answer, of whatever type. Does not return if the loop is gone and has a successor: what was begun
    /// goes on there, and this process, and with it the connection, is about to end.
    ///
    /// # Errors
    /// The loop's fault; `SHUTDOWN_STATE` if the loop is gone and the daemon with it.
    pub async fn post(&self, request: Request) -> Outcome {
        let (reply, answer) = async_channel::bounded(1);
        if let Some(on_call) = &self.on_call {
            on_call();
        }
        if self.calls.send(Call { request, reply }).await.is_ok()
            && let Ok(outcome) = answer.recv().await
        {
            return outcome;
        }
        if self.has_successor.load(Acquire) {
            std::future::pending().await
        } else {
            Err(Fault::new(FaultCode::ShutdownState))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    #[test]
    fn a_loop_that_is_gone_answers_only_if_that_is_the_end() {
        let (handle, calls) = Handle::channel();
        let mut call = Box::pin(handle.call(ask::State));
        assert!(block_on(poll_once(&mut call)).is_none());
        drop(calls.try_recv().unwrap());
        drop(calls);
        let refused = Err(Fault::new(FaultCode::ShutdownState));
        assert_eq!(block_on(poll_once(&mut call)), Some(refused.clone()));
        assert_eq!(block_on(poll_once(Box::pin(handle.call(ask::State)))), Some(refused));
        handle.announce_successor();
        assert_eq!(block_on(poll_once(Box::pin(handle.call(ask::State)))), None);
    }
}
