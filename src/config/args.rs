//! The command line of each part of the program, as structures that argh fills. The options themselves are a table in
//! `cli`.

use crate::config::values::{self, Parsed};
use crate::model::colour::Colour;
use crate::model::config::Level;
use argh::FromArgs;
use serde::{Deserialize, Serialize};

/// The daemon's command line: what it lays over its configuration, again at every reread.
#[derive(FromArgs, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DaemonArgs {
    /// the program as it was called, for messages
    #[argh(option, default = "String::new()")]
    pub progname: String,
    /// the configuration file; searched for if missing
    #[argh(option)]
    pub configuration: Option<String>,
    /// stay in the foreground
    #[argh(switch)]
    pub nodaemon: bool,
    /// go to the background whatever the configuration says
    #[argh(switch)]
    #[serde(default)]
    pub daemon: bool,
    /// no copy of the log on stdout
    #[argh(switch)]
    pub silent: bool,
    /// user name or number to run as
    #[argh(option)]
    pub user: Option<String>,
    /// umask, already read as an octal number
    #[argh(option, from_str_fn(umask_value))]
    pub umask: Option<u32>,
    /// directory to change to; `~` is not yet expanded
    #[argh(option)]
    pub directory: Option<String>,
    /// activity log; `~` is not yet expanded
    #[argh(option)]
    pub logfile: Option<String>,
    /// bytes at which the activity log is rotated
    #[argh(option, from_str_fn(bytes_value))]
    pub logfile_maxbytes: Option<u64>,
    /// number of old activity logs
    #[argh(option, from_str_fn(count_value))]
    pub logfile_backups: Option<u32>,
    /// least severe level that is logged
    #[argh(option, from_str_fn(values::level))]
    pub loglevel: Option<Level>,
    /// file with the daemon's pid; `~` is not yet expanded
    #[argh(option)]
    pub pidfile: Option<String>,
    /// the daemon's name
    #[argh(option)]
    pub identifier: Option<String>,
    /// directory of automatic logs; `~` is not yet expanded
    #[argh(option)]
    pub childlogdir: Option<String>,
    /// keep automatic logs of former runs
    #[argh(switch)]
    pub nocleanup: bool,
    /// least number of descriptors
    #[argh(option, from_str_fn(count_value))]
    pub minfds: Option<u32>,
    /// remove terminal sequences from the logs of programs
    #[argh(switch)]
    pub strip_ansi: bool,
    /// least number of processes
    #[argh(option, from_str_fn(count_value))]
    pub minprocs: Option<u32>,
    /// accepted and ignored: there is no profiler
    #[argh(option)]
    pub profile_options: Option<String>,
    /// variables to set before the configuration is read
    #[argh(option)]
    #[serde(default)]
    pub env_file: Option<String>,
    /// accepted, with a word about it
    #[argh(option)]
    #[serde(default)]
    pub dlog_file: Option<String>,
    /// what was understood by values that mean nothing
    #[argh(option)]
    #[serde(default)]
    pub doubt: Vec<String>,
    /// start as root with a configuration that everybody can write to
    #[argh(switch)]
    #[serde(default)]
    pub allow_unsafe_config: bool,
}

/// The client's command line.
#[derive(FromArgs, Clone, Default, PartialEq)]
pub struct CtlArgs {
    /// the program as it was called, for messages
    #[argh(option, default = "String::new()")]
    pub progname: String,
    /// the configuration file; searched for if missing
    #[argh(option)]
    pub configuration: Option<String>,
    /// behave as in the shell
    #[argh(switch)]
    pub interactive: bool,
    /// where the daemon listens
    #[argh(option)]
    pub serverurl: Option<String>,
    /// variables to set before the configuration is read
    #[argh(option)]
    pub env_file: Option<String>,
    /// user name for the server
    #[argh(option)]
    pub username: Option<String>,
    /// password for the server
    #[argh(option)]
    pub password: Option<String>,
    /// where the shell keeps its history
    #[argh(option)]
    pub history_file: Option<String>,
    /// when there are colours
    #[argh(option, default = "Colour::Auto", from_str_fn(Colour::parse))]
    pub color: Colour,
    /// let everything reach the terminal
    #[argh(switch)]
    pub raw: bool,
    /// say which file and which server are used
    #[argh(switch)]
    pub verbose: bool,
    /// the words after the options
    #[argh(positional, greedy)]
    pub action: Vec<String>,
}

/// Does not print the password.
impl std::fmt::Debug for CtlArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CtlArgs")
            .field("configuration", &self.configuration)
            .field("serverurl", &self.serverurl)
            .field("action", &self.action)
            .finish_non_exhaustive()
    }
}

