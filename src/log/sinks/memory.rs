//! A log in the daemon's memory: the last bytes, readable like a file.

use async_channel::{Receiver, Sender, TrySendError};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most a ring holds, whatever its configuration says.
pub const MAX_RING: usize = 1 << 20;

/// The last bytes of a stream. It grows as bytes come, and is gone with the process that holds it.
#[derive(Debug)]
pub struct Ring {
    capacity: AtomicUsize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: VecDeque<u8>,
    /// How many bytes were ever written.
    n_written: u64,
    /// Who is told when there is more.
    followers: Vec<Sender<()>>,
}

impl Ring {
    /// A ring for `maxbytes` bytes, at most [`MAX_RING`]; 0 stands for that, too.
    pub fn new(maxbytes: u64) -> Ring {
        let capacity = match usize::try_from(maxbytes) {
            Ok(0) | Err(_) => MAX_RING,
            Ok(maxbytes) => maxbytes.min(MAX_RING),
        };
        Ring { capacity: AtomicUsize::new(capacity), held: Mutex::default() }
    }

    /// How many bytes it holds at most.
    pub fn capacity(&self) -> usize {
        self.capacity.load(Ordering::Relaxed)
    }

    /// Holds so many bytes at most from now on; the oldest that are too many go.
    pub fn set_capacity(&self, capacity: usize) {
        let mut held = self.lock();
        self.capacity.store(capacity, Ordering::Relaxed);
        let excess = held.bytes.len().saturating_sub(capacity);
        held.bytes.drain(..excess);
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // No method can panic half way.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all the bytes; the oldest make room.
    pub fn write(&self, bytes: &[u8]) -> usize {
        let mut held = self.lock();
        let capacity = self.capacity();
        let newest = &bytes[bytes.len().saturating_sub(capacity)..];
        let excess = (held.bytes.len() + newest.len()).saturating_sub(capacity);
        held.bytes.drain(..excess);
        held.bytes.extend(newest);
        held.n_written += bytes.len() as u64;
        // One note is enough, however much is written before it is read.
        held.followers.retain(|follower| !matches!(follower.try_send(()), Err(TrySendError::Closed(()))));
        bytes.len()
    }

    /// Forgets all bytes, and gives their memory back.
    pub fn clear(&self) {
        self.lock().bytes = VecDeque::new();
    }

    /// How many bytes it holds now.
    pub fn len(&self) -> usize {
        self.lock().bytes.len()
    }

    /// Whether it holds no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// At most `length` bytes from `offset`, counted from the oldest byte held.
    pub fn read(&self, offset: usize, length: usize) -> Vec<u8> {
        let held = self.lock();
        held.bytes.iter().skip(offset).take(length).copied().collect()
    }

    /// A channel that holds a note whenever something was written since the last one was taken.
    pub fn notes(&self) -> Receiver<()> {
        let (sender, receiver) = async_channel::bounded(1);
        self.lock().followers.push(sender);
        receiver
    }

    /// What was written after the first `position` bytes, as far as it is still held, and how many bytes were ever
    /// written.
    pub fn since(&self, position: u64) -> (Vec<u8>, u64) {
        let held = self.lock();
        let n_new = held.n_written.saturating_sub(position);
        // What is more than the address space is more than is held.
        let skipped = held.bytes.len().saturating_sub(usize::try_from(n_new).unwrap_or(usize::MAX));
        (held.bytes.iter().skip(skipped).copied().collect(), held.n_written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_bytes_make_room() {
        let ring = Ring::new(5);
        for (piece, held) in
            [("ab", "ab"), ("cde", "abcde"), ("f", "bcdef"), ("0123456789", "56789"), ("", "56789")]
        {
            assert_eq!(ring.write(piece.as_bytes()), piece.len());
            assert_eq!(ring.read(0, 100), held.as_bytes());
        }
        assert_eq!(ring.read(1, 2), b"67");
        assert_eq!(ring.read(9, 2), b"");
    }

    #[test]
    fn what_is_new_can_be_asked_for() {
        let ring = Ring::new(5);
        let notes = ring.notes();
        assert!(notes.is_empty());
        ring.write(b"abc");
        ring.write(b"def");
        assert!(notes.try_recv().is_ok() && notes.is_empty());
        assert_eq!(ring.since(4), (b"ef".to_vec(), 6));
        assert_eq!(ring.since(0), (b"bcdef".to_vec(), 6));
        assert_eq!(ring.since(6), (b"".to_vec(), 6));
        ring.clear();
        ring.write(b"g");
        assert_eq!(ring.since(6), (b"g".to_vec(), 7));
    }
}
