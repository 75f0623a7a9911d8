//! The table of all sections and keys: names, defaults, and a line of help. The sample, the check for unknown keys and
//! the dump all read this table, so that none of them can forget a key.

use crate::config::aliases;
use crate::config::values::Parsed;
use rustc_hash::FxBuildHasher;
use std::collections::HashMap;
use std::sync::LazyLock;

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    pub name: &'static str,
    /// As it would be written; `None` if a missing key means something no value can say.
    pub default: Option<&'static str>,
    /// What to write into a sample if that is not the default.
    pub example: Option<&'static str>,
    pub help: &'static str,
    /// Whether Supervisor does not know it.
    pub new: bool,
}

/// One kind of section.
#[derive(Debug)]
pub(crate) struct Kind {
    /// What its header begins with: the whole name, or up to and with the colon.
    pub prefix: &'static str,
    /// The name in a sample, without what `prefix` says already.
    pub example: &'static str,
    pub help: &'static str,
    pub keys: &'static [&'static [Key]],
    /// Keys that may stand there, too, and hold for programs: for members, or for all that have none of their own.
    pub for_programs: &'static [&'static [Key]],
    /// Whether any key may stand there, because it is handed to somebody else.
    pub open: bool,
}

impl Kind {
    /// All keys, in the order of the manual.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().copied().flatten()
    }

    /// All keys that may stand there, those that hold for programs after those of the section itself.
    pub(crate) fn all_keys(&self) -> impl Iterator<Item = &'static Key> {
        self.keys().chain(self.for_programs.iter().copied().flatten())
    }

    /// Whether `section` is of this kind.
    fn is_kind_of(&self, section: &str) -> bool {
        match self.prefix {
            // Supervisor takes whatever begins like a server for one.
            "unix_http_server" | "inet_http_server" => section.starts_with(self.prefix),
            prefix if prefix.ends_with(':') => section.starts_with(prefix),
            "program-defaults" => section == self.prefix || section == DEFAULTS_OF_RELATIVES,
            name => section == name,
        }
    }
}

/// The kind of a section, if it is a known one.
pub(crate) fn kind(section: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.is_kind_of(section))
}

/// The name of `[program-defaults]` in files of relatives.
pub(crate) const DEFAULTS_OF_RELATIVES: &str = "program-default";

/// What stands in front of a name in the keys that give a program its credentials.
pub(crate) const CREDENTIAL: &str = "credential.";

/// All keys of that kind together.
pub(crate) const CREDENTIALS_KEY: &str = "credential.NAME";

impl Key {
    /// Whether a key that was written is this one: by its name, or by one that stands for any.
    pub(crate) fn is(&self, written: &str) -> bool {
        self.name == written || (self.is_of_many() && written.starts_with(CREDENTIAL))
    }

    /// Whether a section may have several of it, each with a name of its own.
    pub(crate) fn is_of_many(&self) -> bool {
        self.name.starts_with(CREDENTIAL)
    }
}

/// Whether a key of this table, such as `credential.NAME`, is the one that was written.
pub(crate) fn same_key(name: &str, written: &str) -> bool {
    name == written || (name.starts_with(CREDENTIAL) && written.starts_with(CREDENTIAL))
}

/// Whether a section of this name may have this key.
pub(crate) fn knows(section: &str, key: &str) -> bool {
    kind(section).is_some_and(|kind| kind.open || kind.all_keys().any(|known| known.is(key)))
}

/// Whether a key of this section holds for programs, and not for the section itself.
pub(crate) fn is_for_programs(section: &str, key: &str) -> bool {
    let kind = kind(section).filter(|kind| !kind.for_programs.is_empty());
    kind.is_some_and(|kind| {
        !kind.keys().any(|own| own.is(key))
            && kind.for_programs.iter().copied().flatten().any(|known| known.is(key))
    })
}

/// What a key means where it is missing, as it would be written; `None` if no value says that.
pub(crate) fn default(section: &str, key: &str) -> Option<&'static str> {
    *defaults(section)?.get(key)?
}

/// The defaults of the keys of a section.
pub(crate) type Defaults = HashMap<&'static str, Option<&'static str>, FxBuildHasher>;

