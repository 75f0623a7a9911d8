//! The command line: selects the part of the program that runs, with its options.
//!
//! `supervisord [options]` is the daemon. A first word that is not an option selects another part: `ctl`, `check`,
//! `init`, `service`, `export`, `import`, `schema`, `version`, `completions`, `man` or `pidproxy`. Called as `supervisorctl`, the program is the client;
//! called as `echo_supervisord_conf`, it prints the sample configuration.

mod env_file;
mod getopt;
mod options;

use crate::config::args::{
    CheckArgs, CtlArgs, DaemonArgs, ExportArgs, ImportArgs, InitArgs, SchemaArgs, ServiceAction, ServiceArgs,
};
use crate::config::repr;
use crate::convert::{export, import};
use crate::{COMMIT, SUPERVISOR_VERSION, VERSION};
use argh::FromArgs;
use getopt::{Given, Handled, Opt};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// The words that select another part of the program than the daemon.
const PARTS: [&str; 11] = [
    "ctl",
    "check",
    "init",
    "service",
    "export",
    "import",
    "schema",
    "version",
    "completions",
    "man",
    "pidproxy",
];

/// What a command line asks for.
#[derive(Debug, PartialEq)]
pub enum Invocation {
    /// Supervise programs: no word, only options.
    Daemon(DaemonArgs),
    /// Talk to a daemon: `ctl`, or the name `supervisorctl`.
    Ctl(CtlArgs),
    /// Report what is wrong with a configuration: `check`.
    Check(CheckArgs),
    /// Print a sample configuration: `init`, or the name `echo_supervisord_conf`.
    Init(InitArgs),
    /// Have systemd run the daemon: `service`.
    Service(ServiceArgs),
    /// Write a configuration in the format of another program: `export`.
    Export(ExportArgs),
    /// Make a configuration of another program's files: `import`.
    Import(ImportArgs),
    /// Print a JSON Schema: `schema`.
    Schema(SchemaArgs),
    /// The words after `pidproxy`.
    PidProxy(Vec<String>),
    /// Nothing is left but to print something.
    Exit(Exit),
}

/// A text and the exit status that goes with it.
#[derive(Debug, PartialEq)]
pub struct Exit {
    /// What to print, with its line end.
    pub output: String,
    /// Whether the text goes to stderr.
    pub to_stderr: bool,
    /// 0 for what was asked for, 2 for a command line that is wrong.
    pub status: u8,
}

impl Exit {
    fn success(output: String) -> Exit {
        Exit { output, to_stderr: false, status: 0 }
    }

    /// Supervisor's usage error.
    fn usage(progname: &str, text: &str) -> Exit {
        let output = format!("Error: {text}\nFor help, use {progname} -h\n");
        Exit { output, to_stderr: true, status: 2 }
    }

    /// Prints the text. The status stays the same if nobody reads it.
    fn print(&self) -> ExitCode {
        if self.to_stderr {
            let _ = std::io::stderr().write_all(self.output.as_bytes());
        } else {
            let _ = std::io::stdout().write_all(self.output.as_bytes());
        }
        ExitCode::from(self.status)
    }
}

/// Runs what the command line asks for.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let mut invocation = parse(arguments);
    set_variables(&mut invocation);
    match invocation {
        Invocation::Daemon(args) => crate::manager::daemon_main(args),
        Invocation::Ctl(args) => crate::ctl::main(args),
        Invocation::Check(args) => crate::check::main(&args),
        Invocation::Init(args) => crate::config::init_main(&args),
        Invocation::Service(args) => crate::service::main(&args),
        Invocation::Export(args) => crate::convert::export_main(&args),
        Invocation::Import(args) => crate::convert::import_main(&args),
        Invocation::Schema(args) => crate::convert::schema_main(&args),
        Invocation::PidProxy(words) => crate::pidproxy::main(&words),
        Invocation::Exit(exit) => exit.print(),
    }
}

