//! One regular file that logs are written to: size, rotation, and whatever others do to it meanwhile.
//!
//! Nobody writes in append mode, because the kernel does not splice into such a file. Every write names its
//! offset, which is the size the file has at that moment: a truncation from outside leaves no hole, and what
//! somebody else appended stays. That needs one writer per file, so streams that were given the same name
//! (the stdout and stderr of a program, say) share one [`SharedFile`] through its lock.

use crate::files::location::Missing;
use crate::files::{self, open::Opened, trust};
use crate::log::drain::handoff;
use crate::log::sinks::open::{self, Facts, Identity};
use crate::log::sinks::rotate;
use crate::log::spool::tee;
use crate::shm::cursor::{SinkCursor, WriteIntent};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::pipe::SpliceFlags;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How often a file that is written to is looked up by its name, to notice that it was moved away.
const CHECK_NAME_EVERY: Duration = Duration::from_secs(1);

/// So many bytes beyond its limit a file waits for the end of a line, so that no line is cut in two.
const OVERHANG: u64 = 64 * 1024;

/// So long after the last write, too.
const LINE_PATIENCE: Duration = Duration::from_secs(1);

/// How long a rotation that failed is left alone. The file grows beyond its limit meanwhile.
const ROTATE_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// When a file is full and how many older ones are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes; 0 never rotates.
    pub maxbytes: u64,
    /// 0 truncates the file instead of keeping it.
    pub backups: u32,
}

/// How what was just written ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// With a line: here one file may end and the next begin.
    Line,
    /// Within a line.
    Within,
    /// Nobody has looked.
    Unknown,
}

/// A file that has reached its limit within a line.
#[derive(Clone, Copy, Debug)]
struct Overhang {
    /// The size at which that was noticed.
    began: u64,
    /// When something was last written.
    at: Instant,
}

/// What a write did.
#[derive(Debug)]
pub struct Written {
    /// May be fewer than asked for, and 0 only if nothing was there to be written.
    pub n_bytes: usize,
    /// Whether it ended because the file was full, or because no more was allowed.
    pub was_cut: bool,
    /// Something worth a line in the activity log that did not keep the bytes from being written.
    pub notice: Option<String>,
}

/// What a successor has to know of a write if we are killed in it.
#[derive(Clone, Copy, Debug)]
pub struct IntentSlot {
    pub cursor: &'static SinkCursor,
    /// How many bytes of the stream were written before.
    pub at: u64,
}

impl IntentSlot {
    /// Does a write. Whoever finds this under way sees from the file how far it came.
    fn record(
        self,
        identity: Identity,
        offset: u64,
        length: usize,
        write: impl FnOnce() -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let IntentSlot { cursor, at } = self;
        let Identity { device, inode } = identity;
        cursor.begin_write(&WriteIntent { device, inode, offset, length: length as u64, at });
        let result = write();
        cursor.finish_write(at + result.unwrap_or(0) as u64);
        result
    }
}

/// A log file and its lock. Clones share the file.
#[derive(Clone, Debug)]
pub struct SharedFile(Arc<Mutex<LogFile>>);

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    /// For a file that has to be created, before the umask.
    mode: u32,
    file: File,
    identity: Identity,
    name_checked: Instant,
    /// Set while rotating does not work.
    rotate_after: Option<Instant>,
    /// Set while the file is full and the end of a line is waited for.
    overhang: Option<Overhang>,
    /// The streams whose raw output is all that they write here; see [`handoff`].
    registered: Vec<u64>,
}

/// Every open log file.
static OPEN_FILES: Mutex<OpenFiles> = Mutex::new(OpenFiles { by_name: None, sweep_at: 0 });

struct OpenFiles {
    /// By their resolved names. Closed ones stay until the next sweep.
    by_name: Option<HashMap<PathBuf, Weak<Mutex<LogFile>>>>,
    /// How many names there are when the closed ones are looked for: twice as many as were open the last time, so that
    /// a thousand logs are not looked through a thousand times.
    sweep_at: usize,
}

impl OpenFiles {
    fn insert(&mut self, name: PathBuf, file: &Arc<Mutex<LogFile>>) {
        let by_name = self.by_name.get_or_insert_default();
        if by_name.len() >= self.sweep_at {
            by_name.retain(|_, file| file.strong_count() > 0);
            self.sweep_at = 2 * by_name.len() + 16;
        }
        by_name.insert(name, Arc::downgrade(file));
    }
}

