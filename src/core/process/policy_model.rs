//! A second account of waits and policies, for random walks: what the documentation promises, in other terms than those
//! of the table. It knows the state that clients see, whether a program is alive, the deadline, the failures, and what
//! brings a process back.

use super::{Circumstances, Event, Needs};
use crate::model::config::{Autorestart, ProcessConfig};
use crate::model::dependency::DependsRestart;
use crate::model::exit::ExitStatus;
use crate::model::probe::HealthAction;
use crate::model::restart::Backoff;
use crate::model::state::ProcessState::{self, *};
use crate::model::time::Monotonic;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// What brings a process back if nobody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Back {
    /// Nothing; or it is up, or about to be.
    No,
    /// Its deadline.
    InTime,
    /// What it depends on.
    WithNeeds,
    /// Somebody has asked, and its end is all that is missing.
    Asked,
}

/// Why a program that is alive is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    NotUp,
    TooLong,
    NotWell,
}

/// How the program of the present start does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    None,
    /// It was asked for.
    Ordered,
    Alive,
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) kind: ProcessState,
    pub(super) program: Program,
    pub(super) deadline: Option<Monotonic>,
    /// By how much the deadline may be later, because of chance.
    pub(super) slack: Duration,
    pub(super) failures: u32,
    pub(super) back: Back,
    pub(super) failed: Option<Failed>,
    started: Monotonic,
    is_ready: bool,
    alone: bool,
    /// The start under way was nobody's wish.
    by_itself: bool,
    /// Starts of that kind since somebody's last one.
    recent: Vec<Monotonic>,
    signals: usize,
    bad_checks: u32,
    well: Option<bool>,
}

impl Model {
    pub(super) fn new() -> Model {
        Model {
            kind: Stopped,
            program: Program::None,
            deadline: None,
            slack: Duration::ZERO,
            failures: 0,
            back: Back::No,
            failed: None,
            started: Monotonic(0),
            is_ready: false,
            alone: false,
            by_itself: false,
            recent: Vec::new(),
            signals: 0,
            bad_checks: 0,
            well: None,
        }
    }

    /// Takes an event in.
    pub(super) fn expect(&mut self, event: &Event, config: &ProcessConfig, at: Circumstances<'_>) {
        let is_alive = self.program == Program::Alive;
        match event {
            Event::Start => self.wanted(false, config, at),
            Event::StartAlone => self.wanted(true, config, at),
            Event::Stop | Event::ShutDown => self.unwanted(*event == Event::Stop, config, at),
            Event::Escalate if self.is_ending() => self.killed(config, at),
            Event::Spawned(_) if self.program == Program::Ordered => self.created(config),
            Event::SpawnedLate(_) if self.program == Program::Ordered => {
                self.started = at.now;
                self.created(config);
            }
            Event::SpawnFailed(_) if self.program == Program::Ordered => {
                self.program = Program::None;
                self.failure(config, at);
            }
            Event::Adopted { started, .. } if self.program == Program::None && self.kind != Backoff => {
                self.program = Program::Alive;
                self.started = *started;
                (self.failed, self.bad_checks, self.well, self.is_ready) = (None, 0, None, false);
                self.rest(if config.is_oneshot() { Starting } else { Running }, Back::No);
                self.deadline = config.max_runtime.map(|most| self.started + most);
            }
            Event::Exited { status, .. } if is_alive => self.ended(*status, config, at),
            Event::SignalFailed(_) if is_alive && self.kind != Unknown => {
                self.failed = None;
                self.rest(Unknown, Back::No);
            }
            Event::NeedsChanged => self.needs_changed(!self.is_free(at), config, at),
            // Whatever holds by now.
            Event::NeedsLost => self.needs_changed(!self.alone, config, at),
            Event::Readiness(Ok(())) if is_alive && self.kind == Starting && self.failed.is_none() => {
                self.ready(config, at);
            }
            Event::Extend(until) if is_alive => self.extended(*until, config),
            Event::Checked(result) if self.is_up() => self.checked(result.is_ok(), config, at),
            Event::Silent if self.is_up() => self.fails(Failed::NotWell, config, at),
            Event::OverMemory(_) if is_alive && matches!(self.kind, Starting | Running) => {
                match config.memory_limit.filter(|_| self.failed.is_none()).map(|limit| limit.action) {
                    Some(HealthAction::Restart) => self.fails(Failed::NotWell, config, at),
                    Some(HealthAction::Stop) => self.told_to_stop(Back::No, config, at),
                    Some(HealthAction::None | HealthAction::Signal(_)) | None => {}
                }
            }
            Event::Tick if self.deadline.is_some_and(|deadline| at.now >= deadline) => self.due(config, at),
            _ => {}
        }
    }