/// Reads the file of `--env-file`. If it cannot be read, the program warns and goes on.
fn set_variables(invocation: &mut Invocation) {
    let (file, doubt) = match invocation {
        Invocation::Daemon(args) => (args.env_file.clone(), Some(&mut args.doubt)),
        Invocation::Check(args) => (args.daemon.env_file.clone(), Some(&mut args.daemon.doubt)),
        Invocation::Export(args) => (args.daemon.env_file.clone(), Some(&mut args.daemon.doubt)),
        Invocation::Ctl(args) => (args.env_file.clone(), None),
        // The file is for the service, not for whoever installs it.
        Invocation::Service(_)
        | Invocation::Init(_)
        | Invocation::Import(_)
        | Invocation::Schema(_)
        | Invocation::PidProxy(_)
        | Invocation::Exit(_) => return,
    };
    let Some(Err(error)) = file.as_ref().map(|file| env_file::set(Path::new(file))) else { return };
    let text = format!("command line: --env-file: no variable is set, {}: {error}", file.unwrap_or_default());
    match doubt {
        Some(doubt) => doubt.push(text),
        None => eprintln!("warning: {text}"),
    }
}

/// Reads a command line, the program's name included.
pub fn parse(arguments: Vec<OsString>) -> Invocation {
    let mut words = arguments.into_iter().map(|word| word.to_string_lossy().into_owned());
    let progname = words.next().unwrap_or_else(|| "supervisord".to_string());
    let words: Vec<String> = words.collect();
    let name = Path::new(&progname).file_name().map(|name| name.to_string_lossy().into_owned());
    let result = match (name.as_deref(), words.split_first()) {
        (Some("supervisorctl"), _) => ctl(&progname, &words),
        (Some("pidproxy"), _) => Ok(Invocation::PidProxy(words)),
        (Some("echo_supervisord_conf"), _) => Ok(Invocation::Init(InitArgs::default())),
        // A script in the place of a link cannot choose the program's name: the name is its first word.
        (_, Some((word, words))) if word == "supervisorctl" => ctl(word, words),
        _ => daemon(&progname, &words),
    };
    result.unwrap_or_else(Invocation::Exit)
}

fn daemon(progname: &str, words: &[String]) -> Result<Invocation, Exit> {
    let usage = |text: String| Exit::usage(progname, &text);
    let (given, rest) = getopt::lex(options::DAEMON, words).map_err(usage)?;
    let (part, rest) = match rest.split_first() {
        None => (None, &[][..]),
        Some((part, rest)) if PARTS.contains(&part.as_str()) => (Some(part.as_str()), rest),
        Some(_) => return Err(usage(format!("positional arguments are not supported: {}", list(&rest)))),
    };
    let mut plain = vec!["--progname".to_string(), progname.to_string()];
    match getopt::handle(&given).map_err(usage)? {
        Handled::Plain(handled) => plain.extend(handled),
        Handled::Stop("version") => return Err(Exit::success(format!("{SUPERVISOR_VERSION}\n"))),
        Handled::Stop(_) => return Err(Exit::success(daemon_help(progname))),
    }
    let args: DaemonArgs = fill(progname, &plain)?;
    if args.daemon && args.nodaemon {
        return Err(usage(
            "run in the foreground (-n) or in the background (-d without a directory), not both".into(),
        ));
    }
    match part {
        None => Ok(Invocation::Daemon(args)),
        // The bare version is the first word, for scripts.
        Some("version") => Err(Exit::success(format!(
            "{VERSION} (commit {COMMIT}, in place of Supervisor {SUPERVISOR_VERSION})\n"
        ))),
        Some("ctl") => ctl_of_daemon(&format!("{progname} ctl"), args, rest),
        Some("completions") => completions(&format!("{progname} completions"), rest),
        Some("man") => man(&format!("{progname} man"), rest),
        Some("pidproxy") => Ok(Invocation::PidProxy(rest.to_vec())),
        Some("check") => check(&format!("{progname} check"), args, rest),
        Some("service") => service(progname, args, rest),
        Some("export") => export(&format!("{progname} export"), args, rest),
        Some("import") => import(&format!("{progname} import"), rest),
        Some("schema") => schema(&format!("{progname} schema"), rest),
        Some(_) => init(&format!("{progname} init"), rest),
    }
}

