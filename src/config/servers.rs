//! `[inet_http_server]`, `[unix_http_server]` and `[rpcinterface:x]`.

use crate::config::document::Document;
use crate::config::section::{Context, Section};
use crate::config::text::{repr, strip};
use crate::config::values;
use crate::model::config::{Credentials, HttpAddress, HttpServerConfig, Level, inet_url};
use std::path::PathBuf;

/// The factory of Supervisor's own methods, which are built in here.
const STOCK_FACTORY: &str = "supervisor.rpcinterface:make_main_rpcinterface";
/// Where the original's methods are, and the section that says so.
const USUAL_NAMESPACE: &str = "supervisor";
const USUAL_INTERFACE: &str = "rpcinterface:supervisor";
const FACTORY_KEY: &str = "supervisor.rpcinterface_factory";

/// bcrypt has no lower cost.
const BCRYPT_COST_LEAST: u32 = 4;

/// Takes two seconds of a processor; each step more takes twice as long.
const BCRYPT_COST_MOST: u32 = 15;

/// The socket of a `[unix_http_server]` that names none: where relatives of Supervisor have it.
const DEFAULT_SOCKET: &str = "/tmp/supervisord.sock";

/// What a client without a section of its own needs to know of a server.
pub(super) struct ServerToReach {
    /// Its names; at least one, the one to use first.
    pub urls: Vec<String>,
    pub login: Option<KnownLogin>,
    /// Whether this user can be let in, as far as the socket file tells.
    pub is_open: bool,
}

/// Credentials as the server's section tells them.
pub(super) struct KnownLogin {
    pub username: String,
    /// `None` if the section has only a hash of it.
    pub password: Option<String>,
}

/// Whether the document has a server.
pub(super) fn are_in(document: &Document) -> bool {
    document
        .sections()
        .any(|name| name.starts_with("unix_http_server") || name.starts_with("inet_http_server"))
}

/// The servers in the order in which a client tries them, those on unix sockets first. What is wrong in their sections is
/// an error only if one of them is needed.
pub(super) fn to_reach(context: &Context<'_>, needed: bool) -> Vec<ServerToReach> {
    let of_kind = |prefix: &'static str| {
        let names = context.document.sections().filter(move |name| name.starts_with(prefix));
        names.map(|name| if needed { context.section(name) } else { context.section(name).optional() })
    };
    let around = context.surroundings;
    let unix = of_kind("unix_http_server").filter_map(|section| {
        let file = socket_file(&section)?;
        let is_open = !around.is_forbidden(&file);
        Some(ServerToReach {
            urls: vec![format!("unix://{}", file.display())],
            login: login(&section),
            is_open,
        })
    });
    let mut servers: Vec<_> = unix.collect();
    servers.extend(of_kind("inet_http_server").filter_map(|section| {
        let (host, port) = section.get("port", values::inet_address)?;
        Some(ServerToReach { urls: urls(&host, port), login: login(&section), is_open: true })
    }));
    servers
}

/// The names of a server for clients on this machine.
fn urls(host: &str, port: u16) -> Vec<String> {
    let local = ["localhost", "127.0.0.1", "::1"];
    let hosts = match host {
        "" | "0.0.0.0" | "::" => local.to_vec(),
        host if local.contains(&host) => [&[host][..], &local].concat(),
        host => vec![host],
    };
    hosts.into_iter().map(|host| inet_url(host, port)).collect()
}

fn login(section: &Section<'_>) -> Option<KnownLogin> {
    let username = section.text("username")?.into_owned();
    let password = section.text("password")?.into_owned();
    let is_hash = password.starts_with("{SHA}") || password.starts_with("{BCRYPT}");
    (!username.is_empty() || !password.is_empty())
        .then(|| KnownLogin { username, password: (!is_hash).then_some(password) })
}

/// Where a unix server listens. `None` if the value is wrong, which is noted.
fn socket_file(section: &Section<'_>) -> Option<PathBuf> {
    if section.raw("file").is_none() {
        section.doubt("file", format!("not given: {DEFAULT_SOCKET} is used"));
        return Some(PathBuf::from(DEFAULT_SOCKET));
    }
    section.text("file").map(|text| section.context.surroundings.absolute_with_home(strip(&text)))
}

