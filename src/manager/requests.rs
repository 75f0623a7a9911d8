//! What clients ask for, and the answers.
//!
//! A request is checked first and carried out then; what cannot be done now is refused with a fault and
//! changes nothing. Requests that wait leave a [`Waiter`] with the process.

use crate::config::{self, ConfigSource};
use crate::control::request::{
    Answer, BulkStatus, Call, ConfigInfo, Fact, Facts, Outcome, ProcessInfo, Processes, Request, Target, Wait,
};
use crate::core::process::{Event, Reach};
use crate::log::activity;
use crate::log::source::LogSource;
use crate::manager::answers::Client;
use crate::manager::births;
use crate::manager::daemon::Daemon;
use crate::manager::describe::description;
use crate::manager::procs::{Proc, SlotId};
use crate::manager::start::activity_source;
use crate::manager::streams::StdinError;
use crate::manager::waiters::{Batch, Reply, Waiter, Wants};
use crate::model::config::ChildLog;
use crate::model::fault::{Fault, FaultCode};
use crate::model::namespec::{self, Namespec};
use crate::model::raw;
use crate::model::signal::Signal;
use crate::model::state::{ProcessState, SupervisorState};
use crate::model::stream::Stream;
use crate::model::time::Wall;
use crate::sys::clock;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// What can be asked of processes and may take a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Start,
    Stop,
}

impl Order {
    /// Whether a process takes part when the order is for several.
    fn applies_to(self, proc: &Proc) -> bool {
        match self {
            Order::Start => !proc.state().is_running(),
            Order::Stop => proc.is_active(),
        }
    }
}

/// How an order for a process goes on.
enum Next {
    Answer(Result<(), Fault>),
    /// The answer comes when this has happened.
    Wait(Wants),
}

impl Daemon {
    /// Answers a request, now or when what it waits for has happened.
    pub fn handle(&mut self, call: Call) {
        let (request, client) = Client::of(call);
        self.carry_out_for(client, request);
        self.answer_clients();
    }

    fn carry_out_for(&mut self, client: Client, request: Request) {
        if let Err(fault) = self.admit(&request) {
            return self.answers.post(client, Err(fault));
        }
        let outcome = match request {
            Request::Start(target, wait) => return self.order(Order::Start, &target, wait, client),
            Request::Stop(target, wait) => return self.order(Order::Stop, &target, wait, client),
            Request::Signal(target, signal) => match self.signal_request(&target, signal) {
                Some(outcome) => outcome,
                None => match self.several(&target) {
                    Ok(slots) => return self.signal_several(slots, signal, client),
                    Err(fault) => Err(fault),
                },
            },
            Request::Upgrade(binary) => return self.upgrade(binary, Some(client)),
            other => self.answer(other),
        };
        self.answers.post(client, outcome);
    }

    /// Once the daemon is on its way down it answers questions and refuses orders.
    fn admit(&self, request: &Request) -> Result<(), Fault> {
        let always = matches!(
            request,
            Request::State
                | Request::Pid
                | Request::Identification
                | Request::SendRemoteCommEvent { .. }
                | Request::Overview(_)
                | Request::Daemon
                | Request::Alive
                | Request::Bearer(_)
        );
        if always || self.state == SupervisorState::Running {
            Ok(())
        } else {
            Err(Fault::new(FaultCode::ShutdownState))
        }
    }