impl SharedFile {
    /// Takes over a just opened regular file, or joins those who have it open already.
    pub fn join(path: &Path, mode: u32, file: File, facts: Facts) -> SharedFile {
        // Of what was opened, not of what the path means by now.
        let name = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let name = name.unwrap_or_else(|_| path.to_path_buf());
        let mut open_files = OPEN_FILES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open_files.by_name.as_ref().and_then(|open| open.get(&name)?.upgrade()) {
            return SharedFile(known);
        }
        let (path, identity) = (path.to_path_buf(), facts.identity);
        let (name_checked, rotate_after, overhang, registered) = (Instant::now(), None, None, Vec::new());
        let log_file =
            LogFile { path, mode, file, identity, name_checked, rotate_after, overhang, registered };
        let shared = Arc::new(Mutex::new(log_file));
        open_files.insert(name, &shared);
        SharedFile(shared)
    }

    fn lock(&self) -> MutexGuard<'_, LogFile> {
        // Every method leaves the file usable at every step, so a panic elsewhere does not matter.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves at most `max` bytes from a pipe into the file, up to the first line that ends at or after the rotation limit.
    ///
    /// They never enter our memory: a kill at any instant loses and doubles nothing.
    ///
    /// # Errors
    /// EAGAIN if the pipe is empty, EINVAL if this file system cannot splice, ENOSPC and the like; the bytes
    /// are in the pipe still.
    pub fn splice(&self, pipe: impl AsFd, max: usize, limits: Limits) -> io::Result<Written> {
        let mut length = 0;
        let written = self.lock().write_with(limits, |file, _, offset, room| {
            let ending;
            (length, ending) = splice_length(&pipe, max, room)?;
            let mut offset = offset;
            let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
            let n_bytes = rustix::pipe::splice(&pipe, None, file, Some(&mut offset), length, flags)?;
            Ok((n_bytes, if n_bytes == length { ending } else { Ending::Within }))
        });
        // A splice that does not wait ends early only if the pipe is empty, or the disk full.
        written.map(|written| Written { was_cut: written.n_bytes == length, ..written })
    }

    /// Appends the beginning of `bytes`, up to the first line that ends at or after the rotation limit.
    ///
    /// # Errors
    /// The system's; nothing was written then.
    pub fn append(&self, bytes: &[u8], limits: Limits) -> io::Result<Written> {
        self.append_as(bytes, limits, None)
    }

    /// The same, leaving word of it for a successor while nobody else can write to the file.
    ///
    /// # Errors
    /// As [`SharedFile::append`].
    pub fn append_as(&self, bytes: &[u8], limits: Limits, intent: Option<IntentSlot>) -> io::Result<Written> {
        self.lock().write_with(limits, |file, identity, offset, room| {
            let (length, ending) = append_length(bytes, room);
            let piece = &bytes[..length];
            let write = || rustix::io::retry_on_intr(|| rustix::io::pwrite(file, piece, offset));
            let n_bytes = match intent {
                Some(slot) => slot.record(identity, offset, length, write)?,
                None => write()?,
            };
            Ok((n_bytes, if n_bytes == length { ending } else { Ending::Within }))
        })
    }

    /// Opens the file of this name again, whatever has become of the one that is open.
    ///
    /// # Errors
    /// The system's; the old file stays in use.
    pub fn reopen(&self) -> io::Result<()> {
        self.lock().reopen()
    }

    /// From now on the output of this stream may be moved here while there is no manager. `held` is what is in
    /// custody for it already.
    pub fn register(&self, stream: u64, held: Option<impl AsFd>) {
        let mut log_file = self.lock();
        let is_held =
            held.is_some_and(|held| open::facts(held).is_ok_and(|facts| facts.identity == log_file.identity));
        if is_held {
            handoff::confirm_log(stream);
        } else {
            handoff::register_log(&[stream], &log_file.file);
        }
        if !log_file.registered.contains(&stream) {
            log_file.registered.push(stream);
        }
    }

    /// Ends what [`SharedFile::register`] began.
    pub fn unregister(&self, stream: u64) {
        let mut log_file = self.lock();
        log_file.registered.retain(|registered| *registered != stream);
        handoff::release(stream);
    }

    /// Empties the file.
    ///
    /// # Errors
    /// The system's.
    pub fn clear(&self) -> io::Result<()> {
        let mut log_file = self.lock();
        log_file.follow_name()?;
        Ok(rustix::fs::ftruncate(&log_file.file, 0)?)
    }

