//! What `docs/from-go.md` says of this daemon, as far as `supervisord check` can tell.

use std::path::Path;
use std::process::Command;
use supervisord::config::{self, Document, Surroundings};

/// The cells of the rows between a heading of the document and the next.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/from-go.md");
    let text = std::fs::read_to_string(path).expect("the document is there");
    let (_, part) = text.split_once(heading).expect("the heading is there");
    let (part, _) = part.split_once("\n## ").expect("more follows");
    let rows = part.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_string()).collect()).collect()
}

/// The texts in quotes of a cell.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// What `supervisord check` prints about a configuration.
fn check(text: &str, option: &str) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("x.conf");
    std::fs::write(&file, text).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_supervisord"))
        .args(["check", option, "-c"])
        .arg(&file)
        .output()
        .expect("the binary runs");
    String::from_utf8(output.stdout).expect("text")
}

const SECTIONS: &str = "[supervisord]\n[supervisorctl]\n[program:x]\ncommand=cat\n[eventlistener:x]\ncommand=cat\n\
                        events=TICK_5\n";

#[test]
fn the_defaults_are_those_of_the_document() {
    let dump = check(SECTIONS, "--dump");
    let default = |section: &str, key: &str| {
        let (_, part) = dump.split_once(&format!("{section}\n"))?;
        let mut lines = part.lines().take_while(|line| !line.is_empty());
        let line = lines.find(|line| line.starts_with(&format!("{key}=")))?;
        let (value, origin) = line.split_once('=')?.1.split_once(';')?;
        (origin.trim() == "default").then(|| value.trim().to_string())
    };
    let rows = rows("## Defaults");
    assert!(rows.len() > 20, "only {} rows", rows.len());
    for row in rows {
        let [section, key, here] = [&row[0], &row[1], &row[5]].map(|cell| quoted(cell).next().unwrap());
        assert_eq!(default(section, key).as_deref(), Some(here), "{section} {key}\n{dump}");
    }
}

#[test]
fn keys_of_their_samples_that_nobody_reads_lead_to_those_that_are() {
    let told = check("[supervisord]\nlogfileMaxbytes=1MB\nlogfileBackups=3\n", "--strict");
    for key in ["logfile_maxbytes", "logfile_backups"] {
        assert!(told.contains(&format!("did you mean '{key}'?")), "{told}");
    }
}

#[test]
fn their_syslog_is_taken() {
    let program =
        |logfile: &str| format!("[supervisord]\n[program:x]\ncommand=cat\nstdout_logfile={logfile}\n");
    let keys = "syslog_facility=LOG_local7\nsyslog_tag=x\nsyslog_stdout_priority=WARN\nsyslog_stderr_priority=debug\n";
    for logfile in ["syslog", "syslog @127.0.0.1", "/dev/null, syslog @tcp:[::1]:99, syslog @localhost:514"] {
        let text = program(logfile) + keys;
        assert_eq!(check(&text, "--strict").matches(": error: ").count(), 0, "{}", check(&text, "--strict"));
        let told = check(&text, "--dump");
        for line in keys.lines() {
            assert!(told.contains(line), "{line}: {told}");
        }
    }
    for (text, place, expected) in [
        (
            program("syslog @h:0"),
            ":4: error: [program:x] stdout_logfile: ",
            "a port is a number from 1 to 65535",
        ),
        (program("syslog @"), ":4: error: [program:x] stdout_logfile: ", "it names no host"),
        (
            program("NONE") + "syslog_facility=local8\n",
            ":5: error: [program:x] syslog_facility: ",
            "LOCAL0 to LOCAL7",
        ),
        (
            program("NONE") + "syslog_stderr_priority=loud\n",
            ":5: error: [program:x] syslog_stderr_priority: ",
            "EMERG, ALERT",
        ),
    ] {
        let told = check(&text, "--strict");
        assert!(told.contains(place) && told.contains(expected), "{text}: {told}");
    }
    let told = check(&program("syslog @no.such.host.invalid"), "--strict");
    assert!(
        told.contains(":4: warning: [program:x] stdout_logfile: the name of the host 'no.such.host.invalid'"),
        "{told}"
    );
}

#[test]
fn their_names_of_keys_are_understood() {
    let rows = rows("## Keys by their names");
    assert!(rows.len() > 10, "only {} rows", rows.len());
    let others = "[program:a]\ncommand=cat\n[program:b]\ncommand=cat\n";
    let config = |setting: &str| {
        // Most of these keys belong to another one.
        let health = if setting.contains("_script=") { "" } else { "health=tcp:1\n" };
        let health = if setting.starts_with("health=") { "" } else { health };
        let text = format!("[supervisord]\n{others}[program:x]\ncommand=cat\n{health}{setting}\n");
        let around = Surroundings::of_this_process();
        let config = config::parse(Path::new("/x.conf"), &text, &Default::default(), &around);
        config.unwrap_or_else(|errors| panic!("{text}: {errors}"))
    };
    let unset = config("");
    for row in rows {
        let [there, here] = [&row[0], &row[1]].map(|cell| quoted(cell).next().unwrap());
        let (theirs, ours) = (config(there), config(here));
        assert_eq!(theirs.groups, ours.groups, "{there}");
        assert_ne!(ours.groups, unset.groups, "{here}");
        assert!(theirs.messages.is_empty(), "{:?}", theirs.messages);
        let dump = check(&format!("[supervisord]\n{others}[program:x]\ncommand=cat\n{there}\n"), "--dump");
        assert!(
            dump.lines().any(|line| line.starts_with(here) && line.contains("x.conf:")),
            "{here}: {dump}"
        );
    }
}

