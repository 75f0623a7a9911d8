//! What happens, as it happens.

use crate::support::{Client, LONG, Side, Start, kill, until};
use crate::web::{Events, act, connect, get, json, start, wait_for};
use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

#[test]
fn a_stream_begins_with_everything_and_goes_on_with_changes() {
    let daemon = start("");
    wait_for(&daemon, "web", "RUNNING");
    let mut events = Events::open(&daemon, "/api/v1/events", "");
    let snapshot = events.next();
    assert_eq!(snapshot.kind, "snapshot");
    assert_eq!(snapshot.data["processes"].as_array().unwrap().len(), 4);
    assert_eq!(snapshot.data["daemon"]["statename"], "RUNNING");

    act(&daemon, "/api/v1/processes/web/restart", "");
    let stopped = events.change("web", "STOPPED");
    assert_eq!(stopped.data["detail"], "terminated by SIGTERM");
    assert_eq!(stopped.data["row"]["statename"], "STOPPED");
    assert_eq!(stopped.data["event"], "PROCESS_STATE_STOPPED");
    let running = events.change("web", "RUNNING");
    let pid = daemon.pid_of("web");
    assert_eq!(running.data["detail"], format!("pid {pid}"));
    assert_eq!(running.data["row"]["pid"], pid);

    // What they use comes by itself.
    events.until("use of the machine", |event| {
        event.kind == "usage"
            && event.data["usage"].as_array().unwrap().iter().any(|used| used["namespec"] == "web")
    });

    // Processes come and go.
    // It does not heed that signal, so the daemon is there for a while after it has said that it ends.
    daemon.write_conf("[program:new]\ncommand=sleep 1000\nstartsecs=0\nstopsignal=WINCH\nstopwaitsecs=2\n");
    act(&daemon, "/api/v1/update", "");
    events.until("web is gone", |event| event.kind == "removed" && event.data["namespec"] == "web");
    events.until("new is there", |event| event.kind == "process" && event.data["row"]["namespec"] == "new");
    act(&daemon, "/api/v1/daemon/shutdown", "");
    let end = events.until("the end", |event| event.kind == "daemon");
    assert_eq!(end.data["daemon"]["statename"], "SHUTDOWN");
}

#[test]
fn who_comes_back_gets_what_was_missed_and_nothing_twice() {
    let daemon = start("");
    wait_for(&daemon, "web", "RUNNING");
    let mut events = Events::open(&daemon, "/api/v1/events", "");
    let snapshot = events.next();
    drop(events);
    act(&daemon, "/api/v1/processes/web/stop", "");
    act(&daemon, "/api/v1/processes/web/start", "");
    let last = format!("Last-Event-ID: {}\r\n", snapshot.id);
    let mut events = Events::open(&daemon, "/api/v1/events", &last);
    for state in ["STOPPING", "STOPPED", "STARTING", "RUNNING"] {
        let change = events.until("the next change", |event| event.kind == "change");
        assert_eq!(change.data["to"], state);
    }
    // Another manager knows nothing of what this one told.
    let manager = daemon.manager();
    kill(manager, Signal::SIGKILL);
    while events.try_next().is_some() {}
    daemon.manager_after(manager);
    let mut events = Events::open(&daemon, "/api/v1/events", &last);
    assert_eq!(events.next().kind, "snapshot");
    // Nor is nonsense an id.
    let mut events = Events::open(&daemon, "/api/v1/events", "Last-Event-ID: 1-18446744073709551615\r\n");
    assert_eq!(events.next().kind, "snapshot");
}

#[test]
fn nothing_is_sent_while_nothing_happens() {
    // Their use of the machine does not change, so there is nothing to tell of that either.
    let conf = "[program:a]\ncommand=/bin/sh -c 'echo up; read line'\nstartsecs=0\n";
    let daemon = Start::new(Side::under_test(), conf).ready();
    // It has nothing to do any more, and nothing is sampled before the events are watched.
    until("it is up", LONG, || get(&daemon, "/api/v1/processes/a/logs/stdout").body == b"up\n");
    let mut events = Events::open(&daemon, "/api/v1/events", "");
    events.until("the second sample", |event| {
        event.kind == "usage" && event.data["usage"][0]["cpu_percent"] == 0.0
    });
    // Samples are taken all the same: the chart goes on.
    until("the chart goes on", 2 * LONG, || {
        json(&daemon, "/api/v1/history/a")["points"].as_array().unwrap().len() >= 2
    });
    act(&daemon, "/api/v1/processes/a/stop", "");
    let next = events.next();
    assert_eq!((next.kind.as_str(), &next.data["to"]), ("change", &"STOPPING".into()), "{next:?}");
}

#[test]
fn a_client_that_does_not_read_costs_little_and_is_caught_up() {
    let daemon = start("");
    wait_for(&daemon, "web", "RUNNING");
    let manager = daemon.manager();
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{manager}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    let mut lazy: Vec<Client> = (0..20).map(|_| connect(&daemon)).collect();
    for client in &mut lazy {
        client.send("GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    let mut late = Events::open(&daemon, "/api/v1/events", "");
    let snapshot = late.next();
    let before = resident();
    // More than is kept, which is two megabytes.
    let mut client = connect(&daemon);
    let enough = snapshot.data["sequence"].as_u64().unwrap() + 4000;
    until("much has happened", 6 * LONG, || {
        for _ in 0..50 {
            let body = r#"{"wait":false}"#;
            let response =
                client.post("/api/v1/processes/once/start", "Content-Type: application/json\r\n", body);
            assert_eq!(response.status, 200, "{}", response.text());
        }
        json(&daemon, "/api/v1/processes")["sequence"].as_u64() > Some(enough)
    });
    let after = resident();
    assert!(after < before + (24 << 10), "{before} KiB before, {after} KiB after");
    // Whoever was away for so long is not told everything; in place of that comes how things are now.
    let mut events = Events::open(&daemon, "/api/v1/events", &format!("Last-Event-ID: {}\r\n", snapshot.id));
    let caught_up = events.next();
    assert_eq!(caught_up.kind, "snapshot");
    assert_eq!(caught_up.data["processes"].as_array().unwrap().len(), 4);
    act(&daemon, "/api/v1/processes/web/stop", "");
    events.change("web", "STOPPED");
    // So is who did not read all the while, unless that took so long that it was sent away.
    while let Some(event) = late.try_next() {
        if event.kind == "snapshot" || event.data["process"] == "web" {
            break;
        }
    }
}

#[test]
fn ctl_shows_events_as_they_happen() {
    let daemon = start("");
    wait_for(&daemon, "web", "RUNNING");
    let mut command = Side::under_test().ctl();
    command.arg("-c").arg(daemon.conf()).args(["events", "web"]).stdout(Stdio::piped()).stdin(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("Ctrl-C"));
    // It may have said so before the daemon knows of it.
    until("it is heard", LONG, || get(&daemon, "/metrics").text().contains("\nsupervisord_viewers 1\n"));
    act(&daemon, "/api/v1/processes/once/start", "");
    act(&daemon, "/api/v1/processes/web/stop", "");
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains("web: RUNNING -> STOPPING (pid "), "{line}");
    let line = lines.next().unwrap().unwrap();
    assert!(line.ends_with("web: STOPPING -> STOPPED (terminated by SIGTERM)"), "{line}");
    kill(child.id() as i32, Signal::SIGINT);
    let mut rest = String::new();
    drop(lines);
    let _ = child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut rest));
    child.wait().unwrap();
}
