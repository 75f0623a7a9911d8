//! The settings of a program, from those of a service.

use super::import::{Project, Service, dependencies};
use super::interpolation::{begins_with_variable, shown};
use super::limits::{is_no_limit, memory, percent, pids};
use super::read::{our_size, our_time, pairs, size, texts, time, words};
use super::service::MANUAL;
use crate::config::{duration, resources};
use crate::convert::import::{Settings, command, environment, escaped, is_credential};
use crate::convert::losses::Losses;
use crate::convert::tree::Node;
use crate::model::signal::Signal;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// What has a single value.
const SCALARS: [&str; 10] = [
    "user",
    "working_dir",
    "stop_signal",
    "stop_grace_period",
    "cpuset",
    "cpus",
    "mem_limit",
    "pids_limit",
    "oom_score_adj",
    "network_mode",
];
/// More copies than anybody means.
const MOST_COPIES: u32 = 10_000;
/// As many failures as are counted.
const MOST_RETRIES: u32 = 1_000_000;

/// The keys and values of a program's section.
///
/// # Errors
/// A setting of the service is not what it should be.
pub(super) fn settings(
    project: &Project<'_>,
    service: &Service<'_>,
    losses: &mut Losses,
) -> Result<Settings, String> {
    let mut program = Program { project, service, losses, settings: Settings::default() };
    program.set("command", command(&service.words));
    program.restart();
    program.depends_on();
    program.healthcheck()?;
    let Node::Map(pairs) = service.node else { return Ok(program.settings) };
    // An empty text is as good as none.
    let written = pairs.iter().filter(|(_, value)| *value != Node::Null && value.scalar() != Some(""));
    for (key, value) in written {
        program.key(key, value);
    }
    Ok(program.settings)
}

/// A program in the making.
pub(super) struct Program<'p, 'n> {
    project: &'p Project<'n>,
    pub service: &'p Service<'n>,
    losses: &'p mut Losses,
    settings: Settings,
}

impl Program<'_, '_> {
    pub(super) fn set(&mut self, key: &str, value: impl Into<String>) {
        self.settings.set(key, value);
    }

    pub(super) fn lose(&mut self, key: &str, value: &str, why: &str) {
        self.losses.note(format!("services.{}.{key}", self.service.name), shown(value), why);
    }

    /// Notes what a mapping says besides what is read of it.
    pub(super) fn lose_others(&mut self, place: &str, node: &Node, known: &[&str]) {
        let Node::Map(pairs) = node else { return };
        let others = pairs.iter().filter(|(key, _)| !known.contains(&key.as_str()) && !key.starts_with("x-"));
        for (key, value) in others {
            self.lose(&format!("{place}.{key}"), &value.shown(), "nothing here means that");
        }
    }

    /// Sets a key to what was made of a value, or notes that it could not be read.
    pub(super) fn set_or_lose(&mut self, key: &str, made: Option<String>, from: &str, value: &Node) {
        match made {
            Some(made) => self.set(key, made),
            None => self.lose(from, &value.shown(), "it cannot be read: write the key by hand"),
        }
    }

    fn key(&mut self, key: &str, value: &Node) {
        let text = value.scalar().unwrap_or_default();
        if SCALARS.contains(&key) && value.scalar().is_none() {
            let why = format!("it is {}, and a text is expected: write the key by hand", value.kind());
            return self.lose(key, &value.shown(), &why);
        }
        match key {
            "command" | "entrypoint" | "restart" | "depends_on" | "healthcheck" | "extends" => {}
            "environment" => self.environment(value),
            "env_file" => self.env_file(value),
            "user" => self.set("user", escaped(text)),
            "working_dir" => self.set("directory", escaped(text)),
            "stop_signal" => {
                let signal = Signal::parse(text).map(|signal| match signal.name() {
                    Some(name) => name.trim_start_matches("SIG").to_string(),
                    None => signal.raw().to_string(),
                });
                self.set_or_lose("stopsignal", signal, key, value);
            }
            "stop_grace_period" => {
                let seconds = time(text).map(|time| crate::convert::units::seconds(time).to_string());
                self.set_or_lose("stopwaitsecs", seconds, key, value);
            }
            "profiles" => {
                self.set("autostart", "false");
                if texts(value) != [MANUAL] {
                    let why = "there are no profiles: start the program with \"supervisord ctl start\"";
                    self.lose(key, &value.shown(), why);
                }
            }
            "scale" => self.copies(key, value),
            "deploy" => self.deploy(value),
            "ulimits" => self.ulimits(value),
            "mem_limit" | "cpus" | "pids_limit" if is_no_limit(text) => {}
            "mem_limit" => self.set_or_lose("memory_max", memory(text), key, value),
            "cpus" => self.set_or_lose("cpu_max", percent(text), key, value),
            "cpuset" => {
                let list = resources::cpu_affinity(text).ok().map(|_| text.to_string());
                self.set_or_lose("cpu_affinity", list, key, value);
            }
            "pids_limit" => self.set_or_lose("pids_max", pids(text), key, value),
            "oom_score_adj" => {
                let number = text.parse().ok().filter(|number: &i32| (-1000..=1000).contains(number));
                self.set_or_lose("oom_score_adj", number.map(|number| number.to_string()), key, value);
            }
            "group_add" => self.set("supplementary_groups", escaped(&texts(value).join(", "))),
            "cap_drop" | "cap_add" => self.capabilities(),
            "security_opt" => self.security(value),
            "tmpfs" => self.tmpfs(value),
            "network_mode" => match text {
                "none" => self.set("private_network", "true"),
                "host" => {}
                _ => self.lose(
                    key,
                    text,
                    "programs see this machine's network: they find each other at localhost",
                ),
            },
            "logging" => self.logging(value),
            "secrets" => self.secrets(value),
            // The same holds for every program, or it is about the image.
            "init" | "privileged" | "attach" | "platform" | "pull_policy" => {}
            key if key.starts_with("x-") => {}
            key => self.lose(key, &value.shown(), why_lost(key)),
        }
    }

