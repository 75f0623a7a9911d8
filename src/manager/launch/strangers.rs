//! Descriptors that whoever starts the daemon leaves with it on purpose: those that a log is written to.
//!
//! Images for containers say `3>&1 supervisord` and `stdout_logfile=/dev/fd/3`. Every other descriptor that is open at
//! the start is closed: whoever opened it does not know of us.

use crate::files::open::StandardStream;
use crate::model::config::{ActivityLog, ChildLog, Config, LogTarget, StreamConfig};
use std::os::fd::RawFd;
use std::path::Path;

/// The descriptors beyond 2 that the logs of a configuration name.
pub(super) fn named_by(config: &Config) -> Vec<RawFd> {
    let activity = match &config.supervisord.logfile {
        ActivityLog::File(path) => Some(path.as_path()),
        ActivityLog::Syslog => None,
    };
    let processes = config.groups.iter().flat_map(|group| &group.processes);
    let streams = processes.flat_map(|process| [&process.stdout, &process.stderr]);
    activity.into_iter().chain(streams.flat_map(files_of)).filter_map(number).collect()
}

fn number(log: &Path) -> Option<RawFd> {
    match StandardStream::named(log)? {
        StandardStream::Other(number) => Some(number),
        StandardStream::Output | StandardStream::Error => None,
    }
}

fn files_of(stream: &StreamConfig) -> impl Iterator<Item = &Path> {
    let first = match &stream.logfile {
        ChildLog::File(path) => Some(path.as_path()),
        ChildLog::None | ChildLog::Auto | ChildLog::Memory => None,
    };
    let more = stream.more.iter().filter_map(|target| match target {
        LogTarget::File(path) => Some(path.as_path()),
        LogTarget::Memory | LogTarget::Syslog(_) => None,
    });
    first.into_iter().chain(more)
}
