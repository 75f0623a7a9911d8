//! One stream of one program: from its pipe to its logs.
//!
//! # What is guaranteed when the daemon is killed at any instant
//!
//! Every byte of a program is in its log exactly once and in order. What was held back (a line without its end, captured
//! data) goes on where it was.
//!
//! - A raw log (one file, nothing transformed): the kernel moves the bytes from pipe to file (`direct`). A SIGKILL acts
//!   before or after such a move, never within.
//! - Everything else goes through a [spool](crate::log::spool), see `batches`. The guarantee covers up to four sinks,
//!   regular files to the byte. Nobody can tell whether a terminal, a FIFO or a socket got what was written last, so that
//!   may come twice: one write, one message of syslog. Sinks beyond the fourth may get the last 64 KiB twice.
//!
//! Where there can be no spool, because descriptors are scarce for example, bytes come into our memory and stay in the
//! pipe until they are written (`memory`). Then a kill loses only what was held back, and at most 64 KiB are written
//! twice. If one of several sinks fails, what waits for it is in our memory only; but a syslog on the network has a
//! [queue](crate::log::sinks::remote) that outlives us.
//!
//! # What happens while a log does not work
//!
//! The program never notices. If the stream has a single sink, its bytes stay in the pipe, except for one batch, and go
//! to the log when that works again. Only when the pipe is about to fill up, its oldest bytes are dropped. If the stream
//! has several sinks, or others read it too (captured data, events), the pipe is drained on: 256 KiB wait for the sink
//! that fails, and it loses what exceeds that. What waits is tried again once a second, whether or not the program says
//! anything more (see [`crate::log::drain::retry`]).

mod batches;
mod direct;
mod drain;
mod endpoints;
mod memory;
pub mod recovery;
mod replay;
mod route;
pub mod spec;

pub use drain::{Drained, Output, StreamOutput};

use crate::log::drain::{handoff, retry};
use crate::log::sinks::open;
use crate::log::sinks::remote::queue::Queue;
use crate::log::sinks::sink::{Sink, SinkSpec};
use crate::log::source::LogSource;
use crate::log::spool::{tee, transfer};
use crate::log::stream::endpoints::Endpoints;
use crate::log::stream::route::Route;
use crate::log::stream::spec::StreamSpec;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// The largest pipe an unprivileged process may ask for (`/proc/sys/fs/pipe-max-size`).
pub const LARGE_PIPE: usize = 1 << 20;

const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = retry::PERIOD;

/// A stream with its pipe and its open logs.
#[derive(Debug)]
pub struct LogStream {
    ends: Endpoints,
    route: Route,
    /// Whether the first sink can be read back.
    readable: bool,
    /// Whether a pump drains it.
    pub(in crate::log) pumped: bool,
    /// Whether it takes part in [rounds](crate::log::drain::retry) beside its pump.
    pub(in crate::log) in_rounds: bool,
    /// How many bytes were read of the program.
    n_read: Arc<AtomicU64>,
}

