//! The table of all methods. Clients can call only what is in this table.
//!
//! The table drives dispatch, `listMethods`, `methodHelp` and `methodSignature`.

use super::args::Args;
use super::plan::{self, Plan, Planned};
use crate::control::ask;
use crate::control::request::{Table, Target};
use crate::model::stream::Stream;

/// One method.
pub struct Method {
    /// The name without its namespace.
    pub name: &'static str,
    /// Its names in older versions of the API.
    pub aliases: &'static [&'static str],
    /// What `methodHelp` answers first.
    pub help: &'static str,
    /// Type and name of each parameter, as in `methodSignature`; optional ones included.
    pub params: &'static [(&'static str, &'static str)],
    /// The type of the result, as in `methodSignature`.
    pub returns: &'static str,
    /// Whether it changes something, and who may call it.
    pub effect: Effect,
    /// Derives from the arguments what is to be done.
    pub plan: fn(Args) -> Planned,
}

/// The parameter of methods that change something with which they only tell what they would do.
pub(super) const PLAN_ONLY: &str = "plan_only";

/// Whether a method changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It changes nothing.
    Reads,
    /// Each call leaves a line in the activity log.
    Changes,
    /// As `Changes`, and only root and the daemon's own user may call it, through a unix socket.
    Administers,
}

/// When the result of a method is known, if it may be large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heavy {
    /// As soon as the loop answers.
    AtOnce,
    /// When processes have started or stopped.
    Waits,
}

use Effect::{Administers, Changes, Reads};

const NAME: (&str, &str) = ("string", "name");
const WAIT: (&str, &str) = ("boolean", "wait");
const SIGNAL: (&str, &str) = ("string", "signal");
const OFFSET: (&str, &str) = ("int", "offset");
const LENGTH: (&str, &str) = ("int", "length");

const fn method(
    name: &'static str,
    effect: Effect,
    returns: &'static str,
    params: &'static [(&'static str, &'static str)],
    help: &'static str,
    plan: fn(Args) -> Planned,
) -> Method {
    Method { name, aliases: &[], help, params, returns, effect, plan }
}

impl Method {
    const fn also(self, aliases: &'static [&'static str]) -> Method {
        Method { aliases, ..self }
    }

    /// Whether the result may be large. Arrays are, because they grow with the number of processes or calls. The ends of logs
    /// are not, because they are not held in memory.
    pub fn is_heavy(&self) -> Option<Heavy> {
        let is_heavy = self.returns == "array" && !self.name.starts_with("tail");
        let is_at_once = self.effect == Reads && self.name != "multicall";
        is_heavy.then_some(if is_at_once { Heavy::AtOnce } else { Heavy::Waits })
    }

    /// The result type, then those of the parameters.
    pub fn signature(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.returns).chain(self.params.iter().map(|(kind, _)| *kind))
    }

    /// The text of `methodHelp`, which repeats the signature in words.
    pub fn full_help(&self) -> String {
        let mut text = format!("{}\n", self.help);
        for (kind, name) in self.params {
            text.push_str(&format!("\n@param {kind} {name}"));
        }
        text.push_str(&format!("\n@return {}", self.returns));
        text
    }
}

/// The methods of `system`, which is always there.
pub static SYSTEM: [Method; 4] = [
    method("listMethods", Reads, "array", &[], "The names of all methods, sorted.", |args| {
        plan::plain(args, Plan::ListMethods)
    }),
    method("methodHelp", Reads, "string", &[NAME], "What a method does.", plan::method_help),
    method(
        "methodSignature",
        Reads,
        "array",
        &[NAME],
        "The type of a method's result, followed by those of its parameters.",
        plan::method_signature,
    ),
    method(
        "multicall",
        Reads,
        "array",
        &[("array", "calls")],
        "Makes several calls, each a struct of methodName and params, strictly one after the other. The result \
         has one element per call: the bare result, or a struct of faultCode and faultString.",
        plan::multicall,
    ),
];

