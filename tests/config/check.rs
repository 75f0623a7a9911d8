//! `supervisord check` and `supervisord init`, as the binary prints them.

use crate::corpus::{self, Case};
use crate::support::{LONG, has_root};
use std::path::Path;
use std::process::{Command, Output};
use supervisord::config;
use supervisord::model::config::Config;
use tempfile::TempDir;

/// Runs `supervisord ARGUMENTS` in a directory, with an environment that is always the same.
fn run(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_supervisord"))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .expect("the binary runs")
}

/// A directory with a configuration in it that only its owner can read.
fn with_config(text: &str) -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("x.conf");
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("changed");
    directory
}

/// What `check` prints about a configuration, without the last line.
#[track_caller]
fn check(text: &str, status: i32, expected: &[&str]) {
    let directory = with_config(text);
    let output = run(directory.path(), &["check", "-c", "x.conf", "--strict"]);
    let printed =
        String::from_utf8_lossy(&output.stdout).replace(&*directory.path().to_string_lossy(), "$DIR");
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!((&lines[..lines.len() - 1], output.status.code()), (expected, Some(status)), "{printed}");
}

#[test]
fn a_clean_configuration_is_said_to_be_clean() {
    let directory = with_config("[supervisord]\n[program:a]\ncommand=cat\n");
    let output = run(directory.path(), &["check", "-c", "x.conf", "--strict"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "x.conf: nothing wrong\n");
}

#[test]
fn where_automatic_logs_go() {
    let directory = with_config("[supervisord]\nchildlogdir=%(here)s\n[program:a]\ncommand=cat\n");
    // Whatever is in there already.
    for name in ["x", "a", "supervisord"] {
        std::fs::create_dir(directory.path().join(name)).expect("created");
    }
    let output = run(directory.path(), &["check", "-c", "x.conf", "--strict"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "x.conf: nothing wrong\n");
}

#[test]
fn names_that_nobody_reads() {
    check(
        "[supervisord]\nlogfil=x\n[programs:web]\ncommand=cat\n[program:a]\ncommand=cat\nautostrat=1\nstdout=x\n\
         events=TICK_5\n[Program:b]\n[colours]\n[DEFAULT]\nstartsec=3\n",
        1,
        &[
            "x.conf:2: warning: [supervisord] logfil: unknown key, ignored (did you mean 'logfile'?)",
            "x.conf:3: warning: [programs:web] unknown section, ignored (did you mean '[program:web]'?)",
            "x.conf:7: warning: [program:a] autostrat: unknown key, ignored (did you mean 'autostart'?)",
            "x.conf:8: warning: [program:a] stdout: unknown key, ignored",
            "x.conf:9: warning: [program:a] events: unknown key, ignored (it belongs in [eventlistener:x])",
            "x.conf:10: warning: [Program:b] unknown section, ignored (did you mean '[program:b]'?)",
            "x.conf:11: warning: [colours] unknown section, ignored",
            "x.conf:13: warning: [DEFAULT] startsec: unknown key, ignored (did you mean 'startsecs'?)",
        ],
    );
}

#[test]
fn all_errors_at_once_and_in_order() {
    check(
        "[supervisord]\nloglevel=loud\n[program:a]\nstartsecs=x\nstopsignal=NOPE\n[group:g]\nprograms=b\n\
         [inet_http_server]\nport=x\n",
        2,
        &[
            "x.conf:2: error: [supervisord] loglevel: bad logging level name 'loud'",
            "x.conf:3: error: [program:a] program section program:a does not specify a command",
            "x.conf:4: error: [program:a] startsecs: invalid literal for int() with base 10: 'x'",
            "x.conf:5: error: [program:a] stopsignal: value 'NOPE' is not a valid signal name",
            "x.conf:7: error: [group:g] names unknown program or fcgi-program b",
            "x.conf:9: error: [inet_http_server] port: not a valid port number: 'x' ",
        ],
    );
}

#[test]
fn what_will_not_work_on_this_machine() {
    check(
        "[supervisord]\n[program:a]\ncommand=/no/such/command -x\ndirectory=/no/such/directory\n\
         [program:b]\ncommand=no-such-command\n[program:c]\ncommand=/etc/passwd\n[program:d]\ncommand=\"cat\n\
         [program:e]\ncommand=cat\nstdout_logfile=/tmp\n",
        1,
        &[
            "x.conf:3: warning: [program:a] command: can't find command '/no/such/command'",
            "x.conf:4: warning: [program:a] directory: /no/such/directory is not an existing directory",
            "x.conf:6: warning: [program:b] command: can't find command 'no-such-command'",
            "x.conf:8: warning: [program:c] command: command at '/etc/passwd' is not executable",
            "x.conf:10: warning: [program:d] command: can't parse command '\"cat': No closing quotation",
            "x.conf:13: warning: [program:e] stdout_logfile: /tmp is a directory",
        ],
    );
}

/// Files that a program cannot start without are looked at, but never waited for.
#[test]
fn files_of_variables_that_cannot_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let directory = with_config(
        "[supervisord]\n[program:a]\ncommand=cat\n\
         environment_file=none, -none, fifo, directory, torn, whole, big\n",
    );
    let at = |name: &str| directory.path().join(name);
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("made");
    std::fs::create_dir(at("directory")).expect("made");
    std::fs::write(at("torn"), "A=1\nB=\"secret\n").expect("written");
    std::fs::write(at("whole"), "A=1\n").expect("written");
    std::fs::File::create(at("big")).and_then(|file| file.set_len((1 << 20) + 1)).expect("made");
    for name in ["torn", "whole", "big"] {
        std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(0o600)).expect("changed");
    }
    let output = run(directory.path(), &["check", "-c", "x.conf", "--strict"]);
    let printed =
        String::from_utf8_lossy(&output.stdout).replace(&*directory.path().to_string_lossy(), "$DIR");
    let expected = [
        "there is no file '$DIR/none', without which it does not start",
        "'$DIR/fifo' is not a regular file",
        "'$DIR/directory' is not a regular file",
        "'$DIR/torn': line 2: the double quote that begins here has no end",
        "'$DIR/big' is larger than 1 MiB",
    ];
    let expected: Vec<String> = expected
        .iter()
        .map(|text| format!("x.conf:4: warning: [program:a] environment_file: {text}"))
        .collect();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(
        (&lines[..lines.len() - 1], output.status.code()),
        (&*expected.iter().map(String::as_str).collect::<Vec<_>>(), Some(1)),
        "{printed}"
    );
}