    fn restart(&mut self) {
        let policy = self.service.node.get("deploy").and_then(|deploy| deploy.get("restart_policy"));
        let of_deploy = policy.map(|policy| {
            let tries = policy.get("max_attempts").and_then(Node::scalar);
            match (policy.get("condition").and_then(Node::scalar), tries) {
                (Some("none"), _) => "no".to_string(),
                (Some("on-failure"), Some(tries)) => format!("on-failure:{tries}"),
                (Some("on-failure"), None) => "on-failure".to_string(),
                _ => "always".to_string(),
            }
        });
        let written = self.service.node.get("restart").and_then(Node::scalar).map(str::to_string);
        let restart = written.or(of_deploy).unwrap_or_else(|| "no".to_string());
        let is_job = self.project.is_job(self.service.name);
        if is_job {
            self.set("type", "oneshot");
        }
        let (word, tries) = restart.split_once(':').unwrap_or((&restart, "-1"));
        match (word, tries.parse::<i32>()) {
            ("no" | "false", _) if is_job => self.set("startretries", "0"),
            ("no" | "false", _) => {
                self.set("autorestart", "false");
                // Whatever ends soon was no failed start, which would be tried again.
                self.set("startsecs", "0");
            }
            ("on-failure", Ok(tries)) => {
                if !is_job {
                    self.set("autorestart", "unexpected");
                }
                self.set("startretries", tries.to_string());
                self.set("restart_backoff", "exponential");
            }
            ("always" | "unless-stopped", _) => {
                if is_job {
                    let why = "others wait for its end, so it is a job, which is started again after a failure only";
                    self.lose("restart", &restart, why);
                } else {
                    self.set("autorestart", "true");
                }
                self.set("startretries", "-1");
                self.set("restart_backoff", "exponential");
                if word == "unless-stopped" {
                    let why = "a program that somebody stopped starts again with the daemon";
                    self.lose("restart", &restart, why);
                }
            }
            _ => self.lose("restart", &restart, "it is none of no, always, on-failure, unless-stopped"),
        }
    }

    fn depends_on(&mut self) {
        let mut items = Vec::new();
        for (name, options) in dependencies(self.service.node) {
            let key = format!("depends_on.{name}");
            let other = match self.project.other(&name) {
                Ok(other) => other,
                Err(why) => {
                    self.lose(&key, &options.shown(), why);
                    continue;
                }
            };
            let asked = options.get("condition").and_then(Node::scalar).unwrap_or("service_started");
            let is_job = self.project.is_job(&name);
            let condition = match asked {
                "service_completed_successfully" => ":done",
                _ if is_job => {
                    self.lose(&key, asked, "it is a job, for whose end one can wait: it is left out");
                    continue;
                }
                "service_healthy" if test(other.node).is_some() => ":healthy",
                "service_healthy" => {
                    self.lose(&key, asked, "its health check stands in its image: it only has to run");
                    ""
                }
                _ => "",
            };
            self.lose_others(&key, &options, &["condition", "restart", "required"]);
            if options.get("restart").and_then(Node::as_bool) == Some(true) {
                self.set("depends_restart", "restart");
            }
            let soft = if options.get("required").and_then(Node::as_bool) == Some(false) { "?" } else { "" };
            items.push(format!("{}{condition}{soft}", other.program));
        }
        if !items.is_empty() {
            self.set("depends_on", escaped(&items.join(", ")));
        }
    }

