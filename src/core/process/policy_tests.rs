//! What the keys beyond Supervisor's make of a life, told as stories: each is something that users of other supervisors
//! have suffered from the opposite of.

use super::{Circumstances, Effect, Event, NEVER, Needs, Process, State, step};
use crate::core::sample;
use crate::model::config::{Autorestart, ProcessConfig, ProgramType};
use crate::model::dependency::DependsRestart;
use crate::model::exit::ExitStatus;
use crate::model::restart::{Backoff, RestartLimit};
use crate::model::state::ProcessState;
use crate::model::time::{Monotonic, Wall};
use std::time::Duration;

const DB_IS_FATAL: Needs<'static> = Needs::Failed("depends on db, which is FATAL");

/// A process, and what has been done about it.
struct Story {
    config: ProcessConfig,
    process: Process,
    needs: Needs<'static>,
    n_spawns: usize,
    published: Vec<ProcessState>,
}

impl Story {
    fn of(change: impl FnOnce(&mut ProcessConfig)) -> Story {
        let mut config = sample::config();
        change(&mut config);
        let (process, published) = (Process::default(), Vec::new());
        Story { config, process, needs: Needs::Met, n_spawns: 0, published }
    }

    /// Lets something happen, so many seconds after the beginning.
    fn at(&mut self, seconds: f64, event: Event) -> &State {
        let at = Circumstances { needs: self.needs, ..Circumstances::at(moment(seconds), Wall(1)) };
        let (process, effects) = step(std::mem::take(&mut self.process), event, &self.config, at);
        self.process = process;
        for effect in effects {
            match effect {
                Effect::Spawn => self.n_spawns += 1,
                Effect::Publish(change) => self.published.push(change.to),
                _ => {}
            }
        }
        &self.process.state
    }

    fn started(&mut self, seconds: f64) {
        self.at(seconds, Event::Spawned(7));
    }

    fn needs(&mut self, seconds: f64, needs: Needs<'static>) -> &State {
        self.needs = needs;
        self.at(seconds, Event::NeedsChanged)
    }

    fn kind(&self) -> ProcessState {
        self.process.state.kind()
    }
}

fn moment(seconds: f64) -> Monotonic {
    Monotonic(1_000_000_000_000) + Duration::from_secs_f64(seconds)
}

fn exits(code: u8) -> Event {
    Event::Exited { status: ExitStatus::Code(code), why: None }
}

#[test]
fn it_starts_when_its_conditions_hold_and_not_because_they_once_did() {
    let mut story = Story::of(|_| {});
    story.needs = Needs::Unmet;
    assert_eq!(*story.at(0.0, Event::Start), State::Waiting { give_up_at: NEVER, is_asked: true });
    // Its dependency restarts, several times: it waits through that.
    for second in 1..5 {
        story.needs(f64::from(second), Needs::Unmet);
    }
    assert_eq!(story.n_spawns, 0);
    let started = moment(9.0);
    story.needs(9.0, Needs::Met);
    assert_eq!((story.n_spawns, story.process.started), (1, started), "its time begins with its program");
    assert_eq!(story.published, [ProcessState::Starting], "a wait is no state of its own");
    story.started(9.0);
    story.at(14.0, Event::Tick);
    // It holds no more when it crashes: the restart waits.
    story.needs(20.0, Needs::Unmet);
    assert_eq!(story.kind(), ProcessState::Running);
    assert_eq!(*story.at(30.0, exits(1)), State::Waiting { give_up_at: NEVER, is_asked: false });
    assert_eq!(story.n_spawns, 1);
}

#[test]
fn a_start_that_somebody_asked_for_waits_for_its_dependencies_and_for_nothing_else() {
    let mut story = Story::of(|_| {});
    story.at(0.0, Event::Start);
    story.started(0.0);
    story.at(0.1, Event::Stop);
    story.at(0.2, exits(0));
    story.needs(0.2, Needs::Unmet);
    assert_eq!(*story.at(0.3, Event::Start), State::Waiting { give_up_at: NEVER, is_asked: true });
    story.needs(0.4, Needs::Met);
    assert_eq!(story.n_spawns, 2, "not a second after its last start");
}

#[test]
fn a_stop_ends_a_wait_and_nothing_is_left_of_it() {
    let mut story = Story::of(|_| {});
    story.needs = Needs::Unmet;
    story.at(0.0, Event::Start);
    assert_eq!(*story.at(1.0, Event::Stop), State::Stopped);
    story.needs(2.0, Needs::Met);
    assert_eq!((story.kind(), story.n_spawns), (ProcessState::Stopped, 0));
    story.at(3.0, Event::Start);
    assert_eq!(story.n_spawns, 1);
}

