//! Manifests of a configuration: a Deployment for each service, a Job for each job, a Service where a port is known.

use super::pod;
use crate::convert::export::{Options, OutputFile, Source};
use crate::convert::losses::Losses;
use crate::convert::tree::Node;
use crate::convert::units::{Plan, Unit, ports, seconds};
use crate::convert::yaml;
use crate::model::config::{Autorestart, NO_LIMIT};
use crate::model::dependency::Condition;

/// The label by which pods are found.
const LABEL: &str = "app.kubernetes.io/name";
/// The longest name of a Service, and value of a label.
const LONGEST_NAME: usize = 63;

/// Makes one file with all objects.
///
/// # Errors
/// There is no program to make one of.
pub(in crate::convert) fn export(
    source: &Source,
    options: &Options,
    losses: &mut Losses,
) -> Result<Vec<OutputFile>, String> {
    let plan = Plan::of(source, named, losses)?;
    let image = options.image(losses).to_string();
    let why =
        "it must hold the commands and files that containers name; what lies on this machine is not there";
    losses.note("image", image.clone(), why);
    plan.lose_umasks(source, losses);
    let mut objects = Vec::new();
    for (at, unit) in plan.units.iter().enumerate() {
        if plan.runs_before(at).is_some() {
            unit.lose("startretries", "an initContainer is tried again until it succeeds", losses);
            unit.lose("max_runtime", "an initContainer may take as long as it likes", losses);
            for key in ["supplementary_groups", "stopsignal", "stopwaitsecs"] {
                unit.lose(key, "an initContainer has what the program has that comes after it", losses);
            }
            continue;
        }
        lose_dependencies(&plan, at, losses);
        let before: Vec<&Unit<'_>> = plan
            .links(at)
            .iter()
            .map(|link| link.on)
            .filter(|job| plan.runs_before(*job) == Some(at))
            .map(|job| &plan.units[job])
            .collect();
        let pod = pod::pod(&plan, unit, &before, &image, losses);
        objects.push(workload(&plan, at, pod, losses));
        objects.extend(service(unit));
    }
    let text = yaml::documents(&objects);
    Ok(vec![OutputFile { path: "kubernetes.yaml".to_string(), text, section: None }])
}

/// A name as DNS has them: lower case letters, digits and hyphens, beginning with a letter.
pub(super) fn named(name: &str) -> String {
    let is_possible = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let lower = name.to_ascii_lowercase();
    let mut named: String = lower.chars().map(|c| if is_possible(c) { c } else { '-' }).collect();
    if !named.starts_with(|c: char| c.is_ascii_lowercase()) {
        named.insert(0, 'p');
    }
    named.truncate(LONGEST_NAME);
    named.trim_end_matches('-').to_string()
}

fn lose_dependencies(plan: &Plan<'_>, at: usize, losses: &mut Losses) {
    let unit = &plan.units[at];
    for link in plan.links(at).iter().filter(|link| plan.runs_before(link.on) != Some(at)) {
        let other = &plan.units[link.on].name;
        let why = match link.condition {
            Condition::Ready | Condition::Healthy => {
                format!("nothing waits for {other}: let the program try until it finds what it needs")
            }
            Condition::Done | Condition::Exited => {
                format!(
                    "nothing waits for the end of {other}: apply it first, and wait with \"kubectl wait job/{other}\""
                )
            }
        };
        unit.lose("depends_on", why, losses);
    }
}

fn labels(unit: &Unit<'_>) -> Node {
    Node::map([(LABEL, Some(Node::text(&unit.name)))])
}

fn object(version: &str, kind: &str, unit: &Unit<'_>, spec: Node) -> Node {
    Node::map([
        ("apiVersion", Some(Node::text(version))),
        ("kind", Some(Node::text(kind))),
        (
            "metadata",
            Some(Node::map([("name", Some(Node::text(&unit.name))), ("labels", Some(labels(unit)))])),
        ),
        ("spec", Some(spec)),
    ])
}

