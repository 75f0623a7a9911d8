//! One place that log bytes go to, and what happens while it does not work.
//!
//! A sink never gives up and never holds up anything else. It logs once that it fails, goes on trying, and logs once that
//! it works again and how many bytes it had to drop.

use crate::log::sinks::failures::{Failures, Recovery};
use crate::log::sinks::file::{IntentSlot, Limits, SharedFile};
use crate::log::sinks::memory::Ring;
use crate::log::sinks::remote::queue::Queue;
use crate::log::sinks::remote::{Remote, RemoteSpec};
use crate::log::sinks::syslog::Form;
use crate::log::sinks::target::{Target, open_target};
use crate::log::spool::tee;
use crate::log::transform::Moment;
use crate::shm::cursor::SinkCursor;
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many bytes wait at most for a sink that fails.
const MAX_PENDING: usize = 256 * 1024;

/// How long a reader that is slow is waited for before the sink counts as failing.
const SLOW_LIMIT: Duration = Duration::from_secs(5);

/// What a sink is to write to.
#[derive(Clone, Debug)]
pub enum SinkSpec {
    /// A name in the file system, whatever kind of thing it turns out to be.
    Path {
        /// As the configuration has it.
        path: PathBuf,
        /// For a file that has to be created, before the umask.
        mode: u32,
        /// For a regular file.
        limits: Limits,
    },
    /// The local syslog.
    Syslog {
        /// What stands in front of every line.
        form: Form,
    },
    /// A syslog on the network.
    Remote(Arc<RemoteSpec>),
    /// The daemon's memory.
    Memory(Arc<Ring>),
}

impl SinkSpec {
    /// Whether it gets whole lines as they are, and not what files get.
    pub fn takes_lines(&self) -> bool {
        matches!(self, SinkSpec::Syslog { .. } | SinkSpec::Remote(_))
    }
}

/// A sink with what is open and what waits.
#[derive(Debug)]
pub struct Sink {
    spec: SinkSpec,
    /// For messages, for example `'web' stdout`.
    whose: Arc<str>,
    target: Option<Target>,
    pending: VecDeque<u8>,
    /// Where a successor finds how much was written; `None` if it need not know.
    cursor: Option<&'static SinkCursor>,
    /// How much of the stream's output stands before the first byte that waits, or comes next.
    position: u64,
    /// Something was dropped behind what waits: positions do not tell any more, until nothing waits.
    has_gap: bool,
    /// Whether everything may wait, because nothing more is given before it has gone.
    may_wait: bool,
    /// Since when a device that works takes nothing.
    stuck: Option<Instant>,
    failures: Failures,
    /// The stream whose raw output is all that is written here, if the keeper may have its file.
    registered: Option<u64>,
}

/// What a splice moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spliced {
    /// 0 is the end of the pipe.
    pub n_bytes: usize,
    /// Whether the pipe is known to have been empty afterwards.
    pub emptied: bool,
}

/// Why a sink did not take anything.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The pipe is empty.
    Empty,
    /// Whoever reads the sink is slow; ask again soon.
    Slow,
    /// It does not work now. That has been said already.
    Failing,
    /// The kernel does not splice into this one.
    CannotSplice,
}

impl Sink {
    /// `whose` is for messages, for example `'web' stdout`. Nothing is opened yet.
    pub fn new(spec: SinkSpec, whose: Arc<str>) -> Sink {
        let (target, stuck, registered, failures) = (None, None, None, Failures::default());
        let (cursor, position, has_gap, may_wait) = (None, 0, false, false);
        Sink {
            spec,
            whose,
            target,
            pending: VecDeque::new(),
            cursor,
            position,
            has_gap,
            may_wait,
            stuck,
            failures,
            registered,
        }
    }

