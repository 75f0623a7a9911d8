//! One table of requests with what the original answers and, where that is another thing, what we answer.
//!
//! Both daemons run the same configuration and are asked the same bytes, so the table is tested itself: a row
//! that says what the original does not do fails. [`both`] rows are the rule, [`ours`] rows the places where
//! Supervisor's answer is silence, an internal error or a danger.

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod http;
mod xml;

use supervisord::model::state::ProcessState::Running;
use support::{Address, Client, Daemon, LONG, Side, Start};

const CONF: &str = "
[program:cat]
command=cat
startsecs=0
stdout_logfile=%(here)s/cat.log
stderr_logfile=NONE

[program:idle]
command=cat
autostart=false
stdout_logfile=%(here)s/digits.log
redirect_stderr=true

[program:missing]
command=/nonexistent/program
autostart=false
stdout_logfile=%(here)s/missing.log

[program:multi]
command=cat
process_name=m%(process_num)s
numprocs=2
startsecs=0
stdout_logfile=NONE
stderr_logfile=NONE
";

/// A request and what it is answered with.
pub struct Row {
    pub request: Vec<u8>,
    pub original: String,
    pub ours: String,
}

/// A row that both answer alike.
pub fn both(request: Vec<u8>, answer: &str) -> Row {
    Row { request, original: answer.to_string(), ours: answer.to_string() }
}

/// A row where we know better.
pub fn ours(request: Vec<u8>, original: &str, ours: &str) -> Row {
    Row { request, original: original.to_string(), ours: ours.to_string() }
}

fn start(side: Side) -> Daemon {
    let daemon = Start::new(side, CONF).ready();
    std::fs::write(daemon.path("digits.log"), "0123456789").unwrap();
    for name in ["cat", "multi:m0", "multi:m1"] {
        daemon.wait_for_state(name, Running, LONG);
    }
    daemon
}

/// What a daemon answers, in a line.
fn answer(address: &Address, request: &[u8]) -> String {
    let mut connection = Client::open(address).unwrap();
    // A daemon that has closed the connection already is about to say so.
    let _ = connection.wire.write_all(request);
    match connection.response() {
        Ok(reply) if reply.status == 200 => summary(&reply.text()),
        Ok(reply) => reply.status.to_string(),
        Err(_) => "silence".to_string(),
    }
}

/// A result without its markup, a fault as number and text.
fn summary(body: &str) -> String {
    let flat = body.replace('\n', "");
    let flat =
        flat.trim_start_matches("<?xml version='1.0'?><methodResponse>").replace("</methodResponse>", "");
    if let Some(fault) = flat.strip_prefix("<fault><value><struct><member><name>faultCode</name><value><int>")
    {
        let (code, text) = fault.split_once("</int>").unwrap();
        let text = text.split("<string>").nth(1).unwrap().split("</string>").next().unwrap();
        return format!("fault {code} {text}");
    }
    let mut text = flat.replace("<params><param>", "").replace("</param></params>", "");
    for (long, short) in [
        ("<value>", ""),
        ("</value>", ""),
        ("<array><data>", "["),
        ("</data></array>", "]"),
        ("<struct>", "{"),
        ("</struct>", "}"),
        ("<member><name>", ""),
        ("</name>", "="),
        ("</member>", ";"),
        ("<string>", "'"),
        ("</string>", "'"),
        ("<int>", "#"),
        ("</int>", ""),
        ("<boolean>1</boolean>", "true"),
        ("<boolean>0</boolean>", "false"),
    ] {
        text = text.replace(long, short);
    }
    text.chars().take(160).collect()
}

/// Asks both daemons everything; what is not as the table says.
fn differences(rows: &[Row]) -> Vec<String> {
    let ask = |side: Side| {
        let daemon = start(side);
        let directory = daemon.directory().to_string_lossy().into_owned();
        let answers =
            rows.iter().map(|row| answer(&daemon.address(), &row.request).replace(&directory, "DIR"));
        answers.collect::<Vec<_>>()
    };
    let (ours, original) = std::thread::scope(|scope| {
        let original = scope.spawn(|| ask(Side::Original));
        (ask(Side::Ours), original.join().expect("the original was asked"))
    });
    let wrong = |who: &str, row: &Row, expected: &str, found: &str| {
        let request = String::from_utf8_lossy(&row.request);
        (expected != found).then(|| format!("{request}\n  {who}: {found}\n  in the table: {expected}"))
    };
    let each = rows.iter().zip(original.iter().zip(&ours));
    each.flat_map(|(row, (theirs, ours))| {
        [wrong("original", row, &row.original, theirs), wrong("ours", row, &row.ours, ours)]
    })
    .flatten()
    .collect()
}

#[track_caller]
pub fn check(rows: &[Row]) {
    let differences = differences(rows);
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}
