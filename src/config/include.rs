//! `[include]`: more files for the same document.
//!
//! A file that includes others is read before them. Each file is opened once, however often the document is made: with
//! `include_errors=skip` it is made again without the files that are wrong.

use crate::config::document::{Document, Place};
use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::ini;
use crate::config::load::{here, read_text, unreadable};
use crate::config::reading::{self, Readable};
use crate::config::schema::DEFAULTS_OF_RELATIVES;
use crate::config::section::{Context, Extra, Note, Section};
use crate::config::surroundings::Surroundings;
use crate::config::text::{is_space, strip};
use crate::config::values::not_one_of;
use crate::model::config::Level;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

const SECTION: &str = "include";
const FILES: &str = "files";
const ERRORS: &str = "include_errors";
/// More files than a directory of snippets ever has.
const MAX_FILES: usize = 100_000;
/// More files than anybody nests in one another.
const MAX_DEPTH: usize = 32;

/// What the names of files in a directory end with that are included by the name of the directory.
const IN_DIRECTORIES: [&str; 2] = ["conf", "ini"];

/// Sections that others depend on: a file that has one cannot be left out. What ends in a colon begins a name.
const FOR_ALL: [&str; 7] = [
    Document::DEFAULT,
    "supervisord",
    "unix_http_server",
    "inet_http_server",
    "rpcinterface:",
    "program-defaults",
    DEFAULTS_OF_RELATIVES,
];

/// Patterns, absolute, each with the place of its key, unless what is wrong there is not to be told.
type Patterns = Vec<(PathBuf, Option<Place>)>;

/// The files of a configuration.
pub(crate) struct Files<'s> {
    main: PathBuf,
    surroundings: &'s Surroundings,
    readable: Readable,
    /// What was read, by name.
    contents: HashMap<PathBuf, Result<Vec<u8>, String>>,
    /// Whether an included file that is wrong is left out.
    skips: bool,
    left_out: BTreeMap<PathBuf, Vec<ConfigError>>,
}

impl<'s> Files<'s> {
    /// Begins with the main file, which is read later.
    pub(crate) fn new(main: &Path, surroundings: &'s Surroundings, readable: Readable) -> Files<'s> {
        Files {
            main: main.to_path_buf(),
            surroundings,
            readable,
            contents: HashMap::new(),
            skips: false,
            left_out: BTreeMap::new(),
        }
    }

    /// The main file alone.
    ///
    /// # Errors
    /// It cannot be read, or is not of the dialect.
    pub(crate) fn main_alone(&mut self) -> Result<Document, ConfigError> {
        let mut document = Document::default();
        let main = self.main.clone();
        if !self.contents.contains_key(&main) {
            let path = self.surroundings.absolute(&main);
            let bytes = reading::read(&path, self.readable).map_err(|error| unreadable(&main, &error))?;
            self.contents.insert(main.clone(), Ok(bytes));
        }
        let bytes = self.contents.get(&main).and_then(|read| read.as_ref().ok()).cloned().unwrap_or_default();
        read_text(&main, bytes, self.surroundings, &mut document)?;
        Ok(document)
    }

    /// The main file with all that it includes, but for what was left out.
    ///
    /// # Errors
    /// What is wrong with the files as texts, and with their patterns.
    pub(crate) fn document(&mut self) -> Result<(Document, Vec<Note>), ConfigErrors> {
        let document = self.main_alone()?;
        if !document.has_section(SECTION) {
            return Ok((document, Vec::new()));
        }
        self.skips = skips(&document, self.surroundings)?;
        let main = real(&self.surroundings.absolute(&self.main));
        let mut walk = Walk {
            files: self,
            document,
            notes: Vec::new(),
            errors: Vec::new(),
            open: vec![main.clone()],
            seen: HashSet::from([main]),
            n_files: 0,
        };
        let patterns = patterns(&walk.document, walk.files.surroundings)?;
        walk.follow(patterns, 0)?;
        let Walk { mut document, notes, errors, .. } = walk;
        if !self.left_out.is_empty() {
            document.lack_files();
        }
        ConfigErrors::new(errors).map_or(Ok((document, notes)), Err)
    }

    /// Leaves out the included files in which these errors are, if that was asked for; whether the document is another one
    /// without them. What holds for all is never left out.
    pub(crate) fn leave_out<'e>(&mut self, errors: impl IntoIterator<Item = &'e ConfigError>) -> bool {
        let mut is_changed = false;
        for error in errors.into_iter().filter(|_| self.skips) {
            let Some(file) = error.file.clone() else { continue };
            if real(&self.surroundings.absolute(&file)) == real(&self.surroundings.absolute(&self.main))
                || self.headers(&file).iter().any(|header| is_for_all(header))
            {
                continue;
            }
            is_changed |= !self.left_out.contains_key(&file);
            self.left_out.entry(file).or_default().push(error.clone());
        }
        is_changed
    }

