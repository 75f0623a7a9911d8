//! A manager comes up: as the first one, or in the place of one that died.

use crate::SUPERVISOR_VERSION;
use crate::control::request::Handle;
use crate::core::process::{Event, State};
use crate::files::location::removable;
use crate::files::open;
use crate::http;
use crate::keeper::boot::given_environment;
use crate::log::activity;
use crate::log::remote;
use crate::manager::answers::Answers;
use crate::manager::boot::{self, ActiveGroup, Boot, Snapshot};
use crate::manager::child::SpawnContext;
use crate::manager::daemon::{Daemon, Ears, End, LAST_ANSWERS, flush_messages, stream_specs};
use crate::manager::events::Events;
use crate::manager::info_map::InfoMap;
use crate::manager::interim::Interim;
use crate::manager::pidfile;
use crate::manager::procs::{Proc, ProcessManager, SlotId};
use crate::manager::requests::changes::LastReread;
use crate::manager::requests::views::ProcessListCache;
use crate::manager::saved::InForce;
use crate::manager::servers::Servers;
use crate::manager::shutdown::Life;
use crate::manager::sockets::Sockets;
use crate::manager::spawns::Spawns;
use crate::manager::streams::{Streams, set_up_custody, set_up_transfer};
use crate::manager::survivors::Adoption;
use crate::manager::thrift::Needs;
use crate::manager::upgrade::{Upgrade, look_around};
use crate::model::config::{ActivityLog, Config, DaemonConfig};
use crate::model::event::Kind;
use crate::model::state::SupervisorState;
use crate::model::visible::for_stream;
use crate::rt;
use crate::rt::wait;
use crate::shm::handshake::CHECK_VARIABLE;
use crate::shm::layout::{Place, Text};
use crate::shm::link::Link;
use crate::shm::slots::{Birth, Owed, SlotContent};
use crate::sys::limits::{self, Limited};
use crate::sys::{fd, memory, process, schedule};
use std::collections::{HashMap, VecDeque};
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Signals that a manager takes itself only to say that it ignores them.
const STRAY_SIGNALS: [i32; 7] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2, libc::SIGALRM];

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
        Some(snapshot) => InForce::resume(in_force, snapshot),
        None => InForce::begin(in_force),
    };
    let config = Arc::clone(in_force.config());
    if let Some(directory) = &boot.work_dir {
        // The keeper is where it was started, as whoever started it had it.
        let _ = std::env::set_current_dir(directory);
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(config.supervisord.umask));
    }
    let link = Arc::new(link);
    let (handle, calls) = Handle::channel();
    let handle = handle.on_call({
        let link = Arc::clone(&link);
        move || link.expect_turn()
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
        dies_with: config.supervisord.exitkillall.then(|| link.keeper_pid()),
    };
    let sockets = match &snapshot {
        Some(snapshot) => Sockets::resume(snapshot.sockets.clone(), &link),
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
        upgrade: Upgrade::default(),
        map: InfoMap::default(),
        process_list: ProcessListCache::default(),
        last_reread: LastReread::default(),
        adoption: Adoption::new().map_err(reason("cannot watch adopted programs"))?,
    };
    open::set_kept_descriptors(daemon.boot.kept_descriptors.clone());
    if let Err(error) = daemon.open_activity_log(takes_over) {
        // Only a start fails, and nothing was begun.
        daemon.remove_lock();
        return Err(error);
    }
    set_up_transfer(&daemon.link);
    set_up_custody(&daemon.link);
    let mut ears = Ears {
        doorbell: Arc::new(doorbell),
        calls,
        signals: rt::Signals::new(STRAY_SIGNALS).map_err(reason("cannot watch for signals"))?,
        listeners: daemon.events.ears(),
        adopted: daemon.adoption.ears(),
        postponed: Vec::new(),
    };
    let done = wait::block_on(async {
        match snapshot {
            Some(snapshot) if resumes => daemon.resume(snapshot)?,
            Some(snapshot) => daemon.take_over(snapshot.active, &mut ears),
            None => daemon.start_afresh()?,
        }
        match daemon.run(&mut ears).await {
            End::Daemon => {
                daemon.finish().await;
                // Of interest only if it leaves its programs; see `keeper::detach`.
                return Ok(daemon.in_force.exit_status());
            }
            End::Manager => {
                daemon.make_room(&mut ears).await;
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
        flush_messages(&self.in_force.config());
        // Before anything is cleaned up: whoever holds the sockets is another daemon, and its logs are its own.
        let leave_nothing = |daemon: &Daemon| {
            daemon.servers.remove_files();
            daemon.remove_lock();
        };
        let opened =
            self.open_servers().and_then(|()| self.find_survivors()).and_then(|()| self.open_sockets());
        opened.inspect_err(|_| leave_nothing(self))?;
        self.clean_up_auto_logs();
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
        for group in &groups {
            if let Err(problem) = self.add_group(group) {
                crate::crit!("could not add group '{}': {problem}", group.name);
            }
        }
        self.warn_of_descriptor_limit();
        self.announce_state(Kind::SupervisorRunning);
        let saved = self.save();
        let at_rest = self.adopt_survivors();
        self.link.set_supervisor_state(SupervisorState::Running.code());
        self.link.set_ready();
        if self.boot.background {
            activity::stop_copying();
            let _ = fd::detach_stdio();
        }
        self.spawn_together(|daemon| {
            groups.iter().for_each(|group| daemon.autostart_except(&group.name, &at_rest, &saved));
        });
        memory::give_back_free();
    }

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
        let lock = crate::manager::lock::path_beside(&self.boot.config.supervisord.pidfile);
        let resume = crate::manager::resume::socket_beside(&self.boot.config.supervisord.pidfile);
        let others = self.servers.paths();
        let named = [pidfile.as_path(), &lock, &resume].into_iter().chain(self.map.path()).chain(others);
        let paths: Vec<PathBuf> = named.filter_map(removable).collect();
        if let Err(error) = boot::deposit_files(&self.link, &paths) {
            ::log::error!("could not tell the keeper which files to remove at the end: {error}");
        }
    }

    /// Takes the place of a manager that died.
    fn take_over(&mut self, active: Vec<ActiveGroup>, ears: &mut Ears) {
        self.life.resume(self.link.supervisor_state());
        self.resume_servers();
        // What happens to processes from here on is an event already.
        self.events.recall(&self.link);
        self.map.resume(self.in_force.config().supervisord.processinfomapfile.clone());
        let restored = self.restore(active);
        self.trust_snapshot();
        // What is said of an adopted program depends on its pipes, and of one that was being created on what follows.
        let tells_processes = !self.procs.all().any(|(_, proc)| proc.origin.adopted)
            && restored.births.iter().all(|(_, birth)| matches!(birth, Birth::None | Birth::Known));
        let mut interim = Interim::begin(ears, tells_processes);
        self.resume_streams(|daemon| interim.answer(daemon));
        let n_running = self.procs.all().filter(|(_, proc)| proc.process.state.pid().is_some()).count();
        ::log::warn!(
            "the manager was replaced (start {}), {n_running} programs went on running",
            self.link.manager_starts()
        );
        if self.link.has_untold_failure() {
            ::log::error!("{}", self.upgrade_state());
            self.link.set_failure_told();
        }
        if self.link.former_hung() {
            let seconds = self.in_force.config().supervisord.manager_watchdog.as_secs();
            ::log::error!("the former manager did not react for {seconds} seconds and was killed");
        }
        self.revive(restored);
        self.resume_end();
        self.come_up();
    }

    /// Says that this manager is up, and what the keeper is to know of it.
    pub fn come_up(&self) {
        self.link.set_watchdog(self.in_force.config().supervisord.manager_watchdog);
        self.list_files();
        self.link.set_ready();
    }

    /// Goes on with every process that was there before.
    pub fn revive(&mut self, Restored { births, to_start, debts }: Restored) {
        let slots: Vec<SlotId> = self.procs.all().map(|(slot, _)| slot).collect();
        slots.into_iter().for_each(|slot| self.note(slot));
        self.resume_events();
        let of_adopted =
            |daemon: &Daemon, slot: SlotId| daemon.procs.proc(slot).is_some_and(|proc| proc.origin.adopted);
        let (later, debts): (Vec<_>, Vec<_>) =
            debts.into_iter().partition(|(slot, ..)| of_adopted(self, *slot));
        for (slot, owed, last_pid) in debts {
            self.do_owed(slot, owed, last_pid);
        }
        // What was under way when the last manager ended is finished first.
        for (slot, birth) in births {
            match birth {
                Birth::Unannounced(pid) if process::has_not_executed(pid, self.link.keeper_pid()) => {
                    self.follow_newborn(slot);
                }
                Birth::Unannounced(pid) => {
                    let born_at = self.procs.proc(slot).map_or(0, |proc| proc.born_at);
                    self.procs.claim_pid(pid, slot, born_at);
                    self.note_origin(slot, pid);
                    self.apply(slot, Event::Spawned(pid));
                }
                Birth::Stillborn => self.spawn_again(slot),
                Birth::None | Birth::Known => {}
            }
            self.begin_streams(slot);
        }
        self.find_unseen_ends();
        self.resume_adopted();
        for (slot, owed, last_pid) in later {
            self.do_owed(slot, owed, last_pid);
        }
        for slot in to_start {
            self.apply(slot, Event::Start);
        }
    }

    /// Rebuilds the table from the groups in force and what the slots say, without pipes and logs. Returns what was
    /// under way.
    pub fn restore(&mut self, active: Vec<ActiveGroup>) -> Restored {
        let contents = self.link.contents();
        self.procs.reserve_slots(&contents.iter().map(|content| content.slot).collect::<Vec<_>>());
        // Entries are dealt with in their order, so everything before the last applied one is done.
        if let Some(applied) = contents.iter().map(|content| content.applied).max()
            && applied > 0
        {
            self.skip_ledger_before(applied);
        }
        // Several of a former release may have the same name, which was cut then: they came in their order.
        let mut by_name: HashMap<(String, String), VecDeque<SlotContent>> = HashMap::new();
        for content in contents {
            by_name.entry((content.group.clone(), content.name.clone())).or_default().push_back(content);
        }
        let (mut births, mut debts) = (Vec::new(), Vec::new());
        let mut to_start = Vec::new();
        for (number, group) in active.into_iter().enumerate() {
            let mut members = Vec::new();
            let logs = group.logs.into_iter().chain(std::iter::repeat_with(Default::default));
            for (config, logs) in group.config.processes.iter().zip(logs) {
                let mut proc = Proc::new(Arc::clone(config), &group.config, logs);
                let key = (Text::cut(&group.config.name).to_string(), Text::cut(&config.name).to_string());
                let (slot, is_new) = match by_name.get_mut(&key).and_then(VecDeque::pop_front) {
                    Some(content) => {
                        births.push((content.slot, content.birth));
                        debts.push((content.slot, content.owed, content.last_pid));
                        self.link.set_stop(content.slot, config, group.config.priority);
                        let (slot, is_new) = (content.slot, content.to_start);
                        proc.resume(content);
                        (slot, is_new)
                    }
                    None => {
                        // Its group was being added: the slot had not been opened yet.
                        let Some(slot) = self.procs.unused_slot() else { continue };
                        self.link.open_slot(slot, &proc.group, &proc.config.name, config.autostart);
                        self.link.set_stop(slot, config, group.config.priority);
                        (slot, config.autostart)
                    }
                };
                if is_new {
                    to_start.push((number, config.priority, slot));
                }
                self.count_in(&proc.config, proc.is_listener);
                members.push((slot, proc));
            }
            self.procs.add_group(group.config, members);
        }
        self.reckon_descriptors();
        // Their groups were being removed, or had not been added yet.
        for content in by_name.into_values().flatten() {
            Streams::abandon(content.slot, &self.link);
            self.link.free_slot(content.slot);
            self.procs.release_slot(content.slot);
        }
        // Group by group, the most urgent first.
        to_start.sort_by_key(|(group, priority, _)| (*group, *priority));
        let to_start = to_start.into_iter().map(|(_, _, slot)| slot).collect();
        debts.retain(|(_, owed, _)| *owed != Owed::default());
        Restored { births, to_start, debts }
    }

    /// Finds everybody's pipes again and opens the logs. With many programs that takes longer than everything else
    /// here, so `meanwhile` has its turn before each. Making threads comes after that.
    pub fn resume_streams(&mut self, mut meanwhile: impl FnMut(&mut Daemon)) {
        let slots: Vec<SlotId> = self.procs.all().map(|(slot, _)| slot).collect();
        for slot in slots {
            meanwhile(self);
            let Some(proc) = self.procs.proc_mut(slot) else { continue };
            let specs = stream_specs(proc, self.in_force.config().supervisord.strip_ansi);
            proc.streams.resume(slot, specs, &self.link);
            proc.streams.economize(slot, &self.link);
        }
        // Before anybody writes to a log.
        self.procs.all().for_each(|(_, proc)| proc.streams.finish_lines());
        self.procs.all().for_each(|(_, proc)| proc.streams.settle());
        rt::make_threads();
    }

    /// Says where a program is from whose creation was the last thing a manager did.
    fn note_origin(&mut self, slot: SlotId, pid: i32) {
        let start_ticks = process::start_ticks(pid).unwrap_or(0);
        if let Some(proc) = self.procs.proc_mut(slot) {
            proc.set_origin(start_ticks, self.in_force.generation());
        }
    }

    fn skip_ledger_before(&self, applied: u64) {
        while let Some(entry) = self.link.next_entry()
            && entry.sequence < applied
        {
            self.link.advance_past(entry.sequence);
        }
    }

    /// Does what the former manager was about to do: create a program.
    fn spawn_again(&mut self, slot: SlotId) {
        let waits = self
            .procs
            .proc(slot)
            .is_some_and(|proc| matches!(proc.process.state, State::Starting { pid: None, .. }));
        if waits {
            self.spawn(slot);
        }
    }

    /// Everything has stopped: leaves nothing behind and lets the keeper end.
    async fn finish(&mut self) {
        self.answer_clients();
        self.http.drain(LAST_ANSWERS).await;
        self.servers.close_all();
        let leaves = self.life.leaves_programs() && self.n_alive() > 0;
        if leaves {
            self.leave_programs();
            return pidfile::remove(&self.in_force.config().supervisord.pidfile, self.link.keeper_pid());
        }
        remote::finish(LAST_MESSAGES).await;
        self.withdraw_inheritance();
        self.sockets.close_all(&self.link);
        self.map.remove_file();
        pidfile::remove(&self.in_force.config().supervisord.pidfile, self.link.keeper_pid());
        self.remove_lock();
        self.link.say_goodbye(self.in_force.exit_status());
    }
}

/// How long receivers of syslog messages may take for the last ones before the daemon ends.
const LAST_MESSAGES: Duration = Duration::from_secs(2);

/// What was under way when the former manager died.
pub struct Restored {
    /// How far each program's creation had come.
    births: Vec<(SlotId, Birth)>,
    /// Who is still to be started for the first time.
    to_start: Vec<SlotId>,
    /// What was decided and may not have been done, and for which program.
    debts: Vec<(SlotId, Owed, i32)>,
}

/// Where the activity log can be read.
pub fn activity_source(log: &ActivityLog) -> crate::log::source::LogSource {
    match log {
        ActivityLog::File(path) => crate::log::source::LogSource::File(path.clone()),
        ActivityLog::Syslog => crate::log::source::LogSource::None,
    }
}
