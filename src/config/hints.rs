//! Settings that have no effect, or another one than they seem to have. The daemon starts nevertheless; it warns once,
//! and so does `check`. Keys and sections that nobody reads are in `unknown`.

use crate::config::defaults;
use crate::config::document::{Document, Place};
use crate::config::schema;
use crate::config::section::Note;
use crate::model::config::{Level, Message};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// Every such thing.
pub(super) fn notes(document: &Document) -> Vec<Note> {
    let mut notes = joined_lines(document);
    notes.extend(unjoined_lines(document));
    notes.extend(
        document.cut().filter_map(|(section, key, place)| cut_in_quotes(document, section, key, place)),
    );
    notes.extend(defaults_by_two_names(document));
    notes.extend(unused_defaults(document));
    notes
}

/// `[program-defaults]` by the name of relatives as well.
fn defaults_by_two_names(document: &Document) -> Option<Note> {
    let both = document.has_section(defaults::FOR_ALL) && document.has_section(schema::DEFAULTS_OF_RELATIVES);
    let text = format!("means the same as [{}], whose keys count: leave one of them out", defaults::FOR_ALL);
    both.then(|| about_section(document, schema::DEFAULTS_OF_RELATIVES, Level::Error, text))
}

/// Every `[program-defaults:NAME]` that nothing inherits.
fn unused_defaults(document: &Document) -> Vec<Note> {
    let used: HashSet<&str> =
        document.sections().flat_map(|section| document.levels(section)).map(|level| &**level).collect();
    let unused = document.sections().filter(|section| defaults::is_named(section) && !used.contains(section));
    let note = |section: &str| {
        let text = "is not used: no program inherits it".to_string();
        about_section(document, section, Level::Warn, text)
    };
    unused.map(note).collect()
}

fn about_section(document: &Document, section: &str, level: Level, text: String) -> Note {
    let place = document.header(section);
    Note {
        message: Message { level, text },
        needs_place: true,
        file: place.map(|place| document.file(place).name.clone()),
        line: place.map(|place| place.line),
        section: Some(section.to_string()),
        key: None,
    }
}

/// Values of several lines that Supervisor could not read.
fn joined_lines(document: &Document) -> Vec<Note> {
    let text = "the text between \"\"\" and \"\"\", or on the line after a backslash, is part of the value here, but \
                Supervisor refuses the file; both accept indented lines";
    once_per_file(document, document.joined(), text)
}

/// Values that look like such, in files that Supervisor can read and that mean what it reads.
fn unjoined_lines(document: &Document) -> Vec<Note> {
    let is_joined: HashSet<_> = document.joined().collect();
    let sections = document.sections().filter(|section| schema::kind(section).is_some_and(|kind| !kind.open));
    let values = sections.flat_map(|section| {
        let keys = document.own_keys(section);
        keys.map(move |(key, place)| (section, key, place))
    });
    let looks_so = |&(section, key, place): &(&str, &str, Place)| {
        let text = document.get(section, key).map(|value| value.text).unwrap_or_default();
        let n_backslashes = text.len() - text.trim_end_matches('\\').len();
        (text.starts_with("\"\"\"") || n_backslashes % 2 == 1) && !is_joined.contains(&(section, key, place))
    };
    let text = "as in Supervisor, \"\"\" and a backslash at the end of a line are part of the value and do not continue it: \
                indent the lines that continue it";
    once_per_file(document, values.filter(looks_so), text)
}

/// One line for each file, at the first of its places.
fn once_per_file<'d>(
    document: &'d Document,
    values: impl Iterator<Item = (&'d str, &'d str, Place)>,
    text: &str,
) -> Vec<Note> {
    let mut found: BTreeMap<&Path, Vec<(&str, &str, Place)>> = BTreeMap::new();
    for (section, key, place) in values {
        found.entry(&document.file(place).name).or_default().push((section, key, place));
    }
    let notes = found.into_values().filter_map(|values| {
        let (section, key, place) = *values.first()?;
        let others = match values.len() - 1 {
            0 => String::new(),
            n_others => format!(" and {n_others} more"),
        };
        let at = format!("{}:{}", document.file(place).name.display(), place.line);
        Some(note(document, section, key, place, format!("{key} in [{section}]{others} ({at}): {text}")))
    });
    notes.collect()
}

/// A command that lost its end to a comment, between quotation marks that should have protected it.
fn cut_in_quotes(document: &Document, section: &str, key: &str, place: Place) -> Option<Note> {
    let value = document.get(section, key)?;
    let open = |mark: char| value.text.matches(mark).count() % 2 == 1;
    if !schema::keeps_percents(key) || value.place != place || !(open('"') || open('\'')) {
        return None;
    }
    let at = format!("{}:{}", document.file(place).name.display(), place.line);
    let text = format!(
        "{key} in [{section}] ({at}) ends before the first \" ;\" or \" #\", which begins a comment even between quotation \
         marks: write it without the blank before it"
    );
    Some(note(document, section, key, place, text))
}

fn note(document: &Document, section: &str, key: &str, place: Place, text: String) -> Note {
    Note {
        message: Message { level: Level::Warn, text },
        // The texts say it.
        needs_place: false,
        file: Some(document.file(place).name.clone()),
        line: Some(place.line),
        section: Some(section.to_string()),
        key: Some(key.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_written_by_one_name() {
        let told = |text: &str| -> Vec<String> {
            let document = Document::parse(Path::new("x.conf"), text).expect("of the dialect");
            notes(&document).iter().map(|note| note.to_message().text).collect()
        };
        assert_eq!(told("[program-default]\numask=022\n"), [""; 0]);
        assert_eq!(
            told("[program-defaults]\numask=022\n[program-default]\numask=027\n"),
            [
                "x.conf:3: [program-default]: means the same as [program-defaults], whose keys count: leave one of them out"
            ]
        );
    }
}
