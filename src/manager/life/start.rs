//! A manager comes up: as the first one, in the place of one that died, or to resume a daemon.

use crate::SUPERVISOR_VERSION;
use crate::control::request::Handle;
use crate::files::location::removable;
use crate::files::open;
use crate::http;
use crate::keeper::boot::given_environment;
use crate::log::activity;
use crate::log::sinks::remote;
use crate::manager::answers::Answers;
use crate::manager::boot::{self, Boot, Snapshot};
use crate::manager::daemon::{Daemon, End, LAST_ANSWERS, flush_messages};
use crate::manager::events::Events;
use crate::manager::inputs::LoopInputs;
use crate::manager::launch::pidfile;
use crate::manager::life::Life;
use crate::manager::life::servers::Servers;
use crate::manager::life::upgrade::{Upgrade, look_around};
use crate::manager::probes::Probes;
use crate::manager::processes::ProcessManager;
use crate::manager::processes::adoption::Adoption;
use crate::manager::processes::dependencies::Dependents;
use crate::manager::processes::info_map::InfoMap;
use crate::manager::processes::memory::Memory;
use crate::manager::processes::trees::Trees;
use crate::manager::processes::update::Updates;
use crate::manager::requests::changes::LastReread;
use crate::manager::requests::views::ProcessListCache;
use crate::manager::saved::InForce;
use crate::manager::spawn::Spawns;
use crate::manager::spawn::context::SpawnContext;
use crate::manager::spawn::credentials::{self, Credentials};
use crate::manager::spawn::sockets::Sockets;
use crate::manager::state_file::StateFile;
use crate::manager::streams::keeper_store::{set_up_handoff, set_up_transfer};
use crate::manager::streams::thrift::Needs;
use crate::model::config::{ActivityLog, Config, DaemonConfig};
use crate::model::event::Kind;
use crate::model::state::SupervisorState;
use crate::model::visible::for_stream;
use crate::rt;
use crate::rt::wait;
use crate::shm::handshake::CHECK_VARIABLE;
use crate::shm::layout::Place;
use crate::shm::link::Link;
use crate::sys::limits::{self, Limited};
use crate::sys::{fd, memory, process, schedule, signals};
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Runs a manager, if this process was started to be one: its exit status.
pub fn run_if_manager() -> Option<u8> {
    let inherited = Link::inherit()?;
    process::set_own_name(c"supervisord");
    let result = inherited.map_err(|error| format!("the manager cannot reach its keeper: {error}")).and_then(
        |(link, doorbell)| {
            if std::env::var_os(CHECK_VARIABLE).is_some() {
                return Ok(look_around(&link));
            }
            link.set_handing_over(false);
            // A manager without its keeper would supervise nothing.
            if !process::die_with_parent(link.keeper_pid()) {
                return Err("the keeper has ended".to_string());
            }
            run(link, doorbell)
        },
    );
    Some(match result {
        Ok(status) => status,
        Err(text) => {
            // On the terminal as long as nobody is supervised, then in the log that a predecessor opened.
            eprintln!("Error: {}\nFor help, use supervisord -h", for_stream(&std::io::stderr(), &text));
            ::log::error!("{}", text.replace('\n', "; "));
            2
        }
    })
}

/// How many descriptors the manager will have open at about its most.
fn descriptors_for(config: &Config) -> u64 {
    /// Two outputs with a log file each.
    const OF_A_PROCESS: u64 = 7;
    /// Its own, and those of clients.
    const FURTHER: u64 = 256;
    let n_processes: usize = config.groups.iter().map(|group| group.processes.len()).sum();
    FURTHER + OF_A_PROCESS * n_processes as u64
}