/// The client under the original's name, and with its options.
fn ctl(progname: &str, words: &[String]) -> Result<Invocation, Exit> {
    let (plain, rest) = plain(progname, options::CTL, words, ctl_help)?;
    client(progname, plain, rest).map(Invocation::Ctl)
}

/// The client under the daemon's name: its options may stand behind the action, too.
fn ctl_of_daemon(progname: &str, daemon: DaemonArgs, words: &[String]) -> Result<Invocation, Exit> {
    let usage = |text: String| Exit::usage(progname, &text);
    let options = options::CTL_OF_DAEMON.as_slice();
    let (mut given, rest) = getopt::lex(options, words).map_err(usage)?;
    let (action, behind) = rest.split_at(rest.len().min(1));
    let (more, arguments) = getopt::take(options::BEHIND_ACTION, behind).map_err(usage)?;
    given.extend(more);
    let plain = handled(progname, &given, ctl_of_daemon_help)?;
    let args = client(progname, plain, [action, &arguments].concat())?;
    Ok(Invocation::Ctl(CtlArgs {
        configuration: args.configuration.or(daemon.configuration),
        env_file: daemon.env_file,
        ..args
    }))
}

fn client(progname: &str, mut plain: Vec<String>, action: Vec<String>) -> Result<CtlArgs, Exit> {
    plain.extend(["--progname".to_string(), progname.to_string(), "--".to_string()]);
    plain.extend(action);
    fill(progname, &plain)
}

/// Prints the completions of a shell.
fn completions(progname: &str, rest: &[String]) -> Result<Invocation, Exit> {
    let known = crate::ctl::completions::SHELLS.join(", ");
    let [shell] = rest else {
        return Err(Exit::usage(progname, &format!("one shell must be named: {known}")));
    };
    let exports: Vec<&str> = export::FORMATS.iter().map(|format| format.name).collect();
    let imports: Vec<&str> = import::FORMATS.iter().map(|format| format.name).collect();
    match crate::ctl::completions::completions(shell, &exports.join(" "), &imports.join(" ")) {
        Some(script) => Err(Exit::success(script)),
        None => Err(Exit::usage(progname, &format!("no completions for {}, only for {known}", repr(shell)))),
    }
}

/// Prints a manual page: the daemon's, the client's, or that of the configuration.
fn man(progname: &str, rest: &[String]) -> Result<Invocation, Exit> {
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    match rest[..] {
        [] | ["supervisord"] => {
            Err(Exit::success(crate::ctl::man::daemon_page(&options_help(options::DAEMON))))
        }
        ["ctl" | "supervisorctl"] => {
            Err(Exit::success(crate::ctl::man::ctl_page(&options_help(options::CTL))))
        }
        ["supervisord.conf"] => Err(Exit::success(crate::ctl::man::configuration_page())),
        _ => Err(Exit::usage(progname, "the pages are supervisord, supervisorctl and supervisord.conf")),
    }
}

fn check(progname: &str, daemon: DaemonArgs, words: &[String]) -> Result<Invocation, Exit> {
    let (plain, rest) = plain(progname, options::CHECK, words, check_help)?;
    no_positional(progname, &rest)?;
    let args: CheckArgs = fill(progname, &plain)?;
    let configuration = args.configuration.clone().or_else(|| daemon.configuration.clone());
    Ok(Invocation::Check(CheckArgs { daemon: DaemonArgs { configuration, ..daemon }, ..args }))
}

fn init(progname: &str, words: &[String]) -> Result<Invocation, Exit> {
    let (plain, rest) = plain(progname, options::INIT, words, init_help)?;
    no_positional(progname, &rest)?;
    Ok(Invocation::Init(fill(progname, &plain)?))
}

/// The options may stand before the format or behind it, up to the first name.
fn export(progname: &str, daemon: DaemonArgs, words: &[String]) -> Result<Invocation, Exit> {
    let known = export::FORMATS.iter().map(|format| format.name).collect();
    let (plain, format, names) = conversion(progname, options::EXPORT, words, export_help, known)?;
    let words = [plain, vec!["--".to_string(), format], names].concat();
    let args: ExportArgs = fill(progname, &words)?;
    let configuration = args.configuration.clone().or_else(|| daemon.configuration.clone());
    Ok(Invocation::Export(ExportArgs { daemon: DaemonArgs { configuration, ..daemon }, ..args }))
}

