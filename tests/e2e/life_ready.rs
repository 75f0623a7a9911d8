//! `ready`: how a program is found to be ready, and what follows if it is not.

use crate::life_kit::*;
use crate::support::{Daemon, LONG, flag, free_ports, has_root, member, running, text, until};
use nix::sys::signal::Signal;
use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixListener};
use supervisord::model::state::ProcessState::{Fatal, Running, Starting};

/// Tells systemd's socket what the words say; with `child` from a child process, and lives on.
const NOTIFIER: &str = r#"
import os, socket, sys, time
def tell(text):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.sendto(text.encode(), os.environ['NOTIFY_SOCKET'])
def wait(name):
    while not os.path.exists(name): time.sleep(0.02)
def note(what):
    now = open('/proc/uptime').read().split()[0]
    os.write(os.open('record', os.O_WRONLY | os.O_CREAT | os.O_APPEND), f'{now} {sys.argv[1]} {what} {os.getpid()}\n'.encode())
note('start')
for word in sys.argv[2:]:
    kind, _, rest = word.partition(':')
    if kind == 'tell': tell(rest)
    elif kind == 'wait': wait(rest)
    elif kind == 'note': note(rest)
    elif kind == 'child':
        if os.fork() == 0:
            tell(rest); time.sleep(1000)
    elif kind == 'beat':
        while not os.path.exists(rest):
            tell('WATCHDOG=1'); time.sleep(0.05)
while True: time.sleep(1000)
"#;

pub const NOTIFIER_FILE: (&str, &str) = ("notifier", NOTIFIER);

/// A section of a program that runs the notifier with these words.
pub fn notifier(name: &str, words: &str, settings: &str) -> String {
    format!(
        "[program:{name}]\ncommand=python3 -S %(here)s/notifier {name} {words}\ndirectory=%(here)s\nstartsecs=0\n{settings}\n"
    )
}

#[track_caller]
fn assert_not_ready(daemon: &Daemon, names: &[&str]) {
    for name in names {
        wait_starts(daemon, name, 1);
        assert_eq!(daemon.state_of(name), Starting, "{name}");
        assert!(daemon.pid_of(name) > 0, "{name}");
    }
}

/// A clock that needs no sleeping: a program whose checks a server counts.
fn ticker(server: &Server) -> String {
    let port = server.port;
    program("ticker", &format!("health=http://127.0.0.1:{port}/\nhealth_interval=100ms\n"))
}