/// # Errors
/// What keeps it from coming up.
fn run(link: Link, doorbell: OwnedFd) -> Result<u8, String> {
    // What programs get, and nothing that is meant for us.
    let environment = given_environment();
    // Before there is another thread.
    schedule::take_precedence();
    schedule::limit_runtime();
    let reason = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    let unreadable = reason("cannot read how the daemon was started");
    let started = boot::read(&link, Place::Boot).map_err(unreadable)?;
    let boot: Boot = boot::boot(&started).map_err(unreadable)?;
    let takes_over = link.is_ready();
    if takes_over {
        rt::put_threads_off();
    } else {
        rt::try_threads()
            .map_err(|error| format!("the manager cannot make threads: {error}{}", limits::advice(&error)))?;
    }
    let snapshot = if takes_over {
        let snapshot = boot::read(&link, Place::Snapshot).and_then(|bytes| Snapshot::parse(&bytes));
        Some(snapshot.map_err(reason("cannot read the configuration in force"))?)
    } else {
        None
    };
    let resumes = takes_over && link.is_detached();
    let in_force = match snapshot.as_ref().filter(|_| !resumes) {
        Some(snapshot) => snapshot.config.clone(),
        None => boot::boot::<Config>(&started).map_err(unreadable)?.config,
    };
    // A megabyte for a thousand programs.
    drop(started);
    let in_force = match &snapshot {
        Some(snapshot) => InForce::restore(in_force, snapshot),
        None => InForce::begin(in_force),
    };
    let config = Arc::clone(in_force.config());
    // Before there is another thread, too.
    fd::make_room(descriptors_for(&config));
    if let Some(directory) = &boot.work_dir {
        // The keeper is where it was started, as whoever started it had it.
        let _ = std::env::set_current_dir(directory);
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(config.supervisord.umask));
    }
    let link = Arc::new(link);
    let (handle, calls) = Handle::channel();
    let handle = handle.on_call({
        let link = Arc::clone(&link);
        move || link.expect_beat()
    });
    // The keeper is spared because everything ends with it. A manager is replaced without any loss, so one that grows is
    // not to be the last to go: it gets what programs get, and they inherit it.
    let for_programs =
        boot.oom_score_adj.as_deref().filter(|score| process::set_oom_score_adj(score).is_err());
    let spawn_context = SpawnContext {
        environment,
        server_url: config.child_server_url(),
        descriptors: boot.descriptors.within(limits::get(Limited::Descriptors).ok()),
        file_size: boot.file_size,
        oom_score_adj: for_programs.and_then(|score| CString::new(score).ok()),
        notify_socket: None,
        dies_with: config.supervisord.exitkillall.then(|| link.keeper_pid()),
        cgroups: None,
        filters: Arc::default(),
    };
    let sockets = match &snapshot {
        Some(snapshot) => Sockets::restore(snapshot.sockets.clone(), &link),
        None => Sockets::default(),
    };
    let events = Events::new(&config.supervisord.identifier).map_err(reason("cannot watch listeners"))?;
    let mut daemon = Daemon {
        http: http::Context::new(handle, &config.rpc_namespaces, SUPERVISOR_VERSION),
        link,
        boot,
        in_force,
        answers: Answers::default(),
        procs: ProcessManager::default(),
        life: Life::begin(),
        spawn_context: Arc::new(spawn_context),
        needs: Needs::default(),
        spawns: Spawns::new().map_err(reason("cannot prepare to create programs"))?,
        servers: Servers::default(),
        events,
        sockets,
        credentials: Credentials::default(),
        upgrade: Upgrade::default(),
        map: InfoMap::default(),
        process_list: ProcessListCache::default(),
        last_reread: LastReread::default(),
        dependents: Dependents::default(),
        probes: Probes::new().map_err(reason("cannot watch what programs report"))?,
        adoption: Adoption::new().map_err(reason("cannot watch adopted programs"))?,
        trees: Trees::default(),
        memory: Memory::default(),
        updates: Updates::default(),
        state_file: StateFile::default(),
    };
    open::set_kept_descriptors(daemon.boot.kept_descriptors.clone());
    if let Err(error) = daemon.open_activity_log(takes_over) {
        // Only a start fails, and nothing was begun.
        daemon.remove_lock();
        return Err(error);
    }
    set_up_transfer(&daemon.link);
    set_up_handoff(&daemon.link);
    let mut inputs = LoopInputs {
        doorbell: Arc::new(doorbell),
        calls,
        // Only to say that it ignores them. SIGALRM would end it otherwise.
        signals: rt::Signals::new(signals::FOR_DAEMONS.into_iter().chain([libc::SIGALRM]))
            .map_err(reason("cannot watch for signals"))?,
        listeners: daemon.events.readiness(),
        adopted: daemon.adoption.readiness(),
        reports: daemon.probes.readiness(),
        postponed: Vec::new(),
    };
    let done = wait::block_on(async {
        match snapshot {
            Some(snapshot) if resumes => daemon.resume(snapshot)?,
            Some(snapshot) => daemon.take_over(snapshot.active, &mut inputs),
            None => daemon.start_afresh()?,
        }
        match daemon.run(&mut inputs).await {
            End::Daemon => {
                daemon.finish().await;
                // Of interest only if it leaves its programs; see `keeper::detach`.
                return Ok(daemon.in_force.exit_status());
            }
            End::Manager => {
                daemon.make_room(&mut inputs).await;
                daemon.take_rest_written();
            }
        }
        Ok(0)
    });
    done.map_err(reason("cannot wait for events"))?
}