#[test]
fn what_fails_for_a_dependency_comes_back_with_it_unless_it_was_stopped() {
    let mut story = Story::of(|_| {});
    story.needs = Needs::Unmet;
    story.at(0.0, Event::Start);
    story.needs(1.0, DB_IS_FATAL);
    assert_eq!(story.kind(), ProcessState::Fatal);
    assert_eq!(story.process.spawnerr, "depends on db, which is FATAL");
    use ProcessState::*;
    assert_eq!(story.published, [Starting, Backoff, Fatal], "as every start that fails");
    story.needs(2.0, Needs::Unmet);
    assert_eq!(story.kind(), Fatal, "not before it holds");
    story.needs(3.0, Needs::Met);
    assert_eq!((story.kind(), story.n_spawns), (Starting, 1));

    let mut stopped = Story::of(|_| {});
    stopped.needs = DB_IS_FATAL;
    stopped.at(0.0, Event::Start);
    assert_eq!(stopped.kind(), Fatal);
    stopped.at(1.0, Event::Stop);
    assert_eq!(stopped.kind(), Stopped);
    stopped.needs(2.0, Needs::Met);
    assert_eq!((stopped.kind(), stopped.n_spawns), (Stopped, 0));
}

#[test]
fn a_wait_that_takes_too_long_fails_without_retries() {
    let mut story = Story::of(|c| c.dependencies.dependency_timeout = Some(Duration::from_secs(30)));
    story.needs = Needs::Unmet;
    assert_eq!(*story.at(0.0, Event::Start), State::Waiting { give_up_at: moment(30.0), is_asked: true });
    story.at(29.0, Event::Tick);
    assert_eq!(story.kind(), ProcessState::Starting);
    story.at(30.0, Event::Tick);
    assert_eq!(story.kind(), ProcessState::Fatal);
    assert!(story.process.spawnerr.contains("longer than 30s"), "{}", story.process.spawnerr);
}

#[test]
fn whoever_starts_it_alone_is_not_made_to_wait() {
    let mut story = Story::of(|c| c.dependencies.depends_restart = DependsRestart::Restart);
    story.needs = Needs::Unmet;
    story.at(0.0, Event::Start);
    story.at(1.0, Event::StartAlone);
    assert_eq!(story.n_spawns, 1);
    story.started(1.0);
    story.needs(2.0, DB_IS_FATAL);
    story.at(6.0, Event::Tick);
    assert_eq!(story.kind(), ProcessState::Running, "what was ignored is ignored later, too");
    story.at(20.0, exits(1));
    assert_eq!(story.n_spawns, 2, "and after a crash");
    // The next start by somebody who says nothing counts it again.
    story.started(20.0);
    story.at(21.0, Event::Stop);
    story.at(21.1, exits(0));
    story.at(22.0, Event::Start);
    assert_eq!(story.kind(), ProcessState::Fatal);
}

#[test]
fn depends_restart_stops_and_starts_with_the_dependency() {
    for (mode, at_rest) in
        [(DependsRestart::Restart, ProcessState::Starting), (DependsRestart::Stop, ProcessState::Stopped)]
    {
        let mut story = Story::of(|c| c.dependencies.depends_restart = mode);
        story.at(0.0, Event::Start);
        story.started(0.0);
        story.at(5.0, Event::Tick);
        story.needs(6.0, Needs::Unmet);
        assert_eq!(story.kind(), ProcessState::Stopping, "{mode:?}");
        story.at(6.5, exits(0));
        assert_eq!((story.kind(), story.n_spawns), (at_rest, 1), "{mode:?}");
        story.needs(7.0, Needs::Met);
        assert_eq!((story.kind(), story.n_spawns), (ProcessState::Starting, 2), "{mode:?}");
        // Back before it has ended: it is started all the same.
        story.started(7.0);
        story.needs(8.0, Needs::Unmet);
        story.needs(8.1, Needs::Met);
        story.at(8.2, exits(0));
        assert_eq!((story.kind(), story.n_spawns), (ProcessState::Starting, 3), "{mode:?}");
    }
}

