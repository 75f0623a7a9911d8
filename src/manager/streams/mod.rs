//! A program's pipes, and where its output goes.

mod input;
pub mod keeper_store;
pub mod thrift;

use crate::log::drain::pump;
use crate::log::drain::retry;
use crate::log::stream::spec::{Context, StreamSpec};
use crate::log::stream::{self, LogStream};
use crate::manager::events::mailbox::{Collected, Mailbox};
use crate::manager::events::outlet::Outlet;
use crate::manager::processes::Proc;
use crate::manager::streams::thrift::Thrift;
use crate::model::stream::Stream;
use crate::rt;
use crate::shm::cursor::Cursor;
use crate::shm::layout::{DRAIN_LEAVE, DRAIN_TO_LOG, Place};
use crate::shm::link::Link;
use crate::sys::pipe::{self, Ends};
use input::Input;
pub use input::StdinError;
use keeper_store::{place_of_log, place_of_queue, stream_id};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// Whether the configuration asks for other pipes than these.
    outdated: bool,
}

type Output = Arc<Mutex<LogStream>>;

/// The program's ends of its pipes, for one start.
#[derive(Debug)]
pub struct ProgramEnds {
    /// The reading end of its standard input.
    pub stdin: OwnedFd,
    /// The writing end of its standard output.
    pub stdout: OwnedFd,
    /// `None`: standard error goes where standard output goes.
    pub stderr: Option<OwnedFd>,
}

/// What the two outputs of a process are to become.
#[derive(Debug)]
pub struct Specs {
    /// Standard output.
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
            stdin: stdin.reading_end(ends)?,
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
        let stdin = self.stdin.as_ref().map_or(0, |stdin| stdin.inode());
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
        let is_listener = specs.stdout.transform.listener;
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
            outdated: false,
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
        held.is_some_and(|(stdin, path)| stdin.leave_at(path))
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
    pub fn restore(&mut self, slot: u32, specs: Specs, link: &Link) {
        let (Some(stdin), Some(stdout)) = (link.take(Place::Stdin(slot)), link.take(Place::Stdout(slot)))
        else {
            return;
        };
        let mailbox = link.take(Place::Mailbox(slot)).map(|fd| Arc::new(Mailbox::from_fd(fd)));
        *self = Streams {
            stdin: Some(Input::new(stdin, mailbox.clone())),
            mailbox,
            stdout: Some(restored_output(slot, specs.stdout, stdout, link)),
            stderr: specs
                .stderr
                .and_then(|spec| Some(restored_output(slot, spec, link.take(Place::Stderr(slot))?, link))),
            pid: Arc::default(),
            read: Default::default(),
            kept: Default::default(),
            reserved: Vec::new(),
            outdated: false,
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
            retry::retry_in_rounds(stream, || Box::new(outlet.of(slot, Arc::clone(&self.pid), channel)));
        }
    }

    /// Takes in what a listener has written.
    pub fn collect(&self) -> Collected {
        match (&self.mailbox, &self.stdout) {
            (Some(mailbox), Some(stdout)) => mailbox.collect(lock(stdout).as_fd()),
            _ => Collected::End,
        }
    }

    /// Logs keep to these limits from now on.
    pub fn set_limits(&self, specs: &Specs) {
        if let Some(stdout) = &self.stdout {
            lock(stdout).set_limits(&specs.stdout);
        }
        if let (Some(stderr), Some(spec)) = (&self.stderr, &specs.stderr) {
            lock(stderr).set_limits(spec);
        }
    }

    /// The next program is to have other pipes.
    pub fn outdate(&mut self) {
        self.outdated = true;
    }

    /// Whether the next program is to have other pipes.
    pub fn are_outdated(&self) -> bool {
        self.outdated
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

    /// See [`LogStream::finish_writes`].
    pub fn settle(&self) {
        self.outputs().for_each(|stream| lock(stream).finish_writes());
    }

    fn named_outputs(&self) -> impl Iterator<Item = (Stream, &Output)> {
        let stdout = self.stdout.iter().map(|stream| (Stream::Stdout, stream));
        stdout.chain(self.stderr.iter().map(|stream| (Stream::Stderr, stream)))
    }

    /// Opens the logs anew by their names.
    pub fn reopen(&self) {
        self.outputs().for_each(|stream| lock(stream).reopen());
    }

    /// The outputs that are open: standard output first.
    pub fn outputs(&self) -> impl Iterator<Item = &Output> {
        self.stdout.iter().chain(&self.stderr)
    }

    /// Standard output, if its pipe is open. Locked: the drain of busy logs waits meanwhile.
    pub fn stdout(&self) -> Option<MutexGuard<'_, LogStream>> {
        self.stdout.as_ref().map(|stream| lock(stream))
    }

    /// Standard error, as [`Streams::stdout`]; `None` with `redirect_stderr`, too.
    pub fn stderr(&self) -> Option<MutexGuard<'_, LogStream>> {
        self.stderr.as_ref().map(|stream| lock(stream))
    }

    /// Sends bytes to the program, later if it does not read now.
    ///
    /// # Errors
    /// Its standard input is closed, or too much waits to be read by the program; nothing was taken then.
    pub fn write_stdin(&self, bytes: &[u8]) -> Result<(), StdinError> {
        self.stdin.as_ref().ok_or(StdinError::Closed)?.queue(bytes)
    }

    /// Sends an event to a listener, however long it is, later if it does not read now.
    ///
    /// # Errors
    /// Its standard input is closed.
    pub fn deliver(&self, number: u64, bytes: &[u8]) -> Result<(), StdinError> {
        self.stdin.as_ref().ok_or(StdinError::Closed)?.deliver(number, bytes)
    }

    /// Goes on with the delivery that an earlier manager had begun. False if it had not.
    pub fn restore_delivery(&self, number: u64) -> bool {
        self.stdin.as_ref().is_some_and(|stdin| stdin.restore(number))
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

fn new_stream(slot: u32, spec: StreamSpec, pipe: OwnedFd) -> LogStream {
    let id = stream_id(slot, spec.channel);
    let mut stream = LogStream::unopened(spec, pipe);
    stream.set_id(id);
    stream
}

fn restored_output(slot: u32, spec: StreamSpec, pipe: OwnedFd, link: &Link) -> Output {
    let id = stream_id(slot, spec.channel);
    let (log_or_spool, queue) = (link.take(place_of_log(id)), link.take(place_of_queue(id)));
    let mut stream = LogStream::new(spec, pipe);
    stream.resume_as(id, log_or_spool, queue);
    Arc::new(Mutex::new(stream))
}

/// What the two outputs of a process become.
pub fn stream_specs(proc: &Proc, strip_ansi: bool) -> Specs {
    let spec = |channel, auto: &Option<PathBuf>| {
        let context =
            Context { group: &proc.group, auto: auto.as_deref(), strip_ansi, listener: proc.is_listener };
        StreamSpec::new(&proc.config, channel, context)
    };
    Specs {
        stdout: spec(Stream::Stdout, &proc.logs.stdout),
        stderr: (!proc.config.redirect_stderr).then(|| spec(Stream::Stderr, &proc.logs.stderr)),
    }
}

/// A panic elsewhere leaves a stream as usable as an error would.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
