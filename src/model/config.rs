//! The meaning of a configuration: every key with its value, defaults filled in.
//!
//! Only `config` makes these values; everybody else reads them. Keys keep their spelling. Nothing here records where a
//! value came from; `config::Document` does.

use crate::model::confinement::Confinement;
use crate::model::dependency::Dependencies;
use crate::model::probe::{HealthAction, HealthCheck, Probe, Readiness};
use crate::model::resources::Resources;
use crate::model::restart::RestartPolicy;
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
    /// `[supervisord]`: the daemon's own settings.
    pub supervisord: DaemonConfig,
    /// inet servers in file order, then unix servers, as they are to be opened.
    pub http_servers: Vec<HttpServerConfig>,
    /// The namespaces under which `[rpcinterface:NAME]` publishes the built-in `supervisor` methods, usually
    /// just `supervisor`. Empty: only `system.*` exists, because Python code was asked for.
    pub rpc_namespaces: Vec<String>,
    /// Ascending by (priority, name).
    pub groups: Vec<Arc<GroupConfig>>,
    /// Warnings and notes from reading it, the most severe first, for the activity log.
    pub messages: Vec<Message>,
    /// Included files that were left out because something in them is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedFile>,
    /// The programs, as members of groups. One that is in several groups is there several times.
    #[serde(default)]
    pub programs: Vec<Program>,
    /// What it was read from, so that it can be read again with other overrides though the files have changed.
    #[serde(default)]
    pub written: Written,
}

/// An included file that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedFile {
    /// Absolute.
    pub file: PathBuf,
    /// The line of the first thing that is wrong in it, counted from 1; `None` if it could not be read.
    pub line: Option<u32>,
    /// What is wrong there, in one line.
    pub text: String,
    /// The headers of its sections, without their brackets, as far as they can be seen.
    pub sections: Vec<String>,
}

/// `/etc/conf.d/a.conf:3: [program:a] startsecs: …`.
impl std::fmt::Display for SkippedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.text)
    }
}

/// A program as a member of a group, as the files say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The name of its section: `web` for `[program:web]`.
    pub name: Arc<str>,
    /// The group that its processes are in.
    pub group: Arc<str>,
    /// How many processes it has, whatever is laid over that.
    pub numprocs: u32,
    /// Whether its processes have different names, so that it can have several.
    pub is_numbered: bool,
}

/// The text that a configuration was read from. Two configurations are the same however they were written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Written(pub Arc<str>);

impl PartialEq for Written {
    fn eq(&self, _: &Written) -> bool {
        true
    }
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

/// The number of tries that means no limit. Each try waits a second longer than the one before, so the last one would
/// come after billions of years.
pub const NO_LIMIT: u32 = i32::MAX as u32;

/// A line for the activity log, kept until there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// How severe it is. The log drops it if `loglevel` is higher.
    pub level: Level,
    /// One line without the time and the level.
    pub text: String,
}

/// A level of the activity log, least severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Supervisor's most detailed level, number 3 in its `loggers.py`. The daemon writes nothing at it, but takes it as a
    /// `loglevel`.
    Blather,
    /// What is too much even for debugging, such as each request of HTTP. Number 5.
    Trace,
    /// What helps to find a mistake, such as the output of programs. Number 10.
    Debug,
    /// What an operator wants to know: starts, exits, changes of state. Number 20.
    Info,
    /// Something is probably not as it was meant. Number 30.
    Warn,
    /// Something failed, and the daemon goes on without it. Number 40.
    Error,
    /// The configuration asks for something that cannot be had. Number 50.
    Critical,
}

