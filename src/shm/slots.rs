//! The slots: the record of each process that the manager leaves in shared memory, so that another manager can
//! continue.

use crate::core::process::{After, NEVER, Process, Reach, State};
use crate::model::exit::ExitStatus;
use crate::model::signal::Signal;
use crate::model::state::ProcessState;
use crate::model::time::{Monotonic, Wall};
use crate::shm::details;
use crate::shm::layout::*;
use crate::shm::link::Link;
use std::sync::atomic::{AtomicI32, Ordering::*};

/// What a slot says about a process, for a manager that takes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotContent {
    /// Its number.
    pub slot: u32,
    /// The name of the process' group, cut to what fits (see [`Text::cut`]).
    pub group: String,
    /// The name of the process, cut in the same way.
    pub name: String,
    /// What the state machine knew.
    pub process: Process,
    /// How far the creation of its program had come.
    pub spawned: SpawnRecord,
    /// The ledger's head when its program was about to be created: the exit has this number or a higher one.
    pub spawn_head: u64,
    /// Every ledger entry below this number is in `process` already.
    pub applied: u64,
    /// How often its program was started since it was configured.
    pub starts: u32,
    /// Where its program is from.
    pub origin: Origin,
    /// It was just added and nobody has started it yet, though it starts by itself.
    pub to_start: bool,
    /// What was decided and may not have been done.
    pub pending: PendingEffects,
    /// The program that was created last; it may have ended.
    pub last_pid: i32,
}

/// What the state machine has decided and the manager has yet to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PendingEffects {
    /// A signal that is to be sent, and to whom. [`Reach::Tree`] is read as [`Reach::ProcessGroup`].
    pub signal: Option<(Signal, Reach)>,
    /// What the program left behind in its process group is to be killed.
    pub kill_stragglers: bool,
}

impl PendingEffects {
    fn flags(self) -> u32 {
        let stragglers = if self.kill_stragglers { FLAG_STRAGGLERS } else { 0 };
        let signal = self.signal.map_or(0, |(signal, reach)| {
            // Which of the two it was says the configuration.
            let group = if reach == Reach::Process { 0 } else { FLAG_PENDING_TO_GROUP };
            // Signals have small positive numbers.
            (signal.raw() as u32 & PENDING_SIGNAL_MAX) << PENDING_SIGNAL_SHIFT | group
        });
        stragglers | signal
    }

    fn from_flags(flags: u32) -> PendingEffects {
        let signal = flags >> PENDING_SIGNAL_SHIFT & PENDING_SIGNAL_MAX;
        let is_group = flags & FLAG_PENDING_TO_GROUP != 0;
        let reach = if is_group { Reach::ProcessGroup } else { Reach::Process };
        PendingEffects {
            // Seven bits.
            signal: (signal != 0).then(|| (Signal::from_raw(signal as i32), reach)),
            kill_stragglers: flags & FLAG_STRAGGLERS != 0,
        }
    }
}

/// Where the program of a process is from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// When the kernel created it, in clock ticks since boot; 0 if nobody has looked.
    pub start_ticks: u64,
    /// The run of the daemon that started it, counted from 1.
    pub generation: u32,
    /// It was found alive and is not the keeper's child: the ledger will not tell of its end.
    pub adopted: bool,
}

/// How far the creation of a program had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpawnRecord {
    /// Nothing was under way.
    None,
    /// It was about to be created and never was.
    Failed,
    /// It was created, with this pid, and the state machine does not know yet.
    Created(i32),
    /// The state machine knows.
    Announced,
}

impl Link {
    fn slot(&self, slot: u32) -> &Slot {
        // Slot numbers come from `claim_slot` and `contents` only.
        &self.memory.get().slots[slot as usize]
    }

    /// Every slot in use, as a former manager left it.
    pub fn contents(&self) -> Vec<SlotContent> {
        let used = self.memory.get().slots_used.load(Acquire).min(SLOTS as u32);
        (0..used).filter_map(|slot| self.content(slot)).collect()
    }

