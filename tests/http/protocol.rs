//! HTTP itself: connections that stay, bodies of every shape, errors instead of silence.

use crate::fake::Daemon;
use crate::support::Client;
use std::fs::File;
use std::io::Write;
use supervisord::rpc::wire;

fn get_state() -> String {
    wire::encode_call("supervisor.getState", &[])
}

#[test]
fn a_connection_serves_many_requests() {
    let mut daemon = Daemon::new();
    let mut client = Client::tcp(daemon.on_tcp(None));
    for _ in 0..3 {
        let response = client.get("/ok.html", "Host: x\r\n");
        assert_eq!((response.status, response.text().as_str()), (200, "OK"));
        assert_eq!(response.header("content-type"), Some("text/plain"));
        assert_eq!(response.header("connection"), None);
    }
    assert_eq!(client.get("/ok.html", "Connection: close\r\n").header("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn old_clients_are_served_in_their_version() {
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(None);
    let mut client = Client::tcp(address);
    client.send("GET /ok.html HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    let response = client.response().unwrap();
    assert!(response.head.starts_with("HTTP/1.0 "), "{}", response.head);
    assert_eq!(response.header("connection"), Some("keep-alive"));
    client.send("GET /ok.html HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().unwrap().header("connection"), None);
    assert!(client.is_closed());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut daemon = Daemon::new();
    let mut client = Client::unix(&daemon.on_unix(None));
    // The first takes longest.
    let slow = wire::encode_call("supervisor.startProcess", &[wire::Value::String("b".into())]);
    let quick = get_state();
    for body in [&slow, &quick] {
        client
            .send(format!("POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    }
    client.send("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(client.response().unwrap().text().contains("<boolean>1</boolean>"));
    assert!(client.response().unwrap().text().contains("statecode"));
    assert_eq!(client.response().unwrap().status, 404);
}

#[test]
fn bodies_come_in_every_shape() {
    let mut daemon = Daemon::new();
    let mut client = Client::tcp(daemon.on_tcp(None));
    let body = get_state();
    client.send("POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in body.as_bytes().chunks(7) {
        client.send(format!("{:X};ext=1\r\n", piece.len()));
        client.send(piece);
        client.send("\r\n");
    }
    client.send("0\r\nTrailer: x\r\n\r\n");
    assert!(client.response().unwrap().text().contains("RUNNING"));

    client.send(format!(
        "POST /RPC2 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length:{}\r\n\r\n",
        body.len()
    ));
    assert_eq!(client.response().unwrap().status, 100);
    client.send(&body);
    assert!(client.response().unwrap().text().contains("RUNNING"));

    // Byte by byte.
    for byte in
        format!("POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes()
    {
        client.send([*byte]);
    }
    assert!(client.response().unwrap().text().contains("RUNNING"));
}

#[test]
fn head_has_no_body() {
    let mut daemon = Daemon::new();
    let mut client = Client::tcp(daemon.on_tcp(None));
    client.send("HEAD /ok.html HTTP/1.1\r\nHost: x\r\n\r\nHEAD /nope HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = client.head().unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, Some("2")));
    let head = client.head().unwrap();
    assert_eq!((head.status, head.header("content-length")), (404, Some("134")));
    assert_eq!(client.get("/ok.html", "").text(), "OK");
}

#[test]
fn what_cannot_be_answered_gets_an_error_and_the_connection_ends() {
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(None);
    for (request, expected) in [
        ("nonsense\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\n\r\n", 505),
        ("GET / HTTP/1.1\r\nHost: x\r\nA: \u{80}\r\nA : b\r\n\r\n", 400),
        ("GET /ok.html HTTP/1.1\r\n\r\n", 400),
        ("GET /ok.html HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400),
        ("GET /ok.html HTTP/1.1\r\nHost: x\r\nAuthorization: Basic a\r\nAuthorization: Basic b\r\n\r\n", 400),
        ("GET /ok.html HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400),
        ("POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\r\n", 400),
        ("POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n", 400),
        ("POST /RPC2 HTTP/1.1\r\nHost: x\r\n\r\n", 411),
        ("POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        ("POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\n", 413),
        ("POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551615\r\n\r\n", 413),
        ("POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (
            "POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ("POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        ("POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", 400),
        ("POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n", 413),
        (
            "POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nffffffffffffffff\r\n",
            413,
        ),
        (
            "POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nfffffffffffffffff\r\n",
            400,
        ),
        ("POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: tea\r\n\r\nabc", 417),
    ] {
        let mut client = Client::tcp(address);
        client.send(request);
        // Whatever else comes on this connection must not be taken for a request.
        client.send("GET /ok.html HTTP/1.1\r\nHost: x\r\n\r\n");
        let response = client.response().unwrap();
        assert_eq!(
            (response.status, response.header("connection")),
            (expected, Some("close")),
            "{request:?}"
        );
        assert_eq!(client.rest(), b"", "{request:?}");
    }
    assert_eq!(Client::tcp(address).get("/ok.html", "").status, 200);
}

#[test]
fn long_heads_are_refused() {
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(None);
    for request in [
        format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}", "x".repeat(20_000)),
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(20_000)),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(100)),
    ] {
        let mut client = Client::tcp(address);
        client.send(request);
        assert_eq!(client.response().unwrap().status, 431);
    }
}

#[test]
fn bad_xml_is_a_bad_request_and_the_connection_stays() {
    let mut daemon = Daemon::new();
    let mut client = Client::tcp(daemon.on_tcp(None));
    let nested =
        format!("{}{}", "<value><array><data>".repeat(10_000), "</data></array></value>".repeat(10_000));
    let deep = format!(
        "<methodCall><methodName>a.b</methodName><params><param>{nested}</param></params></methodCall>"
    );
    let bomb = "<!DOCTYPE a [<!ENTITY b 'bbbb'><!ENTITY c '&b;&b;'>]><methodCall><methodName>&c;</methodName></methodCall>";
    for body in [
        "",
        "hello",
        "<methodCall></methodCall>",
        "<methodCall><methodName></methodName></methodCall>",
        bomb,
        &deep,
    ] {
        let shown = &body[..body.len().min(60)];
        assert_eq!(client.post("/RPC2", "", body).status, 400, "{shown}");
    }
    assert_eq!(client.post("/RPC2", "", b"\xff\xfe").status, 400);
    assert_eq!(client.post("/RPC2", "", get_state()).status, 200);
}

#[test]
fn nobody_gets_in_without_the_password() {
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(Some(Daemon::credentials()));
    // user:123 and user:124
    for (header, expected) in [
        ("", 401),
        ("Authorization: Basic dXNlcjoxMjM=\r\n", 200),
        ("Authorization: Basic dXNlcjoxMjQ=\r\n", 401),
        ("Authorization: Basic dXNlcg==\r\n", 401),
        ("Authorization: Basic ////\r\n", 401),
        ("Authorization: Basic\r\n", 401),
        ("Authorization: Bearer dXNlcjoxMjM=\r\n", 401),
    ] {
        for path in ["/ok.html", "/", "/mainlogtail", "/api/v1/session", "/page/app.js"] {
            let response = Client::tcp(address).get(path, header);
            // There is no such log yet.
            let expected = if expected == 200 && path == "/mainlogtail" { 404 } else { expected };
            assert_eq!(response.status, expected, "{path} {header:?}");
            let challenge = (expected == 401).then_some("Basic realm=\"default\"");
            assert_eq!(response.header("www-authenticate"), challenge);
        }
        let posted = Client::tcp(address).post("/RPC2", header, get_state());
        assert_eq!(posted.status, expected);
    }
}

#[test]
fn every_answer_tells_browsers_what_it_is_for() {
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(None);
    for log in [daemon.log_of("a"), daemon.dir.path().join("main.log")] {
        std::fs::write(log, "hello\n").unwrap();
    }
    let call = get_state();
    let post = format!("POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{call}", call.len());
    let get = |path| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let refused = "POST /RPC2 HTTP/1.1\r\nHost: x\r\n\r\n".to_string();
    for request in [
        post,
        refused,
        get("/logtail/a"),
        get("/mainlogtail"),
        get("/logtail/nope"),
        get("/nowhere"),
        get("/ok.html"),
    ] {
        let mut client = Client::tcp(address);
        client.send(&request);
        let head = client.head().unwrap();
        let policy = head.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'"), "{request:?}: {policy}");
        assert_eq!(head.header("x-content-type-options"), Some("nosniff"), "{request:?}");
        assert_eq!(head.header("cross-origin-resource-policy"), Some("same-origin"), "{request:?}");
        // What Supervisor says for /ok.html stays.
        let caching = if request.contains("ok.html") { "no-cache" } else { "no-store" };
        assert_eq!(head.header("cache-control"), Some(caching), "{request:?}");
    }
}

#[test]
fn foreign_pages_change_nothing() {
    let mut daemon = Daemon::new();
    let mut client = Client::tcp(daemon.on_tcp(None));
    let shutdown = wire::encode_call("supervisor.shutdown", &[]);
    let headers = "Host: 127.0.0.1:9001\r\nOrigin: http://evil.example\r\nContent-Type: text/plain\r\n";
    assert_eq!(client.post("/RPC2", headers, shutdown).status, 403);
    assert_eq!(*daemon.requests.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn a_log_is_followed_until_the_client_leaves() {
    let mut daemon = Daemon::new();
    let (tcp, unix) = (daemon.on_tcp(None), daemon.on_unix(None));
    let mut log = File::create(daemon.log_of("a")).unwrap();
    log.write_all(&[b'x'; 3000]).unwrap();
    for mut client in [Client::tcp(tcp), Client::unix(&unix)] {
        // As supervisorctl does: one line break too many.
        client.send("GET /logtail/a HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n");
        let head = client.head().unwrap();
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-type"), Some("text/plain;charset=utf-8"));
        assert_eq!(head.header("x-accel-buffering"), Some("no"));
        assert!(head.header("last-modified").is_some());
        assert_eq!(client.chunk().unwrap().len(), 1024);
        for line in ["one\n", "two \u{fffd}\n"] {
            log.write_all(line.as_bytes()).unwrap();
            assert_eq!(client.chunk().unwrap(), line.as_bytes());
        }
    }
    for path in
        ["/logtail/nope", "/logtail/g:*", "/logtail/a/stderr", "/logtail/a/x", "/logtail/b", "/mainlogtail"]
    {
        assert_eq!(Client::tcp(tcp).get(path, "").status, 404, "{path}");
    }
    assert_eq!(Client::tcp(tcp).post("/logtail/a", "", "").status, 400);
}

#[test]
fn an_old_client_gets_the_log_at_once_and_unframed() {
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(None);
    File::create(daemon.log_of("a")).unwrap().write_all(b"hello\n").unwrap();
    let mut client = Client::tcp(address);
    client.send("GET /logtail/a HTTP/1.0\r\n\r\n");
    let head = client.head().unwrap();
    assert_eq!((head.header("content-length"), head.header("transfer-encoding")), (None, None));
    let mut received = [0; 6];
    client.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"hello\n");
}

#[test]
fn a_big_part_of_a_log_is_sent_in_pieces_and_complete() {
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(None);
    let line = "0123456789 <é> \u{1b}[1m\r\n";
    std::fs::write(daemon.log_of("a"), line.repeat(40_000)).unwrap();
    let params = [wire::Value::String("a".into()), wire::Value::Integer(0), wire::Value::Integer(0)];
    let expected = line.replace('\u{1b}', "\u{fffd}").repeat(40_000);
    let read = Client::tcp(address).call("supervisor.readProcessStdoutLog", &params);
    assert_eq!(read, Ok(wire::Value::String(expected.clone())));

    // The old way, without chunks.
    let mut client = Client::tcp(address);
    let body = wire::encode_call("supervisor.readProcessStdoutLog", &params);
    client.send(format!("POST /RPC2 HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    let response = client.response().unwrap();
    assert_eq!(wire::decode_response(&response.body), Ok(Ok(wire::Value::String(expected))));
}

#[test]
fn the_daemons_own_log_is_followed_through_rotation() {
    let mut daemon = Daemon::new();
    let mut client = Client::unix(&daemon.on_unix(Some(Daemon::credentials())));
    let log = daemon.dir.path().join("main.log");
    std::fs::write(&log, "first\n").unwrap();
    client.send("GET /mainlogtail HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dXNlcjoxMjM=\r\n\r\n");
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(client.chunk().unwrap(), b"first\n");
    std::fs::rename(&log, daemon.dir.path().join("main.log.1")).unwrap();
    std::fs::write(&log, "second\n").unwrap();
    assert_eq!(client.chunk().unwrap(), b"second\n");
    File::create(&log).unwrap();
    assert_eq!(client.chunk().unwrap(), b"==> File truncated <==\n");
}

#[test]
fn names_in_paths_are_decoded_once() {
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(None);
    std::fs::write(daemon.log_of("x"), "x's log\n").unwrap();
    for path in ["/logtail/g:x", "/logtail/g%3Ax", "/logtail/g%3ax/stdout?ignored"] {
        let mut client = Client::tcp(address);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(client.head().unwrap().status, 200, "{path}");
        assert_eq!(client.chunk().unwrap(), b"x's log\n", "{path}");
    }
    assert_eq!(Client::tcp(address).get("/logtail/g%253Ax", "").status, 404);
}
