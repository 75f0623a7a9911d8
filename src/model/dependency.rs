//! What a process waits for before it starts.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// `depends_on` and the keys beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependencies {
    /// All of them must hold.
    pub depends_on: Vec<Dependency>,
    /// How long it waits for them. `None`: for ever.
    pub dependency_timeout: Option<Duration>,
    /// What becomes of it when one that held does not hold any more.
    pub depends_restart: DependsRestart,
}

impl Dependencies {
    /// Whether none of the keys was written.
    pub fn is_default(&self) -> bool {
        *self == Dependencies::default()
    }
}

/// One item of `depends_on`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dependency {
    /// As written: a program, a group, a process, `group:process`, or a pattern of these with `*`.
    pub target: String,
    /// What must be true of all that it stands for.
    pub condition: Condition,
    /// Only the order matters: it is no obstacle once it is at rest, whatever its state.
    pub is_soft: bool,
}

/// `db:healthy?`, without the condition if that is [`Condition::Ready`].
impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.target)?;
        if self.condition != Condition::Ready {
            write!(f, ":{}", self.condition.word())?;
        }
        f.write_str(if self.is_soft { "?" } else { "" })
    }
}

/// What must be true of a process for those who depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Condition {
    /// RUNNING; with `ready`, once that has succeeded.
    #[default]
    Ready,
    /// RUNNING, and its health check has succeeded.
    Healthy,
    /// It has ended as expected.
    Done,
    /// It has ended.
    Exited,
}

impl Condition {
    /// Its word in a configuration.
    pub fn word(self) -> &'static str {
        match self {
            Condition::Ready => "ready",
            Condition::Healthy => "healthy",
            Condition::Done => "done",
            Condition::Exited => "exited",
        }
    }

    /// The condition with this word, or with the word that other supervisors have for it.
    pub fn from_word(word: &str) -> Option<Condition> {
        Some(match word {
            "ready" | "running" | "started" | "process_started" => Condition::Ready,
            "healthy" | "process_healthy" => Condition::Healthy,
            "done" | "process_completed_successfully" => Condition::Done,
            "exited" | "process_completed" => Condition::Exited,
            _ => return None,
        })
    }
}

/// What becomes of a process when something that it depends on is stopped or restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DependsRestart {
    /// It runs on.
    #[default]
    None,
    /// It is stopped, and started when its conditions hold again.
    Restart,
    /// It is stopped at once, and started when its conditions hold again.
    Stop,
}
