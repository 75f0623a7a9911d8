//! Ecosystem files of PM2.

use crate::imported::{assert_hostile_is_refused, import, refusal};
use std::path::Path;
use std::time::Duration;
use supervisord::model::config::{Autorestart, ChildLog, StopScope, Timestamps};
use supervisord::model::restart::Backoff;
use supervisord::model::signal::Signal;

#[test]
fn every_key_has_its_place() {
    let text = r#"
// The shop.
module.exports = {
  apps: [{
    name: 'api',
    script: './server.js',
    interpreter_args: '--max-old-space-size=512 --trace-warnings',
    args: ['--color', "a b"],
    cwd: '/tmp',
    instances: 2,
    exec_mode: 'cluster',
    env: { NODE_ENV: 'development', PORT: 3000, DEBUG: true },
    env_production: { NODE_ENV: 'production' },
    watch: true,
    max_memory_restart: '300M',
    max_restarts: 10,
    min_uptime: '5s',
    exp_backoff_restart_delay: 100,
    kill_timeout: 3000,
    wait_ready: true,
    listen_timeout: 8000,
    cron_restart: '0 3 * * *',
    out_file: '/tmp/api.out.log',
    error_file: './logs/api.err.log',
    log_date_format: 'YYYY-MM-DD HH:mm:ss',
    stop_exit_codes: [0, 3],
    uid: 1000, gid: 1000,
    vizion: false,
    shiny: 1,
  }, {
    name: 'job runner',
    script: 'npm',
    args: 'run "the job"',
    autorestart: false,
    merge_logs: true,
    log_file: '/tmp/all.log',
    time: true,
  }],
  deploy: { production: { user: 'x' } },
};
"#;
    let found = import("pm2", "ecosystem.config.js", text, &[]);
    found.assert_losses(&[
        "api exec_mode = cluster: processes do not share a port",
        "api env_production = {NODE_ENV: production}: it counts with pm2 start --env only",
        "api watch = true: nothing watches files",
        "api wait_ready = true: process.send('ready') is heard by PM2 only",
        "api listen_timeout = 8000: write ready",
        "api cron_restart = 0 3 * * *: nothing restarts by the clock",
        "api shiny = 1: nothing here means that",
        "apps[1].name = job runner: it is called job_runner here",
        "deploy = {production: {user: x}}: nothing here deploys",
    ]);
    let api = found.process("api");
    assert_eq!(api.command, "node --max-old-space-size=512 --trace-warnings ./server.js --color \"a b\"");
    assert_eq!(found.counts()["api"], 2);
    assert_eq!(api.directory.as_deref(), Some(Path::new("/tmp")));
    let environment: Vec<String> =
        api.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(environment, ["DEBUG=true", "NODE_APP_INSTANCE=0", "NODE_ENV=development", "PORT=3000"]);
    assert_eq!(api.memory_limit.map(|limit| limit.bytes), Some(300 << 20));
    assert_eq!(
        (api.startretries, api.startsecs, api.stopwaitsecs),
        (10, Duration::from_secs(5), Duration::from_secs(3))
    );
    assert_eq!(api.restart.restart_delay, Some(Duration::from_millis(100)));
    assert_eq!(api.restart.restart_backoff, Backoff::Exponential);
    assert_eq!(api.restart.stay_down_exitcodes, [0, 3]);
    assert_eq!((api.stopsignal, api.stop_scope), (Signal::INT, StopScope::Tree));
    assert_eq!(api.user.as_ref().map(|user| (user.uid, user.gid)), Some((1000, Some(1000))));
    assert_eq!(api.stdout.logfile, ChildLog::File("/tmp/api.out-0.log".into()));
    assert_eq!(api.stdout.timestamps, Timestamps::Format("%Y-%m-%d %H:%M:%S".into()));
    let job = found.process("job_runner");
    assert_eq!(job.command, "npm run \"the job\"");
    assert_eq!((job.autorestart, job.startsecs), (Autorestart::Never, Duration::ZERO));
    assert_eq!((job.redirect_stderr, &job.stdout.logfile), (true, &ChildLog::File("/tmp/all.log".into())));
    assert_eq!(job.stdout.timestamps, Timestamps::Default);
}

