//! A program's pipes, and what becomes of what it writes.

use crate::log::custody::{self, Custodian};
use crate::log::pump;
use crate::log::retry;
use crate::log::spec::StreamSpec;
use crate::log::stream::{self, LogStream};
use crate::log::transfer::{self, Transfer};
use crate::manager::events::mailbox::{Collected, Mailbox};
use crate::manager::events::outlet::Outlet;
use crate::manager::thrift::{self, Thrift};
use crate::model::stream::Stream;
use crate::rt;
use crate::shm::cursor::Cursor;
use crate::shm::layout::{DRAIN_DISCARD, DRAIN_LEAVE, DRAIN_TO_LOG, DRAIN_TO_SPOOL, Place};
use crate::shm::link::Link;
use crate::sys::pipe::{self, Ends};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much may wait for a program that does not read its standard input.
const STDIN_QUEUE_BYTES: usize = 1 << 20;

/// How much is drained at once when a program has ended. A pipe holds at most 1 MiB, but a straggler may go
/// on writing.
const LAST_DRAIN_BYTES: usize = 4 << 20;

/// So many descriptors programs leave to those who want to know what is wrong.
const FREE_FOR_CLIENTS: usize = 8;

/// The pipes of one process. They outlive restarts of its program.
#[derive(Debug, Default)]
pub struct Streams {
    stdin: Option<Input>,
    stdout: Option<Output>,
    stderr: Option<Output>,
    /// Only listeners have one.
    mailbox: Option<Arc<Mailbox>>,
    /// Who writes now; what is read out of the outputs is told with it.
    pid: Arc<AtomicI32>,
    /// How many bytes of output and error have been read; readable while a pump has the stream.
    read: [Arc<AtomicU64>; 2],
    /// What the program has as output and error. While this is open the death of a program does not show in its
    /// pipes, so nobody wakes up for that beside the loop, which hears of it from the keeper and does all there is to
    /// do; and the pumps go on with the next program.
    kept: [Option<OwnedFd>; 2],
    /// The descriptors that the logs will need, until those are opened. Creating files takes longer than creating the
    /// program, so that comes first.
    reserved: Vec<OwnedFd>,
}

type Output = Arc<Mutex<LogStream>>;

/// The program's ends of its pipes, for one start.
#[derive(Debug)]
pub struct ProgramEnds {
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    /// `None`: standard error goes where standard output goes.
    pub stderr: Option<OwnedFd>,
}

/// What the two outputs of a process are to become.
#[derive(Debug)]
pub struct Specs {
    pub stdout: StreamSpec,
    /// `None` with `redirect_stderr`.
    pub stderr: Option<StreamSpec>,
}

impl Streams {
    /// Whether [`Streams::prepare`] needs to know what the outputs are to become.
    pub fn are_missing(&self) -> bool {
        self.stdout.is_none()
    }

    /// Makes the pipes, if `specs` says what they are for, hands them to the keeper, and opens the program's
    /// ends.
    ///
    /// # Errors
    /// Out of descriptors, mostly; nothing is left open then that was not before.
    pub fn prepare(
        &mut self,
        slot: u32,
        specs: Option<Specs>,
        ends: Ends,
        link: &Link,
    ) -> io::Result<ProgramEnds> {
        if let Some(specs) = specs {
            self.create(slot, specs, link)?;
        }
        // `create` fills stdin and stdout or fails.
        let (Some(stdin), Some(stdout)) = (&self.stdin, &self.stdout) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        stdin.forget();
        let end_of = |output: &Output| pipe::writing_end(lock(output).pipe(), ends);
        let ends = ProgramEnds {
            stdin: stdin.0.pipe.reading_end(ends)?,
            stdout: end_of(stdout)?,
            stderr: self.stderr.as_ref().map(end_of).transpose()?,
        };
        // Those of its predecessor go. Without a descriptor to spare the pipe comes to its end with the program.
        let may_keep = thrift::level() < Thrift::Ends;
        let keep = |end: &OwnedFd| may_keep.then(|| end.try_clone().ok()).flatten();
        self.kept = [keep(&ends.stdout), ends.stderr.as_ref().and_then(keep)];
        Ok(ends)
    }

