//! Shutdown and restart: stops all groups in phases, the highest priority number first.
//!
//! [`Phases`] is the order. A manager that takes over in the middle begins it anew, which changes nothing: groups at rest
//! have no part in it. If no manager comes up, the keeper stops the programs itself; see `keeper::end`.

use crate::config::{self, Surroundings};
use crate::core::process::Event;
use crate::core::shutdown::Phases;
use crate::manager::daemon::{Daemon, flush_messages};
use crate::manager::life::{EndOrder, Ending};
use crate::manager::processes::{Proc, SlotId};
use crate::model::config::Config;
use crate::model::event::Kind;
use crate::model::state::ProcessState::Stopping;
use crate::model::state::SupervisorState;
use crate::shm::layout::IMPATIENT_REQUESTS;
use crate::sys::clock;
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

/// How often the log says who is waited for; Supervisor, supervisord.py, shutdown_report().
const REPORT_INTERVAL: Duration = Duration::from_secs(3);

/// Whose turn it is to be stopped.
enum Layer {
    /// These.
    Now(Vec<SlotId>),
    /// Nobody, until those before have ended.
    Later,
    /// Nobody is left.
    Over,
}

impl Daemon {
    /// Begins to stop everything for good. Asking again changes nothing; during a restart it makes that
    /// the end.
    pub fn begin_shutdown(&mut self) {
        match &mut self.life.ending {
            Some(ending) => ending.restart_with = None,
            None => self.announce_state(Kind::SupervisorStopping),
        }
        self.set_state(SupervisorState::Shutdown);
        self.begin_end(None);
    }

    /// Counts a signal that asked for the end. The one that shows impatience kills what is stopping, and what
    /// is still to be stopped gets no grace period.
    pub fn count_exit_request(&mut self) {
        let Some(ending) = &mut self.life.ending else { return };
        ending.n_requests += 1;
        if ending.n_requests != IMPATIENT_REQUESTS {
            return;
        }
        ::log::warn!("asked {IMPATIENT_REQUESTS} times to exit, killing what still runs");
        if let EndOrder::Layers(order) = &ending.order {
            let slots: Vec<SlotId> = order.under_way().collect();
            for slot in slots {
                self.apply(slot, Event::Escalate);
            }
            return;
        }
        let names = if ending.leaves {
            // Only what somebody is stopping: the rest is to go on.
            self.procs.groups().iter().map(|group| group.config.name.to_string()).collect()
        } else {
            ending.current.clone()
        };
        for name in names {
            self.escalate(&name);
        }
    }

    fn escalate(&mut self, group: &str) {
        for slot in self.last_first(group) {
            self.apply(slot, Event::Escalate);
        }
    }

    /// Begins to stop everything in order to start again with a fresh configuration.
    ///
    /// # Errors
    /// What is wrong with that; nothing has changed then.
    pub fn begin_restart(&mut self) -> Result<(), String> {
        let config = self.read_config()?;
        self.begin_restart_with(config);
        Ok(())
    }

    /// Begins to stop everything in order to start again with this configuration.
    pub fn begin_restart_with(&mut self, config: Config) {
        if self.life.ending.is_none() {
            self.announce_state(Kind::SupervisorStopping);
        }
        self.set_state(SupervisorState::Restarting);
        self.begin_end(Some(Box::new(config)));
    }

