//! Event listeners: what they hear, and that nothing they do harms anybody.

use crate::support::{Daemon, LONG, Side, Start, flag, kill, running, text, until};
use nix::sys::signal::Signal;
use std::time::Duration;
use supervisord::model::state::ProcessState::{Running, Stopped};

/// A listener that notes every event in `NAME.heard`, one in a line; its second argument is what it answers.
pub const NOTER: &str = r#"
import os, sys
name, answer = sys.argv[1], (sys.argv[2:] or ['OK'])[0]
heard = os.open(name + '.heard', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
while True:
    sys.stdout.write('READY\n'); sys.stdout.flush()
    line = sys.stdin.readline()
    if not line: break
    fields = dict(field.split(':', 1) for field in line.split())
    payload = sys.stdin.read(int(fields['len']))
    os.write(heard, (line + payload).replace('\n', '|').encode() + b'\n')
    sys.stdout.write('RESULT %d\n%s' % (len(answer), answer)); sys.stdout.flush()
"#;

/// Starts a daemon with `noter.py` in its directory.
fn with_noter(conf: &str) -> Daemon {
    with_noter_of(Side::under_test(), conf)
}

fn with_noter_of(side: Side, conf: &str) -> Daemon {
    let mut daemon = Start::new(side, conf).prepare();
    std::fs::write(daemon.path("noter.py"), NOTER).expect("the test's directory can be written");
    daemon.start();
    daemon
}

pub fn noter(name: &str, settings: &str) -> String {
    format!(
        "[eventlistener:{name}]\ncommand=python3 %(here)s/noter.py {name}\ndirectory=%(here)s\nstartsecs=0\n{settings}\n"
    )
}

/// What a listener has heard, each event with its header.
pub fn heard(daemon: &Daemon, name: &str) -> Vec<String> {
    // One that is being written does not count yet.
    let text = daemon.read(&format!("{name}.heard"));
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_string).collect()
}

/// The same without headers.
pub fn payloads(daemon: &Daemon, name: &str) -> Vec<String> {
    let payload = |line: &String| line.split_once('|').map(|(_, payload)| payload.to_string());
    heard(daemon, name).iter().filter_map(payload).collect()
}

fn send(daemon: &Daemon, data: &str) {
    daemon.call("supervisor.sendRemoteCommEvent", vec![text("test"), text(data)]);
}

/// The data of the remote events that were heard.
fn remote(daemon: &Daemon, name: &str) -> Vec<String> {
    let data = |payload: &String| payload.strip_prefix("type:test|").map(str::to_string);
    payloads(daemon, name).iter().filter_map(data).collect()
}

#[test]
fn captured_data_outlives_managers() {
    let conf = noter("l", "events=PROCESS_COMMUNICATION\nbuffer_size=100")
        + "
[program:p]
command=/bin/sh -c 'printf \"begin\\n<!--XSUPERVISOR:BEGIN-->one, \"; read go < trigger; printf \"two<!--XSUPERVISOR:END-->end\\n\"; exec sleep 1000'
directory=%(here)s
startsecs=0
autostart=false
stdout_capture_maxbytes=1MB
stdout_logfile=%(here)s/p.log
";
    let daemon = with_noter(&conf);
    nix::unistd::mkfifo(&daemon.path("trigger"), nix::sys::stat::Mode::S_IRWXU)
        .expect("the test's directory");
    daemon.wait_for_state("l", Running, LONG);
    daemon.call("supervisor.startProcess", vec![text("p"), flag(true)]);
    until("the first half was read", LONG, || daemon.read("p.log") == "begin\n");
    let pid = daemon.pid_of("p");
    for _ in 0..3 {
        daemon.replace_manager();
    }
    std::fs::write(daemon.path("trigger"), "go\n").expect("its program reads it");
    until("it was heard", LONG, || !payloads(&daemon, "l").is_empty());
    assert_eq!(payloads(&daemon, "l"), [format!("processname:p groupname:p pid:{pid}|one, two")]);
    until("the rest is logged", LONG, || daemon.read("p.log") == "begin\nend\n");
}

