//! What is said of one process: how it is run, restarted and stopped, and as whom. What of it is the same in containers,
//! quadlet uses as well.

use crate::config::command;
use crate::convert::export::{Options, Program};
use crate::convert::losses::Losses;
use crate::convert::systemd::text::{self, Unit};
use crate::model::config::{Autorestart, DaemonConfig, ProcessConfig, StopScope};
use crate::model::probe::{Probe, Readiness};
use crate::model::restart::Backoff;
use crate::model::signal::Signal;
use std::path::Path;
use std::time::Duration;

pub(in crate::convert) const SERVICE: &str = "Service";

/// Signals whose deaths systemd takes for a good end (systemd.service(5), SuccessExitStatus=), and Supervisor does not.
const CLEAN_SIGNALS: [&str; 4] = ["SIGHUP", "SIGINT", "SIGTERM", "SIGPIPE"];

/// One process of a program while its unit is made.
pub(in crate::convert) struct Making<'a> {
    pub program: &'a Program,
    pub process: &'a ProcessConfig,
    pub daemon: &'a DaemonConfig,
    pub options: &'a Options,
    pub unit: Unit,
    pub losses: &'a mut Losses,
}

impl Making<'_> {
    pub(in crate::convert) fn add(&mut self, key: &str, value: impl Into<String>) {
        self.unit.add(SERVICE, key, value);
    }

    /// Notes that a written key is lost.
    pub(in crate::convert) fn lose(&mut self, key: &str, why: &str) {
        self.program.lose(key, why, self.losses);
    }

    /// `Type=`, and what says that it is up.
    pub(super) fn kind(&mut self, is_waited_for: bool) {
        let readiness = self.process.readiness.as_deref();
        let is_notify = readiness.is_some_and(|readiness| readiness.ready == Probe::Notify);
        let kind = match (self.process.is_oneshot(), is_notify) {
            (true, _) => "oneshot",
            (_, true) => "notify",
            _ => "exec",
        };
        self.add("Type", kind);
        if self.process.is_oneshot() && is_waited_for {
            // Else it would be run again for each that depends on it.
            self.add("RemainAfterExit", "yes");
        }
        if self.process.wants_notify_socket() {
            self.add("NotifyAccess", "all");
        }
        if !self.process.is_oneshot() && !self.process.startsecs.is_zero() {
            self.lose(
                "startsecs",
                "systemd does not wait whether a service stays up: let the program say it, with ready=notify",
            );
        }
    }

    /// `ExecStart=`. Whether there is a command.
    pub(super) fn command(&mut self) -> bool {
        let what = format!("[{}] command", self.program.section);
        let words = match command::split(&self.process.command) {
            Ok(words) if !words.is_empty() => words,
            Ok(_) => {
                self.losses.note(what, "", "it is empty, so there is no unit");
                return false;
            }
            Err(why) => {
                let why = format!("it cannot be parsed ({why}), so there is no unit");
                self.losses.note(what, &self.process.command, why);
                return false;
            }
        };
        let directory = self.directory();
        let path = self.process.environment.get("PATH").or(self.options.surroundings.environment.get("PATH"));
        let found = command::resolve(
            &self.process.command,
            directory.as_deref().map(Path::new),
            path.map(String::as_str),
        );
        let file = match found {
            Ok(found) => found.file,
            Err(error) => {
                let why = format!(
                    "{error} here, so the file stays as it is written: systemd wants an absolute path"
                );
                self.losses.note(what, &self.process.command, why);
                words[0].clone().into()
            }
        };
        let file = match (file.is_absolute() || !words[0].contains('/'), &directory) {
            (true, _) => file,
            (false, Some(directory)) => Path::new(directory).join(file),
            (false, None) => self.options.surroundings.absolute(file),
        };
        let mut line = text::executable(&file.to_string_lossy());
        for word in &words[1..] {
            line += " ";
            line += &text::argument(word);
        }
        self.add("ExecStart", line);
        true
    }

    /// The directory it runs in, absolute.
    pub(in crate::convert) fn directory(&self) -> Option<String> {
        let own = self.process.directory.as_ref().or(self.daemon.directory.as_ref())?;
        Some(self.options.surroundings.absolute(own).to_string_lossy().into_owned())
    }

    /// What must be true before it counts as started, besides `Type=`.
    pub(super) fn readiness(&mut self) {
        let Some(Readiness { ready, ready_interval, ready_timeout, .. }) = self.process.readiness.as_deref()
        else {
            return;
        };
        let test = match ready {
            Probe::Notify => None,
            Probe::Exec(command) => Some(command.clone()),
            Probe::File(path) => Some(format!("test -e {}", command::quoted(&path.to_string_lossy()))),
            Probe::Tcp { .. } | Probe::Unix(_) | Probe::Http(_) | Probe::Log(_) | Probe::Fd(_) => {
                self.lose(
                    "ready",
                    "systemd waits for sd_notify(3) or a command only: write ready=notify, or ready=exec:COMMAND with a \
                     command that asks",
                );
                for key in ["ready_interval", "ready_timeout"] {
                    self.lose(key, "it is part of ready");
                }
                return;
            }
        };
        if let Some(test) = test {
            let words = command::split(&test).unwrap_or_default();
            let words: Vec<String> = words.iter().map(|word| command::quoted(word)).collect();
            let pause = ready_interval.as_secs_f64();
            let script = format!("until {}; do sleep {pause}; done", words.join(" "));
            self.add("ExecStartPost", format!("/bin/sh -c {}", text::argument(&script)));
        } else {
            self.lose("ready_interval", "nobody asks: the program says that it is ready");
        }
        self.add("TimeoutStartSec", text::timeout(*ready_timeout));
    }

    /// `Restart=` and all that goes with it.
    pub(in crate::convert) fn restart(&mut self) {
        let process = self.process;
        let restarts = match (process.is_oneshot(), process.autorestart) {
            (true, _) if process.startretries == 0 => "no",
            (true, _) => "on-failure",
            (false, Autorestart::Never) => "no",
            (false, Autorestart::Unexpected) => "on-failure",
            (false, Autorestart::Always) => "always",
        };
        self.add("Restart", restarts);
        let numbers = |codes: &[u8]| codes.iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
        let expected: Vec<u8> = process.exitcodes.iter().copied().filter(|code| *code != 0).collect();
        if !expected.is_empty() {
            self.add("SuccessExitStatus", numbers(&expected));
        }
        // systemd refuses this for a oneshot, which seldom dies of such a signal.
        if restarts == "on-failure" && !process.is_oneshot() {
            let zero = if process.exitcodes.contains(&0) { "" } else { "0 " };
            self.add("RestartForceExitStatus", format!("{zero}{}", CLEAN_SIGNALS.join(" ")));
        }
        if !process.restart.stay_down_exitcodes.is_empty() {
            self.add("RestartPreventExitStatus", numbers(&process.restart.stay_down_exitcodes));
        }
        if restarts != "no" {
            return self.pace();
        }
        for key in ["restart_delay", "restart_backoff", "restart_delay_max"] {
            self.lose(key, "systemd never starts it again by itself, not even after a failed start");
        }
    }

    /// How soon it is restarted.
    fn pace(&mut self) {
        let policy = &self.process.restart;
        // The least pause, and the first step of BACKOFF.
        let delay = policy.restart_delay.unwrap_or(Duration::from_secs(1));
        self.add("RestartSec", text::time(delay));
        match policy.restart_backoff {
            Backoff::Exponential => {
                let most = policy.restart_delay_max.or(policy.restart_backoff.most()).unwrap_or(delay);
                let steps = (most.as_secs_f64() / delay.as_secs_f64()).log2().ceil().clamp(1.0, 64.0);
                self.add("RestartMaxDelaySec", text::time(most.max(delay)));
                // Between 1 and 64.
                self.add("RestartSteps", (steps as u32).to_string());
            }
            Backoff::Linear => {
                self.lose(
                    "restart_delay",
                    "the pause does not grow with failures: write restart_backoff=fixed or exponential",
                );
                self.lose(
                    "restart_delay_max",
                    "the pause does not grow with failures: write restart_backoff=exponential",
                );
            }
            Backoff::Fixed => self.lose("restart_delay_max", "the pause does not grow"),
        }
    }

    /// `StartLimit…=` of the section `[Unit]`.
    pub(in crate::convert) fn start_limit(&mut self) {
        let process = self.process;
        if let Some(limit) = process.restart.restart_limit {
            self.unit.add("Unit", "StartLimitIntervalSec", text::time(limit.within));
            self.unit.add("Unit", "StartLimitBurst", limit.starts.to_string());
            self.lose("restart_limit", "systemd counts the first start and those of a person, too");
            self.lose(
                "startretries",
                "systemd counts starts in a time, and restart_limit says how many there may be",
            );
            return;
        }
        if process.startretries == crate::model::config::NO_LIMIT {
            self.unit.add("Unit", "StartLimitIntervalSec", "0");
            return;
        }
        // So long it takes to fail so often.
        let starts = process.startretries.saturating_add(1);
        let each =
            process.restart.restart_delay.unwrap_or(Duration::from_secs(1)).max(Duration::from_secs(1));
        let each = each + process.startsecs + Duration::from_millis(500);
        self.unit.add("Unit", "StartLimitIntervalSec", text::time(each.saturating_mul(starts)));
        self.unit.add("Unit", "StartLimitBurst", starts.to_string());
        self.lose(
            "startretries",
            "systemd counts starts in a time, not failures in a row: see StartLimitIntervalSec=",
        );
    }

    /// How it is stopped, and how long it may run.
    pub(super) fn stop(&mut self) {
        let process = self.process;
        if process.stopsignal == Signal::from_raw(0) {
            self.lose("stopsignal", "systemd always sends a signal first: TERM");
        } else if process.stopsignal != Signal::TERM {
            self.add("KillSignal", signal(process.stopsignal));
        }
        if !process.stopsignal_then.is_empty() {
            self.lose("stopsignal", "systemd sends one signal, then SIGKILL: write a command that sends the others into ExecStop=");
        }
        self.add("TimeoutStopSec", text::timeout(process.stopwaitsecs));
        if let Some(most) = process.max_runtime {
            // RuntimeMaxSec= does not count while a oneshot is starting, which it always is.
            self.add(
                if process.is_oneshot() { "TimeoutStartSec" } else { "RuntimeMaxSec" },
                text::time(most),
            );
        }
    }

    /// Whom the signals reach.
    pub(super) fn reach(&mut self) {
        let scope = self.process.scope();
        self.add(
            "KillMode",
            match (scope, self.process.stopasgroup) {
                (StopScope::Process, _) => "process",
                (_, false) => "mixed",
                (_, true) => "control-group",
            },
        );
        let why = match scope {
            StopScope::Group => {
                "systemd reaches all that the service has started, also what left the process group"
            }
            StopScope::Tree => "systemd also reaches what is no descendant any more",
            StopScope::Process | StopScope::Cgroup => return,
        };
        ["stop_scope", "stopasgroup", "killasgroup"].into_iter().for_each(|key| self.lose(key, why));
    }

    /// User, groups, umask, directory.
    pub(super) fn identity(&mut self) {
        let process = self.process;
        if let Some(user) = process.user.as_ref().or(self.daemon.user.as_ref()) {
            let (name, gid) = (user.written.split(':').next().unwrap_or_default().trim(), user.gid);
            self.add("User", if user.is_number() { user.uid.to_string() } else { text::plain(name) });
            if let Some(gid) = gid {
                self.add("Group", gid.to_string());
            }
        }
        if !process.supplementary_groups.is_empty() {
            let groups: Vec<String> = process.supplementary_groups.iter().map(u32::to_string).collect();
            self.add("SupplementaryGroups", groups.join(" "));
        }
        let umask = process.umask.or_else(|| self.daemon.umask_is_given.then_some(self.daemon.umask));
        if let Some(umask) = umask {
            self.add("UMask", format!("{umask:04o}"));
        }
        if let Some(directory) = self.directory() {
            self.add("WorkingDirectory", text::path(&directory));
        }
    }
}

/// `SIGTERM`, or a number.
fn signal(signal: Signal) -> String {
    signal.name().unwrap_or_else(|| signal.raw().to_string())
}