    /// Errors, with the reason why their files are not left out though that was asked for.
    pub(crate) fn explained(&self, errors: impl IntoIterator<Item = ConfigError>) -> Vec<ConfigError> {
        let explained = |error: ConfigError| {
            let headers = error.file.as_deref().filter(|_| self.skips).map(|file| self.headers(file));
            let for_all = headers.unwrap_or_default().into_iter().find(|header| is_for_all(header));
            match for_all.filter(|_| error.file.as_ref() != Some(&self.main)) {
                Some(header) => ConfigError {
                    text: format!("{} (its file is not left out, because it has [{header}])", error.text),
                    ..error
                },
                None => error,
            }
        };
        errors.into_iter().map(explained).collect()
    }

    /// The files that were left out, each with what is wrong in it: at least one error.
    pub(crate) fn left_out(&self) -> &BTreeMap<PathBuf, Vec<ConfigError>> {
        &self.left_out
    }

    /// Where a file lies, whatever the current directory is.
    pub(crate) fn path(&self, file: &Path) -> PathBuf {
        self.surroundings.absolute(file)
    }

    /// What the headers of sections in a file look like, whatever else is wrong with it.
    pub(crate) fn headers(&self, file: &Path) -> Vec<String> {
        let Some(Ok(bytes)) = self.contents.get(file) else { return Vec::new() };
        let text = String::from_utf8_lossy(bytes);
        let headers = text.lines().filter_map(|line| {
            let end = ini::comment_start(line).unwrap_or(line.len());
            ini::header(strip(&line[..end])).map(str::to_string)
        });
        headers.collect()
    }

    /// The contents of an included file.
    fn read(&mut self, file: &Path) -> Result<Vec<u8>, String> {
        let read = self
            .contents
            .entry(file.to_path_buf())
            .or_insert_with(|| reading::read(file, Readable::Files).map_err(|error| why_unreadable(&error)));
        read.clone()
    }
}

fn why_unreadable(error: &Error) -> String {
    match error.kind() {
        ErrorKind::IsADirectory => "it is a directory".to_string(),
        _ => error.to_string(),
    }
}

/// Whether what stands in a section of this name matters to others.
fn is_for_all(header: &str) -> bool {
    FOR_ALL.iter().any(|known| match *known {
        "unix_http_server" | "inet_http_server" => header.starts_with(known),
        prefix if prefix.ends_with(':') => header.starts_with(prefix),
        name => header == name,
    })
}

/// A file by the name that it has for the kernel.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

/// One way through all files.
struct Walk<'f, 's> {
    files: &'f mut Files<'s>,
    document: Document,
    notes: Vec<Note>,
    errors: Vec<ConfigError>,
    /// The files that are being read: each includes the next.
    open: Vec<PathBuf>,
    /// All that were read, by their real names.
    seen: HashSet<PathBuf>,
    n_files: usize,
}

impl Walk<'_, '_> {
    /// Reads what one file includes; `parent` is its number in the document.
    fn follow(&mut self, patterns: Patterns, parent: u32) -> Result<(), ConfigErrors> {
        for (pattern, place) in patterns {
            let found = matches(&pattern);
            if found.is_empty() {
                self.notes.push(warning(format!("No file matches via include \"{}\"", pattern.display())));
            }
            for file in found {
                self.visit(&file, parent, place)?;
            }
        }
        Ok(())
    }

