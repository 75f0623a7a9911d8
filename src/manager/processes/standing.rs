//! Programs that a former daemon may have left running and that are not adopted: nobody is started beside them.
//!
//! Two copies of a program do more harm than none: both write to the same files and listen at the same address. Where it
//! is not certain whose a process is, it is neither touched nor started a second time. The program of its name cannot be
//! started before the process has ended, and `spawnerr` says so with the pid.

use crate::core::info_map::InfoMapEntry;
use crate::manager::daemon::Daemon;
use crate::manager::processes::SlotId;
use crate::manager::processes::adoption::Adoptable;
use crate::model::config::ProcessConfig;
use crate::model::namespec;
use crate::model::time::Wall;
use crate::sys::{orphans, pidfd, process, user};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// How exactly a table says when a program was started that does not say it in clock ticks.
const SLACK: Duration = Duration::from_secs(5);

/// A process that nobody may be started beside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    group: String,
    program: String,
    pid: i32,
    /// When the kernel created it, in clock ticks since boot.
    start_ticks: u64,
    /// It only counts if it runs as the user of the program; `None`: whoever it runs as.
    user: Option<u32>,
}

impl Standing {
    /// Whether the process is alive: the pid alone might be another's by now.
    pub fn lives(&self) -> bool {
        process::lives(self.pid, self.start_ticks)
    }

    fn is_a(&self, group: &str, config: &ProcessConfig) -> bool {
        self.group == group
            && self.program == *config.name
            && self.user.is_none_or(|user| user == user_of(config))
    }
}

/// Whom a program runs as.
fn user_of(config: &ProcessConfig) -> u32 {
    config.user.as_ref().map_or_else(user::current_uid, |user| user.uid)
}

impl Daemon {
    /// # Errors
    /// A former daemon's program of the name may be alive; as `spawnerr` says it.
    pub fn nobody_stands_in_the_way(&mut self, slot: SlotId) -> Result<(), String> {
        if self.in_force.in_the_way().is_empty() {
            return Ok(());
        }
        self.in_force.forget_ended();
        let Some(proc) = self.procs.proc(slot) else { return Ok(()) };
        let standing =
            self.in_force.in_the_way().iter().find(|standing| standing.is_a(&proc.group, &proc.config));
        standing.map_or(Ok(()), |standing| {
            let (name, pid) = (proc.namespec(), standing.pid);
            Err(format!(
                "a '{name}' that a former supervisord left running may be alive as pid {pid}: it is not started a second \
                 time before that has ended"
            ))
        })
    }

    /// Lets a program of a table run that is not taken over.
    pub fn leave_standing(&mut self, entry: &InfoMapEntry, why: &str) {
        ::log::error!(
            "'{}' (pid {}) is left from the last run and is not started anew while that lives: {why}",
            entry.namespec(),
            entry.pid
        );
        self.in_force.leave_standing(Standing {
            group: entry.group.to_string(),
            program: entry.program.to_string(),
            pid: entry.pid,
            start_ticks: entry.start_ticks,
            user: None,
        });
    }

    /// Finds programs of a former daemon that no table names: there is none, it is not to be believed, or they were
    /// started just before their keeper was killed.
    pub fn find_who_stands_in_the_way(&mut self, adoptable: &[Adoptable]) {
        if self.in_force.config().supervisord.exitkillall && self.map_path().is_none() {
            // They end with their keeper.
            return;
        }
        for orphan in orphans::find() {
            let is_known = adoptable.iter().any(|program| program.entry.pid == orphan.pid)
                || self.in_force.in_the_way().iter().any(|standing| standing.pid == orphan.pid);
            if is_known || orphan.server_url != self.url_for(&orphan) {
                continue;
            }
            let name = namespec::display(&orphan.group, &orphan.program);
            ::log::warn!(
                "pid {} is a '{name}' of a former supervisord that no table says more of: it is not touched, and '{name}' \
                 is not started while it lives",
                orphan.pid
            );
            self.in_force.leave_standing(Standing {
                group: orphan.group,
                program: orphan.program,
                pid: orphan.pid,
                start_ticks: orphan.start_ticks,
                user: Some(orphan.user),
            });
        }
    }

