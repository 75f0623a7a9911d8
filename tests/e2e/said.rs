//! What the daemon says: to the point, once, and nothing of others that steers whoever reads it.

use crate::start;
use crate::support::{LONG, Side, Start, free_ports, has_root, until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use supervisord::model::state::ProcessState::{Exited, Fatal, Running, Unknown};

/// Makes a program with a name of its own.
fn program(path: &Path, script: &str) {
    fs::write(path, script).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("changed");
}

#[test]
fn a_name_of_a_process_stays_one_word_of_the_log() {
    let daemon = start(
        "[program:app]\ncommand=%(here)s/app\nautostart=false\nstartsecs=0\nautorestart=false\nkillasgroup=true\n\
         stopasgroup=true\n",
    );
    // What is left behind is called by the name of its file.
    let hostile = daemon.path("\n\u{1b}[41mCRIT x");
    fs::copy("/bin/sleep", &hostile).expect("copied");
    program(
        &daemon.path("app"),
        "#!/bin/sh\n\"$(dirname \"$0\")/\n\u{1b}[41mCRIT x\" 1000 &\nuntil grep -q CRIT /proc/$!/comm; do sleep 0.01; done\n",
    );
    daemon.ctl(&["start", "app"]);
    daemon.wait_log("left behind in the process group of 'app'");
    let log = daemon.log();
    assert!(!log.contains('\u{1b}'), "{log:?}");
    let line = log.lines().find(|line| line.contains("left behind")).expect("it is there");
    assert!(line.contains(r"WARN killing '\n\x1b[41mCRIT x' ("), "{line:?}");
    assert!(log.lines().all(|line| line.starts_with("20")), "{log:?}");
}

#[test]
fn an_answer_of_a_listener_stays_one_line_of_the_log_and_why_knows_it() {
    let listener =
        "#!/bin/sh\nprintf 'READY\\n'; read header; printf 'NO\\033[2JSENSE \\302\\233\\n'; sleep 1000\n";
    let daemon = Start::new(
        Side::under_test(),
        "[eventlistener:ears]\ncommand=%(here)s/ears\nevents=PROCESS_STATE\nstartsecs=0\n\
         [program:hello]\ncommand=%(here)s/hello\nautostart=false\n\
         [program:cat]\ncommand=cat\n",
    )
    .prepare();
    program(&daemon.path("ears"), listener);
    program(&daemon.path("hello"), "#!/bin/sh\nsleep 1000\n");
    let mut daemon = daemon;
    daemon.start();
    daemon.wait_log("has entered the UNKNOWN state");
    let log = daemon.log();
    assert!(log.contains(r"ears: bad result line: 'NO\x1b[2JSENSE \u{9b}'"), "{log}");
    assert!(!log.contains(['\u{1b}', '\u{9b}']), "{log:?}");
    let run = daemon.ctl(&["why", "ears"]);
    let expected = r#"note: as an event listener it is UNKNOWN and gets no events any more, because it answered "NO\u{1b}[2JSENSE \u{9b}" where RESULT and a length were due"#;
    assert!(run.stdout.contains(expected), "{run}");
}

#[test]
fn why_and_the_log_tell_one_truth() {
    let daemon = start(
        "[program:soon]\ncommand=true\nstartsecs=60\nstartretries=0\n[program:done]\ncommand=true\nstartsecs=0\n\
         autorestart=false\n",
    );
    daemon.wait_for_state("soon", Fatal, LONG);
    daemon.wait_for_state("done", Exited, LONG);
    daemon.wait_log("exited: soon (exit status 0; not expected)");
    daemon.wait_log("exited: done (exit status 0; expected)");
    let why = daemon.ctl(&["why", "soon"]);
    assert!(why.stdout.contains("exit status 0, not expected"), "{why}");
    let why = daemon.ctl(&["why", "done"]);
    assert!(why.stdout.contains("exit status 0, expected"), "{why}");
}

#[test]
fn what_nobody_reads_gets_one_line_at_start_and_reread() {
    let program = |name: &str, keys: &str| format!("[program:{name}]\ncommand=cat\n{keys}");
    let conf = [
        program("a", "cron=@hourly\nxyz=1\n"),
        program("b", "cron=@daily\nenvFiles=/nowhere\n"),
        program("c", "autostrat=1\n"),
        "[program-default]\nautostart=false\nautostar=false\n".to_string(),
    ];
    let daemon = start(&conf.concat());
    let expected = [
        "[program:a] cron: a key of other supervisors, ignored: nothing starts it; let a crontab call 'supervisord ctl \
         start NAME'; 1 other section has it, too",
        "[program:a] xyz: unknown key, ignored",
        "[program:c] autostrat: unknown key, ignored (did you mean 'autostart'?)",
        "[program-default] autostar: unknown key, ignored (did you mean 'autostart'?)",
    ];
    let told = || -> Vec<String> {
        let lines = daemon.messages().into_iter().filter(|line| line.text.contains("ignored"));
        let warnings = lines.inspect(|line| assert_eq!(line.level, "WARN", "{line:?}"));
        warnings.map(|line| line.text.split_once(": ").map(|(_, text)| text.to_string()).unwrap()).collect()
    };
    assert_eq!(told(), expected);
    daemon.ctl(&["reread"]).expect(0);
    assert_eq!(told(), [expected, expected].concat());
}

#[test]
fn a_private_socket_without_a_password_is_no_reason_to_cry() {
    let [port] = free_ports();
    let daemon = start(&format!(
        "[unix_http_server:open]\nfile=%(here)s/open.sock\nchmod=0777\n[inet_http_server]\nport=127.0.0.1:{port}\n"
    ));
    daemon.wait_log("supervisord started with pid");
    let log = daemon.log();
    assert!(!log.contains("Server 'unix_http_server' running without"), "{log}");
    assert!(log.contains("CRIT Server 'unix_http_server:open' running without any HTTP"), "{log}");
    assert!(log.contains("CRIT Server 'inet_http_server' running without any HTTP"), "{log}");
}

#[test]
fn a_reread_that_fails_names_file_line_and_key() {
    let daemon = start("[program:a]\ncommand=cat\n");
    daemon.write_conf("[program:a]\ncommand=cat\nstartsecs=abc\n");
    let line = daemon.read("supervisord.conf").lines().count();
    let place = format!("  at {}:{line}: [program:a] startsecs\n", daemon.conf().display());
    for command in ["reread", "update"] {
        let run = daemon.ctl(&[command]);
        assert!(run.stdout.contains("invalid literal for int() with base 10: 'abc'"), "{run}");
        assert!(run.stderr.contains(&place), "{run}");
    }
    daemon.write_conf("[include]\nfiles=more\n");
    fs::write(daemon.path("more"), b"[program:b]\ncommand=caf\xe9\n").expect("written");
    let run = daemon.ctl(&["reread"]);
    let place = format!("  at {}:2\n", daemon.path("more").display());
    assert!(run.stdout.contains("can't decode byte 0xe9") && run.stderr.contains(&place), "{run}");
}

#[test]
fn a_start_that_cannot_be_says_where_and_leaves_nothing() {
    let [port] = free_ports();
    let twins =
        format!("[inet_http_server:a]\nport=127.0.0.1:{port}\n[inet_http_server:b]\nport=127.0.0.1:{port}\n");
    let twice =
        format!("At [inet_http_server:b] port=127.0.0.1:{port}: [inet_http_server:a] has the same address\n");
    for (conf, expected) in [
        (
            "[unix_http_server]\nfile=/no/such/dir/s.sock\n",
            "errno.ENOENT (2)\nAt [unix_http_server] file=/no/such/dir/s.sock: No such file or directory\n",
        ),
        (
            "[inet_http_server]\nport=192.0.2.1:9001\n",
            "(99)\nAt [inet_http_server] port=192.0.2.1:9001: Cannot assign requested address\n",
        ),
        (&*twins, &*twice),
        ("[supervisord]\nlogfile=%(here)s\n", "could not open logfile /"),
    ] {
        let (run, daemon) = Start::new(Side::under_test(), conf).run();
        let run = run.expect(2);
        assert!(run.stderr.contains(expected), "{run}");
        let left: Vec<_> = fs::read_dir(daemon.directory()).expect("readable").flatten().collect();
        let names: Vec<_> =
            left.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        assert!(!names.iter().any(|name| name.contains(".pid") || name.contains("sock")), "{names:?}");
    }
}

#[test]
fn root_starts_with_what_everybody_can_change_only_if_it_is_told_to() {
    if !has_root("only root refuses") {
        return;
    }
    let daemon = Start::new(Side::under_test(), "[program:a]\ncommand=cat\n").prepare();
    fs::set_permissions(daemon.conf(), fs::Permissions::from_mode(0o666)).expect("changed");
    let output = daemon.command().output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("everybody can change this file (mode 0666)"), "{told}");
    assert!(told.contains("--allow-unsafe-config") && told.contains("chmod o-w"), "{told}");

    let start =
        Start::new(Side::under_test(), "[program:a]\ncommand=cat\n").arguments(&["--allow-unsafe-config"]);
    let mut daemon = start.prepare();
    fs::set_permissions(daemon.conf(), fs::Permissions::from_mode(0o666)).expect("changed");
    daemon.start();
    daemon.wait_log("everybody can change this file (mode 0666), and with it what is run");

    // What belongs to somebody else is common, and one line.
    let mut daemon = Start::new(Side::under_test(), "[program:a]\ncommand=cat\n").prepare();
    std::os::unix::fs::chown(daemon.conf(), Some(54_321), None).expect("changed");
    daemon.start();
    daemon.wait_log("this file belongs to the user 54321, who can change it, and with it what is run");
    assert_eq!(daemon.log().matches("this file belongs to the user 54321").count(), 1);
    // It goes on when it reads the file again.
    assert_eq!(daemon.ctl(&["reread"]).stdout, "No config updates to processes\n");
}