    fn create(&mut self, slot: u32, specs: Specs, link: &Link) -> io::Result<()> {
        self.install(slot, specs, [None, None, None], link)
    }

    /// Takes up the pipes that a program of a former daemon has: input, output and error. What is missing is made
    /// anew, for the program's successor.
    ///
    /// # Errors
    /// As [`Streams::prepare`].
    pub fn adopt(
        &mut self,
        slot: u32,
        specs: Specs,
        pipes: [Option<OwnedFd>; 3],
        link: &Link,
    ) -> io::Result<()> {
        self.install(slot, specs, pipes, link)
    }

    /// The inodes of the pipes: input, output, error; 0 for none.
    pub fn inodes(&self) -> [u64; 3] {
        let output =
            |output: &Option<Output>| output.as_ref().map_or(0, |output| pipe::inode(lock(output).pipe()));
        let stdin = self.stdin.as_ref().map_or(0, |stdin| stdin.0.pipe.inode);
        [stdin, output(&self.stdout), output(&self.stderr)]
    }

    /// Whether anybody can write into the standard output.
    pub fn are_connected(&self) -> bool {
        self.stdout.as_ref().is_some_and(|stdout| pipe::has_writer(lock(stdout).pipe()))
    }

    fn install(
        &mut self,
        slot: u32,
        specs: Specs,
        pipes: [Option<OwnedFd>; 3],
        link: &Link,
    ) -> io::Result<()> {
        let [stdin, stdout, stderr] = pipes;
        let or_new = |found: Option<OwnedFd>| found.map_or_else(pipe::output, Ok);
        let stdin = stdin.map_or_else(pipe::input, Ok)?;
        let stdout = or_new(stdout)?;
        let stderr = specs.stderr.is_some().then(|| or_new(stderr)).transpose()?;
        let is_listener = specs.stdout.shape.listener;
        let mailbox = is_listener.then(Mailbox::new).transpose()?.map(Arc::new);
        let mut deposits = vec![(Place::Stdin(slot), stdin.as_fd()), (Place::Stdout(slot), stdout.as_fd())];
        deposits.extend(stderr.as_ref().map(|stderr| (Place::Stderr(slot), stderr.as_fd())));
        deposits.extend(mailbox.as_ref().map(|mailbox| (Place::Mailbox(slot), mailbox.as_fd())));
        leave_some_free(stdin.as_fd())?;
        link.deposit(&deposits)?;
        let stdout = new_stream(slot, specs.stdout, stdout);
        let stderr = specs.stderr.zip(stderr).map(|(spec, pipe)| new_stream(slot, spec, pipe));
        let n_logs = stdout.n_logs() + stderr.as_ref().map_or(0, LogStream::n_logs);
        // Without a descriptor to spare the log says what is missing when it is opened.
        let reserved = (0..n_logs).map_while(|_| stdin.try_clone().ok()).collect();
        let shared = |stream| Arc::new(Mutex::new(stream));
        *self = Streams {
            stdin: Some(Input::new(stdin, mailbox.clone())),
            mailbox,
            stdout: Some(shared(stdout)),
            stderr: stderr.map(shared),
            pid: Arc::default(),
            read: Default::default(),
            kept: Default::default(),
            reserved,
        };
        self.find_counters();
        Ok(())
    }

    /// Does without what [`thrift::level`] says.
    pub fn economize(&mut self, slot: u32, link: &Link) {
        if thrift::level() >= Thrift::Ends {
            self.kept = Default::default();
        }
        if thrift::level() >= Thrift::Most {
            self.leave_input(slot, link);
            for channel in [0, 1] {
                if link.drain(slot, channel) == DRAIN_TO_LOG {
                    link.set_drain(slot, channel, DRAIN_LEAVE);
                    let _ = link.drop_deposits(&[Place::Log(slot, channel)]);
                }
                let queue = Place::Queue(slot, channel);
                if link.holds(queue) {
                    let _ = link.drop_deposits(&[queue]);
                }
            }
        }
    }

