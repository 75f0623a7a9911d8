//! `tail`: the end of a process's log, or the log as it grows.

use super::{Command, Completes, words};
use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::follow::{self, Source};
use crate::ctl::names;
use crate::ctl::orders;
use crate::ctl::records::Process;
use crate::ctl::session::Session;
use crate::model::fault::FaultCode;
use crate::model::namespec::Namespec;
use crate::model::stream::Stream;
use crate::rpc::client::CallError;

pub(super) const COMMAND: Command = Command {
    name: "tail",
    forms: &[
        ("tail <name> [stdout|stderr]", "Show the last 1600 bytes of a log; stdout by default"),
        ("tail -100 <name> [stdout|stderr]", "Show the last 100 bytes"),
        ("tail -f <name> ... [stdout|stderr]", "Follow the logs of one process, or of several; Ctrl-C ends"),
    ],
    note: "",
    completes: Completes::Processes,
    run,
};

/// What is shown without being told how much.
pub(super) const DEFAULT_BYTES: i64 = 1600;

/// What the words ask for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    names: Vec<&'a str>,
    channel: Stream,
    extent: Extent,
}

/// How much of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Follow,
    /// This many bytes from the end; if negative, from that byte on.
    Last(i64),
}

fn run(session: &mut Session, arguments: &str) -> Outcome {
    session.check()?;
    match parse(&words(arguments)) {
        Ok(request) => show(session, &request),
        Err(message) => session.misused(&COMMAND, &message, Exit::GENERIC),
    }
}

/// Reads the words as Supervisor does; with `-f` there may be more names.
fn parse<'a>(words: &[&'a str]) -> Result<Request<'a>, String> {
    let (extent, rest) = match words.split_first() {
        None => return Err("Error: too few arguments".into()),
        Some((modifier, rest)) if modifier.starts_with('-') => (Some(*modifier), rest),
        Some(_) => (None, words),
    };
    if words.len() > 3 && extent != Some("-f") {
        return Err("Error: too many arguments".into());
    }
    let Some((name, more)) = rest.split_first() else {
        return Err("Error: tail requires process name".into());
    };
    let (names, channel) = match more.split_last() {
        None => (vec![*name], Stream::Stdout),
        Some((last, between)) => match Stream::parse_in_any_case(last) {
            Some(channel) => (std::iter::once(name).chain(between).copied().collect(), channel),
            None if extent == Some("-f") => (rest.to_vec(), Stream::Stdout),
            None => return Err(format!("Error: bad channel '{}'", last.to_lowercase())),
        },
    };
    let extent = extent.map_or(Some(Extent::Last(DEFAULT_BYTES)), parse_extent);
    let Some(extent) = extent else { return Err(format!("Error: bad argument {}", words[0])) };
    Ok(Request { names, channel, extent })
}

/// Reads `-f` or `-N`.
pub(super) fn parse_extent(modifier: &str) -> Option<Extent> {
    match modifier.strip_prefix('-')? {
        "f" => Some(Extent::Follow),
        number => number.parse().ok().map(Extent::Last),
    }
}

/// Shows what was asked for; `logtail` comes here too.
///
/// # Errors
/// A call that came to nothing.
pub(super) fn show(session: &mut Session, request: &Request<'_>) -> Outcome {
    match request.extent {
        Extent::Follow => follow_all(session, request),
        Extent::Last(n_bytes) => {
            let [word] = request.names[..] else {
                return session.complain("Error: too many arguments", Exit::GENERIC);
            };
            if !names::is_wildcard(word) {
                return print_end(session, word, request.channel, n_bytes);
            }
            let matching = matching(session, word)?;
            let several = matching.len() > 1;
            for name in matching {
                if several {
                    session.screen.line(&format!("==> {name} <=="))?;
                }
                print_end(session, &name, request.channel, n_bytes)?;
            }
            Ok(())
        }
    }
}

