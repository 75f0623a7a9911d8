//! What the record of a process has no room for: see [`Detail`]. Most processes have none of it.

use crate::core::process::{After, Cause, NEVER, Process, State};
use crate::model::probe::Health;
use crate::model::restart::MOST_COUNTED_STARTS;
use crate::model::time::Monotonic;
use crate::shm::layout::*;
use std::sync::atomic::Ordering::*;

/// Writes what the record `number` of a slot has no room for; whether there is anything of that.
pub(super) fn write(memory: &ManagerMemory, slot: u32, number: u32, process: &Process) -> bool {
    let flags = flags(process);
    let starts = process.automatic_starts.iter().rev().take(MOST_COUNTED_STARTS as usize).rev();
    let n_starts = starts.len() as u32;
    let has_problem = !process.health.problem.is_empty();
    if flags == 0 && n_starts == 0 && !has_problem && process.health.failures == 0 {
        return false;
    }
    let (slot, number) = (slot as usize, number as usize);
    let detail = &memory.details[slot][number];
    detail.flags.store(flags, Relaxed);
    let then = if let State::Failing { then, .. } = process.state { then } else { 0 };
    detail.then.store(u32::from(then), Relaxed);
    detail.health_failures.store(process.health.failures, Relaxed);
    detail.n_starts.store(n_starts, Relaxed);
    for (place, start) in memory.automatic_starts[slot][number].iter().zip(starts) {
        place.store(start.0, Relaxed);
    }
    // Memory that nobody has written to takes no room until somebody reads it.
    if flags & DETAIL_HAS_PROBLEM != 0 {
        memory.problems[slot][number].set(&process.health.problem);
    }
    true
}

fn flags(process: &Process) -> u32 {
    let state = match process.state {
        State::Waiting { is_asked, .. } => DETAIL_WAITING | if is_asked { DETAIL_ASKED } else { 0 },
        State::Failing { cause, .. } => {
            let cause = Cause::ALL.iter().position(|known| *known == cause).unwrap_or(0) as u32 + 1;
            DETAIL_FAILING | cause << DETAIL_CAUSE_SHIFT
        }
        State::Parked { .. } => DETAIL_PARKED,
        State::Starting { is_ready: true, .. } => DETAIL_READY,
        State::Stopping { after: After::Return, .. } => DETAIL_RETURNS,
        _ => 0,
    };
    let health = match process.health.is_healthy {
        None => 0,
        Some(false) => DETAIL_HEALTH_KNOWN,
        Some(true) => DETAIL_HEALTH_KNOWN | DETAIL_HEALTHY,
    };
    let alone = if process.is_alone { DETAIL_ALONE } else { 0 };
    let problem = if process.health.problem.is_empty() { 0 } else { DETAIL_HAS_PROBLEM };
    let to_stop = if process.is_to_stop { DETAIL_TO_STOP } else { 0 };
    state | health | alone | problem | to_stop
}

/// Adds to a process, as its record says it is, what that has no room for.
pub(super) fn read(memory: &ManagerMemory, slot: u32, number: u32, process: &mut Process) {
    let (slot, number) = (slot as usize, number as usize);
    let detail = &memory.details[slot][number];
    let flags = detail.flags.load(Relaxed);
    let then = detail.then.load(Relaxed) as u8;
    let deadline = |state: &State| state.deadline().unwrap_or(NEVER);
    process.state = match (&process.state, flags & DETAIL_STATE) {
        (State::Starting { up_at, .. }, DETAIL_WAITING) => {
            State::Waiting { give_up_at: *up_at, is_asked: flags & DETAIL_ASKED != 0 }
        }
        (State::Fatal { .. }, DETAIL_PARKED) => State::Parked { is_fatal: true },
        (State::Stopped, DETAIL_PARKED) => State::Parked { is_fatal: false },
        (state @ (State::Starting { pid: Some(pid), .. } | State::Running { pid, .. }), DETAIL_FAILING) => {
            let cause = (flags >> DETAIL_CAUSE_SHIFT & 0xf).wrapping_sub(1) as usize;
            State::Failing {
                pid: *pid,
                kill_at: deadline(state),
                then,
                cause: Cause::ALL.get(cause).copied().unwrap_or(Cause::NotReady),
                was_up: matches!(state, State::Running { .. }),
            }
        }
        (State::Starting { pid, up_at, .. }, _) => {
            State::Starting { pid: *pid, up_at: *up_at, is_ready: flags & DETAIL_READY != 0 }
        }
        (State::Stopping { pid, kill_at, then, .. }, _) if flags & DETAIL_RETURNS != 0 => {
            State::Stopping { pid: *pid, kill_at: *kill_at, after: After::Return, then: *then }
        }
        (state, _) => state.clone(),
    };
    process.is_alone = flags & DETAIL_ALONE != 0;
    process.is_to_stop = flags & DETAIL_TO_STOP != 0;
    let has_problem = flags & DETAIL_HAS_PROBLEM != 0;
    process.health = Health {
        is_healthy: (flags & DETAIL_HEALTH_KNOWN != 0).then_some(flags & DETAIL_HEALTHY != 0),
        failures: detail.health_failures.load(Relaxed),
        problem: if has_problem { memory.problems[slot][number].get() } else { String::new() },
    };
    let n_starts = detail.n_starts.load(Relaxed).min(MOST_COUNTED_STARTS) as usize;
    let starts = memory.automatic_starts[slot][number].iter().take(n_starts);
    process.automatic_starts = starts.map(|start| Monotonic(start.load(Relaxed))).collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::slots::{read_record, write_record};
    use crate::sys::memory::Mapping;

    /// What has no room in a record is found again; where there is nothing of it, nothing of an earlier state is.
    #[test]
    fn what_records_have_no_room_for_survives() {
        let (_fd, mapping) = Mapping::<ManagerMemory>::create("supervisord-test").unwrap();
        let memory = mapping.get();
        let due = Monotonic(9);
        let unhealthy = Health { is_healthy: Some(false), failures: 3, problem: "status 503".to_string() };
        let healthy = Health { is_healthy: Some(true), ..Health::default() };
        let states = [
            State::Waiting { give_up_at: due, is_asked: false },
            State::Waiting { give_up_at: NEVER, is_asked: true },
            State::Starting { pid: Some(7), up_at: due, is_ready: true },
            State::Starting { pid: Some(7), up_at: NEVER, is_ready: false },
            State::Stopping { pid: 7, kill_at: due, after: After::Return, then: 2 },
            State::Parked { is_fatal: true },
            State::Parked { is_fatal: false },
        ];
        let failing = Cause::ALL.into_iter().flat_map(|cause| {
            [true, false].map(|was_up| State::Failing { pid: 7, kill_at: due, then: 2, cause, was_up })
        });
        let mut processes: Vec<Process> =
            states.into_iter().chain(failing).map(|state| Process { state, ..Process::default() }).collect();
        let running = Process { state: State::Running { pid: 7, until: due }, ..Process::default() };
        processes.push(Process { health: unhealthy, ..running.clone() });
        processes.push(Process { health: healthy, is_alone: true, ..running.clone() });
        processes.push(Process { is_to_stop: true, ..running.clone() });
        processes.push(Process { automatic_starts: vec![Monotonic(4), Monotonic(5)], ..running.clone() });
        processes.push(running);
        for process in processes {
            let record = &memory.slots[3].records[1];
            write_record(record, &process);
            let has_detail = write(memory, 3, 1, &process);
            let mut found = read_record(record);
            if has_detail {
                read(memory, 3, 1, &mut found);
            }
            assert_eq!(found, process);
        }
    }
}
