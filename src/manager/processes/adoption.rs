//! Programs that outlived their keeper: found, checked, and adopted or ended.
//!
//! The table in `processinfomapfile` says what was alive. A program is believed to be the one in the table if the machine
//! was not started anew since, and the kernel created the program at the very tick that the table says. From then on a
//! pidfd refers to it, so no signal ever reaches a later process with its pid.
//!
//! An adopted program is no child of the keeper, so nobody here can wait for it: its pidfd reports its end. Its exit
//! status stands in `/proc` until its parent has collected it, and from Linux 6.15 on the pidfd knows it afterwards. On
//! older kernels the status stays unknown if the parent was faster, and the log says so.
//!
//! Its pipes have lived on, because with `exitkillall=false` a program holds both ends of each. They are opened again
//! through `/proc`, with whatever it wrote meanwhile. A program that has closed them since, or may not be looked into,
//! runs on without a log until it is started again.

use crate::config::map_beside;
use crate::core::info_map::{InfoMapEntry, Written};
use crate::core::process::{Event, Reach};
use crate::manager::daemon::Daemon;
use crate::manager::processes::SlotId;
use crate::manager::processes::info_map::fingerprint;
use crate::manager::streams::stream_specs;
use crate::model::config::{Config, GroupConfig, GroupKind, ProcessConfig};
use crate::model::exit::ExitStatus;
use crate::model::signal::Signal;
use crate::model::time::Monotonic;
use crate::shm::layout::Place;
use crate::sys::{clock, pidfd, pipe, process, signals};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long programs that are not taken over may take to end before they are killed.
const GRACE: Duration = Duration::from_secs(10);

/// How long a killed program may take to be gone. One that takes longer hangs in the kernel.
const DEATH: Duration = Duration::from_secs(5);

/// What an adopted program's end is called when nobody knows its status.
const NOBODY_KNOWS: &str = "exit status unknown: it was adopted, and somebody else collected it";

/// A program of a former daemon, with hold of it.
#[derive(Debug)]
pub struct Adoptable {
    /// What the table says of it.
    pub entry: InfoMapEntry,
    /// Refers to it and to no later process with its pid.
    pub pidfd: OwnedFd,
}

/// What a former daemon has left behind, as far as this one takes it over.
#[derive(Debug, Default)]
struct Found {
    adoptable: Vec<Adoptable>,
    /// Group and name of those that a client had stopped.
    at_rest: HashSet<(Arc<str>, Arc<str>)>,
}

/// Programs of a former daemon: those that were found and are still to be adopted, and the adopted ones that are alive.
pub struct Adoption {
    /// Until there are processes for them.
    found: Found,
    /// Readable when one of them has ended.
    readiness: Arc<OwnedFd>,
    pidfds: HashMap<SlotId, OwnedFd>,
}

impl Adoption {
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Adoption> {
        let readiness = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        Ok(Adoption { found: Found::default(), readiness, pidfds: HashMap::new() })
    }

    /// Becomes readable when one of them has ended.
    pub fn readiness(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.readiness)
    }

    fn watch(&mut self, slot: SlotId, pidfd: OwnedFd) {
        let data = epoll::EventData::new_u64(u64::from(slot));
        if let Err(errno) = epoll::add(&self.readiness, &pidfd, data, epoll::EventFlags::IN) {
            ::log::error!("cannot watch the adopted program in slot {slot}: {errno}");
        }
        self.pidfds.insert(slot, pidfd);
    }

    fn forget(&mut self, slot: SlotId) {
        if let Some(pidfd) = self.pidfds.remove(&slot) {
            let _ = epoll::delete(&self.readiness, &pidfd);
        }
    }

    /// Whether anybody is left in the process group of a program that has just ended.
    pub fn leads_anybody(&self, slot: SlotId) -> bool {
        self.pidfds.get(&slot).is_some_and(pidfd::leads_anybody)
    }

    /// The slots of those that have ended.
    fn ended(&self) -> Vec<SlotId> {
        let mut events = Vec::with_capacity(64);
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spare = rustix::buffer::spare_capacity(&mut events);
        if epoll::wait(&self.readiness, spare, Some(&at_once)).is_err() {
            return Vec::new();
        }
        // What `watch` stored.
        events.iter().map(|event| event.data.u64() as SlotId).collect()
    }
}

