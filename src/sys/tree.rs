//! Removes directories that somebody else may have written to.
//!
//! Everything is done by descriptor. No symbolic link is followed and no other file system entered, so whoever owns such a
//! directory cannot make us remove anything else.

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How a directory is opened.
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Directories in directories are removed to this depth. Each takes a descriptor meanwhile.
const DEEPEST: usize = 32;

/// Who removes something may be overtaken by whoever makes more of it; so often the rest is looked at again.
const ROUNDS: usize = 3;

/// Removes whatever has this name in `parent`, with everything in it. `most` is how many names are removed at most.
///
/// # Errors
/// The system's; E2BIG if there is more than that, ENOENT if there is nothing. What could be removed is gone.
pub fn remove(parent: BorrowedFd<'_>, name: &CStr, most: usize) -> Result<(), Errno> {
    let mut left = most;
    remove_within(parent, name, DEEPEST, &mut left)
}

/// Removes everything from a directory, which stays. As [`remove`].
///
/// # Errors
/// As [`remove`].
pub fn clear(directory: BorrowedFd<'_>, most: usize) -> Result<(), Errno> {
    let mut left = most;
    clear_within(directory, DEEPEST, &mut left, &|_| true)
}

/// Removes what has a name that begins so from a directory. As [`remove`].
///
/// # Errors
/// As [`remove`].
pub fn clear_beginning(directory: BorrowedFd<'_>, begin: &[u8], most: usize) -> Result<(), Errno> {
    let mut left = most;
    clear_within(directory, DEEPEST, &mut left, &|name| name.to_bytes().starts_with(begin))
}

fn remove_within(parent: BorrowedFd<'_>, name: &CStr, depth: usize, left: &mut usize) -> Result<(), Errno> {
    *left = left.checked_sub(1).ok_or(Errno::TOOBIG)?;
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        // POSIX allows either for a directory.
        Err(Errno::ISDIR | Errno::PERM) => {}
        done => return done,
    }
    for _ in 0..ROUNDS {
        match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            done => return done,
        }
        let depth = depth.checked_sub(1).ok_or(Errno::TOOBIG)?;
        clear_within(enter(parent, name)?.as_fd(), depth, left, &|_| true)?;
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}

fn clear_within(
    directory: BorrowedFd<'_>,
    depth: usize,
    left: &mut usize,
    is_meant: &dyn Fn(&CStr) -> bool,
) -> Result<(), Errno> {
    let mut result = Ok(());
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." || !is_meant(name) {
            continue;
        }
        match remove_within(directory, name, depth, left) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) if *left == 0 => return Err(errno),
            // The rest is removed nevertheless.
            failed => result = failed,
        }
    }
    result
}

/// Opens a directory in this one, on the same mount.
fn enter(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let here = ResolveFlags::BENEATH.union(ResolveFlags::NO_XDEV).union(ResolveFlags::NO_SYMLINKS);
    match rustix::fs::openat2(parent, name, DIRECTORY, Mode::empty(), here) {
        // Linux before 5.6, or a filter that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => {
            let directory = rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())?;
            let device = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).map(|stat| stat.st_dev);
            if device(directory.as_fd())? == device(parent)? { Ok(directory) } else { Err(Errno::XDEV) }
        }
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn open(path: &std::path::Path) -> OwnedFd {
        fs::File::open(path).unwrap().into()
    }

    #[test]
    fn what_links_lead_to_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (victim, own) = (directory.path().join("victim"), directory.path().join("own"));
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("precious"), "x").unwrap();
        fs::create_dir_all(own.join("deep/er")).unwrap();
        fs::write(own.join("deep/er/file"), "x").unwrap();
        symlink(&victim, own.join("link")).unwrap();
        symlink(&victim, own.join("deep/link")).unwrap();
        fs::hard_link(victim.join("precious"), own.join("hard")).unwrap();
        remove(open(directory.path()).as_fd(), c"own", 100).unwrap();
        assert!(!own.exists());
        assert_eq!(fs::read_to_string(victim.join("precious")).unwrap(), "x");
        assert_eq!(remove(open(directory.path()).as_fd(), c"own", 100), Err(Errno::NOENT));
    }

    #[test]
    fn there_is_an_end_to_it() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..10 {
            fs::write(directory.path().join(format!("{number}")), "x").unwrap();
        }
        assert_eq!(clear(open(directory.path()).as_fd(), 4), Err(Errno::TOOBIG));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 6);
        clear_beginning(open(directory.path()).as_fd(), b"none", 4).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 6);
        clear(open(directory.path()).as_fd(), 6).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        let deep = directory.path().join(vec!["d"; DEEPEST + 5].join("/"));
        fs::create_dir_all(&deep).unwrap();
        assert_eq!(clear(open(directory.path()).as_fd(), 1000), Err(Errno::TOOBIG));
    }

    /// A program that is root could have mounted something there, even from the same file system.
    #[test]
    fn no_mount_is_entered() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("own/mount")).unwrap();
        fs::create_dir(directory.path().join("victim")).unwrap();
        fs::write(directory.path().join("victim/precious"), "x").unwrap();
        let path = directory.path().to_path_buf();
        // A mount namespace belongs to the thread.
        let outcome = std::thread::spawn(move || {
            let flags = nix::sched::CloneFlags::CLONE_NEWNS;
            if let Err(error) = nix::sched::unshare(flags) {
                return println!("skipped: no mount namespace can be had here: {error}");
            }
            let (victim, mount) = (path.join("victim"), path.join("own/mount"));
            let bound = std::process::Command::new("mount").args(["--make-rprivate", "/"]).status();
            let bind = || std::process::Command::new("mount").arg("--bind").arg(&victim).arg(&mount).status();
            if !bound.is_ok_and(|it| it.success()) || !bind().is_ok_and(|it| it.success()) {
                return println!("skipped: nothing can be mounted here");
            }
            assert!(remove(open(&path).as_fd(), c"own", 100).is_err());
            assert!(victim.join("precious").exists());
        });
        outcome.join().unwrap();
    }
}
