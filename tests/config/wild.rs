//! Configurations as people write them, running: what the programs get is what their authors meant.

use crate::support::{Daemon, LONG, Side, Start, text, until};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use supervisord::model::state::ProcessState::Running;

/// Stands in for php, celery, nginx and the rest: writes down its arguments and its environment, says hello, and
/// stays.
const STAND_IN: &str = "#!/bin/sh
{ printf '%s\\n' \"$@\"; echo --; env; } > \"$RECORD.new\" && mv \"$RECORD.new\" \"$RECORD\"
echo \"hello from $SUPERVISOR_PROCESS_NAME\"
exec sleep 1000
";

/// Starts a daemon in whose directory `stand-in` and the other files lie.
#[track_caller]
fn start(conf: &str, files: &[(&str, &str)]) -> Daemon {
    let mut daemon = Start::new(Side::under_test(), conf).prepare();
    for (name, text) in [&[("stand-in", STAND_IN)], files].concat() {
        let path = daemon.path(name);
        fs::create_dir_all(path.parent().expect("a file has a parent")).expect("created");
        fs::write(&path, text).expect("written");
    }
    fs::set_permissions(daemon.path("stand-in"), fs::Permissions::from_mode(0o755)).expect("changed");
    daemon.start();
    daemon
}

/// The arguments a stand-in got.
#[track_caller]
fn arguments(daemon: &Daemon, record: &str) -> Vec<String> {
    until(&format!("{record} is written"), LONG, || daemon.path(record).exists());
    daemon.read(record).lines().take_while(|line| *line != "--").map(str::to_string).collect()
}

#[test]
fn laravel_queue_workers() {
    let worker = "
[program:laravel-worker]
process_name=%(program_name)s_%(process_num)02d
command=%(here)s/../stand-in artisan queue:work sqs --sleep=3 --tries=3 --max-time=3600
environment=RECORD=\"%(here)s/%(process_num)d\"
autostart=true
autorestart=true
stopasgroup=true
killasgroup=true
numprocs=8
redirect_stderr=true
stdout_logfile=%(here)s/worker.log
stopwaitsecs=3600
";
    let files = [("conf.d/laravel-worker.conf", worker), ("conf.d/notes.txt", "not a configuration")];
    let daemon = start("[include]\nfiles = conf.d/*.conf\n", &files);
    for number in 0..8 {
        daemon.wait_for_state(&format!("laravel-worker:laravel-worker_{number:02}"), Running, LONG);
        let expected = ["artisan", "queue:work", "sqs", "--sleep=3", "--tries=3", "--max-time=3600"];
        assert_eq!(arguments(&daemon, &format!("conf.d/{number}")), expected);
    }
    until("eight greetings in one log", LONG, || daemon.read("conf.d/worker.log").lines().count() == 8);
}

#[test]
fn celery_worker_and_beat() {
    let conf = "
[program:celery]
; Set full path to celery program if using virtualenv
command=%(here)s/stand-in -A proj worker --loglevel=INFO -n w1@%%h -Q default,mail

directory=%(here)s
environment=RECORD=worker
stdout_logfile=%(here)s/logs/celery.log
stderr_logfile=%(here)s/logs/celery.log
startsecs=1

; Need to wait for currently executing tasks to finish at shutdown.
stopwaitsecs = 600
priority=998
[program:celerybeat]
command=%(here)s/stand-in -A proj beat --schedule \"%(here)s/beat db\"
directory=%(here)s
environment=RECORD=beat
priority=999
";
    let daemon = start(conf, &[]);
    daemon.wait_for_state("celery", Running, LONG);
    daemon.wait_for_state("celerybeat", Running, LONG);
    let expected = ["-A", "proj", "worker", "--loglevel=INFO", "-n", "w1@%h", "-Q", "default,mail"];
    assert_eq!(arguments(&daemon, "worker"), expected);
    let schedule = daemon.path("beat db").to_string_lossy().into_owned();
    assert_eq!(arguments(&daemon, "beat"), ["-A", "proj", "beat", "--schedule", &schedule]);
}

#[test]
fn gunicorn_behind_a_socket() {
    let conf = r#"
[program:gunicorn]
command=%(here)s/stand-in app.wsgi:application --bind unix:%(here)s/app.sock --workers 4
    --access-logformat '%%(h)s %%(l)s "%%(r)s" %%(s)s'
directory=%(here)s
autorestart=true
redirect_stderr=true
stdout_logfile=%(here)s/gunicorn.log
environment=RECORD="record",DJANGO_SETTINGS_MODULE="app.settings.production",
    SECRET_KEY="a,b;c%%d=e",DATABASE_URL="postgres://u:p@db/x?sslmode=require"
[group:app]
programs=gunicorn
"#;
    let daemon = start(conf, &[]);
    daemon.wait_for_state("app:gunicorn", Running, LONG);
    let socket = format!("unix:{}", daemon.path("app.sock").display());
    let format = r#"%(h)s %(l)s "%(r)s" %(s)s"#;
    let expected =
        ["app.wsgi:application", "--bind", &socket, "--workers", "4", "--access-logformat", format];
    assert_eq!(arguments(&daemon, "record"), expected);
    let record = daemon.read("record");
    for line in ["SECRET_KEY=a,b;c%d=e", "DATABASE_URL=postgres://u:p@db/x?sslmode=require"] {
        assert!(record.lines().any(|found| found == line), "{line}\nis not in\n{record}");
    }
}

#[test]
fn nginx_and_php_fpm_in_a_container() {
    let program = |name: &str, command: &str, priority: u32| {
        format!(
            "[program:{name}]\ncommand=%(here)s/stand-in {command}\nenvironment=RECORD=%(here)s/{name}\n\
             autorestart=true\npriority={priority}\nstdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\n\
             stderr_logfile=/dev/stderr\nstderr_logfile_maxbytes=0\n"
        )
    };
    let conf = format!(
        "[supervisord]\nlogfile=/dev/null\nlogfile_maxbytes=0\n{}{}",
        program("php-fpm", "--nodaemonize", 5),
        program("nginx", "-g \"daemon off;\"", 10)
    );
    let daemon = start(&conf, &[]);
    daemon.wait_for_state("nginx", Running, LONG);
    daemon.wait_for_state("php-fpm", Running, LONG);
    assert_eq!(arguments(&daemon, "nginx"), ["-g", "daemon off;"]);
    for name in ["nginx", "php-fpm"] {
        let greeting = format!("hello from {name}");
        until(&greeting, LONG, || daemon.read("stdout").lines().any(|line| line == greeting));
    }
}

#[test]
fn an_environment_with_everything_in_it() {
    let conf = "
[supervisord]
environment=SHARED=\"for all\",OVER=1
[program:app]
command=%(here)s/stand-in
environment=RECORD=\"%(here)s/record\",QUOTES=\"it's\",COMMA='a, b',PERCENT=\"100%%\",
    OVER=2,EMPTY=\"\",URL=\"postgres://u:p@db/x?a=b&c=d#e\",
    LINES=\"one
    two\",NAME=\"%(program_name)s-%(ENV_SHARED)s\"
";
    let daemon = start(conf, &[]);
    // printf writes one empty line if there are none.
    assert_eq!(arguments(&daemon, "record"), [""]);
    let record = daemon.read("record");
    for line in [
        "SHARED=for all",
        "OVER=2",
        "QUOTES=it's",
        "COMMA=a, b",
        "PERCENT=100%",
        "EMPTY=",
        "URL=postgres://u:p@db/x?a=b&c=d#e",
        "LINES=one",
        "two",
        "NAME=app-for all",
        "SUPERVISOR_PROCESS_NAME=app",
    ] {
        assert!(record.lines().any(|found| found == line), "{line}\nis not in\n{record}");
    }
}

#[test]
fn a_broken_file_on_reread_changes_nothing() {
    let daemon = start("[program:a]\ncommand=%(here)s/stand-in\nenvironment=RECORD=%(here)s/a\n", &[]);
    daemon.wait_for_state("a", Running, LONG);
    let pid = daemon.pid_of("a");
    daemon.write_conf("[program:a]\ncommand=%(here)s/stand-in\nautostart=maybe\n[program:b]\ncommand=cat\n");
    let fault = daemon.try_call("supervisor.reloadConfig", vec![]).expect_err("the file is broken");
    let file = daemon.conf().to_string_lossy().into_owned();
    let expected =
        format!("CANT_REREAD: not a valid boolean value: 'maybe' in section 'program:a' (file: '{file}')");
    assert_eq!((fault.code(), fault.string()), (92, expected.as_str()));
    let fault = daemon.try_call("supervisor.addProcessGroup", vec![text("b")]).expect_err("b was not read");
    assert_eq!(fault.code(), 10);
    for words in [&["reread"][..], &["update"]] {
        let run = daemon.ctl(words);
        assert!(run.stdout.contains("not a valid boolean value: 'maybe'") && run.code != 0, "{run}");
    }
    daemon.signal(Signal::SIGHUP);
    daemon.wait_log("the old configuration stays in force: not a valid boolean value: 'maybe'");
    assert_eq!(daemon.pid_of("a"), pid);
}

#[test]
fn a_daemon_that_cannot_start_says_where_the_mistake_is() {
    let start = Start::new(Side::under_test(), "[program:a]\ncommand=cat\nstartsecs=soon\n");
    let (run, daemon) = start.run();
    let (conf, line) = (daemon.conf(), daemon.read("supervisord.conf").lines().count());
    let expected = format!(
        "Error: invalid literal for int() with base 10: 'soon' in section 'program:a' (file: '{0}')\n\
         At {0}:{line}: [program:a] startsecs\nFor help, use ",
        conf.display()
    );
    let run = run.expect(2);
    assert!(run.stderr.starts_with(&expected), "{run}");
}
