//! Settings that have no effect, or another one than they seem to have. The daemon starts nevertheless; it warns once,
//! and so does `check`. Keys and sections that nobody reads are in `unknown`.

use crate::config::document::{Document, Place};
use crate::config::section::Note;
use crate::model::config::{Level, Message};

/// Every such thing.
pub(super) fn notes(document: &Document) -> Vec<Note> {
    let cut = document.cut();
    cut.filter_map(|(section, key, place)| cut_in_quotes(document, section, key, place)).collect()
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
