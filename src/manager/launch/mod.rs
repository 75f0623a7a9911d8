//! The process that somebody started, up to the point where it becomes the keeper.
//!
//! Whatever can go wrong before the daemon is up is printed on the terminal, with exit status 2. In the background that
//! works because the shell's prompt is held back until the first manager is ready.

pub mod lock;
pub mod pidfile;
mod strangers;

use crate::config::args::DaemonArgs;
use crate::config::{self, Surroundings};
use crate::files::location::removable;
use crate::keeper::boot::{Launch, become_keeper};
use crate::keeper::foreground_proxy::hold_signals;
use crate::manager::boot::{self, Boot};
use crate::manager::launch::lock::{Lock, Taken};
use crate::manager::launch::strangers::named_by;
use crate::manager::life::resume::{Resumption, resume, stand_in};
use crate::model::config::{Config, Level, Message};
use crate::model::visible::for_stream;
use crate::sys::daemonize::{Fork, fork};
use crate::sys::limits::{self, Limit, Limited};
use crate::sys::{fd, pidfd, process, signals, user};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How long what is left of a daemon whose keeper was killed may take to be gone.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// Runs the daemon. In the foreground this does not return; in the background it returns in the process that
/// the shell waits for.
pub fn daemon_main(args: DaemonArgs) -> ExitCode {
    let progname = args.progname.clone();
    match launch(args) {
        Ok(status) => ExitCode::from(status),
        Err(text) => {
            eprint!("{}", for_stream(&std::io::stderr(), &text));
            if !text.contains("\nFor help, use ") {
                eprintln!("For help, use {progname} -h");
            }
            ExitCode::from(2)
        }
    }
}

/// # Errors
/// What to print; a usage error.
fn launch(mut args: DaemonArgs) -> Result<u8, String> {
    fd::fill_stdio().map_err(|error| format!("Error: cannot open /dev/null: {error}\n"))?;
    let strangers = fd::Strangers::find().map_err(|error| {
        format!(
            "Error: cannot read /proc/self/fd: {error}.  The daemon executes itself again, and finds its programs, by \
             /proc: mount it first (mount -t proc proc /proc).\n"
        )
    })?;
    // Whatever the caller ignored or blocked is no business of the daemon's or its programs'.
    signals::reset_all();
    // A limit on the size of files is an error to be told, not a death.
    signals::ignore_write_signals();
    let surroundings = Surroundings::of_this_process();
    if let Some(warning) = config::root_warning(&args, &surroundings) {
        eprintln!("{}: UserWarning: {warning}", args.progname);
    }
    let mut config =
        config::load_at_start(&args, &surroundings).map_err(|errors| errors.usage_error(&args.progname))?;
    let kept_descriptors = strangers.keep(&named_by(&config));
    // Rereads happen after a change of directory.
    args.configuration = Some(config.path.to_string_lossy().into_owned());

    let descriptors = raise_limits(&mut config)?;
    let file_size = lift_file_size(&mut config);
    let oom_score_adj = protect_from_oom();
    // PID 1 has nobody to hand the terminal back to, and its end would be the container's.
    let background = !config.supervisord.nodaemon && process::own_pid() != 1;
    if let Some(wanted) = config.supervisord.user.clone() {
        user::become_user(wanted.uid, wanted.is_number()).map_err(|why| {
            let place = wanted.place.as_ref().map_or_else(String::new, |place| format!("At {place}\n"));
            format!("Error: {why}\n{place}")
        })?;
        config.messages.push(info(format!("Set uid to user {} succeeded", wanted.uid)));
    } else if user::is_root() {
        let text = "Supervisor is running as root.  Privileges were not dropped because no user is \
                    specified in the config file.  If you intend to run as root, you can set user=root \
                    in the config file to avoid this message.";
        config.messages.push(Message { level: Level::Critical, text: text.to_string() });
    }

    let current_dir = surroundings.current_dir.clone();
    let binary = surroundings.executable.clone();
    // The keeper may stay when the daemon ends, so it is not who is waited for.
    let has_foreground_proxy = !background && !config.supervisord.exitkillall && process::own_pid() != 1;
    let make_boot = |config, has_foreground_proxy, work_dir, kept_descriptors| {
        store(&Boot {
            args,
            binary,
            current_dir,
            descriptors,
            file_size,
            oom_score_adj,
            background,
            has_foreground_proxy,
            work_dir,
            kept_descriptors,
            config,
        })
    };
    let mut lock = match take_lock(&mut config) {
        Some(Taken::Ours(lock)) => Some(lock),
        Some(Taken::Nowhere) | None => None,
        Some(Taken::Held { by }) => {
            let pidfile = config.supervisord.pidfile.clone();
            set_umask(&mut config, background);
            if background {
                change_directory(&mut config);
            }
            // The keeper has descriptors of its own under these numbers.
            let boot = make_boot(config, !background, std::env::current_dir().ok(), Vec::new())?;
            let resumption = Resumption { pidfile: &pidfile, keeper: by.unwrap_or(0), boot, background };
            return resume(resumption)?.ok_or_else(|| already_running(&pidfile, by));
        }
    };
    let pidfile = config.supervisord.pidfile.clone();
    let boot = |config| make_boot(config, has_foreground_proxy, None, kept_descriptors);
    let result = become_daemon(config, lock.as_mut(), (background, has_foreground_proxy), boot);
    if let (Err(_), Some(lock)) = (&result, &mut lock) {
        // It may name a daemon of old.
        let _ = lock.write_pid(process::own_pid());
        lock::remove(&pidfile, process::own_pid());
    }
    result
}

