//! Opens a file that a configuration names, for writing, reading or clearing, with the same checks for all three.

use crate::files::location::{Location, Missing};
use rustix::fs::{AtFlags, CWD, FileType, OFlags, Stat};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::OnceLock;

/// How often a name may change its kind between two of our looks before that is an error.
const TRIES: usize = 16;

/// What a name led to.
#[derive(Debug)]
pub enum Opened {
    /// A regular file that has a name: it can be rotated, cut and read.
    File(OwnedFd, Stat),
    /// Anything else, a device or a FIFO for example, with a non-blocking description of our own.
    Device(OwnedFd),
    /// One of the daemon's standard streams. Its description is shared with others.
    Stream(OwnedFd),
}

/// The daemon's own standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardStream {
    /// Descriptor 1.
    Output,
    /// Descriptor 2.
    Error,
    /// One beyond 2: a log names it, so whoever started the daemon may have opened it for that.
    Other(RawFd),
}

/// The descriptors beyond 2 that the daemon was started with and that its logs are written to.
static KEPT: OnceLock<Vec<RawFd>> = OnceLock::new();

/// Says which they are. Only the first time counts; without it there are none.
pub fn set_kept_descriptors(numbers: Vec<RawFd>) {
    let _ = KEPT.set(numbers);
}

impl StandardStream {
    /// The stream that a path names by one of its usual names.
    pub fn named(path: &Path) -> Option<StandardStream> {
        match path.to_str()? {
            "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1" => Some(StandardStream::Output),
            "/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2" => Some(StandardStream::Error),
            path => {
                let number = path.strip_prefix("/dev/fd/").or_else(|| path.strip_prefix("/proc/self/fd/"))?;
                number.parse().ok().filter(|number| *number > 2).map(StandardStream::Other)
            }
        }
    }

    /// A descriptor of our own for it.
    ///
    /// # Errors
    /// EBADF or ENOENT if the daemon was started without it.
    pub fn duplicate(self) -> io::Result<OwnedFd> {
        match self {
            StandardStream::Output => io::stdout().as_fd().try_clone_to_owned(),
            StandardStream::Error => io::stderr().as_fd().try_clone_to_owned(),
            StandardStream::Other(number) if KEPT.get().is_some_and(|kept| kept.contains(&number)) => {
                crate::sys::fd::duplicate(number)
            }
            StandardStream::Other(number) => {
                // What has this number by now is our own.
                let why = format!("no descriptor {number} was open for it when the daemon was started");
                Err(io::Error::new(io::ErrorKind::NotFound, why))
            }
        }
    }
}

/// Opens `path` for writing; a missing file is created with this mode (before the umask), missing directories as well
/// if `missing` says so. It never blocks: a FIFO that nobody reads is an error (ENXIO). No file is in append mode,
/// because the kernel does not splice into one that is.
///
/// # Errors
/// The system's; EPERM, with the reason, for what others could have put there.
pub fn for_writing(path: &Path, mode: u32, missing: Missing) -> io::Result<Opened> {
    find(path, missing, |at| create(at, mode), OFlags::WRONLY | OFlags::APPEND)
}

/// Opens `path` for writing, if it exists.
///
/// # Errors
/// As [`for_writing`]; ENOENT if there is nothing.
pub fn existing(path: &Path) -> io::Result<Opened> {
    find(
        path,
        Missing::Fail,
        |at| at.open(OFlags::WRONLY, 0).map_err(Into::into),
        OFlags::WRONLY | OFlags::APPEND,
    )
}

/// Opens `path` for reading. What is no regular file is opened as well, and the caller has to decide about it.
///
/// # Errors
/// As [`existing`].
pub fn for_reading(path: &Path) -> io::Result<Opened> {
    find(path, Missing::Fail, |at| at.open(OFlags::RDONLY, 0).map_err(Into::into), OFlags::RDONLY)
}

/// Opens a regular file for reading, with the facts about it; `None` for anything else, which has no content that
/// could be read again.
///
/// # Errors
/// As [`existing`].
pub fn to_read(path: &Path) -> io::Result<Option<(File, Stat)>> {
    if StandardStream::named(path).is_some() {
        return Ok(None);
    }
    match for_reading(path)? {
        Opened::File(fd, stat) => Ok(Some((fd.into(), stat))),
        Opened::Device(_) | Opened::Stream(_) => Ok(None),
    }
}

