//! Creating programs, as children of the keeper, at a cost that grows neither with our memory nor with our
//! descriptors.
//!
//! One `clone(2)` with these flags does it:
//!
//! - `CLONE_PARENT`: the program is the keeper's child from birth, as we are, so nothing is ever re-parented;
//! - `CLONE_VM | CLONE_VFORK`: the child borrows our memory and we stand still until it executes its program,
//!   so nothing is copied. (`clone3` would do the same, but container filters answer it with ENOSYS.)
//! - `CLONE_PARENT_SETTID`: the pid stands in shared memory before the child's first instruction;
//! - `CLONE_FILES`: the table of descriptors is shared, too, until the child takes the few it needs with
//!   `CLOSE_RANGE_UNSHARE`.
//!
//! Between clone and exec the child calls nothing but system calls on data prepared beforehand: no
//! allocation, no locks, no panic. What fails is told twice: to the program's standard error in Supervisor's
//! words, and to the caller as [`Failure`].

use crate::sys::errno::errno_name;
use crate::sys::exec::pointers;
use crate::sys::limits::Limit;
use crate::sys::listeners::Listeners;
use crate::sys::process;
use crate::sys::schedule;
use crate::sys::signals::{self, Blocked, Changed};
use crate::sys::user::{self, Identity};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::AtomicI32;

/// The exit status of a child that could not become its program; Supervisor's, process.py.
const NOT_SPAWNED: c_int = 127;

/// Enough for the child's few frames; measured use is under 2 KiB.
const STACK_SIZE: usize = 64 * 1024;

/// What a child is to become.
#[derive(Clone, Debug)]
pub struct Program {
    /// The file to execute.
    pub file: CString,
    /// The word that stands for it in messages.
    pub written: String,
    pub arguments: Vec<CString>,
    /// `KEY=value` each.
    pub environment: Vec<CString>,
    pub directory: Option<CString>,
    pub umask: Option<u32>,
    pub user: UserChange,
    /// The limit on descriptors the program is to see; the daemon's own is higher.
    pub descriptors: Option<Limit>,
    /// The limit on the size of files, if it is not this process' own.
    pub file_size: Option<Limit>,
    /// What to write to `/proc/self/oom_score_adj`, if the keeper changed its own.
    pub oom_score_adj: Option<CString>,
    /// SIGKILL the program when this process, the keeper, ends.
    pub dies_with: Option<i32>,
}

/// Who the child is to run as.
#[derive(Clone, Debug)]
pub enum UserChange {
    Stay,
    Become(Identity),
    /// It is known beforehand that this cannot work; the child says why and ends.
    Impossible {
        uid: u32,
        why: String,
    },
}

/// The three descriptors a program starts with.
#[derive(Clone, Copy, Debug)]
pub struct Stdio<'a> {
    pub stdin: BorrowedFd<'a>,
    pub stdout: BorrowedFd<'a>,
    pub stderr: BorrowedFd<'a>,
    /// Listening sockets the program is to find from descriptor 3 on, announced as `sd_listen_fds(3)` says.
    pub listeners: &'a [BorrowedFd<'a>],
}

/// A child that ended before it became its program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub stage: Stage,
    pub errno: i32,
}

