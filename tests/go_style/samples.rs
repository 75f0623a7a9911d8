//! What `init` of either version writes, with names that stand for something replaced: it runs, and what is not done is
//! named line by line.

use crate::ctl;
use crate::support::{LONG, Side, Start, free_ports, until};
use nix::unistd::{Uid, User};
use std::fs;

/// The keys of a program in both samples, with their values.
const PROGRAM: &str = "\
process_name=%(program_name)s
numprocs=1
#numprocs_start=not support
autostart=true
startsecs=3
startretries=3
autorestart=true
exitcodes=0,2
stopsignal=TERM
stopwaitsecs=10
user=USER
redirect_stderr=false
stdout_logfile=AUTO
stdout_logfile_maxbytes=50MB
stdout_logfile_backups=10
stdout_capture_maxbytes=0
stdout_events_enabled=true
stderr_logfile=AUTO
stderr_logfile_maxbytes=50MB
stderr_logfile_backups=10
stderr_capture_maxbytes=0
stderr_events_enabled=false
environment=KEY=\"val\",KEY2=\"val2\"
directory=/tmp
#umask=not support
serverurl=AUTO
";

/// The sections that both samples have, around what they have of their own.
fn sample(supervisord: &str, program: &str, listener: &str) -> String {
    format!(
        "[unix_http_server]
file=HERE/s.sock
#chmod=not support
#chown=not support
username=test1
password={{SHA}}82ab876d1387bfafe46cc1c8a2ef074eae50cb1d

[inet_http_server]
port=127.0.0.1:PORT
username=test1
password=thepassword

[supervisord]
logfile=%(here)s/supervisord.log
{supervisord}loglevel=info
pidfile=%(here)s/supervisord.pid
#nodaemon=not support
identifier=supervisor

[program:web]
command=/bin/cat
{PROGRAM}stopasgroup=true
killasgroup=true
{program}
[include]
files=HERE/one.conf HERE/d/*.conf foo.conf config??.conf

[group:shop]
programs=bar,baz
priority=999

[eventlistener:ear]
command=/bin/cat
{PROGRAM}#stopasgroup=not support
{listener}buffer_size=10240
events=PROCESS_STATE
#result_handler=not support

[supervisorctl]
serverurl = unix://HERE/s.sock
username = test1
password = thepassword
#prompt = not support
"
    )
}

/// Starts the sample and gives the warnings of the start and of a reread, from the section's name on.
fn warnings(conf: &str) -> Vec<String> {
    let user = User::from_uid(Uid::effective()).expect("known").expect("there is one").name;
    let [port] = free_ports();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let logs = directory.path().to_string_lossy().into_owned();
    // Logs made up by the daemon go where the test ends with them.
    let mut daemon = Start::raw(Side::Ours, "").arguments(&["-n", "-q", &logs]).prepare();
    let conf = conf
        .replace("HERE", &daemon.directory().to_string_lossy())
        .replace("PORT", &port.to_string())
        .replace("USER", &user);
    fs::create_dir(daemon.path("d")).expect("made");
    for (name, text) in [
        ("supervisord.conf", conf.as_str()),
        ("one.conf", "[program:bar]\ncommand=/bin/cat\n"),
        ("d/two.conf", "[program:baz]\ncommand=/bin/cat\n"),
        ("foo.conf", ""),
        ("config01.conf", ""),
    ] {
        fs::write(daemon.path(name), text).expect("written");
    }
    daemon.spawn();
    until("everything was started", LONG, || {
        let told = ctl(&daemon, &["status"]);
        told.stdout.lines().filter(|line| line.contains("RUNNING") || line.contains("STARTING")).count() == 4
    });
    let told = || -> Vec<String> {
        let warnings = daemon.messages().into_iter().filter(|line| line.level == "WARN");
        warnings
            .map(|line| line.text.split_once(": ").map_or(line.text.clone(), |(_, rest)| rest.to_string()))
            .collect()
    };
    let at_start = told();
    let reread = ctl(&daemon, &["reread"]);
    assert_eq!(reread.stdout, "No config updates to processes\n", "{reread}");
    assert_eq!(told(), [at_start.clone(), at_start.clone()].concat(), "a reread says the same again");
    at_start
}

#[test]
fn the_sample_of_go_runs_and_what_is_ignored_is_named() {
    let hooks = "envFiles=global.env,prod.env\npre_start_hook = echo \"this is start hook\"\n\
                 pre_stop_hook = echo \"this is stop hook\"\n";
    let conf = sample("logfileMaxbytes=50MB\nlogfileBackups=10\n", hooks, "envFiles=global.env,prod.env\n");
    let instead = "a key of other supervisors, ignored: ";
    assert_eq!(
        warnings(&conf),
        [
            "[supervisord] logfilemaxbytes: unknown key, ignored (did you mean 'logfile_maxbytes'?)"
                .to_string(),
            "[supervisord] logfilebackups: unknown key, ignored (did you mean 'logfile_backups'?)"
                .to_string(),
            format!(
                "[program:web] pre_start_hook: {instead}write it into the command: sh -c 'first this; exec the program'"
            ),
            format!(
                "[program:web] pre_stop_hook: {instead}nothing runs it; the program gets stopsignal at once"
            ),
        ]
    );
}

#[test]
fn nothing_is_ignored_of_the_sample_of_the_fork() {
    let switches = "logfile_maxbytes=50MB\nlogfile_backups=10\nstartkillall=false\nexitkillall=false\n";
    assert_eq!(warnings(&sample(switches, "", "")), [""; 0]);
}
