//! The manager is killed before and after every system call that it makes on the way from a request to its
//! completion, one after the other. Whatever it was doing is done once or not at all, and what was acknowledged
//! is done.
//!
//! Creating a program, its end and the rotation of its log are tried completely; of the longer ways every fifth
//! point or fewer, others each time. `KILL_POINTS_STEP=1` tries all of all, as `make soak` does.

#[path = "../support/mod.rs"]
mod support;

mod confined;
mod life;
mod scale;
mod tracer;
mod update;

use dxr::Value;
use nix::sys::signal::Signal;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::time::{Duration, Instant};
use supervisord::model::state::ProcessState::{self, Running, Starting, Stopped, Stopping};
use support::{Daemon, Descendant, LONG, Side, Start, flag, running, text, until, until_some};
use tracer::Ran;

/// Whether the daemon said that what was asked for is done.
type Acknowledged = bool;

/// How many points there are from one that is tried to the next.
#[derive(Clone, Copy)]
enum Share {
    Every,
    Fifth,
    Few,
}

impl Share {
    /// The first point, and the step to the next.
    fn points(self) -> (usize, usize) {
        let asked = std::env::var("KILL_POINTS_STEP").ok().and_then(|step| step.parse().ok());
        let step = asked.unwrap_or(match self {
            Share::Every => 1,
            Share::Fifth => 5,
            Share::Few => 23,
        });
        (1 + std::process::id() as usize % step, step)
    }
}

/// Tries the points of what `act` asks for. `prepare` brings the daemon to where it starts from, `check` looks at
/// what has become of it.
fn at_points(
    daemon: &Daemon,
    share: Share,
    mut prepare: impl FnMut(),
    mut act: impl FnMut() -> Acknowledged,
    mut check: impl FnMut(usize, Acknowledged),
) {
    let (first, step) = share.points();
    let begun = Instant::now();
    for point in (first..).step_by(step) {
        prepare();
        let manager = daemon.manager();
        let (ran, acknowledged) = tracer::run(manager, point, &mut act);
        if ran == Ran::Killed {
            until("the manager is gone", LONG, || !running(manager));
        }
        until("a manager answers", LONG, || daemon.answers());
        // How processes are doing is told while logs are still being opened; this only when all is as it was.
        daemon.call("supervisor.getAllConfigInfo", vec![]);
        check(point, acknowledged);
        if let Ran::ToItsEnd(n_stops) = ran {
            let seconds = begun.elapsed().as_secs_f64();
            println!("{n_stops} points, killed at each {step}th from {first} on, in {seconds:.1} s");
            assert!(n_stops > 20, "there are system calls to be killed at");
            return;
        }
    }
}

/// Calls a method; whether it was answered, and not with a fault.
fn acknowledged(daemon: &Daemon, method: &str, arguments: Vec<Value>) -> Acknowledged {
    matches!(daemon.address().call(method, arguments), Ok(Ok(_)))
}

fn settled_state(daemon: &Daemon, name: &str) -> ProcessState {
    until_some("it has settled", LONG, || {
        Some(daemon.state_of(name)).filter(|state| !matches!(state, Starting | Stopping))
    })
}

/// How many programs run. The manager that was killed is a zombie for a while: it is reaped after its successor has come.
fn n_running(daemon: &Daemon) -> usize {
    daemon.programs().iter().filter(|program| running(program.pid)).count()
}

/// The pids that a program has written down, one per life.
fn lives(daemon: &Daemon) -> Vec<i32> {
    daemon.read("lives").lines().map(|line| line.parse().expect("a pid")).collect()
}

/// The lives of `p` that go on. Not recognised by their numbers: those come back within minutes.
fn alive(daemon: &Daemon) -> Vec<i32> {
    // One that is becoming its program has no words for a moment.
    let is_p = |program: &Descendant| !["", BYSTANDER].contains(&program.cmdline.as_str());
    daemon.programs().into_iter().filter(is_p).map(|program| program.pid).collect()
}

