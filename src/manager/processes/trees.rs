//! Whole trees: signals for all that a program has started, and the end of what is left of it (`stop_scope`).
//!
//! What belongs to a tree is looked up when it is to be signalled; see [`crate::sys::descent`]. Who goes to the background by
//! two forks is the keeper's child from then on, and is known by the mark that each start of a program puts into its
//! environment. The mark stands in shared memory, so that a successor finds the same.
//!
//! After the end of a program what is left gets SIGKILL at once. Who cannot be reached in one turn of the loop, because
//! it multiplies, is looked for again, in pauses and not for ever: that is a sweep. It has a mark of its own in shared
//! memory, because the next run of the program may have begun.

use crate::core::process::Reach;
use crate::manager::daemon::Daemon;
use crate::manager::processes::SlotId;
use crate::model::config::{ProcessConfig, StopScope};
use crate::model::exit::MOST_LEFT_NAMED;
use crate::model::signal::Signal;
use crate::model::time::Monotonic;
use crate::sys::descent::{self, Identity, Member, Tree};
use crate::sys::{cgroup, clock, process, random};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// So long one turn of the loop may be busy with a tree.
const TURN: Duration = Duration::from_millis(50);

/// The pause before what is left is looked for again.
const PAUSE: Duration = Duration::from_millis(10);

/// So long, and so many times at most, it is looked for.
const PATIENCE: Duration = Duration::from_secs(30);
const MOST_LOOKS: u32 = 1000;

/// So long it is looked for without finding anybody: who forks and ends for ever can be seen, but not whose it is.
const DOUBT: Duration = Duration::from_secs(2);

/// The pause of such a search. Each look is a chance to be faster than who is looked for.
const SHORT_PAUSE: Duration = Duration::from_millis(1);

/// Who stands still in so many turns of the loop is killed, though there are still new ones.
const MOST_TURNS: u32 = 40;

/// So many looks in a row have to find nobody.
const QUIET_LOOKS: u32 = 2;

/// What is known of trees beyond what the kernel and shared memory tell.
#[derive(Debug, Default)]
pub struct Trees {
    /// Who was found when a program was told to stop. Some of them may have lost the mark.
    told: HashMap<SlotId, Vec<Identity>>,
    sweeps: Vec<Sweep>,
}

/// What is left of a program that has ended is being killed.
#[derive(Debug)]
struct Sweep {
    slot: SlotId,
    name: String,
    /// The pid that the program had.
    pid: i32,
    tree: Tree,
    /// Those found so far, who stand still.
    halted: HashSet<Identity>,
    next: Monotonic,
    /// When somebody was found last.
    found: Monotonic,
    give_up_at: Monotonic,
    n_looks: u32,
    n_turns: u32,
    n_quiet: u32,
}

impl Sweep {
    fn new(slot: SlotId, name: &str, pid: i32, tree: Tree) -> Sweep {
        let next = clock::monotonic();
        Sweep {
            slot,
            name: name.to_string(),
            pid,
            tree,
            halted: HashSet::new(),
            next,
            found: next,
            give_up_at: next + PATIENCE,
            n_looks: 0,
            n_turns: 0,
            n_quiet: 0,
        }
    }
}

impl Trees {
    /// When a sweep goes on.
    pub fn deadline(&self) -> Option<Monotonic> {
        self.sweeps.iter().map(|sweep| sweep.next).min()
    }

    /// Whether nothing is left to be killed.
    pub fn are_swept(&self) -> bool {
        self.sweeps.is_empty()
    }
}

impl Daemon {
    /// Says by which mark the descendants of the next program of a process are known; `None` if nobody will ask.
    pub fn announce_tree(&self, slot: SlotId, config: &ProcessConfig) -> Option<u64> {
        if !config.stop_scope.is_wide() && config.memory_limit.is_none() {
            self.link.set_tree_mark(slot, 0);
            return None;
        }
        let mark = (u64::from(random::number()) << 32 | u64::from(random::number())).max(1);
        self.link.set_tree_mark(slot, mark);
        Some(mark)
    }