    fn content(&self, number: u32) -> Option<SlotContent> {
        let slot = self.slot(number);
        let phase = slot.phase.load(Acquire) & 0xff;
        if phase == PHASE_FREE {
            return None;
        }
        let current = slot.current.load(Acquire);
        let record = &slot.records[(current & 1) as usize];
        let mut process = read_record(record);
        if current & CURRENT_HAS_DETAIL != 0 {
            details::read(self.memory.get(), number, current & 1, &mut process);
        }
        let pid = slot.pid.load(Acquire);
        let waits_for_program = matches!(process.state, State::Starting { pid: None, .. });
        let spawned = match (waits_for_program, phase, pid) {
            (true, PHASE_SPAWNING, pid) if pid != 0 => SpawnRecord::Created(pid),
            (true, _, _) => SpawnRecord::Failed,
            (false, _, _) if process.state.pid().is_some() => SpawnRecord::Announced,
            (false, _, _) => SpawnRecord::None,
        };
        Some(SlotContent {
            slot: number,
            group: slot.group.get(),
            name: slot.name.get(),
            process,
            spawned,
            spawn_head: slot.spawn_head.load(Relaxed),
            applied: record.applied.load(Relaxed),
            starts: record.starts.load(Relaxed),
            origin: Origin {
                start_ticks: record.start_ticks.load(Relaxed),
                generation: record.flags.load(Relaxed) >> GENERATION_SHIFT,
                adopted: record.flags.load(Relaxed) & FLAG_ADOPTED != 0,
            },
            to_start: record.flags.load(Relaxed) & FLAG_TO_START != 0,
            pending: PendingEffects::from_flags(record.flags.load(Relaxed)),
            last_pid: pid,
        })
    }

    /// Takes a slot into use for a process. `to_start` is remembered until the first [`Link::commit`]: it is going
    /// to be started by itself, if need be by the next manager.
    pub fn open_slot(&self, number: u32, group: &str, name: &str, to_start: bool) {
        let memory = self.memory.get();
        let slot = self.slot(number);
        slot.group.set(group);
        slot.name.set(name);
        slot.pid.store(0, Relaxed);
        self.set_tree_mark(number, 0);
        self.commit(number, &Process::default(), Origin::default(), 0, 0);
        if to_start {
            let record = &slot.records[(slot.current.load(Relaxed) & 1) as usize];
            record.flags.store(FLAG_TO_START, Relaxed);
        }
        memory.slots_used.fetch_max(number + 1, AcqRel);
        set_phase(slot, PHASE_IDLE);
    }

    /// Says that nobody uses a slot any more.
    pub fn free_slot(&self, number: u32) {
        set_phase(self.slot(number), PHASE_FREE);
    }

    /// Publishes what the state machine knows now. `applied` is one more than the number of the ledger entry
    /// that led to it, or what it was before.
    pub fn commit(&self, number: u32, process: &Process, origin: Origin, starts: u32, applied: u64) {
        self.commit_with(number, process, origin, (starts, applied), PendingEffects::default());
    }

    /// As [`Link::commit`], with what is going to be done because of it. [`Link::mark_done`] says that it was.
    pub fn commit_with(
        &self,
        number: u32,
        process: &Process,
        origin: Origin,
        (starts, applied): (u32, u64),
        pending: PendingEffects,
    ) {
        let slot = self.slot(number);
        let next = 1 - (slot.current.load(Relaxed) & 1);
        let record = &slot.records[next as usize];
        write_record(record, process);
        // Each has bits of its own.
        let adopted = if origin.adopted { FLAG_ADOPTED } else { 0 };
        record.flags.fetch_or(adopted | pending.flags() | origin.generation << GENERATION_SHIFT, Relaxed);
        record.start_ticks.store(origin.start_ticks, Relaxed);
        record.starts.store(starts, Relaxed);
        record.applied.store(applied, Relaxed);
        let has_detail = details::write(self.memory.get(), number, next, process);
        slot.current.store(if has_detail { next | CURRENT_HAS_DETAIL } else { next }, Release);
        // Then the phase is that of whoever creates the program, in another thread perhaps.
        let is_being_created = matches!(process.state, State::Starting { pid: None, .. })
            && slot.phase.load(Relaxed) & 0xff != PHASE_RUNNING;
        if process.state.pid().is_some() {
            set_phase(slot, PHASE_RUNNING);
        } else if !is_being_created && slot.phase.load(Relaxed) & 0xff != PHASE_FREE {
            set_phase(slot, PHASE_IDLE);
        }
    }

    /// Says that what was pending has been done.
    pub fn mark_done(&self, number: u32) {
        let slot = self.slot(number);
        let record = &slot.records[(slot.current.load(Relaxed) & 1) as usize];
        record.flags.fetch_and(!PENDING_MASK, AcqRel);
    }

    /// Says that a program is about to be created, and where the kernel is to write its pid.
    pub fn announce_spawn(&self, number: u32) -> &AtomicI32 {
        let slot = self.slot(number);
        slot.pid.store(0, SeqCst);
        slot.spawn_head.store(self.head(), Relaxed);
        let generation = (slot.phase.load(Relaxed) >> 8).wrapping_add(1);
        slot.phase.store((generation << 8) | PHASE_SPAWNING, Release);
        &slot.pid
    }

    /// Says that a command is about to try whether a slot's program is ready or well, and where the kernel is to write
    /// its pid.
    pub fn announce_probe(&self, number: u32) -> &AtomicI32 {
        let pid = &self.memory.get().probes[number as usize];
        pid.store(0, SeqCst);
        pid
    }

