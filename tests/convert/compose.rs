//! Compose files, out and in.

use crate::imported::{Result, assert_hostile_is_refused, import, refusal, run_with};
use crate::samples::{assert_all_export, export, of_text};
use crate::validators::assert_right;
use serde_json::Value;
use std::time::Duration;
use supervisord::model::config::{Autorestart, Config, NO_LIMIT};
use supervisord::model::probe::HealthAction;

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

const SHOP: &str = r#"
name: shop
x-app: &app
  image: shop:1
  restart: unless-stopped
  environment: &env
    RAILS_ENV: production
    DATABASE_URL: postgres://${DB_USER:-shop}:${DB_PASSWORD}@localhost/shop
  logging: {driver: json-file, options: {max-size: 10m, max-file: "3"}}
  stop_grace_period: 1m30s

services:
  web:
    <<: *app
    command: bundle exec puma -p 3000 -t "1:5"
    environment:
      <<: *env
      PRICE: "$$5"
    ports: ["3000:3000"]
    depends_on:
      migrate: {condition: service_completed_successfully}
      queue: {condition: service_healthy, restart: true}
      db: {condition: service_healthy}
      mail: {condition: service_started, required: false}
    healthcheck:
      test: ["CMD", "curl", "-f", "http://localhost:3000/up"]
      interval: 30s
      timeout: 5s
      retries: 5
      start_period: 20s
    deploy:
      replicas: 2
      resources: {limits: {cpus: "1.5", memory: 512M}, reservations: {memory: 100M}}
    user: "1000:1000"
  migrate:
    <<: *app
    restart: "no"
    command: ["bin/rails", "db:migrate"]
  queue:
    <<: *app
    entrypoint: ["/bin/sh", "-c"]
    command: ["exec redis-server --port $$PORT"]
    healthcheck: {test: "redis-cli ping | grep PONG"}
    ulimits: {nofile: {soft: 1024, hard: 4096}, nproc: 100}
    cap_drop: [ALL]
    cap_add: [NET_BIND_SERVICE]
    security_opt: ["no-new-privileges:true"]
    tmpfs: [/tmp, /var/tmp]
  mail:
    extends: {service: queue}
    command: ["exec mailcatcher"]
    profiles: [dev]
    healthcheck: {test: ["NONE"]}
    env_file: [.env, {path: mail.env, required: false}]
    stop_signal: SIGINT
  db:
    image: postgres:16
    volumes: [data:/var/lib/postgresql/data]
volumes:
  data: {}
"#;

#[test]
fn a_shop_is_imported() {
    let found = import("compose", "compose.yaml", SHOP, &[("DB_PASSWORD", "p%w \"x\"")]);
    assert_eq!(
        found.counts().into_iter().collect::<Vec<_>>(),
        [("mail".to_string(), 1), ("migrate".into(), 1), ("queue".into(), 1), ("web".into(), 2)]
    );
    let web = found.process("web");
    assert_eq!(web.command, "bundle exec puma -p 3000 -t 1:5");
    assert_eq!(web.environment["RAILS_ENV"], "production");
    assert_eq!(web.environment["PRICE"], "$5");
    let depends: Vec<String> = web.dependencies.depends_on.iter().map(ToString::to_string).collect();
    assert_eq!(depends, ["migrate:done", "queue:healthy", "mail?"]);
    assert_eq!((web.autorestart, web.startretries), (Autorestart::Always, NO_LIMIT));
    assert_eq!(web.stopwaitsecs, Duration::from_secs(90));
    assert_eq!((web.stdout.maxbytes, web.stdout.backups, web.stderr.backups), (10 << 20, 2, 2));
    let health = web.health_check.as_ref().expect("checked");
    assert_eq!(health.health.to_string(), "exec:curl -f http://localhost:3000/up");
    assert_eq!(
        (
            health.health_interval.as_secs(),
            health.health_timeout.as_secs(),
            health.health_retries,
            health.health_start_period.as_secs()
        ),
        (30, 5, 5, 20)
    );
    assert_eq!(health.health_action, HealthAction::None);
    assert_eq!(web.resources.cgroup.memory_max, Some(512 << 20));
    assert_eq!(web.resources.cgroup.cpu_max, Some(150));
    let migrate = found.process("migrate");
    assert!(migrate.is_oneshot() && migrate.startretries == 0);
    let queue = found.process("queue");
    assert_eq!(queue.command, "/bin/sh -c \"exec redis-server --port $PORT\"");
    assert_eq!(
        queue.health_check.as_ref().expect("checked").health.to_string(),
        "exec:/bin/sh -c \"redis-cli ping | grep PONG\""
    );
    assert!(queue.confinement.no_new_privs && queue.confinement.private_tmp.value);
    let mail = found.process("mail");
    assert_eq!(mail.command, "/bin/sh -c \"exec mailcatcher\"");
    assert!(!mail.autostart && mail.health_check.is_none());
    assert_eq!(mail.environment_sources.environment_file.len(), 2);
    found.assert_losses(&[
        "volumes = {data: {}}: programs see this machine's files",
        "services.db = postgres:16: it is left out",
        "services.web.environment.DATABASE_URL = ${DB_USER:-shop}: the default is taken",
        "services.migrate.environment.DATABASE_URL = ${DB_USER:-shop}",
        "services.queue.environment.DATABASE_URL = ${DB_USER:-shop}",
        "services.mail.environment.DATABASE_URL = ${DB_USER:-shop}",
        "environment.DATABASE_URL = ${DB_PASSWORD}: it becomes %(ENV_DB_PASSWORD)s",
        ".image = shop:1: there is no container",
        "services.web.ports = 3000:3000: the program listens on this machine itself",
        "services.web.depends_on.db = {condition: service_healthy}: that service is left out",
        "services.web.deploy.resources.reservations = {memory: 100M}: nothing is reserved",
        ".restart = unless-stopped: a program that somebody stopped starts again",
        "services.mail.profiles = dev: there are no profiles",
        "services.mail.env_file",
    ]);
}

