//! Health checks for service managers and load balancers: `/livez` and `/readyz`.

use crate::control::ask;
use crate::control::overview::{HealthWord, LifeView, Overview, ProcessView};
use crate::control::request::Target;
use crate::http::answer;
use crate::http::compat::bare_names;
use crate::http::context::Context;
use crate::http::wire::problem::Problem;
use crate::http::wire::response::{Body, Response};
use crate::model::namespec;
use crate::model::state::{ProcessState, SupervisorState};

/// Answers 200 if the loop answers.
pub(crate) async fn alive(context: &Context) -> Response {
    match context.handle().call(ask::State).await {
        Ok(_) => text(200, "ok\n".to_string()),
        Err(_) => text(503, "the daemon does not answer\n".to_string()),
    }
}

/// Answers 200 if the daemon is RUNNING and no process is starting or has failed. With a name: if that process, or every
/// process of that group, is RUNNING. A job that has ended as expected counts as well; a process that waits or is not
/// healthy does not.
pub(crate) async fn ready(context: &Context, name: Option<&str>) -> Response {
    let overview = match overview(context, name).await {
        Ok(overview) => overview,
        Err(problem) => return problem.into_response(),
    };
    if overview.daemon.state != SupervisorState::Running {
        return text(503, format!("the daemon is {}\n", overview.daemon.state.name()));
    }
    let is_missing = |process: &&ProcessView| is_missing(process, name.is_some());
    let missing: String = overview.processes.iter().filter(is_missing).map(line).collect();
    if missing.is_empty() { text(200, "ok\n".to_string()) } else { text(503, missing) }
}

/// Whether a process is a reason not to be ready.
fn is_missing(process: &ProcessView, is_named: bool) -> bool {
    let word = process.life.as_ref().map(|life| (life.word, life.is_oneshot));
    match (process.info.state, word) {
        (_, Some((HealthWord::Finished, true))) => false,
        (ProcessState::Running, None) => false,
        (ProcessState::Running, Some((word, _))) => !word.is_good(),
        _ if is_named => true,
        (_, Some((word, _))) if !word.is_good() => true,
        // A process that was stopped, or has exited for good, does not make the daemon unready.
        (ProcessState::Exited, _) => process.next.is_some(),
        (state, _) => !matches!(state, ProcessState::Stopped | ProcessState::Stopping),
    }
}

/// The state of the named processes. A bare name means the process that it resolves to, or else the group of that name.
async fn overview(context: &Context, name: Option<&str>) -> Result<Overview, Problem> {
    let Some(name) = name else { return answer::overview(context, Target::All).await };
    let target = bare_names::resolve(context, Target::parse(name)).await;
    match answer::overview(context, target).await {
        Err(_) if !name.contains(':') => answer::overview(context, Target::Group(name.to_string())).await,
        found => found,
    }
}

fn line(process: &ProcessView) -> String {
    let info = &process.info;
    let state = info.state.name();
    let further = process.life.as_ref().map_or_else(String::new, |life| further(life));
    format!("{} {state}{further}\n", namespec::display(&info.group, &info.name))
}

/// What a line says beyond the state, in words of `ctl health`: `, unhealthy: connection refused`.
fn further(life: &LifeView) -> String {
    // One line for each process, whatever a command has printed.
    let reason = life.reason.split_whitespace().collect::<Vec<_>>().join(" ");
    match (life.word, reason.as_str()) {
        (HealthWord::Waiting, "") => ", waiting".to_string(),
        (HealthWord::Waiting, whom) => format!(", waiting for {whom}"),
        (HealthWord::Unhealthy, why) => format!(", unhealthy: {why}"),
        (_, "") => String::new(),
        (_, why) => format!(": {why}"),
    }
}

fn text(status: u16, text: String) -> Response {
    Response::new(status, "text/plain; charset=utf-8", Body::Whole(text.into_bytes())).private()
}