impl Daemon {
    /// In the foreground the activity log is shown on standard output, too.
    pub fn copies_to_stdout(&self) -> bool {
        !self.boot.background && !self.in_force.config().supervisord.silent
    }

    /// Opens the activity log for the first time in this process. Whoever takes over does without it rather than
    /// leave the programs alone: standard error stands in for it until somebody asks for the logs to be reopened.
    ///
    /// # Errors
    /// It cannot be opened, and nothing runs yet.
    fn open_activity_log(&self, takes_over: bool) -> Result<(), String> {
        let config = &self.in_force.config().supervisord;
        let Err(error) = activity::init(config, self.copies_to_stdout()) else {
            if takes_over {
                activity::end_torn_line();
            }
            return Ok(());
        };
        if !takes_over {
            return Err(error.to_string());
        }
        let stand_in = ActivityLog::File("/dev/stderr".into());
        activity::init(&DaemonConfig { logfile: stand_in, ..config.clone() }, false)
            .map_err(|error| error.to_string())?;
        ::log::error!("{error}; going on without it");
        Ok(())
    }

    /// Opens the activity log that the configuration names. If that fails the old one goes on.
    pub fn set_up_activity_log(&self) {
        if let Err(error) =
            activity::reconfigure(&self.in_force.config().supervisord, self.copies_to_stdout())
        {
            ::log::error!("{error}");
        }
    }

    /// # Errors
    /// What keeps the daemon from starting.
    fn start_afresh(&mut self) -> Result<(), String> {
        flush_messages(self.in_force.config());
        self.open_state_file();
        // Before anything is cleaned up: whoever holds the sockets is another daemon, and its logs are its own.
        let leave_nothing = |daemon: &Daemon| {
            daemon.servers.remove_files();
            daemon.remove_lock();
        };
        let opened =
            self.open_servers().and_then(|()| self.find_adoptable()).and_then(|()| self.open_sockets());
        opened.inspect_err(|_| leave_nothing(self))?;
        self.clean_up_auto_logs();
        credentials::sweep();
        self.write_pidfile();
        self.link.set_watchdog(self.in_force.config().supervisord.manager_watchdog);
        self.list_files();
        self.start_groups();
        Ok(())
    }

    /// Makes the sockets of all programs, while a mistake can still be told on the terminal.
    fn open_sockets(&mut self) -> Result<(), String> {
        for group in self.in_force.config().groups.clone() {
            if let Err(error) = self.sockets.open_for(&group, &self.link) {
                self.sockets.close_all(&self.link);
                return Err(error.to_string());
            }
        }
        Ok(())
    }

