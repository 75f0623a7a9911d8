//! Requests that wait for a process, and how its changes of state answer them.
//!
//! Nothing is polled: the transition that a client waits for completes the reply.

use crate::control::ask::Applied;
use crate::control::request::{BulkStatus, Client};
use crate::manager::answers::Answers;
use crate::model::fault::{Fault, FaultCode};
use crate::model::state::ProcessState;
use std::cell::RefCell;
use std::rc::Rc;

/// A client that waits for one process.
#[derive(Debug)]
pub struct Waiter {
    /// What it waits for.
    pub wants: Wants,
    /// How the process is named if the answer is a fault.
    pub namespec: String,
    /// Where the answer goes.
    pub reply: Reply,
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// RUNNING. The process is on its way there.
    Up,
    /// RUNNING, after it has stopped: the start has not begun.
    UpAfterStop,
    /// Not running any more.
    Down,
}

/// Where the answer goes.
#[derive(Debug)]
pub enum Reply {
    /// The answer is about this process alone.
    Single(Client<Applied>),
    /// One of several in a bulk request.
    Member {
        /// The request under way.
        batch: Rc<RefCell<Batch>>,
        /// The group of the process, for its line of the answer.
        group: String,
        /// The name of the process, for its line of the answer.
        name: String,
    },
}

/// A bulk request under way.
#[derive(Debug)]
pub struct Batch {
    /// In the order in which they came in.
    results: Vec<BulkStatus>,
    open: usize,
    /// Who asked, until everything has come in.
    client: Option<Client<Applied>>,
}

impl Batch {
    /// Starts with one open part, which [`Batch::close`] ends, so that early answers do not finish it.
    pub fn open(client: Client<Applied>) -> Rc<RefCell<Batch>> {
        Rc::new(RefCell::new(Batch { results: Vec::new(), open: 1, client: Some(client) }))
    }

    /// Adds a result that is known at once.
    pub fn add(&mut self, group: &str, name: &str, outcome: Result<(), Fault>) {
        self.results.push(BulkStatus { name: name.to_string(), group: group.to_string(), outcome });
    }

    /// Expects one more result.
    pub fn expect(&mut self) {
        self.open += 1;
    }

    /// Says that every part has been begun.
    pub fn close(&mut self, answers: &mut Answers) {
        self.done(answers);
    }

    fn done(&mut self, answers: &mut Answers) {
        self.open -= 1;
        if self.open == 0
            && let Some(client) = self.client.take()
        {
            answers.post(client, Ok(Applied::Several(std::mem::take(&mut self.results))));
        }
    }
}

/// The fault of a start that failed: `SPAWN_ERROR: job`, with the reason behind it if there is one to tell.
pub fn start_failed(namespec: &str, reason: &str) -> Fault {
    let separator = if reason.is_empty() { "" } else { ": " };
    Fault::with(FaultCode::SpawnError, format!("{namespec}{separator}{reason}"))
}

impl Waiter {
    /// What this change means to the waiter: the answer, or `None` to wait on. `reason` is what a fault says about a start
    /// that failed; empty if that is for the logs.
    pub fn sees(&mut self, to: ProcessState, reason: &str) -> Option<Result<(), Fault>> {
        use ProcessState::*;
        match (self.wants, to) {
            (Wants::Down, Stopped | Exited | Fatal | Unknown) => Some(Ok(())),
            (Wants::Down, Starting | Running | Backoff | Stopping) => None,

            (Wants::UpAfterStop, Starting) => {
                self.wants = Wants::Up;
                None
            }
            (Wants::UpAfterStop, Stopping | Stopped) => None,
            (Wants::Up, Starting) => None,
            (Wants::Up | Wants::UpAfterStop, Running) => Some(Ok(())),
            (Wants::Up | Wants::UpAfterStop, Backoff | Fatal) => {
                Some(Err(start_failed(&self.namespec, reason)))
            }
            (Wants::Up, Stopped | Stopping | Exited | Unknown) | (Wants::UpAfterStop, Exited | Unknown) => {
                Some(Err(self.fault(FaultCode::AbnormalTermination)))
            }
        }
    }

    fn fault(&self, code: FaultCode) -> Fault {
        Fault::with(code, self.namespec.clone())
    }

    /// Answers that what was waited for will not come.
    pub fn give_up(self, answers: &mut Answers) {
        let fault = self.fault(FaultCode::AbnormalTermination);
        self.answer(Err(fault), answers);
    }

    /// Answers, alone or as one of several.
    pub fn answer(self, outcome: Result<(), Fault>, answers: &mut Answers) {
        match self.reply {
            Reply::Single(client) => answers.post(client, outcome.map(|()| Applied::One)),
            Reply::Member { batch, group, name } => {
                let mut batch = batch.borrow_mut();
                batch.add(&group, &name, outcome);
                batch.done(answers);
            }
        }
    }
}
