//! Control groups of programs: when their place is made, what is said if there is none, what becomes of them at the end.
//!
//! Nothing is looked at or made before a program wants one. The thread that creates a program makes its group (see
//! `context`). A successor finds everything again by names; nothing about it is stored.

use crate::control::overview::CgroupView;
use crate::manager::daemon::Daemon;
use crate::manager::processes::{Proc, SlotId};
use crate::model::cgroup::CgroupLimits;
use crate::model::config::{GroupConfig, ProcessConfig, StopScope};
use crate::model::exit::ExitStatus;
use crate::model::signal::Signal;
use crate::model::size::in_bytes;
use crate::sys::cgroup::{self, home, home::Home};
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// So many groups in which something was left are tried again at once.
const MOST_TRIED: usize = 64;

/// What the control group of a program that has ended tells about its end.
#[derive(Debug, Default)]
pub struct CgroupEnd {
    /// It was killed for want of memory, or some of its processes were.
    pub oom: Option<String>,
    /// It could not create processes.
    pub hint: Option<String>,
}

impl Daemon {
    /// Makes the place for control groups, unless that was tried.
    pub fn settle_cgroups(&mut self) {
        if self.spawn_context.cgroups.is_some() {
            return;
        }
        let keeper = self.link.keeper_pid();
        let home = home::find(keeper).and_then(|base| Home::settle(base, keeper));
        if let Ok(home) = &home {
            home.notes.iter().for_each(|note| ::log::info!("{note}"));
        }
        Arc::make_mut(&mut self.spawn_context).cgroups = Some(home.map(Arc::new));
    }

    /// The same, if a process wants one.
    pub(super) fn settle_cgroups_for(&mut self, config: &ProcessConfig) {
        if config.wants_cgroup() {
            self.settle_cgroups();
        }
    }

    fn cgroup_home(&self) -> Option<&Arc<Home>> {
        self.spawn_context.cgroups.as_ref()?.as_ref().ok()
    }

    /// Says once for each program of a group which of its keys cannot be applied here, and why.
    pub fn tell_of_cgroups(&mut self, group: &GroupConfig) {
        let mut told = BTreeSet::new();
        for config in group.processes.iter().filter(|config| config.wants_cgroup()) {
            self.settle_cgroups();
            let limits = &config.resources.cgroup;
            // It is not started without them, and its start says why.
            if limits.cgroup_required || !told.insert(Arc::clone(&config.program)) {
                continue;
            }
            let problems = match &self.spawn_context.cgroups {
                Some(Ok(home)) => home.problems(limits),
                Some(Err(why)) => {
                    let knobs = limits.knobs().into_iter().filter(|knob| knob.value.is_some());
                    let scope = (config.stop_scope == StopScope::Cgroup).then_some("stop_scope=cgroup");
                    let keys: Vec<&str> = knobs.map(|knob| knob.key).chain(scope).collect();
                    let instead = if scope.is_some() { "; stops and kills reach its tree" } else { "" };
                    vec![format!("{}: control groups are not available: {why}{instead}", keys.join(", "))]
                }
                None => Vec::new(),
            };
            for problem in problems {
                ::log::warn!("'{}' starts without {problem}", config.program);
            }
        }
    }

    /// The control group of a process, if it has one. It may have been removed.
    pub fn cgroup_of(&self, proc: &Proc) -> Option<PathBuf> {
        let home = self.cgroup_home().filter(|_| proc.config.wants_cgroup())?;
        Some(home.of(&proc.group, &proc.config.name))
    }

    /// Sends a signal to everybody in the control group of a process; SIGKILL reaches those, too, that are being created.
    ///
    /// # Errors
    /// `Unsupported`: it has none, or is not in it. Others are the system's.
    pub fn signal_all_in_cgroup(&self, slot: SlotId, signal: Signal) -> io::Result<()> {
        let proc = self.procs.proc(slot);
        let directory = proc.and_then(|proc| self.cgroup_of(proc));
        // Those of a former start may be there alone.
        let pid = proc.and_then(|proc| proc.process.state.pid());
        let is_in = |directory: &PathBuf| pid.is_some_and(|pid| cgroup::processes(directory).contains(&pid));
        let directory = directory.filter(is_in);
        let directory = directory.ok_or(io::ErrorKind::Unsupported)?;
        if signal == Signal::KILL {
            return cgroup::kill_all(&directory);
        }
        cgroup::signal_all(&directory, signal).map(drop)
    }

