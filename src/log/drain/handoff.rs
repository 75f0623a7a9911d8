//! What the keeper needs so that programs' output reaches its logs while there is no manager.
//!
//! The keeper only does what needs no knowledge of logs: it moves bytes as they are to one file, or discards them. So it
//! gets the file of a stream that is written to a single file as it is. Of every other stream it gets the
//! [spool](crate::log::spool), and gathers the output there. This module does not know how things get to the keeper: that
//! is up to the [`KeeperStore`] that is installed. Without one, nothing is handed off.

use crate::shm::cursor::Cursor;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;

/// What takes files for the keeper, and knows what it has. The keeper outlives this process.
pub trait KeeperStore: Send + Sync {
    /// Hands off a file: the output of these streams goes there from now on, and no longer to what was registered before.
    fn register_log(&self, streams: &[u64], file: BorrowedFd<'_>);
    /// The output of this stream goes to the file that the keeper already has for it.
    fn confirm_log(&self, stream: u64);
    /// The keeper is to discard the output of this stream.
    fn discard(&self, stream: u64);
    /// The keeper is to leave the output of this stream in its pipe.
    fn release(&self, stream: u64);
    /// Hands off a spool, in which the output of this stream is gathered. Whether it is on its way to the keeper.
    fn register_spool(&self, stream: u64, spool: BorrowedFd<'_>) -> bool;
    /// Whether a predecessor registered a spool for this stream, and not a log.
    fn is_spool(&self, stream: u64) -> bool;
    /// Whether the keeper has taken in something for this stream by now.
    fn holds(&self, stream: u64) -> bool;
    /// Hands off the queue of this stream: the lines that wait for syslogs on the network. The keeper keeps it for the next
    /// manager and does nothing with it.
    fn register_queue(&self, stream: u64, queue: BorrowedFd<'_>);
    /// The record in shared memory of how far this stream has come; `None` if there is none.
    fn cursor(&self, stream: u64) -> Option<&Cursor>;
}

static STORE: OnceLock<Box<dyn KeeperStore>> = OnceLock::new();

/// Uses this store from now on. Only the first call counts.
pub fn install(store: Box<dyn KeeperStore>) {
    let _ = STORE.set(store);
}

/// See [`KeeperStore::register_log`]. The file survives this process once this returns.
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
