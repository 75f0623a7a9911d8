//! How soon, and how often, a process is started again by itself.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The restart policy of a process: the keys beside `autorestart`, `startretries` and `exitcodes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// The least pause between an exit and the next automatic start, never zero. `None` if there is none: no pause after an
    /// exit, and steps of a second in BACKOFF.
    pub restart_delay: Option<Duration>,
    /// How the pause grows with failures in a row.
    pub restart_backoff: Backoff,
    /// The longest pause. `None`: [`Backoff::most`].
    pub restart_delay_max: Option<Duration>,
    /// By how many percent of itself a pause is lengthened at most, at random.
    pub restart_jitter: u32,
    /// How long it must run until its failures are forgotten. `None`: until it is RUNNING.
    pub restart_reset: Option<Duration>,
    /// How many automatic starts there may be in a time.
    pub restart_limit: Option<RestartLimit>,
    /// The exit codes that no automatic start follows.
    pub stay_down_exitcodes: Vec<u8>,
    /// How long it stays FATAL until it is tried again; zero for ever.
    pub retry_fatal_after: Duration,
}

impl RestartPolicy {
    /// Whether none of the keys was written.
    pub fn is_default(&self) -> bool {
        *self == RestartPolicy::default()
    }
}

/// How the pause before a start grows with failures in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backoff {
    /// By the same amount each time, as in Supervisor.
    #[default]
    Linear,
    /// It doubles each time.
    Exponential,
    /// It does not grow.
    Fixed,
}

impl Backoff {
    /// The longest pause if `restart_delay_max` says nothing.
    pub fn most(self) -> Option<Duration> {
        match self {
            Backoff::Exponential => Some(Duration::from_secs(60)),
            Backoff::Linear | Backoff::Fixed => None,
        }
    }
}

/// `5/60s`: one automatic start more within that time makes the process FATAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartLimit {
    /// From 1 to [`MOST_COUNTED_STARTS`].
    pub starts: u32,
    /// More than zero.
    pub within: Duration,
}

/// The moments of so many starts fit into what one manager leaves to the next.
pub const MOST_COUNTED_STARTS: u32 = 64;
