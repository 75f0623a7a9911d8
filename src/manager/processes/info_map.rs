//! The table of programs that are alive, on disk: `processinfomapfile`.
//!
//! It is written when the loop has dealt with everything that happened and the table has changed, at most once in
//! [`LEAST_INTERVAL`]. So a thousand programs that start at once cost a few writes and not a thousand.

use crate::control::request::{Fact, Facts, ProcessInfo, Table};
use crate::core::info_map::{self, InfoMapEntry, KeeperIdentity, ProcessInfoMap, Written};
use crate::core::process::{After, State};
use crate::files::replace;
use crate::manager::daemon::Daemon;
use crate::manager::processes::{Proc, SlotId};
use crate::model::time::{Monotonic, Wall};
use crate::sys::{clock, process};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file is not written more often than this. What is started in between and survives a keeper that is killed
/// in the same moment is not found again.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// The file is for us alone.
const MODE: u32 = 0o600;

/// What is alive, and the file that says so.
#[derive(Debug, Default)]
pub struct InfoMap {
    /// By slot.
    table: ProcessInfoMap,
    file: MapFile,
}

/// The file, as this daemon may use it.
#[derive(Debug, Default)]
struct MapFile {
    /// `None`: there is to be none, or what lies there is not ours.
    path: Option<PathBuf>,
    written_at: Monotonic,
    /// Since when the table has differed from the file, if it does.
    changed_at: Monotonic,
    /// The last attempt failed, and the log says so.
    failed: bool,
}

impl InfoMap {
    /// Goes on with the file of the manager before, which has looked at it.
    pub fn restore(&mut self, path: Option<PathBuf>) {
        self.file = MapFile { path, ..MapFile::default() };
    }

    /// Reads what a former daemon has left in a file, which is this daemon's from now on.
    ///
    /// A file that cannot be one of ours is left alone: nothing is taken over, and nothing written.
    pub fn open(&mut self, path: Option<PathBuf>) -> Option<Written> {
        self.file = MapFile::default();
        let path = path?;
        match read(&path) {
            Ok(written) => {
                self.restore(Some(path));
                written
            }
            Err(why) => {
                ::log::error!(
                    "processinfomapfile {} is not used: {why}. Nothing is taken over, and it is not written to: what a \
                     former supervisord left running has to be ended by hand, and is not started a second time before. \
                     Remove the file, or name another one",
                    path.display()
                );
                None
            }
        }
    }

    /// The file that the table is written to, if one is configured.
    pub fn path(&self) -> Option<&Path> {
        self.file.path.as_deref()
    }

    /// Whether anything has to be known about programs that only a daemon after this one needs.
    pub fn is_kept(&self) -> bool {
        self.file.path.is_some()
    }

    /// When the file is to be written even though nothing happens.
    pub fn deadline(&self) -> Option<Monotonic> {
        (self.table.is_new() && self.is_kept()).then(|| self.file.written_at + LEAST_INTERVAL)
    }

    /// Removes the file at an orderly end that leaves nothing alive.
    pub fn remove_file(&self) {
        if let Some(path) = &self.file.path {
            let _ = replace::remove(path, 0, |_| true);
        }
    }
}

impl MapFile {
    fn write(&mut self, text: &str, now: Monotonic) {
        let Some(path) = &self.path else { return };
        self.written_at = now;
        // Nothing waits for the disk: what the file is for does not outlive the machine.
        match replace::replace(path, text.as_bytes(), MODE) {
            Ok(()) => self.failed = false,
            Err(error) if !self.failed => {
                self.failed = true;
                ::log::error!("could not write processinfomapfile {}: {error}", path.display());
            }
            Err(_) => {}
        }
    }
}

/// # Errors
/// Why this is no file to believe.
fn read(path: &Path) -> Result<Option<Written>, String> {
    let Some((bytes, at)) = replace::read_ours(path, info_map::MOST_BYTES)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| "it is not text".to_string())?;
    info_map::parse(&text).map(|written| Some(Written { at: Wall(at), ..written }))
}

/// What a program was started with, in a number. It stays the same in versions that know more settings, as long
/// as these are not used.
pub fn fingerprint(proc: &Proc) -> u64 {
    *proc.fingerprint.get_or_init(|| {
        // Plain data always has a JSON form.
        let value = serde_json::to_value(&*proc.config).unwrap_or_default();
        let mut hash = FNV_OFFSET;
        absorb(&mut hash, &value);
        hash
    })
}

