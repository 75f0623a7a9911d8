//! Carries out orders for processes: start, stop, signal.

use crate::control::ask::Applied;
use crate::control::request::{BulkStatus, Client, Wait};
use crate::core::process::{Event, Reach};
use crate::manager::daemon::Daemon;
use crate::manager::processes::{Proc, SlotId};
use crate::manager::requests::life_view::told_reason;
use crate::manager::requests::policy::{Member, Members, Next, Order, after_start, after_stop};
use crate::manager::requests::waiters::{Batch, Reply, Waiter, Wants};
use crate::model::fault::{Fault, FaultCode};
use crate::model::namespec;
use crate::model::signal::Signal;
use std::sync::Arc;

impl Daemon {
    /// Carries out an order for one process, or for several.
    pub(super) fn order(
        &mut self,
        order: Order,
        members: Result<Members<'_>, Fault>,
        wait: Wait,
        client: Client<Applied>,
    ) {
        let (slot, sent) = match members {
            Ok(Members::One { slot, sent }) => (slot, sent),
            Ok(Members::Several(members)) => return self.order_several(order, members, wait, client),
            Err(fault) => return self.answers.post(client, Err(fault)),
        };
        let next = match order {
            Order::Start | Order::StartAlone => match self.begin_start(slot, order) {
                Ok(()) => self.after_start(slot, sent, wait),
                Err(fault) => Next::Answer(Err(fault)),
            },
            Order::Stop => self.stop(slot, sent, wait),
        };
        match next {
            Next::Answer(outcome) => self.answers.post(client, outcome.map(|()| Applied::One)),
            Next::Wait(wants) => {
                self.wait_for(
                    slot,
                    Waiter { wants, namespec: sent.to_string(), reply: Reply::Single(client) },
                );
            }
        }
    }

    fn order_several(&mut self, order: Order, members: Vec<Member>, wait: Wait, client: Client<Applied>) {
        if order == Order::Stop && self.dependents.graph().is_some() {
            return self.stop_in_layers(members, wait, client);
        }
        let begun: Vec<(SlotId, Result<(), Fault>)> = self.spawn_together(|daemon| {
            let mut begin = |member: Member| match (member.refused, order) {
                (Some(fault), _) => Err(fault),
                (None, Order::Start | Order::StartAlone) => daemon.begin_start(member.slot, order),
                (None, Order::Stop) => Ok(()),
            };
            members.into_iter().map(|member| (member.slot, begin(member))).collect()
        });
        let batch = Batch::open(client);
        for (slot, begun) in begun {
            let Some(proc) = self.procs.proc(slot) else { continue };
            let (group, name, namespec) = names(proc);
            let next = match (order, begun) {
                (_, Err(fault)) => Next::Answer(Err(fault)),
                (Order::Start | Order::StartAlone, Ok(())) => self.after_start(slot, &namespec, wait),
                (Order::Stop, Ok(())) => self.stop(slot, &namespec, wait),
            };
            match next {
                Next::Answer(outcome) => batch.borrow_mut().add(&group, &name, outcome),
                Next::Wait(wants) => {
                    batch.borrow_mut().expect();
                    let reply = Reply::Member { batch: batch.clone(), group, name };
                    self.wait_for(slot, Waiter { wants, namespec, reply });
                }
            }
        }
        batch.borrow_mut().close(&mut self.answers);
    }

    fn wait_for(&mut self, slot: SlotId, waiter: Waiter) {
        if let Some(proc) = self.procs.proc_mut(slot) {
            proc.wait(waiter);
        }
    }

    /// Stops processes, dependents first: each layer waits until the former is at rest.
    fn stop_in_layers(&mut self, members: Vec<Member>, wait: Wait, client: Client<Applied>) {
        let batch = Batch::open(client);
        let mut slots = Vec::with_capacity(members.len());
        for Member { slot, refused } in members {
            let Some(proc) = self.procs.proc(slot) else { continue };
            let (group, name, namespec) = names(proc);
            match (refused, wait) {
                (Some(fault), _) => {
                    batch.borrow_mut().add(&group, &name, Err(fault));
                    continue;
                }
                (None, Wait::No) => batch.borrow_mut().add(&group, &name, Ok(())),
                (None, Wait::Yes) => {
                    batch.borrow_mut().expect();
                    let reply = Reply::Member { batch: batch.clone(), group, name };
                    self.wait_for(slot, Waiter { wants: Wants::Down, namespec, reply });
                }
            }
            self.withdraw_start_after_update(slot);
            self.note_wanted(slot, false);
            slots.push(slot);
        }
        batch.borrow_mut().close(&mut self.answers);
        self.begin_staged_stop(&slots);
    }

