//! The meaning of a configuration: every key with its value, defaults filled in.
//!
//! Only `config` makes these values; everybody else reads them. Keys keep their spelling. Nothing here records where a
//! value came from; `config::Document` does.

use crate::model::signal::Signal;
use crate::model::syslog::{SyslogOptions, SyslogTarget};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// One configuration, read from a file and its includes with the command line laid over it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The main file, absolute.
    pub path: PathBuf,
    pub supervisord: DaemonConfig,
    /// inet servers in file order, then unix servers, as they are to be opened.
    pub http_servers: Vec<HttpServerConfig>,
    /// The namespaces under which `[rpcinterface:NAME]` publishes the built-in `supervisor` methods, usually
    /// just `supervisor`. Empty: only `system.*` exists, because Python code was asked for.
    pub rpc_namespaces: Vec<String>,
    /// Ascending by (priority, name).
    pub groups: Vec<Arc<GroupConfig>>,
    /// What reading it had to say, the worst first, for the activity log.
    pub messages: Vec<Message>,
}

impl Config {
    /// What programs see as `SUPERVISOR_SERVER_URL` unless they have a `serverurl` of their own: the first
    /// unix server, else the last inet server. `None` if there is no server.
    pub fn child_server_url(&self) -> Option<String> {
        let unix = self.http_servers.iter().find_map(|server| match &server.address {
            HttpAddress::Unix { file, .. } => Some(format!("unix://{}", file.display())),
            HttpAddress::Inet { .. } => None,
        });
        unix.or_else(|| {
            self.http_servers.iter().rev().find_map(|server| match &server.address {
                HttpAddress::Inet { host, port } => Some(inet_url(host, *port)),
                HttpAddress::Unix { .. } => None,
            })
        })
    }
}

/// The URL of a server. An empty host stands for all interfaces.
pub fn inet_url(host: &str, port: u16) -> String {
    match host {
        "" => format!("http://localhost:{port}"),
        host if host.contains(':') => format!("http://[{host}]:{port}"),
        host => format!("http://{host}:{port}"),
    }
}

/// A number of tries that stands for any number: each waits a second longer than the one before, so nobody lives to
/// see the last one.
pub const NO_LIMIT: u32 = i32::MAX as u32;

/// A line for the activity log that came up before there was one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub level: Level,
    pub text: String,
}

/// A level of the activity log, least severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    Blather,
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
}

/// `[supervisord]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DaemonConfig {
    pub logfile: ActivityLog,
    /// Bytes; 0 never rotates.
    pub logfile_maxbytes: u64,
    pub logfile_backups: u32,
    pub loglevel: Level,
    /// Absolute.
    pub pidfile: PathBuf,
    /// A file mode mask, at most 0o777.
    pub umask: u32,
    /// Whether somebody asked for it: in the foreground the default does not hold. Only looked at when the daemon
    /// starts.
    #[serde(skip)]
    pub umask_is_given: bool,
    pub nodaemon: bool,
    pub silent: bool,
    /// The least number of descriptors the daemon and its programs must be able to open.
    pub minfds: u64,
    pub minprocs: u64,
    pub nocleanup: bool,
    pub childlogdir: PathBuf,
    pub user: Option<User>,
    pub directory: Option<PathBuf>,
    pub strip_ansi: bool,
    /// For programs only, in the order of their keys.
    pub environment: BTreeMap<String, String>,
    pub identifier: String,
    /// The name of this machine among others, if it is not the host's. Not in Supervisor.
    #[serde(default)]
    pub nodename: Option<String>,
    /// How a line of the activity log looks. Supervisor only knows text.
    pub log_format: LogFormat,
    /// When the daemon ends by itself. Not in Supervisor.
    pub exit_when: ExitWhen,
    /// Where the table of live processes is kept on disk, absolute; `None`: nowhere. Not in Supervisor.
    pub processinfomapfile: Option<PathBuf>,
    /// At start: whether processes that `processinfomapfile` names and that still live are killed (or taken
    /// over).
    pub startkillall: bool,
    /// At exit: whether every program is stopped (or left running for the next daemon).
    pub exitkillall: bool,
    /// How long the manager may take to react before it is replaced; zero: for ever. Not in Supervisor.
    #[serde(default = "DaemonConfig::default_watchdog")]
    pub manager_watchdog: Duration,
}

