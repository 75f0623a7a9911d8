//! `--env-file`: sets what the file says in this process.

use crate::config::env_file;
use crate::model::raw;
use crate::sys::environment;
use std::io;
use std::path::Path;

/// Sets the variables of a file, before anything else runs in this process.
///
/// # Errors
/// The file cannot be read, or there may be other threads. No variable is set then.
pub(super) fn set(path: &Path) -> io::Result<()> {
    let variables: Vec<_> = env_file::read(path)?
        .iter()
        .map(|(name, value)| (raw::os_string(name), raw::os_string(value)))
        .collect();
    environment::set(variables.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str())))
}
