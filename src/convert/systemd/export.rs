//! From a configuration to units.

use crate::convert::export::{Options, OutputFile, Program, Source};
use crate::convert::losses::Losses;
use crate::convert::systemd::links::{Links, Units};
use crate::convert::systemd::service::{Making, lose_line, words};
use crate::convert::systemd::template::{instances, unify};
use crate::convert::systemd::text::{self, Unit, unit_name};
use crate::model::config::{FcgiAddress, GroupKind, Owner, ProcessConfig};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

/// What we say to ourselves in a template.
pub(super) const OWN_SECTION: &str = "X-Supervisord";

/// The longest name of a unit, with its end.
const LONGEST: usize = 255;

/// So much of a name that is too long is shown.
const SHOWN: usize = 40;

/// How the units of a program are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::convert) struct Naming {
    /// Without the end: `web`, or `group-web`. For a template what stands in front of its `@`. No other program has it.
    pub base: String,
    /// The instances of a template, one for each process; empty if each process has a unit of its own.
    pub instances: Vec<String>,
    /// The units of the processes, in their order, without their end: `web@00`.
    pub units: Vec<String>,
}

/// How the unit of a process is made, and its socket.
#[derive(Clone, Copy)]
pub(in crate::convert) struct Style {
    /// What the names of files end with: `service`, `container`.
    pub end: &'static str,
    /// Makes the unit; `None` if there can be none.
    pub make: fn(&ProgramUnits<'_>, &ProcessConfig, &mut Losses) -> Option<Unit>,
    /// Whether sockets become units.
    pub has_sockets: bool,
    /// Whether there is a way back, which has to know the instances of a template.
    pub lists_instances: bool,
}

const SERVICES: Style = Style {
    end: "service",
    make: |units, process, losses| units.service(process, losses),
    has_sockets: true,
    lists_instances: true,
};

/// Makes all units.
pub(super) fn export(
    source: &Source,
    options: &Options,
    losses: &mut Losses,
) -> Result<Vec<OutputFile>, String> {
    export_as(SERVICES, source, options, losses)
}

/// Makes the units of all programs, and the targets.
///
/// # Errors
/// systemd would not take the name of one.
pub(in crate::convert) fn export_as(
    style: Style,
    source: &Source,
    options: &Options,
    losses: &mut Losses,
) -> Result<Vec<OutputFile>, String> {
    let all = all_target(source);
    let mut single = HashSet::new();
    loop {
        let mut said = losses.clone();
        let namings = namings(source, &single);
        let (files, failed) = attempt(style, source, options, &namings, &all, &mut said);
        if failed.is_empty() {
            *losses = said;
            check_lengths(&files, &namings)?;
            return Ok(files);
        }
        // Others name the units of what has become several: everything is made again.
        single.extend(failed);
    }
}

/// Looks whether systemd takes the names of all units, those of instances among them.
fn check_lengths(files: &[OutputFile], namings: &[Naming]) -> Result<(), String> {
    let units = namings.iter().flat_map(|naming| &naming.units).map(|unit| format!("{unit}.service"));
    let mut names = units.chain(files.iter().map(|file| file.path.clone()));
    let Some(name) = names.find(|name| name.len() > LONGEST) else { return Ok(()) };
    let begin: String = name.chars().take(SHOWN).collect();
    Err(format!(
        "the unit {begin}… would have a name of {} bytes, and systemd takes {LONGEST}: choose a shorter name",
        name.len()
    ))
}

/// Makes all units with these names. Also tells for which programs there is no template.
fn attempt(
    style: Style,
    source: &Source,
    options: &Options,
    namings: &[Naming],
    all: &str,
    losses: &mut Losses,
) -> (Vec<OutputFile>, Vec<usize>) {
    let units = units(source, namings);
    let links = Links::new(source, &units);
    let (mut files, mut failed) = (Vec::new(), Vec::new());
    let mut targets = Targets::new(all);
    for (at, (program, naming)) in source.programs.iter().zip(namings).enumerate() {
        let target = target_of(program, naming, all);
        let making = ProgramUnits { style, source, options, program, naming, links: &links, target: &target };
        let texts: Vec<(String, String)> = making.services(losses);
        let has_units = !texts.is_empty();
        targets.add(program, &target, naming, has_units);
        match naming.instances.as_slice() {
            [] => files.extend(
                texts.into_iter().map(|(unit, text)| file(format!("{unit}.{}", style.end), text, program)),
            ),
            instances => {
                let texts: Vec<String> = texts.into_iter().map(|(_, text)| text).collect();
                match unify(&texts, instances).filter(|_| texts.len() == instances.len()) {
                    Some(text) => {
                        let path = format!("{}@.{}", naming.base, style.end);
                        let listed = if style.lists_instances { listed(instances) } else { String::new() };
                        files.push(file(path, text + &listed, program));
                    }
                    None => failed.push(at),
                }
            }
        }
        if has_units && style.has_sockets {
            files.extend(making.socket(losses));
        }
    }
    files.extend(targets.files());
    (files, failed)
}

/// Which instances of a template there are, for the way back: systemd ignores sections with such a name.
fn listed(instances: &[String]) -> String {
    format!("\n[{OWN_SECTION}]\nInstances={}\n", instances.join(" "))
}

fn file(path: String, text: String, program: &Program) -> OutputFile {
    OutputFile { path, text, section: Some(program.section.clone()) }
}

/// The target of everything, which has no other's name.
fn all_target(source: &Source) -> String {
    let mut name = unit_name(&source.config.supervisord.identifier);
    let groups: HashSet<String> = source.config.groups.iter().map(|group| unit_name(&group.name)).collect();
    while name.is_empty() || groups.contains(&name) {
        name += "-all";
    }
    format!("{name}.target")
}

/// The target that a program is part of: that of its group, or of its own if it has several processes, or the one of all.
fn target_of(program: &Program, naming: &Naming, all: &str) -> String {
    match (program.is_grouped(), program.processes.len()) {
        (true, _) => format!("{}.target", unit_name(&program.group.name)),
        (false, 2..) => format!("{}.target", naming.base),
        (false, _) => all.to_string(),
    }
}

/// The names of all units. Programs in `single` get no template.
pub(in crate::convert) fn namings(source: &Source, single: &HashSet<usize>) -> Vec<Naming> {
    let groups = source.config.groups.iter().filter(|group| group.kind == GroupKind::Group);
    // A program of several processes has a target with this name, as a group has.
    let mut bases: HashSet<String> = groups.map(|group| unit_name(&group.name)).collect();
    let mut singles = HashSet::new();
    let naming = |(at, program): (usize, &Program)| {
        let prefix = if program.is_grouped() { format!("{}-", program.group.name) } else { String::new() };
        let base = unused(&mut bases, unit_name(&format!("{prefix}{}", program.name)));
        let names: Vec<&str> = program.processes.iter().map(|process| &*process.name).collect();
        let found = if names.len() > 1 && !single.contains(&at) { instances(&names) } else { None };
        match found {
            Some((_, instances)) => {
                let units = instances.iter().map(|instance| format!("{base}@{instance}")).collect();
                Naming { base, instances, units }
            }
            None => {
                let own = |name| unused(&mut singles, unit_name(&format!("{prefix}{name}")));
                Naming { base, instances: Vec::new(), units: names.into_iter().map(own).collect() }
            }
        }
    };
    source.programs.iter().enumerate().map(naming).collect()
}

/// A name that nothing else has, which is taken now.
fn unused(taken: &mut HashSet<String>, name: String) -> String {
    let mut unused = name.clone();
    let mut n = 2;
    while !taken.insert(unused.clone()) {
        unused = format!("{name}-{n}");
        n += 1;
    }
    unused
}

/// The unit of each process that has one.
pub(in crate::convert) fn units(source: &Source, namings: &[Naming]) -> Units {
    let mut units = HashMap::new();
    for (program, naming) in source.programs.iter().zip(namings) {
        let named = program.processes.iter().zip(&naming.units);
        for (process, unit) in named.filter(|(process, _)| words(process).is_ok()) {
            units.insert((program.group.name.clone(), process.name.clone()), format!("{unit}.service"));
        }
    }
    units
}

/// What the units of one program are made of.
pub(in crate::convert) struct ProgramUnits<'a> {
    style: Style,
    source: &'a Source,
    options: &'a Options,
    program: &'a Program,
    naming: &'a Naming,
    links: &'a Links<'a>,
    target: &'a str,
}

