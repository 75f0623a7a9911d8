//! Configurations and what they mean; see `corpus.rs` for the form of the files.

mod check;
mod compat;
mod corpus;
mod credentials;
mod differential;
mod documentation;
mod dotenv;
mod from_go;
mod random_configs;
mod sample;
#[path = "../support/mod.rs"]
mod support;
mod variants;
mod wild;

use std::process::Command;

#[test]
fn every_configuration_means_what_the_corpus_says() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut failures = Vec::new();
    for file in corpus::files() {
        let cases = corpus::read(&file);
        let found: Vec<_> = cases.iter().map(corpus::Case::outcome).collect();
        for (case, found) in cases.iter().zip(&found) {
            if case.expected != *found {
                failures.push(format!(
                    "{}: {}\nexpected {:#?}\nfound {found:#?}",
                    file.display(),
                    case.name,
                    case.expected
                ));
            }
        }
        if update {
            corpus::rewrite(&file, &cases, &found);
        }
    }
    assert!(update || failures.is_empty(), "{}", failures.join("\n\n"));
}

/// The binary agrees with the library: `check` ends with 0 for what is right, the daemon with 2 and the same text
/// for what is not.
#[test]
fn exit_statuses_are_right() {
    for case in corpus::files().iter().flat_map(|file| corpus::read(file)) {
        let directory = case.unpack();
        let failure = case.load(&directory).err();
        let output = Command::new(env!("CARGO_BIN_EXE_supervisord"))
            .args(case.arguments_in(&directory))
            .args(failure.is_none().then_some("check"))
            .current_dir(directory.path())
            .env_clear()
            .envs(case.environment_in(&directory))
            .output()
            .expect("the binary runs");
        let printed = String::from_utf8_lossy(&output.stderr);
        let Some(failure) = failure else {
            // What means something may name places that this machine does not have.
            let found = String::from_utf8_lossy(&output.stdout);
            let mut errors = found.lines().filter(|line| line.contains(": error: "));
            let elsewhere = errors.clone().count() > 0 && errors.all(|line| line.contains("_http_server"));
            let told = case.expected.iter().filter(|(section, _)| section == "messages");
            let told = told.flat_map(|(_, lines)| lines.lines()).any(|line| line.starts_with("Error "));
            let expected = if elsewhere || told { 2 } else { 0 };
            assert_eq!(output.status.code(), Some(expected), "{}: {found}", case.name);
            continue;
        };
        let (text, _) = failure.printed.split_once("For help").expect("it tells where help is");
        assert!(printed.contains(text), "{}: {printed}", case.name);
        assert_eq!(output.status.code(), Some(2), "{}: {printed}", case.name);
    }
}

#[test]
fn the_corpus_is_as_large_as_it_claims() {
    let cases: Vec<_> = corpus::files().iter().flat_map(|file| corpus::read(file)).collect();
    let bad = cases.iter().filter(|case| case.expected.iter().any(|(section, _)| section == "error")).count();
    assert!(bad >= 80, "only {bad} bad configurations");
    assert!(cases.len() - bad >= 60, "only {} good configurations", cases.len() - bad);
    let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), cases.len(), "two cases have the same name");
}
