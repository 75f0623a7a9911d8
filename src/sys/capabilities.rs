//! Capabilities of the calling thread (capabilities(7)). They are read and dropped by bare system calls, because
//! nothing else is allowed between clone and exec, and the C library has no calls for them.

use std::ffi::c_int;

/// `_LINUX_CAPABILITY_VERSION_3`: two words for each set.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    /// 0 for the caller.
    pid: c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Word {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Whether the caller has a capability, by its number, and can use it now.
pub fn is_effective(number: u32) -> bool {
    let word = sets().and_then(|words| words.get(number as usize / 32).copied());
    word.is_some_and(|word| word.effective & 1 << (number % 32) != 0)
}

/// Gives up all of them for good, those that an exec would hand on included; whether none is left. Sets errno if not.
/// In a child that shares memory with its parent it changes the child only.
pub fn drop_all() -> bool {
    let nothing = [Word::default(); 2];
    let header = Header { version: VERSION, pid: 0 };
    // SAFETY: numbers, and structures of the layout that the version stands for.
    let dropped = unsafe {
        // Older kernels than Linux 4.3 have none of these. The ambient ones are among the permitted and inheritable
        // ones at any time, so the next call leaves none either.
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        libc::syscall(libc::SYS_capset, &raw const header, nothing.as_ptr()) == 0
    };
    if dropped && sets() != Some(nothing) {
        // SAFETY: the location is this thread's and always valid.
        unsafe { *libc::__errno_location() = libc::EPERM };
        return false;
    }
    dropped
}

fn sets() -> Option<[Word; 2]> {
    let mut words = [Word::default(); 2];
    let mut header = Header { version: VERSION, pid: 0 };
    // SAFETY: structures of the layout that the version stands for.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, words.as_mut_ptr()) };
    (result == 0).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_after_all_were_dropped() {
        // Capabilities belong to the thread, and this one ends.
        std::thread::spawn(|| {
            assert!(drop_all());
            assert!((0..64).all(|number| !is_effective(number)));
            assert!(!is_effective(u32::MAX));
        })
        .join()
        .unwrap();
    }
}
