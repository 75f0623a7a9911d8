//! The queue of messages for one receiver, in memory that outlives us.
//!
//! The queue is a file in memory that the keeper holds as well. Its first page is the index. One write replaces the
//! index, and a write within a page happens completely or not at all. So a successor finds every line that we took, and
//! goes on with the one that is due.
//!
//! A line that was given to the kernel may still be lost: if the connection breaks before the other side has
//! acknowledged it, it is sent again. Only we know which lines these are. A successor assumes that whatever was given to
//! the kernel has arrived, since the kernel goes on with it.

use crate::sys::memory::{self, Sealed};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, pread, pwrite};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// How many bytes wait at most, with 16 more for every message.
pub const CAPACITY: u64 = 256 * 1024;

/// The page that says what there is.
const HEAD: u64 = 4096;

/// The part of the file that one queue takes.
pub const REGION: u64 = HEAD + CAPACITY;

/// Memory is given back once nothing waits if more than this was used.
const KEPT: u64 = 16 * 1024;

/// "SUPVSLOG" as a number.
const MAGIC: u64 = u64::from_le_bytes(*b"SUPVSLOG");

const N_WORDS: usize = 8;
const N_HEADER: usize = 16;

/// The queue of one stream for one receiver.
#[derive(Debug)]
pub struct Queue {
    file: Arc<OwnedFd>,
    base: u64,
    state: State,
    /// Everything before it has arrived, as far as we know, and makes room.
    arrived: u64,
    /// What is to be sent next.
    next: u64,
    /// How much of the region was ever used since memory was given back.
    most_used: u64,
}

/// What the first page says. Positions count bytes since the queue was last empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    /// A successor begins here.
    sent: u64,
    end: u64,
    /// How far the queue has come in the stream's lines.
    taken: u64,
    note: Note,
}

/// What a successor has to know of how things stand..
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// Since when the receiver does not work, on the monotonic clock in nanoseconds; 0 while it does.
    pub down_since: u64,
    /// Whether the activity log has that.
    pub is_logged: bool,
    /// How many bytes were dropped that no line of the log tells of.
    pub n_dropped: u64,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The process that wrote it.
    pub pid: i32,
    /// When it was written, in nanoseconds since the epoch.
    pub wall: u64,
    /// What the line says; the header is made when it is sent.
    pub text: String,
    /// Where the next one begins.
    pub end: u64,
}

impl Queue {
    /// A file for the queues of a stream.
    ///
    /// # Errors
    /// Out of descriptors, mostly.
    pub fn new_file() -> io::Result<OwnedFd> {
        let file = memory::new_file("supervisord-syslog")?;
        memory::seal(&file, Sealed::MayGrow);
        Ok(file)
    }

    /// The queue with this number in a file, as a predecessor left it, or empty.
    pub fn open(file: Arc<OwnedFd>, number: u64) -> Queue {
        let base = number * REGION;
        let found = read_state(&file, base);
        let state = found.unwrap_or_default();
        let mut queue =
            Queue { file, base, state, arrived: state.sent, next: state.sent, most_used: CAPACITY };
        if found.is_none() {
            queue.publish();
        }
        queue
    }

    /// How far the queue has come in the stream's lines.
    pub fn taken(&self) -> u64 {
        self.state.taken
    }

    /// Says that another count of the stream's lines begins.
    pub fn restart_count(&mut self) {
        self.state.taken = 0;
        self.publish();
    }

    /// How things stand, for a successor.
    pub fn note(&self) -> Note {
        self.state.note
    }

    /// Says how things stand.
    pub fn set_note(&mut self, note: Note) {
        if note != self.state.note {
            self.state.note = note;
            self.publish();
        }
    }

    /// Whether everything was given to the kernel.
    pub fn is_sent(&self) -> bool {
        self.next == self.state.end
    }

    /// Whether everything has arrived.
    pub fn is_empty(&self) -> bool {
        self.arrived == self.state.end
    }

