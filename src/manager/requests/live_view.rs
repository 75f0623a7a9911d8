//! What the page, the REST interface and the metrics show of the daemon: changes as they happen, and overviews.

use crate::control::overview::{Alive, Change, DaemonView, Overview, ProcessView};
use crate::control::request::Target;
use crate::core::process::StateChange;
use crate::manager::daemon::Daemon;
use crate::manager::processes::{Proc, SlotId};
use crate::manager::requests::views::{coming, note_in_full};
use crate::model::fault::Fault;
use crate::model::state::ProcessState;
use crate::model::time::{Monotonic, Wall};
use crate::sys::{clock, process};
use std::sync::Arc;

impl Daemon {
    /// Publishes that a process has changed its state, at `now` on the monotonic and `at` on the wall clock.
    pub fn show_changes(&mut self, slot: SlotId, changes: &[StateChange], now: Monotonic, at: Wall) {
        self.measure(slot, changes, now);
        let Some(proc) = self.procs.proc(slot) else { return };
        for change in changes {
            let change = Change {
                at,
                group: proc.group.clone(),
                process: proc.config.name.clone(),
                from: change.from,
                to: change.to,
                detail: detail(proc, *change),
            };
            self.http.feed().publish_change(change, || self.process_view(proc, at));
        }
    }

    /// Measures how long it took to get a program up, or up again.
    fn measure(&mut self, slot: SlotId, changes: &[StateChange], now: Monotonic) {
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        for change in changes {
            match change.to {
                ProcessState::Running => {
                    let timings = self.http.timings();
                    timings.record_start(now.since(proc.process.started));
                    if let Some(since) = proc.is_not_down() {
                        timings.record_restart(now.since(since));
                    }
                }
                ProcessState::Exited if proc.is_active() => proc.is_down(now),
                // Back by itself: in one step with the exit. Whoever starts it later does so in another.
                ProcessState::Starting if changes.iter().any(|other| other.to == ProcessState::Exited) => {
                    proc.is_down(now);
                }
                ProcessState::Stopped | ProcessState::Fatal | ProcessState::Unknown => {
                    proc.is_not_down();
                }
                _ => {}
            }
        }
    }

    /// Publishes what there is to know of a process now, though its state is the same.
    pub fn show_process(&self, slot: SlotId) {
        if let Some(proc) = self.procs.proc(slot) {
            self.http.feed().publish_process(|| self.process_view(proc, clock::wall()));
        }
    }

    /// Publishes the processes of a group that was added.
    pub fn show_group(&self, group: &str) {
        let members = self.procs.group(group).map(|group| group.members.as_slice()).unwrap_or_default();
        members.iter().for_each(|slot| self.show_process(*slot));
    }

    /// Publishes what the daemon as a whole does.
    pub fn show_daemon(&self) {
        self.http.feed().publish_daemon(&self.daemon_view());
    }

    /// The daemon, and the processes that are meant.
    ///
    /// # Errors
    /// BAD_NAME.
    pub fn overview(&self, target: &Target) -> Result<Overview, Fault> {
        let now = clock::wall();
        let view = |proc: &Proc| self.process_view(proc, now);
        let mut processes: Vec<ProcessView> = match target {
            Target::All => self.procs.all().map(|(_, proc)| view(proc)).collect(),
            Target::Name { namespec, .. } if namespec.process.is_some() => {
                vec![view(self.table().one(target)?.1)]
            }
            Target::Name { .. } | Target::Group(_) => {
                let slots = self.table().several(target)?;
                slots.into_iter().filter_map(|slot| self.procs.proc(slot)).map(view).collect()
            }
        };
        processes.sort_by(|a, b| (&a.info.group, &a.info.name).cmp(&(&b.info.group, &b.info.name)));
        Ok(Overview { processes, ..self.overview_of_daemon() })
    }

    /// The daemon without any process.
    pub fn overview_of_daemon(&self) -> Overview {
        let (sequence, daemon) = (self.http.feed().sequence(), self.daemon_view());
        Overview { sequence, daemon, processes: Vec::new() }
    }

    fn daemon_view(&self) -> DaemonView {
        DaemonView {
            state: self.life.state(),
            identifier: self.in_force.config().supervisord.identifier.clone(),
            nodename: self.in_force.config().supervisord.nodename.clone().unwrap_or_else(process::host_name),
            keeper_pid: self.link.keeper_pid(),
            manager_pid: process::own_pid(),
            manager_starts: self.link.manager_starts(),
            config: self.in_force.config().path.clone(),
            skipped_files: self.skipped_files(),
        }
    }

    /// The files that the last reread left out, each with what is wrong in it.
    pub fn skipped_files(&self) -> Vec<String> {
        self.in_force.config().skipped.iter().map(ToString::to_string).collect()
    }

    /// Who is alive.
    pub fn alive(&self) -> Vec<Alive> {
        let alive = self.procs.all().filter_map(|(_, proc)| {
            let pid = proc.process.state.pid()?;
            Some(Alive { group: proc.group.to_string(), name: proc.config.name.to_string(), pid })
        });
        alive.collect()
    }

    fn process_view(&self, proc: &Proc, now: Wall) -> ProcessView {
        ProcessView {
            info: self.process_info(proc, now),
            program: Arc::clone(&proc.config.program),
            is_listener: proc.is_listener,
            starts: proc.starts,
            failures: proc.process.failures,
            last_exit: proc.process.exit.or_else(|| proc.past.back().map(|exit| exit.status)),
            exits: proc.past.iter().cloned().collect(),
            tally: proc.tally.clone(),
            n_logged: proc.streams.n_read(),
            note: note_in_full(proc),
            next: coming(proc),
            life: self.life_view(proc),
        }
    }
}

/// What goes with a change of state.
fn detail(proc: &Proc, change: StateChange) -> String {
    match change.to {
        ProcessState::Running | ProcessState::Stopping if change.pid > 0 => {
            format!("pid {}", change.pid)
        }
        ProcessState::Backoff | ProcessState::Fatal | ProcessState::Unknown => proc.process.spawnerr.clone(),
        ProcessState::Exited | ProcessState::Stopped => {
            // It may be on its way up again already.
            let last = proc.past.back().filter(|_| change.to == ProcessState::Exited).map(|exit| exit.status);
            let status = proc.process.exit.or(last).map(|status| status.to_string()).unwrap_or_default();
            let unexpected = change.to == ProcessState::Exited && !change.expected;
            if unexpected { format!("{status}; not expected") } else { status }
        }
        ProcessState::Starting | ProcessState::Running | ProcessState::Stopping => String::new(),
    }
}