    /// Cuts the file to the size it had when something was last known to be written completely.
    ///
    /// # Errors
    /// The system's.
    pub fn cut(&self, size: u64) -> io::Result<()> {
        Ok(rustix::fs::ftruncate(&self.lock().file, size)?)
    }

    /// Whether something stands after the last line's end.
    ///
    /// # Errors
    /// The system's; NotFound if another file has this name by now.
    pub fn ends_within_a_line(&self) -> io::Result<bool> {
        self.lock().ends_within_a_line()
    }

    /// The facts about the file that is open now.
    ///
    /// # Errors
    /// The system's.
    pub fn facts(&self) -> io::Result<Facts> {
        open::facts(&self.lock().file)
    }
}

/// How much of a pipe goes into a file with `room` more bytes until its limit, at most `max`, and how that ends.
///
/// Where the limit may come in between, what is in the pipe is looked at before it is moved, and only whole lines are: a
/// killed manager must not leave the beginning of a line behind which another stream of the same file goes on.
fn splice_length(pipe: impl AsFd, max: usize, room: u64) -> Result<(usize, Ending), Errno> {
    let below = usize::try_from(room.saturating_sub(1)).unwrap_or(usize::MAX);
    if below >= max {
        return Ok((max, Ending::Unknown));
    }
    let waiting = rustix::io::ioctl_fionread(&pipe).map_or(usize::MAX, |waiting| waiting as usize);
    if below > 0 && waiting <= below {
        // Not more than that, should more come meanwhile; nothing is the end, or a pipe to wait for.
        return Ok((if waiting == 0 { below } else { waiting }, Ending::Unknown));
    }
    let mut found = (0, Ending::Unknown);
    let looked = tee::peek(pipe, |bytes| {
        let bytes = &bytes[..bytes.len().min(max)];
        let last_below = bytes[..bytes.len().min(below)].iter().rposition(|byte| *byte == b'\n');
        found = last_below.map_or_else(|| append_length(bytes, room), |newline| (newline + 1, Ending::Line));
    });
    match looked {
        // It is the end of the pipe, which splicing tells as well.
        Ok(0) => Ok((max, Ending::Unknown)),
        Ok(_) => Ok(found),
        Err(Errno::AGAIN) => Err(Errno::AGAIN),
        // No pipe to look into: exactly at the limit, then.
        Err(_) => Ok((max.min(room.max(1) as usize), Ending::Unknown)),
    }
}

/// How much of `bytes` goes into a file with `room` more bytes until its limit, and how that ends.
fn append_length(bytes: &[u8], room: u64) -> (usize, Ending) {
    let from = usize::try_from(room.saturating_sub(1)).unwrap_or(usize::MAX);
    let Some(rest) = bytes.get(from..).filter(|rest| !rest.is_empty()) else {
        return (bytes.len(), Ending::Unknown);
    };
    match rest.iter().position(|byte| *byte == b'\n') {
        Some(newline) => (from + newline + 1, Ending::Line),
        None => (from + rest.len().min(OVERHANG as usize + 1), Ending::Within),
    }
}

impl LogFile {
    /// Does one write at the end of the file, and rotates when that has filled it. `write` is told which file it is,
    /// where it ends, and how much more fits; it says how much it wrote and how that ends.
    fn write_with(
        &mut self,
        limits: Limits,
        write: impl FnOnce(&File, Identity, u64, u64) -> Result<(usize, Ending), Errno>,
    ) -> io::Result<Written> {
        let mut size = self.follow_name()?.size;
        let mut notice = None;
        if self.is_full(size, limits) && !self.waits_for_line_end(size) {
            // Somebody else's oversized file, or a predecessor's that was killed before it could rotate, or a line
            // whose end does not come.
            notice = self.rotate(limits);
            size = open::facts(&self.file)?.size;
        }
        let room = if self.may_rotate(limits) { limits.maxbytes.saturating_sub(size) } else { u64::MAX };
        let (n_bytes, ending) = write(&self.file, self.identity, size, room)?;
        size += n_bytes as u64;
        if n_bytes > 0 && self.is_full(size, limits) {
            if ending == Ending::Within {
                let began = self.overhang.map_or(limits.maxbytes, |overhang| overhang.began);
                self.overhang = Some(Overhang { began, at: Instant::now() });
            }
            if ending != Ending::Within || !self.waits_for_line_end(size) {
                notice = self.rotate(limits);
            }
        }
        Ok(Written { n_bytes, was_cut: false, notice })
    }

