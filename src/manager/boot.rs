//! What one manager leaves to the next: how the daemon was started, and the configuration in force.
//!
//! Both are JSON in a memfd that the keeper holds. Every manager reads them; the configuration file itself is
//! only read when somebody asks for it, because it may have been edited meanwhile.

use crate::config::args::DaemonArgs;
use crate::manager::processes::standing::Standing;
use crate::manager::spawn::sockets::SocketRecord;
use crate::manager::texts::Texts;
use crate::model::config::{Config, GroupConfig, ProcessConfig};
use crate::model::state_file::{Overrides, Remembered};
use crate::shm::layout::Place;
use crate::shm::link::Link;
use crate::sys::limits::Limit;
use crate::sys::memory::{self, Sealed};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

/// How the daemon was started. What is read of its configuration is up to the reader: `C` is [`Config`], or what every
/// manager needs of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Boot<C = Start> {
    /// With the configuration's path made absolute: rereads must find it from anywhere.
    pub args: DaemonArgs,
    /// The binary that was started; an upgrade takes what lies there by then.
    pub binary: PathBuf,
    /// Where the daemon was started; relative paths in options start here.
    pub current_dir: PathBuf,
    /// The limit on descriptors that programs are to see.
    pub descriptors: Limit,
    /// The limit on the size of files that programs are to see, if the daemon has lifted its own.
    #[serde(default)]
    pub file_size: Option<Limit>,
    /// What programs get as their `oom_score_adj`, if the keeper has one of its own.
    pub oom_score_adj: Option<String>,
    /// Whether the daemon left its terminal.
    pub background: bool,
    /// Whether the process that was started in the foreground stands in for the keeper (`keeper/foreground_proxy`).
    #[serde(default, rename = "attended")]
    pub has_foreground_proxy: bool,
    /// Where a daemon that resumes another one was started, after any change of directory. Its keeper is elsewhere.
    #[serde(default)]
    pub work_dir: Option<PathBuf>,
    /// The descriptors beyond 2 that were open at the start and that logs are written to.
    #[serde(default)]
    pub kept_descriptors: Vec<i32>,
    /// As it was read at the start, with what there is to say about it.
    pub config: C,
}

/// What stays as it was at the start, whatever is read later.
#[derive(Clone, Debug, Deserialize)]
pub struct Start {
    /// Of the section `[supervisord]`.
    pub supervisord: StartOfDaemon,
}

/// What stays of the section `[supervisord]`.
#[derive(Clone, Debug, Deserialize)]
pub struct StartOfDaemon {
    /// Beside it are the daemon's lock and the socket of a keeper without a daemon.
    pub pidfile: PathBuf,
}

/// What is in force now. [`Texts`] writes it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The daemon's own settings; its groups are those of the last reread, not the active ones.
    pub config: Config,
    /// The active groups, in the order in which they were added.
    pub active: Vec<ActiveGroup>,
    /// The listening sockets of programs.
    pub sockets: Vec<SocketRecord>,
    /// The daemon's exit status, once a program's end has decided it.
    pub exit_status: u8,
    /// Which run of the daemon this is, counted from 1.
    pub generation: u32,
    /// Groups that are stopping in order to be taken out, and perhaps to be added as they are configured now.
    pub groups_updating: Vec<String>,
    /// Groups whose update may not have been carried out.
    pub unfinished_update: Vec<String>,
    /// Programs of a former daemon that nobody may be started beside.
    pub in_the_way: Vec<Standing>,
    /// What people have changed until the daemon ends.
    pub until_end: Overrides,
    /// What outlives the daemon if there is a `state_file`.
    pub remembered: Remembered,
    /// Programs that are getting another number of processes.
    pub scaling: Vec<String>,
}

/// A group that was added.
#[derive(Clone, Debug)]
pub struct ActiveGroup {
    /// Its configuration, which may differ from that of the last reread.
    pub config: Arc<GroupConfig>,
    /// The automatic log files of its processes, in their order.
    pub logs: Vec<AutoLogs>,
    /// Its processes that are started for a single run.
    pub runs: Vec<SingleRun>,
    /// Its processes that are on their way to another configuration.
    pub changes: Vec<MemberChange>,
}

