//! The shared memory: what the keeper tells the manager, and what the manager tells the keeper and its own successors.
//!
//! Everything is valid at every instant. The writer may be killed between any two instructions, so what belongs
//! together is published by one atomic store: a ledger entry by the head, the record of a slot by the number of the
//! current record.
//!
//! Both memories begin with a magic number and the version of this layout. A process that maps an unknown version
//! refuses it. New fields of a later release stand at the end and mean "unknown" when they are zero. A process that
//! maps the memory of an earlier release makes it longer, so managers and keepers of both releases work together
//! without a new version.

use crate::model::restart::MOST_COUNTED_STARTS;
use crate::shm::cursor::Cursor;
use crate::sys::memory::{Field, Mode, ReadWrite, Shareable};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering::*};

/// "SUPVKEEP" as a number: the first word of a [`KeeperMemory`].
pub const KEEPER_MAGIC: u64 = u64::from_le_bytes(*b"SUPVKEEP");
/// "SUPVMNGR" as a number: the first word of a [`ManagerMemory`].
pub const MANAGER_MAGIC: u64 = u64::from_le_bytes(*b"SUPVMNGR");

/// Raised whenever the meaning of any field changes.
pub const LAYOUT: u32 = 1;

/// How many processes can be configured at the same time.
pub const SLOTS: usize = 65_536;

/// How many exits can wait for a manager. When as many do, further dead programs stay unreaped, which keeps
/// their statuses with the kernel.
pub const LEDGER_ENTRIES: usize = 16_384;

/// Pids are lower than this (`PID_MAX_LIMIT`, proc(5)).
pub const PIDS: usize = 1 << 22;

/// Vault places 0 to this are for descriptors that belong to no process.
pub const GLOBAL_PLACES: usize = 1024;

/// Vault places per slot: standard output, error and input, and the mailbox of an event listener.
pub const PLACES_PER_SLOT: usize = 4;

/// Places of the vault itself: global ones, followed by those of each slot.
pub const VAULT_PLACES: usize = GLOBAL_PLACES + SLOTS * PLACES_PER_SLOT;

/// Places of log files: that of standard output and that of standard error for each slot.
pub const LOG_PLACES: usize = SLOTS * 2;

/// All places there are: the vault, log files, programs that are not the keeper's children, queues, and pipes that programs
/// write to when they are ready.
pub const ALL_PLACES: usize = VAULT_PLACES + LOG_PLACES + SLOTS + LOG_PLACES + SLOTS;

/// The longest name of a group or a process, in bytes.
pub const NAME_BYTES: usize = crate::model::namespec::MAX_NAME_BYTES;

/// A number in shared memory, as a process with mode `M` sees it.
type U8<M> = Field<AtomicU8, M>;
type U32<M> = Field<AtomicU32, M>;
type I32<M> = Field<AtomicI32, M>;
type U64<M> = Field<AtomicU64, M>;
type I64<M> = Field<AtomicI64, M>;

