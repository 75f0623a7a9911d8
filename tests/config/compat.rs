//! The corpus read by the original Supervisor: it must accept and refuse the same configurations, read the same
//! values and say the same, unless a case says why not.
//!
//! `SUPERVISOR_VENV` names a virtual environment with the original; without it there is nothing to compare with.

use crate::corpus::{self, Case, Original};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use supervisord::model::config::{
    ActivityLog, Autorestart, ChildLog, Config, GroupConfig, GroupKind, HttpAddress, Level, ProcessConfig,
    StreamConfig,
};
use tempfile::TempDir;

#[test]
fn the_original_agrees() {
    let Some(venv) = std::env::var_os("SUPERVISOR_VENV").map(PathBuf::from) else {
        eprintln!("SUPERVISOR_VENV is not set: nothing to compare with");
        return;
    };
    let cases: Vec<Case> = corpus::files().iter().flat_map(|file| corpus::read(file)).collect();
    compare_all(&venv, &cases);
}

/// # Panics
/// If a case means something else to the original than it says.
pub fn compare_all(venv: &Path, cases: &[Case]) {
    let directories: Vec<TempDir> = cases.iter().map(Case::unpack).collect();
    let answers = ask(venv, cases, &directories);
    assert_eq!(answers.len(), cases.len(), "the original did not answer for every case");
    let mut failures = Vec::new();
    for ((case, directory), answer) in cases.iter().zip(&directories).zip(&answers) {
        if let Err(why) = compare(case, directory, answer) {
            let text = std::fs::read_to_string(directory.path().join("supervisord.conf")).unwrap_or_default();
            failures.push(format!("{}: {why}\n{text}", case.name));
        }
    }
    let shown = failures.iter().take(10).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(failures.is_empty(), "{} of {} cases differ\n{shown}", failures.len(), cases.len());
}

/// Lets the original read all cases in one go.
pub fn ask(venv: &Path, cases: &[Case], directories: &[TempDir]) -> Vec<Value> {
    let question = cases.iter().zip(directories).map(|(case, directory)| {
        json!({
            "directory": directory.path(),
            "arguments": case.arguments_in(directory),
            "environment": case.environment_in(directory),
        })
    });
    let answer = ask_python(venv, "original.py", &Value::Array(question.collect()));
    serde_json::from_value(answer).expect("an answer for each case")
}

/// Lets a script of this directory, run by the original's Python, answer a question.
pub fn ask_python(venv: &Path, script: &str, question: &Value) -> Value {
    let python = venv.join("bin/python");
    let mut child = Command::new(&python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(script))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("SUPERVISOR_VENV is broken: {}: {error}", python.display()));
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(question.to_string().as_bytes()).expect("Python reads its questions");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "SUPERVISOR_VENV is broken: {script} could not be asked");
    serde_json::from_slice(&output.stdout).expect("Python answers in JSON")
}

fn compare(case: &Case, directory: &TempDir, answer: &Value) -> Result<(), String> {
    let ours = case.load(directory);
    let error = answer.get("error").and_then(Value::as_str).map(without_environment);
    match (&case.original, ours, error) {
        (Original::Agrees, Err(failure), Some(error)) => {
            if error == failure.text || error == failure.sentence {
                return Ok(());
            }
            Err(format!("other words\n original: {error}\n ours:     {}", failure.sentence))
        }
        (Original::Agrees | Original::Differs, Ok(config), None) => {
            let (ours, original) = (values(&config), known(answer));
            match (&case.original, ours == original) {
                (Original::Agrees, false) => Err(difference(&ours, &original)),
                (Original::Differs, true) => Err("the original reads the same values".to_string()),
                _ => Ok(()),
            }
        }
        (Original::Accepts, Err(_), None) => Ok(()),
        (Original::Error(text), ours, Some(error)) => {
            let text = text.replace("$DIR", &directory.path().to_string_lossy());
            let same = ours.is_err_and(|failure| failure.sentence == error);
            if !error.starts_with(&text) {
                return Err(format!("the original says: {error}"));
            }
            if same { Err("the original says the same".to_string()) } else { Ok(()) }
        }
        (expected, ours, error) => {
            let ours = ours.map(|_| "accepted").map_err(|failure| failure.sentence);
            Err(format!("expected {expected:?}\n original: {error:?}\n ours: {ours:?}"))
        }
    }
}

/// The original lists every variable of its environment when a name is unknown. We do not.
fn without_environment(error: &str) -> String {
    let Some((head, names)) = error.split_once("Available names: ") else { return error.to_string() };
    let (names, tail) = names.split_once(" in section ").unwrap_or((names, ""));
    let listed: Vec<&str> = names.split(", ").filter(|name| !name.starts_with("ENV_")).collect();
    let tail = if tail.is_empty() { String::new() } else { format!(" in section {tail}") };
    format!("{head}Available names: {}{tail}", listed.join(", "))
}

pub fn difference(ours: &Value, original: &Value) -> String {
    let lines = |value: &Value| serde_json::to_string_pretty(value).expect("it is JSON");
    let (ours, original) = (lines(ours), lines(original));
    let unique = |a: &str, b: &str| {
        a.lines().filter(|line| !b.lines().any(|other| other == *line)).collect::<Vec<_>>().join("\n")
    };
    format!("other values\n original:\n{}\n ours:\n{}", unique(&original, &ours), unique(&ours, &original))
}

