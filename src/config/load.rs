//! Files → [`Config`]: the only place that finds, opens and reads configuration files.

use crate::config::args::DaemonArgs;
use crate::config::document::Document;
use crate::config::dump::{Setting, all_settings, dump};
use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::include::Files;
use crate::config::reading::Readable;
use crate::config::section::{Context, Note};
use crate::config::surroundings::Surroundings;
use crate::config::trust::{self, Doubt};
use crate::config::{
    aliases, daemon, defaults, dependencies, groups, hints, include_errors, ini, overrides as laid_over,
    servers, unknown,
};
use crate::model::config::{Config, Level, Message, Written};
use crate::model::state_file::Overrides;
use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The variable that means the same as `--allow-unsafe-config`, for containers whose command line is given.
const ALLOW_UNSAFE: &str = "SUPERVISORD_ALLOW_UNSAFE_CONFIG";

/// What the headers of sections begin with that a daemon runs or opens.
const BEYOND_THE_DAEMON: [&str; 5] =
    ["program:", "eventlistener:", "fcgi-program:", "unix_http_server", "inet_http_server"];

/// Reads the configuration that the command line asks for, with its includes, and lays the command line
/// over it. Never waits for a file.
///
/// # Errors
/// All that is wrong, in the order in which Supervisor would have met it.
pub fn load(args: &DaemonArgs, surroundings: &Surroundings) -> Result<Config, ConfigErrors> {
    load_from(args, surroundings, Readable::Files, Overrides::NONE)
}

/// The same, with what people have changed laid over it.
///
/// # Errors
/// As for [`load`].
pub fn load_with(
    args: &DaemonArgs,
    surroundings: &Surroundings,
    overrides: &Overrides,
) -> Result<Config, ConfigErrors> {
    load_from(args, surroundings, Readable::Files, overrides)
}

/// Reads what a configuration was read from once more, with other overrides. Files that were edited meanwhile are not
/// looked at.
///
/// # Errors
/// What is wrong with it now, for example that a user is not there any more; that an earlier release has left the
/// configuration, and not what it was read from.
pub fn interpret_again(
    written: &Written,
    args: &DaemonArgs,
    surroundings: &Surroundings,
    overrides: &Overrides,
) -> Result<Config, ConfigErrors> {
    let mut document = Document::restore(&written.0).ok_or_else(|| {
        ConfigError::plain("the configuration was read by an earlier release: run reread, and try again")
    })?;
    defaults::resolve(&mut document, surroundings);
    let mut config = interpret_with(&document, Vec::new(), args, surroundings, overrides).into_result()?;
    config.written = written.clone();
    Ok(config)
}

/// The same at the start of a daemon, when the main file may be a pipe.
///
/// # Errors
/// As for [`load`].
pub fn load_at_start(args: &DaemonArgs, surroundings: &Surroundings) -> Result<Config, ConfigErrors> {
    load_from(args, surroundings, Readable::Pipes, Overrides::NONE)
}

fn load_from(
    args: &DaemonArgs,
    surroundings: &Surroundings,
    readable: Readable,
    overrides: &Overrides,
) -> Result<Config, ConfigErrors> {
    let Read { document, outcome, .. } = read_with(args, surroundings, readable, overrides)?;
    let doubts = trust::doubts(&document);
    if let Some(refused) = doubts.iter().find_map(|doubt| refusal(doubt, args, surroundings)) {
        return Err(refused.into());
    }
    let mut config = outcome.into_result()?;
    config.written = Written(document.keep().into());
    config.messages.extend(
        doubts
            .iter()
            .map(|doubt| Message { level: Level::Warn, text: format!("{}: {doubt}", doubt.file.display()) }),
    );
    config.messages.sort_by_key(|message| std::cmp::Reverse(message.level));
    Ok(config)
}

/// Whether the environment says that unsafe configurations are meant.
fn is_allowed(surroundings: &Surroundings) -> bool {
    surroundings.environment.get(ALLOW_UNSAFE).is_some_and(|value| !value.is_empty())
}

