//! `supervisord service`: the unit that it writes, with a stand-in for systemctl, and what it leaves alone.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Run, run};
use tempfile::TempDir;

/// Writes down how it was called, and fails for what the file `refuse` names.
const SYSTEMCTL: &str = "#!/bin/sh
echo \"$*\" >> \"$0.calls\"
if [ -e \"$0.refuse\" ] && [ \"$1\" = \"$(cat \"$0.refuse\")\" ]; then echo \"Failed to $1: no\" >&2; exit 5; fi
[ \"$2\" != status ] || exit 3
";

const CONF: &str = "[supervisord]\nlogfile=/var/log/s.log\npidfile=/run/s.pid\n[unix_http_server]\nfile=/run/s.sock\n\
                    [program:a]\ncommand=/bin/cat\nstopwaitsecs=500\n[program:b]\ncommand=/bin/cat\npriority=1\n\
                    stopwaitsecs=100\nstopsignal=INT TERM\n";

struct Machine {
    directory: TempDir,
}

impl Machine {
    fn new(conf: &str) -> Machine {
        use std::os::unix::fs::PermissionsExt;
        let machine = Machine { directory: tempfile::tempdir().expect("a temporary directory") };
        fs::create_dir(machine.path("bin")).expect("made");
        fs::create_dir(machine.path("units")).expect("made");
        fs::write(machine.path("bin/systemctl"), SYSTEMCTL).expect("written");
        fs::set_permissions(machine.path("bin/systemctl"), fs::Permissions::from_mode(0o755)).expect("set");
        fs::write(machine.path("x.conf"), conf).expect("written");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_supervisord"));
        command.args(words.split_whitespace()).current_dir(self.directory.path());
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap_or_default());
        command.env("PATH", path).env("ONLY_HERE", "1");
        command
    }

    fn service(&self, words: &str) -> Run {
        run(&mut self.command(&format!("service --unit-dir units {words}")))
    }

    fn unit(&self) -> Option<String> {
        fs::read_to_string(self.path("units/supervisord.service")).ok()
    }

    /// How systemctl was called since the last time.
    fn calls(&self) -> Vec<String> {
        let log = self.path("bin/systemctl.calls");
        let text = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(&log);
        text.lines().map(str::to_string).collect()
    }

    fn refuse(&self, verb: &str) {
        fs::write(self.path("bin/systemctl.refuse"), verb).expect("written");
    }

    fn refuse_nothing(&self) {
        let _ = fs::remove_file(self.path("bin/systemctl.refuse"));
    }

    fn names(&self) -> usize {
        fs::read_dir(self.path("units")).expect("readable").count()
    }
}

/// Whether systemd takes the unit, and says nothing about it.
#[track_caller]
fn verify(unit: &Path) {
    let run =
        run(Command::new("systemd-analyze").args(["verify", "--man=no", "--recursive-errors=no"]).arg(unit));
    assert!(run.code == 0 && !run.stderr.contains("supervisord.service"), "{run}");
}

#[test]
fn a_service_comes_and_goes() {
    let machine = Machine::new(CONF);
    let (unit_path, conf) = (machine.path("units/supervisord.service"), machine.path("x.conf"));
    let installed = machine.service("install --configuration=x.conf").expect(0);
    assert_eq!(machine.calls(), ["daemon-reload".to_string(), format!("enable {}", unit_path.display())]);
    for line in [
        format!("wrote {}", unit_path.display()),
        "enabled supervisord.service: it starts with the machine".to_string(),
        "its activity log is /var/log/s.log, its pidfile /run/s.pid".to_string(),
    ] {
        assert!(installed.stdout.contains(&line), "{line}: {installed}");
    }
    let unit = machine.unit().expect("it is there");
    let binary = env!("CARGO_BIN_EXE_supervisord");
    for line in [
        format!("ExecStart={binary} -n -c {}", conf.display()),
        format!("ExecReload={binary} -c {} ctl update", conf.display()),
        "KillMode=mixed".to_string(),
        // 500 for one priority, twice 100 for the other, and the margin.
        "TimeoutStopSec=730".to_string(),
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}: {unit}");
    }
    verify(&unit_path);

    // The same again, and another configuration.
    assert!(machine.service("-c x.conf install").expect(0).stdout.contains("up to date"));
    fs::write(&conf, CONF.replace("[supervisord]", "[supervisord]\nexitkillall=false")).expect("written");
    let replaced = machine.service("install -c x.conf").expect(0);
    assert!(replaced.stdout.starts_with("replaced"), "{replaced}");
    assert!(machine.unit().expect("it is there").contains("\nKillMode=process\n"));
    verify(&unit_path);
    machine.calls();

    for (word, status, call) in [
        ("start", 0, "start supervisord.service"),
        ("stop", 0, "stop supervisord.service"),
        ("status", 3, "--no-pager status supervisord.service"),
    ] {
        machine.service(word).expect(status);
        assert_eq!(machine.calls(), [call], "{word}");
    }
    machine.refuse("stop");
    let failed = machine.service("stop").expect(1);
    assert_eq!(failed.stderr, "Error: systemctl stop supervisord.service failed: Failed to stop: no\n");
    machine.calls();

    machine.refuse("disable");
    let failed = machine.service("uninstall").expect(1);
    assert!(
        failed.stderr.contains("supervisord.service is still there") && machine.unit().is_some(),
        "{failed}"
    );
    machine.refuse_nothing();
    machine.calls();
    let removed = machine.service("uninstall").expect(0);
    assert!(removed.stdout.contains("programs that it left running go on"), "{removed}");
    assert_eq!(
        (machine.calls().as_slice(), machine.names()),
        (&["disable --now supervisord.service".to_string(), "daemon-reload".to_string()][..], 0)
    );
    let missing = machine.service("uninstall").expect(1);
    assert!(missing.stderr.contains("is not installed"), "{missing}");
}

