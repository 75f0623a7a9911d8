//! Starting: the terminal, the pidfile, the sockets, and what happens if it cannot be.

use crate::start;
use crate::support::{AS_PID_1, LONG, SLEEPER, Side, Start, kill, parent, running, until, wait_gone};
use dxr::Value;
use nix::sys::signal::Signal;
use std::fs;
use supervisord::model::state::ProcessState::Running;

#[test]
fn in_the_foreground_it_leaves_nothing_behind() {
    let mut daemon = start(SLEEPER);
    daemon.wait_for_state("sleeper", Running, LONG);
    assert_eq!(daemon.read("supervisord.pid"), format!("{}\n", daemon.pid()));
    assert_eq!(daemon.call("supervisor.getPID", vec![]), Value::Integer(daemon.pid()));
    let everybody = daemon.alive();
    assert_eq!(everybody.len(), 3, "keeper, manager and one program: {everybody:?}");

    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    wait_gone(&everybody, LONG);
    assert!(!daemon.path("supervisord.pid").exists(), "the pidfile is removed");
    assert!(!daemon.path("s.sock").exists(), "the socket is removed");
}

#[test]
fn every_program_is_the_child_of_the_pid_in_the_pidfile() {
    let daemon = start(SLEEPER);
    daemon.wait_for_state("sleeper", Running, LONG);
    assert_eq!(parent(daemon.pid_of("sleeper")), Some(daemon.pid()));
    assert_eq!(daemon.manager_now().and_then(parent), Some(daemon.pid()));
}

#[test]
fn in_the_foreground_the_activity_log_is_also_printed() {
    let daemon = start(SLEEPER);
    daemon.wait_log("spawned: 'sleeper'");
    until("the terminal shows the log", LONG, || daemon.read("stdout").contains("spawned: 'sleeper'"));
    let silent = Start::new(Side::under_test(), SLEEPER).arguments(&["-s"]).ready();
    silent.wait_log("spawned: 'sleeper'");
    assert_eq!(silent.read("stdout"), "");
}

#[test]
fn in_the_background_the_prompt_returns_when_it_is_ready() {
    let conf = format!("[supervisord]\nnodaemon=false\n{SLEEPER}");
    let (run, daemon) = Start::new(Side::under_test(), &conf).run();
    // From here on nothing is waited for: the prompt was the sign.
    assert_eq!(run.code, 0, "{run}");
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    assert!(daemon.answers(), "it answers as soon as the prompt is back");
    let pid = daemon.read("supervisord.pid").trim().parse::<i32>().expect("the pidfile is written");
    assert!(running(pid));

    let session = nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(pid))).expect("it is running");
    assert_eq!(session.as_raw(), pid, "it leads a session of its own");
    for descriptor in 0..3 {
        let target =
            fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).expect("it has descriptors 0 to 2");
        assert_eq!(target.to_string_lossy(), "/dev/null");
    }
    let everybody = daemon.alive();
    assert_eq!(daemon.ctl(&["shutdown"]).expect(0).stdout, "Shut down\n");
    wait_gone(&everybody, LONG);
}

#[test]
fn the_option_n_beats_the_file() {
    let conf = format!("[supervisord]\nnodaemon=false\n{SLEEPER}");
    let mut daemon = Start::new(Side::under_test(), &conf).arguments(&["-n"]).ready();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
}

/// What is wrong with a file: the lines, the one of them that is to blame, what the message must say.
const BAD: [(&str, &str, &[&str]); 10] = [
    ("[program:x]\ncommand=cat\nstartsecs=soon\n", "startsecs=soon", &["'soon'", "program:x", "startsecs"]),
    (
        "[program:x]\ncommand=cat\nautostart=maybe\n",
        "autostart=maybe",
        &["not a valid boolean value: 'maybe'", "program:x", "autostart"],
    ),
    (
        "[program:x]\ncommand=cat\nstopsignal=FOO\n",
        "stopsignal=FOO",
        &["'FOO' is not a valid signal name", "program:x", "stopsignal"],
    ),
    (
        "[program:x]\nautostart=true\n",
        "[program:x]",
        &["program section program:x does not specify a command"],
    ),
    ("[program:x]\ncommand=%(nope)s\n", "command=%(nope)s", &["%(nope)s", "program:x.command"]),
    (
        "[program:x]\ncommand=cat\nnumprocs=2\n",
        // The key that is to blame is missing.
        "[program:x]",
        &["%(process_num) must be present within process_name", "program:x"],
    ),
    (
        "[group:g]\nprograms=nope\n",
        "programs=nope",
        &["[group:g] names unknown program or fcgi-program nope"],
    ),
    (
        "this is no line of an INI file\n",
        "this is no line of an INI file",
        &["'this is no line of an INI file\\n'"],
    ),
    (
        "[inet_http_server]\nport=abc\n",
        "port=abc",
        &["not a valid port number: 'abc'", "inet_http_server", "port"],
    ),
    (
        "[supervisord]\nloglevel=loud\n",
        "loglevel=loud",
        &["bad logging level name 'loud'", "supervisord", "loglevel"],
    ),
];

