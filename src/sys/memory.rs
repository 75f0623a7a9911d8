//! Memory that two processes share: nameless files, and their mappings.
//!
//! The other process may write at any time, so mapped memory is read and written through atomics only. The files are
//! sealed against shrinking: touching a missing part would be a SIGBUS, and for the keeper that is the end of every
//! program.

use crate::sys::limits::{self, Limited};
use rustix::fs::{MemfdFlags, OFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Where a file without a name can be made if the system has none in memory.
const DIRECTORIES: [&str; 4] = ["/dev/shm", "/run", "/tmp", "/var/tmp"];

/// A file in memory, empty and close-on-exec. It has no name, and is gone with its last descriptor.
///
/// Where memfd_create(2) is missing or forbidden (an old kernel, a sandbox), it is a file without a name in `/dev/shm`
/// or another directory for temporary files, which only its owner can open. Such a file cannot be [sealed](seal).
///
/// # Errors
/// There is neither.
pub fn new_file(name: &str) -> io::Result<OwnedFd> {
    match memfd(name) {
        Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS) => nameless_file().map_err(|errno| {
            io::Error::new(
                io::Error::from(errno).kind(),
                format!(
                    "the system refuses memfd_create(2), and no file without a name can be made in {}: {errno}",
                    DIRECTORIES.join(", ")
                ),
            )
        }),
        other => Ok(other?),
    }
}

fn memfd(name: &str) -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Some systems refuse files in memory that could be executed; Linux before 6.3 does not know the difference.
    match memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => memfd_create(name, flags),
        other => other,
    }
}

fn nameless_file() -> Result<OwnedFd, Errno> {
    let flags = OFlags::TMPFILE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    let mut failure = Errno::NOENT;
    for directory in DIRECTORIES {
        match rustix::fs::open(directory, flags, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR) {
            Ok(file) => return Ok(file),
            Err(errno) => failure = errno,
        }
    }
    Err(failure)
}

/// How a [file in memory](new_file) may change from now on, whoever has it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// It may be written to and become longer, never shorter.
    MayGrow,
    /// Not at all.
    ForGood,
}

/// Forbids changes of a [file in memory](new_file), and further seals.
///
/// One that an earlier release has made, or that is no file in memory, stays as it is: nothing that we read depends on
/// seals, they only keep others from breaking it.
pub fn seal(file: impl AsFd, sealed: Sealed) {
    let seals = match sealed {
        Sealed::MayGrow => SealFlags::SHRINK | SealFlags::SEAL,
        // Not F_SEAL_WRITE: for that the kernel waits until nobody else has a hand on the pages, ten milliseconds at the
        // least if a processor has just put them aside. Nothing of these is mapped for writing.
        Sealed::ForGood => SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL,
    };
    if fcntl_add_seals(&file, seals) == Err(Errno::INVAL) {
        // Linux before 5.1.
        let _ = fcntl_add_seals(&file, seals.difference(SealFlags::FUTURE_WRITE));
    }
}

/// Makes a file longer.
///
/// # Errors
/// The limit on the size of files is named if that is what is in the way.
fn set_length(file: BorrowedFd<'_>, length: u64) -> io::Result<()> {
    let Err(errno) = ftruncate(file, length) else { return Ok(()) };
    let (Errno::FBIG, Ok(limit)) = (errno, limits::get(Limited::FileSize)) else { return Err(errno.into()) };
    Err(io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!(
            "the limit on the size of files (ulimit -f) is {} bytes, and {length} are needed for shared memory, of which \
             only what is used takes room; raise the limit",
            limit.soft
        ),
    ))
}

/// Gives back to the kernel what this process has freed: what it took to read a large configuration, for example.
///
/// malloc_trim(3). It takes a millisecond or so.
pub fn give_back_free() {
    // SAFETY: only memory that nobody has is touched.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// What this process may do with a mapping: [`ReadOnly`] or [`ReadWrite`].
pub trait Mode {
    /// How pages are mapped.
    const PROTECTION: ProtFlags;
}

/// The mapping is read; another process writes it. A store would be a SIGSEGV, so no safe code can store.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOnly;

/// The mapping is read and written.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadWrite;

impl Mode for ReadOnly {
    const PROTECTION: ProtFlags = ProtFlags::READ;
}

impl Mode for ReadWrite {
    const PROTECTION: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);
}