    /// Whether a full file is to take more, because it ends within a line that may go on.
    fn waits_for_line_end(&mut self, size: u64) -> bool {
        match self.overhang {
            Some(Overhang { began, at }) => {
                size.saturating_sub(began) < OVERHANG && at.elapsed() < LINE_PATIENCE
            }
            // It was full when we came.
            None => {
                let waits = self.ends_within_a_line().unwrap_or(false) && self.was_just_written();
                self.overhang = waits.then(|| Overhang { began: size, at: Instant::now() });
                waits
            }
        }
    }

    fn was_just_written(&self) -> bool {
        let modified = self.file.metadata().and_then(|metadata| metadata.modified());
        modified.is_ok_and(|modified| modified.elapsed().unwrap_or_default() < LINE_PATIENCE)
    }

    fn ends_within_a_line(&self) -> io::Result<bool> {
        // The one that is open cannot be read.
        let (file, stat) = files::open::to_read(&self.path)?.ok_or(io::ErrorKind::NotFound)?;
        let facts = Facts::from(stat);
        if facts.identity != self.identity {
            return Err(io::ErrorKind::NotFound.into());
        }
        let Some(last) = facts.size.checked_sub(1) else { return Ok(false) };
        let mut byte = [b'\n'];
        // The end of the file by now, if it was emptied meanwhile.
        let _ = file.read_at(&mut byte, last)?;
        Ok(byte != [b'\n'])
    }

