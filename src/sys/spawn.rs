//! Creates programs, as children of the keeper, at a cost that grows neither with our memory nor with our descriptors.
//!
//! One `clone(2)` with these flags does it:
//!
//! - `CLONE_PARENT`: the program is the keeper's child from birth, as we are, so nothing is ever re-parented;
//! - `CLONE_VM | CLONE_VFORK`: the child borrows our memory and we stand still until it executes its program, so
//!   nothing is copied. (`clone3` would do the same, but container filters answer it with ENOSYS.)
//! - `CLONE_PARENT_SETTID`: the pid stands in shared memory before the child's first instruction;
//! - `CLONE_FILES`: the table of descriptors is shared, too, until the child takes the few it needs with
//!   `CLOSE_RANGE_UNSHARE`.
//!
//! A program that has a control group of its own writes itself into it as the first thing that the child does, through a
//! descriptor that was opened beforehand: nothing of the program has run or used anything by then. (`CLONE_INTO_CGROUP`
//! takes `clone3`, see above.)
//!
//! Between clone and exec the child makes only system calls on data prepared beforehand: no allocation, no locks, no
//! panic. A failure is reported twice: to the program's standard error in Supervisor's words, and to the caller as
//! [`Failure`].
//!
//! From the change of user on, the child is in the hands of that user, who can stop it or slow down its lookups; and
//! file systems may hang for everybody. A caller that must not wait for that uses a thread of its own and follows the
//! child by its [`Progress`].

use crate::sys::capabilities;
use crate::sys::confine::{Confine, KeptFds, Moment, Step};
use crate::sys::errno::errno_name;
use crate::sys::exec::pointers;
use crate::sys::limits::Limit;
use crate::sys::listeners::Listeners;
use crate::sys::process;
use crate::sys::schedule;
use crate::sys::settings::Setting;
use crate::sys::signals::{self, Blocked, Changed};
use crate::sys::user::{self, Identity};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, Ordering::*};

/// The exit status of a child that could not become its program; Supervisor's, process.py.
const NOT_SPAWNED: c_int = 127;

/// Enough for the child's few frames; the largest of them holds a path, 4 KiB.
const STACK_SIZE: usize = 64 * 1024;

/// What a child is to become.
#[derive(Clone, Debug)]
pub struct Program {
    /// The file to execute.
    pub file: CString,
    /// The word that stands for it in messages.
    pub written: String,
    /// With the program's name as the first one.
    pub arguments: Vec<CString>,
    /// `KEY=value` each.
    pub environment: Vec<CString>,
    /// Where to change to before exec; `None` for where the daemon is.
    pub directory: Option<CString>,
    /// The mask for new files; `None` for the daemon's.
    pub umask: Option<u32>,
    /// Who it runs as.
    pub user: UserChange,
    /// The limit on descriptors the program is to see; the daemon's own is higher.
    pub descriptors: Option<Limit>,
    /// The limit on the size of files, if it is not this process' own.
    pub file_size: Option<Limit>,
    /// What to write to `/proc/self/oom_score_adj`, if the keeper changed its own.
    pub oom_score_adj: Option<CString>,
    /// What else the kernel is to be told about it, in this order.
    pub settings: Vec<Setting>,
    /// What the kernel is to keep it from.
    pub confine: Option<Box<Confine>>,
    /// SIGKILL the program when this process, the keeper, ends.
    pub dies_with: Option<i32>,
    /// `cgroup.procs` of the control group that it is to be in; `None` for the daemon's.
    pub cgroup: Option<Arc<std::fs::File>>,
}

/// Who the child is to run as.
#[derive(Clone, Debug)]
pub enum UserChange {
    /// As whoever this process is.
    Stay,
    /// As somebody else, which takes root.
    Become(Identity),
    /// It is known beforehand that this cannot work; the child says why and ends.
    Impossible {
        /// Who it was to run as.
        uid: u32,
        /// What the child writes to its standard error.
        why: String,
    },
}

/// The three descriptors a program starts with.
#[derive(Clone, Copy, Debug)]
pub struct Stdio<'a> {
    /// What becomes descriptor 0.
    pub stdin: BorrowedFd<'a>,
    /// What becomes descriptor 1.
    pub stdout: BorrowedFd<'a>,
    /// What becomes descriptor 2.
    pub stderr: BorrowedFd<'a>,
    /// Listening sockets the program is to find from descriptor 3 on, announced as `sd_listen_fds(3)` says.
    pub listeners: &'a [BorrowedFd<'a>],
    /// A descriptor that the program is to find under this number, which is none of the others'.
    pub other: Option<(BorrowedFd<'a>, RawFd)>,
}

