//! Random walks with every key beyond Supervisor's: a second account of waits and policies, made from what is promised
//! and not from the table, must agree with the table at every step.
//!
//! Rules hold beside it, whatever both say: one program at a time; no start against what it depends on, against a stop,
//! too soon, too often or while the daemon ends; SIGKILL after the grace period only; changes without a gap.

use super::policy_model::{Back, Model, Program};
use super::walks::{Chance, Path, Seen};
use super::{After, Circumstances, Effect, Event, Needs, Pid, Process, State, step};
use crate::core::sample;
use crate::model::config::{Autorestart, MemoryLimit, ProcessConfig, ProgramType};
use crate::model::dependency::{Dependencies, DependsRestart};
use crate::model::exit::ExitStatus;
use crate::model::probe::{HealthAction, HealthCheck, Readiness};
use crate::model::restart::{Backoff, RestartLimit, RestartPolicy};
use crate::model::signal::Signal;
use crate::model::state::ProcessState::{self, *};
use crate::model::time::{Monotonic, Wall};
use std::time::Duration;

/// In all walks.
const N_STEPS: usize = 1_000_000;
/// In one, and once its daemon is on its way down.
const MOST_STEPS: usize = 200;
const MOST_LAST_STEPS: usize = 20;
const SECOND: Duration = Duration::from_secs(1);
const UNMET: &str = "depends on db, which is FATAL";

fn config(chance: &mut Chance) -> ProcessConfig {
    fn maybe<T>(chance: &mut Chance, one_in: u64, value: T) -> Option<T> {
        chance.one_in(one_in).then_some(value)
    }
    let lengths = [0, 300, 500, 1000, 1500, 2000, 3000].map(Duration::from_millis);
    let limits = [(1, 1), (1, 10), (2, 4), (3, 60)];
    let (starts, within) = chance.one_of(&limits);
    let restart = RestartPolicy {
        restart_delay: Some(chance.one_of(&lengths)).filter(|_| chance.one_in(2)),
        restart_backoff: chance.one_of(&[Backoff::Linear, Backoff::Exponential, Backoff::Fixed]),
        restart_delay_max: Some(chance.one_of(&lengths)).filter(|_| chance.one_in(3)),
        restart_jitter: chance.one_of(&[0, 0, 20, 100]),
        restart_reset: Some(chance.one_of(&lengths[3..])).filter(|_| chance.one_in(3)),
        restart_limit: maybe(chance, 3, RestartLimit { starts, within: within * SECOND }),
        stay_down_exitcodes: if chance.one_in(3) { vec![2] } else { Vec::new() },
        retry_fatal_after: chance.one_of(&lengths).saturating_sub(lengths[2]),
    };
    let readiness =
        Readiness { ready_timeout: chance.one_of(&lengths[1..]), ..*sample::readiness(chance.one_in(2)) };
    let actions =
        [HealthAction::Restart, HealthAction::Stop, HealthAction::None, HealthAction::Signal(Signal::HUP)];
    let health_check = HealthCheck {
        health_retries: 1 + chance.below(2) as u32,
        ..*sample::health(chance.one_of(&actions))
    };
    let memory_limit =
        MemoryLimit { bytes: 1 << 20, action: chance.one_of(&[actions[0], actions[1], actions[3]]) };
    ProcessConfig {
        autorestart: chance.one_of(&[Autorestart::Never, Autorestart::Unexpected, Autorestart::Always]),
        startsecs: chance.one_of(&lengths),
        stopwaitsecs: chance.one_of(&lengths),
        stopsignal_then: vec![Signal::INT, Signal::QUIT][..chance.below(3) as usize].to_vec(),
        startretries: chance.one_of(&[0, 1, 3, u32::MAX]),
        kind: if chance.one_in(4) { ProgramType::Oneshot } else { ProgramType::Simple },
        max_runtime: Some(chance.one_of(&lengths[2..])).filter(|_| chance.one_in(3)),
        readiness: maybe(chance, 3, Box::new(readiness)),
        health_check: maybe(chance, 2, Box::new(health_check)),
        watchdog: maybe(chance, 2, SECOND),
        memory_limit: maybe(chance, 3, memory_limit),
        dependencies: Dependencies {
            dependency_timeout: maybe(chance, 2, lengths[4]),
            depends_restart: chance.one_of(&[
                DependsRestart::None,
                DependsRestart::Restart,
                DependsRestart::Stop,
            ]),
            ..Dependencies::default()
        },
        restart,
        ..sample::config()
    }
}

