//! What `update` does, group by group and process by process, and because of which keys.
//!
//! Effective values are compared, as for a [reread](super::diff()). A process whose values are the same is left alone,
//! whatever happens to the rest of its group. Some keys are [applied](ProcessAction::Apply) to a process as it runs; a
//! change of any other restarts it.

use crate::config::schema;
use crate::model::config::{
    EnvironmentSources, FcgiAddress, GroupConfig, GroupKind, MemoryLimit, PoolConfig, ProcessConfig,
    StopScope, StreamConfig,
};
use crate::model::confinement::Confinement;
use crate::model::dependency::Dependencies;
use crate::model::probe::{HealthCheck, Readiness};
use crate::model::resources::{Resource, Resources};
use crate::model::restart::RestartPolicy;
use crate::model::stream::Stream;
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What is to be done so that active groups become what a configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UpdatePlan {
    /// Those that go first, then those that change, then those that come. The others stay as they are.
    pub groups: Vec<GroupPlan>,
}

/// What is to be done to a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupPlan {
    /// Its name.
    pub name: String,
    /// What happens to it as a whole.
    pub action: GroupAction,
    /// How many processes it has before.
    pub members: usize,
    /// The keys of the group itself that have changed.
    pub keys: Vec<&'static str>,
    /// What happens to its processes: those that go, then those that stay, then those that come. The others are left
    /// alone.
    pub processes: Vec<ProcessPlan>,
}

/// What happens to a group as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupAction {
    /// It is not configured any more.
    Remove,
    /// It is removed and added anew, with all its processes.
    Replace,
    /// Some of its processes, or values of its own, change.
    Change,
    /// It is new.
    Add,
}

/// What is to be done to a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessPlan {
    /// Its name in its group.
    pub name: String,
    /// What happens to it.
    pub action: ProcessAction,
    /// The keys because of which that happens.
    pub keys: Vec<&'static str>,
}

/// What happens to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcessAction {
    /// It is stopped and forgotten.
    Remove,
    /// It is stopped, and started with its new configuration.
    Restart,
    /// It goes on with its new configuration.
    Apply,
    /// It is new, and started if `autostart` says so.
    Add,
}

impl GroupAction {
    /// The word for clients.
    pub fn word(self) -> &'static str {
        match self {
            GroupAction::Remove => "remove",
            GroupAction::Replace => "replace",
            GroupAction::Change => "change",
            GroupAction::Add => "add",
        }
    }
}

impl ProcessAction {
    /// The word for clients.
    pub fn word(self) -> &'static str {
        match self {
            ProcessAction::Remove => "remove",
            ProcessAction::Restart => "restart",
            ProcessAction::Apply => "apply",
            ProcessAction::Add => "add",
        }
    }
}

/// Compares the groups that are active with those of a configuration just read. `wanted` says of which groups.
pub fn plan(
    active: &[Arc<GroupConfig>],
    candidate: &[Arc<GroupConfig>],
    wanted: impl Fn(&str) -> bool,
) -> UpdatePlan {
    let by_name = |groups: &[Arc<GroupConfig>]| -> HashMap<Arc<str>, Arc<GroupConfig>> {
        groups.iter().map(|group| (group.name.clone(), group.clone())).collect()
    };
    let (active_by_name, candidate_by_name) = (by_name(active), by_name(candidate));
    let gone = active.iter().filter(|group| !candidate_by_name.contains_key(&group.name));
    let gone = gone.filter(|group| wanted(&group.name));
    let mut groups: Vec<GroupPlan> =
        gone.map(|group| whole(group, GroupAction::Remove, ProcessAction::Remove)).collect();
    let mut added = Vec::new();
    for group in candidate.iter().filter(|group| wanted(&group.name)) {
        match active_by_name.get(&group.name) {
            None => added.push(whole(group, GroupAction::Add, ProcessAction::Add)),
            Some(old) if Arc::ptr_eq(old, group) => {}
            Some(old) => groups.extend(changed(old, group)),
        }
    }
    groups.extend(added);
    UpdatePlan { groups }
}

fn whole(group: &GroupConfig, action: GroupAction, of_each: ProcessAction) -> GroupPlan {
    let of_one = |process: &Arc<ProcessConfig>| ProcessPlan {
        name: process.name.to_string(),
        action: of_each,
        keys: Vec::new(),
    };
    GroupPlan {
        name: group.name.to_string(),
        action,
        members: if action == GroupAction::Add { 0 } else { group.processes.len() },
        keys: Vec::new(),
        processes: group.processes.iter().map(of_one).collect(),
    }
}