/// The 64-bit FNV-1a hash.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

fn absorb_bytes(hash: &mut u64, bytes: &[u8]) {
    for byte in bytes {
        *hash = (*hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
    }
}

fn absorb(hash: &mut u64, value: &serde_json::Value) {
    use serde_json::Value::*;
    match value {
        Null | Bool(false) => {}
        Array(values) => {
            absorb_bytes(hash, b"[");
            values.iter().for_each(|value| absorb(hash, value));
            absorb_bytes(hash, b"]");
        }
        Object(members) => {
            // Sorted by name.
            for (name, value) in members.iter().filter(|(_, value)| says_something(value)) {
                absorb_bytes(hash, name.as_bytes());
                absorb_bytes(hash, b"=");
                absorb(hash, value);
                absorb_bytes(hash, b";");
            }
        }
        Bool(true) | Number(_) | String(_) => absorb_bytes(hash, value.to_string().as_bytes()),
    }
}

fn says_something(value: &serde_json::Value) -> bool {
    use serde_json::Value::*;
    match value {
        Null | Bool(false) => false,
        Array(values) => !values.is_empty(),
        Object(members) => !members.is_empty(),
        String(text) => !text.is_empty(),
        Number(_) | Bool(true) => true,
    }
}

impl Daemon {
    /// Brings the entry of a process up to date.
    pub fn note(&mut self, slot: SlotId) {
        let Some(proc) = self.procs.proc(slot) else { return };
        let state = &proc.process.state;
        let stopping = matches!(state, State::Stopping { after: After::Rest, .. });
        // What ends because the daemon does is not meant to stay stopped.
        let by_hand = *state == State::Stopped && proc.starts > 0 && self.life.is_running();
        let pid = state.pid().or(by_hand.then_some(0));
        let known = self.map.table.get(slot);
        if known.map(|entry| (entry.pid, entry.stopping)) == pid.map(|pid| (pid, stopping)) {
            return;
        }
        let entry = pid.map(|pid| InfoMapEntry {
            group: proc.group.clone(),
            program: proc.config.name.clone(),
            start_time: proc.process.start,
            pid,
            start_ticks: proc.origin.start_ticks,
            generation: proc.origin.generation,
            starts: proc.starts,
            // Only the file is compared with another configuration.
            fingerprint: if self.map.is_kept() { fingerprint(proc) } else { 0 },
            stopping,
            pipes: proc.streams.inodes(),
        });
        let was_new = self.map.table.is_new();
        self.map.table.set(slot, entry, clock::wall());
        if !was_new {
            self.map.file.changed_at = clock::monotonic();
        }
    }

    /// Writes the file in the middle of a turn of the loop, if that takes long: a thousand programs may be started
    /// in one.
    pub fn save_map_in_long_turn(&mut self) {
        let changed_at = self.map.file.changed_at;
        if self.map.deadline().is_some() && clock::monotonic() >= changed_at + LEAST_INTERVAL {
            self.save_map();
        }
    }

    /// Forgets the entry of a process that is removed.
    pub fn unnote(&mut self, slot: SlotId) {
        self.map.table.set(slot, None, clock::wall());
    }

    /// One of the tables, each row with what else is known, sorted by group and name.
    pub fn rows(&self, table: Table) -> Vec<(ProcessInfo, Facts)> {
        let (now, boot_id) = (clock::wall(), process::boot_id());
        let is_alive = |proc: &Proc| proc.process.state.pid().is_some();
        let is_older = |proc: &Proc| is_alive(proc) && proc.origin.generation < self.in_force.generation();
        let shown = |proc: &Proc| match table {
            Table::Procs => true,
            Table::InfoMap => is_alive(proc),
            Table::Prestart => is_older(proc),
        };
        let mut rows: Vec<_> = self
            .procs
            .all()
            .filter(|(_, proc)| shown(proc))
            .map(|(_, proc)| (self.process_info(proc, now), self.row_facts(proc, &boot_id, is_older(proc))))
            .collect();
        rows.sort_by(|(a, _), (b, _)| (&a.group, &a.name).cmp(&(&b.group, &b.name)));
        rows
    }

    fn row_facts(&self, proc: &Proc, boot_id: &str, is_older: bool) -> Facts {
        let text = |text: String| Fact::Text(text);
        let pid = proc.process.state.pid();
        let source = match (proc.origin.adopted, is_older) {
            (true, _) => "map",
            (false, true) => "keeper",
            (false, false) => "procs",
        };
        let start_ticks = match (proc.origin.start_ticks, pid) {
            // Nobody needed it before. While its process has it, the pid is nobody else's.
            (0, Some(pid)) => process::start_ticks(pid).unwrap_or(0),
            (known, _) => known,
        };
        let file = self.map.path().map(|path| path.display().to_string());
        let mut facts = vec![
            ("source", text(source.to_string())),
            ("prestart", Fact::Flag(is_older)),
            ("restarts", Fact::Number(i64::from(proc.starts.saturating_sub(1)))),
            ("fingerprint", text(format!("{:016x}", fingerprint(proc)))),
            ("map_version", text(self.map.table.version().0.to_string())),
            ("file", text(file.unwrap_or_else(|| "none".to_string()))),
        ];
        if pid.is_some() {
            facts.extend([
                // As a text: an XML-RPC int would be too small after 248 days.
                ("start_ticks", text(start_ticks.to_string())),
                ("boot_id", text(boot_id.to_string())),
                ("generation", Fact::Number(i64::from(proc.origin.generation))),
                ("output", text(if proc.is_mute() { "lost" } else { "logged" }.to_string())),
            ]);
        }
        facts
    }

    /// Writes the file, if it is time.
    pub fn save_map(&mut self) {
        let now = clock::monotonic();
        if self.map.deadline().is_some_and(|deadline| now >= deadline) {
            self.save_map_now();
        }
    }

    /// Writes the file.
    pub fn save_map_now(&mut self) {
        if !self.map.is_kept() {
            return;
        }
        let pid = self.link.keeper_pid();
        let keeper = KeeperIdentity { pid, start_ticks: process::start_ticks(pid).unwrap_or(0) };
        let text = self.map.table.to_text(&process::boot_id(), self.in_force.generation(), keeper);
        self.map.file.write(&text, clock::monotonic());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const TEXT: &str = "version: 1\nboot_id: x\ngeneration: 2\ninfo_map:\ncomplete: true\n";

    #[test]
    fn it_is_for_us_alone_and_replaces_links() {
        let directory = tempfile::tempdir().unwrap();
        let (path, target) = (directory.path().join("map"), directory.path().join("target"));
        fs::write(&target, "precious").unwrap();
        symlink(&target, &path).unwrap();
        assert_eq!(read(&path).unwrap_err(), "it is a symbolic link");
        replace::replace(&path, TEXT.as_bytes(), MODE).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode(), 0o100_600);
        assert_eq!(read(&path).unwrap().unwrap().generation, 2);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is left beside it");
    }

    #[test]
    fn what_others_can_write_to_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("map");
        assert_eq!(read(&path), Ok(None));
        assert_eq!(read(directory.path()).unwrap_err(), "it is not a file");
        fs::write(&path, TEXT).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o766)).unwrap();
        assert_eq!(read(&path).unwrap_err(), "others may write to it (mode 766)");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(read(&path).unwrap().is_some());
        fs::write(&path, b"\xff\xfe").unwrap();
        assert_eq!(read(&path).unwrap_err(), "it is not text");
        fs::File::create(&path).unwrap().set_len(info_map::MOST_BYTES + 1).unwrap();
        assert!(read(&path).unwrap_err().contains("larger than"));
    }

    #[test]
    fn settings_that_say_nothing_leave_the_fingerprint_alone() {
        let hash = |text: &str| {
            let mut hash = FNV_OFFSET;
            absorb(&mut hash, &serde_json::from_str(text).unwrap());
            hash
        };
        assert_eq!(hash(r#"{"a":1}"#), hash(r#"{"a":1,"b":null,"c":[],"d":false,"e":""}"#));
        assert_ne!(hash(r#"{"a":1}"#), hash(r#"{"a":2}"#));
        assert_ne!(hash(r#"{"a":1}"#), hash(r#"{"a":1,"b":true}"#));
        assert_ne!(hash(r#"{"a":["x","y"]}"#), hash(r#"{"a":["xy"]}"#));
    }
}
