//! What requests and answers are made of, and how they travel. This is the boundary between the HTTP side, which
//! translates, and the manager, which decides.
//!
//! The HTTP side holds a [`Handle`]. It posts a request of [`super::ask`] to the loop and awaits the answer. A request that
//! waits for a program is answered by the state transition that it waits for. The loop decides an answer by
//! [`Client::answer`], which puts it into an [`Outbox`]. No answer leaves before the outbox is sent.

use crate::control::ask::{Ask, Call};
use crate::model::config::GroupConfig;
use crate::model::fault::{Fault, FaultCode};
use crate::model::namespec::Namespec;
use crate::model::state::ProcessState;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::*};
use std::sync::{Arc, OnceLock};

/// The processes that a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One process, or a group (`group:*`). Keeps the text of the client for faults that quote it.
    Name {
        /// The text of the client.
        sent: String,
        /// What the text means.
        namespec: Namespec,
    },
    /// Every process of a group, by the name of the group.
    Group(String),
    /// Every process there is.
    All,
}

impl Target {
    /// Parses a namespec: `process`, `group:process` or `group:*`.
    pub fn parse(sent: &str) -> Target {
        Target::Name { sent: sent.to_string(), namespec: Namespec::parse(sent) }
    }
}

/// The name of the target as a client writes it.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Name { sent, .. } => f.write_str(sent),
            Target::Group(group) => write!(f, "{group}:*"),
            Target::All => f.write_str("all"),
        }
    }
}

/// When a request to start or stop is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// When the processes have started or ended.
    Yes,
    /// As soon as starting or stopping has begun.
    No,
}

/// An internal table of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// The processes of the active configuration.
    Procs,
    /// The processes that are alive.
    InfoMap,
    /// The processes that were already alive when this daemon started.
    Prestart,
}

/// Processes with additional facts about each.
pub type Rows = Vec<(ProcessInfo, Facts)>;

/// A struct in the answer of a method that Supervisor does not have: names and values.
pub type Facts = Vec<(&'static str, Fact)>;

/// One value of a struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A string on the wire.
    Text(String),
    /// An int on the wire.
    Number(i64),
    /// A double on the wire, which has room for whole numbers beyond 32 bits, up to 2^53.
    Wide(u64),
    /// A boolean on the wire.
    Flag(bool),
    /// An array of structs on the wire.
    List(Vec<Facts>),
}

/// The result of `getProcessInfo`.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessInfo {
    /// The name of the process.
    pub name: String,
    /// The group of the process.
    pub group: String,
    /// When it was last started, in whole seconds since 1970; 0 if it never was.
    pub start: i64,
    /// When it last ended, in whole seconds since 1970; 0 if it never has.
    pub stop: i64,
    /// The time of the answer, in whole seconds since 1970.
    pub now: i64,
    /// The state of the process.
    pub state: ProcessState,
    /// Why the last start failed; empty if it did not.
    pub spawnerr: String,
    /// The last exit status; 0 if there was none yet.
    pub exitstatus: i32,
    /// The log file of standard output; empty if there is none.
    pub stdout_logfile: String,
    /// The log file of standard error; empty if there is none.
    pub stderr_logfile: String,
    /// The pid; 0 if there is none.
    pub pid: i32,
    /// One line for people, as `ctl status` shows it.
    pub description: String,
}

/// The state of several processes, with its XML text once a client needed it. Clients that ask within the same second share
/// both unless a process has changed.
#[derive(Debug)]
pub struct Processes {
    infos: Vec<ProcessInfo>,
    text: OnceLock<String>,
}

impl Processes {
    /// What is known of each process.
    pub fn infos(&self) -> &[ProcessInfo] {
        &self.infos
    }