/// What becomes of a group that is there before and after; `None` if nothing does.
fn changed(old: &GroupConfig, new: &GroupConfig) -> Option<GroupPlan> {
    let (keys, counts) = (changed_kind(&old.kind, &new.kind), Counts::of(old, new));
    if !keys.is_empty() {
        let mut plan = whole(old, GroupAction::Replace, ProcessAction::Restart);
        let stays: HashSet<&str> = new.processes.iter().map(|process| &*process.name).collect();
        for process in plan.processes.iter_mut().filter(|process| !stays.contains(&*process.name)) {
            process.action = ProcessAction::Remove;
        }
        plan.processes.extend(coming(old, new, &counts));
        plan.keys = keys;
        return Some(plan);
    }
    let before: HashMap<&str, &Arc<ProcessConfig>> =
        old.processes.iter().map(|process| (&*process.name, process)).collect();
    let after: HashSet<&str> = new.processes.iter().map(|process| &*process.name).collect();
    let leaves = |process: &&Arc<ProcessConfig>| !after.contains(&*process.name);
    // The last one is the first to go.
    let going = old.processes.iter().rev().filter(leaves).map(|process| ProcessPlan {
        name: process.name.to_string(),
        action: ProcessAction::Remove,
        keys: vec![counts.why(&process.program)],
    });
    let mut processes: Vec<ProcessPlan> = going.collect();
    for process in &new.processes {
        let Some(old) = before.get(&*process.name).filter(|old| !Arc::ptr_eq(old, process)) else { continue };
        let keys = changed_keys(old, process);
        if keys.is_empty() {
            continue;
        }
        let action = if keys.iter().all(|key| is_applied(key, old, process)) {
            ProcessAction::Apply
        } else {
            ProcessAction::Restart
        };
        processes.push(ProcessPlan { name: process.name.to_string(), action, keys });
    }
    processes.extend(coming(old, new, &counts));
    let keys = if old.priority == new.priority { Vec::new() } else { vec!["priority"] };
    (!processes.is_empty() || !keys.is_empty()).then(|| GroupPlan {
        name: new.name.to_string(),
        action: GroupAction::Change,
        members: old.processes.len(),
        keys,
        processes,
    })
}

/// The processes that only the new configuration of a group has.
fn coming(old: &GroupConfig, new: &GroupConfig, counts: &Counts<'_>) -> Vec<ProcessPlan> {
    let before: HashSet<&str> = old.processes.iter().map(|process| &*process.name).collect();
    let comes = new.processes.iter().filter(|process| !before.contains(&*process.name));
    let plan = |process: &Arc<ProcessConfig>| ProcessPlan {
        name: process.name.to_string(),
        action: ProcessAction::Add,
        keys: vec![counts.why(&process.program)],
    };
    comes.map(plan).collect()
}

/// How many processes each program has in a group, before and after.
struct Counts<'g>(HashMap<&'g str, (usize, usize)>);

impl<'g> Counts<'g> {
    fn of(old: &'g GroupConfig, new: &'g GroupConfig) -> Counts<'g> {
        let mut counts: HashMap<&str, (usize, usize)> = HashMap::new();
        old.processes.iter().for_each(|process| counts.entry(&process.program).or_default().0 += 1);
        new.processes.iter().for_each(|process| counts.entry(&process.program).or_default().1 += 1);
        Counts(counts)
    }

    /// The key because of which the group has other processes of this program than before.
    fn why(&self, program: &str) -> &'static str {
        match self.0.get(program) {
            None | Some((0, _) | (_, 0)) => "programs",
            Some((before, after)) if before != after => "numprocs",
            Some(_) => "process_name",
        }
    }
}

/// The keys of the kind of a group that have changed; a group of another kind has another section.
fn changed_kind(old: &GroupKind, new: &GroupKind) -> Vec<&'static str> {
    match (old, new) {
        (GroupKind::EventListener(old), GroupKind::EventListener(new)) => {
            let PoolConfig { buffer_size, events, result_handler, payload_length } = old;
            let sorted = |events: &[String]| {
                let mut events = events.to_vec();
                events.sort();
                events
            };
            let mut keys = Vec::new();
            let mut note = |key, is_same: bool| keys.extend((!is_same).then_some(key));
            note("events", sorted(events) == sorted(&new.events));
            note("buffer_size", *buffer_size == new.buffer_size);
            note("result_handler", *result_handler == new.result_handler);
            note("payload_length", *payload_length == new.payload_length);
            keys
        }
        (old, new) if old == new => Vec::new(),
        _ => vec!["section"],
    }
}

