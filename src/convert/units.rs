//! What one service of another program is made of: a program with as many copies as it has processes, or one process of
//! it where they differ.

use crate::config::command;
use crate::convert::export::{Program, Source};
use crate::convert::losses::Losses;
use crate::model::config::{ChildLog, DaemonConfig, ProcessConfig, StreamConfig, User};
use crate::model::dependency::{Condition, Dependency, Names};
use crate::model::probe::{HttpProbe, Probe};
use crate::model::raw;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// One service.
pub(super) struct Unit<'s> {
    /// Unique, as the other program wants names.
    pub name: String,
    /// The program.
    pub program: &'s Program,
    /// What all of its processes have in common.
    pub process: &'s ProcessConfig,
    /// How many there are.
    pub count: usize,
    /// Its command. Not empty.
    pub words: Vec<String>,
}

/// All services of a configuration.
pub(super) struct Plan<'s> {
    /// In the order of the source.
    pub units: Vec<Unit<'s>>,
    daemon: &'s DaemonConfig,
    /// What each unit waits for, each only once.
    links: Vec<Vec<Link>>,
    /// The units that wait for each.
    dependents: Vec<Vec<usize>>,
}

/// That a unit waits for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// The place of the other one in [`Plan::units`].
    pub on: usize,
    /// What must be true of it.
    pub condition: Condition,
    /// Only the order matters.
    pub is_soft: bool,
}

impl<'s> Plan<'s> {
    /// Makes services of all programs. `named` turns a name into one that the other program accepts.
    ///
    /// # Errors
    /// There is nothing to be made.
    pub(super) fn of(
        source: &'s Source,
        named: fn(&str) -> String,
        losses: &mut Losses,
    ) -> Result<Plan<'s>, String> {
        let mut units: Vec<(String, Unit)> = Vec::new();
        for program in &source.programs {
            units.extend(parts(program, losses));
        }
        if units.is_empty() {
            return Err("there is no program in the configuration that could be exported".to_string());
        }
        let units = with_names(units, named, losses);
        let links = links(source, &units, losses);
        let mut dependents = vec![Vec::new(); units.len()];
        for (at, links) in links.iter().enumerate() {
            links.iter().for_each(|link| dependents[link.on].push(at));
        }
        Ok(Plan { units, daemon: &source.config.supervisord, links, dependents })
    }

    /// What a unit waits for.
    pub(super) fn links(&self, at: usize) -> &[Link] {
        &self.links[at]
    }

    /// Whether a unit is a job that runs before another one and for no other one: the other program can run it there.
    pub(super) fn runs_before(&self, job: usize) -> Option<usize> {
        let unit = &self.units[job];
        let is_plain =
            unit.process.is_oneshot() && unit.count == 1 && unit.process.dependencies.depends_on.is_empty();
        let [dependent] = *self.dependents[job] else { return None };
        let waits = self.links[dependent]
            .iter()
            .any(|link| link.on == job && link.condition == Condition::Done && !link.is_soft);
        let other = &self.units[dependent];
        let is_service = other.count == 1 && !other.process.is_oneshot() && other.process.autostart;
        (is_plain && waits && is_service).then_some(dependent)
    }

    /// Whether a unit comes up with all others: by itself, or because one that does needs it.
    pub(super) fn comes_up(&self, at: usize) -> bool {
        let mut seen = HashSet::new();
        let mut left = vec![at];
        while let Some(unit) = left.pop() {
            if self.units[unit].process.autostart {
                return true;
            }
            if seen.insert(unit) {
                left.extend(&self.dependents[unit]);
            }
        }
        false
    }

    /// The user of a unit: its own, or that which the daemon becomes.
    pub(super) fn user(&self, unit: &Unit<'s>) -> Option<&'s User> {
        unit.process.user.as_ref().or(self.daemon.user.as_ref())
    }

    /// The user of a unit as it was written, with the group if there is one.
    pub(super) fn user_and_group(&self, unit: &Unit<'s>) -> Option<String> {
        let user = self.user(unit)?;
        let name = user.written.split(':').next().unwrap_or_default().trim();
        Some(match user.gid {
            Some(gid) => format!("{name}:{gid}"),
            None => name.to_string(),
        })
    }

    /// The directory of a unit: its own, or the one to which the daemon changes in the background.
    pub(super) fn directory(&self, unit: &Unit<'s>) -> Option<String> {
        let of_daemon = self.daemon.directory.as_deref().filter(|_| !self.daemon.nodaemon);
        unit.process.directory.as_deref().or(of_daemon).map(shown)
    }

    /// Notes the umasks, which no container program can say.
    pub(super) fn lose_umasks(&self, source: &Source, losses: &mut Losses) {
        const WHY: &str = "there is no umask: run the command through sh -c 'umask 027; exec …'";
        self.units.iter().for_each(|unit| unit.lose("umask", WHY, losses));
        let settings = source.settings.get("supervisord").into_iter().flatten();
        for setting in settings.filter(|setting| setting.key == "umask") {
            if crate::convert::losses::is_written(setting) {
                losses.note_setting(setting, WHY);
            }
        }
    }
}

