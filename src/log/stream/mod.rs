//! One stream of one program: from its pipe to its logs.
//!
//! # What is guaranteed when the daemon is killed at any instant
//!
//! Every byte of a program is in its log once, in order, and what was held back (a line without its end, captured
//! data) goes on where it was:
//!
//! - A raw log (one file, nothing derived): bytes move from pipe to file inside the kernel, and a SIGKILL acts
//!   before or after such a move, never within.
//! - Everything else goes through a [spool](crate::log::spool), see [`derived`]: up to four sinks, regular files to
//!   the byte. Of a terminal, a FIFO or a socket nobody can tell whether they have got what was written last, so that
//!   may come a second time: one write, one message of syslog. Sinks beyond the fourth may get the last 64 KiB a second
//!   time.
//!
//! Where there can be no spool, because there are no descriptors left for example, bytes come into our memory and
//! stay in the pipe until they have been written (see [`crate::log::spool::tee`]): nothing is lost but what was held back,
//! and at most 64 KiB can be written twice. What waits for a sink that fails, one of several, is in our memory only; but a
//! syslog on the network has a [queue](crate::log::sinks::remote) that outlives us.
//!
//! # What happens while a log does not work
//!
//! The program never notices. If the stream has a single sink, its bytes stay in the pipe, but for one batch, and go
//! to the log when that works again; only when the pipe is about to fill up, the oldest in it are dropped. With
//! several sinks, or with something to read out of the stream (captured data, events), the pipe is drained on; 256 KiB
//! wait for the sink that fails, and it loses what comes beyond that. What waits is tried again once a second, whether or
//! not the program says anything more (see [`crate::log::drain::retry`]).

mod derived;
pub mod recovery;
pub mod spec;

use crate::log::activity;
use crate::log::drain::{handoff, retry};
use crate::log::sinks::open;
use crate::log::sinks::remote::queue::Queue;
use crate::log::sinks::sink::{Refusal, Sink, SinkSpec, Spliced};
use crate::log::source::LogSource;
use crate::log::spool::Receipt;
use crate::log::spool::{tee, transfer};
use crate::log::stream::derived::Derived;
use crate::log::transform::{Moment, Transform, TransformSpec, Transformed, copy_to_activity_log};
use crate::model::config::Level;
use crate::sys::pipe::has_writer;
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use crate::log::stream::spec::StreamSpec;

/// The largest pipe an unprivileged process may ask for (`/proc/sys/fs/pipe-max-size`).
pub const LARGE_PIPE: usize = 1 << 20;

const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = retry::PERIOD;

/// A stream with its pipe and its open logs.
#[derive(Debug)]
pub struct LogStream {
    /// For messages, for example `'web' stdout`.
    whose: Arc<str>,
    pipe: Arc<OwnedFd>,
    pipe_size: usize,
    sinks: Vec<Sink>,
    /// Whether the first sink can be read back.
    readable: bool,
    /// Whether the logs get the very bytes of the program, and nobody else gets anything.
    transparent: bool,
    /// Whether bytes may wait in the pipe for a log that fails.
    may_hold: bool,
    /// Made when bytes first come into our memory: most streams never need it.
    shaper: Option<Box<Transform>>,
    shape: Option<Box<TransformSpec>>,
    /// Where its bytes lie while they are shaped; `None` if they are not, or if it cannot have that.
    derived: Option<Box<Derived>>,
    /// How many bytes at the pipe's beginning the activity log has been shown already.
    n_shown: usize,
    /// The process that has the other end; 0 if there is none.
    pid: i32,
    /// What the transfer pipe's note calls this stream; 0 keeps it from being used.
    id: u64,
    /// Bytes of this stream, older than those in its pipe, are in the transfer pipe.
    in_transfer: bool,
    /// The kernel has refused to splice into the only sink.
    cannot_splice: bool,
    /// How long to wait next for a sink that takes nothing.
    pause: Duration,
    pub(in crate::log) pumped: bool,
    /// It takes part in [rounds](crate::log::drain::retry) beside its pump.
    pub(in crate::log) in_rounds: bool,
    /// How many bytes were read of the program.
    n_read: Arc<AtomicU64>,
}

