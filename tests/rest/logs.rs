//! Logs: parts, downloads, and following them through everything that happens to logs.

use crate::support::{Daemon, LONG, Side, Start, flag, text, until};
use crate::web::{Events, connect, get, wait_for};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dxr::Value;
use std::io::Write;

/// A daemon whose program logs into a file that a test may write to as well.
fn start() -> Daemon {
    let conf =
        "[program:a]\ncommand=sleep 1000\nstartsecs=0\nstdout_logfile=%(here)s/a.out\nstderr_logfile=NONE\n";
    let daemon = Start::new(Side::under_test(), conf).ready();
    until("the log is there", LONG, || daemon.path("a.out").exists());
    daemon
}

fn append(daemon: &Daemon, bytes: &[u8]) {
    let mut file = std::fs::File::options().append(true).create(true).open(daemon.path("a.out")).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn parts_are_what_was_asked_for_byte_for_byte() {
    let daemon = start();
    let bytes: Vec<u8> = (0..=255).collect();
    append(&daemon, &bytes);
    for (query, offset, expected) in [
        ("", 0, &bytes[..]),
        ("?length=3", 253, &bytes[253..]),
        ("?offset=10&length=3", 10, &bytes[10..13]),
        ("?offset=-4", 252, &bytes[252..]),
        ("?offset=-1000&length=1", 0, &bytes[..1]),
        ("?offset=1000", 256, &[][..]),
        ("?offset=0&length=0", 0, &[][..]),
    ] {
        let response = get(&daemon, &format!("/api/v1/processes/a/logs/stdout{query}"));
        assert_eq!(response.status, 200, "{query}");
        assert_eq!(response.body, expected, "{query}");
        assert_eq!(response.header("x-log-offset"), Some(offset.to_string().as_str()), "{query}");
        assert_eq!(response.header("x-log-size"), Some("256"));
    }
    let response = get(&daemon, "/api/v1/processes/a/logs/stdout/download");
    assert_eq!(response.body, bytes);
    assert_eq!(response.header("content-disposition"), Some("attachment; filename=\"a-stdout.log\""));
    assert_eq!(get(&daemon, "/api/v1/processes/a/logs/stderr").status, 404);

    // A large one arrives in pieces, and whole.
    let large = vec![b'x'; 3 << 20];
    std::fs::write(daemon.path("a.out"), &large).unwrap();
    assert_eq!(get(&daemon, "/api/v1/processes/a/logs/stdout/download").body, large);
    let own = get(&daemon, "/api/v1/log").text();
    assert!(own.contains("spawned: 'a'"), "{own}");
}

#[test]
fn a_log_is_followed_with_its_position() {
    let daemon = start();
    append(&daemon, b"0123456789");
    let path = "/api/v1/processes/a/logs/stdout/follow";
    let mut events = Events::open(&daemon, &format!("{path}?tail=4"), "");
    let begin = events.next();
    assert_eq!(
        (begin.kind.as_str(), &begin.data["offset"], &begin.data["resumed"]),
        ("begin", &6.into(), &false.into())
    );
    assert_eq!(events.next().data, serde_json::json!({"offset": 6, "text": "6789"}));
    append(&daemon, "\u{1b}[31mred\u{1b}[0m <b>\n".as_bytes());
    let red = events.next();
    assert_eq!(red.data["text"], "\u{1b}[31mred\u{1b}[0m <b>\n");
    append(&daemon, b"\xff\n");
    let odd = events.next();
    assert_eq!(STANDARD.decode(odd.data["base64"].as_str().unwrap()).unwrap(), b"\xff\n");
    drop(events);

    // Whoever comes back goes on there, also after a rotation.
    append(&daemon, b"last words\n");
    std::fs::rename(daemon.path("a.out"), daemon.path("a.out.1")).unwrap();
    append(&daemon, b"new file\n");
    let last = format!("Last-Event-ID: {}\r\n", odd.id);
    let mut events = Events::open(&daemon, path, &last);
    assert_eq!(events.next().data["resumed"], true);
    assert_eq!(events.next().data["text"], "last words\n");
    assert_eq!(events.next().data, serde_json::json!({"offset": 0, "text": "new file\n"}));

    // Cut while it is followed.
    std::fs::File::create(daemon.path("a.out")).unwrap();
    assert_eq!(events.next().kind, "truncated");
    append(&daemon, b"again\n");
    assert_eq!(events.next().data["text"], "again\n");

    // Of a place that is nowhere only the end can be had, and that is told.
    let mut events = Events::open(&daemon, &format!("{path}?tail=3"), "Last-Event-ID: 1.2.3\r\n");
    assert_eq!(events.next().data, serde_json::json!({"offset": 3, "resumed": false}));
    assert_eq!(events.next().data["text"], "in\n");

    let mut own = Events::open(&daemon, "/api/v1/log/follow?tail=0", "");
    assert_eq!(own.next().kind, "begin");
    crate::web::act(&daemon, "/api/v1/processes/a/stop", "");
    own.until("the activity log says so", |event| {
        event.data["text"].as_str().is_some_and(|text| text.contains("stopped: a"))
    });
}

#[test]
fn a_log_that_keeps_nothing_is_an_empty_one() {
    let conf = "[program:a]\ncommand=/bin/sh -c 'echo out; echo err >&2; exec sleep 1000'\nstartsecs=0\n\
                stdout_logfile=/dev/null\nstderr_logfile=%(here)s/fifo\nstderr_logfile_maxbytes=0\n\
                stdout_logfile_maxbytes=0\n";
    let mut daemon = Start::new(Side::under_test(), conf).prepare();
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
    nix::unistd::mkfifo(&daemon.path("fifo"), mode).unwrap();
    daemon.start();
    wait_for(&daemon, "a", "RUNNING");
    for stream in ["stdout", "stderr"] {
        let path = format!("/api/v1/processes/a/logs/{stream}");
        for path in [path.clone(), format!("{path}?offset=0&length=10"), format!("{path}/download")] {
            let response = get(&daemon, &path);
            assert_eq!((response.status, response.body), (200, Vec::new()), "{path}");
        }
        let begin = Events::open(&daemon, &format!("{path}/follow"), "").next();
        assert_eq!((begin.kind.as_str(), &begin.data["offset"]), ("begin", &0.into()));

        let mut client = connect(&daemon);
        client.send(format!("GET /logtail/a/{stream} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(client.head().unwrap().status, 200);

        let name = if stream == "stdout" { "Stdout" } else { "Stderr" };
        let call = |method: &str, offset, length| {
            let arguments = vec![text("a"), Value::Integer(offset), Value::Integer(length)];
            daemon.call(&format!("supervisor.{method}Process{name}Log"), arguments)
        };
        assert_eq!(call("read", 0, 0), text(""));
        assert_eq!(call("read", -1600, 0), text(""));
        assert_eq!(call("tail", 0, 1024), Value::Array(vec![text(""), Value::Integer(0), flag(false)]));
    }
    let page = get(&daemon, "/tail.html?processname=a");
    assert!(page.status == 200 && page.text().contains("<pre></pre>"), "{}", page.text());
    let tail = daemon.ctl(&["tail", "a"]).expect(0);
    assert_eq!(tail.stdout.trim(), "", "{tail}");
}