/// `[supervisord]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DaemonConfig {
    /// Where the activity log goes.
    pub logfile: ActivityLog,
    /// Bytes; 0 never rotates.
    pub logfile_maxbytes: u64,
    /// How many rotated activity logs are kept beside the current one.
    pub logfile_backups: u32,
    /// The least severe level that reaches the activity log.
    pub loglevel: Level,
    /// Absolute.
    pub pidfile: PathBuf,
    /// A file mode mask, at most 0o777.
    pub umask: u32,
    /// Whether the file or the command line gives a umask. If neither does, a daemon in the foreground keeps the umask it
    /// was started with. Only looked at when the daemon starts.
    #[serde(skip)]
    pub umask_is_given: bool,
    /// Whether the daemon stays in the foreground.
    pub nodaemon: bool,
    /// Whether a daemon in the foreground leaves out the copy of its activity log on stdout.
    pub silent: bool,
    /// The least number of descriptors that the daemon and its programs must be able to open (`RLIMIT_NOFILE`).
    pub minfds: u64,
    /// The least number of processes that the daemon's user must be able to run (`RLIMIT_NPROC`).
    pub minprocs: u64,
    /// Whether a start leaves the automatic logs of former runs where they are.
    pub nocleanup: bool,
    /// The directory of automatic logs, absolute. The default is the system's directory for temporary files.
    pub childlogdir: PathBuf,
    /// The user that a daemon started as root becomes. `None` stays who started it.
    pub user: Option<User>,
    /// The directory to change to on the way to the background, absolute. `None` stays where it is.
    pub directory: Option<PathBuf>,
    /// Whether terminal sequences are removed from the logs of programs.
    pub strip_ansi: bool,
    /// For programs only, in the order of their keys.
    pub environment: BTreeMap<String, String>,
    /// The name of this daemon for clients and listeners, and in the names of automatic logs.
    pub identifier: String,
    /// The name of this machine in the addresses and answers of REST. `None` is the host's. Not in Supervisor.
    #[serde(default)]
    pub nodename: Option<String>,
    /// How a line of the activity log is written. Not in Supervisor, which only writes text.
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
    /// How long the manager may take to react before the keeper replaces it; zero means no limit. Not in Supervisor.
    #[serde(default = "DaemonConfig::default_watchdog")]
    pub manager_watchdog: Duration,
    /// Where what people have changed outlives the daemon, absolute; `None`: nowhere. Not in Supervisor.
    #[serde(default)]
    pub state_file: Option<PathBuf>,
}

impl DaemonConfig {
    /// [`DaemonConfig::manager_watchdog`] in a snapshot of a release that did not have the key. A configuration without the
    /// key gets the schema's default.
    pub fn default_watchdog() -> Duration {
        Duration::from_secs(30)
    }
}

/// How a line of the activity log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFormat {
    /// `2025-01-31 13:17:20,207 INFO message`.
    Text,
    /// One JSON object.
    Json,
}

/// The condition under which the daemon shuts down by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitWhen {
    /// Only on a signal or a request.
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
    /// The local syslog, `logfile=syslog`.
    Syslog,
}

/// A user that was looked up when the file was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct User {
    /// The number of the user, as the list of users of this machine had it when the file was read.
    pub uid: u32,
    /// As written in the file: a name or a number.
    pub written: String,
    /// The group to run with instead of the user's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Where it was written, for messages of the process that read it: `/etc/x.conf:3: [program:x] user`.
    #[serde(skip)]
    pub place: Option<String>,
}

impl User {
    /// A user with the group of its own. `written` is how the file or the command line spelt it.
    pub fn new(uid: u32, written: &str) -> User {
        User { uid, written: written.to_string(), gid: None, place: None }
    }

    /// Whether it was given as a number. A number need not be in any list of users; a name that is in none any more
    /// means nobody.
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

/// Whom a socket file is given to; `None` leaves the user, or the group, as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The number of the user.
    pub uid: Option<u32>,
    /// The number of the group.
    pub gid: Option<u32>,
}

/// `[inet_http_server]`, `[unix_http_server]` and their numbered kin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpServerConfig {
    /// The section's name, for example `inet_http_server:two`.
    pub section: String,
    /// Where it listens.
    pub address: HttpAddress,
    /// Whom it lets in. `None`: everybody who can connect.
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

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpAddress {
    /// An empty host stands for all interfaces. IPv6 addresses stand here without brackets.
    Inet {
        /// A name or an address.
        host: String,
        /// From 1 to 65535.
        port: u16,
    },
    /// `file` is absolute.
    Unix {
        /// The path of the socket.
        file: PathBuf,
        /// Its permission bits, from `chmod`.
        chmod: u32,
        /// Its owner, from `chown`.
        chown: Owner,
    },
}

