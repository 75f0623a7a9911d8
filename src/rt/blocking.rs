//! Threads for work that blocks, mostly for reading files.
//!
//! The runtime has such threads too, but once they have had anything to do they wake twice a second for ever, and an
//! idle daemon must not wake at all. Our threads end when they had nothing to do for a while.

use crate::sys::schedule;
use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// More threads would not make disks faster.
const THREADS_MAX: usize = 16;

/// So long a thread waits for more work before it ends.
const LINGER: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce() + Send>;

static POOL: Pool = Pool {
    state: Mutex::new(State { queue: VecDeque::new(), n_threads: 0, n_idle: 0 }),
    more: Condvar::new(),
};

struct Pool {
    state: Mutex<State>,
    more: Condvar,
}

struct State {
    queue: VecDeque<Job>,
    n_threads: usize,
    /// How many threads wait for work. One that was woken counts until it runs, and so does its job in the queue.
    n_idle: usize,
}

/// Runs `work` on one of the threads and waits for it. If it panics, so does this.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = async_channel::bounded(1);
    POOL.enqueue(Box::new(move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        // Nobody listens if whoever waited was cancelled.
        let _ = sender.try_send(result);
    }));
    match receiver.recv().await {
        Ok(Ok(value)) => value,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(_) => unreachable!("every job that is queued is run, and sends"),
    }
}

/// Runs work that clients ask for and that takes a processor for long, on a thread of its own that has no precedence
/// over programs. It goes on to its end even if nobody waits for it any more.
///
/// # Errors
/// There can be no more threads, or the work panicked.
pub async fn run_aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (sender, receiver) = async_channel::bounded(1);
    std::thread::Builder::new().name("aside".into()).spawn(move || {
        schedule::give_precedence_up();
        // Nobody listens if whoever waited was cancelled.
        let _ = sender.try_send(work());
    })?;
    receiver.recv().await.map_err(|_| io::Error::other("it panicked"))
}

impl Pool {
    fn enqueue(&'static self, job: Job) {
        let mut state = self.lock();
        state.queue.push_back(job);
        let wants_thread = state.queue.len() > state.n_idle && state.n_threads < THREADS_MAX;
        state.n_threads += usize::from(wants_thread);
        drop(state);
        if !wants_thread {
            self.more.notify_one();
        } else if std::thread::Builder::new().name("blocking".into()).spawn(|| self.work()).is_err() {
            // There can be no more threads. What is queued must be done by somebody.
            self.do_all(self.lock()).n_threads -= 1;
        }
    }

    /// Does what there is to do until there is nothing for a while.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            state = self.do_all(state);
            state.n_idle += 1;
            let waited = self.more.wait_timeout(state, LINGER);
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.n_idle -= 1;
            if timeout.timed_out() && state.queue.is_empty() {
                state.n_threads -= 1;
                return;
            }
        }
    }

    /// Does what is queued, unlocked while it does.
    fn do_all<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        while let Some(job) = state.queue.pop_front() {
            drop(state);
            job();
            state = self.lock();
        }
        state
    }

    /// The state is whole whenever the lock can be had.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt;
    use std::thread::current;

    #[test]
    fn work_is_done_elsewhere_and_all_of_it() {
        rt::block_on(async {
            assert_ne!(run(|| current().id()).await, current().id());
            let tasks: Vec<_> = (0..1000_u64).map(|n| rt::spawn(run(move || n * n))).collect();
            for (n, task) in (0..).zip(tasks) {
                assert_eq!(task.join().await, n * n);
            }
            let state = POOL.lock();
            assert!(state.n_threads <= THREADS_MAX && state.n_idle <= state.n_threads);
        });
    }

    #[test]
    fn work_aside_comes_to_its_end_whatever_happens() {
        rt::block_on(async {
            assert_eq!(run_aside(|| 1).await.unwrap(), 1);
            assert!(run_aside(|| panic!("as intended")).await.is_err());
            let (sender, receiver) = async_channel::bounded(1);
            let (go, told) = std::sync::mpsc::channel::<()>();
            let abandoned = run_aside(move || {
                told.recv().unwrap();
                sender.try_send(()).unwrap();
            });
            // The work waits until nobody waits for it.
            assert!(futures_lite::future::poll_once(Box::pin(abandoned)).await.is_none());
            go.send(()).unwrap();
            receiver.recv().await.unwrap();
        });
    }

    #[test]
    fn a_panic_comes_back_to_whoever_waits() {
        let waiting = std::panic::AssertUnwindSafe(|| rt::block_on(run(|| panic!("as intended"))));
        assert!(std::panic::catch_unwind(waiting).is_err());
        assert_eq!(rt::block_on(run(|| 1)), 1);
    }
}
