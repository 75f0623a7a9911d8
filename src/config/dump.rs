//! The effective configuration as a file: includes and command line merged in, every key with its value and
//! where that came from.
//!
//! What the dump says is what the daemon runs with, so it loads again and means the same: `%(here)s`,
//! `%(host_node_name)s` and the environment are filled in, the names that differ between the processes of a
//! section stay.

use crate::cli::DaemonArgs;
use crate::config::document::{Document, Place};
use crate::config::expand::{Names, Piece, expand, pieces};
use crate::config::schema::{self, Kind};
use crate::config::section::{Context, Extra, Scope};
use crate::config::surroundings::Surroundings;
use crate::config::{environment, ini};
use crate::model::config::Level;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::Path;

/// Where the origins begin, for values that leave room.
const ORIGIN_COLUMN: usize = 48;

/// Writes a document as one file. It must have been read without errors.
pub(crate) fn dump(document: &Document, args: &DaemonArgs, surroundings: &Surroundings) -> String {
    let mut dump = Dump { document, surroundings, arguments: arguments(args), environment: HashMap::new() };
    dump.environment.extend(surroundings.environment.clone());
    let mut text =
        String::from("; The effective configuration. After each value stands where it came from.\n");
    // The daemon's own section first: its environment can be expanded in all that follow.
    let first = document.sections().filter(|section| *section == "supervisord");
    let others = document.sections().filter(|section| !["supervisord", "include"].contains(section));
    for section in first.chain(others) {
        if let Some(kind) = schema::kind(section) {
            text += &dump.section(section, kind);
        }
        if section == "supervisord" {
            dump.environment.extend(dump.own_environment(section));
        }
    }
    text
}

struct Dump<'d> {
    document: &'d Document,
    surroundings: &'d Surroundings,
    /// What the command line says, by key of `[supervisord]`.
    arguments: BTreeMap<&'static str, String>,
    environment: HashMap<String, String>,
}

impl Dump<'_> {
    fn section(&self, section: &str, kind: &Kind) -> String {
        let mut text = format!("\n[{section}]\n");
        let own = self.own_environment(section);
        for key in kind.keys() {
            let argument = self.arguments.get(key.name).filter(|_| section == "supervisord");
            if let Some(value) = argument {
                text += &line(key.name, value, "command line");
            } else if let Some(value) = self.document.get(section, key.name) {
                let filled = self.filled_in(value.text, value.place, &own);
                // What cannot be written, for example a comment's marker from the environment, stays a name.
                let value_text = if survives(key.name, &filled) { &filled } else { value.text };
                text += &line(key.name, value_text, &self.origin(value.place));
            } else if let Some(default) = key.default {
                text += &line(key.name, default, "default");
            }
        }
        text
    }

    fn origin(&self, place: Place) -> String {
        format!("{}:{}", self.document.file(place).name.display(), place.line)
    }

    /// The variables that a section sets for its own keys: those of its first process.
    fn own_environment(&self, section: &str) -> BTreeMap<String, String> {
        let mut context = Context::new(self.document, self.surroundings);
        context.environment.clone_from(&self.environment);
        let host = Some(self.surroundings.host_node_name.as_str());
        let name = section.split_once(':').map_or("", |(_, name)| name.trim());
        let extra = Extra {
            program_name: Some(name),
            group_name: Some(name),
            host_node_name: host,
            process: Some((0, 1)),
            environment: None,
        };
        let known = schema::knows(section, "environment");
        let text = known.then(|| context.section(section).with(extra).text("environment")).flatten();
        text.and_then(|text| environment::parse(&text).ok()).unwrap_or_default()
    }

    /// Replaces the names that mean the same for all processes.
    fn filled_in(&self, template: &str, place: Place, own: &BTreeMap<String, String>) -> String {
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
                    let value = names.lookup(name).filter(|_| !is_own);
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

/// `key=value ; origin`; further lines of a value are indented. The origin of those stands above.
fn line(key: &str, value: &str, origin: &str) -> String {
    let mut lines = value.lines();
    let first = format!("{key}={}", lines.next().unwrap_or_default());
    let rest: Vec<&str> = lines.collect();
    if rest.is_empty() {
        return format!("{first:<ORIGIN_COLUMN$} ; {origin}\n");
    }
    let mut text = format!("; {origin}\n{first}\n");
    for line in rest {
        let indent = if line.is_empty() { "" } else { "    " };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{indent}{line}");
    }
    text
}

/// Whether a value comes back as it was when it is written and read.
fn survives(key: &str, value: &str) -> bool {
    let mut document = Document::default();
    let text = format!("[x]\n{}", line(key, value, "origin"));
    let read = ini::read(&text, Path::new("x"), String::new(), &mut document);
    read.is_ok() && document.get("x", key).is_some_and(|found| found.text == value)
}

/// What the command line says, as it would stand in the file.
fn arguments(args: &DaemonArgs) -> BTreeMap<&'static str, String> {
    let escaped = |text: &Option<String>| text.as_ref().map(|text| text.replace('%', "%%"));
    let flag = |given: bool| given.then(|| "true".to_string());
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let all = [
        ("nodaemon", flag(args.nodaemon)),
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
