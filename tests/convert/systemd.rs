//! systemd's units: what `systemd-analyze verify` says of them, and the way back.

use crate::{imported, samples};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use supervisord::config::args::DaemonArgs;
use supervisord::config::{self, Surroundings};
use supervisord::convert::import::{self, InputFile};
use supervisord::convert::losses::Losses;
use supervisord::convert::systemd;
use supervisord::model::config::Config;

/// What `systemd-analyze verify` says and what is not about the form of a unit: files and users of the machine, keys that are
/// newer than this systemd, units of others.
const NOT_ABOUT_THE_FORM: [&str; 9] = [
    "is not executable",
    "Unknown key 'RestartSteps'",
    "Unknown key 'RestartMaxDelaySec'",
    "Unknown key name 'RestartSteps'",
    "Unknown key name 'RestartMaxDelaySec'",
    "Special user nobody configured",
    "/lib/systemd/system/",
    "/etc/systemd/system/",
    "/run/systemd/",
];

/// What systemd says of some files; `None` without systemd.
fn verified(files: &[(String, String)]) -> Option<Vec<String>> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut names = Vec::new();
    for (path, text) in files {
        std::fs::write(directory.path().join(path), text).expect("written");
        // A template is looked at by one of its instances.
        names.push(format!("./{}", path.replace("@.", "@0.")));
    }
    let ran = Command::new("systemd-analyze").arg("verify").args(&names).current_dir(&directory).output();
    let Ok(ran) = ran else {
        println!("skipped: systemd-analyze is not there (`make prepare` installs it)");
        return None;
    };
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let is_about_form = |line: &&str| !NOT_ABOUT_THE_FORM.iter().any(|other| line.contains(other));
    Some(
        said.lines()
            .filter(|line| !line.trim().is_empty())
            .filter(is_about_form)
            .map(str::to_string)
            .collect(),
    )
}

#[test]
fn mistakes_in_units_are_found() {
    let unit =
        |line: &str| vec![("a.service".to_string(), format!("[Service]\nExecStart=/bin/true\n{line}\n"))];
    let Some(right) = verified(&unit("Restart=always")) else { return };
    assert!(right.is_empty(), "{right:?}");
    for line in
        ["Restart=sometimes", "NoSuchKey=1", "TimeoutStopSec=soon", "LimitNOFILE=x", "Environment=\"a"]
    {
        assert!(!verified(&unit(line)).expect("as before").is_empty(), "{line}");
    }
}

#[test]
fn systemd_takes_the_units_of_every_configuration() {
    let (mut n_files, mut wrong) = (0, Vec::new());
    for sample in samples::all() {
        let (files, _) = samples::export("systemd", &sample, None)
            .unwrap_or_else(|error| panic!("{}: {error}", sample.name));
        let files: Vec<_> = files.into_iter().map(|file| (file.path, file.text)).collect();
        n_files += files.len();
        let Some(said) = verified(&files) else { return };
        if !said.is_empty() {
            wrong.push(format!("{}: {}\n{}", sample.name, said.join("\n"), joined(&files)));
        }
    }
    assert!(n_files > 200, "{n_files}");
    assert!(wrong.is_empty(), "{} configurations: {}", wrong.len(), wrong[..wrong.len().min(4)].join("\n\n"));
}

