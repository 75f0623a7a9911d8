//! What a process is given, and what it is kept from: environment, credentials, limits, confinement, output.

use crate::config::Setting;
use crate::convert::systemd::service::{Making, SERVICE};
use crate::convert::systemd::text;
use crate::model::config::{ChildLog, Inherit, LogTarget, StreamConfig};
use crate::model::confinement::{ConfinedPath, Seccomp};
use crate::model::resources::{CpuScheduling, IoPriority, Resource};
use std::path::Path;

const OPTIONAL: &str = "systemd does not start a service without it where the kernel lacks it";

impl Making<'_> {
    /// Variables, files with variables, credentials.
    pub(super) fn environment(&mut self) {
        let process = self.process;
        for (name, value) in &process.environment {
            if is_name(name) {
                self.add("Environment", text::word(&format!("{name}={value}")));
                continue;
            }
            let what = format!("[{}] environment", self.program.section);
            self.losses.note(what, name, "systemd takes names of letters, digits and '_' only");
        }
        let sources = &process.environment_sources;
        for file in &sources.environment_file {
            let mark = if file.may_be_missing { "-" } else { "" };
            if let Some(path) = self.line("environment_file", "EnvironmentFile", &text::shown(&file.path)) {
                self.add("EnvironmentFile", format!("{mark}{path}"));
            }
        }
        if !sources.environment_file.is_empty() {
            self.lose(
                "environment_file",
                "systemd reads the files in its own way: lines with export and ' #' comments behind values are not understood",
            );
            self.lose("environment", "systemd lets a variable of a file win over Environment=");
        }
        match &sources.environment_inherit {
            // systemd gives a service a few variables of its own, and none of anybody else's.
            Inherit::All | Inherit::None => {}
            Inherit::Some(names) => {
                let (patterns, names): (Vec<&str>, Vec<&str>) =
                    names.iter().map(String::as_str).partition(|name| name.contains('*'));
                if !names.is_empty() {
                    self.add("PassEnvironment", names.join(" "));
                }
                if !patterns.is_empty() {
                    self.lose("environment_inherit", "PassEnvironment= takes names, not patterns: list them");
                }
            }
        }
        for credential in &process.credentials {
            let key = format!("credential.{}", credential.name);
            if let Some(path) = self.line(&key, "LoadCredential", &text::shown(&credential.path)) {
                self.add("LoadCredential", format!("{}:{path}", credential.name));
            }
            if credential.may_be_missing {
                self.lose(&key, "LoadCredential= fails the start if the file is missing");
            }
        }
    }

    /// Limits of the process and of its control group, and its priority.
    pub(super) fn resources(&mut self) {
        let resources = &self.process.resources;
        for limit in &resources.limits {
            let one = |value: u64| if value == u64::MAX { "infinity".to_string() } else { value.to_string() };
            let both = format!("{}:{}", one(limit.soft), one(limit.hard));
            let value = if limit.soft == limit.hard { one(limit.soft) } else { both };
            self.add(limit_directive(limit.resource), value);
        }
        if let Some(nice) = resources.nice {
            self.add("Nice", nice.to_string());
        }
        if let Some(priority) = resources.ionice {
            let (class, level) = match priority {
                IoPriority::RealTime(level) => ("realtime", Some(level)),
                IoPriority::BestEffort(level) => ("best-effort", Some(level)),
                IoPriority::Idle => ("idle", None),
            };
            self.add("IOSchedulingClass", class);
            if let Some(level) = level {
                self.add("IOSchedulingPriority", level.to_string());
            }
        }
        if !resources.cpu_affinity.is_empty() {
            let cpus: Vec<String> = resources.cpu_affinity.iter().map(u32::to_string).collect();
            self.add("CPUAffinity", cpus.join(" "));
        }
        if let Some(how) = resources.cpu_scheduling {
            let (policy, priority) = match how {
                CpuScheduling::Other => ("other", None),
                CpuScheduling::Batch => ("batch", None),
                CpuScheduling::Idle => ("idle", None),
                CpuScheduling::Fifo(priority) => ("fifo", Some(priority)),
                CpuScheduling::RoundRobin(priority) => ("rr", Some(priority)),
            };
            self.add("CPUSchedulingPolicy", policy);
            if let Some(priority) = priority {
                self.add("CPUSchedulingPriority", priority.to_string());
            }
        }
        if let Some(score) = resources.oom_score_adj {
            self.add("OOMScoreAdjust", score.to_string());
        }
        self.control_group();
    }

    /// quadlet's containers have a control group of the same kind.
    pub(in crate::convert) fn control_group(&mut self) {
        let limits = &self.process.resources.cgroup;
        let number =
            |number: u64| if number == u64::MAX { "infinity".to_string() } else { number.to_string() };
        let quota = |percent: u32| if percent == u32::MAX { String::new() } else { format!("{percent}%") };
        let rows = [
            ("MemoryHigh", limits.memory_high.map(number)),
            ("MemoryMax", limits.memory_max.map(number)),
            ("CPUQuota", limits.cpu_max.map(quota)),
            ("CPUWeight", limits.cpu_weight.map(|weight| weight.to_string())),
            ("TasksMax", limits.pids_max.map(number)),
            ("IOWeight", limits.io_weight.map(|weight| weight.to_string())),
        ];
        for (key, value) in rows.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            self.add(key, value);
        }
    }

    /// What the kernel keeps it from.
    pub(super) fn confinement(&mut self) {
        let confinement = &*self.process.confinement;
        if confinement.no_new_privs {
            self.add("NoNewPrivileges", "yes");
        }
        let sets = [
            ("capabilities", "CapabilityBoundingSet", &confinement.capabilities),
            ("ambient_capabilities", "AmbientCapabilities", &confinement.ambient_capabilities),
        ];
        for (key, directive, wish) in sets {
            let Some(wish) = wish else { continue };
            let names: Vec<String> =
                wish.value.iter().map(|capability| format!("CAP_{}", capability.name)).collect();
            self.add(directive, names.join(" "));
            if wish.is_optional {
                self.lose(key, OPTIONAL);
            }
        }
        match confinement.seccomp.as_ref().map(|wish| &wish.value) {
            None => {}
            Some(Seccomp::Service) => {
                self.add("SystemCallFilter", "@system-service");
                self.add("SystemCallErrorNumber", "EPERM");
                self.lose("seccomp", "@system-service is systemd's list, which is nearly the same");
            }
            Some(Seccomp::File(_)) => {
                self.lose("seccomp", "list the calls of the file in SystemCallFilter=");
            }
        }
        self.files();
        for (key, directive, wish) in [
            ("private_tmp", "PrivateTmp", &confinement.private_tmp),
            ("private_network", "PrivateNetwork", &confinement.private_network),
        ] {
            if wish.value {
                self.add(directive, "yes");
                if wish.is_optional {
                    self.lose(key, OPTIONAL);
                }
            }
        }
    }

    /// Everything that no path names is out of reach: here because it is not there.
    fn files(&mut self) {
        let confinement = &self.process.confinement;
        if !confinement.confines_files() {
            return;
        }
        self.add("TemporaryFileSystem", "/:ro");
        for (key, directive, paths) in [
            ("read_only_paths", "BindReadOnlyPaths", &confinement.read_only_paths),
            ("read_write_paths", "BindPaths", &confinement.read_write_paths),
        ] {
            for ConfinedPath { path, may_be_missing } in paths {
                let (mark, path) = (if *may_be_missing { "-" } else { "" }, text::shown(path));
                if self.is_text(key, &path) {
                    self.add(directive, text::word(&format!("{mark}{path}").replace(':', "\\:")));
                }
            }
        }
        for key in ["read_only_paths", "read_write_paths"] {
            self.lose(key, "what no path names is missing for the service, instead of forbidden");
        }
    }

    /// Where its output goes.
    pub(super) fn output(&mut self) {
        let process = self.process;
        if let Some(place) = self.stream("stdout", &process.stdout) {
            self.add("StandardOutput", place);
        }
        let stderr = match process.redirect_stderr {
            true => Some("inherit".to_string()),
            false => self.stream("stderr", &process.stderr),
        };
        if let Some(place) = stderr {
            self.add("StandardError", place);
        }
        let options = &process.stdout.syslog_options;
        let tag = options.tag.clone().unwrap_or_else(|| process.name.to_string());
        if let Some(tag) = self.line("syslog_tag", "SyslogIdentifier", &tag) {
            self.add("SyslogIdentifier", tag);
        }
        for (key, directive) in
            [("syslog_facility", "SyslogFacility"), ("syslog_stdout_priority", "SyslogLevel")]
        {
            if let Some(Setting { value, .. }) = self.program.setting(key) {
                let value = syslog_word(value);
                self.unit.add(SERVICE, directive, value);
            }
        }
    }

    /// Where a stream goes; `None` if its file cannot be named.
    fn stream(&mut self, name: &str, stream: &StreamConfig) -> Option<String> {
        let key = |end: &str| format!("{name}_{end}");
        let syslog = stream.syslog || stream.more.iter().any(|target| matches!(target, LogTarget::Syslog(_)));
        let place = match &stream.logfile {
            ChildLog::None if syslog => "journal".to_string(),
            ChildLog::None => "null".to_string(),
            ChildLog::Auto => "journal".to_string(),
            ChildLog::Memory => {
                self.lose(&key("logfile"), "there is no log in memory: the output goes to the journal");
                "journal".to_string()
            }
            ChildLog::File(path) => self.file(&key("logfile"), path, stream)?,
        };
        if place == "journal" {
            for end in ["logfile_maxbytes", "logfile_backups"] {
                self.lose(&key(end), "the journal has limits of its own: see journald.conf");
            }
        }
        let n_places = usize::from(stream.logfile != ChildLog::None) + stream.more.len();
        if n_places > 1 {
            self.lose(&key("logfile"), "output goes to one place: the first of them");
        } else if stream.more.iter().any(|target| matches!(target, LogTarget::Syslog(_))) {
            self.lose(
                &key("logfile"),
                "output goes to the journal: let rsyslog or systemd-netlogd send it on",
            );
        }
        if stream.syslog && place != "journal" {
            self.lose(&key("syslog"), "output goes to one place: write StandardOutput=journal for syslog");
        }
        Some(place)
    }

    fn file(&mut self, key: &str, path: &Path, stream: &StreamConfig) -> Option<String> {
        match path.to_str() {
            Some("/dev/stdout" | "/dev/stderr" | "/dev/fd/1" | "/dev/fd/2") => {
                return Some("journal".to_string());
            }
            Some("/dev/null") => return Some("null".to_string()),
            _ => {}
        }
        if stream.maxbytes > 0 {
            self.lose(key, "nothing rotates the file: add a rule for logrotate, with copytruncate");
            for end in ["_maxbytes", "_backups"] {
                self.lose(&format!("{key}{end}"), "say it in a rule for logrotate: size and rotate");
            }
        }
        let path = text::shown(&self.options.surroundings.absolute(path));
        let directive = if key.starts_with("stdout") { "StandardOutput" } else { "StandardError" };
        self.line(key, directive, &path).map(|path| format!("append:{path}"))
    }
}

