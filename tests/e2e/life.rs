//! The life of one program: starting, backing off, giving up, restarting.

use crate::start;
use crate::support::{Busyness, Daemon, LONG, member, sleeps, text, until, wait_gone};
use nix::sys::signal::Signal;
use std::time::Duration;
use supervisord::model::state::ProcessState::{Backoff, Exited, Fatal, Running, Starting};

/// The moments at which a program wrote one, in milliseconds.
fn moments(daemon: &Daemon, file: &str) -> Vec<i64> {
    let parse = |line: &str| line.parse::<f64>().map(|seconds| (seconds * 1000.0) as i64);
    daemon.read(file).lines().filter_map(|line| parse(line).ok()).collect()
}

#[track_caller]
fn assert_about(actual_ms: i64, expected_ms: i64, what: &str, busyness: &Busyness) {
    // Starting is measured from before the spawn, which the log names when it is done.
    let range = expected_ms - busyness.slack_ms(100)..=expected_ms + busyness.slack_ms(300);
    assert!(range.contains(&actual_ms), "{what} took {actual_ms} ms instead of {expected_ms}");
}

#[test]
fn running_is_reached_after_startsecs() {
    let busyness = Busyness::measure();
    let daemon = start("[program:x]\ncommand=sleep 1000\nstartsecs=1\n");
    daemon.wait_for_state("x", Starting, LONG);
    assert_eq!(member::<String>(&daemon.info("x"), "description"), "");
    daemon.wait_for_state("x", Running, LONG);
    let success = "success: x entered RUNNING state, process has stayed up for > than 1 seconds (startsecs)";
    assert_about(daemon.moment(success) - daemon.moment("spawned: 'x'"), 1000, "STARTING", &busyness);
}

#[test]
fn without_startsecs_it_is_running_at_once() {
    let busyness = Busyness::measure();
    let daemon = start("[program:x]\ncommand=sleep 1000\nstartsecs=0\nautostart=false\n");
    daemon.call("supervisor.startProcess", vec![text("x")]);
    assert_eq!(daemon.state_of("x"), Running);
    assert!(daemon.moment("success: x") - daemon.moment("spawned: 'x'") < busyness.slack_ms(300));
}

#[test]
fn back_off_grows_by_a_second_and_ends_in_fatal() {
    let busyness = Busyness::measure();
    let daemon = start(
        "
[program:x]
command=/bin/sh -c 'date +%%s.%%N >> moments; exit 1'
directory=%(here)s
startsecs=1
startretries=3
",
    );
    daemon.wait_for_state("x", Backoff, LONG);
    daemon.wait_for_state("x", Fatal, LONG);
    let moments = moments(&daemon, "moments");
    let pauses: Vec<i64> = moments.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses.len(), 3, "four attempts: {moments:?}");
    for (pause, expected) in pauses.into_iter().zip([1000, 2000, 3000]) {
        assert_about(pause, expected, "a back off", &busyness);
    }
    let story: Vec<String> =
        daemon.messages().into_iter().map(|line| line.text).filter(|text| about(text)).collect();
    let exits = story.iter().filter(|text| *text == "exited: x (exit status 1; not expected)").count();
    assert_eq!(exits, 4, "{story:#?}");
    assert_eq!(
        story.last().map(String::as_str),
        Some("gave up: x entered FATAL state, too many start retries too quickly")
    );
    let info = daemon.info("x");
    assert_eq!(member::<String>(&info, "spawnerr"), "Exited too quickly (process log may have details)");
    assert_eq!(member::<String>(&info, "description"), "Exited too quickly (process log may have details)");
}

fn about(text: &str) -> bool {
    ["spawned: 'x'", "exited: x", "gave up: x", "success: x"].iter().any(|start| text.starts_with(start))
}

#[test]
fn without_retries_the_first_failure_is_fatal() {
    let daemon = start("[program:x]\ncommand=/bin/sh -c 'exit 1'\nstartretries=0\n");
    daemon.wait_for_state("x", Fatal, LONG);
    assert_eq!(daemon.log().matches("spawned: 'x'").count(), 1);
}

