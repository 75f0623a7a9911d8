//! One section being read: a key is looked up, expanded and parsed; errors are recorded with their place. Reading goes
//! on after an error, so that all errors are reported together.

use crate::config::document::{Document, Place, Places, Value};
use crate::config::error::ConfigError;
use crate::config::expand::{Arg, Names, bare_form, expand, with_percents};
use crate::config::schema::{self, Defaults};
use crate::config::surroundings::{Surroundings, Users};
use crate::config::text::repr;
use crate::config::values::{Parsed, Read};
use crate::model::config::{Level, Message, Program};
use crate::model::state_file::Overrides;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// More errors than anybody reads.
const MAX_ERRORS: usize = 1000;
/// More processes than a machine can run: each wants pipes and log files.
pub(super) const MAX_PROCESSES: i64 = 100_000;
/// All expanded texts together. A small file can ask for an enormous one, with `numprocs` and a wide format.
const MAX_EXPANDED: usize = 1 << 28;

/// Everything that reading a configuration needs and collects.
pub(super) struct Context<'a> {
    pub document: &'a Document,
    pub surroundings: &'a Surroundings,
    /// What `%(ENV_X)s` means: our environment, later overlaid with `[supervisord] environment`.
    pub environment: HashMap<String, String>,
    pub users: Users,
    /// What is laid over the values of the files.
    pub overrides: &'a Overrides,
    programs: RefCell<Vec<Program>>,
    errors: RefCell<Vec<ConfigError>>,
    notes: RefCell<Vec<Note>>,
    /// Sections and keys about which a doubt was noted; the processes of a section share them.
    doubted: RefCell<HashSet<(String, String)>>,
    expanded: Cell<usize>,
    n_processes: Cell<i64>,
    /// Directories that are there; ten thousand programs usually log into one.
    directories: RefCell<HashSet<PathBuf>>,
}

impl<'a> Context<'a> {
    pub(super) fn new(document: &'a Document, surroundings: &'a Surroundings) -> Context<'a> {
        let environment = surroundings.environment.iter();
        Context {
            document,
            surroundings,
            environment: environment.map(|(name, value)| (name.clone(), value.clone())).collect(),
            users: Users::default(),
            overrides: Overrides::NONE,
            programs: RefCell::default(),
            errors: RefCell::default(),
            notes: RefCell::default(),
            doubted: RefCell::default(),
            expanded: Cell::new(0),
            n_processes: Cell::new(0),
            directories: RefCell::default(),
        }
    }

    /// Notes an error, the first one for each key: some are read for the group and for every process.
    pub(super) fn error(&self, error: ConfigError) {
        let mut errors = self.errors.borrow_mut();
        let known = errors.iter().any(|earlier| earlier.is_about_the_same_key_as(&error));
        if errors.len() < MAX_ERRORS && !known {
            errors.push(error);
        }
    }

    /// Whether anything was wrong so far.
    pub(super) fn has_errors(&self) -> bool {
        !self.errors.borrow().is_empty()
    }

    /// Counts processes that are about to be made; `false` if that would be too many.
    pub(super) fn count_processes(&self, more: i64) -> bool {
        let all = self.n_processes.get().saturating_add(more);
        self.n_processes.set(all);
        all <= MAX_PROCESSES
    }

    /// Whether a path could be made: the nearest thing above it that is there is a directory.
    pub(super) fn can_be_made(&self, path: &Path) -> bool {
        let mut above = self.surroundings.current_dir.join(path);
        while above.pop() {
            if self.directories.borrow().contains(&above) {
                return true;
            }
            if above.is_dir() {
                self.directories.borrow_mut().insert(above);
                return true;
            }
            if above.symlink_metadata().is_ok() {
                return false;
            }
        }
        false
    }

    /// Notes that there is a program.
    pub(super) fn note_program(&self, program: Program) {
        self.programs.borrow_mut().push(program);
    }

    /// The programs that were read.
    pub(super) fn take_programs(&self) -> Vec<Program> {
        self.programs.take()
    }

    /// What was collected.
    pub(super) fn finish(self) -> (Vec<ConfigError>, Vec<Note>) {
        (self.errors.into_inner(), self.notes.into_inner())
    }

    /// A view on a section. The names it expands are `here` and those of the environment, until more are
    /// added.
    pub(super) fn section<'c>(&'c self, name: &'c str) -> Section<'c> {
        Section {
            context: self,
            name,
            extra: Extra::default(),
            is_optional: false,
            meant: None,
            places: self.document.places_of(name),
            defaults: schema::defaults(name),
        }
    }
}