/// Written by the keeper only; the manager maps it read-only.
#[repr(C)]
pub struct KeeperMemory<M = ReadWrite> {
    /// [`KEEPER_MAGIC`].
    pub magic: U64<M>,
    /// [`LAYOUT`] of the release that created the memory.
    pub layout: U32<M>,
    /// The keeper's own pid.
    pub keeper_pid: I32<M>,
    /// The manager that is alive; 0 for none.
    pub manager_pid: I32<M>,
    /// How many managers have been started.
    pub manager_starts: U32<M>,
    /// Descriptors that could not be taken in.
    pub deposits_lost: U32<M>,
    /// How far an upgrade has come: its number in the upper bits, an `UPGRADE_*` in the lowest eight.
    pub upgrade: U32<M>,
    /// The number the next ledger entry will have; the first one has 0.
    pub head: U64<M>,
    /// A ring: entry n stands at n modulo its size.
    pub ledger: [LedgerEntry<M>; LEDGER_ENTRIES],
    /// The number of a held descriptor plus one; 0 for an empty place.
    pub vault: [I32<M>; VAULT_PLACES],
    // Added after 0.1.0:
    /// How many bytes of output the keeper itself has moved to logs.
    pub drained: U64<M>,
    /// The number, counted as `manager_starts`, of the last manager that was killed because it hung.
    pub hung: U32<M>,
    /// How many times the keeper has checked whether a manager reacts; wraps.
    pub checks: U32<M>,
    /// How the last candidate that failed has ended: the status word of wait(2), or `UPGRADE_NO_ANSWER`.
    pub upgrade_status: I32<M>,
    _reserved_2: U32<M>,
    /// As `vault`, the log files of the outputs: two per slot.
    pub logs: [I32<M>; LOG_PLACES],
    /// As `vault`, the programs that are not the keeper's children: one per slot.
    pub pidfds: [I32<M>; SLOTS],
    /// Signals that are in the ledger under a lower number were about an end of the daemon that has come.
    pub heeds_from: U64<M>,
    /// As `logs`, what waits for syslogs on the network.
    pub queues: [I32<M>; LOG_PLACES],
    // Added after 1.0.0:
    /// As `vault`, the pipes that programs write to when they are ready: one per slot.
    pub ready_pipes: [I32<M>; SLOTS],
}

// SAFETY: repr(C), fields of the mode only, and reserved ones that nobody else reaches.
unsafe impl<M: Mode> Shareable for KeeperMemory<M> {
    type Mode = M;
    const LEAST: usize = std::mem::offset_of!(KeeperMemory<M>, drained);
}

impl<M> KeeperMemory<M> {
    /// A place in the vault by its number; `None` if there is no such place.
    pub fn place(&self, index: u32) -> Option<&I32<M>> {
        let index = index as usize;
        let log = || self.logs.get(index.checked_sub(VAULT_PLACES)?);
        let pidfd = || self.pidfds.get(index.checked_sub(VAULT_PLACES + LOG_PLACES)?);
        let queue = || self.queues.get(index.checked_sub(VAULT_PLACES + LOG_PLACES + SLOTS)?);
        let ready =
            || self.ready_pipes.get(index.checked_sub(VAULT_PLACES + LOG_PLACES + SLOTS + LOG_PLACES)?);
        self.vault.get(index).or_else(log).or_else(pidfd).or_else(queue).or_else(ready)
    }
}

impl KeeperMemory {
    /// What the vault holds in a place. For the keeper, who alone maps it for writing.
    pub(crate) fn held(&self, place: Place) -> Option<BorrowedFd<'_>> {
        let number = self.place(place.index())?.load(Acquire) - 1;
        // SAFETY: the keeper has a single thread, and what stands in a place is open until that thread takes it
        // out, which it only does when it reads messages from the manager.
        (number >= 0).then(|| unsafe { BorrowedFd::borrow_raw(number) })
    }
}

/// [`KeeperMemory::upgrade`]: no upgrade is under way.
pub const UPGRADE_NONE: u32 = 0;
/// [`KeeperMemory::upgrade`]: the candidate checks whether it understands the shared memory and the configuration.
pub const UPGRADE_CHECKING: u32 = 1;
/// [`KeeperMemory::upgrade`]: the candidate refused, crashed or took too long. Nothing has changed.
pub const UPGRADE_REFUSED: u32 = 2;
/// [`KeeperMemory::upgrade`]: the candidate passed. The manager is to make room.
pub const UPGRADE_PASSED: u32 = 3;
/// [`KeeperMemory::upgrade`]: the candidate runs, and has to prove itself for a while before the keeper follows.
pub const UPGRADE_ON_TRIAL: u32 = 4;
/// [`KeeperMemory::upgrade`]: the candidate failed, and the former binary runs again.
pub const UPGRADE_ROLLED_BACK: u32 = 5;
/// [`KeeperMemory::upgrade`]: manager and keeper run the new binary.
pub const UPGRADE_DONE: u32 = 6;

