//! The table of live programs, and the text in which the next daemon finds it.
//!
//! An entry is made when a program is created, and removed when its end has been processed. The text is the YAML of the
//! Go versions of Supervisor. Fields beside theirs tell a program from a stranger that later got the same pid: when the
//! kernel created the process, and on which boot.

use crate::model::namespec;
use crate::model::time::Wall;
use std::fmt::Write;
use std::sync::Arc;

/// Larger files are no tables of ours: as many entries as there can be processes, and room for long names.
pub const MOST_BYTES: u64 = 64 << 20;

/// As many as there can be processes.
const MOST_ENTRIES: usize = 65_536;

/// One program that is alive, or one that somebody stopped and that is to stay so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InfoMapEntry {
    /// The name of its group.
    pub group: Arc<str>,
    /// The name of the process within the group.
    pub program: Arc<str>,
    /// When it was started.
    pub start_time: Wall,
    /// 0 for one that a client stopped: the next daemon does not start it by itself.
    pub pid: i32,
    /// When the kernel created it, in clock ticks since boot; 0 if that is not known.
    pub start_ticks: u64,
    /// The run of the daemon that started it, counted from 1.
    pub generation: u32,
    /// How often its process was started.
    pub starts: u32,
    /// That of the configuration it was started with.
    pub fingerprint: u64,
    /// Whether it had been told to stop.
    pub stopping: bool,
    /// The inodes of the pipes it got as standard input, output and error; 0 for none.
    pub pipes: [u64; 3],
}

/// Who watches over them: the process whose end makes survivors of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeeperIdentity {
    /// Its process number.
    pub pid: i32,
    /// When the kernel created it, in clock ticks since boot. With the pid it names one process of this boot.
    pub start_ticks: u64,
}

/// What is alive, by a number of the caller's.
#[derive(Debug, Default)]
pub struct ProcessInfoMap {
    /// By that number. Low ones are used first, so there are few gaps.
    entries: Vec<Option<InfoMapEntry>>,
    /// When it last changed; 0: never.
    version: Wall,
    is_new: bool,
}

impl ProcessInfoMap {
    /// Makes, replaces or (with `None`) drops an entry. Whether that changed anything.
    pub fn set(&mut self, slot: u32, entry: Option<InfoMapEntry>, now: Wall) -> bool {
        let slot = slot as usize;
        if slot >= self.entries.len() && entry.is_some() {
            self.entries.resize(slot + 1, None);
        }
        let changed = self.entries.get_mut(slot).is_some_and(|known| {
            let changed = *known != entry;
            *known = entry;
            changed
        });
        if changed {
            self.touch(now);
        }
        changed
    }

    /// Makes it count as changed.
    pub fn touch(&mut self, now: Wall) {
        // Two changes at the same moment, or a clock that was set back, still make a new version.
        self.version = Wall(now.0.max(self.version.0 + 1));
        self.is_new = true;
    }

    /// The entry with this number of the caller's.
    pub fn get(&self, slot: u32) -> Option<&InfoMapEntry> {
        self.entries.get(slot as usize)?.as_ref()
    }

    /// The moment of the last change, which is larger with each one; 0 if there was none.
    pub fn version(&self) -> Wall {
        self.version
    }

    /// Whether it has changed since it was last [written](ProcessInfoMap::to_text).
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    fn iter(&self) -> impl Iterator<Item = &InfoMapEntry> {
        self.entries.iter().flatten()
    }

    /// The text of the file, after which it does not count as changed any more.
    pub fn to_text(&mut self, boot_id: &str, generation: u32, keeper: KeeperIdentity) -> String {
        self.is_new = false;
        let mut text = String::with_capacity(300 * (self.iter().count() + 1));
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "version: {}\nboot_id: {boot_id}\ngeneration: {generation}\nkeeper: {} {}\ninfo_map:\n",
            self.version.0, keeper.pid, keeper.start_ticks,
        );
        for entry in self.iter() {
            entry.write(&mut text);
        }
        text + "complete: true\n"
    }
}

impl InfoMapEntry {
    /// How the process is addressed: `name`, or `group:name`.
    pub fn namespec(&self) -> String {
        namespec::display(&self.group, &self.program)
    }

    fn write(&self, text: &mut String) {
        let [stdin, stdout, stderr] = self.pipes;
        let _ = write!(
            text,
            "  {}:\n    start_time: {}\n    pid: {}\n    program: {}\n    group: {}\n    start_ticks: {}\n    \
             generation: {}\n    starts: {}\n    fingerprint: {:016x}\n    stopping: {}\n    \
             pipes: {stdin} {stdout} {stderr}\n",
            quoted(&self.namespec()),
            self.start_time.0,
            self.pid,
            quoted(&self.program),
            quoted(&self.group),
            self.start_ticks,
            self.generation,
            self.starts,
            self.fingerprint,
            self.stopping,
        );
    }
}