#[test]
fn keys_that_are_not_read_are_named_by_check() {
    let rows = rows("## Keys that are not read");
    assert!(rows.len() > 3, "only {} rows", rows.len());
    for row in rows {
        let section = quoted(&row[0]).next().unwrap();
        let needed = match section {
            "[program:x]" => "command=cat",
            "[supervisord]" => "nodaemon=false",
            _ => "port=127.0.0.1:9001",
        };
        for key in quoted(&row[1]).filter(|key| !key.ends_with('…')) {
            let told = check(&format!("[supervisord]\n{section}\n{needed}\n{key}=1\n"), "--strict");
            assert!(
                told.contains(&format!(
                    "x.conf:4: warning: {section} {}: a key of other supervisors",
                    key.to_lowercase()
                )),
                "{key}: {told}"
            );
        }
    }
}

/// A name for a test, what stands in `[program:x]`, and what is meant by it.
const SEVERAL_LINES: [(&str, &str, Option<&str>); 9] = [
    ("quoted", "command=\"\"\"/bin/echo\na\n\"\"\"", Some("/bin/echo\na")),
    (
        "quoted, first line empty",
        "command=\"\"\"\n/bin/echo 'a ; b'\n   c\"\"\"",
        Some("/bin/echo 'a ; b'\n   c"),
    ),
    ("never closed", "command=\"\"\"/bin/echo\na", None),
    ("indented", "command=\"\"\"/bin/echo\n  a\n  \"\"\"", Some("\"\"\"/bin/echo\na\n\"\"\"")),
    ("with a key in it", "command=\"\"\"/bin/echo\na=b\"\"\"", Some("\"\"\"/bin/echo")),
    ("behind a backslash", "command=/bin/echo \\\na \\\nb", Some("/bin/echo a b")),
    ("behind a backslash, indented", "command=/bin/echo \\\n  a", Some("/bin/echo \\\na")),
    ("a key behind a backslash", "command=/bin/echo \\\na=b", Some("/bin/echo \\")),
    ("an escaped backslash", "command=/bin/echo \\\\\na", None),
];

/// The original's value of `command`, or `None` if it refuses the file.
fn originals_command(venv: &Path, file: &Path) -> Option<String> {
    let script = "import sys; from supervisor.options import UnhosedConfigParser as P; p = P(); p.read(sys.argv[1]); \
                  print(end=p.get('program:x', 'command'))";
    let output = Command::new(venv.join("bin/python")).args(["-c", script]).arg(file).output();
    let output = output.expect("python runs");
    let refused = String::from_utf8_lossy(&output.stderr).contains("ParsingError");
    assert!(output.status.success() || refused, "{}", String::from_utf8_lossy(&output.stderr));
    output.status.success().then(|| String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn values_of_several_lines_are_the_originals_wherever_it_has_any() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("x.conf");
    for (name, setting, expected) in SEVERAL_LINES {
        let text = format!("[supervisord]\n[program:x]\n{setting}\n");
        std::fs::write(&file, &text).expect("written");
        let document = Document::parse(&file, &text).ok();
        let command = document.as_ref().and_then(|document| document.get("program:x", "command"));
        let command = command.map(|value| value.text);
        assert_eq!(command, expected, "{name}");
        let Some(venv) = std::env::var_os("SUPERVISOR_VENV") else {
            eprintln!("SUPERVISOR_VENV is not set: nothing to compare with");
            continue;
        };
        let originals = originals_command(Path::new(&venv), &file);
        if originals.is_some() {
            assert_eq!(command, originals.as_deref(), "{name}");
        }
        if let (Some(expected), dump) = (expected, check(&text, "--dump")) {
            let again = Document::parse(&file, &dump).expect("the dump can be read");
            let command = again.get("program:x", "command").map(|value| value.text);
            assert_eq!(command, Some(expected), "{name}: {dump}");
        }
        let told = check(&text, "--strict");
        let advice = match (&originals, expected) {
            (_, None) => "parsing errors",
            (Some(text), _) if text.starts_with('"') || text.ends_with('\\') => "do not continue it",
            (Some(_), _) => "",
            (None, _) => "Supervisor refuses the file",
        };
        assert!(told.contains(advice), "{name}: {told}");
        assert!(!advice.is_empty() || !told.contains("backslash"), "{name}: {told}");
    }
}
