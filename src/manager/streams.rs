//! A program's pipes, and what becomes of what it writes.

use crate::keeper::layout::Place;
use crate::keeper::link::Link;
use crate::log::pump;
use crate::log::spec::StreamSpec;
use crate::log::stream::{Drained, LogStream, StreamOutput};
use crate::manager::events::outlet::Outlet;
use crate::manager::rt;
use crate::rpc::api::Stream;
use crate::sys::pipe;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How much may wait for a program that does not read its standard input.
const STDIN_QUEUE_BYTES: usize = 1 << 20;

/// How much is drained at once when a program has ended. A pipe holds at most 1 MiB, but a straggler may go
/// on writing.
const LAST_DRAIN_BYTES: usize = 4 << 20;

/// How much of a listener is heard at once, before others have their turn.
const HEAR_BYTES: usize = 64 * 1024;

/// The pipes of one process. They outlive restarts of its program.
#[derive(Debug, Default)]
pub struct Streams {
    stdin: Option<Input>,
    stdout: Option<Output>,
    stderr: Option<Output>,
    /// Who writes now; what is read out of the outputs is told with it.
    pid: Arc<AtomicI32>,
}

/// What a listener has written.
#[derive(Debug)]
pub struct Heard {
    pub output: Vec<StreamOutput>,
    /// Nobody has the other end.
    pub eof: bool,
    /// Its log takes nothing; not to be heard again before this time has passed.
    pub pause: Option<Duration>,
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
    pub fn prepare(&mut self, slot: u32, specs: Option<Specs>, link: &Link) -> io::Result<ProgramEnds> {
        if let Some(specs) = specs {
            self.create(slot, specs, link)?;
        }
        // `create` fills stdin and stdout or fails.
        let (Some(stdin), Some(stdout)) = (&self.stdin, &self.stdout) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        stdin.forget();
        let end_of = |output: &Output| pipe::writing_end(lock(output).pipe());
        Ok(ProgramEnds {
            stdin: pipe::reading_end(stdin.0.pipe.as_fd())?,
            stdout: end_of(stdout)?,
            stderr: self.stderr.as_ref().map(end_of).transpose()?,
        })
    }

    fn create(&mut self, slot: u32, specs: Specs, link: &Link) -> io::Result<()> {
        let stdin = pipe::input()?;
        let stdout = pipe::output()?;
        let stderr = specs.stderr.is_some().then(pipe::output).transpose()?;
        let mut deposits = vec![(Place::Stdin(slot), stdin.as_fd()), (Place::Stdout(slot), stdout.as_fd())];
        deposits.extend(stderr.as_ref().map(|stderr| (Place::Stderr(slot), stderr.as_fd())));
        link.deposit(&deposits)?;
        *self = Streams {
            stdin: Some(Input::new(stdin)),
            stdout: Some(output(specs.stdout, stdout)),
            stderr: specs.stderr.zip(stderr).map(|(spec, pipe)| output(spec, pipe)),
            pid: Arc::default(),
        };
        Ok(())
    }

    /// Finds the pipes that an earlier manager left with the keeper.
    pub fn resume(slot: u32, specs: Specs, link: &Link) -> Streams {
        let (Some(stdin), Some(stdout)) = (link.take(Place::Stdin(slot)), link.take(Place::Stdout(slot)))
        else {
            return Streams::default();
        };
        Streams {
            stdin: Some(Input::new(stdin)),
            stdout: Some(output(specs.stdout, stdout)),
            stderr: specs.stderr.and_then(|spec| Some(output(spec, link.take(Place::Stderr(slot))?))),
            pid: Arc::default(),
        }
    }

    /// Lets the outputs of a program flow, until nobody has their other ends. What a listener says on its
    /// standard output is not among them: the loop [hears](Streams::hear) it itself.
    pub fn begin(&self, slot: u32, pid: i32, outlet: &Outlet) {
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

    /// Reads what a listener has written.
    pub fn hear(&self) -> Option<Heard> {
        let Drained { eof, pause, output, .. } = lock(self.stdout.as_ref()?).drain(HEAR_BYTES);
        Some(Heard { output, eof, pause })
    }

    /// The pipe of the standard output, to wait for.
    pub fn stdout_pipe(&self) -> Option<Arc<OwnedFd>> {
        self.stdout.as_ref().map(|stream| lock(stream).pipe())
    }

    /// Moves what is in the pipes now to the logs, after their program has ended, and what was held back.
    /// Returns what was read out of them for others.
    pub fn finish(&self) -> Vec<(Stream, Vec<StreamOutput>)> {
        let finish = |(channel, stream): (Stream, &Output)| {
            let mut stream = lock(stream);
            let mut output = stream.drain(LAST_DRAIN_BYTES).output;
            output.extend(stream.flush_at_exit());
            (channel, output)
        };
        self.named_outputs().map(finish).collect()
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
        self.stdin.as_ref().ok_or(StdinError::Closed)?.queue(bytes, STDIN_QUEUE_BYTES)
    }

    /// Sends an event to a listener, however long it is, later if it does not read now.
    pub fn deliver(&self, bytes: &[u8]) -> Result<(), StdinError> {
        self.stdin.as_ref().ok_or(StdinError::Closed)?.queue(bytes, usize::MAX)
    }

    /// Closes everything, here and in the keeper.
    pub fn close(&mut self, slot: u32, link: &Link) {
        if self.stdout.is_none() {
            return;
        }
        *self = Streams::default();
        let places = [Place::Stdin(slot), Place::Stdout(slot), Place::Stderr(slot)];
        if let Err(error) = link.drop_deposits(&places) {
            ::log::error!("could not tell the keeper to close the pipes of slot {slot}: {error}");
        }
    }
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
    pipe: Arc<OwnedFd>,
    waiting: Mutex<VecDeque<u8>>,
}

impl Input {
    fn new(pipe: OwnedFd) -> Input {
        if let Err(error) = rustix::io::ioctl_fionbio(&pipe, true) {
            ::log::error!("could not make a program's input non-blocking: {error}");
        }
        Input(Arc::new(InputShared { pipe: Arc::new(pipe), waiting: Mutex::default() }))
    }

    /// Drops what waits: it was meant for a program that has ended.
    fn forget(&self) {
        lock(&self.0.waiting).clear();
    }

    fn queue(&self, bytes: &[u8], most_bytes: usize) -> Result<(), StdinError> {
        let mut waiting = lock(&self.0.waiting);
        if waiting.len() + bytes.len() > most_bytes {
            return Err(StdinError::Full);
        }
        let idle = waiting.is_empty();
        waiting.extend(bytes);
        if !idle {
            return Ok(());
        }
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
        let Ok(pipe) = rt::Async::new_nonblocking(Arc::clone(&self.0.pipe)) else { return };
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
    /// Writes until nothing waits.
    fn write_some(&self, waiting: &mut VecDeque<u8>) -> rustix::io::Result<()> {
        while !waiting.is_empty() {
            let n_bytes = rustix::io::retry_on_intr(|| rustix::io::write(&self.pipe, waiting.as_slices().0))?;
            waiting.drain(..n_bytes);
        }
        Ok(())
    }
}

fn output(spec: StreamSpec, pipe: OwnedFd) -> Output {
    Arc::new(Mutex::new(LogStream::new(spec, pipe)))
}

/// A panic elsewhere leaves a stream as usable as an error would.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
