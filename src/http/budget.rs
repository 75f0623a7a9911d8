//! A bound on the memory that bodies of requests and answers may occupy together.
//!
//! Small ones are free. For a large one its bytes are taken here first, and whoever finds too few waits.

use async_channel::Sender;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes to be shared. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    total: usize,
    state: Mutex<State>,
    /// So that nobody has to lock to see whether somebody waits.
    n_waiting: AtomicUsize,
}

#[derive(Debug)]
struct State {
    available: usize,
    /// In the order they came.
    waiting: VecDeque<(usize, Sender<Share>)>,
}

/// Bytes taken from a budget, given back when this is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    n_bytes: usize,
}

impl Budget {
    pub fn new(total: usize) -> Budget {
        let state = Mutex::new(State { available: total, waiting: VecDeque::new() });
        Budget(Arc::new(Shared { total, state, n_waiting: AtomicUsize::new(0) }))
    }

    /// Whether somebody waits for bytes.
    pub fn is_short(&self) -> bool {
        self.0.n_waiting.load(Ordering::Relaxed) > 0
    }

    /// Takes bytes, waiting until there are enough. Whoever wants more than there are gets all there are.
    pub async fn take(&self, n_bytes: usize) -> Share {
        let n_bytes = n_bytes.min(self.0.total);
        let receiver = {
            let mut state = self.lock();
            if state.waiting.is_empty() && state.available >= n_bytes {
                state.available -= n_bytes;
                return Share { budget: self.clone(), n_bytes };
            }
            let (sender, receiver) = async_channel::bounded(1);
            state.waiting.push_back((n_bytes, sender));
            self.0.n_waiting.store(state.waiting.len(), Ordering::Relaxed);
            receiver
        };
        match receiver.recv().await {
            Ok(share) => share,
            // The sender is dropped only after it has sent.
            Err(_) => Share { budget: self.clone(), n_bytes: 0 },
        }
    }

    fn give_back(&self, n_bytes: usize) {
        let mut state = self.lock();
        state.available += n_bytes;
        let mut unwanted = Vec::new();
        while let Some((wanted, _)) = state.waiting.front()
            && *wanted <= state.available
        {
            // The loop has just seen that there is one.
            let Some((wanted, sender)) = state.waiting.pop_front() else { break };
            if sender.is_closed() {
                continue;
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
    use crate::manager::rt;
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
    fn whoever_gives_up_leaves_nothing_behind() {
        rt::block_on(async {
            let budget = Budget::new(100);
            let all = budget.take(100).await;
            let mut abandoned = Box::pin(budget.take(100));
            assert!(future::poll_once(&mut abandoned).await.is_none());
            drop(abandoned);
            // Served, then given up before it was noticed.
            let mut served = Box::pin(budget.take(100));
            assert!(future::poll_once(&mut served).await.is_none());
            drop(all);
            drop(served);
            assert!(future::poll_once(Box::pin(budget.take(100))).await.is_some());
        });
    }
}
