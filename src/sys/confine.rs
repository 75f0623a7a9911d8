//! Confines a program, between its clone and its exec.
//!
//! Everything is put together beforehand as a list of [`Step`]s; the child carries them out by bare system calls on that
//! data. The order is a matter of which right a step takes and which it takes away:
//!
//! 1. Namespaces ([`Moment::First`]): they take CAP_SYS_ADMIN, or a user namespace, which gives it. What the program is
//!    to see must be in place before its files are looked up.
//! 2. Limits and ranks, which take rights of the daemon's user (`settings`).
//! 3. The bounding set ([`Moment::BeforeUser`]): it takes CAP_SETPCAP, which the change of user takes away. The kernel is
//!    told here to keep the permitted ones over that change if some are to stay.
//! 4. The change of user.
//! 5. What is left of the permitted, inheritable and ambient capabilities ([`Moment::AfterUser`]): ambient ones must be
//!    both of the others, and the change of user clears them.
//! 6. `no_new_privs`, then Landlock, then seccomp ([`Moment::Last`]). The last two need the first or CAP_SYS_ADMIN. Landlock
//!    forbids mounts and opening what is not listed, so it comes behind both; seccomp may forbid everything above, and lets
//!    through the exec that follows.

use crate::sys::capabilities::{self, CAP_SYS_ADMIN, Kept};
use crate::sys::syscall_filter::Filter;
use std::ffi::{CString, c_int, c_long, c_void};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// All that is done to confine one program.
#[derive(Clone, Debug, Default)]
pub struct Confine {
    /// In their order.
    pub steps: Vec<Step>,
    /// The rules about files, for [`Act::Files`] and [`Act::PrivateTmp`].
    pub ruleset: Option<Arc<OwnedFd>>,
    /// Whose namespaces are joined, for [`Act::Join`].
    pub pidfd: Option<Arc<OwnedFd>>,
    /// Capabilities are kept over the change of user; [`Act::Capabilities`] says what becomes of them.
    pub keeps_capabilities: bool,
    /// What was wished for and is known beforehand not to work: the key and why.
    pub without: Vec<String>,
}

/// One thing to do.
#[derive(Clone, Debug)]
pub struct Step {
    /// What.
    pub act: Act,
    /// The key that asks for it.
    pub key: &'static str,
    /// The program starts though it fails.
    pub is_optional: bool,
}

impl Confine {
    /// What system calls are filtered by.
    pub fn filter(&self) -> Option<&Filter> {
        self.steps.iter().find_map(|step| match &step.act {
            Act::SystemCalls(filter) => Some(filter),
            _ => None,
        })
    }
}

/// When a step is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before limits.
    First,
    /// Before the change of user.
    BeforeUser,
    /// After it.
    AfterUser,
    /// Before the exec.
    Last,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Act {
    /// Joins namespaces of the process behind the pidfd, setns(2): `CLONE_NEW*`.
    Join(c_int),
    /// Makes a user namespace that knows one user and one group, under their own numbers.
    UserNamespace {
        /// The text for `/proc/self/uid_map`, user_namespaces(7).
        uid_map: CString,
        /// The text for `/proc/self/gid_map`.
        gid_map: CString,
    },
    /// Makes a mount namespace in which `/tmp` and `/var/tmp` are empty.
    PrivateTmp(Box<PrivateTmp>),
    /// Makes a network namespace and sets its loopback up.
    PrivateNetwork,
    /// Takes these capabilities out of the bounding set, a bit for each.
    Bounding(u64),
    /// Keeps the permitted capabilities over the change of user.
    Keep,
    /// Says what is left of the other sets.
    Capabilities(Kept),
    /// Forbids to gain anything by an exec, for good.
    NoNewPrivileges,
    /// Confines files, Landlock.
    Files,
    /// Confines system calls: a program for seccomp(2).
    SystemCalls(Filter),
}

/// What [`Act::PrivateTmp`] works with.
#[derive(Clone, Debug)]
pub struct PrivateTmp {
    /// Where an empty file system is mounted, if the directory is there.
    pub directories: Vec<CString>,
    /// Its options, tmpfs(5).
    pub options: CString,
    /// A socket below one of those that the program must find there.
    pub socket: Option<Bound>,
    /// What Landlock lets the program do in its own directories: everything that it knows.
    pub access: u64,
}

/// A file that is still to be found below an empty file system.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Where it is.
    pub path: CString,
    /// The directories above it that have to be made, the highest first.
    pub parents: Vec<CString>,
}

/// Descriptors that a child needs until its exec, as they are numbered there; -1 for none.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeptFds {
    pub ruleset: RawFd,
    pub pidfd: RawFd,
}

impl KeptFds {
    pub(super) fn of(confine: Option<&Confine>) -> KeptFds {
        let number = |fd: Option<&Arc<OwnedFd>>| fd.map_or(-1, |fd| fd.as_raw_fd());
        KeptFds {
            ruleset: number(confine.and_then(|it| it.ruleset.as_ref())),
            pidfd: number(confine.and_then(|it| it.pidfd.as_ref())),
        }
    }

