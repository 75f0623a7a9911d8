//! What is to be done about a request: which processes it means, in which order, and what stands in the way.
//!
//! The rules look at the table and change nothing. A request that is refused leaves everything as it is.

use crate::control::ask::Call;
use crate::control::request::{Target, Wait};
use crate::manager::processes::{Proc, ProcessManager, SlotId};
use crate::manager::requests::waiters::{Wants, start_failed};
use crate::model::config::GroupConfig;
use crate::model::fault::{Fault, FaultCode};
use crate::model::namespec::Namespec;
use crate::model::state::{ProcessState, SupervisorState};
use std::sync::Arc;

/// What the rules look at.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    /// What the daemon is doing.
    pub state: SupervisorState,
    /// The active groups and processes.
    pub procs: &'a ProcessManager,
    /// The groups of the last reread.
    pub configured: &'a [Arc<GroupConfig>],
}

/// What is to be taken out, all of it at rest.
#[derive(Debug)]
pub enum Removal<'r> {
    /// A group, by its name.
    Group(&'r str),
    /// One process, which its group forgets until it is added anew.
    Member {
        /// Its group.
        group: &'r str,
        /// Its name in the group.
        name: &'r str,
    },
}

/// What can be asked of processes and may take a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// To RUNNING, and before it what it depends on.
    Start,
    /// To RUNNING, whatever it depends on.
    StartAlone,
    /// To STOPPED.
    Stop,
}

/// Whom a request is about.
#[derive(Debug)]
pub enum Members<'r> {
    /// The answer is about it alone. The client named it `sent`.
    One {
        /// The process.
        slot: SlotId,
        /// What a fault quotes.
        sent: &'r str,
    },
    /// Each gets a line of the answer, in this order.
    Several(Vec<Member>),
}

/// One of several.
#[derive(Debug)]
pub struct Member {
    /// Which process.
    pub slot: SlotId,
    /// What stands in the way of this one.
    pub refused: Option<Fault>,
}

/// How an order for a process goes on once it was given.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// It has happened, or cannot.
    Answer(Result<(), Fault>),
    /// The answer comes when this has happened.
    Wait(Wants),
}

/// Whether a request is dealt with at all. Once the daemon is on its way down it answers questions about itself and refuses
/// everything else.
///
/// # Errors
/// SHUTDOWN_STATE.
pub fn admit(state: SupervisorState, call: &Call) -> Result<(), Fault> {
    let always = matches!(
        call,
        Call::State(..)
            | Call::Pid(..)
            | Call::Identification(..)
            | Call::SendRemoteCommEvent(..)
            | Call::Overview(..)
            | Call::Daemon(..)
            | Call::Alive(..)
            | Call::ResolveName(..)
    );
    if always || state == SupervisorState::Running {
        Ok(())
    } else {
        Err(Fault::new(FaultCode::ShutdownState))
    }
}

/// What comes of a start that has begun, by the state it has led to. `reason` is why it failed, if that is to be told.
pub fn after_start(state: ProcessState, namespec: &str, reason: &str, wait: Wait) -> Next {
    match (state, wait) {
        (ProcessState::Running, _) => Next::Answer(Ok(())),
        (ProcessState::Starting, Wait::Yes) => Next::Wait(Wants::Up),
        (ProcessState::Stopping, Wait::Yes) => Next::Wait(Wants::UpAfterStop),
        (ProcessState::Starting | ProcessState::Stopping, Wait::No) => Next::Answer(Ok(())),
        // With startsecs=0 it is up at once and may be gone again by now; its retries go on.
        (
            ProcessState::Backoff
            | ProcessState::Exited
            | ProcessState::Fatal
            | ProcessState::Stopped
            | ProcessState::Unknown,
            _,
        ) => Next::Answer(Err(start_failed(namespec, reason))),
    }
}

/// What comes of a stop that was asked for, by the state it has led to. `refused_signal` is why the signal could not be
/// sent.
pub fn after_stop(state: ProcessState, namespec: &str, refused_signal: &str, wait: Wait) -> Next {
    match (state, wait) {
        (ProcessState::Stopping, Wait::Yes) => Next::Wait(Wants::Down),
        (ProcessState::Unknown, _) => {
            let separator = if refused_signal.is_empty() { "" } else { ": " };
            let text = format!("unknown problem killing {namespec}{separator}{refused_signal}");
            Next::Answer(Err(Fault::with(FaultCode::Failed, text)))
        }
        _ => Next::Answer(Ok(())),
    }
}

