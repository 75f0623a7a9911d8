//! Derives from the arguments of a call, and from nothing else, what it asks for. [`super::Server`] carries it out.

use super::args::{Args, incorrect};
use super::reply::Reply;
use crate::control::ask::{self, Ask};
use crate::control::programs::{Amount, Scaling};
use crate::control::request::{self, Handle, Target, Wait};
use crate::model::fault::{Fault, FaultCode};
use crate::model::signal::Signal;
use crate::model::stream::Stream;
use crate::rpc::wire::Value;
use std::pin::Pin;

/// What a call asks for.
#[derive(Debug)]
pub enum Plan {
    /// One request to the loop, whose answer is the result.
    Ask(Question),
    ApiVersion,
    SupervisorVersion,
    OwnVersion,
    Build,
    /// Answer with part of a log.
    Read {
        log: ask::Log,
        offset: i64,
        length: i64,
    },
    Tail {
        log: ask::Log,
        offset: i64,
        length: i64,
    },
    /// An unknown signal. The target is checked first, because a wrong name is the graver error.
    BadSignal {
        target: Target,
        sent: String,
    },
    /// What processes use of the machine now.
    Usage(Target),
    Restart(Target, Wait),
    RestartAll(Wait),
    /// What an update would do, found out beside the loop.
    PreviewUpdate,
    /// Read the configuration and update one group, or all groups for `None`.
    Update(Option<String>),
    ListMethods,
    MethodHelp(Value),
    MethodSignature(Value),
    Multicall(Vec<Element>),
}

/// A request to the loop, and the conversion of its answer.
pub struct Question(Box<dyn FnOnce(Handle) -> Answering + Send>);

/// A question that the loop has been asked.
type Answering = Pin<Box<dyn Future<Output = Result<Reply, Fault>> + Send>>;

impl Question {
    fn new<R: Ask + Send + 'static>(request: R) -> Question
    where
        R::Answer: Send,
        Reply: From<R::Answer>,
    {
        Question(Box::new(|handle| Box::pin(async move { handle.call(request).await.map(Reply::from) })))
    }

    /// Asks the loop, and awaits the result.
    pub async fn put(self, handle: &Handle) -> Result<Reply, Fault> {
        (self.0)(handle.clone()).await
    }
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Question")
    }
}

/// One call of a multicall.
#[derive(Debug)]
pub enum Element {
    Call { method: String, params: Vec<Value> },
    Wrong(Fault),
}

pub(super) type Planned = Result<Plan, Fault>;

/// A request, when nothing is left of the arguments.
pub(super) fn ask<R: Ask + Send + 'static>(args: Args, request: R) -> Planned
where
    R::Answer: Send,
    Reply: From<R::Answer>,
{
    args.end()?;
    Ok(Plan::Ask(Question::new(request)))
}

/// A plan for a call without arguments.
pub(super) fn plain(args: Args, plan: Plan) -> Planned {
    args.end()?;
    Ok(plan)
}

pub(super) fn about_target<R: Ask + Send + 'static>(mut args: Args, request: fn(Target) -> R) -> Planned
where
    R::Answer: Send,
    Reply: From<R::Answer>,
{
    let target = args.target()?;
    ask(args, request(target))
}

/// `name` is optional: without it, all processes are meant.
pub(super) fn about_target_or_all<R: Ask + Send + 'static>(
    mut args: Args,
    request: fn(Target) -> R,
) -> Planned
where
    R::Answer: Send,
    Reply: From<R::Answer>,
{
    let target = if args.is_empty() { Target::All } else { args.target()? };
    ask(args, request(target))
}

/// What processes use; without a name, all of them.
pub(super) fn usage(mut args: Args) -> Planned {
    let target = if args.is_empty() { Target::All } else { args.target()? };
    plain(args, Plan::Usage(target))
}

pub(super) fn about_group<R: Ask + Send + 'static>(mut args: Args, request: fn(String) -> R) -> Planned
where
    R::Answer: Send,
    Reply: From<R::Answer>,
{
    let group = args.text()?;
    ask(args, request(group))
}

