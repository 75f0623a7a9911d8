//! Nothing is dropped silently: whatever is written is in the files of a format, or in its list of losses.

use crate::config::Surroundings;
use crate::config::args::DaemonArgs;
use crate::config::schema::{KINDS, Key};
use crate::convert::export::{FORMATS, Format, Options, Source, export};
use crate::convert::losses::{Said, said};
use std::collections::HashMap;
use std::io::Write;

/// What the other program does anyway, so that it need not be written.
const ALWAYS: [(&str, &str, &str); 14] = [
    ("systemd", "killasgroup", "KillMode=control-group kills all"),
    ("systemd", "restart_backoff", "RestartSec= does not grow: fixed"),
    ("systemd", "stdout_syslog", "the journal gets all output"),
    ("systemd", "stderr_syslog", "the journal gets all output"),
    ("systemd", "user_environment", "User= sets these variables"),
    ("quadlet", "restart_backoff", "RestartSec= does not grow: fixed"),
    ("compose", "killasgroup", "the engine kills all that is in a container"),
    ("compose", "cgroup_required", "a container with limits that cannot be set does not start"),
    ("compose", "type", "on-failure is for both: a good end is the end"),
    ("kubernetes", "killasgroup", "all that is in a container is killed"),
    ("kubernetes", "cgroup_required", "a container with limits that cannot be set does not start"),
    ("kubernetes", "autorestart", "pods of a Deployment always come back"),
    ("nomad", "killasgroup", "the driver kills all that belongs to a task"),
    ("nomad", "autorestart", "tasks of a service always come back"),
];

/// Values other than the default, for keys that have no example.
fn value(key: &Key) -> String {
    let value = match key.name {
        "process_name" => "%(program_name)s_%(process_num)d",
        "numprocs" => "3\nprocess_name=%(program_name)s_%(process_num)d",
        "numprocs_start" => "5",
        "autorestart" => "true",
        "startsecs" | "startretries" | "stopwaitsecs" | "exitcodes" | "priority" => "7",
        "stopsignal" => "INT",
        "type" => "oneshot",
        "stop_scope" => "group",
        "user" => "0",
        "umask" => "027",
        "command" => "/bin/y",
        "supplementary_groups" => "0",
        "max_runtime" | "restart_delay" | "restart_reset" | "retry_fatal_after" | "dependency_timeout"
        | "watchdog" => "90s",
        "restart_backoff" => "fixed",
        "restart_jitter" => "10%%",
        "stay_down_exitcodes" => "3",
        "depends_on" => "db",
        "depends_restart" => "restart",
        "ready_interval" | "ready_timeout" | "health_interval" | "health_timeout" | "health_start_period" => {
            "7s"
        }
        "health_retries" => "7",
        "health_action" => "none",
        "memory_action" => "stop",
        "stdout_logfile" | "stderr_logfile" => "/tmp/x.log",
        "stdout_logfile_maxbytes" | "stderr_logfile_maxbytes" => "3MB",
        "stdout_capture_maxbytes" | "stderr_capture_maxbytes" => "1MB",
        "stdout_logfile_backups" | "stderr_logfile_backups" => "3",
        "stdout_logfile_prefix" | "stderr_logfile_prefix" => "x",
        "stdout_logfile_format" | "stderr_logfile_format" => "json",
        "environment" => "A=\"b\"",
        "environment_file" => "/etc/x.env",
        "environment_inherit" => "HOME",
        "serverurl" => "http://localhost:9",
        "socket_owner" => "root",
        "killasgroup" => "true",
        "socket_mode" => "0770",
        "syslog_tag" => "other",
        "cpu_affinity" => "0",
        "cpu_max" => "150%%",
        "read_only_paths" | "read_write_paths" => "/usr",
        "seccomp" => "@service",
        _ => match (key.example, key.default) {
            (Some(example), _) => example,
            (None, Some("false")) => "true",
            (None, Some("true")) => "false",
            (None, other) => panic!("{}: write a value that is not {other:?} here", key.name),
        },
    };
    value.to_string()
}

/// What has to be there for a key to mean anything.
fn needed(key: &str) -> &'static str {
    match key {
        "ready_interval" | "ready_timeout" => "ready=exec:/bin/true",
        "health_interval" | "health_timeout" | "health_retries" | "health_start_period" | "health_action" => {
            "health=exec:/bin/true"
        }
        "memory_action" => "memory_limit=1GB",
        "dependency_timeout" | "depends_restart" => "depends_on=db",
        "cgroup_required" => "memory_max=1GB",
        "socket_owner" | "socket_mode" => "sockets=unix:///tmp/x.sock",
        "syslog_facility" | "syslog_tag" | "syslog_stdout_priority" => "stdout_syslog=true",
        "syslog_stderr_priority" => "stderr_syslog=true",
        "numprocs_start" => "numprocs=2\nprocess_name=%(program_name)s_%(process_num)d",
        "ambient_capabilities" => "user=0",
        "user_environment" => "user=0",
        "stdout_logfile_prefix" | "stdout_logfile_maxbytes" | "stdout_logfile_backups" => {
            "stdout_logfile=/tmp/x"
        }
        "stderr_logfile_prefix" | "stderr_logfile_maxbytes" | "stderr_logfile_backups" => {
            "stderr_logfile=/tmp/x"
        }
        _ => "",
    }
}

/// All that a format makes of a program with these settings: its files, and what it lists about each key.
fn said_of(format: &Format, settings: &str, image: Option<&str>) -> String {
    let command = if settings.contains("command=") { "" } else { "command=/bin/x\n" };
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    let text = format!("[supervisord]\n[program:x]\n{command}{settings}\n[program:db]\ncommand=/bin/z\n");
    file.write_all(text.as_bytes()).expect("written");
    let args = DaemonArgs {
        configuration: Some(file.path().to_string_lossy().into_owned()),
        ..DaemonArgs::default()
    };
    let surroundings = Surroundings::of_this_process();
    let source = Source::read(&args, &surroundings).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    let options = Options { image: image.map(str::to_string), surroundings };
    let (files, losses) = export(format, &source, &options).expect("it is exported");
    let files: String = files.iter().map(|file| format!("{}\n{}", file.path, file.text)).collect();
    let hidden = file.path().to_string_lossy().into_owned();
    format!("{files}{}", losses.to_text()).replace(&hidden, "DIR")
}

#[test]
fn every_key_is_heard_of() {
    let kind = KINDS.iter().find(|kind| kind.prefix == "program:").expect("programs");
    let mut silent = Vec::new();
    for format in FORMATS {
        let mut plain = HashMap::new();
        for key in kind.keys() {
            if matches!(said(format.keys, key.name), Some(Said::Moot(_))) {
                continue;
            }
            let name = key.name.replace("NAME", "token");
            let setting = format!("{name}={}", value(key));
            // Only there it makes a difference of kind.
            let images: &[Option<&str>] =
                if format.name == "nomad" { &[None, Some("x")] } else { &[Some("x")] };
            for image in images {
                let needed = needed(key.name);
                let without =
                    plain.entry((needed, *image)).or_insert_with(|| said_of(format, needed, *image));
                let with = said_of(format, &format!("{needed}\n{setting}"), *image);
                let is_always =
                    ALWAYS.iter().any(|(name, known, _)| *name == format.name && *known == key.name);
                if !is_always && with == *without {
                    silent.push(format!("{} {setting} image={image:?}", format.name));
                }
            }
        }
    }
    assert!(silent.is_empty(), "written, and nobody hears of it: {silent:#?}");
}
