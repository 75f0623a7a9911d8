//! A syslog on the network: what a program prints goes into a [queue], and a task sends it from there to the receiver.
//!
//! Putting something into the queue never waits, so a receiver holds up neither the program nor whoever moves its output.
//! The task resolves the name, connects and sends (`send`). The queue outlives us: the next manager sends what is
//! in it. What it has no room for is dropped and counted, and the count is logged once the receiver works again.

mod connect;
mod health;
pub mod message;
pub mod queue;
mod send;

use crate::log::drain::retry;
use crate::log::sinks::remote::health::{Health, Recovery};
use crate::log::sinks::remote::message::Format;
use crate::log::sinks::remote::queue::{CAPACITY, Note, Queue};
use crate::log::transform::Moment;
use crate::model::syslog::SyslogTarget;
use crate::rt::{self, Async, Timer};
use crate::sys::clock;
use async_channel::{Receiver, Sender};
use futures_lite::FutureExt;
use std::net::{TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// Where messages go, and what they say besides the line.
#[derive(Clone, Debug)]
pub struct RemoteSpec {
    /// Protocol, host and port.
    pub target: SyslogTarget,
    /// How a line becomes messages.
    pub format: Format,
}

/// A receiver with what waits for it. Once this is dropped, what can be sent still is.
#[derive(Debug)]
pub struct Remote {
    shared: Arc<Shared>,
    /// Wakes the task up; closed with this value.
    wake: Sender<()>,
}

/// What the task and whoever gives it something have in common.
#[derive(Debug)]
struct Shared {
    spec: RemoteSpec,
    /// For messages, for example `syslog @udp:loghost:514 of 'web' stdout`.
    label: String,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    queue: Queue,
    health: Health,
    /// Whether the connection is to be made anew.
    reopens: bool,
    /// Something found no room a moment ago.
    is_full: bool,
    /// Who wants to know when nothing is left to be sent, or nothing can be.
    watchers: Vec<Sender<()>>,
}

/// An open connection.
#[derive(Debug)]
pub enum TcpUdp {
    /// Connected, so that an error about a datagram comes back.
    Udp(Async<UdpSocket>),
    /// A stream of frames (RFC 6587).
    Tcp(Async<TcpStream>),
}

/// All there are.
static ALL: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

impl Remote {
    /// Goes on with what is in the queue. `whose` is for messages, for example `'web' stdout`.
    pub fn new(spec: RemoteSpec, queue: Queue, whose: &str) -> Remote {
        let label = format!("syslog {} of {whose}", spec.target);
        let Note { down_since, is_logged, n_dropped } = queue.note();
        let health = Health::new(down_since, is_logged, n_dropped);
        let (reopens, is_full, watchers) = (false, false, Vec::new());
        let held = Mutex::new(Held { queue, health, reopens, is_full, watchers });
        let shared = Arc::new(Shared { spec, label, held });
        let (wake, woken) = async_channel::bounded(1);
        {
            let mut all = lock(&ALL);
            all.retain(|weak| weak.strong_count() > 0);
            all.push(Arc::downgrade(&shared));
        }
        rt::spawn(send::run(Arc::clone(&shared), woken)).detach();
        Remote { shared, wake }
    }

    /// Takes whole lines, each with its newline: they are sent, wait, or are dropped. `taken` is how many bytes of the
    /// stream's lines there are by now, if that is counted.
    pub fn put(&self, lines: &[u8], moment: Moment, taken: Option<u64>) {
        if lines.is_empty() {
            return;
        }
        let format = &self.shared.spec.format;
        let each = lines
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| (line.len() as u64, format.texts(line.strip_suffix(b"\n").unwrap_or(line))));
        let mut held = self.shared.lock();
        let n_dropped = held.queue.put((moment.pid, moment.wall()), each, taken);
        if n_dropped > 0 {
            held.health.n_dropped += n_dropped;
            held.health.begin_trouble(clock::monotonic().0);
            held.save_note();
            if !std::mem::replace(&mut held.is_full, true) {
                rt::spawn(report_if_slow(Arc::clone(&self.shared))).detach();
            }
        }
        drop(held);
        self.wake();
    }

    /// How far the queue has come in the stream's lines.
    pub fn taken(&self) -> u64 {
        self.shared.lock().queue.taken()
    }

    /// Says that the stream's lines are counted from the beginning.
    pub fn restart_count(&self) {
        self.shared.lock().queue.restart_count();
    }

    /// Makes the connection anew, to wherever the name leads by now.
    pub fn reopen(&self) {
        self.shared.lock().reopens = true;
        self.wake();
    }

    fn wake(&self) {
        // A note that is there already is as good.
        let _ = self.wake.try_send(());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Held> {
        lock(&self.held)
    }

    /// Notes that the receiver does not work, and says so unless it has been said.
    fn in_trouble(&self, held: &mut Held, what: impl FnOnce() -> String) {
        if held.health.fails(clock::monotonic().0) {
            ::log::error!("{}", what());
        }
        held.save_note();
    }

    /// Notes that the receiver takes what there is, if it keeps up with it.
    fn works(&self, held: &mut Held) {
        if held.health.is_down() && held.queue.n_waiting() <= CAPACITY / 2 {
            let recovery = held.health.works(clock::monotonic().0);
            // First logged, then forgotten: rather twice than never.
            self.report(recovery);
            held.save_note();
        }
    }

    fn report(&self, recovery: Option<Recovery>) {
        let label = &self.label;
        match recovery {
            Some(Recovery::Works { seconds, n_dropped }) => {
                ::log::warn!("{label} works again after {seconds} seconds; {n_dropped} bytes were dropped");
            }
            Some(Recovery::Dropped { n_dropped }) => {
                ::log::warn!("{label} works; {n_dropped} bytes were dropped while it did not for a moment");
            }
            None => {}
        }
    }

    /// Says what is lost, and that nobody waits for it any more.
    fn give_up(&self, held: &mut Held, why: &str) {
        let mut n_waiting = 0;
        while let Some(record) = held.queue.peek() {
            held.queue.sent(record.end, false);
            n_waiting += record.text.len() + 1;
        }
        let n_dropped = std::mem::take(&mut held.health.n_dropped);
        if n_waiting > 0 || n_dropped > 0 {
            let label = &self.label;
            ::log::warn!(
                "{label}: {n_dropped} bytes were dropped, {n_waiting} more could not be sent: {why}"
            );
        }
        held.queue.clear();
        held.save_note();
    }
}

impl Held {
    fn save_note(&mut self) {
        let Health { down_since, is_logged, n_dropped, .. } = self.health;
        self.queue.set_note(Note { down_since, is_logged, n_dropped });
    }

    /// Whether there is nothing to be done, or nothing that could be.
    fn is_done(&self) -> bool {
        self.queue.is_sent() || self.health.is_down()
    }

    fn notify(&mut self) {
        if self.is_done() {
            // Dropping them says it.
            self.watchers.clear();
        }
    }
}

/// Says that something is dropped though the receiver can be reached. If it cannot, that shows within a moment, and is
/// what there is to say.
async fn report_if_slow(shared: Arc<Shared>) {
    // The next round of all may begin in a millisecond, and a name may take longer than that.
    Timer::after(retry::PERIOD).await;
    let mut held = shared.lock();
    held.is_full = false;
    if held.health.is_down() {
        let (label, most) = (&shared.label, CAPACITY / 1024);
        shared.in_trouble(&mut held, || {
            format!("{label} takes less than is written; what is more than {most} KiB is dropped until it keeps up")
        });
    }
}

/// Waits until receivers that work have got everything, but not longer than `limit`; what is left then is lost, and
/// that is logged. For the end of the daemon.
pub async fn finish(limit: Duration) {
    let all: Vec<Arc<Shared>> = lock(&ALL).iter().filter_map(Weak::upgrade).collect();
    let done = async {
        for shared in &all {
            if let Some(receiver) = shared.watch() {
                let _ = receiver.recv().await;
            }
        }
    };
    let late = async {
        Timer::after(limit).await;
    };
    done.or(late).await;
    for shared in all {
        shared.give_up(&mut shared.lock(), "the daemon ends");
    }
}

impl Shared {
    /// A channel that is closed once it is done; `None` if it is.
    fn watch(&self) -> Option<Receiver<()>> {
        let mut held = self.lock();
        if held.is_done() {
            return None;
        }
        let (sender, receiver) = async_channel::bounded(1);
        held.watchers.push(sender);
        Some(receiver)
    }
}

/// Everything is whole whenever the lock can be had.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