/// A child that ended before it became its program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it was doing.
    pub stage: Stage,
    /// Why that failed; see errno(3).
    pub errno: i32,
    /// It lacks the capability that this stage takes.
    pub lacks_capability: bool,
    /// In [`Stage::Settings`] and [`Stage::Confinement`]: the place of the setting or the step.
    pub setting: usize,
}

/// What the child was doing when it failed, or is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Entering its control group.
    Cgroup,
    /// Moving descriptors to where the program finds them.
    Descriptors,
    /// Confining it.
    Confinement,
    /// Setting the limits that programs are to see.
    Limits,
    /// Applying one of the program's own settings.
    Settings,
    /// It was known beforehand that it cannot become the user.
    Impossible,
    /// Setting the supplementary groups, setgroups(2).
    Groups,
    /// Setting the group, setresgid(2).
    Group,
    /// Setting the user, setresuid(2).
    User,
    /// Giving up capabilities.
    Capabilities,
    /// Changing to its working directory.
    Directory,
    /// Executing the program.
    Exec,
}

impl Stage {
    const ALL: [Stage; 12] = [
        Stage::Cgroup,
        Stage::Descriptors,
        Stage::Confinement,
        Stage::Limits,
        Stage::Settings,
        Stage::Impossible,
        Stage::Groups,
        Stage::Group,
        Stage::User,
        Stage::Capabilities,
        Stage::Directory,
        Stage::Exec,
    ];

    /// The name of the capability that it takes and the number of it; capabilities(7).
    fn capability(self) -> Option<(&'static str, u32)> {
        match self {
            Stage::Groups | Stage::Group => Some(("CAP_SETGID", 6)),
            Stage::User => Some(("CAP_SETUID", 7)),
            _ => None,
        }
    }

    /// What stands behind the error if that capability is missing.
    fn lack(self) -> &'static str {
        match self {
            Stage::Groups | Stage::Group => " (CAP_SETGID is missing)",
            Stage::User => " (CAP_SETUID is missing)",
            _ => "",
        }
    }
}

/// How far a child has come, for other threads to see; and their way to make it end.
#[derive(Debug, Default)]
pub struct Progress {
    /// One more than the place of the stage in [`Stage::ALL`]; 0 before the first one.
    stage: AtomicU8,
    forbidden: AtomicBool,
    /// A bit for each step of its confinement that was refused and may be.
    refused: AtomicU64,
}

impl Progress {
    /// The keys of a program's confinement that were wished for and could not be had.
    pub fn refused(&self, program: &Program) -> Vec<&'static str> {
        let refused = self.refused.load(Acquire);
        let steps = steps(program).iter().enumerate().filter(|(place, _)| refused & bit(*place) != 0);
        steps.map(|(_, step)| step.key).collect()
    }

    /// What the child is doing, or was doing last; `None` before it does anything.
    pub fn stage(&self) -> Option<Stage> {
        let number = usize::from(self.stage.load(Acquire));
        Stage::ALL.get(number.checked_sub(1)?).copied()
    }

    /// Sees to it that a child which has not come to its exec yet ends instead. One that has no pid yet is among
    /// them, so whoever finds none after this needs not kill it.
    pub fn forbid(&self) {
        self.forbidden.store(true, SeqCst);
    }

    fn enter(&self, stage: Stage) {
        // The numbers of the variants are their places.
        self.stage.store(stage as u8 + 1, Release);
    }
}

/// Creates programs. Holds what every creation needs: a stack, and three descriptors with low numbers.
pub struct Spawner {
    stack: Stack,
    /// Where the program's descriptors are put before the child takes them as 0, 1 and 2.
    staging: [OwnedFd; 3],
    /// What stands there meanwhile: a staged pipe would never reach its end.
    null: std::fs::File,
    /// The signals whose actions the child has to set back. Found out at the first creation; whoever handles a signal
    /// here does so before that.
    changed: Option<Changed>,
}

impl Spawner {
    /// Must be made early, while low descriptor numbers are free.
    ///
    /// # Errors
    /// Out of descriptors or of memory, or `/dev/null` cannot be opened.
    pub fn new() -> io::Result<Spawner> {
        let null = std::fs::File::open("/dev/null")?;
        let stage = || rustix::io::fcntl_dupfd_cloexec(&null, 3);
        let staging = [stage()?, stage()?, stage()?];
        Ok(Spawner { stack: Stack::new(STACK_SIZE)?, staging, null, changed: None })
    }

