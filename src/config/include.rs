//! `[include] files`: more files for the same document.

use crate::config::document::Document;
use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::load::read_text;
use crate::config::reading::{self, Readable};
use crate::config::section::{Context, Extra, Note};
use crate::config::surroundings::Surroundings;
use crate::config::text::is_space;
use crate::model::config::Level;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const SECTION: &str = "include";
/// More files than a directory of snippets ever has.
const MAX_FILES: usize = 100_000;

/// Reads the files that the main file includes. An `[include]` in one of them is not followed.
///
/// # Errors
/// The pattern cannot be expanded, or an included file cannot be parsed.
pub(super) fn read(document: &mut Document, surroundings: &Surroundings) -> Result<Vec<Note>, ConfigErrors> {
    let mut notes = Vec::new();
    if !document.has_section(SECTION) {
        return Ok(notes);
    }
    let patterns = patterns(document, surroundings)?;
    let mut errors = Vec::new();
    for pattern in patterns {
        let files = matches(&pattern);
        if files.is_empty() {
            notes.push(warning(format!("No file matches via include \"{}\"", pattern.display())));
        }
        for file in files {
            let text = format!("Included extra file \"{}\" during parsing", file.display());
            notes.push(Note::plain(Level::Info, text));
            if document.files().len() > MAX_FILES {
                let error = ConfigError::plain(format!("more than {MAX_FILES} files are included"));
                return Err(error.into());
            }
            read_included(&file, surroundings, document, &mut notes, &mut errors);
        }
    }
    ConfigErrors::new(errors).map_or(Ok(notes), Err)
}

/// A file that cannot be read is left out, with a warning; Supervisor leaves it out without a word.
fn read_included(
    file: &Path,
    surroundings: &Surroundings,
    document: &mut Document,
    notes: &mut Vec<Note>,
    errors: &mut Vec<ConfigError>,
) {
    let unreadable = match reading::read(file, Readable::Files) {
        Ok(bytes) => return errors.extend(read_text(file, bytes, surroundings, document).err()),
        Err(error) if error.kind() == ErrorKind::IsADirectory => "it is a directory".to_string(),
        Err(error) => error.to_string(),
    };
    let text = format!("could not read included file \"{}\": {unreadable}", file.display());
    notes.push(warning(text));
}

fn warning(text: String) -> Note {
    Note::plain(Level::Warn, text)
}

/// The patterns, absolute: relative ones start in the main file's directory.
fn patterns(document: &Document, surroundings: &Surroundings) -> Result<Vec<PathBuf>, ConfigErrors> {
    let context = Context::new(document, surroundings);
    let extra = Extra { host_node_name: Some(&surroundings.host_node_name), ..Extra::default() };
    let section = context.section(SECTION).with(extra);
    if section.raw("files").is_none() {
        section.error(None, ".ini file has [include] section, but no files setting".to_string());
    }
    let files = section.text("files");
    // The main file is the first one.
    let here = document.files().first().map(|file| file.here.clone()).unwrap_or_default();
    let patterns = files.iter().flat_map(|files| files.split(is_space)).filter(|pattern| !pattern.is_empty());
    let patterns = patterns.map(|pattern| Path::new(&here).join(pattern)).collect();
    match ConfigErrors::new(context.finish().0) {
        Some(errors) => Err(errors),
        None => Ok(patterns),
    }
}

/// The files a pattern matches, sorted. `*`, `?` and `[…]`; neither `~` nor `**`; a leading dot must be
/// written out.
fn matches(pattern: &Path) -> Vec<PathBuf> {
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let pattern = pattern.to_string_lossy();
    let found = glob::glob_with(&as_python(&pattern), options);
    let mut files: Vec<PathBuf> = found.map(|paths| paths.flatten().collect()).unwrap_or_default();
    files.sort();
    files
}

/// Python reads `**` as `*` here, and a `[` that nothing closes as itself.
fn as_python(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        match c {
            '*' if out.ends_with('*') && !out.ends_with("[*") => {}
            '[' => match class_length(rest) {
                Some(class) => {
                    out.push_str(&rest[..class]);
                    length = class;
                }
                None => out.push_str("[[]"),
            },
            c => out.push(c),
        }
        rest = &rest[length..];
    }
    out
}

/// The length of the `[…]` at the head of a pattern. A `]` directly after the opening belongs to it.
fn class_length(pattern: &str) -> Option<usize> {
    let inner = &pattern[1..];
    let skipped = usize::from(inner.starts_with('!'));
    let skipped = skipped + usize::from(inner[skipped..].starts_with(']'));
    let length = 1 + skipped + inner[skipped..].find(']')? + 1;
    // A class cannot reach over a directory's end.
    (!pattern[..length].contains('/')).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_to_python() {
        for (pattern, expected) in [
            ("/a/*.conf", "/a/*.conf"),
            ("/a/**/b", "/a/*/b"),
            ("/a/b**.conf", "/a/b*.conf"),
            ("/a/[ab].conf", "/a/[ab].conf"),
            ("/a/[!a]*", "/a/[!a]*"),
            ("/a/[]x]", "/a/[]x]"),
            ("/a/[x", "/a/[[]x"),
            ("/a/[x/y]", "/a/[[]x/y]"),
        ] {
            assert_eq!(as_python(pattern), expected);
        }
    }

    #[test]
    fn files_are_found_in_order() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in ["b.conf", "a.conf", ".hidden.conf", "c.ini", "[x.conf"] {
            std::fs::write(directory.path().join(name), "").expect("written");
        }
        let names = |pattern: &str| -> Vec<String> {
            let files = matches(&directory.path().join(pattern));
            files
                .iter()
                .map(|file| file.file_name().expect("a file").to_string_lossy().into_owned())
                .collect()
        };
        assert_eq!(names("*.conf"), ["[x.conf", "a.conf", "b.conf"]);
        assert_eq!(names("[ab].conf"), ["a.conf", "b.conf"]);
        assert_eq!(names("[x.conf"), ["[x.conf"]);
        assert_eq!(names("nope.conf"), [""; 0]);
        assert_eq!(names("c.ini"), ["c.ini"]);
    }
}