    /// What messages call it.
    fn label(&self) -> String {
        let whose = &self.whose;
        match &self.spec {
            SinkSpec::Path { path, .. } => format!("log file {} of {whose}", path.display()),
            SinkSpec::Syslog { .. } => format!("syslog of {whose}"),
            SinkSpec::Remote(spec) => format!("syslog {} of {whose}", spec.target),
            SinkSpec::Memory(_) => format!("memory log of {whose}"),
        }
    }

    /// Leaves the file behind the sink, now and whenever another one is opened, to whoever moves the output of
    /// this stream while there is no manager. `held` is what is left with them already.
    pub fn register(&mut self, stream: u64, held: Option<impl AsFd>) {
        self.registered = Some(stream);
        if let Some(file) = self.file() {
            file.register(stream, held);
        }
    }

    /// Ends what [`Sink::register`] began.
    pub fn unregister(&mut self) {
        if let (Some(stream), Some(file)) = (self.registered.take(), self.file()) {
            file.unregister(stream);
        }
    }

    /// Lets a successor know from now on how much was written. With `may_wait` nothing is dropped while it fails:
    /// whoever calls this gives nothing more until [`Sink::flush`] succeeds.
    pub fn track(&mut self, cursor: Option<&'static SinkCursor>, may_wait: bool) {
        (self.cursor, self.may_wait) = (cursor, may_wait);
    }

    /// As [`Sink::push`], for bytes that have this place in the stream's output.
    pub fn push_at(&mut self, position: u64, bytes: &[u8]) {
        if self.pending.is_empty() {
            (self.position, self.has_gap) = (position, false);
        } else if self.position + self.pending.len() as u64 != position {
            self.has_gap = true;
        }
        self.push(bytes);
    }

    /// Gives a syslog on the network the queue in which lines wait for it.
    pub fn attach(&mut self, queue: Queue) {
        if let SinkSpec::Remote(spec) = &self.spec {
            self.target = Some(Target::Remote(Remote::new(RemoteSpec::clone(spec), queue, &self.whose)));
        }
    }

    /// The syslog on the network that lines go to, if it is one.
    pub fn remote(&self) -> Option<&Remote> {
        match &self.target {
            Some(Target::Remote(remote)) => Some(remote),
            _ => None,
        }
    }

    /// Gives the sink whole lines from a moment. `position` is where they begin in the stream's lines, if that is
    /// counted.
    pub fn push_lines(&mut self, position: Option<u64>, lines: &[u8], moment: Moment) {
        if self.target.is_none() && matches!(self.spec, SinkSpec::Remote(_)) {
            match Queue::new_file() {
                // Nobody else knows of this one.
                Ok(file) => self.attach(Queue::open(Arc::new(file), 0)),
                Err(error) => {
                    self.fails(&error);
                    return;
                }
            }
        }
        if let Some(remote) = self.remote() {
            return remote.put(lines, moment, position.map(|begin| begin + lines.len() as u64));
        }
        match position {
            Some(position) => self.push_at(position, lines),
            None => self.push(lines),
        }
    }

    /// Whether bytes that were given to it wait.
    pub fn holds_back(&self) -> bool {
        !self.pending.is_empty()
    }

    /// What it is to write to.
    pub fn spec(&self) -> &SinkSpec {
        &self.spec
    }

    /// Opens what is to be written to, so that an empty log exists and a bad name is reported early.
    pub fn open(&mut self) {
        // A syslog on the network has to be given its queue first.
        if !matches!(self.spec, SinkSpec::Remote(_)) {
            let _ = self.ready();
        }
    }

    /// The file behind the sink, if it is open and one.
    pub fn file(&self) -> Option<&SharedFile> {
        match &self.target {
            Some(Target::File(file)) => Some(file),
            _ => None,
        }
    }

