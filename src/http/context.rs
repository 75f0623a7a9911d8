//! What all HTTP servers of the daemon share.

use super::admission::Admission;
use super::budget::Budget;
use super::feed::Feed;
use super::figures::Figures;
use super::limits::Limits;
use super::socket::within;
use super::token::Token;
use super::usage::{Sampler, Usage};
use super::watch::Watcher;
use crate::rpc::api::Handle;
use crate::rpc::server::Server;
use async_channel::{Receiver, Sender};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Large bodies of requests and answers may occupy so many bytes together.
const BODIES_MAX: usize = 64 << 20;

/// There are never more connections than this, whatever the limit on descriptors allows.
const CONNECTIONS_MAX: u64 = 4096;

/// There may always be so many connections.
const CONNECTIONS_MIN: u64 = 64;

/// Everything a connection needs of the daemon. Cheap to clone; one serves all listeners.
#[derive(Clone, Debug)]
pub struct Context(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    handle: Handle,
    server: Server,
    watcher: Watcher,
    feed: Feed,
    usage: Usage,
    sampler: Sampler,
    token: Token,
    figures: Figures,
    budget: Budget,
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
        Context(Arc::new(Shared {
            server: Server::new(handle.clone(), rpc_namespaces, version),
            sampler: Sampler::new(handle.clone(), usage.clone(), feed.clone()),
            feed,
            usage,
            token: Token::new(),
            figures: Figures::default(),
            handle,
            watcher: Watcher::default(),
            budget: Budget::new(BODIES_MAX),
            admission: Admission::new(connections_max()),
            limits,
            in_progress: InProgress { sender: Mutex::new(Some(sender)), receiver },
            leaving: AtomicBool::new(false),
        }))
    }

    /// Lets every connection end with its next answer, so that clients come back to whoever serves then.
    pub fn leave(&self) {
        self.0.handle.announce_successor();
        self.0.leaving.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.0.leaving.load(Ordering::Relaxed)
    }

    /// Waits until the requests that were being carried out when this was called have been answered, but no
    /// longer than `limit`. For the end of the daemon, whose last answer is often the one to `shutdown`.
    pub async fn drain(&self, limit: Duration) {
        let sender = &self.0.in_progress.sender;
        drop(sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        // Nothing is ever sent: this ends when all senders are gone, or too late.
        let _ = within(limit, self.0.in_progress.receiver.recv()).await;
    }

    /// To be held while a request is carried out and its answer sent. `None` once the daemon ends.
    pub(super) fn begin_request(&self) -> Option<Sender<()>> {
        self.0.in_progress.sender.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where the loop tells what happens.
    pub fn feed(&self) -> &Feed {
        &self.0.feed
    }

    /// Where the loop takes down how long things took.
    pub fn figures(&self) -> &Figures {
        &self.0.figures
    }

    pub(super) fn usage(&self) -> &Usage {
        &self.0.usage
    }

    pub(super) fn sampler(&self) -> &Sampler {
        &self.0.sampler
    }

    pub(super) fn token(&self) -> &Token {
        &self.0.token
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.0.handle
    }

    pub(super) fn server(&self) -> &Server {
        &self.0.server
    }

    pub(super) fn watcher(&self) -> &Watcher {
        &self.0.watcher
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.0.budget
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(super) fn admission(&self) -> &Admission {
        &self.0.admission
    }
}

/// Half of the descriptors there are: programs need the others.
fn connections_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let half = limit.unwrap_or(u64::MAX) / 2;
    half.clamp(CONNECTIONS_MIN, CONNECTIONS_MAX) as usize
}
