//! Follows a log as it grows, through rotation and truncation.

use crate::http::live::watch::{Changes, Watcher};
use crate::log::sinks::memory::Ring;
use crate::log::source::LogSource;
use crate::rpc::server::logs;
use crate::rt;
use async_channel::Receiver;
use futures_lite::future;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// How many bytes of the existing log a follower gets first. As in Supervisor, http.py.
const INITIAL: u64 = 1024;

/// How much is read at a time, in bytes.
const PIECE: usize = 64 << 10;

/// Sent where a log was truncated to less than had been sent.
const TRUNCATED: &[u8] = b"==> File truncated <==\n";

/// Where following begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// So many bytes before the end, or at the beginning of a shorter log.
    Tail(u64),
    /// At a former position. If it no longer exists, so many bytes before the end.
    At(Position, u64),
}

/// How far a log was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Device and inode of the file; zeros for a log in memory.
    pub file: (u64, u64),
    /// How many of its bytes were read.
    pub at: u64,
}

/// The next piece of a log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    /// It was truncated to less than had been read. Reading restarts at its beginning.
    Truncated,
}

/// Follows a log, in a file or in memory.
#[derive(Debug)]
pub(crate) enum Follower {
    File(FileFollower),
    Memory(RingFollower),
    /// A device or the like, from which nothing can be read.
    Empty,
}

impl Follower {
    /// Follows a log from near its end.
    ///
    /// # Errors
    /// `NotFound` if there is none; others if it cannot be read or is no regular file.
    pub(crate) async fn open(source: LogSource, watcher: Watcher) -> io::Result<Follower> {
        Follower::open_at(source, watcher, Begin::Tail(INITIAL)).await
    }

    /// Follows a log from another position.
    ///
    /// # Errors
    /// As for [`Follower::open`].
    pub(crate) async fn open_at(source: LogSource, watcher: Watcher, begin: Begin) -> io::Result<Follower> {
        match source {
            LogSource::None => Err(io::ErrorKind::NotFound.into()),
            LogSource::File(path) if is_empty(&path).await => Ok(Follower::Empty),
            LogSource::File(path) => Ok(Follower::File(FileFollower::open(path, watcher, begin).await?)),
            LogSource::Memory(ring) => Ok(Follower::Memory(RingFollower::new(ring, begin))),
        }
    }

    /// Waits for the next bytes. A truncation is reported as a line among them.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) async fn next(&mut self) -> io::Result<Vec<u8>> {
        Ok(match self.next_piece().await? {
            Piece::Bytes(bytes) => bytes,
            Piece::Truncated => TRUNCATED.to_vec(),
        })
    }

    /// Waits for the next piece of the log.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) async fn next_piece(&mut self) -> io::Result<Piece> {
        match self {
            Follower::File(follower) => follower.next().await,
            Follower::Memory(follower) => Ok(Piece::Bytes(follower.next().await)),
            Follower::Empty => future::pending().await,
        }
    }

    /// Whether it holds an open file.
    pub(crate) fn holds_file(&self) -> bool {
        matches!(self, Follower::File(_))
    }

    /// How far it was read.
    pub(crate) fn position(&self) -> Position {
        match self {
            Follower::File(follower) => follower.position,
            Follower::Memory(follower) => Position { file: (0, 0), at: follower.at },
            Follower::Empty => Position { file: (0, 0), at: 0 },
        }
    }

    /// When the log was last written to before it was opened, if that is known.
    pub(crate) fn modified(&self) -> Option<SystemTime> {
        match self {
            Follower::File(follower) => follower.modified,
            Follower::Memory(_) | Follower::Empty => None,
        }
    }
}

/// Whether nothing can be read from the log, because it is a device or the like.
async fn is_empty(path: &Path) -> bool {
    let path = path.to_path_buf();
    rt::unblock(move || matches!(logs::open_file(&path), Ok(None))).await
}

/// Follows a log in memory.
#[derive(Debug)]
pub(crate) struct RingFollower {
    ring: Arc<Ring>,
    notes: Receiver<()>,
    /// How many of the bytes that were ever written have been read.
    at: u64,
}