    pub(super) fn highest(self) -> Option<RawFd> {
        Some(self.ruleset.max(self.pidfd)).filter(|fd| *fd >= 0)
    }

    /// Moves them above a number, so that nothing else is put in their places. Whether that worked.
    ///
    /// # Safety
    /// In the child only, with a table of descriptors of its own.
    pub(super) unsafe fn move_above(&mut self, number: RawFd) -> bool {
        for fd in [&mut self.ruleset, &mut self.pidfd] {
            if *fd >= 0 {
                // SAFETY: a copy under another number, closed by exec.
                *fd = unsafe { libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, number + 1) };
                if *fd < 0 {
                    return false;
                }
            }
        }
        true
    }
}

impl Step {
    pub(super) fn moment(&self) -> Moment {
        match self.act {
            Act::Join(_) | Act::UserNamespace { .. } | Act::PrivateTmp(_) | Act::PrivateNetwork => {
                Moment::First
            }
            Act::Bounding(_) | Act::Keep => Moment::BeforeUser,
            Act::Capabilities(_) => Moment::AfterUser,
            Act::NoNewPrivileges | Act::Files | Act::SystemCalls(_) => Moment::Last,
        }
    }

    /// The capability that it takes.
    pub(super) fn capability(&self) -> Option<u32> {
        match self.act {
            Act::Join(_) | Act::PrivateTmp(_) | Act::PrivateNetwork => Some(CAP_SYS_ADMIN),
            Act::Bounding(_) => Some(capabilities::CAP_SETPCAP),
            _ => None,
        }
    }

    /// What is said if it fails: before the error and behind it.
    pub(super) fn note(&self) -> (String, &'static str) {
        let lack = match self.act {
            Act::UserNamespace { .. } => {
                " (CAP_SYS_ADMIN is missing, and without it this takes a user namespace and /proc)"
            }
            Act::Join(_) | Act::PrivateTmp(_) | Act::PrivateNetwork => " (CAP_SYS_ADMIN is missing)",
            Act::Bounding(_) => " (CAP_SETPCAP is missing)",
            Act::Capabilities(_) => " (the daemon does not have all of them)",
            _ => "",
        };
        (format!("couldn't set {}: ", self.key), lack)
    }

    /// Whether what stands behind the error is so whichever capabilities there are.
    pub(super) fn always_lacks(&self) -> bool {
        matches!(self.act, Act::UserNamespace { .. } | Act::Capabilities(_))
    }

    /// Carries it out on the calling process; false with errno set if that is refused.
    ///
    /// # Safety
    /// In the child of a spawn only, with a table of descriptors of its own: it changes the calling process.
    pub(super) unsafe fn apply(&self, kept: KeptFds) -> bool {
        // SAFETY: numbers, and pointers to what `self` holds; by this function's contract nobody else is concerned.
        unsafe {
            match &self.act {
                Act::Join(flags) => libc::setns(kept.pidfd, *flags) == 0,
                Act::UserNamespace { uid_map, gid_map } => {
                    // An ordinary user may map its own group only if no other can be had any more (setgroups(2)).
                    libc::unshare(libc::CLONE_NEWUSER) == 0
                        && write(c"/proc/self/setgroups", c"deny")
                        && write(c"/proc/self/gid_map", gid_map)
                        && write(c"/proc/self/uid_map", uid_map)
                }
                Act::PrivateTmp(tmp) => tmp.make(kept.ruleset),
                Act::PrivateNetwork => libc::unshare(libc::CLONE_NEWNET) == 0 && set_loopback_up(),
                Act::Bounding(dropped) => capabilities::drop_from_bounding(*dropped),
                Act::Keep => libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0,
                Act::Capabilities(kept) => {
                    capabilities::keep(*kept) || {
                        // Nobody is to go on with what was kept over the change of user.
                        let errno = *libc::__errno_location();
                        if kept.only_ambient && !capabilities::drop_all() {
                            libc::_exit(127);
                        }
                        *libc::__errno_location() = errno;
                        false
                    }
                }
                Act::NoNewPrivileges => forbid_new_privileges(),
                Act::Files => {
                    has_right_to_confine()
                        && libc::syscall(libc::SYS_landlock_restrict_self, kept.ruleset, 0) == 0
                }
                Act::SystemCalls(filter) => {
                    // The layout of the kernel's structure for it, seccomp(2).
                    let program = libc::sock_fprog {
                        len: filter.len() as libc::c_ushort,
                        filter: filter.as_ptr().cast_mut(),
                    };
                    has_right_to_confine()
                        && libc::syscall(
                            libc::SYS_seccomp,
                            libc::SECCOMP_SET_MODE_FILTER as c_long,
                            0,
                            &raw const program,
                        ) == 0
                }
            }
        }
    }
}

/// Without CAP_SYS_ADMIN nobody may confine himself who could gain privileges by an exec: the program that he would gain
/// them from is not made for being confined.
unsafe fn has_right_to_confine() -> bool {
    // SAFETY: changes the calling process, which is the child.
    capabilities::is_effective(CAP_SYS_ADMIN) || unsafe { forbid_new_privileges() }
}

