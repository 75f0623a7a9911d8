//! One service of a compose file.

use super::export::Secrets;
use crate::convert::losses::Losses;
use crate::convert::tree::Node;
use crate::convert::units::{
    Link, Plan, Unit, go_duration, is_silent, limit, probe_command, processors, shown,
};
use crate::model::config::{Autorestart, Inherit, NO_LIMIT, ProcessConfig, StopScope};
use crate::model::dependency::{Condition, DependsRestart};
use crate::model::probe::{HealthAction, Probe};
use crate::model::resources::Resource;
use crate::model::signal::Signal;
use std::time::Duration;

/// Where the engine puts secrets.
const SECRETS: &str = "/run/secrets";
/// The profile of services that do not start by themselves.
pub(super) const MANUAL: &str = "manual";

/// Makes a service of a unit.
pub(super) fn service(
    plan: &Plan<'_>,
    at: usize,
    image: &str,
    secrets: &mut Secrets,
    losses: &mut Losses,
) -> Node {
    let unit = &plan.units[at];
    let process = unit.process;
    lose_signals(unit, losses);
    let (resources, confinement) = (&process.resources, &process.confinement);
    let capabilities = confinement.capabilities.as_ref().map(|wish| &wish.value);
    let given = capabilities.filter(|given| !given.is_empty());
    let replicas = || Node::map([("replicas", Some(Node::number(unit.count)))]);
    Node::map([
        ("image", Some(Node::text(image))),
        ("entrypoint", Some(Node::List(Vec::new()))),
        ("command", Some(Node::texts(&unit.words))),
        ("user", plan.user_and_group(unit).map(Node::Text)),
        ("group_add", list(process.supplementary_groups.iter().map(u32::to_string))),
        ("working_dir", plan.directory(unit).map(Node::Text)),
        ("environment", environment(process)),
        ("env_file", env_files(unit, losses)),
        ("secrets", secrets_of(unit, secrets, losses)),
        ("restart", Some(Node::text(restart(unit, losses)))),
        ("deploy", (unit.count > 1).then(replicas)),
        ("profiles", (!plan.comes_up(at)).then(|| Node::texts([MANUAL]))),
        ("depends_on", depends_on(plan, at, losses)),
        ("healthcheck", healthcheck(unit, losses)),
        ("stop_signal", (process.stopsignal != Signal::TERM).then(|| signal(process.stopsignal))),
        ("stop_grace_period", Some(Node::Text(go_duration(process.stopwaitsecs)))),
        ("ulimits", ulimits(process)),
        ("cap_drop", capabilities.map(|_| Node::texts(["ALL"]))),
        ("cap_add", given.and_then(|given| list(given.iter().map(|capability| capability.name.clone())))),
        ("security_opt", confinement.no_new_privs.then(|| Node::texts(["no-new-privileges:true"]))),
        ("mem_limit", memory(unit, losses).map(Node::number)),
        ("cpus", resources.cgroup.cpu_max.and_then(cpus).map(Node::Text)),
        ("cpuset", processors(&resources.cpu_affinity).map(Node::Text)),
        ("pids_limit", resources.cgroup.pids_max.and_then(limit).map(Node::number)),
        ("oom_score_adj", resources.oom_score_adj.map(Node::number)),
        ("tmpfs", confinement.private_tmp.value.then(|| Node::texts(["/tmp", "/var/tmp"]))),
        ("network_mode", confinement.private_network.value.then(|| Node::text("none"))),
        ("logging", logging(unit, losses)),
    ])
}

fn list(items: impl Iterator<Item = String>) -> Option<Node> {
    let items: Vec<Node> = items.map(Node::Text).collect();
    (!items.is_empty()).then_some(Node::List(items))
}

fn signal(signal: Signal) -> Node {
    Node::Text(signal.name().unwrap_or_else(|| signal.raw().to_string()))
}

fn environment(process: &ProcessConfig) -> Option<Node> {
    let mut pairs: Vec<(String, Node)> =
        process.environment.iter().map(|(name, value)| (name.clone(), Node::text(value))).collect();
    if !process.credentials.is_empty() {
        pairs.retain(|(name, _)| name != "CREDENTIALS_DIRECTORY");
        pairs.push(("CREDENTIALS_DIRECTORY".to_string(), Node::text(SECRETS)));
    }
    (!pairs.is_empty()).then_some(Node::Map(pairs))
}

fn env_files(unit: &Unit<'_>, losses: &mut Losses) -> Option<Node> {
    let sources = &unit.process.environment_sources;
    if let Inherit::Some(_) = sources.environment_inherit {
        let why = "a container gets nothing of the caller's environment: write NAME without a value into environment";
        unit.lose("environment_inherit", why, losses);
    }
    if sources.environment_file.is_empty() {
        return None;
    }
    unit.lose(
        "environment_file",
        "compose expands $ in it: put values with a $ between single quotes",
        losses,
    );
    if !sources.below_files.is_empty() {
        let why = "what [supervisord] environment sets counts more than these files there";
        unit.note("environment_file", sources.below_files.join(", "), why, losses);
    }
    let file = |path: String, may_be_missing: bool| {
        Node::map([("path", Some(Node::Text(path))), ("required", may_be_missing.then(|| Node::bool(false)))])
    };
    let files = sources.environment_file.iter();
    Some(Node::List(files.map(|one| file(shown(&one.path), one.may_be_missing)).collect()))
}

