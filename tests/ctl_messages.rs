//! What the client tells people beyond what scripts read: on standard error, and by doing what was meant.

mod ctl_support;
mod support;

use ctl_support::fake::{Fake, Reply, process, structure};
use ctl_support::ours;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use supervisord::rpc::wire::Value;
use support::{has_root, text};

/// Knows `cat`, which runs, and `fresh`, which was found by a reread and is not active.
fn daemon() -> Fake {
    Fake::start(answer)
}

fn answer(method: &str, params: &[Value]) -> Reply {
    let about_cat = params.first() == Some(&text("cat"));
    match method {
        "supervisor.getAllProcessInfo" => {
            Reply::Value(Value::Array(vec![process("cat", "cat", 20, "RUNNING", "")]))
        }
        "supervisor.getAllConfigInfo" => {
            let row = |name: &str, inuse| {
                structure([("name", text(name)), ("group", text(name)), ("inuse", Value::Boolean(inuse))])
            };
            Reply::Value(Value::Array(vec![row("cat", true), row("fresh", false)]))
        }
        "supervisor.getVersion" => Reply::Fault(1, ""),
        "supervisor.reloadConfig" | "supervisord.updateGroups" => {
            Reply::Fault(92, "CANT_REREAD: invalid literal")
        }
        "supervisord.getConfigProblem" => Reply::Value(text("x.conf:7: [program:a] startsecs")),
        "supervisor.addProcessGroup" | "supervisor.removeProcessGroup" => Reply::Value(Value::Boolean(true)),
        _ if about_cat => Reply::Value(Value::Boolean(true)),
        _ => Reply::Fault(10, "BAD_NAME"),
    }
}

#[track_caller]
fn check(fake: &Fake, line: &str, output: &str, hint: &str) {
    let (printed, told, _) = fake.run(line);
    assert_eq!(printed, output, "{line}: {told}");
    assert!(told.contains(hint), "{line}: {told:?}");
}

#[test]
fn what_reread_has_found_is_not_active_yet() {
    let fake = daemon();
    for line in ["start fresh", "stop fresh", "restart fresh:*", "status fresh", "tail fresh", "fg fresh"] {
        let (_, told, _) = fake.run(line);
        let name = line.split(' ').next_back().unwrap_or_default();
        let hint = format!("{name} is configured but not active: update fresh");
        assert!(told.contains(&hint), "{line}: {told:?}");
    }
    check(&fake, "start cta", "cta: ERROR (no such process)\n", "did you mean cat?");
}

#[test]
fn a_group_with_a_star_is_that_group() {
    let fake = daemon();
    check(&fake, "remove cat:*", "cat: removed process group\n", "");
    check(&fake, "add fresh:*", "fresh: added process group\n", "");
    check(&fake, "add fresh:", "fresh: added process group\n", "");
}

#[test]
fn a_configuration_that_cannot_be_read_again_names_the_place() {
    let fake = daemon();
    check(&fake, "reread", "ERROR: CANT_REREAD: invalid literal\n", "  at x.conf:7: [program:a] startsecs\n");
    check(&fake, "update", "error: CANT_REREAD: invalid literal\n", "  at x.conf:7: [program:a] startsecs\n");
}

