//! From a configuration to the files of another program.
//!
//! [`Source`] is what a format reads: the model, and for each program its settings as they are written. A [`Format`] is a
//! row of [`FORMATS`]: a name, a table that says for every key what becomes of it, and a function that makes files.
//! [`export`] does what all of them have in common: it notes a loss for every written key that the table calls lost, for
//! sections that no other program has a word for, and for the daemon's own keys. The format's function notes what is lost
//! of the keys that its table calls partly said.

use crate::config::args::DaemonArgs;
use crate::config::dump::all_settings;
use crate::config::load::{Read, read};
use crate::config::reading::Readable;
use crate::config::{ConfigErrors, Document, Setting, Surroundings};
use crate::convert::losses::{Losses, Said, Table, is_written, walk};
use crate::model::config::{Config, GroupConfig, GroupKind, ProcessConfig};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// One file of the other program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFile {
    /// Relative to the directory that is written to.
    pub path: String,
    /// Without the list of losses, which is put in front.
    pub text: String,
    /// The section it is made of, whose losses stand at its head: `program:web`. `None`: every loss that no other file
    /// has.
    pub section: Option<String>,
}

/// What the command line says about an export.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--image`.
    pub image: Option<String>,
    /// For looking up commands, users and the like.
    pub surroundings: Surroundings,
}

/// What stands for an image that nobody named.
const NO_IMAGE: &str = "IMAGE";

impl Options {
    /// The image of containers. If none was named, that is a loss, and the word IMAGE stands for it.
    pub fn image(&self, losses: &mut Losses) -> &str {
        self.image.as_deref().unwrap_or_else(|| {
            losses.note(
                "--image",
                "",
                "no image was named: replace the word IMAGE, or export again with --image NAME",
            );
            NO_IMAGE
        })
    }
}

/// A format that a configuration can be exported to.
pub struct Format {
    /// The word of the command line.
    pub name: &'static str,
    /// What begins a comment line in its files.
    pub comment: &'static str,
    /// What becomes of each key of a program or a group.
    pub keys: Table,
    /// Makes the files. Paths are unique.
    pub export: fn(&Source, &Options, &mut Losses) -> Result<Vec<OutputFile>, String>,
}

/// Every format, in the order of the help.
pub const FORMATS: &[Format] = &[
    crate::convert::systemd::FORMAT,
    crate::convert::quadlet::FORMAT,
    crate::convert::compose::FORMAT,
    crate::convert::kubernetes::FORMAT,
    crate::convert::nomad::FORMAT,
];

/// The format of this name.
pub fn format(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

/// A configuration as formats read it.
#[derive(Clone, Debug)]
pub struct Source {
    /// The model.
    pub config: Config,
    /// What it is made of, in the order of the model: by priority and name of the group, then by section. Event listeners
    /// are not among them: they work with this daemon only.
    pub programs: Vec<Program>,
    /// The settings of all sections, by section.
    pub settings: BTreeMap<String, Vec<Setting>>,
}

/// One `[program:x]` or `[fcgi-program:x]`, as a member of one group.
#[derive(Clone, Debug)]
pub struct Program {
    /// `program:web`.
    pub section: String,
    /// `web`.
    pub name: Arc<str>,
    /// The group whose member it is; it has the same name unless there is a `[group:x]`.
    pub group: Arc<GroupConfig>,
    /// Its processes, by number as far as their names sort so; `numprocs=0` makes none.
    pub processes: Vec<Arc<ProcessConfig>>,
    /// Every setting that has a value, written or default. As in the file: a `%` is doubled, names that differ between
    /// processes are not expanded.
    pub settings: Vec<Setting>,
}

impl Program {
    /// A setting by its key.
    pub fn setting(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    /// Whether somebody wrote this key, and something else than the default.
    pub fn has_written(&self, key: &str) -> bool {
        self.setting(key).is_some_and(is_written)
    }

    /// Notes that a key is lost, if it was written.
    pub fn lose(&self, key: &str, why: impl Into<String>, losses: &mut Losses) {
        if let Some(setting) = self.setting(key).filter(|setting| is_written(setting)) {
            losses.note_setting(setting, why);
        }
    }

    /// Whether it is in a `[group:x]`.
    pub fn is_grouped(&self) -> bool {
        self.group.kind == GroupKind::Group
    }
}

impl Source {
    /// Reads the configuration that the command line names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(args: &DaemonArgs, surroundings: &Surroundings) -> Result<Source, ConfigErrors> {
        let Read { document, outcome, .. } = read(args, surroundings, Readable::Pipes)?;
        let config = outcome.into_result()?;
        Ok(Source::new(config, &document, args, surroundings))
    }

    fn new(config: Config, document: &Document, args: &DaemonArgs, surroundings: &Surroundings) -> Source {
        let sections = all_settings(document, args, surroundings);
        let settings: BTreeMap<String, Vec<Setting>> =
            sections.into_iter().map(|(section, settings)| (section.to_string(), settings)).collect();
        let groups = config.groups.clone();
        let sections: Sections = settings
            .keys()
            .filter_map(|section| {
                let (kind, name) = section.split_once(':')?;
                // A header may have blanks behind its colon.
                Some(((kind, name.trim()), section.as_str()))
            })
            .collect();
        let programs = groups.iter().flat_map(|group| programs(group, &sections, &settings)).collect();
        Source { config, programs, settings }
    }

    /// Leaves only programs of these names, or of groups of these names.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn restrict(&mut self, names: &[String]) -> Result<(), String> {
        for name in names {
            if !self.programs.iter().any(|program| is_called(program, name)) {
                return Err(format!("no program or group is named {name}; write names without \"program:\""));
            }
        }
        if !names.is_empty() {
            self.programs.retain(|program| names.iter().any(|name| is_called(program, name)));
        }
        Ok(())
    }
}