    /// Leaves the input of the program to the keeper, if descriptors are scarce and that has it by now; whether that
    /// closed one.
    pub fn leave_input(&self, slot: u32, link: &Link) -> bool {
        if thrift::level() < Thrift::Most {
            return false;
        }
        let held = self.stdin.as_ref().zip(link.path_to(Place::Stdin(slot)));
        held.is_some_and(|(stdin, path)| stdin.0.pipe.leave_at(path))
    }

    /// Opens the logs of new streams.
    fn open_logs(&mut self) {
        if !std::mem::take(&mut self.reserved).is_empty() {
            self.outputs().for_each(|stream| lock(stream).open());
        }
    }

    fn find_counters(&mut self) {
        for (output, read) in [&self.stdout, &self.stderr].into_iter().zip(&mut self.read) {
            if let Some(output) = output {
                *read = lock(output).counter();
            }
        }
    }

    /// How many bytes of output and error this manager has read.
    pub fn n_read(&self) -> [u64; 2] {
        [0, 1].map(|number: usize| self.read[number].load(Ordering::Relaxed))
    }

    /// Finds the pipes that an earlier manager left with the keeper.
    pub fn resume(&mut self, slot: u32, specs: Specs, link: &Link) {
        let (Some(stdin), Some(stdout)) = (link.take(Place::Stdin(slot)), link.take(Place::Stdout(slot)))
        else {
            return;
        };
        let mailbox = link.take(Place::Mailbox(slot)).map(|fd| Arc::new(Mailbox::from_fd(fd)));
        *self = Streams {
            stdin: Some(Input::new(stdin, mailbox.clone())),
            mailbox,
            stdout: Some(resumed_output(slot, specs.stdout, stdout, link)),
            stderr: specs
                .stderr
                .and_then(|spec| Some(resumed_output(slot, spec, link.take(Place::Stderr(slot))?, link))),
            pid: Arc::default(),
            read: Default::default(),
            kept: Default::default(),
            reserved: Vec::new(),
        };
        self.find_counters();
    }

    /// Lets the outputs of a program flow, until nobody has their other ends. What a listener says on its
    /// standard output is not among them: the loop [collects](Streams::collect) it itself.
    pub fn begin(&mut self, slot: u32, pid: i32, outlet: &Outlet) {
        self.open_logs();
        self.pid.store(pid, Ordering::Release);
        for (channel, stream) in self.named_outputs() {
            lock(stream).set_pid(pid);
            let is_listener = lock(stream).is_listener();
            if !is_listener {
                self.begin_pump(slot, channel, stream, outlet);
            }
        }
    }

    /// Lets a listener that broke the rules talk to its log.
    pub fn begin_unheard(&self, slot: u32, outlet: &Outlet) {
        if let Some(stream) = &self.stdout {
            self.begin_pump(slot, Stream::Stdout, stream, outlet);
        }
    }

    fn begin_pump(&self, slot: u32, channel: Stream, stream: &Output, outlet: &Outlet) {
        if let Some(pump) = pump::pump(stream, outlet.of(slot, Arc::clone(&self.pid), channel)) {
            rt::spawn(pump).detach();
        }
    }

    /// Sees to it that what could not be written yet is, without a pump, or while that sleeps.
    pub fn look_after(&self, slot: u32, outlet: &Outlet) {
        for (channel, stream) in self.named_outputs() {
            retry::look_after(stream, || Box::new(outlet.of(slot, Arc::clone(&self.pid), channel)));
        }
    }

    /// Takes in what a listener has written.
    pub fn collect(&self) -> Collected {
        match (&self.mailbox, &self.stdout) {
            (Some(mailbox), Some(stdout)) => mailbox.collect(lock(stdout).as_fd()),
            _ => Collected::End,
        }
    }

    /// Forgets what a listener has said, if nobody remembers how much of it was heard.
    pub fn reset_mailbox(&self) {
        if let Some(mailbox) = &self.mailbox {
            mailbox.reset();
        }
    }

