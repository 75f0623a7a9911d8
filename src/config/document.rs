//! The contents of the files before they are interpreted: sections, keys and raw values, each with the place where it
//! was written.

use crate::config::aliases;
use crate::config::defaults;
use crate::config::error::ConfigError;
use crate::config::ini;
use configparser::ini::Ini;
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A configuration file and its includes, merged: a section may be continued anywhere, the last value of a
/// key counts.
#[derive(Clone, Debug)]
pub struct Document {
    /// Section → key → value. Section names keep their case, keys are lower-case.
    values: Ini,
    /// The same keys with their places, and where each section was first opened.
    places: IndexMap<String, SectionPlaces, FxBuildHasher>,
    files: Vec<SourceFile>,
    /// Sections, keys and places of values that a comment ended.
    cut: Vec<(String, String, Place)>,
    /// The same of values whose lines were joined.
    joined: Vec<(String, String, Place)>,
    /// Keys that were written more than once in one section of one file: the earlier place and the key.
    repeated: Vec<(Place, String, String)>,
    /// The names by which keys were written that relatives of Supervisor call otherwise, by section and key.
    by_alias: HashMap<(String, String), String>,
    /// Sections, names, places and errors of such keys whose values mean nothing here.
    untranslatable: Vec<(String, String, Place, String)>,
    /// By program section: the sections whose keys stand in for those missing there, the nearest first, without
    /// `[DEFAULT]`.
    levels: HashMap<String, Vec<Arc<str>>>,
    /// What is wrong with how sections refer to each other.
    errors: Vec<ConfigError>,
    /// By file: the one that includes it.
    parents: HashMap<u32, u32>,
    /// Whether files were left out that belong to it.
    lacks_files: bool,
    /// Whether there is a `[DEFAULT]`.
    has_defaults: bool,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// As it was named: by `-c`, or by an include.
    pub name: PathBuf,
    /// The absolute directory it lies in: what `%(here)s` means in it.
    pub here: String,
}

impl SourceFile {
    /// Where it lies, whatever the current directory is.
    pub fn path(&self) -> PathBuf {
        let name = self.name.file_name().unwrap_or_default();
        Path::new(&self.here).join(name)
    }
}

/// A line of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Index into the document's files.
    file: u32,
    /// Counted from 1.
    pub line: u32,
}

/// Keys with their places. Nobody else writes these names, so a quick hash is good enough.
pub(super) type Places = IndexMap<String, Place, FxBuildHasher>;

#[derive(Clone, Debug, Default)]
struct SectionPlaces {
    header: Option<Place>,
    keys: Places,
}

/// A raw value and where it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'d> {
    /// As written: blanks around it, comments and line ends of the dialect taken off, nothing expanded.
    pub text: &'d str,
    /// The line of its key.
    pub place: Place,
}

impl Default for Document {
    fn default() -> Document {
        Document {
            // Case-sensitive: section names are. The keys are lower-cased by our reader.
            values: Ini::new_cs(),
            places: IndexMap::default(),
            files: Vec::new(),
            cut: Vec::new(),
            joined: Vec::new(),
            repeated: Vec::new(),
            by_alias: HashMap::new(),
            untranslatable: Vec::new(),
            levels: HashMap::new(),
            errors: Vec::new(),
            parents: HashMap::new(),
            lacks_files: false,
            has_defaults: false,
        }
    }
}

impl Document {
    /// The section whose keys stand in for those missing in any other.
    pub(super) const DEFAULT: &str = "DEFAULT";

    /// Reads one file's text. Relative to it nothing is looked for; `%(here)s` means the directory of `name`.
    ///
    /// # Errors
    /// The text is not of the dialect.
    pub fn parse(name: &Path, text: &str) -> Result<Document, ConfigError> {
        let mut document = Document::default();
        let here = name.parent().unwrap_or(Path::new("")).to_string_lossy().into_owned();
        ini::read(text, name, here, &mut document)?;
        aliases::resolve(&mut document);
        Ok(document)
    }

    /// Says that what follows was read from this file.
    pub(super) fn begin_file(&mut self, name: &Path, here: String) {
        self.files.push(SourceFile { name: name.to_path_buf(), here });
    }

    /// The place of a line in the file that was begun last.
    pub(super) fn place(&self, line: u32) -> Place {
        // At least one file was begun before its lines are read, and there are fewer than 2^32 of them.
        Place { file: self.files.len().saturating_sub(1) as u32, line }
    }

    /// The number of the file that was begun last.
    pub(super) fn last_file(&self) -> u32 {
        self.place(0).file
    }

    /// The number of the file a place is in; 0 is the main file.
    pub(super) fn number(&self, place: Place) -> u32 {
        place.file
    }

    /// Says which file includes another one.
    pub(super) fn set_parent(&mut self, file: u32, parent: u32) {
        self.parents.insert(file, parent);
    }

