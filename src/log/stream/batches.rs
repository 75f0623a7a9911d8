//! The route through a [spool](crate::log::spool): from the pipe into the spool, and from there in batches to the sinks.
//!
//! A batch is published before its first byte is written, with everything that its output depends on. Each write
//! records how far it got, and the end of a batch is published once all sinks have it. So a successor can make the very
//! same output again and writes what is missing of it.

use crate::log::drain::handoff;
use crate::log::sinks::remote::Remote;
use crate::log::sinks::sink::{Refusal, Sink};
use crate::log::spool::{Spool, tee};
use crate::log::stream::LONGEST_PAUSE;
use crate::log::stream::drain::{Drained, Output, StreamOutput};
use crate::log::stream::endpoints::Endpoints;
use crate::log::stream::recovery::{self, ReplayPlan};
use crate::log::transform::{Moment, Transform, Transformed};
use crate::shm::cursor::{Batch, Cursor, Work};
use rustix::io::Errno;
use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The spool of a stream, and the batch that is on its way from there to the sinks.
#[derive(Debug)]
pub(super) struct Batches {
    pub(super) spool: Spool,
    pub(super) cursor: &'static Cursor,
    /// When it was made or found.
    since: Instant,
    /// As it is published.
    pub(super) batch: Batch,
    pub(super) under_way: Option<UnderWay>,
    /// What a predecessor has read out of the stream and nobody has acknowledged.
    pub(super) unacked: Option<Output>,
    /// The program, this one, has ended while a batch was under way.
    to_finish: Option<i32>,
}

/// What is left to do about the batch.
#[derive(Debug)]
pub(super) struct UnderWay {
    /// What the sinks are to get, and how many bytes of it each of them has; `None` once they were given it.
    to_write: Option<(Transformed, Vec<usize>)>,
    n_log: u64,
    n_lines: u64,
    /// Where a new transform can begin.
    replay_from: Option<u64>,
    output: Vec<StreamOutput>,
}

/// What is to be written of a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Where a line was begun, and what follows it.
    TornLines,
    Everything,
}