    /// Everything that is answered at once.
    fn answer(&mut self, request: Request) -> Outcome {
        match request {
            Request::State => Ok(Answer::State(self.state)),
            Request::Pid => Ok(Answer::Number(i64::from(self.link.keeper_pid()))),
            Request::Identification => {
                Ok(Answer::Text(self.in_force.config().supervisord.identifier.clone()))
            }
            Request::ProcessInfo(target) => {
                let (_, proc) = self.one(&target)?;
                Ok(Answer::Process(Box::new(self.process_info(proc, clock::wall()))))
            }
            Request::AllProcessInfo => Ok(Answer::Processes(self.all_process_info())),
            Request::Table(table) => Ok(Answer::Rows(self.rows(table))),
            Request::AllConfigInfo => Ok(Answer::Configs(self.all_config_info())),
            Request::ReloadConfig => self.reload_config(),
            Request::AddProcessGroup(name) => self.add_request(&name),
            Request::RemoveProcessGroup(name) => self.remove_request(&name),
            Request::RemoveProcess(target) => self.remove_process_request(&target),
            Request::Shutdown => {
                self.begin_shutdown();
                Ok(Answer::Done)
            }
            Request::Restart => {
                self.begin_restart().map_err(|problem| Fault::with(FaultCode::CantReread, problem))?;
                Ok(Answer::Done)
            }
            Request::MainLog => Ok(Answer::Log(activity_source(&self.in_force.config().supervisord.logfile))),
            Request::ProcessLog(target, stream) => {
                let (_, proc) = self.one(&target)?;
                Ok(Answer::Log(readable_source(proc, stream)))
            }
            Request::Bearer(name) => {
                let names = self.procs.all().map(|(_, proc)| (&*proc.group, &*proc.config.name));
                let found = namespec::bearer(&name, names);
                Ok(Answer::Text(found.unwrap_or(name)))
            }
            Request::ClearLog => self.clear_log(),
            Request::ClearProcessLogs(Target::Name { sent, namespec }) => {
                let (slot, _) = self.find(&namespec.group, namespec.process.as_deref(), &sent)?;
                self.clear_process_logs(slot).map(|()| Answer::Done)
            }
            Request::ClearProcessLogs(target) => self.clear_logs_of_several(&target),
            Request::SendProcessStdin(target, bytes) => self.send_stdin(&target, &bytes),
            Request::SendRemoteCommEvent { kind, data } => {
                self.announce_remote(&kind, &data);
                Ok(Answer::Done)
            }
            Request::ProcessHistory(target) => {
                let (slot, proc) = self.one(&target)?;
                Ok(Answer::Facts(history(proc, self.events.why_unknown(slot))))
            }
            Request::Keeper => Ok(Answer::Facts(vec![
                ("keeper_pid", Fact::Number(i64::from(self.link.keeper_pid()))),
                ("manager_pid", Fact::Number(i64::from(crate::sys::process::own_pid()))),
                ("manager_starts", Fact::Number(i64::from(self.link.manager_starts()))),
                ("manager_version", Fact::Text(crate::VERSION.to_string())),
                ("upgrade", Fact::Text(self.upgrade_state())),
            ])),
            Request::UpgradeState => Ok(Answer::Text(self.upgrade_state())),
            Request::ConfigProblem => Ok(Answer::Text(self.config_problem.clone())),
            Request::Overview(target) => Ok(Answer::Overview(Box::new(self.overview(&target)?))),
            Request::Daemon => Ok(Answer::Overview(Box::new(self.overview_of_daemon()))),
            Request::Alive => Ok(Answer::Alive(self.alive())),
            Request::ConfigSource => Ok(Answer::ConfigSource(Box::new(ConfigSource {
                args: self.boot.args.clone(),
                surroundings: self.surroundings(),
                active: self.procs.groups().iter().map(|group| Arc::clone(&group.config)).collect(),
            }))),
            // `handle` has taken these.
            Request::Start(..) | Request::Stop(..) | Request::Signal(..) | Request::Upgrade(_) => {
                Err(Fault::new(FaultCode::IncorrectParameters))
            }
        }
    }

    /// The one process a request is about.
    pub fn one(&self, target: &Target) -> Result<(SlotId, &Proc), Fault> {
        let Target::Name { sent, namespec } = target else {
            return Err(Fault::new(FaultCode::IncorrectParameters));
        };
        self.find(&namespec.group, namespec.process.as_deref(), sent)
    }

    fn find(&self, group: &str, process: Option<&str>, sent: &str) -> Result<(SlotId, &Proc), Fault> {
        process
            .and_then(|process| self.procs.member(group, process))
            .and_then(|slot| Some((slot, self.procs.proc(slot)?)))
            .ok_or_else(|| Fault::with(FaultCode::BadName, sent))
    }

