//! Values that systemd and podman would read as something else than they are: how units say them, or that they are lost.

use crate::samples::{self, Sample};
use std::os::unix::ffi::OsStringExt;
use supervisord::config::Surroundings;
use supervisord::model::raw;

/// What an export makes: `path` and text of each file, and the losses.
struct Exported {
    files: Vec<(String, String)>,
    losses: Vec<String>,
}

impl Exported {
    #[track_caller]
    fn of(format: &str, sample: &Sample) -> Exported {
        let (files, losses) = samples::export(format, sample, Some("app")).expect("it exports");
        let files: Vec<_> = files.into_iter().map(|file| (file.path, file.text)).collect();
        Exported { files, losses: losses.iter().map(ToString::to_string).collect() }
    }

    fn paths(&self) -> Vec<&str> {
        self.files.iter().map(|(path, _)| &**path).collect()
    }

    fn has_line(&self, line: &str) -> bool {
        self.files.iter().any(|(_, text)| text.lines().any(|found| found == line))
    }

    fn has_key(&self, key: &str) -> bool {
        let begin = format!("{key}=");
        self.files.iter().any(|(_, text)| text.lines().any(|found| found.starts_with(&begin)))
    }

    fn has_loss(&self, part: &str) -> bool {
        self.losses.iter().any(|loss| loss.contains(part))
    }

    fn all(&self) -> String {
        let files: String = self.files.iter().map(|(path, text)| format!("--- {path}\n{text}\n")).collect();
        files + &self.losses.join("\n")
    }
}

/// Exports one program with these settings.
#[track_caller]
fn program(format: &str, settings: &str) -> Exported {
    let command = if settings.contains("command=") { "" } else { "command=/bin/cat\n" };
    Exported::of(format, &samples::of_text(&format!("[program:x]\n{command}{settings}\n")))
}

#[test]
fn values_are_read_as_they_were_written() {
    for (format, settings, line) in [
        ("systemd", "stopwaitsecs=0", "TimeoutStopSec=1ms"),
        ("systemd", "directory=/srv/a b", "WorkingDirectory=/srv/a b"),
        ("systemd", "command=/bin/cat a\u{a0}b", "ExecStart=/bin/cat \"a\u{a0}b\""),
        ("quadlet", "environment=A=\"$HOME\"", "Environment=A=$$HOME"),
        ("quadlet", "directory=/srv/$x", "WorkingDir=/srv/$$x"),
        ("quadlet", "credential.c=/etc/$x", "Volume=/etc/$$x:/run/credentials/c:ro"),
        ("quadlet", "environment_file=/etc/a $x", "EnvironmentFile=\"/etc/a $$x\""),
        ("quadlet", "stdout_syslog=true\nsyslog_tag=a$b", "LogOpt=tag=a$$b"),
    ] {
        let made = program(format, settings);
        assert!(made.has_line(line), "{line}\n{}", made.all());
    }
}

#[test]
fn what_would_be_read_as_something_else_is_lost() {
    for (format, settings, key) in [
        ("systemd", "directory=/srv/foo\\", "WorkingDirectory"),
        ("systemd", "directory=/srv/foo\\\\", "WorkingDirectory"),
        ("systemd", "stdout_logfile=/tmp/x\\", "StandardOutput"),
        ("systemd", "stderr_logfile=/tmp/x\\", "StandardError"),
        ("systemd", "stdout_syslog=true\nsyslog_tag=a\\", "SyslogIdentifier"),
        ("systemd", "environment_file=/etc/a\\", "EnvironmentFile"),
        ("systemd", "credential.c=/etc/a\\", "LoadCredential"),
        ("systemd", "sockets=unix:///tmp/a\\", "ListenStream"),
        ("quadlet", "directory=/srv/foo\\", "WorkingDir"),
        ("quadlet", "credential.c=/etc/a\\", "Volume"),
        ("quadlet", "health=exec:/bin/a \"x\ty\"", "HealthCmd"),
    ] {
        let made = program(format, settings);
        assert!(!made.has_key(key), "{key}\n{}", made.all());
        assert!(made.has_loss(&format!("{key}= is left out")), "{key}\n{}", made.all());
    }
    let made = program("systemd", "environment=A.B=\"secret\",C=\"1\"");
    assert!(
        made.has_line("Environment=C=1") && made.has_loss("environment = A.B: systemd takes"),
        "{}",
        made.all()
    );
    assert!(!made.all().contains("secret"), "{}", made.all());
    let made = program("quadlet", "credential.c=/etc/a:b");
    assert!(!made.has_key("Volume") && made.has_loss("podman takes no ':' in the path"), "{}", made.all());
    let made = Exported::of("systemd", &samples::of_text("[program:foo\\]\ncommand=/bin/cat\n"));
    assert!(made.has_line("Description=foo_"), "{}", made.all());
}

