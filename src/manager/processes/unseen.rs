//! Programs that have ended although no ledger entry says so.
//!
//! The ledger has an entry for every end, unless a manager's position in it was lost: that position stands in memory that
//! somebody else may have written to. A program that is gone, and whose end the rest of the ledger does not contain, has
//! ended all the same. Its exit status stays unknown.

use crate::core::process::Event;
use crate::manager::daemon::Daemon;
use crate::manager::processes::SlotId;
use crate::manager::spawn::cgroups::CgroupEnd;
use crate::model::exit::ExitStatus;
use crate::sys::{clock, process};

/// What an end is called when nobody knows how it came.
const NOBODY_TOLD: &str = "exit status unknown: it ended, and the record of that was lost";

impl Daemon {
    /// Finds those of the keeper's children that have ended unseen. For a manager that takes over.
    pub fn find_unseen_ends(&mut self) {
        let mut gone: Vec<(SlotId, i32)> = self
            .procs
            .all()
            .filter(|(_, proc)| !proc.origin.adopted)
            .filter_map(|(slot, proc)| Some((slot, proc.process.state.pid()?)))
            .filter(|(_, pid)| !process::exists(*pid))
            .collect();
        if gone.is_empty() {
            return;
        }
        // After having looked: an end is in the ledger before the process is gone.
        let told = self.link.ends_to_come();
        gone.retain(|(_, pid)| !told.contains(pid));
        for (slot, pid) in gone {
            self.ended_unseen(slot, pid);
        }
    }

    fn ended_unseen(&mut self, slot: SlotId, pid: i32) {
        self.link.set_known(pid, false);
        self.procs.release_pid(pid);
        self.finish_streams(slot);
        let CgroupEnd { oom, hint } = self.end_cgroup(slot, ExitStatus::Unknown);
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        proc.remember_end(
            pid,
            ExitStatus::Unknown,
            oom.or(hint).unwrap_or_default(),
            clock::wall(),
            clock::monotonic(),
        );
        let why = Some(NOBODY_TOLD.to_string());
        self.apply(slot, Event::Exited { status: ExitStatus::Unknown, why });
    }
}