    /// The command that tries a slot's program; 0 if there is none.
    pub fn probe_pid(&self, number: u32) -> i32 {
        self.memory.get().probes[number as usize].load(SeqCst)
    }

    /// Until when a slot's program has to say that it is alive; `None` if it does not have to.
    pub fn alive_until(&self, number: u32) -> Option<Monotonic> {
        written(Monotonic(self.memory.get().alive_until[number as usize].load(Relaxed)))
    }

    /// Notes that moment for a successor.
    pub fn set_alive_until(&self, number: u32, until: Option<Monotonic>) {
        self.memory.get().alive_until[number as usize].store(until.map_or(0, |until| until.0), Relaxed);
    }

    /// By what the tree of a slot's present program is known, and that of an earlier one of which somebody may be left; 0
    /// for none.
    pub fn tree_marks(&self, number: u32) -> [u64; 2] {
        let [present, former] = &self.memory.get().tree_marks[number as usize];
        [present.load(Acquire), former.load(Acquire)]
    }

    /// Says by what the tree of the program is known that is about to be created.
    pub fn set_tree_mark(&self, number: u32, mark: u64) {
        self.memory.get().tree_marks[number as usize][0].store(mark, Release);
    }

    /// Says that what an earlier program has left is being killed; 0: nobody is left of it.
    pub fn set_former_tree_mark(&self, number: u32, mark: u64) {
        self.memory.get().tree_marks[number as usize][1].store(mark, Release);
    }

    /// Notes for a successor that a process is to be told that its dependencies were not as it wants them, or that it was.
    pub fn set_needs_lost(&self, number: u32, is_to_be_told: bool) {
        self.memory.get().needs_lost[number as usize].store(is_to_be_told.into(), Release);
    }

    /// Whether a process is to be told that.
    pub fn are_needs_lost(&self, number: u32) -> bool {
        self.memory.get().needs_lost[number as usize].load(Acquire) != 0
    }

    /// The program that was created last for a slot; 0 if that has not come so far. The kernel writes it before the
    /// program's first instruction.
    pub fn spawned_pid(&self, number: u32) -> i32 {
        self.slot(number).pid.load(SeqCst)
    }
}

/// Changes the phase and keeps the generation.
fn set_phase(slot: &Slot, phase: u64) {
    let generation = slot.phase.load(Relaxed) >> 8;
    slot.phase.store((generation << 8) | phase, Release);
}

pub(super) fn write_record(record: &Record, process: &Process) {
    let (pid, deadline, flags) = match &process.state {
        State::Waiting { give_up_at, .. } => (0, give_up_at.0, 0),
        State::Starting { pid, up_at, .. } => (pid.unwrap_or(0), up_at.0, 0),
        State::Running { pid, until } => (*pid, if *until == NEVER { 0 } else { until.0 }, 0),
        State::Failing { pid, kill_at, .. } => (*pid, kill_at.0, 0),
        State::Unknown { pid } => (*pid, 0, 0),
        State::Backoff { retry_at } => (0, retry_at.0, 0),
        State::Exited { start_at: Some(start_at) } => (PAUSE, start_at.0, 0),
        State::Stopping { pid, kill_at, after, .. } => {
            (*pid, kill_at.0, if *after == After::Start { FLAG_START_AFTER } else { 0 })
        }
        State::Fatal { retry_at: Some(retry_at) } => (0, retry_at.0, 0),
        State::Stopped
        | State::Parked { .. }
        | State::Exited { start_at: None }
        | State::Fatal { retry_at: None } => (0, 0, 0),
    };
    let kind = if pid == PAUSE { ProcessState::Backoff } else { process.state.kind() };
    record.state.store(kind.code() as u32, Relaxed);
    record.pid.store(pid, Relaxed);
    record.deadline.store(deadline, Relaxed);
    record.flags.store(flags, Relaxed);
    record.failures.store(failures_and_sent(process), Relaxed);
    record.started.store(process.started.0, Relaxed);
    record.start.store(process.start.0, Relaxed);
    record.stop.store(process.stop.0, Relaxed);
    record.exit.store(encode_exit(process.exit), Relaxed);
    record.spawnerr.set(&process.spawnerr);
}

/// The failures, and above them how many stop signals were sent while that matters; then the failures do not.
fn failures_and_sent(process: &Process) -> u32 {
    match process.state {
        State::Stopping { then, .. } => {
            process.failures.min((1 << SENT_SHIFT) - 1) | u32::from(then) << SENT_SHIFT
        }
        _ => process.failures,
    }
}

