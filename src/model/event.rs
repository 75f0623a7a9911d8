//! The types of events that a listener can subscribe to, by name.

use crate::model::state::ProcessState;
use serde::{Deserialize, Serialize};

/// A concrete type of event. Abstract types, such as `PROCESS_STATE`, exist only as subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Kind {
    /// A process has become STARTING.
    Starting,
    /// A process has become RUNNING.
    Running,
    /// A process has become BACKOFF.
    Backoff,
    /// A process has become STOPPING.
    Stopping,
    /// A process has become EXITED.
    Exited,
    /// A process has become STOPPED.
    Stopped,
    /// A process has become FATAL.
    Fatal,
    /// A process has become UNKNOWN.
    Unknown,
    /// Between the two marks of capture mode, a process has written to its standard output.
    CommunicationStdout,
    /// The same on its standard error.
    CommunicationStderr,
    /// A process with `stdout_events_enabled` has written to its standard output.
    LogStdout,
    /// A process with `stderr_events_enabled` has written to its standard error.
    LogStderr,
    /// A client has called `sendRemoteCommEvent`.
    RemoteCommunication,
    /// The daemon is up.
    SupervisorRunning,
    /// The daemon begins to shut down or to restart.
    SupervisorStopping,
    /// The wall clock has entered another period of 5 seconds.
    Tick5,
    /// The wall clock has entered another minute.
    Tick60,
    /// The wall clock has entered another hour.
    Tick3600,
    /// A group has become active.
    GroupAdded,
    /// A group is no longer active.
    GroupRemoved,
    /// The health check of a process has succeeded, for the first time or again. Not in Supervisor, as the next one.
    Healthy,
    /// The health check of a process has failed too often.
    Unhealthy,
}

impl Kind {
    /// Every kind, each at the index that is its number in [`Kinds`].
    pub const ALL: [Kind; 22] = [
        Kind::Starting,
        Kind::Running,
        Kind::Backoff,
        Kind::Stopping,
        Kind::Exited,
        Kind::Stopped,
        Kind::Fatal,
        Kind::Unknown,
        Kind::CommunicationStdout,
        Kind::CommunicationStderr,
        Kind::LogStdout,
        Kind::LogStderr,
        Kind::RemoteCommunication,
        Kind::SupervisorRunning,
        Kind::SupervisorStopping,
        Kind::Tick5,
        Kind::Tick60,
        Kind::Tick3600,
        Kind::GroupAdded,
        Kind::GroupRemoved,
        Kind::Healthy,
        Kind::Unhealthy,
    ];

    /// The name on the wire (Supervisor, events.py, EventTypes).
    pub fn name(self) -> &'static str {
        match self {
            Kind::Starting => "PROCESS_STATE_STARTING",
            Kind::Running => "PROCESS_STATE_RUNNING",
            Kind::Backoff => "PROCESS_STATE_BACKOFF",
            Kind::Stopping => "PROCESS_STATE_STOPPING",
            Kind::Exited => "PROCESS_STATE_EXITED",
            Kind::Stopped => "PROCESS_STATE_STOPPED",
            Kind::Fatal => "PROCESS_STATE_FATAL",
            Kind::Unknown => "PROCESS_STATE_UNKNOWN",
            Kind::CommunicationStdout => "PROCESS_COMMUNICATION_STDOUT",
            Kind::CommunicationStderr => "PROCESS_COMMUNICATION_STDERR",
            Kind::LogStdout => "PROCESS_LOG_STDOUT",
            Kind::LogStderr => "PROCESS_LOG_STDERR",
            Kind::RemoteCommunication => "REMOTE_COMMUNICATION",
            Kind::SupervisorRunning => "SUPERVISOR_STATE_CHANGE_RUNNING",
            Kind::SupervisorStopping => "SUPERVISOR_STATE_CHANGE_STOPPING",
            Kind::Tick5 => "TICK_5",
            Kind::Tick60 => "TICK_60",
            Kind::Tick3600 => "TICK_3600",
            Kind::GroupAdded => "PROCESS_GROUP_ADDED",
            Kind::GroupRemoved => "PROCESS_GROUP_REMOVED",
            Kind::Healthy => "PROCESS_HEALTHY",
            Kind::Unhealthy => "PROCESS_UNHEALTHY",
        }
    }

    /// The event of a process that has entered this state.
    pub fn of_state(state: ProcessState) -> Kind {
        match state {
            ProcessState::Starting => Kind::Starting,
            ProcessState::Running => Kind::Running,
            ProcessState::Backoff => Kind::Backoff,
            ProcessState::Stopping => Kind::Stopping,
            ProcessState::Exited => Kind::Exited,
            ProcessState::Stopped => Kind::Stopped,
            ProcessState::Fatal => Kind::Fatal,
            ProcessState::Unknown => Kind::Unknown,
        }
    }

    /// The kind of this name, if it is a concrete one.
    fn of_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether a subscription under this name, concrete or abstract, is one to this kind.
    fn is_meant_by(self, name: &str) -> bool {
        let rest = self.name().strip_prefix(name);
        name == "EVENT" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    }
}