/// Why root refuses this file: everybody can change it, and so have root run anything. A single user or a group that can
/// change it is not refused, because that may be intended, for example for deployments.
pub(crate) fn refusal(doubt: &Doubt, args: &DaemonArgs, surroundings: &Surroundings) -> Option<ConfigError> {
    let allowed = args.allow_unsafe_config || is_allowed(surroundings);
    if !surroundings.is_root || allowed || !doubt.is_open_to_all() {
        return None;
    }
    let file = surroundings.absolute(&doubt.file);
    let what = doubt.directory.as_ref().unwrap_or(&file).display();
    let text = format!(
        "{}: {doubt}, as root; remove that permission (chmod o-w {what}), or start with --allow-unsafe-config or \
         {ALLOW_UNSAFE}=1 in the environment",
        doubt.file.display()
    );
    Some(ConfigError { file: Some(doubt.file.clone()), ..ConfigError::plain(text) })
}

/// Reads a text as if it stood in the file `name`. Includes are not followed.
///
/// # Errors
/// As for [`load`].
pub fn parse(
    name: &Path,
    text: &str,
    args: &DaemonArgs,
    surroundings: &Surroundings,
) -> Result<Config, ConfigErrors> {
    let mut document = Document::parse(&surroundings.absolute(name), text)?;
    defaults::resolve(&mut document, surroundings);
    let config = interpret(&document, Vec::new(), args, surroundings).into_result()?;
    Ok(Config { written: Written(document.keep().into()), ..config })
}

/// The effective configuration of a text, as a text that means the same; see `supervisord check --dump`.
///
/// # Errors
/// As for [`load`].
pub fn effective(
    name: &Path,
    text: &str,
    args: &DaemonArgs,
    surroundings: &Surroundings,
) -> Result<String, ConfigErrors> {
    let mut document = Document::parse(&surroundings.absolute(name), text)?;
    defaults::resolve(&mut document, surroundings);
    interpret(&document, Vec::new(), args, surroundings).into_result()?;
    Ok(dump(&document, args, surroundings))
}

/// Every effective setting of the configuration that the command line asks for, with its origin, section by
/// section.
///
/// # Errors
/// As for [`load`].
pub fn settings(args: &DaemonArgs, surroundings: &Surroundings) -> Result<Vec<Setting>, ConfigErrors> {
    let Read { document, outcome, .. } = read(args, surroundings, Readable::Files)?;
    outcome.into_result()?;
    Ok(all_settings(&document, args, surroundings).into_iter().flat_map(|(_, settings)| settings).collect())
}

/// The directory a file lies in: what `%(here)s` means in it.
pub(super) fn here(name: &Path, surroundings: &Surroundings) -> String {
    let path = surroundings.absolute(name);
    path.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned()
}

/// What reading a document gave.
pub(crate) struct Outcome {
    /// `None` if there are errors.
    pub config: Option<Config>,
    pub errors: Vec<ConfigError>,
    pub notes: Vec<Note>,
}

impl Outcome {
    /// The configuration, if it is right.
    pub(crate) fn into_result(self) -> Result<Config, ConfigErrors> {
        let errors = ConfigErrors::new(self.errors);
        // Without a configuration there is at least one error.
        self.config.ok_or_else(|| errors.unwrap_or_else(|| ConfigError::plain("unknown error").into()))
    }
}

/// What was read, and what it means.
pub(crate) struct Read {
    pub document: Document,
    pub outcome: Outcome,
    /// Everything that is wrong with the files that were left out.
    pub left_out: Vec<ConfigError>,
}

/// Finds and reads the main file and its includes.
///
/// # Errors
/// What is wrong with the files as texts; what is wrong with their values is part of the outcome.
pub(crate) fn read(
    args: &DaemonArgs,
    surroundings: &Surroundings,
    readable: Readable,
) -> Result<Read, ConfigErrors> {
    read_with(args, surroundings, readable, Overrides::NONE)
}

