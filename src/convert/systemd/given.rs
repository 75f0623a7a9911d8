//! The directives of a service about what it is given and kept from.

use crate::config::resources;
use crate::convert::import::{self, Settings};
use crate::convert::systemd::parse::Directive;
use crate::convert::systemd::reader::{Reader, SERVICE};
use crate::convert::systemd::surroundings::limit_directive;
use crate::convert::systemd::time::{self, Span};
use crate::model::resources::Resource;
use crate::model::syslog::{Facility, Severity};
use caps::Capability;
use std::str::FromStr;

impl Reader<'_> {
    pub(super) fn identity(&mut self) {
        let (user, group) = (self.take("User"), self.take("Group"));
        match (user, group) {
            (Some(user), group) => {
                let name = self.value(&user.value, &user);
                let group = group.map(|group| format!(":{}", self.value(&group.value, &group)));
                self.set("user", format!("{name}{}", group.unwrap_or_default()));
            }
            (None, Some(group)) => self.lose(&group, "a group needs a user: write user=NAME:GROUP"),
            (None, None) => {}
        }
        let groups: Vec<String> = self
            .unit
            .take_words(SERVICE, "SupplementaryGroups")
            .into_iter()
            .map(|(word, _)| import::escaped(&word))
            .collect();
        if !groups.is_empty() {
            self.set("supplementary_groups", groups.join(", "));
        }
        if let Some(umask) = self.take("UMask") {
            self.set_mode("umask", &umask);
        }
        if let Some(directive) = self.take("WorkingDirectory") {
            let path = directive.value.trim_start_matches('-');
            match path {
                "~" => self.lose(&directive, "write the home of the user as directory"),
                path => {
                    if path.len() < directive.value.len() {
                        self.lose(&directive, "the directory must be there");
                    }
                    let path = self.value(path, &directive);
                    self.set("directory", path);
                }
            }
        }
    }

    pub(super) fn environment(&mut self) {
        let mut variables = Settings::default();
        for directive in self.unit.take_all(SERVICE, "Environment") {
            for word in self.words(&directive) {
                let Some((name, value)) = word.split_once('=').filter(|(name, _)| is_variable(name)) else {
                    self.lose(&directive, "one of its words is not NAME=value, and systemd ignores it");
                    continue;
                };
                let value = self.value(value, &directive);
                variables.set(name, value);
            }
        }
        let text = import::environment_of_values(variables.iter());
        let has_variables = !text.is_empty();
        if has_variables {
            self.set("environment", text);
        }
        let mut files = Vec::new();
        for directive in self.unit.take_all(SERVICE, "EnvironmentFile") {
            if directive.value.contains(['*', '?', '[', ',']) {
                self.lose(&directive, "it is a pattern, or has a comma: name the files one by one");
            } else {
                files.push(self.value(&directive.value, &directive));
                if has_variables {
                    self.lose(&directive, "environment wins over the file, other than with systemd");
                }
            }
        }
        if !files.is_empty() {
            self.set("environment_file", files.join(", "));
        }
        let passed: Vec<String> = self
            .unit
            .take_words(SERVICE, "PassEnvironment")
            .into_iter()
            .map(|(word, _)| import::escaped(&word))
            .collect();
        if !passed.is_empty() {
            self.set("environment_inherit", passed.join(","));
        }
        for directive in self.unit.take_all(SERVICE, "LoadCredential") {
            match directive.value.split_once(':') {
                Some((name, path)) if path.starts_with('/') && import::is_credential(name) => {
                    let path = self.value(path, &directive);
                    self.set(&format!("credential.{name}"), path);
                }
                _ => self.lose(
                    &directive,
                    "a credential is NAME:/path, with small letters, digits, '.', '_' and '-' in the name",
                ),
            }
        }
    }

    pub(super) fn resources(&mut self) {
        for resource in Resource::ALL {
            let Some(directive) = self.take(limit_directive(resource)) else { continue };
            let one = |text: &str| match text {
                "infinity" => Some("unlimited".to_string()),
                text if resource == Resource::Cpu => match time::span(text)? {
                    Span::Micros(micros) => Some(time::seconds(micros).to_string()),
                    Span::Infinite => Some("unlimited".to_string()),
                },
                text => time::size(text).map(|number| number.to_string()),
            };
            let value = match directive.value.split_once(':') {
                Some((soft, hard)) => one(soft).zip(one(hard)).map(|(soft, hard)| format!("{soft}:{hard}")),
                None => one(&directive.value),
            };
            match value {
                Some(value) => self
                    .set_valid(resource.key(), &value, &directive, |text| resources::limit(resource, text)),
                None => self.lose(&directive, "it is not a limit that is understood"),
            }
        }
        for (key, name, range) in [
            ("Nice", "nice", -20..=19),
            ("OOMScoreAdjust", "oom_score_adj", -1000..=1000),
            ("IOWeight", "io_weight", 1..=10_000),
            ("CPUWeight", "cpu_weight", 1..=10_000),
        ] {
            if let Some(number) = self.number(key, range) {
                self.set(name, number.to_string());
            }
        }
        self.scheduling();
        for (key, name) in
            [("MemoryHigh", "memory_high"), ("MemoryMax", "memory_max"), ("MemoryLimit", "memory_max")]
        {
            let Some(directive) = self.take(key) else { continue };
            match time::size(&directive.value) {
                Some(bytes) => self.set_valid(name, &bytes.to_string(), &directive, resources::memory),
                None if directive.value == "infinity" => {}
                None => self.lose(&directive, "it is no number of bytes"),
            }
        }
        if let Some(directive) = self.take("CPUQuota") {
            match directive.value.ends_with('%') {
                true => self.set_valid("cpu_max", &directive.value, &directive, resources::cpu_max),
                false => self.lose(&directive, "it is not a number with a %"),
            }
        }
        if let Some(directive) = self.take("TasksMax") {
            match directive.value.parse::<u64>() {
                Ok(number) => {
                    self.set_valid("pids_max", &number.to_string(), &directive, resources::pids_max);
                }
                Err(_) if directive.value == "infinity" => {}
                Err(_) => self.lose(&directive, "it is not a number"),
            }
        }
    }

    fn scheduling(&mut self) {
        let level = self.number("IOSchedulingPriority", 0..=7);
        if let Some(directive) = self.take("IOSchedulingClass") {
            let level = level.unwrap_or(4);
            match &*directive.value {
                "realtime" | "1" => self.set("ionice", format!("rt:{level}")),
                "best-effort" | "2" => self.set("ionice", format!("be:{level}")),
                "idle" | "3" => self.set("ionice", "idle"),
                _ => self.lose(&directive, "no such class is known"),
            }
        } else if let Some(level) = level {
            self.set("ionice", format!("be:{level}"));
        }
        let priority = self.number("CPUSchedulingPriority", 1..=99).unwrap_or(1);
        if let Some(directive) = self.take("CPUSchedulingPolicy") {
            match &*directive.value {
                word @ ("other" | "batch" | "idle") => self.set("cpu_scheduling", word),
                word @ ("fifo" | "rr") => self.set("cpu_scheduling", format!("{word}:{priority}")),
                _ => self.lose(&directive, "no such policy is known"),
            }
        }
        self.affinity();
    }

    fn affinity(&mut self) {
        let words = self.unit.take_words(SERVICE, "CPUAffinity");
        let processors = words.iter().flat_map(|(word, _)| word.split(',')).filter(|word| !word.is_empty());
        let processors = processors.collect::<Vec<_>>().join(",");
        if let Some((_, directive)) = words.last().filter(|_| !processors.is_empty()) {
            self.set_valid("cpu_affinity", &processors, directive, resources::cpu_affinity);
        }
    }

    pub(super) fn confinement(&mut self) {
        for (key, name) in [
            ("NoNewPrivileges", "no_new_privs"),
            ("PrivateTmp", "private_tmp"),
            ("PrivateNetwork", "private_network"),
        ] {
            if self.flag(key) == Some(true) {
                self.set(name, "true");
            }
        }
        for (key, name) in
            [("CapabilityBoundingSet", "capabilities"), ("AmbientCapabilities", "ambient_capabilities")]
        {
            let is_reset = self.unit.is_reset(SERVICE, key);
            let words = self.unit.take_words(SERVICE, key);
            if let Some((_, directive)) = words.iter().find(|(word, _)| word.starts_with('~')) {
                self.lose(directive, "list what it can have, not what it cannot have");
                continue;
            }
            let (known, unknown): (Vec<_>, Vec<_>) = words.iter().partition(|(word, _)| is_capability(word));
            for (_, directive) in unknown {
                self.lose(directive, "no capability has one of its names, and systemd ignores that");
            }
            let names: Vec<&str> =
                known.iter().map(|(word, _)| word.strip_prefix("CAP_").unwrap_or(word)).collect();
            match names.is_empty() {
                false => self.set(name, names.join(", ")),
                true if is_reset && name == "capabilities" => self.set(name, "none"),
                true => {}
            }
        }
        let filters = self.unit.take_words(SERVICE, "SystemCallFilter");
        match filters.as_slice() {
            [] => {}
            [(word, _)] if word == "@system-service" => self.set("seccomp", "@service"),
            [(_, directive), ..] => {
                let directive = directive.clone();
                self.lose(&directive, "write seccomp=@service, or list the calls in a file");
            }
        }
        if let Some(directive) = self.take("SystemCallErrorNumber").filter(|it| it.value != "EPERM") {
            self.lose(&directive, "a forbidden call fails with EPERM");
        }
        self.files();
    }

    /// Everything is out of reach but what is bound, or the directives mean something else.
    fn files(&mut self) {
        let covers = self.take("TemporaryFileSystem");
        let confines = covers.as_ref().is_some_and(|it| it.value == "/:ro" || it.value == "/");
        if let Some(directive) = covers.filter(|_| !confines) {
            self.lose(
                &directive,
                "a program sees the files of the machine: say read_only_paths and read_write_paths",
            );
        }
        for (key, name) in [("BindReadOnlyPaths", "read_only_paths"), ("BindPaths", "read_write_paths")] {
            let mut paths = Vec::new();
            for directive in self.unit.take_all(SERVICE, key) {
                for word in self.words(&directive) {
                    let path = word.replace("\\:", "\u{0}");
                    if !confines || path.contains([':', ',']) {
                        self.lose(
                            &directive,
                            "files are where they are: nothing can be bound to another place",
                        );
                        continue;
                    }
                    let path = self.value(&path.replace('\u{0}', ":"), &directive);
                    paths.push(path);
                }
            }
            if !paths.is_empty() {
                self.set(name, paths.join(", "));
            }
        }
    }

    pub(super) fn output(&mut self, process_name: &str) {
        let stdout = self.take("StandardOutput");
        let stderr = self.take("StandardError");
        let is_journal = |directive: Option<&Directive>| {
            directive
                .is_none_or(|it| ["journal", "syslog", "inherit", "journal+console"].contains(&&*it.value))
        };
        if let Some(directive) = &stdout {
            self.stream("stdout", directive);
        }
        let both_journal = is_journal(stdout.as_ref()) && is_journal(stderr.as_ref());
        match &stderr {
            Some(directive) if directive.value != "inherit" => self.stream("stderr", directive),
            Some(_) => self.set("redirect_stderr", "true"),
            // It follows standard output; two logs in place of one journal are as good.
            None if !both_journal => self.set("redirect_stderr", "true"),
            None => {}
        }
        if let Some(directive) = self.take("SyslogIdentifier") {
            let tag = self.value(&directive.value, &directive);
            if tag != process_name {
                self.set("syslog_tag", tag);
            }
        }
        for (key, name) in [("SyslogFacility", "syslog_facility"), ("SyslogLevel", "syslog_stdout_priority")]
        {
            if let Some(directive) = self.take(key) {
                let is_known = match key {
                    "SyslogFacility" => Facility::named(&directive.value).is_some(),
                    _ => Severity::named(&directive.value).is_some(),
                };
                match is_known {
                    true => self.set(name, directive.value.to_uppercase()),
                    false => self.lose(&directive, "syslog has no such name"),
                }
            }
        }
    }

    fn stream(&mut self, name: &str, directive: &Directive) {
        let path =
            directive.value.split_once(':').filter(|(how, _)| ["append", "file", "truncate"].contains(how));
        match (&*directive.value, path) {
            ("journal" | "syslog" | "inherit", _) => {}
            ("null", _) => self.set(&format!("{name}_logfile"), "NONE"),
            (_, Some((_, path))) if path.contains(',') => {
                self.lose(directive, "a comma separates several logs: write one without it");
            }
            (_, Some((how, path))) => {
                let path = self.value(path, directive);
                self.set(&format!("{name}_logfile"), path);
                // Nothing rotated it before.
                self.set(&format!("{name}_logfile_maxbytes"), "0");
                if how != "append" {
                    self.lose(directive, "a log is appended to");
                }
            }
            _ => self.lose(directive, "output goes to a log: see supervisorctl tail"),
        }
    }
}

/// Whether a word is the name of a capability, with `CAP_` in front or without.
fn is_capability(word: &str) -> bool {
    let name = word.strip_prefix("CAP_").unwrap_or(word);
    Capability::from_str(&format!("CAP_{name}")).is_ok()
}

/// Whether a variable can have this name, for systemd.
fn is_variable(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(is_part) && name.starts_with(|c: char| !c.is_ascii_digit())
}