#[test]
fn logs_that_are_rotated_all_the_time() {
    let told = |n_bytes: u32| {
        format!(
            "a log of {n_bytes} bytes is rotated at nearly every line: set at least 4KB, or 0 for no limit"
        )
    };
    check(
        "[supervisord]\nlogfile_maxbytes=50\n[program:a]\ncommand=cat\nstdout_logfile_maxbytes=1\n\
         stderr_logfile_maxbytes=4095\n[program:b]\ncommand=cat\nstdout_logfile_maxbytes=4KB\n\
         stderr_logfile=%(here)s/b.log\nstderr_logfile_maxbytes=0\n",
        1,
        &[
            &format!("x.conf:2: warning: [supervisord] logfile_maxbytes: {}", told(50)),
            &format!("x.conf:5: warning: [program:a] stdout_logfile_maxbytes: {}", told(1)),
            &format!("x.conf:6: warning: [program:a] stderr_logfile_maxbytes: {}", told(4095)),
        ],
    );
}

#[test]
fn programs_in_each_others_way() {
    check(
        "[supervisord]\nlogfile=%(here)s/main.log\n[program:a]\ncommand=cat\nstdout_logfile=%(here)s/main.log\n\
         [program:b]\ncommand=cat\nprocess_name=%(process_num)d\nnumprocs=4\nstdout_logfile=%(here)s/b.log\n\
         stderr_logfile=/dev/stdout\n[program:c]\ncommand=cat\nstdout_logfile=/dev/stdout\n\
         [program:d]\ncommand=cat\n[group:d]\nprograms=a\n",
        1,
        &[
            "x.conf:2: warning: [supervisord] logfile: $DIR/main.log is written by stdout of d:a, the activity log",
            "x.conf:10: warning: [program:b] stdout_logfile: $DIR/b.log is written by stdout of b:0, stdout of b:1, \
             stdout of b:2, 1 more",
            "x.conf:15: warning: [program:d] is not used: its group would be named 'd' like that of [group:d]",
        ],
    );
}

#[test]
fn doors_left_open() {
    check(
        "[supervisord]\n[inet_http_server]\nport=*:9001\n[inet_http_server:b]\nport=9001\nusername=a\npassword=b\n\
         [inet_http_server:c]\nport=127.0.0.1:9002\n",
        2,
        &[
            "x.conf:3: warning: [inet_http_server] port: anyone who can reach this port controls every program: set \
             username and password",
            "x.conf:5: error: [inet_http_server:b] port: the same address as that of [inet_http_server]",
        ],
    );
    check(
        "[supervisord]\n[inet_http_server]\nport=127.0.0.1:9001\nallowed_hosts=ops.example, *\n\
         [unix_http_server]\nfile=%(here)s/s\nallowed_hosts=*.lan\n\
         [inet_http_server:b]\nport=127.0.0.1:9002\nusername=a\npassword=b\nallowed_hosts=*\n",
        1,
        &[
            "x.conf:4: warning: [inet_http_server] allowed_hosts: any page on the web can use its visitors' browsers to \
           control every program: name the hosts, or set username and password",
        ],
    );
    check(
        "[supervisord]\n[inet_http_server]\nport=127.0.0.1:9001\nallowed_hosts=http://a:9001/\n",
        2,
        &[
            "x.conf:4: error: [inet_http_server] allowed_hosts: invalid 'allowed_hosts' value 'http://a:9001/' (expected \
           names such as ops.example.com or *.example.com, without scheme, port and path, and in ASCII (xn--...))",
        ],
    );
}