    /// Takes over the mark of a program that a former daemon has started.
    pub fn recognize_tree(&self, slot: SlotId, pid: i32) {
        let Some(proc) = self.procs.proc(slot).filter(|proc| proc.config.stop_scope.is_wide()) else {
            return;
        };
        // By what the daemon itself was given, other programs of it are known as well.
        let of_daemon = descent::marks_of(process::own_pid());
        let mark = descent::marks_of(pid).into_iter().find(|mark| !of_daemon.contains(mark)).unwrap_or(0);
        if mark == 0 {
            ::log::warn!(
                "'{}' (pid {pid}) was started without a mark: whoever leaves its process group is not found",
                proc.config.name
            );
        }
        self.link.set_tree_mark(slot, mark);
    }

    /// The tree of a process' program that has not been collected yet.
    pub fn tree(&self, slot: SlotId, pid: i32) -> Tree {
        let proc = self.procs.proc(slot);
        let is_adopted = proc.is_some_and(|proc| proc.origin.adopted);
        // The keeper may have collected it, and the number be another's.
        let is_gone = !is_adopted && proc.is_some_and(|proc| self.link.tells_end(pid, proc.spawn_head));
        let start_ticks = proc.map_or(0, |proc| proc.origin.start_ticks);
        let main = Identity::of(pid).filter(|main| start_ticks == 0 || main.start_ticks == start_ticks);
        let main = main.filter(|_| !is_gone);
        Tree {
            main,
            group: if main.is_some() { pid } else { 0 },
            mark: self.link.tree_marks(slot)[0],
            keeper: self.link.keeper_pid(),
            is_anywhere: is_adopted,
            known: self.trees.told.get(&slot).cloned().unwrap_or_default(),
        }
    }

    /// Sends a signal to a program and to all that it has started.
    ///
    /// # Errors
    /// As [`Daemon::send_signal`], about the program itself.
    pub fn signal_tree(&mut self, slot: SlotId, pid: i32, signal: Signal) -> io::Result<()> {
        let is_cgroup = self.procs.proc(slot).is_some_and(|proc| proc.config.stop_scope == StopScope::Cgroup);
        if is_cgroup {
            match self.signal_all_in_cgroup(slot, signal) {
                // Its tree is reached instead; why it has no control group was told.
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                result => return result,
            }
        }
        let tree = self.tree(slot, pid);
        if signal == Signal::KILL {
            // Its end comes later, and what is left then is looked for.
            let ended = tree.end(TURN, &|pid| self.procs.has_pid(pid));
            let others = ended.killed.iter().filter(|member| member.identity.pid != pid);
            for member in others.take(MOST_LEFT_NAMED) {
                ::log::debug!("killed '{}' ({}), of the same tree", member.name, member.identity.pid);
            }
            return self.send_signal(slot, pid, signal, Reach::Process);
        }
        let members = tree.members(&|pid| self.procs.has_pid(pid));
        self.send_signal(slot, pid, signal, Reach::Process)?;
        tree.signal_descendants(&members, signal);
        self.trees.told.insert(slot, members);
        Ok(())
    }

    /// Kills what is left of the tree of a program, which had this pid and ended at `ended`.
    pub fn sweep_tree(&mut self, slot: SlotId, pid: i32, ended: Monotonic) {
        let known = self.trees.told.remove(&slot).unwrap_or_default();
        self.kill_left_in_cgroup(slot, pid);
        let Some(proc) = self.procs.proc(slot) else { return };
        let mark = self.link.tree_marks(slot)[0];
        let mut tree = Tree {
            mark,
            keeper: self.link.keeper_pid(),
            is_anywhere: proc.origin.adopted,
            known,
            ..Tree::default()
        };
        tree.known.extend(descent::left_in_group(pid, ended));
        self.link.set_former_tree_mark(slot, mark);
        self.sweep(Sweep::new(slot, &proc.config.name, pid, tree));
    }

    /// The same by its control group, which nobody leaves by forking. Whoever is being created is reached, too.
    fn kill_left_in_cgroup(&mut self, slot: SlotId, pid: i32) {
        let Some(proc) = self.procs.proc(slot).filter(|proc| proc.config.stop_scope == StopScope::Cgroup)
        else {
            return;
        };
        let Some(directory) = self.cgroup_of(proc) else { return };
        let left: Vec<(i32, String)> =
            cgroup::processes(&directory).into_iter().map(|pid| (pid, process::name(pid))).collect();
        if left.is_empty() {
            return;
        }
        let name = Arc::clone(&proc.config.name);
        tell(&name, left.iter().map(|(pid, name)| (*pid, name.as_str())));
        if let Err(error) = cgroup::kill_all(&directory) {
            ::log::error!("cannot kill what is left in {}: {error}", directory.display());
        }
        if let Some(proc) = self.procs.proc_mut(slot) {
            proc.remember_left_behind(pid, left.into_iter());
        }
    }

