//! Sections and keys that nobody here reads: a slip, or another supervisor's.
//!
//! The daemon runs without them. The activity log has one line for each, `supervisord check` one for each place.

use crate::config::aliases::is_alias;
use crate::config::document::{Document, Place};
use crate::config::error::ConfigError;
use crate::config::schema::{self, KINDS, Kind};
use crate::config::similar::most_similar;
use crate::model::config::{Level, Message};
use indexmap::IndexMap;

/// More lines than anybody reads; `check` lists the rest.
const MAX_LINES: usize = 100;

/// A key that another supervisor reads from such a section.
struct Foreign {
    /// What the header of the section begins with; `program:` stands for all sections that run something.
    section: &'static str,
    key: &'static str,
    /// What to write instead, or what is to be known.
    advice: &'static str,
}

const fn foreign(section: &'static str, key: &'static str, advice: &'static str) -> Foreign {
    Foreign { section, key, advice }
}

const ON_DEPLOYMENT: &str = "no file is watched; let the deployment call 'supervisord ctl restart NAME'";
const FAILURES_ONLY: &str =
    "one success is enough, and nothing follows it; an event listener can wait for PROCESS_HEALTHY";

/// Every such key.
const FOREIGN: [Foreign; 16] = [
    foreign("program:", "conf_file", "no address of this daemon shows that file"),
    foreign("program:", "cron", "nothing starts it; let a crontab call 'supervisord ctl start NAME'"),
    foreign("program:", "killwaitsecs", "SIGKILL follows the last signal after stopwaitsecs"),
    foreign("program:", "liveness_check_success_action", FAILURES_ONLY),
    foreign("program:", "liveness_check_success_threshold", FAILURES_ONLY),
    foreign("program:", "pre_start_hook", "write it into the command: sh -c 'first this; exec the program'"),
    foreign("program:", "pre_stop_hook", "nothing runs it; the program gets stopsignal at once"),
    foreign("program:", "restart_cmd_when_binary_changed", ON_DEPLOYMENT),
    foreign("program:", "restart_cmd_when_file_changed", ON_DEPLOYMENT),
    foreign("program:", "restart_directory_monitor", ON_DEPLOYMENT),
    foreign("program:", "restart_file_pattern", ON_DEPLOYMENT),
    foreign("program:", "restart_signal_when_binary_changed", ON_DEPLOYMENT),
    foreign("program:", "restart_signal_when_file_changed", ON_DEPLOYMENT),
    foreign("program:", "restart_when_binary_changed", ON_DEPLOYMENT),
    foreign("inet_http_server", "remotes", "only the programs of this daemon are shown"),
    foreign("supervisord", "daemon", "write nodaemon, which means the opposite, or start with -d"),
];

/// One place of something that nobody reads.
pub(crate) struct Unknown<'d> {
    pub section: &'d str,
    /// `None` for a whole section.
    pub key: Option<&'d str>,
    pub place: Option<Place>,
    /// What is to be said of it.
    pub text: String,
    /// The part of the section's name that it has in common with sections of its kind.
    kind: &'d str,
}

/// Every place, section by section.
pub(crate) fn find(document: &Document) -> Vec<Unknown<'_>> {
    let mut found = Vec::new();
    for section in document.sections() {
        match schema::kind(section) {
            Some(kind) => found.extend(keys(document, section, kind)),
            None => found.push(unknown_section(document, section)),
        }
    }
    found.extend(defaults(document));
    found
}

/// The lines for the activity log: what many sections have in common is said at the first place.
pub(super) fn messages(document: &Document) -> Vec<Message> {
    let mut by_name: IndexMap<(&str, Option<&str>), Vec<Unknown<'_>>> = IndexMap::new();
    for unknown in find(document) {
        let kind = if unknown.key.is_none() { unknown.section } else { unknown.kind };
        by_name.entry((kind, unknown.key)).or_default().push(unknown);
    }
    let n_more = by_name.len().saturating_sub(MAX_LINES);
    let mut messages: Vec<_> =
        by_name.into_values().take(MAX_LINES).filter_map(|places| line(document, &places)).collect();
    if n_more > 0 {
        messages.push(warning(format!(
            "{n_more} more keys and sections are unknown and ignored; 'supervisord check' lists all"
        )));
    }
    messages
}