    /// Creates one program. On return it has been executed, or has failed and ended.
    ///
    /// The pid is written to `pid` before the child runs; it is also returned.
    ///
    /// # Errors
    /// The child could not be created at all; `pid` is untouched.
    pub fn spawn(
        &mut self,
        program: &Program,
        stdio: Stdio<'_>,
        pid: &AtomicI32,
        progress: &Progress,
    ) -> io::Result<(i32, Option<Failure>)> {
        for (source, staged) in [stdio.stdin, stdio.stdout, stdio.stderr].into_iter().zip(&mut self.staging) {
            rustix::io::dup3(source, staged, rustix::io::DupFlags::CLOEXEC)?;
        }
        let mut listeners = Listeners::new(stdio.listeners, stdio.other);
        let arguments = pointers(&program.arguments);
        let mut environment = pointers(&program.environment);
        listeners.announce(&mut environment);
        let staged = [0, 1, 2].map(|i: usize| self.staging[i].as_raw_fd());
        let notes = Notes::new(program);
        let kept = KeptFds::of(program.confine.as_deref());
        let mut plan = Plan {
            program,
            notes: &notes,
            progress,
            changes_groups: matches!(&program.user, UserChange::Become(identity) if !user::has_groups(identity)),
            arguments: arguments.as_ptr(),
            environment: environment.as_ptr(),
            staged,
            first_unneeded: staged
                .into_iter()
                .chain(listeners.highest())
                .chain(kept.highest())
                .max()
                .map_or(3, |highest| highest + 1),
            listeners: &mut listeners,
            kept,
            changed: *self.changed.get_or_insert_with(Changed::here),
            setting: 0,
            failure: None,
        };
        let flags = libc::CLONE_VM
            | libc::CLONE_VFORK
            | libc::CLONE_PARENT
            | libc::CLONE_PARENT_SETTID
            | libc::CLONE_FILES
            | libc::SIGCHLD;
        // No handler of ours may run in the child, on memory that is not its own.
        let blocked = Blocked::all();
        // SAFETY: the child runs `child_main` on a stack of its own, with `plan` and everything it points to
        // alive: CLONE_VFORK holds this thread here until the child has executed or ended. `pid` is a live
        // atomic that the kernel writes an int to.
        let result = unsafe {
            libc::clone(
                child_main,
                self.stack.top(),
                flags,
                ptr::from_mut(&mut plan).cast::<c_void>(),
                pid.as_ptr(),
            )
        };
        let error = io::Error::last_os_error();
        drop(blocked);
        for staged in &mut self.staging {
            // Cannot fail: both are open. If it did, an output would only end later.
            let _ = rustix::io::dup3(&self.null, staged, rustix::io::DupFlags::CLOEXEC);
        }
        if result < 0 {
            return Err(error);
        }
        if plan.failure.is_none() {
            give_score_back(result, program);
        }
        Ok((result, plan.failure))
    }
}

/// Sets the score of a program that could not do that itself. What borrows the memory of a closed process is root's to
/// write to (see [`process::is_closed`]); only the executed program is its user's again. A process that the program
/// creates within its first microseconds keeps our score.
fn give_score_back(pid: i32, program: &Program) {
    if let Some(score) = &program.oom_score_adj
        && process::is_closed()
        && !user::is_root()
    {
        let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_bytes());
    }
}

impl Failure {
    /// In Supervisor's words, for `spawnerr`: `couldn't chdir to /x: ENOENT`.
    pub fn describe(&self, program: &Program) -> String {
        self.parts(&Notes::new(program)).concat()
    }

