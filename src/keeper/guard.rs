//! A daemon that gave up root is not its programs' to read.
//!
//! With `[supervisord] user=` the daemon runs as the user of its programs, and what it knows, such as passwords from a
//! configuration that only root can read, is root's. The kernel keeps a process that changed its user from being read
//! or traced by others of that user ("dumpable", prctl(2), `PR_SET_DUMPABLE`), but executing a binary, as we do to
//! become the keeper, opens it again. So whoever is executed by a process that was closed is told by a variable, and
//! closes itself before anything else. Managers that are forked inherit it.
//!
//! A daemon that an ordinary user starts stays open: its programs can read nothing there that its user could not, and
//! whoever looks at `/proc/PID` of such a daemon, or of PID 1 in a container, goes on seeing it.
//!
//! Between an exec and the first instruction of ours the process is open. A binary that its user may execute but not
//! read is closed from the beginning (`would_dump` in the kernel).

use crate::shm::handshake::numbers_from;
use crate::sys::process;
use std::ffi::OsString;

/// Tells a process that is to be closed so: it holds the keeper's pid.
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