    /// Gives a number to a file that was left out, for those that it includes.
    pub(super) fn stand_in_for(&mut self, name: &Path, here: String, parent: u32) -> u32 {
        self.begin_file(name, here);
        let number = self.last_file();
        self.set_parent(number, parent);
        number
    }

    /// Says that files were left out.
    pub(super) fn lack_files(&mut self) {
        self.lacks_files = true;
    }

    /// Whether what is named may stand in a file that was left out.
    pub(super) fn lacks_files(&self) -> bool {
        self.lacks_files
    }

    /// The included files on which these sections depend, with those that include them, each once.
    pub(super) fn included_files(&self, sections: &[&str]) -> Vec<PathBuf> {
        let levels = sections.iter().flat_map(|section| self.levels(section)).map(|level| &**level);
        let mut found: BTreeSet<u32> = BTreeSet::new();
        for section in sections.iter().copied().chain(levels) {
            let Some(places) = self.places.get(section) else { continue };
            for place in places.header.iter().chain(places.keys.values()) {
                let mut number = place.file;
                while number != 0 && found.insert(number) {
                    number = self.parents.get(&number).copied().unwrap_or(0);
                }
            }
        }
        found.into_iter().map(|number| self.files[number as usize].path()).collect()
    }

    /// Opens a section, which may exist already.
    pub(super) fn open(&mut self, section: &str, place: Place) {
        if section == Self::DEFAULT {
            self.has_defaults = true;
        } else {
            self.values.get_mut_map().entry(section.to_string()).or_default();
        }
        let places = self.places.entry(section.to_string()).or_default();
        places.header.get_or_insert(place);
    }

    /// Sets a key of an open section.
    pub(super) fn set(&mut self, section: &str, key: &str, value: String, place: Place) {
        self.values
            .get_mut_map()
            .entry(section.to_string())
            .or_default()
            .insert(key.to_string(), Some(value));
        let places = self.places.entry(section.to_string()).or_default();
        if let Some(earlier) = places.keys.insert(key.to_string(), place)
            && earlier.file == place.file
        {
            self.repeated.push((earlier, section.to_string(), key.to_string()));
        }
    }