#[test]
fn realistic_files_are_imported() {
    for (name, text, programs, losses) in [
        ("ecosystem.json", r#"{"apps": [{"name": "web", "script": "app.js"}]}"#, &["web"][..], &[][..]),
        (
            "processes.json",
            r#"[{"script": "worker.py", "interpreter": "python3", "instances": "max"}]"#,
            &["worker"],
            &["instances = max: it means the number of processors"],
        ),
        ("slow.json", r#"{"script": "x", "exp_backoff_restart_delay": 20000}"#, &["x"], &[]),
        ("app.json", r#"{"script": "bin/server", "name": "x", "autorestart": true}"#, &["x"], &[]),
        ("eco.json5", "{apps: {script: 'a.sh', /* c */ restart_delay: 4000, treekill: true,},}", &["a"], &[]),
        (
            "eco.yml",
            "apps:\n  - script: ./api.js\n    name: api\n    instances: 4\n    env:\n      A: yes\n    watch: false\n",
            &["api"],
            &[],
        ),
        (
            "eco.yaml",
            "apps:\n- name: w\n  script: serve\n  env: {PM2_SERVE_PATH: '.', PM2_SERVE_PORT: 8080}\n  namespace: front\n",
            &["w"],
            &["w namespace = front: write a [group:NAME]"],
        ),
        (
            "ecosystem.config.cjs",
            "/** @type {x} */\n'use strict';\nmodule.exports = { apps: [{ name: \"n\", script: 'npm start', env: {} }] }",
            &["n"],
            &[],
        ),
        (
            "two.json",
            r#"{"apps": [{"name": "a", "script": "x.js"}, {"name": "a", "script": "y.js", "disable_logs": true}]}"#,
            &["a", "a_2"],
            &["apps[1].name = a: it is called a_2 here"],
        ),
        (
            "env.json",
            r#"{"apps": [{"name": "a", "script": "x.js", "env": {"O": {"a": 1}, "P": "50%"}, "env_file": ".env"}]}"#,
            &["a"],
            &["env.O = {a: 1}: this is no variable"],
        ),
        (
            "odd.json",
            r#"{"apps": [{"name": "a", "script": "x.js", "max_memory_restart": "lots", "kill_timeout": "soon", "gid": 5}]}"#,
            &["a"],
            &["max_memory_restart = lots", "kill_timeout = soon", "a gid = 5: a group needs a user"],
        ),
        (
            "sh.json",
            r#"{"apps": [{"name": "a", "script": "while true; do date; sleep 1; done", "log_date_format": "x", "stop_exit_codes": 300}]}"#,
            &["a"],
            &["log_date_format = x", "stop_exit_codes = 300"],
        ),
        (
            "logs.json",
            r#"{"apps": [{"name": "a", "script": "x.js", "instances": 2, "out_file": "/dev/null", "error_file": "/tmp/e.log", "log_file": "/tmp/c.log", "merge_logs": true}]}"#,
            &["a"],
            &[],
        ),
    ] {
        let found = import("pm2", name, text, &[]);
        assert_eq!(found.counts().keys().map(String::as_str).collect::<Vec<_>>(), programs, "{name}");
        found.assert_losses(losses);
    }
}

#[test]
fn what_must_be_run_is_refused_with_what_to_run() {
    for text in [
        "const name = 'x';\nmodule.exports = { apps: [{ name }] };",
        "module.exports = { apps: [{ name: `x`, script: 'y' }] };",
        "module.exports = { apps: [{ name: process.env.NAME, script: 'y' }] };",
        "module.exports = { apps: [1, 2].map(n => ({})) };",
    ] {
        let error = refusal("pm2", "ecosystem.config.js", text);
        assert!(error.starts_with("ecosystem.config.js: "), "{error}");
        assert!(error.contains("node -e 'console.log(JSON.stringify(require("), "{error}");
    }
    for (text, expected) in [
        ("{\"apps\": [{\"name\": \"x\"}]}", "x.json: apps[0] has no script"),
        ("{\"apps\": [5]}", "x.json: apps[0] is a mapping of settings, and this is a text"),
        ("{\"a\": 1}", "x.json: it names no apps: expected { apps: [ { name, script, … } ] }"),
        ("{\"apps\": []}", "there is no program in it"),
        (
            "{\"apps\": [{\"script\": \"x.js\", \"args\": \"'a\"}]}",
            "x.json: args of x cannot be split into words: No closing quotation",
        ),
    ] {
        assert_eq!(refusal("pm2", "x.json", text), expected);
    }
    for name in ["x.json", "x.js", "x.yml"] {
        assert_hostile_is_refused("pm2", name);
    }
}
