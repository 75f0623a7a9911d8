//! The pace of restarts: what ends at once is started once a second, what has run for a second at once.
//!
//! `spawned: ` in the activity log tells when a program was started, a moment after it was decided.

use crate::start;
use crate::support::{Busyness, Daemon, LONG, Side, Start, flag, has_root, kill, text, until};
use nix::sys::signal::Signal;
use supervisord::model::state::ProcessState::{Exited, Running, Stopped};

/// Ends as soon as it is started, and is started again whatever becomes of it.
const STORM: &str = "[program:x]\ncommand=/bin/true\nstartsecs=0\nautorestart=true\n";

/// When a program was started, in milliseconds of the day.
fn starts(daemon: &Daemon, name: &str) -> Vec<i64> {
    let spawned = format!("spawned: '{name}' with pid ");
    let messages = daemon.messages();
    messages.iter().filter(|line| line.text.starts_with(&spawned)).map(|line| line.at_ms).collect()
}

/// Waits until a program was started so often, and checks that it took the seconds that it should.
#[track_caller]
fn assert_pace(daemon: &Daemon, name: &str, n_starts: usize, busyness: &Busyness) {
    until(&format!("{name} was started {n_starts} times"), LONG, || starts(daemon, name).len() >= n_starts);
    let starts = starts(daemon, name);
    let least = 1000 * (starts.len() as i64 - 1);
    let took = starts.last().unwrap_or(&0) - starts[0];
    // What lies between the decision to start a program and its line in the activity log varies.
    let jitter = busyness.slack_ms(300);
    assert!(took >= least - jitter, "{name} was started {} times in {took} ms: {starts:?}", starts.len());
}