/// Whom a server lets in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The name that a client must send. An empty one does not mean that everybody is let in, as it does in Supervisor.
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
    /// The first half of its processes' namespecs.
    pub name: Arc<str>,
    /// Groups of lower numbers start first and stop last.
    pub priority: i64,
    /// From which kind of section it is.
    pub kind: GroupKind,
    /// Its processes, in the order in which they start.
    pub processes: Vec<Arc<ProcessConfig>>,
    /// The included files that it depends on.
    #[serde(default, skip_serializing_if = "SourceFiles::is_empty")]
    pub files: SourceFiles,
}

/// The included files that a group depends on, absolute. Any two are equal: where something was written does not matter to
/// the processes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SourceFiles(pub Vec<PathBuf>);

impl SourceFiles {
    /// Whether it stands in the main file alone.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for SourceFiles {
    fn eq(&self, _: &SourceFiles) -> bool {
        true
    }
}

/// What a group was made from.
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
    /// How many events wait while all listeners are busy. When one more comes, the oldest is dropped.
    pub buffer_size: usize,
    /// Names of event types, upper case, as written, without repetition.
    pub events: Vec<String>,
    /// How a listener's answer to an event is judged.
    pub result_handler: ResultHandler,
    /// In which unit an event's header announces its payload.
    pub payload_length: PayloadLength,
}

/// What the `len` field of an event's header counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PayloadLength {
    /// As Supervisor does: right for listeners that read text.
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
    /// Where it listens. The daemon makes it, and all processes of the group share it.
    pub address: FcgiAddress,
    /// `None`: the system's limit (SOMAXCONN).
    pub backlog: Option<u16>,
}

/// Where a socket listens that programs inherit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FcgiAddress {
    /// `tcp://host:port`.
    Tcp {
        /// A name or an address, in lower case. IPv6 addresses stand here without brackets.
        host: String,
        /// From 1 to 65535.
        port: u16,
    },
    /// `unix://` and a path.
    Unix {
        /// Absolute.
        path: PathBuf,
        /// From `socket_owner`; else the program's user, if it is another one than the daemon's.
        owner: Owner,
        /// Its permission bits, from `socket_mode`.
        mode: u32,
    },
}

impl FcgiAddress {
    /// Whether two configurations ask for the same socket, whoever may use it.
    pub fn is_same_place(&self, other: &FcgiAddress) -> bool {
        match (self, other) {
            (FcgiAddress::Unix { path, .. }, FcgiAddress::Unix { path: other, .. }) => path == other,
            _ => self == other,
        }
    }
}

/// Whom stop signals and SIGKILL reach (`stop_scope`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopScope {
    /// The process alone.
    #[default]
    Process,
    /// Its process group.
    Group,
    /// All that it has started, and what that has started.
    Tree,
    /// Everybody in its control group.
    Cgroup,
}

impl StopScope {
    /// All of them, with the words of the configuration.
    pub const WORDS: [(&'static str, StopScope); 4] = [
        ("process", StopScope::Process),
        ("group", StopScope::Group),
        ("tree", StopScope::Tree),
        ("cgroup", StopScope::Cgroup),
    ];

    /// The word of the configuration.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, scope)| *scope == self).map_or("", |(word, _)| word)
    }

    /// Whether it reaches further than a process group.
    pub fn is_wide(self) -> bool {
        matches!(self, StopScope::Tree | StopScope::Cgroup)
    }

    fn is_default(&self) -> bool {
        *self == StopScope::default()
    }
}

/// The keys `memory_limit` and `memory_action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryLimit {
    /// How much a program and all that it has started may use together.
    pub bytes: u64,
    /// What follows if it is more, twice in a row. Never [`HealthAction::None`].
    pub action: HealthAction,
}