    /// The facts about the open file, after opening another if the name leads elsewhere by now.
    fn follow_name(&mut self) -> io::Result<Facts> {
        let facts = open::facts(&self.file)?;
        if facts.linked && self.name_checked.elapsed() < CHECK_NAME_EVERY {
            return Ok(facts);
        }
        self.name_checked = Instant::now();
        match open::facts_at(&self.path) {
            Ok(named) if named.identity == self.identity => Ok(facts),
            Ok(_) | Err(_) => match self.reopen() {
                Ok(()) => open::facts(&self.file),
                // It was moved to where we may not make another: it is still the log that people find.
                Err(_) if facts.linked => Ok(facts),
                Err(error) => Err(error),
            },
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        match files::open::for_writing(&self.path, self.mode, Missing::Make)? {
            Opened::File(fd, stat) => {
                self.use_instead(fd.into(), stat.into());
                Ok(())
            }
            Opened::Device(_) | Opened::Stream(_) => Err(io::Error::other("it is no longer a regular file")),
        }
    }

    fn use_instead(&mut self, file: File, facts: Facts) {
        // Before anything is written to it: whoever takes our place must not go on with the old one.
        handoff::register_log(&self.registered, &file);
        (self.file, self.identity, self.name_checked) = (file, facts.identity, Instant::now());
        self.overhang = None;
    }

    /// Makes the file that follows one which has just been renamed.
    fn make_next(&mut self, old: Facts) -> io::Result<()> {
        let restricted = trust::mode_after((old.owner, old.mode), rustix::process::geteuid().as_raw());
        // Not readable for anybody who could not read the last one, not even for a moment.
        match files::open::new(&self.path, restricted.map_or(self.mode, |_| open::PRIVATE_MODE)) {
            Ok(file) => {
                if let Some(mode) = restricted {
                    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
                }
                let facts = open::facts(&file)?;
                self.use_instead(file, facts);
                Ok(())
            }
            // Somebody was faster; what is there is judged like any other file.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.reopen(),
            Err(error) => Err(error),
        }
    }

    fn may_rotate(&self, limits: Limits) -> bool {
        limits.maxbytes > 0 && self.rotate_after.is_none_or(|moment| moment <= Instant::now())
    }

    fn is_full(&self, size: u64, limits: Limits) -> bool {
        self.may_rotate(limits) && size >= limits.maxbytes
    }

    /// Starts a new file. What went wrong, if anything, is for the activity log; writing goes on regardless.
    fn rotate(&mut self, limits: Limits) -> Option<String> {
        let was_failing = self.rotate_after.is_some();
        match self.try_rotate(limits) {
            Ok(()) => {
                self.rotate_after = None;
                None
            }
            Err(error) => {
                self.rotate_after = Some(Instant::now() + ROTATE_AGAIN_AFTER);
                let path = self.path.display();
                let text = format!("could not rotate log file {path}: {error}; trying again in 60 seconds");
                (!was_failing).then_some(text)
            }
        }
    }

    fn try_rotate(&mut self, limits: Limits) -> io::Result<()> {
        if limits.backups == 0 {
            self.overhang = None;
            return Ok(rustix::fs::ftruncate(&self.file, 0)?);
        }
        // Only our own file is moved: if the name leads to another one by now, that is the new file.
        match open::facts_at(&self.path) {
            Ok(facts) if facts.identity == self.identity => {
                rotate::shift(&self.path, limits.backups)?;
                self.make_next(facts)
            }
            _ => self.reopen(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{read, write};
    use std::os::unix::fs::PermissionsExt;

    fn open_shared(path: &Path) -> SharedFile {
        let opened = files::open::for_writing(path, open::PLAIN_MODE, Missing::Make).unwrap();
        let Opened::File(file, stat) = opened else { panic!("not a regular file") };
        SharedFile::join(path, open::PLAIN_MODE, file.into(), stat.into())
    }

    fn append_all(file: &SharedFile, mut bytes: &[u8], limits: Limits) {
        while !bytes.is_empty() {
            let written = file.append(bytes, limits).unwrap();
            assert_eq!(written.notice, None);
            bytes = &bytes[written.n_bytes..];
        }
    }

    /// Appends pieces to a fresh file, and moves them there from a pipe; what is in `f`, `f.1`, ... afterwards.
    #[track_caller]
    fn check(maxbytes: u64, backups: u32, pieces: &[&str], files: &[&str]) {
        let limits = Limits { maxbytes, backups };
        for spliced in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("f");
            let file = open_shared(&path);
            for piece in pieces {
                if spliced {
                    splice_all(&file, piece.as_bytes(), limits);
                } else {
                    append_all(&file, piece.as_bytes(), limits);
                }
            }
            let names = std::iter::once(path.clone()).chain((1..).map(|i| rotate::backup_name(&path, i)));
            let found: Vec<String> = names
                .map_while(|name| read(name).ok())
                .map(|bytes| String::from_utf8(bytes).unwrap())
                .collect();
            assert_eq!(found, files, "spliced: {spliced}");
        }
    }

    fn splice_all(file: &SharedFile, bytes: &[u8], limits: Limits) {
        let flags = rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK;
        let (from, to) = rustix::pipe::pipe_with(flags).unwrap();
        rustix::pipe::fcntl_setpipe_size(&from, 1 << 20).unwrap();
        assert_eq!(rustix::io::write(&to, bytes).unwrap(), bytes.len());
        while rustix::io::ioctl_fionread(&from).unwrap() > 0 {
            assert_eq!(file.splice(&from, 1 << 20, limits).unwrap().notice, None);
        }
    }

    #[test]
    fn a_file_ends_with_the_first_line_at_its_limit_or_after() {
        check(10, 5, &["123456789\n"], &["", "123456789\n"]);
        check(10, 5, &["12345678\n"], &["12345678\n"]);
        check(10, 5, &["1234567890\n"], &["", "1234567890\n"]);
        check(10, 5, &["1234567\nabcdef\nx\n"], &["x\n", "1234567\nabcdef\n"]);
        check(10, 5, &["1234567\n", "abc", "def\n", "x\n"], &["x\n", "1234567\nabcdef\n"]);
        check(10, 1, &["123456789\n", "abcdefghi\n", "x\n"], &["x\n", "abcdefghi\n"]);
        check(10, 0, &["123456789\n", "x\n"], &["x\n"]);
        check(1, 3, &["a\nb\nc\nd\n"], &["", "d\n", "c\n", "b\n"]);
        check(0, 3, &["1234567890\n1234567890\n"], &["1234567890\n1234567890\n"]);
        check(10, 5, &["no line's end yet"], &["no line's end yet"]);
    }

    /// Else a manager that is killed then leaves one to which another stream of the file adds its own.
    #[test]
    fn no_splice_ends_within_a_line_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let (file, limits) = (open_shared(&path), Limits { maxbytes: 25, backups: 99 });
        let (from, to) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        let lines = "a line\n".repeat(50) + &"a line of more than the limit has room for\n".repeat(2);
        assert_eq!(rustix::io::write(&to, lines.as_bytes()).unwrap(), lines.len());
        let mut left = lines.as_str();
        while !left.is_empty() {
            let n_bytes = file.splice(&from, 1 << 20, limits).unwrap().n_bytes;
            assert!(left[..n_bytes].ends_with('\n'), "{:?}", &left[..n_bytes]);
            left = &left[n_bytes..];
        }
    }

    #[test]
    fn a_line_without_end_is_cut_in_the_end() {
        let long = "x".repeat(100_000);
        let (first, rest) = (10 + 65_536, 100_000 - 10 - 65_536);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        append_all(&open_shared(&path), long.as_bytes(), Limits { maxbytes: 10, backups: 2 });
        let sizes = |path: &Path| read(path).unwrap().len();
        assert!(sizes(&dir.path().join("f.1")).abs_diff(first) <= 1);
        assert!(sizes(&path).abs_diff(rest) <= 1);
    }

    #[test]
    fn a_line_whose_end_does_not_come_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let (file, limits) = (open_shared(&path), Limits { maxbytes: 10, backups: 2 });
        append_all(&file, b"a prompt without a line's end> ", limits);
        // As if that had been a while ago.
        file.lock().overhang.as_mut().unwrap().at -= LINE_PATIENCE;
        append_all(&file, b"more", limits);
        assert_eq!(read(&path).unwrap(), b"more");
    }

    #[test]
    fn an_oversized_file_is_rotated_first() {
        for (text, own) in [("old\n", true), ("old", false)] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("f");
            write(&path, text.repeat(9)).unwrap();
            append_all(&open_shared(&path), b"\nnew\n", Limits { maxbytes: 10, backups: 2 });
            // Whoever was killed within a line has it ended, and only then its file.
            let (first, last) =
                if own { (text.repeat(9), "\nnew\n") } else { (text.repeat(9) + "\n", "new\n") };
            assert_eq!(read(dir.path().join("f.1")).unwrap(), first.as_bytes());
            assert_eq!(read(&path).unwrap(), last.as_bytes());
        }
    }