/// What [`default`] says of all keys of a section that is of a known kind. Each section asks for a hundred of them.
pub(crate) fn defaults(section: &str) -> Option<&'static Defaults> {
    static BY_KIND: LazyLock<Vec<Defaults>> = LazyLock::new(|| {
        let of_kind = |kind: &'static Kind| kind.keys().map(|key| (key.name, key.default)).collect();
        KINDS.iter().map(of_kind).collect()
    });
    BY_KIND.get(KINDS.iter().position(|kind| kind.is_kind_of(section))?)
}

/// Whether a `%` that begins no form stays as it is in the values of a key: in commands, what may hold one, and parts.
pub(super) fn keeps_percents(key: &str) -> bool {
    ["command", "ready", "health", "restart_jitter", "cpu_max"].contains(&key)
}

/// The priority of a program, and of the group that it makes, if its section gives none.
pub(super) const PROGRAM_PRIORITY: i64 = 999;

/// The priority of a pool of listeners if its section gives none: they come up first and go down last. Each of its
/// processes has [`PROGRAM_PRIORITY`], so no single value is the default of the key.
pub(super) const POOL_PRIORITY: i64 = -1;

/// The daemon's umask if nothing gives one. No value is the default of the key, because a daemon in the foreground then
/// keeps the umask that it was started with.
pub(super) const DAEMON_UMASK: u32 = 0o22;

const fn key(name: &'static str, default: &'static str, help: &'static str) -> Key {
    Key { name, default: Some(default), example: None, help, new: false }
}

/// A key without a default; `example` stands in the sample.
const fn optional(name: &'static str, example: &'static str, help: &'static str) -> Key {
    Key { name, default: None, example: Some(example), help, new: false }
}

const fn new(key: Key) -> Key {
    Key { new: true, ..key }
}

/// A key by the name that relatives of Supervisor have for it.
#[derive(Debug)]
pub(crate) struct Alias {
    pub name: &'static str,
    /// The name in this table.
    pub key: &'static str,
    /// Makes a value of the key out of one of the alias, both as written.
    pub value: fn(&str) -> Parsed<String>,
}

const fn alias(name: &'static str, key: &'static str, value: fn(&str) -> Parsed<String>) -> Alias {
    Alias { name, key, value }
}

/// In any section that may have the key. If both names are there, the key counts.
pub(crate) const ALIASES: [Alias; 9] = [
    alias("envfiles", "environment_file", aliases::files_that_may_be_missing),
    alias("restartpause", "restart_delay", aliases::same),
    alias("dependent_startup_wait_for", "depends_on", aliases::list_of_words),
    alias("liveness_check_script", "health", aliases::probe),
    alias("liveness_check_initial_delay", "health_start_period", aliases::same),
    alias("liveness_check_period", "health_interval", aliases::same),
    alias("liveness_check_timeout", "health_timeout", aliases::same),
    alias("liveness_check_failure_threshold", "health_retries", aliases::same),
    alias("liveness_check_failure_action", "health_action", aliases::health_action),
];

/// The keys of programs that `update` applies to a process as it runs. A change of any other key restarts it.
const LIVE: [&str; 40] = [
    "priority",
    "autostart",
    "autorestart",
    "startsecs",
    "startretries",
    "exitcodes",
    "stopsignal",
    "stopwaitsecs",
    "stopasgroup",
    "killasgroup",
    "stop_scope",
    "essential",
    "max_runtime",
    "restart_delay",
    "restart_backoff",
    "restart_delay_max",
    "restart_jitter",
    "restart_reset",
    "restart_limit",
    "stay_down_exitcodes",
    "retry_fatal_after",
    "depends_on",
    "dependency_timeout",
    "depends_restart",
    "ready",
    "ready_interval",
    "ready_timeout",
    "health",
    "health_interval",
    "health_timeout",
    "health_retries",
    "health_start_period",
    "health_action",
    "memory_limit",
    "memory_action",
    "watchdog",
    "stdout_logfile_maxbytes",
    "stdout_logfile_backups",
    "stderr_logfile_maxbytes",
    "stderr_logfile_backups",
];

/// Whether `update` applies a change of this key to a process as it runs.
pub(crate) fn is_live(key: &str) -> bool {
    LIVE.contains(&key)
}

