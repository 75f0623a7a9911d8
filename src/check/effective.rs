//! Problems that depend on this machine: commands that do not exist, logs that cannot be written, two programs that use
//! the same file or address.

use crate::check::commands;
use crate::check::confinement;
use crate::check::identity;
use crate::check::problem::{Problem, Severity};
use crate::check::state_file;
use crate::config::command;
use crate::config::{Document, repr};
use crate::model::config::{
    ActivityLog, ChildLog, Config, ExitWhen, GroupConfig, GroupKind, HttpAddress, LogTarget, ProcessConfig,
    StopScope, StreamConfig,
};
use crate::model::namespec::{self, Namespec};
use crate::model::probe::Probe;
use crate::sys::cgroup::home;
use crate::sys::cgroup::place::{self, Base};
use crate::sys::limits::{self, Limited};
use crate::sys::settings::Setting;
use crate::sys::user;
use nix::unistd::AccessFlags;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};

/// A log of fewer bytes is rotated with nearly every line: each costs several renamings, and little is kept.
const LEAST_LOG: u64 = 4 << 10;

/// Every such problem, with the place of the key it is about.
pub(super) fn problems(document: &Document, config: &Config) -> Vec<Problem> {
    let mut check = Check {
        document,
        sections: sections(document),
        found: Vec::new(),
        seen: HashSet::new(),
        hosts: HashMap::new(),
        cgroups: None,
    };
    check.daemon(config);
    for group in &config.groups {
        for process in &group.processes {
            let section = check.section_of(group, process);
            check.command(&section, "command", &process.command, process, config);
            check.wrapper(&section, process);
            check.probes(&section, process, config);
            check.directory(&section, process);
            check.identity(&section, process, config);
            let changes_user = process.user.as_ref().is_some_and(|user| user.uid != user_of(config));
            for (key, text) in confinement::findings(process, config, changes_user) {
                check.warn(&section, key, text);
            }
            check.resources(&section, process);
            check.cgroup(&section, process);
            check.log(&section, "stdout_logfile", &process.stdout);
            check.log(&section, "stderr_logfile", &process.stderr);
            check.log_size(&section, "stdout_logfile_maxbytes", process.stdout.maxbytes);
            check.log_size(&section, "stderr_logfile_maxbytes", process.stderr.maxbytes);
        }
    }
    check.shared_logs(config);
    check.found
}

struct Check<'d> {
    document: &'d Document,
    /// The full names of program sections, by kind and name.
    sections: HashMap<(&'d str, &'d str), &'d str>,
    found: Vec<Problem>,
    /// What was said about a key; the processes of a section usually share their problems.
    seen: HashSet<(String, String, String)>,
    /// Whether a host has an address.
    hosts: HashMap<String, bool>,
    /// Where control groups may be made, or why they may not; once a program wants one.
    cgroups: Option<Result<Base, String>>,
}

fn sections(document: &Document) -> HashMap<(&str, &str), &str> {
    let named = document.sections().filter_map(|section| {
        let (kind, name) = section.split_once(':')?;
        Some(((kind, name.trim()), section))
    });
    named.collect()
}

