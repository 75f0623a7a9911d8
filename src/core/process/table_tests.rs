//! The whole table of [`step`]: every state against every event, compared with a text that people read.
//!
//! After an intended change, `UPDATE_GOLDEN=1 cargo test --lib every_state` writes the text anew. Review the
//! difference.

use super::{After, Cause, Circumstances, Effect, Event, KILLED, NEVER, Needs, Process, Reach, State, step};
use crate::core::sample;
use crate::model::config::{Autorestart, ProcessConfig, ProgramType, StopScope};
use crate::model::dependency::DependsRestart;
use crate::model::exit::ExitStatus;
use crate::model::probe::HealthAction;
use crate::model::restart::Backoff;
use crate::model::signal::Signal;
use crate::model::time::{Monotonic, Wall};
use std::fmt::Write;
use std::time::Duration;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/core/process/table.golden");

/// Every process of the table was started at this moment.
const STARTED: Monotonic = Monotonic(1_000_000_000_000);

const PID: i32 = 77;

/// Seconds after the start.
fn at(seconds: f64) -> Monotonic {
    let distance = Duration::from_secs_f64(seconds.abs());
    if seconds < 0.0 { STARTED - distance } else { STARTED + distance }
}

/// Every state, with deadlines five seconds after the start where it has one.
fn states() -> Vec<(&'static str, State)> {
    let due = at(5.0);
    vec![
        ("STOPPED", State::Stopped),
        ("STARTING, spawn under way", State::Starting { pid: None, up_at: due, is_ready: false }),
        ("STARTING", State::Starting { pid: Some(PID), up_at: due, is_ready: false }),
        ("RUNNING", State::Running { pid: PID, until: NEVER }),
        ("BACKOFF", State::Backoff { retry_at: due }),
        ("STOPPING", State::Stopping { pid: PID, kill_at: due, after: After::Rest, then: 0 }),
        (
            "STOPPING, to be started again",
            State::Stopping { pid: PID, kill_at: due, after: After::Start, then: 0 },
        ),
        ("EXITED", State::Exited { start_at: None }),
        ("EXITED, to be started again", State::Exited { start_at: Some(due) }),
        ("FATAL", State::Fatal { retry_at: None }),
        ("UNKNOWN", State::Unknown { pid: PID }),
    ]
}

/// The states that only some keys lead to.
fn further_states() -> Vec<(&'static str, State)> {
    let due = at(5.0);
    let failing = |cause, was_up| State::Failing { pid: PID, kill_at: due, then: 0, cause, was_up };
    vec![
        ("STARTING, waiting", State::Waiting { give_up_at: due, is_asked: false }),
        ("STARTING, waiting as asked", State::Waiting { give_up_at: due, is_asked: true }),
        ("STARTING, ready", State::Starting { pid: Some(PID), up_at: due, is_ready: true }),
        ("RUNNING, for so long", State::Running { pid: PID, until: due }),
        ("STARTING, not ready in time", failing(Cause::NotReady, false)),
        ("STARTING, for too long", failing(Cause::Overtime, false)),
        ("RUNNING, for too long", failing(Cause::Overtime, true)),
        ("RUNNING, unhealthy", failing(Cause::Unhealthy, true)),
        ("STOPPING, to return", State::Stopping { pid: PID, kill_at: due, after: After::Return, then: 0 }),
        ("FATAL, to be tried again", State::Fatal { retry_at: Some(due) }),
        ("FATAL, to return", State::Parked { is_fatal: true }),
        ("STOPPED, to return", State::Parked { is_fatal: false }),
    ]
}

