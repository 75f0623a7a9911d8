//! The whole table of [`step`]: every state against every event, compared with a text that people read.
//!
//! After an intended change, `UPDATE_GOLDEN=1 cargo test --lib process_table` writes the text anew. Review the
//! difference.

use super::process::{Circumstances, Effect, Event, KILLED, Process, Reach, State, step};
use super::sample;
use crate::model::config::{Autorestart, ProcessConfig};
use crate::model::exit::ExitStatus;
use crate::model::signal::Signal;
use crate::model::time::{Monotonic, Wall};
use std::fmt::Write;
use std::time::Duration;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/core/process_table.golden");

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
        ("STARTING, spawn under way", State::Starting { pid: None, up_at: due }),
        ("STARTING", State::Starting { pid: Some(PID), up_at: due }),
        ("RUNNING", State::Running { pid: PID }),
        ("BACKOFF", State::Backoff { retry_at: due }),
        ("STOPPING", State::Stopping { pid: PID, kill_at: due, start_after: false, then: 0 }),
        (
            "STOPPING, to be started again",
            State::Stopping { pid: PID, kill_at: due, start_after: true, then: 0 },
        ),
        ("EXITED", State::Exited { start_at: None }),
        ("EXITED, to be started again", State::Exited { start_at: Some(due) }),
        ("FATAL", State::Fatal),
        ("UNKNOWN", State::Unknown { pid: PID }),
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

/// The configurations that make a difference, each with what it is called.
fn configs() -> Vec<(&'static str, ProcessConfig, bool)> {
    let usual = sample::config();
    vec![
        ("usual", usual.clone(), true),
        ("autorestart=false", ProcessConfig { autorestart: Autorestart::Never, ..usual.clone() }, true),
        ("autorestart=true", ProcessConfig { autorestart: Autorestart::Always, ..usual.clone() }, true),
        ("startsecs=0", ProcessConfig { startsecs: Duration::ZERO, ..usual.clone() }, true),
        ("startretries=0", ProcessConfig { startretries: 0, ..usual.clone() }, true),
        (
            "stopasgroup and killasgroup",
            ProcessConfig { stopasgroup: true, killasgroup: true, ..usual.clone() },
            true,
        ),
        ("the daemon is going down", usual, false),
    ]
}

/// One line of the table: what becomes of it and what is to be done.
fn row(state: State, event: Event, second: f64, config: &ProcessConfig, may_start: bool) -> String {
    let process = Process { state, failures: 1, started: STARTED, start: Wall(1), ..Process::default() };
    let circumstances =
        Circumstances { now: at(second), wall: Wall(9), may_start, may_have_stragglers: true };
    let (after, effects) = step(process.clone(), event, config, circumstances);
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
        State::Starting { pid: None, up_at } => format!("{name} without a pid, up at {}", second(*up_at)),
        State::Starting { pid: Some(_), up_at } => format!("{name}, up at {}", second(*up_at)),
        State::Backoff { retry_at } => format!("{name}, retry at {}", second(*retry_at)),
        State::Stopping { kill_at, start_after, .. } => {
            format!(
                "{name}, kill at {}{}",
                second(*kill_at),
                if *start_after { ", to be started again" } else { "" }
            )
        }
        State::Exited { start_at: Some(start_at) } => format!("{name}, start at {}", second(*start_at)),
        State::Stopped
        | State::Running { .. }
        | State::Exited { start_at: None }
        | State::Fatal
        | State::Unknown { .. } => name.to_string(),
    }
}

fn show(effect: &Effect) -> String {
    match effect {
        Effect::Spawn => "spawn".to_string(),
        Effect::Abandon => "see to it that what was spawned never runs".to_string(),
        Effect::Kill { signal, reach, .. } => {
            format!("{signal} to the {}", if *reach == Reach::Process { "process" } else { "process group" })
        }
        Effect::KillStragglers { .. } => "kill what is left of the process group".to_string(),
        Effect::Log(level, text) => format!("log {level:?}: {text}"),
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
    let usual = sample::config();
    for (title, config, may_start) in configs() {
        let _ = write!(text, "\n==== {title}\n");
        let in_full = title == "usual";
        for (state_name, state) in states() {
            for (event_name, second, event) in events() {
                let shown = row(state.clone(), event.clone(), second, &config, may_start);
                if in_full || shown != row(state.clone(), event, second, &usual, true) {
                    let _ = writeln!(text, "{state_name} + {event_name}\n     => {shown}");
                }
            }
        }
    }
    text
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
        let circumstances =
            Circumstances { now: at(*second), wall: Wall(9), may_start: true, may_have_stragglers: true };
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
    assert_eq!(process.state, State::Fatal);
    assert_eq!(process.failures, 0, "the next start has all its retries");
    assert_eq!(effects.iter().filter(|effect| **effect == Effect::Spawn).count(), 3, "startretries + 1");
}

#[test]
fn the_waits_grow_by_a_second() {
    let config = sample::config();
    let mut process = Process::default();
    let mut now = 0.0;
    for wait in [1.0, 2.0, 3.0] {
        let go = |process, event, now| {
            step(
                process,
                event,
                &config,
                Circumstances { now: at(now), wall: Wall(9), may_start: true, may_have_stragglers: true },
            )
            .0
        };
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
    assert_eq!((process.state, process.failures), (State::Running { pid: 1 }, 0));
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
    assert_eq!(process.state, State::Starting { pid: None, up_at: at(13.0) });
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
            let circumstances =
                Circumstances { now: at(now), wall: Wall(9), may_start: true, may_have_stragglers: true };
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
    assert_eq!(process.state, State::Starting { pid: None, up_at: at(0.2) });
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
    let mut process = Process { state: State::Running { pid: PID }, ..Process::default() };
    let mut sent = Vec::new();
    let mut event = Event::Stop;
    for second in 0..9 {
        let circumstances = Circumstances {
            now: at(f64::from(second)),
            wall: Wall(1),
            may_start: true,
            may_have_stragglers: true,
        };
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
    let stopping = State::Stopping { pid: PID, kill_at: at(5.0), start_after: false, then: 0 };
    let process = Process { state: stopping, ..Process::default() };
    let now = Circumstances { now: at(1.0), wall: Wall(1), may_start: true, may_have_stragglers: true };
    let (after, _) = step(process, Event::Escalate, &config, now);
    assert!(matches!(after.state, State::Stopping { then: KILLED, .. }), "{after:?}");
}

/// Nobody is killed by the number of a group that may be somebody else's.
#[test]
fn stragglers_are_killed_only_where_there_may_be_any() {
    let config = ProcessConfig { killasgroup: true, ..sample::config() };
    for may_have_stragglers in [true, false] {
        let process = Process { state: State::Running { pid: PID }, ..Process::default() };
        let now = Circumstances { now: at(9.0), wall: Wall(9), may_start: true, may_have_stragglers };
        let (_, effects) = step(process, exits(0), &config, now);
        assert_eq!(effects.contains(&Effect::KillStragglers { pid: PID }), may_have_stragglers);
    }
}
