//! A daemon in a directory of its own.

use super::http::Address;
use super::proc::{self, Descendant, Leftovers};
use super::rpc::{member, text};
use super::run::{Run, finish, run, run_with_input};
use super::side::Side;
use super::wait::{LONG, until, until_some};
use dxr::{Fault, Value};
use nix::sys::signal::Signal;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use supervisord::model::state::ProcessState;
use tempfile::TempDir;

/// Stands before every test's configuration. A test overrides a key by naming its section again.
const PRELUDE: &str = "\
[supervisord]
nodaemon=true
logfile=%(here)s/supervisord.log
pidfile=%(here)s/supervisord.pid
childlogdir=%(here)s

[unix_http_server]
file=%(here)s/s.sock

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://%(here)s/s.sock

";

/// Starts a daemon as PID 1 of a namespace of its own.
pub const AS_PID_1: [&str; 5] = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];

/// Marks everything that a daemon of ours started, so that it is found even without a parent.
const MARK: &str = "SUPERVISORD_TEST_DIRECTORY";

/// How a daemon is to be started.
#[derive(Clone)]
pub struct Start {
    side: Side,
    conf: String,
    arguments: Vec<String>,
    wrapper: Vec<String>,
}

impl Start {
    /// `conf` follows [`PRELUDE`]; the daemon runs in the foreground.
    pub fn new(side: Side, conf: &str) -> Start {
        Start::raw(side, &format!("{PRELUDE}{conf}"))
    }

    /// `conf` is the whole configuration.
    pub fn raw(side: Side, conf: &str) -> Start {
        Start { side, conf: conf.to_string(), arguments: Vec::new(), wrapper: Vec::new() }
    }

    /// More words for the daemon's command line.
    pub fn arguments(mut self, arguments: &[&str]) -> Start {
        self.arguments.extend(arguments.iter().map(|word| word.to_string()));
        self
    }

    /// A command that starts the daemon, such as `prlimit --nofile=64`.
    pub fn under(mut self, wrapper: &[&str]) -> Start {
        self.wrapper.extend(wrapper.iter().map(|word| word.to_string()));
        self
    }

    /// Starts it and waits until it answers.
    ///
    /// # Panics
    /// If it ends instead, or does not answer in time.
    #[track_caller]
    pub fn ready(self) -> Daemon {
        let mut daemon = self.spawn();
        daemon.wait_ready();
        daemon
    }

    /// Starts it without waiting for anything.
    pub fn spawn(self) -> Daemon {
        let mut daemon = self.prepare();
        daemon.spawn();
        daemon
    }

    /// Runs it to its end: for a start that fails, or that returns once a daemon stands in the background. The
    /// daemon, if there is one, belongs to the guard.
    pub fn run(self) -> (Run, Daemon) {
        let daemon = self.prepare();
        (run(&mut daemon.command()), daemon)
    }

    /// Makes its directory and starts nothing yet.
    pub fn prepare(self) -> Daemon {
        let directory = TempDir::with_prefix("supervisord-test-").expect("a temporary directory can be made");
        let daemon = Daemon {
            client: self.side,
            started: Instant::now(),
            child: None,
            directory,
            socket: "s.sock",
            start: self,
        };
        daemon.write_raw_conf(&daemon.start.conf);
        daemon
    }
}

/// A running daemon. Dropping it ends it and everything it started; if the test failed, its story is printed
/// before.
pub struct Daemon {
    start: Start,
    client: Side,
    started: Instant,
    /// `None` once it was waited for, and for one that went to the background.
    child: Option<Child>,
    directory: TempDir,
    /// Below the directory.
    socket: &'static str,
}

