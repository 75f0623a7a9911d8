//! The runtime, behind one door. No other room names it, so that changing it changes this room only.
//!
//! Tasks run on a few threads of async-std's. A manager that takes over has no time to create threads. Until they
//! exist, the thread that [lends a hand](lend_a_hand) runs tasks, so that clients are answered meanwhile. A [`Task`]
//! that is dropped goes on running, on every runtime.

use crate::sys::schedule;
use async_executor::Executor;
use futures_lite::FutureExt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering::*};
use std::time::Duration;

pub mod blocking;
pub mod wait;

pub use async_io::{Async, Timer};
pub use signal_hook_async_std::Signals;

/// Everything that runs.
static TASKS: Executor<'static> = Executor::new();

/// Whether there are to be no threads yet.
static IS_PUT_OFF: AtomicBool = AtomicBool::new(false);

/// A running task.
#[must_use = "a task that nobody waits for says so with detach()"]
pub struct Task<T>(Option<async_executor::Task<T>>);

impl<T> Task<T> {
    /// Lets the task run on by itself.
    pub fn detach(self) {}

    /// Waits for its result.
    pub async fn join(mut self) -> T {
        match self.0.take() {
            Some(task) => task.await,
            None => unreachable!("only what ends the handle takes the task out of it"),
        }
    }

    /// Stops it at its next pause; its result if it was finished already.
    pub async fn cancel(mut self) -> Option<T> {
        self.0.take()?.cancel().await
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }
}

/// Starts a task.
pub fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Task<T> {
    let task = TASKS.spawn(future);
    if !IS_PUT_OFF.load(Acquire) {
        start_threads();
    }
    Task(Some(task))
}

/// Keeps the threads from being made with the first task, until [`make_threads`].
pub fn put_threads_off() {
    IS_PUT_OFF.store(true, Release);
}

/// Ends that.
pub fn make_threads() {
    IS_PUT_OFF.store(false, Release);
    start_threads();
}

/// So many threads are made besides those of the runtime: that of its reactor, and some for work that blocks.
const FURTHER_THREADS: usize = 2;

/// Finds out whether there can be as many threads as are needed. The runtime itself panics if there cannot.
///
/// # Errors
/// The system's.
pub fn try_threads() -> io::Result<()> {
    let (sender, end) = std::sync::mpsc::channel::<()>();
    let end = std::sync::Mutex::new(end);
    std::thread::scope(|scope| {
        // Dropped with the last line, which ends them all.
        let _sender = sender;
        for _ in 0..schedule::n_runtime_threads() + FURTHER_THREADS {
            let wait = || drop(end.lock().map(|end| end.recv()));
            std::thread::Builder::new().spawn_scoped(scope, wait)?;
        }
        Ok(())
    })
}

fn start_threads() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        for _ in 0..schedule::n_runtime_threads() {
            drop(async_std::task::spawn(run_tasks()));
        }
    });
}

/// Runs tasks for ever. One that panics ends by itself.
async fn run_tasks() {
    loop {
        let _ = AssertUnwindSafe(TASKS.run(std::future::pending::<()>())).catch_unwind().await;
    }
}

/// Lets a task that is ready make a step on this thread; false if there is none.
pub fn lend_a_hand() -> bool {
    // One that panics has made its last.
    catch_unwind(|| TASKS.try_tick()).unwrap_or(true)
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
    crate::rt::blocking::run(work).await
}

/// Runs something that takes a processor for long, as nice to programs as they are to each other, and waits for it.
///
/// # Errors
/// There can be no more threads, or it panicked.
pub async fn run_aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::io::Result<T> {
    crate::rt::blocking::run_aside(work).await
}
