//! Lets a process take an event: the core decides on effects, and they are carried out here.

use crate::core::dependencies::Verdict;
use crate::core::process::{Circumstances, Effect, Event, Needs, Reach, StateChange, step};
use crate::log::activity;
use crate::manager::daemon::{Daemon, in_words};
use crate::manager::processes::SlotId;
use crate::manager::requests::life_view::told_reason;
use crate::manager::requests::waiters::{Waiter, Wants};
use crate::manager::spawn::credentials;
use crate::model::signal::Signal;
use crate::model::time::{Monotonic, Wall};
use crate::shm::slots::PendingEffects;
use crate::sys::{clock, process, random, signals};
use std::sync::Arc;
use std::time::Duration;

impl Daemon {
    /// Lets a process take one event, now.
    pub fn apply(&mut self, slot: SlotId, event: Event) {
        self.apply_at(slot, event, clock::monotonic(), clock::wall());
    }

    /// Lets a process take one event that happened at `now`, on the wall clock at `wall`: steps its state machine,
    /// publishes the record, and carries out the effects.
    pub fn apply_at(&mut self, slot: SlotId, event: Event, now: Monotonic, wall: Wall) {
        if matches!(event, Event::Stop | Event::ShutDown) {
            // It may run by now, and then it is to be asked.
            self.conclude_pending_spawn(slot);
        }
        if matches!(event, Event::Exited { .. }) {
            self.take_next_config(slot);
        }
        let may_start = self.life.may_start();
        let (verdict, failure) = self.verdict(slot);
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        let config = Arc::clone(&proc.config);
        // Of our own children nobody gets the number before they are collected.
        let may_have_stragglers = !(proc.origin.adopted && matches!(event, Event::Exited { .. }))
            || self.adoption.leads_anybody(slot);
        let jitters = config.restart.restart_jitter > 0;
        let chance = if jitters { random::number() } else { 0 };
        let needs = match verdict {
            Verdict::Met => Needs::Met,
            Verdict::Unmet => Needs::Unmet,
            Verdict::Failed => Needs::Failed(&failure),
        };
        let at = Circumstances { now, wall, may_start, may_have_stragglers, needs, chance };
        let ended = match &event {
            Event::Exited { status, .. } => Some(*status),
            _ => None,
        };
        let health_before = proc.process.health.clone();
        let (process, effects) = step(proc.process.clone(), event, &config, at);
        let was_adopted = proc.origin.adopted;
        let finds_other = process.health != health_before;
        self.procs.replace(slot, process);
        // Before its program is created once more, which is not for that run.
        self.follow_run(slot, ended.is_some());
        self.begin_event(slot);
        let (mut changes, mut pending) = (Vec::new(), PendingEffects::default());
        // Said before it is committed: after a crash in between it is said twice rather than never.
        for effect in &effects {
            match effect {
                Effect::Log(level, text) => activity::write(*level, text),
                Effect::Publish(change) => {
                    self.announce(slot, *change);
                    changes.push(*change);
                }
                Effect::PublishHealth { is_healthy, pid } => self.announce_health(slot, *is_healthy, *pid),
                Effect::Kill { signal, reach, .. } => pending.signal = Some((*signal, *reach)),
                Effect::KillStragglers { .. } => pending.kill_stragglers = true,
                // Before it is committed: after a crash in between it is started again rather than running unknown.
                Effect::Abandon => self.abandon(slot),
                Effect::Spawn => {}
            }
        }
        self.commit_with(slot, pending);
        // What is back by the end of this was away all the same, and nobody would see that after a crash.
        self.note_lost_needs();
        self.show_changes(slot, &changes, now, wall);
        if finds_other && changes.is_empty() {
            // What a probe has found is no change of state.
            self.show_process(slot);
        }
        for effect in effects {
            match effect {
                Effect::Log(..) | Effect::Abandon | Effect::PublishHealth { .. } => {}
                Effect::Publish(change) => self.publish(slot, change),
                // Committed before: after a crash in between it is sent twice rather than never.
                Effect::Kill { pid, signal, reach } => {
                    self.kill(slot, pid, signal, reach);
                    self.link.mark_done(slot);
                }
                Effect::KillStragglers { pid, reach } => {
                    self.kill_left_behind(slot, pid, reach, now);
                    self.link.mark_done(slot);
                }
                Effect::Spawn => self.spawn(slot),
            }
        }
        self.forget_ended_credentials(slot);
        if was_adopted && ended.is_some() && !config.credentials.is_empty() {
            // They are a former daemon's.
            credentials::sweep();
        }
        self.disappoint_waiters(slot);
        self.follow_probes(slot);
        self.follow_memory(slot);
        self.check_exit_condition(slot, &changes, ended);
        self.follow_update(slot);
        self.end_event(slot);
    }

