//! Health checks for service managers and load balancers: `/livez` and `/readyz`.

use crate::control::ask;
use crate::control::overview::{Overview, ProcessView};
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
/// process of that group, is RUNNING.
pub(crate) async fn ready(context: &Context, name: Option<&str>) -> Response {
    let overview = match overview(context, name).await {
        Ok(overview) => overview,
        Err(problem) => return problem.into_response(),
    };
    if overview.daemon.state != SupervisorState::Running {
        return text(503, format!("the daemon is {}\n", overview.daemon.state.name()));
    }
    let is_missing = |process: &&ProcessView| match (name, process.info.state) {
        (_, ProcessState::Running) => false,
        // A process that was stopped, or has exited for good, does not make the daemon unready.
        (None, ProcessState::Exited) => process.next.is_some(),
        (None, state) => !matches!(state, ProcessState::Stopped | ProcessState::Stopping),
        (Some(_), _) => true,
    };
    let missing: String = overview.processes.iter().filter(is_missing).map(line).collect();
    if missing.is_empty() { text(200, "ok\n".to_string()) } else { text(503, missing) }
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
    format!("{} {}\n", namespec::display(&info.group, &info.name), info.state.name())
}

fn text(status: u16, text: String) -> Response {
    Response::new(status, "text/plain; charset=utf-8", Body::Whole(text.into_bytes())).private()
}