/// Whether `p` lives and has written its pid down.
fn has_begun(daemon: &Daemon) -> bool {
    let pid = daemon.pid_of("p");
    alive(daemon) == [pid] && lives(daemon).last() == Some(&pid)
}

/// Exactly so many lives go on, 0 or 1, and the daemon knows which.
#[track_caller]
fn assert_alive(daemon: &Daemon, expected: usize, point: usize) {
    let pids = if expected == 1 { vec![daemon.pid_of("p")] } else { vec![] };
    // One that is just becoming its program is not seen for a moment.
    until(&format!("{pids:?} live after point {point}"), LONG, || alive(daemon) == pids);
}

/// What the other program runs.
const BYSTANDER: &str = "sleep 1001";

const SLEEPER: &str = "
[program:p]
command=/bin/sh -c 'echo $$ >> lives; exec sleep 1000'
directory=%(here)s
startsecs=0
autostart=false
autorestart=false
";

fn start(conf: &str) -> Daemon {
    Start::new(Side::under_test(), conf).ready()
}

/// What stands in the activity log after `from` about the lives of programs; what is said again by the next
/// manager counts once.
fn story(daemon: &Daemon, from: usize) -> Vec<String> {
    let about_life =
        |text: &&str| ["spawned: ", "exited: ", "stopped: "].iter().any(|word| text.contains(word));
    let log = daemon.log();
    let mut story: Vec<String> = log[from..]
        .lines()
        .filter(about_life)
        .filter_map(|line| line.splitn(4, ' ').nth(3).map(str::to_string))
        .collect();
    story.dedup();
    story
}

#[test]
fn a_start_happens_once_or_not_at_all() {
    let daemon = start(SLEEPER);
    let n_lives = std::cell::Cell::new(0);
    at_points(
        &daemon,
        Share::Every,
        || {
            if daemon.state_of("p") == Running {
                daemon.call("supervisor.stopProcess", vec![text("p"), flag(true)]);
            }
            n_lives.set(lives(&daemon).len());
        },
        || acknowledged(&daemon, "supervisor.startProcess", vec![text("p"), flag(true)]),
        |point, acknowledged| {
            let state = settled_state(&daemon, "p");
            let expected = usize::from(state == Running);
            assert!(matches!(state, Running | Stopped), "{state} after point {point}");
            assert!(state == Running || !acknowledged, "an acknowledged start was lost at point {point}");
            until("it has written its pid", LONG, || lives(&daemon).len() == n_lives.get() + expected);
            assert_alive(&daemon, expected, point);
        },
    );
}

#[test]
fn a_stop_happens_once_or_not_at_all() {
    let daemon = start(SLEEPER);
    let from = std::cell::Cell::new(0);
    at_points(
        &daemon,
        Share::Fifth,
        || {
            if daemon.state_of("p") != Running {
                daemon.call("supervisor.startProcess", vec![text("p"), flag(true)]);
            }
            until("it has written its pid", LONG, || has_begun(&daemon));
            from.set(daemon.log().len());
        },
        || acknowledged(&daemon, "supervisor.stopProcess", vec![text("p"), flag(true)]),
        |point, acknowledged| {
            let state = settled_state(&daemon, "p");
            let n_alive = alive(&daemon).len();
            match state {
                Running => {
                    assert!(!acknowledged, "an acknowledged stop was lost at point {point}");
                    assert_eq!(n_alive, 1, "point {point}");
                    assert_eq!(story(&daemon, from.get()), [""; 0], "point {point}");
                }
                Stopped => {
                    assert_eq!(n_alive, 0, "point {point}");
                    let story = story(&daemon, from.get());
                    assert_eq!(story, ["stopped: p (terminated by SIGTERM)"], "point {point}");
                }
                other => panic!("{other} after point {point}"),
            }
        },
    );
}

