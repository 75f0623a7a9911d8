//! Questions that only a thread can ask, because the system may never answer: what a name service says, whether there is
//! a file on a server that is gone.
//!
//! A thread that hangs cannot be ended. So while somebody asks a question nobody else asks the same one: a probe that is
//! repeated for ever costs one thread, and its next tries wait for that. Such threads are not those of the pool for
//! files, which would be used up.

use crate::rt;
use async_channel::{Receiver, Sender};
use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// Who waits for which answer.
type Waiting<T> = HashMap<OsString, Vec<Sender<Result<T, String>>>>;

/// Questions of one kind.
pub(super) struct Questions<T>(LazyLock<Mutex<Waiting<T>>>);

impl<T: Clone + Send + 'static> Questions<T> {
    pub(super) const fn new() -> Questions<T> {
        Questions(LazyLock::new(Mutex::default))
    }

    /// Waits for the answer to a question, which is asked now unless it was asked already.
    pub(super) async fn ask(
        &'static self,
        question: OsString,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let answer = self.enqueue(question, work);
        answer.recv().await.unwrap_or_else(|_| Err("nobody has answered".to_string()))
    }

    fn enqueue(
        &'static self,
        question: OsString,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Receiver<Result<T, String>> {
        let (sender, receiver) = async_channel::bounded(1);
        let mut waiting = self.lock();
        let is_asked = waiting.contains_key(&question);
        let those = waiting.entry(question.clone()).or_default();
        // Those who have lost patience, of whom a question without an answer would gather ever more.
        those.retain(|sender| !sender.is_closed());
        those.push(sender);
        if !is_asked {
            rt::spawn(async move {
                let answer = rt::run_aside(work).await;
                let answer = answer.unwrap_or_else(|error| Err(format!("it cannot be asked: {error}")));
                for sender in self.lock().remove(&question).unwrap_or_default() {
                    // Nobody listens if whoever waited was cancelled.
                    let _ = sender.try_send(answer.clone());
                }
            })
            .detach();
        }
        receiver
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::mpsc;

    static ASKED: Questions<usize> = Questions::new();

    #[test]
    fn a_question_without_an_answer_costs_one_thread_and_one_place() {
        static N_ASKED: AtomicUsize = AtomicUsize::new(0);
        let (answer, told) = mpsc::channel::<usize>();
        let mut told = Some(told);
        let mut ask = || {
            // Only the first one is to be asked, so the others have nobody to hear from.
            let told = told.take();
            ASKED.enqueue("hangs".into(), move || {
                N_ASKED.fetch_add(1, SeqCst);
                told.ok_or("asked twice")?.recv().map_err(|error| error.to_string())
            })
        };
        for _ in 0..1000 {
            drop(ask());
            assert!(ASKED.lock()[&OsString::from("hangs")].len() <= 2);
        }
        let (one, other) = (ask(), ask());
        // Others are answered meanwhile.
        assert_eq!(rt::block_on(ASKED.ask("another".into(), || Ok(3))), Ok(3));
        answer.send(7).unwrap();
        assert_eq!(rt::block_on(one.recv()), Ok(Ok(7)));
        assert_eq!(rt::block_on(other.recv()), Ok(Ok(7)));
        assert_eq!(N_ASKED.load(SeqCst), 1);
        // Answered once, it is asked anew.
        assert_eq!(rt::block_on(ASKED.ask("hangs".into(), || Ok(8))), Ok(8));
    }

    #[test]
    fn a_panic_is_an_answer() {
        let answer = rt::block_on(ASKED.ask("panics".into(), || panic!("as intended")));
        assert!(answer.is_err(), "{answer:?}");
        assert_eq!(rt::block_on(ASKED.ask("panics".into(), || Ok(1))), Ok(1));
    }
}