impl Check<'_> {
    /// The section a process is from.
    fn section_of(&self, group: &GroupConfig, process: &ProcessConfig) -> String {
        let kind = match group.kind {
            GroupKind::EventListener(_) => "eventlistener",
            _ if process.fcgi_socket.is_some() => "fcgi-program",
            _ => "program",
        };
        let section = self.sections.get(&(kind, &*process.program));
        section.map_or_else(|| format!("{kind}:{}", process.program), |section| section.to_string())
    }

    /// What it is given, and as whom it runs.
    fn identity(&mut self, section: &str, process: &ProcessConfig, config: &Config) {
        let daemon = user_of(config);
        for (severity, key, text) in identity::findings(process, daemon) {
            self.say(severity, section, &key, text);
        }
    }

    fn warn(&mut self, section: &str, key: &str, text: String) {
        self.say(Severity::Warning, section, key, text);
    }

    fn say(&mut self, severity: Severity, section: &str, key: &str, text: String) {
        if !self.seen.insert((section.to_string(), key.to_string(), text.clone())) {
            return;
        }
        let place = self.document.get(section, key).map(|value| value.place);
        let place = place.or_else(|| self.document.header(section));
        self.found.push(Problem {
            severity,
            text,
            file: place.map(|place| self.document.file(place).name.clone()),
            line: place.map(|place| place.line),
            section: Some(section.to_string()),
            key: Some(key.to_string()),
        });
    }

    fn daemon(&mut self, config: &Config) {
        if let ActivityLog::File(path) = &config.supervisord.logfile
            && let Err(why) = writable(path)
        {
            self.warn("supervisord", "logfile", why);
        }
        self.log_size("supervisord", "logfile_maxbytes", config.supervisord.logfile_maxbytes);
        if let Err(why) = writable(&config.supervisord.pidfile) {
            self.warn("supervisord", "pidfile", why);
        }
        if let Some(path) = &config.supervisord.state_file
            && let Err(why) = writable(path)
        {
            self.warn("supervisord", "state_file", why);
        } else if let Some((severity, text)) = state_file::finding(config) {
            self.say(severity, "supervisord", "state_file", text);
        }
        let needs_logs = config.groups.iter().flat_map(|group| &group.processes).any(|process| {
            process.stdout.logfile == ChildLog::Auto || process.stderr.logfile == ChildLog::Auto
        });
        if needs_logs && let Err(why) = takes_files(&config.supervisord.childlogdir) {
            self.warn("supervisord", "childlogdir", why);
        }
        if let ExitWhen::Named(name) = &config.supervisord.exit_when
            && !is_known(config, name)
        {
            self.warn("supervisord", "exit_when", format!("no process or group is named {}", repr(name)));
        }
        self.survivors(config);
        self.servers(config);
        self.limits(config);
    }

    /// Limits that cannot be raised as far as the configuration wants: the daemon does not start.
    fn limits(&mut self, config: &Config) {
        let wanted = [
            ("minfds", Limited::Descriptors, config.supervisord.minfds, "descriptors"),
            ("minprocs", Limited::Processes, config.supervisord.minprocs, "processes"),
        ];
        for (key, what, least, name) in wanted {
            if let Ok(hard) = limits::get(what).map(|limit| limit.hard)
                && hard < least
                && !limits::may_raise(what, least)
            {
                let text = format!("{least} {name} are needed, and the hard limit here is {hard}");
                self.warn("supervisord", key, text);
                self.found.last_mut().into_iter().for_each(|problem| problem.severity = Severity::Error);
            }
        }
    }

    /// Settings about programs that outlive the daemon. Each of them needs the others.
    fn survivors(&mut self, config: &Config) {
        let settings = &config.supervisord;
        if let Some(path) = &settings.processinfomapfile
            && let Err(why) = writable(path)
        {
            self.warn("supervisord", "processinfomapfile", why);
        }
        if settings.exitkillall {
            return;
        }
        if settings.startkillall {
            let text = "the next start ends the programs that exitkillall=false leaves running: set \
                        startkillall=false to take them over";
            self.warn("supervisord", "startkillall", text.to_string());
        }
        if settings.processinfomapfile.is_none() {
            let text = "without this table, no start can take over the programs of a keeper that was killed: they \
                        must be ended by hand first";
            self.warn("supervisord", "processinfomapfile", text.to_string());
        }
    }

    fn servers(&mut self, config: &Config) {
        for server in &config.http_servers {
            let key = if matches!(server.address, HttpAddress::Inet { .. }) { "port" } else { "file" };
            if let HttpAddress::Unix { file, .. } = &server.address
                && file.parent().is_some_and(Path::is_dir)
                && !file.exists()
                && let Err(why) = writable(file)
            {
                self.warn(&server.section, key, why);
            }
            if let HttpAddress::Inet { host, .. } = &server.address
                && server.credentials.is_none()
                && !["127.0.0.1", "localhost", "::1"].contains(&host.as_str())
            {
                let text = "anyone who can reach this port controls every program: set username and password";
                self.warn(&server.section, key, text.to_string());
            }
            if server.credentials.is_none() && server.allowed_hosts.iter().any(|name| name == "*") {
                let text = "any page on the web can use its visitors' browsers to control every program: name the hosts, \
                            or set username and password";
                self.warn(&server.section, "allowed_hosts", text.to_string());
            }
        }
    }

    fn command(&mut self, section: &str, key: &str, text: &str, process: &ProcessConfig, config: &Config) {
        let own_path = process.environment.get("PATH").cloned();
        let path = own_path.or_else(|| std::env::var("PATH").ok());
        // The command runs in `directory`, or else in that of the daemon.
        let directory = process.directory.as_deref().or(config.supervisord.directory.as_deref());
        if let Err(error) = command::resolve(text, directory, path.as_deref()) {
            self.warn(section, key, error.to_string());
        }
        if let Some(text) = commands::shell_words(text) {
            self.warn(section, key, text);
        }
    }

    /// A job ends by itself, and so do those that it waits for.
    fn wrapper(&mut self, section: &str, process: &ProcessConfig) {
        let is_alone = process.scope() == StopScope::Process && !process.is_oneshot();
        if let Some(text) = commands::wrapper(&process.command).filter(|_| is_alone) {
            self.say(Severity::Hint, section, "command", text);
        }
    }

    /// What a probe names that is not here now.
    fn probes(&mut self, section: &str, process: &ProcessConfig, config: &Config) {
        let ready = process.readiness.as_ref().map(|readiness| ("ready", &readiness.ready));
        let health = process.health_check.as_ref().map(|check| ("health", &check.health));
        for (key, probe) in ready.into_iter().chain(health) {
            match probe {
                Probe::Exec(text) => self.command(section, key, text, process, config),
                Probe::Unix(path) | Probe::File(path) => {
                    if let Some(directory) = path.parent().filter(|directory| !directory.is_dir()) {
                        let text = format!("the directory {} does not exist now", directory.display());
                        self.warn(section, key, text);
                    }
                }
                Probe::Tcp { host, .. } => self.host(section, key, host),
                Probe::Http(probe) => self.host(section, key, &probe.host),
                Probe::Log(_) | Probe::Notify | Probe::Fd(_) => {}
            }
        }
    }

    fn host(&mut self, section: &str, key: &str, host: &str) {
        if !self.has_address(host) {
            let text = format!("the name of the host {} cannot be resolved now", repr(host));
            self.warn(section, key, text);
        }
    }

    /// What the kernel would refuse to a program of a daemon that is started from here.
    fn resources(&mut self, section: &str, process: &ProcessConfig) {
        for setting in Setting::all(&process.resources) {
            if let Some(why) = setting.why_not() {
                let text = format!(
                    "a daemon started from here cannot apply it, and the program cannot start: {why}"
                );
                self.warn(section, setting.key(), text);
            }
        }
    }

    /// Keys of a control group that have no effect from where this runs: a service may be given more than a shell.
    fn cgroup(&mut self, section: &str, process: &ProcessConfig) {
        if !process.wants_cgroup() {
            return;
        }
        let limits = &process.resources.cgroup;
        // No daemon is asked, so none has moved anybody.
        let found = self.cgroups.get_or_insert_with(|| home::find(0));
        let problems: Vec<(&str, String)> = match found {
            Ok(base) => place::problems(base, limits),
            Err(why) => {
                let keys = limits.knobs().into_iter().filter(|knob| knob.value.is_some());
                let scope = (process.stop_scope == StopScope::Cgroup).then_some("stop_scope");
                let keys = keys.map(|knob| knob.key).chain(scope);
                keys.map(|key| (key, format!("control groups are not available: {why}"))).collect()
            }
        };
        let consequence =
            if limits.cgroup_required { "the program cannot start" } else { "the program starts without it" };
        for (key, why) in problems {
            self.warn(
                section,
                key,
                format!("a daemon started from here cannot apply it, and {consequence}: {why}"),
            );
        }
    }

    fn directory(&mut self, section: &str, process: &ProcessConfig) {
        if let Some(directory) = &process.directory
            && !directory.is_dir()
        {
            self.warn(section, "directory", format!("{} is not an existing directory", directory.display()));
        }
    }

    fn log(&mut self, section: &str, key: &str, stream: &StreamConfig) {
        for path in files(stream) {
            match (writable(path), path.parent()) {
                (Err(why), _) => self.warn(section, key, why),
                (Ok(()), Some(directory)) if !directory.as_os_str().is_empty() && !directory.is_dir() => {
                    self.warn(section, key, format!("the directory {} will be created", directory.display()));
                }
                (Ok(()), _) => {}
            }
        }
        for target in &stream.more {
            if let LogTarget::Syslog(target) = target {
                self.host(section, key, &target.host);
            }
        }
    }

    /// Whether the system knows where a host is. Each is asked for once.
    fn has_address(&mut self, host: &str) -> bool {
        let ask = || (host, 0_u16).to_socket_addrs().is_ok_and(|mut addresses| addresses.next().is_some());
        *self.hosts.entry(host.to_string()).or_insert_with(ask)
    }

    /// A log that is rotated all the time; often somebody wrote kilobytes or megabytes without their unit.
    fn log_size(&mut self, section: &str, key: &str, n_bytes: u64) {
        if (1..LEAST_LOG).contains(&n_bytes) {
            let text = format!(
                "a log of {n_bytes} bytes is rotated at nearly every line: set at least 4KB, or 0 for no limit"
            );
            self.warn(section, key, text);
        }
    }

    /// Files that more than one stream writes to: each stream would rotate them while the others write.
    fn shared_logs(&mut self, config: &Config) {
        let mut writers: BTreeMap<PathBuf, Vec<(String, &str, String)>> = BTreeMap::new();
        for group in &config.groups {
            for process in &group.processes {
                let section = self.section_of(group, process);
                for (key, stream) in
                    [("stdout_logfile", &process.stdout), ("stderr_logfile", &process.stderr)]
                {
                    for path in files(stream).filter(|path| !path.starts_with("/dev")) {
                        let name =
                            format!("{} of {}", &key[..6], namespec::display(&group.name, &process.name));
                        writers.entry(path.to_path_buf()).or_default().push((section.clone(), key, name));
                    }
                }
            }
        }
        if let ActivityLog::File(path) = &config.supervisord.logfile
            && let Some(writers) = writers.get_mut(path)
        {
            writers.push(("supervisord".to_string(), "logfile", "the activity log".to_string()));
        }
        for (path, writers) in writers.into_iter().filter(|(_, writers)| writers.len() > 1) {
            // There are at least two.
            let (section, key, _) = writers[writers.len() - 1].clone();
            let mut names: Vec<String> = writers.iter().take(3).map(|(_, _, name)| name.clone()).collect();
            if writers.len() > 3 {
                names.push(format!("{} more", writers.len() - 3));
            }
            let text = format!("{} is written by {}", path.display(), names.join(", "));
            self.warn(&section, key, text);
        }
    }
}