    /// What was taken in after the first `n_heard` bytes. It goes to the log, too.
    pub fn heard_after(&self, n_heard: u64) -> Vec<u8> {
        let (Some(mailbox), Some(stdout)) = (&self.mailbox, &self.stdout) else { return Vec::new() };
        let bytes = mailbox.heard_after(n_heard);
        if !bytes.is_empty() {
            lock(stdout).feed(&bytes);
        }
        bytes
    }

    /// The pipe of the standard output, to wait for.
    pub fn stdout_pipe(&self) -> Option<Arc<OwnedFd>> {
        self.stdout.as_ref().map(|stream| lock(stream).pipe())
    }

    /// Moves what is in the pipes now to the logs, after their program has ended, and what was held back.
    /// Returns what was read out of them for others.
    pub fn finish(&self) -> Vec<(Stream, stream::Output)> {
        let finish = |(channel, stream): (Stream, &Output)| {
            let mut stream = lock(stream);
            let backlog = stream.backlog();
            [stream.drain(LAST_DRAIN_BYTES + backlog).output, stream.flush_at_exit()]
                .map(|output| (channel, output))
        };
        self.named_outputs().flat_map(finish).collect()
    }

    /// See [`LogStream::finish_lines`].
    pub fn finish_lines(&self) {
        self.outputs().for_each(|stream| lock(stream).finish_lines());
    }

    /// See [`LogStream::settle`].
    pub fn settle(&self) {
        self.outputs().for_each(|stream| lock(stream).settle());
    }

    fn named_outputs(&self) -> impl Iterator<Item = (Stream, &Output)> {
        let stdout = self.stdout.iter().map(|stream| (Stream::Stdout, stream));
        stdout.chain(self.stderr.iter().map(|stream| (Stream::Stderr, stream)))
    }

    pub fn reopen(&self) {
        self.outputs().for_each(|stream| lock(stream).reopen());
    }

    /// The outputs that are open: standard output first.
    pub fn outputs(&self) -> impl Iterator<Item = &Output> {
        self.stdout.iter().chain(&self.stderr)
    }

    pub fn stdout(&self) -> Option<MutexGuard<'_, LogStream>> {
        self.stdout.as_ref().map(|stream| lock(stream))
    }

    pub fn stderr(&self) -> Option<MutexGuard<'_, LogStream>> {
        self.stderr.as_ref().map(|stream| lock(stream))
    }

    /// Sends bytes to the program, later if it does not read now.
    pub fn write_stdin(&self, bytes: &[u8]) -> Result<(), StdinError> {
        self.stdin.as_ref().ok_or(StdinError::Closed)?.queue(bytes)
    }

    /// Sends an event to a listener, however long it is, later if it does not read now.
    pub fn deliver(&self, number: u64, bytes: &[u8]) -> Result<(), StdinError> {
        self.stdin.as_ref().ok_or(StdinError::Closed)?.deliver(number, bytes)
    }

    /// Goes on with the delivery that an earlier manager had begun. False if it had not.
    pub fn resume_delivery(&self, number: u64) -> bool {
        self.stdin.as_ref().is_some_and(|stdin| stdin.resume(number))
    }

    /// Closes everything, here and in the keeper.
    pub fn close(&mut self, slot: u32, link: &Link) {
        if self.stdout.is_none() {
            return;
        }
        // A pump may hold on to it for a while.
        self.outputs().for_each(|stream| lock(stream).withdraw());
        *self = Streams::default();
        drop_places(slot, link);
    }

    /// Closes what an earlier manager has left with the keeper for a slot that nobody uses any more. To be called
    /// before any stream is opened for that slot.
    pub fn abandon(slot: u32, link: &Link) {
        let places = places_of(slot);
        // Ours were inherited; without them the last reader of the pipes is gone.
        let inherited = places.map(|place| link.take(place));
        if inherited.iter().any(Option::is_some) {
            for channel in [0, 1] {
                link.set_drain(slot, channel, DRAIN_LEAVE);
                link.cursor(slot, channel).into_iter().for_each(Cursor::reset);
            }
            drop_places(slot, link);
        }
    }
}

