//! What a program gets at its start: its file and words, environment, user, directory and limits.

use crate::config::command::{self, CommandError};
use crate::config::dotenv;
use crate::files::open;
use crate::manager::daemon::in_words;
use crate::manager::spawn::credentials::DIRECTORY_VARIABLE;
use crate::manager::spawn::filters::Filters;
use crate::model::config::{Config, EnvironmentFile, Inherit, ProcessConfig, User};
use crate::model::confinement::is_hidden;
use crate::model::namespec;
use crate::model::probe::NOTIFY_VARIABLE;
use crate::model::raw;
use crate::sys::cgroup::home::Home;
use crate::sys::limits::Limit;
use crate::sys::settings::Setting;
use crate::sys::spawn::{Program, UserChange};
use crate::sys::user;
use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is the same for every program of this daemon.
#[derive(Clone, Debug)]
pub struct SpawnContext {
    /// The daemon's own environment.
    pub environment: Vec<(OsString, OsString)>,
    /// `SUPERVISOR_SERVER_URL`, unless the program has its own.
    pub server_url: Option<String>,
    /// The limit on descriptors that programs are to see; the daemon's own is higher.
    pub descriptors: Limit,
    /// What the programs' limit on the size of files is, if the daemon has lifted its own.
    pub file_size: Option<Limit>,
    /// What programs get as their `oom_score_adj`, if the keeper has one of its own.
    pub oom_score_adj: Option<CString>,
    /// Where programs notify us (sd_notify(3)), once there is a socket for that.
    pub notify_socket: Option<PathBuf>,
    /// The keeper, if no program is to outlive it.
    pub dies_with: Option<i32>,
    /// Where control groups are made, or why they cannot be; `None` as long as no program wanted one.
    pub cgroups: Option<Result<Arc<Home>, String>>,
    /// The filters of system calls that were built.
    pub filters: Arc<Filters>,
}

impl SpawnContext {
    /// Takes over what another configuration says.
    pub fn adopt(&mut self, config: &Config, keeper_pid: i32) {
        self.server_url = config.child_server_url();
        self.dies_with = config.supervisord.exitkillall.then_some(keeper_pid);
    }

    /// Prepares one start of a program. `credentials` is the directory that it is to find its credentials in. `beside` is a
    /// process whose namespaces it joins instead of getting ones of its own.
    ///
    /// # Errors
    /// Its command cannot be executed.
    pub fn program(
        &self,
        config: &ProcessConfig,
        group: &str,
        credentials: Option<&Path>,
        beside: Option<i32>,
    ) -> Result<Program, CommandError> {
        let command = self.resolve(config)?;
        let c_string = |text: &str| {
            CString::new(raw::bytes(text)).map_err(|_| CommandError::CannotParse {
                command: config.command.clone(),
                why: "embedded null byte",
            })
        };
        Ok(Program {
            file: path_c_string(&command.file),
            written: command.file.to_string_lossy().into_owned(),
            arguments: command.words.iter().map(|word| c_string(word)).collect::<Result<_, _>>()?,
            environment: self.environment(config, group, credentials).map_err(CommandError::Environment)?,
            directory: directory(config, beside).as_deref().map(path_c_string),
            umask: config.umask,
            user: user_change(config),
            descriptors: Some(self.descriptors),
            file_size: self.file_size,
            oom_score_adj: self.oom_score_adj.clone(),
            settings: Setting::all(&config.resources),
            confine: None,
            dies_with: self.dies_with,
            cgroup: None,
        })
    }

    /// Makes the control group of one start, if the program is to have one. What cannot be applied is logged, unless it was
    /// when the program was added.
    ///
    /// # Errors
    /// It needs what cannot be had.
    pub fn cgroup(&self, config: &ProcessConfig, group: &str) -> Result<Option<Arc<File>>, String> {
        if !config.wants_cgroup() {
            return Ok(None);
        }
        let limits = &config.resources.cgroup;
        let home = match &self.cgroups {
            Some(Ok(home)) => home,
            Some(Err(why)) if limits.cgroup_required => {
                return Err(format!("control groups are not available: {why}"));
            }
            Some(Err(_)) | None => return Ok(None),
        };
        match home.prepare(group, &config.name, limits) {
            Ok(ready) => {
                let known = home.problems(limits);
                for problem in ready.problems.iter().filter(|problem| !known.contains(problem)) {
                    ::log::warn!("'{}' starts without {problem}", namespec::display(group, &config.name));
                }
                Ok(Some(Arc::new(ready.procs)))
            }
            Err(why) if limits.cgroup_required => Err(why),
            Err(why) => {
                let name = namespec::display(group, &config.name);
                ::log::warn!("'{name}' starts without a control group of its own: {why}");
                Ok(None)
            }
        }
    }

    /// Splits a program's command and finds its file.
    ///
    /// # Errors
    /// The command cannot be understood, or there is no such executable file; the text is that of `spawnerr`.
    pub fn resolve(&self, config: &ProcessConfig) -> Result<command::Command, CommandError> {
        let own = config.environment.get("PATH").map(String::as_str);
        let path = own.or_else(|| {
            let inherited = self.environment.iter().find(|(key, _)| key == "PATH");
            inherited.and_then(|(_, value)| value.to_str())
        });
        command::resolve(&config.command, config.directory.as_deref(), path)
    }

