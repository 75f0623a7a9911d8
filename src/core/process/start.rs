//! A process comes up: the wait for what it depends on, its program, and how it becomes RUNNING.

use super::step::Step;
use super::{After, Cause, Effect, LEAST_START_INTERVAL, NEVER, Needs, Pid, State};
use crate::core::restart;
use crate::model::config::Level;
use crate::model::dependency::DependsRestart;
use crate::model::probe::{Health, HealthAction};
use crate::model::time::{Monotonic, Wall, in_short};
use std::time::Duration;

impl Step<'_> {
    /// Somebody asked for it: no pause, and everything that was counted is forgotten.
    pub(super) fn start(&mut self, alone: bool) {
        if !self.at.may_start {
            return;
        }
        self.process.is_alone = alone;
        self.process.automatic_starts.clear();
        self.process.failures = 0;
        self.enter(true);
    }

    /// It comes up by itself, unless it has done so too often.
    pub(super) fn start_again(&mut self) {
        if !self.at.may_start {
            return;
        }
        if let Some(limit) = self.config.restart.restart_limit {
            let now = self.at.now;
            if !restart::count_start(&mut self.process.automatic_starts, limit, now) {
                let within = in_short(limit.within);
                let why = format!("started {} times within {within}, its restart_limit", limit.starts);
                return self.refuse(why, None);
            }
        }
        if matches!(self.process.state, State::Fatal { .. }) {
            self.process.failures = 0;
        }
        let start_at = self.least_start();
        if self.may_begin() && self.at.now < start_at {
            self.process.spawnerr.clear();
            self.process.exit = None;
            return self.change(State::Waiting { give_up_at: start_at, is_asked: false }, 0);
        }
        self.enter(false);
    }

    /// The first moment at which it may start by itself.
    pub(super) fn least_start(&self) -> Monotonic {
        self.process.started + LEAST_START_INTERVAL
    }

    /// Whether nothing that it depends on is in its way.
    fn may_begin(&self) -> bool {
        self.process.is_alone || self.at.needs == Needs::Met
    }

    /// Any state at rest -> STARTING: its program is created if nothing has to come first.
    fn enter(&mut self, is_asked: bool) {
        match self.at.needs {
            _ if self.may_begin() => self.begin(),
            Needs::Failed(why) => self.refuse(why.to_string(), Some(State::Parked { is_fatal: true })),
            Needs::Met | Needs::Unmet => {
                self.process.spawnerr.clear();
                self.process.exit = None;
                self.change(State::Waiting { give_up_at: self.give_up_at(), is_asked }, 0);
            }
        }
    }

    /// When a wait that begins now has lasted too long.
    fn give_up_at(&self) -> Monotonic {
        self.config.dependencies.dependency_timeout.map_or(NEVER, |timeout| self.at.now + timeout)
    }

    /// It waits, and its deadline has come or what it depends on has changed.
    pub(super) fn wait(&mut self, give_up_at: Monotonic, is_asked: bool) {
        let start_at = if is_asked { self.at.now } else { self.least_start() };
        match self.at.needs {
            _ if self.may_begin() && self.at.now >= start_at => self.begin(),
            _ if self.may_begin() => self.process.state = State::Waiting { give_up_at: start_at, is_asked },
            Needs::Failed(why) => self.refuse(why.to_string(), Some(State::Parked { is_fatal: true })),
            // It was about to start; from here on it waits for others.
            _ if !is_asked && give_up_at == start_at => {
                self.process.state = State::Waiting { give_up_at: self.give_up_at(), is_asked };
            }
            _ if self.at.now >= give_up_at => self.wait_is_over(),
            Needs::Met | Needs::Unmet => {}
        }
    }

    /// STOPPED, EXITED, FATAL or BACKOFF -> STARTING, or the end of a wait: its program is to be created.
    pub(super) fn begin(&mut self) {
        if !self.at.may_start {
            return;
        }
        self.process.started = self.at.now;
        self.process.start = self.at.wall;
        // It was counted when its wait began, if there was one.
        if let Some(counted) = self.process.automatic_starts.last_mut() {
            *counted = self.at.now;
        }
        self.process.exit = None;
        self.process.spawnerr.clear();
        self.process.health = Health::default();
        let state = State::Starting { pid: None, up_at: self.up_at(), is_ready: false };
        if self.process.state.kind() == state.kind() {
            self.process.state = state;
        } else {
            self.change(state, 0);
        }
        self.effects.push(Effect::Spawn);
    }

    /// When a start that begins now is over.
    fn up_at(&self) -> Monotonic {
        self.up_at_since(self.at.now)
    }

    /// When a start that began then is over.
    fn up_at_since(&self, began: Monotonic) -> Monotonic {
        let end = self.config.max_runtime.map_or(NEVER, |most| began + most);
        match &self.config.readiness {
            _ if self.config.is_oneshot() => end,
            Some(readiness) => end.min(began + readiness.ready_timeout),
            None => end.min(began + self.config.startsecs),
        }
    }

    /// Its configuration has changed under it: what was worked out with the old values is worked out anew.
    pub(super) fn reconfigured(&mut self, state: State) {
        if self.config.restart.restart_limit.is_none() {
            self.process.automatic_starts.clear();
        }
        match state {
            State::Starting { pid: Some(pid), is_ready: false, .. } => {
                let up_at = self.up_at_since(self.process.started);
                self.process.state = State::Starting { pid: Some(pid), up_at, is_ready: false };
            }
            State::Running { pid, .. } => {
                if self.config.health_check.is_none() {
                    self.process.health = Health::default();
                }
                self.process.state = State::Running { pid, until: self.until() };
            }
            State::Fatal { .. } => {
                self.process.state = State::Fatal { retry_at: self.retry_at() };
            }
            State::Waiting { give_up_at, is_asked } if is_asked || give_up_at != self.least_start() => {
                self.process.state = State::Waiting { give_up_at: self.give_up_at(), is_asked };
            }
            _ => {}
        }
    }

    /// Whether nothing but time makes it RUNNING.
    fn is_up_by_time(&self) -> bool {
        self.config.readiness.is_none() && !self.config.is_oneshot()
    }

    pub(super) fn spawned(&mut self, pid: Pid, up_at: Monotonic) {
        self.process.state = State::Starting { pid: Some(pid), up_at, is_ready: false };
        self.log(Level::Info, format!("spawned: '{}' with pid {pid}", self.config.name));
        if self.config.startsecs.is_zero() && self.is_up_by_time() {
            self.up(pid);
        }
    }

    /// What held it up is not to count as having stayed up.
    pub(super) fn spawned_late(&mut self, pid: Pid) {
        self.process.started = self.at.now;
        self.process.start = self.at.wall;
        self.spawned(pid, self.up_at());
    }

    /// STOPPED, EXITED or FATAL -> RUNNING, without a start.
    pub(super) fn adopt(&mut self, pid: Pid, started: Monotonic, start: Wall) {
        self.process.started = started;
        self.process.start = start;
        self.process.exit = None;
        self.process.spawnerr.clear();
        self.process.health = Health::default();
        let until = self.until();
        if matches!(self.process.state, State::Waiting { .. }) {
            self.process.state = State::Starting { pid: Some(pid), up_at: until, is_ready: false };
        }
        if self.config.is_oneshot() {
            // A job is never RUNNING while it runs.
            let state = State::Starting { pid: Some(pid), up_at: until, is_ready: false };
            if self.process.state.kind() == state.kind() {
                self.process.state = state;
            } else {
                self.change(state, pid);
            }
        } else {
            self.change(State::Running { pid, until }, pid);
        }
        self.log(Level::Info, format!("adopted: '{}' with pid {pid}", self.config.name));
    }

    /// The end of `max_runtime`.
    pub(super) fn until(&self) -> Monotonic {
        self.config.max_runtime.map_or(NEVER, |most| self.process.started + most)
    }

    /// The deadline of a start has come.
    pub(super) fn start_is_over(&mut self, pid: Pid, is_ready: bool) {
        let lived = self.at.now.since(self.process.started);
        match &self.config.readiness {
            _ if self.config.is_oneshot() => self.fail(pid, Cause::Overtime, false),
            Some(readiness) if !is_ready => {
                let is_late = lived >= readiness.ready_timeout;
                let cause = if is_late { Cause::NotReady } else { Cause::Overtime };
                self.fail(pid, cause, false);
            }
            _ if lived >= self.config.startsecs => self.up(pid),
            _ => self.fail(pid, Cause::Overtime, false),
        }
    }

    /// Its `ready` was tried.
    pub(super) fn readiness(&mut self, pid: Pid, result: Result<(), String>) {
        let Some(readiness) = &self.config.readiness else { return };
        if self.config.is_oneshot() {
            // A job is never RUNNING while it runs.
            return;
        }
        if let Err(problem) = result {
            self.process.health.problem = problem;
            return;
        }
        self.process.health.problem.clear();
        let up_at = self.process.started + self.config.startsecs;
        if readiness.waits_for_startsecs && self.at.now < up_at {
            let up_at = up_at.min(self.until());
            self.process.state = State::Starting { pid: Some(pid), up_at, is_ready: true };
        } else {
            self.up(pid);
        }
    }

    /// STARTING -> RUNNING.
    pub(super) fn up(&mut self, pid: Pid) {
        self.forget_failures();
        self.change(State::Running { pid, until: self.until() }, pid);
        let name = &self.config.name;
        let how = if self.config.readiness.is_some() {
            "it is ready".to_string()
        } else {
            // As in Supervisor, process.py, transition().
            format!(
                "process has stayed up for > than {} seconds (startsecs)",
                self.config.startsecs.as_secs()
            )
        };
        self.log(Level::Info, format!("success: {name} entered RUNNING state, {how}"));
    }

    /// It is RUNNING, which forgets failures unless `restart_reset` says that it must run for some time.
    pub(super) fn forget_failures(&mut self) {
        if self.config.restart.restart_reset.is_none() {
            self.process.failures = 0;
        }
    }

    /// STARTING (waiting) -> FATAL: `dependency_timeout` is over.
    fn wait_is_over(&mut self) {
        let timeout = in_short(self.config.dependencies.dependency_timeout.unwrap_or(Duration::ZERO));
        let why = format!("waited for its dependencies longer than {timeout} (dependency_timeout)");
        self.refuse(why, Some(State::Parked { is_fatal: true }));
    }

    /// What it depends on has changed.
    pub(super) fn needs_changed(&mut self, state: &State) {
        match state {
            State::Waiting { give_up_at, is_asked } => self.wait(*give_up_at, *is_asked),
            State::Parked { .. } if self.at.needs == Needs::Met => self.start_again(),
            State::Parked { is_fatal: true } => {
                // Still FATAL, and perhaps for another reason.
                if let Needs::Failed(why) = self.at.needs {
                    self.process.spawnerr = why.to_string();
                }
            }
            State::Starting { .. } | State::Running { .. } | State::Failing { .. } if !self.may_begin() => {
                self.needs_are_lost(state);
            }
            _ => {}
        }
    }

    /// It is up, or about to be, and what it depends on is not any more.
    pub(super) fn needs_are_lost(&mut self, state: &State) {
        if self.process.is_alone {
            return;
        }
        let what = match self.config.dependencies.depends_restart {
            DependsRestart::None => return,
            DependsRestart::Restart => "restarting",
            DependsRestart::Stop => "stopping",
        };
        let name = &self.config.name;
        let after = After::Return;
        self.log(Level::Info, format!("{what} {name}, because what it depends on is not up any more"));
        match state {
            State::Starting { pid: None, .. } => self.abandon(after),
            State::Starting { pid: Some(pid), .. } | State::Running { pid, .. } => self.stop(*pid, after),
            State::Failing { pid, kill_at, then, .. } => self.go_on_stopping(*pid, *kill_at, *then, after),
            _ => {}
        }
    }

    /// Its `health` was tried.
    pub(super) fn checked(&mut self, pid: Pid, result: Result<(), String>) {
        let Some(check) = &self.config.health_check else { return };
        let action = check.health_action;
        let (health, change) = std::mem::take(&mut self.process.health).step(result, check.health_retries);
        self.process.health = health;
        let Some(is_healthy) = change else { return };
        self.effects.push(Effect::PublishHealth { is_healthy, pid });
        let name = &self.config.name;
        if is_healthy {
            return self.log(Level::Info, format!("healthy: {name}"));
        }
        let (failures, problem) = (self.process.health.failures, &self.process.health.problem);
        self.log(Level::Warn, format!("unhealthy: {name} ({failures} failures in a row; {problem})"));
        match action {
            HealthAction::None => {}
            HealthAction::Restart => self.fail(pid, Cause::Unhealthy, true),
            HealthAction::Stop => self.stop(pid, After::Rest),
            HealthAction::Signal(signal) => {
                let reach = super::Reach::Process;
                self.log_kill(pid, signal, reach);
                self.effects.push(Effect::Kill { pid, signal, reach });
            }
        }
    }
}
