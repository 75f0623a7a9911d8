//! Who may know whom, and what must stay absent: ARCHITECTURE.md says it, this reads the source and holds it.
//!
//! A room is a folder of `src`, or a file beside them. An arrow goes from a room to another whose name stands in its code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms it knows, from the ground up: a room knows only rooms that stand above its own line.
const ARROWS: [(&str, &[&str]); 21] = [
    ("model", &[]),
    ("core", &["model"]),
    ("sys", &["model"]),
    ("files", &["sys"]),
    ("rt", &["model", "sys"]),
    ("probe", &["files", "model", "rt", "sys"]),
    ("config", &["files", "model"]),
    // The state machine's data goes into the slots as it is.
    ("shm", &["core", "model", "sys"]),
    ("keeper", &["model", "shm", "sys"]),
    ("log", &["files", "model", "rt", "shm", "sys"]),
    ("control", &["config", "log", "model"]),
    ("rpc", &["config", "control", "files", "log", "model", "rt"]),
    ("http", &["config", "control", "files", "log", "model", "rpc", "rt", "sys"]),
    (
        "manager",
        &[
            "config", "control", "core", "files", "http", "keeper", "log", "model", "probe", "rt", "shm",
            "sys",
        ],
    ),
    ("check", &["config", "model", "rpc", "sys"]),
    // What is asked and how it stands on the wire; never who answers.
    ("ctl", &["config", "model", "rpc"]),
    ("pidproxy", &["model", "sys"]),
    ("service", &["config", "files", "model"]),
    ("convert", &["config", "model"]),
    ("cli", &["check", "config", "convert", "ctl", "manager", "model", "pidproxy", "service", "sys"]),
    ("main", &["cli", "keeper", "manager"]),
];

/// What stands nowhere but in some places.
struct Absence {
    /// What reads on from "only there: ".
    why: &'static str,
    words: &'static [&'static str],
    /// Files and folders of `src` in which the words may stand; a folder ends with a slash.
    only_in: &'static [&'static str],
}

const ABSENCES: [Absence; 7] = [
    Absence {
        why: "unsafe code, each use with its proof",
        words: &["unsafe {", "unsafe fn ", "unsafe impl ", "unsafe extern "],
        only_in: &["sys/", "shm/", "keeper/"],
    },
    Absence {
        why: "the name of the runtime, so that changing it changes one room",
        words: &["async_std", "async_io", "async_executor", "signal_hook_async_std"],
        only_in: &["rt/"],
    },
    Absence {
        why: "whoever waits for children, which is the keeper, and what starts one of its own and waits for that alone",
        words: &["waitpid(", "waitid(", "wait4(", "waitpgid(", "wait_any("],
        only_in: &["keeper/run.rs", "sys/"],
    },
    Absence {
        // The client is a process of its own that asks a daemon again.
        why: "sleep: the busy drain naps while a pipe fills, in a thread of its own; the client waits for what it asked",
        words: &["thread::sleep(", "nanosleep(", "sleep_ms("],
        only_in: &["log/drain/busy.rs", "ctl/orders.rs", "ctl/commands/status.rs", "ctl/commands/update.rs"],
    },
    Absence {
        // Watching files where inotify fails, looking while somebody looks, logs that do not work: each has an end.
        why: "a timer of the runtime, because whatever is due has a deadline in the loop",
        words: &["Timer::after(", "Timer::at(", "Timer::interval("],
        only_in: &[
            "rt/",
            "log/drain/pump.rs",
            "log/sinks/remote/mod.rs",
            "log/sinks/remote/connect.rs",
            "log/sinks/remote/send.rs",
            "log/drain/retry.rs",
            "http/guard/guesses.rs",
            "http/net/serve.rs",
            "http/site.rs",
            "http/net/socket.rs",
            "http/live/usage.rs",
            "http/live/watch.rs",
            "probe/network/mod.rs",
        ],
    },
    Absence {
        why: "who may answer a client, so that no answer leaves before what it depends on is saved",
        words: &["Outbox", "Sender<Result<T, Fault>>"],
        only_in: &["control/", "manager/answers.rs"],
    },
    Absence {
        // The keeper, and a manager before it has a log, have nothing else.
        why: "printing: everybody else returns a text or logs",
        words: &["println!(", "print!("],
        only_in: &[
            "cli/",
            "ctl/",
            "check/",
            "config/sample.rs",
            "keeper/",
            "manager/launch/mod.rs",
            "manager/life/start.rs",
            "pidproxy.rs",
        ],
    },
];