/// What a drain did.
#[derive(Debug, Default)]
pub struct Drained {
    pub n_bytes: usize,
    /// How much the pipe could hold until then.
    pub pipe_size: usize,
    /// The budget was used up first; there is probably more.
    pub more: bool,
    /// The pipe is empty and nobody has its other end.
    pub eof: bool,
    /// A sink takes nothing now: whatever waits in the pipe is to be tried again after this time, even though
    /// nothing new arrives.
    pub pause: Option<Duration>,
    /// What was read out of the stream for others.
    pub output: Output,
}

/// What was read out of a stream for others, in order.
#[derive(Debug, Default)]
pub struct Output {
    pub pieces: Vec<StreamOutput>,
    /// To be told once they have it.
    pub receipt: Option<Receipt>,
}

/// Something in a stream that others asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamOutput {
    /// A chunk of the log, for a PROCESS_LOG event.
    Log(Vec<u8>),
    /// What stood between capture tokens, for a PROCESS_COMMUNICATION event.
    Communication(Vec<u8>),
    /// What an event listener answered.
    Protocol(Vec<u8>),
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    /// From pipe to file, inside the kernel.
    Kernel,
    /// Nowhere.
    Discard,
    /// Through a spool.
    Spool,
    /// Through our memory.
    Memory,
}

impl LogStream {
    /// Takes over the reading end of a program's pipe, and opens its logs.
    ///
    /// Never fails: a log that cannot be opened is reported and tried again later.
    pub fn new(spec: StreamSpec, pipe: OwnedFd) -> LogStream {
        let mut stream = LogStream::unopened(spec, pipe);
        stream.open();
        stream
    }

    /// Takes over the reading end of a program's pipe and makes it non-blocking. Its logs are still to be
    /// [opened](LogStream::open).
    pub fn unopened(spec: StreamSpec, pipe: OwnedFd) -> LogStream {
        let whose: Arc<str> = format!("'{}' {}", spec.process, spec.channel.name()).into();
        if let Err(errno) = rustix::io::ioctl_fionbio(&pipe, true) {
            ::log::error!("could not make the pipe of {whose} non-blocking: {errno}");
        }
        let StreamSpec { readable, sinks, transform: shape, .. } = spec;
        let transparent = shape.is_transparent();
        let may_hold = sinks.len() == 1 && !shape.has_consumers();
        let sinks: Vec<Sink> = sinks.into_iter().map(|sink| Sink::new(sink, Arc::clone(&whose))).collect();
        LogStream {
            pipe_size: rustix::pipe::fcntl_getpipe_size(&pipe).unwrap_or(4096),
            pipe: Arc::new(pipe),
            whose,
            sinks,
            readable,
            transparent,
            may_hold,
            shaper: None,
            shape: (!transparent).then(|| Box::new(shape)),
            derived: None,
            n_shown: 0,
            pid: 0,
            id: 0,
            in_transfer: false,
            cannot_splice: false,
            pause: SHORTEST_PAUSE,
            pumped: false,
            in_rounds: false,
            n_read: Arc::default(),
        }
    }

    /// Opens the logs, so that they exist although nothing was written yet, and a bad name is told early.
    pub fn open(&mut self) {
        self.sinks.iter_mut().for_each(Sink::open);
    }

    /// To how many logs it goes.
    pub fn n_logs(&self) -> usize {
        self.sinks.len()
    }

