//! What all HTTP servers of the daemon share: the handle to the loop, memory budgets, limits.

use crate::control::request::Handle;
use crate::http::guard::admission::{Admission, Side};
use crate::http::guard::budget::{Budget, Share};
use crate::http::guard::guesses::Guesses;
use crate::http::guard::hashing::Hashing;
use crate::http::guard::token::Token;
use crate::http::live::feed::Feed;
use crate::http::live::usage::{Sampler, Usage};
use crate::http::live::watch::Watcher;
use crate::http::net::limits::{Limits, SMALL};
use crate::http::net::socket::within;
use crate::http::probe::timings::Timings;
use crate::http::wire::body;
use crate::http::wire::request::BODY_MAX;
use crate::rpc::server::Server;
use crate::sys::process;
use async_channel::{Receiver, Sender};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The memory for large bodies of requests while they come in, in bytes.
const INCOMING_MAX: usize = 16 << 20;

/// The memory for decoded bodies, in bytes. The largest body that is allowed fits.
const DECODED_MAX: usize = body::DECODED * BODY_MAX as usize;

/// The memory for large answers, in bytes.
const OUTGOING_MAX: usize = 32 << 20;

/// How many large answers are produced at a time. Clients that never stop asking must fill neither the loop's queue nor the
/// processors.
const MADE_AT_A_TIME: usize = 2;

/// What is reserved for an answer that may be large before its size is known, in bytes.
const HEAVY: usize = 1 << 20;

/// Permission to produce a large answer, and the memory for it. Both are returned when this is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    _making: Share,
    _memory: Share,
}

/// The memory that one side may occupy. The other side has as much, so clients on the network cannot take the memory of
/// those on unix sockets.
#[derive(Debug)]
struct Memory {
    incoming: Budget,
    decoded: Budget,
    outgoing: Budget,
    making: Budget,
}

impl Memory {
    fn new() -> Memory {
        Memory {
            incoming: Budget::new(INCOMING_MAX),
            decoded: Budget::new(DECODED_MAX),
            outgoing: Budget::new(OUTGOING_MAX),
            making: Budget::new(MADE_AT_A_TIME),
        }
    }
}

/// What a connection needs from the daemon. All servers share one; each has a clone with its own side. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    shared: Arc<Shared>,
    side: Side,
}

#[derive(Debug)]
struct Shared {
    handle: Handle,
    server: Server,
    watcher: Watcher,
    feed: Feed,
    usage: Usage,
    sampler: Sampler,
    token: Token,
    timings: Timings,
    /// For clients on the network, and for those on unix sockets.
    memory: [Memory; 2],
    hashing: Hashing,
    guesses: Guesses,
    admission: Admission,
    in_progress: InProgress,
    /// Whether this process is about to end.
    leaving: AtomicBool,
    limits: Limits,
}

/// Knows when the last request has been answered: each request holds a sender, and a channel without senders is closed.
#[derive(Debug)]
struct InProgress {
    /// `None` once [`Context::drain`] waits for the last request.
    sender: Mutex<Option<Sender<()>>>,
    receiver: Receiver<()>,
}

impl Context {
    /// A context with the default limits. `rpc_namespaces` publish the main interface; `version` is the result of
    /// `getSupervisorVersion`.
    pub fn new(handle: Handle, rpc_namespaces: &[String], version: &str) -> Context {
        Context::with_limits(handle, rpc_namespaces, version, Limits::default())
    }

    /// A context with other limits, for tests.
    pub fn with_limits(handle: Handle, rpc_namespaces: &[String], version: &str, limits: Limits) -> Context {
        let (sender, receiver) = async_channel::bounded(1);
        let usage = Usage::default();
        let feed = Feed::new(usage.clone());
        let shared = Shared {
            server: Server::new(handle.clone(), rpc_namespaces, version, process::used),
            sampler: Sampler::new(handle.clone(), usage.clone(), feed.clone()),
            feed,
            usage,
            token: Token::new(),
            timings: Timings::default(),
            handle,
            watcher: Watcher::default(),
            memory: [Memory::new(), Memory::new()],
            hashing: Hashing::new(),
            guesses: Guesses::new(),
            admission: Admission::new(),
            limits,
            in_progress: InProgress { sender: Mutex::new(Some(sender)), receiver },
            leaving: AtomicBool::new(false),
        };
        Context { shared: Arc::new(shared), side: Side::Network }
    }

