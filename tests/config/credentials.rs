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