impl Unit<'_> {
    /// Notes that a key of its program is lost, if it was written.
    pub(super) fn lose(&self, key: &str, why: impl Into<String>, losses: &mut Losses) {
        self.program.lose(key, why, losses);
    }

    /// Notes something about a key whether it was written or not.
    pub(super) fn note(
        &self,
        key: &str,
        value: impl Into<String>,
        why: impl Into<String>,
        losses: &mut Losses,
    ) {
        losses.note(format!("[{}] {key}", self.program.section), value, why);
    }
}

/// What each unit waits for.
fn links(source: &Source, units: &[Unit<'_>], losses: &mut Losses) -> Vec<Vec<Link>> {
    let mut by_process: HashMap<(&str, &str, &str), usize> = HashMap::new();
    for (at, unit) in units.iter().enumerate() {
        let processes = if unit.count > 1 { &*unit.program.processes } else { &[] };
        for process in processes.iter().map(|process| &**process).chain([unit.process]) {
            by_process.insert((&unit.program.group.name, &unit.program.name, &process.name), at);
        }
    }
    let (mut names, mut unit_of) = (Names::default(), Vec::new());
    for group in &source.config.groups {
        for (id, process) in (unit_of.len()..).zip(&group.processes) {
            // No configuration has so many processes.
            names.add(&group.name, &process.program, &process.name, id as u32);
            unit_of.push(by_process.get(&(&*group.name, &*process.program, &*process.name)).copied());
        }
    }
    let links_of = |(at, unit): (usize, &Unit<'_>)| {
        let mut links = Links::default();
        for dependency in &unit.process.dependencies.depends_on {
            for id in names.resolve(&dependency.target) {
                match unit_of.get(id as usize).copied().flatten() {
                    Some(on) if on == at => {
                        let why = "the processes of one service cannot wait for each other";
                        unit.lose("depends_on", why, losses);
                    }
                    Some(on) => links.add(unit, on, dependency, losses),
                    None => {
                        let why = format!("{} is not exported: see there", dependency.target);
                        unit.lose("depends_on", why, losses);
                    }
                }
            }
        }
        links.all
    };
    units.iter().enumerate().map(links_of).collect()
}

/// The links of one unit.
#[derive(Default)]
struct Links {
    all: Vec<Link>,
    /// Where the link to a unit stands.
    places: HashMap<usize, usize>,
}

impl Links {
    fn add(&mut self, unit: &Unit<'_>, on: usize, dependency: &Dependency, losses: &mut Losses) {
        let link = Link { on, condition: dependency.condition, is_soft: dependency.is_soft };
        let place = *self.places.entry(on).or_insert(self.all.len());
        let Some(known) = self.all.get_mut(place) else { return self.all.push(link) };
        known.is_soft &= link.is_soft;
        if known.condition != link.condition {
            let why = "a service can ask for one condition of another: the first one that is written counts";
            unit.lose("depends_on", why, losses);
        }
    }
}

/// The units of a program, each with the name that it should have.
fn parts<'s>(program: &'s Program, losses: &mut Losses) -> Vec<(String, Unit<'s>)> {
    let Some(first) = program.processes.first() else { return Vec::new() };
    let section = format!("[{}]", program.section);
    if first.fcgi_socket.is_some() {
        losses.note(
            section,
            "",
            "it is left out: supervisord makes the socket that its processes share; let the program listen by itself, and \
             make it a [program:x]",
        );
        return Vec::new();
    }
    let differ = program.processes.iter().any(|process| common(process) != common(first));
    let processes: &[Arc<ProcessConfig>] =
        if differ { &program.processes } else { std::slice::from_ref(first) };
    let mut units = Vec::new();
    for process in processes {
        let words = match command::split(&process.command) {
            Ok(words) if words.is_empty() => Err("its command is empty".to_string()),
            Ok(words) => Ok(words),
            Err(why) => Err(format!("its command cannot be split into words: {why}")),
        };
        let words = words.and_then(|words| match has_text(process) {
            true => Ok(words),
            false => Err("its command or environment is not text that could be written".to_string()),
        });
        match words {
            Ok(words) => {
                let name = if differ { &process.name } else { &program.name };
                let count = if differ { 1 } else { program.processes.len() };
                units.push((name.to_string(), Unit { name: String::new(), program, process, count, words }));
            }
            Err(why) => losses.note(section.clone(), "", format!("it is left out: {why}")),
        }
    }
    units
}