/// The alias with this name.
pub(crate) fn alias_named(name: &str) -> Option<&'static Alias> {
    ALIASES.iter().find(|alias| alias.name == name)
}

/// The other names of a key.
pub(crate) fn aliases_of(key: &str) -> impl Iterator<Item = &'static str> {
    ALIASES.iter().filter(move |alias| alias.key == key).map(|alias| alias.name)
}

/// In the order in which a sample shows them.
pub(crate) const KINDS: [Kind; 13] = [
    Kind {
        prefix: "unix_http_server",
        example: "",
        help: "A server on a socket file, for clients on this machine.",
        keys: &[UNIX_SERVER, CREDENTIALS],
        for_programs: &[],
        open: false,
    },
    Kind {
        prefix: "inet_http_server",
        example: "",
        help: "A server on a TCP port, for the web page and for clients on other machines. Without a password, \
               anyone who can reach it controls every program.",
        keys: &[INET_SERVER, CREDENTIALS],
        for_programs: &[],
        open: false,
    },
    Kind {
        prefix: "supervisord",
        example: "",
        help: "The daemon itself.",
        keys: &[SUPERVISORD],
        for_programs: &[],
        open: false,
    },
    Kind {
        prefix: "rpcinterface:",
        example: "supervisor",
        help: "The methods that clients call. Only the built-in ones can be named here. They are also there without \
               this section.",
        keys: &[RPC_INTERFACE],
        for_programs: &[],
        open: true,
    },
    Kind {
        prefix: "supervisorctl",
        example: "",
        help: "The client. It looks for this section in included files only if this file has none.",
        keys: &[SUPERVISORCTL],
        for_programs: &[],
        open: false,
    },
    Kind {
        prefix: "ctlplugin:",
        example: "x",
        help: "Plug-ins of the client.",
        keys: &[CTL_PLUGIN],
        for_programs: &[],
        open: true,
    },
    Kind {
        prefix: "program:",
        example: "theprogramname",
        help: "A program to run. %(program_name)s, %(process_num)d, %(group_name)s, %(here)s, %(host_node_name)s and \
               %(ENV_X)s are expanded in most values; write %% for a percent sign.",
        keys: OF_PROGRAMS,
        for_programs: &[],
        open: false,
    },
    Kind {
        prefix: "eventlistener:",
        example: "theeventlistenername",
        help: "A program that receives events on its stdin and answers on its stdout. It takes all keys of a program.",
        keys: &[LISTENER, PROGRAM, PRIORITY, PROGRAM_FURTHER, INHERIT, LIFE, STREAMS, PROGRAM_END],
        for_programs: &[],
        open: false,
    },
    Kind {
        prefix: "fcgi-program:",
        example: "thefcgiprogramname",
        help: "A program that serves FastCGI on a socket that its processes share. It takes all keys of a program.",
        keys: &[FCGI, PROGRAM, PRIORITY, PROGRAM_FURTHER, INHERIT, LIFE, STREAMS, PROGRAM_END],
        for_programs: &[],
        open: false,
    },
    Kind {
        prefix: "group:",
        example: "thegroupname",
        help: "Programs that are started and stopped under one name. It takes the keys of a program, too: they hold for \
               members that do not have them.",
        keys: &[GROUP],
        for_programs: OF_PROGRAMS,
        open: false,
    },
    Kind {
        prefix: "program-defaults",
        example: "",
        help: "Keys of a program for all programs, FastCGI programs and event listeners that do not have them. Supervisor \
               does not know this section.",
        keys: &[],
        for_programs: &[PROGRAM, PRIORITY, PROGRAM_FURTHER, LIFE, STREAMS, PROGRAM_END],
        open: false,
    },
    Kind {
        prefix: "program-defaults:",
        example: "thename",
        help: "The same for programs whose inherit names it. It may itself inherit others. Supervisor does not know this \
               section.",
        keys: &[],
        for_programs: OF_PROGRAMS,
        open: false,
    },
    Kind {
        prefix: "include",
        example: "",
        help: "More files, read after this one. Their settings override those of this file. They can include others.",
        keys: &[INCLUDE],
        for_programs: &[],
        open: false,
    },
];

/// All keys of a program.
const OF_PROGRAMS: &[&[Key]] = &[PROGRAM, PRIORITY, PROGRAM_FURTHER, INHERIT, LIFE, STREAMS, PROGRAM_END];

