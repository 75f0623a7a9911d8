//! Private directories in memory, in which programs find what nobody else is to see: copies of their credentials.
//!
//! Each daemon has a [`Store`], a directory of its own, and in that one directory for each program. The store is locked for
//! as long as somebody holds its descriptor: a daemon leaves that with its keeper. So [`sweep`] knows which stores are left
//! of daemons that have ended, in whatever container those were.
//!
//! A copy goes from file to file within the kernel. It is never in our own memory, and so in no core dump of ours.

use crate::files::open;
use crate::files::trust::{self, Control};
use crate::sys::{capabilities, process, random, tree};
use rustix::fs::{AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::cell::OnceCell;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The longest file that is copied; systemd has the same limit.
pub const LONGEST: u64 = 1 << 20;

/// So much all files of one directory may have together.
pub const MOST_BYTES: u64 = 4 << 20;

/// So many names are removed with one directory at most. Its owner may have made more.
const MOST_NAMES: usize = 1 << 20;

/// How often a name that is taken leads to another one.
const TRIES: usize = 16;

/// `TMPFS_MAGIC` and `RAMFS_MAGIC`, statfs(2).
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// What the name of every store begins with; the user's number follows.
const PREFIX: &str = "supervisord.credentials.";

/// What stands behind the name of a directory in that of the note about it.
const NOTE: &str = ".process";

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The directory of one daemon.
#[derive(Debug)]
pub struct Store {
    fd: OwnedFd,
    path: PathBuf,
}

impl Store {
    /// Makes one, and locks it.
    ///
    /// # Errors
    /// Why there can be none, for each place where it could be.
    pub fn make() -> Result<Store, String> {
        Store::make_in_one_of(&places())
    }

    fn make_in_one_of(places: &[PathBuf]) -> Result<Store, String> {
        let mut problems = Vec::new();
        for place in places {
            match open_place(place).and_then(|fd| make_in(&fd, place)) {
                Ok(store) => return Ok(store),
                Err(why) => problems.push(format!("{}: {why}", place.display())),
            }
        }
        Err(format!("there is no place for it in memory ({})", problems.join("; ")))
    }

    /// The one that somebody else has made and locked, by its descriptor.
    ///
    /// # Errors
    /// Nobody knows where it is.
    pub fn held(fd: OwnedFd) -> io::Result<Store> {
        let path = crate::files::location::path_of(&fd)?;
        Ok(Store { fd, path })
    }

    /// Its descriptor, which is to be held.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the directories in it.
    pub fn names(&self) -> Vec<String> {
        let all = names(self.fd()).into_iter().filter(|name| !is_note(name));
        all.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// Makes a directory of this name in which `fill` puts files; then all of it belongs to `owner`, if that is somebody
    /// else than we are.
    ///
    /// # Errors
    /// The text for whoever wanted it. What was made is still there.
    pub fn add(
        &self,
        name: &str,
        owner: Option<u32>,
        fill: impl FnOnce(&mut Filling<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let failed = |what: &'static str| move |errno: Errno| format!("{what}: {}", errno_text(errno));
        let made = || "their directory cannot be made";
        rustix::fs::mkdirat(&self.fd, name, Mode::RWXU).map_err(failed(made()))?;
        let directory =
            rustix::fs::openat(&self.fd, name, DIRECTORY, Mode::empty()).map_err(failed(made()))?;
        // Whatever the umask is.
        rustix::fs::fchmod(&directory, Mode::RWXU).map_err(failed(made()))?;
        fill(&mut Filling { directory: directory.as_fd(), owner, n_bytes: 0 })?;
        // At last: then nobody else could change it while it was filled.
        give(directory.as_fd(), owner).map_err(|why| format!("their directory {why}"))
    }

    /// Notes which process has a directory. A sweep leaves it alone as long as that lives, whatever the process has made of
    /// its environment.
    pub fn note_user(&self, name: &str, pid: i32) {
        let Some(ticks) = process::start_ticks(pid) else { return };
        // A link that leads nowhere is there at once or not at all.
        let _ = rustix::fs::symlinkat(format!("{pid} {ticks}"), &self.fd, format!("{name}{NOTE}"));
    }

    /// Removes a directory and everything in it; `most` is how many names that may be.
    ///
    /// # Errors
    /// The system's; E2BIG if there are more.
    pub fn remove(&self, name: &str, most: usize) -> io::Result<()> {
        let name = CString::new(name)?;
        Ok(remove(self.fd(), &name, most)?)
    }

    /// As [`Store::remove`], with all that a program may have put there.
    ///
    /// # Errors
    /// The system's.
    pub fn remove_all_of(&self, name: &str) -> io::Result<()> {
        self.remove(name, MOST_NAMES)
    }

    /// Removes everything.
    ///
    /// # Errors
    /// The system's. What could be removed is gone.
    pub fn remove_itself(&self) -> io::Result<()> {
        let mut result = Ok(());
        for name in names(self.fd()) {
            if let Err(errno) = remove(self.fd(), &name, MOST_NAMES) {
                result = Err(errno.into());
            }
        }
        // Its directory is root's or ours, and nobody else can exchange a name in it.
        let Some((place, name)) = self.path.parent().zip(self.path.file_name()) else { return result };
        let place =
            rustix::fs::open(place, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
        let found = rustix::fs::statat(&place, name, AtFlags::SYMLINK_NOFOLLOW).map(identity)?;
        if found == rustix::fs::fstat(&self.fd).map(identity)? {
            rustix::fs::unlinkat(&place, name, AtFlags::REMOVEDIR)?;
        }
        result
    }
}

/// A directory that is being filled.
pub struct Filling<'d> {
    directory: BorrowedFd<'d>,
    owner: Option<u32>,
    n_bytes: u64,
}

impl Filling<'_> {
    /// Copies a file there, readable for its owner alone; false if there is none. A link of somebody else's is not followed,
    /// and nothing is read but regular files.
    ///
    /// # Errors
    /// The text for whoever wanted it.
    pub fn copy(&mut self, source: &Path, name: &str) -> Result<bool, String> {
        let (source, stat) = match open::to_read(source) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error_text(&error)),
            Ok(None) => return Err("it is not a regular file".to_string()),
            Ok(Some(opened)) => opened,
        };
        let too_large = || format!("it is larger than {} MiB", LONGEST >> 20);
        if u64::try_from(stat.st_size).is_ok_and(|size| size > LONGEST) {
            return Err(too_large());
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let copy = rustix::fs::openat(self.directory, name, flags, Mode::RUSR);
        let copy =
            File::from(copy.map_err(|errno| format!("its copy cannot be made: {}", errno_text(errno)))?);
        let n_bytes = transfer(&source, &copy, LONGEST + 1).map_err(|error| error_text(&error))?;
        if n_bytes > LONGEST {
            return Err(too_large());
        }
        self.n_bytes += n_bytes;
        if self.n_bytes > MOST_BYTES {
            return Err(format!("all credentials together are larger than {} MiB", MOST_BYTES >> 20));
        }
        rustix::fs::fchmod(&copy, Mode::RUSR).map_err(errno_text)?;
        give(copy.as_fd(), self.owner).map_err(|why| format!("its copy {why}"))?;
        Ok(true)
    }
}

/// Removes what is left of daemons of our user that have ended, but for the directories that are still in use; `used` finds
/// those by their paths, and is asked only if anything is left.
pub fn sweep(used: impl Fn() -> Vec<PathBuf>) {
    sweep_all(&places(), &used);
}

fn sweep_all(places: &[PathBuf], used: &dyn Fn() -> Vec<PathBuf>) {
    let found = OnceCell::new();
    let is_used = |path: &PathBuf| found.get_or_init(used).contains(path);
    for place in places {
        let Ok(fd) = open_place(place) else { continue };
        let prefix = store_prefix();
        for name in
            names(fd.as_fd()).into_iter().filter(|name| name.to_bytes().starts_with(prefix.as_bytes()))
        {
            sweep_store(&fd, place, &name, &is_used);
        }
    }
}

fn sweep_store(place: &OwnedFd, path: &Path, name: &CStr, is_used: &dyn Fn(&PathBuf) -> bool) {
    let Ok(store) = rustix::fs::openat(place, name, DIRECTORY, Mode::empty()) else { return };
    let is_ours = rustix::fs::fstat(&store).is_ok_and(|stat| stat.st_uid == our_uid());
    // Whoever has it locked lives.
    if !is_ours || rustix::fs::flock(&store, FlockOperation::NonBlockingLockExclusive).is_err() {
        return;
    }
    let path = path.join(OsStr::from_bytes(name.to_bytes()));
    for entry in names(store.as_fd()).into_iter().filter(|name| !is_note(name)) {
        let at = path.join(OsStr::from_bytes(entry.to_bytes()));
        if !lives_by_note(store.as_fd(), &entry)
            && !is_used(&at)
            && let Err(errno) = remove(store.as_fd(), &entry, MOST_NAMES)
        {
            ::log::warn!("cannot remove the credentials {} of a former daemon: {errno}", at.display());
        }
    }
    if names(store.as_fd()).iter().all(|name| is_note(name)) {
        let _ = tree::clear(store.as_fd(), MOST_NAMES);
    }
    // Fails while something of it is in use.
    let _ = rustix::fs::unlinkat(place, name, AtFlags::REMOVEDIR);
}

/// Removes one directory of a store. If we are not root, or a root without all of its rights, it has to be ours first;
/// nobody else can exchange its name.
fn remove(store: BorrowedFd<'_>, name: &CStr, most: usize) -> Result<(), Errno> {
    let removed = remove_directory(store, name, most);
    if matches!(removed, Ok(()) | Err(Errno::NOENT)) {
        let _ = rustix::fs::unlinkat(store, note_about(name), AtFlags::empty());
    }
    removed
}

fn note_about(name: &CStr) -> Vec<u8> {
    [name.to_bytes(), NOTE.as_bytes()].concat()
}

fn is_note(name: &CStr) -> bool {
    name.to_bytes().ends_with(NOTE.as_bytes())
}

/// Whether the note about a directory names a process that lives.
fn lives_by_note(store: BorrowedFd<'_>, name: &CStr) -> bool {
    let note = rustix::fs::readlinkat(store, note_about(name), Vec::new()).ok();
    let note = note.and_then(|note| note.into_string().ok()).unwrap_or_default();
    let numbers = note.split_once(' ').and_then(|(pid, ticks)| pid.parse().ok().zip(ticks.parse().ok()));
    numbers.is_some_and(|(pid, ticks)| process::lives(pid, ticks))
}

fn remove_directory(store: BorrowedFd<'_>, name: &CStr, most: usize) -> Result<(), Errno> {
    match tree::remove(store, name, most) {
        Err(Errno::ACCESS | Errno::PERM) => {
            let us = Some(Uid::from_raw(our_uid()));
            rustix::fs::chownat(store, name, us, None, AtFlags::SYMLINK_NOFOLLOW)?;
            rustix::fs::chmodat(store, name, Mode::RWXU, AtFlags::empty())?;
            tree::remove(store, name, most)
        }
        done => done,
    }
}

/// Where a store can be, the best place first: everybody may fill that one up already.
fn places() -> [PathBuf; 2] {
    let uid = our_uid();
    let second = if uid == 0 { PathBuf::from("/run") } else { format!("/run/user/{uid}").into() };
    [PathBuf::from("/dev/shm"), second]
}

/// Opens a directory in memory in which nobody else can exchange our names.
fn open_place(path: &Path) -> Result<OwnedFd, String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(errno_text)?;
    let kind = rustix::fs::fstatfs(&fd).map_err(errno_text)?.f_type as u64;
    if !IN_MEMORY.contains(&kind) {
        return Err("it is not in memory (tmpfs)".to_string());
    }
    let stat = rustix::fs::fstat(&fd).map_err(errno_text)?;
    match trust::control(stat.st_uid, stat.st_mode, our_uid()) {
        Control::Ours | Control::Sticky => Ok(fd),
        Control::User(_) | Control::Anyone => Err("others may exchange what lies there".to_string()),
    }
}