/// Types that consist of atomics and padding only, so that any bit pattern is valid and concurrent writes by
/// another process are no data race.
///
/// # Safety
/// The implementor must be `repr(C)`, without references, and every field atomic, a [`Field`] of one, or itself
/// `Shareable`. If its mode is [`ReadOnly`], safe code must not reach anything in it that it can store to: whatever is not
/// private is a `Field` of that mode.
pub unsafe trait Shareable: Sync + Sized {
    /// What this process may do with it.
    type Mode: Mode;

    /// So many bytes every version of it has. What follows was added later and may be missing.
    const LEAST: usize = size_of::<Self>();
}

/// A part of shared memory, as a process with mode `M` sees it: everybody may load, and store only who maps it
/// [`ReadWrite`]. Laid out as the `T` it holds, which is an atomic or consists of atomics.
///
/// ```compile_fail,E0599
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use supervisord::sys::memory::{Field, ReadOnly};
///
/// fn write_through(field: &Field<AtomicU32, ReadOnly>) {
///     field.store(1, Ordering::Relaxed);
/// }
/// ```
#[repr(transparent)]
#[derive(Debug)]
pub struct Field<T, M = ReadWrite> {
    held: T,
    // Always `Send` and `Sync`: no `M` is there.
    _mode: PhantomData<fn() -> M>,
}

impl<T: Default, M> Default for Field<T, M> {
    fn default() -> Field<T, M> {
        Field { held: T::default(), _mode: PhantomData }
    }
}

/// Who may write has the whole of it.
impl<T> Deref for Field<T, ReadWrite> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.held
    }
}

macro_rules! loads {
    ($($atomic:ident => $value:ty),+) => {$(
        impl<M> Field<$atomic, M> {
            /// The value that was stored last, by whichever process.
            pub fn load(&self, ordering: Ordering) -> $value {
                self.held.load(ordering)
            }
        }
    )+};
}

loads! { AtomicU8 => u8, AtomicU32 => u32, AtomicI32 => i32, AtomicU64 => u64, AtomicI64 => i64 }

/// A mapped `T`, for as long as this value lives. What may be done with it is part of `T`.
pub struct Mapping<T: Shareable> {
    pointer: NonNull<T>,
    _owns: PhantomData<T>,
}

// SAFETY: the mapping is plain memory that belongs to the whole process; `T` is `Sync` by `Shareable`.
unsafe impl<T: Shareable> Send for Mapping<T> {}
// SAFETY: as above; only shared references to `T` are handed out.
unsafe impl<T: Shareable> Sync for Mapping<T> {}

impl<T: Shareable<Mode = ReadWrite>> Mapping<T> {
    /// Creates zeroed shared memory for one `T`, sealed against shrinking. Pages take memory only once they are written
    /// to.
    ///
    /// # Errors
    /// As [`new_file`] and [`Mapping::map`].
    pub fn create(name: &str) -> io::Result<(OwnedFd, Mapping<T>)> {
        let fd = new_file(name)?;
        set_length(fd.as_fd(), size_of::<T>() as u64)?;
        // A later release may need more.
        seal(&fd, Sealed::MayGrow);
        let mapping = Self::map(&fd)?;
        Ok((fd, mapping))
    }
}

impl<T: Shareable> Mapping<T> {
    /// Maps shared memory that was created for one `T`, perhaps by an earlier version; what that did not know is
    /// added to the file, as zeros.
    ///
    /// # Errors
    /// `InvalidData` if the file is smaller than any version's: touching the missing part would be a SIGBUS.
    /// `FileTooLarge` or `OutOfMemory` if a limit of this process is in the way, which the text names.
    pub fn map(fd: impl AsFd) -> io::Result<Mapping<T>> {
        let size = rustix::fs::fstat(&fd)?.st_size;
        let size = u64::try_from(size).unwrap_or(0);
        if size < T::LEAST as u64 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("shared memory has {size} bytes, expected {} or more", T::LEAST),
            ));
        }
        if size < size_of::<T>() as u64 {
            set_length(fd.as_fd(), size_of::<T>() as u64)?;
        }
        let protection = <T::Mode as Mode>::PROTECTION;
        // SAFETY: a fresh mapping at an address of the kernel's choice; nothing else is touched.
        let pointer =
            unsafe { mmap(std::ptr::null_mut(), size_of::<T>(), protection, MapFlags::SHARED, fd, 0) };
        let pointer = pointer.map_err(|errno| no_address_space(errno, size_of::<T>()))?;
        let pointer = NonNull::new(pointer.cast::<T>()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Mapping { pointer, _owns: PhantomData })
    }

    /// The memory.
    pub fn get(&self) -> &T {
        // SAFETY: the mapping is as large as a `T` (checked in `map`), page-aligned, lives as long as `self`,
        // any content is a valid `T` by `Shareable`, and if its pages are read-only nothing in a `T` stores.
        unsafe { self.pointer.as_ref() }
    }
}

