//! What comes in over HTTP and is not as it should be. The daemon answers and carries on.

use crate::support::{Address, Client, Daemon, LONG, Side, Start, free_ports, http, post, text};
use dxr::Value;
use std::io::{Read, Write};
use supervisord::model::state::ProcessState::Running;

/// A daemon with a listener of each kind.
fn both(keys: &str) -> (Daemon, [Address; 2]) {
    let [port] = free_ports();
    let conf = format!(
        "
[inet_http_server]
port=127.0.0.1:{port}
{keys}
[program:x]
command=sleep 1000
startsecs=0
"
    );
    let daemon = Start::new(Side::under_test(), &conf).ready();
    daemon.wait_for_state("x", Running, LONG);
    let tcp = Address::Tcp(([127, 0, 0, 1], port).into());
    let unix = daemon.address();
    (daemon, [unix, tcp])
}

#[test]
fn malformed_xml_is_answered_with_400() {
    let (daemon, addresses) = both("");
    for address in addresses {
        for body in [
            "this is not XML",
            "",
            "<methodCall>",
            "<methodCall></methodCall>",
            "<methodCall><methodName></methodName></methodCall>",
            "<methodCall><methodName>a.b</methodName><params><param><value><int>x</int></value></param></params></methodCall>",
            "<methodCall><methodName>supervisor.getPID</methodName><params>&undefined;</params></methodCall>",
            "\u{0}\u{1}\u{2}",
        ] {
            let reply = http(&address, &post(body)).unwrap_or_else(|error| panic!("{body:?}: {error}"));
            assert_eq!(reply.status, 400, "{body:?} was answered with {}", reply.head);
        }
        assert!(address.call("supervisor.getPID", vec![]).is_ok_and(|answer| answer.is_ok()));
    }
    assert!(daemon.answers());
}

#[test]
fn malformed_http_is_answered_with_400() {
    let (daemon, addresses) = both("");
    for address in addresses {
        for request in [
            &b"nonsense\r\n\r\n"[..],
            b"GET\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon here\r\n\r\n",
            b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
            b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"GET /RPC2 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\xff\xfe\xfd / HTTP/1.1\r\n\r\n",
        ] {
            let shown = String::from_utf8_lossy(request);
            let reply = http(&address, request).unwrap_or_else(|error| panic!("{shown:?}: {error}"));
            assert_eq!(reply.status, 400, "{shown:?} was answered with {}", reply.head);
        }
    }
    assert!(daemon.answers());
}

/// None of these may make the daemon allocate what was announced or wait for it.
#[test]
fn what_is_too_big_is_refused() {
    let (daemon, addresses) = both("");
    for address in addresses {
        for length in ["100000000000", "18446744073709551615", "99999999999999999999999"] {
            let request = format!("POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\nx");
            let reply = http(&address, request.as_bytes()).expect("an answer");
            assert!([400, 413].contains(&reply.status), "{length} was answered with {}", reply.head);
        }
        let mut stream = address.connect().expect("it listens");
        // The daemon may hang up on us in the middle.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX: ");
        let _ = stream.write_all(&vec![b'x'; 1 << 20]);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    assert!(daemon.answers());
}

/// Three hundred that connect and say nothing keep nobody else from being served.
#[test]
fn silent_connections_are_in_nobodys_way() {
    let (daemon, addresses) = both("");
    for address in &addresses {
        let silent: Vec<_> = (0..150).map(|_| address.connect().expect("it listens")).collect();
        assert!(daemon.answers());
        assert!(address.call("supervisor.getPID", vec![]).is_ok_and(|answer| answer.is_ok()));
        drop(silent);
    }
}

#[test]
fn requests_on_one_connection_are_answered_in_order() {
    let (_daemon, addresses) = both("");
    for address in addresses {
        let call = |name: &str| post(&format!("<methodCall><methodName>{name}</methodName></methodCall>"));
        let mut connection = Client::open(&address).expect("it listens");
        let both = [call("supervisor.getIdentification"), call("supervisor.getAPIVersion")].concat();
        connection.send(&both);
        for expected in ["<string>supervisor</string>", "<string>3.0</string>"] {
            let reply = connection.response().expect("an answer");
            assert!(reply.text().contains(expected), "{}", reply.text());
        }
    }
}

#[test]
fn faults_of_calls_that_cannot_be() {
    let (daemon, _) = both("");
    for (method, arguments, code, string) in [
        ("supervisor.nope", vec![], 1, "UNKNOWN_METHOD"),
        ("nope", vec![], 1, "UNKNOWN_METHOD"),
        ("supervisor.getPID.__class__", vec![], 1, "UNKNOWN_METHOD"),
        ("supervisor._update", vec![text("x")], 1, "UNKNOWN_METHOD"),
        ("supervisor.getPID", vec![text("x")], 2, "INCORRECT_PARAMETERS"),
        ("supervisor.startProcess", vec![], 2, "INCORRECT_PARAMETERS"),
        ("supervisor.startProcess", vec![Value::Integer(3)], 2, "INCORRECT_PARAMETERS"),
        ("supervisor.startProcess", vec![text("nope")], 10, "BAD_NAME: nope"),
        ("supervisor.stopProcess", vec![text("nope:*")], 10, "BAD_NAME: nope:*"),
        ("supervisor.getProcessInfo", vec![text("x:*")], 10, "BAD_NAME: x:*"),
        ("supervisor.startProcess", vec![text("x")], 60, "ALREADY_STARTED: x"),
        ("supervisor.signalProcess", vec![text("x"), text("FOO")], 11, "BAD_SIGNAL: FOO"),
        ("supervisor.addProcessGroup", vec![text("x")], 90, "ALREADY_ADDED: x"),
        ("supervisor.addProcessGroup", vec![text("nope")], 10, "BAD_NAME: nope"),
        ("supervisor.removeProcessGroup", vec![text("x")], 91, "STILL_RUNNING: x"),
    ] {
        let fault = daemon.try_call(method, arguments).expect_err(method);
        assert_eq!((fault.code(), fault.string()), (code, string), "{method}");
    }
}

#[test]
fn credentials_are_asked_for_and_checked() {
    let (_daemon, [unix, tcp]) = both("username=me\npassword=secret\n");
    assert!(unix.call("supervisor.getPID", vec![]).is_ok(), "the other listener asks for none");
    let body = "<methodCall><methodName>supervisor.getPID</methodName></methodCall>";
    let ask = |authorization: &str| {
        let length = body.len();
        let request = format!(
            "POST /RPC2 HTTP/1.1\r\n{authorization}Content-Length: {length}\r\nHost: x\r\n\r\n{body}"
        );
        http(&tcp, request.as_bytes()).expect("an answer")
    };
    let refused = ask("");
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"default\""));
    // me:secret, me:wrong, and something that is no base64.
    assert_eq!(ask("Authorization: Basic bWU6c2VjcmV0\r\n").status, 200);
    assert_eq!(ask("Authorization: Basic bWU6d3Jvbmc=\r\n").status, 401);
    assert_eq!(ask("Authorization: Basic !!!\r\n").status, 401);
}

#[test]
fn pages_that_do_not_exist() {
    let (_daemon, addresses) = both("");
    for address in addresses {
        for path in ["/nope", "/RPC3", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/logtail/nope"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
            let reply = http(&address, request.as_bytes()).expect("an answer");
            assert_eq!(reply.status, 404, "{path}");
        }
    }
}