/// Every event, and the second after the start at which it comes.
fn events() -> Vec<(&'static str, f64, Event)> {
    let exited = |status| Event::Exited { status, why: None };
    let killed = ExitStatus::Signal { signal: Signal::KILL, core_dumped: false };
    let why = Some("chdir: ENOENT".to_string());
    vec![
        ("Start", 2.0, Event::Start),
        ("Stop", 2.0, Event::Stop),
        ("ShutDown", 2.0, Event::ShutDown),
        ("Escalate", 2.0, Event::Escalate),
        ("Spawned", 2.0, Event::Spawned(PID)),
        ("SpawnedLate", 2.0, Event::SpawnedLate(PID)),
        ("SpawnFailed", 2.0, Event::SpawnFailed("no room".to_string())),
        ("Exited 0 within a second", 0.9, exited(ExitStatus::Code(0))),
        ("Exited 3 within a second", 0.9, exited(ExitStatus::Code(3))),
        ("Exited 3 after a second", 1.0, exited(ExitStatus::Code(3))),
        ("Exited 0 too soon", 4.9, exited(ExitStatus::Code(0))),
        ("Exited 0", 5.0, exited(ExitStatus::Code(0))),
        ("Exited 3", 5.0, exited(ExitStatus::Code(3))),
        ("Exited by SIGKILL", 5.0, exited(killed)),
        ("Exited 127 before exec", 2.0, Event::Exited { status: ExitStatus::Code(127), why }),
        ("Exited, nobody saw how", 5.0, exited(ExitStatus::Unknown)),
        ("Adopted", 2.0, Event::Adopted { pid: PID, started: at(-3.0), start: Wall(3) }),
        ("SignalFailed", 2.0, Event::SignalFailed("not allowed".to_string())),
        ("Tick too early", 4.9, Event::Tick),
        ("Tick", 5.0, Event::Tick),
    ]
}

/// The events that only some keys bring about.
fn further_events() -> Vec<(&'static str, f64, Event)> {
    let problem = || Err("connection refused".to_string());
    vec![
        ("StartAlone", 2.0, Event::StartAlone),
        ("StopLater", 2.0, Event::StopLater),
        ("NeedsChanged", 2.0, Event::NeedsChanged),
        ("NeedsLost", 2.0, Event::NeedsLost),
        ("Readiness ok", 2.0, Event::Readiness(Ok(()))),
        ("Readiness bad", 2.0, Event::Readiness(problem())),
        ("Checked ok", 2.0, Event::Checked(Ok(()))),
        ("Checked bad", 2.0, Event::Checked(problem())),
        ("Silent", 2.0, Event::Silent),
        ("Extend", 2.0, Event::Extend(at(20.0))),
        ("OverMemory", 2.0, Event::OverMemory(600 << 20)),
        ("Reconfigured", 2.0, Event::Reconfigured),
    ]
}

/// A configuration, and what surrounds it.
struct Case {
    title: &'static str,
    config: ProcessConfig,
    may_start: bool,
    needs: Needs<'static>,
}

/// The configurations that make a difference, each with what it is called.
fn cases() -> Vec<Case> {
    let case = |title, config| Case { title, config, may_start: true, needs: Needs::Met };
    let usual = sample::config();
    let with = |change: fn(&mut ProcessConfig)| {
        let mut config = sample::config();
        change(&mut config);
        config
    };
    vec![
        case("usual", usual.clone()),
        case("autorestart=false", with(|c| c.autorestart = Autorestart::Never)),
        case("autorestart=true", with(|c| c.autorestart = Autorestart::Always)),
        case("startsecs=0", with(|c| c.startsecs = Duration::ZERO)),
        case("startretries=0", with(|c| c.startretries = 0)),
        case("stopasgroup and killasgroup", with(|c| (c.stopasgroup, c.killasgroup) = (true, true))),
        case(
            "stop_scope=tree",
            with(|c| (c.stopasgroup, c.killasgroup, c.stop_scope) = (true, true, StopScope::Tree)),
        ),
        Case { may_start: false, ..case("the daemon is going down", usual.clone()) },
    ]
}