const UNIX_SERVER: &[Key] = &[
    optional("file", "/tmp/supervisor.sock", "the path of the socket"),
    key("chmod", "0700", "its mode (octal)"),
    optional("chown", "nobody:nogroup", "its owner, user or user:group"),
];

const INET_SERVER: &[Key] = &[
    optional("port", "127.0.0.1:9001", "ip_address:port; *:port for all interfaces"),
    new(optional("nodename", "web-1", "as in [supervisord], which counts if it has one, too")),
];

const CREDENTIALS: &[Key] = &[
    optional("username", "user", "if missing, everybody is let in"),
    optional("password", "123", "plain, {SHA} and a hexadecimal SHA-1, or {BCRYPT} and a bcrypt hash"),
    new(key("legacy_get_actions", "false", "let links to index.html?action=... act without asking")),
    new(Key {
        default: Some(""),
        ..optional(
            "allowed_hosts",
            "ops.example.com, *.lan",
            "host names under which browsers may use a server without a password, besides addresses, localhost and \
             this machine's",
        )
    }),
];

const SUPERVISORD: &[Key] = &[
    key("logfile", "supervisord.log", "the activity log; or syslog"),
    key("logfile_maxbytes", "50MB", "size at which it is rotated; 0 never"),
    key("logfile_backups", "10", "number of old logs that are kept"),
    key("loglevel", "info", "critical, error, warn, info, debug, trace, blather"),
    new(key("log_format", "text", "text, or json: one object a line")),
    key("pidfile", "supervisord.pid", "file that holds the daemon's pid"),
    key("nodaemon", "false", "stay in the foreground"),
    key("silent", "false", "no copy of the log on stdout in the foreground"),
    key("minfds", "1024", "number of file descriptors that must be available at start"),
    key("minprocs", "200", "number of processes that must be available at start"),
    // See `DAEMON_UMASK`.
    optional("umask", "022", "the daemon's umask (octal)"),
    optional("user", "nobody", "user to run as when started as root"),
    key("identifier", "supervisor", "name of this daemon for clients and listeners"),
    new(optional(
        "nodename",
        "web-1",
        "name of this machine in the addresses and answers of REST; the host's if missing, or that of [inet_http_server]",
    )),
    optional("directory", "/tmp", "directory to change to when going to the background"),
    key("nocleanup", "false", "keep automatic logs of former runs"),
    optional(
        "childlogdir",
        "/tmp",
        "directory of automatic logs; if missing, the system's directory for temporary files",
    ),
    key("environment", "", "KEY=\"value\",KEY2=\"value2\" for all programs"),
    key("strip_ansi", "false", "remove terminal sequences from the logs of programs"),
    new(key(
        "exit_when",
        "never",
        "never, any_fatal, any_exit, all_exited, or the name of a process: when it ends for good, so does the \
         daemon, with the same exit status",
    )),
    new(optional(
        "processinfomapfile",
        "%(here)s/processes.map",
        "table of live programs, from which the next start takes over those that outlived their keeper; if missing \
         and exitkillall=false, a file beside the pidfile",
    )),
    new(key(
        "startkillall",
        "true",
        "end programs of a former run that are still alive (false: take them over)",
    )),
    new(key(
        "exitkillall",
        "true",
        "stop all programs at exit (false: leave them running with their keeper)",
    )),
    new(key(
        "manager_watchdog_secs",
        "30",
        "seconds after which a manager that does not react is replaced; 0 never",
    )),
    new(optional(
        "state_file",
        "%(here)s/state.json",
        "file in which what scale --save, enable and disable have changed outlives the daemon, and what \
         autostart=last needs",
    )),
];

const RPC_INTERFACE: &[Key] = &[optional(
    "supervisor.rpcinterface_factory",
    "supervisor.rpcinterface:make_main_rpcinterface",
    "the built-in methods; no other can be loaded",
)];

const SUPERVISORCTL: &[Key] = &[
    Key {
        name: "serverurl",
        default: Some("http://localhost:9001"),
        example: Some("unix:///tmp/supervisor.sock"),
        help: "unix:///path or http://host:port",
        new: false,
    },
    optional("username", "user", "as in the server's section"),
    optional("password", "123", "as in the server's section, but never a hash"),
    key("prompt", "supervisor", "text of the shell's prompt"),
    optional("history_file", "~/.sc_history", "where the shell keeps its history"),
];