#[test]
fn a_start_is_told_from_its_beginning() {
    let conf = noter("l", "events=PROCESS_STATE,PROCESS_GROUP,SUPERVISOR_STATE_CHANGE\nbuffer_size=100")
        + "[program:cat]\ncommand=cat\nstartsecs=0\n";
    let daemon = with_noter(&conf);
    until("the start of cat was heard", LONG, || heard(&daemon, "l").len() >= 7);
    let pid = daemon.pid_of("cat");
    let heard: Vec<String> = heard(&daemon, "l");
    let header =
        "ver:3.0 server:supervisor serial:0 pool:l poolserial:0 eventname:PROCESS_GROUP_ADDED len:12";
    assert_eq!(heard[0], format!("{header}|groupname:l|"));
    assert!(
        heard[2].contains(" serial:2 pool:l poolserial:2 eventname:SUPERVISOR_STATE_CHANGE_RUNNING len:0|")
    );
    let last = format!("processname:cat groupname:cat from_state:STARTING pid:{pid}");
    // As in the original everybody is STARTING before the first is RUNNING.
    assert!(heard[4].ends_with("|processname:cat groupname:cat from_state:STOPPED tries:0"), "{}", heard[4]);
    // The two are created side by side, so either may be executed first.
    let running = &heard[5..7];
    let is_of_l = |line: &String| line.contains("|processname:l groupname:l from_state:STARTING");
    let of_cat = format!("eventname:PROCESS_STATE_RUNNING len:{}|{last}", last.len());
    assert!(running.iter().any(is_of_l), "{running:?}");
    assert!(running.iter().any(|line| line.ends_with(&of_cat)), "{running:?}");
}

#[test]
fn output_becomes_events() {
    let conf = noter("l", "events=PROCESS_LOG,PROCESS_COMMUNICATION\nbuffer_size=100")
        + r#"[program:talker]
command=/bin/sh -c "printf '<!--XSUPERVISOR:BEGIN-->grüße<!--XSUPERVISOR:END-->plain'; printf '\377\n' >&2; exec sleep 1000"
stdout_capture_maxbytes=100
stdout_events_enabled=true
stderr_events_enabled=true
"#;
    let daemon = with_noter(&conf);
    until("three events were heard", LONG, || heard(&daemon, "l").len() == 3);
    let pid = daemon.pid_of("talker");
    let who = format!("processname:talker groupname:talker pid:{pid}");
    let mut payloads = payloads(&daemon, "l");
    payloads.sort();
    assert_eq!(
        payloads,
        [
            format!("{who} channel:stderr|Undecodable: b'\\xff\\n'"),
            format!("{who} channel:stdout|plain"),
            format!("{who}|grüße"),
        ]
    );
}

#[test]
fn a_group_that_is_removed_is_told_to_others_only() {
    let conf = noter("l", "events=PROCESS_GROUP_REMOVED")
        + &noter("other", "events=EVENT")
        + "[program:cat]\ncommand=cat\nautostart=false\n";
    let daemon = with_noter(&conf);
    for name in ["l", "other"] {
        daemon.wait_for_state(name, Running, LONG);
    }
    daemon.ctl(&["stop", "other"]).expect(0);
    for name in ["other", "cat"] {
        daemon.call("supervisor.removeProcessGroup", vec![text(name)]);
    }
    until("both removals were heard", LONG, || heard(&daemon, "l").len() == 2);
    assert_eq!(payloads(&daemon, "l"), ["groupname:other|", "groupname:cat|"]);
}

#[test]
fn a_tick_comes_at_its_time() {
    let daemon = with_noter(&noter("l", "events=TICK_5"));
    until("two ticks were heard", LONG, || payloads(&daemon, "l").len() >= 2);
    let when: Vec<i64> =
        payloads(&daemon, "l").iter().map(|tick| tick["when:".len()..].parse().unwrap()).collect();
    assert!(when[0] % 5 == 0 && when[1] == when[0] + 5, "{when:?}");
}