/// `supervisord check`.
#[derive(FromArgs, Clone, Debug, Default, PartialEq)]
pub struct CheckArgs {
    /// the configuration file; searched for if missing
    #[argh(option)]
    pub configuration: Option<String>,
    /// print JSON
    #[argh(switch)]
    pub json: bool,
    /// exit with status 1 if there are warnings
    #[argh(switch)]
    pub strict: bool,
    /// print the effective configuration
    #[argh(switch)]
    pub dump: bool,
    /// with passwords
    #[argh(switch)]
    pub show_secrets: bool,
    /// what stood before `check` on the command line
    #[argh(option, default = "DaemonArgs::default()", from_str_fn(no_daemon_args))]
    pub daemon: DaemonArgs,
}

/// `supervisord init`.
#[derive(FromArgs, Clone, Debug, Default, PartialEq)]
pub struct InitArgs {
    /// the file to write; stdout if missing
    #[argh(option)]
    pub output: Option<String>,
}

/// `supervisord export`.
#[derive(FromArgs, Clone, Debug, Default, PartialEq)]
pub struct ExportArgs {
    /// what to make
    #[argh(positional)]
    pub format: String,
    /// the configuration file; searched for if missing
    #[argh(option)]
    pub configuration: Option<String>,
    /// a directory, or a file if there is only one; stdout if missing
    #[argh(option)]
    pub output: Option<String>,
    /// the image of containers
    #[argh(option)]
    pub image: Option<String>,
    /// what stood before `export` on the command line
    #[argh(option, default = "DaemonArgs::default()", from_str_fn(no_daemon_args))]
    pub daemon: DaemonArgs,
    /// programs and groups; all if missing
    #[argh(positional, greedy)]
    pub programs: Vec<String>,
}

/// `supervisord import`.
#[derive(FromArgs, Clone, Debug, Default, PartialEq)]
pub struct ImportArgs {
    /// what the files are
    #[argh(positional)]
    pub format: String,
    /// the configuration to write; stdout if missing
    #[argh(option)]
    pub output: Option<String>,
    /// the files
    #[argh(positional, greedy)]
    pub files: Vec<String>,
}

/// `supervisord schema`.
#[derive(FromArgs, Clone, Debug, Default, PartialEq)]
pub struct SchemaArgs {
    /// what the output of `check --json` looks like
    #[argh(switch)]
    pub check: bool,
}

/// `supervisord service`.
#[derive(FromArgs, Clone, Debug, Default, PartialEq)]
pub struct ServiceArgs {
    /// what to do; the word itself, not an option
    #[argh(option, default = "ServiceAction::default()", from_str_fn(no_action))]
    pub action: ServiceAction,
    /// the program as it was called
    #[argh(option, default = "String::new()")]
    pub progname: String,
    /// the configuration file of the service; searched for if missing
    #[argh(option)]
    pub configuration: Option<String>,
    /// the variables of the service
    #[argh(option)]
    pub env_file: Option<String>,
    /// the unit, with or without its `.service`
    #[argh(option)]
    pub name: Option<String>,
    /// the directory of the unit
    #[argh(option)]
    pub unit_dir: Option<String>,
}

/// What to do with the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceAction {
    /// Write the unit and enable it.
    Install,
    /// Stop the service, disable it and remove the unit.
    Uninstall,
    /// Start the service.
    Start,
    /// Stop the service.
    Stop,
    /// Show the service as systemd sees it.
    #[default]
    Status,
}

impl ServiceAction {
    /// The words of all actions, for messages and completion.
    pub const NAMES: [&str; 5] = ["install", "uninstall", "start", "stop", "status"];

    /// The action that a word of the command line means, spelt exactly so.
    pub fn parse(word: &str) -> Option<ServiceAction> {
        Some(match word {
            "install" => ServiceAction::Install,
            "uninstall" => ServiceAction::Uninstall,
            "start" => ServiceAction::Start,
            "stop" => ServiceAction::Stop,
            "status" => ServiceAction::Status,
            _ => return None,
        })
    }
}

/// The action comes from a word of its own.
fn no_action(_: &str) -> Parsed<ServiceAction> {
    Err("not an option".to_string())
}

/// These come from the words before `check`, never from a word of its own.
fn no_daemon_args(_: &str) -> Parsed<DaemonArgs> {
    Err("not an option".to_string())
}

fn umask_value(text: &str) -> Parsed<u32> {
    values::umask(text).map(|mask| mask.value)
}

fn bytes_value(text: &str) -> Parsed<u64> {
    values::bytes(text).map(|bytes| bytes.value)
}

fn count_value(text: &str) -> Parsed<u32> {
    values::count(text).map(|count| count.value)
}
