//! A program has ended, or could not be started: what becomes of its process.

use super::step::Step;
use super::{After, Cause, EXITED_TOO_QUICKLY, Needs, Pid, State};
use crate::core::restart;
use crate::model::config::{Autorestart, Level};
use crate::model::dependency::DependsRestart;
use crate::model::exit::ExitStatus;
use crate::model::state::ProcessState;
use crate::model::time::Monotonic;

impl Step<'_> {
    /// STARTING -> BACKOFF, and on to FATAL after too many failures in a row.
    pub(super) fn back_off(&mut self, pid: Pid, why: String) {
        self.process.failures = self.process.failures.saturating_add(1);
        self.process.spawnerr = why;
        self.change(State::Backoff { retry_at: self.after_pause(self.process.failures) }, pid);
        if self.process.failures > self.config.startretries {
            self.give_up();
            self.log(
                Level::Info,
                format!(
                    "gave up: {} entered FATAL state, too many start retries too quickly",
                    self.config.name
                ),
            );
        }
    }

    /// When it is started next by itself, after so many failures in a row.
    fn after_pause(&self, failures: u32) -> Monotonic {
        let pause = restart::pause(&self.config.restart, failures, self.at.chance);
        (self.at.now + pause).max(self.least_start())
    }

    /// BACKOFF -> FATAL.
    pub(super) fn give_up(&mut self) {
        self.process.failures = 0;
        self.change(State::Fatal { retry_at: self.retry_at() }, 0);
    }

    /// When it is tried again if it is FATAL now.
    pub(super) fn retry_at(&self) -> Option<Monotonic> {
        let after = self.config.restart.retry_fatal_after;
        let retry_at = (self.at.now + after).max(self.least_start());
        (!after.is_zero() && self.at.may_start).then_some(retry_at)
    }

    /// Any state but one of a live program -> STARTING -> BACKOFF -> FATAL: it is not started. `rest` is the FATAL state
    /// that it comes to, if not the usual one.
    pub(super) fn refuse(&mut self, why: String, rest: Option<State>) {
        if rest.is_some() {
            // It was counted, and is not made.
            self.process.automatic_starts.pop();
        }
        if self.process.state.kind() == ProcessState::Fatal {
            // Still FATAL, and perhaps for another reason.
            self.process.state = rest.unwrap_or(State::Fatal { retry_at: self.retry_at() });
            self.process.spawnerr = why;
            return;
        }
        let now = self.at.now;
        if !matches!(self.process.state.kind(), ProcessState::Starting | ProcessState::Backoff) {
            self.change(State::Waiting { give_up_at: now, is_asked: false }, 0);
        }
        if self.process.state.kind() == ProcessState::Starting {
            self.change(State::Backoff { retry_at: now }, 0);
        }
        self.process.exit = None;
        self.log(Level::Warn, format!("gave up: {} entered FATAL state, {why}", self.config.name));
        self.process.spawnerr = why;
        match rest {
            Some(rest) => {
                self.process.failures = 0;
                self.change(rest, 0);
            }
            None => self.give_up(),
        }
    }

    /// STARTING -> BACKOFF if it ended too soon, else -> RUNNING -> EXITED.
    pub(super) fn exited_while_starting(&mut self, pid: Pid, status: ExitStatus, why: Option<String>) {
        let lived = self.at.now.since(self.process.started);
        let has_succeeded = if self.config.is_oneshot() {
            self.expects(status)
        } else {
            let is_ready = match (&self.config.readiness, &self.process.state) {
                (Some(_), State::Starting { is_ready, .. }) => *is_ready,
                _ => true,
            };
            is_ready && lived >= self.config.startsecs
        };
        if has_succeeded {
            // STARTING -> RUNNING: it had stayed up long enough, only its tick came later; or it is a job that is done.
            self.forget_failures();
            self.change(State::Running { pid, until: super::NEVER }, pid);
            return self.exited(pid, status, why);
        }
        let why = why.unwrap_or_else(|| match (self.config.is_oneshot(), &self.config.readiness) {
            (true, _) => failure(status),
            (false, Some(_)) if lived >= self.config.startsecs => "exited before it was ready".to_string(),
            (false, _) => EXITED_TOO_QUICKLY.to_string(),
        });
        self.failed_to_start(pid, status, why);
    }

    /// STARTING -> BACKOFF: its program has ended before it was up.
    fn failed_to_start(&mut self, pid: Pid, status: ExitStatus, why: String) {
        self.process.stop = self.at.wall;
        self.process.exit = None;
        self.log(Level::Warn, format!("exited: {} ({status}; not expected)", self.config.name));
        self.kill_stragglers(pid);
        if self.stays_down(status) {
            self.process.spawnerr = format!("{}, one of stay_down_exitcodes", failure(status));
            self.process.failures = self.process.failures.saturating_add(1);
            self.change(State::Backoff { retry_at: self.at.now }, pid);
            self.process.failures = 0;
            self.change(State::Fatal { retry_at: None }, 0);
            let text =
                format!("gave up: {} entered FATAL state, {}", self.config.name, self.process.spawnerr);
            return self.log(Level::Info, text);
        }
        self.back_off(pid, why);
    }

    /// RUNNING -> EXITED, and on to STARTING if it is to be restarted.
    pub(super) fn exited(&mut self, pid: Pid, status: ExitStatus, why: Option<String>) {
        let expected = self.expects(status);
        if expected {
            self.process.spawnerr.clear();
        } else {
            self.process.spawnerr = why.unwrap_or_else(|| format!("Bad exit code {}", status.code()));
        }
        let again = match self.config.autorestart {
            _ if self.config.is_oneshot() => false,
            Autorestart::Always => true,
            Autorestart::Unexpected => !expected,
            Autorestart::Never => false,
        };
        self.rest(pid, status, expected, again);
    }

    /// The end of a program that had failed.
    pub(super) fn failed(&mut self, pid: Pid, status: ExitStatus, cause: Cause, was_up: bool) {
        let why = std::mem::take(&mut self.process.spawnerr);
        if !was_up {
            return self.failed_to_start(pid, status, why);
        }
        self.process.spawnerr = why;
        let again = match cause {
            // That is what was asked for.
            Cause::Unhealthy | Cause::Silent | Cause::Memory => true,
            Cause::Overtime | Cause::NotReady => self.config.autorestart != Autorestart::Never,
        };
        self.rest(pid, status, false, again);
    }

    /// RUNNING -> EXITED, where it stays unless it is to be restarted `again`.
    fn rest(&mut self, pid: Pid, status: ExitStatus, expected: bool, again: bool) {
        self.process.stop = self.at.wall;
        self.process.exit = Some(status);
        let name = &self.config.name;
        if expected {
            self.log(Level::Info, format!("exited: {name} ({status}; expected)"));
        } else {
            self.log(Level::Warn, format!("exited: {name} ({status}; not expected)"));
        }
        let from = self.process.state.kind();
        self.process.state = State::Exited { start_at: None };
        self.publish(from, pid, expected);
        self.kill_stragglers(pid);
        if again && !self.stays_down(status) && self.at.may_start {
            self.pause();
        }
    }

    /// EXITED: it is to start again, now or after its pause, unless it has failed too often.
    fn pause(&mut self) {
        let mut failures = 0;
        if let Some(reset) = self.config.restart.restart_reset {
            let lived = self.at.now.since(self.process.started);
            failures = if lived < reset { self.process.failures.saturating_add(1) } else { 0 };
            self.process.failures = failures;
            if failures > self.config.startretries {
                let why = std::mem::take(&mut self.process.spawnerr);
                return self.refuse(why, None);
            }
        }
        let start_at = self.after_pause(failures);
        if self.at.now >= start_at {
            self.start_again();
        } else {
            self.process.state = State::Exited { start_at: Some(start_at) };
        }
    }

    /// Whether no automatic start may follow such an exit.
    fn stays_down(&self, status: ExitStatus) -> bool {
        matches!(status, ExitStatus::Code(code) if self.config.restart.stay_down_exitcodes.contains(&code))
    }

    /// STOPPING or UNKNOWN -> STOPPED, and on to what comes after.
    pub(super) fn stopped(&mut self, pid: Pid, status: ExitStatus, after: After) {
        let level = if self.expects(status) { Level::Info } else { Level::Warn };
        self.process.stop = self.at.wall;
        self.process.exit = Some(status);
        self.process.failures = 0;
        self.log(level, format!("stopped: {} ({status})", self.config.name));
        self.change(State::Stopped, pid);
        self.kill_stragglers(pid);
        self.go_on(after);
    }

    /// It is STOPPED: what comes after that.
    pub(super) fn go_on(&mut self, after: After) {
        match after {
            After::Rest => {}
            After::Start => self.start(self.process.is_alone),
            After::Return if !self.at.may_start => {}
            After::Return => {
                let stays_down = self.config.dependencies.depends_restart == DependsRestart::Stop;
                if stays_down && self.at.needs != Needs::Met {
                    self.process.state = State::Parked { is_fatal: false };
                } else {
                    self.start_again();
                }
            }
        }
    }
}

/// What `spawnerr` says of an end that was no success.
fn failure(status: ExitStatus) -> String {
    match status {
        ExitStatus::Code(code) => format!("Bad exit code {code}"),
        ExitStatus::Signal { .. } | ExitStatus::Unknown => status.to_string(),
    }
}
