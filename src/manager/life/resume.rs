//! Ending without the programs (`exitkillall=false`), and resuming the daemon.
//!
//! The keeper's part, and the whole story, is in `keeper::detach`. If the configuration has changed by the next start,
//! the manager does what `update` does: it stops and takes out groups that are gone or have changed, and adds and starts
//! groups that are new or have changed. Everything else goes on as it was.

use crate::core::process::State;
use crate::files::socket::{self, SocketError, SocketSpec};
use crate::keeper::boot::passed_on_environment;
use crate::keeper::detach::{Successor, WELCOME, offer};
use crate::keeper::foreground_proxy::{HeldSignals, hold_signals, stand_in_for};
use crate::log::activity;
use crate::log::sinks::auto;
use crate::manager::boot::Snapshot;
use crate::manager::daemon::{Daemon, flush_messages};
use crate::manager::launch::lock;
use crate::manager::processes::{Proc, SlotId};
use crate::model::config::Config;
use crate::model::event::Kind;
use crate::model::state::SupervisorState;
use crate::shm::layout::Place;
use crate::sys::daemonize::Launched;
use crate::sys::memory::{self, Sealed};
use crate::sys::{exec, fd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::SocketType;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a daemon with this pidfile can be resumed while it has ended.
pub fn socket_beside(pidfile: &Path) -> PathBuf {
    let mut name = pidfile.file_name().unwrap_or_default().to_os_string();
    name.push(".resume");
    pidfile.with_file_name(name)
}

/// Makes the socket; only our own user can connect.
fn listen(path: &Path) -> Result<OwnedFd, SocketError> {
    let spec = SocketSpec { kind: SocketType::SEQPACKET, mode: 0o600, owner: (None, None), backlog: 4 };
    let socket = socket::listen(path, &spec)?.fd;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// What a resumed daemon needs to know.
pub struct Resumption<'a> {
    /// The pidfile of the daemon that is to be started. The socket of the keeper lies beside it.
    pub pidfile: &'a Path,
    /// The keeper, as its lock file says.
    pub keeper: i32,
    /// How the daemon is started, as in [`Place::Boot`].
    pub boot: OwnedFd,
    /// Whether the daemon goes to the background; otherwise this process stands in for the keeper.
    pub background: bool,
}

/// Lets a keeper that was left alone with its programs become the daemon that is to be started. `None`: there is
/// none, whoever holds the lock is a daemon that runs. The exit status otherwise.
///
/// # Errors
/// Why the keeper does not do it; it goes on as it was.
pub fn resume(resumption: Resumption<'_>) -> Result<Option<u8>, String> {
    let path = socket_beside(resumption.pidfile);
    // Nobody listens there: there is none.
    let Ok(keeper) = socket::connect(&path, SocketType::SEQPACKET) else { return Ok(None) };
    let pid = resumption.keeper;
    let refused = |why: String| {
        format!(
            "Error: The keeper (pid {pid}) of the programs that were left running cannot go on as this daemon: \
             {why}\n"
        )
    };
    let failed = |error: io::Error| refused(error.to_string());
    let own_uid = rustix::process::geteuid();
    let peer = rustix::net::sockopt::socket_peercred(&keeper).map_err(|errno| failed(errno.into()))?;
    if peer.uid != own_uid {
        let (theirs, ours) = (peer.uid.as_raw(), own_uid.as_raw());
        return Err(refused(format!("it runs as uid {theirs}, this daemon is to run as uid {ours}")));
    }
    let pidfd =
        Pid::from_raw(pid.max(0)).ok_or_else(|| refused("its lock file does not name it".to_string()))?;
    let pidfd = pidfd_open(pidfd, PidfdFlags::empty()).map_err(|errno| failed(errno.into()))?;
    let (status, status_writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    let binary = exec::open_own_binary().map_err(failed)?;
    let arguments = words(std::env::args_os()).map_err(failed)?;
    let environment = passed_on_environment(pid).map_err(failed)?;
    let environment = words(environment.into_iter().map(|word| OsString::from_vec(word.into_bytes())));
    let environment = environment.map_err(failed)?;
    let successor = Successor {
        boot: resumption.boot.as_fd(),
        binary: binary.as_fd(),
        arguments: arguments.as_fd(),
        environment: environment.as_fd(),
        status: status_writer.as_fd(),
        in_foreground: !resumption.background,
    };
    let held = if resumption.background { None } else { Some(hold_signals().map_err(failed)?) };
    let answer = offer(&keeper, &successor).map_err(failed)?;
    if answer != WELCOME {
        return Err(refused(String::from_utf8_lossy(&answer).into_owned()));
    }
    drop(status_writer);
    Ok(Some(match held {
        None => Launched::from_fd(status).wait(),
        Some(held) => stand_in_for(&held, &pidfd, &status),
    }))
}

/// Words in a file, each followed by a zero.
fn words(words: impl Iterator<Item = OsString>) -> io::Result<OwnedFd> {
    let mut bytes = Vec::new();
    for word in words {
        bytes.extend(OsStr::as_bytes(&word));
        bytes.push(0);
    }
    let mut file = File::from(memory::new_file("supervisord-words")?);
    file.write_all(&bytes)?;
    memory::seal(&file, Sealed::ForGood);
    Ok(file.into())
}

/// Waits for the end of a keeper that was started in the foreground, in its place: the exit status.
pub fn stand_in(held: &HeldSignals, launched: Launched) -> u8 {
    let (status, pid) = launched.into_parts();
    // It is our child, so the pid is its own for as long as we do not wait for it.
    match Pid::from_raw(pid.max(0)).map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        Some(Ok(pidfd)) => stand_in_for(held, &pidfd, &status),
        _ => {
            let _ = poll(&mut [PollFd::new(&status, PollFlags::IN)], None);
            Launched::from_fd(status).wait()
        }
    }
}

impl Daemon {
    /// Whether the end of the daemon leaves its programs running. The end of PID 1 is the end of its namespace
    /// whatever anybody configures, so there they are stopped in order.
    pub fn leaves_programs(&self) -> bool {
        if self.in_force.config().supervisord.exitkillall
            || self.link.keeper_pid() == 1
            || self.n_alive() == 0
        {
            return false;
        }
        let may_stay = self.boot.background || self.boot.has_foreground_proxy;
        if !may_stay {
            // The setting has come with a reload.
            ::log::warn!(
                "programs are stopped in spite of exitkillall=false: somebody waits for the keeper, which was \
                 started in the foreground and without this setting"
            );
        }
        may_stay
    }

    /// How many programs are alive.
    pub fn n_alive(&self) -> usize {
        self.procs.all().filter(|(_, proc)| proc.process.state.pid().is_some()).count()
    }

    /// Who is being stopped: that is finished before the daemon leaves.
    pub fn stopping(&self) -> Vec<SlotId> {
        let is_stopping = |proc: &Proc| matches!(proc.process.state, State::Stopping { .. });
        self.procs.all().filter(|(_, proc)| is_stopping(proc)).map(|(slot, _)| slot).collect()
    }

    /// Lets the next daemon find the keeper. False if that cannot be: then nothing can be left running, because
    /// nobody could take it up again.
    pub fn listen_for_successor(&self) -> bool {
        let pidfile = &self.boot.config.supervisord.pidfile;
        let path = socket_beside(pidfile);
        let prepared = if lock::can_have_neighbours(pidfile) {
            listen(&path).map_err(|error| error.to_string()).and_then(|socket| {
                self.link.deposit(&[(Place::Resume, socket.as_fd())]).map_err(|e| e.to_string())
            })
        } else {
            Err("the pidfile is not a file, so nothing can lie beside it".to_string())
        };
        if let Err(error) = &prepared {
            ::log::error!("the programs cannot be left running, because of {}: {error}", path.display());
        }
        prepared.is_ok()
    }

    /// Nothing is left running after all, or the inheritance has been claimed.
    pub fn stop_listening_for_successor(&self) {
        let _ = self.link.drop_deposits(&[Place::Resume]);
        let path = socket_beside(&self.boot.config.supervisord.pidfile);
        if let Some(identity) = socket::identity(&path) {
            socket::remove(&path, identity);
        }
    }

    /// Leaves the programs to the keeper. From the last line on the end of this process is that of the daemon.
    pub fn leave_programs(&mut self) {
        let listeners: Vec<Place> = (0..Place::MAX_LISTENERS).map(Place::HttpListener).collect();
        let _ = self.link.drop_deposits(&listeners);
        self.save();
        self.save_map_now();
        self.list_files();
        ::log::warn!(
            "leaving {} programs running (exitkillall=false) with their keeper, pid {}",
            self.n_alive(),
            self.link.keeper_pid()
        );
        self.link.set_detached();
    }

    /// Goes on where a daemon has ended that left its programs running.
    ///
    /// # Errors
    /// What keeps the daemon from starting. The programs stay with the keeper then.
    pub fn resume(&mut self, snapshot: Snapshot) -> Result<(), String> {
        flush_messages(self.in_force.config());
        self.in_force.forget_until_end();
        self.open_state_file();
        self.open_servers()?;
        self.in_force.begin_run_after(snapshot.generation);
        self.map.open(self.in_force.config().supervisord.processinfomapfile.clone());
        self.life.restore(None);
        self.link.set_supervisor_state(SupervisorState::Running.code());
        self.events.recall(&self.link);
        let restored = self.restore(snapshot.active);
        self.restore_credentials();
        self.restore_streams(|_| {});
        self.clean_up_auto_logs();
        self.write_pidfile();
        ::log::warn!("taking up {} programs that were left running", self.n_alive());
        self.revive(restored);
        if !self.in_force.config().supervisord.startkillall {
            self.begin_group_updates();
        }
        self.save();
        self.come_up();
        self.stop_listening_for_successor();
        if self.boot.background {
            activity::stop_copying();
            let _ = fd::detach_stdio();
        }
        if self.in_force.config().supervisord.startkillall && self.n_alive() > 0 {
            ::log::warn!("stopping them before anything is started (startkillall)");
            let config: Config = Config::clone(self.in_force.config());
            self.begin_restart_with(config);
        } else {
            self.announce_state(Kind::SupervisorRunning);
        }
        Ok(())
    }

    /// The automatic logs in use.
    pub fn auto_logs(&self) -> std::collections::HashSet<PathBuf> {
        let logs = self.procs.all().map(|(_, proc)| &proc.logs);
        logs.flat_map(|logs| [&logs.stdout, &logs.stderr]).flatten().cloned().collect()
    }

    /// Begins to make the active groups what the configuration says, as `update` does.
    fn begin_group_updates(&mut self) {
        let active: Vec<_> = self.procs.groups().iter().map(|group| Arc::clone(&group.config)).collect();
        if !self.in_force.config().skipped.is_empty() {
            let fresh = Config::clone(self.in_force.config());
            self.in_force.adopt(crate::config::keep(&active, fresh));
        }
        let plan = crate::config::update::plan(&active, &self.in_force.config().groups, |_| true);
        self.update_groups(plan, None, None);
    }

    /// Takes out groups that were to be stopped and have, and adds those that the configuration has instead.
    pub fn progress_of_group_updates(&mut self) {
        let is_over = |name: &String| self.procs.group(name).is_none_or(|group| group.active == 0);
        let updating = self.in_force.groups_updating();
        if updating.is_empty() || !self.life.is_running() || !updating.iter().any(is_over) {
            return;
        }
        let over: Vec<String> = updating.iter().filter(|name| is_over(name)).cloned().collect();
        let names: HashSet<String> = over.iter().cloned().collect();
        let configured = self.configured_groups(|name| names.contains(name));
        // Those that come back are in the list until they are there, so that a successor adds them.
        self.in_force
            .end_updates(&names.iter().filter(|name| !configured.contains_key(&***name)).cloned().collect());
        self.remove_groups(&over);
        let mut added = Vec::new();
        for name in &over {
            self.announce_removal(name);
            let problem = match configured.get(&**name) {
                None => {
                    self.forget_wanted_of_group(name);
                    None
                }
                Some(group) => self.add_group(group).map(|()| added.push(name)).err(),
            };
            if let Some(problem) = &problem {
                crate::crit!("could not add group '{name}': {problem}");
            }
            self.updates.group_is_done(name, problem);
        }
        self.in_force.end_updates(&names);
        let saved = self.save();
        added.into_iter().for_each(|name| self.autostart(name, &saved));
    }

    /// Removes the lock file beside the pidfile this daemon was started with.
    pub fn remove_lock(&self) {
        // The lock stays where it is when a restart moves the pidfile.
        lock::remove(&self.boot.config.supervisord.pidfile, self.link.keeper_pid());
    }

    /// Removes the automatic logs of former runs, unless they are to be kept.
    pub fn clean_up_auto_logs(&self) {
        let config = &self.in_force.config().supervisord;
        if config.nocleanup {
            return;
        }
        match auto::clean(&config.childlogdir, &config.identifier, &self.auto_logs()) {
            Ok(failures) => {
                for (path, _) in failures {
                    let path = crate::config::repr(&path.to_string_lossy());
                    ::log::warn!("Failed to clean up {path}");
                }
            }
            Err(_) => ::log::warn!("Could not clear childlog dir"),
        }
    }
}