impl DaemonConfig {
    /// [`DaemonConfig::manager_watchdog`] where nothing is said.
    pub fn default_watchdog() -> Duration {
        Duration::from_secs(30)
    }
}

/// How a line of the activity log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFormat {
    /// `2025-01-31 13:17:20,207 INFO message`.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// The condition under which the daemon shuts down by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitWhen {
    #[default]
    Never,
    /// Some process became FATAL.
    AnyFatal,
    /// Some process became EXITED or FATAL.
    AnyExit,
    /// No process is left that runs or will run again by itself.
    AllExited,
    /// The process (or every process of the group) with this namespec became EXITED or FATAL.
    Named(String),
}

/// Where the daemon writes about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActivityLog {
    /// Absolute.
    File(PathBuf),
    Syslog,
}

/// A user that was looked up when the file was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct User {
    pub uid: u32,
    /// As written in the file: a name or a number.
    pub written: String,
    /// The group to run with instead of the user's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Where that was, for messages of the process that read it.
    #[serde(skip)]
    pub place: Option<String>,
}

impl User {
    pub fn new(uid: u32, written: &str) -> User {
        User { uid, written: written.to_string(), gid: None, place: None }
    }

    /// Whether it was given as a number: then it needs not be in any list of users. One with a name that is in none any
    /// more is nobody.
    pub fn is_number(&self) -> bool {
        self.written.chars().all(|c| c.is_ascii_digit() || "+_ \t".contains(c))
    }
}

/// A user is the same whether written as a name or a number.
impl PartialEq for User {
    fn eq(&self, other: &User) -> bool {
        (self.uid, self.gid) == (other.uid, other.gid)
    }
}

impl Eq for User {}

/// An owner for a socket file; `None` leaves that half as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

/// `[inet_http_server]`, `[unix_http_server]` and their numbered kin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpServerConfig {
    /// The section's name, for example `inet_http_server:two`.
    pub section: String,
    pub address: HttpAddress,
    /// Without it everybody who can connect is let in.
    pub credentials: Option<Credentials>,
    /// Whether `/index.html?action=…` acts when it is followed, as it did in Supervisor. Any page on the web can make
    /// a browser do that.
    #[serde(default)]
    pub legacy_get_actions: bool,
    /// The names under which browsers may find this server, besides addresses, `localhost` and that of the machine; in
    /// lower case. `*.a` stands for all names below `a`, `*` for all there are.
    #[serde(default)]
    pub allowed_hosts: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpAddress {
    /// An empty host stands for all interfaces. IPv6 addresses stand here without brackets.
    Inet { host: String, port: u16 },
    /// `file` is absolute.
    Unix { file: PathBuf, chmod: u32, chown: Owner },
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    pub username: String,
    /// As written: plain, or `{SHA}` and the hexadecimal SHA-1 of the password.
    pub password: String,
}

/// Does not print the password.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A group: what one `[group:x]`, or one program section outside any group, makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupConfig {
    pub name: Arc<str>,
    pub priority: i64,
    pub kind: GroupKind,
    /// In the order in which they are started.
    pub processes: Vec<Arc<ProcessConfig>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum GroupKind {
    /// From a `[program:x]` of its own.
    Program,
    /// From a `[group:x]`.
    Group,
    /// From an `[eventlistener:x]`.
    EventListener(PoolConfig),
    /// From an `[fcgi-program:x]` of its own.
    FcgiProgram,
}

/// What `[eventlistener:x]` adds to a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolConfig {
    pub buffer_size: usize,
    /// Names of event types, upper case, as written, without repetition.
    pub events: Vec<String>,
    pub result_handler: ResultHandler,
    pub payload_length: PayloadLength,
}

/// What the `len` field of an event's header counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PayloadLength {
    /// As Supervisor does: right for listeners that read text.
    #[default]
    Characters,
    /// As Supervisor's manual says: right for listeners that read bytes.
    Bytes,
}

/// How a listener's answer is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResultHandler {
    /// `OK` accepts the event, anything else rejects it.
    Default,
    /// `supervisor_stdout:event_handler`: what the listener answers is written to our stdout, and accepts.
    SupervisorStdout,
}

