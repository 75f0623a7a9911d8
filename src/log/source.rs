//! Where a log can be read.

use crate::log::sinks::memory::Ring;
use std::path::PathBuf;
use std::sync::Arc;

/// Where log bytes can be read from.
#[derive(Clone, Debug)]
pub enum LogSource {
    /// Logging is switched off, or the stream has no log of its own.
    None,
    /// The file of this name.
    File(PathBuf),
    /// The stream's last bytes, held by the daemon.
    Memory(Arc<Ring>),
}

impl Eq for LogSource {}

/// Rings are equal if they are the same.
impl PartialEq for LogSource {
    fn eq(&self, other: &LogSource) -> bool {
        match (self, other) {
            (LogSource::None, LogSource::None) => true,
            (LogSource::File(one), LogSource::File(two)) => one == two,
            (LogSource::Memory(one), LogSource::Memory(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }
}