/// Reads the servers: inet ones in file order, then unix ones. Any section whose name begins like one is one.
pub(super) fn read(context: &Context<'_>) -> Vec<HttpServerConfig> {
    let of_kind = |prefix: &'static str| {
        context
            .document
            .sections()
            .filter(move |name| name.starts_with(prefix))
            .map(|name| context.section(name))
    };
    let inet = of_kind("inet_http_server").filter_map(|section| inet_server(&section));
    let mut servers: Vec<_> = inet.collect();
    servers.extend(of_kind("unix_http_server").filter_map(|section| unix_server(&section)));
    servers
}

fn inet_server(section: &Section<'_>) -> Option<HttpServerConfig> {
    let credentials = credentials(section);
    if section.raw("port").is_none() {
        section.error(Some("port"), format!("section [{}] has no port value", section.name));
        return None;
    }
    let (host, port) = section.get("port", values::inet_address)?;
    Some(HttpServerConfig {
        section: section.name.to_string(),
        address: HttpAddress::Inet { host, port },
        credentials,
        legacy_get_actions: legacy_get_actions(section),
        allowed_hosts: section.get_or_default("allowed_hosts", values::hosts),
    })
}

fn unix_server(section: &Section<'_>) -> Option<HttpServerConfig> {
    let users = &section.context.users;
    let file = socket_file(section);
    let credentials = credentials(section);
    let chown =
        section.get("chown", |text| users.owner(text).map_err(|_| format!("Invalid sockchown value {text}")));
    let chmod = section.understand_or_default("chmod", |text| {
        values::mode(text).map_err(|_| format!("Invalid chmod value {text}"))
    });
    Some(HttpServerConfig {
        section: section.name.to_string(),
        address: HttpAddress::Unix { file: file?, chmod, chown: chown.unwrap_or_default() },
        credentials,
        legacy_get_actions: legacy_get_actions(section),
        allowed_hosts: section.get_or_default("allowed_hosts", values::hosts),
    })
}

fn legacy_get_actions(section: &Section<'_>) -> bool {
    section.get_or_default("legacy_get_actions", values::boolean)
}

fn credentials(section: &Section<'_>) -> Option<Credentials> {
    let username = section.text("username").map(|text| text.into_owned());
    let password = section.text("password").map(|text| text.into_owned());
    let incomplete = section.raw("username").is_some() != section.raw("password").is_some();
    if incomplete {
        let text = format!(
            "Section [{}] contains incomplete authentication: If a username or a password is specified, both the \
             username and password must be specified",
            section.name
        );
        section.error(Some(if username.is_some() { "username" } else { "password" }), text);
    }
    let (username, password) = (username?, password?);
    match (username.as_str(), password.as_str()) {
        // What a template leaves of both when nothing is to be filled in.
        ("", "") => {
            section.doubt("username", "empty, like the password: everybody is let in".to_string());
            return None;
        }
        // Supervisor lets everybody in who knows no name, which nobody can have meant who wrote a password.
        ("", _) => {
            let text = "empty: clients must send an empty name and the password".to_string();
            section.doubt("username", text);
        }
        _ => {}
    }
    let credentials = Credentials { username, password };
    if !credentials.username.is_empty()
        && let Err(problem) = usable(&credentials.password)
    {
        section.error(Some("password"), format!("section [{}] has {problem}", section.name));
    }
    Some(credentials)
}

/// Whether somebody can get in with a password that is stored like this, and nobody without it.
///
/// # Errors
/// What it is instead.
fn usable(stored: &str) -> Result<(), String> {
    if stored.is_empty() {
        return Err("an empty password, which lets in anyone who knows the username".to_string());
    }
    if let Some(digest) = stored.strip_prefix("{SHA}") {
        let is_digest = digest.len() == 40 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        let problem =
            "a password that never matches: {SHA} must be followed by the 40 hexadecimal digits of a SHA-1";
        return if is_digest { Ok(()) } else { Err(problem.to_string()) };
    }
    stored.strip_prefix("{BCRYPT}").map_or(Ok(()), usable_bcrypt)
}