/// [`KeeperMemory::upgrade_status`]: it had to be killed, because it did not answer in time.
pub const UPGRADE_NO_ANSWER: i32 = -1;

/// Something that happened and that no manager may miss: an exit or a signal.
#[repr(C)]
pub struct LedgerEntry<M = ReadWrite> {
    /// What happened: an `ENTRY_*`.
    pub kind: U32<M>,
    /// Who ended, or who sent the signal.
    pub pid: I32<M>,
    /// The status word of wait(2), or the signal's number.
    pub status: I32<M>,
    _reserved: U32<M>,
    /// When, on the monotonic clock, in nanoseconds.
    pub monotonic: U64<M>,
    /// When, on the wall clock, in nanoseconds since 1970.
    pub wall: U64<M>,
    /// CPU time in the program itself, in microseconds.
    pub user_micros: U64<M>,
    /// CPU time in the kernel, in microseconds.
    pub system_micros: U64<M>,
    /// The largest resident size, in KiB.
    pub max_resident: U64<M>,
    /// The name of who ended, 15 bytes and a zero.
    pub name: [U8<M>; 16],
}

/// [`LedgerEntry::kind`]: a child ended.
pub const ENTRY_EXIT: u32 = 1;
/// [`LedgerEntry::kind`]: the keeper got a signal.
pub const ENTRY_SIGNAL: u32 = 2;

/// Written by the manager only; the keeper checks what it reads there before it uses it.
#[repr(C)]
pub struct ManagerMemory<M = ReadWrite> {
    /// [`MANAGER_MAGIC`].
    pub magic: U64<M>,
    /// [`LAYOUT`] of the release that created the memory.
    pub layout: U32<M>,
    /// 1 once a manager has come up completely.
    pub ready: U32<M>,
    /// The daemon's exit status plus one, once the manager wants the keeper to end with it; 0 before.
    pub goodbye: U32<M>,
    /// Slots from here on have never been used.
    pub slots_used: U32<M>,
    /// Every ledger entry below this number has been dealt with.
    pub tail: U64<M>,
    /// What the daemon is doing, as `SupervisorState::code` plus [`STATE_OFFSET`]; 0 before it was ever set.
    supervisor_state: U32<M>,
    /// The number, counted as `manager_starts`, of the last manager that came up completely.
    pub manager_up: U32<M>,
    /// How many upgrades have been asked for.
    pub upgrades_wanted: U32<M>,
    /// 1 while the manager is making room for the candidate: its end is no crash.
    pub handing_over: U32<M>,
    /// Why a candidate refused, in its own words.
    pub upgrade_report: Text<M>,
    /// The processes, by their slot.
    pub slots: [Slot<M>; SLOTS],
    // Added after 0.1.0:
    /// The number, counted as `manager_starts`, of the last manager that keeps right what follows.
    pub hints_by: U32<M>,
    /// How long a manager may take to react, in milliseconds; 0 for ever.
    pub watchdog_millis: U32<M>,
    /// How many rounds the manager's loop has begun; wraps. A manager that reacts raises it.
    pub beats: U64<M>,
    /// The number, counted as `checks`, of the last check that the manager itself has asked for.
    pub check_wanted: U32<M>,
    /// The number, counted as `upgrades_wanted`, of the last upgrade whose failure in office is in the activity log.
    pub failure_told: U32<M>,
    /// What the keeper is to do with the outputs of each slot while there is no manager: a `DRAIN_*` for
    /// standard output in the lowest bits, and one for standard error above it.
    pub drains: [U32<M>; SLOTS],
    /// How each slot's program is stopped if there is no manager to do it.
    pub stops: [StopHint<M>; SLOTS],
    /// 1 from the moment on from which a manager's end leaves the programs running without one, until another
    /// one has resumed the daemon.
    pub detached: U32<M>,
    _reserved_too: U32<M>,
    /// The pids of programs whose process is known, a bit each: nobody will ask for the names of these.
    pub known_pids: [U64<M>; PIDS / 64],
    /// Where the outputs of each slot are that have a spool: standard output and standard error. For managers
    /// among themselves.
    pub cursors: Field<[[Cursor; 2]; SLOTS], M>,
    // Added after 1.0.0:
    /// What the records of a slot have no room for, twice as they are; of use if [`CURRENT_HAS_DETAIL`] is set.
    pub details: [[Detail<M>; 2]; SLOTS],
    /// What the last probe of each slot found wrong, twice as the records; of use if the detail says so.
    pub problems: [[Text<M>; 2]; SLOTS],
    /// When each slot was started by itself, twice as the records; the detail says how many there are.
    pub automatic_starts: [[[U64<M>; MOST_COUNTED_STARTS as usize]; 2]; SLOTS],
    /// The command that tries whether each slot is ready or well, if one is running; 0 for none. The kernel writes it.
    pub probes: [I32<M>; SLOTS],
    /// Until when each slot's program has to say that it is alive, on the monotonic clock in nanoseconds; 0 for no matter.
    pub alive_until: [U64<M>; SLOTS],
    /// 1 while each slot's process is to be told that what it depends on was not as it wants it for a moment.
    pub needs_lost: [U32<M>; SLOTS],
    /// By what the tree of each slot's program is known, and that of an earlier one of which somebody may be left; 0 for
    /// none.
    pub tree_marks: [[U64<M>; 2]; SLOTS],
}