    /// How many bytes wait, those that may still have to be sent again included.
    pub fn n_waiting(&self) -> u64 {
        self.state.end - self.arrived
    }

    /// Appends messages, those of each line or none of them. `lines` has how many bytes of the stream each is about,
    /// and its texts. Returns how many bytes of the stream found no room.
    pub fn put(
        &mut self,
        (pid, wall): (i32, u64),
        lines: impl Iterator<Item = (u64, Vec<String>)>,
        taken: Option<u64>,
    ) -> u64 {
        let (mut bytes, mut n_dropped) = (Vec::new(), 0);
        let room = CAPACITY - self.n_waiting();
        for (n_bytes, texts) in lines {
            let n_before = bytes.len();
            for text in &texts {
                // A message is shorter than 4 GiB.
                bytes.extend_from_slice(&(text.len() as u32).to_ne_bytes());
                bytes.extend_from_slice(&pid.to_ne_bytes());
                bytes.extend_from_slice(&wall.to_ne_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
            if bytes.len() as u64 > room {
                bytes.truncate(n_before);
                n_dropped += n_bytes;
            }
        }
        if self.write(self.state.end, &bytes).is_err() {
            // The system has no memory. None of it is in the queue.
            return self.skip(taken);
        }
        self.state.end += bytes.len() as u64;
        self.state.taken = taken.unwrap_or(self.state.taken);
        self.state.note.n_dropped += n_dropped;
        self.publish();
        n_dropped
    }

    fn skip(&mut self, taken: Option<u64>) -> u64 {
        let n_dropped = taken.map_or(0, |taken| taken.saturating_sub(self.state.taken));
        self.state.taken = taken.unwrap_or(self.state.taken);
        self.state.note.n_dropped += n_dropped;
        self.publish();
        n_dropped
    }

    /// The message that is to be sent next.
    pub fn peek(&mut self) -> Option<Record> {
        if self.is_sent() {
            return None;
        }
        match self.read_record(self.next) {
            Some(record) => Some(record),
            None => {
                // Memory that cannot be read, or that others wrote to.
                self.clear();
                None
            }
        }
    }

    fn read_record(&self, at: u64) -> Option<Record> {
        let mut header = [0; N_HEADER];
        self.read(at, &mut header).ok()?;
        let word = |from: usize| <[u8; 4]>::try_from(&header[from..from + 4]);
        let n_bytes = u32::from_ne_bytes(word(0).ok()?) as usize;
        let pid = i32::from_ne_bytes(word(4).ok()?);
        let wall = u64::from_ne_bytes(<[u8; 8]>::try_from(&header[8..]).ok()?);
        let begin = at + N_HEADER as u64;
        let end = begin + n_bytes as u64;
        if end > self.state.end {
            return None;
        }
        let mut text = vec![0; n_bytes];
        self.read(begin, &mut text).ok()?;
        Some(Record { pid, wall, text: String::from_utf8(text).ok()?, end })
    }

    /// Says that everything before `end` was given to the kernel; with `is_certain` a successor does not send it
    /// again.
    pub fn sent(&mut self, end: u64, is_certain: bool) {
        self.next = end;
        if is_certain {
            self.state.sent = end;
            self.publish();
        }
    }

    /// Says that everything before `end` has arrived.
    pub fn arrived(&mut self, end: u64) {
        self.arrived = end;
        if self.arrived == self.state.end {
            self.clear();
        } else if self.state.sent < end {
            self.state.sent = end;
            self.publish();
        }
    }

    /// Says that what may not have arrived is to be sent again.
    pub fn rewind(&mut self) {
        self.next = self.arrived;
        if self.state.sent != self.arrived {
            self.state.sent = self.arrived;
            self.publish();
        }
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        (self.arrived, self.next) = (0, 0);
        (self.state.sent, self.state.end) = (0, 0);
        self.publish();
        if std::mem::take(&mut self.most_used) > KEPT {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = fallocate(&self.file, flags, self.base + HEAD, CAPACITY);
        }
    }

    fn publish(&mut self) {
        let State { sent, end, taken, note } = self.state;
        let Note { down_since, is_logged, n_dropped } = note;
        let words: [u64; N_WORDS] = [MAGIC, sent, end, taken, n_dropped, down_since, u64::from(is_logged), 0];
        let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_ne_bytes).collect();
        // The page exists since the first time, so this does not fail for want of memory.
        let _ = write_all(&self.file, self.base, &bytes);
    }

    /// Writes into the ring.
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Errno> {
        let (place, n_first) = self.split(at, bytes.len());
        let (first, second) = bytes.split_at(n_first);
        write_all(&self.file, self.base + HEAD + place, first)?;
        write_all(&self.file, self.base + HEAD, second)?;
        let used = if second.is_empty() { place + n_first as u64 } else { CAPACITY };
        self.most_used = self.most_used.max(used);
        Ok(())
    }

    fn read(&self, at: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let (place, n_first) = self.split(at, buffer.len());
        let (first, second) = buffer.split_at_mut(n_first);
        read_all(&self.file, self.base + HEAD + place, first)?;
        read_all(&self.file, self.base + HEAD, second)
    }

    /// Where in the ring a position is, and how many of so many bytes lie before the ring's end.
    fn split(&self, at: u64, n_bytes: usize) -> (u64, usize) {
        let place = at % CAPACITY;
        let n_before_end = usize::try_from(CAPACITY - place).unwrap_or(usize::MAX);
        (place, n_bytes.min(n_before_end))
    }
}

fn read_state(file: &OwnedFd, base: u64) -> Option<State> {
    let mut bytes = [0; 8 * N_WORDS];
    read_all(file, base, &mut bytes).ok()?;
    let mut words = [0; N_WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_ne_bytes(bytes.try_into().ok()?);
    }
    let [magic, sent, end, taken, n_dropped, down_since, is_logged, _] = words;
    let note = Note { down_since, is_logged: is_logged == 1, n_dropped };
    let is_sound = magic == MAGIC && end.checked_sub(sent).is_some_and(|n_waiting| n_waiting <= CAPACITY);
    is_sound.then_some(State { sent, end, taken, note })
}

fn write_all(file: &OwnedFd, mut at: u64, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let n_bytes = rustix::io::retry_on_intr(|| pwrite(file, bytes, at))?;
        (at, bytes) = (at + n_bytes as u64, &bytes[n_bytes..]);
    }
    Ok(())
}