/// A process that an update has stopped, or is about to stop.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberChange {
    /// Its name in its group.
    pub name: String,
    /// The configuration that it gets when its program has ended. `None`: it is taken out of its group then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Arc<ProcessConfig>>,
    /// The pid of that program; 0 if there is none. If it has another one, or none, it has got its configuration.
    #[serde(default)]
    pub pid: i32,
    /// Whether it is added anew when it was taken out.
    #[serde(default)]
    pub returns: bool,
    /// Whether it is started then.
    #[serde(default)]
    pub starts: bool,
}

/// A process that is started for a single run, and what it is started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SingleRun {
    /// Its name in its group.
    pub name: String,
    /// Instead of that of its configuration.
    pub command: String,
}

/// The files that stand for `AUTO` in one process' configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoLogs {
    /// For standard output; `None` unless its log is `AUTO`.
    pub stdout: Option<PathBuf>,
    /// For standard error; `None` unless its log is `AUTO`.
    pub stderr: Option<PathBuf>,
}

/// Writes a value into a file in memory, which nobody can change any more.
///
/// # Errors
/// The system has no room for the file, or the value cannot be written as JSON.
pub fn write<T: Serialize>(name: &str, value: &T) -> io::Result<OwnedFd> {
    write_bytes(name, &serde_json::to_vec(value)?)
}

/// The same of a text.
fn write_bytes(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memory::new_file(name)?);
    file.write_all(bytes)?;
    memory::seal(&file, Sealed::ForGood);
    Ok(file.into())
}

/// Reads what the keeper holds in a place, once per place and process.
///
/// # Errors
/// Nothing is there.
pub fn read(link: &Link, place: Place) -> io::Result<Vec<u8>> {
    let fd = link
        .take(place)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("the keeper holds no {place:?}")))?;
    // The offset is shared with the keeper's descriptor, so with every manager before.
    let mut file = File::from(fd);
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Understands how the daemon was started, with `C` of its configuration.
///
/// # Errors
/// It is not what this version writes.
pub fn boot<C: DeserializeOwned>(bytes: &[u8]) -> io::Result<Boot<C>> {
    Ok(serde_json::from_slice(bytes)?)
}

impl Snapshot {
    /// Understands what is in force. Most groups that are active are configured so, too: the two then share one
    /// configuration, which is read once.
    ///
    /// # Errors
    /// It is not what this version writes.
    pub fn parse(bytes: &[u8]) -> io::Result<Snapshot> {
        let written: WrittenSnapshot<'_> = serde_json::from_slice(bytes)?;
        let config: Config = serde_json::from_str(written.config.get())?;
        let groups: WrittenGroups<'_> = serde_json::from_str(written.config.get())?;
        let configured: HashMap<&str, &Arc<GroupConfig>> =
            groups.groups.iter().map(|text| text.get()).zip(&config.groups).collect();
        let mut active = Vec::with_capacity(written.active.len());
        for group in written.active {
            let config = match configured.get(group.config.get()) {
                Some(same) => Arc::clone(same),
                None => serde_json::from_str(group.config.get())?,
            };
            active.push(ActiveGroup { config, logs: group.logs, runs: group.runs, changes: group.changes });
        }
        Ok(Snapshot {
            config,
            active,
            sockets: written.sockets,
            exit_status: written.exit_status,
            generation: written.generation,
            groups_updating: written.groups_updating,
            unfinished_update: written.unfinished_update,
            in_the_way: written.in_the_way,
            until_end: written.until_end,
            remembered: written.remembered,
            scaling: written.scaling,
        })
    }
}

/// A [`Snapshot`] as it is written, with its configurations still to be understood.
#[derive(Deserialize)]
struct WrittenSnapshot<'a> {
    #[serde(borrow)]
    config: &'a RawValue,
    #[serde(borrow)]
    active: Vec<WrittenGroup<'a>>,
    #[serde(default)]
    sockets: Vec<SocketRecord>,
    #[serde(default)]
    exit_status: u8,
    #[serde(default)]
    generation: u32,
    #[serde(default, rename = "renewing")]
    groups_updating: Vec<String>,
    #[serde(default)]
    unfinished_update: Vec<String>,
    #[serde(default)]
    in_the_way: Vec<Standing>,
    #[serde(default)]
    until_end: Overrides,
    #[serde(default)]
    remembered: Remembered,
    #[serde(default)]
    scaling: Vec<String>,
}

