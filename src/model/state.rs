//! The states of processes, of the daemon and of event listeners, with their names and wire numbers.

use serde::{Deserialize, Serialize};

/// Where a process is in its life, as clients see it.
///
/// The numbers are those of Supervisor's `ProcessStates`; clients store and compare them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u16)]
pub enum ProcessState {
    /// It was stopped, or has not been started yet.
    Stopped = 0,
    /// It was started and has not been up for `startsecs` yet.
    Starting = 10,
    /// It has been up for `startsecs`.
    Running = 20,
    /// It ended too soon, or could not be started, and is tried again.
    Backoff = 30,
    /// It was asked to stop and has not ended yet.
    Stopping = 40,
    /// It was RUNNING and ended by itself.
    Exited = 100,
    /// It failed too often in a row and is not tried again.
    Fatal = 200,
    /// Nobody knows, because a signal could not be sent to it.
    Unknown = 1000,
}

impl ProcessState {
    /// Every state, in the order of their numbers.
    pub const ALL: [ProcessState; 8] = [
        ProcessState::Stopped,
        ProcessState::Starting,
        ProcessState::Running,
        ProcessState::Backoff,
        ProcessState::Stopping,
        ProcessState::Exited,
        ProcessState::Fatal,
        ProcessState::Unknown,
    ];

    /// The number on the wire.
    pub fn code(self) -> i32 {
        i32::from(self as u16)
    }

    /// The state with this number on the wire, if there is one.
    pub fn from_code(code: i32) -> Option<ProcessState> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// The name on the wire and on the screen, for example `RUNNING`.
    pub fn name(self) -> &'static str {
        match self {
            ProcessState::Stopped => "STOPPED",
            ProcessState::Starting => "STARTING",
            ProcessState::Running => "RUNNING",
            ProcessState::Backoff => "BACKOFF",
            ProcessState::Stopping => "STOPPING",
            ProcessState::Exited => "EXITED",
            ProcessState::Fatal => "FATAL",
            ProcessState::Unknown => "UNKNOWN",
        }
    }

    /// Whether nothing runs and nothing will without somebody asking: STOPPED, EXITED, FATAL or UNKNOWN.
    pub fn is_stopped(self) -> bool {
        matches!(
            self,
            ProcessState::Stopped | ProcessState::Exited | ProcessState::Fatal | ProcessState::Unknown
        )
    }

    /// Whether the process runs or is on its way there: STARTING, RUNNING or BACKOFF.
    pub fn is_running(self) -> bool {
        matches!(self, ProcessState::Starting | ProcessState::Running | ProcessState::Backoff)
    }

    /// Whether there is a live process to send a signal to: STARTING, RUNNING or STOPPING.
    pub fn is_signallable(self) -> bool {
        matches!(self, ProcessState::Starting | ProcessState::Running | ProcessState::Stopping)
    }
}

impl std::fmt::Display for ProcessState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What the daemon as a whole is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SupervisorState {
    /// It takes all requests.
    Running,
    /// It is on its way down and comes up again.
    Restarting,
    /// It is on its way down.
    Shutdown,
}

impl SupervisorState {
    /// The number on the wire.
    pub fn code(self) -> i32 {
        match self {
            SupervisorState::Running => 1,
            SupervisorState::Restarting => 0,
            SupervisorState::Shutdown => -1,
        }
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            SupervisorState::Running => "RUNNING",
            SupervisorState::Restarting => "RESTARTING",
            SupervisorState::Shutdown => "SHUTDOWN",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back_to_their_states() {
        for state in ProcessState::ALL {
            assert_eq!(ProcessState::from_code(state.code()), Some(state));
        }
        assert_eq!(ProcessState::from_code(15), None);
    }
}