    #[test]
    fn a_truncation_from_outside_leaves_no_hole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let (file, limits) = (open_shared(&path), Limits { maxbytes: 0, backups: 0 });
        append_all(&file, b"before", limits);
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        append_all(&file, b"after", limits);
        assert_eq!(read(&path).unwrap(), b"after");
    }

    #[test]
    fn a_deleted_file_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/f");
        let (file, limits) = (open_shared(&path), Limits { maxbytes: 0, backups: 0 });
        append_all(&file, b"before", limits);
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        append_all(&file, b"after", limits);
        assert_eq!(read(&path).unwrap(), b"after");
    }

    #[test]
    fn a_moved_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("f"), dir.path().join("moved"));
        let (file, limits) = (open_shared(&path), Limits { maxbytes: 0, backups: 0 });
        append_all(&file, b"before", limits);
        std::fs::rename(&path, &moved).unwrap();
        // As if the name had last been looked up a while ago.
        file.lock().name_checked -= CHECK_NAME_EVERY;
        append_all(&file, b"after", limits);
        assert_eq!((read(&path).unwrap(), read(&moved).unwrap()), (b"after".to_vec(), b"before".to_vec()));
    }

    #[test]
    fn a_moved_file_goes_on_if_there_can_be_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("sub/f"), dir.path().join("f"));
        let (file, limits) = (open_shared(&path), Limits { maxbytes: 0, backups: 0 });
        std::fs::rename(&path, &moved).unwrap();
        std::fs::remove_dir(dir.path().join("sub")).unwrap();
        write(dir.path().join("sub"), "in the way").unwrap();
        file.lock().name_checked -= CHECK_NAME_EVERY;
        append_all(&file, b"text", limits);
        assert_eq!(read(&moved).unwrap(), b"text");
    }

    #[test]
    fn the_next_file_has_the_mode_of_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = open_shared(&path);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        append_all(&file, b"0123456789\nab", Limits { maxbytes: 10, backups: 2 });
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn two_names_of_one_file_share_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let (one, two) = (open_shared(&path), open_shared(&dir.path().join(".").join("f")));
        assert!(Arc::ptr_eq(&one.0, &two.0));
    }

    #[test]
    fn a_rotation_that_fails_does_not_stop_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        // A directory that is not empty cannot be replaced by a file.
        std::fs::create_dir_all(dir.path().join("f.1/in the way")).unwrap();
        let (file, limits) = (open_shared(&path), Limits { maxbytes: 10, backups: 1 });
        let written = file.append(b"012345678\n", limits).unwrap();
        assert!(written.notice.unwrap().starts_with("could not rotate log file"));
        append_all(&file, b"more", limits);
        assert_eq!(read(&path).unwrap(), b"012345678\nmore");
    }
}