/// What the child was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Descriptors,
    Limits,
    User,
    Directory,
    Exec,
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
    ) -> io::Result<(i32, Option<Failure>)> {
        for (source, staged) in [stdio.stdin, stdio.stdout, stdio.stderr].into_iter().zip(&mut self.staging) {
            rustix::io::dup3(source, staged, rustix::io::DupFlags::CLOEXEC)?;
        }
        let mut listeners = Listeners::new(stdio.listeners);
        let arguments = pointers(&program.arguments);
        let mut environment = pointers(&program.environment);
        listeners.announce(&mut environment);
        let staged = [0, 1, 2].map(|i: usize| self.staging[i].as_raw_fd());
        let notes = Notes::new(program);
        let mut plan = Plan {
            program,
            notes: &notes,
            arguments: arguments.as_ptr(),
            environment: environment.as_ptr(),
            staged,
            first_unneeded: staged
                .into_iter()
                .chain(listeners.highest())
                .max()
                .map_or(3, |highest| highest + 1),
            listeners: &mut listeners,
            changed: *self.changed.get_or_insert_with(Changed::here),
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
        let cause = match (&program.user, self.stage) {
            (UserChange::Impossible { why, .. }, Stage::User) => why.clone(),
            _ => errno_name(self.errno).to_string(),
        };
        format!("{}{cause}", Notes::new(program).of(self.stage))
    }
}

/// What the child may have to say, put together while there still is an allocator.
struct Notes {
    descriptors: String,
    limits: String,
    user: String,
    impossible: Option<String>,
    directory: String,
    exec: String,
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
            descriptors: "couldn't take its descriptors: ".to_string(),
            limits: "couldn't set its limits: ".to_string(),
            user,
            impossible,
            directory: format!("couldn't chdir to {directory}: "),
            exec: format!("couldn't exec {}: ", program.written),
        }
    }

    fn of(&self, stage: Stage) -> &str {
        match stage {
            Stage::Descriptors => &self.descriptors,
            Stage::Limits => &self.limits,
            Stage::User => &self.user,
            Stage::Directory => &self.directory,
            Stage::Exec => &self.exec,
        }
    }
}

/// Everything the child reads, and the one thing it writes.
struct Plan<'a> {
    program: &'a Program,
    notes: &'a Notes,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    staged: [RawFd; 3],
    listeners: &'a mut Listeners,
    /// From here on every descriptor is somebody else's.
    first_unneeded: RawFd,
    changed: Changed,
    failure: Option<Failure>,
}

/// The child's whole life before exec.
extern "C" fn child_main(plan: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes its `Plan`, keeps it alive and does not touch it while this runs.
    let plan = unsafe { &mut *plan.cast::<Plan<'_>>() };
    // SAFETY: this is the child of a CLONE_VFORK, with every signal blocked.
    let stage = unsafe { become_program(plan) };
    let errno = errno();
    plan.failure = Some(Failure { stage, errno });
    complain(plan, stage, errno);
    // SAFETY: ends the child without running anything of the parent's.
    unsafe { libc::_exit(NOT_SPAWNED) }
}

/// Turns the child into its program. Returns only on failure: the stage, with errno set.
///
/// # Safety
/// Only in the child of `Spawner::spawn`: it changes descriptors, identity and signal handling of the
/// calling process.
unsafe fn become_program(plan: &mut Plan<'_>) -> Stage {
    let program = plan.program;
    // SAFETY: by this function's contract these change the child only. Every pointer comes from `plan`,
    // whose owner is held still, and every call is async-signal-safe or a bare system call.
    unsafe {
        // As Supervisor does: a group of its own, so that Ctrl-C on our terminal is not for it.
        libc::setpgid(0, 0);
        signals::default_dispositions_of(plan.changed);
        schedule::give_precedence_up();
        if !take_descriptors(plan) {
            return Stage::Descriptors;
        }
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
        match &program.user {
            UserChange::Stay => {}
            UserChange::Become(identity) if become_user(identity) => {}
            UserChange::Become(_) | UserChange::Impossible { .. } => return Stage::User,
        }
        // After the change of user, which clears it.
        if let Some(keeper) = program.dies_with {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // It may have ended before we asked.
            if libc::getppid() != keeper {
                libc::_exit(NOT_SPAWNED);
            }
        }
        if let Some(directory) = &program.directory
            && libc::chdir(directory.as_ptr()) != 0
        {
            return Stage::Directory;
        }
        if let Some(umask) = program.umask {
            libc::umask(umask as libc::mode_t);
        }
        signals::unblock_all();
        libc::execve(program.file.as_ptr(), plan.arguments, plan.environment);
    }
    Stage::Exec
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
        let how = if plan.listeners.count() == 0 { 0 } else { libc::CLOSE_RANGE_CLOEXEC };
        libc::syscall(
            libc::SYS_close_range,
            plan.staged.len() as libc::c_uint,
            libc::c_uint::MAX,
            how as libc::c_uint,
        );
        taken && plan.listeners.take()
    }
}