pub(super) fn read_record(record: &Record) -> Process {
    let failures = record.failures.load(Relaxed);
    let pid = record.pid.load(Relaxed);
    let deadline = Monotonic(record.deadline.load(Relaxed));
    let kind = ProcessState::from_code(record.state.load(Relaxed) as i32).unwrap_or(ProcessState::Stopped);
    let state = match kind {
        ProcessState::Stopped => State::Stopped,
        ProcessState::Starting => {
            State::Starting { pid: (pid != 0).then_some(pid), up_at: deadline, is_ready: false }
        }
        ProcessState::Running => State::Running { pid, until: written(deadline).unwrap_or(NEVER) },
        ProcessState::Backoff if pid == PAUSE => State::Exited { start_at: Some(deadline) },
        ProcessState::Backoff => State::Backoff { retry_at: deadline },
        ProcessState::Stopping => {
            let starts = record.flags.load(Relaxed) & FLAG_START_AFTER != 0;
            let after = if starts { After::Start } else { After::Rest };
            State::Stopping { pid, kill_at: deadline, after, then: (failures >> SENT_SHIFT) as u8 }
        }
        ProcessState::Exited => State::Exited { start_at: None },
        ProcessState::Fatal => State::Fatal { retry_at: written(deadline) },
        ProcessState::Unknown => State::Unknown { pid },
    };
    Process {
        failures: if kind == ProcessState::Stopping { failures & ((1 << SENT_SHIFT) - 1) } else { failures },
        state,
        started: Monotonic(record.started.load(Relaxed)),
        start: Wall(record.start.load(Relaxed)),
        stop: Wall(record.stop.load(Relaxed)),
        exit: decode_exit(record.exit.load(Relaxed)),
        spawnerr: record.spawnerr.get(),
        ..Process::default()
    }
}

/// A deadline that was written; 0 is none.
fn written(deadline: Monotonic) -> Option<Monotonic> {
    (deadline.0 != 0).then_some(deadline)
}

fn encode_exit(exit: Option<ExitStatus>) -> u32 {
    match exit {
        None => 0,
        Some(ExitStatus::Unknown) => 1,
        Some(ExitStatus::Code(code)) => EXIT_BASE + (u32::from(code) << 8),
        Some(ExitStatus::Signal { signal, core_dumped }) => {
            EXIT_BASE + signal.raw() as u32 + if core_dumped { 0x80 } else { 0 }
        }
    }
}

fn decode_exit(stored: u32) -> Option<ExitStatus> {
    match stored {
        0 => None,
        1..EXIT_BASE => Some(ExitStatus::Unknown),
        status => Some(ExitStatus::from_wait_status((status - EXIT_BASE) as i32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_keep_every_state() {
        let states = [
            State::Stopped,
            State::Starting { pid: None, up_at: Monotonic(5), is_ready: false },
            State::Starting { pid: Some(7), up_at: Monotonic(5), is_ready: false },
            State::Running { pid: 7, until: NEVER },
            State::Running { pid: 7, until: Monotonic(5) },
            State::Backoff { retry_at: Monotonic(9) },
            State::Stopping { pid: 7, kill_at: Monotonic(9), after: After::Start, then: 200 },
            State::Exited { start_at: None },
            State::Exited { start_at: Some(Monotonic(9)) },
            State::Fatal { retry_at: None },
            State::Fatal { retry_at: Some(Monotonic(9)) },
            State::Unknown { pid: 7 },
        ];
        for state in states {
            let process = Process {
                state,
                failures: 3,
                started: Monotonic(11),
                start: Wall(12),
                stop: Wall(13),
                exit: Some(ExitStatus::Code(4)),
                spawnerr: "Bad exit code 4".to_string(),
                ..Process::default()
            };
            let record = Record::default();
            write_record(&record, &process);
            assert_eq!(read_record(&record), process);
        }
    }

    /// Which starts it at the same moment, should it take over.
    #[test]
    fn a_pause_is_backoff_to_an_earlier_release() {
        let state = State::Exited { start_at: Some(Monotonic(9)) };
        let record = Record::default();
        write_record(&record, &Process { state, ..Process::default() });
        assert_eq!(record.state.load(Relaxed), ProcessState::Backoff.code() as u32);
        assert_eq!(record.deadline.load(Relaxed), 9);
    }

    #[test]
    fn what_is_pending_survives() {
        for signal in [None, Some((Signal::TERM, Reach::Process)), Some((Signal::KILL, Reach::ProcessGroup))]
        {
            for kill_stragglers in [false, true] {
                let pending = PendingEffects { signal, kill_stragglers };
                assert_eq!(
                    PendingEffects::from_flags(pending.flags() | FLAG_START_AFTER | FLAG_TO_START),
                    pending
                );
            }
        }
    }

    #[test]
    fn exits_survive() {
        let killed = ExitStatus::Signal { signal: crate::model::signal::Signal::KILL, core_dumped: false };
        for exit in [None, Some(ExitStatus::Unknown), Some(ExitStatus::Code(0)), Some(killed)] {
            assert_eq!(decode_exit(encode_exit(exit)), exit);
        }
    }
}