    /// The reading end, to wait for.
    pub fn pipe(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.pipe)
    }

    /// Whether these are the answers of an event listener.
    pub fn is_listener(&self) -> bool {
        self.shape.as_ref().is_some_and(|shape| shape.listener)
    }

    /// Whether every piece that is read becomes an event.
    pub fn makes_events(&self) -> bool {
        self.shape.as_ref().is_some_and(|shape| shape.events)
    }

    /// Tells which process writes from now on; JSON lines name it.
    pub fn set_pid(&mut self, pid: i32) {
        self.pid = pid;
    }

    /// Gives a new stream a number by which a later manager will know it; not 0.
    pub fn set_id(&mut self, id: u64) {
        self.id = id;
        if let Some(transfer) = transfer::installed().filter(|transfer| transfer.owner() == Some(id)) {
            // Left by a stream that is gone and had the same number.
            let _ = tee::discard(transfer.read_end(), LARGE_PIPE);
        }
        self.attach_queues(None);
        self.register(None);
    }

    /// The same for a stream of an earlier manager, which may have left some of it in the transfer pipe, and its
    /// log or its spool in custody, and what waits for syslogs on the network. Nothing is written yet: [`LogStream::finish_lines`] and then [`LogStream::finish_writes`]
    /// are to be called once all streams were resumed, and before anything is drained.
    pub fn resume_as(&mut self, id: u64, registered: Option<OwnedFd>, queues: Option<OwnedFd>) {
        self.id = id;
        self.attach_queues(queues);
        self.in_transfer = transfer::installed().is_some_and(|transfer| transfer.owner() == Some(id));
        match registered {
            Some(spool) if handoff::is_spool(id) && !self.is_listener() => self.resume_spool(spool),
            log => self.register(log),
        }
    }

    /// Gives syslogs on the network their queues: those of an earlier manager, or new ones.
    fn attach_queues(&mut self, held: Option<OwnedFd>) {
        let remote = self.sinks.iter_mut().filter(|sink| matches!(sink.spec(), SinkSpec::Remote(_)));
        let mut remote = remote.peekable();
        if remote.peek().is_none() {
            return;
        }
        let file =
            held.map_or_else(|| Queue::new_file().inspect(|file| handoff::register_queue(self.id, file)), Ok);
        match file.map(Arc::new) {
            Ok(file) => {
                for (number, sink) in (0..).zip(remote) {
                    sink.attach(Queue::open(Arc::clone(&file), number));
                }
            }
            Err(error) => ::log::error!("could not make the queue of {}: {error}", self.whose),
        }
    }

    /// Says what is to be done with the output while there is no manager, where that can be done without one.
    fn register(&mut self, held: Option<OwnedFd>) {
        let id = self.id;
        if id == 0 {
            return;
        }
        match self.sinks.as_mut_slice() {
            [] if self.transparent => handoff::discard(id),
            [sink] if self.transparent && !self.cannot_splice => {
                // Unless its file is open, and the same.
                handoff::release(id);
                sink.register(id, held);
            }
            _ => {
                handoff::release(id);
                self.make_spool();
            }
        }
    }

    /// Ends that: the stream's number will be another's. What still comes is for nobody: a log that was removed
    /// with the process must not be made anew for it.
    pub fn withdraw(&mut self) {
        self.sinks.iter_mut().for_each(Sink::unregister);
        (self.sinks, self.transparent) = (Vec::new(), true);
        handoff::release(self.id);
        self.close_spool();
        self.id = 0;
    }

    /// Moves what waits in the pipe to the logs, about `budget` bytes at most. Never blocks.
    ///
    /// It ends as soon as the pipe was empty once. Running after a program that goes on writing would move its
    /// lines one by one, at ten times the cost.
    pub fn drain(&mut self, budget: usize) -> Drained {
        let mut drained = Drained { pipe_size: self.pipe_size, ..Drained::default() };
        if self.in_transfer && !self.finish_transfer() {
            self.hold(&mut drained);
            drained.pause.get_or_insert(LONGEST_PAUSE);
            return drained;
        }
        match self.route() {
            Route::Kernel => self.drain_by_splicing(budget, &mut drained),
            Route::Discard => self.drain_into_nothing(budget, &mut drained),
            Route::Spool => self.drain_through_spool(budget, &mut drained),
            Route::Memory => self.drain_through_memory(budget, &mut drained),
        }
        if drained.pause.is_none() {
            self.pause = SHORTEST_PAUSE;
        }
        self.count(drained.n_bytes);
        drained
    }

    fn count(&self, n_bytes: usize) {
        self.n_read.fetch_add(n_bytes as u64, Ordering::Relaxed);
    }

    /// How many bytes were read of the program, to be looked at without waiting for the stream.
    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.n_read)
    }

    /// As [`LogStream::drain`], but does not keep the program waiting while bytes are copied, if there is a
    /// [transfer pipe](crate::log::spool::transfer) and it is free. For one busy stream at a time.
    pub fn drain_aside(&mut self, budget: usize) -> Drained {
        let to_file = self.route() == Route::Kernel && self.sinks[0].file().is_some();
        if self.id == 0 || self.in_transfer || !to_file || activity::enabled(Level::Debug) {
            return self.drain(budget);
        }
        let filled = transfer::installed().and_then(|mut transfer| {
            let free = transfer.reserve(self.id).unwrap_or(false);
            free.then(|| transfer.fill(&self.pipe, budget))
        });
        let mut drained = Drained { pipe_size: self.pipe_size, ..Drained::default() };
        match filled {
            None => return self.drain(budget),
            Some(Err(Errno::AGAIN | Errno::INTR)) => {}
            Some(Err(_)) => return self.drain(budget),
            Some(Ok(0)) => drained.eof = true,
            Some(Ok(n_bytes)) => {
                drained.n_bytes = n_bytes;
                self.count(n_bytes);
                self.in_transfer = true;
                if !self.finish_transfer() {
                    drained.pause = Some(self.pause);
                }
            }
        }
        drained
    }

    /// Writes what is in the transfer pipe; whether that is all of it.
    fn finish_transfer(&mut self) -> bool {
        let Some(transfer) = transfer::installed() else { return true };
        while transfer.owner() == Some(self.id) {
            match self.sinks.first_mut().map(|sink| sink.splice(transfer.read_end(), LARGE_PIPE)) {
                Some(Ok(_) | Err(Refusal::Empty)) => {}
                Some(Err(Refusal::Failing | Refusal::Slow)) => return false,
                Some(Err(Refusal::CannotSplice)) => {
                    let sink = &mut self.sinks[0];
                    let _ = tee::consume(transfer.read_end(), |bytes| sink.push(bytes));
                }
                // Its configuration says by now that it has no log.
                None => drop(tee::discard(transfer.read_end(), LARGE_PIPE)),
            }
        }
        self.in_transfer = false;
        true
    }

    /// Asks for a pipe of this size and takes what it gets: at least what is in it now, and no more than the
    /// system allows.
    ///
    /// A large pipe saves a busy program from waiting, but an idle one costs the kernel 40 bytes per page of
    /// size, and what an unprivileged user may have in all is limited (`/proc/sys/fs/pipe-user-pages-soft`).
    pub fn resize_pipe(&mut self, wanted: usize) {
        let mut wanted = wanted.min(LARGE_PIPE);
        while wanted != self.pipe_size {
            match rustix::pipe::fcntl_setpipe_size(&self.pipe, wanted) {
                Ok(size) => self.pipe_size = size,
                Err(_) if wanted / 2 > self.pipe_size => {
                    wanted /= 2;
                    continue;
                }
                Err(_) => {}
            }
            return;
        }
    }

    fn route(&mut self) -> Route {
        match self.sinks.len() {
            0 if self.transparent => Route::Discard,
            1 if self.transparent && !self.cannot_splice => Route::Kernel,
            _ if self.uses_spool() => Route::Spool,
            _ => Route::Memory,
        }
    }

    /// At level debug the activity log shows what leaves the pipe next, as Supervisor's does. How much may leave it
    /// then, at most `max`.
    fn show(&mut self, max: usize) -> usize {
        if !activity::enabled(Level::Debug) {
            self.n_shown = 0;
            return max;
        }
        if self.n_shown == 0 {
            let whose = &self.whose;
            let shown = tee::peek(&self.pipe, |bytes| copy_to_activity_log(bytes, whose, false));
            self.n_shown = shown.unwrap_or(0);
        }
        // At the pipe's end nothing was shown, and that is to be found.
        if self.n_shown == 0 { max } else { max.min(self.n_shown) }
    }

    fn drain_by_splicing(&mut self, budget: usize, drained: &mut Drained) {
        while drained.n_bytes < budget {
            let max = self.show(budget - drained.n_bytes);
            match self.sinks[0].splice(&self.pipe, max) {
                Ok(Spliced { n_bytes: 0, .. }) => {
                    drained.eof = true;
                    return;
                }
                Ok(Spliced { n_bytes, emptied }) => {
                    drained.n_bytes += n_bytes;
                    self.n_shown = self.n_shown.saturating_sub(n_bytes);
                    if emptied {
                        return;
                    }
                }
                Err(Refusal::Empty) => return,
                Err(Refusal::Slow) => return self.wait(drained),
                Err(Refusal::Failing) => return self.hold(drained),
                Err(Refusal::CannotSplice) => {
                    self.cannot_splice = true;
                    self.sinks[0].unregister();
                    self.register(None);
                    // The keeper may not have its spool yet.
                    return self.drain_through_memory(budget, drained);
                }
            }
        }
        drained.more = true;
    }

    fn drain_into_nothing(&mut self, budget: usize, drained: &mut Drained) {
        while drained.n_bytes < budget {
            let max = self.show(budget - drained.n_bytes);
            match tee::discard(&self.pipe, max) {
                Ok(0) => {
                    drained.eof = true;
                    return;
                }
                Ok(n_bytes) => {
                    drained.n_bytes += n_bytes;
                    self.n_shown = self.n_shown.saturating_sub(n_bytes);
                }
                Err(_) => return,
            }
        }
        drained.more = true;
    }

    fn drain_through_memory(&mut self, budget: usize, drained: &mut Drained) {
        let waiting = rustix::io::ioctl_fionread(&self.pipe).unwrap_or(0) as usize;
        while drained.n_bytes < budget {
            match self.flush_sinks() {
                Some(Refusal::Slow) => return self.wait(drained),
                Some(_) if self.may_hold => return self.hold(drained),
                _ => {}
            }
            let pipe = Arc::clone(&self.pipe);
            let result = tee::consume(&pipe, |bytes| {
                let moment = Moment::now(self.pid);
                let shaped = self.shaper().feed(bytes, moment);
                self.distribute(shaped, moment, drained);
            });
            match result {
                Ok(0) => {
                    drained.eof = true;
                    return;
                }
                Ok(n_bytes) => drained.n_bytes += n_bytes,
                Err(_) => break,
            }
            if drained.n_bytes >= waiting {
                break;
            }
        }
        drained.more = drained.n_bytes >= budget;
        if matches!(self.flush_sinks(), Some(Refusal::Slow)) {
            self.wait(drained);
        }
    }

    fn distribute(&mut self, shaped: Transformed, moment: Moment, drained: &mut Drained) {
        for sink in &mut self.sinks {
            match sink.spec().takes_lines() {
                true => sink.push_lines(None, &shaped.lines, moment),
                false => sink.push(&shaped.log),
            }
        }
        drained.output.pieces.extend(shaped.output);
    }

    /// Takes bytes that somebody else has read from the pipe already. What its logs do not take now waits for
    /// the next time, or is dropped.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        let mut drained = Drained::default();
        let moment = Moment::now(self.pid);
        let shaped = self.shaper().feed(bytes, moment);
        self.distribute(shaped, moment, &mut drained);
        self.flush_sinks();
    }

    /// Writes out what was held back until it would be complete, after the process has ended and its pipe has
    /// been drained. What is read out of it for others is returned.
    pub fn flush_at_exit(&mut self) -> Output {
        let mut drained = Drained::default();
        let moment = Moment::now(self.pid);
        if self.derived.is_some() && self.uses_spool() {
            drained.output = self.finish_through_spool();
        } else if let Some(shaper) = &mut self.shaper {
            let shaped = shaper.finish(moment);
            self.distribute(shaped, moment, &mut drained);
        }
        self.pid = 0;
        drained.output
    }

    /// Whether something that has left the pipe waits for a sink, or for its turn after that: then a drain is of use
    /// even though nothing arrives.
    pub fn waits_for_sink(&self) -> bool {
        self.sinks.iter().any(Sink::holds_back) || self.is_waiting()
    }

    /// As [`LogStream::drain`], but what a listener says is left to those who hear it.
    pub(in crate::log) fn try_again(&mut self, budget: usize) -> Drained {
        if !self.is_listener() {
            return self.drain(budget);
        }
        self.flush_sinks();
        Drained::default()
    }

    /// Writes what waits for the sinks; what hinders them most.
    fn flush_sinks(&mut self) -> Option<Refusal> {
        let mut worst = None;
        for sink in &mut self.sinks {
            match sink.flush() {
                Err(Refusal::Slow) => return Some(Refusal::Slow),
                Err(refusal) => worst = Some(refusal),
                Ok(()) => {}
            }
        }
        worst
    }

    fn shaper(&mut self) -> &mut Transform {
        let (shape, whose) = (&self.shape, &self.whose);
        self.shaper.get_or_insert_with(|| {
            let shape = shape.as_deref().cloned().unwrap_or_default();
            Box::new(Transform::new(shape, Arc::clone(whose)))
        })
    }

    /// A live reader is slow: the program has to wait for it, as it would without us.
    fn wait(&mut self, drained: &mut Drained) {
        self.pause = (self.pause * 2).min(Duration::from_millis(50));
        drained.pause = Some(self.pause);
    }

    /// Leaves the bytes where they are while the only sink fails, but never lets the pipe fill up.
    fn hold(&mut self, drained: &mut Drained) {
        // There may be a long time to bridge.
        self.resize_pipe(LARGE_PIPE);
        let waiting = rustix::io::ioctl_fionread(&self.pipe).unwrap_or(0) as usize;
        if waiting == 0 {
            // The sink that fails has kept whoever drains from seeing the end of the pipe.
            drained.eof = self.is_at_end();
            return;
        }
        // Writes of little more than half a page fill a pipe with hardly half of its size.
        if waiting >= (self.pipe_size / 2).saturating_sub(4096) {
            let excess = waiting - self.pipe_size / 4;
            let n_dropped = tee::discard(&self.pipe, excess).unwrap_or(0);
            self.sinks[0].dropped(n_dropped as u64);
            self.n_shown = self.n_shown.saturating_sub(n_dropped);
            drained.n_bytes += n_dropped;
            self.pause = (self.pause / 2).max(SHORTEST_PAUSE);
        } else {
            self.longer_pause();
        }
        drained.pause = Some(self.pause);
    }

    /// Whether nothing of the program is left anywhere and nothing comes any more. Asked in this order, nothing can
    /// come in between.
    fn is_at_end(&self) -> bool {
        !self.in_transfer && !has_writer(&self.pipe) && rustix::io::ioctl_fionread(&self.pipe) == Ok(0)
    }

    /// Twice as long as the last one, for who has waited in vain.
    fn longer_pause(&mut self) -> Duration {
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.pause
    }

    /// Opens every log anew by its name. What cannot be opened is reported; the old file stays in use.
    pub fn reopen(&mut self) {
        self.sinks.iter_mut().for_each(Sink::reopen);
    }

    /// Empties the log that can be read back; rotated files stay. Anything that is not a regular file is left
    /// alone.
    ///
    /// # Errors
    /// The system's.
    pub fn clear(&mut self) -> io::Result<()> {
        let Some(sink) = self.sinks.first().filter(|_| self.readable) else { return Ok(()) };
        match (sink.file(), sink.spec()) {
            (Some(file), _) => file.clear(),
            (None, SinkSpec::Path { path, .. }) => open::clear_file(path),
            (None, SinkSpec::Memory(ring)) => {
                ring.clear();
                Ok(())
            }
            (None, SinkSpec::Syslog { .. } | SinkSpec::Remote(_)) => Ok(()),
        }
    }

    /// Where the log can be read.
    pub fn read_source(&self) -> LogSource {
        match self.sinks.first().filter(|_| self.readable).map(Sink::spec) {
            Some(SinkSpec::Path { path, .. }) => LogSource::File(path.clone()),
            Some(SinkSpec::Memory(ring)) => LogSource::Memory(Arc::clone(ring)),
            Some(SinkSpec::Syslog { .. } | SinkSpec::Remote(_)) | None => LogSource::None,
        }
    }
}

impl AsFd for LogStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
