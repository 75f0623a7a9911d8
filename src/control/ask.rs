//! Every request that the daemon's loop understands, with the type of its answer.
//!
//! Whoever asks takes a type of this module: `handle.call(ask::Pid)` is a number or a fault. A [`Call`] carries the request
//! to the loop, together with a [`Client`] that takes this type of answer and no other. So neither side has to think of
//! answers that belong to something else.

use crate::config;
use crate::config::Reread;
use crate::config::update::{GroupAction, UpdatePlan};
use crate::control::overview;
use crate::control::programs::{Enabled, ProgramNumber, Scaled, Scaling};
use crate::control::request::{self, BulkStatus, Client, Facts, Outbox, Processes, Rows, Target, Wait};
use crate::log::source::LogSource;
use crate::model::fault::Fault;
use crate::model::signal;
use crate::model::state::SupervisorState;
use crate::model::stream::Stream;
use std::path::PathBuf;
use std::sync::Arc;

/// A request, with the type of its answer.
pub trait Ask: Sized {
    /// What the loop answers if it does not answer a fault.
    type Answer: 'static;

    /// The request on its way to the loop, with whoever is to be answered.
    fn into_call(self, client: Client<Self::Answer>) -> Call;
}

/// The result of an order whose target was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Applied {
    /// The target was one process, and the order was carried out.
    One,
    /// One line for each process that the order was applied to.
    Several(Vec<BulkStatus>),
}

impl Applied {
    /// The lines, if it was for several.
    pub fn into_lines(self) -> Vec<BulkStatus> {
        match self {
            Applied::One => Vec::new(),
            Applied::Several(statuses) => statuses,
        }
    }
}

/// What came of an [`Update`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Updated {
    /// What was done, or would be.
    pub plan: UpdatePlan,
    /// Groups, with what went wrong in them.
    pub problems: Vec<(String, String)>,
}

impl Updated {
    /// The groups that were added, changed and removed, as a reread names them.
    pub fn by_group(&self) -> Reread {
        let mut found = Reread::default();
        for group in &self.plan.groups {
            match group.action {
                GroupAction::Add => &mut found.added,
                GroupAction::Remove => &mut found.removed,
                GroupAction::Change | GroupAction::Replace => &mut found.changed,
            }
            .push(group.name.clone());
        }
        found
    }
}

/// What [`SendRemoteCommEvent`] announces to event listeners.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteCommEvent {
    /// The type of the event, as listeners see it.
    pub kind: String,
    /// The data of the event.
    pub data: String,
}

