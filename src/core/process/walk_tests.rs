//! Random walks: a process goes through thousands of random events, and a model that knows only states and deadlines
//! must agree with it at every step.
//!
//! What the model leaves out (which process is signalled, which events are published) is checked by rules: at most one
//! program is alive at a time, only that one is signalled, and no state is skipped between two changes. A walk that
//! fails prints its seed and its last steps.

use super::walks::{Chance, Path};
use super::{After, Circumstances, Effect, Event, Pid, Process, State, step};
use crate::core::sample;
use crate::model::config::{Autorestart, ProcessConfig};
use crate::model::exit::ExitStatus;
use crate::model::signal::Signal;
use crate::model::state::ProcessState;
use crate::model::time::{Monotonic, Wall};
use std::time::Duration;

const N_WALKS: u64 = 2000;
const N_STEPS: usize = 500;

/// What the rules say, without pids, texts and effects.
#[derive(Debug)]
struct Model {
    kind: ProcessState,
    failures: u32,
    started: Monotonic,
    deadline: Option<Monotonic>,
    /// A start waits for the end.
    again: bool,
}

impl Model {
    /// What becomes of an event; whether something is to be spawned.
    fn expect(&mut self, event: &Event, config: &ProcessConfig, at: Circumstances<'_>) -> bool {
        use ProcessState::*;
        let now = at.now;
        let due = self.deadline.is_some_and(|deadline| now >= deadline);
        match (event, self.kind) {
            (Event::Start, Stopped | Exited | Fatal) => return self.begin(at),
            (Event::Start, Stopping) => self.again = true,
            (Event::Stop | Event::ShutDown, Starting | Running) => {
                (self.kind, self.again, self.deadline) = (Stopping, false, Some(now + config.stopwaitsecs));
            }
            (Event::Stop | Event::ShutDown, Stopping) => self.again = false,
            (Event::Stop, Exited) if self.deadline.is_some() => self.rest(Stopped),
            (Event::ShutDown, Exited) => self.rest(Exited),
            (Event::Stop, Backoff) => self.rest(Stopped),
            (Event::ShutDown, Backoff) => self.rest(Fatal),
            (Event::SpawnFailed(_), Starting) => self.fail(config, now),
            (Event::Spawned(_), Starting) => {
                self.deadline = Some(self.started + config.startsecs);
                if config.startsecs.is_zero() {
                    self.rest(Running);
                }
            }
            (Event::Exited { .. }, Starting) if now.since(self.started) < config.startsecs => {
                self.fail(config, now)
            }
            (Event::Exited { status, .. }, Starting | Running) => {
                self.rest(Exited);
                let expected = config.exitcodes.iter().any(|&code| *status == ExitStatus::Code(code));
                let again = match config.autorestart {
                    Autorestart::Never => false,
                    Autorestart::Unexpected => !expected,
                    Autorestart::Always => true,
                };
                let start_at = self.started + Duration::from_secs(1);
                if again && at.may_start && now < start_at {
                    self.deadline = Some(start_at);
                    return false;
                }
                return again && self.begin(at);
            }
            (Event::Exited { .. }, Stopping | Unknown) => {
                let again = self.again && self.kind == Stopping;
                self.rest(Stopped);
                return again && self.begin(at);
            }
            (Event::SignalFailed(_), Starting | Running | Stopping) => {
                (self.kind, self.deadline) = (Unknown, None)
            }
            (Event::Tick, Starting) if due => self.rest(Running),
            (Event::Tick, Backoff | Exited) if due => return self.begin(at),
            (Event::Tick, Stopping) if due => {
                self.deadline = Some(now + config.stopwaitsecs.max(Duration::from_secs(1)));
            }
            _ => {}
        }
        false
    }

    fn begin(&mut self, at: Circumstances<'_>) -> bool {
        if at.may_start {
            (self.kind, self.started, self.deadline) = (ProcessState::Starting, at.now, None);
        }
        at.may_start
    }

    fn rest(&mut self, kind: ProcessState) {
        (self.kind, self.failures, self.deadline, self.again) = (kind, 0, None, false);
    }

    fn fail(&mut self, config: &ProcessConfig, now: Monotonic) {
        self.failures += 1;
        if self.failures > config.startretries {
            self.rest(ProcessState::Fatal);
        } else {
            self.kind = ProcessState::Backoff;
            self.deadline = Some(now + Duration::from_secs(u64::from(self.failures)));
        }
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
    alive: Option<Pid>,
    next_pid: Pid,
    /// When a program was to be created last.
    spawned: Monotonic,
    /// A start in this step is one that somebody asked for.
    asked_to_start: bool,
    /// The state that was published last.
    published: ProcessState,
    /// When it was told to stop, if it was.
    told_to_stop: Option<Monotonic>,
    path: Path,
}

impl Walk {
    fn new(seed: u64) -> Walk {
        let mut chance = Chance(seed);
        let seconds = |chance: &mut Chance| Duration::from_secs(chance.below(4));
        let config = ProcessConfig {
            autorestart: chance.one_of(&[Autorestart::Never, Autorestart::Unexpected, Autorestart::Always]),
            startsecs: seconds(&mut chance),
            stopwaitsecs: seconds(&mut chance),
            startretries: chance.below(4) as u32,
            stopasgroup: chance.one_in(2),
            killasgroup: chance.one_in(2),
            ..sample::config()
        };
        let begin = Monotonic(1_000_000_000_000);
        let model =
            Model { kind: ProcessState::Stopped, failures: 0, started: begin, deadline: None, again: false };
        Walk {
            seed,
            chance,
            config,
            process: Process::default(),
            model,
            now: begin,
            may_start: true,
            alive: None,
            next_pid: 100,
            spawned: Monotonic(0),
            asked_to_start: false,
            published: ProcessState::Stopped,
            told_to_stop: None,
            path: Path::default(),
        }
    }

