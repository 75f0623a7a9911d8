//! For every key of the schema: what `update` does when that key alone has changed.
//!
//! All of it happens in one update of one daemon: each key has a section of its own that differs from the former file in
//! that key. A key that the table does not have fails the test, so none can be forgotten.

use crate::support::{Daemon, LONG, Side, Start, has_root, member, until};
use dxr::{TryFromValue, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use supervisord::config;

/// What an update does because of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// The process goes on, and has the new value.
    Live,
    /// The process is restarted.
    Restart,
    /// Processes come or go, and those that stay go on.
    Members,
    /// The whole group is replaced.
    Replace,
    /// The group has the new value, and its processes go on.
    Group,
    /// It is of the daemon, a server or the client, and `update` looks at programs.
    Nothing,
}

use Effect::{Group, Live, Members, Nothing, Replace, Restart};

/// A key, what its section says besides, the value before and after, and what that does. A missing value is empty.
type Row = (&'static str, &'static str, &'static str, &'static str, Effect);

const PROGRAM: &[Row] = &[
    ("command", "", "/bin/sleep 1000", "/bin/sleep 1001", Restart),
    ("process_name", "", "a", "b", Members),
    ("numprocs", "process_name=p%(process_num)d", "1", "2", Members),
    ("numprocs_start", "process_name=p%(process_num)d\nnumprocs=2", "0", "1", Members),
    ("directory", "", "/", "/tmp", Restart),
    ("umask", "", "022", "027", Restart),
    ("priority", "", "5", "6", Live),
    ("autostart", "", "true", "false", Live),
    ("autorestart", "", "true", "false", Live),
    ("startsecs", "", "0", "1", Live),
    ("startretries", "", "3", "4", Live),
    ("exitcodes", "", "0", "1", Live),
    ("stopsignal", "", "TERM", "INT", Live),
    ("stopwaitsecs", "", "10", "11", Live),
    ("stopasgroup", "", "false", "true", Live),
    ("killasgroup", "", "false", "true", Live),
    ("user", "", "", "nobody", Restart),
    ("redirect_stderr", "", "false", "true", Restart),
    ("stop_scope", "", "group", "tree", Live),
    ("type", "", "simple", "oneshot", Restart),
    ("max_runtime", "", "0", "1h", Live),
    ("restart_delay", "", "0", "1", Live),
    ("restart_backoff", "", "linear", "fixed", Live),
    ("restart_delay_max", "", "", "90s", Live),
    ("restart_jitter", "", "0%", "10%", Live),
    ("restart_reset", "", "0", "5", Live),
    ("restart_limit", "", "", "5/60s", Live),
    ("stay_down_exitcodes", "", "", "3", Live),
    ("retry_fatal_after", "", "0", "5m", Live),
    ("depends_on", "", "", "still?", Live),
    ("dependency_timeout", "depends_on=still?", "0", "5", Live),
    ("depends_restart", "depends_on=still?", "none", "restart", Live),
    ("ready", "", "file:/", "file:/tmp", Live),
    ("ready_interval", "ready=file:/", "1s", "2s", Live),
    ("ready_timeout", "ready=file:/", "60s", "61s", Live),
    ("health", "health_action=none", "file:/", "file:/tmp", Live),
    ("health_interval", "health=file:/", "10s", "11s", Live),
    ("health_timeout", "health=file:/", "3s", "4s", Live),
    ("health_retries", "health=file:/", "3", "4", Live),
    ("health_start_period", "health=file:/", "0", "1", Live),
    ("health_action", "health=file:/", "restart", "none", Live),
    ("memory_limit", "", "", "1GB", Live),
    ("memory_action", "memory_limit=1GB", "restart", "stop", Live),
    ("watchdog", "notify=true", "1h", "2h", Live),
    ("notify", "", "false", "true", Restart),
    ("stdout_logfile", "", "NONE", "AUTO", Restart),
    ("stdout_logfile_maxbytes", "", "50MB", "40MB", Live),
    ("stdout_logfile_backups", "", "10", "9", Live),
    ("stdout_capture_maxbytes", "", "0", "1KB", Restart),
    ("stdout_events_enabled", "", "false", "true", Restart),
    ("stdout_syslog", "", "false", "true", Restart),
    ("stdout_logfile_timestamps", "", "false", "true", Restart),
    ("stdout_logfile_prefix", "", "", "x", Restart),
    ("stdout_logfile_format", "", "raw", "json", Restart),
    ("stderr_logfile", "", "NONE", "AUTO", Restart),
    ("stderr_logfile_maxbytes", "", "50MB", "40MB", Live),
    ("stderr_logfile_backups", "", "10", "9", Live),
    ("stderr_capture_maxbytes", "", "0", "1KB", Restart),
    ("stderr_events_enabled", "", "false", "true", Restart),
    ("stderr_syslog", "", "false", "true", Restart),
    ("stderr_logfile_timestamps", "", "false", "true", Restart),
    ("stderr_logfile_prefix", "", "", "x", Restart),
    ("stderr_logfile_format", "", "raw", "json", Restart),
    ("syslog_facility", "", "LOCAL0", "LOCAL1", Restart),
    ("syslog_tag", "", "", "x", Restart),
    ("syslog_stdout_priority", "", "", "INFO", Restart),
    ("syslog_stderr_priority", "", "", "INFO", Restart),
    ("environment", "", "", "A=\"1\"", Restart),
    ("environment_file", "", "", "-/nonexistent.env", Restart),
    ("environment_inherit", "", "all", "none", Restart),
    ("user_environment", "user=nobody", "false", "true", Restart),
    ("credential.NAME", "", "", "-/nonexistent", Restart),
    ("supplementary_groups", "", "", "1", Restart),
    ("limit_as", "", "", "1GB", Restart),
    ("limit_core", "", "", "0", Restart),
    ("limit_cpu", "", "", "3600", Restart),
    ("limit_data", "", "", "1GB", Restart),
    ("limit_fsize", "", "", "1GB", Restart),
    ("limit_memlock", "", "", "64KB", Restart),
    ("limit_msgqueue", "", "", "64KB", Restart),
    ("limit_nofile", "", "", "64", Restart),
    ("limit_nproc", "", "", "4096", Restart),
    ("limit_rtprio", "", "", "0", Restart),
    ("limit_sigpending", "", "", "64", Restart),
    ("limit_stack", "", "", "8MB", Restart),
    ("nice", "", "", "5", Restart),
    ("ionice", "", "", "idle", Restart),
    ("cpu_affinity", "", "", "0", Restart),
    ("cpu_scheduling", "", "", "batch", Restart),
    ("oom_score_adj", "", "", "500", Restart),
    ("memory_high", "", "", "512MB", Restart),
    ("memory_max", "", "", "1GB", Restart),
    ("cpu_max", "", "", "150%", Restart),
    ("cpu_weight", "", "", "50", Restart),
    ("pids_max", "", "", "100", Restart),
    ("io_weight", "", "", "50", Restart),
    // `[program-defaults:other]` has another umask.
    ("inherit", "", "", "other", Restart),
    // With `true` the program could not start where there are no control groups.
    ("cgroup_required", "", "true", "false", Restart),
    ("no_new_privs", "", "false", "true", Restart),
    ("capabilities", "", "", "-CHOWN", Restart),
    ("ambient_capabilities", "", "", "-CHOWN", Restart),
    ("seccomp", "", "", "-@service", Restart),
    ("read_only_paths", "", "", "-/", Restart),
    ("read_write_paths", "", "", "-/", Restart),
    ("private_tmp", "", "false", "-true", Restart),
    ("private_network", "", "false", "-true", Restart),
    ("serverurl", "", "AUTO", "http://x:1", Restart),
    ("sockets", "", "", "unix://%(here)s/new.sock", Restart),
    ("socket_owner", "sockets=unix://%(here)s/owner.sock", "", "nobody", Restart),
    ("socket_mode", "sockets=unix://%(here)s/mode.sock", "0700", "0777", Restart),
    ("essential", "", "false", "true", Live),
];