/// The same for what Supervisor does not have.
fn further_cases() -> Vec<Case> {
    let case = |title, config| Case { title, config, may_start: true, needs: Needs::Met };
    let usual = sample::config();
    let with = |change: fn(&mut ProcessConfig)| {
        let mut config = sample::config();
        change(&mut config);
        config
    };
    let failed = Needs::Failed("depends on db, which is FATAL");
    vec![
        case("usual, further states and events", usual.clone()),
        case("type=oneshot", with(|c| c.kind = ProgramType::Oneshot)),
        case(
            "type=oneshot, max_runtime=8",
            with(|c| (c.kind, c.max_runtime) = (ProgramType::Oneshot, Some(Duration::from_secs(8)))),
        ),
        case("max_runtime=8", with(|c| c.max_runtime = Some(Duration::from_secs(8)))),
        case("max_runtime=4", with(|c| c.max_runtime = Some(Duration::from_secs(4)))),
        case("ready, ready_timeout=5", with(|c| c.readiness = Some(sample::readiness(false)))),
        case("ready, startsecs written", with(|c| c.readiness = Some(sample::readiness(true)))),
        case(
            "health, health_retries=1",
            with(|c| c.health_check = Some(sample::health(HealthAction::Restart))),
        ),
        case("health_action=stop", with(|c| c.health_check = Some(sample::health(HealthAction::Stop)))),
        case("health_action=none", with(|c| c.health_check = Some(sample::health(HealthAction::None)))),
        case(
            "health_action=signal:HUP",
            with(|c| c.health_check = Some(sample::health(HealthAction::Signal(Signal::HUP)))),
        ),
        case("memory_limit=512MB", with(|c| c.memory_limit = sample::memory_limit(HealthAction::Restart))),
        case("memory_action=stop", with(|c| c.memory_limit = sample::memory_limit(HealthAction::Stop))),
        case(
            "memory_action=signal:HUP",
            with(|c| c.memory_limit = sample::memory_limit(HealthAction::Signal(Signal::HUP))),
        ),
        Case { needs: Needs::Unmet, ..case("dependencies that do not hold", usual.clone()) },
        Case { needs: failed, ..case("dependencies that have failed", usual) },
        Case {
            needs: Needs::Unmet,
            ..case(
                "depends_restart=restart, dependency_timeout=9",
                with(|c| {
                    c.dependencies.depends_restart = DependsRestart::Restart;
                    c.dependencies.dependency_timeout = Some(Duration::from_secs(9));
                }),
            )
        },
        Case {
            needs: Needs::Unmet,
            ..case("depends_restart=stop", with(|c| c.dependencies.depends_restart = DependsRestart::Stop))
        },
        case("restart_delay=2", with(|c| c.restart.restart_delay = Some(Duration::from_secs(2)))),
        case(
            "restart_backoff=exponential, restart_delay=3",
            with(|c| {
                c.restart.restart_backoff = Backoff::Exponential;
                c.restart.restart_delay = Some(Duration::from_secs(3));
            }),
        ),
        case("restart_reset=60", with(|c| c.restart.restart_reset = Some(Duration::from_secs(60)))),
        case("stay_down_exitcodes=3", with(|c| c.restart.stay_down_exitcodes = vec![3])),
        case(
            "retry_fatal_after=30, startretries=1",
            with(|c| (c.restart.retry_fatal_after, c.startretries) = (Duration::from_secs(30), 1)),
        ),
    ]
}

/// One line of the table: what becomes of it and what is to be done.
fn row(state: &State, event: &Event, second: f64, case: &Case) -> String {
    let (state, event) = (state.clone(), event.clone());
    let process = Process { state, failures: 1, started: STARTED, start: Wall(1), ..Process::default() };
    let circumstances = Circumstances {
        may_start: case.may_start,
        needs: case.needs,
        ..Circumstances::at(at(second), Wall(9))
    };
    let (after, effects) = step(process.clone(), event, &case.config, circumstances);
    if after == process && effects.is_empty() {
        return "nothing".to_string();
    }
    let mut text = describe(&after.state);
    if after.failures != process.failures {
        let _ = write!(text, ", failures {}", after.failures);
    }
    if after.stop != process.stop {
        text += ", end noted";
    }
    if after.spawnerr != process.spawnerr {
        let _ = write!(text, ", spawnerr {:?}", after.spawnerr);
    }
    if after.health != process.health {
        let _ = write!(text, ", health {:?}, {} failures", after.health.is_healthy, after.health.failures);
    }
    if after.is_to_stop {
        text += ", to stop";
    }
    for effect in &effects {
        text += "\n        ";
        text += &show(effect);
    }
    text
}