/// # Errors
/// What it is instead of a hash that can be compared with in reasonable time.
fn usable_bcrypt(hash: &str) -> Result<(), String> {
    let parts: bcrypt::HashParts = hash.parse().map_err(|error: bcrypt::BcryptError| {
        format!(
            "a password that never matches: {{BCRYPT}} must be followed by a bcrypt hash as htpasswd -nB prints it \
             ({error})"
        )
    })?;
    let cost = parts.get_cost();
    if (BCRYPT_COST_LEAST..=BCRYPT_COST_MOST).contains(&cost) {
        return Ok(());
    }
    Err(format!(
        "a bcrypt hash of cost {cost}; the cost must be from {BCRYPT_COST_LEAST} to {BCRYPT_COST_MOST}, because each \
         try of a password occupies a processor for as long as the hash takes"
    ))
}

/// Reads the namespaces that publish the built-in methods. Where no section says anything about `supervisor` it
/// has them, too: without them a daemon can only be sent signals, which nobody leaves out a section for.
pub(super) fn rpc_namespaces(context: &Context<'_>) -> Vec<String> {
    let sections = || context.document.sections().filter(|name| name.starts_with("rpcinterface:"));
    let mut namespaces: Vec<String> =
        sections().filter_map(|name| rpc_namespace(&context.section(name))).collect();
    if !sections().any(|name| name == USUAL_INTERFACE) {
        namespaces.insert(0, USUAL_NAMESPACE.to_string());
    }
    namespaces
}

fn rpc_namespace(section: &Section<'_>) -> Option<String> {
    let (_, namespace) = section.name.split_once(':')?;
    if section.raw(FACTORY_KEY).is_none() {
        let text = format!("section [{}] does not specify a {FACTORY_KEY}", section.name);
        section.error(Some(FACTORY_KEY), text);
        return None;
    }
    let factory = section.text(FACTORY_KEY)?;
    if factory != STOCK_FACTORY {
        let text = format!(
            "[{}] names the interface factory {}, which is Python code and cannot be loaded; built in is \
             '{STOCK_FACTORY}', the namespace '{namespace}' is not available",
            section.name,
            repr(&factory)
        );
        section.note(Some(FACTORY_KEY), Level::Critical, text);
        return None;
    }
    let option = section.context.document.own_keys(section.name).find(|(key, _)| *key != FACTORY_KEY);
    if let Some((key, _)) = option {
        let text = format!("Could not make {namespace} rpc interface: it takes no option {}", repr(key));
        section.error(Some(key), text);
    }
    Some(namespace.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_that_nobody_or_everybody_has_are_refused() {
        let hash = bcrypt::hash("x", 4).expect("it can be hashed");
        for (stored, expected) in [
            ("plain".to_string(), ""),
            ("{SHA}".to_string() + &"0aF9".repeat(10), ""),
            (format!("{{BCRYPT}}{hash}"), ""),
            (format!("{{BCRYPT}}{}", hash.replace("$2b$04$", "$2y$15$")), ""),
            (String::new(), "an empty password"),
            ("{SHA}xyz".to_string(), "40 hexadecimal digits"),
            ("{SHA}".to_string() + &"g".repeat(40), "40 hexadecimal digits"),
            ("{BCRYPT}nonsense".to_string(), "htpasswd"),
            (format!("{{BCRYPT}}{}", hash.replace("$2b$04$", "$2b$16$")), "cost 16"),
            (format!("{{BCRYPT}}{}", hash.replace("$2b$04$", "$2b$31$")), "cost 31"),
            (format!("{{BCRYPT}}{}", hash.replace("$2b$04$", "$2b$03$")), "cost 3"),
        ] {
            let problem = usable(&stored).err().unwrap_or_default();
            assert_eq!(problem.is_empty(), expected.is_empty(), "{stored}: {problem}");
            assert!(problem.contains(expected), "{stored}: {problem}");
        }
    }
}