impl<'a> Request<'a> {
    /// The end of one log.
    pub(super) fn end_of(name: &'a str, channel: Stream) -> Request<'a> {
        Request { names: vec![name], channel, extent: Extent::Last(DEFAULT_BYTES) }
    }
}

fn print_end(session: &mut Session, name: &str, channel: Stream, n_bytes: i64) -> Outcome {
    match session.daemon.read_process_log(name, channel, -n_bytes) {
        Ok(text) => Ok(session.screen.line(&text)?),
        Err(problem) if problem.is_bad_name() => match session.bearer(name) {
            Some(meant) => print_end(session, &meant, channel, n_bytes),
            None => refused(session, name, problem),
        },
        Err(problem) => refused(session, name, problem),
    }
}

/// Prints why there is no log to show.
fn refused(session: &mut Session, name: &str, problem: CallError) -> Outcome {
    let CallError::Fault { code, text } = &problem else { return Err(problem.into()) };
    let words = match FaultCode::from_code(*code) {
        Some(FaultCode::ShutdownState) => return Err(problem.into()),
        Some(FaultCode::NoFile) => "no log file",
        Some(FaultCode::Failed) => "unknown error reading log",
        Some(FaultCode::BadName) => "no such process name",
        _ => text,
    };
    session.complain(&format!("{name}: ERROR ({words})"), Exit::GENERIC)?;
    if *code == FaultCode::BadName.code() {
        orders::suggest(session, name);
    }
    Ok(())
}

fn follow_all(session: &mut Session, request: &Request<'_>) -> Outcome {
    let mut names = Vec::new();
    for word in &request.names {
        if names::is_wildcard(word) || Namespec::parse(word).process.is_none() {
            names.extend(matching(session, word)?);
        } else {
            names.push(word.to_string());
        }
    }
    let mut sources = Vec::new();
    for mut name in names {
        let mut opened = session.daemon.follow_process_log(&name, request.channel);
        if matches!(opened, Err(CallError::Http { status: 404, .. }))
            && let Some(meant) = session.bearer(&name)
        {
            name = meant;
            opened = session.daemon.follow_process_log(&name, request.channel);
        }
        match opened {
            Ok(stream) => sources.push(Source { name, stream }),
            Err(CallError::Http { status: 404, .. }) => no_stream(session, &name)?,
            Err(problem) => return Err(problem.into()),
        }
    }
    if sources.is_empty() {
        return Ok(());
    }
    session.screen.line(HOW_TO_END)?;
    follow::follow(session, sources)
}

/// The first line of everything that Ctrl-C ends.
pub(super) const HOW_TO_END: &str = "==> Press Ctrl-C to exit <==";

/// Tells why there is nothing to follow: the stream only says that there is not.
fn no_stream(session: &mut Session, name: &str) -> Outcome {
    match session.daemon.process_info(name) {
        Ok(_) => session.complain(&format!("{name}: ERROR (no log file)"), Exit::GENERIC),
        Err(problem) => refused(session, name, problem),
    }
}

/// The processes of a wildcard or of a group; that there are none is told here.
fn matching(session: &mut Session, word: &str) -> Result<Vec<String>, CtlError> {
    let matching: Vec<String> =
        names::matching(word, session.known_processes()).into_iter().map(Process::namespec).collect();
    if matching.is_empty() {
        orders::no_match(session, word, Exit::GENERIC)?;
    }
    Ok(matching)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Result<(&[&str], Stream, Extent), &str>) {
        let words = words(line);
        let request = parse(&words);
        let found =
            request.as_ref().map(|request| (request.names.as_slice(), request.channel, request.extent));
        assert_eq!(
            found,
            expected.as_ref().map(|expected| *expected).map_err(|text| text.to_string()).as_ref().copied(),
            "{line}"
        );
    }

    #[test]
    fn words_are_read_as_supervisor_does() {
        use crate::model::stream::Stream::{Stderr, Stdout};
        use Extent::{Follow, Last};
        check("a", Ok((&["a"], Stdout, Last(1600))));
        check("-5 a STDERR", Ok((&["a"], Stderr, Last(5))));
        check("--5 a", Ok((&["a"], Stdout, Last(-5))));
        check("-0 a", Ok((&["a"], Stdout, Last(0))));
        check("-f a", Ok((&["a"], Stdout, Follow)));
        check("-f a b c", Ok((&["a", "b", "c"], Stdout, Follow)));
        check("-f a b stderr", Ok((&["a", "b"], Stderr, Follow)));
        check("", Err("Error: too few arguments"));
        check("-f", Err("Error: tail requires process name"));
        check("-5 a stdout b", Err("Error: too many arguments"));
        check("a Foo", Err("Error: bad channel 'foo'"));
        check("-x a", Err("Error: bad argument -x"));
    }
}
