//! Addresses of other programs, for the scripts and bookmarks that use them: Supervisor's page, and the REST paths of the Go
//! reimplementations.

pub(crate) mod bare_names;
pub(crate) mod compat_go;
pub(crate) mod legacy_page;

use crate::control::audit::{Audit, Caller};
use crate::control::orders::{self, Order};
use crate::control::request::{BulkStatus, Target};
use crate::http::context::Context;
use crate::model::fault::Fault;

/// Carries out an order that has a target and no options, and writes the audit line. `path` is the path of the request.
///
/// # Errors
/// BAD_NAME if there is no such target, SHUTDOWN_STATE if the daemon is shutting down.
async fn run_simple(
    context: &Context,
    order: Order,
    target: Target,
    caller: &Caller,
    path: &str,
) -> Result<Vec<BulkStatus>, Fault> {
    let audit = Audit::of_path(caller, path, &target.to_string());
    audit.finish(orders::execute(context.handle(), order, target).await)
}