/// Becomes the keeper. If another process does, because somebody waits for this one, that returns its exit status.
///
/// # Errors
/// What to print. There is no daemon then.
fn become_daemon(
    mut config: Config,
    lock: Option<&mut Lock>,
    (background, has_foreground_proxy): (bool, bool),
    make_boot: impl FnOnce(Config) -> Result<OwnedFd, String>,
) -> Result<u8, String> {
    let cannot_start = |error: std::io::Error| format!("Error: cannot start the keeper: {error}\n");
    let cannot_fork = |what: &'static str| {
        move |error: std::io::Error| format!("Error: {what}: {error}{}\n", limits::advice(&error))
    };
    let (mut launched, mut foreground_proxy) = (None, None);
    if background {
        match fork().map_err(cannot_fork("cannot go to the background"))? {
            Fork::Parent(waiting) => return Ok(waiting.wait()),
            Fork::Child(pipe) => launched = Some(pipe),
        }
        config.messages.push(info("daemonizing the supervisord process".to_string()));
        change_directory(&mut config);
    } else if has_foreground_proxy {
        let held = hold_signals().map_err(cannot_start)?;
        match fork().map_err(cannot_fork("cannot start the keeper"))? {
            Fork::Parent(keeper) => return Ok(stand_in(&held, keeper)),
            Fork::Child(pipe) => foreground_proxy = Some(pipe),
        }
    }
    set_umask(&mut config, background);
    // Closed by exec.
    let waiting = launched.as_ref().or(foreground_proxy.as_ref()).and_then(|pipe| pipe.try_clone().ok());
    let start = || {
        let lock_path = lock::path_beside(&config.supervisord.pidfile);
        let (mut held, mut files) = (None, None);
        if let Some(lock) = lock {
            if let Err(error) = lock.write_pid(process::own_pid()) {
                // It is held all the same; only whoever meets it does not learn by whom.
                let text = format!("could not write the pid into {}: {error}", lock_path.display());
                config.messages.push(Message { level: Level::Critical, text });
            }
            held = Some(lock.share().map_err(cannot_start)?);
            let paths: Vec<PathBuf> = removable(&lock_path).into_iter().collect();
            files = Some(boot::list_of_files(&paths).map_err(cannot_start)?);
        }
        let boot = make_boot(config)?;
        Err(cannot_start(become_keeper(Launch { boot, lock: held, launched, foreground_proxy, files })))
    };
    let failure = start();
    if let Some(waiting) = waiting {
        let _ = rustix::io::write(waiting, &[2]);
    }
    failure
}

fn store(boot: &Boot<Config>) -> Result<OwnedFd, String> {
    boot::write("supervisord-boot", boot)
        .map_err(|error| format!("Error: cannot store how the daemon was started: {error}\n"))
}

fn info(text: String) -> Message {
    Message { level: Level::Info, text }
}

/// Sets the umask that was asked for. If none was, that of the background is the usual one; in the foreground whoever
/// started the daemon has said enough.
fn set_umask(config: &mut Config, background: bool) {
    let set = |mask: u32| rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask)).as_raw_mode();
    let inherited = set(config.supervisord.umask);
    if !background && !config.supervisord.umask_is_given {
        config.supervisord.umask = inherited;
        set(inherited);
    }
}

/// Makes sure that no other daemon runs on the same pidfile. Where no lock can be made, the sockets still
/// keep a second daemon away.
fn take_lock(config: &mut Config) -> Option<Taken> {
    let pidfile = &config.supervisord.pidfile;
    let mut taken = lock::take(pidfile);
    if let Ok(Taken::Held { by: Some(pid) }) = taken
        && !pidfd::is_alive(pid)
    {
        // Its manager holds the lock, too, and is just about to follow a keeper that was killed.
        lock::wait_until_free(pidfile, LAST_BREATH);
        taken = lock::take(pidfile);
    }
    taken
        .inspect_err(|error| {
            let text = format!("could not lock {}: {error}", lock::path_beside(pidfile).display());
            config.messages.push(Message { level: Level::Warn, text });
        })
        .ok()
}

