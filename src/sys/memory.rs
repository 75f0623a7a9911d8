//! Memory that two processes share: a `memfd`, mapped.
//!
//! The other process may write at any time, so nothing but atomics is ever read from or written to it.

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;

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

/// Types that consist of atomics and padding only, so that any bit pattern is valid and concurrent writes by
/// another process are no data race.
///
/// # Safety
/// The implementor must be `repr(C)`, without references, and every field atomic or itself `Shareable`.
pub unsafe trait Shareable: Sync + Sized {
    /// So many bytes every version of it has. What follows was added later and may be missing.
    const LEAST: usize = size_of::<Self>();
}

/// Whether this process may write to a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

/// A mapped `T`, for as long as this value lives.
pub struct Mapping<T: Shareable> {
    pointer: NonNull<T>,
    access: Access,
    _owns: PhantomData<T>,
}

// SAFETY: the mapping is plain memory that belongs to the whole process; `T` is `Sync` by `Shareable`.
unsafe impl<T: Shareable> Send for Mapping<T> {}
// SAFETY: as above; only shared references to `T` are handed out.
unsafe impl<T: Shareable> Sync for Mapping<T> {}

impl<T: Shareable> Mapping<T> {
    /// Creates zeroed shared memory for one `T`. Pages take memory only once they are written to.
    pub fn create(name: &str) -> io::Result<(OwnedFd, Mapping<T>)> {
        let fd = memfd_create(name, MemfdFlags::CLOEXEC)?;
        ftruncate(&fd, size_of::<T>() as u64)?;
        let mapping = Self::map(&fd, Access::ReadWrite)?;
        Ok((fd, mapping))
    }

    /// Maps shared memory that was created for one `T`, perhaps by an earlier version; what that did not know is
    /// added to the file, as zeros.
    ///
    /// # Errors
    /// `InvalidData` if the file is smaller than any version's: touching the missing part would be a SIGBUS.
    pub fn map(fd: impl AsFd, access: Access) -> io::Result<Mapping<T>> {
        let size = rustix::fs::fstat(&fd)?.st_size;
        let size = u64::try_from(size).unwrap_or(0);
        if size < T::LEAST as u64 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("shared memory has {size} bytes, expected {} or more", T::LEAST),
            ));
        }
        if size < size_of::<T>() as u64 {
            ftruncate(&fd, size_of::<T>() as u64)?;
        }
        let protection = match access {
            Access::ReadOnly => ProtFlags::READ,
            Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
        };
        // SAFETY: a fresh mapping at an address of the kernel's choice; nothing else is touched.
        let pointer =
            unsafe { mmap(std::ptr::null_mut(), size_of::<T>(), protection, MapFlags::SHARED, fd, 0)? };
        let pointer = NonNull::new(pointer.cast::<T>()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Mapping { pointer, access, _owns: PhantomData })
    }

    /// The memory. Writing through a read-only mapping is a crash: see [`Mapping::access`].
    pub fn get(&self) -> &T {
        // SAFETY: the mapping is as large as a `T` (checked in `map`), page-aligned, lives as long as `self`,
        // and any content is a valid `T` by `Shareable`.
        unsafe { self.pointer.as_ref() }
    }

    pub fn access(&self) -> Access {
        self.access
    }
}

impl<T: Shareable> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this size, and no reference outlives `self`.
        let _ = unsafe { munmap(self.pointer.as_ptr().cast(), size_of::<T>()) };
    }
}
