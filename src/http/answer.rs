//! What the answers of all endpoints are made of: the request, JSON, memory for what is large, and the daemon's state.

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

/// What becomes of a request: an answer, or what is wrong with it.
pub(super) type ApiResult = Result<Response, Problem>;

/// An answer in JSON.
///
/// # Errors
/// The value cannot be written.
pub(super) fn json(status: u16, value: &impl Serialize) -> ApiResult {
    match serde_json::to_vec(value) {
        Ok(bytes) => Ok(plain(status, "application/json", bytes)),
        // Maps have names and numbers are numbers, so this does not happen.
        Err(error) => Err(Problem::new(500, error.to_string())),
    }
}

/// An answer with the headers that all of them have.
pub(super) fn plain(status: u16, content_type: &str, bytes: Vec<u8>) -> Response {
    Response::new(status, content_type, Body::Whole(bytes)).private()
}

fn busy() -> Problem {
    Problem::new(503, "too much memory is taken by answers that others do not read; try again")
}

/// The turn at making an answer that may be large.
///
/// # Errors
/// Others have all the memory, or all turns.
pub(super) async fn reserve_memory(context: &Context) -> Result<Reservation, Problem> {
    context.reserve_memory().await.ok_or_else(busy)
}

/// An answer in JSON that may be large. `turn` was taken while it was made.
///
/// # Errors
/// There is too little memory.
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

/// What there is to show of some processes.
///
/// # Errors
/// There are none of this name.
pub(super) async fn overview(context: &Context, target: Target) -> Result<Overview, Problem> {
    Ok(*context.handle().call(ask::Overview(target)).await?)
}

/// The daemon without its processes.
pub(super) async fn daemon_view(context: &Context) -> Result<DaemonView, Problem> {
    Ok(context.handle().call(ask::Daemon).await?.daemon)
}