    fn is_up(&self) -> bool {
        self.kind == Running && self.failed.is_none()
    }

    /// It was told to end, and has not ended.
    fn is_ending(&self) -> bool {
        self.program == Program::Alive && (self.kind == Stopping || self.failed.is_some())
    }

    fn is_free(&self, at: Circumstances<'_>) -> bool {
        self.alone || at.needs == Needs::Met
    }

    fn rest(&mut self, kind: ProcessState, back: Back) {
        (self.kind, self.back, self.deadline) = (kind, back, None);
    }

    /// The earlier one of two lengths, counted from the start.
    fn first_of(&self, one: Option<Duration>, other: Option<Duration>) -> Option<Monotonic> {
        one.into_iter().chain(other).min().map(|length| self.started + length)
    }

    /// "A person's start skips delays and resets all counters."
    fn wanted(&mut self, alone: bool, config: &ProcessConfig, at: Circumstances<'_>) {
        let waits = self.kind == Starting && self.program == Program::None;
        match self.kind {
            Stopping => (self.back, self.alone) = (Back::Asked, alone),
            Stopped | Exited | Fatal => self.anew(alone, config, at),
            _ if waits && alone => self.anew(alone, config, at),
            _ => {}
        }
    }

    fn anew(&mut self, alone: bool, config: &ProcessConfig, at: Circumstances<'_>) {
        if at.may_start {
            self.alone = alone;
            self.recent.clear();
            self.failures = 0;
            self.rise(false, config, at);
        }
    }

    /// It comes up: at once, or once it may.
    fn rise(&mut self, by_itself: bool, config: &ProcessConfig, at: Circumstances<'_>) {
        if !at.may_start {
            return;
        }
        if let Some(limit) = config.restart.restart_limit.filter(|_| by_itself) {
            let among = self.recent.iter().filter(|start| at.now.since(**start) < limit.within);
            if among.count() >= limit.starts as usize {
                return self.fatal(config, at);
            }
        }
        if self.kind == Fatal {
            self.failures = 0;
        }
        self.by_itself = by_itself;
        if self.is_free(at) && !(by_itself && at.now < self.started + SECOND) {
            return self.order(at);
        }
        self.rest(Starting, Back::WithNeeds);
        match at.needs {
            _ if self.is_free(at) => (self.back, self.deadline) = (Back::InTime, Some(self.started + SECOND)),
            Needs::Failed(_) => self.fatal_for_needs(),
            _ => self.deadline = config.dependencies.dependency_timeout.map(|timeout| at.now + timeout),
        }
    }

    fn order(&mut self, at: Circumstances<'_>) {
        self.rest(Starting, Back::No);
        if self.by_itself {
            self.recent.push(at.now);
        }
        self.by_itself = false;
        (self.program, self.started, self.is_ready, self.failed) = (Program::Ordered, at.now, false, None);
        (self.bad_checks, self.well) = (0, None);
    }

    /// It waits, and has to think again.
    fn waits(&mut self, config: &ProcessConfig, at: Circumstances<'_>) {
        let is_over = self.deadline.is_some_and(|deadline| at.now >= deadline);
        let start_at = if self.by_itself { self.started + SECOND } else { at.now };
        match (at.needs, self.back) {
            _ if self.is_free(at) && at.now >= start_at && at.may_start => self.order(at),
            _ if self.is_free(at) && at.now >= start_at => {}
            _ if self.is_free(at) => (self.back, self.deadline) = (Back::InTime, Some(start_at)),
            (Needs::Failed(_), _) => self.fatal_for_needs(),
            (_, Back::InTime) => {
                self.back = Back::WithNeeds;
                self.deadline = config.dependencies.dependency_timeout.map(|timeout| at.now + timeout);
            }
            _ if is_over => self.fatal_for_needs(),
            _ => {}
        }
    }

    fn fatal_for_needs(&mut self) {
        self.failures = 0;
        self.rest(Fatal, Back::WithNeeds);
    }

    fn fatal(&mut self, config: &ProcessConfig, at: Circumstances<'_>) {
        self.failures = 0;
        self.rest(Fatal, Back::No);
        let after = config.restart.retry_fatal_after;
        if !after.is_zero() && at.may_start {
            self.back = Back::InTime;
            self.deadline = Some((at.now + after).max(self.started + SECOND));
        }
    }

    fn created(&mut self, config: &ProcessConfig) {
        self.program = Program::Alive;
        self.deadline = match &config.readiness {
            _ if config.is_oneshot() => self.first_of(config.max_runtime, None),
            Some(readiness) => self.first_of(Some(readiness.ready_timeout), config.max_runtime),
            None => self.first_of(Some(config.startsecs), config.max_runtime),
        };
        if config.readiness.is_none() && !config.is_oneshot() && config.startsecs.is_zero() {
            self.up(config);
        }
    }