/// Creates a file that must not exist yet, with exactly this mode but for the umask.
///
/// # Errors
/// EEXIST if there is anything of that name, a dangling link included.
pub fn new(path: &Path, mode: u32) -> io::Result<File> {
    let at = Location::of(path, Missing::Fail)?;
    at.judge_directory()?;
    Ok(at.open(OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, mode)?.into())
}

/// The facts about whatever `path` leads to, for who may open it.
///
/// # Errors
/// As [`existing`].
pub fn facts_at(path: &Path) -> io::Result<Stat> {
    let mut at = Location::of(path, Missing::Fail)?;
    for _ in 0..TRIES {
        let stat = at.stat()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            at.judge(&stat)?;
            return Ok(stat);
        }
        let target = at.link_text()?;
        if let Some(stream) = target.as_deref().and_then(own_stream_behind) {
            return Ok(rustix::fs::fstat(&stream)?);
        }
        if target.is_some_and(|target| target == Path::new(NULL)) {
            return Ok(rustix::fs::stat(NULL)?);
        }
        if at.is_procfs()? {
            return at.stat_procfs_link();
        }
        if let Some(next) = at.follow()? {
            at = next;
        }
    }
    Err(Errno::LOOP.into())
}

/// A descriptor that stands for whatever has this path, and reads nothing: for rules about it.
///
/// # Errors
/// As [`existing`].
pub fn place(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    if path == Path::new("/") {
        return Ok(rustix::fs::openat(rustix::fs::CWD, path, flags, rustix::fs::Mode::empty())?);
    }
    let mut at = Location::of(path, Missing::Fail)?;
    for _ in 0..TRIES {
        let fd = at.open(flags, 0)?;
        let stat = rustix::fs::fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            at.judge(&stat)?;
            return Ok(fd);
        }
        if at.is_procfs()? {
            return at.open_procfs_link(flags);
        }
        if let Some(next) = at.follow()? {
            at = next;
        }
    }
    Err(Errno::LOOP.into())
}

/// Follows links to what is to be opened. `open` opens a name itself; ELOOP from it means that it is a link.
fn find(
    path: &Path,
    missing: Missing,
    open: impl Fn(&Location) -> io::Result<OwnedFd>,
    of_procfs: OFlags,
) -> io::Result<Opened> {
    let mut at = Location::of(path, missing)?;
    for _ in 0..TRIES {
        match open(&at) {
            Ok(fd) => return judged(&at, fd),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {}
            Err(error) => return Err(error),
        }
        let target = at.link_text()?;
        if let Some(stream) = target.as_deref().and_then(own_stream_behind) {
            return Ok(Opened::Stream(stream));
        }
        if target.is_some_and(|target| target == Path::new(NULL)) {
            return open_null(of_procfs);
        }
        if at.is_procfs()? {
            return open_procfs(&at, of_procfs);
        }
        if let Some(next) = at.follow()? {
            at = next;
        }
    }
    Err(Errno::LOOP.into())
}

fn judged(at: &Location, fd: OwnedFd) -> io::Result<Opened> {
    let stat = at.judge_open(&fd)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Opened::File(fd, stat),
        _ => Opened::Device(fd),
    })
}

fn create(at: &Location, mode: u32) -> io::Result<OwnedFd> {
    if at.judge_directory().is_ok() {
        return Ok(at.open(OFlags::WRONLY | OFlags::CREATE, mode)?);
    }
    match at.open(OFlags::WRONLY, 0) {
        Err(Errno::NOENT) => at.judge_directory().and(Err(Errno::NOENT.into())),
        other => Ok(other?),
    }
}

/// Takes everything, so anybody may make a link to it.
const NULL: &str = "/dev/null";

/// Our own standard stream, if that is what a link of this text leads to, by one of its names or by way of procfs.
/// Whoever made the link: nobody can be harmed by what we write there, and images do so.
fn own_stream_behind(target: &Path) -> Option<OwnedFd> {
    if let Some(stream) = StandardStream::named(target) {
        return stream.duplicate().ok();
    }
    let is_descriptor = target.starts_with("/proc") && target.parent().is_some_and(|fd| fd.ends_with("fd"));
    let wanted = is_descriptor.then(|| rustix::fs::statat(CWD, target, AtFlags::empty()).ok())??;
    own_stream(&wanted)
}

