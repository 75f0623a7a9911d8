//! Under which names browsers are let in, and what they are told who are not.

use crate::support::{Client, Daemon, Response, Side, Start, free_ports};
use crate::web::{PROGRAMS, parsed, process, wait_for};
use serde_json::Value;
use std::net::SocketAddr;

const MOZILLA: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101\r\nAccept-Language: en\r\n";

/// A daemon that listens on TCP, with more lines in that section.
fn start(lines: &str) -> (Daemon, SocketAddr) {
    let [port] = free_ports();
    let conf = format!("{PROGRAMS}[inet_http_server]\nport=127.0.0.1:{port}\n{lines}");
    let daemon = Start::new(Side::under_test(), &conf).ready();
    wait_for(&daemon, "web", "RUNNING");
    (daemon, SocketAddr::from(([127, 0, 0, 1], port)))
}

fn get(address: SocketAddr, path: &str, headers: &str) -> Response {
    Client::tcp(address).get(path, headers)
}

fn post(address: SocketAddr, path: &str, headers: &str) -> Response {
    Client::tcp(address).post(path, headers, "")
}

fn state(address: SocketAddr) -> Response {
    let call = "<methodCall><methodName>supervisor.getState</methodName></methodCall>";
    let headers = "Host: pi.local:9001\r\nContent-Type: text/xml\r\n\
                   User-Agent: Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1\r\n";
    Client::tcp(address).post("/RPC2", headers, call)
}

#[test]
fn a_browser_under_a_name_nobody_knows_is_told_why_and_the_log_once() {
    let (daemon, address) = start("");
    for path in ["/", "/index.html?action=stopall", "/page/app.js", "/logtail/web", "/mainlogtail", "/events"]
    {
        let response = get(address, path, &format!("Host: pi.local:9001\r\n{MOZILLA}"));
        let text = response.text();
        assert_eq!(response.status, 403, "{path}: {text}");
        assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
        assert!(text.contains("write allowed_hosts=pi.local into [inet_http_server]"), "{text}");
    }
    let response = get(address, "/api/v1/processes", &format!("Host: other.local\r\n{MOZILLA}"));
    let detail = &parsed(&response)["detail"];
    assert!(detail.as_str().unwrap().contains("allowed_hosts=other.local"), "{detail}");
    daemon.wait_log("allowed_hosts=other.local");
    let lines =
        |name: &str| daemon.log().matches(&format!("WARN refused: a browser asked for \"{name}")).count();
    assert_eq!((lines("pi.local"), lines("other.local")), (1, 1), "{}", daemon.log());

    // Whoever asks whether we are alive is answered, and who is no browser, whatever he calls himself.
    for path in ["/ok.html", "/livez", "/readyz", "/readyz/web", "/metrics"] {
        let response =
            get(address, path, "Host: pi.local:9001\r\nUser-Agent: Mozilla/5.0+(compatible; Monitor)\r\n");
        assert_eq!(response.status, 200, "{path}: {}", response.text());
    }
    assert_eq!(state(address).status, 200);
    let response = post(address, "/RPC2", &format!("Host: pi.local\r\nOrigin: http://pi.local\r\n{MOZILLA}"));
    assert_eq!(response.status, 403, "{}", response.text());
}

#[test]
fn names_are_allowed_by_the_configuration_and_by_a_password() {
    let browser = |name: &str| format!("Host: {name}\r\n{MOZILLA}");
    let (_daemon, address) = start("allowed_hosts = Pi.local, *.lan\n");
    for (name, expected) in [("pi.local:9001", 200), ("a.b.lan", 200), ("lan", 403), ("local", 403)] {
        assert_eq!(get(address, "/", &browser(name)).status, expected, "{name}");
    }
    let (_daemon, address) = start("username=me\npassword=secret\n");
    let authorized = format!("{}Authorization: Basic bWU6c2VjcmV0\r\n", browser("any.example"));
    assert_eq!(get(address, "/", &authorized).status, 200);
    assert_eq!(get(address, "/", &browser("any.example")).status, 401);
}

#[test]
fn a_page_behind_a_proxy_loads_and_acts_with_its_token_only() {
    let (daemon, address) = start("allowed_hosts=ops.example\n");
    let proxied = format!("Host: 127.0.0.1:9001\r\nOrigin: http://ops.example:8080\r\n{MOZILLA}");
    for path in ["/page/app.js", "/page/page.css", "/api/v1/processes", "/"] {
        let response = get(address, path, &proxied);
        assert_eq!(response.status, 200, "{path}: {}", response.text());
    }
    let session: Value =
        parsed(&get(address, "/api/v1/session", &format!("Host: 127.0.0.1:9001\r\n{MOZILLA}")));
    let token = session["token"].as_str().unwrap();
    let bearing = format!("{proxied}X-Supervisord-Token: {token}\r\n");
    let stop = "/api/v1/processes/web/stop";
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    for (path, headers) in [
        (stop, proxied.clone()),
        (stop, format!("{proxied}X-Supervisord-Token: 0\r\n")),
        (stop, format!("{bearing}Sec-Fetch-Site: cross-site\r\n")),
        (stop, format!("{bearing}Sec-Fetch-Site: same-site\r\n")),
        (stop, bearing.replace("ops.example", "evil.example")),
        (stop, bearing.replace("http://ops.example:8080", "null")),
        ("/program/stop/web", proxied.clone()),
        ("/RPC2", proxied.clone()),
        ("/index.html?action=stop&processname=web", format!("{proxied}{form}")),
    ] {
        let response = post(address, path, &headers);
        assert_eq!(response.status, 403, "{path} {headers:?}: {}", response.text());
        assert_eq!(process(&daemon, "web")["statename"], "RUNNING", "{path} {headers:?}");
    }
    // The token is for pages of ours, not for whoever names one.
    assert_eq!(get(address, "/api/v1/session", &proxied).status, 403);
    assert_eq!(get(address, "/index.html?action=stop&processname=web", &proxied).status, 403);

    let response = post(address, stop, &bearing);
    assert_eq!(response.status, 200, "{}", response.text());
    wait_for(&daemon, "web", "STOPPED");
    let fields = format!("action=start&processname=web&token={token}");
    let response = Client::tcp(address).post("/index.html", &format!("{proxied}{form}"), fields);
    assert_eq!(response.status, 200, "{}", response.text());
    wait_for(&daemon, "web", "RUNNING");
}

#[test]
fn refusals_of_changes_say_what_the_proxy_lacks() {
    let (daemon, address) = start("");
    let headers = format!("Host: 127.0.0.1:9001\r\nOrigin: http://ops.example:8080\r\n{MOZILLA}");
    let response = post(address, "/api/v1/processes/web/stop", &headers);
    let problem = parsed(&response);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("X-Forwarded-Host") && detail.contains("allowed_hosts=ops.example"), "{detail}");
    daemon.wait_log("WARN refused: a page of \"http://ops.example:8080\"");
}

#[test]
fn endless_texts_are_shown_as_they_come() {
    let (_daemon, address) = start("");
    for path in ["/logtail/web", "/logtail/web/stderr", "/mainlogtail"] {
        let mut client = Client::tcp(address);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let head = client.head().unwrap();
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-type"), Some("text/plain;charset=utf-8"), "{path}");
        assert_eq!(head.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(head.header("x-accel-buffering"), Some("no"), "{path}");
    }
}