fn places_of(slot: u32) -> [Place; 8] {
    [
        Place::Stdin(slot),
        Place::Stdout(slot),
        Place::Stderr(slot),
        Place::Mailbox(slot),
        Place::Log(slot, 0),
        Place::Log(slot, 1),
        Place::Queue(slot, 0),
        Place::Queue(slot, 1),
    ]
}

fn drop_places(slot: u32, link: &Link) {
    let places = places_of(slot);
    if let Err(error) = link.drop_deposits(&places) {
        ::log::error!("could not tell the keeper to close the pipes of slot {slot}: {error}");
    }
}

/// Checks that clients still find free descriptors once a program has got its own.
///
/// # Errors
/// EMFILE.
fn leave_some_free(any: BorrowedFd<'_>) -> io::Result<()> {
    let probes: Result<Vec<OwnedFd>, _> =
        (0..FREE_FOR_CLIENTS).map(|_| rustix::io::fcntl_dupfd_cloexec(any, 0)).collect();
    Ok(probes.map(drop)?)
}

/// Why bytes did not go to a program's standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StdinError {
    /// The program has closed it.
    Closed,
    /// Too much is waiting already; nothing was queued.
    Full,
}

/// A program's standard input, with what waits for it.
#[derive(Clone, Debug)]
struct Input(Arc<InputShared>);

#[derive(Debug)]
struct InputShared {
    pipe: InputPipe,
    waiting: Mutex<VecDeque<u8>>,
    /// Where the event is that goes first; only written to under the lock.
    mailbox: Option<Arc<Mailbox>>,
}

/// Our end of the pipe of a standard input, or where it can be had.
#[derive(Debug)]
struct InputPipe {
    inode: u64,
    place: Mutex<InputPlace>,
}

#[derive(Debug)]
enum InputPlace {
    Here(Arc<OwnedFd>),
    /// Another process has it open.
    At(PathBuf),
}

impl InputPipe {
    fn new(pipe: OwnedFd) -> InputPipe {
        InputPipe { inode: pipe::inode(&pipe), place: Mutex::new(InputPlace::Here(Arc::new(pipe))) }
    }

    /// A descriptor of ours, for as long as it takes.
    fn get(&self) -> io::Result<Arc<OwnedFd>> {
        match &*lock(&self.place) {
            InputPlace::Here(pipe) => Ok(Arc::clone(pipe)),
            InputPlace::At(path) => pipe::input_at(path, self.inode).map(Arc::new),
        }
    }

    /// The program's end.
    fn reading_end(&self, ends: Ends) -> io::Result<OwnedFd> {
        match &*lock(&self.place) {
            InputPlace::Here(pipe) => pipe::reading_end(pipe, ends),
            InputPlace::At(path) => pipe::reading_end_at(path, self.inode, ends),
        }
    }

    /// Closes ours, if it can be had from there; whether it did.
    fn leave_at(&self, path: PathBuf) -> bool {
        let mut place = lock(&self.place);
        let leaves = matches!(*place, InputPlace::Here(_)) && pipe::is_at(&path, self.inode);
        if leaves {
            *place = InputPlace::At(path);
        }
        leaves
    }
}

impl Input {
    fn new(pipe: OwnedFd, mailbox: Option<Arc<Mailbox>>) -> Input {
        if let Err(error) = rustix::io::ioctl_fionbio(&pipe, true) {
            ::log::error!("could not make a program's input non-blocking: {error}");
        }
        Input(Arc::new(InputShared { pipe: InputPipe::new(pipe), waiting: Mutex::default(), mailbox }))
    }

    /// Drops what waits: it was meant for a program that has ended.
    fn forget(&self) {
        let mut waiting = lock(&self.0.waiting);
        waiting.clear();
        if let Some(mailbox) = &self.0.mailbox {
            mailbox.skip();
        }
    }

    fn queue(&self, bytes: &[u8]) -> Result<(), StdinError> {
        let mut waiting = lock(&self.0.waiting);
        if waiting.len() + bytes.len() > STDIN_QUEUE_BYTES {
            return Err(StdinError::Full);
        }
        let is_idle = self.0.is_idle(&waiting);
        waiting.extend(bytes);
        if is_idle { self.write_now(waiting) } else { Ok(()) }
    }