#[test]
fn secrets_that_everybody_can_read() {
    use std::os::unix::fs::PermissionsExt;
    for (key, secret) in [
        ("environment=DB_PASSWORD=x", true),
        ("environment=A=1,TOKEN=\"x\"", true),
        ("environment=DB_PASSWORD=\"%(ENV_PASSWORD)s\"", false),
        ("environment=A=1", false),
        ("environment=API_KEY=\"\"", false),
        ("environment=PASSWORD_FILE=/run/secrets/p,TOKEN_TTL=60,SECRET_LENGTH=\"9\"", false),
        ("environment=TOKEN_URL=http://h,MY_SECRET='x,y'", true),
    ] {
        let directory = with_config(&format!("[supervisord]\n[program:a]\ncommand=cat\n{key}\n"));
        let path = directory.path().join("x.conf");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("changed");
        let output = Command::new(env!("CARGO_BIN_EXE_supervisord"))
            .args(["check", "-c", "x.conf"])
            .current_dir(directory.path())
            .env("PASSWORD", "x")
            .output()
            .expect("the binary runs");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            printed.contains("everybody can read this file (mode 0644), and it holds a secret"),
            secret,
            "{printed}"
        );
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn keys_set_twice_and_files_read_twice() {
    let directory = with_config(
        "[supervisord]\nidentifier=a\nidentifier=b\n[include]\nfiles=*.conf y/*.ini\n[program:a]\ncommand=cat\n",
    );
    std::fs::create_dir(directory.path().join("y")).expect("created");
    std::fs::write(directory.path().join("y/1.ini"), "[include]\nfiles=z z\n").expect("written");
    std::fs::write(directory.path().join("y/z"), "[program:z]\ncommand=cat\n").expect("written");
    let output = run(directory.path(), &["check", "-c", "x.conf"]);
    let printed =
        String::from_utf8_lossy(&output.stdout).replace(&*directory.path().to_string_lossy(), "$DIR");
    for line in [
        "x.conf:2: warning: [supervisord] identifier: set again in line 3, and the last value counts",
        "$DIR/x.conf: warning: the main file includes itself; it is read once more and not again",
        "$DIR/y/z: warning: included more than once",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line}\nis not in\n{printed}");
    }
}