fn secrets_of(unit: &Unit<'_>, secrets: &mut Secrets, losses: &mut Losses) -> Option<Node> {
    let mut uses = Vec::new();
    for credential in &unit.process.credentials {
        if credential.may_be_missing {
            let key = format!("credential.{}", credential.name);
            unit.lose(&key, "a secret must be there: make an empty file if there is none", losses);
        }
        let source = secrets.name(&credential.name, &credential.path);
        uses.push(Node::map([
            ("source", Some(Node::Text(source))),
            ("target", Some(Node::text(&credential.name))),
        ]));
    }
    (!uses.is_empty()).then_some(Node::List(uses))
}

fn restart(unit: &Unit<'_>, losses: &mut Losses) -> String {
    let process = unit.process;
    let on_failure = match process.startretries {
        0 => "no".to_string(),
        NO_LIMIT => "on-failure".to_string(),
        tries => format!("on-failure:{tries}"),
    };
    if process.exitcodes != [0] {
        let why = "to compose, exit code 0 is the expected one and every other one a failure";
        unit.lose("exitcodes", why, losses);
    }
    if process.is_oneshot() {
        return on_failure;
    }
    let why = "an exit counts as a failed start until the container has run for 10 seconds";
    unit.lose("startsecs", why, losses);
    match process.autorestart {
        Autorestart::Unexpected => on_failure,
        Autorestart::Always => {
            if process.startretries != NO_LIMIT {
                unit.lose("startretries", "restart: always never gives up", losses);
            }
            "always".to_string()
        }
        Autorestart::Never => {
            unit.lose("startretries", "restart: no does not try a failed start again either", losses);
            "no".to_string()
        }
    }
}

fn depends_on(plan: &Plan<'_>, at: usize, losses: &mut Losses) -> Option<Node> {
    let unit = &plan.units[at];
    let restarts = match unit.process.dependencies.depends_restart {
        DependsRestart::Stop => {
            unit.lose("depends_restart", "compose can restart what depends on it, and not stop it", losses);
            true
        }
        DependsRestart::Restart => true,
        DependsRestart::None => false,
    };
    let mut entries = Vec::new();
    for link in plan.links(at) {
        let other = &plan.units[link.on];
        let entry = Node::map([
            ("condition", Some(Node::text(condition(unit, other, link, losses)))),
            ("restart", restarts.then(|| Node::bool(true))),
            ("required", link.is_soft.then(|| Node::bool(false))),
        ]);
        entries.push((other.name.clone(), entry));
    }
    (!entries.is_empty()).then_some(Node::Map(entries))
}

fn condition(unit: &Unit<'_>, other: &Unit<'_>, link: &Link, losses: &mut Losses) -> &'static str {
    let process = other.process;
    match link.condition {
        Condition::Healthy if process.health_check.is_some() => "service_healthy",
        Condition::Ready if asked(process).is_some_and(|(_, is_ready)| is_ready) => "service_healthy",
        Condition::Ready | Condition::Healthy => {
            if process.readiness.is_some() {
                let why = "the other service reports that it is ready in a way that compose does not know: this one starts \
                           when the other one has started";
                unit.lose("depends_on", why, losses);
            }
            "service_started"
        }
        Condition::Done => "service_completed_successfully",
        Condition::Exited => {
            let why = "compose waits for a good end only: this one does not start after any other";
            unit.lose("depends_on", why, losses);
            "service_completed_successfully"
        }
    }
}

/// The probe that becomes the health check, and whether success also means that it is ready.
fn asked(process: &ProcessConfig) -> Option<(&Probe, bool)> {
    let ready = process.readiness.as_ref().map(|readiness| &readiness.ready);
    let ready = ready.filter(|ready| !ready.is_reported());
    let health = process.health_check.as_ref().map(|check| &check.health);
    Some((health.or(ready)?, ready.is_some()))
}