/// Added to a state's number on the wire, of which the lowest is −1, so that 0 is none of them.
const STATE_OFFSET: i32 = 2;

impl<M> ManagerMemory<M> {
    /// What the daemon is doing, as its number on the wire (`SupervisorState::code`); `None` before that was ever said.
    pub fn supervisor_state(&self) -> Option<i32> {
        match self.supervisor_state.load(Acquire) {
            0 => None,
            stored => Some(stored as i32 - STATE_OFFSET),
        }
    }

    /// The word that holds the bit of a pid, and the bit; `None` for what is no pid.
    pub fn known_pid(&self, pid: i32) -> Option<(&U64<M>, u64)> {
        let pid = usize::try_from(pid).ok()?;
        Some((self.known_pids.get(pid / 64)?, 1 << (pid % 64)))
    }
}

impl ManagerMemory {
    /// Says what the daemon is doing, as its number on the wire.
    pub fn set_supervisor_state(&self, code: i32) {
        self.supervisor_state.store((code + STATE_OFFSET) as u32, Release);
    }
}

// SAFETY: repr(C), fields of the mode only, and reserved ones that nobody else reaches.
unsafe impl<M: Mode> Shareable for ManagerMemory<M> {
    type Mode = M;
    const LEAST: usize = std::mem::offset_of!(ManagerMemory<M>, hints_by);
}

/// [`ManagerMemory::drains`]: the output waits for a manager.
pub const DRAIN_LEAVE: u32 = 0;
/// [`ManagerMemory::drains`]: it goes to the file in the stream's [`Place::Log`] as it is.
pub const DRAIN_TO_LOG: u32 = 1;
/// [`ManagerMemory::drains`]: the output is discarded.
pub const DRAIN_DISCARD: u32 = 2;
/// [`ManagerMemory::drains`]: it is gathered in the spool in the stream's [`Place::Log`], for the next manager.
pub const DRAIN_TO_SPOOL: u32 = 3;
/// How many bits one `DRAIN_*` takes.
pub const DRAIN_BITS: u32 = 4;
/// The bits of one `DRAIN_*`.
pub const DRAIN_MASK: u32 = (1 << DRAIN_BITS) - 1;

