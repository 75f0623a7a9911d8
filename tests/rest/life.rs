//! Dependencies, readiness and health: what is shown of them, what they mean for `/readyz` and the metrics, what clients are
//! told when only they change.

use crate::contract::tool;
use crate::support::{Daemon, LONG, Side, Start, run, until, until_some};
use crate::web::{Events, act, get, json, parsed, post, process, start, wait_for};
use serde_json::{Value, json as object};
use std::fs;
use std::process::Command;

/// `db` is ready and healthy while files say so, `web` waits for it, `mail` is told what to start after, `migrate` is a job.
const SHOP: &str = "\
[program:db]
command=sleep 1000
ready=file:%(here)s/ready
ready_interval=50ms
health=file:%(here)s/well
health_interval=50ms
health_retries=2
health_action=none

[program:migrate]
type=oneshot
command=/bin/sh -c 'while [ ! -e %(here)s/migrated ]; do sleep 0.05; done'
depends_on=db:healthy

[program:web]
command=sleep 1000
startsecs=0
depends_on=db:healthy, migrate:done, nothing?
restart_limit=5/60s
startretries=-1

[program:plain]
command=sleep 1000
startsecs=0
";

fn shop() -> Daemon {
    Start::new(Side::under_test(), SHOP).ready()
}

fn touch(daemon: &Daemon, name: &str) {
    fs::write(daemon.path(name), "").unwrap();
}

fn readiness(daemon: &Daemon, path: &str) -> (u16, String) {
    let response = get(daemon, path);
    (response.status, response.text())
}

/// Brings everything up.
fn bring_up(daemon: &Daemon) {
    for name in ["ready", "well", "migrated"] {
        touch(daemon, name);
    }
    wait_for(daemon, "web", "RUNNING");
}

#[test]
fn whoever_waits_says_for_whom_and_who_is_up_how_it_is() {
    let daemon = shop();
    let db = until_some("it is known why it is not ready", LONG, || {
        let db = process(&daemon, "db");
        db["problem"].as_str().is_some_and(|problem| !problem.is_empty()).then_some(db)
    });
    assert_eq!((&db["statename"], &db["word"]), (&"STARTING".into(), &"starting".into()), "{db}");
    assert_eq!(db["ready"], format!("file:{}", daemon.path("ready").display()));
    assert_eq!(db["health"]["is_healthy"], Value::Null, "{db}");
    assert_eq!(db["health"]["retries"], 2);
    assert_eq!(db["needs"], object!([]));

    let web = process(&daemon, "web");
    assert_eq!((&web["statename"], &web["word"]), (&"STARTING".into(), &"waiting".into()), "{web}");
    assert_eq!(web["waiting_for"], web["reason"]);
    assert!(web["waiting_for"].as_str().unwrap().contains("db"), "{web}");
    assert_eq!(web["automatic_starts"], object!({"count": 0, "limit": 5}));
    assert_eq!((&web["startretries"], &web["is_oneshot"]), (&Value::Null, &false.into()));
    let need = |item: &str, target: &str, condition: &str, is_soft: bool, verdict: &str, processes: Value| {
        object!({"item": item, "target": target, "condition": condition, "is_soft": is_soft, "verdict": verdict,
            "processes": processes})
    };
    let one = |name: &str, state: &str| object!([{"namespec": name, "statename": state}]);
    assert_eq!(
        web["needs"],
        object!([
            need("db:healthy", "db", "healthy", false, "unmet", one("db", "STARTING")),
            need("migrate:done", "migrate", "done", false, "unmet", one("migrate", "STARTING")),
            need("nothing?", "nothing", "ready", true, "met", object!([])),
        ])
    );
    // Whoever uses none of this has none of these fields.
    let plain = wait_for(&daemon, "plain", "RUNNING");
    for key in ["word", "reason", "needs", "health", "ready", "startretries", "waiting_for"] {
        assert!(plain.get(key).is_none(), "{key} in {plain}");
    }

    let health = json(&daemon, "/api/v1/health");
    assert_eq!(health["healthy"], false);
    let words = |health: &Value| -> Vec<String> {
        let lines = health["processes"].as_array().unwrap().iter();
        lines
            .map(|line| format!("{} {} {}", line["namespec"], line["word"], line["healthy"]).replace('"', ""))
            .collect()
    };
    let before = ["db starting false", "migrate waiting false", "plain running true", "web waiting false"];
    assert_eq!(words(&health), before);
    assert_eq!(json(&daemon, "/api/v1/processes/plain/health")["healthy"], true);
    assert_eq!(words(&json(&daemon, "/api/v1/groups/db/health")), before[..1]);
    for path in ["/api/v1/processes/nobody/health", "/api/v1/groups/nobody/dependencies"] {
        assert_eq!(get(&daemon, path).status, 404, "{path}");
    }

    bring_up(&daemon);
    until("all are well", LONG, || json(&daemon, "/api/v1/health")["healthy"] == true);
    let after = ["db healthy true", "migrate finished true", "plain running true", "web running true"];
    assert_eq!(words(&json(&daemon, "/api/v1/health")), after);
    // However short it ran: a job has no time that it must stay up.
    assert_eq!(process(&daemon, "migrate")["last_exit"]["expected"], true);
}