impl ProcessConfig {
    /// Whom SIGKILL reaches, and stop signals unless `stopasgroup` is off.
    pub fn scope(&self) -> StopScope {
        match self.stop_scope {
            wide if wide.is_wide() => wide,
            _ if self.killasgroup => StopScope::Group,
            _ => StopScope::Process,
        }
    }
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
    /// Within a `[group:x]`, lower numbers start first and stop last.
    pub priority: i64,
    /// Whether it starts with the daemon, and with its group when that is added.
    pub autostart: bool,
    /// Whether that depends on whether it was wanted up before (`autostart=last`). Only if `autostart` is set. Not in
    /// Supervisor.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub autostart_last: bool,
    /// Whether it starts again after it ended.
    pub autorestart: Autorestart,
    /// How long it must stay up to count as RUNNING. Zero: it is RUNNING at once.
    pub startsecs: Duration,
    /// How many failed starts in a row are followed by another one. After those it is FATAL. [`NO_LIMIT`] is for any
    /// number.
    pub startretries: u32,
    /// The exit codes that are expected, for [`Autorestart::Unexpected`] and for the event of its end.
    pub exitcodes: Vec<u8>,
    /// The signal that asks it to stop.
    pub stopsignal: Signal,
    /// The signals that follow `stopsignal` one by one, each after another `stopwaitsecs`; usually none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopsignal_then: Vec<Signal>,
    /// How long it may take to stop. Then SIGKILL follows, or the next signal of `stopsignal_then`.
    pub stopwaitsecs: Duration,
    /// Whether stop signals go to its whole process group.
    pub stopasgroup: bool,
    /// Whether SIGKILL goes to its whole process group. Always true if `stopasgroup` is.
    pub killasgroup: bool,
    /// Who counts as its process group for the two above: [`StopScope::Tree`] or [`StopScope::Cgroup`], or the group itself
    /// if it is any other. Not in Supervisor.
    #[serde(default, skip_serializing_if = "StopScope::is_default")]
    pub stop_scope: StopScope,
    /// The user it runs as. `None` is the daemon's.
    pub user: Option<User>,
    /// Its file mode mask, at most 0o777. `None` is that of the daemon.
    pub umask: Option<u32>,
    /// As written; `~` is not expanded and nothing is checked before the program starts.
    pub directory: Option<PathBuf>,
    /// `[supervisord] environment` overlaid with the program's own.
    pub environment: BTreeMap<String, String>,
    /// `None`: the daemon's own (see `SUPERVISOR_SERVER_URL`).
    pub serverurl: Option<String>,
    /// Whether its stderr goes where its stdout goes. Then `stderr` has no log.
    pub redirect_stderr: bool,
    /// What becomes of its standard output.
    pub stdout: StreamConfig,
    /// What becomes of its standard error.
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
    /// Whether it is a job that ends, rather than a service. Not in Supervisor, as everything below.
    #[serde(default, rename = "type", skip_serializing_if = "ProgramType::is_default")]
    pub kind: ProgramType,
    /// How long it may run. `None`: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_runtime: Option<Duration>,
    /// How soon, and how often, it is started again by itself.
    #[serde(default, skip_serializing_if = "RestartPolicy::is_default")]
    pub restart: RestartPolicy,
    /// What it waits for before it starts.
    #[serde(default, skip_serializing_if = "Dependencies::is_default")]
    pub dependencies: Dependencies,
    /// When it is ready. `None`: once it has stayed up for `startsecs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Box<Readiness>>,
    /// How much memory it may use. `None`: nobody looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<MemoryLimit>,
    /// How its health is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<Box<HealthCheck>>,
    /// How long it may be silent on the notify socket. `None`: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchdog: Option<Duration>,
    /// What it may use, and how the kernel ranks it.
    #[serde(default, skip_serializing_if = "Resources::are_default")]
    pub resources: Resources,
    /// What the kernel keeps it from.
    #[serde(default, skip_serializing_if = "Confinement::is_default")]
    pub confinement: Box<Confinement>,
    /// Where else its environment comes from.
    #[serde(default, skip_serializing_if = "EnvironmentSources::are_default")]
    pub environment_sources: EnvironmentSources,
    /// The files of which it gets a copy at each start, by ascending name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<Credential>,
    /// The groups it is in besides those of its user, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supplementary_groups: Vec<u32>,
    /// Whether it gets a notify socket though no other key needs it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub notify: bool,
}

impl ProcessConfig {
    /// Whether it gets a notify socket.
    pub fn wants_notify_socket(&self) -> bool {
        let by_readiness = self.readiness.as_ref().is_some_and(|readiness| readiness.ready == Probe::Notify);
        self.notify || self.watchdog.is_some() || by_readiness
    }

    /// Whether a line of its output says that it is ready.
    pub fn is_ready_by_log(&self) -> bool {
        self.readiness.as_ref().is_some_and(|readiness| matches!(readiness.ready, Probe::Log(_)))
    }

    /// Whether it gets a control group of its own.
    pub fn wants_cgroup(&self) -> bool {
        !self.resources.cgroup.are_default() || self.stop_scope == StopScope::Cgroup
    }