/// `name, wait=true` with the name of one process (or `group:*`).
pub(super) fn target_and_wait<R: Ask + Send + 'static>(
    mut args: Args,
    request: fn(Target, Wait) -> R,
) -> Planned
where
    R::Answer: Send,
    Reply: From<R::Answer>,
{
    let (target, wait) = (args.target()?, args.wait());
    ask(args, request(target, wait))
}

pub(super) fn group_and_wait<R: Ask + Send + 'static>(
    mut args: Args,
    request: fn(Target, Wait) -> R,
) -> Planned
where
    R::Answer: Send,
    Reply: From<R::Answer>,
{
    let (group, wait) = (Target::Group(args.text()?), args.wait());
    ask(args, request(group, wait))
}

pub(super) fn all_and_wait<R: Ask + Send + 'static>(mut args: Args, request: fn(Target, Wait) -> R) -> Planned
where
    R::Answer: Send,
    Reply: From<R::Answer>,
{
    let wait = args.wait();
    ask(args, request(Target::All, wait))
}

/// `name` and, if there are any, the arguments as an array of strings.
pub(super) fn run(mut args: Args) -> Planned {
    let target = args.target()?;
    let words = if args.is_empty() { Vec::new() } else { args.texts()? };
    ask(args, ask::Run(target, words))
}

/// The signal is the next and last argument, as a name or a number.
pub(super) fn signal(mut args: Args, target: Target) -> Planned {
    let sent = match args.value()? {
        Value::Integer(number) => number.to_string(),
        Value::String(text) => text,
        _ => return Err(incorrect()),
    };
    match Signal::parse(&sent) {
        Some(signal) => ask(args, ask::Signal(target, signal)),
        None => plain(args, Plan::BadSignal { target, sent }),
    }
}

pub(super) fn signal_target(mut args: Args) -> Planned {
    let target = args.target()?;
    signal(args, target)
}

pub(super) fn signal_group(mut args: Args) -> Planned {
    let target = Target::Group(args.text()?);
    signal(args, target)
}

/// The path is optional.
pub(super) fn upgrade(mut args: Args) -> Planned {
    let path = if args.is_empty() { String::new() } else { args.text()? };
    ask(args, ask::Upgrade((!path.is_empty()).then(|| path.into())))
}

pub(super) fn read_main(mut args: Args) -> Planned {
    let (offset, length) = (args.int()?, args.int()?);
    plain(args, Plan::Read { log: ask::Log(None), offset, length })
}

pub(super) fn read_process(mut args: Args, stream: Stream) -> Planned {
    let (target, offset, length) = (args.target()?, args.int()?, args.int()?);
    plain(args, Plan::Read { log: ask::Log(Some((target, stream))), offset, length })
}

pub(super) fn tail_process(mut args: Args, stream: Stream) -> Planned {
    let (target, offset, length) = (args.target()?, args.int()?, args.int()?);
    plain(args, Plan::Tail { log: ask::Log(Some((target, stream))), offset, length })
}

/// What is to be written is judged before whom it is for, as in Supervisor, rpcinterface.py.
pub(super) fn send_stdin(mut args: Args) -> Planned {
    let name = args.value()?;
    let data = args.bytes()?;
    let target = Args::new(vec![name]).target()?;
    ask(args, ask::SendProcessStdin(target, data))
}

pub(super) fn send_event(mut args: Args) -> Planned {
    let (kind, data) = (args.printed()?, args.printed()?);
    ask(args, ask::SendRemoteCommEvent(ask::RemoteCommEvent { kind, data }))
}

pub(super) fn restart_process(mut args: Args) -> Planned {
    let (target, wait) = (args.target()?, args.wait());
    plain(args, Plan::Restart(target, wait))
}

pub(super) fn restart_all(mut args: Args) -> Planned {
    let wait = args.wait();
    plain(args, Plan::RestartAll(wait))
}