    /// The processes a request for several is about, in ascending order of (group, process) priority.
    pub fn several(&self, target: &Target) -> Result<Vec<SlotId>, Fault> {
        let mut groups: Vec<_> = match target {
            Target::All => self.procs.groups().iter().collect(),
            Target::Group(name) => {
                vec![self.procs.group(name).ok_or_else(|| Fault::with(FaultCode::BadName, name.clone()))?]
            }
            Target::Name { sent, namespec } => {
                let group = self.procs.group(&namespec.group);
                vec![group.ok_or_else(|| Fault::with(FaultCode::BadName, sent.clone()))?]
            }
        };
        groups.sort_by_key(|group| group.config.priority);
        let mut slots = Vec::new();
        for group in groups {
            let mut members: Vec<(i64, SlotId)> = group
                .members
                .iter()
                .filter_map(|slot| Some((self.procs.proc(*slot)?.config.priority, *slot)))
                .collect();
            members.sort_by_key(|(priority, _)| *priority);
            slots.extend(members.into_iter().map(|(_, slot)| slot));
        }
        Ok(slots)
    }

    /// Carries out an order for one process, or for several.
    fn order(&mut self, order: Order, target: &Target, wait: Wait, client: Client) {
        let Target::Name { sent, namespec: Namespec { process: Some(_), .. } } = target else {
            return match self.several(target) {
                Ok(slots) => self.order_several(order, slots, wait, client),
                Err(fault) => self.answers.post(client, Err(fault)),
            };
        };
        let slot = match self.one(target) {
            Ok((slot, _)) => slot,
            Err(fault) => return self.answers.post(client, Err(fault)),
        };
        let next = match order {
            Order::Start => match self.begin_start(slot, Some(sent)) {
                Ok(()) => self.after_start(slot, sent, wait),
                Err(fault) => Next::Answer(Err(fault)),
            },
            Order::Stop => self.stop(slot, sent, wait),
        };
        match next {
            Next::Answer(outcome) => self.answers.post(client, outcome.map(|()| Answer::Done)),
            Next::Wait(wants) => {
                self.wait_for(slot, Waiter { wants, namespec: sent.clone(), reply: Reply::Single(client) });
            }
        }
    }

    fn wait_for(&mut self, slot: SlotId, waiter: Waiter) {
        if let Some(proc) = self.procs.proc_mut(slot) {
            proc.waiters.push(waiter);
        }
    }

    /// Only those take part to whom the order applies. The last ones to be started are the first to be stopped.
    fn order_several(&mut self, order: Order, mut slots: Vec<SlotId>, wait: Wait, client: Client) {
        if order == Order::Stop {
            slots.reverse();
        }
        slots.retain(|slot| self.procs.proc(*slot).is_some_and(|proc| order.applies_to(proc)));
        let begun: Vec<Result<(), Fault>> = self.spawn_together(|daemon| {
            let begin = |slot: &SlotId| match order {
                Order::Start => daemon.begin_start(*slot, None),
                Order::Stop => Ok(()),
            };
            slots.iter().map(begin).collect()
        });
        let batch = Batch::open(client);
        for (slot, begun) in slots.into_iter().zip(begun) {
            let Some(proc) = self.procs.proc(slot) else { continue };
            let (group, name, namespec) = names(proc);
            let next = match (order, begun) {
                (_, Err(fault)) => Next::Answer(Err(fault)),
                (Order::Start, Ok(())) => self.after_start(slot, &namespec, wait),
                (Order::Stop, Ok(())) => self.stop(slot, &namespec, wait),
            };
            match next {
                Next::Answer(outcome) => batch.borrow_mut().add(&group, &name, outcome),
                Next::Wait(wants) => {
                    batch.borrow_mut().expect();
                    let reply = Reply::Member { batch: batch.clone(), group, name };
                    self.wait_for(slot, Waiter { wants, namespec, reply });
                }
            }
        }
        batch.borrow_mut().close(&mut self.answers);
    }

    /// Lets a process start. Among several its program is created later. `sent` is how the client named it.
    fn begin_start(&mut self, slot: SlotId, sent: Option<&str>) -> Result<(), Fault> {
        let Some(proc) = self.procs.proc(slot) else { return Err(Fault::new(FaultCode::BadName)) };
        let namespec = || sent.map_or_else(|| proc.namespec(), str::to_string);
        match proc.state() {
            ProcessState::Starting | ProcessState::Running | ProcessState::Backoff => {
                return Err(Fault::with(FaultCode::AlreadyStarted, namespec()));
            }
            ProcessState::Unknown => {
                let text = format!("{} is in an unknown process state", namespec());
                return Err(Fault::with(FaultCode::Failed, text));
            }
            ProcessState::Stopped | ProcessState::Exited | ProcessState::Fatal | ProcessState::Stopping => {}
        }
        let config = Arc::clone(&proc.config);
        self.resolve_promptly(&config).map_err(|error| error.fault())?;
        self.apply(slot, Event::Start);
        Ok(())
    }

