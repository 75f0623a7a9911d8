//! quadlet's units: a `.container` for each process, which podman's generator makes a service of.
//!
//! Restarts, dependencies, targets and control groups are systemd's; what is inside the container is podman's.

mod keys;

use crate::config::command;
use crate::convert::export::{Format, Options, OutputFile, Source};
use crate::convert::losses::Losses;
use crate::convert::systemd::export::{ProgramUnits, Style, export_as};
use crate::convert::systemd::service::Making;
use crate::convert::systemd::text::{self, Unit};
use crate::model::config::{ChildLog, Inherit, ProcessConfig};
use crate::model::probe::{HealthAction, HealthCheck, Probe};
use crate::model::resources::Resource;
use crate::model::signal::Signal;
use std::time::Duration;

/// Units of podman's quadlet.
pub(super) const FORMAT: Format = Format { name: "quadlet", comment: "#", keys: keys::KEYS, export };

const CONTAINER: &str = "Container";

/// Where credentials are mounted.
const CREDENTIALS: &str = "/run/credentials";

/// So much longer than podman systemd waits for the end of a container.
const STOP_MARGIN: Duration = Duration::from_secs(10);

const OPTIONAL: &str = "podman does not start a container without it where the kernel lacks it";

fn export(source: &Source, options: &Options, losses: &mut Losses) -> Result<Vec<OutputFile>, String> {
    let style = Style { end: "container", make: container, has_sockets: false, lists_instances: false };
    export_as(style, source, options, losses)
}

fn container(program: &ProgramUnits<'_>, process: &ProcessConfig, losses: &mut Losses) -> Option<Unit> {
    let mut making = program.begin(process, losses);
    if !exec(&mut making) {
        return None;
    }
    readiness(&mut making);
    health(&mut making);
    identity(&mut making);
    environment(&mut making);
    credentials(&mut making);
    resources(&mut making);
    confinement(&mut making);
    output(&mut making);
    if process.is_oneshot() {
        making.add("Type", "oneshot");
        if program.is_waited_for(process) {
            making.add("RemainAfterExit", "yes");
        }
    }
    making.restart();
    stop(&mut making);
    making.control_group();
    let unit = making.unit;
    Some(program.finish(unit, process))
}

fn add(making: &mut Making<'_>, key: &str, value: impl Into<String>) {
    making.unit.add(CONTAINER, key, value);
}

/// A value to the end of its line, with the `$` doubled: what podman's generator copies into `ExecStart=`, systemd expands.
/// `None`, with a loss, if it cannot be written so.
fn line(making: &mut Making<'_>, key: &str, directive: &str, value: &str) -> Option<String> {
    Some(dollars_doubled(&making.line(key, directive, value)?))
}

/// A word of a list, with the `$` doubled.
fn word(text: &str) -> String {
    text::word(&dollars_doubled(text))
}

fn dollars_doubled(text: &str) -> String {
    text.replace('$', "$$")
}

/// An option of podman that has no key of its own.
fn option(making: &mut Making<'_>, name: &str, value: &str) {
    add(making, "PodmanArgs", text::argument(&format!("--{name}={value}")));
}

/// `Image=` and `Exec=`. Whether there is a command.
fn exec(making: &mut Making<'_>) -> bool {
    let image = making.options.image(making.losses);
    match text::line(image) {
        Some(image) => making.unit.add(CONTAINER, "Image", dollars_doubled(&image)),
        None => making.losses.note("--image", image, "it cannot be written into a unit: choose a plain name"),
    }
    let Some(words) = making.words() else { return false };
    let words: Vec<String> = words.iter().map(|word| text::argument(word)).collect();
    add(making, "Exec", words.join(" "));
    true
}

fn readiness(making: &mut Making<'_>) {
    if making.process.notify {
        add(making, "Notify", "true");
        return;
    }
    let Some(readiness) = making.process.readiness.as_deref() else { return };
    match readiness.ready {
        Probe::Notify => add(making, "Notify", "true"),
        _ => making.lose("ready", "podman waits for sd_notify(3) only: write ready=notify, or health"),
    }
    making.add("TimeoutStartSec", text::timeout(readiness.ready_timeout));
}

