//! Daemons to talk to, and both clients. A test that includes this includes `support` as well.

// Each test file uses its part.
#![allow(dead_code)]

pub mod fake;
pub mod terminal;

use crate::support::{Daemon, LONG, Side, Start, free_ports, running, until};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// A daemon whose configuration changes program by program.
pub struct Supervised {
    daemon: Daemon,
    /// What follows the kit's part of the configuration and does not change.
    programs: String,
    /// Programs added later.
    extra: Mutex<Vec<String>>,
    /// Where its clients find it.
    pub url: String,
}

impl Supervised {
    /// Starts one and waits until it answers and its programs run. Its clients use a port with `inet`, the unix socket
    /// without.
    pub fn start(side: Side, programs: &str, inet: bool) -> Supervised {
        let [port] = free_ports();
        let server = format!(
            "[inet_http_server]\nport=127.0.0.1:{port}\n[supervisorctl]\nserverurl=http://127.0.0.1:{port}\n"
        );
        let programs = if inet { server + programs } else { programs.to_string() };
        let daemon = Start::new(side, &programs).ready();
        let url = match inet {
            true => format!("http://127.0.0.1:{port}"),
            false => format!("unix://{}", daemon.path("s.sock").display()),
        };
        let daemon = Supervised { daemon, programs, extra: Mutex::default(), url };
        until("the daemon's programs run", 3 * LONG, || {
            let (text, exit) = daemon.run(Side::Ours, "status");
            exit == 3 && !text.contains("STARTING") && text.contains("RUNNING")
        });
        daemon
    }

    pub fn folder(&self) -> &Path {
        self.daemon.directory()
    }

    pub fn conf(&self) -> PathBuf {
        self.daemon.conf()
    }

    /// What a shell prints that is given these lines.
    pub fn piped(&self, lines: &str, side: Side) -> (String, i32) {
        let mut child = self
            .client(side)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (normalize(&String::from_utf8(output.stdout).unwrap(), self), output.status.code().unwrap())
    }

    /// A client, to be given an action.
    fn client(&self, side: Side) -> Command {
        if side == Side::Ours {
            return ours(&self.conf());
        }
        let mut command = side.ctl();
        command.arg("-c").arg(self.conf()).stdin(Stdio::null());
        command
    }

    /// Runs a client.
    pub fn run(&self, side: Side, line: &str) -> (String, i32) {
        let output = self.client(side).args(line.split(' ')).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
    }

    /// Changes the configuration file: `+name` adds a program, `-name` drops it, `!` breaks it, `=` mends it.
    pub fn change(&self, change: &str) {
        let mut extra = self.extra.lock().unwrap();
        let (kind, name) = change.split_at(1);
        match kind {
            "+" => extra.push(name.to_string()),
            "-" => extra.retain(|other| other != name),
            _ => {}
        }
        let program = |name: &String| format!("[program:{name}]\ncommand=/bin/sleep 1000\nstartsecs=0\n");
        let extra: String = extra.iter().map(program).collect();
        let broken = if kind == "!" { "[program:broken]\ncommand=x\nautostart=maybe\n" } else { "" };
        self.daemon.write_conf(&format!("{}{extra}{broken}", self.programs));
    }

    /// Waits until the daemon has ended.
    pub fn wait_until_gone(&self) {
        let pid = self.daemon.started_pid();
        until("the daemon has ended", LONG, || !running(pid));
    }
}

/// Our client, to be given an action. The tester's credentials and terminal decide nothing.
pub fn ours(conf: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_supervisord"));
    command.arg("ctl");
    at_home(command, conf)
}

/// The same under the name of the original's client.
pub fn as_supervisorctl(conf: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_supervisord"));
    command.arg0("supervisorctl");
    at_home(command, conf)
}

fn at_home(mut command: Command, conf: &Path) -> Command {
    command.arg("-c").arg(conf).stdin(Stdio::null());
    command.env_remove("SUPERVISORCTL_PASSWORD").env("NETRC", "/nonexistent").env("TERM", "xterm");
    command.env_remove("NO_COLOR").env_remove("CLICOLOR").env_remove("CLICOLOR_FORCE");
    command
}

/// Takes out of an output what may differ: process ids, uptimes, the daemon's place, help texts and Python's names.
pub fn normalize(output: &str, daemon: &Supervised) -> String {
    let output = output.replace(&daemon.url, "URL").replace(&daemon.folder().display().to_string(), "HERE");
    let mut text = String::new();
    for line in output.lines() {
        if line.starts_with("Error: ") || line == "ERROR: no process name supplied" {
            // Behind it stands the help text, whose wording is free.
            return format!("{line}\n");
        }
        text.push_str(&normalize_line(line));
        text.push('\n');
    }
    text
}

fn normalize_line(line: &str) -> String {
    if line.starts_with("error: ") {
        return "error: ...".to_string();
    }
    if let Some((head, tail)) = line.split_once("   pid ") {
        let digits = tail.trim_start_matches(|c: char| c.is_ascii_digit());
        assert!(digits.starts_with(", uptime 0:"), "{line}");
        return format!("{head}   pid N, uptime T");
    }
    // A process id alone; 0 is none.
    if line != "0" && !line.is_empty() && line.chars().all(|c| c.is_ascii_digit()) {
        return "N".to_string();
    }
    // The moment of a stop: `Nov 20 01:16 PM`.
    if line.ends_with(" AM") || line.ends_with(" PM") {
        return format!("{} DATE", &line[..line.len() - "Nov 20 01:16 PM".len()]);
    }
    line.to_string()
}
