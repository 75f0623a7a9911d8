//! A stream whose bytes are shaped: from the pipe into its [spool](crate::log::spool), from there in batches to the
//! sinks.
//!
//! A batch is published before its first byte is written, with everything that its output depends on. Each write
//! leaves word of how far it got, and when all sinks have the batch that is published, too. So a successor can make
//! the very same output again and writes what is missing of it.

use crate::log::drain::handoff;
use crate::log::sinks::remote::Remote;
use crate::log::sinks::sink::{Refusal, Sink, SinkSpec};
use crate::log::spool::Spool;
use crate::log::spool::tee;
use crate::log::stream::recovery::{self, ReplayPlan};
use crate::log::stream::{Drained, LONGEST_PAUSE, LogStream, Output, StreamOutput};
use crate::log::transform::{Moment, Transformed};
use crate::shm::cursor::{Batch, Cursor, Work};
use rustix::io::Errno;
use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a stream with a spool has.
#[derive(Debug)]
pub(super) struct Derived {
    spool: Spool,
    cursor: &'static Cursor,
    /// Whether anything has gone through the spool. Before, it may be on its way to the keeper still.
    is_in_use: bool,
    made: Instant,
    /// As it is published.
    batch: Batch,
    under_way: Option<UnderWay>,
    /// What a predecessor has read out of the stream and nobody has heard.
    unacked: Option<Output>,
    /// The program, this one, has ended while a batch was under way.
    to_finish: Option<i32>,
}

/// What is left to do about the batch.
#[derive(Debug)]
struct UnderWay {
    /// What the sinks are to get, and how much of it each of them has; `None` once they were given it.
    to_write: Option<(Transformed, Vec<usize>)>,
    n_log: u64,
    n_lines: u64,
    /// Where a new shaper can begin.
    clean: Option<u64>,
    output: Vec<StreamOutput>,
}

/// What is to be written of a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    /// Where a line was begun, and what follows it.
    TornLines,
    Everything,
}

/// So long after it was sent a spool has been taken in by the keeper, if it ever is.
const ARRIVAL: Duration = Duration::from_secs(1);

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Derived {
    fn new(file: OwnedFd, cursor: &'static Cursor, plan: &ReplayPlan, capture_maxbytes: u64) -> Derived {
        let spool = Spool::new(file, cursor, (plan.replay_from, plan.batch.done), capture_maxbytes);
        let (batch, is_in_use, made) = (plan.batch, false, Instant::now());
        Derived { spool, cursor, is_in_use, made, batch, under_way: None, unacked: None, to_finish: None }
    }

    /// How many bytes have not been read of what is in the spool.
    fn backlog(&self) -> u64 {
        self.spool.head().saturating_sub(self.batch.end)
    }

    /// Whether there is something to be done even though nothing arrives.
    fn is_waiting(&self) -> bool {
        self.under_way.is_some() || self.unacked.is_some() || self.backlog() > 0
    }

    fn publish(&mut self, batch: Batch) {
        self.batch = batch;
        self.spool.publish(&batch);
    }
}

impl LogStream {
    /// Gives the stream a new spool, unless it needs none or cannot have one.
    pub(super) fn make_spool(&mut self) {
        self.derived = None;
        let Some(cursor) = handoff::cursor(self.id).filter(|_| self.may_have_spool()) else { return };
        // Before anybody may rely on it.
        cursor.reset();
        self.sinks.iter().filter_map(Sink::remote).for_each(Remote::restart_count);
        let kept = Spool::new_file().map(|file| handoff::register_spool(self.id, &file).then_some(file));
        match kept {
            Ok(Some(file)) => {
                let plan = recovery::plan(cursor, 0);
                self.derived = Some(Box::new(Derived::new(file, cursor, &plan, self.capture_maxbytes())));
            }
            Ok(None) => say_once(&self.whose, &io::ErrorKind::BrokenPipe.into()),
            Err(error) => say_once(&self.whose, &error),
        }
    }