/// A line for the activity log, and where what it is about was written.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub message: Message,
    /// Whether the activity log says where it was written, too: for texts that do not.
    pub needs_place: bool,
    pub file: Option<PathBuf>,
    pub line: Option<u32>,
    pub section: Option<String>,
    pub key: Option<String>,
}

impl Note {
    /// A line about no place in particular.
    pub(crate) fn plain(level: Level, text: String) -> Note {
        let message = Message { level, text };
        Note { message, needs_place: false, file: None, line: None, section: None, key: None }
    }

    /// The line for the activity log.
    pub(crate) fn to_message(&self) -> Message {
        let Note { message, file, line, section, key, .. } = self.clone();
        let place = ConfigError { text: String::new(), file, line, section, key }.place();
        match place.filter(|_| self.needs_place) {
            Some(place) => Message { text: format!("{place}: {}", message.text), ..message },
            None => message,
        }
    }
}

/// The names that only some sections know.
#[derive(Clone, Copy, Default)]
pub(super) struct Extra<'c> {
    pub program_name: Option<&'c str>,
    pub group_name: Option<&'c str>,
    pub host_node_name: Option<&'c str>,
    /// `process_num` and `numprocs`.
    pub process: Option<(i64, i64)>,
    /// The program's own `environment`, which lies over everything else's.
    pub environment: Option<&'c BTreeMap<String, String>>,
}

/// A section of the document together with the names that can be expanded in it.
#[derive(Clone, Copy)]
pub(super) struct Section<'c> {
    pub context: &'c Context<'c>,
    pub name: &'c str,
    pub extra: Extra<'c>,
    /// Whether nothing that is wrong here may keep the daemon from starting: Supervisor does not look at it.
    pub is_optional: bool,
    /// Of a key that has a value in several sections, the one that is being read, and where it stands.
    meant: Option<(&'c str, Value<'c>)>,
    /// The keys that stand in it.
    places: Option<&'c Places>,
    /// What its keys mean where they are missing.
    defaults: Option<&'static Defaults>,
}

