//! Endpoints that change something.
//!
//! An order that was begun is always carried out. The answer waits for its end, up to a time limit.

use super::programs;
use super::route::{Act, Action};
use crate::config::Reread;
use crate::control::ask::{self, Ask};
use crate::control::audit::Audit;
use crate::control::orders::{self, Order};
use crate::control::overview::ProcessView;
use crate::control::request::{BulkStatus, Target, Wait};
use crate::http::answer::{ApiRequest, ApiResult, json, overview};
use crate::http::compat::bare_names;
use crate::http::context::Context;
use crate::http::net::socket::within;
use crate::http::wire::problem::{Problem, forbidden};
use crate::model::fault::{Fault, FaultCode};
use crate::model::namespec::{self, Namespec};
use crate::model::signal::Signal;
use crate::rt;
use serde::{Deserialize, Serialize};
use serde_json::json as object;
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

/// How long an answer waits for the end of an order by default.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest wait that a client can ask for, in seconds.
const PATIENCE_MAX: f64 = 600.0;

/// How many names one request may select.
const NAMES_MAX: usize = 10_000;

/// The options of an action, from the body of the request. All of them are optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionOptions {
    /// For `signal`: a name, with or without SIG, or a number.
    signal: Option<SignalName>,
    /// Whether to wait for the end of the order. The default is true.
    wait: Option<bool>,
    /// How long to wait, in seconds.
    timeout: Option<f64>,
    /// For `start`: whether what it depends on is started and waited for. The default is true.
    deps: Option<bool>,
    /// For `stop`: whether all that depends on it is stopped before it. The default is false.
    dependents: Option<bool>,
}

/// The body of an action on several targets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Selection {
    action: String,
    /// Processes and groups (`group:*`); all processes if it is missing.
    names: Option<Vec<String>>,
    signal: Option<SignalName>,
    wait: Option<bool>,
    timeout: Option<f64>,
    deps: Option<bool>,
    dependents: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SignalName {
    Name(String),
    Number(f64),
}

/// An action of a client, the order that it means, and how long the answer may wait.
#[derive(Clone, Copy, Debug)]
struct Task {
    action: Action,
    order: Order,
    patience: Duration,
}

pub(crate) async fn answer(what: Act, context: &Context, request: &ApiRequest<'_>) -> ApiResult {
    if !context.token().admits(request.head, None) {
        return Err(forbidden());
    }
    is_json(request)?;
    match what {
        Act::On(target, action) => {
            let task = Task::new(action, options(request)?)?;
            let audit = audit(request, &target.to_string());
            audit.finish(execute(context, task, vec![target]).await)
        }
        Act::OnMany => execute_many(context, request).await,
        Act::ClearLog => audit(request, "").finish(confirm(context, ask::ClearLog).await),
        Act::Shutdown => audit(request, "").finish(confirm(context, ask::Shutdown).await),
        Act::Restart => audit(request, "").finish(confirm(context, ask::Restart).await),
        Act::Scale(name) => programs::scale(context, request, name).await,
        Act::Enable(target, starts) => programs::enable(context, request, target, starts).await,
        Act::Update => update(context, request).await,
    }
}

