//! Who depends on what was stopped, and runs on without it.

use crate::ctl::error::Outcome;
use crate::ctl::graph::{self, Node};
use crate::ctl::session::Session;
use crate::model::fault::FaultCode;
use crate::model::namespec::Namespec;

/// What hangs together with a process or a group (`group:*`). Empty if the daemon knows nothing of that: it is a remark, and
/// what was asked for is done.
pub(crate) fn of(session: &mut Session, name: &str) -> Vec<Node> {
    if session.knows_no_dependencies {
        return Vec::new();
    }
    let answer = session.daemon.dependencies(Some(name));
    let unknown = FaultCode::UnknownMethod.code();
    session.knows_no_dependencies = answer.as_ref().is_err_and(|problem| problem.fault() == Some(unknown));
    answer.unwrap_or_default()
}

/// Says who depends on a process that was stopped, and runs on; not those that the same command is about.
///
/// # Errors
/// If nobody reads the output any more.
pub(crate) fn tell_who_runs_on(session: &mut Session, nodes: &[Node], name: &str) -> Outcome {
    let is_addressed = |name: &str| {
        let group = format!("{}:*", Namespec::parse(name).group);
        session.addressed.contains(name) || session.addressed.contains(&group)
    };
    let mut names = graph::running_on(nodes, name);
    names.retain(|name| !is_addressed(name));
    let line = match names[..] {
        [] => return Ok(()),
        [one] => format!("  {one} depends on it and runs on"),
        [first, second] => format!("  {first} and {second} depend on it and run on"),
        [first, second, ref others @ ..] => {
            let n = others.len();
            format!("  {first}, {second} and {n} more depend on it and run on")
        }
    };
    Ok(session.screen.line(&line)?)
}
