//! Going on with the spool of a predecessor: its bytes are transformed once more, up to the very byte that is due.

use crate::log::sinks::sink::{Sink, SinkSpec};
use crate::log::spool::tee;
use crate::log::stream::batches::{Batches, UnderWay, transform_at};
use crate::log::stream::drain::Output;
use crate::log::stream::endpoints::Endpoints;
use crate::log::stream::recovery::{self, ReplayPlan};
use crate::log::transform::{Moment, Transform, Transformed};
use crate::shm::cursor::{Batch, Cursor, Work};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

impl Batches {
    /// Takes over a spool of this size. What the predecessor was writing is found out, but not written.
    pub(super) fn resume(
        ends: &Endpoints,
        transform: &mut Transform,
        (file, size): (OwnedFd, u64),
        cursor: &'static Cursor,
    ) -> Batches {
        let plan = recovery::plan(cursor, size);
        let mut batches = Batches::new(file, cursor, &plan, transform);
        if let Err(errno) = batches.replay(&ends.sinks, transform, &plan) {
            ::log::error!("what {} held back is lost, its spool cannot be read: {errno}", ends.whose);
            batches.find_written(&ends.sinks, &Transformed::default());
            let done = batches.batch.done;
            batches.publish(Batch { end: done, work: Work::Nothing, ..batches.batch });
        }
        batches
    }

    /// Brings the transform to where a predecessor's was, and finds out what is missing of what that was writing.
    fn replay(&mut self, sinks: &[Sink], transform: &mut Transform, plan: &ReplayPlan) -> Result<(), Errno> {
        let mut buffer = vec![0; tee::CHUNK];
        let (mut place, mut replay_from) = (plan.replay_from, None);
        let mut unacked = Vec::new();
        while place < plan.batch.done {
            let is_acked = place < plan.acked_to;
            let end = if is_acked { plan.acked_to } else { plan.batch.done };
            let n_wanted = usize::try_from(end - place).unwrap_or(usize::MAX).min(buffer.len());
            match self.spool.read(place, &mut buffer[..n_wanted])? {
                0 => return Err(Errno::IO),
                n_bytes => {
                    let moment = Moment { is_replay: true, ..Moment::now(0) };
                    let (transformed, found) = transform_at(transform, &buffer[..n_bytes], place, moment);
                    replay_from = found.or(replay_from);
                    if !is_acked {
                        unacked.extend(transformed.output);
                    }
                    place += n_bytes as u64;
                }
            }
        }
        if !unacked.is_empty() {
            let receipt = Some(self.spool.redeliver(plan.acked_to));
            self.unacked = Some(Output { pieces: unacked, receipt });
        }
        self.spool.advance(plan.batch.done, replay_from, None);
        let moment = Moment::recorded(plan.batch.pid, plan.batch.wall);
        let found = match plan.batch.work {
            Work::Nothing => None,
            Work::Bytes => {
                let n_bytes = (plan.batch.end - plan.batch.done) as usize;
                let n_read = self.spool.read(plan.batch.done, &mut buffer[..n_bytes])?;
                Some(transform_at(transform, &buffer[..n_read], plan.batch.done, moment))
            }
            Work::Finish => Some((transform.finish(moment), Some(plan.batch.done))),
        };
        let (transformed, replay_from) = found.unwrap_or_default();
        let had = self.find_written(sinks, &transformed);
        if plan.batch.work != Work::Nothing {
            self.under_way = Some(UnderWay::new(transformed, had, replay_from));
        }
        Ok(())
    }

    /// How many bytes of the output of the batch each sink has.
    fn find_written(&self, sinks: &[Sink], transformed: &Transformed) -> Vec<usize> {
        let each = |(number, sink): (usize, &Sink)| {
            if let Some(remote) = sink.remote() {
                return recovery::n_taken(self.batch.n_lines, transformed.lines.len(), remote.taken());
            }
            let Some(cursor) = self.cursor.sinks.get(number) else { return 0 };
            let (begin, bytes) = match sink.spec() {
                SinkSpec::Memory(_) | SinkSpec::Remote(_) => return 0,
                SinkSpec::Syslog { .. } => (self.batch.n_lines, &transformed.lines),
                SinkSpec::Path { .. } => (self.batch.n_log, &transformed.log),
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
        sinks.iter().enumerate().map(each).collect()
    }
}