    /// Lets the kernel move at most `max` bytes from the pipe into the sink.
    ///
    /// # Errors
    /// Why nothing was moved.
    pub fn splice(&mut self, pipe: impl AsFd, max: usize) -> Result<Spliced, Refusal> {
        self.ready()?;
        let limits = self.limits();
        let result = match &mut self.target {
            Some(Target::File(file)) => file.splice(&pipe, max, limits).map(|written| {
                log_notice(written.notice);
                Spliced { n_bytes: written.n_bytes, emptied: !written.was_cut }
            }),
            Some(Target::Device(device)) => {
                // A pipe at the other end may be full as well as ours be empty.
                device.splice(&pipe, max).map(|n_bytes| Spliced { n_bytes, emptied: false })
            }
            _ => return Err(Refusal::CannotSplice),
        };
        match result {
            Ok(spliced) => {
                self.works();
                Ok(spliced)
            }
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Err(Refusal::CannotSplice),
            Err(error) if is_refused(&error) => Err(Refusal::CannotSplice),
            // The bytes are in the pipe still, and will be seen again.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(Refusal::Empty),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blocked(&pipe),
            Err(error) => Err(self.fails(&error)),
        }
    }

    /// EAGAIN means that one of the two ends cannot go on; which one decides what to do.
    fn blocked(&mut self, pipe: impl AsFd) -> Result<Spliced, Refusal> {
        match rustix::io::ioctl_fionread(pipe) {
            Ok(waiting) if waiting > 0 && matches!(self.target, Some(Target::Device(_))) => Err(self.slow()),
            _ => Err(Refusal::Empty),
        }
    }

