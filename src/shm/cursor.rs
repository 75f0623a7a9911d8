//! How far the output of one stream has come, kept where it outlives the process that writes it.
//!
//! The bytes of a stream lie in a file, the spool, and are counted from its beginning for ever; positions here are such
//! counts. The output that is made of them is counted, too, for files and for syslog. The one writer may be killed
//! between any two stores, so what belongs together is published by a single store. Zero in every field means a stream
//! that has just begun.

use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::*};

/// For how many sinks of a stream the cursor records what they have got.
pub const TRACKED_SINKS: usize = 4;

/// Where one stream is.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Cursor {
    /// Up to here nothing is needed any more: nothing was held back for what follows, and all of it was heard.
    pub replay_from: AtomicU64,
    /// Everything before it was handed on to others.
    pub acked_to: AtomicU64,
    /// Which of the two records counts; the other one is written next.
    current: AtomicU32,
    _reserved: AtomicU32,
    batches: [BatchRecord; 2],
    /// How far each sink is, in the order of the configuration.
    pub sinks: [SinkCursor; TRACKED_SINKS],
}

#[repr(C)]
#[derive(Debug, Default)]
struct BatchRecord {
    done: AtomicU64,
    end: AtomicU64,
    wall: AtomicU64,
    n_log: AtomicU64,
    n_lines: AtomicU64,
    /// The number of a `Work`.
    work: AtomicU32,
    pid: AtomicI32,
}

/// The part of a stream that is being written, and what there was before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Everything before it is in all sinks.
    pub done: u64,
    /// The end of the batch; `done` if none is under way.
    pub end: u64,
    /// What is under way between the two.
    pub work: Work,
    /// Which process wrote it, and when it was read, in nanoseconds since the epoch: both go into lines.
    pub pid: i32,
    /// When it was read, in nanoseconds since the epoch; goes into lines.
    pub wall: u64,
    /// How many bytes for files were made of everything before it.
    pub n_log: u64,
    /// The same for syslog.
    pub n_lines: u64,
}

/// What is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Work {
    /// No write is under way.
    #[default]
    Nothing,
    /// The bytes up to the end of the batch.
    Bytes,
    /// The program has ended, and what was held back is written.
    Finish,
}

/// How far one sink is.
#[repr(C)]
#[derive(Debug, Default)]
pub struct SinkCursor {
    /// So many bytes it has taken, or they were dropped.
    written: AtomicU64,
    /// 1 while the fields below say what is being written to a file; `written` does not count then.
    armed: AtomicU32,
    _reserved: AtomicU32,
    device: AtomicU64,
    inode: AtomicU64,
    offset: AtomicU64,
    length: AtomicU64,
    at: AtomicU64,
}

/// A write to a regular file that may have happened or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteIntent {
    /// The file's device, see stat(2).
    pub device: u64,
    /// The file's inode on that device.
    pub inode: u64,
    /// Where in the file.
    pub offset: u64,
    /// How many bytes are written there.
    pub length: u64,
    /// What `written` was before.
    pub at: u64,
}

impl Cursor {
    /// The record that counts.
    pub fn batch(&self) -> Batch {
        let record = &self.batches[(self.current.load(Acquire) & 1) as usize];
        Batch {
            done: record.done.load(Relaxed),
            end: record.end.load(Relaxed),
            work: match record.work.load(Relaxed) {
                1 => Work::Bytes,
                2 => Work::Finish,
                _ => Work::Nothing,
            },
            pid: record.pid.load(Relaxed),
            wall: record.wall.load(Relaxed),
            n_log: record.n_log.load(Relaxed),
            n_lines: record.n_lines.load(Relaxed),
        }
    }

    /// Makes another record count.
    pub fn publish(&self, batch: &Batch) {
        let next = 1 - (self.current.load(Relaxed) & 1);
        let record = &self.batches[next as usize];
        record.done.store(batch.done, Relaxed);
        record.end.store(batch.end, Relaxed);
        record.work.store(batch.work as u32, Relaxed);
        record.pid.store(batch.pid, Relaxed);
        record.wall.store(batch.wall, Relaxed);
        record.n_log.store(batch.n_log, Relaxed);
        record.n_lines.store(batch.n_lines, Relaxed);
        self.current.store(next, Release);
    }

    /// Begins anew. Not in one step: nobody may rely on it meanwhile.
    pub fn reset(&self) {
        self.sinks.iter().for_each(SinkCursor::reset);
        self.replay_from.store(0, Relaxed);
        self.acked_to.store(0, Relaxed);
        self.publish(&Batch::default());
    }
}

impl SinkCursor {
    /// How many bytes it has taken, counted as the stream's output is; those that were dropped included.
    pub fn written(&self) -> u64 {
        self.written.load(Acquire)
    }

    /// Publishes that number.
    pub fn set_written(&self, written: u64) {
        self.written.store(written, Release);
    }

    /// What is being written to a file now.
    pub fn intent(&self) -> Option<WriteIntent> {
        (self.armed.load(Acquire) == 1).then(|| WriteIntent {
            device: self.device.load(Relaxed),
            inode: self.inode.load(Relaxed),
            offset: self.offset.load(Relaxed),
            length: self.length.load(Relaxed),
            at: self.at.load(Relaxed),
        })
    }

    /// Says what is going to be written.
    pub fn begin_write(&self, intent: &WriteIntent) {
        self.device.store(intent.device, Relaxed);
        self.inode.store(intent.inode, Relaxed);
        self.offset.store(intent.offset, Relaxed);
        self.length.store(intent.length, Relaxed);
        self.at.store(intent.at, Relaxed);
        self.armed.store(1, Release);
    }

    /// Says what has become of it.
    pub fn finish_write(&self, written: u64) {
        self.set_written(written);
        self.armed.store(0, Release);
    }

    fn reset(&self) {
        self.armed.store(0, Release);
        self.written.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_once_it_is_published() {
        let cursor = Cursor::default();
        assert_eq!(cursor.batch(), Batch::default());
        let batch = Batch { done: 1, end: 2, work: Work::Finish, pid: 3, wall: 4, n_log: 5, n_lines: 6 };
        cursor.publish(&batch);
        assert_eq!(cursor.batch(), batch);
        cursor.publish(&Batch { work: Work::Bytes, ..batch });
        assert_eq!(cursor.batch(), Batch { work: Work::Bytes, ..batch });
        cursor.reset();
        assert_eq!(cursor.batch(), Batch::default());
    }

    #[test]
    fn an_intent_counts_from_arming_to_settling() {
        let sink = SinkCursor::default();
        assert_eq!((sink.intent(), sink.written()), (None, 0));
        let intent = WriteIntent { device: 1, inode: 2, offset: 3, length: 4, at: 5 };
        sink.begin_write(&intent);
        assert_eq!(sink.intent(), Some(intent));
        sink.finish_write(9);
        assert_eq!((sink.intent(), sink.written()), (None, 9));
    }
}
