//! What is said of one process: how it is run, restarted and stopped, and as whom. What of it is the same in containers,
//! quadlet uses as well.

use crate::config::command::{self, CommandError};
use crate::convert::export::{Options, Program};
use crate::convert::losses::Losses;
use crate::convert::systemd::text::{self, Unit};
use crate::convert::units::{has_text, is_text};
use crate::model::config::{Autorestart, DaemonConfig, ProcessConfig, StopScope};
use crate::model::probe::{Probe, Readiness};
use crate::model::restart::Backoff;
use crate::model::signal::Signal;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(in crate::convert) const SERVICE: &str = "Service";

/// Where a command is expected that is not found where the export runs.
const USUAL: &str = "/usr/bin";

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

    /// A value that reaches to the end of its line; `None`, with a loss, if it cannot be written so.
    pub(in crate::convert) fn line(&mut self, key: &str, directive: &str, value: &str) -> Option<String> {
        let line = text::line(value);
        if line.is_none() {
            lose_line(&self.program.section, key, directive, value, self.losses);
        }
        line
    }

    /// Whether a value is text, which alone a file can hold. If not, it is lost.
    pub(in crate::convert) fn is_text(&mut self, key: &str, value: &str) -> bool {
        let is_text = is_text(value);
        if !is_text {
            self.losses.note(
                format!("[{}] {key}", self.program.section),
                value,
                "it is left out: it is not text",
            );
        }
        is_text
    }

    /// The words of the command. `None`, with a loss, if there can be no unit.
    pub(in crate::convert) fn words(&mut self) -> Option<Vec<String>> {
        let found = words(self.process);
        if let Err(why) = &found {
            self.losses.note(format!("[{}] command", self.program.section), &self.process.command, why);
        }
        found.ok()
    }

    /// `ExecStart=`. Whether there is a command.
    pub(super) fn command(&mut self) -> bool {
        let Some(words) = self.words() else { return false };
        let file = text::shown(&self.file_of(&words[0]));
        if !is_text(&file) {
            let why = "its file lies in a directory whose name is not text, so there is no unit";
            self.losses.note(format!("[{}] command", self.program.section), &self.process.command, why);
            return false;
        }
        let mut line = text::executable(&file);
        for word in &words[1..] {
            line += " ";
            line += &text::argument(word);
        }
        self.add("ExecStart", line);
        true
    }

    /// The absolute path of a command's file. It must be one: in front of anything else systemd takes characters such as `+`
    /// for privileges and the like.
    fn file_of(&mut self, word: &str) -> PathBuf {
        let directory = self.directory();
        let path = self.process.environment.get("PATH").or(self.options.surroundings.environment.get("PATH"));
        let found = command::resolve(
            &self.process.command,
            directory.as_deref().map(Path::new),
            path.map(String::as_str),
        );
        let file = match found {
            Ok(found) => found.file,
            Err(error) => self.file_not_found(word, &error),
        };
        match (word.contains('/'), &directory) {
            _ if file.is_absolute() => file,
            (true, Some(directory)) => Path::new(directory).join(file),
            _ => self.options.surroundings.absolute(file),
        }
    }

    /// What stands for a file that is not found where the export runs.
    fn file_not_found(&mut self, word: &str, error: &CommandError) -> PathBuf {
        let (file, why) = match word.contains('/') {
            true => (PathBuf::from(word), "so the file stays as it is written"),
            false => (Path::new(USUAL).join(word), "so it is expected in /usr/bin"),
        };
        let what = format!("[{}] command", self.program.section);
        let why = format!("{error} here, {why}: systemd wants an absolute path");
        self.losses.note(what, &self.process.command, why);
        file
    }

    /// The directory it runs in, absolute.
    pub(in crate::convert) fn directory(&self) -> Option<String> {
        let own = self.process.directory.as_ref().or(self.daemon.directory.as_ref())?;
        Some(text::shown(&self.options.surroundings.absolute(own)))
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
            Probe::File(path) => Some(format!("test -e {}", command::quoted(&text::shown(path)))),
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
            if !self.is_text("ready", &test) {
                return;
            }
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
            let name = if user.is_number() { None } else { self.line("user", "User", name) };
            // Never without one: that would be root.
            self.add("User", name.unwrap_or_else(|| user.uid.to_string()));
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
        let directory = self.directory();
        if let Some(line) = directory.and_then(|it| self.line("directory", "WorkingDirectory", &it)) {
            self.add("WorkingDirectory", line);
        }
    }
}

/// The words of a process's command. There is no unit without them.
///
/// # Errors
/// Why there is none.
pub(super) fn words(process: &ProcessConfig) -> Result<Vec<String>, String> {
    let words = command::split(&process.command);
    let words = words.map_err(|why| format!("it cannot be parsed ({why}), so there is no unit"))?;
    if words.is_empty() {
        return Err("it is empty, so there is no unit".to_string());
    }
    match has_text(process) {
        true => Ok(words),
        false => Err("it or its environment is not text, so there is no unit".to_string()),
    }
}

/// Notes that a value cannot be written to the end of a line.
pub(super) fn lose_line(section: &str, key: &str, directive: &str, value: &str, losses: &mut Losses) {
    let why = format!(
        "{directive}= is left out: it takes text only, without controls, blanks at the ends, or a backslash at the end"
    );
    losses.note(format!("[{section}] {key}"), value, why);
}

/// `SIGTERM`, or a number.
fn signal(signal: Signal) -> String {
    signal.name().unwrap_or_else(|| signal.raw().to_string())
}
