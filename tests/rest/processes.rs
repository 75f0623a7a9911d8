//! What is shown of processes, and what can be done to them.

use crate::support::{LONG, Side, Start, free_ports, until};
use crate::web::{act, get, json, parsed, post, process, start, wait_for};

#[test]
fn a_process_shows_everything_there_is_to_know() {
    let daemon = start("");
    let web = wait_for(&daemon, "web", "RUNNING");
    assert_eq!(web["pid"], daemon.pid_of("web"));
    assert_eq!(web["restarts"], 0);
    assert_eq!(web["last_exit"], serde_json::Value::Null);
    assert!(web["uptime_seconds"].is_u64(), "{web}");

    // What it uses comes with a sample, which the look has asked for.
    until("its memory is known", LONG, || process(&daemon, "web")["memory_bytes"].as_u64() > Some(1 << 12));
    until("its processor time is known", LONG, || process(&daemon, "web")["cpu_percent"].is_number());
    until("there is a chart", LONG, || {
        !json(&daemon, "/api/v1/history/web")["points"].as_array().unwrap().is_empty()
    });

    // The way it ends, in every form.
    act(&daemon, "/api/v1/processes/web/signal", r#"{"signal": "KILL"}"#);
    until("it was started again", LONG, || process(&daemon, "web")["restarts"] == 1);
    let web = wait_for(&daemon, "web", "RUNNING");
    assert_eq!(web["last_exit"]["signal"], "SIGKILL");
    assert_eq!(web["last_exit"]["text"], "terminated by SIGKILL");
    assert_eq!(web["last_exit"]["code"], serde_json::Value::Null);
    assert_eq!(web["exits"].as_array().unwrap().len(), 1);

    act(&daemon, "/api/v1/processes/once/start", "");
    let once = wait_for(&daemon, "once", "EXITED");
    assert_eq!(once["last_exit"]["code"], 3);
    assert_eq!(once["last_exit"]["expected"], false);
    assert_eq!(once["why"], "exit status 3; not expected");

    let changes = json(&daemon, "/api/v1/timeline");
    let last = &changes["changes"][0];
    assert_eq!(
        (&last["namespec"], &last["to"], &last["detail"]),
        (&"once".into(), &"EXITED".into(), &"exit status 3; not expected".into())
    );
}

#[test]
fn what_happens_next_is_told() {
    let conf = "[program:bad]\ncommand=/bin/false\nstartsecs=1\nstartretries=1000\n";
    let daemon = start(conf);
    let bad = wait_for(&daemon, "bad", "BACKOFF");
    assert_eq!(bad["next"]["what"], "it is started again");
    assert!(bad["next"]["in_seconds"].is_number());
    assert!(bad["why"].as_str().unwrap().starts_with("Exited too quickly"), "{bad}");
}

/// EXITED, but not for long: that is no readiness either.
#[test]
fn a_restart_that_waits_for_its_second_is_told() {
    let daemon = start("[program:bad]\ncommand=/bin/false\nstartsecs=0\n");
    let bad = wait_for(&daemon, "bad", "EXITED");
    assert_eq!(bad["next"]["what"], "it is started again");
    assert!((0.0..=1.0).contains(&bad["next"]["in_seconds"].as_f64().unwrap()), "{bad}");
    assert_eq!(bad["why"], "exit status 1; not expected");
}

#[test]
fn actions_say_what_became_of_each_process() {
    let daemon = start("[program:missing]\ncommand=/nonexistent\nautostart=false\n");
    wait_for(&daemon, "web", "RUNNING");
    let outcome = |value: &serde_json::Value, name: &str| {
        let results = value["results"].as_array().unwrap();
        let found = results.iter().find(|result| result["namespec"] == name);
        let found = found.unwrap_or_else(|| panic!("nothing about {name} in {value}"));
        let text = |key: &str| found[key].as_str().unwrap_or("null").to_string();
        (text("outcome"), text("fault"), text("statename"))
    };
    let is =
        |outcome: &str, fault: &str, state: &str| (outcome.to_string(), fault.to_string(), state.to_string());

    // One, a group, a selection with mistakes in it, all.
    let stopped = act(&daemon, "/api/v1/processes/web/stop", "");
    assert_eq!(outcome(&stopped, "web"), is("done", "null", "STOPPED"));
    let again = act(&daemon, "/api/v1/processes/web/stop", "{}");
    assert_eq!(again["ok"], false);
    assert_eq!(outcome(&again, "web"), is("failed", "NOT_RUNNING", "STOPPED"));
    let missing = act(&daemon, "/api/v1/processes/missing/start", "");
    assert_eq!(outcome(&missing, "missing"), is("failed", "NO_FILE", "STOPPED"));

    let group = act(&daemon, "/api/v1/groups/multi/restart", "");
    assert_eq!(group["ok"], true);
    assert_eq!(outcome(&group, "multi:multi_0"), is("done", "null", "RUNNING"));
    assert_eq!(outcome(&group, "multi:multi_1"), is("done", "null", "RUNNING"));

    let names = r#"{"action":"start","names":["web","multi:*","multi:multi_0","nobody","web"]}"#;
    let some = act(&daemon, "/api/v1/actions", names);
    assert_eq!(outcome(&some, "web"), is("done", "null", "RUNNING"));
    assert_eq!(outcome(&some, "multi:multi_0"), is("failed", "ALREADY_STARTED", "RUNNING"));
    assert_eq!(outcome(&some, "nobody"), is("failed", "BAD_NAME", "null"));
    assert_eq!(some["results"].as_array().unwrap().len(), 3, "each name once: {some}");

    let all = act(&daemon, "/api/v1/actions", r#"{"action":"stop"}"#);
    assert_eq!(all["results"].as_array().unwrap().len(), 3, "those that ran: {all}");
    let line = "asked for \"/api/v1/actions\" for \"stop all\": ok";
    daemon.wait_log(line);
}

#[test]
fn an_answer_does_not_wait_for_ever() {
    let conf = "[program:stubborn]\ncommand=/bin/sh -c 'trap \"\" TERM; echo up; while :; do sleep 0.1; done'\n\
                startsecs=0\nstopwaitsecs=600\nkillasgroup=true\n";
    let daemon = start(conf);
    until("it ignores TERM", LONG, || get(&daemon, "/api/v1/processes/stubborn/logs/stdout").body == b"up\n");
    let stopped = act(&daemon, "/api/v1/processes/stubborn/stop", r#"{"timeout": 0.1}"#);
    assert_eq!(stopped["results"][0]["outcome"], "pending", "{stopped}");
    assert_eq!(process(&daemon, "stubborn")["statename"], "STOPPING");
    // It goes on all the same.
    act(&daemon, "/api/v1/processes/stubborn/signal", r#"{"signal": 9}"#);
    wait_for(&daemon, "stubborn", "STOPPED");
}

#[test]
fn mistakes_are_told_as_problems() {
    let daemon = start("");
    for (method, path, body, status, detail) in [
        ("GET", "/api/v1/processes/nobody", "", 404, "BAD_NAME: nobody"),
        ("GET", "/api/v1/processes/nobody/logs/stdout", "", 404, "BAD_NAME: nobody"),
        ("GET", "/api/v1/processes/web/logs/stdout?offset=x", "", 400, "offset must be"),
        ("GET", "/api/v1/processes/web/logs/stdout?length=-1", "", 400, "length must be"),
        ("GET", "/api/v1/nothing", "", 404, "nothing under this path"),
        ("GET", "/api/v1/timeline?limit=0", "", 400, "limit must be"),
        ("POST", "/api/v1/processes/nobody/start", "", 404, "BAD_NAME: nobody"),
        ("POST", "/api/v1/groups/nobody/start", "", 404, "BAD_NAME: nobody"),
        ("POST", "/api/v1/processes/web/signal", "{}", 400, "signal is missing"),
        ("POST", "/api/v1/processes/web/signal", r#"{"signal":"NOPE"}"#, 400, "BAD_SIGNAL: NOPE"),
        ("POST", "/api/v1/processes/web/start", r#"{"signal":"HUP"}"#, 400, "signal has no meaning"),
        ("POST", "/api/v1/processes/web/start", "[", 400, "the body is not"),
        ("POST", "/api/v1/processes/web/start", r#"{"timeout":1e9}"#, 400, "timeout must be"),
        ("POST", "/api/v1/actions", r#"{"action":"fry"}"#, 400, "action must be"),
        ("POST", "/api/v1/actions", "", 400, "the body is not"),
        ("POST", "/api/v1/processes", "", 405, "GET, HEAD only"),
        ("GET", "/api/v1/processes/web/start", "", 405, "POST only"),
    ] {
        let response = if method == "GET" { get(&daemon, path) } else { post(&daemon, path, body) };
        assert_eq!(response.status, status, "{method} {path} {body}: {}", response.text());
        assert_eq!(response.header("content-type"), Some("application/problem+json"), "{path}");
        let problem = parsed(&response);
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{method} {path}: {problem}");
        assert_eq!(problem["status"], status);
    }
}

#[test]
fn the_configuration_is_shown_without_secrets_and_updated() {
    let [port] = free_ports();
    let conf = format!(
        "[inet_http_server]\nport=127.0.0.1:{port}\nusername=me\npassword=topsecret\n[program:x]\ncommand=echo \
         %(ENV_TEST_API_TOKEN)s\nautostart=false\nenvironment=MODE=\"fast\",DB_PASSWORD=\"hunter2\"\n"
    );
    let start = Start::new(Side::under_test(), &conf);
    let daemon = start.under(&["env", "TEST_API_TOKEN=verysecret"]).ready();
    let response = get(&daemon, "/api/v1/config");
    let text = response.text();
    for secret in ["topsecret", "hunter2", "verysecret"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let settings = parsed(&response);
    let setting = |section: &str, key: &str| {
        let settings = settings["settings"].as_array().unwrap();
        let found = settings.iter().find(|setting| setting["section"] == section && setting["key"] == key);
        found.unwrap_or_else(|| panic!("no {key} in [{section}]")).clone()
    };
    assert_eq!(setting("program:x", "environment")["value"], "DB_PASSWORD=\"********\",MODE=\"fast\"");
    assert_eq!(setting("program:x", "command")["value"], "echo ********");
    assert_eq!(setting("program:x", "autostart")["file"], daemon.conf().to_str().unwrap());
    assert!(setting("program:x", "autostart")["line"].is_u64());
    assert_eq!(setting("program:x", "startsecs")["is_default"], true);

    // What a reread would find; looking changes nothing.
    daemon.write_conf("[program:y]\ncommand=sleep 1000\nstartsecs=0\n");
    let whole = |name: &str, action: &str, members: usize| {
        let process = serde_json::json!({"name": name, "action": action, "keys": []});
        serde_json::json!({"name": name, "action": action, "members": members, "keys": [], "processes": [process]})
    };
    let groups = [whole("x", "remove", 1), whole("y", "add", 0)];
    let would = serde_json::json!({"added": ["y"], "changed": [], "removed": ["x"], "groups": groups});
    assert_eq!(json(&daemon, "/api/v1/reread"), would);
    assert_eq!(json(&daemon, "/api/v1/reread"), would);
    assert_eq!(json(&daemon, "/api/v1/groups")["groups"][0]["name"], "x");
    let updated = act(&daemon, "/api/v1/update", "");
    assert_eq!((&updated["added"], &updated["removed"]), (&would["added"], &would["removed"]));
    assert_eq!(updated["groups"], would["groups"]);
    wait_for(&daemon, "y", "RUNNING");

    daemon.write_conf("[program:y]\ncommand=sleep 1000\nstartsecs=never\n");
    for response in
        [get(&daemon, "/api/v1/reread"), get(&daemon, "/api/v1/config"), post(&daemon, "/api/v1/update", "")]
    {
        assert_eq!(response.status, 422, "{}", response.text());
        assert!(response.text().contains("'never'"), "{}", response.text());
    }
}

#[test]
fn the_daemon_ends_when_asked_to() {
    let mut daemon = start("");
    assert_eq!(json(&daemon, "/api/v1/daemon")["pid"], daemon.pid());
    act(&daemon, "/api/v1/daemon/shutdown", "");
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn programs_are_scaled_enabled_and_disabled() {
    let daemon = start("");
    let number = json(&daemon, "/api/v1/programs/multi");
    let expected = serde_json::json!({
        "program": "multi", "groups": ["multi"], "configured": 2, "wanted": 2, "processes": 2, "kept": null,
    });
    assert_eq!(number, expected);
    assert_eq!(json(&daemon, "/api/v1/programs")["programs"].as_array().unwrap().len(), 3);
    assert_eq!(get(&daemon, "/api/v1/programs/nobody").status, 404);

    let scaled = parsed(&post(&daemon, "/api/v1/programs/multi/scale", "{\"to\": 3}"));
    assert_eq!(
        (&scaled["ok"], &scaled["kept"], &scaled["not_saved"]),
        (&true.into(), &"until_end".into(), &"".into())
    );
    let programs = serde_json::json!([{"program": "multi", "before": 2, "now": 3, "configured": 2}]);
    assert_eq!(scaled["programs"], programs);
    assert_eq!(scaled["groups"][0]["processes"][0]["name"], "multi_2");
    let row = json(&daemon, "/api/v1/processes/multi:multi_2");
    assert_eq!((&row["statename"], &row["program"]), (&"RUNNING".into(), &"multi".into()));
    for (path, body, status) in [
        ("/api/v1/programs/multi/scale", "{\"by\": -4}", 409),
        ("/api/v1/programs/web/scale", "{\"to\": 2}", 409),
        ("/api/v1/programs/multi/scale", "{\"to\": 2, \"save\": true}", 409),
        ("/api/v1/programs/multi/scale", "{\"to\": 2, \"by\": 1}", 400),
        ("/api/v1/programs/multi/scale", "{}", 400),
        ("/api/v1/programs/multi/scale", "", 400),
        ("/api/v1/programs/nobody/scale", "{\"to\": 2}", 404),
        ("/api/v1/processes/nobody/disable", "", 404),
        ("/api/v1/groups/nobody/enable", "", 404),
    ] {
        assert_eq!(post(&daemon, path, body).status, status, "{path} {body}");
    }
    parsed(&post(&daemon, "/api/v1/programs/multi/scale", "{\"by\": -2}"));
    assert_eq!(json(&daemon, "/api/v1/groups/multi")["processes"].as_array().map(Vec::len), Some(1));

    let disabled = parsed(&post(&daemon, "/api/v1/groups/multi/disable", ""));
    assert_eq!(
        (&disabled["names"], &disabled["processes"]),
        (&serde_json::json!(["multi"]), &serde_json::json!(["multi:multi_0"]))
    );
    parsed(&post(&daemon, "/api/v1/processes/web/disable", ""));
    assert_eq!(json(&daemon, "/api/v1/processes/web")["is_disabled"], true);
    // The origin of such values is what somebody did.
    let settings = json(&daemon, "/api/v1/config");
    let origin = |section: &str, key: &str| {
        let mut all = settings["settings"].as_array().unwrap().iter();
        let found = all.find(|it| it["section"] == section && it["key"] == key).unwrap();
        (found["value"].as_str().unwrap().to_string(), found["origin"].as_str().unwrap().to_string())
    };
    assert_eq!(origin("program:multi", "numprocs"), ("1".into(), "scaled".into()));
    assert_eq!(origin("program:web", "autostart"), ("false".into(), "disabled".into()));
    parsed(&post(&daemon, "/api/v1/processes/web/enable", ""));
    assert!(json(&daemon, "/api/v1/processes/web").get("is_disabled").is_none());
}