/// Whether all that it is started with can be written into a file of text.
pub(super) fn has_text(process: &ProcessConfig) -> bool {
    let mut texts =
        process.environment.iter().flat_map(|(name, value)| [name, value]).chain([&process.command]);
    texts.all(|text| is_text(text))
}

/// Whether something can be written into a file of text: bytes that are not UTF-8 cannot.
pub(super) fn is_text(text: &str) -> bool {
    std::str::from_utf8(&raw::bytes(text)).is_ok() && !text.contains('\0')
}

/// Whether nobody gets what comes out of a stream.
pub(super) fn is_silent(stream: &StreamConfig) -> bool {
    stream.logfile == ChildLog::None && stream.more.is_empty() && !stream.syslog
}

/// A process without what may differ between copies of one service: its name, and where its output goes.
fn common(process: &ProcessConfig) -> ProcessConfig {
    let stream = |stream: &StreamConfig| {
        let is_file = matches!(stream.logfile, ChildLog::File(_));
        let logfile = if is_file { ChildLog::Auto } else { stream.logfile.clone() };
        StreamConfig { logfile, more: Vec::new(), prefix: String::new(), ..stream.clone() }
    };
    ProcessConfig {
        name: process.program.clone(),
        stdout: stream(&process.stdout),
        stderr: stream(&process.stderr),
        ..process.clone()
    }
}

/// Gives every unit a name of its own, and notes those that differ from what they are called here.
fn with_names<'s>(
    units: Vec<(String, Unit<'s>)>,
    named: fn(&str) -> String,
    losses: &mut Losses,
) -> Vec<Unit<'s>> {
    let mut wanted: HashMap<String, usize> = HashMap::new();
    for (name, _) in &units {
        *wanted.entry(name.clone()).or_default() += 1;
    }
    let mut taken = HashSet::new();
    let units = units.into_iter().map(|(name, unit)| {
        let full = match wanted.get(&name) {
            Some(1) => name.clone(),
            _ => format!("{}-{name}", unit.program.group.name),
        };
        let base = named(&full);
        let mut own = base.clone();
        let mut number = 2;
        while !taken.insert(own.clone()) {
            own = named(&format!("{}-{number}", base.chars().take(50).collect::<String>()));
            number += 1;
        }
        if own != name {
            let what = format!("[{}]", unit.program.section);
            losses.note(what, "", format!("{name} is called {own} there"));
        }
        Unit { name: own, ..unit }
    });
    units.collect()
}

/// A path as text.
pub(super) fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A time as Go reads it.
pub(super) fn go_duration(time: Duration) -> String {
    match time.as_millis() {
        whole if whole.is_multiple_of(1000) => format!("{}s", whole / 1000),
        odd => format!("{odd}ms"),
    }
}

/// Whole seconds, at least as long.
pub(super) fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// A limit that is one.
pub(super) fn limit(value: u64) -> Option<u64> {
    (value != u64::MAX).then_some(value)
}