impl RingFollower {
    fn new(ring: Arc<Ring>, begin: Begin) -> RingFollower {
        // In this order, or bytes that are written in between would be missed.
        let notes = ring.notes();
        let (_, n_written) = ring.since(u64::MAX);
        let at = match begin {
            Begin::At(position, _) if position.file == (0, 0) && position.at <= n_written => position.at,
            Begin::Tail(n_bytes) | Begin::At(_, n_bytes) => n_written.saturating_sub(n_bytes),
        };
        RingFollower { ring, notes, at }
    }

    async fn next(&mut self) -> Vec<u8> {
        loop {
            let (bytes, at) = self.ring.since(self.at);
            self.at = at;
            if !bytes.is_empty() {
                return bytes;
            }
            // The ring holds the sender and we hold the ring: this ends only with a note.
            let _ = self.notes.recv().await;
        }
    }
}

/// Follows a file.
#[derive(Debug)]
pub(crate) struct FileFollower {
    log: Option<Log>,
    watcher: Watcher,
    changes: Changes,
    modified: Option<SystemTime>,
    position: Position,
}

/// The file that is read. It travels to a thread for blocking work and back.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    /// Device and inode.
    identity: (u64, u64),
    at: u64,
}

/// The result of reading once.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Data(Vec<u8>),
    /// Data of a file that replaced the former one; may be empty.
    NewFile(Vec<u8>),
    Truncated,
    Nothing,
}

impl FileFollower {
    async fn open(path: PathBuf, watcher: Watcher, begin: Begin) -> io::Result<FileFollower> {
        rt::unblock(move || {
            // Watched before it is read, so that nothing written in between goes unnoticed.
            let changes = watcher.watch(&path);
            let (log, modified) = Log::open(path, begin)?;
            let position = log.position();
            Ok(FileFollower { log: Some(log), watcher, changes, modified, position })
        })
        .await
    }

    async fn next(&mut self) -> io::Result<Piece> {
        loop {
            let Some(mut log) = self.log.take() else {
                // Only if the future of an earlier call was dropped while it read.
                return Err(io::Error::other("the log is being read already"));
            };
            let (log, found) = rt::unblock(move || {
                let found = log.read_next();
                (log, found)
            })
            .await;
            self.position = log.position();
            match found? {
                Found::Data(bytes) => {
                    self.log = Some(log);
                    return Ok(Piece::Bytes(bytes));
                }
                Found::Truncated => {
                    self.log = Some(log);
                    return Ok(Piece::Truncated);
                }
                Found::NewFile(bytes) => {
                    self.changes = self.watcher.watch(&log.path);
                    self.log = Some(log);
                    if !bytes.is_empty() {
                        return Ok(Piece::Bytes(bytes));
                    }
                }
                Found::Nothing => {
                    self.log = Some(log);
                    self.changes.wait().await;
                }
            }
        }
    }
}

impl Log {
    /// Opens a log at the position where reading begins. Also returns when it was last written to.
    fn open(path: PathBuf, begin: Begin) -> io::Result<(Log, Option<SystemTime>)> {
        let (file, metadata) = open(&path)?;
        let modified = metadata.modified().ok();
        if let Begin::At(position, _) = begin {
            let fits = |metadata: &std::fs::Metadata| {
                identity(metadata) == position.file && position.at <= metadata.len()
            };
            if fits(&metadata) {
                return Ok((Log { path, file, identity: position.file, at: position.at }, modified));
            }
            // It was rotated meanwhile. The rest of the old file comes first.
            if let Some((file, _)) = open(&rotated(&path)).ok().filter(|(_, metadata)| fits(metadata)) {
                return Ok((Log { path, file, identity: position.file, at: position.at }, modified));
            }
        }
        let (Begin::Tail(n_bytes) | Begin::At(_, n_bytes)) = begin;
        let at = metadata.len().saturating_sub(n_bytes);
        Ok((Log { path, file, identity: identity(&metadata), at }, modified))
    }

    fn position(&self) -> Position {
        Position { file: self.identity, at: self.at }
    }