/// What is asked of processes, one or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Start,
    StartAlone,
    Stop,
    Signal,
}

impl Rule {
    /// Whether a process takes part when several are meant.
    fn applies_to(self, proc: &Proc) -> bool {
        match self {
            Rule::Start => !proc.state().is_running(),
            Rule::StartAlone => !proc.state().is_running() || proc.is_waiting(),
            Rule::Stop => proc.is_active(),
            Rule::Signal => proc.state().is_signallable(),
        }
    }

    /// # Errors
    /// What stands in the way, with the process called `namespec`.
    fn allows(self, proc: &Proc, namespec: impl FnOnce() -> String) -> Result<(), Fault> {
        match (self, proc.state()) {
            (Rule::StartAlone, _) if proc.is_waiting() => Ok(()),
            (
                Rule::Start | Rule::StartAlone,
                ProcessState::Starting | ProcessState::Running | ProcessState::Backoff,
            ) => Err(Fault::with(FaultCode::AlreadyStarted, namespec())),
            (Rule::Start | Rule::StartAlone, ProcessState::Unknown) => {
                let text = format!("{} is in an unknown process state", namespec());
                Err(Fault::with(FaultCode::Failed, text))
            }
            (
                Rule::Start | Rule::StartAlone,
                ProcessState::Stopped | ProcessState::Exited | ProcessState::Fatal | ProcessState::Stopping,
            ) => Ok(()),
            (Rule::Stop, _) if proc.is_active() => Ok(()),
            (Rule::Signal, state) if state.is_signallable() && proc.process.state.pid().is_some() => Ok(()),
            (Rule::Stop | Rule::Signal, _) => Err(Fault::with(FaultCode::NotRunning, namespec())),
        }
    }
}

impl<'a> Table<'a> {
    /// The one process a request is about.
    ///
    /// # Errors
    /// BAD_NAME; INCORRECT_PARAMETERS if it is about several.
    pub fn one(self, target: &Target) -> Result<(SlotId, &'a Proc), Fault> {
        let Target::Name { sent, namespec } = target else {
            return Err(Fault::new(FaultCode::IncorrectParameters));
        };
        let process = namespec.process.as_deref();
        process
            .and_then(|process| self.procs.member(&namespec.group, process))
            .and_then(|slot| Some((slot, self.procs.proc(slot)?)))
            .ok_or_else(|| Fault::with(FaultCode::BadName, sent))
    }

    /// The processes a request for several is about, in ascending order of (group, process) priority.
    ///
    /// # Errors
    /// BAD_NAME.
    pub fn several(self, target: &Target) -> Result<Vec<SlotId>, Fault> {
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

    /// The processes that a start is about, in the order in which they are to be started.
    ///
    /// # Errors
    /// BAD_NAME, or what stands in the way of the one process that is meant.
    pub fn start(self, target: &Target) -> Result<Members<'_>, Fault> {
        self.members(target, Rule::Start)
    }