pub(super) fn update_group(mut args: Args) -> Planned {
    let group = args.text()?;
    plain(args, Plan::Update(Some(group)))
}

/// `groups` as an array of names, none of them for all; and whether only to say what would be done.
pub(super) fn update_groups(mut args: Args) -> Planned {
    let names = if args.is_empty() { Vec::new() } else { args.texts()? };
    let plan_only = if args.is_empty() { false } else { args.flag()? };
    let names = (!names.is_empty()).then_some(names);
    ask(args, ask::Update(names, plan_only))
}

/// `programs` as an array of `web=8`, `web=+2` or `web=-1`; and whether for good.
pub(super) fn scale(mut args: Args) -> Planned {
    let orders = args.texts()?;
    let save = if args.is_empty() { false } else { args.flag()? };
    let order = |text: String| {
        // A name may hold the sign, an amount does not.
        let (name, amount) = text.rsplit_once('=')?;
        Some(Scaling { name: name.to_string(), amount: Amount::parse(amount)? })
    };
    let wrong = |text: &str| {
        let text = format!("{text:?} is not NAME=NUMBER, NAME=+NUMBER or NAME=-NUMBER");
        Fault::with(FaultCode::IncorrectParameters, text)
    };
    let orders: Vec<Scaling> = orders
        .into_iter()
        .map(|text| order(text.clone()).ok_or_else(|| wrong(&text)))
        .collect::<Result<_, _>>()?;
    ask(args, ask::Scale(orders, save))
}

/// `programs` as an array of names; all of them without any.
pub(super) fn programs(mut args: Args) -> Planned {
    let names = if args.is_empty() { Vec::new() } else { args.texts()? };
    ask(args, ask::Programs(names))
}

/// `names` as an array; `all` stands for all.
pub(super) fn set_enabled(mut args: Args, starts: bool) -> Planned {
    let names = args.texts()?;
    if names.is_empty() {
        return Err(incorrect());
    }
    let target = |name: &String| if name == "all" { Target::All } else { Target::parse(name) };
    ask(args, ask::SetEnabled(names.iter().map(target).collect(), starts))
}

pub(super) fn table(args: Args, table: request::Table) -> Planned {
    ask(args, ask::Table(table))
}

pub(super) fn method_help(mut args: Args) -> Planned {
    let name = args.value()?;
    plain(args, Plan::MethodHelp(name))
}

pub(super) fn method_signature(mut args: Args) -> Planned {
    let name = args.value()?;
    plain(args, Plan::MethodSignature(name))
}

/// More calls than this in one multicall are refused: each costs a result.
const MULTICALL_MAX: usize = 10_000;

pub(super) fn multicall(mut args: Args) -> Planned {
    let Value::Array(calls) = args.value()? else { return Err(incorrect()) };
    args.end()?;
    if calls.len() > MULTICALL_MAX {
        return Err(incorrect());
    }
    Ok(Plan::Multicall(calls.into_iter().map(element).collect()))
}

/// A call inside a multicall: a struct of `methodName` and, if there are any, `params`.
fn element(call: Value) -> Element {
    let Value::Struct(mut members) = call else { return Element::Wrong(incorrect()) };
    let wrong = |detail| Element::Wrong(Fault::with(FaultCode::IncorrectParameters, detail));
    let method = match members.remove("methodName") {
        Some(Value::String(method)) if !method.is_empty() => method,
        _ => return wrong("No methodName"),
    };
    if method == "system.multicall" {
        return wrong("Recursive system.multicall forbidden");
    }
    match members.remove("params") {
        None | Some(Value::Nil) => Element::Call { method, params: Vec::new() },
        Some(Value::Array(params)) => Element::Call { method, params },
        // A lone string where a list belongs is common enough to be understood.
        Some(text @ Value::String(_)) => Element::Call { method, params: vec![text] },
        Some(_) => Element::Wrong(incorrect()),
    }
}
