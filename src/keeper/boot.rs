//! Turns the process that somebody started into the keeper, by exec in place.
//!
//! The process that read the command line and the configuration has memory full of both. It makes the shared memory,
//! puts what the manager needs to know into the vault, and executes its own binary again with the same pid and the same
//! arguments. The executed process finds the numbers of its descriptors in an environment variable; it is the keeper.

use crate::keeper::drain::Drain;
use crate::keeper::end::End;
use crate::keeper::guard::{self, GUARD_VARIABLE};
use crate::keeper::run::{Keeper, Kept, Manager};
use crate::keeper::upgrade::Upgrade;
use crate::keeper::watch::Watch;
use crate::model::time::Monotonic;
use crate::shm::handshake::{CHECK_VARIABLE, MANAGER_VARIABLE, numbers_from};
use crate::shm::layout::*;
use crate::shm::link::check_versions;
use crate::sys::exec::{self, ExecStrings};
use crate::sys::memory::{Mapping, ReadOnly};
use crate::sys::title::TitleArea;
use crate::sys::{clock, fd, process, signals};
use rustix::event::{EventfdFlags, eventfd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::atomic::Ordering::*;

/// Tells a freshly executed process that it is the keeper, and where its descriptors are.
pub(super) const KEEPER_VARIABLE: &str = "SUPERVISORD_KEEPER";

/// Variables between keeper and managers. They are never taken from whoever started the daemon.
const OUR_VARIABLES: [&str; 4] = [KEEPER_VARIABLE, MANAGER_VARIABLE, CHECK_VARIABLE, GUARD_VARIABLE];

/// Tells a candidate only to check whether it understands everything.
const CHECK_SETTING: &str = "SUPERVISORD_CHECK=1";

/// What the manager is called in lists of processes.
const MANAGER_TITLE: &str = "supervisord: manager";

/// What goes into the vault before the first manager starts.
pub struct Launch {
    /// How the daemon was started, written by the manager's side for itself.
    pub boot: OwnedFd,
    /// The lock that keeps a second daemon away.
    pub lock: Option<OwnedFd>,
    /// The pipe on which the process the shell waits for learns how the start went.
    pub launched: Option<OwnedFd>,
    /// The pipe on which it learns how everything ended.
    pub foreground_proxy: Option<OwnedFd>,
    /// The names of the files to be removed at the end, as in [`Place::Files`].
    pub files: Option<OwnedFd>,
}

/// Replaces this process by the keeper. Returns only if that failed.
pub fn become_keeper(launch: Launch) -> io::Error {
    match prepare(launch) {
        Ok((binary, arguments, environment)) => exec::replace_self(binary, &arguments, &environment),
        Err(error) => error,
    }
}

fn prepare(launch: Launch) -> io::Result<(OwnedFd, ExecStrings, ExecStrings)> {
    let (keeper_memory, shared) = Mapping::<KeeperMemory>::create("supervisord-keeper")?;
    let (manager_memory, memory) = Mapping::<ManagerMemory>::create("supervisord-manager")?;
    let binary = exec::open_own_binary()?;
    let (deposits, deposit_into) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let bell = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
    let inherited = Inherited {
        keeper_memory,
        manager_memory,
        deposits,
        deposit_into,
        doorbell: bell()?,
        manager_doorbell: bell()?,
        binary: rustix::io::fcntl_dupfd_cloexec(&binary, 3)?,
        launched: launch.launched,
    };

    let shared = shared.get();
    shared.layout.store(LAYOUT, Relaxed);
    shared.keeper_pid.store(process::own_pid(), Relaxed);
    put(shared, Place::Boot, launch.boot)?;
    put(shared, Place::Binary, rustix::io::fcntl_dupfd_cloexec(&binary, 3)?)?;
    if let Some(lock) = launch.lock {
        put(shared, Place::Lock, lock)?;
    }
    if let Some(foreground_proxy) = launch.foreground_proxy {
        put(shared, Place::ForegroundProxy, foreground_proxy)?;
    }
    if let Some(files) = launch.files {
        put(shared, Place::Files, files)?;
    }
    shared.magic.store(KEEPER_MAGIC, Release);
    let memory = memory.get();
    memory.layout.store(LAYOUT, Relaxed);
    memory.magic.store(MANAGER_MAGIC, Release);

    let arguments = std::env::args_os().map(c_string).collect::<io::Result<Vec<_>>>()?;
    let environment = keeper_environment(&inherited.leave_open()?)?;
    Ok((binary, ExecStrings::new(arguments), environment))
}

/// Puts a descriptor into the vault, open across exec.
fn put(shared: &KeeperMemory, place: Place, held: OwnedFd) -> io::Result<()> {
    fd::set_cloexec(&held, false)?;
    // Every place has an index inside the vault; see the test in `layout`.
    shared.vault[place.index() as usize].store(held.into_raw_fd() + 1, Release);
    Ok(())
}

/// The keeper's descriptors, on their way through exec.
struct Inherited {
    keeper_memory: OwnedFd,
    manager_memory: OwnedFd,
    deposits: OwnedFd,
    deposit_into: OwnedFd,
    doorbell: OwnedFd,
    manager_doorbell: OwnedFd,
    binary: OwnedFd,
    launched: Option<OwnedFd>,
}

impl Inherited {
    /// Where the next keeper finds them: the order of [`Inherited::find`], −1 for none.
    fn numbers(&self, launched: Option<&OwnedFd>) -> [RawFd; 8] {
        [
            self.keeper_memory.as_raw_fd(),
            self.manager_memory.as_raw_fd(),
            self.deposits.as_raw_fd(),
            self.deposit_into.as_raw_fd(),
            self.doorbell.as_raw_fd(),
            self.manager_doorbell.as_raw_fd(),
            self.binary.as_raw_fd(),
            launched.map_or(-1, AsRawFd::as_raw_fd),
        ]
    }

    /// Lets all of them live through exec and returns their numbers.
    fn leave_open(self) -> io::Result<[RawFd; 8]> {
        let numbers = self.numbers(self.launched.as_ref());
        let all = [
            Some(self.keeper_memory),
            Some(self.manager_memory),
            Some(self.deposits),
            Some(self.deposit_into),
            Some(self.doorbell),
            Some(self.manager_doorbell),
            Some(self.binary),
            self.launched,
        ];
        for held in all.into_iter().flatten() {
            fd::set_cloexec(&held, false)?;
            let _ = held.into_raw_fd();
        }
        Ok(numbers)
    }

    /// Finds them again. `None` if this process was not executed to be the keeper.
    fn find() -> Option<Inherited> {
        let numbers = numbers_from(KEEPER_VARIABLE, process::own_pid())?;
        let [a, b, c, d, e, f, g, launched] = <[RawFd; 8]>::try_from(numbers).ok()?;
        // SAFETY: the variable names this very process, so the one before the exec has left these numbers open in it, each
        // for one purpose; this is called once, before anything else is opened.
        let adopt = |number| unsafe { fd::adopt(number) };
        Some(Inherited {
            keeper_memory: adopt(a)?,
            manager_memory: adopt(b)?,
            deposits: adopt(c)?,
            deposit_into: adopt(d)?,
            doorbell: adopt(e)?,
            manager_doorbell: adopt(f)?,
            binary: adopt(g)?,
            launched: adopt(launched),
        })
    }
}

/// Runs the keeper, if this process was executed to be one: how that ended.
pub fn run_if_keeper() -> Option<Kept> {
    let inherited = Inherited::find()?;
    // Writing beyond a limit is to fail, and not to be a signal for us to tell about.
    signals::ignore_write_signals();
    Some(match assemble(inherited) {
        Ok(keeper) => keeper.run(),
        Err(error) => {
            eprintln!("Error: the keeper cannot start: {error}");
            Kept::Ended(1)
        }
    })
}

fn assemble(inherited: Inherited) -> io::Result<Keeper> {
    fd::fill_stdio()?;
    process::set_own_name(c"supervisord");
    // What a program has put into the background stays findable: nobody else collects it.
    process::adopt_orphans();
    let shared = Mapping::<KeeperMemory>::map(&inherited.keeper_memory)?;
    let manager_memory = Mapping::<ManagerMemory<ReadOnly>>::map(&inherited.manager_memory)?;
    check_versions(shared.get(), manager_memory.get())?;

    // What follows is for us alone; everything else stays open for the managers.
    for private in [Some(&inherited.deposits), Some(&inherited.binary), inherited.launched.as_ref()]
        .into_iter()
        .flatten()
    {
        fd::set_cloexec(private, true)?;
    }
    let signals = block_signals()?;
    lock_memory();
    let now = clock::monotonic();
    let manager = match shared.get().manager_pid.load(Acquire) {
        0 => None,
        pid => Some(Manager { pid, since: now }),
    };
    let handed_on = [
        &inherited.keeper_memory,
        &inherited.manager_memory,
        &inherited.deposit_into,
        &inherited.doorbell,
        &inherited.manager_doorbell,
    ];
    let manager_environment = manager_environment(&handed_on, &[])?;
    let check_environment = self::manager_environment(&handed_on, &[CHECK_SETTING])?;
    let upgrades_begun = manager_memory.get().upgrades_wanted.load(Acquire);
    let keeper = Keeper {
        is_guarded: process::is_closed(),
        check_environment,
        keeper_arguments: ExecStrings::new(std::env::args_os().map(c_string).collect::<io::Result<_>>()?),
        keeper_environment: keeper_environment(&inherited.numbers(None))?,
        binary_number: inherited.binary.as_raw_fd(),
        binary_is_own: exec::is_own_binary(&inherited.binary),
        title: TitleArea::find(),
        former_binary: None,
        upgrade: Upgrade::None,
        upgrades_begun,
        detached: None,
        shared,
        manager_memory,
        manager_arguments: manager_arguments()?,
        manager_environment,
        deposits: inherited.deposits,
        doorbell: inherited.doorbell,
        manager_doorbell: inherited.manager_doorbell,
        signals,
        binary: inherited.binary,
        launched: inherited.launched,
        manager,
        dead_manager: None,
        died_young: 0,
        ended_early: 0,
        restart_at: now,
        last_sweep: Monotonic(0),
        sweep_due: true,
        drain: Drain::new()?,
        end: End::default(),
        watch: Watch::new()?,
    };
    // The managers find these by number for as long as this process lives.
    for handed_on in [inherited.keeper_memory, inherited.manager_memory, inherited.deposit_into] {
        let _ = handed_on.into_raw_fd();
    }
    Ok(keeper)
}

/// The manager shows up under its own name, followed by the daemon's options.
fn manager_arguments() -> io::Result<ExecStrings> {
    let title = std::iter::once(OsString::from(MANAGER_TITLE));
    let arguments = title.chain(std::env::args_os().skip(1)).map(c_string).collect::<io::Result<Vec<_>>>()?;
    Ok(ExecStrings::new(arguments))
}

fn keeper_environment(numbers: &[RawFd]) -> io::Result<ExecStrings> {
    let mut environment = passed_on_environment(process::own_pid())?;
    let mut value = format!("{KEEPER_VARIABLE}={}", process::own_pid());
    for number in numbers {
        value.push_str(&format!(" {number}"));
    }
    environment.push(c_string(OsString::from(value))?);
    Ok(ExecStrings::new(environment))
}

fn manager_environment(handed_on: &[&OwnedFd], settings: &[&str]) -> io::Result<ExecStrings> {
    let mut environment = passed_on_environment(process::own_pid())?;
    for setting in settings {
        environment.push(c_string(OsString::from(setting))?);
    }
    let mut value = format!("{MANAGER_VARIABLE}={}", process::own_pid());
    for fd in handed_on {
        value.push_str(&format!(" {}", fd.as_raw_fd()));
    }
    environment.push(c_string(OsString::from(value))?);
    Ok(ExecStrings::new(environment))
}

/// This process' environment, `KEY=value` each, for whoever `keeper`, or a process that becomes it, executes.
///
/// # Errors
/// The environment or the pid cannot be written as a C string: it contains a zero.
pub fn passed_on_environment(keeper: i32) -> io::Result<Vec<CString>> {
    given_environment()
        .into_iter()
        .map(|(mut key, value)| {
            key.push("=");
            key.push(value);
            key
        })
        .chain(guard::setting(keeper))
        .map(c_string)
        .collect()
}

/// The environment that whoever started the daemon gave it.
pub fn given_environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().filter(|(key, _)| !OUR_VARIABLES.iter().any(|name| key == OsStr::new(name))).collect()
}

fn c_string(text: OsString) -> io::Result<CString> {
    debug_assert!(
        !text.as_bytes().contains(&0),
        "arguments and environment come from exec, which ends at zeros"
    );
    CString::new(text.into_vec()).map_err(io::Error::from)
}

/// Blocks every signal and makes them readable. SIGCHLD from programs comes this way, too.
pub(super) fn block_signals() -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the first call initialises the set that the others read; a non-negative result of signalfd is
    // a fresh descriptor that nobody else owns.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut());
        let number = libc::signalfd(-1, all.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if number < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(number)) }
    }
}

/// Keeps the kernel from paging the keeper out, where it may.
///
/// Only what is in use now: locking what is mapped later would fault in the whole shared memory.
fn lock_memory() {
    const MLOCK_ONFAULT: libc::c_int = 4;
    // SAFETY: changes how the kernel treats our pages, not what is in them.
    unsafe {
        libc::mlockall(libc::MCL_CURRENT | MLOCK_ONFAULT);
    }
}