#[test]
fn json_holds_the_same() {
    let directory = with_config("[supervisord]\n[program:a]\ncommand=cat\nautostart=maybe\n");
    let output = run(directory.path(), &["check", "-c", "x.conf", "--json"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!((&found["errors"], &found["warnings"]), (&1.into(), &0.into()));
    let expected = serde_json::json!({
        "severity": "error", "text": "not a valid boolean value: 'maybe'", "file": "x.conf", "line": 4,
        "section": "program:a", "key": "autostart",
    });
    assert_eq!(found["problems"][0], expected);
    assert_eq!(output.status.code(), Some(2));
}

/// What two configurations must have in common to mean the same.
fn meaning(config: &Config) -> serde_json::Value {
    let mut value = serde_json::to_value(config).expect("serializable");
    let fields = value.as_object_mut().expect("a structure");
    for what_it_does_not_mean in ["path", "messages", "skipped", "written"] {
        fields.remove(what_it_does_not_mean);
    }
    for group in fields.get_mut("groups").and_then(|groups| groups.as_array_mut()).into_iter().flatten() {
        group.as_object_mut().expect("a structure").remove("files");
    }
    value
}

#[test]
fn a_dump_loads_again_and_means_the_same() {
    let mut n_dumped = 0;
    for case in corpus::files().iter().flat_map(|file| corpus::read(file)) {
        let directory = case.unpack();
        let Ok(config) = case.load(&directory) else { continue };
        let dumped = dump(&case, &directory);
        let path = directory.path().join("dumped.conf");
        std::fs::write(&path, &dumped).expect("written");
        let args = supervisord::config::args::DaemonArgs {
            configuration: Some(path.to_string_lossy().into_owned()),
            ..Default::default()
        };
        let again = config::load(&args, &case.surroundings(&directory));
        let again = again.unwrap_or_else(|errors| panic!("{}: {errors}\n{dumped}", case.name));
        assert_eq!(meaning(&again), meaning(&config), "{}\n{dumped}", case.name);
        n_dumped += 1;
    }
    assert!(n_dumped >= 60, "only {n_dumped} dumps");
}

fn dump(case: &Case, directory: &TempDir) -> String {
    let report = case.check(directory);
    report.dump.unwrap_or_else(|| panic!("{}: no dump: {:?}", case.name, report.problems))
}

#[test]
fn a_dump_names_where_values_came_from() {
    let directory = with_config("[supervisord]\nloglevel=warn\n[program:a]\ncommand=cat\n  -u\n");
    let output = run(directory.path(), &["-i", "me", "check", "-c", "x.conf", "--dump"]);
    let printed = String::from_utf8_lossy(&output.stdout);
    for (key, origin) in [
        ("loglevel=warn ", "; x.conf:2"),
        ("identifier=me ", "; command line"),
        ("logfile_backups=10 ", "; default"),
        ("autostart=true ", "; default"),
    ] {
        assert!(
            printed.lines().any(|line| line.starts_with(key) && line.ends_with(origin)),
            "{key}\n{printed}"
        );
    }
    assert!(printed.contains("; x.conf:4\ncommand=cat\n    -u\n"), "{printed}");
}

#[test]
fn a_dump_names_the_sections_that_stood_in() {
    let directory = with_config(
        "[supervisord]\n[DEFAULT]\nstopwaitsecs=4\n[program-defaults]\nstartsecs=3\n\
         environment=DB_PASSWORD=\"topsecret\",A=%(process_num)d\n[group:g]\nprograms=a\numask=022\n\
         environment=B=2\n[program:a]\ncommand=cat\nstdout_logfile=NONE\n",
    );
    let output = run(directory.path(), &["check", "-c", "x.conf", "--dump"]);
    let printed = String::from_utf8_lossy(&output.stdout);
    for (setting, origin) in [
        ("command=cat", "; x.conf:12"),
        ("umask=022", "; x.conf:9 [group:g]"),
        ("startsecs=3", "; x.conf:5 [program-defaults]"),
        ("stopwaitsecs=4", "; x.conf:3 [DEFAULT]"),
        (
            "environment=A=\"%(process_num)d\",B=\"2\",DB_PASSWORD=\"********\"",
            "; x.conf:10 [group:g], x.conf:6 [program-defaults]",
        ),
    ] {
        assert!(
            printed.lines().any(|line| line.starts_with(setting) && line.ends_with(origin)),
            "{setting}\n{printed}"
        );
    }
    assert!(!printed.contains("\n[program-defaults]") && !printed.contains("topsecret"), "{printed}");
}

/// What the original runs with is no error; what was understood is said, once for all processes of a section.
#[test]
fn what_was_understood_is_said() {
    check(
        "[supervisord]\numask=-1\n[unix_http_server]\nfile=%(here)s/s\nusername=\npassword=\n[program:a]\n\
         command=/bin/echo %s\nprocess_name=%(program_name)s_%(process_num)d\nnumprocs=3\nstartretries=-5\n\
         environment=A=x y\n",
        1,
        &[
            "x.conf:2: warning: [supervisord] umask: '-1' is understood as no umask at all",
            "x.conf:5: warning: [unix_http_server] username: empty, like the password: everybody is let in",
            "x.conf:8: warning: [program:a] command: '%s' is kept as it is (write '%%' for a percent sign)",
            "x.conf:11: warning: [program:a] startretries: '-5' is understood as no limit",
            "x.conf:12: warning: [program:a] environment: is understood as A=\"x y\" (separate pairs with commas \
             and put quotes around values with blanks or special characters)",
        ],
    );
}

/// A typing error in the path of a log makes a tree of its own.
#[test]
fn directories_that_will_be_made() {
    check(
        "[supervisord]\n[program:a]\ncommand=/bin/cat\nstdout_logfile=%(here)s/logs/a/a.log\n\
         stderr_logfile=%(here)s/a.log\n",
        1,
        &["x.conf:4: warning: [program:a] stdout_logfile: the directory $DIR/logs/a will be created"],
    );
    check(
        "[supervisord]\n[program:a]\ncommand=/bin/cat\nstdout_logfile=\"/tmp/x.log\"\n\
         stderr_logfile=|/usr/bin/logger\n",
        2,
        &[
            "x.conf:4: error: [program:a] stdout_logfile: The directory named as part of the path \"/tmp/x.log\" \
             does not exist (quotes are part of a name: leave them out)",
            "x.conf:5: error: [program:a] stderr_logfile: The directory named as part of the path |/usr/bin/logger \
             does not exist (a log cannot be a program: let one read what 'command=/bin/sh -c ...' pipes to it)",
        ],
    );
}

#[test]
fn the_sample_is_clean_and_has_every_key() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = run(directory.path(), &["init", "-o", "sample.conf"]);
    assert_eq!(output.status.code(), Some(0));
    let output = run(directory.path(), &["check", "-c", "sample.conf", "--strict"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    // It never overwrites.
    let output = run(directory.path(), &["init", "-o", "sample.conf"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("sample.conf"));
}

#[test]
fn the_clients_section() {
    check(
        "[supervisord]\n[supervisorctl]\nprompt=%(x)s\n",
        1,
        &[
            "x.conf:3: warning: [supervisorctl] prompt: Format string '%(x)s' for 'supervisorctl.prompt' contains \
           names ('x') which cannot be expanded. Available names: here",
        ],
    );
}

#[test]
fn the_configurations_that_come_with_us_have_no_errors() {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    for name in ["supervisord.conf", "container/supervisord.conf"] {
        let output = run(&conf, &["check", "-c", name]);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{name}: {printed}");
        assert!(!printed.contains("unknown"), "{name}: {printed}");
    }
}

#[test]
fn an_end_that_cannot_come() {
    let programs =
        "[program:a]\ncommand=cat\n[program:w]\ncommand=cat\nprocess_name=%(process_num)d\nnumprocs=2\n";
    for (name, known) in
        [("a", true), ("w:1", true), ("w:*", true), ("w:2", false), ("b", false), ("any_exit", true)]
    {
        let expected =
            format!("x.conf:2: warning: [supervisord] exit_when: no process or group is named '{name}'");
        let expected: &[&str] = if known { &[] } else { &[&expected] };
        let text = format!("[supervisord]\nexit_when={name}\n{programs}");
        check(&text, i32::from(!known), expected);
    }
}

#[test]
fn a_file_that_everybody_can_change() {
    use std::os::unix::fs::PermissionsExt;
    let directory = with_config("[supervisord]\n");
    let path = directory.path().join("x.conf");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).expect("changed");
    let output = run(directory.path(), &["--allow-unsafe-config", "check", "-c", "x.conf"]);
    let warning = "x.conf: warning: everybody can change this file (mode 0666), and with it what is run\n\
                   x.conf: 0 errors, 1 warning\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), warning);
    // Root does not start with it, unless it is told to.
    let output = run(directory.path(), &["check", "-c", "x.conf"]);
    let printed = String::from_utf8_lossy(&output.stdout);
    if nix::unistd::Uid::effective().is_root() {
        assert!(
            printed.starts_with("x.conf: error: everybody can change this file (mode 0666)"),
            "{printed}"
        );
        assert!(printed.contains("chmod o-w") && printed.contains("--allow-unsafe-config"), "{printed}");
    } else {
        assert_eq!(printed, warning);
    }
}

/// A configuration that includes a file, and who owns what: what `check` says of it, `$DIR` for the directory.
fn check_owners(prepare: impl FnOnce(&Path)) -> String {
    let directory = with_config("[supervisord]\n[include]\nfiles=conf.d/*.conf\n");
    let included = directory.path().join("conf.d/a.conf");
    std::fs::create_dir(directory.path().join("conf.d")).expect("created");
    std::fs::write(&included, "[program:a]\ncommand=cat\n").expect("written");
    prepare(directory.path());
    let output = run(directory.path(), &["--allow-unsafe-config", "check", "-c", "x.conf"]);
    String::from_utf8_lossy(&output.stdout).replace(&*directory.path().to_string_lossy(), "$DIR")
}

#[test]
fn whoever_else_can_change_what_is_run_is_named() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changed");
    };
    let printed = check_owners(|dir| mode(&dir.join("conf.d"), 0o777));
    let expected = "everybody can replace this file in $DIR/conf.d (mode 0777), and with it what is run";
    assert!(printed.contains(&format!("conf.d/a.conf: warning: {expected}")), "{printed}");
    let printed = check_owners(|dir| mode(dir, 0o777));
    assert!(printed.contains("x.conf: warning: everybody can replace this file in $DIR (mode"), "{printed}");
    if !has_root("owners cannot be changed without root") {
        return;
    }
    let give = |path: &Path| chown(path, Some(54_321), None).expect("changed");
    for (what, expected) in [
        ("x.conf", "x.conf: warning: this file belongs to the user 54321"),
        ("conf.d/a.conf", "conf.d/a.conf: warning: this file belongs to the user 54321"),
        (
            "conf.d",
            "conf.d/a.conf: warning: $DIR/conf.d belongs to the user 54321, who can replace this file",
        ),
        ("", "x.conf: warning: $DIR belongs to the user 54321, who can replace this file"),
    ] {
        let printed = check_owners(|dir| give(dir.join(what).as_path()));
        assert!(printed.contains(expected), "{what}: {printed}");
        assert!(printed.contains("0 errors"), "{what}: {printed}");
    }
}

#[test]
fn servers_that_cannot_be_opened_are_errors() {
    let long = "x".repeat(120);
    for (section, place, text) in [
        ("unix_http_server]\nfile=/no/such/dir/s.sock", "file", "the directory /no/such/dir does not exist".to_string()),
        (
            "unix_http_server]\nfile=\"%(here)s/s.sock\"",
            "file",
            "$DIR/\"$DIR/s.sock\" ends with a quotation mark, which is part of the name here: remove the marks"
                .to_string(),
        ),
        ("unix_http_server]\nfile=%(here)s/x.conf", "file", "$DIR/x.conf exists and is not a socket".to_string()),
        (
            &*format!("unix_http_server]\nfile=/tmp/{long}"),
            "file",
            format!("the path of a socket can have 107 bytes, and this one has 125: /tmp/{long}"),
        ),
        (
            "inet_http_server]\nport=no-such-host.invalid:9001\nusername=a\npassword=b",
            "port",
            "the name of the host 'no-such-host.invalid' cannot be resolved here".to_string(),
        ),
        (
            "inet_http_server]\nport=192.0.2.1:9001\nusername=a\npassword=b",
            "port",
            "192.0.2.1 is not an address of this machine".to_string(),
        ),
    ] {
        let name = section.split(']').next().unwrap_or_default();
        let expected = format!("x.conf:3: error: [{name}] {place}: {text}");
        check(&format!("[supervisord]\n[{section}\n"), 2, &[&expected]);
    }
}

#[test]
fn descriptors_that_nobody_may_have_are_an_error() {
    let directory = with_config("[supervisord]\nminfds=2000000000\n");
    let output = run(directory.path(), &["check", "-c", "x.conf"]);
    let printed = String::from_utf8_lossy(&output.stdout);
    let expected = "x.conf:2: error: [supervisord] minfds: 2000000000 descriptors are needed, and the hard limit \
                    here is ";
    assert!(printed.starts_with(expected) && output.status.code() == Some(2), "{printed}");
}

#[test]
fn a_client_that_looks_elsewhere_is_told_where() {
    let unix = "[unix_http_server]\nfile=%(here)s/s\n";
    let none = "and this configuration has no server: add a [unix_http_server] or an [inet_http_server]";
    for (servers, client, expected) in [
        (
            "",
            "",
            &*format!(
                "x.conf:2: warning: [supervisorctl] serverurl: without serverurl the client will look for http://localhost:9001, {none}"
            ),
        ),
        (
            unix,
            "serverurl=unix:///tmp/other.sock\n",
            "x.conf:5: warning: [supervisorctl] serverurl: the client will look for unix:///tmp/other.sock, and no \
             server of this configuration is there; its servers are unix://$DIR/s",
        ),
        (
            unix,
            "",
            "x.conf:4: warning: [supervisorctl] serverurl: without serverurl the client will look for \
             http://localhost:9001, and no server of this configuration is there; its servers are unix://$DIR/s",
        ),
        (
            "[unix_http_server]\nfile=%(here)s/s\nusername=a\npassword=b\n",
            "serverurl=unix://%(here)s/s\n",
            "x.conf:6: warning: [supervisorctl] username: [unix_http_server] requires a username and a password, and \
             the client has none",
        ),
        (
            "[unix_http_server]\nfile=%(here)s/s\nusername=a\npassword=b\n",
            "serverurl=unix://%(here)s/s\nusername=a\npassword=c\n",
            "x.conf:9: warning: [supervisorctl] password: this is not the password of [unix_http_server], so the \
             server will refuse the client",
        ),
    ] {
        check(&format!("[supervisord]\n{servers}[supervisorctl]\n{client}"), 1, &[expected]);
    }
    for (servers, client) in [
        (unix, "serverurl=unix://%(here)s/s"),
        ("[inet_http_server]\nport=127.0.0.1:9001\n", ""),
        ("[inet_http_server]\nport=127.0.0.1:9003\n", "serverurl=http://localhost:9003"),
        (
            "[inet_http_server]\nport=9003\nusername=a\npassword={SHA}e9d71f5ee7c92d6dc9e92ffdad17b8bd49418f98\n",
            "serverurl=http://box:9003/\nusername=a\npassword=b",
        ),
    ] {
        check(&format!("[supervisord]\n{servers}[supervisorctl]\n{client}\n"), 0, &[]);
    }
}

/// The daemon starts with one of them, and nobody should have to know with which.
#[test]
fn keys_that_were_written_by_two_names() {
    let text = "[supervisord]\n[program:a]\ncommand=cat\nrestart_delay=1\nrestartPause=2\n[program:b]\ncommand=cat\n\
                liveness_check_script=tcp://127.0.0.1:1\nhealth=tcp:2\n[program:c]\ncommand=cat\nrestartpause=3\n";
    check(
        text,
        2,
        &[
            "x.conf:5: error: [program:a] restartpause: the same setting as restart_delay in line 4, which counts: leave one \
             of them out",
            "x.conf:8: error: [program:b] liveness_check_script: the same setting as health in line 9, which counts: leave \
             one of them out",
        ],
    );
    let around = config::Surroundings::of_this_process();
    let config = config::parse(Path::new("x.conf"), text, &Default::default(), &around).expect("it is right");
    let delays = config.groups.iter().map(|group| group.processes[0].restart.restart_delay);
    let seconds = |n| Some(std::time::Duration::from_secs(n));
    assert_eq!(delays.collect::<Vec<_>>(), [seconds(1), None, seconds(3)]);
    assert_eq!(config.messages.len(), 2, "{:?}", config.messages);
}

#[test]
fn probes_that_will_not_work_on_this_machine() {
    check(
        "[supervisord]\n[program:a]\ncommand=cat\nready=exec:/no/such/command\nhealth=exec:ls /tmp | grep x\n\
         [program:b]\ncommand=cat\nready=file:/no/such/directory/x\nhealth=unix:/no/such/x.sock\n[program:c]\n\
         command=cat\nready=http://no.such.host.invalid/\nhealth=unix:/tmp/surely-not-there.sock\n",
        1,
        &[
            "x.conf:4: warning: [program:a] ready: can't find command '/no/such/command'",
            "x.conf:5: warning: [program:a] health: no shell is involved, so the program gets \"|\" as an argument; write \
             sh -c '...' around it, with stopasgroup=true and killasgroup=true",
            "x.conf:8: warning: [program:b] ready: the directory /no/such/directory does not exist now",
            "x.conf:9: warning: [program:b] health: the directory /no/such does not exist now",
            "x.conf:12: warning: [program:c] ready: the name of the host 'no.such.host.invalid' cannot be resolved now",
        ],
    );
}

/// A key that was written by another name comes back by its own, with its place.
#[test]
fn a_dump_has_our_names_of_keys() {
    let directory = with_config(
        "[supervisord]\n[program:a]\ncommand=cat\nrestartPause=2\nliveness_check_script=http://h/ -H 'A: %(ENV_PATH)s'\n\
         restart_jitter=20%\ndependent_startup_wait_for=b:exited c\n[program:b]\ncommand=cat\n[program:c]\ncommand=cat\n",
    );
    let output = run(directory.path(), &["check", "-c", "x.conf", "--dump"]);
    let printed = String::from_utf8_lossy(&output.stdout);
    for (setting, line) in [
        ("restart_delay=2", 4),
        ("health=http://h/ header.A=\"/usr/bin:/bin\"", 5),
        ("restart_jitter=20%%", 6),
        ("depends_on=b:exited, c", 7),
    ] {
        let origin = format!("; x.conf:{line}");
        let found = printed.lines().any(|line| line.starts_with(setting) && line.ends_with(&origin));
        assert!(found, "{setting}\n{printed}");
    }
}

#[test]
fn what_looks_right_and_is_not_is_explained() {
    check(
        "[supervisord]\n[program:a]\ncommand=sh -c \"echo a ; echo b\"\n[program:b]\ncommand=cat x && cat y\n\
         killWaitSecs=1\n[program:c\ncommand=cat\n[program:d]\ncommand=cat\ncron=* * * * *\nKillwaitsecs=1\n",
        1,
        &[
            "x.conf:3: warning: [program:a] command: command in [program:a] (x.conf:3) ends before the first \" ;\" or \
             \" #\", which begins a comment even between quotation marks: write it without the blank before it",
            "x.conf:3: warning: [program:a] command: can't parse command 'sh -c \"echo a': No closing quotation",
            "x.conf:5: warning: [program:b] command: set again in line 8, and the last value counts",
            "x.conf:6: warning: [program:b] killwaitsecs: a key of other supervisors, ignored: SIGKILL follows the last \
             signal after stopwaitsecs",
            "x.conf:7: warning: [program:b] [program: unclosed section header: [program... has no ']', so what follows \
             belongs to [program:b]",
            "x.conf:11: warning: [program:d] cron: a key of other supervisors, ignored: nothing starts it; let a crontab \
             call 'supervisord ctl start NAME'",
            "x.conf:12: warning: [program:d] killwaitsecs: a key of other supervisors, ignored: SIGKILL follows the last \
             signal after stopwaitsecs",
        ],
    );
    check(
        "[supervisord]\n[program:b]\ncommand=cat x && cat y\n",
        1,
        &[
            "x.conf:3: warning: [program:b] command: no shell is involved, so the program gets \"&&\" as an argument; write \
           sh -c '...' around it, with stopasgroup=true and killasgroup=true",
        ],
    );
    check(
        "[supervisord]\n[program:b]\ncommand=sh -c 'cat x; cat y'\n[program:c]\ncommand=sh -c 'cat x; exec cat y'\n\
         [program:d]\ncommand=sh -c 'cat x; cat y'\nstop_scope=tree\n",
        0,
        &[
            "x.conf:3: hint: [program:b] command: sh does not pass signals on, so what it runs may outlive a stop: write exec \
             before the last command, or stop_scope=tree",
        ],
    );
    let directory = with_config("[supervisord]\n[program:a]\ncommand=cat %(ENV_NOBODY_SET_IT)s\n");
    let output = run(directory.path(), &["check", "-c", "x.conf"]);
    let printed = String::from_utf8_lossy(&output.stdout);
    let expected = "[program:a] command: the environment variable NOBODY_SET_IT is not set. Format string";
    assert!(printed.contains(expected), "{printed}");
}

#[test]
fn a_dump_shows_where_the_table_of_live_programs_is() {
    let shown = |conf: &str| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("x.conf");
        std::fs::write(&file, conf).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_supervisord"));
        command.args(["check", "--dump", "-c"]).arg(&file);
        let output = command.output().expect("the binary runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.starts_with("processinfomapfile")).map(str::to_string);
        let directory = directory.path().to_string_lossy().into_owned();
        line.map(|line| {
            let words: Vec<&str> = line.split_whitespace().filter(|word| *word != ";").collect();
            words.join(" ").replace(&directory, "HERE")
        })
    };
    let leaving = "[supervisord]\npidfile=%(here)s/d.pid\nexitkillall=false\n";
    for (conf, expected) in [
        ("[supervisord]\n", None),
        ("[supervisord]\nexitkillall=true\n", None),
        (leaving, Some("processinfomapfile=HERE/d.pid.map default")),
        ("[supervisord]\npidfile=/dev/null\nexitkillall=false\n", None),
    ] {
        assert_eq!(shown(conf).as_deref(), expected, "{conf}");
    }
    let written = shown(&format!("{leaving}processinfomapfile=/run/own.map\n")).unwrap_or_default();
    assert!(written.contains("/run/own.map") && !written.contains("default"), "{written}");
}

#[test]
fn a_dump_keeps_secrets_to_itself() {
    let text = "[supervisord]\nenvironment=DB_PASSWORD=\"top%%secret\",TOKEN_TTL=\"60\",PLAIN=\"seen\"\n\
                [unix_http_server]\nfile=%(here)s/s\nusername=me\npassword=plainsecret\n\
                [supervisorctl]\nserverurl=unix://%(here)s/s\nusername=me\npassword=plainsecret\n\
                [program:a]\ncommand=cat %(ENV_A_TOKEN)s\nenvironment=API_KEY=\"%(ENV_A_TOKEN)s\"\n";
    let directory = with_config(text);
    let dump = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_supervisord"));
        command.current_dir(directory.path()).env("A_TOKEN", "ofthedaemon");
        let output = command.args(["check", "-c", "x.conf", "--dump"]).args(more).output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let printed = dump(&[]);
    for secret in ["plainsecret", "top%%secret", "ofthedaemon"] {
        assert!(!printed.contains(secret), "{secret}: {printed}");
    }
    for shown in ["password=********", "DB_PASSWORD=\"********\"", "TOKEN_TTL=\"60\"", "PLAIN=\"seen\""] {
        assert!(printed.contains(shown), "{shown}: {printed}");
    }
    let printed = dump(&["--show-secrets"]);
    for secret in ["plainsecret", "top%%secret", "ofthedaemon"] {
        assert!(printed.contains(secret), "{secret}: {printed}");
    }
}

#[test]
fn files_that_never_end_are_not_waited_for() {
    let directory = with_config("[supervisord]\n[include]\nfiles=*.inc\n");
    std::os::unix::fs::symlink("/proc/kmsg", directory.path().join("kernel.inc")).expect("linked");
    let fifo = |name: &str| {
        nix::unistd::mkfifo(&directory.path().join(name), nix::sys::stat::Mode::S_IRWXU).expect("made");
    };
    fifo("fifo.inc");
    fifo("main");
    let big = std::fs::File::create(directory.path().join("big.inc")).expect("created");
    big.set_len(1 << 40).expect("grown");
    let begun = std::time::Instant::now();
    let printed = run(directory.path(), &["check", "-c", "x.conf"]);
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    for (file, why) in [
        ("big.inc", "it is larger than 64 MiB"),
        ("fifo.inc", "it is not a regular file, but a FIFO"),
        ("kernel.inc", ""),
    ] {
        let line =
            printed.lines().find(|line| line.contains("could not read included file") && line.contains(file));
        assert!(line.is_some_and(|line| line.contains(why)), "{file}: {printed}");
    }
    for words in [&["-n", "-c", "main"][..], &["ctl", "-c", "main", "status"], &["-n", "-c", "/dev/zero"]] {
        let output = run(directory.path(), words);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            told.contains("Error: could not read config file") && output.status.code() == Some(2),
            "{told}"
        );
    }
    // Others wait for ever.
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
}

