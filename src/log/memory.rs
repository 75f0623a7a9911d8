//! A log in the daemon's memory: the last bytes, readable like a file.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most a ring holds, whatever its configuration says.
pub const MAX_RING: usize = 1 << 20;

/// The last bytes of a stream. It grows as bytes come, and is gone with the process that holds it.
#[derive(Debug)]
pub struct Ring {
    capacity: usize,
    bytes: Mutex<VecDeque<u8>>,
}

impl Ring {
    /// A ring for `maxbytes` bytes, at most [`MAX_RING`]; 0 stands for that, too.
    pub fn new(maxbytes: u64) -> Ring {
        let capacity = match usize::try_from(maxbytes) {
            Ok(0) | Err(_) => MAX_RING,
            Ok(maxbytes) => maxbytes.min(MAX_RING),
        };
        Ring { capacity, bytes: Mutex::new(VecDeque::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<u8>> {
        // No method can panic half way.
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all the bytes; the oldest make room.
    pub fn write(&self, bytes: &[u8]) -> usize {
        let newest = &bytes[bytes.len().saturating_sub(self.capacity)..];
        let mut held = self.lock();
        let excess = (held.len() + newest.len()).saturating_sub(self.capacity);
        held.drain(..excess);
        held.extend(newest);
        bytes.len()
    }

    pub fn clear(&self) {
        *self.lock() = VecDeque::new();
    }

    pub fn len(&self) -> usize {
        self.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// At most `length` bytes from `offset`, counted from the oldest byte held.
    pub fn read(&self, offset: usize, length: usize) -> Vec<u8> {
        let held = self.lock();
        held.iter().skip(offset).take(length).copied().collect()
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
}