/// The methods of every namespace that publishes the main interface, usually `supervisor`.
pub static SUPERVISOR: [Method; 32] = [
    method("getAPIVersion", Reads, "string", &[], "The version of this API.", |args| {
        plan::plain(args, Plan::ApiVersion)
    })
    .also(&["getVersion"]),
    method(
        "getSupervisorVersion",
        Reads,
        "string",
        &[],
        "The version of Supervisor whose place the daemon takes.",
        |args| plan::plain(args, Plan::SupervisorVersion),
    ),
    method("getIdentification", Reads, "string", &[], "The daemon's configured name.", |args| {
        plan::ask(args, ask::Identification)
    }),
    method(
        "getState",
        Reads,
        "struct",
        &[],
        "What the daemon is doing: statecode and statename, 1 RUNNING, 0 RESTARTING or -1 SHUTDOWN.",
        |args| plan::ask(args, ask::State),
    ),
    method("getPID", Reads, "int", &[], "The daemon's process id.", |args| plan::ask(args, ask::Pid)),
    method(
        "readLog",
        Reads,
        "string",
        &[OFFSET, LENGTH],
        "Part of the activity log: length bytes from offset, everything from offset if length is 0, or the \
         last bytes if offset is negative and length 0.",
        plan::read_main,
    )
    .also(&["readMainLog"]),
    method("clearLog", Changes, "boolean", &[], "Empties the activity log.", |args| {
        plan::ask(args, ask::ClearLog)
    }),
    method(
        "shutdown",
        Changes,
        "boolean",
        &[],
        "Stops all processes and ends the daemon. Answers before that has happened.",
        |args| plan::ask(args, ask::Shutdown),
    ),
    method(
        "restart",
        Changes,
        "boolean",
        &[],
        "Stops all processes and starts the daemon anew. Answers before that has happened.",
        |args| plan::ask(args, ask::Restart),
    ),
    method(
        "reloadConfig",
        Changes,
        "array",
        &[],
        "Reads the configuration again and tells which groups it adds, changes and removes: [[added, changed, \
         removed]]. Starts and stops nothing.",
        |args| plan::ask(args, ask::ReloadConfig),
    ),
    method(
        "addProcessGroup",
        Changes,
        "boolean",
        &[NAME],
        "Makes a group of the configuration last read active.",
        |args| plan::about_group(args, ask::AddProcessGroup),
    ),
    method(
        "removeProcessGroup",
        Changes,
        "boolean",
        &[NAME],
        "Forgets a group none of whose processes runs.",
        |args| plan::about_group(args, ask::RemoveProcessGroup),
    ),
    method(
        "startProcess",
        Changes,
        "boolean",
        &[NAME, WAIT],
        "Starts a process, by default waiting until it is RUNNING. group:* starts a group and returns an array.",
        |args| plan::target_and_wait(args, ask::Start),
    ),
    method(
        "startProcessGroup",
        Changes,
        "array",
        &[NAME, WAIT],
        "Starts every process of a group; one struct of name, group, status and description for each.",
        |args| plan::group_and_wait(args, ask::Start),
    ),
    method(
        "startAllProcesses",
        Changes,
        "array",
        &[WAIT],
        "Starts every process; one struct of name, group, status and description for each.",
        |args| plan::all_and_wait(args, ask::Start),
    ),
    method(
        "stopProcess",
        Changes,
        "boolean",
        &[NAME, WAIT],
        "Stops a process, by default waiting until it has ended. group:* stops a group and returns an array.",
        |args| plan::target_and_wait(args, ask::Stop),
    ),
    method(
        "stopProcessGroup",
        Changes,
        "array",
        &[NAME, WAIT],
        "Stops every process of a group; one struct of name, group, status and description for each.",
        |args| plan::group_and_wait(args, ask::Stop),
    ),
    method(
        "stopAllProcesses",
        Changes,
        "array",
        &[WAIT],
        "Stops every process; one struct of name, group, status and description for each.",
        |args| plan::all_and_wait(args, ask::Stop),
    ),
    method(
        "signalProcess",
        Changes,
        "boolean",
        &[NAME, SIGNAL],
        "Sends a signal, given by name or number, to a process. group:* signals a group and returns an array.",
        plan::signal_target,
    ),
    method(
        "signalProcessGroup",
        Changes,
        "array",
        &[NAME, SIGNAL],
        "Sends a signal to every process of a group.",
        plan::signal_group,
    ),
    method("signalAllProcesses", Changes, "array", &[SIGNAL], "Sends a signal to every process.", |args| {
        plan::signal(args, Target::All)
    }),
    method("getProcessInfo", Reads, "struct", &[NAME], "What is known about a process.", |args| {
        plan::about_target(args, ask::ProcessInfo)
    }),
    method(
        "getAllProcessInfo",
        Reads,
        "array",
        &[],
        "What is known about every process, by group and name.",
        |args| plan::ask(args, ask::AllProcessInfo),
    ),
    method(
        "getAllConfigInfo",
        Reads,
        "array",
        &[],
        "The settings of every process of the configuration last read.",
        |args| plan::ask(args, ask::AllConfigInfo),
    ),
    method(
        "readProcessStdoutLog",
        Reads,
        "string",
        &[NAME, OFFSET, LENGTH],
        "Part of a process's stdout log; offset and length as in readLog.",
        |args| plan::read_process(args, Stream::Stdout),
    )
    .also(&["readProcessLog"]),
    method(
        "readProcessStderrLog",
        Reads,
        "string",
        &[NAME, OFFSET, LENGTH],
        "Part of a process's stderr log; offset and length as in readLog.",
        |args| plan::read_process(args, Stream::Stderr),
    ),
    method(
        "tailProcessStdoutLog",
        Reads,
        "array",
        &[NAME, OFFSET, LENGTH],
        "The end of a process's stdout log: the last length bytes, the size of the log, and whether it goes \
         beyond offset + length.",
        |args| plan::tail_process(args, Stream::Stdout),
    )
    .also(&["tailProcessLog"]),
    method(
        "tailProcessStderrLog",
        Reads,
        "array",
        &[NAME, OFFSET, LENGTH],
        "The end of a process's stderr log; see tailProcessStdoutLog.",
        |args| plan::tail_process(args, Stream::Stderr),
    ),
    method("clearProcessLogs", Changes, "boolean", &[NAME], "Empties the logs of a process.", |args| {
        plan::about_target(args, ask::ClearProcessLogs)
    })
    .also(&["clearProcessLog"]),
    method(
        "clearAllProcessLogs",
        Changes,
        "array",
        &[],
        "Empties the logs of every process; one struct of name, group, status and description for each.",
        |args| plan::ask(args, ask::ClearProcessLogs(Target::All)),
    ),
    method(
        "sendProcessStdin",
        Changes,
        "boolean",
        &[NAME, ("string", "chars")],
        "Writes to the standard input of a process: a string as UTF-8, base64 as the bytes it stands for.",
        plan::send_stdin,
    ),
    method(
        "sendRemoteCommEvent",
        Changes,
        "boolean",
        &[("string", "type"), ("string", "data")],
        "Sends an event to the listeners of REMOTE_COMMUNICATION.",
        plan::send_event,
    ),
];

