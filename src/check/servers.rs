//! Servers that cannot be opened, and a client that will contact another server. Without this, people find out when
//! they type `supervisorctl status`.

use crate::check::problem::{Problem, Severity};
use crate::config::{CtlConfig, Document, repr};
use crate::model::config::{Config, HttpAddress, HttpServerConfig};
use crate::rpc::client::endpoint::Endpoint;
use crate::sys::inet;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{TcpListener, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// The section of the client.
pub(super) const CLIENT: &str = "supervisorctl";

/// The longest path of a socket. The kernel has room for one byte more, a zero.
const LONGEST_PATH: usize = 107;

/// What keeps servers from being opened at the start, and with them the daemon.
pub(super) fn problems(document: &Document, config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut taken: HashMap<String, &str> = HashMap::new();
    for server in &config.http_servers {
        let (key, address, wrong) = match &server.address {
            HttpAddress::Inet { host, port } => ("port", format!("{host}:{port}"), wrong_host(host)),
            HttpAddress::Unix { file, .. } => ("file", file.display().to_string(), wrong_file(file)),
        };
        let twice = taken.insert(address, &server.section);
        let twice = twice.map(|other| format!("the same address as that of [{other}]"));
        let problem = |text| about(document, &server.section, key, Severity::Error, text);
        found.extend(wrong.into_iter().chain(twice).map(problem));
    }
    found
}

fn about(document: &Document, section: &str, key: &str, severity: Severity, text: String) -> Problem {
    let place = document.get(section, key).map(|value| value.place).or_else(|| document.header(section));
    Problem {
        severity,
        text,
        file: place.map(|place| document.file(place).name.clone()),
        line: place.map(|place| place.line),
        section: Some(section.to_string()),
        key: Some(key.to_string()),
    }
}

/// Why a socket cannot be made here.
fn wrong_file(file: &Path) -> Option<String> {
    let shown = file.display();
    let written = file.file_name().unwrap_or_default().to_string_lossy();
    if written.ends_with(['"', '\'']) {
        return Some(format!(
            "{shown} ends with a quotation mark, which is part of the name here: remove the marks"
        ));
    }
    let length = file.as_os_str().len();
    if length > LONGEST_PATH {
        return Some(format!(
            "the path of a socket can have {LONGEST_PATH} bytes, and this one has {length}: {shown}"
        ));
    }
    match file.symlink_metadata() {
        Ok(metadata) if metadata.file_type().is_socket() => return None,
        Ok(_) => return Some(format!("{shown} exists and is not a socket")),
        Err(_) => {}
    }
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty())?;
    match directory.metadata() {
        Ok(metadata) if metadata.is_dir() => None,
        Ok(_) => Some(format!("{} is not a directory", directory.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Some(format!("the directory {} does not exist", directory.display()))
        }
        Err(_) => None,
    }
}

/// Why no port of this host can be listened on.
fn wrong_host(host: &str) -> Option<String> {
    if host.is_empty() {
        return None;
    }
    // The port of a daemon that runs may be taken, by itself; any other says as much about the host.
    let addresses = match (host, 0_u16).to_socket_addrs() {
        Ok(addresses) => addresses.collect::<Vec<_>>(),
        Err(_) => {
            return Some(format!("the name of the host {} cannot be resolved here", repr(host)));
        }
    };
    let first = inet::preferred(&addresses)?;
    match TcpListener::bind(first) {
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
            Some(format!("{host} is not an address of this machine"))
        }
        _ => None,
    }
}

/// Warnings about a client that will find no server, or that the server will refuse.
pub(super) fn of_client(document: &Document, config: &Config, client: &CtlConfig) -> Vec<Problem> {
    let warn = |key: &str, text| vec![about(document, CLIENT, key, Severity::Warning, text)];
    let url = Endpoint::shown(&client.serverurl);
    let looks = match document.get(CLIENT, "serverurl") {
        Some(_) => format!("the client will look for {url}"),
        None => format!("without serverurl the client will look for {url}"),
    };
    let Ok(wanted) = Endpoint::parse(&client.serverurl) else { return Vec::new() };
    if config.http_servers.is_empty() {
        let text = format!(
            "{looks}, and this configuration has no server: add a [unix_http_server] or an [inet_http_server]"
        );
        return warn("serverurl", text);
    }
    let Some(server) = config.http_servers.iter().find(|server| is_at(server, &wanted)) else {
        let there: Vec<String> = config.http_servers.iter().map(url_of).collect();
        let text = format!(
            "{looks}, and no server of this configuration is there; its servers are {}",
            there.join(", ")
        );
        return warn("serverurl", text);
    };
    let Some(wanted) = &server.credentials else { return Vec::new() };
    let section = &server.section;
    match (&client.username, &client.password) {
        (None, _) => warn(
            "username",
            format!("[{section}] requires a username and a password, and the client has none"),
        ),
        (_, None) => warn("password", format!("[{section}] requires a password, and the client has none")),
        (Some(username), _) if *username != wanted.username => warn(
            "username",
            format!("this is not the username of [{section}], so the server will refuse the client"),
        ),
        // A hash tells nothing here.
        (_, Some(password)) if *password != wanted.password && !wanted.password.starts_with('{') => warn(
            "password",
            format!("this is not the password of [{section}], so the server will refuse the client"),
        ),
        _ => Vec::new(),
    }
}

/// Whether a server is reached there.
fn is_at(server: &HttpServerConfig, wanted: &Endpoint) -> bool {
    match (&server.address, wanted) {
        (HttpAddress::Unix { file, .. }, Endpoint::Unix(path)) => file == path || same_file(file, path),
        (HttpAddress::Inet { host, port }, Endpoint::Inet { host: to, port: at }) => {
            let everywhere = host.is_empty() || host == "0.0.0.0" || host == "::";
            port == at && (everywhere || host == to || is_loopback(host) && is_loopback(to))
        }
        _ => false,
    }
}

/// Whether two names of a socket mean the same place, by links in their directories.
fn same_file(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| Some((path.parent()?.canonicalize().ok()?, path.file_name()?.to_os_string()));
    place(one).is_some_and(|found| Some(found) == place(other))
}

fn is_loopback(host: &str) -> bool {
    ["localhost", "127.0.0.1", "::1"].contains(&host)
}

fn url_of(server: &HttpServerConfig) -> String {
    match &server.address {
        HttpAddress::Unix { file, .. } => format!("unix://{}", file.display()),
        HttpAddress::Inet { host, port } if host.is_empty() => format!("http://localhost:{port}"),
        HttpAddress::Inet { host, port } if host.contains(':') => format!("http://[{host}]:{port}"),
        HttpAddress::Inet { host, port } => format!("http://{host}:{port}"),
    }
}
