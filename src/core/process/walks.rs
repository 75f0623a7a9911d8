//! What random walks have in common: chance that can be had again, the last steps of a walk that failed, and a count of what
//! they came to.

use super::{After, Cause, Event, NEVER, State};
use crate::model::time::Monotonic;
use std::collections::VecDeque;

/// SplitMix64: a few bits of chance that can be had again from the seed.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    pub(super) fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }
}

/// The last steps of a walk. They are made into text only if it ends badly.
#[derive(Default)]
pub(super) struct Path(VecDeque<(State, Monotonic, Event, &'static str)>);

impl Path {
    /// In this state that happened; `surroundings` says what else there is to know.
    pub(super) fn push(&mut self, state: &State, now: Monotonic, event: &Event, surroundings: &'static str) {
        if self.0.len() == 12 {
            self.0.pop_front();
        }
        self.0.push_back((state.clone(), now, event.clone(), surroundings));
    }

    pub(super) fn print(&self) {
        eprintln!("the last steps:");
        for (state, now, event, surroundings) in &self.0 {
            eprintln!("  {state:?} at {now:?} + {event:?} {surroundings}");
        }
    }
}

/// Which events came in which states.
#[derive(Default)]
pub(super) struct Seen([[bool; EVENTS.len()]; STATES.len()]);

const STATES: [&str; 25] = [
    "Stopped",
    "Waiting",
    "Waiting for ever",
    "Starting, ordered",
    "Starting, alive",
    "Starting, ready",
    "Running",
    "Running for so long",
    "Failing, not ready",
    "Failing, overtime",
    "Failing, overtime after it was up",
    "Failing, unhealthy",
    "Failing, silent",
    "Backoff",
    "Stopping",
    "Stopping to start",
    "Stopping to return",
    "Exited",
    "Exited to start",
    "Fatal",
    "Fatal to be tried again",
    "Parked, STOPPED",
    "Parked, FATAL",
    "Unknown",
    "Failing, memory",
];

const EVENTS: [&str; 21] = [
    "Start",
    "StartAlone",
    "Stop",
    "ShutDown",
    "Escalate",
    "Spawned",
    "SpawnedLate",
    "SpawnFailed",
    "Adopted",
    "Exited",
    "SignalFailed",
    "NeedsChanged",
    "Readiness",
    "Checked",
    "Silent",
    "Tick",
    "Extend",
    "NeedsLost",
    "StopLater",
    "OverMemory",
    "Reconfigured",
];

impl Seen {
    pub(super) fn insert(&mut self, state: &State, event: &Event) {
        self.0[state_number(state)][event_number(event)] = true;
    }

    /// What was not seen of what can occur.
    pub(super) fn missing(&self, can_occur: fn(&str, &str) -> bool) -> Vec<(&'static str, &'static str)> {
        let pairs = STATES.iter().enumerate().flat_map(|(state, state_name)| {
            EVENTS.iter().enumerate().map(move |(event, event_name)| (state, event, *state_name, *event_name))
        });
        pairs
            .filter(|(state, event, ..)| !self.0[*state][*event])
            .map(|(_, _, state, event)| (state, event))
            .filter(|(state, event)| can_occur(state, event))
            .collect()
    }
}

fn state_number(state: &State) -> usize {
    match state {
        State::Stopped => 0,
        State::Waiting { give_up_at, .. } => 1 + usize::from(*give_up_at == NEVER),
        State::Starting { pid: None, .. } => 3,
        State::Starting { is_ready, .. } => 4 + usize::from(*is_ready),
        State::Running { until, .. } => 6 + usize::from(*until != NEVER),
        State::Failing { cause: Cause::NotReady, .. } => 8,
        State::Failing { cause: Cause::Overtime, was_up, .. } => 9 + usize::from(*was_up),
        State::Failing { cause: Cause::Unhealthy, .. } => 11,
        State::Failing { cause: Cause::Silent, .. } => 12,
        State::Backoff { .. } => 13,
        State::Stopping { after: After::Rest, .. } => 14,
        State::Stopping { after: After::Start, .. } => 15,
        State::Stopping { after: After::Return, .. } => 16,
        State::Exited { start_at } => 17 + usize::from(start_at.is_some()),
        State::Fatal { retry_at } => 19 + usize::from(retry_at.is_some()),
        State::Parked { is_fatal } => 21 + usize::from(*is_fatal),
        State::Unknown { .. } => 23,
        State::Failing { cause: Cause::Memory, .. } => 24,
    }
}

fn event_number(event: &Event) -> usize {
    match event {
        Event::Start => 0,
        Event::StartAlone => 1,
        Event::Stop => 2,
        Event::ShutDown => 3,
        Event::Escalate => 4,
        Event::Spawned(_) => 5,
        Event::SpawnedLate(_) => 6,
        Event::SpawnFailed(_) => 7,
        Event::Adopted { .. } => 8,
        Event::Exited { .. } => 9,
        Event::SignalFailed(_) => 10,
        Event::NeedsChanged => 11,
        Event::Readiness(_) => 12,
        Event::Checked(_) => 13,
        Event::Silent => 14,
        Event::Tick => 15,
        Event::Extend(_) => 16,
        Event::NeedsLost => 17,
        Event::StopLater => 18,
        Event::OverMemory(_) => 19,
        Event::Reconfigured => 20,
    }
}