fn describe(state: &State) -> String {
    let name = state.kind();
    let second = |moment: Monotonic| moment.since(STARTED).as_secs_f64();
    match state {
        State::Waiting { give_up_at, is_asked } => {
            let asked = if *is_asked { " as asked" } else { "" };
            let until = format!(" until {}", second(*give_up_at));
            format!("{name}, waiting{asked}{}", if *give_up_at == NEVER { "" } else { &until })
        }
        State::Starting { up_at: NEVER, pid, .. } => {
            format!("{name}{}", if pid.is_none() { " without a pid" } else { "" })
        }
        State::Starting { pid: None, up_at, .. } => format!("{name} without a pid, up at {}", second(*up_at)),
        State::Starting { up_at, is_ready, .. } => {
            format!("{name}, {}up at {}", if *is_ready { "ready, " } else { "" }, second(*up_at))
        }
        State::Running { until, .. } if *until != NEVER => format!("{name} until {}", second(*until)),
        State::Failing { kill_at, cause, .. } => {
            format!("{name}, failing ({cause:?}), kill at {}", second(*kill_at))
        }
        State::Backoff { retry_at } => format!("{name}, retry at {}", second(*retry_at)),
        State::Stopping { kill_at, after, .. } => {
            let after = match after {
                After::Rest => "",
                After::Start => ", to be started again",
                After::Return => ", to return",
            };
            format!("{name}, kill at {}{after}", second(*kill_at))
        }
        State::Exited { start_at: Some(start_at) } => format!("{name}, start at {}", second(*start_at)),
        State::Fatal { retry_at: Some(retry_at) } => format!("{name}, tried again at {}", second(*retry_at)),
        State::Parked { .. } => format!("{name}, to return"),
        State::Stopped
        | State::Running { .. }
        | State::Exited { start_at: None }
        | State::Fatal { retry_at: None }
        | State::Unknown { .. } => name.to_string(),
    }
}

fn show(effect: &Effect) -> String {
    match effect {
        Effect::Spawn => "spawn".to_string(),
        Effect::Abandon => "see to it that what was spawned never runs".to_string(),
        Effect::Kill { signal, reach, .. } => {
            let whom = match reach {
                Reach::Process => "process",
                Reach::ProcessGroup => "process group",
                Reach::Tree => "process tree",
            };
            format!("{signal} to the {whom}")
        }
        Effect::KillStragglers { reach: Reach::Tree, .. } => "kill what is left of the tree".to_string(),
        Effect::KillStragglers { .. } => "kill what is left of the process group".to_string(),
        Effect::Log(level, text) => format!("log {level:?}: {text}"),
        Effect::PublishHealth { is_healthy: true, .. } => "publish healthy".to_string(),
        Effect::PublishHealth { is_healthy: false, .. } => "publish unhealthy".to_string(),
        Effect::Publish(change) => {
            let expected = if change.expected { ", expected" } else { "" };
            format!(
                "publish {} -> {}, pid {}, tries {}{expected}",
                change.from, change.to, change.pid, change.tries
            )
        }
    }
}

/// The usual configuration in full; of the others only where they differ from it.
fn table() -> String {
    let mut text =
        "Started at second 0; deadlines, where there are any, at second 5; one failure before.\n".to_string();
    write_cases(&mut text, &cases(), &states(), &events());
    let all_states: Vec<_> = states().into_iter().chain(further_states()).collect();
    let all_events: Vec<_> = events().into_iter().chain(further_events()).collect();
    write_cases(&mut text, &further_cases(), &all_states, &all_events);
    text
}