    /// The same in pieces, for whoever must not allocate.
    fn parts<'a>(&self, notes: &'a Notes) -> [&'a str; 4] {
        let whole = match self.stage {
            Stage::Cgroup => return ["couldn't enter its control group: ", errno_name(self.errno), "", ""],
            Stage::Descriptors => return ["couldn't take its descriptors: ", errno_name(self.errno), "", ""],
            Stage::Limits => return ["couldn't set its limits: ", errno_name(self.errno), "", ""],
            Stage::Settings => {
                let (text, lack) =
                    notes.settings.get(self.setting).map_or(("", ""), |(text, lack)| (&**text, *lack));
                return [text, errno_name(self.errno), if self.lacks_capability { lack } else { "" }, ""];
            }
            Stage::Confinement => {
                let (text, lack) =
                    notes.confinement.get(self.setting).map_or(("", ""), |(text, lack)| (&**text, *lack));
                return [text, errno_name(self.errno), if self.lacks_capability { lack } else { "" }, ""];
            }
            Stage::Directory => &notes.directory,
            Stage::Exec if self.errno == libc::EACCES => {
                return [&notes.exec, errno_name(self.errno), notes.exec_lack, ""];
            }
            Stage::Exec => &notes.exec,
            Stage::Impossible => {
                return [&notes.user, notes.impossible.as_deref().unwrap_or_default(), "", ""];
            }
            Stage::Groups | Stage::Group | Stage::User | Stage::Capabilities => &notes.user,
        };
        let call = match self.stage {
            Stage::Groups => "setgroups: ",
            Stage::Group => "setgid: ",
            Stage::User => "setuid: ",
            Stage::Capabilities => "its capabilities could not be dropped: ",
            _ => "",
        };
        let lack = if self.lacks_capability { self.stage.lack() } else { "" };
        [whole, call, errno_name(self.errno), lack]
    }
}

