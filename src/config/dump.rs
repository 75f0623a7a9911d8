//! Writes the effective configuration as a file: includes and command line merged in, every key with its value and
//! where the value came from.
//!
//! A dump can be loaded again and means the same. So `%(here)s`, `%(host_node_name)s` and the environment are expanded,
//! and names that differ between the processes of a section stay as they are.

use crate::config::args::DaemonArgs;
use crate::config::defaults;
use crate::config::document::{Document, Place, Value};
use crate::config::expand::{Names, Piece, expand, pieces, with_percents};
use crate::config::schema::{self, Key, Kind};
use crate::config::secrets;
use crate::config::section::{Context, Extra, Scope};
use crate::config::surroundings::Surroundings;
use crate::config::{daemon, environment, ini, stop_reach, supervision, values};
use crate::model::config::Level;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where the origins begin, for values that leave room.
const ORIGIN_COLUMN: usize = 48;

/// One key of one section with its effective value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The header without its brackets.
    pub section: String,
    /// One of the keys that such a section may have.
    pub key: Cow<'static, str>,
    /// As it would be written into a file: a percent sign is doubled, names that differ between the processes of a
    /// section are not expanded.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
    /// Whether it should not be shown to everybody.
    pub secret: bool,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of the main file or of an include.
    File {
        /// As it was named: by `-c`, or by an include.
        name: PathBuf,
        /// Counted from 1.
        line: u32,
        /// The section that it stands in, if that is another one.
        section: Option<String>,
    },
    /// Several lines, whose values are one; the nearest to the section first.
    Merged(Vec<Origin>),
    /// An option.
    CommandLine,
    /// The default of the key, because nothing else gives a value.
    Default,
    /// Somebody has changed it besides the files: in this way.
    Changed(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { name, line, section: None } => write!(f, "{}:{line}", name.display()),
            Origin::File { name, line, section: Some(section) } => {
                write!(f, "{}:{line} [{section}]", name.display())
            }
            Origin::Merged(origins) => {
                let all: Vec<String> = origins.iter().map(Origin::to_string).collect();
                f.write_str(&all.join(", "))
            }
            Origin::CommandLine => f.write_str("command line"),
            Origin::Default => f.write_str("default"),
            Origin::Changed(how) => f.write_str(how),
        }
    }
}

/// Writes a document as one file. It must have been read without errors.
pub(crate) fn dump(document: &Document, args: &DaemonArgs, surroundings: &Surroundings) -> String {
    as_file(all_settings(document, args, surroundings))
}

/// Writes settings as one file.
pub(crate) fn as_file(sections: Vec<(&str, Vec<Setting>)>) -> String {
    let mut text =
        String::from("; The effective configuration. A comment after each value says where it came from.\n");
    for (section, settings) in sections {
        text += &format!("\n[{section}]\n");
        for setting in settings {
            text += &line(&setting.key, &setting.value, &setting.origin.to_string());
        }
    }
    text
}

/// Every setting of every known section but `[include]`, section by section, in the order of the manual.
pub(crate) fn all_settings<'d>(
    document: &'d Document,
    args: &DaemonArgs,
    surroundings: &'d Surroundings,
) -> Vec<(&'d str, Vec<Setting>)> {
    let mut dump = Dump { document, surroundings, arguments: arguments(args), environment: HashMap::new() };
    dump.environment.extend(surroundings.environment.clone());
    // The daemon's own section first: its environment can be expanded in all that follow.
    let first = document.sections().filter(|section| *section == "supervisord");
    // What stands in for others is shown where it does.
    let is_shown =
        |section: &&str| !["supervisord", "include"].contains(section) && !defaults::is_for_others(section);
    let others = document.sections().filter(is_shown);
    let mut all = Vec::new();
    for section in first.chain(others) {
        if let Some(kind) = schema::kind(section) {
            all.push((section, dump.section(section, kind)));
        }
        if section == "supervisord" {
            dump.environment.extend(dump.own_environment(section));
        }
    }
    all
}