/// So many signals that ask for the end are an order to kill what still runs, to the manager as to a keeper that ends
/// alone. A service manager sends TERM once, some do twice; whoever asks this often does not want to wait any more.
pub const IMPATIENT_REQUESTS: u32 = 3;

/// How a program is stopped.
#[repr(C)]
pub struct StopHint<M = ReadWrite> {
    /// The number of the first stop signal; SIGTERM is sent for what is no signal.
    pub signal: U32<M>,
    /// `STOP_*`.
    pub flags: U32<M>,
    /// Groups with higher numbers go first.
    pub group_priority: I64<M>,
    /// Nanoseconds from the signal to SIGKILL.
    pub grace: U64<M>,
}

/// [`StopHint::flags`]: the signal goes to the program's process group.
pub const STOP_ASKS_GROUP: u32 = 1;
/// [`StopHint::flags`]: SIGKILL goes to the program's process group.
pub const STOP_KILLS_GROUP: u32 = 2;

/// [`StopHint::flags`]: where it says the process group, it means the whole tree.
pub const STOP_MEANS_TREE: u32 = 4;

/// One configured process.
#[repr(C)]
pub struct Slot<M = ReadWrite> {
    /// A generation in the upper bits, a `PHASE_*` in the lowest eight.
    pub phase: U64<M>,
    /// Written by the kernel when a program is created.
    pub pid: I32<M>,
    /// In the lowest bit, which of the two records counts; the other one is written next. Also [`CURRENT_HAS_DETAIL`].
    pub current: U32<M>,
    /// The ledger's head when the program was about to be created: its exit has this number or a higher one.
    pub spawn_head: U64<M>,
    /// The name of its group.
    pub group: Text<M>,
    /// Its own name.
    pub name: Text<M>,
    /// What the state machine knows, twice: see `current`.
    pub records: [Record<M>; 2],
}

/// Nobody uses the slot.
pub const PHASE_FREE: u64 = 0;
/// A process is configured; nothing runs.
pub const PHASE_IDLE: u64 = 1;
/// A program is being created: it exists if and only if `pid` is not 0.
pub const PHASE_SPAWNING: u64 = 2;
/// A program was created and its exit has not been dealt with.
pub const PHASE_RUNNING: u64 = 3;

/// What the state machine knows about a process.
#[repr(C)]
#[derive(Default)]
pub struct Record<M = ReadWrite> {
    /// The state's number on the wire (`ProcessState::code`); see also [`PAUSE`].
    pub state: U32<M>,
    /// The program's pid; 0 for none.
    pub pid: I32<M>,
    /// While it is STOPPING, from [`SENT_SHIFT`] on how many further stop signals were sent.
    pub failures: U32<M>,
    /// `FLAG_*`, and from [`GENERATION_SHIFT`] on the run of the daemon that started the program.
    pub flags: U32<M>,
    /// When the state changes by itself, on the monotonic clock in nanoseconds; what happens then depends on the state.
    pub deadline: U64<M>,
    /// When the program was started last, on the monotonic clock in nanoseconds.
    pub started: U64<M>,
    /// The same on the wall clock, in nanoseconds since 1970; 0 for never.
    pub start: U64<M>,
    /// When it ended last, on the wall clock in nanoseconds since 1970; 0 for never.
    pub stop: U64<M>,
    /// 0 for none, 1 for unknown, else the status word of wait(2) plus `EXIT_BASE`.
    pub exit: U32<M>,
    /// How often it was started since it was configured.
    pub starts: U32<M>,
    /// The number of the last ledger entry that went into this record, plus one.
    pub applied: U64<M>,
    /// When the kernel created the program, in clock ticks since boot.
    pub start_ticks: U64<M>,
    /// Why it could not be started, as clients see it.
    pub spawnerr: Text<M>,
}

/// What a [`Record`] has no room for.
#[repr(C)]
#[derive(Default)]
pub struct Detail<M = ReadWrite> {
    /// `DETAIL_*`.
    pub flags: U32<M>,
    /// While it has failed and is to end: how many further stop signals were sent.
    pub then: U32<M>,
    /// How often its health check has failed in a row.
    pub health_failures: U32<M>,
    /// How many automatic starts are counted.
    pub n_starts: U32<M>,
}