/// Nothing is spawned, so the text says why, and the retries are used up all the same.
#[test]
fn what_cannot_be_spawned_says_why() {
    for (command, spawnerr) in [
        ("/nonexistent/program", "can't find command '/nonexistent/program'"),
        ("nosuchprogram", "can't find command 'nosuchprogram'"),
        ("/tmp", "command at '/tmp' is a directory"),
        ("/etc/passwd", "command at '/etc/passwd' is not executable"),
        ("/bin/echo \"foo", "can't parse command '/bin/echo \"foo': No closing quotation"),
        ("", "command is empty"),
    ] {
        let daemon = start(&format!("[program:x]\ncommand={command}\nstartretries=0\n"));
        daemon.wait_for_state("x", Fatal, LONG);
        assert_eq!(member::<String>(&daemon.info("x"), "spawnerr"), spawnerr);
        assert!(daemon.log().contains(&format!("INFO spawnerr: {spawnerr}\n")), "{}", daemon.log());
    }
}

#[test]
fn expected_and_unexpected_exits() {
    for (autorestart, exitcodes, command, restarts) in [
        ("unexpected", "0", "exit 0", false),
        ("unexpected", "0", "exit 3", true),
        ("unexpected", "3,4", "exit 4", false),
        ("unexpected", "3,4", "exit 0", true),
        ("false", "0", "exit 3", false),
        ("false", "0", "kill -SEGV $$", false),
        ("true", "0", "exit 0", true),
        ("unexpected", "0", "kill -KILL $$", true),
    ] {
        let daemon = start(&format!(
            "
[program:x]
command=/bin/sh -c 'echo start >> starts; [ $(wc -l < starts) -lt 3 ] || exec sleep 1000; {command}'
directory=%(here)s
startsecs=0
autorestart={autorestart}
exitcodes={exitcodes}
"
        ));
        let case = format!("autorestart={autorestart} exitcodes={exitcodes} {command}");
        if restarts {
            until(&format!("{case}: it is started three times"), LONG, || {
                daemon.read("starts").lines().count() == 3
            });
            daemon.wait_for_state("x", Running, LONG);
        } else {
            daemon.wait_for_state("x", Exited, LONG);
            assert_eq!(daemon.read("starts").lines().count(), 1, "{case}");
        }
    }
}

#[test]
fn exits_are_worded_as_in_the_original() {
    for (command, line, exitstatus) in [
        ("exit 0", "INFO exited: x (exit status 0; expected)", 0),
        ("exit 7", "WARN exited: x (exit status 7; not expected)", 7),
        ("kill -TERM $$", "WARN exited: x (terminated by SIGTERM; not expected)", -1),
        ("kill -KILL $$", "WARN exited: x (terminated by SIGKILL; not expected)", -1),
        ("kill -34 $$", "WARN exited: x (terminated by SIGRTMIN; not expected)", -1),
    ] {
        let daemon = start(&format!(
            "[program:x]\ncommand=/bin/sh -c 'sleep 0.05; {command}'\nstartsecs=0\nautorestart=false\n"
        ));
        daemon.wait_for_state("x", Exited, LONG);
        assert!(daemon.log().contains(line), "{line:?} is missing in\n{}", daemon.log());
        assert_eq!(member::<i32>(&daemon.info("x"), "exitstatus"), exitstatus);
    }
}

/// A crash is answered at once, not at the next tick of something, if the program had run for a second.
#[test]
fn a_crash_is_followed_by_a_restart_at_once() {
    let busyness = Busyness::measure();
    let daemon = start("[program:x]\ncommand=sleep 1000\nstartsecs=1\n");
    daemon.wait_for_state("x", Running, LONG);
    let before = daemon.pid_of("x");
    crate::support::kill(before, Signal::SIGKILL);
    until("another pid", LONG, || ![0, before].contains(&daemon.pid_of("x")));
    let spawned = daemon.messages().into_iter().rfind(|line| line.text.starts_with("spawned: 'x'"));
    let pause = spawned.expect("it was spawned").at_ms - daemon.moment("exited: x (terminated by SIGKILL");
    assert!(pause < busyness.slack_ms(50), "the restart came {pause} ms after the exit was seen");
}

