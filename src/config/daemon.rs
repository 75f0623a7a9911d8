//! `[supervisord]`.

use crate::config::args::DaemonArgs;
use crate::config::environment;
use crate::config::schema;
use crate::config::section::{Context, Extra, Section};
use crate::config::surroundings::Surroundings;
use crate::config::text::strip;
use crate::config::values::{self, Parsed, Read, Reading};
use crate::model::config::{ActivityLog, DaemonConfig, ExitWhen, LogFormat, User};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The header.
pub(super) const SECTION: &str = "supervisord";

/// Reads the section, in Supervisor's order, and lays the command line over it. A value of the file that the
/// command line overrides must be right nevertheless.
pub(super) fn read(context: &Context<'_>, args: &DaemonArgs) -> DaemonConfig {
    let section = context.section(SECTION);
    let around = context.surroundings;
    let directory_of = |text: &str| existing_directory(around, text);
    let path_in_directory = |text: &str| path_with_parent(around, text);

    let minfds = section.understand_or_default("minfds", values::count);
    let minprocs = section.understand_or_default("minprocs", values::count);
    let directory = section.get("directory", directory_of);
    let umask = section.understand("umask", umask).flatten();
    let logfile = section.get_or_default("logfile", path_in_directory);
    let logfile_maxbytes = section.understand_or_default("logfile_maxbytes", values::bytes);
    let logfile_backups = section.understand_or_default("logfile_backups", values::count);
    let loglevel = section.get_or_default("loglevel", values::level);
    let pidfile = section.get_or_default("pidfile", path_in_directory);
    let identifier = section.text_or_default("identifier").into_owned();
    let nodename = nodename(&section);
    let nodaemon = section.get_or_default("nodaemon", values::boolean);
    let silent = section.get_or_default("silent", values::boolean);
    let childlogdir = section.get("childlogdir", directory_of);
    let nocleanup = section.get_or_default("nocleanup", values::boolean);
    let strip_ansi = section.get_or_default("strip_ansi", values::boolean);
    let environment = environment(&section);

    let logfile = args.logfile.clone().unwrap_or(logfile);
    let pidfile = args.pidfile.clone().unwrap_or(pidfile);
    let pidfile = around.absolute_with_home(&pidfile);
    let exitkillall = section.get_or_default("exitkillall", values::boolean);
    let childlogdir = args.childlogdir.clone().or(childlogdir).map(|dir| around.absolute_with_home(&dir));
    let directory = args.directory.clone().or(directory).map(|dir| around.absolute_with_home(&dir));
    DaemonConfig {
        logfile: activity_log(around, &logfile),
        logfile_maxbytes: args.logfile_maxbytes.unwrap_or(logfile_maxbytes),
        logfile_backups: args.logfile_backups.unwrap_or(logfile_backups),
        loglevel: args.loglevel.unwrap_or(loglevel),
        umask: args.umask.or(umask).unwrap_or(schema::DAEMON_UMASK),
        umask_is_given: args.umask.or(umask).is_some(),
        nodaemon: args.nodaemon || (nodaemon && !args.daemon),
        silent: args.silent || silent,
        minfds: args.minfds.unwrap_or(minfds).into(),
        minprocs: args.minprocs.unwrap_or(minprocs).into(),
        nocleanup: args.nocleanup || nocleanup,
        childlogdir: childlogdir.unwrap_or_else(|| around.temporary_directory()),
        // Resolved last of all, as in Supervisor; see `user`.
        user: None,
        directory,
        strip_ansi: args.strip_ansi || strip_ansi,
        environment,
        identifier: args.identifier.clone().unwrap_or(identifier),
        nodename,
        log_format: section.get_or_default("log_format", log_format),
        exit_when: section.get_or_default("exit_when", exit_when),
        processinfomapfile: map_file(&section, &pidfile, exitkillall),
        pidfile,
        startkillall: section.get_or_default("startkillall", values::boolean),
        exitkillall,
        manager_watchdog: section.understand_or_default("manager_watchdog_secs", values::seconds),
        state_file: state_file(&section),
    }
}

/// The daemon's umask. A negative one would keep the daemon from its own files, so it is none.
fn umask(text: &str) -> Read<Option<u32>> {
    let mask = values::umask(text)?;
    if strip(text).starts_with('-') && mask.doubt.is_some() {
        return Ok(Reading::doubtful(None, values::understood(text, "no umask at all")));
    }
    Ok(Reading { value: Some(mask.value), doubt: mask.doubt })
}

/// Resolves the user to run as.
pub(super) fn user(context: &Context<'_>, args: &DaemonArgs, config: &mut DaemonConfig) {
    let section = context.section(SECTION);
    let Some(name) = args.user.clone().or_else(|| section.text("user").map(|text| text.into_owned())) else {
        return;
    };
    match context.users.user(&name) {
        Ok(user) => {
            let place = section.place("user").filter(|_| args.user.is_none());
            config.user = Some(User { place, ..user });
        }
        // The command line has no place in a file.
        Err(text) if args.user.is_some() => context.error(crate::config::ConfigError::plain(text)),
        Err(text) => section.error(Some("user"), text),
    }
}