/// Making a stream, and naming it to those who outlive us.
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
        let StreamSpec { readable, sinks, transform, .. } = spec;
        LogStream {
            route: Route::new(transform, sinks.len(), &whose),
            ends: Endpoints::new(whose, pipe, sinks),
            readable,
            pumped: false,
            in_rounds: false,
            n_read: Arc::default(),
        }
    }

    /// Opens the logs, so that they exist although nothing was written yet, and a bad name is reported early.
    pub fn open(&mut self) {
        self.ends.sinks.iter_mut().for_each(Sink::open);
    }

    /// To how many logs it goes.
    pub fn n_logs(&self) -> usize {
        self.ends.sinks.len()
    }

    /// The reading end, to wait for.
    pub fn pipe(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.ends.pipe)
    }

    /// Whether these are the answers of an event listener.
    pub fn is_listener(&self) -> bool {
        self.route.transform().is_some_and(|transform| transform.spec().listener)
    }

    /// Whether every piece that is read becomes an event, and nobody waits for one of them.
    pub fn may_gather_events(&self) -> bool {
        let spec = self.route.transform().map(|transform| transform.spec());
        spec.is_some_and(|spec| spec.events && !spec.is_awaited)
    }

    /// Says which process writes from now on; JSON lines name it.
    pub fn set_pid(&mut self, pid: i32) {
        self.ends.pid = pid;
    }

    /// Gives a new stream a number by which a later manager will know it; not 0.
    pub fn set_id(&mut self, id: u64) {
        self.ends.id = id;
        if let Some(transfer) = transfer::installed().filter(|transfer| transfer.owner() == Some(id)) {
            // Left by a stream that is gone and had the same number.
            let _ = tee::discard(transfer.read_end(), LARGE_PIPE);
        }
        self.attach_queues(None);
        self.register(None);
    }

    /// The same for a stream of an earlier manager. That may have left some of the stream in the transfer pipe, its log
    /// or its spool with the keeper (`registered`), and what waits for syslogs on the network (`queues`).
    ///
    /// Nothing is written yet. Once all streams were resumed, and before anything is drained,
    /// [`LogStream::finish_lines`] and then [`LogStream::finish_writes`] are to be called for each.
    pub fn resume_as(&mut self, id: u64, registered: Option<OwnedFd>, queues: Option<OwnedFd>) {
        self.ends.id = id;
        self.attach_queues(queues);
        self.ends.in_transfer = transfer::installed().is_some_and(|transfer| transfer.owner() == Some(id));
        let may_resume = !self.is_listener() && !matches!(self.route, Route::Discard);
        match registered {
            Some(spool) if may_resume && handoff::is_spool(id) => self.resume_spool(spool),
            log => self.register(log),
        }
    }

    /// Gives syslogs on the network their queues: those of an earlier manager, or new ones.
    fn attach_queues(&mut self, held: Option<OwnedFd>) {
        let Endpoints { sinks, id, whose, .. } = &mut self.ends;
        let remote = sinks.iter_mut().filter(|sink| matches!(sink.spec(), SinkSpec::Remote(_)));
        let mut remote = remote.peekable();
        if remote.peek().is_none() {
            return;
        }
        let new_file = || Queue::new_file().inspect(|file| handoff::register_queue(*id, file));
        match held.map_or_else(new_file, Ok).map(Arc::new) {
            Ok(file) => {
                for (number, sink) in (0..).zip(remote) {
                    sink.attach(Queue::open(Arc::clone(&file), number));
                }
            }
            Err(error) => ::log::error!("could not make the queue of {whose}: {error}"),
        }
    }

    /// Ends what [`LogStream::set_id`] or [`LogStream::resume_as`] began: the stream's number will be another's. What
    /// still comes is for nobody: a log that was removed with the process must not be made anew for it.
    pub fn withdraw(&mut self) {
        self.ends.sinks.iter_mut().for_each(Sink::unregister);
        self.ends.sinks = Vec::new();
        handoff::release(self.ends.id);
        if let Some(batches) = self.route.batches() {
            batches.close();
        }
        self.route = Route::Discard;
        self.ends.id = 0;
    }
}

/// Its logs, for clients.
impl LogStream {
    /// Opens every log anew by its name. What cannot be opened is reported; the old file stays in use.
    pub fn reopen(&mut self) {
        self.ends.sinks.iter_mut().for_each(Sink::reopen);
    }

    /// Keeps to the limits that a specification with the same sinks has.
    pub fn set_limits(&mut self, spec: &StreamSpec) {
        for (sink, spec) in self.ends.sinks.iter_mut().zip(&spec.sinks) {
            sink.set_limits(spec);
        }
    }

    /// Empties the log that can be read back; rotated files stay. Anything that is not a regular file is left
    /// alone.
    ///
    /// # Errors
    /// The system's.
    pub fn clear(&mut self) -> io::Result<()> {
        let Some(sink) = self.ends.sinks.first().filter(|_| self.readable) else { return Ok(()) };
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
        match self.ends.sinks.first().filter(|_| self.readable).map(Sink::spec) {
            Some(SinkSpec::Path { path, .. }) => LogSource::File(path.clone()),
            Some(SinkSpec::Memory(ring)) => LogSource::Memory(Arc::clone(ring)),
            Some(SinkSpec::Syslog { .. } | SinkSpec::Remote(_)) | None => LogSource::None,
        }
    }
}

impl AsFd for LogStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ends.pipe.as_fd()
    }
}
