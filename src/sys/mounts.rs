//! Tells which files can be looked up and executed without waiting for anybody: those on file systems that this kernel
//! alone serves. A server that is gone (NFS) or a process that does not answer (FUSE) can block a lookup for ever. Trying
//! the lookup does not help: the trial would block, too.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags};
use std::collections::HashSet;
use std::io::Read;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

/// File systems that nobody else has a part in. What is not among them counts as one that can hang.
const LOCAL: [&str; 37] = [
    "bdev",
    "binder",
    "binfmt_misc",
    "bpf",
    "btrfs",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "erofs",
    "exfat",
    "ext2",
    "ext3",
    "ext4",
    "f2fs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "squashfs",
    "sysfs",
    "tmpfs",
    "tracefs",
    "vfat",
    "xfs",
    "zfs",
];

/// What an executable begins with that needs no interpreter of its own choice.
const ELF: [u8; 4] = *b"\x7fELF";

/// The mounts of this process, read again when there are others.
pub struct Mounts {
    /// `None`: nobody tells, so everything may hang.
    table: Option<std::fs::File>,
    /// The numbers of those that can hang.
    doubtful: HashSet<u64>,
    was_read: bool,
}

impl Mounts {
    /// Opens the table; it is read when somebody asks.
    pub fn open() -> Mounts {
        let table = std::fs::File::open("/proc/self/mountinfo").ok();
        Mounts { table, doubtful: HashSet::new(), was_read: false }
    }

    /// Whether there is no file system at all that can hang.
    pub fn are_all_local(&mut self) -> bool {
        self.refresh();
        self.table.is_some() && self.doubtful.is_empty()
    }

    /// Whether a file can be executed without waiting for anybody. Does not wait to find out: what the kernel would
    /// have to look up, and what it does not have in memory, counts as what can hang.
    pub fn is_local_program(&mut self, file: &Path) -> bool {
        self.are_all_local() || (self.table.is_some() && self.is_known_to_be_local(file).is_some())
    }

    fn is_known_to_be_local(&self, file: &Path) -> Option<()> {
        let (cached, none) = (ResolveFlags::CACHED, Mode::empty());
        let found =
            rustix::fs::openat2(rustix::fs::CWD, file, OFlags::PATH | OFlags::CLOEXEC, none, cached).ok()?;
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let wanted = StatxFlags::TYPE | StatxFlags::MNT_ID;
        let facts = rustix::fs::statx(&found, c"", flags, wanted).ok()?;
        let is_told = StatxFlags::from_bits_retain(facts.stx_mask).contains(wanted);
        let is_file = facts.stx_mode & libc::S_IFMT as u16 == libc::S_IFREG as u16;
        if !is_told || !is_file || self.doubtful.contains(&facts.stx_mnt_id) {
            return None;
        }
        // A script's interpreter is another file.
        let open = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let content = rustix::fs::open(format!("/proc/self/fd/{}", found.as_raw_fd()), open, none).ok()?;
        let mut head = [0; ELF.len()];
        let mut place = [std::io::IoSliceMut::new(&mut head)];
        let read = rustix::io::preadv2(&content, &mut place, 0, rustix::io::ReadWriteFlags::NOWAIT).ok()?;
        (read == ELF.len() && head == ELF).then_some(())
    }

    fn refresh(&mut self) {
        let Some(table) = &mut self.table else { return };
        // Another mount shows as an error, once for each descriptor.
        if self.was_read && !has_changed(std::os::fd::AsFd::as_fd(table)) {
            return;
        }
        let mut text = String::new();
        let read =
            std::io::Seek::rewind(table).and_then(|()| table.read_to_string(&mut text)).ok().map(|_| text);
        match read {
            Some(text) => (self.doubtful, self.was_read) = (doubtful(&text), true),
            None => self.table = None,
        }
    }
}

fn has_changed(table: BorrowedFd<'_>) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    !matches!(poll(&mut [PollFd::from_borrowed_fd(table, PollFlags::PRI)], Some(&at_once)), Ok(0))
}

/// The numbers of the mounts of a table (proc(5), `/proc/PID/mountinfo`) that can hang.
fn doubtful(table: &str) -> HashSet<u64> {
    let mount = |line: &str| {
        let number = line.split(' ').next()?.parse().ok()?;
        let (_, kind) = line.split_once(" - ")?;
        let kind = kind.split(' ').next()?;
        (!LOCAL.contains(&kind)).then_some(number)
    };
    table.lines().filter_map(mount).collect()
}

/// Whether something has this name, as far as the kernel knows without asking anybody; `None` if it would have to ask,
/// or cannot tell. Links are followed, and nothing is opened.
pub fn exists_in_cache(path: &Path) -> Option<bool> {
    let (flags, cached) = (OFlags::PATH | OFlags::CLOEXEC, ResolveFlags::CACHED);
    match rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), cached) {
        Ok(_) => Some(true),
        Err(rustix::io::Errno::NOENT) => Some(false),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_mounts() {
        let table = "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
                     27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                     99 27 0:50 / /mnt/a\\040b rw shared:7 master:3 - nfs4 server:/x rw,hard\n\
                     103 27 0:51 / /run/user/1000/doc rw - fuse.portal portal rw\n";
        assert_eq!(doubtful(table), HashSet::from([99, 103]));
    }

    #[test]
    fn the_cache_says_only_what_is_so() {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("file");
        assert_ne!(exists_in_cache(&path), Some(true));
        std::fs::write(&path, "x").unwrap();
        assert_ne!(exists_in_cache(&path), Some(false));
        let link = files.path().join("link");
        std::os::unix::fs::symlink("nothing", &link).unwrap();
        assert_ne!(exists_in_cache(&link), Some(true));
        std::fs::remove_file(&path).unwrap();
        assert_ne!(exists_in_cache(&path), Some(true));
        assert_eq!(exists_in_cache(Path::new("file\0")), None);
    }

    #[test]
    fn what_is_not_known_to_be_local_counts_as_what_can_hang() {
        let mut mounts = Mounts::open();
        let all_local = mounts.are_all_local();
        // The file this runs as is in memory, and of this kernel's own format.
        let own = std::env::current_exe().unwrap();
        mounts.doubtful.insert(u64::MAX);
        assert!(mounts.is_local_program(&own) || !all_local);
        let files = tempfile::tempdir().unwrap();
        let script = files.path().join("script");
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        for other in [&script, files.path(), Path::new("/nowhere/at/all"), Path::new("/dev/null")] {
            assert!(!mounts.is_local_program(other), "{other:?}");
        }
        mounts.table = None;
        assert!(!mounts.is_local_program(&own));
    }
}