fn healthcheck(unit: &Unit<'_>, losses: &mut Losses) -> Option<Node> {
    let process = unit.process;
    if let Some(ready) = &process.readiness {
        let why = match (&process.health_check, ready.ready.is_reported()) {
            (_, true) => "compose can only ask, and this is a report: write a probe that asks",
            (Some(_), false) => "a container has one health check, which health makes: others wait for that",
            (None, false) => {
                "compose asks as long as the container runs, and does not stop one that does not get ready"
            }
        };
        unit.lose("ready", why, losses);
    }
    let (probe, _) = asked(process)?;
    let (words, tools) = probe_command(probe)?;
    if let Some(tools) = tools {
        let key = if process.health_check.is_some() { "health" } else { "ready" };
        let why = format!("the engine can only run a command in the container: the image must have {tools}");
        unit.lose(key, why, losses);
    }
    let test = Some(Node::texts(std::iter::once("CMD".to_string()).chain(words)));
    let time = |time: Duration| Some(Node::Text(go_duration(time)));
    let Some(check) = &process.health_check else {
        let ready = process.readiness.as_ref()?;
        return Some(Node::map([
            ("test", test),
            ("start_period", time(ready.ready_timeout)),
            ("start_interval", time(ready.ready_interval)),
        ]));
    };
    if check.health_action != HealthAction::None {
        let why = "the engine only shows that the container is unhealthy: something else must restart it";
        unit.note("health_action", "", why, losses);
    }
    Some(Node::map([
        ("test", test),
        ("interval", time(check.health_interval)),
        ("timeout", time(check.health_timeout)),
        ("retries", Some(Node::number(check.health_retries))),
        ("start_period", time(check.health_start_period)),
    ]))
}

fn lose_signals(unit: &Unit<'_>, losses: &mut Losses) {
    if !unit.process.stopsignal_then.is_empty() {
        let why = "the engine sends one signal and then kills: only the first one is left";
        unit.lose("stopsignal", why, losses);
    }
    if unit.process.scope() != StopScope::Process || unit.program.has_written("stop_scope") {
        let why =
            "the engine sends the stop signal to the first process of the container, and kills all of them";
        unit.lose("stop_scope", why, losses);
    }
}

fn ulimits(process: &ProcessConfig) -> Option<Node> {
    let number = |value: u64| limit(value).map_or_else(|| Node::number(-1), Node::number);
    let limits = process.resources.limits.iter().filter(|limit| limit.resource != Resource::As);
    let limits = limits.map(|limit| {
        let name = limit.resource.key().trim_start_matches("limit_");
        let value = match limit.soft == limit.hard {
            true => number(limit.soft),
            false => Node::map([("soft", Some(number(limit.soft))), ("hard", Some(number(limit.hard)))]),
        };
        (name.to_string(), value)
    });
    let limits: Vec<_> = limits.collect();
    (!limits.is_empty()).then_some(Node::Map(limits))
}

/// The limit in bytes at which the kernel kills.
fn memory(unit: &Unit<'_>, losses: &mut Losses) -> Option<u64> {
    let process = unit.process;
    if process.memory_limit.is_some() {
        let why = "the kernel kills what needs more memory, without a stop signal; restart says what follows";
        unit.lose("memory_limit", why, losses);
        unit.lose("memory_action", why, losses);
    }
    let max = process.resources.cgroup.memory_max.and_then(limit);
    max.or(process.memory_limit.map(|limit| limit.bytes))
}

/// Percents of a processor as a number of processors.
fn cpus(percent: u32) -> Option<String> {
    (percent != u32::MAX).then(|| format!("{}", f64::from(percent) / 100.0))
}

fn logging(unit: &Unit<'_>, losses: &mut Losses) -> Option<Node> {
    let process = unit.process;
    let (stdout, stderr) = (&process.stdout, &process.stderr);
    let out_is_silent = is_silent(stdout);
    let err_is_silent = is_silent(stderr);
    if out_is_silent && (err_is_silent || process.redirect_stderr) {
        return Some(Node::map([("driver", Some(Node::text("none")))]));
    }
    for (key, is_silent) in [("stdout_logfile", out_is_silent), ("stderr_logfile", err_is_silent)] {
        let why = match is_silent {
            true => "the engine keeps both streams or none: let the program write to /dev/null",
            false => "the engine keeps the output: read it with \"docker compose logs\"",
        };
        unit.lose(key, why, losses);
    }
    let kept = if out_is_silent { stderr } else { stdout };
    let has_both = !out_is_silent && !err_is_silent && !process.redirect_stderr;
    if has_both && (stdout.maxbytes, stdout.backups) != (stderr.maxbytes, stderr.backups) {
        let why = "both streams are in one log: its size is that of stdout";
        unit.lose("stderr_logfile_maxbytes", why, losses);
        unit.lose("stderr_logfile_backups", why, losses);
    }
    let options = (kept.maxbytes > 0).then(|| {
        let files = u64::from(kept.backups) + 1;
        Node::map([
            ("max-size", Some(Node::Text(size(kept.maxbytes)))),
            ("max-file", Some(Node::text(files.to_string()))),
        ])
    });
    Some(Node::map([("driver", Some(Node::text("json-file"))), ("options", options)]))
}

/// Bytes as the engine reads them.
fn size(bytes: u64) -> String {
    let units = [(30, "g"), (20, "m"), (10, "k")];
    match units.into_iter().find(|(shift, _)| bytes.is_multiple_of(1 << shift)) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}b"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_largest_unit_that_fits() {
        for (bytes, expected) in [(50 << 20, "50m"), (1 << 30, "1g"), (1500, "1500b"), (3 << 10, "3k")] {
            assert_eq!(size(bytes), expected);
        }
    }
}