    fn deliver(&self, number: u64, event: &[u8]) -> Result<(), StdinError> {
        let mailbox = self.0.mailbox.as_ref().ok_or(StdinError::Closed)?;
        let waiting = lock(&self.0.waiting);
        let is_idle = self.0.is_idle(&waiting);
        if let Err(error) = mailbox.put(number, event) {
            ::log::error!("could not keep an event of {} bytes: {error}", event.len());
            return Err(StdinError::Full);
        }
        if is_idle { self.write_now(waiting) } else { Ok(()) }
    }

    fn resume(&self, number: u64) -> bool {
        let holds = self.0.mailbox.as_ref().is_some_and(|mailbox| mailbox.holds(number));
        if holds {
            let _ = self.write_now(lock(&self.0.waiting));
        }
        holds
    }

    fn write_now(&self, mut waiting: MutexGuard<'_, VecDeque<u8>>) -> Result<(), StdinError> {
        match self.0.write_some(&mut waiting) {
            Ok(()) => {}
            Err(rustix::io::Errno::AGAIN) => rt::spawn(self.clone().write_later()).detach(),
            Err(_) => {
                waiting.clear();
                return Err(StdinError::Closed);
            }
        }
        Ok(())
    }

    /// Writes whenever there is room, until nothing waits.
    async fn write_later(self) {
        let Ok(pipe) = self.0.pipe.get().and_then(rt::Async::new_nonblocking) else { return };
        loop {
            let writable = pipe.writable().await.is_ok();
            let mut waiting = lock(&self.0.waiting);
            match self.0.write_some(&mut waiting) {
                Err(rustix::io::Errno::AGAIN) if writable => {}
                Ok(()) => return,
                Err(_) => return waiting.clear(),
            }
        }
    }
}

impl InputShared {
    /// Whether nobody is writing.
    fn is_idle(&self, waiting: &VecDeque<u8>) -> bool {
        waiting.is_empty() && self.mailbox.as_ref().is_none_or(|mailbox| mailbox.n_unsent() == 0)
    }

    /// Writes until nothing waits.
    fn write_some(&self, waiting: &mut VecDeque<u8>) -> rustix::io::Result<()> {
        if self.is_idle(waiting) {
            return Ok(());
        }
        let pipe = self.pipe.get().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        if let Some(mailbox) = &self.mailbox {
            mailbox.send(pipe.as_fd())?;
        }
        while !waiting.is_empty() {
            let n_bytes = rustix::io::retry_on_intr(|| rustix::io::write(&pipe, waiting.as_slices().0))?;
            waiting.drain(..n_bytes);
        }
        Ok(())
    }
}

fn new_stream(slot: u32, spec: StreamSpec, pipe: OwnedFd) -> LogStream {
    let id = stream_id(slot, spec.channel);
    let mut stream = LogStream::unopened(spec, pipe);
    stream.set_id(id);
    stream
}

fn resumed_output(slot: u32, spec: StreamSpec, pipe: OwnedFd, link: &Link) -> Output {
    let id = stream_id(slot, spec.channel);
    let (log_or_spool, queue) = (link.take(place_of_log(id)), link.take(place_of_queue(id)));
    let mut stream = LogStream::new(spec, pipe);
    stream.resume_as(id, log_or_spool, queue);
    Arc::new(Mutex::new(stream))
}

/// What managers among themselves call a stream.
fn stream_id(slot: u32, channel: Stream) -> u64 {
    let channel = match channel {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    };
    u64::from(slot) * 2 + channel
}

/// The slot of a stream with this number, and which of its outputs it is.
fn slot_and_channel(id: u64) -> (u32, u32) {
    // Numbers come from `stream_id`.
    ((id.saturating_sub(1) / 2) as u32, (id.saturating_sub(1) % 2) as u32)
}

fn place_of_log(id: u64) -> Place {
    let (slot, channel) = slot_and_channel(id);
    Place::Log(slot, channel)
}

fn place_of_queue(id: u64) -> Place {
    let (slot, channel) = slot_and_channel(id);
    Place::Queue(slot, channel)
}