/// Methods of Supervisor's descendants in Go, in the same namespaces. They are answered but not listed:
/// clients that make menus of what is listed, without namespaces, are to see what they always saw.
pub static GO: [Method; 8] = [
    method(
        "getAllProcsProcessInfo",
        Reads,
        "array",
        &[],
        "The rows of the table of processes that the configuration asks for.",
        |args| plan::table(args, Table::Procs),
    ),
    method(
        "getAllInfomapProcessInfo",
        Reads,
        "array",
        &[],
        "The rows of the table of processes that are alive.",
        |args| plan::table(args, Table::InfoMap),
    ),
    method(
        "getPrestartProcessInfo",
        Reads,
        "array",
        &[],
        "The processes that were alive already when this daemon started.",
        |args| plan::table(args, Table::Prestart),
    ),
    method(
        "removeProcess",
        Changes,
        "boolean",
        &[NAME],
        "Forgets a process that does not run, or with group:* all of a group.",
        |args| plan::about_target(args, ask::RemoveProcess),
    ),
    method(
        "restartProcess",
        Changes,
        "boolean",
        &[NAME, WAIT],
        "Stops a process and starts it again. Two results: whether it was stopped, whether it was started.",
        plan::restart_process,
    ),
    method(
        "restartAllProcesses",
        Changes,
        "array",
        &[WAIT],
        "Stops every process, then starts every process; the results of both.",
        plan::restart_all,
    ),
    method(
        "update",
        Changes,
        "array",
        &[("string", "group")],
        "Reads the configuration again and makes one group what it says. Three results: the groups added, \
         changed and removed.",
        plan::update_group,
    ),
    method(
        "updateAll",
        Changes,
        "array",
        &[],
        "Reads the configuration again and makes all groups what it says. Three results: the groups added, \
         changed and removed.",
        |args| plan::plain(args, Plan::Update(None)),
    ),
];

/// The namespace of what Supervisor does not have. Clients that flatten namespaces find no name twice.
const OWN_NAMESPACE: &str = "supervisord";

