//! What the tests of confinement share: programs that say what they are kept from, and daemons of those who start them.

use crate::start;
use crate::support::{Daemon, LONG, Side, Start, has_root, member, until, until_some};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use supervisord::model::state::ProcessState::{Exited, Fatal, Running};
use supervisord::sys::landlock;

pub const NET_BIND_SERVICE: u64 = 1 << 10;
pub const CHOWN: u64 = 1;

/// The daemon as an ordinary user, from a copy that this user can execute.
pub const ORDINARY: [&str; 4] = [
    "sh",
    "-c",
    "cp \"$1\" supervisord; shift; exec setpriv --reuid=54321 --regid=54321 --clear-groups ./supervisord \"$@\"",
    "sh",
];

/// The daemon as the root of a user namespace.
pub const IN_NAMESPACE: [&str; 4] = ["sh", "-c", "exec unshare -Ur \"$@\"", "sh"];

/// What it takes to execute anything.
pub const SYSTEM: &str = "/usr, -/bin, -/sbin, -/lib, -/lib64, -/etc/ld.so.cache";

/// A program that says something with a shell's script and then sleeps. In the script `@` stands for `%`.
pub fn teller(name: &str, script: &str, keys: &str) -> String {
    let script = script.replace('%', "%%").replace('\n', "; ");
    format!(
        "[program:{name}]\ncommand=/bin/sh -c \"{script}; echo; echo end; exec sleep 1000\"\nredirect_stderr=true\n\
         stdout_logfile=%(here)s/{name}.log\nstartretries=0\n{keys}\n"
    )
}

/// What it says.
#[track_caller]
pub fn told(daemon: &Daemon, name: &str) -> String {
    let path = daemon.path(&format!("{name}.log"));
    let ended = || fs::read_to_string(&path).ok().filter(|text| text.ends_with("\nend\n"));
    let text = until_some(&format!("{name} has told"), LONG, || {
        if daemon.state_of(name) == Fatal {
            panic!("{name}: {}", member::<String>(&daemon.info(name), "spawnerr"));
        }
        ended()
    });
    text.trim_end_matches("end\n").trim().to_string()
}

#[track_caller]
pub fn why(daemon: &Daemon, name: &str) -> String {
    daemon.wait_for_state(name, Fatal, LONG);
    member(&daemon.info(name), "spawnerr")
}

/// What it says of its own status.
pub struct Status(pub BTreeMap<String, String>);

pub const STATUS: &str = "grep -E '^(Cap|NoNew|Seccomp:|Uid|Gid)' /proc/self/status";

impl Status {
    #[track_caller]
    pub fn of(daemon: &Daemon, name: &str) -> Status {
        let text = told(daemon, name);
        let lines = text.lines().filter_map(|line| line.split_once(":\t"));
        Status(lines.map(|(name, value)| (name.to_string(), value.trim().to_string())).collect())
    }

    pub fn bits(&self, name: &str) -> u64 {
        u64::from_str_radix(&self.0[name], 16).expect(name)
    }

    pub fn number(&self, name: &str) -> u32 {
        self.0[name].split('\t').next().and_then(|text| text.parse().ok()).expect(name)
    }

    /// Inheritable, permitted, effective, bounding, ambient.
    pub fn sets(&self) -> [u64; 5] {
        ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| self.bits(name))
    }
}

/// A line of `/proc/PID/status` without its name.
pub fn status_of(pid: i32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_string()
}

pub fn status(daemon: &Daemon, name: &str, field: &str) -> String {
    daemon.wait_for_state(name, Running, LONG);
    status_of(daemon.pid_of(name), field)
}

/// The bits of a set of capabilities.
pub fn set(daemon: &Daemon, name: &str, field: &str) -> u64 {
    u64::from_str_radix(&status(daemon, name, field), 16).expect("a set of capabilities")
}

/// Starts a daemon whose directory everybody can write to.
pub fn start_under(wrapper: &[&str], conf: &str) -> Daemon {
    let mut daemon = Start::new(Side::under_test(), conf).under(wrapper).prepare();
    fs::set_permissions(daemon.directory(), PermissionsExt::from_mode(0o1777)).expect("it is ours");
    daemon.start();
    daemon
}

/// A daemon whose directory everybody may write to, not started yet.
pub fn prepared(wrapper: &[&str], conf: &str) -> Daemon {
    let daemon = Start::new(Side::under_test(), conf).under(wrapper).prepare();
    fs::set_permissions(daemon.directory(), PermissionsExt::from_mode(0o1777))
        .expect("the directory is ours");
    daemon
}

pub fn can_make_user_namespaces() -> bool {
    let tried = Command::new("setpriv")
        .args(["--reuid=54321", "--regid=54321", "--clear-groups", "unshare", "-Ur", "true"])
        .status();
    let can = tried.is_ok_and(|status| status.success());
    if !can {
        eprintln!("skipped: an ordinary user can make no user namespace here");
    }
    can
}

pub fn can_be_in_user_namespace() -> bool {
    let can = Command::new("unshare").args(["-Ur", "true"]).status().is_ok_and(|status| status.success());
    if !can {
        eprintln!("skipped: no user namespace can be made here");
    }
    can
}

/// Runs a test as whoever runs the tests, and as those that it can become.
pub fn as_everybody(test: impl Fn(&[&str], &str)) {
    test(&[], "as whoever runs the tests");
    if has_root("takes root, to become others") {
        test(&ORDINARY, "as an ordinary user");
    }
    if can_be_in_user_namespace() {
        test(&IN_NAMESPACE, "in a user namespace");
    }
}

/// The output of a program that has ended by itself.
pub fn output_of(daemon: &Daemon, name: &str) -> String {
    daemon.wait_for_state(name, Exited, LONG);
    let path = format!("{name}.out");
    until("its output is there", LONG, || daemon.read(&path).ends_with("end\n"));
    daemon.read(&path).trim_end_matches("end\n").to_string()
}

/// A program that runs a script of the daemon's directory once, and says `end` behind it.
pub fn once(name: &str, keys: &str) -> String {
    format!(
        "[program:{name}]\ncommand=sh {name}.sh\nstdout_logfile=%(here)s/{name}.out\nredirect_stderr=true\n\
         autorestart=false\nstartsecs=0\nstartretries=0\n{keys}\n"
    )
}

pub fn write_script(daemon: &Daemon, name: &str, lines: &str) {
    let path = daemon.path(&format!("{name}.sh"));
    fs::write(&path, format!("{lines}\necho end\n")).expect("the directory is ours");
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("the file is ours");
}

/// Whether this kernel can confine files; says so if not, and shows that a start fails for it.
pub fn has_landlock() -> bool {
    let Some(lack) = landlock::why_not() else { return true };
    eprintln!("skipped: {lack}");
    let daemon = start(
        "[program:x]\ncommand=sleep 1000\nread_only_paths=/\nstartretries=0\n\
         [program:y]\ncommand=sleep 1000\nread_only_paths=-/\n",
    );
    assert_eq!(why(&daemon, "x"), format!("read_only_paths: {lack}"));
    daemon.wait_for_state("y", Running, LONG);
    false
}
