//! Keeps the programs of a daemon that gave up root from reading the daemon.
//!
//! With `[supervisord] user=` the daemon runs as the user of its programs, but it knows things that are root's, such as
//! passwords from a configuration that only root can read. The kernel protects a process that changed its user from
//! being read or traced by others of that user ("dumpable", prctl(2), `PR_SET_DUMPABLE`). Executing a binary, as the
//! daemon does to become the keeper, removes that protection. So a protected process tells the process that it executes
//! by a variable, and that process protects itself before anything else. Forked managers inherit the protection.
//!
//! A daemon that an ordinary user starts stays open: its programs can read nothing there that its user could not read,
//! and `/proc/PID` of such a daemon, or of PID 1 in a container, can be read as before.
//!
//! Between an exec and our first instruction the process is open. A binary that its user may execute but not read is
//! closed from the beginning (`would_dump` in the kernel).

use crate::shm::handshake::numbers_from;
use crate::sys::process;
use std::ffi::OsString;

/// The variable that tells a process to protect itself: it holds the keeper's pid.
pub const GUARD_VARIABLE: &str = "SUPERVISORD_GUARD";

/// Closes this process if the one that executed it was closed. To be called first of all.
pub fn begin() {
    let pids = [process::own_pid(), process::own_parent()];
    if pids.into_iter().any(|keeper| numbers_from(GUARD_VARIABLE, keeper).is_some()) {
        process::forbid_looking();
    }
}

/// The variable for whoever `keeper`, or a process that becomes it, executes; `None` if there is nothing to hide.
pub fn setting(keeper: i32) -> Option<OsString> {
    process::is_closed().then(|| OsString::from(format!("{GUARD_VARIABLE}={keeper}")))
}