    /// What comes of a start that has begun.
    fn after_start(&self, slot: SlotId, namespec: &str, wait: Wait) -> Next {
        let Some(proc) = self.procs.proc(slot) else {
            return Next::Answer(Err(Fault::with(FaultCode::BadName, namespec)));
        };
        match (proc.state(), wait) {
            (ProcessState::Running, _) => Next::Answer(Ok(())),
            (ProcessState::Starting, Wait::Yes) => Next::Wait(Wants::Up),
            (ProcessState::Stopping, Wait::Yes) => Next::Wait(Wants::UpAfterStop),
            (ProcessState::Starting | ProcessState::Stopping, Wait::No) => Next::Answer(Ok(())),
            // With startsecs=0 it is up at once and may be gone again by now; its retries go on.
            _ => Next::Answer(Err(Fault::with(FaultCode::SpawnError, namespec))),
        }
    }

    /// Stops a process.
    fn stop(&mut self, slot: SlotId, namespec: &str, wait: Wait) -> Next {
        let not_running = || Next::Answer(Err(Fault::with(FaultCode::NotRunning, namespec)));
        let Some(proc) = self.procs.proc(slot).filter(|proc| proc.is_active()) else { return not_running() };
        let name = proc.config.name.clone();
        self.apply(slot, Event::Stop);
        let Some(proc) = self.procs.proc(slot) else { return not_running() };
        match (proc.state(), wait) {
            (ProcessState::Stopping, Wait::Yes) => {
                ::log::info!("waiting for {name} to stop");
                Next::Wait(Wants::Down)
            }
            (ProcessState::Unknown, _) => {
                let why = &proc.refused_signal;
                let separator = if why.is_empty() { "" } else { ": " };
                let text = format!("unknown problem killing {namespec}{separator}{why}");
                Next::Answer(Err(Fault::with(FaultCode::Failed, text)))
            }
            _ => Next::Answer(Ok(())),
        }
    }

    /// A signal for one process; `None` if the target is several.
    fn signal_request(&mut self, target: &Target, signal: Signal) -> Option<Outcome> {
        let Target::Name { sent, namespec } = target else { return None };
        namespec.process.as_ref()?;
        let slot = match self.one(target) {
            Ok((slot, _)) => slot,
            Err(fault) => return Some(Err(fault)),
        };
        Some(self.signal(slot, sent, signal).map(|()| Answer::Done))
    }

    fn signal_several(&mut self, slots: Vec<SlotId>, signal: Signal, client: Client) {
        let batch = Batch::open(client);
        for slot in slots {
            let Some(proc) = self.procs.proc(slot).filter(|proc| proc.state().is_signallable()) else {
                continue;
            };
            let (group, name, namespec) = names(proc);
            let outcome = self.signal(slot, &namespec, signal);
            batch.borrow_mut().add(&group, &name, outcome);
        }
        batch.borrow_mut().close(&mut self.answers);
    }

    /// Sends a signal to a process; never to its group, and without any change of state.
    fn signal(&mut self, slot: SlotId, namespec: &str, signal: Signal) -> Result<(), Fault> {
        let not_running = || Fault::with(FaultCode::NotRunning, namespec);
        let proc = self.procs.proc(slot).ok_or_else(not_running)?;
        let pid =
            proc.process.state.pid().filter(|_| proc.state().is_signallable()).ok_or_else(not_running)?;
        ::log::debug!("sending {} (pid {pid}) sig {signal}", proc.config.name);
        match self.send_signal(slot, pid, signal, Reach::Process) {
            Ok(()) => Ok(()),
            // It has ended, and its exit is on its way to us.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Err(not_running()),
            Err(error) => {
                Err(Fault::with(FaultCode::Failed, format!("could not send {signal} to {namespec}: {error}")))
            }
        }
    }