/// Every key that both directions say exactly, with a value that is not its default.
const BOTH: &str = r#"
[supervisord]
environment=ALL="of them"
[program:web]
command=/bin/sh -c "exec sleep $((1000)); true" "a b" 100%% its "\""
process_name=%(program_name)s_%(process_num)02d
numprocs=3
numprocs_start=2
directory=/usr/share/a b
umask=027
autostart=false
autorestart=true
stopwaitsecs=7
stopsignal=INT
user=daemon
redirect_stderr=true
max_runtime=1h
restart_delay=1500ms
restart_backoff=fixed
stay_down_exitcodes=3,77
watchdog=30s
notify=true
syslog_facility=LOCAL3
syslog_tag=tag
syslog_stdout_priority=DEBUG
environment=A="x y",B="50%%",C="q\"t",ALL="mine",D="%(process_num)02d"
supplementary_groups=adm, 4242
limit_as=1GB
limit_core=0
limit_cpu=60
limit_data=1GB:2GB
limit_fsize=unlimited
limit_memlock=64KB
limit_msgqueue=1MB
limit_nofile=100:unlimited
limit_nproc=50
limit_rtprio=10
limit_sigpending=99
limit_stack=8MB
nice=5
ionice=be:3
cpu_affinity=0-1
cpu_scheduling=rr:7
oom_score_adj=-5
memory_high=512MB
memory_max=1GB
cpu_max=150%%
cpu_weight=55
pids_max=100
io_weight=66
no_new_privs=true
capabilities=NET_BIND_SERVICE, CHOWN
ambient_capabilities=CHOWN
seccomp=@service
read_only_paths=/usr, -/lib64
read_write_paths=/var/lib
private_tmp=true
private_network=true
credential.key=/etc/hostname
stdout_logfile=/var/log/web.log
stdout_logfile_maxbytes=0
[program:job]
command=/bin/true
type=oneshot
max_runtime=90s
exitcodes=0,4
[program:codes]
command=/bin/true
exitcodes=2,3
depends_on=job:done, ready
depends_restart=restart
stop_scope=process
[program:ready]
command=/bin/sleep 10
ready=notify
ready_timeout=17s
restart_delay=2s
restart_backoff=exponential
restart_delay_max=40s
stdout_logfile=NONE
stderr_logfile=NONE
[program:sockets]
command=/bin/cat
sockets=tcp://127.0.0.1:8080, unix:///tmp/sockets.sock
socket_owner=daemon:adm
socket_mode=0770
[fcgi-program:php]
command=/bin/cat
socket=unix:///tmp/php.sock
socket_backlog=77
[group:two]
programs=codes,ready
"#;

/// The keys that both directions say exactly. The tables must not lose one unseen.
const EXACT: &str = "command process_name numprocs numprocs_start directory umask autostart autorestart exitcodes \
    stopwaitsecs user redirect_stderr type max_runtime stay_down_exitcodes watchdog notify syslog_facility syslog_tag \
    syslog_stdout_priority supplementary_groups limit_as limit_core limit_cpu limit_data limit_fsize limit_memlock \
    limit_msgqueue limit_nofile limit_nproc limit_rtprio limit_sigpending limit_stack nice ionice cpu_affinity \
    cpu_scheduling oom_score_adj memory_high memory_max cpu_max cpu_weight pids_max io_weight no_new_privs socket_owner \
    socket_mode socket_backlog programs";

/// What is not the same after both ways, as a path in the model: systemd does not wait for `startsecs`, counts starts in a
/// time, and rotates nothing.
const NOT_THE_SAME: [&str; 7] = [
    "startsecs",
    "startretries",
    "restart/restart_limit/starts",
    "restart/restart_limit/within",
    "restart/restart_delay",
    "restart/restart_backoff",
    "restart/restart_jitter",
];

#[test]
fn both_directions_say_the_same_keys() {
    let exact: Vec<&str> = EXACT.split_whitespace().collect();
    assert_eq!(systemd::both(), exact);
    for key in exact {
        assert!(BOTH.contains(&format!("\n{key}=")), "{key} is not in the configuration that goes both ways");
    }
}

#[test]
fn what_both_can_say_comes_back() {
    let sample = samples::of_text(BOTH);
    let (files, _) = samples::export("systemd", &sample, None).expect("it exports");
    let input: Vec<InputFile> =
        files.into_iter().map(|file| InputFile { name: file.path, text: file.text }).collect();
    let back = import_all(&input);
    let (before, after) = (processes(&sample.source.config), processes(&back.config));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "{}", back.text);
    // Whose pace is one that systemd has, too.
    let has_pace = ["two:ready", "web:web_02", "web:web_03", "web:web_04"];
    let is_said = |name: &str, path: &str| {
        let is_pace = path == "restart/restart_delay" || path == "restart/restart_backoff";
        !NOT_THE_SAME.contains(&path) || is_pace && has_pace.contains(&name)
    };
    let mut different = Vec::new();
    for (name, before) in &before {
        let after = &after[name];
        for path in before.keys().chain(after.keys()).filter(|path| is_said(name, path)) {
            if before.get(path) != after.get(path) {
                different.push(format!("{name} {path}: {:?}, then {:?}", before.get(path), after.get(path)));
            }
        }
    }
    assert!(different.is_empty(), "{}\n{}", different.join("\n"), back.text);
}

