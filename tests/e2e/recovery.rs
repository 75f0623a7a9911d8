//! Every state outlives the manager: its successor goes on where it was.

use crate::start;
use crate::support::{Client, Daemon, LONG, flag, kill, post, text, until, until_some};
use nix::sys::signal::Signal;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;
use supervisord::model::state::ProcessState::{Backoff, Exited, Fatal, Running, Starting, Stopped};

fn n_spawned(daemon: &Daemon, name: &str) -> usize {
    daemon.log().matches(&format!("spawned: '{name}' ")).count()
}

#[test]
fn a_program_that_is_starting_is_up_when_its_time_has_come_and_not_before() {
    let daemon = start("[program:slow]\ncommand=sleep 1000\nstartsecs=3\n");
    daemon.wait_log("spawned: 'slow'");
    daemon.replace_manager();
    daemon.replace_manager();
    daemon.wait_for_state("slow", Running, LONG);
    let started = daemon.moment("success: slow") - daemon.moment("spawned: 'slow'");
    // The first message may come a little later than what it tells.
    assert!(started >= 1500, "it was called up after {started} ms");
    assert_eq!(n_spawned(&daemon, "slow"), 1);
}

#[test]
fn starts_that_failed_are_counted_across_managers() {
    let daemon = start("[program:failing]\ncommand=false\nstartsecs=1\nstartretries=2\n");
    daemon.wait_for_state("failing", Backoff, LONG);
    daemon.replace_manager();
    until("the second attempt", LONG, || n_spawned(&daemon, "failing") == 2);
    daemon.replace_manager();
    daemon.wait_for_state("failing", Fatal, LONG);
    daemon.replace_manager();
    assert_eq!(daemon.state_of("failing"), Fatal);
    assert_eq!(n_spawned(&daemon, "failing"), 3, "one start and two retries");
    assert_eq!(daemon.log().matches("gave up: failing").count(), 1);
}

#[test]
fn what_is_at_rest_stays_at_rest() {
    let daemon = start(
        "
[program:stopped]
command=sleep 1000
startsecs=0
[program:ended]
command=true
startsecs=0
autorestart=false
[program:manual]
command=sleep 1000
autostart=false
[program:running]
command=sleep 1000
startsecs=0
",
    );
    daemon.wait_for_state("running", Running, LONG);
    daemon.wait_for_state("ended", Exited, LONG);
    daemon.wait_for_state("stopped", Running, LONG);
    daemon.call("supervisor.stopProcess", vec![text("stopped"), flag(true)]);
    for _ in 0..3 {
        daemon.replace_manager();
        let states = ["stopped", "ended", "manual", "running"].map(|name| daemon.state_of(name));
        assert_eq!(states, [Stopped, Exited, Stopped, Running]);
    }
    assert_eq!(["stopped", "ended", "manual", "running"].map(|name| n_spawned(&daemon, name)), [1, 1, 0, 1]);
}

/// Whether every thread of a process has been stopped by a signal.
fn is_stopped(pid: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    })
}

#[test]
fn what_ended_while_there_was_no_manager_is_not_called_running() {
    let daemon = start(
        "
[program:ends]
command=sleep 1000
startsecs=0
autorestart=false
[program:stays]
command=sleep 1000
process_name=%(process_num)s
numprocs=20
startsecs=0
",
    );
    let question = "<methodCall><methodName>supervisor.getProcessInfo</methodName>\
                    <params><param><value><string>ends</string></value></param></params></methodCall>";
    for _ in 0..5 {
        daemon.wait_for_state("ends", Running, LONG);
        let (manager, program) = (daemon.manager(), daemon.pid_of("ends"));
        kill(manager, Signal::SIGSTOP);
        until("all of it has stopped", LONG, || is_stopped(manager));
        // Whoever comes next finds it waiting.
        let mut client = Client::open(&daemon.address()).unwrap();
        client.send(post(question));
        kill(program, Signal::SIGKILL);
        until("it is in the ledger", LONG, || !fs::exists(format!("/proc/{program}")).unwrap());
        kill(manager, Signal::SIGKILL);
        let answer = client.response().unwrap().text();
        assert!(answer.contains("EXITED"), "{answer}");
        daemon.call("supervisor.startProcess", vec![text("ends"), flag(true)]);
    }
}

#[test]
fn a_start_that_waits_for_a_stop_is_not_forgotten() {
    let daemon = start(
        "
[program:slow]
command=/bin/sh -c 'echo $$ > up; trap \"sleep 1; exit 0\" TERM; while :; do sleep 0.02; done'
directory=%(here)s
startsecs=0
",
    );
    until("it is up", LONG, || !daemon.read("up").is_empty());
    let before = daemon.pid_of("slow");
    daemon.call("supervisor.stopProcess", vec![text("slow"), flag(false)]);
    // Faults if the daemon does not let a start wait; then there is nothing to be forgotten.
    let waits = daemon.try_call("supervisor.startProcess", vec![text("slow"), flag(false)]).is_ok();
    daemon.replace_manager();
    daemon.wait_log("stopped: slow (exit status 0)");
    if waits {
        daemon.wait_for_state("slow", Running, LONG);
        assert_ne!(daemon.pid_of("slow"), before);
    } else {
        assert!(!matches!(daemon.state_of("slow"), Starting | Running));
    }
}