unsafe fn forbid_new_privileges() -> bool {
    // SAFETY: numbers; changes the calling process, which is the child.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 }
}

/// From the kernel's `mount.h`.
const OPEN_TREE_CLONE: c_int = 1;
const MOVE_MOUNT_F_EMPTY_PATH: c_int = 4;
/// From the kernel's `landlock.h`.
const LANDLOCK_RULE_PATH_BENEATH: c_int = 1;

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent_fd: c_int,
}

impl PrivateTmp {
    /// # Safety
    /// In the child only.
    unsafe fn make(&self, ruleset: RawFd) -> bool {
        let mut directory = [0_u8; libc::PATH_MAX as usize];
        // SAFETY: valid pointers and lengths, all of them to what `self` or this frame holds.
        unsafe {
            if libc::unshare(libc::CLONE_NEWNS) != 0 {
                return false;
            }
            // Nothing that is mounted here is to be seen outside; what is mounted and unmounted outside is to be seen here.
            let flags = libc::MS_REC | libc::MS_SLAVE;
            let null = std::ptr::null::<c_void>();
            if libc::mount(c"none".as_ptr(), c"/".as_ptr(), std::ptr::null(), flags, null) != 0 {
                return false;
            }
            let mut socket = -1;
            if let Some(bound) = &self.socket {
                let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC;
                socket =
                    libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, bound.path.as_ptr(), flags) as c_int;
                if socket < 0 {
                    return false;
                }
            }
            let is_known = !libc::getcwd(directory.as_mut_ptr().cast(), directory.len()).is_null();
            for path in &self.directories {
                if !self.cover(path, ruleset) {
                    return false;
                }
            }
            // Where we are may lie below what is covered now: nobody is to get there by `..`.
            if !is_known || libc::chdir(directory.as_ptr().cast()) != 0 {
                libc::chdir(c"/".as_ptr());
            }
            self.socket.as_ref().is_none_or(|bound| bound.put(socket))
        }
    }

    /// Mounts an empty file system over a directory, if that is there.
    unsafe fn cover(&self, path: &CString, ruleset: RawFd) -> bool {
        let flags = libc::MS_NOSUID | libc::MS_NODEV;
        // SAFETY: as above.
        unsafe {
            let options = self.options.as_ptr().cast::<c_void>();
            if libc::mount(c"tmpfs".as_ptr(), path.as_ptr(), c"tmpfs".as_ptr(), flags, options) != 0 {
                return *libc::__errno_location() == libc::ENOENT;
            }
            if ruleset < 0 {
                return true;
            }
            let parent_fd = libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC);
            if parent_fd < 0 {
                return false;
            }
            let rule = PathBeneath { allowed_access: self.access, parent_fd };
            let number = libc::SYS_landlock_add_rule;
            let added = libc::syscall(number, ruleset, LANDLOCK_RULE_PATH_BENEATH, &raw const rule, 0) == 0;
            close(parent_fd);
            added
        }
    }
}

impl Bound {
    /// # Safety
    /// In the child only; takes the descriptor.
    unsafe fn put(&self, tree: RawFd) -> bool {
        // SAFETY: valid pointers to what `self` holds.
        unsafe {
            for directory in &self.parents {
                libc::mkdir(directory.as_ptr(), 0o755);
            }
            let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_CLOEXEC | libc::O_NOFOLLOW;
            let file = libc::open(self.path.as_ptr(), flags, 0o600);
            if file < 0 {
                return false;
            }
            close(file);
            let moved = libc::syscall(
                libc::SYS_move_mount,
                tree,
                c"".as_ptr(),
                libc::AT_FDCWD,
                self.path.as_ptr(),
                MOVE_MOUNT_F_EMPTY_PATH,
            ) == 0;
            close(tree);
            moved
        }
    }
}

/// Sets `lo` up in the network namespace of the calling process.
unsafe fn set_loopback_up() -> bool {
    // SAFETY: a structure of plain data, for which zeroes are valid; the calls get pointers to it.
    unsafe {
        // Every kind of socket knows these requests, and this kind is always there.
        let socket = libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return false;
        }
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        let mut is_up = libc::ioctl(socket, libc::SIOCGIFFLAGS as _, &raw mut request) == 0;
        if is_up {
            request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
            is_up = libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw mut request) == 0;
        }
        close(socket);
        is_up
    }
}

/// Writes a small file of the kernel's at once; false with errno set if that fails.
unsafe fn write(path: &std::ffi::CStr, text: &std::ffi::CStr) -> bool {
    // SAFETY: valid pointers and lengths; the descriptor is closed again.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return false;
        }
        let bytes = text.to_bytes();
        let written = libc::write(fd, bytes.as_ptr().cast(), bytes.len());
        close(fd);
        written == bytes.len() as isize
    }
}

/// Closes a descriptor and leaves errno as it is.
unsafe fn close(fd: RawFd) {
    // SAFETY: the location is this thread's and always valid; the descriptor is the caller's.
    unsafe {
        let errno = *libc::__errno_location();
        libc::close(fd);
        *libc::__errno_location() = errno;
    }
}