/// Every leaf of the model of every process, by its path.
fn processes(config: &Config) -> BTreeMap<String, BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    for group in &config.groups {
        for process in &group.processes {
            let mut leaves = BTreeMap::new();
            leaves_of(&serde_json::to_value(&**process).expect("serializable"), "", &mut leaves);
            found.insert(format!("{}:{}", group.name, process.name), leaves);
        }
    }
    found
}

fn leaves_of(value: &Value, path: &str, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) if !fields.contains_key("secs") => {
            let slash = if path.is_empty() { "" } else { "/" };
            fields.iter().for_each(|(name, value)| leaves_of(value, &format!("{path}{slash}{name}"), found));
        }
        // Nothing written is the same as nothing there.
        Value::Null => {}
        Value::Array(items) if items.is_empty() => {}
        value if *value == serde_json::json!({"secs": 0, "nanos": 0}) => {}
        value => {
            // The number of a user stays, the way to write it need not.
            if !path.ends_with("/written") {
                found.insert(path.to_string(), value.clone());
            }
        }
    }
}

fn joined(files: &[(String, String)]) -> String {
    files.iter().map(|(path, text)| format!("--- {path}\n{text}")).collect()
}

/// Imports files, and looks whether `check` finds no error in what comes out.
#[track_caller]
fn import_all(files: &[InputFile]) -> imported::Result {
    let format = import::format("systemd").expect("a format");
    let mut losses = Losses::default();
    let made = import::import(format, files, &mut losses).unwrap_or_else(|error| panic!("{error}"));
    let text = made.to_text("a test", &mut losses).expect("it can be written");
    let config = load(&text);
    imported::Result { text, losses: losses.iter().map(ToString::to_string).collect(), config }
}

