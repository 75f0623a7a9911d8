//! What the loop waits for, and what can wake it.

use crate::control::ask::Call;
use crate::manager::daemon::Daemon;
use crate::manager::events::outlet::Written;
use crate::manager::probes::Answer;
use crate::manager::processes::memory::Measured;
use crate::manager::state_file::Attempt;
use crate::rt;
use crate::rt::wait;
use futures_lite::{FutureExt, StreamExt, future};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What ended the loop's waiting.
pub enum Wakeup {
    /// The ledger has grown.
    Ledger,
    /// A client asks for something; `None` if there is no client any more.
    Call(Option<Call>),
    /// A signal that was sent to the manager itself.
    Signal(i32),
    /// An event listener has written something.
    Listener,
    /// An adopted program has ended.
    Adopted,
    /// Somebody was left in a control group, and may have gone.
    Left,
    /// A program was created, and nobody waited for it.
    Created,
    /// Output of a program is to become an event; `None` if no stream is left.
    Written(Option<Written>),
    /// A program has reported something over the notify socket or its pipe.
    Reported,
    /// The `state_file` was written, or could not be.
    Remembered(Attempt),
    /// Programs with a `memory_limit` were measured.
    Measured(Vec<Measured>),
    /// Somebody was asked whether a program is ready or well.
    Answered(Option<Answer>),
    /// The earliest deadline has come.
    Deadline,
}

/// Whether there may be more in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// Every entry has been dealt with.
    Empty,
    /// A turn has ended before the ledger has.
    More,
}

/// What the loop listens to.
pub struct LoopInputs {
    /// The eventfd that the keeper rings when the ledger has grown.
    pub doorbell: Arc<OwnedFd>,
    /// What clients ask for.
    pub calls: async_channel::Receiver<Call>,
    /// Signals that were sent to the manager itself, which only reports them.
    pub signals: rt::Signals,
    /// Readable when an event listener has written something.
    pub listeners: Arc<OwnedFd>,
    /// Readable when an adopted program has ended.
    pub adopted: Arc<OwnedFd>,
    /// Readable when a program has reported something.
    pub reports: Arc<OwnedFd>,
    /// Calls that came before the loop began, in their order.
    pub postponed: Vec<Call>,
}

impl Daemon {
    /// Waits until something wakes the loop, or the earliest deadline has come.
    pub async fn wait(&self, inputs: &mut LoopInputs) -> Wakeup {
        debug_assert!(self.answers.are_sent(), "a client waits for as long as the loop sleeps");
        let deadlines = [
            self.procs.next_deadline(),
            self.pending_spawn_deadline(),
            self.life.deadline(),
            self.events.deadline(),
            self.map.deadline(),
            self.probes.deadline(),
            self.trees.deadline(),
            self.memory.deadline(),
        ];
        let deadline = deadlines.into_iter().flatten().min();
        let timer = async {
            wait::until(deadline).await;
            Wakeup::Deadline
        };
        let ledger = async {
            wait::readable(&inputs.doorbell).await;
            Wakeup::Ledger
        };
        let calls = async { Wakeup::Call(inputs.calls.recv().await.ok()) };
        let signals = async { Wakeup::Signal(inputs.signals.next().await.unwrap_or(0)) };
        let listeners = async {
            wait::readable(&inputs.listeners).await;
            Wakeup::Listener
        };
        let adopted = async {
            wait::readable(&inputs.adopted).await;
            Wakeup::Adopted
        };
        let left = async {
            match self.spawns.left_cgroups.readiness() {
                Some(readiness) => wait::readable(readiness).await,
                None => future::pending().await,
            }
            Wakeup::Left
        };
        let reported = async {
            wait::readable(&inputs.reports).await;
            Wakeup::Reported
        };
        let answered = async { Wakeup::Answered(self.probes.next_answer().await) };
        let created = async {
            self.spawns.ring().await;
            Wakeup::Created
        };
        let measured = async { Wakeup::Measured(self.memory.next_measured().await) };
        let remembered = async { Wakeup::Remembered(self.state_file.next_written().await) };
        let written = async { Wakeup::Written(self.events.next_written().await) };
        ledger
            .or(signals)
            .or(timer)
            .or(listeners)
            .or(adopted)
            .or(left)
            .or(created)
            .or(reported)
            .or(answered)
            .or(measured)
            .or(remembered)
            .or(calls)
            .or(written)
            .await
    }
}
