//! Writes into the binary which commit it was built from.
//!
//! Builds for development do not ask: every commit would compile the whole library again.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// As many digits of a commit as people compare.
const DIGITS: usize = 12;

fn main() {
    println!("cargo::rerun-if-env-changed=SUPERVISORD_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let commit = given().or_else(packaged).or_else(checked_out).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=SUPERVISORD_COMMIT={commit}");
}

/// What the builder says: a package is built from an archive, which has no history.
fn given() -> Option<String> {
    short(&env::var("SUPERVISORD_COMMIT").ok()?)
}

/// What `cargo package` wrote into the archive.
fn packaged() -> Option<String> {
    let text = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    println!("cargo::rerun-if-changed=.cargo_vcs_info.json");
    let (_, rest) = text.split_once("\"sha1\"")?;
    short(rest.split('"').nth(1)?)
}

/// What the checkout says, for a build that people will run.
fn checked_out() -> Option<String> {
    if env::var("PROFILE").ok()? == "debug" {
        return Some("development".into());
    }
    // The log of HEAD grows with every commit, checkout and reset.
    for file in [".git/HEAD", ".git/logs/HEAD"] {
        if Path::new(file).exists() {
            println!("cargo::rerun-if-changed={file}");
        }
    }
    if !Path::new(".git").exists() {
        // The repository that git would find further up is another project's.
        return None;
    }
    let told = Command::new("git").args(["rev-parse", "HEAD"]).output().ok()?;
    short(std::str::from_utf8(&told.stdout).ok()?.trim())
}

fn short(commit: &str) -> Option<String> {
    let is_one = commit.len() >= 7 && commit.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_one.then(|| commit[..commit.len().min(DIGITS)].to_string())
}
