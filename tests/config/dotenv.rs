//! Files of `environment_file`: a corpus with what each means, compared with python-dotenv, which reads the same dialect but
//! for what [`DIFFERENT`] lists.
//!
//! Beside `NAME.env` lies `NAME.json`: the variables, or the error as a text. `UPDATE_GOLDEN=1` writes them.

use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use supervisord::config::dotenv;

/// Where we differ from python-dotenv on purpose: the file, the variable, what it means there (`null`: nothing, the line is
/// skipped), and why.
const DIFFERENT: [(&str, &str, &str, &str); 18] = [
    ("bell", "ESCAPES", r#""\u0007\b\f\u000b""#, "only what compose and shells know is an escape"),
    ("backslash_in_single_quotes", "TWO", r#""a\\b""#, "nothing means anything else in single quotes"),
    // There the quote is escaped, so it has no end.
    ("backslash_in_single_quotes", "LAST", "null", "nothing means anything else in single quotes"),
    ("dollar_in_double_quotes", "ESCAPED", r#""a\\$b""#, "a file for a shell or for compose escapes it so"),
    ("dollar_in_double_quotes", "BACKTICK", r#""a\\`b""#, "a file for a shell escapes it so"),
    ("windows_lines", "A", r#""one\ntwo""#, "what stands in quotes is kept as it is"),
    ("no_break_space", "A", r#""x""#, "only ASCII's blanks are blanks"),
    // There what is not understood is skipped with a warning; here the program does not start with half of its variables.
    ("blank_in_name", "A", r#""1""#, "a wrong line is an error"),
    ("escaped_single_quote", "A", r#""1""#, "a wrong line is an error"),
    (
        "escaped_single_quote",
        "KEY6",
        r##""adsf#'#sdf'jklo""##,
        "nothing means anything else in single quotes",
    ),
    ("hashes_behind_quotes", "KEY0", r#""val#bla""#, "a wrong line is an error"),
    ("hashes_behind_quotes", "KEY1", r#""val #space""#, "in a shell it would be part of the value"),
    ("no_end", "A", r#""1""#, "a wrong line is an error"),
    ("no_end", "C", r#""3""#, "a wrong line is an error"),
    ("no_value", "A", r#""1""#, "a wrong line is an error"),
    ("no_value", "B", "null", "a wrong line is an error"),
    ("no_value", "C", r#""3""#, "a wrong line is an error"),
    ("quoted_name", "A", r#""1""#, "a wrong line is an error"),
];

fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/dotenv");
    let entries = fs::read_dir(directory).expect("the corpus is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "env"));
    files.sort();
    assert!(files.len() > 15, "{files:?}");
    files
}

fn name(path: &Path) -> String {
    path.file_stem().expect("it has a name").to_string_lossy().into_owned()
}

/// What a file means to us.
fn meaning(path: &Path) -> Value {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the corpus is text");
    match dotenv::parse(&fs::read(path).expect("readable")) {
        Ok(variables) => {
            variables.into_iter().map(|(name, value)| (text(name), json!(text(value)))).collect()
        }
        Err(error) => json!(error.to_string()),
    }
}

#[test]
fn every_file_means_what_is_written_beside_it() {
    for path in files() {
        let (found, beside) = (meaning(&path), path.with_extension("json"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&beside, format!("{found:#}\n")).expect("the sources can be written");
        }
        let expected = fs::read_to_string(&beside).expect("there is what it means");
        assert_eq!(format!("{found:#}\n"), expected, "{}", path.display());
    }
}

const READER: &str = "
import json, sys
from dotenv import dotenv_values
print(json.dumps([dict(dotenv_values(path, interpolate=False, encoding='utf-8-sig')) for path in sys.argv[1:]]))
";

/// What files mean to python-dotenv; `None` where it is not installed.
fn meanings_there(files: &[PathBuf]) -> Option<Vec<Map<String, Value>>> {
    let venv = std::env::var_os("TOOLS_VENV")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv-tools"), PathBuf::from);
    let output = Command::new(venv.join("bin/python")).args(["-c", READER]).args(files).output().ok()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("No module named 'dotenv'"), "{said}");
        return None;
    }
    Some(serde_json::from_slice(&output.stdout).expect("it prints JSON"))
}

#[test]
fn where_others_differ_is_known() {
    let files = files();
    let Some(theirs) = meanings_there(&files) else {
        println!("skipped: python-dotenv is not in TOOLS_VENV (`make prepare` installs it)");
        return;
    };
    let (mut found, nothing) = (BTreeSet::new(), Map::new());
    for (path, theirs) in files.iter().zip(theirs) {
        let ours = meaning(path);
        let ours = ours.as_object().unwrap_or(&nothing);
        for key in ours.keys().chain(theirs.keys()) {
            if ours.get(key) != theirs.get(key) {
                let there = theirs.get(key).cloned().unwrap_or_default().to_string();
                found.insert((name(path), key.clone(), there));
            }
        }
    }
    let known: BTreeSet<(String, String, String)> = DIFFERENT
        .iter()
        .map(|(file, key, there, _)| (file.to_string(), key.to_string(), there.to_string()))
        .collect();
    assert_eq!(found, known);
}
