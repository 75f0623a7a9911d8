//! What programs are given, and as whom: files with secrets that others can read, a HOME that is somebody else's.

use crate::check::problem::Severity;
use crate::config::{dotenv, repr};
use crate::model::config::ProcessConfig;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What is to be said of one process: how bad it is, the key, and the text. `daemon` is the user that the daemon runs as.
pub(super) fn findings(process: &ProcessConfig, daemon: u32) -> Vec<(Severity, String, String)> {
    let mut found = Vec::new();
    for file in &process.environment_sources.environment_file {
        let key = "environment_file".to_string();
        if let Err(text) = variables(&file.path, file.may_be_missing) {
            found.push((Severity::Warning, key.clone(), text));
        }
        let text = who_reads(&file.path);
        found.extend(text.map(|text| (Severity::Hint, key, text)));
    }
    for credential in &process.credentials {
        let (key, path) = (format!("credential.{}", credential.name), &credential.path);
        match path.metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound && !credential.may_be_missing => {
                let text = format!("there is no file {}, without which it does not start", shown(path));
                found.push((Severity::Warning, key, text));
            }
            Ok(metadata) if !metadata.is_file() => {
                found.push((Severity::Warning, key, format!("{} is not a regular file", shown(path))));
            }
            Ok(metadata) => {
                let is_for_all = metadata.mode() & 0o004 != 0;
                let severity = if is_for_all { Severity::Warning } else { Severity::Hint };
                found.extend(who_reads(path).map(|text| (severity, key, text)));
            }
            // Who checks may not look there.
            Err(_) => {}
        }
    }
    if let Some(written) = with_foreign_home(process, daemon) {
        let text = format!(
            "it runs as {} with the HOME that the daemon was started with: user_environment=true sets HOME, USER, LOGNAME \
             and SHELL",
            repr(written)
        );
        found.push((Severity::Hint, "user".to_string(), text));
    }
    found
}

/// Whether the program could start with a file of variables as it is now.
fn variables(path: &Path, may_be_missing: bool) -> Result<(), String> {
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound && !may_be_missing => {
            return Err(format!("there is no file {}, without which it does not start", shown(path)));
        }
        // Who checks may not look there.
        Err(_) => return Ok(()),
    };
    if !metadata.is_file() {
        return Err(format!("{} is not a regular file", shown(path)));
    }
    if metadata.len() > dotenv::LONGEST_FILE {
        return Err(format!("{} is larger than {} MiB", shown(path), dotenv::LONGEST_FILE >> 20));
    }
    let Ok(text) = std::fs::read(path) else { return Ok(()) };
    dotenv::parse(&text).map(drop).map_err(|error| format!("{}: {error}", shown(path)))
}

fn shown(path: &Path) -> String {
    repr(&path.to_string_lossy())
}

/// Who else can read a file, and how to change that.
fn who_reads(path: &Path) -> Option<String> {
    let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let mode = metadata.mode() & 0o777;
    let name = shown(path);
    if mode & 0o004 != 0 {
        return Some(format!("everybody can read {name} (mode {mode:04o}): chmod o-r if it holds a secret"));
    }
    // Whoever is in root's group was put there by root.
    let is_shared = mode & 0o040 != 0 && metadata.gid() != 0;
    is_shared.then(|| {
        let gid = metadata.gid();
        format!(
            "the members of group {gid} can read {name} (mode {mode:04o}): the daemon reads it for the program, so chmod \
             g-r does if nobody else needs it"
        )
    })
}

/// As whom a process runs, if it is somebody else than the daemon and nothing gives it a HOME of its own.
fn with_foreign_home(process: &ProcessConfig, daemon: u32) -> Option<&str> {
    let user = process.user.as_ref().filter(|user| user.uid != daemon)?;
    let sources = &process.environment_sources;
    let may_have_its_own = sources.user_environment
        || !sources.environment_file.is_empty()
        || process.environment.contains_key("HOME")
        || !sources.environment_inherit.lets_through("HOME");
    (!may_have_its_own).then_some(&user.written)
}