const LISTENER: &[Row] = &[
    ("events", "", "TICK_60", "TICK_3600", Replace),
    ("buffer_size", "events=TICK_60", "10", "11", Replace),
    (
        "result_handler",
        "events=TICK_60",
        "supervisor.dispatchers:default_handler",
        "supervisor_stdout:event_handler",
        Replace,
    ),
    ("payload_length", "events=TICK_60", "characters", "bytes", Replace),
];

const FCGI: &[Row] = &[
    ("socket", "", "unix://%(here)s/f1.sock", "unix://%(here)s/f2.sock", Restart),
    ("socket_backlog", "socket=unix://%(here)s/f3.sock", "8", "9", Restart),
];

const GROUP: &[Row] =
    &[("programs", "", "one", "one,two", Members), ("priority", "programs=three", "5", "6", Group)];

/// Those of other sections. The values of some are in the configuration of every test.
const OTHERS: &[Row] = &[
    ("chmod", "unix_http_server", "", "0600", Nothing),
    ("chown", "", "", "", Nothing),
    ("file", "", "", "", Nothing),
    ("port", "", "", "", Nothing),
    ("username", "", "", "", Nothing),
    ("password", "", "", "", Nothing),
    ("legacy_get_actions", "unix_http_server", "", "true", Nothing),
    ("allowed_hosts", "unix_http_server", "", "x.example", Nothing),
    ("nodename", "", "", "x", Nothing),
    ("logfile", "", "", "", Nothing),
    ("logfile_maxbytes", "", "", "1MB", Nothing),
    ("logfile_backups", "", "", "1", Nothing),
    ("loglevel", "", "", "", Nothing),
    ("log_format", "", "", "json", Nothing),
    ("pidfile", "", "", "", Nothing),
    ("nodaemon", "", "", "", Nothing),
    ("silent", "", "", "true", Nothing),
    ("minfds", "", "", "100", Nothing),
    ("minprocs", "", "", "100", Nothing),
    ("umask", "", "", "027", Nothing),
    ("user", "", "", "", Nothing),
    ("identifier", "", "", "x", Nothing),
    ("directory", "", "", "/", Nothing),
    ("nocleanup", "", "", "true", Nothing),
    ("childlogdir", "", "", "", Nothing),
    // Of all programs: see `a_variable_of_the_daemon_is_one_of_all_programs`.
    ("environment", "", "", "", Nothing),
    ("strip_ansi", "", "", "true", Nothing),
    ("exit_when", "", "", "any_fatal", Nothing),
    ("processinfomapfile", "", "", "%(here)s/x.map", Nothing),
    ("startkillall", "", "", "false", Nothing),
    ("exitkillall", "", "", "false", Nothing),
    ("manager_watchdog_secs", "", "", "31", Nothing),
    ("state_file", "", "", "%(here)s/state.json", Nothing),
    ("supervisor.rpcinterface_factory", "", "", "", Nothing),
    ("serverurl", "", "", "", Nothing),
    ("prompt", "supervisorctl", "", "x", Nothing),
    ("history_file", "supervisorctl", "", "/tmp/x", Nothing),
    ("supervisor.ctl_factory", "", "", "", Nothing),
    // See `tests/e2e/includes.rs`.
    ("files", "", "", "", Nothing),
    ("include_errors", "", "", "", Nothing),
];