#[test]
fn realistic_files_are_imported() {
    for (text, programs, losses) in [
        // The least there is.
        ("services:\n  a:\n    command: sleep 5\n", &["a"][..], &[][..]),
        (
            "version: '3'\nservices:\n  a: {command: [sleep, '5'], restart: 'on-failure:3', container_name: x, init: true}\n",
            &["a"],
            &[],
        ),
        // Lists and mappings.
        (
            "services:\n  a:\n    command: x\n    environment:\n      - A=1=2\n      - B\n      - C=\n    depends_on: [b]\n  b:\n    command: y\n",
            &["a", "b"],
            &[],
        ),
        // Things of a container.
        (
            "services:\n  a:\n    build: .\n    command: x\n    volumes: ['./a:/a']\n    networks: [n]\n    labels: {l: m}\n    expose: ['80']\n    \
          read_only: true\n    tty: true\n    hostname: h\n    privileged: true\n    network_mode: host\nnetworks: {n: {}}\n",
            &["a"],
            &[
                "networks = {n: {}}",
                "a.build",
                "a.volumes",
                "a.networks",
                "a.labels",
                "a.expose",
                "a.read_only",
                "a.tty",
                "a.hostname",
            ],
        ),
        // Old ways to limit.
        (
            "services:\n  a: {command: x, mem_limit: 1.5g, cpus: 0.5, pids_limit: 10, cpuset: '0', oom_score_adj: 5, mem_reservation: 1m, cpu_shares: 5}\n",
            &["a"],
            &["a.mem_reservation", "a.cpu_shares"],
        ),
        // Swarm.
        (
            "services:\n  a:\n    command: x\n    deploy:\n      mode: replicated\n      replicas: 0\n      restart_policy: {condition: on-failure, delay: 5s, max_attempts: 3, window: 120s}\n",
            &["a"],
            &["a.deploy.mode", "a.deploy.replicas = 0", "a.deploy.restart_policy.window"],
        ),
        // Secrets.
        (
            "services:\n  a:\n    command: x\n    secrets: [token, {source: key, target: /run/secrets/k.pem}, gone]\nsecrets:\n  token: {file: /etc/token}\n  key: {file: ./key.pem}\n  \
          gone: {environment: GONE}\n",
            &["a"],
            &[
                "a.secrets = token: the program finds it at $CREDENTIALS_DIRECTORY/token",
                "a.secrets = key",
                "a.secrets = gone: it is no file",
                "./key.pem: it is relative",
            ],
        ),
        // Extending, with words that replace words.
        (
            "services:\n  base:\n    command: [x, y]\n    environment: {A: 1}\n    cap_add: [SYS_TIME]\n  a:\n    extends: base\n    command: [z]\n    environment: [B=2]\n  \
          c:\n    extends: {file: other.yml, service: q}\n    command: q\n",
            &["a", "base", "c"],
            &["services.c.extends", "services.base.cap_add = SYS_TIME", "services.a.cap_add = SYS_TIME"],
        ),
        // Conditions that cannot be had.
        (
            "services:\n  a:\n    command: x\n    depends_on:\n      job: {condition: service_completed_successfully}\n      nope: {}\n      plain: {condition: service_healthy}\n  \
          b:\n    command: y\n    depends_on: [job]\n  job:\n    command: z\n    restart: always\n    healthcheck: {test: 'true'}\n  plain: {command: p}\n",
            &["a", "b", "job", "plain"],
            &[
                "a.depends_on.nope = {}: there is no such service",
                "a.depends_on.plain = service_healthy: its health check stands in its image",
                "b.depends_on.job = service_started: it is a job",
                "job.restart = always: others wait for its end",
                "job.healthcheck",
            ],
        ),
        // Odd values.
        (
            "services:\n  a b/c: {command: x, stop_signal: NOPE, stop_grace_period: soon, scale: many, cpus: lots, ulimits: {rttime: 5, core: x}, restart: sometimes, user: '0'}\n",
            &["a_b_c"],
            &[
                "stop_signal = NOPE",
                "stop_grace_period = soon",
                "scale = many",
                "cpus = lots",
                "ulimits.rttime",
                "ulimits.core",
                "restart = sometimes",
            ],
        ),
        // Logging.
        (
            "services:\n  a: {command: x, logging: {driver: none}}\n  b: {command: x, logging: {driver: syslog, options: {tag: t}}}\n  c: {command: x, logging: {driver: gelf}}\n",
            &["a", "b", "c"],
            &["b.logging.options.tag", "c.logging.driver = gelf"],
        ),
        // Variables in all places.
        (
            "services:\n  a:\n    command: [x, \"$A\", \"${B:-b c}\", \"${C:+c}\", \"$$D\"]\n    working_dir: ${E:?must}\n    environment: {F: \"1 ${A} ; 2\"}\n",
            &["a"],
            &["= ${A}", "= ${B:-b c}", "= ${C:+c}", "= ${E}"],
        ),
    ] {
        let found = import("compose", "compose.yml", text, &[("A", "a a"), ("E", "/tmp")]);
        assert_eq!(found.counts().keys().map(String::as_str).collect::<Vec<_>>(), programs, "{text}");
        found.assert_losses(losses);
    }
}