impl ProgramUnits<'_> {
    /// Name and text of each service.
    fn services(&self, losses: &mut Losses) -> Vec<(String, String)> {
        let mut texts = Vec::new();
        for (process, unit) in self.program.processes.iter().zip(&self.naming.units) {
            if let Some(made) = (self.style.make)(self, process, losses) {
                texts.push((unit.clone(), made.to_text()));
            }
        }
        texts
    }

    /// The unit of a process with what it says of others.
    pub(in crate::convert) fn begin<'m>(
        &'m self,
        process: &'m ProcessConfig,
        losses: &'m mut Losses,
    ) -> Making<'m> {
        let mut making = Making {
            program: self.program,
            process,
            daemon: &self.source.config.supervisord,
            options: self.options,
            unit: Unit::default(),
            losses,
        };
        making.unit.add("Unit", "Description", text::title(&process.name));
        making.unit.add("Unit", "PartOf", self.target);
        self.links.add(&mut making.unit, &self.program.section, &self.program.group, process, making.losses);
        making.start_limit();
        making
    }

    /// The unit, which is started with its target unless it is not to start by itself.
    pub(in crate::convert) fn finish(&self, mut unit: Unit, process: &ProcessConfig) -> Unit {
        if process.autostart {
            unit.add("Install", "WantedBy", self.target);
        }
        unit
    }

    /// Whether somebody waits until this process is done.
    pub(in crate::convert) fn is_waited_for(&self, process: &ProcessConfig) -> bool {
        self.links.is_waited_for(&self.program.group, process)
    }

    fn service(&self, process: &ProcessConfig, losses: &mut Losses) -> Option<Unit> {
        let mut making = self.begin(process, losses);
        making.kind(self.is_waited_for(process));
        if !making.command() {
            return None;
        }
        making.readiness();
        making.restart();
        making.stop();
        making.reach();
        if let Some(silence) = process.watchdog {
            making.add("WatchdogSec", text::time(silence));
        }
        making.identity();
        making.environment();
        making.resources();
        making.confinement();
        if has_sockets(process) {
            making.add("Sockets", format!("{}.socket", self.naming.base));
            if process.fcgi_socket.is_some() {
                making.add("StandardInput", "socket");
            }
        }
        making.output();
        let unit = making.unit;
        Some(self.finish(unit, process))
    }

    /// The sockets, which all processes of a program share.
    fn socket(&self, losses: &mut Losses) -> Option<OutputFile> {
        let process = self.program.processes.first()?;
        let mut named = self.program.processes.iter().zip(&self.naming.units);
        let (_, service) = named.find(|(process, _)| words(process).is_ok())?;
        let mut unit = Unit::default();
        unit.add("Unit", "Description", text::title(&format!("Sockets of {}", self.program.name)));
        unit.add("Unit", "PartOf", self.target);
        self.addresses(process, &mut unit, losses);
        if !has_sockets(process) {
            return None;
        }
        let fcgi = process.fcgi_socket.as_ref();
        if let Some(backlog) = fcgi.and_then(|socket| socket.backlog) {
            unit.add("Socket", "Backlog", backlog.to_string());
        }
        unit.add("Socket", "Accept", "no");
        unit.add("Socket", "Service", format!("{service}.service"));
        if process.autostart {
            unit.add("Install", "WantedBy", self.target);
        }
        Some(file(format!("{}.socket", self.naming.base), unit.to_text(), self.program))
    }

    /// Where the sockets are, and whose.
    fn addresses(&self, process: &ProcessConfig, unit: &mut Unit, losses: &mut Losses) {
        let key = if process.fcgi_socket.is_some() { "socket" } else { "sockets" };
        let mut owner_and_mode: Option<(Owner, u32)> = None;
        for address in addresses(process) {
            let (value, own) = listen(address);
            match text::line(&value) {
                Some(line) => unit.add("Socket", "ListenStream", line),
                None => lose_line(&self.program.section, key, "ListenStream", &value, losses),
            }
            if let FcgiAddress::Tcp { host, .. } = address
                && !is_address(host)
            {
                let why = "ListenStream= takes addresses, not names of hosts: write the address";
                self.program.lose(key, why, losses);
            }
            if let (Some(before), Some(now)) = (owner_and_mode, own)
                && before != now
            {
                self.program.lose(key, "all unix sockets of a .socket unit have one owner and mode", losses);
            }
            owner_and_mode = owner_and_mode.or(own);
        }
        let Some((owner, mode)) = owner_and_mode else { return };
        if let Some(uid) = owner.uid {
            unit.add("Socket", "SocketUser", uid.to_string());
        }
        if let Some(gid) = owner.gid {
            unit.add("Socket", "SocketGroup", gid.to_string());
        }
        unit.add("Socket", "SocketMode", format!("{mode:04o}"));
    }
}

