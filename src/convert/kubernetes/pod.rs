//! The pod of a service: its container, and the jobs that run before it.

use super::export::named;
use super::probes;
use crate::convert::losses::Losses;
use crate::convert::tree::Node;
use crate::convert::units::{Plan, Unit, limit, seconds, shown};
use crate::model::config::StopScope;
use crate::model::signal::Signal;
use std::collections::BTreeMap;

/// Where copies of secret files are.
const CREDENTIALS: &str = "/run/credentials";
/// The mode of these copies, 0400.
const SECRET_MODE: u32 = 0o400;
/// The signals that a pod can name, besides those of real time.
const NO_STOP_SIGNALS: [Signal; 2] = [Signal::KILL, Signal::STOP];

/// The parts of a pod.
pub(super) fn pod(
    plan: &Plan<'_>,
    unit: &Unit<'_>,
    before: &[&Unit<'_>],
    image: &str,
    losses: &mut Losses,
) -> Vec<(&'static str, Option<Node>)> {
    let process = unit.process;
    let mut volumes = Vec::new();
    let mut jobs = Vec::new();
    for job in before {
        jobs.push(container(plan, job, image, false, &mut volumes, losses));
    }
    let main = container(plan, unit, image, true, &mut volumes, losses);
    let groups = process.supplementary_groups.iter().map(Node::number).collect::<Vec<_>>();
    let context = Node::map([("supplementalGroups", Some(Node::List(groups.clone())))]);
    let waits = process.stopwaitsecs;
    vec![
        ("os", stop_signal(unit).map(|_| Node::map([("name", Some(Node::text("linux")))]))),
        ("initContainers", (!jobs.is_empty()).then_some(Node::List(jobs))),
        ("containers", Some(Node::List(vec![main]))),
        ("securityContext", (!groups.is_empty()).then_some(context)),
        ("terminationGracePeriodSeconds", Some(Node::number(seconds(waits)))),
        ("volumes", (!volumes.is_empty()).then_some(Node::List(volumes))),
    ]
}

fn container(
    plan: &Plan<'_>,
    unit: &Unit<'_>,
    image: &str,
    is_main: bool,
    volumes: &mut Vec<Node>,
    losses: &mut Losses,
) -> Node {
    let words = &unit.words;
    let arguments = (words.len() > 1).then(|| Node::texts(words[1..].iter().map(|word| escaped(word))));
    let mut mounts = Vec::new();
    temporary(unit, &mut mounts, volumes);
    credentials(unit, &mut mounts, volumes, losses);
    Node::map([
        ("name", Some(Node::text(&unit.name))),
        ("image", Some(Node::text(image))),
        ("command", Some(Node::texts([escaped(&words[0])]))),
        ("args", arguments),
        ("workingDir", plan.directory(unit).map(Node::Text)),
        ("env", environment(unit)),
        ("envFrom", files(unit, losses)),
        ("resources", resources(unit, losses)),
        ("securityContext", security(plan, unit, losses)),
        ("startupProbe", if is_main { probes::startup(unit, losses) } else { None }),
        ("livenessProbe", if is_main { probes::liveness(unit, losses) } else { None }),
        ("lifecycle", if is_main { lifecycle(unit, losses) } else { None }),
        ("volumeMounts", (!mounts.is_empty()).then_some(Node::List(mounts))),
    ])
}

/// A text in which the kubelet would expand `$(NAME)`, and take `$$` for one dollar sign.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        if c == '$' && matches!(chars.peek(), Some('$' | '(')) {
            out.push('$');
        }
    }
    out
}

fn environment(unit: &Unit<'_>) -> Option<Node> {
    let process = unit.process;
    let mut variables: BTreeMap<&str, String> =
        process.environment.iter().map(|(name, value)| (name.as_str(), escaped(value))).collect();
    if !process.credentials.is_empty() {
        variables.insert("CREDENTIALS_DIRECTORY", CREDENTIALS.to_string());
    }
    let variable = |(name, value): (&str, String)| {
        Node::map([("name", Some(Node::text(name))), ("value", Some(Node::Text(value)))])
    };
    let listed: Vec<Node> = variables.into_iter().map(variable).collect();
    (!listed.is_empty()).then_some(Node::List(listed))
}

fn files(unit: &Unit<'_>, losses: &mut Losses) -> Option<Node> {
    let sources = &unit.process.environment_sources;
    let mut all = Vec::new();
    for (number, file) in (1..).zip(&sources.environment_file) {
        let name = named(&format!("{}-env-{number}", unit.name));
        let why = format!(
            "make a Secret of the file: kubectl create secret generic {name} --from-env-file={}; it takes quotes for a part \
             of the values",
            shown(&file.path)
        );
        unit.note("environment_file", shown(&file.path), why, losses);
        let secret = Node::map([
            ("name", Some(Node::Text(name))),
            ("optional", file.may_be_missing.then(|| Node::bool(true))),
        ]);
        all.push(Node::map([("secretRef", Some(secret))]));
    }
    if !all.is_empty() && !sources.below_files.is_empty() {
        let why = "what [supervisord] environment sets counts more than these files there";
        unit.note("environment_file", sources.below_files.join(", "), why, losses);
    }
    (!all.is_empty()).then_some(Node::List(all))
}