    /// Reads one file and what it includes.
    fn visit(&mut self, file: &Path, parent: u32, place: Option<Place>) -> Result<(), ConfigErrors> {
        self.n_files += 1;
        if self.n_files > MAX_FILES {
            let error = ConfigError::plain(format!("more than {MAX_FILES} files are included"));
            return Err(error.into());
        }
        let name = real(file);
        // As in Supervisor, a pattern of the main file may match that file itself, which is then read once more.
        let is_main_itself = self.open.len() == 1 && self.open[0] == name;
        if let Some(at) = self.open.iter().position(|open| *open == name).filter(|_| !is_main_itself) {
            let path = self.open[at..].iter().chain([&name]);
            let path = path.map(|file| file.display().to_string()).collect::<Vec<_>>().join(" -> ");
            self.wrong_pattern(place, format!("a file includes itself: {path}"));
            return Ok(());
        }
        if self.open.len() > MAX_DEPTH {
            self.wrong_pattern(place, format!("files include one another more than {MAX_DEPTH} deep"));
            return Ok(());
        }
        let text = format!("Included extra file \"{}\" during parsing", file.display());
        self.notes.push(Note::plain(Level::Info, text));
        let is_new = self.seen.insert(name.clone());
        let Some((patterns, number)) = self.read(file, parent) else { return Ok(()) };
        // What it includes was read, too.
        if !is_new || patterns.is_empty() {
            return Ok(());
        }
        self.open.push(name);
        self.follow(patterns, number)?;
        self.open.pop();
        Ok(())
    }

    /// Reads a file into the document. Its patterns, and its number there; of a file that was left out the patterns alone
    /// count, so that the others stand.
    fn read(&mut self, file: &Path, parent: u32) -> Option<(Patterns, u32)> {
        let is_left_out = self.files.left_out.contains_key(file);
        let bytes = match self.files.read(file) {
            Ok(bytes) => bytes,
            Err(_) if is_left_out => return None,
            Err(why) => {
                self.unreadable(file, &why);
                return None;
            }
        };
        if is_left_out {
            let number = self.document.stand_in_for(file, here(file, self.files.surroundings), parent);
            let mut alone = Document::default();
            read_text(file, bytes, self.files.surroundings, &mut alone).ok()?;
            let patterns = own_patterns(&alone, 0, self.files.surroundings).ok()?;
            // What is wrong with them was told.
            let patterns = patterns.into_iter().map(|(pattern, _)| (pattern, None)).collect();
            return Some((patterns, number));
        }
        if let Err(error) = read_text(file, bytes, self.files.surroundings, &mut self.document) {
            self.errors.push(error);
            return None;
        }
        let number = self.document.last_file();
        self.document.set_parent(number, parent);
        self.note_errors_key(number);
        match own_patterns(&self.document, number, self.files.surroundings) {
            Ok(patterns) => Some((patterns, number)),
            Err(errors) => {
                self.errors.extend(errors.iter().cloned());
                None
            }
        }
    }

    /// A file that cannot be read is left out, with a warning; Supervisor leaves it out without a word. With
    /// `include_errors=skip` its programs stay, which takes an error.
    fn unreadable(&mut self, file: &Path, why: &str) {
        if self.files.skips && why != why_unreadable(&ErrorKind::IsADirectory.into()) {
            let error = ConfigError::plain(format!("could not be read: {why}"));
            self.errors.push(ConfigError { file: Some(file.to_path_buf()), ..error });
        } else {
            let text = format!("could not read included file \"{}\": {why}", file.display());
            self.notes.push(warning(text));
        }
    }