/// Keys of the schema, by what their sections begin with.
fn schema() -> BTreeMap<String, BTreeSet<String>> {
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut kind = String::new();
    for line in config::sample().lines() {
        let plain = line.trim_start_matches("; ").trim_start_matches(';');
        if let Some(header) = plain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            kind = header.split_once(':').map_or(header, |(kind, _)| kind).to_string();
        } else if let Some((setting, _)) = plain.split_once(" ; ")
            && let Some((name, _)) = setting.trim().split_once('=')
        {
            keys.entry(kind.clone()).or_default().insert(name.trim().to_string());
        }
    }
    keys
}

#[test]
fn no_key_is_forgotten() {
    let names = |rows: &[Row]| rows.iter().map(|(key, ..)| key.to_string()).collect::<BTreeSet<_>>();
    let program = names(PROGRAM);
    for (kind, keys) in schema() {
        let known = match kind.as_str() {
            // They stand for those of programs, which say what follows.
            "program" | "program-defaults" => program.clone(),
            "eventlistener" => &names(LISTENER) | &program,
            "fcgi-program" => &names(FCGI) | &program,
            "group" => &names(GROUP) | &program,
            _ => names(OTHERS),
        };
        let missing: Vec<_> = keys.difference(&known).collect();
        assert!(missing.is_empty(), "[{kind}]: say what update does when {missing:?} changes");
    }
}