/// One walk: the process, its model, and the world outside.
struct Walk {
    seed: u64,
    chance: Chance,
    config: ProcessConfig,
    process: Process,
    model: Model,
    now: Monotonic,
    may_start: bool,
    needs: Needs<'static>,
    /// Somebody started it last without what it depends on.
    alone: bool,
    ordered: bool,
    alive: Option<Pid>,
    next_pid: Pid,
    started: Monotonic,
    /// Since somebody's last start: those that nobody asked for.
    by_themselves: Vec<Monotonic>,
    /// Somebody asked, and the start has not come yet.
    asked: bool,
    /// A stop was the last that somebody wanted.
    is_down: bool,
    published: ProcessState,
    well: Option<bool>,
    /// When its stop signal was sent, and how many others after it.
    told: Option<(Monotonic, u32)>,
    /// When it was last sent SIGKILL.
    killed: Option<Monotonic>,
    path: Path,
}

impl Walk {
    fn new(seed: u64) -> Walk {
        let mut chance = Chance(seed);
        let config = config(&mut chance);
        Walk {
            seed,
            chance,
            config,
            process: Process::default(),
            model: Model::new(),
            now: Monotonic(1_000_000_000_000),
            may_start: true,
            needs: Needs::Met,
            alone: false,
            ordered: false,
            alive: None,
            next_pid: 100,
            started: Monotonic(0),
            by_themselves: Vec::new(),
            asked: false,
            is_down: true,
            published: Stopped,
            well: None,
            told: None,
            killed: None,
            path: Path::default(),
        }
    }

    /// Lets something happen that can happen in the world as it is.
    fn advance(&mut self, seen: &mut Seen) {
        if !self.chance.one_in(3) {
            self.now = self.now + Duration::from_millis(self.chance.below(700));
        }
        let event = if self.ordered && !self.chance.one_in(4) { self.answer() } else { self.choose() };
        self.tell_of(&event);
        seen.insert(&self.process.state, &event);
        self.happen(event);
    }

    /// What becomes of the program that was ordered.
    fn answer(&mut self) -> Event {
        self.next_pid += 1;
        match self.chance.below(8) {
            0 => Event::SpawnFailed(String::new()),
            1 => Event::SpawnedLate(self.next_pid),
            _ => Event::Spawned(self.next_pid),
        }
    }

    fn choose(&mut self) -> Event {
        let result = |is_good: bool| if is_good { Ok(()) } else { Err(String::new()) };
        match self.chance.below(20) {
            0 | 1 => Event::Start,
            2 if self.chance.one_in(2) => Event::StartAlone,
            3 if self.chance.one_in(2) => Event::Stop,
            4 if self.may_start && self.chance.one_in(8) => {
                self.may_start = false;
                if self.chance.one_in(4) { Event::Tick } else { Event::ShutDown }
            }
            4 if !self.may_start => Event::ShutDown,
            5..=7 if self.alive.is_some() => Event::Exited { status: self.status(), why: None },
            8 if self.alive.is_some() && self.process.state.kind() != Unknown && self.chance.one_in(15) => {
                Event::SignalFailed(String::new())
            }
            9 | 10 => {
                self.needs =
                    self.chance.one_of(&[Needs::Met, Needs::Met, Needs::Unmet, Needs::Failed(UNMET)]);
                if self.chance.one_in(5) { Event::NeedsLost } else { Event::NeedsChanged }
            }
            11 => Event::Readiness(result(!self.chance.one_in(3))),
            12 => Event::Checked(result(self.chance.one_in(2))),
            13 if self.config.watchdog.is_some() && self.chance.one_in(3) => Event::Silent,
            13 if self.config.memory_limit.is_some() && self.chance.one_in(3) => Event::OverMemory(2 << 20),
            14 if self.chance.one_in(5) => Event::Escalate,
            14 if self.chance.one_in(3) => {
                Event::Extend(self.now + Duration::from_millis(self.chance.below(3000)))
            }
            16 if self.chance.one_in(5) => Event::StopLater,
            15 if self.may_adopt() => {
                self.next_pid += 1;
                let started = self.now - Duration::from_millis(self.chance.below(3000));
                Event::Adopted { pid: self.next_pid, started, start: Wall(started.0) }
            }
            _ => {
                // At the deadline itself as often as at odd moments.
                if let Some(deadline) = self.process.state.deadline()
                    && self.chance.one_in(2)
                {
                    self.now = self.now.max(deadline);
                }
                Event::Tick
            }
        }
    }