fn environment(section: &Section<'_>) -> BTreeMap<String, String> {
    let host = Some(section.context.surroundings.host_node_name.as_str());
    let section = section.with(Extra { host_node_name: host, ..Extra::default() });
    section.understand_or_default("environment", environment::parse)
}

/// The name of this machine in addresses: from `[supervisord]`, or from the first `[inet_http_server]`, where other
/// supervisors have the key. An empty name is none.
fn nodename(section: &Section<'_>) -> Option<String> {
    let context = section.context;
    let host = Some(context.surroundings.host_node_name.as_str());
    let servers = context.document.sections().filter(|name| name.starts_with("inet_http_server"));
    let servers: Vec<Section<'_>> = servers.map(|name| context.section(name)).collect();
    let written = [section].into_iter().chain(&servers).map(|section| {
        section.with(Extra { host_node_name: host, ..Extra::default() }).get("nodename", node_name).flatten()
    });
    // All of them are looked at, so that what is wrong in any is said.
    written.collect::<Vec<_>>().into_iter().flatten().next()
}

fn node_name(text: &str) -> Parsed<Option<String>> {
    let name = strip(text);
    if name.contains('/') || name.chars().any(char::is_control) {
        return Err(values::not_one_of(text, "nodename", "a name without a slash"));
    }
    Ok((!name.is_empty()).then(|| name.to_string()))
}

/// A directory that must be there. The text comes back as it is.
pub(crate) fn existing_directory(around: &Surroundings, text: &str) -> Parsed<String> {
    if around.is_dir(&around.expand_user(text)) {
        Ok(text.to_string())
    } else {
        Err(format!("{text} is not an existing directory"))
    }
}

/// A path whose directory must be there; one without any is always fine. The text comes back as it is.
pub(crate) fn path_with_parent(around: &Surroundings, text: &str) -> Parsed<String> {
    let path = around.expand_user(text);
    match path.rsplit_once('/') {
        None => Ok(text.to_string()),
        Some((parent, _)) if around.is_dir(if parent.is_empty() { "/" } else { parent }) => {
            Ok(text.to_string())
        }
        Some(_) => Err(format!("The directory named as part of the path {text} does not exist")),
    }
}

fn activity_log(around: &Surroundings, text: &str) -> ActivityLog {
    match text {
        "syslog" => ActivityLog::Syslog,
        path => ActivityLog::File(around.absolute_with_home(path)),
    }
}

fn log_format(text: &str) -> Parsed<LogFormat> {
    match text.to_lowercase().as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(values::not_one_of(text, "log_format", "text or json")),
    }
}

fn exit_when(text: &str) -> Parsed<ExitWhen> {
    Ok(match text {
        "never" => ExitWhen::Never,
        "any_fatal" => ExitWhen::AnyFatal,
        "any_exit" => ExitWhen::AnyExit,
        "all_exited" => ExitWhen::AllExited,
        "" => {
            return Err(values::not_one_of(
                text,
                "exit_when",
                "never, any_fatal, any_exit, all_exited or a name",
            ));
        }
        name => ExitWhen::Named(name.to_string()),
    })
}

/// The table of live programs. An empty value means none. Without the key it is beside the pidfile if programs outlive the
/// daemon.
fn map_file(section: &Section<'_>, pidfile: &Path, exitkillall: bool) -> Option<PathBuf> {
    match section.text("processinfomapfile") {
        Some(path) if path.is_empty() => None,
        Some(path) => Some(section.context.surroundings.absolute_with_home(&path)),
        None if exitkillall => None,
        None => map_beside(pidfile),
    }
}

/// The file that remembers. An empty value means none.
fn state_file(section: &Section<'_>) -> Option<PathBuf> {
    let path = section.get("state_file", |text| path_with_parent(section.context.surroundings, text))?;
    (!path.is_empty()).then(|| section.context.surroundings.absolute_with_home(&path))
}

/// The default of `processinfomapfile`. `pidfile` is that of the command line.
pub(super) fn default_map_file(context: &Context<'_>, pidfile: Option<&str>) -> Option<PathBuf> {
    let section = context.section(SECTION);
    let exitkillall = section.get_or_default("exitkillall", values::boolean);
    let written = section.text_or_default("pidfile");
    let pidfile = pidfile.unwrap_or(&written);
    (!exitkillall).then(|| map_beside(&context.surroundings.absolute_with_home(pidfile))).flatten()
}

/// The table of live programs beside a pidfile; `None` for a device.
pub(crate) fn map_beside(pidfile: &Path) -> Option<PathBuf> {
    let mut name = pidfile.file_name()?.to_os_string();
    name.push(".map");
    (!pidfile.starts_with("/dev") && !pidfile.starts_with("/proc")).then(|| pidfile.with_file_name(name))
}
