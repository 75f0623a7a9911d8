//! The `stdout_*` and `stderr_*` keys of a program.

use crate::config::section::Section;
use crate::config::syslog;
use crate::config::text::repr;
use crate::config::values::{self, Parsed};
use crate::model::config::{ChildLog, Level, LogTarget, StreamConfig, StreamFormat, Timestamps};
use std::path::PathBuf;

/// Each has a connection of its own, and a queue.
const MOST_REMOTE: usize = 8;

/// The names of one stream's keys.
pub(super) struct Keys {
    logfile: &'static str,
    backups: &'static str,
    maxbytes: &'static str,
    syslog: &'static str,
    capture_maxbytes: &'static str,
    events_enabled: &'static str,
    timestamps: &'static str,
    prefix: &'static str,
    format: &'static str,
    syslog_priority: &'static str,
}

pub(super) const STDOUT: Keys = Keys {
    logfile: "stdout_logfile",
    backups: "stdout_logfile_backups",
    maxbytes: "stdout_logfile_maxbytes",
    syslog: "stdout_syslog",
    capture_maxbytes: "stdout_capture_maxbytes",
    events_enabled: "stdout_events_enabled",
    timestamps: "stdout_logfile_timestamps",
    prefix: "stdout_logfile_prefix",
    format: "stdout_logfile_format",
    syslog_priority: "syslog_stdout_priority",
};

pub(super) const STDERR: Keys = Keys {
    logfile: "stderr_logfile",
    backups: "stderr_logfile_backups",
    maxbytes: "stderr_logfile_maxbytes",
    syslog: "stderr_syslog",
    capture_maxbytes: "stderr_capture_maxbytes",
    events_enabled: "stderr_events_enabled",
    timestamps: "stderr_logfile_timestamps",
    prefix: "stderr_logfile_prefix",
    format: "stderr_logfile_format",
    syslog_priority: "syslog_stderr_priority",
};

/// The keys that are the same for every process of a section.
#[derive(Clone, Copy)]
pub(super) struct Shared {
    capture_maxbytes: u64,
    events_enabled: bool,
}

/// Reads them.
pub(super) fn read_shared(section: &Section<'_>, keys: &Keys) -> Shared {
    Shared {
        capture_maxbytes: section.understand_or_default(keys.capture_maxbytes, values::capture_bytes),
        events_enabled: section.get_or_default(keys.events_enabled, values::boolean),
    }
}

/// Reads the keys of one process, and warns of what Supervisor warns of.
pub(super) fn read(section: &Section<'_>, keys: &Keys, shared: Shared) -> StreamConfig {
    let targets = section.get_or_default(keys.logfile, |text| targets(section, keys.logfile, text));
    let backups = section.understand_or_default(keys.backups, values::count);
    let maxbytes = section.understand_or_default(keys.maxbytes, values::bytes);
    let syslog = section.get_or_default(keys.syslog, values::boolean);
    let warn = |text: String| section.note(Some(keys.logfile), Level::Warn, text);
    if targets.only_syslog {
        warn(format!(
            "For [{}], {}=syslog but this is deprecated and will be removed.  Use {}=true to enable syslog \
             instead.",
            section.name, keys.logfile, keys.syslog
        ));
    }
    if targets.first == ChildLog::Auto && maxbytes == 0 {
        warn(format!(
            "For [{}], AUTO logging used for {} without rollover, set maxbytes > 0 to avoid filling up \
             filesystem unintentionally",
            section.name, keys.logfile
        ));
    }
    StreamConfig {
        logfile: targets.first,
        maxbytes,
        backups,
        capture_maxbytes: shared.capture_maxbytes,
        events_enabled: shared.events_enabled,
        syslog: syslog || targets.syslog,
        more: targets.more,
        timestamps: section.get_or_default(keys.timestamps, timestamps),
        prefix: unquoted(&section.text_or_default(keys.prefix)).to_string(),
        format: section.get_or_default(keys.format, format),
        syslog_options: syslog::options(section, keys.syslog_priority),
    }
}

/// Gives a redirected stderr no log of its own, with Supervisor's warning if one was asked for.
pub(super) fn redirect(section: &Section<'_>, stderr: &mut StreamConfig) {
    if !matches!(stderr.logfile, ChildLog::Auto | ChildLog::None) {
        section.note(
            Some("stderr_logfile"),
            Level::Warn,
            format!(
                "For [{}], redirect_stderr=true but stderr_logfile has also been set to a filename, the filename \
                 has been ignored",
                section.name
            ),
        );
    }
    stderr.logfile = ChildLog::None;
    stderr.more.clear();
}

/// What a `*_logfile` names.
struct Targets {
    first: ChildLog,
    more: Vec<LogTarget>,
    syslog: bool,
    /// The old spelling of `*_syslog=true`.
    only_syslog: bool,
}