    /// What is to be done with wrong files is said once, for all.
    fn note_errors_key(&mut self, number: u32) {
        let value =
            self.document.own(SECTION, ERRORS).filter(|value| self.document.number(value.place) == number);
        if let Some(value) = value {
            let error =
                self.at(Some(value.place), "has no effect here: it counts in the main file".to_string());
            let ConfigError { text, file, line, .. } = error;
            let key = Some(ERRORS.to_string());
            let section = Some(SECTION.to_string());
            self.notes.push(Note { needs_place: true, file, line, section, key, ..warning(text) });
        }
    }

    /// Notes what is wrong with a pattern, unless its file was left out for that.
    fn wrong_pattern(&mut self, place: Option<Place>, text: String) {
        if place.is_some() {
            self.errors.push(self.at(place, text));
        }
    }

    /// An error at the place of a pattern.
    fn at(&self, place: Option<Place>, text: String) -> ConfigError {
        ConfigError {
            text,
            file: place.map(|place| self.document.file(place).name.clone()),
            line: place.map(|place| place.line),
            section: Some(SECTION.to_string()),
            key: Some(FILES.to_string()),
        }
    }
}

fn warning(text: String) -> Note {
    Note::plain(Level::Warn, text)
}

/// Whether included files that are wrong are left out.
fn skips(main: &Document, surroundings: &Surroundings) -> Result<bool, ConfigErrors> {
    let context = Context::new(main, surroundings);
    let skips =
        section(&context, surroundings).get_or_default(ERRORS, |text| match text.to_lowercase().as_str() {
            "fail" => Ok(false),
            "skip" => Ok(true),
            _ => Err(not_one_of(text, ERRORS, "fail or skip")),
        });
    ConfigErrors::new(context.finish().0).map_or(Ok(skips), Err)
}

fn section<'c>(context: &'c Context<'c>, surroundings: &'c Surroundings) -> Section<'c> {
    let extra = Extra { host_node_name: Some(&surroundings.host_node_name), ..Extra::default() };
    context.section(SECTION).with(extra)
}

/// The patterns of the file with this number, which was read last, if it has some itself.
fn own_patterns(
    document: &Document,
    number: u32,
    surroundings: &Surroundings,
) -> Result<Patterns, ConfigErrors> {
    let own = document.own(SECTION, FILES).filter(|value| document.number(value.place) == number);
    own.map_or(Ok(Vec::new()), |_| patterns(document, surroundings))
}

/// The patterns of the file that was read last, absolute, and where they stand: relative ones start in its directory.
fn patterns(document: &Document, surroundings: &Surroundings) -> Result<Patterns, ConfigErrors> {
    let context = Context::new(document, surroundings);
    let section = section(&context, surroundings);
    let value = section.raw(FILES);
    if value.is_none() {
        section.error(None, ".ini file has [include] section, but no files setting".to_string());
    }
    let files = section.text(FILES);
    let here = document.files().last().map(|file| file.here.clone()).unwrap_or_default();
    let patterns = files.iter().flat_map(|files| files.split(is_space)).filter(|pattern| !pattern.is_empty());
    let place = value.map(|value| value.place);
    let patterns = patterns.map(|pattern| (Path::new(&here).join(pattern), place)).collect();
    match ConfigErrors::new(context.finish().0) {
        Some(errors) => Err(errors),
        None => Ok(patterns),
    }
}

/// The files that a pattern stands for, sorted: those it matches, or those of a directory that it names.
fn matches(pattern: &Path) -> Vec<PathBuf> {
    let is_plain = !pattern.to_string_lossy().contains(['*', '?', '[']);
    if is_plain && pattern.is_dir() {
        let all = IN_DIRECTORIES.iter().flat_map(|ending| matching(&pattern.join(format!("*.{ending}"))));
        let mut files: Vec<PathBuf> = all.collect();
        files.sort();
        return files;
    }
    matching(pattern)
}

/// The files a pattern matches, sorted. `*`, `?` and `[…]`; neither `~` nor `**`; a leading dot must be
/// written out.
fn matching(pattern: &Path) -> Vec<PathBuf> {
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
        assert_eq!(names(""), ["[x.conf", "a.conf", "b.conf", "c.ini"]);
    }
}