/// Why a table is not about this boot of the machine.
fn is_of_another_boot(written: &Written) -> bool {
    !written.boot_id.is_empty() && written.boot_id != process::boot_id()
}

/// Whether a program that is no child and whose keeper is gone can go on as this process.
fn can_go_on(config: &Config, entry: &InfoMapEntry) -> Result<(), &'static str> {
    let is_it = |group: &&Arc<GroupConfig>| group.name == entry.group;
    let Some(group) = config.groups.iter().find(is_it) else { return Err("is not configured any more") };
    let is_it = |process: &&Arc<ProcessConfig>| process.name == entry.program;
    let Some(process) = group.processes.iter().find(is_it) else { return Err("is not configured any more") };
    if matches!(group.kind, GroupKind::EventListener(_)) {
        return Err("is an event listener, and what was said to it is lost");
    }
    if process.fcgi_socket.is_some() || !process.sockets.is_empty() {
        return Err("holds sockets that have to be made anew");
    }
    Ok(())
}

/// Ends programs: asks them first, if there is a grace period, and kills who is left.
fn end_all(adoptable: &[Adoptable], grace: Duration) {
    let deadline = clock::monotonic() + grace;
    if !grace.is_zero() {
        for program in adoptable {
            let _ = pidfd::send(&program.pidfd, Signal::TERM);
        }
        wait_for_ends(adoptable, deadline);
    }
    for program in adoptable.iter().filter(|program| !pidfd::has_ended(&program.pidfd)) {
        ::log::warn!("killing '{}' ({}) with SIGKILL", program.entry.namespec(), program.entry.pid);
        let _ = pidfd::send(&program.pidfd, Signal::KILL);
    }
    wait_for_ends(adoptable, clock::monotonic() + DEATH);
}

fn wait_for_ends(adoptable: &[Adoptable], deadline: Monotonic) {
    for program in adoptable {
        let rest = deadline.since(clock::monotonic());
        // Some seconds at most.
        let timeout = Timespec { tv_sec: rest.as_secs() as i64, tv_nsec: rest.subsec_nanos().into() };
        let _ = poll(&mut [PollFd::new(&program.pidfd, PollFlags::IN)], Some(&timeout));
    }
}

impl Daemon {
    /// Looks for programs of a former daemon. Those that are not to go on have ended when this returns.
    ///
    /// # Errors
    /// The daemon that the table belongs to is alive.
    pub fn find_adoptable(&mut self) -> Result<(), String> {
        let found = match self.map.open(self.map_path()) {
            Some(written) => self.found_in(written)?,
            None => Found::default(),
        };
        self.find_who_stands_in_the_way(&found.adoptable);
        self.adoption.found = found;
        Ok(())
    }

    /// The table in force, or the one that a former daemon may have left where this one would not have any.
    pub fn map_path(&self) -> Option<PathBuf> {
        let settings = &self.in_force.config().supervisord;
        let left = || map_beside(&settings.pidfile).filter(|path| settings.exitkillall && path.exists());
        settings.processinfomapfile.clone().or_else(left)
    }

    /// Gets hold of those programs of a table that are alive and who they were.
    fn identify(&mut self, written: Written) -> Found {
        let mut found = Found::default();
        let n_written = written.entries.iter().filter(|entry| entry.pid != 0).count();
        if is_of_another_boot(&written) {
            if n_written > 0 {
                ::log::warn!(
                    "the table of processes is of another boot: none of its {n_written} programs is touched"
                );
            }
            return found;
        }
        let says_who = !written.boot_id.is_empty();
        for entry in written.entries {
            if entry.pid != 0 && !(says_who && entry.start_ticks != 0) {
                found.adoptable.extend(self.judge_by_appearance(entry, written.at));
                continue;
            }
            let name = (entry.group.clone(), entry.program.clone());
            match (entry.pid, pidfd::open(entry.pid, entry.start_ticks)) {
                (0, _) => drop(found.at_rest.insert(name)),
                (_, Ok(pidfd)) => found.adoptable.push(Adoptable { entry, pidfd }),
                (pid, Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                    ::log::info!("'{}' (pid {pid}) has ended since the last run", entry.namespec());
                    if entry.stopping {
                        found.at_rest.insert(name);
                    }
                }
                (_, Err(error)) => self.leave_standing(&entry, &format!("cannot get hold of it: {error}")),
            }
        }
        found
    }