/// In [`Detail::flags`]: the mask of what the state is in truth.
pub const DETAIL_STATE: u32 = 0xf;
/// It waits for others.
pub const DETAIL_WAITING: u32 = 1;
/// It has failed and is to end.
pub const DETAIL_FAILING: u32 = 2;
/// It is at rest until what it depends on is as it wants it.
pub const DETAIL_PARKED: u32 = 3;
/// In [`Detail::flags`] from this bit on: why it has failed, as the place in [`Cause::ALL`] plus one.
///
/// [`Cause::ALL`]: crate::core::process::Cause::ALL
pub const DETAIL_CAUSE_SHIFT: u32 = 4;
/// Flag in [`Detail::flags`]: it is ready, and `startsecs` are not over.
pub const DETAIL_READY: u32 = 1 << 8;
/// Flag in [`Detail::flags`]: it does not wait for what it depends on.
pub const DETAIL_ALONE: u32 = 1 << 9;
/// Flag in [`Detail::flags`]: once it has stopped, it starts when what it depends on is as it wants it.
pub const DETAIL_RETURNS: u32 = 1 << 10;
/// Flag in [`Detail::flags`]: it is known whether it is well.
pub const DETAIL_HEALTH_KNOWN: u32 = 1 << 11;
/// Flag in [`Detail::flags`]: it is well.
pub const DETAIL_HEALTHY: u32 = 1 << 12;
/// Flag in [`Detail::flags`]: its last probe has found something wrong.
pub const DETAIL_HAS_PROBLEM: u32 = 1 << 13;
/// Flag in [`Detail::flags`]: it is to be stopped once all that depends on it is at rest.
pub const DETAIL_TO_STOP: u32 = 1 << 14;
/// Flag in [`Detail::flags`]: somebody asked for the start that it waits for.
pub const DETAIL_ASKED: u32 = 1 << 15;

/// Bit in [`Slot::current`]: the record that counts has a [`Detail`]. A manager of an earlier release clears it.
pub const CURRENT_HAS_DETAIL: u32 = 2;

/// See [`Record::failures`]. A process that fails waits a second longer each time, so it never fails as often as fits below.
pub const SENT_SHIFT: u32 = 24;

/// Flag in [`Record::flags`]: a start waits for the stop to finish.
pub const FLAG_START_AFTER: u32 = 1;
/// Flag in [`Record::flags`]: the program is not the keeper's child.
pub const FLAG_ADOPTED: u32 = 2;
/// Flag in [`Record::flags`]: it was just added and is to be started by itself.
pub const FLAG_TO_START: u32 = 4;
/// Flag in [`Record::flags`]: what its program left behind in its process group is still to be killed.
pub const FLAG_STRAGGLERS: u32 = 8;
/// Flag in [`Record::flags`]: the signal below is for the whole process group.
pub const FLAG_PENDING_TO_GROUP: u32 = 16;
/// In [`Record::flags`] from this bit on: the number of a signal that is still to be sent; 0 for none.
pub const PENDING_SIGNAL_SHIFT: u32 = 5;
/// The largest number that fits there. Signals end at 64 (signal(7)).
pub const PENDING_SIGNAL_MAX: u32 = 0x7f;
/// All of [`Record::flags`] that is still to be done.
pub const PENDING_MASK: u32 =
    FLAG_STRAGGLERS | FLAG_PENDING_TO_GROUP | PENDING_SIGNAL_MAX << PENDING_SIGNAL_SHIFT;
/// See [`Record::flags`]. A million runs fit.
pub const GENERATION_SHIFT: u32 = 12;