/// Checks that the body is JSON. The form of a foreign page cannot send that.
fn is_json(request: &ApiRequest<'_>) -> Result<(), Problem> {
    let kind = request.head.header("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if request.body.bytes.is_empty() || kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(415, format!("the body must be application/json, not {kind:?}")))
}

pub(super) fn body<'a, T: Deserialize<'a>>(request: &'a ApiRequest<'_>) -> Result<T, Problem> {
    serde_json::from_slice(&request.body.bytes)
        .map_err(|error| Problem::new(400, format!("the body is not what was expected: {error}")))
}

fn options(request: &ApiRequest<'_>) -> Result<ActionOptions, Problem> {
    if request.body.bytes.is_empty() { Ok(ActionOptions::default()) } else { body(request) }
}

impl Task {
    fn new(action: Action, options: ActionOptions) -> Result<Task, Problem> {
        for (key, value, means) in
            [("deps", options.deps, Action::Start), ("dependents", options.dependents, Action::Stop)]
        {
            if value.is_some() && action != means {
                let text = format!("{key} has no meaning for the action {:?}", action.name());
                return Err(Problem::new(400, text));
            }
        }
        let wait = if options.wait.unwrap_or(true) { Wait::Yes } else { Wait::No };
        let order = match (action, &options.signal) {
            (Action::Signal, Some(name)) => Order::Signal(signal(name)?),
            (Action::Signal, None) => {
                return Err(Problem::new(400, "signal is missing: the name or number of the signal to send"));
            }
            (_, Some(_)) => {
                let text = format!("signal has no meaning for the action {:?}", action.name());
                return Err(Problem::new(400, text));
            }
            (Action::Start, None) if options.deps == Some(false) => Order::StartAlone(wait),
            (Action::Start, None) => Order::Start(wait),
            (Action::Stop, None) if options.dependents == Some(true) => Order::StopWithDependents(wait),
            (Action::Stop, None) => Order::Stop(wait),
            (Action::Restart, None) => Order::Restart(wait),
            (Action::Clear, None) => Order::ClearLogs,
        };
        let patience = match options.timeout {
            None => PATIENCE,
            Some(seconds) if (0.0..=PATIENCE_MAX).contains(&seconds) => Duration::from_secs_f64(seconds),
            Some(seconds) => {
                let text = format!("timeout must be 0 to {PATIENCE_MAX} seconds, not {seconds}");
                return Err(Problem::new(400, text));
            }
        };
        Ok(Task { action, order, patience })
    }
}

/// Parses a signal: a name in any case, with or without SIG, or a number. JSON makes no difference between 15 and 15.0.
fn signal(name: &SignalName) -> Result<Signal, Problem> {
    let text = match name {
        SignalName::Name(name) => name.clone(),
        SignalName::Number(number) => number.to_string(),
    };
    let is_sign = |c: &char| "+-".contains(*c);
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || is_sign(&c))
        && !text.starts_with(['+', '-'])
        && text.chars().filter(is_sign).count() <= 1;
    let signal = Signal::parse(&text).filter(|_| is_plain);
    signal.ok_or_else(|| {
        Problem::from(Fault::with(FaultCode::BadSignal, text.chars().take(100).collect::<String>()))
    })
}

async fn execute_many(context: &Context, request: &ApiRequest<'_>) -> ApiResult {
    let selection: Selection = body(request)?;
    let action = Action::parse(&selection.action).ok_or_else(|| {
        let text = "action must be start, stop, restart, signal or clear";
        Problem::new(400, text)
    })?;
    let Selection { names, signal, wait, timeout, deps, dependents, .. } = selection;
    let task = Task::new(action, ActionOptions { signal, wait, timeout, deps, dependents })?;
    let (whom, targets) = match names {
        None => ("all".to_string(), vec![Target::All]),
        Some(names) if names.len() > NAMES_MAX => {
            return Err(Problem::new(400, format!("there may be {NAMES_MAX} names, not {}", names.len())));
        }
        Some(names) => {
            let mut seen = HashSet::new();
            let new = names.iter().filter(|name| seen.insert(name.as_str()));
            let mut targets = Vec::new();
            for name in new {
                targets.push(bare_names::resolve(context, Target::parse(name)).await);
            }
            (format!("{} names, {}", names.len(), names.first().map_or("", String::as_str)), targets)
        }
    };
    let audit = audit(request, &format!("{} {whom}", action.name()));
    audit.finish(execute(context, task, targets).await)
}

/// The result of an action for one process.
#[derive(Debug, Serialize)]
struct ActionResult {
    namespec: String,
    group: String,
    name: String,
    /// `done`, `failed`, or `pending` if it takes longer than the answer could wait.
    outcome: &'static str,
    /// 80 for success, or the number of the fault, as in XML-RPC; 0 while it is pending.
    status: i32,
    fault: Option<&'static str>,
    detail: String,
    statename: Option<&'static str>,
    pid: Option<i32>,
}