#[test]
fn what_is_not_ready_in_time_is_stopped_and_tried_again_and_never_down_for_ever() {
    let mut story = Story::of(|c| c.readiness = Some(sample::readiness(false)));
    let mut now = 0.0;
    story.at(now, Event::Start);
    for round in 1..=4 {
        story.started(now);
        story.at(now + 2.0, Event::Readiness(Err("connection refused".into())));
        story.at(now + 5.0, Event::Tick);
        assert_eq!(story.kind(), ProcessState::Starting, "until it has ended");
        assert_eq!(story.process.spawnerr, "not ready within 5s: connection refused");
        story.at(now + 6.0, exits(0));
        assert_eq!(story.n_spawns, round);
        now += 20.0;
        story.at(now, Event::Tick);
    }
    assert_eq!(story.kind(), ProcessState::Fatal);
    assert_eq!(story.process.spawnerr, "not ready within 5s: connection refused");
}

#[test]
fn ready_makes_it_running_at_once_unless_startsecs_was_written() {
    let mut story = Story::of(|c| c.readiness = Some(sample::readiness(false)));
    story.at(0.0, Event::Start);
    story.started(0.0);
    story.at(0.1, Event::Readiness(Ok(())));
    assert_eq!(story.kind(), ProcessState::Running);
    story.at(0.2, exits(1));
    assert_eq!(story.kind(), ProcessState::Exited, "it was up");

    let mut story = Story::of(|c| c.readiness = Some(sample::readiness(true)));
    story.at(0.0, Event::Start);
    story.started(0.0);
    story.at(0.1, Event::Readiness(Ok(())));
    assert_eq!(story.kind(), ProcessState::Starting);
    story.at(5.0, Event::Tick);
    assert_eq!(story.kind(), ProcessState::Running);
}

#[test]
fn a_job_is_starting_while_it_runs_and_exited_after_a_good_end_at_any_age() {
    for second in [0.001, 900.0] {
        let mut story = Story::of(|c| {
            (c.kind, c.autorestart) = (ProgramType::Oneshot, Autorestart::Unexpected);
        });
        story.at(0.0, Event::Start);
        story.started(0.0);
        assert_eq!(story.process.state.deadline(), None);
        assert_eq!(story.kind(), ProcessState::Starting);
        story.at(second, exits(0));
        assert_eq!(*story.at(second, Event::Tick), State::Exited { start_at: None });
        assert_eq!(story.process.exit, Some(ExitStatus::Code(0)));
    }
    let mut story = Story::of(|c| c.kind = ProgramType::Oneshot);
    story.at(0.0, Event::Start);
    for (begin, end) in [(0.0, 100.0), (101.0, 200.0), (202.0, 300.0), (303.0, 400.0)] {
        story.at(begin, Event::Tick);
        story.started(begin);
        story.at(end, exits(2));
    }
    assert_eq!((story.kind(), story.n_spawns), (ProcessState::Fatal, 4), "startretries, at any age");
    assert_eq!(story.process.spawnerr, "Bad exit code 2");
}

#[test]
fn what_runs_too_long_is_stopped_and_has_failed_whatever_its_exit_code() {
    let mut story = Story::of(|c| c.max_runtime = Some(Duration::from_secs(60)));
    story.at(0.0, Event::Start);
    story.started(0.0);
    story.at(5.0, Event::Tick);
    assert_eq!(story.process.state.deadline(), Some(moment(60.0)));
    story.at(60.0, Event::Tick);
    assert_eq!(story.kind(), ProcessState::Running, "until it has ended");
    story.at(61.0, exits(0));
    assert_eq!((story.kind(), story.n_spawns), (ProcessState::Starting, 2), "as after an unexpected exit");

    let mut story = Story::of(|c| {
        (c.kind, c.max_runtime, c.startretries) = (ProgramType::Oneshot, Some(Duration::from_secs(60)), 0);
    });
    story.at(0.0, Event::Start);
    story.started(0.0);
    story.at(60.0, Event::Tick);
    story.at(61.0, exits(0));
    assert_eq!(story.kind(), ProcessState::Fatal);
    assert_eq!(story.process.spawnerr, "ran longer than 60s (max_runtime)");
}