const CTL_PLUGIN: &[Key] =
    &[optional("supervisor.ctl_factory", "module:factory", "Python code: cannot be loaded")];

const INCLUDE: &[Key] = &[
    optional(
        "files",
        "conf.d/*.conf",
        "patterns, or directories with *.conf and *.ini, separated by blanks, relative to this file's directory",
    ),
    new(key(
        "include_errors",
        "fail",
        "what follows from an error in an included file: fail, or skip, which leaves the file out and its programs as \
         they are",
    )),
];

const GROUP: &[Key] = &[
    optional(
        "programs",
        "theprogramname,thefcgiprogramname",
        "names of [program:x] or [fcgi-program:x] sections",
    ),
    key("priority", "999", "lower numbers start first and stop last"),
];

const LISTENER: &[Key] = &[
    optional("events", "PROCESS_STATE", "event types, separated by commas"),
    key("buffer_size", "10", "number of events that wait while all listeners are busy"),
    key("result_handler", "supervisor.dispatchers:default_handler", "or supervisor_stdout:event_handler"),
    new(key("payload_length", "characters", "what the len field counts: characters or bytes")),
];

const FCGI: &[Key] = &[
    optional("socket", "unix:///tmp/app.sock", "or tcp://host:port"),
    optional("socket_backlog", "1024", "number of waiting connections; the system's limit if missing"),
];

const PROGRAM: &[Key] = &[
    optional("command", "/bin/cat", "the program and its arguments; no shell"),
    key("process_name", "%(program_name)s", "name of each process"),
    key("numprocs", "1", "number of processes"),
    key("numprocs_start", "0", "first process_num"),
    optional("directory", "/tmp", "directory to run in"),
    optional("umask", "022", "umask of the process (octal)"),
];

/// A group has a key of this name, which holds for itself.
const PRIORITY: &[Key] = &[
    // See `POOL_PRIORITY`.
    Key {
        name: "priority",
        default: None,
        example: Some("999"),
        help: "lower numbers start first and stop last; 999 if missing, -1 for pools of listeners",
        new: false,
    },
];

const PROGRAM_FURTHER: &[Key] = &[
    key(
        "autostart",
        "true",
        "start together with the daemon: true, false, or last: unless somebody had stopped it",
    ),
    key("autorestart", "unexpected", "restart when it ends: true, false or unexpected"),
    key("startsecs", "1", "seconds it must stay up to count as started"),
    key("startretries", "3", "failed starts in a row before giving up; -1 never"),
    key("exitcodes", "0", "expected exit codes, separated by commas"),
    key("stopsignal", "TERM", "signal that asks it to stop, or several: each after another stopwaitsecs"),
    key("stopwaitsecs", "10", "seconds before it is killed"),
    key("stopasgroup", "false", "send the stop signal to its process group"),
    optional("killasgroup", "false", "kill its process group; as stopasgroup if missing"),
    optional("user", "nobody", "user to run as: a name, or any number"),
    key("redirect_stderr", "false", "send stderr where stdout goes"),
];

const INHERIT: &[Key] = &[new(optional(
    "inherit",
    "web",
    "takes what it lacks from [program-defaults:web]; of several, separated by commas, the first counts",
))];