#[test]
fn a_signal_that_cannot_be_sent_has_a_reason() {
    if !has_root("only root can give a program away") {
        return;
    }
    // A daemon that has lost CAP_KILL cannot signal what runs as somebody else.
    let daemon =
        Start::new(Side::under_test(), "[program:a]\ncommand=sleep 1000\nuser=nobody\nstartsecs=0\n")
            .under(&["setpriv", "--bounding-set=-kill", "--inh-caps=-kill"])
            .ready();
    daemon.wait_for_state("a", Running, LONG);
    let pid = daemon.pid_of("a");
    let run = daemon.ctl(&["stop", "a"]);
    assert!(run.stdout.contains("unknown problem killing a: Operation not permitted\n"), "{run}");
    daemon.wait_for_state("a", Unknown, LONG);
    let why = daemon.ctl(&["why", "a"]);
    assert!(why.stdout.contains("a signal could not be sent to it: Operation not permitted"), "{why}");
    // We still may.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).expect("sent");
    until("it is gone", LONG, || daemon.state_of("a") != Unknown);
}

#[test]
fn a_pipe_is_read_once() {
    let daemon = start("[program:a]\ncommand=cat\n");
    let text = daemon.read("supervisord.conf").replace("s.sock", "t.sock").replace("supervisord.", "second.");
    let text = text.replace("%(here)s", &daemon.directory().display().to_string());
    fs::write(daemon.path("second"), text).expect("written");
    let binary = env!("CARGO_BIN_EXE_supervisord");
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", "exec \"$0\" -n -c <(cat second)", binary]).current_dir(daemon.directory());
    bash.stdout(std::process::Stdio::null());
    daemon.adopt(&mut bash);
    let mut second = bash.spawn().expect("bash runs");
    let url = format!("unix://{}", daemon.path("t.sock").display());
    let ctl = |word: &str| {
        let output =
            std::process::Command::new(binary).args(["ctl", "-s", &url, word]).output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    until("the second daemon answers", LONG, || ctl("status").contains("RUNNING"));
    // Whatever has its number in the daemon is not the configuration.
    assert!(ctl("reread").contains("CANT_REREAD: could not"), "{}", ctl("reread"));
    ctl("shutdown");
    assert!(second.wait().expect("it ends").success());
}
