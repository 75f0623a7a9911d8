//! Draining a stream: its bytes take their route.

use crate::log::sinks::sink::Sink;
use crate::log::spool::Receipt;
use crate::log::stream::batches::{Batches, Which};
use crate::log::stream::direct::CannotSplice;
use crate::log::stream::route::Route;
use crate::log::stream::{LONGEST_PAUSE, LogStream, SHORTEST_PAUSE};
use crate::log::transform::{Moment, Transform, TransformSpec};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a drain did.
#[derive(Debug, Default)]
pub struct Drained {
    /// How many bytes left the pipe or the spool.
    pub n_bytes: usize,
    /// How many bytes the pipe could hold until then.
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
    /// What was found, the oldest first.
    pub pieces: Vec<StreamOutput>,
    /// To be acknowledged once they have it; `None` if nothing depends on that.
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

impl LogStream {
    /// Moves what waits in the pipe to the logs, about `budget` bytes at most. Never blocks.
    ///
    /// It ends as soon as the pipe was empty once. Running after a program that goes on writing would move its
    /// lines one by one, at ten times the cost.
    pub fn drain(&mut self, budget: usize) -> Drained {
        let mut drained = Drained { pipe_size: self.ends.pipe_size, ..Drained::default() };
        if self.ends.in_transfer && !self.ends.finish_transfer() {
            self.ends.hold(&mut drained);
            drained.pause.get_or_insert(LONGEST_PAUSE);
            return drained;
        }
        self.update_route();
        match &mut self.route {
            Route::Discard => self.ends.discard(budget, &mut drained),
            Route::Splice => {
                if let Err(CannotSplice) = self.ends.splice(budget, &mut drained) {
                    self.stop_splicing();
                    // The keeper may not have its spool yet.
                    self.drain_through_memory(budget, &mut drained);
                }
            }
            Route::Memory { .. } => self.drain_through_memory(budget, &mut drained),
            Route::Spool { transform, batches } => {
                if let Err(errno) = batches.drain(&mut self.ends, transform, budget, &mut drained) {
                    // Nothing is in it that was not written.
                    self.give_up_spool(&errno.into());
                    self.drain_through_memory(budget, &mut drained);
                }
            }
        }
        if drained.pause.is_none() {
            self.ends.pause = SHORTEST_PAUSE;
        }
        self.count(drained.n_bytes);
        drained
    }

    fn drain_through_memory(&mut self, budget: usize, drained: &mut Drained) {
        if let Route::Memory { transform, .. } = &mut self.route {
            self.ends.move_through_memory(transform, budget, drained);
        }
    }

    /// As [`LogStream::drain`], but does not keep the program waiting while bytes are copied, if there is a
    /// [transfer pipe](crate::log::spool::transfer) and it is free. For one busy stream at a time.
    pub fn drain_aside(&mut self, budget: usize) -> Drained {
        if !matches!(self.route, Route::Splice) || !self.ends.may_move_aside() {
            return self.drain(budget);
        }
        let Some(drained) = self.ends.move_aside(budget) else { return self.drain(budget) };
        self.count(drained.n_bytes);
        drained
    }

    fn count(&self, n_bytes: usize) {
        self.n_read.fetch_add(n_bytes as u64, Ordering::Relaxed);
    }

    /// How many bytes were read of the program; can be read without waiting for the stream.
    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.n_read)
    }

    /// Asks for a pipe of this size, in bytes, and takes what it gets.
    pub(in crate::log) fn resize_pipe(&mut self, wanted: usize) {
        self.ends.resize_pipe(wanted);
    }

    /// Takes bytes that somebody else has read from the pipe already. What its logs do not take now waits for
    /// the next time, or is dropped.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        let moment = Moment::now(self.ends.pid);
        let transformed = match &mut self.route {
            Route::Memory { transform, .. } | Route::Spool { transform, .. } => transform.feed(bytes, moment),
            Route::Discard | Route::Splice => {
                Transform::new(TransformSpec::default(), Arc::clone(&self.ends.whose)).feed(bytes, moment)
            }
        };
        self.ends.distribute(transformed, moment);
        self.ends.flush_sinks();
    }

    /// Writes out what was held back until it would be complete, after the process has ended and its pipe has
    /// been drained. What is read out of it for others is returned.
    pub fn flush_at_exit(&mut self) -> Output {
        let mut output = Output::default();
        self.update_route();
        match &mut self.route {
            Route::Discard | Route::Splice => {}
            Route::Memory { transform, .. } if transform.holds_nothing_back() => {}
            Route::Memory { transform, .. } => {
                let moment = Moment::now(self.ends.pid);
                output.pieces = self.ends.distribute(transform.finish(moment), moment);
            }
            Route::Spool { transform, batches } => output = batches.finish(&mut self.ends, transform),
        }
        self.ends.pid = 0;
        output
    }

    /// Writes the rest of what a predecessor had begun to write in the middle of a line. To be done for all streams
    /// after all of them were resumed, and before anything else is written: others may write to the same file.
    pub fn finish_lines(&mut self) {
        if let Some(batches) = self.route.batches_mut() {
            batches.write(&mut self.ends.sinks, Which::TornLines);
        }
    }

    /// Writes what else a predecessor was just writing. To be done for all streams after
    /// [`LogStream::finish_lines`], and before anything else is written.
    pub fn finish_writes(&mut self) {
        if let Some(batches) = self.route.batches_mut() {
            batches.write(&mut self.ends.sinks, Which::Everything);
        }
        if self.ends.in_transfer {
            self.ends.finish_transfer();
        }
    }

    /// As [`LogStream::drain`], but what a listener says is left to those who hear it.
    pub(in crate::log) fn try_again(&mut self, budget: usize) -> Drained {
        if !self.is_listener() {
            return self.drain(budget);
        }
        self.ends.flush_sinks();
        Drained::default()
    }

    /// Whether a drain is to wait because the spool is on its way to the keeper. Until then nothing may be read that
    /// could have to be held back: it would be lost with us.
    pub(in crate::log) fn awaits_spool(&self) -> bool {
        self.route.awaits_spool(self.ends.id)
    }

    /// Makes the next pause twice as long as the last one; how long it is.
    pub(in crate::log) fn lengthen_pause(&mut self) -> Duration {
        self.ends.lengthen_pause()
    }

    /// Whether something that has left the pipe waits for a sink, or for its turn after that: then a drain is of use
    /// even though nothing arrives.
    pub fn waits_for_sink(&self) -> bool {
        self.ends.sinks.iter().any(Sink::holds_back) || self.is_waiting()
    }

    /// Whether there is something to be done even though nothing arrives in the pipe.
    pub fn is_waiting(&self) -> bool {
        self.route.batches().is_some_and(Batches::is_waiting)
    }

    /// How many bytes were read of the program and not transformed yet.
    pub fn backlog(&self) -> usize {
        let backlog = self.route.batches().map_or(0, Batches::backlog);
        usize::try_from(backlog).unwrap_or(usize::MAX)
    }
}
