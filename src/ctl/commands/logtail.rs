//! `logtail`: `tail` in the syntax of the Go versions.

use super::tail::{self, Request};
use super::{Command, Completes, words};
use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::session::Session;
use crate::model::stream::Stream;

pub(super) const COMMAND: Command = Command {
    name: "logtail",
    forms: &[("logtail [-t stdout|stderr] <name>", "Show the last 1600 bytes of a log, like tail")],
    note: "",
    completes: Completes::Processes,
    run,
};

fn run(session: &mut Session, arguments: &str) -> Outcome {
    session.check()?;
    let (channel, name) = match words(arguments)[..] {
        [name] => (Some(Stream::Stdout), name),
        ["-t", channel, name] => (Stream::parse_in_any_case(channel), name),
        _ => return session.misused(&COMMAND, "Error: logtail requires one process name", Exit::GENERIC),
    };
    match channel {
        Some(channel) => tail::show(session, &Request::end_of(name, channel)),
        None => session.misused(&COMMAND, "Error: the log must be stdout or stderr", Exit::GENERIC),
    }
}
