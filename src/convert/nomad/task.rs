//! The task of a service.

use super::hcl::Body;
use crate::convert::losses::Losses;
use crate::convert::tree::Node;
use crate::convert::units::{Plan, Unit, go_duration, is_silent, limit};
use crate::model::config::{Inherit, StopScope};
use crate::model::resources::Resource;
use crate::model::signal::Signal;

/// What a task gets of memory if nothing is written, in megabytes.
const MEMORY: u64 = 300;
/// Nomad's logs, if nothing is written: ten files of ten megabytes.
const DEFAULT_LOGS: u64 = 100;
const MEGABYTE: u64 = 1 << 20;

/// Makes a task of a unit, below what it begins with.
pub(super) fn task(
    plan: &Plan<'_>,
    unit: &Unit<'_>,
    image: Option<&str>,
    mut task: Body,
    losses: &mut Losses,
) -> Body {
    let process = unit.process;
    lose_rest(unit, losses);
    task.set("driver", Some(Node::text(if image.is_some() { "docker" } else { "raw_exec" })));
    if let Some(user) = plan.user_and_group(unit) {
        // Containers take a group, too.
        let (name, group) =
            user.split_once(':').map_or((user.as_str(), None), |(name, group)| (name, Some(group)));
        if group.is_some() && image.is_none() {
            unit.note(
                "user",
                user.clone(),
                "a task has the groups of its user: the group is left out",
                losses,
            );
        }
        task.set("user", Some(Node::text(if image.is_some() { &user } else { name })));
    }
    if process.stopsignal != Signal::TERM || image.is_none() {
        // Only the driver for containers sends TERM by itself.
        match process.stopsignal.name() {
            Some(signal) => task.set("kill_signal", Some(Node::Text(signal))),
            None => unit.lose("stopsignal", "this signal has no name that Nomad knows", losses),
        }
    }
    task.set("kill_timeout", Some(Node::Text(go_duration(process.stopwaitsecs))));
    let mut config = Body::default();
    if let Some(image) = image {
        config.set("image", Some(Node::text(image)));
        config.set("entrypoint", Some(Node::List(Vec::new())));
    }
    config.set("command", Some(Node::text(&unit.words[0])));
    config.set("args", (unit.words.len() > 1).then(|| Node::texts(&unit.words[1..])));
    config.set("work_dir", plan.directory(unit).map(Node::Text));
    match process.resources.oom_score_adj {
        Some(score) if score < 0 => unit.lose("oom_score_adj", "it is from 0 on there", losses),
        score => config.set("oom_score_adj", score.map(Node::number)),
    }
    if image.is_some() {
        container(unit, &mut config);
    } else {
        lose_container(unit, losses);
    }
    task.block("config", None, config);
    environment(unit, &mut task);
    lose_braces(unit, losses);
    task.block("resources", None, resources(unit, image, losses));
    task.block("logs", None, logs(unit, losses));
    task
}

/// The variables: a block, or a mapping if it has names that a block cannot have.
fn environment(unit: &Unit<'_>, task: &mut Body) {
    let variables = &unit.process.environment;
    if variables.keys().all(|name| is_identifier(name)) {
        let mut block = Body::default();
        variables.iter().for_each(|(name, value)| block.set(name, Some(Node::text(value))));
        task.block("env", None, block);
    } else {
        let pairs = variables.iter().map(|(name, value)| (name.clone(), Node::text(value)));
        task.set("env", Some(Node::Map(pairs.collect())));
    }
}

/// Whether a name can stand without quotes.
pub(super) fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

/// How many megabytes the logs of a unit take at most.
pub(super) fn log_size(unit: &Unit<'_>) -> u64 {
    match unit.process.stdout.maxbytes {
        0 => DEFAULT_LOGS,
        bytes => bytes.div_ceil(MEGABYTE).saturating_mul(u64::from(unit.process.stdout.backups) + 1),
    }
}

fn lose_rest(unit: &Unit<'_>, losses: &mut Losses) {
    let process = unit.process;
    if !process.stopsignal_then.is_empty() {
        let why = "Nomad sends one signal and then kills: only the first one is left";
        unit.lose("stopsignal", why, losses);
    }
    if process.scope() != StopScope::Process || unit.program.has_written("stop_scope") {
        let why = "the task itself gets the signal, and all that belongs to it is killed";
        unit.lose("stop_scope", why, losses);
    }
    if process.environment_sources.environment_inherit != Inherit::All {
        let why = "tasks get what env.denylist of the client leaves";
        unit.lose("environment_inherit", why, losses);
    }
}