    /// Reads the next bytes. The old file is read to its end before the one that replaced it.
    fn read_next(&mut self) -> io::Result<Found> {
        let bytes = self.read()?;
        if !bytes.is_empty() {
            return Ok(Found::Data(bytes));
        }
        if self.file.metadata()?.len() < self.at {
            self.at = 0;
            return Ok(Found::Truncated);
        }
        match open(&self.path) {
            Ok((file, metadata)) if identity(&metadata) != self.identity => {
                (self.file, self.identity, self.at) = (file, identity(&metadata), 0);
                Ok(Found::NewFile(self.read()?))
            }
            // There is no other file, or none yet.
            Ok(_) | Err(_) => Ok(Found::Nothing),
        }
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; PIECE];
        let n_bytes = loop {
            match self.file.read_at(&mut bytes, self.at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        bytes.truncate(n_bytes);
        self.at += n_bytes as u64;
        Ok(bytes)
    }
}

fn open(path: &Path) -> io::Result<(File, std::fs::Metadata)> {
    logs::open_file(path)?.ok_or_else(|| io::Error::other("not a regular file"))
}

/// The name under which rotation keeps the previous log.
fn rotated(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".1");
    name.into()
}

fn identity(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::net::socket::within;
    use std::io::Write;
    use std::time::Duration;

    /// What comes within a generous time.
    async fn next(follower: &mut Follower) -> String {
        let piece = within(Duration::from_secs(10), follower.next()).await.expect("nothing came").unwrap();
        String::from_utf8(piece).unwrap()
    }

    fn append(path: &Path, text: &str) {
        let mut file = File::options().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Follows a log through everything that happens to logs.
    async fn life_of_a_log(watcher: Watcher) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        append(&path, &"x".repeat(2000));
        let mut follower = Follower::open(LogSource::File(path.clone()), watcher).await.unwrap();
        assert_eq!(next(&mut follower).await, "x".repeat(1024));

        append(&path, "one\n");
        assert_eq!(next(&mut follower).await, "one\n");

        // Rotation: the last words of the old file, then the new one from its beginning.
        std::fs::rename(&path, dir.path().join("log.1")).unwrap();
        append(&dir.path().join("log.1"), "late\n");
        append(&path, "two\n");
        assert_eq!(next(&mut follower).await, "late\n");
        assert_eq!(next(&mut follower).await, "two\n");
        append(&path, "three\n");
        assert_eq!(next(&mut follower).await, "three\n");

        // Deletion, then a new file later.
        std::fs::remove_file(&path).unwrap();
        assert!(within(Duration::from_millis(50), follower.next()).await.is_none());
    }

    #[test]
    fn a_log_is_followed_through_rotation() {
        rt::block_on(life_of_a_log(Watcher::default()));
    }

    #[test]
    fn a_log_is_followed_where_files_cannot_be_watched() {
        rt::block_on(life_of_a_log(Watcher::unavailable()));
    }

    #[test]
    fn truncation_is_told_and_reading_begins_anew() {
        rt::block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            append(&path, "a long first line\n");
            let mut follower =
                Follower::open(LogSource::File(path.clone()), Watcher::default()).await.unwrap();
            assert_eq!(next(&mut follower).await, "a long first line\n");
            File::create(&path).unwrap();
            assert_eq!(next(&mut follower).await, "==> File truncated <==\n");
            append(&path, "new\n");
            assert_eq!(next(&mut follower).await, "new\n");
        });
    }

    #[test]
    fn a_device_is_followed_without_a_word() {
        rt::block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let fifo = dir.path().join("fifo");
            rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
                .unwrap();
            for path in ["/dev/null".into(), "/dev/zero".into(), fifo] {
                let mut follower = Follower::open(LogSource::File(path), Watcher::default()).await.unwrap();
                assert!(within(Duration::from_millis(20), follower.next()).await.is_none());
            }
        });
    }

    #[test]
    fn a_log_in_memory_is_followed() {
        rt::block_on(async {
            let ring = Arc::new(Ring::new(0));
            ring.write("x".repeat(2000).as_bytes());
            let source = LogSource::Memory(ring.clone());
            let mut follower = Follower::open(source, Watcher::default()).await.unwrap();
            assert_eq!(next(&mut follower).await, "x".repeat(1024));
            assert!(within(Duration::from_millis(20), follower.next()).await.is_none());
            ring.write(b"one\n");
            assert_eq!(next(&mut follower).await, "one\n");
        });
    }
}
