//! Job specifications for Nomad.

use crate::samples::{assert_all_export, export, of_text};
use crate::validators::assert_right;

#[test]
fn every_configuration_makes_job_specifications() {
    assert_all_export("nomad", None);
    assert_all_export("nomad", Some("app:1"));
}

const ALL: &str = r#"[supervisord]
identifier=shop
[program:web]
command=/srv/web --port "8080" '${NOMAD_PORT}' 'say "x"'
numprocs=2
process_name=%(program_name)s_%(process_num)d
user=www-data:root
environment=MODE="live %%{x}"
health=http://127.0.0.1:8080/health header.Host=shop
health_retries=5
health_start_period=20s
stopsignal=INT
stopwaitsecs=30
memory_max=256MB
restart_delay=2s
restart_limit=5/1m
private_tmp=true
capabilities=NET_BIND_SERVICE
limit_nofile=1024:2048
depends_on=db
[program:db]
command=/srv/db
stdout_logfile=NONE
redirect_stderr=true
[program:migrate]
command=/srv/migrate
type=oneshot
[program:api]
command=/srv/api
depends_on=migrate:done
health=exec:/srv/healthy --fast
[program:cleanup]
command=/srv/cleanup
type=oneshot
startretries=7
autostart=false
"#;

#[test]
fn a_job_says_what_it_can() {
    let sample = of_text(ALL);
    let (files, losses) = export("nomad", &sample, None).expect("it is exported");
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["shop.nomad.hcl", "shop-batch.nomad.hcl"]);
    let (service, batch) = (&files[0].text, &files[1].text);
    assert_right("nomad", &[("service".into(), service.clone()), ("batch".into(), batch.clone())]);
    for expected in [
        "job \"shop\" {\n  type = \"service\"",
        "group \"web\" {\n    count = 2",
        "restart {\n      attempts = 5\n      interval = \"60s\"\n      delay = \"2s\"\n      mode = \"fail\"",
        "port \"p8080\" {\n        static = 8080",
        "ephemeral_disk {\n      size = 850",
        "provider = \"nomad\"\n      port = \"p8080\"",
        "type = \"http\"\n        path = \"/health\"\n        interval = \"10s\"\n        timeout = \"3s\"",
        "header {\n          Host = [\"shop\"]",
        "check_restart {\n          limit = 5\n          grace = \"20s\"",
        "driver = \"raw_exec\"\n      user = \"www-data\"\n      kill_signal = \"SIGINT\"\n      kill_timeout = \"30s\"",
        "args = [\"--port\", \"8080\", \"$${NOMAD_PORT}\", \"say \\\"x\\\"\"]",
        "MODE = \"live %%{x}\"",
        "memory = 256",
        "lifecycle {\n        hook = \"prestart\"\n        sidecar = false",
        "provider = \"consul\"",
        "type = \"script\"\n        task = \"api\"\n        command = \"/srv/healthy\"\n        args = [\"--fast\"]",
        "disabled = true",
    ] {
        assert!(service.contains(expected), "{expected}\nis not in\n{service}");
    }
    assert!(
        batch.contains("group \"cleanup\" {\n    count = 0") && batch.contains("attempts = 7"),
        "{batch}"
    );
    let losses: Vec<String> = losses.iter().map(ToString::to_string).collect();
    for expected in [
        "driver = raw_exec",
        "[program:web] depends_on = db: nothing waits for db",
        "[program:web] limit_nofile = 1024:2048: only the driver for containers knows it",
        "[program:web] private_tmp = true: only the driver for containers",
        "[program:web] capabilities = NET_BIND_SERVICE: only the driver",
        "[program:web] command: Nomad replaces ${…}",
        "[program:web] user = www-data:0: a task has the groups of its user",
        "[program:api] health = exec:/srv/healthy --fast: a check that runs a command needs Consul",
        "each port is there once on a machine",
    ] {
        assert!(losses.iter().any(|loss| loss.contains(expected)), "{expected} is not in {losses:#?}");
    }
}

#[test]
fn containers_can_say_more() {
    let (files, losses) = export("nomad", &of_text(ALL), Some("shop:2")).expect("it is exported");
    let service = &files[0].text;
    for expected in [
        "driver = \"docker\"\n      user = \"www-data:0\"",
        "image = \"shop:2\"\n        entrypoint = []\n        command = \"/srv/web\"",
        "cap_drop = [\"all\"]\n        cap_add = [\"net_bind_service\"]",
        "mount {\n          type = \"tmpfs\"\n          target = \"/tmp\"",
        "ulimit {\n          nofile = \"1024:2048\"",
    ] {
        assert!(service.contains(expected), "{expected}\nis not in\n{service}");
    }
    let losses: Vec<String> = losses.iter().map(ToString::to_string).collect();
    assert!(!losses.iter().any(|loss| loss.contains("limit_nofile")), "{losses:#?}");
    assert!(losses.iter().any(|loss| loss.contains("Nomad always has a limit: 300 MB")), "{losses:#?}");
}