fn is_called(program: &Program, name: &str) -> bool {
    *program.name == *name || *program.group.name == *name
}

/// The full names of sections, by kind and name.
type Sections<'s> = HashMap<(&'s str, &'s str), &'s str>;

/// The programs of a group, in the order in which its processes stand.
fn programs(
    group: &Arc<GroupConfig>,
    sections: &Sections<'_>,
    settings: &BTreeMap<String, Vec<Setting>>,
) -> Vec<Program> {
    if matches!(group.kind, GroupKind::EventListener(_)) {
        return Vec::new();
    }
    let mut found: Vec<Program> = Vec::new();
    let mut places: HashMap<Arc<str>, usize> = HashMap::new();
    for process in &group.processes {
        if let Some(at) = places.get(&process.program) {
            found[*at].processes.push(process.clone());
            continue;
        }
        let kind = if process.fcgi_socket.is_some() { "fcgi-program" } else { "program" };
        let section = sections.get(&(kind, &*process.program)).map(|section| section.to_string());
        let section = section.unwrap_or_else(|| format!("{kind}:{}", process.program));
        places.insert(process.program.clone(), found.len());
        found.push(Program {
            settings: settings.get(&section).cloned().unwrap_or_default(),
            section,
            name: process.program.clone(),
            group: group.clone(),
            processes: vec![process.clone()],
        });
    }
    found
}

/// Makes the files of a format, and the list of what they do not say.
///
/// # Errors
/// The format cannot be made at all of this configuration: why.
pub fn export(
    format: &Format,
    source: &Source,
    options: &Options,
) -> Result<(Vec<OutputFile>, Losses), String> {
    let mut losses = Losses::default();
    let processes = source.config.groups.iter().flat_map(|group| &group.processes);
    let with_processes: HashSet<&str> = processes.map(|process| &*process.program).collect();
    let has_none = |section: &str| {
        section.split_once(':').is_some_and(|(_, name)| !with_processes.contains(name.trim()))
    };
    for file in &source.config.skipped {
        losses.note(
            file.file.display().to_string(),
            "",
            "the file is broken and was left out: see supervisord check",
        );
    }
    for (section, settings) in &source.settings {
        match section.split(':').next().unwrap_or_default() {
            "supervisord" => walk(settings, DAEMON, &mut losses),
            "eventlistener" => losses.note(
                format!("[{section}]"),
                "",
                "event listeners live on the events of supervisord: keep it for them, or watch the other program's own events",
            ),
            name if name.starts_with("unix_http_server") || name.starts_with("inet_http_server") => losses.note(
                format!("[{section}]"),
                "",
                "there is no daemon that clients could reach: use the other program's own commands",
            ),
            // Its other keys are those of its members.
            "group" => {
                let own = settings.iter().filter(|setting| ["programs", "priority"].contains(&&*setting.key));
                walk(&own.cloned().collect::<Vec<_>>(), format.keys, &mut losses);
            }
            "program" | "fcgi-program" if has_none(section) => {
                losses.note(format!("[{section}] numprocs"), "0", "there is nothing to run: write a number");
            }
            _ => {}
        }
    }
    let mut seen = HashSet::new();
    for program in &source.programs {
        if seen.insert(&program.section) {
            walk(&program.settings, format.keys, &mut losses);
        }
    }
    let files = (format.export)(source, options, &mut losses)?;
    Ok((files, losses))
}

