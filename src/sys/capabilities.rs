//! Capabilities of the calling thread (capabilities(7)). They are read and dropped by bare system calls, because
//! nothing else is allowed between clone and exec, and the C library has no calls for them.

use std::ffi::c_int;
use std::sync::OnceLock;

/// `_LINUX_CAPABILITY_VERSION_3`: two words for each set.
const VERSION: u32 = 0x2008_0522;

/// Their numbers, capabilities(7).
pub const CAP_SETPCAP: u32 = 8;
/// As above.
pub const CAP_SYS_ADMIN: u32 = 21;

/// What is to be left of the capabilities of a process: a bit for each number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The only ones that may stay in any set.
    pub most: u64,
    /// The ambient ones, which an exec hands on; `None` leaves them as they are, as far as they may stay.
    pub ambient: Option<u64>,
    /// Nothing but the ambient ones stays.
    pub only_ambient: bool,
}

/// Sets of capabilities, a bit for each number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounding {
    /// Those that the kernel knows. A new user namespace begins with all of them.
    pub known: u64,
    /// Those in the bounding set of this process.
    pub here: u64,
}

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

/// Whether the caller has a capability, by its number, whether it can use it now or not.
pub fn is_permitted(number: u32) -> bool {
    let word = sets().and_then(|words| words.get(number as usize / 32).copied());
    word.is_some_and(|word| word.permitted & 1 << (number % 32) != 0)
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

/// The capabilities that this kernel knows and that are in the bounding set, a bit for each. The threads of this process
/// have all the same one, and none ever changes it, so the kernel is asked once.
pub fn bounding() -> Bounding {
    static ANSWER: OnceLock<Bounding> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let mut bounding = Bounding::default();
        for number in 0..64 {
            // SAFETY: numbers.
            match unsafe { libc::prctl(libc::PR_CAPBSET_READ, number as libc::c_ulong, 0, 0, 0) } {
                // Those that the kernel does not know end the list.
                ..0 => break,
                0 => bounding.known |= 1 << number,
                _ => {
                    bounding.known |= 1 << number;
                    bounding.here |= 1 << number;
                }
            }
        }
        bounding
    })
}

/// Takes capabilities out of the bounding set of the caller. Sets errno if it fails.
pub fn drop_from_bounding(dropped: u64) -> bool {
    (0..64).filter(|number| dropped & 1 << number != 0).all(|number: u64| {
        // SAFETY: numbers; changes the calling thread.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number as libc::c_ulong, 0, 0, 0) == 0 }
    })
}

/// Leaves of the calling process' capabilities what is to be left. Sets errno if it does not have an ambient one that is
/// wanted, or may not hand it on.
pub fn keep(kept: Kept) -> bool {
    let Some(now) = sets() else { return false };
    let mut wanted = [Word::default(); 2];
    for (index, word) in wanted.iter_mut().enumerate() {
        let part = |mask: u64| (mask >> (32 * index)) as u32;
        let most = part(kept.most);
        let ambient = part(kept.ambient.unwrap_or(0));
        let stays = if kept.only_ambient { 0 } else { most };
        word.permitted = (now[index].permitted & stays) | ambient;
        word.effective = (now[index].effective & stays) | ambient;
        word.inheritable = (now[index].inheritable & stays) | ambient;
    }
    let header = Header { version: VERSION, pid: 0 };
    // SAFETY: structures of the layout that the version stands for, and numbers.
    unsafe {
        if libc::syscall(libc::SYS_capset, &raw const header, wanted.as_ptr()) != 0 {
            return false;
        }
        let Some(ambient) = kept.ambient else { return true };
        let cleared = libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0;
        cleared
            && (0..64_u64).filter(|number| ambient & 1 << number != 0).all(|number| {
                libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, number as libc::c_ulong, 0, 0)
                    == 0
            })
    }
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