/// What a room does without: words of time and of the system.
const CORE_IS_PURE: [&str; 9] = [
    "std::time::Instant",
    "SystemTime",
    "Instant::now",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "rustix",
    "nix::",
];

fn sources() -> Vec<PathBuf> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found.sort();
    let tests: Vec<PathBuf> = found.iter().flat_map(|path| test_files(path)).collect();
    found.retain(|path| !tests.contains(path));
    found
}

/// The files that a file declares as tests.
fn test_files(path: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(path).unwrap();
    let folder = match path.file_name().and_then(|name| name.to_str()) {
        Some("mod.rs" | "lib.rs" | "main.rs") => path.parent().unwrap().to_path_buf(),
        _ => path.with_extension(""),
    };
    let declared = text.split("#[cfg(test)]\nmod ").skip(1);
    let names = declared.filter_map(|rest| rest.split_once(';')).map(|(name, _)| name);
    names
        .filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
        .map(|name| folder.join(name).with_extension("rs"))
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_str().unwrap().to_string()
}

fn room(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The code of a file, without comments and without the tests at its end.
fn code(path: &Path) -> String {
    without_comments(&fs::read_to_string(path).unwrap())
}

fn without_comments(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    // A `//` in a string is behind a quote or a colon.
    let lines = code.lines().map(|line| match line.find("//") {
        Some(at) if !line[..at].contains('"') => &line[..at],
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The rooms that stand in some code, whether it names them one by one or in braces.
fn named(code: &str, own_crate: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices(own_crate) {
        let rest = &code[at + own_crate.len()..];
        let whole =
            code[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '$');
        if !whole {
            continue;
        }
        let names: Vec<&str> = match rest.strip_prefix('{') {
            Some(list) => top_level(list),
            None => vec![rest],
        };
        for name in names {
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
            let name = &name[..end];
            // A macro of the crate is no room.
            if name.starts_with(|c: char| c.is_lowercase()) && name != "crit" {
                rooms.insert(name.to_string());
            }
        }
    }
    rooms
}

/// The items of a list in braces whose opening has been taken off.
fn top_level(list: &str) -> Vec<&str> {
    let (mut items, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(list[start..at].trim());
                return items;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(list[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    items
}

/// Every arrow that is drawn, with the files it starts from.
fn drawn() -> BTreeMap<(String, String), Vec<String>> {
    let mut arrows: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for path in sources() {
        let file = relative(&path);
        if file == "lib.rs" {
            continue;
        }
        let code = code(&path);
        let own_crate = if file == "main.rs" { "supervisord::" } else { "crate::" };
        for known in named(&code, own_crate) {
            if known != room(&file) {
                arrows.entry((room(&file).to_string(), known)).or_default().push(file.clone());
            }
        }
    }
    arrows
}

#[test]
fn rooms_know_whom_they_may_know_and_nobody_else() {
    let allowed: BTreeSet<(String, String)> =
        ARROWS.iter().flat_map(|(from, to)| to.iter().map(|to| (from.to_string(), to.to_string()))).collect();
    let drawn = drawn();
    let forbidden: Vec<String> = drawn
        .iter()
        .filter(|(arrow, _)| !allowed.contains(arrow))
        .map(|((from, to), files)| format!("{from} -> {to}: {}", files.join(", ")))
        .collect();
    assert!(forbidden.is_empty(), "arrows that are not in the table:\n{}", forbidden.join("\n"));
    let unused: Vec<_> = allowed.iter().filter(|arrow| !drawn.contains_key(*arrow)).collect();
    assert!(unused.is_empty(), "arrows of the table that nobody draws: {unused:?}");
}

#[test]
fn no_arrow_goes_back_up() {
    for (at, (room, knows)) in ARROWS.iter().enumerate() {
        for known in *knows {
            let place = ARROWS.iter().position(|(name, _)| name == known);
            assert!(place.is_some_and(|place| place < at), "{room} -> {known} makes a circle possible");
        }
    }
    let rooms: BTreeSet<String> = sources().iter().map(|path| room(&relative(path)).to_string()).collect();
    let listed: BTreeSet<String> =
        ARROWS.iter().map(|(room, _)| room.to_string()).chain(["lib".to_string()]).collect();
    assert_eq!(rooms, listed, "the rooms of src, and those of the table");
}

/// The rows below a heading of ARCHITECTURE.md's tables, without their head, cell by cell.
fn rows_below(heading: &str) -> Vec<Vec<String>> {
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    let section = map.split(&format!("\n## {heading}\n")).nth(1).expect("the map has this heading");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    rows.skip(2).map(|row| row.split('|').map(|cell| cell.trim().to_string()).collect()).collect()
}

#[test]
fn the_map_shows_the_same_arrows() {
    let shown: Vec<(String, String)> = rows_below("Who may know whom")
        .into_iter()
        .map(|row| (row[0].trim_matches('`').to_string(), row[1].clone()))
        .collect();
    let listed: Vec<(String, String)> = ARROWS
        .iter()
        .map(|(room, knows)| {
            let knows = if knows.is_empty() { "nobody".to_string() } else { knows.join(", ") };
            (room.to_string(), knows)
        })
        .collect();
    assert_eq!(shown, listed, "the rows of ARCHITECTURE.md, and those of this file");
}

#[test]
fn the_map_shows_whatever_stands_in_src() {
    let shown: BTreeSet<String> = rows_below("The tree")
        .iter()
        .flat_map(|row| row[0].split(", ").map(|name| name.trim_matches('`').to_string()))
        .collect();
    let there: BTreeSet<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let slash = if entry.path().is_dir() { "/" } else { "" };
            format!("{}{slash}", entry.file_name().to_str().unwrap())
        })
        .collect();
    let missing: Vec<&String> = there.difference(&shown).collect();
    assert!(missing.is_empty(), "not in the tree of ARCHITECTURE.md: {missing:?}");
    let gone: Vec<&String> = shown.iter().filter(|name| !root().join(name).exists()).collect();
    assert!(gone.is_empty(), "in the tree of ARCHITECTURE.md, and not in src: {gone:?}");
}

#[test]
fn what_must_stay_absent_is_absent() {
    let mut found = Vec::new();
    for path in sources() {
        let (file, code) = (relative(&path), code(&path));
        for absence in &ABSENCES {
            let allowed = absence.only_in.iter().any(|place| match place.strip_suffix('/') {
                Some(_) => file.starts_with(place),
                None => file == *place,
            });
            let words = absence.words.iter().filter(|word| code.contains(**word));
            if !allowed {
                found.extend(words.map(|word| format!("{file}: {word} (only there: {})", absence.why)));
            }
        }
        if room(&file) == "core" {
            let words = CORE_IS_PURE.iter().filter(|word| code.contains(**word));
            found.extend(words.map(|word| format!("{file}: {word} (core reads no clock and calls nothing)")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    let files: BTreeSet<String> = sources().iter().map(|path| relative(path)).collect();
    for place in ABSENCES.iter().flat_map(|absence| absence.only_in) {
        assert!(files.iter().any(|file| file.starts_with(place)), "{place} is no place of src any more");
    }
}

/// One style: a reader finds the file of a module where the others of its folder are.
#[test]
fn the_file_of_a_module_is_inside_of_its_folder() {
    let beside: Vec<String> =
        sources().iter().filter(|path| path.with_extension("").is_dir()).map(|path| relative(path)).collect();
    assert!(beside.is_empty(), "beside a folder of the same name instead of being its mod.rs: {beside:?}");
}

/// Whether code puts something in the place of a part of the daemon.
fn replaces(code: &str, part: &str) -> bool {
    ["self", "daemon"].iter().any(|daemon| {
        let field = format!("{daemon}.{part}");
        code.match_indices(&field).any(|(at, _)| {
            let rest = code[at + field.len()..].trim_start();
            ["= ", "=\n", "+= ", "-= ", "|= ", "&= "].iter().any(|assignment| rest.starts_with(assignment))
        })
    })
}

#[test]
fn each_part_of_the_daemon_alone_writes_its_fields() {
    let daemon = code(&root().join("manager/daemon.rs"));
    let fields = daemon.split("pub struct Daemon {").nth(1).unwrap().split('}').next().unwrap();
    let parts: Vec<&str> =
        fields.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next()).collect();
    assert!(parts.len() > 10, "{parts:?}");
    let mut replaced = Vec::new();
    for path in sources().iter().filter(|path| room(&relative(path)) == "manager") {
        let code = code(path);
        // How many descriptors are needed is a sum.
        let parts = parts.iter().filter(|part| **part != "needs" || !path.ends_with("thrift.rs"));
        replaced.extend(
            parts.filter(|part| replaces(&code, part)).map(|part| format!("{}: {part}", relative(path))),
        );
    }
    assert!(replaced.is_empty(), "parts that others replace: {replaced:?}");
    assert!(replaces("daemon.life = Life::begin();", "life") && replaces("self.n += 1;", "n"));
    assert!(!replaces("self.life.is_running() == true", "life") && !replaces("if self.n == 1", "n"));
}

#[test]
fn the_reader_of_the_source_sees_what_there_is() {
    let code =
        "use crate::sys::{fd, process};\nuse crate::{rt, log::{file, sink}, VERSION};\nmacrocrate::no::x();";
    let code =
        without_comments(&format!("{code}\n// crate::http\nfn f() {{ crate::model::name() }} // crate::ctl"));
    let expected = ["log", "model", "rt", "sys"].map(str::to_string);
    assert_eq!(named(&code, "crate::"), BTreeSet::from(expected));
}

/// A document that names a file which has moved sends its reader nowhere.
#[test]
fn what_documents_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents: Vec<PathBuf> =
        ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "SECURITY.md", "tests/README.md"]
            .iter()
            .map(|name| root.join(name))
            .collect();
    for folder in ["docs", "docs/decisions", "docs/book/src"] {
        let files = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        documents.extend(files.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    // A folder of the project, a slash, and more: other paths are those of a system.
    let folders: BTreeSet<String> = ARROWS
        .iter()
        .map(|(room, _)| room.to_string())
        .chain(["src", "tests", "docs", "conf", "benches", "fuzz"].map(str::to_string))
        .collect();
    let (mut missing, mut n_found) = (Vec::new(), 0);
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for name in text.split('`').skip(1).step_by(2) {
            let is_path = name.chars().all(|c| c.is_alphanumeric() || "/_.-".contains(c));
            let is_ours = name.split_once('/').is_some_and(|(first, _)| folders.contains(first));
            if !is_path || !is_ours {
                continue;
            }
            let exists = |path: PathBuf| path.exists() || path.with_extension("rs").exists();
            if exists(root.join(name)) || exists(root.join("src").join(name)) {
                n_found += 1;
            } else {
                missing.push(format!("{}: {name}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(n_found > 50, "only {n_found} names were found: the reader does not see them");
}
