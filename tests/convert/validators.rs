//! What others say of exported files.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// What is wrong with texts of a kind (`compose`, `kubernetes`, `nomad`), each with its name. `None` where the tools of
/// `make prepare` are missing, which is said.
pub fn problems(kind: &str, texts: &[(String, String)]) -> Option<Vec<String>> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let paths: Vec<_> =
        (0..texts.len()).map(|number| directory.path().join(format!("{number}.file"))).collect();
    for (path, (_, text)) in paths.iter().zip(texts) {
        std::fs::write(path, text).expect("written");
    }
    let venv = std::env::var_os("TOOLS_VENV")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv-tools"), Into::into);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/convert/validate.py");
    let output = Command::new(venv.join("bin/python")).arg(script).arg(kind).args(&paths).output();
    let Ok(output) = output else { return skipped(kind) };
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        assert!(said.contains("ModuleNotFoundError"), "{said}");
        return skipped(kind);
    }
    let found: Vec<Value> = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let found = found.iter().zip(texts);
    Some(
        found
            .filter_map(|(problem, (name, text))| Some(format!("{name}: {}\n{text}", problem.as_str()?)))
            .collect(),
    )
}

fn skipped(kind: &str) -> Option<Vec<String>> {
    println!("skipped: what reads {kind} files is not in TOOLS_VENV (`make prepare` installs it)");
    None
}

/// Fails if there is something wrong with one of the texts.
#[track_caller]
pub fn assert_right(kind: &str, texts: &[(String, String)]) {
    let problems = problems(kind, texts).unwrap_or_default();
    assert!(
        problems.is_empty(),
        "{} of {}: {}",
        problems.len(),
        texts.len(),
        problems[..problems.len().min(5)].join("\n\n")
    );
}

#[test]
fn mistakes_are_found() {
    let container = "containers: [{name: a, image: b, command: [x]}]";
    let job = |spec: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: a}}\nspec: {{template: {{spec: {{{spec}}}}}}}\n"
        )
    };
    let group = |group: &str| format!("job \"a\" {{\n group \"g\" {{\n{group}\n}}\n}}\n");
    for (kind, text, expected) in [
        ("compose", "services: {a: {image: b}}".to_string(), None),
        ("compose", "services: {a: {image: b, nope: 1}}".to_string(), Some("nope")),
        ("compose", "services: {a: {image: b, command: [$X]}}".to_string(), Some("X")),
        ("compose", "services: {a: {image: b, depends_on: [c]}}".to_string(), Some("c")),
        ("kubernetes", job(&format!("restartPolicy: Never, {container}")), None),
        ("kubernetes", job(&format!("restartPolicy: Never, nope: 1, {container}")), Some("nope")),
        ("kubernetes", job("containers: []").replace("name: a", "name: A_b"), Some("A_b")),
        ("nomad", group("count = 1"), None),
        ("nomad", group("nope = 1"), Some("nope")),
        ("nomad", group("count = \"${x"), Some("Unexpected")),
    ] {
        let found = problems(kind, &[("it".to_string(), text.clone())]);
        let Some(found) = found else { return };
        match expected {
            None => assert!(found.is_empty(), "{found:?}"),
            Some(expected) => {
                assert!(found.iter().any(|problem| problem.contains(expected)), "{text} {found:?}")
            }
        }
    }
}