impl Daemon {
    /// The directory of the configuration, which is `%(here)s` in it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    pub fn conf(&self) -> PathBuf {
        self.path("supervisord.conf")
    }

    /// Replaces the configuration; the daemon does not look by itself.
    pub fn write_conf(&self, conf: &str) {
        self.write_raw_conf(&format!("{PRELUDE}{conf}"));
    }

    fn write_raw_conf(&self, conf: &str) {
        fs::write(self.conf(), conf).expect("the test's directory can be written");
    }

    /// Starts it in the foreground, once more if it was there before; the directory stays as it is.
    pub fn spawn(&mut self) {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(self.create("stdout")).stderr(self.create("stderr"));
        self.child = Some(command.spawn().expect("the daemon can be started"));
    }

    /// [`Daemon::spawn`], then waits until it answers.
    #[track_caller]
    pub fn start(&mut self) {
        self.spawn();
        self.wait_ready();
    }

    /// The whole text of a file in the directory; empty if there is none.
    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    /// The activity log.
    pub fn log(&self) -> String {
        self.read("supervisord.log")
    }

    /// The messages of the activity log from level INFO on, with their levels.
    pub fn messages(&self) -> Vec<LogLine> {
        self.log().lines().filter_map(LogLine::parse).filter(|line| line.level != "DEBG").collect()
    }

    /// The moment of the first message that contains `text`, in milliseconds of the day.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn moment(&self, text: &str) -> i64 {
        let line = self.messages().into_iter().find(|line| line.text.contains(text));
        line.unwrap_or_else(|| panic!("the activity log has no {text:?}")).at_ms
    }

    /// Waits until a line of the activity log contains `text`.
    #[track_caller]
    pub fn wait_log(&self, text: &str) {
        until(&format!("the activity log says {text:?}"), LONG, || self.log().contains(text));
    }

    /// The pid in the pidfile: that of the keeper.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        until_some("a pid in the pidfile", LONG, || self.read("supervisord.pid").trim().parse().ok())
    }

    /// The pid of what was started in the foreground: the daemon, or the command it was started under.
    pub fn started_pid(&self) -> i32 {
        let child = self.child.as_ref().expect("a daemon in the foreground, not waited for yet");
        i32::try_from(child.id()).expect("a pid fits")
    }

    /// The pid of the keeper as this test sees it: in a namespace of its own it is PID 1 and its pidfile says so.
    #[track_caller]
    pub fn keeper(&self) -> i32 {
        if self.start.wrapper.first().is_none_or(|word| word != "unshare") {
            return self.pid();
        }
        until_some("a child of unshare", LONG, || Some(proc::descendants(self.started_pid()).first()?.pid))
    }

    /// The pid of the manager, the keeper's other kind of child. Waits for one while there is none.
    #[track_caller]
    pub fn manager(&self) -> i32 {
        until_some("a manager", LONG, || self.manager_now())
    }

    /// [`Daemon::manager`] without waiting.
    ///
    /// Until it executes, a program that is being created bears the manager's name, too. It has a single thread;
    /// the manager has several from its first milliseconds on.
    pub fn manager_now(&self) -> Option<i32> {
        let below = proc::descendants(self.keeper());
        let named = below.into_iter().filter(is_manager).map(|process| process.pid);
        named.into_iter().find(|pid| proc::n_threads(*pid) > 1)
    }

    /// Waits until there is another manager than `before`, and gives its pid.
    #[track_caller]
    pub fn manager_after(&self, before: i32) -> i32 {
        until_some("another manager", LONG, || self.manager_now().filter(|&pid| pid != before))
    }

    /// Kills the manager and gives the pid of the next one, which may not answer yet.
    #[track_caller]
    pub fn kill_manager(&self) -> i32 {
        let before = self.manager();
        proc::kill(before, Signal::SIGKILL);
        self.manager_after(before)
    }

    /// [`Daemon::kill_manager`], then waits until the next one answers.
    #[track_caller]
    pub fn replace_manager(&self) -> i32 {
        let manager = self.kill_manager();
        self.wait_answer();
        manager
    }

    /// Kills the keeper, with which the daemon ends but not every program, and waits for the end of both processes.
    ///
    /// # Panics
    /// If the exit status does not say that this was no orderly end.
    #[track_caller]
    pub fn kill_keeper(&mut self) {
        let (keeper, manager) = (self.pid(), self.manager());
        proc::kill(keeper, Signal::SIGKILL);
        assert_eq!(self.wait_exit(), 1, "whoever waits for the daemon hears that this was no orderly end");
        proc::wait_gone(&[keeper, manager], LONG);
    }

    /// The programs that run now, and what they started in turn.
    pub fn programs(&self) -> Vec<Descendant> {
        proc::descendants(self.keeper()).into_iter().filter(|process| !is_manager(process)).collect()
    }

    pub fn address(&self) -> Address {
        Address::Unix(self.path(self.socket))
    }

    /// For a configuration whose socket stands elsewhere.
    pub fn at(&mut self, socket: &'static str) -> &mut Daemon {
        self.socket = socket;
        self
    }

    /// Calls a method that must be answered and must not fault.
    ///
    /// # Panics
    /// If it is not, or does.
    #[track_caller]
    pub fn call(&self, method: &str, arguments: Vec<Value>) -> Value {
        self.try_call(method, arguments).unwrap_or_else(|fault| panic!("{method}: {fault}"))
    }

    /// Calls a method that must be answered, be it with a fault.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn try_call(&self, method: &str, arguments: Vec<Value>) -> Result<Value, Fault> {
        self.address()
            .call(method, arguments)
            .unwrap_or_else(|error| panic!("{method} got no answer: {error}"))
    }

    /// `getProcessInfo`.
    #[track_caller]
    pub fn info(&self, name: &str) -> Value {
        self.call("supervisor.getProcessInfo", vec![text(name)])
    }

    /// What a method answers that answers with an array, such as `getAllProcessInfo`.
    #[track_caller]
    pub fn rows(&self, method: &str) -> Vec<Value> {
        match self.call(method, vec![]) {
            Value::Array(rows) => rows,
            other => panic!("{method} answers with an array, not {other:?}"),
        }
    }

    /// How many processes are in a state.
    #[track_caller]
    pub fn n_in(&self, wanted: ProcessState) -> usize {
        self.rows("supervisor.getAllProcessInfo").iter().filter(|info| state(info) == wanted).count()
    }

    /// The pid of a program; 0 if it does not run.
    #[track_caller]
    pub fn pid_of(&self, name: &str) -> i32 {
        member(&self.info(name), "pid")
    }

    /// The state of a program.
    ///
    /// # Panics
    /// If there is no such program, or no answer.
    #[track_caller]
    pub fn state_of(&self, name: &str) -> ProcessState {
        state(&self.info(name))
    }

    /// Waits until a program is in `state`; `patience` says for how long at most. A daemon that is not there at
    /// the moment, or does not know the program yet, is waited for as well.
    #[track_caller]
    pub fn wait_for_state(&self, name: &str, wanted: ProcessState, patience: Duration) {
        let look = || self.address().call("supervisor.getProcessInfo", vec![text(name)]);
        until(
            &format!("{name} is {wanted}"),
            patience,
            || matches!(look(), Ok(Ok(info)) if state(&info) == wanted),
        );
    }

    /// Lets [`Daemon::ctl`] use this client instead of the one that belongs to the daemon.
    pub fn with_client(mut self, client: Side) -> Daemon {
        self.client = client;
        self
    }

    /// Runs the client with these words.
    pub fn ctl(&self, arguments: &[&str]) -> Run {
        self.ctl_with_input(arguments, "")
    }

    /// Runs the client with these words and something to read: lines for its shell.
    pub fn ctl_with_input(&self, arguments: &[&str], input: &str) -> Run {
        let mut command = self.client.ctl();
        command.arg("-c").arg(self.conf()).args(arguments);
        command.current_dir(self.directory());
        let mut run = run_with_input(&mut command, input);
        run.command = format!("supervisorctl {}", arguments.join(" "));
        run
    }

    /// Sends a signal to the keeper, as everybody does who read the pidfile.
    pub fn signal(&self, signal: Signal) {
        proc::kill(self.keeper(), signal);
    }

    /// Waits until it has ended by itself and gives its exit status.
    ///
    /// # Panics
    /// If it goes on, or was not started in the foreground.
    #[track_caller]
    pub fn wait_exit(&mut self) -> i32 {
        self.wait_exit_within(LONG)
    }

    /// [`Daemon::wait_exit`] with a patience of its own.
    #[track_caller]
    pub fn wait_exit_within(&mut self, patience: Duration) -> i32 {
        let mut child = self.child.take().expect("a daemon in the foreground, not waited for yet");
        finish(&mut child, "the daemon's end", patience)
    }

    /// Waits until it answers.
    ///
    /// # Panics
    /// If it ends instead, or does not answer in time.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        until("the daemon answers", LONG, || {
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait().expect("our own child can be waited for")
            {
                panic!("the daemon ended instead of starting: {status}");
            }
            self.answers()
        });
    }

    /// Waits until it answers, whoever was killed.
    #[track_caller]
    pub fn wait_answer(&self) {
        until("it answers", LONG, || self.answers());
    }

    /// Whether it answers now.
    pub fn answers(&self) -> bool {
        matches!(self.address().call("supervisor.getPID", vec![]), Ok(Ok(_)))
    }

    /// Everything it started that is still running, itself included.
    pub fn alive(&self) -> Vec<i32> {
        self.mark().find()
    }

    /// Makes whatever `command` starts one of ours: it is found and ended with the daemon if it is still there.
    pub fn adopt(&self, command: &mut Command) {
        command.env(MARK, self.directory());
    }

    fn mark(&self) -> Leftovers {
        Leftovers::with(MARK, &self.directory().to_string_lossy())
    }

    /// What starts it, for a caller who waits for that himself.
    pub fn command(&self) -> Command {
        let daemon = self.start.side.daemon();
        let mut words = self.start.wrapper.iter();
        let mut command = match words.next() {
            None => daemon,
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(daemon.get_program());
                command
            }
        };
        command.arg("-c").arg(self.conf()).args(&self.start.arguments);
        // Programs see a small and known environment.
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TZ", "UTC");
        self.adopt(&mut command);
        command.current_dir(self.directory());
        command
    }

    fn create(&self, name: &str) -> File {
        File::create(self.path(name)).expect("the test's directory can be written")
    }

    /// Ends everything: in order if ours is still there, then by force.
    fn end(&mut self) {
        if self.start.side == Side::Ours
            && let Ok(pid) = self.read("supervisord.pid").trim().parse::<i32>()
            && self.mark().find().contains(&pid)
        {
            proc::kill(pid, Signal::SIGTERM);
            self.wait_quietly(Duration::from_secs(2));
        }
        let deadline = Instant::now() + LONG;
        // Whoever restarts what is killed is found and killed in a later round.
        while Instant::now() < deadline {
            let alive = self.mark().find();
            if alive.is_empty() {
                break;
            }
            alive.into_iter().for_each(|pid| proc::kill(pid, Signal::SIGKILL));
            self.wait_quietly(Duration::from_millis(20));
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }

    /// Waits for the end of everything without making a fuss if it does not come.
    fn wait_quietly(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline && !self.mark().find().is_empty() {
            if let Some(child) = &mut self.child {
                let _ = child.try_wait();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Prints what a reader of a failed test wants to know.
    fn tell(&self) {
        eprintln!(
            "---- the failed test's daemon, {:.3} s after its start",
            self.started.elapsed().as_secs_f64()
        );
        eprintln!("command: {:?}", self.command());
        eprintln!("directory: {}", self.directory().display());
        if self.answers() {
            eprintln!("---- status\n{}", self.ctl(&["status"]));
        }
        for process in self.alive() {
            eprintln!("running: {process} {}", proc::cmdline(process));
        }
        let mut names: Vec<_> = fs::read_dir(self.directory())
            .map(|entries| {
                entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect()
            })
            .unwrap_or_default();
        names.sort();
        for path in names {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
            eprintln!("---- {}\n{}", path.display(), tail(&text));
        }
        eprintln!("----");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A second panic on the way out would end the whole test run at once and leave daemons behind.
            let _ = catch_unwind(AssertUnwindSafe(|| self.tell()));
        }
        self.end();
        if std::thread::panicking() && std::env::var_os("KEEP_FAILED").is_some() {
            self.directory.disable_cleanup(true);
        }
    }
}

/// One line of the activity log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Milliseconds of the day.
    pub at_ms: i64,
    pub level: String,
    pub text: String,
}

impl LogLine {
    /// Reads `2026-11-20 13:17:20,207 INFO text`; `None` for a continuation.
    fn parse(line: &str) -> Option<LogLine> {
        let mut words = line.splitn(4, ' ');
        let (_date, time, level, text) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let (time, millis) = time.split_once(',')?;
        let seconds = time.split(':').try_fold(0, |sum, part| Some(sum * 60 + part.parse::<i64>().ok()?))?;
        let at_ms = seconds * 1000 + millis.parse::<i64>().ok()?;
        Some(LogLine { at_ms, level: level.to_string(), text: text.to_string() })
    }
}

fn state(info: &Value) -> ProcessState {
    let code: i32 = member(info, "state");
    ProcessState::from_code(code).unwrap_or_else(|| panic!("{code} is the number of a state"))
}

fn is_manager(process: &Descendant) -> bool {
    process.cmdline.starts_with("supervisord: manager")
}

/// The end of a long file.
fn tail(text: &str) -> String {
    const MOST: usize = 8000;
    let start = text.len().saturating_sub(MOST);
    let start = (start..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    let cut = if start > 0 { "[…]" } else { "" };
    format!("{cut}{}", &text[start..])
}