impl ActionResult {
    fn new(status: &BulkStatus) -> ActionResult {
        let fault = status.outcome.as_ref().err();
        ActionResult {
            namespec: namespec::display(&status.group, &status.name),
            group: status.group.clone(),
            name: status.name.clone(),
            outcome: if fault.is_none() { "done" } else { "failed" },
            status: status.status(),
            fault: fault.map(|fault| fault.code.name()),
            detail: fault.map_or_else(String::new, Fault::to_string),
            statename: None,
            pid: None,
        }
    }

    /// The result for a target whose order has not ended.
    fn pending(name: &str) -> ActionResult {
        let namespec = Namespec::parse(name);
        let process = namespec.process.clone().unwrap_or_else(|| "*".to_string());
        ActionResult {
            namespec: namespec.to_string(),
            group: namespec.group,
            name: process,
            outcome: "pending",
            status: 0,
            fault: None,
            detail: "it takes longer than this answer could wait; it goes on".to_string(),
            statename: None,
            pid: None,
        }
    }
}

/// Carries out an order for several targets. The answer has a result for each process.
async fn execute(context: &Context, task: Task, targets: Vec<Target>) -> ApiResult {
    let alone = targets.len() == 1;
    let mut results: Vec<ActionResult> = Vec::new();
    let deadline = Instant::now() + task.patience;
    // All are begun at once, then awaited one after the other.
    let begun: Vec<_> = targets
        .iter()
        .map(|target| {
            let (handle, target) = (context.handle().clone(), target.clone());
            rt::spawn(async move { orders::execute(&handle, task.order, target).await })
        })
        .collect();
    for (begun, target) in begun.into_iter().zip(&targets) {
        let left = deadline.saturating_duration_since(Instant::now());
        match within(left, begun.join()).await {
            Some(Ok(statuses)) => results.extend(statuses.iter().map(ActionResult::new)),
            Some(Err(fault)) if alone || fault.code == FaultCode::ShutdownState => return Err(fault.into()),
            Some(Err(fault)) => results.push(ActionResult::new(&orders::line(target, Err(fault)))),
            None => results.push(ActionResult::pending(&target.to_string())),
        }
    }
    add_states(context, &mut results).await;
    let is_ok = results.iter().all(|result| result.outcome != "failed");
    json(200, &object!({"action": task.action.name(), "ok": is_ok, "results": results}))
}

/// Adds to each result the state and pid of the process.
async fn add_states(context: &Context, results: &mut [ActionResult]) {
    let target = match results {
        [] => return,
        [one] => Target::parse(&one.namespec),
        _ => Target::All,
    };
    // Without an answer the states stay unknown.
    let Ok(overview) = overview(context, target).await else { return };
    let by_name: BTreeMap<(&str, &str), &ProcessView> = overview
        .processes
        .iter()
        .map(|process| ((process.info.group.as_str(), process.info.name.as_str()), process))
        .collect();
    for result in results {
        if let Some(process) = by_name.get(&(result.group.as_str(), result.name.as_str())) {
            result.statename = Some(process.info.state.name());
            result.pid = (process.info.pid > 0).then_some(process.info.pid);
        }
    }
}

/// Posts a request without a result, and confirms it.
async fn confirm(context: &Context, request: impl Ask<Answer = ()>) -> ApiResult {
    context.handle().call(request).await?;
    json(200, &object!({"ok": true}))
}

/// The body of an update.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    /// One group only.
    group: Option<String>,
}

async fn update(context: &Context, request: &ApiRequest<'_>) -> ApiResult {
    let Update { group } = if request.body.bytes.is_empty() { Update::default() } else { body(request)? };
    let audit = audit(request, group.as_deref().unwrap_or_default());
    let result = match orders::update(context.handle(), group.as_deref()).await {
        Ok(updated) => {
            let Reread { added, changed, removed } = updated.by_group();
            let groups = updated.plan.groups;
            json(
                200,
                &object!({"ok": true, "added": added, "changed": changed, "removed": removed, "groups": groups}),
            )
        }
        Err(fault) => Err(fault.into()),
    };
    audit.finish(result)
}

/// The line that a change leaves in the activity log.
pub(super) fn audit(request: &ApiRequest<'_>, whom: &str) -> Audit {
    Audit::of_path(request.caller, request.head.path(), whom)
}
