//! What the project is built of: the licences, sources and versions that deny.toml allows, and nothing else. Reads what
//! cargo knows already, so it needs no network.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::process::Command;

/// A part of deny.toml, from its header to the next one, without comments.
fn section(name: &str) -> String {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml")).expect("readable");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let inside = lines.skip_while(|line| *line != format!("[{name}]")).skip(1);
    inside.take_while(|line| !line.starts_with('[')).map(|line| format!("{line}\n")).collect()
}

/// The quoted texts in the array of a key.
fn array(section: &str, key: &str) -> BTreeSet<String> {
    let (_, rest) = section.split_once(&format!("{key} = [")).expect("the key is there");
    let end = rest.find(']').expect("the array ends");
    rest[..end].split('"').skip(1).step_by(2).map(str::to_string).collect()
}

/// Every package that a build for this machine needs, tests and build scripts included.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let nodes = metadata["resolve"]["nodes"].as_array().expect("a tree");
    let needed: HashSet<&str> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    let all = metadata["packages"].as_array().expect("packages").iter();
    all.filter(|package| package["id"].as_str().is_some_and(|id| needed.contains(id))).cloned().collect()
}

fn name(package: &Value) -> String {
    format!("{}@{}", text(package, "name"), text(package, "version"))
}

fn text<'v>(package: &'v Value, key: &str) -> &'v str {
    package[key].as_str().unwrap_or_default()
}

/// Whether an SPDX expression can be met with the licences allowed: one of the alternatives, all of what is joined.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace('/', " OR ");
    expression.split(" AND ").all(|part| {
        let part = part.trim().trim_matches(['(', ')']);
        part.split(" OR ").any(|licence| allowed.contains(licence.trim()))
    })
}

#[test]
fn licences_are_those_allowed() {
    let allowed = array(&section("licenses"), "allow");
    assert!(is_met("(MIT OR GPL-3.0) AND Unicode-3.0", &allowed) && is_met("MIT/GPL-3.0", &allowed));
    assert!(
        !is_met("MIT AND GPL-3.0", &allowed)
            && !is_met("GPL-3.0 OR LGPL-3.0", &allowed)
            && !is_met("", &allowed)
    );
    let packages = packages();
    assert!(packages.len() > 50, "only {} packages", packages.len());
    let wrong: Vec<String> = packages
        .iter()
        .filter(|package| !is_met(text(package, "license"), &allowed))
        .map(|package| format!("{}: {:?}", name(package), package["license"]))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn everything_comes_from_the_one_registry() {
    // cargo-deny knows which; here it is enough that it is a registry, and the same for all.
    let packages = packages();
    let is_ours =
        |package: &&serde_json::Value| package["source"].is_null() && text(package, "name") == "supervisord";
    let sources: BTreeSet<String> = packages
        .iter()
        .filter(|package| !is_ours(package))
        .map(|package| package["source"].to_string())
        .collect();
    assert_eq!(sources.len(), 1, "{sources:#?}");
    assert!(sources.iter().all(|source| source.starts_with("\"registry+")), "{sources:#?}");
}

#[test]
fn no_crate_is_there_twice_but_for_those_listed() {
    let bans = section("bans");
    let crates = |key: &str| -> BTreeSet<String> {
        let (_, rest) = bans.split_once(&format!("{key} = [")).expect("the key is there");
        let entries = rest.split("\n]").next().unwrap_or_default().split("crate = \"").skip(1);
        entries.filter_map(|entry| entry.split('"').next()).map(str::to_string).collect()
    };
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let packages = packages();
    for package in &packages {
        versions.entry(text(package, "name").to_string()).or_default().push(name(package));
    }
    let skipped = crates("skip");
    let twice: Vec<_> = versions
        .values()
        .map(|all| all.iter().filter(|one| !skipped.contains(*one)).collect::<Vec<_>>())
        .filter(|left| left.len() > 1)
        .collect();
    assert!(twice.is_empty(), "{twice:#?}");
    let stale: Vec<_> =
        skipped.iter().filter(|one| !packages.iter().any(|package| name(package) == **one)).collect();
    assert!(stale.is_empty(), "deny.toml lists what is not there any more: {stale:?}");
    let banned: Vec<_> = crates("deny").into_iter().filter(|one| versions.contains_key(one)).collect();
    assert!(banned.is_empty(), "{banned:?}");
}

#[test]
fn release_binaries_do_not_tell_where_they_were_built() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = directory.path().join("main.rs");
    std::fs::write(&source, "fn main() { println!(\"{}\", file!()); }").expect("written");
    let told = |level: &str| {
        let program = directory.path().join("program");
        let wrapper = concat!(env!("CARGO_MANIFEST_DIR"), "/.cargo/rustc");
        let mut rustc = Command::new(wrapper);
        rustc.arg("rustc").arg(&source).args(["-C", &format!("opt-level={level}")]).arg("-o").arg(&program);
        assert!(rustc.current_dir(directory.path()).status().expect("the compiler runs").success());
        String::from_utf8(Command::new(&program).output().expect("it runs").stdout).expect("text")
    };
    assert_eq!(told("3"), "./main.rs\n");
    assert_eq!(told("0"), format!("{}\n", source.display()));
}