#[test]
fn an_exit_is_accounted_for_once() {
    let daemon = start(
        "
[program:p]
command=/bin/sh -c 'echo $$ >> lives; read line < trigger; exit 3'
directory=%(here)s
startsecs=0
autostart=false
autorestart=true
",
    );
    let mut trigger = fifo(&daemon);
    daemon.call("supervisor.startProcess", vec![text("p"), flag(true)]);
    let before = std::cell::Cell::new((0, 0));
    at_points(
        &daemon,
        Share::Every,
        || {
            until("it has written its pid", LONG, || has_begun(&daemon));
            before.set((lives(&daemon).len(), daemon.log().len()));
        },
        || {
            trigger.write_all(b"end\n").expect("the test reads it, too, so it is open");
            until("it lives again", LONG, || lives(&daemon).len() > before.get().0);
            false
        },
        |point, _| {
            daemon.wait_for_state("p", Running, LONG);
            let pid = daemon.pid_of("p");
            assert_eq!(lives(&daemon).len(), before.get().0 + 1, "point {point}");
            assert_alive(&daemon, 1, point);
            let expected = [
                "exited: p (exit status 3; not expected)".to_string(),
                format!("spawned: 'p' with pid {pid}"),
            ];
            assert_eq!(story(&daemon, before.get().1), expected, "point {point}");
        },
    );
}

/// A FIFO that a program reads lines from, open so that writing never fails.
fn fifo(daemon: &Daemon) -> File {
    let path = daemon.path("trigger");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("the directory is the test's");
    OpenOptions::new().read(true).write(true).open(path).expect("it was just made")
}

/// The parts of a log in the order they were written, the oldest first, and their paths.
fn parts(daemon: &Daemon, name: &str) -> Vec<(std::path::PathBuf, String)> {
    let number = |file: &str| match file.strip_prefix(name)? {
        "" => Some(0),
        rest => rest.strip_prefix('.')?.parse::<u32>().ok(),
    };
    let entries = fs::read_dir(daemon.directory()).expect("it is there").flatten();
    let mut found: Vec<(u32, std::path::PathBuf)> =
        entries.filter_map(|entry| Some((number(entry.file_name().to_str()?)?, entry.path()))).collect();
    found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    found.into_iter().map(|(_, path)| (path.clone(), fs::read_to_string(path).unwrap_or_default())).collect()
}

fn rotation(more: &str, line: impl Fn(usize) -> String) {
    let daemon = start(&format!(
        "
[program:p]
command=/bin/sh -c 'n=0; while read go; do i=0; while [ $i -lt 30 ]; do n=$((n+1)); i=$((i+1)); echo \"line $n\"; done; done < trigger'
directory=%(here)s
startsecs=0
autostart=false
stdout_logfile=%(here)s/p.log
stdout_logfile_maxbytes=120
stdout_logfile_backups=50
{more}
"
    ));
    let mut trigger = fifo(&daemon);
    daemon.call("supervisor.startProcess", vec![text("p"), flag(true)]);
    let n_before = std::cell::Cell::new(0);
    let written = || parts(&daemon, "p.log").into_iter().map(|(_, text)| text).collect::<String>();
    let expected = || (1..=30).map(|n| line(n_before.get() + n) + "\n").collect::<String>();
    at_points(
        &daemon,
        Share::Every,
        || {
            // So that few files are to be renamed.
            for (path, _) in parts(&daemon, "p.log") {
                match path.extension().is_some_and(|extension| extension == "log") {
                    true => File::options().write(true).open(path).and_then(|file| file.set_len(0)),
                    false => fs::remove_file(path),
                }
                .expect("the directory is the test's");
            }
        },
        || {
            trigger.write_all(b"go\n").expect("the test reads it, too, so it is open");
            let deadline = Instant::now() + LONG;
            // A line that is written twice makes it more.
            while written().len() < expected().len() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            false
        },
        |point, _| {
            assert_eq!(written(), expected(), "point {point}");
            n_before.set(n_before.get() + 30);
        },
    );
}