/// A name as both JSON and YAML take it.
fn quoted(name: &str) -> String {
    // A string always has a JSON form.
    serde_json::to_string(name).unwrap_or_default()
}

/// What a former daemon has written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Empty if the file does not say: one of a Go descendant.
    pub boot_id: String,
    /// The run of the daemon that wrote the file, counted from 1; 0 if the file does not say.
    pub generation: u32,
    /// Zeros if the file does not say.
    pub keeper: KeeperIdentity,
    /// When the file was last written; 0 if that is not known.
    pub at: Wall,
    /// What was alive, or was to stay stopped, in the order of the file.
    pub entries: Vec<InfoMapEntry>,
}

/// Reads the text of a file.
///
/// # Errors
/// What is wrong with it and in which line.
pub fn parse(text: &str) -> Result<Written, String> {
    let mut reader = Reader::default();
    for (index, line) in text.lines().enumerate() {
        reader.line(line).map_err(|why| format!("line {}: {why}", index + 1))?;
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    written: Written,
    version: u64,
    has_map: bool,
    in_map: bool,
    /// The last line of our files says so.
    complete: bool,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.trim().is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let depth = line.len() - line.trim_start_matches(' ').len();
        let (key, value) = key_and_value(&line[depth..])?;
        match depth {
            0 => self.setting(&key, value),
            2 if self.in_map && value.is_empty() => self.begin_entry(&key),
            4 => {
                let entry = self.written.entries.last_mut().filter(|_| self.in_map);
                let entry = entry.ok_or("a field that belongs to no entry")?;
                field(entry, &key, value)
            }
            _ => Err("this is not the table of processes of a supervisord".to_string()),
        }
    }

    fn setting(&mut self, key: &str, value: &str) -> Result<(), String> {
        self.in_map = key == "info_map";
        match key {
            "version" => self.version = number(key, value)?,
            "boot_id" => self.written.boot_id = text(key, value)?,
            "generation" => self.written.generation = number(key, value)?,
            "keeper" => {
                let (pid, start_ticks) = value.split_once(' ').ok_or_else(|| wrong(key, value))?;
                self.written.keeper =
                    KeeperIdentity { pid: number(key, pid)?, start_ticks: number(key, start_ticks)? };
            }
            "info_map" => self.has_map = true,
            "complete" => self.complete = value == "true",
            _ => return Err(format!("unknown key {key}")),
        }
        Ok(())
    }

    fn begin_entry(&mut self, name: &str) -> Result<(), String> {
        if self.written.entries.len() == MOST_ENTRIES {
            return Err(format!("more than {MOST_ENTRIES} entries"));
        }
        let spec = namespec::Namespec::parse(name);
        // A bare name in a file of a Go descendant; ours say both.
        let program = spec.process.unwrap_or_default().into();
        self.written.entries.push(InfoMapEntry {
            group: spec.group.into(),
            program,
            ..InfoMapEntry::default()
        });
        Ok(())
    }

    fn finish(self) -> Result<Written, String> {
        if self.version == 0 || !self.has_map {
            return Err(
                "this is not the table of processes of a supervisord: it has no version or no map".into()
            );
        }
        // Those of Go descendants have no last line, and no identities that anybody could act upon.
        if !self.complete && !self.written.boot_id.is_empty() {
            return Err("it is not complete".to_string());
        }
        Ok(self.written)
    }
}

/// Splits `key: value`; the key may be quoted.
fn key_and_value(line: &str) -> Result<(String, &str), String> {
    let malformed = || "expected a key, a colon and a value".to_string();
    if !line.starts_with('"') {
        let (key, value) = line.split_once(':').ok_or_else(malformed)?;
        return Ok((key.trim_end().to_string(), value.trim()));
    }
    let mut strings = serde_json::Deserializer::from_str(line).into_iter::<String>();
    let key = strings.next().and_then(Result::ok).ok_or_else(malformed)?;
    let rest = &line[strings.byte_offset()..];
    Ok((key, rest.strip_prefix(':').ok_or_else(malformed)?.trim()))
}

/// One field of an entry. Those of later versions are skipped.
fn field(entry: &mut InfoMapEntry, key: &str, value: &str) -> Result<(), String> {
    match key {
        "start_time" => entry.start_time = Wall(number(key, value)?),
        "pid" => entry.pid = number(key, value)?,
        "program" => entry.program = text(key, value)?.into(),
        "group" => entry.group = text(key, value)?.into(),
        "start_ticks" => entry.start_ticks = number(key, value)?,
        "generation" => entry.generation = number(key, value)?,
        "starts" => entry.starts = number(key, value)?,
        "fingerprint" => {
            entry.fingerprint = u64::from_str_radix(value, 16).map_err(|_| wrong(key, value))?;
        }
        "stopping" => entry.stopping = value.parse().map_err(|_| wrong(key, value))?,
        "pipes" => {
            let inodes: Result<Vec<u64>, _> = value.split(' ').map(str::parse).collect();
            let inodes = inodes.ok().and_then(|inodes| inodes.try_into().ok());
            entry.pipes = inodes.ok_or_else(|| wrong(key, value))?;
        }
        _ => {}
    }
    if entry.pid < 0 { Err(wrong(key, value)) } else { Ok(()) }
}

fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| wrong(key, value))
}

/// A plain or quoted text.
fn text(key: &str, value: &str) -> Result<String, String> {
    if value.starts_with('"') {
        serde_json::from_str(value).map_err(|_| wrong(key, value))
    } else {
        Ok(value.to_string())
    }
}

fn wrong(key: &str, value: &str) -> String {
    let shown: String = value.chars().take(40).collect();
    format!("{key} cannot be '{}'", shown.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(program: &str, pid: i32) -> InfoMapEntry {
        InfoMapEntry {
            group: "g\"ü:".into(),
            program: program.into(),
            start_time: Wall(1_548_912_300_000_000_000),
            pid,
            start_ticks: 4_711,
            generation: 3,
            starts: 9,
            fingerprint: 0xfeed_0000_0000_0001,
            stopping: true,
            pipes: [1, 0, u64::MAX],
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut map = ProcessInfoMap::default();
        for (slot, program) in ["a", "b: c", "#", "- x", "line\nbreak", ""].into_iter().enumerate() {
            assert!(map.set(slot as u32, Some(entry(program, slot as i32)), Wall(5)));
        }
        assert!(map.is_new());
        let keeper = KeeperIdentity { pid: 12, start_ticks: 13 };
        let text = map.to_text("0a-b", 4, keeper);
        assert!(!map.is_new());
        let written = parse(&text).unwrap_or_else(|why| panic!("{why}\n{text}"));
        assert_eq!((written.boot_id.as_str(), written.generation), ("0a-b", 4));
        assert_eq!(written.keeper, keeper);
        assert!(written.entries.iter().eq(map.iter()), "{text}");
    }

    #[test]
    fn only_changes_make_it_new() {
        let mut map = ProcessInfoMap::default();
        assert!(!map.set(1, None, Wall(5)) && !map.is_new());
        assert!(map.set(1, Some(entry("a", 7)), Wall(5)));
        let _ = map.to_text("", 1, KeeperIdentity::default());
        assert!(!map.set(1, Some(entry("a", 7)), Wall(6)) && !map.is_new());
        assert!(map.set(1, None, Wall(4)) && map.is_new());
        assert_eq!(map.version(), Wall(6), "a clock that was set back makes no older version");
    }

    #[test]
    fn the_file_of_a_go_descendant_is_understood() {
        let text = "version: 1548912345678901234\ninfo_map:\n  web:\n    start_time: 1548912300000000000\n    \
                    pid: 4711\n    program: web\n";
        let written = parse(text).unwrap();
        assert_eq!(written.boot_id, "");
        let [web] = &written.entries[..] else { panic!("one entry") };
        assert_eq!((web.namespec().as_str(), web.pid, web.start_ticks), ("web", 4711, 0));
    }

    #[test]
    fn what_is_torn_or_foreign_is_refused_with_its_place() {
        let mut map = ProcessInfoMap::default();
        for slot in 0..3 {
            map.set(slot, Some(entry("a", 7)), Wall(5));
        }
        let text = map.to_text("0a-b", 4, KeeperIdentity::default());
        for end in 0..text.len() - 1 {
            let Some(torn) = text.get(..end) else { continue };
            assert!(parse(torn).is_err(), "{torn}");
        }
        for (foreign, why) in [
            ("", "no version or no map"),
            ("root:x:0:0:root:/root:/bin/bash\n", "line 1: unknown key root"),
            ("version: 0\ninfo_map:\n", "no version or no map"),
            ("version: 1\n    pid: 4\n", "line 2: a field that belongs to no entry"),
            ("version: 1\ninfo_map:\n  a:\n    pid: -1\n", "line 4: pid cannot be '-1'"),
            ("version: 1\ninfo_map:\n  a:\n    pid: 99999999999\n", "line 4: pid cannot be"),
            ("version: 1\ninfo_map:\n  a:\n    pipes: 1 2\n", "line 4: pipes cannot be"),
            ("version: 1\ninfo_map:\n  \"a:\n", "line 3: expected a key"),
            ("\u{7f}ELF", "line 1: expected a key"),
        ] {
            let message = parse(foreign).unwrap_err();
            assert!(message.contains(why), "{foreign:?}: {message}");
        }
    }
}