fn health(making: &mut Making<'_>) {
    let Some(check) = making.process.health_check.as_deref() else { return };
    let HealthCheck {
        health,
        health_interval,
        health_timeout,
        health_retries,
        health_start_period,
        health_action,
    } = check;
    let command = match health {
        Probe::Exec(command) => shell(command),
        Probe::File(path) => format!("test -e {}", command::quoted(&text::shown(path))),
        _ => {
            let why = "podman asks by a command inside the container: write health=exec:COMMAND with one that the image has";
            return making.lose("health", why);
        }
    };
    let Some(command) = line(making, "health", "HealthCmd", &command) else { return };
    add(making, "HealthCmd", command);
    add(making, "HealthInterval", text::time(*health_interval));
    add(making, "HealthTimeout", text::time(*health_timeout));
    add(making, "HealthRetries", health_retries.to_string());
    add(making, "HealthStartPeriod", text::time(*health_start_period));
    let action = match health_action {
        // systemd starts it again.
        HealthAction::Restart => "kill",
        HealthAction::Stop => "stop",
        HealthAction::None => "none",
        HealthAction::Signal(_) => {
            making.lose("health_action", "podman sends no other signal than SIGKILL and the one that stops");
            "none"
        }
    };
    add(making, "HealthOnFailure", action);
}

/// A command for the shell with which podman runs it.
fn shell(command: &str) -> String {
    let words = command::split(command).unwrap_or_default();
    words.iter().map(|word| command::quoted(word)).collect::<Vec<_>>().join(" ")
}

fn identity(making: &mut Making<'_>) {
    let process = making.process;
    if let Some(user) = process.user.as_ref().or(making.daemon.user.as_ref()) {
        let name = user.written.split(':').next().unwrap_or_default().trim();
        let name = if user.is_number() { None } else { line(making, "user", "User", name) };
        // Never without one: that would be root.
        add(making, "User", name.unwrap_or_else(|| user.uid.to_string()));
        if let Some(gid) = user.gid {
            add(making, "Group", gid.to_string());
        }
    }
    for group in &process.supplementary_groups {
        add(making, "GroupAdd", group.to_string());
    }
    let umask = process.umask.or_else(|| making.daemon.umask_is_given.then_some(making.daemon.umask));
    if let Some(umask) = umask {
        option(making, "umask", &format!("{umask:04o}"));
    }
    let directory = making.directory();
    if let Some(directory) = directory.and_then(|it| line(making, "directory", "WorkingDir", &it)) {
        add(making, "WorkingDir", directory);
    }
}

fn environment(making: &mut Making<'_>) {
    let process = making.process;
    for (name, value) in &process.environment {
        add(making, "Environment", word(&format!("{name}={value}")));
    }
    let sources = &process.environment_sources;
    for file in &sources.environment_file {
        let path = text::shown(&file.path);
        if making.is_text("environment_file", &path) {
            add(making, "EnvironmentFile", word(&path));
        }
    }
    if !sources.environment_file.is_empty() {
        making.lose(
            "environment_file",
            "podman reads the files in its own way, without quotes, export and ' #' comments, and all of them must be there",
        );
    }
    if let Inherit::Some(_) = sources.environment_inherit {
        making.lose(
            "environment_inherit",
            "a container inherits nothing: write the variables into environment",
        );
    }
}

fn credentials(making: &mut Making<'_>) {
    let process = making.process;
    for credential in &process.credentials {
        let (path, key) = (text::shown(&credential.path), format!("credential.{}", credential.name));
        if path.contains(':') {
            making
                .lose(&key, "podman takes no ':' in the path of a file that it mounts: choose another path");
            continue;
        }
        let Some(path) = line(making, &key, "Volume", &path) else { continue };
        add(making, "Volume", format!("{path}:{CREDENTIALS}/{}:ro", credential.name));
        making
            .lose(&key, "the file itself is mounted, with its owner and mode: podman secret keeps it apart");
    }
    if !process.credentials.is_empty() {
        add(making, "Environment", format!("CREDENTIALS_DIRECTORY={CREDENTIALS}"));
    }
}