/// The same, with what people have changed laid over it.
fn read_with(
    args: &DaemonArgs,
    surroundings: &Surroundings,
    readable: Readable,
    overrides: &Overrides,
) -> Result<Read, ConfigErrors> {
    let name = match &args.configuration {
        Some(name) => PathBuf::from(name),
        None => search(surroundings)?.ok_or_else(|| nothing_found(surroundings))?,
    };
    let mut files = Files::new(&name, surroundings, readable);
    // Each round but the last leaves out a file that was not left out before.
    loop {
        let (mut document, notes) = match files.document() {
            Ok(read) => read,
            Err(errors) if files.leave_out(errors.iter()) => continue,
            Err(errors) => {
                let explained = files.explained(errors.iter().cloned());
                return Err(ConfigErrors::new(explained).unwrap_or(errors));
            }
        };
        aliases::resolve(&mut document);
        defaults::resolve(&mut document, surroundings);
        let mut outcome = interpret_with(&document, notes, args, surroundings, overrides);
        if files.leave_out(&outcome.errors) {
            continue;
        }
        outcome.errors = files.explained(outcome.errors);
        if let Some(config) = &mut outcome.config {
            config.skipped = include_errors::skipped(&files);
            config.messages.extend(include_errors::messages(&config.skipped));
            config.messages.sort_by_key(|message| std::cmp::Reverse(message.level));
        }
        let left_out = files.left_out().values().flatten().cloned().collect();
        return Ok(Read { document, outcome, left_out });
    }
}

/// Turns a document into a configuration.
pub(crate) fn interpret(
    document: &Document,
    notes: Vec<Note>,
    args: &DaemonArgs,
    surroundings: &Surroundings,
) -> Outcome {
    interpret_with(document, notes, args, surroundings, Overrides::NONE)
}

/// The same, with what people have changed laid over it.
fn interpret_with(
    document: &Document,
    mut notes: Vec<Note>,
    args: &DaemonArgs,
    surroundings: &Surroundings,
    overrides: &Overrides,
) -> Outcome {
    if !is_for_a_daemon(document) {
        let text = ".ini file does not include supervisord section";
        let file = document.files().first().map(|file| file.name.clone());
        let error = ConfigError { file, ..ConfigError::plain(text) };
        return Outcome { config: None, errors: vec![error], notes };
    }
    notes.extend(args.doubt.iter().map(|doubt| Note::plain(Level::Warn, doubt.clone())));
    let mut context = Context::new(document, surroundings);
    context.overrides = overrides;
    let mut supervisord = daemon::read(&context, args);
    let variables = supervisord.environment.iter();
    let variables = variables.map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>();
    context.environment.extend(variables);
    let rpc_namespaces = servers::rpc_namespaces(&context);
    document.untranslatable().chain(document.errors().iter().cloned()).for_each(|error| context.error(error));
    let groups = groups::read(&context, &supervisord.environment);
    dependencies::check(&context, &groups);
    laid_over::check_last(&context, &supervisord, &groups);
    let http_servers = servers::read(&context);
    daemon::user(&context, args, &mut supervisord);
    let programs = context.take_programs();
    let (errors, said) = context.finish();
    notes.extend(said);
    notes.extend(hints::notes(document));
    let path = document.files().first().map(|file| surroundings.absolute(&file.name)).unwrap_or_default();
    let mut messages: Vec<_> = notes.iter().map(Note::to_message).collect();
    messages.extend(unknown::messages(document));
    messages.extend(aliases::messages(document));
    // As Supervisor logs them: what is worst comes first.
    messages.sort_by_key(|message| std::cmp::Reverse(message.level));
    let (skipped, written) = (Vec::new(), Written::default());
    let config = Config {
        path,
        supervisord,
        http_servers,
        rpc_namespaces,
        groups,
        messages,
        skipped,
        programs,
        written,
    };
    Outcome { config: errors.is_empty().then_some(config), errors, notes }
}

/// Whether a file is meant for a daemon. A file that only lacks `[supervisord]` is, and gets the defaults. An empty file,
/// or one for something else, is a mistake, and at a reread it would remove every program.
fn is_for_a_daemon(document: &Document) -> bool {
    let has = |prefix: &str| document.sections().any(|section| section.starts_with(prefix));
    document.has_section(daemon::SECTION) || BEYOND_THE_DAEMON.iter().any(|prefix| has(prefix))
}