fn import(progname: &str, words: &[String]) -> Result<Invocation, Exit> {
    let known = import::FORMATS.iter().map(|format| format.name).collect();
    let (plain, format, files) = conversion(progname, options::IMPORT, words, import_help, known)?;
    if files.is_empty() {
        return Err(Exit::usage(progname, &format!("name the files to import: {progname} {format} FILE...")));
    }
    let words = [plain, vec!["--".to_string(), format], files].concat();
    Ok(Invocation::Import(fill(progname, &words)?))
}

/// The options of a conversion in argh's spelling, its format, and the words behind it.
fn conversion(
    progname: &str,
    options: &'static [Opt],
    words: &[String],
    help: fn(&str) -> String,
    known: Vec<&str>,
) -> Result<(Vec<String>, String, Vec<String>), Exit> {
    let usage = |text: String| Exit::usage(progname, &text);
    let (mut given, rest) = getopt::lex(options, words).map_err(usage)?;
    let (format, behind) = rest.split_at(rest.len().min(1));
    let (more, names) = getopt::take(options, behind).map_err(usage)?;
    given.extend(more);
    let plain = handled(progname, &given, help)?;
    let known = known.join(", ");
    let (before, behind) = match names.iter().position(|word| word == "--") {
        Some(at) => (&names[..at], &names[at + 1..]),
        None => (&names[..], &[][..]),
    };
    if let Some(unknown) = before.iter().find(|word| word.len() > 1 && word.starts_with('-')) {
        return Err(usage(format!("option {unknown} not recognized")));
    }
    let names = [before, behind].concat();
    match format.first() {
        Some(format) if known.split(", ").any(|name| name == format) => Ok((plain, format.clone(), names)),
        Some(other) => Err(usage(format!("no format is called {}; the formats are {known}", repr(other)))),
        None => Err(usage(format!("name a format: {known}"))),
    }
}

fn schema(progname: &str, words: &[String]) -> Result<Invocation, Exit> {
    let (plain, rest) = plain(progname, options::SCHEMA, words, schema_help)?;
    let args: SchemaArgs = fill(progname, &plain)?;
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    match rest[..] {
        [] => Ok(Invocation::Schema(args)),
        ["check"] => Ok(Invocation::Schema(SchemaArgs { check: true })),
        [word, ..] => Err(Exit::usage(progname, &format!("no schema is called {}, only check", repr(word)))),
    }
}

/// The options may stand before the word, before the action or behind it.
fn service(progname: &str, daemon: DaemonArgs, words: &[String]) -> Result<Invocation, Exit> {
    let name = format!("{progname} service");
    let usage = |text: String| Exit::usage(&name, &text);
    let (mut given, rest) = getopt::lex(options::SERVICE, words).map_err(usage)?;
    let (action, behind) = rest.split_at(rest.len().min(1));
    let (more, rest) = getopt::lex(options::SERVICE, behind).map_err(usage)?;
    given.extend(more);
    let plain = handled(&name, &given, service_help)?;
    no_positional(&name, &rest)?;
    let args: ServiceArgs = fill(&name, &plain)?;
    let Some(action) = action.first().and_then(|word| ServiceAction::parse(word)) else {
        let output = format!("usage: {name} {}\n", ServiceAction::NAMES.join("|"));
        return Err(Exit { output, to_stderr: true, status: 2 });
    };
    let (configuration, env_file) = (daemon.configuration.clone(), daemon.env_file.clone());
    let known = DaemonArgs {
        progname: progname.to_string(),
        configuration: configuration.clone(),
        env_file: env_file.clone(),
        ..DaemonArgs::default()
    };
    if daemon != known {
        return Err(usage(
            "only -c and --env-file go into the unit; other options belong into the configuration".into(),
        ));
    }
    Ok(Invocation::Service(ServiceArgs {
        action,
        progname: progname.to_string(),
        configuration: args.configuration.or(configuration),
        env_file: args.env_file.or(env_file),
        ..args
    }))
}