/// Whether a change of a key needs no restart of a process that runs.
fn is_applied(key: &str, old: &ProcessConfig, new: &ProcessConfig) -> bool {
    let of_cgroup = |config: &ProcessConfig| config.stop_scope == StopScope::Cgroup;
    match key {
        // Its control group is made at its start.
        "stop_scope" => of_cgroup(old) == of_cgroup(new),
        // It learns of the socket at its start.
        "watchdog" => new.watchdog.is_none() || old.wants_notify_socket(),
        key => schema::is_live(key),
    }
}

/// The keys in which two configurations of one process differ, without repetition. Empty if both mean the same.
pub fn changed_keys(old: &ProcessConfig, new: &ProcessConfig) -> Vec<&'static str> {
    let mut keys = Keys(Vec::new());
    let ProcessConfig {
        // It is what makes it this process.
        name: _,
        program,
        command,
        priority,
        autostart,
        autostart_last,
        autorestart,
        startsecs,
        startretries,
        exitcodes,
        stopsignal,
        stopsignal_then,
        stopwaitsecs,
        stopasgroup,
        killasgroup,
        stop_scope,
        user,
        umask,
        directory,
        environment,
        serverurl,
        redirect_stderr,
        stdout,
        stderr,
        fcgi_socket,
        sockets,
        essential,
        kind,
        max_runtime,
        restart,
        dependencies,
        readiness,
        memory_limit,
        health_check,
        watchdog,
        resources,
        confinement,
        environment_sources,
        credentials,
        supplementary_groups,
        notify,
    } = old;
    keys.note("programs", *program == new.program);
    keys.note("command", *command == new.command);
    keys.note("priority", *priority == new.priority);
    keys.note("autostart", *autostart == new.autostart && *autostart_last == new.autostart_last);
    keys.note("autorestart", *autorestart == new.autorestart);
    keys.note("startsecs", *startsecs == new.startsecs);
    keys.note("startretries", *startretries == new.startretries);
    keys.note("exitcodes", *exitcodes == new.exitcodes);
    keys.note("stopsignal", *stopsignal == new.stopsignal && *stopsignal_then == new.stopsignal_then);
    keys.note("stopwaitsecs", *stopwaitsecs == new.stopwaitsecs);
    keys.note("stop_scope", *stop_scope == new.stop_scope);
    if *stop_scope == new.stop_scope {
        keys.note("stopasgroup", *stopasgroup == new.stopasgroup);
        // Without a value of its own it follows the other one.
        if *stopasgroup == new.stopasgroup
            || *stopasgroup != *killasgroup
            || new.stopasgroup != new.killasgroup
        {
            keys.note("killasgroup", *killasgroup == new.killasgroup);
        }
    }
    keys.note("user", *user == new.user);
    keys.note("umask", *umask == new.umask);
    keys.note("directory", *directory == new.directory);
    keys.note("environment", *environment == new.environment);
    keys.note("serverurl", *serverurl == new.serverurl);
    keys.note("redirect_stderr", *redirect_stderr == new.redirect_stderr);
    keys.stream(Stream::Stdout, stdout, &new.stdout);
    if *redirect_stderr == new.redirect_stderr {
        keys.stream(Stream::Stderr, stderr, &new.stderr);
    }
    match (fcgi_socket, &new.fcgi_socket) {
        (Some(old), Some(new)) => {
            keys.sockets("socket", std::slice::from_ref(&old.address), std::slice::from_ref(&new.address));
            keys.note("socket_backlog", old.backlog == new.backlog);
        }
        (old, new) => keys.note("socket", old == new),
    }
    keys.sockets("sockets", sockets, &new.sockets);
    keys.note("essential", *essential == new.essential);
    keys.note("type", *kind == new.kind);
    keys.note("max_runtime", *max_runtime == new.max_runtime);
    keys.restart(restart, &new.restart);
    keys.dependencies(dependencies, &new.dependencies);
    keys.readiness(readiness.as_deref(), new.readiness.as_deref());
    keys.health_check(health_check.as_deref(), new.health_check.as_deref());
    keys.memory_limit(memory_limit.as_ref(), new.memory_limit.as_ref());
    keys.note("watchdog", *watchdog == new.watchdog);
    keys.note("notify", *notify == new.notify);
    keys.resources(resources, &new.resources);
    keys.confinement(confinement, &new.confinement);
    keys.environment_sources(environment_sources, &new.environment_sources);
    keys.note(schema::CREDENTIALS_KEY, *credentials == new.credentials);
    keys.note("supplementary_groups", *supplementary_groups == new.supplementary_groups);
    keys.0
}