    pub fn process_info(&self, proc: &Proc, now: Wall) -> ProcessInfo {
        let process = &proc.process;
        let path = |stream| match log_source(proc, stream) {
            LogSource::File(path) => path.to_string_lossy().into_owned(),
            _ => String::new(),
        };
        ProcessInfo {
            name: proc.config.name.to_string(),
            group: proc.group.to_string(),
            start: process.start.secs(),
            stop: process.stop.secs(),
            now: now.secs(),
            state: proc.state(),
            spawnerr: process.spawnerr.clone(),
            exitstatus: process.exit.map_or(0, |exit| exit.code()),
            stdout_logfile: path(Stream::Stdout),
            stderr_logfile: path(Stream::Stderr),
            pid: process.state.pid().unwrap_or(0),
            description: description(process, &proc.config.name, now) + &note(proc),
        }
    }

    /// Everything about everybody, sorted by group and name; for a while the same one for all who ask. It lives as long
    /// as any of them reads it, so that nothing of it stays in an idle daemon.
    fn all_process_info(&mut self) -> Arc<Processes> {
        let now = clock::wall();
        let moment = (now.secs(), self.procs.version());
        if let Some((then, processes)) = &self.told
            && *then == moment
            && let Some(processes) = processes.upgrade()
        {
            return processes;
        }
        let mut infos: Vec<ProcessInfo> =
            self.procs.all().map(|(_, proc)| self.process_info(proc, now)).collect();
        infos.sort_by(|a, b| (&a.group, &a.name).cmp(&(&b.group, &b.name)));
        let processes = Arc::new(Processes::from(infos));
        // Whether an adopted program's output is logged may change without us.
        let keeps = !self.procs.all().any(|(_, proc)| proc.origin.adopted);
        self.told = keeps.then(|| (moment, Arc::downgrade(&processes)));
        processes
    }

    /// The processes of the last reread, sorted by name alone.
    fn all_config_info(&self) -> Vec<ConfigInfo> {
        let mut infos = Vec::new();
        for group in &self.in_force.config().groups {
            let inuse = self.procs.group(&group.name).is_some();
            for (index, process) in group.processes.iter().enumerate() {
                let logs = self
                    .procs
                    .member(&group.name, &process.name)
                    .and_then(|slot| self.procs.proc(slot))
                    .map(|proc| proc.logs.clone())
                    .unwrap_or_default();
                infos.push(ConfigInfo {
                    group: Arc::clone(group),
                    process: index,
                    inuse,
                    stdout_logfile: logs.stdout,
                    stderr_logfile: logs.stderr,
                });
            }
        }
        infos.sort_by(|a, b| a.group.processes[a.process].name.cmp(&b.group.processes[b.process].name));
        infos
    }

    /// Reads the configuration and says what it would change. Only the groups are taken over, and only to be
    /// added when somebody asks for that.
    fn reload_config(&mut self) -> Outcome {
        let read = config::load(&self.boot.args, &self.surroundings());
        let place = read.as_ref().err().and_then(|errors| errors.first().place());
        self.config_problem = place.unwrap_or_default();
        let fresh = read.map_err(|errors| Fault::with(FaultCode::CantReread, errors.to_string()))?;
        for message in &fresh.messages {
            activity::write(message.level, &message.text);
        }
        let active: Vec<_> = self.procs.groups().iter().map(|group| Arc::clone(&group.config)).collect();
        let reread = config::diff(&active, &fresh.groups);
        self.in_force.reread(fresh.groups);
        Ok(Answer::Reread(reread))
    }

    fn add_request(&mut self, name: &str) -> Outcome {
        // As in Supervisor the file is asked first: a group that runs but stands there no more is unknown.
        let group = self.in_force.config().groups.iter().find(|group| *group.name == *name).cloned();
        let group = group.ok_or_else(|| Fault::with(FaultCode::BadName, name))?;
        if self.procs.group(name).is_some() {
            return Err(Fault::with(FaultCode::AlreadyAdded, name));
        }
        self.add_group(&group).map_err(|problem| Fault::with(FaultCode::Failed, problem))?;
        let saved = self.save();
        self.autostart(name, &saved);
        Ok(Answer::Done)
    }

    fn remove_request(&mut self, name: &str) -> Outcome {
        let group = self.procs.group(name).ok_or_else(|| Fault::with(FaultCode::BadName, name))?;
        let is_at_rest =
            |slot: &SlotId| self.procs.proc(*slot).is_none_or(|proc| may_be_removed(proc.state()));
        if !group.members.iter().all(is_at_rest) {
            return Err(Fault::with(FaultCode::StillRunning, name));
        }
        self.remove_group(name);
        self.announce_removal(name);
        Ok(Answer::Done)
    }