/// Takes the options of a part off its words, in argh's spelling.
fn plain(
    progname: &str,
    options: &'static [Opt],
    words: &[String],
    help: fn(&str) -> String,
) -> Result<(Vec<String>, Vec<String>), Exit> {
    let usage = |text: String| Exit::usage(progname, &text);
    let (given, rest) = getopt::lex(options, words).map_err(usage)?;
    Ok((handled(progname, &given, help)?, rest))
}

/// The options in argh's spelling, or the help that one of them asks for.
fn handled(progname: &str, given: &[Given], help: fn(&str) -> String) -> Result<Vec<String>, Exit> {
    match getopt::handle(given).map_err(|text| Exit::usage(progname, &text))? {
        Handled::Plain(plain) => Ok(plain),
        Handled::Stop(_) => Err(Exit::success(help(progname))),
    }
}

fn no_positional(progname: &str, rest: &[String]) -> Result<(), Exit> {
    if rest.is_empty() {
        return Ok(());
    }
    Err(Exit::usage(progname, &format!("positional arguments are not supported: {}", list(rest))))
}

/// Lets argh fill the structure. The words were checked before, so it has nothing left to refuse.
fn fill<T: FromArgs>(progname: &str, plain: &[String]) -> Result<T, Exit> {
    let words: Vec<&str> = plain.iter().map(String::as_str).collect();
    T::from_args(&[progname], &words).map_err(|early| Exit::usage(progname, early.output.trim_end()))
}

/// A list as Python prints it.
fn list(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| repr(word)).collect();
    format!("[{}]", words.join(", "))
}

fn daemon_help(progname: &str) -> String {
    format!(
        "supervisord -- run a set of applications as daemons.\n\nUsage: {progname} [options]\n       {progname} \
         [options] ctl|check|init|service|export|import|schema|version|completions|man [options]\n\nOptions:\n{}\nctl -- control a running daemon (see '{progname} ctl \
         -h')\ncheck -- read the configuration and report everything that is wrong\ninit -- print a \
         commented configuration\nservice -- install, uninstall, start, stop or show the systemd service\nexport -- write the configuration in the format of another program\nimport -- make a configuration of another program's files\nschema -- print a JSON Schema of the configuration\nversion -- print the version of this program (-v prints that of the Supervisor it replaces)\ncompletions -- print completions for bash, zsh or fish\nman -- print a manual page \
         (supervisord, supervisorctl or supervisord.conf)\n\n",
        options_help(options::DAEMON)
    )
}

fn ctl_help(progname: &str) -> String {
    help_of_client(progname, options::CTL)
}

fn ctl_of_daemon_help(progname: &str) -> String {
    help_of_client(progname, &options::CTL_OF_DAEMON)
}

fn help_of_client(progname: &str, options: &[Opt]) -> String {
    format!(
        "supervisorctl -- control applications run by supervisord from the cmd line.\n\nUsage: {progname} [options] \
         [action [arguments]]\n\nOptions:\n{}\naction [arguments] -- see below\n\nActions are commands like \"tail\" \
         or \"stop\".  If -i is specified or no action is\nspecified on the command line, a \"shell\" interpreting \
         actions typed\ninteractively is started.  Use the action \"help\" to find out about available\nactions.\n\n",
        options_help(options)
    )
}

fn check_help(progname: &str) -> String {
    format!(
        "Reads the configuration and its includes and reports everything that is wrong. Starts nothing.\n\nUsage: \
         {progname} [options]\n\nOptions:\n{}\nExit status: 0 no errors, 1 warnings (only with --strict), 2 \
         errors.\n\n",
        options_help(options::CHECK)
    )
}

fn init_help(progname: &str) -> String {
    format!(
        "Prints a configuration in which every key is explained.\n\nUsage: {progname} [options]\n\nOptions:\n{}\n",
        options_help(options::INIT)
    )
}

fn service_help(progname: &str) -> String {
    format!(
        "Makes supervisord a service of systemd.\n\nUsage: {progname} [options] {}\n\nOptions:\n{}\ninstall -- write \
         and enable a unit that runs this program with the configuration; never replaces a unit that somebody else \
         wrote or changed\nuninstall -- \
         stop and disable the service, and remove the unit that install wrote\nstart, stop, status -- call systemctl \
         for the unit\n\nExit status: 0 success, 1 failure, 2 wrong usage; for status, that of systemctl.\n\n",
        ServiceAction::NAMES.join("|"),
        options_help(options::SERVICE)
    )
}

