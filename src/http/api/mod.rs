//! The interface for pages and scripts: JSON under `/api/v1`, as `openapi.json` describes it.
//!
//! `route` finds the endpoint of a path; `look` answers what changes nothing, `act` what does; `events` and `logs` are
//! the streams; `view` says how everything stands in JSON, and `problem` how errors do.

pub(crate) mod act;
mod events;
mod logs;
pub(crate) mod look;
mod problem;
mod route;
pub(crate) mod view;

pub(crate) use events::{EventStream, Style};
pub(crate) use logs::LogEvents;
pub(crate) use problem::{Problem, forbidden};
pub(crate) use route::{Act, Endpoint, Look, gives_token, route};

use crate::control::audit::Caller;
use crate::http::context::{Context, Reservation};
use crate::http::wire::body::RequestBody;
use crate::http::wire::query::Query;
use crate::http::wire::request::Head;
use crate::http::wire::response::{Body, Response};
use serde::Serialize;

/// The description of it all.
const DESCRIPTION: &str = include_str!("openapi.json");

/// A request to one of the endpoints.
pub(crate) struct Asked<'a> {
    pub head: &'a Head,
    pub query: Query,
    pub body: RequestBody,
    pub caller: &'a Caller,
}

/// What becomes of a request: an answer, or what is wrong with it.
pub(crate) type Answered = Result<Response, Problem>;

/// Answers a request.
pub(crate) async fn answer(
    endpoint: Endpoint,
    context: &Context,
    head: &Head,
    body: RequestBody,
    caller: &Caller,
) -> Response {
    let asked = Asked { head, query: Query::of_target(&head.target), body, caller };
    let answered = match endpoint {
        Endpoint::Refused(problem) => Err(problem),
        Endpoint::Look(what) => look::answer(what, context, &asked).await,
        Endpoint::Act(what) => act::answer(what, context, &asked).await,
    };
    answered.unwrap_or_else(Problem::into_response)
}

/// An answer in JSON.
///
/// # Errors
/// The value cannot be written.
pub(crate) fn json(status: u16, value: &impl Serialize) -> Answered {
    match serde_json::to_vec(value) {
        Ok(bytes) => Ok(plain(status, "application/json", bytes)),
        // Maps have names and numbers are numbers, so this does not happen.
        Err(error) => Err(Problem::new(500, error.to_string())),
    }
}

/// An answer with the headers that all of them have.
pub(crate) fn plain(status: u16, content_type: &str, bytes: Vec<u8>) -> Response {
    Response::new(status, content_type, Body::Whole(bytes)).private()
}

fn busy() -> Problem {
    Problem::new(503, "too much memory is taken by answers that others do not read; try again")
}

/// The turn at making an answer that may be large.
///
/// # Errors
/// Others have all the memory, or all turns.
pub(crate) async fn reserve_memory(context: &Context) -> Result<Reservation, Problem> {
    context.reserve_memory().await.ok_or_else(busy)
}

/// An answer in JSON that may be large. `turn` was taken while it was made.
///
/// # Errors
/// There is too little memory.
pub(crate) async fn large_json(context: &Context, reserved: Reservation, value: &impl Serialize) -> Answered {
    let response = json(200, value)?;
    let n_bytes = match &response.body {
        Body::Whole(bytes) => bytes.len(),
        _ => 0,
    };
    drop(reserved);
    let share = context.reserve_for_answer(n_bytes).await.ok_or_else(busy)?;
    Ok(response.with_share(share))
}