/// The chapter names the keys that are applied, and no other.
#[test]
fn the_book_names_the_keys_that_are_applied() {
    let chapter = include_str!("../../docs/book/src/updates.md");
    let (_, list) = chapter.split_once("These are applied to a process as it runs:").expect("the list");
    let (list, _) = list.split_once("\n\n").expect("its end");
    let named: BTreeSet<&str> = list.split('`').skip(1).step_by(2).collect();
    let applied: BTreeSet<&str> =
        PROGRAM.iter().filter(|(.., effect)| *effect == Live).map(|(key, ..)| *key).collect();
    assert_eq!(named, applied);
}

/// The key that a plan names where this one has changed.
fn because_of(key: &str) -> &str {
    if key == "inherit" { "umask" } else { key }
}

/// The name of the section that differs in a key.
fn section_of(kind: &str, key: &str) -> String {
    format!("{kind}_{}", key.replace(['.', ':'], "_"))
}

/// The whole configuration, before or after.
fn configuration(is_after: bool) -> String {
    let mut text = "[program-defaults:other]\numask=027\n".to_string();
    let mut section = |kind: &str, prefix: &str, more: &str, row: &Row| {
        let (key, besides, before, after, _) = row;
        let value = if is_after { after } else { before };
        let key_name = key.replace("NAME", "x");
        let command = if *key == "command" { "" } else { "command=/bin/sleep 1000\n" };
        let _ = writeln!(text, "[{kind}:{}]\n{command}{more}{besides}", section_of(prefix, key));
        if !value.is_empty() {
            let _ = writeln!(text, "{key_name}={value}");
        }
    };
    for row in PROGRAM {
        section("program", "p", "", row);
    }
    for row in LISTENER {
        section("eventlistener", "l", "", row);
    }
    for row in FCGI {
        section("fcgi-program", "f", "", row);
    }
    let (programs, priority) = if is_after { ("one,two", 6) } else { ("one", 5) };
    for name in ["still", "one", "two", "three"] {
        let _ = writeln!(text, "[program:{name}]\ncommand=/bin/sleep 1000");
    }
    let _ = writeln!(
        text,
        "[group:g_programs]\nprograms={programs}\n[group:g_priority]\nprograms=three\npriority={priority}"
    );
    // Members of a group of which one differs, whatever the key is.
    let in_group =
        PROGRAM.iter().filter(|(.., effect)| matches!(effect, Live | Restart)).map(|(key, ..)| key);
    let in_group: Vec<String> = in_group.map(|key| section_of("p", key)).collect();
    let _ = writeln!(text, "[group:all]\nprograms=still,{}", in_group.join(","));
    if is_after {
        for (key, section, _, value, _) in OTHERS.iter().filter(|(_, _, _, value, _)| !value.is_empty()) {
            let section = if section.is_empty() { "supervisord" } else { section };
            let _ = writeln!(text, "[{section}]\n{key}={value}");
        }
    }
    text
}

/// The pids of all processes, by group and name.
fn pids(daemon: &Daemon) -> BTreeMap<(String, String), i32> {
    let rows = daemon.rows("supervisor.getAllProcessInfo");
    rows.iter().map(|row| ((member(row, "group"), member(row, "name")), member(row, "pid"))).collect()
}

/// What an update would do: by group and process, the action and its keys; the group itself has an empty name.
fn plan(daemon: &Daemon) -> BTreeMap<(String, String), (String, String)> {
    let answer =
        daemon.call("supervisord.updateGroups", vec![Value::Array(Vec::new()), Value::Boolean(true)]);
    let mut found = BTreeMap::new();
    for group in Vec::<Value>::try_from_value(&answer).expect("an array") {
        let name: String = member(&group, "group");
        let whole = (member(&group, "action"), member(&group, "keys"));
        found.insert((name.clone(), String::new()), whole);
        for process in member::<Vec<Value>>(&group, "processes") {
            let what = (member(&process, "action"), member(&process, "keys"));
            found.insert((name.clone(), member(&process, "name")), what);
        }
    }
    found
}