fn resources(making: &mut Making<'_>) {
    let resources = &making.process.resources;
    for limit in resources.limits.iter().filter(|limit| limit.resource != Resource::As) {
        let name = limit.resource.key().trim_start_matches("limit_");
        let one = |value: u64| if value == u64::MAX { "-1".to_string() } else { value.to_string() };
        add(making, "Ulimit", format!("{name}={}:{}", one(limit.soft), one(limit.hard)));
    }
    if !resources.cpu_affinity.is_empty() {
        let cpus: Vec<String> = resources.cpu_affinity.iter().map(u32::to_string).collect();
        option(making, "cpuset-cpus", &cpus.join(","));
    }
    if let Some(score) = resources.oom_score_adj {
        option(making, "oom-score-adj", &score.to_string());
    }
}

fn confinement(making: &mut Making<'_>) {
    let confinement = &*making.process.confinement;
    if confinement.no_new_privs {
        add(making, "NoNewPrivileges", "true");
    }
    if let Some(wish) = &confinement.capabilities {
        add(making, "DropCapability", "all");
        if wish.is_optional {
            making.lose("capabilities", OPTIONAL);
        }
    }
    let wishes = confinement.capabilities.iter().chain(&confinement.ambient_capabilities);
    let mut names: Vec<&str> =
        wishes.flat_map(|wish| &wish.value).map(|capability| &*capability.name).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        add(making, "AddCapability", format!("CAP_{name}"));
    }
    if confinement.ambient_capabilities.as_ref().is_some_and(|wish| wish.is_optional) {
        making.lose("ambient_capabilities", OPTIONAL);
    }
    if confinement.private_tmp.value {
        for directory in crate::model::confinement::PRIVATE_DIRECTORIES {
            add(making, "Tmpfs", directory);
        }
    }
    if confinement.private_network.value {
        add(making, "Network", "none");
    }
}

fn output(making: &mut Making<'_>) {
    let process = making.process;
    let is_dropped = |log: &ChildLog, syslog: bool| *log == ChildLog::None && !syslog;
    let both_dropped = is_dropped(&process.stdout.logfile, process.stdout.syslog)
        && (process.redirect_stderr || is_dropped(&process.stderr.logfile, process.stderr.syslog));
    add(making, "LogDriver", if both_dropped { "none" } else { "journald" });
    let tag = process.stdout.syslog_options.tag.as_ref().filter(|_| !both_dropped);
    if let Some(tag) = tag.filter(|tag| making.is_text("syslog_tag", tag)) {
        add(making, "LogOpt", word(&format!("tag={tag}")));
    }
    if !both_dropped {
        for key in ["stdout_logfile", "stderr_logfile"] {
            making
                .lose(key, "the log of the container is the journal: read it with journalctl or podman logs");
        }
    }
}

fn stop(making: &mut Making<'_>) {
    let process = making.process;
    if process.stopsignal == Signal::from_raw(0) {
        making.lose("stopsignal", "podman always sends a signal first: TERM");
    } else if process.stopsignal != Signal::TERM {
        let signal = process.stopsignal;
        add(making, "StopSignal", signal.name().unwrap_or_else(|| signal.raw().to_string()));
    }
    if !process.stopsignal_then.is_empty() {
        making.lose("stopsignal", "podman sends one signal, then SIGKILL");
    }
    let whole = process.stopwaitsecs.as_secs() + u64::from(process.stopwaitsecs.subsec_nanos() > 0);
    add(making, "StopTimeout", whole.to_string());
    making.add("TimeoutStopSec", text::time(process.stopwaitsecs + STOP_MARGIN));
    if let Some(most) = process.max_runtime {
        making.add(if process.is_oneshot() { "TimeoutStartSec" } else { "RuntimeMaxSec" }, text::time(most));
    }
}