/// Whether `text` holds the number of the line of `conf` that is `culprit`.
fn names_line(text: &str, conf: &str, culprit: &str) -> bool {
    let at = conf.lines().position(|line| line == culprit).expect("the culprit is in the file");
    text.split(|c: char| !c.is_ascii_digit()).any(|word| word == (at + 1).to_string())
}

#[test]
fn a_bad_configuration_is_named_and_starts_nothing() {
    for nodaemon in ["true", "false"] {
        for (bad, culprit, needles) in BAD {
            let conf =
                format!("[supervisord]\nnodaemon={nodaemon}\n[program:good]\ncommand=sleep 1000\n{bad}");
            let (run, daemon) = Start::new(Side::under_test(), &conf).run();
            assert_eq!(run.code, 2, "{run}");
            assert!(run.stderr.starts_with("Error: "), "{run}");
            assert!(run.stderr.contains("For help, use "), "{run}");
            for needle in needles.iter().chain(&["supervisord.conf"]) {
                assert!(run.stderr.contains(needle), "{needle:?} is missing in {run}");
            }
            let conf = daemon.read("supervisord.conf");
            assert!(names_line(&run.stderr, &conf, culprit), "no line number of {culprit:?} in {run}");
            assert!(daemon.alive().is_empty(), "{:?} was started in spite of {bad:?}", daemon.alive());
            assert!(!daemon.path("supervisord.pid").exists() && !daemon.path("s.sock").exists());
        }
    }
}

#[test]
fn a_configuration_that_cannot_be_read_is_named() {
    let mut command = Side::under_test().daemon();
    let run = crate::support::run(command.args(["-c", "/nonexistent/x.conf"])).expect(2);
    assert!(run.stderr.contains("could not find config file /nonexistent/x.conf"), "{run}");

    let (run, _daemon) = Start::raw(Side::under_test(), "[supervisorctl]\nprompt=x\n").run();
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains(".ini file does not include supervisord section"), "{run}");
}

#[test]
fn a_socket_in_use_is_refused_and_its_owner_is_left_alone() {
    let daemon = start(SLEEPER);
    daemon.wait_for_state("sleeper", Running, LONG);
    let conf = format!("[unix_http_server]\nfile={}\n", daemon.path("s.sock").display());
    let (run, second) = Start::new(Side::under_test(), &conf).run();
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("Another program is already listening"), "{run}");
    assert!(second.alive().is_empty());
    assert!(daemon.answers());
}

#[test]
fn a_start_that_fails_leaves_no_file_behind() {
    let conf = "[unix_http_server]\nfile=%(here)s/precious\n[program:x]\ncommand=sleep 1000\n";
    let mut daemon = Start::new(Side::under_test(), conf).prepare();
    fs::write(daemon.path("precious"), "this is no socket").expect("the test's directory can be written");
    daemon.spawn();
    assert_eq!(daemon.wait_exit(), 2);
    assert_eq!(daemon.read("precious"), "this is no socket");
    for name in ["supervisord.pid", "supervisord.pid.lock"] {
        assert!(!daemon.path(name).exists(), "{name} is still there");
    }
}

#[test]
fn a_port_in_use_is_refused_before_anything_starts() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = listener.local_addr().expect("it is bound").port();
    for nodaemon in ["true", "false"] {
        let conf = format!(
            "[supervisord]\nnodaemon={nodaemon}\n[inet_http_server]\nport=127.0.0.1:{port}\n{SLEEPER}"
        );
        let (run, daemon) = Start::new(Side::under_test(), &conf).run();
        assert_eq!(run.code, 2, "{run}");
        assert!(run.stderr.contains("Error: Another program is already listening on a port"), "{run}");
        assert!(daemon.alive().is_empty());
        assert!(!daemon.log().contains("spawned"));
    }
}