#[test]
fn each_key_does_what_the_table_says() {
    if !has_root("some keys need it") {
        return;
    }
    let daemon = Start::new(Side::Ours, &configuration(false)).ready();
    let all_run = |daemon: &Daemon| pids(daemon).values().all(|pid| *pid != 0);
    until("all programs run", LONG, || {
        // Where there are no control groups this one cannot.
        pids(&daemon).iter().all(|((_, name), pid)| *pid != 0 || name == "p_cgroup_required")
    });
    let before = pids(&daemon);
    daemon.write_conf(&configuration(true));
    let planned = plan(&daemon);
    let run = daemon.ctl(&["update"]);
    assert_eq!(run.code, 0, "{run:?}");
    until("all programs run again", LONG, || all_run(&daemon));
    let after = pids(&daemon);
    assert_eq!(plan(&daemon), BTreeMap::new(), "something is still to be done");

    let find = |pids: &BTreeMap<(String, String), i32>, group: &str, name: &str| {
        pids.get(&(group.to_string(), name.to_string())).copied()
    };
    let mut wrong = Vec::new();
    for (prefix, (key, _, _, _, effect)) in PROGRAM
        .iter()
        .map(|row| ("p", row))
        .chain(LISTENER.iter().map(|row| ("l", row)))
        .chain(FCGI.iter().map(|row| ("f", row)))
    {
        let name = section_of(prefix, key);
        let group = if prefix == "p" && matches!(effect, Live | Restart) { "all" } else { &name };
        let of_process = planned.get(&(group.to_string(), name.clone())).cloned();
        let (old, new) = (find(&before, group, &name), find(&after, group, &name));
        let is_right = match effect {
            Live => of_process == Some(("apply".into(), key.to_string())) && old == new && old > Some(0),
            Restart => {
                of_process == Some(("restart".into(), because_of(key).to_string()))
                    && old != new
                    && new > Some(0)
            }
            Replace => {
                let whole = planned.get(&(name.clone(), String::new()));
                whole == Some(&("replace".into(), key.to_string())) && old != new && new > Some(0)
            }
            // Told below.
            Members | Group | Nothing => true,
        };
        if !is_right {
            wrong.push(format!("{key}: expected {effect:?}, found {of_process:?}, pids {old:?} and {new:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let stays = |group: &str, name: &str| {
        assert_eq!(find(&before, group, name), find(&after, group, name), "{group}:{name}");
        assert_eq!(planned.get(&(group.to_string(), name.to_string())), None, "{group}:{name}");
    };
    let is_planned = |group: &str, name: &str, action: &str, key: &str| {
        let found = planned.get(&(group.to_string(), name.to_string()));
        assert_eq!(found, Some(&(action.to_string(), key.to_string())), "{group}:{name}");
    };
    // Nobody is touched because of somebody else in the group.
    stays("all", "still");
    stays("p_numprocs", "p0");
    is_planned("p_numprocs", "p1", "add", "numprocs");
    stays("p_numprocs_start", "p1");
    is_planned("p_numprocs_start", "p0", "remove", "process_name");
    is_planned("p_numprocs_start", "p2", "add", "process_name");
    is_planned("p_process_name", "a", "remove", "process_name");
    is_planned("p_process_name", "b", "add", "process_name");
    assert_eq!(find(&after, "p_process_name", "a"), None);
    stays("g_programs", "one");
    is_planned("g_programs", "two", "add", "programs");
    is_planned("two", "two", "remove", "");
    stays("g_priority", "three");
    is_planned("g_priority", "", "change", "priority");

    // A successor has the same.
    daemon.replace_manager();
    assert_eq!(pids(&daemon), after);
    assert_eq!(plan(&daemon), BTreeMap::new());
}

#[test]
fn a_variable_of_the_daemon_is_one_of_all_programs() {
    let conf = |variable: &str| {
        format!("[program:x]\ncommand=/bin/sleep 1000\n[supervisord]\nenvironment={variable}\n")
    };
    let daemon = Start::new(Side::Ours, &conf("A=1")).ready();
    daemon.write_conf(&conf("A=2"));
    let keys = ("restart".to_string(), "environment".to_string());
    assert_eq!(plan(&daemon).get(&("x".to_string(), "x".to_string())), Some(&keys));
}