#[test]
fn options_behind_the_action_are_explained() {
    let fake = daemon();
    let mut client = Command::new(env!("CARGO_BIN_EXE_supervisord"));
    client.arg0("supervisorctl").args(["-s", &fake.url(), "status", "nope", "-c", "x.conf"]);
    let told = told(&client.output().unwrap());
    assert!(told.contains("options come before the action") && told.contains(" -c ... status"), "{told:?}");
    // These have their meaning there.
    assert!(!fake.run("tail -100 nope").1.contains("options come"));
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_second_of_two_restarts_joins_the_first() {
    let n_looks = AtomicUsize::new(0);
    let fake = Fake::start(move |method, params| match method {
        "supervisor.startProcess" => Reply::Fault(60, "ALREADY_STARTED: cat"),
        "supervisor.getProcessInfo" => match n_looks.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Reply::Value(process("cat", "cat", 10, "STARTING", "")),
            _ => Reply::Value(process("cat", "cat", 20, "RUNNING", "")),
        },
        _ => answer(method, params),
    });
    assert_eq!(fake.run("restart cat"), ("cat: stopped\ncat: started\n".into(), String::new(), 0));
    // By itself it is what it always was.
    assert_eq!(fake.run("start cat").0, "cat: ERROR (already started)\n");
    // So is a restart of what could not be stopped.
    let stubborn = Fake::start(|method, params| match method {
        "supervisor.stopProcess" => Reply::Fault(30, "unknown problem killing cat: Operation not permitted"),
        "supervisor.startProcess" => Reply::Fault(60, "ALREADY_STARTED: cat"),
        _ => answer(method, params),
    });
    let expected = "unknown problem killing cat: Operation not permitted\ncat: ERROR (already started)\n";
    assert_eq!(stubborn.run("restart cat").0, expected);
    let failing = Fake::start(|method, params| match method {
        "supervisor.startProcess" => Reply::Fault(60, "ALREADY_STARTED: cat"),
        "supervisor.getProcessInfo" => Reply::Value(process("cat", "cat", 30, "BACKOFF", "")),
        _ => answer(method, params),
    });
    assert_eq!(failing.run("restart cat").0, "cat: stopped\ncat: ERROR (abnormal termination)\n");
}

/// Listens on a port, answers every request with these bytes, and says what it was sent.
fn foreign(answer: &'static [u8]) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (heard, hearing) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut bytes = [0; 4096];
            let n_bytes = connection.read(&mut bytes).unwrap_or(0);
            let _ = heard.send(String::from_utf8_lossy(&bytes[..n_bytes]).into_owned());
            let _ = connection.write_all(answer);
        }
    });
    (url, hearing)
}

#[test]
fn a_server_that_is_none_of_ours_is_doubted() {
    for answer in [
        &b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..],
        b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>",
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    ] {
        let (url, _) = foreign(answer);
        for line in ["status", "avail"] {
            let client =
                Command::new(env!("CARGO_BIN_EXE_supervisord")).args(["ctl", "-s", &url, line]).output();
            let told = told(&client.unwrap());
            let expected = format!("{url} does not answer like a supervisord: check serverurl");
            assert!(told.contains(&expected), "{line}: {told:?}\n{}", String::from_utf8_lossy(answer));
        }
    }
}