#[test]
fn a_rejected_event_comes_again() {
    let conf = noter("l", "events=REMOTE_COMMUNICATION").replace("noter.py l", "noter.py l FAIL");
    let daemon = with_noter(&conf);
    daemon.wait_for_state("l", Running, LONG);
    send(&daemon, "again");
    until("it was heard several times", LONG, || heard(&daemon, "l").len() >= 4);
    let heard = heard(&daemon, "l");
    assert!(heard.iter().all(|line| line == &heard[0]), "{heard:?}");
}

#[test]
fn one_pool_rejects_and_the_other_does_not_notice() {
    let conf = noter("bad", "events=REMOTE_COMMUNICATION").replace("noter.py bad", "noter.py bad FAIL")
        + &noter("good", "events=REMOTE_COMMUNICATION");
    let daemon = with_noter(&conf);
    for name in ["bad", "good"] {
        daemon.wait_for_state(name, Running, LONG);
    }
    for data in ["1", "2", "3"] {
        send(&daemon, data);
    }
    until("the good one has heard all", LONG, || remote(&daemon, "good").len() == 3);
    assert_eq!(remote(&daemon, "good"), ["1", "2", "3"]);
    until("the bad one gets the first again", LONG, || remote(&daemon, "bad").len() > 3);
    assert!(remote(&daemon, "bad").iter().all(|data| data == "1"));
    assert_eq!(remote(&daemon, "good").len(), 3);
}

#[test]
fn a_listener_that_dies_busy_leaves_its_event_to_the_next() {
    let conf = r#"
[supervisord]
loglevel=debug
[eventlistener:l]
command=sh -c 'if [ %(process_num)d = 0 ]; then echo READY; read line; kill -9 $$; fi; exec python3 noter.py l'
process_name=n%(process_num)d
numprocs=2
directory=%(here)s
events=REMOTE_COMMUNICATION
startsecs=0
autorestart=false
"#;
    let daemon = with_noter(conf);
    for name in ["n0", "n1"] {
        daemon.wait_log(&format!("{name}: ACKNOWLEDGED -> READY"));
    }
    send(&daemon, "precious");
    until("the other one has it", LONG, || remote(&daemon, "l") == ["precious"]);
    daemon.wait_log("event 0 sent to listener n1");
    let log = daemon.log();
    let at = |text: &str| log.find(text).unwrap_or_else(|| panic!("the log has no {text:?}"));
    assert!(at("event 0 sent to listener n0") < at("exited: n0 (terminated by SIGKILL; not expected)"));
    assert!(at("exited: n0") < at("rebuffering event 0 for pool l (buf size=0, max=10)"));
    assert!(at("rebuffering event 0") < at("event 0 sent to listener n1"));
}

#[test]
fn listeners_that_misbehave_harm_nobody() {
    let bad = |name: &str, script: &str| {
        format!(
            "[eventlistener:{name}]\ncommand=sh -c '{script}'\nevents=EVENT\nstartsecs=0\nstdout_logfile=NONE\n"
        )
    };
    let conf = noter("good", "events=REMOTE_COMMUNICATION\nbuffer_size=1000")
        + &bad("deaf", "echo READY; exec sleep 1000")
        + &bad("closed", "exec <&-; echo READY; exec sleep 1000")
        + &bad("rude", "echo hello; exec sleep 1000")
        + &bad("eager", "echo READY; echo READY; exec sleep 1000")
        + &bad("liar", "echo READY; read x; echo RESULT 99999999999; exec sleep 1000")
        + &bad("negative", "echo READY; read x; echo RESULT -1; exec sleep 1000")
        + &bad("flood", "exec yes");
    let daemon = with_noter(&conf);
    daemon.wait_for_state("good", Running, LONG);
    let data: Vec<String> = (0..50).map(|n| format!("{n} {}", "x".repeat(100_000))).collect();
    for data in &data {
        send(&daemon, data);
    }
    until("everything was heard", LONG, || remote(&daemon, "good").len() == 50);
    assert_eq!(remote(&daemon, "good"), data);
    for name in ["rude", "eager", "liar", "negative", "flood"] {
        daemon.wait_log(&format!("{name}: has entered the UNKNOWN state and will no longer receive events"));
    }
    daemon.wait_log("liar: bad result line: 'RESULT 99999999999'");
    assert_eq!(daemon.state_of("deaf"), Running);
}

