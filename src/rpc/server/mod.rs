//! The daemon's methods: from a decoded call to a result.
//!
//! [`methods`] is the table of all methods. `plan` derives from the arguments what a call asks for. This module carries
//! out the plan: it posts requests to the loop and reads logs. [`reply`] turns results into text.

pub mod logs;
pub mod methods;
pub mod reply;

mod args;
mod plan;

use crate::config::Reread;
use crate::control::ask::{self, Applied};
use crate::control::audit::{Audit, Caller};
use crate::control::facts;
use crate::control::orders::{self, Restarted};
use crate::control::request::{Fact, Handle, Target};
use crate::model::fault::{Fault, FaultCode};
use crate::model::signal::Signal;
use crate::model::usage::Used;
use crate::rpc::wire::{Call, Value};
use crate::rt;
use args::Args;
pub use methods::Heavy;
use methods::{Effect, Method};
use plan::{Element, Plan};
use reply::Reply;
use std::sync::Arc;

/// The version of the API, as clients compare it.
pub const API_VERSION: &str = "3.0";

/// The most that the results of one multicall may occupy, in bytes. The remaining results become faults.
const MULTICALL_RESULT_MAX: usize = 16 << 20;

/// Carries out calls. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Server {
    handle: Handle,
    namespaces: Arc<[String]>,
    version: Arc<str>,
    measure: Measure,
}

/// What a process with this pid uses; `None` if it is gone. It may take a moment.
pub type Measure = fn(i32) -> Option<Used>;

/// Checks that the caller may use a method with this effect. Only those who could replace the daemon's code anyway may
/// administer it: root and the daemon's own user, on this machine.
fn check_permission(caller: &Caller, effect: Effect) -> Result<(), Fault> {
    let own = nix::unistd::geteuid().as_raw();
    if effect != Effect::Administers || caller.uid.is_some_and(|uid| uid == 0 || uid == own) {
        return Ok(());
    }
    let text = "only root and the daemon's own user may ask for this, and only through a unix socket";
    Err(Fault::with(FaultCode::Failed, text))
}

impl Server {
    /// `namespaces` publish the main interface, usually only `supervisor`. `version` is the result of
    /// `getSupervisorVersion`, and `measure` finds out what that of `getUsage` tells.
    pub fn new(handle: Handle, namespaces: &[String], version: &str, measure: Measure) -> Server {
        Server { handle, namespaces: namespaces.into(), version: version.into(), measure }
    }

    /// Carries out one call.
    ///
    /// # Errors
    /// The fault for the client.
    pub async fn call(&self, call: Call, caller: &Caller) -> Result<Reply, Fault> {
        let method = self.find(&call.method)?;
        let audit = audit(method, &call, caller);
        let result = match check_permission(caller, method.effect)
            .and_then(|()| (method.plan)(Args::new(call.params)))
        {
            Ok(Plan::Multicall(elements)) => Ok(self.multicall(elements, caller).await),
            Ok(plan) => self.perform(plan).await,
            Err(fault) => Err(fault),
        };
        finish(audit, result)
    }

    /// The namespaces that publish the main interface.
    pub fn namespaces(&self) -> &[String] {
        &self.namespaces
    }

    /// Whether the result of this method may be large. `None` if it is small, or if there is no such method.
    pub fn is_heavy(&self, name: &str) -> Option<Heavy> {
        methods::find(&self.namespaces, name)?.is_heavy()
    }