/// In [`Record::pid`] of a process that waits, EXITED, to be started again at [`Record::deadline`]. Its state is
/// written down as BACKOFF: that is what it is to a manager of an earlier release, which starts it at that moment as well.
/// A number that no signal reaches anybody by, see kill(2).
pub const PAUSE: i32 = i32::MIN;

/// See [`Record::exit`].
pub const EXIT_BASE: u32 = 0x1_0000;

/// A short text.
#[repr(C)]
pub struct Text<M = ReadWrite> {
    len: U32<M>,
    bytes: [U8<M>; NAME_BYTES],
}

impl<M> Default for Text<M> {
    fn default() -> Text<M> {
        Text { len: U32::default(), bytes: std::array::from_fn(|_| U8::default()) }
    }
}

impl Text {
    /// Stores a text, cut to what fits at a character's boundary.
    pub fn set(&self, text: &str) {
        let text = Text::cut(text);
        for (place, byte) in self.bytes.iter().zip(text.as_bytes()) {
            place.store(*byte, Relaxed);
        }
        self.len.store(text.len() as u32, Release);
    }

    /// What is left of a text once it was stored.
    pub fn cut(text: &str) -> &str {
        let mut len = text.len().min(NAME_BYTES);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        &text[..len]
    }
}

impl<M> Text<M> {
    /// The text; what is not UTF-8 is replaced.
    pub fn get(&self) -> String {
        let len = (self.len.load(Acquire) as usize).min(NAME_BYTES);
        let bytes: Vec<u8> = self.bytes[..len].iter().map(|byte| byte.load(Relaxed)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// What a place in the vault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// How this daemon was started.
    Boot,
    /// The configuration in force.
    Snapshot,
    /// The binary that is running.
    Binary,
    /// The one that is to take its place.
    Candidate,
    /// The lock that keeps a second daemon away.
    Lock,
    /// What became of events.
    Events,
    /// The three descriptors of the pipe that busy logs go through.
    Transfer(u8),
    /// The names of the files to be removed at the end, each with a zero behind it.
    Files,
    /// Where a daemon is resumed that has ended and left its programs running.
    Resume,
    /// Where whoever stands in for the keeper learns of the end.
    ForegroundProxy,
    /// The listening sockets, in the order of their configuration.
    HttpListener(u16),
    /// The listening sockets of programs; which is whose stands in the snapshot.
    Socket(u16),
    /// Our end of a slot's standard output.
    Stdout(u32),
    /// Our end of a slot's standard error.
    Stderr(u32),
    /// Our end of a slot's standard input.
    Stdin(u32),
    /// What goes to an event listener and comes from it.
    Mailbox(u32),
    /// The file that a slot's output is written to as it is, or its spool; which of the two says
    /// [`ManagerMemory::drains`]. 0 for standard output, 1 for standard error.
    Log(u32, u32),
    /// A program that is not the keeper's child.
    Pidfd(u32),
    /// What of a slot's output waits for syslogs on the network. As for `Log`, 0 for standard output, 1 for standard
    /// error.
    Queue(u32, u32),
    /// Where programs say that they are ready (sd_notify(3)).
    Notify,
    /// The pipe that a slot's program writes to when it is ready.
    ReadyPipe(u32),
    /// The directory in which programs find their credentials. It is locked as long as it is held.
    Credentials,
}

impl Place {
    const FIRST_LISTENER: u16 = 16;
    const FIRST_SOCKET: u16 = 128;
    /// As many listening sockets as fit before those of programs.
    pub const MAX_LISTENERS: u16 = Self::FIRST_SOCKET - Self::FIRST_LISTENER;
    /// As many sockets of programs as fit into the rest of the global places.
    pub const MAX_SOCKETS: u16 = GLOBAL_PLACES as u16 - Self::FIRST_SOCKET;

    /// The number of this place. Beyond the vault for a slot or listener that does not exist.
    pub fn index(self) -> u32 {
        let of_slot = |slot: u32, kind: u32| GLOBAL_PLACES as u32 + slot * PLACES_PER_SLOT as u32 + kind;
        match self {
            Place::Boot => 0,
            Place::Snapshot => 1,
            Place::Binary => 2,
            Place::Lock => 3,
            Place::Candidate => 4,
            Place::Events => 5,
            Place::Transfer(number) => 6 + u32::from(number.min(2)),
            Place::Files => 9,
            Place::Resume => 10,
            Place::ForegroundProxy => 11,
            Place::Notify => 12,
            Place::Credentials => 13,
            Place::HttpListener(number) => u32::from(Self::FIRST_LISTENER + number),
            Place::Socket(number) => u32::from(Self::FIRST_SOCKET + number),
            Place::Stdout(slot) => of_slot(slot, 0),
            Place::Stderr(slot) => of_slot(slot, 1),
            Place::Stdin(slot) => of_slot(slot, 2),
            Place::Mailbox(slot) => of_slot(slot, 3),
            Place::Log(slot, channel) => VAULT_PLACES as u32 + slot * 2 + channel.min(1),
            Place::Pidfd(slot) => (VAULT_PLACES + LOG_PLACES) as u32 + slot,
            Place::Queue(slot, channel) => {
                (VAULT_PLACES + LOG_PLACES + SLOTS) as u32 + slot * 2 + channel.min(1)
            }
            Place::ReadyPipe(slot) => (VAULT_PLACES + LOG_PLACES + SLOTS + LOG_PLACES) as u32 + slot,
        }
    }
}

/// A message from the manager to the keeper, on a `SOCK_SEQPACKET` socket: an operation, then the places it
/// is about, each a native 32-bit number. A deposit carries one descriptor per place.
pub mod message {
    /// The operation that puts descriptors into the places it names.
    pub const DEPOSIT: u32 = 1;
    /// The operation that closes what is held in the places it names.
    pub const DROP: u32 = 2;
    /// The most places one message can name.
    pub const MAX_PLACES: usize = 32;
    /// The longest message, in bytes.
    pub const MAX_BYTES: usize = 4 * (1 + MAX_PLACES);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive_and_are_cut_between_characters() {
        let text = Text::default();
        text.set("web");
        assert_eq!(text.get(), "web");
        text.set(&"ü".repeat(200));
        assert_eq!(text.get(), "ü".repeat(126));
    }

    #[test]
    fn places_do_not_overlap_and_stay_inside() {
        assert!(Place::HttpListener(Place::MAX_LISTENERS - 1).index() < Place::Socket(0).index());
        assert_eq!(Place::Socket(Place::MAX_SOCKETS - 1).index(), GLOBAL_PLACES as u32 - 1);
        assert_eq!(Place::Stdout(0).index(), GLOBAL_PLACES as u32);
        let last = Place::Mailbox(SLOTS as u32 - 1).index();
        assert!((last as usize) < VAULT_PLACES);
        assert_eq!(Place::Log(0, 0).index() as usize, VAULT_PLACES);
        assert_eq!(Place::Log(SLOTS as u32 - 1, 1).index() as usize, VAULT_PLACES + LOG_PLACES - 1);
        assert_eq!(Place::Pidfd(0).index() as usize, VAULT_PLACES + LOG_PLACES);
        assert_eq!(Place::Queue(0, 0).index(), Place::Pidfd(SLOTS as u32 - 1).index() + 1);
        assert_eq!(Place::ReadyPipe(0).index(), Place::Queue(SLOTS as u32 - 1, 1).index() + 1);
        assert_eq!(Place::ReadyPipe(SLOTS as u32 - 1).index() as usize, ALL_PLACES - 1);
    }

    /// What an upgrade from the first release finds.
    #[test]
    fn the_first_release_is_the_beginning_of_this_one() {
        assert_eq!(<KeeperMemory>::LEAST, 2_232_360);
        assert_eq!(<ManagerMemory>::LEAST, 78_119_216);
    }
}