#[test]
fn a_manager_comes_up_without_its_log() {
    let daemon = start("[program:p]\ncommand=sleep 1000\nstartsecs=0\n");
    daemon.wait_for_state("p", Running, LONG);
    let log = daemon.path("supervisord.log");
    std::fs::rename(&log, daemon.path("moved")).expect("the directory is the test's");
    std::fs::create_dir(&log).expect("the directory is the test's");
    daemon.replace_manager();
    assert_eq!(daemon.state_of("p"), Running);

    std::fs::remove_dir(&log).expect("nothing is in it");
    daemon.signal(Signal::SIGUSR2);
    daemon.wait_log("supervisord logreopen");
}

#[test]
fn a_line_in_which_the_manager_was_killed_ends_there() {
    let daemon = start("");
    // The kernel gives a write up between two pages, which is seldom met.
    let mut log = fs::OpenOptions::new().append(true).open(daemon.path("supervisord.log")).unwrap();
    log.write_all(b"2026-01-31 13:17:20,207 INFO spawned: 'x' wi").unwrap();
    daemon.replace_manager();
    daemon.replace_manager();
    let torn = "2026-01-31 13:17:20,207 INFO spawned: 'x' wi [cut off]\n2";
    assert!(daemon.log().contains(torn), "the next line stands by itself");
    assert_eq!(daemon.log().matches("[cut off]").count(), 1);
}

#[test]
fn lines_and_sequences_that_have_begun_go_on() {
    let program = |name: &str, begin: &str, rest: &str, more: &str| {
        format!(
            "
[program:{name}]
command=/bin/sh -c 'printf \"{begin}\"; read go < {name}.trigger; printf \"{rest}\"; exec sleep 1000'
directory=%(here)s
startsecs=0
autostart=false
stdout_logfile=%(here)s/{name}.log
{more}
"
        )
    };
    // In the configuration a backslash before a letter stays, for printf.
    let conf = "[supervisord]\nstrip_ansi=true\n".to_string()
        + &program("text", r"hello\nprompt> ", r"answer\n", "stdout_logfile_prefix=web")
        + &program("json", r"hello\nprompt> ", r"answer\n", "stdout_logfile_format=json")
        + &program("colour", r"hello\n\033[3", r"1mred\n", "");
    let daemon = start(&conf);
    for name in ["text", "json", "colour"] {
        let trigger = daemon.path(&format!("{name}.trigger"));
        nix::unistd::mkfifo(&trigger, nix::sys::stat::Mode::S_IRWXU).expect("the directory is the test's");
        daemon.call("supervisor.startProcess", vec![text(name), flag(true)]);
        until("the first line is there", LONG, || daemon.read(&format!("{name}.log")).contains("hello"));
    }
    for _ in 0..2 {
        daemon.replace_manager();
    }
    for name in ["text", "json", "colour"] {
        std::fs::write(daemon.path(&format!("{name}.trigger")), "go\n").expect("its program reads it");
    }
    for (name, expected) in [("text", "web hello\nweb prompt> answer\n"), ("colour", "hello\nred\n")] {
        until("the rest is there", LONG, || daemon.read(&format!("{name}.log")).lines().count() == 2);
        assert_eq!(daemon.read(&format!("{name}.log")), expected);
    }
    until("the rest is there", LONG, || daemon.read("json.log").lines().count() == 2);
    let second = daemon.read("json.log").lines().nth(1).map(str::to_string).expect("there are two");
    assert!(second.contains("\"prompt> answer\""), "{second}");
}

#[test]
fn what_is_printed_before_the_keeper_has_the_spool_waits_for_that() {
    let daemon = start(
        "
[program:colour]
command=/bin/sh -c 'printf \"hello\\n\\033[3\"; read go < trigger; printf \"1mred\\n\"; exec sleep 1000'
directory=%(here)s
startsecs=0
autostart=false
stdout_logfile=%(here)s/colour.log
[supervisord]
strip_ansi=true
",
    );
    let trigger = daemon.path("trigger");
    nix::unistd::mkfifo(&trigger, nix::sys::stat::Mode::S_IRWXU).expect("the directory is the test's");
    let keeper = daemon.keeper();
    kill(keeper, Signal::SIGSTOP);
    until("it has stopped", LONG, || is_stopped(keeper));
    daemon.call("supervisor.startProcess", vec![text("colour"), flag(true)]);
    // Whoever opens it for writing without waiting succeeds as soon as somebody reads: it has printed by then.
    let for_writing = || fs::File::options().write(true).custom_flags(nix::libc::O_NONBLOCK).open(&trigger);
    let mut go = until_some("it has printed", LONG, || for_writing().ok());
    (0..20).for_each(|_| assert_eq!(daemon.state_of("colour"), Running));
    kill(keeper, Signal::SIGCONT);
    until("the first line is there", LONG, || daemon.read("colour.log").contains("hello"));
    daemon.replace_manager();
    go.write_all(b"go\n").unwrap();
    until("the rest is there", LONG, || daemon.read("colour.log").lines().count() == 2);
    assert_eq!(daemon.read("colour.log"), "hello\nred\n");
}

