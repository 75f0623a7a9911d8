//! What Supervisor does not know of processes, as our daemons tell it: how they are, what they wait for, how they are
//! restarted.

use crate::ctl::graph::Need;
use crate::ctl::records::{self, Members};
use crate::model::namespec;
use crate::rpc::client::CallError;
use crate::rpc::wire::Value;
use serde::Serialize;

/// How one process is, in a word and a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct HealthLine {
    pub group: String,
    pub name: String,
    /// `healthy`, `unhealthy`, `running`, `starting`, `waiting`, `finished`, `stopped` or `failed`.
    pub health: String,
    /// Empty if that needs no words.
    pub reason: String,
}

impl HealthLine {
    /// How it is addressed: `name`, or `group:name`.
    pub(crate) fn namespec(&self) -> String {
        namespec::display(&self.group, &self.name)
    }

    /// Whether such a process is no reason to call the whole unhealthy. A word that this client does not know is one.
    pub(crate) fn is_good(&self) -> bool {
        ["healthy", "running", "finished", "stopped"].contains(&self.health.as_str())
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`CallError::Unexpected`] if it is no struct.
    pub(crate) fn read(value: &Value) -> Result<HealthLine, CallError> {
        let members = Members::of(value)?;
        Ok(HealthLine {
            group: members.text("group"),
            name: members.text("name"),
            health: members.text("health"),
            reason: members.text("reason"),
        })
    }
}

/// What the history of a process tells beyond its exits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    /// Whether it is a job (`type=oneshot`).
    pub is_job: bool,
    /// Whom it waits for, `db (BACKOFF)`; empty if it does not wait.
    pub waiting_for: String,
    pub needs: Vec<Need>,
    /// How it becomes ready; empty without `ready`.
    pub ready: String,
    /// How its health is checked; empty without `health`.
    pub health: String,
    /// `None` before the first result that counts.
    pub is_healthy: Option<bool>,
    pub health_failures: i64,
    pub health_retries: i64,
    /// What it and all that it has started used when that was measured last, `480MB`; empty if it was not.
    pub memory: String,
    /// What they may use together; empty without `memory_limit`.
    pub memory_limit: String,
    /// Its keys about limits, ranks, groups, credentials and confinement; empty without any.
    pub given: String,
    /// What the last probe has found wrong; empty if nothing.
    pub problem: String,
    /// Failed starts in a row.
    pub failures: i64,
    /// Negative: it is never given up.
    pub startretries: i64,
    /// How often it was started by itself within the time of its `restart_limit`, how often it may be, and that time.
    pub automatic_starts: Option<(i64, i64, String)>,
    /// It runs, has failed, and is to end.
    pub is_failing: bool,
    /// It is at rest, and starts when what it depends on holds.
    pub comes_back: bool,
    /// Somebody started it without what it depends on.
    pub is_alone: bool,
    /// Its control group, while it is up and has one.
    pub cgroup: Option<Cgroup>,
    /// Somebody has disabled it.
    pub is_disabled: bool,
}

/// The control group of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cgroup {
    directory: String,
    /// Of what the kernel counts, in words.
    used: Vec<String>,
}

impl Cgroup {
    fn read(members: &Members<'_>) -> Cgroup {
        let number = |name: &str| members.get(name).map(|_| members.number(name));
        let memory = number("cgroup_memory_kib").map(|kib| format!("memory {kib} KiB"));
        // A float holds the milliseconds of 285,000 years.
        let cpu = number("cgroup_cpu_ms").map(|ms| format!("processor time {:.3} s", ms as f64 / 1000.0));
        let tasks = number("cgroup_tasks").map(|n| format!("tasks {n}"));
        Cgroup {
            directory: members.text("cgroup"),
            used: [memory, cpu, tasks].into_iter().flatten().collect(),
        }
    }
}

