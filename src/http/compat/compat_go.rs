//! The REST paths of the Go reimplementations of Supervisor, with their answers, for the scripts that use them.
//!
//! ochinchina's version and its fork differ, so paths are accepted with and without a node before the name. The only node is
//! this machine, under the `nodename` or `identifier` of the configuration or under its host name. Orders for other nodes are
//! refused, because they mean a program on another machine.

use super::run_simple;
use crate::control::ask;
use crate::control::audit::Audit;
use crate::control::orders::{self, Order};
use crate::control::request::{ProcessInfo, Target, Wait};
use crate::http::answer::{
    ApiRequest, ApiResult, daemon_view, json, large_json, overview, plain, reserve_memory,
};
use crate::http::compat::bare_names;
use crate::http::context::Context;
use crate::http::wire::problem::{Problem, forbidden};
use crate::http::wire::response::{Body, Response};
use crate::model::stream::Stream;
use crate::rpc::server::logs;
use crate::rt;
use crate::sys::process::host_name;
use serde::{Deserialize, Serialize};
use serde_json::json as object;
use std::collections::BTreeSet;

/// How many programs one request may name.
const PROGRAMS_MAX: usize = 10_000;

/// The endpoint of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    List,
    Info(Target),
    On(Target, Order),
    OnMany(Order),
    Log(Target, Stream),
    Nodes,
    Ping,
    Reload,
    Shutdown,
    /// An endpoint on the node of this name.
    At(String, Box<Endpoint>),
    Refused(Problem),
}

impl Endpoint {
    fn changes(&self) -> bool {
        match self {
            Endpoint::On(..) | Endpoint::OnMany(_) | Endpoint::Reload | Endpoint::Shutdown => true,
            Endpoint::At(_, endpoint) => endpoint.changes(),
            Endpoint::List
            | Endpoint::Info(_)
            | Endpoint::Log(..)
            | Endpoint::Nodes
            | Endpoint::Ping
            | Endpoint::Refused(_) => false,
        }
    }
}

/// The endpoint below `/program` or `/supervisor`.
pub(crate) fn route(method: &str, path: &[&str]) -> Endpoint {
    let Some(endpoint) = find(path) else { return Endpoint::Refused(Problem::nothing_there()) };
    match (endpoint.changes(), method) {
        (true, "POST" | "PUT") | (false, "GET" | "HEAD") => endpoint,
        (true, _) => Endpoint::Refused(Problem::wrong_method("POST, PUT")),
        (false, _) => Endpoint::Refused(Problem::wrong_method("GET, HEAD")),
    }
}

fn find(path: &[&str]) -> Option<Endpoint> {
    Some(match path {
        ["program", "list"] => Endpoint::List,
        ["program", "startPrograms"] => Endpoint::OnMany(Order::Start(Wait::Yes)),
        ["program", "stopPrograms"] => Endpoint::OnMany(Order::Stop(Wait::Yes)),
        ["supervisor", "listNodes"] => Endpoint::Nodes,
        ["supervisor", "reload"] => Endpoint::Reload,
        ["supervisor", "shutdown"] => Endpoint::Shutdown,
        ["program", "log", name, stream] => log_of(name, stream)?,
        ["program", "log", node, name, stream] => at(node, log_of(name, stream)?),
        ["program", what, name] => of_program(what, name)?,
        ["program", what, node, name] => at(node, of_program(what, name)?),
        ["supervisor", node, "reload"] => at(node, Endpoint::Reload),
        ["supervisor", node, "shutdown"] => at(node, Endpoint::Shutdown),
        ["supervisor", node, "ping"] => at(node, Endpoint::Ping),
        _ => return None,
    })
}

fn at(node: &str, endpoint: Endpoint) -> Endpoint {
    Endpoint::At(node.to_string(), Box::new(endpoint))
}

fn of_program(what: &str, name: &str) -> Option<Endpoint> {
    let target = Target::parse(name);
    match what {
        "info" => Some(Endpoint::Info(target)),
        "start" => Some(Endpoint::On(target, Order::Start(Wait::Yes))),
        "stop" => Some(Endpoint::On(target, Order::Stop(Wait::Yes))),
        "restart" => Some(Endpoint::On(target, Order::Restart(Wait::Yes))),
        _ => None,
    }
}

fn log_of(name: &str, stream: &str) -> Option<Endpoint> {
    Some(Endpoint::Log(Target::parse(name), Stream::parse(stream)?))
}

pub(crate) async fn answer(endpoint: Endpoint, context: &Context, request: &ApiRequest<'_>) -> Response {
    let answered = match endpoint {
        Endpoint::At(node, endpoint) if is_ours(context, &node).await => {
            answered(*endpoint, context, request).await
        }
        Endpoint::At(..) => no_such_node(),
        endpoint => answered(endpoint, context, request).await,
    };
    answered.unwrap_or_else(Problem::into_response)
}