    fn find(&self, name: &str) -> Result<&'static Method, Fault> {
        methods::find(&self.namespaces, name).ok_or(Fault::new(FaultCode::UnknownMethod))
    }

    /// Carries out the calls one after the other.
    async fn multicall(&self, elements: Vec<Element>, caller: &Caller) -> Reply {
        let mut results = Vec::with_capacity(elements.len());
        let mut budget = MULTICALL_RESULT_MAX;
        for element in elements {
            let result = match element {
                Element::Call { method, params } => {
                    self.element(Call { method, params }, caller, budget).await
                }
                Element::Wrong(fault) => Err(fault),
            };
            if let Ok(reply) = &result {
                budget = budget.saturating_sub(reply::estimate(reply));
            }
            results.push(result);
        }
        Reply::Multicall(results)
    }

    /// Carries out one call of a multicall, whose result may have at most `budget` bytes.
    async fn element(&self, call: Call, caller: &Caller, budget: usize) -> Result<Reply, Fault> {
        let method = self.find(&call.method)?;
        let audit = audit(method, &call, caller);
        let result = match check_permission(caller, method.effect)
            .and_then(|()| (method.plan)(Args::new(call.params)))
        {
            Ok(plan) => self.perform(plan).await,
            Err(fault) => Err(fault),
        };
        read_completely(finish(audit, result)?, budget).await
    }

    async fn perform(&self, plan: Plan) -> Result<Reply, Fault> {
        match plan {
            Plan::Ask(question) => question.put(&self.handle).await,
            Plan::ApiVersion => Ok(Reply::Text(API_VERSION.to_string())),
            Plan::OwnVersion => Ok(Reply::Text(crate::VERSION.to_string())),
            Plan::Build => Ok(Reply::Facts(vec![
                ("version", Fact::Text(crate::VERSION.to_string())),
                ("commit", Fact::Text(crate::COMMIT.to_string())),
                ("supervisor_version", Fact::Text(self.version.to_string())),
            ])),
            Plan::SupervisorVersion => Ok(Reply::Text(self.version.to_string())),
            Plan::Read { log, offset, length } => {
                logs::read(self.handle.call(log).await?, offset, length).await
            }
            Plan::Tail { log, offset, length } => {
                Ok(logs::tail(self.handle.call(log).await?, offset, length).await)
            }
            Plan::BadSignal { target, sent } => self.bad_signal(target, sent).await,
            Plan::Usage(target) => {
                let overview = self.handle.call(ask::Overview(target)).await?;
                let measure = self.measure;
                Ok(Reply::FactsOfSeveral(rt::unblock(move || facts::usage(&overview, measure)).await))
            }
            Plan::Restart(target, wait) => {
                let restarted = orders::restart(&self.handle, target, wait).await?;
                let stopped = restarted.stopped.is_some();
                Ok(Reply::Several(vec![Reply::Boolean(stopped), Reply::Boolean(true)]))
            }
            Plan::RestartAll(wait) => {
                let Restarted { stopped, started } = orders::restart(&self.handle, Target::All, wait).await?;
                let lines = stopped.into_iter().chain([started]).flat_map(Applied::into_lines);
                Ok(Reply::Bulk(lines.collect()))
            }
            Plan::PreviewUpdate => {
                let source = self.handle.call(ask::ConfigSource).await?;
                let preview = rt::unblock(move || source.preview()).await;
                let (_, plan) = preview
                    .map_err(|errors| Fault::with(FaultCode::CantReread, errors.first().to_string()))?;
                Ok(Reply::from(ask::Updated { plan, problems: Vec::new() }))
            }
            Plan::Update(group) => {
                let Reread { added, changed, removed } =
                    orders::update(&self.handle, group.as_deref()).await?.by_group();
                Ok(Reply::Several([added, changed, removed].into_iter().map(Reply::Texts).collect()))
            }
            Plan::ListMethods => Ok(Reply::Texts(methods::names(&self.namespaces))),
            Plan::MethodHelp(name) => Ok(Reply::Text(self.documented(&name)?.full_help())),
            Plan::MethodSignature(name) => {
                Ok(Reply::Texts(self.documented(&name)?.signature().map(str::to_string).collect()))
            }
            // Refused where the elements are read.
            Plan::Multicall(_) => Err(args::incorrect()),
        }
    }

    /// The result for an unknown signal. Signal 0 has no effect, and the answer to it names the processes that the signal was
    /// meant for.
    async fn bad_signal(&self, target: Target, sent: String) -> Result<Reply, Fault> {
        let unknown = || Fault::with(FaultCode::BadSignal, &sent);
        match self.handle.call(ask::Signal(target, Signal::from_raw(0))).await {
            Err(fault) if matches!(fault.code, FaultCode::BadName | FaultCode::ShutdownState) => Err(fault),
            Ok(Applied::Several(mut statuses)) => {
                statuses.iter_mut().for_each(|status| status.outcome = Err(unknown()));
                Ok(Reply::Bulk(statuses))
            }
            Ok(Applied::One) | Err(_) => Err(unknown()),
        }
    }

    /// The method that `methodHelp` and `methodSignature` describe.
    fn documented(&self, name: &Value) -> Result<&'static Method, Fault> {
        let found = match name {
            Value::String(name) => methods::find(&self.namespaces, name),
            _ => None,
        };
        found.ok_or(Fault::new(FaultCode::SignatureUnsupported))
    }
}

/// Reads what a result refers to in a log file, so that the result is complete. It may have at most `budget` bytes.
async fn read_completely(reply: Reply, budget: usize) -> Result<Reply, Fault> {
    let too_much = || Fault::with(FaultCode::Failed, "the results of this multicall are too long");
    let failed = |_| Fault::new(FaultCode::Failed);
    let slice_len = match &reply {
        Reply::Log(slice) | Reply::Tail { data: slice, .. } => slice.len(),
        _ => 0,
    };
    if slice_len > budget as u64 || reply::estimate(&reply) > budget {
        return Err(too_much());
    }
    Ok(match reply {
        Reply::Log(slice) => Reply::Text(slice.into_text().await.map_err(failed)?),
        Reply::Tail { data, position, overflow } => Reply::Several(vec![
            Reply::Text(data.into_text().await.map_err(failed)?),
            Reply::Int(position),
            Reply::Boolean(overflow),
        ]),
        reply => reply,
    })
}

/// So many names of a list stand in the log.
const LISTED_MAX: usize = 100;

/// The audit line of a call, if it changes something.
fn audit(method: &Method, call: &Call, caller: &Caller) -> Option<Audit> {
    // Those of our own methods that come first in a list are names, too.
    let names = |elements: &[Value]| {
        let names = elements.iter().take(LISTED_MAX).filter_map(|element| match element {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        });
        names.collect::<Vec<_>>().join(" ")
    };
    let target = match call.params.first() {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Array(elements)) => Some(names(elements)).filter(|names| !names.is_empty()),
        _ => None,
    };
    let plan_only = method.params.iter().position(|(_, name)| *name == methods::PLAN_ONLY);
    let is_planned = plan_only.and_then(|at| call.params.get(at)) == Some(&Value::Boolean(true));
    let changes = method.effect != Effect::Reads && !is_planned;
    changes.then(|| Audit::of_method(caller, &call.method, target.as_deref()))
}

fn finish(audit: Option<Audit>, result: Result<Reply, Fault>) -> Result<Reply, Fault> {
    match audit {
        Some(audit) => audit.finish(result),
        None => result,
    }
}