fn make_in(place: &OwnedFd, path: &Path) -> Result<Store, String> {
    for _ in 0..TRIES {
        let name = format!("{}{:08x}{:08x}", store_prefix(), random::number(), random::number());
        match rustix::fs::mkdirat(place, &*name, Mode::RWXU) {
            Err(Errno::EXIST) => continue,
            made => made.map_err(errno_text)?,
        }
        let fd = rustix::fs::openat(place, &*name, DIRECTORY, Mode::empty()).map_err(errno_text)?;
        // Programs have to get through it to their own.
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o711)).map_err(errno_text)?;
        // Whoever sweeps may have found it before it was locked.
        let is_locked = rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive).is_ok();
        if is_locked && rustix::fs::fstat(&fd).is_ok_and(|stat| stat.st_nlink > 0) {
            return Ok(Store { fd, path: path.join(name) });
        }
    }
    Err("every name is taken".to_string())
}

fn store_prefix() -> String {
    format!("{PREFIX}{}.", our_uid())
}

fn names(directory: BorrowedFd<'_>) -> Vec<CString> {
    let Ok(entries) = Dir::read_from(directory) else { return Vec::new() };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_owned()));
    names.filter(|name| name.as_c_str() != c"." && name.as_c_str() != c"..").collect()
}

