//! The endpoints, and which path leads to which.

use super::events::Style;
use crate::control::request::Target;
use crate::http::wire::problem::Problem;
use crate::model::stream::Stream;

/// The endpoint of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Read(Read),
    Act(Act),
    Refused(Problem),
}

/// Endpoints that change nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Description,
    Session,
    Daemon,
    Processes,
    Process(Target),
    Groups,
    Group(String),
    History(Target),
    /// How processes are, in one word each.
    Health(Target),
    /// Who depends on whom.
    Dependencies(Target),
    Timeline,
    Events(Style),
    /// Part of a log; `None` is the activity log.
    Log(Option<(Target, Stream)>, Part),
    Config,
    Reread,
    /// How many processes a program has, or all programs for `None`.
    Programs(Option<String>),
}

/// Which part of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Range,
    Whole,
    /// Its end, and what is added to it.
    Follow,
}

/// What changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// On one process or all of a group.
    On(Target, Action),
    /// On a selection that the body names.
    OnMany,
    ClearLog,
    /// Give a program another number of processes.
    Scale(String),
    /// Let processes start with the daemon, or not.
    Enable(Target, bool),
    Update,
    Shutdown,
    Restart,
}

/// What can be done to processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Start,
    Stop,
    Restart,
    Signal,
    /// Empty its logs.
    Clear,
}