/// What the child may have to say, put together while there still is an allocator.
struct Notes {
    user: String,
    impossible: Option<String>,
    directory: String,
    exec: String,
    /// Of each setting, and what stands behind the error if a capability is missing.
    settings: Vec<(String, &'static str)>,
    /// The same of each step of its confinement.
    confinement: Vec<(String, &'static str)>,
    /// What stands behind EACCES of the exec.
    exec_lack: &'static str,
}

impl Notes {
    fn new(program: &Program) -> Notes {
        let mut user = String::new();
        let mut impossible = None;
        match &program.user {
            UserChange::Stay => {}
            UserChange::Become(identity) => {
                let _ = write!(user, "couldn't setuid to {}: ", identity.uid);
            }
            UserChange::Impossible { uid, why } => {
                let _ = write!(user, "couldn't setuid to {uid}: ");
                impossible = Some(why.clone());
            }
        }
        let directory = program.directory.as_ref().map(|path| path.to_string_lossy()).unwrap_or_default();
        Notes {
            user,
            impossible,
            directory: format!("couldn't chdir to {directory}: "),
            exec: format!("couldn't exec {}: ", program.written),
            settings: program.settings.iter().map(Setting::note).collect(),
            confinement: steps(program).iter().map(Step::note).collect(),
            exec_lack: match program.confine.as_ref().and_then(|confine| confine.ruleset.as_ref()) {
                Some(_) => {
                    " (what it executes, and the loader of that, must lie below a path of read_only_paths or \
                     read_write_paths)"
                }
                None => "",
            },
        }
    }
}

/// There are fewer steps than bits.
fn bit(place: usize) -> u64 {
    1_u64.checked_shl(place as u32).unwrap_or(0)
}

/// What is done to confine a program.
fn steps(program: &Program) -> &[Step] {
    program.confine.as_ref().map_or(&[], |confine| &confine.steps)
}

/// Everything the child reads, and the one thing it writes.
struct Plan<'a> {
    program: &'a Program,
    notes: &'a Notes,
    progress: &'a Progress,
    /// Whether the user's groups are others than ours.
    changes_groups: bool,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    staged: [RawFd; 3],
    listeners: &'a mut Listeners,
    /// What else the child needs until its exec.
    kept: KeptFds,
    /// From here on every descriptor is somebody else's.
    first_unneeded: RawFd,
    changed: Changed,
    /// The place of the setting or step that is being applied.
    setting: usize,
    failure: Option<Failure>,
}

/// The child's whole life before exec.
extern "C" fn child_main(plan: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes its `Plan`, keeps it alive and does not touch it while this runs.
    let plan = unsafe { &mut *plan.cast::<Plan<'_>>() };
    // SAFETY: this is the child of a CLONE_VFORK, with every signal blocked.
    let stage = unsafe { become_program(plan) };
    let errno = errno();
    let setting = plan.setting;
    let capability = match stage {
        Stage::Settings => plan.program.settings.get(setting).and_then(Setting::capability),
        Stage::Confinement => steps(plan.program).get(setting).and_then(Step::capability),
        stage => stage.capability().map(|(_, number)| number),
    };
    let is_refused = matches!(errno, libc::EPERM | libc::EACCES);
    let always =
        stage == Stage::Confinement && steps(plan.program).get(setting).is_some_and(Step::always_lacks);
    let lacks_capability =
        always || capability.is_some_and(|number| is_refused && !capabilities::is_effective(number));
    let failure = Failure { stage, errno, lacks_capability, setting };
    complain(plan, &failure);
    plan.failure = Some(failure);
    // SAFETY: ends the child without running anything of the parent's.
    unsafe { libc::_exit(NOT_SPAWNED) }
}

/// Turns the child into its program. Returns only on failure: the stage, with errno set.
///
/// # Safety
/// Only in the child of `Spawner::spawn`: it changes descriptors, identity and signal handling of the
/// calling process.
unsafe fn become_program(plan: &mut Plan<'_>) -> Stage {
    let (program, progress) = (plan.program, plan.progress);
    // SAFETY: by this function's contract these change the child only. Every pointer comes from `plan`,
    // whose owner is held still, and every call is async-signal-safe or a bare system call.
    unsafe {
        // As Supervisor does: a group of its own, so that Ctrl-C on our terminal is not for it.
        libc::setpgid(0, 0);
        progress.enter(Stage::Cgroup);
        // While the caller's descriptors are still ours. What went wrong is told when we have our own.
        let refused = if enter_cgroup(program.cgroup.as_deref()) { None } else { Some(errno()) };
        signals::default_dispositions_of(plan.changed);
        schedule::give_precedence_up();
        progress.enter(Stage::Descriptors);
        if !take_descriptors(plan) {
            return Stage::Descriptors;
        }
        if let Some(errno) = refused {
            *libc::__errno_location() = errno;
            return Stage::Cgroup;
        }
        if !confine(plan, Moment::First) {
            return Stage::Confinement;
        }
        progress.enter(Stage::Limits);
        if let Some(limit) = program.descriptors {
            let limit = libc::rlimit { rlim_cur: limit.soft, rlim_max: limit.hard };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &limit) != 0 {
                return Stage::Limits;
            }
        }
        if let Some(limit) = program.file_size {
            let limit = libc::rlimit { rlim_cur: limit.soft, rlim_max: limit.hard };
            if libc::setrlimit(libc::RLIMIT_FSIZE, &limit) != 0 {
                return Stage::Limits;
            }
        }
        if let Some(score) = &program.oom_score_adj {
            write_file(c"/proc/self/oom_score_adj", score.to_bytes());
        }
        progress.enter(Stage::Settings);
        for (place, setting) in program.settings.iter().enumerate() {
            plan.setting = place;
            if !setting.apply() {
                return Stage::Settings;
            }
        }
        if !confine(plan, Moment::BeforeUser) {
            return Stage::Confinement;
        }
        let keeps = program.confine.as_ref().is_some_and(|confine| confine.keeps_capabilities);
        match &program.user {
            UserChange::Stay => {}
            UserChange::Become(identity) => {
                if let Err(stage) = become_user(identity, plan.changes_groups, keeps, progress) {
                    return stage;
                }
            }
            UserChange::Impossible { .. } => return Stage::Impossible,
        }
        if !confine(plan, Moment::AfterUser) {
            return Stage::Confinement;
        }
        // After the change of user, which clears it.
        if let Some(keeper) = program.dies_with {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // It may have ended before we asked.
            if libc::getppid() != keeper {
                libc::_exit(NOT_SPAWNED);
            }
        }
        if let Some(directory) = &program.directory {
            progress.enter(Stage::Directory);
            if libc::chdir(directory.as_ptr()) != 0 {
                return Stage::Directory;
            }
        }
        if let Some(umask) = program.umask {
            libc::umask(umask as libc::mode_t);
        }
        progress.enter(Stage::Exec);
        if progress.forbidden.load(SeqCst) {
            libc::_exit(NOT_SPAWNED);
        }
        signals::unblock_all();
        if !confine(plan, Moment::Last) {
            return Stage::Confinement;
        }
        libc::execve(program.file.as_ptr(), plan.arguments, plan.environment);
    }
    Stage::Exec
}

/// Moves the child into a control group, before it uses anything. False with errno set if the kernel refuses.
///
/// # Safety
/// In the child only, before it leaves the shared table of descriptors.
unsafe fn enter_cgroup(procs: Option<&std::fs::File>) -> bool {
    let Some(procs) = procs else { return true };
    // SAFETY: the caller of `spawn` holds the descriptor open, and its table is still the child's; the bytes are a constant.
    // 0 is whoever writes.
    unsafe { libc::write(procs.as_raw_fd(), c"0".as_ptr().cast(), 1) == 1 }
}

/// Carries out the steps of a moment; false with errno set at the first one that fails and may not.
///
/// # Safety
/// In the child only, with a table of descriptors of its own.
unsafe fn confine(plan: &mut Plan<'_>, moment: Moment) -> bool {
    let program = plan.program;
    for (place, step) in steps(program).iter().enumerate().filter(|(_, step)| step.moment() == moment) {
        plan.setting = place;
        if moment != Moment::Last {
            plan.progress.enter(Stage::Confinement);
        }
        // SAFETY: by this function's contract this is the child.
        if !unsafe { step.apply(plan.kept) } {
            if !step.is_optional {
                return false;
            }
            plan.progress.refused.fetch_or(bit(place), Release);
        }
    }
    true
}

/// Leaves the shared table of descriptors and takes 0, 1 and 2. Everything else is closed by the exec, whoever
/// opened it and however.
///
/// # Safety
/// In the child only.
unsafe fn take_descriptors(plan: &mut Plan<'_>) -> bool {
    // SAFETY: system calls on numbers; after the first one the table is the child's own.
    unsafe {
        let unshared = libc::syscall(
            libc::SYS_close_range,
            plan.first_unneeded as libc::c_uint,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_UNSHARE as libc::c_uint,
        );
        // Linux before 5.9, or a filter that does not know the call: copy the whole table.
        if unshared != 0 && libc::unshare(libc::CLONE_FILES) != 0 {
            return false;
        }
        let taken = plan.staged.iter().zip(0..).all(|(source, target)| libc::dup2(*source, target) == target);
        // Nothing else is for the program, nor to be kept open until its exec, which may take a while: what other
        // threads were about to give to programs of theirs may be among it. Listeners have to be moved first, and
        // then exec does it; Linux before 5.11 does not know that flag, there the habit of close-on-exec has to do.
        let keeps_none = plan.listeners.count() == 0 && plan.kept.highest().is_none();
        let how = if keeps_none { 0 } else { libc::CLOSE_RANGE_CLOEXEC };
        libc::syscall(
            libc::SYS_close_range,
            plan.staged.len() as libc::c_uint,
            libc::c_uint::MAX,
            how as libc::c_uint,
        );
        // Out of the way of where listeners are to be.
        taken && plan.kept.move_above(plan.listeners.highest_target()) && plan.listeners.take()
    }
}

/// Becomes another user for good. Steps to what is so already are left out, so that they need no capability.
///
/// # Errors
/// The step that failed, with errno set.
///
/// # Safety
/// In the child only.
unsafe fn become_user(
    identity: &Identity,
    changes_groups: bool,
    keeps_capabilities: bool,
    progress: &Progress,
) -> Result<(), Stage> {
    let (uid, gid) = (identity.uid, identity.gid);
    // The C library would change all threads of the process, ours included; the bare calls change the child.
    // SAFETY: the list of groups lives in `plan`; the rest are numbers.
    unsafe {
        progress.enter(Stage::Groups);
        if changes_groups
            && libc::syscall(libc::SYS_setgroups, identity.groups.len(), identity.groups.as_ptr()) != 0
        {
            return Err(Stage::Groups);
        }
        if changes_groups && !has_groups(&identity.groups) {
            *libc::__errno_location() = libc::EPERM;
            return Err(Stage::Groups);
        }
        progress.enter(Stage::Group);
        if group_ids() != [gid; 3] && libc::syscall(libc::SYS_setresgid, gid, gid, gid) != 0 {
            return Err(Stage::Group);
        }
        progress.enter(Stage::User);
        if user_ids() != [uid; 3] && libc::syscall(libc::SYS_setresuid, uid, uid, uid) != 0 {
            return Err(Stage::User);
        }
        // The kernel drops them with the user, unless somebody has told it not to (`SECBIT_NO_SETUID_FIXUP`).
        // Where some are to stay, its confinement says next what becomes of the others.
        if uid != 0 && !keeps_capabilities && !capabilities::drop_all() {
            return Err(Stage::Capabilities);
        }
        // Never run as somebody else than asked.
        if user_ids() != [uid; 3] || group_ids() != [gid; 3] {
            *libc::__errno_location() = libc::EPERM;
            return Err(Stage::User);
        }
    }
    Ok(())
}

/// Whether the calling process has exactly these supplementary groups, each as often as it stands there.
fn has_groups(wanted: &[u32]) -> bool {
    // Of more than that only the number is compared.
    let mut own = [0; 256];
    // SAFETY: room for as many as are asked for; with 0 nothing is written.
    let n_own = unsafe {
        match wanted.len() {
            0..=256 => libc::getgroups(own.len() as c_int, own.as_mut_ptr()),
            _ => libc::getgroups(0, ptr::null_mut()),
        }
    };
    let is_wanted = |group: &u32| wanted.contains(group);
    usize::try_from(n_own).is_ok_and(|n_own| n_own == wanted.len())
        && (wanted.len() > own.len() || own[..wanted.len()].iter().all(is_wanted))
}

/// Real, effective and saved user of the calling process.
fn user_ids() -> [u32; 3] {
    let (mut real, mut effective, mut saved) = (u32::MAX, u32::MAX, u32::MAX);
    // SAFETY: valid places for three numbers. If it failed they would be nobody's.
    unsafe { libc::getresuid(&mut real, &mut effective, &mut saved) };
    [real, effective, saved]
}

/// The same of the group.
fn group_ids() -> [u32; 3] {
    let (mut real, mut effective, mut saved) = (u32::MAX, u32::MAX, u32::MAX);
    // SAFETY: as above.
    unsafe { libc::getresgid(&mut real, &mut effective, &mut saved) };
    [real, effective, saved]
}

/// Writes a small file of the kernel's; failures do not matter.
///
/// # Safety
/// In the child only.
unsafe fn write_file(path: &CStr, bytes: &[u8]) {
    // SAFETY: valid pointers and lengths; the descriptor is closed again.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd >= 0 {
            libc::write(fd, bytes.as_ptr().cast(), bytes.len());
            libc::close(fd);
        }
    }
}