/// Names the limit that is in the way, if it is one.
fn no_address_space(errno: Errno, n_bytes: usize) -> io::Error {
    match limits::get(Limited::AddressSpace) {
        Ok(limit) if errno == Errno::NOMEM && limit.soft != u64::MAX => io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!(
                "the limit on the address space (ulimit -v) is {} bytes, which leaves no room for {n_bytes} bytes of \
                 shared memory, of which only what is used takes memory; raise the limit",
                limit.soft
            ),
        ),
        _ => errno.into(),
    }
}

impl<T: Shareable> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this size, and no reference outlives `self`.
        let _ = unsafe { munmap(self.pointer.as_ptr().cast(), size_of::<T>()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[repr(C)]
    struct Numbers<M = ReadWrite>([Field<AtomicU64, M>; 1024]);

    // SAFETY: repr(C), fields of the mode only.
    unsafe impl<M: Mode> Shareable for Numbers<M> {
        type Mode = M;
        const LEAST: usize = size_of::<AtomicU64>();
    }

    #[test]
    fn shared_memory_is_never_made_shorter() {
        let (file, mapping) = Mapping::<Numbers>::create("test").unwrap();
        assert_eq!(ftruncate(&file, 0), Err(Errno::PERM));
        mapping.get().0[1023].store(7, Relaxed);
        ftruncate(&file, 2 * size_of::<Numbers>() as u64).unwrap();
        // Nor can anybody keep the next manager from mapping it.
        assert_eq!(fcntl_add_seals(&file, SealFlags::FUTURE_WRITE), Err(Errno::PERM));
        assert_eq!(Mapping::<Numbers>::map(&file).unwrap().get().0[1023].load(Relaxed), 7);
    }

    #[test]
    fn who_reads_sees_what_is_written_and_has_no_page_to_write_to() {
        let (file, written) = Mapping::<Numbers>::create("test").unwrap();
        let read = Mapping::<Numbers<ReadOnly>>::map(&file).unwrap();
        written.get().0[7].store(5, Relaxed);
        assert_eq!(read.get().0[7].load(Relaxed), 5);
        let address = format!("{:x}-", std::ptr::from_ref(read.get()).addr());
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let line = maps.lines().find(|line| line.starts_with(&address)).unwrap();
        assert!(line.contains(" r--s "), "{line}");
    }

    #[test]
    fn what_is_sealed_for_good_stays_as_it_is() {
        let file = new_file("test").unwrap();
        rustix::io::write(&file, b"kept").unwrap();
        seal(&file, Sealed::ForGood);
        assert_eq!(rustix::io::pwrite(&file, b"lost", 0), Err(Errno::PERM));
        assert_eq!(ftruncate(&file, 9), Err(Errno::PERM));
    }

    /// Memory of an earlier release cannot be sealed any more, and becomes longer all the same.
    #[test]
    fn what_was_made_before_there_were_seals_is_made_longer() {
        let file = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 8).unwrap();
        seal(&file, Sealed::MayGrow);
        let mapping = Mapping::<Numbers>::map(&file).unwrap();
        assert_eq!(mapping.get().0[1023].load(Relaxed), 0);
    }

    #[test]
    fn a_nameless_file_does_what_one_in_memory_does() {
        let file = nameless_file().unwrap();
        set_length(file.as_fd(), size_of::<Numbers>() as u64).unwrap();
        seal(&file, Sealed::MayGrow);
        Mapping::<Numbers>::map(&file).unwrap().get().0[5].store(5, Relaxed);
        let stat = rustix::fs::fstat(&file).unwrap();
        assert_eq!((stat.st_nlink, stat.st_mode & 0o777), (0, 0o600));
    }
}