#[test]
fn the_graph_is_told_with_its_states() {
    let daemon = shop();
    bring_up(&daemon);
    let graph = json(&daemon, "/api/v1/dependencies");
    let nodes = graph["processes"].as_array().unwrap();
    let names: Vec<&str> = nodes.iter().map(|node| node["namespec"].as_str().unwrap()).collect();
    assert_eq!(names, ["db", "migrate", "web"], "{graph}");
    assert_eq!(nodes[0]["dependents"], object!(["migrate", "web"]));
    assert_eq!((&nodes[1]["statename"], &nodes[1]["is_waiting"]), (&"EXITED".into(), &false.into()));
    assert_eq!(nodes[2]["needs"][1]["verdict"], "met");
    // What hangs together with one: of `plain`, nothing.
    assert_eq!(json(&daemon, "/api/v1/processes/plain/dependencies")["processes"], object!([]));
    let part = json(&daemon, "/api/v1/processes/migrate/dependencies");
    assert_eq!(part["processes"].as_array().unwrap().len(), 3);
    let part = json(&daemon, "/api/v1/groups/web/dependencies");
    assert_eq!(part["processes"].as_array().unwrap().len(), 3);
}

#[test]
fn a_start_may_go_without_dependencies_and_a_stop_with_dependents() {
    let daemon = shop();
    until("web waits", LONG, || process(&daemon, "web")["word"] == "waiting");
    let alone = act(&daemon, "/api/v1/processes/web/start", r#"{"deps": false}"#);
    assert_eq!(alone["results"][0]["statename"], "RUNNING", "{alone}");
    assert_eq!(process(&daemon, "migrate")["word"], "waiting", "nobody else has started");
    act(&daemon, "/api/v1/processes/web/stop", "");
    bring_up_without_web(&daemon);
    act(&daemon, "/api/v1/actions", r#"{"action": "start", "names": ["web"], "deps": true}"#);

    // Without the option only the one that is named stops.
    let stopped = act(&daemon, "/api/v1/processes/db/stop", r#"{"dependents": true}"#);
    let names: Vec<&str> = stopped["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["namespec"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"web") && names.contains(&"db"), "{stopped}");
    assert_eq!(process(&daemon, "web")["statename"], "STOPPED");

    for (path, body, text) in [
        ("web/stop", r#"{"deps": false}"#, "deps has no meaning for the action \"stop\""),
        ("web/restart", r#"{"dependents": true}"#, "dependents has no meaning for the action \"restart\""),
    ] {
        let response = post(&daemon, &format!("/api/v1/processes/{path}"), body);
        assert_eq!(response.status, 400, "{}", response.text());
        assert_eq!(parsed(&response)["detail"], text);
    }
}

fn bring_up_without_web(daemon: &Daemon) {
    for name in ["ready", "well", "migrated"] {
        touch(daemon, name);
    }
    until("the job has ended", LONG, || process(daemon, "migrate")["word"] == "finished");
}

#[test]
fn readyz_counts_health_and_says_who_is_missing() {
    let daemon = shop();
    until("web waits", LONG, || readiness(&daemon, "/readyz").1.contains("web STARTING, waiting for db"));
    let (status, text) = readiness(&daemon, "/readyz");
    assert_eq!((status, text.lines().count()), (503, 3), "{text}");
    assert_eq!(readiness(&daemon, "/readyz/plain").0, 200);

    bring_up(&daemon);
    until("all are well", LONG, || readiness(&daemon, "/readyz") == (200, "ok\n".to_string()));
    // A job that has done its work is as good as a program that runs.
    assert_eq!(readiness(&daemon, "/readyz/migrate").0, 200);
    assert_eq!(readiness(&daemon, "/readyz/db").0, 200);

    fs::remove_file(daemon.path("well")).unwrap();
    until("db is not well", LONG, || readiness(&daemon, "/readyz").0 == 503);
    let (_, text) = readiness(&daemon, "/readyz");
    assert!(text.starts_with("db RUNNING, unhealthy: ") && text.lines().count() == 1, "{text}");
    assert_eq!(readiness(&daemon, "/readyz/db"), (503, text));
    assert_eq!(readiness(&daemon, "/readyz/web").0, 200, "it runs");
    assert_eq!(readiness(&daemon, "/livez").0, 200);
    // Whoever was stopped on purpose keeps nobody waiting.
    act(&daemon, "/api/v1/processes/db/stop", "");
    until("what is left is ready", LONG, || readiness(&daemon, "/readyz").0 == 200);
}

/// Without any of the new keys a program that has exited for good does not count, whatever its exit status was.
#[test]
fn readyz_is_for_others_what_it_was() {
    let daemon = start("");
    wait_for(&daemon, "web", "RUNNING");
    act(&daemon, "/api/v1/processes/once/start", "");
    wait_for(&daemon, "once", "EXITED");
    assert_eq!(readiness(&daemon, "/readyz"), (200, "ok\n".to_string()));
    assert_eq!(readiness(&daemon, "/readyz/once"), (503, "once EXITED\n".to_string()));
    let metrics = get(&daemon, "/metrics").text();
    for name in ["process_healthy", "health_check_failures", "process_waiting", "counted_restarts"] {
        assert!(!metrics.contains(name), "{name} in {metrics}");
    }
}

#[test]
fn clients_are_told_though_no_state_changes() {
    let daemon = shop();
    let mut events = Events::open(&daemon, "/api/v1/events", "");
    let about = |name: &'static str, wanted: fn(&Value) -> bool| {
        move |event: &crate::web::Event| event.data["row"]["namespec"] == name && wanted(&event.data["row"])
    };
    // Whom it waits for changes while it is STARTING all the time.
    touch(&daemon, "ready");
    events.until("web waits for a db that is up", |event| {
        event.kind == "process"
            && about("web", |row| row["waiting_for"].as_str().unwrap().contains("db (RUNNING"))(event)
    });
    touch(&daemon, "well");
    events.until("db is well", about("db", |row| row["health"]["is_healthy"] == true));
    events
        .until("one condition holds, the other not", about("web", |row| row["needs"][0]["verdict"] == "met"));
    fs::remove_file(daemon.path("well")).unwrap();
    let event = events.until("db is not well", about("db", |row| row["word"] == "unhealthy"));
    assert_eq!((event.kind.as_str(), &event.data["row"]["health"]["failures"]), ("process", &2.into()));
    assert_eq!(event.data["row"]["statename"], "RUNNING");
}

/// Reads the metrics as Prometheus' own library does.
const PARSE: &str = r#"
import sys
from prometheus_client.parser import text_string_to_metric_families
families = {family.name: family for family in text_string_to_metric_families(open(sys.argv[1]).read())}
def values(family):
    assert families[family].type == 'gauge' and families[family].documentation, family
    return {sample.labels["name"]: int(sample.value) for sample in families[family].samples}
print({name[20:]: values(name) for name in sorted(families) if name[20:] in sys.argv[2:]})
"#;

#[test]
fn prometheus_reads_waits_and_health() {
    let daemon = shop();
    let metrics = || {
        fs::write(daemon.path("metrics"), get(&daemon, "/metrics").body).unwrap();
        let mut command = Command::new(tool("python"));
        let names = ["healthy", "health_check_failures", "waiting", "counted_restarts", "restart_limit"];
        let run = run(command.args(["-c", PARSE]).arg(daemon.path("metrics")).args(names));
        assert_eq!(run.code, 0, "{run}");
        run.stdout.trim().to_string()
    };
    until("web waits", LONG, || process(&daemon, "web")["word"] == "waiting");
    assert_eq!(
        metrics(),
        "{'counted_restarts': {'web': 0}, 'health_check_failures': {'db': 0}, 'healthy': {'db': 0}, \
         'restart_limit': {'web': 5}, 'waiting': {'migrate': 1, 'web': 1}}"
    );
    bring_up(&daemon);
    act(&daemon, "/api/v1/processes/web/signal", r#"{"signal": "KILL"}"#);
    until("it was started again", LONG, || process(&daemon, "web")["automatic_starts"]["count"] == 1);
    assert_eq!(
        metrics(),
        "{'counted_restarts': {'web': 1}, 'health_check_failures': {'db': 0}, 'healthy': {'db': 1}, \
         'restart_limit': {'web': 5}, 'waiting': {'migrate': 0, 'web': 0}}"
    );
    fs::remove_file(daemon.path("well")).unwrap();
    until("db is not well", LONG, || process(&daemon, "db")["word"] == "unhealthy");
    let failures = metrics();
    assert!(failures.contains("'healthy': {'db': 0}"), "{failures}");
    assert!(!failures.contains("'health_check_failures': {'db': 0}"), "{failures}");
}
