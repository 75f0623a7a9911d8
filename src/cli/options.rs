//! The options of every part of the program, as a table for `getopt` and the help.

use crate::cli::getopt::Opt;
use crate::config::Surroundings;
use crate::config::values::{self, Parsed};
use crate::config::{existing_directory, path_with_parent};
use crate::model::colour::Colour;
use std::sync::LazyLock;

fn anything(_: &str) -> Parsed<Option<String>> {
    Ok(None)
}

fn no_dlog(_: &str) -> Parsed<Option<String>> {
    Ok(Some("has no effect: the daemon writes to its activity log only, see logfile".to_string()))
}

fn umask(text: &str) -> Parsed<Option<String>> {
    values::umask(text).map(|mask| mask.doubt)
}

fn bytes(text: &str) -> Parsed<Option<String>> {
    values::bytes(text).map(|bytes| bytes.doubt)
}

fn count(text: &str) -> Parsed<Option<String>> {
    values::count(text).map(|count| count.doubt)
}

fn level(text: &str) -> Parsed<Option<String>> {
    values::level(text).map(|_| None)
}

fn directory(text: &str) -> Parsed<Option<String>> {
    existing_directory(&Surroundings::of_this_process(), text).map(|_| None)
}

fn path(text: &str) -> Parsed<Option<String>> {
    path_with_parent(&Surroundings::of_this_process(), text).map(|_| None)
}

fn colour(text: &str) -> Parsed<Option<String>> {
    Colour::parse(text).map(|_| None)
}

fn url(text: &str) -> Parsed<Option<String>> {
    let known =
        text.starts_with("unix://") || text.split_once("://").is_some_and(|(_, host)| !host.is_empty());
    if known { Ok(None) } else { Err(format!("value {} is not a URL", crate::config::repr(text))) }
}

/// A name that systemd takes for a unit.
fn unit_name(text: &str) -> Parsed<Option<String>> {
    let is_possible = |c: char| c.is_ascii_alphanumeric() || "_.-:".contains(c);
    let name = text.strip_suffix(".service").unwrap_or(text);
    if !name.is_empty() && name.len() < 200 && name.chars().all(is_possible) && !name.starts_with(['.', '-'])
    {
        return Ok(None);
    }
    Err("the name of a unit consists of letters, digits and any of _.-:".to_string())
}

const fn flag(short: &'static [char], long: Option<&'static str>, help: &'static str) -> Opt {
    Opt { short, long, value: None, check: anything, help, bare: None, ours: false }
}

/// An option that Supervisor does not have.
const fn ours(option: Opt) -> Opt {
    Opt { ours: true, ..option }
}

const fn value(
    short: &'static [char],
    long: &'static str,
    value: &'static str,
    check: fn(&str) -> Parsed<Option<String>>,
    help: &'static str,
) -> Opt {
    Opt { short, long: Some(long), value: Some(value), check, help, bare: None, ours: false }
}

const CONFIGURATION: Opt =
    value(&['c'], "configuration", "FILENAME", anything, "configuration file path (searches if not given)");
const HELP: Opt = flag(&['h', '?'], Some("help"), "print this usage message and exit");

const BACKGROUND: Opt = ours(flag(
    &[],
    Some("daemon"),
    "run in the background even if the config file says nodaemon=true (also: -d without a DIRECTORY)",
));

const ENV_FILE: Opt = ours(value(
    &[],
    "env_file",
    "FILENAME",
    anything,
    "set the variables in FILENAME, one NAME=value in a line, before the configuration is read",
));

