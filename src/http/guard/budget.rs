//! Limits the memory that bodies of requests, or answers, occupy together.
//!
//! Small ones are not counted. Large ones take bytes from a budget, and wait if too few are available.

use async_channel::Sender;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A number of bytes that tasks share. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    total: usize,
    state: Mutex<State>,
    /// How many tasks wait; can be read without the lock.
    n_waiting: AtomicUsize,
}

#[derive(Debug)]
struct State {
    available: usize,
    /// Waiting tasks in the order in which they are served.
    waiting: VecDeque<(usize, Sender<Share>)>,
}

/// The place of a new task in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Next,
    Last,
}

/// Bytes taken from a budget. Dropping it returns them.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    n_bytes: usize,
}

impl Budget {
    pub(crate) fn new(total: usize) -> Budget {
        let state = Mutex::new(State { available: total, waiting: VecDeque::new() });
        Budget(Arc::new(Shared { total, state, n_waiting: AtomicUsize::new(0) }))
    }

    /// Whether a task waits for bytes.
    pub(crate) fn is_short(&self) -> bool {
        self.0.n_waiting.load(Ordering::Relaxed) > 0
    }

    /// Takes bytes, and waits until enough are available. A request for more than the whole budget gets the whole budget.
    pub(crate) async fn take(&self, n_bytes: usize) -> Share {
        self.take_in(Turn::Last, n_bytes).await
    }

    /// Takes bytes as [`Budget::take`] does, at the front or at the end of the queue.
    pub(crate) async fn take_in(&self, turn: Turn, n_bytes: usize) -> Share {
        let n_bytes = n_bytes.min(self.0.total);
        // Dropped after the channel: whoever gives up does not stand in the way of those behind.
        let _leaving = Leaving(self);
        let receiver = {
            let mut state = self.lock();
            if state.waiting.is_empty() && state.available >= n_bytes {
                state.available -= n_bytes;
                return Share { budget: self.clone(), n_bytes };
            }
            let (sender, receiver) = async_channel::bounded(1);
            match turn {
                Turn::Next => state.waiting.push_front((n_bytes, sender)),
                Turn::Last => state.waiting.push_back((n_bytes, sender)),
            }
            self.0.n_waiting.store(state.waiting.len(), Ordering::Relaxed);
            receiver
        };
        match receiver.recv().await {
            Ok(share) => share,
            // The sender is dropped only after it has sent.
            Err(_) => Share { budget: self.clone(), n_bytes: 0 },
        }
    }

    /// An empty share, to which others can be added.
    pub(crate) fn nothing(&self) -> Share {
        Share { budget: self.clone(), n_bytes: 0 }
    }

    fn give_back(&self, n_bytes: usize) {
        let mut state = self.lock();
        state.available += n_bytes;
        let mut unwanted = Vec::new();
        while let Some((wanted, sender)) = state.waiting.pop_front() {
            if sender.is_closed() {
                continue;
            }
            if wanted > state.available {
                state.waiting.push_front((wanted, sender));
                break;
            }
            state.available -= wanted;
            let share = Share { budget: self.clone(), n_bytes: wanted };
            if let Err(error) = sender.try_send(share) {
                unwanted.push(error.into_inner());
            }
        }
        self.0.n_waiting.store(state.waiting.len(), Ordering::Relaxed);
        // Dropping a share locks again.
        drop(state);
        drop(unwanted);
    }

    /// Every change under this lock is complete before anything can panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task that waits or has waited. When it gives up, those behind it are served.
struct Leaving<'a>(&'a Budget);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if self.0.is_short() {
            self.0.give_back(0);
        }
    }
}

impl Share {
    pub(crate) fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    /// Adds another share of the same budget.
    pub(crate) fn absorb(&mut self, mut other: Share) {
        self.n_bytes += std::mem::take(&mut other.n_bytes);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.n_bytes > 0 {
            self.budget.give_back(self.n_bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt;
    use futures_lite::future;

    #[test]
    fn whoever_comes_too_late_waits_for_their_turn() {
        rt::block_on(async {
            let budget = Budget::new(100);
            let first = budget.take(80).await;
            let mut second = Box::pin(budget.take(50));
            assert!(future::poll_once(&mut second).await.is_none());
            assert!(budget.is_short());
            // No overtaking, or the big ones would starve.
            let mut third = Box::pin(budget.take(10));
            assert!(future::poll_once(&mut third).await.is_none());
            drop(first);
            drop((second.await, third.await));
            assert!(!budget.is_short());
            drop(budget.take(1000).await);
        });
    }

    #[test]
    fn some_have_the_next_turn_and_shares_grow() {
        rt::block_on(async {
            let budget = Budget::new(1);
            let mut share = budget.nothing();
            share.absorb(budget.take(1).await);
            assert_eq!(share.n_bytes(), 1);
            let mut early = Box::pin(budget.take(1));
            assert!(future::poll_once(&mut early).await.is_none());
            let mut preferred = Box::pin(budget.take_in(Turn::Next, 1));
            assert!(future::poll_once(&mut preferred).await.is_none());
            drop(share);
            let preferred = future::poll_once(preferred).await.expect("it is next");
            assert!(future::poll_once(&mut early).await.is_none());
            drop(preferred);
            early.await;
        });
    }

    #[test]
    fn whoever_gives_up_leaves_nothing_behind() {
        rt::block_on(async {
            let budget = Budget::new(100);
            let all = budget.take(100).await;
            let mut abandoned = Box::pin(budget.take(100));
            assert!(future::poll_once(&mut abandoned).await.is_none());
            // Whoever is behind it and wants less gets it at once.
            let mut modest = Box::pin(budget.take(0));
            assert!(future::poll_once(&mut modest).await.is_none());
            drop(abandoned);
            assert!(future::poll_once(modest).await.is_some());
            assert!(!budget.is_short());
            // Served, then given up before it was noticed.
            let mut served = Box::pin(budget.take(100));
            assert!(future::poll_once(&mut served).await.is_none());
            drop(all);
            drop(served);
            assert!(future::poll_once(Box::pin(budget.take(100))).await.is_some());
        });
    }
}
