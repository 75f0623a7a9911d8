//! Compose files that are made of configurations, and what comes back from them.

use crate::imported::{Result, import};
use crate::samples::{assert_all_export, export, of_text};
use crate::validators::assert_right;
use serde_json::Value;
use supervisord::model::config::Config;

#[test]
fn every_configuration_makes_a_file_that_compose_reads() {
    assert_all_export("compose", Some("registry.example/app:1"));
    assert_all_export("compose", None);
}

const ALL: &str = r#"[supervisord]
user=nobody
[program:web]
command=/srv/web --price '$5' "a b"
numprocs=3
process_name=%(program_name)s_%(process_num)d
environment=A="yes",B="${HOME}",C="0o7"
environment_file=/etc/web.env, -/etc/more.env
credential.token=/etc/token
depends_on=db:healthy, migrate:done, cache?
depends_restart=restart
health=http://localhost:80/ok status=200,204
health_start_period=90s
stopsignal=QUIT
stopwaitsecs=30
limit_nofile=1024:2048
limit_core=unlimited
capabilities=NET_BIND_SERVICE, CHOWN
no_new_privs=true
memory_limit=64MB
cpu_max=150%%
cpu_affinity=0-2,5
pids_max=50
oom_score_adj=-5
private_tmp=true
nice=3
priority=5
stdout_logfile=/var/log/web.log
stdout_logfile_maxbytes=10MB
stderr_logfile_maxbytes=10MB
[program:db]
command=/srv/db
user=1000:1001
supplementary_groups=1234
health=exec:/srv/healthy -q
autorestart=true
private_network=true
[program:migrate]
command=/srv/migrate
type=oneshot
startretries=0
[program:cache]
command=/srv/cache
autostart=false
autorestart=false
ready=unix:/run/cache.sock
stdout_logfile=NONE
stderr_logfile=NONE
[program:tool]
command=/srv/tool
autostart=false
startretries=-1
"#;

#[test]
fn a_service_says_what_it_can() {
    let (files, losses) = export("compose", &of_text(ALL), Some("app:1")).expect("it is exported");
    let [file] = files.as_slice() else { panic!("{files:?}") };
    assert_eq!(file.path, "compose.yaml");
    // Files of variables must be there to be read.
    let there = tempfile::NamedTempFile::new().expect("a temporary file");
    let text = file.text.replace("/etc/web.env", &there.path().to_string_lossy());
    assert_right("compose", &[("all".to_string(), text)]);
    for expected in [
        "    entrypoint: []\n    command:\n      - /srv/web\n      - \"--price\"\n      - \"$$5\"\n      - \"a b\"\n    user: nobody\n",
        "      A: \"yes\"\n      B: \"$${HOME}\"\n      C: \"0o7\"\n      CREDENTIALS_DIRECTORY: /run/secrets\n",
        "      - path: /etc/web.env\n      - path: /etc/more.env\n        required: false\n",
        "      - source: token\n        target: token\n",
        "    restart: \"on-failure:3\"\n    deploy:\n      replicas: 3\n",
        "      db:\n        condition: service_healthy\n        restart: true\n",
        "      migrate:\n        condition: service_completed_successfully\n",
        "      cache:\n        condition: service_healthy\n        restart: true\n        required: false\n",
        "    stop_signal: SIGQUIT\n    stop_grace_period: \"30s\"\n    ulimits:\n      core: -1\n      nofile:\n        soft: 1024\n        hard: 2048\n",
        "    cap_drop:\n      - ALL\n    cap_add:\n      - CHOWN\n      - NET_BIND_SERVICE\n    security_opt:\n      - \"no-new-privileges:true\"\n",
        "    mem_limit: 67108864\n    cpus: \"1.5\"\n    cpuset: \"0-2,5\"\n    pids_limit: 50\n    oom_score_adj: -5\n",
        "    tmpfs:\n      - /tmp\n      - /var/tmp\n",
        "        max-size: \"10m\"\n        max-file: \"11\"\n",
        "    user: \"1000:1001\"\n    group_add:\n      - \"1234\"\n",
        "        - CMD\n        - /srv/healthy\n        - \"-q\"\n      interval: \"10s\"\n      timeout: \"3s\"\n      retries: 3\n      start_period: \"0s\"\n",
        "    restart: always\n",
        "    network_mode: none\n",
        "        - nc\n        - \"-zU\"\n        - /run/cache.sock\n      start_period: \"60s\"\n      start_interval: \"1s\"\n",
        "    profiles:\n      - manual\n",
        "      driver: none\n",
        "secrets:\n  token:\n    file: /etc/token\n",
    ] {
        assert!(file.text.contains(expected), "{expected}\nis not in\n{}", file.text);
    }
    let losses: Vec<String> = losses.iter().map(ToString::to_string).collect();
    for expected in [
        "[program:web] priority = 5: services start at once",
        "[program:web] nice = 3: run the command through nice(1)",
        "[program:web] stdout_logfile = /var/log/web.log: the engine keeps the output",
        "[program:web] memory_limit = 64MB: the kernel kills",
        "the image must have curl and sh",
        "[program:web] health_action: the engine only shows",
        "[program:cache] ready = unix:/run/cache.sock: compose asks as long as the container runs",
        "image = app:1: it must hold the commands",
        "environment_file = /etc/web.env, -/etc/more.env: compose expands $ in it",
    ] {
        assert!(losses.iter().any(|loss| loss.contains(expected)), "{expected} is not in {losses:#?}");
    }
}

