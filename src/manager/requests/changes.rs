//! Carries out changes: of the configuration in force, of logs and of standard inputs.

use crate::config::update::{self, UpdatePlan};
use crate::config::{self, Reread};
use crate::control::ask::{Applied, Updated};
use crate::control::request::{BulkStatus, Client, Target};
use crate::log::activity;
use crate::log::source::LogSource;
use crate::manager::daemon::Daemon;
use crate::manager::processes::SlotId;
use crate::manager::processes::update::Asked;
use crate::manager::requests::orders::names;
use crate::manager::requests::policy::{Member, Members, Removal};
use crate::manager::requests::views::log_source;
use crate::manager::streams::StdinError;
use crate::model::config::GroupConfig;
use crate::model::fault::{Fault, FaultCode};
use crate::model::namespec::Namespec;
use crate::model::state_file::full_name;
use crate::model::stream::Stream;
use std::collections::{HashMap, HashSet};
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
    pub(super) fn reload_config(&mut self) -> Result<Reread, Fault> {
        self.read_again()?;
        let active: Vec<_> = self.procs.groups().iter().map(|group| Arc::clone(&group.config)).collect();
        Ok(config::diff(&active, &self.in_force.config().groups))
    }

    /// Reads the configuration and takes over its groups, to be added or changed when somebody asks for that.
    fn read_again(&mut self) -> Result<(), Fault> {
        let read = config::load_with(&self.boot.args, &self.surroundings(), &self.in_force.overrides());
        self.last_reread.problem =
            read.as_ref().err().and_then(|errors| errors.first().place()).unwrap_or_default();
        let fresh = read.map_err(|errors| Fault::with(FaultCode::CantReread, errors.to_string()))?;
        for message in &fresh.messages {
            activity::write(message.level, &message.text);
        }
        let active = self.active_configs();
        let mut fresh = config::keep(&active, fresh);
        config::share(&active, &mut fresh.groups);
        self.in_force.reread(fresh);
        self.show_daemon();
        Ok(())
    }

    /// Reads the configuration again and makes groups what it says, or says what that would do.
    pub(super) fn update_request(
        &mut self,
        names: Option<&[String]>,
        plan_only: bool,
        client: Client<Updated>,
    ) {
        let plan = self.read_again().and_then(|()| self.update_plan(names));
        match plan {
            Ok(plan) if plan_only => self.answers.post(client, Ok(Updated { plan, problems: Vec::new() })),
            Ok(plan) => self.update_groups(plan, names, Some(Asked::Update(client))),
            Err(fault) => self.answers.post(client, Err(fault)),
        }
    }

    /// Reads the configuration again and lets processes have what it says of them from their next start on. Nothing else is
    /// touched.
    ///
    /// # Errors
    /// CANT_REREAD; BAD_NAME; FAILED if one of them is not configured any more, or shares sockets that have changed.
    pub(super) fn take_configuration(&mut self, target: &Target) -> Result<(), Fault> {
        self.read_again()?;
        let slots = match target {
            Target::Name { namespec: Namespec { process: Some(_), .. }, .. } => {
                vec![self.table().one(target)?.0]
            }
            _ => self.table().several(target)?,
        };
        let mut found = Vec::with_capacity(slots.len());
        for slot in slots {
            let Some(proc) = self.procs.proc(slot) else { continue };
            let failed = |why: &str| Fault::with(FaultCode::Failed, format!("{}: {why}", proc.namespec()));
            let group = self.in_force.config().groups.iter().find(|group| group.name == proc.group);
            let config =
                group.and_then(|group| group.processes.iter().find(|it| it.name == proc.config.name));
            let config = config.ok_or_else(|| failed("it is not configured any more: run update"))?;
            if proc.usual_config().sockets != config.sockets
                || proc.usual_config().fcgi_socket != config.fcgi_socket
            {
                return Err(failed("its sockets are configured differently: run update"));
            }
            found.push((slot, Arc::clone(config)));
        }
        found.into_iter().for_each(|(slot, config)| self.configure_next_start(slot, &config));
        Ok(())
    }

    /// What makes groups what the last reread says.
    ///
    /// # Errors
    /// BAD_NAME for a group that is neither active nor configured.
    fn update_plan(&self, names: Option<&[String]>) -> Result<UpdatePlan, Fault> {
        let active = self.coming_groups();
        let configured = &self.in_force.config().groups;
        let Some(names) = names else { return Ok(update::plan(&active, configured, |_| true)) };
        let known: HashSet<&str> = active.iter().chain(configured).map(|group| &*group.name).collect();
        if let Some(unknown) = names.iter().find(|name| !known.contains(name.as_str())) {
            return Err(Fault::with(FaultCode::BadName, unknown.clone()));
        }
        let wanted: HashSet<&str> = names.iter().map(String::as_str).collect();
        Ok(update::plan(&active, configured, |group| wanted.contains(group)))
    }

    /// The configurations of the active groups. Those that are the same as at the last reread say which files they were in
    /// then.
    pub(crate) fn active_configs(&self) -> Vec<Arc<GroupConfig>> {
        let reread: HashMap<&str, &Arc<GroupConfig>> =
            self.in_force.config().groups.iter().map(|group| (&*group.name, group)).collect();
        let latest = |active: &Arc<GroupConfig>| {
            let same = reread.get(&*active.name).filter(|reread| **reread == active);
            Arc::clone(same.copied().unwrap_or(active))
        };
        self.procs.groups().iter().map(|group| latest(&group.config)).collect()
    }

    pub(super) fn add_request(&mut self, group: &Arc<GroupConfig>) -> Result<(), Fault> {
        self.add_group(group).map_err(|problem| Fault::with(FaultCode::Failed, problem))?;
        let saved = self.save();
        self.autostart(&group.name, &saved);
        Ok(())
    }

    pub(super) fn remove_request(&mut self, removal: Removal<'_>) {
        let group = match removal {
            Removal::Group(group) => {
                self.forget_wanted_of_group(group);
                self.remove_group(group);
                group
            }
            Removal::Member { group, name } => {
                self.in_force.forget_wanted(|wanted| wanted == full_name(group, name));
                self.remove_member(group, name);
                group
            }
        };
        if self.procs.group(group).is_none() {
            self.announce_removal(group);
        }
    }

    pub(super) fn clear_log(&self) -> Result<(), Fault> {
        match activity::path() {
            Some(path) if path.exists() => activity::clear().map_err(|error| {
                Fault::with(FaultCode::Failed, format!("could not clear {}: {error}", path.display()))
            }),
            _ => Err(Fault::new(FaultCode::NoFile)),
        }
    }

    /// Clears the logs of every process that is meant, whatever comes of one of them.
    pub(super) fn clear_logs_of(&self, members: Members<'_>) -> Result<Applied, Fault> {
        let members = match members {
            Members::One { slot, .. } => return self.clear_process_logs(slot).map(|()| Applied::One),
            Members::Several(members) => members,
        };
        let cleared = members.into_iter().filter_map(|Member { slot, .. }| {
            let (group, name, _) = names(self.procs.proc(slot)?);
            Some(BulkStatus { name, group, outcome: self.clear_process_logs(slot) })
        });
        Ok(Applied::Several(cleared.collect()))
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

    pub(super) fn send_stdin(&self, slot: SlotId, sent: &str, bytes: &[u8]) -> Result<(), Fault> {
        let Some(proc) = self.procs.proc(slot) else { return Err(Fault::with(FaultCode::BadName, sent)) };
        match proc.streams.write_stdin(bytes) {
            Ok(()) => Ok(()),
            Err(StdinError::Closed) => Err(Fault::with(FaultCode::NoFile, sent)),
            Err(StdinError::Full) => {
                let text = format!("{sent} does not read its standard input, nothing was sent");
                Err(Fault::with(FaultCode::Failed, text))
            }
        }
    }
}