/// Gives a file or directory away; the text goes behind its name.
fn give(fd: BorrowedFd<'_>, owner: Option<u32>) -> Result<(), String> {
    const CAP_CHOWN: u32 = 0;
    let Some(owner) = owner.filter(|owner| *owner != our_uid()) else { return Ok(()) };
    rustix::fs::fchown(fd, Some(Uid::from_raw(owner)), None).map_err(|errno| {
        let lack = if capabilities::is_effective(CAP_CHOWN) { "" } else { " (CAP_CHOWN is missing)" };
        format!("cannot be given to user {owner}: {}{lack}", errno_text(errno))
    })
}

/// Copies up to `most` bytes; how many there were.
fn transfer(from: &File, to: &File, most: u64) -> io::Result<u64> {
    let mut n_bytes = 0;
    while n_bytes < most {
        match rustix::fs::sendfile(to, from, None, (most - n_bytes) as usize) {
            Ok(0) => break,
            Ok(sent) => n_bytes += sent as u64,
            Err(Errno::INTR) => {}
            // A file system that cannot do that.
            Err(Errno::INVAL | Errno::NOSYS) => return Ok(n_bytes + by_hand(from, to, most - n_bytes)?),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(n_bytes)
}

fn by_hand(mut from: &File, mut to: &File, most: u64) -> io::Result<u64> {
    use std::io::{Read, Write};
    let mut buffer = [0; 4096];
    let mut n_bytes = 0;
    let outcome = loop {
        let room = buffer.len().min((most - n_bytes) as usize);
        match from.read(&mut buffer[..room]) {
            Ok(0) => break Ok(n_bytes),
            Ok(read) => {
                if let Err(error) = to.write_all(&buffer[..read]) {
                    break Err(error);
                }
                n_bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    // Nothing of it stays in our memory.
    buffer.fill(0);
    std::hint::black_box(&buffer);
    outcome
}

fn our_uid() -> u32 {
    crate::files::location::our_uid()
}

fn errno_text(errno: Errno) -> String {
    error_text(&errno.into())
}

fn error_text(error: &io::Error) -> String {
    let number = error.raw_os_error();
    number.map_or_else(|| error.to_string(), |number| nix::errno::Errno::from_raw(number).desc().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    /// A place of this test alone: a sweep is over what others have left, too.
    fn place() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").unwrap()
    }

    fn make(place: &tempfile::TempDir) -> Store {
        Store::make_in_one_of(&[place.path().to_path_buf()]).unwrap()
    }

    fn sweep(place: &tempfile::TempDir, used: &[PathBuf]) {
        sweep_all(&[place.path().to_path_buf()], &|| used.to_vec());
    }

    #[test]
    fn a_store_holds_private_copies_until_it_is_removed() {
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("source"), "secret").unwrap();
        let place = place();
        let store = make(&place);
        assert_eq!(store.path().metadata().unwrap().mode() & 0o7777, 0o711);
        store
            .add("7.a", None, |filling| {
                assert_eq!(filling.copy(&files.path().join("missing"), "no"), Ok(false));
                assert_eq!(filling.copy(&files.path().join("source"), "yes"), Ok(true));
                Ok(())
            })
            .unwrap();
        let copy = store.path().join("7.a/yes");
        assert_eq!(std::fs::read(&copy).unwrap(), b"secret");
        assert_eq!(copy.metadata().unwrap().mode() & 0o7777, 0o400);
        assert_eq!(store.path().join("7.a").metadata().unwrap().mode() & 0o7777, 0o700);
        assert_eq!(store.names(), ["7.a"]);
        // The lock goes with the descriptor, wherever a copy of that is.
        let again = Store::held(store.fd().try_clone_to_owned().unwrap()).unwrap();
        assert_eq!(again.path(), store.path());
        drop(store);
        sweep(&place, &[]);
        assert!(copy.exists());
        std::fs::set_permissions(copy.parent().unwrap(), std::fs::Permissions::from_mode(0o000)).unwrap();
        again.remove_itself().unwrap();
        assert!(!again.path().exists());
    }

    #[test]
    fn what_nobody_holds_is_swept_but_for_what_is_used() {
        let place = place();
        let store = make(&place);
        for name in ["1.a", "2.b", "3.c"] {
            store.add(name, None, |_| Ok(())).unwrap();
        }
        store.note_user("3.c", process::own_pid());
        assert_eq!(store.names().len(), 3);
        let path = store.path().to_path_buf();
        drop(store);
        sweep(&place, &[path.join("2.b")]);
        assert!(!path.join("1.a").exists() && path.join("2.b").exists() && path.join("3.c").exists());
        // Somebody else has the number by now.
        std::fs::remove_file(path.join("3.c.process")).unwrap();
        std::os::unix::fs::symlink(format!("{} 1", process::own_pid()), path.join("3.c.process")).unwrap();
        sweep(&place, &[]);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_not_in_memory_is_no_place() {
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let missing = directory.path().join("missing");
        let why = Store::make_in_one_of(&[PathBuf::from("/proc"), missing.clone()]).unwrap_err();
        let expected = format!(
            "there is no place for it in memory (/proc: it is not in memory (tmpfs); {}: No such file or directory)",
            missing.display()
        );
        assert_eq!(why, expected);
    }

    #[test]
    fn what_is_too_large_or_no_file_is_refused() {
        let files = tempfile::tempdir().unwrap();
        let at = |name: &str| files.path().join(name);
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::File::create(at("sparse")).unwrap().set_len(1 << 30).unwrap();
        std::fs::write(at("most"), vec![b'x'; 1 << 20]).unwrap();
        let place = place();
        let store = make(&place);
        let refused = |path: &Path, why: &str| {
            store.add(&why.replace(' ', "_"), None, |filling| filling.copy(path, "x").map(drop)).unwrap_err()
        };
        assert_eq!(refused(&at("fifo"), "1"), "it is not a regular file");
        assert_eq!(refused(Path::new("/dev/zero"), "2"), "it is not a regular file");
        assert_eq!(refused(&at("sparse"), "3"), "it is larger than 1 MiB");
        let all = store.add("4", None, |filling| {
            for number in 0..5 {
                filling.copy(&at("most"), &number.to_string())?;
            }
            Ok(())
        });
        assert_eq!(all.unwrap_err(), "all credentials together are larger than 4 MiB");
        store.remove_itself().unwrap();
    }
}