    /// How a program of this name is told to reach us.
    fn url_for(&self, orphan: &orphans::Orphan) -> String {
        let config = self.configured(&orphan.group, &orphan.program);
        let own = config
            .as_ref()
            .and_then(|config| config.environment.get("SUPERVISOR_SERVER_URL").or(config.serverurl.as_ref()));
        own.or(self.spawn_context.server_url.as_ref()).cloned().unwrap_or_default()
    }

    fn configured(&self, group: &str, program: &str) -> Option<Arc<ProcessConfig>> {
        let group = self.in_force.config().groups.iter().find(|it| *it.name == *group)?;
        group.processes.iter().find(|it| *it.name == *program).cloned()
    }

    /// The process that a table means which does not say when the kernel created it. It is taken over if it was started
    /// when the table says, as the user and with the file of the program that is configured; a stranger if it was
    /// started at another time and as somebody else or with another file. In between nobody can tell.
    pub fn judge_by_appearance(&mut self, mut entry: InfoMapEntry, written: Wall) -> Option<Adoptable> {
        let (name, pid) = (entry.namespec(), entry.pid);
        let held = pidfd::hold(pid);
        let start_ticks = process::start_ticks(pid).filter(|ticks| process::lives(pid, *ticks));
        let Some(start_ticks) = start_ticks else {
            ::log::info!("'{name}' (pid {pid}) has ended since the last run");
            return None;
        };
        let Some((group, config)) = self.meant_by(&entry) else {
            ::log::warn!(
                "'{name}' (pid {pid}) of the table of processes is not configured: it is not touched"
            );
            return None;
        };
        (entry.group, entry.program, entry.start_ticks) = (group, config.name.clone(), start_ticks);
        let created = process::created_at(start_ticks).0;
        let slack = SLACK.as_nanos() as u64;
        let after_start = created.saturating_add(slack) >= entry.start_time.0;
        let at_start = after_start && created <= entry.start_time.0.saturating_add(slack);
        let started_meanwhile = after_start && created <= written.0.saturating_add(slack);
        let looks_like_it = self.looks_like(pid, &config);
        match held {
            Ok(pidfd) if at_start && looks_like_it => return Some(Adoptable { entry, pidfd }),
            Ok(_) if !looks_like_it && !started_meanwhile => {
                ::log::info!("'{name}' has ended since the last run: pid {pid} is somebody else's");
            }
            Ok(_) => self.leave_standing(&entry, "start time, user and file do not all fit"),
            Err(error) => self.leave_standing(&entry, &format!("cannot get hold of it: {error}")),
        }
        None
    }

    /// The configured program of an entry. Go descendants know no groups: the one of that name, whose ever it is.
    fn meant_by(&self, entry: &InfoMapEntry) -> Option<(Arc<str>, Arc<ProcessConfig>)> {
        if let Some(config) = self.configured(&entry.group, &entry.program) {
            return Some((entry.group.clone(), config));
        }
        if entry.group != entry.program {
            return None;
        }
        let named = self.in_force.config().groups.iter().flat_map(|group| {
            let its = group.processes.iter().filter(|process| process.name == entry.program);
            its.map(|process| (group.name.clone(), Arc::clone(process)))
        });
        let mut named = named.take(2).collect::<Vec<_>>();
        named.pop().filter(|_| named.is_empty())
    }

    fn looks_like(&self, pid: i32, config: &ProcessConfig) -> bool {
        let Ok(command) = self.spawn_context.resolve(config) else { return false };
        let directory = config.directory.clone().unwrap_or_default();
        process::user(pid) == Some(user_of(config)) && process::executes(pid, &directory.join(command.file))
    }
}
