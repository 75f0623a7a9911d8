//! Reads parts of logs for the `read…Log` and `tail…Log` methods.
//!
//! The range of bytes is decided at once. The bytes are read when the answer is sent, piece by piece, so a log never
//! has to fit into memory, however long it is. The executor's threads do not read files.

use crate::files;
use crate::log::memory::Ring;
use crate::log::source::LogSource;
use crate::model::fault::{Fault, FaultCode};
use crate::rpc::server::reply::Reply;
use crate::rpc::wire::escape_into;
use crate::rt;
use rustix::fs::FileType;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// No call gets more than this of a log, in bytes. Whoever wants more asks again from where that ended.
const READ_MAX: u64 = 256 << 20;

/// How much is read at a time.
const PIECE: usize = 64 << 10;

/// A range of a log.
#[derive(Clone, Debug)]
pub struct LogSlice {
    log: Log,
    start: u64,
    length: u64,
}

/// A log that was opened.
#[derive(Clone, Debug)]
enum Log {
    File(Arc<File>),
    Memory(Arc<Ring>),
    /// There is none, which is no mistake.
    Empty,
}

impl LogSlice {
    fn empty() -> LogSlice {
        LogSlice { log: Log::Empty, start: 0, length: 0 }
    }

    /// In bytes of the file. What is sent can be longer, because some characters must be escaped.
    pub fn len(&self) -> u64 {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether a file is open for it.
    pub fn holds_file(&self) -> bool {
        matches!(self.log, Log::File(_))
    }

    /// Takes the next piece off the front: its bytes, fewer than asked for only at the end of the slice or
    /// of the file.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn next_piece(&mut self) -> io::Result<Vec<u8>> {
        let (start, wanted) = (self.start, self.length.min(PIECE as u64) as usize);
        let bytes = match self.log.clone() {
            Log::File(file) => rt::unblock(move || read_at(&file, start, wanted)).await?,
            // Rings are small; what does not fit into the address space is not in them.
            Log::Memory(ring) => ring.read(usize::try_from(start).unwrap_or(usize::MAX), wanted),
            Log::Empty => Vec::new(),
        };
        self.start += bytes.len() as u64;
        // A file that was cut shorter meanwhile ends the slice.
        self.length = if bytes.len() < wanted { 0 } else { self.length - bytes.len() as u64 };
        Ok(bytes)
    }

