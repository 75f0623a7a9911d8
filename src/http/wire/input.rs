//! The input buffer of a connection.

use crate::http::net::socket::Socket;
use std::io;
use std::sync::Arc;

/// How much is read at a time, in bytes.
const READ_SIZE: usize = 8 << 10;

/// The receiving half of a connection. Clients may send requests without waiting for answers, so the buffer may extend beyond
/// the current request.
#[derive(Debug)]
pub(crate) struct Input {
    socket: Arc<Socket>,
    /// The unread bytes are in `start..end`. Used bytes stay in front of them until room is needed.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    pub(crate) fn new(socket: Arc<Socket>) -> Input {
        Input { socket, buffer: Vec::new(), start: 0, end: 0 }
    }

    /// The bytes that were received and not used.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Marks bytes at the front as used.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn consume(&mut self, n_bytes: usize) {
        assert!(n_bytes <= self.unread().len(), "more was used than was received");
        self.start += n_bytes;
    }

    /// Drops all bytes and frees the memory, because an idle connection needs none.
    pub(crate) fn clear(&mut self) {
        (self.buffer, self.start, self.end) = (Vec::new(), 0, 0);
    }

    /// Makes room for `n_bytes` unread bytes, and not for more.
    pub(crate) fn reserve(&mut self, n_bytes: usize) {
        self.compact();
        self.buffer.reserve_exact((n_bytes + READ_SIZE).saturating_sub(self.buffer.len()));
    }

    /// Reads more from the socket. Returns how many bytes, 0 at the end. The future may be dropped while it waits.
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) async fn receive(&mut self) -> io::Result<usize> {
        self.compact();
        if self.buffer.len() < self.end + READ_SIZE {
            self.buffer.resize(self.end + READ_SIZE, 0);
        }
        let n_bytes = self.socket.read(&mut self.buffer[self.end..]).await?;
        self.end += n_bytes;
        Ok(n_bytes)
    }

    /// Removes bytes from the front and returns them.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn take(&mut self, n_bytes: usize) -> Vec<u8> {
        self.compact();
        let rest = self.buffer[n_bytes..self.end].to_vec();
        let mut taken = std::mem::replace(&mut self.buffer, rest);
        taken.truncate(n_bytes);
        (self.start, self.end) = (0, self.buffer.len());
        taken
    }

    fn compact(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
    }
}
