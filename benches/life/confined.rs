//! The floor of programs with keys that confine: a bare loop whose children make the same system calls as the daemon's.
//!
//! It has as many threads as there are processors, as the daemon has, and each child borrows this process' memory until its
//! exec. What can be prepared once is: the filter of system calls and the rules about files. The daemon makes the rules
//! anew at each start, because another directory may lie at a path by then.

use crate::program::{Births, now, until_last};
use nix::sys::signal::Signal;
use std::ffi::{CString, c_int, c_void};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;
use supervisord::model::syscalls::SyscallPolicy;
use supervisord::sys::landlock::Rules;
use supervisord::sys::syscall_filter::{self, Filter};

/// What a child asks the kernel for before its exec.
#[derive(Clone, Copy, Default)]
pub struct Asks {
    /// `no_new_privs`, no capabilities, the filter for services.
    pub fewer_rights: bool,
    /// Rules about files.
    pub rules: bool,
    /// `/tmp` and a network of its own.
    pub namespaces: bool,
}

/// Everything a child reads.
struct Plan {
    asks: Asks,
    file: CString,
    arguments: [*const libc::c_char; 3],
    environment: [*const libc::c_char; 1],
    null: c_int,
    filter: libc::sock_fprog,
    ruleset: c_int,
}

/// Starts programs, kills them when all have told of their births, and returns the time until the last one did.
pub fn start(asks: Asks, number: usize) -> Duration {
    let mut births = Births::new();
    let words: Vec<CString> = births.command().iter().map(|word| c_string(word)).collect();
    let filter: Filter = syscall_filter::build(&SyscallPolicy::service()).expect("this machine is known");
    let ruleset = asks.rules.then(|| rules(births.directory(), &births.command()[0]));
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").expect("it is there");
    let last = words.last().expect("the pipe");
    let plan = Plan {
        asks,
        file: words[0].clone(),
        arguments: [words[0].as_ptr(), last.as_ptr(), std::ptr::null()],
        environment: [std::ptr::null()],
        null: null.as_raw_fd(),
        filter: libc::sock_fprog {
            len: u16::try_from(filter.len()).expect("the kernel takes 4,096"),
            filter: filter.as_ptr().cast_mut(),
        },
        ruleset: ruleset.as_ref().map_or(-1, AsRawFd::as_raw_fd),
    };
    assert_eq!(words.len(), 2, "the program is one file, and is told of one pipe");
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let begin = now();
    let pids: Vec<i32> = std::thread::scope(|scope| {
        let share = |at: usize| number * (at + 1) / n_threads - number * at / n_threads;
        let shared = Shared(&plan);
        let work = |at: usize| scope.spawn(move || spawn_all(shared, share(at)));
        let threads: Vec<_> = (0..n_threads).map(work).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it spawns")).collect()
    });
    let taken = until_last(begin, &births.take(number));
    for pid in pids {
        crate::support::kill(pid, Signal::SIGKILL);
        nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None).expect("our own child");
    }
    taken
}

/// The same rules as the daemon makes of `KEYS`.
fn rules(births: &Path, program: &Path) -> OwnedFd {
    let mut rules = Rules::new().expect("the kernel has Landlock");
    let reads = ["/usr", "/bin", "/lib", "/lib64"].map(Path::new).into_iter().chain([program]);
    let writes = [births, Path::new("/dev/null")];
    let all = reads.map(|path| (path, false)).chain(writes.map(|path| (path, true)));
    for (path, may_write) in all {
        if let Ok(place) = std::fs::File::open(path) {
            rules = rules.allow(place, may_write).expect("a rule");
        }
    }
    rules.into_fd().expect("there are rules")
}

/// A plan that several threads read.
#[derive(Clone, Copy)]
struct Shared<'a>(&'a Plan);

// SAFETY: nobody writes to it, and what it points to outlives the threads.
unsafe impl Send for Shared<'_> {}

fn spawn_all(plan: Shared<'_>, number: usize) -> Vec<i32> {
    const STACK: usize = 64 << 10;
    let mut stack = vec![0_u128; STACK / 16];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let spawn = |_| {
        let plan: *const Plan = plan.0;
        // SAFETY: the child has a stack and a plan of this frame, which stands still until the child's exec or end.
        let pid = unsafe {
            let top = stack.as_mut_ptr_range().end.cast::<c_void>();
            libc::clone(child, top, flags, plan.cast_mut().cast::<c_void>())
        };
        assert!(pid > 0, "a program can be started");
        pid
    };
    (0..number).map(spawn).collect()
}

extern "C" fn child(plan: *mut c_void) -> c_int {
    // SAFETY: see above; everything here is a system call on data that was put together before.
    unsafe {
        let plan = &*plan.cast::<Plan>();
        libc::setpgid(0, 0);
        for fd in 0..3 {
            libc::dup2(plan.null, fd);
        }
        let asks = plan.asks;
        let done = (!asks.namespaces || own_namespaces())
            && (!asks.fewer_rights || no_capabilities())
            && (!(asks.fewer_rights || asks.rules)
                || libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
            && (!asks.rules || libc::syscall(libc::SYS_landlock_restrict_self, plan.ruleset, 0) == 0)
            && (!asks.fewer_rights || {
                let mode = libc::SECCOMP_SET_MODE_FILTER;
                libc::syscall(libc::SYS_seccomp, mode, 0, &raw const plan.filter) == 0
            });
        if done {
            libc::execve(plan.file.as_ptr(), plan.arguments.as_ptr(), plan.environment.as_ptr());
        }
        libc::_exit(127)
    }
}

unsafe fn own_namespaces() -> bool {
    let null = std::ptr::null();
    let flags = libc::MS_NOSUID | libc::MS_NODEV;
    let options = c"mode=1777,size=10%,nr_inodes=400000".as_ptr().cast();
    // SAFETY: constants and plain data.
    unsafe {
        let cover = |path: &std::ffi::CStr| {
            libc::mount(c"tmpfs".as_ptr(), path.as_ptr(), c"tmpfs".as_ptr(), flags, options) == 0
        };
        let slave = libc::MS_REC | libc::MS_SLAVE;
        if libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWNET) != 0
            || libc::mount(c"none".as_ptr(), c"/".as_ptr(), null, slave, null.cast()) != 0
            || !cover(c"/tmp")
            || !cover(c"/var/tmp")
        {
            return false;
        }
        let socket = libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
        let is_up = libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw mut request) == 0;
        libc::close(socket);
        is_up
    }
}

unsafe fn no_capabilities() -> bool {
    // Version 3 and ourselves; two words of three sets, capset(2).
    let (header, nothing) = ([0x2008_0522_u32, 0], [0_u32; 6]);
    // SAFETY: numbers, and structures of the layout that the version stands for.
    unsafe {
        // Those that the kernel does not know end the list.
        let _ = (0..64).all(|number: libc::c_ulong| libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) == 0);
        libc::syscall(libc::SYS_capset, header.as_ptr(), nothing.as_ptr()) == 0
    }
}

fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no zero byte")
}