/// Leaves log files and spools with the keeper, which moves programs' output to them while there is no manager.
struct KeeperHasThem(Arc<Link>);

impl Custodian for KeeperHasThem {
    fn keep(&self, streams: &[u64], file: BorrowedFd<'_>) {
        if thrift::level() >= Thrift::Most {
            return streams.iter().for_each(|id| self.release(*id));
        }
        let deposits: Vec<_> = streams.iter().map(|id| (place_of_log(*id), file)).collect();
        let kept = self.0.deposit(&deposits);
        if let Err(error) = &kept {
            ::log::error!("could not leave a log with the keeper: {error}");
        }
        let what = if kept.is_ok() { DRAIN_TO_LOG } else { DRAIN_LEAVE };
        streams.iter().for_each(|id| self.set(*id, what));
    }

    fn keep_on(&self, stream: u64) {
        let is_kept = thrift::level() < Thrift::Most;
        self.set(stream, if is_kept { DRAIN_TO_LOG } else { DRAIN_LEAVE });
    }

    fn discard(&self, stream: u64) {
        self.set(stream, DRAIN_DISCARD);
    }

    fn release(&self, stream: u64) {
        self.set(stream, DRAIN_LEAVE);
    }

    fn keep_spool(&self, stream: u64, spool: BorrowedFd<'_>) -> bool {
        let place = place_of_log(stream);
        if thrift::level() >= Thrift::Most {
            return false;
        }
        // A log may lie there still. If the keeper has no room for the spool it must not be taken for that.
        let kept = self.0.drop_deposits(&[place]).and_then(|()| self.0.deposit(&[(place, spool)]));
        if let Err(error) = &kept {
            ::log::error!("could not leave a spool with the keeper: {error}");
        }
        self.set(stream, if kept.is_ok() { DRAIN_TO_SPOOL } else { DRAIN_LEAVE });
        kept.is_ok()
    }

    fn keep_queue(&self, stream: u64, queue: BorrowedFd<'_>) {
        if thrift::level() >= Thrift::Most {
            return;
        }
        if let Err(error) = self.0.deposit(&[(place_of_queue(stream), queue)]) {
            ::log::error!("could not leave a queue with the keeper: {error}");
        }
    }

    fn is_spool(&self, stream: u64) -> bool {
        let (slot, channel) = slot_and_channel(stream);
        self.0.drain(slot, channel) == DRAIN_TO_SPOOL
    }

    fn holds(&self, stream: u64) -> bool {
        self.0.holds(place_of_log(stream))
    }

    fn cursor(&self, stream: u64) -> Option<&Cursor> {
        let (slot, channel) = slot_and_channel(stream);
        self.0.cursor(slot, channel)
    }
}

impl KeeperHasThem {
    fn set(&self, stream: u64, what: u32) {
        let (slot, channel) = slot_and_channel(stream);
        self.0.set_drain(slot, channel, what);
    }
}

/// Lets the keeper move programs' output while there is no manager.
pub fn set_up_custody(link: &Arc<Link>) {
    custody::install(Box::new(KeeperHasThem(Arc::clone(link))));
}

/// Takes over the pipe that busy logs go through from an earlier manager, or makes it and leaves it with the
/// keeper. Without it they go the slower way.
pub fn set_up_transfer(link: &Link) {
    let held = [0, 1, 2].map(|number| link.take(Place::Transfer(number)));
    let transfer = match held {
        [Some(read_end), Some(write_end), Some(note)] => Transfer::resume([read_end, write_end, note]),
        _ => new_transfer(link),
    };
    match transfer {
        Ok(transfer) => transfer::install(transfer),
        Err(error) => ::log::warn!("could not prepare a pipe for busy logs: {error}"),
    }
}

fn new_transfer(link: &Link) -> io::Result<Transfer> {
    let transfer = Transfer::create()?;
    let [read_end, write_end, note] = transfer.descriptors();
    let places = [Place::Transfer(0), Place::Transfer(1), Place::Transfer(2)];
    link.deposit(&[(places[0], read_end), (places[1], write_end), (places[2], note)])?;
    Ok(transfer)
}

/// A panic elsewhere leaves a stream as usable as an error would.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