    /// The processes that are meant, and all that depends on them and runs, for a stop.
    pub(super) fn with_dependents<'r>(&self, members: Members<'r>) -> Members<'r> {
        let Some(graph) = self.dependents.graph() else { return members };
        let (slots, mut meant) = match &members {
            Members::One { slot, .. } => (vec![*slot], Vec::new()),
            Members::Several(several) => (several.iter().map(|member| member.slot).collect(), Vec::new()),
        };
        for slot in graph.transitive_dependents(&slots) {
            let is_meant = slots.contains(&slot);
            if is_meant || self.procs.proc(slot).is_some_and(Proc::is_active) {
                meant.push(Member { slot, refused: None });
            }
        }
        match members {
            // Nobody depends on it, so it is answered as ever.
            Members::One { .. } if meant.len() == 1 => members,
            _ => Members::Several(meant),
        }
    }

    /// Lets a process start. Among several its program is created later.
    fn begin_start(&mut self, slot: SlotId, order: Order) -> Result<(), Fault> {
        let Some(proc) = self.procs.proc(slot) else { return Err(Fault::new(FaultCode::BadName)) };
        let config = Arc::clone(&proc.config);
        if let Some(why) = self.why_no_start(slot) {
            return Err(Fault::with(FaultCode::Failed, format!("{}: {why}", proc.namespec())));
        }
        self.resolve_promptly(&config).map_err(|error| error.fault())?;
        // What it needs is wanted with it.
        let wanted = if order == Order::StartAlone { vec![slot] } else { self.with_needs(&[slot]) };
        wanted.into_iter().for_each(|slot| self.note_wanted(slot, true));
        if order == Order::StartAlone {
            self.apply(slot, Event::StartAlone);
        } else {
            self.start_with_needs(&[slot]);
        }
        Ok(())
    }

    fn after_start(&self, slot: SlotId, namespec: &str, wait: Wait) -> Next {
        match self.procs.proc(slot) {
            Some(proc) => after_start(proc.state(), namespec, &told_reason(proc), wait),
            None => Next::Answer(Err(Fault::with(FaultCode::BadName, namespec))),
        }
    }

    fn stop(&mut self, slot: SlotId, namespec: &str, wait: Wait) -> Next {
        self.withdraw_start_after_update(slot);
        self.note_wanted(slot, false);
        self.apply(slot, Event::Stop);
        let Some(proc) = self.procs.proc(slot) else {
            return Next::Answer(Err(Fault::with(FaultCode::NotRunning, namespec)));
        };
        let next = after_stop(proc.state(), namespec, &proc.refused_signal, wait);
        if matches!(next, Next::Wait(_)) {
            ::log::info!("waiting for {} to stop", proc.config.name);
        }
        next
    }

    /// Sends a signal to one process, or to several, whatever comes of one of them.
    pub(super) fn signal_members(&self, members: Members<'_>, signal: Signal) -> Result<Applied, Fault> {
        let members = match members {
            Members::One { slot, sent } => return self.signal(slot, sent, signal).map(|()| Applied::One),
            Members::Several(members) => members,
        };
        let sent = members.into_iter().filter_map(|Member { slot, refused }| {
            let (group, name, namespec) = names(self.procs.proc(slot)?);
            let outcome = refused.map_or_else(|| self.signal(slot, &namespec, signal), Err);
            Some(BulkStatus { name, group, outcome })
        });
        Ok(Applied::Several(sent.collect()))
    }

    /// Sends a signal to a process; never to its group, and without any change of state.
    fn signal(&self, slot: SlotId, namespec: &str, signal: Signal) -> Result<(), Fault> {
        let not_running = || Fault::with(FaultCode::NotRunning, namespec);
        let proc = self.procs.proc(slot).ok_or_else(not_running)?;
        let pid = proc.process.state.pid().ok_or_else(not_running)?;
        ::log::debug!("sending {} (pid {pid}) sig {signal}", proc.config.name);
        match self.send_signal(slot, pid, signal, Reach::Process) {
            Ok(()) => Ok(()),
            // It has ended, and its exit is on its way to us.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Err(not_running()),
            Err(error) => {
                Err(Fault::with(FaultCode::Failed, format!("could not send {signal} to {namespec}: {error}")))
            }
        }
    }
}

/// The names of a process: group, name, and both as a namespec.
pub(super) fn names(proc: &Proc) -> (String, String, String) {
    let (group, name) = (proc.group.to_string(), proc.config.name.to_string());
    let namespec = namespec::display(&group, &name);
    (group, name, namespec)
}