fn targets(section: &Section<'_>, key: &str, text: &str) -> Parsed<Targets> {
    let items = split(text, |directory| section.context.surroundings.is_dir(directory));
    let only_syslog = items.len() == 1 && items[0].eq_ignore_ascii_case("syslog");
    let mut found = Targets { first: ChildLog::None, more: Vec::new(), syslog: false, only_syslog };
    for item in items {
        if let Some(target) = syslog::remote(item) {
            found.more.push(LogTarget::Syslog(syslog::target(target)?));
            continue;
        }
        let target = match item.to_lowercase().as_str() {
            "none" | "off" | "" => continue,
            "syslog" => {
                found.syslog = true;
                continue;
            }
            "auto" => ChildLog::Auto,
            "memory" => ChildLog::Memory,
            _ => ChildLog::File(log_path(section, key, item)?),
        };
        // An automatic log is always the first of several.
        let (first, other) = match target {
            ChildLog::Auto => (ChildLog::Auto, std::mem::replace(&mut found.first, ChildLog::None)),
            target if found.first == ChildLog::None => (target, ChildLog::None),
            target => (std::mem::replace(&mut found.first, ChildLog::None), target),
        };
        found.first = first;
        match other {
            ChildLog::File(path) => found.more.push(LogTarget::File(path)),
            ChildLog::Memory => found.more.push(LogTarget::Memory),
            ChildLog::Auto | ChildLog::None => {}
        }
    }
    let n_remote = found.more.iter().filter(|target| matches!(target, LogTarget::Syslog(_))).count();
    if n_remote > MOST_REMOTE {
        return Err(format!(
            "{n_remote} targets of syslog on the network are too many (at most {MOST_REMOTE})"
        ));
    }
    Ok(found)
}

/// Cuts a list of targets at its commas. A file name may contain commas, so it is a list only if every item looks like a
/// target of its own (an absolute path, one with `~`, a known word), or if no file can be meant: behind a comma stands a
/// syslog on the network, or a path, and what stands before that path is no directory.
fn split(text: &str, is_dir: impl Fn(&str) -> bool) -> Vec<&str> {
    let items: Vec<&str> = text.split(',').map(str::trim).collect();
    let known = ["none", "off", "auto", "syslog", "memory"];
    let is_path = |item: &str| item.starts_with(['/', '~']);
    let is_remote = |item: &str| syslog::remote(item).is_some();
    let is_target =
        |item: &&str| is_path(item) || is_remote(item) || known.contains(&item.to_lowercase().as_str());
    let is_no_file = || {
        let directory = text.rsplit_once('/').map_or("", |(directory, _)| directory);
        let has_path = || items[1..].iter().any(|item| item.starts_with('/') || item.starts_with("~/"));
        items.iter().any(|item| is_remote(item)) || has_path() && !is_dir(directory)
    };
    if items.len() > 1 && (items.iter().all(is_target) || is_no_file()) { items } else { vec![text] }
}

/// The path of a log. Missing directories are made when it is opened, so only a file in their place is wrong, and a
/// name that was meant for something else: quoted, or a pipe to a program.
fn log_path(section: &Section<'_>, key: &str, text: &str) -> Parsed<PathBuf> {
    let around = section.context.surroundings;
    let path = PathBuf::from(around.expand_user(text));
    let is_odd = text.starts_with(['"', '\'', '|']);
    let parent = path.parent().map(|parent| parent.to_string_lossy()).filter(|parent| !parent.is_empty());
    let exists = parent.is_none_or(|parent| around.is_dir(&parent));
    if exists && is_odd {
        section.doubt(key, format!("quotes and pipes mean nothing here: the file is called {}", repr(text)));
    }
    if exists || !is_odd && section.context.can_be_made(&path) {
        return Ok(path);
    }
    let why = match text.chars().next() {
        Some('|') => " (a log cannot be a program: let one read what 'command=/bin/sh -c ...' pipes to it)",
        Some(_) if is_odd => " (quotes are part of a name: leave them out)",
        _ => "",
    };
    Err(format!("The directory named as part of the path {text} does not exist{why}"))
}

fn timestamps(text: &str) -> Parsed<Timestamps> {
    Ok(match values::boolean(text) {
        Ok(true) => Timestamps::Default,
        Ok(false) => Timestamps::Off,
        Err(_) if text.is_empty() => Timestamps::Off,
        Err(_) if text.contains('%') => Timestamps::Format(text.to_string()),
        Err(_) => {
            return Err(values::not_one_of(text, "timestamps", "a boolean or a format such as %%H:%%M:%%S"));
        }
    })
}

fn format(text: &str) -> Parsed<StreamFormat> {
    match text.to_lowercase().as_str() {
        "raw" => Ok(StreamFormat::Raw),
        "text" => Ok(StreamFormat::Text),
        "json" => Ok(StreamFormat::Json),
        _ => Err(values::not_one_of(text, "format", "raw, text or json")),
    }
}

/// Quotes around a prefix keep the blanks that the file's dialect would strip.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_what_cannot_be_the_name_of_a_file() {
        for (text, expected) in [
            ("/a.log", &["/a.log"][..]),
            ("/a.log, memory", &["/a.log", "memory"]),
            ("a.log, b.log", &["a.log, b.log"]),
            ("/a.log, b.log", &["/a.log, b.log"]),
            ("a.log, ~b", &["a.log, ~b"]),
            ("a.log, memory", &["a.log, memory"]),
            ("a.log, /dev/stdout", &["a.log", "/dev/stdout"]),
            ("a.log,~/b", &["a.log", "~/b"]),
            ("there, /b", &["there, /b"]),
            ("a.log, syslog @h", &["a.log", "syslog @h"]),
            ("syslog @tcp:h:1, b.log", &["syslog @tcp:h:1", "b.log"]),
        ] {
            assert_eq!(split(text, |directory| directory == "there, "), expected, "{text}");
        }
    }
}
