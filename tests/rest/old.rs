//! Addresses that others have used before.

use crate::support::{LONG, until};
use crate::web::{act, connect, get, parsed, process, start, wait_for};
use std::fs;
use supervisord::model::state::ProcessState;

#[test]
fn old_links_ask_before_they_act() {
    let daemon = start("");
    wait_for(&daemon, "web", "RUNNING");
    let link = "/index.html?processname=web&action=stop";
    let question = get(&daemon, link);
    assert_eq!(question.status, 200);
    assert!(question.text().contains("Stop web?"), "{}", question.text());
    assert_eq!(process(&daemon, "web")["statename"], "RUNNING");
    let policy = question.header("content-security-policy").unwrap();
    assert!(policy.contains("form-action 'self'"), "{policy}");

    // What the button sends.
    let field = |name: &str| {
        let text = question.text();
        let from = text.find(&format!("name=\"{name}\" value=\"")).unwrap();
        text[from..].split('"').nth(3).unwrap().to_string()
    };
    let form =
        format!("action={}&processname={}&token={}", field("action"), field("processname"), field("token"));
    let headers = "Host: box\r\nOrigin: http://box\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let done = connect(&daemon).post("/index.html", headers, &form);
    assert_eq!(done.status, 200);
    assert!(done.text().contains("Process web stopped"), "{}", done.text());
    assert_eq!(process(&daemon, "web")["statename"], "STOPPED");
    let again = connect(&daemon).post("/index.html", headers, &form);
    assert_eq!(again.status, 409);
    assert!(again.text().contains("[70] NOT_RUNNING: web"), "{}", again.text());

    // Names are shown as text.
    let name = "%3Cscript%3Ealert(1)%3C/script%3E";
    let question = get(&daemon, &format!("/?action=stop&processname={name}")).text();
    assert!(question.contains("Stop &lt;script&gt;") && !question.contains("<script>"), "{question}");
    let nobody = connect(&daemon).post("/", headers, form.replace("processname=web", "processname=nobody"));
    assert!(nobody.text().contains("No such process named nobody"), "{}", nobody.text());
    for (path, status) in
        [("/?action=fry&processname=web", 400), ("/?action=stop", 400), ("/?action=refresh", 303)]
    {
        assert_eq!(get(&daemon, path).status, status, "{path}");
    }
}

#[test]
fn old_links_act_only_if_the_configuration_says_so() {
    let daemon = start("[unix_http_server]\nlegacy_get_actions=true\n");
    wait_for(&daemon, "web", "RUNNING");
    let link = "/index.html?processname=web&action=stop";
    let foreign = connect(&daemon).get(link, "Host: box\r\nSec-Fetch-Site: cross-site\r\n");
    assert!(foreign.text().contains("Stop web?"), "{}", foreign.text());
    assert_eq!(process(&daemon, "web")["statename"], "RUNNING");
    assert!(get(&daemon, link).text().contains("Process web stopped"));
    assert_eq!(process(&daemon, "web")["statename"], "STOPPED");
    assert!(get(&daemon, "/?action=restartall").text().contains("All restarted"));
    wait_for(&daemon, "web", "RUNNING");
}

#[test]
fn old_pages_can_be_read() {
    let conf = "[program:odd]\ncommand=/bin/sh -c 'echo \"<script>alert(1)</script>\"; exec sleep 1000'\nstartsecs=0\n";
    let daemon = start(conf);
    until("the log is shown", LONG, || {
        get(&daemon, "/tail.html?processname=odd").text().contains("&lt;script&gt;alert(1)&lt;/script&gt;\n")
    });
    let text = |path: &str| get(&daemon, path).text();
    assert!(!text("/tail.html?processname=odd&limit=5000").contains("<script"));
    assert!(text("/tail.html").contains("No process name found"));
    assert!(text("/tail.html?processname=nobody").contains("[10] BAD_NAME: nobody"));
    assert_eq!(text("/ok.html"), "OK");
    assert!(get(&daemon, "/").text().contains("<title>"));
    assert_eq!(get(&daemon, "/index.html?message=hello").status, 200);
}