    /// The text on the wire. The first caller produces it with `write`; later callers get the same text.
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

/// One row of `getAllConfigInfo`: a process of the last read configuration, and what is in use of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigInfo {
    /// The group with the configuration of its processes.
    pub group: Arc<GroupConfig>,
    /// Index into `group.processes`.
    pub process: usize,
    /// Whether the group is active.
    pub inuse: bool,
    /// The log file of standard output in use, if its name was chosen automatically and is known.
    pub stdout_logfile: Option<PathBuf>,
    /// The log file of standard error in use, if its name was chosen automatically and is known.
    pub stderr_logfile: Option<PathBuf>,
}

/// The result of an order for one process.
#[derive(Clone, Debug, PartialEq)]
pub struct BulkStatus {
    /// The name of the process; `*` for a whole group.
    pub name: String,
    /// The group of the process.
    pub group: String,
    /// The fault, if the order could not be carried out.
    pub outcome: Result<(), Fault>,
}

impl BulkStatus {
    /// The `status` member: 80 for success, or the number of the fault.
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

/// A caller that is owed one answer of type `T`.
#[derive(Debug)]
pub struct Client<T>(async_channel::Sender<Result<T, Fault>>);

impl<T: 'static> Client<T> {
    /// A client, and the end on which it receives its one answer.
    pub fn channel() -> (Client<T>, async_channel::Receiver<Result<T, Fault>>) {
        let (sender, answer) = async_channel::bounded(1);
        (Client(sender), answer)
    }

    /// Decides the answer. It leaves with the outbox.
    pub fn answer(self, outcome: Result<T, Fault>, outbox: &mut Outbox) {
        // A client that has gone away does not matter: the work is done.
        outbox.decided.push(Box::new(move || drop(self.0.try_send(outcome))));
    }
}

/// Answers that have been decided and have not left.
#[derive(Default)]
pub struct Outbox {
    /// Each sends one.
    decided: Vec<Box<dyn FnOnce()>>,
}

impl Outbox {
    /// Whether no answer waits.
    pub fn is_empty(&self) -> bool {
        self.decided.is_empty()
    }

    /// Lets the answers go, in the order in which they were decided.
    pub fn send(&mut self) {
        self.decided.drain(..).for_each(|send| send());
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("n_decided", &self.decided.len()).finish()
    }
}

/// The sending end of the channel to the daemon's loop. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    calls: async_channel::Sender<Call>,
    /// Called before each request is posted.
    on_call: Option<Arc<dyn Fn() + Send + Sync>>,
    /// Whether another process continues the daemon when this loop ends.
    has_successor: Arc<AtomicBool>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("calls", &self.calls).finish_non_exhaustive()
    }
}

/// The capacity of the channel, in calls. Senders wait while it is full. Its memory is allocated at once.
const MOST_WAITING: usize = 128;

impl Handle {
    /// Returns a handle and the receiving end for the loop.
    pub fn channel() -> (Handle, async_channel::Receiver<Call>) {
        let (calls, receiver) = async_channel::bounded(MOST_WAITING);
        (Handle { calls, on_call: None, has_successor: Arc::default() }, receiver)
    }

    /// Registers a function that is called before each request is posted, in the task that posts it.
    pub fn on_call(mut self, on_call: impl Fn() + Send + Sync + 'static) -> Handle {
        self.on_call = Some(Arc::new(on_call));
        self
    }

    /// Announces that another process will continue the daemon when this loop ends.
    pub fn announce_successor(&self) {
        self.has_successor.store(true, Release);
    }

    /// Posts a request and awaits its answer. Never returns if the loop is gone and has a successor: the successor continues
    /// what was begun, and this process and the client's connection are about to end.
    ///
    /// # Errors
    /// The loop's fault; `SHUTDOWN_STATE` if the loop is gone and the daemon with it.
    pub async fn call<R: Ask>(&self, request: R) -> Result<R::Answer, Fault> {
        let (client, answer) = Client::channel();
        if let Some(on_call) = &self.on_call {
            on_call();
        }
        if self.calls.send(request.into_call(client)).await.is_ok()
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
    use crate::control::ask;
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