/// Reads a configuration, in which there must be no error.
#[track_caller]
fn load(text: &str) -> Config {
    let around = Surroundings::of_this_process();
    let read = config::parse(Path::new("/x/supervisord.conf"), text, &DaemonArgs::default(), &around);
    read.unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

fn unit(name: &str, text: &str) -> InputFile {
    InputFile { name: name.to_string(), text: text.to_string() }
}

#[test]
fn a_service_as_people_write_it() {
    let files = [
        unit(
            "/etc/systemd/system/app.service",
            "[Unit]\nDescription=An app\nAfter=network.target db.service\nRequires=db.service\n\n[Service]\nType=notify\n\
             User=www-data\nWorkingDirectory=/srv\nEnvironment=\"PORT=80 80\" MODE=prod\nEnvironment=X=1\\\n  Y=2\n\
             ExecStartPre=-/bin/mkdir -p /run/app\nExecStart=/usr/bin/env app --name %p --host %H --cost 5%% \\\n\
             # a comment\n   ${PORT} 'it is' $$HOME\nExecStop=/bin/kill -s QUIT $MAINPID\nExecReload=/bin/kill -HUP $MAINPID\n\
             Restart=on-failure\nRestartSec=5min 20s\nTimeoutStopSec=1min\nLimitNOFILE=64K\nProtectSystem=strict\n\
             KillMode=mixed\n\n[Install]\nWantedBy=multi-user.target\n",
        ),
        unit("/etc/systemd/system/db.service", "[Service]\nExecStart=/bin/db\nRestart=always\n"),
        unit("/etc/systemd/system/app.service.d/x.conf", "[Service]\nEnvironment=\nEnvironment=ONLY=this\n"),
    ];
    let back = import_all(&files);
    let app = back.process("app");
    assert_eq!(
        app.command,
        "/bin/sh -c \"{ '/bin/mkdir' '-p' '/run/app' || true; } && exec '/usr/bin/env' 'app' '--name' 'app' '--host' \
         'box' '--cost' '5%' \\\"${PORT}\\\" 'it is' '$HOME'\""
            .replace("'box'", &format!("'{}'", Surroundings::of_this_process().host_node_name))
    );
    assert_eq!(app.environment.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["ONLY=this"]);
    assert_eq!(app.restart.restart_delay.map(|delay| delay.as_secs()), Some(320));
    assert_eq!((app.stopwaitsecs.as_secs(), app.stopsignal.name().as_deref()), (60, Some("SIGQUIT")));
    assert_eq!(app.dependencies.depends_on.iter().map(ToString::to_string).collect::<Vec<_>>(), ["db"]);
    assert!(app.autostart && !back.process("db").autostart && app.wants_notify_socket());
    let lost = |text: &str| back.losses.iter().filter(|loss| loss.contains(text)).count();
    for text in [
        "/etc/systemd/system/app.service:3 After = network.target db.service: supervisord starts when network.target",
        "/etc/systemd/system/app.service:18 ExecReload = /bin/kill -HUP $MAINPID",
        "app.service:23 ProtectSystem = strict: say with read_only_paths",
    ] {
        assert_eq!(lost(text), 1, "{text}\n{}", back.losses.join("\n"));
    }
    assert_eq!(back.losses.len(), 3, "{}", back.losses.join("\n"));
    assert!(back.text.contains("; 3 settings could not be carried over exactly:"));
}

#[test]
fn kinds_of_services() {
    for (text, expected) in [
        (
            "Type=oneshot\nExecStart=/bin/a\nExecStart=/bin/b x",
            "command=/bin/sh -c \"'/bin/a' && exec '/bin/b' 'x'\"",
        ),
        ("Type=oneshot\nExecStart=/bin/a", "startretries=0"),
        ("ExecStart=/bin/a ; /bin/b", "command=/bin/sh -c \"'/bin/a' && exec '/bin/b'\""),
        (
            "Type=forking\nPIDFile=/run/a.pid\nExecStart=/bin/a",
            "command=supervisord pidproxy /run/a.pid /bin/a",
        ),
        ("ExecStart=/bin/a\nExecStart=\nExecStart=/bin/b", "command=/bin/b"),
        ("ExecStart=:/bin/a $X", "command=/bin/a \"$X\""),
        ("ExecStart=/bin/a $X", "command=/bin/sh -c \"set -f; exec '/bin/a' $X\""),
        ("ExecStart=/bin/a ${X}", "command=/bin/sh -c \"exec '/bin/a' \\\"${X}\\\"\""),
        ("ExecStart=/bin/a\nKillMode=control-group", "stop_scope=tree"),
        ("ExecStart=/bin/a", "autorestart=false"),
        ("ExecStart=/bin/a\nStandardOutput=append:/x", "redirect_stderr=true"),
        ("ExecStart=/bin/a\nGroup=x\nUser=1", "user=1:x"),
        ("ExecStart=/bin/a\nCapabilityBoundingSet=", "capabilities=none"),
        ("ExecStart=/bin/a\nRestart=always", "restart_limit=5/10s"),
        ("ExecStart=/bin/a\nRestart=always", "startretries=-1"),
        ("Type=notify\nExecStart=/bin/a\nRestart=on-failure\nStartLimitInterval=0", "startretries=-1"),
        ("Type=oneshot\nExecStart=/bin/a\nRestart=on-failure\nRestartSec=5", "startretries=-1"),
        ("Type=oneshot\nExecStart=/bin/a\nRestart=on-failure\nStartLimitBurst=7", "restart_limit=7/10s"),
        ("ExecStart=/bin/a\nTimeoutStopSec=0", "stopwaitsecs=86400"),
        ("ExecStart=/bin/a\nTimeoutSec=0", "stopwaitsecs=86400"),
        ("ExecStart=/bin/a\nTimeoutStopSec=1ms", "stopwaitsecs=1"),
        (r"ExecStart=/bin/grep -E a\.b\d file", r#"command=/bin/grep -E "a\\.b\\d" file"#),
        ("ExecStart=/bin/echo x\\\\\nUser=nobody", "user=nobody"),
        ("Environment=DIR=C:\\\\\nExecStart=/bin/a", "environment=DIR=\"C:\\\\\""),
    ] {
        let mut losses = Losses::default();
        let files = [unit("a.service", &format!("[Service]\n{text}\n"))];
        let format = import::format("systemd").expect("a format");
        let found = import::import(format, &files, &mut losses)
            .expect(text)
            .to_text("x", &mut Losses::default())
            .expect(text);
        assert!(found.lines().any(|line| line == expected), "{text}\n{found}");
    }
}

/// What systemd ignores, or what we cannot say: each is a loss, and `check` has no objection to the rest.
#[test]
fn values_that_mean_nothing_are_losses() {
    for line in [
        "MemoryMax=0",
        "MemoryHigh=0",
        "MemoryMax=99999999999T",
        "CPUQuota=0%",
        "CPUQuota=4000000000%",
        "TasksMax=0",
        "UMask=%h",
        "UMask=x",
        "CPUAffinity=numa",
        "CPUAffinity=3-1",
        "CPUAffinity=1-",
        "CPUAffinity=99999999999",
        "Environment=\"FOO BAR=x\"",
        "Environment=1A=x",
        "Environment==x",
        "LoadCredential=a=b]:/x",
        "LoadCredential=a b:/x",
        "LoadCredential=:/x",
        "LoadCredential=A:/x",
        "StandardOutput=append:/var/log/a,b.log",
        "StandardError=file:/var/log/a,b.log",
        "SyslogFacility=nope",
        "SyslogLevel=nope",
        "AmbientCapabilities=CAP_NOPE",
        "CapabilityBoundingSet=CAP_NOPE",
        "LimitNOFILE=20:10",
        "LimitNPROC=99999999999999999999",
        "LimitCPU=5min:1min",
        "KillSignal=NOPE",
        "IOSchedulingClass=nope",
        "CPUSchedulingPolicy=nope",
        "SuccessExitStatus=256",
        "RestartPreventExitStatus=256",
        "RestartSec=9\nRestartSteps=2\nRestartMaxDelaySec=5",
        "Group=a",
    ] {
        let text =
            format!("[Service]\nExecStart=/bin/a\nRestart=always\n{line}\n[Install]\nWantedBy=a.target\n");
        let back = import_all(&[unit("a.service", &text)]);
        assert_eq!(back.losses.len(), 1, "{line}: {}", back.losses.join("\n"));
    }
}

#[test]
fn broken_units_are_refused_in_one_sentence_and_nothing_panics() {
    for (name, text, expected) in [
        ("a.service", "", "a.service is not a unit"),
        ("a.service", "[Service]\n", "there is no program in it"),
        ("a.service", "ExecStart=/bin/a\n", "expected a section such as [Unit]"),
        ("a.txt", "[Service]\nExecStart=/bin/a\n", "a.txt is not the name of a unit"),
        ("a@.service", "[Service]\nExecStart=/bin/a\n", "import a target that wants them"),
    ] {
        let error = imported::refusal("systemd", name, text);
        assert!(error.contains(expected), "{error}");
    }
    let whole = "[Unit]\nAfter=b.service\n[Service]\nExecStart=@-/bin/sh -c \"x %i ${A} $$\" \\\n ; '\\x41'\nEnvironment=\"A=1\" B\n\
                 LimitNOFILE=1:2\nCPUQuota=5%\nRestartSec=1.5s\nStandardOutput=append:/x\nBindPaths=/a:/b\n[Install]\nWantedBy=x\n";
    let format = import::format("systemd").expect("a format");
    // Cut and spoiled at every place.
    for (at, _) in whole.char_indices() {
        for text in [
            whole[..at].to_string(),
            format!("{}%\\\"{}", &whole[..at], &whole[at..]),
            whole.replacen(&whole[at..=at], "ä=", 3),
        ] {
            let files = [unit("a.service", &text)];
            if let Ok(made) = import::import(format, &files, &mut Losses::default()) {
                load(&made.to_text("a test", &mut Losses::default()).expect("it can be written"));
            }
        }
    }
}

#[test]
fn units_of_this_machine_make_a_configuration_without_errors() {
    let folder = Path::new("/usr/lib/systemd/system");
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut files: Vec<InputFile> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".service"))
        // What is masked leads to a device.
        .filter(|entry| entry.path().canonicalize().is_ok_and(|path| path.is_file()))
        .filter_map(|entry| {
            let text = std::fs::read_to_string(entry.path()).ok()?;
            Some(InputFile { name: entry.path().to_string_lossy().into_owned(), text })
        })
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    if files.iter().any(|file| file.text.contains("\nExecStart=")) {
        import_all(&files);
    }
}