#[test]
fn refused_credentials_are_called_so_and_those_of_the_url_are_used() {
    // The words are me:secret.
    let fake = Fake::start_with(Some("Basic bWU6c2VjcmV0".into()), answer);
    let (printed, told, exit) = fake.run("-u me -p wrong avail");
    assert_eq!((printed.as_str(), exit), ("Server requires authentication\n", 1));
    assert!(told.contains(r#"the server refused the username "me" with this password"#), "{told}");
    assert!(fake.run("avail").1.contains("set username and password in [supervisorctl]"));

    let (url, hearing) = foreign(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let url = url.replace("http://", "http://me:secret@");
    let client =
        Command::new(env!("CARGO_BIN_EXE_supervisord")).args(["ctl", "-s", &url, "avail"]).output().unwrap();
    assert!(hearing.recv().unwrap().contains("Authorization: Basic bWU6c2VjcmV0"));
    let all = format!("{}{}", told_of(&client.stdout), told_of(&client.stderr));
    assert!(!all.contains("secret") && all.contains("http://me:********@127.0.0.1"), "{all}");
}

fn told_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A client in a directory of its own with a `supervisord.conf` that is found there.
fn client_in(directory: &Path) -> Command {
    let mut client = ours(Path::new("unused"));
    let program = client.get_program().to_owned();
    client = Command::new(program);
    client.current_dir(directory).env("NETRC", "/nonexistent").env_remove("SUPERVISORCTL_PASSWORD");
    client
}

#[test]
fn a_file_without_the_section_is_named() {
    let fake = daemon();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("supervisord.conf"), "[supervisord]\n").unwrap();
    let output = client_in(directory.path()).args(["ctl", "-s", &fake.url(), "pid"]).output().unwrap();
    assert!(!told(&output).contains("does not include"), "the server was named: {}", told(&output));
    let output = client_in(directory.path()).args(["ctl", "status"]).output().unwrap();
    let told = told(&output);
    assert!(
        told.starts_with("Error: .ini file does not include supervisorctl section\nAt supervisord.conf\n"),
        "{told}"
    );
}

#[test]
fn a_password_goes_only_where_its_owner_or_root_says() {
    if !has_root("files cannot be given away without root") {
        return;
    }
    let (url, hearing) = foreign(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let directory = tempfile::tempdir().unwrap();
    let conf = directory.path().join("supervisord.conf");
    let text = format!("[supervisorctl]\nserverurl={url}\nusername=u\nhistory_file=%(here)s/history\n");
    std::fs::write(&conf, text).unwrap();
    let netrc = directory.path().join("netrc");
    std::fs::write(&netrc, "machine 127.0.0.1 login u password fromnetrc\n").unwrap();
    let ask = |password: Option<&str>, words: &[&str]| {
        let mut client = client_in(directory.path());
        match password {
            Some(password) => client.env("SUPERVISORCTL_PASSWORD", password),
            None => client.env("NETRC", &netrc),
        };
        let output =
            client.args(["ctl", "-c", "supervisord.conf"]).args(words).arg("avail").output().unwrap();
        (hearing.recv().unwrap(), told(&output))
    };
    let authorized = |request: &str| request.contains("Authorization: ");
    assert!(authorized(&ask(Some("topsecret"), &[]).0), "our own file");
    assert!(authorized(&ask(None, &[]).0), "our own file");
    chown(&conf, Some(54_321), None).unwrap();
    let (request, told) = ask(Some("topsecret"), &[]);
    assert!(!authorized(&request), "{request}");
    assert!(told.contains(&format!("SUPERVISORCTL_PASSWORD is not sent to {url}")), "{told}");
    assert!(told.contains("belongs to the user 54321"), "{told}");
    assert!(told.contains("warning: no history is kept in it"), "{told}");
    assert!(!authorized(&ask(None, &[]).0), "a host is not enough");
    std::fs::write(&netrc, format!("machine {url} login u password fromnetrc\n")).unwrap();
    assert!(authorized(&ask(None, &[]).0), "the whole URL is");
    assert!(authorized(&ask(Some("topsecret"), &["-s", &url]).0), "the user said where");
    chown(&conf, Some(0), None).unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(!authorized(&ask(Some("topsecret"), &[]).0), "everybody could have put it there");
}

#[test]
fn root_does_not_take_what_others_left_in_its_way() {
    if !has_root("only root is careful here") {
        return;
    }
    let fake = daemon();
    let directory = tempfile::tempdir().unwrap();
    let conf = directory.path().join("supervisord.conf");
    let text = format!("[supervisord]\nlogfile=nowhere/x\n[supervisorctl]\nserverurl={}\n", fake.url());
    std::fs::write(&conf, text).unwrap();
    let run = |words: &[&str]| client_in(directory.path()).args(words).output().unwrap();
    assert!(run(&["ctl", "avail"]).status.success());
    for (prepare, why) in
        [(0o755, "this file belongs to the user 54321"), (0o777, "everybody can replace this file")]
    {
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(prepare)).unwrap();
        chown(&conf, Some(if prepare == 0o755 { 54_321 } else { 0 }), None).unwrap();
        for words in [&["ctl", "avail"][..], &["-n"], &["check"]] {
            let output = run(words);
            let all = format!("{}{}", told_of(&output.stdout), told_of(&output.stderr));
            assert!(
                all.contains("is not used, because it was found in the current directory")
                    && all.contains(why),
                "{words:?}: {all}"
            );
            assert!(all.contains("name it with -c"), "{words:?}: {all}");
            assert_eq!(output.status.code(), Some(2), "{words:?}: {all}");
        }
        assert!(run(&["ctl", "-c", "supervisord.conf", "avail"]).status.success());
        assert!(run(&["ctl", "-s", &fake.url(), "avail"]).status.success());
    }
}
