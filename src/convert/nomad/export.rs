//! Job specifications of a configuration: one job for services, one for what runs once.

use super::hcl::Body;
use super::task;
use crate::convert::export::{Options, OutputFile, Source};
use crate::convert::losses::Losses;
use crate::convert::tree::Node;
use crate::convert::units::{Plan, Unit, go_duration, port_of, probe_command};
use crate::model::config::{Autorestart, NO_LIMIT};
use crate::model::dependency::Condition;
use crate::model::probe::{HealthAction, Probe};
use std::time::Duration;

/// The disk that Nomad plans for a group, in megabytes. It refuses a job whose logs take more.
const DISK: u64 = 300;
/// The shortest interval that Nomad counts restarts in.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(5);
/// A time in which a job that fails again and again has used up its tries.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// Makes a file for each kind of job.
///
/// # Errors
/// There is no program to make one of.
pub(in crate::convert) fn export(
    source: &Source,
    options: &Options,
    losses: &mut Losses,
) -> Result<Vec<OutputFile>, String> {
    let plan = Plan::of(source, named, losses)?;
    let image = options.image.as_deref();
    if image.is_none() {
        let why = "tasks run on the client as they do here: its configuration must enable this driver, and it must have the \
                   programs. For containers, export with --image NAME";
        losses.note("driver", "raw_exec", why);
    }
    plan.lose_umasks(source, losses);
    let name = named(&source.config.supervisord.identifier);
    let mut files = Vec::new();
    for (kind, name) in [("service", name.clone()), ("batch", format!("{name}-batch"))] {
        let mut job = Body::default();
        job.set("type", Some(Node::text(kind)));
        let units = plan.units.iter().enumerate();
        let mut groups = units
            .filter(|(at, unit)| is_batch(unit) == (kind == "batch") && plan.runs_before(*at).is_none())
            .peekable();
        if groups.peek().is_none() {
            continue;
        }
        for (at, unit) in groups {
            job.block("group", Some(&unit.name), group(&plan, at, image, losses));
        }
        let mut all = Body::default();
        all.block("job", Some(&name), job);
        files.push(OutputFile { path: format!("{name}.nomad.hcl"), text: all.to_text(), section: None });
    }
    Ok(files)
}

/// A name of a job, a group or a service: letters, digits and hyphens.
fn named(name: &str) -> String {
    let is_possible = |c: char| c.is_ascii_alphanumeric();
    let named: String = name.chars().take(60).map(|c| if is_possible(c) { c } else { '-' }).collect();
    let named = named.trim_matches('-');
    if named.is_empty() { "program".to_string() } else { named.to_string() }
}

/// Whether it runs once.
fn is_batch(unit: &Unit<'_>) -> bool {
    unit.process.is_oneshot() || unit.process.autorestart == Autorestart::Never
}

fn group(plan: &Plan<'_>, at: usize, image: Option<&str>, losses: &mut Losses) -> Body {
    let unit = &plan.units[at];
    let mut group = Body::default();
    let count = if plan.comes_up(at) { unit.count } else { 0 };
    if count == 0 && unit.count > 1 {
        unit.lose("numprocs", "count is 0, because it does not start by itself", losses);
    }
    group.set("count", Some(Node::number(count)));
    group.block("restart", None, restart(unit, losses));
    let check = check(unit, losses);
    if let Some((port, _)) = &check {
        group.block("network", None, network(*port));
        if unit.count > 1 && port.is_some() {
            let why = "each port is there once on a machine: give the processes ports of their own";
            unit.note("numprocs", unit.count.to_string(), why, losses);
        }
    }
    let mut jobs = Vec::new();
    for link in plan.links(at) {
        let other = &plan.units[link.on];
        if plan.runs_before(link.on) == Some(at) {
            jobs.push(other);
            continue;
        }
        let why = match link.condition {
            Condition::Ready | Condition::Healthy => {
                format!("nothing waits for {}: let the program try until it finds what it needs", other.name)
            }
            Condition::Done | Condition::Exited => {
                format!("nothing waits for the end of {}: run it first", other.name)
            }
        };
        unit.lose("depends_on", why, losses);
    }
    let logs: u64 = jobs.iter().copied().chain([unit]).map(task::log_size).sum();
    if logs >= DISK {
        let mut disk = Body::default();
        disk.set("size", Some(Node::number(logs.saturating_add(DISK))));
        group.block("ephemeral_disk", None, disk);
    }
    if let Some((port, check)) = check {
        group.block("service", None, service(unit, port, check));
    }
    for job in jobs {
        job.lose(
            "startretries",
            "a prestart task is tried again as the restart block of its group says",
            losses,
        );
        let mut before = Body::default();
        let mut hook = Body::default();
        hook.set("hook", Some(Node::text("prestart")));
        hook.set("sidecar", Some(Node::bool(false)));
        before.block("lifecycle", None, hook);
        group.block("task", Some(&job.name), task::task(plan, job, image, before, losses));
    }
    group.block("task", Some(&unit.name), task::task(plan, unit, image, Body::default(), losses));
    group
}

