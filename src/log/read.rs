//! Reading logs back, by the rules of the XML-RPC interface.

use crate::log::memory::Ring;
use crate::log::open;
use crate::rpc::api::LogSource;
use crate::rpc::fault::{Fault, FaultCode};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The most bytes one call answers with. Supervisor loads any file whole, and a client that asks for all of a
/// log of gigabytes makes it swap; we refuse with FAILED and name the limit.
pub const MAX_READ: u64 = 64 << 20;

/// What `readLog` and its kin answer.
///
/// | offset | length | bytes |
/// |---|---|---|
/// | negative | 0 | the last `-offset` |
/// | not negative | 0 | from offset to the end |
/// | not negative | positive | at most `length` from offset |
///
/// # Errors
/// NO_FILE without a log, BAD_ARGUMENTS for every other combination, FAILED if it cannot be read or is more
/// than [`MAX_READ`].
pub fn read(source: &LogSource, offset: i64, length: i64) -> Result<Vec<u8>, Fault> {
    // As in Supervisor, options.py, readFile().
    if (offset < 0 && length != 0) || length < 0 {
        return Err(Fault::with(FaultCode::BadArguments, describe(source)));
    }
    let log = Log::open(source)?.ok_or_else(|| Fault::with(FaultCode::NoFile, describe(source)))?;
    let size = log.size();
    let begin = if offset < 0 { size.saturating_sub(offset.unsigned_abs()) } else { offset.unsigned_abs() };
    let rest = size.saturating_sub(begin);
    let wanted = if length == 0 { rest } else { rest.min(length.unsigned_abs()) };
    if wanted > MAX_READ {
        let text = format!("{wanted} bytes asked for, at most {MAX_READ} at a time");
        return Err(Fault::with(FaultCode::Failed, text));
    }
    log.read(begin, wanted).map_err(|error| failed(source, &error))
}

/// What `tailProcessStdoutLog` and its kin answer: bytes, size of the log, overflow.
///
/// The bytes are the last ones whatever the offset, as in Supervisor (options.py, tailFile()); they are
/// clipped to [`MAX_READ`]. A log that is missing is empty, one that cannot be read has the size `offset`.
pub fn tail(source: &LogSource, offset: i64, length: i64) -> (Vec<u8>, i64, bool) {
    let log = match Log::open(source) {
        Ok(Some(log)) => log,
        Ok(None) => return (Vec::new(), 0, false),
        Err(_) => return (Vec::new(), offset, false),
    };
    let size = log.size();
    let signed_size = i64::try_from(size).unwrap_or(i64::MAX);
    let overflow = signed_size > offset.saturating_add(length);
    if offset >= signed_size && !overflow {
        return (Vec::new(), signed_size, false);
    }
    let wanted = u64::try_from(length).unwrap_or(0).min(size).min(MAX_READ);
    match log.read(size - wanted, wanted) {
        Ok(bytes) => (bytes, signed_size, overflow),
        Err(_) => (Vec::new(), offset, false),
    }
}

/// Empties a log file; one that is missing is empty already.
///
/// # Errors
/// The system's. Nothing happens to what is not a regular file, and that is no error.
pub fn clear_file(path: &Path) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => file,
        // ENXIO: a FIFO that nobody reads, or a socket.
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NXIO) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    if open::facts(&file)?.regular {
        rustix::fs::ftruncate(&file, 0)?;
    }
    Ok(())
}

/// Something readable with the size it had when it was opened.
enum Log<'a> {
    File(File, u64),
    Memory(&'a Ring, usize),
}

impl Log<'_> {
    /// `None` if there is no log.
    fn open(source: &LogSource) -> Result<Option<Log<'_>>, Fault> {
        match source {
            LogSource::None => Ok(None),
            LogSource::Memory(ring) => Ok(Some(Log::Memory(ring, ring.len()))),
            LogSource::File(path) => match open_file(path) {
                Ok((file, size)) => Ok(Some(Log::File(file, size))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(failed(source, &error)),
            },
        }
    }

    fn size(&self) -> u64 {
        match self {
            Log::File(_, size) => *size,
            Log::Memory(_, size) => *size as u64,
        }
    }

    /// Exactly `length` bytes from `offset`, fewer if the log was truncated meanwhile. The caller has limited
    /// `length` to [`MAX_READ`].
    fn read(&self, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        match self {
            Log::Memory(ring, _) => Ok(ring.read(offset as usize, length as usize)),
            Log::File(file, _) => {
                let mut bytes = vec![0; length as usize];
                let mut n_read = 0;
                while n_read < bytes.len() {
                    match file.read_at(&mut bytes[n_read..], offset + n_read as u64)? {
                        0 => break,
                        n => n_read += n,
                    }
                }
                bytes.truncate(n_read);
                Ok(bytes)
            }
        }
    }
}