/// What becomes of the daemon's own keys, in every format. What is left of them in programs is in the model.
pub const DAEMON: Table = &[
    ("logfile", Said::Moot("there is no daemon that writes one")),
    ("logfile_maxbytes", Said::Moot("there is no daemon that writes one")),
    ("logfile_backups", Said::Moot("there is no daemon that writes one")),
    ("loglevel", Said::Moot("there is no daemon that writes a log")),
    ("log_format", Said::Moot("there is no daemon that writes a log")),
    ("pidfile", Said::Moot("there is no daemon")),
    ("nodaemon", Said::Moot("there is no daemon")),
    ("silent", Said::Moot("there is no daemon")),
    (
        "minfds",
        Said::Lost(
            "it raises the limit on open files of every program: write limit_nofile for those that need it",
        ),
    ),
    (
        "minprocs",
        Said::Lost(
            "it raises the limit on processes of every program: write limit_nproc for those that need it",
        ),
    ),
    ("umask", Said::Partly("the umask of programs without one of their own")),
    ("user", Said::Partly("the user of programs without one of their own")),
    ("identifier", Said::Moot("there is no daemon")),
    ("nodename", Said::Moot("there is no daemon")),
    ("directory", Said::Partly("the directory of programs without one of their own")),
    ("nocleanup", Said::Moot("there are no automatic logs")),
    ("childlogdir", Said::Moot("there are no automatic logs")),
    ("environment", Said::As("in the environment of each program")),
    ("strip_ansi", Said::Lost("logs keep terminal sequences: switch colours off in the programs")),
    (
        "exit_when",
        Said::Lost("there is no daemon that could end: let something else react to the end of the program"),
    ),
    ("processinfomapfile", Said::Moot("there is no daemon")),
    ("startkillall", Said::Moot("there is no daemon that could find programs of a former one")),
    ("exitkillall", Said::Moot("there is no daemon that could end without its programs")),
    ("manager_watchdog_secs", Said::Moot("there is no daemon")),
    ("state_file", Said::Moot("there is no daemon")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::KINDS;
    use crate::convert::losses::said;

    /// The keys of the schema in sections of these kinds.
    fn keys_of(prefixes: &[&str]) -> Vec<&'static str> {
        let kinds = KINDS.iter().filter(|kind| prefixes.contains(&kind.prefix));
        let mut keys: Vec<&str> = kinds.flat_map(|kind| kind.keys()).map(|key| key.name).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    #[track_caller]
    fn check(name: &str, table: Table, prefixes: &[&str]) {
        let keys = keys_of(prefixes);
        let forgotten: Vec<_> = keys.iter().filter(|key| said(table, key).is_none()).collect();
        assert!(forgotten.is_empty(), "{name} says nothing about {forgotten:?}");
        let unknown: Vec<_> = table.iter().map(|(key, _)| key).filter(|key| !keys.contains(key)).collect();
        assert!(unknown.is_empty(), "{name} has rows for keys that are not in the schema: {unknown:?}");
        let mut rows: Vec<&str> = table.iter().map(|(key, _)| *key).collect();
        rows.sort_unstable();
        assert!(rows.windows(2).all(|pair| pair[0] != pair[1]), "{name} has two rows for a key: {rows:?}");
    }

    #[test]
    fn every_format_says_what_becomes_of_every_key() {
        for format in FORMATS {
            check(format.name, format.keys, &["program:", "fcgi-program:", "group:"]);
        }
        check("the daemon", DAEMON, &["supervisord"]);
    }
}