    /// What is to be taken over of what a table names. Those that are not to go on have ended when this returns.
    ///
    /// # Errors
    /// The daemon that the table belongs to is alive.
    fn found_in(&mut self, written: Written) -> Result<Found, String> {
        let keeper = written.keeper;
        if written.boot_id == process::boot_id() && pidfd::open(keeper.pid, keeper.start_ticks).is_ok() {
            let path = self.map.path().unwrap_or(std::path::Path::new("")).display();
            return Err(format!(
                "Another supervisord (pid {}) uses the processinfomapfile {path}",
                keeper.pid
            ));
        }
        self.in_force.begin_run_after(written.generation);
        let mut found = self.identify(written);
        if self.in_force.config().supervisord.startkillall {
            for program in &found.adoptable {
                let name = program.entry.namespec();
                ::log::warn!("'{name}' (pid {}) is left from the last run (startkillall)", program.entry.pid);
            }
            self.end_all(&found.adoptable, Duration::ZERO);
            return Ok(Found::default());
        }
        let config = Arc::clone(self.in_force.config());
        let unwanted = found.adoptable.extract_if(.., |program| match can_go_on(&config, &program.entry) {
            Ok(()) => false,
            Err(why) => {
                let name = program.entry.namespec();
                ::log::warn!("'{name}' (pid {}) {why}: it is stopped", program.entry.pid);
                true
            }
        });
        self.end_all(&unwanted.collect::<Vec<_>>(), GRACE);
        Ok(found)
    }

    /// Ends programs. One that cannot be ended is not started a second time.
    fn end_all(&mut self, adoptable: &[Adoptable], grace: Duration) {
        end_all(adoptable, grace);
        for program in adoptable.iter().filter(|program| !pidfd::has_ended(&program.pidfd)) {
            self.leave_standing(&program.entry, "it does not end");
        }
    }

    /// Takes over what was found, now that there are processes for it. Returns the slots of those that are to
    /// stay at rest.
    pub fn adopt_found(&mut self) -> HashSet<SlotId> {
        let Found { adoptable, at_rest } = std::mem::take(&mut self.adoption.found);
        for program in adoptable {
            if let Some(slot) = self.procs.member(&program.entry.group, &program.entry.program) {
                self.adopt(slot, program);
            }
        }
        let slots: HashSet<SlotId> =
            at_rest.iter().filter_map(|(group, name)| self.procs.member(group, name)).collect();
        for slot in &slots {
            // From here on whoever takes over knows, too.
            self.commit(*slot);
            if let Some(proc) = self.procs.proc(*slot) {
                ::log::info!("'{}' stays stopped, as it was in the last run", proc.namespec());
            }
        }
        slots
    }

    fn adopt(&mut self, slot: SlotId, Adoptable { entry, pidfd }: Adoptable) {
        let strip_ansi = self.in_force.config().supervisord.strip_ansi;
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        // Who wrote the table may not have said.
        let known = if entry.fingerprint == 0 { fingerprint(proc) } else { entry.fingerprint };
        let changed = known != fingerprint(proc);
        proc.adopt(known, entry.starts, entry.start_ticks, entry.generation);
        let ends = [0, 1, 2].map(|number| pipe::of_process(entry.pid, number, entry.pipes[number]).ok());
        let specs = stream_specs(proc, strip_ansi);
        if let Err(error) = proc.streams.adopt(slot, specs, ends, &self.link) {
            ::log::error!("cannot take up the output of '{}': {error}", entry.namespec());
        }
        if !proc.streams.are_connected() {
            ::log::warn!("the output of '{}' (pid {}) is not logged any more", entry.namespec(), entry.pid);
        }
        if let Err(error) = self.link.deposit(&[(Place::Pidfd(slot), pidfd.as_fd())]) {
            ::log::error!("could not leave '{}' with the keeper: {error}", entry.namespec());
        }
        self.adoption.watch(slot, pidfd);
        self.recognize_tree(slot, entry.pid);
        let age = Duration::from_nanos(clock::wall().0.saturating_sub(entry.start_time.0));
        let started = clock::monotonic() - age;
        self.apply(slot, Event::Adopted { pid: entry.pid, started, start: entry.start_time });
        self.begin_streams(slot);
        if entry.stopping {
            self.apply(slot, Event::Stop);
        } else if changed {
            ::log::info!("'{}' was configured differently: it is started anew", entry.namespec());
            self.apply(slot, Event::Stop);
            self.apply(slot, Event::Start);
        }
    }