/// The standard stream of ours that is this.
fn own_stream(wanted: &Stat) -> Option<OwnedFd> {
    [StandardStream::Output, StandardStream::Error].into_iter().find_map(|stream| {
        let fd = stream.duplicate().ok()?;
        let own = rustix::fs::fstat(&fd).ok()?;
        ((own.st_dev, own.st_ino) == (wanted.st_dev, wanted.st_ino)).then_some(fd)
    })
}

fn open_null(flags: OFlags) -> io::Result<Opened> {
    let at = Location::of(Path::new(NULL), Missing::Fail)?;
    Ok(Opened::Device(at.open(flags.difference(OFlags::APPEND), 0)?))
}

/// Opens what a link of procfs stands for: a pipe, a terminal, a file that may have no name. Sockets cannot be opened,
/// but if it is our own standard stream, that is used as it is.
fn open_procfs(at: &Location, flags: OFlags) -> io::Result<Opened> {
    if let Some(own) = own_stream(&at.stat_procfs_link()?) {
        return Ok(Opened::Stream(own));
    }
    Ok(Opened::Device(at.open_procfs_link(flags)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    /// Somebody who is neither root nor us.
    const ALICE: u32 = 54_321;
    const BOB: u32 = 54_322;

    /// A directory of ours with one of alice's in it. `None`, with a word, if we are not root.
    fn two_directories() -> Option<(tempfile::TempDir, PathBuf)> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can give files away");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let hers = dir.path().join("alice");
        std::fs::create_dir(&hers).unwrap();
        give(&hers, ALICE);
        Some((dir, hers))
    }

    fn give(path: &Path, user: u32) {
        std::os::unix::fs::lchown(path, Some(user), Some(user)).unwrap();
    }

    fn link(target: &Path, at: &Path, user: u32) {
        symlink(target, at).unwrap();
        give(at, user);
    }

    /// Every way to open it is refused, and nothing has become of the target.
    #[track_caller]
    fn is_refused(path: &Path) {
        for result in [
            for_writing(path, 0o644, Missing::Make).map(drop),
            existing(path).map(drop),
            for_reading(path).map(drop),
            facts_at(path).map(drop),
        ] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        }
    }

    #[track_caller]
    fn is_written(path: &Path) {
        let Opened::File(fd, _) = for_writing(path, 0o644, Missing::Make).unwrap() else { panic!("no file") };
        rustix::io::write(&fd, b"x").unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"x");
        assert!(to_read(path).unwrap().is_some());
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_directory_that_was_exchanged_for_a_link_is_not_followed() {
        let Some((dir, hers)) = two_directories() else { return };
        let target = dir.path().join("roots");
        std::fs::create_dir(&target).unwrap();
        std::fs::write(target.join("web"), "precious").unwrap();
        link(&target, &hers.join("log"), ALICE);
        is_refused(&hers.join("log/web"));
        assert!(for_writing(&hers.join("log/new"), 0o644, Missing::Make).is_err());
        assert!(for_writing(&hers.join("log/deep/new"), 0o644, Missing::Make).is_err());
        assert!(new(&hers.join("log/other"), 0o600).is_err());
        assert_eq!(std::fs::read_dir(&target).unwrap().count(), 1);
        // A link of root's that she could have moved there is no better.
        link(&target, &hers.join("moved"), 0);
        is_refused(&hers.join("moved/web"));
        assert!(crate::log::sinks::rotate::shift(&hers.join("log/web"), 2).is_err());
        assert!(crate::files::replace::replace(&hers.join("log/web"), b"x", 0o600).is_err());
        // Nor is one in two steps, or by way of procfs.
        link(&hers.join("log"), &hers.join("twice"), ALICE);
        is_refused(&hers.join("twice/web"));
        link(
            Path::new("/proc/self/root").join(target.strip_prefix("/").unwrap()).as_path(),
            &hers.join("proc"),
            ALICE,
        );
        is_refused(&hers.join("proc/web"));
    }

    #[test]
    fn a_link_in_the_last_place_is_followed_to_its_makers_things_only() {
        let Some((dir, hers)) = two_directories() else { return };
        let precious = dir.path().join("shadow");
        std::fs::write(&precious, "precious").unwrap();
        link(&precious, &hers.join("web.log"), ALICE);
        is_refused(&hers.join("web.log"));
        link(&dir.path().join("made"), &hers.join("dangling"), ALICE);
        assert!(for_writing(&hers.join("dangling"), 0o644, Missing::Make).is_err());
        assert!(!dir.path().join("made").exists());
        assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
        // Her own file behind her own link is as good as the name itself.
        std::fs::create_dir(hers.join("releases")).unwrap();
        give(&hers.join("releases"), ALICE);
        link(Path::new("releases"), &hers.join("current"), ALICE);
        is_written(&hers.join("current/web.log"));
        // Somebody else's link in her directory is nobody's word.
        link(&hers.join("releases"), &hers.join("bobs"), BOB);
        assert!(for_writing(&hers.join("bobs/web.log"), 0o644, Missing::Make).is_err());
    }

    #[test]
    fn a_hard_link_to_a_file_of_somebody_elses_is_refused() {
        let Some((dir, hers)) = two_directories() else { return };
        let precious = dir.path().join("shadow");
        std::fs::write(&precious, "precious").unwrap();
        std::fs::hard_link(&precious, hers.join("web.log")).unwrap();
        is_refused(&hers.join("web.log"));
        // In a directory of our own whoever made it was root.
        std::fs::hard_link(&precious, dir.path().join("copy")).unwrap();
        assert!(existing(&dir.path().join("copy")).is_ok());
    }

    #[test]
    fn links_of_our_own_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("deep")).unwrap();
        symlink("deep", dir.path().join("directory")).unwrap();
        symlink("deep/real.txt", dir.path().join("link")).unwrap();
        is_written(&dir.path().join("directory/file"));
        let _ = for_writing(&dir.path().join("link"), 0o644, Missing::Make).unwrap();
        assert!(dir.path().join("deep/real.txt").is_file());
        symlink("loop", dir.path().join("loop")).unwrap();
        let error = for_writing(&dir.path().join("loop"), 0o644, Missing::Make).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    }

    #[test]
    fn whoever_made_it_a_link_to_our_own_output_is_followed() {
        let Some((_dir, hers)) = two_directories() else { return };
        link(Path::new("/dev/stdout"), &hers.join("out"), ALICE);
        link(Path::new("/dev/null"), &hers.join("null"), ALICE);
        assert!(matches!(for_writing(&hers.join("out"), 0o644, Missing::Make).unwrap(), Opened::Stream(_)));
        assert!(matches!(for_writing(&hers.join("null"), 0o644, Missing::Make).unwrap(), Opened::Device(_)));
        assert!(to_read(&hers.join("out")).unwrap().is_none());
    }

    #[test]
    fn what_has_no_name_is_found_through_procfs() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let pid = std::process::id();
        let name = format!("/proc/{pid}/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&write));
        let Opened::Device(fd) = for_writing(Path::new(&name), 0o644, Missing::Make).unwrap() else {
            panic!("no device")
        };
        rustix::io::write(&fd, b"text").unwrap();
        let mut buffer = [0; 9];
        assert_eq!(rustix::io::read(&read, &mut buffer).unwrap(), 4);
        // A deleted file goes on where it ends.
        let file = tempfile::tempfile().unwrap();
        rustix::io::write(&file, b"one").unwrap();
        let name = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        let Opened::Device(fd) = for_writing(Path::new(&name), 0o644, Missing::Make).unwrap() else {
            panic!("no device")
        };
        rustix::io::write(&fd, b"two").unwrap();
        assert_eq!(rustix::fs::fstat(&file).unwrap().st_size, 6);
    }

    #[test]
    fn missing_directories_are_made_where_that_was_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c.txt");
        assert_eq!(for_writing(&path, 0o644, Missing::Fail).unwrap_err().kind(), io::ErrorKind::NotFound);
        is_written(&path);
        let mode = std::fs::metadata(dir.path().join("a/b")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }
}