struct Dump<'d> {
    document: &'d Document,
    surroundings: &'d Surroundings,
    /// What the command line says, by key of `[supervisord]`.
    arguments: BTreeMap<&'static str, String>,
    environment: HashMap<String, String>,
}

impl Dump<'_> {
    fn section(&self, section: &str, kind: &'static Kind) -> Vec<Setting> {
        let own = self.own_environment(section);
        let context = self.context();
        let gives_way = match schema::knows(section, "stop_scope") && kind.for_programs.is_empty() {
            true => stop_reach::given_way(&context.section(section).with(self.names_of(section))),
            false => Vec::new(),
        };
        // Its sections are not shown.
        let is_shown = |key: &&Key| key.name != "inherit" && !gives_way.contains(&key.name);
        let settings = kind
            .keys()
            .filter(is_shown)
            .flat_map(|key| self.names(section, key).into_iter().map(move |name| (key, name)));
        let settings = settings.filter_map(|(key, name)| {
            let (value, origin) = self.setting(section, key, &name, &own)?;
            let secret = secrets::is_secret(&name, &value);
            Some(Setting { section: section.to_string(), key: name, value, origin, secret })
        });
        settings.collect()
    }

    /// The names by which a section has a key.
    fn names(&self, section: &str, key: &'static Key) -> Vec<Cow<'static, str>> {
        if !key.is_of_many() {
            return vec![Cow::Borrowed(key.name)];
        }
        let names = self.document.keys_for(section).into_iter().filter(|name| key.is(name));
        names.map(|name| Cow::Owned(name.to_string())).collect()
    }

    /// Whether a key of `[DEFAULT]` is not for this section, which could not have it as its own.
    fn is_for_others(&self, section: &str, key: &str) -> bool {
        let kind = self.document.get(section, "type").map(|value| value.text.to_lowercase());
        supervision::FOR_SERVICES.contains(&key)
            && kind.is_some_and(|kind| kind == "oneshot")
            && !self.document.has_own(section, key)
    }

    /// The value of a key and where it is from. `None` if it has neither a value nor a default.
    fn setting(
        &self,
        section: &str,
        key: &Key,
        name: &str,
        own: &BTreeMap<String, String>,
    ) -> Option<(String, Origin)> {
        let argument = self.arguments.get(name).filter(|_| section == "supervisord");
        if let Some(value) = argument {
            return Some((value.clone(), Origin::CommandLine));
        }
        if self.is_for_others(section, name) {
            return None;
        }
        let Some((holder, value)) = self.document.all_values(section, name).next() else {
            if name == "processinfomapfile" {
                return self.map_file().map(|path| (path, Origin::Default));
            }
            // With `ready` it counts only if it is written.
            if name == "startsecs" && self.document.get(section, "ready").is_some() {
                return None;
            }
            // With a wide `stop_scope` a missing key is true.
            if name == "stopasgroup" && self.document.get(section, "stop_scope").is_some() {
                return None;
            }
            return key.default.map(|default| (default.to_string(), Origin::Default));
        };
        if name == "environment"
            && let Some(merged) = self.merged_environment(section, own)
        {
            return Some(merged);
        }
        if name == "programs" && self.document.lacks_files() {
            let known = self.known_programs(section);
            return Some((known, self.origin(section, holder, value.place)));
        }
        // What cannot be written, for example a comment's marker from the environment, stays a name.
        let attempts: [&dyn Fn(&str) -> bool; 2] = [&|_| true, &no_variables];
        let doubled = with_percents(value.text).filter(|_| schema::keeps_percents(name));
        let template = doubled.as_deref().unwrap_or(value.text);
        let mut filled =
            attempts.into_iter().map(|wanted| self.filled_in(template, value.place, own, wanted));
        let text = filled.find(|text| survives(name, text)).unwrap_or_else(|| value.text.to_string());
        Some((text, self.origin(section, holder, value.place)))
    }

    /// The members of a group without those whose files were left out.
    fn known_programs(&self, section: &str) -> String {
        let context = self.context();
        let text = context.section(section).with(self.names_of(section)).text("programs").unwrap_or_default();
        let mut names = values::strings(&text);
        names.retain(|name| {
            let has = |kind: &str| self.document.has_section(&format!("{kind}:{name}"));
            has("program") || has("fcgi-program")
        });
        names.join(",").replace('%', "%%")
    }

    /// The environment of a section that gets variables from several sections, and where they are from.
    fn merged_environment(&self, section: &str, own: &BTreeMap<String, String>) -> Option<(String, Origin)> {
        const KEY: &str = "environment";
        let context = self.context();
        let values: Vec<(&str, Value<'_>)> = self.document.all_values(section, KEY).collect();
        let values = &values[..context.section(section).all(KEY).len()];
        if values.len() < 2 {
            return None;
        }
        let merged = |wanted: &dyn Fn(&str) -> bool| {
            let texts: Vec<String> = values
                .iter()
                .rev()
                .map(|(_, value)| self.filled_in(value.text, value.place, own, wanted))
                .collect();
            let parsed = texts.iter().map(|text| environment::parse(text).ok().map(|reading| reading.value));
            match parsed.collect::<Option<Vec<_>>>() {
                Some(all) => environment::written(&all.into_iter().flatten().collect()),
                // Something is understood only when names are expanded for a process.
                None => texts.join(","),
            }
        };
        let mut texts = [merged(&|_| true), merged(&no_variables)].into_iter();
        let text = texts.find(|text| survives(KEY, text)).unwrap_or_else(|| merged(&|_| false));
        let origins = values.iter().map(|(holder, value)| self.origin(section, holder, value.place));
        Some((text, Origin::Merged(origins.collect())))
    }

    fn context(&self) -> Context<'_> {
        let mut context = Context::new(self.document, self.surroundings);
        context.environment.clone_from(&self.environment);
        context
    }

    /// The names that the first process of a section can expand.
    fn names_of<'n>(&'n self, section: &'n str) -> Extra<'n> {
        let name = section.split_once(':').map_or("", |(_, name)| name.trim());
        Extra {
            program_name: Some(name),
            group_name: Some(name),
            host_node_name: Some(&self.surroundings.host_node_name),
            process: Some((0, 1)),
            environment: None,
        }
    }

    /// The default of `processinfomapfile`, the only one that depends on other values.
    fn map_file(&self) -> Option<String> {
        let context = self.context();
        let pidfile = self.arguments.get("pidfile").map(|escaped| escaped.replace("%%", "%"));
        let path = daemon::default_map_file(&context, pidfile.as_deref())?;
        Some(path.to_string_lossy().replace('%', "%%"))
    }

    fn origin(&self, section: &str, holder: &str, place: Place) -> Origin {
        Origin::File {
            name: self.document.file(place).name.clone(),
            line: place.line,
            section: (holder != section).then(|| holder.to_string()),
        }
    }

    /// The variables that a section sets for its own keys: those of its first process.
    fn own_environment(&self, section: &str) -> BTreeMap<String, String> {
        if !schema::knows(section, "environment") {
            return BTreeMap::new();
        }
        let context = self.context();
        environment::merged(&context.section(section).with(self.names_of(section)))
    }

    /// Replaces the wanted names that mean the same for all processes.
    fn filled_in(
        &self,
        template: &str,
        place: Place,
        own: &BTreeMap<String, String>,
        wanted: &dyn Fn(&str) -> bool,
    ) -> String {
        let extra = Extra { host_node_name: Some(&self.surroundings.host_node_name), ..Extra::default() };
        let here = &self.document.file(place).here;
        let names = Scope { here, environment: &self.environment, extra };
        let mut text = String::new();
        for piece in pieces(template).flatten() {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Percent => text.push_str("%%"),
                Piece::Form(form) => {
                    let name = form.name.unwrap_or_default();
                    let is_own = name.strip_prefix("ENV_").is_some_and(|variable| own.contains_key(variable));
                    let value = names.lookup(name).filter(|_| !is_own && wanted(name));
                    match value.and_then(|_| expand(form.written, &names).ok()) {
                        Some(value) => text.push_str(&value.replace('%', "%%")),
                        None => text.push_str(form.written),
                    }
                }
            }
        }
        text
    }
}