#[test]
fn the_sixth_start_within_a_minute_is_not_made() {
    let mut story = Story::of(|c| {
        c.startsecs = Duration::ZERO;
        c.autorestart = Autorestart::Always;
        c.restart.restart_limit = Some(RestartLimit { starts: 5, within: Duration::from_secs(60) });
    });
    story.at(0.0, Event::Start);
    let mut now = 0.0;
    for _ in 0..5 {
        story.started(now);
        story.at(now + 0.1, exits(0));
        now += 1.0;
        story.at(now, Event::Tick);
        assert_eq!(story.kind(), ProcessState::Starting);
    }
    story.started(now);
    story.at(now + 0.1, exits(0));
    story.at(now + 1.0, Event::Tick);
    assert_eq!((story.kind(), story.n_spawns), (ProcessState::Fatal, 6), "one by a person, five by itself");
    assert_eq!(story.process.spawnerr, "started 5 times within 60s, its restart_limit");
    story.at(now + 2.0, Event::Start);
    assert_eq!((story.kind(), story.process.automatic_starts.len()), (ProcessState::Starting, 0));
}

#[test]
fn failures_are_forgotten_after_restart_reset_and_not_before() {
    let mut story = Story::of(|c| {
        c.autorestart = Autorestart::Always;
        c.restart.restart_backoff = Backoff::Exponential;
        c.restart.restart_reset = Some(Duration::from_secs(100));
    });
    story.at(0.0, Event::Start);
    let mut now = 0.0;
    for pause in [1.0, 2.0, 4.0] {
        story.started(now);
        story.at(now + 5.0, Event::Tick);
        story.at(now + 10.0, exits(0));
        now += 10.0 + pause;
        assert_eq!(*story.at(now - 0.1, Event::Tick), State::Exited { start_at: Some(moment(now)) });
        story.at(now, Event::Tick);
    }
    story.started(now);
    story.at(now + 5.0, Event::Tick);
    story.at(now + 100.0, exits(0));
    assert_eq!((story.kind(), story.process.failures), (ProcessState::Starting, 0));
    // The fourth failure in a row is one too many.
    now += 100.0;
    for _ in 0..4 {
        story.started(now);
        story.at(now + 5.0, Event::Tick);
        story.at(now + 6.0, exits(0));
        now += 60.0;
        story.at(now, Event::Tick);
    }
    assert_eq!(story.kind(), ProcessState::Fatal);
}

#[test]
fn a_fatal_one_is_tried_again_after_its_time_and_a_stop_ends_that() {
    let retried = |c: &mut ProcessConfig| {
        c.startretries = 0;
        c.restart.retry_fatal_after = Duration::from_secs(300);
    };
    let mut story = Story::of(retried);
    story.at(0.0, Event::Start);
    story.at(0.0, Event::SpawnFailed("no room".into()));
    assert_eq!(*story.at(1.0, Event::Tick), State::Fatal { retry_at: Some(moment(300.0)) });
    story.at(300.0, Event::Tick);
    assert_eq!((story.kind(), story.n_spawns), (ProcessState::Starting, 2));
    story.at(300.0, Event::SpawnFailed("no room".into()));
    story.at(310.0, Event::Stop);
    assert_eq!(*story.at(700.0, Event::Tick), State::Stopped);
}

#[test]
fn some_exit_codes_are_final() {
    let mut story = Story::of(|c| {
        c.autorestart = Autorestart::Always;
        c.restart.stay_down_exitcodes = vec![78];
    });
    story.at(0.0, Event::Start);
    story.started(0.0);
    story.at(5.0, Event::Tick);
    assert_eq!(*story.at(9.0, exits(78)), State::Exited { start_at: None });
    story.at(10.0, Event::Start);
    story.started(10.0);
    story.at(10.1, exits(78));
    assert_eq!((story.kind(), story.n_spawns), (ProcessState::Fatal, 2));
    assert_eq!(story.process.spawnerr, "Bad exit code 78, one of stay_down_exitcodes");
}

#[test]
fn nothing_of_an_earlier_life_counts_as_health() {
    let mut story = Story::of(|c| {
        c.autorestart = Autorestart::Never;
        c.health_check = Some(sample::health(crate::model::probe::HealthAction::Restart));
    });
    story.at(0.0, Event::Start);
    story.started(0.0);
    story.at(5.0, Event::Tick);
    story.at(6.0, Event::Checked(Ok(())));
    assert_eq!(story.process.health.is_healthy, Some(true));
    story.at(7.0, Event::Checked(Err("status 503".into())));
    assert_eq!(story.kind(), ProcessState::Running, "until it has ended");
    // A result that was under way meanwhile.
    story.at(7.1, Event::Checked(Err("status 503".into())));
    story.at(8.0, exits(0));
    assert_eq!((story.kind(), story.n_spawns), (ProcessState::Starting, 2), "though autorestart is false");
    assert_eq!(story.process.health.is_healthy, None);
    story.at(8.0, Event::Checked(Ok(())));
    assert_eq!(story.process.health.is_healthy, None, "it does not run yet");
}