/// Whether it has a socket that a unit can name.
fn has_sockets(process: &ProcessConfig) -> bool {
    addresses(process).any(|address| text::line(&listen(address).0).is_some())
}

fn addresses(process: &ProcessConfig) -> impl Iterator<Item = &FcgiAddress> {
    process.fcgi_socket.as_ref().map(|socket| &socket.address).into_iter().chain(&process.sockets)
}

/// An address for `ListenStream=`, and for a path its owner and mode.
fn listen(address: &FcgiAddress) -> (String, Option<(Owner, u32)>) {
    match address {
        FcgiAddress::Unix { path, owner, mode } => (text::shown(path), Some((*owner, *mode))),
        FcgiAddress::Tcp { host, port } if host.is_empty() || host == "*" => (port.to_string(), None),
        FcgiAddress::Tcp { host, port } if host == "localhost" => (format!("127.0.0.1:{port}"), None),
        FcgiAddress::Tcp { host, port } if host.contains(':') => (format!("[{host}]:{port}"), None),
        FcgiAddress::Tcp { host, port } => (format!("{host}:{port}"), None),
    }
}

fn is_address(host: &str) -> bool {
    host.is_empty() || host == "*" || host == "localhost" || host.parse::<std::net::IpAddr>().is_ok()
}

/// The targets: one for everything, one for each group and for each program of several processes.
struct Targets<'a> {
    all: &'a str,
    /// Name, and the instances of templates in it, which no unit file can want by itself.
    found: Vec<(String, Vec<String>)>,
}