/// Tells the program's standard error what happened, in the words of Supervisor's process.py.
fn complain(plan: &Plan<'_>, failure: &Failure) {
    let [a, b, c, d] = failure.parts(plan.notes);
    for part in ["supervisor: ", a, b, c, d, "\nsupervisor: child process was not spawned\n"] {
        // SAFETY: a valid pointer and its length; a failed write changes nothing.
        unsafe {
            libc::write(2, part.as_ptr().cast(), part.len());
        }
    }
}

fn errno() -> i32 {
    // SAFETY: the location is this thread's and always valid.
    unsafe { *libc::__errno_location() }
}

/// A stack for the child, with a page below it that nobody may touch.
struct Stack {
    base: *mut c_void,
    size: usize,
}

// SAFETY: the memory belongs to the process, and `Spawner` is only used through `&mut`.
unsafe impl Send for Stack {}

impl Stack {
    const GUARD: usize = 4096;

    fn new(size: usize) -> io::Result<Stack> {
        use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
        let size = size + Self::GUARD;
        // SAFETY: fresh memory at an address of the kernel's choice, and its own first page.
        unsafe {
            let base =
                mmap_anonymous(ptr::null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)?;
            mprotect(base, Self::GUARD, MprotectFlags::empty())?;
            Ok(Stack { base, size })
        }
    }