    /// Publishes a process' state to the memory that survives this manager.
    pub fn commit(&mut self, slot: SlotId) {
        self.commit_with(slot, PendingEffects::default());
    }

    /// The same, with what is about to be done because of it.
    fn commit_with(&mut self, slot: SlotId, pending: PendingEffects) {
        if let Some(proc) = self.procs.proc(slot) {
            let counts = (proc.starts, proc.applied);
            self.link.commit_with(slot, &proc.process, proc.origin, counts, pending);
        }
        self.note(slot);
        self.save_map_in_long_turn();
    }

    fn publish(&mut self, slot: SlotId, change: StateChange) {
        let Some(proc) = self.procs.proc_mut(slot).filter(|proc| proc.has_waiters()) else { return };
        let reason = told_reason(proc);
        for mut waiter in proc.take_waiters(|_| true) {
            match waiter.sees(change.to, &reason) {
                Some(outcome) => waiter.answer(outcome, &mut self.answers),
                None => proc.wait(waiter),
            }
        }
    }

    /// Answers those who wait for a start that a later stop has withdrawn.
    fn disappoint_waiters(&mut self, slot: SlotId) {
        use crate::core::process::{After, State};
        let Some(proc) = self.procs.proc_mut(slot) else { return };
        if !proc.has_waiters() || matches!(proc.process.state, State::Stopping { after: After::Start, .. }) {
            return;
        }
        let withdrawn = |waiter: &mut Waiter| waiter.wants == Wants::UpAfterStop;
        proc.take_waiters(withdrawn).into_iter().for_each(|waiter| waiter.give_up(&mut self.answers));
    }

    /// Does what the former manager had decided and may not have done.
    pub fn do_pending(&mut self, slot: SlotId, pending: PendingEffects, last_pid: i32) {
        let Some(proc) = self.procs.proc(slot) else { return };
        if pending.kill_stragglers {
            let age = Duration::from_nanos(clock::wall().0.saturating_sub(proc.process.stop.0));
            let reach = Reach::of_kill(&proc.config);
            self.kill_left_behind(slot, last_pid, reach, clock::monotonic() - age);
        }
        let Some(proc) = self.procs.proc(slot) else { return };
        if let (Some((signal, reach)), Some(pid)) = (pending.signal, proc.process.state.pid()) {
            let is_tree = reach != Reach::Process && proc.config.stop_scope.is_wide();
            self.kill(slot, pid, signal, if is_tree { Reach::Tree } else { reach });
        }
        if pending != PendingEffects::default() {
            self.link.mark_done(slot);
        }
    }

    fn kill_left_behind(&mut self, slot: SlotId, pid: i32, reach: Reach, ended: Monotonic) {
        if reach == Reach::Tree {
            return self.sweep_tree(slot, pid, ended);
        }
        let Some(proc) = self.procs.proc(slot) else { return };
        kill_stragglers(&proc.config.name, pid, ended);
    }

    fn kill(&mut self, slot: SlotId, pid: i32, signal: Signal, reach: Reach) {
        let sent = match reach {
            Reach::Tree => self.signal_tree(slot, pid, signal),
            Reach::Process | Reach::ProcessGroup => self.send_signal(slot, pid, signal, reach),
        };
        let Err(error) = sent else { return };
        if error.raw_os_error() == Some(libc::ESRCH) {
            let name = self.procs.proc(slot).map_or("", |proc| &proc.config.name);
            ::log::debug!(
                "unable to signal {name} (pid {pid}), it probably just exited on its own: [Errno 3] No such process"
            );
        } else {
            if let Some(proc) = self.procs.proc_mut(slot) {
                proc.signal_refused(in_words(&error));
            }
            self.apply(slot, Event::SignalFailed(error.to_string()));
        }
    }
}

/// Kills what a program with `killasgroup`, which ended at `ended`, left behind in its process group, and says whom.
fn kill_stragglers(name: &str, leader: i32, ended: Monotonic) {
    // Signal 0 asks whether the group has any member; the search below is for the rare case that it has.
    if signals::send_group(leader, Signal::from_raw(0)).is_err() {
        return;
    }
    for straggler in process::left_behind(leader, ended) {
        ::log::warn!(
            "killing '{}' ({}) with SIGKILL, left behind in the process group of '{name}'",
            straggler.name,
            straggler.pid
        );
        straggler.kill(leader);
    }
}
