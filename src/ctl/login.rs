//! Credentials: from the prompt, or from places that no other user of the machine can read.

use crate::config::reading::{self, Readable};
use crate::ctl::session::Session;
use crate::rpc::client::Login;
use std::io;
use std::path::Path;

/// The variable that holds a password, so that none stands on the command line for everybody to see.
pub(crate) const PASSWORD_VARIABLE: &str = "SUPERVISORCTL_PASSWORD";

/// The most of a `.netrc` that is read.
const MAX_NETRC: usize = 1 << 20;

/// Advice for when the server requires credentials, or refused the given ones, and nobody can be asked.
pub(crate) fn hints(refused: Option<&str>) -> Vec<String> {
    if let Some(username) = refused {
        return vec![
            format!("  the server refused the username {username:?} with this password"),
            "  the server's own are in its section: [unix_http_server] or [inet_http_server]".to_string(),
        ];
    }
    vec![
        "  set username and password in [supervisorctl], or give -u and -p".to_string(),
        format!("  the password may also come from {PASSWORD_VARIABLE}, and both from ~/.netrc"),
    ]
}

/// Asks for a name and a password, as Supervisor asks. `None` at the end of input.
///
/// # Errors
/// If nobody reads the output any more, or the terminal fails.
pub(crate) fn ask(session: &mut Session) -> io::Result<Option<Login>> {
    session.screen.bytes(b"Username:")?;
    let Some(username) = session.input.read_line()? else { return Ok(None) };
    let password = session.input.read_secret(|| session.screen.bytes(b"Password:"))?;
    // The line end that was typed was not shown either. The second one is Supervisor's empty line.
    session.screen.bytes(b"\n\n")?;
    Ok(password.map(|password| Login { username, password }))
}

/// Asks a question that only an answer beginning with `y` agrees to.
///
/// # Errors
/// If nobody reads the output any more, or the terminal fails.
pub(crate) fn confirm(session: &mut Session, question: &str) -> io::Result<bool> {
    session.screen.bytes(question.as_bytes())?;
    Ok(session.input.read_line()?.is_some_and(|answer| answer.starts_with(['y', 'Y'])))
}

/// The entry of a `.netrc` file for one of the machines, if the file can be read.
pub(crate) fn from_netrc(path: &Path, machines: &[&str]) -> Option<Login> {
    let text = String::from_utf8(reading::read(path, Readable::Files).ok()?).ok()?;
    if text.len() > MAX_NETRC {
        return None;
    }
    netrc_entry(&text, machines)
}

/// Finds the first entry for one of the machines. Lines of macros and comments are skipped; `default` counts for nobody,
/// because a daemon's password is no secret for other daemons.
fn netrc_entry(text: &str, machines: &[&str]) -> Option<Login> {
    let mut words = text
        .lines()
        .map(|line| {
            line.split_once('#').map_or(line, |(before, _)| if before.trim().is_empty() { "" } else { line })
        })
        .flat_map(str::split_whitespace);
    let (mut ours, mut username, mut password) = (false, None, None);
    while let Some(word) = words.next() {
        match word {
            "machine" | "default" if ours && username.is_some() && password.is_some() => break,
            "machine" => {
                ours = words.next().is_some_and(|machine| machines.contains(&machine));
                (username, password) = (None, None);
            }
            "default" => ours = false,
            "login" => username = words.next().filter(|_| ours).or(username),
            "password" => password = words.next().filter(|_| ours).or(password),
            _ => {}
        }
    }
    Some(Login { username: username?.to_string(), password: password?.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, machine: &str, expected: Option<(&str, &str)>) {
        let found = netrc_entry(text, &[machine]).map(|login| (login.username, login.password));
        let found = found.as_ref().map(|(username, password)| (username.as_str(), password.as_str()));
        assert_eq!(found, expected, "{machine}");
    }

    #[test]
    fn netrc_entries_are_found() {
        let text = "# machine a login x password y\nmachine a login me password p#1\nmachine unix:///run/s.sock\n\
                    \tlogin you\n\tpassword q\ndefault login d password d\n";
        check(text, "a", Some(("me", "p#1")));
        check(text, "unix:///run/s.sock", Some(("you", "q")));
        check(text, "b", None);
        check("machine a login me", "a", None);
        check("", "a", None);
    }
}