    /// The whole slice as text.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn into_text(mut self) -> io::Result<String> {
        let mut bytes = Vec::new();
        while !self.is_empty() {
            bytes.extend(self.next_piece().await?);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn read_at(file: &File, start: u64, wanted: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; wanted];
    let mut filled = 0;
    while filled < wanted {
        match file.read_at(&mut bytes[filled..], start + filled as u64) {
            Ok(0) => break,
            Ok(n_bytes) => filled += n_bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Turns the bytes of a log into XML text as they come, without regard to where the pieces are cut.
#[derive(Debug, Default)]
pub struct TextDecoder {
    /// The beginning of a character whose rest is in the next piece.
    pending: Vec<u8>,
}

impl TextDecoder {
    /// Appends the escaped text of the next piece. Bytes that are not UTF-8 become U+FFFD.
    pub fn push(&mut self, piece: &[u8], out: &mut String) {
        let joined;
        let mut bytes = piece;
        if !self.pending.is_empty() {
            joined = [std::mem::take(&mut self.pending).as_slice(), piece].concat();
            bytes = &joined;
        }
        loop {
            match std::str::from_utf8(bytes) {
                Ok(text) => return escape_into(out, text),
                Err(error) => {
                    let (valid, rest) = bytes.split_at(error.valid_up_to());
                    // `valid` was found to be UTF-8 just now, so nothing of it is lost.
                    escape_into(out, &String::from_utf8_lossy(valid));
                    let Some(n_wrong) = error.error_len() else {
                        self.pending = rest.to_vec();
                        return;
                    };
                    out.push('\u{fffd}');
                    bytes = &rest[n_wrong..];
                }
            }
        }
    }

    /// Appends what a text that ends in the middle of a character ends with.
    pub fn finish(&mut self, out: &mut String) {
        if !std::mem::take(&mut self.pending).is_empty() {
            out.push('\u{fffd}');
        }
    }
}

/// Answers a `read…Log` call.
///
/// # Errors
/// NO_FILE if there is no such log, BAD_ARGUMENTS for an offset and length that do not go together, FAILED
/// if the file cannot be read.
pub async fn read(source: LogSource, offset: i64, length: i64) -> Result<Reply, Fault> {
    let path = match &source {
        LogSource::File(path) => Some(path.to_string_lossy().into_owned()),
        _ => None,
    };
    let (log, size) = open(source).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Fault { code: FaultCode::NoFile, detail: path },
        _ => Fault::new(FaultCode::Failed),
    })?;
    let range = read_range(size, offset, length);
    let (start, length) = range.ok_or(Fault::new(FaultCode::BadArguments))?;
    Ok(Reply::Log(LogSlice { log, start, length }))
}

/// Answers a `tail…Log` call. A log that is not there is an empty one, never a fault.
pub async fn tail(source: LogSource, offset: i64, length: i64) -> Reply {
    let nothing = |position| Reply::Tail { data: LogSlice::empty(), position, overflow: false };
    match open(source).await {
        Ok((log, size)) => {
            let (start, n_bytes, overflow) = tail_range(size, offset, length);
            let data = LogSlice { log, start, length: n_bytes };
            Reply::Tail { data, position: i64::try_from(size).unwrap_or(i64::MAX), overflow }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => nothing(0),
        Err(_) => nothing(offset),
    }
}

/// A part of a log, and where it lies.
#[derive(Debug)]
pub struct Part {
    pub slice: LogSlice,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// The size of the log, in bytes.
    pub size: u64,
}

/// The bytes of a log from `offset`, which counts from the end if it is negative, `length` of them or all.
///
/// # Errors
/// `NotFound` if there is no such log; others if it cannot be read.
pub async fn part(source: LogSource, offset: i64, length: Option<u64>) -> io::Result<Part> {
    let (log, size) = open(source).await?;
    let start = match u64::try_from(offset) {
        Ok(offset) => offset.min(size),
        Err(_) => size.saturating_sub(offset.unsigned_abs()),
    };
    let length = length.unwrap_or(u64::MAX).min(size - start);
    Ok(Part { slice: LogSlice { log, start, length }, offset: start, size })
}

/// Opens a log; its size in bytes.
///
/// # Errors
/// `NotFound` if there is none; others if it cannot be read.
async fn open(source: LogSource) -> io::Result<(Log, u64)> {
    match source {
        LogSource::None => Err(io::ErrorKind::NotFound.into()),
        LogSource::File(path) => {
            let opened = rt::unblock(move || open_file(&path)).await?;
            Ok(opened.map_or((Log::Empty, 0), |(file, facts)| (Log::File(Arc::new(file)), facts.len())))
        }
        LogSource::Memory(ring) => {
            let size = ring.len() as u64;
            Ok((Log::Memory(ring), size))
        }
    }
}

/// Opens the file of a log. `None` for a device, a FIFO or a socket, such as `/dev/null` and often `/dev/stdout`: what is
/// written there cannot be read again, so it is an empty log, as in Supervisor. It is not opened to find that out, which
/// could take what is another's, or let a writer believe that somebody reads.
///
/// # Errors
/// `NotFound` if there is none; others if it cannot be read.
pub fn open_file(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    match FileType::from_raw_mode(files::open::facts_at(path)?.st_mode) {
        FileType::RegularFile => match files::open::to_read(path)? {
            Some((file, _)) => file.metadata().map(|facts| Some((file, facts))),
            // The daemon's own output, which happens to be a file, is none of its logs.
            None => Ok(None),
        },
        FileType::Directory => Err(io::ErrorKind::IsADirectory.into()),
        _ => Ok(None),
    }
}

/// Start and length of what a `read…Log` call means in a file of this size; `None` if it makes no sense.
fn read_range(size: u64, offset: i64, length: i64) -> Option<(u64, u64)> {
    let start = match (u64::try_from(offset), length) {
        (Ok(start), 0..) => start.min(size),
        (Err(_), 0) => size.saturating_sub(offset.unsigned_abs()),
        _ => return None,
    };
    let available = size - start;
    let wanted = if length > 0 { available.min(length.unsigned_abs()) } else { available };
    Some((start, wanted.min(READ_MAX)))
}

/// Start and length of what a `tail…Log` call means, and whether the file goes beyond what was asked for.
///
/// The bytes are the last ones of the file, not those at the offset, as in Supervisor, options.py,
/// `tailFile`; clients rely on it.
fn tail_range(size: u64, offset: i64, length: i64) -> (u64, u64, bool) {
    let overflow = i128::from(size) > i128::from(offset) + i128::from(length);
    let before_the_end = i128::from(offset) < i128::from(size);
    let wanted = if before_the_end || overflow { u64::try_from(length).unwrap_or(0) } else { 0 };
    let n_bytes = wanted.min(size).min(READ_MAX);
    (size - n_bytes, n_bytes, overflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "0123456789";

    #[test]
    fn reading_follows_the_original_vectors() {
        for (offset, length, expected) in [
            (0, 4, Some("0123")),
            (4, 0, Some("456789")),
            (8, 100, Some("89")),
            (10, 0, Some("")),
            (100, 5, Some("")),
            (-4, 0, Some("6789")),
            (-100, 0, Some(DIGITS)),
            (i64::MIN, 0, Some(DIGITS)),
            (0, 0, Some(DIGITS)),
            (-4, 1, None),
            (0, -1, None),
        ] {
            let found = read_range(10, offset, length)
                .map(|(start, length)| &DIGITS[start as usize..(start + length) as usize]);
            assert_eq!(found, expected, "({offset},{length})");
        }
    }

    #[test]
    fn tailing_follows_the_original_vectors() {
        for (offset, length, expected, overflows) in [
            (0, 0, "", true),
            (0, 4, "6789", true),
            (0, 10, DIGITS, false),
            (0, 20, DIGITS, false),
            (4, 3, "789", true),
            (4, 6, "456789", false),
            (4, 100, DIGITS, false),
            (9, 1, "9", false),
            (8, 1, "9", true),
            (10, 5, "", false),
            (100, 5, "", false),
            (10, 0, "", false),
            (-4, 2, "89", true),
            (0, -1, "", true),
            (i64::MAX, i64::MAX, "", false),
        ] {
            let (start, length_found, overflow) = tail_range(10, offset, length);
            let found = &DIGITS[start as usize..(start + length_found) as usize];
            assert_eq!((found, overflow), (expected, overflows), "({offset},{length})");
        }
    }

    #[test]
    fn what_keeps_nothing_is_empty_and_waits_for_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let (fifo, socket) = (dir.path().join("fifo"), dir.path().join("socket"));
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
            .unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in ["/dev/null".into(), "/dev/zero".into(), fifo, socket] {
            let source = || LogSource::File(path.clone());
            rt::block_on(async {
                let part = part(source(), -1024, None).await.unwrap();
                assert_eq!((part.size, part.slice.len()), (0, 0), "{path:?}");
                assert_eq!(part.slice.into_text().await.unwrap(), "");
                match read(source(), 0, 0).await {
                    Ok(Reply::Log(slice)) => assert!(slice.is_empty(), "{path:?}"),
                    other => panic!("{path:?}: {other:?}"),
                }
                match tail(source(), 0, 100).await {
                    Reply::Tail { data, position: 0, overflow: false } => assert!(data.is_empty()),
                    other => panic!("{path:?}: {other:?}"),
                }
            });
        }
        let directory = LogSource::File(dir.path().to_path_buf());
        assert!(rt::block_on(part(directory, 0, None)).is_err());
    }

    #[test]
    fn text_survives_being_cut_anywhere() {
        let bytes = "a<é😀\r".as_bytes().iter().copied().chain([0xff, b'z', 0xf0, 0x9f]).collect::<Vec<_>>();
        let mut expected = String::new();
        escape_into(&mut expected, &String::from_utf8_lossy(&bytes));
        for cut in 0..=bytes.len() {
            let (mut decoder, mut out) = (TextDecoder::default(), String::new());
            decoder.push(&bytes[..cut], &mut out);
            decoder.push(&bytes[cut..], &mut out);
            decoder.finish(&mut out);
            assert_eq!(out, expected, "cut at {cut}");
        }
    }
}