    /// "STARTING until it succeeds; `startsecs` then holds only if written."
    fn ready(&mut self, config: &ProcessConfig, at: Circumstances<'_>) {
        let Some(readiness) = &config.readiness else { return };
        if self.is_ready || config.is_oneshot() {
            return;
        }
        if readiness.waits_for_startsecs && at.now < self.started + config.startsecs {
            self.is_ready = true;
            self.deadline = self.first_of(Some(config.startsecs), config.max_runtime);
        } else {
            self.up(config);
        }
    }

    /// It has asked for more time, which it gets until it is ready, and until it is killed.
    fn extended(&mut self, until: Monotonic, config: &ProcessConfig) {
        let is_starting = self.kind == Starting && !self.is_ready && config.readiness.is_some();
        let most = config.max_runtime.map(|most| self.started + most);
        if self.is_ending() {
            if self.signals != usize::MAX {
                self.deadline = self.deadline.max(Some(until));
            }
        } else if is_starting && self.deadline.is_some() {
            self.deadline = self.deadline.max(Some(until)).into_iter().chain(most).min();
        }
    }

    fn up(&mut self, config: &ProcessConfig) {
        self.rest(Running, Back::No);
        self.deadline = config.max_runtime.map(|most| self.started + most);
        if config.restart.restart_reset.is_none() {
            self.failures = 0;
        }
    }

    fn unwanted(&mut self, is_stop: bool, config: &ProcessConfig, at: Circumstances<'_>) {
        match (self.kind, self.program) {
            (Unknown, _) => {}
            (Stopping, _) => self.back = Back::No,
            (_, Program::Alive) => self.told_to_stop(Back::No, config, at),
            (Starting, _) => self.stopped(),
            (_, _) if self.back == Back::No => {}
            (Backoff, _) if !is_stop => {
                self.failures = 0;
                self.rest(Fatal, Back::No);
            }
            (kind, _) if !is_stop => self.rest(kind, Back::No),
            (_, _) => self.stopped(),
        }
    }

    fn stopped(&mut self) {
        (self.program, self.failures, self.failed) = (Program::None, 0, None);
        self.rest(Stopped, Back::No);
    }

    /// What has its stop signal already keeps its grace period.
    fn told_to_stop(&mut self, back: Back, config: &ProcessConfig, at: Circumstances<'_>) {
        let deadline = self.deadline;
        self.rest(Stopping, back);
        if self.failed.take().is_some() {
            self.deadline = deadline;
        } else {
            (self.signals, self.deadline) = (0, Some(at.now + config.stopwaitsecs));
        }
    }

    fn fails(&mut self, how: Failed, config: &ProcessConfig, at: Circumstances<'_>) {
        self.failed = Some(how);
        (self.signals, self.deadline) = (0, Some(at.now + config.stopwaitsecs));
    }

    fn killed(&mut self, config: &ProcessConfig, at: Circumstances<'_>) {
        self.signals = usize::MAX;
        self.deadline = Some(at.now + config.stopwaitsecs.max(SECOND));
    }

    fn due(&mut self, config: &ProcessConfig, at: Circumstances<'_>) {
        let lived = at.now.since(self.started);
        if self.is_ending() {
            if self.signals < config.stopsignal_then.len() {
                self.signals += 1;
                self.deadline = Some(at.now + config.stopwaitsecs);
            } else {
                self.killed(config, at);
            }
            return;
        }
        match (self.kind, self.program) {
            (Backoff | Exited | Fatal, _) => self.rise(true, config, at),
            (Starting, Program::None) => self.waits(config, at),
            (Running, _) => self.fails(Failed::TooLong, config, at),
            (Starting, Program::Alive) if config.is_oneshot() => self.fails(Failed::TooLong, config, at),
            (Starting, Program::Alive) => {
                let is_ready = config.readiness.is_none() || self.is_ready;
                if is_ready && lived >= config.startsecs {
                    self.up(config);
                } else {
                    self.fails(Failed::NotUp, config, at);
                }
            }
            _ => {}
        }
    }

    fn checked(&mut self, is_good: bool, config: &ProcessConfig, at: Circumstances<'_>) {
        let Some(check) = &config.health_check else { return };
        self.bad_checks = if is_good { 0 } else { self.bad_checks + 1 };
        let was = self.well;
        if is_good {
            self.well = Some(true);
        } else if self.bad_checks >= check.health_retries {
            self.well = Some(false);
        }
        if self.well == Some(false) && was != self.well {
            match check.health_action {
                HealthAction::Restart => self.fails(Failed::NotWell, config, at),
                HealthAction::Stop => self.told_to_stop(Back::No, config, at),
                HealthAction::None | HealthAction::Signal(_) => {}
            }
        }
    }