impl Targets<'_> {
    fn new(all: &str) -> Targets<'_> {
        Targets { all, found: Vec::new() }
    }

    fn add(&mut self, program: &Program, target: &str, naming: &Naming, has_units: bool) {
        if target == self.all || !has_units {
            return;
        }
        let at = self.found.iter().position(|(name, _)| name == target).unwrap_or_else(|| {
            self.found.push((target.to_string(), Vec::new()));
            self.found.len() - 1
        });
        if !naming.instances.is_empty() {
            let started =
                program.processes.iter().zip(&naming.units).filter(|(process, _)| process.autostart);
            self.found[at].1.extend(started.map(|(_, unit)| format!("{unit}.service")));
        }
    }

    fn files(&self) -> Vec<OutputFile> {
        let target = |path: &str, text: String| OutputFile { path: path.to_string(), text, section: None };
        let all = "[Unit]\nDescription=All programs\n\n[Install]\nWantedBy=multi-user.target\n";
        let mut files = vec![target(self.all, all.to_string())];
        for (name, instances) in &self.found {
            let title = name.trim_end_matches(".target");
            let mut text =
                format!("[Unit]\nDescription=Processes of {}\nPartOf={}\n", text::title(title), self.all);
            for instance in instances {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "Wants={instance}");
            }
            let _ = write!(text, "\n[Install]\nWantedBy={}\n", self.all);
            files.push(target(name, text));
        }
        files
    }
}