fn export_help(progname: &str) -> String {
    let formats: Vec<&str> = export::FORMATS.iter().map(|format| format.name).collect();
    format!(
        "Writes the programs of the configuration in the format of another program, and lists on stderr what that format \
         cannot say.\n\nUsage: {progname} [options] {} [PROGRAM|GROUP...]\n\nOptions:\n{}\nExit status: 0 success, 1 nothing \
         was written, 2 wrong usage.\n\n",
        formats.join("|"),
        options_help(options::EXPORT)
    )
}

fn import_help(progname: &str) -> String {
    let formats: Vec<&str> = import::FORMATS.iter().map(|format| format.name).collect();
    format!(
        "Makes a configuration of another program's files, and lists on stderr what a configuration cannot say.\n\nUsage: \
         {progname} [options] {} FILE...\n\nOptions:\n{}\nExit status: 0 success, 1 nothing was written, 2 wrong \
         usage.\n\n",
        formats.join("|"),
        options_help(options::IMPORT)
    )
}

fn schema_help(progname: &str) -> String {
    format!(
        "Prints a JSON Schema (draft 2020-12) of the configuration as JSON: an object of sections, each an object of keys \
         with texts as values.\n\nUsage: {progname} [options] [check]\n\nOptions:\n{}\n",
        options_help(options::SCHEMA)
    )
}