/// So long after it was sent a spool has been taken in by the keeper, if it ever is.
const ARRIVAL: Duration = Duration::from_secs(1);

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Batches {
    /// A new spool for a stream, which is on its way to the keeper; `None` if the stream can have none.
    pub(super) fn create(ends: &Endpoints, transform: &Transform) -> Option<Box<Batches>> {
        // What a listener says goes through its mailbox.
        let cursor = handoff::cursor(ends.id).filter(|_| !transform.spec().listener)?;
        // Before anybody may rely on it.
        cursor.reset();
        ends.sinks.iter().filter_map(Sink::remote).for_each(Remote::restart_count);
        let registered = Spool::new_file()
            .and_then(|file| match handoff::register_spool(ends.id, &file) {
                true => Ok(file),
                false => Err(io::ErrorKind::BrokenPipe.into()),
            })
            .inspect_err(|error| warn_once(&ends.whose, error));
        let plan = recovery::plan(cursor, 0);
        Some(Box::new(Batches::new(registered.ok()?, cursor, &plan, transform)))
    }

    pub(super) fn new(
        file: OwnedFd,
        cursor: &'static Cursor,
        plan: &ReplayPlan,
        transform: &Transform,
    ) -> Batches {
        let capture_maxbytes = transform.spec().capture_maxbytes;
        let spool = Spool::new(file, cursor, (plan.replay_from, plan.batch.done), capture_maxbytes);
        let (batch, since) = (plan.batch, Instant::now());
        Batches { spool, cursor, since, batch, under_way: None, unacked: None, to_finish: None }
    }

    /// How many bytes have not been read of what is in the spool.
    pub(super) fn backlog(&self) -> u64 {
        self.spool.head().saturating_sub(self.batch.end)
    }

    /// Whether there is something to be done even though nothing arrives.
    pub(super) fn is_waiting(&self) -> bool {
        self.under_way.is_some() || self.unacked.is_some() || self.backlog() > 0
    }

    /// Whether all that was in the spool is in the sinks.
    pub(super) fn is_done(&self) -> bool {
        self.under_way.is_none() && self.backlog() == 0
    }

    /// Whether the keeper would have the spool by now, if it had taken it in.
    pub(super) fn is_overdue(&self) -> bool {
        self.since.elapsed() > ARRIVAL
    }

    /// Ends the use of the spool; what is in it is forgotten.
    pub(super) fn close(&self) {
        self.spool.close();
    }

    pub(super) fn publish(&mut self, batch: Batch) {
        self.batch = batch;
        self.spool.publish(&batch);
    }

    /// Moves bytes through the spool.
    ///
    /// # Errors
    /// Nothing can be moved into the spool; everything in it is in the sinks.
    pub(super) fn drain(
        &mut self,
        ends: &mut Endpoints,
        transform: &mut Transform,
        budget: usize,
        drained: &mut Drained,
    ) -> Result<(), Errno> {
        let result = self.move_batches(ends, transform, budget, drained);
        self.spool.tidy();
        result
    }

    fn move_batches(
        &mut self,
        ends: &mut Endpoints,
        transform: &mut Transform,
        budget: usize,
        drained: &mut Drained,
    ) -> Result<(), Errno> {
        if let Some(unacked) = self.unacked.take() {
            drained.output = unacked;
        }
        let waiting = ends.n_in_pipe() + usize::try_from(self.backlog()).unwrap_or(0);
        loop {
            self.write(&mut ends.sinks, Which::Everything);
            match ends.flush_sinks() {
                Some(Refusal::Slow) => {
                    ends.wait(drained);
                    return Ok(());
                }
                Some(_) if ends.may_hold(transform) => {
                    ends.hold(drained);
                    if self.under_way.is_some() && drained.pause.is_none() {
                        drained.pause = Some(ends.lengthen_pause());
                    }
                    return Ok(());
                }
                _ => self.complete(drained),
            }
            if drained.n_bytes >= budget {
                drained.more = true;
                if self.backlog() > 0 {
                    // It may be that nothing more arrives.
                    drained.pause = Some(Duration::ZERO);
                }
                return Ok(());
            }
            if drained.n_bytes > 0 && drained.n_bytes >= waiting {
                return Ok(());
            }
            if self.backlog() == 0 {
                let filled = self.spool.fill(&ends.pipe, tee::CHUNK.min(budget - drained.n_bytes));
                if matches!(filled, Ok(0) | Err(Errno::AGAIN))
                    && let Some(pid) = self.to_finish.take()
                {
                    self.begin_finish(ends, transform, pid);
                    continue;
                }
                match filled {
                    Ok(0) => {
                        drained.eof = true;
                        return Ok(());
                    }
                    Ok(_) => {}
                    Err(Errno::AGAIN) => return Ok(()),
                    Err(errno) => return Err(errno),
                }
            }
            match self.begin(ends, transform, budget - drained.n_bytes) {
                0 => {
                    drained.pause = Some(LONGEST_PAUSE);
                    return Ok(());
                }
                n_bytes => drained.n_bytes += n_bytes,
            }
        }
    }

    /// Transforms the next bytes in the spool, of which there are some; how many. 0 if the system has no memory to read
    /// them.
    fn begin(&mut self, ends: &Endpoints, transform: &mut Transform, most: usize) -> usize {
        let mut buffer = BUFFER.take();
        buffer.resize(tee::CHUNK, 0);
        let begin = self.batch.end;
        let n_bytes = self.spool.read(begin, &mut buffer[..most.min(tee::CHUNK)]).unwrap_or(0);
        if n_bytes == 0 {
            return 0;
        }
        let moment = self.publish_work(Work::Bytes, begin + n_bytes as u64, ends.pid);
        let (transformed, replay_from) = transform_at(transform, &buffer[..n_bytes], begin, moment);
        BUFFER.set(buffer);
        self.under_way = Some(UnderWay::new(transformed, vec![0; ends.sinks.len()], replay_from));
        n_bytes
    }

    /// Begins to write what is held back, for a program that has ended.
    fn begin_finish(&mut self, ends: &Endpoints, transform: &mut Transform, pid: i32) {
        if transform.holds_nothing_back() {
            return;
        }
        let done = self.batch.done;
        let moment = self.publish_work(Work::Finish, done, pid);
        let transformed = transform.finish(moment);
        self.under_way = Some(UnderWay::new(transformed, vec![0; ends.sinks.len()], Some(done)));
    }

    /// Says what is going to be written: a successor knows from it what that was.
    fn publish_work(&mut self, work: Work, end: u64, pid: i32) -> Moment {
        let wall = Moment::now(pid).wall();
        self.publish(Batch { work, end, pid, wall, ..self.batch });
        Moment::recorded(pid, wall)
    }

    /// Gives the sinks what is under way, unless they have it.
    pub(super) fn write(&mut self, sinks: &mut [Sink], which: Which) {
        let batch = self.batch;
        let to_write = self.under_way.as_mut().and_then(|under_way| under_way.to_write.take());
        let Some((transformed, mut had)) = to_write else { return };
        for (sink, n_had) in sinks.iter_mut().zip(&mut had) {
            let takes_lines = sink.spec().takes_lines();
            let (begin, bytes) = match takes_lines {
                true => (batch.n_lines, &transformed.lines),
                false => (batch.n_log, &transformed.log),
            };
            let is_torn = *n_had > 0 && bytes[*n_had - 1] != b'\n';
            if *n_had < bytes.len() && (which == Which::Everything || is_torn) {
                let (place, bytes) = (begin + *n_had as u64, &bytes[*n_had..]);
                match takes_lines {
                    true => sink.push_lines(Some(place), bytes, Moment::recorded(batch.pid, batch.wall)),
                    false => sink.push_at(place, bytes),
                }
                *n_had += bytes.len();
            }
        }
        if let Some(under_way) = self.under_way.as_mut().filter(|_| which == Which::TornLines) {
            under_way.to_write = Some((transformed, had));
        }
    }

    /// Publishes that all sinks have what was under way.
    fn complete(&mut self, drained: &mut Drained) {
        let Some(under_way) = self.under_way.take() else { return };
        let Batch { end, n_log, n_lines, .. } = self.batch;
        self.publish(Batch {
            done: end,
            end,
            n_log: n_log + under_way.n_log,
            n_lines: n_lines + under_way.n_lines,
            ..Batch::default()
        });
        let receipt = (!under_way.output.is_empty()).then_some(&mut drained.output.receipt);
        self.spool.advance(end, under_way.replay_from, receipt);
        drained.output.pieces.extend(under_way.output);
    }

    /// Writes out what is held back, after the program has ended; with the next drain if something is under way. See
    /// [`LogStream::flush_at_exit`](crate::log::stream::LogStream::flush_at_exit).
    pub(super) fn finish(&mut self, ends: &mut Endpoints, transform: &mut Transform) -> Output {
        let mut drained = Drained::default();
        if !self.is_done() {
            self.to_finish = Some(ends.pid);
            return drained.output;
        }
        self.begin_finish(ends, transform, ends.pid);
        self.write(&mut ends.sinks, Which::Everything);
        let refusal = ends.flush_sinks();
        if refusal.is_none() || (!ends.may_hold(transform) && refusal != Some(Refusal::Slow)) {
            self.complete(&mut drained);
        }
        self.spool.tidy();
        drained.output
    }
}

impl UnderWay {
    pub(super) fn new(mut transformed: Transformed, had: Vec<usize>, replay_from: Option<u64>) -> UnderWay {
        let output = std::mem::take(&mut transformed.output);
        let (n_log, n_lines) = (transformed.log.len() as u64, transformed.lines.len() as u64);
        UnderWay { to_write: Some((transformed, had)), n_log, n_lines, replay_from, output }
    }
}

/// What the bytes at this place of the stream become, and the last place after which nothing of them is held back.
pub(super) fn transform_at(
    transform: &mut Transform,
    bytes: &[u8],
    begin: u64,
    moment: Moment,
) -> (Transformed, Option<u64>) {
    let was_capturing = transform.is_capturing();
    let transformed = transform.feed(bytes, moment);
    let replay_point = transform.last_replay_point(bytes, was_capturing);
    (transformed, replay_point.map(|point| begin + point as u64))
}

/// Every stream would have the same to say.
pub(super) fn warn_once(whose: &str, error: &io::Error) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        ::log::warn!(
            "the output of {whose}, and perhaps of others, is not kept in memory on its way: {error}; if the manager \
             is killed, some of it may be written twice, and what was held back is lost"
        );
    }
}