fn already_running(pidfile: &Path, by: Option<i32>) -> String {
    let holder = by.map_or_else(|| "pid unknown".to_string(), |pid| format!("pid {pid}"));
    let path = lock::path_beside(pidfile);
    format!(
        "Error: Another supervisord ({holder}) is already running with this pidfile; it holds the \
         lock {}.  Shut it down first, or give this one a pidfile of its own.\n",
        path.display()
    )
}

/// As in Supervisor a directory that is not there does not keep the daemon from starting.
fn change_directory(config: &mut Config) {
    let Some(directory) = &config.supervisord.directory else { return };
    let shown = config::repr(&directory.to_string_lossy());
    let message = match std::env::set_current_dir(directory) {
        Ok(()) => info(format!("set current directory: {shown}")),
        Err(error) => Message { level: Level::Critical, text: format!("can't chdir into {shown}: {error}") },
    };
    config.messages.push(message);
}

/// Raises the limits that `minfds` and `minprocs` ask for, while this process still may.
///
/// Returns what programs are to see. The daemon itself takes all the descriptors it can get: it holds several
/// for each program.
fn raise_limits(config: &mut Config) -> Result<Limit, String> {
    let minprocs = config.supervisord.minprocs;
    let minfds = config.supervisord.minfds;
    let descriptors = raise(Limited::Descriptors, minfds, "RLIMIT_NOFILE", &mut config.messages)
        .map_err(|hard| {
            format!(
                "Error: The minimum number of file descriptors required to run this process is {minfds} as per \
                 the \"minfds\" command-line argument or config file setting. The current environment will \
                 only allow you to open {hard} file descriptors.  Either raise the number of usable file \
                 descriptors in your environment (see README.rst) or lower the minfds setting in the config \
                 file to allow the process to start.\n"
            )
        })?;
    raise(Limited::Processes, minprocs, "RLIMIT_NPROC", &mut config.messages).map_err(|hard| {
        format!(
            "Error: The minimum number of available processes required to run this program is {minprocs} as \
             per the \"minprocs\" command-line argument or config file setting. The current environment will \
             only allow you to open {hard} processes.  Either raise the number of usable processes in your \
             environment (see README.rst) or lower the minprocs setting in the config file to allow the \
             program to start.\n"
        )
    })?;
    let _ = limits::set(Limited::Descriptors, Limit { soft: descriptors.hard, hard: descriptors.hard });
    Ok(descriptors)
}

/// Raises one limit to at least `minimum`, the hard one, too, where that is lower.
///
/// # Errors
/// The hard limit that is in the way.
fn raise(what: Limited, minimum: u64, name: &str, messages: &mut Vec<Message>) -> Result<Limit, u64> {
    let limit = limits::get(what).map_err(|_| 0_u64)?;
    if limit.soft >= minimum {
        return Ok(limit);
    }
    let raised = Limit { soft: minimum, hard: limit.hard.max(minimum) };
    limits::set(what, raised).map_err(|_| limit.hard)?;
    messages.push(info(format!("Increased {name} limit to {minimum}")));
    Ok(raised)
}

/// Lifts the limit on the size of files, which files in memory have as well, as far as this process may. Returns what it
/// was before, which is what programs are to have; `None` if it is as it was.
fn lift_file_size(config: &mut Config) -> Option<Limit> {
    let former = limits::get(Limited::FileSize).ok()?;
    if former.soft == u64::MAX {
        return None;
    }
    if limits::set(Limited::FileSize, Limit { soft: u64::MAX, hard: u64::MAX }).is_ok() {
        return Some(former);
    }
    let text = format!(
        "the limit on the size of files (ulimit -f) is {} bytes, and the daemon may not lift it for itself: more output than \
         that is not logged where it passes through memory (with a prefix, for example), and event listeners get nothing",
        former.hard
    );
    config.messages.push(Message { level: Level::Warn, text });
    limits::set(Limited::FileSize, Limit { soft: former.hard, hard: former.hard }).is_ok().then_some(former)
}

/// Tells the kernel to spare this process when memory runs out, if it may. Returns what it was before, which
/// is what programs are to have.
fn protect_from_oom() -> Option<String> {
    const FILE: &str = "/proc/self/oom_score_adj";
    let former = std::fs::read_to_string(FILE).ok()?;
    std::fs::write(FILE, "-1000").ok()?;
    Some(former.trim().to_string())
}