#[test]
fn it_is_starting_until_somebody_answers() {
    let [port] = free_ports();
    let (http, ranges, clock) = (Server::new(503), Server::new(404), Server::new(200));
    let often = "ready_interval=100ms\nautorestart=false\n";
    let conf = program("tcp", &format!("ready=tcp:{port}\n{often}"))
        + &program("unix", &format!("ready=unix:%(here)s/x.sock\n{often}"))
        + &program("file", &format!("ready=file:%(here)s/x.file\n{often}"))
        + &program(
            "http",
            &format!(
                "ready=http://127.0.0.1:{}/up?x=1 header.X-Key=secret header.Host=db\n{often}",
                http.port
            ),
        )
        + &program("ranges", &format!("ready=http://localhost:{}/ status=200,410-418\n{often}", ranges.port))
        + &ticker(&clock);
    let daemon = start_with(&conf, &[]);
    let names = ["tcp", "unix", "file", "http", "ranges"];
    assert_not_ready(&daemon, &names);
    http.wait_asked(3);
    ranges.wait_asked(3);
    assert_not_ready(&daemon, &names);
    assert!(description(&daemon, "http").starts_with("not ready: "), "{}", description(&daemon, "http"));
    assert!(description(&daemon, "http").contains("503"), "{}", description(&daemon, "http"));
    let head = http.last_head();
    assert!(head.starts_with("GET /up?x=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("X-Key: secret\r\n") && head.contains("Host: db\r\n"), "{head}");

    let _tcp = TcpListener::bind(("127.0.0.1", port)).expect("the port is still free");
    let _unix = UnixListener::bind(daemon.path("x.sock")).expect("the test's directory");
    put(&daemon, "x.file", "");
    http.answer_with(204);
    ranges.answer_with(200);
    names.iter().for_each(|name| wait_state(&daemon, name, Running));
    assert!(daemon.log().contains("success: tcp entered RUNNING state, it is ready"), "{}", daemon.log());
    // Nobody is asked again, whatever becomes of it.
    let asked = (http.n_asked(), ranges.n_asked());
    http.answer_with(500);
    clock.wait_asked(8);
    assert_eq!((http.n_asked(), ranges.n_asked()), asked);
    assert_eq!(daemon.state_of("http"), Running);
    names.iter().for_each(|name| assert_starts(&daemon, name, 1));
}

#[test]
fn a_status_outside_of_the_ranges_is_no_answer() {
    let server = Server::new(302);
    let conf = program(
        "x",
        &format!("ready=http://127.0.0.1:{}/ status=200-299,418\nready_interval=100ms\n", server.port),
    );
    let daemon = start_with(&conf, &[]);
    server.wait_asked(2);
    assert_not_ready(&daemon, &["x"]);
    server.answer_with(418);
    wait_state(&daemon, "x", Running);
}

#[test]
fn a_command_runs_as_its_program_does() {
    if !has_root("the program's user is another one") {
        return;
    }
    let check = "id -un > /tmp/$CHECK; pwd >> /tmp/$CHECK; ps -o pgid= -p $$ >> /tmp/$CHECK; echo $$ >> /tmp/$CHECK\n";
    let conf = "[program:x]\ncommand=sleep 1000\ndirectory=/usr\nuser=nobody\nstartsecs=0\n".to_string()
        + "environment=CHECK=\"%(here_name)s\"\nready=exec:/bin/sh %(here)s/check\n";
    let mark = format!("supervisord-check-{}", std::process::id());
    let daemon = start_with(&conf.replace("%(here_name)s", &mark), &[("check", check)]);
    let out = std::path::Path::new("/tmp").join(&mark);
    // The directory of a test is its owner's alone.
    std::fs::set_permissions(daemon.directory(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("it is ours");
    wait_state(&daemon, "x", Running);
    let told = std::fs::read_to_string(&out).expect("the check has written it");
    std::fs::remove_file(&out).expect("it is there");
    let lines: Vec<&str> = told.lines().map(str::trim).collect();
    assert_eq!(lines[..2], ["nobody", "/usr"], "{told}");
    assert_eq!(lines[2], lines[3], "it leads a process group of its own");
}

#[test]
fn a_command_that_takes_too_long_is_killed_with_all_that_it_started() {
    let check = "sleep 1000 & echo $! >> checks; echo $$ >> checks; echo waiting for the moon; wait\n";
    let conf = program(
        "x",
        "ready=exec:/bin/sh %(here)s/check\nready_timeout=1s\nready_interval=100ms\nstartretries=0\n",
    );
    let daemon = start_with(&conf, &[("check", check)]);
    wait_state(&daemon, "x", Fatal);
    assert!(spawnerr(&daemon, "x").starts_with("not ready within 1s"), "{}", spawnerr(&daemon, "x"));
    let pids: Vec<i32> = daemon.read("checks").lines().map(|line| line.parse().expect("a pid")).collect();
    assert!(pids.len() >= 2, "{pids:?}");
    until("the command and its child are gone", LONG, || !pids.iter().any(|pid| running(*pid)));
}

#[test]
fn what_a_command_prints_is_told() {
    let check = "echo one; echo no such table >&2; exit 3\n";
    let conf = program(
        "x",
        "ready=exec:/bin/sh %(here)s/check\nready_interval=100ms\nready_timeout=1s\nstartretries=0\n",
    );
    let daemon = start_with(&conf, &[("check", check)]);
    wait_description(&daemon, "x", "not ready: exit status 3: no such table");
    wait_state(&daemon, "x", Fatal);
    assert_eq!(spawnerr(&daemon, "x"), "not ready within 1s: exit status 3: no such table");
}

#[test]
fn a_line_of_this_start_says_that_it_is_ready() {
    let settings = "ready=log:^ready .*[0-9]$\nstdout_logfile=%(here)s/%(program_name)s.log\n";
    let waits = |name: &str, rest: &str| {
        (format!("{name}.sh"), format!("while [ ! -f go ]; do sleep 0.02; done\n{rest}\n"))
    };
    let scripts = [
        waits("out", "echo noise; echo ready on 80"),
        waits("err", "echo ready on 80 >&2"),
        waits("halves", "printf 'ready '; sleep 0.2; printf 'on 80'; sleep 0.2; echo"),
        waits("other", "echo ready; echo not ready on 80; echo ready on port; note told"),
    ];
    let names = ["out", "err", "halves", "other"];
    let conf: String = names.iter().map(|name| program(name, settings)).collect();
    let mut files: Vec<(&str, &str)> =
        scripts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    // What a former start has left in the log is no line of this one.
    files.push(("out.log", "ready on 80\n"));
    let daemon = start_with(&conf, &files);
    assert_not_ready(&daemon, &names);
    put(&daemon, "go", "");
    ["out", "err", "halves"].iter().for_each(|name| wait_state(&daemon, name, Running));
    wait_note(&daemon, "other", "told");
    until("it is logged", LONG, || daemon.read("other.log").contains("on port"));
    assert_eq!(daemon.state_of("other"), Starting);
    // The line of the start before does not count for the next one.
    drop_file(&daemon, "go");
    crash(&daemon, "out");
    wait_starts(&daemon, "out", 2);
    until("it is back", LONG, || daemon.pid_of("out") > 0);
    assert_eq!(daemon.state_of("out"), Starting);
    put(&daemon, "go", "");
    wait_state(&daemon, "out", Running);
}

#[test]
fn a_program_notifies_that_it_is_ready() {
    let settings = "ready=notify\n";
    let conf = notifier("own", "wait:go tell:READY=1", settings)
        + &notifier("child", "wait:go child:READY=1", settings)
        + &notifier("status", "tell:STATUS=busy note:told", settings)
        + &notifier(
            "more",
            "tell:EXTEND_TIMEOUT_USEC=20000000 note:told wait:late tell:READY=1",
            "ready=notify\nready_timeout=1s\n",
        );
    let daemon = start_with(&conf, &[NOTIFIER_FILE]);
    assert_not_ready(&daemon, &["own", "child", "status"]);
    wait_note(&daemon, "status", "told");
    let told = wait_note(&daemon, "more", "told").at;
    // A stranger says so, which nobody believes.
    let socket = UnixDatagram::unbound().expect("a socket");
    socket.send_to(b"READY=1", daemon.path("supervisord.pid.notify")).expect("anybody may send to it");
    put(&daemon, "go", "");
    wait_state(&daemon, "own", Running);
    wait_state(&daemon, "child", Running);
    assert_eq!(daemon.state_of("status"), Starting);
    until("the time is over that it would have had", LONG, || uptime() > told + 1.5);
    assert_not_ready(&daemon, &["more"]);
    put(&daemon, "late", "");
    wait_state(&daemon, "more", Running);
    assert_starts(&daemon, "more", 1);
}

#[test]
fn the_socket_for_notifications_is_gone_at_the_end() {
    let mut daemon = start_with(&notifier("x", "tell:READY=1", "ready=notify\n"), &[NOTIFIER_FILE]);
    wait_state(&daemon, "x", Running);
    let socket = daemon.path("supervisord.pid.notify");
    assert!(socket.exists());
    daemon.replace_manager();
    assert!(socket.exists());
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert!(!socket.exists());
}

#[test]
fn a_program_writes_a_line_to_its_descriptor() {
    let settings = |n: u32| format!("ready=fd:{n}\n");
    let conf = program("three", &settings(3))
        + &program("nine", &settings(9))
        + &program("closes", &(settings(3) + "ready_timeout=60s\n"));
    let files = [
        ("three.sh", "while [ ! -f go ]; do sleep 0.02; done; echo >&3\n"),
        (
            "nine.sh",
            "while [ ! -f go ]; do sleep 0.02; done; printf rea >&9; sleep 0.1; echo dy >&9; exec 9>&-\n",
        ),
        ("closes.sh", "exec 3>&-; note closed\n"),
    ];
    let daemon = start_with(&conf, &files);
    assert_not_ready(&daemon, &["three", "nine", "closes"]);
    put(&daemon, "go", "");
    wait_state(&daemon, "three", Running);
    wait_state(&daemon, "nine", Running);
    wait_note(&daemon, "closes", "closed");
    wait_description(&daemon, "closes", "not ready: it closed its descriptor without a line");
    assert_eq!(daemon.state_of("closes"), Starting);
}

#[test]
fn one_that_is_not_ready_in_time_is_stopped_and_tried_again() {
    let conf =
        program("x", "ready=file:%(here)s/x.ready\nready_interval=100ms\nready_timeout=1s\nstartretries=5\n");
    let daemon = start_with(&conf, &[("x.slow", "0.5")]);
    let told = wait_note(&daemon, "x", "term");
    let info = daemon.info("x");
    // Until it has ended it is STARTING.
    assert_eq!(
        (member::<String>(&info, "statename"), member::<i32>(&info, "pid")),
        ("STARTING".into(), told.pid)
    );
    assert!(
        description(&daemon, "x").starts_with("failed: not ready within 1s"),
        "{}",
        description(&daemon, "x")
    );
    wait_note(&daemon, "x", "stop");
    wait_starts(&daemon, "x", 3);
    put(&daemon, "x.ready", "");
    wait_state(&daemon, "x", Running);
    let starts = notes(&daemon, "x", "start");
    assert!(told.at - starts[0].at >= 0.9, "{starts:?}");
    let ends = notes(&daemon, "x", "stop");
    assert!(starts.iter().skip(1).zip(&ends).all(|(start, end)| end.at <= start.at), "{starts:?} {ends:?}");
    assert_one_at_a_time(&daemon, "x");
}

/// `startsecs` is a second if it is not written, and counts only if it is.
#[test]
fn startsecs_counts_if_it_is_written() {
    let ready = "ready=file:%(here)s/x.ready\nready_interval=100ms\n";
    let conf = plain("unwritten", ready)
        + &plain("written", &format!("{ready}startsecs=2\n"))
        + &plain("usual", "priority=1\n");
    let daemon = start_with(&conf, &[("x.ready", "")]);
    ["unwritten", "written", "usual"].iter().for_each(|name| wait_state(&daemon, name, Running));
    let pause = |name: &str| {
        daemon.moment(&format!("success: {name} entered")) - daemon.moment(&format!("spawned: '{name}'"))
    };
    assert!(pause("written") >= 1900, "{}", pause("written"));
    assert!(pause("unwritten") < pause("usual"), "{} {}", pause("unwritten"), pause("usual"));
}

/// It ends before it is ready: a failed start, however long it has lived.
#[test]
fn an_end_before_it_is_ready_is_a_failed_start() {
    let conf = program("x", "ready=file:%(here)s/never\nready_interval=100ms\nstartretries=1\n");
    let daemon = start_with(&conf, &[("x.short", "0")]);
    wait_state(&daemon, "x", Fatal);
    assert_starts(&daemon, "x", 2);
    assert_eq!(spawnerr(&daemon, "x"), "exited before it was ready");
}

/// Only eight commands run at once, and each gets its turn.
#[test]
fn commands_beyond_the_limit_wait_for_their_turn() {
    let check =
        "n=$(mkdir running.$1 && ls -d running.* | wc -l); echo $n >> most; sleep 0.1; rmdir running.$1\n";
    let one = |n: usize| program(&format!("p{n}"), &format!("ready=exec:/bin/sh %(here)s/check {n}\n"));
    let conf: String = (0..30).map(one).collect();
    let daemon = start_with(&conf, &[("check", check)]);
    until("all are ready", LONG, || daemon.n_in(Running) == 30);
    let counts: Vec<usize> =
        daemon.read("most").lines().map(|line| line.trim().parse().expect("a number")).collect();
    assert_eq!(counts.len(), 30);
    assert!(counts.iter().all(|count| *count <= 8), "{counts:?}");
    assert!(counts.iter().any(|count| *count > 1), "they run beside each other: {counts:?}");
}

/// The reader of the output may be quicker than the loop is with the pid of the program.
#[test]
fn a_line_that_is_printed_at_once_is_heard_at_every_start() {
    let daemon = crate::start(
        "[program:p]\ncommand=/bin/sh -c 'echo ready; exec sleep 1000'\nready=log:^ready$\nready_timeout=5s\n\
         startretries=0\nautostart=false\n",
    );
    for round in 0..60 {
        let started = daemon.try_call("supervisor.startProcess", vec![text("p"), flag(true)]);
        assert!(started.is_ok(), "start {round}: {started:?}");
        daemon.call("supervisor.stopProcess", vec![text("p"), flag(true)]);
    }
}
