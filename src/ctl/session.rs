//! One run of the client: which daemon it talks to, where it writes, which exit status it will have, and how a line
//! becomes a command.

use crate::ctl::commands::{self, Command};
use crate::ctl::daemon::Daemon;
use crate::ctl::error::{CtlError, Outcome};
use crate::ctl::exit::Exit;
use crate::ctl::input::Input;
use crate::ctl::login;
use crate::ctl::names;
use crate::ctl::reach;
use crate::ctl::records::Process;
use crate::ctl::screen::Screen;
use crate::rpc::client::CallError;
use crate::rpc::client::endpoint::Endpoint;
use crate::rpc::client::{Client, Login};
use std::borrow::Cow;
use std::collections::HashSet;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Which client this one behaves like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// Supervisor's, as `supervisorctl`.
    #[default]
    Supervisor,
    /// Those of the Go reimplementations where Supervisor only has an error, as `supervisord ctl`.
    Go,
}

/// What the command line and the configuration file say.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub serverurl: String,
    pub username: Option<String>,
    pub password: Option<String>,
    /// What the shell's prompt begins with.
    pub prompt: String,
    pub history_file: Option<PathBuf>,
    /// The configuration file that was read, if there was one.
    pub config: Option<PathBuf>,
    pub style: Style,
}

/// Whether the client may ask questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One command from the command line: nothing is ever asked.
    OneShot,
    /// The shell, or `-i`: questions are asked.
    Interactive,
}

/// A run of the client.
pub(crate) struct Session {
    pub daemon: Daemon,
    pub settings: Settings,
    pub screen: Screen,
    pub input: Input,
    pub mode: Mode,
    /// The exit status of the last failure.
    pub exit: Exit,
    /// Set by `quit`.
    pub leaving: bool,
    /// The processes that could not be stopped in the first half of a restart.
    pub not_stopped: HashSet<String>,
    /// The words behind the command as they stand on the command line, for those that pass them on.
    pub exact_words: Option<Vec<String>>,
    /// Whom the order at hand is about, each in the one way to write it.
    pub addressed: HashSet<String>,
    /// Set once the daemon has turned out to know nothing of dependencies.
    pub knows_no_dependencies: bool,
    /// The processes' names, once one command has needed them for advice.
    known: Option<Vec<Process>>,
}

impl Session {
    /// Opens nothing yet: whether there is a daemon shows with the first call.
    ///
    /// # Errors
    /// A `serverurl` that is none.
    pub(crate) fn new(settings: Settings, screen: Screen, mode: Mode) -> Result<Session, CtlError> {
        let client = client(&settings, &settings.serverurl)?;
        let daemon = Daemon { client, url: Endpoint::shown(&settings.serverurl) };
        let input = Input::default();
        Ok(Session {
            daemon,
            settings,
            screen,
            input,
            mode,
            exit: Exit::SUCCESS,
            leaving: false,
            not_stopped: HashSet::new(),
            exact_words: None,
            addressed: HashSet::new(),
            knows_no_dependencies: false,
            known: None,
        })
    }

    /// Talks to another daemon from now on.
    ///
    /// # Errors
    /// An URL that is none.
    pub(crate) fn switch(&mut self, url: &str) -> Outcome {
        self.daemon = Daemon { client: client(&self.settings, url)?, url: Endpoint::shown(url) };
        self.knows_no_dependencies = false;
        Ok(())
    }

    /// Runs one line, asking for credentials as often as the daemon wants them.
    ///
    /// # Errors
    /// Only if nobody reads the output any more; everything else is told, and kept as the exit status.
    pub(crate) fn run_line(&mut self, line: &str) -> Outcome {
        self.known = None;
        let (line, raw) = take_raw(line);
        let raw_before = self.screen.raw;
        self.screen.raw |= raw;
        let outcome = self.run_command(&line);
        self.screen.raw = raw_before;
        outcome
    }