#[test]
fn what_fails_is_taken_back() {
    let machine = Machine::new(CONF);
    for (verb, said) in [("daemon-reload", "Failed to daemon-reload: no"), ("enable", "Failed to enable: no")]
    {
        machine.refuse(verb);
        let failed = machine.service("install -c x.conf").expect(1);
        assert!(
            failed.stderr.contains(said) && failed.stderr.contains("the unit was removed again"),
            "{failed}"
        );
        assert_eq!(machine.names(), 0, "{verb}");
    }
    machine.refuse_nothing();
    machine.service("install -c x.conf").expect(0);
    let before = machine.unit();
    machine.refuse("enable");
    fs::write(machine.path("x.conf"), "[supervisord]\nminfds=600000\n").expect("written");
    let failed = machine.service("install -c x.conf").expect(1);
    assert!(failed.stderr.contains("the former unit is back"), "{failed}");
    assert_eq!(machine.unit(), before);
}

#[test]
fn units_of_others_stay() {
    let machine = Machine::new(CONF);
    machine.service("install -c x.conf").expect(0);
    let changed = machine.unit().expect("it is there").replace("RestartSec=5", "RestartSec=7");
    machine.calls();
    for (unit, said) in [
        (changed.as_str(), "somebody has changed"),
        ("[Service]\nExecStart=/bin/true\n", "was not written by \"service install\""),
        ("", "was not written by \"service install\""),
    ] {
        fs::write(machine.path("units/supervisord.service"), unit).expect("written");
        for action in ["install -c x.conf", "uninstall"] {
            let refused = machine.service(action).expect(1);
            assert!(refused.stderr.contains(said), "{refused}");
            assert_eq!(machine.unit().as_deref(), Some(unit));
        }
    }
    // A masked unit.
    fs::remove_file(machine.path("units/supervisord.service")).expect("removed");
    std::os::unix::fs::symlink("/dev/null", machine.path("units/supervisord.service")).expect("linked");
    machine.service("install -c x.conf").expect(1);
    assert!(machine.path("units/supervisord.service").is_symlink());
    assert_eq!(machine.calls(), [""; 0]);
    // Another name is free.
    machine.service("install -c x.conf --name web.service").expect(0);
    assert!(machine.path("units/web.service").is_file());
}

#[test]
fn what_cannot_become_a_service() {
    let machine = Machine::new("[program:x]\ncommand=/bin/echo %(ENV_ONLY_HERE)s\n");
    let refused = machine.service("install -c x.conf").expect(1);
    assert!(refused.stderr.contains("ENV_ONLY_HERE") && refused.stderr.contains("--env-file"), "{refused}");
    fs::write(machine.path("my env"), "ONLY_HERE=2\n").expect("written");
    let mut command = machine.command("service --unit-dir units install -c x.conf --env-file");
    let installed = run(command.arg("my env")).expect(0);
    assert!(installed.stdout.contains("systemctl reload will not work"), "{installed}");
    let unit = machine.unit().expect("it is there");
    let env_file = format!(" --env-file \"{}\"\n", machine.path("my env").display());
    assert!(unit.contains(&env_file) && !unit.contains("ExecReload"), "{unit}");
    verify(&machine.path("units/supervisord.service"));
    machine.calls();
    for (words, said) in [
        ("service", "usage: "),
        ("service frobnicate", "usage: "),
        ("service install x", "positional arguments are not supported"),
        ("-n service install", "only -c and --env-file go into the unit"),
        ("service install --name ../x", "invalid value for --name"),
    ] {
        let refused = run(&mut machine.command(words)).expect(2);
        assert!(refused.stderr.contains(said), "{refused}");
    }
    for words in ["install -c missing.conf", "install -c /dev/null"] {
        assert!(
            machine.service(words).expect(1).stderr.starts_with("Error: the service could not start: "),
            "{words}"
        );
    }
    // Without systemd, and without systemctl.
    if !Path::new("/run/systemd/system").exists() {
        let refused = run(&mut machine.command("service start")).expect(1);
        assert!(refused.stderr.starts_with("Error: systemd does not run here"), "{refused}");
    }
    let refused =
        run(machine.command("service --unit-dir units install -c x.conf").env("PATH", "/nowhere")).expect(1);
    assert!(refused.stderr.starts_with("Error: systemd does not run here"), "{refused}");
    assert_eq!(machine.calls(), [""; 0]);
}
