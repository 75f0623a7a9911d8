//! Figures for Prometheus, and health.

use crate::contract::tool;
use crate::support::{LONG, run, until, until_some};
use crate::web::{act, get, process, start, wait_for};
use std::process::Command;

/// Reads the metrics as Prometheus' own library does, and prints what a test looks at.
const PARSE: &str = r#"
import sys
from prometheus_client.parser import text_string_to_metric_families
families = {family.name: family for family in text_string_to_metric_families(open(sys.argv[1]).read())}
for family in families.values():
    assert family.documentation, family.name
    assert family.type != 'unknown', family.name
    assert family.samples or family.name == 'supervisord_process_exits', family.name
def value(family, **labels):
    for sample in families[family].samples:
        if all(sample.labels.get(key) == wanted for key, wanted in labels.items()):
            return sample.value
    raise SystemExit(f'no {family} with {labels}')
assert value('node_supervisord_up', name='web', group='web') == 1
assert value('node_supervisord_state', name='once') == 100
assert value('node_supervisord_exit_status', name='once') == 3
assert value('node_supervisord_start_time_seconds', name='web') > 1e9
assert value('supervisord_process_restarts', name='web') == 1
assert value('supervisord_process_exits', name='web', signal='SIGKILL', code='') == 1
assert value('supervisord_process_exits', name='once', code='3', signal='') == 1
assert value('supervisord_process_resident_memory_bytes', name='web') > 4096
assert value('supervisord_process_log_bytes', name='web', stream='stdout') >= 4
assert value('supervisord_process_output_bytes', name='web', stream='stderr') >= 4
starts = {sample.name: sample.value for sample in families['supervisord_start_duration_seconds'].samples if not sample.labels}
assert starts['supervisord_start_duration_seconds_count'] >= 5, starts
restarts = [s.value for s in families['supervisord_restart_duration_seconds'].samples if s.name.endswith('_count')]
assert restarts == [1], restarts
assert value('supervisord_resident_memory_bytes', part='keeper') > 4096
assert value('supervisord_cpu_seconds', part='manager') >= 0
"#;

#[test]
fn prometheus_reads_the_metrics() {
    let daemon = start("[program:gr\u{f6}\u{df}e]\ncommand=sleep 1000\nautostart=false\n");
    let wait_for_errors = |size: &str| {
        until(&format!("stderr has {size} bytes"), LONG, || {
            get(&daemon, "/api/v1/processes/web/logs/stderr").header("x-log-size") == Some(size)
        });
    };
    wait_for(&daemon, "web", "RUNNING");
    wait_for_errors("4");
    act(&daemon, "/api/v1/processes/once/start", "");
    wait_for(&daemon, "once", "EXITED");
    act(&daemon, "/api/v1/processes/web/signal", r#"{"signal":"SIGKILL"}"#);
    until("it is up again", LONG, || {
        let web = process(&daemon, "web");
        web["restarts"] == 1 && web["statename"] == "RUNNING"
    });
    wait_for_errors("8");
    // A program that is being executed has no memory for a moment.
    let response = until_some("it has memory", LONG, || {
        let response = get(&daemon, "/metrics");
        let name = "supervisord_process_resident_memory_bytes{name=\"web\",group=\"web\"} ";
        let text = response.text();
        let bytes = text.lines().find_map(|line| line.strip_prefix(name)?.parse::<f64>().ok());
        bytes.is_some_and(|bytes| bytes > 4096.0).then_some(response)
    });
    assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    std::fs::write(daemon.path("metrics"), &response.body).unwrap();
    let mut command = Command::new(tool("python"));
    let run = run(command.args(["-c", PARSE]).arg(daemon.path("metrics")));
    assert_eq!(run.code, 0, "{run}\n{}", response.text());
}

#[test]
fn health_is_told() {
    let conf = "[program:bad]\ncommand=/nonexistent\nautostart=false\nstartretries=0\n";
    let daemon = start(conf);
    wait_for(&daemon, "web", "RUNNING");
    wait_for(&daemon, "multi:multi_1", "RUNNING");
    let answer = |path: &str| {
        let response = get(&daemon, path);
        (response.status, response.text())
    };
    let ok = || (200, "ok\n".to_string());
    for path in [
        "/livez",
        "/readyz",
        "/readyz/web",
        "/readyz/multi",
        "/readyz/multi:*",
        "/readyz/multi:multi_0",
        "/readyz/multi_0",
    ] {
        assert_eq!(answer(path), ok(), "{path}");
    }
    assert_eq!(answer("/readyz/nobody").0, 404);
    act(&daemon, "/api/v1/processes/web/stop", "");
    assert_eq!(answer("/readyz/web"), (503, "web STOPPED\n".to_string()));
    // Whoever was stopped on purpose keeps nobody waiting.
    assert_eq!(answer("/readyz"), ok());
}
