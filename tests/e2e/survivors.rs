//! Programs that outlive the daemon: left running with their keeper, or found again after the keeper was killed.

use crate::support::{
    AS_PID_1, COUNTER, Daemon, LONG, SLEEPER, Side, Start, assert_unbroken, flag, kill, member, run, running,
    text, until, until_some, wait_gone,
};
use dxr::Value;
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Command};
use supervisord::model::state::ProcessState::{Exited, Running, Stopped};
use supervisord::sys::pidfd;
use supervisord::sys::process::{boot_id, start_ticks};

const LEAVING: &str = "
[supervisord]
exitkillall=false
startkillall=false
processinfomapfile=%(here)s/map
";

fn start(conf: &str) -> Daemon {
    let daemon = Start::new(Side::under_test(), &format!("{LEAVING}{conf}")).ready();
    daemon.wait_log("RUNNING state");
    daemon
}

/// Ends the daemon as a user does. Its keeper's pid.
fn stop(daemon: &mut Daemon) -> i32 {
    let keeper = daemon.pid();
    daemon.ctl(&["shutdown"]).expect(0);
    assert_eq!(daemon.wait_exit(), 0);
    keeper
}

/// Kills the keeper, and with it the daemon, once what happened last is in the table.
fn kill_keeper(daemon: &mut Daemon) {
    until("the table is up to date", LONG, || !daemon.path("map.new").exists() && is_written(daemon));
    daemon.kill_keeper();
}

/// Whether the table on disk shows what the daemon says is alive.
fn is_written(daemon: &Daemon) -> bool {
    let map = daemon.read("map");
    let rows = daemon.rows("supervisor.getAllInfomapProcessInfo");
    let n_alive = map.lines().filter(|line| line.starts_with("    pid: ") && *line != "    pid: 0").count();
    let is_in = |row: &Value| map.contains(&format!("    pid: {}\n", member::<i32>(row, "pid")));
    n_alive == rows.len() && rows.iter().all(is_in)
}

/// The names of a table's rows.
fn names(daemon: &Daemon, method: &str) -> Vec<String> {
    daemon.rows(method).iter().map(|row| member(row, "name")).collect()
}

fn prestart(daemon: &Daemon) -> Vec<String> {
    names(daemon, "supervisor.getPrestartProcessInfo")
}

/// How many lines the counter has in its log: 1 to n, none missing, none twice.
#[track_caller]
fn n_lines(daemon: &Daemon) -> usize {
    assert_unbroken(&daemon.read("counter.log"))
}

#[track_caller]
fn wait_for_lines(daemon: &Daemon) {
    let before = n_lines(daemon);
    until("more lines are logged", LONG, || n_lines(daemon) > before + 20);
}

/// A program that no daemon has started.
struct Stranger(Child);

