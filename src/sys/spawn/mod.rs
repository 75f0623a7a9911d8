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

mod child;
mod failure;
mod progress;
mod stack;

pub use failure::Failure;
pub use progress::{Progress, Stage};

use crate::sys::confine::{Confine, KeptFds, Step};
use crate::sys::exec::pointers;
use crate::sys::limits::Limit;
use crate::sys::listeners::Listeners;
use crate::sys::process;
use crate::sys::settings::Setting;
use crate::sys::signals::{Blocked, Changed};
use crate::sys::user::{self, Identity};
use child::{Plan, child_main};
use failure::Notes;
use stack::Stack;
use std::ffi::{CString, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;

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

/// There are fewer steps than bits.
fn bit(place: usize) -> u64 {
    1_u64.checked_shl(place as u32).unwrap_or(0)
}

/// What is done to confine a program.
fn steps(program: &Program) -> &[Step] {
    program.confine.as_ref().map_or(&[], |confine| &confine.steps)
}

#[cfg(test)]
mod tests;
