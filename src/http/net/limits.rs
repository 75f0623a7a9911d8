//! How long a client may take, and what is too small to be counted.

use std::time::Duration;

/// A body or an answer of at most so many bytes is small: it is counted against no budget, and goes through in one piece.
pub(crate) const SMALL: usize = 64 << 10;

/// Time limits of a connection. The defaults are what the daemon uses; tests have less patience.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Silence between two requests.
    pub idle: Duration,
    /// The head of a request, from its first byte to its end.
    pub head: Duration,
    /// The body of a request.
    pub body: Duration,
    /// Each part of the body ([`STEP`](crate::http::wire::body::STEP) bytes of it, or the rest): a body that comes more slowly
    /// holds a place and memory for nothing.
    pub body_step: Duration,
    /// So long a request waits for the memory that it, or its answer, needs.
    pub memory: Duration,
    /// An answer of which the client takes nothing.
    pub stall: Duration,
    /// So long it may take to receive a part of a body, or to send a part of an answer, while others wait for the
    /// memory that it occupies.
    pub stall_when_short: Duration,
    /// What a client still sends after it was refused is read for so long, because closing a socket with
    /// unread input makes the kernel throw away the answer too.
    pub linger: Duration,
    /// So long a wrong password goes unanswered.
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
