//! Daemons to talk to, and both clients.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use supervisord::ctl;
use supervisord::ctl::screen::Screen;
use supervisord::ctl::session::{Mode, Session, Settings};

/// How long anything may take before a test gives up.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// An original daemon with a directory of its own. Ends with its programs when dropped.
pub struct Original {
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

impl Original {
    /// Starts one and waits until it answers.
    pub fn start(venv: &Path, programs: &str, inet: bool) -> Original {
        let folder = tempfile::tempdir().unwrap();
        let inet = inet.then(free_port);
        let url = match inet {
            Some(port) => format!("http://127.0.0.1:{port}"),
            None => format!("unix://{}", folder.path().join("s").display()),
        };
        let programs = programs.to_string();
        write_conf(folder.path(), &programs, &[], inet, &url);
        let daemon = Command::new(venv.join("bin/supervisord"))
            .args(["-n", "-c"])
            .arg(folder.path().join("conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let original = Original {
            venv: venv.to_path_buf(),
            folder,
            daemon: Mutex::new(daemon),
            programs,
            extra: Mutex::default(),
            inet,
            url,
        };
        wait_for("the original daemon to answer and its programs to run", || {
            let (text, exit) = our_client(&original, "status");
            exit == 3 && !text.contains("STARTING") && text.contains("RUNNING")
        });
        original
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the original client.
    pub fn original_client(&self, line: &str) -> (String, i32) {
        let output = Command::new(self.venv.join("bin/supervisorctl"))
            .arg("-c")
            .arg(self.folder().join("conf"))
            .args(line.split(' '))
            .stdin(Stdio::null())
            .output()
            .unwrap();
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
        wait_for("the original daemon to end", || daemon.try_wait().unwrap().is_some());
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        let daemon = self.daemon.get_mut().unwrap();
        if daemon.try_wait().unwrap().is_none() {
            our_client_at(&self.url, "shutdown");
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
    let extra: String =
        extra.iter().map(|name| format!("[program:{name}]\ncommand=/bin/sleep 100\nstartsecs=0\n")).collect();
    let conf = format!(
        "{server}[supervisord]\nlogfile={here}/log\npidfile={here}/pid\nchildlogdir={here}\n\
         [rpcinterface:supervisor]\n\
         supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         [supervisorctl]\nserverurl={url}\n{programs}{extra}"
    );
    std::fs::write(folder.join("conf"), conf).unwrap();
}

/// A writer whose bytes can be looked at.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs our client inside this process.
pub fn our_client(original: &Original, line: &str) -> (String, i32) {
    our_client_at(&original.url, line)
}

fn our_client_at(url: &str, line: &str) -> (String, i32) {
    let settings = Settings { serverurl: url.to_string(), ..Settings::default() };
    let output = Captured::default();
    let screen = Screen::to(Box::new(output.clone()), Box::new(std::io::sink()));
    let mut session = Session::new(settings, screen, Mode::OneShot).unwrap();
    let words: Vec<String> = line.split(' ').map(str::to_string).collect();
    let exit = ctl::run_words(&mut session, &words);
    let bytes = output.0.lock().unwrap().clone();
    (String::from_utf8(bytes).unwrap(), i32::from(exit.0))
}

/// Takes out of an output what may differ: process ids, uptimes, the daemon's place, help texts and Python's names.
pub fn normalize(output: &str, original: &Original) -> String {
    let output =
        output.replace(&original.url, "URL").replace(&original.folder().display().to_string(), "HERE");
    let mut text = String::new();
    for line in output.lines() {
        if line.starts_with("Error: ") {
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
        assert!(digits.starts_with(", uptime 0:0"), "{line}");
        return format!("{head}   pid N, uptime T");
    }
    // The moment of a stop: `Nov 20 01:16 PM`.
    if line.ends_with(" AM") || line.ends_with(" PM") {
        return format!("{} DATE", &line[..line.len() - "Nov 20 01:16 PM".len()]);
    }
    line.to_string()
}
