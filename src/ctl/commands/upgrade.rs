//! `upgrade`: let another binary take over while every program runs on.

use super::{Command, Completes, words};
use crate::ctl::daemon::text;
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::session::Session;
use crate::model::fault::FaultCode;
use crate::rpc::wire::Value;

pub(super) const COMMAND: Command = Command {
    name: "upgrade",
    forms: &[
        ("upgrade", "Let the binary that now lies where the daemon was started from take over"),
        ("upgrade --binary <path>", "Let this binary take over"),
    ],
    note: "Every program runs on, and no connection is refused. A binary that cannot take over is refused or\n\
           rolled back, and the report says why.",
    completes: Completes::Nothing,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    let words = words(arguments);
    let binary = match words.as_slice() {
        [] => String::new(),
        [flag, path] if *flag == "--binary" => absolute(path),
        _ => {
            return session.misused(
                &COMMAND,
                "Error: upgrade accepts only --binary and a path",
                Exit::GENERIC,
            );
        }
    };
    session.check()?;
    match session.daemon.call("supervisord.upgrade", vec![text(&binary)]) {
        Ok(answer) => session.screen.line(&shown(&answer))?,
        Err(problem) if problem.fault() == Some(FaultCode::UnknownMethod.code()) => {
            return session.complain("ERROR: this daemon cannot be upgraded in place", Exit::GENERIC);
        }
        Err(problem) if problem.fault() == Some(FaultCode::Failed.code()) => {
            return session.complain(&format!("ERROR: {problem}"), Exit::GENERIC);
        }
        Err(problem) => return Err(problem.into()),
    }
    // Answered by whoever runs now: the candidate, or the former one if it came back.
    let state = session.daemon.call("supervisord.getUpgradeState", vec![])?;
    let state = shown(&state);
    if state.contains("failed") {
        return session.complain(&format!("ERROR: {state}"), Exit::GENERIC);
    }
    Ok(session.screen.line(&state)?)
}

/// The daemon has another current directory than we have.
fn absolute(path: &str) -> String {
    std::path::absolute(path).map_or_else(|_| path.to_string(), |path| path.to_string_lossy().into_owned())
}

fn shown(answer: &Value) -> String {
    match answer {
        Value::String(text) => text.clone(),
        other => format!("{other:?}"),
    }
}
