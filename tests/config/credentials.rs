//! `credential.NAME` and `supplementary_groups`, as they are read, checked and dumped.

use std::path::{Path, PathBuf};
use supervisord::config::args::DaemonArgs;
use supervisord::config::{self, Document, Surroundings};
use supervisord::model::config::{Config, ProcessConfig};

fn read(text: &str) -> Result<Config, String> {
    let around = Surroundings::of_this_process();
    config::parse(Path::new("/etc/x.conf"), text, &DaemonArgs::default(), &around)
        .map_err(|errors| errors.to_string())
}

#[track_caller]
fn process(text: &str) -> ProcessConfig {
    let config = read(&format!("[supervisord]\n{text}")).expect(text);
    (*config.groups[0].processes[0]).clone()
}

#[test]
fn names_keep_their_case_and_values_are_paths() {
    let process = process(
        "[DEFAULT]\ncredential.all=/all\n[program:x]\ncommand=cat\ncredential.b=/b\ncredential.B=-relative\n\
         Credential.A-1.pem = %(here)s/%(program_name)s\n",
    );
    let here = std::env::current_dir().expect("there is one");
    let found: Vec<(&str, PathBuf, bool)> =
        process.credentials.iter().map(|it| (&*it.name, it.path.clone(), it.may_be_missing)).collect();
    let expected = [
        ("A-1.pem", PathBuf::from("/etc/x"), false),
        ("B", here.join("relative"), true),
        ("all", PathBuf::from("/all"), false),
        ("b", PathBuf::from("/b"), false),
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_is_no_name_or_no_path_is_said() {
    for (line, expected) in [
        ("credential.=/x", "'' is no name for a credential"),
        ("credential...=/x", "'..' is no name"),
        ("credential.a/b=/x", "'a/b' is no name"),
        ("credential.a=", "'' names no file"),
        ("credential.a=-", "'-' names no file"),
        ("supplementary_groups=nosuchgroup", "Invalid group nosuchgroup"),
    ] {
        let why = read(&format!("[supervisord]\n[program:x]\ncommand=cat\n{line}\n")).expect_err(line);
        assert!(why.starts_with(expected) && why.contains("in section 'program:x'"), "{line}: {why}");
    }
    let many: String = (0..65).map(|number| format!("credential.{number}=/x\n")).collect();
    let why = read(&format!("[supervisord]\n[program:x]\ncommand=cat\n{many}")).expect_err("too many");
    assert!(why.contains("it has 65 credentials, and at most 64 are possible"), "{why}");
}

#[test]
fn groups_are_names_or_any_numbers() {
    let process =
        process("[program:x]\ncommand=cat\nsupplementary_groups=54321, root,0,\nuser=12345:54321\n");
    assert_eq!(process.supplementary_groups, [0, 54321]);
    assert_eq!(process.user.and_then(|user| user.gid), Some(54321));
}

#[test]
fn only_programs_know_them() {
    let document =
        Document::parse(Path::new("x.conf"), "[supervisord]\ncredential.a=/x\n").expect("it is one");
    let keys: Vec<&str> = document.own_keys("supervisord").map(|(key, _)| key).collect();
    assert_eq!(keys, ["credential.a"]);
    let config = read("[supervisord]\ncredential.a=/x\n").expect("it is only ignored");
    let said: Vec<&str> = config.messages.iter().map(|message| &*message.text).collect();
    assert!(said[0].contains("unknown key, ignored (it belongs in [program:x])"), "{said:?}");
}

#[test]
fn a_dump_has_each_of_them_by_its_name() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("x.conf");
    let text = "[supervisord]\n[program:x]\ncommand=cat\ncredential.TLS=/k\ncredential.db=-/d\n";
    std::fs::write(&path, text).expect("written");
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_supervisord"))
        .args(["check", "--dump", "-c"])
        .arg(&path)
        .output()
        .expect("the binary runs");
    let dump = String::from_utf8_lossy(&run.stdout);
    let found: Vec<&str> = dump
        .lines()
        .filter(|line| line.starts_with("cred"))
        .map(|line| line.split(" ;").next().unwrap_or("").trim())
        .collect();
    assert_eq!(found, ["credential.TLS=/k", "credential.db=-/d"], "{dump}");
    assert!(!dump.contains("credential.NAME"), "{dump}");
}

/// What `check` says of a configuration, without the places.
fn said(directory: &Path, text: &str, strict_status: i32) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt;
    let path = directory.join("x.conf");
    std::fs::write(&path, format!("[supervisord]\nchildlogdir={}\n{text}", directory.display()))
        .expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("ours");
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_supervisord"))
        .args(["check", "--strict", "-c"])
        .arg(&path)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .expect("the binary runs");
    let printed = String::from_utf8_lossy(&run.stdout).replace(&*directory.to_string_lossy(), "$DIR");
    assert_eq!(run.status.code(), Some(strict_status), "{printed}");
    let lines = printed.lines().filter_map(|line| line.split_once(": ")).map(|(_, text)| text.to_string());
    lines.collect()
}