/// The names that mean several kinds.
const ABSTRACT: [&str; 7] = [
    "EVENT",
    "PROCESS_STATE",
    "PROCESS_COMMUNICATION",
    "PROCESS_LOG",
    "SUPERVISOR_STATE_CHANGE",
    "TICK",
    "PROCESS_GROUP",
];

/// Whether a pool can subscribe under this name, concrete or abstract.
pub fn is_type(name: &str) -> bool {
    ABSTRACT.contains(&name) || Kind::of_name(name).is_some()
}

/// A set of kinds: the subscriptions of a pool, or of all pools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kinds(u32);

impl Kinds {
    /// What a list of names subscribes to. Names that mean nothing are left out.
    pub fn from_names<S: AsRef<str>>(names: &[S]) -> Kinds {
        let meant = |kind: &Kind| names.iter().any(|name| kind.is_meant_by(name.as_ref()));
        Kinds(Kind::ALL.into_iter().filter(meant).map(bit).sum())
    }

    /// A set as [`Kinds::bits`] gave it.
    pub fn from_bits(bits: u32) -> Kinds {
        Kinds(bits)
    }

    /// The set as a number that can be stored: bit *n* is the kind with index *n* in [`Kind::ALL`].
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether this kind is in the set.
    pub fn contain(self, kind: Kind) -> bool {
        self.0 & bit(kind) != 0
    }

    /// What is in either set.
    pub fn union(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }
}

/// 22 kinds fit into 32 bits.
fn bit(kind: Kind) -> u32 {
    1 << kind as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(name: &str) -> Vec<&'static str> {
        let kinds = Kinds::from_names(&[name]);
        Kind::ALL.into_iter().filter(|kind| kinds.contain(*kind)).map(Kind::name).collect()
    }

    #[test]
    fn abstract_types_mean_their_subtypes() {
        assert_eq!(meant("EVENT").len(), 22);
        assert_eq!(meant("PROCESS_STATE").len(), 8);
        assert_eq!(meant("PROCESS_LOG"), ["PROCESS_LOG_STDOUT", "PROCESS_LOG_STDERR"]);
        assert_eq!(meant("TICK"), ["TICK_5", "TICK_60", "TICK_3600"]);
        assert_eq!(meant("PROCESS_GROUP"), ["PROCESS_GROUP_ADDED", "PROCESS_GROUP_REMOVED"]);
        assert_eq!(meant("REMOTE_COMMUNICATION"), ["REMOTE_COMMUNICATION"]);
        assert_eq!(meant("NONSENSE"), [""; 0]);
    }

    #[test]
    fn every_name_that_may_be_configured_means_something() {
        for kind in Kind::ALL {
            assert!(is_type(kind.name()));
            assert_eq!(meant(kind.name()), [kind.name()]);
        }
        for name in ABSTRACT {
            assert!(is_type(name) && meant(name).len() > 1, "{name}");
        }
        for name in ["", "PROCESS", "PROCESS_STATE_", "tick", "TICK_6"] {
            assert!(!is_type(name), "{name}");
        }
    }
}