/// Opens without waiting for the writer of a FIFO; only regular files can be read at an offset.
fn open_file(path: &Path) -> io::Result<(File, u64)> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file: File = rustix::fs::open(path, flags, Mode::empty())?.into();
    let facts = open::facts(&file)?;
    if !facts.regular {
        return Err(io::Error::other("not a regular file"));
    }
    Ok((file, facts.size))
}

fn failed(source: &LogSource, error: &io::Error) -> Fault {
    Fault::with(FaultCode::Failed, format!("{}: {error}", describe(source)))
}

fn describe(source: &LogSource) -> String {
    match source {
        LogSource::None => "no log".to_string(),
        LogSource::File(path) => path.display().to_string(),
        LogSource::Memory(_) => "memory".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// The ten digits as a file and as a ring.
    fn sources() -> (tempfile::TempDir, [LogSource; 2]) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "0123456789").unwrap();
        let ring = Ring::new(100);
        ring.write(b"0123456789");
        (dir, [LogSource::File(path), LogSource::Memory(Arc::new(ring))])
    }

    #[test]
    fn read_by_the_table() {
        let (_dir, sources) = sources();
        for source in &sources {
            for (offset, length, expected) in [
                (0, 4, Some("0123")),
                (4, 0, Some("456789")),
                (8, 100, Some("89")),
                (10, 0, Some("")),
                (100, 5, Some("")),
                (-4, 0, Some("6789")),
                (-100, 0, Some("0123456789")),
                (0, 0, Some("0123456789")),
                (-4, 1, None),
                (0, -1, None),
                (-1, -1, None),
                (i64::MIN, 0, Some("0123456789")),
                (i64::MAX, i64::MAX, Some("")),
            ] {
                let result = read(source, offset, length);
                match expected {
                    Some(text) => assert_eq!(result.unwrap(), text.as_bytes(), "{offset}, {length}"),
                    None => assert_eq!(result.unwrap_err().code, FaultCode::BadArguments),
                }
            }
        }
    }

    #[test]
    fn tail_by_the_table() {
        let (_dir, sources) = sources();
        for source in &sources {
            for (offset, length, expected, overflow) in [
                (0, 0, "", true),
                (0, 4, "6789", true),
                (0, 10, "0123456789", false),
                (0, 20, "0123456789", false),
                (4, 3, "789", true),
                (4, 6, "456789", false),
                (4, 100, "0123456789", false),
                (9, 1, "9", false),
                (8, 1, "9", true),
                (10, 5, "", false),
                (100, 5, "", false),
                (10, 0, "", false),
                (-4, 2, "89", true),
                (0, -1, "", true),
                (i64::MAX, i64::MAX, "", false),
                (i64::MIN, i64::MIN, "", true),
            ] {
                let answer = (expected.as_bytes().to_vec(), 10, overflow);
                assert_eq!(tail(source, offset, length), answer, "{offset}, {length}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let directory = LogSource::File(dir.path().to_path_buf());
        let missing = LogSource::File(dir.path().join("missing"));
        for source in [&LogSource::None, &missing] {
            assert_eq!(read(source, 0, 0).unwrap_err().code, FaultCode::NoFile);
            assert_eq!(tail(source, 3, 4), (vec![], 0, false));
        }
        assert_eq!(read(&directory, 0, 0).unwrap_err().code, FaultCode::Failed);
        assert_eq!(tail(&directory, 3, 4), (vec![], 3, false));
    }

    #[test]
    fn a_huge_log_is_not_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparse");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let source = LogSource::File(path);
        assert_eq!(read(&source, 0, 0).unwrap_err().code, FaultCode::Failed);
        assert_eq!(read(&source, -5, 0).unwrap(), [0; 5]);
        let (bytes, size, overflow) = tail(&source, 0, 100);
        assert_eq!((bytes.len(), size, overflow), (100, 1 << 40, true));
    }

    #[test]
    fn clearing_touches_regular_files_only() {
        let dir = tempfile::tempdir().unwrap();
        let (file, fifo) = (dir.path().join("file"), dir.path().join("fifo"));
        std::fs::write(&file, "text").unwrap();
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [&file, &fifo, &dir.path().join("missing"), Path::new("/dev/null")] {
            clear_file(path).unwrap();
        }
        assert_eq!(std::fs::metadata(&file).unwrap().len(), 0);
        assert!(fifo.exists() && Path::new("/dev/null").exists());
    }
}
