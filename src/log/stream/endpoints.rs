//! What every route begins and ends with: the pipe of the program, and the sinks.

use crate::log::drain::handoff;
use crate::log::sinks::sink::{Refusal, Sink, SinkSpec};
use crate::log::spool::tee;
use crate::log::stream::drain::{Drained, StreamOutput};
use crate::log::stream::{LARGE_PIPE, LONGEST_PAUSE, SHORTEST_PAUSE};
use crate::log::transform::{Moment, Transform, Transformed};
use crate::sys::pipe::has_writer;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// The two ends of a stream, and how things stand there.
#[derive(Debug)]
pub(super) struct Endpoints {
    /// For messages, for example `'web' stdout`.
    pub(super) whose: Arc<str>,
    /// The reading end.
    pub(super) pipe: Arc<OwnedFd>,
    /// In bytes.
    pub(super) pipe_size: usize,
    pub(super) sinks: Vec<Sink>,
    /// The process that has the other end of the pipe; 0 if there is none.
    pub(super) pid: i32,
    /// What managers among themselves call this stream; 0 keeps it from being left to anybody.
    pub(super) id: u64,
    /// Whether bytes of this stream, older than those in its pipe, are in the transfer pipe.
    pub(super) in_transfer: bool,
    /// How many bytes at the pipe's beginning the activity log has been shown already.
    pub(super) n_shown: usize,
    /// How long to wait next for a sink that takes nothing.
    pub(super) pause: Duration,
}

impl Endpoints {
    pub(super) fn new(whose: Arc<str>, pipe: OwnedFd, sinks: Vec<SinkSpec>) -> Endpoints {
        Endpoints {
            pipe_size: rustix::pipe::fcntl_getpipe_size(&pipe).unwrap_or(4096),
            pipe: Arc::new(pipe),
            sinks: sinks.into_iter().map(|sink| Sink::new(sink, Arc::clone(&whose))).collect(),
            whose,
            pid: 0,
            id: 0,
            in_transfer: false,
            n_shown: 0,
            pause: SHORTEST_PAUSE,
        }
    }

    /// Asks for a pipe of this size and takes what it gets: at least what is in it now, and no more than the
    /// system allows.
    ///
    /// A large pipe saves a busy program from waiting, but an idle one costs the kernel 40 bytes per page of
    /// size, and what an unprivileged user may have in all is limited (`/proc/sys/fs/pipe-user-pages-soft`).
    pub(super) fn resize_pipe(&mut self, wanted: usize) {
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

    /// How many bytes wait in the pipe.
    pub(super) fn n_in_pipe(&self) -> usize {
        rustix::io::ioctl_fionread(&self.pipe).unwrap_or(0) as usize
    }

    /// Whether bytes may wait in the pipe for a log that fails: nobody else wants them.
    pub(super) fn may_hold(&self, transform: &Transform) -> bool {
        self.sinks.len() == 1 && !transform.spec().has_consumers()
    }

    /// Lets the sinks record what they write, for a successor.
    pub(super) fn track(&mut self, transform: &Transform) {
        let (cursor, may_hold) = (handoff::cursor(self.id), self.may_hold(transform));
        for (number, sink) in self.sinks.iter_mut().enumerate() {
            // What is in our memory is gone with us, and is to be there again.
            // A syslog on the network has a queue that knows.
            let is_lasting = !matches!(sink.spec(), SinkSpec::Memory(_) | SinkSpec::Remote(_));
            let cursor = cursor.filter(|_| is_lasting).and_then(|cursor| cursor.sinks.get(number));
            sink.track(cursor, may_hold);
        }
    }

    /// Gives the sinks what they are to get; what is for others is returned.
    pub(super) fn distribute(&mut self, transformed: Transformed, moment: Moment) -> Vec<StreamOutput> {
        for sink in &mut self.sinks {
            match sink.spec().takes_lines() {
                true => sink.push_lines(None, &transformed.lines, moment),
                false => sink.push(&transformed.log),
            }
        }
        transformed.output
    }

    /// Writes what waits for the sinks; what hinders them most.
    pub(super) fn flush_sinks(&mut self) -> Option<Refusal> {
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

    /// A live reader is slow: the program has to wait for it, as it would without us.
    pub(super) fn wait(&mut self, drained: &mut Drained) {
        self.pause = (self.pause * 2).min(Duration::from_millis(50));
        drained.pause = Some(self.pause);
    }

    /// Leaves the bytes where they are while the only sink fails, but never lets the pipe fill up.
    pub(super) fn hold(&mut self, drained: &mut Drained) {
        // There may be a long time to bridge.
        self.resize_pipe(LARGE_PIPE);
        let waiting = self.n_in_pipe();
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
            self.lengthen_pause();
        }
        drained.pause = Some(self.pause);
    }

    /// Makes the next pause twice as long, for whoever has waited in vain; how long it is.
    pub(super) fn lengthen_pause(&mut self) -> Duration {
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.pause
    }

    /// Whether nothing of the program is left anywhere and nothing comes any more. Asked in this order, nothing can
    /// come in between.
    fn is_at_end(&self) -> bool {
        !self.in_transfer && !has_writer(&self.pipe) && rustix::io::ioctl_fionread(&self.pipe) == Ok(0)
    }
}
