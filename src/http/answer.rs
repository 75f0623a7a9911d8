//! What all endpoints use to answer: the request, JSON, memory for large answers, and the state of the daemon.

use super::context::{Context, Reservation};
use crate::control::ask;
use crate::control::audit::Caller;
use crate::control::overview::{DaemonView, Overview};
use crate::control::request::Target;
use crate::http::wire::body::RequestBody;
use crate::http::wire::problem::Problem;
use crate::http::wire::query::Query;
use crate::http::wire::request::Head;
use crate::http::wire::response::{Body, Response};
use serde::Serialize;

/// A request to one of the endpoints.
pub(super) struct ApiRequest<'a> {
    pub head: &'a Head,
    pub query: Query,
    pub body: RequestBody,
    pub caller: &'a Caller,
}

/// The result of a request: an answer, or why it fails.
pub(super) type ApiResult = Result<Response, Problem>;

/// An answer in JSON.
///
/// # Errors
/// If the value cannot be serialised.
pub(super) fn json(status: u16, value: &impl Serialize) -> ApiResult {
    match serde_json::to_vec(value) {
        Ok(bytes) => Ok(plain(status, "application/json", bytes)),
        // Maps have names and numbers are numbers, so this does not happen.
        Err(error) => Err(Problem::new(500, error.to_string())),
    }
}

/// An answer with the headers that all answers have.
pub(super) fn plain(status: u16, content_type: &str, bytes: Vec<u8>) -> Response {
    Response::new(status, content_type, Body::Whole(bytes)).private()
}

fn busy() -> Problem {
    Problem::new(503, "too much memory is taken by answers that others do not read; try again")
}

/// Reserves memory for an answer that may be large, before it is produced.
///
/// # Errors
/// If other clients have all of it for too long.
pub(super) async fn reserve_memory(context: &Context) -> Result<Reservation, Problem> {
    context.reserve_memory().await.ok_or_else(busy)
}

/// An answer in JSON that may be large. `reserved` was held while `value` was produced.
///
/// # Errors
/// If there is too little memory.
pub(super) async fn large_json(
    context: &Context,
    reserved: Reservation,
    value: &impl Serialize,
) -> ApiResult {
    let response = json(200, value)?;
    let n_bytes = match &response.body {
        Body::Whole(bytes) => bytes.len(),
        _ => 0,
    };
    drop(reserved);
    let share = context.reserve_for_answer(n_bytes).await.ok_or_else(busy)?;
    Ok(response.with_share(share))
}

/// The state of the daemon and of some processes.
///
/// # Errors
/// If there are no such processes.
pub(super) async fn overview(context: &Context, target: Target) -> Result<Overview, Problem> {
    Ok(*context.handle().call(ask::Overview(target)).await?)
}

/// The state of the daemon without its processes.
///
/// # Errors
/// If the daemon ends.
pub(super) async fn daemon_view(context: &Context) -> Result<DaemonView, Problem> {
    Ok(context.handle().call(ask::Daemon).await?.daemon)
}
