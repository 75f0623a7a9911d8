//! How a process says, or is asked, whether it is ready and whether it is well.

use crate::model::signal::Signal;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// One way to find out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Probe {
    /// `tcp:HOST:PORT`: somebody accepts connections there.
    Tcp {
        /// A name or an address, IPv6 without brackets. `127.0.0.1` if none was written.
        host: String,
        /// From 1 to 65535.
        port: u16,
    },
    /// `unix:PATH`: somebody accepts connections there.
    Unix(PathBuf),
    /// `http://…`: the answer to a GET has a status in the ranges.
    Http(HttpProbe),
    /// `exec:COMMAND`: it ends with exit code 0. Expanded, not yet split into words.
    Exec(String),
    /// `log:REGEX`: a line of this start matches.
    Log(String),
    /// `file:PATH`: it exists.
    File(PathBuf),
    /// The program says so by systemd's protocol, sd_notify(3).
    Notify,
    /// The program writes a line to this descriptor, as s6 expects it (notification-fd).
    Fd(i32),
}

impl Probe {
    /// Whether the process reports by itself: then nobody asks it again and again.
    pub fn is_reported(&self) -> bool {
        matches!(self, Probe::Log(_) | Probe::Notify | Probe::Fd(_))
    }
}

/// `http://HOST:PORT/PATH status=200-399 header.NAME=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpProbe {
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    /// From 1 to 65535.
    pub port: u16,
    /// With the query, beginning with a slash.
    pub path: String,
    /// Ranges of statuses that are good, both ends included.
    pub status: Vec<(u16, u16)>,
    /// Names and values of headers to send; a `Host` replaces ours.
    pub headers: Vec<(String, String)>,
}

/// `ready` and its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// It is STARTING until this succeeds.
    pub ready: Probe,
    /// The pause between two tries.
    pub ready_interval: Duration,
    /// After this it is a failed start.
    pub ready_timeout: Duration,
    /// Whether `startsecs` was written: then it must also stay up for so long.
    pub waits_for_startsecs: bool,
}

/// `health` and its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// It is well as long as this succeeds.
    pub health: Probe,
    /// The pause between two tries.
    pub health_interval: Duration,
    /// How long one try may take.
    pub health_timeout: Duration,
    /// How many failures in a row mean that it is not well.
    pub health_retries: u32,
    /// How long after RUNNING the first try is.
    pub health_start_period: Duration,
    /// What follows when it is not well.
    pub health_action: HealthAction,
}

/// What follows when a process is not well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthAction {
    /// It is stopped with its stop signal, and started again within its restart policy.
    #[default]
    Restart,
    /// It is stopped, as by a person.
    Stop,
    /// It is only told.
    None,
    /// It gets this signal.
    Signal(Signal),
}

/// What a probe has found out about a process that is up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// `None` before the first result that counts.
    pub is_healthy: Option<bool>,
    /// Failures in a row.
    pub failures: u32,
    /// What the last failure was; empty if the last try succeeded.
    pub problem: String,
}

/// What `environment` calls the socket for [`Probe::Notify`], sd_notify(3).
pub const NOTIFY_VARIABLE: &str = "NOTIFY_SOCKET";

impl Health {
    /// What is known after one more try; `retries` failures in a row mean that it is not well. Also whether it is well
    /// now, if that has changed.
    pub fn step(self, result: Result<(), String>, retries: u32) -> (Health, Option<bool>) {
        let (failures, problem) = match result {
            Ok(()) => (0, String::new()),
            Err(problem) => (self.failures.saturating_add(1), problem),
        };
        let is_healthy = match failures {
            0 => Some(true),
            n if n >= retries => Some(false),
            _ => self.is_healthy,
        };
        let change = is_healthy.filter(|_| is_healthy != self.is_healthy);
        (Health { is_healthy, failures, problem }, change)
    }
}