    /// Programs of a former daemon are found before anything comes back by itself.
    fn may_adopt(&mut self) -> bool {
        let is_at_rest = self.alive.is_none() && !self.ordered && self.published != Backoff;
        is_at_rest && self.process.automatic_starts.is_empty() && self.chance.one_in(20)
    }

    fn status(&mut self) -> ExitStatus {
        match self.chance.below(5) {
            0 | 1 => ExitStatus::Code(0),
            2 => ExitStatus::Code(2),
            3 => ExitStatus::Signal { signal: Signal::TERM, core_dumped: false },
            _ => ExitStatus::Unknown,
        }
    }

    /// What the rules must know of an event before it is taken in.
    fn tell_of(&mut self, event: &Event) {
        let kind = self.published;
        match event {
            Event::Start | Event::StartAlone => {
                let is_alone = *event == Event::StartAlone;
                let waits = matches!(self.process.state, State::Waiting { .. });
                if matches!(kind, Stopped | Stopping | Exited | Fatal) || (waits && is_alone) {
                    (self.asked, self.is_down) = (true, false);
                    self.alone = is_alone;
                    self.by_themselves.clear();
                }
            }
            Event::Stop | Event::ShutDown => (self.asked, self.is_down) = (false, true),
            Event::Spawned(pid) | Event::SpawnedLate(pid) => {
                (self.ordered, self.alive) = (false, Some(*pid));
                if matches!(event, Event::SpawnedLate(_)) {
                    self.started = self.now;
                }
            }
            Event::SpawnFailed(_) => self.ordered = false,
            Event::Adopted { pid, started, .. } => {
                (self.alive, self.started, self.is_down) = (Some(*pid), *started, false);
                (self.asked, self.well, self.told, self.killed) = (false, None, None, None);
            }
            _ => {}
        }
    }

    fn happen(&mut self, event: Event) {
        let chance = self.chance.one_of(&[0, u32::MAX, u32::MAX / 3]);
        let at = Circumstances {
            may_start: self.may_start,
            needs: self.needs,
            chance,
            ..Circumstances::at(self.now, Wall(self.now.0))
        };
        let needs = if self.needs == Needs::Met { "" } else { "(against what it depends on)" };
        self.path.push(&self.process.state, self.now, &event, needs);
        self.model.expect(&event, &self.config, at);
        let dead = if matches!(event, Event::Exited { .. }) { self.alive.take() } else { None };
        let (after, effects) = step(std::mem::take(&mut self.process), event.clone(), &self.config, at);
        self.process = after;
        for effect in &effects {
            self.check(effect, &event, dead);
        }
        if matches!(self.published, Stopped | Exited | Fatal | Backoff) {
            self.asked = false;
        }
        self.compare();
    }

