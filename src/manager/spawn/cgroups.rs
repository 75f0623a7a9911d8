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
use crate::sys::cgroup::changes::{Changes, Watch};
use crate::sys::cgroup::{self, home, home::Home};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// So many groups that cannot be watched are tried again at once.
const MOST_TRIED: usize = 64;

/// Control groups in which programs that have ended left something behind. Each is removed as soon as nobody is in it.
#[derive(Default)]
pub struct LeftCgroups {
    /// With what is told about each; `None` where the kernel refuses that.
    groups: BTreeMap<PathBuf, Option<Watch>>,
    /// Opened with the first one.
    changes: Option<Changes>,
}

impl LeftCgroups {
    /// Readable when [`LeftCgroups::hear`] has something to do. `None` as long as nothing was left.
    pub fn readiness(&self) -> Option<&Arc<OwnedFd>> {
        self.changes.as_ref().map(Changes::readiness)
    }

    /// Removes a group, now or when the last one in it has ended.
    fn leave(&mut self, directory: PathBuf) {
        if self.groups.contains_key(&directory) || cgroup::remove(&directory) {
            return;
        }
        if self.changes.is_none() {
            self.changes = Changes::open().inspect_err(|error| no_watch(&directory, error)).ok();
        }
        let watch = self.changes.as_ref().and_then(|changes| {
            changes.watch(&directory).inspect_err(|error| no_watch(&directory, error)).ok()
        });
        self.groups.insert(directory.clone(), watch);
        // Its last one may have ended before it was watched.
        self.try_again(&directory);
    }

    /// Leaves a group to the next start of its process.
    fn take_back(&mut self, directory: &Path) {
        if let Some(Some(watch)) = self.groups.remove(directory)
            && let Some(changes) = &self.changes
        {
            changes.forget(watch);
        }
    }

    fn try_again(&mut self, directory: &Path) {
        if cgroup::remove(directory) {
            self.take_back(directory);
        }
    }

    /// Tries those again about which something was told.
    fn hear(&mut self) {
        let told = self.changes.as_ref().map(Changes::take).unwrap_or_default();
        let is_told = |watch: &Option<Watch>| watch.as_ref().is_some_and(|watch| told.contains(watch));
        self.try_those(usize::MAX, is_told);
    }

    /// Tries those again that are not watched.
    fn try_unwatched(&mut self) {
        self.try_those(MOST_TRIED, Option::is_none);
    }

    fn try_those(&mut self, most: usize, are_meant: impl Fn(&Option<Watch>) -> bool) {
        let meant = self.groups.iter().filter(|(_, watch)| are_meant(watch)).take(most);
        let meant: Vec<PathBuf> = meant.map(|(directory, _)| directory.clone()).collect();
        meant.iter().for_each(|directory| self.try_again(directory));
    }
}

fn no_watch(directory: &Path, error: &io::Error) {
    ::log::debug!("cannot watch the control group {}: {error}", directory.display());
}

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
        self.spawns.left_cgroups.leave(directory);
        end
    }

    /// Removes control groups in which nothing is left by now, those of which the kernel tells nothing.
    pub fn remove_left_cgroups(&mut self) {
        self.spawns.left_cgroups.try_unwatched();
    }

    /// The same, those of which the kernel has told something.
    pub fn hear_of_left_cgroups(&mut self) {
        self.spawns.left_cgroups.hear();
    }

    /// Finds the control groups of processes that do not run, which a former manager has left.
    pub fn find_left_cgroups(&mut self) {
        let has_ended = |proc: &Proc| proc.process.state.pid().is_none() && proc.pending_spawn.is_none();
        let ended = self.procs.all().filter(|(_, proc)| has_ended(proc));
        let left: Vec<PathBuf> = ended.filter_map(|(_, proc)| self.cgroup_of(proc)).collect();
        left.into_iter().for_each(|directory| self.spawns.left_cgroups.leave(directory));
    }

    /// No program came into being, or none that anybody wants: its control group is removed.
    pub(super) fn give_up_cgroup(&mut self, slot: SlotId) {
        if let Some(directory) = self.procs.proc(slot).and_then(|proc| self.cgroup_of(proc)) {
            self.spawns.left_cgroups.leave(directory);
        }
    }

    /// A program is about to be created. Its control group must not be removed meanwhile.
    pub(super) fn keep_cgroup(&mut self, slot: SlotId) {
        if let Some(directory) = self.procs.proc(slot).and_then(|proc| self.cgroup_of(proc)) {
            self.spawns.left_cgroups.take_back(&directory);
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
