//! How a process says, or is asked, whether it is ready and whether it is well.

use crate::model::signal::Signal;
use crate::model::time::Monotonic;
use serde::{Deserialize, Serialize};
use std::fmt;
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

/// As a configuration would write it.
impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Probe::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Probe::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
            Probe::Unix(path) => write!(f, "unix:{}", path.display()),
            Probe::Http(HttpProbe { host, port, path, .. }) if host.contains(':') => {
                write!(f, "http://[{host}]:{port}{path}")
            }
            Probe::Http(HttpProbe { host, port, path, .. }) => write!(f, "http://{host}:{port}{path}"),
            Probe::Exec(command) => write!(f, "exec:{command}"),
            Probe::Log(pattern) => write!(f, "log:{pattern}"),
            Probe::File(path) => write!(f, "file:{}", path.display()),
            Probe::Notify => f.write_str("notify"),
            Probe::Fd(number) => write!(f, "fd:{number}"),
        }
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

/// Probes are never closer than this, whatever a configuration says.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// When the next try is due: at a multiple of the interval, so that all probes with the same one come in one wake-up,
/// and at least half of it ahead, so that one that took long is not followed at once by another.
pub fn next_probe(now: Monotonic, interval: Duration) -> Monotonic {
    let interval = interval.max(SHORTEST_INTERVAL);
    let step = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
    let earliest = now + interval / 2;
    Monotonic(earliest.0.checked_next_multiple_of(step).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the tries say one after the other: `+` success, `-` failure; with what changes, and the failures in a row.
    fn story(tries: &str, retries: u32) -> String {
        let mut health = Health::default();
        let mut told = String::new();
        for (number, one) in tries.chars().enumerate() {
            let result = if one == '+' { Ok(()) } else { Err(format!("problem {number}")) };
            let problem = result.as_ref().err().cloned().unwrap_or_default();
            let before = health.is_healthy;
            let (after, change) = health.step(result, retries);
            assert_eq!(after.problem, problem);
            assert_eq!(change.is_some(), after.is_healthy != before, "a change is told once");
            let known = match after.is_healthy {
                None => '?',
                Some(true) => 'h',
                Some(false) => 'u',
            };
            let known = if change.is_some() { known.to_ascii_uppercase() } else { known };
            told += &format!("{known}{} ", after.failures);
            health = after;
        }
        told.trim_end().to_string()
    }

    #[test]
    fn health_changes_with_a_success_or_with_enough_failures() {
        for (tries, retries, expected) in [
            // The first success is a change, the next one is not.
            ("++", 3, "H0 h0"),
            // Nothing is known until there are enough failures.
            ("---", 3, "?1 ?2 U3"),
            ("--+", 3, "?1 ?2 H0"),
            // A success in between begins the count anew.
            ("+--+--", 3, "H0 h1 h2 h0 h1 h2"),
            ("+---", 3, "H0 h1 h2 U3"),
            // Once unhealthy it is not said again, and one success is enough.
            ("+-----+", 3, "H0 h1 h2 U3 u4 u5 H0"),
            ("+-+-", 1, "H0 U1 H0 U1"),
            // No number of failures is less than one.
            ("-+-", 0, "U1 H0 U1"),
            ("+--", u32::MAX, "H0 h1 h2"),
        ] {
            assert_eq!(story(tries, retries), expected, "{tries} with {retries}");
        }
        let tired = Health { is_healthy: Some(false), failures: u32::MAX, problem: String::new() };
        let (after, change) = tired.step(Err("again".to_string()), 3);
        assert_eq!((after.failures, change), (u32::MAX, None));
    }

    #[test]
    fn probes_with_the_same_interval_fall_together() {
        const S: u64 = 1_000_000_000;
        for (now, interval, expected) in [
            (0, 10 * S, 10 * S),
            (10 * S, 10 * S, 20 * S),
            (S, 10 * S, 10 * S),
            // Just far enough, and just too near.
            (5 * S, 10 * S, 10 * S),
            (5 * S + 1, 10 * S, 20 * S),
            (19 * S, 10 * S, 30 * S),
            // Fractions, and an interval that has no half.
            (S, S / 2, 3 * S / 2),
            (1_200_000_000, S / 2, 1_500_000_000),
            (4_000_000, 3_000_001, 6_000_002),
            // Nothing is probed without a pause.
            (7_300_000, 0, 8_000_000),
            // Ends of the clock.
            (u64::MAX - 1, 10 * S, u64::MAX),
            (S, u64::MAX, u64::MAX),
        ] {
            let next = next_probe(Monotonic(now), Duration::from_nanos(interval));
            assert_eq!(next, Monotonic(expected), "{now} every {interval}");
        }
        let endless = next_probe(Monotonic(1), Duration::MAX);
        assert_eq!(endless, Monotonic(u64::MAX));
        // Wherever they begin, all of them meet.
        let interval = Duration::from_millis(700);
        let mut beginnings: Vec<Monotonic> = (0..700).map(|ms| Monotonic(ms * 1_000_000 + 13)).collect();
        beginnings.iter_mut().for_each(|at| *at = next_probe(*at, interval));
        beginnings.iter_mut().for_each(|at| *at = next_probe(*at, interval));
        beginnings.dedup();
        assert_eq!(beginnings.len(), 2, "two halves, one step apart: {beginnings:?}");
        assert_eq!(beginnings[1].since(beginnings[0]), interval);
    }
}