/// The methods of the namespace `supervisord`, which Supervisor does not have.
pub static OWN: [Method; 22] = [
    method("getVersion", Reads, "string", &[], "The version of the daemon itself.", |args| {
        plan::plain(args, Plan::OwnVersion)
    }),
    method(
        "getBuild",
        Reads,
        "struct",
        &[],
        "The version of the daemon itself, the commit it was built from, and the version of Supervisor whose place \
         it takes.",
        |args| plan::plain(args, Plan::Build),
    ),
    method(
        "getProcessHistory",
        Reads,
        "struct",
        &[NAME],
        "The last exits of a process (at, pid, status, expected, lasted_ms; left_behind if somebody of its tree \
         had to be killed), what happens next, and in how many seconds; -1 if nothing is due. Where the configuration asks for it, also the members that getLife \
         has, and how often it has failed to start in a row.",
        |args| plan::about_target(args, ask::ProcessHistory),
    ),
    method(
        "startProcessAlone",
        Changes,
        "boolean",
        &[NAME, WAIT],
        "Starts a process at once, whatever it depends on, by default waiting until it is RUNNING. group:* starts a \
         group and returns an array.",
        |args| plan::target_and_wait(args, ask::StartAlone),
    ),
    method(
        "runProcess",
        Changes,
        "struct",
        &[NAME, ("array", "arguments")],
        "Runs a process that does not run, once, with more arguments behind those of its command, and waits for its end. \
         The result has its status in words, exit (its exit status, or 128 and the number of the signal that ended it; \
         missing if it never ran) and reason, which says what went wrong.",
        plan::run,
    ),
    method(
        "stopProcessWithDependents",
        Changes,
        "boolean",
        &[NAME, WAIT],
        "Stops a process and, before it, all that depends on it, by default waiting until they have ended. If there \
         are several it returns an array; so does group:*.",
        |args| plan::target_and_wait(args, ask::StopWithDependents),
    ),
    method(
        "getHealth",
        Reads,
        "array",
        &[NAME],
        "How a process is, or all of a group (group:*), or all without a name; one struct of group, name, health and \
         reason for each. health is healthy, unhealthy, running, starting, waiting, finished, stopped or failed.",
        |args| plan::about_target_or_all(args, ask::Health),
    ),
    method(
        "getDependencies",
        Reads,
        "array",
        &[NAME],
        "Who depends on whom: one struct for each process that depends on others or that others depend on, with a \
         name only for those that hang together with it. Its members are name, state, statename, waits, needs (item, \
         target, condition, soft, verdict, processes) and dependents.",
        |args| plan::about_target_or_all(args, ask::DependencyGraph),
    ),
    method(
        "getLife",
        Reads,
        "array",
        &[NAME],
        "What Supervisor does not know of processes, one struct for each whose configuration asks for it: oneshot, \
         waiting_for, needs, ready, health, healthy, problem, startretries, automatic_starts, given, cgroup.",
        |args| plan::about_target_or_all(args, ask::Overview),
    ),
    method(
        "previewUpdate",
        Reads,
        "array",
        &[],
        "What an update of all groups would do, as updateGroups answers it. Nothing is taken over.",
        |args| plan::plain(args, Plan::PreviewUpdate),
    ),
    method(
        "takeConfiguration",
        Changes,
        "boolean",
        &[NAME],
        "Reads the configuration again and lets a process, or a group (group:*), have what it says of them from their next \
         start on.",
        |args| plan::about_target(args, ask::TakeConfiguration),
    ),
    method(
        "updateGroups",
        Changes,
        "array",
        &[("array", "groups"), ("boolean", PLAN_ONLY)],
        "Reads the configuration again and makes these groups what it says, or all of them. Touches what differs and \
         nothing else; with plan_only it touches nothing. A struct for each group: group, action, members, keys, problem, \
         and processes, each with name, action and keys.",
        plan::update_groups,
    ),
    method(
        "scale",
        Changes,
        "struct",
        &[("array", "programs"), ("boolean", "save")],
        "Gives programs other numbers of processes: web=8, web=+2 or web=-1 each. Touches nothing else, and reads no file. With \
         save it outlives the daemon, in its state_file. The result has programs (program, before, now, configured), groups as \
         in updateGroups, kept (saved or until_end) and problem, which says why it could not be saved.",
        plan::scale,
    ),
    method(
        "getPrograms",
        Reads,
        "array",
        &[("array", "programs")],
        "How many processes programs have, or all programs without a name; one struct of program, groups, configured, wanted, \
         processes and kept (saved, until_end, or empty if it is not scaled) for each.",
        plan::programs,
    ),
    method(
        "enable",
        Changes,
        "struct",
        &[("array", "names")],
        "Lets processes start with the daemon from now on, whatever autostart says: processes, groups (group:*), programs, or \
         all. The result has names, processes (a struct with a name for each), kept (saved or until_end) and problem.",
        |args| plan::set_enabled(args, true),
    ),
    method(
        "disable",
        Changes,
        "struct",
        &[("array", "names")],
        "Keeps processes from starting with the daemon from now on; see enable. They go on running.",
        |args| plan::set_enabled(args, false),
    ),
    method(
        "getUsage",
        Reads,
        "array",
        &[NAME],
        "What a process uses of the machine now, or all of a group (group:*), or all without a name; one struct of group, \
         name, state, statename, pid, start, now, cpu_milliseconds (since its start), memory_bytes (in RAM), tasks \
         (threads) and restarts for each. The two sizes are doubles, because an int has 32 bits.",
        plan::usage,
    ),
    method(
        "getKeeper",
        Reads,
        "struct",
        &[],
        "The pids of keeper and manager, their version, and how often a manager was started.",
        |args| plan::ask(args, ask::Keeper),
    ),
    method(
        "upgrade",
        Administers,
        "string",
        &[("string", "binary")],
        "Lets another binary take over while every program runs on. Without a path, or with an empty one, it \
         is what lies where the daemon was started from. Answers once the new one has passed its check.",
        plan::upgrade,
    ),
    method("getUpgradeState", Reads, "string", &[], "How the last upgrade went.", |args| {
        plan::ask(args, ask::UpgradeState)
    }),
    method(
        "getConfigProblem",
        Reads,
        "string",
        &[],
        "Where the configuration was wrong when it was last read again: file, line, section and key. Empty if \
         nothing was.",
        |args| plan::ask(args, ask::ConfigProblem),
    ),
    method(
        "getSkippedFiles",
        Reads,
        "array",
        &[],
        "The included files that were left out when the configuration was last read (include_errors=skip), each with its \
         first problem.",
        |args| plan::ask(args, ask::SkippedFiles),
    ),
];

