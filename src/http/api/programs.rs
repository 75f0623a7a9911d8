//! What people change about programs besides the configuration, over REST.

use super::act::{audit, body};
use crate::control::ask;
use crate::control::programs::{Amount, Enabled, Kept, ProgramNumber, Scaled, Scaling};
use crate::control::request::Target;
use crate::http::answer::{ApiRequest, ApiResult, json};
use crate::http::context::Context;
use crate::http::wire::problem::Problem;
use crate::model::fault::{Fault, FaultCode};
use serde::{Deserialize, Serialize};
use serde_json::json as object;

/// How many processes a program has.
#[derive(Debug, Serialize)]
pub(crate) struct Number<'a> {
    program: &'a str,
    groups: &'a [String],
    configured: u32,
    wanted: u32,
    processes: u32,
    /// `saved`, `until_end`, or nothing if it is not scaled.
    kept: Option<&'static str>,
}

impl Number<'_> {
    pub(crate) fn new(it: &ProgramNumber) -> Number<'_> {
        Number {
            program: &it.program,
            groups: &it.groups,
            configured: it.configured,
            wanted: it.wanted,
            processes: it.processes,
            kept: it.kept.as_ref().map(Kept::word),
        }
    }
}

/// The body of a scale: one of both numbers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scale {
    /// How many processes.
    to: Option<u32>,
    /// How many more; fewer if it is negative.
    by: Option<i64>,
    /// Whether that outlives the daemon. The default is false.
    save: Option<bool>,
}

/// Gives a program another number of processes.
pub(crate) async fn scale(context: &Context, request: &ApiRequest<'_>, name: String) -> ApiResult {
    let Scale { to, by, save } = body(request)?;
    let amount = match (to, by) {
        (Some(number), None) => Amount::To(number),
        (None, Some(more)) => Amount::By(more),
        _ => return Err(Problem::new(400, "one of \"to\" and \"by\" is needed, and only one")),
    };
    let audit = audit(request, &name);
    let orders = vec![Scaling { name, amount }];
    let scaled = context.handle().call(ask::Scale(orders, save.unwrap_or(false))).await;
    audit.finish(match scaled {
        Ok(scaled) => answer_scaled(&scaled),
        Err(fault) => Err(refused(fault)),
    })
}

fn answer_scaled(Scaled { programs, updated, kept }: &Scaled) -> ApiResult {
    let program = |it: &crate::control::programs::ScaledProgram| object!({"program": it.program, "before": it.before, "now": it.now, "configured": it.configured});
    let programs: Vec<_> = programs.iter().map(program).collect();
    let problems: Vec<String> =
        updated.problems.iter().map(|(group, problem)| format!("{group}: {problem}")).collect();
    let is_ok = problems.is_empty() && kept.problem().is_empty();
    json(
        200,
        &object!({
            "ok": is_ok,
            "programs": programs,
            "groups": updated.plan.groups,
            "problems": problems,
            "kept": kept.word(),
            "not_saved": kept.problem(),
        }),
    )
}

/// Lets processes start with the daemon from now on, or not.
pub(crate) async fn enable(
    context: &Context,
    request: &ApiRequest<'_>,
    target: Target,
    starts: bool,
) -> ApiResult {
    let audit = audit(request, &target.to_string());
    let enabled = context.handle().call(ask::SetEnabled(vec![target], starts)).await;
    audit.finish(match enabled {
        Ok(Enabled { names, processes, kept, .. }) => json(
            200,
            &object!({
                "ok": kept.problem().is_empty(),
                "names": names,
                "processes": processes,
                "kept": kept.word(),
                "not_saved": kept.problem(),
            }),
        ),
        Err(fault) => Err(refused(fault)),
    })
}

/// What is refused has not failed: nothing was begun.
fn refused(fault: Fault) -> Problem {
    if fault.code == FaultCode::Failed { Problem::conflict(&fault) } else { fault.into() }
}
