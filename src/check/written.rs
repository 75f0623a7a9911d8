//! Problems of the text: unknown names, keys that are set twice, secrets in files that everybody can read.

use crate::check::problem::{Problem, Severity};
use crate::check::similar::most_similar;
use crate::config::args::DaemonArgs;
use crate::config::hints;
use crate::config::load::refusal;
use crate::config::schema::{self, KINDS, Kind};
use crate::config::trust::{self, Doubt};
use crate::config::{Document, Place, Surroundings, repr};
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Every such problem, section by section.
pub fn problems(document: &Document, args: &DaemonArgs, surroundings: &Surroundings) -> Vec<Problem> {
    let mut found = Vec::new();
    for section in document.sections() {
        match schema::kind(section) {
            Some(kind) => found.extend(unknown_keys(document, section, kind)),
            None => found.extend(unknown_section(document, section)),
        }
    }
    found.extend(unknown_defaults(document));
    found.extend(repeated_keys(document));
    found.extend(nested_includes(document));
    found.extend(files_read_twice(document));
    found.extend(writable_files(document, args, surroundings));
    found.extend(readable_secrets(document));
    found
}

/// Files that others may write to. Whoever can change what a daemon runs is as good as its user.
fn writable_files(document: &Document, args: &DaemonArgs, surroundings: &Surroundings) -> Vec<Problem> {
    let problem = |doubt: Doubt| match refusal(&doubt, args, surroundings) {
        Some(error) => {
            // Before the text stands the name already.
            let text = error.text.replacen(&format!("{}: ", doubt.file.display()), "", 1);
            Problem { text, ..Problem::from(error) }
        }
        None => Problem {
            severity: Severity::Warning,
            text: doubt.to_string(),
            file: Some(doubt.file),
            line: None,
            section: None,
            key: None,
        },
    };
    trust::doubts(document).into_iter().map(problem).collect()
}

fn warning(
    document: &Document,
    place: Option<Place>,
    section: &str,
    key: Option<&str>,
    text: String,
) -> Problem {
    Problem {
        severity: Severity::Warning,
        text,
        file: place.map(|place| document.file(place).name.clone()),
        line: place.map(|place| place.line),
        section: Some(section.to_string()),
        key: key.map(str::to_string),
    }
}

fn did_you_mean(suggestion: Option<String>) -> String {
    suggestion.map(|meant| format!(" (did you mean '{meant}'?)")).unwrap_or_default()
}

fn unknown_section(document: &Document, section: &str) -> Option<Problem> {
    // `[program:x]` is like `[programs:x]` up to the colon.
    let (head, name) = match section.split_once(':') {
        Some((head, name)) => (format!("{head}:"), name),
        None => (section.to_string(), ""),
    };
    let similar = most_similar(&head, KINDS.iter().map(|kind| kind.prefix));
    let suggestion = similar.map(|prefix| format!("[{prefix}{name}]"));
    let text = format!("unknown section, ignored{}", did_you_mean(suggestion));
    Some(warning(document, document.header(section), section, None, text))
}

fn unknown_keys<'d>(
    document: &'d Document,
    section: &'d str,
    kind: &'static Kind,
) -> impl Iterator<Item = Problem> + 'd {
    let is_unknown = move |key: &str| !schema::knows(section, key) && !hints::is_of_relatives(key);
    let unknown = document.own_keys(section).filter(move |(key, _)| is_unknown(key));
    unknown.map(move |(key, place)| {
        if let Some(header) = key.strip_prefix('[') {
            let text = format!(
                "unclosed section header: [{header}... has no ']', so what follows belongs to [{section}]"
            );
            return warning(document, Some(place), section, Some(key), text);
        }
        let similar = most_similar(key, kind.keys().map(|key| key.name));
        let elsewhere = KINDS.iter().find(|kind| kind.keys().any(|known| known.name == key));
        let suggestion = match (similar, elsewhere) {
            (None, Some(kind)) => format!(
                " (it belongs into [{}{}])",
                kind.prefix,
                if kind.prefix.ends_with(':') { "x" } else { "" }
            ),
            (similar, _) => did_you_mean(similar.map(str::to_string)),
        };
        warning(document, Some(place), section, Some(key), format!("unknown key, ignored{suggestion}"))
    })
}

/// Keys of `[DEFAULT]` that no section knows.
fn unknown_defaults(document: &Document) -> impl Iterator<Item = Problem> {
    let all = || KINDS.iter().flat_map(Kind::keys).map(|key| key.name);
    let unknown = document.default_keys().filter(move |(key, _)| !all().any(|known| known == *key));
    unknown.map(move |(key, place)| {
        let text =
            format!("unknown key, ignored{}", did_you_mean(most_similar(key, all()).map(str::to_string)));
        warning(document, Some(place), "DEFAULT", Some(key), text)
    })
}

fn repeated_keys(document: &Document) -> impl Iterator<Item = Problem> {
    document.repeated().iter().map(|(earlier, section, key)| {
        let later = document.get(section, key).map_or(0, |value| value.place.line);
        let text = format!("set again in line {later}; the last value counts");
        warning(document, Some(*earlier), section, Some(key), text)
    })
}

/// `[include]` anywhere but in the main file.
fn nested_includes(document: &Document) -> Option<Problem> {
    let (_, place) = document.own_keys("include").find(|(key, _)| *key == "files")?;
    let main = document.files().first()?;
    let text = "an [include] in an included file is not followed".to_string();
    (document.file(place) != main).then(|| warning(document, Some(place), "include", Some("files"), text))
}

/// A file that two patterns match, or that includes itself.
fn files_read_twice(document: &Document) -> Vec<Problem> {
    let mut seen: HashMap<PathBuf, usize> = HashMap::new();
    let mut found = Vec::new();
    for (index, file) in document.files().iter().enumerate() {
        let real = file.path().canonicalize().unwrap_or_else(|_| file.path());
        let text = match seen.insert(real, index) {
            None => continue,
            Some(0) => "the main file includes itself: a cycle, which ends after one round",
            Some(_) => "included more than once",
        };
        found.push(Problem {
            severity: Severity::Warning,
            text: text.to_string(),
            file: Some(file.name.clone()),
            line: None,
            section: None,
            key: None,
        });
    }
    found
}

/// Passwords in files that every user of the machine can read; one finding a file.
fn readable_secrets(document: &Document) -> Vec<Problem> {
    let mut told: Vec<PathBuf> = Vec::new();
    let mut found = Vec::new();
    for section in document.sections() {
        for (key, place) in document.own_keys(section) {
            let file = document.file(place);
            let value = document.get(section, key).map(|value| value.text).unwrap_or_default();
            if !schema::knows(section, key) || !schema::is_secret(key, value) || told.contains(&file.name) {
                continue;
            }
            if let Some(mode) =
                file.path().metadata().ok().map(|metadata| metadata.permissions().mode() & 0o777)
                && mode & 0o004 != 0
            {
                told.push(file.name.clone());
                let name = repr(&file.name.to_string_lossy());
                let text = format!(
                    "a secret in a file that everybody can read (mode {mode:04o}); try chmod o-r {name}"
                );
                found.push(warning(document, Some(place), section, Some(key), text));
            }
        }
    }
    found
}