    fn clear_log(&mut self) -> Outcome {
        match activity::path() {
            Some(path) if path.exists() => {
                activity::clear().map_err(|error| {
                    Fault::with(FaultCode::Failed, format!("could not clear {}: {error}", path.display()))
                })?;
                Ok(Answer::Done)
            }
            _ => Err(Fault::new(FaultCode::NoFile)),
        }
    }

    /// Clears the logs of every process that is meant, whatever comes of one of them.
    fn clear_logs_of_several(&mut self, target: &Target) -> Outcome {
        let slots = self.several(target)?;
        let cleared = slots.into_iter().filter_map(|slot| {
            let (group, name, _) = names(self.procs.proc(slot)?);
            Some(BulkStatus { name, group, outcome: self.clear_process_logs(slot) })
        });
        Ok(Answer::Bulk(cleared.collect()))
    }

    fn clear_process_logs(&self, slot: SlotId) -> Result<(), Fault> {
        let Some(proc) = self.procs.proc(slot) else { return Err(Fault::new(FaultCode::BadName)) };
        let failed = |_| Fault::with(FaultCode::Failed, proc.namespec());
        for stream in [Stream::Stdout, Stream::Stderr] {
            let open = match stream {
                Stream::Stdout => proc.streams.stdout(),
                Stream::Stderr => proc.streams.stderr(),
            };
            match (open, log_source(proc, stream)) {
                (Some(mut open), _) => open.clear().map_err(failed)?,
                (None, LogSource::File(path)) => {
                    crate::log::open::clear_file(&path).map_err(failed)?;
                }
                (None, _) => {}
            }
        }
        Ok(())
    }

    fn send_stdin(&mut self, target: &Target, bytes: &[u8]) -> Outcome {
        let (_, proc) = self.one(target)?;
        let namespec = match target {
            Target::Name { sent, .. } => sent.clone(),
            _ => proc.namespec(),
        };
        if !matches!(proc.state(), ProcessState::Starting | ProcessState::Running) {
            return Err(Fault::with(FaultCode::NotRunning, namespec));
        }
        if proc.config.fcgi_socket.is_some() {
            // Its standard input is its socket.
            return Err(Fault::with(FaultCode::NoFile, namespec));
        }
        match proc.streams.write_stdin(bytes) {
            Ok(()) => Ok(Answer::Done),
            Err(StdinError::Closed) => Err(Fault::with(FaultCode::NoFile, namespec)),
            Err(StdinError::Full) => {
                let text = format!("{namespec} does not read its standard input, nothing was sent");
                Err(Fault::with(FaultCode::Failed, text))
            }
        }
    }

    /// Forgets processes that are at rest until their group is added anew.
    fn remove_process_request(&mut self, target: &Target) -> Outcome {
        let Target::Name { sent, namespec } = target else {
            return Err(Fault::new(FaultCode::IncorrectParameters));
        };
        let Some(process) = &namespec.process else { return self.remove_request(&namespec.group) };
        let (_, proc) = self.find(&namespec.group, Some(process), sent)?;
        if !may_be_removed(proc.state()) {
            return Err(Fault::with(FaultCode::StillRunning, sent.clone()));
        }
        self.remove_member(&namespec.group, process);
        if self.procs.group(&namespec.group).is_none() {
            self.announce_removal(&namespec.group);
        }
        Ok(Answer::Done)
    }
}

/// Whether a process in this state can be taken out. As in Supervisor one that is EXITED can, though it waits to be
/// started again.
fn may_be_removed(state: ProcessState) -> bool {
    !state.is_running() && state != ProcessState::Stopping
}

/// What happens to a process by itself, and in what time.
pub fn coming(proc: &Proc) -> Option<(&'static str, Duration)> {
    use crate::core::process::State;
    let what = match proc.process.state {
        State::Starting { .. } => "it counts as RUNNING",
        State::Backoff { .. } | State::Exited { start_at: Some(_) } => "it is started again",
        State::Stopping { then, .. } if usize::from(then) < proc.config.stopsignal_then.len() => {
            "it is sent its next stop signal if it has not ended"
        }
        State::Stopping { .. } => "it is killed with SIGKILL if it has not ended",
        _ => return None,
    };
    Some((what, proc.process.state.deadline()?.since(clock::monotonic())))
}

