//! What one manager leaves to the next: how the daemon was started, and the configuration in force.
//!
//! Both are JSON in a memfd that the keeper holds. Every manager reads them; the configuration file itself is
//! only read when somebody asks for it, because it may have been edited meanwhile.

use crate::cli::DaemonArgs;
use crate::keeper::layout::Place;
use crate::keeper::link::Link;
use crate::manager::sockets::SocketRecord;
use crate::model::config::{Config, GroupConfig};
use crate::sys::limits::Limit;
use rustix::fs::{MemfdFlags, memfd_create};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

/// How the daemon was started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Boot {
    /// With the configuration's path made absolute: rereads must find it from anywhere.
    pub args: DaemonArgs,
    /// The binary that was started; an upgrade takes what lies there by then.
    pub binary: PathBuf,
    /// Where the daemon was started; relative paths in options start here.
    pub current_dir: PathBuf,
    /// The limit on descriptors that programs are to see.
    pub descriptors: Limit,
    /// What programs get as their `oom_score_adj`, if the keeper has one of its own.
    pub oom_score_adj: Option<String>,
    /// Whether the daemon left its terminal.
    pub background: bool,
    /// Whether whoever waits for the daemon waits for a stand-in of the keeper.
    #[serde(default)]
    pub attended: bool,
    /// Where a daemon that resumes another one was started, after any change of directory. Its keeper is elsewhere.
    #[serde(default)]
    pub work_dir: Option<PathBuf>,
    /// As it was read at the start, with what there is to say about it.
    pub config: Config,
}

/// What is in force now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// The daemon's own settings; its groups are those of the last reread, not the active ones.
    pub config: Config,
    pub active: Vec<ActiveGroup>,
    /// The listening sockets of programs.
    #[serde(default)]
    pub sockets: Vec<SocketRecord>,
    /// The daemon's exit status, once a program's end has decided it.
    #[serde(default)]
    pub exit_status: u8,
    /// Which run of the daemon this is, counted from 1.
    #[serde(default)]
    pub generation: u32,
    /// Groups that are stopping in order to be taken out, and perhaps to be added as they are configured now.
    #[serde(default)]
    pub renewing: Vec<String>,
}

/// A group that was added.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ActiveGroup {
    pub config: Arc<GroupConfig>,
    /// The automatic log files of its processes, in their order.
    pub logs: Vec<AutoLogs>,
}

/// The files that stand for `AUTO` in one process' configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoLogs {
    pub stdout: Option<PathBuf>,
    pub stderr: Option<PathBuf>,
}

/// Writes a value into a memfd.
pub fn write<T: Serialize>(name: &str, value: &T) -> io::Result<OwnedFd> {
    let mut file = BufWriter::new(File::from(memfd_create(name, MemfdFlags::CLOEXEC)?));
    serde_json::to_writer(&mut file, value)?;
    file.flush()?;
    Ok(file.into_inner().map_err(io::IntoInnerError::into_error)?.into())
}

/// Reads a value from what the keeper holds.
///
/// # Errors
/// Nothing is there, or it is not what this version writes.
pub fn read<T: DeserializeOwned>(link: &Link, place: Place) -> io::Result<T> {
    let fd = link
        .take(place)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("the keeper holds no {place:?}")))?;
    // The offset is shared with the keeper's descriptor, so with every manager before.
    let mut file = File::from(fd);
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Leaves the names of files with the keeper, which removes them if the daemon ends without a manager.
pub fn deposit_files(link: &Link, paths: &[PathBuf]) -> io::Result<()> {
    let mut file = File::from(memfd_create("supervisord-files", MemfdFlags::CLOEXEC)?);
    for path in paths {
        file.write_all(path.as_os_str().as_bytes())?;
        file.write_all(&[0])?;
    }
    link.deposit(&[(Place::Files, file.as_fd())])
}

/// Leaves the configuration in force with the keeper.
pub fn deposit_snapshot(link: &Link, snapshot: &Snapshot) -> io::Result<()> {
    let fd = write("supervisord-snapshot", snapshot)?;
    link.deposit(&[(Place::Snapshot, fd.as_fd())])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an upgrade from the first release finds. A field that came later has to have a default.
    #[test]
    fn what_the_first_release_has_left_is_understood() {
        let boot: Boot =
            serde_json::from_str(include_str!("../../tests/corpus/state-0.1.0/boot.json")).unwrap();
        assert_eq!(boot.binary, PathBuf::from("/srv/app/sv-old"));
        let snapshot = include_str!("../../tests/corpus/state-0.1.0/snapshot.json");
        let snapshot: Snapshot = serde_json::from_str(snapshot).unwrap();
        let names: Vec<&str> = snapshot.active.iter().map(|group| group.config.name.as_str()).collect();
        assert_eq!(names, ["l", "g", "counter", "f"]);
        assert!(!snapshot.config.supervisord.manager_watchdog.is_zero());
    }
}
