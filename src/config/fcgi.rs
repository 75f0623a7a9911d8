//! Listening sockets that programs inherit: `socket` of `[fcgi-program:x]`, and `sockets` of any program.

use crate::config::section::{Context, Extra, Section};
use crate::config::text::is_space;
use crate::config::values::{self, Parsed};
use crate::model::config::{FcgiAddress, FcgiSocket, Owner, User};
use std::path::Path;

/// Reads the socket of `[fcgi-program:x]`. `None` after an error, which is noted.
pub(super) fn read_socket(context: &Context<'_>, name: &str, program_name: &str) -> Option<FcgiSocket> {
    socket(context.section(name), program_name)
}

/// Reads the socket of a member of `[group:x]`, which Supervisor runs without one: `None` if there is anything
/// wrong with it, which is no error.
pub(super) fn read_socket_of_member(
    context: &Context<'_>,
    name: &str,
    program_name: &str,
) -> Option<FcgiSocket> {
    socket(context.section(name).optional(), program_name)
}

fn socket(plain: Section<'_>, program_name: &str) -> Option<FcgiSocket> {
    let (context, name) = (plain.context, plain.name);
    let section = plain.with(Extra { program_name: Some(program_name), ..Extra::default() });
    let user = plain.get("user", |text| context.users.user_of_program(text));
    let backlog = plain.get("socket_backlog", |text| match values::any_integer(text)? {
        backlog @ 1..=65535 => Ok(backlog as u16),
        _ => Err(format!("Invalid socket_backlog value {text}")),
    });
    let attributes = Attributes::read(&plain, user.as_ref());
    let Some(text) = section.text("socket").filter(|text| !text.is_empty()) else {
        if section.raw("socket").is_none_or(|value| value.text.is_empty()) {
            section.error(Some("socket"), format!("[{name}] section requires a \"socket\" line"));
        }
        return None;
    };
    let address = attributes.allow(&text).and_then(|()| address(&plain, &text, &attributes));
    let address = address.map_err(|text| format!("{text} in [{name}] socket"));
    Some(FcgiSocket { address: section.ok("socket", address)?, backlog })
}

/// Reads `sockets` of any program.
pub(super) fn read_sockets(section: &Section<'_>, user: Option<&User>) -> Vec<FcgiAddress> {
    let Some(text) = section.text("sockets") else { return Vec::new() };
    let attributes = Attributes::read(section, user);
    let addresses = values::strings(&text).into_iter().map(|item| address(section, item, &attributes));
    section.ok("sockets", addresses.collect()).unwrap_or_default()
}

/// Who may use a unix socket.
struct Attributes {
    owner: Option<Owner>,
    mode: Option<u32>,
    /// The owner if none is given.
    default_owner: Owner,
}

impl Attributes {
    fn read(section: &Section<'_>, user: Option<&User>) -> Attributes {
        let users = &section.context.users;
        let owner = section.get("socket_owner", |text| {
            users.owner(text).map_err(|_| format!("Invalid socket_owner value {text}"))
        });
        let mode = section.understand("socket_mode", |text| {
            values::mode(text).map_err(|_| format!("Invalid socket_mode value {text}"))
        });
        let other = user.filter(|user| user.uid != nix::unistd::getuid().as_raw());
        let default_owner = other
            .map(|user| Owner { uid: Some(user.uid), gid: users.primary_group(user) })
            .unwrap_or_default();
        Attributes { owner, mode, default_owner }
    }

    /// Nobody owns a port.
    fn allow(&self, text: &str) -> Parsed<()> {
        if !text.starts_with("unix://") && (self.owner.is_some() || self.mode.is_some()) {
            let text = "socket_owner and socket_mode params should only be used with a Unix domain socket";
            return Err(text.to_string());
        }
        Ok(())
    }
}

fn address(section: &Section<'_>, text: &str, attributes: &Attributes) -> Parsed<FcgiAddress> {
    if let Some(path) = text.strip_prefix("unix://") {
        if !Path::new(path).is_absolute() {
            return Err(format!("Unix socket path {path} is not an absolute path"));
        }
        return Ok(FcgiAddress::Unix {
            path: section.context.surroundings.absolute(path),
            owner: attributes.owner.unwrap_or(attributes.default_owner),
            mode: attributes.mode.unwrap_or(values::DEFAULT_MODE),
        });
    }
    let bad = || format!("Bad socket format {text}");
    let (host, port) = text.strip_prefix("tcp://").and_then(|rest| rest.rsplit_once(':')).ok_or_else(bad)?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_word = bracketed.is_some() || (!host.is_empty() && !host.contains(|c| c == ':' || is_space(c)));
    if !is_word || port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let (_, port) = values::inet_address(&format!(":{port}"))?;
    Ok(FcgiAddress::Tcp { host: bracketed.unwrap_or(host).to_lowercase(), port })
}
