//! The answers of the loop. None leaves before a successor would find everything that it says.
//!
//! A client that was told "done" must not see that undone because the manager dies. So whoever has decided an answer only
//! [posts](Answers::post) it, and the one way out takes a [`Saved`], which comes from nowhere but
//! [`Daemon::save`](crate::manager::daemon::Daemon::save).

use crate::control::request::{Call, Outcome, Request};
use crate::manager::saved::Saved;
use async_channel::Sender;

/// Whoever asked for something and is owed one answer.
#[derive(Debug)]
pub struct Client(Sender<Outcome>);

impl Client {
    /// Takes a call apart: what is asked, and by whom.
    pub fn of(call: Call) -> (Request, Client) {
        (call.request, Client(call.reply))
    }
}

/// The answers that have been decided and have not left.
#[derive(Debug, Default)]
pub struct Answers {
    posted: Vec<(Client, Outcome)>,
}

impl Answers {
    /// Answers a client, as soon as that may be.
    pub fn post(&mut self, client: Client, outcome: Outcome) {
        self.posted.push((client, outcome));
    }

    /// Whether none waits.
    pub fn are_sent(&self) -> bool {
        self.posted.is_empty()
    }

    /// Lets the answers go, in the order in which they were posted.
    pub fn send(&mut self, _: Saved) {
        for (Client(sender), outcome) in self.posted.drain(..) {
            // A client that has gone away does not matter: the work is done.
            let _ = sender.try_send(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::request::Answer;
    use crate::manager::saved::InForce;

    #[test]
    fn answers_wait_for_what_they_say_to_be_saved_and_keep_their_order() {
        let (sender, receiver) = async_channel::unbounded();
        let client = || Client::of(Call { request: Request::State, reply: sender.clone() }).1;
        let mut answers = Answers::default();
        answers.post(client(), Ok(Answer::Number(1)));
        answers.post(client(), Ok(Answer::Number(2)));
        assert!(receiver.is_empty(), "an answer left before anything was saved");
        answers.send(InForce::saved_for_test());
        let numbers = [receiver.try_recv().unwrap(), receiver.try_recv().unwrap()];
        assert_eq!(numbers, [Ok(Answer::Number(1)), Ok(Answer::Number(2))]);
        answers.send(InForce::saved_for_test());
        assert!(receiver.is_empty(), "an answer left twice");
    }
}