fn line(document: &Document, places: &[Unknown<'_>]) -> Option<Message> {
    let first = places.first()?;
    let place = ConfigError {
        text: String::new(),
        file: first.place.map(|place| document.file(place).name.clone()),
        line: first.place.map(|place| place.line),
        section: Some(first.section.to_string()),
        key: first.key.map(str::to_string),
    };
    let others = match places.len() - 1 {
        0 => String::new(),
        1 => "; 1 other section has it, too".to_string(),
        n_others => format!("; {n_others} other sections have it, too"),
    };
    let place = place.place().unwrap_or_default();
    Some(warning(format!("{place}: {}{others}", first.text)))
}

fn warning(text: String) -> Message {
    Message { level: Level::Warn, text }
}

fn unknown_section<'d>(document: &Document, section: &'d str) -> Unknown<'d> {
    // `[program:x]` is like `[programs:x]` up to the colon.
    let (head, name) = match section.split_once(':') {
        Some((head, name)) => (format!("{head}:"), name),
        None => (section.to_string(), ""),
    };
    let similar = most_similar(&head, KINDS.iter().map(|kind| kind.prefix));
    let suggestion = similar.map(|prefix| format!("[{prefix}{name}]"));
    let text = format!("unknown section, ignored{}", did_you_mean(suggestion));
    Unknown { section, key: None, place: document.header(section), text, kind: section }
}

fn keys<'d>(
    document: &'d Document,
    section: &'d str,
    kind: &'static Kind,
) -> impl Iterator<Item = Unknown<'d>> {
    let unknown = document
        .own_keys(section)
        .filter(|(key, _)| !kind.open && !kind.all_keys().any(|known| known.is(key)))
        .filter(|(key, _)| !is_alias(section, key));
    unknown.map(move |(key, place)| {
        let text = key_text(section, key, kind);
        Unknown { section, key: Some(key), place: Some(place), text, kind: kind.prefix }
    })
}

fn key_text(section: &str, key: &str, kind: &Kind) -> String {
    if let Some(header) = key.strip_prefix('[') {
        return format!(
            "unclosed section header: [{header}... has no ']', so what follows belongs to [{section}]"
        );
    }
    if let Some(advice) = advice(kind.prefix, key) {
        return format!("a key of other supervisors, ignored: {advice}");
    }
    let aliases =
        schema::ALIASES.iter().filter(|alias| is_alias(section, alias.name)).map(|alias| alias.name);
    let similar = most_similar(key, kind.all_keys().map(|key| key.name).chain(aliases));
    let elsewhere = KINDS.iter().find(|kind| kind.keys().any(|known| known.is(key)));
    let suggestion = match (similar, elsewhere) {
        (None, Some(kind)) => {
            let name = if kind.prefix.ends_with(':') { "x" } else { "" };
            format!(" (it belongs in [{}{name}])", kind.prefix)
        }
        (similar, _) => did_you_mean(similar.map(str::to_string)),
    };
    format!("unknown key, ignored{suggestion}")
}

/// What to say of a key of another supervisor's in a section of this kind.
fn advice(kind: &str, key: &str) -> Option<&'static str> {
    let section = match kind {
        "eventlistener:" | "fcgi-program:" | "group:" | "program-defaults" | "program-defaults:" => {
            "program:"
        }
        kind => kind,
    };
    let is_meant = |known: &&Foreign| known.section == section && known.key == key;
    FOREIGN.iter().find(is_meant).map(|known| known.advice)
}

/// Keys of `[DEFAULT]` that no section knows.
fn defaults(document: &Document) -> impl Iterator<Item = Unknown<'_>> {
    let all = || KINDS.iter().flat_map(Kind::keys);
    let unknown = document
        .default_keys()
        .filter(move |(key, _)| !all().any(|known| known.is(key)) && !is_alias(Document::DEFAULT, key));
    unknown.map(move |(key, place)| {
        let text = match advice("program:", key) {
            Some(advice) => format!("a key of other supervisors, ignored: {advice}"),
            None => {
                let similar = most_similar(key, all().map(|key| key.name)).map(str::to_string);
                format!("unknown key, ignored{}", did_you_mean(similar))
            }
        };
        Unknown { section: "DEFAULT", key: Some(key), place: Some(place), text, kind: "DEFAULT" }
    })
}

