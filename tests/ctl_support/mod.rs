//! Daemons to talk to, and both clients.

// Each test file uses its part.
#![allow(dead_code)]

pub mod fake;
pub mod terminal;

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Whose program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    Theirs,
    Ours,
}

/// A daemon with a directory of its own. Ends with its programs when dropped.
pub struct Supervised {
    venv: PathBuf,
    folder: tempfile::TempDir,
    daemon: Mutex<Child>,
    programs: String,
    /// Programs added later.
    extra: Mutex<Vec<String>>,
    inet: Option<u16>,
    pub url: String,
}

/// Waits for a condition.
#[track_caller]
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < DEADLINE, "waited {DEADLINE:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port nobody listens on at the moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Supervised {
    /// Starts one and waits until it answers.
    pub fn start(whose: Whose, venv: &Path, programs: &str, inet: bool) -> Supervised {
        let folder = tempfile::tempdir().unwrap();
        let inet = inet.then(free_port);
        let url = match inet {
            Some(port) => format!("http://127.0.0.1:{port}"),
            None => format!("unix://{}", folder.path().join("s").display()),
        };
        let programs = programs.to_string();
        write_conf(folder.path(), &programs, &[], inet, &url);
        let program = match whose {
            Whose::Theirs => venv.join("bin/supervisord"),
            Whose::Ours => env!("CARGO_BIN_EXE_supervisord").into(),
        };
        let daemon = Command::new(program)
            .args(["-n", "-c"])
            .arg(folder.path().join("conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Supervised {
            venv: venv.to_path_buf(),
            folder,
            daemon: Mutex::new(daemon),
            programs,
            extra: Mutex::default(),
            inet,
            url,
        };
        wait_for("the daemon to answer and its programs to run", || {
            let (text, exit) = daemon.run(Whose::Ours, "status");
            exit == 3 && !text.contains("STARTING") && text.contains("RUNNING")
        });
        daemon
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn conf(&self) -> PathBuf {
        self.folder().join("conf")
    }

    /// What a shell prints that is given these lines.
    pub fn piped(&self, lines: &str, whose: Whose) -> (String, i32) {
        let mut child = self
            .client(whose)
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
    fn client(&self, whose: Whose) -> Command {
        if whose == Whose::Ours {
            return ours(&self.conf());
        }
        let mut command = Command::new(self.venv.join("bin/supervisorctl"));
        command.arg("-c").arg(self.conf()).stdin(Stdio::null());
        command
    }

    /// Runs a client.
    pub fn run(&self, whose: Whose, line: &str) -> (String, i32) {
        let output = self.client(whose).args(line.split(' ')).output().unwrap();
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
        write_conf(self.folder(), &self.programs, &extra, self.inet, &self.url);
        if kind == "!" {
            let mut file = std::fs::OpenOptions::new().append(true).open(self.folder().join("conf")).unwrap();
            file.write_all(b"[program:broken]\ncommand=x\nautostart=maybe\n").unwrap();
        }
    }

    /// Waits until the daemon has ended.
    pub fn wait_until_gone(&self) {
        let mut daemon = self.daemon.lock().unwrap();
        wait_for("the daemon to end", || daemon.try_wait().unwrap().is_some());
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let daemon = self.daemon.get_mut().unwrap();
        if daemon.try_wait().unwrap().is_none() {
            let _ = ours(&self.folder.path().join("conf")).arg("shutdown").output();
            let begin = Instant::now();
            while daemon.try_wait().unwrap().is_none() && begin.elapsed() < DEADLINE {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

fn write_conf(folder: &Path, programs: &str, extra: &[String], inet: Option<u16>, url: &str) {
    let here = folder.display();
    let server = match inet {
        Some(port) => format!("[inet_http_server]\nport=127.0.0.1:{port}\n"),
        None => format!("[unix_http_server]\nfile={here}/s\n"),
    };
    let extra: String = extra
        .iter()
        .map(|name| format!("[program:{name}]\ncommand=/bin/sleep 1000\nstartsecs=0\n"))
        .collect();
    let conf = format!(
        "{server}[supervisord]\nlogfile={here}/log\npidfile={here}/pid\nchildlogdir={here}\n\
         [rpcinterface:supervisor]\n\
         supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         [supervisorctl]\nserverurl={url}\n{programs}{extra}"
    );
    std::fs::write(folder.join("conf"), conf).unwrap();
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
