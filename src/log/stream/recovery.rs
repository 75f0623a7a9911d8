//! What a killed predecessor has left undone. This decides it; the stream does it.

use crate::files;
use crate::log::sinks::open::{self, Identity};
use crate::log::sinks::rotate::backup_name;
use crate::log::spool::tee::CHUNK;
use crate::shm::cursor::{Batch, Cursor, Work, WriteIntent};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::Ordering::Acquire;

/// Where a successor begins to read a spool, and what it does with each part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayPlan {
    /// From here to `acked_to` bytes only bring the transform to its state.
    pub replay_from: u64,
    /// From here to `batch.done` what is for others is delivered again; nothing is written.
    pub acked_to: u64,
    /// What was under way. Nothing or something.
    pub batch: Batch,
}

/// Reads a cursor for a spool of this size.
pub fn plan(cursor: &Cursor, size: u64) -> ReplayPlan {
    plan_for(cursor.batch(), cursor.replay_from.load(Acquire), cursor.acked_to.load(Acquire), size)
}

/// A cursor that cannot be right is believed as far as it can do no harm.
fn plan_for(mut batch: Batch, replay_from: u64, acked_to: u64, size: u64) -> ReplayPlan {
    batch.done = batch.done.min(size);
    let fits = (batch.done..=size).contains(&batch.end) && batch.end - batch.done <= CHUNK as u64;
    if batch.work != Work::Bytes || !fits {
        batch.end = batch.done;
    }
    if batch.work == Work::Bytes && batch.end == batch.done {
        batch.work = Work::Nothing;
    }
    let acked_to = acked_to.min(batch.done);
    ReplayPlan { replay_from: replay_from.min(acked_to), acked_to, batch }
}

/// How much of the output of a batch a sink has: it begins at `begin`, is `length` bytes long, and of all output the
/// sink has taken so much. What a sink had not got before the batch it will never get.
pub fn n_taken(begin: u64, length: usize, written: u64) -> usize {
    usize::try_from(written.saturating_sub(begin)).unwrap_or(usize::MAX).min(length)
}

/// The same for a sink that was just writing to a regular file. `output` is that of the batch; `read` fills a buffer
/// from a place in the file, as far as that goes, or fails if the file is not there any more.
pub fn n_found(
    begin: u64,
    output: &[u8],
    intent: &WriteIntent,
    read: impl FnOnce(u64, &mut [u8]) -> io::Result<usize>,
) -> usize {
    let before = n_taken(begin, output.len(), intent.at);
    // Of what was to be written this much belongs to the time before the batch.
    let older = begin.saturating_sub(intent.at);
    let Some(length) = intent.length.checked_sub(older).and_then(|length| usize::try_from(length).ok())
    else {
        return before;
    };
    let expected = &output[before..];
    let expected = &expected[..expected.len().min(length)];
    let place = intent.offset.saturating_add(older);
    // One more byte tells whether it ends there.
    let mut buffer = vec![0; expected.len() + 1];
    let Ok(n_read) = read(place, &mut buffer) else { return before };
    let n_same = buffer[..n_read].iter().zip(expected).take_while(|(a, b)| a == b).count();
    let is_last = n_same == n_read;
    before + if is_last || n_same == expected.len() { n_same } else { whole_pages(place, n_same) }
}

/// A write that is killed ends where a page of the file does. If something else follows in the file, what is the
/// same by chance is not counted.
fn whole_pages(place: u64, n_same: usize) -> usize {
    let beyond = (place + n_same as u64) % PAGE;
    usize::try_from((n_same as u64).saturating_sub(beyond)).unwrap_or(0)
}

/// The least that a kernel writes in one piece.
const PAGE: u64 = 4096;