/// Who the daemon runs as.
fn user_of(config: &Config) -> u32 {
    config.supervisord.user.as_ref().map_or_else(user::current_uid, |user| user.uid)
}

/// Whether a namespec names a process, or a group with at least one.
fn is_known(config: &Config, namespec: &str) -> bool {
    let Namespec { group, process } = Namespec::parse(namespec);
    let group = config.groups.iter().find(|known| *known.name == *group);
    group.is_some_and(|group| {
        group.processes.iter().any(|known| process.as_ref().is_none_or(|name| *known.name == **name))
    })
}

/// The files a stream goes to.
fn files(stream: &StreamConfig) -> impl Iterator<Item = &Path> {
    let first = match &stream.logfile {
        ChildLog::File(path) => Some(path.as_path()),
        _ => None,
    };
    let more = stream.more.iter().filter_map(|target| match target {
        LogTarget::File(path) => Some(path.as_path()),
        LogTarget::Memory | LogTarget::Syslog(_) => None,
    });
    // An empty name means no log.
    first.into_iter().chain(more).filter(|path| !path.as_os_str().is_empty())
}

/// Whether this user could write a file: it is there and writable, or the nearest directory above it is.
fn writable(path: &Path) -> Result<(), String> {
    if path.is_dir() {
        return Err(format!("{} is a directory", path.display()));
    }
    if path.exists() {
        let why = |errno: nix::Error| format!("cannot write {}: {}", path.display(), errno.desc());
        return nix::unistd::access(path, AccessFlags::W_OK).map_err(why);
    }
    path.parent().map_or(Ok(()), takes_files)
}

/// Whether this user could create files in a directory, which is created itself if need be.
fn takes_files(directory: &Path) -> Result<(), String> {
    for above in directory.ancestors().take_while(|above| !above.as_os_str().is_empty()) {
        if above.is_dir() {
            let why = |errno: nix::Error| format!("cannot write to {}: {}", above.display(), errno.desc());
            return nix::unistd::access(above, AccessFlags::W_OK).map_err(why);
        }
        if above.exists() {
            return Err(format!("{} is not a directory", above.display()));
        }
    }
    Ok(())
}
