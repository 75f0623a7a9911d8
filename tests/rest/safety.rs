//! Who may change something, and what browsers are told about the answers.

use crate::support::Daemon;
use crate::web::{connect, json, process, start, wait_for};

fn token(daemon: &Daemon) -> String {
    json(daemon, "/api/v1/session")["token"].as_str().unwrap().to_string()
}

#[test]
fn foreign_pages_change_nothing() {
    let daemon = start("");
    wait_for(&daemon, "web", "RUNNING");
    let token = token(&daemon);
    let bearing = format!("X-Supervisord-Token: {token}\r\n");
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let ours = "Host: box\r\nOrigin: http://box\r\nSec-Fetch-Site: same-origin\r\n";
    let foreign = "Host: box\r\nOrigin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\n";
    let stop = "/api/v1/processes/web/stop";
    let by_form = format!("action=stop&processname=web&token={token}");
    for (path, headers, body, expected) in [
        // A form of a foreign page, whatever it sends.
        (stop, foreign.to_string(), "", 403),
        (stop, format!("{foreign}{form}"), "a=b", 403),
        (stop, format!("{foreign}{bearing}"), "", 403),
        ("/index.html", format!("{foreign}{form}"), "action=stop&processname=web", 403),
        ("/index.html", format!("{foreign}{form}"), &by_form, 403),
        ("/program/stop/web", foreign.to_string(), "", 403),
        ("/supervisor/shutdown", foreign.to_string(), "", 403),
        ("/RPC2", foreign.to_string(), "", 403),
        // A browser that hides who asks.
        (stop, "Host: box\r\nOrigin: null\r\n".to_string(), "", 403),
        (stop, "Host: box\r\nUser-Agent: Mozilla/5.0\r\n".to_string(), "", 403),
        (stop, "Host: box\r\nCookie: x=y\r\n".to_string(), "", 403),
        (stop, "Host: box\r\nReferer: http://box/\r\n".to_string(), "", 403),
        // Our own page without the token, or with a wrong one.
        (stop, ours.to_string(), "", 403),
        (stop, format!("{ours}X-Supervisord-Token: 0\r\n"), "", 403),
        ("/index.html", format!("{ours}{form}"), "action=stop&processname=web", 403),
        ("/program/stop/web", ours.to_string(), "", 403),
        // No browser, but a body that a form could send.
        (stop, form.to_string(), "a=b", 415),
        (stop, "Content-Type: text/plain\r\n".to_string(), "{}", 415),
    ] {
        let response = connect(&daemon).post(path, &headers, body);
        assert_eq!(response.status, expected, "{path} {headers:?} {body:?}: {}", response.text());
        assert_eq!(process(&daemon, "web")["statename"], "RUNNING", "{path} {headers:?}");
    }
    // Our own page, and a script.
    for (headers, action) in [(format!("{ours}{bearing}"), "stop"), (String::new(), "start")] {
        let response = connect(&daemon).post(&format!("/api/v1/processes/web/{action}"), &headers, "");
        assert_eq!(response.status, 200, "{}", response.text());
    }
    let response = connect(&daemon).post("/index.html", &format!("{ours}{form}"), &by_form);
    assert_eq!(response.status, 200, "{}", response.text());
    wait_for(&daemon, "web", "STOPPED");
    // The token is not for pages elsewhere.
    let response = connect(&daemon).get("/api/v1/session", "Host: box\r\nOrigin: http://evil.example\r\n");
    assert_eq!(response.status, 403);
}

#[test]
fn browsers_are_told_what_answers_are_for() {
    let daemon = start("");
    for path in ["/", "/index.html", "/page/app.js", "/page/page.css", "/api/v1/processes", "/api/v1/nothing"]
    {
        let response = connect(&daemon).get(path, "");
        let header = |name: &str| response.header(name).unwrap_or_else(|| panic!("{path} has no {name}"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("x-frame-options"), "DENY");
        let policy = header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(!header("referrer-policy").is_empty());
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
    let page = connect(&daemon).get("/", "");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let tag = format!("If-None-Match: {}\r\n", page.header("etag").unwrap());
    assert_eq!(connect(&daemon).get("/", &tag).status, 304);
    for script in page.text().split("<script").skip(1) {
        assert!(script.split('>').next().unwrap().contains("src="), "an inline script: {script}");
    }
}