/// Reads what was found in a file into a document.
pub(super) fn read_text(
    name: &Path,
    bytes: Vec<u8>,
    surroundings: &Surroundings,
    document: &mut Document,
) -> Result<(), ConfigError> {
    let text = decode(bytes).map_err(|(text, line)| ConfigError {
        file: Some(name.into()),
        line: Some(line),
        ..ConfigError::plain(text)
    })?;
    ini::read(&text, name, here(name, surroundings), document)
}

pub(super) fn unreadable(name: &Path, error: &std::io::Error) -> ConfigError {
    let text = match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            format!("could not find config file {}", name.display())
        }
        // What Supervisor says of a directory or a file of others; what it would wait for, or swallow, has a reason.
        ErrorKind::IsADirectory | ErrorKind::PermissionDenied => {
            format!("could not read config file {}", name.display())
        }
        _ => format!("could not read config file {}: {error}", name.display()),
    };
    ConfigError { file: Some(name.to_path_buf()), ..ConfigError::plain(text) }
}

/// UTF-8, or Python's words for what is not, and its line.
fn decode(bytes: Vec<u8>) -> Result<String, (String, u32)> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let rest = &error.as_bytes()[at..];
        // Something is left at the position of an error.
        let byte = rest.first().copied().unwrap_or_default();
        let reason = match (error.utf8_error().error_len(), byte) {
            (None, _) => "unexpected end of data",
            (_, 0x80..=0xc1 | 0xf5..=0xff) => "invalid start byte",
            _ => "invalid continuation byte",
        };
        let n_before = error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
        let line = u32::try_from(n_before + 1).unwrap_or(u32::MAX);
        (format!("'utf-8' codec can't decode byte {byte:#04x} in position {at}: {reason}"), line)
    })
}

/// The places where a configuration is looked for without `-c`, in order.
pub(super) fn search_paths(surroundings: &Surroundings) -> Vec<PathBuf> {
    let parent = surroundings.executable.parent().and_then(Path::parent);
    let beside = parent.map(Path::to_path_buf).unwrap_or_default();
    vec![
        beside.join("etc/supervisord.conf"),
        beside.join("supervisord.conf"),
        PathBuf::from("supervisord.conf"),
        PathBuf::from("etc/supervisord.conf"),
        PathBuf::from("/etc/supervisord.conf"),
        PathBuf::from("/etc/supervisor/supervisord.conf"),
        // Where relatives have it.
        PathBuf::from("supervisord.ini"),
        PathBuf::from("conf/supervisord.conf"),
    ]
}

/// The first of them that exists.
///
/// # Errors
/// We are root, and it lies in the current directory, where others could have put it for us.
pub(crate) fn search(surroundings: &Surroundings) -> Result<Option<PathBuf>, ConfigError> {
    let found = first_found(surroundings);
    match found.as_ref().and_then(|name| trap(name, surroundings)) {
        Some(error) => Err(error),
        None => Ok(found),
    }
}

fn first_found(surroundings: &Surroundings) -> Option<PathBuf> {
    search_paths(surroundings).into_iter().find(|path| surroundings.absolute(path).exists())
}

/// Why root does not take a file that was found in the current directory.
fn trap(name: &Path, surroundings: &Surroundings) -> Option<ConfigError> {
    if !surroundings.is_root || name.is_absolute() || is_allowed(surroundings) {
        return None;
    }
    let path = surroundings.absolute(name);
    let doubt = trust::doubts_of(&path, &path, &mut HashSet::new()).into_iter().next()?;
    let text = format!(
        "the configuration file {} is not used, because it was found in the current directory and {doubt}; if it is \
         the right one, name it with -c",
        path.display()
    );
    Some(ConfigError { file: Some(name.into()), ..ConfigError::plain(text) })
}

fn nothing_found(surroundings: &Surroundings) -> ConfigError {
    let paths: Vec<String> =
        search_paths(surroundings).iter().map(|path| path.display().to_string()).collect();
    ConfigError::plain(format!(
        "No config file found at default paths ({}); use the -c option to specify a config file at a different path",
        paths.join(", ")
    ))
}