/// The keys that were found to differ.
struct Keys(Vec<&'static str>);

impl Keys {
    fn note(&mut self, key: &'static str, is_same: bool) {
        if !is_same && !self.0.contains(&key) {
            self.0.push(key);
        }
    }

    fn sockets(&mut self, key: &'static str, old: &[FcgiAddress], new: &[FcgiAddress]) {
        let permissions = |sockets: &[FcgiAddress]| -> (Vec<_>, Vec<_>) {
            let unix = sockets.iter().filter_map(|socket| match socket {
                FcgiAddress::Unix { owner, mode, .. } => Some((*owner, *mode)),
                FcgiAddress::Tcp { .. } => None,
            });
            unix.unzip()
        };
        let is_same = old.len() == new.len() && old.iter().zip(new).all(|(old, new)| old.is_same_place(new));
        self.note(key, is_same);
        if is_same {
            let ((old_owners, old_modes), (owners, modes)) = (permissions(old), permissions(new));
            self.note("socket_owner", old_owners == owners);
            self.note("socket_mode", old_modes == modes);
        }
    }

    fn stream(&mut self, stream: Stream, old: &StreamConfig, new: &StreamConfig) {
        let of = |stdout, stderr| if stream == Stream::Stdout { stdout } else { stderr };
        let StreamConfig {
            logfile,
            maxbytes,
            backups,
            capture_maxbytes,
            events_enabled,
            syslog,
            more,
            timestamps,
            prefix,
            format,
            syslog_options,
        } = old;
        self.note(of("stdout_logfile", "stderr_logfile"), *logfile == new.logfile && *more == new.more);
        self.note(of("stdout_logfile_maxbytes", "stderr_logfile_maxbytes"), *maxbytes == new.maxbytes);
        self.note(of("stdout_logfile_backups", "stderr_logfile_backups"), *backups == new.backups);
        let capture = of("stdout_capture_maxbytes", "stderr_capture_maxbytes");
        self.note(capture, *capture_maxbytes == new.capture_maxbytes);
        self.note(
            of("stdout_events_enabled", "stderr_events_enabled"),
            *events_enabled == new.events_enabled,
        );
        self.note(of("stdout_syslog", "stderr_syslog"), *syslog == new.syslog);
        self.note(
            of("stdout_logfile_timestamps", "stderr_logfile_timestamps"),
            *timestamps == new.timestamps,
        );
        self.note(of("stdout_logfile_prefix", "stderr_logfile_prefix"), *prefix == new.prefix);
        self.note(of("stdout_logfile_format", "stderr_logfile_format"), *format == new.format);
        self.note("syslog_facility", syslog_options.facility == new.syslog_options.facility);
        self.note("syslog_tag", syslog_options.tag == new.syslog_options.tag);
        let priority = of("syslog_stdout_priority", "syslog_stderr_priority");
        self.note(priority, syslog_options.severity == new.syslog_options.severity);
    }

    fn restart(&mut self, old: &RestartPolicy, new: &RestartPolicy) {
        let RestartPolicy {
            restart_delay,
            restart_backoff,
            restart_delay_max,
            restart_jitter,
            restart_reset,
            restart_limit,
            stay_down_exitcodes,
            retry_fatal_after,
        } = old;
        self.note("restart_delay", *restart_delay == new.restart_delay);
        self.note("restart_backoff", *restart_backoff == new.restart_backoff);
        self.note("restart_delay_max", *restart_delay_max == new.restart_delay_max);
        self.note("restart_jitter", *restart_jitter == new.restart_jitter);
        self.note("restart_reset", *restart_reset == new.restart_reset);
        self.note("restart_limit", *restart_limit == new.restart_limit);
        self.note("stay_down_exitcodes", *stay_down_exitcodes == new.stay_down_exitcodes);
        self.note("retry_fatal_after", *retry_fatal_after == new.retry_fatal_after);
    }

    fn dependencies(&mut self, old: &Dependencies, new: &Dependencies) {
        let Dependencies { depends_on, dependency_timeout, depends_restart } = old;
        self.note("depends_on", *depends_on == new.depends_on);
        if !depends_on.is_empty() && !new.depends_on.is_empty() {
            self.note("dependency_timeout", *dependency_timeout == new.dependency_timeout);
            self.note("depends_restart", *depends_restart == new.depends_restart);
        }
    }

    fn readiness(&mut self, old: Option<&Readiness>, new: Option<&Readiness>) {
        let (Some(old), Some(new)) = (old, new) else { return self.note("ready", old == new) };
        let Readiness { ready, ready_interval, ready_timeout, waits_for_startsecs } = old;
        self.note("ready", *ready == new.ready);
        self.note("ready_interval", *ready_interval == new.ready_interval);
        self.note("ready_timeout", *ready_timeout == new.ready_timeout);
        self.note("startsecs", *waits_for_startsecs == new.waits_for_startsecs);
    }

    fn health_check(&mut self, old: Option<&HealthCheck>, new: Option<&HealthCheck>) {
        let (Some(old), Some(new)) = (old, new) else { return self.note("health", old == new) };
        let HealthCheck {
            health,
            health_interval,
            health_timeout,
            health_retries,
            health_start_period,
            health_action,
        } = old;
        self.note("health", *health == new.health);
        self.note("health_interval", *health_interval == new.health_interval);
        self.note("health_timeout", *health_timeout == new.health_timeout);
        self.note("health_retries", *health_retries == new.health_retries);
        self.note("health_start_period", *health_start_period == new.health_start_period);
        self.note("health_action", *health_action == new.health_action);
    }

    fn memory_limit(&mut self, old: Option<&MemoryLimit>, new: Option<&MemoryLimit>) {
        let (Some(old), Some(new)) = (old, new) else { return self.note("memory_limit", old == new) };
        let MemoryLimit { bytes, action } = old;
        self.note("memory_limit", *bytes == new.bytes);
        self.note("memory_action", *action == new.action);
    }

    fn resources(&mut self, old: &Resources, new: &Resources) {
        let Resources { limits, nice, ionice, cpu_affinity, cpu_scheduling, oom_score_adj, cgroup } = old;
        for resource in Resource::ALL {
            let of = |limits: &[crate::model::resources::ResourceLimit]| {
                limits.iter().find(|limit| limit.resource == resource).copied()
            };
            self.note(resource.key(), of(limits) == of(&new.limits));
        }
        self.note("nice", *nice == new.nice);
        self.note("ionice", *ionice == new.ionice);
        self.note("cpu_affinity", *cpu_affinity == new.cpu_affinity);
        self.note("cpu_scheduling", *cpu_scheduling == new.cpu_scheduling);
        self.note("oom_score_adj", *oom_score_adj == new.oom_score_adj);
        for (old, new) in cgroup.knobs().into_iter().zip(new.cgroup.knobs()) {
            self.note(old.key, old.value == new.value);
        }
        self.note("cgroup_required", cgroup.cgroup_required == new.cgroup.cgroup_required);
    }

    fn confinement(&mut self, old: &Confinement, new: &Confinement) {
        let Confinement {
            no_new_privs,
            capabilities,
            ambient_capabilities,
            seccomp,
            read_only_paths,
            read_write_paths,
            private_tmp,
            private_network,
        } = old;
        self.note("no_new_privs", *no_new_privs == new.no_new_privs);
        self.note("capabilities", *capabilities == new.capabilities);
        self.note("ambient_capabilities", *ambient_capabilities == new.ambient_capabilities);
        self.note("seccomp", *seccomp == new.seccomp);
        self.note("read_only_paths", *read_only_paths == new.read_only_paths);
        self.note("read_write_paths", *read_write_paths == new.read_write_paths);
        self.note("private_tmp", *private_tmp == new.private_tmp);
        self.note("private_network", *private_network == new.private_network);
    }

    fn environment_sources(&mut self, old: &EnvironmentSources, new: &EnvironmentSources) {
        let EnvironmentSources { environment_file, below_files, environment_inherit, user_environment } = old;
        self.note("environment_file", *environment_file == new.environment_file);
        // Which variables lie below the files changes with the files, too.
        if *environment_file == new.environment_file {
            self.note("environment", *below_files == new.below_files);
        }
        self.note("environment_inherit", *environment_inherit == new.environment_inherit);
        self.note("user_environment", *user_environment == new.user_environment);
    }
}

#[cfg(test)]
#[path = "update_tests.rs"]
mod tests;
