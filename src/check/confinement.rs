//! What confines programs, and what of it cannot work: here, or at all.

use crate::config::{command, repr, seccomp};
use crate::model::config::{Config, ProcessConfig};
use crate::model::confinement::{Seccomp, is_hidden};
use crate::model::probe::Probe;
use crate::sys::{capabilities, landlock};
use std::path::{Path, PathBuf};

/// What is to be said of one process: the key and the text. `changes_user` is whether it runs as another user than the
/// daemon.
pub(super) fn findings(
    process: &ProcessConfig,
    config: &Config,
    changes_user: bool,
) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    if process.confinement.is_default() {
        return found;
    }
    capabilities_found(process, &mut found);
    if let Some(wish) = &process.confinement.seccomp
        && let Seccomp::File(path) = &wish.value
        && let Err(why) = calls(path)
    {
        found.push(("seccomp", format!("{}: {why}", path.display())));
    }
    files(process, config, &mut found);
    namespaces(process, config, changes_user, &mut found);
    found
}

fn capabilities_found(process: &ProcessConfig, found: &mut Vec<(&'static str, String)>) {
    let wanted = &process.confinement;
    let has_namespace = wanted.has_namespaces() && !capabilities::is_effective(capabilities::CAP_SYS_ADMIN);
    if wanted.capabilities.as_ref().is_some_and(|wish| !wish.is_optional)
        && !has_namespace
        && !capabilities::is_effective(capabilities::CAP_SETPCAP)
    {
        let text = "this user lacks CAP_SETPCAP, so capabilities cannot be taken out of the bounding set: \
                    no_new_privs=true keeps a program without capabilities from gaining any";
        found.push(("capabilities", text.to_string()));
    }
    if let Some(wish) = wanted.ambient_capabilities.as_ref().filter(|wish| !wish.is_optional) {
        for missing in wish.value.iter().filter(|it| !capabilities::is_permitted(it.number.into())) {
            found.push((
                "ambient_capabilities",
                format!("this user does not have CAP_{} itself", missing.name),
            ));
        }
    }
}

/// Whether a file of `seccomp` can be understood.
fn calls(path: &Path) -> Result<(), String> {
    let facts = path.metadata().map_err(|error| error.to_string())?;
    if !facts.is_file() {
        return Err("it is not a regular file".into());
    }
    if facts.len() > seccomp::LONGEST_FILE {
        return Err(format!("it is larger than {} KiB", seccomp::LONGEST_FILE >> 10));
    }
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    seccomp::parse(&text).map(drop)
}

fn files(process: &ProcessConfig, config: &Config, found: &mut Vec<(&'static str, String)>) {
    let wanted = &process.confinement;
    if !wanted.confines_files() {
        return;
    }
    let key = if wanted.read_only_paths.is_empty() { "read_write_paths" } else { "read_only_paths" };
    if let Some(why) = landlock::why_not().filter(|_| !wanted.files_are_optional()) {
        found.push((key, why));
    }
    let lists =
        [("read_only_paths", &wanted.read_only_paths), ("read_write_paths", &wanted.read_write_paths)];
    let mut places: Vec<PathBuf> = Vec::new();
    for (key, list) in lists {
        for item in list {
            match item.path.canonicalize() {
                Ok(place) => places.push(place),
                Err(_) if item.may_be_missing => {}
                Err(error) => found.push((key, format!("{}: {error}", item.path.display()))),
            }
            if is_hidden(process, &item.path) {
                let text =
                    format!("private_tmp hides {}, so this lets it reach nothing", item.path.display());
                found.push((key, text));
            }
        }
    }
    if let Some(file) = program_file(process, config).and_then(|file| file.canonicalize().ok())
        && !places.iter().any(|place| file.starts_with(place))
    {
        let text = format!("no path leads to {}, so it cannot be executed", file.display());
        found.push((key, text));
    }
}

fn namespaces(
    process: &ProcessConfig,
    config: &Config,
    changes_user: bool,
    found: &mut Vec<(&'static str, String)>,
) {
    let wanted = &process.confinement;
    let flags = [("private_tmp", &wanted.private_tmp), ("private_network", &wanted.private_network)];
    let lacks = !capabilities::is_effective(capabilities::CAP_SYS_ADMIN);
    for (key, _) in flags.iter().filter(|(_, wish)| wish.value && !wish.is_optional) {
        if lacks && changes_user {
            let text = "this user lacks CAP_SYS_ADMIN, and a user namespace knows only the daemon's own user";
            found.push((key, text.to_string()));
        }
    }
    if wanted.private_network.value {
        let ready = process.readiness.as_ref().map(|readiness| ("ready", &readiness.ready));
        let health = process.health_check.as_ref().map(|check| ("health", &check.health));
        for (key, probe) in ready.into_iter().chain(health) {
            if matches!(probe, Probe::Tcp { .. } | Probe::Http(_)) {
                let text = "nobody outside reaches a program with private_network: use exec:, which runs where the program \
                            does, or what it reports itself";
                found.push((key, text.to_string()));
            }
        }
    }
    let file = program_file(process, config);
    let directory = process.directory.as_ref().map(|path| ("directory", path.as_path()));
    for (key, path) in file.as_deref().map(|path| ("command", path)).into_iter().chain(directory) {
        if is_hidden(process, path) {
            found.push((key, format!("private_tmp hides {} from it", repr(&path.to_string_lossy()))));
        }
    }
}

/// What it executes.
fn program_file(process: &ProcessConfig, config: &Config) -> Option<PathBuf> {
    let own_path = process.environment.get("PATH").cloned();
    let path = own_path.or_else(|| std::env::var("PATH").ok());
    let directory = process.directory.as_deref().or(config.supervisord.directory.as_deref());
    let found = command::resolve(&process.command, directory, path.as_deref()).ok()?;
    let file = directory.map_or_else(|| found.file.clone(), |directory| directory.join(&found.file));
    std::path::absolute(file).ok()
}
