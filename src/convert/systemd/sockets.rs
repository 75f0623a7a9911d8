//! `.socket` units as `sockets`, or as the `socket` of a FastCGI program.

use crate::convert::losses::Losses;
use crate::convert::systemd::import::leftovers;
use crate::convert::systemd::parse::UnitFile;
use crate::convert::systemd::reader::Reader;

const SOCKET: &str = "Socket";

/// The socket units that are imported.
pub(super) struct Sockets {
    units: Vec<UnitFile>,
}

impl Sockets {
    pub(super) fn new(units: &[UnitFile]) -> Sockets {
        Sockets { units: units.iter().filter(|unit| unit.is("socket")).cloned().collect() }
    }

    /// Gives a service its sockets. Whether it is one for FastCGI.
    pub(super) fn add(&mut self, reader: &mut Reader<'_>) -> bool {
        let named: Vec<String> =
            reader.unit.take_words("Service", "Sockets").into_iter().map(|(word, _)| word).collect();
        let input =
            reader.unit.directives.iter().rfind(|it| it.section == "Service" && it.key == "StandardInput");
        let is_input = input.is_some_and(|input| input.value == "socket");
        let name = reader.unit.name.clone();
        let found: Vec<usize> = (0..self.units.len())
            .filter(|at| {
                let unit = &self.units[*at];
                let service = unit.directives.iter().rfind(|it| it.section == SOCKET && it.key == "Service");
                let service =
                    service.map_or_else(|| format!("{}.service", unit.stem()), |it| it.value.clone());
                named.contains(&unit.name) || service == name
            })
            .collect();
        let mut urls = Vec::new();
        for at in found {
            self.take(at, reader, &mut urls, is_input);
        }
        let is_fcgi = is_input && urls.len() == 1;
        match (urls.is_empty(), is_fcgi) {
            (true, _) => {}
            (false, true) => reader.set("socket", urls.join("")),
            (false, false) => reader.set("sockets", urls.join(", ")),
        }
        is_fcgi
    }

    fn take(&mut self, at: usize, reader: &mut Reader<'_>, urls: &mut Vec<String>, is_input: bool) {
        let unit = &mut self.units[at];
        for directive in unit.take_all(SOCKET, "ListenStream") {
            let value = reader.value(&directive.value, &directive);
            match url(&value) {
                Some(url) => urls.push(url),
                None => reader.lose(&directive, "a socket is a path, a port, or an address with a port"),
            }
        }
        let (owner, group) = (unit.take(SOCKET, "SocketUser"), unit.take(SOCKET, "SocketGroup"));
        match (owner, group) {
            (Some(owner), Some(group)) => {
                reader.set("socket_owner", format!("{}:{}", owner.value, group.value))
            }
            (Some(owner), None) => reader.set("socket_owner", owner.value),
            (None, Some(group)) => reader.lose(&group, "a group needs a user: write socket_owner=USER:GROUP"),
            (None, None) => {}
        }
        if let Some(mode) = unit.take(SOCKET, "SocketMode") {
            reader.set_mode("socket_mode", &mode);
        }
        if let Some(backlog) = unit.take(SOCKET, "Backlog") {
            match is_input && backlog.value.parse::<u16>().is_ok() {
                true => reader.set("socket_backlog", backlog.value),
                false => reader.lose(&backlog, "the backlog is the system's limit"),
            }
        }
        if let Some(accept) =
            unit.take(SOCKET, "Accept").filter(|it| ["yes", "true", "1", "on"].contains(&&*it.value))
        {
            reader.lose(
                &accept,
                "a program accepts connections by itself: nothing is started for each of them",
            );
        }
        for (section, key) in [
            (SOCKET, "Service"),
            ("Unit", "PartOf"),
            ("Install", "WantedBy"),
            ("Unit", "Before"),
            ("Unit", "After"),
        ] {
            unit.take_all(section, key);
        }
    }

    /// Notes what nobody took.
    pub(super) fn finish(mut self, losses: &mut Losses) {
        for unit in &mut self.units {
            leftovers(unit, losses);
        }
    }
}

/// The address of `ListenStream=` as a URL.
fn url(value: &str) -> Option<String> {
    if value.starts_with('/') {
        return Some(format!("unix://{value}"));
    }
    if let Ok(port) = value.parse::<u16>() {
        return Some(format!("tcp://*:{port}"));
    }
    let (host, port) = value.rsplit_once(':')?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_address = bare.parse::<std::net::IpAddr>().is_ok();
    (is_address && port.parse::<u16>().is_ok()).then(|| format!("tcp://{value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (value, expected) in [
            ("/run/x.sock", Some("unix:///run/x.sock")),
            ("80", Some("tcp://*:80")),
            ("127.0.0.1:80", Some("tcp://127.0.0.1:80")),
            ("[::]:80", Some("tcp://[::]:80")),
            ("@abstract", None),
            ("host:80", None),
            ("", None),
        ] {
            assert_eq!(url(value).as_deref(), expected, "{value}");
        }
    }
}
