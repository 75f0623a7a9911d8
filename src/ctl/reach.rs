//! Reports that the daemon cannot be reached: the line that scripts know, and for people which file was read, what was
//! tried and what to do.

use crate::ctl::daemon::Daemon;
use crate::ctl::error::CtlError;
use crate::ctl::exit::Exit;
use crate::ctl::session::Settings;
use crate::model::fault::FaultCode;
use crate::rpc::client::CallError;
use crate::rpc::client::endpoint::Endpoint;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Explains why the first call failed. The lines and statuses are Supervisor's, the hints are ours.
pub(crate) fn explain(problem: CallError, daemon: &Daemon, settings: &Settings) -> CtlError {
    let url = &daemon.url;
    let (line, exit) = match (problem.connect_kind(), problem.fault()) {
        (Some(ErrorKind::ConnectionRefused), _) => (format!("{url} refused connection"), Exit::REFUSED),
        (Some(ErrorKind::NotFound), _) => (format!("{url} no such file"), Exit::NOT_RUNNING),
        (_, Some(code)) if code == FaultCode::UnknownMethod.code() => return no_namespace(),
        _ => return CtlError::Call(problem),
    };
    CtlError::Told { line, hints: hints(&problem, daemon, settings), exit }
}

/// The same for a command that makes no such call: the text after `error: `, and hints.
pub(crate) fn explain_any(problem: CallError, daemon: &Daemon, settings: &Settings) -> CtlError {
    let hints = hints(&problem, daemon, settings);
    let line = match &problem {
        CallError::Connect(_) => format!("{}: {}", daemon.url, CtlError::Call(problem)),
        _ => CtlError::Call(problem).to_string(),
    };
    CtlError::Told { line, hints, exit: Exit::GENERIC }
}

fn no_namespace() -> CtlError {
    CtlError::told(
        "Sorry, supervisord responded but did not recognize the supervisor namespace commands that supervisorctl \
         uses to control it.  Please check that the [rpcinterface:supervisor] section is enabled in the \
         configuration file (see sample.conf).",
        Exit::UNIMPLEMENTED,
    )
}

pub(crate) fn wrong_version(version: &str) -> CtlError {
    CtlError::told(
        format!(
            "Sorry, this version of supervisorctl expects to talk to a server with API version 3.0, but the remote \
             version is {version}."
        ),
        Exit::WRONG_VERSION,
    )
}

/// What to do about a connection that was not made; nothing for other problems.
fn hints(problem: &CallError, daemon: &Daemon, settings: &Settings) -> Vec<String> {
    let advice = match (problem, daemon.client.endpoint()) {
        (problem, _) if is_foreign(problem) => {
            format!("{} does not answer like a supervisord: check serverurl", daemon.url)
        }
        (CallError::Connect(error), Endpoint::Unix(path)) => unix_advice(error.kind(), path),
        (CallError::Connect(error), Endpoint::Inet { host, port })
            if error.kind() == ErrorKind::ConnectionRefused =>
        {
            format!(
                "nothing listens on {host}, port {port}: is supervisord running, with an [inet_http_server]?"
            )
        }
        (CallError::Connect(_) | CallError::Resolve { .. }, _) => {
            "check the host and port of serverurl, and the network".to_string()
        }
        _ => return Vec::new(),
    };
    vec![format!("  {advice}"), format!("  {}", origin(settings))]
}

/// Whether a supervisord never fails in this way.
fn is_foreign(problem: &CallError) -> bool {
    match problem {
        // Those are ours, too: too much to do, too large a request.
        CallError::Http { status, .. } => !matches!(status, 408 | 413 | 429 | 431 | 500 | 503),
        CallError::Unexpected(_) => true,
        CallError::Broken(problem) => problem.kind() == ErrorKind::InvalidData,
        CallError::Connect(_)
        | CallError::Resolve { .. }
        | CallError::Unauthorized
        | CallError::Fault { .. } => false,
    }
}

/// Where the address came from.
pub(crate) fn origin(settings: &Settings) -> String {
    match &settings.config {
        Some(path) => {
            format!("configuration read: {} (name another with -c, or the server with -s)", path.display())
        }
        None => "no configuration file was found: name one with -c, or the server with -s".to_string(),
    }
}

fn unix_advice(kind: ErrorKind, path: &Path) -> String {
    match kind {
        ErrorKind::NotFound => match first_missing(path) {
            Some(folder) => format!("the directory {} does not exist either", folder.display()),
            None => "supervisord does not run, or its [unix_http_server] uses another file".to_string(),
        },
        ErrorKind::ConnectionRefused => {
            "nothing listens on this file: supervisord has died, or the file is not a socket".to_string()
        }
        ErrorKind::PermissionDenied => match describe_owner(path) {
            Some(owner) => {
                format!("{owner}; use that account (sudo), or set chmod and chown in [unix_http_server]")
            }
            None => "this user may not enter a directory above the socket".to_string(),
        },
        _ => "check the path of serverurl".to_string(),
    }
}

/// The directory of the socket, if it is missing.
fn first_missing(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
}

/// The owner and mode of the socket, in words.
fn describe_owner(path: &Path) -> Option<String> {
    let metadata = path.metadata().ok()?;
    let user = nix::unistd::User::from_uid(metadata.uid().into()).ok().flatten();
    let group = nix::unistd::Group::from_gid(metadata.gid().into()).ok().flatten();
    let user = user.map_or(metadata.uid().to_string(), |user| user.name);
    let group = group.map_or(metadata.gid().to_string(), |group| group.name);
    Some(format!("the socket belongs to {user}:{group}, mode {:04o}", metadata.mode() & 0o7777))
}