fn resources(unit: &Unit<'_>, losses: &mut Losses) -> Option<Node> {
    let process = unit.process;
    if process.memory_limit.is_some() {
        let why =
            "the kernel kills what needs more memory, without a stop signal, and the container restarts";
        unit.lose("memory_limit", why, losses);
        unit.lose("memory_action", why, losses);
    }
    let cgroup = &process.resources.cgroup;
    let memory = cgroup.memory_max.and_then(limit).or(process.memory_limit.map(|limit| limit.bytes));
    let cpu = cgroup.cpu_max.filter(|percent| *percent != u32::MAX);
    let limits = Node::map([
        ("cpu", cpu.map(|percent| Node::text(format!("{}m", u64::from(percent) * 10)))),
        ("memory", memory.map(|bytes| Node::text(bytes.to_string()))),
    ]);
    (cpu.is_some() || memory.is_some()).then(|| Node::map([("limits", Some(limits))]))
}

fn security(plan: &Plan<'_>, unit: &Unit<'_>, losses: &mut Losses) -> Option<Node> {
    let confinement = &unit.process.confinement;
    let user = plan.user(unit);
    if let Some(user) = user {
        if !user.is_number() {
            let why =
                format!("the number {} is that of this machine: the image may have another one", user.uid);
            unit.note("user", user.written.clone(), why, losses);
        }
        if user.gid.is_none() {
            let why = "the group is that of the image: write user=NAME:GROUP";
            unit.note("user", user.written.clone(), why, losses);
        }
    }
    let names = |names: Vec<&str>| (!names.is_empty()).then(|| Node::texts(names));
    let capabilities = confinement.capabilities.as_ref().map(|wish| {
        let added = wish.value.iter().map(|capability| capability.name.as_str()).collect();
        Node::map([("drop", names(vec!["ALL"])), ("add", names(added))])
    });
    let parts = [
        ("runAsUser", user.map(|user| Node::number(user.uid))),
        ("runAsGroup", user.and_then(|user| user.gid).map(Node::number)),
        ("allowPrivilegeEscalation", confinement.no_new_privs.then(|| Node::bool(false))),
        ("capabilities", capabilities),
    ];
    parts.iter().any(|(_, value)| value.is_some()).then(|| Node::map(parts))
}

/// The signal that a container names for its end.
fn stop_signal(unit: &Unit<'_>) -> Option<String> {
    let signal = unit.process.stopsignal;
    let name = signal.name().filter(|_| signal != Signal::TERM && !NO_STOP_SIGNALS.contains(&signal))?;
    Some(name)
}

fn lifecycle(unit: &Unit<'_>, losses: &mut Losses) -> Option<Node> {
    let process = unit.process;
    if !process.stopsignal_then.is_empty() {
        let why = "one signal is sent, and then all is killed: only the first one is left";
        unit.lose("stopsignal", why, losses);
    }
    if process.scope() != StopScope::Process || unit.program.has_written("stop_scope") {
        let why = "the first process of the container gets the stop signal, and all of them are killed";
        unit.lose("stop_scope", why, losses);
    }
    let signal = stop_signal(unit);
    let why = match &signal {
        Some(_) => {
            "lifecycle.stopSignal needs Kubernetes 1.33 or later with the feature ContainerStopSignals"
        }
        None if process.stopsignal != Signal::TERM => "it cannot be a stop signal there: TERM is sent",
        None => return None,
    };
    unit.lose("stopsignal", why, losses);
    signal.map(|signal| Node::map([("stopSignal", Some(Node::Text(signal)))]))
}

fn mount(name: &str, path: &str, is_read_only: bool) -> Node {
    Node::map([
        ("name", Some(Node::text(name))),
        ("mountPath", Some(Node::text(path))),
        ("readOnly", is_read_only.then(|| Node::bool(true))),
    ])
}

/// `private_tmp`.
fn temporary(unit: &Unit<'_>, mounts: &mut Vec<Node>, volumes: &mut Vec<Node>) {
    if !unit.process.confinement.private_tmp.value {
        return;
    }
    for (suffix, path) in [("tmp", "/tmp"), ("var-tmp", "/var/tmp")] {
        let name = named(&format!("{}-{suffix}", unit.name.chars().take(50).collect::<String>()));
        mounts.push(mount(&name, path, false));
        let memory = Node::map([("medium", Some(Node::text("Memory")))]);
        volumes.push(Node::map([("name", Some(Node::Text(name))), ("emptyDir", Some(memory))]));
    }
}

/// Copies of secret files.
fn credentials(unit: &Unit<'_>, mounts: &mut Vec<Node>, volumes: &mut Vec<Node>, losses: &mut Losses) {
    let credentials = &unit.process.credentials;
    if credentials.is_empty() {
        return;
    }
    let name = named(&format!("{}-credentials", unit.name.chars().take(50).collect::<String>()));
    let mut are_optional = true;
    for credential in credentials {
        are_optional &= credential.may_be_missing;
        let why = format!(
            "put the file into the Secret: kubectl create secret generic {name} --from-file={}={}",
            credential.name,
            shown(&credential.path)
        );
        unit.note(&format!("credential.{}", credential.name), shown(&credential.path), why, losses);
    }
    mounts.push(mount(&name, CREDENTIALS, true));
    let secret = Node::map([
        ("secretName", Some(Node::text(&name))),
        ("defaultMode", Some(Node::number(SECRET_MODE))),
        ("optional", are_optional.then(|| Node::bool(true))),
    ]);
    volumes.push(Node::map([("name", Some(Node::Text(name))), ("secret", Some(secret))]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_expanded_in_what_is_escaped() {
        for (text, expected) in
            [("$HOME", "$HOME"), ("$(x)", "$$(x)"), ("a$$b", "a$$$b"), ("$$(x)", "$$$$(x)"), ("$", "$")]
        {
            assert_eq!(escaped(text), expected);
        }
    }
}