#[test]
fn an_image_that_nobody_named_is_a_loss() {
    let (files, losses) = export("compose", &of_text(ALL), None).expect("it is exported");
    assert!(files[0].text.contains("image: IMAGE\n"));
    assert!(losses.iter().any(|loss| loss.what == "--image"));
}

#[test]
fn processes_that_differ_are_services_of_their_own() {
    let text = "[supervisord]\n[program:w]\ncommand=/w %(process_num)d\nnumprocs=2\nprocess_name=w%(process_num)d\n\
                [group:g]\nprograms=p\n[program:p]\ncommand=/p\n[program:odd+name]\ncommand=/o\n\
                [fcgi-program:f]\ncommand=/f\nsocket=tcp://localhost:9\n[eventlistener:e]\ncommand=/e\nevents=TICK_5\n\
                [program:bad]\ncommand=\"/x\n";
    let (files, losses) = export("compose", &of_text(text), Some("x")).expect("it is exported");
    let lines = files[0].text.lines();
    let services: Vec<&str> =
        lines.filter(|line| line.starts_with("  ") && !line.starts_with("   ")).collect();
    assert_eq!(services, ["  p:", "  odd_name:", "  w0:", "  w1:"], "{}", files[0].text);
    let losses: Vec<String> = losses.iter().map(ToString::to_string).collect();
    for expected in [
        "[program:odd+name]: odd+name is called odd_name there",
        "[fcgi-program:f]: it is left out",
        "[eventlistener:e]: event listeners live on",
        "[program:bad]: it is left out: its command cannot be split into words: No closing quotation",
    ] {
        assert!(losses.iter().any(|loss| loss.contains(expected)), "{expected} is not in {losses:#?}");
    }
}

/// What one program can say with each key, besides its command.
const SETTINGS: [(&str, &str); 49] = [
    ("command", "/bin/x \"$5\" \"a \"\"# b\" 50%% \"${HOME}\""),
    ("numprocs", "3\nprocess_name=%(program_name)s_%(process_num)02d"),
    ("directory", "/tmp/$x"),
    ("umask", "027"),
    ("priority", "5"),
    ("autostart", "false"),
    ("autorestart", "true"),
    ("autorestart", "false"),
    ("startsecs", "7"),
    ("startretries", "5"),
    ("startretries", "-1"),
    ("exitcodes", "0,2"),
    ("stopsignal", "INT"),
    ("stopwaitsecs", "25"),
    ("stopasgroup", "true"),
    ("user", "1000:1001"),
    ("redirect_stderr", "true"),
    ("type", "oneshot\n[program:z]\ncommand=/bin/z\ndepends_on=x:done"),
    ("max_runtime", "60"),
    ("restart_delay", "5"),
    ("depends_on", "other"),
    ("depends_on", "other:healthy?\ndepends_restart=restart"),
    ("ready", "tcp:80"),
    ("health", "exec:/bin/true \"a b\" \"$x\"\nhealth_action=none"),
    ("health_interval", "1500ms\nhealth=exec:/bin/true\nhealth_action=none"),
    ("health_timeout", "5s\nhealth=exec:/bin/true\nhealth_action=none"),
    ("health_retries", "7\nhealth=exec:/bin/true\nhealth_action=none"),
    ("health_start_period", "90s\nhealth=exec:/bin/true\nhealth_action=none"),
    ("stdout_logfile", "NONE\nstderr_logfile=NONE"),
    ("stdout_logfile_maxbytes", "20MB\nstderr_logfile_maxbytes=20MB"),
    ("stdout_logfile_backups", "3\nstderr_logfile_backups=3"),
    ("environment", "A=\"$B ${C:-x}\",D=\"50%%\",E=\"yes\""),
    ("environment_file", "/tmp/a.env, -/tmp/b.env"),
    ("credential.token", "/tmp/token"),
    ("supplementary_groups", "1234, 5678"),
    ("limit_nofile", "1024:2048"),
    ("limit_core", "unlimited"),
    ("limit_stack", "8MB"),
    ("nice", "5"),
    ("cpu_affinity", "0"),
    ("oom_score_adj", "500"),
    ("memory_high", "512MB"),
    ("memory_max", "512MB"),
    ("cpu_max", "150%%"),
    ("pids_max", "100"),
    ("no_new_privs", "true"),
    ("capabilities", "NET_BIND_SERVICE, CHOWN"),
    ("private_tmp", "true"),
    ("private_network", "true"),
];