#[test]
fn a_second_daemon_on_the_same_configuration_is_refused() {
    let daemon = start(SLEEPER);
    daemon.wait_for_state("sleeper", Running, LONG);
    let program = daemon.pid_of("sleeper");
    let mut again = Side::under_test().daemon();
    let run = crate::support::run(again.arg("-c").arg(daemon.conf())).expect(2);
    assert!(run.stderr.starts_with("Error: "), "{run}");
    assert!(daemon.answers());
    assert_eq!(daemon.pid_of("sleeper"), program);
    assert_eq!(
        daemon.read("supervisord.pid"),
        format!("{}\n", daemon.pid()),
        "the pidfile is still the first one's"
    );
}

#[test]
fn a_socket_that_nobody_serves_is_replaced() {
    let mut daemon = start(SLEEPER);
    daemon.wait_for_state("sleeper", Running, LONG);
    let everybody = daemon.alive();
    // The keeper first: it would start the manager again.
    kill(daemon.pid(), Signal::SIGKILL);
    everybody.iter().for_each(|&pid| kill(pid, Signal::SIGKILL));
    daemon.wait_exit();
    wait_gone(&everybody, LONG);
    assert!(daemon.path("s.sock").exists(), "nobody was left to remove it");

    daemon.start();
    daemon.wait_for_state("sleeper", Running, LONG);
}

#[test]
fn a_pidfile_that_cannot_be_written_is_no_reason_to_stop() {
    let mut daemon = Start::new(Side::under_test(), SLEEPER).arguments(&["-j", "/proc/nope"]).ready();
    daemon.wait_log("could not write pidfile");
    daemon.call("supervisor.shutdown", vec![]);
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn version_and_help_need_no_configuration() {
    for option in ["-v", "--version"] {
        let run = crate::support::run(Side::under_test().daemon().arg(option)).expect(0);
        assert_eq!(run.stdout, "4.3.0\n", "{run}");
    }
    for option in ["-h", "--help"] {
        let run = crate::support::run(Side::under_test().daemon().arg(option)).expect(0);
        assert!(run.stdout.contains("-c/--configuration"), "{run}");
    }
}

#[test]
fn a_wrong_command_line_is_refused() {
    for (arguments, message) in [
        (&["-x"][..], "option -x not recognized"),
        (&["--foo"], "option --foo not recognized"),
        (&["-c"], "option -c requires argument"),
        (&["foo"], "positional arguments are not supported: ['foo']"),
        (&["-n", "-n"], "conflicting command line option '-n'"),
        (&["-m", "9"], "invalid value for -m '9': 9 can not be converted to an octal type"),
    ] {
        let run = crate::support::run(Side::under_test().daemon().args(arguments)).expect(2);
        assert!(run.stderr.starts_with(&format!("Error: {message}\n")), "{run}");
    }
}

/// As in a container: it is PID 1, stays in the foreground whatever the file says, reaps what others left, and
/// ends in order.
#[test]
fn as_pid_1_it_reaps_orphans_and_ends_in_order() {
    // The shell between ends at once, so that the sleep in the background becomes an orphan.
    let conf = "
[supervisord]
nodaemon=false

[program:leaver]
command=/bin/sh -c '(sleep 0.3; exit 4) & exec sleep 0.1'
startsecs=0
autorestart=false

[program:sleeper]
command=sleep 1000
startsecs=0
";
    let mut daemon = Start::new(Side::under_test(), conf).under(&AS_PID_1).ready();
    daemon.wait_for_state("sleeper", Running, LONG);
    assert_eq!(daemon.read("supervisord.pid"), "1\n");
    assert_eq!(daemon.ctl(&["pid"]).expect(0).stdout, "1\n");
    daemon.wait_log("(exit status 4)");
    let line = daemon.log().lines().find(|line| line.contains("(exit status 4)")).map(str::to_string);
    assert!(line.is_some_and(|line| line.contains("reaped unknown pid ")), "{}", daemon.log());

    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert!(daemon.log().contains("received SIGTERM indicating exit request"));
    assert!(daemon.log().contains("stopped: sleeper (terminated by SIGTERM)"));
}