    /// The names of all sections but `[DEFAULT]`, in the order in which they first appear.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str).filter(|section| *section != Self::DEFAULT)
    }

    /// Whether there is such a section.
    pub fn has_section(&self, section: &str) -> bool {
        section != Self::DEFAULT && self.places.contains_key(section)
    }

    /// The document's own copy of a section's name, if there is such a section.
    pub fn section_name(&self, section: &str) -> Option<&str> {
        let (name, _) = self.places.get_key_value(section)?;
        (name != Self::DEFAULT).then_some(name)
    }

    /// The value of a key: the section's own, that of the nearest section that stands in for it, or that of `[DEFAULT]`.
    pub fn get(&self, section: &str, key: &str) -> Option<Value<'_>> {
        // Asked for a hundred keys of each section, of which most are missing.
        if let Some(value) = self.own(section, key) {
            return Some(value);
        }
        if self.levels.is_empty() {
            return if self.has_defaults { self.own(Self::DEFAULT, key) } else { None };
        }
        self.all_values(section, key).next().map(|(_, value)| value)
    }

    /// The keys written in a section itself, for somebody who asks for many.
    pub(super) fn places_of(&self, section: &str) -> Option<&Places> {
        self.places.get(section).map(|places| &places.keys)
    }

    /// Whether no other section stands in for one that lacks a key.
    pub(super) fn has_no_stand_ins(&self) -> bool {
        self.levels.is_empty() && !self.has_defaults
    }

    /// Says which sections stand in for keys that a program section lacks, the nearest first.
    pub(super) fn set_levels(&mut self, section: &str, levels: Vec<Arc<str>>) {
        self.levels.insert(section.to_string(), levels);
    }

    /// The sections that stand in for keys that a section lacks, the nearest first, without `[DEFAULT]`.
    pub(super) fn levels(&self, section: &str) -> &[Arc<str>] {
        if self.levels.is_empty() { &[] } else { self.levels.get(section).map_or(&[], Vec::as_slice) }
    }

    /// Every value that a key has for a section, the nearest first, each with the section that it stands in.
    pub(super) fn all_values<'d, 's>(
        &'d self,
        section: &'s str,
        key: &'s str,
    ) -> impl Iterator<Item = (&'d str, Value<'d>)>
    where
        'd: 's,
    {
        let levels = self.levels(section).iter().map(|level| (&**level, true));
        let holders = std::iter::once((section, false)).chain(levels).chain([(Self::DEFAULT, false)]);
        holders.filter_map(move |(holder, is_level)| {
            let value = self.own(holder, key)?;
            let (name, _) = self.places.get_key_value(holder)?;
            (!is_level || defaults::stands_in(section, holder, key)).then_some((name.as_str(), value))
        })
    }

    /// The section in which the value of a key stands that counts for a section.
    pub(super) fn holder(&self, section: &str, key: &str) -> Option<&str> {
        self.all_values(section, key).next().map(|(holder, _)| holder)
    }

    /// The names of all keys that hold for a section, wherever they stand.
    pub(super) fn keys_for(&self, section: &str) -> BTreeSet<&str> {
        let own = self.own_keys(section).chain(self.default_keys()).map(|(key, _)| key);
        let levels = self.levels(section).iter().flat_map(move |level| {
            let keys = self.own_keys(level).map(|(key, _)| key);
            keys.filter(move |key| defaults::stands_in(section, level, key))
        });
        own.chain(levels).collect()
    }

    /// The names of all sections, `[DEFAULT]` among them.
    pub(super) fn all_sections(&self) -> Vec<String> {
        self.places.keys().cloned().collect()
    }

    /// Whether a key was written in a section itself, by whatever name.
    pub(super) fn has_own(&self, section: &str, key: &str) -> bool {
        self.own(section, key).is_some()
    }

    /// Sets a key that was written by another name.
    pub(super) fn set_by_alias(
        &mut self,
        section: &str,
        key: &str,
        alias: &str,
        value: String,
        place: Place,
    ) {
        self.set(section, key, value, place);
        self.by_alias.insert((section.to_string(), key.to_string()), alias.to_string());
    }

    /// The name by which the key that counts in a section was written.
    pub fn written_name<'n>(&'n self, section: &str, key: &'n str) -> &'n str {
        if self.by_alias.is_empty() {
            return key;
        }
        let holder = self.holder(section, key).unwrap_or(Self::DEFAULT);
        self.by_alias.get(&(holder.to_string(), key.to_string())).map_or(key, String::as_str)
    }

    /// Says that the value of an alias means nothing here, and why.
    pub(super) fn note_untranslatable(&mut self, section: &str, name: &str, place: Place, text: String) {
        self.untranslatable.push((section.to_string(), name.to_string(), place, text));
    }

    /// Notes what is wrong with how sections refer to each other.
    pub(super) fn note_errors(&mut self, errors: Vec<ConfigError>) {
        self.errors.extend(errors);
    }

    /// What is wrong with how sections refer to each other.
    pub(super) fn errors(&self) -> &[ConfigError] {
        &self.errors
    }

    /// Aliases whose values mean nothing here.
    pub(super) fn untranslatable(&self) -> impl Iterator<Item = ConfigError> {
        self.untranslatable.iter().map(|(section, name, place, text)| ConfigError {
            text: text.clone(),
            file: Some(self.file(*place).name.clone()),
            line: Some(place.line),
            section: Some(section.clone()),
            key: Some(name.clone()),
        })
    }

    /// The value of a key that was written in a section itself, or in `[DEFAULT]` if that is the section.
    pub(super) fn own(&self, section: &str, key: &str) -> Option<Value<'_>> {
        let place = *self.places.get(section)?.keys.get(key)?;
        let text = self.values.get_map_ref().get(section)?.get(key)?.as_deref()?;
        Some(Value { text, place })
    }

    /// The keys written in a section itself, in order, without those of `[DEFAULT]`.
    pub fn own_keys(&self, section: &str) -> impl Iterator<Item = (&str, Place)> {
        let keys = self.places.get(section).into_iter().flat_map(|places| &places.keys);
        keys.map(|(key, place)| (key.as_str(), *place))
    }

    /// The keys of `[DEFAULT]`, in order.
    pub fn default_keys(&self) -> impl Iterator<Item = (&str, Place)> {
        self.own_keys(Self::DEFAULT)
    }

    /// Where a section was first opened.
    pub fn header(&self, section: &str) -> Option<Place> {
        self.places.get(section)?.header
    }

    /// The file a place is in.
    pub fn file(&self, place: Place) -> &SourceFile {
        // Places are only made by `place`, for files that were begun.
        &self.files[place.file as usize]
    }

    /// Says that a comment ended the value of a key.
    pub(super) fn note_cut(&mut self, section: &str, key: &str, place: Place) {
        self.cut.push((section.to_string(), key.to_string(), place));
    }

    /// Sections, keys and places of values that a comment ended.
    pub fn cut(&self) -> impl Iterator<Item = (&str, &str, Place)> {
        self.cut.iter().map(|(section, key, place)| (section.as_str(), key.as_str(), *place))
    }

    /// Says that the lines of a value were joined.
    pub(super) fn note_joined(&mut self, section: &str, key: &str, place: Place) {
        self.joined.push((section.to_string(), key.to_string(), place));
    }

    /// Sections, keys and places of values that only relatives of Supervisor can write over several lines.
    pub fn joined(&self) -> impl Iterator<Item = (&str, &str, Place)> {
        self.joined.iter().map(|(section, key, place)| (section.as_str(), key.as_str(), *place))
    }

    /// Every file that was read, the main file first.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// Keys written more than once in one section of one file: the earlier place, section and key.
    pub fn repeated(&self) -> &[(Place, String, String)] {
        &self.repeated
    }
}