#[derive(Deserialize)]
struct WrittenGroup<'a> {
    #[serde(borrow)]
    config: &'a RawValue,
    logs: Vec<AutoLogs>,
    #[serde(default)]
    runs: Vec<SingleRun>,
    #[serde(default)]
    changes: Vec<MemberChange>,
}

/// Of a written [`Config`] the texts of its groups.
#[derive(Deserialize)]
struct WrittenGroups<'a> {
    #[serde(borrow)]
    groups: Vec<&'a RawValue>,
}

/// The names of files that the keeper is to remove if the daemon ends without a manager, as it reads them.
///
/// # Errors
/// The system has no room for the file.
pub fn list_of_files(paths: &[PathBuf]) -> io::Result<OwnedFd> {
    let mut file = File::from(memory::new_file("supervisord-files")?);
    for path in paths {
        file.write_all(path.as_os_str().as_bytes())?;
        file.write_all(&[0])?;
    }
    memory::seal(&file, Sealed::ForGood);
    Ok(file.into())
}

/// Leaves the names of files with the keeper, which removes them if the daemon ends without a manager.
///
/// # Errors
/// The list cannot be made, or the keeper cannot be reached; it keeps the former list then.
pub fn deposit_files(link: &Link, paths: &[PathBuf]) -> io::Result<()> {
    let file = list_of_files(paths)?;
    link.deposit(&[(Place::Files, file.as_fd())])
}

/// Leaves the configuration in force with the keeper.
///
/// # Errors
/// The snapshot cannot be written, or the keeper cannot be reached; it keeps the former snapshot then.
pub fn deposit_snapshot(link: &Link, snapshot: &Snapshot, texts: &mut Texts) -> io::Result<()> {
    let fd = write_bytes("supervisord-snapshot", &texts.of(snapshot)?)?;
    link.deposit(&[(Place::Snapshot, fd.as_fd())])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an upgrade from the first release finds. A field that came later has to have a default.
    #[test]
    fn what_the_first_release_has_left_is_understood() {
        let boot: Boot<Config> =
            super::boot(include_bytes!("../../tests/corpus/state-0.1.0/boot.json")).unwrap();
        assert_eq!(boot.binary, PathBuf::from("/srv/app/sv-old"));
        let start: Boot = super::boot(include_bytes!("../../tests/corpus/state-0.1.0/boot.json")).unwrap();
        assert_eq!(start.config.supervisord.pidfile, boot.config.supervisord.pidfile);
        let snapshot = include_bytes!("../../tests/corpus/state-0.1.0/snapshot.json");
        let snapshot = Snapshot::parse(snapshot).unwrap();
        let names: Vec<&str> = snapshot.active.iter().map(|group| &*group.config.name).collect();
        assert_eq!(names, ["l", "g", "counter", "f"]);
        assert!(!snapshot.config.supervisord.manager_watchdog.is_zero());
    }

    /// Groups are found again among those that are configured, and only there.
    #[test]
    fn what_is_written_is_read_with_one_configuration_for_each_group() {
        let first = include_bytes!("../../tests/corpus/state-0.1.0/snapshot.json");
        let mut snapshot = Snapshot::parse(first).unwrap();
        let other = GroupConfig { priority: 1, ..(*snapshot.active[1].config).clone() };
        snapshot.active[1].config = Arc::new(other);
        let bytes = Texts::default().of(&snapshot).unwrap();
        let again = Snapshot::parse(&bytes).unwrap();
        assert_eq!(Texts::default().of(&again).unwrap(), bytes);
        let is_shared =
            |active: &ActiveGroup| again.config.groups.iter().any(|group| Arc::ptr_eq(group, &active.config));
        assert_eq!(again.active.iter().map(is_shared).collect::<Vec<_>>(), [true, false, true, true]);
    }
}