/// Whether a node is this machine.
async fn is_ours(context: &Context, node: &str) -> bool {
    if node.eq_ignore_ascii_case(&host_name()) {
        return true;
    }
    let daemon = daemon_view(context).await;
    daemon.is_ok_and(|daemon| node.eq_ignore_ascii_case(&daemon.nodename) || node == daemon.identifier)
}

fn no_such_node() -> ApiResult {
    json(404, &object!({"success": false}))
}

async fn answered(endpoint: Endpoint, context: &Context, request: &ApiRequest<'_>) -> ApiResult {
    let may_change = context.token().admits(request.head, None);
    match endpoint {
        Endpoint::Refused(problem) => Err(problem),
        // No path has two nodes.
        Endpoint::At(..) => no_such_node(),
        Endpoint::List => {
            let reserved = reserve_memory(context).await?;
            let overview = overview(context, Target::All).await?;
            let node = &overview.daemon.nodename;
            let rows: Vec<_> =
                overview.processes.iter().map(|process| Row::new(node, &process.info)).collect();
            large_json(context, reserved, &rows).await
        }
        Endpoint::Info(target) => {
            let overview = overview(context, target).await;
            match overview.as_ref().map(|overview| (&overview.daemon.nodename, overview.processes.first())) {
                Ok((node, Some(process))) => json(200, &Row::new(node, &process.info)),
                Ok((_, None)) => json(500, &object!({"error": "no process found"})),
                Err(problem) => json(500, &object!({"error": problem.detail()})),
            }
        }
        Endpoint::Log(target, stream) => Ok(log(context, target, stream).await),
        Endpoint::Nodes => {
            let name = daemon_view(context).await?.nodename;
            json(200, &[rt::unblock(|| node(name)).await])
        }
        Endpoint::Ping => json(200, &object!({"success": true})),
        _ if !may_change => Err(forbidden()),
        Endpoint::On(target, order) => {
            let success = succeeds(context, order, target, request).await;
            json(200, &object!({"success": success}))
        }
        Endpoint::OnMany(order) => many(context, order, request).await,
        Endpoint::Reload => {
            let updated = audit(request).finish(orders::update(context.handle(), None).await);
            let success = updated.is_ok();
            json(200, &object!({"success": success}))
        }
        Endpoint::Shutdown => {
            let begun = audit(request).finish(context.handle().call(ask::Shutdown).await);
            let success = begun.is_ok();
            json(200, &object!({"success": success}))
        }
    }
}

/// The line that something for the daemon itself leaves in the activity log.
fn audit(request: &ApiRequest<'_>) -> Audit {
    Audit::of_path(request.caller, request.head.path(), "")
}

/// A process as the Go descendants show it.
#[derive(Serialize)]
struct Row<'a> {
    node: &'a str,
    name: &'a str,
    group: &'a str,
    description: &'a str,
    start: i64,
    stop: i64,
    now: i64,
    state: i32,
    statename: &'static str,
    spawnerr: &'a str,
    exitstatus: i32,
    logfile: &'a str,
    stdout_logfile: &'a str,
    stderr_logfile: &'a str,
    pid: i32,
}

impl<'a> Row<'a> {
    fn new(node: &'a str, info: &'a ProcessInfo) -> Row<'a> {
        Row {
            node,
            name: &info.name,
            group: &info.group,
            description: &info.description,
            start: info.start,
            stop: info.stop,
            now: info.now,
            state: info.state.code(),
            statename: info.state.name(),
            spawnerr: &info.spawnerr,
            exitstatus: info.exitstatus,
            logfile: &info.stdout_logfile,
            stdout_logfile: &info.stdout_logfile,
            stderr_logfile: &info.stderr_logfile,
            pid: info.pid,
        }
    }
}

/// Carries out an order. Returns whether it succeeded for all processes.
async fn succeeds(context: &Context, order: Order, target: Target, request: &ApiRequest<'_>) -> bool {
    let target = bare_names::resolve(context, target).await;
    let result = run_simple(context, order, target, request.caller, request.head.path()).await;
    result.is_ok_and(|statuses| statuses.iter().all(|status| status.outcome.is_ok()))
}

/// A program in the body, with or without its node.
#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Name(String),
    OnNode {
        /// Empty or absent: this one.
        #[serde(default)]
        node: String,
        program: String,
    },
}