#[test]
fn a_bash_listener_and_one_that_kills_its_parent() {
    let conf = r#"
[eventlistener:noisy]
command=bash -c "printf 'READY\n'; while read line; do echo \"$line\" >> %(here)s/lines; printf 'RESULT 2\nOKREADY\n'; done"
events=SUPERVISOR_STATE_CHANGE
startsecs=0
[eventlistener:killer]
command=bash -c "printf 'READY\n'; while read line; do kill -TERM $PPID; printf 'RESULT 2\nOKREADY\n'; done"
events=PROCESS_STATE_FATAL
startsecs=0
; Fails once the other listener has written down what it heard.
[program:broken]
command=sh -c "until [ -s %(here)s/lines ]; do sleep 0.01; done; exit 1"
startsecs=1000
startretries=0
"#;
    // It ends by itself, perhaps before it is asked anything.
    let mut daemon = Start::new(Side::under_test(), conf).spawn();
    assert_eq!(daemon.wait_exit(), 0);
    assert!(daemon.log().contains("received SIGTERM indicating exit request"));
    assert!(daemon.read("lines").contains("eventname:SUPERVISOR_STATE_CHANGE_RUNNING len:0"));
}

#[test]
fn supervisor_stdout_is_built_in() {
    let conf = r#"
[supervisord]
silent=true
[eventlistener:stdout]
command=python3 %(here)s/noter.py echo
directory=%(here)s
buffer_size=100
events=PROCESS_LOG
result_handler=supervisor_stdout:event_handler
[program:talker]
command=sh -c 'echo one; echo two; exec sleep 1000'
stdout_events_enabled=true
"#;
    let mut daemon = Start::new(Side::under_test(), conf).prepare();
    let echo = NOTER.replace("sys.stdout.write('RESULT", "answer = payload; sys.stdout.write('RESULT");
    std::fs::write(daemon.path("noter.py"), echo).unwrap();
    daemon.start();
    until("the lines are on our output", LONG, || daemon.read("stdout").contains("two"));
    assert_eq!(daemon.read("stdout"), "talker stdout | one\ntalker stdout | two\n");
}

/// Every event is heard once, whatever happens to managers meanwhile.
#[test]
fn no_event_is_lost_or_doubled_when_managers_die() {
    let daemon = with_noter(&noter("l", "events=REMOTE_COMMUNICATION\nbuffer_size=5000"));
    daemon.wait_for_state("l", Running, LONG);
    let pid = daemon.pid_of("l");
    let mut sent = 0;
    for round in 0..15 {
        let before = daemon.manager();
        for _ in 0..20 {
            send(&daemon, &sent.to_string());
            sent += 1;
        }
        // At another point of the conversation each time.
        until("some were heard", LONG, || remote(&daemon, "l").len() + 15 >= sent + round % 15);
        kill(before, Signal::SIGKILL);
        daemon.manager_after(before);
        daemon.wait_answer();
    }
    until("all were heard", LONG, || remote(&daemon, "l").len() >= sent);
    let expected: Vec<String> = (0..sent).map(|n| n.to_string()).collect();
    assert_eq!(remote(&daemon, "l"), expected);
    assert!(running(pid) && daemon.pid_of("l") == pid, "the listener is the same");
    assert!(!daemon.log().contains("UNKNOWN"));
}

#[test]
fn an_idle_daemon_without_subscribers_does_not_wake() {
    let daemon = with_noter(&noter("l", "events=PROCESS_STATE_FATAL"));
    daemon.wait_for_state("l", Running, LONG);
    let manager = daemon.manager();
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{manager}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let mut before = switches();
    until("two seconds pass without a wake-up", LONG, || {
        std::thread::sleep(Duration::from_secs(2));
        let was = std::mem::replace(&mut before, switches());
        was == before
    });
}

