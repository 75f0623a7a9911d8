//! A program's standard input, and the bytes that wait until the program reads.

use crate::manager::events::mailbox::Mailbox;
use crate::manager::streams::lock;
use crate::rt;
use crate::sys::pipe::{self, Ends};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

/// How much may wait for a program that does not read its standard input.
const STDIN_QUEUE_BYTES: usize = 1 << 20;

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
pub(super) struct Input(Arc<InputShared>);

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
    pub(super) fn new(pipe: OwnedFd, mailbox: Option<Arc<Mailbox>>) -> Input {
        if let Err(error) = rustix::io::ioctl_fionbio(&pipe, true) {
            ::log::error!("could not make a program's input non-blocking: {error}");
        }
        Input(Arc::new(InputShared { pipe: InputPipe::new(pipe), waiting: Mutex::default(), mailbox }))
    }

    /// Drops what waits: it was meant for a program that has ended.
    pub(super) fn forget(&self) {
        let mut waiting = lock(&self.0.waiting);
        waiting.clear();
        if let Some(mailbox) = &self.0.mailbox {
            mailbox.skip();
        }
    }

    pub(super) fn queue(&self, bytes: &[u8]) -> Result<(), StdinError> {
        let mut waiting = lock(&self.0.waiting);
        if waiting.len() + bytes.len() > STDIN_QUEUE_BYTES {
            return Err(StdinError::Full);
        }
        let is_idle = self.0.is_idle(&waiting);
        waiting.extend(bytes);
        if is_idle { self.write_now(waiting) } else { Ok(()) }
    }

    pub(super) fn deliver(&self, number: u64, event: &[u8]) -> Result<(), StdinError> {
        let mailbox = self.0.mailbox.as_ref().ok_or(StdinError::Closed)?;
        let waiting = lock(&self.0.waiting);
        let is_idle = self.0.is_idle(&waiting);
        if let Err(error) = mailbox.put(number, event) {
            ::log::error!("could not keep an event of {} bytes: {error}", event.len());
            return Err(StdinError::Full);
        }
        if is_idle { self.write_now(waiting) } else { Ok(()) }
    }

    pub(super) fn restore(&self, number: u64) -> bool {
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

impl Input {
    /// The inode of the pipe.
    pub(super) fn inode(&self) -> u64 {
        self.0.pipe.inode
    }

    /// The program's end.
    pub(super) fn reading_end(&self, ends: Ends) -> io::Result<OwnedFd> {
        self.0.pipe.reading_end(ends)
    }

    /// Closes our end, if the pipe can be had from there; whether it did.
    pub(super) fn leave_at(&self, path: PathBuf) -> bool {
        self.0.pipe.leave_at(path)
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