    fn run_command(&mut self, line: &str) -> Outcome {
        let Some((name, arguments)) = split_line(line) else { return Ok(()) };
        let Some(command) = commands::find(name) else {
            self.fail(Exit::GENERIC);
            self.screen.line(&format!("*** Unknown syntax: {}", line.trim()))?;
            return Ok(());
        };
        let shell = self.mode == Mode::Interactive && std::io::stdin().is_terminal();
        self.screen.decorates = shell || command.is_ours();
        loop {
            match (command.run)(self, arguments) {
                Err(CtlError::Call(CallError::Unauthorized)) if self.mode == Mode::Interactive => {
                    self.screen.line("Server requires authentication")?;
                    match login::ask(self)? {
                        Some(login) => self.daemon.client.set_login(login),
                        None => {
                            self.fail(Exit::GENERIC);
                            self.screen.line("error: no credentials were given")?;
                            return Ok(());
                        }
                    }
                }
                Err(problem) => return self.tell(problem),
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Remembers a failure. A later one takes its place; a success does not.
    pub(crate) fn fail(&mut self, exit: Exit) {
        self.exit = exit;
    }

    /// Prints a line and remembers a failure.
    ///
    /// # Errors
    /// If nobody reads the output any more.
    pub(crate) fn complain(&mut self, line: &str, exit: Exit) -> Outcome {
        self.fail(exit);
        Ok(self.screen.line(line)?)
    }

    /// Prints what is wrong with the arguments of a command, and how it is used.
    ///
    /// # Errors
    /// If nobody reads the output any more.
    pub(crate) fn misused(&mut self, command: &Command, message: &str, exit: Exit) -> Outcome {
        self.complain(message, exit)?;
        Ok(self.screen.line(&command.usage())?)
    }

    /// Makes sure that a daemon answers whose API this client knows. Most commands begin with it, so that they all report
    /// an absent daemon in the same way.
    ///
    /// # Errors
    /// The line to print and the status to leave with.
    pub(crate) fn check(&mut self) -> Outcome {
        let version = match self.daemon.api_version() {
            Ok(version) => version,
            Err(problem) => return Err(reach::explain(problem, &self.daemon, &self.settings)),
        };
        if version == API_VERSION { Ok(()) } else { Err(reach::wrong_version(&version)) }
    }

    /// The processes there are, for advice about names; asked for once in a line.
    pub(crate) fn known_processes(&mut self) -> &[Process] {
        if self.known.is_none() {
            self.known = Some(self.daemon.all_process_info().unwrap_or_default());
        }
        self.known.as_deref().unwrap_or_default()
    }

    /// The process that a bare name means when the daemon does not know the name. In the Go style that is the only process
    /// with that name, in whatever group.
    pub(crate) fn bearer(&mut self, word: &str) -> Option<String> {
        if self.settings.style != Style::Go {
            return None;
        }
        names::bearer(word, self.known_processes())
    }

    /// The process of this name.
    ///
    /// # Errors
    /// There is none, or the call came to nothing.
    pub(crate) fn process_info(&mut self, name: &str) -> Result<Process, CallError> {
        match self.daemon.process_info(name) {
            Err(problem) if problem.is_bad_name() => match self.bearer(name) {
                Some(meant) => self.daemon.process_info(&meant),
                None => Err(problem),
            },
            answer => answer,
        }
    }

    /// Prints an error at the end of a command.
    fn tell(&mut self, problem: CtlError) -> Outcome {
        match problem {
            CtlError::Output(_) => return Err(problem),
            CtlError::Told { line, hints, exit } => {
                self.complain(&line, exit)?;
                hints.iter().for_each(|hint| self.screen.hint(hint));
            }
            CtlError::Call(CallError::Unauthorized) => {
                self.complain("Server requires authentication", Exit::GENERIC)?;
                let hints = login::hints(self.daemon.client.username());
                hints.iter().for_each(|hint| self.screen.hint(hint));
            }
            CtlError::Call(problem) => {
                let explained = reach::explain_any(problem, &self.daemon, &self.settings);
                self.complain(&format!("error: {explained}"), Exit::GENERIC)?;
                if let CtlError::Told { hints, .. } = explained {
                    hints.iter().for_each(|hint| self.screen.hint(hint));
                }
            }
        }
        Ok(())
    }
}

/// The only version of the API there has been.
const API_VERSION: &str = "3.0";

fn client(settings: &Settings, url: &str) -> Result<Client, CtlError> {
    let endpoint =
        Endpoint::parse(url).map_err(|text| CtlError::told(format!("error: {text}"), Exit::GENERIC))?;
    let login = match (&settings.username, &settings.password) {
        (Some(username), Some(password)) if !username.is_empty() && !password.is_empty() => {
            Some(Login { username: username.clone(), password: password.clone() })
        }
        _ => None,
    };
    // Those of another URL than that of the settings belong to it alone.
    let of_url = Endpoint::credentials(url).filter(|_| url != settings.serverurl);
    Ok(Client::new(endpoint, of_url.or(login)))
}

/// The commands whose output is that of programs.
const OF_PROGRAMS: [&str; 4] = ["tail", "logtail", "maintail", "fg"];

/// Takes `--raw` out of a line that shows what programs write, and says whether it was there.
fn take_raw(line: &str) -> (Cow<'_, str>, bool) {
    let mut words = line.split_whitespace();
    if !words.next().is_some_and(|name| OF_PROGRAMS.contains(&name)) || !words.any(|word| word == "--raw") {
        return (Cow::Borrowed(line), false);
    }
    let rest: Vec<&str> = line.split_whitespace().filter(|word| *word != "--raw").collect();
    (Cow::Owned(rest.join(" ")), true)
}

/// Splits a line into the command's name and its arguments; `None` for a blank line.
///
/// As Python's `cmd` module splits it, because scripts rely on it: the name is letters, digits and underscores, so
/// `status:cat` is `status` with the argument `:cat`, and `?` is `help`. Names with a hyphen are matched as whole words
/// before that.
pub(crate) fn split_line(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.is_empty() {
        return None;
    }
    if let Some(topic) = line.strip_prefix('?') {
        return Some(("help", topic.trim()));
    }
    let word_end = line.find(char::is_whitespace).unwrap_or(line.len());
    if line[..word_end].contains('-') && commands::find(&line[..word_end]).is_some() {
        return Some((&line[..word_end], line[word_end..].trim()));
    }
    let name_end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(line.len());
    Some((&line[..name_end], line[name_end..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_is_taken_where_programs_speak() {
        for (line, rest, raw) in [
            ("tail -f web --raw", "tail -f web", true),
            ("maintail --raw -100", "maintail -100", true),
            ("tail  web", "tail  web", false),
            ("start --raw", "start --raw", false),
        ] {
            assert_eq!(take_raw(line), (rest.into(), raw), "{line}");
        }
    }

    #[test]
    fn lines_are_split_as_scripts_expect() {
        for (line, expected) in [
            ("status", Some(("status", ""))),
            ("  status  a  b ", Some(("status", "a  b"))),
            ("status:cat", Some(("status", ":cat"))),
            ("? tail", Some(("help", "tail"))),
            ("?", Some(("help", ""))),
            ("!ls", Some(("", "!ls"))),
            ("tail -f x", Some(("tail", "-f x"))),
            ("   ", None),
        ] {
            assert_eq!(split_line(line), expected, "{line:?}");
        }
    }
}