    /// Whether it is a job: STARTING while it runs, EXITED after a good end.
    pub fn is_oneshot(&self) -> bool {
        self.kind == ProgramType::Oneshot
    }
}

/// What a program's environment is made of besides `environment`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentSources {
    /// Files that are read at each start, the later ones over the earlier.
    pub environment_file: Vec<EnvironmentFile>,
    /// The variables in `environment` that are only those of `[supervisord]`, which lies below the files. Empty if
    /// there are no files.
    pub below_files: Vec<String>,
    /// What it gets of the daemon's own environment.
    pub environment_inherit: Inherit,
    /// Whether it gets what belongs to its user: HOME, USER, LOGNAME, SHELL.
    pub user_environment: bool,
}

impl EnvironmentSources {
    fn are_default(&self) -> bool {
        *self == EnvironmentSources::default()
    }
}

/// One file of `environment_file`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentFile {
    /// Absolute.
    pub path: PathBuf,
    /// Whether the program starts without it.
    pub may_be_missing: bool,
}

/// One `credential.NAME`: a file with something secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The name of the copy.
    pub name: String,
    /// Absolute.
    pub path: PathBuf,
    /// Whether the program starts without it.
    pub may_be_missing: bool,
}

/// What a program gets of the daemon's own environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inherit {
    /// Everything, as in Supervisor.
    #[default]
    All,
    /// Nothing.
    None,
    /// What has one of these names, in which `*` stands for anything.
    Some(Vec<String>),
}

impl Inherit {
    /// Whether a variable of this name is among it.
    pub fn lets_through(&self, name: &str) -> bool {
        match self {
            Inherit::All => true,
            Inherit::None => false,
            Inherit::Some(patterns) => patterns.iter().any(|pattern| matches(pattern, name)),
        }
    }
}

/// Whether a name is what a pattern means.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(begin) else { return false };
    let parts: Vec<&str> = rest.split('*').collect();
    let Some((last, between)) = parts.split_last() else { return true };
    for part in between {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

/// What a program is: `type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProgramType {
    /// A service, which is up as long as it runs.
    #[default]
    Simple,
    /// A job, which is done when it has ended.
    Oneshot,
}

impl ProgramType {
    fn is_default(&self) -> bool {
        *self == ProgramType::Simple
    }
}

/// When a process that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Autorestart {
    /// It stays EXITED, however it ended.
    Never,
    /// If its exit code is not in `exitcodes`.
    Unexpected,
    /// However it ended.
    Always,
}

/// The `stdout_*` or `stderr_*` keys of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamConfig {
    /// The first place the stream goes to. Clients read the log back from here.
    pub logfile: ChildLog,
    /// Bytes; 0 never rotates.
    pub maxbytes: u64,
    /// How many rotated logs are kept beside the current one. 0: a full log is emptied.
    pub backups: u32,
    /// Bytes; 0 switches capture mode off.
    pub capture_maxbytes: u64,
    /// Whether what is read from the stream becomes `PROCESS_LOG` events.
    pub events_enabled: bool,
    /// Whether each line also goes to the local syslog.
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

/// A second or later place that a stream goes to. Clients can read back the first one only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogTarget {
    /// As for [`ChildLog::File`].
    File(PathBuf),
    /// As for [`ChildLog::Memory`].
    Memory,
    /// A receiver of syslog messages on the network.
    Syslog(SyslogTarget),
}

/// The time in front of every logged line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Timestamps {
    /// Lines are left as they are.
    Off,
    /// The format of the activity log: `2025-01-31 13:17:20,207`.
    Default,
    /// A format for strftime(3).
    Format(String),
}

/// How a stream's bytes are written to its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamFormat {
    /// The bytes as they come; prefix and time, if asked for, stand in front of whole lines.
    Raw,
    /// Whole lines with time, program and stream in front.
    Text,
    /// Whole lines, each as one JSON object.
    Json,
}

/// Where one stream of a program goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChildLog {
    /// Nowhere: the stream is read and thrown away, unless it goes to syslog.
    None,
    /// A file in `childlogdir` whose name the daemon makes up when the group is added.
    Auto,
    /// Absolute, unless the file said otherwise. May be a device or a FIFO.
    File(PathBuf),
    /// A ring buffer in the daemon's memory, which clients read like a file. Not in Supervisor.
    Memory,
}