#[test]
fn a_configuration_may_come_through_a_pipe() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let script = "printf '[supervisord]\n[program:a]\ncommand=cat\n' | \"$0\" check -c /dev/stdin && \
                  \"$0\" check -c <(sleep 1.2; printf '[supervisord]\n[program:a]\ncommand=cat\n')";
    let mut bash = Command::new("bash");
    bash.args(["-c", script, env!("CARGO_BIN_EXE_supervisord")]).current_dir(directory.path());
    let output = bash.output().expect("bash runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(printed.matches(": nothing wrong\n").count(), 2, "{printed}");
}

#[test]
fn by_another_name_it_prints_the_sample() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let link = directory.path().join("echo_supervisord_conf");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_supervisord"), &link).expect("linked");
    let output = Command::new(&link).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout), config::sample());
}

#[test]
fn settings_about_survivors_that_do_not_fit_together() {
    check(
        "[supervisord]\nexitkillall=false\n",
        1,
        &[
            "x.conf:1: warning: [supervisord] startkillall: the next start ends the programs that exitkillall=false \
             leaves running: set startkillall=false to take them over",
        ],
    );
    check("[supervisord]\nexitkillall=false\nstartkillall=false\n", 0, &[]);
    check(
        "[supervisord]\nexitkillall=false\nstartkillall=false\nprocessinfomapfile=\n",
        1,
        &[
            "x.conf:4: warning: [supervisord] processinfomapfile: without this table, no start can take over the \
             programs of a keeper that was killed: they must be ended by hand first",
        ],
    );
    check("[supervisord]\nexitkillall=false\nstartkillall=false\nprocessinfomapfile=%(here)s/map\n", 0, &[]);
}
