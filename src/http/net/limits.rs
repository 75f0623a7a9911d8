//! Time limits of a connection, and the size up to which no memory is counted.

use std::time::Duration;

/// Bodies and answers of at most so many bytes are small: they are counted against no budget and sent in one piece.
pub(crate) const SMALL: usize = 64 << 10;

/// Time limits of a connection. The daemon uses the defaults; tests use shorter ones.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest silence between two requests.
    pub idle: Duration,
    /// The head of a request, from its first byte to its end.
    pub head: Duration,
    /// The body of a request.
    pub body: Duration,
    /// Each 64 KiB of the body, or the rest. A slower body would hold a descriptor and memory for nothing.
    pub body_step: Duration,
    /// The longest wait of a request for the memory that it or its answer needs.
    pub memory: Duration,
    /// The longest time in which the client reads nothing of its answer.
    pub stall: Duration,
    /// The time limit for receiving a part of a body, or sending a part of an answer, while other clients wait for the memory
    /// that it occupies.
    pub stall_when_short: Duration,
    /// How long the input of a refused client is read: if a socket is closed with unread input, the kernel also discards the
    /// answer.
    pub linger: Duration,
    /// The delay before a wrong password is answered.
    pub denial_delay: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            idle: Duration::from_secs(60),
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            body_step: Duration::from_secs(10),
            memory: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            stall_when_short: Duration::from_secs(3),
            linger: Duration::from_secs(2),
            denial_delay: Duration::from_millis(500),
        }
    }
}
