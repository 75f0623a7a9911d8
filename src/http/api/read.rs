//! Endpoints that change nothing.

use super::events::EventStream;
use super::route::Read;
use super::{DESCRIPTION, Style, life, logs, programs, view};
use crate::config::{ConfigErrors, ConfigSource, Origin, Setting};
use crate::control::ask;
use crate::control::overview::Overview;
use crate::control::request::Target;
use crate::http::answer::{
    ApiRequest, ApiResult, daemon_view, json, large_json, overview, plain, reserve_memory,
};
use crate::http::context::Context;
use crate::http::wire::problem::Problem;
use crate::http::wire::response::{Body, Live, Response};
use crate::model::namespec;
use crate::rt;
use serde::Serialize;
use serde_json::json as object;

/// How many changes of state the timeline shows by default.
const TIMELINE: usize = 200;

/// How many changes of state the timeline shows at most.
const TIMELINE_MAX: usize = 1000;

pub(crate) async fn answer(what: Read, context: &Context, request: &ApiRequest<'_>) -> ApiResult {
    match what {
        Read::Description => Ok(plain(200, "application/json", DESCRIPTION.as_bytes().to_vec())),
        Read::Session => json(
            200,
            &object!({"token": context.token().text(), "header": "X-Supervisord-Token", "user": request.caller.user}),
        ),
        Read::Daemon => json(200, &view::daemon(&daemon_view(context).await?)),
        Read::Processes => {
            context.sampler().request_samples();
            let reserved = reserve_memory(context).await?;
            let overview = overview(context, Target::All).await?;
            let snapshot = view::snapshot(&overview, context.feed().epoch(), context.usage());
            large_json(context, reserved, &snapshot).await
        }
        Read::Process(target) => {
            context.sampler().request_samples();
            let overview = overview(context, target).await?;
            match overview.processes.first() {
                Some(process) => json(200, &view::row_with_past(process, context.usage())),
                None => Err(Problem::nothing_there()),
            }
        }
        Read::Groups => {
            let reserved = reserve_memory(context).await?;
            let overview = overview(context, Target::All).await?;
            large_json(context, reserved, &object!({"groups": groups(&overview)})).await
        }
        Read::Group(name) => {
            let reserved = reserve_memory(context).await?;
            let overview = overview(context, Target::Group(name)).await?;
            match groups(&overview).first() {
                Some(group) => large_json(context, reserved, group).await,
                None => Err(Problem::new(404, "there is no such group")),
            }
        }
        Read::History(target) => history(context, target).await,
        Read::Health(target) => {
            let reserved = reserve_memory(context).await?;
            let lines = context.handle().call(ask::Health(target)).await?;
            large_json(context, reserved, &life::health(&lines)).await
        }
        Read::Dependencies(target) => {
            let reserved = reserve_memory(context).await?;
            let nodes = context.handle().call(ask::DependencyGraph(target)).await?;
            large_json(context, reserved, &life::graph(&nodes)).await
        }
        Read::Timeline => {
            let max = match request.query.get("limit").map(|text| (text, text.parse::<usize>())) {
                None => TIMELINE,
                Some((_, Ok(max @ 1..=TIMELINE_MAX))) => max,
                Some((text, _)) => {
                    let text = format!("limit must be 1 to {TIMELINE_MAX}, not {text:?}");
                    return Err(Problem::new(400, text));
                }
            };
            let changes = context.feed().timeline(max);
            let moments: Vec<_> = changes.iter().map(view::Moment::new).collect();
            json(200, &object!({"changes": moments}))
        }
        Read::Events(style) => Ok(events(context, style, request)),
        Read::Log(log, part) => logs::answer(log, part, context, request).await,
        Read::Config => {
            let reserved = reserve_memory(context).await?;
            let source = config_source(context).await?;
            let settings = rt::unblock(move || source.settings_to_show()).await.map_err(wrong_config)?;
            let settings: Vec<_> = settings.iter().map(Shown::new).collect();
            large_json(context, reserved, &object!({"settings": settings})).await
        }
        Read::Programs(None) => {
            let reserved = reserve_memory(context).await?;
            let numbers = context.handle().call(ask::Programs(Vec::new())).await?;
            let numbers: Vec<_> = numbers.iter().map(programs::Number::new).collect();
            large_json(context, reserved, &object!({"programs": numbers})).await
        }
        Read::Programs(Some(name)) => {
            let numbers = context.handle().call(ask::Programs(vec![name])).await?;
            match numbers.first() {
                Some(number) => json(200, &programs::Number::new(number)),
                None => Err(Problem::nothing_there()),
            }
        }
        Read::Reread => {
            let _reserved = reserve_memory(context).await?;
            let source = config_source(context).await?;
            let (found, plan) = rt::unblock(move || source.preview()).await.map_err(wrong_config)?;
            json(
                200,
                &object!({
                    "added": found.added,
                    "changed": found.changed,
                    "removed": found.removed,
                    "groups": plan.groups,
                }),
            )
        }
    }
}