fn restart(unit: &Unit<'_>, losses: &mut Losses) -> Body {
    let process = unit.process;
    let mut restart = Body::default();
    if process.exitcodes != [0] && process.autorestart != Autorestart::Always {
        unit.lose(
            "exitcodes",
            "to Nomad, exit code 0 is the expected one and every other one a failure",
            losses,
        );
    }
    if process.autorestart == Autorestart::Unexpected && !is_batch(unit) {
        unit.lose("autorestart", "tasks of a service are restarted however they end", losses);
    }
    let delay = process.restart.restart_delay.unwrap_or(Duration::from_secs(1));
    let (attempts, interval, mode) = match &process.restart.restart_limit {
        _ if process.autorestart == Autorestart::Never && !process.is_oneshot() => {
            unit.lose(
                "startretries",
                "a program that is not restarted runs once, whatever becomes of it",
                losses,
            );
            (0, LONG, "fail")
        }
        Some(limit) => (limit.starts, limit.within, "fail"),
        None if process.startretries == NO_LIMIT => (1, delay * 2, "delay"),
        None if process.is_oneshot() => (process.startretries, LONG, "fail"),
        None => {
            unit.lose("startretries", "a service is never given up: write restart_limit for that", losses);
            (1, delay * 2, "delay")
        }
    };
    // It has to be possible to restart so often in that time.
    let interval =
        interval.max(delay.saturating_mul(attempts) + Duration::from_secs(1)).max(SHORTEST_INTERVAL);
    restart.set("attempts", Some(Node::number(attempts)));
    restart.set("interval", Some(Node::Text(go_duration(interval))));
    restart.set("delay", Some(Node::Text(go_duration(delay))));
    restart.set("mode", Some(Node::text(mode)));
    restart
}

fn network(port: Option<u16>) -> Body {
    let mut network = Body::default();
    if let Some(port) = port {
        let mut number = Body::default();
        number.set("static", Some(Node::number(port)));
        network.block("port", Some(&format!("p{port}")), number);
    }
    network
}

/// The check of a service, and the port that it asks.
fn check(unit: &Unit<'_>, losses: &mut Losses) -> Option<(Option<u16>, Body)> {
    let health = unit.process.health_check.as_ref()?;
    let mut check = Body::default();
    let port = port_of(&health.health);
    match (&health.health, port) {
        (Probe::Tcp { .. }, Some(_)) => check.set("type", Some(Node::text("tcp"))),
        (Probe::Http(http), Some(_)) => {
            check.set("type", Some(Node::text("http")));
            check.set("path", Some(Node::text(&http.path)));
            if http.status != [(200, 299)] {
                unit.lose("health", "Nomad takes the statuses 200 to 299 for good, and no others", losses);
            }
        }
        (other, _) => {
            let (words, tools) = probe_command(other)?;
            let needs = tools.map(|tools| format!(", and {tools}")).unwrap_or_default();
            unit.lose("health", format!("a check that runs a command needs Consul{needs}"), losses);
            check.set("type", Some(Node::text("script")));
            check.set("task", Some(Node::text(&unit.name)));
            check.set("command", words.first().map(Node::text));
            check.set("args", (words.len() > 1).then(|| Node::texts(&words[1..])));
        }
    }
    check.set("interval", Some(Node::Text(go_duration(health.health_interval.max(Duration::from_secs(1))))));
    check.set("timeout", Some(Node::Text(go_duration(health.health_timeout.max(Duration::from_secs(1))))));
    if health.health_interval.min(health.health_timeout) < Duration::from_secs(1) {
        unit.lose("health_interval", "a check takes no less than a second", losses);
    }
    if let (Probe::Http(http), Some(_)) = (&health.health, port)
        && !http.headers.is_empty()
    {
        let mut header = Body::default();
        for (name, value) in &http.headers {
            match task::is_identifier(name) {
                true => header.set(name, Some(Node::texts([value]))),
                false => unit.lose("health", format!("a header cannot be called {name} there"), losses),
            }
        }
        check.block("header", None, header);
    }
    match health.health_action {
        HealthAction::Restart => {
            let mut restart = Body::default();
            restart.set("limit", Some(Node::number(health.health_retries)));
            restart.set("grace", Some(Node::Text(go_duration(health.health_start_period))));
            check.block("check_restart", None, restart);
        }
        HealthAction::None => {}
        HealthAction::Stop | HealthAction::Signal(_) => {
            unit.lose("health_action", "a check can restart a task or do nothing: it does nothing", losses);
        }
    }
    Some((port, check))
}

fn service(unit: &Unit<'_>, port: Option<u16>, check: Body) -> Body {
    let mut service = Body::default();
    service.set("name", Some(Node::text(&unit.name)));
    service.set("provider", Some(Node::text(if port.is_some() { "nomad" } else { "consul" })));
    service.set("port", port.map(|port| Node::text(format!("p{port}"))));
    service.block("check", None, check);
    service
}
