//! Reads parts of logs for the `read…Log` and `tail…Log` methods.
//!
//! A call only determines the range of bytes. They are read piece by piece while the answer is sent, so that no log has to
//! fit into memory. Files are read on threads for blocking work, never on those of the executor.

use crate::files;
use crate::log::sinks::memory::Ring;
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

/// The most that one call returns of a log, in bytes. For more, clients call again with the next offset.
const READ_MAX: u64 = 256 << 20;

/// How much is read at a time, in bytes.
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
    /// There is no log, and that is no error.
    Empty,
}

impl LogSlice {
    fn empty() -> LogSlice {
        LogSlice { log: Log::Empty, start: 0, length: 0 }
    }

    /// The length in bytes of the file. The text that is sent may be longer, because some characters are escaped.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether it holds an open file.
    pub fn holds_file(&self) -> bool {
        matches!(self.log, Log::File(_))
    }

    /// Reads the next piece and removes it from the slice. A piece is shorter than 64 KiB only at the end of the slice or of
    /// the file.
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

/// Converts the bytes of a log into XML text, piece by piece. A character may be split between two pieces.
#[derive(Debug, Default)]
pub struct TextDecoder {
    /// The beginning of a character whose rest is in the next piece.
    pending: Vec<u8>,
}

impl TextDecoder {
    /// Appends the escaped text of the next piece to `out`. Bytes that are not UTF-8 become U+FFFD.
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

    /// Ends the text. If it ends in the middle of a character, appends U+FFFD.
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

/// A part of a log, and its position.
#[derive(Debug)]
pub struct Part {
    /// The bytes.
    pub slice: LogSlice,
    /// Where the part begins, in bytes from the beginning of the log.
    pub offset: u64,
    /// The size of the log, in bytes.
    pub size: u64,
}

/// A part of a log: `length` bytes, or all for `None`, from `offset`. A negative offset counts from the end.
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

/// Opens the file of a log. Returns `None` for a device, a FIFO or a socket, such as `/dev/null` and often `/dev/stdout`:
/// what is written there cannot be read again, so it is an empty log, as in Supervisor. Such a file is not opened to find
/// out: opening a FIFO could take another reader's data, or make a writer believe that it has a reader.
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

/// Start and length of the range of a `read…Log` call in a log of this size; `None` if the arguments contradict each other.
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

/// Start and length of the range of a `tail…Log` call, and whether the log is longer than offset and length together.
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