    /// The model and the table agree.
    fn compare(&mut self) {
        let (state, model) = (&self.process.state, &mut self.model);
        assert_eq!(state.kind(), model.kind, "the state");
        assert_eq!(self.published, model.kind, "the state that was published last");
        let program = match (self.ordered, self.alive) {
            (true, _) => Program::Ordered,
            (false, Some(_)) => Program::Alive,
            (false, None) => Program::None,
        };
        assert_eq!(program, model.program, "what became of its program");
        assert_eq!(state.pid(), self.alive, "the pid of what is alive");
        assert_eq!(matches!(state, State::Failing { .. }), model.failed.is_some(), "whether it has failed");
        assert_eq!(self.process.failures, model.failures, "the failures");
        let returns = match state {
            State::Waiting { .. } | State::Backoff { .. } | State::Parked { .. } => true,
            State::Exited { start_at: at } | State::Fatal { retry_at: at } => at.is_some(),
            State::Stopping { after, .. } => *after != After::Rest,
            _ => false,
        };
        assert_eq!(returns, model.back != Back::No, "whether it comes back by itself");
        let slack = std::mem::take(&mut model.slack);
        let actual = state.deadline();
        // What is random is right within its bounds. Percentages are rounded.
        if let (Some(actual), Some(first)) = (actual, model.deadline)
            && !slack.is_zero()
        {
            let last = first + slack + Duration::from_micros(1);
            assert!(first <= actual && actual <= last, "{actual:?} is not from {first:?} to {last:?}");
            model.deadline = Some(actual);
        }
        assert_eq!(actual, model.deadline, "the deadline");
    }

    fn check(&mut self, effect: &Effect, event: &Event, dead: Option<Pid>) {
        match effect {
            Effect::Spawn => self.check_spawn(),
            Effect::Abandon => {
                assert!(self.ordered, "nothing was ordered");
                self.ordered = false;
            }
            Effect::Kill { pid, signal, .. } => {
                assert_eq!(Some(*pid), self.alive, "who gets a signal");
                self.check_signal(*signal, event);
            }
            Effect::KillStragglers { pid, .. } => assert_eq!(Some(*pid), dead, "whose stragglers are killed"),
            Effect::Publish(change) => {
                assert_eq!(change.from, self.published, "a change begins where the last one ended");
                let adopted = matches!(event, Event::Adopted { .. });
                let is_allowed = match (change.from, change.to) {
                    (Stopped | Exited | Fatal | Backoff, Starting) => true,
                    (Starting, Running | Backoff | Stopping) | (Running, Stopping | Exited) => true,
                    (Backoff, Fatal) | (Stopping, Stopped) => true,
                    // Only somebody who wants it down changes what is at rest.
                    (Backoff | Exited | Fatal, Stopped) => *event == Event::Stop,
                    (Starting | Running | Stopping, Unknown) => matches!(event, Event::SignalFailed(_)),
                    (Unknown, Stopped) => dead.is_some(),
                    (Stopped | Exited | Fatal, Running) => adopted,
                    _ => false,
                };
                assert!(is_allowed, "{} -> {} after {event:?}", change.from, change.to);
                self.published = change.to;
            }
            Effect::PublishHealth { is_healthy, pid } => {
                assert_eq!((self.published, Some(*pid)), (Running, self.alive), "only what is up is well");
                assert_ne!(self.well, Some(*is_healthy), "that is no news");
                self.well = Some(*is_healthy);
                let check = self.config.health_check.as_ref().expect("its health is checked");
                if !is_healthy && check.health_action == HealthAction::Stop {
                    // As if somebody had stopped it.
                    (self.asked, self.is_down) = (false, true);
                }
            }
            Effect::Log(_, text) => assert!(!text.is_empty()),
        }
    }

    fn check_spawn(&mut self) {
        assert!(self.alive.is_none() && !self.ordered, "a second one beside the first");
        assert!(self.may_start, "a start while the daemon ends");
        assert!(!self.is_down, "a start after a stop");
        assert!(self.alone || self.needs == Needs::Met, "a start without what it depends on");
        let pause = self.now.since(self.started);
        assert!(self.asked || pause >= SECOND, "by itself after only {pause:?}");
        if !std::mem::take(&mut self.asked) {
            self.by_themselves.push(self.now);
            if let Some(limit) = self.config.restart.restart_limit {
                let recent = self.by_themselves.iter().filter(|start| self.now.since(**start) < limit.within);
                assert!(recent.count() <= limit.starts as usize, "too many starts within the limit's time");
            }
        }
        (self.ordered, self.started, self.well) = (true, self.now, None);
        (self.told, self.killed) = (None, None);
    }