/// How a program comes up, goes down and comes back.
const LIFE: &[Key] = &[
    new(optional(
        "stop_scope",
        "tree",
        "whom stop and kill reach: process, group, tree, cgroup; by stopasgroup and killasgroup if missing",
    )),
    new(key("type", "simple", "simple, or oneshot: a job that is done when it has ended")),
    new(key("max_runtime", "0", "time after which it is stopped, and has failed; 0 never")),
    new(key("restart_delay", "0", "least pause before an automatic start")),
    new(key(
        "restart_backoff",
        "linear",
        "growth of that pause with failures in a row: linear, exponential, fixed",
    )),
    new(optional(
        "restart_delay_max",
        "60s",
        "longest such pause; 60s for exponential and none else if missing",
    )),
    new(key("restart_jitter", "0%", "random part by which a pause is lengthened at most")),
    new(key("restart_reset", "0", "time it must run until failures are forgotten; 0: until it is RUNNING")),
    new(optional("restart_limit", "5/60s", "automatic starts in a time; one more makes it FATAL")),
    new(key("stay_down_exitcodes", "", "exit codes that no automatic start follows")),
    new(key("retry_fatal_after", "0", "time after which a FATAL process is tried again; 0 never")),
    new(key(
        "depends_on",
        "",
        "what it waits for: db, cache:healthy, migrate:done; with ? if it can do without",
    )),
    new(key("dependency_timeout", "0", "longest wait for that; 0 none")),
    new(key("depends_restart", "none", "what it does when that stops or restarts: none, restart, stop")),
    new(optional("ready", "tcp:8080", "how to find out that it is ready; startsecs counts if missing")),
    new(key("ready_interval", "1s", "pause between two tries of ready")),
    new(key("ready_timeout", "60s", "time until it must be ready")),
    new(optional(
        "health",
        "http://localhost:8080/health",
        "how to find out that it is well while it is RUNNING",
    )),
    new(key("health_interval", "10s", "pause between two tries of health")),
    new(key("health_timeout", "3s", "time that one try may take")),
    new(key("health_retries", "3", "failures in a row that mean it is not well")),
    new(key("health_start_period", "0", "time from RUNNING to the first try")),
    new(key("health_action", "restart", "what follows then: restart, stop, none, or signal:NAME")),
    new(optional(
        "memory_limit",
        "512MB",
        "memory that it and all it has started may use together; no limit if missing",
    )),
    new(key("memory_action", "restart", "what follows more than that: restart, stop, or signal:NAME")),
    new(key("watchdog", "0", "longest time without WATCHDOG=1 on the notify socket; 0 none")),
    new(key("notify", "false", "give it a notify socket, sd_notify(3), for its status")),
];

const STREAMS: &[Key] = &[
    key(
        "stdout_logfile",
        "AUTO",
        "a path, AUTO, NONE; also memory, syslog @[udp|tcp:]host[:port], or several separated by commas",
    ),
    key("stdout_logfile_maxbytes", "50MB", "size at which it is rotated; 0 never"),
    key("stdout_logfile_backups", "10", "number of old logs that are kept; 0 none"),
    key("stdout_capture_maxbytes", "0", "bytes of captured output; 0 captures nothing"),
    key("stdout_events_enabled", "false", "emit an event for what is written"),
    key("stdout_syslog", "false", "also write to syslog"),
    new(key("stdout_logfile_timestamps", "false", "start each line with the time: true, or a format")),
    new(key("stdout_logfile_prefix", "", "start each line with a text, such as %(program_name)s")),
    new(key("stdout_logfile_format", "raw", "raw, text, or json: one object a line")),
    key("stderr_logfile", "AUTO", "as for stdout"),
    key("stderr_logfile_maxbytes", "50MB", "as for stdout"),
    key("stderr_logfile_backups", "10", "as for stdout"),
    key("stderr_capture_maxbytes", "0", "as for stdout"),
    key("stderr_events_enabled", "false", "as for stdout"),
    key("stderr_syslog", "false", "as for stdout"),
    new(key("stderr_logfile_timestamps", "false", "as for stdout")),
    new(key("stderr_logfile_prefix", "", "as for stdout")),
    new(key("stderr_logfile_format", "raw", "as for stdout")),
    // Missing, messages to the local syslog stay as Supervisor sends them: facility USER, priority INFO.
    new(optional(
        "syslog_facility",
        "LOCAL0",
        "facility of messages to syslog; LOCAL0 on the network if missing",
    )),
    new(optional(
        "syslog_tag",
        "%(program_name)s",
        "name of the program in these messages; on the network its own name if missing",
    )),
    new(optional("syslog_stdout_priority", "NOTICE", "EMERG to DEBUG; NOTICE on the network if missing")),
    new(optional("syslog_stderr_priority", "NOTICE", "as for stdout")),
];