impl Stranger {
    fn new() -> Stranger {
        Stranger(Command::new("sleep").arg("1000").spawn().expect("there is a sleep"))
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).expect("a pid fits")
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Puts a table with one entry, `sleeper`, where the next daemon looks for it.
fn forge(daemon: &Daemon, pid: i32, start_ticks: u64, boot_id: &str) {
    let map = format!(
        "version: 1\nboot_id: {boot_id}\ngeneration: 5\nkeeper: 1 1\ninfo_map:\n  \"sleeper\":\n    start_time: 1\n    \
         pid: {pid}\n    program: \"sleeper\"\n    group: \"sleeper\"\n    start_ticks: {start_ticks}\ncomplete: true\n"
    );
    fs::write(daemon.path("map"), map).unwrap();
    fs::set_permissions(daemon.path("map"), fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_stop_leaves_programs_running_and_the_next_start_resumes_them() {
    let mut daemon = start(&format!("{COUNTER}{SLEEPER}"));
    let (counter, sleeper) = (daemon.info("counter"), daemon.pid_of("sleeper"));
    wait_for_lines(&daemon);

    let keeper = stop(&mut daemon);
    assert!(daemon.log().contains("leaving 2 programs running"));
    assert!(!daemon.path("supervisord.pid").exists() && !daemon.path("s.sock").exists());
    assert!(running(keeper) && running(sleeper));
    daemon.ctl(&["status"]).expect(4);
    // Without a daemon, its output goes on to its log.
    wait_for_lines(&daemon);

    daemon.start();
    assert_eq!(daemon.pid(), keeper, "the parent of the programs is the daemon again");
    let after = daemon.info("counter");
    for key in ["pid", "start", "state"] {
        assert_eq!(member::<i32>(&after, key), member::<i32>(&counter, key), "{key}");
    }
    assert_eq!(daemon.pid_of("sleeper"), sleeper);
    wait_for_lines(&daemon);
    assert_eq!(prestart(&daemon), ["counter", "sleeper"]);
    let long = daemon.ctl(&["status", "_prestart", "--long"]).expect(0);
    for part in ["source=keeper", "generation=1", "restarts=0", "output=logged", "boot_id=", "fingerprint="] {
        assert!(long.stdout.contains(part), "{part} in {long}");
    }

    // Everything is as before: exits are seen with their statuses, orders are carried out.
    kill(sleeper, Signal::SIGTERM);
    daemon.wait_log("exited: sleeper (terminated by SIGTERM; not expected)");
    daemon.wait_for_state("sleeper", Running, LONG);
    assert_eq!(prestart(&daemon), ["counter"]);
    daemon.ctl(&["stop", "all"]).expect(0);
    stop(&mut daemon);
    until("with nothing left running nothing stays", LONG, || daemon.alive().is_empty());
    for file in ["map", "supervisord.pid.lock", "supervisord.pid.resume"] {
        assert!(!daemon.path(file).exists(), "{file}");
    }
}

#[test]
fn in_the_background_it_is_the_same() {
    let conf = format!("{LEAVING}nodaemon=false\n{COUNTER}");
    let (first, daemon) = Start::new(Side::under_test(), &conf).run();
    assert_eq!(first.code, 0, "{first}");
    let (keeper, counter) = (daemon.pid(), daemon.pid_of("counter"));
    for _ in 0..2 {
        daemon.ctl(&["shutdown"]).expect(0);
        until("the pidfile is gone", LONG, || !daemon.path("supervisord.pid").exists());
        wait_for_lines(&daemon);
        let again = run(&mut daemon.command());
        assert_eq!(again.code, 0, "{again}");
        assert_eq!((daemon.pid(), daemon.pid_of("counter")), (keeper, counter));
        let second = run(&mut daemon.command());
        assert_eq!(second.code, 2, "{second}");
        assert!(second.stderr.contains("is already running with this pidfile"), "{second}");
    }
    wait_for_lines(&daemon);
    let long = daemon.ctl(&["status", "_infomap", "--long"]).expect(0);
    assert!(long.stdout.contains("generation=1"), "{long}");
}

#[test]
fn another_binary_may_resume_them() {
    let conf = format!("{LEAVING}nodaemon=false\n{COUNTER}");
    let (first, daemon) = Start::new(Side::under_test(), &conf).run();
    assert_eq!(first.code, 0, "{first}");
    let (keeper, counter) = (daemon.pid(), daemon.pid_of("counter"));
    daemon.ctl(&["shutdown"]).expect(0);
    until("the pidfile is gone", LONG, || !daemon.path("supervisord.pid").exists());

    let copy = daemon.path("copy");
    // By another process: no child of another test's thread may hold it open for writing when it is executed.
    run(Command::new("cp").arg(env!("CARGO_BIN_EXE_supervisord")).arg(&copy)).expect(0);
    let usual = daemon.command();
    let mut command = Command::new(&copy);
    command.args(usual.get_args()).current_dir("/").env_clear().env("MARKER", "of the second start");
    command.envs(usual.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let again = run(&mut command);
    assert_eq!(again.code, 0, "{again}");
    let manager = daemon.manager();
    for process in [keeper, manager] {
        assert_eq!(fs::read_link(format!("/proc/{process}/exe")).unwrap(), copy);
    }
    assert_eq!(daemon.pid_of("counter"), counter);
    wait_for_lines(&daemon);
    // What is started from here on sees what the second start was given.
    daemon.ctl(&["restart", "counter"]).expect(0);
    let environment = fs::read_to_string(format!("/proc/{}/environ", daemon.pid_of("counter"))).unwrap();
    assert!(environment.contains("MARKER=of the second start"), "{environment}");
}

#[test]
fn what_ended_while_there_was_no_daemon_is_accounted_for() {
    let mut daemon = start(&format!(
        "{SLEEPER}
[program:once]
command=/bin/sh -c 'read line; exit 7'
startsecs=0
autorestart=false
[program:byhand]
command=sleep 1000
startsecs=0
"
    ));
    daemon.ctl(&["stop", "byhand"]).expect(0);
    let (sleeper, once) = (daemon.pid_of("sleeper"), daemon.pid_of("once"));
    stop(&mut daemon);
    kill(sleeper, Signal::SIGKILL);
    kill(once, Signal::SIGINT);
    wait_gone(&[sleeper, once], LONG);
    daemon.start();
    daemon.wait_log("exited: sleeper (terminated by SIGKILL; not expected)");
    daemon.wait_log("exited: once (terminated by SIGINT; not expected)");
    daemon.wait_for_state("sleeper", Running, LONG);
    assert_eq!(daemon.state_of("once"), Exited);
    assert_eq!(daemon.state_of("byhand"), Stopped);
}

#[test]
fn a_stop_under_way_is_finished_first_and_meanwhile_everything_else_goes_on() {
    let mut daemon = start(&format!(
        "{SLEEPER}
[program:stubborn]
command=/bin/sh -c 'trap \"\" TERM; touch trapped; while :; do sleep 0.05; done'
directory=%(here)s
startsecs=0
stopwaitsecs=1000
"
    ));
    until("it ignores TERM", LONG, || daemon.path("trapped").exists());
    daemon.wait_for_state("stubborn", Running, LONG);
    let (sleeper, stubborn) = (daemon.pid_of("sleeper"), daemon.pid_of("stubborn"));
    daemon.call("supervisor.stopProcess", vec![text("stubborn"), flag(false)]);
    daemon.signal(Signal::SIGTERM);
    daemon.wait_log("waiting for stubborn to die");
    kill(sleeper, Signal::SIGKILL);
    until("it is restarted", LONG, || daemon.log().matches("spawned: 'sleeper'").count() == 2);
    kill(stubborn, Signal::SIGKILL);
    assert_eq!(daemon.wait_exit(), 0);
    daemon.start();
    assert_eq!(daemon.state_of("sleeper"), Running);
    assert_eq!(daemon.state_of("stubborn"), Stopped);
    assert_eq!(prestart(&daemon), ["sleeper"]);
}

#[test]
fn what_is_configured_differently_is_updated() {
    let mut daemon = start(&format!(
        "{COUNTER}{SLEEPER}
[program:gone]
command=sleep 1000
startsecs=0
"
    ));
    let before = ["counter", "sleeper", "gone"].map(|name| daemon.pid_of(name));
    stop(&mut daemon);
    daemon.write_conf(&format!(
        "{LEAVING}{COUNTER}
[program:sleeper]
command=sleep 2000
startsecs=0
[program:new]
command=sleep 1000
startsecs=0
[program:dormant]
command=sleep 1000
autostart=false
"
    ));
    daemon.start();
    wait_gone(&before[1..], LONG);
    daemon.wait_for_state("new", Running, LONG);
    daemon.wait_for_state("sleeper", Running, LONG);
    assert_ne!(daemon.pid_of("sleeper"), before[1]);
    assert_eq!(daemon.pid_of("counter"), before[0]);
    assert_eq!(daemon.state_of("dormant"), Stopped);
    // A stopped group is removed a turn after its last program was seen to end.
    until("the group is removed", LONG, || {
        daemon.try_call("supervisor.getProcessInfo", vec![text("gone")]).is_err()
    });
    wait_for_lines(&daemon);
}

#[test]
fn a_start_that_fails_leaves_the_programs_with_the_keeper() {
    let mut daemon = start(COUNTER);
    let counter = daemon.pid_of("counter");
    let keeper = stop(&mut daemon);
    // Somebody else listens where the daemon wants to.
    let other = std::os::unix::net::UnixListener::bind(daemon.path("s.sock")).unwrap();
    daemon.spawn();
    assert_eq!(daemon.wait_exit(), 2);
    // On the terminal of whoever wanted to start it.
    assert!(daemon.read("stderr").contains("already listening"), "{}", daemon.read("stderr"));
    wait_for_lines(&daemon);
    drop(other);
    fs::remove_file(daemon.path("s.sock")).unwrap();
    daemon.start();
    assert_eq!((daemon.pid(), daemon.pid_of("counter")), (keeper, counter));
    wait_for_lines(&daemon);
}

#[test]
fn signals_reach_the_daemon_through_whoever_stands_in_for_it() {
    let mut daemon = start(COUNTER);
    let counter = daemon.pid_of("counter");
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        kill(daemon.started_pid(), signal);
        assert_eq!(daemon.wait_exit(), 0);
        assert!(running(counter));
        daemon.start();
    }
    // Whoever kills the stand-in wants the daemon to end.
    kill(daemon.started_pid(), Signal::SIGKILL);
    until("the daemon has ended", LONG, || !daemon.path("supervisord.pid").exists());
    assert!(running(counter));
    daemon.start();
    assert_eq!(daemon.pid_of("counter"), counter);
    assert!(!daemon.log().contains("killing"));
}

#[test]
fn a_keeper_without_a_daemon_ends_with_its_programs_when_it_is_told_to() {
    let mut daemon = start(&format!("{COUNTER}{SLEEPER}"));
    // One program that is its child and one that is not.
    kill_keeper(&mut daemon);
    daemon.start();
    daemon.ctl(&["restart", "counter"]).expect(0);
    assert_eq!(prestart(&daemon), ["sleeper"]);
    let keeper = stop(&mut daemon);
    // At first it takes signals for repetitions of the one that ended the daemon.
    kill(keeper, Signal::SIGTERM);
    until("it has ended", LONG, || {
        assert!(!daemon.path("supervisord.pid").exists());
        kill(keeper, Signal::SIGTERM);
        std::thread::sleep(std::time::Duration::from_millis(100));
        daemon.alive().is_empty()
    });
    assert!(!daemon.path("supervisord.pid.resume").exists() && !daemon.path("map").exists());
}

#[test]
fn what_was_left_running_is_stopped_in_order_if_the_next_start_is_to_kill_all() {
    let mut daemon = start(COUNTER);
    let counter = daemon.pid_of("counter");
    stop(&mut daemon);
    daemon.write_conf(&format!("{LEAVING}startkillall=true\n{COUNTER}"));
    daemon.start();
    daemon.wait_log("stopped: counter (terminated by SIGTERM)");
    daemon.wait_for_state("counter", Running, LONG);
    assert_ne!(daemon.pid_of("counter"), counter);
    assert!(prestart(&daemon).is_empty());
}

#[test]
fn as_pid_1_everything_is_stopped_in_order() {
    let mut daemon = Start::new(Side::under_test(), &format!("{LEAVING}{COUNTER}")).under(&AS_PID_1).ready();
    daemon.wait_for_state("counter", Running, LONG);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert!(daemon.log().contains("stopped: counter (terminated by SIGTERM)"));
    assert!(daemon.alive().is_empty());
}

#[test]
fn a_keeper_that_somebody_waits_for_does_not_stay() {
    let mut daemon = Start::new(Side::under_test(), SLEEPER).ready();
    daemon.wait_for_state("sleeper", Running, LONG);
    daemon.write_conf(&format!("{LEAVING}{SLEEPER}"));
    let before = daemon.pid_of("sleeper");
    daemon.signal(Signal::SIGHUP);
    wait_gone(&[before], LONG);
    daemon.wait_for_state("sleeper", Running, LONG);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert!(daemon.alive().is_empty());
}

#[test]
fn programs_outlive_a_killed_keeper_and_are_adopted() {
    let mut daemon = start(&format!("{COUNTER}{SLEEPER}"));
    let (counter, sleeper) = (daemon.info("counter"), daemon.pid_of("sleeper"));
    wait_for_lines(&daemon);
    kill_keeper(&mut daemon);
    assert!(running(member(&counter, "pid")) && running(sleeper));

    daemon.start();
    daemon.wait_log("adopted: 'counter' with pid");
    let after = daemon.info("counter");
    for key in ["pid", "start", "state"] {
        assert_eq!(member::<i32>(&after, key), member::<i32>(&counter, key), "{key}");
    }
    assert_eq!(prestart(&daemon), ["counter", "sleeper"]);
    let long = daemon.ctl(&["status", "_infomap", "--long"]).expect(0);
    let ticks = format!("start_ticks={}", start_ticks(sleeper).expect("it runs"));
    for part in ["source=map", "generation=1", "output=logged", &ticks, &boot_id()] {
        assert!(long.stdout.contains(part), "{part} in {long}");
    }
    // What it wrote while nobody read has waited in its pipe.
    wait_for_lines(&daemon);

    // The next manager still has them.
    daemon.kill_manager();
    assert_eq!(prestart(&daemon), ["counter", "sleeper"]);
    wait_for_lines(&daemon);

    // Its end is seen, and it is restarted by its rules.
    kill(sleeper, Signal::SIGTERM);
    until("its end is noticed", LONG, || daemon.log().contains("exited: sleeper ("));
    daemon.wait_for_state("sleeper", Running, LONG);
    assert_ne!(daemon.pid_of("sleeper"), sleeper);
    assert_eq!(prestart(&daemon), ["counter"]);
    // It is stopped like any other.
    daemon.ctl(&["stop", "counter"]).expect(0);
    wait_gone(&[member(&counter, "pid")], LONG);
    daemon.ctl(&["start", "counter"]).expect(0);
}

#[test]
fn one_generation_after_the_other_is_adopted() {
    let mut daemon = start(COUNTER);
    let counter = daemon.pid_of("counter");
    for generation in 1..=3 {
        kill_keeper(&mut daemon);
        daemon.start();
        assert_eq!(daemon.pid_of("counter"), counter, "generation {generation}");
        wait_for_lines(&daemon);
    }
    // From a keeper that is no parent to one that stays, and on.
    stop(&mut daemon);
    wait_for_lines(&daemon);
    daemon.start();
    assert_eq!(daemon.pid_of("counter"), counter);
    wait_for_lines(&daemon);
    assert_eq!(daemon.read("map").lines().find(|line| line.starts_with("generation")), Some("generation: 5"));
}

#[test]
fn a_keeper_that_is_killed_without_a_daemon_leaves_survivors_too() {
    let mut daemon = start(COUNTER);
    let counter = daemon.pid_of("counter");
    let keeper = stop(&mut daemon);
    kill(keeper, Signal::SIGKILL);
    wait_gone(&[keeper], LONG);
    daemon.start();
    assert_eq!(daemon.pid_of("counter"), counter);
    wait_for_lines(&daemon);
}

#[test]
fn the_end_of_an_adopted_program_follows_its_rules() {
    let mut daemon = start(
        "
[program:once]
command=/bin/sh -c 'while ! test -e go; do sleep 0.05; done; exit 7'
directory=%(here)s
startsecs=0
autorestart=false
",
    );
    kill_keeper(&mut daemon);
    daemon.start();
    assert_eq!(daemon.state_of("once"), Running);
    let why = daemon.ctl(&["why", "once"]).expect(0);
    assert!(why.stdout.contains("it was adopted after its keeper was killed"), "{why}");
    fs::write(daemon.path("go"), "").unwrap();
    daemon.wait_for_state("once", Exited, LONG);
    let log = daemon.log();
    // Whether it can be known depends on the kernel and on who has become its parent.
    let known = log.contains("exited: once (exit status 7; not expected)");
    assert!(known || log.contains("exited: once (exit status unknown; not expected)"), "{log}");
}

#[test]
fn an_adopted_program_leaves_nobody_behind_either() {
    let mut daemon = start(
        "
[program:family]
command=/bin/sh -c 'sleep 1000 & echo $! > child; while ! test -e go; do sleep 0.05; done'
directory=%(here)s
startsecs=0
autorestart=false
killasgroup=true
",
    );
    until("it has a child", LONG, || daemon.read("child").ends_with('\n'));
    let child: i32 = daemon.read("child").trim().parse().expect("a pid");
    let leader = daemon.pid_of("family");
    kill_keeper(&mut daemon);
    daemon.start();
    let held = start_ticks(leader).and_then(|ticks| pidfd::open(leader, ticks).ok()).expect("it runs");
    let kernel_tells = pidfd::leads_anybody(&held);
    fs::write(daemon.path("go"), "").unwrap();
    daemon.wait_for_state("family", Exited, LONG);
    if kernel_tells {
        wait_gone(&[child], LONG);
        daemon.wait_log("left behind in the process group of 'family'");
    } else {
        assert!(running(child), "the group may be somebody else's");
        kill(child, Signal::SIGKILL);
    }
}

#[test]
fn what_changed_is_started_anew_and_what_was_stopped_stays_so() {
    let mut daemon = start(&format!(
        "{COUNTER}{SLEEPER}
[program:gone]
command=sleep 1000
startsecs=0
[program:byhand]
command=sleep 1000
startsecs=0
"
    ));
    daemon.ctl(&["stop", "byhand"]).expect(0);
    let before = ["counter", "sleeper", "gone"].map(|name| daemon.pid_of(name));
    kill_keeper(&mut daemon);
    daemon.write_conf(&format!(
        "{LEAVING}{COUNTER}
[program:sleeper]
command=sleep 2000
startsecs=0
[program:new]
command=sleep 1000
startsecs=0
[program:byhand]
command=sleep 1000
startsecs=0
"
    ));
    daemon.start();
    wait_gone(&before[1..], LONG);
    daemon.wait_for_state("sleeper", Running, LONG);
    daemon.wait_for_state("new", Running, LONG);
    assert_ne!(daemon.pid_of("sleeper"), before[1]);
    assert_eq!(daemon.pid_of("counter"), before[0]);
    assert_eq!(daemon.state_of("byhand"), Stopped);
    assert!(daemon.log().contains("'gone' (pid"));
}

#[test]
fn an_adopted_program_that_closed_our_pipe_is_said_to_be_mute() {
    let mut daemon = start(
        "
[program:mute]
command=/bin/sh -c 'exec sleep 1000 >/dev/null 2>&1'
startsecs=0
",
    );
    let pid = daemon.pid_of("mute");
    until("it has become sleep", LONG, || {
        fs::read_link(format!("/proc/{pid}/fd/1")).is_ok_and(|target| target.ends_with("null"))
    });
    kill_keeper(&mut daemon);
    daemon.start();
    let status = daemon.ctl(&["status"]).expect(0);
    assert!(status.stdout.contains("adopted, output not logged"), "{status}");
    let why = daemon.ctl(&["why", "mute"]).expect(0);
    assert!(why.stdout.contains("its output is not logged any more"), "{why}");
    daemon.ctl(&["restart", "mute"]).expect(0);
}

#[test]
fn survivors_are_killed_if_that_is_asked_for() {
    let mut daemon = start(&format!("{COUNTER}{SLEEPER}"));
    let before = ["counter", "sleeper"].map(|name| daemon.pid_of(name));
    kill_keeper(&mut daemon);
    daemon.write_conf(&format!("{LEAVING}startkillall=true\n{COUNTER}{SLEEPER}"));
    daemon.start();
    wait_gone(&before, LONG);
    daemon.wait_for_state("sleeper", Running, LONG);
    assert!(prestart(&daemon).is_empty());
    assert!(daemon.log().contains(&format!("killing 'sleeper' ({}) with SIGKILL", before[1])));
}

#[test]
fn nobody_who_got_a_pid_later_is_touched() {
    let stranger = Stranger::new();
    let ticks = start_ticks(stranger.pid()).expect("it runs");
    for (start_ticks, boot_id) in [(ticks + 1, boot_id()), (ticks, "00000000-0000".to_string())] {
        for startkillall in [false, true] {
            let conf = format!("{LEAVING}startkillall={startkillall}\n{SLEEPER}");
            let mut daemon = Start::new(Side::under_test(), &conf).prepare();
            forge(&daemon, stranger.pid(), start_ticks, &boot_id);
            daemon.start();
            daemon.wait_for_state("sleeper", Running, LONG);
            assert_ne!(daemon.pid_of("sleeper"), stranger.pid());
            assert!(running(stranger.pid()), "{start_ticks} {boot_id} {startkillall}");
            daemon.ctl(&["stop", "all"]).expect(0);
        }
    }
}

/// The counter-proof to the one above: the same table with the right identity is believed.
#[test]
fn whoever_is_the_one_in_the_table_is_adopted() {
    let stranger = Stranger::new();
    let mut daemon = Start::new(Side::under_test(), &format!("{LEAVING}{SLEEPER}")).prepare();
    forge(&daemon, stranger.pid(), start_ticks(stranger.pid()).expect("it runs"), &boot_id());
    daemon.start();
    daemon.wait_log(&format!("adopted: 'sleeper' with pid {}", stranger.pid()));
}

#[test]
fn a_file_that_cannot_be_ours_is_left_alone_and_the_daemon_starts() {
    let torn =
        format!("version: 1\nboot_id: {}\ngeneration: 1\ninfo_map:\n  \"sleeper\":\n    pid: 1\n", boot_id());
    for (content, mode, why) in [
        ("root:x:0:0:root:/root:/bin/sh\n", 0o600, "line 1: unknown key root"),
        (&*torn, 0o600, "it is not complete"),
        ("\0\0\0", 0o600, "line 1"),
        ("version: 1\ninfo_map:\n", 0o666, "others may write to it"),
    ] {
        let mut daemon = Start::new(Side::under_test(), &format!("{LEAVING}{SLEEPER}")).prepare();
        fs::write(daemon.path("map"), content).unwrap();
        fs::set_permissions(daemon.path("map"), fs::Permissions::from_mode(mode)).unwrap();
        daemon.start();
        daemon.wait_for_state("sleeper", Running, LONG);
        let log = daemon.log();
        assert_eq!(log.matches("processinfomapfile").count(), 1, "{log}");
        assert!(log.contains(why), "{why} in {log}");
        assert_eq!(daemon.read("map"), content);
    }
    // A link is not followed, neither to read nor to write.
    let mut daemon = Start::new(Side::under_test(), &format!("{LEAVING}{SLEEPER}")).prepare();
    fs::write(daemon.path("target"), "version: 1\ninfo_map:\n").unwrap();
    std::os::unix::fs::symlink(daemon.path("target"), daemon.path("map")).unwrap();
    daemon.start();
    daemon.wait_log("it is a symbolic link");
    daemon.wait_for_state("sleeper", Running, LONG);
    assert_eq!(daemon.read("target"), "version: 1\ninfo_map:\n");
}

#[test]
fn the_table_of_a_daemon_that_runs_is_nobody_elses() {
    let daemon = start(SLEEPER);
    until("the table is written", LONG, || is_written(&daemon));
    let conf = format!("{LEAVING}processinfomapfile={}\nstartkillall=true\n", daemon.path("map").display());
    let (second, _guard) = Start::new(Side::under_test(), &conf).run();
    assert_eq!(second.code, 2, "{second}");
    assert!(second.stderr.contains(&format!("Another supervisord (pid {})", daemon.pid())), "{second}");
    assert_eq!(daemon.state_of("sleeper"), Running);
}

#[test]
fn the_table_is_for_us_alone_and_follows_what_happens() {
    let mut daemon = start(SLEEPER);
    until("the table is written", LONG, || is_written(&daemon));
    let metadata = fs::metadata(daemon.path("map")).unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o600);
    let first = daemon.read("map");
    for key in ["version: ", "info_map:", "start_time: ", "pid: ", "program: \"sleeper\"", "boot_id: "] {
        assert!(first.contains(key), "{key} in {first}");
    }
    kill(daemon.pid_of("sleeper"), Signal::SIGKILL);
    daemon.wait_for_state("sleeper", Running, LONG);
    until("the table has the new one", LONG, || is_written(&daemon));
    daemon.ctl(&["stop", "sleeper"]).expect(0);
    until("the table says that it is to stay stopped", LONG, || daemon.read("map").contains("pid: 0\n"));
    assert!(names(&daemon, "supervisor.getAllInfomapProcessInfo").is_empty());
    assert_eq!(names(&daemon, "supervisor.getAllProcsProcessInfo"), ["sleeper"]);
    // Questions change nothing, so nothing is written.
    let before = fs::metadata(daemon.path("map")).unwrap().ino();
    daemon.ctl(&["status", "_procs", "--long"]).expect(0);
    daemon.ctl(&["avail"]).expect(0);
    assert_eq!(fs::metadata(daemon.path("map")).unwrap().ino(), before);
    stop(&mut daemon);
    assert!(!daemon.path("map").exists());
}

#[test]
fn a_thousand_programs_are_resumed() {
    const MANY: usize = 1000;
    let conf = format!(
        "[program:many]
command=sleep 1000
process_name=%(process_num)04d
numprocs={MANY}
startsecs=0
stdout_logfile=NONE
stderr_logfile=NONE
{COUNTER}"
    );
    let mut daemon = start(&conf);
    let all_run = |daemon: &Daemon| {
        let infos = daemon.rows("supervisor.getAllProcessInfo");
        let pids: Vec<i32> = infos.iter().map(|info| member(info, "pid")).collect();
        (pids.len() == MANY + 1 && !pids.contains(&0)).then_some(pids)
    };
    let pids = until_some("all run", LONG * 3, || all_run(&daemon));
    stop(&mut daemon);
    wait_for_lines(&daemon);
    daemon.start();
    assert_eq!(all_run(&daemon), Some(pids.clone()));
    assert_eq!(prestart(&daemon).len(), MANY + 1);
    wait_for_lines(&daemon);
    kill_keeper(&mut daemon);
    daemon.start();
    assert_eq!(all_run(&daemon), Some(pids));
    wait_for_lines(&daemon);
}
