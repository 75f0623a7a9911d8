//! The answers of the loop. None leaves before a successor would find everything that it says.
//!
//! A client that was told "done" must not see that undone because the manager dies. So a handler only
//! [posts](Answers::post) the answer that it has decided. [`Answers::send`] is the one way out, and it takes a [`Saved`],
//! which only [`Daemon::save`](crate::manager::daemon::Daemon::save) gives.

use crate::control::ask::Call;
use crate::control::request::{Client, Outbox};
use crate::manager::saved::Saved;
use crate::model::fault::Fault;

/// The answers that have been decided and have not left.
#[derive(Debug, Default)]
pub struct Answers {
    outbox: Outbox,
}

impl Answers {
    /// Answers a client, as soon as that may be.
    pub fn post<T: 'static>(&mut self, client: Client<T>, outcome: Result<T, Fault>) {
        client.answer(outcome, &mut self.outbox);
    }

    /// Answers a fault to whoever asked, whatever that was.
    pub fn refuse(&mut self, call: Call, fault: Fault) {
        call.refuse(fault, &mut self.outbox);
    }

    /// Whether none waits.
    pub fn are_sent(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Lets the answers go, in the order in which they were posted.
    pub fn send(&mut self, _: Saved) {
        self.outbox.send();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::ask::{self, Ask};
    use crate::manager::saved::InForce;
    use crate::model::fault::FaultCode;

    #[test]
    fn answers_of_any_type_wait_for_what_they_say_to_be_saved() {
        let (pid, pid_answer) = Client::channel();
        let (name, name_answer) = Client::channel();
        let mut answers = Answers::default();
        answers.post(pid, Ok(7_i64));
        answers.refuse(ask::Identification.into_call(name), Fault::new(FaultCode::ShutdownState));
        assert!(!answers.are_sent());
        assert!(pid_answer.is_empty() && name_answer.is_empty(), "an answer left before anything was saved");
        answers.send(InForce::saved_for_test());
        assert_eq!(pid_answer.try_recv(), Ok(Ok(7)));
        assert_eq!(name_answer.try_recv(), Ok(Err(Fault::new(FaultCode::ShutdownState))));
        assert!(answers.are_sent());
        answers.send(InForce::saved_for_test());
        assert!(pid_answer.try_recv().is_err(), "an answer left twice");
    }
}