#[test]
fn a_log_that_is_rotated_is_exact() {
    rotation("", |n| format!("line {n}"));
}

#[test]
fn a_formatted_log_that_is_rotated_is_exact() {
    rotation("stdout_logfile_prefix=web", |n| format!("web line {n}"));
}

const TWO: &str = "
[program:base]
command=sleep 1001
[program:p]
command=/bin/sh -c 'echo $$ >> lives; exec sleep 1000'
directory=%(here)s
startsecs=0
";

fn group_exists(daemon: &Daemon) -> bool {
    daemon.try_call("supervisor.getProcessInfo", vec![text("p")]).is_ok()
}

#[test]
fn a_group_is_added_once_or_not_at_all() {
    let daemon = start(TWO);
    let n_lives = std::cell::Cell::new(0);
    at_points(
        &daemon,
        Share::Fifth,
        || {
            if group_exists(&daemon) {
                daemon.wait_for_state("p", Running, LONG);
                until("it has written its pid", LONG, || has_begun(&daemon));
                daemon.call("supervisor.stopProcess", vec![text("p"), flag(true)]);
                daemon.call("supervisor.removeProcessGroup", vec![text("p")]);
            }
            n_lives.set(lives(&daemon).len());
        },
        || acknowledged(&daemon, "supervisor.addProcessGroup", vec![text("p")]),
        |point, acknowledged| {
            let expected = usize::from(group_exists(&daemon));
            assert!(expected == 1 || !acknowledged, "an acknowledged group was lost at point {point}");
            if expected == 1 {
                daemon.wait_for_state("p", Running, LONG);
            }
            until("it has written its pid", LONG, || lives(&daemon).len() == n_lives.get() + expected);
            assert_alive(&daemon, expected, point);
            assert_eq!(n_running(&daemon), 1 + expected, "point {point}");
        },
    );
}

#[test]
fn a_group_is_removed_once_or_not_at_all() {
    let daemon = start(TWO);
    at_points(
        &daemon,
        Share::Fifth,
        || {
            if !group_exists(&daemon) {
                daemon.call("supervisor.addProcessGroup", vec![text("p")]);
            }
            if daemon.state_of("p") != Stopped {
                daemon.wait_for_state("p", Running, LONG);
                until("it has written its pid", LONG, || has_begun(&daemon));
                daemon.call("supervisor.stopProcess", vec![text("p"), flag(true)]);
            }
        },
        || acknowledged(&daemon, "supervisor.removeProcessGroup", vec![text("p")]),
        |point, acknowledged| {
            let exists = group_exists(&daemon);
            assert!(!exists || !acknowledged, "an acknowledged removal was lost at point {point}");
            assert!(!exists || daemon.state_of("p") == Stopped, "point {point}");
            assert_eq!(n_running(&daemon), 1, "point {point}");
        },
    );
}

#[test]
fn a_restart_of_everything_starts_everything_once() {
    let daemon = start(TWO);
    let n_lives = std::cell::Cell::new(0);
    at_points(
        &daemon,
        Share::Fifth,
        || {
            daemon.wait_for_state("p", Running, LONG);
            until("it has written its pid", LONG, || has_begun(&daemon));
            n_lives.set(lives(&daemon).len());
        },
        || {
            daemon.signal(Signal::SIGHUP);
            until("it lives again", LONG, || lives(&daemon).len() > n_lives.get());
            false
        },
        |point, _| {
            daemon.wait_for_state("p", Running, LONG);
            until("the other one runs, too", LONG, || n_running(&daemon) == 2);
            assert_eq!(lives(&daemon).len(), n_lives.get() + 1, "point {point}");
            assert_alive(&daemon, 1, point);
        },
    );
}
