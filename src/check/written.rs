//! Problems of the text: unknown names, keys that are set twice, secrets in files that everybody can read.

use crate::check::problem::{Problem, Severity};
use crate::config::aliases::{self, Twice};
use crate::config::args::DaemonArgs;
use crate::config::load::refusal;
use crate::config::schema;
use crate::config::secrets;
use crate::config::trust::{self, Doubt};
use crate::config::unknown::{self, Unknown};
use crate::config::{Document, Place, Surroundings, repr};
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Every such problem, section by section.
pub(super) fn problems(document: &Document, args: &DaemonArgs, surroundings: &Surroundings) -> Vec<Problem> {
    let mut found = unknown(document);
    found.extend(repeated_keys(document));
    found.extend(keys_by_two_names(document));
    found.extend(files_read_twice(document));
    found.extend(writable_files(document, args, surroundings));
    found.extend(readable_secrets(document));
    found
}

/// Names that nobody reads, at every place.
fn unknown(document: &Document) -> Vec<Problem> {
    let problem =
        |unknown: Unknown<'_>| warning(document, unknown.place, unknown.section, unknown.key, unknown.text);
    unknown::find(document).into_iter().map(problem).collect()
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

fn repeated_keys(document: &Document) -> impl Iterator<Item = Problem> {
    document.repeated().iter().map(|(earlier, section, key)| {
        let later = document.get(section, key).map_or(0, |value| value.place.line);
        let text = format!("set again in line {later}, and the last value counts");
        warning(document, Some(*earlier), section, Some(key), text)
    })
}

/// Keys that were written by both of their names. The daemon starts, with one of them.
fn keys_by_two_names(document: &Document) -> Vec<Problem> {
    let problem = |twice: Twice<'_>| Problem {
        severity: Severity::Error,
        ..warning(document, Some(twice.place), twice.section, Some(twice.alias), twice.text)
    };
    aliases::twice(document).into_iter().map(problem).collect()
}

/// A file that two patterns match, or that includes itself.
fn files_read_twice(document: &Document) -> Vec<Problem> {
    let mut seen: HashMap<PathBuf, usize> = HashMap::new();
    let mut found = Vec::new();
    for (index, file) in document.files().iter().enumerate() {
        let real = file.path().canonicalize().unwrap_or_else(|_| file.path());
        let text = match seen.insert(real, index) {
            None => continue,
            Some(0) => "the main file includes itself; it is read once more and not again",
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
            if !schema::knows(section, key) || !secrets::is_secret(key, value) || told.contains(&file.name) {
                continue;
            }
            if let Some(mode) =
                file.path().metadata().ok().map(|metadata| metadata.permissions().mode() & 0o777)
                && mode & 0o004 != 0
            {
                told.push(file.name.clone());
                let name = repr(&file.name.to_string_lossy());
                let text = format!(
                    "everybody can read this file (mode {mode:04o}), and it holds a secret: chmod o-r {name}"
                );
                found.push(warning(document, Some(place), section, Some(key), text));
            }
        }
    }
    found
}