#[test]
fn a_check_tells_who_else_can_read_what_is_secret() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str, mode: u32| {
        let path = directory.path().join(name);
        std::fs::write(&path, "A=1\n").expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("ours");
        path
    };
    let section = |keys: &str| {
        let here = directory.path().display();
        said(
            directory.path(),
            &format!("[program:x]\ncommand=cat\n{}\n", keys.replace("$DIR", &here.to_string())),
            0,
        )
    };
    file("private", 0o600);
    file("open", 0o604);
    let all =
        "credential.a=$DIR/private\ncredential.b=-$DIR/missing\nenvironment_file=$DIR/private, -$DIR/missing";
    assert_eq!(section(all), ["nothing wrong"]);
    assert_eq!(
        section("environment_file=$DIR/open"),
        [
            "hint: [program:x] environment_file: everybody can read '$DIR/open' (mode 0604): chmod o-r if it holds a secret",
            "nothing wrong"
        ]
    );
    let warned = |keys: &str| {
        let here = directory.path().display();
        let text = format!("[program:x]\ncommand=cat\n{}\n", keys.replace("$DIR", &here.to_string()));
        said(directory.path(), &text, 1).remove(0)
    };
    assert_eq!(
        warned("credential.a=$DIR/open"),
        "warning: [program:x] credential.a: everybody can read '$DIR/open' (mode 0604): chmod o-r if it holds a secret"
    );
    assert_eq!(
        warned("credential.A=$DIR/missing"),
        "warning: [program:x] credential.A: there is no file '$DIR/missing', without which it does not start"
    );
    assert_eq!(
        warned("credential.a=/dev/null"),
        "warning: [program:x] credential.a: '/dev/null' is not a regular file"
    );
    let shared = file("shared", 0o640);
    if chown(&shared, None, Some(54_321)).is_ok() {
        let hints = section("credential.a=$DIR/shared");
        assert!(
            hints[0].starts_with("hint: [program:x] credential.a: the members of group 54321 can read"),
            "{hints:?}"
        );
    }
}

#[test]
fn a_check_hints_at_a_home_that_is_the_daemon_s() {
    if !crate::support::has_root("takes root, to run programs as another user") {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let section = |keys: &str| said(directory.path(), &format!("[program:x]\ncommand=cat\n{keys}\n"), 0);
    assert_eq!(
        section("user=54321"),
        [
            "hint: [program:x] user: it runs as '54321' with the HOME that the daemon was started with: \
             user_environment=true sets HOME, USER, LOGNAME and SHELL",
            "nothing wrong"
        ]
    );
    for keys in [
        "user=root",
        "user=54321\nenvironment=HOME=/",
        "user=54321\nenvironment_inherit=none",
        "user=daemon\nuser_environment=true",
    ] {
        assert_eq!(section(keys), ["nothing wrong"], "{keys}");
    }
}