/// What a row of `status` says about a program beyond the usual.
fn note(proc: &Proc) -> Cow<'static, str> {
    match &proc.newborn {
        Some(newborn) => newborn.waits_for(&proc.config).into(),
        None if proc.is_mute() => ", adopted, output not logged".into(),
        None => "".into(),
    }
}

/// The same, for people who ask.
pub fn note_in_full(proc: &Proc) -> Cow<'static, str> {
    if let Some(newborn) = &proc.newborn {
        let since = clock::monotonic().since(newborn.since).as_secs();
        let (what, patience) = (newborn.waits_for(&proc.config), births::PATIENCE.as_secs());
        return format!(
            "its program does not run yet: {what} has taken {since} s; after {patience} s it is given up"
        )
        .into();
    }
    if proc.is_mute() {
        "it was adopted after its keeper was killed, and its output is not logged any more; a restart mends that"
    } else if proc.origin.adopted {
        "it was adopted after its keeper was killed; when it ends, its exit status may stay unknown"
    } else {
        ""
    }
    .into()
}

/// The same, with what is said of a signal that could not be sent, and of a listener that is not talked to any more.
fn notes(proc: &Proc, why_unknown: Option<String>) -> Vec<String> {
    let mut notes: Vec<String> =
        Some(note_in_full(proc).to_string()).filter(|note| !note.is_empty()).into_iter().collect();
    if proc.state() == ProcessState::Unknown && !proc.refused_signal.is_empty() {
        notes.push(format!("a signal could not be sent to it: {}", proc.refused_signal));
    }
    notes.extend(why_unknown.filter(|_| proc.process.state.pid().is_some()));
    notes
}

/// What a process did before and what happens next.
fn history(proc: &Proc, why_unknown: Option<String>) -> Facts {
    let exits = proc.past.iter().map(|exit| {
        let millis = i64::try_from(exit.lasted.as_millis()).unwrap_or(i64::MAX);
        vec![
            ("at", Fact::Number(exit.at.secs())),
            ("pid", Fact::Number(i64::from(exit.pid))),
            ("status", Fact::Text(exit.status.to_string())),
            ("expected", Fact::Flag(exit.expected)),
            ("lasted_ms", Fact::Number(millis)),
        ]
    });
    let (next, due, due_ms) = match coming(proc) {
        Some((what, delay)) => {
            // What XML-RPC has room for; nobody reads the milliseconds of more than 24 days.
            let fits = |number: u128| i64::from(i32::try_from(number).unwrap_or(i32::MAX));
            (what, fits(delay.as_millis().div_ceil(1000)), fits(delay.as_millis()))
        }
        None => ("", -1, -1),
    };
    vec![
        ("exits", Fact::List(exits.collect())),
        ("next", Fact::Text(next.to_string())),
        ("next_in", Fact::Number(due)),
        ("next_in_ms", Fact::Number(due_ms)),
        ("note", Fact::Text(notes(proc, why_unknown).join("; "))),
    ]
}

/// The names of a process: group, name, and both as a namespec.
fn names(proc: &Proc) -> (String, String, String) {
    let (group, name) = (proc.group.to_string(), proc.config.name.to_string());
    let namespec = namespec::display(&group, &name);
    (group, name, namespec)
}

/// Where a stream of a process can be read, its memory included.
fn readable_source(proc: &Proc, stream: Stream) -> LogSource {
    let open = match stream {
        Stream::Stdout => proc.streams.stdout(),
        Stream::Stderr => proc.streams.stderr(),
    };
    match open.map(|open| open.read_source()) {
        Some(LogSource::Memory(ring)) => LogSource::Memory(ring),
        // A file can be read although the process has never run.
        _ => log_source(proc, stream),
    }
}

/// The file that a stream of a process is logged to.
fn log_source(proc: &Proc, stream: Stream) -> LogSource {
    let (config, auto) = match stream {
        Stream::Stdout => (&proc.config.stdout, &proc.logs.stdout),
        Stream::Stderr if proc.config.redirect_stderr => return LogSource::None,
        Stream::Stderr => (&proc.config.stderr, &proc.logs.stderr),
    };
    match &config.logfile {
        ChildLog::File(path) => LogSource::File(raw::path(path)),
        ChildLog::Auto => auto.clone().map_or(LogSource::None, LogSource::File),
        ChildLog::None => LogSource::None,
        ChildLog::Memory => LogSource::None,
    }
}
