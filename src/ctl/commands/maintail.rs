//! `maintail`: the daemon's own log.

use super::tail::{DEFAULT_BYTES, Extent, HOW_TO_END, parse_extent};
use super::{Command, Completes, words};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::follow::{self, Source};
use crate::ctl::session::Session;
use crate::model::fault::FaultCode;
use crate::rpc::client::CallError;

pub(super) const COMMAND: Command = Command {
    name: "maintail",
    forms: &[
        ("maintail", "Show the last 1600 bytes of the log of supervisord"),
        ("maintail -100", "Show the last 100 bytes"),
        ("maintail -f", "Follow it; Ctrl-C ends"),
    ],
    note: "",
    completes: Completes::Nothing,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    session.check()?;
    let extent = match words(arguments)[..] {
        [] => Some(Extent::Last(DEFAULT_BYTES)),
        [word] => parse_extent(word),
        _ => return session.misused(&COMMAND, "Error: too many arguments", Exit::GENERIC),
    };
    match extent {
        Some(Extent::Last(n_bytes)) => print_end(session, n_bytes),
        Some(Extent::Follow) => follow(session),
        None => session.misused(&COMMAND, &format!("Error: bad argument {arguments}"), Exit::GENERIC),
    }
}

fn print_end(session: &mut Session, n_bytes: i64) -> Outcome {
    let problem = match session.daemon.read_main_log(-n_bytes) {
        Ok(text) => return Ok(session.screen.line(&text)?),
        Err(problem) => problem,
    };
    let line = match problem.fault().and_then(FaultCode::from_code) {
        Some(FaultCode::NoFile) => "supervisord: ERROR (no log file)",
        Some(FaultCode::Failed) => "supervisord: ERROR (unknown error reading log)",
        _ => return Err(problem.into()),
    };
    session.complain(line, Exit::GENERIC)
}

fn follow(session: &mut Session) -> Outcome {
    let stream = match session.daemon.follow_main_log() {
        Ok(stream) => stream,
        Err(CallError::Http { status: 404, .. }) => {
            return session.complain("supervisord: ERROR (no log file)", Exit::GENERIC);
        }
        Err(problem) => return Err(problem.into()),
    };
    session.screen.line(HOW_TO_END)?;
    follow::follow(session, vec![Source { name: "supervisord".into(), stream }])
}
