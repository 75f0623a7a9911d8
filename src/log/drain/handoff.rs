//! What is left with others, so that programs' output can go to its logs while there is no manager.
//!
//! Somebody else may only do what needs no thought: move bytes as they are to one file, or throw them away. So
//! only streams with a single file and nothing derived are in custody. Of the others a [spool](crate::log::spool) is:
//! what they write is gathered there. Who has them is no business of the logs; without anybody, nothing of this
//! happens.

use crate::shm::cursor::Cursor;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;

/// Somebody who outlives this process.
pub trait KeeperStore: Send + Sync {
    /// The output of these streams goes to this file. What they went to before is forgotten.
    fn register_log(&self, streams: &[u64], file: BorrowedFd<'_>);
    /// The output of this stream goes to the file that is in custody already.
    fn confirm_log(&self, stream: u64);
    /// Nobody wants the output of this stream.
    fn discard(&self, stream: u64);
    /// The output of this stream waits.
    fn release(&self, stream: u64);
    /// The output of this stream is gathered in this spool, which is on its way into custody; whether it is.
    fn register_spool(&self, stream: u64, spool: BorrowedFd<'_>) -> bool;
    /// Whether what is in custody for this stream is a spool, and says so since before this process.
    fn is_spool(&self, stream: u64) -> bool;
    /// Whether something is in custody for this stream by now.
    fn holds(&self, stream: u64) -> bool;
    /// The lines of this stream that wait for a syslog on the network are in this file. It is there for the next
    /// process, and nobody else looks at it.
    fn register_queue(&self, stream: u64, queue: BorrowedFd<'_>);
    /// Where it is remembered how far this stream has come; `None` if there is no such place.
    fn cursor(&self, stream: u64) -> Option<&Cursor>;
}

static STORE: OnceLock<Box<dyn KeeperStore>> = OnceLock::new();

/// Uses this one from now on. Only the first one counts.
pub fn install(store: Box<dyn KeeperStore>) {
    let _ = STORE.set(store);
}

/// See [`KeeperStore::register_log`]. Once this returns it survives this process.
pub fn register_log(streams: &[u64], file: impl AsFd) {
    if let Some(store) = STORE.get()
        && !streams.is_empty()
    {
        store.register_log(streams, file.as_fd());
    }
}

/// See [`KeeperStore::confirm_log`].
pub fn confirm_log(stream: u64) {
    with_store(|store| store.confirm_log(stream));
}

/// See [`KeeperStore::discard`].
pub fn discard(stream: u64) {
    with_store(|store| store.discard(stream));
}

/// See [`KeeperStore::release`].
pub fn release(stream: u64) {
    with_store(|store| store.release(stream));
}

/// See [`KeeperStore::register_spool`].
pub fn register_spool(stream: u64, spool: impl AsFd) -> bool {
    STORE.get().is_some_and(|store| store.register_spool(stream, spool.as_fd()))
}

/// See [`KeeperStore::register_queue`].
pub fn register_queue(stream: u64, queue: impl AsFd) {
    with_store(|store| store.register_queue(stream, queue.as_fd()));
}

/// See [`KeeperStore::is_spool`].
pub fn is_spool(stream: u64) -> bool {
    STORE.get().is_some_and(|store| store.is_spool(stream))
}

/// See [`KeeperStore::holds`].
pub fn holds(stream: u64) -> bool {
    STORE.get().is_some_and(|store| store.holds(stream))
}

/// See [`KeeperStore::cursor`].
pub fn cursor(stream: u64) -> Option<&'static Cursor> {
    STORE.get()?.cursor(stream)
}

fn with_store(what: impl FnOnce(&dyn KeeperStore)) {
    if let Some(store) = STORE.get() {
        what(store.as_ref());
    }
}