    fn needs_changed(&mut self, are_lost: bool, config: &ProcessConfig, at: Circumstances<'_>) {
        let follows = are_lost && config.dependencies.depends_restart != DependsRestart::None;
        match (self.kind, self.program) {
            (Starting, Program::None) => self.waits(config, at),
            (Stopped | Fatal, _) if self.back == Back::WithNeeds && at.needs == Needs::Met => {
                self.rise(true, config, at);
            }
            (Starting, Program::Ordered) if follows => {
                self.stopped();
                self.comes_back(config, at);
            }
            (Starting | Running, Program::Alive) if follows => {
                self.told_to_stop(Back::WithNeeds, config, at);
            }
            _ => {}
        }
    }

    /// It was stopped because of what it depends on, and has ended.
    fn comes_back(&mut self, config: &ProcessConfig, at: Circumstances<'_>) {
        let is_quiet = config.dependencies.depends_restart == DependsRestart::Stop;
        if !at.may_start {
            return;
        }
        if is_quiet && at.needs != Needs::Met {
            self.rest(Stopped, Back::WithNeeds);
        } else {
            self.rise(true, config, at);
        }
    }

    fn ended(&mut self, status: ExitStatus, config: &ProcessConfig, at: Circumstances<'_>) {
        let is_in = |codes: &[u8]| codes.iter().any(|code| status == ExitStatus::Code(*code));
        let (kind, back, failed) = (self.kind, self.back, self.failed.take());
        let lived = at.now.since(self.started);
        self.program = Program::None;
        if matches!(kind, Stopping | Unknown) {
            self.stopped();
            return match back {
                Back::Asked => self.anew(self.alone, config, at),
                Back::WithNeeds => self.comes_back(config, at),
                Back::No | Back::InTime => {}
            };
        }
        let is_good = is_in(&config.exitcodes);
        let is_final = is_in(&config.restart.stay_down_exitcodes);
        if kind == Starting {
            let was_up = if config.is_oneshot() {
                is_good
            } else {
                lived >= config.startsecs && (self.is_ready || config.readiness.is_none())
            };
            if failed.is_some() || !was_up {
                if !is_final {
                    return self.failure(config, at);
                }
                self.failures = 0;
                return self.rest(Fatal, Back::No);
            }
            self.up(config);
        }
        self.rest(Exited, Back::No);
        let again = match (failed, config.autorestart) {
            (None, _) if config.is_oneshot() => false,
            (Some(Failed::NotWell), _) | (_, Autorestart::Always) => true,
            (_, Autorestart::Never) => false,
            (Some(_), Autorestart::Unexpected) => true,
            (None, Autorestart::Unexpected) => !is_good,
        };
        if !again || is_final || !at.may_start {
            return;
        }
        let mut in_a_row = 0;
        if let Some(reset) = config.restart.restart_reset {
            self.failures = if lived < reset { self.failures + 1 } else { 0 };
            in_a_row = self.failures;
            if in_a_row > config.startretries {
                return self.fatal(config, at);
            }
        }
        self.pause(in_a_row, config, at);
        if self.deadline.is_some_and(|deadline| at.now >= deadline) {
            self.rise(true, config, at);
        }
    }

    /// A start that failed.
    fn failure(&mut self, config: &ProcessConfig, at: Circumstances<'_>) {
        self.failures += 1;
        if self.failures > config.startretries {
            return self.fatal(config, at);
        }
        self.rest(Backoff, Back::InTime);
        self.pause(self.failures, config, at);
    }

    fn pause(&mut self, in_a_row: u32, config: &ProcessConfig, at: Circumstances<'_>) {
        let policy = &config.restart;
        let written = policy.restart_delay;
        let mut pause = written.unwrap_or(Duration::ZERO);
        if in_a_row > 0 && policy.restart_backoff == Backoff::Linear {
            pause = pause.max(SECOND) * in_a_row;
        }
        if in_a_row > 0 && policy.restart_backoff == Backoff::Exponential {
            pause = (1..in_a_row).fold(written.unwrap_or(SECOND), |pause, _| (pause * 2).min(100 * SECOND));
        }
        if let Some(most) = policy.restart_delay_max {
            pause = pause.min(most);
        } else if policy.restart_backoff == Backoff::Exponential {
            pause = pause.min(60 * SECOND);
        }
        let floor = self.started + SECOND;
        let first = (at.now + pause).max(floor);
        let last = (at.now + pause + pause * policy.restart_jitter / 100).max(floor);
        (self.back, self.deadline) = (Back::InTime, Some(first));
        self.slack = last.since(first);
    }
}