/// Whether systemd takes a variable of this name.
fn is_name(name: &str) -> bool {
    let is_possible = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_possible)
}

/// The name of a facility or a level as systemd spells it.
fn syslog_word(value: &str) -> String {
    let word = value.trim().to_lowercase();
    let word = word.strip_prefix("log_").unwrap_or(&word);
    match word {
        "kernel" => "kern",
        "critical" => "crit",
        "error" => "err",
        "warn" => "warning",
        "emergency" => "emerg",
        word => word,
    }
    .to_string()
}

/// `LimitNOFILE` for `limit_nofile`.
pub(super) fn limit_directive(resource: Resource) -> &'static str {
    match resource {
        Resource::As => "LimitAS",
        Resource::Core => "LimitCORE",
        Resource::Cpu => "LimitCPU",
        Resource::Data => "LimitDATA",
        Resource::Fsize => "LimitFSIZE",
        Resource::Memlock => "LimitMEMLOCK",
        Resource::Msgqueue => "LimitMSGQUEUE",
        Resource::Nofile => "LimitNOFILE",
        Resource::Nproc => "LimitNPROC",
        Resource::Rtprio => "LimitRTPRIO",
        Resource::Sigpending => "LimitSIGPENDING",
        Resource::Stack => "LimitSTACK",
    }
}