#[test]
fn variables_reach_the_program() {
    let text =
        "services:\n  a:\n    command: [x, \"$A\", \"${B:-b c}\"]\n    environment: {F: \"1 ${A} ; 2%\"}\n";
    let found = import("compose", "compose.yml", text, &[("A", "a  a")]);
    let a = found.process("a");
    assert_eq!(a.command, "x \"a  a\" \"b c\"");
    assert_eq!(a.environment["F"], "1 a  a ; 2%");
}

#[test]
fn what_is_no_compose_file_is_refused() {
    for (text, expected) in [
        ("a: b\n", "c.yml: this is no compose file: it has no mapping that is called services"),
        ("services: [a]\n", "c.yml: this is no compose file: it has no mapping that is called services"),
        ("services: {a: [b]}\n", "c.yml: services.a is a mapping of settings, and this is a list"),
        (
            "services: {a: {command: \"'x\"}}\n",
            "c.yml: services.a.command: \"'x\" cannot be split into words: No closing quotation",
        ),
        (
            "services: {a: {command: {x: y}}}\n",
            "c.yml: services.a.command: a command is a text or a list of words, and this is a mapping",
        ),
        (
            "services: {a: {extends: b}, b: {extends: a}}\n",
            "c.yml: services.b.extends: services extend each other in a circle",
        ),
        (
            "services: {a: {extends: nope}}\n",
            "c.yml: there is no service that is called nope, which another one extends",
        ),
        (
            "services: {a: {command: x, healthcheck: {test: [x]}}}\n",
            "c.yml: services.a.healthcheck.test: it begins with CMD, CMD-SHELL or NONE",
        ),
        (
            "services: {a: {command: x, user: '${'}}\n",
            "c.yml: services.a.user: a ${ does not end in \"${\": write $$ for a dollar sign",
        ),
        ("services: {a: {image: x}}\n", "there is no program in it"),
        (
            "services: {a: {command: x}}\n---\nx: y\n",
            "c.yml: line 2: a second document begins here; put it into a file of its own",
        ),
    ] {
        let error = refusal("compose", "c.yml", text);
        assert!(error.starts_with(expected), "{error}");
    }
    assert_hostile_is_refused("compose", "c.yml");
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(", "));
    }
    assert!(refusal("compose", "c.yml", &bomb).contains("more than 100000 values"));
    for bytes in [&b"\xff\xfe\x00"[..], &vec![b' '; 1 << 26]] {
        let (status, said) = run_with("compose", "compose.yml", bytes);
        assert_eq!(status, Some(1), "{said}");
        assert!(
            said.starts_with("Error: ") && said.lines().count() == 1 && said.contains("compose.yml"),
            "{said}"
        );
    }
}
