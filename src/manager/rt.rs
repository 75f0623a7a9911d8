//! The runtime, behind one door. No other file names it, so that changing it changes this file only.
//!
//! Tasks run on a small pool of threads. A [`Task`] that is dropped goes on running, on every runtime.

use std::future::Future;
use std::time::Duration;

pub use async_io::{Async, Timer};

/// A running task.
#[must_use = "a task that nobody waits for says so with detach()"]
pub struct Task<T>(async_std::task::JoinHandle<T>);

impl<T> Task<T> {
    /// Lets the task run on by itself.
    pub fn detach(self) {}

    /// Waits for its result.
    pub async fn join(self) -> T {
        self.0.await
    }

    /// Stops it at its next pause; its result if it was finished already.
    pub async fn cancel(self) -> Option<T> {
        self.0.cancel().await
    }
}

/// Starts a task on the pool.
pub fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Task<T> {
    Task(async_std::task::spawn(future))
}

/// Runs a future on this thread until it is done.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    async_std::task::block_on(future)
}

/// Lets the runtime notice which timers are not waited for any more. Otherwise it wakes up once when the last of them
/// would have been due, a minute after a client has left, and an idle daemon is not to wake up.
pub async fn forget_past_timers() {
    // It sets its clock anew when a timer comes about.
    Timer::after(Duration::from_millis(1)).await;
}

/// Runs something that blocks on a thread of its own and waits for it.
pub async fn unblock<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    crate::manager::blocking::run(work).await
}