/// Every way from an end to a start that needs no `startsecs`. Thousands of starts in five seconds before; the original
/// comes to five.
#[test]
fn what_ends_at_once_is_started_once_a_second() {
    let busyness = Busyness::measure();
    let conf = "
[program:zero]
command=/bin/true
startsecs=0
autorestart=true

[program:one]
command=/bin/false
startsecs=0
autorestart=true

[program:unexpected]
command=/bin/false
startsecs=0

[program:killed]
command=/bin/sh -c 'kill -SEGV $$'
startsecs=0

[program:exec]
command=%(here)s/no_program
startsecs=0

[program:directory]
command=/bin/cat
directory=/nonexistent
process_name=%(program_name)s_%(process_num)d
numprocs=4
startsecs=0

[eventlistener:listener]
command=/bin/false
events=TICK_60
startsecs=0
";
    let mut daemon = Start::new(Side::under_test(), conf).prepare();
    let no_program = daemon.path("no_program");
    std::fs::write(&no_program, "\x7fnothing that the kernel could execute").expect("the test's directory");
    std::fs::set_permissions(&no_program, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("it is ours");
    daemon.start();
    let names = ["zero", "one", "unexpected", "killed", "exec", "listener"].map(str::to_string);
    let directories = (0..4).map(|number| format!("directory_{number}"));
    let names: Vec<String> = names.into_iter().chain(directories).collect();
    for name in &names {
        assert_pace(&daemon, name, 6, &busyness);
    }
    // Three lines for a start and its end, and who is who at the beginning.
    let log = daemon.log();
    let n_starts: usize = names.iter().map(|name| starts(&daemon, name).len()).sum();
    assert!(log.lines().count() <= 4 * n_starts + 20, "{log}");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
}

/// Nobody may become `nobody` without the right to.
#[test]
fn who_may_not_become_another_user_is_tried_once_a_second() {
    if !has_root("needs root, to give up a capability") {
        return;
    }
    let busyness = Busyness::measure();
    let conf = "[program:x]\ncommand=/bin/cat\nuser=nobody\nstartsecs=0\n";
    let daemon = Start::new(Side::under_test(), conf)
        .under(&["setpriv", "--bounding-set=-setuid", "--inh-caps=-setuid"])
        .ready();
    assert_pace(&daemon, "x", 4, &busyness);
}

/// The others are restarted as fast as ever.
#[test]
fn a_storm_does_not_slow_others() {
    let busyness = Busyness::measure();
    let daemon = start(&format!("{STORM}[program:steady]\ncommand=sleep 1000\nstartsecs=1\n"));
    daemon.wait_for_state("steady", Running, LONG);
    let before = daemon.pid_of("steady");
    kill(before, Signal::SIGKILL);
    until("another pid", LONG, || ![0, before].contains(&daemon.pid_of("steady")));
    let again = starts(&daemon, "steady")[1];
    let pause = again - daemon.moment("exited: steady (terminated by SIGKILL");
    assert!(pause < busyness.slack_ms(50), "the restart came {pause} ms after the exit was seen");
}

/// The moment of the last start is known to every manager.
#[test]
fn a_new_manager_keeps_the_pace() {
    let busyness = Busyness::measure();
    let daemon = start(STORM);
    for _ in 0..4 {
        daemon.wait_for_state("x", Exited, LONG);
        daemon.replace_manager();
        let n_starts = starts(&daemon, "x").len();
        until("it goes on", LONG, || starts(&daemon, "x").len() > n_starts);
    }
    assert_pace(&daemon, "x", 5, &busyness);
}

/// A listener hears of it, and the client gets what it asked for.
#[test]
fn a_stop_before_the_restart_cancels_it() {
    let conf = "
[eventlistener:l]
command=/bin/sh -c 'while echo READY && read -r header; do len=${header##*len:}; head -c $len >> heard; echo >> heard; printf \"RESULT 2\\nOK\"; done'
directory=%(here)s
events=PROCESS_STATE_STOPPED
startsecs=0
";
    let daemon = start(&format!("{STORM}{conf}"));
    for order in ["supervisor.stopProcess", "supervisor.stopProcessGroup", "supervisor.stopAllProcesses"] {
        daemon.wait_for_state("x", Exited, LONG);
        let whom = if order.ends_with("AllProcesses") { vec![] } else { vec![text("x")] };
        daemon.call(order, whom);
        assert_eq!(daemon.state_of("x"), Stopped, "{order}");
        assert!(daemon.try_call("supervisor.stopProcess", vec![text("x")]).is_err(), "NOT_RUNNING");
        daemon.call("supervisor.startProcess", vec![text("x"), flag(false)]);
    }
    let cancelled = "INFO x is not started again: it was told to stop";
    assert_eq!(daemon.log().matches(cancelled).count(), 3, "{}", daemon.log());
    let payload = "processname:x groupname:x from_state:EXITED pid:0";
    until("it was heard", LONG, || daemon.read("heard").contains(payload));
}

#[test]
fn a_start_does_not_wait() {
    let daemon = start(STORM);
    daemon.wait_for_state("x", Exited, LONG);
    let before = starts(&daemon, "x").len();
    for _ in 0..5 {
        daemon.call("supervisor.startProcess", vec![text("x"), flag(false)]);
        daemon.wait_for_state("x", Exited, LONG);
    }
    let starts = starts(&daemon, "x");
    let took = starts[before + 4] - starts[before];
    assert!(took < 3000, "five starts took {took} ms: {starts:?}");
}

#[test]
fn why_and_rest_say_when_it_is_started() {
    let daemon = start(STORM);
    daemon.wait_for_state("x", Exited, LONG);
    let run = daemon.ctl(&["why", "x"]);
    assert!(run.stdout.contains("EXITED, it ended within a second of its start and waits"), "{run:?}");
    assert!(run.stdout.contains("\nnext start in "), "{run:?}");
    // In the list it is what it is to every client.
    let status = daemon.ctl(&["status", "x"]);
    assert!(status.stdout.contains("EXITED    ") && !status.stdout.contains("next start"), "{status:?}");
}

/// As in the original a process that is EXITED can be taken out, and takes its restart with it.
#[test]
fn who_waits_can_be_removed_and_does_not_keep_the_end_waiting() {
    let mut daemon = start(&format!("{STORM}{}", STORM.replace(":x", ":y")));
    daemon.wait_for_state("x", Exited, LONG);
    daemon.call("supervisor.removeProcessGroup", vec![text("x")]);
    let n_starts = starts(&daemon, "x").len();
    let at_removal = starts(&daemon, "y").len();
    until("the other one goes on", LONG, || starts(&daemon, "y").len() >= at_removal + 3);
    assert_eq!(starts(&daemon, "x").len(), n_starts);
    daemon.wait_for_state("y", Exited, LONG);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
}

/// One that waits for its restart has not ended for good.
#[test]
fn a_pause_is_no_reason_to_exit() {
    let busyness = Busyness::measure();
    let mut daemon = start(&format!(
        "[supervisord]\nexit_when=all_exited\n{STORM}[program:once]\ncommand=/bin/true\nstartsecs=0\nautorestart=false\n"
    ));
    assert_pace(&daemon, "x", 3, &busyness);
    daemon.wait_for_state("x", Exited, LONG);
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    assert_eq!(daemon.wait_exit(), 0);
}