/// Fills a buffer from a place in the file that an intent is about, as far as that goes. The file is at this path, or was
/// just rotated.
///
/// # Errors
/// NotFound if it is at neither place; the system's.
pub fn read_file(path: &Path, intent: &WriteIntent, place: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let expected = Identity { device: intent.device, inode: intent.inode };
    let names = [path.to_path_buf(), backup_name(path, 1)];
    let file = names.iter().find_map(|name| {
        let (file, stat) = files::open::to_read(name).ok()??;
        (open::Facts::from(stat).identity == expected).then_some(file)
    });
    let file = file.ok_or(io::ErrorKind::NotFound)?;
    let mut n_read = 0;
    while n_read < buffer.len() {
        match file.read_at(&mut buffer[n_read..], place + n_read as u64) {
            Ok(0) => break,
            Ok(n) => n_read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n_read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_cursor_is_believed_as_far_as_it_can_be_right() {
        let batch = |done, end, work| Batch { done, end, work, ..Batch::default() };
        let nothing = |done| batch(done, done, Work::Nothing);
        for (found, replay_from, acked_to, size, expected) in [
            // Fresh.
            (nothing(0), 0, 0, 0, (0, 0, nothing(0))),
            (nothing(0), 0, 0, 900, (0, 0, nothing(0))),
            // Nothing under way, something held back, something not acked_to.
            (nothing(50), 40, 45, 90, (40, 45, nothing(50))),
            (batch(50, 80, Work::Bytes), 50, 50, 90, (50, 50, batch(50, 80, Work::Bytes))),
            (batch(50, 50, Work::Finish), 30, 50, 90, (30, 50, batch(50, 50, Work::Finish))),
            // Impossible.
            (nothing(50), 60, 70, 90, (50, 50, nothing(50))),
            (nothing(50), 60, 10, 90, (10, 10, nothing(50))),
            (nothing(50), 0, 0, 20, (0, 0, nothing(20))),
            (batch(50, 40, Work::Bytes), 50, 50, 90, (50, 50, nothing(50))),
            (batch(50, 95, Work::Bytes), 50, 50, 90, (50, 50, nothing(50))),
            (batch(0, 90_000, Work::Bytes), 0, 0, 90_000, (0, 0, nothing(0))),
        ] {
            let plan = plan_for(found, replay_from, acked_to, size);
            assert_eq!(
                (plan.replay_from, plan.acked_to, plan.batch),
                expected,
                "{found:?} {replay_from} {acked_to} {size}"
            );
        }
    }

    #[test]
    fn what_was_taken_is_within_the_batch() {
        for (begin, length, written, expected) in [
            (0, 10, 0, 0),
            (0, 10, 4, 4),
            (0, 10, 10, 10),
            (100, 10, 30, 0),
            (100, 10, 103, 3),
            (100, 10, 999, 10),
        ] {
            assert_eq!(n_taken(begin, length, written), expected, "{begin} {length} {written}");
        }
    }

    /// A file with this content; a batch with this output, which begins at 100, was being written at this offset when
    /// `at` bytes had been written and `length` were to be.
    #[track_caller]
    fn check(file: &[u8], output: &[u8], (offset, length, at): (u64, u64, u64), expected: usize) {
        let intent = WriteIntent { device: 1, inode: 2, offset, length, at };
        let read = |place: u64, buffer: &mut [u8]| {
            let rest = usize::try_from(place).ok().and_then(|place| file.get(place..)).unwrap_or_default();
            let n_bytes = rest.len().min(buffer.len());
            buffer[..n_bytes].copy_from_slice(&rest[..n_bytes]);
            Ok(n_bytes)
        };
        assert_eq!(n_found(100, output, &intent, read), expected);
    }

    #[test]
    fn the_file_tells_how_much_was_written() {
        // Nothing, a part, all.
        check(b"old\n", b"new\n", (4, 4, 100), 0);
        check(b"old\nne", b"new\n", (4, 4, 100), 2);
        check(b"old\nnew\n", b"new\n", (4, 4, 100), 4);
        // Truncated by somebody.
        check(b"", b"new\n", (4, 4, 100), 0);
        check(b"ol", b"new\n", (4, 4, 100), 0);
        // Somebody has appended to all of it, or to nothing.
        check(b"old\nnew\nmore\n", b"new\n", (4, 4, 100), 4);
        check(b"old\nnext\n", b"new\n", (4, 4, 100), 0);
        // The second piece of a batch, and then a third.
        check(b"one\ntwo\n", b"one\ntwo\nthree\n", (4, 4, 104), 8);
        check(b"one\n", b"one\ntwo\nthree\n", (4, 4, 104), 4);
        check(b"one\ntwo\n", b"one\ntwo\ntwo\n", (4, 4, 104), 8);
        // What had waited since before the batch goes with it.
        check(b"ab\nnew", b"new\n", (0, 7, 97), 3);
        check(b"a", b"new\n", (0, 7, 97), 0);
        check(b"ab\n", b"new\n", (0, 3, 97), 0);
        check(b"ab\n", b"new\n", (0, 2, 97), 0);
    }

    #[test]
    fn only_whole_pages_count_when_somebody_has_written_behind() {
        let output = [b'x'; 10_000];
        let mut file = vec![b'x'; 4096];
        file.extend(b"xx and more");
        check(&file, &output, (0, 10_000, 100), 4096);
        check(&file, &output, (100, 10_000, 100), 3996);
        check(b"xx and more", &output, (0, 10_000, 100), 0);
    }

    #[test]
    fn a_file_that_is_gone_has_nothing() {
        let intent = WriteIntent { device: 1, inode: 2, offset: 0, length: 4, at: 100 };
        assert_eq!(n_found(100, b"new\n", &intent, |_, _| Err(io::ErrorKind::NotFound.into())), 0);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert!(read_file(&path, &intent, 0, &mut [0; 4]).is_err());
        std::fs::write(&path, "other").unwrap();
        assert!(read_file(&path, &intent, 0, &mut [0; 4]).is_err());
        let facts = open::facts(File::open(&path).unwrap()).unwrap();
        let Identity { device, inode } = facts.identity;
        let intent = WriteIntent { device, inode, ..intent };
        std::fs::rename(&path, backup_name(&path, 1)).unwrap();
        let mut buffer = [0; 9];
        assert_eq!(read_file(&path, &intent, 2, &mut buffer).unwrap(), 3);
        assert_eq!(&buffer[..3], b"her");
    }
}