fn read_all(file: &OwnedFd, mut at: u64, mut buffer: &mut [u8]) -> Result<(), Errno> {
    while !buffer.is_empty() {
        match rustix::io::retry_on_intr(|| pread(file, &mut *buffer, at))? {
            0 => return Err(Errno::IO),
            n_bytes => (at, buffer) = (at + n_bytes as u64, &mut buffer[n_bytes..]),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Arc<OwnedFd> {
        Arc::new(Queue::new_file().unwrap())
    }

    fn put(queue: &mut Queue, texts: &[&str], taken: Option<u64>) -> u64 {
        let lines = texts.iter().map(|text| (text.len() as u64 + 1, vec![text.to_string()]));
        queue.put((7, 8), lines, taken)
    }

    fn send(queue: &mut Queue) -> Option<String> {
        let record = queue.peek()?;
        assert_eq!((record.pid, record.wall), (7, 8));
        queue.sent(record.end, true);
        Some(record.text)
    }

    #[test]
    fn what_was_not_sent_is_there_for_a_successor() {
        let file = file();
        let mut queue = Queue::open(Arc::clone(&file), 1);
        assert_eq!(put(&mut queue, &["one", "two", "three"], Some(14)), 0);
        assert_eq!(send(&mut queue).as_deref(), Some("one"));
        queue.set_note(Note { down_since: 3, is_logged: true, n_dropped: 5 });
        let mut successor = Queue::open(file, 1);
        assert_eq!((successor.taken(), successor.note()), (14, queue.note()));
        assert_eq!(send(&mut successor).as_deref(), Some("two"));
        assert_eq!(send(&mut successor).as_deref(), Some("three"));
        assert!(successor.is_sent() && !successor.is_empty());
        successor.arrived(successor.next);
        assert!(successor.is_empty() && send(&mut successor).is_none());
        assert_eq!(successor.taken(), 14);
    }

    #[test]
    fn what_may_not_have_arrived_is_sent_again_by_us_only() {
        let file = file();
        let of_successor = || Queue::open(Arc::clone(&file), 0).peek().map(|record| record.text);
        let mut queue = Queue::open(Arc::clone(&file), 0);
        put(&mut queue, &["one", "two", "three"], None);
        send(&mut queue);
        let first = queue.next;
        send(&mut queue);
        queue.arrived(first);
        assert_eq!(of_successor().as_deref(), Some("three"));
        queue.rewind();
        assert_eq!(of_successor().as_deref(), Some("two"));
        let record = queue.peek().unwrap();
        assert_eq!(record.text, "two");
        // What is not certain is sent by a successor, too.
        queue.sent(record.end, false);
        assert_eq!(of_successor().as_deref(), Some("two"));
    }

    #[test]
    fn it_takes_whole_lines_as_long_as_there_is_room() {
        let mut queue = Queue::open(file(), 0);
        let long = "x".repeat(60_000);
        let lines = (0..5).map(|_| (60_001, vec![long.clone()]));
        assert_eq!(queue.put((7, 8), lines, Some(300_005)), 60_001);
        // A shorter one still fits; a line of two messages is taken whole or not at all.
        assert_eq!(put(&mut queue, &["short"], None), 0);
        let two = [(40_000, vec!["y".repeat(20_000), "z".repeat(20_000)])].into_iter();
        assert_eq!(queue.put((7, 8), two, None), 40_000);
        assert_eq!(queue.note().n_dropped, 100_001);
        for _ in 0..4 {
            assert_eq!(send(&mut queue).as_ref(), Some(&long));
        }
        assert_eq!(send(&mut queue).as_deref(), Some("short"));
        assert_eq!(send(&mut queue), None);
    }

    #[test]
    fn it_goes_round_and_gives_memory_back() {
        let file = file();
        let mut queue = Queue::open(Arc::clone(&file), 0);
        let texts: Vec<String> = (0..3000).map(|number| format!("{number:0300}")).collect();
        put(&mut queue, &["first"], None);
        for text in &texts {
            // One more than is sent, so that it is never empty.
            assert_eq!(put(&mut queue, &[text], None), 0);
            send(&mut queue);
            queue.arrived(queue.next);
        }
        assert_eq!(send(&mut queue), texts.last().cloned());
        queue.arrived(queue.next);
        // The first page stays.
        assert!(rustix::fs::fstat(&*file).unwrap().st_blocks <= 8);
    }

    #[test]
    fn what_is_broken_is_empty() {
        let file = file();
        for words in [[0; 8], [MAGIC, 9, 5, 0, 0, 0, 0, 0], [MAGIC, 0, CAPACITY + 1, 0, 0, 0, 0, 0]] {
            let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_ne_bytes).collect();
            write_all(&file, 0, &bytes).unwrap();
            assert!(Queue::open(Arc::clone(&file), 0).is_empty());
        }
        let mut queue = Queue::open(Arc::clone(&file), 0);
        put(&mut queue, &["one"], None);
        write_all(&file, HEAD, &[0xff; 4]).unwrap();
        assert_eq!(queue.peek(), None);
        assert!(queue.is_empty());
    }
}
