//! The queue by which output that is to become an event gets from the tasks that read it to the loop.

use crate::core::events::pools::Slot;
use crate::log::stream::{Output, StreamOutput};
use crate::model::event::{Kind, Kinds};
use crate::model::stream::Stream;
use async_channel::{Receiver, Sender};
use std::collections::HashSet;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex, PoisonError};

/// How much may be on its way. Beyond that pieces of logs are left out, as a full queue would; the loop is
/// behind by seconds then.
const MOST_BYTES: usize = 16 << 20;

/// The way out of a stream. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outlet {
    sender: Sender<Written>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The kinds of events somebody wants, as [`Kinds::bits`].
    wanted: AtomicU32,
    n_bytes: AtomicUsize,
    n_left_out: AtomicUsize,
    /// Whose lines are heard though nobody wants events of them, and how many those are.
    heard: Mutex<HashSet<Slot>>,
    n_heard: AtomicUsize,
}

/// What came out of a stream.
#[derive(Debug)]
pub struct Written {
    /// Whose stream it is.
    pub slot: Slot,
    /// The program that wrote it.
    pub pid: i32,
    /// Which of the two streams.
    pub channel: Stream,
    /// What is to become an event: logged bytes, or a captured communication.
    pub output: Output,
}

/// The loop's end.
#[derive(Debug)]
pub struct Inlet {
    receiver: Receiver<Written>,
    shared: Arc<Shared>,
}

/// An outlet for all streams.
pub fn channel() -> (Outlet, Inlet) {
    let (sender, receiver) = async_channel::unbounded();
    let shared = Arc::new(Shared::default());
    (Outlet { sender, shared: Arc::clone(&shared) }, Inlet { receiver, shared })
}

impl Outlet {
    /// Says which kinds of events somebody wants.
    pub fn set_wanted(&self, wanted: Kinds) {
        self.shared.wanted.store(wanted.bits(), Release);
    }

    /// Says whether the loop wants to hear what the program in a slot writes, whoever else wants it.
    pub fn hear_lines_of(&self, slot: Slot, hears: bool) {
        let mut heard = self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if hears {
            heard.insert(slot);
        } else {
            heard.remove(&slot);
        }
        self.shared.n_heard.store(heard.len(), Release);
    }

    fn is_heard(&self, slot: Slot) -> bool {
        self.shared.n_heard.load(Acquire) > 0
            && self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner).contains(&slot)
    }

    /// What a stream's reader hands on to. The pid is that of the program at the time.
    pub fn of(
        &self,
        slot: Slot,
        pid: Arc<AtomicI32>,
        channel: Stream,
    ) -> impl FnMut(Output) + Send + 'static {
        let outlet = self.clone();
        move |output| outlet.hand_on(Written { slot, pid: pid.load(Acquire), channel, output })
    }

    fn hand_on(&self, mut written: Written) {
        let wanted = Kinds::from_bits(self.shared.wanted.load(Acquire));
        let is_full = self.shared.n_bytes.load(Relaxed) > MOST_BYTES;
        let is_heard = self.is_heard(written.slot);
        let pieces = &mut written.output.pieces;
        let before = pieces.len();
        pieces.retain(|output| match output {
            StreamOutput::Protocol(_) => true,
            StreamOutput::Communication(_) => wanted.contain(communication(written.channel)),
            StreamOutput::Log(_) => (is_heard || wanted.contain(log(written.channel))) && !is_full,
        });
        if is_full {
            self.shared.n_left_out.fetch_add(before - pieces.len(), Relaxed);
        }
        if pieces.is_empty() {
            if let Some(receipt) = written.output.receipt.take() {
                // By nobody, but that is all there is to it.
                receipt.acknowledge();
            }
        } else {
            self.shared.n_bytes.fetch_add(written.n_bytes(), Relaxed);
            // Without a loop there is nobody to tell.
            let _ = self.sender.try_send(written);
        }
    }
}

impl Written {
    fn n_bytes(&self) -> usize {
        let n_bytes = |output: &StreamOutput| match output {
            StreamOutput::Log(bytes) | StreamOutput::Communication(bytes) | StreamOutput::Protocol(bytes) => {
                bytes.len()
            }
        };
        self.output.pieces.iter().map(n_bytes).sum()
    }
}

impl Inlet {
    /// Waits for the next.
    pub async fn next(&self) -> Option<Written> {
        self.receiver.recv().await.ok().inspect(|written| self.arrived(written))
    }

    /// The next one that is there already.
    pub fn try_next(&self) -> Option<Written> {
        self.receiver.try_recv().ok().inspect(|written| self.arrived(written))
    }

    fn arrived(&self, written: &Written) {
        self.shared.n_bytes.fetch_sub(written.n_bytes(), Relaxed);
    }

    /// How many pieces were left out since this was last asked.
    pub fn take_left_out(&self) -> usize {
        self.shared.n_left_out.swap(0, Relaxed)
    }
}

/// The kind of event for captured data.
pub fn communication(channel: Stream) -> Kind {
    match channel {
        Stream::Stdout => Kind::CommunicationStdout,
        Stream::Stderr => Kind::CommunicationStderr,
    }
}

/// The kind of event for a piece of a log.
pub fn log(channel: Stream) -> Kind {
    match channel {
        Stream::Stdout => Kind::LogStdout,
        Stream::Stderr => Kind::LogStderr,
    }
}