#[test]
fn a_command_that_is_not_found_keeps_no_mark_of_systemd() {
    for mark in ["+", "-", "!", "@", ":", ""] {
        let made = program("systemd", &format!("command={mark}nosuch x"));
        let line = format!("ExecStart=/usr/bin/{mark}nosuch x");
        let quoted = format!("ExecStart=\"/usr/bin/{mark}nosuch\" x");
        assert!(made.has_line(&line) || made.has_line(&quoted), "{}", made.all());
        assert!(made.has_loss("so it is expected in /usr/bin"), "{}", made.all());
    }
}

#[test]
fn a_shell_executes_what_systemd_refuses_to_name() {
    let made = program("systemd", "command=\"/bin/no'such\" x");
    assert!(
        made.has_line(r#"ExecStart=/bin/sh -c "exec \"$$0\" \"$$@\"" "/bin/no'such" x"#),
        "{}",
        made.all()
    );
}

#[test]
fn what_has_no_unit_is_named_by_none() {
    let text = "[program:a]\ncommand=/bin/sleep \"x\n[program:b]\ncommand=/bin/cat\ndepends_on=a\n";
    for format in ["systemd", "quadlet"] {
        let made = Exported::of(format, &samples::of_text(text));
        assert!(!made.has_key("Requires") && !made.has_key("After"), "{}", made.all());
        assert!(made.has_loss("there is no unit for a"), "{}", made.all());
        assert!(made.has_loss("it cannot be parsed"), "{}", made.all());
    }
}

#[test]
fn bytes_that_are_no_text_are_not_written() {
    let byte = raw::text(&std::ffi::OsString::from_vec(vec![0xff]));
    for (format, settings) in [
        ("systemd", "command=/bin/cat BYTE"),
        ("systemd", "command=/bin/cat\nenvironment=A=\"BYTE\""),
        ("quadlet", "command=/bin/cat BYTE"),
        ("systemd", "command=/bin/cat\ndirectory=/srv/BYTE"),
        ("systemd", "command=/bin/cat\nread_only_paths=/srv/BYTE"),
        ("systemd", "command=/bin/cat\nready=exec:/bin/x BYTE"),
        ("quadlet", "command=/bin/cat\nenvironment_file=/srv/BYTE"),
        ("quadlet", "command=/bin/cat\nstdout_syslog=true\nsyslog_tag=BYTE"),
    ] {
        let settings = settings.replace("BYTE", "%(ENV_BYTE)s");
        let made = Exported::of(format, &sample_with(&format!("[program:x]\n{settings}\n"), "BYTE", &byte));
        assert!(!made.all().contains(&byte), "{settings}\n{}", made.all());
        assert!(made.has_loss("text"), "{settings}\n{}", made.all());
    }
}

/// A configuration that is read where there is such a variable.
#[track_caller]
fn sample_with(text: &str, name: &str, value: &str) -> Sample {
    let mut surroundings = Surroundings::of_this_process();
    surroundings.environment.insert(name.to_string(), value.to_string());
    samples::of_text_in(text, surroundings)
}

#[test]
fn programs_have_sockets_and_targets_of_their_own() {
    let text = "[program:a-b]\ncommand=/bin/cat\nsockets=tcp://*:8080\n[group:a]\nprograms=b\n\
                [program:b]\ncommand=/bin/cat\nsockets=tcp://*:8081\n";
    let made = Exported::of("systemd", &samples::of_text(text));
    let mut paths = made.paths();
    let n_paths = paths.len();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), n_paths, "{}", made.all());
    for line in ["Sockets=a-b.socket", "Sockets=a-b-2.socket", "ListenStream=8080", "ListenStream=8081"] {
        assert!(made.has_line(line), "{line}\n{}", made.all());
    }
}