impl<'c> Section<'c> {
    /// The same section, in which whatever is wrong is a doubt.
    pub(super) fn optional(self) -> Section<'c> {
        Section { is_optional: true, ..self }
    }

    /// The same section, with more names to expand.
    pub(super) fn with(self, extra: Extra<'c>) -> Section<'c> {
        Section { extra, ..self }
    }

    /// The value as written.
    pub(super) fn raw(&self, key: &str) -> Option<Value<'c>> {
        debug_assert!(schema::knows(self.name, key), "[{}] {key} is not in the schema", self.name);
        let document = self.context.document;
        // Most keys of most sections are missing, and this is the soonest way to see it.
        if document.has_no_stand_ins() && !self.places?.contains_key(key) {
            return None;
        }
        document.get(self.name, key)
    }

    /// Every value that a key has for this section, the nearest first, with a view for reading it: it names the section in
    /// which the value stands. `[DEFAULT]` stands in only where there is no other, as for all keys.
    pub(super) fn all(&self, key: &str) -> Vec<(Section<'c>, Value<'c>)> {
        let values = self.context.document.all_values(self.name, key).enumerate();
        let values = values.filter(|(n_nearer, (holder, _))| *n_nearer == 0 || *holder != Document::DEFAULT);
        values
            .map(|(_, (holder, value))| (Section { meant: Some((holder, value)), ..*self }, value))
            .collect()
    }

    /// How far from the section itself the value of a key stands: 0 for its own.
    pub(super) fn distance(&self, key: &str) -> Option<usize> {
        let document = self.context.document;
        let holder = document.holder(self.name, key)?;
        if holder == self.name {
            return Some(0);
        }
        let level = document.levels(self.name).iter().position(|level| **level == *holder);
        Some(level.map_or(usize::MAX, |level| level + 1))
    }

    /// Whether the key stands in the section itself, and not only in one that stands in for it.
    pub(super) fn has_own(&self, key: &str) -> bool {
        self.context.document.has_own(self.name, key)
    }

    /// The value with its `%` forms expanded. `None` if the key is missing, or wrong, which is noted.
    pub(super) fn text(&self, key: &str) -> Option<Cow<'c, str>> {
        let value = self.raw(key)?;
        let what = format_args!("{}.{key}", self.name);
        self.expand(key, value, &what)
    }

    /// Like [`Section::text`], for commands: a `%` that begins no form stays as it is.
    pub(super) fn text_of_command(&self, key: &str) -> Option<Cow<'c, str>> {
        let value = self.raw(key)?;
        let Some(template) = with_percents(value.text) else { return self.text(key) };
        let names = self.names(value.place);
        match expand(&template, &names) {
            Ok(text) => {
                let text = text.into_owned();
                self.doubt(key, "a '%' that begins no form is kept as it is (write '%%' for it)".to_string());
                self.within_budget(key, Cow::Owned(text))
            }
            Err(error) => {
                let what = format!("{}.{key}", self.name);
                self.error(Some(key), error.describe(value.text, &what, &names));
                None
            }
        }
    }

    /// Like [`Section::text`], for keys that messages name without their section.
    pub(super) fn text_of_process(&self, key: &str) -> Option<Cow<'c, str>> {
        self.expand(key, self.raw(key)?, &key)
    }

    /// The same of one value out of several.
    pub(super) fn text_of_value(&self, key: &str, value: Value<'c>) -> Option<Cow<'c, str>> {
        self.expand(key, value, &key)
    }

    fn expand(&self, key: &str, value: Value<'c>, what: &dyn std::fmt::Display) -> Option<Cow<'c, str>> {
        let names = self.names(value.place);
        match expand(value.text, &names) {
            Ok(text) => {
                if let Some(form) = bare_form(value.text) {
                    let form = repr(form);
                    self.doubt(key, format!("{form} is kept as it is (write '%%' for a percent sign)"));
                }
                self.within_budget(key, text)
            }
            Err(error) => {
                self.error(Some(key), error.describe(value.text, &what.to_string(), &names));
                None
            }
        }
    }

    fn within_budget(&self, key: &str, text: Cow<'c, str>) -> Option<Cow<'c, str>> {
        if let Cow::Owned(text) = &text {
            let expanded = self.context.expanded.get() + text.len();
            self.context.expanded.set(expanded);
            if expanded > MAX_EXPANDED {
                let text = format!("all expanded values together have more than {MAX_EXPANDED} bytes");
                self.error(Some(key), text);
                return None;
            }
        }
        Some(text)
    }

    /// The value, expanded and parsed. `None` if the key is missing, or wrong, which is noted.
    pub(super) fn get<T>(&self, key: &str, parse: impl FnOnce(&str) -> Parsed<T>) -> Option<T> {
        let text = self.text(key)?;
        self.ok(key, parse(&text))
    }

    /// Like [`Section::get`], for a value that may end with a percent sign, which need not be doubled.
    pub(super) fn get_percent<T>(&self, key: &str, parse: impl FnOnce(&str) -> Parsed<T>) -> Option<T> {
        let written = self.raw(key)?.text;
        match written.strip_suffix('%').is_some_and(|number| !number.contains('%')) {
            true => self.ok(key, parse(written)),
            false => self.get(key, parse),
        }
    }

    /// Like [`Section::get`], for a value that need not be quite right: a doubt is noted, too.
    pub(super) fn understand<T>(&self, key: &str, parse: impl FnOnce(&str) -> Read<T>) -> Option<T> {
        let text = self.text(key)?;
        self.sure(key, parse(&text))
    }

    /// Like [`Section::get`], with the default of the schema for a key that is missing or wrong.
    pub(super) fn get_or_default<T>(&self, key: &str, parse: impl Fn(&str) -> Parsed<T>) -> T {
        self.get(key, &parse).unwrap_or_else(|| self.default(key, parse))
    }

    /// Like [`Section::understand`], with the default of the schema for a key that is missing or wrong.
    pub(super) fn understand_or_default<T>(&self, key: &str, parse: impl Fn(&str) -> Read<T>) -> T {
        let plain = |text: &str| parse(text).map(|reading| reading.value);
        self.understand(key, &parse).unwrap_or_else(|| self.default(key, plain))
    }

    /// Like [`Section::text`], with the default of the schema for a key that is missing or wrong.
    pub(super) fn text_or_default(&self, key: &str) -> Cow<'c, str> {
        self.text(key).unwrap_or_else(|| Cow::Borrowed(self.default_text(key)))
    }

    /// The default of a key, read like a value of the file.
    pub(super) fn default<T>(&self, key: &str, parse: impl FnOnce(&str) -> Parsed<T>) -> T {
        // A test in `schema` reads every default.
        parse(self.default_text(key)).unwrap_or_else(|text| unreachable!("[{}] {key}: {text}", self.name))
    }

    /// The default of a key as it would be written.
    pub(super) fn default_text(&self, key: &str) -> &'static str {
        // Only keys that have one in the schema are read so, which the same test shows.
        let default = self.defaults.and_then(|defaults| defaults.get(key).copied().flatten());
        default.unwrap_or_else(|| unreachable!("[{}] {key} has no default", self.name))
    }

    /// Unwraps what reading a key gave; an error or a doubt is noted with the key's place.
    pub(super) fn sure<T>(&self, key: &str, read: Read<T>) -> Option<T> {
        let reading = self.ok(key, read)?;
        if let Some(doubt) = reading.doubt {
            self.doubt(key, doubt);
        }
        Some(reading.value)
    }

    /// Notes that the section is not called quite what its header says.
    pub(super) fn doubt_about_name(&self, text: String) {
        if self.context.doubted.borrow_mut().insert((self.name.to_string(), String::new())) {
            self.add_note(None, Level::Warn, text, true);
        }
    }

    /// Notes that a key's value was not taken literally, once for all processes of the section that it stands in.
    pub(super) fn doubt(&self, key: &str, text: String) {
        if self.context.doubted.borrow_mut().insert((self.source(key).0.to_string(), key.to_string())) {
            self.add_note(Some(key), Level::Warn, text, true);
        }
    }

    /// Unwraps what parsing a key gave; an error is noted with the key's place.
    pub(super) fn ok<T>(&self, key: &str, parsed: Parsed<T>) -> Option<T> {
        parsed.map_err(|text| self.error(Some(key), text)).ok()
    }

    /// Notes an error of this section: at the key's line, or at the header if there is no such key.
    pub(super) fn error(&self, key: Option<&str>, text: String) {
        if self.is_optional {
            let text = format!("{text}: ignored");
            return key
                .map_or_else(|| self.doubt_about_name(text.clone()), |key| self.doubt(key, text.clone()));
        }
        self.context.error(self.located(key, text));
    }

    /// Notes a line for the activity log that is about this section.
    pub(super) fn note(&self, key: Option<&str>, level: Level, text: String) {
        self.add_note(key, level, text, false);
    }

    fn add_note(&self, key: Option<&str>, level: Level, text: String, needs_place: bool) {
        let ConfigError { text, file, line, section, key } = self.located(key, text);
        let note = Note { message: Message { level, text }, needs_place, file, line, section, key };
        self.context.notes.borrow_mut().push(note);
    }

    /// Where a key stands: `/etc/web.conf:12: [program:web] autostart`.
    pub(super) fn place(&self, key: &str) -> Option<String> {
        self.located(Some(key), String::new()).place()
    }

    /// An error of this section, with the place of a key.
    pub(super) fn located(&self, key: Option<&str>, text: String) -> ConfigError {
        let document = self.context.document;
        let (section, value) = key.map_or((self.name, None), |key| self.source(key));
        let place = value.map(|value| value.place).or_else(|| document.header(self.name));
        ConfigError {
            text,
            file: place.map(|place| document.file(place).name.clone()),
            line: place.map(|place| place.line),
            section: Some(section.to_string()),
            key: key.map(|key| document.written_name(section, key).to_string()),
        }
    }

    /// The section to name in messages about a key, and its value. What stands in `[DEFAULT]` is told of the section it
    /// stands in for, as Supervisor does.
    fn source(&self, key: &str) -> (&'c str, Option<Value<'c>>) {
        match self.meant.or_else(|| self.context.document.all_values(self.name, key).next()) {
            Some((holder, value)) if holder != Document::DEFAULT => (holder, Some(value)),
            found => (self.name, found.map(|(_, value)| value)),
        }
    }

    fn names(&self, place: Place) -> Scope<'c> {
        let here = &self.context.document.file(place).here;
        Scope { here, environment: &self.context.environment, extra: self.extra }
    }
}

/// The names known to one value.
pub(super) struct Scope<'c> {
    /// The directory of the file the value was written in.
    pub here: &'c str,
    pub environment: &'c HashMap<String, String>,
    pub extra: Extra<'c>,
}

impl Names for Scope<'_> {
    fn lookup(&self, name: &str) -> Option<Arg<'_>> {
        if let Some(variable) = name.strip_prefix("ENV_") {
            let own = self.extra.environment.and_then(|own| own.get(variable));
            return own.or_else(|| self.environment.get(variable)).map(|value| Arg::Text(value));
        }
        match name {
            "here" => Some(Arg::Text(self.here)),
            "program_name" => self.extra.program_name.map(Arg::Text),
            "group_name" => self.extra.group_name.map(Arg::Text),
            "host_node_name" => self.extra.host_node_name.map(Arg::Text),
            "process_num" => self.extra.process.map(|(number, _)| Arg::Number(number)),
            "numprocs" => self.extra.process.map(|(_, count)| Arg::Number(count)),
            _ => None,
        }
    }

    fn listed(&self) -> Vec<&str> {
        let all = ["group_name", "here", "host_node_name", "numprocs", "process_num", "program_name"];
        all.into_iter().filter(|name| self.lookup(name).is_some()).collect()
    }
}
