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
pub trait Custodian: Send + Sync {
    /// The output of these streams goes to this file. What they went to before is forgotten.
    fn keep(&self, streams: &[u64], file: BorrowedFd<'_>);
    /// The output of this stream goes to the file that is in custody already.
    fn keep_on(&self, stream: u64);
    /// Nobody wants the output of this stream.
    fn discard(&self, stream: u64);
    /// The output of this stream waits.
    fn release(&self, stream: u64);
    /// The output of this stream is gathered in this spool, which is on its way into custody; whether it is.
    fn keep_spool(&self, stream: u64, spool: BorrowedFd<'_>) -> bool;
    /// Whether what is in custody for this stream is a spool, and says so since before this process.
    fn is_spool(&self, stream: u64) -> bool;
    /// Whether something is in custody for this stream by now.
    fn holds(&self, stream: u64) -> bool;
    /// The lines of this stream that wait for a syslog on the network are in this file. It is there for the next
    /// process, and nobody else looks at it.
    fn keep_queue(&self, stream: u64, queue: BorrowedFd<'_>);
    /// Where it is remembered how far this stream has come; `None` if there is no such place.
    fn cursor(&self, stream: u64) -> Option<&Cursor>;
}

static CUSTODIAN: OnceLock<Box<dyn Custodian>> = OnceLock::new();

/// Uses this one from now on. Only the first one counts.
pub fn install(custodian: Box<dyn Custodian>) {
    let _ = CUSTODIAN.set(custodian);
}

/// See [`Custodian::keep`]. Once this returns it survives this process.
pub fn keep(streams: &[u64], file: impl AsFd) {
    if let Some(custodian) = CUSTODIAN.get()
        && !streams.is_empty()
    {
        custodian.keep(streams, file.as_fd());
    }
}

/// See [`Custodian::keep_on`].
pub fn keep_on(stream: u64) {
    tell(|custodian| custodian.keep_on(stream));
}

/// See [`Custodian::discard`].
pub fn discard(stream: u64) {
    tell(|custodian| custodian.discard(stream));
}

/// See [`Custodian::release`].
pub fn release(stream: u64) {
    tell(|custodian| custodian.release(stream));
}

/// See [`Custodian::keep_spool`].
pub fn keep_spool(stream: u64, spool: impl AsFd) -> bool {
    CUSTODIAN.get().is_some_and(|custodian| custodian.keep_spool(stream, spool.as_fd()))
}

/// See [`Custodian::keep_queue`].
pub fn keep_queue(stream: u64, queue: impl AsFd) {
    tell(|custodian| custodian.keep_queue(stream, queue.as_fd()));
}

/// See [`Custodian::is_spool`].
pub fn is_spool(stream: u64) -> bool {
    CUSTODIAN.get().is_some_and(|custodian| custodian.is_spool(stream))
}

/// See [`Custodian::holds`].
pub fn holds(stream: u64) -> bool {
    CUSTODIAN.get().is_some_and(|custodian| custodian.holds(stream))
}

/// See [`Custodian::cursor`].
pub fn cursor(stream: u64) -> Option<&'static Cursor> {
    CUSTODIAN.get()?.cursor(stream)
}

fn tell(what: impl FnOnce(&dyn Custodian)) {
    if let Some(custodian) = CUSTODIAN.get() {
        what(custodian.as_ref());
    }
}
