//! Examples work, or say why they cannot be tried.

use crate::document::{Block, Document, Piece, blocks, book, others, pieces};
use crate::support::{Run, run_within};
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A network, and processes, that nobody else sees and that end with the command.
const ALONE: [&str; 6] = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"];

/// Brings up the loopback device of a new network.
const LOOPBACK: &str = "python3 -c '
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack(\"16sH22x\", b\"lo\", 0x41))
'
";

/// Stands before what a block prints, with its number; nothing prints this by chance.
const MARK: &str = "=====BLOCK";

/// How long the commands of one page may take together.
const PATIENCE: Duration = Duration::from_secs(90);

/// Keys whose values this machine may lack, or may have no right to.
const OF_THIS_MACHINE: [&str; 10] = [
    "command",
    "directory",
    "stdout_logfile",
    "stderr_logfile",
    "logfile",
    "pidfile",
    "childlogdir",
    "file",
    "password",
    "port",
];

fn documents() -> Vec<Document> {
    book().into_iter().chain(others()).collect()
}

/// What is wrong with the comment before a block, if anything.
fn fault(block: &Block) -> Option<String> {
    let Some(mark) = &block.mark else {
        return (block.language != "text")
            .then(|| format!("a block of {:?} says nothing of itself", block.language));
    };
    let (kind, reason) = mark.split_once(": ").unwrap_or((mark, ""));
    let fits = match kind.split_once(", status ").map_or(kind, |(run, _)| run) {
        "check" | "part" => block.language == "ini",
        "file" => block.language != "text" || !reason.is_empty(),
        "run" => block.language == "sh",
        "prints" => block.language == "text",
        "not run" => block.language != "ini",
        _ => false,
    };
    let needs_reason = ["file", "part", "not run"].contains(&kind);
    if !fits || needs_reason == reason.is_empty() {
        return Some(format!("{mark:?} does not fit a block of {:?}", block.language));
    }
    None
}

#[test]
fn every_example_says_how_it_is_tried() {
    let mut wrong = Vec::new();
    for document in documents() {
        let faults = blocks(&document.text).filter_map(|block| Some((block.line, fault(&block)?)));
        wrong.extend(faults.map(|(line, why)| format!("{}:{line}: {why}", document.path.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a shell can be started that nobody else sees.
fn can_be_alone() -> bool {
    let can =
        Command::new(ALONE[0]).args(&ALONE[1..]).arg("true").output().is_ok_and(|ran| ran.status.success());
    if !can {
        println!(
            "skipped: examples are tried in a network and among processes of their own, which needs root"
        );
    }
    can
}

/// Runs a script in a directory, with the program on its path under both its names.
fn run_script(directory: &Path, script: &str) -> Run {
    let bin = directory.join("bin");
    fs::create_dir(&bin).expect("made");
    for name in ["supervisord", "supervisorctl", "echo_supervisord_conf", "pidproxy"] {
        symlink(env!("CARGO_BIN_EXE_supervisord"), bin.join(name)).expect("made");
    }
    let work = directory.join("work");
    fs::create_dir(&work).expect("made");
    let search = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(ALONE[0]);
    command.args(&ALONE[1..]).args(["sh", "-c", &format!("{LOOPBACK}{script}")]).current_dir(&work);
    command.env("PATH", format!("{}:{search}", bin.display())).env("NETRC", "/nonexistent");
    command.env("TMPDIR", directory).env("HOME", directory).env_remove("NO_COLOR");
    run_within(&mut command, PATIENCE)
}

/// Whether a block is a whole configuration.
fn is_checked(block: &Block) -> bool {
    let mark = block.mark.as_deref().unwrap_or_default();
    block.language == "ini" && (mark == "check" || mark.starts_with("file: "))
}

#[test]
fn every_example_configuration_passes_the_check() {
    if !can_be_alone() {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (mut names, mut script) = (Vec::new(), "printf '{}' >/dev/null\n".to_string());
    for document in documents() {
        for block in blocks(&document.text).filter(is_checked) {
            let file = directory.path().join(format!("{}.conf", names.len()));
            fs::write(&file, &block.text).expect("written");
            writeln!(script, "echo '{MARK}'; supervisord check --json -c {}", file.display())
                .expect("a text");
            names.push(format!("{}:{}", document.path.display(), block.line));
        }
    }
    let ran = run_script(directory.path(), &script);
    let reports: Vec<&str> = ran.stdout.split(MARK).skip(1).collect();
    assert_eq!(reports.len(), names.len(), "{ran}");
    assert!(names.len() > 15, "only {} configurations were found", names.len());
    let mut wrong = Vec::new();
    for (name, report) in names.iter().zip(reports) {
        let report: Value =
            serde_json::from_str(report).unwrap_or_else(|error| panic!("{name}: {error}\n{report}"));
        let problems = report["problems"].as_array().expect("a list");
        let bad = problems.iter().filter(|problem| is_the_examples_fault(problem));
        wrong.extend(bad.map(|problem| format!("{name}: [{}] {}", problem["section"], problem["text"])));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Errors are, and warnings of what is as wrong on every machine. An example need not have everything that is hinted at.
fn is_the_examples_fault(problem: &Value) -> bool {
    if problem["severity"] == "hint" {
        return false;
    }
    // Files that an example includes are made later on its page.
    if problem["text"].as_str().is_some_and(|text| text.starts_with("No file matches via include ")) {
        return false;
    }
    let key = problem["key"].as_str().unwrap_or_default();
    let text = problem["text"].as_str().unwrap_or_default();
    if text.starts_with("a daemon started from here cannot apply it") {
        return false;
    }
    problem["severity"] == "error" || !OF_THIS_MACHINE.contains(&key) || text.contains("no shell is involved")
}

/// A page's commands as one script; the number of its blocks that run.
fn script(document: &Document) -> (String, usize) {
    let (mut script, mut n_runs) = (String::from("set -e\n"), 0);
    for piece in pieces(&document.text) {
        let block = match piece {
            Piece::Until(command) => {
                // A command of a pipe may print, and this may take a moment on a busy machine.
                writeln!(script, "n=0; until {{ {command}; }} >/dev/null 2>&1; do n=$((n + 1)); \
                                  test $n -lt 400 || {{ echo 'waited in vain: {}'; exit 99; }}; sleep 0.05; done",
                    command.replace('\'', "")).expect("a text");
                continue;
            }
            Piece::Block(block) => block,
        };
        let mark = block.mark.as_deref().unwrap_or_default();
        if let Some(name) = mark.strip_prefix("file: ") {
            writeln!(
                script,
                "mkdir -p \"$(dirname '{name}')\"; cat >'{name}' <<'{MARK}'\n{}{MARK}",
                block.text
            )
            .expect("a text");
        } else if let Some(rest) = mark.strip_prefix("run") {
            let status = rest.strip_prefix(", status ");
            writeln!(script, "echo '{MARK} {}'", block.line).expect("a text");
            match status {
                None => writeln!(script, "{{\n{}}} 2>&1 </dev/null", block.text),
                Some(status) => writeln!(
                    script,
                    "set +e\n{{\n{}}} 2>&1 </dev/null\nstatus=$?\nset -e\ntest $status -eq {status} || \
                     {{ echo \"status $status\"; exit 98; }}",
                    block.text
                ),
            }
            .expect("a text");
            n_runs += 1;
        }
    }
    writeln!(script, "echo '{MARK} end'").expect("a text");
    (script, n_runs)
}

/// A word as every day and hour has it: an example was tried in one month, and is tried again in all of them.
fn undated(word: &str) -> &str {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    match word {
        "AM" | "PM" => "PM",
        _ if MONTHS.contains(&word) => MONTHS[0],
        _ => word,
    }
}

/// Whether a text is what was expected, but for numbers, moments and the width of gaps.
fn is_like(got: &str, expected: &str) -> bool {
    let plain = |text: &str| {
        let mut plain = String::new();
        for c in text.split_whitespace().map(undated).collect::<Vec<_>>().join(" ").chars() {
            let c = if c.is_ascii_digit() { '0' } else { c };
            if !(c == '0' && plain.ends_with('0')) {
                plain.push(c);
            }
        }
        plain
    };
    let (got, expected) = (plain(got), plain(expected));
    // Some of it may be left out.
    let mut rest = got.as_str();
    let mut parts = expected.split('…').map(str::trim);
    let first = parts.next().unwrap_or_default();
    let Some(after) = rest.strip_prefix(first) else { return false };
    rest = after;
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.trim().is_empty() || expected.ends_with('…')
}

#[test]
fn an_example_is_the_same_in_every_month() {
    let expected = "migrate  EXITED    Nov 20 01:16 PM\n";
    assert!(is_like("migrate   EXITED    Dec 01 02:37 AM\n", expected));
    assert!(!is_like("migrate   EXITED    Unknown 01 02:37 AM\n", expected));
    assert!(!is_like("migrate   STOPPED   Dec 01 02:37 AM\n", expected));
}

fn try_page(document: &Document) -> usize {
    let (script, n_runs) = script(document);
    if n_runs == 0 {
        return 0;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let ran = run_script(directory.path(), &script);
    let page = document.path.display();
    assert!(ran.code == 0 && ran.stdout.contains(&format!("{MARK} end")), "{page}: {ran}");
    let printed = |line: usize| {
        let (_, rest) = ran.stdout.split_once(&format!("{MARK} {line}\n")).unwrap_or_default();
        rest.split(MARK).next().unwrap_or_default().to_string()
    };
    let mut last = 0;
    for block in blocks(&document.text) {
        match block.mark.as_deref() {
            Some(mark) if mark.starts_with("run") => last = block.line,
            Some("prints") => {
                let got = printed(last);
                assert!(
                    is_like(&got, &block.text),
                    "{page}:{}: printed\n{got}\nexpected\n{}",
                    block.line,
                    block.text
                );
            }
            _ => {}
        }
    }
    n_runs
}

#[test]
fn every_command_of_the_documents_does_what_it_says() {
    if !can_be_alone() {
        return;
    }
    let documents = documents();
    // Most of them wait most of the time.
    let n_runs: usize = std::thread::scope(|scope| {
        let pages: Vec<_> = documents.iter().map(|document| scope.spawn(|| try_page(document))).collect();
        pages.into_iter().map(|page| page.join().expect("a page that does what it says")).sum()
    });
    assert!(n_runs > 10, "only {n_runs} blocks were run");
}

#[test]
fn a_wrong_example_is_seen() {
    let block = |mark: Option<&str>, language: &str| Block {
        line: 1,
        language: language.to_string(),
        mark: mark.map(str::to_string),
        text: String::new(),
    };
    for (mark, language) in [
        (None, "sh"),
        (None, "ini"),
        (Some("run"), "ini"),
        (Some("not run: it is long"), "ini"),
        (Some("not run"), "sh"),
        (Some("check"), "sh"),
    ] {
        assert!(fault(&block(mark, language)).is_some(), "{mark:?} {language}");
    }
    for (mark, language) in [
        (None, "text"),
        (Some("run, status 3"), "sh"),
        (Some("not run: needs docker"), "sh"),
        (Some("part: one key"), "ini"),
        (Some("file: a.conf"), "ini"),
    ] {
        assert_eq!(fault(&block(mark, language)), None, "{mark:?} {language}");
    }
    assert!(is_like("web   RUNNING pid 7, uptime 0:00:01\n", "web RUNNING pid 4711, uptime 0:00:59"));
    assert!(is_like("a 1\nb\nc\n", "a 2\n…\nc"));
    assert!(!is_like("web STOPPED", "web RUNNING") && !is_like("a\nb", "a") && !is_like("a\nb", "a … c"));
    let unknown: Value = serde_json::json!({"severity": "warning", "key": "stopwait", "text": "not known"});
    assert!(is_the_examples_fault(&unknown));
    let missing = serde_json::json!({"severity": "warning", "key": "command", "text": "not there"});
    assert!(!is_the_examples_fault(&missing));
}

#[test]
fn what_fails_on_a_page_fails_the_test() {
    if !can_be_alone() {
        return;
    }
    let page = |text: &str| Document { path: "x.md".into(), text: text.to_string() };
    let good = "<!-- run -->\n```sh\necho a 12\n```\n<!-- prints -->\n```text\na 3\n```\n";
    assert_eq!(try_page(&page(good)), 1);
    for bad in [
        good.replace("echo a", "false; echo a"),
        good.replace("echo a", "echo b"),
        format!("{good}<!-- run, status 3 -->\n```sh\ntrue\n```\n"),
    ] {
        let tried = std::panic::catch_unwind(|| try_page(&page(&bad)));
        assert!(tried.is_err(), "{bad}");
    }
}
