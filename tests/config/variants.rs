//! Every key with every odd value somebody might have written. What the original runs with must not keep us from
//! starting, and where we understand something else we say so. `docs/drop-in.md` lists what that comes to.

use crate::compat;
use crate::corpus::{self, Case};
use serde_json::Value;
use std::path::{Path, PathBuf};
use supervisord::model::config::Level;

/// A header, what the section needs, and its keys.
type Section = (&'static str, &'static [&'static str], &'static [&'static str]);

#[rustfmt::skip]
const PROGRAM: &[&str] = &[
    "command", "process_name", "numprocs", "numprocs_start", "directory", "umask", "priority", "autostart",
    "autorestart", "startsecs", "startretries", "exitcodes", "stopsignal", "stopwaitsecs", "stopasgroup",
    "killasgroup", "user", "redirect_stderr", "stdout_logfile", "stdout_logfile_maxbytes",
    "stdout_logfile_backups", "stdout_capture_maxbytes", "stdout_events_enabled", "stdout_syslog",
    "stderr_logfile", "stderr_logfile_maxbytes", "stderr_logfile_backups", "stderr_capture_maxbytes",
    "stderr_events_enabled", "stderr_syslog", "environment", "serverurl",
];

#[rustfmt::skip]
const SECTIONS: [Section; 9] = [
    (
        "supervisord",
        &[],
        &[
            "logfile", "logfile_maxbytes", "logfile_backups", "loglevel", "pidfile", "nodaemon", "silent", "minfds",
            "minprocs", "umask", "user", "identifier", "directory", "nocleanup", "childlogdir", "environment",
            "strip_ansi",
        ],
    ),
    ("program:p", &["command=/bin/cat"], PROGRAM),
    ("eventlistener:e", &["command=/bin/cat", "events=TICK_5"], &["events", "buffer_size", "priority"]),
    (
        "fcgi-program:f",
        &["command=/bin/cat", "socket=unix:///tmp/f.sock"],
        &["socket", "socket_backlog", "socket_owner", "socket_mode", "user", "process_name"],
    ),
    // A member of the group that follows it.
    (
        "fcgi-program:m",
        &["command=/bin/cat", "socket=unix:///tmp/f.sock", "[group:g]", "programs=m", "[fcgi-program:m]"],
        &["socket", "socket_backlog", "socket_owner", "socket_mode"],
    ),
    ("group:g", &["[program:p]", "command=/bin/cat", "[group:g]"], &["programs", "priority"]),
    ("inet_http_server", &["port=9001"], &["port"]),
    ("unix_http_server", &["file=/tmp/s.sock"], &["file", "chmod", "chown"]),
    ("include", &[], &["files"]),
];

#[rustfmt::skip]
const VALUES: [&str; 84] = [
    "", "-1", "-5", "-0", "0", "1", "99999999999999999999", "-99999999999999999999", "\"1\"", "'1'", "1 ; comment",
    "1;comment", "1 # comment", "1#comment", "10s", "1.5", "1M", "1 MB", "-1MB", "1kb", "0x10", "0o17", "1_7",
    "+5", " 7 ", "8", "022", "12345", "777777", "-022", "maybe", "TRUE", "\"true\"", "true false", "y", "unexpected",
    "%s", "%5s", "%r x", "%s %s", "%d", "50%", "50%%", "%", "%(here)s", "%(nope)s", "%(program_name)s",
    "%(ENV_X)s", "%(ENV_BLANK)s", "%(ENV_TAB)s", "%(program_name)9999s", "a b", "a,b", "a:b", "a/b", "/", "/tmp",
    "~", "~/x", "~nobody/x", "$HOME", "A=1", "A=x y", "A=1;B=2", "A=http://h/p?x=1",
    "JAVA_OPTS=-Xmx1g -Xms1g", "KEY=abc=", "A=50%%", "A=~/x", "A=a#b", "A=it's", "A=x\\", "\"A=B\"=1", "none",
    "SIG_IGN", "SIG_DFL", "rtmin+1", "unix:///tmp/x", "tcp://h:1", "|/bin/x", "\"/tmp/x.log\"", "\"x.log\"",
    "localhost:0", "é",
];

/// What is added to the text of a case.
const HEAD: &str = "-- env X=outer\n-- env BLANK=a b\n-- env TAB=a\tb\n-- file supervisord.conf\n";

fn cases() -> Vec<Case> {
    let mut text = String::new();
    let mut number = 0;
    let mut add = |lines: &str| {
        text += &format!("==== variant-{number}\nDrawn up.\n{HEAD}[supervisord]\n{lines}");
        number += 1;
    };
    for (header, needed, keys) in SECTIONS {
        let needed: String = needed.iter().map(|line| format!("{line}\n")).collect();
        for key in keys {
            for value in VALUES {
                // Supervisor reads nothing from a directory, we do, and anything may lie in it.
                if header == "include" && Path::new(value).is_dir() {
                    continue;
                }
                add(&format!("[{header}]\n{needed}{key}={value}\n"));
            }
            add(&format!("[{header}]\n{needed}{key}=-1\n{key}=1\n"));
            add(&format!("[{header}]\n{needed}{key}=1\n[{header}]\n{key}=\n"));
        }
    }
    // A name and an empty password are refused; see the documentation.
    for (username, password) in [("", ""), ("", "x"), ("x", "x"), ("%s", "%s")] {
        add(&format!("[unix_http_server]\nfile=/tmp/s\nusername={username}\npassword={password}\n"));
        add(&format!("[inet_http_server]\nport=9001\nusername={username}\npassword={password}\n"));
    }
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text).expect("written");
    corpus::read(file.path())
}

/// An empty name of a log, or of a server, is none.
fn without_empty_names(mut values: Value) -> Value {
    for process in values["processes"].as_array_mut().into_iter().flatten() {
        for key in ["stdout_logfile", "stderr_logfile", "serverurl"] {
            if process[key] == "" {
                process[key] = "none".into();
            }
        }
    }
    values
}

#[test]
fn what_the_original_runs_with_does_not_keep_us_down() {
    let Some(venv) = std::env::var_os("SUPERVISOR_VENV").map(PathBuf::from) else {
        eprintln!("SUPERVISOR_VENV is not set: nothing to compare with");
        return;
    };
    let cases = cases();
    let directories: Vec<_> = cases.iter().map(Case::unpack).collect();
    let answers = compat::ask(&venv, &cases, &directories);
    let mut failures = Vec::new();
    let mut n_doubts = 0;
    for ((case, directory), answer) in cases.iter().zip(&directories).zip(&answers) {
        let ours = case.load(directory);
        let text = || std::fs::read_to_string(directory.path().join("supervisord.conf")).unwrap_or_default();
        if answer.get("error").is_some() {
            continue;
        }
        match ours {
            Err(failure) => failures.push(format!("refused: {}\n{}", failure.sentence, text())),
            Ok(config) => {
                let (ours, original) = (compat::values(&config), without_empty_names(compat::known(answer)));
                let warns = config.messages.iter().any(|message| message.level >= Level::Warn);
                n_doubts += usize::from(warns);
                // Nobody sees the difference between two enormous numbers, and -1 is a value of ours.
                if text().contains("9999") || text().contains("startretries=-1") {
                    continue;
                }
                if ours != original && !warns {
                    let difference = compat::difference(&ours, &original);
                    failures.push(format!("understood otherwise without a word: {difference}\n{}", text()));
                }
            }
        }
    }
    let shown = failures.iter().take(40).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(failures.is_empty(), "{} of {} cases\n{shown}", failures.len(), cases.len());
    assert!(n_doubts > 100, "only {n_doubts} doubts");
}