/// A document as a text: what its values are and where they stand, without what is only told when it is read from files.
#[derive(Serialize, Deserialize)]
struct Kept<'d> {
    files: Cow<'d, [SourceFile]>,
    #[serde(borrow)]
    sections: Vec<KeptSection<'d>>,
    /// Section, key, and the name by which it was written.
    #[serde(borrow)]
    by_alias: Vec<(Cow<'d, str>, Cow<'d, str>, Cow<'d, str>)>,
    /// Files, and those that include them.
    parents: Vec<(u32, u32)>,
    lacks_files: bool,
}

#[derive(Serialize, Deserialize)]
struct KeptSection<'d> {
    #[serde(borrow)]
    name: Cow<'d, str>,
    /// The numbers of a file and a line.
    header: Option<(u32, u32)>,
    /// Key, value, file and line.
    #[serde(borrow)]
    keys: Vec<(Cow<'d, str>, Cow<'d, str>, u32, u32)>,
}

impl Document {
    /// The document as a text from which [`Document::restore`] makes it again.
    pub(super) fn keep(&self) -> String {
        let value =
            |section: &str, key: &str| self.own(section, key).map_or("", |value| value.text).to_string();
        let section = |(name, places): (&'_ String, &'_ SectionPlaces)| KeptSection {
            name: Cow::Owned(name.clone()),
            header: places.header.map(|place| (place.file, place.line)),
            keys: places
                .keys
                .iter()
                .map(|(key, place)| (key.clone().into(), value(name, key).into(), place.file, place.line))
                .collect(),
        };
        let kept = Kept {
            files: Cow::Borrowed(&self.files),
            sections: self.places.iter().map(section).collect(),
            by_alias: self
                .by_alias
                .iter()
                .map(|((section, key), name)| (section.into(), key.into(), name.into()))
                .collect(),
            parents: self.parents.iter().map(|(file, parent)| (*file, *parent)).collect(),
            lacks_files: self.lacks_files,
        };
        // Texts and numbers always have a JSON form.
        serde_json::to_string(&kept).unwrap_or_default()
    }

    /// The document that was [kept](Document::keep). `None` if the text is none.
    pub(super) fn restore(text: &str) -> Option<Document> {
        let kept: Kept<'_> = serde_json::from_str(text).ok()?;
        let n_files = u32::try_from(kept.files.len()).ok()?;
        let mut document = Document {
            files: kept.files.into_owned(),
            parents: kept.parents.into_iter().collect(),
            lacks_files: kept.lacks_files,
            ..Document::default()
        };
        for section in kept.sections {
            let places = section.header.into_iter().chain(section.keys.iter().map(|key| (key.2, key.3)));
            if places.into_iter().any(|(file, _)| file >= n_files) {
                return None;
            }
            if let Some((file, line)) = section.header {
                document.open(&section.name, Place { file, line });
            }
            for (key, value, file, line) in section.keys {
                let place = Place { file, line };
                document.set(&section.name, &key, value.into_owned(), place);
            }
        }
        for (section, key, name) in kept.by_alias {
            document.by_alias.insert((section.into_owned(), key.into_owned()), name.into_owned());
        }
        Some(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_comes_back_from_its_text() {
        let text = "[DEFAULT]\nuser=x\n[supervisord]\n[program:a b]\ncommand=/bin/a \"%(here)s\" ; c\nenvfiles=/x\n\
                    environment=A=\"1\",\n B=2\n[program:empty]\n[program:a b]\ncommand=/bin/b\n";
        let document = Document::parse(Path::new("/etc/x.conf"), text).unwrap();
        let again = Document::restore(&document.keep()).unwrap();
        assert_eq!(again.keep(), document.keep());
        assert!(again.sections().eq(document.sections()));
        assert_eq!(again.files(), document.files());
        for section in document.all_sections() {
            assert_eq!(again.header(&section), document.header(&section));
            assert!(again.own_keys(&section).eq(document.own_keys(&section)));
            for (key, _) in document.own_keys(&section) {
                assert_eq!(again.get(&section, key), document.get(&section, key));
                assert_eq!(again.written_name(&section, key), document.written_name(&section, key));
            }
        }
        assert_eq!(again.get("program:a b", "command").unwrap().text, "/bin/b");
        assert!(Document::restore("").is_none() && Document::restore("{}").is_none());
    }
}
