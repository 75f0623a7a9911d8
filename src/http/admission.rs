//! How many clients there may be, and who has to go when there are too many.

use super::socket::Socket;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts connections and knows which of them are idle. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: usize,
    n_open: AtomicUsize,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    next: u64,
    /// By the order in which they became idle.
    sockets: BTreeMap<u64, Arc<Socket>>,
}

/// One connection's place; free again when this is dropped.
#[derive(Debug)]
pub struct Place(Admission);

/// That a connection waits for a request. It may be closed meanwhile: its client cannot tell that from a
/// server that was never patient.
#[derive(Debug)]
pub struct Waiting {
    admission: Admission,
    number: u64,
}

impl Admission {
    pub fn new(max: usize) -> Admission {
        Admission(Arc::new(Shared { max, n_open: AtomicUsize::new(0), idle: Mutex::default() }))
    }

    /// A place for one more connection. If all are taken, whoever has been idle longest is closed to make
    /// room; `None` if nobody is idle.
    pub fn enter(&self) -> Option<Place> {
        if self.0.n_open.load(Ordering::Relaxed) >= self.0.max && !self.evict() {
            return None;
        }
        self.0.n_open.fetch_add(1, Ordering::Relaxed);
        Some(Place(self.clone()))
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.0.n_open.load(Ordering::Relaxed) == 0
    }

    /// Closes the connection that has been idle longest; whether there was one.
    pub fn evict(&self) -> bool {
        let oldest = self.lock().sockets.pop_first();
        if let Some((_, socket)) = &oldest {
            socket.hang_up();
        }
        oldest.is_some()
    }

    /// Marks a connection as idle until the result is dropped.
    pub fn waiting(&self, socket: &Arc<Socket>) -> Waiting {
        let mut idle = self.lock();
        let number = idle.next;
        idle.next += 1;
        idle.sockets.insert(number, socket.clone());
        Waiting { admission: self.clone(), number }
    }

    /// The table is whole between any two operations, so a panic elsewhere spoils nothing.
    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.n_open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.admission.lock().sockets.remove(&self.number);
    }
}