    /// As in Supervisor, process.py, _spawn_as_child(): our own environment, then the `SUPERVISOR_*` variables, then what
    /// the file says. The sources that it does not know lie between those.
    fn environment(
        &self,
        config: &ProcessConfig,
        group: &str,
        credentials: Option<&Path>,
    ) -> Result<Vec<CString>, String> {
        let sources = &config.environment_sources;
        let inherited = self.environment.iter().filter(|(name, _)| {
            // One that is no text is let through with everything, and by no name.
            sources.environment_inherit == Inherit::All
                || name.to_str().is_some_and(|name| sources.environment_inherit.lets_through(name))
        });
        let mut merged: BTreeMap<OsString, OsString> = inherited.cloned().collect();
        if sources.user_environment {
            merged.extend(user::variables(config.user.as_ref().map(|user| user.uid))?);
        }
        for name in &sources.below_files {
            if let Some(value) = config.environment.get(name) {
                merged.insert(raw::os_string(name), raw::os_string(value));
            }
        }
        for file in &sources.environment_file {
            merged.extend(variables_of(file)?);
        }
        let mut set = |key: &str, value: &str| merged.insert(raw::os_string(key), raw::os_string(value));
        set("SUPERVISOR_ENABLED", "1");
        if let Some(url) = config.serverurl.as_ref().or(self.server_url.as_ref()) {
            set("SUPERVISOR_SERVER_URL", url);
        }
        set("SUPERVISOR_PROCESS_NAME", &config.name);
        set("SUPERVISOR_GROUP_NAME", group);
        let notify_socket = self.notify_socket.as_ref().filter(|_| config.wants_notify_socket());
        if let Some(path) = notify_socket.and_then(|path| path.to_str()) {
            set(NOTIFY_VARIABLE, path);
            if let Some(watchdog) = config.watchdog {
                set("WATCHDOG_USEC", &watchdog.as_micros().to_string());
            }
        }
        for (key, value) in config.environment.iter().filter(|(key, _)| !sources.below_files.contains(*key)) {
            set(key, value);
        }
        if let Some(directory) = credentials {
            merged.insert(DIRECTORY_VARIABLE.into(), directory.into());
        }
        if notify_socket.is_some() {
            // The daemon's own, if somebody watches it.
            let ours = |key: &OsString| {
                key == "WATCHDOG_PID" || (key == "WATCHDOG_USEC" && config.watchdog.is_none())
            };
            merged.retain(|key, _| !ours(key));
        }
        if !config.sockets.is_empty() {
            // The daemon's own, if it was started by somebody who hands over sockets.
            merged.retain(|key, _| {
                !["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"].iter().any(|ours| key == ours)
            });
        }
        let words = merged.into_iter().filter_map(|(mut key, value)| {
            key.push("=");
            key.push(value);
            CString::new(key.into_vec()).ok()
        });
        Ok(words.collect())
    }
}

/// What a file says. Nothing of it is told to anybody.
fn variables_of(file: &EnvironmentFile) -> Result<Vec<(OsString, OsString)>, String> {
    let shown = file.path.display();
    let failed = |why: &dyn std::fmt::Display| format!("environment_file {shown}: {why}");
    let opened = match open::to_read(&file.path) {
        Err(error) if error.kind() == ErrorKind::NotFound && file.may_be_missing => return Ok(Vec::new()),
        Err(error) => return Err(failed(&in_words(&error))),
        Ok(None) => return Err(failed(&"it is not a regular file")),
        Ok(Some((opened, _))) => opened,
    };
    let mut bytes = Vec::new();
    opened
        .take(dotenv::LONGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(&in_words(&error)))?;
    if bytes.len() as u64 > dotenv::LONGEST_FILE {
        return Err(failed(&format_args!("it is larger than {} MiB", dotenv::LONGEST_FILE >> 20)));
    }
    let variables = dotenv::parse(&bytes).map_err(|error| failed(&error))?;
    Ok(variables
        .into_iter()
        .map(|(name, value)| (OsString::from_vec(name), OsString::from_vec(value)))
        .collect())
}

/// Whether something has to be asked for or made that may take long before a program starts: an environment, credentials,
/// a control group, namespaces, rules about files and system calls.
pub fn asks_around(config: &ProcessConfig) -> bool {
    let sources = &config.environment_sources;
    let has_sources = !sources.environment_file.is_empty() || sources.user_environment;
    has_sources || config.confinement.takes_long() || !config.credentials.is_empty() || config.wants_cgroup()
}

/// Whether a program runs as another user than the daemon, or with groups of its own.
pub fn changes_user(config: &ProcessConfig) -> bool {
    let changes_group = |gid: Option<u32>| gid.is_some_and(|gid| gid != user::current_gid());
    let changes = |user: &User| user.uid != user::current_uid() || changes_group(user.gid);
    config.user.as_ref().is_some_and(changes) || !config.supplementary_groups.is_empty()
}

/// As in Supervisor nothing changes for whoever is that user already.
fn user_change(config: &ProcessConfig) -> UserChange {
    if !changes_user(config) {
        return UserChange::Stay;
    }
    let Some(wanted) = &config.user else {
        return UserChange::Become(user::own_identity(&config.supplementary_groups));
    };
    let uid = wanted.uid;
    if uid != user::current_uid()
        && let Some(why) = user::why_not_another()
    {
        return UserChange::Impossible { uid, why };
    }
    match user::identity(uid, wanted.is_number(), wanted.gid, &config.supplementary_groups) {
        Ok(identity) => UserChange::Become(identity),
        Err(why) => UserChange::Impossible { uid, why },
    }
}

/// Where a program starts. Whoever joins the namespaces of another process would find itself at their root.
fn directory(config: &ProcessConfig, beside: Option<i32>) -> Option<PathBuf> {
    let is_moved = beside.is_some() && config.confinement.private_tmp.value;
    let own = || std::env::current_dir().ok().filter(|path| is_moved && !is_hidden(config, path));
    config.directory.clone().or_else(own)
}

fn path_c_string(path: &Path) -> CString {
    // A path with a zero byte cannot exist; the empty one fails in chdir, where this would have.
    CString::new(raw::path(path).as_os_str().as_bytes()).unwrap_or_default()
}
