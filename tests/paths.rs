//! `docs/paths.md` lists every place in the source that does something by a path, and why that is safe.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What names a path: functions of the standard library, rustix, nix and libc.
const CALLS: [&str; 34] = [
    "File::open(",
    "File::create(",
    "File::create_new(",
    "OpenOptions::new(",
    "File::options(",
    "fs::open(",
    "fs::openat(",
    "fs::openat2(",
    "fs::read(",
    "fs::read_to_string(",
    "fs::read_dir(",
    "fs::read_link(",
    "fs::write(",
    "fs::rename(",
    "fs::renameat(",
    "fs::renameat_with(",
    "fs::remove_file(",
    "fs::remove_dir(",
    "fs::remove_dir_all(",
    "fs::unlink(",
    "fs::unlinkat(",
    "fs::create_dir(",
    "fs::create_dir_all(",
    "fs::mkdirat(",
    "DirBuilder::new(",
    "fs::chown(",
    "fs::chownat(",
    "fs::chmod(",
    "fs::chmodat(",
    "fs::set_permissions(",
    "fs::copy(",
    "fs::linkat(",
    "unix::fs::symlink(",
    "UnixListener::bind(",
];

/// The calls in a file of the source, without its tests: how many of each.
fn calls(path: &Path) -> BTreeMap<String, usize> {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let mut found = BTreeMap::new();
    for import in code.split("use ").skip(1).map(|import| import.split(';').next().unwrap_or_default()) {
        let is_about_files = ["std::fs", "rustix::fs", "nix::fcntl", "nix::unistd"]
            .iter()
            .any(|path| import.starts_with(path));
        let words = import.split(|c: char| !c.is_alphanumeric() && c != '_');
        let bare: Vec<&str> =
            words.filter(|word| CALLS.iter().any(|call| *call == format!("fs::{word}("))).collect();
        assert!(
            !is_about_files || bare.is_empty(),
            "{}: write fs::{}( where it is called",
            path.display(),
            bare[0]
        );
    }
    for line in code.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        for call in CALLS {
            let n = line.matches(call).filter(|_| is_whole(line, call)).count();
            if n > 0 {
                *found.entry(call.trim_end_matches('(').to_string()).or_default() += n;
            }
        }
    }
    found
}

/// Whether the call is not the end of a longer name, such as `memfs::open(`.
fn is_whole(line: &str, call: &str) -> bool {
    let at = line.find(call).unwrap_or_default();
    !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// The rows of the list: file, calls, reason.
fn listed(text: &str) -> Vec<[String; 3]> {
    let rows = text.lines().skip_while(|line| !line.starts_with("| file |")).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<String> =
                line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_string()).collect();
            cells.try_into().unwrap_or_else(|_| panic!("three columns: {line}"))
        })
        .collect()
}

#[test]
fn every_path_has_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    files.sort();
    let mut actual = BTreeMap::new();
    for file in files {
        let name = file.strip_prefix(root.join("src")).unwrap().display().to_string();
        if name.starts_with("files/") || name.ends_with("tests.rs") {
            continue;
        }
        let found = calls(&file);
        if !found.is_empty() {
            let text: Vec<String> = found.iter().map(|(call, n)| format!("{call} {n}")).collect();
            actual.insert(name, text.join(", "));
        }
    }
    let text = fs::read_to_string(root.join("docs/paths.md")).unwrap();
    let rows = listed(&text);
    for [file, _, reason] in &rows {
        assert!(reason.len() > 10, "{file} needs a reason");
    }
    let listed: BTreeMap<String, String> = rows.into_iter().map(|[file, calls, _]| (file, calls)).collect();
    let show = |rows: &BTreeMap<String, String>| {
        rows.iter().map(|(file, calls)| format!("| {file} | {calls} |\n")).collect::<String>()
    };
    assert_eq!(show(&actual), show(&listed), "docs/paths.md and the source differ (actual, listed)");
}