    /// Adds every configured group, then starts what is to start by itself. In between the daemon is up: whoever
    /// takes over before that begins again, and later finds the groups and what is still to be started.
    pub fn start_groups(&mut self) {
        let groups = self.in_force.config().groups.clone();
        self.connect_together(|daemon| {
            for group in &groups {
                if let Err(problem) = daemon.add_group(group) {
                    crate::crit!("could not add group '{}': {problem}", group.name);
                }
            }
        });
        self.warn_of_descriptor_limit();
        self.announce_state(Kind::SupervisorRunning);
        let saved = self.save();
        let at_rest = self.adopt_found();
        self.link.set_supervisor_state(SupervisorState::Running.code());
        self.link.set_ready();
        if self.boot.background {
            activity::stop_copying();
            let _ = fd::detach_stdio();
        }
        let names: Vec<Arc<str>> = groups.iter().map(|group| Arc::clone(&group.name)).collect();
        self.autostart_all(&names, &at_rest, &saved);
        memory::give_back_free();
    }

    /// Writes the keeper's pid into the pidfile. A failure is logged and changes nothing else.
    pub fn write_pidfile(&self) {
        let (path, pid) = (&self.in_force.config().supervisord.pidfile, self.link.keeper_pid());
        match pidfile::write(path, pid) {
            Ok(()) => ::log::info!("supervisord started with pid {pid}"),
            Err(error) => crate::crit!("could not write pidfile {}: {error}", path.display()),
        }
    }

    /// Tells the keeper which files are to be removed at the end, in case it has to do that itself.
    pub fn list_files(&self) {
        let pidfile = &self.in_force.config().supervisord.pidfile;
        let lock = crate::manager::launch::lock::path_beside(&self.boot.config.supervisord.pidfile);
        let resume = crate::manager::life::resume::socket_beside(&self.boot.config.supervisord.pidfile);
        let notify = self.notify_path();
        let others = self.servers.paths();
        let named = [pidfile.as_path(), &lock, &resume]
            .into_iter()
            .chain(notify.as_deref())
            .chain(self.map.path())
            .chain(others);
        let credentials = self.credentials_path().map(PathBuf::from);
        let paths: Vec<PathBuf> = named.filter_map(removable).chain(credentials).collect();
        if let Err(error) = boot::deposit_files(&self.link, &paths) {
            ::log::error!("could not tell the keeper which files to remove at the end: {error}");
        }
    }

    /// Says that this manager is up, and what the keeper is to know of it.
    pub fn come_up(&self) {
        self.link.set_watchdog(self.in_force.config().supervisord.manager_watchdog);
        self.list_files();
        self.link.set_ready();
    }

    /// Everything has stopped: leaves nothing behind and lets the keeper end.
    async fn finish(&mut self) {
        self.finish_state_file().await;
        self.answer_clients();
        self.http.drain(LAST_ANSWERS).await;
        self.servers.close_all();
        let leaves = self.life.leaves_programs() && self.n_alive() > 0;
        if leaves {
            self.leave_programs();
            return pidfile::remove(&self.in_force.config().supervisord.pidfile, self.link.keeper_pid());
        }
        remote::finish(LAST_MESSAGES).await;
        self.stop_listening_for_successor();
        self.remove_notify_socket();
        self.remove_credentials();
        self.sockets.close_all(&self.link);
        self.leave_cgroups();
        self.map.remove_file();
        pidfile::remove(&self.in_force.config().supervisord.pidfile, self.link.keeper_pid());
        self.remove_lock();
        self.link.say_goodbye(self.in_force.exit_status());
    }
}

/// How long receivers of syslog messages may take for the last ones before the daemon ends.
const LAST_MESSAGES: Duration = Duration::from_secs(2);

/// Where the activity log can be read.
pub fn activity_source(log: &ActivityLog) -> crate::log::source::LogSource {
    match log {
        ActivityLog::File(path) => crate::log::source::LogSource::File(path.clone()),
        ActivityLog::Syslog => crate::log::source::LogSource::None,
    }
}