    fn healthcheck(&mut self) -> Result<(), String> {
        let Some(check) = self.service.node.get("healthcheck") else { return Ok(()) };
        let Some(test) = test(self.service.node) else { return Ok(()) };
        if self.project.is_job(self.service.name) {
            self.lose("healthcheck", &check.shown(), "nobody asks a job for its health");
            return Ok(());
        }
        let words = match test {
            Node::List(items) => match items.first().and_then(Node::scalar) {
                Some("CMD") => words(&Node::List(items[1..].to_vec())),
                Some("CMD-SHELL") => Ok(Some(shell(texts(test).get(1).copied().unwrap_or_default()))),
                _ => Err("it begins with CMD, CMD-SHELL or NONE".to_string()),
            },
            other => Ok(other.scalar().map(shell)),
        };
        let words =
            words.map_err(|error| format!("services.{}.healthcheck.test: {error}", self.service.name))?;
        let words = words.filter(|words| !words.is_empty());
        let words =
            words.ok_or_else(|| format!("services.{}.healthcheck.test has no command", self.service.name))?;
        self.set("health", format!("exec:{}", command(&words)));
        for (key, from, default) in [
            ("health_interval", "interval", "30s"),
            ("health_timeout", "timeout", "30s"),
            ("health_start_period", "start_period", "0s"),
        ] {
            // To the engine, 0 is no time but the default.
            let written =
                check.get(from).filter(|value| value.scalar().and_then(time) != Some(Duration::ZERO));
            let value = written.cloned().unwrap_or_else(|| Node::text(default));
            let made = value.scalar().and_then(time).map(our_time);
            let made = made.filter(|made| key != "health_interval" || duration::interval(made).is_ok());
            self.set_or_lose(key, made, &format!("healthcheck.{from}"), &value);
        }
        let retries = check.get("retries").filter(|retries| retries.scalar() != Some("0"));
        let retries = retries.cloned().unwrap_or_else(|| Node::text("3"));
        let made = retries.scalar().and_then(|text| text.parse::<u32>().ok());
        let made = made.filter(|tries| (1..=MOST_RETRIES).contains(tries)).map(|tries| tries.to_string());
        self.set_or_lose("health_retries", made, "healthcheck.retries", &retries);
        if let Some(interval) = check.get("start_interval") {
            let why = "there is one interval; before the start period has passed nobody asks";
            self.lose("healthcheck.start_interval", &interval.shown(), why);
        }
        let known = ["test", "interval", "timeout", "start_period", "retries", "start_interval", "disable"];
        self.lose_others("healthcheck", check, &known);
        // The engine only shows it.
        self.set("health_action", "none");
        Ok(())
    }

    fn environment(&mut self, value: &Node) {
        // Without a value it is what the caller has, which programs get anyway.
        let variables = pairs(value).into_iter().filter_map(|(name, value)| Some((name, value?)));
        let mut known = BTreeMap::new();
        for (name, value) in variables {
            let is_name = !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
                && !name.starts_with(|c: char| c.is_ascii_digit());
            match is_name {
                true => {
                    known.insert(name, value);
                }
                false => self.lose("environment", &name, "this cannot be the name of a variable"),
            }
        }
        if !known.is_empty() {
            let pairs = known.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            self.set("environment", environment(pairs));
        }
    }