    /// What the control group of a process uses now. `None` if it has none.
    pub fn cgroup_view(&self, proc: &Proc) -> Option<CgroupView> {
        let directory = self.cgroup_of(proc)?;
        proc.process.state.pid()?;
        directory.is_dir().then(|| CgroupView { usage: cgroup::usage(&directory), directory })
    }

    /// A program has ended: what its control group tells about that. The group is removed, unless something is left in it.
    pub fn end_cgroup(&mut self, slot: SlotId, status: ExitStatus) -> CgroupEnd {
        let Some(proc) = self.procs.proc(slot) else { return CgroupEnd::default() };
        let (Some(directory), Some(home)) = (self.cgroup_of(proc), self.cgroup_home()) else {
            return CgroupEnd::default();
        };
        let limits = &proc.config.resources.cgroup;
        let runs = home.runs(&proc.group, &proc.config.name);
        let killed = runs.last().map_or(0, |run| cgroup::oom_kills(run));
        // With processes of a former start in it the counter may tell of those.
        let refused = match runs.as_slice() {
            // Linux before 6.11 counts it where the process is, later ones where the limit is.
            [run] => cgroup::pids_refused(&directory).max(cgroup::pids_refused(run)),
            _ => 0,
        };
        let end =
            CgroupEnd { oom: out_of_memory(status, killed, limits), hint: out_of_pids(refused, limits) };
        for text in end.oom.iter().chain(&end.hint) {
            ::log::warn!("'{}': {text}", proc.namespec());
        }
        self.spawns.left_cgroups.insert(directory);
        self.remove_left_cgroups();
        end
    }

    /// Removes control groups in which nothing is left by now.
    pub fn remove_left_cgroups(&mut self) {
        let left: Vec<PathBuf> = self.spawns.left_cgroups.iter().take(MOST_TRIED).cloned().collect();
        for directory in left {
            // Its process may have been started again since.
            if cgroup::remove(&directory) || !cgroup::is_populated(&directory) {
                self.spawns.left_cgroups.remove(&directory);
            }
        }
    }

    /// Removes the place for control groups at the end of the daemon.
    pub fn leave_cgroups(&self) {
        if let Some(home) = self.cgroup_home() {
            home.leave();
        }
    }
}

fn out_of_memory(status: ExitStatus, killed: u64, limits: &CgroupLimits) -> Option<String> {
    let limit = limits.memory_max.filter(|limit| *limit != u64::MAX);
    let limit = limit.map_or_else(String::new, |limit| format!(" (memory_max={})", in_bytes(limit)));
    let was_killed = matches!(status, ExitStatus::Signal { signal: Signal::KILL, .. });
    match killed {
        0 => None,
        _ if was_killed => Some(format!("killed by the kernel for want of memory{limit}")),
        1 => Some(format!("one of its processes was killed by the kernel for want of memory{limit}")),
        n => Some(format!("{n} of its processes were killed by the kernel for want of memory{limit}")),
    }
}

fn out_of_pids(refused: u64, limits: &CgroupLimits) -> Option<String> {
    let limit = limits.pids_max.filter(|limit| *limit != u64::MAX && refused > 0)?;
    Some(format!("it could not create more processes (pids_max={limit})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_explained_by_what_the_kernel_counted() {
        let limits =
            CgroupLimits { memory_max: Some(64 << 20), pids_max: Some(20), ..CgroupLimits::default() };
        let killed = ExitStatus::Signal { signal: Signal::KILL, core_dumped: false };
        let why = |status, n| out_of_memory(status, n, &limits).unwrap_or_default();
        assert_eq!(why(killed, 1), "killed by the kernel for want of memory (memory_max=64MB)");
        assert_eq!(why(killed, 0), "");
        let other = "one of its processes was killed by the kernel for want of memory (memory_max=64MB)";
        assert_eq!(why(ExitStatus::Code(1), 1), other);
        assert!(why(ExitStatus::Code(1), 3).starts_with("3 of its processes were killed"));
        // The machine's memory may have been short.
        let unlimited = CgroupLimits::default();
        let text = out_of_memory(killed, 1, &unlimited).unwrap();
        assert_eq!(text, "killed by the kernel for want of memory");
        let hint = out_of_pids(3, &limits).unwrap();
        assert_eq!(hint, "it could not create more processes (pids_max=20)");
        assert_eq!((out_of_pids(0, &limits), out_of_pids(3, &unlimited)), (None, None));
    }
}