/// Numbers of processors as ranges: `0-3,6`.
pub(super) fn processors(numbers: &[u32]) -> Option<String> {
    let mut ranges: Vec<String> = Vec::new();
    let mut rest = numbers;
    while let Some(first) = rest.first() {
        let run = rest.iter().zip(*first..).take_while(|(number, expected)| *number == expected).count();
        ranges.push(match run {
            1 => first.to_string(),
            _ => format!("{first}-{}", rest[run - 1]),
        });
        rest = &rest[run..];
    }
    (!ranges.is_empty()).then(|| ranges.join(","))
}

/// Whether a host is the machine itself, or the container.
pub(super) fn is_here(host: &str) -> bool {
    host == "localhost" || host == "::1" || host.starts_with("127.")
}

/// The statuses that are good if nothing else was written.
const GOOD: [(u16, u16); 1] = [(200, 399)];

/// Whether an answer is judged as everybody does.
pub(super) fn has_usual_statuses(probe: &HttpProbe) -> bool {
    probe.status == GOOD
}

/// A probe as a command that runs where the program does, and the tools it needs. `None`: a program reports it by itself.
pub(super) fn probe_command(probe: &Probe) -> Option<(Vec<String>, Option<&'static str>)> {
    let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
    Some(match probe {
        Probe::Exec(line) => (command::split(line).ok()?, None),
        Probe::File(path) => (words(&["test", "-e", &shown(path)]), Some("test")),
        Probe::Unix(path) => (words(&["nc", "-zU", &shown(path)]), Some("nc")),
        Probe::Tcp { host, port } => (words(&["nc", "-z", host, &port.to_string()]), Some("nc")),
        Probe::Http(http) => {
            (http_command(http), Some(if has_usual_statuses(http) { "curl" } else { "curl and sh" }))
        }
        Probe::Log(_) | Probe::Notify | Probe::Fd(_) => return None,
    })
}

fn http_command(http: &HttpProbe) -> Vec<String> {
    let host = if http.host.contains(':') { format!("[{}]", http.host) } else { http.host.clone() };
    let url = format!("http://{host}:{}{}", http.port, http.path);
    let mut words = vec!["curl".to_string(), "-sS".into(), "-o".into(), "/dev/null".into()];
    for (name, value) in &http.headers {
        words.extend(["-H".to_string(), format!("{name}: {value}")]);
    }
    if has_usual_statuses(http) {
        words.insert(1, "-f".to_string());
        words.push(url);
        return words;
    }
    words.extend(["-w".to_string(), "%{http_code}".into(), url]);
    let ranges = http.status.iter().map(|(from, to)| format!("[ $s -ge {from} ] && [ $s -le {to} ]"));
    let test = ranges.map(|range| format!("{{ {range}; }}")).collect::<Vec<_>>().join(" || ");
    let script = format!("s=$(\"$@\") && {{ {test}; }}");
    let mut all = vec!["sh".to_string(), "-c".into(), script, "probe".into()];
    all.extend(words);
    all
}

/// The port that a probe asks on this machine: the program listens there.
pub(super) fn port_of(probe: &Probe) -> Option<u16> {
    match probe {
        Probe::Tcp { host, port } if is_here(host) => Some(*port),
        Probe::Http(http) if is_here(&http.host) => Some(http.port),
        _ => None,
    }
}

/// The ports on which a program is known to listen by itself, ascending.
pub(super) fn ports(process: &ProcessConfig) -> Vec<u16> {
    let ready = process.readiness.as_ref().map(|readiness| &readiness.ready);
    let health = process.health_check.as_ref().map(|check| &check.health);
    let mut ports: Vec<u16> = ready.into_iter().chain(health).filter_map(port_of).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_joined_to_ranges() {
        for (numbers, expected) in [
            (&[0, 1, 2, 3, 6][..], Some("0-3,6")),
            (&[5], Some("5")),
            (&[0, 2, 3, 5, 6, 7], Some("0,2-3,5-7")),
            (&[], None),
        ] {
            assert_eq!(processors(numbers).as_deref(), expected);
        }
    }

    #[test]
    fn times_are_as_go_reads_them() {
        for (time, expected) in [(10_000, "10s"), (1_500, "1500ms"), (0, "0s")] {
            assert_eq!(go_duration(Duration::from_millis(time)), expected);
        }
        assert_eq!((seconds(Duration::from_millis(1_001)), seconds(Duration::from_secs(2))), (2, 2));
    }
}
