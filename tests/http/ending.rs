//! What happens to requests when one side goes.

use crate::fake::Daemon;
use crate::support::{Client, LONG, until};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use supervisord::rpc::wire::{self, Value};
use supervisord::rt;

fn call(name: &str, process: &str) -> Value {
    let params = Value::Array(vec![Value::String(process.into())]);
    let members = [("methodName", Value::String(name.into())), ("params", params)];
    Value::Struct(members.map(|(name, value)| (name.to_string(), value)).into())
}

#[test]
fn a_multicall_is_carried_out_although_the_client_left() {
    let mut daemon = Daemon::new();
    let mut client = Client::unix(&daemon.on_unix(None));
    let calls = vec![
        call("supervisor.startProcess", "b"),
        call("supervisor.stopProcess", "a"),
        call("supervisor.startProcess", "a"),
        call("supervisor.stopProcess", "b"),
    ];
    let body = wire::encode_call("system.multicall", &[Value::Array(calls)]);
    client.send(format!("POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    drop(client);
    until("all four are asked", LONG, || daemon.requests.lock().unwrap().len() == 4);
    assert!(daemon.requests.lock().unwrap()[3].starts_with("Stop("));
}

#[test]
fn the_last_answer_is_sent_before_the_daemon_ends() {
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(None);
    let mut idle = Client::tcp(address);
    assert_eq!(idle.get("/ok.html", "").status, 200);
    // It is not answered before the daemon is about to end.
    daemon.holds_starts.store(true, Ordering::Release);
    let mut client = Client::tcp(address);
    let body = wire::encode_call("supervisor.startProcess", &[Value::String("b".into())]);
    client.send(format!("POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    until("it is asked", LONG, || !daemon.requests.lock().unwrap().is_empty());
    daemon.stop_listening();
    daemon.holds_starts.store(false, Ordering::Release);
    let begin = Instant::now();
    rt::block_on(daemon.context.drain(3 * LONG));
    // Idle clients are not waited for, and have one more answer.
    assert!(begin.elapsed() < LONG);
    assert_eq!(idle.get("/ok.html", "").header("connection"), Some("close"));
    let response = client.response().unwrap();
    assert!(response.text().contains("<boolean>1</boolean>"));
    assert_eq!(response.header("connection"), Some("close"));
}

#[test]
fn draining_does_not_wait_for_ever() {
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(None);
    std::fs::write(daemon.log_of("a"), "x").unwrap();
    let mut client = Client::tcp(address);
    client.send("GET /logtail/a HTTP/1.1\r\nHost: x\r\n\r\n");
    client.head().unwrap();
    let begin = Instant::now();
    rt::block_on(daemon.context.drain(Duration::from_millis(100)));
    assert!(begin.elapsed() < LONG);
}