/// # Safety
/// In the child only.
unsafe fn become_user(identity: &Identity) -> bool {
    // The C library would change all threads of the process, ours included; the bare calls change the child.
    // SAFETY: the list of groups lives in `plan`; the rest are numbers and locals.
    unsafe {
        if libc::syscall(libc::SYS_setgroups, identity.groups.len(), identity.groups.as_ptr()) != 0
            || libc::syscall(libc::SYS_setresgid, identity.gid, identity.gid, identity.gid) != 0
            || libc::syscall(libc::SYS_setresuid, identity.uid, identity.uid, identity.uid) != 0
        {
            return false;
        }
        // Never run as somebody else than asked.
        let (mut real, mut effective, mut saved) = (0, 0, 0);
        libc::getresuid(&mut real, &mut effective, &mut saved) == 0
            && [real, effective, saved] == [identity.uid; 3]
            && libc::getgid() == identity.gid
            && libc::getegid() == identity.gid
    }
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
fn complain(plan: &Plan<'_>, stage: Stage, errno: i32) {
    let cause = match (&plan.notes.impossible, stage) {
        (Some(why), Stage::User) => why.as_str(),
        _ => errno_name(errno),
    };
    let parts =
        ["supervisor: ", plan.notes.of(stage), cause, "\nsupervisor: child process was not spawned\n"];
    for part in parts {
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
    use std::sync::atomic::Ordering;

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
            dies_with: None,
        }
    }

    /// Spawns with standard output and error going to a pipe, and returns what was written.
    fn run(program: &Program) -> (i32, Option<Failure>, String) {
        let mut spawner = Spawner::new().unwrap();
        let pipe = crate::sys::pipe::output().unwrap();
        let end = crate::sys::pipe::writing_end(&pipe, crate::sys::pipe::Ends::Own).unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let pid = AtomicI32::new(0);
        let stdio = Stdio { stdin: null.as_fd(), stdout: end.as_fd(), stderr: end.as_fd(), listeners: &[] };
        let (returned, failure) = spawner.spawn(program, stdio, &pid).unwrap();
        drop(end);
        rustix::io::ioctl_fionbio(&pipe, false).unwrap();
        let mut text = String::new();
        io::Read::read_to_string(&mut std::fs::File::from(pipe), &mut text).unwrap();
        assert_eq!(returned, pid.load(Ordering::SeqCst));
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
        assert_eq!(failure, Some(Failure { stage: Stage::Exec, errno: libc::ENOENT }));
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
        let script = "cat <&0; cat <&3; cat <&4; echo; echo $LISTEN_FDS $(($LISTEN_PID - $$))";
        let stdio = Stdio {
            stdin: zero.as_fd(),
            stdout: end.as_fd(),
            stderr: end.as_fd(),
            listeners: &[one.as_fd(), two.as_fd()],
        };
        let mut wanted = program("/bin/sh", &["sh", "-c", script]);
        wanted.environment = vec![c"PATH=/bin:/usr/bin".into()];
        let (_, failure) = spawner.spawn(&wanted, stdio, &AtomicI32::new(0)).unwrap();
        assert_eq!(failure, None);
        drop(end);
        rustix::io::ioctl_fionbio(&pipe, false).unwrap();
        let mut text = String::new();
        io::Read::read_to_string(&mut std::fs::File::from(pipe), &mut text).unwrap();
        assert_eq!(text, "zeroonetwo\n2 0\n");
    }
}
