//! Opens and reads the file behind a name without waiting for ever: the name may be that of a FIFO without a writer, of
//! a device, or of a file that never ends.

use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::{File, FileType};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The largest file that is read. Ten thousand programs take two megabytes.
const MAX_FILE: u64 = 64 << 20;
/// How long a pipe may take to its end, `<(generate)` of a shell for example.
const PIPE: Duration = Duration::from_secs(30);
/// How long a FIFO may be without anybody who writes.
const WRITER: Duration = Duration::from_secs(1);

/// As many symbolic links as the kernel follows.
const MAX_LINKS: usize = 40;

/// What may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readable {
    /// Regular files: what a running daemon reads, which must never wait, and can read it again.
    Files,
    /// Pipes and FIFOs as well, such as `/dev/stdin` and `/dev/fd/63`.
    Pipes,
}

/// The bytes of a file.
///
/// # Errors
/// The system's, or that it is none that may be read, is too large, or does not end.
pub(crate) fn read(path: &Path, readable: Readable) -> Result<Vec<u8>> {
    if readable == Readable::Files && is_descriptor(path) {
        let text = "it is an inherited descriptor, which can be read only once";
        return Err(Error::new(ErrorKind::InvalidInput, text));
    }
    // Opening a device can do something by itself.
    refuse(path.metadata()?.file_type(), readable)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    // What was opened counts, not what had the name before.
    let metadata = file.metadata()?;
    refuse(metadata.file_type(), readable)?;
    if metadata.file_type().is_fifo() {
        return read_pipe(&file);
    }
    if fstatfs(&file).is_ok_and(|system| system.filesystem_type() == PROC_SUPER_MAGIC) {
        return Err(Error::new(ErrorKind::InvalidInput, "it is not a regular file, but one of /proc"));
    }
    if metadata.len() > MAX_FILE {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    (&file).take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE { Err(too_large()) } else { Ok(bytes) }
}

/// Whether a name stands for what the process that opens it has open, as `/dev/stdin` and `/dev/fd/63` do. In the daemon the
/// same number is something else: a log, which a program has written.
fn is_descriptor(path: &Path) -> bool {
    let mut place = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        let folder = place.parent().and_then(|folder| folder.canonicalize().ok()).unwrap_or_default();
        if folder.starts_with("/proc") {
            return true;
        }
        match place.read_link() {
            Ok(target) => place = folder.join(target),
            Err(_) => return false,
        }
    }
    true
}

fn too_large() -> Error {
    Error::new(ErrorKind::FileTooLarge, format!("it is larger than {} MiB", MAX_FILE >> 20))
}

fn refuse(kind: FileType, readable: Readable) -> Result<()> {
    let what = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_fifo() && readable == Readable::Pipes => return Ok(()),
        kind if kind.is_dir() => return Err(ErrorKind::IsADirectory.into()),
        kind if kind.is_fifo() => "a FIFO, which can be read only once",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(Error::new(ErrorKind::InvalidInput, format!("it is not a regular file, but {what}")))
}

/// Reads a pipe to its end.
fn read_pipe(pipe: &File) -> Result<Vec<u8>> {
    let timed_out = |text: &str| Error::new(ErrorKind::TimedOut, text);
    let deadline = Instant::now() + PIPE;
    let mut bytes = Vec::new();
    // A FIFO whose writer is still to come looks like one whose writer has gone.
    wait(pipe, WRITER)?;
    loop {
        match pipe.take(MAX_FILE + 1 - bytes.len() as u64).read_to_end(&mut bytes) {
            Ok(_) if bytes.len() as u64 > MAX_FILE => return Err(too_large()),
            Ok(_) if bytes.is_empty() => return Err(timed_out("no process writes to this FIFO")),
            Ok(_) => return Ok(bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(timed_out(&format!("it did not end within {} seconds", PIPE.as_secs())));
        }
        wait(pipe, left)?;
    }
}

fn wait(pipe: &File, patience: Duration) -> Result<()> {
    let timeout = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
    match poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    #[test]
    fn files_are_read_and_nothing_else_waits() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("file"), "text").expect("written");
        assert_eq!(read(&path("file"), Readable::Files).expect("readable"), b"text");
        let sparse = File::create(path("sparse")).expect("created");
        sparse.set_len(MAX_FILE + 1).expect("grown");
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("made");
        std::os::unix::fs::symlink("/dev/stdin", path("link")).expect("linked");
        for (name, readable, text) in [
            ("sparse", Readable::Files, "it is larger than 64 MiB"),
            ("fifo", Readable::Files, "it is not a regular file, but a FIFO, which can be read only once"),
            ("fifo", Readable::Pipes, "no process writes to this FIFO"),
            ("/dev/null", Readable::Pipes, "it is not a regular file, but a device"),
            ("/dev/fd/0", Readable::Files, "it is an inherited descriptor, which can be read only once"),
            ("link", Readable::Files, "it is an inherited descriptor, which can be read only once"),
            ("/proc/self/status", Readable::Pipes, "it is not a regular file, but one of /proc"),
        ] {
            let error = read(&path(name), readable).expect_err(name);
            assert_eq!(error.to_string(), text, "{name}");
        }
        assert_eq!(
            read(&path(""), Readable::Pipes).expect_err("a directory").kind(),
            ErrorKind::IsADirectory
        );
    }

    #[test]
    fn pipes_are_read_to_their_end() {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let name = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let writing = std::thread::spawn(move || {
            (0..1000).try_for_each(|_| writer.write_all(&[b'x'; 1000])).expect("written");
        });
        assert_eq!(read(Path::new(&name), Readable::Pipes).expect("readable").len(), 1_000_000);
        writing.join().expect("it ended");
    }
}
