//! Ansible's `community.general.supervisorctl` drives our client, unmodified.
//!
//! Runs if `ANSIBLE_VENV` names a Python environment with Ansible and that collection; fails if it names anything
//! else.

mod ctl_support;
mod support;

use ctl_support::Supervised;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::Side;

const PROGRAMS: &str = "
[program:cat]
command=/bin/cat
startsecs=0

[program:multi]
command=/bin/sleep 1000
process_name=%(program_name)s_%(process_num)02d
numprocs=2
startsecs=0

[program:off]
command=/bin/cat
autostart=false
";

/// The environment with Ansible; `None` if none is named.
fn venv() -> Option<PathBuf> {
    let venv = PathBuf::from(std::env::var_os("ANSIBLE_VENV")?);
    assert!(venv.join("bin/ansible").is_file(), "ANSIBLE_VENV={} holds no bin/ansible", venv.display());
    Some(venv)
}

/// What one task came to: `CHANGED`, `SUCCESS`, or everything Ansible printed.
fn task(venv: &Path, daemon: &Supervised, client: &Path, arguments: &str) -> String {
    let shared = format!("config={} supervisorctl_path={}", daemon.conf().display(), client.display());
    let output = Command::new(venv.join("bin/ansible"))
        .args(["localhost", "-m", "community.general.supervisorctl", "-a", &format!("{shared} {arguments}")])
        .env("ANSIBLE_HOME", daemon.folder().join("ansible"))
        .env("ANSIBLE_NOCOLOR", "1")
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let known =
        ["CHANGED", "SUCCESS"].into_iter().find(|word| text.contains(&format!("localhost | {word} ")));
    known.map_or(text, str::to_string)
}

#[test]
fn every_state_of_the_module_is_reached() {
    let Some(venv) = venv() else {
        eprintln!("ANSIBLE_VENV is not set: nothing to drive the client with");
        return;
    };
    let daemon = Supervised::start(Side::Ours, PROGRAMS, false);
    let client = daemon.folder().join("supervisorctl");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_supervisord"), &client).unwrap();
    let steps = [
        ("", "name=cat state=stopped", "CHANGED"),
        ("", "name=cat state=stopped", "SUCCESS"),
        ("", "name=cat state=started", "CHANGED"),
        ("", "name=cat state=started", "SUCCESS"),
        ("", "name=multi: state=restarted", "CHANGED"),
        ("", "name=multi:multi_01 state=stopped", "CHANGED"),
        ("", "name=cat state=signalled signal=CONT", "CHANGED"),
        ("+fresh", "name=fresh state=present", "CHANGED"),
        ("", "name=fresh state=present", "SUCCESS"),
        ("-fresh", "name=fresh state=absent stop_before_removing=true", "CHANGED"),
        ("", "name=fresh state=absent", "SUCCESS"),
    ];
    for (change, arguments, expected) in steps {
        if !change.is_empty() {
            daemon.change(change);
        }
        assert_eq!(task(&venv, &daemon, &client, arguments), expected, "{arguments}");
    }
    let unknown = task(&venv, &daemon, &client, "name=nope state=started");
    assert!(unknown.contains("no such process"), "{unknown}");
}