    /// The same context for clients of this side.
    pub(super) fn on(self, side: Side) -> Context {
        Context { side, ..self }
    }

    pub(super) fn side(&self) -> Side {
        self.side
    }

    /// Ends every connection with its next answer, so that clients connect to the successor. Requests that the loop has not
    /// answered when it ends are left to the successor.
    pub fn leave(&self) {
        self.shared.handle.announce_successor();
        self.shared.leaving.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.shared.leaving.load(Ordering::Relaxed)
    }

    /// Waits until the requests in progress have been answered, but no longer than `limit`. The daemon calls it before it
    /// ends, because its last answer is often the one to `shutdown`.
    pub async fn drain(&self, limit: Duration) {
        let sender = &self.shared.in_progress.sender;
        drop(sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        // Nothing is ever sent: this ends when all senders are gone, or too late.
        let _ = within(limit, self.shared.in_progress.receiver.recv()).await;
    }

    /// Marks a request as in progress until the result is dropped. `None` once the daemon ends.
    pub(super) fn begin_request(&self) -> Option<Sender<()>> {
        self.shared.in_progress.sender.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The feed to which the loop publishes changes.
    pub fn feed(&self) -> &Feed {
        &self.shared.feed
    }

    /// Where the loop records how long starts and restarts took.
    pub fn timings(&self) -> &Timings {
        &self.shared.timings
    }

    pub(super) fn usage(&self) -> &Usage {
        &self.shared.usage
    }

    pub(super) fn sampler(&self) -> &Sampler {
        &self.shared.sampler
    }

    pub(super) fn token(&self) -> &Token {
        &self.shared.token
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.shared.handle
    }

    pub(super) fn server(&self) -> &Server {
        &self.shared.server
    }

    pub(super) fn watcher(&self) -> &Watcher {
        &self.shared.watcher
    }

    fn memory(&self) -> &Memory {
        &self.shared.memory[usize::from(self.side == Side::Unix)]
    }

    /// The memory for bodies that come in.
    pub(super) fn incoming(&self) -> &Budget {
        &self.memory().incoming
    }

    /// The memory for decoded bodies.
    pub(super) fn decoded(&self) -> &Budget {
        &self.memory().decoded
    }

    /// The memory for answers.
    pub(super) fn outgoing(&self) -> &Budget {
        &self.memory().outgoing
    }

    /// Waits for permission to produce an answer that may be large, and reserves memory for it; its size is not known yet.
    /// `None` if that takes too long.
    pub(super) async fn reserve_memory(&self) -> Option<Reservation> {
        let reservation = async {
            // In this order: whoever waits for permission holds no memory, which those with permission may need.
            let making = self.memory().making.take(1).await;
            Reservation { _memory: self.outgoing().take(HEAVY).await, _making: making }
        };
        within(self.limits().memory, reservation).await
    }

    /// Reserves memory for an answer of `n_bytes` bytes: none if it is small. The outer `None` means that it took too long.
    pub(super) async fn reserve_for_answer(&self, n_bytes: usize) -> Option<Option<Share>> {
        match n_bytes > SMALL {
            true => within(self.limits().memory, self.outgoing().take(n_bytes)).await.map(Some),
            false => Some(None),
        }
    }

    /// Reserves memory for the answer to a call that may wait for processes. `None` if that takes too long.
    pub(super) async fn reserve_for_waiting(&self) -> Option<Share> {
        within(self.limits().memory, self.outgoing().take(HEAVY)).await
    }

    pub(super) fn hashing(&self) -> &Hashing {
        &self.shared.hashing
    }

    pub(super) fn guesses(&self) -> &Guesses {
        &self.shared.guesses
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    pub(super) fn admission(&self) -> &Admission {
        &self.shared.admission
    }
}