/// In the order of the help.
pub(super) static DAEMON: &[Opt] = &[
    CONFIGURATION,
    flag(&['n'], Some("nodaemon"), "run in the foreground (same as 'nodaemon=true' in config file)"),
    flag(&['s'], Some("silent"), "no logs to stdout (maps to 'silent=true' in config file)"),
    HELP,
    flag(&['v'], Some("version"), "print the version of Supervisor that this replaces and exit"),
    value(&['u'], "user", "USER", anything, "run supervisord as this user (or numeric uid)"),
    value(&['m'], "umask", "UMASK", umask, "use this umask for the daemon (default is 022)"),
    Opt {
        bare: Some(&BACKGROUND),
        ..value(&['d'], "directory", "DIRECTORY", directory, "directory to chdir to when daemonized")
    },
    value(&['l'], "logfile", "FILENAME", path, "use FILENAME as logfile path"),
    value(&['y'], "logfile_maxbytes", "BYTES", bytes, "use BYTES to limit the max size of logfile"),
    value(&['z'], "logfile_backups", "NUM", count, "number of backups to keep when max bytes reached"),
    value(&['e'], "loglevel", "LEVEL", level, "use LEVEL as log level (debug,info,warn,error,critical)"),
    value(&['j'], "pidfile", "FILENAME", path, "write a pid file for the daemon process to FILENAME"),
    value(&['i'], "identifier", "STR", anything, "identifier used for this instance of supervisord"),
    value(&['q'], "childlogdir", "DIRECTORY", directory, "the log directory for child process logs"),
    flag(
        &['k'],
        Some("nocleanup"),
        "prevent the process from performing cleanup (removal of old automatic logs)",
    ),
    value(&['a'], "minfds", "NUM", count, "the minimum number of file descriptors for start success"),
    flag(&['t'], Some("strip_ansi"), "strip ansi escape codes from process output"),
    value(&[], "minprocs", "NUM", count, "the minimum number of processes available for start success"),
    value(&[], "profile_options", "LIST", anything, "accepted for compatibility; has no effect"),
    BACKGROUND,
    ENV_FILE,
    ours(value(
        &[],
        "dlog_file",
        "FILENAME",
        no_dlog,
        "accepted for compatibility; has no effect, because a daemon in the background prints nothing",
    )),
    ours(flag(
        &[],
        Some("allow_unsafe_config"),
        "start as root even if everybody can write to the configuration or to a directory above it",
    )),
];

pub(super) static CTL: &[Opt] = &[
    CONFIGURATION,
    HELP,
    flag(&['i'], Some("interactive"), "start an interactive shell after executing commands"),
    value(&['s'], "serverurl", "URL", url, "URL on which supervisord server is listening"),
    value(&['u'], "username", "USERNAME", anything, "username to use for authentication with server"),
    value(&['p', 'P'], "password", "PASSWORD", anything, "password to use for authentication with server"),
    value(&['r'], "history_file", "FILENAME", anything, "keep a history of the shell's lines in FILENAME"),
    ours(value(
        &[],
        "color",
        "WHEN",
        colour,
        "always, never, or auto: in the shell and in commands that Supervisor lacks",
    )),
    ours(flag(&[], Some("raw"), "pass control characters from programs and daemons on to the terminal")),
];

/// Those of `supervisord ctl`, which may also stand behind the action, as with the relatives of Supervisor. The letters of
/// `supervisorctl` are the original's, all of them.
pub(super) static BEHIND_ACTION: &[Opt] = &[
    CONFIGURATION,
    value(&['s'], "serverurl", "URL", url, ""),
    value(&['u'], "username", "USERNAME", anything, ""),
    value(&['p', 'P'], "password", "PASSWORD", anything, ""),
    VERBOSE,
];

/// Every option of `supervisord ctl`.
pub(super) static CTL_OF_DAEMON: LazyLock<Vec<Opt>> =
    LazyLock::new(|| CTL.iter().chain([&VERBOSE]).copied().collect());

const VERBOSE: Opt =
    ours(flag(&['v'], Some("verbose"), "say on stderr which configuration and which server are used"));

pub(super) static CHECK: &[Opt] = &[
    CONFIGURATION,
    HELP,
    flag(&[], Some("json"), "print JSON, one object with all problems"),
    flag(&[], Some("strict"), "exit with status 1 if there are warnings"),
    flag(&[], Some("dump"), "print the effective configuration, with the origin of every value"),
    flag(&[], Some("show_secrets"), "with --dump: print passwords and the like instead of ********"),
];

pub(super) static SERVICE: &[Opt] = &[
    CONFIGURATION,
    HELP,
    Opt { help: "give the service the variables in FILENAME, one NAME=value in a line", ..ENV_FILE },
    value(&[], "name", "NAME", unit_name, "the unit is NAME.service (default is supervisord)"),
    value(
        &[],
        "unit_dir",
        "DIRECTORY",
        anything,
        "write the unit to DIRECTORY (default is /etc/systemd/system), for an image: systemd need not run here",
    ),
];

pub(super) static INIT: &[Opt] =
    &[value(&['o'], "output", "FILENAME", anything, "write to FILENAME instead of stdout"), HELP];

const OUTPUT: Opt = value(&['o'], "output", "PATH", anything, "");

pub(super) static EXPORT: &[Opt] = &[
    CONFIGURATION,
    HELP,
    Opt {
        help: "write into the directory PATH, or to PATH if there is only one file; never over another file",
        ..OUTPUT
    },
    value(&[], "image", "NAME", anything, "the image of containers"),
];

pub(super) static IMPORT: &[Opt] =
    &[Opt { help: "write to PATH instead of stdout; never over another file", ..OUTPUT }, HELP];

pub(super) static SCHEMA: &[Opt] =
    &[HELP, flag(&[], Some("check"), "print the schema of what \"check --json\" prints")];