/// One line per option: `-c/--configuration FILENAME -- what it does`.
fn options_help(options: &[Opt]) -> String {
    let mut help = String::new();
    for option in options.iter().filter(|option| !option.help.is_empty()) {
        let short = option.short.first().map(|letter| format!("-{letter}"));
        let long = option.long.map(|long| format!("--{long}"));
        let names: Vec<String> = short.into_iter().chain(long).collect();
        let value = option.value.map(|value| format!(" {value}")).unwrap_or_default();
        help += &format!("{}{value} -- {}\n", names.join("/"), option.help);
    }
    help
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &[&str]) -> Invocation {
        parse(words.iter().map(Into::into).collect())
    }

    #[track_caller]
    fn ctl_args(words: &[&str]) -> CtlArgs {
        match parse_words(words) {
            Invocation::Ctl(args) => args,
            other => panic!("not the client: {other:?}"),
        }
    }

    #[track_caller]
    fn check_exit(words: &[&str], status: u8, first_line: &str) {
        match parse_words(words) {
            Invocation::Exit(exit) => {
                assert_eq!((exit.status, exit.output.lines().next()), (status, Some(first_line)));
                assert_eq!(exit.to_stderr, status != 0);
            }
            other => panic!("not an exit: {other:?}"),
        }
    }

    #[test]
    fn the_client_by_either_name() {
        let args = ctl_args(&["/usr/bin/supervisorctl", "-c", "x.conf", "-sunix:///s", "tail", "-f", "web"]);
        assert_eq!(args.configuration.as_deref(), Some("x.conf"));
        assert_eq!(args.serverurl.as_deref(), Some("unix:///s"));
        assert_eq!(args.action, ["tail", "-f", "web"]);
        assert_eq!(args.progname, "/usr/bin/supervisorctl");
        let args = ctl_args(&[
            "supervisord",
            "-c",
            "x.conf",
            "ctl",
            "-i",
            "-u",
            "me",
            "--pass=p",
            "status",
            "--long",
        ]);
        assert_eq!((args.configuration.as_deref(), args.interactive), (Some("x.conf"), true));
        assert_eq!((args.username.as_deref(), args.password.as_deref()), (Some("me"), Some("p")));
        assert_eq!(args.action, ["status", "--long"]);
    }

    #[test]
    fn actions_that_look_like_something_else_pass() {
        for action in
            [&["help"][..], &["start", "all", "--help"], &["fg", "--"], &["signal HUP", "web"], &["-"]]
        {
            let words = [&["supervisorctl"][..], action].concat();
            assert_eq!(ctl_args(&words).action, action);
        }
        assert_eq!(ctl_args(&["supervisorctl", "--", "-x"]).action, ["-x"]);
        assert!(ctl_args(&["supervisorctl"]).action.is_empty());
    }

    #[test]
    fn history_files_in_both_spellings() {
        for option in ["--history_file", "--history-file", "--hist", "-r"] {
            let args = ctl_args(&["supervisorctl", option, "h", "status"]);
            assert_eq!(args.history_file.as_deref(), Some("h"), "{option}");
        }
    }

    #[test]
    fn the_clients_errors() {
        for (words, line) in [
            (&["supervisorctl", "-x"][..], "Error: option -x not recognized"),
            (&["supervisorctl", "-c"], "Error: option -c requires argument"),
            (&["supervisorctl", "-i", "-i", "status"], "Error: conflicting command line option '-i'"),
            (
                &["supervisorctl", "-s", "foo", "status"],
                "Error: invalid value for -s 'foo': value 'foo' is not a URL",
            ),
            (&["supervisord", "-q/", "ctl", "-x"], "Error: option -x not recognized"),
            (&["supervisord", "check", "x"], "Error: positional arguments are not supported: ['x']"),
        ] {
            check_exit(words, 2, line);
        }
    }

    #[test]
    fn help_and_version_act_when_they_are_reached() {
        check_exit(&["supervisord", "-v"], 0, "4.3.0");
        let versions = format!("{VERSION} (commit {COMMIT}, in place of Supervisor {SUPERVISOR_VERSION})");
        check_exit(&["supervisord", "version"], 0, &versions);
        check_exit(&["supervisord", "-nv", "-m", "9"], 0, "4.3.0");
        check_exit(
            &["supervisord", "-m", "9", "-v"],
            2,
            "Error: invalid value for -m '9': 9 can not be converted to an octal type",
        );
        check_exit(&["supervisord", "-h"], 0, "supervisord -- run a set of applications as daemons.");
        check_exit(&["supervisord", "-?"], 0, "supervisord -- run a set of applications as daemons.");
        check_exit(&["supervisord", "-h", "x"], 2, "Error: positional arguments are not supported: ['x']");
        check_exit(
            &["supervisorctl", "--help"],
            0,
            "supervisorctl -- control applications run by supervisord from the cmd line.",
        );
    }

    #[test]
    fn check_and_init_take_their_options() {
        match parse_words(&["supervisord", "-n", "-c", "a.conf", "check", "--json", "--strict"]) {
            Invocation::Check(args) => {
                assert!(args.json && args.strict && !args.dump && args.daemon.nodaemon);
                assert_eq!(args.daemon.configuration.as_deref(), Some("a.conf"));
            }
            other => panic!("not a check: {other:?}"),
        }
        let init = Invocation::Init(InitArgs { output: Some("f".into()) });
        assert_eq!(parse_words(&["supervisord", "init", "-o", "f"]), init);
        assert_eq!(parse_words(&["/bin/echo_supervisord_conf"]), Invocation::Init(InitArgs::default()));
    }

    #[test]
    fn the_service_takes_its_options_anywhere() {
        let expected = ServiceArgs {
            action: ServiceAction::Install,
            progname: "supervisord".into(),
            configuration: Some("x.conf".into()),
            env_file: Some("e".into()),
            ..ServiceArgs::default()
        };
        for words in [
            "-c x.conf --env-file=e service install",
            "service --configuration=x.conf --env-file=e install",
            "--env-file e service install --configuration=x.conf",
        ] {
            let words: Vec<&str> = ["supervisord"].into_iter().chain(words.split(' ')).collect();
            assert_eq!(parse_words(&words), Invocation::Service(expected.clone()), "{words:?}");
        }
        check_exit(
            &["supervisord", "service"],
            2,
            "usage: supervisord service install|uninstall|start|stop|status",
        );
        check_exit(&["supervisord", "service", "-h"], 0, "Makes supervisord a service of systemd.");
    }

    #[test]
    fn conversions_take_their_options_anywhere() {
        for words in [
            "-c x.conf export -o out systemd web db",
            "export systemd -o out -c x.conf web db",
            "export --output=out systemd web db --configuration x.conf",
        ] {
            let words: Vec<&str> = ["supervisord"].into_iter().chain(words.split(' ')).collect();
            let Invocation::Export(args) = parse_words(&words) else { panic!("not an export: {words:?}") };
            assert_eq!((args.format.as_str(), args.output.as_deref()), ("systemd", Some("out")), "{words:?}");
            assert_eq!(args.programs, ["web", "db"], "{words:?}");
            assert_eq!(args.daemon.configuration.as_deref(), Some("x.conf"), "{words:?}");
        }
        let Invocation::Import(args) =
            parse_words(&["supervisord", "import", "systemd", "a", "-o", "x", "--", "-b"])
        else {
            panic!("not an import");
        };
        assert_eq!(
            (args.files, args.output.as_deref()),
            (vec!["a".to_string(), "-b".to_string()], Some("x"))
        );
        for words in [&["schema", "check"][..], &["schema", "--check"]] {
            let all = [&["supervisord"], words].concat();
            assert_eq!(parse_words(&all), Invocation::Schema(SchemaArgs { check: true }));
        }
        assert_eq!(parse_words(&["supervisord", "schema"]), Invocation::Schema(SchemaArgs { check: false }));
        check_exit(&["supervisord", "import", "systemd", "-x"], 2, "Error: option -x not recognized");
    }

    #[test]
    fn options_behind_the_action_under_the_daemons_name() {
        let words = "supervisord ctl tail -f -s unix:///s web -v1 --user=me -v -P p --json";
        let args = ctl_args(&words.split(' ').collect::<Vec<_>>());
        assert_eq!(args.action, ["tail", "-f", "web", "-v1", "--json"]);
        assert_eq!((args.serverurl.as_deref(), args.username.as_deref()), (Some("unix:///s"), Some("me")));
        assert!(args.verbose && args.password.as_deref() == Some("p") && args.configuration.is_none());
        assert_eq!(ctl_args(&["supervisord", "ctl", "fg", "--", "-v"]).action, ["fg", "--", "-v"]);
        assert!(ctl_args(&["supervisord", "ctl", "-v", "status"]).verbose);
        check_exit(&["supervisord", "ctl", "status", "-s"], 2, "Error: option -s requires argument");
        // The original's name has the original's rules.
        assert_eq!(ctl_args(&["supervisorctl", "status", "-v"]).action, ["status", "-v"]);
        check_exit(&["supervisorctl", "-v", "status"], 2, "Error: option -v not recognized");
        // Under whatever name a script finds the file.
        assert_eq!(ctl_args(&["/x/other", "supervisorctl", "status", "-v"]).action, ["status", "-v"]);
        check_exit(&["supervisord", "supervisorctl", "-v"], 2, "Error: option -v not recognized");
    }

    #[test]
    fn the_background_and_a_directory_share_a_letter() {
        for (words, background, directory) in [
            (&["-d"][..], true, None),
            (&["-d", "-c", "x.conf"], true, None),
            (&["-sd"], true, None),
            (&["--daemon"], true, None),
            (&["-d", "/"], false, Some("/")),
            (&["-d/"], false, Some("/")),
            (&["-d", "/", "-d"], true, Some("/")),
        ] {
            let Invocation::Daemon(args) = parse_words(&[&["supervisord"], words].concat()) else {
                panic!("not the daemon: {words:?}");
            };
            assert_eq!((args.daemon, args.directory.as_deref()), (background, directory), "{words:?}");
        }
        let line =
            "Error: run in the foreground (-n) or in the background (-d without a directory), not both";
        check_exit(&["supervisord", "-n", "-d"], 2, line);
    }

    #[test]
    fn the_command_line_survives_being_stored() {
        let Invocation::Daemon(args) = parse_words(&["supervisord", "-nl", "x.log", "-m", "027"]) else {
            panic!("not the daemon");
        };
        assert_eq!((args.nodaemon, args.umask), (true, Some(0o27)));
        let stored = serde_json::to_string(&args).expect("serializable");
        assert_eq!(serde_json::from_str::<DaemonArgs>(&stored).expect("readable"), args);
    }
}
