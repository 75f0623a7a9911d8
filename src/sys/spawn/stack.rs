//! The stack of a child.

use std::ffi::c_void;
use std::{io, ptr};

/// A stack for the child, with a page below it that nobody may touch.
pub(super) struct Stack {
    base: *mut c_void,
    size: usize,
}

// SAFETY: the memory belongs to the process, and `Spawner` is only used through `&mut`.
unsafe impl Send for Stack {}

impl Stack {
    const GUARD: usize = 4096;

    pub(super) fn new(size: usize) -> io::Result<Stack> {
        use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
        let size = size + Self::GUARD;
        // SAFETY: fresh memory at an address of the kernel's choice, and its own first page.
        unsafe {
            let base =
                mmap_anonymous(ptr::null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)?;
            mprotect(base, Self::GUARD, MprotectFlags::empty())?;
            Ok(Stack { base, size })
        }
    }

    /// Stacks grow down, so the child starts at the end.
    pub(super) fn top(&self) -> *mut c_void {
        // SAFETY: one past the end of the same mapping; page-aligned, so 16-byte aligned.
        unsafe { self.base.cast::<u8>().add(self.size).cast() }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: mapped with this size in `new`; no child runs on it, as `spawn` waits for it.
        let _ = unsafe { rustix::mm::munmap(self.base, self.size) };
    }
}
