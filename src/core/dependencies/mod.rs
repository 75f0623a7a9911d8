//! Who waits for whom, and in which order processes end.
//!
//! [`Graph`] knows all processes and what each of them depends on. It is told where every process stands
//! ([`Standing`]), and answers whose [`Verdict`] that changes. [`StopOrder`] hands out what may be stopped next.
//!
//! A dependency may stand for many processes: a group, a pattern. These are one *set*, which all dependents with the
//! same item share:
//!
//! ```text
//!   web_0 ─┐                      ┌─► db_0
//!   web_1 ─┼─► set "db", ready ───┼─► db_1
//!   web_2 ─┘   2 unmet, 1 failed  └─► db_2
//! ```
//!
//! A thousand processes that depend on a thousand others have two thousand edges and not a million. The set counts its
//! members that do not fulfil the condition, and each process counts its items that do not hold. An event therefore
//! costs the sets in which its process is, and the dependents of those sets whose answer changes.
//!
//! A valid configuration has no cycle. Groups that are added later can make one: its processes wait for each other, and
//! all orders here still contain every process once.

mod graph;
mod order;
mod set;
mod stop_order;

pub use graph::{Graph, Member, Need, Neighbour};
pub use stop_order::{Active, StopOrder};

use crate::model::dependency::Condition;
use crate::model::state::ProcessState;
use std::fmt;

#[cfg(test)]
mod cost_tests;
#[cfg(test)]
mod graph_tests;
#[cfg(test)]
mod stop_order_tests;
#[cfg(test)]
mod walk_tests;

/// Where a process stands, as far as its dependents are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// RUNNING.
    Up {
        /// Whether its health check has succeeded; false if it has none.
        is_healthy: bool,
    },
    /// Something will become of it by itself. It is STARTING, waits for a dependency or in BACKOFF, is EXITED or FATAL
    /// and will be started again, or is STOPPING.
    Moving(ProcessState),
    /// It stays as it is until somebody starts it. That includes FATAL for the sake of a dependency.
    Resting(Rest),
}

/// How a process came to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// STOPPED: it was stopped, or has not been started yet.
    Stopped,
    /// EXITED, as expected.
    Done,
    /// EXITED in another way.
    Unexpected,
    /// FATAL.
    Fatal,
    /// UNKNOWN: nobody knows whether it still runs.
    Unknown,
}

/// What the state machine of a process says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its state, as clients see it.
    pub state: ProcessState,
    /// In EXITED and FATAL: whether it is started again by itself after a time.
    pub comes_again: bool,
    /// In EXITED: whether it ended as expected.
    pub was_expected: bool,
    /// In RUNNING: whether its health check has succeeded.
    pub is_healthy: bool,
}

impl From<Facts> for Standing {
    fn from(facts: Facts) -> Standing {
        match facts.state {
            ProcessState::Running => Standing::Up { is_healthy: facts.is_healthy },
            ProcessState::Starting | ProcessState::Backoff | ProcessState::Stopping => {
                Standing::Moving(facts.state)
            }
            ProcessState::Exited | ProcessState::Fatal if facts.comes_again => Standing::Moving(facts.state),
            ProcessState::Exited if facts.was_expected => Standing::Resting(Rest::Done),
            ProcessState::Exited => Standing::Resting(Rest::Unexpected),
            ProcessState::Fatal => Standing::Resting(Rest::Fatal),
            ProcessState::Stopped => Standing::Resting(Rest::Stopped),
            ProcessState::Unknown => Standing::Resting(Rest::Unknown),
        }
    }
}

impl Standing {
    /// The state, as clients see it.
    pub fn state(self) -> ProcessState {
        match self {
            Standing::Up { .. } => ProcessState::Running,
            Standing::Moving(state) => state,
            Standing::Resting(Rest::Stopped) => ProcessState::Stopped,
            Standing::Resting(Rest::Done | Rest::Unexpected) => ProcessState::Exited,
            Standing::Resting(Rest::Fatal) => ProcessState::Fatal,
            Standing::Resting(Rest::Unknown) => ProcessState::Unknown,
        }
    }

    /// Whether a condition on this process holds now. What it was before does not matter.
    pub fn judge(self, condition: Condition) -> Verdict {
        use Condition::*;
        match (self, condition) {
            (Standing::Up { .. }, Ready) => Verdict::Met,
            (Standing::Up { is_healthy: true }, Healthy) => Verdict::Met,
            (Standing::Up { is_healthy: false }, Healthy) => Verdict::Unmet,
            (Standing::Up { .. }, Done | Exited) => Verdict::Unmet,
            (Standing::Moving(_), _) => Verdict::Unmet,
            (Standing::Resting(Rest::Done), Done | Exited) => Verdict::Met,
            (Standing::Resting(Rest::Unexpected | Rest::Fatal), Exited) => Verdict::Met,
            (Standing::Resting(_), _) => Verdict::Failed,
        }
    }
}

/// Whether what a process depends on lets it start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything holds.
    Met,
    /// Something does not hold yet and may come by itself.
    Unmet,
    /// Something that it cannot do without does not hold and does not come by itself.
    Failed,
}

/// The verdict of a process is another one now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The process that depends on something.
    pub id: u32,
    /// What holds for it now.
    pub verdict: Verdict,
}

/// Why the verdict of a process is [`Verdict::Failed`]. Its text goes into `spawnerr`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The namespec of the process that stands in the way; the target as written if there is none.
    pub on: String,
    /// The state in which it rests; `None` if it is not there.
    pub state: Option<ProcessState>,
}

/// `depends on db, which is FATAL`.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.map_or("not there", ProcessState::name);
        write!(f, "depends on {}, which is {state}", self.on)
    }
}

/// What a process still waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// The first processes that do not fulfil a condition yet, each once.
    pub first: Vec<Waited>,
    /// Whether there are others.
    pub has_more: bool,
}

/// One process that another one waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    /// Its namespec.
    pub name: String,
    /// Its state.
    pub state: ProcessState,
    /// The condition that does not hold.
    pub condition: Condition,
}

/// `db (BACKOFF), cache (RUNNING, not healthy) and others`.
impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, waited) in self.first.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{} ({}", waited.name, waited.state)?;
            if waited.state == ProcessState::Running && waited.condition == Condition::Healthy {
                f.write_str(", not healthy")?;
            }
            f.write_str(")")?;
        }
        f.write_str(if self.has_more { " and others" } else { "" })
    }
}
