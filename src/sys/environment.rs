//! The environment variables of this process.

use crate::sys::schedule::is_only_thread;
use std::ffi::OsStr;
use std::io;

/// Sets variables of this process. No text may contain a zero byte, and no name a `=`.
///
/// # Errors
/// There is a second thread, which could be reading the environment at this moment, or nobody can tell.
pub fn set<'v>(variables: impl Iterator<Item = (&'v OsStr, &'v OsStr)>) -> io::Result<()> {
    if !is_only_thread() {
        return Err(io::Error::other("/proc does not say that this process has one thread: is it mounted?"));
    }
    for (name, value) in variables {
        // SAFETY: nobody else can be reading or changing the environment, because there is no other thread.
        unsafe { std::env::set_var(name, value) };
    }
    Ok(())
}