    /// Stacks grow down, so the child starts at the end.
    fn top(&self) -> *mut c_void {
        // SAFETY: one past the end of the same mapping; page-aligned, so 16-byte aligned.
        unsafe { self.base.cast::<u8>().add(self.size).cast() }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: mapped with this size in `new`; no child runs on it, as `spawn` waits for it.
        let _ = unsafe { rustix::mm::munmap(self.base, self.size) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    fn program(file: &str, arguments: &[&str]) -> Program {
        Program {
            file: CString::new(file).unwrap(),
            written: file.to_string(),
            arguments: arguments.iter().map(|word| CString::new(*word).unwrap()).collect(),
            environment: vec![],
            directory: None,
            umask: None,
            user: UserChange::Stay,
            descriptors: None,
            file_size: None,
            oom_score_adj: None,
            settings: Vec::new(),
            confine: None,
            dies_with: None,
            cgroup: None,
        }
    }

    /// Spawns with standard output and error going to a pipe, and returns what was written.
    fn run(program: &Program) -> (i32, Option<Failure>, String) {
        let mut spawner = Spawner::new().unwrap();
        let pipe = crate::sys::pipe::output().unwrap();
        let end = crate::sys::pipe::writing_end(&pipe, crate::sys::pipe::Ends::Own).unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let pid = AtomicI32::new(0);
        let stdio = Stdio {
            stdin: null.as_fd(),
            stdout: end.as_fd(),
            stderr: end.as_fd(),
            listeners: &[],
            other: None,
        };
        let (returned, failure) = spawner.spawn(program, stdio, &pid, &Progress::default()).unwrap();
        drop(end);
        rustix::io::ioctl_fionbio(&pipe, false).unwrap();
        let mut text = String::new();
        io::Read::read_to_string(&mut std::fs::File::from(pipe), &mut text).unwrap();
        assert_eq!(returned, pid.load(SeqCst));
        (returned, failure, text)
    }

    #[test]
    fn a_program_runs_with_its_arguments() {
        let (pid, failure, text) =
            run(&program("/bin/sh", &["sh", "-c", "echo $0 $1; ls /proc/self/fd | wc -l", "a"]));
        assert!(pid > 0 && failure.is_none());
        // 0, 1, 2 and the one `ls` has open on the directory.
        assert_eq!(text, "a\n4\n");
    }

    #[test]
    fn what_fails_is_told_to_both_sides() {
        let (_, failure, text) = run(&program("/nope", &["nope"]));
        assert_eq!(
            failure,
            Some(Failure { stage: Stage::Exec, errno: libc::ENOENT, lacks_capability: false, setting: 0 })
        );
        assert_eq!(
            text,
            "supervisor: couldn't exec /nope: ENOENT\nsupervisor: child process was not spawned\n"
        );

        let mut lost = program("/bin/true", &["true"]);
        lost.directory = Some(c"/nonexistent".into());
        let (_, failure, text) = run(&lost);
        let failure = failure.unwrap();
        assert_eq!(failure.describe(&lost), "couldn't chdir to /nonexistent: ENOENT");
        assert!(text.starts_with("supervisor: couldn't chdir to /nonexistent: ENOENT\n"), "{text}");
    }

    #[test]
    fn what_is_forbidden_ends_before_its_exec() {
        let mut spawner = Spawner::new().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let stdio = Stdio {
            stdin: null.as_fd(),
            stdout: null.as_fd(),
            stderr: null.as_fd(),
            listeners: &[],
            other: None,
        };
        let file = tempfile::tempdir().unwrap().path().join("ran");
        let progress = Progress::default();
        progress.forbid();
        let touch = program("/bin/sh", &["sh", "-c", &format!("> {}", file.display())]);
        let (pid, failure) = spawner.spawn(&touch, stdio, &AtomicI32::new(0), &progress).unwrap();
        assert!(pid > 0 && failure.is_none() && progress.stage() == Some(Stage::Exec));
        // Our parent's child, so somebody else waits for it; its end is near either way.
        assert!(!file.exists());
    }

    #[test]
    fn listening_sockets_begin_at_three_and_are_announced() {
        let mut spawner = Spawner::new().unwrap();
        let pipe = crate::sys::pipe::output().unwrap();
        let end = crate::sys::pipe::writing_end(&pipe, crate::sys::pipe::Ends::Own).unwrap();
        let files = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            std::fs::write(files.path().join(name), name).unwrap();
            std::fs::File::open(files.path().join(name)).unwrap()
        };
        let (zero, one, two) = (open("zero"), open("one"), open("two"));
        let script =
            "cat <&0; cat <&3; cat <&4; echo; echo $LISTEN_FDS $(($LISTEN_PID - $$)); echo ready >&9";
        let stdio = Stdio {
            stdin: zero.as_fd(),
            stdout: end.as_fd(),
            stderr: end.as_fd(),
            listeners: &[one.as_fd(), two.as_fd()],
            other: Some((end.as_fd(), 9)),
        };
        let mut wanted = program("/bin/sh", &["sh", "-c", script]);
        wanted.environment = vec![c"PATH=/bin:/usr/bin".into()];
        let (_, failure) = spawner.spawn(&wanted, stdio, &AtomicI32::new(0), &Progress::default()).unwrap();
        assert_eq!(failure, None);
        drop(end);
        rustix::io::ioctl_fionbio(&pipe, false).unwrap();
        let mut text = String::new();
        io::Read::read_to_string(&mut std::fs::File::from(pipe), &mut text).unwrap();
        assert_eq!(text, "zeroonetwo\n2 0\nready\n");
    }
}