    /// Gives bytes to the sink, which keeps what it cannot write now: all of it while its reader is merely slow,
    /// for then nothing more is read from the program, and up to a limit while it fails.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        while self.pending.is_empty() && !bytes.is_empty() {
            match self.write(bytes) {
                Ok(n_bytes) => bytes = &bytes[n_bytes..],
                Err(_) => break,
            }
        }
        let room = match self.failures.is_failing() && !self.may_wait {
            true => MAX_PENDING.saturating_sub(self.pending.len()),
            false => bytes.len(),
        };
        let (kept, dropped) = bytes.split_at(whole_lines(bytes, room));
        self.pending.extend(kept);
        if !dropped.is_empty() {
            self.has_gap = true;
            self.dropped(dropped.len() as u64);
        }
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// Why some of it waits still.
    pub fn flush(&mut self) -> Result<(), Refusal> {
        while !self.pending.is_empty() {
            let mut waiting = std::mem::take(&mut self.pending);
            let result = self.write(waiting.make_contiguous());
            self.pending = waiting;
            self.pending.drain(..result?);
        }
        Ok(())
    }

    /// Notes that bytes for this sink are gone for good.
    pub fn dropped(&mut self, n_bytes: u64) {
        self.failures.dropped(n_bytes);
    }

    /// Writes the beginning of `bytes`.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        self.ready()?;
        let limits = self.limits();
        let cursor = self.cursor.filter(|_| !self.has_gap);
        let intent = cursor.map(|cursor| IntentSlot { cursor, at: self.position });
        let result = match &mut self.target {
            Some(Target::File(file)) => file.append_as(bytes, limits, intent).map(|written| {
                log_notice(written.notice);
                written.n_bytes
            }),
            Some(Target::Device(device)) => device.write(bytes),
            // One by one, so that after a kill one message at most is sent again.
            Some(Target::Syslog(syslog)) if cursor.is_some() => syslog.write(first_line(bytes)),
            Some(Target::Syslog(syslog)) => syslog.write(bytes),
            Some(Target::Memory(ring)) => Ok(ring.write(bytes)),
            // It is given lines with their moment, and has a queue of its own.
            Some(Target::Remote(_)) => Ok(bytes.len()),
            // `ready` has opened it.
            None => Ok(0),
        };
        match result {
            Ok(0) => Err(self.fails(&io::ErrorKind::WriteZero.into())),
            Ok(n_bytes) => {
                self.works();
                self.position += n_bytes as u64;
                if let Some(cursor) = cursor {
                    cursor.set_written(self.position);
                }
                Ok(n_bytes)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Err(self.slow())
            }
            Err(error) => Err(self.fails(&error)),
        }
    }

    /// Closes what is open and opens the name anew.
    pub fn reopen(&mut self) {
        match &self.target {
            Some(Target::Memory(_)) => {}
            Some(Target::Remote(remote)) => remote.reopen(),
            Some(Target::File(file)) => {
                // Otherwise the file that is open goes on being used.
                if let Err(error) = file.reopen() {
                    ::log::error!("could not reopen {}: {error}", self.label());
                }
            }
            Some(Target::Device(_) | Target::Syslog(_)) | None => {
                self.target = None;
                self.failures.open_at_once();
                self.open();
            }
        }
    }

    /// Keeps to the limits of another specification, if that is for the same kind of sink.
    pub fn set_limits(&mut self, other: &SinkSpec) {
        match (&mut self.spec, other) {
            (SinkSpec::Path { limits, .. }, SinkSpec::Path { limits: other, .. }) => *limits = *other,
            (SinkSpec::Memory(ring), SinkSpec::Memory(other)) => ring.set_capacity(other.capacity()),
            _ => {}
        }
    }

    fn limits(&self) -> Limits {
        match &self.spec {
            SinkSpec::Path { limits, .. } => *limits,
            _ => Limits { maxbytes: 0, backups: 0 },
        }
    }

    /// Opens the target unless it is open, or could not be opened just now.
    fn ready(&mut self) -> Result<(), Refusal> {
        if self.target.is_some() {
            return Ok(());
        }
        if !self.failures.may_open() {
            return Err(Refusal::Failing);
        }
        match open_target(&self.spec) {
            Ok(target) => {
                if let (Some(stream), Target::File(file)) = (self.registered, &target) {
                    file.register(stream, None::<&std::fs::File>);
                }
                self.target = Some(target);
                Ok(())
            }
            Err(error) => Err(self.fails(&error)),
        }
    }

    fn fails(&mut self, error: &io::Error) -> Refusal {
        if !matches!(self.target, Some(Target::File(_) | Target::Memory(_))) {
            // A device or a socket that failed has to be opened anew.
            self.target = None;
        }
        self.in_trouble(Instant::now(), |label| format!("could not write {label}: {error}"));
        Refusal::Failing
    }

    fn slow(&mut self) -> Refusal {
        let since = *self.stuck.get_or_insert_with(Instant::now);
        if !self.failures.is_failing() && since.elapsed() <= SLOW_LIMIT {
            return Refusal::Slow;
        }
        let seconds = SLOW_LIMIT.as_secs();
        self.in_trouble(since, |label| format!("{label} takes nothing since {seconds} seconds"));
        Refusal::Failing
    }

    /// Notes that it does not work, and logs that if it is worth it.
    fn in_trouble(&mut self, since: Instant, what: impl FnOnce(&str) -> String) {
        if self.failures.begin(since) {
            let text = what(&self.label());
            ::log::error!("{text}; trying again until it works");
        }
    }

    fn works(&mut self) {
        self.stuck = None;
        if let Some(Recovery { seconds, n_dropped }) = self.failures.end() {
            ::log::warn!(
                "{} works again after {seconds} seconds; {n_dropped} bytes were dropped",
                self.label()
            );
        }
    }
}

/// How much of `bytes` there is `room` for, in whole lines if one fits.
fn whole_lines(bytes: &[u8], room: usize) -> usize {
    if room >= bytes.len() {
        return bytes.len();
    }
    bytes[..room].iter().rposition(|byte| *byte == b'\n').map_or(room, |newline| newline + 1)
}

/// Whether it is not this sink that does not work, but splicing altogether.
fn is_refused(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    errno.is_some_and(tee::is_refusal) && !tee::kernel_splices()
}

fn first_line(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |newline| newline + 1);
    &bytes[..end]
}

fn log_notice(notice: Option<String>) {
    if let Some(text) = notice {
        ::log::error!("{text}");
    }
}