/// The keys of which a compose file says all, in both directions.
const BOTH: [&str; 35] = [
    "command",
    "numprocs",
    "directory",
    "autostart",
    "autorestart",
    "startretries",
    "stopsignal",
    "stopwaitsecs",
    "user",
    "type",
    "depends_on",
    "health",
    "health_interval",
    "health_timeout",
    "health_retries",
    "health_start_period",
    "stdout_logfile",
    "stdout_logfile_maxbytes",
    "stdout_logfile_backups",
    "environment",
    "environment_file",
    "credential.token",
    "supplementary_groups",
    "limit_nofile",
    "limit_core",
    "limit_stack",
    "cpu_affinity",
    "oom_score_adj",
    "memory_max",
    "cpu_max",
    "pids_max",
    "no_new_privs",
    "capabilities",
    "private_tmp",
    "private_network",
];

fn config_with(setting: &str) -> String {
    let command = if setting.starts_with("command=") { "" } else { "command=/bin/x\n" };
    format!(
        "[supervisord]\n[program:x]\n{command}{setting}\n[program:other]\ncommand=/bin/y\nhealth=exec:/bin/true\n"
    )
}

/// The processes of the program, as values. What comes from the place of a file is left out.
fn processes(config: &Config) -> Vec<Value> {
    let all = config.groups.iter().flat_map(|group| &group.processes);
    let ours = all.filter(|process| &*process.program == "x");
    ours.map(|process| serde_json::to_value(&**process).expect("serializable")).collect()
}

/// The places in values where two differ.
fn differences(one: &Value, other: &Value, place: &str, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(first), Value::Object(second)) => {
            for key in first.keys().chain(second.keys()) {
                differences(&one[key], &other[key], &format!("{place}/{key}"), found);
            }
        }
        _ if one != other => found.push(place.to_string()),
        _ => {}
    }
}

fn back(text: &str) -> Result {
    let (files, _) = export("compose", &of_text(text), Some("x")).expect("it is exported");
    import("compose", "compose.yaml", &files[0].text, &[])
}

#[test]
fn what_both_can_say_comes_back() {
    let plain = processes(&of_text(&config_with("")).source.config);
    let (mut both, mut not): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for (key, value) in SETTINGS {
        let text = config_with(&format!("{key}={value}"));
        let ours = processes(&of_text(&text).source.config);
        let theirs = processes(&back(&text).config);
        let mut places = Vec::new();
        differences(&ours[0], &plain[0], "", &mut places);
        assert!(!places.is_empty(), "{key}={value} changes nothing");
        let is_same = ours.len() == theirs.len()
            && places.iter().all(|place| ours[0].pointer(place) == theirs[0].pointer(place));
        if is_same { both.push(key) } else { not.push(key) }
    }
    both.dedup();
    assert_eq!(both, BOTH, "these do not come back: {not:?}");
    assert!(not.iter().all(|key| !BOTH.contains(key)), "{not:?}");
}

#[test]
fn all_that_is_exported_can_be_imported_and_exported_again() {
    let found = back(ALL);
    assert_eq!(found.counts()["web"], 3);
    let dependencies = &found.process("web").dependencies.depends_on;
    let shown: Vec<String> = dependencies.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["db:healthy", "migrate:done", "cache:healthy?"]);
    let again = back(&found.text);
    assert_eq!(processes(&found.config), processes(&again.config));
}