fn groups(overview: &Overview) -> Vec<serde_json::Value> {
    let by_group = overview.processes.chunk_by(|a, b| a.info.group == b.info.group);
    let group = by_group.map(|processes| {
        let names =
            processes.iter().map(|process| namespec::display(&process.info.group, &process.info.name));
        object!({
            "name": processes[0].info.group,
            "kind": if processes[0].is_listener { "eventlistener" } else { "program" },
            "processes": names.collect::<Vec<_>>(),
        })
    });
    group.collect()
}

async fn history(context: &Context, target: Target) -> ApiResult {
    context.sampler().request_samples();
    let overview = overview(context, target).await?;
    let Some(process) = overview.processes.first() else { return Err(Problem::nothing_there()) };
    let namespec = namespec::display(&process.info.group, &process.info.name);
    let points: Vec<_> = context
        .usage()
        .history(&namespec)
        .iter()
        .map(|point| {
            let cpu_percent = (f64::from(point.cpu_percent) * 10.0).round() / 10.0;
            object!({
                "at": point.at,
                "cpu_percent": cpu_percent,
                "memory_bytes": u64::from(point.memory_kib) << 10,
            })
        })
        .collect();
    json(200, &object!({"namespec": namespec, "points": points}))
}

fn events(context: &Context, style: Style, request: &ApiRequest<'_>) -> Response {
    let last = request.head.header("last-event-id").or_else(|| request.query.get("after"));
    let stream = EventStream::new(context, style, last);
    let content_type = match style {
        Style::ServerSent => "text/event-stream",
        Style::Lines => "application/x-ndjson",
    };
    let body = Body::Live(Box::new(Live::Events(stream)));
    Response::new(200, content_type, body).private().with_header("X-Accel-Buffering", "no")
}

async fn config_source(context: &Context) -> Result<ConfigSource, Problem> {
    Ok(*context.handle().call(ask::ConfigSource).await?)
}

fn wrong_config(errors: ConfigErrors) -> Problem {
    Problem::new(422, errors.to_string())
}

/// A setting in JSON.
#[derive(Serialize)]
struct Shown<'a> {
    section: &'a str,
    key: &'a str,
    value: &'a str,
    origin: String,
    file: Option<String>,
    line: Option<u32>,
    is_default: bool,
}

impl Shown<'_> {
    fn new(setting: &Setting) -> Shown<'_> {
        // Of several the nearest; the text names all.
        let first = match &setting.origin {
            Origin::Merged(origins) => origins.first(),
            origin => Some(origin),
        };
        let (file, line) = match first {
            Some(Origin::File { name, line, .. }) => (Some(name.to_string_lossy().into_owned()), Some(*line)),
            _ => (None, None),
        };
        Shown {
            section: &setting.section,
            key: &setting.key,
            value: &setting.value,
            origin: setting.origin.to_string(),
            file,
            line,
            is_default: setting.origin == Origin::Default,
        }
    }
}
