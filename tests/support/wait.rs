//! Waiting for something to become true.

use std::time::{Duration, Instant};

/// How long a test waits for what should take a moment: long enough for a busy machine.
pub const LONG: Duration = Duration::from_secs(20);

/// Looks this often.
const PERIOD: Duration = Duration::from_millis(5);

/// Waits until `condition` holds.
///
/// # Panics
/// If it still does not hold after `patience`; the message names `what`.
#[track_caller]
pub fn until(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    until_some(what, patience, || condition().then_some(()));
}

/// Waits until `probe` finds something.
///
/// # Panics
/// If it has found nothing after `patience`; the message names `what`.
#[track_caller]
pub fn until_some<T>(what: &str, patience: Duration, probe: impl FnMut() -> Option<T>) -> T {
    until_some_or(patience, probe, || format!("waited {patience:?} in vain: {what}"))
}

/// Waits until `probe` finds something.
///
/// # Panics
/// If it has found nothing after `patience`, with what `complaint` says then.
#[track_caller]
pub fn until_some_or<T>(
    patience: Duration,
    mut probe: impl FnMut() -> Option<T>,
    complaint: impl FnOnce() -> String,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        if Instant::now() >= deadline {
            panic!("{}", complaint());
        }
        std::thread::sleep(PERIOD);
    }
}