    /// Reads the configuration anew, as the daemon was told to at its start.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read_config(&self) -> Result<Config, String> {
        let overrides = self.in_force.overrides();
        let fresh =
            config::load_with(&self.boot.args, &self.surroundings(), &overrides).map_err(|errors| {
                let place = errors.first().place().map(|place| format!(" (at {place})"));
                format!("{errors}{}", place.unwrap_or_default())
            })?;
        Ok(config::keep(&self.active_configs(), fresh))
    }

    /// What a configuration is read in: what the daemon was started in.
    pub fn surroundings(&self) -> Surroundings {
        let mut surroundings = Surroundings::of_this_process();
        surroundings.current_dir = self.boot.current_dir.clone();
        surroundings.environment = self
            .spawn_context
            .environment
            .iter()
            .filter_map(|(key, value)| Some((key.to_str()?.to_string(), value.to_str()?.to_string())))
            .collect();
        surroundings
    }

    fn set_state(&mut self, state: SupervisorState) {
        self.life.state = state;
        self.link.set_supervisor_state(state.code());
        self.show_daemon();
    }

    fn begin_end(&mut self, restart_with: Option<Box<Config>>) {
        if self.life.ending.is_some() {
            return;
        }
        let leaves = restart_with.is_none() && self.leaves_programs() && self.listen_for_successor();
        let order = if leaves || self.dependents.graph().is_none() {
            let groups = self.procs.groups().iter().filter(|_| !leaves);
            let named = groups.map(|group| (group.config.priority, group.config.name.to_string()));
            EndOrder::Phases(Phases::new(named))
        } else {
            EndOrder::Layers(self.stop_order(self.procs.all().map(|(slot, _)| slot)))
        };
        let (current, next_report) = (Vec::new(), clock::monotonic());
        let stopping = if leaves { self.stopping() } else { Vec::new() };
        self.life.ending =
            Some(Ending { order, current, next_report, n_requests: 0, restart_with, leaves, stopping });
    }

    /// Goes on with an end that an earlier manager had begun.
    pub fn continue_end(&mut self) {
        match self.life.state {
            SupervisorState::Running => {}
            SupervisorState::Shutdown => self.begin_end(None),
            SupervisorState::Restarting => {
                // It was valid when the restart began. If it is not any more, the old one is used again.
                let config = self.read_config().unwrap_or_else(|problem| {
                    crate::crit!("cannot read the configuration, the old one stays in force: {problem}");
                    Config::clone(self.in_force.config())
                });
                self.begin_end(Some(Box::new(config)));
            }
        }
    }

    /// Stops the next groups as soon as those before are at rest. True once the daemon is to end.
    pub fn progress_of_end(&mut self) -> bool {
        while self.life.ending.is_some() {
            if let Some(batch) = self.next_layer() {
                match batch {
                    Layer::Now(slots) => self.shut_down(&slots),
                    Layer::Later => {
                        self.report_who_is_waited_for();
                        return false;
                    }
                    Layer::Over if self.end_has_come() => return true,
                    Layer::Over => {}
                }
            } else if self.phase_is_over() {
                let next = match self.life.ending.as_mut().map(|ending| &mut ending.order) {
                    Some(EndOrder::Phases(phases)) => phases.next(),
                    _ => None,
                };
                match next {
                    Some(groups) => self.begin_phase(groups),
                    None if self.end_has_come() => return true,
                    None => {}
                }
            } else {
                self.report_who_is_waited_for();
                return false;
            }
        }
        false
    }

    /// Who is to be stopped next, if that goes by layers.
    fn next_layer(&mut self) -> Option<Layer> {
        let ending = self.life.ending.as_mut()?;
        let EndOrder::Layers(order) = &mut ending.order else { return None };
        let slots = order.next(|slot| self.procs.proc(slot).is_some_and(Proc::is_active));
        Some(match slots.is_empty() {
            false => Layer::Now(slots),
            true if order.is_over() => Layer::Over,
            true => Layer::Later,
        })
    }

    fn shut_down(&mut self, slots: &[SlotId]) {
        let is_impatient =
            self.life.ending.as_ref().is_some_and(|ending| ending.n_requests >= IMPATIENT_REQUESTS);
        for slot in slots {
            self.apply(*slot, Event::ShutDown);
            if is_impatient {
                self.apply(*slot, Event::Escalate);
            }
        }
    }

    fn phase_is_over(&self) -> bool {
        let is_stopping = |slot: &SlotId| self.procs.proc(*slot).is_some_and(|proc| proc.state() == Stopping);
        // Nobody else is stopped by now: requests are refused.
        if self.life.ending.iter().flat_map(|ending| &ending.stopping).any(is_stopping) {
            return false;
        }
        let current = self.life.ending.iter().flat_map(|ending| &ending.current);
        current.into_iter().all(|name| self.procs.group(name).is_none_or(|group| group.active == 0))
    }

    fn begin_phase(&mut self, groups: Vec<String>) {
        for name in &groups {
            for slot in self.last_first(name) {
                self.apply(slot, Event::ShutDown);
            }
            if self.life.ending.as_ref().is_some_and(|ending| ending.n_requests >= IMPATIENT_REQUESTS) {
                self.escalate(name);
            }
        }
        if let Some(ending) = &mut self.life.ending {
            ending.current = groups;
        }
    }

    /// The members of a group that are not at rest, the highest priority number first.
    pub fn last_first(&self, group: &str) -> Vec<SlotId> {
        let members = self.procs.group(group).map(|group| group.members.as_slice()).unwrap_or_default();
        let mut members: Vec<(i64, SlotId)> = members
            .iter()
            .rev()
            .filter_map(|slot| self.procs.proc(*slot).map(|proc| (*slot, proc)))
            .filter(|(_, proc)| proc.is_active())
            .map(|(slot, proc)| (proc.config.priority, slot))
            .collect();
        members.sort_by_key(|(priority, _)| Reverse(*priority));
        members.into_iter().map(|(_, slot)| slot).collect()
    }

    fn report_who_is_waited_for(&mut self) {
        let now = clock::monotonic();
        let Some(ending) = &mut self.life.ending else { return };
        if now < ending.next_report {
            return;
        }
        ending.next_report = now + REPORT_INTERVAL;
        let leaves = ending.leaves;
        let names: Vec<&str> = self
            .procs
            .all()
            .filter(|(_, proc)| if leaves { proc.state() == Stopping } else { proc.is_active() })
            .map(|(_, proc)| &*proc.config.name)
            .collect();
        ::log::info!("waiting for {} to die", names.join(", "));
    }

    /// Everything is at rest: true if the daemon is to end, else it has begun anew.
    fn end_has_come(&mut self) -> bool {
        match &mut self.life.ending {
            Some(Ending { restart_with: Some(_), .. }) => {}
            _ => return true,
        }
        let Some(Ending { restart_with: Some(config), .. }) = self.life.ending.take() else { return true };
        let groups: Vec<_> = self.procs.groups().iter().map(|group| group.config.name.clone()).collect();
        self.updates.clear();
        self.in_force.end_all_updates();
        self.remove_groups(&groups);
        self.adopt_config(*config);
        // Whoever takes over is not told before the groups are there.
        self.life.state = SupervisorState::Running;
        self.start_groups();
        false
    }

    /// Puts a configuration into force, once nothing of the old one runs any more.
    fn adopt_config(&mut self, config: Config) {
        let old = self.in_force.adopt(config);
        if old.supervisord.pidfile != self.in_force.config().supervisord.pidfile {
            crate::manager::launch::pidfile::remove(&old.supervisord.pidfile, self.link.keeper_pid());
        }
        self.set_up_activity_log();
        flush_messages(self.in_force.config());
        if old.supervisord.state_file != self.in_force.config().supervisord.state_file {
            self.open_state_file();
        }
        self.events.rename_server(&self.in_force.config().supervisord.identifier);
        Arc::make_mut(&mut self.spawn_context).adopt(self.in_force.config(), self.link.keeper_pid());
        self.update_servers();
        if old.supervisord.processinfomapfile != self.in_force.config().supervisord.processinfomapfile {
            self.map.remove_file();
            // What another daemon has left there is nobody's business while this one runs.
            self.map.open(self.in_force.config().supervisord.processinfomapfile.clone());
        }
        self.link.set_watchdog(self.in_force.config().supervisord.manager_watchdog);
        self.list_files();
        self.clean_up_auto_logs();
        self.write_pidfile();
    }
}