/// Nomad expands `${…}` in commands and variables, whatever the quotes.
fn lose_braces(unit: &Unit<'_>, losses: &mut Losses) {
    let has_braces = |text: &String| text.contains("${");
    let why = "Nomad replaces ${…} by its own variables where it knows the name";
    if unit.words.iter().any(has_braces) {
        unit.note("command", "", why, losses);
    }
    if unit.process.environment.values().any(has_braces) {
        unit.note("environment", "", why, losses);
    }
}

fn names(names: Vec<String>) -> Option<Node> {
    (!names.is_empty()).then(|| Node::texts(names))
}

/// What only the driver for containers knows.
fn container(unit: &Unit<'_>, config: &mut Body) {
    let process = unit.process;
    let confinement = &process.confinement;
    config.set("pids_limit", process.resources.cgroup.pids_max.and_then(limit).map(Node::number));
    config.set("group_add", names(process.supplementary_groups.iter().map(u32::to_string).collect()));
    if let Some(capabilities) = &confinement.capabilities {
        config.set("cap_drop", Some(Node::texts(["all"])));
        let added = capabilities.value.iter().map(|capability| capability.name.to_ascii_lowercase());
        config.set("cap_add", names(added.collect()));
    }
    config.set("security_opt", confinement.no_new_privs.then(|| Node::texts(["no-new-privileges"])));
    config.set("network_mode", confinement.private_network.value.then(|| Node::text("none")));
    if confinement.private_tmp.value {
        for target in ["/tmp", "/var/tmp"] {
            let mut mount = Body::default();
            mount.set("type", Some(Node::text("tmpfs")));
            mount.set("target", Some(Node::text(target)));
            config.block("mount", None, mount);
        }
    }
    let mut limits = Body::default();
    for limit in process.resources.limits.iter().filter(|limit| limit.resource != Resource::As) {
        let number = |value: u64| if value == u64::MAX { "-1".to_string() } else { value.to_string() };
        let name = limit.resource.key().trim_start_matches("limit_");
        limits.set(name, Some(Node::text(format!("{}:{}", number(limit.soft), number(limit.hard)))));
    }
    config.block("ulimit", None, limits);
}

/// The same without such a driver.
fn lose_container(unit: &Unit<'_>, losses: &mut Losses) {
    let why = "only the driver for containers knows it: export with --image NAME";
    let limits = Resource::ALL.into_iter().filter(|resource| *resource != Resource::As).map(Resource::key);
    let others = [
        "pids_max",
        "supplementary_groups",
        "capabilities",
        "no_new_privs",
        "private_network",
        "private_tmp",
    ];
    for key in limits.chain(others) {
        unit.lose(key, why, losses);
    }
}

fn resources(unit: &Unit<'_>, image: Option<&str>, losses: &mut Losses) -> Body {
    let process = unit.process;
    let mut resources = Body::default();
    if process.memory_limit.is_some() {
        let why = "the driver kills what needs more memory, without a stop signal; restart says what follows";
        unit.lose("memory_limit", why, losses);
        unit.lose("memory_action", why, losses);
    }
    let max = process.resources.cgroup.memory_max.and_then(limit);
    let bytes = max.or(process.memory_limit.map(|limit| limit.bytes));
    if let Some(bytes) = bytes {
        let megabytes = bytes.div_ceil(MEGABYTE).max(10);
        if megabytes * MEGABYTE != bytes {
            unit.lose("memory_max", format!("it is whole megabytes there: {megabytes}"), losses);
        }
        if image.is_none() {
            unit.lose("memory_max", "the driver raw_exec enforces it only where the client says so", losses);
        }
        resources.set("memory", Some(Node::number(megabytes)));
    } else if image.is_some() {
        let why = format!(
            "Nomad always has a limit: {MEMORY} MB if nothing is written; write resources {{ memory = … }}"
        );
        unit.note("memory_max", "", why, losses);
    }
    resources
}

fn logs(unit: &Unit<'_>, losses: &mut Losses) -> Body {
    let stdout = &unit.process.stdout;
    let mut logs = Body::default();
    if is_silent(stdout) && (unit.process.redirect_stderr || is_silent(&unit.process.stderr)) {
        logs.set("disabled", Some(Node::bool(true)));
        return logs;
    }
    unit.lose("stdout_logfile", "Nomad keeps the output: read it with \"nomad alloc logs\"", losses);
    if stdout.maxbytes == 0 {
        unit.lose("stdout_logfile_maxbytes", "logs are always rotated: 10 files of 10 MB", losses);
        return logs;
    }
    let megabytes = stdout.maxbytes.div_ceil(MEGABYTE);
    if megabytes * MEGABYTE != stdout.maxbytes {
        unit.lose("stdout_logfile_maxbytes", format!("it is whole megabytes there: {megabytes}"), losses);
    }
    let files = u64::from(stdout.backups) + 1;
    logs.set("max_files", Some(Node::number(files)));
    logs.set("max_file_size", Some(Node::number(megabytes)));
    logs
}