/// Whether a name is not that of a variable.
fn no_variables(name: &str) -> bool {
    !name.starts_with("ENV_")
}

/// A setting as it stands in a file.
fn line(key: &str, value: &str, origin: &str) -> String {
    let text = plain_line(key, value, origin);
    // Only values that relatives of Supervisor write over several lines do not come back.
    if comes_back(key, value, &text) { text } else { format!("; {origin}\n{key}=\"\"\"\n{value}\n\"\"\"\n") }
}

/// A setting as it stands in a file that somebody is to go on with: without an origin, over several lines only if there is
/// no other way. `None` if nothing that is written there is read as this value and nothing else.
pub(crate) fn bare_line(key: &str, value: &str) -> Option<String> {
    let mut lines = value.lines();
    let mut text = format!("{key}={}\n", lines.next().unwrap_or_default());
    for line in lines {
        text += &format!("{}{line}\n", if line.is_empty() { "" } else { "    " });
    }
    let quoted = format!("{key}=\"\"\"\n{value}\n\"\"\"\n");
    [text, quoted].into_iter().find(|text| comes_back(key, value, text))
}

/// `key=value ; origin`; further lines of a value are indented. The origin of those stands above.
fn plain_line(key: &str, value: &str, origin: &str) -> String {
    let mut lines = value.lines();
    let first = format!("{key}={}", lines.next().unwrap_or_default());
    let rest: Vec<&str> = lines.collect();
    if rest.is_empty() {
        return format!("{first:<ORIGIN_COLUMN$} ; {origin}\n");
    }
    let mut text = format!("; {origin}\n{first}\n");
    for line in rest {
        let indent = if line.is_empty() { "" } else { "    " };
        text += &format!("{indent}{line}\n");
    }
    text
}