/// What the original says, without what cannot be compared.
pub fn known(answer: &Value) -> Value {
    let mut answer = answer.clone();
    let processes = answer["processes"].as_array_mut().expect("a list");
    for process in processes.iter_mut() {
        process.as_object_mut().expect("a structure").remove("inuse");
    }
    processes.sort_by_key(|process| (process["group"].to_string(), process["name"].to_string()));
    answer
}

/// Our configuration in the form of `original.py`.
pub fn values(config: &Config) -> Value {
    let mut processes: Vec<Value> = Vec::new();
    for group in &config.groups {
        processes.extend(group.processes.iter().map(|process| process_values(group, process)));
    }
    processes.sort_by_key(|process| (process["group"].to_string(), process["name"].to_string()));
    let groups: Vec<Value> = config.groups.iter().map(|group| json!([group.name, group.priority])).collect();
    let daemon = &config.supervisord;
    json!({
        "processes": processes,
        "groups": groups,
        "servers": config.http_servers.iter().map(server_values).collect::<Vec<_>>(),
        "globals": {
            "logfile": match &daemon.logfile {
                ActivityLog::File(path) => path.to_string_lossy().into_owned(),
                ActivityLog::Syslog => "syslog".to_string(),
            },
            "logfile_maxbytes": daemon.logfile_maxbytes,
            "logfile_backups": daemon.logfile_backups,
            "pidfile": daemon.pidfile,
            "umask": daemon.umask,
            "nodaemon": daemon.nodaemon,
            "silent": daemon.silent,
            "minfds": daemon.minfds,
            "minprocs": daemon.minprocs,
            "nocleanup": daemon.nocleanup,
            "childlogdir": daemon.childlogdir,
            "uid": daemon.user.as_ref().map(|user| user.uid),
            "directory": daemon.directory,
            "strip_ansi": daemon.strip_ansi,
            "identifier": daemon.identifier,
            "loglevel": level(daemon.loglevel),
        },
        "warnings": messages(config, |text, level| level == Level::Warn && is_the_originals(text)),
        "criticals": [],
    })
}

/// Whether the original would have said this, too.
fn is_the_originals(text: &str) -> bool {
    text.starts_with("For [") || text.starts_with("No file matches")
}

fn messages(config: &Config, wanted: impl Fn(&str, Level) -> bool) -> Vec<&str> {
    let messages = config.messages.iter().filter(|message| wanted(&message.text, message.level));
    messages.map(|message| message.text.as_str()).collect()
}

fn level(level: Level) -> i32 {
    match level {
        Level::Critical => 50,
        Level::Error => 40,
        Level::Warn => 30,
        Level::Info => 20,
        Level::Debug => 10,
        Level::Trace => 5,
        Level::Blather => 3,
    }
}

fn server_values(server: &supervisord::model::config::HttpServerConfig) -> Value {
    let username = server.credentials.as_ref().map(|credentials| &credentials.username);
    match &server.address {
        HttpAddress::Inet { host, port } => {
            json!({ "address": [host, port], "username": username, "chmod": null, "chown": null })
        }
        HttpAddress::Unix { file, chmod, chown } => {
            let id = |id: Option<u32>| id.map_or(-1, i64::from);
            json!({ "address": file, "username": username, "chmod": chmod, "chown": [id(chown.uid), id(chown.gid)] })
        }
    }
}

fn process_values(group: &GroupConfig, process: &ProcessConfig) -> Value {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_string());
    let mut values = json!({
        "name": process.name,
        "group": group.name,
        "group_prio": group.priority,
        "process_prio": process.priority,
        "kind": match group.kind {
            GroupKind::EventListener(_) => "EventListenerPoolConfig",
            GroupKind::FcgiProgram => "FastCGIGroupConfig",
            _ => "ProcessGroupConfig",
        },
        "command": process.command,
        "autostart": process.autostart,
        "autorestart": match process.autorestart {
            Autorestart::Never => "False",
            Autorestart::Unexpected => "RestartWhenExitUnexpected",
            Autorestart::Always => "RestartUnconditionally",
        },
        "startsecs": process.startsecs.as_secs(),
        "startretries": process.startretries,
        "exitcodes": process.exitcodes,
        "stopsignal": process.stopsignal.raw(),
        "stopwaitsecs": process.stopwaitsecs.as_secs(),
        "stopasgroup": process.stopasgroup,
        "killasgroup": process.killasgroup,
        "uid": process.user.as_ref().map_or(json!("none"), |user| json!(user.uid)),
        "umask": process.umask,
        "directory": or_none(process.directory.as_ref().map(|path| path.to_string_lossy().into_owned())),
        "environment": process.environment,
        "serverurl": or_none(process.serverurl.clone()),
        "redirect_stderr": process.redirect_stderr,
    });
    stream_values(&mut values, "stdout", &process.stdout);
    stream_values(&mut values, "stderr", &process.stderr);
    values
}

fn stream_values(values: &mut Value, name: &str, stream: &StreamConfig) {
    let logfile = match &stream.logfile {
        ChildLog::None => "none".to_string(),
        ChildLog::Auto => "auto".to_string(),
        ChildLog::File(path) => path.to_string_lossy().into_owned(),
        ChildLog::Memory => "memory".to_string(),
    };
    values[format!("{name}_logfile")] = json!(logfile);
    values[format!("{name}_logfile_maxbytes")] = json!(stream.maxbytes);
    values[format!("{name}_logfile_backups")] = json!(stream.backups);
    values[format!("{name}_capture_maxbytes")] = json!(stream.capture_maxbytes);
    values[format!("{name}_events_enabled")] = json!(stream.events_enabled);
    values[format!("{name}_syslog")] = json!(stream.syslog);
}