#[test]
fn a_listener_is_stopped_like_any_program() {
    let daemon = with_noter(&noter("l", "events=EVENT"));
    daemon.wait_for_state("l", Running, LONG);
    daemon.ctl(&["stop", "l"]).expect(0);
    assert_eq!(daemon.state_of("l"), Stopped);
    send(&daemon, "meanwhile");
    daemon.ctl(&["start", "l"]).expect(0);
    until("it hears what came meanwhile", LONG, || remote(&daemon, "l") == ["meanwhile"]);
}

/// What a listener hears of one process, or of the daemon, without what differs from run to run: pids and
/// serials, and the length where a pid makes it differ.
fn story(daemon: &Daemon, about: &str) -> Vec<String> {
    let mut story = Vec::new();
    for line in heard(daemon, "l") {
        let (header, payload) = line.split_once('|').expect("a header has an end");
        let fields: Vec<&str> = header.split(' ').collect();
        assert_eq!(fields.len(), 7, "{header}");
        let length = fields[6].strip_prefix("len:").and_then(|length| length.parse().ok());
        assert_eq!(length, Some(payload.chars().count()), "{line}");
        let whose = payload.split(' ').next().and_then(|field| field.strip_prefix("processname:"));
        if whose.unwrap_or_default() == about {
            let payload = payload.split(' ').map(|field| {
                let (field, rest) = field.split_once('|').map_or((field, ""), |(field, rest)| (field, rest));
                let field = if field.starts_with("pid:") && field != "pid:0" { "pid:N" } else { field };
                format!("{field}|{rest}")
            });
            let payload: Vec<String> = payload.collect();
            story.push(format!("{} {} {} {}", fields[0], fields[1], fields[5], payload.join(" ")));
        }
    }
    story
}

#[test]
fn the_original_tells_the_same_story() {
    let conf = noter(
        "l",
        "events=PROCESS_STATE,PROCESS_GROUP,SUPERVISOR_STATE_CHANGE,REMOTE_COMMUNICATION,PROCESS_COMMUNICATION,\
         PROCESS_LOG_STDERR\nbuffer_size=1000",
    ) + r#"
[supervisord]
identifier=me
[program:broken]
command=false
startretries=1
startsecs=1000
[program:once]
command=sh -c 'sleep 1.5; exit 3'
autorestart=false
[program:fine]
command=sh -c 'sleep 1.5; exit 0'
autorestart=unexpected
[program:talker]
command=sh -c "printf '<!--XSUPERVISOR:BEGIN-->Hello!<!--XSUPERVISOR:END-->this is more than is withheld'; printf 'oops\n' >&2; exec sleep 1000"
stdout_capture_maxbytes=100
stderr_events_enabled=true
[program:killed]
command=sleep 1000
"#;
    let tell = |side| {
        let daemon = with_noter_of(side, &conf);
        for name in ["talker", "killed"] {
            daemon.wait_for_state(name, Running, LONG);
        }
        send(&daemon, "grüße\nund mehr");
        daemon.ctl(&["stop", "killed"]).expect(0);
        daemon.call("supervisor.removeProcessGroup", vec![text("killed")]);
        until("broken was given up and the others have ended", LONG, || {
            let told = payloads(&daemon, "l").join("\n") + "\n";
            let ends = ["from_state:BACKOFF\n", "expected:0", "expected:1", "Hello!", "oops", "und mehr"];
            ends.iter().all(|text| told.contains(text)) && told.matches("groupname:killed|\n").count() == 2
        });
        ["", "broken", "once", "fine", "talker", "killed"].map(|about| story(&daemon, about))
    };
    let (ours, original) = (tell(Side::Ours), tell(Side::Original));
    for (ours, original) in ours.iter().zip(&original) {
        let sorted = |story: &Vec<String>| {
            let mut story = story.clone();
            // Output and changes of state come by different ways.
            story.sort();
            story
        };
        assert_eq!(sorted(ours), sorted(original));
    }
    assert_eq!(ours[1], original[1]);
    assert_eq!(ours[5], original[5]);
}
