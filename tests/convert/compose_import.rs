//! Configurations that are made of compose files.

use crate::imported::{assert_hostile_is_refused, import, refusal, run_with};
use std::time::Duration;
use supervisord::model::config::{Autorestart, NO_LIMIT};
use supervisord::model::probe::HealthAction;

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
            &["a.container_name = x"],
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
        (
            "services:\n  a: {command: x, mem_limit: 0, cpus: 0, pids_limit: -1, cpuset: [0]}\n",
            &["a"],
            &["a.cpuset = 0: it is a list"],
        ),
        // Values that nothing can have, and what means the default to the engine.
        (
            "services:\n  a: {command: x, cpuset: '0-', oom_score_adj: 5000, ulimits: {nofile: {soft: 20, hard: 10}}, pids_limit: 9999999999}\n",
            &["a"],
            &["a.cpuset = 0-", "a.oom_score_adj = 5000", "a.ulimits.nofile", "a.pids_limit = 9999999999"],
        ),
        (
            "services:\n  a: {command: x, healthcheck: {test: 'true', interval: 0s, timeout: 0s, retries: 0, start_period: 0s}}\n  \
             b: {command: x, healthcheck: {test: 'true', interval: 1us, retries: 9999999}}\n",
            &["a", "b"],
            &["b.healthcheck.interval = 1us", "b.healthcheck.retries = 9999999"],
        ),
        (
            "services:\n  a: {command: x, secrets: [.a]}\nsecrets:\n  .a: {file: /x}\n",
            &["a"],
            &["a.secrets = .a"],
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
        // What stands deeper and is not read.
        (
            "services:\n  a:\n    command: x\n    healthcheck: {test: 'true', nope: 1, x-y: 2}\n    depends_on: {b: {condition: service_started, odd: 3}}\n    \
          logging: {driver: local, more: 4}\n    deploy: {resources: {limits: {cpus: '1', devices: 5}, what: 6}, restart_policy: {condition: any, why: 7}}\n    \
          env_file: [{path: /a.env, who: 8}]\n  b: {command: y}\n",
            &["a", "b"],
            &[
                "a.healthcheck.nope = 1",
                "a.depends_on.b.odd = 3",
                "a.logging.more = 4",
                "a.deploy.resources.limits.devices = 5",
                "a.deploy.resources.what = 6",
                "a.deploy.restart_policy.why = 7",
                "a.env_file.who = 8",
                "a.env_file = {path: /a.env, who: 8}: no $ is expanded",
            ],
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
        (
            "services: {a: {command: \"\\uFDD0HOME\\uFDD1\"}}\n",
            "c.yml: it has characters that no text has (U+FDD0 or U+FDD1)",
        ),
        (
            "services: {\"\\uFDD0\": {command: x}}\n",
            "c.yml: it has characters that no text has (U+FDD0 or U+FDD1)",
        ),
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
        ("services: {a: {image: x}}\n", "there is no program in it: services.a = x: it is left out"),
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