    /// Lets something happen that can happen in the world as it is.
    fn advance(&mut self) {
        if !self.chance.one_in(3) {
            self.now = self.now + Duration::from_millis(self.chance.below(1500));
        }
        let event = match self.chance.below(10) {
            0 | 1 => Event::Start,
            2 => Event::Stop,
            3 if self.chance.one_in(50) => {
                self.may_start = false;
                Event::ShutDown
            }
            4 | 5 if self.alive.is_some() => {
                self.alive = None;
                Event::Exited { status: self.status(), why: None }
            }
            6 if self.alive.is_some() && self.chance.one_in(20) => Event::SignalFailed("not allowed".into()),
            _ => {
                // At the deadline itself as often as at odd moments.
                if let Some(deadline) = self.process.state.deadline()
                    && self.chance.one_in(2)
                {
                    self.now = self.now.max(deadline);
                }
                Event::Tick
            }
        };
        self.happen(event);
    }

    fn status(&mut self) -> ExitStatus {
        match self.chance.below(4) {
            0 => ExitStatus::Code(0),
            1 => ExitStatus::Code(1),
            2 => ExitStatus::Signal { signal: Signal::TERM, core_dumped: false },
            _ => ExitStatus::Unknown,
        }
    }

    fn happen(&mut self, event: Event) {
        let at = Circumstances { may_start: self.may_start, ..Circumstances::at(self.now, Wall(self.now.0)) };
        self.path.push(&self.process.state, self.now, &event, "");

        // A start that was asked for during a stop comes to pass with the end.
        let waits_for_end = matches!(self.process.state, State::Stopping { after: After::Start, .. });
        self.asked_to_start = event == Event::Start || waits_for_end;
        let expects_spawn = self.model.expect(&event, &self.config, at);
        let dead = matches!(event, Event::Exited { .. }).then(|| self.process.state.pid()).flatten();
        let (after, effects) = step(std::mem::take(&mut self.process), event, &self.config, at);
        self.process = after;
        let spawns = effects.iter().filter(|effect| **effect == Effect::Spawn).count();
        assert_eq!(spawns, usize::from(expects_spawn), "spawns");
        for effect in &effects {
            self.check(effect, dead);
        }
        assert_eq!(self.process.state.kind(), self.model.kind, "the state");
        assert_eq!(self.published, self.model.kind, "the state that was published last");
        if spawns > 0 {
            return self.answer_spawn();
        }
        assert_eq!(self.process.state.deadline(), self.model.deadline, "the deadline");
        assert_eq!(self.process.failures, self.model.failures, "the failures");
        assert_eq!(self.process.state.pid(), self.alive, "the pid of what is alive");
    }

    fn check(&mut self, effect: &Effect, dead: Option<Pid>) {
        match effect {
            Effect::Spawn => {
                assert_eq!(self.alive, None, "a second one is spawned beside the first");
                let pause = self.now.since(self.spawned);
                assert!(
                    self.asked_to_start || pause >= Duration::from_secs(1),
                    "a start after only {pause:?}"
                );
                self.spawned = self.now;
            }
            Effect::Abandon => panic!("every spawn of a walk is answered at once"),
            Effect::Kill { pid, signal: Signal::KILL, .. } => {
                assert_eq!(Some(*pid), self.alive, "who is killed");
                let told = self.told_to_stop.expect("nobody is killed who was not told to stop");
                assert!(self.now >= told + self.config.stopwaitsecs, "the grace period is cut short");
            }
            Effect::Kill { pid, signal, .. } => {
                assert_eq!(
                    (Some(*pid), *signal),
                    (self.alive, self.config.stopsignal),
                    "who is told to stop"
                );
                self.told_to_stop = Some(self.now);
            }
            Effect::KillStragglers { pid, .. } => assert_eq!(Some(*pid), dead, "whose stragglers are killed"),
            Effect::Publish(change) => {
                assert_eq!(change.from, self.published, "a change begins where the last one ended");
                assert_ne!(change.from, change.to, "a change that is none");
                self.published = change.to;
            }
            Effect::PublishHealth { .. } => panic!("nobody checks its health"),
            Effect::Log(_, text) => assert!(!text.is_empty()),
        }
    }

    fn answer_spawn(&mut self) {
        if self.chance.one_in(3) {
            return self.happen(Event::SpawnFailed("no room".into()));
        }
        self.next_pid += 1;
        self.alive = Some(self.next_pid);
        self.happen(Event::Spawned(self.next_pid));
    }
}

/// Prints where the walk went if it ended badly.
impl Drop for Walk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, configuration: {:?}", self.seed, self.config);
            self.path.print();
        }
    }
}

#[test]
fn a_million_random_steps() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..N_WALKS {
        let mut walk = Walk::new(seed);
        for _ in 0..N_STEPS {
            walk.advance();
            seen.insert(walk.process.state.kind());
        }
    }
    assert_eq!(seen.len(), ProcessState::ALL.len(), "states that no walk came to: only {seen:?}");
}

/// A signal that could not be sent leaves the process where only its end can lead out.
#[test]
fn unknown_is_left_by_an_exit_only() {
    let config = sample::config();
    let at = Circumstances::at(Monotonic(5), Wall(5));
    for event in [Event::Start, Event::Stop, Event::ShutDown, Event::Tick] {
        let process = Process { state: State::Unknown { pid: 5 }, ..Process::default() };
        let (after, effects) = step(process.clone(), event, &config, at);
        assert_eq!((after, effects), (process, Vec::new()));
    }
}