    /// Goes on with the spool of a predecessor. What it was writing is found out here, and written by
    /// [`LogStream::finish_writes`] or with the next drain.
    pub(super) fn resume_spool(&mut self, file: OwnedFd) {
        let Some(cursor) = handoff::cursor(self.id) else { return };
        self.cannot_splice |= self.transparent;
        let size = rustix::fs::fstat(&file).map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0));
        let plan = recovery::plan(cursor, size);
        let mut derived = Box::new(Derived::new(file, cursor, &plan, self.capture_maxbytes()));
        derived.is_in_use = size > 0;
        if derived.is_in_use {
            self.track();
        }
        if let Err(errno) = self.replay(&mut derived, &plan) {
            ::log::error!("what {} held back is lost, its spool cannot be read: {errno}", self.whose);
            self.find_written(&derived, &Transformed::default());
            let done = derived.batch.done;
            derived.publish(Batch { end: done, work: Work::Nothing, ..derived.batch });
        }
        self.derived = Some(derived);
    }

    fn may_have_spool(&self) -> bool {
        // What a listener says goes through its mailbox.
        self.id != 0 && !self.is_listener()
    }

    fn capture_maxbytes(&self) -> u64 {
        self.shape.as_ref().map_or(0, |shape| shape.capture_maxbytes)
    }

    /// Lets the sinks leave word of what they write.
    fn track(&mut self) {
        let cursor = handoff::cursor(self.id);
        for (number, sink) in self.sinks.iter_mut().enumerate() {
            // What is in our memory is gone with us, and is to be there again.
            // A syslog on the network has a queue that knows.
            let is_lasting = !matches!(sink.spec(), SinkSpec::Memory(_) | SinkSpec::Remote(_));
            let cursor = cursor.filter(|_| is_lasting).and_then(|cursor| cursor.sinks.get(number));
            sink.track(cursor, self.may_hold);
        }
    }

    /// Ends the use of the spool; what is in it is forgotten.
    pub(super) fn close_spool(&mut self) {
        if let Some(derived) = self.derived.take() {
            derived.spool.close();
            self.sinks.iter_mut().for_each(|sink| sink.track(None, false));
        }
    }

    /// Brings the shaper to where a predecessor's was, and finds out what is missing of what that was writing.
    fn replay(&mut self, derived: &mut Derived, plan: &ReplayPlan) -> Result<(), Errno> {
        let mut buffer = vec![0; tee::CHUNK];
        let (mut place, mut replay_from) = (plan.replay_from, None);
        let mut unacked = Vec::new();
        while place < plan.batch.done {
            let is_acked = place < plan.acked_to;
            let end = if is_acked { plan.acked_to } else { plan.batch.done };
            let n_wanted = usize::try_from(end - place).unwrap_or(usize::MAX).min(buffer.len());
            match derived.spool.read(place, &mut buffer[..n_wanted])? {
                0 => return Err(Errno::IO),
                n_bytes => {
                    let moment = Moment { is_replay: true, ..Moment::now(0) };
                    let (shaped, found) = self.shape_bytes(&buffer[..n_bytes], place, moment);
                    replay_from = found.or(replay_from);
                    if !is_acked {
                        unacked.extend(shaped.output);
                    }
                    place += n_bytes as u64;
                }
            }
        }
        if !unacked.is_empty() {
            let receipt = Some(derived.spool.redeliver(plan.acked_to));
            derived.unacked = Some(Output { pieces: unacked, receipt });
        }
        derived.spool.advance(plan.batch.done, replay_from, None);
        let moment = Moment::recorded(plan.batch.pid, plan.batch.wall);
        let found = match plan.batch.work {
            Work::Nothing => None,
            Work::Bytes => {
                let n_bytes = (plan.batch.end - plan.batch.done) as usize;
                let n_read = derived.spool.read(plan.batch.done, &mut buffer[..n_bytes])?;
                Some(self.shape_bytes(&buffer[..n_read], plan.batch.done, moment))
            }
            Work::Finish => Some((self.shaper().finish(moment), Some(plan.batch.done))),
        };
        let (shaped, clean) = found.unwrap_or_default();
        let had = self.find_written(derived, &shaped);
        if plan.batch.work != Work::Nothing {
            derived.under_way = Some(UnderWay::new(shaped, had, clean));
        }
        Ok(())
    }

    /// What the next bytes become, and the place up to which nothing of them is held back.
    fn shape_bytes(&mut self, bytes: &[u8], begin: u64, moment: Moment) -> (Transformed, Option<u64>) {
        let shaper = self.shaper();
        let was_capturing = shaper.is_capturing();
        let shaped = shaper.feed(bytes, moment);
        let clean = shaper.last_replay_point(bytes, was_capturing);
        (shaped, clean.map(|clean| begin + clean as u64))
    }

    /// How much of the output of the batch each sink has.
    fn find_written(&self, derived: &Derived, shaped: &Transformed) -> Vec<usize> {
        let each = |(number, sink): (usize, &Sink)| {
            if let Some(remote) = sink.remote() {
                return recovery::n_taken(derived.batch.n_lines, shaped.lines.len(), remote.taken());
            }
            let Some(cursor) = derived.cursor.sinks.get(number) else { return 0 };
            let (begin, bytes) = match sink.spec() {
                SinkSpec::Memory(_) | SinkSpec::Remote(_) => return 0,
                SinkSpec::Syslog { .. } => (derived.batch.n_lines, &shaped.lines),
                SinkSpec::Path { .. } => (derived.batch.n_log, &shaped.log),
            };
            let n_bytes = match (cursor.intent(), sink.spec()) {
                (Some(intent), SinkSpec::Path { path, .. }) => {
                    recovery::n_found(begin, bytes, &intent, |place, buffer| {
                        recovery::read_file(path, &intent, place, buffer)
                    })
                }
                _ => recovery::n_taken(begin, bytes.len(), cursor.written()),
            };
            cursor.finish_write(begin + n_bytes as u64);
            n_bytes
        };
        self.sinks.iter().enumerate().map(each).collect()
    }

    /// Writes the rest of what a predecessor had begun to write in the middle of a line. To be done for all streams
    /// after all of them were resumed, and before anything else is written: others may write to the same file.
    pub fn finish_lines(&mut self) {
        if let Some(mut derived) = self.derived.take() {
            self.write_batch(&mut derived, Which::TornLines);
            self.derived = Some(derived);
        }
    }

    /// Writes what else a predecessor was just writing. To be done for all streams after
    /// [`LogStream::finish_lines`], and before anything else is written.
    pub fn finish_writes(&mut self) {
        if let Some(mut derived) = self.derived.take() {
            self.write_batch(&mut derived, Which::Everything);
            self.derived = Some(derived);
        }
        if self.in_transfer {
            self.finish_transfer();
        }
    }

    /// Whether bytes are to go through the spool now.
    pub(super) fn uses_spool(&mut self) -> bool {
        let Some(derived) = &self.derived else { return false };
        let is_held = handoff::holds(self.id);
        // The keeper has no room for it. It may turn out late: what had lain there before was to be seen till then.
        let is_lost = !is_held && derived.made.elapsed() > ARRIVAL;
        if is_lost && derived.under_way.is_none() && derived.backlog() == 0 {
            self.give_up_spool(&Errno::MFILE.into());
            return false;
        }
        if derived.is_in_use {
            return true;
        }
        // What is held back has not been through the spool.
        let may_begin = is_held && self.holds_nothing_back();
        if may_begin && let Some(derived) = &mut self.derived {
            derived.is_in_use = true;
            self.track();
        }
        may_begin
    }

    /// How long to wait until the spool has arrived in custody, if it is on its way there. Until then nothing may be
    /// read that could have to be held back: it would be lost with us.
    pub(in crate::log) fn until_spool_arrives(&mut self) -> Option<Duration> {
        let derived = self.derived.as_ref()?;
        let is_due = !derived.is_in_use && self.holds_nothing_back() && derived.made.elapsed() <= ARRIVAL;
        if !is_due || handoff::holds(self.id) {
            return None;
        }
        Some(self.longer_pause())
    }

    /// Whether all that was read has gone on its way.
    fn holds_nothing_back(&self) -> bool {
        self.shaper.as_ref().is_none_or(|shaper| shaper.holds_nothing_back())
    }

    /// Goes on without it.
    fn give_up_spool(&mut self, error: &io::Error) {
        say_once(&self.whose, error);
        handoff::release(self.id);
        self.close_spool();
    }

    /// Whether there is something to be done even though nothing arrives in the pipe.
    pub fn is_waiting(&self) -> bool {
        self.derived.as_ref().is_some_and(|derived| derived.is_waiting())
    }

    /// How much was read of the program and has not been looked at.
    pub fn backlog(&self) -> usize {
        let backlog = self.derived.as_ref().map_or(0, |derived| derived.backlog());
        usize::try_from(backlog).unwrap_or(usize::MAX)
    }

    pub(super) fn drain_through_spool(&mut self, budget: usize, drained: &mut Drained) {
        let Some(mut derived) = self.derived.take() else { return };
        let result = self.move_batches(&mut derived, budget, drained);
        derived.spool.tidy();
        self.derived = Some(derived);
        if let Err(errno) = result {
            // Nothing is in it that was not written.
            self.give_up_spool(&errno.into());
            self.drain_through_memory(budget, drained);
        }
    }

    /// Fails if nothing can be moved into the spool.
    fn move_batches(
        &mut self,
        derived: &mut Derived,
        budget: usize,
        drained: &mut Drained,
    ) -> Result<(), Errno> {
        if let Some(unacked) = derived.unacked.take() {
            drained.output = unacked;
        }
        let in_pipe = rustix::io::ioctl_fionread(&self.pipe).unwrap_or(0) as usize;
        let waiting = in_pipe + usize::try_from(derived.backlog()).unwrap_or(0);
        loop {
            self.write_batch(derived, Which::Everything);
            match self.flush_sinks() {
                Some(Refusal::Slow) => {
                    self.wait(drained);
                    return Ok(());
                }
                Some(_) if self.may_hold => {
                    self.hold(drained);
                    if derived.under_way.is_some() && drained.pause.is_none() {
                        drained.pause = Some(self.longer_pause());
                    }
                    return Ok(());
                }
                _ => self.complete_batch(derived, drained),
            }
            if drained.n_bytes >= budget {
                drained.more = true;
                if derived.backlog() > 0 {
                    // It may be that nothing more arrives.
                    drained.pause = Some(Duration::ZERO);
                }
                return Ok(());
            }
            if drained.n_bytes > 0 && drained.n_bytes >= waiting {
                return Ok(());
            }
            if derived.backlog() == 0 {
                let filled = derived.spool.fill(&self.pipe, tee::CHUNK.min(budget - drained.n_bytes));
                if matches!(filled, Ok(0) | Err(Errno::AGAIN))
                    && let Some(pid) = derived.to_finish.take()
                {
                    self.begin_finish(derived, pid);
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
            match self.begin_batch(derived, budget - drained.n_bytes) {
                0 => {
                    drained.pause = Some(LONGEST_PAUSE);
                    return Ok(());
                }
                n_bytes => drained.n_bytes += n_bytes,
            }
        }
    }

    /// Shapes the next bytes in the spool, of which there are some; how many. 0 if the system has no memory to read
    /// them.
    fn begin_batch(&mut self, derived: &mut Derived, most: usize) -> usize {
        let mut buffer = BUFFER.take();
        buffer.resize(tee::CHUNK, 0);
        let begin = derived.batch.end;
        let n_bytes = derived.spool.read(begin, &mut buffer[..most.min(tee::CHUNK)]).unwrap_or(0);
        if n_bytes == 0 {
            return 0;
        }
        let moment = self.publish_work(derived, Work::Bytes, begin + n_bytes as u64, self.pid);
        let (shaped, clean) = self.shape_bytes(&buffer[..n_bytes], begin, moment);
        BUFFER.set(buffer);
        derived.under_way = Some(UnderWay::new(shaped, vec![0; self.sinks.len()], clean));
        n_bytes
    }

    fn begin_finish(&mut self, derived: &mut Derived, pid: i32) {
        if self.shaper.as_ref().is_none_or(|shaper| shaper.holds_nothing_back()) {
            return;
        }
        let done = derived.batch.done;
        let moment = self.publish_work(derived, Work::Finish, done, pid);
        let shaped = self.shaper().finish(moment);
        derived.under_way = Some(UnderWay::new(shaped, vec![0; self.sinks.len()], Some(done)));
    }

    /// Says what is going to be written: a successor knows from it what that was.
    fn publish_work(&self, derived: &mut Derived, work: Work, end: u64, pid: i32) -> Moment {
        let wall = Moment::now(pid).wall();
        derived.publish(Batch { work, end, pid, wall, ..derived.batch });
        Moment::recorded(pid, wall)
    }

    /// Gives the sinks what is under way, unless they have it.
    fn write_batch(&mut self, derived: &mut Derived, which: Which) {
        let batch = derived.batch;
        let to_write = derived.under_way.as_mut().and_then(|under_way| under_way.to_write.take());
        let Some((shaped, mut had)) = to_write else { return };
        for (sink, n_had) in self.sinks.iter_mut().zip(&mut had) {
            let takes_lines = sink.spec().takes_lines();
            let (begin, bytes) = match takes_lines {
                true => (batch.n_lines, &shaped.lines),
                false => (batch.n_log, &shaped.log),
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
        if let Some(under_way) = derived.under_way.as_mut().filter(|_| which == Which::TornLines) {
            under_way.to_write = Some((shaped, had));
        }
    }

    /// Notes that all sinks have what was under way.
    fn complete_batch(&mut self, derived: &mut Derived, drained: &mut Drained) {
        let Some(under_way) = derived.under_way.take() else { return };
        let Batch { end, n_log, n_lines, .. } = derived.batch;
        derived.publish(Batch {
            done: end,
            end,
            n_log: n_log + under_way.n_log,
            n_lines: n_lines + under_way.n_lines,
            ..Batch::default()
        });
        let receipt = (!under_way.output.is_empty()).then_some(&mut drained.output.receipt);
        derived.spool.advance(end, under_way.clean, receipt);
        drained.output.pieces.extend(under_way.output);
    }

    /// See [`LogStream::flush_at_exit`].
    pub(super) fn finish_through_spool(&mut self) -> Output {
        let mut drained = Drained::default();
        let Some(mut derived) = self.derived.take() else { return drained.output };
        if derived.under_way.is_some() || derived.backlog() > 0 {
            derived.to_finish = Some(self.pid);
        } else {
            self.begin_finish(&mut derived, self.pid);
            self.write_batch(&mut derived, Which::Everything);
            let refusal = self.flush_sinks();
            if refusal.is_none() || (!self.may_hold && refusal != Some(Refusal::Slow)) {
                self.complete_batch(&mut derived, &mut drained);
            }
            derived.spool.tidy();
        }
        self.derived = Some(derived);
        drained.output
    }
}

impl UnderWay {
    fn new(mut shaped: Transformed, had: Vec<usize>, clean: Option<u64>) -> UnderWay {
        let output = std::mem::take(&mut shaped.output);
        let (n_log, n_lines) = (shaped.log.len() as u64, shaped.lines.len() as u64);
        UnderWay { to_write: Some((shaped, had)), n_log, n_lines, clean, output }
    }
}

/// Every stream would have the same to say.
fn say_once(whose: &str, error: &io::Error) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        ::log::warn!(
            "the output of {whose}, and perhaps of others, is not kept in memory on its way: {error}; if the manager \
             is killed, some of it may be written twice, and what was held back is lost"
        );
    }
}