    fn check_signal(&mut self, signal: Signal, event: &Event) {
        let wait = self.config.stopwaitsecs;
        let others = &self.config.stopsignal_then;
        let n_others = others.len() as u32;
        match (signal, self.told) {
            (Signal::HUP, _) if matches!(event, Event::OverMemory(_)) => {
                let limit = self.config.memory_limit.expect("its memory is limited");
                assert_eq!(limit.action, HealthAction::Signal(Signal::HUP));
            }
            (Signal::HUP, _) => {
                let check = self.config.health_check.as_ref().expect("its health is checked");
                assert_eq!(check.health_action, HealthAction::Signal(Signal::HUP));
                assert_eq!(self.well, Some(false), "it gets that signal when it is not well");
            }
            (Signal::KILL, Some((first, _))) => {
                let due = self.killed.map_or(first + wait * (n_others + 1), |last| last + wait.max(SECOND));
                assert!(self.now >= due || *event == Event::Escalate, "the grace period is cut short");
                self.killed = Some(self.now);
            }
            (signal, None) => {
                assert_eq!(signal, self.config.stopsignal, "the first signal");
                self.told = Some((self.now, 0));
            }
            (signal, Some((first, n_sent))) => {
                assert_eq!(self.killed, None, "nothing follows SIGKILL");
                assert_eq!(Some(&signal), others.get(n_sent as usize), "the next signal");
                assert!(self.now >= first + wait * (n_sent + 1), "the next signal comes too soon");
                self.told = Some((first, n_sent + 1));
            }
        }
    }
}

/// Prints where the walk went if it ended badly.
impl Drop for Walk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, model: {:?}", self.seed, self.model);
            let c = &self.config;
            eprintln!(
                "{:?} autorestart {:?} startsecs {:?} stopwaitsecs {:?} startretries {} max_runtime {:?}",
                c.kind, c.autorestart, c.startsecs, c.stopwaitsecs, c.startretries, c.max_runtime
            );
            eprintln!("{:?}\n{:?}\n{:?}\n{:?}", c.restart, c.dependencies, c.readiness, c.health_check);
            self.path.print();
        }
    }
}

#[test]
fn a_million_random_steps_with_every_key() {
    let mut seen = Seen::default();
    let (mut seed, mut n_steps) = (0, 0);
    while n_steps < N_STEPS {
        seed += 1;
        let mut walk = Walk::new(seed);
        let mut n_left = MOST_STEPS;
        while n_left > 0 {
            walk.advance(&mut seen);
            n_left = if walk.may_start { n_left - 1 } else { (n_left - 1).min(MOST_LAST_STEPS) };
            n_steps += 1;
        }
    }
    let missing = seen.missing(can_occur);
    assert!(missing.is_empty(), "no walk came to: {missing:?}");
}

/// Whether that can happen in that state, outside as it is in [`Walk::choose`].
fn can_occur(state: &str, event: &str) -> bool {
    let is_ordered = state == "Starting, ordered";
    let is_alive = ["Starting, alive", "Starting, ready", "Running", "Failing", "Stopping"]
        .iter()
        .any(|begin| state.starts_with(begin));
    match event {
        "Spawned" | "SpawnedLate" | "SpawnFailed" => is_ordered,
        "Exited" => is_alive || state == "Unknown",
        "SignalFailed" => is_alive,
        // A walk has one configuration; `policy_tests` tells what happens.
        "Reconfigured" => false,
        "Adopted" => !is_alive && !is_ordered && state != "Unknown" && state != "Backoff",
        _ => true,
    }
}
