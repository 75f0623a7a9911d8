//! The JSON Schemas, held against what they describe by a validator that is not ours.

use crate::corpus;
use crate::support::run;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::Command;
use supervisord::cli::{self, Invocation};
use supervisord::config;

/// Reads a list of a schema and values from stdin, prints what is wrong with each value.
const VALIDATOR: &str = "
import json, sys
import jsonschema_rs
schema, values = json.load(sys.stdin)
validator = jsonschema_rs.Draft202012Validator(schema)
found = []
for value in values:
    errors = [f'{list(error.instance_path)}: {error.message}'[:300] for error in validator.iter_errors(value)]
    found.append(errors)
print(json.dumps(found))
";

fn schema(words: &[&str]) -> Value {
    let ran = run(Command::new(env!("CARGO_BIN_EXE_supervisord")).arg("schema").args(words)).expect(0);
    serde_json::from_str(&ran.stdout).expect("it is JSON")
}

/// What is wrong with each value; `None` where the tools of `make prepare` are missing.
fn problems(schema: &Value, values: &[Value]) -> Option<Vec<Vec<String>>> {
    let venv = std::env::var_os("TOOLS_VENV")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv-tools"), Into::into);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let input = directory.path().join("input.json");
    std::fs::write(&input, json!([schema, values]).to_string()).expect("written");
    let stdin = std::fs::File::open(&input).expect("readable");
    let ran = Command::new(venv.join("bin/python")).args(["-c", VALIDATOR]).stdin(stdin).output();
    let Ok(ran) = ran.map_err(|error| println!("skipped: no tools: {error}")) else { return None };
    let said = String::from_utf8_lossy(&ran.stderr);
    if said.contains("ModuleNotFoundError") {
        println!("skipped: {said}");
        return None;
    }
    assert!(ran.status.success(), "{said}");
    Some(serde_json::from_slice(&ran.stdout).expect("it prints JSON"))
}

/// The effective configuration of every right case of the corpus, as JSON.
fn configurations() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for file in corpus::files() {
        for case in corpus::read(&file) {
            let directory = case.unpack();
            let words = std::iter::once("supervisord".to_string()).chain(case.arguments_in(&directory));
            let Invocation::Daemon(args) = cli::parse(words.map(Into::into).collect()) else { continue };
            let Ok(settings) = config::settings(&args, &case.surroundings(&directory)) else { continue };
            // Values that are taken with a warning are not right, only understood.
            if case.expected.iter().any(|(kind, _)| kind == "messages") {
                continue;
            }
            let mut sections: Map<String, Value> = Map::new();
            for setting in settings {
                let section = sections.entry(setting.section).or_insert_with(|| json!({}));
                section[setting.key.as_ref()] = Value::String(setting.value);
            }
            found.push((case.name.clone(), Value::Object(sections)));
        }
    }
    found
}

#[test]
fn every_right_configuration_of_the_corpus_fits() {
    let configurations = configurations();
    assert!(configurations.len() > 80, "{}", configurations.len());
    let (names, values): (Vec<String>, Vec<Value>) = configurations.into_iter().unzip();
    let Some(found) = problems(&schema(&[]), &values) else { return };
    let wrong: Vec<String> = names
        .iter()
        .zip(found)
        .filter(|(_, errors)| !errors.is_empty())
        .map(|(name, errors)| format!("{name}: {}", errors.join("; ")))
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), names.len(), wrong.join("\n"));
}

#[test]
fn mistakes_do_not_fit() {
    let wrong = [
        json!({"program:x": {"autostart": "maybe"}}),
        json!({"program:x": {"stopwaitsecs": "soon"}}),
        json!({"program:x": {"no_such_key": "1"}}),
        json!({"program:x": {"type": "forking"}}),
        json!({"program:x": {"command": 1}}),
        json!({"no_such_section": {}}),
        json!({"supervisord": {"loglevel": "loud"}}),
    ];
    let right = [
        json!({"program:x": {"autostart": "%(ENV_START)s", "credential.KEY": "/x", "type": "ONESHOT"}}),
        json!({"ctlplugin:x": {"anything": "1"}, "inet_http_server:two": {"port": "9001"}, "DEFAULT": {"a": "b"}}),
    ];
    let Some(found) = problems(&schema(&[]), &[&wrong[..], &right[..]].concat()) else { return };
    for (value, errors) in wrong.iter().chain(&right).zip(&found) {
        assert_eq!(errors.is_empty(), right.contains(value), "{value}: {errors:?}");
    }
}

#[test]
fn what_check_prints_fits() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("x.conf");
    let mut outputs = Vec::new();
    for text in [
        "[supervisord]\n",
        "[supervisord]\nno_such=1\n[program:x]\ncommand=/no/such/file\nautostart=maybe\n",
        "[program:x]\n",
        "no section",
        "[program:x]\ncommand=/bin/cat\nuser=nobody\n",
    ] {
        std::fs::write(&path, text).expect("written");
        let ran = Command::new(env!("CARGO_BIN_EXE_supervisord"))
            .arg("-c")
            .arg(&path)
            .args(["check", "--json"])
            .output();
        let ran = ran.expect("it runs");
        outputs.push(serde_json::from_slice(&ran.stdout).expect("it is JSON"));
    }
    let ran =
        Command::new(env!("CARGO_BIN_EXE_supervisord")).args(["-c", "/no/such", "check", "--json"]).output();
    outputs.push(serde_json::from_slice(&ran.expect("it runs").stdout).expect("it is JSON"));
    outputs.push(json!({"file": null}));
    for words in [&["check"][..], &["--check"]] {
        let Some(found) = problems(&schema(words), &outputs) else { return };
        let (last, right) = found.split_last().expect("there are several");
        assert!(right.iter().all(Vec::is_empty), "{right:?}");
        assert!(!last.is_empty(), "half of it is too little");
    }
}
