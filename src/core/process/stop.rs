//! A process goes down: because somebody wants it, or because it has failed while it runs on.

use super::step::Step;
use super::{After, Cause, Effect, KILLED, LEAST_KILL_INTERVAL, Pid, Reach, State};
use crate::model::config::Level;
use crate::model::probe::HealthAction;
use crate::model::signal::Signal;
use crate::model::size::in_bytes;
use crate::model::time::{Monotonic, in_short};

impl Step<'_> {
    /// STARTING or RUNNING -> STOPPING.
    pub(super) fn stop(&mut self, pid: Pid, after: After) {
        let kill_at = self.at.now + self.config.stopwaitsecs;
        let signal = self.log_stop_signal(pid);
        self.change(State::Stopping { pid, kill_at, after, then: 0 }, pid);
        self.effects.push(signal);
    }

    /// The first stop signal, which the log tells of.
    fn log_stop_signal(&mut self, pid: Pid) -> Effect {
        let signal = self.config.stopsignal;
        let reach = Reach::of_stop(self.config);
        self.log_kill(pid, signal, reach);
        Effect::Kill { pid, signal, reach }
    }

    /// It has its stop signal already, because it has failed: from here on it is stopped.
    pub(super) fn go_on_stopping(&mut self, pid: Pid, kill_at: Monotonic, then: u8, after: After) {
        self.change(State::Stopping { pid, kill_at, after, then }, pid);
    }

    /// It runs and has failed. It keeps its state until it has ended.
    pub(super) fn fail(&mut self, pid: Pid, cause: Cause, was_up: bool) {
        self.process.spawnerr = self.describe(cause);
        self.end_failed(pid, cause, was_up);
    }

    /// It and all that it has started use more than `memory_limit`.
    pub(super) fn over_memory(&mut self, pid: Pid, bytes: u64, was_up: bool) {
        let Some(limit) = self.config.memory_limit else { return };
        let (used, most) = (in_bytes(bytes), in_bytes(limit.bytes));
        let why = format!("used {used} of memory, more than {most} (memory_limit)");
        if limit.action == HealthAction::Restart {
            self.process.spawnerr = why;
            return self.end_failed(pid, Cause::Memory, was_up);
        }
        self.log(Level::Warn, format!("over its limit: {} ({why})", self.config.name));
        match limit.action {
            HealthAction::Signal(signal) => {
                let reach = Reach::Process;
                self.log_kill(pid, signal, reach);
                self.effects.push(Effect::Kill { pid, signal, reach });
            }
            HealthAction::Restart | HealthAction::Stop | HealthAction::None => {
                self.process.spawnerr = why;
                self.stop(pid, After::Rest);
            }
        }
    }

    /// What went wrong stands in `spawnerr`.
    fn end_failed(&mut self, pid: Pid, cause: Cause, was_up: bool) {
        self.log(Level::Warn, format!("failed: {} ({})", self.config.name, self.process.spawnerr));
        let kill_at = self.at.now + self.config.stopwaitsecs;
        let signal = self.log_stop_signal(pid);
        self.process.state = State::Failing { pid, kill_at, then: 0, cause, was_up };
        self.effects.push(signal);
    }

    /// What `spawnerr` says of a failure.
    fn describe(&self, cause: Cause) -> String {
        let limit = |limit: Option<std::time::Duration>| limit.map(in_short).unwrap_or_default();
        let problem = &self.process.health.problem;
        match cause {
            Cause::NotReady => {
                let timeout = limit(self.config.readiness.as_ref().map(|readiness| readiness.ready_timeout));
                let separator = if problem.is_empty() { "" } else { ": " };
                format!("not ready within {timeout}{separator}{problem}")
            }
            Cause::Overtime => {
                format!("ran longer than {} (max_runtime)", limit(self.config.max_runtime))
            }
            Cause::Unhealthy => format!("unhealthy: {problem}"),
            // Told with what it used.
            Cause::Memory => String::new(),
            Cause::Silent => {
                format!("no WATCHDOG=1 within {} (watchdog)", limit(self.config.watchdog))
            }
        }
    }

    /// STARTING -> STOPPING -> STOPPED at once: there is no program yet that could take a signal.
    pub(super) fn abandon(&mut self, after: After) {
        self.log(Level::Debug, format!("Attempted to kill {}, which does not run yet.", self.config.name));
        self.effects.push(Effect::Abandon);
        self.leave_at_once(after);
    }

    /// The same for one that waits for others.
    pub(super) fn stop_waiting(&mut self) {
        self.log(
            Level::Debug,
            format!("Attempted to kill {}, which waits for its dependencies.", self.config.name),
        );
        self.leave_at_once(After::Rest);
    }

    fn leave_at_once(&mut self, after: After) {
        self.change(State::Stopping { pid: 0, kill_at: self.at.now, after, then: 0 }, 0);
        self.process.failures = 0;
        self.process.stop = self.at.wall;
        self.change(State::Stopped, 0);
        self.go_on(after);
    }

    /// BACKOFF -> STOPPED: nothing runs, so it is done at once.
    pub(super) fn stop_backoff(&mut self) {
        self.log(Level::Debug, format!("Attempted to kill {}, which is in BACKOFF state.", self.config.name));
        self.process.failures = 0;
        self.process.stop = self.at.wall;
        self.change(State::Stopped, 0);
    }

    /// EXITED or FATAL -> STOPPED: it is not started again.
    pub(super) fn stop_pause(&mut self) {
        self.log(Level::Info, format!("{} is not started again: it was told to stop", self.config.name));
        self.process.failures = 0;
        if self.process.state.kind() == State::Stopped.kind() {
            self.process.state = State::Stopped;
        } else {
            self.change(State::Stopped, 0);
        }
    }

    /// It has not ended in the time of a signal: the next one of its list has its turn, or SIGKILL.
    pub(super) fn insist(&mut self) {
        let (State::Stopping { pid, then, .. } | State::Failing { pid, then, .. }) = self.process.state
        else {
            return;
        };
        let Some(signal) = self.config.stopsignal_then.get(usize::from(then)).copied() else {
            return self.kill();
        };
        let reach = Reach::of_stop(self.config);
        self.log(Level::Info, format!("'{}' ({pid}) has not ended, next is {signal}", self.config.name));
        self.log_kill(pid, signal, reach);
        self.has_sent(self.at.now + self.config.stopwaitsecs, then.saturating_add(1));
        self.effects.push(Effect::Kill { pid, signal, reach });
    }

    /// The grace period is over, or was cut short.
    pub(super) fn kill(&mut self) {
        let (State::Stopping { pid, .. } | State::Failing { pid, .. }) = self.process.state else { return };
        let reach = Reach::of_kill(self.config);
        self.log(Level::Warn, format!("killing '{}' ({pid}) with SIGKILL", self.config.name));
        self.log_kill(pid, Signal::KILL, reach);
        self.has_sent(self.at.now + self.config.stopwaitsecs.max(LEAST_KILL_INTERVAL), KILLED);
        self.effects.push(Effect::Kill { pid, signal: Signal::KILL, reach });
    }

    /// The next signal is not sent before then.
    pub(super) fn put_off(&mut self, until: Monotonic) {
        if let State::Stopping { kill_at, .. } | State::Failing { kill_at, .. } = &mut self.process.state {
            *kill_at = until.max(*kill_at);
        }
    }

    /// Another signal was sent, and has until then.
    fn has_sent(&mut self, next: Monotonic, sent: u8) {
        if let State::Stopping { kill_at, then, .. } | State::Failing { kill_at, then, .. } =
            &mut self.process.state
        {
            (*kill_at, *then) = (next, sent);
        }
    }
}