/// The method of this full name, if there is one. Exactly one dot, exactly one level: whatever else a name
/// looks like, it is unknown.
pub fn find(namespaces: &[String], full_name: &str) -> Option<&'static Method> {
    let (namespace, name) = full_name.split_once('.')?;
    let tables: [&'static [Method]; 2] = match namespace {
        "system" => [&SYSTEM, &[]],
        OWN_NAMESPACE => [&OWN, &[]],
        _ if namespaces.iter().any(|published| published == namespace) => [&SUPERVISOR, &GO],
        _ => return None,
    };
    tables.into_iter().flatten().find(|method| method.name == name || method.aliases.contains(&name))
}

/// The full names of Supervisor's methods, aliases included, sorted.
pub fn names(namespaces: &[String]) -> Vec<String> {
    let short = |table: &'static [Method]| {
        table.iter().flat_map(|method| std::iter::once(&method.name).chain(method.aliases))
    };
    let published = namespaces.iter().filter(|namespace| *namespace != "system");
    let mut names: Vec<String> = short(&SYSTEM).map(|name| format!("system.{name}")).collect();
    for namespace in published {
        names.extend(short(&SUPERVISOR).map(|name| format!("{namespace}.{name}")));
    }
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespaces() -> Vec<String> {
        vec!["supervisor".to_string()]
    }

    #[test]
    fn names_are_unique_and_lead_to_their_method() {
        let names = names(&namespaces());
        let n_aliases = SUPERVISOR.iter().map(|method| method.aliases.len()).sum::<usize>();
        assert_eq!(names.len(), SYSTEM.len() + SUPERVISOR.len() + n_aliases);
        assert_eq!(n_aliases + SUPERVISOR.len() + SYSTEM.len(), 41);
        for name in &names {
            assert!(find(&namespaces(), name).is_some(), "{name}");
        }
        for method in &GO {
            let name = format!("supervisor.{}", method.name);
            assert!(find(&namespaces(), &name).is_some() && !names.contains(&name), "{name}");
        }
    }

    #[test]
    fn nothing_but_the_table_is_reachable() {
        for name in [
            "",
            ".",
            "supervisor",
            "getState",
            "supervisor.",
            "supervisor.nope",
            "supervisor.supervisord.options.warnings.linecache.os.system",
            "supervisor._update",
            "supervisor.__init__",
            "system.getState",
            "other.getState",
            " supervisor.getState",
            "supervisor.getState ",
            "Supervisor.getState",
        ] {
            assert!(find(&namespaces(), name).is_none(), "{name}");
        }
    }

    #[test]
    fn an_alias_shares_its_methods_signature() {
        let method = find(&namespaces(), "supervisor.tailProcessLog").unwrap();
        assert_eq!(method.signature().collect::<Vec<_>>(), ["array", "string", "int", "int"]);
    }
}
