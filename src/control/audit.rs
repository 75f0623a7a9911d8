//! The audit trail: every change leaves a line in the activity log that says who asked for what.

use crate::model::visible::is_invisible;
use std::fmt;

/// At most this many characters of a client's text are logged, and twice as many of paths and faults.
const AUDITED_MAX: usize = 100;

/// The client that sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The address; for a unix socket, the uid and pid of the client.
    pub peer: String,
    /// The user at the other end of a unix socket, as the kernel reports it. `None` on the network.
    pub uid: Option<u32>,
    /// The user name that was authenticated. `None` if the server asks for no password.
    pub user: Option<String>,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some(user) => write!(f, "{user:?} at {}", self.peer),
            None => f.write_str(&self.peer),
        }
    }
}

/// The log line of one change. [`Audit::finish`] writes it when the outcome is known.
#[derive(Debug)]
#[must_use]
pub struct Audit {
    way: Way,
    line: String,
}

/// How the change was asked for. Each way has its own form of line, because people search for both forms.
#[derive(Clone, Copy, Debug)]
enum Way {
    Method,
    Path,
}

impl Way {
    /// The name under which RUST_LOG knows these lines.
    fn log_target(self) -> &'static str {
        match self {
            Way::Method => "supervisord::rpc::server",
            Way::Path => "supervisord::http::api::act",
        }
    }
}

impl Audit {
    /// The line for a method of XML-RPC. `target` is its first argument if that is a string. Only this argument is logged: it
    /// names the target, and the others may contain secrets for a program.
    pub fn of_method(caller: &Caller, method: &str, target: Option<&str>) -> Audit {
        // Quoted, so that nobody can forge a line.
        let target = target.map(|text| format!("{:?}", beginning(text, AUDITED_MAX))).unwrap_or_default();
        Audit { way: Way::Method, line: format!("{caller} called {method}({target})") }
    }

    /// The line for an HTTP path. `whom` names the target; it is empty if that is the daemon itself.
    pub fn of_path(caller: &Caller, path: &str, whom: &str) -> Audit {
        let whom = beginning(whom, AUDITED_MAX);
        let whom = if whom.is_empty() { String::new() } else { format!(" for {whom:?}") };
        let path = beginning(path, 2 * AUDITED_MAX);
        Audit { way: Way::Path, line: format!("{caller} asked for {path:?}{whom}") }
    }

    /// Writes the line and returns the outcome unchanged.
    ///
    /// # Errors
    /// The error in `result`.
    pub fn finish<T, E: fmt::Display>(self, result: Result<T, E>) -> Result<T, E> {
        log::info!(target: self.way.log_target(), "{}", self.text(result.as_ref().err()));
        result
    }

    fn text(&self, error: Option<&impl fmt::Display>) -> String {
        let line = &self.line;
        match (error, self.way) {
            (None, _) => format!("{line}: ok"),
            (Some(fault), Way::Method) => format!("{line}: {}", printable(&fault.to_string())),
            (Some(problem), Way::Path) => format!("{line}: {:?}", problem.to_string()),
        }
    }
}

fn beginning(text: &str, n_chars: usize) -> String {
    text.chars().take(n_chars).collect()
}

/// A text that may quote a client, on one line and not too long.
fn printable(text: &str) -> String {
    let visible = |c: char| if is_invisible(c) { '\u{fffd}' } else { c };
    text.chars().take(2 * AUDITED_MAX).map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_who_asked_for_what_and_cannot_be_forged() {
        let caller =
            |user: Option<&str>| Caller { peer: "pid 7".into(), uid: None, user: user.map(str::to_string) };
        let long = "x".repeat(300);
        for (audit, error, expected) in [
            (
                Audit::of_method(&caller(None), "supervisor.shutdown", None),
                None,
                "pid 7 called supervisor.shutdown(): ok",
            ),
            (
                Audit::of_method(&caller(Some("a\nb")), "supervisor.stopProcess", Some("w\n")),
                Some("BAD_NAME: w\n"),
                "\"a\\nb\" at pid 7 called supervisor.stopProcess(\"w\\n\"): BAD_NAME: w\u{fffd}",
            ),
            (
                Audit::of_path(&caller(None), "/api/v1/update", ""),
                None,
                "pid 7 asked for \"/api/v1/update\": ok",
            ),
            (
                Audit::of_path(&caller(None), "/p", "web"),
                Some("no\nsuch"),
                "pid 7 asked for \"/p\" for \"web\": \"no\\nsuch\"",
            ),
        ] {
            assert_eq!(audit.text(error.as_ref()), expected);
        }
        let line = |audit: Audit| audit.text(None::<&String>).matches('x').count();
        assert_eq!(line(Audit::of_method(&caller(None), "m", Some(&long))), 100);
        assert_eq!(line(Audit::of_path(&caller(None), &long, "")), 200);
        assert_eq!(line(Audit::of_path(&caller(None), "/", &long)), 100);
    }
}
