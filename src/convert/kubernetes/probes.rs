//! Probes of a container.

use crate::convert::losses::Losses;
use crate::convert::tree::Node;
use crate::convert::units::{Unit, has_usual_statuses, is_here, probe_command, seconds};
use crate::model::probe::{HealthAction, Probe};
use std::time::Duration;

/// What asks whether a container has come up.
pub(super) fn startup(unit: &Unit<'_>, losses: &mut Losses) -> Option<Node> {
    let ready = unit.process.readiness.as_ref()?;
    let period = whole(unit, "ready_interval", ready.ready_interval, losses);
    let tries = seconds(ready.ready_timeout).div_ceil(period).max(1);
    let mut probe = asked(unit, "ready", &ready.ready, losses)?;
    probe.push(("periodSeconds", Some(Node::number(period))));
    probe.push(("failureThreshold", Some(Node::number(tries))));
    Some(Node::map(probe))
}

/// What asks whether a container is alive.
pub(super) fn liveness(unit: &Unit<'_>, losses: &mut Losses) -> Option<Node> {
    let check = unit.process.health_check.as_ref()?;
    let why = match check.health_action {
        HealthAction::Restart => None,
        HealthAction::None => Some("there is no probe that only tells: this one is left out"),
        HealthAction::Stop | HealthAction::Signal(_) => Some("a container that is not alive is restarted"),
    };
    if let Some(why) = why {
        unit.lose("health_action", why, losses);
    }
    if check.health_action == HealthAction::None {
        unit.lose("health", "it would be a restart that nobody wants", losses);
        return None;
    }
    let mut probe = asked(unit, "health", &check.health, losses)?;
    let delay = match check.health_start_period {
        Duration::ZERO => 0,
        time => whole(unit, "health_start_period", time, losses),
    };
    let numbers = [
        ("initialDelaySeconds", delay),
        ("periodSeconds", whole(unit, "health_interval", check.health_interval, losses)),
        ("timeoutSeconds", whole(unit, "health_timeout", check.health_timeout, losses)),
        ("failureThreshold", u64::from(check.health_retries.max(1))),
    ];
    probe.extend(numbers.map(|(key, number)| (key, Some(Node::number(number)))));
    Some(Node::map(probe))
}

/// Whole seconds, at least one.
fn whole(unit: &Unit<'_>, key: &str, time: Duration, losses: &mut Losses) -> u64 {
    let whole = seconds(time).max(1);
    if Duration::from_secs(whole) != time {
        unit.lose(key, format!("it is whole seconds there: {whole}"), losses);
    }
    whole
}

fn asked(
    unit: &Unit<'_>,
    key: &str,
    probe: &Probe,
    losses: &mut Losses,
) -> Option<Vec<(&'static str, Option<Node>)>> {
    let here = "the kubelet asks the address of the pod: the program must listen there, and not on the loopback only";
    let host = |host: &str| (!is_here(host)).then(|| Node::text(host));
    let mut lose = |why: &str| unit.lose(key, why, losses);
    match probe {
        Probe::Tcp { host: name, port } => {
            if is_here(name) {
                lose(here);
            }
            let socket = Node::map([("port", Some(Node::number(port))), ("host", host(name))]);
            Some(vec![("tcpSocket", Some(socket))])
        }
        Probe::Http(http) if has_usual_statuses(http) => {
            if is_here(&http.host) {
                lose(here);
            }
            let header = |(name, value): &(String, String)| {
                Node::map([("name", Some(Node::text(name))), ("value", Some(Node::text(value)))])
            };
            let headers = Node::List(http.headers.iter().map(header).collect());
            let get = Node::map([
                ("path", Some(Node::text(&http.path))),
                ("port", Some(Node::number(http.port))),
                ("host", host(&http.host)),
                ("httpHeaders", (!http.headers.is_empty()).then_some(headers)),
            ]);
            Some(vec![("httpGet", Some(get))])
        }
        other => match probe_command(other) {
            Some((words, tools)) => {
                if let Some(tools) = tools {
                    lose(&format!(
                        "the kubelet runs a command in the container: the image must have {tools}"
                    ));
                }
                let command = Node::map([("command", Some(Node::texts(words)))]);
                Some(vec![("exec", Some(command))])
            }
            None => {
                lose("the kubelet can only ask, and this is a report: write a probe that asks");
                None
            }
        },
    }
}