/// Whether it runs once, as a Job.
fn is_job(unit: &Unit<'_>) -> bool {
    unit.process.is_oneshot() || unit.process.autorestart == Autorestart::Never
}

fn workload(
    plan: &Plan<'_>,
    at: usize,
    mut pod: Vec<(&'static str, Option<Node>)>,
    losses: &mut Losses,
) -> Node {
    let unit = &plan.units[at];
    let process = unit.process;
    let comes_up = plan.comes_up(at);
    pod.push(("restartPolicy", Some(Node::text(if is_job(unit) { "Never" } else { "Always" }))));
    let template = Node::map([
        ("metadata", Some(Node::map([("labels", Some(labels(unit)))]))),
        ("spec", Some(Node::map(pod))),
    ]);
    if process.exitcodes != [0] && process.autorestart != Autorestart::Always {
        unit.lose(
            "exitcodes",
            "to the cluster, exit code 0 is the expected one and every other one a failure",
            losses,
        );
    }
    if is_job(unit) {
        let tries = match process.startretries {
            _ if !process.is_oneshot() => 0,
            // The largest number that it takes.
            NO_LIMIT => i32::MAX as u32,
            tries => tries,
        };
        if !process.is_oneshot() {
            unit.lose(
                "startretries",
                "a program that is not restarted runs once, whatever becomes of it",
                losses,
            );
        }
        let copies = |written: bool| (written && unit.count > 1).then(|| Node::number(unit.count));
        let spec = Node::map([
            ("backoffLimit", Some(Node::number(tries))),
            ("activeDeadlineSeconds", process.max_runtime.map(|time| Node::number(seconds(time)))),
            ("completions", copies(true)),
            ("parallelism", copies(true)),
            ("suspend", (!comes_up).then(|| Node::bool(true))),
            ("template", Some(template)),
        ]);
        return object("batch/v1", "Job", unit, spec);
    }
    unit.lose(
        "max_runtime",
        "pods of a Deployment run for ever: make it a Job, or run the command through timeout(1)",
        losses,
    );
    if process.autorestart == Autorestart::Unexpected {
        unit.lose("autorestart", "pods of a Deployment are restarted however they end", losses);
    }
    unit.lose("startretries", "pods of a Deployment are never given up", losses);
    let replicas = if comes_up { unit.count } else { 0 };
    if !comes_up && unit.count > 1 {
        let why = "replicas is 0, because it does not start by itself: scale it to the number of processes";
        unit.lose("numprocs", why, losses);
    }
    let spec = Node::map([
        ("replicas", Some(Node::number(replicas))),
        ("selector", Some(Node::map([("matchLabels", Some(labels(unit)))]))),
        ("template", Some(template)),
    ]);
    object("apps/v1", "Deployment", unit, spec)
}

/// A Service for the ports on which a program is known to listen.
fn service(unit: &Unit<'_>) -> Option<Node> {
    let ports = if is_job(unit) { Vec::new() } else { ports(unit.process) };
    let port = |port: &u16| {
        Node::map([
            ("name", Some(Node::text(format!("port-{port}")))),
            ("port", Some(Node::number(port))),
            ("targetPort", Some(Node::number(port))),
        ])
    };
    let listed = Node::List(ports.iter().map(port).collect());
    let spec = Node::map([("selector", Some(labels(unit))), ("ports", Some(listed))]);
    (!ports.is_empty()).then(|| object("v1", "Service", unit, spec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_dns() {
        for (name, expected) in
            [("web", "web"), ("Web_1", "web-1"), ("1st", "p1st"), ("ä", "p"), ("-x-", "p-x"), ("a.b", "a-b")]
        {
            assert_eq!(named(name), expected);
        }
        assert_eq!(named(&"x".repeat(100)).len(), LONGEST_NAME);
    }
}
