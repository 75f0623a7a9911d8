//! A process is started for a single run, perhaps with more arguments than its configuration has.
//!
//! It has a configuration of its own until it has ended: nothing starts it again by itself, nobody probes it, and it does
//! not follow those that it depends on. A successor finds its command in the snapshot, so it neither starts it without its
//! arguments nor a second time.

use crate::config::command;
use crate::control::request::{self, Client, Fact, Target};
use crate::core::process::{Event, State};
use crate::manager::daemon::Daemon;
use crate::manager::processes::{Proc, SlotId};
use crate::manager::requests::policy::Members;
use crate::model::config::{Autorestart, ProcessConfig};
use crate::model::dependency::DependsRestart;
use crate::model::exit::ExitStatus;
use crate::model::fault::{Fault, FaultCode};
use crate::model::restart::RestartPolicy;
use std::sync::Arc;
use std::time::Duration;

impl Daemon {
    /// Starts a process that does not run, for a single run. The client is answered when that has ended.
    pub fn run_once(&mut self, target: &Target, arguments: &[String], client: Client<request::Facts>) {
        let (slot, config) = match self.may_run(target, arguments) {
            Ok(found) => found,
            Err(fault) => return self.answers.post(client, Err(fault)),
        };
        if let Some(proc) = self.procs.proc_mut(slot) {
            proc.begin_run(config, Some(client));
        }
        self.in_force.note_single_run();
        // A successor that did not know would start it without its arguments.
        self.save();
        self.start_with_needs(&[slot]);
        if self.procs.proc(slot).is_some_and(|proc| !is_under_way(&proc.process.state)) {
            self.end_run(slot);
        }
    }

    /// Which process is meant, and the configuration for its run.
    ///
    /// # Errors
    /// What stands in the way.
    fn may_run(&mut self, target: &Target, arguments: &[String]) -> Result<(SlotId, ProcessConfig), Fault> {
        let Members::One { slot, sent } = self.table().start(target)? else {
            return Err(Fault::new(FaultCode::IncorrectParameters));
        };
        let proc = self.procs.proc(slot).ok_or_else(|| Fault::with(FaultCode::BadName, sent))?;
        if matches!(proc.process.state, State::Stopping { .. }) {
            return Err(Fault::with(FaultCode::AlreadyStarted, sent));
        }
        if let Some(why) = self.why_no_start(slot) {
            return Err(Fault::with(FaultCode::Failed, format!("{sent}: {why}")));
        }
        if proc.is_listener {
            let text = format!("{sent} is an event listener, whose output is for the daemon");
            return Err(Fault::with(FaultCode::Failed, text));
        }
        let config = for_one_run(&proc.config, with_arguments(&proc.config.command, arguments));
        self.resolve_promptly(&Arc::new(config.clone())).map_err(|error| error.fault())?;
        Ok((slot, config))
    }

    /// A process of a former manager's is in its single run, if it runs at all.
    pub fn resume_run(proc: &mut Proc, command: String) {
        if is_under_way(&proc.process.state) {
            let config = for_one_run(&proc.config, command);
            proc.begin_run(config, None);
            if let Some(run) = proc.run_mut() {
                run.is_under_way = true;
            }
        }
    }

    /// A process has come to another state. Its single run is over when its program has ended, or will not be created.
    pub(super) fn follow_run(&mut self, slot: SlotId, has_ended: bool) {
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        let under_way = is_under_way(&proc.process.state);
        let Some(run) = proc.run_mut() else { return };
        let was_under_way = std::mem::replace(&mut run.is_under_way, under_way);
        if has_ended || (was_under_way && !under_way) {
            self.end_run(slot);
        }
    }

    /// Gives a process its usual configuration back, and tells its client how it ended.
    fn end_run(&mut self, slot: SlotId) {
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        let Some(run) = proc.end_run() else { return };
        let exit =
            proc.past.back().filter(|exit| run.last_exit.as_ref() != Some(exit)).map(|exit| exit.status);
        let mut facts = vec![("reason", Fact::Text(proc.process.spawnerr.clone()))];
        if let Some(exit) = exit {
            facts.push(("status", Fact::Text(exit.to_string())));
            facts.extend(in_shell(exit).map(|exit| ("exit", Fact::Number(exit))));
        }
        let is_parked = matches!(proc.process.state, State::Parked { .. });
        self.in_force.note_single_run();
        if let Some(client) = run.client {
            self.answers.post(client, Ok(facts));
        }
        if is_parked {
            // Nobody asked for a start of the usual kind when its dependencies hold again.
            self.apply(slot, Event::Stop);
        }
    }
}

/// Whether a process in this state is on its way up, up, or on its way down.
fn is_under_way(state: &State) -> bool {
    match state {
        State::Waiting { .. }
        | State::Starting { .. }
        | State::Running { .. }
        | State::Failing { .. }
        | State::Backoff { .. }
        | State::Stopping { .. } => true,
        State::Stopped
        | State::Exited { .. }
        | State::Fatal { .. }
        | State::Parked { .. }
        | State::Unknown { .. } => false,
    }
}

/// The configuration of a process for a single run with this command.
fn for_one_run(config: &ProcessConfig, command: String) -> ProcessConfig {
    let mut config = config.clone();
    config.command = command;
    config.autorestart = Autorestart::Never;
    config.startretries = 0;
    config.startsecs = Duration::ZERO;
    config.restart = RestartPolicy::default();
    config.dependencies.depends_restart = DependsRestart::None;
    config.readiness = None;
    config.health_check = None;
    config.watchdog = None;
    config
}

/// A command with more words, each of which stays one word whatever is in it.
fn with_arguments(command: &str, arguments: &[String]) -> String {
    let mut text = command.to_string();
    for argument in arguments {
        text.push(' ');
        text.push_str(&command::quoted(argument));
    }
    text
}

/// The exit status that a shell has for it; `None` if nobody knows.
fn in_shell(status: ExitStatus) -> Option<i64> {
    match status {
        ExitStatus::Code(code) => Some(code.into()),
        ExitStatus::Signal { signal, .. } => Some(128 + i64::from(signal.raw())),
        ExitStatus::Unknown => None,
    }
}