#[test]
fn scripts_find_processes_in_groups_and_the_original_does_not() {
    let twice = "[program:a]\ncommand=sleep 1000\n[program:b]\ncommand=sleep 1000\nprocess_name=twice\n\
                 [program:c]\ncommand=sleep 1000\nprocess_name=twice\n[group:g]\nprograms=a\n";
    let daemon = start(twice);
    wait_for(&daemon, "multi:multi_0", "RUNNING");
    assert_eq!(parsed(&get(&daemon, "/program/info/multi_0"))["pid"], daemon.pid_of("multi:multi_0"));
    let stopped = connect(&daemon).post("/program/stop/multi_0", "", "");
    assert_eq!(stopped.text(), r#"{"success":true}"#);
    assert_eq!(process(&daemon, "multi_0")["statename"], "STOPPED");
    connect(&daemon).post("/program/startPrograms", "", r#"["multi_0"]"#);
    assert_eq!(wait_for(&daemon, "multi_0", "RUNNING")["namespec"], "multi:multi_0");
    let acted = act(&daemon, "/api/v1/processes/multi_0/restart", "");
    assert_eq!(acted["results"][0]["namespec"], "multi:multi_0");
    let acted = act(&daemon, "/api/v1/actions", r#"{"action": "restart", "names": ["multi_1", "a"]}"#);
    assert_eq!((&acted["ok"], &acted["results"][1]["namespec"]), (&true.into(), &"g:a".into()));
    assert_eq!(get(&daemon, "/api/v1/processes/multi_0/logs/stdout").status, 200);

    // Two bear that name.
    assert_eq!(get(&daemon, "/api/v1/processes/twice").status, 404);
    assert_eq!(connect(&daemon).post("/program/stop/twice", "", "").text(), r#"{"success":false}"#);
    // What Supervisor has answers as Supervisor does.
    assert_eq!(get(&daemon, "/logtail/multi_0/stdout").status, 404);
    assert!(get(&daemon, "/tail.html?processname=multi_0").text().contains("[10] BAD_NAME: multi_0"));
}

#[test]
fn paths_of_the_go_descendants_are_answered_as_theirs() {
    let mut daemon = start("");
    wait_for(&daemon, "web", "RUNNING");
    let list = parsed(&get(&daemon, "/program/list"));
    let names: Vec<&str> = list.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["multi_0", "multi_1", "once", "web"]);
    assert_eq!(list[3]["statename"], "RUNNING");
    assert_eq!(
        parsed(&get(&daemon, &format!("/program/info/{}/web", host_name())))["pid"],
        daemon.pid_of("web")
    );
    assert_eq!(get(&daemon, "/program/info/supervisor/nobody").status, 500);
    for (path, body, expected) in [
        ("/program/stop/web", "", r#"{"success":true}"#),
        ("/program/stop/web", "", r#"{"success":false}"#),
        ("/program/start/supervisor/web", "", r#"{"success":true}"#),
        ("/program/restart/multi:*", "", r#"{"success":true}"#),
        ("/program/start/nobody", "", r#"{"success":false}"#),
        ("/program/stopPrograms", r#"["web","nobody"]"#, "Success to stop the programs"),
        (
            "/program/startPrograms",
            r#"[{"node":"supervisor","program":"web"}]"#,
            "Success to start the programs",
        ),
        ("/program/startPrograms", "{", "not a valid request"),
        ("/supervisor/reload", "", r#"{"success":true}"#),
    ] {
        let response = connect(&daemon).post(path, "", body);
        assert_eq!(response.text(), expected, "{path} {body}");
    }
    wait_for(&daemon, "web", "RUNNING");
    until("there is a log", LONG, || get(&daemon, "/program/log/web/stdout").text().starts_with("out\n"));
    assert_eq!(get(&daemon, "/program/log/nobody/stdout").body, b"");
    assert_eq!(parsed(&get(&daemon, "/supervisor/listNodes"))[0]["status"], "ONLINE");
    assert_eq!(get(&daemon, "/supervisor/supervisor/ping").text(), r#"{"success":true}"#);
    connect(&daemon).send("PUT /supervisor/shutdown HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(daemon.wait_exit(), 0);
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_string()
}

#[test]
fn nothing_is_done_for_another_node() {
    let mut daemon = start(
        "[program:stopped]\ncommand=sleep 1000\nautostart=false\nstartsecs=0\n[supervisord]\nnodename=Web-1\n\
         [program:alone]\ncommand=sleep 1000\nautostart=false\n[group:team]\nprograms=alone\n",
    );
    wait_for(&daemon, "web", "RUNNING");
    let web = daemon.pid_of("web");
    until("it has said something", LONG, || {
        get(&daemon, "/program/log/web/stdout").text().starts_with("out\n")
    });
    let refused = |method: &str, path: &str, body: &str| {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut client = connect(&daemon);
        client.send(format!("{head}{body}"));
        let response = client.response().unwrap();
        assert_eq!(response.status, 404, "{method} {path}");
        assert_eq!(response.text(), r#"{"success":false}"#, "{method} {path}");
    };
    for (methods, paths) in [
        (
            &["POST", "PUT"][..],
            &[
                "/program/stop/OTHER/web",
                "/program/stop/OTHER/web:*",
                "/program/restart/OTHER/web",
                "/program/start/OTHER/stopped",
                "/supervisor/OTHER/reload",
                "/supervisor/OTHER/shutdown",
                // Another name that only begins like ours.
                "/program/stop/supervisor2/web",
            ][..],
        ),
        (
            &["GET"],
            &[
                "/program/info/OTHER/web",
                "/program/log/OTHER/web/stdout",
                "/program/log/OTHER/web/stderr",
                "/supervisor/OTHER/ping",
            ],
        ),
    ] {
        for (method, path) in methods.iter().flat_map(|method| paths.iter().map(move |path| (method, path))) {
            refused(method, path, "");
        }
    }
    // One of another node, and nobody of ours is touched either.
    let bodies = [r#"["web",{"node":"OTHER","program":"stopped"}]"#, r#"[{"node":"OTHER","program":"web"}]"#];
    for (path, body) in [
        ("/program/stopPrograms", bodies[0]),
        ("/program/stopPrograms", bodies[1]),
        ("/program/startPrograms", bodies[0]),
    ] {
        refused("POST", path, body);
    }
    assert_eq!(daemon.pid_of("web"), web);
    assert_eq!(daemon.state_of("stopped"), ProcessState::Stopped);

    // Our own names, with every path.
    let host = host_name();
    let list = parsed(&get(&daemon, "/program/list"));
    assert!(list.as_array().unwrap().iter().all(|row| row["node"] == "Web-1"), "{list}");
    assert_eq!(parsed(&get(&daemon, "/api/v1/daemon"))["node"], "Web-1");
    for node in [host.as_str(), &host.to_ascii_uppercase(), "supervisor", "web-1"] {
        let info = parsed(&get(&daemon, &format!("/program/info/{node}/web")));
        assert_eq!(info["node"], "Web-1");
        // A name alone, in a group of another name.
        let alone = parsed(&get(&daemon, &format!("/program/info/{node}/alone")));
        assert_eq!(alone["group"], "team", "{alone}");
        assert_eq!(info["pid"], daemon.pid_of("web"));
        assert_eq!(get(&daemon, &format!("/supervisor/{node}/ping")).text(), r#"{"success":true}"#);
        assert!(get(&daemon, &format!("/program/log/{node}/web/stdout")).text().starts_with("out\n"));
        for (path, body) in [
            (format!("/program/stop/{node}/web"), ""),
            (format!("/program/start/{node}/web"), ""),
            (format!("/program/restart/{node}/web"), ""),
            (format!("/supervisor/{node}/reload"), ""),
        ] {
            assert_eq!(connect(&daemon).post(&path, "", body).text(), r#"{"success":true}"#, "{path}");
        }
        for node in [node, ""] {
            let body = format!(r#"[{{"node":"{node}","program":"web"}}]"#);
            let response = connect(&daemon).post("/program/stopPrograms", "", &body);
            assert_eq!(response.text(), "Success to stop the programs");
        }
        let response = connect(&daemon).post("/program/startPrograms", "", r#"[{"program":"web"}]"#);
        assert_eq!(response.text(), "Success to start the programs");
        wait_for(&daemon, "web", "RUNNING");
    }
    assert_eq!(parsed(&get(&daemon, "/supervisor/listNodes"))[0]["name"], "Web-1");
    connect(&daemon).post(&format!("/supervisor/{host}/shutdown"), "", "");
    assert_eq!(daemon.wait_exit(), 0);
}
