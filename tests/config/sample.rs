//! `supervisord init` and `echo_supervisord_conf`: what scripts edit must be what they expect.

use std::path::{Path, PathBuf};
use std::process::Command;
use supervisord::config;

/// A line of a sample that is a header or a setting: section, whether it is switched off, key, value. A header has
/// an empty key. Prose begins with a semicolon and a blank.
type Line = (String, bool, String, String);

fn lines(text: &str) -> Vec<Line> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let is_off = line.starts_with(';');
        let rest = line.strip_prefix(';').unwrap_or(line);
        let rest = rest.split_once(" ;").map_or(rest, |(setting, _)| setting).trim_end();
        if let Some(name) = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_string();
            found.push((section.clone(), is_off, String::new(), String::new()));
        } else if !rest.starts_with(char::is_whitespace)
            && let Some((key, value)) = rest.split_once('=')
        {
            found.push((section.clone(), is_off, key.to_string(), value.to_string()));
        }
    }
    found
}

fn sample_of_original() -> Option<String> {
    let Some(venv) = std::env::var_os("SUPERVISOR_VENV").map(PathBuf::from) else {
        eprintln!("SUPERVISOR_VENV is not set: nothing to compare with");
        return None;
    };
    let output = Command::new(venv.join("bin/echo_supervisord_conf")).output().expect("the original runs");
    Some(String::from_utf8(output.stdout).expect("it prints text"))
}

#[test]
fn the_sample_has_the_settings_of_the_original() {
    let Some(original) = sample_of_original() else { return };
    let ours = config::sample();
    assert_eq!(lines(&ours), lines(&original));
    assert!(lines(&ours).len() > 100);
    assert!(ours.starts_with("; Sample supervisor config file"));
}

/// What scripts in the wild do to it.
const EDITS: [&str; 8] = [
    "s/nodaemon=false/nodaemon=true/",
    "s/^;\\[inet_http_server\\]/[inet_http_server]/; s/^;port=127.0.0.1:9001/port=0.0.0.0:9001/",
    "s/;\\[include\\]/[include]/; s|;files = .*|files = conf.d/*.ini|",
    "s|^logfile=/tmp/supervisord.log|logfile=/dev/null|; s/logfile_maxbytes=50MB/logfile_maxbytes=0/",
    "s|/tmp/supervisord.pid|/run/supervisord.pid|g; s|/tmp/supervisor.sock|/run/supervisor.sock|g",
    "s/^;user=supervisord/user=root/; s/^;umask=022/umask=002/",
    "s/^loglevel=info .*/loglevel=debug/; s/^minfds=1024/minfds=512/",
    "s/^;chmod=0700/chmod=0770/; s/^;username=user/username=me/; s/^;password=123/password=x/",
];

fn edited(text: &str, edit: &str, directory: &Path) -> String {
    let path = directory.join("supervisord.conf");
    std::fs::write(&path, text).expect("written");
    let status = Command::new("sed").args(["-i", edit]).arg(&path).status().expect("sed runs");
    assert!(status.success(), "{edit}");
    std::fs::read_to_string(&path).expect("it is there")
}

#[test]
fn scripts_that_edit_the_sample_get_what_they_expect() {
    let Some(original) = sample_of_original() else { return };
    let ours = config::sample();
    for edit in EDITS {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let edited_original = edited(&original, edit, directory.path());
        let edited_ours = edited(&ours, edit, directory.path());
        assert_eq!(lines(&edited_ours), lines(&edited_original), "{edit}");
        assert_ne!(lines(&edited_ours), lines(&ours), "{edit}: changes nothing");
        let check = run(directory.path(), &["check", "-c", "supervisord.conf"]);
        assert!(check.status.success(), "{edit}: {}", String::from_utf8_lossy(&check.stdout));
    }
}

fn run(directory: &Path, words: &[&str]) -> std::process::Output {
    let program = env!("CARGO_BIN_EXE_supervisord");
    Command::new(program).args(words).current_dir(directory).output().expect("the binary runs")
}

/// With every setting switched on, the new ones included, the sample names known keys only.
#[test]
fn every_line_of_the_sample_is_a_setting() {
    let is_setting = |line: &str| {
        let name = line.split_once('=').map_or("", |(name, _)| name.trim_end());
        line.starts_with('[') || !name.is_empty() && !name.contains([' ', '"'])
    };
    let sample = config::sample();
    let settings = sample.lines().map(|line| line.strip_prefix(';').unwrap_or(line)).map(str::trim_start);
    let settings: String = settings.filter(|line| is_setting(line)).map(|line| format!("{line}\n")).collect();
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("x.conf"), &settings).expect("written");
    let check = run(directory.path(), &["check", "-c", "x.conf"]);
    let printed = String::from_utf8_lossy(&check.stdout);
    assert!(!printed.contains("unknown key") && !printed.contains("unknown section"), "{printed}");
    for key in ["autostart", "events", "socket_backlog", "programs", "history_file", "exit_when", "chown"] {
        assert!(settings.contains(&format!("\n{key}=")), "{key}");
    }
}
