//! The interface for pages and scripts: JSON under `/api/v1`, as `openapi.json` describes it.
//!
//! `route` finds the endpoint of a path. `read` answers what changes nothing, `act` what does. `events` and `logs` are the
//! streams. `view` says how everything is written in JSON.

mod route;

mod act;
mod life;
mod read;

mod events;
mod logs;
mod programs;

pub(crate) mod view;

pub(crate) use events::{EventStream, Style};
pub(crate) use logs::LogEvents;
pub(crate) use route::{Act, Endpoint, Read, gives_token, route};

use crate::control::audit::Caller;
use crate::http::answer::ApiRequest;
use crate::http::context::Context;
use crate::http::wire::body::RequestBody;
use crate::http::wire::problem::Problem;
use crate::http::wire::query::Query;
use crate::http::wire::request::Head;
use crate::http::wire::response::Response;

/// The description of the interface.
const DESCRIPTION: &str = include_str!("openapi.json");

/// Answers a request.
pub(crate) async fn answer(
    endpoint: Endpoint,
    context: &Context,
    head: &Head,
    body: RequestBody,
    caller: &Caller,
) -> Response {
    let request = ApiRequest { head, query: Query::of_target(&head.target), body, caller };
    let answered = match endpoint {
        Endpoint::Refused(problem) => Err(problem),
        Endpoint::Read(what) => read::answer(what, context, &request).await,
        Endpoint::Act(what) => act::answer(what, context, &request).await,
    };
    answered.unwrap_or_else(Problem::into_response)
}