/// What comes back with its dependency comes back by itself: it keeps the pace, and is counted.
#[test]
fn a_dependency_that_comes_and_goes_starts_nothing_twice_within_a_second() {
    for mode in [DependsRestart::Restart, DependsRestart::Stop] {
        let mut story = Story::of(|c| {
            c.dependencies.depends_restart = mode;
            c.restart.restart_limit = Some(RestartLimit { starts: 2, within: Duration::from_secs(60) });
        });
        story.at(0.0, Event::Start);
        let mut now = 0.0;
        for n_spawns in [2, 3] {
            story.started(now);
            story.needs(now + 0.1, Needs::Unmet);
            story.at(now + 0.2, exits(0));
            let soon = State::Waiting { give_up_at: moment(now + 1.0), is_asked: false };
            assert_eq!(*story.needs(now + 0.3, Needs::Met), soon);
            // It holds no more, and again, before the second is over.
            assert_eq!(
                *story.needs(now + 0.4, Needs::Unmet),
                State::Waiting { give_up_at: NEVER, is_asked: false }
            );
            story.at(now + 0.5, Event::Tick);
            story.needs(now + 0.6, Needs::Met);
            now += 1.0;
            story.at(now, Event::Tick);
            assert_eq!((story.kind(), story.n_spawns), (ProcessState::Starting, n_spawns), "{mode:?}");
        }
        story.started(now);
        story.needs(now + 2.0, Needs::Unmet);
        story.at(now + 2.1, exits(0));
        story.needs(now + 3.0, Needs::Met);
        assert_eq!((story.kind(), story.n_spawns), (ProcessState::Fatal, 3), "{mode:?}");
        assert_eq!(story.process.spawnerr, "started 2 times within 60s, its restart_limit");
        // Whoever asks does not wait, and is not counted.
        story.at(now + 3.1, Event::Start);
        story.started(now + 3.1);
        story.at(now + 3.2, Event::Stop);
        story.at(now + 3.2, Event::Start);
        story.at(now + 3.3, exits(0));
        assert_eq!((story.n_spawns, story.process.automatic_starts.len()), (5, 0), "{mode:?}");
    }
}

/// The limit is about starts, not about the moments at which somebody began to wait for one.
#[test]
fn a_start_that_had_to_wait_is_counted_when_it_is_made() {
    let mut story = Story::of(|c| {
        (c.startsecs, c.autorestart) = (Duration::ZERO, Autorestart::Always);
        c.restart.restart_limit = Some(RestartLimit { starts: 2, within: Duration::from_secs(60) });
    });
    story.at(0.0, Event::Start);
    story.started(0.0);
    story.needs(1.0, Needs::Unmet);
    story.at(10.0, exits(1));
    assert_eq!(story.kind(), ProcessState::Starting, "it waits for a minute");
    story.needs(70.0, Needs::Met);
    for second in [71.0, 72.0] {
        story.started(second);
        story.at(second + 0.9, exits(1));
        story.at(second + 1.0, Event::Tick);
    }
    assert_eq!((story.kind(), story.n_spawns), (ProcessState::Fatal, 3), "one by a person, two by itself");

    // One that was not made is not counted.
    let mut story = Story::of(|c| {
        c.autorestart = Autorestart::Always;
        c.restart.restart_limit = Some(RestartLimit { starts: 1, within: Duration::from_secs(60) });
    });
    story.at(0.0, Event::Start);
    story.started(0.0);
    story.needs(1.0, DB_IS_FATAL);
    story.at(10.0, exits(1));
    assert_eq!(story.kind(), ProcessState::Fatal);
    story.needs(11.0, Needs::Met);
    assert_eq!((story.kind(), story.n_spawns), (ProcessState::Starting, 2));
}

#[test]
fn a_fatal_one_is_not_tried_again_within_a_second_of_its_last_start() {
    let mut story = Story::of(|c| {
        (c.startretries, c.restart.retry_fatal_after) = (0, Duration::from_millis(100));
    });
    story.at(0.0, Event::Start);
    story.at(0.0, Event::SpawnFailed("no room".into()));
    assert_eq!(story.process.state, State::Fatal { retry_at: Some(moment(1.0)) });
}