    fn env_file(&mut self, value: &Node) {
        let files = match value {
            Node::List(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        let mut all = Vec::new();
        for file in files {
            let path = file.get("path").unwrap_or(file).scalar().unwrap_or_default();
            if path.is_empty() || path.contains(',') {
                self.lose("env_file", &file.shown(), "it cannot be read: write environment_file by hand");
                continue;
            }
            // What "raw" means is what is meant here anyway.
            self.lose_others("env_file", file, &["path", "required", "format"]);
            let dash = if file.get("required").and_then(Node::as_bool) == Some(false) { "-" } else { "" };
            all.push(format!("{dash}{}", self.beside(path)));
        }
        if !all.is_empty() {
            self.set("environment_file", all.join(", "));
            self.lose("env_file", &value.shown(), "no $ is expanded in it: write values as they are to be");
        }
    }

    /// A path, which belongs to the directory of the file.
    fn beside(&mut self, path: &str) -> String {
        if path.starts_with('/') || begins_with_variable(path) {
            return escaped(path);
        }
        let why =
            "it is relative to the directory of this configuration now: write that beside the compose file";
        self.lose("env_file", path, why);
        format!("%(here)s/{}", escaped(path.trim_start_matches("./")))
    }

    pub(super) fn copies(&mut self, key: &str, value: &Node) {
        match value.scalar().and_then(|text| text.parse::<u32>().ok()) {
            Some(1) => {}
            Some(0) => {
                self.set("autostart", "false");
                self.lose(key, "0", "it is one process that does not start by itself");
            }
            Some(copies) if copies <= MOST_COPIES => {
                self.set("numprocs", copies.to_string());
                self.set("process_name", "%(program_name)s_%(process_num)02d");
            }
            _ => self.lose(key, &value.shown(), "it is not a number of processes: write numprocs by hand"),
        }
    }

    fn logging(&mut self, value: &Node) {
        self.lose_others("logging", value, &["driver", "options"]);
        match value.get("driver").and_then(Node::scalar).unwrap_or("json-file") {
            "none" => {
                self.set("stdout_logfile", "NONE");
                return self.set("stderr_logfile", "NONE");
            }
            "json-file" | "local" => {}
            "syslog" => {
                self.set("stdout_syslog", "true");
                self.set("stderr_syslog", "true");
            }
            driver => {
                self.lose("logging.driver", driver, "there is no such driver: the output goes to files")
            }
        }
        let Some(Node::Map(options)) = value.get("options") else { return };
        for (key, value) in options {
            let text = value.scalar().unwrap_or_default();
            let place = format!("logging.options.{key}");
            let (keys, made) = match key.as_str() {
                "max-size" => {
                    (["stdout_logfile_maxbytes", "stderr_logfile_maxbytes"], size(text).map(our_size))
                }
                "max-file" => {
                    let backups = text.parse::<u32>().ok().map(|files| files.saturating_sub(1).to_string());
                    (["stdout_logfile_backups", "stderr_logfile_backups"], backups)
                }
                _ => {
                    self.lose(&place, &value.shown(), "there is no such option here");
                    continue;
                }
            };
            for key in keys {
                self.set_or_lose(key, made.clone(), &place, value);
            }
        }
    }

    fn secrets(&mut self, value: &Node) {
        let Node::List(items) = value else { return };
        let mut known = HashSet::new();
        for item in items {
            let source = item.get("source").unwrap_or(item).scalar().unwrap_or_default();
            let target = item.get("target").and_then(Node::scalar).unwrap_or(source);
            self.lose_others("secrets", item, &["source", "target"]);
            let target = target.rsplit('/').next().unwrap_or_default();
            let is_name = is_credential(target);
            match self.project.secrets.get(source).copied() {
                Some(path) if is_name && known.insert(target) => {
                    let path = self.beside(path);
                    self.set(&format!("credential.{target}"), path);
                    let why = format!(
                        "the program finds it at $CREDENTIALS_DIRECTORY/{target}, and not in /run/secrets"
                    );
                    self.lose("secrets", source, &why);
                }
                _ => self.lose("secrets", source, "it is no file: write credential.NAME with one"),
            }
        }
    }
}

/// The test of a service's health; `None` if there is none.
fn test(node: &Node) -> Option<&Node> {
    let check = node.get("healthcheck")?;
    let test = check.get("test")?;
    let is_off = check.get("disable").and_then(Node::as_bool) == Some(true);
    let is_none = texts(test).first() == Some(&"NONE") || *test == Node::Null;
    (!is_off && !is_none).then_some(test)
}

fn shell(line: &str) -> Vec<String> {
    vec!["/bin/sh".to_string(), "-c".into(), line.to_string()]
}

fn why_lost(key: &str) -> &'static str {
    match key {
        "image" | "build" => {
            "there is no container: the command and its files must be on this machine (docker cp takes them out of an image)"
        }
        "ports" | "expose" => "the program listens on this machine itself: give it the port that others used",
        "volumes" | "volumes_from" => "the program sees this machine's files: make the paths that it uses",
        "networks" | "links" | "external_links" | "extra_hosts" | "dns" | "hostname" | "domainname" => {
            "programs see this machine's network: they find each other at localhost, not by names of services"
        }
        "container_name" => "the program has the name of the service",
        "labels" | "annotations" => "programs have no labels",
        "configs" => "put the files where the program looks for them",
        "read_only" => "see read_only_paths and read_write_paths",
        "tty" | "stdin_open" => "a program has no terminal and nothing to read",
        "develop" => "nothing watches files",
        "memswap_limit" | "mem_reservation" | "mem_swappiness" | "shm_size" => {
            "see memory_high and memory_max"
        }
        "cpu_shares" | "cpu_quota" | "cpu_period" => "see cpu_weight and cpu_max",
        "blkio_config" => "see io_weight",
        "pid" | "ipc" | "uts" | "userns_mode" | "cgroup" | "cgroup_parent" | "devices" | "sysctls"
        | "runtime" => "there is no container whose surroundings could be set",
        _ => "nothing here means that",
    }
}