    /// As [`Table::start`]; who waits for others is among them.
    ///
    /// # Errors
    /// As [`Table::start`].
    pub fn start_alone(self, target: &Target) -> Result<Members<'_>, Fault> {
        self.members(target, Rule::StartAlone)
    }

    /// The processes that a stop is about, in the order in which they are to be stopped.
    ///
    /// # Errors
    /// As [`Table::start`].
    pub fn stop(self, target: &Target) -> Result<Members<'_>, Fault> {
        self.members(target, Rule::Stop)
    }

    /// The processes that are to be sent a signal.
    ///
    /// # Errors
    /// As [`Table::start`].
    pub fn signal(self, target: &Target) -> Result<Members<'_>, Fault> {
        self.members(target, Rule::Signal)
    }

    /// The processes whose logs are to be emptied.
    ///
    /// # Errors
    /// BAD_NAME. A name is taken to be that of one process.
    pub fn clear_logs(self, target: &Target) -> Result<Members<'_>, Fault> {
        if let Target::Name { sent, .. } = target {
            let (slot, _) = self.one(target)?;
            return Ok(Members::One { slot, sent });
        }
        let member = |slot| Member { slot, refused: None };
        Ok(Members::Several(self.several(target)?.into_iter().map(member).collect()))
    }

    /// Of several only those take part to whom the rule applies. The last ones to be started are the first to be stopped.
    fn members<'r>(self, target: &'r Target, rule: Rule) -> Result<Members<'r>, Fault> {
        if let Target::Name { sent, namespec: Namespec { process: Some(_), .. } } = target {
            let (slot, proc) = self.one(target)?;
            rule.allows(proc, || sent.clone())?;
            return Ok(Members::One { slot, sent });
        }
        let mut slots = self.several(target)?;
        if rule == Rule::Stop {
            slots.reverse();
        }
        let member = |slot| {
            let proc = self.procs.proc(slot).filter(|proc| rule.applies_to(proc))?;
            Some(Member { slot, refused: rule.allows(proc, || proc.namespec()).err() })
        };
        Ok(Members::Several(slots.into_iter().filter_map(member).collect()))
    }

    /// A group that is to become active.
    ///
    /// # Errors
    /// BAD_NAME if the last reread has no such group; ALREADY_ADDED.
    pub fn add_group(self, name: &str) -> Result<Arc<GroupConfig>, Fault> {
        // As in Supervisor the file is asked first: a group that runs but stands there no more is unknown.
        let group = self.configured.iter().find(|group| *group.name == *name);
        let group = group.ok_or_else(|| Fault::with(FaultCode::BadName, name))?;
        if self.procs.group(name).is_some() {
            return Err(Fault::with(FaultCode::AlreadyAdded, name));
        }
        Ok(Arc::clone(group))
    }

    /// A group that is to be taken out.
    ///
    /// # Errors
    /// BAD_NAME; STILL_RUNNING unless all of it is at rest.
    pub fn remove_group(self, name: &str) -> Result<Removal<'_>, Fault> {
        let group = self.procs.group(name).ok_or_else(|| Fault::with(FaultCode::BadName, name))?;
        let is_at_rest =
            |slot: &SlotId| self.procs.proc(*slot).is_none_or(|proc| may_be_removed(proc.state()));
        if !group.members.iter().all(is_at_rest) {
            return Err(Fault::with(FaultCode::StillRunning, name));
        }
        Ok(Removal::Group(name))
    }

    /// What is to be forgotten until its group is added anew: one process, or with `group:*` all of a group.
    ///
    /// # Errors
    /// BAD_NAME; STILL_RUNNING unless all of it is at rest; INCORRECT_PARAMETERS for anything but a name.
    pub fn remove(self, target: &Target) -> Result<Removal<'_>, Fault> {
        let Target::Name { sent, namespec } = target else {
            return Err(Fault::new(FaultCode::IncorrectParameters));
        };
        let Some(name) = &namespec.process else { return self.remove_group(&namespec.group) };
        let (_, proc) = self.one(target)?;
        if !may_be_removed(proc.state()) {
            return Err(Fault::with(FaultCode::StillRunning, sent));
        }
        Ok(Removal::Member { group: &namespec.group, name })
    }

    /// The process whose standard input is to be written to, and how the client named it.
    ///
    /// # Errors
    /// BAD_NAME; NOT_RUNNING; NO_FILE if its standard input is a socket; INCORRECT_PARAMETERS for several.
    pub fn send_stdin(self, target: &Target) -> Result<(SlotId, &str), Fault> {
        let (slot, proc) = self.one(target)?;
        let Target::Name { sent, .. } = target else {
            return Err(Fault::new(FaultCode::IncorrectParameters));
        };
        if !matches!(proc.state(), ProcessState::Starting | ProcessState::Running) {
            return Err(Fault::with(FaultCode::NotRunning, sent));
        }
        if proc.config.fcgi_socket.is_some() {
            // Its standard input is its socket.
            return Err(Fault::with(FaultCode::NoFile, sent));
        }
        Ok((slot, sent))
    }
}

/// Whether a process in this state can be taken out. As in Supervisor one that is EXITED can, though it waits to be
/// started again.
fn may_be_removed(state: ProcessState) -> bool {
    !state.is_running() && state != ProcessState::Stopping
}