/// The last word counts, also of whether it waits for what it depends on.
#[test]
fn a_start_alone_during_a_stop_does_not_wait_after_it() {
    for (event, state) in [(Event::StartAlone, ProcessState::Starting), (Event::Start, ProcessState::Fatal)] {
        let mut story = Story::of(|_| {});
        story.at(0.0, if event == Event::Start { Event::StartAlone } else { Event::Start });
        story.started(0.0);
        story.needs = DB_IS_FATAL;
        story.at(6.0, Event::Stop);
        story.at(6.1, event);
        story.at(6.2, exits(0));
        assert_eq!(story.kind(), state);
    }
    // It counts anew, as after any start by a person.
    let mut story = Story::of(|_| {});
    story.at(0.0, Event::Start);
    story.at(0.0, Event::SpawnFailed("no room".into()));
    story.needs = Needs::Unmet;
    story.at(1.0, Event::Tick);
    assert_eq!(story.process.failures, 1);
    story.at(2.0, Event::StartAlone);
    assert_eq!((story.n_spawns, story.process.failures), (2, 0));
}

#[test]
fn max_runtime_counts_while_it_is_starting_and_a_job_is_not_running_because_it_is_ready() {
    for ready in [None, Some(sample::readiness(true))] {
        let is_ready = ready.is_some();
        let mut story = Story::of(|c| (c.max_runtime, c.readiness) = (Some(Duration::from_secs(2)), ready));
        story.at(0.0, Event::Start);
        story.started(0.0);
        story.at(0.5, Event::Extend(moment(60.0)));
        story.at(1.0, Event::Readiness(Ok(())));
        assert_eq!(story.process.state.deadline(), Some(moment(2.0)), "ready: {is_ready}");
        story.at(2.0, Event::Tick);
        assert_eq!(story.process.spawnerr, "ran longer than 2s (max_runtime)");
        story.at(2.1, exits(0));
        assert_eq!(story.kind(), ProcessState::Backoff, "it was never up");
    }
    let mut job = Story::of(|c| {
        (c.kind, c.readiness) = (ProgramType::Oneshot, Some(sample::readiness(false)));
    });
    job.at(0.0, Event::Start);
    job.started(0.0);
    job.at(1.0, Event::Readiness(Ok(())));
    assert_eq!(job.kind(), ProcessState::Starting);
}

/// An update changes the configuration of what runs, and what was worked out with the old one follows.
#[test]
fn another_configuration_counts_at_once() {
    let hour = Some(Duration::from_secs(3600));
    let mut story = Story::of(|c| c.startsecs = Duration::from_secs(5));
    story.at(0.0, Event::Start);
    story.started(0.0);
    story.config.startsecs = Duration::from_secs(2);
    let expected = State::Starting { pid: Some(7), up_at: moment(2.0), is_ready: false };
    assert_eq!(*story.at(1.0, Event::Reconfigured), expected);
    story.at(2.0, Event::Tick);
    story.config.max_runtime = hour;
    let expected = State::Running { pid: 7, until: moment(3600.0) };
    assert_eq!(*story.at(3.0, Event::Reconfigured), expected);
    story.config.max_runtime = None;
    assert_eq!(*story.at(4.0, Event::Reconfigured), State::Running { pid: 7, until: NEVER });
    // Who is already late is ended at once.
    story.config.max_runtime = Some(Duration::from_secs(1));
    story.at(5.0, Event::Reconfigured);
    assert!(matches!(story.at(5.0, Event::Tick), State::Failing { .. }));
}

#[test]
fn who_gave_up_is_tried_again_if_the_configuration_says_so_by_now() {
    let mut story = Story::of(|c| c.startretries = 0);
    story.at(0.0, Event::Start);
    story.at(0.0, Event::SpawnFailed("no room".into()));
    assert_eq!(story.process.state, State::Fatal { retry_at: None });
    story.config.restart.retry_fatal_after = Duration::from_secs(30);
    assert_eq!(*story.at(10.0, Event::Reconfigured), State::Fatal { retry_at: Some(moment(40.0)) });
    story.config.restart.retry_fatal_after = Duration::ZERO;
    assert_eq!(*story.at(11.0, Event::Reconfigured), State::Fatal { retry_at: None });
}

#[test]
fn who_waits_waits_as_long_as_the_configuration_says_by_now() {
    let mut story = Story::of(|_| {});
    story.needs = Needs::Unmet;
    story.at(0.0, Event::Start);
    story.config.dependencies.dependency_timeout = Some(Duration::from_secs(5));
    let expected = State::Waiting { give_up_at: moment(6.0), is_asked: true };
    assert_eq!(*story.at(1.0, Event::Reconfigured), expected);
}