/// What root is told on stderr when no `-c` says which file to trust. `None` if there is nothing to say.
pub fn root_warning(args: &DaemonArgs, surroundings: &Surroundings) -> Option<&'static str> {
    (surroundings.is_root && args.configuration.is_none()).then_some(
        "Supervisord is running as root and it is searching for its configuration file in default locations \
         (including its current working directory); you probably want to specify a \"-c\" argument specifying an \
         absolute path to a configuration file for improved security.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A program in `bin` of a directory, called from `work` in it.
    fn surroundings(directory: &Path) -> Surroundings {
        std::fs::create_dir_all(directory.join("work/etc")).expect("created");
        std::fs::create_dir_all(directory.join("etc")).expect("created");
        Surroundings {
            environment: BTreeMap::new(),
            current_dir: directory.join("work"),
            host_node_name: "box".into(),
            executable: directory.join("bin/supervisord"),
            is_root: true,
        }
    }

    #[test]
    fn the_first_file_that_is_there_is_found() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let around = surroundings(directory.path());
        std::fs::create_dir_all(directory.path().join("work/conf")).expect("created");
        let in_etc = ["/etc/supervisord.conf", "/etc/supervisor/supervisord.conf"];
        let relatives: &[&str] = if in_etc.iter().any(|path| Path::new(path).exists()) {
            &[]
        } else {
            &["work/conf/supervisord.conf", "work/supervisord.ini"]
        };
        // From the last place, of those a test can write to, to the first.
        let places = ["work/etc", "work", "", "etc"].map(|place| format!("{place}/supervisord.conf"));
        for place in relatives.iter().copied().chain(places.iter().map(|place| place.trim_start_matches('/')))
        {
            let path = directory.path().join(place);
            std::fs::write(&path, "[supervisord]\n").expect("written");
            let config = load(&DaemonArgs::default(), &around).expect("it is right");
            assert_eq!(config.path, path);
        }
    }

    #[test]
    fn all_places_are_named_when_nothing_is_found() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let around = surroundings(directory.path());
        if first_found(&around).is_some() {
            return; // This machine has one in /etc.
        }
        let text = load(&DaemonArgs::default(), &around).expect_err("there is none").to_string();
        let here = directory.path().display();
        assert_eq!(
            text,
            format!(
                "No config file found at default paths ({here}/etc/supervisord.conf, {here}/supervisord.conf, \
                 supervisord.conf, etc/supervisord.conf, /etc/supervisord.conf, \
                 /etc/supervisor/supervisord.conf, supervisord.ini, conf/supervisord.conf); use the -c option to specify a config file at a different path"
            )
        );
    }

    #[test]
    fn root_is_warned_unless_it_says_which_file() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut around = surroundings(directory.path());
        let named = DaemonArgs { configuration: Some("x".into()), ..DaemonArgs::default() };
        assert!(root_warning(&DaemonArgs::default(), &around).is_some());
        assert!(root_warning(&named, &around).is_none());
        around.is_root = false;
        assert!(root_warning(&DaemonArgs::default(), &around).is_none());
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let around = surroundings(directory.path());
        let load = |name: &str| {
            let configuration = Some(name.to_string());
            load(&DaemonArgs { configuration, ..DaemonArgs::default() }, &around)
                .expect_err("it is wrong")
                .to_string()
        };
        assert_eq!(load("nope"), "could not find config file nope");
        assert_eq!(load("etc"), "could not read config file etc");
    }

    #[test]
    fn bytes_that_are_no_text() {
        for (bytes, text) in [
            (&b"\xff"[..], "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
            (b"ab\xe9\n", "'utf-8' codec can't decode byte 0xe9 in position 2: invalid continuation byte"),
            (b"ab\xe9", "'utf-8' codec can't decode byte 0xe9 in position 2: unexpected end of data"),
        ] {
            assert_eq!(decode(bytes.to_vec()), Err((text.to_string(), 1)));
        }
        assert_eq!(decode(b"[a]\n\nb=\xe9\n".to_vec()).expect_err("it is wrong").1, 3);
    }
}