const PROGRAM_END: &[Key] = &[
    key("environment", "", "KEY=\"value\",KEY2=\"value2\" over that of [supervisord]"),
    new(Key {
        default: Some(""),
        ..optional(
            "environment_file",
            "/etc/app.env, -/etc/app.local.env",
            "files of KEY=value lines, read at each start; below environment; one behind a - may be missing",
        )
    }),
    new(key(
        "environment_inherit",
        "all",
        "what of the daemon's own environment it gets: all, none, or names and patterns separated by commas",
    )),
    new(key("user_environment", "false", "set HOME, USER, LOGNAME and SHELL to those of user")),
    new(optional(
        CREDENTIALS_KEY,
        "/etc/app/password",
        "file that is copied at each start to NAME in the private directory $CREDENTIALS_DIRECTORY; one behind a - may be \
         missing",
    )),
    new(Key {
        default: Some(""),
        ..optional("supplementary_groups", "adm, 1234", "groups it is in besides those of its user")
    }),
    new(optional("limit_as", "1GB", "addresses it may use: a number, or soft:hard; unlimited is one, too")),
    new(optional("limit_core", "unlimited", "size of a core dump")),
    new(optional("limit_cpu", "3600", "seconds on processors")),
    new(optional("limit_data", "1GB", "size of its data")),
    new(optional("limit_fsize", "1GB", "size of files it writes")),
    new(optional("limit_memlock", "unlimited", "memory it may lock")),
    new(optional("limit_msgqueue", "1MB", "POSIX message queues of its user")),
    new(optional("limit_nofile", "65536", "open files")),
    new(optional("limit_nproc", "4096", "processes and threads of its user")),
    new(optional("limit_rtprio", "10", "highest real-time priority")),
    new(optional("limit_sigpending", "1024", "waiting signals of its user")),
    new(optional("limit_stack", "8MB:16MB", "size of its stack")),
    new(optional("nice", "5", "niceness, from -20, which is served first, to 19")),
    new(optional("ionice", "be:4", "urgency of reads and writes: idle, be:0-7, rt:0-7")),
    new(optional("cpu_affinity", "0-3,6", "processors it may run on")),
    new(optional("cpu_scheduling", "batch", "other, batch, idle, fifo:1-99, rr:1-99")),
    new(optional("oom_score_adj", "500", "from -1000, never killed for want of memory, to 1000")),
    new(optional(
        "memory_high",
        "512MB",
        "memory of all its processes, beyond which they are slowed down (cgroup v2)",
    )),
    new(optional(
        "memory_max",
        "1GB",
        "memory of all its processes, beyond which the kernel kills (cgroup v2)",
    )),
    new(optional(
        "cpu_max",
        "150%",
        "time on processors of all its processes; 100% is one processor (cgroup v2)",
    )),
    new(optional("cpu_weight", "100", "share where processors are short, 1 to 10000 (cgroup v2)")),
    new(optional("pids_max", "100", "processes and threads it may have (cgroup v2)")),
    new(optional("io_weight", "100", "share where a disk is busy, 1 to 10000 (cgroup v2)")),
    new(key("cgroup_required", "false", "fail the start if one of these keys cannot be applied")),
    new(key("no_new_privs", "false", "never let it gain privileges by executing a file")),
    new(optional(
        "capabilities",
        "NET_BIND_SERVICE, CHOWN",
        "the only capabilities that it can have; none for none; a - in front: start without if that fails",
    )),
    new(optional(
        "ambient_capabilities",
        "NET_BIND_SERVICE",
        "capabilities that it has though user is not root",
    )),
    new(optional(
        "seccomp",
        "@service",
        "system calls that it can make: @service, or a file that lists them",
    )),
    new(Key {
        default: Some(""),
        ..optional(
            "read_only_paths",
            "/usr, /lib, /etc, -/lib64",
            "what it can read and execute; all that no path names is forbidden; one behind a - may be missing",
        )
    }),
    new(Key {
        default: Some(""),
        ..optional("read_write_paths", "/var/lib/app, /dev/null", "what it can also write")
    }),
    new(key("private_tmp", "false", "give it /tmp and /var/tmp of its own, empty and in memory")),
    new(key("private_network", "false", "give it a network of its own, with nothing but a loopback")),
    key(
        "serverurl",
        "AUTO",
        "value of SUPERVISOR_SERVER_URL for the program; AUTO is a server of this daemon",
    ),
    new(optional("sockets", "tcp://127.0.0.1:8080", "listening sockets to hand over as LISTEN_FDS")),
    optional("socket_owner", "nobody", "owner of these unix sockets, user or user:group"),
    optional("socket_mode", "0700", "mode of unix sockets (octal)"),
    new(key("essential", "false", "end the daemon when this process ends for good")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::args::{CtlArgs, DaemonArgs};
    use crate::config::{CtlConfig, Document, Surroundings, ctl, parse};
    use crate::model::config::Config;
    use std::collections::HashSet;
    use std::path::Path;

    #[test]
    fn kinds_are_told_apart() {
        for (section, prefix) in [
            ("supervisord", Some("supervisord")),
            ("supervisorctl", Some("supervisorctl")),
            ("supervisordx", None),
            ("inet_http_server:two", Some("inet_http_server")),
            ("program:x", Some("program:")),
            ("program", None),
            ("fcgi-program:x", Some("fcgi-program:")),
            ("include", Some("include")),
        ] {
            assert_eq!(kind(section).map(|kind| kind.prefix), prefix, "{section}");
        }
    }

    #[test]
    fn what_is_applied_live_is_a_key_of_programs() {
        for key in LIVE {
            assert!(knows("program:x", key), "{key}");
        }
    }

    #[test]
    fn no_key_stands_twice_in_a_kind() {
        for kind in &KINDS {
            let mut seen = HashSet::new();
            assert!(kind.keys().all(|key| seen.insert(key.name)), "{}", kind.prefix);
        }
    }

    /// A section of every kind that a daemon reads, with what it cannot be without.
    const LEAST: &str = "[program-defaults:web]\n[supervisord]\n[unix_http_server]\nfile=/tmp/x.sock\n[inet_http_server]\nport=1\n\
                         [rpcinterface:supervisor]\n\
                         supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
                         [supervisorctl]\n[program:x]\ncommand=/bin/x\n[eventlistener:e]\ncommand=/bin/x\n\
                         events=TICK_5\n[fcgi-program:f]\ncommand=/bin/x\nsocket=unix:///tmp/y.sock\n[group:g]\n\
                         programs=y\n[program:y]\ncommand=/bin/y\n";

    fn read(text: &str) -> (Config, CtlConfig) {
        let (args, around) = (DaemonArgs::default(), Surroundings::of_this_process());
        let path = Path::new("/tmp/x.conf");
        let daemon = parse(path, text, &args, &around).expect(text);
        let document = Document::parse(path, text).expect(text);
        let client = ctl::interpret(&document, &CtlArgs::default(), &around, None).expect(text);
        (daemon, client)
    }

    /// Whoever takes a value from the sample or the manual gets no error.
    #[test]
    fn an_example_is_a_right_value() {
        let (args, around) = (DaemonArgs::default(), Surroundings::of_this_process());
        let kinds = KINDS.iter().filter(|kind| ["program:", "supervisord"].contains(&kind.prefix));
        for (kind, key) in kinds.flat_map(|kind| kind.keys().map(move |key| (kind, key))) {
            let Some(example) = key.example else { continue };
            let header = if kind.prefix == "program:" { "[program:x]" } else { "[supervisord]" };
            let text = LEAST.replace(&format!("{header}\n"), &format!("{header}\n{}={example}\n", key.name));
            let text = if key.name == "command" { text.replace("command=/bin/x\n[ev", "[ev") } else { text };
            // Who is root cannot be told here, and whether a user is there neither.
            let is_of_machine = ["user", "socket_owner", "supplementary_groups"].contains(&key.name);
            let read = parse(Path::new("/tmp/x.conf"), &text, &args, &around);
            assert!(is_of_machine || read.is_ok(), "{}={example}: {}", key.name, read.unwrap_err());
        }
    }

    #[test]
    fn a_default_means_the_same_when_it_is_written() {
        let missing = read(LEAST);
        for kind in &KINDS {
            for key in kind.keys() {
                let Some(default) = key.default else { continue };
                let headers = LEAST.lines().filter(|line| line.starts_with(&format!("[{}", kind.prefix)));
                for header in headers {
                    let written = format!("{header}\n{}={default}\n", key.name);
                    let text = LEAST.replace(&format!("{header}\n"), &written);
                    assert_ne!(text, LEAST);
                    assert_eq!(read(&text), missing, "{written}");
                }
            }
        }
    }
}