#[test]
fn a_plain_log_is_exact_at_level_debug() {
    let daemon = start(
        "
[supervisord]
loglevel=debug
logfile_maxbytes=0
[program:p]
command=/bin/sh -c 'n=0; while [ $n -lt 100000 ]; do n=$((n+1)); echo \"line $n\"; done; exec sleep 1000'
startsecs=0
stdout_logfile=%(here)s/p.log
stdout_logfile_maxbytes=0
",
    );
    let n_lines = || daemon.read("p.log").lines().count();
    for n_least in [1, 20_000, 50_000] {
        until("it has printed some lines", LONG, || n_lines() >= n_least);
        daemon.replace_manager();
    }
    until("it has printed all lines", LONG, || n_lines() >= 100_000);
    let expected: String = (1..=100_000).map(|number| format!("line {number}\n")).collect();
    assert!(daemon.read("p.log") == expected, "there is a gap or a double");
    // How many lines are shown together depends on how fast the program is.
    daemon.wait_log("'p' stdout output:\nline 1\n");
    until("all was shown", LONG, || daemon.log().contains("\nline 100000\n"));
}

/// The keeper's child goes on as a manager where it stands, which shows as a title of one word. After one that died of
/// itself another is executed, with a command line of several.
#[test]
fn a_manager_that_died_young_is_executed_anew() {
    let daemon = start("[program:p]\ncommand=sh -c 'env > env; exec sleep 1000'\nstartsecs=0\n");
    let words = |manager: i32| {
        let line = fs::read(format!("/proc/{manager}/cmdline")).unwrap_or_default();
        let line = String::from_utf8(line).unwrap();
        line.trim_end_matches('\0').split('\0').map(str::to_string).collect::<Vec<_>>()
    };
    let conf = daemon.path("supervisord.conf").display().to_string();
    let forked = vec![format!("supervisord: manager -c {conf}")];
    let executed = ["supervisord: manager", "-c", &conf].map(str::to_string).to_vec();
    let succeeded = |signal: Signal, expected: &Vec<String>| {
        let before = daemon.manager();
        kill(before, signal);
        let manager = daemon.manager_after(before);
        daemon.wait_answer();
        assert_eq!(words(manager), *expected, "after {signal}");
    };
    assert_eq!(words(daemon.manager()), forked);
    succeeded(Signal::SIGKILL, &forked);
    // It ends a process without a core.
    succeeded(Signal::SIGVTALRM, &executed);
    succeeded(Signal::SIGKILL, &forked);
    // Its programs have nothing of what keeper and manager tell each other.
    until("the program wrote down its environment", LONG, || {
        daemon.read("env").contains("SUPERVISOR_ENABLED")
    });
    assert!(!daemon.read("env").contains("SUPERVISORD_KEEPER"), "{}", daemon.read("env"));
    assert!(!daemon.read("env").contains("SUPERVISORD_MANAGER"), "{}", daemon.read("env"));
}

/// Questions are answered while a manager takes over, orders after that.
#[test]
fn whoever_does_not_cease_to_ask_does_not_keep_orders_waiting() {
    const N_CLIENTS: usize = 8;
    const N_PROGRAMS: usize = 200;
    let daemon = start(&format!(
        "[program:x]\ncommand=sleep 1000\nprocess_name=%(process_num)d\nnumprocs={N_PROGRAMS}\nstartsecs=0\n"
    ));
    let (is_over, n_answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    let at_most = Instant::now() + 2 * LONG;
    let ask = || {
        while !is_over.load(Ordering::Relaxed) && Instant::now() < at_most {
            if daemon.address().call("supervisor.getProcessInfo", vec![text("x:0")]).is_ok() {
                n_answers.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let n_meanwhile = std::thread::scope(|scope| {
        (0..N_CLIENTS).for_each(|_| drop(scope.spawn(ask)));
        until("they are answered", LONG, || n_answers.load(Ordering::Relaxed) > 100);
        let manager = daemon.manager();
        kill(manager, Signal::SIGKILL);
        let before = n_answers.load(Ordering::Relaxed);
        daemon.call("supervisor.signalProcess", vec![text("x:0"), text("CONT")]);
        let n_meanwhile = n_answers.load(Ordering::Relaxed) - before;
        is_over.store(true, Ordering::Relaxed);
        n_meanwhile
    });
    // Clients get half of the time, and an answer takes longer than to find a program's pipes and logs.
    assert!(n_meanwhile < N_PROGRAMS, "{n_meanwhile} questions came first");
}