/// Whoever still holds the pipe does not keep the daemon from seeing that the program is dead.
#[test]
fn a_grandchild_that_holds_the_output_does_not_hide_an_exit() {
    let daemon = start(
        "
[program:x]
command=/bin/sh -c 'sleep 1000 & echo $! > grandchild; exit 0'
directory=%(here)s
startsecs=0
",
    );
    daemon.wait_for_state("x", Exited, LONG);
    let grandchild: i32 = daemon.read("grandchild").trim().parse().expect("it wrote its pid");
    crate::support::kill(grandchild, Signal::SIGKILL);
}

#[test]
fn what_a_program_says_last_is_logged() {
    let daemon = start(
        "
[program:x]
command=/bin/sh -c 'i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo \"line $i\"; done; exit 0'
startsecs=0
stdout_logfile=%(here)s/x.log
",
    );
    daemon.wait_for_state("x", Exited, LONG);
    let expected: String = (1..=2000).map(|n| format!("line {n}\n")).collect();
    until("the whole output is logged", LONG, || daemon.read("x.log") == expected);
}

#[test]
fn five_hundred_exits_at_the_same_moment_are_all_seen() {
    let daemon = start(
        "
[program:x]
command=/bin/sh -c 'read line; exit 5'
process_name=%(process_num)d
numprocs=500
startsecs=0
autorestart=false
",
    );
    let pids = |state| {
        let everybody = daemon.rows("supervisor.getAllProcessInfo");
        let matching = everybody.iter().filter(|info| member::<String>(info, "statename") == state);
        matching.map(|info| member::<i32>(info, "pid")).collect::<Vec<_>>()
    };
    until("all are running", LONG, || pids("RUNNING").len() == 500);
    let running = pids("RUNNING");
    running.iter().for_each(|&pid| crate::support::kill(pid, Signal::SIGTERM));
    wait_gone(&running, LONG);
    until("all have exited", LONG, || pids("EXITED").len() == 500);
    assert_eq!(daemon.log().matches("(terminated by SIGTERM; not expected)").count(), 500);
}

#[test]
fn a_waiting_start_is_answered_by_what_happens() {
    let daemon = start(
        "
[program:good]
command=sleep 1000
autostart=false
startsecs=1

[program:bad]
command=/bin/sh -c 'exit 1'
autostart=false
startsecs=1
startretries=0
",
    );
    daemon.call("supervisor.startProcess", vec![text("good")]);
    assert!(daemon.log().contains("success: good entered RUNNING"), "it waits for RUNNING");
    assert_eq!(daemon.state_of("good"), Running);
    let fault = daemon.try_call("supervisor.startProcess", vec![text("bad")]).expect_err("a fault");
    assert_eq!((fault.code(), fault.string()), (50, "SPAWN_ERROR: bad"));
    daemon.wait_for_state("bad", Fatal, LONG);
}

/// The original wakes up every second.
#[test]
fn an_idle_daemon_does_not_wake_up() {
    let daemon =
        start("[program:n]\ncommand=sleep 1000\nprocess_name=%(process_num)d\nnumprocs=20\nstartsecs=1\n");
    for number in 0..20 {
        daemon.wait_for_state(&format!("n:{number}"), Running, LONG);
    }
    let both = [daemon.pid(), daemon.manager_now().unwrap_or(daemon.pid())];
    let count = || both.map(sleeps);
    // What the start and our own questions left to do may take a moment.
    let mut before = count();
    until("two quiet seconds", LONG, || {
        std::thread::sleep(Duration::from_secs(2));
        let former = std::mem::replace(&mut before, count());
        former == before
    });
}
