//! Carrying out what was decided: changes of the configuration in force, of logs and of inputs.

use crate::config;
use crate::control::request::{Answer, BulkStatus, Outcome};
use crate::log::activity;
use crate::log::source::LogSource;
use crate::manager::daemon::Daemon;
use crate::manager::processes::SlotId;
use crate::manager::requests::orders::names;
use crate::manager::requests::policy::{Member, Members};
use crate::manager::requests::views::log_source;
use crate::manager::streams::StdinError;
use crate::model::config::GroupConfig;
use crate::model::fault::{Fault, FaultCode};
use crate::model::stream::Stream;
use std::sync::Arc;

/// What came of the last time when the configuration was read again.
#[derive(Debug, Default)]
pub struct LastReread {
    /// Where it was wrong; empty if nowhere.
    problem: String,
}

impl LastReread {
    /// Where the configuration was wrong; empty if nowhere.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl Daemon {
    /// Reads the configuration and says what it would change. Only the groups are taken over, and only to be
    /// added when somebody asks for that.
    pub(super) fn reload_config(&mut self) -> Outcome {
        let read = config::load(&self.boot.args, &self.surroundings());
        self.last_reread.problem =
            read.as_ref().err().and_then(|errors| errors.first().place()).unwrap_or_default();
        let fresh = read.map_err(|errors| Fault::with(FaultCode::CantReread, errors.to_string()))?;
        for message in &fresh.messages {
            activity::write(message.level, &message.text);
        }
        let active: Vec<_> = self.procs.groups().iter().map(|group| Arc::clone(&group.config)).collect();
        let reread = config::diff(&active, &fresh.groups);
        self.in_force.reread(fresh.groups);
        Ok(Answer::Reread(reread))
    }

    pub(super) fn add_request(&mut self, group: &Arc<GroupConfig>) -> Outcome {
        self.add_group(group).map_err(|problem| Fault::with(FaultCode::Failed, problem))?;
        let saved = self.save();
        self.autostart(&group.name, &saved);
        Ok(Answer::Done)
    }

    pub(super) fn remove_request(&mut self, group: &str) -> Outcome {
        self.remove_group(group);
        self.announce_removal(group);
        Ok(Answer::Done)
    }

    pub(super) fn remove_member_request(&mut self, group: &str, name: &str) -> Outcome {
        self.remove_member(group, name);
        if self.procs.group(group).is_none() {
            self.announce_removal(group);
        }
        Ok(Answer::Done)
    }

    pub(super) fn clear_log(&self) -> Outcome {
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
    pub(super) fn clear_logs_of(&self, members: Members<'_>) -> Outcome {
        let members = match members {
            Members::One { slot, .. } => return self.clear_process_logs(slot).map(|()| Answer::Done),
            Members::Several(members) => members,
        };
        let cleared = members.into_iter().filter_map(|Member { slot, .. }| {
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
                    crate::log::sinks::open::clear_file(&path).map_err(failed)?;
                }
                (None, _) => {}
            }
        }
        Ok(())
    }

    pub(super) fn send_stdin(&self, slot: SlotId, sent: &str, bytes: &[u8]) -> Outcome {
        let Some(proc) = self.procs.proc(slot) else { return Err(Fault::with(FaultCode::BadName, sent)) };
        match proc.streams.write_stdin(bytes) {
            Ok(()) => Ok(Answer::Done),
            Err(StdinError::Closed) => Err(Fault::with(FaultCode::NoFile, sent)),
            Err(StdinError::Full) => {
                let text = format!("{sent} does not read its standard input, nothing was sent");
                Err(Fault::with(FaultCode::Failed, text))
            }
        }
    }
}