impl Action {
    pub(crate) fn parse(name: &str) -> Option<Action> {
        Some(match name {
            "start" => Action::Start,
            "stop" => Action::Stop,
            "restart" => Action::Restart,
            "signal" => Action::Signal,
            "clear" => Action::Clear,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Action::Start => "start",
            Action::Stop => "stop",
            Action::Restart => "restart",
            Action::Signal => "signal",
            Action::Clear => "clear",
        }
    }
}

/// The endpoint of a path below `/api/v1`, or `/events`.
pub(crate) fn route(method: &str, path: &[&str]) -> Endpoint {
    let reads = method == "GET" || method == "HEAD";
    let Some(endpoint) = find(path) else { return Endpoint::Refused(Problem::nothing_there()) };
    match &endpoint {
        // A stream has no answer to HEAD.
        Endpoint::Read(Read::Events(_) | Read::Log(_, Part::Follow)) if method != "GET" => {
            Endpoint::Refused(Problem::wrong_method("GET"))
        }
        Endpoint::Read(_) if !reads => Endpoint::Refused(Problem::wrong_method("GET, HEAD")),
        Endpoint::Act(_) if method != "POST" => Endpoint::Refused(Problem::wrong_method("POST")),
        _ => endpoint,
    }
}

/// Whether the answer of an endpoint contains the token.
pub(crate) fn gives_token(endpoint: &Endpoint) -> bool {
    matches!(endpoint, Endpoint::Read(Read::Session))
}

fn find(path: &[&str]) -> Option<Endpoint> {
    use Endpoint::{Act as Acts, Read as Reads};
    Some(match path {
        ["events"] => Reads(Read::Events(Style::Lines)),
        ["api", "v1", rest @ ..] => match rest {
            ["openapi.json"] => Reads(Read::Description),
            ["session"] => Reads(Read::Session),
            ["daemon"] => Reads(Read::Daemon),
            ["daemon", "shutdown"] => Acts(Act::Shutdown),
            // In Supervisor's words a reload is a restart with the configuration read anew.
            ["daemon", "restart" | "reload"] => Acts(Act::Restart),
            ["processes"] => Reads(Read::Processes),
            ["processes", name] => Reads(Read::Process(one(name)?)),
            ["processes", name, "logs", stream] => log(name, stream, Part::Range)?,
            ["processes", name, "logs", stream, "download"] => log(name, stream, Part::Whole)?,
            ["processes", name, "logs", stream, "follow"] => log(name, stream, Part::Follow)?,
            ["processes", name, "health"] => Reads(Read::Health(one(name)?)),
            ["processes", name, "dependencies"] => Reads(Read::Dependencies(one(name)?)),
            ["processes", name, "enable"] => Acts(Act::Enable(one(name)?, true)),
            ["processes", name, "disable"] => Acts(Act::Enable(one(name)?, false)),
            ["processes", name, action] => Acts(Act::On(one(name)?, Action::parse(action)?)),
            ["groups"] => Reads(Read::Groups),
            ["groups", name] => Reads(Read::Group(name.to_string())),
            ["groups", name, "health"] => Reads(Read::Health(Target::Group(name.to_string()))),
            ["groups", name, "dependencies"] => Reads(Read::Dependencies(Target::Group(name.to_string()))),
            ["groups", name, "enable"] => Acts(Act::Enable(Target::Group(name.to_string()), true)),
            ["groups", name, "disable"] => Acts(Act::Enable(Target::Group(name.to_string()), false)),
            ["groups", name, action] => {
                Acts(Act::On(Target::Group(name.to_string()), Action::parse(action)?))
            }
            ["programs"] => Reads(Read::Programs(None)),
            ["programs", name] => Reads(Read::Programs(Some(name.to_string()))),
            ["programs", name, "scale"] => Acts(Act::Scale(name.to_string())),
            ["actions"] => Acts(Act::OnMany),
            ["events"] => Reads(Read::Events(Style::ServerSent)),
            ["health"] => Reads(Read::Health(Target::All)),
            ["dependencies"] => Reads(Read::Dependencies(Target::All)),
            ["timeline"] => Reads(Read::Timeline),
            ["history", name] => Reads(Read::History(one(name)?)),
            ["log"] => Reads(Read::Log(None, Part::Range)),
            ["log", "download"] => Reads(Read::Log(None, Part::Whole)),
            ["log", "follow"] => Reads(Read::Log(None, Part::Follow)),
            ["log", "clear"] => Acts(Act::ClearLog),
            ["config"] => Reads(Read::Config),
            ["reread"] => Reads(Read::Reread),
            ["update"] => Acts(Act::Update),
            _ => return None,
        },
        _ => return None,
    })
}

/// The target of a name that means one process; `None` for a group.
fn one(name: &str) -> Option<Target> {
    match Target::parse(name) {
        Target::Name { namespec, .. } if namespec.process.is_none() => None,
        target => Some(target),
    }
}

fn log(name: &str, stream: &str, part: Part) -> Option<Endpoint> {
    Some(Endpoint::Read(Read::Log(Some((one(name)?, Stream::parse(stream)?)), part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_somewhere_and_methods_have_to_fit() {
        let name = |name: &str| Target::parse(name);
        let nothing = || Endpoint::Refused(Problem::nothing_there());
        let only = |methods| Endpoint::Refused(Problem::wrong_method(methods));
        for (method, path, expected) in [
            ("GET", "api/v1/processes", Endpoint::Read(Read::Processes)),
            ("HEAD", "api/v1/processes", Endpoint::Read(Read::Processes)),
            ("POST", "api/v1/processes", only("GET, HEAD")),
            ("GET", "api/v1/processes/g:a", Endpoint::Read(Read::Process(name("g:a")))),
            ("GET", "api/v1/processes/g:*", nothing()),
            ("POST", "api/v1/processes/a/stop", Endpoint::Act(Act::On(name("a"), Action::Stop))),
            ("GET", "api/v1/processes/a/stop", only("POST")),
            ("POST", "api/v1/processes/a/enable", Endpoint::Act(Act::Enable(name("a"), true))),
            ("POST", "api/v1/groups/g/disable", Endpoint::Act(Act::Enable(Target::Group("g".into()), false))),
            ("GET", "api/v1/programs/a", Endpoint::Read(Read::Programs(Some("a".into())))),
            ("POST", "api/v1/programs/a/scale", Endpoint::Act(Act::Scale("a".into()))),
            ("GET", "api/v1/health", Endpoint::Read(Read::Health(Target::All))),
            ("GET", "api/v1/processes/a/health", Endpoint::Read(Read::Health(name("a")))),
            ("POST", "api/v1/groups/g/health", only("GET, HEAD")),
            (
                "GET",
                "api/v1/groups/g/dependencies",
                Endpoint::Read(Read::Dependencies(Target::Group("g".into()))),
            ),
            ("PUT", "api/v1/processes/a/stop", only("POST")),
            ("POST", "api/v1/processes/a/fry", nothing()),
            (
                "POST",
                "api/v1/groups/g/start",
                Endpoint::Act(Act::On(Target::Group("g".into()), Action::Start)),
            ),
            (
                "GET",
                "api/v1/processes/a/logs/stderr/follow",
                Endpoint::Read(Read::Log(Some((name("a"), Stream::Stderr)), Part::Follow)),
            ),
            ("HEAD", "api/v1/log/follow", only("GET")),
            ("GET", "api/v1/log", Endpoint::Read(Read::Log(None, Part::Range))),
            ("GET", "api/v1/processes/a/logs/stdin", nothing()),
            ("GET", "events", Endpoint::Read(Read::Events(Style::Lines))),
            ("POST", "events", only("GET")),
            ("GET", "api/v2/processes", nothing()),
            ("GET", "api/v1", nothing()),
        ] {
            let segments: Vec<&str> = path.split('/').collect();
            assert_eq!(route(method, &segments), expected, "{method} {path}");
        }
    }
}