/// What `[fcgi-program:x]` adds to a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FcgiSocket {
    pub address: FcgiAddress,
    /// `None`: the system's limit (SOMAXCONN).
    pub backlog: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FcgiAddress {
    Tcp { host: String, port: u16 },
    Unix { path: PathBuf, owner: Owner, mode: u32 },
}

/// One process: what a program section means for one `process_num`.
///
/// Two configurations are "unchanged" for `reread` exactly if these values are equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessConfig {
    /// The expanded `process_name`.
    pub name: Arc<str>,
    /// As expanded, not yet split into words: an unparsable command is an error of spawning, not of reading.
    pub command: String,
    pub priority: i64,
    pub autostart: bool,
    pub autorestart: Autorestart,
    pub startsecs: Duration,
    pub startretries: u32,
    pub exitcodes: Vec<u8>,
    pub stopsignal: Signal,
    /// What is sent after it, one after the other, each after another `stopwaitsecs`; usually nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopsignal_then: Vec<Signal>,
    pub stopwaitsecs: Duration,
    pub stopasgroup: bool,
    pub killasgroup: bool,
    pub user: Option<User>,
    pub umask: Option<u32>,
    /// As written; `~` is not expanded and nothing is checked before the program starts.
    pub directory: Option<PathBuf>,
    /// `[supervisord] environment` overlaid with the program's own.
    pub environment: BTreeMap<String, String>,
    /// `None`: the daemon's own (see `SUPERVISOR_SERVER_URL`).
    pub serverurl: Option<String>,
    pub redirect_stderr: bool,
    pub stdout: StreamConfig,
    pub stderr: StreamConfig,
    /// Only for `[fcgi-program:x]`.
    pub fcgi_socket: Option<FcgiSocket>,
    /// Listening sockets handed over by the LISTEN_FDS convention, in the order of their descriptors. Not in
    /// Supervisor.
    pub sockets: Vec<FcgiAddress>,
    /// Whether the daemon ends when this process ends for good. Not in Supervisor.
    pub essential: bool,
    /// The name of its section: `web` for every process of `[program:web]`.
    pub program: Arc<str>,
}

/// When a process that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Autorestart {
    Never,
    /// If its exit code is not in `exitcodes`.
    Unexpected,
    Always,
}

/// The `stdout_*` or `stderr_*` keys of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamConfig {
    pub logfile: ChildLog,
    /// Bytes; 0 never rotates.
    pub maxbytes: u64,
    pub backups: u32,
    /// Bytes; 0 switches capture mode off.
    pub capture_maxbytes: u64,
    pub events_enabled: bool,
    pub syslog: bool,
    /// Where the stream goes besides `logfile` and syslog. Not in Supervisor.
    pub more: Vec<LogTarget>,
    /// A time in front of every line. Not in Supervisor.
    pub timestamps: Timestamps,
    /// A text in front of every line, already expanded; empty for none. Not in Supervisor.
    pub prefix: String,
    /// Not in Supervisor.
    pub format: StreamFormat,
    /// What messages to syslog say. Not in Supervisor.
    #[serde(default, skip_serializing_if = "SyslogOptions::are_default")]
    pub syslog_options: SyslogOptions,
}

/// A second or later place for a stream; only the first one can be read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogTarget {
    File(PathBuf),
    /// A ring in the daemon's memory.
    Memory,
    /// A receiver of syslog messages on the network.
    Syslog(SyslogTarget),
}

/// The time in front of every logged line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Timestamps {
    #[default]
    Off,
    /// The format of the activity log: `2025-01-31 13:17:20,207`.
    Default,
    /// A format for strftime(3).
    Format(String),
}

/// How a stream's bytes are written to its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamFormat {
    /// The bytes as they come; prefix and time, if asked for, stand in front of whole lines.
    #[default]
    Raw,
    /// Whole lines with time, program and stream in front.
    Text,
    /// Whole lines, each as one JSON object.
    Json,
}

/// Where one stream of a program goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChildLog {
    None,
    /// A file in `childlogdir` whose name the daemon makes up when the group is added.
    Auto,
    /// Absolute, unless the file said otherwise. May be a device or a FIFO.
    File(PathBuf),
    /// A ring in the daemon's memory that can be read like a file. Not in Supervisor.
    Memory,
}