    /// Goes on with what a former manager had begun.
    pub fn resume_sweeps(&mut self) {
        let slots: Vec<SlotId> = self.procs.all().map(|(slot, _)| slot).collect();
        for slot in slots {
            let mark = self.link.tree_marks(slot)[1];
            let Some(proc) = self.procs.proc(slot).filter(|_| mark != 0) else { continue };
            let tree = Tree { mark, keeper: self.link.keeper_pid(), ..Tree::default() };
            self.sweep(Sweep::new(slot, &proc.config.name, 0, tree));
        }
    }

    /// Looks again for those that are left, where that is due.
    pub fn go_on_sweeping(&mut self) {
        if self.trees.sweeps.is_empty() {
            return;
        }
        let now = clock::monotonic();
        let due: Vec<Sweep> = self.trees.sweeps.extract_if(.., |sweep| sweep.next <= now).collect();
        let mut due = due.into_iter();
        while clock::monotonic().since(now) < TURN {
            let Some(sweep) = due.next() else { return };
            self.sweep(sweep);
        }
        // The others are the first ones of the next turn.
        self.trees.sweeps.splice(..0, due);
    }

    fn sweep(&mut self, mut sweep: Sweep) {
        let n_halted = sweep.halted.len();
        let is_complete = sweep.tree.halt(&mut sweep.halted, TURN, &|pid| self.procs.has_pid(pid));
        self.link.beat();
        sweep.n_turns += 1;
        let now = clock::monotonic();
        if sweep.halted.len() > n_halted {
            sweep.found = now;
        }
        let is_in_vain = sweep.halted.is_empty() && now >= sweep.found + DOUBT;
        if !is_complete && sweep.n_turns < MOST_TURNS && now < sweep.give_up_at && !is_in_vain {
            // Those who stand still count towards whatever limits it, until all of it does.
            sweep.next = if sweep.halted.is_empty() { now + SHORT_PAUSE } else { now };
            return self.trees.sweeps.push(sweep);
        }
        let killed = sweep.tree.kill(&std::mem::take(&mut sweep.halted));
        sweep.n_turns = 0;
        self.tell_left_behind(&sweep, &killed);
        let is_quiet = killed.is_empty() && is_complete;
        sweep.n_quiet = if is_quiet { sweep.n_quiet + 1 } else { 0 };
        sweep.n_looks += 1;
        // Where the first look finds nobody for certain, there is nobody.
        let is_over = sweep.n_quiet >= QUIET_LOOKS || (is_quiet && sweep.n_looks == 1);
        if !is_over && !is_in_vain && sweep.n_looks < MOST_LOOKS && clock::monotonic() < sweep.give_up_at {
            sweep.next = clock::monotonic() + PAUSE;
            return self.trees.sweeps.push(sweep);
        }
        if is_in_vain && !is_complete {
            ::log::warn!(
                "cannot tell whether everybody is gone whom '{}' has started: processes end before they can be looked at",
                sweep.name
            );
        } else if !is_over {
            ::log::error!("what '{}' left behind cannot be killed; it is left alone now", sweep.name);
        }
        if self.link.tree_marks(sweep.slot)[1] == sweep.tree.mark {
            self.link.set_former_tree_mark(sweep.slot, 0);
        }
    }

    fn tell_left_behind(&mut self, sweep: &Sweep, killed: &[Member]) {
        tell(&sweep.name, killed.iter().map(|member| (member.identity.pid, member.name.as_str())));
        let named = killed.iter().map(|member| (member.identity.pid, member.name.clone()));
        if let Some(proc) = self.procs.proc_mut(sweep.slot).filter(|_| !killed.is_empty()) {
            proc.remember_left_behind(sweep.pid, named);
        }
    }
}

/// Names those whom a program has left behind and who are killed now.
fn tell<'m>(program: &str, killed: impl ExactSizeIterator<Item = (i32, &'m str)>) {
    let more = killed.len().saturating_sub(MOST_LEFT_NAMED);
    for (pid, name) in killed.take(MOST_LEFT_NAMED) {
        ::log::warn!("killing '{name}' ({pid}) with SIGKILL, left behind by '{program}'");
    }
    if more > 0 {
        ::log::warn!("killing {more} more with SIGKILL, left behind by '{program}'");
    }
}
