//! The child's whole life before its exec.
//!
//! It makes only system calls on data that was prepared beforehand: no allocation, no locks, no panic.

use crate::sys::capabilities;
use crate::sys::confine::{KeptFds, Moment, Step};
use crate::sys::listeners::Listeners;
use crate::sys::schedule;
use crate::sys::settings::Setting;
use crate::sys::signals::{self, Changed};
use crate::sys::spawn::failure::{Failure, Notes};
use crate::sys::spawn::progress::{Progress, Stage};
use crate::sys::spawn::{Program, UserChange, bit, steps};
use crate::sys::user::Identity;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::sync::atomic::Ordering::*;

/// The exit status of a child that could not become its program; Supervisor's, process.py.
const NOT_SPAWNED: c_int = 127;

/// Everything the child reads, and the one thing it writes.
pub(super) struct Plan<'a> {
    pub(super) program: &'a Program,
    pub(super) notes: &'a Notes,
    pub(super) progress: &'a Progress,
    /// Whether the user's groups are others than ours.
    pub(super) changes_groups: bool,
    pub(super) arguments: *const *const c_char,
    pub(super) environment: *const *const c_char,
    pub(super) staged: [RawFd; 3],
    pub(super) listeners: &'a mut Listeners,
    /// What else the child needs until its exec.
    pub(super) kept: KeptFds,
    /// From here on every descriptor is somebody else's.
    pub(super) first_unneeded: RawFd,
    pub(super) changed: Changed,
    /// The place of the setting or step that is being applied.
    pub(super) setting: usize,
    pub(super) failure: Option<Failure>,
}

/// The child's whole life before exec.
pub(super) extern "C" fn child_main(plan: *mut c_void) -> c_int {
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