/// Starts or stops programs, or none of them if one is on another node. The answer does not contain the results, as in the
/// originals; that of `/api/v1/actions` does.
async fn many(context: &Context, order: Order, request: &ApiRequest<'_>) -> ApiResult {
    let text = |status, text: &str| Ok(plain(status, "text/plain", text.as_bytes().to_vec()));
    let names: Vec<Named> = match serde_json::from_slice(&request.body.bytes) {
        Ok(names) => names,
        Err(_) => return text(400, "not a valid request"),
    };
    if names.len() > PROGRAMS_MAX {
        return text(400, "not a valid request");
    }
    let nodes = names.iter().filter_map(|name| match name {
        Named::OnNode { node, .. } if !node.is_empty() => Some(node.as_str()),
        Named::OnNode { .. } | Named::Name(_) => None,
    });
    for node in nodes.collect::<BTreeSet<_>>() {
        if !is_ours(context, node).await {
            return no_such_node();
        }
    }
    for name in names {
        let (Named::Name(name) | Named::OnNode { program: name, .. }) = name;
        succeeds(context, order, Target::parse(&name), request).await;
    }
    let what = if matches!(order, Order::Start(_)) {
        "Success to start the programs"
    } else {
        "Success to stop the programs"
    };
    text(200, what)
}

/// The whole log; empty if there is none.
async fn log(context: &Context, target: Target, stream: Stream) -> Response {
    let part = match context.handle().call(ask::Log(Some((target, stream)))).await {
        Ok(source) => logs::part(source, 0, None).await.ok(),
        Err(_) => None,
    };
    let body = part.map_or(Body::Whole(Vec::new()), |part| Body::Log(part.slice));
    Response::new(200, "text/plain; charset=utf-8", body).private()
}

/// This machine, which is the only node.
#[derive(Serialize)]
struct Node {
    name: String,
    status: &'static str,
    cpu_percent: f64,
    mem_total: u64,
    mem_used: u64,
    mem_used_percent: f64,
}

fn node(name: String) -> Node {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = |key: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) << 10
    };
    let (mem_total, mem_used) = (bytes("MemTotal"), bytes("MemTotal").saturating_sub(bytes("MemAvailable")));
    let percent = |part: f64, whole: f64| if whole > 0.0 { part / whole * 100.0 } else { 0.0 };
    Node {
        name,
        status: "ONLINE",
        cpu_percent: busy(),
        mem_total,
        mem_used,
        mem_used_percent: percent(mem_used as f64, mem_total as f64),
    }
}

/// The load of the processors since the machine started, in percent. The originals measure for a second while the client
/// waits.
fn busy() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let times: Vec<f64> =
        line.split_ascii_whitespace().skip(1).filter_map(|text| text.parse().ok()).collect();
    // user, nice, system, idle, iowait and others (proc(5)).
    let total: f64 = times.iter().take(8).sum();
    let idle: f64 = times.iter().skip(3).take(2).sum();
    if total > 0.0 { (total - idle) / total * 100.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_both_descendants_are_known() {
        let on = |name: &str, order: fn(Wait) -> Order| Endpoint::On(Target::parse(name), order(Wait::Yes));
        for (method, path, expected) in [
            ("GET", "program/list", Endpoint::List),
            ("POST", "program/start/a", on("a", Order::Start)),
            ("PUT", "program/stop/node/g:a", at("node", on("g:a", Order::Stop))),
            ("POST", "program/restart/node/g:*", at("node", on("g:*", Order::Restart))),
            ("GET", "program/info/node/a", at("node", Endpoint::Info(Target::parse("a")))),
            ("GET", "program/stop/node/a", Endpoint::Refused(Problem::wrong_method("POST, PUT"))),
            ("GET", "program/start/a", Endpoint::Refused(Problem::wrong_method("POST, PUT"))),
            ("POST", "program/startPrograms", Endpoint::OnMany(Order::Start(Wait::Yes))),
            ("GET", "program/log/a/stdout", Endpoint::Log(Target::parse("a"), Stream::Stdout)),
            (
                "GET",
                "program/log/node/a/stderr",
                at("node", Endpoint::Log(Target::parse("a"), Stream::Stderr)),
            ),
            ("POST", "supervisor/reload", Endpoint::Reload),
            ("POST", "supervisor/node/shutdown", at("node", Endpoint::Shutdown)),
            ("GET", "supervisor/node/ping", at("node", Endpoint::Ping)),
            ("GET", "supervisor/listNodes", Endpoint::Nodes),
            ("GET", "program", Endpoint::Refused(Problem::nothing_there())),
        ] {
            let segments: Vec<&str> = path.split('/').collect();
            assert_eq!(route(method, &segments), expected, "{method} {path}");
        }
    }

    #[test]
    fn this_machine_has_memory() {
        let node = node("a".to_string());
        assert!(node.mem_total > node.mem_used && node.mem_used > 0);
        assert!((0.0..=100.0).contains(&node.cpu_percent));
    }
}