type Named<T> = (&'static str, T);

fn write_cases(
    text: &mut String,
    cases: &[Case],
    states: &[Named<State>],
    events: &[(&'static str, f64, Event)],
) {
    for case in cases {
        let _ = write!(text, "\n==== {}\n", case.title);
        let in_full = case.title == cases[0].title;
        for (state_name, state) in states {
            for (event_name, second, event) in events {
                let shown = row(state, event, *second, case);
                // What nothing comes of is the same everywhere, and was said of the usual configuration.
                let is_known = shown == "nothing" || is_in_first_table(case, state_name, event_name);
                let differs = shown != row(state, event, *second, &cases[0]);
                if (in_full && !is_known) || differs || case.title == "usual" {
                    let _ = writeln!(text, "{state_name} + {event_name}\n     => {shown}");
                }
            }
        }
    }
}

/// Whether the first table has shown that already.
fn is_in_first_table(case: &Case, state: &str, event: &str) -> bool {
    case.title != "usual"
        && states().iter().any(|(name, _)| *name == state)
        && events().iter().any(|(name, _, _)| *name == event)
}

#[test]
fn every_state_and_every_event() {
    let actual = table();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &actual).expect("the golden file can be written");
    }
    let expected = std::fs::read_to_string(GOLDEN).expect("the golden file is there");
    let changed = actual.lines().zip(expected.lines()).position(|(actual, expected)| actual != expected);
    assert!(
        actual == expected,
        "the table changed, first in line {} of {GOLDEN}; if it was meant to, set UPDATE_GOLDEN=1 and review",
        changed.map_or(0, |index| index + 1)
    );
}

/// Drives one process through several events and gives the last state.
fn drive(config: &ProcessConfig, steps: &[(f64, Event)]) -> (Process, Vec<Effect>) {
    let mut process = Process::default();
    let mut all = Vec::new();
    for (second, event) in steps {
        let circumstances = Circumstances::at(at(*second), Wall(9));
        let (after, effects) = step(process, event.clone(), config, circumstances);
        process = after;
        all.extend(effects);
    }
    (process, all)
}

fn exits(code: u8) -> Event {
    Event::Exited { status: ExitStatus::Code(code), why: None }
}

#[test]
fn backoff_to_fatal_after_startretries() {
    let config = ProcessConfig { startretries: 2, ..sample::config() };
    let (process, effects) = drive(
        &config,
        &[
            (0.0, Event::Start),
            (0.0, Event::Spawned(1)),
            (0.5, exits(1)),
            (1.5, Event::Tick),
            (1.5, Event::Spawned(2)),
            (2.0, exits(0)),
            (4.0, Event::Tick),
            (4.0, Event::SpawnFailed("no room".into())),
        ],
    );
    assert_eq!(process.state, State::Fatal { retry_at: None });
    assert_eq!(process.failures, 0, "the next start has all its retries");
    assert_eq!(effects.iter().filter(|effect| **effect == Effect::Spawn).count(), 3, "startretries + 1");
}

#[test]
fn the_waits_grow_by_a_second() {
    let config = sample::config();
    let mut process = Process::default();
    let mut now = 0.0;
    for wait in [1.0, 2.0, 3.0] {
        let go = |process, event, now| step(process, event, &config, Circumstances::at(at(now), Wall(9))).0;
        let event = if wait == 1.0 { Event::Start } else { Event::Tick };
        process = go(process, event, now);
        process = go(process, Event::SpawnFailed("no room".into()), now);
        assert_eq!(process.state, State::Backoff { retry_at: at(now + wait) });
        now += wait;
    }
}

#[test]
fn staying_up_forgets_the_failures() {
    let (process, _) = drive(
        &sample::config(),
        &[
            (0.0, Event::Start),
            (0.0, Event::SpawnFailed("no room".into())),
            (1.0, Event::Tick),
            (1.0, Event::Spawned(1)),
            (6.0, Event::Tick),
        ],
    );
    assert_eq!((process.state, process.failures), (State::Running { pid: 1, until: NEVER }, 0));
}

/// The clock that decides is that of the exit: a late tick makes no difference.
#[test]
fn an_exit_after_startsecs_is_no_failure_even_if_the_tick_is_late() {
    let (process, _) =
        drive(&sample::config(), &[(0.0, Event::Start), (0.0, Event::Spawned(1)), (7.0, exits(0))]);
    assert_eq!((process.state, process.failures), (State::Exited { start_at: None }, 0));
}

#[test]
fn a_start_while_stopping_is_carried_out_after_the_end_unless_it_is_withdrawn() {
    let begin = [
        (0.0, Event::Start),
        (0.0, Event::Spawned(1)),
        (6.0, Event::Tick),
        (7.0, Event::Stop),
        (7.1, Event::Start),
    ];
    let (process, _) = drive(&sample::config(), &[&begin[..], &[(8.0, exits(0))]].concat());
    assert_eq!(process.state, State::Starting { pid: None, up_at: at(13.0), is_ready: false });
    let (process, _) =
        drive(&sample::config(), &[&begin[..], &[(7.2, Event::Stop), (8.0, exits(0))]].concat());
    assert_eq!(process.state, State::Stopped);
}

/// A program that ends at once, whatever ends it, is started once a second.
#[test]
fn what_ends_at_once_is_started_once_a_second() {
    let config =
        ProcessConfig { startsecs: Duration::ZERO, autorestart: Autorestart::Always, ..sample::config() };
    let why = Some("chdir: ENOENT".to_string());
    for end in [exits(0), exits(1), Event::Exited { status: ExitStatus::Code(127), why }] {
        let mut process = Process::default();
        let mut starts = Vec::new();
        let mut now = 0.0;
        let mut go = |process: Process, event: Event, now: f64| {
            let circumstances = Circumstances::at(at(now), Wall(9));
            let (process, effects) = step(process, event, &config, circumstances);
            starts.extend(effects.contains(&Effect::Spawn).then_some(now));
            process
        };
        process = go(process, Event::Start, now);
        for round in 0..5 {
            process = go(process, Event::Spawned(1 + round), now);
            process = go(process, end.clone(), now + 0.001);
            let start_at = process.state.deadline().expect("it waits to be started again");
            assert_eq!(process.state, State::Exited { start_at: Some(at(now + 1.0)) });
            now = start_at.since(STARTED).as_secs_f64();
            process = go(process, Event::Tick, now);
        }
        assert_eq!(starts, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    }
}

/// Somebody who wants it up, or down, does not wait for the pause.
#[test]
fn a_pause_is_ended_by_whoever_asks() {
    let config =
        ProcessConfig { startsecs: Duration::ZERO, autorestart: Autorestart::Always, ..sample::config() };
    let begin = [(0.0, Event::Start), (0.0, Event::Spawned(1)), (0.1, exits(0))];
    let (process, effects) = drive(&config, &[&begin[..], &[(0.2, Event::Start)]].concat());
    assert_eq!(process.state, State::Starting { pid: None, up_at: at(0.2), is_ready: false });
    assert_eq!(effects.last(), Some(&Effect::Spawn));
    let (process, effects) =
        drive(&config, &[&begin[..], &[(0.2, Event::Stop), (1.0, Event::Tick)]].concat());
    assert_eq!(process.state, State::Stopped);
    assert_eq!(effects.iter().filter(|effect| **effect == Effect::Spawn).count(), 1);
    let (process, _) = drive(&config, &[&begin[..], &[(0.2, Event::ShutDown), (1.0, Event::Tick)]].concat());
    assert_eq!(process.state, State::Exited { start_at: None });
}

/// What was sent at which second of a stop that nothing comes of.
#[test]
fn signals_of_a_list_have_a_grace_period_each() {
    let config = ProcessConfig {
        stopsignal_then: vec![Signal::INT, Signal::QUIT],
        stopwaitsecs: Duration::from_secs(2),
        ..sample::config()
    };
    let mut process = Process { state: State::Running { pid: PID, until: NEVER }, ..Process::default() };
    let mut sent = Vec::new();
    let mut event = Event::Stop;
    for second in 0..9 {
        let circumstances = Circumstances::at(at(f64::from(second)), Wall(1));
        let (after, effects) = step(process, event, &config, circumstances);
        process = after;
        event = Event::Tick;
        sent.extend(effects.into_iter().filter_map(|effect| match effect {
            Effect::Kill { signal, .. } => Some((second, signal)),
            _ => None,
        }));
    }
    let expected = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::KILL, Signal::KILL];
    assert_eq!(sent, [0, 2, 4, 6, 8].into_iter().zip(expected).collect::<Vec<_>>());
    // Whoever has lost patience does not wait for the others.
    let stopping = State::Stopping { pid: PID, kill_at: at(5.0), after: After::Rest, then: 0 };
    let process = Process { state: stopping, ..Process::default() };
    let now = Circumstances::at(at(1.0), Wall(1));
    let (after, _) = step(process, Event::Escalate, &config, now);
    assert!(matches!(after.state, State::Stopping { then: KILLED, .. }), "{after:?}");
}

/// Nobody is killed by the number of a group that may be somebody else's.
#[test]
fn stragglers_are_killed_only_where_there_may_be_any() {
    let config = ProcessConfig { killasgroup: true, ..sample::config() };
    for may_have_stragglers in [true, false] {
        let process = Process { state: State::Running { pid: PID, until: NEVER }, ..Process::default() };
        let now = Circumstances { may_have_stragglers, ..Circumstances::at(at(9.0), Wall(9)) };
        let (_, effects) = step(process, exits(0), &config, now);
        assert_eq!(
            effects.contains(&Effect::KillStragglers { pid: PID, reach: Reach::ProcessGroup }),
            may_have_stragglers
        );
    }
}