fn did_you_mean(suggestion: Option<String>) -> String {
    suggestion.map(|meant| format!(" (did you mean '{meant}'?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn lines(text: &str) -> Vec<String> {
        let document = Document::parse(Path::new("x.conf"), text).expect("of the dialect");
        messages(&document).into_iter().map(|message| message.text).collect()
    }

    #[test]
    fn every_name_is_told_once_at_its_first_place() {
        let told = lines(
            "[supervisord]\nlogfileMaxbytes=1\ndaemon=true\n[program:a]\ncommand=cat\nxyz=1\nKillWaitSecs=1\n\
             [program:b]\ncommand=cat\nxyz=1\nxyz=2\nliveness_check_success_action=1\n[program:c]\nxyz=1\n\
             [eventlistener:l]\nxyz=1\ncron=1\n[program-default]\ncrn=1\ncron=1\n[programs:d]\ncommand=cat\n[DEFAULT]\nfoo=1\n",
        );
        assert_eq!(
            told,
            [
                "x.conf:2: [supervisord] logfilemaxbytes: unknown key, ignored (did you mean 'logfile_maxbytes'?)",
                "x.conf:3: [supervisord] daemon: a key of other supervisors, ignored: write nodaemon, which means the \
                 opposite, or start with -d",
                "x.conf:6: [program:a] xyz: unknown key, ignored; 2 other sections have it, too",
                "x.conf:7: [program:a] killwaitsecs: a key of other supervisors, ignored: SIGKILL follows the last signal \
                 after stopwaitsecs",
                "x.conf:12: [program:b] liveness_check_success_action: a key of other supervisors, ignored: one success \
                 is enough, and nothing follows it; an event listener can wait for PROCESS_HEALTHY",
                "x.conf:16: [eventlistener:l] xyz: unknown key, ignored",
                "x.conf:17: [eventlistener:l] cron: a key of other supervisors, ignored: nothing starts it; let a crontab \
                 call 'supervisord ctl start NAME'",
                "x.conf:19: [program-default] crn: unknown key, ignored",
                "x.conf:20: [program-default] cron: a key of other supervisors, ignored: nothing starts it; let a crontab \
                 call 'supervisord ctl start NAME'",
                "x.conf:21: [programs:d]: unknown section, ignored (did you mean '[program:d]'?)",
                "x.conf:24: [DEFAULT] foo: unknown key, ignored",
            ]
        );
    }

    #[test]
    fn names_of_relatives_are_known() {
        let told = lines(
            "[program:a]\ncommand=cat\nrestartPause=1\nliveness_check_periods=1\n[supervisord]\nrestartpause=1\n\
             [DEFAULT]\nliveness_check_timeout=1\n",
        );
        assert_eq!(
            told,
            [
                "x.conf:4: [program:a] liveness_check_periods: unknown key, ignored (did you mean \
                 'liveness_check_period'?)",
                "x.conf:6: [supervisord] restartpause: unknown key, ignored",
            ]
        );
    }

    #[test]
    fn nobody_is_drowned_in_lines() {
        let keys: String = (0..250).map(|n| format!("zzz{n}=1\n")).collect();
        let told = lines(&format!("[supervisord]\n{keys}"));
        assert_eq!(told.len(), MAX_LINES + 1);
        assert!(told.last().is_some_and(|line| line.starts_with("150 more keys and sections")), "{told:?}");
    }

    #[test]
    fn no_foreign_key_is_one_of_ours() {
        for known in &FOREIGN {
            let section = if known.section == "program:" { "program:x" } else { known.section };
            assert!(
                !schema::knows(section, known.key) && !is_alias(section, known.key),
                "{section} {}",
                known.key
            );
        }
    }
}