/// Whether a value comes back as it was when it is written and read.
fn survives(key: &str, value: &str) -> bool {
    // A name may contain more when it is expanded than when it is written.
    if key == "process_name" && values::name(value).is_err() {
        return false;
    }
    comes_back(key, value, &plain_line(key, value, "origin"))
}

/// Whether a value is read from these lines, and nothing else.
fn comes_back(key: &str, value: &str, lines: &str) -> bool {
    let mut document = Document::default();
    let text = format!("[x]\n{lines}");
    let read = ini::read(&text, Path::new("x"), String::new(), &mut document);
    read.is_ok()
        && document.get("x", key).is_some_and(|found| found.text == value)
        && document.sections().eq(["x"])
        && document.places_of("x").is_some_and(|keys| keys.len() == 1)
}

/// What the command line says, as it would stand in the file.
fn arguments(args: &DaemonArgs) -> BTreeMap<&'static str, String> {
    let escaped = |text: &Option<String>| text.as_ref().map(|text| text.replace('%', "%%"));
    let flag = |given: bool| given.then(|| "true".to_string());
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let all = [
        ("nodaemon", if args.daemon { Some("false".to_string()) } else { flag(args.nodaemon) }),
        ("silent", flag(args.silent)),
        ("nocleanup", flag(args.nocleanup)),
        ("strip_ansi", flag(args.strip_ansi)),
        ("user", escaped(&args.user)),
        ("umask", args.umask.map(|mask| format!("{mask:03o}"))),
        ("directory", escaped(&args.directory)),
        ("logfile", escaped(&args.logfile)),
        ("logfile_maxbytes", number(args.logfile_maxbytes)),
        ("logfile_backups", number(args.logfile_backups.map(u64::from))),
        ("loglevel", args.loglevel.map(|level| level_name(level).to_string())),
        ("pidfile", escaped(&args.pidfile)),
        ("identifier", escaped(&args.identifier)),
        ("childlogdir", escaped(&args.childlogdir)),
        ("minfds", number(args.minfds.map(u64::from))),
        ("minprocs", number(args.minprocs.map(u64::from))),
    ];
    all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Blather => "blather",
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
        Level::Critical => "critical",
    }
}
