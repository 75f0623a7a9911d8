//! Priorities: how soon our threads get a processor that others want as well.

use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// The shortest turn the kernel grants (sched(7), "Fair scheduling": it clamps to between 0.1 and 100 ms).
const SHORT_TURN: u64 = 100_000;

/// How much less nice than its programs the daemon is, if it may be: five steps are three times the share
/// (`sched_prio_to_weight` in the kernel: each step is a quarter more). Fifty programs that never rest leave it more
/// than a fiftieth of a processor then, and it needs little.
const PRECEDENCE: i32 = 5;

/// The least nice there is (sched(7)).
const LEAST_NICE: i32 = -20;

/// How nice this process was before it took precedence.
static USUAL_NICE: AtomicI32 = AtomicI32::new(NOT_TAKEN);
const NOT_TAKEN: i32 = i32::MAX;

/// Makes this thread, and those it starts from now on, run in many short turns instead of few long ones, and
/// a little before others if this process may do that: a thread that wakes up to do little gets its turn before those
/// that want a long one. With fifty programs that never rest, an answer takes a few milliseconds instead of a hundred.
///
/// Kernels before 6.12 do not know of turns, and who has chosen another policy than the usual one keeps it.
pub fn take_precedence() {
    let Some(mut attributes) = attributes() else { return };
    attributes.sched_runtime = SHORT_TURN;
    let usual = attributes.sched_nice;
    USUAL_NICE.store(usual, Relaxed);
    attributes.sched_nice = (usual - PRECEDENCE).max(LEAST_NICE);
    if !set(&attributes) {
        attributes.sched_nice = usual;
        set(&attributes);
    }
}

/// Back to what everybody has. Only bare system calls are made: a child may do this before its exec.
pub fn give_precedence_up() {
    let Some(mut attributes) = attributes() else { return };
    // The kernel's own choice.
    attributes.sched_runtime = 0;
    match USUAL_NICE.load(Relaxed) {
        NOT_TAKEN => {}
        usual => attributes.sched_nice = usual,
    }
    set(&attributes);
}

/// What the kernel says of this thread; `None` if it has another policy than the usual one.
fn attributes() -> Option<libc::sched_attr> {
    let size = size_of::<libc::sched_attr>() as u32;
    // SAFETY: every field is a number.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: sched_getattr(2) about the calling thread, with a structure of the size it is told.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    (got == 0 && attributes.sched_policy == libc::SCHED_OTHER as u32).then_some(attributes)
}

/// False if that is not allowed, or refused by a sandbox; then everything is as it was.
fn set(attributes: &libc::sched_attr) -> bool {
    // SAFETY: sched_setattr(2) about the calling thread, with a structure that knows its size.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, std::ptr::from_ref(attributes), 0) == 0 }
}

/// How many processors this thread may run on; 0 if the kernel does not say. Unlike the standard library's answer it does
/// not take the files of control groups to read.
pub fn n_processors() -> usize {
    rustix::thread::sched_getaffinity(None).map_or(0, |set| set.count() as usize)
}

/// How async-std is told how many threads it is to have (its manual, "Runtime").
const RUNTIME_THREADS: &str = "ASYNC_STD_THREAD_COUNT";

/// One loop decides everything; more threads than this would wait for it.
const MOST_RUNTIME_THREADS: usize = 4;

/// Variables by which an environment that is meant for programs would change our threads: how large their stacks are
/// (the standard library), how many there are for work that blocks and what they are called (the runtime). An absurd
/// value ends the process.
const NOT_FOR_US: [&str; 4] =
    ["RUST_MIN_STACK", "BLOCKING_MAX_THREADS", "ASYNC_GLOBAL_EXECUTOR_THREADS", "ASYNC_STD_THREAD_NAME"];

/// Gives the runtime a thread for each processor, but a few at most, whatever the environment says. Asked by
/// itself it would read the files of all control groups first, while clients wait. Nothing happens if there is another
/// thread already.
pub fn limit_runtime() {
    if is_only_thread() {
        let n_threads = n_runtime_threads().to_string();
        // SAFETY: nobody else can be reading or changing the environment, because there is no other thread.
        unsafe {
            std::env::set_var(RUNTIME_THREADS, n_threads);
            NOT_FOR_US.iter().for_each(|name| std::env::remove_var(name));
        }
    }
}

/// How many threads the runtime has after [`limit_runtime`].
pub fn n_runtime_threads() -> usize {
    n_processors().clamp(1, MOST_RUNTIME_THREADS)
}

/// False if nobody can tell, too. A directory has two links and another one for each directory in it (proc(5)).
pub fn is_only_thread() -> bool {
    rustix::fs::stat("/proc/self/task").is_ok_and(|stat| stat.st_nlink == 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precedence_is_inherited_and_given_up() {
        let seen = || attributes().map(|it| (it.sched_runtime, it.sched_nice));
        std::thread::spawn(move || {
            let Some(before) = seen() else { return };
            take_precedence();
            let taken = seen();
            assert!(taken.is_some_and(|(_, nice)| nice <= before.1));
            // Older kernels have no turns.
            assert!(before.0 == 0 || taken.is_some_and(|(turn, _)| turn == SHORT_TURN));
            assert_eq!(std::thread::spawn(seen).join().unwrap(), taken);
            give_precedence_up();
            assert_eq!(seen(), Some(before));
        })
        .join()
        .unwrap();
    }
}