/// The requests as types, each with its answer, and [`Call`], which holds any of them.
macro_rules! requests {
    ($($(#[doc = $doc:literal])+ $name:ident $(($($kind:ty),+))? -> $answer:ty;)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Debug, PartialEq)]
            pub struct $name $(($(pub $kind),+))?;

            impl Ask for $name {
                type Answer = $answer;

                fn into_call(self, client: Client<$answer>) -> Call {
                    Call::$name(self, client)
                }
            }
        )+

        /// A request on its way to the loop, with whoever is to be answered.
        #[derive(Debug)]
        pub enum Call {
            $(#[doc = concat!("See [`", stringify!($name), "`](struct@", stringify!($name), ").")] $name($name, Client<$answer>),)+
        }

        impl Call {
            /// Answers a fault, whatever was asked.
            pub fn refuse(self, fault: Fault, outbox: &mut Outbox) {
                match self {
                    $(Call::$name(_, client) => client.answer(Err(fault), outbox),)+
                }
            }
        }
    };
}

requests! {
    /// What the daemon does: run, restart or shut down.
    State -> SupervisorState;
    /// The pid of the keeper, which is the pid in the pidfile.
    Pid -> i64;
    /// The `identifier` of the configuration.
    Identification -> String;
    /// What is known of one process.
    ProcessInfo(Target) -> Box<request::ProcessInfo>;
    /// What is known of all processes, sorted by group and name.
    AllProcessInfo -> Arc<Processes>;
    /// The configuration of every process, as it was last read, sorted by name.
    AllConfigInfo -> Vec<request::ConfigInfo>;
    /// Start one process, a group (`group:*`), or all of them.
    Start(Target, Wait) -> Applied;
    /// Start one process, a group (`group:*`), or all of them, whatever they depend on.
    StartAlone(Target, Wait) -> Applied;
    /// Start a process that does not run for a single run, with more arguments behind those of its command. Answers when
    /// it has ended, how.
    Run(Target, Vec<String>) -> Facts;
    /// Stop one process, a group (`group:*`), or all of them.
    Stop(Target, Wait) -> Applied;
    /// Stop processes and, before them, all that depends on them.
    StopWithDependents(Target, Wait) -> Applied;
    /// Send a signal to one process, a group (`group:*`), or all of them.
    Signal(Target, signal::Signal) -> Applied;
    /// Read the configuration again. Answers what differs; changes no group.
    ReloadConfig -> Reread;
    /// Read the configuration again and make groups what it says: these, or all for `None`. With `true` only say what would be
    /// done. Answers when all that was to be stopped has been.
    Update(Option<Vec<String>>, bool) -> Updated;
    /// Read the configuration again and let processes have what it says of them from their next start on.
    TakeConfiguration(Target) -> ();
    /// How many processes some programs have, or all of them for none.
    Programs(Vec<String>) -> Vec<ProgramNumber>;
    /// Give programs other numbers of processes, with `true` for good. Answers when all that was to be stopped has been, and
    /// when that is saved.
    Scale(Vec<Scaling>, bool) -> Scaled;
    /// Let processes start with the daemon from now on, or not. They are named as for a start, or are all of a program. Answers
    /// when that is saved, if it can be.
    SetEnabled(Vec<Target>, bool) -> Enabled;
    /// Add a group of the configuration that was last read, and start what has `autostart`.
    AddProcessGroup(String) -> ();
    /// Remove a group, none of whose processes may run.
    RemoveProcessGroup(String) -> ();
    /// Remove one process that does not run, or all processes of a group (`group:*`), until the group is added again.
    RemoveProcess(Target) -> ();
    /// One of the daemon's internal tables, for debugging.
    Table(request::Table) -> Rows;
    /// End the daemon.
    Shutdown -> ();
    /// End the daemon and start it again with the configuration read anew.
    Restart -> ();
    /// Where a log can be read: the log of one stream of one process, or the activity log for `None`.
    Log(Option<(Target, Stream)>) -> LogSource;
    /// Empty the activity log.
    ClearLog -> ();
    /// Empty the logs of one process, a group, or all of them.
    ClearProcessLogs(Target) -> Applied;
    /// Write bytes to the standard input of a process.
    SendProcessStdin(Target, Vec<u8>) -> ();
    /// Send an event to the event listeners.
    SendRemoteCommEvent(RemoteCommEvent) -> ();
    /// Let another binary take over. `None` means the binary at the path from which the daemon was started. Answers a text.
    Upgrade(Option<PathBuf>) -> String;
    /// The state of the last upgrade, as a text.
    UpgradeState -> String;
    /// The errors of the last reread, as a text; empty if there were none.
    ConfigProblem -> String;
    /// The included files that the last reread left out, each with what is wrong in it.
    SkippedFiles -> Vec<String>;
    /// The last exits of a process and what will happen next.
    ProcessHistory(Target) -> Facts;
    /// The pids and versions of keeper and manager.
    Keeper -> Facts;
    /// The state of the daemon, and of one process, a group or all processes.
    Overview(Target) -> Box<overview::Overview>;
    /// The state of the daemon alone: an overview without processes.
    Daemon -> Box<overview::Overview>;
    /// How a process, a group or all processes are, in one word each, sorted by group and name.
    Health(Target) -> Vec<overview::HealthLine>;
    /// The processes that depend on others or that others depend on, sorted by name; of one process or group, those that
    /// hang together with it.
    DependencyGraph(Target) -> Vec<overview::GraphNode>;
    /// The processes that have a pid now.
    Alive -> Vec<overview::Alive>;
    /// How the configuration is read, and which groups are active.
    ConfigSource -> Box<config::ConfigSource>;
    /// The namespec of the process that a bare name means, if that may be in a group of another name; see
    /// [`crate::model::namespec::bearer`]. Answers the name itself if no such process is found.
    ResolveName(String) -> String;
}
