//! Settings that have no effect, or another one than they seem to have. The daemon starts nevertheless; it warns once,
//! and so does `check`.

use crate::config::document::{Document, Place};
use crate::config::schema;
use crate::config::section::Note;
use crate::model::config::{Level, Message};
use std::collections::BTreeMap;

/// Keys that other supervisors read from the same sections and that mean something: what they were to do is not done.
const OF_RELATIVES: [&str; 9] = [
    "cron",
    "depends_on",
    "envfiles",
    "restart_cmd_when_binary_changed",
    "restart_cmd_when_file_changed",
    "restart_directory_monitor",
    "restart_file_pattern",
    "restart_when_binary_changed",
    "restartpause",
];

/// Every such thing.
pub(super) fn notes(document: &Document) -> Vec<Note> {
    let mut notes = of_relatives(document);
    notes.extend(
        document.cut().filter_map(|(section, key, place)| cut_in_quotes(document, section, key, place)),
    );
    notes
}

/// Whether such a key is told by its own words.
pub(crate) fn is_of_relatives(key: &str) -> bool {
    OF_RELATIVES.contains(&key)
}

/// One line for each key, at the first place that has it.
fn of_relatives(document: &Document) -> Vec<Note> {
    let mut found: BTreeMap<&str, Vec<(&str, Place)>> = BTreeMap::new();
    for section in document.sections() {
        for (key, place) in document.own_keys(section) {
            if is_of_relatives(key) && schema::kind(section).is_some() && !schema::knows(section, key) {
                found.entry(key).or_default().push((section, place));
            }
        }
    }
    let lines = found.into_iter().filter_map(|(key, places)| {
        let (section, place) = *places.first()?;
        let others = match places.len() - 1 {
            0 => String::new(),
            n_others => format!(" and {n_others} more"),
        };
        let at = format!("{}:{}", document.file(place).name.display(), place.line);
        let text = format!(
            "{key} in [{section}]{others} ({at}) is a key of other supervisors: it is ignored, and what it asks for is \
             not done"
        );
        Some(note(document, section, key, place, text))
    });
    lines.collect()
}

/// A command that lost its end to a comment, between quotation marks that should have protected it.
fn cut_in_quotes(document: &Document, section: &str, key: &str, place: Place) -> Option<Note> {
    let value = document.get(section, key)?;
    let open = |mark: char| value.text.matches(mark).count() % 2 == 1;
    if key != "command" || value.place != place || !(open('"') || open('\'')) {
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
