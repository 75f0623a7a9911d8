//! What all HTTP servers of the daemon share.

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
use async_channel::{Receiver, Sender};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Large bodies of requests may occupy so many bytes together while they come in.
const INCOMING_MAX: usize = 16 << 20;

/// So many what they are decoded into: the largest body there may be finds room.
const DECODED_MAX: usize = body::DECODED * BODY_MAX as usize;

/// So many large answers.
const OUTGOING_MAX: usize = 32 << 20;

/// So many large answers are made at a time, whoever asks for them: those who never stop asking are not to fill the loop's
/// queue, nor the processors.
const MADE_AT_A_TIME: usize = 2;

/// What an answer that may be large is counted as before it is known, in bytes.
const HEAVY: usize = 1 << 20;

/// The turn of a request at having a large answer made.
#[derive(Debug)]
pub(super) struct Reservation {
    _making: Share,
    _memory: Share,
}

/// What one kind of clients may occupy. The other kind has as much, so nobody on the network takes the memory of those
/// who come by a unix socket.
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

/// Everything a connection needs of the daemon. Cheap to clone; one serves all listeners, each as its clients see it.
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
    /// Of the network's clients, and of those on unix sockets.
    memory: [Memory; 2],
    hashing: Hashing,
    guesses: Guesses,
    admission: Admission,
    in_progress: InProgress,
    /// This process is about to end.
    leaving: AtomicBool,
    limits: Limits,
}

/// Knows when the last request has been answered: each holds a sender, and a channel without senders is
/// closed.
#[derive(Debug)]
struct InProgress {
    /// `None` once somebody waits for the last one.
    sender: Mutex<Option<Sender<()>>>,
    receiver: Receiver<()>,
}

impl Context {
    /// `rpc_namespaces` are those that publish the main interface; `version` is what
    /// `getSupervisorVersion` answers.
    pub fn new(handle: Handle, rpc_namespaces: &[String], version: &str) -> Context {
        Context::with_limits(handle, rpc_namespaces, version, Limits::default())
    }

    /// The same with another kind of patience.
    pub fn with_limits(handle: Handle, rpc_namespaces: &[String], version: &str, limits: Limits) -> Context {
        let (sender, receiver) = async_channel::bounded(1);
        let usage = Usage::default();
        let feed = Feed::new(usage.clone());
        let shared = Shared {
            server: Server::new(handle.clone(), rpc_namespaces, version),
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

    /// The same for clients of this kind.
    pub(super) fn on(self, side: Side) -> Context {
        Context { side, ..self }
    }

    pub(super) fn side(&self) -> Side {
        self.side
    }

    /// Lets every connection end with its next answer, so that clients come back to whoever serves then.
    pub fn leave(&self) {
        self.shared.handle.announce_successor();
        self.shared.leaving.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.shared.leaving.load(Ordering::Relaxed)
    }

    /// Waits until the requests that were being carried out when this was called have been answered, but no
    /// longer than `limit`. For the end of the daemon, whose last answer is often the one to `shutdown`.
    pub async fn drain(&self, limit: Duration) {
        let sender = &self.shared.in_progress.sender;
        drop(sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        // Nothing is ever sent: this ends when all senders are gone, or too late.
        let _ = within(limit, self.shared.in_progress.receiver.recv()).await;
    }

    /// To be held while a request is carried out and its answer sent. `None` once the daemon ends.
    pub(super) fn begin_request(&self) -> Option<Sender<()>> {
        self.shared.in_progress.sender.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where the loop tells what happens.
    pub fn feed(&self) -> &Feed {
        &self.shared.feed
    }

    /// Where the loop takes down how long things took.
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

    /// Memory for bodies that come in.
    pub(super) fn incoming(&self) -> &Budget {
        &self.memory().incoming
    }

    /// Memory for what they are decoded into.
    pub(super) fn decoded(&self) -> &Budget {
        &self.memory().decoded
    }

    /// Memory for answers.
    pub(super) fn outgoing(&self) -> &Budget {
        &self.memory().outgoing
    }

    /// Waits for the turn at having an answer made that may be large, and the memory for it: before the answer is there
    /// nobody knows its size. `None` if that takes too long.
    pub(super) async fn reserve_memory(&self) -> Option<Reservation> {
        let reservation = async {
            // In this order: those who wait for their turn hold no memory, which those whose turn it is may need.
            let making = self.memory().making.take(1).await;
            Reservation { _memory: self.outgoing().take(HEAVY).await, _making: making }
        };
        within(self.limits().memory, reservation).await
    }

    /// Memory for an answer of so many bytes, which is none for a small one. `None` if that takes too long.
    pub(super) async fn reserve_for_answer(&self, n_bytes: usize) -> Option<Option<Share>> {
        match n_bytes > SMALL {
            true => within(self.limits().memory, self.outgoing().take(n_bytes)).await.map(Some),
            false => Some(None),
        }
    }

    /// Memory for the answer to a call that may have to wait for processes.
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