    /// Gets hold again of the adopted programs that an earlier manager had.
    pub fn restore_adopted(&mut self) {
        let slots: Vec<(SlotId, i32, u64)> = self
            .procs
            .all()
            .filter(|(_, proc)| proc.origin.adopted)
            .filter_map(|(slot, proc)| Some((slot, proc.process.state.pid()?, proc.origin.start_ticks)))
            .collect();
        for (slot, pid, start_ticks) in slots {
            let held = self.link.take(Place::Pidfd(slot)).map_or_else(|| pidfd::open(pid, start_ticks), Ok);
            match held {
                Ok(held) => self.adoption.watch(slot, held),
                Err(_) => self.adopted_ended(slot, ExitStatus::Unknown),
            }
        }
    }

    /// Deals with the adopted programs that have ended.
    pub fn look_after_adopted(&mut self) {
        for slot in self.adoption.ended() {
            let Some(proc) = self.procs.proc(slot) else { continue };
            let pid = proc.process.state.pid().unwrap_or(0);
            let status = self.adoption.pidfds.get(&slot).and_then(|held| {
                // Its parent may collect it at any moment: the one or the other knows.
                let from_parent = || pidfd::exit_status(held);
                from_parent()
                    .or_else(|| process::zombie_status(pid, proc.origin.start_ticks))
                    .or_else(from_parent)
            });
            self.adopted_ended(slot, status.unwrap_or(ExitStatus::Unknown));
        }
    }

    fn adopted_ended(&mut self, slot: SlotId, status: ExitStatus) {
        self.finish_streams(slot);
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        let pid = proc.process.state.pid().unwrap_or(0);
        proc.remember_end(pid, status, String::new(), clock::wall(), clock::monotonic());
        let why = (status == ExitStatus::Unknown).then(|| NOBODY_KNOWS.to_string());
        self.apply(slot, Event::Exited { status, why });
        self.adoption.forget(slot);
        if let Some(proc) = self.procs.proc_mut(slot).filter(|proc| proc.origin.adopted) {
            // Nothing was started in its place.
            proc.forget_origin();
            self.commit(slot);
        }
        let _ = self.link.drop_deposits(&[Place::Pidfd(slot)]);
    }

    /// Sends a signal to the program of a process, whoever its parent is.
    ///
    /// # Errors
    /// ESRCH if the program has ended, though its end has not been dealt with; else what kill(2) or
    /// pidfd_send_signal(2) says.
    pub fn send_signal(&self, slot: SlotId, pid: i32, signal: Signal, reach: Reach) -> io::Result<()> {
        let proc = self.procs.proc(slot);
        let is_adopted = proc.is_some_and(|proc| proc.origin.adopted);
        if !is_adopted && proc.is_some_and(|proc| self.link.tells_end(pid, proc.spawn_head)) {
            // The keeper may have collected it, and the number be another's.
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        match (is_adopted, self.adoption.pidfds.get(&slot), reach) {
            (false, _, Reach::Process) => signals::send(pid, signal),
            (false, _, Reach::ProcessGroup | Reach::Tree) => signals::send_group(pid, signal),
            (true, Some(held), Reach::Process) => pidfd::send(held, signal),
            (true, Some(held), Reach::ProcessGroup | Reach::Tree) => pidfd::send_group(held, pid, signal),
            // It has ended, and that is about to be dealt with.
            (true, None, _) => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        }
    }
}
