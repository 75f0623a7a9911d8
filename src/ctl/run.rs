//! From the command line to an exit status.

use crate::config::args::CtlArgs;

use crate::config::{CtlConfig, Surroundings, load_ctl};
use crate::ctl::error::CtlError;
use crate::ctl::exit::Exit;
use crate::ctl::login;
use crate::ctl::reach;
use crate::ctl::screen::Screen;
use crate::ctl::session::{Mode, Session, Settings, Style};
use crate::ctl::shell::{self, Greeting};
use crate::model::config::Level;
use crate::model::visible::for_stream;
use crate::rpc::client::Login;
use crate::rpc::client::endpoint::Endpoint;
use std::path::Path;
use std::process::ExitCode;

/// Runs the client as its command line asks: one command, or the shell; with `-i`, both.
pub(crate) fn main(args: CtlArgs) -> ExitCode {
    let surroundings = Surroundings::of_this_process();
    let config = match load_ctl(&args, &surroundings) {
        Ok(config) => config,
        Err(errors) => {
            let at = errors.first().place().map(|place| format!("At {place}\n")).unwrap_or_default();
            let told = format!("Error: {errors}\n{at}For help, use {} -h", args.progname);
            eprintln!("{}", for_stream(&std::io::stderr(), &told));
            return Exit::INVALID_ARGS.into();
        }
    };
    let mut screen = Screen::stdio();
    (screen.colours, screen.raw) = (args.color, args.raw);
    for message in config.messages.iter().filter(|message| message.level >= Level::Warn) {
        screen.hint(&format!("warning: {}", message.text));
    }
    let interactive = args.interactive || args.action.is_empty();
    let mode = if interactive { Mode::Interactive } else { Mode::OneShot };
    let settings = settings(config, &args, &surroundings, &mut screen);
    if args.verbose {
        screen.hint(&format!(
            "{}; server: {}",
            reach::origin(&settings),
            Endpoint::shown(&settings.serverurl)
        ));
    }
    match Session::new(settings, screen, mode) {
        Ok(session) => run(session, &args).into(),
        Err(problem) => {
            println!("{}", for_stream(&std::io::stdout(), &problem.to_string()));
            Exit::GENERIC.into()
        }
    }
}

fn run(mut session: Session, args: &CtlArgs) -> Exit {
    let greeting = if args.action.is_empty() { Greeting::Status } else { Greeting::None };
    if greeting == Greeting::None {
        let exit = run_words(&mut session, &args.action);
        if exit != Exit::SUCCESS && exit != Exit::BROKEN_PIPE {
            misplaced(args).into_iter().for_each(|hint| session.screen.hint(&hint));
        }
        if !args.interactive || session.leaving || exit == Exit::BROKEN_PIPE {
            return exit;
        }
    }
    match shell::run(session, greeting) {
        Ok(()) => Exit::SUCCESS,
        Err(problem) => output_failed(&problem),
    }
}

/// What to say of an option that stands behind the action, where it is one of its words.
fn misplaced(args: &CtlArgs) -> Option<String> {
    let is_option = |word: &&String| {
        let name = word.split('=').next().unwrap_or_default();
        matches!(name, "-c" | "-s" | "-u" | "-p" | "-P" | "-r" | "-i")
            || ["--configuration", "--serverurl", "--username", "--password", "--interactive"].contains(&name)
    };
    let option = args.action.iter().skip(1).find(is_option)?;
    let action = args.action.first()?;
    Some(format!("  options come before the action: {} {option} ... {action} ...", args.progname))
}

/// Runs the words of a command line as one command. They are joined with blanks and split again, because scripts
/// pass `"signal HUP"` as one word.
pub(crate) fn run_words(session: &mut Session, words: &[String]) -> Exit {
    session.exact_words = words.get(1..).map(<[String]>::to_vec).filter(|_| words[0] == "run");
    let outcome = session.run_line(&words.join(" "));
    session.exact_words = None;
    match outcome {
        Ok(()) => session.exit,
        Err(problem) => output_failed(&problem),
    }
}

/// The exit status for output that cannot be written. A reader that went away, such as `head`, needs no message.
fn output_failed(problem: &CtlError) -> Exit {
    match problem {
        CtlError::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::BROKEN_PIPE,
        problem => {
            eprintln!("error: {problem}");
            Exit::GENERIC
        }
    }
}

/// Adds what the environment and `.netrc` know about credentials. A password on the command line goes first, then the
/// environment, the configuration, `.netrc`.
///
/// A password of the environment goes where the user said, or root, not where a file of others says: such a file may
/// have been found only because it lies in the current directory.
fn settings(config: CtlConfig, args: &CtlArgs, surroundings: &Surroundings, screen: &mut Screen) -> Settings {
    let of_others = config.url_is_of.clone();
    let from_environment = surroundings.environment.get(login::PASSWORD_VARIABLE);
    let found = from_environment.filter(|password| !password.is_empty());
    if let (Some(why), Some(_), None) = (&of_others, found, &args.password) {
        let variable = login::PASSWORD_VARIABLE;
        screen.hint(&format!(
            "warning: {variable} is not sent to {}; name the server with -s",
            config.serverurl
        ));
        screen.hint(&format!("  {why}"));
    }
    let from_environment = from_environment.filter(|_| of_others.is_none()).cloned();
    let of_url = Endpoint::credentials(&config.serverurl);
    // A URL of the command line does not belong to the credentials of the file.
    let (mut username, mut password) = (config.username, args.password.clone().or(from_environment));
    match of_url {
        Some(login) if args.serverurl.is_some() => {
            username = args.username.clone().or(Some(login.username));
            password = password.or(Some(login.password));
        }
        Some(login) => {
            username = username.or(Some(login.username));
            password = password.or(config.password).or(Some(login.password));
        }
        None => password = password.or(config.password),
    }
    let mut settings = Settings {
        serverurl: config.serverurl,
        username,
        password,
        prompt: config.prompt,
        history_file: config.history_file,
        config: config.path_read,
        style: style(&args.progname),
    };
    if settings.password.is_none()
        && let Some(found) = from_netrc(&settings, of_others.is_some(), surroundings)
    {
        settings.username = Some(found.username);
        settings.password = Some(found.password);
    }
    settings
}

/// The style that belongs to the name under which the client was called.
fn style(progname: &str) -> Style {
    match Path::new(progname).file_name() {
        Some(name) if name == "supervisorctl" => Style::Supervisor,
        _ => Style::Go,
    }
}

/// The entry for this server, by its URL, its socket file or its host; of the wanted user, if one is wanted. What others
/// have chosen must be there as the whole URL: on a host everybody can listen on some port.
fn from_netrc(settings: &Settings, of_others: bool, surroundings: &Surroundings) -> Option<Login> {
    let path = match surroundings.environment.get("NETRC") {
        Some(path) => path.clone(),
        None => format!("{}/.netrc", surroundings.environment.get("HOME")?),
    };
    let place = match Endpoint::parse(&settings.serverurl).ok()? {
        Endpoint::Unix(file) => file.to_string_lossy().into_owned(),
        Endpoint::Inet { host, .. } => host,
    };
    let machines = [settings.serverurl.as_str(), &place];
    let machines = if of_others { &machines[..1] } else { &machines };
    let found = login::from_netrc(Path::new(&path), machines)?;
    settings.username.as_ref().is_none_or(|username| *username == found.username).then_some(found)
}