impl Life {
    /// Reads it out of a history; `None` if the configuration of the process asks for nothing of that, or its daemon
    /// knows nothing of it.
    ///
    /// # Errors
    /// [`CallError::Unexpected`] if something in it has another shape.
    pub(crate) fn read(members: &Members<'_>) -> Result<Option<Life>, CallError> {
        if members.get("oneshot").is_none() {
            return Ok(None);
        }
        let needs = match members.get("needs") {
            Some(needs) => records::array(needs)?.iter().map(Need::read).collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let limit = members.get("automatic_starts_limit").map(|_| {
            let number = |name| members.number(name);
            (
                number("automatic_starts"),
                number("automatic_starts_limit"),
                members.text("automatic_starts_within"),
            )
        });
        Ok(Some(Life {
            is_job: members.flag("oneshot"),
            waiting_for: members.text("waiting_for"),
            needs,
            ready: members.text("ready"),
            health: members.text("health"),
            is_healthy: members.get("healthy").map(|_| members.flag("healthy")),
            health_failures: members.number("health_failures"),
            health_retries: members.number("health_retries"),
            memory: members.text("memory"),
            memory_limit: members.text("memory_limit"),
            given: members.text("given"),
            problem: members.text("problem"),
            failures: members.number("failures"),
            startretries: members.number("startretries"),
            automatic_starts: limit,
            is_failing: members.flag("failing"),
            comes_back: members.flag("comes_back"),
            is_alone: members.flag("alone"),
            cgroup: members.get("cgroup").map(|_| Cgroup::read(members)),
            is_disabled: members.flag("disabled"),
        }))
    }

    /// What `why` says of it, line by line: what it depends on, its probes, its restarts.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.is_disabled {
            lines.push("disabled: it does not start with the daemon (enable)".to_string());
        }
        if !self.needs.is_empty() {
            let alone = if self.is_alone { " (it was started without waiting for that)" } else { "" };
            lines.push(format!("depends on{alone}:"));
            lines.extend(self.needs.iter().map(|need| format!("  {}", need.in_words())));
        }
        if !self.ready.is_empty() {
            lines.push(format!("ready: when {} succeeds", self.ready));
        }
        if !self.health.is_empty() {
            let how = match self.is_healthy {
                Some(true) => "healthy",
                Some(false) => "unhealthy",
                None => "not known yet",
            };
            lines.push(format!("health: {}, {how}", self.health));
        }
        match (self.memory.as_str(), self.memory_limit.as_str()) {
            (_, "") => {}
            ("", limit) => lines.push(format!("memory: not measured yet, at most {limit}")),
            (used, limit) => lines.push(format!("memory: {used}, at most {limit}")),
        }
        if !self.given.is_empty() {
            lines.push(format!("given: {}", self.given));
        }
        if self.health_failures > 0 && self.is_healthy != Some(false) {
            lines.push(format!(
                "  {} of {} failures in a row that make it unhealthy",
                self.health_failures, self.health_retries
            ));
        }
        if !self.problem.is_empty() {
            lines.push(format!("  last try: {}", self.problem));
        }
        if self.failures > 0 {
            let most = match self.startretries {
                ..0 => "it is never given up".to_string(),
                0 => "it is given up after the first".to_string(),
                n => format!("it is given up after {}", n + 1),
            };
            lines.push(format!("failures in a row: {}; {most}", self.failures));
        }
        if let Some((n_starts, limit, within)) = &self.automatic_starts {
            lines.push(format!("automatic starts: {n_starts} of {limit} within {within}"));
        }
        if let Some(Cgroup { directory, used }) = &self.cgroup {
            lines.push(format!("control group: {directory}"));
            if !used.is_empty() {
                lines.push(format!("  {}", used.join(", ")));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn read(members: &[(&str, Value)]) -> Option<Life> {
        let members: BTreeMap<String, Value> =
            members.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
        Life::read(&Members::of(&Value::Struct(members)).unwrap()).unwrap()
    }

    #[test]
    fn a_daemon_that_knows_nothing_of_it_is_understood() {
        assert_eq!(read(&[("next", Value::String(String::new()))]), None);
    }

    #[test]
    fn only_what_is_configured_is_told() {
        let plain = [("oneshot", Value::Boolean(true)), ("startretries", Value::Integer(3))];
        assert_eq!(read(&plain).unwrap().lines(), Vec::<String>::new());
        let probed = [
            ("oneshot", Value::Boolean(false)),
            ("startretries", Value::Integer(-1)),
            ("failures", Value::Integer(2)),
            ("health", Value::String("tcp:80".into())),
            ("health_failures", Value::Integer(1)),
            ("health_retries", Value::Integer(3)),
            ("problem", Value::String("connection refused".into())),
            ("automatic_starts", Value::Integer(2)),
            ("automatic_starts_limit", Value::Integer(5)),
            ("automatic_starts_within", Value::String("1m".into())),
        ];
        let expected = [
            "health: tcp:80, not known yet",
            "  1 of 3 failures in a row that make it unhealthy",
            "  last try: connection refused",
            "failures in a row: 2; it is never given up",
            "automatic starts: 2 of 5 within 1m",
        ];
        assert_eq!(read(&probed).unwrap().lines(), expected);
    }
}
