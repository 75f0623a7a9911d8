//! How soon we get a processor that others want as well.

/// The shortest turn the kernel grants (sched(7), "Fair scheduling": it clamps to between 0.1 and 100 ms).
const SHORT_TURN: u64 = 100_000;

/// Makes this thread, and those it starts from now on, run in many short turns instead of few long ones. The
/// share of the processor stays the same, but a thread that wakes up to do little gets its turn before those
/// that want a long one: with fifty programs that never rest, an answer takes a few milliseconds instead of a hundred.
///
/// Kernels before 6.12 ignore it, and who has chosen another policy than the usual one keeps it.
pub fn take_short_turns() {
    set_turn(SHORT_TURN);
}

/// Back to what everybody has. Only bare system calls are made: a child may do this before its exec.
pub fn take_usual_turns() {
    set_turn(0);
}

/// Sets the length of a turn in nanoseconds; 0 is the kernel's own choice.
fn set_turn(nanoseconds: u64) {
    let size = size_of::<libc::sched_attr>() as u32;
    // SAFETY: every field is a number.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: sched_setattr(2): both calls are about the calling thread and get a structure of the size they are told.
    unsafe {
        let got = libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0);
        if got != 0 || attributes.sched_policy != libc::SCHED_OTHER as u32 {
            return;
        }
        attributes.sched_runtime = nanoseconds;
        // Refused by some sandboxes; then everything is as it was.
        libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says; `None` where it does not know turns.
    fn turn() -> Option<u64> {
        // SAFETY: as above.
        let attributes = unsafe {
            let mut attributes: libc::sched_attr = std::mem::zeroed();
            let size = size_of::<libc::sched_attr>();
            libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0);
            attributes
        };
        (attributes.sched_runtime > 0).then_some(attributes.sched_runtime)
    }

    #[test]
    fn turns_become_short_and_usual_again() {
        std::thread::spawn(|| {
            let Some(before) = turn() else { return };
            take_short_turns();
            assert_eq!(turn(), Some(SHORT_TURN));
            assert_eq!(std::thread::spawn(turn).join().unwrap(), Some(SHORT_TURN));
            take_usual_turns();
            assert_eq!(turn(), Some(before));
        })
        .join()
        .unwrap();
    }
}
